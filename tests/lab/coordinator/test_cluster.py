# SPDX-License-Identifier: MIT
"""Several coordinators with one PostgreSQL database: each network has its home at one of them, another
takes it over, and nothing that was stored is lost, whatever happens to a home and to the database."""
import glob
import json
import re
import signal
import time

from lab import SLOW, Skip, check, equal, pause, scenario, wait
from turnlab import relayed

BACK = 5  # seconds after which members are back at another coordinator


class Database:
    """A PostgreSQL server of the scenario's own, run by a user without rights."""

    def __init__(self, host):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        if not found:
            raise Skip("PostgreSQL is not installed (Debian package postgresql)")
        self.host, self.bin = host, found[-1]
        host.run("sh", "-c", "mkdir /run/pg && chown 65534:65534 /run/pg")
        self.as_nobody(f"{self.bin}/initdb", "-D", "/run/pg/data", "-U", "p2pvpn", "-A", "trust", "-N")
        host.run("sh", "-c", "echo 'host all all 0.0.0.0/0 trust' >> /run/pg/data/pg_hba.conf")
        self.start()

    def as_nobody(self, *argv):
        return self.host.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *argv, timeout=60)

    def start(self):
        self.program = self.host.start(
            "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", f"{self.bin}/postgres",
            "-D", "/run/pg/data", "-c", "listen_addresses=*", "-c", "unix_socket_directories=/run/pg",
            name="postgres")
        wait("the database to answer", lambda: self.host.run(
            f"{self.bin}/pg_isready", "-h", "/run/pg", check_rc=False).code == 0, 30)

    def sql(self, query):
        """One value out of it."""
        return self.host.run(f"{self.bin}/psql", "-h", "/run/pg", "-U", "p2pvpn", "-Atc", query, "postgres").out.strip()

    def stop(self, sig=signal.SIGQUIT):
        self.program.end(sig)


class Cluster:
    """The database and coordinators with one set of keys, all of which serve."""

    def __init__(self, lab, n=2):
        self.lab = lab
        self.db = Database(lab.host("db"))
        conf = f"[store]\npostgres = host={self.db.host.ip4} dbname=postgres user=p2pvpn\n"
        self.hosts = [lab.host(name) for name in ("one", "two", "three")[:n]]
        for h in self.hosts:
            h.run("sh", "-c", "mkdir -p /etc/p2pvpn; cat > /etc/p2pvpn/coordinator.conf", stdin=conf)
        self.coordinators = [lab.coordinator(h, start=False) for h in self.hosts]
        self.url = self.coordinators[0].url()
        for key in ("coordinator.key", "create.key"):
            path = f"/var/lib/p2pvpn-coordinator/{key}"
            text = self.hosts[0].run("cat", path).out
            for h in self.hosts[1:]:
                h.run("sh", "-c", f"mkdir -p {path.rpartition('/')[0]}; umask 077; cat > {path}", stdin=text)
        for c in self.coordinators:
            c.start()
        wait("all to know of each other", lambda: f"{n} coordinators" in self.status(0))

    def status(self, i):
        return self.hosts[i].run(self.lab.bin("p2pvpn-coordinator"), "status", check_rc=False).out

    def home(self):
        """Which coordinator is the home of the only network; None: none that lives."""
        name = self.db.sql("SELECT c.name FROM p2pvpn.homes h JOIN p2pvpn.coordinators c ON c.id = h.holder")
        return next((i for i, h in enumerate(self.hosts) if h.ip4 in name), None)

    def homes(self):
        return json.loads(self.hosts[0].run(self.lab.bin("p2pvpn-coordinator"), "homes", "--json").out)

    def homes_text(self):
        return self.hosts[0].run(self.lab.bin("p2pvpn-coordinator"), "homes").out

    def network(self, nodes):
        """A network of these nodes, which know all addresses."""
        for n in nodes:
            n.daemon()
        nodes[0].create(self.url)
        nodes[0].ctl("network", "coordinators", "address", ",".join(f"{h.ip4}:3478" for h in self.hosts))
        for n in nodes[1:]:
            n.join(nodes[0].ctl("invite").out.strip())
        for n in nodes:
            wait(f"{n.name} to know all addresses", lambda n=n: all(
                h.ip4 in n.ctl("network", "coordinators").out for h in self.hosts))


def connected(node, host):
    c = node.json("status")["coordinator"]
    return c["connected"] and host.ip4 in str(c)


