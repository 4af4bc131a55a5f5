# SPDX-License-Identifier: MIT
"""p2pvpnd --user: a network for one user, without root and without a way to it."""

import contextlib
import itertools
import os
import pty
import re
import select
import signal

from lab import LONG, ROOT, SLOW, Coordinator, Skip, check, equal, scenario, sh, wait
from talklab import INTRUDER
from turnlab import by, coturn, relayed, use_turn

HEAR = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('', 7778))
s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(sys.argv[1]) + socket.inet_aton(sys.argv[2]))
print('ready', flush=True)
while True:
    text, who = s.recvfrom(100)
    print(who[0], text.decode(), flush=True)
"""

SHOUT = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
s.sendto(sys.argv[1].encode(), (sys.argv[1], 7778))
"""

# A command under the part of docker's filter that keeps users from namespaces: clone(2) and unshare(2) with
# CLONE_NEWUSER are not permitted, and clone3(2), whose flags a filter cannot read, is not there.
AS_IN_DOCKER = ["/usr/bin/python3", "-c", """
import ctypes, os, struct, sys
clone, unshare = (56, 272) if os.uname().machine == 'x86_64' else (220, 97)
load, equal, bits, answer = 0x20, 0x15, 0x45, 0x06
rows = [(load, 0, 0, 0), (equal, 4, 0, 435), (equal, 1, 0, clone), (equal, 0, 4, unshare),
        (load, 0, 0, 16), (bits, 1, 2, 0x10000000), (answer, 0, 0, 0x50000 | 38), (answer, 0, 0, 0x50000 | 1),
        (answer, 0, 0, 0x7fff0000)]
filter = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *r) for r in rows))
prog = struct.pack('HxxxxxxP', len(rows), ctypes.addressof(filter))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.c_char_p(prog), 0, 0):
    sys.exit(os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[1], sys.argv[1:])
"""]

# A p2pvpnd that was taken over: it names a process in namespaces of its own as the one in the inside.
LIAR = """
import ctypes, json, os, socket, subprocess, sys
p = subprocess.Popen(['unshare', '-U', '-n', 'sh', '-c', 'printf p2pvpnd-giver >/proc/self/comm; echo; read x'],
                     stdin=subprocess.PIPE, stdout=subprocess.PIPE)
p.stdout.readline()
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
print('ready', flush=True)
while True:
    c, _ = s.accept()
    line = c.makefile().readline()
    if not line:  # only looked whether somebody listens
        continue
    ask = json.loads(line)
    c.sendall(json.dumps({'id': ask['id'], 'ok': True, 'code': 0, 'inside': p.pid}).encode() + b'\\n')
"""

# A machine whose names come from a service on it, and a file whose last line has no end.
NAMES_OF_A_MACHINE = r"""
mkdir -p /run/systemd/resolve
echo 'nameserver 192.0.2.53' >/run/systemd/resolve/resolv.conf
echo 'nameserver 127.0.0.53' >/run/stub
printf 'hosts: resolve\npasswd: files\ngroup: files' >/run/switch
mount --bind /run/stub /etc/resolv.conf
mount --bind /run/switch /etc/nsswitch.conf
"""


def a_terminal(host):
    """A shell on a terminal: Ctrl-C ends what it runs, and its exit code is run's."""
    pid, fd = pty.fork()
    if pid == 0:
        words = [*host.enter, *host.before, "PS1=$ ", host.lab.bin("p2pvpnctl"), "run", "sh", "-i"]
        os.execvp(words[0], words)
    text = ""

    def says(want):
        nonlocal text
        with contextlib.suppress(OSError):  # its end, when the shell has ended
            while select.select([fd], [], [], 0)[0]:
                text += os.read(fd, 4096).decode(errors="replace")
        return want in text
    # The program that says "one" has the terminal by then: an interrupt while the shell hands it over ends nothing.
    for typed, want in (("sh -c \"echo on''e; exec sleep 100\"\n", "one"), ("\x03echo tw''o\n", "two"),
                        ("tty; exit 9\n", "/dev/")):
        os.write(fd, typed.encode())
        wait(f"{want} on the terminal", lambda want=want: says(want))
    _, status = os.waitpid(pid, 0)
    equal(os.waitstatus_to_exitcode(status), 9, f"exit code of a shell on a terminal: {text}")
    os.close(fd)


