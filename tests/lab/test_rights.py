# SPDX-License-Identifier: MIT
"""The rights left to processes of p2pvpnd and the coordinator: /proc/PID/status of each, whose its files are."""

import os
import re

from lab import USERS, check, equal, scenario, wait

UID = dict(USERS)["p2pvpn"]
# bits of capability numbers: SETGID, SETUID, NET_BIND_SERVICE, NET_ADMIN, NET_RAW; KILL, DAC_READ_SEARCH
USER_CAPS = 1 << 6 | 1 << 7
HELPER = USER_CAPS | 1 << 10 | 1 << 12 | 1 << 13
NOTIFY = USER_CAPS | 1 << 5 | 1 << 2
STATE = "/var/lib/p2pvpn"


def status_of(host, pid):
    """/proc/PID/status as a dictionary."""
    text = host.run("cat", f"/proc/{pid}/status").out
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def children(host, pid):
    """The processes below pid, by name."""
    found = {}
    for line in host.run("ps", "-e", "-o", "pid=,ppid=,comm=").out.splitlines():
        child, parent, name = line.split(None, 2)
        found.setdefault(int(parent), []).append((int(child), name))
    result, todo = {}, [pid]
    while todo:
        for child, name in found.get(todo.pop(), []):
            result[name] = child
            todo.append(child)
    return result


def look(host, pid, uid, caps, seccomp, what, bound=None):
    s = status_of(host, pid)
    equal(int(s["Uid"].split()[1]), uid, f"effective user of {what}")
    for field in ("CapEff", "CapPrm"):
        equal(int(s[field], 16), caps, f"{field} of {what}")
    # Without new privileges nothing comes out of it; it is as small as it can be all the same.
    equal(int(s["CapBnd"], 16), caps if bound is None else bound, f"CapBnd of {what}")
    equal(int(s["CapInh"], 16), 0, f"CapInh of {what}")
    equal(int(s["CapAmb"], 16), 0, f"CapAmb of {what}")
    equal(int(s["NoNewPrivs"]), 1, f"NoNewPrivs of {what}")
    equal(int(s["Seccomp"]), seccomp, f"Seccomp of {what}")
    return s


def owner(host, path):
    return host.run("stat", "-c", "%u %a", path).out.strip()


def captive(lab):
    """The environment of a p2pvpnd with an intruder in it."""
    return {"LD_PRELOAD": lab.bin("libcaptive.so"), "CAPTIVE_DIR": STATE,
            "ASAN_OPTIONS": os.environ["ASAN_OPTIONS"] + ":verify_asan_link_order=0"}


def attack(host):
    """Has the intruder try everything: what it could, and all that it says."""
    # The intruder looks for it all the time, so it comes at once, whole.
    host.run("sh", "-c", f"cd {STATE} && install -o {UID} -m 600 /dev/null attack.new && mv attack.new attack")

    def done():
        host.ctl("version")  # the loop turns
        text = host.run("cat", f"{STATE}/attack.said", check_rc=False).out
        return text if "end\n" in text else None
    said = wait("the attack", done)
    return [line[7:] for line in said.splitlines() if line.startswith("could: ")], said


@scenario
def every_process_has_what_it_needs_and_no_more(lab):
    """With and without a user made for it."""
    coordinator = lab.coordinator()
    a = lab.host("a")
    a.configure("[chat]\nnotify = /bin/true\n[dns]\nlisten = on\n")
    lab.network(coordinator, [a])
    told = a.json("status")["sandbox"]
    for word in (f"user p2pvpn ({UID}), no capabilities, no new privileges, seccomp, Landlock",
                 "helper: user root (0), CAP_NET_ADMIN"):
        check(word in told, f"status says: {told}")
    check(told.split(";")[0] in a.ctl("status", "-l").out, "the line of `p2pvpnctl status`")
    pid = a.p2pvpnd.pid
    look(a, pid, UID, 0, 2, "p2pvpnd")
    for task in a.run("ls", f"/proc/{pid}/task").out.split():
        s = status_of(a, f"{pid}/task/{task}")
        equal((int(s["CapEff"], 16), s["Seccomp"].strip(), s["NoNewPrivs"].strip()), (0, "2", "1"),
              f"thread {s['Name'].strip()}")
    below = children(a, pid)
    look(a, below["p2pvpnd-helper"], 0, HELPER, 2, "the helper")
    look(a, below["p2pvpnd-usher"], 0, USER_CAPS, 2, "the usher")
    look(a, below["p2pvpnd-notify"], 0, NOTIFY, 0, "the notifier")
    look(a, below["p2pvpnd-keeper"], UID, 0, 2, "the keeper")
    equal(owner(a, f"{STATE}/root.key"), f"{UID} 0", "the root key's file")
    watch = a.start(*a.as_user(), lab.bin("p2pvpnctl"), "status", "--watch", name="watch")
    porter = wait("a porter", lambda: children(a, pid).get("p2pvpnd-porter"))
    wait("the porter to be alice's", lambda: status_of(a, porter)["Uid"].split()[1] ==
         str(dict(USERS)["alice"]))
    look(a, porter, dict(USERS)["alice"], 0, 2, "a porter", USER_CAPS)
    watch.kill()
    # Port 53 is the helper's to open.
    wait("a name server to listen", lambda: a.run("ss", "-Hlun", "sport = :53").out.strip())


