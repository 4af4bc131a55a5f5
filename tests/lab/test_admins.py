# SPDX-License-Identifier: MIT
"""Who may invite and remove, and how that ends."""
import fcntl
import os
import pathlib
import pty
import re
import subprocess
import termios

from lab import check, equal, scenario, wait


@scenario
def what_a_former_admin_says_has_no_effect(lab):
    coordinator = lab.coordinator()
    a, b, c, d = (lab.host(n) for n in "abcd")
    lab.network(coordinator, [a, b, c])
    a.ctl("admin", "grant", "b")
    wait("b to know that it is an admin", lambda: b.json("status")["self"]["admin"], timeout=5)
    d.daemon()
    d.join(b.ctl("invite").out.strip())
    token = b.ctl("invite", "--uses", 3).out.strip()
    d.wait_peer(a)
    r = c.ctl("admin", "revoke", "b", code=11)
    check("no admin of home" in r.err, r.err)
    r = a.ctl("admin", "revoke", "b")
    check("b is no admin any more, and stays a member" in r.err, r.err)
    check("revoked too (1)" in r.err, r.err)
    wait("c to know", lambda: not c.peer("b")["admin"], timeout=5)
    wait("b to know", lambda: not b.json("status")["self"]["admin"], timeout=5)
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
    wait("b to be one again", lambda: b.json("status")["self"]["admin"], timeout=5)
    b.ctl("remove", "c")
    wait("c to vanish", lambda: "c" not in d.peers(), timeout=5)
    equal(sorted(a.peers()), ["b", "d"], "members at the end")


@scenario
def who_joins_by_an_invite_for_admins_becomes_one(lab):
    coordinator = lab.coordinator()
    a, b, c = (lab.host(n) for n in "abc")
    for h in (a, b, c):
        h.daemon()
    a.create(coordinator.url())
    r = a.ctl("invite", "--admin")
    check("becomes an admin" in r.err, r.err)
    check("open (for an admin)" in a.ctl("invite", "list").out, "invite list shows it")
    b.join(r.out.strip())
    wait("b to be an admin", lambda: b.json("status")["self"]["admin"], timeout=5)
    r = b.ctl("invite", "--admin", code=11)
    check("root key of home" in r.err, r.err)
    token = a.ctl("invite", "--admin").out.strip()
    a.stop_daemon()
    c.join(token)
    check(not c.json("status")["self"]["admin"], "nobody who may has said it yet")
    a.daemon()
    wait("c to be an admin", lambda: c.json("status")["self"]["admin"], timeout=10)
    c.wait_peer(b)
    c.ctl("remove", "b")
    wait("b to vanish", lambda: "b" not in a.peers(), timeout=5)


def on_terminal(host, *argv, answers=()):
    """Runs p2pvpnctl on a terminal of its own and answers what it asks for. What it showed."""
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
    equal(process.wait(timeout=30), 0, f"exit code of {' '.join(argv)}: {shown}")
    return shown.replace("\r\n", "\n")


def steps(title):
    """The commands of a section of OPERATIONS.md: (machine, words of the command)."""
    text = (pathlib.Path(__file__).parents[2] / "docs/OPERATIONS.md").read_text()
    section = text.split(f"### {title}\n")[1].split("\n## ")[0].split("\n### ")[0]
    found = re.findall(r"^    (\w+)# p2pvpnctl (.*?)(?:  +.*)?$", section, re.M)
    check(found, f"no commands below {title}")
    return [(machine, command.split()) for machine, command in found]


PASSPHRASE = "correct horse battery staple"


@scenario
def the_owners_laptop_is_lost(lab):
    """As OPERATIONS.md has it, command by command."""
    coordinator = lab.coordinator()
    hosts = {n: lab.host(n) for n in ("laptop", "desktop", "server", "laptop2")}
    lab.network(coordinator, [hosts[n] for n in ("laptop", "desktop", "server")])
    check("(admin, has the root key)" in hosts["laptop"].ctl("status").out, "status shows where it is")
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
    wait("the new laptop to be an admin", lambda: new.json("status")["self"]["admin"], timeout=5)
    check("has the root key" in hosts["server"].ctl("status").out, "it is on the server now")
    new.wait_peer(hosts["desktop"])
    check(new.os_ping(new.addr("desktop")), "ping from the new laptop")
    equal(sorted(hosts["desktop"].peers()), ["laptop", "server"], "members that the desktop sees")
    # The old one finds out, whenever it comes back.
    hosts["laptop"].daemon()
    wait("the old laptop to hear that it was removed",
         lambda: "removed" in hosts["laptop"].ctl("status", check_rc=False).out, timeout=15)


@scenario
def a_machine_was_stolen(lab):
    """As OPERATIONS.md has it, command by command."""
    coordinator = lab.coordinator()
    hosts = {n: lab.host(n) for n in ("desktop", "phone", "pi")}
    lab.network(coordinator, list(hosts.values()))
    desktop, phone, pi = hosts.values()
    desktop.ctl("admin", "grant", "phone")
    wait("the phone to be an admin", lambda: phone.json("status")["self"]["admin"], timeout=5)
    token = phone.ctl("invite", "--uses", 9).out.strip()  # the thief has both
    kept = desktop.ctl("invite", "--uses", 8).out.strip()
    phone.wait_peer(pi)
    invite = next(i["id"] for i in desktop.json("invite", "list")["invites"] if i["uses"] == 8)
    for machine, words in steps("A machine was stolen"):
        r = hosts[machine].ctl(*[invite if w == "ID" else w for w in words])
        if words[0] == "remove":
            check("phone is removed and cannot come back" in r.err, r.err)
            wait("pi to drop it", lambda: "phone" not in pi.peers(), timeout=2)
    thief = lab.host("thief")
    thief.daemon()
    for t in (token, kept):
        r = thief.ctl("join", t, "--name", "phone", check_rc=False)
        check(r.code != 0, f"a token that was on the machine lets in: {r.out}")
    equal(sorted(desktop.peers()), ["pi"], "members at the end")
