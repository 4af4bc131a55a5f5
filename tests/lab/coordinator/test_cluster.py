# SPDX-License-Identifier: MIT
"""Several coordinators with one PostgreSQL database: each network has its home at one of them, another
takes it over, and nothing that was stored is lost when it is killed, ends, sleeps or is restarted."""
import json
import re
import signal
import time

from clusterlab import BACK, Cluster, Database, connected, wait_home
from lab import SLOW, Stopwatch, check, equal, scenario, wait
from turnlab import relayed

LEFT = 4  # seconds for which a coordinator relays on after it has given its last network away
SILENT = 1  # seconds without an answer to a ping, at most, while coordinators are upgraded


@scenario
def when_a_home_is_killed_another_takes_over(lab):
    cluster = Cluster(lab)
    c = lab.host("c")
    a, b, first = cluster.relayed_pair(c)
    one, two = cluster.hosts[first], cluster.hosts[1 - first]

    # A coordinator that is not the home says which one is.
    operate = lab.bin("p2pvpn-coordinator")
    network = cluster.homes()["homes"][0]["network"]
    r = two.run(operate, "drop", network, check_rc=False)
    check(r.code == 6 and f"its home is {one.name} ({one.ip4})" in r.err, f"drop at another: {r}")
    check("homes" in two.run(operate, "networks").out, "networks of others are not mentioned")

    # A message for who is away is kept, and follows.
    c.stop_daemon()
    a.ctl("send", "c", "kept for you")
    wait("the coordinator to keep it", lambda: cluster.db.sql("SELECT count(*) FROM p2pvpn.mail") != "0")

    watch = Stopwatch()
    cluster.coordinators[first].program.kill()
    wait_home([a, b], two)
    back = watch.seconds()
    wait("a to reach b again", lambda: a.os_ping(a.addr(b), timeout=1))
    print(f"members are at the other coordinator after {back:.1f} s")
    check(back <= BACK * SLOW, f"members were back after {back:.1f} s, not {BACK} s")

    # An operator who looks sees it: the log says what moved and why, status and metrics who is left and what came.
    follower = cluster.coordinators[1 - first].program
    wait("its log to say so", lambda: 'why="its coordinator was silent"' in follower.text())
    seen = wait("status to count one", lambda: next((s for s in [json.loads(two.run(
        operate, "status", "--json").out)["cluster"]] if s["coordinators"] == 1), None))
    check(seen["taken"] >= 1, f"status of the follower: {seen}")
    metrics = two.run(operate, "metrics").out
    for name in ("cluster_coordinators 1", "homes_taken_total"):
        check(f"p2pvpn_coordinator_{name}" in metrics, f"{name} is missing in the metrics")

    a.stop_daemon()
    c.daemon()
    wait("the message to come without its sender", lambda: any(
        m["text"] == "kept for you" for m in c.json("inbox")["messages"]))
    a.daemon()
    wait("a to be at home", lambda: a.json("status")["coordinator"]["connected"])

    # The other gives out invites, and the first, which is back, takes nothing from it.
    cluster.coordinators[first].start()
    d = lab.host("d")
    d.daemon()
    d.join(a.ctl("invite").out.strip())
    wait("d to reach a", lambda: d.os_ping(d.addr(a), timeout=1))
    equal(cluster.home(), 1 - first, "the home")

    # In order it takes no time to speak of.
    t0 = time.monotonic()
    cluster.coordinators[1 - first].program.end()
    wait_home([a, b, c, d], one)
    print(f"after an orderly end they are there after {time.monotonic() - t0:.1f} s")
    wait("the home to have it", lambda: cluster.homes()["homes"][0]["loaded"])
    cluster.check_stored()
    one.run(operate, "drop", network)


