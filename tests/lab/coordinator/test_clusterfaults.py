# SPDX-License-Identifier: MIT
"""Random faults on three coordinators with one PostgreSQL database and its standby, with joins, invites and messages
under way: nothing that was acknowledged is lost, nobody dies, and members have a coordinator within ten seconds while
two are well.

PV_CHAOS_SEED (77) repeats a run, PV_CHAOS_FAULTS (6) says how many; scripts/check --long has more.
"""
import contextlib
import json
import os
import random
import signal
import threading

from clusterlab import Cluster, connected
from lab import SLOW, WHOLE, Stopwatch, check, equal, pause, scenario, wait

SEED = int(os.environ.get("PV_CHAOS_SEED") or 77)
FAULTS = int(os.environ.get("PV_CHAOS_FAULTS") or (6 if WHOLE else 2))
WITHIN = 10  # seconds without a coordinator, at most, while two are well
SESSIONS = "FROM pg_stat_activity WHERE application_name LIKE 'p2pvpn%'"


class Load(threading.Thread):
    """a invites, g joins and leaves, a writes to c, who is away; knows what was acknowledged."""

    def __init__(self, lab, a, guest):
        super().__init__(daemon=True)
        self.lab, self.a, self.guest = lab, a, guest
        self.sent, self.invites, self.joins, self.over = 0, 0, 0, threading.Event()

    def ctl(self, host, *args):
        """The answer, where it was good; None where it was not, or nobody knows."""
        r = host.run("timeout", "40", self.lab.bin("p2pvpnctl"), *args, check_rc=False, timeout=90)
        return r if r.code == 0 else None

    def run(self):
        while not self.over.is_set():
            self.sent += self.ctl(self.a, "send", "c", f"number {self.sent}") is not None
            r = self.ctl(self.a, "invite")
            if r is not None:
                self.invites += 1
                if self.ctl(self.guest, "join", r.out.strip()) is not None:
                    self.joins += 1
                    self.ctl(self.guest, "leave", "--forget")
            self.over.wait(0.5)


class Watch(threading.Thread):
    """The longest time in which a node had no coordinator, looked at twice a second."""

    def __init__(self, nodes):
        super().__init__(daemon=True)
        self.nodes, self.over = nodes, threading.Event()
        self.since, self.longest = dict.fromkeys(nodes), 0

    def run(self):
        while not self.over.wait(0.5):
            for n in self.nodes:
                r = n.ctl("status", "--json", check_rc=False)
                if r.code == 0 and json.loads(r.out)["coordinator"]["connected"]:
                    self.since[n] = None
                    continue
                self.since[n] = self.since[n] or Stopwatch()
                self.longest = max(self.longest, self.since[n].seconds())


class Faults:
    """Each method is a generator: what happens before it yields lasts for a while, and ends with it. It yields the
    number of the coordinator that is not well, or None when it is the database."""

    def __init__(self, cluster, rng):
        self.cluster, self.rng, self.db = cluster, rng, cluster.db

    def victim(self):
        home = self.cluster.home()
        return home if home is not None and self.rng.random() < 0.7 else self.rng.randrange(3)

    # -- a coordinator --

    def kill(self):
        i = self.victim()
        self.cluster.coordinators[i].program.kill()
        yield i
        self.cluster.coordinators[i].start()

    def stop(self):
        i = self.victim()
        self.cluster.coordinators[i].program.popen.send_signal(signal.SIGSTOP)
        yield i
        self.cluster.coordinators[i].program.popen.send_signal(signal.SIGCONT)

    def drop(self, what):
        i = self.victim()
        host = self.cluster.hosts[i]
        for chain, side in (("input", "saddr"), ("output", "daddr")):
            for db in (self.db, self.cluster.standby):
                host.nft(f"table inet cut {{ chain {chain} {{ type filter hook {chain} priority 0;"
                         f" ip {side} {db.host.ip4} {what} drop; }}; }}")
        yield i
        host.run("nft", "delete", "table", "inet", "cut")

    def cut(self):
        yield from self.drop("")

    def hole(self):
        yield from self.drop("meta length > 1400")

    def clock(self):
        i = self.victim()
        self.cluster.hosts[i].set_clock(self.rng.choice([600, -600, 7 * 86400]))
        yield i
        self.cluster.hosts[i].set_clock(0)

    # -- the database --

    def sessions(self):
        self.db.sql(f"SELECT pg_terminate_backend(pid) {SESSIONS}")
        yield None

    def crash(self):
        self.db.stop()
        yield None
        self.db.start()

    def signal(self, sig):
        top = self.db.program.pid
        for pid in self.db.host.run("ps", "-e", "-o", "pid=,ppid=").out.splitlines():
            own, parent = map(int, pid.split())
            if top in (own, parent):
                with contextlib.suppress(ProcessLookupError):  # a session that ended meanwhile
                    os.kill(own, sig)

    def frozen(self):
        self.signal(signal.SIGSTOP)
        yield None
        self.signal(signal.SIGCONT)

    def slow(self):
        for _ in range(5):
            self.signal(signal.SIGSTOP)
            pause(0.8, "answers take that long")
            self.signal(signal.SIGCONT)
            pause(0.2, "some of them come")
        yield None

    def read_only(self):
        self.db.sql("ALTER SYSTEM SET default_transaction_read_only = on")
        self.db.sql("SELECT pg_reload_conf()")
        yield None
        self.db.sql("ALTER SYSTEM RESET default_transaction_read_only")
        self.db.sql("SELECT pg_reload_conf()")

    def full(self):
        filler = "/run/pg/filler"
        self.db.host.run("sh", "-c", f"cat /dev/zero >{filler} 2>/dev/null; true")
        yield None
        self.db.host.run("rm", filler)
        if not self.db.program.running():  # it ends when there is no room for its log
            self.db.start()

    def kinds(self):
        return [self.kill, self.kill, self.stop, self.cut, self.hole, self.clock, self.sessions, self.crash,
                self.frozen, self.slow, self.read_only, self.full]


