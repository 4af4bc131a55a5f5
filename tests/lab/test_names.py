# SPDX-License-Identifier: MIT
"""Names without DNS: libnss_p2pvpn under getent, ping and ssh."""
import os
import socket
import struct

from lab import ROOT, check, equal, scenario, ssh_login, wait
from nsslab import HOSTS_LINE, STRANGER, ask, getent, use_module


@scenario
def bob_is_known_to_every_program(lab):
    coordinator = lab.coordinator()
    a, bob = lab.host("a"), lab.host("bob")
    lab.network(coordinator, [a, bob])
    a.wait_peer(bob)
    use_module(lab, a)
    network = a.json("status")["network"]["name"]
    full = f"bob.{network}.p2p"
    ip4, ip6 = a.addr(bob), a.addr(bob, family=6)

    wait("bob to have a name", lambda: getent(a, "hosts", "bob"))
    equal(getent(a, "hosts", "bob"), [ip6, full, "bob"], "getent hosts bob")
    for name in ("bob", "BOB", full, full + "."):
        equal(getent(a, "ahostsv4", name)[0], ip4, f"IPv4 of {name}")
        equal(getent(a, "ahostsv6", name)[0], ip6, f"IPv6 of {name}")
    for ip in (ip4, ip6):
        equal(getent(a, "hosts", ip), [ip, full, "bob"], f"who is {ip}")
    equal(getent(a, "ahostsv4", "a")[0], a.addr(), "the node's own name")
    for name in ("nobody", "bob.other.p2p", f"nobody.{network}.p2p", "10.66.255.1"):
        check(name not in getent(a, "hosts", name)[1:], f"{name} has a name")

    check("1 received" in a.run("ping", "-c", "1", "-W", "5", "bob").out, "ping bob")
    ssh_login(a, bob, ip4, "bob")
    a.run("sh", "-c", "printf 'hi\\n' | nc -q 1 bob 2047")
    wait("a line of nc to arrive",
         lambda: [m["text"] for m in bob.json("history")["messages"]] == ["hi"])

    # The file says it, not the daemon.
    a.stop_daemon()
    equal(getent(a, "ahostsv4", "bob")[0], ip4, "bob while the daemon is down")
    a.daemon()
    a.wait_peer(bob)
    mode = a.run("stat", "-c", "%a %U", "/run/p2pvpn/p2pvpnd.names").out.split()
    equal(mode, ["644", "root"], "mode and owner of the names file")


@scenario
def installing_adds_the_names_and_removing_takes_them_out(lab):
    a = lab.host("a")
    before = "# a comment\npasswd: files\nhosts:  files dns # ours\n"
    a.run("sh", "-c", "cat >/run/real; ln -s /run/real /run/link; rm -f /etc/nsswitch.conf;"
          "cp -P /run/link /etc/nsswitch.conf", stdin=before)
    def read():
        return a.run("cat", "/etc/nsswitch.conf").out
    def hosts():
        return [x.split("#")[0].split() for x in read().splitlines() if x.startswith("hosts")]
    install = ["cmake", "--install", lab.build, "--prefix", "/run/inst"]
    a.run("sh", "-ec", "cp -a /etc /run/etc;"
          "sed -i /p2pvpn/d /run/etc/group /run/etc/gshadow /run/etc/passwd /run/etc/shadow;"
          "rm -f /run/etc/.pwd.lock; mount --bind /run/etc /etc; mkdir -p /run/p2pvpn")
    a.daemon(wait_ready=True)
    socket_of = ["stat", "-c", "%G %a", "/run/p2pvpn/p2pvpnd.sock"]
    equal(a.run(*socket_of).out, "root 660\n", "the socket while there is no group")
    for _ in range(2):
        a.run(*install)
        equal(a.run(*socket_of).out, "root 660\n", "the socket of the daemon that runs, which root follows nowhere")
        equal(a.run("find", "/run/inst", "-name", "p2pvpnctl", "-path", "*bin/*").out, "/run/inst/bin/p2pvpnctl\n", "p2pvpnctl")
        equal(hosts(), [HOSTS_LINE], "the line after installing")
    equal(a.run("readlink", "/etc/nsswitch.conf").out.strip(), "/run/real", "the link")
    equal(a.run("cat", "/etc/nsswitch.conf.before-p2pvpn").out, before, "the copy of the old file")
    check("libnss_p2pvpn" in a.run("find", "/run/inst").out, "the module is not installed")
    a.run("cmake", "--build", lab.build, "--target", "uninstall", timeout=120)
    equal(hosts(), [["hosts:", "files", "dns"]], "the line after removing")
    check("# ours" in read() and "# a comment" in read(), "comments are gone")
    equal(a.run("find", "/run/inst", "-type", "f").out, "", "what is left")
    equal(a.run("find", "/run/inst", "-name", "p2pvpn*").out, "", "directories that are left")
    # For a package nothing outside is touched.
    a.run("env", "DESTDIR=/run/dest", *install)
    equal(hosts(), [["hosts:", "files", "dns"]], "the line after making a package")
    a.run("rm", "-f", f"{lab.build}/install_manifest.txt")


