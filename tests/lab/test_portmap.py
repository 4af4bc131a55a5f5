# SPDX-License-Identifier: MIT
"""Ports mapped by the router: Debian's miniupnpd on a Linux router speaks PCP, NAT-PMP and UPnP;
routers that lie, that are slow, and that stand behind another NAT."""
import shutil
import signal
import sys

from lab import Skip, check, equal, pause, scenario, wait
from phonelab import Phone, meets

REAL = "9.113.0"  # miniupnpd refuses addresses that are for documentation

MINIUPNPD = """
ext_ifname=wan
ext_ip={public}
listening_ip=br0
enable_natpmp={pmp}
enable_upnp={upnp}
secure_mode=yes
system_uptime=no
uuid=11111111-2222-3333-4444-555555555555
upnp_table_name=filter
upnp_nat_table_name=filter
upnp_forward_chain=upnp_forward
upnp_nat_chain=upnp_pre
upnp_nat_postrouting_chain=upnp_post
allow 1024-65535 {subnet}.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
"""

CHAINS = """
table inet filter {
    chain upnp_forward { }
    chain upnp_pre { }
    chain upnp_post { }
    chain prerouting {
        type nat hook prerouting priority -100;
        jump upnp_pre
    }
    chain postrouting {
        type nat hook postrouting priority 90;
        jump upnp_post
    }
}
insert rule inet filter forward jump upnp_forward
"""


# For a router that knows NAT-PMP only: requests of PCP have version 2.
NO_PCP = """
table inet nopcp {
    chain input {
        type filter hook input priority 0;
        udp dport 5351 @th,64,8 2 drop
    }
}
"""


class Router:
    """A Linux router that masquerades, with miniupnpd on it."""

    def __init__(self, lab, name, random=True, pmp=True, upnp=True, start=True, ipv6=False):
        if shutil.which("miniupnpd") is None:
            raise Skip("miniupnpd is not installed (Debian: miniupnpd, miniupnpd-nftables)")
        self.lan = lab.masquerade(name, drop_input=True, random=random, ipv6=ipv6, net4=REAL)
        self.ns = self.lan.ns
        self.ns.nft(CHAINS)
        self.conf = "/run/miniupnpd.conf"
        word = {True: "yes", False: "no"}
        self.ns.run("sh", "-c", f"cat >{self.conf}",
                    stdin=MINIUPNPD.format(public=self.lan.public, subnet=self.lan.subnet4,
                                           pmp=word[pmp], upnp=word[upnp]))
        self.program = None
        if start:
            self.start()

    def start(self):
        self.program = self.ns.start("miniupnpd", "-d", "-f", self.conf, "-P", "/run/miniupnpd.pid")
        wait("miniupnpd to listen", lambda: self.program.must_run() or
             self.ns.run("ss", "-Hlun", "sport = :1900 or sport = :5351").out.strip())

    def forget(self):
        """Its mappings are gone, and it does not know."""
        for chain in ("upnp_forward", "upnp_pre", "upnp_post"):
            self.ns.run("nft", "flush", "chain", "inet", "filter", chain)

    def mapped(self):
        """The ports it forwards now."""
        return self.ns.run("nft", "list", "chain", "inet", "filter", "upnp_pre").out.count("dnat")

    def reboot(self):
        self.program.end(signal.SIGKILL)
        self.forget()
        self.start()


def mapping(host, family="ipv4"):
    return [m for m in host.json("status")["port_mappings"] if m["family"] == family][0]


def verified(host, family="ipv4"):
    m = mapping(host, family)
    check(m["verified"], f"not yet: {m}")
    return m


def wait_mapped(host, protocol, timeout=60):
    m = wait(f"a port mapped by {protocol}", lambda: verified(host), timeout)
    equal((m["state"], m["protocol"], m["why"]), ("working", protocol, None), "the mapping")
    return m


