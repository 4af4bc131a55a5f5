# SPDX-License-Identifier: MIT
"""Becoming a member, and ceasing to be one."""
import os
import re
import subprocess

from lab import ROOT, Skip, check, equal, scenario, wait

NODES = 30  # of the scenario with many


@scenario
def two_commands_make_a_network(lab):
    """As the README has it: no daemon is started by hand."""
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    path = {"PATH": lab.build + "/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    out = a.run("env", f"PATH={path['PATH']}", "p2pvpnctl", "create", coordinator.url(), "--name",
                "a", "--network", "home", timeout=60).out
    equal(len(out.split()), 1, "words on the standard output of create")
    token = out.strip()
    check(token.startswith("p2pvpn-"), f"an invite looks like {token!r}")
    b.run("env", f"PATH={path['PATH']}", "p2pvpnctl", "join", token, "--name", "b", timeout=60)
    for h in (a, b):
        status = h.json("status")
        check("home" in str(status), f"status does not know the network: {status}")
    check(b.addr() != a.addr(), "two nodes have one address")
    a.wait_peer(b)
    b.wait_peer(a)
    check(a.os_ping(a.addr(b)), "ping")
    equal(a.addr(b), b.addr(), "address of b")
    equal(a.addr(b, 6), b.addr(family=6), "IPv6 address of b")
    told = b.ctl("events", "--past").out  # also of what it took for true before it had heard of all
    check("no admin any more" not in told, f"what b was told: {told}")
    row = a.peer(b)
    equal(sorted(row), sorted(["name", "ip4", "ip6", "key", "wg_key", "online", "path", "tx_bytes",
                               "rx_bytes", "last_handshake", "last_seen", "session", "former",
                               "another_since", "ip4_former", "ip4_since", "admin", "state", "expires", "asks_from", "groups", "tags",
                               "gateway"]),
          "fields of peers --json")


@scenario
def a_member_is_found_right_behind_join(lab):
    """From far away the list of members takes some round trips, for which join waits."""
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b", lab.lan("far", "delay=60ms"))
    for h in (a, b):
        h.daemon()
    b.ctl("join", a.create(coordinator.url()), "--name", "b")
    b.ctl("ping", "a", "-c", 1)


@scenario
def a_token_for_one_lets_one_in(lab):
    """Two joins at the same instant: exactly one wins; the winner may repeat it."""
    coordinator = lab.coordinator()
    hosts = [lab.host(n) for n in ("root", "x", "y", "z")]
    first, rivals = hosts[0], hosts[1:]
    for h in hosts:
        h.daemon()
    first.create(coordinator.url())
    for _ in range(2):
        token = first.ctl("invite", "--uses", 1).out.strip()
        racing = [(h, subprocess.Popen([*h.enter, lab.bin("p2pvpnctl"), "join", token, "--name",
                                        h.name], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                       text=True)) for h in rivals]
        codes = {}
        for h, p in racing:
            _, err = p.communicate(timeout=60)
            codes[h.name] = p.returncode
            check(p.returncode == 0 or err.strip(), "a refusal without a word")
        equal(sorted(codes.values()), [0] + [12] * (len(rivals) - 1), f"exit codes {codes}")
        winner = next(h for h in rivals if codes[h.name] == 0)
        rivals.remove(winner)
        first.wait_peer(winner)
    equal(len(first.peers()), 2, "members seen by the first node")


@scenario
def invites_are_listed_revoked_and_expire(lab):
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    a.daemon()
    b.daemon()
    a.create(coordinator.url())
    token = a.ctl("invite", "--uses", 5, "--expires", "1h").out.strip()
    listed = a.json("invite", "list")["invites"]
    mine = [i for i in listed if i["uses"] == 5]
    equal(len(mine), 1, f"invites with five uses in {listed}")
    a.ctl("invite", "revoke", mine[0]["id"])
    b.ctl("join", token, "--name", "b", code=12)
    check(next(i for i in a.json("invite", "list")["invites"] if i["id"] == mine[0]["id"])
          ["revoked"], "the revoked invite is not marked")
    b.ctl("peers", code=4)
    token = a.ctl("invite", "--expires", "1s").out.strip()
    wait("the invite to end", lambda: "expired" in a.ctl("invite", "list").out)
    r = b.ctl("join", token, "--name", "b", code=12)
    check("expired" in r.err, r.err)
    b.join(a.ctl("invite").out.strip())
    a.wait_peer(b)
    check("used up; used by b" in a.ctl("invite", "list").out, a.ctl("invite", "list").out)


