# SPDX-License-Identifier: MIT
"""p2pvpnd --user: a network for one user, without root and without a way to it."""

import contextlib
import itertools
import json
import os
import pty
import re
import select
import shutil
import signal

try:
    import yaml
except ImportError:
    yaml = None

from lab import LONG, ROOT, SLOW, UDP_ASK, UDP_ECHO, USERS, USERS_OWN, Coordinator, Failure, Skip, check, equal
from lab import pause, scenario, sh, ssh_login, wait
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

# Connects to each address and port that it is given, and tries each path: says what it got.
INTRUDER = """
import os, socket, sys
for word in sys.argv[1:]:
    try:
        if word.startswith('/'):
            if os.path.isdir(word):
                os.listdir(word)
            else:
                s = socket.socket(socket.AF_UNIX)
                s.connect(word)
        else:
            host, port = word.rsplit(':', 1)
            socket.create_connection((host, int(port)), timeout=1)
        print('got', word)
    except OSError:
        pass
"""

# Port 7000 hears all and then says how much; 7001 says all and then hears how much; 7003 never says
# anything.
SERVER = """
import os, socket, sys, threading
def hear(s):
    n = 0
    while data := s.recv(1 << 20):
        n += len(data)
    return n
def serve(port):
    fam = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
    # Beyond its backlog the kernel answers by SYN cookies, and takes the FIN of a connection whose one byte was not
    # accepted for its first segment.
    one = socket.create_server((sys.argv[1], port), family=fam, backlog=4096)
    print('listens at', port, flush=True)
    while True:
        threading.Thread(target=talk, args=(port, one.accept()[0]), daemon=True).start()
def talk(port, s):
    if port == 7000:
        s.sendall(b'heard %d' % hear(s))
    elif port == 7001:
        s.sendall(b'bye')
        s.shutdown(socket.SHUT_WR)
        print('heard', hear(s), 'after the end', flush=True)
    else:
        print('heard', hear(s), flush=True)
    s.close()
for port in (7000, 7001, 7003):
    threading.Thread(target=serve, args=(port,)).start()
"""

# Sends N bytes to a place, ends, and prints the answer.
CLIENT = """
import socket, sys
where, n = sys.argv[1], int(sys.argv[2])
if where.startswith('/'):
    s = socket.socket(socket.AF_UNIX)
    s.connect(where)
else:
    host, port = where.rsplit(':', 1)
    s = socket.create_connection((host, int(port)))
s.sendall(b'x' * n)
s.shutdown(socket.SHUT_WR)
while data := s.recv(65536):
    sys.stdout.buffer.write(data)
"""

# Sends three datagrams, and says how many answers come.
THREE = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(float(sys.argv[2]))
for i in range(3):
    s.sendto(b'x', ('127.0.0.1', int(sys.argv[1].rsplit(':', 1)[1])))
print('sent', flush=True)
n = 0
try:
    while n < 3:
        s.recv(100)
        n += 1
except OSError:
    pass
print('answers:', n)
"""

# Connects to a port of loopback, and then says what it is given to say.
TALKER = """
import socket, sys
s = socket.create_connection(('127.0.0.1', int(sys.argv[1].rsplit(':', 1)[1])))
print('ready', flush=True)
while data := sys.stdin.buffer.read1():
    s.sendall(data)
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
    for typed, want in (("echo on''e; sleep 100\n", "one"), ("\x03echo tw''o\n", "two"),
                        ("tty; exit 9\n", "/dev/")):
        os.write(fd, typed.encode())
        wait(f"{want} on the terminal", lambda want=want: says(want))
    _, status = os.waitpid(pid, 0)
    equal(os.waitstatus_to_exitcode(status), 9, f"exit code of a shell on a terminal: {text}")
    os.close(fd)

# Has N connections to a port open at once, says a byte on each, and then ends them one by one.
CROWD = """
import resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (2 * int(sys.argv[2]), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
place = ('127.0.0.1', int(sys.argv[1].rsplit(':', 1)[1]))
crowd = [socket.create_connection(place) for _ in range(int(sys.argv[2]))]
for s in crowd:
    s.sendall(b'x')
print('open', flush=True)
for s in crowd:
    s.shutdown(socket.SHUT_WR)
    got = s.recv(100)
    assert got == b'heard 1', (got, crowd.index(s))
print('done', flush=True)
"""

# Has a connection to each place, says a byte on each, and after a line of its input another; the other end hears both.
IDLER = """
import socket, sys
crowd = []
for word in sys.argv[1:]:
    host, port = word.rsplit(':', 1)
    crowd.append(socket.create_connection((host, int(port))))
    crowd[-1].sendall(b'x')
print('open', flush=True)
sys.stdin.readline()
for s, word in zip(crowd, sys.argv[1:]):
    s.sendall(b'y')
    s.shutdown(socket.SHUT_WR)
    got = s.recv(100)
    assert got == b'heard 2', (got, word)
print('done', flush=True)
"""

# Asks members by UDP through SOCKS5 (RFC 1928 s7): words "NAME:PORT".
ASSOCIATE = """
import socket, sys
s = socket.create_connection(('127.0.0.1', int(sys.argv[1].rsplit(':', 1)[1])))
s.sendall(bytes([5, 1, 0]))
assert s.recv(2) == bytes([5, 0])
s.sendall(bytes([5, 3, 0, 1]) + bytes(6))
reply = s.recv(10)
assert reply[:4] == bytes([5, 0, 0, 1]), reply
to = (socket.inet_ntoa(reply[4:8]), int.from_bytes(reply[8:], 'big'))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.settimeout(10)
for word in sys.argv[2:]:
    name, port = word.rsplit(':', 1)
    head = bytes([0, 0, 0, 3, len(name)]) + name.encode() + int(port).to_bytes(2, 'big')
    u.sendto(head + b'x', to)
    answer, who = u.recvfrom(65536)
    assert who == to and answer[:4] == bytes([0, 0, 0, 1]), answer
    print(socket.inet_ntoa(answer[4:8]), int.from_bytes(answer[8:10], 'big'), answer[10:].decode())
s.close()
"""


def give_file(sender, receiver, size=3000000):
    """By send-file, and accepted: whole at the other side."""
    name = f"from-{sender.name}"
    sender.run("sh", "-c", f"head -c {size} /dev/urandom >{sender.home}/{name}")
    sending = sender.start(sender.lab.bin("p2pvpnctl"), "send-file", receiver.name, f"{sender.home}/{name}",
                           name="send-file")
    offer = wait("the offer", lambda: [f for f in receiver.json("files")["files"] if f["state"] == "offered"])[0]
    receiver.ctl("files", "accept", offer["id"], "--dir", receiver.home)
    equal(sending.popen.wait(timeout=(30 + size / 1000000) * SLOW), 0, f"send-file to {receiver.name}")
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
    check("seccomp" in b.json("status")["confined"], "confined")
    # A game looks for players, and joins them without naming an interface.
    heard = a.start(a.python, "-c", HEAR, "239.255.77.77", a.addr(), name="players")
    wait("players", lambda: "ready" in heard.text())
    wait("the broadcast", lambda: b.run(*b.inside, b.python, "-c", SHOUT, "255.255.255.255") and
         f"{b.addr()} 255.255.255.255" in heard.text(), 20)
    wait("the group's datagram", lambda: b.run(*b.inside, b.python, "-c", SHOUT, "239.255.77.77") and
         f"{b.addr()} 239.255.77.77" in heard.text(), 20)
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


