# SPDX-License-Identifier: MIT
"""Networks behind members: offered, allowed, used; with and without NAT, IPv6, two gateways."""
import os
import re
import sys
import time

from exitlab import LISTEN, TELL, WATCH
from lab import SLOW, Stopwatch, check, equal, scenario, wait
from test_static import key, need_stock, start_wireguard

PORT = 9100


def network(lab, *inside, others=("admin", "user")):
    """A LAN with a printer, which runs nothing of ours, and the members `inside` it; others are elsewhere."""
    home = lab.masquerade("home", drop_input=True, ipv6=True)
    coordinator = lab.coordinator()
    printer = lab.host("printer", home)
    printer.answer_udp(PORT)
    printer.answer_udp(PORT, printer.ip6)
    hosts = [lab.host(name) for name in others] + [lab.host(name, home) for name in inside]
    lab.network(coordinator, hosts)
    return printer, hosts


def route(host, prefix, by):
    """The row of `route list`, or None."""
    for r in host.json("route", "list")["routes"]:
        if (r["prefix"], r["peer"]) == (prefix, by.name):
            return r
    return None


def state(host, prefix, by):
    r = route(host, prefix, by)
    return r and r["state"]


def wait_state(host, prefix, by, *want):
    wait(f"{prefix} by {by.name} to be {' or '.join(want)} at {host.name}",
         lambda: state(host, prefix, by) in want)


def problems(host):
    return " ".join(host.json("status")["problems"])


def seen_from(host, printer, address=None):
    """The address that the printer sees this host ask from; None: no answer."""
    r = host.udp_ask(address or printer.ip4, PORT)
    return r and r.split()[0]


def reaches(host, printer, address=None, timeout=60):
    return wait(f"{host.name} to reach the printer", lambda: seen_from(host, printer, address), timeout)


def not_reached(host, printer, why):
    """The tables of the machines on the way are a moment behind."""
    wait(f"{host.name} not to reach the printer: {why}", lambda: seen_from(host, printer) is None)


@scenario
def the_printer_at_home(lab):
    printer, (admin, user, nas) = network(lab, "nas")
    lan4, lan6 = f"{nas.lan.subnet4}.0/24", f"{nas.lan.subnet6}::/64"
    check(seen_from(user, printer) is None, "the printer is reached without a route")

    # An offer that nobody allowed has no effect at anybody, and is shown to the admin.
    nas.ctl("route", "offer", lan4, "--auto")
    nas.ctl("route", "offer", lan6)
    wait_state(admin, lan4, nas, "offered")
    wait_state(user, lan4, nas, "offered")
    check(seen_from(user, printer) is None, "an offer alone draws traffic")
    wait("the admin to be asked", lambda: f"route allow nas {lan4}" in problems(admin))
    check("route allow" not in problems(user), "somebody is asked who cannot allow it")
    equal(user.ctl("route", "allow", "nas", lan4, check_rc=False).code, 11, "a user's permission ends with")

    check(f"ask for an admin's `sudo p2pvpnctl route allow nas {lan4}`" in problems(nas), "nas is not told whom to ask")
    admin.ctl("route", "allow", "nas", lan4)  # remedy: allow_route, ask_to_allow_route
    wait_state(user, lan4, nas, "used")
    wait_state(nas, lan4, nas, "here")
    equal(reaches(user, printer), nas.ip4, "with NAT the printer sees")
    check(user.os_ping(printer.ip4), "the printer cannot be pinged")
    for host in (admin, nas):
        check(f"route allow nas {lan4}" not in problems(host), f"{host.name} is told of what is allowed")
    check(user.json("status")["routes"]["used"] == 1 and nas.json("status")["routes"]["carried"] == 1,
          "status does not count the route")

    # IPv6 was offered without --auto: it is used on demand.
    admin.ctl("route", "allow", "nas", lan6)
    wait_state(user, lan6, nas, "off")
    user.ctl("route", "use", lan6)
    wait_state(user, lan6, nas, "used")
    equal(reaches(user, printer, printer.ip6), nas.ip6, "with NAT the printer sees")

    # It is there after restarts of both sides.
    nas.restart_daemon()
    user.restart_daemon()
    wait_state(user, lan6, nas, "used")
    equal(reaches(user, printer), nas.ip4, "after a restart the printer sees")

    # And gone with each of the three words.
    user.ctl("route", "use", "off", lan4)
    equal(state(user, lan4, nas), "off", "after the user's word it is")
    not_reached(user, printer, "the user said no")
    user.ctl("route", "use", "all")
    reaches(user, printer)
    admin.ctl("route", "deny", "nas", lan4)
    wait_state(user, lan4, nas, "offered")
    not_reached(user, printer, "the admin denied it")
    admin.ctl("route", "allow", "nas", lan4)
    reaches(user, printer)
    nas.ctl("route", "withdraw", lan4)
    wait_state(user, lan4, nas, "allowed")
    not_reached(user, printer, "it was withdrawn")