def give_file(sender, receiver, size=3000000):
    """By send-file, and accepted: whole at the other side."""
    name = f"from-{sender.name}"
    sender.run("sh", "-c", f"head -c {size} /dev/urandom >{sender.home}/{name}")
    sending = sender.start(sender.lab.bin("p2pvpnctl"), "send-file", receiver.name, f"{sender.home}/{name}",
                           name="send-file")
    offer = wait("the offer", lambda: [f for f in receiver.json("files")["files"] if f["state"] == "offered"])[0]
    receiver.ctl("files", "accept", offer["id"], "--dir", receiver.home)
    equal(sending.ended(120 + size / 1000000), 0, f"send-file to {receiver.name}")
    equal(sender.run("cksum", f"{sender.home}/{name}").out.split()[0],
          receiver.run("cksum", f"{receiver.home}/{name}").out.split()[0], "checksum")


@scenario
def a_user_without_any_right_is_a_member(lab):
    """Behind NATs: paths, chat, rooms, files, and programs by p2pvpnctl run, both ways."""
    coordinator = lab.coordinator()
    a, b, c = [lab.host(name, lab.lan("lan-" + name, f"profile={kind}"))
               for name, kind in (("a", "port-restricted"), ("b", "address-restricted"), ("c", "symmetric"))]
    b.without_root()
    c.without_root(1971)
    b.before += ["prlimit", "--nofile=128:128"]  # few may do, and raising them again needs root
    lab.network(coordinator, [a, b, c])
    for one, other in ((b, a), (b, c), (a, c)):
        one.wait_direct(other)
        check(one.os_ping(other.addr()), f"ping {one.name} {other.name}")
        check(other.os_ping(one.addr()), f"ping {other.name} {one.name}")
    check(b.os_ping("a"), "a name of this network")
    check(b.os_ping(b.addr()) and b.os_ping("127.0.0.1"), "the own addresses")
    b.answer_udp(7777, b.addr())
    for one in (a, c):
        wait(f"the server on b to answer {one.name}", lambda one=one: one.udp_ask(b.addr(), 7777))
    check("seccomp" in b.json("status")["sandbox"], "sandbox")
    # A game looks for players, and joins them without naming an interface.
    heard = a.start(a.python, "-c", HEAR, "239.255.77.77", a.addr(), name="players")
    wait("players", lambda: "ready" in heard.text())
    wait("the broadcast", lambda: b.run(*b.inside, b.python, "-c", SHOUT, "255.255.255.255") and
         f"{b.addr()} 255.255.255.255" in heard.text())
    wait("the group's datagram", lambda: b.run(*b.inside, b.python, "-c", SHOUT, "239.255.77.77") and
         f"{b.addr()} 239.255.77.77" in heard.text())
    b.run(*b.inside, "sh", "-c", "echo typed | nc -N a 2047")
    wait("the typed line", lambda: "typed" in a.ctl("history", "b").out)

    b.ctl("send", "a", "from the user")
    a.ctl("send", "b", "from root")
    wait("b's line", lambda: "from the user" in a.ctl("history", "b").out)
    wait("a's line", lambda: "from root" in b.ctl("history", "a").out)
    b.ctl("room", "create", "crew")
    b.ctl("room", "invite", "#crew", "a")
    wait("the invitation", lambda: a.ctl("room", "accept", "#crew", check_rc=False).code == 0)
    b.ctl("send", "#crew", "all hands")
    wait("the room's line", lambda: "all hands" in a.ctl("history", "#crew").out)

    give_file(a, b)
    give_file(b, a)


