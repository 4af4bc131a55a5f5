#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""coordinator: what one coordinator bears, by as many nodes as asked for.

usage: scripts/bench coordinator [NODES] [NETWORKS] [--tls] [--one-address] [--window N]
                                 [--only STEP[,…]]
                                 [--rate SIGNALS] [--joins N] [--idle SECONDS] [--build DIR]
                                 [--programs DIR] [--nice N] [--json FILE]

NODES (1000) nodes in NETWORKS (1) networks: each has an identity and a connection of its own, by
the machines of the daemon, from addresses all over a private range. One namespace serves, another
makes the load, a veth pair joins them. Steps, in this order: join (all nodes, --window at once,
beside --rate signals a second; then until everybody has the whole log), idle, signals (for 8 s; the
same while --joins members join), presence (members that go and come back), storm (kill -9, started again at
once, until all are online), start (with nobody online), daemon (a real p2pvpnd joins the first
network). --one-address: all nodes have one, as behind a NAT. --programs: the coordinator and the
daemon of another build. --nice -15: precedence over other jobs of the machine. CPU is that of the
coordinator's threads; load_cpu_s that of the load itself, which may be the limit when the two share
few cores. Needs root and iproute2; leaves nothing behind.
"""
import argparse
import glob
import importlib.machinery
import importlib.util
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("bench", os.path.join(ROOT, "scripts", "bench"))
bench = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench", loader))
loader.exec_module(bench)

SERVER, LOAD = "192.0.2.1", "192.0.2.2"
SOURCES = "10.128.0.0"  # and so many addresses as the nodes need: a /9 is theirs
STEPS = ["join", "idle", "signals", "presence", "storm", "start", "daemon"]


def cpu_ns(pid, name=None):
    """Nanoseconds that the threads of a process have run; name: those of that name only."""
    total = 0
    for task in glob.glob(f"/proc/{pid}/task/*"):
        try:
            with open(task + "/comm") as f:
                comm = f.read().strip()
            with open(task + "/schedstat") as f:
                ran = int(f.read().split()[0])
        except OSError:
            continue
        if name is None or comm == name:
            total += ran
    return total


def written(pid):
    """Bytes that a process, and those that it made, had the kernel write to files."""
    total = 0
    for entry in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(entry) as f:
                fields = f.read().rpartition(")")[2].split()
            if str(pid) not in (entry.split("/")[2], fields[1]):
                continue
            with open(os.path.dirname(entry) + "/io") as f:
                total += int(dict(line.split(": ") for line in f)["write_bytes"])
        except OSError:
            continue  # it has ended
    return total


def memory(pid, field="VmRSS"):
    with open(f"/proc/{pid}/status") as f:
        for line in f:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    return 0


class Setup:
    """A coordinator in one namespace, and the load in the other."""

    def __init__(self, options):
        self.options = options
        self.link = bench.Link(options)
        run = self.link.exec
        run(1, "ip", "route", "add", "local", SOURCES + "/9", "dev", "lo")
        run(0, "ip", "route", "add", SOURCES + "/9", "via", LOAD)
        for ns, name, value in ((0, "net.core.somaxconn", 16384), (1, "net.core.somaxconn", 16384),
                                (0, "net.ipv4.tcp_max_syn_backlog", 16384),
                                # One address for all: the search for a free port is the load's.
                                (1, "net.ipv4.ip_local_port_range", "1024 65535")):
            run(ns, "sysctl", "-qw", f"{name}={value}", check=False)
        self.home = self.link.dir + "/coordinator"
        self.programs = options.programs or os.path.join(options.build, "bin")
        self.program = os.path.join(self.programs, "p2pvpn-coordinator")
        self.url = bench.run(self.program, "url", "--state", self.home, "--public", SERVER).strip()
        self.coordinator = None
        self.empty = None
        self.start()
        self.load = subprocess.Popen(
            ["ip", "netns", "exec", self.link.ns[1],
             os.path.join(options.build, "bin", "bench_coordinator"), SERVER + ":3478", self.url,
             SOURCES, str(options.nodes + 2 * options.joins + 1), str(options.networks),
             "tls" if options.tls else "tcp", *(["one"] if options.one_address else [])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def start(self):
        """Starts the coordinator; returns the seconds until it takes connections."""
        began = time.monotonic()
        self.coordinator = self.link.start(0, self.program, "--state", self.home, "--public",
                                           SERVER, "--listen", SERVER + ":3478")
        while True:
            # From another address than the nodes': each source has its own limits.
            probe = f"import socket; socket.create_connection(('{SERVER}', 3478), 1)"
            done = subprocess.run(["nsenter", f"--net=/run/netns/{self.link.ns[0]}", sys.executable,
                                   "-c", probe], capture_output=True)
            if done.returncode == 0:
                break
            if self.coordinator.poll() is not None:
                raise RuntimeError("the coordinator does not start: " + self.log())
            if time.monotonic() > began + 120:
                raise RuntimeError("the coordinator does not listen: " + self.log())
        took = time.monotonic() - began
        if self.empty is None:
            self.empty = memory(self.pid())
        return took

    def log(self):
        logs = sorted(glob.glob(self.link.dir + "/log*"), key=os.path.getmtime)
        with open(logs[-1]) as f:
            return f.read()[-600:]

    def pid(self):
        """`ip netns exec` becomes the program, so its number is the coordinator's."""
        return self.coordinator.pid

    def kill(self):
        self.coordinator.send_signal(signal.SIGKILL)
        self.coordinator.wait()

    def order(self, line):
        """An order to the load, and what the coordinator's threads used meanwhile."""
        before, own = cpu_ns(self.pid()), cpu_ns(self.load.pid)
        self.load.stdin.write(line + "\n")
        answer = self.answer()
        answer["cpu_s"] = (cpu_ns(self.pid()) - before) / 1e9
        answer["load_cpu_s"] = (cpu_ns(self.load.pid) - own) / 1e9
        answer["rss"] = memory(self.pid())
        return answer

    def answer(self):
        line = self.load.stdout.readline()
        if line == "":
            raise RuntimeError("the load has ended; the coordinator's log: " + self.log())
        return json.loads(line)

    def metrics(self):
        """The coordinator's figures of its own loop; nothing where it does not."""
        done = subprocess.run([self.program, "status", "--state", self.home, "--json"],
                              capture_output=True, text=True)
        if done.returncode != 0:
            return {}
        return json.loads(done.stdout).get("loop", {})

    def close(self):
        if self.load.poll() is None:
            self.load.stdin.close()
            try:
                self.load.wait(20)
            except subprocess.TimeoutExpired:
                self.load.kill()
                self.load.wait()
        self.link.close()


