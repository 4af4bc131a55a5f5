# SPDX-License-Identifier: MIT
"""Ordinary programs over the overlay: ping, nc, ssh."""
from lab import check, equal, scenario, ssh_login, wait


@scenario
def nc_and_ssh(lab):
    coordinator = lab.coordinator()
    a = lab.host("a", lab.lan("east", "profile=port-restricted", "delay=10ms"))
    b = lab.host("b", lab.lan("west", "profile=address-restricted", "delay=10ms"))
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    address = a.addr(b)

    check(a.os_ping(address), "the first ping is lost")
    check(a.os_ping(address, count=5), "five pings")
    check(a.os_ping(a.addr(b, family=6)), "ping over IPv6")

    for target in (address, a.addr(b, family=6)):
        server = b.start("sh", "-c", f"nc -d -l {target} 9000 | sha256sum", name="nc")
        wait("nc to listen", lambda: b.run("ss", "-Hltn", "sport = :9000").out.strip())
        mine = a.run("sh", "-c", "head -c 2000000 /dev/urandom >/run/f; sha256sum </run/f;"
                     f"nc -q 1 {target} 9000 </run/f", timeout=60).out.strip()
        server.popen.wait(20)
        equal(server.text().strip(), mine, f"checksum of a file sent to {target}")

    ssh_login(a, b, address)


@scenario
def big_packets_and_many_small_ones(lab):
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    address = a.addr(b)
    check(a.os_ping(address), "ping")
    r = a.run("ping", "-n", "-c", "2", "-W", "5", "-s", "1392", "-M", "do", address)
    check("2 received" in r.out, f"full-size packets: {r}")
    r = a.run("ping", "-n", "-c", "2", "-W", "5", "-s", "4000", address)
    check("2 received" in r.out, f"fragmented packets: {r}")
    r = a.run("ping", "-n", "-q", "-c", "500", "-i", "0.002", "-W", "5", address, timeout=60)
    check(" 0% packet loss" in r.out, f"500 pings: {r}")


@scenario
def what_does_not_belong_is_dropped(lab):
    """An address without a member is unreachable at once; a node cannot use another's address."""
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    check(a.os_ping(a.addr(b)), "ping")
    r = a.run("ping", "-n", "-c", "1", "-W", "3", "10.66.255.200", check_rc=False)
    check("nreachable" in r.out, f"an address nobody has: {r}")
    a.run("ip", "addr", "add", "10.66.200.200/32", "dev", a.tun)
    r = a.run("ping", "-n", "-c", "1", "-W", "1", "-I", "10.66.200.200", a.addr(b), check_rc=False)
    check("1 received" not in r.out, "a forged inner source passed")
    port = b.json("status")["interface"]["port"]
    a.run("python3", "-c", "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)"
          f".sendto(b'what is this', ('{b.ip4}', {port}))")
    for host, reasons in ((a, ["no-peer"]), (b, ["source", "junk"])):
        for reason in reasons:
            wait(f"{host.name} to count {reason}",
                 lambda h=host, w=reason: h.json("status")["drops"].get(w, 0) > 0)
            check(reason in host.ctl("status").out, f"status in words has no {reason}")


@scenario
def an_interface_that_others_change(lab):
    """`ip` and network managers in our interface: what is taken comes back, what may be wanted stays
    and is told."""
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    lab.network(coordinator, [a, b])
    a.wait_direct(b)
    four, six = a.addr(b), a.addr(b, 6)
    check(a.os_ping(four) and a.os_ping(six), "pings before")

    def problems():
        return " ".join(a.json("status")["problems"])

    def both(what):
        wait(what, lambda: a.os_ping(four, timeout=1) and a.os_ping(six, timeout=1), 10)
        equal(problems(), "", "problems")

    a.ip("addr flush dev p2pvpn0")
    both("the addresses to come back")
    a.ip("link set p2pvpn0 down")
    wait("status to say that it is down", lambda: "ip link set p2pvpn0 up" in problems())
    a.ip("link set p2pvpn0 up")  # the kernel has taken the IPv6 address away
    both("IPv6 to come back")
    a.ip("link set p2pvpn0 mtu 576")
    wait("status to say what IPv6 needs", lambda: "mtu 1420" in problems())
    check(a.os_ping(four), "IPv4 with a small MTU")
    a.ip("link set p2pvpn0 mtu 1390")
    both("IPv6 to come back with another MTU")
    check(" mtu 1390 " in a.run("ip", "link", "show", "p2pvpn0").out, "the MTU was not kept")