# The ways that packets to an address take, by the address they come from; "nowhere".
WAYS = """
import socket, sys, threading
pause = threading.Event()
while True:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        s.connect((sys.argv[1], 9))
        print(s.getsockname()[0], flush=True)
    except OSError:
        print('nowhere', flush=True)
    s.close()
    pause.wait(0.005)
"""


@scenario
def a_used_prefix_leaves_by_no_other_way_when_the_daemon_ends(lab):
    """Restarts, kill -9 of everything, until `down`; at home, where it is the LAN, it is reached all the same. And in
    that LAN nobody speaks as a member."""
    printer, (admin, user, nas) = network(lab, "nas")
    lan4 = f"{nas.lan.subnet4}.0/24"
    nas.ctl("route", "offer", lan4, "--auto")
    admin.ctl("route", "allow", "nas", lan4)
    reaches(user, printer)
    own = user.addr()
    ways = user.start(sys.executable, "-c", WAYS, printer.ip4, name="ways")

    def only(*allowed):
        until = len(ways.text().splitlines()) + 20
        wait("more ways", lambda: len(ways.text().splitlines()) >= until)
        equal(sorted(set(ways.text().splitlines()) - {*allowed}), [], "other ways that packets went")
    only(own)
    user.restart_daemon()
    reaches(user, printer)
    only(own, "nowhere")
    user.run("sh", "-c", f"kill -9 $(pgrep -P {user.p2pvpnd.pid}) {user.p2pvpnd.pid}")
    user.p2pvpnd.kill()
    wait("the interface to go", lambda: user.tun not in user.run("ip", "-br", "link").out)
    only(own, "nowhere")
    at_home = f"{nas.lan.subnet4}.99"
    user.ip(f"addr add {at_home}/24 dev {user.dev}")
    wait("the LAN", lambda: ways.text().splitlines()[-1] == at_home)
    user.ip(f"addr del {at_home}/24 dev {user.dev}")
    only(own, "nowhere", at_home)
    # A user who removes the program has it reopened. remedy: reopen
    user.run(os.path.join(os.path.dirname(__file__), "..", "..", "dist", "setup"), "reopen")
    wait("the own way", lambda: ways.text().splitlines()[-1] == user.ip4)
    check("p2pvpn" not in user.run("nft", "list", "tables").out, "a table stays")
    user.daemon()
    reaches(user, printer)
    user.ctl("down")
    wait("the own way", lambda: ways.text().splitlines()[-1] == user.ip4)
    for family in ("-4", "-6"):
        wait("no rule to stay", lambda f=family: not re.search("suppress|fwmark", user.run("ip", f, "rule", "show").out))

    # A machine in the LAN is not heard as a member, or at a member's own address.
    listener = nas.start(sys.executable, "-c", LISTEN, "0.0.0.0", name="listener")
    wait("the listener", lambda: "ready" in listener.text())
    local = nas.run("ip", "route", "show", "table", "local", "dev", nas.tun).out
    everybody = re.search(r"broadcast ([0-9.]+)", local)[1]
    printer.ip(f"addr add {admin.addr()}/32 dev lo", f"route add {nas.addr()}/32 via {nas.ip4}",
               f"route add {everybody}/32 via {nas.ip4}")
    for source, to, text in ((admin.addr(), nas.ip4, "as a member"), (printer.ip4, nas.addr(), "to the address"),
                             (printer.ip4, everybody, "to all members"), (printer.ip4, nas.ip4, "from the LAN")):
        printer.run(sys.executable, "-c", TELL, source, to, text)
    wait("what comes from the LAN", lambda: "from the LAN" in listener.text())
    equal(listener.text().splitlines(), ["ready", "from the LAN"], "what is heard")


