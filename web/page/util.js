// SPDX-License-Identifier: MIT
// Elements and texts. A text that comes from members becomes text nodes here, and never markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attrs, kids) {
  for (const [name, value] of Object.entries(attrs || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else if (name === "value") node.value = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const kid of kids.flat(Infinity))
    if (kid !== null && kid !== undefined && kid !== false) node.append(kid);
  return node;
}

// An input has the direction of the first letter that is typed.
const typed = (tag, attrs) => tag === "textarea" || (tag === "input" && ["text", "search"].includes(attrs?.type));
export const el = (tag, attrs, ...kids) => fill(document.createElement(tag), typed(tag, attrs) ? { dir: "auto", ...attrs } : attrs, kids);
export const svg = (tag, attrs, ...kids) => fill(document.createElementNS(SVG, tag), attrs, kids);

// Changes what is different: a browser lays out anew whatever is set.
export function set(node, name, value) { if (node.getAttribute(name) !== value) node.setAttribute(name, value); }
export function say(node, text) { if (node.textContent !== text) node.textContent = text; }

// Where the pointer is down, and what places shall show when it is up again: a click is one on what stands there at both
// moments, so that what is replaced in between would take it along.
let pressed = null;
const later = new Map();

function release() {
  pressed = null;
  const shows = [...later];
  later.clear();
  for (const [place, kids] of shows) show(place, ...kids);
}

addEventListener("pointerdown", e => { if (e.button === 0) pressed = e.target; }, true);
for (const end of ["pointerup", "pointercancel"])
  addEventListener(end, () => { if (pressed) setTimeout(release); }, true); // after the click, which comes right behind it
addEventListener("pointermove", e => { if (pressed && e.buttons === 0) release(); }, true); // it went up elsewhere

// Replaces what a place shows. An element that had the focus, or what an input has, has it afterwards (data-key).
export function show(place, ...kids) {
  later.delete(place);
  if (pressed && place.contains(pressed)) {
    later.set(place, kids);
    return;
  }
  const active = place.contains(document.activeElement) ? document.activeElement : null;
  const key = active?.closest("[data-key]")?.getAttribute("data-key");
  const kept = {};
  for (const field of place.querySelectorAll("input[data-key], select[data-key], textarea[data-key]"))
    kept[field.dataset.key] = field.type === "checkbox" ? field.checked : field.value;
  place.replaceChildren(...kids.flat(Infinity).filter(kid => kid !== null && kid !== undefined && kid !== false));
  for (const field of place.querySelectorAll("input[data-key], select[data-key], textarea[data-key]"))
    if (kept[field.dataset.key]) field[field.type === "checkbox" ? "checked" : "value"] = kept[field.dataset.key];
  if (key) for (const node of place.querySelectorAll("[data-key]"))
    if (node.getAttribute("data-key") === key) node.focus();
}

// For a browser without a session.
export function locked(place, command, more) {
  show(place, el("div", { class: "card" }, el("h1", {}, "This browser has no session"),
    el("p", {}, "Run this command in a terminal on this machine, and open the link that it prints:"),
    el("pre", {}, command), el("p", {}, "A link works once, and only while the command runs. ", more)));
}

