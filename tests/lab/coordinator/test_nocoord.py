# SPDX-License-Identifier: MIT
"""The coordinator is gone: nodes that restart, and one that moved, find each other without it."""
import signal

from lab import SLOW, Stopwatch, answered, check, equal, scenario, wait

BACK = 5  # seconds from the restart to the first answered ping, as promised


def trio(lab):
    """One public node and two behind port-restricted NATs, all with direct paths."""
    coordinator = lab.coordinator()
    a = lab.host("a")
    b, c = (lab.host(n, lab.lan(f"lan{n}", "profile=port-restricted", "delay=10ms"))
            for n in "bc")
    lab.network(coordinator, [a, b, c])
    for x, y in ((a, b), (b, c), (c, a)):
        x.wait_direct(y)
        y.wait_direct(x)
    return coordinator, a, b, c


def back(watch, x, address):
    """Pings until one is answered; the time that took."""
    wait(f"{x.name} to reach {address} again", lambda: x.os_ping(address, timeout=1))
    return watch.seconds()


def status(h):
    return h.json("status")["coordinator"]


@scenario
def all_restart_and_one_has_moved(lab):
    coordinator, a, b, c = trio(lab)
    address = {h.name: h.addr() for h in (a, b, c)}
    port = a.json("status")["interface"]["port"]
    coordinator.end(signal.SIGKILL)
    for h in (a, b, c):
        h.stop_daemon(signal.SIGKILL)
    cafe = lab.lan("cafe", "profile=port-restricted", "delay=5ms")
    c.ip("link del eth0")
    lab.attach(c, cafe)

    watch = Stopwatch()
    for h in (a, b, c):
        h.daemon(wait_ready=False)
    times = {f"{x.name} to {y.name}": back(watch, x, address[y.name])
             for x, y in ((c, a), (b, a), (b, c), (c, b))}
    print("pings back after " + ", ".join(f"{k} {t:.2f} s" for k, t in times.items()))
    for k, t in times.items():
        check(t <= BACK * SLOW, f"{k} took {t:.2f} s, not {BACK} s")

    check(a.json("status")["interface"]["port"] == port, "the UDP port is another one")
    r = a.ctl("peers", code=9)
    check("b" in r.out and "direct" in r.out, f"peers does not list them: {r}")
    check(status(a)["connected"] is False and status(a)["reached_without"] == 2,
          f"status: {status(a)}")
    check("2 peers reached without it" in a.ctl("status", "-l").out, a.ctl("status", "-l").out)
    why = b.ctl("why", "a", "-l").out
    check(f"cached address {a.ip4}:{port}" in why, why)
    why = b.ctl("why", "c", "-l").out
    check("through a" in why and cafe.public in why, why)

    # Chat works in that state too.
    b.ctl("send", "c", "no coordinator needed")
    wait("the message to arrive",
         lambda: any(m["text"] == "no coordinator needed" for m in c.json("inbox")["messages"]))

    # A member that is removed now stays out.
    a.ctl("remove", "b", code=9)
    wait("c to hear of the removal",
         lambda: '"b"' not in c.ctl("peers", "--json", check_rc=False).out)
    check(not c.os_ping(address["b"], timeout=1), "the removed node is still answered")

    # And when it is back nothing is disturbed.
    pings = c.start("ping", "-n", "-i", "0.1", "-c", "70", "-W", "15", address["a"], name="pings")
    coordinator.start()
    wait("a and c to be connected again", lambda: status(a)["connected"] and status(c)["connected"],
         timeout=40)
    pings.ended()
    equal(answered(pings.text(), 60), 60, "pings in a row")
    wait("b to be told by the coordinator",
         lambda: "removed" in b.ctl("status", "-l", check_rc=False).out, timeout=40)


@scenario
def one_side_restarts_and_the_address_is_older(lab):
    """The newest address no longer leads there, an older one does: b goes back to where it was."""
    coordinator = lab.coordinator()
    first = lab.lan("first", "profile=full-cone", "delay=10ms")
    a, b = lab.host("a", lab.lan("lana", "profile=port-restricted")), lab.host("b", first)
    lab.network(coordinator, [a, b])
    a.wait_direct(b)
    b.ip("link del eth0")
    lab.attach(b, lab.lan("second", "profile=full-cone", "delay=10ms"))
    wait("a to reach b in its second network",
         lambda: a.wait_direct(b)["remote"].startswith(b.lan.public))
    address = a.addr(b)
    coordinator.end(signal.SIGKILL)
    for h in (a, b):
        h.stop_daemon(signal.SIGKILL)
    b.ip("link del eth1")
    first.next_host -= 1  # the same place as before
    lab.attach(b, first)
    watch = Stopwatch()
    for h in (b, a):
        h.daemon(wait_ready=False)
    t = back(watch, a, address)
    check(t <= BACK * SLOW, f"took {t:.2f} s, not {BACK} s")
