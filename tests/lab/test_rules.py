# SPDX-License-Identifier: MIT
"""Access: rules over names and tags, kept by the node that is reached."""
import os
import re
import sys
import time

from lab import pause, check, equal, pause, scenario, wait

RULES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/guide/rules.md")

GAME = 27015


def serve(host, port):
    """A TCP server that says its name, on both families."""
    p = host.start(sys.executable, "-c", TCP_SERVER, str(port), host.name, name=f"tcp{port}")
    wait("the server", lambda: "ready" in p.text())
    return p


def fetch(host, address, port, timeout=1.5):
    """The word of the other node's server; None: nobody answers in that time. gets(): it shall be answered."""
    r = host.run(sys.executable, "-c", TCP_CLIENT, address, str(port), str(timeout), check_rc=False)
    return r.out.strip() if r.code == 0 else None


def gets(host, address, port):
    return fetch(host, address, port, 30)


TCP_SERVER = """
import socket, sys
s = socket.socket(socket.AF_INET6)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('::', int(sys.argv[1])))
s.listen(5)
print('ready', flush=True)
while True:
    c, who = s.accept()
    try:
        while True:
            c.sendall(sys.argv[2].encode() + b'\\n')
            if not c.recv(100):
                break
    except OSError:
        pass
    c.close()
"""

TCP_CLIENT = """
import socket, sys
c = socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3]))
print(c.recv(100).decode())
"""

# Asks again and again over one connection; a line for each answer.
TCP_HOLD = """
import socket, sys, threading
pause = threading.Event()
c = socket.create_connection((sys.argv[1], int(sys.argv[2])), 30)
c.settimeout(10)
while True:
    print(c.recv(100).decode().strip(), flush=True)
    pause.wait(0.2)
    c.sendall(b'more')
"""


def both(host, other):
    return [host.addr(other), host.addr(other, family=6)]


def network(lab, *names):
    coordinator = lab.coordinator()
    hosts = [lab.host(name) for name in names]
    lab.network(coordinator, hosts)
    for h in hosts[1:]:
        hosts[0].wait_direct(h)
    return hosts


def cannot(host, source, target):
    """The answer of `can` when the rules do not let it through."""
    r = host.ctl("can", source, target, check_rc=False)
    equal(r.code, 11, f"can {source} {target} ends with")
    return r


def rules_at(host, n, default):
    def there():
        r = host.json("rules")
        return len(r["rules"]) == n and r["default"] == default
    wait(f"{host.name} to know {n} rules", there)


