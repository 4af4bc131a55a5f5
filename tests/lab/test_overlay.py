# SPDX-License-Identifier: MIT
"""Ordinary programs over the overlay: ping, nc, ssh, and those that find each other by broadcast and multicast."""
import os
import shutil
import sys

from lab import Skip, answered, check, equal, pause, pressure, scenario, ssh_login, wait

CAST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs", "cast.py")


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
        wait("nc to listen", lambda: b.listens(9000))
        mine = a.run("sh", "-c", "head -c 2000000 /dev/urandom >/run/f; sha256sum </run/f;"
                     f"nc -q 1 {target} 9000 </run/f", timeout=60).out.strip()
        server.ended()
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
    r = a.run("ping", "-n", "-c", "4", "-W", "5", "-s", "1392", "-M", "do", address)
    check(answered(r.out, 2) == 2, f"full-size packets: {r}")
    r = a.run("ping", "-n", "-c", "4", "-W", "5", "-s", "4000", address)
    check(answered(r.out, 2) == 2, f"fragmented packets: {r}")
    r = a.run("ping", "-n", "-c", "1000", "-i", "0.002", "-W", "5", address, timeout=60)
    equal(answered(r.out, 500), 500, "pings in a row")


@scenario
def a_packet_that_does_not_belong_is_dropped(lab):
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
            check(reason in host.ctl("status", "-l").out, f"status in words has no {reason}")


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
        wait(what, lambda: a.os_ping(four, timeout=1) and a.os_ping(six, timeout=1))
        wait("no problem to be left", lambda: not problems())

    a.ip("addr flush dev p2pvpn0")
    both("the addresses to come back")
    for family in ("-4", "-6"):
        a.run("ip", family, "route", "flush", "dev", "p2pvpn0")
    both("the routes to come back")
    a.ip("link set p2pvpn0 down")
    wait("status to say that it is down", lambda: "ip link set p2pvpn0 up" in problems())
    said = a.ctl("doctor", "-l", check_rc=False).out
    check("p2pvpn0 is not there, or is down" in said, f"doctor's line of the interface: {said}")
    a.ip("link set p2pvpn0 up")  # the kernel has taken the IPv6 address away
    both("IPv6 to come back")
    a.ip("link set p2pvpn0 mtu 576")
    wait("status to say what IPv6 needs", lambda: "mtu 1420" in problems())
    check(a.os_ping(four), "IPv4 with a small MTU")
    a.ip("link set p2pvpn0 mtu 1390")
    both("IPv6 to come back with another MTU")
    check(" mtu 1390 " in a.run("ip", "link", "show", "p2pvpn0").out, "the MTU was not kept")


# --- broadcast and multicast ------------------------------------------------------------------

def hear(h, group, port, family=4, address=None, seconds=3600):
    """A program that waits for datagrams to the group."""
    p = h.start(sys.executable, CAST, "hear", group, str(port), address or h.addr(family=family), str(seconds),
                name=f"hear-{h.name}-{port}")
    wait(f"the listener on {h.name} to be ready", lambda: "ready" in p.text())
    return p


def send(h, group, port, count=1, size=32, rate=0, family=4, timeout=60):
    h.run(sys.executable, CAST, "send", group, str(port), h.addr(family=family), str(count), str(size), str(rate),
          timeout=timeout)


def heard(p):
    """The lines of what came: [source, TTL, text]."""
    return [line.split() for line in p.text().splitlines() if line.count(" ") == 2 and "ready" not in line
            and "datagrams" not in line]


def drops(h):
    return h.json("status")["drops"]


def pair(lab, conf=""):
    coordinator = lab.coordinator()
    a = lab.host("a", lab.lan("east", "profile=port-restricted", "delay=5ms"))
    b = lab.host("b", lab.lan("west", "profile=address-restricted", "delay=5ms"))
    for h in (a, b):
        h.configure(conf)
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    b.wait_peer(a)
    return a, b


# Joins many groups, and stays.
JOIN_MANY = """
import socket, struct, sys, threading
held = []
for n in range(200):
    if n % 20 == 0:
        held.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    held[-1].setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                        socket.inet_aton(f'239.77.0.{n + 1}') + socket.inet_aton(sys.argv[1]))
print('ready', flush=True)
threading.Event().wait()
"""


