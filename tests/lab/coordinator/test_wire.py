# SPDX-License-Identifier: MIT
"""The bytes that others read on the way: no name of ours in a whole life of a node, and hellos in one segment."""
import os
import signal
import struct
import sys

from lab import ROOT, Coordinator, check, equal, pause, scenario, wait
from test_portmap import NO_PCP, Router, wait_mapped
from turnlab import by

NAME = "p2pvpn"


class Capture:
    """All that goes over the cables of some networks, from its start on."""

    def __init__(self, lab, lans):
        program = os.path.join(ROOT, "tests", "lab", "programs", "capture.py")
        self.files, self.programs = [], []
        for lan in lans:
            path = os.path.join(lab.logs, f"{lan.name}.packets")
            self.files.append(path)
            self.programs.append(lan.ns.start(sys.executable, program, path, name="capture"))
        for p in self.programs:
            wait("the capture to begin", lambda p=p: p.must_run() or "ready" in p.text())

    def end(self):
        """Everything, as Said."""
        for p in self.programs:
            equal(p.end(), 0, "the capture's exit code")
        said = Said()
        for path in self.files:
            with open(path, "rb") as f:
                while head := f.read(4):
                    said.take(f.read(struct.unpack(">I", head)[0]))
        return said


class Said:
    """The bytes that passed: whole packets, and each direction of a TCP connection put together."""

    def __init__(self):
        self.packets = set()
        self.segments = {}  # direction -> {sequence number: bytes}
        self.udp = 0

    def take(self, packet):
        self.packets.add(packet)
        if packet[:1] and packet[0] >> 4 == 4 and len(packet) >= 20:
            head, protocol, addresses = (packet[0] & 15) * 4, packet[9], packet[12:20]
            packet = packet[:struct.unpack(">H", packet[2:4])[0]]
        elif packet[:1] and packet[0] >> 4 == 6 and len(packet) >= 40:
            head, protocol, addresses = 40, packet[6], packet[8:40]
        else:
            return
        self.udp += protocol == 17
        if protocol != 6 or len(packet) < head + 20:
            return
        tcp = packet[head:]
        data = tcp[(tcp[12] >> 4) * 4:]
        if data:
            flow = self.segments.setdefault((addresses, tcp[:4]), {})
            seq = struct.unpack(">I", tcp[4:8])[0]
            flow[seq] = max(data, flow.get(seq, b""), key=len)

    def streams(self):
        for flow in self.segments.values():
            text, end = bytearray(), None
            for seq in sorted(flow):
                data = flow[seq]
                if end is not None and seq < end:
                    data = data[end - seq:]
                if end is not None and seq > end:
                    text += b"\n(lost)\n"
                text += data
                end = max(end or 0, seq + len(flow[seq]))
            yield bytes(text)

    def find(self, word):
        """Where it is, in capitals or not, as ASCII or UTF-16: the bytes around."""
        needles = [word.lower().encode(x) for x in ("ascii", "utf-16-le", "utf-16-be")]
        found = set()
        for data in [*self.packets, *self.streams()]:
            small = data.lower()
            for needle in needles:
                at = small.find(needle)
                if at >= 0:
                    found.add(data[max(at - 24, 0):at + 24])
        return found

    def begins(self, first):
        """How many connections have a direction that begins so."""
        return sum(x.startswith(first) for x in self.streams())


def tls12(host, coordinator):
    """A stock client of an old TLS, whose certificates go in clear, at both ports."""
    for port in (443, 3478):
        r = host.run("openssl", "s_client", "-connect", f"{coordinator.public()}:{port}", "-tls1_2", stdin="",
                     check_rc=False)
        check("Cipher is ECDHE-" in r.out + r.err, f"TLS 1.2 at {port}: {r}")


ALLOCATE = """
import os, socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(1)
s.connect((sys.argv[1], 3478))
for _ in range(20):
    s.send(struct.pack('>HHI', 3, 8, 0x2112A442) + os.urandom(12) + struct.pack('>HHI', 0x19, 4, 17 << 24))
    try:
        print(s.recv(2000).hex())
        break
    except TimeoutError:
        pass
"""


def plant(sender, receiver):
    """The name in all the ways that are looked for: in datagrams, over two segments, and in a certificate."""
    words = {"a datagram": "b'x P2pVpn y'", "UTF-16": "'P2PVPN'.encode('utf-16-le')",
             "the other UTF-16": "'p2pvpn'.encode('utf-16-be')"}
    for word in words.values():
        sender.run(sys.executable, "-c", "import socket\n"
                   f"socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto({word}, ('{receiver.ip4}', 9))")
    receiver.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-keyout", "/run/k.pem", "-out", "/run/c.pem", "-subj", f"/CN={NAME}", "-days", "3000")
    server = receiver.start("openssl", "s_server", "-accept", "9443", "-key", "/run/k.pem", "-cert", "/run/c.pem",
                            "-tls1_2", "-www", name="s_server")
    split = receiver.start(sys.executable, "-c", "import socket\ns = socket.create_server(('', 9009))\n"
                           "print('ready', flush=True)\nc, _ = s.accept()\nwhile c.recv(100): pass", name="sink")
    wait("the servers", lambda: "ready" in split.text() and
         receiver.listens(9443))
    sender.run("openssl", "s_client", "-connect", f"{receiver.ip4}:9443", stdin="", check_rc=False)
    sender.run(sys.executable, "-c", "import fcntl, socket, struct, termios\n"
               f"s = socket.create_connection(('{receiver.ip4}', 9009))\n"
               "s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)\n"
               "for part in (b'P2P', b'Vpn'):\n"
               "    s.send(part)\n"
               "    while True:\n"
               "        if not struct.unpack('i', fcntl.ioctl(s, termios.TIOCOUTQ, bytes(4)))[0]: break\n")
    server.kill()


