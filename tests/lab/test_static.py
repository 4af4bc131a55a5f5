# SPDX-License-Identifier: MIT
"""Stock WireGuard (wireguard-go and wg) talks to p2pvpnd through [peer NAME], and as a phone."""
import json
import os
import re
import shutil
import signal
import struct
import sys
import time

from exitlab import seen_as, world
from lab import (LONG, SLOW, Coordinator, Skip, Stopwatch, answered, check, copy, equal, pause, scenario, ssh_login,
                 wait)
from nsslab import STRANGER, ask
from phonelab import Phone, meets
from turnlab import coordinator_status, relays

PROGRAMS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs")


def key(host):
    private = host.run("wg", "genkey").out.strip()
    return private, host.run("wg", "pubkey", stdin=private + "\n").out.strip()


def need_stock():
    for tool in ("wireguard-go", "wg"):
        if shutil.which(tool) is None:
            raise Skip(f"{tool} is not installed")


def start_wireguard(host):
    """wireguard-go, when it listens: a socket that is bound and does not yet is removed by the wg that finds it."""
    wg = host.start("wireguard-go", "-f", "wg0", env={"LOG_LEVEL": "error"})
    wait("wireguard-go to be there", lambda: wg.must_run() or "/wireguard/wg0.sock" in host.run("ss", "-Hxl").out)
    return wg


class Pair:
    """p2pvpnd on `ours` as a plain WireGuard node, wireguard-go on `stock`."""

    def __init__(self, lab, psk=False, endpoint="both", lan=None, ipv6=False, user=False):
        need_stock()
        self.lab = lab
        self.ours, self.stock = lab.host("ours", lan), lab.host("stock")
        if user:
            self.ours.without_root()
        self.ours.run("mkdir", "-p", self.ours.etc)
        self.config = f"{self.ours.etc}/d.conf"
        self.stock_at = f"[{self.stock.ip6}]" if ipv6 else self.stock.ip4
        self.our_private, self.our_public = key(self.ours)
        self.stock_private, self.stock_public = key(self.stock)
        self.psk = self.ours.run("wg", "genpsk").out.strip() if psk else None
        self.endpoint = endpoint
        self.write_config()
        self.ours.daemon("--config", self.config, "--port", "51820")
        self.start_stock()

    def write_config(self):
        self.ours.run("sh", "-c", f"umask 077; cat >{self.ours.etc}/key", stdin=self.our_private + "\n")
        peer = [f"public-key = {self.stock_public}",
                "allowed-ips = 10.77.0.2/32", "allowed-ips = fd77::2/128"]
        if self.endpoint in ("both", "ours"):
            peer.append(f"endpoint = {self.stock_at}:51821")
        if self.psk:
            self.ours.run("sh", "-c", f"umask 077; cat >{self.ours.etc}/psk", stdin=self.psk + "\n")
            peer.append(f"preshared-key-file = {self.ours.etc}/psk")
        text = ("[interface]\naddress = 10.77.0.1/24\naddress = fd77::1/64\n"
                f"private-key-file = {self.ours.etc}/key\n[peer phone]\n" + "\n".join(peer) + "\n")
        self.ours.run("sh", "-c", f"cat >{self.config}", stdin=text)

    def start_stock(self):
        self.wg = start_wireguard(self.stock)
        self.stock.run("sh", "-c", "umask 077; cat >/run/key", stdin=self.stock_private + "\n")
        args = ["wg", "set", "wg0", "listen-port", "51821", "private-key", "/run/key",
                "peer", self.our_public, "allowed-ips", "10.77.0.1/32,fd77::1/128"]
        if self.endpoint in ("both", "stock"):
            args += ["endpoint", f"{self.ours.ip4}:51820"]
        if self.psk:
            self.stock.run("sh", "-c", "umask 077; cat >/run/psk", stdin=self.psk + "\n")
            args += ["preshared-key", "/run/psk"]
        self.stock.run(*args)
        self.stock.ip("addr add 10.77.0.2/24 dev wg0", "addr add fd77::2/64 dev wg0 nodad",
                      "link set wg0 mtu 1420 up")

    def both_ways(self, timeout=60):
        wait("ours to reach stock", lambda: self.ours.os_ping("10.77.0.2", timeout=1), timeout)
        wait("stock to reach ours", lambda: self.stock.os_ping("10.77.0.1", timeout=1), timeout)
        wait("ours to reach stock by IPv6", lambda: self.ours.os_ping("fd77::2", timeout=1), timeout)
        wait("stock to reach ours by IPv6", lambda: self.stock.os_ping("fd77::1", timeout=1), timeout)


def initiates(lab, who):
    pair = Pair(lab, endpoint=who)
    first, second = (pair.ours, pair.stock) if who == "ours" else (pair.stock, pair.ours)
    address = "10.77.0.2" if who == "ours" else "10.77.0.1"
    check(first.os_ping(address), f"the first ping when {who} begins")
    pair.both_ways()
    return pair