@scenario
def groups_that_nobody_wants_any_more_are_forgotten(lab):
    """More than a node has places for are told while they are wanted, and no longer."""
    coordinator = lab.coordinator()
    a = lab.host("a")
    lab.network(coordinator, [a])
    program = a.start(sys.executable, "-c", JOIN_MANY, a.addr(), name="groups")
    wait("all to be joined", lambda: "ready" in program.text())

    def told():
        return any("multicast groups" in p for p in a.json("status")["problems"])
    wait("status to say that they are too many", told)
    program.end()
    wait("status to say it no longer", lambda: not told())


@scenario(whole="half a minute; sim/lan has copies to one group of each family, without a kernel")
def programs_hear_what_is_sent_to_all(lab):
    a, b = pair(lab)
    listeners = {port: hear(b, group, port, family, address) for group, port, family, address in (
        ("-", 5001, 4, None), ("-", 5002, 4, None), ("224.0.0.251", 5353, 4, None), ("239.255.255.250", 1900, 4, None),
        ("ff02::fb", 5354, 6, None), ("ff05::c", 1901, 6, None), ("224.0.0.252", 5355, 4, None),
        ("ff02::1:3", 5356, 6, None))}
    # A member not in use is left alone.
    send(a, "10.66.255.255", 5001)
    wait("the copy to be kept from an idle member", lambda: drops(a).get("idle"))
    equal(heard(listeners[5001]), [], "what an idle member got")
    a.wait_direct(b)
    check(a.os_ping(a.addr(b)), "ping")
    wait("b to have told what it wants", lambda: {
        "224.0.0.251", "239.255.255.250", "ff02::fb", "ff05::c", "224.0.0.252", "ff02::1:3"} <= set(a.peer(b)["groups"] or []))
    sent = {5001: ("10.66.255.255", 4), 5002: ("255.255.255.255", 4), 5353: ("224.0.0.251", 4),
            1900: ("239.255.255.250", 4), 5354: ("ff02::fb", 6), 1901: ("ff05::c", 6), 5355: ("224.0.0.252", 4),
            5356: ("ff02::1:3", 6)}
    for port, (group, family) in sent.items():
        send(a, group, port, family=family)
        wait(f"{group} to arrive", lambda: heard(listeners[port]))
        source, ttl, text = heard(listeners[port])[0]
        equal((source, text), (a.addr(family=family), "0"), f"what came by {group}")
        equal(ttl, "1" if port not in (5001, 5002) else "64", f"TTL of {group}")
    # A datagram in fragments arrives whole.
    send(a, "10.66.255.255", 5001, size=9000)
    wait("a large broadcast", lambda: len(heard(listeners[5001])) == 2)
    r = a.run("ping", "-n", "-b", "-c", "2", "-W", "5", "10.66.255.255", check_rc=False)
    b.run("sysctl", "-qw", "net.ipv4.icmp_echo_ignore_broadcasts=0")
    r = a.run("ping", "-n", "-b", "-c", "2", "-W", "5", "10.66.255.255", check_rc=False)
    check(f"from {a.addr(b)}" in r.out, f"nobody answers ping -b: {r}")
    r = a.run("ping", "-n", "-c", "5", "-W", "5", f"ff02::1%{a.tun}", check_rc=False)
    check(f"from {a.addr(b, 6)}" in r.out, f"nobody answers ping ff02::1: {r}")


SNIFF = """
import socket, sys, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
s.bind((sys.argv[1], 3))
print("ready", flush=True)
while True:
    p, who = s.recvfrom(2000)
    if p[0] >> 4 == 4 and p[9] == 2:
        print("igmp", hex(p[(p[0] & 15) * 4]), flush=True)
    elif p[0] >> 4 == 6 and p[6] == 0 and p[40] == 58:
        print("mld", p[48], flush=True)
"""


