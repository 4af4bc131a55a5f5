# SPDX-License-Identifier: MIT
"""Faults below several coordinators: the primary of their database dies, and clocks are set."""
import re
import signal

from clusterlab import BACK, Cluster, connected, wait_home
from lab import SLOW, Stopwatch, check, equal, pause, scenario, wait
from turnlab import relayed


@scenario
def the_primary_dies_and_its_standby_takes_over(lab):
    """Nothing that was answered is lost, homes stay, a token that was used stays used, and pings go on."""
    cluster = Cluster(lab, standby=True)
    a, b, first = cluster.relayed_pair()
    used = a.ctl("invite").out.strip()
    c, d = (lab.host(n) for n in "cd")
    for n in (c, d):
        n.daemon()
    ping = a.start("ping", "-n", "-i", "0.1", str(a.addr(b)), name="ping")
    c.join(used)
    cluster.db.stop()  # the moment after: what was answered is at the standby
    for i in range(2):
        wait("status to say so", lambda i=i: "failing" in cluster.status(i))
    cluster.standby.promote()
    cluster.db = cluster.standby
    for i in range(2):
        wait("status to be well", lambda i=i: "ok, in PostgreSQL" in cluster.status(i))
    equal(cluster.home(), first, "the home")
    check(connected(a, cluster.hosts[first]), "a lost its coordinator with the primary")
    pause(0.3, "the last answers are on their way")
    ping.end(signal.SIGINT)
    seen = [int(n) for n in re.findall(r"icmp_seq=(\d+) ttl", ping.text())]
    equal(seen, list(range(1, len(seen) + 1)), "pings that were answered while there was no primary")

    # c is a member for whoever reads the database anew, and its token is used up.
    r = d.ctl("join", used, check_rc=False)
    check(r.code != 0 and "used" in r.err, f"a token that was used before: {r}")
    cluster.coordinators[first].program.kill()
    wait_home([a, b, c], cluster.hosts[1 - first])
    d.join(a.ctl("invite").out.strip())
    wait("d to reach c", lambda: d.os_ping(d.addr(c), timeout=1))
    cluster.check_stored()


@scenario(whole="a cluster of its own for a rare case")
def a_coordinator_that_cannot_read_a_network_sends_its_members_elsewhere(lab):
    """The home dies, and long packets from the database to the coordinator where its members knock next are lost."""
    cluster = Cluster(lab, n=3)
    a, b, first = cluster.pair()
    deaf, sound = cluster.hosts[(first + 1) % 3], cluster.hosts[(first + 2) % 3]
    deaf.run("nft", "-f", "-", stdin="table inet hole { chain in { type filter hook input priority 0;"
             f" ip saddr {cluster.db.host.ip4} meta length > 1400 counter drop; }}; }}")
    watch = Stopwatch()
    cluster.coordinators[first].program.kill()
    wait_home([a, b], sound)
    back = watch.seconds()
    print(f"members are where their network can be read after {back:.1f} s")
    check(back <= 10 * SLOW, f"members were back after {back:.1f} s")
    a.ctl("invite")
    # A new start of the first is not held up by what the deaf one left behind.
    cluster.coordinators[first].start()
    wait("all to live", lambda: "3 coordinators" in cluster.status(first))
    cluster.check_stored()


@scenario(whole="a cluster of its own for a rare case")
def answers_that_wait_go_out_as_soon_as_the_database_is_back(lab):
    """An admin removes a member, and writes to one that is away, while there is no database."""
    cluster = Cluster(lab)
    a, b, c, d = (lab.host(n) for n in "abcd")
    cluster.network([a, b, c, d])
    first = cluster.home()
    wait_home([a, b, c, d], cluster.hosts[first])
    well = [lab.bin("p2pvpn-coordinator"), "status", "--check"]
    equal(cluster.hosts[first].run(*well, check_rc=False).code, 0, "status --check of one that is well")
    for n in (c, d):
        n.stop_daemon()
    cluster.db.stop()
    wait("status to say so", lambda: cluster.hosts[first].run(*well, check_rc=False).code == 1)
    a.ctl("remove", "d", check_rc=False)
    for i in range(10):
        a.ctl("send", "c", f"kept {i}")
    pause(15, "who asked in vain has asked several times")
    cluster.db.start()
    watch = Stopwatch()
    wait("the removal and the messages to be stored", lambda: cluster.db.sql(
        "SELECT (SELECT count(*) FROM p2pvpn.mail) >= 10 AND EXISTS(SELECT 1 FROM p2pvpn.statements"
        " WHERE substring(statement FROM 2 FOR 1) = '\\x06')") == "t", 60)
    took = watch.seconds()
    print(f"stored {took:.1f} s after the database is back")
    check(took <= 2 * SLOW, f"stored after {took:.1f} s")
    wait("status to be well", lambda: cluster.hosts[first].run(*well, check_rc=False).code == 0)

    # A failure is over when the database can be written again, though nobody stores anything.
    cluster.db.sql("ALTER SYSTEM SET default_transaction_read_only = on")
    cluster.db.sql("SELECT pg_reload_conf()")
    wait("status to say so", lambda: "read-only" in cluster.status(first))
    r = a.ctl("invite", check_rc=False)
    check(r.code != 0, f"an invite without a database that can be written: {r}")
    cluster.db.sql("ALTER SYSTEM RESET default_transaction_read_only")
    cluster.db.sql("SELECT pg_reload_conf()")
    wait("status to be well", lambda: cluster.hosts[first].run(*well, check_rc=False).code == 0)
    cluster.check_stored()


@scenario(whole="a cluster of its own for a rare case")
def clocks_that_jump_move_no_home(lab):
    """The database's clock and a coordinator's are set by an hour; what dies then is followed all the same."""
    cluster = Cluster(lab, clocks=True)
    a, b = (lab.host(n, lab.lan(f"lan{n}", "profile=symmetric")) for n in "ab")
    cluster.network([a, b])
    first = cluster.home()
    one, two = cluster.hosts[first], cluster.hosts[1 - first]
    wait_home([a, b], one)
    wait("a and b to talk through the relay", lambda: a.os_ping(a.addr(b), timeout=1) and relayed(a, b))
    for host, by, differ in ((cluster.db.host, 3600, "behind"), (one, 3600, None), (cluster.db.host, 0, "ahead of"),
                             (one, -3600, "behind")):
        host.set_clock(by)
        pause(4, "a lease would be over")
        equal(cluster.home(), first, f"the home after {host.name}'s clock was set to {by} s")
        check(connected(a, one) and connected(b, one), "a member lost its coordinator by a clock")
        r = a.ctl("invite", check_rc=False)  # something that is stored, with a time that would outlast its clock
        equal(r.code != 0, differ is not None, f"an invite after {host.name}'s clock was set to {by} s was refused: {r}")
        said = cluster.status(first)
        equal(f"{differ} the database's" in said, differ is not None, f"status of the home: {said}")

    cluster.db.host.set_clock(-3600)
    watch = Stopwatch()
    cluster.coordinators[first].program.kill()
    wait_home([a, b], two)
    back = watch.seconds()
    print(f"killed as the database's clock was set back, it is followed after {back:.1f} s")
    check(back <= 2 * BACK * SLOW, f"members were back after {back:.1f} s")
    wait("a to reach b again", lambda: a.os_ping(a.addr(b), timeout=1))
    cluster.check_stored()
