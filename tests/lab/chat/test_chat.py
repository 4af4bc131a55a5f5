# SPDX-License-Identifier: MIT
"""Chat lines: once each, in order, also when the other side was away; and from the peer's daemon, not
from any user of its machine."""
import json
import os
import signal
import subprocess
import textwrap

from lab import check, equal, pause, scenario, wait


def texts(answer):
    return [m["text"] for m in answer["messages"]]


def start(lab):
    coordinator = lab.coordinator()
    a = lab.host("a", lab.lan("east", "profile=port-restricted", "delay=10ms"))
    b = lab.host("b", lab.lan("west", "profile=port-restricted", "delay=10ms"))
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    b.wait_peer(a)
    return coordinator, a, b


def collect(host, want, timeout=60):
    got = []

    def there():
        got.extend(texts(host.json("inbox")))
        return len(got) >= len(want)
    wait(f"{len(want)} messages to reach {host.name}", there, timeout)
    equal(got, want, f"messages of {host.name}")


@scenario
def online_both_ways(lab):
    _, a, b = start(lab)
    a.ctl("send", "b", "hello", "there")
    collect(b, ["hello there"])
    b.ctl("send", "a", "grüße, 你好 \\ \"quoted\"")
    collect(a, ["grüße, 你好 \\ \"quoted\""])
    many = [f"line {i}" for i in range(20)]
    for text in many:
        a.ctl("send", "b", text)
    collect(b, many)
    equal(texts(b.json("inbox")), [], "unread messages after reading")
    for h in (a, b):
        equal(len(texts(h.json("history"))), 22, f"messages in the history of {h.name}")
    wait("every message of a to be delivered",
         lambda: all(m["state"] in ("delivered", "read") for m in a.json("history")["messages"]
                     if m["from"] == "a"))
    b.ctl("send", "b", "to myself", check_rc=False)
    a.ctl("send", "nobody", "hello", code=6)


@scenario
def away_and_across_restarts(lab):
    coordinator, a, b = start(lab)
    b.stop_daemon()
    wait("b to be offline", lambda: not a.peer(b)["online"], timeout=40)
    r = a.ctl("send", "b", "one")
    check("queued" in r.out + r.err, f"send to an absent node does not say queued: {r}")
    a.ctl("send", "b", "two")
    a.restart_daemon(signal.SIGKILL)
    a.ctl("send", "b", "three")
    b.daemon()
    collect(b, ["one", "two", "three"], timeout=30)
    b.restart_daemon(signal.SIGKILL)
    equal(texts(b.json("inbox")), [], "unread messages after a crash")
    equal(texts(b.json("history")), ["one", "two", "three"], "history after a crash")
    # Neither the coordinator nor the sender's presence is needed for what was stored.
    coordinator.end()
    equal(texts(a.json("history")), ["one", "two", "three"], "history without coordinator")


@scenario
def two_who_are_never_there_together(lab):
    """A sealed copy waits at the coordinator; the sender is gone when the receiver comes."""
    coordinator, a, b = start(lab)
    b.stop_daemon()
    wait("b to be offline", lambda: not a.peer(b)["online"], timeout=40)
    for text in ("one", "zwei 你好", "three"):
        a.ctl("send", "b", text)
    wait("the copies to be at the coordinator", lambda: copies(coordinator) == 3)
    equal(coordinator.sql("SELECT count(*) FROM mail WHERE instr(box, 'zwei') > 0"), "0",
          "copies that can be read at the coordinator")
    a.stop_daemon(signal.SIGKILL)
    coordinator.restart()
    b.daemon()
    collect(b, ["one", "zwei 你好", "three"], timeout=30)
    equal([m["from"] for m in b.json("history")["messages"]], ["a"] * 3, "who wrote them")
    wait("nothing to be left at the coordinator", lambda: copies(coordinator) == 0)
    b.ctl("send", "a", "answer")
    wait("the answer's copy", lambda: copies(coordinator) == 1)
    # Now both: what came by way of the coordinator does not come again.
    a.daemon()
    collect(a, ["answer"], timeout=30)
    wait("a to know that all was read",
         lambda: [m["state"] for m in a.json("history")["messages"] if m["from"] == "a"]
         == ["read"] * 3)
    equal(texts(b.json("inbox")), [], "messages of b that came twice")
    equal(len(texts(b.json("history"))), 4, "messages in b's history")


