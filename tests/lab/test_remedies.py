# SPDX-License-Identifier: MIT
"""Remedies work: each scenario makes a fault, reads the remedy in the program's own words, does what it says, and sees
the fault gone.

`# remedy: NAME` names the line of the table that the scenario carries out.
"""
import re

from lab import check, scenario, wait


def problems(host):
    return host.json("status")["problems"]


def problem(host, words, timeout=60):
    """The problem of `status` that has these words."""
    found = []

    def there():
        found[:] = [p for p in problems(host) if words in p]
        return found
    wait(f"{host.name} to say: {words}", there, timeout)
    return found[0]


def gone(host, words, timeout=120):
    wait(f"{host.name} to say no longer: {words}", lambda: not any(words in p for p in problems(host)), timeout)


def commands(text):
    """The commands of p2pvpnctl in a text, as lists of words without sudo and the program's name."""
    return [c.split() for c in re.findall(r"`(?:sudo )?p2pvpnctl ([^`]*)`", text)]


def run(host, words, **values):
    """One of them, with a value for each word in capitals."""
    return host.ctl(*[values.get(w, w) for w in words])


def token(host):
    return host.ctl("invite").out.strip()


def copy_of(lab, host, name):
    """Another machine with the state of this one, which is off meanwhile."""
    copy = lab.host(name)
    host.stop_daemon()
    host.run("cp", "-a", "/var/lib/p2pvpn", f"/proc/{copy.holder.pid}/root/var/lib/")
    host.daemon()
    return copy


def is_member(host, name):
    return name in host.peers()


@scenario(long="it waits for both machines to be driven out, and back")
def a_copy_forgets_what_it_has(lab):  # remedy: keys_twice
    """The copy runs the command before it was told anything; the original stays what it was."""
    a, b = lab.host("a"), lab.host("b")
    lab.network(lab.coordinator(), [a, b])
    copy = copy_of(lab, b, "copy")
    copy.daemon()
    said = problem(b, "another machine connects with this node's keys")
    check("on the copy, not on the original" in said, said)
    run(copy, commands(said)[0])
    copy.join(token(a))
    gone(b, "another machine connects")
    a.wait_peer(b)
    a.wait_peer(copy)
    check(is_member(a, "b") and is_member(a, "copy"), f"members: {a.peers()}")


@scenario(long="it waits for both machines to be driven out, and back")
def keys_that_were_seen_twice_say_no_leave(lab):
    """Although its user says it plainly: the other machine would leave as well."""
    a, b = lab.host("a"), lab.host("b")
    lab.network(lab.coordinator(), [a, b])
    copy = copy_of(lab, b, "copy")
    copy.daemon()
    problem(b, "another machine connects with this node's keys")
    b.restart_daemon()  # it knows after a restart, too
    said = b.ctl("leave").err
    check("told nobody" in said, said)
    wait("the copy to have its coordinator", lambda: copy.json("status")["coordinator"]["connected"], timeout=60)
    check(is_member(a, "b"), f"members: {a.peers()}")


@scenario
def a_leave_that_the_copy_said_is_undone_by_one_command(lab):  # remedy: join_again
    a, b = lab.host("a"), lab.host("b")
    coordinator = lab.coordinator()
    lab.network(coordinator, [a, b])
    copy = copy_of(lab, b, "copy")
    b.stop_daemon()
    copy.daemon()
    wait("the copy to have its coordinator", lambda: copy.json("status")["coordinator"]["connected"])
    copy.ctl("leave")
    b.daemon()
    said = problem(b, "this node left the network, and not by a command here")
    join = next(c for c in commands(said) if c[0] == "join")
    run(b, [*join, "--name", "b"], TOKEN=token(a))
    gone(b, "this node left the network")
    a.wait_peer(b)
    check(b.json("status")["problems"] == [], problems(b))


@scenario
def the_control_socket_comes_back(lab):
    """Somebody removed it while p2pvpnd runs; the command of the error finds p2pvpnd either way."""
    a = lab.host("a")
    a.daemon()
    a.create(lab.coordinator().url())
    a.run("rm", "/run/p2pvpn/p2pvpnd.sock")
    wait("p2pvpnd to be reached", lambda: a.ctl("status", check_rc=False).code == 0)
    a.ctl("up")


@scenario
def the_last_admin_is_not_sent_to_a_throwaway_member(lab):
    a, b, job = lab.host("a"), lab.host("b"), lab.host("aaa")
    for h in (a, b, job):
        h.daemon()
    a.create(lab.coordinator().url())
    job.join(a.ctl("invite", "--ephemeral").out.strip())
    b.join(token(a))
    a.wait_peer(b)
    a.wait_peer(job)
    b.stop_daemon()  # the throwaway member alone is there
    wait("b to be off", lambda: not a.peer(b)["online"])
    said = a.ctl("leave", check_rc=False).err
    grant = next(c for c in commands(said) if c[0] == "admin")
    check(grant == ["admin", "grant", "b"], said)
    b.daemon()
    a.wait_peer(b)
    run(a, grant)
    a.ctl("leave")