@scenario(minutes=10 if LONG else 4)
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
        wait(f"{one.name} to reach {other.name}", lambda o=one, p=other: o.os_ping(p.addr(), timeout=2), 30)
    a, b, _, d = hosts
    a.wait_direct(b)
    give_file(a, b, 200000000 if LONG else 5000000)
    wait("e to use TLS", lambda: by(walled, "tls"), 20)
    for one, other in ((walled, d), (d, walled)):
        wait(f"{one.name} to reach {other.name}", lambda o=one, p=other: o.os_ping(p.addr(), timeout=2), 20)
    give_file(walled, a)
    a.ctl("room", "create", "crew")
    a.ctl("room", "invite", "#crew", "e")
    wait("the invitation", lambda: walled.ctl("room", "accept", "#crew", check_rc=False).code == 0)
    walled.ctl("send", "#crew", "through the wall")
    wait("the room's line", lambda: "through the wall" in a.ctl("history", "#crew").out)


@scenario
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
        wait(f"{one.name} to reach {other.name}", lambda o=one, p=other: o.os_ping(p.addr(), timeout=2), 20)
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
    equal(b.ctl("run", *b.inside, "ping", "-c1", "-W2", a.addr(), check_rc=False).code, 0, "run in what run has started")
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
        check("your own p2pvpnd is not running" in r.err, f"{what} while it is down: {r}")
    equal([(n["user"], n["state"]) for n in b.json("networks")["networks"]], [(True, "not running")], "networks")
    b.daemon()
    wait("b to reach a again", lambda: b.os_ping(a.addr()), timeout=20)
    # A giver that has died leaves no daemon that names it.
    b.run("kill", "-9", str(b.json("status")["inside"]))
    wait("p2pvpnd to end", lambda: not b.p2pvpnd.running())
    b.daemon()
    wait("b to reach a once more", lambda: b.os_ping(a.addr()), timeout=20)


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
    b.ctl("status")


@scenario
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
        s = one.json("status")
        equal((s["stack"], s["problems"]), ("lwip", []), "status")
    check("sysctl user.max_user_namespaces" in b.json("status")["stack_why"], "the remedy")
    r = b.ctl("run", "true", code=11)
    check("sysctl user.max_user_namespaces" in r.err and "nc, forward, socks" in r.err, f"run: {r}")
    check("--stack lwip" in c.ctl("run", "true", code=11).err, "run where it was wanted")
    check("sysctl user.max_user_namespaces" in b.ctl("route", "use", "all", code=1).err, "routes to use")
    check("--stack lwip" in c.ctl("exit", "use", "a", code=1).err, "exits to use")
    c.ctl("route", "use", "off")
    check("lwIP" in b.ctl("status").out, "status for people")
    r = b.run(lab.bin("p2pvpnd"), "--user", "--net", "other", "--stack", "kernel", check_rc=False)
    check(r.code == 1 and "sysctl user.max_user_namespaces" in r.err, f"the kernel's: {r}")
    equal(rights(b, "p2pvpnd-stack"), (0, 2, 1), "rights of lwIP's process")

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

    # Its process ends, and p2pvpnd with it.
    b.run("kill", "-9", str(b.json("status")["inside"]))
    wait("p2pvpnd to end", lambda: not b.p2pvpnd.running())
    b.daemon()
    wait("b to be there again", lambda: a.os_ping(b.addr()), 20)
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
    check("(ephemeral)" in a.ctl("invite", "list").out, "the list of invites")
    for one in (b, c):
        for sig in (signal.SIGTERM, signal.SIGINT):
            one.daemon()
            one.ctl("join", token, "--name", "runner")
            one.wait_direct(a)
            equal(one.stop_daemon(sig), 0, "exit code")
            check("runner" not in a.peers(), "the member after its end")
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
    wait("the printer", lambda: "using" in b.ctl("route", "list").out or b.ctl("route", "use", "nas", check_rc=False))
    wait("b to reach the printer", lambda: b.udp_ask(printer.ip4, 9100), 20)
    equal(b.udp_ask(web.ip4, 9999), None, "the world without an exit")
    nas.ctl("exit", "offer")
    wait("the exit", lambda: b.ctl("exit", "use", "nas", check_rc=False).code == 0)
    wait("b to reach the world", lambda: b.udp_ask(web.ip4, 9999), 20)
    check(b.json("status")["coordinator"]["connected"], "the daemon is where it was")
    equal(b.json("status")["problems"], [], "problems")
    b.ctl("exit", "off")
    wait("the world to be gone", lambda: b.udp_ask(web.ip4, 9999) is None)

    second = b.start(lab.bin("p2pvpnd"), "--user", "--net", "work", name="p2pvpnd-work")
    wait("the second", lambda: second.running() and b.ctl("-n", "work", "version", check_rc=False).code == 0)
    b.ctl("-n", "work", "create", coordinator.url(), "--network", "work", "--name", "b")
    devices = b.ctl("-n", "work", "run", "cat", "/proc/net/dev").out
    check("p2p-work" in devices and "p2pvpn0" not in devices, devices)
    equal(sorted(n["name"] for n in b.json("networks")["networks"]), ["default", "work"], "networks")


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
        r = b.run(*argv, check_rc=False, timeout=20)
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
    r = b.run("env", f"XDG_STATE_HOME={home}/full", daemon, "--user", check_rc=False, timeout=20)
    check(r.code == 1 and "full/p2pvpn/port: No space left on device" in r.err, f"a full disk: {r}")
    b.before = []
    # Root of a user namespace, which is nobody's but its own.
    inside = ["unshare", "--user", "--map-root-user", "--"]
    refused("does not exist in this user namespace", *inside, daemon, "--state", "/run/other")
    refused("user.max_user_namespaces", *inside, "env", "HOME=/run/third", "sh", "-c",
            f"echo 0 >/proc/sys/user/max_user_namespaces; exec {daemon} --user --stack kernel")


def forward(host, *args, command="forward"):
    """A `forward` or `socks` that listens, and where it does."""
    program = host.start(host.lab.bin("p2pvpnctl"), command, *args, name=command)
    return program, wait("where it listens", lambda: program.must_run() or program.text().split("\n")[0])


def send(host, where, n, check_rc=True):
    return host.run("/usr/bin/python3", "-c", CLIENT, where, str(n), check_rc=check_rc).out


def three_ways_into_the_overlay(lab):
    """a, which listens; b with root's daemon, where commands are those of a user in its group; c with --user; d, whose
    user may make no network."""
    coordinator = lab.coordinator()
    a, b, c, d = lab.host("a"), lab.host("b"), lab.host("c"), lab.host("d")
    c.without_root()
    d.without_root(1971, denied=True)
    lab.network(coordinator, [a, b, c, d])
    server = a.start(a.python, "-c", SERVER, a.addr(), name="server")
    wait("the server", lambda: server.text().count("listens") == 3)
    b.wait_direct(a)
    c.wait_direct(a)
    d.wait_direct(a)
    equal([one.json("status")["stack"] for one in (b, c, d)], [None, "kernel", "lwip"], "who speaks TCP")
    b.before = b.as_user()
    return coordinator, a, (b, c, d), server


