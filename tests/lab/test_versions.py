# SPDX-License-Identifier: MIT
"""Today's programs and those of another version, in one network and one after the other on one state.

PV_LAB_OTHER names the build directory of the other version; without it these are skipped.
scripts/check --long builds the first release for it, and the version before the second review.
"""
import functools
import hashlib
import os
import random
import subprocess
import time

from clusterlab import Cluster
from lab import OTHER, Skip, check, equal, scenario, wait


def need_other():
    if not OTHER:
        raise Skip("PV_LAB_OTHER is not set")


@functools.cache
def is_first():
    """Is the other version the first release? It knows no conditions of invites and proves no chat."""
    r = subprocess.run([os.path.join(OTHER, "bin/p2pvpnctl"), "invite", "-h"], capture_output=True, text=True)
    return "--member-for" not in r.stdout


def expect_text(host, text):
    """It comes once, and nothing else does."""
    got = []

    def there():
        got.extend(m["text"] for m in host.json("inbox")["messages"])
        return got
    wait(f"a message to reach {host.name}", there)
    equal(got, [text], f"messages of {host.name}")


def need_first():
    need_other()
    if not is_first():
        raise Skip("the other version knows the conditions")


def send_file(lab, x, y):
    """A file from x to y, whole, and nothing of it left at the daemons."""
    data = random.Random(7).randbytes(300000)
    with open(f"/proc/{x.holder.pid}/root/run/to-{y.name}", "wb") as f:
        f.write(data)
    sender = x.start(lab.bin("p2pvpnctl", x.other), "send-file", y.name, f"/run/to-{y.name}",
                     name=f"file-{x.name}-{y.name}")

    def offered():
        return [f for f in y.json("files")["files"] if f["state"] == "offered"]
    number = wait(f"{y.name} to hear of the file", offered)[0]["id"]
    y.run("mkdir", "-p", "/run/got")
    y.ctl("files", "accept", str(number), "--dir", "/run/got", timeout=60)
    equal(sender.ended(), 0, "exit code of send-file")
    got = y.run("sh", "-c", "sha256sum /run/got/*; rm /run/got/*").out.split()[0]
    equal(got, hashlib.sha256(data).hexdigest(), f"checksum at {y.name}")


def all_works(lab, a, b, tag):
    a.wait_peer(b)
    b.wait_peer(a)
    for x, y in ((a, b), (b, a)):
        # A packet that leaves while the other side restarts is lost: as with any two versions. A node of the
        # first release gives up its session when a key changes: a path that falls silent is noticed
        # in 4 s, and the handshake after that may be its second, 5 s later.
        wait(f"{x.name} to reach {y.name}",
             lambda: x.ping(y, "-c", 1, "--timeout", 2, check_rc=False).code == 0)
        check(x.os_ping(x.addr(y), timeout=10), f"{tag}: a ping from {x.name}")
        if x.other == y.other or not is_first():
            x.ctl("send", y.name, f"{tag} from {x.name}")
            expect_text(y, f"{tag} from {x.name}")
            send_file(lab, x, y)
        elif y.other:  # the first release cannot prove that chat comes from it
            check("too old to prove" in x.ctl("why", y.name).out, f"{tag}: `why {y.name}`")


def pair(lab, old, profile):
    """A network of a and b; old: the names of those that run the other version."""
    need_other()
    coordinator = lab.coordinator(start=False)
    coordinator.other = "coord" in old
    coordinator.start()
    a, b = (lab.host(n, lab.lan(lan, f"profile={profile}", "delay=5ms"))
            for n, lan in (("a", "east"), ("b", "west")))
    for h in (a, b):
        h.other = h.name in old
    lab.network(coordinator, [a, b])
    return coordinator, a, b


def mixed(lab, *old, profile="port-restricted"):
    _, a, b = pair(lab, old, profile)
    all_works(lab, a, b, "mixed")
    if profile == "symmetric":
        return
    a.wait_direct(b)
    equal([b.peer(a)["path"]["type"], a.peer(b)["path"]["type"]], ["direct"] * 2, "paths")
    a.ctl("remove", "b")
    wait("b to be out", lambda: a.peer(b) is None)


