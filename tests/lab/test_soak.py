# SPDX-License-Identifier: MIT
"""Much for long: nothing is damaged, nothing leaks, nothing is lost without being counted. With a
release build: cmake --preset release -B build/soak -DPV_TESTS=ON; PV_SOAK_GB (100) and
PV_SOAK_MINUTES (10) say how much."""
import json
import os
import re
import signal
import time

from lab import check, equal, pause, scenario, wait

GIGABYTES = float(os.environ.get("PV_SOAK_GB") or 100)
MINUTES = float(os.environ.get("PV_SOAK_MINUTES") or 10)
WORKERS = ("single", 1, 2, 4)
WALL = """
table inet wall {
    chain out { type filter hook output priority 0; oifname "eth*" udp dport != 3478 drop; }
    chain in { type filter hook input priority 0; iifname "eth*" udp sport != 3478 drop; }
}
"""


class Bulk:
    """Bytes from one node to another over the overlay, with their sum at both ends."""

    def __init__(self, lab, src, dst, port, megabytes):
        address = str(src.addr(dst))
        self.recv = dst.start(lab.bin("bulk"), "recv", address, str(port), name=f"bulkin{port}")
        wait("bulk to listen", lambda: "ready" in self.recv.text())
        self.send = src.start(lab.bin("bulk"), "send", address, str(port), str(megabytes),
                              str(port), name=f"bulkout{port}")

    def running(self):
        return self.send.running() or self.recv.running()

    def check_sum(self):
        sent = self.send.text().split()
        received = self.recv.text().replace("ready", "").split()
        check(len(sent) == 2, f"bulk did not end: {self.send.text()} {self.recv.text()}")
        equal(received, sent, "bytes and SHA-256 at the other end")


def rss_mb(host):
    """Resident memory of the daemon, its helper included."""
    total = 0
    for pid in host.run("pgrep", "-x", "p2pvpnd").out.split():
        status = host.run("cat", f"/proc/{pid}/status", check_rc=False).out
        found = re.search(r"VmRSS:\s+(\d+)", status)
        total += int(found.group(1)) / 1024 if found else 0
    return total


def kernel_drops(ns):
    """Packets that a full queue cost in this namespace."""
    total = 0
    for link in json.loads(ns.run("ip", "-s", "-j", "link").out):
        total += link["stats64"]["tx"]["dropped"] + link["stats64"]["rx"]["dropped"]
    names, values = [line.split()[1:] for line in
                     ns.run("cat", "/proc/net/snmp").out.splitlines() if line.startswith("Udp:")]
    udp = dict(zip(names, values))
    return total + int(udp["RcvbufErrors"]) + int(udp["SndbufErrors"])


def nat_drops(nat):
    stats = nat.stats()
    return sum(stats["drops"].values()) + sum(
        stats[line][why] for line in ("line_out", "line_in") for why in ("lost", "overflow"))


def drops(lab, *hosts):
    """All that was dropped and counted: by the daemons, the kernels' queues and the NATs."""
    return (sum(sum(h.json("status")["drops"].values()) for h in hosts) +
            sum(map(kernel_drops, [*hosts, *(h.lan.ns for h in hosts), lab.inet.ns])) +
            sum(nat_drops(h.lan.nat) for h in hosts))


@scenario(long="takes minutes", minutes=60)
def a_hundred_gigabytes_arrive_whole(lab):
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    a.wait_direct(b)
    warm = Bulk(lab, a, b, 7000, 500)
    wait("the first bytes", lambda: not warm.running(), 120)
    warm.check_sum()
    before = [rss_mb(h) for h in (a, b)]
    began = time.monotonic()
    bulk = Bulk(lab, a, b, 7001, int(GIGABYTES * 1e9 / (1 << 20)))
    wait("all bytes", lambda: not bulk.running(), 3000, every=0.5)
    took = time.monotonic() - began
    bulk.check_sum()
    after = [rss_mb(h) for h in (a, b)]
    print(f"        {GIGABYTES:g} GB in {took:.0f} s, {GIGABYTES * 8 / took:.2f} Gb/s; resident "
          f"{before} -> {after} MB", flush=True)
    for x, y in zip(before, after):
        check(y < x + 4, f"memory grew from {x:.1f} to {y:.1f} MB")


