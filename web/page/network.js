// SPDX-License-Identifier: MIT
// Network: members, invites, guests, rules, routes and coordinators.
import { guests } from "./guests.js";
import { call, hear, refresh, state } from "./net.js";
import { picture } from "./qr.js";
import { act, ago, ask, clock, el, health, ms, note, once, show, span, table } from "./util.js";

const DAYS = [["An hour", 3600], ["A day", 86400], ["A week", 604800], ["30 days", 2592000]];
const AGAIN = 10000; // ms
const HOUR = 3600; // s: a member for less is one while its p2pvpnd runs
const field = (label, input) => el("label", {}, label, input);
const box = (label, input) => el("label", { class: "check" }, input, label);
const chosen = select => select.value;
const isAll = route => route.prefix.endsWith("/0");

export function network(main) {
  let data = null, failed = "", invite = null, verdict = "", saidOf = "", loadedAt = 0;
  const cards = el("div", { class: "cards" }), apps = guests(force => paint(force));
  show(main, el("h1", {}, "Network"), cards);

  const load = once(async () => {
    try {
      const [rules, routes, coordinators] = await Promise.all([call("rules"), call("routes"), call("coordinators")]);
      const invites = await call("invite_list").catch(() => ({ invites: null })); // no admin has none to show
      // An answer about other rules is true no more.
      const said = JSON.stringify([state.status?.network?.id, rules.default, rules.tags, rules.rules.map(r => [r.id, r.from, r.to])]);
      if (said !== saidOf) verdict = "";
      saidOf = said;
      data = { rules, routes, coordinators: coordinators.coordinators, invites: invites.invites };
      if (invites.invites?.some(i => i.id === invite?.invite && i.revoked)) invite = null;
      failed = "";
    } catch (e) {
      failed = e.message;
      if (e.code === 4) data = invite = null; // in no network
    }
    loadedAt = Date.now();
    paint();
  });
  // An action, and what the page shows afterwards: not all of it is an event, as that somebody waits no more.
  const change = (button, done, cmd, fields) => act(button, done, async () => {
    try { return await call(cmd, fields); } finally { await Promise.all([load(), refresh().catch(() => {})]); }
  });

  // --- members

  function waiting() {
    const list = state.peers.filter(p => p.state === "waiting");
    if (list.length === 0) return null;
    return el("section", { class: "card wide" }, el("h2", {}, "Waiting to be admitted"), list.map(p => el("p", { class: "row" },
      el("b", { class: "grow" }, p.name, " ", el("span", { class: "quiet" }, p.asks_from ? `asks from ${p.asks_from}` : "", ` key ${p.key.slice(0, 8)}…`)),
      el("button", { class: "main", "data-key": `admit-${p.key}`, onclick: e => change(e.target, `${p.name} is admitted.`, "admit", { peer: p.key }) }, "Admit"),
      el("button", { class: "danger", onclick: e => change(e.target, `${p.name} was refused.`, "deny", { peer: p.key }) }, "Refuse"))));
  }

  const tagsOf = p => [(p.tags || []).map(t => el("span", { class: "tag" }, t, el("button", { class: "plain", "aria-label": `Take the tag ${t} from ${p.name}`,
    onclick: e => change(e.target, `${p.name} is no ${t} any more.`, "untag", { peer: p.key, tag: t }) }, "✕"))),
    el("button", { class: "plain", "data-key": `tag-${p.key}`, "aria-label": `Give ${p.name} a tag`, onclick: async e => {
      const tag = await ask(`A tag for ${p.name}`, "Rules can mean all that have it. Letters, digits and -.", "Give it", "Tag");
      if (tag) change(e.target, `${p.name} is tagged.`, "tag", { peer: p.key, tag });
    } }, "+")];

  function members() {
    const list = state.peers.filter(p => p.state !== "waiting").sort((a, b) => a.name < b.name ? -1 : 1);
    return el("section", { class: "card wide" }, el("h2", {}, "Members"), table(["Name", "Address", "Last seen", "Path", "Tags"], list.map(p => [
      el("span", { class: "row" }, el("span", { class: `dot ${health(p).kind}` }), el("a", { href: `#/member/${encodeURIComponent(p.key || p.name)}` }, p.name), p.admin && el("span", { class: "tag" }, "admin")),
      p.ip4 || p.ip6 || "–", p.online ? "now" : ago(p.last_seen), health(p).words, p.key ? el("span", {}, tagsOf(p)) : "–"]), "Nobody else yet."));
  }

  // --- invites

  function makeInvite() {
    const uses = el("input", { type: "number", min: 1, max: 1000, value: 1, "data-key": "uses" });
    const expires = el("select", { "data-key": "expires" }, DAYS.map(([text, s]) => el("option", { value: s, selected: s === 86400 }, text)));
    const tag = el("input", { type: "text", placeholder: "none", "data-key": "invite-tag" }), approve = el("input", { type: "checkbox", "data-key": "approve" }), ephemeral = el("input", { type: "checkbox", "data-key": "ephemeral" });
    return el("section", { class: "card" }, el("h2", {}, "Invite"), el("div", { class: "row" }, field("Machines", uses), field("Valid for", expires), field("Tag", tag)),
      box("I decide on each that joins", approve), box("It leaves when it ends (containers)", ephemeral),
      el("p", {}, el("button", { class: "main", "data-key": "invite", onclick: e => act(e.target, null, async () => {
        const fields = { uses: Number(uses.value), expires: Number(chosen(expires)) };
        if (tag.value) fields.tag = tag.value;
        if (approve.checked) fields.approve = true;
        if (ephemeral.checked) fields.ephemeral = true;
        invite = await call("invite", fields);
        await load();
      }) }, "Make an invite")), el("div", { id: "token", "aria-live": "polite" }, invite && [
        el("p", {}, "Type on the new machine, or scan it:"), el("pre", {}, `sudo p2pvpnctl join ${invite.token}`),
        el("p", { class: "row" }, el("button", { onclick: e => act(e.target, "Copied.", () => navigator.clipboard.writeText(invite.token).then(() => true)) }, "Copy the token"),
          el("button", { onclick: () => { invite = null; paint(true); } }, "Hide it")), picture(invite.token, "The token as a QR code")]));
  }

  function invites() {
    if (!data.invites) return null;
    const now = Date.now() / 1000, list = data.invites.filter(i => !i.revoked && i.used < i.uses && (!i.not_after || i.not_after > now));
    return el("section", { class: "card" }, el("h2", {}, "Open invites"), table(["Used", "Until", "Kind", ""], list.map(i => [`${i.used} of ${i.uses}`,
      i.not_after ? clock(i.not_after) : "–", [i.admin && "admin", i.approve && "you decide", i.member_for && (i.member_for < HOUR ? "ephemeral" : `for ${span(i.member_for)}`), (i.tags || []).join(", ")].filter(Boolean).join(", ") || "member",
      el("button", { class: "danger", onclick: e => change(e.target, "The invite is revoked.", "invite_revoke", { invite: i.id }) }, "Revoke")]), "None."));
  }

  // --- rules

  function rules() {
    const r = data.rules, names = state.peers.filter(p => p.key).map(p => p.name), id = "who";
    const who = [state.status?.self?.name, ...names, "any", ...new Set(r.tags.map(t => `tag:${t.tag}`))].filter(Boolean);
    const input = (key, text) => el("input", { type: "text", list: id, placeholder: text, "aria-label": text, "data-key": key, class: "grow" });
    const from = input("can-from", "who"), to = input("can-to", "whom"), port = el("input", { type: "text", placeholder: "tcp/22", "aria-label": "port", "data-key": "can-port", size: 8 });
    const rFrom = input("rule-from", "from"), rTo = input("rule-to", "to"), rPorts = el("input", { type: "text", placeholder: "tcp/22,80 or all", "aria-label": "ports", "data-key": "rule-ports", size: 14 });
    const rVerdict = el("select", { "aria-label": "verdict", "data-key": "rule-verdict" }, el("option", { value: "allow" }, "allow"), el("option", { value: "deny" }, "deny"));
    const tryIt = e => act(e.target, null, async () => {
      const a = await call("can", { from: from.value, to: to.value, ports: /^[0-9]+$/.test(port.value) ? `tcp/${port.value}` : port.value });
      verdict = `${a.allowed ? "Yes" : "No"}: ${a.from} ${a.allowed ? "may" : "may not"} reach ${a.to} at ${a.port}. ${a.why}`;
      paint(true);
    });
    return el("section", { class: "card wide" }, el("h2", {}, "Rules"), el("datalist", { id }, [...new Set(who)].map(value => el("option", { value }))),
      el("div", { class: "row" }, "May", from, "reach", to, "at", port, el("button", { class: "main", "data-key": "can", onclick: tryIt }, "?")),
      el("p", { role: "status", id: "verdict" }, verdict),
      table(["", "Verdict", "From", "To", "Ports", ""], r.rules.map(x => [String(x.number), x.verdict, x.from, x.to, x.ports,
        el("button", { class: "danger", "aria-label": `Remove rule ${x.number}`, onclick: e => change(e.target, `Rule ${x.number} is gone: ${x.verdict} ${x.from} ${x.to} ${x.ports}.`, "rule_remove", { number: x.number, rule: x.id }) }, "Remove")]), "No rules: what the default says."),
      el("p", { class: "row" }, "What no rule is about is", el("b", {}, r.default === "allow" ? "allowed" : "denied"),
        el("button", { onclick: async e => {
          const other = r.default === "allow" ? "deny" : "allow";
          if (await ask(`${other === "deny" ? "Deny" : "Allow"} by default?`, other === "deny" ? "Only what a rule allows gets through then." : "Only what a rule denies is kept out then.", "Change it") !== null)
            change(e.target, "The default is changed.", "rules_default", { verdict: other });
        } }, "Change …")),
      el("div", { class: "row" }, rVerdict, rFrom, "→", rTo, rPorts, el("button", { "data-key": "rule-add", onclick: async e => {
        const rule = { verdict: chosen(rVerdict), from: rFrom.value, to: rTo.value, ports: rPorts.value };
        const answer = await change(e.target, null, "rule_add", rule);
        if (answer) note([answer.exists ? `Rule ${answer.exists} says that already.` : "The rule is in force.", ...doubtsOf(rule, answer)].filter(Boolean).join(" "));
      } }, "Add a rule")));
  }

  // A rule that can hardly be meant holds all the same.
  function doubtsOf(rule, answer) {
    const words = { self: "It is about one machine twice: what that sends to itself asks no rule.", from: `Nobody has ${rule.from} yet.`, to: `Nobody has ${rule.to} yet.`,
      range: "A prefix is about what is behind members: their own addresses in it are not meant." };
    const by = answer.decided_by, same = `Rule ${by} says that already, and of more.`;
    const other = `But rule ${by} decides before it: remove rule ${answer.number}, and make it with p2pvpnctl and --before ${by}.`;
    return [...(answer.doubts || []).map(x => words[x] || ""), by ? (answer.decides === "same" ? same : other) : ""];
  }

  // --- routes, coordinators

  function routes() {
    const r = data.routes, can = state.status?.self?.admin;
    return el("section", { class: "card" }, el("h2", {}, "Routes and exits"), r.fault && el("p", {}, r.fault),
      r.named?.length > 0 && el("p", { class: "quiet" }, `By p2pvpnctl route use: ${r.named.map(x => `${x.what} is ${x.use ? "used" : "not used"}`).join(", ")}.`),
      r.exit ? el("p", { class: "row" }, el("span", { class: "grow" }, "Everything goes out by ", el("b", {}, r.exit.peer), r.exit.works ? "." : r.exit.down ? " once this machine is up." : r.exit.refused ? `, which this machine cannot use${r.exit.block ? ": nothing goes out until it can" : ""}.` : ", which does not answer."),
        el("button", { onclick: e => change(e.target, "No exit is used.", "exit_off", {}) }, "Stop")) : null,
      table(["Prefix", "By", "State", ""], r.routes.map(x => [isAll(x) ? `everything (${x.prefix === "::/0" ? "IPv6" : "IPv4"})` : x.prefix, x.self ? "this node" : x.peer, x.why ? `${x.state}: ${x.why}` : x.state,
        el("span", { class: "row" }, can && x.state === "offered" && el("button", { onclick: e => change(e.target, `${x.peer} may carry ${x.prefix}.`, "route_allow", { peer: x.key, prefix: x.prefix }) }, "Allow"),
          isAll(x) && !x.self && x.allowed && x.offered && r.exit?.peer !== x.peer && el("button", { onclick: e => change(e.target, `Everything goes out by ${x.peer}.`, "exit_use", { peer: x.key }) }, "Use as exit"),
          !isAll(x) && x.state === "off" && el("button", { onclick: e => change(e.target, "It is used.", "route_use", { peer: x.prefix }) }, "Use"))]), "Nobody carries a network for others."));
  }

  function coordinators() {
    return el("section", { class: "card" }, el("h2", {}, "Coordinators"), table(["Address", "State"], data.coordinators.map(c => [c.addresses.join(", "),
      c.used ? state.status?.coordinator?.connected ? `connected, ${ms(state.status.coordinator.rtt_ms)}` : "away" : "not in use"])));
  }

  let drawn = "";
  cards.addEventListener("focusout", () => setTimeout(paint, 300));
  function paint(force) {
    if (!state.status || !data) return show(cards, el("p", { class: "quiet" }, failed || state.link || "Loading …"));
    // The text that somebody types stays: nothing is drawn again that is as before.
    const now = JSON.stringify([data, state.peers.map(p => [p.name, p.state, p.online, p.tags, health(p)]), invite, verdict, apps.key()]);
    if (now === drawn && !force) return;
    // Nor is it while somebody types: afterwards.
    if (!force && cards.contains(document.activeElement) && document.activeElement.matches("input, select")) return;
    drawn = now;
    show(cards, waiting(), members(), makeInvite(), invites(), apps.card(), rules(), routes(), coordinators());
  }

  const stop = hear(event => {
    // Nothing tells of exits and routes that are used or not.
    if (event === null && failed === "" && Date.now() - loadedAt < AGAIN) return paint();
    if (event === null || ["rules", "member", "waiting", "coordinator", "missed", "caught-up"].includes(event.event)) load();
  });
  load();
  return stop;
}