@scenario
def names_come_and_go_with_the_roster(lab):
    coordinator = lab.coordinator()
    a, bob, carol = lab.host("a"), lab.host("bob"), lab.host("carol")
    lab.network(coordinator, [a, bob])
    use_module(lab, a)
    wait("bob to have a name", lambda: getent(a, "hosts", "bob"))
    equal(getent(a, "hosts", "carol"), [], "carol before she joined")
    carol.daemon()
    carol.join(a.ctl("invite").out.strip())
    wait("carol to have a name", lambda: getent(a, "hosts", "carol"))
    a.ctl("remove", "bob")
    wait("bob's name to go", lambda: not getent(a, "hosts", "bob"))
    check(getent(a, "hosts", "carol"), "carol has lost her name")
    carol.ctl("leave")
    wait("carol's file to go",
         lambda: not any(file.endswith(".names") for file in carol.run("ls", "/run/p2pvpn").out.split()))
    wait("carol's name to go", lambda: not getent(a, "hosts", "carol"))
    # A name something else has is that one's.
    a.run("sh", "-ec", "echo 192.0.2.9 dave >/run/hosts; mount --bind /run/hosts /etc/hosts")
    equal(getent(a, "hosts", "dave")[0], "192.0.2.9", "a name of /etc/hosts")

    a.run("umount", "/etc/nsswitch.conf")
    a.run(f"{ROOT}/nss/p2pvpn-nss", "--remove", "--file", "/run/nsswitch.conf")
    a.run("mount", "--bind", "/run/nsswitch.conf", "/etc/nsswitch.conf")
    equal(a.run("grep", "hosts", "/etc/nsswitch.conf").out.split(), ["hosts:", "files", "dns"],
          "the line after removal")


CUT = """table inet cut {
    chain in { type filter hook input priority -300; iif != "lo" drop; }
    chain out { type filter hook output priority -300; oif != "lo" reject; }
}"""


@scenario
def a_name_that_was_given_up_is_not_taken_back(lab):
    """A machine that has not heard who got its former name meanwhile wants it again: that one keeps it."""
    coordinator = lab.coordinator()
    r, a, b, d = (lab.host(name) for name in ("r", "a", "b", "d"))
    lab.network(coordinator, [r, a, b, d])
    wait("r to know all", lambda: len(r.peers()) == 3)
    key = {name: row["key"] for name, row in r.peers().items()}
    for name in ("bob", "rob"):
        b.ctl("rename", name)
        for host in (r, a, d):
            wait(f"{host.name} to know {name}", lambda h=host, n=name: n in h.peers())
    b.run("nft", "-f", "-", stdin=CUT)
    wait("b to know that it is alone", lambda: not b.json("status")["coordinator"]["connected"])
    d.ctl("rename", "bob")
    wait("a to know it", lambda: a.peers().get("bob", {}).get("key") == key["d"])
    check("the coordinator is away" in b.ctl("rename", "bob", code=9).err, "b has not heard of it")
    b.run("nft", "delete", "table", "inet", "cut")
    wait("b to hear of it", lambda: b.peers().get("bob", {}).get("key") == key["d"])
    equal(b.json("status")["self"]["name"], "b", "b, whose first name stays its own")
    wait("a to know b by that", lambda: a.peers().get("b", {}).get("key") == key["b"])
    equal([host.peers()["bob"]["key"] for host in (r, a)], [key["d"]] * 2, "bob")
    # Its claim is older than what that one says next, and gets the name by its removal alone.
    d.ctl("rename", "bob")
    d.ctl("address", "set", "10.66.0.77")
    wait("a to know it", lambda: a.peers()["bob"]["ip4"] == "10.66.0.77")
    refused = r.ctl("node", "replace", "bob", "a", "--force", code=11).err
    check("it would get that then: member b is not called bob" in refused, refused)
    equal({name: row["key"] for name, row in r.peers().items()}, {"a": key["a"], "b": key["b"], "bob": key["d"]}, "nothing was done")
    r.ctl("rename", "b", "b")
    wait("all to hear of it", lambda: "bob" not in str(r.json("status")["problems"]))
    equal({name: a.peers()[name]["key"] for name in ("b", "bob")}, {"b": key["b"], "bob": key["d"]}, "who is called what")
    equal(a.peers()["bob"]["former"], key["b"], "who had it, and not who claimed it in vain")
    # It gets the name in order, and those who say it hear of that.
    d.ctl("rename", "dora")
    wait("b to know it", lambda: "dora" in b.peers())
    b.ctl("rename", "bob")
    wait("b to have it again", lambda: a.peers().get("bob", {}).get("key") == key["b"])
    equal(a.peers()["bob"]["former"], key["d"], "who had it before")