@scenario
def nc_is_a_connection_to_a_member(lab):
    """As ssh's ProxyCommand it is used: bytes both ways, each end passed on, exit codes."""
    coordinator, a, hosts, server = three_ways_into_the_overlay(lab)
    nc = [lab.bin("p2pvpnctl"), "nc"]
    a.answer_udp(7777)
    for i, one in enumerate(hosts):
        equal(one.ctl("nc", "a", 7000, stdin="x" * 3000000, timeout=60).out, "heard 3000000", one.name)
        network = one.json("status")["network"]["name"]
        for name in (f"A.{network}.P2P.", a.addr()):
            equal(one.ctl("nc", name, 7000, stdin="x").out, "heard 1", name)
        # the other side ends first, and hears what is still said
        talk = one.start(*nc, "a", "7001", name="nc", stdin=-1)
        wait("the answer", lambda t=talk: "bye" in open(t.log).read())
        check(talk.running(), "nc ended although standard input did not")
        talk.popen.stdin.write(b"and now this")
        talk.popen.stdin.close()
        equal(talk.popen.wait(timeout=20), 0, "exit code")
        wait("what is said after the end", lambda i=i: server.text().count("heard 12 after the end") == i + 1)
        check("no program listens" in one.ctl("nc", "a", 7002, code=11).err, "a port without a program")
        one.ctl("nc", "nobody", 7000, code=6)
        one.ctl("nc", "a", 70000, code=2)
        one.ctl("nc", coordinator.host.ip4, 22, code=6)  # no member's
        check(one.ctl("nc", "-u", "a", 7777, stdin="x").out.split()[0] == one.addr(), "the answer by UDP")
    # p2pvpnd with its network ends below it
    user = hosts[1]
    talk = user.start(*nc, "a", "7003", name="nc", stdin=-1)
    wait("the connection", lambda: "7003" in user.ctl("run", "ss", "-Htn", "state", "established").out)
    wait("nc to need p2pvpnd no more", lambda: "p2pvpnd.sock" not in user.run("ss", "-Hx", "state", "established").out)
    user.restart_daemon()
    equal(talk.popen.wait(timeout=20), 8, "exit code")
    check("ended with p2pvpnd" in talk.text(), talk.text())


@scenario
def forward_is_for_this_user_alone(lab):
    """TCP, UDP and Unix sockets to a member; another user who knows the port or path gets nothing."""
    _, a, hosts, server = three_ways_into_the_overlay(lab)
    a.answer_udp(7777)
    for one in hosts:
        path = one.run("sh", "-c",
                       'mktemp -d "${XDG_RUNTIME_DIR:-/tmp}/forward.XXXXXX"').out.strip() + "/socket"
        started = [forward(one, "0", "a:7000"), forward(one, path, "a:7000"), forward(one, "-u", "[::1]:0", "a:7777"),
                   forward(one, "-u", "0", "a:7777")]
        programs, places = [x[0] for x in started], [x[1] for x in started]
        tcp, _, udp6, udp = places
        for where in (tcp, path):
            equal(send(one, where, 2000000), "heard 2000000", where)
        for where in (udp, udp6):
            host, port = where.rsplit(":", 1)
            r = one.run("/usr/bin/python3", "-c", UDP_ASK, host.strip("[]"), port, "0", "5", "x", check_rc=False)
            check(r.out.split()[:1] == [one.addr()], f"{where}: {r}")
        # others, root among them
        mine, one.before = one.before, []
        for uid in ("4242", "0"):
            theirs = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"]
            for where in (tcp, path):
                r = one.run(*theirs, "/usr/bin/python3", "-c", CLIENT, where, "1", check_rc=False)
                equal(r.out, "", f"what user {uid} gets at {where}: {r}")
            host, port = udp.rsplit(":", 1)
            r = one.run(*theirs, "/usr/bin/python3", "-c", UDP_ASK, host, port, "0", "1", "x", check_rc=False)
            equal(r.out, "", f"what user {uid} gets by UDP")
        # datagrams of the user and of another that wait together
        programs[3].popen.send_signal(signal.SIGSTOP)
        talkers = []
        for before, patience in ((mine, 10), (theirs, 2), (mine, 10)):
            one.before = before
            talkers.append(one.start("/usr/bin/python3", "-c", THREE, udp, str(patience * SLOW), name="three"))
            wait("the datagrams", lambda t=talkers[-1]: "sent" in t.text())
        programs[3].popen.send_signal(signal.SIGCONT)
        for talker in talkers:
            equal(talker.popen.wait(timeout=20 * SLOW), 0, "exit code")
        equal([t.text().splitlines()[1] for t in talkers], ["answers: 3", "answers: 0", "answers: 3"], "who is answered")
        one.before = mine
        check("another user" in programs[0].text(), "no word of the other user")
        equal(send(one, tcp, 1), "heard 1", "the user after the others")
        # what stands in the way is named
        one.ctl("forward", tcp, "a:7000", code=1)
        one.ctl("forward", path, "a:7000", code=1)
        one.ctl("forward", "0", "nobody:1", code=6)
        one.ctl("forward", "0.0.0.0:7", "a:7000", code=2)
        one.ctl("forward", "/tmp/" + 110 * "x", "a:7000", code=2)
        one.ctl("forward", "/tmp", "a:7000", code=1)
        for program in programs:
            equal(program.end(), 0, "exit code")
        check(one.run("test", "-e", path, check_rc=False).code == 1, "its file is left behind")
        one.run("rmdir", path[:-len("/socket")])


@scenario
def a_forward_outlives_p2pvpnd_and_says_what_stands_in_its_way(lab):
    _, a, hosts, server = three_ways_into_the_overlay(lab)
    for one in hosts:
        program, where = forward(one, "0", "a:7000")
        equal(send(one, where, 10), "heard 10", "before")
        # p2pvpnd has 24 places for one user, who may have more of these
        wait("forward to need p2pvpnd no more",
             lambda o=one: "p2pvpnd.sock " not in o.run("ss", "-Hx", "state", "established").out)
        mine, one.before = one.before, [] if one is hosts[0] else one.before
        one.restart_daemon()
        one.before = mine
        wait("the end to be told", lambda p=program: "p2pvpnd has ended" in p.text())
        wait("the way back", lambda o=one, w=where: send(o, w, 10, check_rc=False) == "heard 10", 20)
    # the member's rules take it away: what is open says so, what is new is refused
    user = hosts[1]
    program, where = forward(user, "0", "a:7003")
    talk = user.start("/usr/bin/python3", "-c", TALKER, where, name="talker", stdin=-1)
    wait("the connection", lambda: "ready" in talk.text())
    a.ctl("deny", "c", "a", "tcp/7003")
    talk.popen.stdin.write(b"x")
    talk.popen.stdin.flush()
    wait("what forward says", lambda: "rules of the network deny it" in program.text(), 20)
    wait("the connection's end", lambda: where not in user.run("ss", "-Htn", "state", "established").out)
    # and those that only hear, of which nothing is on its way
    a.ctl("rules", "remove", 1)
    program, where = forward(user, "0", "a:7003")
    talk = user.start("/usr/bin/python3", "-c", TALKER, where, name="talker", stdin=-1)
    wait("the connection", lambda: "ready" in talk.text())
    a.ctl("deny", "c", "a", "tcp/7003")
    wait("what forward says", lambda: "rules of the network deny it" in program.text(), 20)


