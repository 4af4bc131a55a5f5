# SPDX-License-Identifier: MIT
"""A LAN without the internet: members that all have new addresses find each other by beacons; a neighbour that forges,
repeats and floods gets nothing, and stops nobody."""
import os
import re

from lab import SLOW, Stopwatch, check, equal, pause, scenario, wait

PORT = 51819  # of beacons

# Says whose beacons it hears, of both families, and the first datagram of each source in hex.
LISTEN = """
import socket, struct, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
s.bind((sys.argv[1], 0))
print("ready", flush=True)
while True:
    p = s.recv(2000)
    v6 = p[0] >> 4 == 6
    proto, at = (p[6], 40) if v6 else (p[9], (p[0] & 15) * 4)
    src = socket.inet_ntop(*((socket.AF_INET6, p[8:24]) if v6 else (socket.AF_INET, p[12:16])))
    dst = socket.inet_ntop(*((socket.AF_INET6, p[24:40]) if v6 else (socket.AF_INET, p[16:20])))
    if proto == 17 and struct.unpack("!H", p[at + 2:at + 4])[0] == int(sys.argv[2]):
        print("beacon", src, dst, "hops", p[7] if v6 else p[8], p[at + 8:].hex(), flush=True)
"""

# A neighbour with all rights in its own machine. It forges and repeats what it has heard, as itself and in the name of
# whoever sent it, without end; says how many datagrams it was lured by, which came to its own address.
NEIGHBOUR = """
import os, select, socket, struct, sys, time
dev, own, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
every = 1 / float(sys.argv[4])
heard = []
ears = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
ears.bind((dev, 0))
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
raw.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(own))
print("ready", flush=True)
lured = sent = 0
due = told = time.monotonic()
while True:
    while select.select([ears], [], [], max(0, due - time.monotonic()))[0]:
        p, where = ears.recvfrom(2000)
        at = (p[0] & 15) * 4
        src, dst = p[12:16], p[16:20]
        if where[2] == socket.PACKET_OUTGOING or p[9] != 17:
            continue
        if dst == socket.inet_aton(own):
            lured += 1
            print("lured by", socket.inet_ntoa(src), len(p), flush=True)
        elif struct.unpack("!H", p[at + 2:at + 4])[0] == port and len(heard) < 256:
            heard.append((src, p[at:at + 2], p[at + 8:]))
    kind = sent % 4
    src, sport, text = socket.inet_aton(own), struct.pack("!H", 51820), os.urandom(1168)
    if heard and kind == 1:
        text = heard[sent % len(heard)][2]
    elif heard and kind == 2:
        src, sport, text = heard[sent % len(heard)]
    elif kind == 3:
        text = os.urandom(sent % 1400)
    udp = sport + struct.pack("!HHH", port, 8 + len(text), 0) + text
    hops = 255 if sent % 8 else 1
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, hops, 17, 0) + src + socket.inet_aton("224.0.0.1")
    raw.sendto(ip + udp, ("224.0.0.1", 0))
    sent += 1
    if time.monotonic() > told + 1:
        told = time.monotonic()
        print("sent", sent, "heard", len(heard), "lured", lured, flush=True)
    due = max(due + every, time.monotonic() - 1)
"""


class Home:
    """A LAN of members, root and --user, behind a router with a way to the coordinator; and who listens there."""

    def __init__(self, lab, configure=None):
        self.lan = lab.lan("home", "profile=port-restricted", ipv6=True)
        self.coordinator = lab.coordinator()
        self.a, self.b, self.c = self.members = [lab.host(name, self.lan) for name in "abc"]
        self.b.without_root()
        for h in self.members:
            h.configure((configure or {}).get(h.name, ""))
        lab.network(self.coordinator, self.members)
        self.meet()
        self.address = {(h, other): h.addr(other) for h in self.members for other in self.members if h is not other}
        self.numbers = 60
        self.ears = self.lan.ns.start("python3", "-c", LISTEN, "br0", str(PORT), name="listen")
        wait("somebody to listen", lambda: "ready" in self.ears.text())

    def meet(self):
        for i, h in enumerate(self.members):
            for other in self.members[:i]:
                h.wait_peer(other)
                h.wait_direct(other)

    def beacons(self):
        return [line.split() for line in self.ears.text().splitlines() if line.startswith("beacon ")]

    def cut_off(self):
        """The router has no way out any more, and the hosts have no route to it."""
        self.lan.ns.ip("link set wan down")
        for h in self.members:
            h.ip(f"route del default dev {h.dev}", f"route del ::/0 dev {h.dev}")

    def renumber(self, members, family):
        """All of them have one address, of that family, and another than before."""
        for h in members:
            self.numbers += 1
            subnet, bits = ((self.lan.subnet4 + ".", 24) if family == 4 else (self.lan.subnet6 + "::", 64))
            h.ip(f"addr flush dev {h.dev} scope global",
                 f"addr add {subnet}{self.numbers}/{bits} dev {h.dev}" + (" nodad" if family == 6 else ""))

    def must_meet(self, members, what):
        """All pairs are direct within 5 s, and packets pass."""
        watch = Stopwatch()
        pairs = [(h, other) for h in members for other in members if h is not other]
        for h, other in pairs:
            wait(f"{what}: {h.name} to reach {other.name}",
                 lambda h=h, other=other: h.os_ping(self.address[h, other], timeout=1) or self.tell(h, other), 20)
        for h, other in pairs:
            wait(f"{what}: {h.name} to have a direct path to {other.name}",
                 lambda h=h, other=other: (h.path(other) or {}).get("type") == "direct", 20)
        took = watch.seconds()
        print(f"        {what}: all direct after {took:.1f} s", flush=True)
        check(took < 5 * SLOW, f"{what}: all pairs are direct after {took:.1f} s")

    def tell(self, h, other):
        """Writes to the logs what h knows of the other; false."""
        with open(f"{h.lab.logs}/{h.name}-{other.name}.trace.log", "w", encoding="utf-8") as f:
            f.write(h.ctl("trace", other.name, check_rc=False).out)
        return False


