# SPDX-License-Identifier: MIT
"""Networks that let no UDP out: found out within seconds, everything goes through a stream."""
import signal

from lab import LONG, SLOW, Coordinator, Stopwatch, check, equal, pause, scenario, wait
from turnlab import by, restart_under_traffic, send_file


def reached_within(a, b, seconds):
    """From the start of a's daemon to the first answered ping."""
    a.stop_daemon()
    watch = Stopwatch()
    a.daemon(wait_ready=False)
    wait(f"{a.name} to reach {b.name}", lambda: a.os_ping(a.remembered[b.name], timeout=1))
    took = watch.seconds()
    check(took < seconds * SLOW, f"{a.name} reached {b.name} only after {took:.1f} s")


def remember(*hosts):
    for h in hosts:
        h.remembered = {o.name: str(h.addr(o)) for o in hosts if o is not h}


@scenario
def no_udp_at_all(lab):
    """One side, then both; a file of 5 MB; the coordinator restarted; UDP back again."""
    coordinator = lab.coordinator()
    east = lab.lan("east", "profile=port-restricted", "delay=5ms", "udp=off")
    west = lab.lan("west", "profile=port-restricted", "delay=5ms")
    a, b = lab.host("a", east), lab.host("b", west)
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    check(a.os_ping(a.addr(b), timeout=10), "a does not reach b")
    wait("a to use a stream", lambda: by(a, "tcp"))
    wait("b to use UDP", lambda: by(b, "udp"))
    equal(a.json("status")["udp"], "blocked", "what status says of UDP")
    check("UDP is blocked here" in a.ctl("why", "b", "-l").out, "why does not say that UDP is blocked")
    check("relay" in a.ctl("ping", "b", "-c", 1).out, "ping does not name the relay")
    remember(a, b)
    reached_within(a, b, 5)
    b.ctl("send", "a", "hello through the stream")
    wait("a message through the stream",
         lambda: any(m["text"] == "hello through the stream"
                     for m in a.json("inbox", "--peek")["messages"]))
    send_file(a, b, 5 << 20)
    send_file(b, a, 1 << 20)

    west.nat.set(udp="off")  # both blocked, b in the middle of its life
    ping = a.start("ping", "-n", "-i", "0.1", "-c", "100", str(a.addr(b)), name="ping")
    wait("b to use a stream", lambda: by(b, "tcp"), 40)
    wait("ping to end", lambda: not ping.running(), 60)
    send_file(a, b, 1 << 20)
    restart_under_traffic(coordinator, a, b)

    for lan in (east, west):
        lan.nat.set(udp="all")
    for h in (a, b):  # a change of network is a reason to try at once
        h.run("ip", "addr", "add", "192.0.2.77/32", "dev", "lo")
        h.run("ip", "addr", "del", "192.0.2.77/32", "dev", "lo")
    a.wait_direct(b, timeout=90)
    wait("a to use UDP again", lambda: by(a, "udp"))
    equal(a.json("status")["udp"], "open", "what status says of UDP")


@scenario
def create_and_join_from_where_only_tcp_443_gets_out(lab):
    """Neither the URL nor the token says where TLS is: 443 of the same address is tried."""
    coordinator = Coordinator(lab, lab.host("coord"), args=["--tls-listen", "0.0.0.0:443"])
    url = coordinator.url()
    check("443" not in url, f"the URL says it already: {url}")
    lans = [lab.lan(n, "profile=port-restricted", "udp=off", "tcp=443") for n in ("east", "west")]
    a, b = lab.host("a", lans[0]), lab.host("b", lans[1])
    for h in (a, b):
        h.daemon()
    b.join(a.create(url), "--timeout", "20")
    for h in (a, b):
        wait(f"{h.name} to be connected", lambda h=h: h.json("status")["coordinator"]["connected"])
        wait(f"{h.name} to use TLS", lambda h=h: by(h, "tls"))
    a.wait_peer(b)
    check(a.os_ping(a.addr(b), timeout=10), "a does not reach b")
    for args in ((), ("--server", coordinator.host.ip4)):
        measured = a.json("netcheck", *args)
        equal(measured["udp"], "blocked", "what netcheck says of UDP")
        check("answers by TLS on port 443 only" in measured["verdict"], measured)


