# SPDX-License-Identifier: MIT
"""Many strangers at the coordinator's TCP ports: newcomers and members get in all the same."""
import json
import time

from lab import SLOW, check, scenario, wait

NETWORKS = 24


def flood_from(lab, coordinator, rate, kind, port):
    """A machine with 24 /24s that opens half-begun connections, for as long as the test may take."""
    attacker = lab.host("attacker", ipv6=False)
    attacker.ip(*[f"addr add 100.64.{net}.{host}/32 dev lo"
                  for net in range(NETWORKS) for host in range(1, 9)])
    coordinator.host.ip(f"route add 100.64.0.0/16 via {attacker.ip4}")
    command = (f"ulimit -n $(ulimit -H -n); exec {lab.bin('connflood')} {coordinator.public()}"
               f" {port} {NETWORKS} {rate} {int(60 * SLOW)} {kind}")
    return attacker.start("sh", "-c", command, name="connflood")


def came(coordinator):
    """How many connections and handshakes have come to the coordinator, let in or not."""
    r = coordinator.host.run(coordinator.lab.bin("p2pvpn-coordinator"), "status", "--json")
    status = json.loads(r.out)
    return status["connections"]["accepted"] + status["limits"]["connections_of_a_source"]


def within(what, seconds, begin, condition):
    began = time.monotonic()
    begin()
    wait(what, condition)
    took = time.monotonic() - began
    check(took < seconds * SLOW, f"{what} took {took:.1f} s, not under {seconds:.1f}")


def get_in(lab, rate, kind):
    """A node joins and a member restarts, in under 5 s each or six times what two take before strangers come."""
    args = ["--tls-listen", "0.0.0.0:443"]
    coordinator = lab.coordinator(lab.host("coord"), args=args)
    blocked = ["udp=off", "tcp=443"] if kind == "tls" else []
    east = lab.lan("east", "profile=port-restricted", *blocked)
    a, b, c = lab.host("a"), lab.host("b", east), lab.host("c", east)
    began = time.monotonic()
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    longest = max(5, 6 * (time.monotonic() - began))  # the machine may be busy
    token = a.ctl("invite").out.strip()
    c.daemon()
    attack = flood_from(lab, coordinator, rate, kind, 443 if kind == "tls" else 3478)
    # Two seconds at this rate: more than there are places for strangers.
    wait("the flood to fill the places", lambda: came(coordinator) > 2 * rate)

    within("joining", longest, lambda: None, lambda: c.ctl("join", token, "--name", "c", timeout=60))
    within("a member's return", longest, b.restart_daemon,
           lambda: b.json("status")["coordinator"]["connected"])
    a.wait_peer(b)
    attack.must_run()  # all the time
    coordinator.program.must_run()


@scenario
def strangers_by_tcp(lab):
    get_in(lab, 3000, "plain")


@scenario(whole="thousands of handshakes; TCP is tried")
def strangers_by_tls(lab):
    get_in(lab, 3000, "tls")


@scenario(long="a flood at full rate needs a processor of its own and no sanitizers")
def many_strangers_by_tcp(lab):
    get_in(lab, 7000, "plain")


@scenario(long="a flood at full rate needs a processor of its own and no sanitizers")
def many_strangers_by_tls(lab):
    get_in(lab, 7000, "tls")