@scenario
def we_begin(lab):
    pair = initiates(lab, "ours")
    row = pair.ours.peer("phone")
    equal(row["path"]["type"], "static", "path type")
    equal(row["wg_key"], pair.stock_public, "wg_key")
    equal(row["key"], None, "key of a static peer")
    check(row["last_handshake"], "no time of the last handshake")
    said = pair.ours.ctl("why", "phone", "-l").out
    check("nothing is wrong: the last handshake with phone succeeded" in said, said)


@scenario
def stock_begins(lab):
    initiates(lab, "stock")


@scenario
def the_first_packets_wait_for_the_interface(lab):
    """The other end is there, and this one is about to be: its handshake is answered when there is an interface for
    the packets that follow."""
    pair = Pair(lab, endpoint="stock")
    pair.ours.p2pvpnd.end()
    pair.ours.run("sh", "-ec", "cp /usr/sbin/ip /run/ip; printf '#!/bin/sh\\nsleep 1.5\\nexec /run/ip \"$@\"\\n' >/run/slow;"
                  "chmod 755 /run/slow; mount --bind /run/slow \"$(readlink -f /usr/sbin/ip)\"")
    pair.ours.daemon("--config", pair.config, "--port", "51820", wait_ready=False)
    wait("its socket", lambda: pair.ours.run("ss", "-Hlun", "sport = :51820").out.strip())
    check(pair.stock.os_ping("10.77.0.1"), "the first ping is lost")
    pair.both_ways()


@scenario
def a_user_without_root_meets_stock(lab):
    Pair(lab, psk=True, user=True).both_ways()


@scenario
def preshared_key_and_its_absence(lab):
    pair = Pair(lab, psk=True)
    pair.both_ways()
    # With another psk nothing passes.
    pair.stock.run("sh", "-c", "wg genpsk >/run/psk2")
    pair.stock.run("wg", "set", "wg0", "peer", pair.our_public, "preshared-key", "/run/psk2")
    pair.wg.end()
    pair.psk, right = pair.stock.run("cat", "/run/psk2").out.strip(), pair.psk
    pair.start_stock()
    check(not pair.ours.os_ping("10.77.0.2", timeout=3), "ping with a wrong preshared key")
    pair.wg.end()
    pair.psk = right
    pair.start_stock()
    pair.both_ways()


@scenario
def both_ends_restart(lab):
    pair = Pair(lab)
    pair.both_ways()
    pair.ours.p2pvpnd.end()
    pair.ours.daemon("--config", pair.config, "--port", "51820")
    pair.both_ways()
    pair.wg.end()
    pair.start_stock()
    pair.both_ways()
    pair.ours.p2pvpnd.kill()
    pair.ours.daemon("--config", pair.config, "--port", "51820")
    pair.both_ways()


@scenario
def both_ends_roam(lab):
    pair = Pair(lab)
    pair.both_ways()
    # Stock moves to another port and says something: we follow.
    pair.stock.run("wg", "set", "wg0", "listen-port", "51999")
    # A packet on its way to the old endpoint while we learn the new one may be lost: at most that.
    check(pair.stock.os_ping("10.77.0.1", count=3), "pings after stock moved")
    check(pair.ours.os_ping("10.77.0.2"), "ping to where stock moved")
    check(":51999" in pair.ours.peer("phone")["path"]["remote"], "our idea of stock's endpoint")
    # Stock moves to another address.
    lab.attach(pair.stock, lab.inet, ipv6=False)
    pair.stock.ip("link del eth0")
    # wireguard-go keeps the source address it sent from; a new port makes it choose again.
    pair.stock.run("wg", "set", "wg0", "listen-port", "51888")
    check(pair.stock.os_ping("10.77.0.1", count=3), "pings after stock changed its address")
    check(pair.ours.os_ping("10.77.0.2"), "ping to stock's new address")
    # We move: stock follows.
    old = pair.ours.ip4
    lab.attach(pair.ours, lab.inet, ipv6=False)
    pair.ours.ip("link del eth0")
    wait("ours to reach stock from a new address",
         lambda: pair.ours.os_ping("10.77.0.2", timeout=1))
    endpoints = pair.stock.run("wg", "show", "wg0", "endpoints").out
    check(old not in endpoints, f"stock still sends to {endpoints}")


def silent_router(lab, mtu, *settings):
    return lab.lan("home", "profile=port-restricted", f"mtu-out={mtu}", f"mtu-in={mtu}", *settings)


@scenario
def a_narrow_path_whose_router_says_nothing(lab):
    """Nobody at the other end answers probes, so what we send may be cut on the way. (Stock sets DF
    itself: its interface is made small.)"""
    pair = Pair(lab, endpoint="ours", lan=silent_router(lab, 1280, "mtu-icmp=no"))
    pair.both_ways()
    pair.stock.ip("link set wg0 mtu 1200", "route replace 10.77.0.1/32 dev wg0 advmss 1380")
    for _ in range(3):  # of several, ping gives the last one the time between two alone
        r = pair.ours.run("ping", "-n", "-c", "1", "-W", "10", "-s", "1392", "-M", "do", "10.77.0.2", check_rc=False)
        check("1 received" in r.out, f"full packets over a narrow path: {r.out}")
    ssh_login(pair.ours, pair.stock, "10.77.0.2")
    copy(pair.ours, "10.77.0.2")