@scenario
def an_old_coordinator(lab):
    mixed(lab, "coord")


@scenario
def an_old_node_makes_the_network(lab):
    mixed(lab, "a")


@scenario
def an_old_node_joins(lab):
    mixed(lab, "b")


@scenario
def only_the_coordinator_is_new(lab):
    mixed(lab, "a", "b")


@scenario
def over_the_relay(lab):
    mixed(lab, "a", profile="symmetric")


def rotate(lab, *old):
    """Today's a replaces its transport key, and is reached by what knows one key of a node at a time,
    also after a restart, when it shows a key to the coordinator first."""
    _, a, b = pair(lab, old, "port-restricted")
    a.wait_direct(b)
    before = a.ctl("ip", "--wg-key").out
    a.ctl("key", "rotate")
    check(a.ctl("ip", "--wg-key").out != before, "it has the same key")
    all_works(lab, a, b, "after the change")
    a.restart_daemon()
    all_works(lab, a, b, "after a restart")


@scenario
def a_key_changes_beside_an_old_node(lab):
    rotate(lab, "b")


@scenario
def a_key_changes_at_an_old_coordinator(lab):
    rotate(lab, "coord")


@scenario
def sessions_beside_an_old_node_are_classical_and_named(lab):
    _, a, b = pair(lab, ("b",), "port-restricted")
    a.wait_direct(b)
    b.wait_direct(a)
    all_works(lab, a, b, "classical")
    equal(a.peer(b)["session"], "classical", "keys of the session")
    check("not post-quantum: " in a.ctl("why", "b").out, "why does not say so")


def coordinator_kind(host):
    return host.json("status")["post_quantum"]["coordinator"]


@scenario
def an_old_coordinator_carries_hybrid_boxes(lab):
    """Its own channel is classical; what it carries and keeps for members is not, where they can."""
    coordinator, a, b = pair(lab, ("coord",), "port-restricted")
    if a.json("status")["post_quantum"]["state"] == "unable":
        raise Skip("these programs have no ML-KEM")
    all_works(lab, a, b, "first")
    wait("hybrid keys", lambda: [a.peer(b)["session"], b.peer(a)["session"]] == ["hybrid"] * 2)
    equal([coordinator_kind(a), coordinator_kind(b)], ["classical"] * 2, "control channels")
    wait("a to have the key of b for boxes",
         lambda: "signals and stored copies for it are post-quantum" in a.ctl("why", "b").out)
    b.stop_daemon()
    wait("b to be offline", lambda: not a.peer(b)["online"], timeout=40)
    text = "x" * 16384  # the longest, so that its box is longer than the first release knows
    a.ctl("send", "b", "-", stdin=text)
    wait("the copy to be at the coordinator",
         lambda: coordinator.sql("SELECT count(*) FROM mail") == "1")
    equal(coordinator.sql("SELECT hex(substr(box, 1, 4)) FROM mail"), "70713100", "how it begins")
    a.stop_daemon()
    b.daemon()
    expect_text(b, text)


@scenario
def an_old_node_gets_the_boxes_that_it_can_open(lab):
    """Beside an old node at a coordinator of today only that node's part is classical."""
    coordinator, a, b = pair(lab, ("b",), "port-restricted")
    if a.json("status")["post_quantum"]["state"] == "unable":
        raise Skip("these programs have no ML-KEM")
    all_works(lab, a, b, "first")
    equal(coordinator_kind(a), "hybrid", "control channel of today's node")
    b.stop_daemon()
    wait("b to be offline", lambda: not a.peer(b)["online"], timeout=40)
    a.ctl("send", "b", "while b was away")
    wait("the copy to be at the coordinator",
         lambda: coordinator.sql("SELECT count(*) FROM mail") == "1")
    a.stop_daemon()
    b.daemon()
    expect_text(b, "while b was away")


