# SPDX-License-Identifier: MIT
"""p2pvpnctl nc, forward, socks and serve: single connections into the overlay and out of it."""

import os
import re
import signal

from lab import SLOW, UDP_ASK, UDP_ECHO, check, equal, pause, scenario, ssh_login, wait
from talklab import CLIENT, INTRUDER, SERVER, forward, send, three_ways_into_the_overlay

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

# Hears connections and datagrams at port 7009, and says what came.
SINK = """
import os, socket, sys, threading
def say(what, n):
    os.write(1, b'%s %d\\n' % (what.encode(), n)) # of one thread at a time
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind((sys.argv[1], 7009))
t = socket.create_server((sys.argv[1], 7009), backlog=4096)
def datagrams():
    while True:
        data, who = u.recvfrom(65536)
        u.sendto(b'heard', who)
        say('udp', len(data))
threading.Thread(target=datagrams, daemon=True).start()
os.write(1, b'listens\\n')
while True:
    s, n = t.accept()[0], 0
    while data := s.recv(65536):
        n += len(data)
    s.close()
    say('tcp', n)
"""

# Says five bytes on N connections and in N datagrams, each from a socket of its own that is closed at once.
SAY_AND_CLOSE = """
import socket, sys
tcp, udp = (('127.0.0.1', int(x.rsplit(':', 1)[1])) for x in sys.argv[1:3])
for _ in range(int(sys.argv[3])):
    s = socket.create_connection(tcp)
    s.sendall(b'hello')
    s.close()
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    u.sendto(b'hello', udp)
    u.close()
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
u.settimeout(60)
for word in sys.argv[2:]:
    name, port = word.rsplit(':', 1)
    head = bytes([0, 0, 0, 3, len(name)]) + name.encode() + int(port).to_bytes(2, 'big')
    u.sendto(head + b'x', to)
    answer, who = u.recvfrom(65536)
    assert who == to and answer[:4] == bytes([0, 0, 0, 1]), answer
    print(socket.inet_ntoa(answer[4:8]), int.from_bytes(answer[8:10], 'big'), answer[10:].decode())
s.close()
"""


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
        equal(talk.ended(), 0, "exit code")
        wait("what is said after the end", lambda i=i: server.text().count("heard 12 after the end") == i + 1)
        check("no program listens" in one.ctl("nc", "a", 7002, code=11).err, "a port without a program")
        one.ctl("nc", "nobody", 7000, code=6)
        one.ctl("nc", "a", 70000, code=2)
        one.ctl("nc", coordinator.host.ip4, 22, code=6)  # no member's
        check(one.ctl("nc", "-u", "a", 7777, stdin="x").out.split()[0] == one.addr(), "the answer by UDP")
    user = hosts[1]
    a.ctl("deny", "any", "a", "tcp/7005")
    wait("the rule", lambda: not user.ctl("can", user.name, "a:7005", check_rc=False).code == 0)
    r = user.ctl("nc", "a", 7005, code=11)
    check(f"a rule of the network keeps a:7005 from this machine: `p2pvpnctl can {user.name} a:7005`" in r.err, r)
    # p2pvpnd with its network ends below it
    talk = user.start(*nc, "a", "7003", name="nc", stdin=-1)
    wait("the connection", lambda: "7003" in user.ctl("run", "ss", "-Htn", "state", "established").out)
    wait("nc to need p2pvpnd no more", lambda: "p2pvpnd.sock" not in user.run("ss", "-Hx", "state", "established").out)
    user.restart_daemon()
    equal(talk.ended(), 8, "exit code")
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
            r = one.run("/usr/bin/python3", "-c", UDP_ASK, host.strip("[]"), port, "0", "30", "x", check_rc=False)
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
        for before, patience in ((mine, 60), (theirs, 2), (mine, 60)):
            one.before = before
            talkers.append(one.start("/usr/bin/python3", "-c", THREE, udp, str(patience * SLOW), name="three"))
            wait("the datagrams", lambda t=talkers[-1]: "sent" in t.text())
        programs[3].popen.send_signal(signal.SIGCONT)
        for talker in talkers:
            equal(talker.ended(), 0, "exit code")
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
def a_program_may_close_at_once(lab):
    """By TCP and UDP: with root's p2pvpnd always, with a user's own if the machine has no other user; else each loss is
    counted."""
    coordinator = lab.coordinator()
    a, b, c = lab.host("a"), lab.host("b"), lab.host("c")
    c.without_root()
    lab.network(coordinator, [a, b, c])
    sink = a.start(a.python, "-c", SINK, a.addr(), name="sink")
    wait("the sink", lambda: "listens" in sink.text())
    b.wait_direct(a)
    c.wait_direct(a)
    b.before = b.as_user()

    def arrive(one):
        """How many of 50 connections and 50 datagrams arrive, and how many are said to be lost."""
        before = len(sink.text().splitlines())
        (tcp, at), (udp, at_udp) = forward(one, "0", "a:7009"), forward(one, "-u", "0", "a:7009")
        one.run("/usr/bin/python3", "-c", SAY_AND_CLOSE, at, at_udp, "50")
        # of programs that are still there, in the same queues
        send(one, at, 1)
        one.run("/usr/bin/python3", "-c", UDP_ASK, "127.0.0.1", at_udp.rsplit(":", 1)[1], "0", "30", "last")
        lost = []
        for program, what in ((tcp, "connections"), (udp, "datagrams")):
            equal(program.end(), 0, "exit code")
            n = re.search(rf"dropped {what} of programs that had closed them: (\d+)", program.text())
            lost.append(int(n.group(1)) if n else 0)

        def came():
            lines = sink.text().splitlines()[before:]
            got = [lines.count("tcp 5"), lines.count("udp 5")]
            return got + lost if [x + y for x, y in zip(got, lost)] == [50, 50] else None
        return wait("each to arrive or to be counted", came)

    equal(arrive(b), [50, 50, 0, 0], "with root's p2pvpnd")
    closed, at = forward(b, "-u", "0", "a:7010")
    b.run("/usr/bin/python3", "-c", "import socket, sys; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', "
          "('127.0.0.1', int(sys.argv[1])))", at.rsplit(":", 1)[1])
    wait("the word of a port that is closed", lambda: "a port 7010: no program takes datagrams" in closed.text())
    got = arrive(c)
    check(got[2] > 0 and got[3] > 0, f"nothing was refused beside another user: {got}")
    with open("/etc/passwd", encoding="utf-8") as f:
        services = [x for x in f if not 1000 <= int(x.split(":")[2]) < 60000]
    with open("/etc/passwd", "w", encoding="utf-8") as f:
        f.writelines(services)
    people = [p for p in os.listdir("/proc") if p.isdigit() and 1000 <= os.stat(f"/proc/{p}").st_uid < 60000]
    if not people and os.readlink("/proc/self/ns/pid") == "pid:[4026531836]":
        equal(arrive(c), [50, 50, 0, 0], "without another user")