@scenario(whole="five users")
def users_behind_any_pair_of_nats_meet(lab):
    """Six pairs; a large file and a line in a room; and one whose network lets TLS at 443 out alone."""
    coordinator = Coordinator(lab, lab.host("coord"), args=["--tls-listen", "0.0.0.0:443"])
    kinds = ("full-cone", "address-restricted", "port-restricted", "symmetric")
    hosts = [lab.host(name, lab.lan(f"lan-{name}", f"profile={kind}", "delay=5ms"))
             for name, kind in zip("abcd", kinds)]
    walled = lab.host("e", lab.lan("lan-e", "profile=port-restricted", "delay=5ms", "udp=off", "tcp=443"))
    for number, one in enumerate([*hosts, walled]):
        one.without_root(2000 + number)
    lab.network(coordinator, [*hosts, walled])
    for one, other in itertools.permutations(hosts, 2):
        wait(f"{one.name} to reach {other.name}", lambda o=one, p=other: o.os_ping(p.addr(), timeout=2))
    a, b, _, d = hosts
    a.wait_direct(b)
    give_file(a, b, 200000000 if LONG else 5000000)
    wait("e to use TLS", lambda: by(walled, "tls"))
    for one, other in ((walled, d), (d, walled)):
        wait(f"{one.name} to reach {other.name}", lambda o=one, p=other: o.os_ping(p.addr(), timeout=2))
    give_file(walled, a)
    a.ctl("room", "create", "crew")
    a.ctl("room", "invite", "#crew", "e")
    wait("the invitation", lambda: walled.ctl("room", "accept", "#crew", check_rc=False).code == 0)
    walled.ctl("send", "#crew", "through the wall")
    wait("the room's line", lambda: "through the wall" in a.ctl("history", "#crew").out)


@scenario(whole="lab/turn has that server, the rest of this file such users")
def users_meet_at_a_turn_server_of_somebody_elses(lab):
    """By UDP for one, by TCP for the other, who has no UDP; the coordinator has no relay."""
    coordinator = Coordinator(lab, lab.host("coord"), args=["--no-relay"])
    turn = lab.host("turn")
    coturn(lab, turn)
    a = lab.host("a", lab.lan("east", "profile=symmetric", "delay=5ms"))
    b = lab.host("b", lab.lan("west", "profile=symmetric", "delay=5ms", "udp=off"))
    for number, (one, what) in enumerate(((a, ":3478?transport=udp"), (b, ""))):
        one.without_root(2000 + number)
        use_turn(one, f"turn:{turn.ip4}{what}")
    lab.network(coordinator, [a, b])
    wait("a to have a relay by UDP", lambda: by(a, "udp"))
    wait("b to have a relay by TCP", lambda: by(b, "tcp"))
    for one, other in ((a, b), (b, a)):
        wait(f"{one.name} to reach {other.name}", lambda o=one, p=other: o.os_ping(p.addr(), timeout=2))
        check(relayed(one, other)["via"].startswith(turn.ip4), f"via: {one.path(other)}")
    give_file(a, b)


