# SPDX-License-Identifier: MIT
"""The operator's work on a coordinator: networks, drop, secret rotate, backup, restore, upgrade; and how
a network moves to another coordinator, or follows to another address: by it, by gossip, by a token."""
import json
import signal
import time

from lab import Coordinator, check, equal, scenario, wait

STATE = "/var/lib/p2pvpn-coordinator"


def run(coordinator, *args, code=0, enter=()):
    """Runs the coordinator's program on its host."""
    r = coordinator.host.run(*enter, coordinator.lab.bin("p2pvpn-coordinator"), *args, check_rc=False)
    equal(r.code, code, f"exit code of {args}: {r}")
    return r


def networks(coordinator, *args):
    return json.loads(run(coordinator, "networks", "--json", *args).out)["networks"]


@scenario
def a_network_is_looked_at_and_dropped(lab):
    coordinator = lab.coordinator()
    a, b, c = (lab.host(n) for n in "abc")
    lab.network(coordinator, [a, b])
    c.daemon()
    c.create(coordinator.url(), "--network", "guests")
    a.wait_peer(b)
    wait("everybody online", lambda: sum(n["online"] for n in networks(coordinator)) == 3)
    equal([n.get("name") for n in networks(coordinator)], [None, None], "names nobody asked for")
    named = {n["name"]: n for n in networks(coordinator, "--names")}
    guests, home = named.pop("guests"), named.popitem()[1]
    equal((guests["members"], home["members"]), (1, 2), "members")
    check(home["statements"] > guests["statements"] > 0 and home["bytes"] > guests["bytes"] > 0, str(home))
    text = run(coordinator, "networks").out
    check(home["id"] in text and " now" in text and "guests" not in text, text)
    head, *rows = run(coordinator, "networks", "--names").out.splitlines()
    check(any(row[head.index("NAME", 10):] == "guests" for row in rows), f"no name below NAME: {rows}")

    check("no such network" in run(coordinator, "drop", "0" * 32, code=6).err, "no reason")
    check("not the id" in run(coordinator, "drop", "guests", code=1).err, "no reason")
    run(coordinator, "drop", code=2)
    for command in (("drop", guests["id"]), ("web",)):
        check("not permitted" in run(coordinator, *command, code=5, enter=a.as_user()).err, f"{command}: no reason")
    out = json.loads(run(coordinator, "drop", guests["id"], "--json").out)
    equal(out["network"], guests["id"], "what was dropped")
    equal([n["id"] for n in networks(coordinator)], [home["id"]], "what is left")
    equal(coordinator.sql("SELECT count(DISTINCT network) FROM statements"), "1", "networks on disk")
    check("no such network" in run(coordinator, "drop", guests["id"], code=6).err, "no reason")
    wait("c to be told", lambda: "problem: the coordinator does not serve this network" in c.ctl("status", "-l").out)
    check(a.os_ping(a.addr(b)), "the other network goes on")
    back = "`sudo p2pvpnctl network coordinators add URL`"
    for words in (["status"], ["doctor"], ["invite"], ["create", coordinator.url()]):
        r = c.ctl(*words, check_rc=False)
        check(back in r.out + r.err and "cannot be reached" not in r.out + r.err, f"{words}: {r}")
    c.ctl("network", "coordinators", "add", coordinator.url())  # remedy: serve_again
    equal({n["id"] for n in networks(coordinator)}, {home["id"], guests["id"]}, "given back")
    c.ctl("wait")
    run(coordinator, "drop", guests["id"])

    coordinator.restart()
    wait("a and b to come back", lambda: networks(coordinator)[0]["online"] == 2, timeout=40)
    equal([n["id"] for n in networks(coordinator)], [home["id"]], "after a restart")
    coordinator.end()
    check("start it" in run(coordinator, "networks", code=8).err, "no reason")
    check("start it" in run(coordinator, "drop", home["id"], code=8).err, "no reason")