# --- steps --------------------------------------------------------------------------------------


def step_join(s, options):
    n = options.nodes - options.networks
    s.order(f"join {options.networks} {options.window} 0")  # who makes the networks
    joined = s.order(f"join {n} {options.window} {options.rate}")
    signals = joined["signal_ms"] or [0, 0, 0, 0]
    loop = s.metrics()
    settled = s.order("settle")
    peak = memory(s.pid(), "VmHWM")
    return {
        "seconds": joined["seconds"], "joins_per_s": n / joined["seconds"],
        "cpu_ms_per_join": joined["cpu_s"] * 1e3 / n,
        "join_p50_ms": joined["join_ms"][0], "join_p99_ms": joined["join_ms"][2],
        "signal_p50_ms": signals[0], "signal_p99_ms": signals[2], "signal_max_ms": signals[3],
        "whole_when_joined": joined["whole"],
        "gb_to_nodes": joined["rx"] / 1e9, "failures": joined["failures"],
        "settled_s": joined["seconds"] + settled["seconds"],
        "settled_gb": (joined["rx"] + settled["rx"]) / 1e9,
        "settled_cpu_s": joined["cpu_s"] + settled["cpu_s"],
        "load_cpu_s": joined["load_cpu_s"] + settled["load_cpu_s"],
        "log_p50_ms": settled["whole_ms"][0], "log_p99_ms": settled["whole_ms"][2],
        "rss_kb_per_node": (settled["rss"] - s.empty) / 1024 / options.nodes,
        "peak_mb": peak / 1e6,
        **{f"loop_{k}": v for k, v in loop.items()},
    }


def step_idle(s, options):
    got = s.order(f"rest {options.idle}")
    n = options.nodes
    return {"cpu_percent": 100 * got["cpu_s"] / got["seconds"],
            "bytes_per_node_s": (got["rx"] + got["tx"]) / n / got["seconds"],
            "rss_kb_per_node": (got["rss"] - s.empty) / 1024 / n}


def signal_row(got):
    times = got["signal_ms"] or [0, 0, 0, 0]
    return {"per_s": got["signals"] / min(got["seconds"], 8), "p50_ms": times[0],
            "p99_ms": times[2], "max_ms": times[3], "refused": got["refused"],
            "lost": got["sent"] - got["signals"] - got["refused"],
            "cpu_us": got["cpu_s"] * 1e6 / max(1, got["signals"])}