@scenario(whole="three coordinators")
def networks_are_spread_and_wander_without_loss(lab):
    """Three coordinators are restarted one after the other under traffic through the relay, the last not drained
    before; no ping is lost."""
    cluster = Cluster(lab, 3)
    nets = []
    for net in ("x", "y", "z"):
        # One of the six reaches the relay by TCP.
        pair = [lab.host(f"{net}{i}", lab.lan(f"lan{net}{i}", "profile=symmetric", f"udp={udp}"))
                for i, udp in ((1, "all"), (2, "off" if net == "z" else "all"))]
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
             lambda a=a, b=b: a.os_ping(a.addr(b), timeout=1) and relayed(a, b))
    print(cluster.homes_text())

    # Rolling upgrade: each in turn gives its networks away, and is restarted. Both ends of a pair change over.
    # Beside them one that no coordinator has to do with: what it waits for is the machine's.
    watch = Stopwatch()
    pings = [a.start("ping", "-n", "-D", "-i", "0.05", str(a.addr(b)), name="ping") for a, b in nets]
    plain = cluster.hosts[0].start("ping", "-n", "-D", "-i", "0.05", cluster.db.host.ip4, name="ping")
    for i in range(3):
        if i < 2:
            began = time.monotonic()
            out = cluster.hosts[i].run(lab.bin("p2pvpn-coordinator"), "drain").out
            check("given to other coordinators" in out, out)
            check(out.startswith("0 ") or time.monotonic() - began >= LEFT, f"drain did not wait for its relay: {out}")
            wait("the log to say why", lambda i=i, o=out: o.startswith("0 ") or
                 'why="drained"' in cluster.coordinators[i].program.text())
        else:
            cluster.coordinators[i].end()
        for a, _ in nets:
            wait(f"{a.name} to be elsewhere", lambda a=a: a.json("status")["coordinator"]["connected"]
                 and not connected(a, cluster.hosts[i]))
        for a, b in nets:
            wait(f"{b.name} to be elsewhere", lambda b=b: b.json("status")["coordinator"]["connected"]
                 and not connected(b, cluster.hosts[i]))
            wait(f"{a.name} and {b.name} to relay elsewhere", lambda a=a, b=b: relayed(a, b))
        if i < 2:
            cluster.coordinators[i].end()
        cluster.coordinators[i].start()
        wait("it to be one of three", lambda i=i: "3 coordinators" in cluster.status(i))
    machine, missed = longest_gap(plain), len(unanswered(plain))
    gaps = [longest_gap(p) for p in pings]
    for p in (*pings, plain):
        p.end(signal.SIGINT)
    lost = [unanswered(p) for p in pings]
    print(f"longest silence of a ping: {max(gaps):.2f} s, without coordinators {machine:.2f} s; lost: {lost}, {missed}")
    check(sum(map(len, lost)) <= missed, f"pings {lost} were lost, and {missed} of the machine")
    check(max(gaps) <= SILENT * SLOW + machine + watch.held(), f"pings were silent for {gaps} s, the machine for {machine:.2f} s")

    # A node that comes now, comes in; and each network has one home, where all its members are.
    for a, b in nets:
        wait(f"{a.name} and {b.name} to share a home", lambda a=a, b=b: any(
            connected(a, h) and connected(b, h) for h in cluster.hosts))
    equal(len(cluster.homes()["homes"]), 3, "homes")
    cluster.check_stored()


def unanswered(ping):
    """Numbers of pings before the last answer that have none."""
    seen = {int(n) for n in re.findall(r"icmp_seq=(\d+) ttl", ping.text())}
    return sorted(set(range(1, max(seen))) - seen)


def longest_gap(ping):
    """Seconds between two answers of `ping -D`."""
    times = [float(line[1:line.index("]")]) for line in ping.text().splitlines() if line.startswith("[")]
    return max(b - a for a, b in zip(times, times[1:]))


@scenario(whole="a cluster of its own for a rare case")
def one_that_was_asleep_stores_nothing_and_lets_its_members_go(lab):
    """It tries to store what came before it fell asleep when it wakes up, and the database refuses it."""
    cluster = Cluster(lab)
    a, b, first = cluster.pair()
    one, two = cluster.hosts[first], cluster.hosts[1 - first]
    a.ctl("admin", "grant", "b")
    wait("b to be an admin", lambda: b.ctl("invite", check_rc=False).code == 0)
    asleep = cluster.coordinators[first].program
    asleep.popen.send_signal(signal.SIGSTOP)
    b.start(lab.bin("p2pvpnctl"), "invite", name="invite")  # now, and not while it is being stored
    wait("the invite to lie in the sleeper's socket", lambda: unread(one, b) > 200)
    a.stop_daemon()
    a.daemon()  # it knocks at the other
    wait_home([a], two, 60)
    c = lab.host("c")
    c.daemon()
    c.join(wait("an invite", lambda: a.ctl("invite", check_rc=False).out.strip()))
    asleep.popen.send_signal(signal.SIGCONT)
    wait_home([b], two, 60)
    check(asleep.running(), "it ended")
    wait("its log to say so", lambda: "another coordinator has taken it" in asleep.text())
    wait("the database to refuse it", lambda: "is the home of this network" in cluster.db.program.text())
    check("ok, in PostgreSQL" in cluster.status(first), f"its store is well: {cluster.status(first)}")
    wait("b to be an admin there, too", lambda: b.ctl("invite", check_rc=False).code == 0)
    for n in (a, b, c):
        wait(f"{n.name} to know three", lambda n=n: len(n.peers()) == 2)
    equal(cluster.home(), 1 - first, "the home")
    cluster.check_stored()


