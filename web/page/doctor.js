// SPDX-License-Identifier: MIT
// What `p2pvpnctl doctor` of this machine says, as the user of the page, and p2pvpnd's own problems beside it.
import { changed, question } from "./net.js";
import { once } from "./util.js";

let checks = null;

export const checked = () => checks;

// Asks anew.
export const doctor = once(async () => {
  checks = (await question("doctor")).checks;
  changed();
});

// The problems, each { name, text, todo }. The status is newer than the checks, and has fewer of them.
export function problems(status) {
  const found = (checks || []).filter(c => !c.well);
  const others = status.problems.filter(text => !found.some(c => c.text.includes(text) || text.includes(c.text)));
  return [...others.map(text => ({ name: "p2pvpnd", text, todo: null })), ...found];
}
