# SPDX-License-Identifier: MIT
"""Exits: all traffic of a machine by another member, and nothing beside it, at every moment."""
import json
import re
import sys

from exitlab import LISTEN, PORT, TELL, Uplink, seen_as, through, use, world
from lab import UDP_ASK, UDP_ECHO, check, equal, scenario, wait

FAR = "203.0.113.77/32"

# Says what comes by an interface for one of these addresses.
READ = """
import socket, sys
targets = [socket.inet_aton(t) for t in sys.argv[2:]]
s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
s.bind((sys.argv[1], 0x0800))
print('ready', flush=True)
while True:
    p = s.recv(65536)
    if p[16:20] in targets:
        print('read', socket.inet_ntoa(p[12:16]), socket.inet_ntoa(p[16:20]), flush=True)
"""


@scenario
def everything_goes_by_the_exit_and_nothing_beside_it(lab):
    _, home, alice, exit_, web = world(lab)
    up = Uplink(alice, web)
    up.open("before")
    wait("alice to be seen without an exit", lambda: seen_as(alice, web) == home.public)
    use(alice)
    up.forget()
    through(alice, exit_, web)
    up.tight("in use")
    # The server at home is asked, and that of the exit answers.
    wait("an answer to a question for names", lambda: alice.udp_ask(up.router, 53))
    up.tight("questions")
    # Others change routes and rules, as network managers do; then the rule set is flushed.
    alice.ip(f"route replace default via {up.router} metric 7", f"route add {web.ip4}/32 via {up.router}")
    alice.run("sh", "-c", "ip rule flush protocol 112; ip -6 rule flush protocol 112")
    up.tight("routes and rules of others")
    through(alice, exit_, web)
    # A default route that names its router alone is the user's own, and there when the exit ends.
    alice.ip("route del default", "route del default", f"route add default via {up.router}")
    check(f"dev {alice.dev}" in alice.run("ip", "-4", "route", "show", "default").out, "the user's default route is ours")
    alice.run("nft", "flush", "ruleset")
    wait("the guard", lambda: "chain guard" in alice.run("nft", "list", "ruleset").out)
    up.go_round(1)
    up.forget()
    up.tight("after a flushed rule set")
    alice.run("ip", "link", "del", alice.tun)
    up.tight("the interface removed")
    through(alice, exit_, web)
    # Without its address the interface's packets are forwarded, as all lab machines do: answers, and errors about them.
    for _ in range(5):
        alice.run("ip", "addr", "flush", "dev", alice.tun)
        up.go_round(1)
    up.tight("the interface without addresses")
    through(alice, exit_, web)
    # A packet too large for the interface is told to the sender, whatever the exit's way takes.
    r = alice.run("ping", "-c1", "-W2", "-M", "do", "-s", "1450", web.ip4, check_rc=False)
    check("mtu = 1420" in r.out + r.err or "mtu=1420" in r.out + r.err, f"too big is not told: {r}")
    check(alice.os_ping(web.ip4), "a ping through the exit")
    check(not alice.os_ping(up.router, timeout=1), "the LAN is reached beside the exit")
    use(alice, "--lan")
    wait("the LAN", lambda: alice.os_ping(up.router))
    up.tight("with the LAN")
    through(alice, exit_, web)
    rows = [row.split()[:3] for row in alice.ctl("exit").out.splitlines()[1:3]]
    equal(rows, [["0.0.0.0/0", "exit", "used"], ["::/0", "exit", "used"]], "what exit alone shows")
    # Rules hold for what is carried, and who loses it by them is told.
    alice.ctl("deny", "any", "0.0.0.0/0", "tcp/443")
    wait("what is wrong", lambda: "HTTPS is denied by rule 1 where it goes by the exit exit" in alice.ctl("status", "-l", check_rc=False).out)
    check("HTTPS is denied by rule" in alice.ctl("exit").out, "the rule in the table of exits")
    alice.ctl("rules", "remove", "1")  # remedy: remove_rule
    wait("nothing to be wrong", lambda: "is denied by" not in alice.ctl("status", "-l", check_rc=False).out)
    alice.ctl("rules", "default", "deny")
    wait("what is wrong", lambda: "p2pvpnctl allow any 0.0.0.0/0 all" in alice.ctl("status", "-l", check_rc=False).out)
    for all_of in ("0.0.0.0/0", "::/0"):
        alice.ctl("allow", "any", all_of, "all")  # remedy: allow_internet
    wait("nothing to be wrong", lambda: "is denied by" not in alice.ctl("status", "-l", check_rc=False).out and
         "are denied by" not in alice.ctl("status", "-l", check_rc=False).out)
    through(alice, exit_, web)
    alice.ctl("rules", "default", "allow")
    r = alice.ctl("netcheck", check_rc=False)
    check("all goes by the exit exit: this is about its way out" in r.err, f"netcheck by an exit: {r}")
    alice.ctl("exit", "off")
    up.open("off")
    wait("no rule to stay", lambda: "proto 112" not in alice.run("ip", "rule", "show").out)