@scenario
def a_new_secret_shuts_out_the_old_url(lab):
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    a.daemon()
    b.daemon()
    old = coordinator.url()
    new = run(coordinator, "secret", "rotate", "--public", coordinator.public()).out.strip()
    check(new != old and new == coordinator.url(), f"{old} {new}")
    r = a.ctl("create", old, "--name", "a", check_rc=False)
    check(r.code != 0 and "secret is missing or wrong" in r.err, str(r))
    a.create(new)
    # Stopped it works too, and what is printed is good after the start.
    coordinator.end()
    last = run(coordinator, "secret", "rotate", "--public", coordinator.public(), "--json").out
    coordinator.start()
    r = b.ctl("create", new, "--name", "b", check_rc=False)
    check(r.code != 0, str(r))
    b.create(json.loads(last)["url"])
    check("expected rotate" in run(coordinator, "secret", "forget", code=2).err, "no reason")
    # A directory that was meant to be another one gets no keys, and the secret stays as it is.
    r = run(coordinator, "secret", "rotate", "--state", "/run/nowhere", code=1)
    check("no coordinator has been in /run/nowhere" in r.err, str(r))
    coordinator.host.run("test", "!", "-e", "/run/nowhere")


@scenario
def a_lost_coordinator_comes_back_from_its_backup(lab):
    """docs/guide/backup.md, "Backup and restore"."""
    coordinator = lab.coordinator()
    host = coordinator.host
    a, b, c = (lab.host(n) for n in "abc")
    lab.network(coordinator, [a, b])
    out = json.loads(run(coordinator, "backup", "/etc/p2pvpn/coordinator.backup", "--json").out)
    equal(out["networks"], 1, "networks in the backup")
    equal(host.run("stat", "-c", "%a", "/etc/p2pvpn/coordinator.backup").out.strip(), "600", "mode")
    # Later than the backup: the members bring it back.
    c.daemon()
    c.join(a.ctl("invite").out.strip())
    a.wait_peer(c)
    a.ctl("remove", "b")
    check("end that program" in run(coordinator, "restore", "/etc/p2pvpn/coordinator.backup", code=1).err, "no reason")
    coordinator.end(signal.SIGKILL)
    host.run("sh", "-c", f"rm -rf {STATE}/*")
    r = run(coordinator, "restore", "/etc/p2pvpn/coordinator.backup")
    check("1 network" in r.out, r.out)
    coordinator.start()
    # In the backup b is a member, and c is none: the number alone says nothing.
    wait("the members to repair it", lambda: c.json("status")["coordinator"]["connected"] and
         [(n["members"], n["online"]) for n in networks(coordinator)] == [(2, 2)], timeout=60)
    check(a.os_ping(a.addr(c)), "a reaches c")

    host.run("sh", "-c", "mkdir /etc/p2pvpn/small && mount -t tmpfs -o size=32k tmpfs /etc/p2pvpn/small")
    check("disk is full" in run(coordinator, "backup", "/etc/p2pvpn/small/b", code=1).err, "no reason")
    equal(host.run("ls", "/etc/p2pvpn/small").out.strip(), "", "what is left of a backup that failed")
    r = run(coordinator, "backup", "/etc/p2pvpn/b", code=5, enter=a.as_user())
    check("ask as root or as the coordinator's user" in r.err, r.err)