@scenario
def the_kernel_answers_our_questions(lab):
    """A group joined before the daemon asked is known by its answer."""
    a, b = pair(lab)
    sniffer = b.start(sys.executable, "-c", SNIFF, b.tun, name="sniff")
    hear(b, "239.66.0.1", 7000)
    hear(b, "ff05::66", 7001, family=6)
    b.run("sysctl", "-qw", f"net.ipv4.conf.{b.tun}.force_igmp_version=2", f"net.ipv6.conf.{b.tun}.force_mld_version=1")
    wait("questions after half a minute", lambda: "0x11" in sniffer.text() and "mld 130" in sniffer.text(), 40)
    wait("answers of IGMPv2 and MLDv1", lambda: "0x16" in sniffer.text() and "mld 131" in sniffer.text())


def avahi(h):
    """avahi-daemon as the guide says: it leaves tunnels out unless it is told to use them."""
    if shutil.which("avahi-daemon") is None or shutil.which("dbus-daemon") is None:
        raise Skip("there is no avahi: scripts/deps installs it")
    h.run("sh", "-c", "mkdir -p /run/dbus /run/avahi-daemon; cat >/run/avahi.conf",
          stdin=f"[server]\nhost-name={h.name}\nallow-interfaces={h.tun}\nallow-point-to-point=yes\nuse-ipv6=yes\n")
    h.start("dbus-daemon", "--system", "--nofork", "--nopidfile")
    wait("the bus", lambda: h.run("test", "-S", "/run/dbus/system_bus_socket", check_rc=False).code == 0)
    h.start("avahi-daemon", "-f", "/run/avahi.conf", "--no-drop-root", "--no-chroot", "--no-rlimits")
    wait("avahi", lambda: h.run("avahi-browse", "-at", check_rc=False).code == 0)


def services(h):
    """The finds of avahi-browse: names and addresses."""
    out = h.run("avahi-browse", "-rtp", "_ipp._tcp", check_rc=False, timeout=60).out
    return {line.split(";")[3].replace("\\032", " "): line.split(";")[7] for line in out.splitlines()
            if line.startswith("=") and ";IPv4;" in line}


def printer(lab, a, b):
    for h in (a, b):
        avahi(h)
    b.start("avahi-publish", "-s", "printer at home", "_ipp._tcp", "631", name="publish")
    check(a.os_ping(a.addr(b), count=3), "ping")
    wait("avahi-browse on a to show the printer of b",
         lambda: services(a).get("printer at home") == a.addr(b))
    a.start("avahi-publish", "-s", "scanner", "_ipp._tcp", "8080", name="publish2")
    wait("avahi-browse on b to show what a has", lambda: services(b).get("scanner") == b.addr(a))
    check({"224.0.0.251", "ff02::fb"} <= set(a.peer(b)["groups"]), "groups that b told")


@scenario
def avahi_finds_a_printer_across_two_nats(lab):
    a, b = pair(lab)
    a.wait_direct(b)
    printer(lab, a, b)


@scenario
def avahi_finds_a_printer_over_the_relay(lab):
    coordinator = lab.coordinator()
    a, b = (lab.host(n, lab.lan(n + "nat", "profile=symmetric")) for n in "ab")
    for h in (a, b):
        h.configure("[traversal]\npredict = off\nbirthday = off\n[lan]\nwake = on\n")
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    b.wait_peer(a)
    printer(lab, a, b)
    equal(a.path(b)["type"], "relay", "path")


M_SEARCH = """
import socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 0))
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 2)
s.settimeout(3)
for _ in range(3):
    s.sendto(b'M-SEARCH * HTTP/1.1\\r\\nHOST: 239.255.255.250:1900\\r\\nMAN: "ssdp:discover"\\r\\nMX: 1\\r\\n'
             b'ST: ssdp:all\\r\\n\\r\\n', ("239.255.255.250", 1900))
    try:
        data, who = s.recvfrom(4000)
        print(who[0], data.decode(errors="replace"))
        break
    except TimeoutError:
        pass
"""


