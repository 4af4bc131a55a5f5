// SPDX-License-Identifier: MIT
// The way to p2pvpnd: requests of the control socket, its events, and what this node knows now.

import { el, once } from "./util.js";

const KEY = "p2pvpn-key"; // of this origin only, its port included; worthless without the cookie
const SILENCE = 25000;    // ms: the server gives a sign of life every ten seconds
const PAST = 3600;        // s: of what happened before the page was opened
const FIGURES = 10;       // s: round trips and amounts come so often
const PATIENCE = 4000;    // ms: p2pvpnd answers most requests at once, and says at the latest by then how far it is
const AGAIN = [500, 1000]; // ms: until a request is made again
// Commands that do no more when p2pvpnd gets them twice: the page asks for the `inbox` with peek alone.
const REPEATABLE = new Set(["can", "coordinators", "files", "history", "inbox", "invite_list", "muted", "peers", "read", "room_list", "room_members",
  "routes", "rules", "stats", "status", "why"]);
const HANGS = "p2pvpnd does not answer";
const SILENT = "p2pvpnctl web does not answer: check that it still runs";

export class Refused extends Error {
  constructor(text, code, status) { super(text); this.code = code; this.status = status; }
}

// The state that all pages show. `link` is null while p2pvpnd answers, else why not.
export const state = { status: null, peers: [], rates: new Map(), link: "", locked: false, news: [] };

const hearers = new Set();
// Calls fn(event) at each event of p2pvpnd, and with null when `state` is newer. Returns how to stop.
export function hear(fn) { hearers.add(fn); return () => hearers.delete(fn); }
// An error of one of them is in the console, and keeps nobody else from hearing, nor live() from going on.
export const changed = () => tell(null); // what is shown beside `state` did
function tell(event) { for (const fn of [...hearers]) try { fn(event); } catch (e) { reportError(e); } }

// The token, where the address is a link of p2pvpnctl web.
export const linked = () => /^#([A-Za-z0-9_-]{43})$/.exec(location.hash)?.[1];

// The link's token becomes a session: a cookie, and a key that only this origin can read.
export async function enter() {
  const token = linked();
  if (!token) return;
  history.replaceState(null, "", location.pathname + "#/");
  const response = await fetch("/enter", { method: "POST", body: token });
  const answer = await response.json();
  if (answer.ok) localStorage.setItem(KEY, answer.key);
  else if (!localStorage.getItem(KEY)) throw new Refused(answer.error, answer.code, response.status);
}

async function* lines(response, alive) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      alive();
      const parts = (rest + value).split("\n");
      rest = parts.pop();
      for (const part of parts) if (part !== "") yield JSON.parse(part);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

const post = (body, signal) => fetch("/api", { method: "POST", signal, cache: "no-store", body: JSON.stringify({ id: 1, ...body }),
  headers: { "X-P2pvpn-Key": localStorage.getItem(KEY) || "" } });

// An interface that goes or comes ends the requests that a browser begins then (Chromium's ERR_NETWORK_CHANGED), and is an event of
// p2pvpnd's for which the page asks anew, on a connection that stands. It makes a repeatable one again: no other event may follow.
async function postAgain(body, signal) {
  for (const wait of REPEATABLE.has(body.cmd) ? AGAIN : []) {
    try { return await post(body, signal); } catch (e) { if (!(e instanceof TypeError)) throw e; }
    await new Promise(resolve => setTimeout(resolve, wait));
  }
  return post(body, signal);
}

async function refuse(response) {
  const answer = await response.json();
  if (response.status === 401) { state.locked = true; tell(null); }
  throw new Refused(answer.error, answer.code, response.status);
}

