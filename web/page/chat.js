// SPDX-License-Identifier: MIT
// Chat: conversations with members and rooms, what was said, and which of it has arrived.
import { call, hear, save, saved, send as sendFile, state } from "./net.js";
import { act, ask, bytes, clock, complain, count as plural, el, health, linkified, note, once, own as named, say, sends, show } from "./util.js";

const PAGE = 100, SEARCHED = 1000; // messages
const NEAR = 60; // px above the end of a log that count as its end
const LONGEST = 16384; // bytes of a message
const SOON = 1000; // ms: a line that p2pvpnd has not taken by then is shown as one that waits
const AT_ONCE = 16; // members that a file is offered to
const WORDS = { queued: "queued", sent: "sent", delivered: "arrived", read: "read" };
const HELD = { full: "the receiver is full", disk: "the receiver's disk is full", rules: "a rule denies it", silent: "a firewall there blocks chat", gone: "the receiver is no longer a member" };
const FILE = { offered: "offered", accepted: "on its way", done: "received", saved: "saved", refused: "refused", withdrawn: "withdrawn", failed: "failed" };

const news = new Map(); // conversation -> ids of its unread messages
const drafts = new Map(); // conversation -> the line that was begun for it
const begunFor = new Map(); // conversation -> the address of whoever had the name then; another one may have it since, or in another network
const underWay = new Map(); // conversation -> lines that p2pvpnd has not taken yet, in the order in which they were typed
// Another one in another network of the same name, too. undefined: not known.
const NOWHERE = "in no network", NOBODY = "nobody";
const membership = () => state.status ? state.status.network?.id ?? NOWHERE : undefined;
const waiting = talk => (underWay.get(talk) || []).filter(line => line.late);
const isBegun = talk => Boolean(drafts.get(talk)?.trim());
const isKeptHere = () => [...underWay.values()].some(lines => lines.length > 0) || [...drafts.keys()].some(isBegun);
addEventListener("beforeunload", e => { if (isKeptHere()) e.preventDefault(); });
const given = new Set(); // the transfers of files that the browser was given: whether it kept them its user knows
let rooms = [], files = [], open = null, loaded = false;
const painters = new Set();
// A painter of how much is unread is called when that changes.
export const showsUnread = paint => painters.add(paint);
const paintAll = () => { for (const paint of painters) paint(); };

const unreadIn = talk => isFollowed(talk) ? 0 : news.get(talk)?.size || 0;
export const unread = () => [...news.keys()].reduce((sum, talk) => sum + unreadIn(talk), 0);
const count = m => { news.set(talkOf(m), (news.get(talkOf(m)) || new Set()).add(m.id)); };
// The words of p2pvpnctl: of what its daemon does not vouch for, and of a name that is another machine's by now.
const brief = key => `key:${key.slice(0, 4)}`;
const sender = m => (m.unproven ? `somebody on ${m.from}'s machine` : m.from) + (m.from_former ? ` (former, ${brief(m.from_former)})` : "");
const changed = (name, since, key) => `${name} is another machine since ${clock(since)} (before: ${brief(key)})`;
// The word of p2pvpnd about what is unread or on its way: the state tells on which side the name is.
const changeOf = m => m.another_since ? changed(m.state === "unread" ? m.from : m.to, m.another_since, m.former) : null;

const talkOf = m => {
  const former = m.own ? m.to_former : m.from_former;
  return m.room || (former ? brief(former) : m.own ? m.to : m.from);
};
// Read is what is shown to a user who has done something in this page since the conversation was opened: another site may open
// its address, and a window may lie behind others.
let touched = false, atEnd = false; // atEnd: the open log shows its end, and no search hides a line of it
const isWatched = talk => open === talk && touched && !document.hidden && document.hasFocus();
// A line that comes there is shown and read at once: it never counts as unread.
const isFollowed = talk => isWatched(talk) && atEnd;

