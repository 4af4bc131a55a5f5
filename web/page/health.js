// SPDX-License-Identifier: MIT
// Health: what is wrong and what to do, what this node found out about its way out, and what happened.
import { checked, doctor, problems as problemsOf } from "./doctor.js";
import { hear, question, state } from "./net.js";
import { act, bytes, clock, count, el, facts, health as of, ms, natWords, show, span, table } from "./util.js";

const happened = []; // the newest last
hear(event => {
  if (event && event.text && event.seq) {
    happened.push(event);
    if (happened.length > 200) happened.shift();
  }
});


function peersCard() {
  const bad = state.peers.filter(p => ["bad", "warn"].includes(of(p).kind));
  return el("section", { class: "card" }, el("h2", {}, "Relayed and lossy paths"), table(["Member", "Path", "Round trip"],
    bad.map(p => [el("a", { href: `#/member/${encodeURIComponent(p.key || p.name)}` }, p.name), of(p).words, ms(p.path.rtt_ms)]),
    "No path is relayed or loses packets."));
}

function node(s) {
  const off = s.datapath ? s.datapath.off || [] : [];
  return el("section", { class: "card" }, el("h2", {}, "This node"), facts([
    ["State", s.state], ["p2pvpnd", `${s.daemon}, running for ${span(s.uptime)}`],
    ["Interface", s.interface ? `${s.interface.name}, MTU ${s.interface.mtu} bytes, UDP port ${s.interface.port}` : "none"],
    ["Sandbox", s.sandbox], ["Encryption", s.datapath ? `${s.datapath.aead}, ${count(s.datapath.workers, "worker")}` : null],
    ["Not used", off.map(o => `${o.what} (${o.why})`).join("; ")],
    ["Post-quantum", s.post_quantum ? `${s.post_quantum.state}${s.post_quantum.why ? `: ${s.post_quantum.why}` : ""}` : null]]));
}

function wayOut(s) {
  const nat = s.nat_binding || {};
  return el("section", { class: "card" }, el("h2", {}, "Connection"), facts([
    ["Coordinator", s.coordinator ? s.coordinator.connected ? `${s.coordinator.address}, ${ms(s.coordinator.rtt_ms)}` : `away: ${s.coordinator.error || "no answer"}` : null],
    ["UDP", s.udp], ["Phone port", (s.relays || []).map(r => r.phone_port).find(Boolean)], ["Public addresses", (s.public || []).join(", ")], ["NAT", natWords(s)],
    ["NAT binding lifetime", nat.idle_s ? `${span(nat.idle_s)} or longer` : null],
    ["Relayed", s.relayed ? `${bytes(s.relayed.tx_bytes)} sent, ${bytes(s.relayed.rx_bytes)} received` : null]]),
    (s.port_mappings || []).map(m => facts([[`Port mapping, ${m.family === "ipv6" ? "IPv6" : "IPv4"}`, `${m.state}${m.external ? `, ${m.external}` : ""}${m.why ? `: ${m.why}` : ""}`]])));
}

function drops(s) {
  const rows = Object.entries(s.drops || {}).filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]);
  return el("section", { class: "card" }, el("h2", {}, "Dropped packets since start"), table(["Reason", "Packets"], rows.map(([why, n]) => [why, String(n)]), "None."));
}

function news() {
  return el("section", { class: "card wide" }, el("h2", {}, "Events"), happened.length === 0
    ? el("p", { class: "quiet" }, "None in the last hour.")
    : el("ul", { class: "peers" }, [...happened].reverse().map(e => el("li", {}, el("span", { class: "quiet" }, clock(e.time), " "), e.text))));
}

export function health(main) {
  let unfolded = false, log = null;

  function problems(s) {
    const bad = problemsOf(s), good = (checked() || []).filter(c => c.well);
    return el("section", { class: "card wide" }, el("h2", {}, bad.length > 0 ? count(bad.length, "problem") : checked() ? "All is well" : "Checking …"),
      bad.length > 0 && table(["Problem", "Found", "To do"], bad.map(c => [c.name, c.text, c.todo || "–"])),
      checked() && el("details", { open: unfolded, ontoggle: e => { unfolded = e.target.open; } }, el("summary", {}, `${count(good.length, "check")} passed`), table(["Check", "Found"], good.map(c => [c.name, c.text]))),
      el("p", {}, el("button", { "data-key": "doctor", onclick: e => act(e.target, null, doctor) }, "Check again")));
  }

  // The end of p2pvpnd's log, as far as the user of the page may read it.
  const lookIntoLog = () => question("log").then(said => { log = said; paint(); });
  function logCard() {
    return el("section", { class: "card wide" }, el("h2", {}, "Log"), !log ? el("p", { class: "quiet" }, "Loading …") : log.lines.length === 0
      ? el("p", { class: "quiet" }, `${log.from} has no lines that you may read.`)
      : [el("p", { class: "quiet" }, log.from), el("pre", { class: "log", tabindex: 0, role: "group", "aria-label": "The end of the log" }, log.lines.join("\n"))],
      el("p", {}, el("button", { "data-key": "log", onclick: e => act(e.target, null, lookIntoLog) }, "Reload")));
  }

  function paint() {
    const s = state.status;
    if (!s) return show(main, el("p", { class: "quiet" }, state.link || "Loading …"));
    show(main, el("h1", {}, "Health"), el("div", { class: "cards" }, problems(s), peersCard(), wayOut(s), node(s), drops(s), news(), logCard()));
  }
  const stop = hear(paint);
  paint();
  act(null, null, doctor);
  act(null, null, lookIntoLog);
  return stop;
}
