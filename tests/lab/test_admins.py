# SPDX-License-Identifier: MIT
"""The rights to invite, admit and remove, and their end."""
import fcntl
import os
import pathlib
import pty
import re
import subprocess
import termios

from lab import check, equal, scenario, wait

DAY = 86400


@scenario
def the_word_of_a_former_admin_has_no_effect(lab):
    coordinator = lab.coordinator()
    a, b, c, d = (lab.host(n) for n in "abcd")
    lab.network(coordinator, [a, b, c])
    a.ctl("admin", "grant", "b")
    wait("b to know that it is an admin", lambda: b.json("status")["self"]["admin"])
    d.daemon()
    d.join(b.ctl("invite").out.strip())
    token = b.ctl("invite", "--uses", 3).out.strip()
    d.wait_peer(a)
    wait("a to know b's invite", lambda: any(i["uses"] == 3 for i in a.json("invite", "list")["invites"]))
    r = c.ctl("admin", "revoke", "b", code=11)
    check("no admin of home" in r.err, r.err)
    r = a.ctl("admin", "revoke", "b")
    check("b is no longer an admin; it stays a member" in r.err, r.err)
    check("revoked 1 open invite" in r.err, r.err)
    wait("c to know", lambda: not c.peer("b")["admin"])
    wait("b to know", lambda: not b.json("status")["self"]["admin"])
    for host, other in ((c, b), (d, b), (c, d)):
        host.wait_peer(other)
    check(c.os_ping(c.addr(b)) and d.os_ping(d.addr(b)), "b is a member as before")
    check(c.os_ping(c.addr(d)), "whom b let in stays")
    b.ctl("invite", code=11)
    b.ctl("remove", "c", code=11)
    e = lab.host("e")
    e.daemon()
    r = e.ctl("join", token, "--name", "e", check_rc=False)
    check(r.code != 0, "a token of a former admin lets in")
    r = a.ctl("admin", "revoke", "b", check_rc=False)
    check(r.code == 1 and "b is no admin" in r.err, r.err)
    a.ctl("admin", "grant", "b")
    wait("b to be one again", lambda: b.json("status")["self"]["admin"])
    b.ctl("remove", "c")
    wait("c to vanish", lambda: "c" not in d.peers())
    wait("a to know who is left", lambda: sorted(a.peers()) == ["b", "d"])


@scenario
def a_machine_that_joins_by_an_invite_for_admins_becomes_one(lab):
    coordinator = lab.coordinator()
    a, b, c = (lab.host(n) for n in "abc")
    for h in (a, b, c):
        h.daemon()
    a.create(coordinator.url())
    r = a.ctl("invite", "--admin")
    check("becomes an admin" in r.err, r.err)
    check("open; makes an admin" in a.ctl("invite", "list").out, "invite list shows it")
    b.join(r.out.strip())
    wait("b to be an admin", lambda: b.json("status")["self"]["admin"])
    r = b.ctl("invite", "--admin", code=11)
    check("root key of home" in r.err, r.err)
    token = a.ctl("invite", "--admin").out.strip()
    a.stop_daemon()
    c.join(token)
    check(not c.json("status")["self"]["admin"], "nobody who may has said it yet")
    a.daemon()
    wait("c to be an admin", lambda: c.json("status")["self"]["admin"])
    c.wait_peer(b)
    c.ctl("remove", "b")
    wait("b to vanish", lambda: "b" not in a.peers())


def on_terminal(host, *argv, answers=()):
    """Runs p2pvpnctl on a terminal of its own and answers what it asks for. Returns what it showed."""
    master, slave = pty.openpty()

    def own_terminal():
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    env = dict(os.environ, LANG="C.UTF-8")
    process = subprocess.Popen([*host.enter, host.lab.bin("p2pvpnctl"), *argv], stdin=slave, stdout=slave,
                               stderr=slave, preexec_fn=own_terminal, env=env)
    os.close(slave)
    shown, left = "", list(answers)
    while True:
        try:
            data = os.read(master, 4096)
        except OSError:  # EIO: the other end is closed
            break
        if not data:
            break
        shown += data.decode(errors="replace")
        if left and shown.endswith("assphrase: ") or left and shown.endswith("Again: "):
            os.write(master, left.pop(0).encode() + b"\n")
    os.close(master)
    equal(process.wait(timeout=120), 0, f"exit code of {' '.join(argv)}: {shown}")
    return shown.replace("\r\n", "\n")