@scenario
def a_prefix_takes_no_packets_of_the_daemons(lab):
    """An office with public addresses: gateway, coordinator and a member are in what is used."""
    coordinator = lab.coordinator()
    home = lab.masquerade("home", drop_input=True, ipv6=True)
    gate, user, member = lab.host("gate"), lab.host("user", home), lab.host("member")
    web = lab.host("web")
    web.answer_udp(PORT, web.ip4)
    lab.network(coordinator, [gate, user, member])
    user.wait_direct(gate)
    office = f"{gate.lan.subnet4}.0/24"
    gate.ctl("route", "offer", office, "--auto")
    wait_state(user, office, gate, "used")
    wait("the way by the gateway", lambda: seen_from(user, web) == gate.ip4)  # the host's tables are a moment behind
    uid = user.run("id", "-u", "p2pvpn").out.strip()
    for host in (gate, member, coordinator.host):
        for own in (("mark", "0x703276"), ("uid", uid)):
            way = user.run("ip", "route", "get", host.ip4, *own).out
            check(f"dev {user.dev}" in way, f"the daemon's own packets to {host.name} go {way}")
    # All are found anew: by a daemon that starts where the prefix is closed already, and by one that runs.
    user.restart_daemon()
    for _ in range(2):
        wait("the coordinator", lambda: user.json("status")["coordinator"]["connected"])
        user.wait_direct(gate)
        user.wait_direct(member)
        equal(reaches(user, web), gate.ip4, "by the gateway the server sees")
        coordinator.restart()
    wait("the coordinator", lambda: gate.json("status")["coordinator"]["connected"])
    gate.ctl("route", "withdraw", office)
    wait_state(user, office, gate, "allowed")
    wait("the own way", lambda: seen_from(user, web) == home.public)


SERVE = """
import socket, sys
s = socket.create_server((sys.argv[1], 8000), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
while True:
    c, _ = s.accept()
    c.sendall(bytes(300000))
    c.close()
"""
FETCH = """
import socket, sys
c = socket.create_connection((sys.argv[1], 8000), 10)
n = 0
while data := c.recv(65536):
    n += len(data)
print(n)
"""


@scenario
def a_packet_too_big_behind_a_gateway_is_told(lab):
    """The link between gateway and printer is narrower than the overlay. Answers of ICMP find their way to the
    user, and TCP gets through both ways."""
    printer, (admin, user, nas) = network(lab, "nas")
    lan4, lan6 = f"{nas.lan.subnet4}.0/24", f"{nas.lan.subnet6}::/64"
    for prefix in (lan4, lan6):
        nas.ctl("route", "offer", prefix, "--auto")
        admin.ctl("route", "allow", "nas", prefix)
        wait_state(user, prefix, nas, "used")
    reaches(user, printer)
    reaches(user, printer, printer.ip6)
    nas.ip(f"route replace {printer.ip4}/32 dev {nas.dev} mtu lock 1100",
           f"route replace {printer.ip6}/128 dev {nas.dev} mtu lock 1290")

    def big(address, size):
        return user.run("ping", "-n", "-M", "do", "-c", "1", "-W", "5", "-s", str(size), str(address), check_rc=False)

    for address, size, mtu in ((printer.ip4, 1180, 1100), (printer.ip6, 1250, 1290)):
        wait(f"the narrow link to {address} to be told",
             lambda a=address, s=size, m=mtu: re.search(rf"mtu ?[=:] ?{m}\b", big(a, s).out + big(a, s).err))
        r = big(address, mtu - (28 if size == 1180 else 48))
        equal(r.code, 0, f"a ping that just fits: {r}")
        printer.start(sys.executable, "-c", SERVE, str(address), name=f"serve{mtu}")
        fetched = wait(f"a file from {address}",
                       lambda a=address: user.run(sys.executable, "-c", FETCH, str(a), check_rc=False).out.strip())
        equal(fetched, "300000", "bytes that arrived")


