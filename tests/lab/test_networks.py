# SPDX-License-Identifier: MIT
"""One machine in several networks: a p2pvpnd each, side by side."""
import json

from lab import check, equal, scenario, wait
from nsslab import getent, use_module


def rows(host):
    return {n["name"]: n for n in host.json("networks")["networks"]}


@scenario
def a_machine_is_in_two_networks_at_once(lab):
    coordinator = lab.coordinator()
    a, bob, other = lab.host("a"), lab.host("bob"), lab.host("other")
    lab.network(coordinator, [a, bob])
    other.daemon()
    token = other.ctl("create", coordinator.url(), "--network", "work", "--name", "bob",
                      "--cidr", "10.77.0.0/16").out.strip()

    r = a.ctl("-n", "work", "peers", code=8)
    check("no network called work" in r.err and "-n work join" in r.err, r)
    a.ctl("-n", "work", "up", code=8)
    a.ctl("-n", "Work", "peers", code=2)
    a.ctl("-n", "work", "-S", "/run/p2pvpn/work.sock", "peers", code=2)
    check("is in network home already" in a.ctl("join", token, code=1).err, "join twice")

    for command in ("peers", "up", f"join {token}"):
        r = a.ctl("-n", "home", *command.split(), code=2)
        check("home is the first network of this machine: leave out -n home" in r.err, r)
    equal(sorted(rows(a)), ["default"], "the networks of a, after -n with the name of its first")

    a.ctl("-n", "work", "join", token, "--name", "a")
    have = rows(a)
    equal(sorted(have), ["default", "work"], "the networks of a")
    equal([have[n]["network"] for n in sorted(have)], ["home", "work"], "their names")
    equal([have[n]["interface"] for n in sorted(have)], ["p2pvpn0", "p2p-work"], "interfaces")
    equal([have[n]["state"] for n in sorted(have)], ["up", "up"], "states")
    check("p2p-work" in a.ctl("networks").out, "the table")
    table = a.run("env", "COLUMNS=40", lab.bin("p2pvpnctl"), "networks").out
    check("10.77." in table and max(map(len, table.splitlines())) <= 40, table)

    # Both reach their bob, by overlay address, and the messages go where -n says.
    a.wait_peer(bob)
    wait("bob of work to be online",
         lambda: [p["name"] for p in a.json("-n", "work", "peers")["peers"] if p["online"]] == ["bob"])
    # An answer may be lost while a path is made; the second one is not.
    a.ping(bob, "-c", 2)
    a.ctl("-n", "work", "ping", "bob", "-c", 2)
    check("give -n work" in a.ctl("ping", "bob.work.p2p", code=6).err, "a member of the other network")
    error = a.ctl("--json", "ping", "bob.work.p2p", code=6).err
    check("give -n work" in json.loads(error)["error"], f"no one object: {error}")
    check("leave out -n work" in a.ctl("-n", "work", "ping", "bob.home", code=6).err, "one of the first")
    check("give -n work" in a.ctl("can", "bob", "bob.work:22", code=6).err, "one of the other, in can")
    check("give -n work" in a.ctl("deny", "bob.work", "any", "all", code=6).err, "one of the other, in a rule")
    check("give -n work" in a.ctl("send-file", "bob.work", "/etc/hostname", code=6).err, "one of the other, for a file")
    other.ctl("rename", "bob", "eve")
    wait("eve, whom only work has, to be found there",
         lambda: "give -n work" in a.ctl("ping", "-c", "1", "eve", code=6).err)
    check("give -n work" in a.ctl("can", "bob", "eve:22", code=6).err, "eve in can")
    other.ctl("rename", "eve", "bob")
    wait("work to have its bob again", lambda: a.ctl("-n", "work", "ip", "bob", check_rc=False).code == 0)
    far = a.json("-n", "work", "ip", "bob")["ip4"]
    check(far.startswith("10.77.") and a.addr(bob).startswith("10.66."), "two ranges")
    check(a.os_ping(far) and a.os_ping(a.addr(bob)), "both bobs answer")
    a.ctl("-n", "work", "send", "bob", "to work")
    a.ctl("send", "bob", "to home")
    wait("work to have its line", lambda: "to work" in other.ctl("inbox", "--peek").out)
    wait("home to have its line", lambda: "to home" in bob.ctl("inbox", "--peek").out)
    check("to home" not in other.ctl("history", "a").out, "home's line came to work")
    check("to work" in a.ctl("-n", "work", "history", "bob", "-n", 1).out, "-n behind history")

    # Names of both resolve; a short one that both have is the first network's, and that is said.
    use_module(lab, a)
    wait("bob of work to have a name", lambda: getent(a, "hosts", "bob.work.p2p"))
    equal(getent(a, "ahostsv4", "bob.work.p2p")[0], far, "bob.work.p2p")
    equal(getent(a, "ahostsv4", "bob.home.p2p")[0], a.addr(bob), "bob.home.p2p")
    equal(getent(a, "ahostsv4", "bob")[0], a.addr(bob), "bob, whom both have")
    shared = json.loads(a.ctl("status", "--json").out)["shared_names"]
    equal(shared, [{"name": "bob", "networks": ["home", "work"], "means": "home"}], "shared names")
    check("bob is in home and in work: alone it means home's, bob.work.p2p" in a.ctl("status", "-l").out, "status")
    check("bob.work.p2p the other" in a.ctl("doctor", "-l", code=None).out, "doctor")

    # Commands that answers name are for the network that was asked, whoever says them.
    for args, code, remedy in ((("why", "nobody"), 6, "`p2pvpnctl -n work peers`"),
                               (("room", "create", "crew"), 0, "`p2pvpnctl -n work room invite crew PEER`"),
                               (("can", "a", "bob:22"), 0, "`p2pvpnctl -n work why bob`"),
                               (("route", "list"), 0, "`sudo p2pvpnctl -n work route use`"),
                               (("exit", "use", "bob"), 11, "there `sudo p2pvpnctl exit offer`"),
                               (("send-file", "--no-wait", "bob", "/etc/hostname"), 0,
                                "`p2pvpnctl -n work files`"),
                               (("history", "crew"), 6, "no peer crew, but a room: type '#crew'"),
                               (("down",), 0, "`sudo p2pvpnctl -n work up`"),
                               (("ping", "bob"), 1, "`sudo p2pvpnctl -n work up`")):
        r = a.ctl("-n", "work", *args, code=code)
        check(remedy in r.out + r.err, f"not {remedy!r}: {r}")
    check("run: `sudo p2pvpnctl -n work up`" in a.ctl("-n", "work", "doctor", check_rc=False).out, "doctor")
    a.ctl("-n", "work", "up")
    wait("it to be up", lambda: rows(a)["work"]["state"] == "up")

    # The second one ends and is started again by its own words, the first goes on.
    a.ctl("-n", "work", "leave", "--forget")
    wait("it to be in no network", lambda: rows(a)["work"]["state"] == "none")
    for command in ("peers", "why bob"):
        r = a.ctl("-n", "work", *command.split(), code=4)
        check("network work is not joined here: " in r.err and "p2pvpnctl -n work join TOKEN" in r.err, r)
    equal(rows(a)["default"]["state"], "up", "the other one")
    a.ping(bob)