// Page by page.
async function allUnread() {
  const all = [];
  for (let from = {}, more = true; more;) {
    const page = await call("inbox", { peek: true, ...from });
    all.push(...page.messages);
    more = page.more && page.messages.length > 0;
    from = { after: page.messages.at(-1)?.id, upto: page.upto };
  }
  return all;
}

// A file of a room has the id of the line that offers it there. Its box says whose it is.
const waits = f => ["offered", "accepted"].includes(f.state) || (f.direction === "in" && f.state === "done");
// Of a room that nobody here is in nothing is told.
const isHeld = f => f.direction === "in" && f.state === "offered" && rooms.some(r => r.room === f.room && (r.invited || r.left));
const ownerOf = f => f.peer_former ? brief(f.peer_former) : f.peer.split(" ")[0];

let came = null; // events of messages that came or were read, and of files, while those are asked for
const load = once(async () => {
  loaded = true;
  try {
    came = [];
    // A machine that is no member any more is told of no rooms (11); its lines and files are there.
    const ofRooms = call("room_list").catch(e => { if (e.code === 11) return { rooms }; throw e; });
    const [inbox, list, transfers] = await Promise.all([allUnread(), ofRooms, call("files")]);
    news.clear();
    inbox.forEach(count);
    rooms = list.rooms;
    files = transfers.files;
    for (const event of came) takeNews(event);
  } catch (e) {
    loaded = e.code === 4; // in no network: there is nothing
    if (loaded) { news.clear(); rooms = []; files = []; }
  }
  came = null;
  paintAll();
});

// By id, so that nothing is counted twice.
function takeNews(event) {
  if (event.event === "message") count(event.message);
  if (event.event === "file") files = [event.file, ...files.filter(f => f.id !== event.file.id)];
  // In all conversations: the sender may have another name by now.
  for (const [talk, ids] of event.ids ? news : []) {
    for (const id of event.ids) ids.delete(id);
    if (ids.size === 0) news.delete(talk);
  }
}

function notify(m) {
  if (!document.hidden || !("Notification" in window) || Notification.permission !== "granted") return;
  const talk = talkOf(m), change = changeOf(m);
  const n = new Notification(m.room ? `${sender(m)} in ${m.room}` : sender(m), { body: change ? `${change}\n${m.text}` : m.text, tag: `p2pvpn-${talk}` });
  n.onclick = () => { window.focus(); location.hash = `#/chat/${encodeURIComponent(talk)}`; };
}

let handed = 0; // when a name changed hands last: what is unread of the machine that had it, and its files, stand elsewhere since
const nameOf = new Map(); // key -> the name that its machine had
let member; // the membership of which is loaded what there is
hear(event => {
  if (event === null) {
    const last = Math.max(0, ...state.peers.map(p => p.another_since || 0));
    const renamed = state.peers.some(p => nameOf.has(p.key) && nameOf.get(p.key) !== p.name);
    const moved = (last > handed || renamed) && (news.size > 0 || files.length > 0);
    handed = last;
    for (const p of state.peers) if (p.key) nameOf.set(p.key, p.name);
    if ((!loaded || moved || membership() !== member) && state.link === null) {
      member = membership();
      load();
    }
    return;
  }
  // An event that is told late comes without its message or file, and of what was missed nothing does.
  if (["caught-up", "missed", "room"].includes(event.event) || (["message", "file"].includes(event.event) && !event[event.event]) ||
      (event.event === "read" && !event.ids)) load();
  const isNew = event.event === "message" && event.message && !event.message.own && event.message.state === "unread";
  if (isNew || event.ids || (event.event === "file" && event.file)) {
    came?.push(event);
    takeNews(event);
  }
  if (isNew) notify(event.message);
  if (["message", "read", "state", "file"].includes(event.event)) paintAll();
});

// --- the list

// A phone, which has a gateway, and a static peer, which has no key, have no chat.
const partners = () => state.peers.filter(p => p.key && !p.gateway);