@scenario
def names_leaving_and_removal(lab):
    coordinator = lab.coordinator()
    a, b, c = hosts = [lab.host(n) for n in "abc"]
    for h in hosts:
        h.daemon()
    a.create(coordinator.url())
    b.join(a.ctl("invite").out.strip())
    # A name that is taken is refused when it was asked for; nothing is kept.
    r = c.ctl("join", a.ctl("invite").out.strip(), "--name", "b", check_rc=False)
    check(r.code in (1, 11) and r.err.strip(), f"a taken name: {r}")
    c.ctl("peers", code=4)
    c.join(a.ctl("invite").out.strip())
    a.wait_peer(b)
    a.wait_peer(c)
    b.wait_peer(c)
    check(a.os_ping(a.addr(b)) and b.os_ping(b.addr(c)), "pings between three")

    c.ctl("send", "a", "so long")
    wait("the message", lambda: "so long" in a.ctl("inbox", "--peek").out)
    address = b.addr(c)
    a.ctl("remove", "c")
    wait("c to vanish from a's roster", lambda: "c" not in a.peers())
    check("so long" in a.ctl("history", "c").out, "what a removed node said is gone")
    wait("c to vanish from b's roster", lambda: "c" not in b.peers())
    check(not b.os_ping(address, timeout=1), "a removed node still answers")
    wait("c to know that it was removed",
         lambda: c.ctl("peers", check_rc=False).code in (4, 11)
         or "revoked" in str(c.json("status")) or "removed" in str(c.json("status")))
    wait("c to know why", lambda: c.json("status")["state"] == "removed")
    check("so long" in c.ctl("history", "a").out, "what was said before its own removal is gone")

    b.ctl("leave")
    b.ctl("peers", code=4)
    wait("b to vanish from a's roster", lambda: "b" not in a.peers())
    b.join(a.ctl("invite").out.strip())
    a.wait_peer(b)
    check(a.os_ping(a.addr(b)), "ping after coming back")


@scenario
def a_leave_counts_those_who_know_of_it(lab):
    """They forget who left, and say before that they know: with the coordinator, and without it."""
    coordinator = lab.coordinator()
    a, b, c, d = (lab.host(n) for n in "abcd")
    lab.network(coordinator, [a, b, c, d])
    for h in (b, c, d):
        for other in (a, b, c, d):
            if h is not other:
                h.wait_direct(other)
    r = d.ctl("leave")
    check("left the network\n" in r.err, r.err)
    coordinator.program.end()
    for h in (b, c):
        wait(f"{h.name} to miss the coordinator", lambda: not h.json("status")["coordinator"]["connected"])
    r = c.ctl("leave", code=9)
    check("all 2 online members have it; the coordinator is away" in r.err, r.err)
    r = b.ctl("leave", code=9)
    check("the 1 online member has it; the coordinator is away" in r.err, r.err)
    wait("a to be alone", lambda: a.peers() == {})


