# SPDX-License-Identifier: MIT
"""Chat lines: once each, in order, also when the other side was away."""
import signal
import subprocess

from lab import check, equal, scenario, wait


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


def collect(host, want, timeout=15):
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
         == ["read"] * 3, timeout=30)
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
    equal(chat.wait(15), 0, "exit code of chat")
    collect(a, ["who is there"])


@scenario
def nc_can_chat_too(lab):
    _, a, b = start(lab)
    check(a.os_ping(a.addr(b)), "ping")
    a.run("sh", "-c", f"printf 'plain text\\n' | nc -q 1 {a.addr(b)} 2047", timeout=20)
    wait("the line to arrive", lambda: "plain text" in texts(b.json("history")))
    message = b.json("history")["messages"][-1]
    equal(message["from"], "a", "who the line is from")