REFUSED = """
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.settimeout(30)
s.connect((sys.argv[1], 53))
s.send(b'x')
try:
    print(s.recv(100))
except ConnectionRefusedError:
    print('refused')
"""


# One datagram to a group in the LAN, from a port.
FROM_PORT = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(sys.argv[1]))
s.bind((sys.argv[1], 5999))
try:
    s.sendto(b'x', ('239.255.255.250', 5355))
except PermissionError:
    print('kept in')
"""


@scenario
def no_program_leaves_by_a_port_of_the_daemons(lab):
    """The daemon has sent from a port; another program that gets it sends to the same place."""
    _, _, alice, exit_, web = world(lab)
    up = Uplink(alice, web)
    use(alice)
    through(alice, exit_, web)
    words = (sys.executable, "-c", FROM_PORT, alice.ip4)
    up.forget()
    up.tight("before")
    alice.run("setpriv", "--reuid=p2pvpn", "--clear-groups", *words)
    wait("the daemon's datagram by the uplink", up.leaks)
    up.forget()
    equal(alice.run(*words).out, "kept in\n", "the program's datagram is")
    up.tight("a program at the daemon's port")


@scenario
def a_member_that_uses_an_exit_reaches_nothing_inside_it(lab):
    """The exit's own addresses, and what is in its networks (of containers, of machines in it, its LAN), private or
    public, are none of the internet's: they need an offer of their own."""
    def inside(host):
        host.ip("link add inside0 type veth peer name inside1", "link set inside1 up", "link set inside0 up",
                "addr add 172.30.0.1/24 dev inside0", "addr add fd77:1::1/64 dev inside0 nodad")
        for address in ("172.30.0.1", "fd77:1::1"):
            host.answer_udp(7777, address)
        neighbour = lab.host("neighbour")
        for h in (host, neighbour):
            for address in (h.ip4, h.ip6):
                h.answer_udp(7777, address)
        neighbour.answer_udp(53, neighbour.ip4)
        near.update(neighbour=(neighbour.ip4, neighbour.ip6), itself=(host.ip4, host.ip6))
    near = {}
    _, _, alice, exit_, web = world(lab, at_exit=inside)
    use(alice)
    through(alice, exit_, web)
    for address in ("172.30.0.1", "fd77:1::1"):
        equal(alice.udp_ask(address, 7777), None, f"what listens inside the exit at {address}")
    for who, addresses in near.items():
        for address in addresses:
            check(exit_.udp_ask(address, 7777, timeout=15), f"{address} does not answer the exit either")
            equal(alice.udp_ask(address, 7777), None, f"public address {address} of the exit's {who}")
    # A port that is published as docker does it: at all addresses of the exit.
    exit_.nft(f"""
table ip published {{
    chain prerouting {{
        type nat hook prerouting priority dstnat; policy accept;
        fib daddr type local udp dport 7778 dnat to {web.ip4}:{PORT}
    }}
}}
""")
    wait("a published port", lambda: alice.udp_ask(exit_.addr(), 7778))
    equal(alice.udp_ask("172.30.0.1", 7778), None, "a port published inside")
    exit_.ctl("route", "offer", "172.30.0.0/24")
    alice.ctl("route", "allow", "exit", "172.30.0.0/24")
    wait("what was offered", lambda: alice.ctl("route", "use", "172.30.0.0/24", check_rc=False).code == 0)
    wait("an answer from inside", lambda: alice.udp_ask("172.30.0.1", 7777))
    beside = f"{near['neighbour'][0]}/32"
    exit_.ctl("route", "offer", beside, "--auto")
    alice.ctl("route", "allow", "exit", beside)
    wait("an answer from a neighbour that was offered", lambda: alice.udp_ask(near["neighbour"][0], 7777))
    equal(alice.udp_ask(near["neighbour"][1], 7777), None, "its other address")
    through(alice, exit_, web)

    # The exit gets another server for names, and has none for questions by IPv6, which are refused at once.
    router = f"{alice.lan.subnet4}.1"
    wait("a question for a name to be answered", lambda: alice.udp_ask(router, 53))
    wait("a word of IPv6", lambda: "over IPv6" in exit_.ctl("status", "-l").out)
    equal(alice.run(sys.executable, "-c", REFUSED, "fd00:1::1", check_rc=False).out, "refused\n", "a question by IPv6 is")
    web.dns.end()
    exit_.run("sh", "-c", "cat >/run/resolv.conf", stdin=f"nameserver {near['neighbour'][0]}\n")
    wait("answers of the other server", lambda: alice.udp_ask(router, 53))