@scenario
def the_root_key_of_a_network_opens_no_later_one(lab):
    """The paper of the first network is in other hands; its owner makes another one on the same machine."""
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    lab.network(coordinator, [a, b])
    a.run("tee", "/run/pass", stdin="six words that nobody guesses\n")
    paper = a.ctl("root", "export", "--passphrase-file", "/run/pass").out
    b.run("tee", "/run/paper", stdin=paper)
    first = a.run("cat", "/var/lib/p2pvpn/root.key").out
    b.ctl("leave")
    a.ctl("leave", "--forget", "--last")
    # One that comes to nothing gives the key its place back.
    a.ctl("create", coordinator.url().split("?")[0], "--name", "a", code=11)
    wait("the key to be back", lambda: a.run("cat", "/var/lib/p2pvpn/root.key", check_rc=False).out == first)
    equal(a.run("sh", "-c", "ls /var/lib/p2pvpn/root.key*").out.split(), ["/var/lib/p2pvpn/root.key"], "keys")
    r = a.ctl("create", coordinator.url(), "--name", "a", "--network", "secretwork")
    aside = a.run("sh", "-c", "ls /var/lib/p2pvpn/root.key.*").out.split()
    equal(len(aside), 1, f"keys of before: {aside}")
    check(f"The root key of an earlier network is in {aside[0]} now" in r.err, r.err)
    equal(a.run("cat", aside[0]).out, first, "the key of the first network")
    equal(a.run("stat", "-c", "%a", aside[0]).out.strip(), "0", "its mode")
    check(a.run("cat", "/var/lib/p2pvpn/root.key").out != first, "the second network has the key of the first")
    b.join(r.out.strip())
    b.run("tee", "/run/pass", stdin="six words that nobody guesses\n")
    r = b.ctl("root", "import", "/run/paper", "--passphrase-file", "/run/pass", code=11)
    check("of another network than secretwork" in r.err, r.err)


@scenario
def an_admin_can_be_made_and_takes_over(lab):
    coordinator = lab.coordinator()
    a, b, c, d = (lab.host(n) for n in "abcd")
    lab.network(coordinator, [a, b, c])
    for h in (b, c):
        h.wait_peer(a)
    r = a.ctl("leave", check_rc=False)
    equal(r.code, 11, "exit code of leave of the only admin")
    check("admin grant " in r.err and "--last" in r.err, r.err)
    r = b.ctl("admin", "grant", "c", check_rc=False)
    equal(r.code, 11, "exit code of grant without the root key")
    check("root key of home" in r.err, r.err)
    check("b is an admin now" in a.ctl("admin", "grant", "b").err, "grant says what was done")
    wait("c to know that b is an admin", lambda: c.peer("b")["admin"])
    check("b (admin)" in c.ctl("peers").out, "peers shows it")
    wait("b to know it", lambda: b.json("status")["self"]["admin"])
    a.ctl("leave", "--forget")
    check(a.run("test", "-e", "/var/lib/p2pvpn/root.key", check_rc=False).code == 0, "the root key is kept")
    wait("a to vanish from b's roster", lambda: "a" not in b.peers())
    d.daemon()
    d.join(b.ctl("invite").out.strip())
    d.wait_peer(c)
    check(d.os_ping(d.addr(c)), "ping of whom the new admin invited")
    b.ctl("remove", "c")
    wait("c to vanish", lambda: "c" not in d.peers())


@scenario
def down_and_up(lab):
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    check(a.os_ping(a.addr(b)), "ping")
    b.ctl("down")
    wait("b to be offline for a", lambda: not a.peer(b)["online"])
    wait("ping to say that b is offline",
         lambda: a.ctl("ping", "b", "-c", "1", "--timeout", "2", check_rc=False).code == 7)
    r = b.ctl("ping", "a", "-c", "1", check_rc=False)
    equal(r.code, 1, "exit code of ping on a machine that is down")
    check("this machine is down" in r.err, r.err)
    out = b.ctl("peers", "--json", check_rc=False).out
    check('"online":false' in out and '"type":"none"' in out, f"a as b shows it: {out}")
    check("this machine is down" in b.ctl("send", "a", "later").out, "send says it")
    check("cause: this machine is down" in b.ctl("why", "a", "-l").out, "why says it")
    b.ctl("up")
    a.wait_peer(b)
    check(a.os_ping(a.addr(b)), "ping after up")
    wait("what was sent to arrive", lambda: "later" in a.ctl("history", "b").out)


SYSTEMCTL = """#!/bin/sh
# A systemctl that writes down what it is told, and starts what the unit would start, where that works.
echo "$*" >>/run/systemctl.log
case "$*" in
*is-enabled*) grep -q '^--quiet enable' /run/systemctl.log ;;
*start*) [ ! -e /run/broken ] || exit 1
    setsid {daemon} </dev/null >/run/p2pvpnd.log 2>&1 &
    n=0; until grep -qs "ready:" /run/p2pvpnd.log || [ $n -gt 1200 ]; do sleep 0.05; n=$((n + 1)); done ;; esac
"""


