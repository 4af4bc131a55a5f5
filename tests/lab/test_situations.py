# SPDX-License-Identifier: MIT
"""Hosts and networks that people report of such programs, where a node works or says what to do."""
import re
import sys

from lab import check, equal, pause, scenario, wait
from test_netcheck import netcheck


def problems(host):
    return " ".join(host.json("status")["problems"])


def cable(lan, host, name):
    """An interface eth0 of the host in this network, without addresses."""
    lan.ns.ip(f"link add {name} type veth peer name eth0 netns {host.holder.pid}", f"link set {name} master br0 up")
    host.ip("link set eth0 up")


@scenario
def the_own_address_is_on_loopback(lab):
    """A router's, or of a host that speaks BGP to it: the route names the address, and the addresses between the two
    lead nowhere else."""
    coordinator = lab.coordinator()
    a, b = lab.host("a", ipv4=False, ipv6=False), lab.host("b", lab.lan("home", "profile=port-restricted"))
    lab.inet.ns.ip(f"link add pa type veth peer name eth0 netns {a.holder.pid}", "link set pa up",
                   "addr add 10.255.99.1/30 dev pa", "route add 203.0.113.77/32 via 10.255.99.2")
    lab.inet.ns.nft("""table ip between {
    chain pass {
        type filter hook prerouting priority -300;
        iifname "pa" ip saddr 10.255.99.2 ip daddr != 10.255.99.1 drop
        iifname != "pa" ip daddr 10.255.99.2 drop
    }
}""")
    a.ip("link set lo up", "link set eth0 up", "addr add 203.0.113.77/32 dev lo", "addr add 10.255.99.2/30 dev eth0",
         "route add default via 10.255.99.1 src 203.0.113.77")
    lab.network(coordinator, [b, a])
    a.wait_direct(b)
    b.wait_direct(a)
    equal(b.path(a)["remote"].split(":")[0], "203.0.113.77", "where b reaches a")
    equal(problems(a), "", "problems of a")


@scenario
def containers_that_come_and_go(lab):
    """Their networks are no way of ours: the connection to the coordinator stays."""
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    lab.network(coordinator, [a, b])
    a.wait_direct(b)
    a.ip("link add docker0 type bridge", "link set docker0 up")
    for n in range(3):
        a.ip(f"link add br-{n} type bridge", f"addr add 172.{18 + n}.0.1/16 dev br-{n}",
             f"link add veth{n} type veth peer name inner{n}", f"link set veth{n} master br-{n} up",
             f"link set inner{n} up", f"link set br-{n} up")
        pause(1.5, "changes are looked at within a second")
        a.ip(f"link del br-{n}", f"link del veth{n}")
        pause(1.5, "changes are looked at within a second")
    check("coordinator lost" not in a.p2pvpnd.text(), a.p2pvpnd.text())
    a.ip(f"addr del {a.ip4}/24 dev {a.dev}", f"addr add 198.51.100.99/24 dev {a.dev}",
         "route add default via 198.51.100.1")
    wait("the connection to leave with the address", lambda: "address changed" in a.p2pvpnd.text())