def copies(coordinator):
    return int(coordinator.sql("SELECT count(*) FROM mail"))


@scenario
def nothing_is_stored_when_it_is_off(lab):
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    a.run("sh", "-c", "printf '[chat]\nstore = off\n' >/etc/p2pvpn/p2pvpnd.conf")
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    b.stop_daemon()
    wait("b to be offline", lambda: not a.peer(b)["online"], timeout=40)
    a.ctl("send", "b", "only from me to you")
    b.daemon()
    collect(b, ["only from me to you"], timeout=30)
    equal(copies(coordinator), 0, "copies at the coordinator")


@scenario
def a_line_that_waits_for_a_removed_machine_says_so(lab):
    """It is not counted as on its way, either; and a file says why it failed."""
    _, a, b = start(lab)
    b.run("sh", "-c", "echo plan >/run/plan.txt")
    b.start(lab.bin("p2pvpnctl"), "send-file", "a", "/run/plan.txt")
    wait("the offer", lambda: len(a.json("files")["files"]) == 1)
    b.stop_daemon()
    wait("b to be away", lambda: not a.peer("b")["online"])
    a.ctl("send", "b", "too late")
    equal(a.json("status")["chat"]["queued"], 1, "messages on their way")
    a.ctl("remove", "b")
    wait("no messages on their way", lambda: a.json("status")["chat"]["queued"] == 0)
    said = a.ctl("history", "b").out
    check("too late  (queued: b is no member any more)" in said, said)
    file = a.json("files")["files"][0]
    equal((file["state"], file["why"]), ("failed", "the other machine is no member any more"), "the file that b offered")
    r = a.ctl("files", "accept", str(file["id"]), code=1)
    check("file 1 was not transferred: it failed, the other machine is no member any more: `p2pvpnctl files`" in r.err, r.err)


