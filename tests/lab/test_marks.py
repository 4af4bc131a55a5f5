# SPDX-License-Identifier: MIT
"""Congestion marks pass through the tunnel (RFC 6040), other marks stay inside."""
import sys

from lab import check, equal, scenario, wait

RECEIVE = """
import socket, sys
six = ':' in sys.argv[1]
s = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(*((41, 66, 1) if six else (0, 13, 1)))  # IPV6_RECVTCLASS, IP_RECVTOS
s.bind((sys.argv[1], 7777))
print('ready', flush=True)
while True:
    data, controls, _, _ = s.recvmsg(2000, 64)
    print('got', len(data), controls[0][2][0], flush=True)
"""

SEND = """
import socket, sys
six = ':' in sys.argv[1]
s = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(*((41, 67) if six else (0, 1)), int(sys.argv[2]))  # IPV6_TCLASS, IP_TOS
s.sendto(b'x' * int(sys.argv[3]), (sys.argv[1], 7777))
"""

RULES = """
table inet marks {
    counter dscp { }
    counter ect { }
    counter ce { }
    chain out {
        type filter hook output priority 0;
        oifname "eth0" udp dport != 3478 ip dscp != 0 counter name dscp
        oifname "eth0" udp dport != 3478 ip6 dscp != 0 counter name dscp
        oifname "eth0" ip ecn ect0 counter name ect
        oifname "eth0" ip6 ecn ect0 counter name ect
        oifname "eth0" ip ecn ce counter name ce
        oifname "eth0" ip6 ecn ce counter name ce
    }
}
"""
EF = 46 << 2  # expedited forwarding, RFC 3246
ECT0, CE = 2, 3


def counted(host, name):
    text = host.run("nft", "list", "counter", "inet", "marks", name).out
    return int(text.split("packets")[1].split()[0])


def carry(a, listener, address, tos, size=100):
    """The TOS byte with which a packet sent with this one arrives; None: it did not arrive."""
    before = listener.text().count("got")
    a.run(sys.executable, "-c", SEND, address, str(tos), str(size))
    wait("the packet to arrive", lambda: listener.text().count("got") > before)
    got = listener.text().strip().splitlines()[-1].split()
    equal(int(got[1]), size, "its size")
    return int(got[2])


def both_families(lab, underlay6):
    coordinator = lab.coordinator()
    a, b = lab.host("a", ipv6=underlay6), lab.host("b", ipv6=underlay6)
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    a.wait_direct(b)
    equal(a.path(b)["remote"].startswith("["), underlay6, "underlay")
    a.nft(RULES)
    for family in (4, 6):
        address = b.addr(None, family)
        listener = b.start(sys.executable, "-c", RECEIVE, address, name=f"receive{family}")
        wait("the receiver", lambda: "ready" in listener.text())
        ect = counted(a, "ect")
        equal(carry(a, listener, address, EF | ECT0), EF | ECT0, "DSCP and ECT(0) inside")
        check(counted(a, "ect") > ect, "ECT(0) does not show outside")
        equal(carry(a, listener, address, EF), EF, "DSCP without ECN inside")
        # The way outside meets congestion.
        marks = "ip6 ecn set ce" if underlay6 else "ip ecn set ce"
        a.run("nft", "insert", "rule", "inet", "marks", "out", "oifname", "eth0", "udp", "dport",
              "!=", "3478", *(marks.split()[:1]), "ecn", "ect0", *marks.split())
        equal(carry(a, listener, address, EF | ECT0), EF | CE, "congestion met outside")
        equal(carry(a, listener, address, ECT0, 1400), CE, "the same, a large one")
        a.run("nft", "delete", "rule", "inet", "marks", "out", "handle", first_handle(a))
        listener.end()
    equal(counted(a, "dscp"), 0, "packets whose DSCP shows outside")


def first_handle(host):
    lines = host.run("nft", "-a", "list", "chain", "inet", "marks", "out").out.splitlines()
    return next(line.rsplit(" ", 1)[1] for line in lines if "ecn set ce" in line)


@scenario
def over_ipv4(lab):
    both_families(lab, False)


@scenario(long="over IPv4 it is the same code")
def over_ipv6(lab):
    both_families(lab, True)