@scenario(long="IPv6 alone; the rest of it is in unit tests")
def a_narrow_path_over_ipv6(lab):
    """Only the sender can cut there, and is told how much fits."""
    lan = lab.lan("home", "ipv6=forward", "mtu-out=1340", "mtu-in=1340", ipv6=True)
    pair = Pair(lab, endpoint="ours", lan=lan, ipv6=True)
    pair.both_ways()
    pair.stock.ip("link set wg0 mtu 1200", "route replace 10.77.0.1/32 dev wg0 advmss 1380")

    def fits(inner):
        pair.ours.run("ip", "route", "flush", "cache")
        r = pair.ours.run("ping", "-n", "-c", "1", "-W", "1", "-s", str(inner - 28), "-M", "do",
                          "10.77.0.2", check_rc=False)
        return "1 received" in r.out
    wait("the path to be told", lambda: not fits(1420) and pair.ours.peer("phone")["path"]["mtu"]
         < 1420)
    equal(pair.ours.peer("phone")["path"]["mtu"], 1280, "path's MTU")
    check(fits(1280), "1280 bytes, which the host cuts")
    ssh_login(pair.ours, pair.stock, "10.77.0.2")
    copy(pair.ours, "10.77.0.2")


@scenario(long="takes 130 s")
def traffic_over_a_rekey(lab):
    """120 s after the handshake the initiator makes new keys."""
    pair = Pair(lab)
    pair.both_ways()
    first = pair.ours.peer("phone")["last_handshake"]
    for _ in range(26):
        pause(5, "the keys' life")
        check(pair.ours.os_ping("10.77.0.2"), "ping during the rekey")
        check(pair.stock.os_ping("10.77.0.1"), "ping during the rekey, the other way")
    check(pair.ours.peer("phone")["last_handshake"] > first + 100, "no new handshake")


@scenario
def beside_a_network(lab):
    """A static peer and members at once; neither may use the other's addresses."""
    pair = Pair(lab, endpoint="stock")
    pair.ours.p2pvpnd.end()
    config = pair.ours.run("cat", pair.config).out
    config = config[config.index("[peer"):]
    pair.ours.run("sh", "-c", f"cat >{pair.config}", stdin=config)
    coordinator = lab.coordinator()
    member = lab.host("member")
    pair.ours.daemon("--config", pair.config, "--port", "51820")
    member.daemon()
    pair.ours.create(coordinator.url())
    member.join(pair.ours.ctl("invite").out.strip())
    pair.ours.wait_peer(member)
    check(member.os_ping(member.addr(pair.ours)), "ping between members")
    names = pair.ours.peers()
    equal(names["phone"]["path"]["type"] in ("static", "none"), True, "path of the static peer")
    # The device key is the transport key now; stock learns it.
    wg_key = pair.ours.json("ip")["wg_key"]
    pair.our_public = wg_key
    overlay = pair.ours.addr()
    pair.stock.run("wg", "set", "wg0", "peer", wg_key, "allowed-ips", overlay + "/32", "endpoint",
                   f"{pair.ours.ip4}:51820")
    pair.stock.ip(f"route replace {overlay}/32 dev wg0")
    check(pair.stock.os_ping(overlay), "ping from stock to the member's overlay address")
    pair.stock.ip("addr add 10.66.9.9/32 dev wg0")
    r = pair.stock.run("ping", "-c", "1", "-W", "1", "-I", "10.66.9.9", overlay, check_rc=False)
    check("1 received" not in r.out, "a source outside of allowed-ips passed")
    # A line that names a member's address takes the member away from nobody.
    at = pair.ours.addr(member)
    pair.ours.run("sh", "-c", f"echo 'allowed-ips = {at}/32' >>{pair.config}")
    pair.ours.ctl("reload")
    pair.ours.wait_peer(member)
    problem = f"[peer phone] allowed-ips: {at} is the address of member member, which keeps it: take it out there"
    check(any(problem in x for x in pair.ours.json("status")["problems"]), pair.ours.json("status"))
    check(pair.ours.os_ping(at), "ping of the member")
    pair.stock.ip("addr del 10.66.9.9/32 dev wg0")
    wait("ping from stock, which makes new keys", lambda: pair.stock.os_ping(overlay, timeout=1), 60)


def phone_port_of(member):
    return relays(member).get("coordinator", {}).get("phone_port")


def allow_phone_ports(host):
    host.run("mkdir", "-p", "/etc/p2pvpn")
    host.run("sh", "-c", "cat > /etc/p2pvpn/coordinator.conf", stdin="[relay]\nports = 51000-51999\nphone-ports = 2\n")


