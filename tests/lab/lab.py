# SPDX-License-Identifier: MIT
"""lab: the real programs in network namespaces, behind emulated NATs.

A scenario is a function marked @scenario in tests/lab/**/test_NAME.py. It gets a Lab, builds a topology
(the public network is there), starts programs, waits for conditions, and checks. Everything happens
in namespaces of its own (network, mount, PID, host name): when the scenario ends the kernel ends
every process and takes every interface away. See docs/TESTING.md.

Nothing here sleeps for a fixed time but wait(), which polls a condition until its deadline.
"""
import contextlib
import ctypes
import fcntl
import glob
import json
import os
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
SLOW = float(os.environ.get("PV_TEST_SLOW") or 1)
LONG = os.environ.get("PV_LAB_LONG") == "1"
WHOLE = LONG or os.environ.get("PV_TEST_WHOLE") != "0"
AGAIN = os.environ.get("PV_LAB_AGAIN") == "1"
OTHER = os.environ.get("PV_LAB_OTHER")  # the build directory of another Debian's programs
# Of every daemon that is not told otherwise; by default every second has one thread, the others two.
WORKERS = os.environ.get("PV_LAB_WORKERS")
SCENARIOS = []
# An ordinary user's lab belongs to a user namespace, in which that user is root and has the uids of subuid(5).
OWNER = ("unshare", "--user", "--map-root-user", "--map-auto", "--")
with open("/proc/self/uid_map", encoding="ascii") as _map:
    ORDINARY = _map.read().split()[1] != "0"

INET4 = "198.51.100"    # the public network's bridge: hosts .2 and up
INET6 = "2001:db8"  # its IPv6
NAT4 = "203.0.113"      # public addresses of NATs
CLOCK = "/run/wallclock"  # on a machine with a wall clock of its own: how far it is from the true one


class Failure(Exception):
    """The thing under test did not do what it should."""


class Skip(Exception):
    """This cannot be tested here; the message says why."""


def scenario(function=None, *, long=None, whole=None, minutes=12):
    """Marks a scenario. long: why it is left out unless PV_LAB_LONG=1; whole: why PV_TEST_WHOLE=0 leaves it out;
    minutes: after which it counts as hung, many times what it takes: what it waits for has limits of its own."""
    def mark(f):
        f.long, f.whole, f.minutes = long, whole, minutes
        SCENARIOS.append(f)
        return f
    return mark(function) if function else mark


def check(condition, message):
    if not condition:
        raise Failure(message)


def equal(have, want, what):
    check(have == want, f"{what}: {have!r}, not {want!r}")


def wait(what, condition, timeout=60.0, every=None):
    """Calls condition() until it gives something true; returns that. The only place that sleeps.
    Without `every` it asks ever less often: scenarios that ask p2pvpnctl without pause take each other's processor."""
    deadline = time.monotonic() + timeout * SLOW
    last = None
    pace = every or 0.03
    while True:
        try:
            value = condition()
            if value:
                return value
            last = value
        except Failure as e:
            last = e
        if time.monotonic() > deadline:
            raise Failure(f"{timeout:g} s went by without: {what} (last: {last!r})")
        time.sleep(pace)
        pace = every or min(pace * 1.5, 0.5)


def held_up():
    """How long each program of this scenario, by its threads, has waited for a processor that others had: seconds."""
    held = {}
    for path in glob.glob("/proc/[0-9]*/task/[0-9]*/schedstat"):
        with contextlib.suppress(OSError), open(path, encoding="ascii") as f:
            held[path] = int(f.read().split()[1]) / 1e9
    return held


class Stopwatch:
    """For what the product promises by the clock. It stands still while programs of the scenario wait for a
    processor: beside others they wait for seconds, of which the product knows nothing. Where each has a processor
    when it wants one, as in a run alone, this is the clock."""

    def __init__(self):
        self.began, self.before = time.monotonic(), held_up()

    def held(self):
        """How long programs waited since then, one after the other, as those do that wait for each other."""
        return sum(max(0, seconds - self.before.get(path, 0)) for path, seconds in held_up().items())

    def seconds(self):
        """How long it took, at least."""
        return max(0, time.monotonic() - self.began - self.held())


def pause(seconds, why):
    """Lets a real timeout of the thing under test pass (a NAT's, a rekey): there is no condition
    to wait for while nothing shall happen. `why` is for the reader."""
    del why
    time.sleep(seconds)


def queue_drops(lab, *hosts):
    """The packets that the kernels threw away because a queue was full: a program that others keep from running
    for 50 ms loses 500 datagrams at 10,000 a second, whatever the path."""
    total = 0
    for ns in (*hosts, *(h.lan.ns for h in hosts), lab.inet.ns):
        for link in json.loads(ns.run("ip", "-s", "-j", "link").out):
            total += link["stats64"]["tx"]["dropped"] + link["stats64"]["rx"]["dropped"]
        names, values = [line.split()[1:] for line in
                         ns.run("cat", "/proc/net/snmp").out.splitlines() if line.startswith("Udp:")]
        total += int(dict(zip(names, values))["RcvbufErrors"])
    return total


def pressure(lab, *hosts):
    """The packets thrown away because a processor had too much to do, and not for want of keys."""
    return queue_drops(lab, *hosts) + sum(h.json("status")["drops"].get("congestion", 0)
                                          for h in hosts)


class Result:
    def __init__(self, argv, code, out, err):
        self.argv, self.code, self.out, self.err = argv, code, out, err

    def __str__(self):
        text = f"$ {shlex.join(self.argv)} -> {self.code}\n{self.out[-2000:]}{self.err[-2000:]}"
        return text.strip()


def sh(*argv, stdin=None, check_rc=True, timeout=90, env=None):
    p = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=timeout * SLOW,
                       errors="replace", env=env)
    r = Result(argv, p.returncode, p.stdout, p.stderr)
    if check_rc and p.returncode != 0:
        raise Failure(str(r))
    return r


# ---- namespaces ----------------------------------------------------------------------------------