// As pv_bytes_format(): 1,023.95 would be rounded to 1024.0, which the next unit says better.
export function bytes(n) {
  if (n === null || n === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
  let i = 0;
  while (n >= 1023.95 && i < units.length - 1) { n /= 1024; i++; }
  return `${i === 0 ? Math.round(n) : n.toFixed(1)} ${units[i]}`;
}

// As `p2pvpnctl status -l`.
export function natWords(s) {
  const nat = s.hard_nat || {}, mapped = (s.port_mappings || []).find(m => m.state === "working");
  if (s.udp === "blocked") return "UDP is blocked";
  if (s.unseen) return "not seen: the coordinator is in this LAN";
  const words = { same: "the same port for all destinations", varies: `symmetric: another port for each destination (${nat.ports || "?"})` };
  return (words[nat.mapping] || "unknown") + (mapped ? `, port mapped by ${mapped.protocol}` : "");
}

export const count = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;
// A text of others, of whatever direction.
export const own = text => el("bdi", {}, text);

// Returns true if the key sends what was typed. The Enter that ends a composition does not: Safari tells the end of the
// composition before the key, whose code is 229 then.
export const sends = e => e.key === "Enter" && !e.shiftKey && !e.isComposing && e.keyCode !== 229;

const ADDRESS = /(?<![A-Za-z0-9])https?:\/\/[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=%]+/gi;
const ENDS = { ")": "(", "]": "[" };
// An address without the mark that ends a sentence, or the bracket that was opened before it.
function withoutEnd(address) {
  for (;;) {
    const last = address.at(-1), many = c => address.split(c).length;
    if (!(".,;:!?'".includes(last) || (last in ENDS && many(ENDS[last]) < many(last)))) return address;
    address = address.slice(0, -1);
  }
}
// The text with its addresses of the web as links.
export function linkified(text) {
  const parts = [];
  let done = 0;
  for (const found of text.matchAll(ADDRESS)) {
    const address = withoutEnd(found[0]);
    if (!/^https?:\/\/[A-Za-z0-9[]/i.test(address)) continue;
    parts.push(text.slice(done, found.index), el("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, address));
    done = found.index + address.length;
  }
  return [...parts, text.slice(done)];
}

let lists = 0;
// An input, and the list of words that it offers.
export function choice(attrs, words) {
  const id = `list-${++lists}`;
  return [el("input", { type: "text", list: id, ...attrs }), el("datalist", { id }, [...new Set(words)].map(value => el("option", { value })))];
}

export const ms = n => n === null || n === undefined ? "–" : `${n < 10 ? n.toFixed(1) : Math.round(n)} ms`;
export const percent = n => n === null || n === undefined ? "–" : `${(n * 100).toFixed(n < 0.1 && n > 0 ? 1 : 0)} %`;

export function ago(t) {
  if (!t) return "never";
  const s = Math.max(0, Date.now() / 1000 - t);
  if (s < 60) return "just now";
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ago`;
  return `${Math.floor(s / 86400)} days ago`;
}

export function span(s) {
  if (s === null || s === undefined) return "–";
  if (s < 60) return `${Math.round(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min`;
  return `${Math.floor(s / 86400)} days`;
}

export function clock(t) {
  const d = new Date(t * 1000), today = new Date().toDateString() === d.toDateString();
  const time = d.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return today ? time : `${d.toLocaleDateString([], { day: "numeric", month: "short" })} ${time}`;
}

// How a member is reached: a class for the colour, and words.
export function health(peer) {
  const path = peer.path || { type: "none" };
  if (peer.state && peer.state !== "member") return { kind: "off", words: peer.state };
  if (peer.gateway) {
    const at = peer.last_handshake;
    return { kind: peer.online ? "good" : "off", words: `${peer.online ? "online" : "offline"}, phone of ${peer.gateway}${at ? `, handshake ${ago(at)}` : ""}` };
  }
  if (path.type === "none") return peer.online ? { kind: "idle", words: "idle" }
                                               : { kind: "off", words: "offline" };
  const lossy = path.loss !== null && path.loss > 0.02;
  const words = { direct: "direct", static: "static", relay: "relay" }[path.type] || path.type;
  if (lossy) return { kind: "bad", words: `${words}, ${percent(path.loss)} loss` };
  return { kind: path.type === "relay" ? "warn" : "good", words };
}

const REST = 200; // ms

// Lets run() go one at a time: however often it is called for meanwhile, it goes once more, a moment later. So events that
// come as a flood cause few requests. The value that comes back is of a run that began after the call.
export function once(run) {
  let last = Promise.resolve(), next = null;
  return () => next ??= last.then(() => {
    next = null;
    const now = run();
    last = now.catch(() => {}).then(() => new Promise(resolve => setTimeout(resolve, REST)));
    return now;
  });
}

let dialogs = 0;
// Asks before something that is hard to undo. The text that is typed into the field, which offers words, comes back; null: not wanted.
export function ask(title, text, does, field, words = []) {
  return new Promise(resolve => {
    const [input, list] = field ? choice({ "aria-label": field, placeholder: field, maxlength: 4000 }, words) : [null, null];
    const id = `dialog-${++dialogs}`;
    const box = el("dialog", { "aria-labelledby": id, onclose: () => {
      resolve(box.returnValue === "yes" ? (input ? input.value : "") : null);
      box.remove();
    } },
      el("form", { method: "dialog" }, el("h2", { id }, title), text && el("p", {}, text), input, list,
        el("p", { class: "row end" }, el("button", { value: "no", formnovalidate: true }, "Cancel"),
          el("button", { value: "yes", class: "main" }, does))));
    document.body.append(box);
    if (input) input.addEventListener("keydown", e => {
      if (e.key !== "Enter") return;
      e.preventDefault();
      if (sends(e)) box.close("yes");
    });
    box.showModal();
  });
}

let noteTimer = null;
const NEW = 1000; // ms
// Another page is shown: notes about the page before go, but for those about what led here.
export function leaveNotes() {
  for (const box of document.querySelectorAll(".note")) if (Date.now() - box.made > NEW) box.remove();
}

// A message of p2pvpnd without the command that it names for a terminal: nobody types in a note.
export function plainly(text) {
  const at = text.indexOf("`");
  if (at < 0) return text;
  const end = Math.max(...[": ", "; ", ", ", ". "].map(mark => text.lastIndexOf(mark, at)));
  return end > 0 ? text.slice(0, end) : text.replaceAll("`", "");
}

// A note below the page, which is returned. It goes by itself unless it is an error; the same one does not stand there twice.
export function note(text, kind, more) {
  const place = document.getElementById("notes");
  const box = el("div", { class: `note ${kind || ""}` }, el("div", { dir: "auto" }, text, more),
    el("button", { class: "plain", "aria-label": "Close", onclick: () => box.remove() }, "✕"));
  for (const other of [...place.children]) if (other.isEqualNode(box)) other.remove();
  box.made = Date.now();
  place.append(box);
  while (place.children.length > 4) place.firstChild.remove();
  if (!kind) {
    clearTimeout(noteTimer);
    noteTimer = setTimeout(() => { for (const n of place.querySelectorAll(".note:not(.bad):not(.away)")) n.remove(); }, 6000);
  }
  return box;
}

const NOT_RUNNING = 8; // of p2pvpnd's codes
// Says what failed. That nobody answered is no news once somebody does: answered() takes it away.
export function complain(e, about) {
  const text = plainly(e.message);
  note(about ? `${about}: ${text}` : text, e.code === NOT_RUNNING || e instanceof TypeError ? "bad gone" : "bad"); // TypeError: of fetch()
}
export function answered() { for (const box of document.querySelectorAll(".note.gone")) box.remove(); }

// Runs an action of a button: what fails is said, what is done as well.
export async function act(button, done, action) {
  if (button) button.disabled = true;
  try {
    const answer = await action();
    if (done && answer !== null) note(done);
    return answer;
  } catch (e) {
    complain(e);
    return null;
  } finally {
    if (button) button.disabled = false;
  }
}

export function table(head, rows, empty) {
  if (rows.length === 0) return el("p", { class: "quiet" }, empty || "None.");
  return el("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": head[0] }, el("table", {},
    el("thead", {}, el("tr", {}, head.map(h => el("th", { scope: "col" }, h)))),
    el("tbody", {}, rows.map(row => el("tr", {}, row.map((cell, i) => el("td", { "data-head": head[i] }, cell)))))));
}

export const facts = rows => el("dl", { class: "facts" },
  rows.filter(r => r && r[1] !== null && r[1] !== undefined && r[1] !== "").map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
