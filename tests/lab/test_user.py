# SPDX-License-Identifier: MIT
"""p2pvpnd --user: a network for one user, without root and without a way to it."""

import contextlib
import os
import pty
import re
import select

from lab import check, equal, scenario, wait

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
    ask = json.loads(c.makefile().readline())
    c.sendall(json.dumps({'id': ask['id'], 'ok': True, 'code': 0, 'inside': p.pid}).encode() + b'\\n')
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

    a.run("sh", "-c", "head -c 3000000 /dev/urandom >/run/one")
    b.run("sh", "-c", "head -c 3000000 /dev/urandom >$HOME/two")
    home = b.run("sh", "-c", "echo $HOME").out.strip()
    for number, sender, receiver, path, target in ((1, a, b, "/run/one", home), (2, b, a, f"{home}/two", "/run")):
        sending = sender.start(lab.bin("p2pvpnctl"), "send-file", receiver.name, path, name="send-file")
        wait("the offer", lambda to=receiver, n=number: len(to.json("files")["files"]) == n)
        receiver.ctl("files", "accept", str(number), "--dir", target)
        equal(sending.popen.wait(timeout=20), 0, f"send-file to {receiver.name}")
    for name in ("one", "two"):
        equal(a.run("cksum", f"/run/{name}").out.split()[0], b.run("cksum", f"{home}/{name}").out.split()[0], name)


@scenario
def a_program_in_the_inside_is_as_it_is_outside(lab):
    """Exit codes, signals, user, environment; what is not the overlay is not there."""
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    b.without_root()
    lab.network(coordinator, [a, b])
    equal(b.ctl("run", "sh", "-c", "exit 7", check_rc=False).code, 7, "exit code")
    equal(b.ctl("run", "--", "id", "-u").out.strip(), "65534", "user")
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
    sleeper = b.start(lab.bin("p2pvpnctl"), "run", "sleep", "60", name="run")
    b.wait_peer(a)
    wait("sleep", lambda: "sleep" in b.run("ps", "-eo", "args=").out)
    b.restart_daemon()
    wait("what run says", lambda: "p2pvpnd has ended" in sleeper.text())
    sleeper.end()
    wait("b to reach a again", lambda: b.os_ping(a.addr()), timeout=20)


@scenario
def another_user_of_the_machine_gets_nothing(lab):
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    b.without_root(4711)  # whom passwd does not know
    lab.network(coordinator, [a, b])
    b.wait_direct(a)
    equal([(n["name"], n["user"]) for n in b.json("networks")["networks"]], [("default", True)], "networks")
    home = b.run("sh", "-c", "echo $HOME").out.strip()
    addr, mine = b.addr(), b.before
    tried = [f"{home}/run/p2pvpn/p2pvpnd.sock", f"{home}/run/p2pvpn", f"{home}/.local/state/p2pvpn", f"{addr}:2047",
             f"{addr}:2048", "127.0.0.1:2047"]
    equal(len(b.ctl("run", b.python, "-c", INTRUDER, *tried).out.splitlines()), 5, "what the user gets")
    giver = b.run("pgrep", "-x", "p2pvpnd-giver").out.strip()
    b.before = []
    theirs = ["setpriv", "--reuid=1971", "--regid=1971", "--clear-groups", "--bounding-set=-all", "--"]
    equal(b.run(*theirs, b.python, "-c", INTRUDER, *tried).out, "", "what another user gets")
    r = b.run(*theirs, "nsenter", f"--net=/proc/{giver}/ns/net", "true", check_rc=False)
    check(r.code != 0, f"another user in the inside: {r}")
    r = b.run(*theirs, "env", f"XDG_RUNTIME_DIR={home}/run", "HOME=/nonexistent", lab.bin("p2pvpnctl"), "status",
              check_rc=False)
    equal(r.code, 8, f"p2pvpnctl of another user: {r}")
    # Root's p2pvpnctl follows no other user, who would rule what root starts there.
    b.run("install", "-d", "-o", "1971", "/run/liar")
    liar = b.start(*theirs, b.python, "-c", LIAR, "/run/liar/s", name="liar")
    wait("the liar", lambda: "ready" in liar.text())
    r = b.ctl("-S", "/run/liar/s", "run", "id", check_rc=False)
    check(r.code == 1 and "Operation not permitted" in r.err and r.out == "", f"run for a liar: {r}")
    b.before = mine
    b.ctl("status")


def rights(host, name):
    """What the process of this name has: capabilities, seccomp's mode, no_new_privs."""
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
    for name in ("p2pvpnd", "p2pvpnd-keeper", "p2pvpnd-door", "p2pvpnd-helper", "p2pvpnd-giver"):
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
def routes_exits_and_a_second_network(lab):
    """What others carry is reached by run, the world by an exit; each network has an inside of its own."""
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
def what_keeps_it_from_starting_is_named(lab):
    b = lab.host("b")
    b.without_root()
    home = b.run("sh", "-c", "echo $HOME").out.strip()
    daemon, mine = lab.bin("p2pvpnd"), b.before

    def refused(text, *argv):
        r = b.run(*argv, check_rc=False, timeout=20)
        check(r.code in (1, 5) and text in r.err, f"not {text}: {r}")
        equal(len(r.err.strip().splitlines()), 1, f"lines of {r}")
    refused("p2pvpnd --user", daemon)
    refused("File name too long", daemon, "--user", "--socket", f"{home}/{110 * 'x'}")
    refused("too long", "env", f"XDG_STATE_HOME=/{260 * 'x'}", daemon, "--user")
    b.before = []
    b.run("mount", "-t", "tmpfs", "tmpfs", "/dev/net")
    b.before = mine
    refused("modprobe tun", daemon, "--user")
    b.before = []
    b.run("umount", "/dev/net")
    # Root of a user namespace, which is nobody's but its own.
    inside = ["unshare", "--user", "--map-root-user", "--"]
    refused("does not exist in this user namespace", *inside, daemon, "--state", "/run/other")
    refused("user.max_user_namespaces", *inside, "env", "HOME=/run/third", "sh", "-c",
            f"echo 0 >/proc/sys/user/max_user_namespaces; exec {daemon} --user")