@scenario
def a_flow_begun_inside_an_exit_ends_with_its_offer(lab):
    """Neither a flow of before, nor a route that only a table of the exit's user has, leads inside."""
    def inside(host):
        host.ip("link add inside0 type veth peer name inside1", "link set inside1 up", "link set inside0 up",
                "addr add 172.30.0.1/24 dev inside0")
        host.answer_udp(7777, "172.30.0.1")
        neighbour = lab.host("neighbour")
        neighbour.ip(f"addr add {FAR} dev {neighbour.dev}")
        neighbour.answer_udp(7777, FAR.split("/")[0])
        host.ip(f"route add {FAR} dev {host.dev} table 100", f"rule add to {FAR} lookup 100 priority 100")
    _, _, alice, exit_, web = world(lab, at_exit=inside)
    far = FAR.split("/")[0]
    check(exit_.udp_ask(far, 7777, timeout=15), "the neighbour does not answer the exit either")
    use(alice)
    through(alice, exit_, web)
    equal(alice.udp_ask(far, 7777), None, "a neighbour that only a table of the user's leads to")
    exit_.ctl("route", "offer", "172.30.0.0/24", "--auto")
    alice.ctl("route", "allow", "exit", "172.30.0.0/24")
    wait("an answer from inside", lambda: alice.udp_ask("172.30.0.1", 7777, 5555))
    exit_.ctl("route", "withdraw", "172.30.0.0/24")
    wait("the end of the flow", lambda: alice.udp_ask("172.30.0.1", 7777, 5555) is None)
    through(alice, exit_, web)
    equal(alice.udp_ask("172.30.0.1", 7777, 5555), None, "a flow of before the offer was withdrawn")


@scenario
def an_exit_speaks_for_no_neighbour(lab):
    """It speaks for the internet, and not for what its user reaches without it."""
    _, _, alice, exit_, web = world(lab)
    alice.ip("link add inside0 type veth peer name inside1", "link set inside1 up", "link set inside0 up",
             "addr add 172.30.0.1/24 dev inside0")
    use(alice)
    through(alice, exit_, web)
    listener = alice.start(sys.executable, "-c", LISTEN, "0.0.0.0", name="listener")
    wait("the listener", lambda: "ready" in listener.text())
    sources = {f"{alice.lan.subnet4}.77": "from the LAN", "172.30.0.7": "from inside", "8.8.4.4": "from the internet"}
    for source, text in sources.items():
        exit_.ip(f"addr add {source}/32 dev lo")
        exit_.run(sys.executable, "-c", TELL, source, alice.addr(), text)
    wait("what comes from the internet", lambda: "from the internet" in listener.text())
    equal(listener.text().splitlines(), ["ready", "from the internet"], "what is heard")


@scenario
def a_host_whose_default_route_is_not_in_the_main_table_uses_an_exit(lab):
    """In table 253, as some routers and network managers set it, and in one that rules of the host's name: the daemon's
    own packets go as they do without the exit."""
    _, _, alice, exit_, web = world(lab)
    up = Uplink(alice, web)
    r4, r6 = f"{alice.lan.subnet4}.1", f"{alice.lan.subnet6}::1"
    alice.ip(f"route add default via {r4} table 253", "route del default",
             f"route add ::/0 via {r6} table 100", "route del ::/0")
    alice.run("ip", "-6", "rule", "add", "lookup", "100", "priority", "32765")
    up.open("a default route in table 253")
    use(alice)
    up.forget()
    through(alice, exit_, web)
    up.tight("a default route in table 253")
    # With the LAN's own route, as networkd's RouteTable= makes it.
    for line in (f"{alice.lan.subnet4}.0/24 dev {alice.dev} src {alice.ip4}", f"default via {r4} dev {alice.dev}"):
        alice.ip(f"route add {line} table 200")
    alice.ip("rule add lookup 200 priority 32000", "route del default table 253")
    through(alice, exit_, web)
    up.tight("a default route in a table of the host's")
    wait("the coordinator", lambda: alice.json("status")["coordinator"]["connected"])
    alice.restart_daemon()
    through(alice, exit_, web)
    up.forget()
    up.tight("a start with a default route in a table of the host's")
    alice.ctl("exit", "off")