@scenario
def a_network_is_as_large_as_the_operator_lets_it(lab):
    coordinator = lab.coordinator()
    host = coordinator.host
    a, b, c = (lab.host(n) for n in "abc")
    lab.network(coordinator, [a, b])
    token = a.ctl("invite", "--uses", "9").out.strip()
    network = networks(coordinator)[0]["id"]

    def limit(text):
        host.run("sh", "-c", "cat >/etc/p2pvpn/coordinator.conf", stdin=text)
    limit("[limits]\nmembers = 2\n")
    coordinator.restart()
    wait("a and b to come back", lambda: networks(coordinator)[0]["online"] == 2, timeout=40)
    c.daemon()
    r = c.ctl("join", token, "--name", "c", check_rc=False)
    check(r.code != 0 and "full" in r.err, str(r))
    check(a.os_ping(a.addr(b)), "those who are in stay")
    # While it runs: everything or nothing.
    limit("[limits]\nmembers = 2\n[network home]\nmembers = 3\n")
    check("expected an id of 32 digits" in run(coordinator, "--check", code=2).err, "no reason")
    r = run(coordinator, "reload", code=1)
    check("nothing is changed: " in r.err and "coordinator.conf:3: network home: expected an id" in r.err, str(r))
    check("full" in c.ctl("join", token, "--name", "c", check_rc=False).err, "a mistake changed something")
    limit(f"[limits]\nmembers = 2\n[network {network}]\nmembers = 3\n[metrics]\nlisten = 127.0.0.1:9\n")
    r = json.loads(run(coordinator, "reload", "--json").out)
    equal((r["changed"], r["restart"]), ([f"[network {network}]"], ["[metrics] listen"]), "what changed, what waits")
    equal(networks(coordinator)[0]["online"], 2, "who is online, just after a reload")
    c.join(token)
    a.wait_peer(c)
    check("changed" not in run(coordinator, "reload").out, "something has changed twice")
    coordinator.end()
    check("start it" in run(coordinator, "reload", code=8).err, "no reason")


# ---- moving ----


def used(host):
    """The address of the coordinator that a node is connected to; "" while it is to none."""
    c = host.json("status")["coordinator"]
    return c["address"] if c and c["connected"] else ""


def at(hosts, coordinator, timeout=60):
    for h in hosts:
        wait(f"{h.name} to follow to {coordinator.public()}",
             lambda: coordinator.public() in used(h), timeout)


def members(hosts):
    return [sorted(h.peers()) for h in hosts]


@scenario
def a_network_moves_while_its_old_coordinator_lives(lab):
    old = lab.coordinator()
    new = Coordinator(lab, lab.host("new"))
    a, b, c, late = (lab.host(n) for n in ("a", "b", "c", "late"))
    lab.network(old, [a, b, c])
    for h, other in ((a, b), (b, c), (c, a)):
        h.wait_peer(other)
    wait("all to know each other", lambda: [len(m) for m in members([a, b, c])] == [2, 2, 2])
    before = (b.addr(), members([a, b, c]))
    a.ctl("admin", "grant", "b")
    refused = b.ctl("network", "coordinators", "add", new.url(), code=11).err
    check("root import" in refused, f"without the root key: {refused}")
    b.import_root(a)  # remedy: use_root
    r = b.ctl("network", "coordinators", "add", new.url())
    check("has it and tells everybody" in r.err, r)
    at([a, b, c], new)
    listed = a.json("network", "coordinators")["coordinators"]
    equal([k["used"] for k in listed], [True, False], "which is used")
    a.ctl("network", "coordinators", "remove", listed[1]["key"])
    old.end()
    equal((b.addr(), members([a, b, c])), before, "names, addresses, members")
    for h in (a, b, c):
        h.ping({a: b, b: c, c: a}[h])
    # Everything works at the new one: invites, joining, removals, restarts.
    token = a.ctl("invite").out.strip()
    late.daemon()
    late.join(token)
    late.wait_peer(c)
    late.ping(c)
    a.ctl("remove", "late")
    wait("c to know", lambda: "late" not in c.peers())
    new.restart()
    b.restart_daemon()
    at([a, b, c], new, 40)
    equal(members([a, b, c]), before[1], "members after restarts")
    check("needs a coordinator" in a.ctl("network", "coordinators", "remove", listed[0]["key"], code=11).err,
          "the last one was taken away")


def reach_nobody(host):
    """But coordinators."""
    host.nft("""
        table inet alone {
            chain out {
                type filter hook output priority 0;
                udp dport != 3478 drop
            }
        }""")