@scenario
def a_program_in_the_inside_is_as_it_is_outside(lab):
    """Exit codes, signals, user, environment; what is not the overlay is not there."""
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    b.run("sh", "-ec", NAMES_OF_A_MACHINE)
    b.without_root(1971)
    lab.network(coordinator, [a, b])
    equal(b.ctl("run", "sh", "-c", "exit 7", check_rc=False).code, 7, "exit code")
    check("nameserver 192.0.2.53" in b.ctl("run", "cat", "/etc/resolv.conf").out.splitlines(), "the name servers")
    equal(sorted(b.ctl("run", "cat", "/etc/nsswitch.conf").out.splitlines()),
          ["group: files", "hosts: files dns", "passwd: files"], "services of names")
    equal(b.ctl("run", "--", "id", "-u").out.strip(), "1971", "user")
    b.wait_peer(a)
    equal(b.ctl("run", *b.inside, "ping", "-c1", "-W15", a.addr(), check_rc=False).code, 0, "run in what run has started")
    equal(b.ctl("run", "sh", "-c", "kill -TERM $$", check_rc=False).code, 128 + 15, "end by a signal")
    equal(b.ctl("run", "no-such-program", check_rc=False).code, 127, "no program")
    equal(b.ctl("run", "/etc/passwd", check_rc=False).code, 126, "no program to run")
    equal(b.ctl("run", "cat", stdin="typed").out, "typed", "standard input")
    check("setuid" in b.ctl("run", "su", "--version").err, "a program with setuid")
    a_terminal(b)
    caps = b.ctl("run", "cat", "/proc/self/status").out
    check(re.search(r"CapPrm:\s+0+\n", caps), f"capabilities: {caps}")
    devices = b.ctl("run", "cat", "/proc/net/dev").out
    check("p2pvpn0" in devices and "eth" not in devices, f"devices: {devices}")
    check(b.ctl("run", "ping", "-c1", "-W1", coordinator.host.ip4, check_rc=False).code != 0, "the world outside")
    r = a.ctl("run", "true", code=11)
    check("already" in r.err, r.err)
    check("root" in b.ctl("route", "offer", "10.9.0.0/16", code=1).err, "an offer")
    r = b.run(lab.bin("p2pvpnd"), "--user", check_rc=False)
    check(r.code == 1 and "already running" in r.err, f"a second one: {r}")
    # while the daemon restarts
    sleeper = b.start(lab.bin("p2pvpnctl"), "run", "sh", "-c", "echo sleeps; sleep 60", name="run")
    b.wait_peer(a)
    wait("sleep", lambda: "sleeps" in sleeper.text())
    links = [os.readlink(f"/proc/{sleeper.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{sleeper.pid}/fd")]
    check(not any(link.startswith("socket:") for link in links), f"run keeps a connection: {links}")
    b.stop_daemon()
    wait("what run says", lambda: "p2pvpnd has ended" in sleeper.text())
    sleeper.end()
    for what in (("status",), ("send", "a", "hello"), ("up",)):
        r = b.ctl(*what, code=8)
        check("your own p2pvpnd is not running" in r.err and "p2pvpnd --user`;" in r.err,
              f"{what} while it is down: {r}")
    equal([(n["user"], n["state"]) for n in b.json("networks")["networks"]], [(True, "not running")], "networks")
    b.daemon()
    wait("b to reach a again", lambda: b.os_ping(a.addr()))
    # A giver that has died leaves no daemon that names it.
    b.run("kill", "-9", str(b.json("status")["inside"]))
    wait("p2pvpnd to end", lambda: not b.p2pvpnd.running())
    b.daemon()
    wait("b to reach a once more", lambda: b.os_ping(a.addr()))


@scenario
def another_user_of_the_machine_gets_nothing(lab):
    coordinator = lab.coordinator()
    a, b, c = lab.host("a"), lab.host("b"), lab.host("c")
    b.without_root(4711)  # whom passwd does not know
    c.without_root(4712, denied=True)
    lab.network(coordinator, [a, b, c])
    b.wait_direct(a)
    equal([(n["name"], n["user"]) for n in b.json("networks")["networks"]], [("default", True)], "networks")
    # the sockets of p2pvpnd and of lwIP, also where the directories around them were opened to all
    theirs = ["setpriv", "--reuid=1971", "--regid=1971", "--clear-groups", "--bounding-set=-all", "--"]
    doors = c.run("sh", "-c", "chmod 755 $HOME $XDG_RUNTIME_DIR $XDG_RUNTIME_DIR/p2pvpn; "
                  "ls $XDG_RUNTIME_DIR/p2pvpn/*.sock*").out.split()
    check(any(door.endswith(".stack") for door in doors), f"doors: {doors}")
    equal(rights(c, "p2pvpnd-stack"), (0, 2, 1), "rights of lwIP's process")
    equal(len(c.run(c.python, "-c", INTRUDER, *doors).out.splitlines()), len(doors), "what the user gets of lwIP's")
    mine, c.before = c.before, []
    equal(c.run(*theirs, c.python, "-c", INTRUDER, *doors).out, "", "what another user gets of lwIP's")
    c.before = mine
    home = b.run("sh", "-c", "echo $HOME").out.strip()
    addr, mine = b.addr(), b.before
    tried = [f"{home}/run/p2pvpn/p2pvpnd.sock", f"{home}/run/p2pvpn", f"{home}/.local/state/p2pvpn", f"{addr}:2047",
             f"{addr}:2048", "127.0.0.1:2047"]
    equal(len(b.ctl("run", b.python, "-c", INTRUDER, *tried).out.splitlines()), 5, "what the user gets")
    giver = b.run("pgrep", "-x", "p2pvpnd-giver").out.strip()
    b.before = []
    equal(b.run(*theirs, b.python, "-c", INTRUDER, *tried).out, "", "what another user gets")
    r = b.run(*theirs, "nsenter", f"--net=/proc/{giver}/ns/net", "true", check_rc=False)
    check(r.code != 0, f"another user in the inside: {r}")
    r = b.run(*theirs, "env", f"XDG_RUNTIME_DIR={home}/run", "HOME=/nonexistent", lab.bin("p2pvpnctl"), "status",
              check_rc=False)
    equal(r.code, 8, f"p2pvpnctl of another user: {r}")
    # Root's p2pvpnctl follows no other user, who would rule what root starts there.
    b.run("install", "-d", "-o", "1971", "/run/mine/p2pvpn")
    lies = "/run/mine/p2pvpn/p2pvpnd.sock"
    liar = b.start(*theirs, b.python, "-c", LIAR, lies, name="liar")
    wait("the liar", lambda: "ready" in liar.text())
    r = b.ctl("-S", lies, "run", "id", check_rc=False)
    check(r.code == 1 and "Operation not permitted" in r.err and r.out == "", f"run for a liar: {r}")
    for mode, why in (("755", "Operation not permitted"), ("1777", "not running")):
        b.run("chmod", mode, "/run/mine")
        r = b.run("env", "XDG_RUNTIME_DIR=/run/mine", lab.bin("p2pvpnctl"), "status", check_rc=False)
        check(r.code == 8 and why in r.err and r.out == "", f"root asks a liar: {r}")
    b.before = mine
    b.ctl("status", "-l")