class Namespace:
    """A machine: network, mount and host name of its own, held by one idle process."""

    def __init__(self, lab, name):
        self.lab, self.name = lab, name
        self.holder = subprocess.Popen([lab.bin("machine"), name], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                       stdin=subprocess.DEVNULL, text=True)
        if self.holder.stdout.readline() != "ready\n":
            raise Failure(f"namespace {name}: {self.holder.stderr.read()}")
        self.enter = ["nsenter", "-t", str(self.holder.pid), "-n", "-m", "-u", "--"]
        self.netns = f"/proc/{self.holder.pid}/ns/net"
        self.root = f"/proc/{self.holder.pid}/root"  # its files, from outside
        self.programs = []
        self.before = []  # what every command of this machine begins with

    def run(self, *argv, stdin=None, check_rc=True, timeout=90, env=None):
        return sh(*self.enter, *self.before, *argv, stdin=stdin, check_rc=check_rc, timeout=timeout, env=env)

    def ip(self, *lines):
        """ip -batch: one line, one command."""
        sh(*self.enter, "ip", "-batch", "-", stdin="\n".join(lines) + "\n")

    def start(self, *argv, name=None, env=None, stdin=subprocess.DEVNULL, stdout=None):
        program = Program(self, [*self.before, *argv], name or os.path.basename(argv[0]), env, stdin, stdout)
        self.programs.append(program)
        return program

    def control_groups(self):
        """Mounts those of this machine: a host has a /sys of its own, where none are."""
        self.run("sh", "-c", """
cd /sys/fs/cgroup
[ -z "$(ls)" ] || exit 0
first=$(awk '$2 > 0 { print $1 }' /proc/cgroups)
[ -n "$first" ] || exec mount -t cgroup2 cgroup2 .
mount -t tmpfs tmpfs . && cd .
for c in $first; do mkdir $c && mount -t cgroup -o $c cgroup $c; done""")

    def own_clock(self):
        """Gives it a wall clock of its own; before anything starts. See programs/wallclock.c."""
        self.set_clock(0)
        self.before += ["env", f"LD_PRELOAD={self.lab.bin('libwallclock.so')}", f"PV_LAB_CLOCK={CLOCK}",
                       f"ASAN_OPTIONS={os.environ['ASAN_OPTIONS']}:verify_asan_link_order=0"]

    def set_clock(self, seconds):
        """How far its wall clock is from the true one, from now on."""
        path = self.root + CLOCK
        with open(path, "r+b" if os.path.exists(path) else "wb", buffering=0) as f:
            f.write(struct.pack("=q", int(seconds * 1e9)))

    def forget_connections(self):
        """Has the kernel's connection tracking forget all of them, as `conntrack -F` does."""
        self.run("python3", "-c", FORGET)

    def nft(self, rules):
        self.run("nft", "-f", "-", stdin=rules)

    def listens(self, port):
        """Whether a program of it listens at this port by TCP; without a program that looks, since many ask."""
        for table in ("tcp", "tcp6"):
            with open(f"/proc/{self.holder.pid}/net/{table}", encoding="ascii") as f:
                for line in f.readlines()[1:]:
                    words = line.split()
                    if words[3] == "0A" and int(words[1].split(":")[1], 16) == port:
                        return True
        return False


class Program:
    """A running program with its output in the scenario's log directory."""

    def __init__(self, ns, argv, name, env, stdin, stdout):
        self.ns, self.argv, self.name = ns, argv, name
        lab = ns.lab
        lab.n_programs += 1
        self.log = os.path.join(lab.logs, f"{lab.n_programs:02}-{ns.name}-{name}.log")
        self.out = open(self.log, "wb")
        full = dict(os.environ, **(env or {}))
        self.popen = subprocess.Popen([*ns.enter, *argv], stdin=stdin, env=full,
                                      stdout=stdout or self.out, stderr=self.out)
        self.expected_code = None

    @property
    def pid(self):
        """nsenter -m -n -u execs the program, so its PID is the program's."""
        return self.popen.pid

    def running(self):
        return self.popen.poll() is None

    def text(self):
        """Its output; while it runs only whole lines, since the rest of one may be on its way."""
        ended = not self.running()
        with open(self.log, encoding="utf-8", errors="replace") as f:
            text = f.read()
        return text if ended else text[:text.rfind("\n") + 1]

    def must_run(self):
        if not self.running():
            raise Failure(f"{self.name} on {self.ns.name} ended with {self.popen.returncode}:\n"
                          + self.text()[-3000:])

    def end(self, sig=signal.SIGTERM, timeout=60):
        """Ends it and waits; returns its exit code (negative: signal)."""
        if self.running():
            self.popen.send_signal(sig)
        try:
            return self.popen.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise Failure(f"{self.name} on {self.ns.name} did not end on signal {sig}") from None

    def kill(self):
        return self.end(signal.SIGKILL)

    def ended(self, timeout=120):
        """Waits for it to end by itself; returns its exit code."""
        wait(f"{self.name} on {self.ns.name} to end", lambda: not self.running(), timeout)
        return self.popen.returncode