@scenario
def the_interactive_chat(lab):
    """`chat` in line mode: send, getu, exit; what comes in is shown while it waits."""
    _, a, b = start(lab)
    chat = subprocess.Popen([*b.enter, lab.bin("p2pvpnctl"), "chat"], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = []
    import threading
    reader = threading.Thread(target=lambda: lines.extend(chat.stdout), daemon=True)
    reader.start()
    chat.stdin.write("getu\n")
    chat.stdin.flush()
    wait("getu to name a", lambda: chat.poll() is not None or any("a" in x.split() or " a " in x
                                                                 for x in lines))
    a.ctl("send", "b", "knock knock")
    wait("the message to be shown", lambda: any("knock knock" in x for x in lines))
    chat.stdin.write("send a who is there\nexit\n")
    chat.stdin.flush()
    equal(chat.wait(120), 0, "exit code of chat")
    collect(a, ["who is there"])


@scenario
def a_chat_by_lines_begins_with_what_was_offered(lab):
    """Files and rooms that were offered while nobody chatted, behind what was said; none that is over or muted."""
    _, a, b = start(lab)

    def told():
        return b.ctl("chat", "--lines", stdin="").out.splitlines()
    a.run("sh", "-c", "echo x >/run/plan.txt; echo y >/run/old.txt")
    for path in ("/run/old.txt", "/run/plan.txt"):
        a.ctl("send-file", "b", path, "--no-wait")
    for room in ("crew", "old"):
        a.ctl("room", "create", room)
        a.ctl("room", "invite", room, "b")
    a.ctl("send", "b", "one line")
    wait("all to be there", lambda: len(b.json("files")["files"]) == len(b.json("room", "list")["rooms"]) == 2
         and len(b.json("inbox", "--peek")["messages"]) == 1)
    old, plan = sorted(b.json("files")["files"], key=lambda f: f["name"])
    b.ctl("files", "refuse", str(old["id"]))
    b.ctl("room", "leave", "old")
    offers = [f"-- a offers a file: `p2pvpnctl files accept {plan['id']}` takes plan.txt (2 B)",
              "-- #crew, made by a: this machine is invited: `p2pvpnctl room accept '#crew'`, or "
              "`p2pvpnctl room leave '#crew'`"]
    first = told()
    check(first[0].endswith("] a: one line"), f"the first chat: {first}")
    equal(first[1:], offers, "what it tells behind that")
    b.ctl("mute", "a")
    equal(told(), offers[1:], "the next chat, when a is muted")
    chat, theirs = (b.start(lab.bin("p2pvpnctl"), "chat", *words, stdin=subprocess.PIPE)
                    for words in (["--lines"], ["a", "--lines"]))
    wait("both to have begun", lambda: all("room accept" in c.text() for c in (chat, theirs)))
    a.ctl("send", "b", "a muted line")
    wait("it to be told in the conversation with a", lambda: "a: a muted line" in theirs.text())
    b.ctl("unmute", "a")
    a.ctl("send", "b", "a line")
    wait("the next one to be told", lambda: "a: a line" in chat.text())
    check("a muted line" not in chat.text(), f"the chat with nobody: {chat.text()}")
    chat.end()
    theirs.end()
    b.ctl("room", "accept", "crew")
    b.ctl("files", "accept", str(plan["id"]), "--dir", "/run")
    equal(told(), [], "the last chat")


@scenario(whole="thousands of lines")
def a_chat_that_is_stopped_reads_nothing(lab):
    _, a, b = start(lab)
    chat = b.start(lab.bin("p2pvpnctl"), "chat", "--lines", stdin=subprocess.PIPE)

    def unread():
        return [m["text"] for m in b.json("inbox", "--peek")["messages"]]
    a.ctl("send", "b", "first")
    wait("it to be shown and read", lambda: "a: first" in chat.text() and unread() == [])
    os.kill(chat.pid, signal.SIGSTOP)
    a.ctl("send", "b", "second")
    wait("it to come", lambda: unread() == ["second"])
    a.ctl("send", "b", "third")
    wait("it to come, too, and none to be read", lambda: unread() == ["second", "third"])
    os.kill(chat.pid, signal.SIGCONT)
    wait("both to be shown and read", lambda: "a: third" in chat.text() and unread() == [])
    wait("a to hear it", lambda: all(m["state"] == "read" for m in a.json("history", "b")["messages"]))

    # More than are read at once.
    os.kill(chat.pid, signal.SIGSTOP)
    a.run("sh", "-c", f"seq 400 | sed 's/$/ {'x' * 3000}/' | {lab.bin('p2pvpnctl')} chat b --lines", timeout=120)
    wait("all to come", lambda: len(unread()) == 400)
    os.kill(chat.pid, signal.SIGCONT)
    wait("all to be shown and read", lambda: "a: 400 x" in chat.text() and unread() == [])
    chat.end()


@scenario
def a_line_for_somebody_else_is_none_for_the_peer(lab):
    """`send NAME TEXT` is judged by who is there at that moment, by a former name it goes nowhere, and a room is a
    room also where it is unknown."""
    coordinator = lab.coordinator()
    a, b, c = (lab.host(name) for name in ("a", "b", "c"))
    lab.network(coordinator, [a, b, c])
    a.wait_direct(b)
    a.wait_direct(c)
    chat = subprocess.Popen([*a.enter, lab.bin("p2pvpnctl"), "chat", "c", "--lines"], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def line(text):
        chat.stdin.write(text + "\n")
        chat.stdin.flush()
    line("send me word")
    collect(c, ["send me word"])
    a.ctl("room", "create", "crew")
    alone = a.ctl("send", "#crew", "to nobody", code=7)
    check("nobody else is in #crew" in alone.err, f"said: {alone.err}")
    a.ctl("room", "invite", "crew", "b")
    address = a.json("room", "list")["rooms"][0]["address"]
    b.ctl("rename", "robert")
    a.wait_peer("robert")
    for text in ("send #Crew one", f"send {address} two", "send #crwe three", "send robert four", "send b not for c",
                 "send me five", "/send Robert six", "/send nobody seven", "/etc/hosts", " send robert eight",
                 "  /send robert nine", "exit"):
        line(text)
    equal(chat.wait(120), 6, "exit code of chat, which has one room that is none")
    said = chat.stdout.read()
    check("no room #crwe" in said and "b is called robert now" in said and "nobody" in said, f"the slips, in {said}")
    equal([m["text"] for m in a.json("history", "#crew")["messages"]], ["one", "two"], "the room")
    collect(b, ["four", "six", "eight", "nine"])
    collect(c, ["send me five", "/etc/hosts"])


@scenario
def nc_can_chat_too(lab):
    _, a, b = start(lab)
    check(a.os_ping(a.addr(b)), "ping")
    a.run("sh", "-c", f"printf 'plain text\\n' | nc -q 1 {a.addr(b)} 2047")
    wait("the line to arrive", lambda: "plain text" in texts(b.json("history")))
    # Many lines, though less than a member may type at once, and one that is longer than a message.
    lines = 1500
    a.run("sh", "-c", f"(seq {lines}; head -c 40000 /dev/zero | tr '\\0' x; echo; echo end) | nc -N {a.addr(b)} 2047")
    wait("the last line to arrive", lambda: "end" in texts(b.json("history")))
    long = texts(b.json("history"))[-4:-1]
    equal((len("".join(long)), set("".join(long))), (40000, {"x"}), "the long line")
    equal(b.json("status")["chat"]["unread"], 1 + lines + 4, "lines that came")
    message = b.json("history")["messages"][-1]
    equal(message["from"], "a", "who the line is from")


# Runs as a user without any right. It prints what it got to see.
ATTACKER = textwrap.dedent("""
    import select, socket, sys, time
    what, where, port, lines = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
    s = socket.socket()
    s.settimeout(0.5)
    if what == "listen":
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((where, port))
        s.listen(8)
        print("listening", flush=True)
    end = time.time() + float(lines.pop(0))
    def talk(c):
        c.settimeout(0.5)
        for line in lines:
            try:
                c.sendall(line.encode() + b"\\n")
            except OSError:
                return
        while time.time() < end:
            try:
                got = c.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                return
            if not got:
                return
            print("GOT", got, flush=True)
    while time.time() < end:
        if what == "listen":
            try:
                c, _ = s.accept()
            except TimeoutError:
                continue
            print("ACCEPTED", flush=True)
            talk(c)
        else:
            c = socket.socket()
            c.settimeout(2)
            try:
                c.connect((where, port))
                print("CONNECTED", flush=True)
                talk(c)
            except OSError:
                pass
            c.close()
            select.select([], [], [], 0.2)
""")

# Any frame made the connection speak, if it were taken without a proof.
FRAMES = ['{"noted":"AAECAwQFBgcICQoLDA0ODw"}',
          '{"room":"AAECAwQFBgcICQoLDA0ODw","list":[]}',
          '{"ack":"AAECAwQFBgcICQoLDA0ODw","state":"delivered"}',
          '{"id":"AAECAwQFBgcICQoLDA0ODw","seq":1,"time":1,"text":"I quit. signed, a"}',
          '{"prove":"AAECAwQFBgcICQoLDA0ODw"}']


def attack(host, what, where, port, seconds, *lines):
    return host.start("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--",
                      "python3", "-c", ATTACKER, what, where, str(port), str(seconds), *lines,
                      name=f"attacker-{what}")


def stolen(program):
    """Of what it heard, all that is not the beginning of a proof."""
    return [line for line in program.text().splitlines()
            if line.startswith("GOT") and "secret" in line or "room" in line]


@scenario
def a_user_without_rights_gets_nothing_and_speaks_for_nobody(lab):
    coordinator, a, b = start(lab)
    a.ctl("room", "create", "crew")
    a.ctl("room", "invite", "crew", "b")
    a.ctl("send", "#crew", "room secret one")
    wait("b to be in the room", lambda: b.ctl("room", "accept", "crew", check_rc=False).code == 0)
    a.ctl("send", "b", "secret one")
    wait("both to arrive", lambda: len(texts(b.json("history"))) == 2)
    # With connections of the daemons open, and right after a restart of either side.
    for restarted in (None, b, a):
        attackers = []
        if restarted is not None:
            restarted.stop_daemon()
            restarted.daemon()
        for line in FRAMES:
            attackers.append(attack(b, "connect", a.addr(), 2047, 30, line))
        secret = f"secret after {restarted.name if restarted else 'nothing'}"
        a.ctl("send", "b", secret)
        a.ctl("send", "#crew", "room " + secret)
        for text in (secret, "room " + secret):
            wait(f"b to have {text!r}", lambda text=text: text in texts(b.json("history")), 40)
        for program in attackers:
            wait("the attacker to be connected", lambda p=program: "CONNECTED" in p.text())
        pause(3, "it listens")
        for program in attackers:
            program.kill()
            equal(stolen(program), [], "what the attacker saw")
    check("I quit. signed, a" not in texts(a.json("history")), "an attacker spoke for b")
    check("I quit. signed, a" not in texts(b.json("history")), "an attacker spoke")
    status = a.json("status")
    check(any("chat-unproven" in json.dumps(status[k]) for k in status),
          f"status does not count who was refused: {status}")


@scenario
def a_port_that_was_taken_before_the_daemon_started_gives_nothing_away(lab):
    _, a, b = start(lab)
    b.stop_daemon()
    # The daemon of b cannot listen. A line of a waits, or goes on a connection that b opens.
    for port in (2047, 2048):
        attackers = [attack(b, "listen", "0.0.0.0", port, 300, *FRAMES)]
        wait("the attacker to listen", lambda: "listening" in attackers[0].text())
        b.daemon()
        a.wait_peer(b)
        a.ctl("send", "b", f"secret for port {port}")
        pause(3, "a tries to deliver")
        equal(stolen(attackers[0]), [], "what the attacker saw")
        check(all(m["state"] in ("queued", "sent", "delivered", "read")
                  for m in a.json("history")["messages"]), "states")
        attackers[0].kill()
        b.stop_daemon()
    b.daemon()
    collect(b, ["secret for port 2047", "secret for port 2048"], timeout=60)


@scenario
def plain_text_is_somebodys_on_that_machine(lab):
    _, a, b = start(lab)
    check(a.os_ping(a.addr(b)), "ping")
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
    for who, enter in (("nobody", nobody), ("alice", a.as_user()), ("root", [])):
        typing = a.start(*enter, "nc", a.addr(b), "2047", name="nc", stdin=subprocess.PIPE)
        typing.popen.stdin.write(f"by {who}\n".encode())
        typing.popen.stdin.flush()
        wait("the line to arrive", lambda who=who: f"by {who}" in texts(b.json("history")))
        typing.end()
        message = b.json("history")["messages"][-1]
        equal((message["from"], message["unproven"]), ("a", True), f"who the line of {who} is from")
        r = b.ctl("history")
        check(f"somebody on a's machine to b: by {who}" in r.out, f"history does not say who typed it: {r}")
    a.ctl("send", "b", "from its daemon")
    wait("the message", lambda: "from its daemon" in texts(b.json("history")))
    equal(b.json("history")["messages"][-1]["unproven"], False, "a message of the daemon")
    b.stop_daemon()
    b.configure("[chat]\nplain = off\n")
    b.daemon()
    a.wait_peer(b)
    wait("a path", lambda: a.os_ping(a.addr(b)))
    a.run("sh", "-c", f"printf 'typed again\\n' | nc -q 1 {a.addr(b)} 2047", check_rc=False)
    a.ctl("send", "b", "and its daemon again")
    wait("the message", lambda: "and its daemon again" in texts(b.json("history")))
    check("typed again" not in texts(b.json("history")), "plain text came in although it is off")
