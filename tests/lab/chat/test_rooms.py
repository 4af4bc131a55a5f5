# SPDX-License-Identifier: MIT
"""Rooms, and a full disk."""
import base64
import signal

from lab import check, equal, scenario, wait


def said(host, *where):
    return [(m["from"], m["text"]) for m in host.json("history", *where)["messages"]]


def three(lab):
    coordinator = lab.coordinator()
    hosts = [lab.host(name) for name in ("a", "b", "c")]
    lab.network(coordinator, hosts)
    for h in hosts:
        for other in hosts:
            if h is not other:
                h.wait_peer(other)
    return coordinator, hosts


@scenario
def a_room_by_invitation(lab):
    _, (a, b, c) = three(lab)
    equal(a.ctl("room", "create", "crew").out.split()[0], "#crew", "the new room")
    a.ctl("room", "create", "crew", code=1)
    a.ctl("room", "invite", "crew", "b")
    wait("b to be invited", lambda: [(r["room"], r["invited"]) for r in b.json("room", "list")["rooms"]] == [("#crew", True)])
    a.ctl("send", "#crew", "hello", "you")
    b.ctl("room", "accept", "crew")
    wait("b to read it", lambda: said(b, "#crew") == [("a", "hello you")])
    m = b.json("inbox")["messages"][0]
    equal((m["room"], m["to"], m["from"], m["state"]), ("#crew", "#crew", "a", "unread"), "the message")
    equal(said(b), [("a", "hello you")], "b's whole history")
    equal(said(b, "a"), [], "b's conversation with a")

    # c is away and invited by b; a is gone when it comes.
    c.stop_daemon(signal.SIGKILL)
    b.ctl("room", "invite", "#crew", "c")
    b.ctl("send", "#crew", "welcome, c")
    wait("a to have it", lambda: ("b", "welcome, c") in said(a, "#crew"))
    a.ctl("send", "#crew", "from me too")
    wait("b to have it", lambda: len(said(b, "#crew")) == 3)
    a.stop_daemon(signal.SIGKILL)
    c.daemon()
    wait("c to be invited", lambda: c.ctl("room", "accept", "crew", check_rc=False).code == 0)
    wait("c to catch up with b's help",
         lambda: c.ctl("history", "#crew", check_rc=False).code == 0
         and said(c, "#crew") == [("b", "welcome, c"), ("a", "from me too")])
    c.ctl("send", "#crew", "thanks")
    wait("b to read it", lambda: said(b, "#crew")[-1] == ("c", "thanks"))
    a.daemon()
    wait("a to catch up", lambda: a.ctl("history", "#crew", check_rc=False).code == 0
         and said(a, "#crew")[-1] == ("c", "thanks"), 40)
    equal({m["name"] for m in a.json("room", "members", "crew")["members"]}, {"a", "b", "c"}, "members")

    b.ctl("room", "leave", "crew")
    b.ctl("send", "#crew", "x", code=6)
    wait("a to see that b left", lambda: len(a.json("room", "members", "crew")["members"]) == 2)
    a.ctl("send", "#crew", "without b")
    wait("c to read it", lambda: said(c, "#crew")[-1] == ("a", "without b"))
    equal(said(b, "#crew")[-1], ("c", "thanks"), "the last that b has")


@scenario
def a_line_for_one_room_joins_no_other(lab):
    """An invitation may have the plain name of a room that one is in."""
    _, (a, b, c) = three(lab)

    def rooms():
        return {r["creator"]: (r["room"], r["invited"]) for r in a.json("room", "list")["rooms"]}
    for n, h in enumerate((b, c), 1):
        h.ctl("room", "create", "crew")
        h.ctl("room", "invite", "crew", "a")
        wait("a to be invited", lambda n=n: len(rooms()) == n)
    theirs = rooms()["c"][0]
    check(theirs.startswith("#crew~"), f"the second room: {theirs}")
    r = a.ctl("room", "create", "crew", code=1)
    check("this node is invited to a room #crew: choose another name, or decline" in r.err, r)
    doubt = "a room that this node is invited to, and there is another of that name"

    def nobody_joins(*command):
        r = a.ctl(*command, code=1)
        check(f"#crew is {doubt}" in r.err, r)
    nobody_joins("send", "#crew", "for c")  # it accepts, and there are two to accept
    a.ctl("room", "accept", theirs)
    nobody_joins("send", "#crew", "for c")
    nobody_joins("room", "invite", "crew", "c")
    a.run("sh", "-c", "echo plan >/run/plan.txt")
    for command in ("send-file '#crew' /run/plan.txt", "chat --lines '#crew'", "chat --raw '#crew'"):
        r = a.run("sh", "-c", f"echo for c | {lab.bin('p2pvpnctl')} {command}", check_rc=False)
        check(doubt in r.err, f"{command}: {r}")
    a.ctl("send", theirs, "for c")
    equal(rooms(), {"b": ("#crew", True), "c": (theirs, False)}, "the rooms")
    wait("c to have it", lambda: said(c, "#crew") == [("a", "for c")])
    equal(said(b, "#crew"), [], "what b has")

    # A line that waits can be deleted once nobody is left to get it.
    b.ctl("send", "#crew", "unheard")
    b.ctl("history", "clear", "#crew", "--yes")
    equal(said(b, "#crew"), [("b", "unheard")], "what waits")
    a.ctl("room", "leave", "#crew")
    wait("b to be alone", lambda: b.ctl("send", "#crew", "x", check_rc=False).code == 7)
    b.ctl("history", "clear", "#crew", "--yes")
    equal(said(b, "#crew"), [], "what b has then")