@scenario
def guests_reach_the_game_server_only(lab):
    """As the guide has it, typed by an admin."""
    admin, server, guest = network(lab, "admin", "gameserver", "toms-laptop")
    guest.wait_direct(server)
    for h in (admin, server, guest):
        serve(h, 8080)
    server.answer_udp(GAME)
    server.answer_udp(GAME, server.addr(family=6))
    for other in (server, guest):
        for address in both(admin, other):
            equal(gets(admin, address, 8080), other.name, f"{address} says")
    for address in both(guest, admin):
        equal(gets(guest, address, 8080), "admin", "without rules a guest reaches the admin, which says")

    with open(RULES, encoding="utf-8") as f:
        page = re.search(r"Guests may only\s+reach the game server\*:\n\n((?: +sudo p2pvpnctl .*\n)+)", f.read())
    for line in page.group(1).split("\n")[:-1]:
        admin.ctl(*re.split(r"\s{3,}", line.strip())[0].split()[2:])  # not what it says beside
    for h in (admin, server, guest):
        rules_at(h, 2, "allow")
    equal(server.peer(guest)["tags"], ["guest"], "tags of the guest")
    check("TAGS" in server.ctl("peers").out, "peers has no column for tags")

    for address in both(guest, server):
        check(guest.udp_ask(address, GAME, timeout=15), f"the game does not answer at {address}")
        check(not guest.udp_ask(address, GAME + 1), "another port answers")
        check(fetch(guest, address, 8080) is None, "the guest reaches the web server")
        check(guest.os_ping(address), "the guest may not ping the server")
    for address in both(guest, admin):
        check(fetch(guest, address, 8080) is None, "the guest reaches the admin")
        check(not guest.os_ping(address, timeout=1), "the guest may ping the admin")
    # The others go on as before, and answers come back to who asked.
    for address in both(admin, guest):
        equal(gets(admin, address, 8080), guest.name, "the admin reaches the guest, which says")
        check(admin.os_ping(address), "the admin may not ping the guest")
    for address in both(server, admin):
        equal(gets(server, address, 8080), "admin", "the server reaches the admin, which says")

    r = cannot(guest, guest.name, "gameserver:8080")
    check("rule 2" in r.out and "no:" in r.out, r)
    r = guest.ctl("can", guest.name, f"gameserver:udp/{GAME}")
    check("rule 1" in r.out and "yes:" in r.out, r)
    guest.ctl("ping", "gameserver", "-c", 1)
    r = guest.ctl("ping", "admin", "-c", 1, code=11)
    check("denied by rule 2" in r.err, r)
    check("denied by rule 2" in admin.ctl("why", guest.name, "-l").out, "why does not name the rule")
    said = admin.ctl("why", "gameserver").out
    check("Nothing is wrong" in said and "rules deny" not in said, said)
    said = admin.ctl("why", guest.name).out
    check(f"rules deny some packets between admin and {guest.name}" in said, said)
    check("denied by rule 2" in server.ctl("trace", guest.name).out, "trace does not name the rule")
    metrics = server.ctl("metrics").out
    line = [x for x in metrics.splitlines() if x.startswith('p2pvpn_rules_denied_total{rule="2"}')]
    check(line and int(float(line[0].split()[1])) > 0, f"the counter of rule 2: {line}")
    check("rules" in server.ctl("status", "-l").out, "status does not speak of rules")

    server.restart_daemon()
    server.wait_peer(guest)
    check(fetch(guest, guest.addr(server), 8080) is None, "after a restart the guest reaches all")
    check(guest.udp_ask(guest.addr(server), GAME, timeout=15), "after a restart the game is gone")

    admin.ctl("untag", guest.name, "guest")
    wait("the guest to be one like all",
         lambda: fetch(guest, guest.addr(server), 8080) == server.name)
    equal(server.peer(guest)["tags"], [], "tags of the guest")


@scenario
def an_open_flow_ends_with_its_permission(lab):
    """A connection that is there ends when a rule forbids it, at once; one in the other direction stays."""
    a, b = network(lab, "a", "b")
    serve(a, 8080)
    serve(b, 8080)
    a.ctl("allow", "any", "any", "all")
    rules_at(b, 1, "allow")
    into = b.start(sys.executable, "-u", "-c", TCP_HOLD, b.addr(a), "8080", name="into")
    out = a.start(sys.executable, "-u", "-c", TCP_HOLD, a.addr(b, family=6), "8080", name="out")
    wait("both connections", lambda: "a" in into.text() and "b" in out.text())
    a.ctl("deny", "b", "a", "tcp", "--before", 1)
    lines = out.text().count("b")
    wait("the connection of b to end", lambda: not into.running())
    wait("that of a to go on", lambda: out.must_run() or out.text().count("b") > lines + 5)
    a.ctl("rules", "remove", 1)
    wait("b to reach a again", lambda: fetch(b, b.addr(a), 8080) == "a")
    a.ctl("rules", "default", "deny")
    equal(gets(b, b.addr(a), 8080), "a", "rule 1 still allows everything: a says")
    a.ctl("rules", "remove", 1)
    wait("nothing to be allowed", lambda: fetch(b, b.addr(a), 8080) is None)
    check("default" in cannot(b, "b", "a:22").out, "can does not name the default")


