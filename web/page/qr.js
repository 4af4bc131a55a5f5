// SPDX-License-Identifier: MIT
// QR codes (ISO/IEC 18004): bytes, level L, the mask with the least penalty.
import { svg } from "./util.js";

const ECC = [0, 7, 10, 15, 20, 26, 18, 20, 24, 30, 18, 20, 24, 26, 30, 22, 24, 28, 30, 28, 28, 28, 28, 30, 30, 26, 28, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30];
const BLOCKS = [0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4, 4, 6, 6, 6, 6, 7, 8, 8, 9, 9, 10, 12, 12, 12, 13, 14, 15, 16, 17, 18, 19, 19, 20, 21, 22, 24, 25];
const MASKS = [(x, y) => (x + y) % 2, (x, y) => y % 2, x => x % 3, (x, y) => (x + y) % 3, (x, y) => (Math.floor(x / 3) + Math.floor(y / 2)) % 2,
  (x, y) => x * y % 2 + x * y % 3, (x, y) => (x * y % 2 + x * y % 3) % 2, (x, y) => ((x + y) % 2 + x * y % 3) % 2];

function multiply(a, b) { // in GF(2^8), modulo 0x11d
  let z = 0;
  for (let i = 7; i >= 0; i--) z = (z << 1) ^ ((z >> 7) * 0x11d) ^ ((b >> i & 1) * a);
  return z;
}

function correction(data, n) {
  const divisor = new Array(n).fill(0), rest = new Array(n).fill(0);
  divisor[n - 1] = 1;
  for (let i = 0, root = 1; i < n; i++, root = multiply(root, 2))
    for (let j = 0; j < n; j++) divisor[j] = multiply(divisor[j], root) ^ (j + 1 < n ? divisor[j + 1] : 0);
  for (const b of data) {
    const factor = b ^ rest.shift();
    rest.push(0);
    divisor.forEach((d, i) => { rest[i] ^= multiply(d, factor); });
  }
  return rest;
}

function aligned(version) { // the middles of alignment patterns
  if (version === 1) return [];
  const n = Math.floor(version / 7) + 2, size = version * 4 + 17;
  const step = version === 32 ? 26 : Math.ceil((size - 13) / (n * 2 - 2)) * 2, at = [6];
  for (let p = size - 7; at.length < n; p -= step) at.splice(1, 0, p);
  return at;
}

function capacity(version) { // bits for data and correction
  const n = Math.floor(version / 7) + 2;
  return (16 * version + 128) * version + 64 - (version > 1 ? (25 * n - 10) * n - 55 : 0) - (version > 6 ? 36 : 0);
}

function codewords(bytes, version) {
  const total = Math.floor(capacity(version) / 8), ecc = ECC[version], blocks = BLOCKS[version], room = total - ecc * blocks, bits = [];
  const put = (value, n) => { for (let i = n - 1; i >= 0; i--) bits.push(value >> i & 1); };
  put(4, 4);
  put(bytes.length, version < 10 ? 8 : 16);
  bytes.forEach(b => put(b, 8));
  put(0, Math.min(4, room * 8 - bits.length));
  put(0, (8 - bits.length % 8) % 8);
  for (let pad = 0xec; bits.length < room * 8; pad ^= 0xec ^ 0x11) put(pad, 8);
  const data = [];
  for (let i = 0; i < bits.length; i += 8) data.push(parseInt(bits.slice(i, i + 8).join(""), 2));
  const short = Math.floor(total / blocks) - ecc, longs = total % blocks, out = [], parts = [];
  for (let i = 0, at = 0; i < blocks; i++) {
    const part = data.slice(at, at += short + (i >= blocks - longs ? 1 : 0));
    parts.push([part, correction(part, ecc)]);
  }
  for (let i = 0; i <= short; i++) for (const [part] of parts) if (i < part.length) out.push(part[i]);
  for (let i = 0; i < ecc; i++) for (const [, check] of parts) out.push(check[i]);
  return out;
}