class Prefork:
    """A program that has started, and runs once for each request (programs/prefork.c)."""

    def __init__(self, lab, program):
        self.requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        env = dict(os.environ, LD_PRELOAD=lab.bin("libprefork.so"), PV_LAB_PREFORK=str(theirs.fileno()),
                   ASAN_OPTIONS=os.environ["ASAN_OPTIONS"] + ":detect_leaks=0:verify_asan_link_order=0")
        log = os.path.join(lab.logs, f"00-{os.path.basename(program)}.log")
        with theirs, open(log, "wb") as out:
            self.popen = subprocess.Popen([program], pass_fds=[theirs.fileno()], env=env, stdin=subprocess.DEVNULL,
                                          stdout=out, stderr=out)

    def run(self, ns, argv, stdin, timeout):
        """As sh() would in that machine. Its output goes to files in memory: nobody has to read meanwhile."""
        mine, answer = socket.socketpair()
        with contextlib.ExitStack() as files:
            out, err = (files.enter_context(os.fdopen(os.memfd_create(name), "w+b")) for name in ("stdout", "stderr"))
            given = 0
            if stdin is not None:
                read = files.enter_context(os.fdopen(os.memfd_create("stdin"), "w+b"))
                read.write(stdin.encode())
                read.seek(0)
                given = read.fileno()
            files.enter_context(mine)
            with answer:
                request = os.fsencode("\0".join([str(ns.holder.pid), *argv, ""]))
                socket.send_fds(self.requests, [request], [given, out.fileno(), err.fileno(), answer.fileno()])
            mine.settimeout(timeout)
            pid = self.number(mine)
            try:
                status = self.number(mine)
            except socket.timeout:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(argv, timeout) from None
            texts = []
            for f in (out, err):
                f.seek(0)
                texts.append(f.read().decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n"))
        return Result(argv, os.waitstatus_to_exitcode(status), *texts)

    def number(self, answer):
        data = answer.recv(4, socket.MSG_WAITALL)
        if len(data) < 4:
            raise Failure(f"what runs {self.popen.args[0]} has ended")
        return struct.unpack("=i", data)[0]


# ---- topology ------------------------------------------------------------------------------------

class Nat:
    """A natbox in front of a private network; asks and sets through its control socket."""

    def __init__(self, program, path, public):
        self.program, self.path, self.public = program, path, public

    def command(self, line):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(60 * SLOW)
            s.connect(self.path)
            s.sendall(line.encode() + b"\n")
            data = b""
            while not data.endswith(b"\n"):
                more = s.recv(65536)
                if not more:
                    raise Failure(f"natbox closed the control socket after {line!r}")
                data += more
        answer = json.loads(data)
        if "error" in answer:
            raise Failure(f"natbox: {line}: {answer['error']}")
        return answer

    def set(self, **settings):
        pairs = [f"{k.replace('_', '-')}={v}" for k, v in settings.items()]
        return self.command("set " + " ".join(pairs))

    def stats(self):
        return self.command("stats")

    def mappings(self, proto="udp"):
        return [m for m in self.command("list")["mappings"] if m["proto"] == proto]

    def flush(self):
        return self.command("flush")


# Deletes without a filter: nfnetlink's header alone, of IPCTNL_MSG_CT_DELETE, with an acknowledgement.
FORGET = """
import socket, struct
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
s.send(struct.pack("=IHHIIBBH", 20, 0x102, 5, 1, 0, 0, 0, 0))
assert struct.unpack_from("=i", s.recv(4096), 16)[0] == 0
"""


def bridge(n):
    """One with an address of its own: else it takes the lowest of its ports', another one with a new port, and does
    not hear hosts that know the former one until they ask again."""
    return f"link add br0 address 02:00:00:00:00:{n:02x} type bridge"


class Lan:
    """A private network: a namespace that is its switch and its gateway, and a way out."""

    def __init__(self, lab, name, ns, subnet4, subnet6):
        self.lab, self.name, self.ns = lab, name, ns
        self.subnet4, self.subnet6 = subnet4, subnet6
        self.nat = None     # Nat when it is a natbox
        self.public = None  # its address outside
        self.next_host = 2

    def attach(self, host, ipv4=True, ipv6=True):
        return self.lab.attach(host, self, ipv4, ipv6)


class Lab:
    def __init__(self, build, name):
        self.build, self.name = build, name
        self.logs = os.path.join(build, "lab", name)
        shutil.rmtree(self.logs, ignore_errors=True)
        os.makedirs(self.logs)
        self.n_programs = 0
        self.lock = threading.Lock()
        self._prefork = None
        self.links = 0
        self.hosts, self.lans = {}, {}
        self.allow_in_logs = []
        self.inet = Lan(self, "inet", Namespace(self, "inet"), INET4, INET6)
        self.inet.ns.ip(bridge(0), "link set br0 up",
                        f"addr add {INET4}.1/24 dev br0", f"addr add {INET6}::1/64 dev br0 nodad")

    def bin(self, name, other=False):
        """A program of this build; other: of the build directory in PV_LAB_OTHER."""
        path = os.path.join(OTHER if other else self.build, "bin", name)
        if not os.path.exists(path):
            raise Skip(f"{name} is not built")
        return path

    def namespace(self, name):
        return Namespace(self, name)

    def prefork(self):
        """p2pvpnctl of this build; with sanitizers a start takes 30 ms of a processor, and a fork a tenth of that."""
        with self.lock:
            if self._prefork is None:
                self._prefork = Prefork(self, self.bin("p2pvpnctl"))
        return self._prefork

    # -- hosts and networks --

    def host(self, name, lan=None, ipv4=True, ipv6=True):
        """A machine in a network (default: the public one)."""
        h = Host(self, name)
        self.hosts[name] = h
        if lan is not None or ipv4 or ipv6:
            self.attach(h, lan or self.inet, ipv4, ipv6)
        return h

    def attach(self, host, lan, ipv4=True, ipv6=True, dev=None):
        """A cable from host to the network's switch, with addresses and a default route."""
        self.links += 1
        dev = dev or f"eth{host.n_devs}"
        host.n_devs += 1
        port = f"p{self.links}"
        n = lan.next_host
        lan.next_host += 1
        lan.ns.ip(f"link add {port} type veth peer name {dev} netns {host.holder.pid}",
                  f"link set {port} master br0 up")
        lines = [f"link set {dev} up"]
        if ipv4:
            host.ip4 = f"{lan.subnet4}.{n}"
            lines += [f"addr add {host.ip4}/24 dev {dev}",
                      f"route replace default via {lan.subnet4}.1"]
        if ipv6 and lan.subnet6:
            host.ip6 = f"{lan.subnet6}::{n:x}"
            lines += [f"addr add {host.ip6}/64 dev {dev} nodad",
                      f"route replace ::/0 via {lan.subnet6}::1"]
        host.ip(*lines)
        host.lan = lan
        host.dev = dev
        return dev

    def _lan(self, name, ipv6):
        n = len(self.lans) + 1
        lan = Lan(self, name, Namespace(self, name), f"192.168.{n}",
                  f"2001:db8:{n}" if ipv6 else None)
        self.lans[name] = lan
        lines = [bridge(n), "link set br0 up",
                 f"addr add {lan.subnet4}.1/24 dev br0"]
        if ipv6:
            lines.append(f"addr add {lan.subnet6}::1/64 dev br0 nodad")
        lan.ns.ip(*lines)
        return lan, n

    def lan(self, name, *settings, outer=None, ipv6=False, seed=None):
        """A private network behind a natbox; settings such as "profile=full-cone", "delay=30ms"."""
        outer = outer or self.inet
        lan, n = self._lan(name, ipv6)
        lan.public = f"{NAT4}.{n}" if outer is self.inet else f"100.64.0.{n}"
        control = os.path.join("/run", f"nat-{name}.sock")
        argv = [self.bin("natbox"), "--inside", f"{lan.ns.netns}:wan",
                "--outside", f"{outer.ns.netns}:nat{n}", "--control", control,
                "--seed", str(seed if seed is not None else n),
                f"public={lan.public}", f"inside-ip={lan.subnet4}.254"]
        if ipv6:
            argv.append(f"inside-ip6={lan.subnet6}::fe")
        program = Program(_Outside(self), [*argv, *settings], f"natbox-{name}", None,
                          subprocess.DEVNULL, None)
        wait(f"natbox {name} to be ready", lambda: program.must_run() or "ready" in program.text())
        lan.nat = Nat(program, control, lan.public)
        lan.ns.ip("link set wan up", "route add default dev wan",
                  *(["route add ::/0 dev wan"] if ipv6 else []))
        outer.ns.ip(f"link set nat{n} up", f"route add {lan.public}/32 dev nat{n}",
                    *([f"route add {lan.subnet6}::/64 dev nat{n}"] if ipv6 else []))
        if outer is not self.inet and ipv6:
            raise Failure("lab: IPv6 behind two NATs is not wired up")
        return lan

    def masquerade(self, name, drop_input, random=False, ipv6=False, net4=NAT4, beside=False, outer=None):
        """A private network behind plain nftables masquerading, as a Linux router does it. net4:
        the first three bytes of its public address. beside: it is a neighbour of all others that are, without a hop
        between them. outer: another such network that it is in, behind whose address it is."""
        lan, n = self._lan(name, ipv6)
        lan.public = f"{net4}.{n}"
        inet = self.inet.ns
        if beside or outer:
            around = outer or self.inet
            own = f"{around.subnet4}.{100 + n}"
            lan.public = outer.public if outer else own
            around.ns.ip(f"link add nat{n} type veth peer name wan netns {lan.ns.holder.pid}",
                         f"link set nat{n} master br0 up")
            lan.ns.ip("link set wan up", f"addr add {own}/24 dev wan", f"route add default via {around.subnet4}.1")
            return self._masquerading(lan, own, drop_input, random)
        inet.ip(f"link add nat{n} type veth peer name wan netns {lan.ns.holder.pid}",
                f"link set nat{n} up", f"addr add 10.255.{n}.1/30 dev nat{n}",
                f"route add {lan.public}/32 dev nat{n}",
                *([f"addr add fd00:ff:{n}::1/64 dev nat{n} nodad",
                   f"route add {lan.subnet6}::/64 via fd00:ff:{n}::2"] if ipv6 else []))
        lan.ns.ip("link set wan up", f"addr add {lan.public}/32 dev wan",
                  f"addr add 10.255.{n}.2/30 dev wan",
                  f"route add default via 10.255.{n}.1 src {lan.public}",
                  *([f"addr add fd00:ff:{n}::2/64 dev wan nodad",
                     f"route add ::/0 via fd00:ff:{n}::1"] if ipv6 else []))
        return self._masquerading(lan, lan.public, drop_input, random)

    def _masquerading(self, lan, own, drop_input, random):
        rules = f"""
table ip nat {{
    chain postrouting {{
        type nat hook postrouting priority 100;
        oifname "wan" snat to {own} {"fully-random" if random else ""}
    }}
}}
table inet filter {{
    chain forward {{
        type filter hook forward priority 0; policy accept;
        iifname "wan" ct state established,related accept
        iifname "wan" drop
    }}
}}
"""
        if drop_input:
            rules += """
table inet guard {
    chain input {
        type filter hook input priority 0; policy accept;
        iifname "wan" ct state new drop
    }
}
"""
        lan.ns.nft(rules)
        return lan

    # -- programs --

    def coordinator(self, host=None, **kw):
        host = host or self.host("coord")
        return Coordinator(self, host, **kw)

    def network(self, coordinator, hosts, **kw):
        """Starts daemons, creates a network on the first host and joins the others; all of them have its coordinator then."""
        first = hosts[0]
        for h in hosts:
            h.daemon(**kw)
        first.create(coordinator.url())
        for h in hosts[1:]:
            h.join(first.ctl("invite").out.strip())
        for h in hosts:
            wait(f"{h.name} to have its coordinator", lambda h=h: (h.json("status")["coordinator"] or {}).get("connected"))

    # -- the end --

    def look_for_reports(self):
        """Sanitizer reports in any log fail the scenario, whatever else happened."""
        bad = re.compile(r"ERROR: (Address|Leak)Sanitizer|runtime error:|WARNING: ThreadSanitizer")
        for path in filter(os.path.isfile, sorted(glob.glob(os.path.join(self.logs, "*")))):
            with open(path, encoding="utf-8", errors="replace") as f:
                text = f.read()
            m = bad.search(text)
            if m:
                raise Failure(f"{os.path.basename(path)}: {text[m.start():m.start() + 2500]}")


class _Outside:
    """Stands for the lab's own namespaces where a Program wants one to enter."""
    name = "lab"
    enter = []

    def __init__(self, lab):
        self.lab = lab


class Coordinator:
    def __init__(self, lab, host, args=(), start=True):
        self.lab, self.host, self.args = lab, host, list(args)
        self.program = None
        if start:
            self.start()

    def public(self):
        return self.host.ip4 or self.host.ip6

    def start(self):
        self.program = self.host.start(self.lab.bin("p2pvpn-coordinator"),
                                       "--public", self.public(), *self.args)
        self.wait_ready()

    def wait_ready(self):
        wait("the coordinator to listen", lambda: self.program.must_run() or self.host.listens(3478))

    def url(self):
        r = self.host.run(self.lab.bin("p2pvpn-coordinator"), "url", "--public", self.public())
        return r.out.strip()

    def end(self, sig=signal.SIGTERM):
        return self.program.end(sig)

    def restart(self, sig=signal.SIGTERM):
        self.end(sig)
        self.start()

    def sql(self, query):
        """One value out of its database."""
        program = ("import sqlite3, sys; print(sqlite3.connect('file:/var/lib/p2pvpn-coordinator/"
                   "coordinator.db?mode=ro', uri=True, timeout=30).execute(sys.argv[1])"
                   ".fetchone()[0])")
        return self.host.run("python3", "-c", program, query).out.strip()


# A place of its own, a TUN as udev makes it, and nothing else that anybody may write to; what stands behind the user's
# number, such as a build below /tmp, is there all the same.
USERS_OWN = r"""
home=$1 user=$2
shift 2
mkdir -p "$home/run"
chmod 700 "$home" "$home/run"
chown -R "$user:$user" "$home"
test -d /run/net || {
    n=0
    for kept; do
        n=$((n + 1))
        mkdir "/run/kept$n"
        mount --rbind "$kept" "/run/kept$n"  # a user may not lay bare what is mounted in it
    done
    mkdir /run/net
    mount -t tmpfs tmpfs /run/net
    mknod -m 666 /run/net/tun c 10 200 2>/dev/null || {
        : >/run/net/tun
        mount --bind /dev/net/tun /run/net/tun
    }
    mount --rbind /run/net /dev/net
    mount -t tmpfs -o mode=0755 tmpfs /tmp
    mount -t tmpfs -o mode=0755 tmpfs /var/tmp
    n=0
    for kept; do
        n=$((n + 1))
        mkdir -p "$kept"
        mount --rbind "/run/kept$n" "$kept"
        umount -l "/run/kept$n"
    done
}
"""


class Host(Namespace):
    """A machine somebody owns: runs p2pvpnd with the default paths (each has its own /run,
    /var/lib and /etc/p2pvpn)."""

    def __init__(self, lab, name):
        super().__init__(lab, name)
        self.workers = WORKERS or ("1" if len(lab.hosts) % 2 else "single")
        self.n_devs = 0
        self.lan = self.dev = self.ip4 = self.ip6 = None
        self.p2pvpnd = None
        self.other = False  # runs the programs of PV_LAB_OTHER
        self.tun = "p2pvpn0"
        self.etc = "/etc/p2pvpn"
        self.state = "/var/lib/p2pvpn"
        self.home = "/run"  # where whoever has this machine may write
        self.flags = []  # what every p2pvpnd of this machine begins with
        self.inside = []  # what an ordinary program begins with to be in the overlay
        self.python = sys.executable

    def kept(self):
        """The places below /tmp that USERS_OWN has to keep."""
        return [p for p in trees(self.lab.build) if p.startswith(("/tmp/", "/var/tmp/"))]

    def without_root(self, uid=65534, denied=False):
        """Everything on it is this user's from now on, without rights and a way to any: p2pvpnd has --user.
        denied: nor may it make namespaces."""
        self.home = home = f"/run/home{uid}"
        self.run("sh", "-ec", USERS_OWN, "own", home, str(uid), *self.kept())
        self.before = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--bounding-set=-all",
                       "--no-new-privs", "--", "env", f"HOME={home}", f"XDG_RUNTIME_DIR={home}/run",
                       "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        self.etc = f"{home}/.config/p2pvpn"
        self.state = f"{home}/.local/state/p2pvpn"
        if denied:  # of one in which it may not, each program has its own
            self.before += ["unshare", "--user", "--map-current-user", "--keep-caps", "--", "sh", "-c",
                            'echo 0 >/proc/sys/user/max_user_namespaces; exec setpriv --inh-caps=-all '
                            '--ambient-caps=-all -- "$@"', "sh"]
        self.flags = ["--user"]
        self.inside = [self.lab.bin("p2pvpnctl"), "run"]
        self.python = "/usr/bin/python3"  # the lab's own may be in somebody's home

    # -- the daemon --

    def configure(self, text):
        """Adds to the daemon's configuration."""
        if self.before:
            self.run("sh", "-c", f"mkdir -p {self.etc}; cat >>{self.etc}/p2pvpnd.conf", stdin=text)
            return
        os.makedirs(self.root + self.etc, exist_ok=True)
        with open(f"{self.root}{self.etc}/p2pvpnd.conf", "a", encoding="utf-8") as f:
            f.write(text)

    def daemon(self, *args, wait_ready=True, env=None):
        if self.p2pvpnd is None:
            self.begin()
        self.p2pvpnd = self.start(self.lab.bin("p2pvpnd", self.other), *self.flags, *args, env=env)
        if wait_ready:
            self.wait_daemon()
        return self.p2pvpnd

    def begin(self):
        """Before its first daemon: how many threads that has, unless a scenario says it."""
        threads = f"[interface]\nworkers = {self.workers}\n"
        if self.before:
            self.run("sh", "-c", f"mkdir -p {self.etc}; cd {self.etc}; grep -qs '^workers' p2pvpnd.conf || "
                     "cat >>p2pvpnd.conf", stdin=threads)
            return
        with contextlib.suppress(FileNotFoundError), open(f"{self.root}{self.etc}/p2pvpnd.conf", encoding="utf-8") as f:
            if re.search("^workers", f.read(), re.MULTILINE):
                threads = ""
        self.configure(threads)

    def wait_daemon(self):
        def answers():
            self.p2pvpnd.must_run()
            if self.before:  # its socket is elsewhere
                return self.ctl("version", check_rc=False).code == 0
            return self.ask("version")
        wait(f"p2pvpnd on {self.name} to answer", answers)

    def stop_daemon(self, sig=signal.SIGTERM):
        return self.p2pvpnd.end(sig)

    def restart_daemon(self, sig=signal.SIGTERM, *args):
        self.p2pvpnd.end(sig)
        return self.daemon(*args)

    # -- p2pvpnctl --

    def ctl(self, *args, stdin=None, check_rc=True, code=None, timeout=90):
        """Runs p2pvpnctl; code = the exit code it must have. It asks once and ends: looking for what it leaks would
        take as much of the processor as all the rest of it, thousands of times. An order without a receipt
        within 3 s ends with 9 and is done all the same, as on a busy machine. `peers` ends with 9, too, where the
        coordinator is not reached, as right after a start, and prints what was known last."""
        argv = [self.lab.bin("p2pvpnctl", self.other), *[str(a) for a in args]]
        if self.before or self.other:
            env = dict(os.environ, ASAN_OPTIONS=os.environ["ASAN_OPTIONS"] + ":detect_leaks=0")
            r = self.run(*argv, stdin=stdin, check_rc=False, timeout=timeout, env=env)
        else:
            r = self.lab.prefork().run(self, argv, stdin, timeout * SLOW)
        if code is not None:
            if r.code != code:
                raise Failure(f"exit code {r.code}, not {code}: {r}")
            if code != 0:
                check(r.err.strip() or r.out.strip(), f"an error without a word: {r}")
        elif check_rc and r.code != 0 and not (r.code == 9 and re.search("is told again|will get it|was known last", r.err)):
            raise Failure(str(r))
        return r

    def ask(self, cmd):
        """The answer of p2pvpnd, asked of the socket itself: what is asked again and again shall not cost a process
        each time. p2pvpnctl status adds shared_names and what is wrong with a kept page. None: nobody listens."""
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(30 * SLOW)
                s.connect(f"/proc/{self.holder.pid}/root/run/p2pvpn/p2pvpnd.sock")
                s.sendall(json.dumps({"id": 1, "cmd": cmd}).encode() + b"\n")
                with s.makefile("rb") as f:
                    answer = json.loads(f.readline())
        except (OSError, ValueError):
            return None
        return answer if answer.get("ok") else None

    def json(self, *args):
        if args in (("status",), ("peers",)) and not self.before:
            answer = self.ask(*args)
            if answer is not None:
                return answer
        r = self.ctl(*args, "--json")
        try:
            return json.loads(r.out)
        except ValueError:
            raise Failure(f"not JSON: {r}") from None

    def as_user(self, name="alice"):
        """The words that make a command run as this user of USERS, with the group p2pvpn."""
        number = dict(USERS)[name]
        return ["setpriv", f"--reuid={number}", f"--regid={number}",
                f"--groups={dict(USERS)['p2pvpn']}", "--bounding-set=-all", "--"]

    def create(self, url, *args):
        return self.ctl("create", url, "--name", self.name, *args).out.strip()

    def join(self, token, *args):
        return self.ctl("join", token, "--name", self.name, *args)

    def peers(self):
        return {p["name"]: p for p in self.json("peers")["peers"]}

    def peer(self, other):
        return self.peers().get(getattr(other, "name", other))

    def import_root(self, other):
        """Gets the root key that the other one has."""
        for h in (other, self):
            h.run("tee", "/run/pass", stdin="correct horse battery staple\n")
        paper = other.ctl("root", "export", "--passphrase-file", "/run/pass").out
        self.run("tee", "/run/paper", stdin=paper)
        self.ctl("root", "import", "/run/paper", "--passphrase-file", "/run/pass")

    def path(self, other):
        p = self.peer(other)
        return p["path"] if p else None

    def addr(self, other=None, family=4):
        args = ["ip"] + ([getattr(other, "name", other)] if other else [])
        return self.json(*args)[f"ip{family}"]

    def ping(self, other, *args, **kw):
        return self.ctl("ping", getattr(other, "name", other), *(args or ("-c", 1)), **kw)

    def wait_peer(self, other, timeout=60):
        """Until the roster and presence have the other node."""
        name = getattr(other, "name", other)
        wait(f"{self.name} to see {name} online",
             lambda: (self.peer(name) or {}).get("online"), timeout)

    def wait_direct(self, other, timeout=60):
        """Until packets to the other node go directly (asks for a path first)."""
        name = getattr(other, "name", other)

        def direct():
            self.ctl("ping", name, "-c", 1, "--timeout", 2, check_rc=False)
            p = self.path(name)
            return p if p and p["type"] == "direct" else None
        try:
            return wait(f"{self.name} to have a direct path to {name}", direct, timeout)
        except Exception as e:
            raise type(e)(f"{e}\n{self.ctl('trace', name, check_rc=False).out}") from None

    # -- ordinary programs over the overlay --

    def os_ping(self, address, count=1, timeout=15):
        """Whether all of them are answered; timeout: how long an answer may take, in which nothing is sent again."""
        r = self.run(*self.inside, "ping", "-n", "-c", str(count), "-W", str(int(timeout * SLOW + 0.5)),
                     "-i", "0.2", str(address), check_rc=False, timeout=timeout + count + 60)
        return r.code == 0

    def answer_udp(self, port, address="0.0.0.0"):
        """A UDP echo server, which is ready; see udp_ask()."""
        echo = self.start(*self.inside, self.python, "-c", UDP_ECHO, address, str(port), name=f"echo{port}")
        wait(f"the echo at port {port} of {self.name}", lambda: echo.must_run() or "ready" in echo.text())
        return echo

    def udp_ask(self, remote, port, local_port=0, timeout=1.0, text="x"):
        """Sends one datagram and returns the answer, or None when none has come in that time: a short one where
        nobody shall answer or this is asked again, a long one where the first datagram shall be answered."""
        r = self.run(*self.inside, self.python, "-c", UDP_ASK, str(remote), str(port), str(local_port),
                     str(timeout * SLOW), text, check_rc=False)
        return r.out if r.code == 0 else None


# The echo answers with the address it saw, so that it is a poor man's STUN as well.
UDP_ECHO = """
import socket, sys
fam = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
s = socket.socket(fam, socket.SOCK_DGRAM)
s.bind((sys.argv[1], int(sys.argv[2])))
print('ready', flush=True)
while True:
    data, who = s.recvfrom(65536)
    reply = '%s %d' % (who[0], who[1])
    target = who
    words = data.decode('ascii', 'replace').split()
    if words[:1] == ['via'] and len(words) == 3:   # answer from another port, or to another one
        other = socket.socket(fam, socket.SOCK_DGRAM)
        other.bind((words[1] if words[1] != '-' else sys.argv[1], int(words[2])))
        other.sendto(reply.encode(), target)
        other.close()
    else:
        s.sendto(reply.encode(), target)
"""

UDP_ASK = """
import socket, sys
fam = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
s = socket.socket(fam, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('', int(sys.argv[3])))
s.settimeout(float(sys.argv[4]))
s.sendto(sys.argv[5].encode(), (sys.argv[1], int(sys.argv[2])))
try:
    sys.stdout.write(s.recvfrom(65536)[0].decode())
except socket.timeout:
    sys.exit(1)
"""


def ssh_login(a, b, address, name=None, also=()):
    """root logs in from a to an sshd of b at the overlay address, by this name of it. The sshd
    listens at the other addresses of b too."""
    for key in ("host", "user"):
        a.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"/run/{key}")
    b.run("sh", "-c", "umask 077; cat >/run/host", stdin=a.run("cat", "/run/host").out)
    b.run("sh", "-c", "cat >/run/authorized", stdin=a.run("cat", "/run/user.pub").out)
    listen = [x for to in (address, *also) for x in ("-o", f"ListenAddress={to}")]
    sshd = b.start("/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", *listen, "-o", "HostKey=/run/host",
                   "-o", "AuthorizedKeysFile=/run/authorized", "-o", "StrictModes=no", "-o",
                   "UsePAM=no", "-o", "PermitRootLogin=yes", "-o", "PidFile=none")
    wait("sshd to listen", lambda: sshd.must_run() or b.listens(22))
    r = a.run("ssh", "-F", "none", "-i", "/run/user", "-o", "StrictHostKeyChecking=no", "-o",
              "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-o", "ConnectTimeout=30",
              f"root@{name or address}", "hostname")
    equal(r.out.strip(), b.name, "what ssh says")


