#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""idle: what an idle p2pvpnd costs, with 2 and with 200 members.

usage: scripts/bench idle [MEMBERS…] [--settle SECONDS] [--seconds SECONDS] [--build DIR]
                          [--programs DIR] [--json FILE]

A real p2pvpnd is a member of a network of MEMBERS (2 and 200), and has a namespace of its own. The
other members are the load of `scripts/bench coordinator`: each has an identity and a connection to
the coordinator. Nobody uses a path. After --settle (150), when the daemon has measured what it
measures at a start, --seconds (300) are counted and printed for a minute:

  wakeups   how often a thread of p2pvpnd or of its helper went to sleep of its own accord
  packets   on the daemon's line, both ways; and their bytes, with IP headers
  kinds     the packets by protocol, port of the other end and direction

Needs root and iproute2; leaves nothing behind.
"""
import argparse
import collections
import glob
import importlib.util
import json
import os
import signal
import struct
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CAPTURE = os.path.join(ROOT, "tests/lab/programs/capture.py")
sys.dont_write_bytecode = True
spec = importlib.util.spec_from_file_location("coordinator", os.path.join(ROOT, "tests/bench/coordinator.py"))
coordinator = importlib.util.module_from_spec(spec)
spec.loader.exec_module(coordinator)
bench = coordinator.bench

HOME, NODE = "192.0.3.1", "192.0.3.2"
TUN = "p2pb0"


def sleeps(pids):
    """{(process, thread): how often it went to sleep so far}"""
    found = {}
    for pid in pids:
        for task in glob.glob(f"/proc/{pid}/task/*"):
            try:
                with open(task + "/comm") as f:
                    name = f.read().strip()
                with open(task + "/status") as f:
                    fields = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
            except OSError:
                continue  # it has ended
            found[(os.path.basename(task), name)] = int(fields["voluntary_ctxt_switches"])
    return found


class Node(coordinator.Daemon):
    """A p2pvpnd whose line nobody else uses."""

    def __init__(self, s):
        self.ns = s.link.ns[0] + "node"
        bench.run("ip", "netns", "add", self.ns)
        s.link.ns.append(self.ns)
        bench.run("ip", "link", "add", "veth1", "netns", s.link.ns[0], "type", "veth", "peer", "name", "veth0", "netns",
                  self.ns)
        for ns, dev, address in ((s.link.ns[0], "veth1", HOME), (self.ns, "veth0", NODE)):
            bench.run("ip", "-n", ns, "addr", "add", address + "/24", "dev", dev)
            bench.run("ip", "-n", ns, "link", "set", dev, "up")
        bench.run("ip", "-n", self.ns, "link", "set", "lo", "up")
        bench.run("ip", "-n", self.ns, "route", "add", "default", "via", HOME)
        s.link.exec(0, "sysctl", "-qw", "net.ipv4.ip_forward=1", check=False)
        super().__init__(s, "node", end=2)

    def capture(self, path):
        program = subprocess.Popen(["ip", "netns", "exec", self.ns, sys.executable, CAPTURE, path, TUN],
                                   stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.s.link.procs.append(program)
        program.stdout.readline()
        return program


def kind(packet):
    """What a packet is, as seen by the node."""
    if packet[0] >> 4 != 4:
        return "IPv6" if packet[0] >> 4 == 6 else "ARP"
    name = {1: "ICMP", 2: "IGMP", 6: "TCP", 17: "UDP"}.get(packet[9], f"protocol {packet[9]}")
    sent = packet[12:16] == bytes(map(int, NODE.split(".")))
    way = "out" if sent else "in"
    if name not in ("TCP", "UDP"):
        return f"{name} {way}"
    ports = struct.unpack_from(">HH", packet, (packet[0] & 15) * 4)
    return f"{name} {ports[1 if sent else 0]} {way}"


def read_capture(path):
    with open(path, "rb") as f:
        data = f.read()
    at, packets = 0, []
    while at < len(data):
        size = struct.unpack_from(">I", data, at)[0]
        packets.append(data[at + 4:at + 4 + size])
        at += 4 + size
    return packets


def measure(members, options):
    options.nodes, options.networks, options.joins = members - 1, 1, 0
    s = coordinator.Setup(options)
    try:
        s.order("join 1 1 0")
        if members > 2:
            s.order(f"join {members - 2} 50 0")
        s.order("settle")
        s.load.stdin.write("token\n")
        token = s.answer()
        node = Node(s)
        coordinator.wait_for(s, "its socket", node.status)
        done = node.ctl("join", token, "--name", "node")
        if done.returncode != 0:
            raise RuntimeError(f"p2pvpnd does not join: {done.stderr}")
        coordinator.wait_for(s, "the roster", lambda: node.members() >= members or None)
        s.order(f"rest {options.settle}")
        path = os.path.join(s.link.dir, "packets")
        capture = node.capture(path)
        pids = bench.family([node.proc.pid])
        before, used = sleeps(pids), bench.cpu(pids)
        s.order(f"rest {options.seconds}")
        after, used = sleeps(pids), bench.cpu(pids) - used
        capture.send_signal(signal.SIGTERM)
        capture.wait(10)
        packets = read_capture(path)
        node.close()
    finally:
        s.close()
    minutes = options.seconds / 60
    threads = collections.Counter()
    for key, n in after.items():
        threads[key[1]] += n - before.get(key, 0)
    return {"wakeups": sum(threads.values()) / minutes, "packets": len(packets) / minutes,
            "bytes": sum(map(len, packets)) / minutes, "cpu_ms": used * 1e3 / minutes,
            "threads": {k: v / minutes for k, v in threads.most_common() if v},
            "kinds": {k: v / minutes for k, v in collections.Counter(map(kind, packets)).most_common()}}


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1].removeprefix("usage: "))
    parser.add_argument("members", nargs="*", type=int, default=[2, 200])
    parser.add_argument("--settle", type=float, default=150)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"))
    parser.add_argument("--programs")
    parser.add_argument("--json")
    options = parser.parse_args(sys.argv[1:])
    options.mtu, options.no_offload_link, options.delay = 1500, False, 0
    options.tls, options.one_address = False, False
    if os.getuid() != 0:
        sys.exit("bench: makes network namespaces: run it as root")
    if min(options.members) < 2:
        sys.exit("bench: two MEMBERS at least: one is the node itself")
    programs = options.programs or os.path.join(options.build, "bin")
    for program in (os.path.join(options.build, "bin", "bench_coordinator"),
                    *(os.path.join(programs, p) for p in ("p2pvpn-coordinator", "p2pvpnd", "p2pvpnctl"))):
        if not os.path.exists(program):
            sys.exit(f"bench: no {program}: cmake --preset release -DPV_TESTS=ON && ninja -C "
                     f"build/release p2pvpn-coordinator p2pvpnd p2pvpnctl bench_coordinator")
    print(", ".join(f"{k} {v}" for k, v in bench.machine().items()))
    rows = {}
    for members in options.members:
        rows[members] = measure(members, options)
        print(f"{members} members: " + json.dumps(rows[members]), flush=True)
    print("| a minute | " + " | ".join(f"{n} members" for n in rows) + " |\n|---" + "|---" * len(rows) + "|")
    for what in ("wakeups", "packets", "bytes", "cpu_ms"):
        print(f"| {what.replace('_', ' ')} | " + " | ".join(f"{row[what]:.1f}" for row in rows.values()) + " |")
    if options.json:
        with open(options.json, "w") as f:
            json.dump({"machine": bench.machine(), "rows": rows}, f, indent=1)


if __name__ == "__main__":
    main()