def step_signals(s, options):
    quiet = signal_row(s.order(f"signals {options.rate} 8 1500 0"))
    rows = {f"quiet_{k}": v for k, v in quiet.items()}
    got = s.order(f"signals {options.rate} 8 1500 {options.joins}")
    rows.update({f"joining_{k}": v for k, v in signal_row(got).items()})
    rows.update({f"loop_{k}": v for k, v in s.metrics().items()})
    return rows


def step_presence(s, options):
    count = 20
    got = s.order(f"flap {count}")
    return {"pushes_per_flap": got["presences"] / count,
            "bytes_per_flap": (got["rx"] + got["tx"]) / count,
            "cpu_ms_per_flap": got["cpu_s"] * 1e3 / count}


def step_storm(s, options):
    s.load.stdin.write("storm\n")
    s.answer()
    began, own = time.monotonic(), cpu_ns(s.load.pid)
    s.kill()
    listening = s.start()
    got = s.answer()
    limits = json.loads(bench.run(s.program, "status", "--state", s.home, "--json"))["limits"]
    hit = {f"limit_{name}": n for name, n in limits.items() if n > 0}
    return {**hit, "listening_s": listening, "all_online_s": time.monotonic() - began,
            "p50_s": got["back_ms"][0] / 1e3, "p90_s": got["back_ms"][1] / 1e3,
            "p99_s": got["back_ms"][2] / 1e3, "max_s": got["back_ms"][3] / 1e3,
            "lost_connects": got["failures"], "cpu_s": cpu_ns(s.pid()) / 1e9,
            "control_cpu_s": cpu_ns(s.pid(), os.path.basename(s.program)[:15]) / 1e9,
            "load_cpu_s": (cpu_ns(s.load.pid) - own) / 1e9,
            "rss_kb_per_node": (memory(s.pid()) - s.empty) / 1024 / options.nodes}


def step_start(s, _options):
    """Without anybody: the load's packets are dropped meanwhile."""
    s.kill()
    s.link.exec(0, "ip", "route", "del", SOURCES + "/9")
    took = s.start()
    statements = json.loads(bench.run(s.program, "status", "--state", s.home, "--json"))["statements"]
    used = cpu_ns(s.pid()) / 1e9
    rss = memory(s.pid())
    s.link.exec(0, "ip", "route", "add", SOURCES + "/9", "via", LOAD)
    s.order("settle")
    return {"statements": statements, "listening_s": took, "cpu_s": used, "rss_mb": rss / 1e6}


POLL_S = 0.02  # between two looks at a process, each of which costs a few milliseconds


