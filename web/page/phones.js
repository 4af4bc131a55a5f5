// SPDX-License-Identifier: MIT
// Phones: machines with WireGuard's own app. A file for one is made here, shown once, and kept nowhere.
import { call, state } from "./net.js";
import { picture } from "./qr.js";
import { act, ago, ask, el, note, table } from "./util.js";

// Each value is one line of printable characters, whatever p2pvpnd says: a line of its own making could be a command.
const plain = text => typeof text === "string" && /^[\x21-\x7e]{1,270}$/.test(text) ? text : "";

const PAGE = "#/network";

// An exit answers there, where no name server of the network is known.
const DUMMY = "192.0.0.8";

// As `p2pvpnctl export` writes it (ctl/cmd_export.c).
function file(x) {
  const v = key => plain(x[key]), search = v("dns") && `, ${v("network")}.p2p`;
  const dns = v("dns") || (v("allowed4") === "0.0.0.0/0" ? DUMMY : "");
  return [`# ${v("name")} of network ${v("network")}, gateway ${v("by")}`, "[Interface]", `PrivateKey = ${v("private_key")}`,
    `Address = ${v("address4")}/32, ${v("address6")}/128`, ...(dns ? [`DNS = ${dns}${search}`] : []), "", "[Peer]",
    `PublicKey = ${v("public_key")}`, `AllowedIPs = ${v("allowed4")}, ${v("allowed6")}`, `Endpoint = ${v("endpoint")}`,
    `PersistentKeepalive = ${Number(x.keepalive)}`, ""].join("\n");
}

const phone_port = () => (state.status?.relays || []).map(r => r.phone_port).find(Boolean);

// The file that is shown, or that came when the page was left: its phone is there, so it waits for the user.
let made = null;
window.addEventListener("hashchange", e => { if (e.oldURL.endsWith(PAGE)) made = null; });

export function phones(paint) {

  function form() {
    const name = el("input", { type: "text", placeholder: "phone", "data-key": "phone-name", maxlength: 63 });
    const by = el("select", { "data-key": "phone-by" }, el("option", { value: "" }, "this node"),
      state.peers.filter(p => p.key && !p.gateway && p.state === "member").map(p => el("option", { value: p.key }, p.name)));
    const all = el("input", { type: "checkbox", "data-key": "phone-everything" });
    const endpoint = el("input", { type: "text", placeholder: "automatic", "data-key": "phone-endpoint", maxlength: 270 });
    return [el("div", { class: "row" }, el("label", {}, "Name", name), el("label", {}, "Gateway", by),
      el("label", {}, "Address and port of the gateway, if its router forwards the port", endpoint)),
      el("label", { class: "check" }, all, "Route all traffic through the gateway (it must be an exit node)"),
      el("p", {}, el("button", { class: "main", "data-key": "phone", onclick: e => act(e.target, null, async () => {
        const fields = { name: name.value.trim() };
        if (by.value) fields.peer = by.value;
        if (all.checked) fields.everything = true;
        if (endpoint.value.trim()) fields.endpoint = endpoint.value.trim();
        made = await call("export", fields);
        if (location.hash !== PAGE) note(`The page Network shows the file of ${made.name}.`);
        name.value = endpoint.value = "";
        all.checked = false;
        paint(true);
      }) }, "Add phone"))];
  }

  function shown() {
    const text = file(made);
    return [el("p", {}, el("b", {}, made.name), ": scan this code in the WireGuard app. The file is a secret. It is shown once and not stored. ", made.by,
      " can read the phone's traffic. Between the two the traffic is not post-quantum.", !made.dns && ` Names of the network do not work: ${made.by} has no name server ([dns] listen).`,
        made.port_test === "untested" && ` ${made.endpoint} was not tested from outside: try the app in another network.`),
      picture(text, `The file of ${made.name} as a QR code`), el("pre", { id: "phone-file" }, text),
      el("p", { class: "row" }, el("button", { onclick: e => act(e.target, "Copied.", () => navigator.clipboard.writeText(text).then(() => true)) }, "Copy file"),
        el("button", { "data-key": "phone-hide", onclick: () => { made = null; paint(true); } }, "Hide"))];
  }

  function card() {
    const list = state.peers.filter(p => p.gateway), can = state.status?.self?.admin, way = phone_port();
    return el("section", { class: "card" }, el("h2", {}, "Phones"), table(["Name", "State", "Gateway", "Last handshake", ""], list.map(p => [p.name, p.online ? "online" : "offline", p.gateway,
      p.last_handshake ? ago(p.last_handshake) : "–", can && el("button", { class: "danger", "aria-label": `Remove ${p.name}`, onclick: async e => {
        if (await ask(`Remove ${p.name}?`, "It loses access within two seconds. Its file becomes useless.", "Remove") !== null)
          act(e.target, `${p.name} is removed.`, () => call("remove", { peer: p.key }));
      } }, "Remove")]), "No phones yet. A phone needs only the WireGuard app."),
      way && el("p", {}, "Phones reach this node at the coordinator's phone port ", el("code", {}, way), "."),
      el("div", { id: "phone", "aria-live": "polite" }, made ? shown() : can && form()));
  }

  return { card, key: () => [made?.name, phone_port(), state.peers.filter(p => p.gateway).map(p => [p.gateway, p.online, p.last_handshake])] };
}