@scenario(long="waits three minutes")
def answers_come_in_but_late_to_low_ports_after_the_first_rule(lab):
    """To what a node asked for itself. Whether an answer to a low port is one it knows after three minutes."""
    a, b = network(lab, "a", "b")
    a.answer_udp(7777, a.addr())
    check(b.udp_ask(a.addr(), 7777, 5060), "an answer without rules")
    a.ctl("deny", "a", "b", "all")
    rules_at(b, 1, "allow")
    began = time.monotonic()
    check(b.udp_ask(a.addr(), 7777, 40000), "an answer to a high port")
    equal(b.udp_ask(a.addr(), 7777, 5061), None, "an answer to a low port at once")
    pause(181 - (time.monotonic() - began), "flows of before the rules are over")
    check(b.udp_ask(a.addr(), 7777, 5062), "an answer to a low port later")


# Asks all for a game, from a port of the system's choice; a line for each who answers.
FIND_GAMES = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
s.bind((sys.argv[1], 0))
s.settimeout(float(sys.argv[3]))
s.sendto(b'who plays?', ('255.255.255.255', int(sys.argv[2])))
try:
    while True:
        print(s.recvfrom(100)[1][0], flush=True)
except TimeoutError:
    pass
"""


@scenario
def a_program_that_looks_for_a_game_is_answered(lab):
    """A beacon to 255.255.255.255, answered by one: also where the rules let the answerer begin nothing."""
    player, server, other = network(lab, "player", "server", "other")
    for h in (server, other):
        h.answer_udp(GAME)

    def found():
        for h in (server, other):
            player.os_ping(player.addr(h))
        r = player.run(sys.executable, "-c", FIND_GAMES, player.addr(), str(GAME), "1.5")
        return sorted(set(r.out.split()) - {player.addr()})

    both_answer = sorted([player.addr(server), player.addr(other)])
    wait("both servers to be found", lambda: found() == both_answer)
    player.ctl("deny", "any", "player", "all")
    rules_at(player, 1, "allow")
    check(server.udp_ask(server.addr(player), GAME) is None, "the server may send to the player")
    player.answer_udp(GAME)
    check(server.udp_ask(server.addr(player), GAME) is None, "the server reaches the player's game")
    wait("both servers to be found although they may send nothing", lambda: found() == both_answer)
    player.ctl("deny", "player", "other", f"udp/{GAME}")
    rules_at(other, 2, "allow")
    wait("one server to be found", lambda: found() == [player.addr(server)])


@scenario
def a_node_lets_in_less_than_the_rules(lab):
    """[firewall] of one node; chat and ping are services one can name."""
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    b.configure("[firewall]\nallow = tcp/8080,chat\n")
    lab.network(coordinator, [a, b])
    a.wait_direct(b)
    serve(b, 8080)
    serve(b, 8081)
    for address in both(a, b):
        equal(gets(a, address, 8080), "b", "what b lets in: it says")
        check(fetch(a, address, 8081) is None, "b lets in what it should not")
        check(not a.os_ping(address, timeout=1), "b answers pings")
    serve(a, 8081)
    equal(gets(b, b.addr(a), 8081), "a", "b itself reaches all: a says")
    a.ctl("send", "b", "hello")
    wait("the message", lambda: "hello" in b.ctl("history", "a").out)
    check("[firewall]" in b.ctl("trace", "a").out, "trace does not name the firewall")
    a.ctl("deny", "any", "b", "chat")
    a.ctl("deny", "a", "b", "8080")
    rules_at(b, 2, "allow")
    check(fetch(a, a.addr(b), 8080) is None, "the rules do not count beside [firewall]")
    check("firewall" in b.ctl("rules").out, "rules do not show the firewall")
    told = b.ctl("doctor", "-l", check_rc=False).out
    check("ok   firewall" in told and "this node accepts only " in told, told)


def lines_of(host, *where):
    return [(m["from"], m["text"]) for m in host.json("history", *where)["messages"]]


def own_port_closed(host, other):
    check(fetch(host, host.addr(other), 7000) is None, f"{host.name} reaches {other.name}'s port 7000")


@scenario
def services_go_the_way_that_can_says(lab):
    """Chat, rooms, copies and files of g to b are denied, whatever brings them; b's to g are not."""
    coordinator = lab.coordinator()
    a, b, g = (lab.host(name) for name in "abg")
    for h in (b, g):
        h.configure("[chat]\nauto-accept = *\n")
    lab.network(coordinator, [a, b, g])
    for h in (a, b, g):
        for other in (a, b, g):
            if h is not other:
                h.wait_direct(other)
    for h in (b, g):
        serve(h, 7000)
    a.ctl("room", "create", "crew")
    for h in (b, g):
        a.ctl("room", "invite", "crew", h.name)
        wait(f"{h.name} to be in the room", lambda: h.ctl("room", "accept", "crew", check_rc=False).code == 0)

    # A copy of before the rule lies at the coordinator, with one of a's behind it.
    b.stop_daemon()
    wait("b to be offline", lambda: not g.peer(b)["online"], timeout=40)
    g.ctl("send", "b", "copied")
    a.ctl("send", "b", "from a")
    wait("the copies", lambda: coordinator.sql("SELECT count(*) FROM mail") == "2")
    a.ctl("deny", "g", "b", "chat,files,ping,tcp/7000")
    rules_at(g, 1, "allow")
    g.stop_daemon()  # it has said nothing else to b
    b.daemon()
    rules_at(b, 1, "allow")
    wait("a's copy", lambda: ("a", "from a") in lines_of(b))
    g.daemon()
    b.wait_direct(g)
    g.wait_direct(b)

    for service in ("chat", "files", "ping", "tcp/7000"):
        cannot(g, "g", f"b:{service}")
        equal(b.ctl("can", "b", f"g:{service}").code, 0, f"can b g:{service}")
    # The sender is told the rule; the other way all arrives, by b's connections.
    g.ctl("room", "create", "other")
    for words in (("send", "b", "no"), ("send-file", "b", RULES), ("ping", "b"), ("room", "invite", "other", "b")):
        r = g.ctl(*words, code=11)
        check("rule 1" in r.err, f"{words[0]} does not name the rule: {r.err!r}")
    b.ctl("send", "g", "to g")
    wait("b's message", lambda: ("b", "to g") in lines_of(g, "b"))
    b.ctl("send-file", "g", RULES)
    wait("b's file", lambda: [f["state"] for f in g.json("files")["files"]] == ["done"])
    b.ctl("ping", "g", "-c", "1")
    equal(gets(b, b.addr(g), 7000), "g", "b reaches g's port")
    own_port_closed(g, b)
    equal([(m["name"], m["denied"]) for m in g.json("room", "members", "crew")["members"] if m["denied"]],
          [("b", "rule 1")], "whom g's lines in the room do not reach")
    check("chat to it is denied by rule 1" in g.ctl("room", "members", "crew").out, "room members names no rule")
    # g's message of before waits at g, over b's connection, and says why.
    wait("g to be told", lambda: "is denied it, by a rule" in g.ctl("history", "b").out)
    check("sent to #crew, but not yet to b (rule 1)" in g.ctl("send", "#crew", "in the room").out, "send names no rule")
    wait("a to have it", lambda: ("g", "in the room") in lines_of(a, "#crew"))
    a.ctl("send", "#crew", "behind it")
    wait("b to have what is behind it", lambda: ("a", "behind it") in lines_of(b, "#crew"))
    b.ctl("send", "#crew", "of b")
    wait("g to have b's line", lambda: ("b", "of b") in lines_of(g, "#crew"))
    check(all(who != "g" for who, _ in lines_of(b)), f"b hears g: {lines_of(b)}")
    equal([f["direction"] for f in b.json("files")["files"]], ["out"], "files b knows")

    # Without the rule what waited comes, in the room too.
    a.ctl("rules", "remove", "1")
    wait("g's message", lambda: ("g", "copied") in lines_of(b, "g"), 40)
    g.ctl("send", "#crew", "again")
    wait("g's line", lambda: ("g", "again") in lines_of(b, "#crew"))
    equal([text for who, text in lines_of(b, "#crew") if who == "g"], ["in the room", "again"], "what waited, in order")

    # All others of a room: nobody would see it. Lines that b's own firewall keeps out wait for it.
    a.ctl("deny", "g", "any", "chat")
    rules_at(g, 1, "allow")
    r = g.ctl("send", "#crew", "nobody", code=11)
    check("all others of #crew is denied by rule 1" in r.err, f"said: {r.err}")
    a.ctl("rules", "remove", "1")
    a.ctl("deny", "g", "any", "files")
    wait("g to know the other rule", lambda: "files" in g.ctl("rules").out)
    r = g.ctl("send-file", "#crew", RULES, code=11)
    check("files from this node to all who are there are denied by rule 1" in r.err, f"said: {r.err}")
    check(all("offers" not in text for _, text in lines_of(a, "#crew")), "a file that nobody gets is announced")
    a.ctl("rules", "remove", "1")
    rules_at(g, 0, "allow")
    b.configure("[firewall]\nallow = ping\n")
    b.ctl("reload")
    a.ctl("send", "#crew", "to a closed b")
    wait("g to have it", lambda: ("a", "to a closed b") in lines_of(g, "#crew"))
    check(("a", "to a closed b") not in lines_of(b, "#crew"), "b's firewall lets it in")
    b.run("sed", "-i", "/^.firewall/,$d", "/etc/p2pvpn/p2pvpnd.conf")
    b.ctl("reload")
    wait("b to have it", lambda: ("a", "to a closed b") in lines_of(b, "#crew"), 40)
    g.ctl("send-file", "b", RULES)
    wait("g's file", lambda: "in" in [f["direction"] for f in b.json("files")["files"]])

    # G cannot know what only b's own [firewall] says: b answers.
    b.configure("[chat]\nauto-accept = *\n[firewall]\nallow = tcp/22\n")
    b.restart_daemon()
    b.wait_direct(g)
    g.wait_direct(b)
    b.ctl("send", "g", "still")
    wait("b's message", lambda: ("b", "still") in lines_of(g, "b"))
    g.ctl("send", "b", "kept out")
    wait("g to be told", lambda: "is denied it, by a rule" in g.ctl("history", "b").out)
    r = g.ctl("send-file", "b", RULES, code=11)
    check("denies it" in r.err, f"send-file does not say why: {r.err!r}")
    b.ctl("send-file", "g", RULES)
    wait("b's second file", lambda: [f["state"] for f in g.json("files")["files"]
                                     if f["direction"] == "in"] == ["done"] * 2)
    check(("g", "kept out") not in lines_of(b), "[firewall] lets chat in")