@scenario(whole="a rare case of a move")
def a_coordinator_that_was_away_during_the_move_is_told_later(lab):
    old = lab.coordinator()
    new = Coordinator(lab, lab.host("new"))
    a, b, away = (lab.host(n) for n in ("a", "b", "away"))
    lab.network(old, [a, b, away])
    a.wait_direct(b)
    away.stop_daemon()
    old.end()
    a.ctl("network", "coordinators", "add", new.url())
    at([a, b], new)
    reach_nobody(away)
    old.start()
    away.daemon()
    # a or b visits the old one, the only one that away knows and reaches, at once or within 15 s, or 30 s after it
    # tried in vain, and away follows.
    at([away], new)


@scenario(long="nodes look for the preferred coordinator once a minute")
def members_that_fell_back_return_by_themselves(lab):
    second = lab.coordinator()
    first = Coordinator(lab, lab.host("first"))
    a, b = lab.host("a"), lab.host("b")
    lab.network(second, [a, b])
    a.ctl("network", "coordinators", "add", first.url())
    at([a, b], first)
    first.end()
    at([a, b], second, 60)

    def tries():
        """Connections that a has begun."""
        text = a.run("cat", "/proc/net/snmp").out
        names, values = (x.split() for x in text.splitlines() if x.startswith("Tcp:"))
        return int(values[names.index("ActiveOpens")])
    before, began = tries(), time.monotonic()
    wait("three visits to the first", lambda: tries() >= before + 3, 190)
    check(time.monotonic() - began > 60, "it looks too often")
    check(second.public() in used(a) and second.public() in used(b), "they left what works")
    first.start()
    at([a, b], first, 70)


@scenario
def a_network_whose_coordinator_is_gone_for_good_moves_by_one_command(lab):
    old = lab.coordinator()
    new = Coordinator(lab, lab.host("new"))
    a, b, away = (lab.host(n) for n in ("a", "b", "away"))
    lab.network(old, [a, b, away])
    for h in (b, away):
        a.wait_direct(h)
    away.stop_daemon()
    old.end()
    r = a.ctl("network", "coordinators", "add", new.url())
    check("was not told" in r.err and "coordinators token" in r.err, r)
    at([a, b], new)  # b by gossip

    # One that slept meanwhile: it has the old list only.
    reach_nobody(away)
    away.daemon()
    check(new.public() not in used(away), "it knew")
    token = b.ctl("network", "coordinators", "token").out.strip()
    before = away.addr()
    away.ctl("join", token)
    at([away], new, 40)
    equal(away.addr(), before, "its address")
    away.ctl("join", token)  # again: nothing changes
    check("damaged" in away.ctl("join", token[:-5] + "AAAAA", code=12).err, "a damaged one")
    stranger = lab.host("stranger")
    stranger.daemon()
    check("in none" in stranger.ctl("join", token, code=12).err, "a stranger")


@scenario
def a_coordinator_gets_another_address_and_port(lab):
    c = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    lab.network(c, [a, b])
    a.wait_direct(b)

    # Its machine has another address: the admin's node is told, b hears it from there.
    c.end()
    c.host.ip(f"addr del {c.host.ip4}/24 dev {c.host.dev}", f"addr add 198.51.100.77/24 dev {c.host.dev}")
    c.host.ip4 = "198.51.100.77"
    c.start()
    r = a.ctl("network", "coordinators", "address", "198.51.100.77:3478")
    check("signed" in r.err, r)
    at([a, b], c, 40)

    # Another port, and IPv6 beside it; this time both hear it while it lives.
    c.end()
    both = f"198.51.100.77:4478,[{c.host.ip6}]:4478"
    c.program = c.host.start(lab.bin("p2pvpn-coordinator"), "--public", c.host.ip4, "--public", c.host.ip6,
                             "--listen", "0.0.0.0:4478", "--listen", "[::]:4478")
    a.ctl("network", "coordinators", "address", c.host.ip4, both)
    for h in (a, b):
        wait(f"{h.name} to find the port", lambda: used(h).endswith(":4478"), 40)
    equal(b.json("network", "coordinators")["coordinators"][0]["addresses"], both.split(","), "the list")
    b.restart_daemon()
    wait("b to come back", lambda: used(b).endswith(":4478"), 40)
    a.wait_direct(b)
    check("no addresses" in a.ctl("network", "coordinators", "address", "nonsense", code=2).err, "nonsense")
    check("which one" in a.ctl("network", "coordinators", "remove", "198.51.100.200", code=2).err, "which")