def answered(text, count):
    """How many of the first pings have an answer in ping's output. It sends some more than these: for the last one it
    waits twice as long as the longest answer took, and a busy machine needs more."""
    numbers = {int(n) for n in re.findall(r"bytes from .* icmp_seq=(\d+) ttl", text)}
    return len(numbers & set(range(1, count + 1)))


def copy(a, address, target="/run/copied"):
    """1 MB over ssh, checked; after ssh_login()."""
    ssh = ("ssh -F none -i /run/user -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null "
           "-o BatchMode=yes -o ConnectTimeout=30")
    r = a.run("sh", "-c", "head -c 1000000 /dev/urandom >/run/f; sha256sum </run/f; "
              f"{ssh} root@{address} 'cat >{target}; sha256sum <{target}' </run/f", timeout=60)
    first, second = r.out.split("\n")[:2]
    equal(second, first, "checksum of 1 MB over ssh")


# ---- running -------------------------------------------------------------------------------------

def trees(build):
    """The directories that the programs of every user need: this tree, and the builds that may lie elsewhere."""
    programs = os.path.realpath(os.path.join(build, "bin", "machine")).rpartition("/bin/")[0]
    return list(dict.fromkeys(p for p in (ROOT, programs, build, OTHER) if p))


def closed(path):
    """The topmost directory on the way to path that others than its owner may not enter, or None."""
    way = path.split("/")
    ancestors = ("/".join(way[:n]) for n in range(2, len(way) + 1))
    return next((d for d in ancestors if not os.stat(d).st_mode & 0o001), None)