def wait_well(cluster, nodes, but, what):
    """All nodes are at a coordinator that is well, within WITHIN seconds."""
    hosts = [h for i, h in enumerate(cluster.hosts) if i != but]
    watch = Stopwatch()
    for n in nodes:
        wait(f"{n.name} to have a coordinator: {what}", lambda n=n: any(connected(n, h) for h in hosts))
    took = watch.seconds()
    check(took <= WITHIN * SLOW, f"{took:.1f} s without a coordinator: {what}")
    return took


def one_fault(cluster, faults, nodes, kind, longest):
    what = kind.__name__
    step = kind()
    but = next(step)
    # A clock that is wrong cuts nobody off; without the database homes stay where they are.
    gone = but if what in ("kill", "stop") else None
    longest[what] = max(longest.get(what, 0), wait_well(cluster, nodes, gone, what))
    pause(faults.rng.uniform(0.5, 4), "it lasts")
    next(step, None)
    longest[what] = max(longest[what], wait_well(cluster, nodes, None, f"after {what}"))
    for c in cluster.coordinators:
        c.program.must_run()
    for i in range(3):
        wait(f"status of {i} to be well after {what}", lambda i=i: cluster.hosts[i].run(
            cluster.lab.bin("p2pvpn-coordinator"), "status", "--check", check_rc=False).code == 0)


def heard(c):
    return [m["text"] for m in c.json("history", "a", "-n", "1000")["messages"]]


@scenario(minutes=12 + FAULTS)
def acknowledged_statements_outlive_faults_of_three_coordinators(lab):
    cluster = Cluster(lab, n=3, clocks=True, standby=True)
    rng = random.Random(SEED)
    a, b, c, g = (lab.host(n) for n in "abcg")
    cluster.network([a, b, c])
    g.daemon()
    c.stop_daemon()
    load = Load(lab, a, g)
    load.start()
    watch = Watch([a, b])
    watch.start()
    faults, longest = Faults(cluster, rng), {}
    for n in range(FAULTS):
        kind = rng.choice(faults.kinds())
        print(f"{n + 1} of {FAULTS}: {kind.__name__}", flush=True)
        one_fault(cluster, faults, [a, b], kind, longest)
    cluster.db.stop()
    cluster.standby.promote()
    cluster.db = cluster.standby
    longest["failover"] = wait_well(cluster, [a, b], None, "failover")
    watch.over.set()
    load.over.set()
    load.join(200)
    longest["any"] = watch.longest
    check(watch.longest <= WITHIN * SLOW, f"{watch.longest:.1f} s without a coordinator")
    print("longest without a coordinator: " + ", ".join(f"{k} {v:.1f} s" for k, v in sorted(longest.items())))
    print(f"acknowledged: {load.sent} messages, {load.invites} invites, {load.joins} joins")
    check(load.sent > FAULTS / 4 and load.invites > FAULTS / 4 and load.joins > FAULTS / 8, "hardly anything was done")

    # Nothing but the database has the messages now, and a coordinator that has read it anew the invites.
    wait("the messages to be stored", lambda: int(cluster.db.sql("SELECT count(*) FROM p2pvpn.mail")) >= load.sent, 90)
    for each in cluster.coordinators:
        each.restart()
    wait("a to be back", lambda: any(connected(a, h) for h in cluster.hosts))
    have = len(a.json("invite", "list")["invites"])
    check(have >= load.invites, f"of {load.invites} invites {have} are known")
    a.stop_daemon()
    c.daemon()
    texts = wait("the messages to arrive", lambda: [t for t in [heard(c)] if len(t) >= load.sent], 60)[0]
    equal(sorted(texts), sorted(f"number {n}" for n in range(load.sent)), "messages")
    cluster.check_stored()


@scenario(whole="a cluster of its own for a rare case", minutes=12 + FAULTS // 4)
def sessions_of_the_database_end_again_and_again(lab):
    """While the coordinators connect anew, too: a lock keeps them at their first question. Three rounds a fault."""
    cluster = Cluster(lab, n=2)
    a, b, _ = cluster.pair()
    rng = random.Random(SEED)
    end = f"SELECT pg_terminate_backend(pid) {SESSIONS}"
    for n in range(3 * FAULTS):
        if n % 2:
            cluster.db.sql(f"BEGIN; LOCK TABLE p2pvpn.version; {end}; SELECT pg_sleep({rng.uniform(0.2, 0.9)});"
                           f" SELECT pg_stat_clear_snapshot(); {end}; COMMIT")
        for _ in range(rng.randint(1, 5)):
            cluster.db.sql(end)
            pause(rng.uniform(0, 0.2), "they connect anew")
        for c in cluster.coordinators:
            c.program.must_run()
    wait_well(cluster, [a, b], None, "sessions that ended")
    a.ctl("invite")
    cluster.check_stored()
