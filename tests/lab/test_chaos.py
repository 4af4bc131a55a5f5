# SPDX-License-Identifier: MIT
"""Random faults on the real programs while people talk: nothing that was accepted is lost, doubled or
damaged, nobody dies, and what the programs hold comes back to where it was.

PV_CHAOS_SEED (77) repeats a run, PV_CHAOS_FAULTS (16) says how many; scripts/check --long has more.
"""
import collections
import contextlib
import hashlib
import os
import random
import re
import signal
import threading
import time

from lab import SLOW, WHOLE, Failure, check, equal, pause, scenario, sh, wait

SEED = int(os.environ.get("PV_CHAOS_SEED") or 77)
FAULTS = int(os.environ.get("PV_CHAOS_FAULTS") or (16 if WHOLE else 6))
ROOM = "#crew"
# Seconds between two messages of one talker, and between its later ones: what all of them say in the
# room must fit what history shows at a time.
TALK, LATER_TALK, MANY = 0.4 if WHOLE and FAULTS <= 100 else 1.5, 10, 700


class Talker(threading.Thread):
    """Sends numbered texts to the others and the room, and files; knows what was accepted."""

    def __init__(self, lab, host, others):
        super().__init__(daemon=True)
        self.lab, self.host, self.others = lab, host, others
        self.rng = random.Random(f"{SEED} {host.name}")
        self.accepted = collections.defaultdict(list)  # to: numbers
        self.files = []                                # (to, name, sha256), whole at the other side
        self.n, self.over = 0, threading.Event()

    def ctl(self, *args, timeout=40):
        """The exit code; None: it was still waiting."""
        try:
            return self.host.run(self.lab.bin("p2pvpnctl"), *args, check_rc=False, timeout=timeout).code
        except OSError:
            return None
        except Exception as e:  # subprocess.TimeoutExpired: what came of it is not known
            if type(e).__name__ != "TimeoutExpired":
                raise
            return None

    def send_file(self):
        to = self.rng.choice(self.others)
        name = f"{self.host.name}-{self.n}.bin"
        data = self.rng.randbytes(self.rng.randint(1, 400000))
        path = f"/proc/{self.host.holder.pid}/root{self.host.home}/{name}"
        with open(path, "wb") as f:
            f.write(data)
        if self.ctl("send-file", to.name, f"{self.host.home}/{name}", timeout=90) == 0:
            self.files.append((to, name, hashlib.sha256(data).hexdigest()))
        os.unlink(path)

    def run(self):
        while not self.over.is_set():
            self.n += 1
            if self.n % 10 == 5:
                self.send_file()
            to = ROOM if self.n % 4 == 0 else self.rng.choice(self.others).name
            if self.ctl("send", to, f"{self.host.name}>{to} {self.n}") == 0:
                self.accepted[to].append(self.n)
            if self.n % 7 == 0:
                self.ctl("inbox")
            self.over.wait(TALK if self.n < MANY else LATER_TALK)