@scenario
def ssdp_finds_a_device(lab):
    """miniupnpd answers a search that comes over the overlay."""
    a, b = pair(lab)
    if shutil.which("miniupnpd") is None:
        raise Skip("there is no miniupnpd: scripts/deps installs it")
    a.wait_direct(b)
    b.run("sh", "-c", "cat >/run/upnpd.conf",
          stdin=f"ext_ifname={b.dev}\nlistening_ip={b.tun}\nenable_upnp=yes\next_ip=8.8.8.8\nsecure_mode=no\n"
          "uuid=11111111-2222-3333-4444-555555555555\n")
    b.run("nft", "add table inet filter; add chain inet filter miniupnpd; add chain inet filter prerouting_miniupnpd;"
          "add chain inet filter postrouting_miniupnpd")
    b.start("miniupnpd", "-d", "-f", "/run/upnpd.conf", "-P", "/run/upnpd.pid")
    check(a.os_ping(a.addr(b)), "ping")
    wait("b to tell that it wants SSDP", lambda: "239.255.255.250" in (a.peer(b)["groups"] or []))
    r = a.run(sys.executable, "-c", M_SEARCH, a.addr())
    check(r.out.startswith(a.addr(b)) and "HTTP/1.1 200 OK" in r.out, f"no answer to the search: {r}")


def six(lab):
    """A sender and five others, some behind NATs, that it has met."""
    coordinator = lab.coordinator()
    profiles = ("port-restricted", "symmetric", "full-cone", None, "address-restricted", "port-restricted")
    hosts = [lab.host(f"h{i}", lab.lan(f"n{i}", f"profile={p}") if p else None) for i, p in enumerate(profiles)]
    for h in hosts:  # the one behind a symmetric NAT stays on the relay: a better path, found at any time, overtakes
        h.configure("[traversal]\npredict = off\nbirthday = off\n")
    lab.network(coordinator, hosts)
    for h in hosts[1:]:
        hosts[0].wait_peer(h)
    return hosts


@scenario(whole="six daemons and a stream")
def a_stream_goes_to_three_of_six(lab):
    """RTP at 5 Mb/s: those who joined get all of it in order, whatever path they have; the others nothing."""
    sender, *others = six(lab)
    listeners = {h: hear(h, "239.66.0.1", 5004) for h in others[::2]}
    # Nobody was in use before: who joined is reached, and tells it.
    for h in listeners:
        wait(f"{h.name} to have told what it wants", lambda: "239.66.0.1" in (sender.peer(h)["groups"] or []))
    for h in listeners:
        wait(f"the path to {h.name} to be as good as it gets", lambda h=h: sender.path(h)["type"] ==
             ("relay" if h is others[0] else "direct"))
    send(sender, "239.66.0.1", 5004, 20, rate=5)
    pause(3, "the last of them are there")
    before = {h: sum(p["rx_bytes"] for p in h.peers().values()) for h in others}
    seconds, rate, size = 6, 475, 1316
    skip = {h: len(heard(p)) for h, p in listeners.items()}
    crowded = pressure(lab, sender, *others)
    send(sender, "239.66.0.1", 5004, seconds * rate, size, rate)
    for h, p in listeners.items():
        wait(f"all of the stream at {h.name}, but for what queues had no room for", lambda: len(heard(p)) - skip[h] >=
             seconds * rate * 0.999 - (pressure(lab, sender, *others) - crowded))
        numbers = [int(line[2]) for line in heard(p)[skip[h]:]]
        check(len(set(numbers)) == len(numbers), f"{h.name} got something twice")
        equal(numbers, sorted(numbers), f"order at {h.name}")
    for h in others:
        got = sum(p["rx_bytes"] for p in h.peers().values()) - before[h]
        if h not in listeners:
            check(got < 20000, f"{h.name} did not want it and got {got} bytes")
    equal(drops(sender).get("rate", 0), 0, "drops above the budget")