@scenario(whole="three users for a rare machine")
def where_a_user_may_make_no_network_lwip_is_in_the_kernels_place(lab):
    """Chat, rooms and files between two of them and with root's; what cannot be says why, and what to do."""
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b", lab.lan("lan-b", "profile=port-restricted"))
    c = lab.host("c", lab.lan("lan-c", "profile=address-restricted"))
    b.without_root(denied=True)
    c.without_root(1971)
    c.flags = ["--user", "--stack", "lwip"]
    lab.network(coordinator, [a, b, c])
    for one, other in ((b, a), (b, c), (a, c)):
        one.wait_direct(other)
    for one in (b, c):
        check(a.os_ping(one.addr()), f"ping {one.name}")
        wait("no problem to be left", lambda o=one: not o.json("status")["problems"])
        equal(one.json("status")["stack"], "lwip", "the stack")
    check("sysctl user.max_user_namespaces" in b.json("status")["stack_why"], "the remedy")
    r = b.ctl("run", "true", code=11)
    check("sysctl user.max_user_namespaces" in r.err and "nc, forward, socks" in r.err, f"run: {r}")
    check("--stack lwip" in c.ctl("run", "true", code=11).err, "run where it was wanted")
    check("sysctl user.max_user_namespaces" in b.ctl("route", "use", "all", code=1).err, "routes to use")
    check("--stack lwip" in c.ctl("exit", "use", "a", code=1).err, "exits to use")
    c.ctl("route", "use", "off")
    check("none, lwIP stands in" in b.ctl("status", "-l").out, "status for people")
    checks = {x["name"]: x for x in b.json("doctor")["checks"]}
    for what in ("tun", "interface"):
        check(checks[what]["well"] and "lwIP stands in" in checks[what]["text"], f"doctor: {checks[what]}")
    b.configure("[nonsense]\n")
    told = b.ctl("doctor", "-l", check_rc=False).out
    check("would not start again" in told, f"doctor: {told}")
    b.run("sed", "-i", "/nonsense/d", f"{b.etc}/p2pvpnd.conf")
    r = b.run(lab.bin("p2pvpnd"), "--user", "--net", "other", "--stack", "kernel", check_rc=False)
    check(r.code == 1 and "sysctl user.max_user_namespaces" in r.err, f"the kernel's: {r}")

    for one, other in ((a, b), (b, c), (c, a)):
        other.ctl("send", one.name, f"from {other.name}")
        wait(f"{other.name}'s line", lambda o=one, p=other: f"from {p.name}" in o.ctl("history", p.name).out)
    b.ctl("room", "create", "crew")
    for one in (a, c):
        b.ctl("room", "invite", "#crew", one.name)
        wait("the invitation", lambda o=one: o.ctl("room", "accept", "#crew", check_rc=False).code == 0)
    c.ctl("send", "#crew", "all hands")
    for one in (a, b):
        wait("the room's line", lambda o=one: "all hands" in o.ctl("history", "#crew").out)

    for sender, receiver in ((a, b), (b, c), (c, a)):
        give_file(sender, receiver)

    # lwIP's process ends: it is started again, and p2pvpnd goes on with its session.
    for times, signal_name in ((1, "KILL"), (2, "ABRT")):
        before = b.json("status")
        equal(before["stack_restarts"], times - 1, "restarts")
        b.run("kill", f"-{signal_name}", str(before["inside"]))
        wait("another process", lambda t=times: b.json("status")["stack_restarts"] == t)
        check(b.json("status")["inside"] != before["inside"], "it has another number")
        wait("b to be there again", lambda: a.os_ping(b.addr()))
        a.ctl("send", "b", f"after {signal_name}")
        wait("a line to b", lambda s=signal_name: f"after {s}" in b.ctl("history", "a").out)
        b.ctl("send", "a", f"back after {signal_name}")
        wait("a line from b", lambda s=signal_name: f"back after {s}" in a.ctl("history", "b").out)
        check("was started again: its connections are broken" in b.p2pvpnd.text(), "the log says why")
        wait("no problem to be left", lambda: not b.json("status")["problems"])
    give_file(c, b)
    check("started again 2 times" in b.ctl("status", "-l").out, "status for people")
    b.stop_daemon()
    equal(b.run("sh", "-c", "ls $XDG_RUNTIME_DIR/p2pvpn").out, "", "what is left")