@scenario
def an_address_is_its_first_ones_whatever_that_one_is_called(lab):
    """Two admins give away one address while they do not hear of each other."""
    coordinator = lab.coordinator()
    r, b, c, d, e = (lab.host(name) for name in "rbcde")
    lab.network(coordinator, [r, b, c, d, e])
    r.ctl("admin", "grant", "b")
    wait("b to be an admin", lambda: b.json("status")["self"]["admin"])
    wait("b to know all", lambda: len(b.peers()) == 4)
    own = c.json("status")["self"]["ip4"]
    b.run("nft", "-f", "-", stdin=CUT)
    wait("b to know that it is alone", lambda: not b.json("status")["coordinator"]["connected"])
    r.ctl("address", "set", "d", "10.66.0.77")
    check("the coordinator is away" in b.ctl("address", "set", "c", "10.66.0.77", code=9).err, "b has not heard of it")
    b.run("nft", "delete", "table", "inet", "cut")
    problem = "c is not at 10.66.0.77, as d has that address"
    wait("r to hear of it", lambda: problem in str(r.json("status")["problems"]))
    d.ctl("rename", "dora")
    wait("all to know dora", lambda: all("dora" in host.peers() for host in (r, b, c, e)))
    equal([host.peers()["dora"]["ip4"] for host in (r, b, c, e)], ["10.66.0.77"] * 4, "the address of the first")
    equal([host.peers()["c"]["ip4"] for host in (r, b, e)], [own] * 3, "the address of the other one")
    refused = r.ctl("node", "replace", "dora", "e", "--force", code=11).err
    check("it would get that then: member c is not at 10.66.0.77, as dora has that address" in refused, refused)
    equal(sorted(r.peers()), ["b", "c", "dora", "e"], "nothing was done")
    r.ctl("address", "set", "c", own)
    wait("r to hear that c does not want it", lambda: problem[:10] not in str(r.json("status")["problems"]))
    r.ctl("node", "replace", "dora", "e", "--force")
    wait("e to be dora", lambda: r.peers().get("dora", {}).get("ip4") == "10.66.0.77")
    equal(sorted(r.peers()), ["b", "c", "dora"], "who is left")


