#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""broadcast: what broadcast and multicast cost, beside VPNs that switch Ethernet frames.

usage: scripts/bench broadcast [--nodes N] [--rounds N] [--seconds S] [--only CONTENDER[,…]]
                               [--build DIR] [--json FILE]

Contenders: p2pvpnd, n2n (multicast accepted), tinc (switch mode; each node connects to the first).
N (6) nodes, each in a namespace of its own on one bridge; the server that the first two need is
beside them. After a ping between all, so that nobody is idle:

  idle    nothing is broadcast: packets and bytes a second of a node's line, both ways
  beacon  the first node broadcasts 100 bytes 10 times a second: how many arrive at the others, and
          bytes on the first node's line for each one, less what idle costs
  stream  the first node sends 475 datagrams of 1316 bytes a second (5 Mb/s) to a multicast group
          that half of the others joined: how many arrive, Mb/s on the first node's line, and at a
          node that did not join; seconds of processor of all programs for a minute of it

Rounds are interleaved; what is printed are medians. n2n and tinc are taken from the machine's own
Debian mirror by apt into build/bench-cache where they are not installed. Needs root and iproute2;
leaves nothing behind.
"""
import argparse
import glob
import importlib.machinery
import importlib.util
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CAST = os.path.join(ROOT, "tests/lab/programs/cast.py")
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("bench", os.path.join(ROOT, "scripts", "bench"))
bench = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench", loader))
loader.exec_module(bench)
run = bench.run

GROUP, RATE, SIZE = "239.66.0.1", 475, 1316


def program(name, package):
    """A program of a Debian package: the installed one, or out of the package."""
    path = os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin"
    found = shutil.which(name, path=path)
    if found:
        return found
    place = os.path.join(bench.CACHE, package)
    found = [p for p in glob.glob(f"{place}/usr/*bin/{name}")]
    if not found:
        os.makedirs(place, exist_ok=True)
        run("apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package, timeout=300, cwd=place)
        run("dpkg-deb", "-x", glob.glob(f"{place}/{package}_*.deb")[0], place)
        found = glob.glob(f"{place}/usr/*bin/{name}")
    return found[0]


class Net:
    """A bridge in a namespace of its own, 192.0.2.1; nodes 192.0.2.11 and up."""

    def __init__(self, n):
        self.n, self.procs, self.programs = n, [], []
        self.hub = f"pvcast{os.getpid()}hub"
        self.ns = [f"pvcast{os.getpid()}n{i}" for i in range(n)]
        self.dir = tempfile.mkdtemp(prefix="pvcast")
        for ns in [self.hub, *self.ns]:
            run("ip", "netns", "add", ns)
            run("ip", "-n", ns, "link", "set", "lo", "up")
        run("ip", "-n", self.hub, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        run("ip", "-n", self.hub, "addr", "add", "192.0.2.1/24", "dev", "br0")
        run("ip", "-n", self.hub, "link", "set", "br0", "up")
        for i, ns in enumerate(self.ns):
            run("ip", "link", "add", f"v{i}", "netns", self.hub, "type", "veth", "peer", "name", "eth0", "netns", ns)
            run("ip", "-n", self.hub, "link", "set", f"v{i}", "master", "br0", "up")
            run("ip", "-n", ns, "addr", "add", f"192.0.2.{11 + i}/24", "dev", "eth0")
            run("ip", "-n", ns, "link", "set", "eth0", "up")

    def start(self, ns, *args, meter=True):
        log = open(os.path.join(self.dir, f"log{len(self.procs)}"), "w", encoding="utf-8")
        proc = subprocess.Popen(["ip", "netns", "exec", ns, *args], stdout=log, stderr=log, start_new_session=True)
        self.procs.append(proc)
        if meter:
            self.programs.append(proc)
        return proc, log.name

    def exec(self, i, *args, **more):
        return run("ip", "netns", "exec", self.ns[i], *args, **more)

    def line(self, i):
        """Packets and bytes of the node's line so far, both ways; and those that it sent."""
        out = json.loads(run("ip", "-n", self.ns[i], "-s", "-j", "link", "show", "eth0"))[0]["stats64"]
        rx, tx = out["rx"], out["tx"]
        return {"packets": rx["packets"] + tx["packets"], "bytes": rx["bytes"] + tx["bytes"], "sent": tx["bytes"],
                "got": rx["bytes"]}

    def cpu(self):
        return bench.cpu(bench.family([p.pid for p in self.programs]))

    def close(self):
        for proc in self.procs:
            if proc.poll() is None:
                os.killpg(proc.pid, signal.SIGTERM)
        for proc in self.procs:
            try:
                proc.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(proc.pid, signal.SIGKILL)
                proc.wait()
        for ns in [self.hub, *self.ns]:
            run("ip", "netns", "del", ns, check=False)
        shutil.rmtree(self.dir, ignore_errors=True)


