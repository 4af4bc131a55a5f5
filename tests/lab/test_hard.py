# SPDX-License-Identifier: MIT
"""Symmetric NATs are crossed: emulated ones and the kernel's own (TRAVERSAL 6)."""
import time

from lab import check, equal, scenario, wait


def meet(lab, lan_a, lan_b, timeout=180):
    """One host behind each; they must come to a direct path. Returns the seconds it took."""
    coordinator = lab.coordinator()
    a, b = lab.host("a", lan_a), lab.host("b", lan_b)
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    began = time.monotonic()
    a.run("ping", "-c1", "-W1", a.addr(b), check_rc=False)
    a.wait_direct(b, timeout=timeout)  # by chance, where both ends guess
    took = time.monotonic() - began
    check(a.os_ping(a.addr(b), count=5), "pings over the path that was opened")
    check(b.os_ping(b.addr(a), count=5), "pings back over it")
    print(f"    direct after {took:.2f} s")
    return a, b


def emulated(lab, name, profile):
    return lab.lan(name, f"profile={profile}", "delay=15ms", "foreign=2")


@scenario
def port_restricted_and_sequential(lab):
    a, b = meet(lab, emulated(lab, "la", "port-restricted"),
                emulated(lab, "lb", "symmetric-sequential"))
    text = a.ctl("why", "b", "-l").out
    check("their NAT uses another public port for each destination (one after the other" in text,
          f"why says\n{text}")
    hard = b.json("status")["hard_nat"]
    equal((hard["mapping"], hard["ports"], hard["kept"]), ("varies", "sequential", 1), "status")


@scenario
def two_sequential(lab):
    meet(lab, emulated(lab, "la", "symmetric-sequential"),
         emulated(lab, "lb", "symmetric-sequential"))


@scenario
def port_restricted_and_random(lab):
    a, b = meet(lab, emulated(lab, "la", "port-restricted"), emulated(lab, "lb", "symmetric"))
    hard = b.json("status")["hard_nat"]
    check(hard["packets"] <= hard["max_packets"], "the budget of one attempt")
    wait("the losers to be closed", lambda: b.json("status")["hard_nat"]["sockets"] == 0)


@scenario(whole="simulations meet with all of them")
def port_restricted_and_a_port_block(lab):
    meet(lab, emulated(lab, "la", "port-restricted"), emulated(lab, "lb", "symmetric-block"))


@scenario(whole="simulations meet with all of them")
def linux_masquerading_fully_random(lab):
    """nftables on both sides: `masquerade` against `masquerade fully-random`."""
    meet(lab, lab.masquerade("la", drop_input=True),
         lab.masquerade("lb", drop_input=True, random=True))


@scenario
def linux_routers_that_take_early_packets(lab):
    """Neither of them drops what comes in unasked: an early packet takes the port (TRAVERSAL 5)."""
    a, _ = meet(lab, lab.masquerade("la", drop_input=False),
                lab.masquerade("lb", drop_input=False, random=True))
    check("takes the port" in a.ctl("why", "b", "-l").out, a.ctl("why", "b", "-l").out)


@scenario
def linux_routers_side_by_side(lab):
    """The one that takes early packets is the other's neighbour, so that all of them would reach it. Where it takes none
    an attempt fails by chance in 1 of 300 on a busy machine (fewer of its 2,048 guesses go out in 15 s), so the next
    one, a minute later, counts, too."""
    meet(lab, lab.masquerade("la", drop_input=True, random=True, beside=True),
         lab.masquerade("lb", drop_input=False, beside=True), timeout=100)


@scenario
def switched_off_nothing_is_tried(lab):
    coordinator = lab.coordinator()
    a = lab.host("a", emulated(lab, "la", "port-restricted"))
    b = lab.host("b", emulated(lab, "lb", "symmetric"))
    a.run("sh", "-c", "cat >/run/off.conf", stdin="[traversal]\nbirthday = off\n")
    a.run("sh", "-c", "cat >/run/both.conf",
          stdin="[traversal]\nbirthday = off\npredict = off\n")
    lab.network(coordinator, [a, b])
    a.stop_daemon()
    a.daemon("--config", "/run/off.conf")
    a.wait_peer(b)
    a.run("ping", "-c1", "-W3", a.addr(b), check_rc=False)
    wait("the attempt to end", lambda: "no method" in a.ctl("trace", "b").out)
    check(a.path(b)["type"] != "direct", "a path is direct")
    hard = a.json("status")["hard_nat"]
    equal((hard["on"], hard["predict"], hard["birthday"], hard["packets"]), (True, True, False, 0),
          "status")
    a.stop_daemon()
    a.daemon("--config", "/run/both.conf")
    a.wait_peer(b)
    a.run("ping", "-c1", "-W3", a.addr(b), check_rc=False)
    check(a.path(b)["type"] != "direct", "a path is direct")
    equal(a.json("status")["hard_nat"]["on"], False, "status")
    check("attempts are off" in a.ctl("status", "-l").out, "status in words")


@scenario
def two_random_stay_on_the_relay_and_why_says_so(lab):
    coordinator = lab.coordinator()
    a = lab.host("a", emulated(lab, "la", "symmetric"))
    b = lab.host("b", emulated(lab, "lb", "symmetric"))
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    a.run("ping", "-c1", "-W3", a.addr(b), check_rc=False)
    wait("why to name both NATs",
         lambda: "both NATs stand in the way" in a.ctl("why", "b", "-l").out)
    check("random" in a.ctl("why", "b", "-l").out, "the kind of NAT")
