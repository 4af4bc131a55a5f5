// SPDX-License-Identifier: MIT
// Overview: this node in the middle, behind its NAT; the coordinator above; members around.
import { call, hear, state } from "./net.js";
import { problems } from "./doctor.js";
import { bytes, el, facts, health, ms, natWords, say, set, show, span, svg } from "./util.js";

const FEW = 28; // members whose names are shown beside them at all times

const idOf = peer => peer.key || peer.name;
const rateOf = peer => state.rates.get(idOf(peer)) || 0;
const order = { good: 0, warn: 1, bad: 2, idle: 3, off: 4 };

// Places members on rings around the middle; the upper sector is the coordinator's.
function places(n, cx, cy, rx, ry) {
  const rings = Math.ceil(n / 56) || 1, out = [];
  for (let i = 0; i < n; i++) {
    const ring = i % rings, at = Math.floor(i / rings), many = Math.ceil(n / rings);
    const f = rings === 1 ? 1 : 0.62 + 0.38 * ring / (rings - 1);
    const a = -Math.PI / 2 + 0.55 + (2 * Math.PI - 1.1) * (at + 0.5 + ring / rings * 0.5) / many;
    out.push({ x: cx + rx * f * Math.cos(a), y: cy + ry * f * Math.sin(a) });
  }
  return out;
}

function button(key, kind, label, pressed, at, choose, ...shape) {
  return svg("g", { class: `node ${kind}`, tabindex: 0, role: "button", "aria-pressed": pressed ? "true" : "false",
    "aria-label": label, "data-key": key, transform: `translate(${at.x.toFixed(1)} ${at.y.toFixed(1)})`,
    onclick: choose, onkeydown: e => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); choose(); } } }, shape);
}

const short = (text, n) => [...text].length > n ? [...text].slice(0, n - 1).join("") + "…" : text;

// The map of these members at this width, and how it is brought up to date: elements are made once, so that a network of
// hundreds costs little with each event.
function draw(width, peers, choose) {
  const s = state.status;
  const w = Math.max(300, width), h = Math.max(340, Math.min(w * (peers.length > 8 ? 0.72 : 0.5), 820)), cx = w / 2, cy = h * 0.56;
  const crowd = peers.length > FEW, rx = w / 2 - (crowd ? 26 : Math.min(70, w * 0.14)), ry = Math.min(h * 0.4, h - cy - 34);
  const middle = { x: cx, y: cy }, coordinator = { x: cx, y: 34 }, at = places(peers.length, cx, cy, rx, ry), r = crowd ? 7 : 10;
  const up = svg("path", { "stroke-width": 1.5, d: `M${cx} ${cy}L${coordinator.x} ${coordinator.y}` });
  const ways = peers.map(() => svg("path", {}));
  const nodes = peers.map((peer, i) => button(idOf(peer), "", "", false, at[i], () => choose(idOf(peer)), svg("circle", { r }), svg("circle", { class: "core", r: r * 0.45 }),
    svg("text", { y: at[i].y > cy ? r + 17 : -r - 8 }, short(peer.name, w < 500 ? 9 : 16))));
  const server = button("coordinator", "named", "", false, coordinator, () => choose("coordinator"), svg("rect", { x: -52, y: -16, width: 104, height: 32, rx: 8 }),
    svg("text", { y: 5 }, "coordinator"));
  const self = button("self", "self named", `this node, ${s.self.name}`, false, middle, () => choose("self"),
    svg("circle", { r: 26 }), svg("text", { class: "in", y: 5 }, short(s.self.name, 8)));
  const nat = svg("text", { class: "small", x: cx, y: cy + Math.min(62, ry * 0.5) + 15 });

  function update(now, chosen) {
    const online = state.status.coordinator && state.status.coordinator.connected;
    const words = short(`NAT: ${natWords(state.status)}`, w < 500 ? 26 : 60);
    set(up, "class", `way ${online ? "good" : "bad"}`);
    set(server, "class", `node ${online ? "good" : "bad"} named`);
    set(server, "aria-label", `coordinator: ${online ? "connected" : "away"}`);
    say(nat, words);
    now.forEach((peer, i) => {
      const { kind, words } = health(peer), type = (peer.path || {}).type || "none", p = at[i], way = ways[i];
      set(way, "class", `way ${kind} ${type}`);
      set(way, "stroke-width", (1.6 + Math.min(7, 1.6 * Math.log10(1 + rateOf(peer) / 500))).toFixed(1));
      set(way, "d", type === "none" ? "" : type === "relay"
        ? `M${cx} ${cy}Q${cx} ${cy * 0.45} ${coordinator.x} ${coordinator.y + 16}Q${(p.x + cx) / 2} ${(p.y + coordinator.y) / 2 - 20} ${p.x} ${p.y}`
        : `M${cx} ${cy}L${p.x} ${p.y}`);
      set(nodes[i], "class", `node ${kind}`);
      set(nodes[i], "aria-label", `${peer.name}: ${words}`);
    });
    for (const node of [...nodes, server, self]) set(node, "aria-pressed", String(node.dataset.key === chosen));
  }

  return { update, picture: svg("svg", { viewBox: `0 0 ${w} ${h}`, role: "group", "aria-label": "Map of the network" },
    svg("ellipse", { class: "ring", cx, cy, rx: Math.min(86, rx * 0.5), ry: Math.min(62, ry * 0.5) }),
    svg("g", { class: crowd ? "thin" : "" }, up, ways), nat, svg("g", { class: crowd ? "crowd" : "" }, nodes, server, self)) };
}

