// SPDX-License-Identifier: MIT
// Member: one of them, how it is reached, and what can be done about it.
import { aboutPath } from "./map.js";
import { call, hear, state } from "./net.js";
import { past } from "./plot.js";
import { act, ago, ask, bytes, clock, el, facts, health, ms, note, percent, show } from "./util.js";

function path(peer) {
  const p = peer.path || {}, { words } = health(peer);
  return el("section", { class: "card" }, el("h2", {}, "Path"), facts([
    ["State", words], ["Round trip", p.type === "none" ? null : ms(p.rtt_ms)], ["Loss", p.type === "none" ? null : percent(p.loss)],
    ["From", p.local], ["To", p.remote], ["Through", p.via], ["Largest packet", p.mtu ? `${p.mtu} bytes` : null],
    ["Last handshake", ago(peer.last_handshake)], ["Session", peer.session],
    ["Sent, received", `${bytes(peer.tx_bytes)}, ${bytes(peer.rx_bytes)}`]]));
}

function identity(peer) {
  return el("section", { class: "card" }, el("h2", {}, "Machine"), facts([
    ["Addresses", [peer.ip4, peer.ip6].filter(Boolean).join(", ")], ["Key", el("code", {}, peer.key || "none (static peer)")],
    ["Rights", peer.admin ? "admin" : "member"], ["Tags", peer.tags?.length ? el("span", {}, peer.tags.map(t => el("span", { class: "tag" }, t))) : null],
    ["Last seen", peer.online ? "now" : ago(peer.last_seen)], ["Membership ends", peer.expires ? clock(peer.expires) : null],
    ["Membership", peer.state]]),
    peer.former && el("p", {}, `Another machine had this name until ${clock(peer.another_since)}.`));
}

async function ping(peer, log) {
  const rows = [];
  const line = text => { rows.push(text); log.textContent = rows.join("\n"); };
  line("…");
  rows.length = 0;
  const end = await call("ping", { peer: peer.key || peer.name, count: 4, interval_ms: 500 }, e => line(
    e.event === "pong" ? `${e.seq}: ${ms(e.rtt_ms)}, ${e.path}` : `${e.seq}: no answer`));
  line(`${end.received} of ${end.sent} answered`);
  return end;
}

export function member(main, id) {
  let mutes = null, shown = "", why = null, plots = null;
  const heading = el("h1", {}), log = el("pre", { "aria-live": "polite", hidden: true }), cards = el("div", { class: "cards" }), buttons = el("p", { class: "row" });
  const find = () => state.peers.find(p => p.key === id || p.name === id);

  function actions(peer) {
    const target = peer.key || peer.name, root = state.status.self?.admin, muted = mutes?.has(peer.name);
    return [
      el("button", { class: "main", "data-key": "ping", onclick: e => { log.hidden = false; act(e.target, null, () => ping(peer, log)); } }, "Ping"),
      !peer.gateway && el("a", { class: "button", href: `#/chat/${encodeURIComponent(peer.name)}` }, "Chat"),
      peer.key && !peer.gateway && mutes !== null && el("button", { "data-key": "mute", onclick: e => act(e.target, null, async () => {
        await call(muted ? "unmute" : "mute", { peer: target });
        if (muted) mutes.delete(peer.name); else mutes.add(peer.name);
        note(!muted ? `${peer.name} is muted: its messages arrive without notifications.` : `${peer.name} is no longer muted.`);
        paint();
      }) }, muted ? "Unmute" : "Mute"),
      root && peer.key && el("button", { class: "danger", "data-key": "remove", onclick: async e => {
        if (await ask(`Remove ${peer.name}?`, "It loses access at once. It needs a new invite to come back.", "Remove") === null) return;
        if (await act(e.target, `${peer.name} is removed.`, () => call("remove", { peer: target }))) location.hash = "#/";
      } }, "Remove …"),
    ];
  }

  function paint() {
    const peer = find();
    if (!peer) return show(main, el("div", { class: "card" }, el("p", {}, state.status ? "No such member." : state.link || "Loading …"), el("a", { href: "#/" }, "Overview")));
    if (!cards.isConnected) show(main, heading, buttons, log, cards);
    const { kind, words } = health(peer);
    show(heading, el("span", { class: `dot ${kind}` }), peer.name, " ", el("small", { class: "quiet" }, words));
    show(buttons, actions(peer));
    if (!why || shown !== JSON.stringify([words, peer.path?.type])) {
      shown = JSON.stringify([words, peer.path?.type]);
      why = el("section", { class: "card" }, el("h2", {}, "Why"), aboutPath(peer));
    }
    show(cards, path(peer), why, plots, identity(peer));
  }

  call("muted").then(a => { mutes = new Set(a.muted); paint(); }).catch(() => {});
  call("stats", { peer: id }).then(stats => { plots = past(stats); paint(); }).catch(() => {}); // nothing is known of it
  const stop = hear(event => { if (event === null) paint(); });
  paint();
  return stop;
}