def coordinator_is_missed(h):
    return not (h.json("status")["coordinator"] or {}).get("connected")


@scenario
def members_with_new_addresses_find_each_other(lab):
    """While all is well no beacon is sent. The internet is gone and all members, one of them with --user, get other
    addresses: all pairs are direct within 5 s, by IPv4 alone and by IPv6 alone, as they run and after a restart."""
    home = Home(lab)
    pause(10, "all is well")
    equal(home.beacons(), [], "beacons while the coordinator is there")
    home.cut_off()
    home.renumber(home.members, 4)
    home.must_meet(home.members, "IPv4")
    heard = home.beacons()
    check(heard and {x[2] for x in heard} == {"224.0.0.1"} and {x[4] for x in heard} == {"255"},
          f"beacons by IPv4: {[x[:5] for x in heard]}")
    equal(len({x[5] for x in heard}), len(heard), "different datagrams")
    home.renumber(home.members, 6)
    home.must_meet(home.members, "IPv6")
    heard = home.beacons()[len(heard):]
    check("ff02::1" in {x[2] for x in heard}, f"beacons by IPv6: {[x[:5] for x in heard]}")
    for h in home.members:
        h.stop_daemon()
    home.renumber(home.members, 4)
    for h in home.members:
        h.daemon(wait_ready=False)
    for h in home.members:
        h.wait_daemon()
    home.must_meet(home.members, "after a restart")
    # All are direct: nothing more is sent.
    pause(2, "a round that was under way")
    before = len(home.beacons())
    pause(20, "all have direct paths")
    equal(len(home.beacons()), before, "beacons by then and 20 s later")


@scenario
def a_hostile_neighbour_gets_nothing_and_stops_nobody(lab):
    """A neighbour forges, repeats and floods: 1,000 datagrams a second, as itself and in others' names. Members with
    new addresses find each other all the same; nothing is sent to it, and the work is bounded."""
    home = Home(lab)
    evil = lab.host("evil", home.lan)
    program = evil.start("python3", "-c", NEIGHBOUR, evil.dev, evil.ip4, str(PORT), "1000", name="neighbour")
    wait("the neighbour", lambda: program.must_run() or "ready" in program.text())
    home.cut_off()
    for turn in range(3):
        home.renumber(home.members, 4)
        home.must_meet(home.members, f"turn {turn + 1}")
    # The neighbour has heard genuine ones by now. Nobody needs a beacon, and all is repeated to them.
    wait("the neighbour to have heard some", lambda: re.search(r"heard [1-9]", program.text()))
    spent = [cpu_seconds(h) for h in home.members]
    watch = Stopwatch()
    pause(10, "a flood")
    took = watch.seconds()
    for h, before in zip(home.members, spent):
        part = (cpu_seconds(h) - before) / max(took, 10)
        print(f"        {h.name}: {100 * part:.1f} % of a processor", flush=True)
        check(part < 0.5, f"{h.name} spends {100 * part:.0f} % of a processor on a flood")
    check("lured by" not in program.text(), "the neighbour was sent something:\n" + program.text()[-500:])
    home.must_meet(home.members, "at the end")


def cpu_seconds(h):
    """Of p2pvpnd and its children."""
    total = 0
    for pid in [h.p2pvpnd.pid, *children(h.p2pvpnd.pid)]:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            words = f.read().rsplit(")", 1)[1].split()
        total += (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    return total


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        found = [int(x) for x in f.read().split()]
    return found + [x for child in found for x in children(child)]


@scenario
def a_member_that_switches_it_off_is_silent(lab):
    """`[lan] beacon = off` and an interface in `beacon-exclude` send nothing and answer nobody; the one with neither
    calls in vain."""
    home = Home(lab, {"a": "[lan]\nbeacon = off\n", "b": "[lan]\nbeacon-exclude = eth0\n"})
    home.cut_off()
    home.renumber(home.members, 4)
    for h in home.members:
        wait(f"{h.name} to miss its coordinator", lambda h=h: coordinator_is_missed(h))
    wait("the third to call", lambda: len(home.beacons()) >= 3)
    pause(3, "answers")
    equal({x[1] for x in home.beacons()}, {f"{home.lan.subnet4}.{home.numbers}"}, "who calls")
    for h in home.members:
        for other in home.members:
            check(h is other or (h.path(other) or {}).get("type") != "direct", f"{h.name} has found {other.name}")
