# SPDX-License-Identifier: MIT
"""One figure for punching: how often two members behind NATs have a direct path.

usage: scripts/lab punching [SHARE]

Weights the first table of docs/TRAVERSAL.md (section 9) with the shares of NAT kinds there; SHARE:
another share of NATs with endpoint-dependent mapping, in percent. Which kind a NAT of either half is, nobody has
published: so the hardest of each half counts, then the easiest.
"""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
HARDEST = {"same": "Linux router", "other": "symmetric random"}
EASIEST = {"same": "full cone", "other": "symmetric sequential"}


def percent(text):
    return float(text.removesuffix("%"))


def read(path):
    """{(one side, the other): (direct at first, in 16 min)} and the share of NATs with endpoint-dependent mapping."""
    with open(path, encoding="utf-8") as f:
        text = f.read()
    section = text.split("## 9. Which pairs of NATs meet", 1)[1].split("\nOther behaviours,", 1)[0]
    table = {}
    for line in section.splitlines():
        cells = [c.strip() for c in line.strip("| ").split("|")]
        if len(cells) > 5 and cells[3].endswith("%"):
            first, later = percent(cells[3]), cells[4]
            table[cells[0], cells[1]] = table[cells[1], cells[0]] = (first, percent(later) if later != "–" else first)
    return table, percent(re.search(r"endpoint-dependent\s+mapping: ([\d.]+) %", text).group(1))


def figure(table, kinds, hard):
    """Percent of pairs that are direct at the first attempt, and within 16 minutes."""
    shares = {kinds["same"]: 1 - hard / 100, kinds["other"]: hard / 100}
    return [sum(shares[a] * shares[b] * table[a, b][i] for a in shares for b in shares) for i in (0, 1)]


def main(share=None):
    table, hard = read(os.path.join(ROOT, "docs/TRAVERSAL.md"))
    hard = percent(share) if share else hard
    if not 0 <= hard <= 100:
        sys.exit(f"lab: {share} is no share: a number from 0 to 100")
    for what, kinds in (("hardest kinds", HARDEST), ("easiest kinds", EASIEST)):
        first, later = figure(table, kinds, hard)
        print(f"{hard:g} % endpoint-dependent, {what} ({kinds['same']}, {kinds['other']}): {first:.1f} % direct at once,"
              f" {later:.1f} % in 16 minutes")


main(*sys.argv[1:])