const sample = (kind, words) => el("span", {}, svg("svg", { viewBox: "0 0 32 10", "aria-hidden": "true" },
  svg("path", { class: `way ${kind}`, "stroke-width": 3, d: "M2 5H30" })), words);

function legend() {
  return el("p", { class: "legend map" }, sample("good", "direct"), sample("warn relay", "relay"), sample("good static", "static"),
    sample("bad", "packet loss"), el("span", {}, "wider: more traffic"));
}

function aboutSelf(s) {
  return [el("h2", {}, s.self.name, " ", el("span", { class: "quiet" }, "this node")), facts([
    ["Addresses", [s.self.ip4, s.self.ip6].filter(Boolean).join(", ")],
    ["Network", `${s.network.name}, ${s.network.cidr}`],
    ["Public addresses", (s.public || []).join(", ") || "unknown"],
    ["NAT", natWords(s)],
    ["UDP", s.udp], ["State", s.state], ["Admin", s.self.admin ? "yes" : "no"],
    ["Uptime", span(s.uptime)], ["p2pvpnd", s.daemon]])];
}

function aboutCoordinator(s) {
  const c = s.coordinator || {};
  return [el("h2", {}, "Coordinator"), facts([
    ["Address", c.address], ["State", c.connected ? "connected" : "away"], ["Round trip", c.connected ? ms(c.rtt_ms) : null],
    ["Error", c.error], ["Members found without it", c.connected ? null : c.reached_without]]),
    (s.relays || []).length > 0 && el("h3", {}, "Relays"),
    (s.relays || []).map(r => facts([["Name", r.name], ["Address", r.address], ["State", r.error || r.state], ["Transport", r.transport],
      ["Round trip", ms(r.rtt_ms)], ["Members through it", r.relayed], ["Sent, received", `${bytes(r.tx_bytes)}, ${bytes(r.rx_bytes)}`]]))];
}

// The answer of `why`, when it has come.
export function aboutPath(peer) {
  const place = el("div", {}, el("p", { class: "quiet" }, "Loading …"));
  call("why", { peer: peer.key || peer.name }).then(why => show(place,
    el("p", {}, why.cause), why.todo && el("p", {}, el("b", {}, "What to do: "), why.todo),
    el("details", {}, el("summary", {}, "Details"), el("pre", {}, (why.lines || []).join("\n")))))
    .catch(e => show(place, el("p", {}, e.message)));
  return place;
}

function aboutPeer(peer) {
  const { kind, words } = health(peer), path = peer.path || {};
  return [el("h2", {}, el("span", { class: `dot ${kind}` }), peer.name), el("p", {}, words), facts([
    ["Round trip", path.rtt_ms === null ? null : ms(path.rtt_ms)], ["Traffic", rateOf(peer) > 0 ? `${bytes(rateOf(peer))}/s` : null]]),
    aboutPath(peer), el("p", { class: "row" }, el("a", { class: "button", href: `#/member/${encodeURIComponent(idOf(peer))}` }, "More"),
      !peer.gateway && el("a", { href: `#/chat/${encodeURIComponent(peer.name)}` }, "Chat"))];
}