@scenario(whole="half a minute of waiting")
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
        wait("the way back", lambda o=one, w=where: send(o, w, 10, check_rc=False) == "heard 10")
    # the member's rules take it away: what is open says so, what is new is refused
    user = hosts[1]

    def at_the_server():
        """The other ends of its connections at port 7003."""
        return {line.split()[3] for line in a.run("ss", "-Htn", "state", "established", "sport", "=", ":7003").out.splitlines()}

    def connected():
        """A forward, and a program with a connection by it to the server, which has it."""
        program, where = forward(user, "0", "a:7003")
        before = at_the_server()
        talk = user.start("/usr/bin/python3", "-c", TALKER, where, name="talker", stdin=-1)
        wait("the connection", lambda: "ready" in talk.text() and at_the_server() - before)
        return program, talk, where
    program, talk, where = connected()
    a.ctl("deny", "c", "a", "tcp/7003")
    talk.popen.stdin.write(b"x")
    talk.popen.stdin.flush()
    wait("what forward says", lambda: "rules of the network deny it" in program.text())
    wait("the connection's end", lambda: where not in user.run("ss", "-Htn", "state", "established").out)
    # and those that only hear, of which nothing is on its way
    a.ctl("rules", "remove", 1)
    program, talk, where = connected()
    a.ctl("deny", "c", "a", "tcp/7003")
    wait("what forward says", lambda: "rules of the network deny it" in program.text())


