#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench kem: what post-quantum sessions cost: microseconds of each step, and microseconds and bytes of
a meeting (both sides together, descriptions as JSON), with and without; what a connection costs the
coordinator and the node, and what sealing and opening a box costs, with and without.

usage: scripts/bench kem [MEETINGS] [--build DIR] [--json FILE]     default: 1000 meetings
"""
import argparse
import json
import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def main():
    p = argparse.ArgumentParser(prog="scripts/bench kem", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("meetings", type=int, nargs="?", default=1000)
    p.add_argument("--build", help="build directory; default: build/release, built first")
    p.add_argument("--json", help="write all figures there")
    args = p.parse_args()
    if args.build is None:
        subprocess.run([os.path.join(ROOT, "scripts/build"), "release", "bench_kem"], check=True)
    program = os.path.join(args.build or os.path.join(ROOT, "build/release"), "bin", "bench_kem")
    r = json.loads(subprocess.run([program, str(args.meetings)], check=True, capture_output=True, text=True).stdout)
    if r["kem"] == "test":
        print("no ML-KEM-768 in this build (scripts/libraries): the times are those of a stand-in")
    print(f"{'key pair':24}{r['keypair_us']:10.1f} us")
    print(f"{'encapsulate':24}{r['encapsulate_us']:10.1f} us")
    print(f"{'decapsulate':24}{r['decapsulate_us']:10.1f} us")
    print(f"{'meeting':24}{r['meeting_us']:10.1f} us {r['meeting_bytes']:8.0f} bytes")
    print(f"{'meeting without':24}{r['classical_us']:10.1f} us {r['classical_bytes']:8.0f} bytes")
    for what in ("server", "client"):
        print(f"{'channel: ' + what:24}{r[what + '_handshake_us']:10.1f} us the handshake, "
              f"{r[what + '_hybrid_us']:.1f} us hybrid keys"
              + (f", {r['server_hello_us']:.1f} us the hello's signature" if what == "server" else ""))
    for what in ("seal", "open"):
        print(f"{what + ' a box':24}{r[what + '_hybrid_us']:10.1f} us; without {r[what + '_us']:.1f} us")
    more = (r["meeting_us"] - r["classical_us"]) * r["meetings"] / 1e6
    print(f"{r['meetings']} meetings cost {more:.2f} s of processor time more")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(r, f, indent=1)


if __name__ == "__main__":
    main()