class ByPhonePort:
    """A member behind a symmetric NAT, and wireguard-go behind another, which knows the member's phone port and nothing
    else; a second member beside them."""

    def __init__(self, lab):
        need_stock()
        self.lab = lab
        host = lab.host("coord")
        allow_phone_ports(host)
        self.coordinator = lab.coordinator(host)
        self.member, self.mate = lab.host("member", lab.lan("home", "profile=symmetric")), lab.host("mate")
        self.phone = lab.host("phone", lab.lan("mobile", "profile=symmetric"))
        self.private, public = key(self.phone)
        self.member.configure(f"[peer phone]\npublic-key = {public}\nallowed-ips = 10.99.0.2/32\nphone-port = on\n")
        lab.network(self.coordinator, [self.member, self.mate])
        self.at = self.member.addr()
        self.phone_port = self.wait_phone_port()

    def wait_phone_port(self):
        return wait("the phone port", lambda: phone_port_of(self.member))

    def start(self):
        phone = self.phone
        self.wg = start_wireguard(phone)
        phone.run("sh", "-c", "umask 077; cat >/run/key", stdin=self.private + "\n")
        phone.run("wg", "set", "wg0", "private-key", "/run/key", "peer", self.member.json("status")["self"]["wg_key"],
                  "allowed-ips", f"{self.at}/32", "endpoint", self.phone_port, "persistent-keepalive", "25")
        phone.ip("addr add 10.99.0.2/32 dev wg0", "link set wg0 mtu 1280 up", f"route add {self.at}/32 dev wg0")

    def back_within(self, seconds, what, change):
        """Pings both ways, ten a second, while something changes: both are back in that time after it."""
        pings = [h.start("ping", "-n", "-D", "-O", "-i", "0.1", to, name="ping")
                 for h, to in ((self.phone, self.at), (self.member, "10.99.0.2"))]

        def answers(ping):
            return [float(t) for t in re.findall(r"^\[([0-9.]+)\] \d+ bytes from", ping.text(), re.M)]
        for p in pings:
            wait(f"pings before {what}", lambda p=p: len(answers(p)) >= 5)
        watch = Stopwatch()
        change()
        changed = time.time()
        pause(0.3, "what was under way is through")
        for p in pings:
            n = len(answers(p))
            back = wait(f"pings after {what}", lambda p=p, n=n: answers(p)[n:])[0] - changed
            check(back < seconds * SLOW + watch.held(), f"{what}: {' '.join(p.argv[-1:])} answered after {back:.1f} s")
        for p in pings:
            p.end(signal.SIGINT)

    def move(self, host, lan):
        """Another cable, and nothing is said to anybody."""
        old = host.dev
        self.lab.attach(host, lan, ipv6=False)
        host.ip(f"link del {old}")


def datagrams(data):
    """The datagrams of one record of a capture: those that a program sends in one go (UDP_SEGMENT) are parted after a
    capture has heard them where the interface takes them whole, as veth does. All but the last are as long as the
    first, which of WireGuard's messages all but type 4 say by their type."""
    size = {b"\1": 148, b"\2": 92, b"\3": 64}.get(data[:1], len(data) or 1)
    return [data[i:i + size] for i in range(0, len(data) or 1, size)]


def wireguard_only(path, port):
    """The datagrams of this UDP port in a capture: how many, by WireGuard's type. All have its form."""
    kinds = {}
    with open(path, "rb") as f:
        while head := f.read(4):
            packet = f.read(struct.unpack(">I", head)[0])
            if len(packet) < 28 or packet[0] >> 4 != 4 or packet[9] != 17:
                continue
            udp = packet[(packet[0] & 15) * 4:struct.unpack(">H", packet[2:4])[0]]
            if port not in struct.unpack(">HH", udp[:4]):
                continue
            for data in datagrams(udp[8:]):
                fits = {1: len(data) == 148, 2: len(data) == 92, 3: len(data) == 64, 4: len(data) >= 32}
                check(data[1:4] == bytes(3) and fits.get(data[0]), f"no message of WireGuard's: {data[:40].hex()}")
                kinds[data[0]] = kinds.get(data[0], 0) + 1
    return kinds