@scenario
def a_name_is_its_members_beside_one_that_asks_by_it(lab):
    """A machine that asks to be admitted has no name yet: its member keeps all that goes by it. One that was denied
    never had one."""
    coordinator = lab.coordinator()
    r, a, b, dan, eve = (lab.host(name) for name in ("r", "a", "b", "dan", "eve"))
    lab.network(coordinator, [r, a, b])
    key = b.json("status")["self"]["key"]
    token = r.ctl("invite", "--approve", "--uses", "3").out.strip()

    def asks(host, name):
        host.daemon()
        host.join(token, "--name", name)
        wait(f"r to know {name}", lambda: any(row["name"] == name and row["state"] == "waiting"
                                              for row in r.json("peers")["peers"]))

    b.ctl("rename", "rob")
    wait("a to know rob", lambda: "rob" in a.peers())
    b.ctl("rename", "bert")
    asks(dan, "rob")
    r.ctl("deny", "rob")
    check("rob is called bert now" in a.ctl("send", "rob", "x", code=6).err, "who was rob")
    wait("b to have its name again", lambda: b.ctl("rename", "rob", check_rc=False).code == 0)
    wait("a to know rob again", lambda: "rob" in a.peers())
    equal(a.peers()["rob"]["former"], None, "who had the name before")
    b.ctl("address", "set", "10.66.0.77")
    wait("r to know its address", lambda: r.peers().get("rob", {}).get("ip4") == "10.66.0.77")
    # It takes the name of a machine that asks, of which it has not heard; what it says of itself meanwhile holds together.
    b.run("nft", "-f", "-", stdin=CUT)
    wait("b to know that it is alone", lambda: not b.json("status")["coordinator"]["connected"])
    asks(eve, "zoe")
    for order in (("address", "set", "10.66.0.78"), ("rename", "zoe")):
        check("the coordinator is away" in b.ctl(*order, code=9).err, "b has not heard of it")
    b.run("nft", "delete", "table", "inet", "cut")
    wait("r to know both", lambda: any((row["name"], row["key"], row["ip4"]) == ("zoe", key, "10.66.0.78")
                                       for row in r.json("peers")["peers"]))
    b.ctl("address", "set", "10.66.0.79")
    r.ctl("rename", "zoe", "zoe")
    r.ctl("remove", "zoe")
    wait("b to be removed", lambda: b.json("status")["state"] == "removed")
    equal([row["state"] for row in r.json("peers")["peers"] if row["name"] == "zoe"], ["waiting"], "the one that asks")


TIMED = """
import socket, sys, time
best = 1e9
for _ in range(20):
    start = time.perf_counter()
    try:
        socket.getaddrinfo(sys.argv[1], None)
    except socket.gaierror as e:
        assert sys.argv[2] == "unknown", e
    else:
        assert sys.argv[2] == "known"
    best = min(best, time.perf_counter() - start)
print(best)
"""


@scenario
def names_that_an_admin_gave_outlive_its_removal(lab):
    """Else what becomes free would be anybody's, and lines for one machine go to another."""
    r, b, c, d = (lab.host(name) for name in "rbcd")
    lab.network(lab.coordinator(), [r, b, c, d])
    r.ctl("admin", "grant", "b")
    wait("b to be an admin", lambda: b.json("status")["self"]["admin"])
    b.ctl("address", "set", "c", "10.66.0.77")
    b.ctl("rename", "c", "cleo")
    wait("r to know it", lambda: r.peers().get("cleo", {}).get("ip4") == "10.66.0.77")
    r.ctl("remove", "b")
    for h in (r, d):
        wait("b to be gone", lambda: "b" not in h.peers())
        equal(h.peers()["cleo"]["ip4"], "10.66.0.77", f"cleo's address by {h.name}")
    check("cleo is taken" in d.ctl("rename", "cleo", code=11).err, "the name is cleo's")
    check("another member's" in d.ctl("address", "set", "10.66.0.77", code=11).err, "the address is cleo's")
    r.ctl("rename", "cleo", "carl")
    wait("d to know it", lambda: d.peers().get("carl", {}).get("ip4") == "10.66.0.77")


