// SPDX-License-Identifier: MIT
// Starts, and shows the page that the address names: #/, #/member/KEY, #/chat/WHO, #/network, #/health.
import { overview } from "./map.js";
import { member } from "./member.js";
import { chat, showsUnread, unread } from "./chat.js";
import { network } from "./network.js";
import { health } from "./health.js";
import { enter, hear, linked, live, state } from "./net.js";
import { doctor, problems } from "./doctor.js";
import { answered, clock, count, el, leaveNotes, locked, note, say, set, show } from "./util.js";

const pages = { "": overview, member, chat, network, health };
const main = document.getElementById("main");
let leave = null;

function route() {
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  const page = Object.hasOwn(pages, name) ? name : "";
  if (leave) leave();
  leave = null;
  leaveNotes();
  for (const link of document.querySelectorAll("header nav a"))
    if (link.dataset.page === (page === "" || page === "member" ? "overview" : page)) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  // A place of its own: an answer that comes when the page was left is shown nowhere.
  const place = el("div", { class: "page" });
  show(main, place);
  let what = null;
  try { what = rest.length > 0 && rest[0] !== "" ? decodeURIComponent(rest.join("/")) : null; } catch { /* not ours */ }
  leave = pages[page](place, what);
}

function badge(id, n, what) {
  const place = document.getElementById(id);
  if (place.hidden !== (n === 0)) place.hidden = n === 0;
  say(place, n > 99 ? "99+" : String(n));
  set(place, "aria-label", `${n} ${what}`);
}

function lock() {
  if (leave) leave();
  leave = null;
  document.querySelector("header nav").hidden = true;
  locked(main, "p2pvpnctl web", ["With ", el("code", {}, "sudo"), ", or with your own p2pvpnd --user, the page can also change settings."]);
}

function frame() {
  const s = state.status;
  if (state.locked) return lock();
  const name = s?.network ? s.network.name : "";
  say(document.getElementById("network"), name ? `· ${s.self ? `${s.self.name} in ` : ""}${name}` : "");
  say(document.querySelector("title"), `${name || "p2pvpn"}${unread() > 0 ? ` (${unread()})` : ""}`);
  say(document.getElementById("link"), state.link ? `Not connected: ${state.link}` : "");
  badge("problems", s ? problems(s).length : 0, "problems");
  badge("unread", unread(), "unread messages");
  if (state.news.length > 0) tellMissed();
}

let missed = [], missedNote = null;
// In one note, until somebody closes it.
function tellMissed() {
  if (!missedNote?.isConnected) missed = [];
  missed.push(...state.news.splice(0).flat());
  const lost = missed.filter(e => e.event === "missed").reduce((n, e) => n + (e.count || 0), 0);
  const told = missed.filter(e => e.text);
  missedNote?.remove();
  missedNote = note(`${count(told.length + lost, "event")} happened while this page was not connected.`, "away",
    el("ul", {}, told.slice(-50).map(e => el("li", {}, `${clock(e.time)} ${e.text}`)), lost > 0 && el("li", {}, `and ${lost} earlier`)));
}

try {
  // A new link where the page is open already changes only what is behind #.
  window.addEventListener("hashchange", () => { if (linked()) location.reload(); });
  await enter();
  hear(frame);
  hear(event => { if (event?.event === "caught-up") answered(); });
  showsUnread(frame);
  window.addEventListener("hashchange", () => {
    if (linked()) return;
    route();
    main.focus();
  });
  route();
  live();
  doctor().catch(() => {}); // Health says why there is none
} catch (e) {
  if (e.status === 403 || e.status === 401) lock();
  else show(main, el("p", { class: "card" }, e.message));
}