@scenario
def the_own_network_is_not_taken_over(lab):
    """A laptop in the LAN goes to the printer directly, whatever is offered; without NAT hosts see who it is."""
    printer, (admin, user, nas, laptop) = network(lab, "nas", "laptop")
    lan4 = f"{nas.lan.subnet4}.0/24"
    nas.ctl("route", "offer", lan4, "--auto", "--no-snat")
    admin.ctl("route", "allow", "nas", lan4)
    wait_state(user, lan4, nas, "used")
    wait_state(laptop, lan4, nas, "refused")
    check(laptop.dev in route(laptop, lan4, nas)["why"], f"no reason: {route(laptop, lan4, nas)}")
    equal(reaches(laptop, printer), laptop.ip4, "the printer sees the laptop as")

    printer.ip(f"route add {user.addr()}/32 via {nas.ip4}")
    equal(reaches(user, printer), user.addr(), "without NAT the printer sees")
    # A packet does not fit the way: the error comes back, and whole packets arrive.
    check(user.run("ping", "-n", "-c", "1", "-W", "3", "-s", "4000", printer.ip4, check_rc=False).code == 0,
          "large packets do not arrive")

    # The user comes home: a default route by the router there leaves by the own link, and stays when ours has gone.
    home = f"{nas.lan.subnet4}.77"
    user.ip(f"addr add {home}/24 dev {user.dev}", f"route replace default via {nas.lan.subnet4}.1")
    wait_state(user, lan4, nas, "refused")
    wait("the user's default route to be the own", lambda: f"dev {user.dev}" in
         user.run("ip", "-4", "route", "show", "default").out)
    user.ip(f"addr del {home}/24 dev {user.dev}", f"route replace default via {user.lan.subnet4}.1")
    wait_state(user, lan4, nas, "used")


def second_card(lab, host, lan, dev):
    """Beside the one by which the host goes on to reach the rest: its addresses, and its port at the switch."""
    known = host.ip4, host.ip6, host.lan, host.dev
    lab.attach(host, lan, dev=dev)
    card = host.ip4, host.ip6, f"p{lab.links}"
    host.ip4, host.ip6, host.lan, host.dev = known
    host.ip(f"route replace default via {host.lan.subnet4}.1", f"route replace ::/0 via {host.lan.subnet6}::1")
    return card


def second_network(lab, host):
    """A network behind another card of this host, with a guest that has the host as its router."""
    guests = lab.masquerade("guests", drop_input=True, ipv6=True)
    at4, at6, _ = second_card(lab, host, guests, "gst0")
    guest = lab.host("guest", guests)
    guest.ip(f"route replace default via {at4}", f"route replace ::/0 via {at6}")
    return guest, (f"{guests.subnet4}.0/24 via {host.ip4}", f"{guests.subnet6}::/64 via {host.ip6}")


@scenario
def forwarding_is_for_members_only(lab):
    """A gateway is no router for its guests; nor an exit; unless its owner, or containers, want that."""
    switches = ("ipv4/ip_forward", "ipv6/conf/all/forwarding")
    printer, (admin, user, nas) = network(lab, "nas")
    near = lab.host("near", nas.lan)
    near.answer_udp(PORT)
    near.answer_udp(PORT, near.ip6)
    guest, back = second_network(lab, nas)
    printer.ip(*(f"route add {way}" for way in (*back, f"{near.ip4}/32 via {nas.ip4}", f"{near.ip6}/128 via {nas.ip6}")))

    def switch(to):
        for s in switches:
            nas.run("sh", "-c", f"echo {to} >/proc/sys/net/{s}")

    def guest_reaches():
        return [a for a in (printer.ip4, printer.ip6) if guest.udp_ask(a, PORT)]

    def printer_reaches():
        """By the way of this host, to one in the same network."""
        return [a for a in (near.ip4, near.ip6) if printer.udp_ask(a, PORT)]
    switch(1)
    wait("the guest's way where the host is a router", lambda: len(guest_reaches()) == 2)
    switch(0)
    equal(guest_reaches(), [], "a host that does not forward lets pass")
    wait("the coordinator", lambda: nas.json("status")["coordinator"]["connected"], 60)
    for prefix in (f"{nas.lan.subnet4}.0/24", f"{nas.lan.subnet6}::/64"):
        nas.ctl("route", "offer", prefix, "--auto")
        admin.ctl("route", "allow", "nas", prefix)
    reaches(user, printer)
    reaches(user, printer, printer.ip6)
    equal(guest_reaches(), [], "an offer lets a guest pass to")
    equal(printer_reaches(), [], "an offer lets the printer pass to its neighbour")
    nas.ctl("exit", "offer")
    admin.ctl("route", "allow", "nas", "default")
    wait_state(nas, "0.0.0.0/0", nas, "here")
    equal(guest_reaches(), [], "an exit lets a guest pass to")
    equal(printer_reaches(), [], "an exit lets the printer pass to its neighbour")
    # As docker and libvirt do when they are started.
    switch(1)
    wait("the guest's way", lambda: len(guest_reaches()) == 2)
    nas.restart_daemon()
    reaches(user, printer)
    wait("the guest to pass a host that forwards by itself", lambda: len(guest_reaches()) == 2)
    nas.ctl("down")
    wait("the owner's switches", lambda: [nas.run("cat", f"/proc/sys/net/{s}").out.strip() for s in switches] == ["1", "1"])


