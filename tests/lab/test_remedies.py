# SPDX-License-Identifier: MIT
"""Remedies work: each scenario makes a fault, reads the remedy in the program's own words, does what it says, and sees
the fault gone.

`# remedy: NAME` names the line of the table that the scenario carries out.
"""
import base64
import json
import os
import sys

from lab import check, equal, scenario, wait
from phonelab import Phone
from remedylab import cause, commands, cure, doctor, gone, problem, problems, reload_with, remedy_of, run, token


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


@scenario
def status_names_remedies_about_members(lab):  # remedy: admit_or_deny_each, admit_here, grant_yourself, ask_if_removed
    coordinator = lab.coordinator()
    a, b, c = lab.host("a"), lab.host("b"), lab.host("c")
    for h in (a, b, c):
        h.daemon()
    a.create(coordinator.url())
    asks = a.ctl("invite", "--uses", 2, "--approve").out.strip()
    b.join(asks)
    c.join(asks)
    cure(c, "this machine waits until an admin admits it", "admit_here", lambda said: run(a, commands(said)[0]))
    wait("b to be known", lambda: "b" in a.peers())

    def admit(said):
        run(a, commands(said)[0])
    cure(a, "asks to be admitted", "admit_or_deny", admit)
    d, e = lab.host("d"), lab.host("e")
    asks = a.ctl("invite", "--uses", 2, "--approve").out.strip()
    for h in (d, e):
        h.daemon()
        h.join(asks)
    cure(a, " ask to be admitted", "admit_or_deny_each", admit)
    # One that was off when it was removed has the coordinator's word alone.
    wait("b to be a member", lambda: b.json("status")["state"] == "up")
    b.stop_daemon()
    a.ctl("remove", "b")
    b.daemon()
    said = problem(b, "this node was removed from the network")
    leave = commands(said)[0]
    run(b, leave)
    b.ctl("join", token(a), "--name", "b-again")
    gone(b, "was removed")
    a.wait_peer("b-again")
    a.ctl("admin", "grant", "c")
    c.wait_peer(a)
    c.ctl("admin", "revoke", "a")
    c.ctl("leave", "--last")
    cure(a, "the network has no admin any more", "grant_yourself", lambda said: run(a, commands(said)[0]))


@scenario
def status_names_remedies_about_files(lab):  # remedy: former_identity, correct_stun, rename_static_peer, other_allowed_ips
    a, b = lab.host("a"), lab.host("b")
    lab.network(lab.coordinator(), [a, b])
    a.wait_peer(b)
    key = a.json("status")["self"]["wg_key"]
    before = b.run("cat", "/etc/p2pvpn/p2pvpnd.conf").out
    reload_with(b, before + "[traversal]\nstun = nowhere.invalid\n")
    cure(b, "is not found", "correct_stun", lambda _: reload_with(b, before))
    other = "Hbt1nkrNb+YhhVuQ1pPB2lbsVbzYdmBDo2yPTBJuYXA="
    reload_with(b, before + f"[peer a]\npublic-key = {other}\nallowed-ips = 192.0.2.9/32\n")
    cure(b, "has the name of a member", "rename_static_peer", lambda _: reload_with(
        b, before + f"[peer phone]\npublic-key = {other}\nallowed-ips = 192.0.2.9/32\n"))
    reload_with(b, before + f"[peer phone]\npublic-key = {other}\nallowed-ips = {b.addr(a)}/32\n")
    cure(b, "is the address of member a", "other_allowed_ips", lambda _: reload_with(b, before))
    b.stop_daemon()
    b.run("sh", "-c", "cd /var/lib/p2pvpn && mv identity.key aside")
    b.daemon()

    def put_back(_):
        b.stop_daemon()
        b.run("sh", "-c", "cd /var/lib/p2pvpn && mv aside identity.key")
        b.daemon()
    cure(b, "identity.key is not the one by which", "former_identity", put_back)
    a.wait_peer(b)
    check(key == a.json("status")["self"]["wg_key"], "a is who it was")


@scenario
def doctor_names_remedies(lab):  # remedy: join_first, see_coordinator, mend_and_reload, up
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    lab.network(coordinator, [a])
    b.daemon()
    check("join TOKEN" in doctor(b)["join_first"], doctor(b))
    b.join(token(a))
    check("join_first" not in doctor(b), doctor(b))
    coordinator.program.kill()
    wait("b to miss it", lambda: "see_coordinator" in doctor(b))
    coordinator.start()
    wait("b to have it", lambda: "see_coordinator" not in doctor(b), 60)
    before = b.run("cat", "/etc/p2pvpn/p2pvpnd.conf").out
    b.run("sh", "-c", "echo nonsense >>/etc/p2pvpn/p2pvpnd.conf")
    mend = doctor(b)["mend_and_reload"]
    b.run("sh", "-c", "cat >/etc/p2pvpn/p2pvpnd.conf", stdin=before)
    run(b, commands(mend)[0])
    check("mend_and_reload" not in doctor(b), doctor(b))
    b.ctl("down")
    run(b, commands(doctor(b)["up"])[0])
    wait("b to be up", lambda: "up" not in doctor(b))