@scenario
def a_range_that_is_taken_is_named_before_anything_is_made(lab):
    coordinator = lab.coordinator()
    a, bob, other = lab.host("a"), lab.host("bob"), lab.host("other")
    lab.network(coordinator, [a, bob])
    other.daemon()
    token = other.ctl("create", coordinator.url(), "--network", "work").out.strip()
    r = a.ctl("-n", "work", "join", token, code=1)
    check("the range 10.66.0.0/16 of network work overlaps that of a network in which this machine is already (10.66."
          in r.err and "on p2pvpn0): one of the two needs another range" in r.err, r)
    check("p2p-work" not in a.run("ip", "link").out, "an interface was made")
    equal(other.json("invite", "list")["invites"][0]["used"], 0, "uses of the token")
    r = a.ctl("-n", "games", "create", coordinator.url(), code=1)
    check("overlaps" in r.err and "--cidr" in r.err, r)
    check("games" not in rows(a), "something was made for games")
    a.run("sh", "-c", "printf '[interface]\\nname = play0\\n' >/etc/p2pvpn/games.conf")
    a.ctl("-n", "games", "create", coordinator.url(), "--cidr", "10.88.0.0/16")
    equal(rows(a)["games"]["network"], "games", "the network's name")
    equal(rows(a)["games"]["interface"], "play0", "the interface that its file names")


@scenario
def a_name_that_is_this_machines_own_in_one_network_only(lab):
    """ssh a would lead to itself."""
    coordinator = lab.coordinator()
    a, bob, other = lab.host("a"), lab.host("bob"), lab.host("other")
    lab.network(coordinator, [a, bob])
    other.daemon()
    token = other.ctl("create", coordinator.url(), "--network", "work", "--name", "a",
                      "--cidr", "10.77.0.0/16").out.strip()
    a.ctl("-n", "work", "join", token, "--name", "a2")

    def shared(*args):
        return json.loads(a.ctl(*args, "status", "--json").out)["shared_names"]
    told = [{"name": "a", "networks": ["home", "work"], "means": "home"}]
    for args in ((), ("-n", "work")):
        wait(f"status {args} to tell of a", lambda args=args: shared(*args) == told)
    check("a is in home and in work" in a.ctl("doctor", "-l", check_rc=False).out, "doctor")
    a.ctl("-n", "work", "down")
    equal(shared(), told, "with the other network down")


@scenario
def a_machine_of_one_name_in_two_networks_is_no_clash(lab):
    """Nor while one of the two is down, whose address the host has not."""
    coordinator = lab.coordinator()
    a, bob, other = lab.host("a"), lab.host("bob"), lab.host("other")
    lab.network(coordinator, [a, bob])
    other.daemon()
    token = other.ctl("create", coordinator.url(), "--network", "work", "--cidr", "10.77.0.0/16").out.strip()
    a.ctl("-n", "work", "join", token, "--name", "a")
    for down in ((), ("-n", "work")):
        a.ctl(*down, "down")
        wait("its address to be gone", lambda: len(a.run("ip", "-br", "-4", "addr").out.splitlines()) == 3)
        for args in ((), ("-n", "work")):
            said = json.loads(a.ctl(*args, "status", "--json").out)["shared_names"]
            equal(said, [], f"status {args} with {down} down")
        a.ctl(*down, "up")