@scenario
def a_coordinator_with_a_new_key_takes_the_network_over(lab):
    c = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    lab.network(c, [a, b])
    a.wait_direct(b)
    url = c.url()
    c.end()
    c.host.run("sh", "-c", "rm -rf /var/lib/p2pvpn-coordinator/*")
    c.start()
    c.wait_ready()
    check(c.url() != url, "the same key")
    a.ctl("network", "coordinators", "add", c.url())
    at([a, b], c)
    equal(len(a.json("network", "coordinators")["coordinators"]), 2, "coordinators")
    old = [k for k in a.json("network", "coordinators")["coordinators"] if not k["used"]][0]["key"]
    r = a.ctl("network", "coordinators", "remove", old)
    check("the removed coordinator was not told" in r.err and "coordinators token" in r.err, r.err)
    b.restart_daemon()
    at([a, b], c)
    a.wait_direct(b)


def apart(hosts, others):
    """Nothing passes between these and those."""
    for side, there in ((hosts, others), (others, hosts)):
        for h in side:
            for o in there:
                h.nft(f"table inet apart {{ chain in {{ type filter hook input priority 0; ip saddr {o.ip4} drop;"
                      f" ip6 saddr {o.ip6} drop; }}; }}")


def seems_apart_by(problem):
    return "have not been seen since the network moved" in problem


def seems_apart(host):
    return any(map(seems_apart_by, host.json("status")["problems"]))


@scenario(long="waits until nobody has come for a minute")
def two_halves_that_moved_apart_are_told_so(lab):
    old, one, two = lab.coordinator(), *(Coordinator(lab, lab.host(n)) for n in ("one", "two"))
    a, b, c, d = (lab.host(n) for n in "abcd")
    lab.network(old, [a, b, c, d])
    b.import_root(a)
    a.wait_direct(c)
    b.wait_direct(d)
    apart([a, c, one.host], [b, d, two.host])
    old.end()
    a.ctl("network", "coordinators", "add", one.url(), check_rc=False)
    b.ctl("network", "coordinators", "add", two.url(), check_rc=False)
    at([a, c], one)
    at([b, d], two)
    for h in (a, b, c, d):
        wait(f"{h.name} to say so", lambda h=h: seems_apart(h), 90)
    said = a.json("status")
    row = [seems_apart_by(p) for p in said["problems"]].index(True)
    equal(said["remedies"][row], "take_the_token_over", "the remedy")  # remedy: take_the_token_over
    check("network coordinators token" in a.ctl("status", "-l").out, "no command")
    equal(b.ctl("doctor", "-l", check_rc=False).code, 1, "doctor's exit code")
    for h in (a, b, c, d, one.host, two.host):
        h.run("nft", "delete", "table", "inet", "apart")
    token = a.ctl("network", "coordinators", "token").out.strip()
    b.ctl("join", token)
    wait("all to be together", lambda: len({used(h) for h in (a, b, c, d)}) == 1, 60)
    for h in (a, b, c, d):
        wait(f"{h.name} to say it no more", lambda h=h: not seems_apart(h))


