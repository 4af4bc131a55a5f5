# SPDX-License-Identifier: MIT
"""The relay: by coturn's turnutils_uclient with turnutils_peer as the peer, and by nodes: who meets nowhere else meets
there, and it is left without losing a packet."""
import json
import os
import re
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor

from lab import Skip, Stopwatch, answered, check, equal, scenario, wait
from turnlab import coordinator_status, relayed, restart_under_traffic

PROGRAMS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs")
FLOOD, RESERVE = (os.path.join(PROGRAMS, name) for name in ("turnflood.py", "turnreserve.py"))
CONF = """[relay]
ports = 50000-50999
allocations-per-user = 1000
{more}
[turn-user alice]
password-file = /etc/p2pvpn/alice.password
"""


def server(lab, more="", args=()):
    """A coordinator that relays for alice, a client and a peer, all with addresses of their own."""
    for program in ("turnutils_uclient", "turnutils_peer"):
        if shutil.which(program) is None:
            raise Skip(f"{program} is not installed (Debian package coturn)")
    host = lab.host("coord")
    host.run("mkdir", "-p", "/etc/p2pvpn")
    host.run("sh", "-c", "cat > /etc/p2pvpn/coordinator.conf", stdin=CONF.format(more=more))
    host.run("sh", "-c", "cat > /etc/p2pvpn/alice.password", stdin="s3cret\n")
    coordinator = lab.coordinator(host, args=args)
    client = lab.host("client")
    peer = lab.host("peer")
    program = peer.start("turnutils_peer", "-L", peer.ip4, "-p", "3480")

    def listening():
        program.must_run()
        return peer.run("ss", "-Hlun", "sport = :3480").out.strip()
    wait("the peer to listen", listening)
    return coordinator, client, peer


def uclient(client, coordinator, peer, *options, user="alice", password="s3cret"):
    return client.run("turnutils_uclient", "-u", user, "-w", password, "-e", peer, "-r", "3480",
                      *options, coordinator.public(), check_rc=False, timeout=90)


def all_arrived(r, what):
    text = r.out + r.err
    m = re.findall(r"Total lost packets (\d+)", text)
    equal(m[-1:], ["0"], f"packets lost, {what}: {text[-2000:]}")
    sent = re.findall(r"tot_send_msgs=(\d+), tot_recv_msgs=(\d+)", text)
    check(sent and sent[-1][0] == sent[-1][1] and int(sent[-1][0]) > 0,
          f"messages, {what}: {text[-2000:]}")


TLS = ("-t", "-S", "-p", "443")


def all_at_once(client, coordinator, peer, rows):
    """Every row of options with a uclient of its own: each takes 5 s, most of them waiting."""
    with ThreadPoolExecutor(len(rows)) as pool:
        for options, r in [(o, pool.submit(uclient, client, coordinator, peer.ip4, *o))
                           for o in rows]:
            all_arrived(r.result(), " ".join(options))
    coordinator.program.must_run()


@scenario
def uclient_relays_by_udp_tcp_and_tls(lab):
    coordinator, client, peer = server(lab, args=["--tls-listen", "0.0.0.0:443"])
    all_at_once(client, coordinator, peer, [(*o, "-n", "10", "-m", "2") for o in (
        (), ("-s", "-g"),                      # channels; Send indications, DONT-FRAGMENT
        ("-t",), ("-D",),                      # TCP; channels padded as pjnath does
        TLS, (*TLS, "-s"), ("-t", "-S", "-p", "3478"),
        ("-y", "-c"), (*TLS, "-y", "-c"),      # between two clients that are both relayed here
        ("-G",), ("-B",),                      # more requests than needed; clients that vanish
        ("-Z",),                               # both families in one allocation
    )])
    status = coordinator_status(coordinator)
    check(status["relay"]["static_bytes"] > 10000 and status["relay"]["member_bytes"] == 0,
          f"status counts {status['relay']}")
    equal([(u["name"], u["bytes"]) for u in status["relay"]["users"]],
          [("alice", status["relay"]["static_bytes"])], "bytes by user")
    check("s3cret" not in json.dumps(status), "status has a password")


@scenario
def uclient_misbehaves_and_the_relay_goes_on(lab):
    """Broken messages (-R), wrong requests (-N), allocations opened and left alone (-O)."""
    coordinator, client, peer = server(lab)
    with ThreadPoolExecutor(3) as pool:
        for option in ("-R", "-N", "-O"):  # it may wait for ever for answers to nonsense
            pool.submit(client.run, "timeout", "4", "turnutils_uclient", "-u", "alice", "-w",
                        "s3cret", "-e", peer.ip4, option, "-n", "3", "-m", "5",
                        coordinator.public(), check_rc=False)
    coordinator.program.must_run()
    all_arrived(uclient(client, coordinator, peer.ip4, "-n", "5", "-m", "1"), "afterwards")