def wait_home(nodes, host, timeout=60):
    for n in nodes:
        wait(f"{n.name} to be at {host.name}", lambda n=n: connected(n, host), timeout)


@scenario
def when_a_home_is_killed_another_takes_over(lab):
    cluster = Cluster(lab)
    a, b = (lab.host(n, lab.lan(f"lan{n}", "profile=symmetric")) for n in "ab")
    c = lab.host("c")
    cluster.network([a, b, c])
    first = cluster.home()
    one, two = cluster.hosts[first], cluster.hosts[1 - first]
    wait_home([a, b, c], one)
    wait("a and b to talk through the relay", lambda: a.os_ping(a.addr(b), timeout=1) and relayed(a, b), 30)

    # A message for who is away is kept, and follows.
    c.stop_daemon()
    a.ctl("send", "c", "kept for you")
    wait("the coordinator to keep it", lambda: cluster.db.sql("SELECT count(*) FROM p2pvpn.mail") != "0", 30)

    t0 = time.monotonic()
    cluster.coordinators[first].program.kill()
    wait_home([a, b], two)
    back = time.monotonic() - t0
    wait("a to reach b again", lambda: a.os_ping(a.addr(b), timeout=1), 30)
    print(f"members are at the other coordinator after {back:.1f} s")
    check(back <= BACK * SLOW, f"members were back after {back:.1f} s, not {BACK} s")

    a.stop_daemon()
    c.daemon()
    wait("the message to come without its sender", lambda: any(
        m["text"] == "kept for you" for m in c.json("inbox")["messages"]), 30)
    a.daemon()

    # The other gives out invites, and the first, which is back, takes nothing from it.
    cluster.coordinators[first].start()
    d = lab.host("d")
    d.daemon()
    d.join(a.ctl("invite").out.strip())
    wait("d to reach a", lambda: d.os_ping(d.addr(a), timeout=1), 30)
    equal(cluster.home(), 1 - first, "the home")

    # In order it takes no time to speak of.
    t0 = time.monotonic()
    cluster.coordinators[1 - first].program.end()
    wait_home([a, b, c, d], one)
    print(f"after an orderly end they are there after {time.monotonic() - t0:.1f} s")


@scenario
def networks_are_spread_and_wander_without_loss(lab):
    """Three coordinators; one is drained and restarted under traffic through the relay."""
    cluster = Cluster(lab, 3)
    nets = []
    for net in ("x", "y", "z"):
        pair = [lab.host(f"{net}{i}", lab.lan(f"lan{net}{i}", "profile=symmetric")) for i in (1, 2)]
        for n in pair:
            n.daemon()
        # A create goes anywhere; all three knock at the same door first.
        pair[0].create(cluster.url)
        pair[0].ctl("network", "coordinators", "address", ",".join(f"{h.ip4}:3478" for h in cluster.hosts))
        pair[1].join(pair[0].ctl("invite").out.strip())
        for n in pair:
            wait(f"{n.name} to know all addresses", lambda n=n: all(
                h.ip4 in n.ctl("network", "coordinators").out for h in cluster.hosts))
        nets.append(pair)
    nodes = [n for pair in nets for n in pair]
    for a, b in nets:
        wait(f"{a.name} and {b.name} to talk through the relay",
             lambda a=a, b=b: a.os_ping(a.addr(b), timeout=1) and relayed(a, b), 30)
    print(cluster.homes_text())

    # Rolling upgrade: each in turn gives its networks away, and is restarted.
    pings = [a.start("ping", "-n", "-D", "-i", "0.1", str(a.addr(b)), name="ping") for a, b in nets]
    for i in range(3):
        out = cluster.hosts[i].run(lab.bin("p2pvpn-coordinator"), "drain").out
        check("given to other coordinators" in out, out)
        for a, _ in nets:
            wait(f"{a.name} to be elsewhere", lambda a=a: a.json("status")["coordinator"]["connected"]
                 and not connected(a, cluster.hosts[i]), 30)
        for a, b in nets:
            wait(f"{b.name} to be elsewhere", lambda b=b: b.json("status")["coordinator"]["connected"]
                 and not connected(b, cluster.hosts[i]), 30)
            wait(f"{a.name} and {b.name} to relay elsewhere", lambda a=a, b=b: relayed(a, b), 30)
        pause(1, "the old relay is not used any more")
        cluster.coordinators[i].restart()
        wait("it to be one of three", lambda i=i: "3 coordinators" in cluster.status(i), 10)
    gaps = [longest_gap(p) for p in pings]
    for p in pings:
        p.end(signal.SIGINT)
    print(f"longest silence of a ping: {max(gaps):.2f} s")
    check(max(gaps) <= 3 * SLOW, f"pings were silent for {gaps}")  # a busy machine takes its part

    # Who comes now, comes in; and each network has one home, where all its members are.
    for a, b in nets:
        wait(f"{a.name} and {b.name} to share a home", lambda a=a, b=b: any(
            connected(a, h) and connected(b, h) for h in cluster.hosts), 30)
    equal(len(cluster.homes()["homes"]), 3, "homes")