def rights(host, name):
    """The rights of the process of this name: capabilities, seccomp's mode, no_new_privs."""
    pid = host.run("pgrep", "-x", name).out.split()[0]
    s = dict(line.split(":", 1) for line in host.run("cat", f"/proc/{pid}/status").out.splitlines() if ":" in line)
    return int(s["CapPrm"], 16), int(s["Seccomp"]), int(s["NoNewPrivs"])


@scenario
def a_captured_control_process_gets_nothing_more(lab):
    """The same intruder as in lab/rights, and what each process has."""
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    b.without_root()
    home = b.run("sh", "-c", "umask 077; echo mine >$HOME/secret; echo $HOME").out.strip()
    state = f"{home}/.local/state/p2pvpn"
    b.daemon(env={"LD_PRELOAD": lab.bin("libcaptive.so"), "CAPTIVE_DIR": state,
                  "ASAN_OPTIONS": os.environ["ASAN_OPTIONS"] + ":verify_asan_link_order=0"})
    b.create(coordinator.url())
    a.daemon()
    a.join(b.ctl("invite").out.strip())
    b.wait_direct(a)
    for name in ("p2pvpnd", "p2pvpnd-keeper", "p2pvpnd-usher", "p2pvpnd-helper", "p2pvpnd-giver"):
        equal(rights(b, name), (0, 2, 1), f"rights of {name}")
    equal(rights(b, "p2pvpnd-inside"), (1 << 6 | 1 << 7 | 1 << 10 | 1 << 12 | 1 << 13, 2, 1), "rights in the inside")
    b.run("touch", f"{state}/attack")

    def done():
        b.ctl("version")  # the loop turns
        text = b.run("cat", f"{state}/attack.said", check_rc=False).out
        return text if "end\n" in text else None
    said = wait("the attack", done)
    equal([line[7:] for line in said.splitlines() if line.startswith("could: ")], ["start a task"], f"of:\n{said}")
    check(b.os_ping(a.addr()), "the network afterwards")