class World:
    """Four machines behind different NATs, a coordinator, and what may happen to them."""

    def __init__(self, lab):
        self.lab, self.rng = lab, random.Random(SEED)
        self.coordinator = lab.coordinator(start=False)
        self.lans = {"b": lab.lan("b", "profile=port-restricted"), "c": lab.lan("c", "profile=symmetric")}
        self.hosts = {n: lab.host(n, self.lans.get(n)) for n in "abcd"}
        self.restarted = set()
        self.guest_in, self.guest = False, lab.host("guest")
        self.done = collections.Counter()
        self.clocks = [*self.hosts.values(), self.guest, self.coordinator.host]
        # Freed memory that a sanitizer holds back must not hide what the programs hold.
        os.environ["ASAN_OPTIONS"] += ":quarantine_size_mb=16"
        # As on many machines nobody is root of every third.
        self.users = (self.hosts["c"], self.guest)
        for h in self.users:
            h.without_root()
        for h in self.clocks:
            h.own_clock()
        self.coordinator.start()
        for h in self.hosts.values():
            h.configure("[chat]\nauto-accept = *\n")
            h.run("mkdir", "-p", h.state)
            sh(*h.enter, "sh", "-ec", "owner=$(stat -c uid=%u,gid=%g $0); "
               "mount -t tmpfs -o size=32m,mode=700,$owner tmpfs $0", h.state)
        lab.network(self.coordinator, list(self.hosts.values()))
        self.guest.daemon()
        a = self.hosts["a"]
        for h in self.hosts.values():
            for other in self.hosts.values():
                if other is not h:
                    h.wait_peer(other)
        a.ctl("room", "create", "crew")
        for h in self.hosts.values():
            if h is not a:
                a.ctl("room", "invite", "crew", h.name)
                wait(f"{h.name} to be in the room",
                     lambda h=h: h.ctl("room", "accept", "crew", check_rc=False).code == 0)

    def up(self, h):
        """Starts a daemon that a fault has ended."""
        self.restarted.add(h.name)
        h.daemon(wait_ready=False)
        wait(f"p2pvpnd on {h.name} to answer", lambda: h.p2pvpnd.must_run() or
             h.ctl("version", check_rc=False).code == 0, 60)

    # -- faults: each leaves its machine running --

    def kill(self, h):
        h.p2pvpnd.kill()
        self.up(h)

    def term(self, h):
        equal(h.stop_daemon(), 0, f"exit code of p2pvpnd on {h.name} on SIGTERM")
        self.up(h)

    def burst(self, h):
        """Killed while it starts, too."""
        for _ in range(3):
            h.p2pvpnd.kill()
            h.daemon(wait_ready=False)
            self.restarted.add(h.name)
            pause(self.rng.random() * 0.3, "so that the kill falls anywhere in the start")
        self.kill(h)

    def one_of_its_processes(self, h):
        """It ends by itself, in order, when its helper, its usher, or one of those in its inside has died."""
        of_all = ["p2pvpnd-helper", "p2pvpnd-usher"]
        name = self.rng.choice(of_all + (["p2pvpnd-inside", "p2pvpnd-giver"] if h in self.users else []))
        family = {h.p2pvpnd.pid}
        for line in h.run("ps", "-e", "--sort=start_time", "-o", "pid=,ppid=,comm=").out.splitlines():
            pid, parent, what = line.split(None, 2)
            if int(parent) in family:
                family.add(int(pid))
                if what == name:
                    with contextlib.suppress(ProcessLookupError):  # a porter that has ended, and still had that name
                        os.kill(int(pid), signal.SIGKILL)
        equal(h.p2pvpnd.ended(), 1, f"exit code of p2pvpnd on {h.name} without {name}")
        self.up(h)

    def full(self, h):
        h.run("sh", "-c", f"dd if=/dev/zero of={h.state}/filler bs=4k 2>/dev/null; true")
        pause(self.rng.uniform(0.3, 1.5), "a disk that is full for a while")
        h.run("rm", f"{h.state}/filler")

    def stopped(self, h):
        os.kill(h.p2pvpnd.pid, signal.SIGSTOP)
        pause(self.rng.uniform(0.3, 2), "a machine that stands still")
        os.kill(h.p2pvpnd.pid, signal.SIGCONT)

    def roam(self, h):
        """Another address in the same network."""
        net = h.ip4.rsplit(".", 1)[0]
        new = f"{net}.{self.rng.randint(100, 200)}"
        if new == h.ip4:
            return
        h.ip(f"addr del {h.ip4}/24 dev {h.dev}", f"addr add {new}/24 dev {h.dev}",
             f"route replace default via {net}.1")
        h.ip4 = new

    def nat_reboot(self, _):
        self.rng.choice(list(self.lans.values())).nat.flush()

    def udp_off(self, _):
        nat = self.rng.choice(list(self.lans.values())).nat
        nat.set(udp="off")
        pause(self.rng.uniform(0.5, 3), "a network that lets no UDP out")
        nat.set(udp="all")

    def bad_line(self, _):
        nat = self.rng.choice(list(self.lans.values())).nat
        nat.set(loss="15%", duplicate="10%", reorder="10%", reorder_by="40ms", delay="60ms", jitter="30ms")
        pause(self.rng.uniform(0.5, 3), "packets that are lost, doubled, late and out of order")
        nat.set(loss="0%", duplicate="0%", reorder="0%", delay="0ms", jitter="0ms")

    def damage(self, _):
        """Half of what is damaged has right checksums: only our own integrity can find it."""
        nat = self.rng.choice(list(self.lans.values())).nat
        nat.set(damage=f"{self.rng.choice([2, 10, 40])}%", mended="50%")
        pause(self.rng.uniform(0.5, 3), "packets whose bits are not what was sent")
        nat.set(damage="0%")

    def clock(self, _):
        """A wall clock jumps: to days before the truth or hours behind it, or to the truth."""
        h = self.rng.choice(self.clocks)
        seconds = self.rng.choice([0, self.rng.uniform(0, 5 * 86400), -self.rng.uniform(0, 12 * 3600)])
        h.set_clock(seconds)
        is_set(h, seconds)

    def broker(self, _):
        self.coordinator.end(self.rng.choice([signal.SIGKILL, signal.SIGTERM]))
        pause(self.rng.uniform(0, 1), "a coordinator that is away")
        self.coordinator.start()

    def membership(self, _):
        """An invite that ends, a machine that joins and is removed."""
        a = self.hosts["a"]
        token = a.ctl("invite", check_rc=False)
        if self.guest_in:
            a.ctl("remove", "guest", check_rc=False)
            self.guest.ctl("leave", "--forget", check_rc=False)
            wait("the guest's daemon", lambda: self.guest.ctl("version", check_rc=False).code == 0, 60)
            self.guest_in = False
        elif token.code == 0:
            r = self.guest.ctl("join", token.out.strip(), "--name", "guest", check_rc=False)
            self.guest_in = r.code == 0

    def fault(self):
        kinds = [self.kill, self.kill, self.term, self.burst, self.one_of_its_processes, self.full,
                 self.full, self.stopped, self.stopped, self.roam, self.nat_reboot, self.nat_reboot,
                 self.udp_off, self.bad_line, self.damage, self.damage, self.clock, self.clock, self.broker,
                 self.membership]
        kind = self.rng.choice(kinds)
        # d is never ended: what it holds is compared.
        ends = (self.kill, self.term, self.burst, self.one_of_its_processes)
        host = self.hosts[self.rng.choice("abc" if kind in ends else "abcd")]
        self.done[kind.__name__] += 1
        try:
            kind(host)
        except Failure as e:
            raise Failure(f"seed {SEED}, fault {sum(self.done.values())} ({kind.__name__} of {host.name}): "
                          f"{e}") from None
        for h in self.hosts.values():
            h.p2pvpnd.must_run()
        self.coordinator.program.must_run()


