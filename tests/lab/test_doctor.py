# SPDX-License-Identifier: MIT
"""The remedies of `doctor`: each scenario makes a fault of this machine, does what the line says, and sees the line gone.

`# remedy: NAME` names the line of the table that the scenario carries out.
"""
import contextlib
import json
import os
import signal

from lab import ROOT, check, scenario, wait
from nsslab import use_library
from remedylab import commands, doctor, problem, run, token

CONF = "/etc/p2pvpn/p2pvpnd.conf"
STATE = "/var/lib/p2pvpn"


def lines(host, *words, as_user=()):
    """The lines that are not well, by the names of their checks: text, what to do, and the remedy's identifier."""
    out = host.run(*as_user, host.lab.bin("p2pvpnctl"), *words, "doctor", "--json", check_rc=False).out
    return {c["name"]: c for c in json.loads(out)["checks"] if not c["well"]}


def names(host, remedy, *words, as_user=()):
    """The line with this remedy, once it is there."""
    return wait(f"{host.name} to name {remedy}",
                lambda: next((c for c in lines(host, *words, as_user=as_user).values() if c["remedy"] == remedy), None))


def goes(host, remedy, *words, as_user=()):
    wait(f"{host.name} to name {remedy} no longer", lambda: remedy not in
         [c["remedy"] for c in lines(host, *words, as_user=as_user).values()])


@contextlib.contextmanager
def hidden(host, *paths):
    """Files that this machine does not have, or cannot run."""
    host.run("sh", "-c", "echo >/run/nothing; chmod 644 /run/nothing")
    for path in paths:
        host.run("mount", "--bind", "/run/nothing", path)
    yield
    for path in paths:
        host.run("umount", path)


def places(host, program):
    """The files by which this machine has a program."""
    return {os.path.realpath(p) for p in (f"{d}/{program}" for d in ("/usr/sbin", "/sbin", "/usr/bin", "/bin"))
            if os.path.exists(p)}


@scenario
def programs_and_devices_that_are_missing(lab):  # remedy: install_ip, install_nft, install_ip_and_nft, load_tun, load_tun_there
    a = lab.host("a")
    lab.network(lab.coordinator(), [a])
    for remedy, programs in (("install_ip", ["ip"]), ("install_nft", ["nft"]), ("install_ip_and_nft", ["ip", "nft"])):
        with hidden(a, *(p for program in programs for p in places(a, program))):
            names(a, remedy)
        goes(a, remedy)
    # A p2pvpnd that was started without them has an interface as soon as they are there.
    a.stop_daemon()
    with hidden(a, *places(a, "ip")):
        a.daemon()
        said = problem(a, "the interface is not up")
        check("install iproute2" in said, said)
    wait("the interface", lambda: a.json("status")["interface"] and not a.json("status")["problems"])
    a.stop_daemon()
    a.run("mount", "-t", "tmpfs", "tmpfs", "/dev/net")
    check("pass /dev/net/tun into this container" in names(a, "load_tun")["todo"], doctor(a))
    a.daemon()
    names(a, "see_below")
    check("tun" in problem(a, "the interface is not up"), a.json("status"))
    a.run("umount", "/dev/net")
    wait("the interface", lambda: a.json("status")["interface"] and not a.json("status")["problems"])
    goes(a, "load_tun")
    goes(a, "see_below")


@scenario
def disks_that_take_nothing(lab):  # remedy: mount_for_writing, delete_small_files, free_space
    a, b = lab.host("a"), lab.host("b")
    a.run("mount", "-t", "tmpfs", "-o", "size=80m,nr_inodes=200,mode=0755", "tmpfs", os.path.dirname(STATE))
    a.run("mkdir", "-m", "700", STATE)
    lab.network(lab.coordinator(), [a, b])
    a.run("mount", "--bind", STATE, STATE)
    a.run("mount", "-o", "remount,ro,bind", STATE)
    names(a, "mount_for_writing")
    a.run("mount", "-o", "remount,rw,bind", STATE)
    goes(a, "mount_for_writing")
    a.run("sh", "-c", f"mkdir {STATE}/small; i=0; while : 2>/dev/null >{STATE}/small/$i; do i=$((i + 1)); done",
          check_rc=False)
    names(a, "delete_small_files")
    a.run("rm", "-r", f"{STATE}/small")
    goes(a, "delete_small_files")
    a.run("sh", "-c", f"head -c 79m /dev/zero >{STATE}/filler")
    check("no messages" in names(a, "free_space")["todo"], doctor(a))
    a.wait_peer(b)
    b.ctl("send", "a", "while it is full")
    wait("b to be told", lambda: "takes no more from you" in b.ctl("history", "a").out)
    a.run("rm", f"{STATE}/filler")
    goes(a, "free_space")
    wait("the message", lambda: "while it is full" in a.ctl("history", "b").out, 90)


