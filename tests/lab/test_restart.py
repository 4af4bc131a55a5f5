# SPDX-License-Identifier: MIT
"""Programs that end, crash and come back; NATs that forget."""
import os
import random
import signal

from lab import SLOW, Stopwatch, check, equal, pause, scenario, wait


def pair(lab, *settings):
    coordinator = lab.coordinator()
    lans = [lab.lan(n, "profile=port-restricted", "delay=10ms", *settings)
            for n in ("east", "west")]
    a, b = (lab.host(n, lan) for n, lan in zip("ab", lans))
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    b.wait_peer(a)
    a.wait_direct(b)
    return coordinator, a, b


def reaches(a, b):
    address = a.addr(b)
    wait(f"{a.name} to reach {b.name} again", lambda: a.os_ping(address, timeout=1))


@scenario
def a_node_that_restarts_is_found_at_once(lab):
    _, a, b = pair(lab)
    address = a.addr(b)
    for sig in (signal.SIGTERM, signal.SIGKILL):
        b.restart_daemon(sig)
        equal(b.addr(), address, "address after a restart")
        watch = Stopwatch()
        reaches(a, b)
        # a second, by the clock, from the moment the daemon answers; slack for a busy machine
        check(watch.seconds() < 4 * SLOW, f"found after {watch.seconds():.1f} s")
        a.wait_direct(b)


@scenario
def the_coordinator_may_go_and_come(lab):
    coordinator, a, b = pair(lab)
    for sig in (signal.SIGTERM, signal.SIGKILL):
        coordinator.end(sig)
        check(a.os_ping(a.addr(b)), "ping while the coordinator is away")
        coordinator.start()
        wait("a to be back", lambda: a.ctl("invite", check_rc=False).code == 0, timeout=40)
        c = lab.host(f"c{sig}")
        c.daemon()
        c.join(a.ctl("invite").out.strip())
        for h in (a, b):
            h.wait_peer(c, timeout=40)
        check(b.os_ping(b.addr(c)), "ping to a node that joined after the restart")


@scenario
def killed_at_any_moment_the_state_is_whole(lab):
    """Coordinator and nodes are killed while they join, talk and store; nothing acknowledged is
    lost, and every program starts again by itself."""
    rng = random.Random(int(os.environ.get("SEED") or 1))
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    a.daemon()
    b.daemon()
    a.create(coordinator.url())
    b.join(a.ctl("invite").out.strip())
    a.wait_peer(b)
    sent = []
    for i in range(6):
        victim = rng.choice(["coordinator", "a", "b"])
        work = a.start(lab.bin("p2pvpnctl"), "send", "b", f"message {i}", name="send")
        pause(rng.random() * 0.05, "so that the kill falls anywhere in the work")
        if victim == "coordinator":
            coordinator.end(signal.SIGKILL)
            coordinator.start()
        else:
            h = a if victim == "a" else b
            h.restart_daemon(signal.SIGKILL)
        code = work.ended()
        if code == 0:
            sent.append(f"message {i}")
    a.wait_peer(b, timeout=40)
    got = []

    def arrived():
        got.extend(m["text"] for m in b.json("inbox")["messages"])
        return set(sent) <= set(got)
    wait(f"{sent} to arrive", arrived, timeout=40)
    equal(len(got), len(set(got)), f"messages that came twice: {got}")
    equal([m for m in got if m in sent], sent, "order of the messages")


@scenario
def a_nat_that_forgets_is_survived(lab):
    _, a, b = pair(lab)
    for lan in (a.lan, b.lan):
        lan.nat.flush()
        reaches(a, b)
        a.wait_direct(b)
    a.lan.nat.flush()
    b.lan.nat.flush()
    reaches(a, b)
    b.wait_direct(a)


@scenario
def an_address_that_changes_is_survived(lab):
    """The laptop is carried to another network."""
    _, a, b = pair(lab)
    cafe = lab.lan("cafe", "profile=address-restricted", "delay=5ms")
    a.ip("link del eth0")
    lab.attach(a, cafe)
    reaches(b, a)
    path = b.wait_direct(a)
    check(cafe.public in path["remote"], f"b reaches a at {path['remote']}, not {cafe.public}")


DEAD_STREAM = """
table inet dead {{
    chain forward {{
        type filter hook forward priority 0;
        ip saddr {0} tcp sport {1} drop
        ip daddr {0} tcp dport {1} drop
    }}
}}
"""


@scenario
def a_dead_stream_to_the_coordinator_is_noticed_by_who_sends(lab):
    """A NAT that restarts may give the same port again: UDP goes on, and the connection to the coordinator carries
    nothing any more, without a word. A member that sends to one that came meanwhile finds out sooner than 25 s later,
    when the coordinator has been silent for too long (adr/0088)."""
    coordinator, a, b = pair(lab)
    b.stop_daemon()
    wait("a to know that b is away", lambda: not a.peer(b)["online"])
    streams = a.run("ss", "-Htn", "state", "established", "dst", coordinator.host.ip4).out.split()
    port = streams[2].rpartition(":")[2]
    a.lan.ns.nft(DEAD_STREAM.format(a.ip4, port))
    a.lan.nat.flush()  # or b, which tries where a was while it waits for the coordinator, would tell a itself
    b.daemon()
    b.wait_peer(a)  # the coordinator does not know of it, either
    check(not a.peer(b)["online"], "a was told that b is back")
    watch = Stopwatch()
    reaches(a, b)
    print(f"        found after {watch.seconds():.1f} s", flush=True)
    check(watch.seconds() < 18 * SLOW, f"found after {watch.seconds():.1f} s")