@scenario
def with_systemd_the_service_is_started_and_enabled(lab):
    coordinator = lab.coordinator()
    a, b, c = (lab.host(n) for n in "abc")
    for h in (a, b, c):
        h.run("sh", "-ec", """
            mkdir -p /run/systemd/system /run/bin/upper /run/bin/work
            mount -t overlay overlay -o lowerdir=/usr/bin,upperdir=/run/bin/upper,workdir=/run/bin/work /usr/bin
            rm -f /usr/bin/systemctl /usr/bin/journalctl
            cat >/usr/bin/systemctl
            printf '#!/bin/sh\\n[ "$*" = "-q -u p2pvpnd.service -t p2pvpnd -n1 -ocat" ] && cat /run/broken\\n' >/usr/bin/journalctl
            chmod 755 /usr/bin/systemctl /usr/bin/journalctl
        """, stdin=SYSTEMCTL.format(daemon=lab.bin("p2pvpnd")))

    def told(host):
        return host.run("cat", "/run/systemctl.log").out.replace("--quiet ", "").splitlines()
    r = a.ctl("create", coordinator.url(), "--name", "a", timeout=60)
    equal(told(a), ["cat p2pvpnd.service", "start p2pvpnd.service", "cat p2pvpnd.service",
                    "enable p2pvpnd.service"], "what systemctl was told by create")
    check("started the service p2pvpnd" in r.err and "starts at boot from now on" in r.err, r.err)
    equal(len(r.out.split()), 1, "words on the standard output of create")
    b.ctl("join", r.out.strip(), "--name", "b", "--no-boot", timeout=60)
    equal(told(b), ["cat p2pvpnd.service", "start p2pvpnd.service"], "what systemctl was told by join --no-boot")
    a.wait_peer(b)
    says = "p2pvpnd does not start at boot. To change that: `systemctl enable p2pvpnd.service`"
    check(says in b.ctl("up").err, "up does not say that b is gone after the next boot")
    check("boot" not in a.ctl("up").err, "up speaks of the boot where the service is enabled")
    # The last line of its unit is the reason why it does not run.
    c.run("sh", "-c", "echo 'p2pvpnd: open UDP port 40000: in use' >/run/broken")
    for r in (c.ctl("up", code=8), c.ctl("doctor", "-l", code=1)):
        check("open UDP port 40000: in use" in r.out + r.err, f"not why it does not start: {r}")


