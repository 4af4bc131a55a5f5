# SPDX-License-Identifier: MIT
"""Two machines behind NATs meet: directly, by the right addresses, without losing a packet."""
import signal
import time

from lab import Coordinator, check, equal, scenario, wait


def reaches_at(a, b, at):
    """Directly, by that address of b's: the first pair that answers may be another one, until the best is chosen."""
    def there():
        path = a.wait_direct(b)
        return path["remote"].rsplit(":", 1)[0].strip("[]") == at
    wait(f"{a.name} to reach {b.name} at {at}", there)


@scenario(whole="six daemons; simulations meet with all of them")
def cones_of_every_kind(lab):
    """Full, address-restricted and port-restricted cones, two of each: every pair is direct."""
    coordinator = lab.coordinator()
    hosts = []
    for kind in ("full-cone", "address-restricted", "port-restricted"):
        for i in (1, 2):
            name = "".join(w[0] for w in kind.split("-")) + str(i)
            lan = lab.lan("lan-" + name, f"profile={kind}", "delay=10ms")
            hosts.append(lab.host(name, lan))
    lab.network(coordinator, hosts)
    for i, a in enumerate(hosts):
        for b in hosts[i + 1:]:
            a.wait_peer(b)
            check(a.os_ping(a.addr(b)), f"the first ping from {a.name} to {b.name} is lost")
            reaches_at(a, b, b.lan.public)
            check(b.os_ping(b.addr(a, family=6)), f"ping over IPv6 from {b.name} to {a.name}")


@scenario
def the_same_lan_stays_on_the_lan(lab):
    coordinator = lab.coordinator()
    lan = lab.lan("home", "profile=port-restricted", "hairpin=external")
    a, b = lab.host("a", lan), lab.host("b", lan)
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    check(a.os_ping(a.addr(b)), "the first ping is lost")
    reaches_at(a, b, b.ip4)
    before = lan.nat.stats()["hairpinned"]
    check(a.os_ping(a.addr(b), count=10), "ten pings")
    after = lan.nat.stats()["hairpinned"]
    # Ten pings and their answers would be twenty; checks of that pair, which also works, are fewer.
    check(after - before < 20, f"{after - before} packets went through the NAT's hairpin")


@scenario
def isolated_machines_of_one_lan_meet_at_the_hairpin(lab):
    """A guest network, or two VLANs: the switch lets them reach the router only, not each other."""
    coordinator = lab.coordinator()
    lan = lab.lan("home", "profile=port-restricted", "hairpin=external")
    a, b = lab.host("a", lan), lab.host("b", lan)
    ports = [n for n in lan.ns.run("ls", "/sys/class/net/br0/brif").out.split() if n != "wan"]
    for port in ports:
        lan.ns.run("bridge", "link", "set", "dev", port, "isolated", "on")
    check(not a.os_ping(b.ip4, timeout=1), "the switch isolates nobody")
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    check(a.os_ping(a.addr(b)), "the first ping is lost")
    reaches_at(a, b, lan.public)


@scenario
def behind_two_nats(lab):
    coordinator = lab.coordinator()
    outer = lab.lan("outer", "profile=port-restricted", "delay=10ms")
    inner = lab.lan("inner", "profile=address-restricted", outer=outer)
    other = lab.lan("other", "profile=port-restricted", "delay=10ms")
    a, b, c = lab.host("a", inner), lab.host("b", other), lab.host("c", outer)
    lab.network(coordinator, [a, b, c])
    for x, y, at in ((a, b, other.public), (b, a, outer.public), (a, c, None)):
        x.wait_peer(y)
        check(x.os_ping(x.addr(y)), f"the first ping from {x.name} to {y.name} is lost")
        if at:
            reaches_at(x, y, at)
        else:
            x.wait_direct(y)


@scenario
def ipv6_is_all_there_is(lab):
    coordinator = lab.coordinator(lab.host("coord", ipv4=False))
    lans = [lab.lan(n, "filtering=apd", "delay=5ms", ipv6=True) for n in ("east", "west")]
    a, b = (lab.host(n, lan, ipv4=False) for n, lan in zip("ab", lans))
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    check(a.os_ping(a.addr(b)), "the first ping is lost")
    reaches_at(a, b, b.ip6)


