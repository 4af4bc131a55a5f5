#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""relay: what the coordinator's relay carries and costs, beside coturn.

usage: scripts/bench relay [--rounds N] [--seconds S] [--only CONTENDER[,…]] [--flows N[,…]]
                           [--sizes BYTES[,…]] [--window N] [--burst N] [--build DIR]
                           [--udp] [--tcp] [--tls] [--json FILE]

One namespace serves, another makes the load, a veth pair joins them. Contenders: coturn; static
(stock TURN clients of the coordinator); members (nodes of a network, as many allocations, in
pairs); runs (members that send as p2pvpnd does, with UDP_SEGMENT). Load goes in both directions,
never more than a window under way; a flow sends a burst in its turn (4 datagrams: a video frame, a
window of TCP; --burst 1: as sound does). Counted is what arrives, and the CPU time of the server's
process: packets a second and core. --udp, --tcp and --tls compare how members reach the relay
instead of the contenders, and print the coordinator's own CPU seconds for a GiB. Rounds are interleaved, so read the ratios, which are of the
medians. At the end: round trips on a control channel, with the relay idle and with one user
sending as fast as it can. Needs root, iproute2, coturn (Debian's turnserver).
"""
import argparse
import glob
import importlib.machinery
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("bench", os.path.join(ROOT, "scripts", "bench"))
bench = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench", loader))
loader.exec_module(bench)

SERVER, LOAD = "192.0.2.1", "192.0.2.2"
# One core for both, and neither interrupts the other: the queue in the server's socket then is as
# deep as the window, as it is in front of a server that has all it can carry, however fast the load
# can be made.
CPU = ["chrt", "-b", "0", "taskset", "-c", str((os.cpu_count() or 1) - 1)]
CONTENDERS = ["coturn", "static", "members", "runs"]
WAYS = ["udp", "tcp", "tls"]  # of members to the relay


class Server:
    """A TURN server in namespace a of a new link."""

    def __init__(self, name, options, saturate=True):
        self.link = bench.Link(options)
        self.name, self.options, self.url = name, options, None
        self.cpu = CPU if saturate else []
        start = self.coturn if name == "coturn" else self.ours
        self.proc = start()
        self.wait_for_port()
        self.pids = bench.family([self.proc.pid])

    def coturn(self):
        return self.link.start(
            0, *self.cpu, "turnserver", "-n", "--listening-ip", SERVER, "--relay-ip", SERVER, "--listening-port",
            "3478", "--realm", "p2pvpn", "--lt-cred-mech", "--user", "alice:secret", "--no-tls",
            "--no-dtls", "--no-cli", "--no-tcp", "--no-tcp-relay", "--log-file", "/dev/null",
            "--no-stdout-log", "--simple-log", "--no-rfc5780", "--pidfile",
            self.link.dir + "/pid", "--userdb", self.link.dir + "/userdb", *self.options.coturn)

    def ours(self):
        home, program = self.link.dir, os.path.join(self.options.build, "bin", "p2pvpn-coordinator")
        bench.write(home + "/password", "secret\n")
        bench.write(home + "/conf", f"[relay]\nallocations-per-user = 1000\n"
                                    f"[turn-user alice]\npassword-file = {home}/password\n")
        common = ["--state", home + "/state", "--config", home + "/conf"]
        self.url = bench.run(program, "url", *common, "--public", SERVER).strip()
        return self.link.start(0, *self.cpu, program, *common, "--listen", SERVER + ":3478")

    def wait_for_port(self):
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if ":3478" in self.link.exec(0, "ss", "-Hlun"):
                return
            if self.proc.poll() is not None:
                break
            time.sleep(0.05)
        with open(os.path.join(self.link.dir, "log0")) as f:
            raise RuntimeError(f"{self.name} does not listen: {f.read()[-500:]}")

    def load(self, *args):
        """The load generator; it has said that everything is set up."""
        proc = subprocess.Popen(["ip", "netns", "exec", self.link.ns[1], *self.cpu,
                                 os.path.join(self.options.build, "bin", "bench_relay"), *args],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if proc.stdout.readline().strip() != "ready":
            raise RuntimeError(f"{self.name}: bench_relay {args[0]} did not get ready")
        return proc

    def static(self, flows):
        return self.load("static", SERVER + ":3478", "alice", "secret", str(flows), LOAD)

    def members(self, flows, via="udp"):
        return self.load("members", SERVER + ":3478", self.url, str(max(flows, 2)), via)

    def close(self):
        self.link.close()


def ask(load, line):
    load.stdin.write(line + "\n")
    load.stdin.flush()
    return load.stdout.readline()


def end(load):
    load.stdin.close()
    load.wait(10)


def one_round(name, options):
    result = {}
    for flows in options.flows:
        server = Server(name, options)
        try:
            load = (server.members(flows, name) if name in WAYS else
                    server.members(flows) if name in ("members", "runs") else server.static(flows))
            runs = 1 if name == "runs" else 0
            # One flow alone sends as much at once as many do together.
            burst = 64 if flows == 1 else options.burst
            for size in options.sizes:
                ask(load, f"{size} 0.3 {options.window} {burst} {runs}")  # warm
                before = bench.cpu(server.pids)
                got = json.loads(ask(load, f"{size} {options.seconds} {options.window} {burst} {runs}"))
                used = bench.cpu(server.pids) - before
                if got["got"] == 0 or used == 0:
                    raise RuntimeError(f"{name}: nothing was relayed")
                result[f"{flows} x {size}"] = {
                    "kpps_per_core": got["got"] / used / 1e3, "kpps": got["got"] / got["seconds"] / 1e3,
                    "lost_percent": 100 * (1 - got["got"] / got["sent"])}
                if name in WAYS:
                    result[f"{flows} x {size}"] |= {
                        "cpu_s_per_gib": used / (got["got"] * size / 2**30),
                        "gbps": got["got"] * size * 8 / got["seconds"] / 1e9}
            end(load)
        finally:
            server.close()
    return result


def signalling(options):
    """Round trips on a control channel while nobody, then one user, uses the relay."""
    rows = {}
    server = Server("static", options, saturate=False)
    try:
        ping = server.load("ping", SERVER + ":3478", server.url)
        for name in ("idle", "busy", "idle again", "busy again"):
            flood = None
            if name.startswith("busy"):
                flood = server.static(1)
                flood.stdin.write(f"120 {options.seconds + 8} 100000 64 0\n")
                flood.stdin.flush()
            rows[name] = json.loads(ask(ping, f"ping {int(options.seconds * 20) + 40}"))
            if flood is not None:
                end(flood)
        end(ping)
    finally:
        server.close()
    return rows


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1].removeprefix("usage: "))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--only", default=",".join(CONTENDERS))
    parser.add_argument("--flows", default="1,64,800")
    parser.add_argument("--sizes", default="120,1200")
    parser.add_argument("--window", type=int, default=4096)
    parser.add_argument("--burst", type=int, default=4)
    parser.add_argument("--coturn", action="append", default=[], help="more options of turnserver")
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"))
    for way in WAYS:
        parser.add_argument("--" + way, action="store_true")
    parser.add_argument("--json")
    options = parser.parse_args(sys.argv[1:])
    options.mtu, options.no_offload_link, options.delay = 1500, False, 0
    names = [way for way in WAYS if getattr(options, way)] or options.only.split(",")
    options.flows = [int(x) for x in options.flows.split(",")]
    options.sizes = [int(x) for x in options.sizes.split(",")]
    if os.getuid() != 0:
        sys.exit("bench: makes network namespaces: run it as root")
    if unknown := set(names) - set(CONTENDERS) - set(WAYS):
        sys.exit(f"bench: unknown: {', '.join(sorted(unknown))}")
    if "coturn" in names and shutil.which("turnserver") is None:
        sys.exit("bench: turnserver is not installed: apt-get install coturn")
    for program in ("p2pvpn-coordinator", "bench_relay"):
        if not os.path.exists(os.path.join(options.build, "bin", program)):
            sys.exit(f"bench: no {program} in {options.build}: cmake --preset release && "
                     f"ninja -C build/release p2pvpn-coordinator bench_relay")
    about = bench.machine()
    print(", ".join(f"{k} {v}" for k, v in about.items()))
    rounds = {name: [] for name in names}
    for i in range(options.rounds):
        for name in names:
            rounds[name].append(one_round(name, options))
            print(f"round {i + 1} {name}: " + json.dumps(
                {t: {m: round(x, 2) for m, x in v.items()} for t, v in rounds[name][-1].items()}),
                flush=True)
    table = bench.summary(rounds)
    bench.show(table, names[0])
    delay = signalling(options) if set(names) - {"coturn", *WAYS} else {}
    for name, row in delay.items():
        print(f"signalling, relay {name}: " + ", ".join(f"{k} {v}" for k, v in row.items()))
    if options.json:
        with open(options.json, "w") as f:
            json.dump({"machine": about, "options": vars(options), "rounds": rounds,
                       "summary": table, "signalling": delay}, f, indent=1)


if __name__ == "__main__":
    main()