def unread(host, node):
    """Bytes from a node that lie in sockets of a coordinator."""
    lines = host.run("ss", "-Htn", "sport", "=", ":3478", "and", "dst", node.ip4).out.splitlines()
    return max((int(line.split()[1]) for line in lines), default=0)


@scenario
def a_second_coordinator_as_operations_says(lab):
    """The commands of docs/guide/cluster.md, on a coordinator with a network; and back."""
    operate = lab.bin("p2pvpn-coordinator")
    conf, secret, state = "/etc/p2pvpn/coordinator.conf", "/etc/p2pvpn/pgpass", "/var/lib/p2pvpn-coordinator"
    one, two, a, b = (lab.host(name) for name in ("one", "two", "a", "b"))
    first, second = lab.coordinator(one), lab.coordinator(two, start=False)
    lab.network(first, [a, b])

    # On the database's machine. No terminal: the password comes by its input.
    db = Database(lab.host("db"), owner="postgres")
    as_postgres = ("-h", "/run/pg", "-U", "postgres")
    db.host.run("setsid", "-w", f"{db.bin}/createuser", *as_postgres, "--pwprompt", "p2pvpn", stdin="hunter2\n" * 2)
    db.host.run(f"{db.bin}/createdb", *as_postgres, "--owner", "p2pvpn", "p2pvpn")
    db.host.run("sh", "-c", "cat >/run/pg/data/pg_hba.conf", stdin="local all all trust\n" + "".join(
        f"host p2pvpn p2pvpn {h.ip4}/32 scram-sha-256\n" for h in (one, two)))
    db.sql("SELECT pg_reload_conf()")

    # On the first.
    def text(host):
        return (f"[coordinator]\npublic = {host.ip4}\n[store]\n"
                f"postgres = host={db.host.ip4} dbname=p2pvpn user=p2pvpn passfile={secret}\n")

    def put(host, path, stdin):
        host.run("sh", "-c", f"mkdir -p {path.rpartition('/')[0]}; umask 077; cat >{path}", stdin=stdin)
        host.run("chown", owner, path)

    owner = one.run("stat", "-c", "%u:%g", state).out.strip()
    put(one, conf, text(one))
    put(one, secret, f"{db.host.ip4}:5432:p2pvpn:p2pvpn:hunter2\n")
    first.end()
    out = one.run(operate, "import").out
    check("are in PostgreSQL now" in out and not out.startswith("0 "), out)
    first.start()
    wait_home([a, b], one)

    # On the second, which the package has given a state directory.
    two.run("install", "-d", "-m", "700", "-o", owner.split(":")[0], "-g", owner.split(":")[1], state)
    put(two, conf, text(two))
    for path in (secret, f"{state}/coordinator.key", f"{state}/create.key"):
        put(two, path, one.run("cat", path).out)
    second.start()
    for h in (one, two):
        wait(f"{h.name} to know of both", lambda h=h: "2 coordinators" in h.run(operate, "status").out)
    a.ctl("network", "coordinators", "address", f"{one.ip4}:3478,{two.ip4}:3478")
    wait("b to know both", lambda: two.ip4 in b.ctl("network", "coordinators").out)

    # An upgrade of the first; then back to a database of its own.
    one.run(operate, "drain")
    wait_home([a, b], two)
    first.restart()
    wait("the first to be back", lambda: "2 coordinators" in two.run(operate, "status").out)
    r = one.run(operate, "export", check_rc=False)
    check(r.code != 0 and "runs" in r.err, f"an export while it runs: {r}")
    first.end()
    second.end()
    check("are in the state directory now" in one.run(operate, "export").out, "export")
    one.run("sh", "-c", f"sed -i '/store/,$d' {conf}")
    first.start()
    wait_home([a, b], one, 90)
    check("hunter2" not in first.program.text() + second.program.text(), "the password is in a log")