def open_way(build):
    """Lets every user of the lab reach trees() although they lie in a directory for its owner only, as /root is. In the
    lab that directory is an empty one, with the way to the trees and no other file. A tree that is closed itself is put
    together again from what is in it."""
    n = 0
    while tops := {p: top for p in trees(build) if (top := closed(p))}:
        top = min(tops.values())
        behind = [p for p in tops if tops[p] == top]
        kept = [p for p in behind if not any(p.startswith(q + "/") for q in behind)]
        parts = {}
        for part in (p for q in kept for p in ([q] if q != top else glob.glob(q + "/*"))):
            n += 1
            parts[part] = f"/run/kept{n}"
            make_place(parts[part], part)
            sh("mount", "--rbind", part, parts[part])
        sh("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", top)
        for part, aside in parts.items():
            make_place(part, aside)
            sh("mount", "--rbind", aside, part)
            sh("umount", "-l", aside)


def make_place(path, like):
    """An empty directory or file, for a mount."""
    os.makedirs(path if os.path.isdir(like) else os.path.dirname(path), exist_ok=True)
    if not os.path.isdir(like):
        with open(path, "wb"):
            pass


def prepare_mounts(build):
    """Inside the lab's own mount namespace: nothing written here is seen outside."""
    sh("mount", "-t", "tmpfs", "tmpfs", "/run")
    open_way(build)
    os.makedirs("/run/etc/upper")
    os.makedirs("/run/etc/work")
    r = None if ORDINARY else sh("mount", "-t", "overlay", "overlay", "-o",
                                 "lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work", "/etc", check_rc=False)
    if r is None or r.code != 0:
        # Of an ordinary user what that may read, as root's, who has no name there.
        sh("cp", "-R" if ORDINARY else "-a", *(["--preserve=mode,links"] if ORDINARY else []), "/etc", "/run/etc/copy",
           check_rc=not ORDINARY)
        sh("mount", "--bind", "/run/etc/copy", "/etc")
    if ORDINARY:  # sshd lets nobody in who has no password and no word that there is none
        for name, line in (("shadow", "root:*:1::::::\n"), ("gshadow", "root:*::\n")):
            with open(f"/etc/{name}", "w", encoding="ascii") as f:
                f.write(line)
    os.makedirs("/etc/p2pvpn", exist_ok=True)
    add_users()
    with open("/etc/hosts", "w", encoding="ascii") as f:
        f.write("127.0.0.1 localhost\n::1 localhost\n")
    with open("/etc/resolv.conf", "w", encoding="ascii") as f:
        f.write("")