def wait(what, ready, seconds=30):
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise RuntimeError(f"no {what} in {seconds} s")
        time.sleep(0.05)


# --- contenders: each gives the nodes' addresses and their broadcast ------------------------------


def start_ours(net, options):
    def path(name):
        return os.path.join(options.build, "bin", name)

    def ctl(i, *args):
        return net.exec(i, path("p2pvpnctl"), "--socket", f"{net.dir}/{i}/run/ctl.sock", *args, check=False).strip()

    home = f"{net.dir}/coordinator"
    os.makedirs(home)
    url = run(path("p2pvpn-coordinator"), "url", "--public", "192.0.2.1", "--state", home).strip()
    net.start(net.hub, path("p2pvpn-coordinator"), "--public", "192.0.2.1", "--state", home)
    for i, ns in enumerate(net.ns):
        os.makedirs(f"{net.dir}/{i}/state")
        os.makedirs(f"{net.dir}/{i}/run")
        bench.write(f"{net.dir}/{i}/conf", "")
        net.start(ns, path("p2pvpnd"), "--config", f"{net.dir}/{i}/conf", "--state", f"{net.dir}/{i}/state", "--socket",
                  f"{net.dir}/{i}/run/ctl.sock")
    wait("daemon", lambda: "state" in ctl(net.n - 1, "status"))
    wait("network", lambda: "p2pvpn-" in ctl(0, "create", url, "--name", "n0"))
    ips = []
    for i in range(net.n):
        if i > 0:
            ctl(i, "join", ctl(0, "invite"), "--name", f"n{i}")
        wait(f"address of n{i}", lambda i=i: ctl(i, "ip") != "")
        ips.append(re.search(r"10\.66\.\d+\.\d+", ctl(i, "ip")).group(0))
    return ips, "10.66.255.255"


def start_n2n(net, options):
    net.start(net.hub, program("supernode", "n2n"), "-f", "-l", "7654")
    for i, ns in enumerate(net.ns):
        net.start(ns, program("edge", "n2n"), "-f", "-d", "n2n0", "-a", f"10.77.0.{i + 1}", "-s", "255.255.255.0",
                  "-c", "bench", "-k", "secret", "-l", "192.0.2.1:7654", "-E")
    return [f"10.77.0.{i + 1}" for i in range(net.n)], "10.77.0.255"


def start_tinc(net, options):
    keys = []
    for i in range(net.n):
        home = f"{net.dir}/{i}"
        os.makedirs(home + "/hosts")
        run("openssl", "genrsa", "-traditional", "-out", home + "/rsa_key.priv", "2048")
        keys.append(run("openssl", "rsa", "-in", home + "/rsa_key.priv", "-RSAPublicKey_out"))
        bench.write(home + "/tinc.conf", f"Name = n{i}\nMode = switch\nInterface = tinc0\n"
                    + ("ConnectTo = n0\n" if i > 0 else ""))
        bench.write(home + "/tinc-up", f"#!/bin/sh\nip addr add 10.77.0.{i + 1}/24 dev $INTERFACE\n"
                    "ip link set $INTERFACE up\n")
        os.chmod(home + "/tinc-up", 0o700)
    for i, ns in enumerate(net.ns):
        for k, key in enumerate(keys):
            bench.write(f"{net.dir}/{i}/hosts/n{k}", f"Address = 192.0.2.{11 + k}\n" + key)
        net.start(ns, program("tincd", "tinc"), "-D", "-c", f"{net.dir}/{i}", f"--pidfile={net.dir}/{i}/pid")
    return [f"10.77.0.{i + 1}" for i in range(net.n)], "10.77.0.255"


CONTENDERS = {"p2pvpnd": start_ours, "n2n": start_n2n, "tinc": start_tinc}


# --- measuring ------------------------------------------------------------------------------------


def settle(net):
    """Until what each does at its beginning is done: packets on the lines are no longer getting fewer."""
    last = None
    for _ in range(12):
        now = idle(net, 5)["packets"]
        if last is not None and now >= 0.8 * last:
            return
        last = now


def meet(net, ips):
    """Everybody reaches everybody, over the path that stays."""
    for i in range(net.n):
        for k in range(net.n):
            if i != k:
                wait(f"path from {i} to {k}",
                     lambda i=i, k=k: " 0% packet loss" in net.exec(i, "ping", "-c1", "-W1", "-q", ips[k], check=False))
    settle(net)


def hear(net, i, group, port, address):
    proc, log = net.start(net.ns[i], sys.executable, CAST, "hear", group, str(port), address, meter=False)
    wait("listener", lambda: "ready" in open(log, encoding="utf-8").read())
    return proc, log


