# SPDX-License-Identifier: MIT
"""p2pvpnctl pipe: two machines of no network, for as long as one connection."""

import itertools
import json
import os
import pty
import re
import signal

from lab import LONG, SLOW, WHOLE, check, equal, pause, scenario, sh, wait
from talklab import SERVER


def open_pipe(lab, one, other, *words, stdin=None, words_of_first=(), terminal=-1, between=None):
    """Both ends, with standard output in a file, and standard input from one of the home directory, or typed; the
    second's may be a terminal. between(): once the first is there, before the second."""
    ends = []
    token = None
    for host, also in ((one, words_of_first), (other, words)):
        if token is not None and between is not None:
            between()
        out = host.run("sh", "-c", 'mktemp "${XDG_RUNTIME_DIR}/out.XXXXXX"').out.strip()
        said = [] if token is None else [token]
        cmd = " ".join([lab.bin("p2pvpnctl"), "-q", "pipe", *said, *[f"'{w}'" for w in also]])
        said = "" if stdin is None else f"<$HOME/{stdin}"
        end = host.start("sh", "-c", f"exec {cmd} >{out} {said}", name="pipe", stdin=-1 if token is None else terminal)
        ends.append((end, out))
        if token is None:
            token = wait("the token", lambda e=end: e.must_run() or
                         re.search("p2pvpn-[A-Za-z0-9_-]{80,}", e.text())).group()
    return ends


PIPED = 1000000000 if LONG else 30000000 if WHOLE else 10000000  # bytes each way


@scenario(minutes=20)
def a_pipe_joins_two_machines(lab):
    """Bytes both ways and each end, a program, a port; nothing is left; a killed end is noticed."""
    coordinator = lab.coordinator()
    a = lab.host("a", lab.lan("lan-a", "profile=port-restricted"))
    b = lab.host("b", lab.lan("lan-b", "profile=symmetric"))
    for one in (a, b):  # as beside root's p2pvpnd in a network of the default range
        one.run("ip", "link", "add", "p2p-home", "type", "veth", "peer", "name", "its-other")
        one.run("ip", "addr", "add", "10.66.9.1/16", "dev", "p2p-home")
        one.run("ip", "link", "set", "p2p-home", "up")
        one.run("ip", "link", "set", "its-other", "up")
    a.without_root()
    b.without_root(denied=True)  # lwIP is in the kernel's place there
    for one in (a, b):
        one.before += ["env", f"P2PVPN_COORDINATOR={coordinator.url()}"]

    # Meanwhile one waits for a second that has joined and comes no further.
    c, d = lab.host("c"), lab.host("d")
    for one in (c, d):
        one.without_root(1971)
    lonely = c.start(lab.bin("p2pvpnctl"), "-q", "pipe", name="lonely", env={"P2PVPN_COORDINATOR": coordinator.url()})
    token = wait("the token", lambda: lonely.must_run() or re.search("p2pvpn-[A-Za-z0-9_-]{80,}", lonely.text()))
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
        equal(end.ended(), 0, f"exit code: {end.text()}")
    equal(a.run("cat", out1).out, "back", "what the second said")
    wait("nothing to be left", lambda: not left())

    # much, both ways at once
    for one in (a, b):
        one.run("sh", "-c", f"rm $XDG_RUNTIME_DIR/out.*; head -c {PIPED} /dev/urandom >$HOME/much; "
                "ln -s /dev/zero $HOME/endless")
    ends = [end for end, _ in open_pipe(lab, a, b, stdin="much")]
    for end in ends:
        equal(end.ended(150 + PIPED / 1000000), 0, f"exit code: {end.text()}")
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
        equal(end.ended(), 0, f"exit code: {end.text()}")
    equal(b.run("cat", out2).out, "hello", "what the first said to a terminal's end")
    os.close(keyboard)
    os.close(terminal)
    wait("nothing to be left", lambda: not left())

    # a program at one end, and a port at the other
    b.start("/usr/bin/python3", "-c", SERVER, "127.0.0.1", name="outside")
    wait("the server", lambda: b.listens(7003))
    (first, out1), (second, _) = open_pipe(lab, a, b, "--forward", "7000",
                                           words_of_first=("--", "sh", "-c", "echo hello; exec >&-; cat >$HOME/got; exit 7"))
    equal(first.ended(), 7, "the program's exit code")
    equal(second.ended(), 1, f"exit code: {second.text()}")
    check("the program at the other end failed" in second.text(), second.text())
    equal(a.run("sh", "-c", "cat $HOME/got").out, "heard 6", "what the port said")
    wait("nothing to be left", lambda: not left())

    # either end is killed, idle or not
    def heard():
        return [int(one.run("sh", "-c", "cat $XDG_RUNTIME_DIR/out.* | wc -c").out) for one in (a, b)]
    for which, stdin in itertools.product((0, 1), (None, "endless")) if WHOLE else ((0, None), (1, "endless")):
        for one in (a, b):
            one.run("sh", "-c", "rm $XDG_RUNTIME_DIR/out.*")
        ends = [end for end, _ in open_pipe(lab, a, b, stdin=stdin)]
        for end in ends if stdin is None else ():
            end.popen.stdin.write(b"hello")
            end.popen.stdin.flush()
        wait("both to be joined", lambda s=stdin: min(heard()) >= (5 if s is None else 1000000), 60)
        ends[which].end(signal.SIGKILL)
        equal(ends[1 - which].ended(), 1, "exit code when the other end is killed")
        check("the other end" in ends[1 - which].text(), ends[1 - which].text())
        wait("nothing to be left", lambda: not left())
    for one in (a, b):
        one.run("sh", "-c", "rm $XDG_RUNTIME_DIR/out.*")
    a.ctl("pipe", "--coordinator", "nonsense", code=12)
    # A mistake is told before there is a token.
    r = a.ctl("pipe", "p2pvpn://192.0.2.1:3478/x?c=secret", code=2)
    check("behind --coordinator" in r.err and "secret" not in r.err, r.err)
    for words, code in ((("--", "nosuchprog"), 1), (("--", "/etc/fstab"), 1), (("--forward", "x"), 2), (("--forward", ":22"), 2)):
        r = a.ctl("pipe", *words, code=code)
        check("p2pvpn-" not in r.out and words[1] in r.err, r.err)
    check("--timeout does not end it" in a.ctl("-t", 3, "pipe", code=2).err, "--timeout")
    wait("nothing to be left", lambda: not left())
    equal(lonely.ended(), 1, f"exit code of one that waits alone: {lonely.text()}")
    check("begin again" in lonely.text(), lonely.text())