@scenario
def names_and_addresses_change_hands_as_told(lab):
    coordinator = lab.coordinator()
    a, b, c = (lab.host(n) for n in ("a", "b", "c"))
    lab.network(coordinator, [a, b, c])
    a.wait_direct(b)
    b.ctl("send", "a", "from before")
    wait("a to have it", lambda: "from before" in a.ctl("inbox", "--peek").out)

    # By itself, and by an admin; nobody takes what is somebody else's.
    b.ctl("rename", "rob")
    wait("a and c to know rob", lambda: "rob" in a.peers() and "rob" in c.peers())
    check("b" not in a.peers(), "two names")
    equal(b.json("status")["self"]["name"], "rob", "its own name")
    check("from before" in a.ctl("history", "rob").out, "the old line went with its writer")
    a.ctl("ping", "rob", "-c", 1)
    check("is taken" in c.ctl("rename", "b", code=11).err, "the first name of another")
    check("is taken" in c.ctl("rename", "rob", code=11).err, "the name of another")
    c.ctl("rename", "Not A Name", code=2)
    check("no admin" in c.ctl("rename", "rob", "slave", code=11).err, "not an admin")
    check("not one for members in 10.66.0.0/16" in a.ctl("address", "set", "rob", "192.168.9.9", code=11).err,
          "outside the range")
    check("another member's" in a.ctl("address", "set", "rob", a.addr(), code=11).err, "taken")

    # Another address, by its own word: when the coordinator has taken it, and that is soon.
    b.ctl("address", "set", "10.66.77.6")
    wait("rob to be where it says", lambda: b.addr() == "10.66.77.6" and a.peers()["rob"]["ip4"] == "10.66.77.6")

    # By an admin's: the interface has it, and everything goes there.
    old = b.addr()
    # There also another name needs the coordinator's receipt.
    for name in ("robert", "rob"):
        b.ctl("rename", name)
        wait(f"b to be {name}", lambda: b.json("status")["self"]["name"] == name and
             name in [p["name"] for p in a.json("peers")["peers"]])
    a.ctl("address", "set", "rob", "10.66.77.7")
    wait("rob to be there", lambda: b.addr() == "10.66.77.7")
    wait("its interface", lambda: "10.66.77.7" in b.run("ip", "addr", "show", "p2pvpn0").out)
    wait("the old address to go", lambda: old not in b.run("ip", "addr", "show", "p2pvpn0").out)
    wait("a to reach it there", lambda: a.os_ping("10.66.77.7"))
    a.ctl("send", "rob", "at the new place")
    wait("rob to have it", lambda: "at the new place" in b.ctl("inbox", "--peek").out)
    for h in (a, b, c):
        h.restart_daemon()
    wait("all to agree", lambda: a.peers().get("rob", {}).get("ip4") == "10.66.77.7"
         and c.peers().get("rob", {}).get("ip4") == "10.66.77.7" and a.json("status")["coordinator"]["connected"])

    # A machine that died comes back as itself: another key, the same place.
    b.stop_daemon()
    b.run("sh", "-c", "rm -rf /var/lib/p2pvpn/* /var/lib/p2pvpn.chat/*")
    token = a.ctl("invite").out.strip()
    b.daemon()
    b.ctl("join", token, "--name", "rob-2")
    wait("a to see it, and rob to be gone", lambda: "rob-2" in a.peers() and not a.peers()["rob"]["online"])
    check("no other member is called" in a.ctl("node", "replace", "rob", "nobody", code=6).err, "nobody")
    a.ctl("node", "replace", "rob", "rob-2")
    wait("it to be rob", lambda: b.json("status")["self"]["name"] == "rob")
    wait("its address", lambda: b.addr() == "10.66.77.7")
    wait("a to reach it", lambda: a.os_ping("10.66.77.7"))
    equal(sorted(a.peers()), ["c", "rob"], "members")


@scenario
def of_two_that_take_one_name_the_later_one_is_told_until_it_takes_another(lab):
    coordinator = lab.coordinator()
    a, b, d = (lab.host(n) for n in "abd")
    lab.network(coordinator, [a, b, d])
    # b reaches nobody when it takes the name: nothing could tell it that d has it.
    b.nft(f'table inet cut {{\nchain out {{\ntype filter hook output priority 0; oifname "{b.dev}" drop\n}}\n}}')
    b.ctl("rename", "dx", check_rc=False)
    equal(b.json("status")["self"]["name"], "dx", "b while it is alone")
    d.ctl("rename", "dx")
    wait("a to know dx", lambda: "dx" in a.peers())
    b.nft("delete table inet cut")

    def said(host):
        return [p for p in host.json("status")["problems"] if " is not called dx, as " in p]
    other = ("member b is not called dx, as {} machine has that name: there `sudo p2pvpnctl rename NAME`, or an "
             "admin's `sudo p2pvpnctl rename b NAME`, gives it another one, or b again")
    own = ("this machine is not called dx, as another machine has that name: `sudo p2pvpnctl rename NAME` gives it "
           "another one, or b again")
    for host, text in ((a, other.format("another")), (b, own), (d, other.format("this"))):
        wait(f"{host.name} to say that b does not get it", lambda h=host, t=text: said(h) == [t])
    r = a.ctl("doctor", "-l", check_rc=False)
    check(r.code == 1 and "is not called dx" in r.out, f"doctor finds nothing: {r}")
    equal(b.json("status")["self"]["name"], "b", "the name of b")
    # As it says; no p2pvpnd is started anew.
    a.ctl("rename", "b", "bert")
    wait("nobody to say it any more", lambda: not any(said(h) for h in (a, b, d)))
    check("is not called dx" not in a.ctl("doctor", "-l", check_rc=False).out, "doctor says it still")