def answered(stream):
    """When each answer came, by the clock of `ping -D`."""
    return [float(t) for t in re.findall(r"^\[([0-9.]+)\] .*bytes from", stream.text(), re.MULTILINE)]


@scenario
def another_gateway_takes_over(lab):
    printer, (admin, user, one, two) = network(lab, "one", "two")
    lan4 = f"{one.lan.subnet4}.0/24"
    for gateway in (one, two):
        gateway.ctl("route", "offer", lan4, "--auto")
        admin.ctl("route", "allow", gateway.name, lan4)
    for gateway in (one, two):
        wait_state(user, lan4, gateway, "used", "standby")
        user.wait_direct(gateway)
    reaches(user, printer)
    front, other = (one, two) if state(user, lan4, one) == "used" else (two, one)
    equal(reaches(user, printer), front.ip4, "the printer sees")

    # Its machine is gone without a word, under traffic.
    stream = user.start("ping", "-n", "-D", "-i", "0.1", printer.ip4, name="stream")
    wait("answers", lambda: len(answered(stream)) > 5)
    watch = Stopwatch()
    front.ip(f"link set {front.dev} down")
    died = time.time()
    wait("the other gateway to carry", lambda: answered(stream)[-1] > died + 1)
    took = max(0, min(t for t in answered(stream) if t > died + 0.5) - died - watch.held())
    print(f"another gateway carried after {took:.1f} s")
    # p2pvpnd waits 2.5 s of them (gateways.h); a busy machine takes the rest.
    check(took < 6 * SLOW, f"it took {took:.1f} s until another gateway carried the prefix")
    wait_state(user, lan4, front, "away")
    equal(reaches(user, printer), other.ip4, "the printer sees")
    stream.end()

    # It comes back, and what is on the way stays where it is.
    front.ip(f"link set {front.dev} up", f"route replace default via {front.lan.subnet4}.1")
    user.wait_direct(front, 60)
    wait_state(user, lan4, front, "standby")
    equal(reaches(user, printer), other.ip4, "the printer sees")


@scenario
def a_gateway_carries_what_it_reaches(lab):
    """Its cable, its address there, or what its firewall lets through is gone: another takes over, it says so, and
    nothing leaves by its other card."""
    coordinator = lab.coordinator()
    office = lab.masquerade("office", drop_input=True, ipv6=True)
    printer = lab.host("printer", office)
    user, one, two = (lab.host(name) for name in ("user", "one", "two"))
    cards = {g.name: second_card(lab, g, office, "lan0") for g in (one, two)}
    lab.network(coordinator, [user, one, two])
    lan4 = f"{office.subnet4}.0/24"
    for gateway in (one, two):
        gateway.ctl("route", "offer", lan4, "--auto")
        user.ctl("route", "allow", gateway.name, lan4)
        user.wait_direct(gateway)
        wait_state(user, lan4, gateway, "used", "standby")
    stream = user.start("ping", "-n", "-D", "-i", "0.1", printer.ip4, name="stream")
    wait("answers", lambda: len(answered(stream)) > 5)
    watch = [g.start(sys.executable, "-c", WATCH, g.dev, g.ip4, printer.ip4, name="watch") for g in (one, two)]
    wait("the captures", lambda: all("ready" in w.text() for w in watch))

    def lose(cause):
        """At the one in front: how long nothing was answered."""
        front, other = (one, two) if state(user, lan4, one) == "used" else (two, one)
        clock = Stopwatch()
        cause(front)
        gone = time.time()
        wait("the other gateway to carry", lambda: state(user, lan4, other) == "used")
        wait("answers by the other", lambda: answered(stream)[-1] > gone + 3 * SLOW)
        times = [t for t in answered(stream) if t > gone - 1]
        took = max(0, max(b - a for a, b in zip(times, times[1:])) - clock.held())
        print(f"another gateway carried after {took:.1f} s")
        check(took < 6 * SLOW, f"it took {took:.1f} s until another gateway carried the prefix")
        leaks = [x for w in watch for x in w.text().splitlines() if printer.ip4 in x]
        check(not leaks, f"packets for the printer in the clear: {leaks[:5]}")
        return front

    front = lose(lambda host: office.ns.ip(f"link set {cards[host.name][2]} down"))
    wait_state(user, lan4, front, "away")
    equal(state(front, lan4, front), "away", "its own list says")
    check(f"{lan4} is not carried" in problems(front), f"its status does not say it: {problems(front)}")
    office.ns.ip(f"link set {cards[front.name][2]} up")
    wait_state(user, lan4, front, "standby")
    check("not carried" not in problems(front), "the problem stays")
    # Down, an interface keeps its IPv4 address; the kernel removes the route to the network.
    front = lose(lambda host: host.ip("link set lan0 down"))
    wait_state(user, lan4, front, "away")
    check(f"{lan4} is not carried" in problems(front), f"its status does not say it: {problems(front)}")
    front.ip("link set lan0 up")
    wait_state(user, lan4, front, "standby")
    front = lose(lambda host: host.ip("addr flush dev lan0"))
    # Not known after a restart either: by the default route there are strangers.
    front.restart_daemon()
    wait_state(front, lan4, front, "away")
    front.ip(f"addr add {cards[front.name][0]}/24 dev lan0")
    wait_state(user, lan4, front, "standby")
    lose(lambda host: host.nft("table inet other {\nchain forward {\n"
                               "type filter hook forward priority 0; policy drop;\n}\n}\n"))


