# SPDX-License-Identifier: MIT
"""A node that uses another as its exit, and a capture of what goes out beside it."""
import sys
import time

from lab import check, wait

PORT = 9999

# Says what goes out by the uplink that should not: to the server, and questions for names.
WATCH = """
import socket, struct, sys
dev, own, *targets = sys.argv[1:]
targets = [socket.inet_pton(socket.AF_INET6 if ':' in t else socket.AF_INET, t) for t in targets]
s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)  # with a protocol it would hear every interface until bind()
s.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS: when it left, and not when this was let to read it
s.bind((dev, 3))
print('ready', flush=True)
while True:
    try:
        p, more, _, who = s.recvmsg(65536, 64)
    except OSError:
        continue  # the interface went down, which is told once
    if who[2] != socket.PACKET_OUTGOING:
        continue
    if who[1] == 0x0800:
        proto, dst, l4 = p[9], p[16:20], p[(p[0] & 15) * 4:]
    elif who[1] == 0x86dd:
        proto, dst, l4 = p[6], p[24:40], p[40:]
    else:
        continue
    ports = proto in (6, 17) and len(l4) > 3
    port = struct.unpack('!H', l4[2:4])[0] if ports else 0
    if dst in targets or port in (53, 853, 5355):
        fam = socket.AF_INET if len(dst) == 4 else socket.AF_INET6
        at, ns = struct.unpack('qq', more[0][2][:16])
        what = port if ports else l4[:56].hex()  # of ICMP: its type, and the packet that it answers
        print('leak', proto, socket.inet_ntop(fam, dst), what, at + ns / 1e9, flush=True)
"""

# Sends all the time, as programs and resolvers do; a line for each round.
SENDER = """
import socket, sys, threading
web4, web6, router, port = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
pause = threading.Event()
IP_UNICAST_IF = 50
def send(family, to, how=None):
    s = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if how == 'interface':
            s.setsockopt(socket.IPPROTO_IP, IP_UNICAST_IF,
                         socket.htonl(socket.if_nametoindex('eth0')).to_bytes(4, sys.byteorder))
        s.sendto(b'x', to)
    except OSError:
        pass
    s.close()
while True:
    send(socket.AF_INET, (web4, port))
    send(socket.AF_INET6, (web6, port))
    for how in (None, 'interface'):
        send(socket.AF_INET, (router, 53), how)
        send(socket.AF_INET, (web4, 53), how)
    send(socket.AF_INET6, (web6, 53))
    t = socket.socket()
    t.setblocking(False)
    try:
        t.connect((web4, 80))
    except OSError:
        pass
    t.close()
    print('round', flush=True)
    pause.wait(0.02)
"""

# A listener at a port of UDP, and one datagram from an address of the sender's choice.
LISTEN = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 7800))
print('ready', flush=True)
while True:
    print(s.recv(100).decode(), flush=True)
"""
TELL = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 0))
s.sendto(sys.argv[3].encode(), (sys.argv[2], 7800))
"""


class Uplink:
    """The packets that leave by it in the clear, while a program sends all the time."""

    def __init__(self, host, web):
        self.router = f"{host.lan.subnet4}.1"
        self.watch = host.start(sys.executable, "-c", WATCH, host.dev, host.ip4, web.ip4, web.ip6, name="watch")
        wait("the capture", lambda: "ready" in self.watch.text())
        self.sender = host.start(sys.executable, "-c", SENDER, web.ip4, web.ip6, self.router, str(PORT),
                                 name="sender")
        self.forget()

    def rounds(self):
        self.sender.must_run()
        return self.sender.text().count("round")

    def go_round(self, n=3):
        until = self.rounds() + n
        wait("the sender to go round", lambda: self.rounds() >= until)

    def leaks(self):
        self.watch.must_run()
        found = [x.rsplit(" ", 1) for x in self.watch.text().splitlines() if x.startswith("leak")]
        return [what for what, at in found if float(at) > self.since]

    def forget(self):
        """Packets that have left until now do not count."""
        self.since = time.time()

    def tight(self, when):
        self.go_round()
        bad = self.leaks()
        check(not bad, f"{when}: {len(bad)} packets in the clear: {sorted(set(bad))}")

    def open(self, when):
        self.forget()
        wait(f"{when}: packets by the own way", lambda: len(self.leaks()) > 3)


def resolver(host, text):
    """A resolv.conf of its own."""
    host.run("sh", "-c", "cat >/run/resolv.conf; mount --bind /run/resolv.conf /etc/resolv.conf", stdin=text)


def elsewhere(lab, host, n):
    """Behind a router, as most of the internet is: no neighbour of the exit's."""
    near4, near6 = host.ip4, host.ip6
    host.ip4, host.ip6 = f"203.0.113.{200 + n}", f"2001:db8:f000::{n}"
    host.ip(f"addr add {host.ip4}/32 dev {host.dev}", f"addr add {host.ip6}/128 dev {host.dev} nodad")
    lab.inet.ns.ip(f"route add {host.ip4}/32 via {near4}", f"route add {host.ip6}/128 via {near6}")


def world(lab, at_exit=None):
    """Alice at home behind a NAT, an exit and a server in the public network. at_exit(host) runs before p2pvpnd."""
    coordinator = lab.coordinator()
    home = lab.masquerade("home", False, ipv6=True)
    alice, exit_, web = lab.host("alice", home), lab.host("exit"), lab.host("web")
    elsewhere(lab, web, 9)
    web.answer_udp(PORT, web.ip4)
    web.answer_udp(PORT, web.ip6)
    web.dns = web.answer_udp(53, web.ip4)
    for switch in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        exit_.run("sh", "-c", f"echo 0 >/proc/sys/net/{switch}")
    resolver(exit_, f"nameserver {web.ip4}\n")
    if at_exit is not None:
        at_exit(exit_)
    lab.network(coordinator, [alice, exit_])
    alice.wait_direct(exit_)
    exit_.ctl("exit", "offer")
    alice.ctl("route", "allow", "exit", "default")
    return coordinator, home, alice, exit_, web


def seen_as(host, web, family=4):
    """The address that the server sees, or None."""
    answer = host.udp_ask(web.ip4 if family == 4 else web.ip6, PORT)
    return answer.split()[0].replace("::ffff:", "") if answer else None


def use(alice, *args):
    """Once the offer has come; the path may take a moment."""
    wait("the exit to be used", lambda: alice.ctl("exit", "use", "exit", *args, check_rc=False).code == 0)


def through(alice, exit_, web, timeout=60):
    wait("IPv4 through the exit", lambda: seen_as(alice, web) == exit_.ip4, timeout)
    wait("IPv6 through the exit", lambda: seen_as(alice, web, 6) == exit_.ip6, timeout)