function talks(who) {
  const held = files.filter(f => f.direction === "in" && waits(f)).map(f => f.room || ownerOf(f));
  const begun = [...drafts.keys()].filter(isBegun);
  const names = new Set([...partners().map(p => p.name), ...news.keys(), ...held, ...begun]);
  for (const r of rooms) names.delete(r.room);
  const link = (talk, dot, rest) => {
    const more = waiting(talk).length > 0 || (talk !== who && isBegun(talk)) ? "not sent yet" : rest;
    return el("li", {}, el("a", { href: `#/chat/${encodeURIComponent(talk)}`, "data-key": `talk-${talk}`, "aria-current": talk === who ? "page" : null },
    dot, el("span", {}, talk), unreadIn(talk) ? el("small", {}, el("span", { class: "badge", "aria-label": `${unreadIn(talk)} unread` }, String(unreadIn(talk)))) : more && el("small", {}, more)));
  };
  const dotOf = name => {
    const peer = state.peers.find(p => p.name === name);
    return el("span", { class: `dot ${peer ? health(peer).kind : "off"}` });
  };
  // One that nobody here is in stands there while it is open, or has unread lines, or a begun one.
  const inRooms = rooms.filter(r => (!r.left && !r.invited) || unreadIn(r.room) > 0 || r.room === who || begun.includes(r.room)), invited = rooms.filter(r => r.invited && !r.left);
  return [invited.length > 0 && el("h2", {}, "Invitations"), invited.map(r => el("p", { class: "row" }, el("span", { class: "grow" }, r.room),
    el("button", { onclick: e => act(e.target, `You are in ${r.room}.`, () => call("room_accept", { room: r.room }).then(load)) }, "Join"))),
    el("h2", {}, "Rooms"), inRooms.length > 0 ? el("ul", { class: "peers" }, inRooms.map(r => link(r.room, null, r.left ? "left" : r.invited ? "invited" : plural(r.members, "member")))) : el("p", { class: "quiet" }, "None yet."),
    el("p", {}, el("button", { "data-key": "new-room", onclick: async e => {
      const name = await ask("New room", "The name has letters, digits and -. Invite members in the room.", "Create", "Name");
      if (name) act(e.target, null, async () => {
        const made = await call("room_create", { room: name });
        await load();
        location.hash = `#/chat/${encodeURIComponent(made.room)}`;
      });
    } }, "New room …")),
    el("h2", {}, "Members"), el("ul", { class: "peers" }, [...names].sort().map(name => link(name, dotOf(name)))),
    "Notification" in window && Notification.permission === "default" && el("p", {}, el("button", { "data-key": "notify",
      onclick: () => Notification.requestPermission().then(paintAll) }, "Notify about messages"))];
}

// --- one conversation

// Lines of a room may come long after they were written, as behind an invitation that was accepted late.
export const inTime = lines => [...lines].sort((a, b) => a.time - b.time);
const isNews = m => !m.own && m.state === "unread";
const stateOf = m => (WORDS[m.state] || m.state) + (m.held ? `: ${HELD[m.held] || m.held}` : "");

// The members of a room whom rules keep from a line.
function keptFrom(denied) {
  const some = denied.slice(0, 3).map(d => `${d.name} (${d.rule})`).join(", ");
  return denied.length > 3 ? `${some} and ${denied.length - 3} more` : some;
}

function bubble(m) {
  const own = Boolean(m.own), who = !own && (m.room || m.unproven || m.from_former) && sender(m);
  const deed = m.text.startsWith("/me ");
  return el("div", { class: `said${own ? " own" : ""}`, "data-message": m.id }, who && !deed && el("small", {}, named(who)),
    el("div", { dir: "auto" }, deed ? [`* ${sender(m)} `, linkified(m.text.slice(4))] : linkified(m.text)),
    el("small", {}, `${clock(m.time)}${own ? ` · ${stateOf(m)}` : ""}`));
}

