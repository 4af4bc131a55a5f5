# SPDX-License-Identifier: MIT
"""Homes of networks that fall silent or are cut off, and a database that goes: nobody stores
beside another, and members meet again."""
import re
import signal
import threading
import time

from clusterlab import BACK, Cluster, connected, wait_home
from lab import SLOW, Failure, Stopwatch, check, equal, pause, scenario, wait
from turnlab import relayed

OFF = """table ip off {
  chain in {
    type filter hook input priority 0; policy drop;
  }
  chain out {
    type filter hook output priority 0; policy drop;
  }
}
"""
IDLE = 10  # seconds after which members without traffic are, by their ping each 6 s
AWAY = 1  # seconds after the database is back until something is stored


def leave(cluster, at, busy, idle):
    """The machine of the home `at` goes; seconds until members with traffic and idle ones are at the other."""
    one, two = cluster.hosts[at], cluster.hosts[1 - at]
    one.nft(OFF)
    watch = Stopwatch()
    took = []
    for members in (busy, idle):
        wait_home(members, two)
        took.append(watch.seconds())
    print("members with traffic through the relay are elsewhere after %.1f s, idle ones after %.1f s" % tuple(took))
    return took


@scenario(whole="a cluster of its own for a rare case")
def a_machine_that_is_gone_is_left_within_seconds(lab):
    """Nobody hears a farewell of it: no segment leaves, none comes in, and the database's connection lasts.
    Members with traffic through the relay notice its end, idle ones by their next ping."""
    cluster = Cluster(lab)
    idle = [lab.host("c", lab.lan("lanc", "profile=port-restricted")),
            lab.host("d", lab.lan("land", "profile=symmetric")), lab.host("e")]
    a, b, first = cluster.relayed_pair(*idle)
    ping = a.start("ping", "-n", "-i", "0.2", str(a.addr(b)), name="ping")
    at = first
    for left in (2, 1, 0):  # others may use this machine for longer than these limits allow
        took = leave(cluster, at, [a, b], idle)
        at = 1 - at
        in_time = took[0] <= BACK * SLOW and took[1] <= IDLE * SLOW
        if in_time or left == 0:
            break
        cluster.hosts[1 - at].run("nft", "delete", "table", "ip", "off")
    check(in_time, f"three times, the last time they were elsewhere after {took} s")
    ping.end(signal.SIGINT)
    wait("a to reach b again", lambda: a.os_ping(a.addr(b), timeout=1))
    cluster.hosts[1 - at].run("nft", "delete", "table", "ip", "off")
    equal(cluster.home(), at, "the home")
    cluster.check_stored()


def meets_without_a_store(cluster, home, a, d):
    """d begins anew and meets a: its hello is answered, and signals and presence pass."""
    def signals():
        return cluster.document(home)["requests"]["signals"]

    before = signals()
    d.stop_daemon()
    d.daemon()
    wait(f"{d.name} to be at its coordinator", lambda: connected(d, cluster.hosts[home]))
    wait("a to see it", lambda: a.peer(d)["online"])
    wait("a to reach it", lambda: a.os_ping(a.addr(d), timeout=1))
    wait("signals to pass", lambda: signals() > before)


@scenario
def the_database_goes_and_comes_back(lab):
    cluster = Cluster(lab)
    d = lab.host("d")
    a, b, first = cluster.relayed_pair(d)
    one = cluster.hosts[first]
    token = a.ctl("invite").out.strip()
    ping = a.start("ping", "-n", "-i", "0.1", str(a.addr(b)), name="ping")
    cluster.db.stop()
    for i in range(2):
        wait("status to say so", lambda i=i: "is it running and reachable?" in cluster.status(i))

    # A request that needs no store goes on; another is refused with the reason.
    c = lab.host("c")
    c.daemon()
    r = c.ctl("join", token, check_rc=False)
    check(r.code != 0 and r.err.strip(), f"a join without a database: {r}")
    check(connected(a, one), "a lost its coordinator with the database")
    meets_without_a_store(cluster, first, a, d)
    pause(3.5, "so that nobody has renewed when the database is back")
    cluster.db.start()
    wait("status to be well", lambda: "ok, in PostgreSQL" in cluster.status(first))
    wait("c to get in", lambda: c.ctl("join", token, check_rc=False).code == 0)
    equal(cluster.home(), first, "the home")

    # A database that does not answer, for as long as it takes, keeps nobody else waiting either.
    cluster.db.host.nft(OFF)
    c.start(lab.bin("p2pvpnctl"), "rename", "c2")  # something that waits to be stored
    meets_without_a_store(cluster, first, a, d)
    cluster.db.host.run("nft", "delete", "table", "ip", "off")
    wait("what waited to be stored", lambda: "c2" in a.peers(), 60)
    pause(0.3, "the last answers are on their way")
    ping.end(signal.SIGINT)
    # The signal may come while the last one is on its way.
    seen = [int(n) for n in re.findall(r"icmp_seq=(\d+) ttl", ping.text())]
    equal(seen, list(range(1, len(seen) + 1)), "pings that were answered while the database was away")


