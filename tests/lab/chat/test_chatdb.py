# SPDX-License-Identifier: MIT
"""Chat's database is damaged, of a newer version or cannot be made: the network works all the same, status and doctor
name the problem, and what they advise takes it away."""
import json

from lab import check, equal, scenario, wait
from test_full import fill, make_room, small_disk

STATE = "/var/lib/p2pvpn.chat"
WORDS = "messages and rooms do not"


def problem(host):
    """The problem of chat in status, with the remedy's identifier; None: there is none."""
    s = host.json("status")
    return next(((p, r) for p, r in zip(s["problems"], s["remedies"]) if WORDS in p), None)


def network(lab):
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    a.ctl("send", "b", "before")
    wait("the message to arrive", lambda: "before" in b.ctl("inbox").out)
    return a, b


def look(a, b, words, remedy):
    """The network works, and nobody is left in doubt about chat."""
    a.wait_peer(b)
    wait("a to reach b", lambda: a.os_ping(a.addr(b), timeout=1))
    wait("status to name it", lambda: problem(a))
    said, name = problem(a)
    check(words in said, said)
    equal(name, remedy, said)
    checks = json.loads(a.ctl("doctor", "--json", check_rc=False).out)["checks"]
    check(any(WORDS in c["text"] for c in checks if not c["well"]), f"doctor: {checks}")
    for command in (("send", "b", "during"), ("inbox",), ("history", "b"), ("room", "list"), ("mute", "b")):
        r = a.ctl(*command, check_rc=False)
        check(r.code == 1 and words in r.err, f"{command}: {r}")


def sum_of(host):
    return host.run("cksum", f"{STATE}/chat.db").out


@scenario
def a_damaged_one_is_moved_away(lab):
    a, b = network(lab)
    a.stop_daemon()
    a.run("sh", "-c", f"rm -f {STATE}/chat.db-*; head -c 65536 /dev/urandom >{STATE}/chat.db")
    damaged = sum_of(a)
    a.daemon()
    look(a, b, "damaged", "move_chat_away")
    b.ctl("send", "a", "while it is damaged")
    equal(sum_of(a), damaged, "the damaged file")
    # remedy: move_chat_away
    a.stop_daemon()
    a.run("sh", "-c", f"mkdir /run/away; mv {STATE}/chat.db* /run/away")
    a.daemon()
    wait("the message that waited", lambda: "while it is damaged" in a.ctl("inbox", "--peek").out, 60)
    check(problem(a) is None, "the problem stays")
    a.ctl("send", "b", "after")
    wait("b to get it", lambda: "after" in b.ctl("inbox").out, 60)
    equal(a.ctl("history", "b").out.count("while it is damaged"), 1, "how often it is there")


@scenario
def a_newer_one_waits_for_the_upgrade(lab):
    a, b = network(lab)

    def set_version(number):
        a.run("python3", "-c", f"import sqlite3; sqlite3.connect('{STATE}/chat.db').execute('PRAGMA user_version = {number}')")
    a.stop_daemon()
    set_version(99)
    a.daemon()
    look(a, b, "newer", "upgrade")
    # remedy: upgrade
    a.stop_daemon()
    set_version(1)
    a.daemon()
    wait("what was said before", lambda: "before" in a.ctl("history", "b", check_rc=False).out)
    check(problem(a) is None, "the problem stays")


@scenario
def one_that_has_no_room_is_made_when_there_is_some(lab):  # remedy: free_disk
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    small_disk(a, STATE)
    lab.network(coordinator, [a, b])
    a.stop_daemon()
    a.run("sh", "-c", f"rm -f {STATE}/chat.db*")
    fill(a, STATE)
    a.daemon()
    look(a, b, "full", "free_disk")
    make_room(a, STATE)
    wait("a to send", lambda: a.ctl("send", "b", "after", check_rc=False).code == 0, 40)
    wait("b to get it", lambda: "after" in b.ctl("inbox").out, 60)
    check(problem(a) is None, "the problem stays")