def live(lab, coordinator, nodes):
    """A life: an identity, a network, ports mapped, relays by UDP, TCP and TLS, direct paths, messages, a room, a
    file, another key, the coordinator gone and back, and the end."""
    a, b, c, no_udp, only_443 = nodes
    for h, protocol in ((a, "PCP"), (b, "UPnP"), (c, "NAT-PMP")):
        wait_mapped(h, protocol)
    a.wait_direct(b)
    c.wait_direct(a)
    for h, way in ((a, "udp"), (no_udp, "tcp"), (only_443, "tls")):
        check(h is a or h.os_ping(h.addr(a), timeout=20), f"{h.name} does not reach a")
        wait(f"a relay by {way}", lambda h=h, way=way: by(h, way))
    a.ctl("send", "b", "hello")
    a.ctl("room", "create", "crew")
    a.ctl("room", "invite", "crew", "c")
    wait("messages", lambda: [m["text"] for m in b.json("inbox", "--peek")["messages"]] == ["hello"])
    a.run("sh", "-c", "head -c 100000 /dev/urandom > /run/p2pvpn-file")
    a.ctl("send-file", "b", "/run/p2pvpn-file", timeout=60)
    for h in (a, only_443):
        h.ctl("netcheck", "--server", coordinator.public(), check_rc=False)
    answer = a.run(sys.executable, "-c", ALLOCATE, coordinator.public()).out
    check("relay".encode().hex() in answer, f"what somebody without credentials is told: {answer}")
    tls12(a, coordinator)
    a.ctl("key", "rotate")
    coordinator.restart(signal.SIGKILL)
    for h in nodes:
        wait(f"{h.name} to be connected", lambda h=h: (h.json("status")["coordinator"] or {}).get("connected"), 60)
    a.ping(b)
    c.ctl("leave")
    a.ctl("remove", "b")
    a.stop_daemon()


@scenario
def no_name_of_ours_goes_over_a_cable_in_clear(lab):
    routers = [Router(lab, "pcp"), Router(lab, "upnp", pmp=False), Router(lab, "pmp", upnp=False)]
    routers[2].ns.nft(NO_PCP)
    lans = [r.lan for r in routers] + [lab.lan("tcp", "profile=port-restricted", "udp=off"),
                                       lab.lan("tls", "profile=port-restricted", "udp=off", "tcp=443")]
    nodes = [lab.host(name, lan) for name, lan in zip("abcde", lans)]
    capture = Capture(lab, [lab.inet, *lans])
    coordinator = Coordinator(lab, lab.host("coord"), args=["--tls-listen", "0.0.0.0:443"])
    nodes[1].configure("[chat]\nauto-accept = *\n")
    lab.network(coordinator, nodes)
    live(lab, coordinator, nodes)
    pause(0.3, "the last packets are written down")
    said = capture.end()
    check(said.begins(b"P\x01\x00\x60") >= 4 and said.begins(b"\x16\x03") >= 4 and said.udp > 100,
          "the capture lacks the control channel, TLS or datagrams")
    check(said.find("urn:schemas-upnp-org") and said.find("relay"), "the capture lacks UPnP or the relay")
    equal(said.find(NAME), set(), "our name in clear")

    # The same search finds what is there.
    capture = Capture(lab, [lab.inet])
    sender = lab.host("sender")
    plant(sender, coordinator.host)
    pause(0.3, "the last packets are written down")
    found = capture.end().find(NAME)
    for what, needle in (("a datagram", b"x P2pVpn y"), ("UTF-16", b"P\0002\0P\0V\0P\0N"),
                         ("the other UTF-16", b"\0p\0002\0p\0v\0p\0n"), ("two segments", b"P2PVpn"),
                         ("a certificate", b"\x06p2pvpn")):
        check(any(needle in x for x in found), f"{what} was not found: {found}")


@scenario
def where_split_hellos_are_dropped_everything_gets_through(lab):
    """A box that reads only the first segment of a connection, in a network that lets nothing but 443 out."""
    coordinator = Coordinator(lab, lab.host("coord"), args=["--tls-listen", "0.0.0.0:443"])
    lan = lab.lan("east", "profile=port-restricted", "udp=off", "tcp=443", "whole-hello=yes")
    a, b = lab.host("a", lan), lab.host("b")
    lab.network(coordinator, [b, a])
    wait("a's relay by TLS", lambda: by(a, "tls"))
    a.wait_peer(b)
    check(a.os_ping(a.addr(b), timeout=10), "a does not reach b")
    found = a.json("netcheck", "--server", f"{coordinator.public()}:443")
    check(found, "netcheck says nothing")
    coordinator.restart()
    wait("a to be connected again", lambda: (a.json("status")["coordinator"] or {}).get("connected"), 60)
    wait("a's relay", lambda: by(a, "tls"), 60)
    equal(lan.nat.stats()["drops"]["split"], 0, "hellos of ours that were split")
    # The box does what it is said to: a hello that is longer than a segment gets no answer.
    protocols = ",".join(f"protocol-{i:090}" for i in range(30))
    r = a.run("timeout", "3", "openssl", "s_client", "-connect", f"{coordinator.public()}:443", "-alpn", protocols,
              stdin="", check_rc=False)
    check("Cipher is TLS_" not in r.out, f"a long hello got through: {r}")
    check(lan.nat.stats()["drops"]["split"] > 0, "the box dropped nothing")