@scenario(whole="a minute of waiting")
def a_firewall_that_keeps_chat_out_is_told(lab):
    """The other machine has nothing to say, so no connection comes about by which its daemon could tell."""
    a, b = network(lab, "a", "b")
    b.configure("[firewall]\nallow = ping\n")
    b.restart_daemon()
    a.wait_direct(b)
    a.ctl("send", "b", "hello")
    wait("a to find it out", lambda: "answers no chat" in a.ctl("history", "b").out, 60)
    r = a.ctl("send", "b", "again")
    check("queued: b's machine answers no chat" in r.out + r.err, r)
    check("answers no chat" in a.ctl("history", "b").out, "history does not say why it waits")
    b.run("sed", "-i", "s/ping/chat/", "/etc/p2pvpn/p2pvpnd.conf")
    b.restart_daemon()
    wait("both messages", lambda: ("a", "again") in lines_of(b), 60)
    check("answers no chat" not in a.ctl("history", "b").out, "it is said still")


@scenario(whole="a minute of waiting")
def a_rule_that_comes_later_is_why_lines_and_files_wait(lab):
    """They were said and offered before: they wait for the rule, untried, and it is named on both ends."""
    a, b, g = network(lab, "a", "b", "g")
    b.wait_direct(g)
    g.ctl("send-file", "--no-wait", "b", RULES)
    wait("b to hear of it", lambda: [f["state"] for f in b.json("files")["files"]] == ["offered"])
    g.ctl("down")
    g.ctl("send", "b", "hello")
    a.ctl("deny", "g", "b", "chat,files")
    rules_at(b, 1, "allow")
    b.ctl("down")  # g hears of the rule before it can try
    g.ctl("up")
    rules_at(g, 1, "allow")
    b.ctl("up")
    g.wait_direct(b)
    b.wait_direct(g)
    check("is denied it" in g.ctl("history", "b").out, "history does not say why it waits")
    number = str(b.json("files")["files"][0]["id"])
    getter = b.start(lab.bin("p2pvpnctl"), "files", "accept", number, "-o", "/run/got")
    wait("the reason", lambda: "waiting: a rule of the network" in getter.text(), 10)
    for h in (b, g):
        wait(f"{h.name} to say that it is accepted and waits", lambda: [
            (f["state"], f.get("why", "").startswith("a rule of the network"))
            for f in h.json("files")["files"]] == [("accepted", True)], 10)
    pause(50, "a receiver that answers no chat is told apart after less")
    check("is denied it" in g.ctl("history", "b").out, "the reason is another later")
    equal([r["denied"] for r in b.json("rules")["rules"]], [0], "packets that b kept out")
    a.ctl("rules", "remove", "1")
    wait("the line", lambda: ("g", "hello") in lines_of(b, "g"), 10)
    equal(getter.ended(), 0, "exit code of files accept")