FILTER = """table inet strict {{
    chain first {{
        type filter hook prerouting priority {priority}; policy accept;
        iif lo accept
        fib saddr . {mark}iif oif missing drop
    }}
}}
"""


@scenario
def an_exit_works_beside_a_filter_of_the_way_back(lab):  # remedy: look_at_marks
    """As guides for hardening have it: at the first priority, where no connection is known, and later."""
    _, _, alice, exit_, web = world(lab)
    up = Uplink(alice, web)

    def drop_to_begin_with(priority, mark):
        alice.nft("table inet strict\ndelete table inet strict\n" + FILTER.format(priority=priority, mark=mark))
    for priority in ("raw", "mangle"):
        drop_to_begin_with(priority, "mark . ")
        use(alice)
        through(alice, exit_, web)
        # A TCP connection of the daemon's, and a name that it asks for.
        alice.restart_daemon()
        through(alice, exit_, web)
        wait("the coordinator", lambda: alice.json("status")["coordinator"]["connected"])
        up.forget()
        replies = [alice.os_ping(web.ip4) for _ in range(20)]
        check(all(replies), f"lost of 20, with the filter at {priority}: {replies.count(False)}")
        up.tight(f"the filter at {priority}")
        check("drops what comes" not in alice.ctl("status", "-l", check_rc=False).out, "a filter that looks at the mark is blamed")
        alice.ctl("exit", "off")
    drop_to_begin_with("raw", "")
    use(alice)
    wait("the rule to be named", lambda: "(table inet strict, chain first) drops what comes" in
         alice.ctl("status", "-l", check_rc=False).out)
    drop_to_begin_with("raw", "mark . ")
    wait("the rule to be forgotten", lambda: "chain first" not in alice.ctl("status", "-l", check_rc=False).out)
    through(alice, exit_, web)
    alice.ctl("exit", "off")


@scenario
def a_rule_that_takes_programs_packets_is_named(lab):
    """As strongSwan's table 220 with a default route: the daemon's own pings are answered, and programs reach nobody.

    remedy: add_ip_rule, remove_ip_rule"""
    _, _, alice, exit_, web = world(lab)
    named = "rule 220 looks into table 220"
    for family, address, router in (("-4", exit_.addr(), f"{alice.lan.subnet4}.1"),
                                    ("-6", exit_.addr(family=6), f"{alice.lan.subnet6}::1")):
        wait("a member", lambda to=address: alice.os_ping(to))
        alice.run("ip", family, "route", "add", "default", "via", router, "table", "220")
        alice.run("ip", family, "rule", "add", "lookup", "220", "priority", "220")
        wait("the rule to be named", lambda: named in alice.ctl("status", "-l", check_rc=False).out)
        check(not alice.os_ping(address, timeout=1), "the rule takes nothing")
        check(alice.ctl("ping", "-c1", "exit", check_rc=False).code == 0, "the daemon's own ping")
        r = alice.ctl("why", "exit", check_rc=False)
        check(named in r.out, f"why does not name it: {r}")
        r = alice.ctl("doctor", check_rc=False)
        check(r.code != 0 and named in r.out, f"doctor does not name it: {r}")
        # The remedy is the command that mends it.
        remedy = re.search(r"`sudo (ip (-6 )?rule add[^`]*)`", alice.ctl("status", "-l", check_rc=False).out).group(1)
        alice.run(*remedy.split())
        wait("the rule to be forgotten", lambda: named not in alice.ctl("status", "-l", check_rc=False).out)
        check(alice.os_ping(address), "the remedy does not mend it")
        check(named not in alice.ctl("why", "exit").out, "why still names it")
    alice.run("ip", "-6", "rule", "del", "priority", "220")
    # The same rule before an exit: nothing leaves, and nothing is called used.
    up = Uplink(alice, web)
    use(alice)
    wait("the exit not to be used", lambda: "the exit exit is not used" in alice.ctl("status", "-l", check_rc=False).out)
    out = alice.ctl("exit").out
    check("which packets of this machine do not go by" in out, f"exit: {out}")
    rows = {row.split()[0]: row.split()[2] for row in out.splitlines()[1:3]}
    equal(rows, {"0.0.0.0/0": "refused", "::/0": "used"}, "what exit alone shows")
    up.forget()
    up.tight("a rule before the exit's")
    alice.ip("rule del priority 220")
    wait("the exit to be used", lambda: "is not used" not in alice.ctl("status", "-l", check_rc=False).out)
    through(alice, exit_, web)
    alice.ctl("exit", "off")