@scenario
def the_coordinator_keeps_nothing_of_root(lab):
    coordinator = lab.coordinator()
    pid = coordinator.program.pid
    # CAP_NET_ADMIN gave its sockets large buffers. The rest of the bounding set is for programs that run later,
    # and none may.
    bound = 1 << 12
    def threads():
        return coordinator.host.run("ls", f"/proc/{pid}/task").out.split()
    # A thread that was ending when the list of calls came has none.
    wait("the threads that stay", lambda: all(
        int(status_of(coordinator.host, f"{pid}/task/{x}")["Seccomp"]) == 2 for x in threads()))
    for task in threads():
        look(coordinator.host, f"{pid}/task/{task}", dict(USERS)["p2pvpn-coordinator"], 0, 2,
             "a thread of the coordinator", bound)


@scenario
def the_state_of_root_is_handed_over(lab):
    """Files that root restored become the user's; a link in their place leads nowhere."""
    coordinator = lab.coordinator()
    a = lab.host("a")
    lab.network(coordinator, [a])
    equal(owner(a, STATE), f"{UID} 700", "the state directory")
    for name in ("identity.key", "transport.key", "p2pvpnd.db", "lock", "port"):
        equal(owner(a, f"{STATE}/{name}"), f"{UID} 600", name)
    names = "/run/p2pvpn/p2pvpnd.names"  # the helper writes it a moment after the network was made
    wait("the names file", lambda: a.run("test", "-e", names, check_rc=False).code == 0)
    equal(owner(a, names), "0 644", "the names file")
    before = a.json("status")["self"]["key"]
    a.stop_daemon()
    check(a.run("test", "-e", "/run/p2pvpn/p2pvpnd.sock", check_rc=False).code != 0,
          "the socket is still there")
    a.run("sh", "-c", f"chown -R root:root {STATE}; echo mine >/run/mine; chmod 600 /run/mine; "
          f"ln -s /run/mine {STATE}/link; ln /run/mine {STATE}/second 2>/dev/null || true; "
          f"mkdir {STATE}/files; ln -s /run {STATE}/files/dir; echo x >{STATE}/files/1-ab")
    a.daemon()
    equal(a.json("status")["self"]["key"], before, "the key after the change of owner")
    equal(owner(a, "/run/mine"), "0 600", "what links led to")
    equal(owner(a, f"{STATE}/files/1-ab").split()[0], str(UID), "a received file")
    equal(owner(a, f"{STATE}/files").split()[0], str(UID), "the directory of received files")
    # The same process, another identity.
    a.ctl("leave", "--forget")
    a.wait_daemon()
    wait("a new key", lambda: a.json("status").get("self") is None or
         a.json("status")["self"]["key"] != before)
    a.create(coordinator.url())
    look(a, a.p2pvpnd.pid, UID, 0, 2, "p2pvpnd after a restart within the process")


@scenario
def without_a_user_of_its_own_it_takes_one_that_nobody_has(lab):
    """Started by hand where no package was installed; then the package comes."""
    coordinator = lab.coordinator()
    a = lab.host("a")
    a.run("sh", "-c", "grep -v ^p2pvpn: /etc/passwd >/run/passwd; grep -v ^p2pvpn: /etc/group >/run/group; "
          "mount --bind /run/passwd /etc/passwd; mount --bind /run/group /etc/group")
    lab.network(coordinator, [a])
    uid = int(status_of(a, a.p2pvpnd.pid)["Uid"].split()[1])
    check(65520 <= uid <= 65533, f"user {uid}")
    look(a, a.p2pvpnd.pid, uid, 0, 2, "p2pvpnd")
    check(f"user {uid}, no capabilities" in a.json("status")["sandbox"], "what status says")
    key = a.json("status")["self"]["key"]
    a.stop_daemon()
    a.run("umount", "/etc/passwd", "/etc/group")
    a.daemon()
    look(a, a.p2pvpnd.pid, UID, 0, 2, "p2pvpnd with its user")
    equal(a.json("status")["self"]["key"], key, "the key")


