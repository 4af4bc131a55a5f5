# SPDX-License-Identifier: MIT
"""Two coordinators with one PostgreSQL database: one serves, the other takes over, and nothing that
was stored is lost, whatever happens to the first and to the database."""
import glob
import re
import signal
import time

from lab import SLOW, Skip, check, equal, pause, scenario, wait
from turnlab import relayed

BACK = 5  # seconds after which members are back at the other coordinator


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
    """The database and two coordinators with one set of keys; the first serves."""

    def __init__(self, lab):
        self.lab = lab
        self.db = Database(lab.host("db"))
        conf = f"[store]\npostgres = host={self.db.host.ip4} dbname=postgres user=p2pvpn\n"
        self.hosts = [lab.host("one"), lab.host("two")]
        for h in self.hosts:
            h.run("sh", "-c", "mkdir -p /etc/p2pvpn; cat > /etc/p2pvpn/coordinator.conf", stdin=conf)
        self.programs = [None, None]
        self.coordinators = [lab.coordinator(h, start=False) for h in self.hosts]
        self.url = self.coordinators[0].url()
        for key in ("coordinator.key", "create.key"):
            path = f"/var/lib/p2pvpn-coordinator/{key}"
            text = self.hosts[0].run("cat", path).out
            self.hosts[1].run("sh", "-c", f"mkdir -p {path.rpartition('/')[0]}; umask 077; cat > {path}",
                              stdin=text)
        self.coordinators[0].start()
        self.start(1)

    def start(self, i):
        """Starts one that will stand by."""
        c = self.coordinators[i]
        c.program = self.hosts[i].start(self.lab.bin("p2pvpn-coordinator"), "--public", self.hosts[i].ip4)
        wait(f"{self.hosts[i].name} to stand by", lambda: "standing by" in self.status(i))

    def status(self, i):
        return self.hosts[i].run(self.lab.bin("p2pvpn-coordinator"), "status", check_rc=False).out

    def serves(self, i):
        return "in PostgreSQL" in self.status(i)

    def network(self, nodes):
        """A network of these nodes, which know both addresses."""
        for n in nodes:
            n.daemon()
        nodes[0].create(self.url)
        nodes[0].ctl("network", "coordinators", "address", ",".join(f"{h.ip4}:3478" for h in self.hosts))
        for n in nodes[1:]:
            n.join(nodes[0].ctl("invite").out.strip())
        for n in nodes:
            wait(f"{n.name} to know both addresses", lambda n=n: all(
                h.ip4 in n.ctl("network", "coordinators").out for h in self.hosts))


def connected(node, host):
    c = node.json("status")["coordinator"]
    return c["connected"] and host.ip4 in str(c)


def wait_home(nodes, host, timeout=60):
    for n in nodes:
        wait(f"{n.name} to be at {host.name}", lambda n=n: connected(n, host), timeout)


@scenario
def when_one_is_killed_the_other_serves(lab):
    cluster = Cluster(lab)
    one, two = cluster.hosts
    a, b = (lab.host(n, lab.lan(f"lan{n}", "profile=symmetric")) for n in "ab")
    c = lab.host("c")
    cluster.network([a, b, c])
    wait_home([a, b, c], one)
    wait("a and b to talk through the relay", lambda: a.os_ping(a.addr(b), timeout=1) and relayed(a, b), 30)

    # A message for who is away is kept, and follows.
    c.stop_daemon()
    a.ctl("send", "c", "kept for you")
    wait("the coordinator to keep it", lambda: cluster.db.sql("SELECT count(*) FROM p2pvpn.mail") != "0", 30)

    t0 = time.monotonic()
    cluster.coordinators[0].program.kill()
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

    # The other gives out invites, and the first stands by.
    cluster.start(0)
    d = lab.host("d")
    d.daemon()
    d.join(a.ctl("invite").out.strip())
    wait("d to reach a", lambda: d.os_ping(d.addr(a), timeout=1), 30)

    # In order it takes no time to speak of.
    t0 = time.monotonic()
    cluster.coordinators[1].program.end()
    wait_home([a, b, c, d], one)
    print(f"after an orderly end they are there after {time.monotonic() - t0:.1f} s")