@scenario
def uclient_is_refused_what_is_not_allowed(lab):
    coordinator, client, peer = server(lab)
    r = uclient(client, coordinator, peer.ip4, "-n", "1", "-c", password="wrong")
    check(r.code != 0, f"a wrong password: {r}")
    for address in ("127.0.0.1", "10.0.0.1", coordinator.public()):
        r = uclient(client, coordinator, address, "-n", "1", "-c", "-v")
        check("403" in r.out + r.err, f"peer {address}: {r}")
    all_arrived(uclient(client, coordinator, peer.ip4, "-n", "5", "-m", "1"), "afterwards")


@scenario
def one_user_does_not_reserve_the_ports_of_all(lab):
    """Allocations end at once, and the ports that were reserved with them are held for 30 s: a quarter of what alice
    may have, 250 ports, and so bob finds some."""
    bob = "[turn-user bob]\npassword-file = /etc/p2pvpn/alice.password"
    coordinator, client, peer = server(lab, more=bob)
    hostile = lab.host("hostile")
    flood = hostile.start("python3", RESERVE, coordinator.host.ip4, "alice", "s3cret")
    wait("the first refusal", lambda: flood.must_run() or "granted=" in flood.text(), 60)
    granted = int(re.search(r"granted=(\d+)", flood.text())[1])
    # Where it takes long, the first of them have ended meanwhile.
    check(0 < granted < 500, f"{granted} ports were reserved")
    all_arrived(uclient(client, coordinator, peer.ip4, "-n", "5", "-m", "2", user="bob"), "bob beside alice")
    flood.must_run()


@scenario
def without_the_relay_nobody_answers(lab):
    coordinator, client, peer = server(lab, args=["--no-relay"])
    r = client.run("timeout", "3", "turnutils_uclient", "-u", "alice", "-w", "s3cret", "-e",
                   peer.ip4, "-r", "3480", "-n", "1", coordinator.public(), check_rc=False)
    check(r.code != 0, f"it allocated: {r}")
    check(coordinator.url().startswith("p2pvpn://"), "the coordinator goes on")


def resident(program):
    """KiB that the program has in memory."""
    with open(f"/proc/{program.pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))


@scenario(long="takes a minute, and unit/test_turns has it without sockets")
def ten_thousand_allocations_are_abandoned(lab):
    """Opened over TCP and TLS and cut; members talk over the same relay meanwhile, and memory and
    sockets come back."""
    os.environ["ASAN_OPTIONS"] += ":quarantine_size_mb=2"  # or freed memory stays in use
    coordinator, client, _ = server(lab, args=["--tls-listen", "[::]:443"])
    lans = [lab.lan(n, "profile=symmetric") for n in ("east", "west")]
    a, b = (lab.host(n, lan) for n, lan in zip("ab", lans))
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    check(a.os_ping(a.addr(b)), "the first ping is lost")
    # From many networks: each has its own rate of unauthenticated answers.
    client.ip(*(f"addr add 2001:db8:10{i:02x}::1/128 dev lo nodad" for i in range(256)))
    coordinator.host.ip(f"route add 2001:db8:1000::/40 via {client.ip6}")
    flood = client.start("python3", FLOOD, coordinator.host.ip6, "10000", "alice", "s3cret")
    wait("the first two thousand", lambda: "allocations=2000" in flood.text(), 120)
    before = resident(coordinator.program)
    while "done" not in flood.text():
        flood.must_run()
        check(a.os_ping(a.addr(b), count=20), "members were not served: " + flood.text())
    wait("the relay sockets to be closed", lambda: int(coordinator.host.run(
        "sh", "-c", "ss -Hlun | grep -c ':50[0-9][0-9][0-9] ' || true").out) == 0)
    check("allocations=10000" in flood.text(), "not all were made: " + flood.text())
    after = resident(coordinator.program)
    check(after < before + 8192, f"memory grew from {before} to {after} KiB")
    check(a.os_ping(a.addr(b)), "afterwards")


# ---- nodes -----------------------------------------------------------------------------------------

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
    check("relay" in a.ctl("why", "b", "-l").out, "why does not name the relay")
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


@scenario(whole="half a minute of waiting")
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
    ping = a.start("ping", "-n", "-i", "0.02", "-c", "550", str(a.addr(b)), name="ping")
    a.run("nft", "delete", "table", "inet", "wall")
    a.wait_direct(b)
    wait("ping to end", lambda: not ping.running())
    equal(answered(ping.text(), 500), 500, "pings in a row while the relay is left")
    check("DUP" not in ping.text(), "packets came twice")
    ping = a.start("ping", "-n", "-i", "0.02", "-c", "250", str(a.addr(b)), name="ping2")
    wait("ping to run", lambda: "icmp_seq=50 " in ping.text())
    watch = Stopwatch()
    a.nft(WALL)
    wait("a to be on the relay again", lambda: relayed(a, b))
    held = watch.held()
    wait("ping to end", lambda: not ping.running())
    lost = 250 - ping.text().count("bytes from")
    check(lost <= 55 + 50 * held, f"{lost} packets of 50 a second were lost before the relay carried on")