@scenario
def without_the_right_to_become_somebody_it_keeps_none(lab):
    """As in a container that has CAP_NET_ADMIN and little else."""
    coordinator = lab.coordinator()
    a = lab.host("a")
    a.p2pvpnd = a.start("setpriv", "--bounding-set=-all,+net_admin,+net_raw,+chown,+setpcap",
                        lab.bin("p2pvpnd"))
    a.wait_daemon()
    a.create(coordinator.url())
    look(a, a.p2pvpnd.pid, 0, 0, 2, "p2pvpnd")
    check("user root (0), no capabilities" in a.json("status")["sandbox"], "what status says")
    equal(owner(a, f"{STATE}/identity.key"), "0 600", "the key's owner")


# A list around a program, as containers and units have one: seccomp(2) and prctl(PR_SET_SECCOMP) are forbidden in it.
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
def in_a_box_that_forbids_lists_of_calls_it_goes_on_and_says_so(lab):
    """The helper's table of phases does not need one: nobody chooses root's program there either."""
    coordinator = lab.coordinator()
    a = lab.host("a")
    a.p2pvpnd = a.start("python3", "-c", BOX, lab.bin("p2pvpnd"), name="p2pvpnd", env=captive(lab))
    a.wait_daemon()
    a.create(coordinator.url())
    told = a.json("status")["sandbox"]
    equal(told.count(", no seccomp"), 2, f"lists that are not there, in: {told}")
    equal(status_of(a, a.p2pvpnd.pid)["Seccomp"].strip(), "2", "the list of the box")
    # Else the intruder may read the answer to what p2pvpnd asks the helper at that moment.
    wait("the names", lambda: a.run("test", "-s", "/run/p2pvpn/p2pvpnd.names", check_rc=False).code == 0)
    could, said = attack(a)
    for what in ("choose a program for root", "choose files", "choose another interface", "open another port",
                 "have an address of the Internet", "draw half of the Internet", "be the machine's name server"):
        check(f"could not: {what}\n" in said, said)
    check("start a task" in could, said)


@scenario
def p2pvpnctl_gives_up_root_for_what_it_reads(lab):
    """p2pvpnd's answers contain words of other members. Few commands need root's rights after they have connected."""
    coordinator = lab.coordinator()
    a = lab.host("a")
    lab.network(coordinator, [a])
    alice = dict(USERS)["alice"]
    for sudo, uid in (None, 65534), (alice, alice):
        env = [] if sudo is None else ["env", f"SUDO_UID={sudo}", f"SUDO_GID={sudo}"]
        events = a.start(*env, lab.bin("p2pvpnctl"), "events", name="events")
        wait("p2pvpnctl to be another user", lambda u=uid: status_of(a, events.pid)["Uid"].split() == [str(u)] * 4)
        equal(status_of(a, events.pid)["Groups"].split(), [a.run("stat", "-c", "%g", "/run/p2pvpn/p2pvpnd.sock").out.strip()], "its groups")

        def hears(e=events):
            for default in ("deny", "allow"):
                a.ctl("rules", "default", default)
            return "default deny" in e.text()
        wait("it to hear of a change", hears)


@scenario
def a_captured_control_process_gets_nothing_more(lab):
    """By programs/captive.c, in the sandboxed process of a node that is in a network."""
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    a.daemon(env=captive(lab))
    a.create(coordinator.url())
    b.daemon()
    b.join(a.ctl("invite").out.strip())
    a.wait_direct(b)
    bus = """
import os, socket
os.umask(0)
socks = [socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)]
for s, name in zip(socks, ("/run/captive.bus", "\\0captive.bus")):
    s.bind(name)
    s.listen()
print("listening", flush=True)
while True:
    socks[0].accept()
"""
    listener = a.start("python3", "-c", bus, name="bus")
    wait("the bus", lambda: "listening" in listener.text())
    # The control run: another process of that user reaches it.
    a.run("setpriv", "--reuid", str(UID), "--clear-groups", "/usr/bin/python3", "-c",
          "import socket; socket.socket(socket.AF_UNIX).connect('/run/captive.bus')")
    look_at = ("sh", "-c", "ip -o addr; ip route show table all; ip -6 route show table all; ip rule; ip -6 rule")

    def network():
        return sorted(re.sub(r"valid_lft .*|expires .*", "", line) for line in a.run(*look_at).out.splitlines())
    before = network()
    could, said = attack(a)
    not_ = [line for line in said.splitlines() if line.startswith("could not: ")]
    equal(could, ["start a task"], f"what it could do, of:\n{said}")
    equal(len(not_), 19, f"the attempts, of:\n{said}")
    equal(network(), before, "the network of the host")
    check(a.run("test", "-e", "/run/captive.file", check_rc=False).code != 0, "a file of its choice")
    a.ping(b)