@scenario
def people_and_their_group(lab):  # remedy: doctor_as_root, make_group, restart_p2pvpnd, join_group
    a = lab.host("a")
    alice = ["setpriv", "--reuid=1971", "--regid=1971", "--clear-groups", "--bounding-set=-all", "--"]
    a.run("sh", "-ec", "cp -a /etc /run/etc; sed -i /^p2pvpn:/d /run/etc/group /run/etc/gshadow; mount --bind /run/etc /etc")
    lab.network(lab.coordinator(), [a])
    names(a, "doctor_as_root", as_user=alice)
    check("group" in lines(a, as_user=alice), "a machine without the group is not well for alice")
    make = names(a, "make_group")["todo"]
    check("sudo groupadd --system p2pvpn, then sudo usermod -aG p2pvpn USER" in make and "restart p2pvpnd" in make, make)
    a.run("groupadd", "--system", "p2pvpn")
    goes(a, "make_group")
    names(a, "restart_p2pvpnd")
    a.restart_daemon()
    goes(a, "restart_p2pvpnd")
    join = names(a, "join_group", as_user=alice)["todo"]
    check(join == 'sudo usermod -aG p2pvpn "$USER", then log in again', join)
    a.run("usermod", "-aG", "p2pvpn", "alice")
    groups = a.run("id", "-G", "alice").out.strip().replace(" ", ",")
    alice[3] = f"--groups={groups}"
    goes(a, "join_group", as_user=alice)
    goes(a, "doctor_as_root", as_user=alice)


@scenario
def members_names_for_every_program(lab):  # remedy: install_names
    a, b = lab.host("a"), lab.host("b")
    a.run("sh", "-ec", "cp -a /etc /run/etc; echo 'hosts: files dns' >/run/etc/nsswitch.conf; mount --bind /run/etc /etc")
    use_library(lab, a)
    lab.network(lab.coordinator(), [a, b])
    a.wait_peer(b)
    check(names(a, "install_names")["todo"] == "`sudo p2pvpn-nss`", doctor(a))
    check(a.run("getent", "hosts", "b", check_rc=False).code != 0, "b has a name before")
    a.run(f"{ROOT}/nss/p2pvpn-nss")
    goes(a, "install_names")
    wait("b to have a name", lambda: a.run("getent", "hosts", "b", check_rc=False).code == 0)


@scenario
def a_daemon_that_is_not_as_it_should_be(lab):  # remedy: restart, give_rights, mend_and_up, see_below
    coordinator, a = lab.coordinator(), lab.host("a")
    lab.network(coordinator, [a])
    # It hangs. A restart by the unit ends one that does not hear the first signal.
    os.kill(a.p2pvpnd.pid, signal.SIGSTOP)
    check(names(a, "restart")["todo"] == "`sudo systemctl restart p2pvpnd`", "what to do about one that hangs")
    a.restart_daemon(signal.SIGKILL)
    goes(a, "restart")
    # One of before an update
    a.stop_daemon()
    old = "/run/p2pvpnd-old"
    version = a.ctl("version", check_rc=False).out.split()[1]
    a.run("sh", "-ec", f"sed 's/{version}/{'9' * len(version)}/g' {lab.bin('p2pvpnd')} >{old}; chmod 755 {old}")
    a.p2pvpnd = a.start(old)
    a.wait_daemon()
    names(a, "restart")
    a.restart_daemon()
    goes(a, "restart")
    # In a box that forbids what p2pvpnd gives up its rights by
    a.stop_daemon()
    a.p2pvpnd = a.start("python3", "-c", BOX, lab.bin("p2pvpnd"), name="p2pvpnd")
    a.wait_daemon()
    check("guide/rights.md" in names(a, "give_rights")["todo"], doctor(a))
    a.restart_daemon()
    goes(a, "give_rights")
    # Somebody sets the interface down.
    a.ip("link set p2pvpn0 down")
    names(a, "see_below")
    a.ip(*[c[3:] for c in problem(a, "p2pvpn0").split("`") if c.startswith("ip ")])
    goes(a, "see_below")
    a.stop_daemon()
    before = a.run("cat", CONF).out
    a.run("sh", "-c", f"echo nonsense >>{CONF}")
    mend = names(a, "mend_and_up")
    check("p2pvpnd does not run: " in mend["text"], mend)
    a.run("sh", "-c", f"cat >{CONF}", stdin=before)
    run(a, commands(mend["todo"])[0])
    goes(a, "mend_and_up")
    wait("it to be up", lambda: a.json("status")["state"] == "up")