@scenario
def ipv6_alone_meets_ipv4_alone_by_a_nat64(lab):
    """DNS64 (here a file) shows the prefix, by which a also comes to a coordinator that is named by an IPv4 address."""
    coordinator = lab.coordinator(lab.host("coord", ipv6=False))
    a = lab.host("a", lab.lan("six", "profile=port-restricted", "nat64=64:ff9b::", "delay=10ms", ipv6=True), ipv4=False)
    b = lab.host("b", lab.lan("four", "profile=port-restricted", "delay=10ms"))
    a.run("sh", "-c", "echo '64:ff9b::c000:aa ipv4only.arpa' >>/etc/hosts")
    lab.network(coordinator, [b, a])
    a.wait_peer(b)
    check(a.os_ping(a.addr(b)), "the first ping is lost")
    octets = [int(o) for o in b.lan.public.split(".")]
    reaches_at(a, b, f"64:ff9b::{octets[0] << 8 | octets[1]:x}:{octets[2] << 8 | octets[3]:x}")
    reaches_at(b, a, a.lan.public)
    check(b.os_ping(b.addr(a), count=3), "pings from b")
    check(a.os_ping(a.addr(b), count=1), "a ping from a")


@scenario
def linux_masquerading(lab):
    """Plain nftables on both sides, dropping unsolicited packets (as most routers) and accepting
    them, which lets an early packet turn a cone into a symmetric NAT (TRAVERSAL 5)."""
    coordinator = lab.coordinator()
    shut = [lab.masquerade(n, drop_input=True) for n in ("s1", "s2")]
    opened = [lab.masquerade(n, drop_input=False) for n in ("o1", "o2")]
    hosts = [lab.host("h" + lan.name, lan) for lan in shut + opened]
    lab.network(coordinator, hosts)
    for a, b in ((0, 1), (2, 3), (0, 2)):
        a, b = hosts[a], hosts[b]
        a.wait_peer(b)
        reaches_at(a, b, b.lan.public)


@scenario
def linux_routers_side_by_side(lab):
    """As above, and no hop stands between them, where a packet could die that shall open one router and not reach the
    other: two in one network of their provider's, or of somebody who tries this."""
    coordinator = lab.coordinator()
    lans = [lab.masquerade(n, drop_input=n.startswith("s"), beside=True) for n in ("o1", "o2", "s1", "o3", "o4", "s2")]
    hosts = [lab.host("h" + lan.name, lan) for lan in lans]
    lab.network(coordinator, hosts)
    for a, b in ((0, 1), (2, 3), (4, 5)):
        a, b = hosts[a], hosts[b]
        a.wait_peer(b)
        check(a.os_ping(a.addr(b)), "the first ping is lost")
        a.wait_direct(b, timeout=30)  # by the first attempt, or one that follows a lost packet
        equal(a.path(b)["remote"].rsplit(":", 1)[0], b.lan.public, "where it is reached")


@scenario(whole="simulations meet with all of them")
def linux_routers_behind_linux_routers(lab):
    """Two in a row on each side, which take in what comes unasked: what opens the inner one has to open the outer one
    as well, and must not come as far as the other side's. Neighbours, and with a hop between them."""
    coordinator = lab.coordinator()
    outer = [lab.masquerade(n, drop_input=False, beside=n.startswith("b")) for n in ("b1", "b2", "f1", "f2")]
    lans = [lab.masquerade("in" + lan.name, drop_input=False, outer=lan) for lan in outer]
    single = lab.masquerade("b3", drop_input=False, beside=True)
    hosts = [lab.host("h" + lan.name, lan) for lan in lans + [single]]
    lab.network(coordinator, hosts)
    for a, b in ((0, 1), (2, 3), (0, 4), (2, 4)):
        a, b = hosts[a], hosts[b]
        a.wait_peer(b)
        began = time.monotonic()
        check(a.os_ping(a.addr(b)), "the first ping is lost")
        a.wait_direct(b, timeout=30)
        print(f"    {a.name} x {b.name}: direct after {time.monotonic() - began:.1f} s", flush=True)
        equal(a.path(b)["remote"].rsplit(":", 1)[0], b.lan.public, "where it is reached")
        check(a.os_ping(a.addr(b), count=3), "pings over the direct path")