def lines_of(host, *who):
    """The lines of its history: (from, is that a former holder of the name, text)."""
    return sorted((m["from"], "from_former" in m, m["text"]) for m in host.json("history", *who)["messages"])


@scenario
def both_histories_keep_who_is_who(lab):
    """Across new names of either end, and a machine that takes over the name of its dead self. A line has
    the name that its writer has now, and of one that is gone the name that it had then."""
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    lab.network(coordinator, [a, b])
    a.wait_direct(b)
    a.ctl("send", "b", "one")
    b.ctl("send", "a", "two")
    wait("both to have both", lambda: len(lines_of(a, "b")) == len(lines_of(b, "a")) == 2)
    a.ctl("rename", "anna")
    b.ctl("rename", "bert")
    wait("both to know", lambda: "bert" in a.peers() and "anna" in b.peers())
    b.ctl("send", "anna", "three")
    wait("a to have it", lambda: len(lines_of(a, "bert")) == 3)
    equal(lines_of(a, "bert"), [("anna", False, "one"), ("bert", False, "three"), ("bert", False, "two")], "a's history")
    equal(lines_of(b, "anna"), [("anna", False, "one"), ("bert", False, "three"), ("bert", False, "two")],
          "b's history: one conversation, by the machine and not by its name")

    b.stop_daemon()
    b.run("sh", "-c", "rm -rf /var/lib/p2pvpn/* /var/lib/p2pvpn.chat/*")
    token = a.ctl("invite").out.strip()
    b.daemon()
    b.ctl("join", token, "--name", "bert-2")
    wait("a to see it, and bert to be gone", lambda: "bert-2" in a.peers() and not a.peers()["bert"]["online"])
    a.ctl("node", "replace", "bert", "bert-2")
    wait("it to be bert", lambda: b.json("status")["self"]["name"] == "bert")
    wait("a to know", lambda: "bert" in a.peers() and "bert-2" not in a.peers())
    b.ctl("send", "anna", "four")
    wait("a to have it", lambda: len(lines_of(a)) == 4)
    equal(lines_of(a), [("anna", False, "one"), ("b", False, "two"), ("bert", False, "four"), ("bert", True, "three")],
          "the lines of the dead machine and of the new one")
    equal(lines_of(a, "bert"), [("bert", False, "four")], "the conversation with the new one")
    check("bert is another machine since" in a.ctl("history", "bert").out, "the history does not say it")
    equal(lines_of(b, "anna"), [("bert", False, "four")], "the new machine's own history")
    news = "bert is another machine since"
    check(news in a.ctl("peers").err and news in a.ctl("peers").err, "no terminal: nobody has read it")
    on_terminal = ["script", "-qec", f"{lab.bin('p2pvpnctl')} peers", "/dev/null"]
    check(news in a.run(*on_terminal).out and news not in a.run(*on_terminal).out, "it is not told once")
    check(news in a.ctl("peers", "--long").err, "--long does not tell it again")
    b.ctl("rename", "robert")
    wait("a to know", lambda: "robert" in a.peers())
    equal(lines_of(a), [("anna", False, "one"), ("b", False, "two"), ("bert", True, "three"), ("robert", False, "four")],
          "the lines of the dead machine, whose name would lead to robert")
    # One that has gone is known by the name that it had last, whatever it was called first.
    b.ctl("rename", "bert")
    wait("a to know", lambda: "bert" in a.peers())
    b.ctl("leave")
    wait("a to know", lambda: "bert" not in a.peers())
    equal(lines_of(a, "bert"), [("bert", False, "four")], "the conversation with the one that left last")
    equal(lines_of(a), [("anna", False, "one"), ("b", False, "two"), ("bert", False, "four"), ("bert", True, "three")],
          "the lines of both machines that are gone")
    check("left the network" in a.ctl("ping", "bert", code=6).err, "ping to one that left")
    a.ctl("remove", "bert")
    check("was removed" in a.ctl("ping", "bert", code=6).err, "ping to one that left and was removed")
    check("deleted" in a.ctl("history", "clear", "bert", "--yes").out, "its history is not deleted")
    equal(lines_of(a), [("anna", False, "one"), ("b", False, "two"), ("bert", True, "three")],
          "what is left: of the first bert alone, who is still not the last")