@scenario
def an_ephemeral_member_leaves_when_its_p2pvpnd_ends(lab):
    """With root and without; the name is free at once, also for the same machine."""
    coordinator = lab.coordinator()
    a, b, c = lab.host("a"), lab.host("b"), lab.host("c")
    c.without_root()
    a.daemon()
    a.create(coordinator.url())
    token = a.ctl("invite", "--ephemeral", "--uses", 4).out.strip()
    check("; ephemeral" in a.ctl("invite", "list").out, "the list of invites")
    for one in (b, c):
        for sig in (signal.SIGTERM, signal.SIGINT):
            one.daemon()
            one.ctl("join", token, "--name", "runner")
            one.wait_direct(a)
            equal(one.stop_daemon(sig), 0, "exit code")
            wait("the member to be gone", lambda: "runner" not in a.peers())
            one.daemon()
            equal(one.json("status")["network"], None, "its network afterwards")
            one.stop_daemon()


@scenario
def routes_exits_and_a_second_network(lab):
    """A network that others carry is reached by run, the world by an exit; each network has an inside of its own."""
    home = lab.masquerade("home", drop_input=True)
    coordinator, printer, web = lab.coordinator(), lab.host("printer", home), lab.host("web")
    printer.answer_udp(9100)
    web.answer_udp(9999)
    nas, b = lab.host("nas", home), lab.host("b")
    b.without_root()
    lab.network(coordinator, [nas, b])
    nas.ctl("route", "offer", f"{home.subnet4}.0/24")
    wait("b to use what nas offers", lambda: b.ctl("route", "use", "nas", check_rc=False).code == 0)
    wait("b to reach the printer", lambda: b.udp_ask(printer.ip4, 9100))
    equal(b.udp_ask(web.ip4, 9999), None, "the world without an exit")
    nas.ctl("exit", "offer")
    wait("the exit", lambda: b.ctl("exit", "use", "nas", check_rc=False).code == 0)
    wait("b to reach the world", lambda: b.udp_ask(web.ip4, 9999))
    check(b.json("status")["coordinator"]["connected"], "the daemon is where it was")
    wait("no problem to be left", lambda: not b.json("status")["problems"])
    b.ctl("exit", "off")
    wait("the world to be gone", lambda: b.udp_ask(web.ip4, 9999) is None)

    second = b.start(lab.bin("p2pvpnd"), "--user", "--net", "work", name="p2pvpnd-work")
    wait("the second", lambda: second.running() and b.ctl("-n", "work", "version", check_rc=False).code == 0)
    b.ctl("-n", "work", "create", coordinator.url(), "--network", "work", "--name", "b")
    devices = b.ctl("-n", "work", "run", "cat", "/proc/net/dev").out
    check("p2p-work" in devices and "p2pvpn0" not in devices, devices)
    equal(sorted(n["name"] for n in b.json("networks")["networks"]), ["default", "work"], "networks")
    second.end()
    states = {n["name"]: n["state"] for n in b.json("networks")["networks"]}
    equal(states, {"default": "up", "work": "not running"}, "with one that is down")


@scenario
def root_without_capabilities_is_a_user_like_others(lab):
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    b.without_root(0)
    lab.network(coordinator, [a, b])
    b.wait_direct(a)
    a.answer_udp(9100)
    b.answer_udp(9100)
    wait("b to reach a", lambda: b.udp_ask(a.addr(), 9100))
    wait("a to reach b", lambda: a.udp_ask(b.addr(), 9100))