@scenario
def socks_leads_to_members_by_their_names(lab):
    """curl by SOCKS5 and by HTTP CONNECT at one port, UDP, a Unix socket; and nowhere else."""
    coordinator, a, hosts, _ = three_ways_into_the_overlay(lab)
    a.run("sh", "-c", "mkdir /run/web; echo hello from a >/run/web/file")
    web = a.start(a.python, "-m", "http.server", "8080", "--bind", a.addr(), "--directory", "/run/web", name="web")
    wait("the web server", lambda: web.must_run() or a.run("ss", "-Hltn", "sport = :8080").out.strip())
    a.answer_udp(7777)

    def curl(one, *args, code=0):
        r = one.run("curl", "-sS", "-m", "20", *args, check_rc=False)
        equal(r.code, code, f"curl: {r}")
        return r.out

    for one in hosts:
        path = one.run("sh", "-c", 'mktemp -d "${XDG_RUNTIME_DIR:-/tmp}/socks.XXXXXX"').out.strip() + "/socket"
        network = one.json("status")["network"]["name"]
        program, where = forward(one, "--listen", "0", command="socks")
        for name in ("a", f"a.{network}.p2p", a.addr()):
            for proxy in (("-x", f"socks5h://{where}"), ("-p", "-x", f"http://{where}")):
                equal(curl(one, *proxy, f"http://{name}:8080/file"), "hello from a\n", f"{name} by {proxy}")
        by_path, listens = forward(one, "--listen", path, command="socks")
        equal(listens, path, "where it listens")
        equal(curl(one, "-x", f"socks5h://localhost{path}", "http://a:8080/file"), "hello from a\n", "by a path")
        r = one.run("/usr/bin/python3", "-c", ASSOCIATE, where, "a:7777", f"a.{network}.p2p:7777", check_rc=False)
        equal([x.split()[:3] for x in r.out.splitlines()], [[a.addr(), "7777", one.addr()]] * 2, f"UDP: {r}")
        # what is no member's is not reached, by no way
        for name in ("nobody", coordinator.host.ip4, "127.0.0.1"):
            curl(one, "-x", f"socks5h://{where}", f"http://{name}:8080/file", code=97)
            curl(one, "-p", "-x", f"http://{where}", f"http://{name}:8080/file", code=56)
        curl(one, "-x", f"socks5h://{where}", "http://a:8081/file", code=97)  # nothing listens there
        check("405" in curl(one, "-i", "-x", f"http://{where}", "http://a:8080/file"), "a request without CONNECT")
        mine, one.before = one.before, []
        for uid in ("4242", "0"):
            theirs = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"]
            for proxy in (f"socks5h://{where}", f"socks5h://localhost{path}"):
                r = one.run(*theirs, "curl", "-sS", "-m", "20", "-x", proxy, "http://a:8080/file", check_rc=False)
                check(r.code != 0 and r.out == "", f"what user {uid} gets by {proxy}: {r}")
        one.before = mine
        equal(program.end(), 0, "exit code")
        equal(by_path.end(), 0, "exit code")
        one.run("rmdir", path[:-len("/socket")])


@scenario
def serve_leads_members_to_programs_outside(lab):
    """A web server and a game's datagrams, where rules let members in; through a restart; and nobody of this machine."""
    _, a, hosts, _ = three_ways_into_the_overlay(lab)

    def gets_in(to):
        return a.run(a.python, "-c", INTRUDER, to).out != ""

    for i, one in enumerate(hosts):
        outside = one.start("/usr/bin/python3", "-c", SERVER, "127.0.0.1", name="outside")
        one.start("/usr/bin/python3", "-c", UDP_ECHO, "127.0.0.1", "27016", name="game")
        wait("the server", lambda o=outside: o.text().count("listens") == 3)
        addr = one.addr()
        web, where = forward(one, "8000", "7000", command="serve")
        equal(where, f"{addr}:8000", "where it listens")
        udp = i < 2
        if udp:
            game, _ = forward(one, "-u", "27015", "localhost:27016", command="serve")
        else:
            check("lwIP" in one.ctl("serve", "-u", 27015, 27016, code=11).err, "datagrams with lwIP")
        talk, _ = forward(one, "8001", "127.0.0.1:7001", command="serve")
        for to in (addr, one.addr(family=6)):
            equal(send(a, f"{to}:8000", 2000000), "heard 2000000", to)
            check(not udp or a.udp_ask(to, 27015).split()[0] == "127.0.0.1", "the game's answer")
        equal(send(a, f"{addr}:8001", 10), "bye", "a server that ends first")
        wait("what is said after its end", lambda o=outside: "heard 10 after the end" in o.text())
        # those of the machine itself do not come in as this user
        equal(send(one, "127.0.0.1:7000", 1), "heard 1", "the server itself")
        equal(send(one, f"{addr}:8000", 1, check_rc=False), "", "what programs of this machine get")
        equal(one.run(*one.inside, "/usr/bin/python3", "-c", CLIENT, f"{addr}:8000", "1", check_rc=False).out, "",
              "what programs in the inside get")
        listed = [(x["protocol"], x["port"], x["to"]) for x in one.json("serve")["served"]]
        equal(sorted(listed), [("tcp", 8000, "127.0.0.1:7000"), ("tcp", 8001, "127.0.0.1:7001"),
                               ("udp", 27015, "localhost:27016")][:2 + udp], "what is served")
        check("is in use" in one.ctl("serve", 8000, 7003, code=1).err, "the port once more")
        if i == 0:
            one.ctl("serve", 80, 7000, code=5)
        else:
            low, _ = forward(one, "80", "7000", command="serve")
            equal(send(a, f"{addr}:80", 1), "heard 1", "a port below 1024")
            equal(low.end(), 0, "exit code")
        if udp:  # where users may make namespaces: from another container of this network
            there = ["unshare", "--user", "--map-current-user", "--pid", "--fork", lab.bin("p2pvpnctl"), "serve"]
            r = one.run(*there)
            check(re.search(r"tcp/8001 .* -\n", r.out), f"the list in a container: {r}")
            r = one.run(*there, "remove", "8001", check_rc=False)
            check(r.code == 1 and "another container" in r.err, f"remove in a container: {r}")
        one.ctl("serve", "remove", 8001)
        equal(talk.popen.wait(timeout=20), 0, "exit code of what was removed")
        wait("its end", lambda o=one: len(o.json("serve")["served"]) == 1 + (o is not hosts[2]))
        check(not gets_in(f"{addr}:8001"), "what was removed")
        # a rule keeps a out, and lets it in again
        check(gets_in(f"{addr}:8000"), "a before the rule")
        a.ctl("deny", "a", one.name, "tcp/8000")
        wait("the rule", lambda to=addr: not gets_in(f"{to}:8000"))
        check(not udp or a.udp_ask(addr, 27015), "what the rule is not about")
        a.ctl("rules", "remove", 1)
        wait("the rule's end", lambda to=addr: gets_in(f"{to}:8000"))
        mine, one.before = one.before, [] if i == 0 else one.before
        one.restart_daemon()
        one.before = mine
        wait("what is served after a restart", lambda to=addr: gets_in(f"{to}:8000"), 30)
        wait("datagrams after a restart", lambda to=addr, u=udp: not u or a.udp_ask(to, 27015), 20)
        for program in (web, game)[:1 + udp]:
            equal(program.end(), 0, "exit code")