def is_set(host, seconds):
    """A machine's wall clock is so far from the true one."""
    off = float(host.run("date", "+%s.%N").out) - time.time() - seconds
    check(abs(off) < 20 * SLOW, f"the clock of {host.name} is wrong by {off:.1f} s more than it was set")


def check_clock(world):
    """The programs themselves have their machine's clock: a message says when it was written."""
    a, d = world.hosts["a"], world.hosts["d"]
    a.set_clock(86400)
    is_set(a, 86400)
    a.ctl("send", "d", "tomorrow")
    at = wait("the message of tomorrow", lambda: [m for m in d.json("history", "a")["messages"]
                                                 if m["text"] == "tomorrow"])[0]["time"]
    check(abs(at - time.time() - 86400) < 60 * SLOW, f"a's clock is set, and its message is of {at}")
    a.set_clock(0)


def holds(pid):
    """Descriptors and resident memory in MB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        rss = int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) / 1024
    return len(os.listdir(f"/proc/{pid}/fd")), rss


def texts(host, *who):
    return [m["text"] for m in host.json("history", *who, "-n", "1000")["messages"]]


def missing(world, talkers):
    """The lines accepted that are not there; anything twice or damaged fails at once."""
    lacking = []
    for t in talkers:
        for to, numbers in t.accepted.items():
            readers = [h for h in world.hosts.values() if h is not t.host] if to == ROOM \
                else [world.hosts[to]]
            for h in readers:
                start = f"{t.host.name}>{to} "
                got = [x for x in texts(h, ROOM if to == ROOM else t.host.name) if x.startswith(start)]
                numbers_got = [int(x[len(start):]) for x in got]
                equal(len(numbers_got), len(set(numbers_got)), f"{start} twice at {h.name}: {got}")
                check(max(numbers_got, default=0) <= t.n, f"{start} never sent: {got}")
                kept = [n for n in numbers_got if n in numbers]
                equal(kept, sorted(kept), f"order of {start} at {h.name}")
                lacking += [(start + str(n), h.name) for n in numbers if n not in numbers_got]
    return lacking


def check_files(talkers):
    for t in talkers:
        for to, name, digest in t.files:
            entry = [f for f in to.json("files")["files"] if f["name"] == name]
            check(len(entry) == 1, f"{name} is not once at {to.name}: {entry}")
            got = f"{to.home}/got"
            to.run("rm", "-rf", got)
            to.run("mkdir", got)
            to.ctl("files", "get", entry[0]["id"], "--dir", got, timeout=60)
            equal(to.run("sha256sum", f"{got}/{name}").out.split()[0], digest, f"{name} at {to.name}")


def check_databases(host):
    program = ("import glob, sqlite3, sys\n"
               "for f in glob.glob(sys.argv[1] + '*/**/*.db', recursive=True):\n"
               "    db = sqlite3.connect(f'file:{f}?mode=ro', uri=True)\n"
               "    print(db.execute('pragma integrity_check').fetchone()[0], db.execute("
               "'pragma foreign_key_check').fetchall())")
    lines = set(host.run("/usr/bin/python3", "-c", program, host.state).out.splitlines())
    equal(lines, {"ok []"}, f"what SQLite says of the databases of {host.name}")


def times_to_direct(hosts):
    """How long each pair takes from now on until it is direct, but for the one whose NATs let that happen by chance
    only; None: not in a minute. To be read, not to be judged: the machine is busy with what the faults left."""
    began, times = time.monotonic(), {}
    pairs = [(h, o) for h in hosts for o in hosts if h is not o and {h.name, o.name} != {"b", "c"}]
    while len(times) < len(pairs) and time.monotonic() < began + 60:
        for h, o in pairs:
            if (h, o) not in times and h.ping(o, check_rc=False).code == 0 and (h.path(o) or {}).get("type") == "direct":
                times[h, o] = time.monotonic() - began
    return {f"{h.name}-{o.name}": times.get((h, o)) for h, o in pairs}


@scenario(minutes=12 + FAULTS / 10)
def faults_while_people_talk(lab):
    """Seeded: kills, bursts, full disks, NATs, addresses, blocked and bad lines, stops, members."""
    world = World(lab)
    check_clock(world)
    hosts = list(world.hosts.values())
    steady = {"d": world.hosts["d"].p2pvpnd.pid}
    before = {n: holds(pid) for n, pid in steady.items()}
    talkers = [Talker(lab, h, [o for o in hosts if o is not h]) for h in hosts]
    for t in talkers:
        t.start()
    began = time.monotonic()
    try:
        for _ in range(FAULTS):
            world.fault()
            pause(world.rng.uniform(0, 0.4), "so that faults fall anywhere in the work")
    finally:
        for t in talkers:
            t.over.set()
    direct = times_to_direct(hosts)
    for t in talkers:
        t.join(120 * SLOW)
        check(not t.is_alive(), f"{t.host.name} is still talking")
    took = time.monotonic() - began
    for h in hosts:
        for other in hosts:
            if other is not h:
                wait(f"{h.name} to reach {other.name} (seed {SEED})",
                     lambda h=h, o=other: h.ping(o, check_rc=False).code == 0, 90)
    lacking = []
    try:
        wait("all that was accepted", lambda: lacking.clear() or lacking.extend(missing(world, talkers)) or
             not lacking, 120, every=1)
    except Failure:
        there = {h: [x for x in texts(world.hosts[h])][-6:] for _, h in lacking}
        raise Failure(f"seed {SEED}: lost {lacking[:10]} of {len(lacking)}; the last that is there: "
                      f"{there}") from None
    check_files(talkers)
    damaged = [lan.nat.stats()[line] for lan in world.lans.values() for line in ("line_in", "line_out")]
    check(world.done["damage"] < 10 or sum(x["mended"] for x in damaged), "no packet was damaged")
    for n, pid in steady.items():
        fds, rss = before[n]

        def is_back(pid=pid, fds=fds, rss=rss):
            now = holds(pid)
            check(now[0] <= fds + 24 and now[1] <= 2 * rss + 60,
                  f"it holds {now[0]} descriptors, {now[1]:.0f} MB")
            return True
        wait(f"{n} to hold what it held: {fds} descriptors, {rss:.0f} MB", is_back, 60)
    held = ", ".join(f"{n} held {before[n][0]} descriptors, {before[n][1]:.0f} MB, and in the end {now[0]}, "
                     f"{now[1]:.0f} MB" for n, pid in steady.items() for now in [holds(pid)])
    for h in [*hosts, world.guest]:
        equal(h.stop_daemon(), 0, f"exit code of p2pvpnd on {h.name}")
    equal(world.coordinator.end(), 0, "exit code of the coordinator")
    for h in [*hosts, world.coordinator.host]:
        check_databases(h)
    sent = sum(len(x) for t in talkers for x in t.accepted.values())
    print(f"seed {SEED}: {FAULTS} faults in {took:.0f} s ({dict(world.done)}), {sent} messages, "
          f"{sum(len(t.files) for t in talkers)} files, {sum(x['damaged'] for x in damaged)} packets damaged; "
          f"{held}; direct after " + ", ".join(f"{k} {'-' if v is None else f'{v:.1f} s'}" for k, v in direct.items()),
          flush=True)