def wait_for(s, what, ctl, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = ctl()
        if got is not None:
            return got
        time.sleep(POLL_S)
    raise RuntimeError(f"p2pvpnd: {what} does not come; its log: {s.log()}")


def wait_until_quiet(s, pid, seconds=60):
    """Until a process has neither worked (5 ms) nor written for a second, as the load goes on."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        before = cpu_ns(pid), written(pid)
        s.order("rest 1")
        if cpu_ns(pid) - before[0] < 5e6 and written(pid) == before[1]:
            return
    print(f"p2pvpnd: busy for {seconds} s", file=sys.stderr)


class Daemon:
    """A real p2pvpnd beside the load, or in another namespace of the link."""

    def __init__(self, s, name, end=1):
        self.end = end
        self.s, self.home = s, os.path.join(s.link.dir, name)
        os.makedirs(self.home, exist_ok=True)
        self.socket = self.home + "/ctl.sock"
        self.proc = s.link.start(end, os.path.join(s.programs, "p2pvpnd"), "--state",
                                 self.home + "/state", "--socket", self.socket, "--tun", "p2pb0")
        self.began = time.monotonic()

    def ctl(self, *args):
        return subprocess.run(["ip", "netns", "exec", self.s.link.ns[self.end],
                               os.path.join(self.s.programs, "p2pvpnctl"), "--socket", self.socket,
                               *args], capture_output=True, text=True)

    def status(self):
        done = self.ctl("status", "--json")
        return json.loads(done.stdout) if done.returncode == 0 else None

    def members(self):
        """By `status`: a list of all peers would take memory that the members do not."""
        return ((self.status() or {}).get("roster") or {}).get("members", 0)

    def close(self):
        self.proc.send_signal(signal.SIGTERM)
        self.proc.wait(20)


def step_daemon(s, options):
    s.load.stdin.write("token\n")
    token = s.answer()
    members = options.nodes // options.networks
    d = Daemon(s, "daemon")
    wait_for(s, "its socket", d.status)
    empty = memory(d.proc.pid)
    began = time.monotonic()
    done = d.ctl("join", token, "--name", "daemon")
    if done.returncode != 0:
        raise RuntimeError(f"p2pvpnd does not join: {done.stderr}")
    joined = time.monotonic() - began
    wait_for(s, "the roster", lambda: d.members() >= members or None)
    roster = time.monotonic() - began
    wait_until_quiet(s, d.proc.pid)
    rss, used = memory(d.proc.pid), cpu_ns(d.proc.pid)
    began = time.monotonic()
    s.order(f"rest {min(options.idle, 10)}")
    idle = 100 * (cpu_ns(d.proc.pid) - used) / 1e9 / (time.monotonic() - began)
    used, wrote = cpu_ns(d.proc.pid), written(d.proc.pid)
    s.order(f"signals 1 8 100 {options.joins}")
    wait_until_quiet(s, d.proc.pid)
    newcomer = (cpu_ns(d.proc.pid) - used) / 1e6 / options.joins
    wrote = (written(d.proc.pid) - wrote) / 1024 / options.joins
    d.close()
    d = Daemon(s, "daemon")
    began = time.monotonic()
    wait_for(s, "the coordinator", lambda: ((d.status() or {}).get("coordinator") or {}).get("connected") or None)
    back = time.monotonic() - began
    restart_cpu = cpu_ns(d.proc.pid) / 1e9
    wait_until_quiet(s, d.proc.pid)
    again = memory(d.proc.pid)
    d.close()
    return {"join_s": joined, "roster_s": roster, "rss_mb": rss / 1e6,
            "kb_per_member": (rss - empty) / 1024 / members, "idle_cpu_percent": idle,
            "newcomer_cpu_ms": newcomer, "newcomer_written_kb": wrote, "restart_online_s": back,
            "restart_cpu_s": restart_cpu, "restart_kb_per_member": (again - empty) / 1024 / members}


# --- telling ------------------------------------------------------------------------------------


def show(rows):
    print("| step | what | value |\n|---|---|---|")
    for step, values in rows.items():
        for name, value in values.items():
            text = f"{value:.4g}" if isinstance(value, float) else str(value)
            print(f"| {step} | {name.replace('_', ' ')} | {text} |")


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1].removeprefix("usage: "))
    parser.add_argument("nodes", nargs="?", type=int, default=1000)
    parser.add_argument("networks", nargs="?", type=int, default=1)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--one-address", action="store_true")
    parser.add_argument("--window", type=int, default=50)
    parser.add_argument("--only", default=",".join(STEPS))
    parser.add_argument("--rate", type=float, default=300)
    parser.add_argument("--joins", type=int, default=5)
    parser.add_argument("--idle", type=float, default=20)
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"))
    parser.add_argument("--programs")
    parser.add_argument("--nice", type=int, default=0)
    parser.add_argument("--json")
    options = parser.parse_args(sys.argv[1:])
    options.mtu, options.no_offload_link, options.delay = 1500, False, 0
    only = options.only.split(",")
    if os.getuid() != 0:
        sys.exit("bench: makes network namespaces: run it as root")
    if unknown := set(only) - set(STEPS):
        sys.exit(f"bench: unknown: {', '.join(sorted(unknown))}")
    if not 1 <= options.networks < options.nodes or options.window < 1:
        sys.exit("bench: more NODES than NETWORKS, at least one network and one join at once")
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if options.nodes + options.joins + 100 > files:
        sys.exit(f"bench: a process may open {files} descriptors here: ask for fewer nodes")
    for program in (os.path.join(options.build, "bin", "bench_coordinator"),
                    os.path.join(options.programs or os.path.join(options.build, "bin"),
                                 "p2pvpn-coordinator")):
        if not os.path.exists(program):
            sys.exit(f"bench: no {program}: cmake --preset release -DPV_TESTS=ON && ninja -C "
                     f"build/release p2pvpn-coordinator p2pvpnd p2pvpnctl bench_coordinator")
    os.nice(options.nice)
    about = bench.machine()
    print(", ".join(f"{k} {v}" for k, v in about.items()))
    print(f"{options.nodes} nodes in {options.networks} networks by {'TLS' if options.tls else 'TCP'}, "
          f"{options.window} joins at once")
    rows = {}
    s = Setup(options)
    try:
        for step in STEPS:
            if step in only or step == "join":  # without members there is nothing to measure
                rows[step] = globals()["step_" + step](s, options)
                print(f"{step}: " + json.dumps(
                    {k: round(v, 3) if isinstance(v, float) else v for k, v in rows[step].items()}),
                    flush=True)
    finally:
        s.close()
    show(rows)
    if options.json:
        with open(options.json, "w") as f:
            json.dump({"machine": about, "options": vars(options), "steps": rows}, f, indent=1)


if __name__ == "__main__":
    main()