@scenario
def a_thousand_connections_are_open_at_once(lab):
    """The next one waits until one of them ends."""
    _, a, hosts, _ = three_ways_into_the_overlay(lab)
    for one in hosts:
        program, where = forward(one, "0", "a:7000")
        crowd = one.start("/usr/bin/python3", "-c", CROWD, where, "1000", name="crowd")
        wait("all to be open", lambda c=crowd: c.must_run() or "open" in c.text(), 60)
        more = one.start("/usr/bin/python3", "-c", CROWD, where, "20", name="more")
        wait("what forward says", lambda p=program: "1,000 connections" in p.text() or "done" in crowd.text(), 60)
        for client in (crowd, more):
            wait("all to be answered", lambda c=client: "done" in c.text() or c.must_run(), 60)
        equal(program.end(), 0, "exit code")


@scenario(long="35 minutes of silence", minutes=45)
def connections_that_say_nothing_live(lab):
    """Longer than paths are kept that nobody uses, and than a dead other end would be asked by the kernel or lwIP."""
    _, a, hosts, _ = three_ways_into_the_overlay(lab)
    talkers, pipes, served = [], [], []
    for one in hosts:
        outside = one.start("/usr/bin/python3", "-c", SERVER, "127.0.0.1", name="outside")
        wait("the server", lambda o=outside: o.text().count("listens") == 3)
        forward(one, "8000", "7000", command="serve")
        served.append(f"{one.addr()}:8000")
        talkers.append(one.start("/usr/bin/python3", "-c", IDLER, forward(one, "0", "a:7000")[1], name="idler", stdin=-1))
        pipes.append(one.start(lab.bin("p2pvpnctl"), "nc", "a", "7000", name="nc", stdin=-1))
        pipes[-1].popen.stdin.write(b"x")
        pipes[-1].popen.stdin.flush()
    talkers.append(a.start("/usr/bin/python3", "-c", IDLER, *served, name="idler", stdin=-1))
    for talker in talkers:
        wait("all to be open", lambda t=talker: t.must_run() or "open" in t.text(), 20)
    pause(2100, "KEEP_IDLE and 15 questions of KEEP_EVERY are 30 minutes")
    for talker in talkers:
        talker.popen.stdin.write(b"\n")
        talker.popen.stdin.close()
    for talker in talkers:
        equal(talker.popen.wait(timeout=60), 0, f"exit code of who was silent: {talker.text()}")
    for nc in pipes:
        nc.popen.stdin.write(b"y")
        nc.popen.stdin.close()
        equal(nc.popen.wait(timeout=60), 0, f"exit code of nc: {nc.text()}")
        check("heard 2" in nc.text(), nc.text())


def open_pipe(lab, one, other, *words, stdin=None, words_of_first=(), terminal=-1):
    """Both ends, with standard output in a file, and standard input from one of the home directory, or typed; the
    second's may be a terminal."""
    ends = []
    token = None
    for host, also in ((one, words_of_first), (other, words)):
        out = host.run("sh", "-c", 'mktemp "${XDG_RUNTIME_DIR}/out.XXXXXX"').out.strip()
        said = [] if token is None else [token]
        cmd = " ".join([lab.bin("p2pvpnctl"), "-q", "pipe", *said, *[f"'{w}'" for w in also]])
        said = "" if stdin is None else f"<$HOME/{stdin}"
        end = host.start("sh", "-c", f"exec {cmd} >{out} {said}", name="pipe", stdin=-1 if token is None else terminal)
        ends.append((end, out))
        if token is None:
            token = wait("the token", lambda e=end: e.must_run() or
                         re.search("p2pvpn-[A-Za-z0-9_-]{80,}", e.text()), 30).group()
    return ends


PIPED = 1000000000 if LONG else 30000000  # bytes each way


@scenario(minutes=20 if LONG else 4)
def a_pipe_joins_two_machines(lab):
    """Bytes both ways and each end, a program, a port; nothing is left; a killed end is noticed."""
    coordinator = lab.coordinator()
    a = lab.host("a", lab.lan("lan-a", "profile=port-restricted"))
    b = lab.host("b", lab.lan("lan-b", "profile=symmetric"))
    a.without_root()
    b.without_root(denied=True)  # lwIP is in the kernel's place there
    for one in (a, b):
        one.before += ["env", f"P2PVPN_COORDINATOR={coordinator.url()}"]

    # Meanwhile one waits for a second that has joined and comes no further.
    c, d = lab.host("c"), lab.host("d")
    for one in (c, d):
        one.without_root(1971)
    lonely = c.start(lab.bin("p2pvpnctl"), "-q", "pipe", name="lonely", env={"P2PVPN_COORDINATOR": coordinator.url()})
    token = wait("the token", lambda: lonely.must_run() or re.search("p2pvpn-[A-Za-z0-9_-]{80,}", lonely.text()), 30)
    d.daemon()
    d.ctl("join", token.group(), "--name", "second")

    def left():
        files = [x for one in (a, b) for x in one.run(
            "sh", "-c", "ls -d $XDG_RUNTIME_DIR/p2pvpn* $HOME/.local/state/p2pvpn 2>/dev/null", check_rc=False).out.split()]
        return files + a.run("pgrep", "-x", "-u", "65534", "p2pvpnd", check_rc=False).out.split()  # of both

    (first, out1), (second, out2) = open_pipe(lab, a, b)
    first.popen.stdin.write(b"x" * 3000000)
    first.popen.stdin.close()
    wait("what the first says", lambda: b.run("wc", "-c", out2).out.split()[0] == "3000000", 60)
    check(first.running() and second.running(), "an end before both have ended")
    second.popen.stdin.write(b"back")
    second.popen.stdin.close()
    for end in (first, second):
        equal(end.popen.wait(timeout=30), 0, f"exit code: {end.text()}")
    equal(a.run("cat", out1).out, "back", "what the second said")
    wait("nothing to be left", lambda: not left())

    # much, both ways at once
    for one in (a, b):
        one.run("sh", "-c", f"rm $XDG_RUNTIME_DIR/out.*; head -c {PIPED} /dev/urandom >$HOME/much; "
                "ln -s /dev/zero $HOME/endless")
    ends = [end for end, _ in open_pipe(lab, a, b, stdin="much")]
    for end in ends:
        equal(end.popen.wait(timeout=(90 + PIPED / 1000000) * SLOW), 0, f"exit code: {end.text()}")
    sums = [[one.run("sh", "-c", f"cat {path} | cksum", timeout=60).out
             for path in ("$HOME/much", "$XDG_RUNTIME_DIR/out.*")] for one in (a, b)]
    equal(sums[0], sums[1][::-1], "checksums of what was said and heard")
    wait("nothing to be left", lambda: not left())

    # what is typed at a terminal is not waited for when the other end has ended
    keyboard, terminal = pty.openpty()
    (first, _), (second, out2) = open_pipe(lab, a, b, terminal=terminal)
    first.popen.stdin.write(b"hello")
    first.popen.stdin.close()
    for end in (first, second):
        equal(end.popen.wait(timeout=30), 0, f"exit code: {end.text()}")
    equal(b.run("cat", out2).out, "hello", "what the first said to a terminal's end")
    os.close(keyboard)
    os.close(terminal)
    wait("nothing to be left", lambda: not left())

    # a program at one end, and a port at the other
    b.start("/usr/bin/python3", "-c", SERVER, "127.0.0.1", name="outside")
    wait("the server", lambda: b.run("ss", "-Hltn", "sport = :7003").out.strip())
    (first, out1), (second, _) = open_pipe(lab, a, b, "--forward", "7000",
                                           words_of_first=("--", "sh", "-c", "echo hello; exec >&-; cat >$HOME/got; exit 7"))
    equal(first.popen.wait(timeout=60), 7, "the program's exit code")
    equal(second.popen.wait(timeout=30), 0, f"exit code: {second.text()}")
    equal(a.run("sh", "-c", "cat $HOME/got").out, "heard 6", "what the port said")
    wait("nothing to be left", lambda: not left())

    # either end is killed, idle or not
    def heard():
        return [int(one.run("sh", "-c", "cat $XDG_RUNTIME_DIR/out.* | wc -c").out) for one in (a, b)]
    for which, stdin in itertools.product((0, 1), (None, "endless")):
        for one in (a, b):
            one.run("sh", "-c", "rm $XDG_RUNTIME_DIR/out.*")
        ends = [end for end, _ in open_pipe(lab, a, b, stdin=stdin)]
        for end in ends if stdin is None else ():
            end.popen.stdin.write(b"hello")
            end.popen.stdin.flush()
        wait("both to be joined", lambda s=stdin: min(heard()) >= (5 if s is None else 1000000), 60)
        ends[which].end(signal.SIGKILL)
        equal(ends[1 - which].popen.wait(timeout=5), 1, "exit code when the other end is killed")
        check("the other end" in ends[1 - which].text(), ends[1 - which].text())
        wait("nothing to be left", lambda: not left())
    for one in (a, b):
        one.run("sh", "-c", "rm $XDG_RUNTIME_DIR/out.*")
    a.ctl("pipe", "--coordinator", "nonsense", code=12)
    wait("nothing to be left", lambda: not left())
    equal(lonely.popen.wait(timeout=90), 1, f"exit code of one that waits alone: {lonely.text()}")
    check("begin again" in lonely.text(), lonely.text())