@scenario
def a_guarded_exit_stays_tight_when_it_or_the_daemon_dies(lab):
    _, _, alice, exit_, web = world(lab)
    up = Uplink(alice, web)
    use(alice, "--block")
    up.forget()
    through(alice, exit_, web)
    exit_.p2pvpnd.kill()
    up.tight("the exit has died")
    # 971 is user p2pvpn: the interface and all processes of the daemon go.
    alice.p2pvpnd.kill()
    wait("the interface to go", lambda: alice.tun not in alice.run("ip", "-br", "link").out)
    up.tight("kill -9 of the daemon")
    alice.daemon(wait_ready=False)
    up.go_round(10)
    alice.wait_daemon()
    up.tight("the daemon's start")
    exit_.daemon()
    through(alice, exit_, web)
    up.tight("both are back")
    alice.restart_daemon()
    up.tight("a restart")
    # Nobody is left to clean up; the next start does.
    alice.run("sh", "-c", f"kill -9 $(pgrep -P {alice.p2pvpnd.pid}) {alice.p2pvpnd.pid}")
    alice.p2pvpnd.kill()
    up.tight("kill -9 of all its processes")
    told = " ".join(alice.ctl("doctor", "-l", check_rc=False).out.split())
    check(f"interface {alice.tun}, whose p2pvpnd does not run, lets nothing out" in told and "setup reopen" in told, told)
    alice.daemon()
    up.tight("started after that")
    through(alice, exit_, web)
    alice.ctl("down")
    up.open("down")
    for family in ("-4", "-6"):
        wait("no rule to stay", lambda f=family: "proto 112" not in alice.run("ip", f, "rule", "show").out)
    wait("no table to stay", lambda: "p2pvpn" not in alice.run("nft", "list", "tables").out)


@scenario
def an_admin_who_removes_a_machine_opens_no_block(lab):
    _, _, alice, exit_, web = world(lab)
    up = Uplink(alice, web)
    use(alice, "--block")
    up.forget()
    through(alice, exit_, web)
    alice.ctl("admin", "grant", "exit")
    wait("the right", lambda: exit_.ctl("remove", "alice", check_rc=False).code == 0)
    wait("alice to hear of it", lambda: alice.json("status")["state"] == "removed")
    wait("the interface to go", lambda: alice.tun not in alice.run("ip", "-br", "link").out)
    up.tight("removed")
    alice.restart_daemon()
    up.tight("removed, and started again")
    told = alice.ctl("status", "-l", check_rc=False).out
    check("nothing goes out until it does" in told and "p2pvpnctl exit off" in told, told)
    check("without it nothing goes out" in alice.ctl("exit").out, "exit of a machine that was removed")
    alice.ctl("exit", "off")  # remedy: exit_off
    up.open("off")
    wait("no table to stay", lambda: "p2pvpn" not in alice.run("nft", "list", "tables").out)
    check("exit off" not in alice.ctl("status", "-l", check_rc=False).out, "status names it still")


def other_vpn(host, *ways):
    """Another VPN of the host's, with an interface other0 that writes down where packets go."""
    other = host.start(sys.executable, "-c", OTHER_VPN, name="other-vpn")
    wait("the other VPN", lambda: "ready" in other.text())
    host.ip("link set other0 up", "addr add 10.99.0.2/24 dev other0", *ways)
    return other