@scenario
def the_pulse_is_no_part_of_what_is_piped(lab):
    """Of its two connections the one that was begun first is there last, as where its last packet takes another way."""
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    for one in (a, b):
        one.without_root()
        one.before += ["env", f"P2PVPN_COORDINATOR={coordinator.url()}"]

    def lose_one():
        """The packet that ends the first handshake gets lost on its way to the first command."""
        sock = a.run("sh", "-c", "ls $XDG_RUNTIME_DIR/p2pvpn-pipe.*/p2pvpn/p2pvpnd.sock").out.strip()
        inside = json.loads(a.run(lab.bin("p2pvpnctl"), "--socket", sock, "status", "--json").out)["inside"]
        sh("nsenter", "-t", str(inside), "-n", "nft", "-f", "-", stdin=(
            "table inet loss {\nchain in {\ntype filter hook input priority 0\n"
            "tcp dport 2049 tcp flags & (syn | ack) == ack numgen inc mod 1000000 0 drop\n}\n}\n"))

    ends = open_pipe(lab, a, b, between=lose_one)
    for (end, _), word in zip(ends, ("from a", "from b")):
        end.popen.stdin.write(word.encode())
        end.popen.stdin.flush()
    for host, (_, out), word in zip((a, b), ends, ("from b", "from a")):
        wait(f"{word!r} at {host.name}", lambda h=host, o=out, w=word: len(h.run("cat", o).out) >= len(w), 60)
    for end, _ in ends:
        end.popen.stdin.close()
    for end, _ in ends:
        equal(end.ended(), 0, f"exit code: {end.text()}")
    for host, (_, out), word in zip((a, b), ends, ("from b", "from a")):
        equal(host.run("cat", out).out, word, f"what came to {host.name}")


@scenario(whole="two minutes of faults")
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
        equal(end.ended(), 0, f"exit code: {end.text()}")

    # all processes of an end die at once, so that no kernel and no p2pvpnd says it
    for victim, other in ((0, 1), (1, 0)):
        ends = open_pipe(lab, a, b)
        joined(ends)
        host, survivor = (a, b)[victim], ends[other][0]
        for sig, name in (("-STOP", "^p2pvpnd$"), ("-KILL", "^p2pvpn")):
            host.run("pkill", sig, "-u", str(1971 + victim), name)
        equal(survivor.ended(), 1, "exit code when all of the other end is killed")
        check("the other end has ended" in survivor.text(), survivor.text())

    ends = open_pipe(lab, a, b)
    joined(ends)
    lan.nat.set(loss="100%")
    for end, _ in ends:
        equal(end.ended(), 1, "exit code when the line is cut")
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
        equal(end.ended(), 0, f"exit code without the coordinator: {end.text()}")


@scenario
def a_token_of_a_network_is_not_used_up(lab):
    """Somebody types pipe for join."""
    a, b = lab.host("a"), lab.host("b")
    lab.network(lab.coordinator(), [a])
    token = a.ctl("invite").out.strip()
    b.without_root(1971)
    r = b.run(lab.bin("p2pvpnctl"), "pipe", token, check_rc=False)
    check(r.code == 12 and "an invite to network" in r.err and "p2pvpnctl join" in r.err, r)
    check("0 of 1" in a.ctl("invite", "list").out, a.ctl("invite", "list"))
    b.daemon()
    b.ctl("join", token)
    wait("b to be a member", lambda: a.peer("b"))
