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


@scenario
def a_lan_of_the_networks_range(lab):
    """A machine comes into a LAN with the range of its network, as in a hotel: it keeps the internet and its members,
    and `down` gives it the LAN."""
    coordinator = lab.coordinator()
    home, hotel = lab.masquerade("home", drop_input=False), lab.masquerade("hotel", drop_input=False)
    hotel.ns.ip("addr flush dev br0", "addr add 10.66.0.1/16 dev br0")
    a, b = lab.host("a", home), lab.host("b")
    lab.network(coordinator, [a, b])
    a.wait_direct(b)
    a.ip("link del eth0")
    cable(hotel, a, "pa")
    a.ip("addr add 10.66.0.55/16 dev eth0", "route add default via 10.66.0.1 dev eth0")
    said = wait("status to name it", lambda: next((p for p in a.json("status")["problems"] if "10.66.0.55/16 on eth0" in p), None))
    check("`sudo p2pvpnctl down`" in said, f"what to do: {said}")
    wait("the coordinator", lambda: (a.json("status")["coordinator"] or {}).get("connected"))
    check(a.os_ping(b.ip4), "programs have the internet")
    a.wait_direct(b)
    check(a.os_ping(a.addr(b)) and b.os_ping(b.addr(a)), "members meet")
    check("10.66.0.55" not in b.ctl("trace", "a").out, "b sends to an address of the overlay, into the tunnel")
    check("leave by another interface" not in a.ctl("why", "b").out, "why claims what is not so")
    check(not a.os_ping("10.66.0.1", timeout=1), "a neighbour speaks for a member")
    a.ctl("down")  # remedy: down_there
    wait("the LAN", lambda: a.os_ping("10.66.0.1", timeout=1))
    a.ip("link del eth0")
    cable(home, a, "pb")
    a.ip(f"addr add {a.ip4}/24 dev eth0", f"route add default via {home.subnet4}.1")
    a.ctl("up")
    a.wait_direct(b)
    wait("no problem to be left", lambda: not problems(a))


@scenario
def a_default_route_that_leads_to_nobody(lab):
    """As of a device at USB that says it is a router: `status` names routes, and not a coordinator that is off."""
    coordinator = lab.coordinator()
    a, b = lab.host("a", lab.masquerade("home", drop_input=False)), lab.host("b")
    lab.network(coordinator, [a, b])
    a.wait_direct(b)
    a.ip("route del default", f"route add default via {a.lan.subnet4}.1 dev eth0 metric 100",
         "link add usb0 type veth peer name device", "link set device up", "link set usb0 up",
         "addr add 192.168.42.5/24 dev usb0", "route add default via 192.168.42.1 dev usb0 metric 50")
    wait("status to name a route", lambda: "leads to a router that is gone" in problems(a))
    a.ip("route del default dev usb0")  # what it says
    a.wait_direct(b)
    wait("no problem to be left", lambda: not problems(a))


# A login page: whatever is asked, it sends the browser elsewhere.
PORTAL = """
import socket, threading
def answer(c):
    c.settimeout(5)
    try:
        c.recv(4096)
        c.sendall(b'HTTP/1.1 302 Found\\r\\nLocation: http://login.example/\\r\\nConnection: close\\r\\n\\r\\n')
        c.close()
    except OSError:
        pass
s = socket.create_server(('0.0.0.0', 8080), backlog=50)
print('ready', flush=True)
while True:
    threading.Thread(target=answer, args=(s.accept()[0],), daemon=True).start()
"""


@scenario
def a_login_page_answers_for_everybody(lab):
    coordinator = lab.coordinator()
    hotel = lab.masquerade("hotel", drop_input=False)
    a, b = lab.host("a", hotel), lab.host("b")
    lab.network(coordinator, [a, b])
    a.wait_direct(b)
    page = hotel.ns.start(sys.executable, "-c", PORTAL, name="portal")
    wait("the page", lambda: "ready" in page.text())
    hotel.ns.nft("""table ip portal {
    chain catch { type nat hook prerouting priority -110; iifname "br0" meta l4proto tcp redirect to :8080; }
    chain stop { type filter hook forward priority -10; iifname "br0" drop; }
}""")
    a.restart_daemon()
    wait("status to name it", lambda: "login page" in problems(a))
    r = netcheck(a, coordinator.public(), check_rc=False)
    check("login page" in r["verdict"] and "log in" in r["verdict"], f"netcheck: {r['verdict']}")
    hotel.ns.run("nft", "delete", "table", "ip", "portal")  # somebody has logged in
    a.wait_direct(b)
    wait("no problem to be left", lambda: not problems(a))


def instead(host, name, complaint):
    """Another program of this name, which knows no more than to say this."""
    host.run("sh", "-ec", f"""
printf '#!/bin/sh\\necho "{complaint}" >&2\\nexit 1\\n' >/run/{name}
chmod 755 /run/{name}
for d in /usr/sbin /sbin /usr/bin /bin; do test ! -e $d/{name} || mount --bind /run/{name} $d/{name}; done""")


@scenario
def tools_or_a_kernel_that_lack_something(lab):
    """BusyBox's ip, and a kernel without nf_tables below nft, as on small routers and in containers."""
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    instead(a, "nft", "netlink: Error: cache initialization failed: Operation not supported")
    instead(b, "ip", "ip: unrecognized option: batch")
    a.daemon()
    a.create(coordinator.url())
    wait("status to say what nft needs", lambda: "modprobe nf_tables" in problems(a))
    b.daemon()
    r = b.ctl("join", a.ctl("invite").out.strip(), "--name", "b", check_rc=False)
    check(r.code == 1 and "BusyBox" in r.err and "install iproute2" in r.err, f"{r}")


@scenario
def too_few_files_may_be_open(lab):
    """The text is about the limit, and blames no path, no matter which file cannot be opened first."""
    coordinator = lab.host("coord")
    a = lab.host("a")
    for host, program, options in ((a, "p2pvpnd", ("--no-chatd",)), (coordinator, "p2pvpn-coordinator", ("--public", coordinator.ip4))):
        for limit in (8, 12, 16, 20, 24):
            host.before = ["prlimit", f"--nofile={limit}:{limit}"]
            p = host.start(lab.bin(program), *options, name=f"{program}{limit}")
            host.before = []
            wait(f"{program} with {limit} files to end or to run",
                 lambda: not p.running() or re.search("ready:|listening on", p.text()))
            if p.running():
                p.end()
                continue
            last = p.text().strip().splitlines()[-1]
            check("LimitNOFILE=" in last and "ulimit -n" in last, f"{program} with {limit} files: {last}")
            check("choose another" not in last and "make it writable" not in last, f"{program} with {limit} files: {last}")