@scenario
def two_symmetric_nats_are_direct_with_pcp(lab):
    """Random ports on both sides, where only a relay or luck would do; one router speaks PCP."""
    coordinator = lab.coordinator()
    router = Router(lab, "la")
    a = lab.host("a", router.lan)
    b = lab.host("b", lab.masquerade("lb", drop_input=True, random=True))
    lab.network(coordinator, [a, b])
    m = wait_mapped(a, "PCP")
    equal(m["external"].rsplit(":", 1)[0], router.lan.public, "the public address")
    check(m["lifetime"] > 60, f"the lifetime: {m}")
    a.wait_peer(b)
    b.wait_direct(a)
    wait(f"b to use {m['external']}", lambda: m["external"] in b.ctl("why", "a", "-l").out)
    wait("why on a to say it", lambda: f"the router maps {m['external']} by PCP" in a.ctl("why", "b", "-l").out)
    check("port mapped" in a.ctl("status", "-l").out, "status in words")
    check(b.os_ping(b.addr(a), count=3), "pings over it")

    pause(4, "epochs of a router that has run no longer look alike (RFC 6887 s8.5)")
    router.reboot()  # announces itself with a new epoch: within 5 s (RFC 6887 s14.1.3)
    wait("the port to be mapped again", router.mapped, timeout=30)  # long before half of its lifetime
    wait_mapped(a, "PCP")
    a.stop_daemon()
    wait("the mapping to be given back", lambda: not router.mapped())


@scenario
def natpmp_and_upnp_each_alone(lab):
    coordinator = lab.coordinator()
    pmp = Router(lab, "pmp", upnp=False)
    pmp.ns.nft(NO_PCP)
    upnp = Router(lab, "upnp", pmp=False)
    a, b = lab.host("a", pmp.lan), lab.host("b", upnp.lan)
    lab.network(coordinator, [a, b])
    wait_mapped(a, "NAT-PMP")
    wait_mapped(b, "UPnP")
    a.wait_direct(b)
    for host, router in ((a, pmp), (b, upnp)):
        equal(router.mapped(), 1, f"ports that the router of {host.name} forwards")
        host.stop_daemon()
        wait("the mapping to be given back", lambda r=router: not r.mapped())


LIAR = r"""
import socket, struct, sys, time
# A router that grants everything and does nothing.
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('0.0.0.0', 5351))
born = time.time()
print('ready', flush=True)
while True:
    d, who = s.recvfrom(2000)
    if len(d) < 24 or d[0] != 2:
        continue
    a = bytearray(d)
    a[1] |= 0x80
    a[3] = 0
    a[8:12] = struct.pack('>I', int(time.time() - born))
    a[12:24] = bytes(12)
    if len(a) >= 60:
        a[42:44] = struct.pack('>H', 40404)
        a[44:60] = bytes(10) + b'\xff\xff' + socket.inet_aton(sys.argv[1])
    s.sendto(a, who)
"""


def lie(lab, lan, claimed):
    liar = lan.ns.start(sys.executable, "-c", LIAR, claimed, name="liar")
    wait("the liar", lambda: "ready" in liar.text())
    coordinator = lab.coordinator()
    a, b = lab.host("a", lan), lab.host("b")
    lab.network(coordinator, [a, b])
    return a, b


@scenario
def a_router_behind_another_nat_is_no_use(lab):
    """Its mapping is not where the world sees us: named, and no candidate."""
    lan = lab.masquerade("la", drop_input=True)
    a, b = lie(lab, lan, "100.64.0.9")
    wait("the other NAT to be named", lambda: "another NAT" in (mapping(a)["why"] or ""))
    check("40404" not in str(a.json("status")["public"]), "the claim became a candidate")
    a.wait_direct(b)


@scenario(long="takes a quarter of a minute")
def a_router_that_lies_is_found_out(lab):
    """It claims a port and forwards nothing, however often it is asked."""
    lan = lab.masquerade("la", drop_input=True)
    a, b = lie(lab, lan, lan.public)
    wait("the lie to be noticed", lambda: mapping(a)["state"] == "waiting", timeout=60)
    m = mapping(a)
    check("nothing comes in through it" in m["why"] and not m["verified"], f"the lie: {m}")
    check("40404" not in str(a.json("status")["public"]), "the lie became a candidate")
    a.wait_direct(b)