@scenario
def a_phone_comes_by_a_phone_port(lab):
    x = ByPhonePort(lab)
    packets = os.path.join(lab.logs, "coord.packets")
    capture = x.coordinator.host.start(sys.executable, os.path.join(PROGRAMS, "capture.py"), packets,
                                       name="capture")
    wait("the capture to begin", lambda: capture.must_run() or "ready" in capture.text())
    x.start()
    check(x.phone.os_ping(x.at), "the first ping")
    check(x.member.os_ping("10.99.0.2"), "a ping to the phone")
    row = x.member.peer("phone")
    equal((row["path"]["type"], row["online"]), ("relay", True), "the path")
    check(x.phone_port in x.member.ctl("status", "-l").out, x.member.ctl("status", "-l").out)
    # TCP, begun by either.
    for server, client, address in ((x.member, x.phone, x.at), (x.phone, x.member, "10.99.0.2")):
        server.run("sh", "-c", "head -c 2000000 /dev/urandom >/run/data")
        web = server.start(sys.executable, "-m", "http.server", "-b", address, "-d", "/run", "8000", name="web")
        wait("the server to listen", lambda s=server: s.listens(8000))
        script = f"import urllib.request as u; print(len(u.urlopen('http://{address}:8000/data', timeout=60).read()))"
        equal(client.run(sys.executable, "-c", script).out.strip(), "2000000", "bytes by TCP")
        web.kill()

    x.back_within(10, "the coordinator's restart", x.coordinator.restart)
    equal(x.wait_phone_port(), x.phone_port, "the phone port after the coordinator's restart")
    x.back_within(10, "another address of the member",
                  lambda: x.move(x.member, lab.lan("other", "profile=symmetric")))
    # wireguard-go keeps the source address it sent from; a new port makes it choose again, as the app does.
    x.back_within(10, "another network of the phone", lambda: (
        x.move(x.phone, lab.inet), x.phone.run("wg", "set", "wg0", "listen-port", "51888")))
    x.member.restart_daemon()
    equal(x.wait_phone_port(), x.phone_port, "the phone port after the member's restart")
    equal(capture.end(), 0, "the capture's exit code")
    kinds = wireguard_only(packets, int(x.phone_port.split(":")[1]))
    check(kinds.get(1) and kinds.get(2) and kinds.get(4, 0) > 1000, f"messages seen at the phone port: {kinds}")


@scenario
def a_flood_at_a_phone_port_disturbs_nobody(lab):
    x = ByPhonePort(lab)
    x.start()
    check(x.phone.os_ping(x.at), "the first ping")
    address, port = x.phone_port.split(":")
    before = coordinator_status(x.coordinator)["relay"]
    flood = lab.host("evil").start(sys.executable, os.path.join(PROGRAMS, "phoneportflood.py"), address, port, "5", "5000")
    ping = x.phone.start("ping", "-n", "-i", "0.1", "-c", "50", "-W", "1", x.at, name="ping")
    for i in range(10):
        x.member.ctl("send", "mate", f"line {i}")
    check(x.member.os_ping(x.mate.addr(), count=5), "pings between members")
    ping.ended()
    lost = 40 - answered(ping.text(), 40)
    check(lost <= 2, f"{lost} of 40 of the phone's pings were lost")
    flood.ended()
    wait("the lines to be there", lambda: len(x.mate.json("history")["messages"]) == 10)
    sent = int(re.search(r"sent=(\d+)", flood.text())[1])

    def refused():
        after = coordinator_status(x.coordinator)["relay"]
        return sum(after["drops"][k] - before["drops"][k] for k in ("phone_port_limit", "phone_port_foreign"))
    # The coordinator may have some of them to read still.
    wait(f"most of {sent} to be refused", lambda: refused() > sent * 0.8)
# --- phones: members that have the stock app and no p2pvpnd ------------------------------------------

SERVE = """
import socket, sys, threading
s = socket.socket(socket.AF_INET6)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('::', int(sys.argv[1])))
s.listen(5)
print('ready', flush=True)
def give(c, left):
    while left > 0:
        left -= c.send(b'x' * min(left, 65536))
    c.close()
while True:
    c, _ = s.accept()
    threading.Thread(target=give, args=(c, int(sys.argv[2]))).start()
"""

FETCH = """
import socket, sys
c = socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3]))
c.settimeout(60)
n = 0
while (x := c.recv(1 << 20)):
    n += len(x)
print(n)
"""


def serve(host, port, size):
    p = host.start(sys.executable, "-c", SERVE, str(port), str(size), name=f"serve{port}")
    wait("the server", lambda: "ready" in p.text())


def fetch(host, to, port, timeout=1.5):
    """How many bytes the server gives; None: nobody answers."""
    r = host.run(sys.executable, "-c", FETCH, to, str(port), str(timeout), check_rc=False, timeout=200)
    return int(r.out) if r.code == 0 else None


def gateway(lab, lan=None):
    """nas, an admin that is a gateway of phones, and alice behind a NAT. The first resolver of nas is out of order."""
    nas, alice = lab.host("nas", lan), lab.host("alice", lab.lan("home", "profile=port-restricted"))
    resolver = lab.host("resolver")
    nas.asked = resolver.start("python3", "-c", STRANGER, "wildcard", resolver.ip4, name="asked")
    nas.run("sh", "-ec", f"printf 'nameserver 127.0.0.1\\nnameserver {resolver.ip4}\\n' >/run/resolv.conf; "
            "mount --bind /run/resolv.conf /etc/resolv.conf")
    nas.configure("[dns]\nlisten = on\n")
    for switch in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):  # as most machines have it
        nas.run("sh", "-c", f"echo 0 >/proc/sys/net/{switch}")
    lab.network(lab.coordinator(), [nas, alice])
    nas.wait_direct(alice)
    return nas, alice