@scenario
def a_dns_server_never_hears_of_members(lab):
    coordinator = lab.coordinator()
    a, bob = lab.host("a"), lab.host("bob")
    lab.network(coordinator, [a, bob])
    a.wait_peer(bob)
    use_module(lab, a)
    wait("bob to have a name", lambda: getent(a, "hosts", "bob"))
    a.run("sh", "-ec", "cp /etc/hosts /run/hosts; echo 192.0.2.9 bob2 >>/run/hosts;"
          "mount --bind /run/hosts /etc/hosts")
    for kind, patience in (("wildcard", 30), ("silent", 1)):
        a.run("sh", "-c", "echo nameserver 127.0.0.1 >/run/resolv.conf;"
              f"echo options timeout:{patience} attempts:1 >>/run/resolv.conf")
        server = a.start("python3", "-c", STRANGER, kind, "127.0.0.1", name=kind)
        wait("the DNS server", lambda: "ready" in server.text())
        for name in ("bob.home.p2p", "a.home.p2p"):
            best = float(a.run("python3", "-c", TIMED, name, "known").out)
            check(best < 0.002, f"{kind}: {name} took {best} s")
        for name in ("nobody.home.p2p", "bob.other.p2p", "x.y.z.P2P", "nobody.p2p."):
            best = float(a.run("python3", "-c", TIMED, name, "unknown").out)
            check(best < 0.002, f"{kind}: {name} took {best} s")
            equal(getent(a, "hosts", name), [], name)
            equal(a.run("getent", "ahosts", name, check_rc=False).out, "", name)
        equal(getent(a, "ahostsv4", "bob.home.p2p")[0], a.addr(bob), f"bob beside a {kind} server")
        equal(getent(a, "ahostsv4", "bob2")[0], "192.0.2.9", "a name of /etc/hosts")
        equal("asked" in server.text(), False, f"what the {kind} server heard")
        # A member chose its short name itself: it has it where DNS knows none.
        equal(getent(a, "ahostsv4", "bob")[0], "192.0.2.66" if kind == "wildcard" else a.addr(bob),
              f"the short name beside a {kind} server")
        # Everything else goes there, too.
        found = getent(a, "ahostsv4", "www.example.org")
        equal(found[:1], ["192.0.2.66"] if kind == "wildcard" else [], "a name of the world")
        check("asked www.example.org" in server.text(), "the server was not asked for a name of the world")
        server.end()
    # /etc/hosts wins over a member of the same name.
    a.run("sh", "-c", "echo 192.0.2.10 bob >>/run/hosts")
    for database in ("hosts", "ahosts", "ahostsv4"):
        equal(getent(a, database, "bob")[0], "192.0.2.10", f"bob of /etc/hosts by {database}")
    equal(getent(a, "ahostsv4", "bob.home.p2p")[0], a.addr(bob), "the member bob")


@scenario
def a_name_of_two_further_networks_is_asked_of_no_dns_server(lab):
    """By `p2pvpn-nss --first`; it is nobody's, and a DNS server would say whose it is."""
    coordinator = lab.coordinator()
    a, bob = lab.host("a"), lab.host("bob")
    lab.network(coordinator, [a, bob])
    use_module(lab, a)
    wait("bob to have a name", lambda: getent(a, "hosts", "bob"))
    a.run("sh", "-c", f"echo nameserver 127.0.0.1 >/run/resolv.conf; {ROOT}/nss/p2pvpn-nss --first")
    server = a.start("python3", "-c", STRANGER, "wildcard", "127.0.0.1", name="wildcard")
    wait("the DNS server", lambda: "ready" in server.text())
    # Two daemons of other networks, and none of the first.
    a.run("sh", "-ec", "cd /run/p2pvpn; for n in club work; do LC_ALL=C sed s/home/$n/ p2pvpnd.names >$n.names; done;"
          "mv p2pvpnd.names /run/kept")
    for name, of in (("bob", []), ("bob.club.p2p", [a.addr(bob)])):
        equal(getent(a, "ahostsv4", name)[:1], of, name)
        check("asked" not in server.text(), f"a DNS server was asked for {name}: {server.text()}")
    equal(getent(a, "ahostsv4", "www")[:1], ["192.0.2.66"], "a name that no member has")
    a.run("mv", "/run/kept", "/run/p2pvpn/p2pvpnd.names")
    equal(getent(a, "ahostsv4", "bob")[0], a.addr(bob), "bob, whom the first network has, too")
    bob.ctl("rename", "robert")
    wait("a to know", lambda: getent(a, "ahostsv4", "robert"))
    wait("bob, whom the first network has no more, to be nobody", lambda: getent(a, "ahostsv4", "bob") == [])


# ---- the name server -----------------------------------------------------------------------------

A, SOA, PTR, AAAA, MX = 1, 6, 12, 28, 15