const waitingBox = line => el("div", { class: "said own" }, el("div", { dir: "auto" }, line.said), el("small", {}, `${clock(line.time)} · not sent yet`));

function fileBox(f, inRoom) {
  const moving = f.state === "accepted" && f.done < f.size, name = f.name, whom = inRoom && (f.direction === "out" ? `to ${f.peer}` : `from ${f.peer}`);
  const button = (text, cmd, done) => el("button", { onclick: e => act(e.target, done, () => call(cmd, { number: f.id })) }, text);
  return el("div", { class: `said${f.direction === "out" ? " own" : ""}` }, el("b", { dir: "auto" }, name), ` ${bytes(f.size)}`, whom && ` ${whom}`,
    moving && el("progress", { max: f.size, value: f.done, "aria-label": `${name}, ${bytes(f.done)} of ${bytes(f.size)}` }),
    el("small", {}, `${clock(f.time)} · ${FILE[f.state] || f.state}${moving ? `, ${bytes(f.done)}` : ""}${f.why ? `: ${f.why}` : ""}`),
    el("p", { class: "row" }, f.direction === "in" && f.state === "offered" && button("Accept", "file_accept", `${name} is on its way.`),
      f.direction === "in" && f.state === "offered" && button("Refuse", "file_stop", `${name} was refused.`),
      f.direction === "out" && ["offered", "accepted"].includes(f.state) && button("Withdraw", "file_stop", `${name} was withdrawn.`)),
    f.direction === "in" && f.state === "done" && el("p", { class: "row" },
      el("button", { "data-key": `save-${f.id}`, onclick: e => act(e.target, null, async () => { await save(f); given.add(f.transfer); paintAll(); }) }, given.has(f.transfer) ? "Save again" : "Save"),
      given.has(f.transfer) && el("button", { "data-key": `saved-${f.id}`, onclick: e => act(e.target, `p2pvpnd deleted its copy of ${name}.`, () => saved(f)) }, "Delete from p2pvpnd")));
}

function write(who, text) {
  drafts.set(who, text);
  const line = open === who ? document.querySelector(".compose textarea") : null;
  if (line) line.value = text;
}