def names_of_the_world(phone, alice, nas):
    """The app asks the gateway for everything, and nobody else; it asks for phones alone."""
    def found(name):
        return phone.host.run("getent", "ahostsv4", name, check_rc=False).out.split()[:1]
    wait("a name of the world on the phone", lambda: found("www.example.org") == ["192.0.2.66"])
    heard = nas.asked.text()
    check("asked www.example.org" in heard and "p2p" not in heard, heard)
    equal(ask(phone.host, nas.addr(), "www.example.com", 1), (0, False, [bytes((192, 0, 2, 66))]), "by a datagram")
    # a long answer needs TCP, by which a resolver of libc asks again (RFC 7766)
    equal(phone.host.run("sh", "-c", "getent ahostsv4 long.example.org | grep -c STREAM", check_rc=False).out.strip(), "200",
          "addresses of a name that has many")
    equal(ask(alice, nas.addr(), "long.example.net", 1, way="tcp")[0], 5, "what a member is told of it by TCP")
    equal(ask(alice, nas.addr(), "www.example.net", 1)[0], 5, "what a member is told of it that is no phone")
    check("example.net" not in nas.asked.text(), "it was asked all the same")


def redirects(name, text):
    """Redirects that this host sent, by /proc/net/snmp or snmp6."""
    if name == "Icmp6":
        return int(re.search(r"^Icmp6OutRedirects\s+(\d+)", text, re.M)[1])
    head, values = (line.split() for line in text.splitlines() if line.startswith("Icmp: "))
    return int(values[head.index("OutRedirects")])


@scenario
def a_phone_is_a_member_by_its_stock_app(lab):
    size = (200 if LONG else 5) * 1000000
    nas, alice = gateway(lab)
    phone = Phone(lab, "phone", lab.lan("mobile", "profile=symmetric"))
    said = nas.ctl("export", "phone")
    check(f"Endpoint = {nas.ip4}:" in said.out, said)
    check("kept nowhere" in said.err and "remove phone" in said.err, said)
    check("remove phone" in nas.ctl("export", "phone", code=11).err, "the name twice")
    check("no admin" in alice.ctl("export", "tablet", code=11).err, "by a member that is no admin")
    phone.use(said.out)
    meets(phone, nas)
    meets(phone, alice)
    for host in (nas, alice):
        equal(host.peer("phone")["gateway"], "nas", f"the gateway of phone at {host.name}")
    check(nas.peer("phone")["last_handshake"], "no time of the last handshake")
    for host in (nas, alice):
        wait(f"{host.name} to show the phone as online", lambda: host.peer("phone")["online"], timeout=30)
        check(re.search(r"phone .* via nas .* now", host.ctl("peers").out), host.ctl("peers"))
        check(abs(host.peer("phone")["last_handshake"] - nas.peer("phone")["last_handshake"]) < 30, "another last handshake")
        check("is a phone" in host.ctl("why", "phone", "-l").out or host is nas, host.ctl("why", "phone", "-l"))
    equal(alice.json("status")["roster"]["online"], 3, "members online: nas, alice and the phone")
    check("does not offer" not in nas.ctl("route").out, "a permission to be a phone's gateway among those to carry networks")

    network = nas.json("status")["network"]["name"]
    check(phone.pings(f"alice.{network}.p2p", 15), "the phone finds alice by its name")
    check(phone.pings("nas", 15), "and nas by its short name")
    equal(alice.addr("phone"), phone.ip4, "the phone's address by name")
    check(phone.pings(alice.addr(family=6), 15), "ping over IPv6")
    names_of_the_world(phone, alice, nas)

    for host in (nas, alice, phone.host):
        serve(host, 8080, size)
        serve(host, 8081, 1)
    equal(fetch(phone.host, alice.addr(), 8080, 30), size, "bytes from alice to the phone")
    equal(fetch(alice, phone.ip4, 8080, 30), size, "bytes from the phone to alice")
    for who, to in ((phone.host, alice.addr(family=6)), (alice, alice.addr("phone", family=6)), (nas, nas.addr("phone", family=6))):
        equal(fetch(who, to, 8081, 30), 1, f"what {who.name} gets over IPv6 from {to}")

    phone.move(lab.lan("cafe", "profile=port-restricted"))
    wait("the phone to reach alice from elsewhere", lambda: phone.pings(alice.addr()))
    check(alice.os_ping(phone.ip4), "alice reaches it there")

    for of, to in (("phone", "alice"), ("alice", "phone"), ("phone", "nas"), ("nas", "phone")):
        nas.ctl("deny", of, to, "tcp/8080")
    wait("alice to know the rules", lambda: len(alice.json("rules")["rules"]) == 4)
    for a, b in ((phone.host, alice.addr()), (alice, phone.ip4), (phone.host, nas.addr()), (nas, phone.ip4)):
        allowed = fetch(a, b, 8081, 30)
        equal(allowed, 1, f"what {a.name} may reach at {b}")
        wait(f"{a.name} not to reach port 8080 of {b}", lambda a=a, b=b: fetch(a, b, 8080) is None)
        equal(fetch(a, b, 8080), None, f"what {a.name} may not reach at {b}")

    if LONG:  # by a phone port it is done in any case
        nas.restart_daemon()
        wait("the phone to be back", lambda: phone.pings(alice.addr()))
    for name, text in (("Icmp", nas.run("cat", "/proc/net/snmp").out), ("Icmp6", nas.run("cat", "/proc/net/snmp6").out)):
        equal(redirects(name, text), 0, f"redirects by {name}")
    watch = Stopwatch()
    nas.ctl("remove", "phone")
    wait("the phone to be out", lambda: not phone.pings(alice.addr()) and
         not alice.os_ping(phone.ip4, timeout=1))
    check(watch.seconds() < 6 * SLOW, "it took too long")
    check(nas.peer("phone") is None, "the phone is still listed")