@scenario(minutes=4)
def a_pipe_lives_through_what_no_end_has_caused(lab):
    """A line that loses all for a while, a NAT that forgets, an end that stands still, a coordinator that is begun
    anew; then p2pvpnd of one end dies with all that it had to say, a line is cut for good, and the coordinator is away
    when the ends part."""
    coordinator = lab.coordinator()
    lan = lab.lan("lan-b", "profile=symmetric")
    a, b = lab.host("a", lab.lan("lan-a", "profile=port-restricted")), lab.host("b", lan)
    a.without_root(1971)
    b.without_root(1972, denied=True)
    a.run("sh", "-ec", "umask 077; mkdir -p $HOME/.config/p2pvpn; cat >$HOME/.config/p2pvpn/p2pvpnctl.conf",
          stdin=f"[pipe]\ncoordinator = {coordinator.url()}\n")
    lines = itertools.count()

    def joined(ends, hosts=(a, b)):
        """A line that is typed at each end comes out of the other."""
        line = f"line {next(lines)}\n"
        for end, _ in ends:
            end.must_run()
            end.popen.stdin.write(line.encode())
            end.popen.stdin.flush()
        for host, (_, out) in zip(hosts, ends):
            wait(f"{line!r} at {host.name}", lambda h=host, o=out: all(end.must_run() for end, _ in ends) or
                 line in h.run("cat", o).out, 60)

    ends = open_pipe(lab, a, b)
    joined(ends)
    lan.nat.set(loss="100%")
    pause(8, "two beats and more are lost, and what TCP repeats")
    lan.nat.set(loss="0")
    joined(ends)
    lan.nat.flush()
    joined(ends)
    for end, _ in ends:
        end.popen.send_signal(signal.SIGSTOP)
        pause(8, "as long, and the other end hears nothing")
        end.popen.send_signal(signal.SIGCONT)
        joined(ends)
    coordinator.restart()
    joined(ends)
    # relayed by the coordinator alone, which stays away for longer than two beats
    lan.nat.set(udp="off")
    joined(ends)
    coordinator.end()
    pause(6, "more silence than an end takes for that of another that is alive")
    coordinator.start()
    joined(ends)
    lan.nat.set(udp="all")
    for end, _ in ends:
        end.popen.stdin.close()
    for end, _ in ends:
        equal(end.popen.wait(timeout=30), 0, f"exit code: {end.text()}")

    # all processes of an end die at once, so that no kernel and no p2pvpnd says it
    for victim, other in ((0, 1), (1, 0)):
        ends = open_pipe(lab, a, b)
        joined(ends)
        host, survivor = (a, b)[victim], ends[other][0]
        for sig, name in (("-STOP", "^p2pvpnd$"), ("-KILL", "^p2pvpn")):
            host.run("pkill", sig, "-u", str(1971 + victim), name)
        equal(survivor.popen.wait(timeout=5), 1, "exit code when all of the other end is killed")
        check("the other end has ended" in survivor.text(), survivor.text())

    ends = open_pipe(lab, a, b)
    joined(ends)
    lan.nat.set(loss="100%")
    for end, _ in ends:
        equal(end.popen.wait(timeout=45), 1, "exit code when the line is cut")
    check("is not reached any more" in ends[1][0].text(), ends[1][0].text())

    c, d = lab.host("c"), lab.host("d")
    for one in (c, d):
        one.without_root(1973)
        one.before += ["env", f"P2PVPN_COORDINATOR={coordinator.url()}"]
    ends = open_pipe(lab, c, d)
    joined(ends, (c, d))
    coordinator.end()
    joined(ends, (c, d))
    for end, _ in ends:
        end.popen.stdin.close()
    for end, _ in ends:
        equal(end.popen.wait(timeout=90), 0, f"exit code without the coordinator: {end.text()}")