@scenario
def socks_leads_to_members_by_their_names(lab):
    """curl by SOCKS5 and by HTTP CONNECT at one port, UDP, a Unix socket; and nowhere else."""
    coordinator, a, hosts, _ = three_ways_into_the_overlay(lab)
    a.run("sh", "-c", "mkdir /run/web; echo hello from a >/run/web/file")
    web = a.start(a.python, "-m", "http.server", "8080", "--bind", a.addr(), "--directory", "/run/web", name="web")
    wait("the web server", lambda: web.must_run() or a.listens(8080))
    a.answer_udp(7777)

    def curl(one, *args, code=0):
        r = one.run("curl", "-sS", "-m", "60", *args, check_rc=False)
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
        # a plain request with a whole URL, as wget and apt send them, and one without
        equal(curl(one, "-x", f"http://{where}", "http://a:8080/file", "http://a:8080/file"), 2 * "hello from a\n", "curl")
        equal(one.run("env", f"http_proxy=http://{where}", "wget", "-qO-", "http://a:8080/file").out, "hello from a\n", "wget")
        check("502" in curl(one, "-i", "-x", f"http://{where}", "http://nobody:8080/file"), "nobody by a plain request")
        said = curl(one, "-i", f"http://{where}/")
        check("405" in said and "ask it for http://MEMBER/" in said, said)
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
        echo = one.start("/usr/bin/python3", "-c", UDP_ECHO, "127.0.0.1", "27016", name="game")
        wait("the servers", lambda o=outside, e=echo: o.text().count("listens") == 3 and "ready" in e.text())
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
            check(not udp or a.udp_ask(to, 27015, timeout=15).split()[0] == "127.0.0.1", "the game's answer")
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
        equal(talk.ended(), 0, "exit code of what was removed")
        wait("its end", lambda o=one: len(o.json("serve")["served"]) == 1 + (o is not hosts[2]))
        check(not gets_in(f"{addr}:8001"), "what was removed")
        # a rule keeps a out, and lets it in again
        wait("a to get in before the rule", lambda to=addr: gets_in(f"{to}:8000"))
        a.ctl("deny", "a", one.name, "tcp/8000")
        wait("the rule", lambda to=addr: not gets_in(f"{to}:8000"))
        check(not udp or a.udp_ask(addr, 27015, timeout=15), "what the rule is not about")
        a.ctl("rules", "remove", 1)
        wait("the rule's end", lambda to=addr: gets_in(f"{to}:8000"))
        mine, one.before = one.before, [] if i == 0 else one.before
        one.restart_daemon()
        one.before = mine
        wait("what is served after a restart", lambda to=addr: gets_in(f"{to}:8000"))
        wait("datagrams after a restart", lambda to=addr, u=udp: not u or a.udp_ask(to, 27015))
        for program in (web, game)[:1 + udp]:
            equal(program.end(), 0, "exit code")


@scenario(whole="three times a thousand connections", minutes=25)
def a_thousand_connections_are_open_at_once(lab):
    """The next one waits until one of them ends."""
    _, a, hosts, _ = three_ways_into_the_overlay(lab)
    for one in hosts:
        program, where = forward(one, "0", "a:7000")
        crowd = one.start("/usr/bin/python3", "-c", CROWD, where, "1000", name="crowd")
        wait("all to be open", lambda c=crowd: c.must_run() or "open" in c.text(), 400)
        more = one.start("/usr/bin/python3", "-c", CROWD, where, "20", name="more")
        wait("what forward says", lambda p=program: "1,000 connections" in p.text() or "done" in crowd.text(), 400)
        for client in (crowd, more):
            wait("all to be answered", lambda c=client: "done" in c.text() or c.must_run(), 400)
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
        wait("all to be open", lambda t=talker: t.must_run() or "open" in t.text())
    pause(2100, "KEEP_IDLE and 15 questions of KEEP_EVERY are 30 minutes")
    for talker in talkers:
        talker.popen.stdin.write(b"\n")
        talker.popen.stdin.close()
    for talker in talkers:
        equal(talker.ended(), 0, f"exit code of who was silent: {talker.text()}")
    for nc in pipes:
        nc.popen.stdin.write(b"y")
        nc.popen.stdin.close()
        equal(nc.ended(), 0, f"exit code of nc: {nc.text()}")
        check("heard 2" in nc.text(), nc.text())


@scenario(whole="ssh is tried in lab/overlay, nc here")
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