@scenario
def no_packet_for_a_network_leaves_by_another_interface(lab):
    """A prefix around two networks that its gateway is in: while it has switched off one, nothing for that one leaves
    by the default route."""
    printer, (admin, user, nas) = network(lab, "nas")
    guest, _ = second_network(lab, nas)
    guest.answer_udp(PORT)
    # The uplink is in neither: the gateway is on the internet, too. And a router's bridge, which looks like one of
    # containers.
    lab.attach(nas, lab.inet, dev="wan0")
    nas.ip("link add br-lan type bridge", "addr add 10.99.7.1/24 dev br-lan", "link set br-lan up")
    both = "192.168.0.0/16"
    nas.ctl("route", "offer", both, "--auto")
    admin.ctl("route", "allow", "nas", both)
    reaches(user, printer)
    reaches(user, guest)
    watch = nas.start(sys.executable, "-c", WATCH, "wan0", nas.ip4, guest.ip4, printer.ip4, name="watch")
    wait("the capture", lambda: "ready" in watch.text())
    nas.ip("link set gst0 down")
    not_reached(user, guest, "the gateway's interface is down")
    for _ in range(5):
        user.os_ping(guest.ip4, timeout=1)
    leaks = [x for x in watch.text().splitlines() if guest.ip4 in x]
    check(not leaks, f"packets for the guest in the clear: {leaks[:5]}")
    reaches(user, printer)
    # Without a port a bridge is there all the same; set down it is away.
    nas.ctl("route", "offer", "10.99.7.0/24")
    wait("the offer at the admin", lambda: state(admin, "10.99.7.0/24", nas) == "offered")
    admin.ctl("route", "allow", "nas", "10.99.7.0/24")
    wait_state(nas, "10.99.7.0/24", nas, "here")
    nas.ip("link set br-lan down")
    wait_state(nas, "10.99.7.0/24", nas, "away")
    check("10.99.7.0/24 is not carried" in problems(nas), f"its status does not say it: {problems(nas)}")


@scenario
def rules_hold_behind_a_node(lab):
    """Kept by the node that carries the prefix: about it, about a part of it, and by default."""
    printer, (admin, user, nas) = network(lab, "nas")
    lan4 = f"{nas.lan.subnet4}.0/24"
    nas.ctl("route", "offer", lan4, "--auto")
    admin.ctl("route", "allow", "nas", lan4)
    reaches(user, printer)
    equal(user.ctl("can", "user", f"{printer.ip4}:udp/{PORT}").code, 0, "without rules it ends with")

    admin.ctl("deny", "user", lan4, f"udp/{PORT}")
    wait("the rule to hold", lambda: seen_from(user, printer) is None)
    check(user.os_ping(printer.ip4), "other packets do not pass any more")
    wait("the user to know the rule", lambda: user.ctl("can", "user", f"{printer.ip4}:udp/{PORT}", check_rc=False).code == 11)
    check(lan4 in admin.ctl("rules").out, "rules do not name the prefix")

    admin.ctl("allow", "user", printer.ip4, f"udp/{PORT}", "--before", 1)
    reaches(user, printer)
    admin.ctl("rules", "remove", 1)
    admin.ctl("rules", "remove", 1)
    admin.ctl("allow", "any", "nas", "all")
    admin.ctl("rules", "default", "deny")
    wait("nothing to be allowed behind it", lambda: seen_from(user, printer) is None)
    check(user.os_ping(nas.addr()), "the node itself is not reached any more")
    admin.ctl("allow", "user", lan4, "all")
    reaches(user, printer)