export function chat(main, who) {
  const list = el("nav", { class: "card talks", "aria-label": "Conversations" }), talk = el("section", { class: "card talk" });
  const body = el("div", { class: `chat${who ? " open" : ""}` }, list, talk), log = el("div", { class: "log", role: "log", "aria-label": "Messages", tabindex: 0 });
  const changes = el("div", { class: "quiet", role: "status" }), told = new Set();
  const search = el("input", { type: "search", placeholder: "Search", "aria-label": "Search this conversation", oninput: () => searchFor(search.value) });
  const below = el("button", { class: "main below", hidden: true, onclick: goToEnd });
  const room = who !== null && who.startsWith("#");
  let messages = [], more = false, answered = false, find = "", drawn = "";
  let member = membership(), wasMissing = false;
  // The name may be another's by now, of which this page has not heard yet.
  let known = null;
  const isThere = () => (room ? rooms : state.peers).some(x => (x.room || x.name) === who);
  const areKnown = () => room ? loaded && came === null : state.status !== null;
  const address = () => (known = (room ? rooms.find(r => r.room === who)?.address : state.peers.find(p => p.name === who)?.key) || known) || who;
  async function give(how, to = address()) {
    try { return await how(to); } catch (e) {
      throw known && e.message.includes(to) ? new Error(`not sent: ${who} is no longer the same ${room ? "room" : "machine"}`) : e;
    }
  }
  open = who;
  atEnd = false;
  touched = navigator.userActivation?.isActive ?? false;
  show(main, el("h1", {}, "Chat"), body);

  const isLow = () => log.scrollHeight - log.scrollTop - log.clientHeight < NEAR;
  const toEnd = () => { log.scrollTop = log.scrollHeight; };

  // A member's lines have the order in which they came, whatever its clock says.
  const inOrder = () => room ? inTime(messages) : messages;

  // How many of the lines stand above a file. A file has only a time, of its sender's clock: it stands behind what that one had said, and before the next later line.
  function linesAbove(f, lines) {
    const line = room ? lines.findIndex(m => m.id === f.transfer) : -1;
    if (line >= 0) return line + 1;
    const last = lines.findLastIndex(m => Boolean(m.own) === (f.direction === "out") && m.time <= f.time);
    const next = lines.findIndex((m, i) => i > last && m.time > f.time);
    return next < 0 ? lines.length : next;
  }

  // Pairs of a time and how to draw what has it.
  function entries(wanted, mine) {
    const lines = inOrder(), all = lines.map(m => [m.time, () => bubble(m)]), isFound = m => [m.text, m.from || ""].some(text => text.toLowerCase().includes(wanted));
    if (wanted) return all.filter((_, i) => isFound(lines[i]));
    const placed = mine.map(f => ({ f, at: linesAbove(f, lines) })).sort((a, b) => a.at - b.at || a.f.time - b.f.time);
    for (const { f, at } of placed.reverse()) all.splice(at, 0, [f.time, () => fileBox(f, room)]);
    return all;
  }

  function drawLog() {
    const low = isLow(), wanted = find.toLowerCase();
    // Without its line one stands in its room as long as somebody waits for it.
    const isHere = f => messages.some(m => m.id === f.transfer) || (f.room && waits(f) && !isHeld(f));
    const mine = files.filter(f => room ? f.room === who && isHere(f) : ownerOf(f) === who && !f.room);
    const late = wanted ? [] : waiting(who);
    const now = JSON.stringify([messages, wanted ? 0 : mine, find, more, answered, late, [...given]]);
    if (now === drawn) return look();
    drawn = now;
    const all = entries(wanted, mine);
    let day = "";
    const back = () => `Searched back to ${new Date(messages[0].time * 1000).toLocaleDateString([], { dateStyle: "medium" })}: search further`;
    show(log, more && el("button", { class: "day", "data-key": "older", onclick: e => act(e.target, null, older) }, wanted ? back() : "Earlier"),
      all.map(([time, box]) => {
        const today = new Date(time * 1000).toLocaleDateString([], { weekday: "long", day: "numeric", month: "long" });
        const head = today === day ? null : el("p", { class: "day" }, today);
        day = today;
        return [head, box()];
      }), late.map(waitingBox), answered && all.length + late.length === 0 && el("p", { class: "quiet" }, wanted ? `Nothing found${more ? " so far" : ""}.` : "No messages yet."));
    if (low) toEnd();
    look();
  }

  function searchFor(words) {
    const began = find === "";
    find = words;
    if (!find && messages.length > SEARCHED) { // as many as a search came by are not drawn at once
      messages = messages.slice(-SEARCHED);
      more = true;
    }
    if (began && find) fetchLog().catch(() => {});
    else drawLog();
  }

  function goToEnd() {
    search.value = "";
    searchFor("");
    toEnd();
    look();
    log.focus();
  }

  // The lines so far are of the machine, or the room, that had the name before.
  function forget() {
    messages = [];
    more = answered = false;
  }

  async function older() {
    const first = messages[0].id, page = await call("history", { peer: who, before: first, limit: find ? SEARCHED : PAGE });
    if (messages.length === 0) return undefined; // forgotten
    if (messages[0].id !== first) return older(); // others are at the top by now
    messages = [...page.messages, ...messages];
    more = Boolean(page.more);
    drawLog();
    log.scrollTop = 0;
  }

  function tell(...list) {
    for (const change of list) if (change) told.add(change);
    show(changes, [...told].map(change => el("p", {}, change)));
  }

  // Its machine has another name by now, under which all that comes stands: the page goes there, with the line that was begun.
  function follow() {
    const called = room || !who ? null : state.peers.find(p => p.key === address())?.name;
    if (!called || called === who) return;
    if (drafts.get(who) && !drafts.get(called)) {
      drafts.set(called, drafts.get(who));
      begunFor.set(called, begunFor.get(who));
      drafts.delete(who);
    }
    note(`${who} is called ${called} now.`);
    load(); // files have the name, too
    location.hash = `#/chat/${encodeURIComponent(called)}`;
  }

  // The name changed hands while it is open: a line may be begun for the machine that had it.
  let since = null;
  function tellHands() {
    const peer = state.peers.find(p => p.name === who);
    if (peer && since !== null && (peer.another_since || 0) > since) {
      tell(changed(who, peer.another_since, peer.former));
      forget(); // what was said with that one stands below its key
      fetchLog().catch(() => {});
    }
    if (peer) since = peer.another_since || 0;
    else if (state.status) since = 0; // its machine is gone
  }

  // In another network the name is somebody else's, whatever was said above.
  function tellNetwork() {
    if (!membership() || membership() === NOWHERE || membership() === member) return;
    if (member && who && !who.includes(":") && !who.includes("~")) { // a key is one machine's, and an id one room's
      told.clear();
      tell(`This machine is in network ${state.status.network?.name} now.`);
      forget();
      since = known = null;
      drawLog(); // it is asked for once somebody has the name: until then p2pvpnd takes it for the former one's
    }
    member = membership();
  }

  // The lines before those of the page stay for a reader above the end, and for a search: what is in view moves by nothing that comes.
  function take(page) {
    const kept = (isLow() && !find) || !page.more ? 0 : Math.max(0, messages.findIndex(m => m.id === page.messages[0]?.id));
    messages = [...messages.slice(0, kept), ...page.messages];
    if (kept === 0) more = Boolean(page.more);
    answered = true;
  }

  const fetchLog = once(async () => {
    const asked = membership();
    const page = await call("history", { peer: who, limit: Math.min(SEARCHED, find ? SEARCHED : Math.max(PAGE, messages.length, (news.get(who)?.size || 0) + 10)) });
    if (membership() !== asked) return;
    take(page);
    drawLog();
    tell(page.changed && changed(page.changed.name || who, page.changed.since, page.changed.key), ...messages.map(changeOf));
  });

  // The daemon reads a page at once, of long texts a small one.
  async function readTo(id) {
    while ((await call("read", { peer: who, through: id })).read > 0);
  }

  let asked = null; // the line up to which all are being told as read
  function markRead(lines) {
    const last = lines.at(-1).id;
    if (last === asked || !isWatched(who)) return;
    asked = last;
    readTo(last).then(() => setRead(lines.map(m => m.id))).catch(() => {}).finally(() => { asked = null; });
  }

  function setRead(ids) {
    for (const m of messages) if (isNews(m) && ids.includes(m.id)) m.state = "read";
    takeNews({ ids });
    paintAll();
  }

  // How many lines come before the first new one that is below the view. Lines are read in the order in which they came.
  function linesShown() {
    const edge = log.getBoundingClientRect().bottom + 1, boxes = [...log.querySelectorAll("[data-message]")];
    const last = boxes.findLastIndex(box => box.getBoundingClientRect().bottom <= edge);
    const seen = new Set(boxes.slice(0, last + 1).map(box => box.dataset.message)), first = messages.findIndex(m => isNews(m) && !seen.has(m.id));
    return first < 0 ? messages.length : first;
  }

  // Up to the lowest line in view all are read. New ones below it, and all of them during a search, stay unread, and it is said.
  function look() {
    if (!log.isConnected) return;
    const all = messages.filter(isNews).length, shown = all > 0 && !find ? messages.slice(0, linesShown()).filter(isNews) : [];
    const left = all - shown.length, before = atEnd;
    atEnd = left === 0 && !find && isLow();
    below.hidden = left === 0;
    say(below, find ? `${left} new: end search` : `${left} new below`);
    if (shown.length > 0) markRead(shown);
    if (atEnd !== before) paintAll();
  }

  // As `send-file` to a room: a line says so, and those who are there are offered it.
  async function offerAll(file) {
    const to = address(), asked = await call("room_members", { room: to });
    const members = asked.members.filter(m => m.online && !m.self), there = members.map(m => m.key || m.name);
    if (asked.down) throw new Error("p2pvpn is down on this machine");
    if (there.length === 0) throw new Error("no other member of the room is online");
    if (members.every(m => m.files_denied)) throw new Error(`${members[0].files_denied} denies files to all members that are online`);
    const said = await call("send", { peer: to, text: `/me offers ${file.name} (${bytes(file.size)}) to those who are here` });
    const parts = [];
    while (there.length > 0) parts.push(sendFile(there.splice(0, AT_ONCE), file, { transfer: said.message.id, room: to }));
    await Promise.all(parts);
  }

  // Why a line that was begun for this address is not sent. One for nobody was most likely meant for the machine that wrote here last.
  function gone(begun) {
    const was = begun !== NOBODY ? begun : messages.findLast(m => !m.own && !m.room)?.from_key;
    const called = state.peers.find(p => p.key === was)?.name;
    if (!state.status) return state.link || "no answer from p2pvpnd yet";
    if (!state.status.self) return "this machine is not in a network";
    if (called && called !== who) return `${who} is called ${called} now`;
    if (!was) return room ? `this machine is not in ${who}` : `no member is called ${who}`;
    return room ? `this machine is no longer in ${who}` : `${who} is no longer a member`;
  }

  function drawTalk() {
    if (!who) return show(talk, el("p", { class: "quiet" }, "Choose a conversation."));
    const text = el("textarea", { "aria-label": `Message to ${who}`, placeholder: `Message to ${who}`, rows: 1, onkeydown: e => {
      if (sends(e)) { e.preventDefault(); send(); }
    }, oninput: () => {
      // A machine that gets the name later has no claim to the line. A key is one machine's for good.
      const nobody = !who.includes(":") && (!state.status?.network || (!isThere() && !known));
      if (!drafts.get(who)) begunFor.set(who, nobody ? NOBODY : address());
      drafts.set(who, text.value);
    } });
    text.value = drafts.get(who) || "";
    const button = el("button", { class: "main", onclick: send }, "Send");
    function send() {
      const said = text.value, begun = begunFor.get(who), now = address();
      if (said.trim() === "") return;
      if (new TextEncoder().encode(said).length > LONGEST) return note(`not sent: a message has at most ${LONGEST} bytes; send a file`, "bad");
      // Nobody has the name: the line stays one for the machine for which it was begun.
      if (begun && now === who && begun !== who) return note(`not sent: ${gone(begun)}`, "bad");
      begunFor.set(who, now);
      const change = begun === NOBODY ? "was not known when you began this line" : `is another ${room ? "room" : "machine"} now`;
      if (begun && ![now, who].includes(begun)) return note(`${who} ${change}: to send the line there, send it again`, "bad");
      write(who, "");
      const lines = underWay.get(who) || [], line = { said, to: now, time: Date.now() / 1000, late: false };
      underWay.set(who, lines);
      setTimeout(() => { line.late = true; paintAll(); }, SOON);
      if (lines.push(line) === 1) sendAll(lines);
    }
    function giveBack(lines) {
      begunFor.set(who, lines[0].to);
      write(who, [...lines.map(line => line.said), drafts.get(who)].filter(Boolean).join("\n"));
    }
    // One after the other, so that they come in the order in which they were typed.
    async function sendAll(lines) {
      while (lines.length > 0) {
        const { said, to } = lines[0];
        const answer = await act(button, null, () => give(() => call("send", { peer: to, text: said, ...(room || to === who ? {} : { name: who }) }), to));
        // Another line may have been begun meanwhile, and another conversation opened.
        if (answer) lines.shift();
        else giveBack(lines.splice(0));
        if (answer?.denied) note(`sent to ${who}, but not yet to ${keptFrom(answer.denied)}`, "bad");
        paintAll();
        if (answer && open === who) fetchLog().catch(() => {});
      }
      if (open === who) document.querySelector(".compose textarea")?.focus();
    }
    const offer = list => { for (const file of list) (room ? offerAll(file) : give(to => sendFile([to], file))).catch(e => complain(e, file.name)); };
    const pick = el("input", { type: "file", multiple: true, hidden: true, onchange: () => { offer(pick.files); pick.value = ""; } });
    talk.ondragover = e => { e.preventDefault(); talk.classList.add("drop"); };
    talk.ondragleave = () => talk.classList.remove("drop");
    talk.ondrop = e => { e.preventDefault(); talk.classList.remove("drop"); offer(e.dataTransfer.files); };
    show(talk, el("div", { class: "row" }, el("a", { href: "#/chat", "aria-label": "All conversations" }, "‹"), el("h2", { class: "grow" }, who), !room && el("a", { href: `#/member/${encodeURIComponent(who)}` }, "Details"),
      search, room ? [el("button", { onclick: async e => {
        const peer = await ask(`Invite to ${who}`, "", "Invite", "Member", partners().map(p => p.name));
        if (peer) act(e.target, `${peer} is invited.`, () => call("room_invite", { room: address(), peer }));
      } }, "Invite …"), el("button", { class: "danger", onclick: async e => {
        if (await ask(`Leave ${who}?`, "The other members keep the messages.", "Leave") === null) return;
        if (await act(e.target, `You left ${who}.`, () => call("room_leave", { room: address() }))) { await load(); location.hash = "#/chat"; }
      } }, "Leave …")] : null),
      changes, log, below, el("div", { class: "compose" }, pick, el("button", { "aria-label": `Send files to ${who}`, title: "Send files, or drop them here",
        onclick: () => pick.click() }, "+"), text, button));
    fetchLog().catch(complain);
    if (window.matchMedia("(min-width: 800px)").matches) text.focus();
  }

  const paintList = () => show(list, talks(who));
  const paint = () => { paintList(); if (who) drawLog(); };
  painters.add(paint);
  const stop = hear(event => {
    if (event === null) {
      tellNetwork();
      tellHands();
      follow();
      // The machine that has the name may have come after the log was asked for in vain.
      const there = isThere();
      if (there && wasMissing) forget();
      if (there && !answered) fetchLog().catch(() => {});
      wasMissing = !there && (wasMissing || areKnown());
      return paintList();
    }
    if (who && event.ids) setRead(event.ids);
    if (who && (["caught-up", "missed"].includes(event.event) || (["message", "state"].includes(event.event) &&
        (event.message ? talkOf(event.message) : event.who) === who))) fetchLog().catch(() => {});
  });
  const seen = () => { if (who) look(); };
  const touch = e => { if (e.isTrusted && !touched) { touched = true; seen(); } };
  const events = [[document, "visibilitychange", seen], [window, "focus", seen], [window, "pointerdown", touch], [window, "keydown", touch], [window, "wheel", touch],
    [log, "scroll", seen], [window, "pointerup", () => setTimeout(seen)]]; // up: what show() held back is on the page now
  for (const [target, name, fn] of events) target.addEventListener(name, fn);
  // The end stays in view when the log becomes lower.
  const resized = new ResizeObserver(() => { if (atEnd) toEnd(); seen(); });
  if (who) resized.observe(log);
  tellHands();
  address(); // whose the name is now
  paintList();
  drawTalk();
  return () => { open = null; painters.delete(paint); stop(); resized.disconnect(); for (const [target, name, fn] of events) target.removeEventListener(name, fn); };
}