GARBAGE = r"""
import socket, sys, threading, time
# Answers searches for gateways; what its HTTP says is up to the path.
ip, kind = sys.argv[1:3]
tick = threading.Event()
def http(c):
    try:
        c.recv(4000)
        if kind == 'slow':
            c.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n<')
            while True:
                tick.wait(0.5)
                c.sendall(b'x')
        elif kind == 'huge':
            c.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 2000000000\r\n\r\n')
            while True:
                c.sendall(b'<a>' * 20000)
        else:
            c.sendall(b'HTTP/1.1 200 OK\r\n\r\n<root><URLBase>http://127.0.0.1:22</URLBase>'
                      b'<device><serviceList><service><serviceType>' + b'A' * 100000)
    except OSError:
        pass
    c.close()
def serve():
    l = socket.socket()
    l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    l.bind((ip, 5000))
    l.listen(50)
    while True:
        threading.Thread(target=http, args=(l.accept()[0],), daemon=True).start()
threading.Thread(target=serve, daemon=True).start()
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('0.0.0.0', 1900))
s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
             socket.inet_aton('239.255.255.250') + socket.inet_aton(ip))
print('ready', flush=True)
while True:
    d, who = s.recvfrom(2000)
    for n in range(3):
        s.sendto(('HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nLOCATION: http://%s:5000/%d.xml\r\n'
                  'ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n' % (ip, n)).encode(),
                 who)
"""


@scenario(long="takes a quarter of a minute")
def hostile_upnp_keeps_nobody(lab):
    """Garbage, endless and dripping answers: the daemon answers, makes paths and ends at once."""
    coordinator = lab.coordinator()
    b = lab.host("b")
    hosts = []
    for kind in ("slow", "huge", "garbage"):
        lan = lab.masquerade("l" + kind, drop_input=True)
        p = lan.ns.start(sys.executable, "-c", GARBAGE, f"{lan.subnet4}.1", kind, name=kind)
        wait("the device", lambda x=p: x.must_run() or "ready" in x.text())
        hosts.append(lab.host("h" + kind, lan))
    lab.network(coordinator, [b] + hosts)
    for h in hosts:
        wait("the device to be asked", lambda x=h: mapping(x)["protocol"] == "UPnP" or
             mapping(x)["state"] == "waiting")
        h.wait_direct(b)
    for h in hosts:
        wait("the device to be given up", lambda x=h: mapping(x)["state"] == "waiting", 40)
        check("UPnP: " in mapping(h)["why"], f"why: {mapping(h)}")
    for h in hosts:
        equal(h.stop_daemon(), 0, "the daemon ends")


@scenario(long="takes over a minute")
def a_mapping_that_the_router_forgets_is_made_again(lab):
    """The mapping is deleted behind everybody's back; it is noticed from outside, and healed."""
    coordinator = lab.coordinator()
    routers = Router(lab, "la"), Router(lab, "lb", pmp=False)
    a, b = lab.host("a", routers[0].lan), lab.host("b", routers[1].lan)
    lab.network(coordinator, [a, b])
    wait_mapped(a, "PCP")
    wait_mapped(b, "UPnP")
    for r in routers:
        r.forget()
    for r, h in zip(routers, (a, b)):
        wait("it to be mapped again", r.mapped, timeout=120)
        wait("it to be proven again", lambda x=h: verified(x))


@scenario
def an_ipv6_pinhole_is_opened(lab):
    """PCP on IPv6: the firewall lets a stranger in."""
    host = lab.host("coord")
    coordinator = lab.coordinator(host, args=["--public", host.ip6])
    router = Router(lab, "la", random=False, ipv6=True)
    a, b = lab.host("a", router.lan), lab.host("b")
    lab.network(coordinator, [a, b])
    m = wait("a pinhole", lambda: verified(a, "ipv6"))
    equal(m["protocol"], "PCP", "the protocol")
    check(m["external"].startswith(f"[{a.ip6}]"), f"the pinhole: {m}")