@scenario
def a_link_of_chat_ends_with_its_permission(lab):
    """B dialled it and may not any more: what a has to say goes by a connection of its own, and b's answers with it."""
    a, b = network(lab, "a", "b")
    b.ctl("send", "a", "dialled by b")
    wait("b's message", lambda: ("b", "dialled by b") in lines_of(a, "b"))
    a.ctl("deny", "b", "a", "chat")
    rules_at(b, 1, "allow")
    for text in ("one", "two"):
        a.ctl("send", "b", text)
        wait(f"a to know that b has {text!r}", lambda: [m["state"] for m in a.json("history", "b")["messages"]
                                                        if m["text"] == text] == ["delivered"], 10)


@scenario
def bad_input_is_told_with_its_remedy(lab):
    a, b = network(lab, "a", "b")
    rows = [
        (2, "are no ports", ("allow", "any", "b", "tcp/99999")),
        (6, "nobody is called", ("allow", "any", "zoe", "22")),
        (2, "no tag", ("allow", "tag:-", "b", "22")),
        (2, "there is no rule", ("rules", "remove", "7")),
        (2, "NUMBER is missing", ("rules", "remove")),
        (2, "there is rules", ("rules", "default", "maybe")),
        (2, "NAME:PORT", ("can", "a", "b")),
        (2, "not one port", ("can", "a", "b:22-23")),
        (6, "nobody is called", ("can", "a", "zoe:22")),
        (6, "nobody is called", ("tag", "zoe", "guest")),
        (2, "is no tag", ("tag", "b", "-")),
        (2, "means everybody", ("tag", "b", "any")),
        (1, "has no tag", ("untag", "b", "guest")),
        (2, "there is no rule 9", ("deny", "any", "any", "all", "--before", "9")),
    ]
    for code, words, args in rows:
        r = a.ctl(*args, code=code)
        check(words in r.err, f"{args}: {r.err}")
    a.ctl("tag", "b", "a")
    r = a.ctl("allow", "a", "b", "22", code=2)
    check("is a member and a tag" in r.err, r)
    r = b.ctl("deny", "any", "any", "all", code=11)
    check("no admin" in r.err, r)