def forget_and_take_in(routers, src, dst):
    """Routers lose their tables, until dst's takes in what comes by the path, from its very port: the first packet was
    one from outside. Returns that path's addresses: one try after another may move it."""
    ns = dst.lan.ns
    tries = []

    def takes_in():
        path, back = src.path(dst), dst.path(src)
        tries.append((path, back))
        if not (path and back and path["type"] == back["type"] == "direct"):
            return None
        port, (ip, sport) = path["remote"].rsplit(":", 1)[1], back["remote"].rsplit(":", 1)
        for router in routers:
            router.ns.forget_connections()
        ns.nft("table ip early\ndelete table ip early\n"
               "table ip early {\n chain input {\n  type filter hook input priority 0\n"
               f"  ip saddr {ip} udp sport {sport} udp dport {port} counter\n }}\n}}\n")
        src.run("ping", "-c2", "-i0.1", "-W0.3", str(src.addr(dst)), check_rc=False)
        came = "counter packets 0 " not in ns.run("nft", "list", "table", "ip", "early").out
        return (path["local"], path["remote"]) if came else None
    try:
        return wait("a packet to come in first", takes_in)
    except Exception as e:
        ends = [[f"{p['type']} {p['local']} {p['remote']}" if p else "none" for p in both] for both in tries[-5:]]
        raise type(e)(f"{e}; {len(tries)} tries, the last by {ends}") from None


@scenario
def linux_routers_that_forget(lab):
    """A router has lost its table, and packets that come in meanwhile take the ports of the path: with other ports it is
    direct again."""
    coordinator = lab.coordinator()
    lans = [lab.masquerade(n, drop_input=False, beside=True) for n in ("o1", "o2")]
    a, b = (lab.host(n, lan) for n, lan in zip("ab", lans))
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    check(a.os_ping(a.addr(b)), "the first ping is lost")
    a.wait_direct(b)
    for forget, src, dst in ((lans[1:], a, b), (lans[:1], b, a), (lans, a, b)):
        traffic = src.start("ping", "-i", "0.1", str(src.addr(dst)), name="traffic")
        wait("the path to be in use", lambda: traffic.text().count("bytes from") > 5)
        ports = forget_and_take_in(forget, src, dst)
        began = time.monotonic()
        wait("a path by other ports", lambda: (path := src.path(dst)) and path["type"] == "direct" and
             (path["local"], path["remote"]) != ports, 30)
        dst.wait_direct(src, timeout=30)
        print(f"    direct again after {time.monotonic() - began:.1f} s", flush=True)
        traffic.end(signal.SIGINT)
        check(a.os_ping(a.addr(b), count=3), "pings over the direct path")


@scenario
def one_has_ipv4_only_and_the_other_ipv6_only(lab):
    """The coordinator has both and says so with --public: `create` writes both down, tokens carry
    them, and the relay joins the two."""
    host = lab.host("coord")
    coordinator = Coordinator(lab, host, args=["--public", host.ip6])
    a, b = lab.host("a", ipv6=False), lab.host("b", ipv4=False)
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    check(a.os_ping(a.addr(b)), "the first ping is lost")
    check(b.os_ping(b.addr(a, family=6)), "ping over IPv6 from b to a")
    equal(a.path(b)["type"], "relay", "what a uses")
    equal(b.json("status")["coordinator"]["address"], f"[{host.ip6}]:3478", "b's coordinator")
    cause = "only IPv4 and b only IPv6: no packet goes from one to the other"
    wait("why to name it", lambda: cause in a.ctl("why", "b", "-l").out)
    b.ip("addr add 198.51.100.250/24 dev eth0", "route add default via 198.51.100.1")  # remedy: other_family
    a.wait_direct(b)
    check(cause not in a.ctl("why", "b", "-l").out, "why names it still")


@scenario
def a_host_of_many_networks_offers_the_one_that_leads_out(lab):
    """Ten networks of its own, and 70 addresses that are down, come before the uplink. Each network
    counts, and the uplink is the only one that a server sees."""
    coordinator = lab.coordinator()
    home, away = lab.lan("home", "profile=port-restricted"), lab.lan("away", "profile=port-restricted")
    a, b = lab.host("a", ipv4=False, ipv6=False), lab.host("b", away)
    a.ip("link add idle type bridge", *(f"addr add 10.9.0.{n}/32 dev idle" for n in range(1, 71)))
    for n in range(1, 11):
        a.ip(f"link add vlan{n} type veth peer name far{n}", f"link set far{n} up", f"link set vlan{n} up",
             f"addr add 172.20.{n}.1/24 dev vlan{n}")
    lab.attach(a, home)
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    reaches_at(b, a, home.public)
    wait("status to say what is left out", lambda: a.json("status")["left_out"] == 3)
    check("left out" in a.ctl("status", "-l").out, "status -l does not show it")