class Newcomer(threading.Thread):
    """Joins again and again until it is in: each attempt wants something stored."""

    def __init__(self, host, token):
        super().__init__(daemon=True)
        self.host, self.token, self.at, self.over = host, token, None, threading.Event()
        self.watch = None  # once there is something to wait for
        self.start()

    def run(self):
        while self.at is None and not self.over.is_set():
            try:
                if self.host.ctl("join", self.token, check_rc=False).code == 0:
                    self.at = self.watch.seconds() if self.watch else 0.0
            except Failure:
                pass  # it took too long: it is tried again


def stored_after(host, token, away, seconds, back):
    """Seconds from the database's return until a newcomer, who tried all the time, is in."""
    host.daemon()
    away()
    newcomer = Newcomer(host, token)
    try:
        pause(seconds, "the database is away for so long")
        check(newcomer.at is None, f"{host.name} got in without a database")
        back()
        newcomer.watch = Stopwatch()
        wait(f"{host.name} to get in", lambda: newcomer.at is not None)
    finally:
        newcomer.over.set()
    return newcomer.at


@scenario(whole="a cluster of its own for a rare case")
def statements_to_be_stored_are_stored_a_second_after_the_database_is_back(lab):
    """It crashes, and it is cut off without a word. Others may take the machine's time for a moment,
    so one of three tries has to be in time."""
    cluster = Cluster(lab)
    a = lab.host("a")
    cluster.network([a])
    db, n = cluster.db, 0
    token = a.ctl("invite", "--uses", "9").out.strip()
    ways = {"a crash": (db.stop, db.start),
            "a partition": (lambda: db.host.nft(OFF), lambda: db.host.run("nft", "delete", "table", "ip", "off"))}
    for way, seconds in (("a crash", 3.5), ("a partition", 2), ("a partition", 7)):
        took = []
        while len(took) < 3 and (not took or took[-1] > AWAY * SLOW):
            n += 1
            away, back = ways[way]
            took.append(stored_after(lab.host(f"n{n}"), token, away, seconds, back))
            print(f"{way} of {seconds} s: stored {took[-1]:.2f} s after the database was back", flush=True)
        check(min(took) <= AWAY * SLOW, f"after {way} of {seconds} s something was stored after {took} s")
    wait("all to know of each other", lambda: len(a.peers()) == n)


@scenario(whole="a cluster of its own for a rare case")
def cut_off_from_the_database_it_stores_nothing(lab):
    """A statement of its member is stored then by the new home, or not at all."""
    cluster = Cluster(lab)
    a, b, first = cluster.pair()
    one, two = cluster.hosts[first], cluster.hosts[1 - first]
    a.ctl("admin", "grant", "b")
    wait("b to be an admin", lambda: b.ctl("invite", check_rc=False).code == 0)
    drop = """table ip cut {{
  chain out {{
    type filter hook output priority 0
    ip daddr {0} drop
  }}
}}
"""
    one.nft(drop.format(cluster.db.host.ip4))
    a.nft(drop.format(one.ip4))  # a cannot get there: the other becomes its home
    wait_home([a], two, 90)
    check(connected(b, one), "b lost a coordinator that goes on in memory")
    # Refused at once, or, if it was sent before the store knew, answered when the database says what came of it.
    asked = b.start(lab.bin("p2pvpnctl"), "invite", name="invite")
    wait("the store to be asked", lambda: "ok, in PostgreSQL" not in cluster.status(first))
    one.run("nft", "delete", "table", "ip", "cut")
    wait_home([b], two, 90)
    wait("b to be answered", lambda: asked.popen.poll() is not None)
    c = lab.host("c")
    c.daemon()
    c.join(wait("b's invite", lambda: b.ctl("invite", check_rc=False).out.strip()))
    wait("c to reach b", lambda: c.os_ping(c.addr(b), timeout=1))
    equal(cluster.home(), 1 - first, "the home")
    cluster.check_stored()


