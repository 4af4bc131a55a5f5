# SPDX-License-Identifier: MIT
"""The relay: who meets nowhere else meets there, and it is left without losing a packet."""
import signal

from lab import check, equal, scenario, wait
from turnlab import coordinator_status, relayed, restart_under_traffic

WALL = """
table inet wall {
    chain out { type filter hook output priority 0; udp dport != 3478 drop; }
    chain in { type filter hook input priority 0; udp sport != 3478 drop; }
}
"""


@scenario
def symmetric_nats_talk_through_the_coordinator(lab):
    coordinator = lab.coordinator()
    lans = [lab.lan(n, "profile=symmetric", "delay=10ms") for n in ("east", "west")]
    a, b = (lab.host(n, lan) for n, lan in zip("ab", lans))
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    check(a.os_ping(a.addr(b)), "the first ping is lost")
    check(a.os_ping(a.addr(b), count=20), "twenty pings over the relay")
    for x, y in ((a, b), (b, a)):
        path = wait(f"{x.name} to be on the relay", lambda: relayed(x, y))
        check(path["via"].endswith(":3478"), f"via is {path['via']}")
    equal(a.ctl("ping", "b", "-c", 1, "--direct", check_rc=False).code, 10, "ping --direct")
    check("relay" in a.ctl("why", "b").out, "why does not name the relay")
    status = a.json("status")["relay"]
    check(status["tx_bytes"] > 0 and status["rx_bytes"] > 0, f"status counts {status}")
    there = coordinator_status(coordinator)
    equal((there["networks"], there["online"], there["connections"]["members"]), (1, 2, 2),
          "networks, nodes online and connections of members")
    relay = there["relay"]
    equal((relay["member_allocations"], relay["static_packets"]), (2, 0), "allocations, others")
    check(relay["member_packets"] >= 42 and relay["member_bytes"] > 42 * 64, f"relayed: {relay}")
    lines = coordinator.host.run(lab.bin("p2pvpn-coordinator"), "status").out
    check("2 allocations of members" in lines and "nodes online  2\n" in lines, lines)
    for sig in (signal.SIGTERM, signal.SIGKILL):
        restart_under_traffic(coordinator, a, b, sig)


@scenario
def a_firewall_with_one_door_rises_and_falls(lab):
    """Only the coordinator is let through: relayed at once. The wall falls: direct, and nothing is
    lost on the way. It rises again under traffic: relayed again within a second."""
    coordinator = lab.coordinator()
    a = lab.host("a")
    b = lab.host("b", lab.lan("home", "profile=port-restricted", "delay=5ms"))
    a.nft(WALL)
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    check(a.os_ping(a.addr(b)), "the first ping is lost")
    wait("a to be on the relay", lambda: relayed(a, b))
    ping = a.start("ping", "-n", "-i", "0.02", "-c", "500", str(a.addr(b)), name="ping")
    a.run("nft", "delete", "table", "inet", "wall")
    a.wait_direct(b, timeout=20)
    wait("ping to end", lambda: not ping.running(), 30)
    check(" 0% packet loss" in ping.text(), "leaving the relay lost packets: " + ping.text()[-200:])
    check("DUP" not in ping.text(), "packets came twice")
    ping = a.start("ping", "-n", "-i", "0.02", "-c", "250", str(a.addr(b)), name="ping2")
    wait("ping to run", lambda: "icmp_seq=50 " in ping.text())
    a.nft(WALL)
    wait("a to be on the relay again", lambda: relayed(a, b), 5)
    wait("ping to end", lambda: not ping.running(), 30)
    lost = 250 - ping.text().count("bytes from")
    check(lost <= 55, f"{lost} packets of 50 a second were lost before the relay carried on")
