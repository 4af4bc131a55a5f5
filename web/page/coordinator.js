// SPDX-License-Identifier: MIT
// The coordinator's page: what `status`, `networks` and `homes` of p2pvpn-coordinator say, and plots since it was opened.
import { Refused, enter, linked, question } from "./net.js";
import { plot } from "./plot.js";
import { ago, bytes, clock, el, facts, locked, percent, show, span, table } from "./util.js";

const STEP = 5, KEPT = 1440; // s, rows: two hours
const FIRST = 3;             // rows that come sooner, so that there is something to see
const RARELY = 12;           // steps between two looks at all networks
const SHOWN = 200;           // networks

const main = document.getElementById("main");
const past = []; // rows: null where nothing was heard
let status = null, networks = null, homes = null, failed = "", steps = 0, wanted = "";

const count = n => (n ?? 0).toLocaleString("en");
const words = key => key.replace(/_/g, " ");
const relayed = s => s.relay.member_bytes + s.relay.static_bytes;
const dropped = s => Object.values(s.relay.drops).reduce((a, b) => a + b, 0);
const limited = s => Object.values(s.limits).reduce((a, b) => a + b, 0);

// One more row. Counters are those of this start of the coordinator: another one has a smaller uptime.
function remember(s) {
  const now = performance.now(), last = past.findLast(row => row !== null);
  const row = s && !s.standby ? { now, s, online: s.online, open: s.connections.open } : null;
  const dt = row && last && s.uptime >= last.s.uptime ? (now - last.now) / 1000 : 0;
  if (dt > 0.5) {
    const rate = of => Math.max(0, of(s) - of(last.s)) / dt;
    row.load = Math.min(1, rate(x => x.loop.busy_us) / 1e6);
    row.relayed = rate(relayed);
    row.dropped = rate(dropped);
    row.limited = rate(limited);
  }
  past.push(row);
  if (past.length > KEPT) past.shift();
}

const now = () => past.at(-1) ?? {};

function figures(s) {
  const of = now(), rate = v => v === undefined ? "–" : v;
  return el("div", { class: "figures" }, [[count(s.networks), "networks"], [count(s.online), "nodes online"], [count(s.connections.open), "connections"],
    [of.load === undefined ? "–" : percent(of.load), "load of one core"], [of.relayed === undefined ? "–" : `${bytes(of.relayed)}/s`, "relayed"],
    [rate(of.limited === undefined ? undefined : of.limited.toFixed(1)), "rejected/s"]]
    .map(([n, what]) => el("div", { class: "figure" }, el("b", {}, String(n)), el("span", {}, what))));
}

function problems(s) {
  const found = [];
  if (s.store.error) found.push(`The database cannot be written: ${s.store.error}`);
  if (s.connections.waiting) found.push(`All ${count(s.process.max_fds)} file descriptors are in use, so new connections wait. Set a higher LimitNOFILE= (systemctl edit p2pvpn-coordinator) and restart.`);
  if (s.udp_silent >= (s.relay.udp_received === 0 ? 30 : 300))
    found.push("No UDP arrives: all nodes use TCP. Open the UDP ports in the firewalls of this machine and its network, unless all nodes are in networks that block UDP.");
  return el("section", { class: "card wide" }, el("h2", {}, found.length > 0 ? "Problems" : "All is well"),
    found.length > 0 ? el("ul", {}, found.map(text => el("li", {}, text))) : el("p", { class: "quiet" }, "The coordinator runs, and its database is writable."));
}

function plots() {
  const n = past.length, series = key => past.map(row => row?.[key] ?? null);
  const rows = { path: past.map(row => row === null ? "?" : "d").join(""), step: STEP, until: Date.now() / 1000 };
  const high = key => Math.max(0, ...series(key).map(v => v ?? 0));
  return el("section", { class: "card wide" }, el("h2", {}, "Since this page was opened"), n < FIRST ? el("p", { class: "quiet" }, "Loading …") : el("div", { class: "cards" },
    plot("Load of the control thread", rows, [["in", "", series("load")]], percent, `at most ${percent(high("load"))} of one core`),
    plot("Online", rows, [["in", "nodes", series("online")], ["out", "connections", series("open")]], v => count(Math.round(v)), `at most ${count(high("open"))} connections`),
    plot("Relayed", rows, [["in", "", series("relayed")]], v => `${bytes(v)}/s`, `at most ${bytes(high("relayed"))}/s`),
    plot("Rejected", rows, [["in", "by limits", series("limited")], ["out", "not relayed", series("dropped")]], v => `${v.toFixed(1)}/s`, `at most ${high("limited").toFixed(1)}/s by limits`)),
    el("p", { class: "quiet" }, "Grey: no answer from the coordinator. Use Prometheus for history."));
}

