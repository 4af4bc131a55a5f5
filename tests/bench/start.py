#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""start: how long a coordinator takes from exec to listening.

usage: scripts/bench start [MEMBERS] [NETWORKS] [--rounds N] [--build DIR] [--programs DIR[,…]]
                           [--nice N]

MEMBERS (100000) in NETWORKS (1) of the same size stand in its database, in rows that it marked when
it stored them (docs/SECURITY.md). Nobody connects. --programs: coordinators of other builds, in turns, each
with a copy of the database; --nice -10: precedence over other jobs of the machine. Seconds and
processor seconds of each round, and the least. Needs root and iproute2: each runs in a network
namespace of its own. Leaves nothing behind.
"""
import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def used(pid):
    """Processor seconds of all threads of a process."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as f:
            total += int(f.read().split()[0])
    return total / 1e9


def resident(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) / 1024 for line in f if line.startswith("VmRSS:"))


def start(program, home):
    """One start; returns seconds, processor seconds and MB. The shell waits for a line, so that the
    namespace is no part of the time."""
    shell = 'ip link set lo up; echo ready; read go; exec "$@"'
    run = subprocess.Popen(["unshare", "--net", "sh", "-c", shell, "sh", program, "--state", home,
                            "--public", "192.0.2.1", "--listen",
                            "127.0.0.1:3478"],
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL, text=True)
    run.stdout.readline()  # the namespace is there
    began = time.monotonic()
    before = used(run.pid)
    run.stdin.write("\n")
    run.stdin.flush()
    said = run.stdout.readline()
    while "listening" not in said and run.poll() is None:
        said = run.stdout.readline()
    took = time.monotonic() - began
    if run.poll() is not None:
        sys.exit(f"bench: {program} does not listen: {said}")
    row = took, used(run.pid) - before, resident(run.pid)
    run.send_signal(signal.SIGTERM)
    run.wait(60)
    return row


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1].removeprefix("usage: "))
    parser.add_argument("members", nargs="?", type=int, default=100000)
    parser.add_argument("networks", nargs="?", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"))
    parser.add_argument("--programs")
    parser.add_argument("--nice", type=int, default=0)
    options = parser.parse_args()
    if os.getuid() != 0:
        sys.exit("bench: makes network namespaces: run it as root")
    own = os.path.join(options.build, "bin")
    folders = [own, *(options.programs.split(",") if options.programs else [])]
    for program in [os.path.join(own, "bench_crowd"),
                    *(os.path.join(f, "p2pvpn-coordinator") for f in folders)]:
        if not os.access(program, os.X_OK):
            sys.exit(f"bench: no {program}: cmake --preset release -DPV_TESTS=ON && ninja -C "
                     f"build/release p2pvpn-coordinator bench_crowd")
    os.nice(options.nice)
    with tempfile.TemporaryDirectory(prefix="p2pvpn-bench-") as home:
        made = os.path.join(home, "made")
        subprocess.run([os.path.join(own, "bench_crowd"), str(options.members),
                        str(options.networks), made], check=True)
        least = {}
        for number, folder in enumerate(folders):
            shutil.copytree(made, os.path.join(home, str(number)))
        for i in range(options.rounds):
            for number, folder in enumerate(folders):
                row = start(os.path.join(folder, "p2pvpn-coordinator"),
                            os.path.join(home, str(number)))
                least[folder] = min(row, least.get(folder, row))
                print(f"round {i + 1} {folder}: {row[0]:.3f} s, processor {row[1]:.3f} s, "
                      f"{row[2]:.0f} MB", flush=True)
        for folder, row in least.items():
            print(f"least {folder}: {row[0]:.3f} s, processor {row[1]:.3f} s, {row[2]:.0f} MB")


if __name__ == "__main__":
    main()