def steps(title):
    """The commands of a section of docs/guide/keys.md: (machine, words of the command)."""
    text = (pathlib.Path(__file__).parents[2] / "docs/guide/keys.md").read_text()
    section = text.split(f"## {title}\n")[1].split("\n## ")[0]
    found = re.findall(r"^    (\w+)[#$] (?:sudo )?p2pvpnctl (.*?)(?:  +.*)?$", section, re.M)
    check(found, f"no commands below {title}")
    return [(machine, command.split()) for machine, command in found]


PASSPHRASE = "correct horse battery staple"


@scenario
def the_owners_laptop_is_lost(lab):
    """As the guide has it, command by command."""
    coordinator = lab.coordinator()
    hosts = {n: lab.host(n) for n in ("laptop", "desktop", "server", "laptop2")}
    lab.network(coordinator, [hosts[n] for n in ("laptop", "desktop", "server")])
    check("(admin, has the root key)" in hosts["laptop"].ctl("status", "-l").out, "status shows where it is")
    hosts["laptop2"].daemon()
    typed = token = None
    for machine, words in steps("The owner's laptop is lost"):
        host = hosts[machine]
        if words[:2] == ["root", "export"]:
            paper = on_terminal(host, *words, answers=[PASSPHRASE, PASSPHRASE])
            check(PASSPHRASE not in paper, "the passphrase is shown")
            host.stop_daemon()  # and is lost
            lines = [x for x in paper.splitlines() if re.fullmatch(r"([0-9A-Z]{4,5} ?){4,5}", x)]
            equal(len(lines), 5, f"lines of the key in {paper}")
            typed = "\n".join(lines).lower()
        elif words[:2] == ["root", "import"]:
            path = f"/run/{words[2]}"
            host.run("tee", path, stdin=typed)
            shown = on_terminal(host, "root", "import", path, answers=[PASSPHRASE])
            check("this node is an admin" in shown, shown)
        else:
            r = host.ctl(*[token if w == "TOKEN" else w for w in words])
            token = r.out.strip() if words[0] == "invite" else token
    new = hosts["laptop2"]
    wait("the new laptop to be an admin", lambda: new.json("status")["self"]["admin"])
    check("has the root key" in hosts["server"].ctl("status", "-l").out, "it is on the server now")
    new.wait_peer(hosts["desktop"])
    check(new.os_ping(new.addr("desktop")), "ping from the new laptop")
    wait("the desktop to see these members alone", lambda: sorted(hosts["desktop"].peers()) == ["laptop", "server"])
    # The old one finds out, whenever it comes back.
    hosts["laptop"].daemon()
    wait("the old laptop to hear that it was removed",
         lambda: "removed" in hosts["laptop"].ctl("status", "-l", check_rc=False).out)


@scenario
def a_machine_was_stolen(lab):
    """As the guide has it, command by command."""
    coordinator = lab.coordinator()
    hosts = {n: lab.host(n) for n in ("desktop", "phone", "pi")}
    lab.network(coordinator, list(hosts.values()))
    desktop, phone, pi = hosts.values()
    desktop.ctl("admin", "grant", "phone")
    wait("the phone to be an admin", lambda: phone.json("status")["self"]["admin"])
    token = phone.ctl("invite", "--uses", 9).out.strip()  # the thief has both
    kept = desktop.ctl("invite", "--uses", 8).out.strip()
    phone.wait_peer(pi)
    invite = next(i["id"] for i in desktop.json("invite", "list")["invites"] if i["uses"] == 8)
    for machine, words in steps("A machine was stolen"):
        r = hosts[machine].ctl(*[invite if w == "ID" else w for w in words])
        if words[0] == "remove":
            check("removed phone" in r.err, r.err)
            wait("pi to drop it", lambda: "phone" not in pi.peers())
    thief = lab.host("thief")
    thief.daemon()
    for t in (token, kept):
        r = thief.ctl("join", t, "--name", "phone", check_rc=False)
        check(r.code != 0, f"a token that was on the machine lets in: {r.out}")
    equal(sorted(desktop.peers()), ["pi"], "members at the end")