# As a package makes them, and a person who may use p2pvpnctl: name, number.
USERS = (("p2pvpn", 971), ("p2pvpn-coordinator", 972), ("alice", 1971))


def add_users():
    """They exist in the lab's own /etc."""
    for name, line in (("passwd", "{0}:x:{1}:{1}::/nonexistent:/usr/sbin/nologin\n"),
                       ("group", "{0}:x:{1}:{2}\n")):
        path = f"/etc/{name}"
        with open(path, encoding="utf-8") as f:
            others = [x for x in f if x.split(":")[0] not in [u for u, _ in USERS]]
        with open(path, "w", encoding="utf-8") as f:
            f.writelines(others)
            f.writelines(line.format(user, number, "alice" if user == "p2pvpn" else "")
                         for user, number in USERS)


def sanitizer_options():
    os.environ.setdefault("ASAN_OPTIONS", "abort_on_error=0:exitcode=99:detect_leaks=1:malloc_context_size=6")
    os.environ.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")


def run_inside(build, full_name, function, shell):
    """One scenario, already in namespaces of its own. Returns an exit code."""
    started = time.monotonic()
    prepare_mounts(build)
    sanitizer_options()
    # The user that runs the lab may have a p2pvpnd --user, which p2pvpnctl would ask here.
    for name in [name for name in os.environ if name.startswith("XDG_")]:
        del os.environ[name]
    os.environ["HOME"] = "/run"
    # Some scenarios start python3 as another user, who may not read what the user that runs the lab has in PATH.
    os.environ["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    lab = Lab(build, full_name)
    watchdog = threading.Timer(function.minutes * 60 * SLOW, give_up)
    watchdog.daemon = True
    watchdog.start()
    code = 0
    message = ""
    try:
        if function.long and not LONG:
            raise Skip(f"{function.long}: PV_LAB_LONG=1 runs it")
        if function.whole and not WHOLE:
            raise Skip(f"{function.whole}: PV_TEST_WHOLE=1 runs it")
        function(lab)
        if not shell:
            lab.look_for_reports()
    except Skip as e:
        code, message = 77, str(e)
    except Failure as e:
        code, message = 1, str(e)
    except subprocess.TimeoutExpired as e:
        code, message = 1, f"a command hung: {e}"
    except Exception:  # a mistake of the scenario's own; what the programs said leads to it, too
        code, message = 1, traceback.format_exc()
    word = {0: "ok", 77: "skipped"}.get(code, "FAILED")
    print(f"{word:8}{time.monotonic() - started:6.1f} s  {full_name}"
          + (f": {message}" if message else ""), flush=True)
    if shell:
        watchdog.cancel()
        interact(lab)
    elif code == 1:
        show_logs(lab)
    else:
        shutil.rmtree(lab.logs, ignore_errors=True)
    return code


def give_up():
    print("FAILED  the scenario took too long", flush=True)
    os._exit(1)


def show_logs(lab):
    for path in sorted(glob.glob(os.path.join(lab.logs, "*.log"))):
        with open(path, encoding="utf-8", errors="replace") as f:
            lines = f.read().splitlines()
        print(f"---- {path} ({len(lines)} lines, the last 15)")
        print("\n".join(lines[-15:]), flush=True)


def interact(lab):
    print("\nThe scenario is still up. To enter a machine:")
    for ns in [*lab.hosts.values(), *(lan.ns for lan in lab.lans.values()), lab.inet.ns]:
        print(f"  {ns.name:10} {shlex.join(ns.enter[:-1])}")
    for lan in lab.lans.values():
        if lan.nat:
            print(f"  NAT {lan.name}: nc -U {lan.nat.path}   (stats, list, set KEY=VALUE, flush)")
    print("exit ends it.", flush=True)
    env = dict(os.environ, PS1="lab$ ", PATH=lab.build + "/bin:" + os.environ["PATH"])
    subprocess.run(["sh", "-i"], env=env, check=False)


def load(name):
    """Imports test_NAME.py and returns its scenarios in order."""
    import importlib.util
    path = next(p for p in paths() if os.path.basename(p) == f"test_{name}.py")
    shared = os.path.join(ROOT, "tests", "lab", "shared")  # modules of several files of scenarios
    if shared not in sys.path:
        sys.path.append(shared)
    spec = importlib.util.spec_from_file_location(f"test_{name}", path)
    module = importlib.util.module_from_spec(spec)
    before = len(SCENARIOS)
    sys.modules["lab"] = sys.modules[__name__]
    spec.loader.exec_module(module)
    # Those of a file that it imports are run with that file.
    return [s for s in SCENARIOS[before:] if s.__module__ == module.__name__]


def paths():
    """All files of scenarios; those that are about the coordinator have a folder."""
    return glob.glob(os.path.join(ROOT, "tests", "lab", "**", "test_*.py"), recursive=True)


def files():
    return sorted(os.path.basename(p)[5:-3] for p in paths())


def why_no_owner():
    """The reason why an ordinary user can own no lab here, or None."""
    if shutil.which("newuidmap") is None:
        return "not root, and newuidmap is not installed: as root: apt-get install uidmap"
    r = sh(*OWNER, "true", check_rc=False)
    return f"not root, and this user can be none in a user namespace: {r.err.strip()}" if r.code != 0 else None


def why_not(build):
    """The reason why the lab cannot run here, or None."""
    for tool in ("ip", "unshare", "nsenter", "nft", "ss", "ping"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    if not os.path.exists("/dev/net/tun"):
        return "there is no /dev/net/tun"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "/dev/net/tun is not for everybody: as root: chmod 666 /dev/net/tun, as udev does"
    with contextlib.suppress(OSError):
        r = subprocess.run(["unshare", "-n", "-m", "--pid", "--fork", "--kill-child",
                            "--mount-proc", "ip", "link", "add", "br0", "type", "bridge"],
                           capture_output=True, text=True, check=False)
        if r.returncode != 0:
            return "namespaces or bridges are not permitted: " + r.stderr.strip()
    if not os.path.exists(os.path.join(build, "bin", "natbox")):
        return f"{build}/bin/natbox is not built"
    return None


@contextlib.contextmanager
def alone(build, scenario_name):
    """One run of a scenario at a time in a build directory, where its logs are: another one waits."""
    os.makedirs(os.path.join(build, "lab"), exist_ok=True)
    with open(os.path.join(build, "lab", scenario_name + ".lock"), "w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waits            {scenario_name}: another run of it keeps its logs in {build}/lab", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run_file(build, name, functions, shell):
    """Some scenarios of a file, one by one. PV_LAB_AGAIN=1 leaves out those that passed when it was run last."""
    path = os.path.join(build, "lab", f"{name}.failed")
    if AGAIN and os.path.exists(path):
        with open(path, encoding="ascii") as f:
            again = f.read().split()
        functions = [f for f in functions if f.__name__ in again] or functions
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    codes = {f.__name__: run_scenario(build, name, f, shell) for f in functions}
    with open(path, "w", encoding="ascii") as f:
        f.write("".join(f"{function}\n" for function, code in codes.items() if code not in (0, 77)))
    return codes.values()


def run_scenario(build, name, function, shell):
    """Runs one scenario in a copy of this process, since Python takes longer to start than most of what a scenario
    starts, and returns its exit code."""
    sys.stdout.flush()
    with alone(build, f"{name}.{function.__name__}"):
        return in_child(lambda: in_namespaces(
            lambda: run_inside(build, f"{name}.{function.__name__}", function, shell)))


def in_child(function):
    """Calls it in a child, which ends when this process does; its result is the child's exit code. Returns that."""
    pid = os.fork()
    if pid != 0:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 1
    try:  # nothing of the parent's shall go on here
        system_call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        code = function()
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = 130
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def in_namespaces(function):
    """Calls it as the first process of namespaces of its own, as `unshare --pid --fork --mount-proc` starts a program."""
    system_call("unshare", CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWPID | CLONE_NEWNET)
    system_call("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)

    def first():
        system_call("mount", b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None)
        return function()

    return in_child(first)


# The names in <sched.h>, <sys/mount.h> and <sys/prctl.h> of what Python 3.11 has no calls for.
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x4000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 16384, 1 << 18
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


def system_call(name, *args):
    words = [a if a is None or isinstance(a, bytes) else ctypes.c_ulong(a) for a in args]
    if getattr(LIBC, name)(*words) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def main(argv):
    given = argv
    build = os.path.join(ROOT, "build", "dev")
    if argv[:1] == ["--build"]:
        build = os.path.abspath(argv[1])
        argv = argv[2:]
    if argv[:1] == ["list"]:
        for name in files():
            for f in load(name):
                print(f"{name}.{f.__name__}")
        return 0
    shell = argv[:1] == ["shell"]
    names = argv[1:] if shell else argv
    if not names:
        print("usage: scripts/lab [--build DIR] list | all | NAME[.SCENARIO]... | shell NAME.SCENARIO",
              file=sys.stderr)
        return 2
    reason = why_not(build) if os.geteuid() == 0 else why_no_owner()
    if not reason and os.geteuid() != 0:
        os.execvp(OWNER[0], [*OWNER, sys.executable, "-B", os.path.abspath(__file__), *given])
    if reason:
        print(f"skipped: {reason}")
        return 77
    codes = []
    for wanted in files() if names == ["all"] else names:
        name, _, one = wanted.partition(".")
        if name not in files():
            print(f"lab: no test_{name}.py below tests/lab", file=sys.stderr)
            return 2
        chosen = [f for f in load(name) if one in ("", f.__name__)]
        if not chosen:
            print(f"lab: no scenario {wanted}: scripts/lab list prints all", file=sys.stderr)
            return 2
        codes += run_file(build, name, chosen, shell)
    if any(c not in (0, 77) for c in codes):
        return 1
    return 0 if 0 in codes else 77


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
