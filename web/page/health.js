// SPDX-License-Identifier: MIT
// Health: what is wrong and what to do, what this node found out about its way out, and what happened.
import { hear, question, state } from "./net.js";
import { act, bytes, clock, el, facts, health as of, ms, show, span, table } from "./util.js";

const happened = []; // the newest last
hear(event => {
  if (event && event.text && event.seq) {
    happened.push(event);
    if (happened.length > 200) happened.shift();
  }
});

function problems(s) {
  const found = [...s.problems];
  return el("section", { class: "card wide" }, el("h2", {}, found.length > 0 ? "Problems" : "All is well"),
    found.length > 0 ? el("ul", {}, found.map(text => el("li", {}, text)))
                     : el("p", { class: "quiet" }, "p2pvpnd knows of no problem."));
}

function peersCard() {
  const bad = state.peers.filter(p => ["bad", "warn"].includes(of(p).kind));
  return el("section", { class: "card" }, el("h2", {}, "Paths that could be better"), table(["Member", "Path", "Round trip"],
    bad.map(p => [el("a", { href: `#/member/${encodeURIComponent(p.key || p.name)}` }, p.name), of(p).words, ms(p.path.rtt_ms)]),
    "None: every member that is talked to is reached directly, without loss."));
}

function node(s) {
  const off = s.datapath ? s.datapath.off || [] : [];
  return el("section", { class: "card" }, el("h2", {}, "This node"), facts([
    ["State", s.state], ["p2pvpnd", `${s.daemon}, for ${span(s.uptime)}`],
    ["Interface", s.interface ? `${s.interface.name}, ${s.interface.mtu} bytes, UDP port ${s.interface.port}` : "none"],
    ["Rights", s.confined], ["Packets are sealed by", s.datapath ? `${s.datapath.aead}, ${s.datapath.workers} workers` : null],
    ["Not used", off.map(o => `${o.what} (${o.why})`).join("; ")],
    ["Post-quantum", s.post_quantum ? `${s.post_quantum.state}${s.post_quantum.why ? `: ${s.post_quantum.why}` : ""}` : null]]));
}

function wayOut(s) {
  const nat = s.nat_binding || {}, hard = s.hard_nat || {};
  return el("section", { class: "card" }, el("h2", {}, "The way out"), facts([
    ["Coordinator", s.coordinator ? s.coordinator.connected ? `${s.coordinator.address}, ${ms(s.coordinator.rtt_ms)}` : `away: ${s.coordinator.error || "no answer"}` : null],
    ["UDP", s.udp], ["Door at the coordinator", (s.relays || []).map(r => r.door).find(Boolean)], ["Seen as", (s.public || []).join(", ")], ["Mapping of the NAT", hard.mapping], ["Its ports", hard.ports],
    ["A binding lives", nat.idle_s ? `${span(nat.idle_s)} or longer` : null],
    ["Relayed", s.relayed ? `${bytes(s.relayed.tx_bytes)} sent, ${bytes(s.relayed.rx_bytes)} received` : null]]),
    (s.port_mappings || []).map(m => facts([["Port mapping", `${m.state}${m.external ? `, ${m.external}` : ""}${m.why ? `: ${m.why}` : ""}`]])));
}

function drops(s) {
  const rows = Object.entries(s.drops || {}).filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]);
  return el("section", { class: "card" }, el("h2", {}, "Dropped since the start"), table(["Reason", "Packets"], rows.map(([why, n]) => [why, String(n)]), "Nothing was dropped."));
}

function news() {
  return el("section", { class: "card wide" }, el("h2", {}, "What happened"), happened.length === 0
    ? el("p", { class: "quiet" }, "Nothing in the last hour.")
    : el("ul", { class: "peers" }, [...happened].reverse().map(e => el("li", {}, el("span", { class: "quiet" }, clock(e.time), " "), e.text))));
}

export function health(main) {
  let checks = null, unfolded = false, log = null;
  const look = () => question("doctor").then(doctor => { checks = doctor.checks; paint(); });

  // The words of `p2pvpnctl doctor` of this machine, as the user of the page.
  function doctor() {
    const bad = (checks || []).filter(c => !c.well), good = (checks || []).filter(c => c.well);
    return el("section", { class: "card wide" }, el("h2", {}, "Doctor"), !checks ? el("p", { class: "quiet" }, "Looking …") : [
      bad.length > 0 && table(["What", "Found", "To do"], bad.map(c => [c.name, c.text, c.todo || "–"])),
      el("details", { open: unfolded, ontoggle: e => { unfolded = e.target.open; } }, el("summary", {}, `${good.length} things are as they should be`), table(["What", "Found"], good.map(c => [c.name, c.text])))],
      el("p", {}, el("button", { "data-key": "doctor", onclick: e => act(e.target, null, look) }, "Look again")));
  }

  // The end of p2pvpnd's log, as far as the user of the page may read it.
  const lookIntoLog = () => question("log").then(said => { log = said; paint(); });
  function logCard() {
    return el("section", { class: "card wide" }, el("h2", {}, "Log"), !log ? el("p", { class: "quiet" }, "Looking …") : log.lines.length === 0
      ? el("p", { class: "quiet" }, `Nothing that you may read in ${log.from}.`)
      : [el("p", { class: "quiet" }, log.from), el("pre", { class: "log", tabindex: 0, role: "group", "aria-label": "The log's end" }, log.lines.join("\n"))],
      el("p", {}, el("button", { "data-key": "log", onclick: e => act(e.target, null, lookIntoLog) }, "Read it again")));
  }

  function paint() {
    const s = state.status;
    if (!s) return show(main, el("p", { class: "quiet" }, state.link || "Loading …"));
    show(main, el("h1", {}, "Health"), el("div", { class: "cards" }, problems(s), doctor(), peersCard(), wayOut(s), node(s), drops(s), news(), logCard()));
  }
  const stop = hear(paint);
  paint();
  act(null, null, look);
  act(null, null, lookIntoLog);
  return stop;
}
