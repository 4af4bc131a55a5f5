// SPDX-License-Identifier: MIT
// Plots of figures of the past (`stats`): traffic, round trip and loss, and by which kind of path.
import { bytes, el, ms, percent, svg } from "./util.js";

const W = 600, H = 150, LEFT = 62, RIGHT = 6, TOP = 8, BOTTOM = 20;

// Lines over time. series: [[class, words, values]], null: not measured; paths: a letter a value.
export function plot(title, rows, series, unit, summary) {
  const n = rows.path.length, most = Math.max(1e-9, ...series.flatMap(([, , values]) => values.map(v => v ?? 0)));
  const x = i => LEFT + (W - LEFT - RIGHT) * (n < 2 ? 1 : i / (n - 1)), y = v => TOP + (H - TOP - BOTTOM) * (1 - v / most);
  const shade = [];
  for (let i = 0; i < n;) {
    let end = i + 1;
    while (end < n && rows.path[end] === rows.path[i]) end++;
    const kind = { r: "relayed", "?": "none", "-": "none" }[rows.path[i]];
    if (kind) shade.push(svg("rect", { class: kind, x: x(i), y: TOP, width: Math.max(1, x(Math.min(end, n - 1)) - x(i)), height: H - TOP - BOTTOM }));
    i = end;
  }
  const line = values => {
    let d = "", pen = "M";
    values.forEach((v, i) => {
      if (v === null || v === undefined) { pen = "M"; return; }
      d += `${pen}${x(i).toFixed(1)} ${y(v).toFixed(1)}`;
      pen = "L";
    });
    return d;
  };
  const time = i => {
    const date = new Date((rows.until - (n - 1 - i) * rows.step) * 1000);
    return n * rows.step > 172800 ? date.toLocaleDateString([], { day: "numeric", month: "short" }) : date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  };
  return el("figure", { class: "past" }, el("figcaption", {}, title, " ", series.length > 1 && series.map(([kind, words]) => el("span", { class: `key ${kind}` }, words))),
    svg("svg", { class: "plot", viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `${title}: ${summary}` }, shade,
      [0, 0.5, 1].map(f => [svg("line", { x1: LEFT, x2: W - RIGHT, y1: y(most * f), y2: y(most * f) }), svg("text", { x: LEFT - 5, y: y(most * f) + 4, "text-anchor": "end" }, unit(most * f))]),
      [0, 0.5, 1].map(f => svg("text", { x: x(Math.round((n - 1) * f)), y: H - 5, "text-anchor": f === 0 ? "start" : f === 1 ? "end" : "middle" }, time(Math.round((n - 1) * f)))),
      series.map(([kind, , values]) => svg("path", { class: kind, d: line(values) }))));
}

const sum = values => values.reduce((a, b) => a + (b || 0), 0);
const mean = values => { const known = values.filter(v => v !== null); return known.length ? sum(known) / known.length : null; };
const last = (rows, n) => Object.fromEntries(Object.entries(rows).map(([key, v]) => [key, Array.isArray(v) || key === "path" ? v.slice(-n) : v]));

// The card of a member: the last hour, day or month.
export function past(stats) {
  const spans = [["Hour", last(stats.minutes, 60)], ["Day", stats.minutes], ["30 days", stats.hours]];
  const place = el("div", {}), buttons = el("p", { class: "row" });
  function choose(i) {
    const rows = spans[i][1];
    buttons.replaceChildren(...spans.map(([words], j) => el("button", { "aria-pressed": String(i === j), onclick: () => choose(j) }, words)));
    if (rows.path.length === 0) { place.replaceChildren(el("p", { class: "quiet" }, "No data yet.")); return; }
    const rate = values => values.map(v => v === null ? null : v / rows.step);
    place.replaceChildren(
      plot("Traffic", rows, [["in", "received", rate(rows.rx_bytes)], ["out", "sent", rate(rows.tx_bytes)]], v => `${bytes(v)}/s`, `${bytes(sum(rows.rx_bytes))} received, ${bytes(sum(rows.tx_bytes))} sent`),
      plot("Round trip", rows, [["in", "", rows.rtt_ms]], ms, `${ms(mean(rows.rtt_ms))} on average`),
      plot("Loss", rows, [["in", "", rows.loss]], percent, `${percent(mean(rows.loss))} on average`),
      el("p", { class: "quiet" }, "Amber: relayed. Grey: no path, or this machine was off."));
  }
  choose(1);
  return el("section", { class: "card wide" }, el("h2", {}, "History"), buttons, place);
}