function server(s) {
  return el("section", { class: "card" }, el("h2", {}, "This coordinator"), facts([["Version", s.coordinator], ["Uptime", span(s.uptime)],
    ["Listening on", s.listen.join(", ")], ["Sandbox", s.rights], ["Longest pause", `${(s.loop.longest_us / 1000).toFixed(1)} ms in the last minutes; ${count(s.loop.hard)} pauses above 5 ms`],
    ["Memory", bytes(s.process.resident)], ["Descriptors", `${count(s.process.fds)} of ${count(s.process.max_fds)}`], ["Signals forwarded", count(s.requests.signals)],
    ["Closed after errors", count(s.requests.failed)]]));
}

function connections(s) {
  const c = s.connections;
  return el("section", { class: "card" }, el("h2", {}, "Connections"), facts([["Members", count(c.members)], ["Applicants", count(c.applicants)], ["TURN", count(c.turn)], ["STUN", count(c.stun)],
    ["Opening, closing", `${count(c.opening)}, ${count(c.closing)}`], ["TLS", count(c.tls)], ["Post-quantum", count(c.hybrid)], ["Accepted since start", count(c.accepted)]]));
}

function relay(s) {
  const r = s.relay, drops = Object.entries(r.drops).filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]);
  return el("section", { class: "card" }, el("h2", {}, "Relay"), !r.enabled ? el("p", { class: "quiet" }, "Disabled.") : [facts([
    ["For members", `${bytes(r.member_bytes)} in ${count(r.member_packets)} packets, ${count(r.member_allocations)} allocations`],
    ["For static users", `${bytes(r.static_bytes)} in ${count(r.static_packets)} packets, ${count(r.static_allocations)} allocations on ${count(r.sockets)} sockets`],
    ["For phones", r.phone_ports || r.phone_port_packets ? `${bytes(r.phone_port_bytes)} in ${count(r.phone_port_packets)} packets, ${count(r.phone_ports)} ports` : null],
    ["Error responses", count(r.refused)]]),
    r.users.length > 0 && table(["User", "Relayed", "Allocations"], r.users.map(u => [u.name, bytes(u.bytes), count(u.allocations)])),
    el("h3", {}, "Not relayed"), table(["Reason", "Datagrams"], drops.map(([why, n]) => [words(why), count(n)]), "None.")]);
}

function limits(s) {
  const hit = Object.entries(s.limits).filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]);
  return el("section", { class: "card" }, el("h2", {}, "Limits reached"), table(["Limit", "Times"], hit.map(([name, n]) => [words(name), count(n)]), "None."));
}

function store(s) {
  const { kind, error, bytes: size, disk_free: free, pending, failed: lost } = s.store, inDatabase = kind === "postgres";
  return el("section", { class: "card" }, el("h2", {}, "Store"), facts([["Database", inDatabase ? "PostgreSQL" : "SQLite"], ["State", error ? "failing" : "ok"],
    ["Size", inDatabase ? null : bytes(size)], ["Free disk space", inDatabase ? null : bytes(free)], ["Statements", count(s.statements)], ["Pending changes", count(pending)],
    ["Failed changes", count(lost)]]));
}

// A network's name, and behind it its ID, by which p2pvpn-coordinator means one of several with the name.
const nameOf = n => el("span", { title: n.id }, n.name || el("code", {}, n.id));
const calledBy = id => nameOf(networks?.networks.find(n => n.id === id) || { id });