SIDE = """[metrics]
listen = 127.0.0.1:9586
[chat]
notify = /etc/p2pvpn/told
[relay]
turn = turns:turn.example
user = node
password-file = /etc/p2pvpn/side.password
ca-file = /etc/p2pvpn/side.pem
[peer side]
public-key = {key}
endpoint = {at}:51820
allowed-ips = 10.99.0.2/32
preshared-key-file = /etc/p2pvpn/side.psk
"""
LISTEN = "import socket; s = socket.create_server(('127.0.0.1', 9586)); s.accept(); s.accept()"
OFF = {"[metrics]": "mend_and_reload", "[chat] notify": "mend_and_reload", "[relay] turn": "mend_and_restart",
       "[relay] turn by TLS": "mend_and_restart", "[peer side]": "mend_and_restart"}


def side_peer(host, other, psk=None):
    """A plain WireGuard node, which knows the other node by a preshared key or without one."""
    key = other.json("status")["self"]["wg_key"]
    line = "" if psk is None else "preshared-key-file = /etc/p2pvpn/side.psk\n"
    host.run("sh", "-c", "mkdir -p /etc/p2pvpn; cat >/etc/p2pvpn/side.psk", stdin=psk or "")
    host.run("sh", "-c", "cat >/etc/p2pvpn/p2pvpnd.conf", stdin="[interface]\nport = 51820\naddress = 10.99.0.2/24\n"
             "private-key-file = /etc/p2pvpn/side.key\n"
             f"[peer a]\npublic-key = {key}\nallowed-ips = {other.addr(other)}/32\n{line}")
    host.restart_daemon()


@scenario
def side_features_keep_nobody_out(lab):  # remedy: mend_and_reload, mend_and_restart
    """Files and an address of side features are missing at the start: the node is in its network without them."""
    a, b, side = lab.host("a"), lab.host("b"), lab.host("side")
    lab.network(lab.coordinator(), [a, b])
    public = side.run("sh", "-c", "mkdir -p /etc/p2pvpn; wg genkey | tee /etc/p2pvpn/side.key | wg pubkey").out.strip()
    side.daemon()
    side_peer(side, a)
    a.stop_daemon()
    listener = a.start("python3", "-c", LISTEN)
    wait("another program to listen", lambda: a.listens(9586))
    a.configure(SIDE.format(key=public, at=side.ip4))
    a.daemon()
    a.wait_peer(b)
    check(a.os_ping(a.addr(b)), "a does not reach b")
    for what, remedy in OFF.items():
        problem(a, f"{what} is off: ")
        equal(remedy_of(a, f"{what} is off: "), remedy, what)
    said = a.ctl("doctor", "-l", check_rc=False).out
    check("[peer side] is off" in said and "would not start again" not in said, f"doctor: {said}")
    equal(a.run(lab.bin("p2pvpnd"), "--check", check_rc=False).code, 3, "--check")
    said = json.loads(a.ctl("why", "side", "--json", check_rc=False).out)
    check(said["cause_code"] == "static_locked" and "/etc/p2pvpn/side.psk" in said["cause"], f"why: {said}")
    equal(said["remedy"], "mend_and_restart", "why")
    check(not a.os_ping("10.99.0.2", timeout=4), "a peer was reached without its preshared key")
    check(not side.os_ping(a.addr(a), timeout=4), "a peer reached us without its preshared key")

    listener.kill()
    cure(a, "[metrics] is off", "mend_and_reload", lambda said: run(a, commands(said)[0]))
    check(a.listens(9586), "metrics are not served")

    def program(said):
        a.run("sh", "-c", "cp /bin/true /etc/p2pvpn/told")
        run(a, commands(said)[0])
    cure(a, "[chat] notify is off", "mend_and_reload", program)

    psk = base64.b64encode(os.urandom(32)).decode()
    side_peer(side, a, psk)
    a.run("sh", "-c", "cd /etc/p2pvpn; echo secret >side.password; cat >side.psk", stdin=psk)
    a.run("sh", "-c", "cd /etc/p2pvpn; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
          "-subj /CN=side -keyout side.key -out side.pem; chmod 644 side.p*")
    a.restart_daemon()
    for what in OFF:
        gone(a, f"{what} is off")
    a.wait_peer(b)
    wait("a to reach its static peer", lambda: a.os_ping("10.99.0.2", timeout=1))
    a.run("rm", "/etc/p2pvpn/side.psk")
    r = a.ctl("reload", check_rc=False)  # what works stays
    check(r.code != 0 and "side.psk" in r.err, f"reload: {r}")
    check(a.os_ping("10.99.0.2"), "a lost its static peer")