def at_home(lab, hairpin, conf=None):
    """A coordinator behind a router that forwards its ports; hairpin: also what comes from inside, as its own. conf:
    its configuration."""
    house, cafe = (lab.masquerade(name, True) for name in ("house", "cafe"))
    nas, laptop, pi = (lab.host(name, house) for name in ("nas", "laptop", "pi"))
    friend = lab.host("friend", cafe)
    to = f"ip daddr {house.public}" if hairpin else 'iifname "wan"'
    house.ns.nft(f"table ip forwarded {{\nchain in {{\ntype nat hook prerouting priority -100\n"
                 f"{to} udp dport {{ 3478, 3479 }} dnat to {nas.ip4}\n{to} tcp dport 3478 dnat to {nas.ip4}\n}}\n"
                 "}")
    if hairpin:
        house.ns.nft("table ip hairpin {\nchain out {\ntype nat hook postrouting priority 99\n"
                     f"ip saddr {house.subnet4}.0/24 ip daddr {nas.ip4} ct status dnat masquerade\n}}\n}}")
    house.ns.nft("insert rule inet filter forward ct status dnat accept")
    if conf:
        nas.run("sh", "-c", "cat > /etc/p2pvpn/coordinator.conf", stdin=conf)
    coordinator = Coordinator(lab, nas, args=["--public", house.public])
    for h in (laptop, pi, friend):
        h.daemon()
    return coordinator, coordinator.url().replace(nas.ip4, house.public), laptop, pi, friend


def the_lan_meets_itself_and_a_stun_server_the_rest(lab, laptop, pi, friend):
    laptop.wait_direct(pi)
    for h in (laptop, pi):
        h.wait_peer(friend)
        check(h.os_ping(h.addr(friend)), f"{h.name} reaches the friend")
        wait(f"UDP to be open as {h.name} finds it", lambda h=h: h.json("status")["udp"] == "open")
    equal(laptop.path(friend)["type"], "relay", "what there is between the LAN and outside")
    wait("the cause", lambda: "the coordinator is in this LAN and cannot see the public address" in
         laptop.ctl("why", "friend", "-l").out)
    wait("the cause there", lambda: "laptop knows no public address of its own" in friend.ctl("why", "laptop", "-l").out)
    for command in ("status", "doctor"):
        told = laptop.ctl(command, "-l", check_rc=False).out
        check("nothing public: the coordinator is in this LAN" in told, told)
    r = laptop.json("netcheck")
    equal((r["ipv4"]["name"], r["ipv4"]["public"]), ("unknown", []), "what the coordinator of the LAN tells of the NAT")
    check(r["ipv4"]["nat"] != "no" and "of the internet with --server" in r["verdict"], f"netcheck: {r}")

    stun = lab.host("stun")
    laptop.configure("[traversal]\nstun = 198.51.100.250\n")
    laptop.ctl("reload")
    wait("a silent one to be named", lambda: "STUN server 198.51.100.250" in laptop.ctl("status", "-l").out)
    wait("UDP to be open all the same", lambda: laptop.json("status")["udp"] == "open")
    Coordinator(lab, stun)
    equal(laptop.json("netcheck", "--server", stun.ip4)["ipv4"]["nat"], "yes", "what one of the internet tells")
    laptop.run("sed", "-i", f"s/^stun = .*/stun = {stun.ip4}/", "/etc/p2pvpn/p2pvpnd.conf")
    laptop.ctl("reload")
    laptop.wait_direct(friend, 60)  # remedy: see_address, see_address_there, other_stun
    told = laptop.ctl("status", "-l").out
    check("nothing public" not in told and "STUN server" not in told, told)


@scenario(whole="half a minute of waiting")
def a_coordinator_at_home_serves_its_lan_and_those_outside(lab):
    """docs/guide/coordinator.md, "Run the coordinator at home": ports forwarded by a router that sends nothing back in."""
    coordinator, outer, laptop, pi, friend = at_home(lab, False)
    r = laptop.ctl("create", outer, check_rc=False)
    check(r.code == 9 and "refuses the connection" in r.err, f"create by the public address from inside: {r}")
    laptop.create(coordinator.url())
    listed = laptop.ctl("network", "coordinators").out
    check(laptop.lan.public in listed and coordinator.host.ip4 in listed, listed)
    for h in (pi, friend):
        h.join(laptop.ctl("invite").out.strip())
    the_lan_meets_itself_and_a_stun_server_the_rest(lab, laptop, pi, friend)


