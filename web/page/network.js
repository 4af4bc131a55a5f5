// SPDX-License-Identifier: MIT
// Network: members, invites, phones, rules, routes and coordinators.
import { phones } from "./phones.js";
import { call, hear, refresh, state } from "./net.js";
import { picture } from "./qr.js";
import { act, ago, ask, choice, clock, el, health, ms, note, once, show, span, table } from "./util.js";

const DAYS = [["An hour", 3600], ["A day", 86400], ["A week", 604800], ["30 days", 2592000]];
const AGAIN = 10000; // ms
const HOUR = 3600; // s: a member for less is one while its p2pvpnd runs
const field = (label, input) => el("label", {}, label, input);
const box = (label, input) => el("label", { class: "check" }, input, label);
const chosen = select => select.value;
const isAll = route => route.prefix.endsWith("/0");

export function network(main) {
  let data = null, failed = "", invite = null, verdict = "", saidOf = "", loadedAt = 0;
  const cards = el("div", { class: "cards" }), apps = phones(force => paint(force));
  show(main, el("h1", {}, "Network"), cards);

  const load = once(async () => {
    try {
      const [rules, routes, coordinators] = await Promise.all([call("rules"), call("routes"), call("coordinators")]);
      const invites = await call("invite_list").catch(() => ({ invites: null })); // no admin has none to show
      // An answer about other rules is no longer true.
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
  // An action, and what the page shows afterwards: not all of it is an event, such as that nobody waits any longer.
  const change = (button, done, cmd, fields) => act(button, done, async () => {
    try { return await call(cmd, fields); } finally { await Promise.all([load(), refresh().catch(() => {})]); }
  });

  // --- members

  function waiting() {
    const list = state.peers.filter(p => p.state === "waiting");
    if (list.length === 0) return null;
    return el("section", { class: "card wide" }, el("h2", {}, "Waiting for approval"), list.map(p => el("p", { class: "row" },
      el("b", { class: "grow" }, p.name, " ", el("span", { class: "quiet" }, p.asks_from ? `from ${p.asks_from}` : "", ` key ${p.key.slice(0, 8)}…`)),
      el("button", { class: "main", "data-key": `admit-${p.key}`, onclick: e => change(e.target, `${p.name} is admitted.`, "admit", { peer: p.key }) }, "Admit"),
      el("button", { class: "danger", onclick: e => change(e.target, `${p.name} was refused.`, "deny", { peer: p.key }) }, "Refuse"))));
  }

  const tags = () => [...new Set([...data.rules.tags.map(t => t.tag), ...state.peers.flatMap(p => p.tags || [])])];
  const tagsOf = p => [(p.tags || []).map(t => el("span", { class: "tag" }, t, el("button", { class: "plain", "aria-label": `Remove the tag ${t} of ${p.name}`,
    onclick: e => change(e.target, `${p.name} no longer has the tag ${t}.`, "untag", { peer: p.key, tag: t }) }, "✕"))),
    el("button", { class: "plain", "data-key": `tag-${p.key}`, "aria-label": `Add a tag to ${p.name}`, onclick: async e => {
      const tag = await ask(`Add a tag to ${p.name}`, "A rule can name a tag. A tag has letters, digits and -.", "Add", "Tag", tags());
      if (tag) change(e.target, `${p.name} has the tag ${tag}.`, "tag", { peer: p.key, tag });
    } }, "+")];

  function members() {
    const list = state.peers.filter(p => p.state !== "waiting").sort((a, b) => a.name < b.name ? -1 : 1);
    return el("section", { class: "card wide" }, el("h2", {}, "Members"), table(["Name", "Address", "Last seen", "Path", "Tags"], list.map(p => [
      el("span", { class: "row" }, el("span", { class: `dot ${health(p).kind}` }), el("a", { href: `#/member/${encodeURIComponent(p.key || p.name)}` }, p.name), p.admin && el("span", { class: "tag" }, "admin")),
      p.ip4 || p.ip6 || "–", p.online ? "now" : ago(p.last_seen), health(p).words, p.key ? el("span", {}, tagsOf(p)) : "–"]), "No other members yet."));
  }

  // --- invites

  function makeInvite() {
    const joins = `sudo p2pvpnctl join ${invite?.token}`, uses = el("input", { type: "number", min: 1, max: 1000, value: 1, "data-key": "uses" });
    const expires = el("select", { "data-key": "expires" }, DAYS.map(([text, s]) => el("option", { value: s, selected: s === 86400 }, text)));
    const [tag, tagList] = choice({ placeholder: "none", "data-key": "invite-tag" }, tags()), approve = el("input", { type: "checkbox", "data-key": "approve" }), ephemeral = el("input", { type: "checkbox", "data-key": "ephemeral" });
    return el("section", { class: "card" }, el("h2", {}, "Invite"), el("div", { class: "row" }, field("Machines", uses), field("Valid for", expires), field("Tag", [tag, tagList])),
      box("Approve each machine", approve), box("Ephemeral: the machine leaves when its p2pvpnd ends", ephemeral),
      el("p", {}, el("button", { class: "main", "data-key": "invite", onclick: e => act(e.target, null, async () => {
        const fields = { uses: Number(uses.value), expires: Number(chosen(expires)) };
        if (tag.value) fields.tag = tag.value;
        if (approve.checked) fields.approve = true;
        if (ephemeral.checked) fields.ephemeral = true;
        invite = await call("invite", fields);
        await load();
      }) }, "Create invite")), el("div", { id: "token", "aria-live": "polite" }, invite && [
        el("p", {}, "Run this command on the new machine, or scan the code:"), el("pre", {}, joins),
        el("p", { class: "row" }, el("button", { onclick: e => act(e.target, "Copied.", () => navigator.clipboard.writeText(joins).then(() => true)) }, "Copy command"),
          el("button", { onclick: () => { invite = null; paint(true); } }, "Hide")), picture(invite.token, "The token as a QR code")]));
  }

  function invites() {
    if (!data.invites) return null;
    const now = Date.now() / 1000, list = data.invites.filter(i => !i.revoked && i.used < i.uses && (!i.not_after || i.not_after > now));
    return el("section", { class: "card" }, el("h2", {}, "Open invites"), table(["Used", "Until", "Kind", ""], list.map(i => [`${i.used} of ${i.uses}`,
      i.not_after ? clock(i.not_after) : "–", [i.admin && "admin", i.approve && "approval", i.member_for && (i.member_for < HOUR ? "ephemeral" : `for ${span(i.member_for)}`), (i.tags || []).join(", ")].filter(Boolean).join(", ") || "member",
      el("button", { class: "danger", onclick: e => change(e.target, "The invite is revoked.", "invite_revoke", { invite: i.id }) }, "Revoke")]), "None."));
  }

  // --- rules

  function rules() {
    const r = data.rules, who = [state.status?.self?.name, ...state.peers.map(p => p.name), "any", ...tags().map(t => `tag:${t}`)].filter(Boolean);
    const input = (key, text) => choice({ placeholder: text, "aria-label": text, "data-key": key, class: "grow" }, who);
    const [from, fromList] = input("can-from", "from"), [to, toList] = input("can-to", "to"), port = el("input", { type: "text", placeholder: "tcp/22", "aria-label": "port", "data-key": "can-port", size: 8 });
    const [rFrom, rFromList] = input("rule-from", "from"), [rTo, rToList] = input("rule-to", "to"), rPorts = el("input", { type: "text", placeholder: "tcp/22,80 or all", "aria-label": "ports", "data-key": "rule-ports", size: 14 });
    const rVerdict = el("select", { "aria-label": "verdict", "data-key": "rule-verdict" }, el("option", { value: "allow" }, "allow"), el("option", { value: "deny" }, "deny"));
    const tryIt = e => act(e.target, null, async () => {
      const a = await call("can", { from: from.value, to: to.value, ports: /^[0-9]+$/.test(port.value) ? `tcp/${port.value}` : port.value });
      verdict = `${a.allowed ? "Yes" : "No"}: ${a.from} ${a.allowed ? "can" : "cannot"} reach ${a.to} on ${a.port}. ${a.why}`;
      paint(true);
    });
    return el("section", { class: "card wide" }, el("h2", {}, "Rules"), fromList, toList, rFromList, rToList,
      el("div", { class: "row" }, "Can", from, "reach", to, "on", port, el("button", { class: "main", "data-key": "can", onclick: tryIt }, "Check")),
      el("p", { role: "status", id: "verdict" }, verdict),
      table(["", "Verdict", "From", "To", "Ports", ""], r.rules.map(x => [String(x.number), x.verdict, x.from, x.to, x.ports,
        el("button", { class: "danger", "aria-label": `Remove rule ${x.number}`, onclick: e => change(e.target, `Removed rule ${x.number}: ${x.verdict} ${x.from} ${x.to} ${x.ports}.`, "rule_remove", { number: x.number, rule: x.id }) }, "Remove")]), "No rules: the default applies."),
      el("p", { class: "row" }, "Default:", el("b", {}, r.default === "allow" ? "allow" : "deny"),
        el("button", { onclick: async e => {
          const other = r.default === "allow" ? "deny" : "allow";
          if (await ask(`${other === "deny" ? "Deny" : "Allow"} by default?`, other === "deny" ? "Only connections that a rule allows will work." : "All connections work unless a rule denies them.", "Change") !== null)
            change(e.target, `The default is ${other}.`, "rules_default", { verdict: other });
        } }, "Change …")),
      el("div", { class: "row" }, rVerdict, rFrom, "→", rTo, rPorts, el("button", { "data-key": "rule-add", onclick: async e => {
        const rule = { verdict: chosen(rVerdict), from: rFrom.value, to: rTo.value, ports: rPorts.value };
        const answer = await change(e.target, null, "rule_add", rule);
        if (answer) note([answer.exists ? `Rule ${answer.exists} is the same.` : `Added rule ${answer.number}: ${rule.verdict} ${rule.from} ${rule.to} ${rule.ports}.`, ...doubtsOf(rule, answer)].filter(Boolean).join(" "));
      } }, "Add rule")));
  }

  // A rule that can hardly be meant holds all the same.
  function doubtsOf(rule, answer) {
    const words = { self: "It names one machine twice, and no rule applies to traffic of a machine to itself.", from: `No member has ${rule.from} yet.`, to: `No member has ${rule.to} yet.`,
      range: "A prefix means networks behind members, not addresses of members." };
    const by = answer.decided_by, same = `Rule ${by} already covers it.`;
    const other = `Rule ${by} comes before it and decides: remove rule ${by} first.`;
    return [...(answer.doubts || []).map(x => words[x] || ""), by ? (answer.decides === "same" ? same : other) : ""];
  }

  // --- routes, coordinators

  function routes() {
    const r = data.routes, can = state.status?.self?.admin;
    return el("section", { class: "card" }, el("h2", {}, "Routes and exit nodes"), r.fault && el("p", {}, r.fault),
      r.named?.length > 0 && el("p", { class: "quiet" }, `Set on this machine: ${r.named.map(x => `${x.what} is ${x.use ? "used" : "not used"}`).join(", ")}.`),
      r.exit ? el("p", { class: "row" }, el("span", { class: "grow" }, "Exit node: ", el("b", {}, r.exit.peer), r.exit.dropped || r.exit.beside ? ", which packets of this machine do not go by." : r.exit.works ? r.exit.used ? "." : ", in place, not used by a packet yet." : r.exit.down ? ", once p2pvpn is up on this machine." : r.exit.refused ? `, which this machine cannot use${r.exit.block ? "; this machine blocks all other traffic" : ""}.` : ", which does not answer."),
        el("button", { onclick: e => change(e.target, "No exit node in use.", "exit_off", {}) }, "Stop")) : null,
      table(["Prefix", "Through", "State", ""], r.routes.map(x => [isAll(x) ? `all ${x.prefix === "::/0" ? "IPv6" : "IPv4"}` : x.prefix, x.self ? "this node" : x.peer, x.why ? `${x.state}: ${x.why}` : x.state,
        el("span", { class: "row" }, can && x.state === "offered" && el("button", { onclick: e => change(e.target, `Allowed ${x.prefix} through ${x.peer}.`, "route_allow", { peer: x.key, prefix: x.prefix }) }, "Allow"),
          isAll(x) && !x.self && x.allowed && x.offered && r.exit?.peer !== x.peer && el("button", { onclick: e => change(e.target, `Exit node: ${x.peer}.`, "exit_use", { peer: x.key }) }, "Use as exit node"),
          !isAll(x) && x.state === "off" && el("button", { onclick: e => change(e.target, `${x.prefix} is used.`, "route_use", { peer: x.prefix }) }, "Use"))]), "No member offers a route."));
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