@scenario(whole="thirty daemons")
def thirty_nodes(lab):
    coordinator = lab.coordinator()
    hosts = [lab.host(f"n{i}") for i in range(NODES)]
    for h in hosts:
        h.daemon(wait_ready=False)
    for h in hosts:
        h.wait_daemon()
    hosts[0].create(coordinator.url())
    token = hosts[0].ctl("invite", "--uses", NODES).out.strip()
    joining = [subprocess.Popen([*h.enter, lab.bin("p2pvpnctl"), "join", token, "--name", h.name],
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
               for h in hosts[1:]]
    for h, p in zip(hosts[1:], joining):
        _, err = p.communicate(timeout=120)
        check(p.returncode == 0, f"{h.name} cannot join: {err}")
    addresses = set()
    for h in hosts:
        wait(f"{h.name} to know that all are there",
             lambda h=h: [p["online"] for p in h.peers().values()] == [True] * (NODES - 1))
        addresses.add(h.addr())
    equal(len(addresses), NODES, "different addresses")
    for i, h in enumerate(hosts):
        for step in (1, 7, 16):
            other = hosts[(i + step) % NODES]
            check(h.os_ping(h.addr(other)), f"ping from {h.name} to {other.name}")
    for h in hosts[:3]:
        path = h.wait_direct(hosts[20])
        equal(path["type"], "direct", "path")
    coordinator.program.must_run()


# ---- the static program: in build/packages/static, where scripts/package static puts it ----

ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine)
FILE = os.path.join(ROOT, f"build/packages/static/p2pvpn-{ARCH}")


class Copied:
    """A machine that has the file alone, by a name of its user's choice; modules of NSS that any other program
    would look for are nowhere, and so is a group p2pvpn."""

    def __init__(self, host, coordinator):
        self.host, self.file = host, f"/run/one/{host.name}"
        host.run("sh", "-ec", f"""
            mkdir /run/one
            cp {FILE} {self.file}
            printf 'passwd: nowhere\\ngroup: nowhere\\nhosts: nowhere\\n' >/run/one/nsswitch.conf
            echo '{coordinator.public()} coord.test' >/run/one/hosts
            for file in nsswitch.conf hosts; do mount --bind /run/one/$file /etc/$file; done""")

    def ctl(self, *args):
        return self.host.run(self.file, *args).out

    def libraries(self):
        """The other files that the processes that run the file have in memory."""
        maps = self.host.run("sh", "-c", f"""for p in /proc/[0-9]*; do
            [ "$(readlink $p/exe)" != {self.file} ] || cat $p/maps $p/comm; done""").out
        check("p2pvpnd" in maps.splitlines(), f"no process of {self.file} is called p2pvpnd: {maps}")
        return sorted({line.split()[-1] for line in maps.splitlines() if ".so" in line})


@scenario
def one_static_file_is_both_programs(lab):
    if not os.path.exists(FILE):
        raise Skip("there is no static program: scripts/package static makes it")
    coordinator = lab.coordinator()
    a, b = (Copied(lab.host(n, lab.lan(f"lan-{n}", "profile=port-restricted")), coordinator) for n in "ab")
    url = coordinator.host.run(lab.bin("p2pvpn-coordinator"), "url", "--public", "coord.test").out.strip()
    token = a.ctl("create", url, "--name", "a").split()[-1]
    b.ctl("join", token, "--name", "b")
    a.ctl("wait", "--peer", "b")
    a.ctl("ping", "b", "-c", "1")
    a.ctl("send", "b", "one file")
    wait("the line to arrive", lambda: "one file" in b.ctl("inbox", "--peek"))
    for machine in (a, b):
        equal(machine.libraries(), [], "libraries that were loaded")
    # It has no program that would put names into nsswitch.conf, and advises none.
    said = a.host.run(a.file, "doctor", "-l", check_rc=False).out
    check(re.search("(?m)^ok +names ", said) and "p2pvpn-nss" not in said, said)