@scenario
def a_container_needs_nothing_but_a_token(lab):
    """The program that the image of a node runs, where a container of docker's default profile denies all."""
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    b.without_root(denied=True)
    a.daemon()
    a.create(coordinator.url())
    token = a.ctl("invite").out.strip()
    server = a.start(a.python, "-c", SERVER, a.addr(), name="server")
    outside = b.start("/usr/bin/python3", "-c", SERVER, "127.0.0.1", name="outside")
    for one in (server, outside):
        wait("the server", lambda o=one: o.text().count("listens") == 3)
    home = b.run("sh", "-c", "echo $HOME").out.strip()
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../dist/container/p2pvpn-node")
    node = ["env", f"PATH={os.path.dirname(lab.bin('p2pvpnd'))}:/usr/bin:/bin", f"P2PVPN_RUN={home}/r",
            f"P2PVPN_STATE={home}/volume", "P2PVPN_SERVE=8000:127.0.0.1:7000 8001:7001", "P2PVPN_FORWARD=9000:a:7000"]
    r = b.run(*node, "sh", script, check_rc=False, timeout=60)
    check(r.code == 1 and "P2PVPN_TOKEN" in r.err, f"without a token: {r}")

    def is_healthy():
        return b.run(*node, "sh", script, "health", check_rc=False).code == 0
    for given in ([f"P2PVPN_TOKEN={token}", "P2PVPN_NAME=web"], []):  # the second time it is a member
        program = b.start(*node, *given, "sh", script, name="node")
        wait("its health", lambda p=program: p.must_run() or is_healthy(), 30)
        addr = b.run(*node, "sh", script, "ip").out.split()[0]
        equal(a.ctl("ip", "web").out.split()[0], addr, "its name")
        wait("members to get in", lambda to=addr: send(a, f"{to}:8000", 10, check_rc=False) == "heard 10", 20)
        equal(send(a, f"{addr}:8001", 10), "bye", "the second port")
        wait("the way to a member", lambda: send(b, "127.0.0.1:9000", 10, check_rc=False) == "heard 10", 20)
        mine, b.before = b.before, []
        for name in ("p2pvpnd", "p2pvpnctl"):
            pid = b.run("pgrep", "-u", "65534", "-r", "S", "-x", name).out.split()[0]
            check("P2PVPN_TOKEN=" not in b.run("cat", f"/proc/{pid}/environ").out, f"the token in {name}'s environment")
        b.before = mine
        equal(program.end(), 0, "exit code")
        wait("all to have ended",
             lambda: not a.run("pgrep", "-u", "65534", "-r", "R,S,D", "p2pvpn", check_rc=False).out)
        check(not is_healthy(), "health of what does not run")


class Podman:
    """podman of an ordinary user of this host, who has uids of his own as adduser(8) gives them."""

    def __init__(self, host, image):
        self.host, self.lab, self.n = host, host.lab, 0
        # Over /run and /var/lib podman mounts others, where containers have a network for themselves.
        uid, home = dict(USERS)["alice"], "/home/alice"
        host.run("mount", "-t", "tmpfs", "tmpfs", "/home")
        host.control_groups()
        host.run("sh", "-ec", USERS_OWN, "own", home, str(uid))
        host.run("chmod", "1777", "/var/tmp")  # podman makes its own image for pods there
        host.run("sh", "-ec", "for f in subuid subgid; do echo alice:100000:65536 >/etc/$f; done;"
                 "mkdir -p $0/.config/containers; cat >$0/.config/containers/containers.conf;"
                 "chown -R alice $0", home, stdin=PODMAN)
        # Not without_root(): newuidmap(1), by which podman becomes root in its containers, is setuid.
        host.before = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--", "env", f"HOME={home}",
                       f"XDG_RUNTIME_DIR={home}/run", "USER=alice", f"TMPDIR={home}", "DISABLE_HC_SYSTEMD=true",
                       "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        r = host.run("podman", "unshare", "true", check_rc=False)
        if r.code != 0:
            raise Skip(f"rootless podman is denied here: {r.err.strip()}")
        host.run("podman", "load", "-q", "-i", image, timeout=120)

    def node(self, *options):
        """A container of the image in a network of its own, behind slirp4netns as behind a NAT."""
        self.n += 1
        name = f"node{self.n}"
        self.host.run("podman", "run", "-d", "--name", name, "--network", "slirp4netns:allow_host_loopback=true",
                      *options, "p2pvpn-node", timeout=60)

        def is_healthy():
            r = self.host.run("podman", "inspect", "-f", "{{.State.Running}}", name)
            if r.out.strip() != "true":
                raise Failure(f"it has ended: {self.host.run('podman', 'logs', name, check_rc=False)}")
            return self.host.run("podman", "healthcheck", "run", name, check_rc=False).code == 0
        wait(f"the health of {name}", is_healthy, 60)
        return name

    def ctl(self, name, *args):
        return self.host.run("podman", "exec", name, "p2pvpn-node", *args)

    def hears(self, name, address, port):
        """The answer that a program of the container gets there."""
        return self.host.run("podman", "exec", name, "timeout", "10", "bash", "-c", f"cat </dev/tcp/{address}/{port}",
                             check_rc=False).out

    def stop(self, name):
        self.host.run("podman", "stop", "-t", "20", name, timeout=40)
        code = self.host.run("podman", "inspect", "-f", "{{.State.ExitCode}}", name).out.strip()
        equal(code, "0", f"exit code: {self.host.run('podman', 'logs', name, check_rc=False)}")


PODMAN = """
[containers]
cgroups = "disabled"
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
[network]
network_backend = "netavark"
"""


@scenario(long="needs an image: tests/install/container.sh makes one and runs this", minutes=8)
def rootless_podman_runs_the_image(lab):
    """With a token alone, with the kernel's network, and with NET_ADMIN as the full daemon."""
    image = os.environ.get("PV_LAB_IMAGE")
    if not image:
        raise Skip("no PV_LAB_IMAGE: tests/install/container.sh makes one and runs this")
    for tool in ("podman", "newuidmap", "slirp4netns"):
        if shutil.which(tool) is None:
            raise Skip(f"{tool} is not installed: scripts/deps long")
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b", lab.lan("lan-b", "profile=port-restricted"))
    podman = Podman(b, image)
    a.daemon()
    a.create(coordinator.url())
    token = a.ctl("invite", "--ephemeral", "--uses", 4).out.strip()
    a.start(a.python, "-c", SERVER, a.addr(), name="server")
    outside = b.start("/usr/bin/python3", "-c", SERVER, "127.0.0.1", name="outside")
    wait("the server", lambda: outside.text().count("listens") == 3)
    given = ["-e", f"P2PVPN_TOKEN={token}", "-e", "P2PVPN_NAME=web", "-e", "P2PVPN_SERVE=8000:10.0.2.2:7000",
             "-e", "P2PVPN_FORWARD=9000:a:7001"]
    for options, stack in ((["--cap-drop=all", "--security-opt", "no-new-privileges"], "lwip"),
                           (["--security-opt", "seccomp=unconfined", "--device", "/dev/net/tun"], "kernel"),
                           (["--cap-add", "NET_ADMIN", "--device", "/dev/net/tun"], None)):
        node = podman.node(*given, *options)
        status = json.loads(podman.ctl(node, "status", "--json").out)
        equal(status["stack"], stack, f"who speaks TCP in {node}")
        addr = a.ctl("ip", "web").out.split()[0]
        wait("members to get in", lambda to=addr: send(a, f"{to}:8000", 10, check_rc=False) == "heard 10", 30)
        wait("the way to a member", lambda n=node: podman.hears(n, "127.0.0.1", 9000) == "bye", 20)
        if stack is None:  # all programs of the container are in the network
            check(a.os_ping(addr), "ping")
            equal(podman.hears(node, a.addr(), 7001), "bye", "a program's connection to a member")
        podman.stop(node)
        check("web" not in a.peers(), "an ephemeral member after its end")

    # a member that stays has its keys in a volume, and no token the second time
    token = a.ctl("invite").out.strip()
    for token in (["-e", f"P2PVPN_TOKEN={token}"], []):
        node = podman.node("-v", "node:/var/lib/p2pvpn", "-e", "P2PVPN_NAME=kept", *token)
        wait("it to be there", lambda: (a.peer("kept") or {}).get("online"), 20)
        podman.stop(node)
        check("kept" in a.peers(), "the member after its end")