@scenario
def a_coordinator_that_does_not_answer_is_told_within_ten_seconds(lab):
    """It is filtered, or off: the reason comes before anybody has given up waiting."""
    coordinator = Coordinator(lab, lab.host("coord"))
    url = coordinator.url()
    filtered = lab.host("a", lab.lan("east", "profile=port-restricted", "udp=off", "tcp=off"))
    refused = lab.host("b")
    coordinator.end()
    for h, why in ((filtered, "does TCP reach it?"), (refused, "refuses the connection")):
        h.daemon()
        watch = Stopwatch()
        r = h.ctl("create", url, "--name", "a", check_rc=False, timeout=60)
        took = watch.seconds()
        equal(r.code, 9, f"exit code of create, {why}")
        check(why in r.err, r.err)
        check(f"(tried {coordinator.host.ip4}:3478)" in r.err, f"not where it was looked for: {r.err}")
        check(why == "refuses the connection" or f"waiting for the coordinator at {coordinator.host.ip4}" in r.err,
              f"ten seconds without a word: {r.err}")
        # p2pvpnctl would wait for thirty; the rest is what a busy machine takes to start it.
        check(took < 16 * SLOW, f"it took {took:.1f} s to say so")


@scenario
def only_tcp_443(lab):
    """The traffic that hotels let out: control channel and relay go through TLS on 443, proven by its pin."""
    coordinator = Coordinator(lab, lab.host("coord"), args=["--tls-listen", "0.0.0.0:443"])
    east = lab.lan("east", "profile=port-restricted", "delay=5ms", "udp=off", "tcp=443")
    west = lab.lan("west", "profile=port-restricted", "delay=5ms")
    a, b = lab.host("a", east), lab.host("b", west)
    lab.network(coordinator, [b, a])
    a.wait_peer(b)
    check(a.os_ping(a.addr(b), timeout=10), "a does not reach b")
    wait("a to use TLS", lambda: by(a, "tls"))
    check("everything goes through TLS on 443" in a.ctl("why", "b", "-l").out, "why does not say so")
    remember(a, b)
    reached_within(a, b, 5)
    send_file(b, a, 5 << 20)
    b.ctl("send", "a", "through TLS")
    wait("a message through TLS",
         lambda: any(m["text"] == "through TLS" for m in a.json("inbox", "--peek")["messages"]))
    restart_under_traffic(coordinator, a, b, signal.SIGKILL)
    if not LONG:
        return  # that the connection to port 3478 is dead takes 25 s to find out
    west.nat.set(udp="off", tcp="80,443")
    wait("b to use TLS", lambda: by(b, "tls"), 60)
    wait("a ping between two of them", lambda: a.os_ping(a.addr(b), timeout=1))


@scenario
def one_of_two_addresses_of_the_coordinator_is_enough(lab):
    """The first of them leads nowhere from here: the second is asked for everything, so that UDP is open and the own
    public address known."""
    host = lab.host("coord")
    second = f"{host.ip4.rpartition('.')[0]}.200"
    host.ip(f"addr add {second}/24 dev eth0")
    coordinator = Coordinator(lab, host, args=["--public", second])
    lan = lab.lan("east", "profile=port-restricted", "delay=5ms")
    a, b = lab.host("a", lan), lab.host("b")
    lab.network(coordinator, [b, a])
    a.stop_daemon()
    lan.ns.ip(f"route add blackhole {host.ip4}/32")
    a.daemon()
    wait("a to have its coordinator by the second address",
         lambda: (a.json("status")["coordinator"] or {}).get("address") == f"{second}:3478")
    wait("a to know its public address",
         lambda: any(at.startswith(f"{lan.public}:") for at in a.json("status")["public"]), 10)
    seen = []
    for _ in range(4):  # links that change have it ask again, which a verdict follows
        a.ip("addr add 192.0.2.77/32 dev lo", "addr del 192.0.2.77/32 dev lo")
        pause(2, "a verdict takes 1.2 s")
        seen.append(a.json("status")["udp"])
    equal(seen, ["open"] * 4, "what status says of UDP")