@scenario
def it_can_be_switched_off(lab):
    coordinator = lab.coordinator()
    router = Router(lab, "la")
    a = lab.host("a", router.lan)
    a.run("sh", "-c", "cat >/run/off.conf", stdin="[traversal]\nportmap = off\n")
    a.daemon("--config", "/run/off.conf")
    a.create(coordinator.url())
    m = mapping(a)
    equal((m["state"], router.mapped()), ("off", 0), "switched off")
    check("portmap" in m["why"], f"why: {m}")


@scenario
def a_phone_comes_by_a_port_that_the_router_maps(lab):
    """The file names the router's address; the router forgets, and the phone is back by itself."""
    coordinator = lab.coordinator()
    router = Router(lab, "home")
    nas, alice = lab.host("nas", router.lan), lab.host("alice", lab.masquerade("away", drop_input=True, random=True))
    lab.network(coordinator, [nas, alice])
    m = wait_mapped(nas, "PCP")
    phone = Phone(lab, "phone", lab.lan("mobile", "profile=symmetric"))
    file = nas.ctl("export", "phone").out
    check(f"Endpoint = {m['external']}\n" in file and m["external"].startswith(f"{router.lan.public}:"), f"{file} {m}")
    phone.use(file)
    meets(phone, nas)
    meets(phone, alice)
    router.reboot()
    wait("the phone to be back after the router's restart", lambda: phone.pings(alice.addr()), 60)
    check(not any("(phone)" in p for p in nas.json("status")["problems"]), "its file is as right as before")


LIBRARIES = {"p2pvpnd": ("libminiupnpc.so", "libnatpmp.so"), "p2pvpnctl": ("libqrencode.so",)}


def take_libraries(host, program):
    """The files of these libraries become empty for this host. Returns how to give them back."""
    found = [line.split()[0] for line in host.run("ldconfig", "-p").out.splitlines()
             if line.split() and line.split()[0].startswith(LIBRARIES[program])]
    paths = {line.split(" => ")[1] for line in host.run("ldconfig", "-p").out.splitlines()
             if " => " in line and line.split()[0] in found}
    for path in paths:
        host.run("mount", "--bind", "/dev/null", path)
    check(paths, f"no library of {LIBRARIES[program]}")
    return lambda: [host.run("umount", path) for path in paths]


@scenario
def a_missing_library_keeps_nobody_out(lab):  # remedy: install_library
    """Without miniupnpc the node joins, maps its port by NAT-PMP, and says where UPnP alone would help what is missing;
    without libqrencode p2pvpnctl does all but draw codes. With the library back UPnP maps the port."""
    coordinator = lab.coordinator()
    pmp, upnp = Router(lab, "pmp", upnp=False), Router(lab, "upnp", pmp=False)
    pmp.ns.nft(NO_PCP)
    a, b = lab.host("a", pmp.lan), lab.host("b", upnp.lan)
    back = [take_libraries(host, program) for host in (a, b) for program in LIBRARIES]
    lab.network(coordinator, [a, b])
    wait_mapped(a, "NAT-PMP")
    a.wait_peer(b)
    wait("the missing library to be named", lambda: "UPnP" in str(b.json("status")["problems"]), timeout=60)
    said = next(p for p in b.json("status")["problems"] if "UPnP" in p)
    check("libminiupnpc.so" in said and "install the package of that library" in said, said)
    check("libminiupnpc.so" in b.ctl("doctor", check_rc=False).out, "doctor")
    r = a.ctl("export", "--qr=/run/code.svg", "phone", check_rc=False)
    check(r.code != 0 and "libqrencode" in r.err, f"a code without the library: {r}")
    for give in back:
        give()
    wait_mapped(b, "UPnP")
    check("UPnP" not in str(b.json("status")["problems"]), "the problem stays")