@scenario
def no_open_invite_makes_a_former_admin_one_again(lab):
    """Each keeps the token of an open `invite --admin` and comes back by it: the one that made it and is removed by an
    admin without the root key, the one that came by it and is one no more, and one that leaves."""
    coordinator = lab.coordinator()
    hosts = {n: lab.host(n) for n in ("laptop", "desktop", "pi")}
    laptop, desktop, pi = hosts.values()
    lab.network(coordinator, [laptop, desktop])
    token = laptop.ctl("invite", "--admin", "--uses", 5).out.strip()
    pi.daemon()
    pi.ctl("join", token, "--name", "pi")
    wait("pi to be an admin", lambda: pi.json("status")["self"]["admin"])
    r = laptop.ctl("admin", "revoke", "pi")
    check("revoked 1 open invite that it made or that make admins" in r.err, r.err)
    pi.ctl("leave", "--forget")
    check(pi.ctl("join", token, "--name", "pi", check_rc=False).code != 0, "pi came back as an admin")

    laptop.ctl("admin", "grant", "desktop")
    wait("the desktop to be an admin", lambda: desktop.json("status")["self"]["admin"])
    second = laptop.ctl("invite", "--admin", "--uses", 5).out.strip()
    left = laptop.ctl("invite", "--uses", 5).out.strip()
    wait("the desktop to know both", lambda: sum(i["uses"] == 5 and not i["revoked"]
                                                 for i in desktop.json("invite", "list")["invites"]) == 2)
    r = desktop.ctl("remove", "laptop")
    check("revoked 3 open invites that it made or that make admins" in r.err, r.err)  # one of lab.network()
    laptop.ctl("leave", "--forget", "--delete-root-key")
    for t in (second, left):
        check(laptop.ctl("join", t, "--name", "laptop", check_rc=False).code != 0, "the laptop came back")
    equal(desktop.peers(), {}, "members at the end")


def asks(admin, name):
    """The admin's node's view of a machine that waits."""
    return (admin.peer(name) or {}).get("state") == "waiting" and admin.peer(name)


@scenario
def an_admin_lets_in_who_waits(lab):
    coordinator = lab.coordinator()
    a, b, c = (lab.host(n) for n in "abc")
    lab.network(coordinator, [a, c])
    b.daemon()
    token = a.ctl("invite", "--approve", "--uses", 3).out.strip()
    check("needs approval" in a.ctl("invite", "list").out, "invite list says so")
    r = b.join(token)
    check("An admin has to admit it" in r.err and "p2pvpnctl admit b" in r.err, r.err)
    check(b.json("status")["state"] == "waiting", "the state of b")
    check("waits until an admin admits it" in b.ctl("status", "-l").out, "status of b")
    check("closed" not in b.ctl("status", "-l").out, "b has a problem that is none")
    r = b.ctl("doctor", "-l", check_rc=False)
    check("is asked every half minute" in r.out and "!!   interface" not in r.out, r.out)
    r = b.ctl("ping", "a", code=11)
    check("waits until an admin" in r.err, r.err)
    row = wait("a to hear of b", lambda: asks(a, "b"))  # remedy: admit_here, admit_or_deny
    wait("a to hear from where", lambda: a.peer("b")["asks_from"])
    equal(a.peer("b")["asks_from"], b.ip4, "from where b asks")
    check("b (from " in a.ctl("status", "-l").out and "asks to be admitted" in a.ctl("status", "-l").out, "status of a")
    check(not a.os_ping(row["ip4"], timeout=5), "nobody reaches who waits")
    equal(wait("c to hear of b", lambda: asks(c, "b"))["asks_from"], None, "from where b asks is no word for c, which is no admin:")
    r = c.ctl("admit", "b", code=11)
    check("no admin of home" in r.err, r.err)
    a.ctl("admit", "nobody", code=6)
    a.ctl("admit", "c", code=6)
    check("b: no" not in a.ctl("ping", "b", code=6).err, "b is not unknown")
    coordinator.restart()
    r = a.ctl("admit", "b", check_rc=False)
    check(r.code in (0, 9) and "b may join" in r.err, r)  # with the coordinator back, or before
    b.ctl("wait", "--timeout", 60)
    b.wait_peer(a)
    c.wait_peer(b)
    check(b.os_ping(b.addr(a)) and c.os_ping(c.addr(b)), "b is a member as any other")
    equal(a.peer("b")["state"], "member", "state of b")
    # The word of the admin stands, so the same machine need not be admitted again.
    b.ctl("leave")
    r = b.join(token)
    check("Joined network home" in r.err and "admit" not in r.err, r.err)
    b.wait_peer(a)