@scenario
def a_full_disk(lab):
    """A clear error, nothing half-written, nothing lost or doubled once there is room again."""
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    b.run("sh", "-ec", "mkdir -p /var/lib/p2pvpn.chat; mount -t tmpfs -o size=4m,mode=700 tmpfs /var/lib/p2pvpn.chat")
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    a.ctl("room", "create", "crew")
    a.ctl("room", "invite", "crew", "b")
    a.ctl("send", "b", "before")
    wait("b to have it", lambda: said(b) == [("a", "before")])
    wait("b to be in the room", lambda: b.ctl("room", "accept", "crew", check_rc=False).code == 0)
    b.run("sh", "-c", "dd if=/dev/zero of=/var/lib/p2pvpn.chat/filler bs=4k 2>/dev/null; true")

    r = b.ctl("send", "a", "x" * 8000, code=1)
    check("free some space" in r.err, f"no word of the full disk: {r.err}")
    r = b.ctl("send", "#crew", "x" * 8000, code=1)
    check("free some space" in r.err, f"no word of the full disk: {r.err}")
    a.ctl("send", "b", "during", "y" * 8000)
    a.ctl("send", "#crew", "during", "z" * 8000)
    for left in ("messages left for later", "texts of a room left for later"):
        wait("b to have refused it", lambda left=left: left in b.p2pvpnd.text())
    equal([m["state"] for m in a.json("history", "b")["messages"]][1] in ("queued", "sent"), True,
          "what could not be stored is not called delivered")
    equal(said(b), [("a", "before")], "what b has while its disk is full")

    b.run("rm", "/var/lib/p2pvpn.chat/filler")
    wait("everything to arrive", lambda: len(said(b)) == 3, 90)
    equal([t[:6] for _, t in said(b, "a")], ["before", "during"], "b's conversation")
    equal([t[:6] for _, t in said(b, "#crew")], ["during"], "the room at b")
    b.restart_daemon(signal.SIGKILL)
    wait("b's rooms", lambda: b.ctl("history", "#crew", check_rc=False).code == 0)
    equal(len(said(b)), 3, "messages after a restart")
    b.ctl("send", "a", "all is well")
    wait("a to have it", lambda: said(a)[-1] == ("b", "all is well"))


RAW = """
import socket, sys
s = socket.create_connection((sys.argv[1], 2047), 30)
s.settimeout(30)
try:
    s.sendall(sys.stdin.buffer.read())
    s.shutdown(socket.SHUT_WR)
    while s.recv(65536):
        pass
except OSError:
    pass
"""


@scenario
def a_malicious_member(lab):
    """A line of somebody on c to b's port, who cannot prove to be its daemon, is refused and
    counted; a and b go on. The lines that a daemon may not say: unit/chat_direct
    and unit/chat_forgers."""
    _, (a, b, c) = three(lab)
    a.ctl("room", "create", "crew")
    a.ctl("room", "invite", "crew", "b")
    wait("b to be in the room", lambda: b.ctl("room", "accept", "crew", check_rc=False).code == 0)
    room = b.json("room", "list")["rooms"][0]["id"]
    a_key, b_key = c.peer(a)["key"], c.peer(b)["key"]

    def text(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    def key(k):
        return base64.urlsafe_b64decode(k + "=")

    def drops(name):
        return b.json("status")["drops"].get(name, 0)

    def writes(lines, name):
        before = drops(name)
        c.run("python3", "-c", RAW, c.addr(b), stdin=lines, timeout=60)
        wait(f"{name} to count", lambda: drops(name) > before)

    wait("a path from c to b", lambda: c.os_ping(c.addr(b)))
    said_by_a = b"\x01\x04" + base64.urlsafe_b64decode(room + "==") + key(a_key) + bytes(7) + \
        b"\x01" + bytes(8) + b"I give up" + bytes(64)
    writes("{" + "x" * 200000, "chat-frame")
    writes('{"id":1}\n', "chat-unproven")
    writes('{"room":"x"}\n', "chat-unproven")
    writes('{"room":"%s","records":["%s"]}\n' % (room, text(said_by_a)), "chat-unproven")
    writes('{"room":"%s","want":[["%s",0]]}\n' % (room, a_key), "chat-unproven")
    writes('{"copy":"%s","from":"%s","box":"%s"}\n' % (text(bytes(16)), a_key, text(bytes(500))),
           "chat-unproven")
    writes('{"copy":"%s","to":"%s","box":"%s"}\n' % (text(bytes(16)), a_key, text(bytes(500))),
           "chat-unproven")
    writes("".join('{"ack":"%s","state":"read"}\n' % text(i.to_bytes(16, "big"))
                   for i in range(4000)), "chat-unproven")
    equal(said(b), [], "what b believed")

    c.run("python3", "-c", RAW, c.addr(b), stdin="\033]0;owned\007\033[2Jhi\n")
    wait("the plain line", lambda: len(said(b)) == 1)
    shown = b.ctl("inbox").out
    check("hi" in shown and "\033" not in shown and "\007" not in shown, f"shown: {shown!r}")
    a.ctl("send", "b", "still here")
    a.ctl("send", "#crew", "here too")
    wait("a's lines", lambda: {t for f, t in said(b) if f == "a"} == {"still here", "here too"})
    equal(b_key, a.peer(b)["key"], "who b is")
    b.p2pvpnd.must_run()