def longest_gap(ping, since):
    """Seconds between two answers of `ping -D`, or from the last one until now."""
    times = [float(line[1:line.index("]")]) for line in ping.text().splitlines() if line.startswith("[")]
    times = [since] + [t for t in times if t >= since] + [time.time()]
    return max(b - a for a, b in zip(times, times[1:]))


@scenario(long="thirty daemons and their NATs")
def thirty_nodes_outlive_homes_and_the_database(lab):
    """Fifteen networks at three coordinators, each with traffic through the relay."""
    cluster = Cluster(lab, 3)
    pairs = []
    for i in range(15):
        a, b = (lab.host(f"{n}{i}", lab.lan(f"lan{n}{i}", "profile=symmetric")) for n in "ab")
        cluster.network([a, b])
        pairs.append((a, b))
    for a, b in pairs:
        wait(f"{a.name} and {b.name} to talk through the relay",
             lambda a=a, b=b: a.os_ping(a.addr(b), timeout=1) and relayed(a, b), 60)
    pings = [a.start("ping", "-n", "-D", "-i", "0.5", str(a.addr(b)), name="ping") for a, b in pairs]

    def goes_on(what, elsewhere=None):
        """All are at one that lives, and reach each other."""
        for n in [n for pair in pairs for n in pair]:
            wait(f"{n.name} to be online after {what}", lambda n=n: n.json("status")["coordinator"]["connected"]
                 and not (elsewhere and connected(n, elsewhere)), 90)
        back = time.time() - began
        for a, b in pairs:
            wait(f"{a.name} to reach {b.name} after {what}", lambda a=a, b=b: a.os_ping(a.addr(b), timeout=1), 60)
        silence = max(longest_gap(p, began) for p in pings)
        print(f"{what}: all are online after {back:.1f} s, longest silence of a ping {silence:.1f} s", flush=True)
        check(silence <= 2 * BACK * SLOW, f"a ping was silent for {silence:.1f} s after {what}")

    began = time.time()
    cluster.coordinators[0].program.kill()
    goes_on("kill -9", cluster.hosts[0])
    cluster.coordinators[0].start()
    for i in (1, 2):
        wait("all to know of three", lambda i=i: "3 coordinators" in cluster.status(i))

    began = time.time()
    asleep = cluster.coordinators[1].program
    asleep.popen.send_signal(signal.SIGSTOP)
    goes_on("SIGSTOP", cluster.hosts[1])
    asleep.popen.send_signal(signal.SIGCONT)
    wait("all to know of three", lambda: "3 coordinators" in cluster.status(0))

    began = time.time()
    cluster.hosts[2].nft(OFF)
    goes_on("a partition of a home", cluster.hosts[2])
    cluster.hosts[2].run("nft", "delete", "table", "ip", "off")
    wait("all to know of three", lambda: "3 coordinators" in cluster.status(0))

    began = time.time()
    cluster.db.host.nft(OFF)
    pause(6, "leases are over, for all of them")
    goes_on("a partition of the database")
    cluster.db.host.run("nft", "delete", "table", "ip", "off")
    wait("status to be well", lambda: "ok, in PostgreSQL" in cluster.status(0), 60)

    began = time.time()
    cluster.db.stop()
    pause(4, "leases are over, for all of them")
    cluster.db.start()
    goes_on("a crash of the database")
    for i in (1, 2):
        check(cluster.coordinators[i].program.running(), f"coordinator {i} ended")
    equal(len(cluster.homes()["homes"]), len(pairs), "homes")
    for a, b in pairs:
        wait(f"{a.name} and {b.name} to share a home", lambda a=a, b=b: any(
            connected(a, h) and connected(b, h) for h in cluster.hosts))
    cluster.check_stored()