# A stand-in for the program beside the node in the examples: it says what it is to whoever connects.
APP = ("perl", "-MIO::Socket::INET", "-e", "$| = 1; my $l = IO::Socket::INET->new(LocalAddr => '0.0.0.0', LocalPort => "
       "shift, Listen => 5, ReuseAddr => 1) or die; while (my $c = $l->accept) { print $c 'the app'; close $c }")


def example(name):
    with open(os.path.join(ROOT, "dist/container", name), encoding="utf-8") as f:
        return f.read()


@scenario(long="needs an image: tests/install/container.sh makes one and runs this", minutes=8)
def the_examples_for_compose_and_kubernetes_run(lab):
    """By podman-compose, and by `podman kube play`, which knows no StatefulSet, but its pod. Other programs are in the
    containers beside the node's, and what podman 4.3 lacks of Kubernetes is made up for."""
    image = os.environ.get("PV_LAB_IMAGE")
    for tool in ("podman", "newuidmap", "slirp4netns", "podman-compose"):  # and netavark, aardvark-dns
        if not image or not yaml or shutil.which(tool) is None:
            raise Skip(f"{tool} is not installed: scripts/deps long" if image else
                       "no PV_LAB_IMAGE: tests/install/container.sh makes one and runs this")
    coordinator = lab.coordinator()
    db, b = lab.host("db"), lab.host("b", lab.lan("lan-b", "profile=port-restricted"))
    Podman(b, image)
    db.daemon()
    db.create(coordinator.url())
    db.start(*APP, "5432", name="database")
    home = b.run("sh", "-c", "echo $HOME").out.strip()

    def serves(name, port):
        wait(f"{name} to be a member", lambda: (db.peer(name) or {}).get("online"), 60)
        addr = db.ctl("ip", name).out.split()[0]
        wait("members to reach its app", lambda: send(db, f"{addr}:{port}", 1, check_rc=False) == "the app", 60)

    app = {"image": "localhost/p2pvpn-node", "entrypoint": [word.replace("$", "$$") for word in (*APP, "80")]}
    project = yaml.safe_load(example("compose.yaml"))
    project["services"]["app"] = app
    project["services"]["node"]["image"] = app["image"]
    b.run("sh", "-c", "mkdir $HOME/web; cat >$HOME/web/compose.yaml", stdin=yaml.safe_dump(project))
    compose = ["env", f"P2PVPN_TOKEN={db.ctl('invite').out.strip()}",
               "podman-compose", "-f", f"{home}/web/compose.yaml"]
    b.run(*compose, "up", "-d", timeout=120)
    serves("web", 8080)
    b.run(*compose, "down", timeout=120)

    stateful = yaml.safe_load(example("sidecar.yaml"))["spec"]
    spec, claims = stateful["template"]["spec"], stateful["volumeClaimTemplates"]
    for container in spec["containers"]:
        container["image"] = app["image"]
    spec["containers"][0]["command"] = [*APP, "3000"]
    spec["volumes"][0]["secret"]["optional"] = False  # podman 4.3 dies where it stands nowhere
    spec["volumes"] += [{"name": c["metadata"]["name"],
                         "persistentVolumeClaim": {"claimName": c["metadata"]["name"]}} for c in claims]
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "p2pvpn"},
              "data": {"token": db.ctl("invite").out.strip()}}  # podman 4.3 would not decode base64
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app"}, "spec": spec}
    for claim in claims:  # podman knows no fsGroup
        b.run("podman", "run", "--rm", "--user", "0", "-v", f"{claim['metadata']['name']}:/var/lib/p2pvpn",
              "--entrypoint", "chown", "p2pvpn-node", str(spec["securityContext"]["fsGroup"]), "/var/lib/p2pvpn", timeout=60)
    b.run("podman", "secret", "create", "p2pvpn", "-", stdin=yaml.safe_dump(secret))
    b.run("podman", "kube", "play", "-", stdin=yaml.safe_dump(pod), timeout=120)
    serves(wait("the pod's node", lambda: [name for name in db.peers() if name != "web"], 60)[0], 8080)
    wait("the app to reach the database", lambda: b.run(
        "podman", "exec", "app-app", "timeout", "10", "bash", "-c", "cat </dev/tcp/127.0.0.1/5432",
        check_rc=False).out == "the app", 30)


@scenario(minutes=6)
def the_demo_and_the_lab_need_no_root(lab):
    """The README's first command without capabilities, and scenarios where adduser(8) gave uids of one's own."""
    b = lab.host("b")
    demo = os.path.join(ROOT, "scripts/demo")
    if b.run("setpriv", "--reuid=1972", "--clear-groups", "--", "test", "-r", demo, check_rc=False).code != 0:
        raise Skip(f"others may not read {ROOT}")
    b.run("sh", "-c", "echo carol:x:1972:1972::/nonexistent:/bin/sh >>/etc/passwd; echo carol:x:1972: >>/etc/group")
    b.without_root(1972)
    bin_dir = os.path.dirname(lab.bin("p2pvpnd"))
    shown = b.start("env", f"PV_DEMO_BIN={bin_dir}", demo, name="demo")
    equal(shown.popen.wait(timeout=150 * SLOW), 0, f"exit code of the demo: {shown.text()[-3000:]}")
    check("demo: ok" in shown.text() and "logged in on pi" in shown.text(), shown.text())

    own = os.path.join(lab.logs, "own")  # a build directory of carol's, with these programs
    mine, b.before = b.before, []
    b.run("sh", "-ec", "mkdir $0; ln -s $1 $0/bin; chown carol $0; for f in subuid subgid; do echo carol:300000:65536 "
          ">/etc/$f; done", own, bin_dir)
    # newuidmap(1) is setuid
    b.before = [word for word in mine if word not in ("--bounding-set=-all", "--no-new-privs")]
    r = b.run("env", "USER=carol", os.path.join(ROOT, "scripts/lab"), "--build", own, "meet.linux_masquerading",
              "user.root_without_capabilities_is_a_user_like_others", check_rc=False, timeout=100)
    denied = "newuidmap" in r.out or "can be none" in r.out  # as where the lab itself has too few uids
    check(r.code == 77 and denied or r.code == 0 and r.out.count("ok  ") == 2, f"scripts/lab of a user: {r}")


@scenario
def ssh_goes_by_nc_and_by_run(lab):
    coordinator = lab.coordinator()
    a, b, c = lab.host("a"), lab.host("b"), lab.host("c")
    c.without_root()
    lab.network(coordinator, [a, b, c])
    b.wait_direct(a)
    c.wait_direct(a)
    ssh_login(b, a, a.addr())
    key = c.run("sh", "-c", "umask 077; cat >$HOME/key; echo $HOME/key", stdin=b.run("cat", "/run/user").out).out.strip()
    for one, key, run in ((b, "/run/user", ""), (c, key, ""), (c, key, f"{lab.bin('p2pvpnctl')} run ")):
        proxy = "" if run else f"-o ProxyCommand='{lab.bin('p2pvpnctl')} nc %h %p' "
        r = one.run("sh", "-c", f"cd {os.path.dirname(key)}; head -c 3000000 /dev/urandom >f; sha256sum <f; "
                    f"{run}ssh -F none -i {key} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null "
                    f"-o BatchMode=yes {proxy}root@a sha256sum <f", timeout=60)
        first, second = r.out.split("\n")[:2]
        equal(second, first, f"checksum of 3 MB over ssh from {one.name} {run}")