# A list around a program, as boxes of others have one: seccomp(2) and prctl(PR_SET_SECCOMP) are forbidden in it.
BOX = """
import ctypes, os, struct, sys
seccomp = {"x86_64": 317, "aarch64": 277}[os.uname().machine]
prctl = {"x86_64": 157, "aarch64": 167}[os.uname().machine]
def code(op, jt, jf, k):
    return struct.pack("=HBBI", op, jt, jf, k)
load, equal, ret = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
text = b"".join([code(load, 0, 0, 0), code(equal, 3, 0, seccomp), code(equal, 0, 3, prctl), code(load, 0, 0, 16),
                 code(equal, 0, 1, 22), code(ret, 0, 0, 0x00050001), code(ret, 0, 0, 0x7fff0000)])
buf = ctypes.create_string_buffer(text)
libc = ctypes.CDLL(None, use_errno=True)
class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
program = Program(len(text) // 8, ctypes.addressof(buf))
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
"""


@scenario
def a_firewall_of_this_hosts_own(lab):  # remedy: open_firewall
    a, b = lab.host("a"), lab.host("b")
    lab.network(lab.coordinator(), [a, b])
    b.wait_direct(a)
    a.nft('table ip wall {\nchain in {\ntype filter hook input priority 0; policy accept;\n'
          'iifname "p2pvpn0" ct state new drop\n}\n}')
    check(not b.os_ping(b.addr(a), timeout=1), "the wall lets members in")
    todo = names(a, "open_firewall")["todo"]
    a.run("sh", "-c", [c for c in todo.split("`") if c.startswith(("nft ", "sudo nft "))][-1].removeprefix("sudo "))
    goes(a, "open_firewall")
    wait("members to get in", lambda: b.os_ping(b.addr(a), timeout=1))


@scenario
def a_network_of_another_name(lab):  # remedy: doctor_there
    a, b = lab.host("a"), lab.host("b")
    b.daemon()
    word = b.ctl("create", lab.coordinator().url(), "--name", "b").out.strip()
    a.ctl("-n", "work", "join", word, "--name", "a")
    there = commands(names(a, "doctor_there")["todo"])[0]
    check(there == ["-n", "work", "doctor"], there)
    said = run(a, [*there, "-l"], check_rc=False).out
    check("p2pvpnd runs" in said, said)
    check("daemon" not in lines(a, "-n", "work"), "the line of p2pvpnd")


@scenario
def a_users_own_daemon(lab):  # remedy: start_own, end_and_start
    coordinator, a = lab.coordinator(), lab.host("a")
    a.without_root()
    lab.network(coordinator, [a])
    os.kill(a.p2pvpnd.pid, signal.SIGSTOP)
    names_own(a, "end_and_start")
    a.restart_daemon(signal.SIGKILL)
    wait("it to be well", lambda: "end_and_start" not in own(a))
    a.stop_daemon()
    words = names_own(a, "start_own").split()
    check(words[1:] == ["--user"], words)
    a.p2pvpnd = a.start(*words, name="p2pvpnd")
    a.wait_daemon()
    wait("it to be well", lambda: "start_own" not in own(a))


def own(host):
    """The remedies that a user's p2pvpnctl names, by identifiers."""
    out = host.ctl("doctor", "--json", check_rc=False).out
    return {c["remedy"]: c["todo"] for c in json.loads(out)["checks"] if not c["well"]}


def names_own(host, remedy):
    return wait(f"{host.name} to name {remedy}", lambda: own(host).get(remedy))


@scenario
def a_name_that_the_hosts_file_gives_away(lab):  # remedy: leave_hosts
    a, b = lab.host("a"), lab.host("b")
    lab.network(lab.coordinator(), [a, b])
    a.wait_peer(b)
    goes(a, "leave_hosts")
    a.run("sh", "-ec", "echo 192.0.2.9 printer b >/run/hosts; mount --bind /run/hosts /etc/hosts")
    said = names(a, "leave_hosts")
    check("the name b to another machine" in said["text"] and said["todo"].endswith(".p2p"), said)
    a.run("sh", "-c", f"echo {a.addr(b)} b >/run/hosts")
    goes(a, "leave_hosts")
    a.run("sh", "-c", "echo 192.0.2.9 B >/run/hosts")
    names(a, "leave_hosts")
    a.run("sh", "-c", "echo 192.0.2.9 printer >/run/hosts")
    goes(a, "leave_hosts")