function networksCard() {
  const find = el("input", { type: "search", placeholder: "Name or ID", "aria-label": "Find a network by name or ID", "data-key": "find", value: wanted, oninput: e => { wanted = e.target.value.trim().toLowerCase(); list(); } });
  const place = el("div", {});
  function list() {
    const found = networks.networks.filter(n => n.id.includes(wanted) || (n.name || "").includes(wanted)).sort((a, b) => b.members - a.members || b.bytes - a.bytes);
    place.replaceChildren(table(["Network", "Members", "Online", "Statements", "Stored", "Last seen"], found.slice(0, SHOWN).map(n => [nameOf(n), count(n.members), count(n.online),
      count(n.statements), bytes(n.bytes + (n.copies || 0)), n.online > 0 ? "now" : n.seen ? ago(n.seen) : `not since the coordinator started ${span(networks.uptime)} ago`]), wanted ? "None found." : "None yet."),
      found.length > SHOWN ? el("p", { class: "quiet" }, `The largest ${SHOWN} of ${count(found.length)}.`) : "");
  }
  if (networks) list();
  return el("section", { class: "card wide" }, el("h2", {}, "Networks"), networks ? [networks.networks.length > 10 && find, place] : el("p", { class: "quiet" }, "Loading …"));
}

function homesCard(s) {
  if (!s.cluster.coordinators) return null;
  const c = s.cluster;
  return el("section", { class: "card wide" }, el("h2", {}, "Homes"), el("p", {}, `${c.coordinators} coordinators share the database. ${count(c.taken)} networks moved here. ${count(c.given)} were handed to others, and ${count(c.lost)} were taken by others.`),
    homes?.coordinators && [table(["Coordinator", "Addresses", "Homes", "State"], homes.coordinators.map(o => [o.name, o.addresses, count(o.homes), !o.living ? "offline" : o.draining ? "draining" : "running"])),
      table(["Network", "Home", "Since", "Why"], homes.homes.slice(0, SHOWN).map(h => [calledBy(h.network), h.home ? `${h.home}${h.living ? "" : " (away)"}` : "none", clock(h.since), h.why]), "No network has a home yet."),
      homes.homes.length > SHOWN && el("p", { class: "quiet" }, `The first ${SHOWN} of ${count(homes.homes.length)}.`)],
    homes?.failed && el("p", { class: "quiet" }, homes.failed));
}

function paint() {
  const s = status;
  document.getElementById("link").textContent = failed ? `Not connected: ${failed}` : "";
  if (!s) return;
  document.getElementById("version").textContent = s.coordinator ? `· ${s.coordinator}` : "";
  if (s.standby) return show(main, el("h1", {}, "Standby"), el("p", { class: "card" }, s.serves ? `${s.serves} uses the database.` : s.error || "Connecting to the database."));
  show(main, el("h1", {}, "Overview"), figures(s), el("div", { class: "cards" }, problems(s), plots(), connections(s), relay(s), limits(s), store(s), server(s), networksCard(), homesCard(s)));
}

const rest = t => new Promise(resolve => setTimeout(resolve, t));

async function look() {
  status = await question("status");
  if ((steps++ % RARELY === 0 || status.networks !== networks?.networks.length) && !status.standby) {
    networks = await question("networks");
    if (status.cluster.coordinators) homes = await question("homes").catch(e => ({ failed: e.message }));
  }
  failed = "";
}

async function live() {
  for (;;) {
    let heard = true;
    try { await look(); } catch (e) {
      if (e.status === 401) return locked(main, "p2pvpn-coordinator web");
      failed = e instanceof Refused ? e.message : "p2pvpn-coordinator web does not answer: check that it still runs";
      steps = 0;
      heard = false;
    }
    remember(heard ? status : null);
    if (!document.hidden || past.length < FIRST) paint();
    await rest(past.length < FIRST ? 1500 : STEP * 1000);
  }
}

try {
  window.addEventListener("hashchange", () => { if (linked()) location.reload(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) paint(); });
  await enter();
  live();
} catch (e) {
  if (e.status === 403 || e.status === 401) locked(main, "p2pvpn-coordinator web");
  else show(main, el("p", { class: "card" }, e.message));
}