@scenario
def a_plan_that_is_refused_opens_no_block(lab):  # remedy: stop_vpn
    """Another VPN stands in the way of the exit, or nft does not work: what is in force is kept, and nothing goes out
    where there is none yet."""
    _, _, alice, exit_, web = world(lab)
    up = Uplink(alice, web)
    use(alice, "--block")
    up.forget()
    through(alice, exit_, web)
    exit_.ctl("route", "offer", "10.77.0.0/16")
    alice.ctl("route", "allow", "exit", "10.77.0.0/16")
    other_vpn(alice, "route add 0.0.0.0/1 dev other0")
    alice.ctl("route", "use", "all")
    wait("the refusal", lambda: "stop that VPN" in alice.ctl("status", "-l", check_rc=False).out)
    check("without it nothing goes out" in alice.ctl("exit").out, "exit beside another VPN")
    r = alice.ctl("exit", "use", "exit", "--lan", "--block", check_rc=False)
    check(r.code == 1 and "stop that VPN" in r.err, f"exit use beside another VPN: {r}")
    up.tight("a command beside another VPN")
    alice.restart_daemon()
    wait("the refusal at the start", lambda: "cannot use" in alice.ctl("exit").out)
    check("nothing goes out until it can" in alice.ctl("exit").out, "exit started beside another VPN")
    check("nothing goes out while the exit exit" in alice.ctl("netcheck", check_rc=False).err, "netcheck of a block")
    up.tight("a start beside another VPN")
    alice.ctl("down")
    up.open("down")
    alice.ctl("up")
    wait("the refusal after up", lambda: "nothing goes out until it can" in alice.ctl("exit").out)
    up.forget()
    up.tight("up beside another VPN")
    alice.ip("route del 0.0.0.0/1 dev other0")
    through(alice, exit_, web)
    check("cannot use" not in alice.ctl("exit").out, "the exit after the other VPN")
    up.tight("the other VPN is gone")
    alice.run("mount", "--bind", "/usr/bin/false", "/usr/sbin/nft")
    alice.restart_daemon()
    wait("nft to be missed", lambda: "nft says" in alice.ctl("status", "-l", check_rc=False).out)
    up.tight("a start without nft")
    alice.run("umount", "/usr/sbin/nft")
    through(alice, exit_, web)
    up.tight("nft is back")


@scenario
def a_refused_command_shuts_nothing(lab):
    _, _, alice, exit_, web = world(lab)
    up = Uplink(alice, web)
    use(alice)
    through(alice, exit_, web)
    other_vpn(alice, "route add 0.0.0.0/1 dev other0")
    alice.restart_daemon()
    wait("the refusal", lambda: "cannot use: no exit node is used" in alice.ctl("exit").out)
    up.open("an exit without --block that cannot be used")
    for command in (("--block",), ("--block",), ()):
        r = alice.ctl("exit", "use", "exit", *command, check_rc=False)
        check(r.code == 1 and "stop that VPN" in r.err, f"exit use {command}: {r}")
        up.open(f"refused exit use {command}")
    check("cannot use: no exit node is used" in alice.ctl("exit").out, "what holds")
    alice.ip("route del 0.0.0.0/1 dev other0")
    through(alice, exit_, web)
    alice.ctl("exit", "off")
    up.open("off")


@scenario
def a_drop_by_others_at_the_exit_is_told_with_the_remedy(lab):  # remedy: accept_in_docker
    """Docker's rules, as iptables-nft writes them, and another VPN of alice's."""
    _, _, alice, exit_, web = world(lab)
    exit_.nft("""
table ip filter {
    chain DOCKER-USER { }
    chain FORWARD { type filter hook forward priority filter; policy drop; jump DOCKER-USER; }
}
""".replace("; }", ";\n }").replace("{ }", "{\n }"))
    # Another VPN with all traffic by a mark of its own, and a network behind it.
    other = other_vpn(alice, "route add 0.0.0.0/0 dev other0 table 51820",
             "rule add not fwmark 0xca6c lookup 51820 priority 32764")
    alice.ip("rule add lookup main suppress_prefixlength 0 priority 32763")
    use(alice)
    check("DOCKER-USER" not in exit_.ctl("status", "-l").out, "blamed before a packet was dropped")
    wait("the remedy", lambda: seen_as(alice, web) is None and "DOCKER-USER" in exit_.ctl("status", "-l").out)
    for end in ("iifname", "oifname"):
        exit_.nft(f'insert rule ip filter DOCKER-USER {end} "{exit_.tun}" accept\n')
    through(alice, exit_, web)
    wait("the remedy to go", lambda: "DOCKER-USER" not in exit_.ctl("status", "-l").out)
    alice.run("ping", "-c1", "-W1", "10.99.0.7", check_rc=False)
    wait("the other VPN's network", lambda: "10.99.0.7" in other.text())
    alice.ctl("exit", "off")


OTHER_VPN = """
import fcntl, os, socket, struct
tun = os.open('/dev/net/tun', os.O_RDWR)
fcntl.ioctl(tun, 0x400454ca, struct.pack('16sH22x', b'other0', 0x1001))
print('ready', flush=True)
while True:
    p = os.read(tun, 2048)
    if p[0] >> 4 == 4:
        print(socket.inet_ntoa(p[16:20]), flush=True)
"""