@scenario
def a_phone_of_a_node_that_is_gone_is_made_anew(lab):
    """Nobody carries it, and what is said of it names the remedy."""
    nas, alice = lab.host("nas"), lab.host("alice")
    lab.network(lab.coordinator(), [nas, alice])
    nas.ctl("admin", "grant", "alice")
    nas.ctl("export", "phone")
    wait("alice to hear of the phone", lambda: (alice.peer("phone") or {}).get("gateway") == "nas")
    check("lose their connection: phone" in nas.ctl("leave").err, "a leave that says nothing of the phone")
    wait("nas to be gone", lambda: alice.peer("nas") is None)
    check("via nas (former, key:" in alice.ctl("peers").out, alice.ctl("peers"))
    check("`sudo p2pvpnctl remove phone`" in alice.ctl("why", "phone", "-l").out, alice.ctl("why", "phone", "-l"))
    check("is a phone" in alice.ctl("send", "phone", "hi", code=1).err, "a message to a phone that nobody carries")
    check("remove phone" in alice.ctl("export", "phone", code=11).err, "the name that the phone has")
    alice.ctl("remove", "phone")
    check("[Interface]" in alice.ctl("export", "phone").out, "the phone anew")


@scenario(whole="half a minute of waiting")
def a_phone_finds_a_member_behind_a_nat_by_its_phone_port(lab):
    host = lab.host("coord")
    allow_phone_ports(host)
    coordinator = lab.coordinator(host)
    size = (200 if LONG else 5) * 1000000
    nas, alice = lab.host("nas", lab.lan("home", "profile=symmetric")), lab.host("alice")
    nas.configure("[dns]\nlisten = on\n")
    lab.network(coordinator, [nas, alice])
    phone = Phone(lab, "phone", lab.lan("mobile", "profile=symmetric"))
    file = nas.ctl("export", "phone").out
    phone_port = phone_port_of(nas)
    check(f"Endpoint = {phone_port}\n" in file, file)
    phone.use(file)
    meets(phone, nas)
    meets(phone, alice)
    network = nas.json("status")["network"]["name"]
    check(phone.pings(f"alice.{network}.p2p", 15) and phone.pings("nas", 15), "the phone finds members by name")
    for host in (nas, phone.host):
        serve(host, 8080, size)
    equal(fetch(phone.host, nas.addr(), 8080, 30), size, "bytes from nas to the phone")
    equal(fetch(alice, phone.ip4, 8080, 30), size, "bytes from the phone to alice")
    phone.move(lab.lan("cafe", "profile=symmetric"))
    watch = Stopwatch()
    wait("the phone to reach alice from elsewhere", lambda: phone.pings(alice.addr()))
    check(watch.seconds() < 10 * SLOW, "it took too long")
    coordinator.restart()
    watch = Stopwatch()
    wait("the phone to reach alice after the coordinator's restart", lambda: phone.pings(alice.addr()))
    check(watch.seconds() < 10 * SLOW, "it took too long")
    nas.restart_daemon()
    equal(wait("the phone port after the gateway's restart", lambda: phone_port_of(nas)), phone_port, "the phone port")
    wait("the phone to be back after the gateway's restart", lambda: phone.pings(alice.addr()))
    nas.ctl("remove", "phone")
    wait("the phone to be out", lambda: not phone.pings(alice.addr()) and
         not alice.os_ping(phone.ip4, timeout=1))
    wait("the phone port to be closed", lambda: phone_port_of(nas) is None)