@scenario
def an_address_that_hides_members(lab):  # remedy: other_range
    a, b = lab.host("a"), lab.host("b")
    lab.network(lab.coordinator(), [a, b])
    a.wait_direct(b)
    # An address of another interface whose network has b in it.
    near = ".".join(str(a.addr(b)).split(".")[:3]) + ".254/24"
    a.ip("link add lan0 type veth peer name lan1", "link set lan0 up", "link set lan1 up", f"addr add {near} dev lan0")
    why = wait("the cause", lambda: cause(a, "b", "own_overlap"))
    check(why["remedy"] == "other_range", why)
    a.ip(f"addr del {near} dev lan0")
    wait("the cause to go", lambda: not cause(a, "b", "own_overlap"))


def cause_is(host, peer, code, remedy):
    """The remedy of `why`, once this is the cause."""
    said = wait(f"{host.name} to find {code} about {peer}", lambda: cause(host, peer, code))
    check(said["remedy"] == remedy, f"{code}: {said}")
    return said["todo"]


def cause_goes(host, peer, code, timeout=60):
    wait(f"{host.name} to find {code} about {peer} no longer", lambda: not cause(host, peer, code), timeout)


def is_well(host, peer, code):
    said = json.loads(host.ctl("why", peer, "--json", check_rc=False).out)
    check(said["cause_code"] == code and not said["todo"] and "nothing is wrong" in said["cause"], said)
    return True


@scenario
def a_phone_and_its_gateway(lab):
    """remedy: phone_file, switch_phone_on, start_the_gateway, ask_the_gateway, export_again, be_a_gateway_of_phones"""
    nas, alice = lab.host("nas"), lab.host("alice")
    nas.configure("[phones]\ngateway = on\n")
    lab.network(lab.coordinator(), [nas, alice])
    nas.ctl("admin", "grant", "alice")
    alice.wait_peer(nas)
    wait("alice to be an admin", lambda: alice.json("status")["self"]["admin"])
    phone = Phone(lab, "phone", lab.lan("mobile", "profile=port-restricted"))
    file = alice.ctl("export", "phone", "--by", "nas").out
    # The user of nas takes the agreement back.
    before = nas.run("cat", "/etc/p2pvpn/p2pvpnd.conf").out
    reload_with(nas, before.replace("gateway = on", "gateway = off"))
    cure(nas, "another admin wants this node to be a gateway", "be_a_gateway_of_phones", lambda _: reload_with(nas, before))
    # The app is not switched on.
    cause_is(nas, "phone", "phone_silent", "phone_file")
    todo = cause_is(alice, "phone", "phone_elsewhere", "switch_phone_on")
    check(todo.endswith("`p2pvpnctl peers` on nas"), todo)
    phone.use(file)
    wait("the phone to reach nas", lambda: phone.pings(nas.addr()))
    cause_goes(nas, "phone", "phone_silent")
    check("phone" in nas.ctl("peers").out, "peers on nas")
    wait("alice to find the phone online", lambda: alice.peer("phone")["online"])
    # Nobody has asked for a path to the gateway.
    if cause(alice, "nas", "peer_unwanted"):
        todo = cause_is(alice, "phone", "phone_elsewhere", "ask_the_gateway")
        why = cause_is(alice, *commands(todo)[0][1:], "peer_unwanted", "ping")
        run(alice, commands(why)[0], check_rc=False)
    wait("nothing to be wrong", lambda: is_well(alice, "phone", "phone_elsewhere"))
    nas.stop_daemon()
    todo = cause_is(alice, "phone", "phone_elsewhere", "start_the_gateway")
    check(todo == "start nas, or see `p2pvpnctl why nas`", todo)
    nas.daemon()
    wait("nothing to be wrong", lambda: phone.pings(nas.addr()) and is_well(alice, "phone", "phone_elsewhere"), 120)
    # The gateway is gone for good.
    nas.ctl("leave")
    todo = cause_is(alice, "phone", "phone_lost", "export_again")
    words = commands(todo)
    check([w[0] for w in words] == ["remove", "export"], todo)
    run(alice, words[0])
    again = run(alice, words[1]).out
    check("[Interface]" in again, again)
    cause_goes(alice, "phone", "phone_lost")