@scenario
def containers_beside_an_exit_reach_members_and_members_their_ports(lab):
    """As docker has them: masqueraded, with a port that the host publishes; this node offers nothing."""
    _, _, alice, exit_, web = world(lab)
    inside = lab.namespace("inside")
    alice.ip(f"link add inside0 type veth peer name eth0 netns {inside.holder.pid}",
             "addr add 172.30.0.1/24 dev inside0", "link set inside0 up")
    inside.ip("addr add 172.30.0.2/24 dev eth0", "link set eth0 up", "link set lo up", "route add default via 172.30.0.1")
    alice.nft("""table ip docker {
    chain out { type nat hook postrouting priority 100; ip saddr 172.30.0.0/24 oifname != "inside0" masquerade; }
    chain in { type nat hook prerouting priority -100; fib daddr type local udp dport 8080 dnat to 172.30.0.2:80; }
}""")
    echo = inside.start(sys.executable, "-c", UDP_ECHO, "172.30.0.2", "80", name="echo")
    wait("the echo of the container", lambda: "ready" in echo.text())
    exit_.answer_udp(7777)
    use(alice)
    through(alice, exit_, web)
    wait("a member to reach the published port", lambda: exit_.udp_ask(alice.addr(), 8080))
    wait("the container to reach a member",
         lambda: inside.run(sys.executable, "-c", UDP_ASK, exit_.addr(), "7777", "0", "1.0", "x", check_rc=False).out)


@scenario(whole="an exit and two networks")
def a_block_of_one_network_is_told_by_the_other(lab):
    """It outlives its p2pvpnd and the other network's start and commands; nobody says that packets go by another exit."""
    coordinator, _, alice, exit_, web = world(lab)
    wexit = lab.host("wexit")
    wexit.daemon()
    token = wexit.ctl("create", coordinator.url(), "--network", "work", "--name", "wexit", "--cidr", "10.77.0.0/16").out
    wexit.ctl("exit", "offer")
    alice.ctl("-n", "work", "join", token.strip(), "--name", "alice")
    up = Uplink(alice, web)
    use(alice, "--block")
    up.forget()
    through(alice, exit_, web)
    alice.ctl("down")
    wait("the other network's exit to be used", lambda: alice.ctl("-n", "work", "exit", "use", "wexit", check_rc=False).code == 0)
    alice.ctl("up")
    wait("what is wrong, by exit", lambda: "which this machine cannot use: nothing goes out until it can"
         in alice.ctl("-n", "work", "exit").out)
    check("packets go by" not in alice.ctl("-n", "work", "exit").out, "the table of exits")
    r = alice.ctl("-n", "work", "netcheck", check_rc=False)
    check("nothing goes out but by the exit of another network" in r.out + r.err, f"netcheck: {r}")
    up.forget()
    up.tight("a block beside another network's exit")

    def blocked():
        checks = json.loads(alice.ctl("-n", "work", "doctor", "--json", check_rc=False).out)["checks"]
        return [c["remedy"] for c in checks if c["name"] == "block" and not c["well"]]
    equal(blocked(), ["exit_off_there"], "what doctor says of the other network's block")
    alice.ctl("exit", "off")  # remedy: exit_off_there
    equal(blocked(), [], "what doctor says of it without")
    alice.ctl("-n", "work", "exit", "off")
    use(alice, "--block")
    through(alice, exit_, web)
    alice.stop_daemon()
    r = alice.ctl("-n", "work", "exit", "use", "wexit", check_rc=False)
    check(r.code == 1 and "where its p2pvpnd has ended start that first" in r.err, f"exit use behind a block: {r}")
    alice.ctl("-n", "work", "down")
    alice.ctl("-n", "work", "up")
    alice.run("nft", "flush", "ruleset")
    up.forget()
    up.go_round()
    bad = [x for x in up.leaks() if web.ip4 in x or web.ip6 in x]
    check(not bad, f"a flushed rule set: {bad}")
    alice.daemon()
    through(alice, exit_, web)