@scenario
def a_start_that_fails_says_why(lab):
    b = lab.host("b")
    b.without_root()
    home = b.run("sh", "-c", "echo $HOME").out.strip()
    daemon, mine = lab.bin("p2pvpnd"), b.before

    def refused(text, *argv):
        r = b.run(*argv, check_rc=False)
        check(r.code in (1, 5) and text in r.err, f"not {text}: {r}")
        equal(len(r.err.strip().splitlines()), 1, f"lines of {r}")
    refused("p2pvpnd --user", daemon)
    refused("File name too long", daemon, "--user", "--socket", f"{home}/run/{110 * 'x'}")
    refused("too long", "env", f"XDG_STATE_HOME=/{260 * 'x'}", daemon, "--user")
    b.run("touch", f"{home}/my.conf")
    refused("your home directory", daemon, "--user", "--config", f"{home}/my.conf")
    refused("your home directory", daemon, "--user", "--state", os.path.dirname(home))
    b.before = []
    b.run("mount", "-t", "tmpfs", "tmpfs", "/dev/net")
    b.before = mine
    refused("modprobe tun", daemon, "--user", "--stack", "kernel")
    b.before = []
    b.run("umount", "/dev/net")
    # A disk that is full
    sh(*b.enter, "sh", "-ec", "mkdir -p $0; mount -t tmpfs -o size=64k,uid=65534 none $0; cat /dev/zero >$0/filler || :",
       f"{home}/full")
    b.before = mine
    r = b.run("env", f"XDG_STATE_HOME={home}/full", daemon, "--user", check_rc=False)
    check(r.code == 1 and "full/p2pvpn/port: No space left on device" in r.err, f"a full disk: {r}")
    b.before = []
    # Root of a user namespace, which is nobody's but its own.
    inside = ["unshare", "--user", "--map-root-user", "--"]
    refused("does not exist in this user namespace", *inside, daemon, "--state", "/run/other")
    none = "echo 0 >/proc/sys/user/max_user_namespaces;"
    refused("as root: sysctl user.max_user_namespaces=1000", *inside, "env", "HOME=/run/third", "sh", "-c",
            f"{none} exec {daemon} --user --stack kernel")
    r = b.run(*inside, "env", "HOME=/run/third", "sh", "-c",  # remedy: sysctl_as_root
              f"{none} sysctl -w user.max_user_namespaces=1000; exec timeout 3 {daemon} --user --stack kernel",
              check_rc=False)
    check(r.code == 124 and "namespaces" not in r.err, f"it does not run with some: {r}")
    # What the profile of docker does: no namespace of users by clone(2) and unshare(2).
    b.before = mine
    refused("seccomp=unconfined", *AS_IN_DOCKER, daemon, "--user", "--stack", "kernel")
    r = b.run("timeout", "3", daemon, "--user", "--stack", "kernel", check_rc=False)  # remedy: allow_namespaces
    check(r.code == 124 and "namespaces" not in r.err, f"it does not run without the filter: {r}")
    b.before = []


@scenario(whole="a demo and a lab in the lab")
def the_demo_and_the_lab_need_no_root(lab):
    """The README's first command without capabilities, and scenarios where adduser(8) gave uids of one's own."""
    b = lab.host("b")
    demo = os.path.join(ROOT, "scripts/demo")
    b.run("sh", "-c", "echo carol:x:1972:1972::/nonexistent:/bin/sh >>/etc/passwd; echo carol:x:1972: >>/etc/group")
    b.without_root(1972)
    bin_dir = os.path.dirname(lab.bin("p2pvpnd"))
    shown = b.start("env", f"PV_DEMO_BIN={bin_dir}", demo, name="demo")
    equal(shown.ended(200), 0, f"exit code of the demo: {shown.text()[-3000:]}")
    check("What you have seen" in shown.text() and "logged in on pi" in shown.text(), shown.text())

    own = os.path.join(lab.logs, "own")  # a build directory of carol's, with these programs
    mine, b.before = b.before, []
    b.run("sh", "-ec", "mkdir $0; ln -s $1 $0/bin; chown carol $0; for f in subuid subgid; do echo carol:300000:65536 "
          ">/etc/$f; done", own, bin_dir)
    # newuidmap(1) is setuid
    b.before = [word for word in mine if word not in ("--bounding-set=-all", "--no-new-privs")]
    r = b.run("env", "USER=carol", os.path.join(ROOT, "scripts/lab"), "--build", own, "meet.linux_masquerading",
              "user.root_without_capabilities_is_a_user_like_others", check_rc=False, timeout=300)
    denied = "newuidmap" in r.out or "can be none" in r.out  # as where the lab itself has too few uids
    check(r.code == 77 and denied or r.code == 0 and r.out.count("ok  ") == 2, f"scripts/lab of a user: {r}")
