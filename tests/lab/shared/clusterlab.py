# SPDX-License-Identifier: MIT
"""Several coordinators with one PostgreSQL database."""
import glob
import json
import signal

from lab import Skip, check, wait
from turnlab import relayed

BACK = 5  # seconds after which members are back at another coordinator

# The database itself notes whose connection each row came by, and who was the home at that moment.
WITNESS = """
CREATE TABLE public.stored(by text, home text);
CREATE FUNCTION public.note_stored() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
 INSERT INTO public.stored SELECT host(inet_client_addr()), (SELECT c.name FROM p2pvpn.homes h
  JOIN p2pvpn.coordinators c ON c.id = h.holder WHERE h.network = new.network);
 RETURN NULL; END $$;
CREATE TRIGGER witness AFTER INSERT ON p2pvpn.statements FOR EACH ROW EXECUTE FUNCTION public.note_stored();
CREATE TRIGGER witness AFTER INSERT ON p2pvpn.mail FOR EACH ROW EXECUTE FUNCTION public.note_stored();
"""


class Database:
    """A PostgreSQL server of the scenario's own, run by a user without rights; owner may do everything in it.
    primary: another one, whose commits wait for this, its standby."""

    def __init__(self, host, owner="p2pvpn", primary=None):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        if not found:
            raise Skip("PostgreSQL is not installed (Debian package postgresql)")
        self.host, self.bin, self.owner = host, found[-1], owner
        host.run("sh", "-c", "mkdir /run/pg && mount -t tmpfs -o size=320m tmpfs /run/pg && chown 65534:65534 /run/pg")
        if primary:
            self.as_nobody(f"{self.bin}/pg_basebackup", "-h", primary.host.ip4, "-U", owner, "-D", "/run/pg/data",
                           "-R", "-X", "stream", "-c", "fast")
            self.start()
            primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
            primary.sql("SELECT pg_reload_conf()")
            wait("commits to wait for the standby", lambda: primary.sql(
                "SELECT sync_state FROM pg_stat_replication") == "sync")
            return
        self.as_nobody(f"{self.bin}/initdb", "-D", "/run/pg/data", "-U", owner, "-A", "trust", "-N")
        host.run("sh", "-c", "for what in all replication; do echo host $what all 0.0.0.0/0 trust; done"
                 " >>/run/pg/data/pg_hba.conf")
        self.start()

    def as_nobody(self, *argv):
        return self.host.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *argv, timeout=60)

    def start(self):
        self.program = self.host.start(
            "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", f"{self.bin}/postgres",
            "-D", "/run/pg/data", "-c", "listen_addresses=*", "-c", "unix_socket_directories=/run/pg",
            "-c", "dynamic_shared_memory_type=mmap",  # or each that is killed leaves some in /dev/shm
            name="postgres")
        wait("the database to answer", lambda: self.host.run(
            f"{self.bin}/pg_isready", "-h", "/run/pg", check_rc=False).code == 0)

    def sql(self, query):
        """One value out of it."""
        return self.host.run(
            f"{self.bin}/psql", "-h", "/run/pg", "-U", self.owner, "-Atc", query, "postgres").out.strip()

    def promote(self):
        """A standby becomes the primary, which waits for no standby of its own."""
        self.sql("SELECT pg_promote()")
        self.sql("ALTER SYSTEM RESET synchronous_standby_names")
        self.sql("SELECT pg_reload_conf()")

    def stop(self, sig=signal.SIGQUIT):
        self.program.end(sig)


class Cluster:
    """The database and coordinators with one set of keys, all of which serve. clocks: each has one of its own.
    standby: the database has one."""

    def __init__(self, lab, n=2, clocks=False, standby=False):
        self.lab = lab
        db = lab.host("db")
        if clocks:
            db.own_clock()
        self.db = Database(db)
        self.standby = Database(lab.host("standby"), primary=self.db) if standby else None
        where = f"host={self.db.host.ip4}"
        if standby:
            where += f",{self.standby.host.ip4} target_session_attrs=read-write"
        conf = f"[store]\npostgres = {where} dbname=postgres user=p2pvpn\n"
        self.hosts = [lab.host(name) for name in ("one", "two", "three")[:n]]
        for h in self.hosts:
            if clocks:
                h.own_clock()
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
        self.db.sql(WITNESS)

    def status(self, i):
        return self.hosts[i].run(self.lab.bin("p2pvpn-coordinator"), "status", check_rc=False).out

    def check_stored(self):
        """Every statement and every copy came from the coordinator that was the home of its network just then."""
        n, wrong = self.db.sql("SELECT count(*), coalesce(string_agg(by || ' for ' || coalesce(home, 'nobody'), ', ')"
                               " FILTER (WHERE home LIKE '%(' || by || ')' IS NOT TRUE), '') FROM public.stored"
                               ).split("|")
        check(int(n) > 0 and not wrong, f"of {n} rows some were stored by another than the home: {wrong}")

    def document(self, i):
        return json.loads(self.hosts[i].run(self.lab.bin("p2pvpn-coordinator"), "status", "--json").out)

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

    def pair(self):
        """A network of a and b, which are at its home. Returns a, b and the home's number."""
        a, b = self.lab.host("a"), self.lab.host("b")
        self.network([a, b])
        home = self.home()
        wait_home([a, b], self.hosts[home])
        return a, b, home

    def relayed_pair(self, *others):
        """A network of a and b, which reach each other only through the relay, and of others; all are at its home.
        Returns a, b and the home's number."""
        a, b = (self.lab.host(n, self.lab.lan(f"lan{n}", "profile=symmetric")) for n in "ab")
        self.network([a, b, *others])
        home = self.home()
        wait_home([a, b, *others], self.hosts[home])
        wait("a and b to talk through the relay", lambda: a.os_ping(a.addr(b), timeout=1) and relayed(a, b))
        return a, b, home


def connected(node, host):
    c = node.json("status")["coordinator"]
    return c["connected"] and host.ip4 in str(c)


def wait_home(nodes, host, timeout=60):
    for n in nodes:
        wait(f"{n.name} to be at {host.name}", lambda n=n: connected(n, host), timeout)