@scenario
def bad_input_is_told_with_its_remedy(lab):
    host = lab.host("admin")
    lab.network(lab.coordinator(), [host])
    for words, remedy in ((("offer", "192.168.1.7/24"), "give 192.168.1.0/24"),
                          (("offer", "printer"), "192.168.1.0/24"),
                          (("offer", "10.66.3.0/24"), "own range"),
                          (("offer", "127.0.0.0/8"), "loopback"),
                          (("offer", "10.0.0.0/7"), "/8"),
                          (("withdraw", "192.168.1.0/24"), "route list"),
                          (("allow", "nobody", "192.168.1.0/24"), "p2pvpnctl peers"),
                          (("deny", "admin", "192.168.1.0/24"), "route list"),
                          (("use", "nobody"), "route list"),
                          (("use", "0.0.0.0/0"), "exit use"),
                          (("list", "more"), "route list"),
                          (("use", "all", "--auto"), "offer")):
        r = host.ctl("route", *words, check_rc=False)
        check(r.code != 0 and remedy in r.err, f"route {words}: {r}")
    r = host.ctl("exit", "use", "nobody", check_rc=False)
    check(r.code != 0 and "peers" in r.err, f"exit use nobody: {r}")
    check("no member offers one" in host.ctl("route").out, "an empty list says nothing")


def route_of(host, network, prefix):
    first = [] if network == "home" else ["-n", network]
    return next((r for r in host.json(*first, "route", "list")["routes"] if r["prefix"] == prefix), None)


@scenario
def two_networks_of_a_machine_take_no_prefix_from_each_other_unseen(lab):
    """An exit of the first network is no way to a prefix of the second, not even while that one is away; where both use
    one prefix, the one that does not get its packets says so."""
    lan = lab.masquerade("lan", drop_input=True, ipv6=True)
    coordinator = lab.coordinator()
    printer, nas, gate, user = lab.host("printer", lan), lab.host("nas", lan), lab.host("gate"), lab.host("user")
    printer.answer_udp(PORT)
    lan4 = f"{lan.subnet4}.0/24"
    lab.network(coordinator, [gate, user])
    nas.daemon()
    token = nas.ctl("create", coordinator.url(), "--network", "work", "--name", "nas", "--cidr", "10.77.0.0/16").out
    user.ctl("-n", "work", "join", token.strip(), "--name", "user")
    nas.ctl("route", "offer", lan4, "--auto")
    wait("the prefix to be used", lambda: (route_of(user, "work", lan4) or {}).get("state") == "used")
    reaches(user, printer)
    gate.ctl("exit", "offer")
    wait("the exit to be used", lambda: user.ctl("exit", "use", "gate", "--block", check_rc=False).code == 0)
    equal(reaches(user, printer), nas.ip4, "beside the exit the printer sees")
    gate.ctl("route", "offer", lan4, "--auto")
    wait("the first network to have the prefix", lambda: (route_of(user, "home", lan4) or {}).get("state") == "used")
    wait("the second one to say so", lambda: (lambda r: (r["state"], r["why"]))(route_of(user, "work", lan4))
         == ("refused", f"on this machine {lan4} goes by p2pvpn0"))
    check("p2pvpn0" in user.ctl("-n", "work", "route").out, "the table of the second network")
    user.ctl("route", "use", "off", lan4)
    wait("it to be the second one's again", lambda: route_of(user, "work", lan4)["state"] == "used")
    equal(reaches(user, printer), nas.ip4, "after the first network's word the printer sees")