@scenario
def a_machine_that_is_denied_stays_out_and_leaves_its_name(lab):
    coordinator = lab.coordinator()
    a, b, c, d = (lab.host(n) for n in "abcd")
    for h in (a, b, c, d):
        h.daemon()
    a.create(coordinator.url())
    token = a.ctl("invite", "--approve", "--uses", 3).out.strip()
    waiting = b.start(lab.bin("p2pvpnctl"), "join", token, "--name", "pi", "--wait", name="join")
    wait("a to hear of pi", lambda: asks(a, "pi"))
    r = d.ctl("join", token, "--name", "pi", check_rc=False)
    check(r.code != 0 and "name is taken" in r.err, "while it waits the name is its own")
    r = b.ctl("join", token, code=11)
    check("waits until an admin of network" in r.err and "leave" not in r.err, r.err)
    r = a.ctl("deny", "pi")
    check("pi may not join" in r.err, r.err)
    wait("the join to end", lambda: not waiting.running(), timeout=60)
    waiting.expected_code = 11
    equal(waiting.popen.returncode, 11, "exit code of join --wait")
    check("denied this machine" in waiting.text(), waiting.text())
    check("denied this machine" in b.ctl("status", "-l").out, "status of who was denied")
    equal(b.json("status")["state"], "removed", "the state of who was denied")
    r = b.ctl("ping", "a", code=11)
    check("denied this machine" in r.err and "leave --forget" in r.err, r.err)
    r = c.ctl("join", token, "--name", "pi")
    a.ctl("deny", "tag:guest", "any", "tcp/22")
    wait("a to hear of the next pi", lambda: asks(a, "pi"))
    r = a.ctl("admit", "a", "--tag", "guest", code=6)
    check("a is a member already, and got no tag" in r.err, r.err)
    check("has tag:" not in a.ctl("rules").out, "a mistyped name gives a member no tag")
    told = a.ctl("admit", "pi", "--tag", "guest").err
    check("pi may join" in told and "tagged it with guest" in told, told)
    c.ctl("wait", "--timeout", 60)
    check("pi" in a.peers(), "the name was free again")
    equal(a.ctl("can", "pi", "a:22", check_rc=False).code, 11, "can, of a guest")

    # A member that is down meanwhile hears of its removal from the coordinator alone.
    c.wait_peer(a)
    c.ctl("down")
    a.ctl("remove", "pi")
    c.ctl("up", check_rc=False)
    told = "this node was removed from the network, the coordinator says: ask an admin"
    wait("pi to hear of it", lambda: told in c.ctl("status", "-l", check_rc=False).out)
    check("cannot reach the coordinator" not in c.ctl("status", "-l", check_rc=False).out, "one problem is said twice")
    equal(c.json("status")["state"], "removed", "the state of who was removed")
    r = c.ctl("why", "a", "-l", check_rc=False)
    check("the coordinator says" in r.out and "leave --forget" in r.out, r.out)
    check("leave --forget" in c.ctl("doctor", "-l", check_rc=False).out, "doctor of who was removed")
    check("leave --forget" in c.ctl("leave").err, "leave of who was removed")


@scenario
def a_member_that_was_away_for_long_comes_back_by_itself(lab):
    """The coordinator's clock goes on by half a year while b is off: b has expired at all others, and
    renews itself when it is back."""
    host = lab.host("coord")
    host.own_clock()
    coordinator = lab.coordinator(host)
    a, b, c = (lab.host(n) for n in "abc")
    lab.network(coordinator, [a, c])
    b.daemon()
    b.join(a.ctl("invite", "--member-for", "90d").out.strip())
    b.wait_peer(a)
    check("member for 90d 0h" in a.ctl("invite", "list").out, "invite list says so")
    check("renewed while this node is used" in b.ctl("status", "-l").out, "b says until when")
    check(a.peer("b")["expires"] and a.peer("c")["expires"] is None, "peers say until when")
    b.stop_daemon()
    host.set_clock(180 * DAY)
    coordinator.restart()
    wait("a to be back", lambda: a.json("status")["coordinator"]["connected"])
    a.ctl("invite")  # whatever it stores tells the time
    wait("b to have expired", lambda: a.peer("b")["state"] == "expired")
    check("expired" in a.ctl("peers").out, "the table says it")
    r = a.ctl("ping", "b", code=6)
    check("has expired" in r.err and "reaches the coordinator" in r.err, r.err)
    b.daemon()
    wait("b to be a member again", lambda: a.peer("b")["state"] == "member", timeout=40)
    b.wait_peer(a)
    c.wait_peer(b)
    # It connects anew when its interface is up, and is offline to others for that moment.
    wait("b to be a member as before", lambda: c.os_ping(c.addr(b)))
    b.stop_daemon()
    host.set_clock(360 * DAY)
    coordinator.restart()
    wait("a to be back", lambda: a.json("status")["coordinator"]["connected"])
    a.ctl("invite")
    wait("b to have expired again", lambda: a.peer("b")["state"] == "expired")
    a.ctl("remove", "b")
    check("b" not in a.peers(), "who has expired can be removed")
    a.ctl("invite", "--admin", "--member-for", "90d", code=2)
    a.ctl("invite", "--member-for", "5m", code=2)