// A file that p2pvpnd has received, as the browser's: it asks its user where to, as it does with all, and does not tell us whether
// that went well. So p2pvpnd keeps its copy until the user says so (saved()).
export async function save(file) {
  const response = await post({ cmd: "file_get", number: file.id });
  if (!response.ok) await refuse(response);
  if (response.headers.get("Content-Type") !== "application/octet-stream") {
    const answer = JSON.parse(await response.text());
    throw new Refused(answer.error, answer.code, 200);
  }
  const url = URL.createObjectURL(await response.blob());
  el("a", { href: url, download: file.name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}
export const saved = file => call("file_saved", { number: file.id });

const transfers = once(() => call("files"));

// Offers a file to members (at most 16), and lasts until each has it or will not: p2pvpnd reads it by this connection.
// offer: of a file for a room that, and as transfer the id of the line that says so. Those who cannot be offered it are told in one error at the end.
export async function send(peers, file, offer = {}) {
  const abort = new AbortController(), open = new Set(), refused = [];
  const fields = [...peers.map(peer => ["peer", peer]), ["name", file.name], ...Object.entries(offer)];
  const response = await fetch(`/file?${fields.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&")}`, { method: "POST",
    body: file, signal: abort.signal, headers: { "X-P2pvpn-Key": localStorage.getItem(KEY) || "" } });
  if (!response.ok) await refuse(response);
  let answers = 0;
  const ended = () => { if (answers === peers.length && open.size === 0) abort.abort(); };
  const take = files => {
    for (const f of files) if (!["offered", "accepted"].includes(f.state)) open.delete(f.id);
    ended();
  };
  const look = () => transfers().then(a => take(a.files)).catch(() => {});
  const stop = hear(event => {
    if (event?.event === "file" && event.file) take([event.file]);
    else if (event && ["file", "missed", "caught-up"].includes(event.event)) look(); // told late: without the file
  });
  try {
    for await (const line of lines(response, () => {})) {
      if (line.event) continue;
      answers++;
      if (line.ok) { open.add(line.file.id); tell({ event: "file", file: line.file }); look(); } else refused.push(line.error);
      ended();
    }
  } catch (e) {
    if (e.name !== "AbortError") throw e;
  } finally {
    stop();
  }
  if (refused.length > 0) throw new Refused(refused.join("; "), 1, 200);
}

// Calls slow() when nothing was said for so many ms, since the last heard() and before ended().
function patience(most, slow) {
  let timer = setTimeout(slow, most);
  const ended = () => clearTimeout(timer);
  return { heard: () => { ended(); timer = setTimeout(slow, most); }, ended };
}

// Some requests take their time. The status does not: whether p2pvpnd hangs is seen by that. It is asked for alone: refresh() may
// have its status already, and wait for the peers.
function doubt(cmd) {
  if (cmd === "status") tellLink(HANGS);
  else knock().catch(() => {});
}
const knock = once(() => call("status"));

// Sends one request; event(e) is called for each event before the answer, which is returned. One that the server gives no sign
// of life for is ended, as when a network went while it was under way: what waits for it would wait for ever.
export async function call(cmd, fields, event) {
  const abort = new AbortController(), server = patience(SILENCE, () => abort.abort());
  const daemon = patience(PATIENCE + 1000 * (fields?.figures || 0), () => doubt(cmd));
  try {
    const response = await postAgain({ cmd, ...fields }, abort.signal);
    if (!response.ok) await refuse(response);
    for await (const line of lines(response, server.heard)) {
      daemon.heard();
      if (state.link === HANGS) tellLink(null);
      if (line.event) { if (event) event(line); continue; }
      if (!line.ok) throw new Refused(line.error, line.code, 200);
      return line;
    }
    throw new Refused("p2pvpnd has stopped or restarts", 8, 0);
  } catch (e) {
    throw abort.signal.aborted ? new Refused(SILENT, 8, 0) : e;
  } finally {
    daemon.ended();
    server.ended();
  }
}

// The output of the subcommand of that name with --json, or why there is none: of the coordinator's page all, of a node's `doctor`.
export async function question(cmd) {
  const response = await post({ cmd });
  if (!response.ok) await refuse(response);
  const said = (await response.text()).split("\n"), doc = said.findLast(line => line.startsWith("{"));
  if (!doc) throw new Refused(said.join(" ").replace("p2pvpn-coordinator: ", "").trim() || "p2pvpnctl web gave no answer", 8, 200);
  return JSON.parse(doc);
}

// --- what this node knows

let figuresAt = 0, amounts = new Map();

// Bytes a second of each member, from two lists.
function measure(peers) {
  const now = performance.now(), dt = (now - figuresAt) / 1000, next = new Map();
  for (const peer of peers) {
    const sum = (peer.tx_bytes || 0) + (peer.rx_bytes || 0), id = peer.key || peer.name;
    next.set(id, sum);
    if (figuresAt && dt > 0.5 && amounts.has(id)) state.rates.set(id, Math.max(0, sum - amounts.get(id)) / dt);
  }
  if (!figuresAt || dt > 0.5) { amounts = next; figuresAt = now; }
}

function takeFigures(figures) {
  for (const f of figures) {
    const peer = state.peers.find(p => p.name === f.name);
    if (!peer || !peer.path) continue;
    Object.assign(peer, { tx_bytes: f.tx_bytes, rx_bytes: f.rx_bytes });
    Object.assign(peer.path, { rtt_ms: f.rtt_ms, loss: f.loss });
  }
  measure(state.peers);
  tell(null);
}

// In no network (4), or no member of it (11: it waits, was removed, has expired), this machine has no peers: its status says why.
export const refresh = once(async () => {
  const [status, list] = await Promise.all([call("status"), call("peers").catch(e => {
    if ([4, 11].includes(e.code)) return { peers: [] };
    throw e;
  })]);
  state.status = status;
  state.peers = list.peers;
  measure(list.peers);
  tell(null);
});

// --- events: of all tabs of a browser one listens, and tells the others

const channel = new BroadcastChannel("p2pvpn");
let seq = null, away = null;

function take(event) {
  if (typeof event.seq === "number") seq = Math.max(seq ?? 0, event.seq);
  if (event.event === "now") {
    if (away && away.length > 0) state.news.push(away);
    away = null;
    tell({ event: "caught-up" });
    return;
  }
  if (event.event === "figures") return takeFigures(event.peers);
  if (away && event.event !== "read") away.push(event);
  if (!["message", "read", "state", "file"].includes(event.event)) refresh().catch(() => {});
  tell(event);
}

function setLink(why) {
  if (state.link === why) return;
  state.link = why;
  tell(null);
}

// In all tabs.
function tellLink(why) {
  setLink(why);
  channel.postMessage({ link: why });
}

channel.onmessage = ({ data }) => {
  if (data.event) take(data.event);
  if ("link" in data) setLink(data.link);
};

const pause = t => new Promise(resolve => {
  const timer = setTimeout(end, t);
  function end() { clearTimeout(timer); document.removeEventListener("visibilitychange", end); resolve(); }
  document.addEventListener("visibilitychange", end);
});

async function listen() {
  await refresh();
  away = seq === null ? null : [];
  tellLink(null);
  await call("watch", { what: "all", figures: FIGURES, ...(seq === null ? { since: Math.floor(Date.now() / 1000) - PAST } : { seq }) }, event => {
    take(event);
    channel.postMessage({ event });
  });
}

export async function live() {
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh().catch(() => {}); });
  refresh().then(() => setLink(null)).catch(e => setLink(e.message));
  await navigator.locks.request("p2pvpn-events", async () => {
    for (let wait = 500; !state.locked; wait = Math.min(wait * 2, 8000)) {
      const began = performance.now();
      let why = SILENT;
      try { await listen(); } catch (e) { if (e instanceof Refused) why = e.message; }
      if (performance.now() - began > 10000) wait = 500;
      tellLink(why);
      await pause(wait);
    }
  });
}
