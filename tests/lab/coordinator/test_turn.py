# SPDX-License-Identifier: MIT
"""The TURN client of the daemon with servers that are not ours: coturn by UDP, TCP and TLS."""
import re
import signal

from lab import LONG, SLOW, Coordinator, Stopwatch, check, equal, pause, scenario, wait
from turnlab import Authority, by, coturn, relayed, relays, send_file, use_turn


@scenario
def a_stock_turn_server(lab):
    """A coordinator without a relay; coturn by UDP for one, by TCP for the other, who has no UDP."""
    coordinator = Coordinator(lab, lab.host("coord"), args=["--no-relay"])
    turn = lab.host("turn")
    coturn(lab, turn)
    east = lab.lan("east", "profile=symmetric", "delay=5ms")
    west = lab.lan("west", "profile=symmetric", "delay=5ms", "udp=off")
    a, b = lab.host("a", east), lab.host("b", west)
    use_turn(a, f"turn:{turn.ip4}:3478?transport=udp")
    use_turn(b, f"turn:{turn.ip4}")
    lab.network(coordinator, [a, b])
    wait("a to have a relay by UDP", lambda: by(a, "udp"))
    wait("b to have a relay by TCP", lambda: by(b, "tcp"))
    a.wait_peer(b)
    wait("a to reach b through coturn", lambda: a.os_ping(a.addr(b), timeout=2))
    for x, y in ((a, b), (b, a)):
        path = wait(f"{x.name} to be relayed", lambda: relayed(x, y))
        check(path["via"].startswith(turn.ip4), f"via is {path['via']}")
    check(a.os_ping(a.addr(b), count=20), "twenty pings through coturn")
    send_file(a, b, 1 << 20)
    status = b.json("status")["relay"]
    check(status["rx_bytes"] > 1 << 20, f"status counts {status}")


def s_server(host, port, cert):
    """Something that speaks TLS with this certificate."""
    program = host.start("openssl", "s_server", "-quiet", "-accept", str(port), "-cert", cert[0],
                         "-key", cert[1], name=f"s_server{port}")
    wait(f"port {port} to be open", lambda: program.must_run() or
         host.listens(port))


@scenario
def a_stock_turn_server_by_tls(lab):
    """turns: with an authority of one's own: the certificate has to be for that name, from that
    authority, and valid; what is wrong is said in the log, in status and in why."""
    coordinator = Coordinator(lab, lab.host("coord"), args=["--no-relay"])
    turn = lab.host("turn")
    ours, other = Authority(turn, "ours"), Authority(turn, "other")
    coturn(lab, turn, ours.sign("turn.example"))
    s_server(turn, 5350, ours.sign("old.example", days=-1))
    s_server(turn, 5351, other.sign("turn.example"))
    with open("/etc/hosts", "a", encoding="ascii") as f:
        f.write(f"{turn.ip4} turn.example old.example wrong.example\n")
    a = lab.host("a", lab.lan("east", "profile=symmetric", "delay=5ms", "udp=off"))
    b = lab.host("b", lab.lan("west", "profile=symmetric", "delay=5ms"))
    bad = {"turns:old.example:5350": "the server's certificate, or one it rests on, has expired",
           "turns:turn.example:5351":
               "the server's certificate is from an authority that is not trusted here",
           "turns:wrong.example:5349": "the server's certificate is for another name",
           "turns:nowhere.example:5349": "its name is not found"}
    good = "turns:turn.example:5349"
    use_turn(a, *bad, good + "?transport=tcp", ca=ours.pem())
    use_turn(b, f"turn:{turn.ip4}:3478?transport=udp")
    lab.network(coordinator, [a, b])
    wait("a to have its relay by TLS", lambda: by(a, "tls", good))
    wait("b to have its relay by UDP", lambda: by(b, "udp"))
    a.wait_peer(b)
    wait("a to reach b through coturn", lambda: a.os_ping(a.addr(b), timeout=2))
    path = wait("a to be relayed", lambda: relayed(a, b))
    check(path["via"].startswith(turn.ip4), f"via is {path['via']}")
    send_file(a, b, 1 << 20)
    status = wait("all the others to be found out",
                  lambda: (s := a.json("status")) and sum(
                      r["error"] is not None for r in s["relays"]) == len(bad) and s)
    why, log, problems = a.ctl("why", "b", "-l").out, a.p2pvpnd.text(), "\n".join(status["problems"])
    for r in status["relays"]:
        name = r["name"]
        if name == good:
            equal((r["state"], r["error"]), ("up", None), name)
            continue
        check(r["state"] == "connecting" and r["error"].startswith(bad[name]), f"status: {r}")
        check(f"cannot reach the relay {name}: {bad[name]}" in problems, f"problems: {problems}")
        check(f"cannot reach the relay {name}: {bad[name]}" in why, f"why: {why}")
        equal(log.count(f'not reached: relay={name} why="{bad[name]}'), 1, f"{name} in the log")
    b.stop_daemon()  # and without the authority the good one is not trusted either
    use_turn(b, good)
    b.daemon()
    wait("b to see whose certificate it is", lambda: "authority that is not trusted here" in
         (relays(b).get(good, {}).get("error") or ""))
    for text, words in ((None, "No such file"), ("turn.example\n", "give a PEM file")):
        use_turn(b, good, ca=text or "")
        if text is None:
            b.run("rm", "/etc/p2pvpn/ca.pem")
        r = b.run(lab.bin("p2pvpnd"), "--check", check_rc=False)
        equal(r.code, 3, f"--check: {r}")
        check("/etc/p2pvpn/ca.pem" in r.err and words in r.err and r.err.count("\n") == 1, str(r))