@scenario(whole="a gateway and two networks")
def a_machine_carries_prefixes_for_two_networks(lab):
    """On a host that forwards for members alone: neither network's table shuts out the other's members, whichever offer
    or withdrawal comes last."""
    lan = lab.masquerade("lan", drop_input=True, ipv6=True)
    coordinator = lab.coordinator()
    printer, nas, alice, bob = lab.host("printer", lan), lab.host("nas", lan), lab.host("alice"), lab.host("bob")
    printer.answer_udp(PORT)
    lan4 = f"{lan.subnet4}.0/24"
    lab.network(coordinator, [alice, nas])
    for switch in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        nas.run("sh", "-c", f"echo 0 >/proc/sys/net/{switch}")
    bob.daemon()
    token = bob.ctl("create", coordinator.url(), "--network", "work", "--name", "bob", "--cidr", "10.77.0.0/16").out
    nas.ctl("-n", "work", "join", token.strip(), "--name", "nas")
    wait("the second interface", lambda: nas.run("ip", "link", "show", "p2p-work", check_rc=False).code == 0)

    def offer(*first):
        nas.ctl(*first, "route", "offer", lan4, "--auto")
        (bob if first else alice).ctl("route", "allow", "nas", lan4)

    def both_reach(when):
        for host in (alice, bob):
            equal(reaches(host, printer), nas.ip4, f"{when}: what the printer sees of {host.name}")

    offer()
    offer("-n", "work")
    both_reach("the second network's offer came last")
    nas.ctl("route", "withdraw", lan4)
    not_reached(alice, printer, "it was withdrawn")
    equal(reaches(bob, printer), nas.ip4, "the other network's offer holds")
    offer()
    both_reach("the first network's offer came last")


@scenario
def a_static_peer_is_let_through_by_no_offer(lab):
    """On a host that forwards for members alone, be it the peer of the network that offers or of another one."""
    need_stock()
    lan = lab.masquerade("lan", drop_input=True)
    coordinator = lab.coordinator()
    printer, nas, alice, bob = lab.host("printer", lan), lab.host("nas", lan), lab.host("alice"), lab.host("bob")
    printer.answer_udp(PORT)
    lan4 = f"{lan.subnet4}.0/24"
    nas.run("sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward")
    phone = lab.host("phone", lan)
    private, public = key(phone)
    start_wireguard(phone)
    phone.run("sh", "-c", "umask 077; cat >/run/key", stdin=private + "\n")
    address = {"home": "10.99.0.2", "work": "10.99.1.2"}
    peer = f"[peer phone]\npublic-key = {public}\nendpoint = {phone.ip4}:51821\nallowed-ips = "
    nas.configure(f"{peer}{address['home']}/32\n")
    lab.network(coordinator, [alice, nas])
    bob.daemon()
    token = bob.ctl("create", coordinator.url(), "--network", "work", "--name", "bob", "--cidr", "10.77.0.0/16").out
    nas.ctl("-n", "work", "join", token.strip(), "--name", "nas")
    nas.run("sh", "-c", "cat >>/etc/p2pvpn/work.conf", stdin=f"{peer}{address['work']}/32\n")
    printer.ip(f"route add 10.99.0.0/16 via {nas.ip4}")
    phone.ip("link set wg0 mtu 1420 up")

    def peer_of(network):
        """The phone speaks to this one of the networks."""
        first = [] if network == "home" else ["-n", network]
        phone.ip("addr flush dev wg0", f"addr add {address[network]}/32 dev wg0", f"route replace {printer.ip4}/32 dev wg0")
        nas.ctl(*first, "reload")
        wg_key = nas.json(*first, "status")["self"]["wg_key"]
        port = nas.json(*first, "status")["interface"]["port"]
        phone.run("wg", "set", "wg0", "listen-port", "51821", "private-key", "/run/key", "peer", wg_key,
                  "allowed-ips", "0.0.0.0/0", "endpoint", f"{nas.ip4}:{port}", "persistent-keepalive", "1")
        wait(f"the phone to be a peer of {network}", lambda: phone.run("wg", "show", "wg0", "latest-handshakes").out.split()[-1] != "0")
        return wg_key

    nas.ctl("route", "offer", lan4, "--auto")
    alice.ctl("route", "allow", "nas", lan4)
    equal(reaches(alice, printer), nas.ip4, "what the printer sees of alice")
    for network in ("home", "work"):
        wg_key = peer_of(network)
        check(seen_from(phone, printer) is None, f"a peer of {network} is let through")
        nas.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        wait(f"the peer of {network} to pass where the user forwards", lambda: seen_from(phone, printer))
        nas.run("sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward")
        phone.run("wg", "set", "wg0", "peer", wg_key, "remove")
    equal(reaches(alice, printer), nas.ip4, "what the printer sees of alice")