@scenario(long="needs ffmpeg: scripts/deps long")
def ffmpeg_streams_to_three_of_six(lab):
    """A picture of ffmpeg's own at 5 Mb/s by RTP: those who watch see it, the others get nothing.
    A viewer that gets no processor loses some; that nothing else is lost is shown above."""
    if shutil.which("ffmpeg") is None:
        raise Skip("there is no ffmpeg: scripts/deps long installs it")
    sender, *others = six(lab)
    group = "rtp://239.66.0.1:5004?localaddr="
    viewers = {h: h.start("ffmpeg", "-nostdin", "-loglevel", "warning", "-i", group + h.addr(),
                          "-fps_mode", "passthrough", "-f", "framemd5", "-flush_packets", "1", "-")
               for h in others[::2]}
    for h in viewers:
        wait(f"{h.name} to have told what it wants", lambda: "239.66.0.1" in (sender.peer(h)["groups"] or []))
    send(sender, "239.66.0.1", 5006, 20, rate=5)
    pause(3, "for better paths, which overtake")
    before = {h: sum(p["rx_bytes"] for p in h.peers().values()) for h in others}
    seconds, rate = 8, 25
    sender.run("ffmpeg", "-nostdin", "-loglevel", "error", "-re", "-f", "lavfi", "-i",
               f"testsrc2=size=640x480:rate={rate}:duration={seconds}", "-c:v", "mpeg2video", "-b:v", "5M",
               "-minrate", "5M", "-maxrate", "5M", "-bufsize", "1M", "-f", "rtp_mpegts",
               group + sender.addr() + "&pkt_size=1328", timeout=60)

    def frames(p):
        return [line for line in p.text().splitlines() if line.startswith("0,")]

    for h, p in viewers.items():
        wait(f"the picture at {h.name}", lambda: len(frames(p)) >= seconds * rate * 0.9)
    for h in others:
        got = sum(p["rx_bytes"] for p in h.peers().values()) - before[h]
        if h in viewers:
            check(got > seconds * 5e6 / 8 * 0.9, f"{h.name} got {got} bytes")
        else:
            check(got < 20000, f"{h.name} did not want it and got {got} bytes")
    equal(drops(sender).get("rate", 0), 0, "drops above the budget")


@scenario
def it_may_be_off_or_with_some(lab):
    """[lan] broadcast, on both sides, and a reload."""
    a, b = pair(lab)
    a.wait_direct(b)
    p = hear(b, "-", 5001)
    send(a, "255.255.255.255", 5001)
    wait("a broadcast", lambda: len(heard(p)) == 1)
    b.configure("[lan]\nbroadcast = off\n")
    wait("b to have run for some seconds", lambda: b.json("status")["uptime"] >= 3)
    b.ctl("reload")
    check(b.json("status")["uptime"] >= 3, "a reload counts as a start of p2pvpnd")
    a.wait_direct(b)
    wait("a to hear that b takes no broadcasts",
         lambda: (send(a, "255.255.255.255", 5001), drops(a).get("quiet", 0) > 2)[1])
    n = len(heard(p))
    send(a, "255.255.255.255", 5001, 5)
    check(a.os_ping(a.addr(b)), "ping")
    equal(len(heard(p)), n, "broadcasts that b took")
    r = b.ctl("status", "-l")
    check("broadcasts" in r.out and "off" in r.out, f"status: {r}")
    b.run("sh", "-c", "sed -i 's/^broadcast = off/broadcast = peers/' /etc/p2pvpn/p2pvpnd.conf")
    r = b.ctl("reload", code=1)
    check("peer = NAME" in r.err, f"what is missing is not named: {r}")
    # The next start would end with it, and says so only then.
    r = b.ctl("doctor", "-l", check_rc=False)
    check("would not start again" in r.out and "peer = NAME" in r.out, f"doctor: {r}")
    r = b.ctl("up")
    check("would not start again" in r.err and "peer = NAME" in r.err, f"up: {r}")
    b.configure("peer = a\n")
    b.ctl("reload")
    a.wait_direct(b)
    wait("broadcasts again", lambda: (send(a, "255.255.255.255", 5001), len(heard(p)) > n)[1])

    # The line is about the machine, whatever it is called, also after a start.
    a.ctl("rename", "anna")
    wait("b to hear of it", lambda: "anna" in b.peers())
    b.configure("peer = carrol\n")
    b.ctl("reload")
    a.wait_direct(b)
    n = len(heard(p))
    wait("broadcasts of who was renamed", lambda: (send(a, "255.255.255.255", 5001), len(heard(p)) > n)[1])
    problems = [x for x in b.json("status")["problems"] if "[lan] peer" in x]
    check(len(problems) == 1 and "no member is called carrol: " in problems[0], f"problems: {problems}")

    b.run("rm", "/etc/p2pvpn/p2pvpnd.conf")
    check("/etc/p2pvpn/p2pvpnd.conf does not exist: the defaults hold" in b.ctl("reload").out, "a file that is not there")