WALL = """
table inet wall {
    chain out { type filter hook output priority 0; oifname "eth*" udp dport != 3478 drop; }
    chain in { type filter hook input priority 0; iifname "eth*" udp sport != 3478 drop; }
}
"""
SILENCE = """
table inet silence {
    chain in { type filter hook input priority 0; udp dport 3478 drop; }
    chain out { type filter hook output priority 0; udp sport 3478 drop; }
}
"""


@scenario
def a_stock_turn_server_with_ipv6_only(lab):
    """It has no IPv4 address to give, and says so; stale-nonce: and forgets its nonces at once."""
    coordinator = Coordinator(lab, lab.host("coord"), args=["--no-relay"])
    turn = lab.host("turn")
    coturn(lab, turn, address=turn.ip6, more="stale-nonce=2\n")
    a, b = lab.host("a"), lab.host("b")
    for h in (a, b):
        h.nft(WALL)
        use_turn(h, f"turn:[{turn.ip6}]:3478?transport=udp")
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    wait("a to reach b through coturn", lambda: a.os_ping(a.addr(b), timeout=2))
    path = wait("a to be relayed", lambda: relayed(a, b))
    check(turn.ip6 in path["via"], f"via is {path['via']}")
    check(relays(a)[f"turn:[{turn.ip6}]:3478"]["relayed"].startswith(f"[{turn.ip6}]:"), "relayed")
    check(a.os_ping(a.addr(b), count=20), "twenty pings")


@scenario
def a_turn_server_of_several_addresses_that_sends_us_on(lab):
    """The first address of its name is dead; who answers at the second sends everybody to a third."""
    coordinator = Coordinator(lab, lab.host("coord"), args=["--no-relay"])
    front, back = lab.host("front"), lab.host("back")
    coturn(lab, front, more=f"alternate-server={back.ip4}:3478\n")
    coturn(lab, back)
    a, b = lab.host("a"), lab.host("b")
    net, last = b.ip4.rsplit(".", 1)
    dead = f"{net}.{int(last) + 1}"  # near a and b, so that the resolver puts it first (RFC 6724)
    with open("/etc/hosts", "a", encoding="ascii") as f:
        f.write(f"{dead} turn.example\n{front.ip4} turn.example\n")
    for h, transport in ((a, "udp"), (b, "tcp")):
        check(h.run("getent", "ahosts", "turn.example").out.startswith(f"{dead} "), "first is dead")
        h.nft(WALL)
        use_turn(h, f"turn:turn.example:3478?transport={transport}")
    lab.network(coordinator, [a, b])
    for h, transport in ((a, "udp"), (b, "tcp")):
        r = wait(f"{h.name} to have a relay", lambda: by(h, transport))
        check(r["relayed"].startswith(f"{back.ip4}:"), f"relayed: {r}")
    a.wait_peer(b)
    wait("a to reach b through coturn", lambda: a.os_ping(a.addr(b), timeout=2))
    path = wait("a to be relayed", lambda: relayed(a, b))
    check(back.ip4 in path["via"], f"via is {path['via']}")


@scenario
def of_two_relays_the_nearer_one_carries(lab):
    """The coordinator's relay is 80 ms of round trip away, coturn next door. coturn carries; it falls
    silent under traffic, and the coordinator's carries on within a second (PV_LAB_LONG=1: it speaks
    again, dies, is started anew: each time the traffic is back on it)."""
    far = lab.lan("far", "ipv6=forward", "delay=40ms", ipv6=True)
    coordinator = Coordinator(lab, lab.host("coord", far, ipv4=False))
    turn = lab.host("turn")
    program = coturn(lab, turn)
    a, b = lab.host("a"), lab.host("b")
    for h in (a, b):
        h.nft(WALL)
        use_turn(h, f"turn:{turn.ip4}:3478?transport=udp")
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    check(a.os_ping(a.addr(b)), "the first ping is lost")

    def via(x, y, server, timeout):
        wait(f"{x.name} to go through {server}",
             lambda: (p := relayed(x, y)) and server in p["via"], timeout)

    def both_via(server, timeout):
        for x, y in ((a, b), (b, a)):
            via(x, y, server, timeout)

    ping = a.start("ping", "-n", "-D", "-i", "0.05", str(a.addr(b)), name="ping")
    both_via(turn.ip4, 20)
    watch = Stopwatch()
    turn.nft(SILENCE)
    both_via(coordinator.host.ip6, 60)
    pause(1, "the coordinator's relay carries")
    ping.end(signal.SIGINT)
    times = [float(t) for t in re.findall(r"^\[([0-9.]+)\] \d+ bytes from", ping.text(), re.M)]
    gap = max(y - x for x, y in zip(times, times[1:]))
    check(gap <= SLOW + 0.3 + watch.held(), f"nothing arrived for {gap:.2f} s")  # 0.16 s: the way is longer now
    check("DUP" not in ping.text(), "packets came twice")
    status = a.json("status")
    through = {r["name"]: r["tx_bytes"] for r in status["relays"]}
    check(len(through) == 2 and all(n > 84 for n in through.values()), f"bytes: {through}")
    equal(sum(through.values()), status["relayed"]["tx_bytes"], "bytes through all of them")
    if not LONG:
        return  # a change for the round trip's sake takes ten seconds: unit/test_ice_relay has it
    turn.run("nft", "delete", "table", "inet", "silence")
    a.start("ping", "-n", "-i", "0.2", str(a.addr(b)), name="ping2")
    both_via(turn.ip4, 40)
    program.kill()  # and its allocations are gone for good
    both_via(coordinator.host.ip6, 5)
    coturn(lab, turn)
    both_via(turn.ip4, 60)