@scenario
def a_coordinator_that_was_set_back_is_told(lab):
    """To before b joined; b is alone with it, and tells it by its own word."""
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    lab.network(coordinator, [a])
    coordinator.end()
    coordinator.host.run("cp", "-a", "/var/lib/p2pvpn-coordinator", "/run/before")
    coordinator.start()
    b.daemon()
    wait("a to be back", lambda: a.json("status")["coordinator"]["connected"])
    b.join(token(a))
    b.wait_peer(a)
    a.stop_daemon()
    coordinator.end()
    coordinator.host.run("sh", "-ec", "rm -r /var/lib/p2pvpn-coordinator; cp -a /run/before /var/lib/p2pvpn-coordinator")
    coordinator.start()
    wait("b to be let in", lambda: b.json("status")["coordinator"]["connected"])
    gone(b, "the coordinator does not know this machine")
    a.daemon()
    b.wait_peer(a)


@scenario
def ports_that_other_programs_have(lab):  # remedy: end_listener
    a, b = lab.host("a"), lab.host("b")
    lab.network(lab.coordinator(), [a, b])
    a.stop_daemon()
    other = a.start(sys.executable, "-c", LISTENER, name="other")
    wait("the other program", lambda: "ready" in other.text())
    a.daemon()
    said = problem(a, "another program listens at port 2047")
    check(remedy_of(a, "at port 2047") == "end_listener" and "ss -ltnp" in said, said)
    check("python" in a.run("ss", "-ltnp").out, "ss does not name the program")
    other.end()
    gone(a, "another program listens")
    a.wait_peer(b)
    b.ctl("send", "a", "in again")
    wait("the message", lambda: "in again" in a.ctl("history", "b").out)


LISTENER = """
import signal, socket
s = socket.create_server(("::", 2047), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
signal.pause()
"""


@scenario
def an_interface_that_the_system_refuses(lab):  # remedy: mend_interface, other_name
    a, b = lab.host("a"), lab.host("b")
    lab.network(lab.coordinator(), [a, b])
    a.wait_peer(b)
    ip = a.run("readlink", "-f", "/usr/sbin/ip").out.strip()
    a.stop_daemon()
    a.run("sh", "-ec", "printf '#!/bin/sh\\necho RTNETLINK answers: Operation not permitted >&2\\nexit 2\\n' >/run/no; "
          f"chmod 755 /run/no; mount --bind /run/no {ip}")
    a.daemon()
    cause_is(a, "b", "own_interface", "mend_interface")
    a.run("umount", ip)
    cause_goes(a, "b", "own_interface")
    a.stop_daemon()
    a.ip("link add p2pvpn0 type bridge")
    a.daemon()
    todo = cause_is(a, "b", "own_interface", "other_name")
    check(todo.startswith("stop the program that has it"), todo)
    a.ip("link del p2pvpn0")
    cause_goes(a, "b", "own_interface")


@scenario
def nobody_is_an_admin_any_more(lab):  # remedy: import_root, ask_to_serve_again
    a, b, c = lab.host("a"), lab.host("b"), lab.host("c")
    coordinator = lab.coordinator()
    lab.network(coordinator, [a, b, c])
    a.run("sh", "-c", "umask 077; echo correct horse battery staple >/run/words")
    key = a.ctl("root", "export", "--passphrase-file", "/run/words").out
    # The coordinator has lost the network, and b may not give it back.
    out = coordinator.host.run(lab.bin("p2pvpn-coordinator"), "networks", "--json").out
    coordinator.host.run(lab.bin("p2pvpn-coordinator"), "drop", json.loads(out)["networks"][0]["id"])
    todo = problem(b, "the coordinator does not serve this network")
    check("the machine with the root key gives it back" in todo, todo)
    cure(b, "the coordinator does not serve this network", "ask_to_serve_again",
         lambda said: run(a, commands(said)[0], URL=coordinator.url()))
    a.ctl("leave", "--last")

    def bring(said):
        b.run("sh", "-c", "umask 077; echo correct horse battery staple >/run/words; cat >/run/root.key", stdin=key)
        words = commands(said)[0]
        check(words == ["root", "import"], said)
        b.ctl(*words, "/run/root.key", "--passphrase-file", "/run/words")
    cure(b, "the network has no admin any more", "import_root", bring)
    gone(c, "the network has no admin any more")
    check(token(b), "b invites")


@scenario
def a_line_about_a_machine_that_is_another_now(lab):  # remedy: mean_another
    a, b, c = lab.host("a"), lab.host("b"), lab.host("c")
    lab.network(lab.coordinator(), [a, b])
    before = a.run("cat", "/etc/p2pvpn/p2pvpnd.conf").out
    reload_with(a, before + "[lan]\nbroadcast = peers\npeer = b\n")
    a.wait_peer(b)
    b.ctl("leave")
    wait("b to be gone", lambda: "b" not in a.peers())
    c.daemon()
    c.ctl("join", token(a), "--name", "b")

    def again(_):
        reload_with(a, before)
        reload_with(a, before + "[lan]\nbroadcast = peers\npeer = b\n")
    cure(a, "another machine than before is called b", "mean_another", again)