def longest_gap(ping):
    """Seconds between two answers of `ping -D`."""
    times = [float(line[1:line.index("]")]) for line in ping.text().splitlines() if line.startswith("[")]
    return max(b - a for a, b in zip(times, times[1:]))


@scenario
def one_that_was_asleep_lets_its_members_go(lab):
    cluster = Cluster(lab)
    a, b = lab.host("a"), lab.host("b")
    cluster.network([a, b])
    first = cluster.home()
    one, two = cluster.hosts[first], cluster.hosts[1 - first]
    wait_home([a, b], one)
    asleep = cluster.coordinators[first].program
    asleep.popen.send_signal(signal.SIGSTOP)
    a.stop_daemon()
    a.daemon()  # it knocks at the other
    wait_home([a], two, 60)
    c = lab.host("c")
    c.daemon()
    c.join(wait("an invite", lambda: a.ctl("invite", check_rc=False).out.strip(), 30))
    asleep.popen.send_signal(signal.SIGCONT)
    wait_home([b], two, 60)
    check(asleep.running(), "it ended")
    wait("its log to say so", lambda: "another coordinator has taken it" in asleep.text())
    for n in (a, b, c):
        wait(f"{n.name} to know three", lambda n=n: len(n.peers()) == 2, 30)
    equal(cluster.home(), 1 - first, "the home")


@scenario
def the_database_goes_and_comes_back(lab):
    cluster = Cluster(lab)
    a, b = (lab.host(n, lab.lan(f"lan{n}", "profile=symmetric")) for n in "ab")
    cluster.network([a, b])
    first = cluster.home()
    one = cluster.hosts[first]
    wait_home([a, b], one)
    wait("a and b to talk through the relay", lambda: a.os_ping(a.addr(b), timeout=1) and relayed(a, b), 30)
    token = a.ctl("invite").out.strip()
    ping = a.start("ping", "-n", "-i", "0.1", str(a.addr(b)), name="ping")
    cluster.db.stop()
    for i in range(2):
        wait("status to say so", lambda i=i: "is it running and reachable?" in cluster.status(i))

    # What needs no store goes on; what does is refused with the reason.
    c = lab.host("c")
    c.daemon()
    r = c.ctl("join", token, check_rc=False)
    check(r.code != 0 and r.err.strip(), f"a join without a database: {r}")
    check(connected(a, one), "a lost its coordinator with the database")
    pause(3.5, "so that nobody has renewed when the database is back")
    cluster.db.start()
    wait("status to be well", lambda: "ok, in PostgreSQL" in cluster.status(first))
    wait("c to get in", lambda: c.ctl("join", token, check_rc=False).code == 0, 30)
    equal(cluster.home(), first, "the home")
    pause(0.3, "the last answers are on their way")
    ping.end(signal.SIGINT)
    # The signal may come while the last one is on its way.
    seen = [int(n) for n in re.findall(r"icmp_seq=(\d+) ttl", ping.text())]
    equal(seen, list(range(1, len(seen) + 1)), "pings that were answered while the database was away")


@scenario
def cut_off_from_the_database_it_stores_nothing(lab):
    cluster = Cluster(lab)
    a, b = lab.host("a"), lab.host("b")
    cluster.network([a, b])
    first = cluster.home()
    one, two = cluster.hosts[first], cluster.hosts[1 - first]
    wait_home([a, b], one)
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
    one.run("nft", "delete", "table", "ip", "cut")
    wait_home([b], two, 90)
    c = lab.host("c")
    c.daemon()
    c.join(a.ctl("invite").out.strip())
    wait("c to reach b", lambda: c.os_ping(c.addr(b), timeout=1), 30)
    equal(cluster.home(), 1 - first, "the home")