@scenario(whole="a minute of waiting")
def a_member_says_where_it_is_reached_and_which_files_are_wrong(lab):
    """An admin exports for nas, which is behind a NAT; then the network has another coordinator, and so another phone port."""
    hosts = [lab.host("coord"), lab.host("other")]
    for host in hosts:
        allow_phone_ports(host)
    old = lab.coordinator(hosts[0])
    new = Coordinator(lab, hosts[1])
    admin, nas = lab.host("admin"), lab.host("nas", lab.lan("home", "profile=symmetric"))
    lab.network(old, [admin, nas])
    admin.wait_peer(nas)
    check("gateway = on" in admin.ctl("export", "phone", "--by", "nas", code=11).err, "nas has not agreed")
    nas.configure("[dns]\nlisten = on\n[phones]\ngateway = on\n")  # remedy: agree_there
    nas.restart_daemon()
    admin.wait_peer(nas)
    said = admin.ctl("export", "phone", "--by", "nas")
    phone_port = wait("the phone port", lambda: phone_port_of(nas))
    check(f"Endpoint = {phone_port}\n" in said.out and f"DNS = {nas.addr()}, " in said.out, said)
    phone = Phone(lab, "phone", lab.lan("mobile", "profile=symmetric"))
    phone.use(said.out)
    meets(phone, admin)
    equal(admin.peer("phone")["gateway"], "nas", "the gateway")

    admin.ctl("network", "coordinators", "add", new.url())
    moved = wait("a phone port at the new one", lambda: (phone_port_of(nas) or phone_port) != phone_port and phone_port_of(nas), 60)
    check(moved.startswith(hosts[1].ip4), moved)
    problem = wait("status to name the phone", lambda: next((
        p for p in nas.json("status")["problems"] if "(phone)" in p), None), 60)
    check(f"change the endpoint in them to {moved}" in problem, problem)
    check("(phone)" in nas.ctl("doctor", "-l", check_rc=False).out, "doctor says nothing of it")
    phone.host.run("wg", "set", "phone", "peer", nas.json("status")["self"]["wg_key"], "endpoint", moved)
    meets(phone, admin)  # remedy: change_endpoint
    wait("status to name the phone no longer", lambda: not any("(phone)" in p for p in nas.json("status")["problems"]), 120)


@scenario(long="five machines more")
def five_phones(lab):
    nas, alice = gateway(lab)
    phones = [Phone(lab, f"phone{i}", lab.lan(f"mobile{i}", "profile=symmetric")) for i in range(5)]
    for phone in phones:
        phone.use(nas.ctl("export", phone.name).out)
    for phone in phones:
        meets(phone, alice)
    for a, b in zip(phones, phones[1:]):
        wait(f"{a.name} to reach {b.name}", lambda a=a, b=b: a.pings(b.ip4))
    nas.ctl("remove", "phone2")
    wait("one to be out", lambda: not phones[2].pings(alice.addr()))
    for phone in phones[:2] + phones[3:]:
        meets(phone, alice)


@scenario(long="an exit of a phone; phones and exits are tested by themselves")
def a_phone_sends_everything_by_its_gateway(lab):
    _, _, alice, exit_, web = world(lab, lambda host: host.configure("[phones]\ngateway = on\n"))
    phone = Phone(lab, "phone", lab.lan("mobile", "profile=symmetric"))
    port = alice.path(exit_)["remote"].rsplit(":", 1)[1]
    args = ("export", "phone", "--by", "exit", "--endpoint", f"{exit_.ip4}:{port}")
    check("no exit" in alice.ctl("export", "tablet", "--everything", code=11).err, "by a member that is no exit")
    phone.use(alice.ctl(*args, "--everything").out)
    meets(phone, alice)
    wait("the phone to go out by the exit", lambda: seen_as(phone.host, web) == exit_.ip4)
    equal(alice.peer("phone")["gateway"], "exit", "the gateway")


def firewall(host, drop):
    """The coordinator's firewall: drops these UDP ports, or (None) nothing."""
    host.run("nft", "delete table inet ports", check_rc=False)
    if drop:
        host.nft(f"table inet ports {{\nchain input {{\ntype filter hook input priority 0\nudp dport {drop} drop\n}}\n}}\n")


def exports(member, *args):
    """The answer of an export, which is not long in coming."""
    watch = Stopwatch()
    said = member.ctl("export", *args, "--json")
    check(watch.seconds() < 6 * SLOW, f"it took {watch.seconds():.1f} s")
    return json.loads(said.out)


@scenario
def a_phone_port_behind_a_firewall_gives_no_file(lab):
    """The remedy is carried out as the answer says it. The gateway is elsewhere, so it tests the port alone."""
    host = lab.host("coord")
    allow_phone_ports(host)
    coordinator = lab.coordinator(host)
    nas = lab.host("nas", lab.lan("home", "profile=symmetric"))
    lab.network(coordinator, [nas])
    firewall(host, "51000-51999")
    nas.run("sh", "-c", "umask 077; mkdir -p /run/out")
    for args in ((), ("--qr",), ("--qr=/run/out/phone.svg",), ("--json",)):
        said = nas.ctl("export", "phone", *args, check_rc=False)
        check(said.code != 0 and "PrivateKey" not in said.out and "\u2588" not in said.out, said)
        check("open UDP ports 51000-51999 in the coordinator's firewall" in said.out + said.err, said)
    equal(nas.run("ls", "/run/out").out, "", "files of an export that failed")
    check(nas.peer("phone") is None, "a phone that nobody can use")
    wait("the port to be given up", lambda: phone_port_of(nas) is None)
    firewall(host, None)
    said = exports(nas, "phone")
    equal(said["port_test"], "passed", "the test")
    equal(said["endpoint"], phone_port_of(nas), "the endpoint")