@scenario
def one_that_was_asleep_lets_its_members_go(lab):
    cluster = Cluster(lab)
    one, two = cluster.hosts
    a, b = lab.host("a"), lab.host("b")
    cluster.network([a, b])
    wait_home([a, b], one)
    asleep = cluster.coordinators[0].program
    asleep.popen.send_signal(signal.SIGSTOP)
    wait("the other to serve", lambda: cluster.serves(1), 30)
    token = lambda: a.ctl("invite", check_rc=False)
    wait_home([a, b], two, 90)
    c = lab.host("c")
    c.daemon()
    c.join(wait("an invite", lambda: token().out.strip(), 30))
    asleep.popen.send_signal(signal.SIGCONT)
    equal(asleep.popen.wait(30 * SLOW), 1, "exit code of the one that slept")
    check("another coordinator has taken over" in asleep.text(), asleep.text())
    for n in (a, b, c):
        wait(f"{n.name} to know three", lambda n=n: len(n.peers()) == 2, 30)
    cluster.start(0)


@scenario
def the_database_goes_and_comes_back(lab):
    cluster = Cluster(lab)
    one, _ = cluster.hosts
    a, b = (lab.host(n, lab.lan(f"lan{n}", "profile=symmetric")) for n in "ab")
    cluster.network([a, b])
    wait_home([a, b], one)
    wait("a and b to talk through the relay", lambda: a.os_ping(a.addr(b), timeout=1) and relayed(a, b), 30)
    token = a.ctl("invite").out.strip()
    ping = a.start("ping", "-n", "-i", "0.1", str(a.addr(b)), name="ping")
    cluster.db.stop()
    wait("status to say so", lambda: "is it running and reachable?" in cluster.status(0))

    # What needs no store goes on; what does is refused with the reason.
    c = lab.host("c")
    c.daemon()
    r = c.ctl("join", token, check_rc=False)
    check(r.code != 0 and r.err.strip(), f"a join without a database: {r}")
    check(connected(a, one), "a lost its coordinator with the database")
    pause(3.5, "so that the lease is over when the database is back")
    cluster.db.start()
    wait("status to be well", lambda: "ok, in PostgreSQL" in cluster.status(0))
    check(cluster.coordinators[0].program.running() and cluster.serves(0), "the other one took over")
    wait("c to get in", lambda: c.ctl("join", token, check_rc=False).code == 0, 30)
    pause(0.3, "the last answers are on their way")
    ping.end(signal.SIGINT)
    # The signal may come while the last one is on its way.
    seen = [int(n) for n in re.findall(r"icmp_seq=(\d+) ttl", ping.text())]
    equal(seen, list(range(1, len(seen) + 1)), "pings that were answered while the database was away")


@scenario
def cut_off_from_the_database_it_stores_nothing_and_ends(lab):
    cluster = Cluster(lab)
    one, two = cluster.hosts
    a, b = lab.host("a"), lab.host("b")
    cluster.network([a, b])
    wait_home([a, b], one)
    one.nft(f"""table ip cut {{
  chain out {{
    type filter hook output priority 0
    ip daddr {cluster.db.host.ip4} drop
  }}
}}
""")
    wait("the other to serve", lambda: cluster.serves(1), 30)
    check(cluster.coordinators[0].program.running(), "it ended without the database's word")
    one.run("nft", "delete", "table", "ip", "cut")
    equal(cluster.coordinators[0].program.popen.wait(60 * SLOW), 1, "exit code of the one that was cut off")
    wait_home([a, b], two, 90)
    c = lab.host("c")
    c.daemon()
    c.join(a.ctl("invite").out.strip())
    wait("c to reach b", lambda: c.os_ping(c.addr(b), timeout=1), 30)