@scenario
def a_member_elsewhere_tests_the_phone_port_of_a_gateway_at_home(lab):
    """The gateway's own datagrams do not pass the router. Without a member elsewhere it says so."""
    def export(name, *args):
        return json.loads(laptop.ctl("export", name, "--json", *args).out)["port_test"]

    def closed(name, words, *args):
        said = laptop.ctl("export", name, *args, code=9)
        check(words in said.err and said.out == "", said)
        check(laptop.peer(name) is None, "a phone that nobody can use")
    coordinator, _, laptop, pi, friend = at_home(lab, False, "[relay]\nports = 51000-51999\n")
    house = laptop.lan
    laptop.create(coordinator.url())
    alone = laptop.ctl("export", "alone")
    check(f"Endpoint = {house.public}:51" in alone.out, alone)
    check("is not tested from outside, as no member in another network is online" in alone.err, alone)
    pi.join(laptop.ctl("invite").out.strip())
    laptop.wait_peer(pi)
    equal(export("beside"), "untested", "the test by a member of the same LAN")
    friend.join(laptop.ctl("invite").out.strip())
    laptop.wait_peer(friend)
    closed("tablet", "open UDP ports 51000-51999 in the coordinator's firewall, forward them if a router is in front")
    pi.configure("[phones]\ngateway = on\n")
    pi.restart_daemon()
    laptop.wait_peer(pi)
    closed("radio", "do not reach pi's phone port", "--by", "pi")
    house.ns.nft("table ip phones {\nchain in {\ntype nat hook prerouting priority -99\n"
                 f'iifname "wan" udp dport 51000-51999 dnat to {coordinator.host.ip4}\n}}\n}}\n')
    equal(export("tablet"), "passed", "the test by the friend")
    wait("the test of another gateway", lambda: laptop.ctl("export", "radio", "--by", "pi", check_rc=False).code == 0)
    check("not tested" not in laptop.ctl("export", "watch", "--by", "pi").err, "a test of pi's port that nobody made")


@scenario
def a_coordinator_at_home_behind_a_router_with_hairpin(lab):
    """The public address alone does: the router hands what comes from inside back as its own."""
    coordinator, outer, laptop, pi, friend = at_home(lab, True)
    laptop.create(outer)
    for h in (pi, friend):
        h.join(laptop.ctl("invite").out.strip())
    the_lan_meets_itself_and_a_stun_server_the_rest(lab, laptop, pi, friend)


class Misnamed(Coordinator):
    """Nodes are told to send it UDP where nobody is."""

    def public(self):
        return "198.51.100.250"


@scenario(whole="half a minute of waiting")
def a_public_address_that_is_wrong_is_doubted_at_both_ends(lab):
    coordinator, a = Misnamed(lab, lab.host("coord")), lab.host("a")
    a.daemon()
    a.create(coordinator.url().replace(coordinator.public(), coordinator.host.ip4))
    doubt = f"198.51.100.250:3478 (or its `public` is wrong: it is reached at {coordinator.host.ip4})"
    wait("a to name it", lambda: doubt in a.ctl("status", "-l").out)
    wait("the coordinator to name it", lambda: "note: 198.51.100.250 (public) is no address of this machine" in
         run(coordinator, "status").out, 60)


@scenario(long="waits a minute")
def a_coordinator_whose_udp_is_closed_says_so(lab):
    """In `status`, and in its log a minute after the start. It may be the nodes' networks: --check does not fail."""
    coordinator, a = lab.coordinator(), lab.host("a")
    coordinator.host.nft("table inet wall {\nchain in {\ntype filter hook input priority -300;\n"
                         "meta l4proto udp drop\n}\n}")
    a.daemon()
    a.create(coordinator.url())
    wait("status to say so", lambda: "no UDP has come in" in run(coordinator, "status").out, 60)
    run(coordinator, "status", "--check", code=0)
    wait("the log to say so", lambda: "no UDP has come in" in coordinator.program.text(), 130)
    coordinator.host.nft("delete table inet wall")
    wait("status to have nothing to say", lambda: "no UDP" not in run(coordinator, "status").out, 130)
