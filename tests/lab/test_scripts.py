# SPDX-License-Identifier: MIT
"""Chat for scripts: chat --raw, nc against it, and a program for each message."""
import select
import subprocess

from lab import check, equal, scenario, wait

NOTIFY = r"""#!/bin/sh
{ echo "$P2PVPN_FROM -> $P2PVPN_TO as $(id -un) with $*"; cat; echo; } >>/run/notify/told
case $(tail -1 /run/notify/told) in *slow*) sleep 3; echo slept >>/run/notify/told ;; esac
exit 0
"""


def start(lab):
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    b.run("sh", "-ec", "mkdir -m 1777 /run/notify; cat >/run/notify/program;"
          "chmod 755 /run/notify/program; chown nobody /run/notify/program", stdin=NOTIFY)
    b.run("sh", "-c", "cat >/etc/p2pvpn/p2pvpnd.conf",
          stdin="[chat]\nnotify = /run/notify/program one two\n")
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    b.wait_peer(a)
    return a, b


@scenario
def raw_lines_both_ways(lab):
    a, b = start(lab)
    reader, writer = subprocess.PIPE, subprocess.PIPE
    def listen():
        return subprocess.Popen([*b.enter, lab.bin("p2pvpnctl"), "chat", "--raw", "a"],
                                stdin=subprocess.DEVNULL, stdout=reader, text=True)
    listener, other = listen(), listen()
    # Each has begun when it prints a line: one that came before, the other may have read.
    for one in (listener, other):
        while not select.select([one.stdout], [], [], 1)[0]:
            a.ctl("send", "b", "are you there?")
    a.ctl("send", "b", "both are")
    for one in (listener, other):
        while one.stdout.readline() != "both are\n":
            pass
    # Two lines of a pipe are two messages; the program ends with its input.
    r = a.ctl("chat", "--raw", "b", stdin="first line\n  second, with blanks \n")
    equal(r.out, "", "what the sender prints")
    equal(listener.stdout.readline(), "first line\n", "the first line")
    equal(listener.stdout.readline(), "  second, with blanks \n", "the second line")
    check(a.os_ping(a.addr(b)), "ping")
    a.run("sh", "-c", f"printf 'by nc\\n' | nc -q 1 {a.addr(b)} 2047")
    equal(listener.stdout.readline(), "by nc\n", "a line of nc")
    # A conversation that was begun with its name has what a muted peer says, too.
    b.ctl("mute", "a")
    a.ctl("send", "b", "muted")
    equal(listener.stdout.readline(), "muted\n", "a line of a muted peer")
    b.ctl("unmute", "a")
    equal(listener.poll(), None, "exit code of a listener without input")
    # One takes nothing from another.
    before = ["first line", "  second, with blanks ", "by nc", "muted"]
    lines = [f"line {n}" for n in range(30)]
    for line in lines:
        a.ctl("send", "b", line)
    for one, all_of_it in ((listener, lines), (other, before + lines)):
        equal([one.stdout.readline()[:-1] for _ in all_of_it], all_of_it, "what a listener prints")
        one.terminate()
        one.wait()

    talker = subprocess.Popen([*b.enter, lab.bin("p2pvpnctl"), "chat", "--raw", "a"],
                              stdin=writer, stdout=reader, text=True)
    talker.stdin.write("question\n")
    talker.stdin.flush()
    wait("the question", lambda: [m["text"] for m in a.json("inbox", "--peek")["messages"]]
         == ["question"])
    a.ctl("send", "b", "answer")
    equal(talker.stdout.readline(), "answer\n", "the answer")
    talker.stdin.close()
    equal(talker.wait(120), 0, "exit code at the end of the input")
    equal(b.json("inbox")["messages"], [], "what is unread after it was printed")
    # A caller may have closed the output: what cannot be written stays unread.
    a.ctl("send", "b", "kept")
    wait("one more line", lambda: [m["text"] for m in b.json("inbox", "--peek")["messages"]] == ["kept"])
    r = b.run("sh", "-c", f"{lab.bin('p2pvpnctl')} inbox >&-", check_rc=False)
    equal(r.code, 1, f"exit code without an output: {r}")
    equal([m["text"] for m in b.json("inbox")["messages"]], ["kept"], "what is unread then")
    a.ctl("chat", "--raw", "nobody", code=6)
    a.ctl("chat", "--raw", code=2)


@scenario
def a_program_is_told_of_every_message(lab):
    a, b = start(lab)
    for text in ("hello", "; reboot $(id) `id`", "slow one", "after it"):
        a.ctl("send", "b", text)
    head = "a -> b as nobody with one two"
    want = [head, "hello", head, "; reboot $(id) `id`", head, "slow one", "slept", head, "after it"]

    def told():
        return b.run("cat", "/run/notify/told", check_rc=False).out.splitlines()
    wait("every message to be told, one after the other", lambda: len(told()) >= len(want))
    equal(told(), want, "what the program was told")
    check(b.ctl("version").code == 0, "the daemon answers")
    # A program that others may write is not run; the message arrives all the same.
    b.run("chmod", "777", "/run/notify/program")
    a.ctl("send", "b", "unseen")
    wait("the daemon to say why", lambda: "chmod go-w" in b.p2pvpnd.text())
    equal(told(), want, "what the program was told")
    wait("the message", lambda: b.json("history")["messages"][-1]["text"] == "unseen")