// Those of the list below the map, in its order, and what brings them up to date.
function list(peers) {
  const rows = peers.map(peer => ({ dot: el("span", {}), name: el("span", {}, peer.name), words: el("small", {}) }));
  return { picture: el("ul", { class: "peers" }, rows.map((row, i) => el("li", {}, el("a", { href: `#/member/${encodeURIComponent(idOf(peers[i]))}`, "data-key": `list-${idOf(peers[i])}` },
    row.dot, row.name, row.words)))), update: now => now.forEach((peer, i) => {
    const { kind, words } = health(peer), path = peer.path || {}, text = path.rtt_ms ? `${words}, ${ms(path.rtt_ms)}` : words;
    set(rows[i].dot, "class", `dot ${kind}`);
    say(rows[i].words, text);
  }) };
}

// Draws anew only when there are others, or in another order; else what is there is brought up to date.
function keep(place, make) {
  let drawn = "", what = null;
  return (peers, sign, ...more) => {
    const now = JSON.stringify([sign, peers.map(p => [idOf(p), p.name])]);
    if (now !== drawn) {
      drawn = now;
      what = make(peers);
      show(place, what.picture);
    }
    what.update(peers, ...more);
  };
}

const byName = (a, b) => a.name < b.name ? -1 : 1;

export function overview(main) {
  let chosen = "self", width = 0;
  const map = el("div", {}), about = el("section", { class: "card", "aria-live": "polite" }), members = el("div", {}), top = el("div", { class: "figures" });
  const alone = el("p", { class: "quiet" }, "No other members yet. To add one, make an invite on the page Network.");
  const body = el("div", { class: "overview" }, el("section", { class: "card map", "aria-label": "Map" }, map, legend()),
    el("div", {}, about, el("br"), el("section", { class: "card" }, el("h2", {}, "Members"), members, alone)));
  const drawMap = keep(map, peers => draw(width, peers, choose)), drawList = keep(members, list);
  let shown = null;

  function choose(id) { chosen = id; shown = null; paint(); }

  function details(s) {
    const peer = state.peers.find(p => idOf(p) === chosen);
    // The answer of `why` stays until the path is another.
    const key = chosen + (peer ? JSON.stringify([health(peer), peer.path?.type]) : JSON.stringify([s.state, s.coordinator?.connected, s.public]));
    if (shown === key) return;
    shown = key;
    show(about, peer ? aboutPeer(peer) : chosen === "coordinator" ? aboutCoordinator(s) : aboutSelf(s));
  }

  function paint() {
    const s = state.status;
    if (!s) { show(main, el("p", { class: "quiet" }, state.link || "Loading …")); return; }
    if (!s.network) {
      const sudo = s.stack ? "" : "sudo "; // the user of a p2pvpnd of its own needs none
      show(main, el("div", { class: "card" }, el("h1", {}, "Not in a network"), el("p", {}, "Run one of these commands in a terminal:"),
        el("pre", {}, `${sudo}p2pvpnctl create URL\n${sudo}p2pvpnctl join TOKEN`)));
      return;
    }
    if (!s.self) {
      show(main, el("div", { class: "card" }, el("h1", {}, s.network.name),
        s.problems.length > 0 ? s.problems.map(text => el("p", {}, text)) : el("p", { class: "quiet" }, "Joining …")));
      return;
    }
    if (!body.isConnected) show(main, el("h1", {}, "Overview"), top, body);
    const rate = state.peers.reduce((n, p) => n + rateOf(p), 0), direct = state.peers.filter(p => ["direct", "static"].includes(p.path?.type)).length;
    show(top, [[`${s.roster.online} of ${s.roster.members}`, "members online"], [direct, "direct"],
      [state.peers.filter(p => p.path?.type === "relay").length, "relayed"], [`${bytes(rate)}/s`, "traffic"],
      [problems(s).length, problems(s).length === 1 ? "problem" : "problems"]].map(([n, what]) => el("div", { class: "figure" }, el("b", {}, String(n)), el("span", {}, what))));
    if (width > 0) drawMap([...state.peers].sort(byName), [width, s.self.name], chosen);
    details(s);
    drawList([...state.peers].sort((a, b) => order[health(a).kind] - order[health(b).kind] || byName(a, b)), 0);
    alone.hidden = state.peers.length > 0;
  }

  const sizes = new ResizeObserver(entries => {
    const now = Math.round(entries[0].contentRect.width);
    if (now > 0 && now !== width) { width = now; paint(); }
  });
  sizes.observe(map);
  const stop = hear(event => { if (event === null) paint(); });
  paint();
  return () => { stop(); sizes.disconnect(); };
}