@scenario
def an_invite_with_conditions_admits_nobody_of_before(lab):
    """Neither a node nor a coordinator of before knows the conditions, so neither lets anybody in by
    such an invite, and everybody else is as before."""
    need_first()
    _, a, b = pair(lab, ("b",), "port-restricted")
    token = a.ctl("invite", "--member-for", "90d").out.strip()
    c = lab.host("c", lab.lan("south", "profile=port-restricted", "delay=5ms"))
    c.other = True
    c.daemon()
    r = c.ctl("join", token, "--name", "c", check_rc=False)
    check(r.code != 0 and r.err.strip(), f"an old node joined by it: {r}")
    c.ctl("join", a.ctl("invite").out.strip(), "--name", "c")
    a.wait_peer(c)
    all_works(lab, a, b, "beside")


@scenario
def an_old_coordinator_knows_no_conditions(lab):
    need_first()
    coordinator, a, b = pair(lab, ("coord",), "port-restricted")
    tokens = [a.ctl("invite", *args).out.strip() for args in (("--member-for", "90d"), ("--approve",))]
    c = lab.host("c", lab.lan("south", "profile=port-restricted", "delay=5ms"))
    c.daemon()
    for token in tokens:
        r = c.ctl("join", token, "--name", "c", check_rc=False)
        check(r.code != 0 and "needs a coordinator" in r.err, f"a join by such a token: {r}")
    all_works(lab, a, b, "beside")
    coordinator.other = False
    coordinator.restart()
    wait("c to join when the coordinator is updated",
         lambda: c.ctl("join", tokens[0], "--name", "c", check_rc=False).code == 0)
    a.wait_peer(c)


@scenario
def an_upgrade_keeps_everything(lab):
    """All old; then one program after the other becomes today's, on its own state."""
    coordinator, a, b = pair(lab, ("coord", "a", "b"), "port-restricted")
    all_works(lab, a, b, "before")
    addresses = a.addr(), b.addr()
    for who in (coordinator, a, b):
        who.other = False
        if who is coordinator:
            who.restart()
        else:
            who.restart_daemon()
        all_works(lab, a, b, f"after {getattr(who, 'name', 'coord')}")
    equal((a.addr(), b.addr()), addresses, "addresses")
    texts = [m["text"] for m in a.json("history", "b")["messages"]]
    check("before from a" in texts and "before from b" in texts, f"history of a: {texts}")


@scenario
def old_nodes_follow_the_home_of_their_network(lab):
    """They wait after a refusal and race the same addresses again; both coordinators are today's."""
    need_other()
    cluster = Cluster(lab)
    a, b, c = nodes = [lab.host(n) for n in "abc"]
    for n in nodes:
        n.other = n is not a
        n.daemon()
    a.create(cluster.url)
    a.ctl("network", "coordinators", "address", ",".join(f"{h.ip4}:3478" for h in cluster.hosts))
    for n in (b, c):
        n.join(a.ctl("invite").out.strip())

    def all_there(what):
        t0 = time.monotonic()
        for n in nodes:
            wait(f"{n.name} to be online {what}", lambda n=n: n.json("status")["coordinator"]["connected"], 60)
        for x, y in ((a, b), (b, c), (c, a)):
            wait(f"{x.name} to see {y.name} online {what}", lambda x=x, y=y: x.peer(y)["online"])
        print(f"all are at home {what} after {time.monotonic() - t0:.1f} s")

    all_there("at first")
    first = cluster.home()
    cluster.coordinators[first].program.kill()
    wait("their home to be elsewhere", lambda: cluster.home() == 1 - first, 60)
    all_there("after kill -9")
    cluster.coordinators[first].start()
    wait("the other to know of it", lambda: "2 coordinators" in cluster.status(1 - first))
    cluster.hosts[1 - first].run(lab.bin("p2pvpn-coordinator"), "drain")
    wait("their home to be back", lambda: cluster.home() == first, 60)
    all_there("after drain")