function frame(version) { // modules that no data has: 0, 1, or undefined where data goes
  const size = version * 4 + 17, m = Array.from({ length: size }, () => new Array(size)), at = aligned(version);
  const set = (x, y, dark) => { if (x >= 0 && y >= 0 && x < size && y < size) m[y][x] = dark ? 1 : 0; };
  for (let i = 0; i < size; i++) { set(6, i, i % 2 === 0); set(i, 6, i % 2 === 0); }
  for (const [cx, cy] of [[3, 3], [size - 4, 3], [3, size - 4]])
    for (let dy = -4; dy <= 4; dy++) for (let dx = -4; dx <= 4; dx++) {
      const d = Math.max(Math.abs(dx), Math.abs(dy));
      set(cx + dx, cy + dy, d !== 2 && d !== 4);
    }
  at.forEach((cy, i) => at.forEach((cx, j) => {
    if ((i === 0 && (j === 0 || j === at.length - 1)) || (i === at.length - 1 && j === 0)) return;
    for (let dy = -2; dy <= 2; dy++) for (let dx = -2; dx <= 2; dx++) set(cx + dx, cy + dy, Math.max(Math.abs(dx), Math.abs(dy)) !== 1);
  }));
  if (version > 6) {
    let rest = version;
    for (let i = 0; i < 12; i++) rest = (rest << 1) ^ ((rest >> 11) * 0x1f25);
    const bits = version << 12 | rest;
    for (let i = 0; i < 18; i++) {
      const a = size - 11 + i % 3, b = Math.floor(i / 3);
      set(a, b, bits >> i & 1);
      set(b, a, bits >> i & 1);
    }
  }
  return m;
}

function format(m, mask) {
  const size = m.length;
  let rest = 8 | mask; // level L is 01
  for (let i = 0; i < 10; i++) rest = (rest << 1) ^ ((rest >> 9) * 0x537);
  const bits = ((8 | mask) << 10 | rest) ^ 0x5412, bit = i => bits >> i & 1;
  for (let i = 0; i <= 5; i++) m[i][8] = bit(i);
  m[7][8] = bit(6); m[8][8] = bit(7); m[8][7] = bit(8);
  for (let i = 9; i < 15; i++) m[8][14 - i] = bit(i);
  for (let i = 0; i < 8; i++) m[8][size - 1 - i] = bit(i);
  for (let i = 8; i < 15; i++) m[size - 15 + i][8] = bit(i);
  m[size - 8][8] = 1;
}

function penalty(m) {
  const size = m.length, line = (i, j, turned) => turned ? m[j][i] : m[i][j];
  let sum = 0, dark = 0;
  for (const turned of [false, true]) for (let i = 0; i < size; i++) {
    let run = 0, text = "";
    for (let j = 0; j < size; j++) {
      const v = line(i, j, turned);
      run = j > 0 && v === line(i, j - 1, turned) ? run + 1 : 1;
      if (run === 5) sum += 3;
      else if (run > 5) sum++;
      text += v;
    }
    for (let at = 0; at + 11 <= size; at++) {
      const eleven = text.slice(at, at + 11);
      if (eleven === "10111010000" || eleven === "00001011101") sum += 40;
    }
  }
  for (let y = 0; y < size; y++) for (let x = 0; x < size; x++) {
    dark += m[y][x];
    if (x > 0 && y > 0 && m[y][x] === m[y - 1][x] && m[y][x] === m[y][x - 1] && m[y][x] === m[y - 1][x - 1]) sum += 3;
  }
  return sum + 10 * Math.floor(Math.abs(dark * 20 - size * size * 10) / (size * size));
}

// Rows of 0 and 1 for a text; null: it is too long. With this mask, or the best.
export function qr(text, wanted) {
  const bytes = [...new TextEncoder().encode(text)];
  let version = 1;
  while (version <= 40 && 4 + (version < 10 ? 8 : 16) + bytes.length * 8 > (Math.floor(capacity(version) / 8) - ECC[version] * BLOCKS[version]) * 8) version++;
  if (version > 40) return null;
  const data = codewords(bytes, version), empty = frame(version), size = empty.length;
  format(empty, 0); // reserves its places
  let best = null, least = Infinity;
  for (let mask = wanted ?? 0; mask <= (wanted ?? 7); mask++) {
    const m = empty.map(row => [...row]);
    let i = 0;
    for (let right = size - 1; right >= 1; right -= 2) {
      if (right === 6) right = 5;
      for (let v = 0; v < size; v++) for (let j = 0; j < 2; j++) {
        const x = right - j, y = ((right + 1) & 2) === 0 ? size - 1 - v : v;
        if (m[y][x] !== undefined) continue;
        const dark = i < data.length * 8 ? data[i >> 3] >> (7 - (i & 7)) & 1 : 0;
        i++;
        m[y][x] = MASKS[mask](x, y) === 0 ? dark ^ 1 : dark;
      }
    }
    format(m, mask);
    const p = penalty(m);
    if (p < least) { least = p; best = m; }
  }
  return best;
}

// A picture of a text, black on white whatever the page's colours are.
export function picture(text, label) {
  const m = qr(text);
  if (!m) return null;
  let d = "";
  m.forEach((row, y) => row.forEach((dark, x) => { if (dark) d += `M${x + 4} ${y + 4}h1v1h-1z`; }));
  const size = m.length + 8;
  return svg("svg", { class: "qr", viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": label, "shape-rendering": "crispEdges" },
    svg("rect", { width: size, height: size, fill: "#fff" }), svg("path", { d, fill: "#000" }));
}