def count(log):
    with open(log, encoding="utf-8") as f:
        return sum(1 for line in f if len(line.split()) == 3 and line[0].isdigit() and "datagrams" not in line)


def send(net, group, port, address, n, size, rate, logs):
    """Sends, and waits until all has arrived, or nothing has for half a second: the rest is lost."""
    heard = [count(log) for log in logs]
    net.exec(0, sys.executable, CAST, "send", group, str(port), address, str(n), str(size), str(rate),
             timeout=n / rate + 30)
    at, last = time.monotonic(), None
    while time.monotonic() < at + 0.5:
        now = [count(log) for log in logs]
        if all(b - a >= n for a, b in zip(heard, now)):
            return
        if now != last:
            at, last = time.monotonic(), now
        time.sleep(0.05)


def idle(net, seconds):
    """The packets that a node sends and gets a second while nobody says anything: so long is looked."""
    before = [net.line(i) for i in range(net.n)]
    time.sleep(seconds)
    after = [net.line(i) for i in range(net.n)]
    per = net.n * seconds
    return {what: sum(b[what] - a[what] for a, b in zip(before, after)) / per for what in ("packets", "bytes")}


def beacon(net, ips, broadcast, seconds, quiet):
    logs = [hear(net, i, "-", 5001, ips[i])[1] for i in range(1, net.n)]
    before, n, began = net.line(0)["bytes"], seconds * 10, time.monotonic()
    send(net, broadcast, 5001, ips[0], n, 100, 10, logs)
    used = net.line(0)["bytes"] - before - quiet["bytes"] * (time.monotonic() - began)
    return {"arrived": sum(count(log) for log in logs) / n / (net.n - 1), "line_bytes": used / n}


def stream(net, ips, seconds):
    others = list(range(1, net.n))
    joined, rest = others[::2], others[1::2]
    logs = [hear(net, i, GROUP, 5004, ips[i])[1] for i in joined]

    def told():
        """The sender's side knows who joined: one datagram reaches them all."""
        heard = [count(log) for log in logs]
        send(net, GROUP, 5004, ips[0], 1, SIZE, RATE, logs)
        return all(count(log) > a for a, log in zip(heard, logs))

    wait("stream to those who joined", told)
    heard = [count(log) for log in logs]
    before, cpu, n = [net.line(i) for i in range(net.n)], net.cpu(), seconds * RATE
    send(net, GROUP, 5004, ips[0], n, SIZE, RATE, logs)
    after, cpu = [net.line(i) for i in range(net.n)], net.cpu() - cpu
    return {"arrived": sum(count(log) - a for a, log in zip(heard, logs)) / n / len(logs),
            "line_mbps": (after[0]["sent"] - before[0]["sent"]) * 8 / seconds / 1e6,
            "unasked_mbps": max(after[i]["got"] - before[i]["got"] for i in rest) * 8 / seconds / 1e6,
            "cpu_s_per_minute": cpu * 60 / seconds}


def one_round(name, options):
    net = Net(options.nodes)
    try:
        ips, broadcast = CONTENDERS[name](net, options)
        meet(net, ips)
        quiet = idle(net, 2 * options.seconds)
        return {"idle": quiet, "beacon": beacon(net, ips, broadcast, options.seconds, quiet),
                "stream": stream(net, ips, options.seconds)}
    finally:
        net.close()


def main():
    p = argparse.ArgumentParser(prog="scripts/bench broadcast", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--nodes", type=int, default=6)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=int, default=10)
    p.add_argument("--only", help="contenders, with commas between")
    p.add_argument("--build", help="build directory; default: build/release, built first")
    p.add_argument("--json", help="write all figures there")
    options = p.parse_args()
    names = options.only.split(",") if options.only else list(CONTENDERS)
    if options.build is None:
        options.build = os.path.join(ROOT, "build/release")
        subprocess.run([os.path.join(ROOT, "scripts/build"), "release", "p2pvpnd", "p2pvpnctl", "p2pvpn-coordinator"],
                       check=True)
    rounds = {name: [] for name in names}
    for i in range(options.rounds):
        for name in names:
            rounds[name].append(one_round(name, options))
            print(f"round {i + 1} {name}: {json.dumps(rounds[name][-1])}", flush=True)
    table = {name: {test: {what: statistics.median(r[test][what] for r in rounds[name]) for what in figures}
                    for test, figures in rounds[name][0].items()} for name in names}
    for test, figures in table[names[0]].items():
        for what in figures:
            print(f"{test + ' ' + what:28}" + "".join(f"{name:>10} {table[name][test][what]:10.2f}" for name in names))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as f:
            json.dump({"rounds": rounds, "median": table}, f, indent=1)


if __name__ == "__main__":
    main()