class Changes:
    """The accidents of the path, one thing after the other."""

    def __init__(self, a, b):
        self.a, self.b, self.n, self.wall = a, b, 0, False

    def next(self):
        self.n += 1
        if self.wall:
            self.a.run("nft", "delete", "table", "inet", "wall")
            self.wall = False
        elif self.n % 4 == 1:
            self.a.nft(WALL)
            self.wall = True
        elif self.n % 4 == 3:
            self.b.lan.nat.flush()
        else:
            net, new = self.b.lan.subnet4, f"{self.b.lan.subnet4}.{100 + self.n % 100}"
            self.b.ip(f"addr del {self.b.ip4}/24 dev {self.b.dev}",
                      f"addr add {new}/24 dev {self.b.dev}",
                      f"route replace default via {net}.1")
            self.b.ip4 = new


def quiet_flow(lab, a, b, seconds):
    """Datagrams over a path that does not change: what does not arrive was counted somewhere."""
    before = drops(lab, a, b)
    recv = b.start(lab.bin("udpflow"), "recv", "7300", name=f"flowin{time.monotonic():.0f}")
    wait("udpflow to listen", lambda: "ready" in recv.text())
    send = a.start(lab.bin("udpflow"), "send", str(a.addr(b)), "7300", "2000", "3600",
                   name=f"flowout{time.monotonic():.0f}")
    pause(seconds, "datagrams flow")
    send.end(signal.SIGTERM)
    pause(1, "what is under way has to arrive")
    recv.end(signal.SIGTERM)
    sent = int(re.search(r"sent (\d+)", send.text()).group(1))
    received, twice = map(int, re.search(r"received (\d+) twice (\d+)", recv.text()).groups())
    counted = drops(lab, a, b) - before
    equal(twice, 0, "datagrams that came twice")
    check(received + counted >= sent,
          f"{sent} sent, {received} arrived, only {counted} were counted as dropped")


@scenario(long="takes a quarter of an hour", minutes=60)
def ten_minutes_of_everything(lab):
    """Bulk both ways, datagrams, pings and a stream of path changes, with one thread for both
    directions and with 1, 2 and 4 workers; each part is long enough for rekeys (120 s) when
    MINUTES is 10."""
    coordinator = lab.coordinator()
    lans = [lab.lan(n, "profile=port-restricted", "delay=2ms") for n in ("east", "west")]
    a, b = (lab.host(n, lan) for n, lan in zip("ab", lans))
    lab.network(coordinator, [a, b])
    ports = iter(range(7400, 65536))
    for workers in WORKERS:
        for h in (a, b):
            h.stop_daemon()
            h.run("sh", "-c", "cat >/etc/p2pvpn/p2pvpnd.conf",
                  stdin=f"[interface]\nworkers = {workers}\n")
            h.daemon()
        a.wait_peer(b)
        a.wait_direct(b)
        quiet_flow(lab, a, b, 5)
        memory, changes, n = [], Changes(a, b), 0
        bulks = []
        ping = a.start("ping", "-n", "-i", "0.2", str(a.addr(b)), name=f"ping{workers}")
        end = time.monotonic() + MINUTES * 60 / len(WORKERS)
        next_change = time.monotonic() + 10
        while time.monotonic() < end:
            for bulk in [x for x in bulks if not x.running()]:
                bulk.check_sum()
                bulks.remove(bulk)
            while len(bulks) < 2 and time.monotonic() < end - 40:
                n += 1
                one, other = (a, b) if n % 2 else (b, a)
                bulks.append(Bulk(lab, one, other, next(ports), 100))
            if time.monotonic() > next_change:
                changes.next()
                next_change = time.monotonic() + 10
                memory.append([rss_mb(h) for h in (a, b)])
            pause(0.5, "it goes on")
        if changes.wall:
            changes.next()
        wait("the last bytes", lambda: not any(x.running() for x in bulks), 120)
        for bulk in bulks:
            bulk.check_sum()
        ping.end(signal.SIGINT)
        a.wait_direct(b, timeout=60)
        quiet_flow(lab, a, b, 5)
        print(f"        workers = {workers}: {n} copies of 100 MB whole, {changes.n} changes, "
              f"{ping.text().strip().splitlines()[-2]}; resident {memory[1]} -> {memory[-1]} MB",
              flush=True)
        for first, last in zip(memory[1], memory[-1]):
            check(last < first + 6, f"memory grew from {first:.1f} to {last:.1f} MB")