@scenario
def an_exit_of_one_network_keeps_no_prefix_from_members_of_another(lab):
    """A machine offers its LAN in one network, and what is behind a router there, and uses the other one's exit, which
    reads nothing of that; members are carried, and what is behind another gateway of theirs. A neighbour in a LAN that
    is not offered gets neither to members nor out by the exit."""
    coordinator, home, alice, exit_, web = world(lab)
    alice.run("sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward")
    office = lab.masquerade("office", False, ipv6=True)
    bob, clerk = lab.host("bob", office), lab.host("clerk", office)
    bob.daemon()
    token = bob.ctl("create", coordinator.url(), "--network", "work", "--name", "bob", "--cidr", "10.77.0.0/16").out
    alice.ctl("-n", "work", "join", token.strip(), "--name", "alice")
    for prefix in (f"{office.subnet4}.0/24", f"{office.subnet6}::/64"):
        bob.ctl("route", "offer", prefix, "--auto")
        bob.ctl("route", "allow", "bob", prefix)
    printer = lab.host("printer", home)
    printer.ip("addr add 192.168.50.1/32 dev lo")
    printers = printer.ip4, "192.168.50.1"
    for address, port in ((printers[0], PORT), (printers[1], PORT), (printers[0], 53), (printer.ip6, PORT)):
        printer.answer_udp(port, address)
    alice.ip(f"route add 192.168.50.0/24 via {printer.ip4}")
    for prefix in (f"{home.subnet4}.0/24", f"{home.subnet6}::/64", "192.168.50.0/24"):
        alice.ctl("-n", "work", "route", "offer", prefix, "--auto")
        bob.ctl("route", "allow", "alice", prefix)
        clerk.ip(f"route add {prefix} via {bob.ip6 if ':' in prefix else bob.ip4}")

    def carried(when):
        for host in (bob, clerk):
            for address, port in ((printers[0], PORT), (printers[1], PORT), (printers[0], 53), (printer.ip6, PORT)):
                wait(f"{address}:{port} from {host.name}, {when}", lambda: host.udp_ask(address, port))
    carried("without an exit")
    read = exit_.start(sys.executable, "-c", READ, "p2pvpn0", *printers, name="read")
    wait("the capture", lambda: "ready" in read.text())
    for how in ((), ("--lan",), ("--block",)):
        use(alice, *how)
        through(alice, exit_, web)
        carried(f"exit use {' '.join(how)}")
    equal(read.text().split(), ["ready"], "what the exit read")
    alice.ctl("-n", "work", "route", "withdraw", f"{home.subnet4}.0/24")
    check("another network of this machine uses one" in alice.ctl("-n", "work", "exit").out, "whose exit is used")
    printer.ip(f"route add {web.ip4}/32 via {alice.ip4}", f"route add 10.0.0.0/8 via {alice.ip4}")
    for host, address in ((web, web.ip4), (bob, bob.addr()), (exit_, exit_.addr())):
        host.answer_udp(PORT + 1, address)
        wait(f"{host.name} from the machine itself", lambda: alice.udp_ask(address, PORT + 1))
        check(not printer.udp_ask(address, PORT + 1), f"a neighbour reached {host.name}")
    alice.ctl("exit", "off")
    wait("what is still offered, without an exit", lambda: bob.udp_ask(printers[1], PORT))
    wait("rules that nobody needs to go", lambda: not alice.run("ip", "rule", "list", "iif", "p2p-work").out)


@scenario
def an_exit_is_called_used_only_while_packets_go_there(lab):
    """Routes lead to the exit, and a rule drops what programs send there: exit and doctor say so, and the remedy mends
    it."""
    _, _, alice, exit_, web = world(lab)
    use(alice)
    through(alice, exit_, web)
    out = alice.ctl("exit").out
    check("0.0.0.0/0" in out and "dropped" not in out, f"exit: {out}")
    alice.nft("table inet wall {\nchain out {\ntype filter hook output priority 10; policy accept;\n"
              f'oifname "{alice.tun}" fib daddr type != local ip daddr != {exit_.addr()}/16 drop\n}}\n}}')
    out = alice.ctl("exit").out
    rows = {row.split()[0]: row.split()[2] for row in out.splitlines()[1:3]}
    equal(rows, {"0.0.0.0/0": "dropped", "::/0": "used"}, "what exit shows")
    check("which packets of this machine do not go by" in out, f"exit: {out}")
    r = alice.ctl("doctor", "--json", check_rc=False)
    said = [x for x in json.loads(r.out)["checks"] if x["name"] == "firewall" and not x["well"]]
    check(len(said) == 1 and "(table inet wall, chain out) drops what programs here send to the internet" in said[0]["text"], said)
    alice.run("sh", "-c", next(x for x in said[0]["todo"].split("`") if x.startswith("nft ")))
    through(alice, exit_, web)
    check("dropped" not in alice.ctl("exit").out, "the remedy does not mend it")
    alice.ctl("exit", "off")