@scenario
def the_name_server_answers_for_the_overlay_only(lab):
    coordinator = lab.coordinator()
    a, bob = lab.host("a"), lab.host("bob")
    a.run("sh", "-c", "cat >/etc/p2pvpn/p2pvpnd.conf", stdin="[dns]\nlisten = on\n")
    # A systemd-resolved that writes down what it is told.
    a.run("sh", "-ec", """
        mkdir -p /run/systemd/resolve /run/bin/upper /run/bin/work
        mount -t overlay overlay -o lowerdir=/usr/bin,upperdir=/run/bin/upper,workdir=/run/bin/work /usr/bin
        rm -f /usr/bin/resolvectl
        printf '#!/bin/sh\\necho "$@" >>/run/resolvectl.log\\n' >/usr/bin/resolvectl
        chmod 755 /usr/bin/resolvectl
    """)
    before = a.run("cat", "/etc/resolv.conf").out
    lab.network(coordinator, [a, bob])
    a.wait_peer(bob)
    own4, own6, bob4, bob6 = a.addr(), a.addr(family=6), a.addr(bob), a.addr(bob, family=6)

    def packed(ip):
        return socket.inet_pton(socket.AF_INET6 if ":" in ip else socket.AF_INET, ip)

    def reverse(ip):
        if "." in ip:
            return ".".join(reversed(ip.split("."))) + ".in-addr.arpa"
        return ".".join(reversed(packed(ip).hex())) + ".ip6.arpa"
    name = b"\3bob\4home\3p2p\0"
    for server in (own4, own6):
        wait("an answer", lambda: ask(a, server, "bob.home.p2p", A))
        equal(ask(a, server, "BOB.home.p2p", A), (0, True, [packed(bob4)]), "A of bob")
        equal(ask(a, server, "bob.home.p2p", AAAA), (0, True, [packed(bob6)]), "AAAA of bob")
        for ip in (bob4, bob6):
            equal(ask(a, server, reverse(ip), PTR), (0, True, [name]), f"PTR of {ip}")
    equal(ask(a, own4, "bob.home.p2p", MX), (0, True, []), "MX of bob")
    equal(ask(a, own4, "nobody.home.p2p", A), (3, True, []), "A of nobody")
    equal(ask(a, own4, "x.bob.home.p2p", A), (3, True, []), "a name below bob")
    equal(ask(a, own4, reverse("10.66.255.1"), PTR)[0], 3, "an address nobody has")
    equal(len(ask(a, own4, "home.p2p", SOA)[2]), 1, "SOA of the zone")
    for other in ("example.org", "bob.other.p2p", "p2p", "bob", reverse("192.0.2.1")):
        equal(ask(a, own4, other, A), (5, False, []), f"the server's word about {other}")
    # Members may ask; the underlay gets nothing, and no other address listens.
    check(bob.os_ping(own4), "ping")
    equal(ask(bob, own4, "bob.home.p2p", A), (0, True, [packed(bob4)]), "the answer to a member")
    equal(ask(bob, own4, "bob.home.p2p", A, way="tcp"), (0, True, [packed(bob4)]), "the answer by TCP")
    equal(ask(bob, own6, "bob.home.p2p", AAAA, way="tcp"), (0, True, [packed(bob6)]), "the same over IPv6")
    for way in ("udp", "tcp"):
        equal(ask(bob, a.ip4, "bob.home.p2p", A, 0.3, way), None, "an answer on the underlay")
    equal(ask(a, bob4, "bob.home.p2p", A, 0.3), None, "an answer of a node without [dns]")

    told = a.run("cat", "/run/resolvectl.log").out.splitlines()
    reverse6 = ".".join(reversed(packed(own6).hex()[:16])) + ".ip6.arpa"
    equal(told[:2], [f"dns p2pvpn0 {own4}",
                     f"domain p2pvpn0 ~home.p2p ~66.10.in-addr.arpa ~{reverse6}"],
          "what systemd-resolved was told")
    equal(a.run("cat", "/etc/resolv.conf").out, before, "resolv.conf")


@scenario
def a_member_without_ipv6_has_names_of_ipv4_alone(lab):
    """Its host forbids new interfaces IPv6 and lets nobody change that, as docker does."""
    coordinator = lab.coordinator()
    a, bob = lab.host("a"), lab.host("bob", ipv6=False)
    bob.run("sh", "-ec", "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6;"
            "mount --bind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys")
    lab.network(coordinator, [a, bob])
    a.wait_peer(bob)
    use_module(lab, a)
    ip4, ip6 = a.addr(bob), a.addr(bob, family=6)
    network = a.json("status")["network"]["name"]
    wait("bob to have IPv4 alone",
         lambda: getent(a, "hosts", "bob")[:1] == [ip4] and ip6 not in getent(a, "ahosts", "bob"))
    equal(getent(a, "ahosts", f"a.{network}.p2p")[0], a.addr(family=6), "a has IPv6")
    equal([p for p in bob.json("status")["problems"] if "come in" in p], [], "bob's problems")
