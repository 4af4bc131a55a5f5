# SPDX-License-Identifier: MIT
"""A disk that is full, also when a program starts on it."""
import contextlib
import json
import os
import signal

from lab import Failure, check, equal, scenario, wait

STATE = "/var/lib/p2pvpn"
COORDINATOR = "/var/lib/p2pvpn-coordinator"


def small_disk(host, path):
    """A disk of its own for what programs keep: chat's directory is beside that of p2pvpnd."""
    mount(host, path, "size=4m")


def mount(host, path, options):
    host.run("mount", "-t", "tmpfs", "-o", f"{options},mode=0755", "tmpfs", os.path.dirname(path))
    host.run("mkdir", "-m", "700", path)


def fill(host, path):
    host.run("sh", "-c", f"cat /dev/zero >{path}/filler 2>/dev/null; df {path} | grep -q 100%")


def make_room(host, path):
    host.run("rm", f"{path}/filler")


def refused(host, peer):
    """Sends until there is no room: small writes find some in the part of SQLite's log that is on the disk."""
    for i in range(1000):
        r = host.ctl("send", peer, f"while it is full {i}", check_rc=False)
        if r.code != 0:
            return r
    raise Failure("a thousand messages were stored on a full disk")


def read_without_room(host, text):
    """A message that cannot be marked as read is shown and stays unread."""
    r = host.ctl("inbox", check_rc=False)
    check(text in r.out, f"inbox on a full disk: {r}")
    marked = "full" not in r.err  # there was room for that much
    r = host.ctl("inbox", check_rc=False)
    check((text in r.out) != marked, f"inbox again, marked {marked}: {r}")
    return marked


@scenario(whole="fifty seconds of waiting")
def both_programs_start_on_a_full_disk_and_heal(lab):
    host = lab.host("coordinator")
    small_disk(host, COORDINATOR)
    coordinator = lab.coordinator(host)
    a, b = lab.host("a"), lab.host("b")
    small_disk(a, STATE)
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    a.ctl("send", "b", "before")
    b.ctl("send", "a", "to be read")
    wait("it to arrive", lambda: "to be read" in a.ctl("inbox", "--peek").out)
    for shm in (True, False):
        fill(a, STATE)
        fill(host, COORDINATOR)
        a.p2pvpnd.end(signal.SIGKILL)
        coordinator.end(signal.SIGKILL)
        if not shm:  # as after a crash of the machine
            a.run("sh", "-c", f"rm -f {STATE}/*-shm; cat /dev/zero >>{STATE}/filler || true")
            host.run("sh", "-c", f"rm -f {COORDINATOR}/*-shm;"
                     f"cat /dev/zero >>{COORDINATOR}/filler || true")
        coordinator.start()
        a.daemon()
        a.wait_peer(b, timeout=40)
        wait("a, whose disk is full, to reach b",
             lambda: a.os_ping(a.addr(b), timeout=1), timeout=40)
        r = refused(a, "b")
        equal(r.code, 1, "exit code of a message that cannot be stored")
        check("No space left" in r.err and "free some space" in r.err,
              f"no reason or no remedy in: {r.err}")
        check("before" in a.ctl("history", "b").out, "what was stored can be read")
        status = a.ctl("status", "-l").out
        check(any("full" in line for line in status.splitlines() if line.startswith("problem:")), status)
        if shm:
            marked = read_without_room(a, "to be read")
        make_room(a, STATE)
        make_room(host, COORDINATOR)

        def sends():
            return a.ctl("send", "b", f"after {shm}", check_rc=False).code == 0
        wait("a to store again", sends)
        wait("the message to arrive",
             lambda: f"after {shm}" in b.ctl("history", "a").out)
        wait("status to name no full disk any more", lambda: "full" not in a.ctl("status", "-l").out, timeout=40)
        if shm:
            check(("to be read" in a.ctl("inbox").out) != marked, f"marked as read before there was room: {marked}")
            equal(a.ctl("inbox").out, "", "the inbox when all is read")
        wait("the coordinator to store again",
             lambda: a.ctl("invite", check_rc=False).code == 0, timeout=40)


@scenario
def a_member_that_began_on_a_full_disk_is_taken_again(lab):  # remedy: make_room
    """Its clock is behind, so that nothing tells it how far its former numbers went."""
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    small_disk(a, STATE)
    a.own_clock()
    lab.network(coordinator, [a, b])
    a.wait_direct(b)
    a.p2pvpnd.end(signal.SIGKILL)
    fill(a, STATE)
    a.run("sh", "-c", f"rm -f {STATE}/*-shm; cat /dev/zero >>{STATE}/filler || true")
    a.set_clock(-86400)

    def why():
        a.ping(b, "-c", 1, "--timeout", 1, check_rc=False)
        return json.loads(a.ctl("why", "b", "--json", check_rc=False).out)
    said = None
    for _ in range(20):  # each life begins at a place of its own, which is above the former one's by chance
        a.daemon()
        a.wait_peer(b)
        with contextlib.suppress(Failure):
            said = wait("the cause", lambda: (w := why())["cause_code"] == "own_numbers" and w, 4)
            break
        a.p2pvpnd.end(signal.SIGKILL)
    equal(said and said["remedy"], "make_room", "the remedy")
    make_room(a, STATE)
    wait("the cause to go", lambda: why()["cause_code"] != "own_numbers")
    a.wait_direct(b)
    wait("status to name no full disk", lambda: "full" not in a.ctl("status", "-l").out, 40)


@scenario
def a_send_that_ran_out_of_time_is_repeated_without_being_sent_twice(lab):
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    # The request of a client that gave up on a daemon that hung may be read afterwards.
    a.p2pvpnd.popen.send_signal(signal.SIGSTOP)
    r = a.ctl("--timeout", "1", "send", "b", "only once", check_rc=False)
    a.p2pvpnd.popen.send_signal(signal.SIGCONT)
    equal(r.code, 3, f"exit code: {r}")
    check("may still arrive" in r.err and " --id " in r.err, r.err)
    message = r.err.split(" --id ")[1].split()[0].strip("`,.:;)")
    a.ctl("send", "--id", message, "b", "only once")
    a.ctl("room", "create", "crew")
    a.ctl("room", "invite", "crew", "b")
    a.ctl("send", "--id", message, "#crew", "only once")
    a.ctl("send", "--id", message, "#crew", "only once")
    for to in ("b", "#crew"):
        r = a.ctl("send", "--id", message, to, "another text", code=1)
        check("that id was taken with another text" in r.err, r.err)
    equal(a.ctl("history", "#crew").out.count("\n"), 1, "lines in the room")
    a.ctl("send", "b", "the last")
    wait("what follows it", lambda: "the last" in b.ctl("history", "a").out)
    equal(b.ctl("history", "a").out.count("only once"), 1, "how often b has it")


@scenario
def nothing_of_others_fills_the_last_of_a_disk(lab):
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    mount(b, STATE, "size=40m")
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    a.ctl("send", "b", "first")
    wait("it to arrive", lambda: "first" in b.ctl("history", "a").out)
    # 1 MiB is left of 40: less than a twentieth.
    b.run("sh", "-c", f"free=$(df -k --output=avail {STATE} | tail -1);"
          f"head -c $(((free - 1024) * 1024)) /dev/zero >{STATE}/filler")
    a.ctl("send", "b", "second")

    def held():
        return "takes no more from you for now" in a.ctl("history", "b").out
    wait("a to be told that b takes no more", held)
    out = a.ctl("send", "b", "third").out
    check("b's machine takes no more from you for now: its disk is nearly full" in out, out)
    check("takes no more from you for now" in a.ctl("history", "b").out, "the history says nothing of it")
    check("second" not in b.ctl("history", "a").out, "b stored it all the same")
    b.ctl("send", "a", "own words")  # what b's users write is theirs to decide
    make_room(b, STATE)

    def arrived():
        out = b.ctl("history", "a").out
        return "second" in out and "third" in out
    wait("both to arrive when there is room again", arrived, timeout=90)


@scenario
def a_first_start_on_a_full_disk_says_why(lab):
    """The log cannot say it: it lies on that disk."""
    a = lab.host("a")
    mount(a, STATE, "size=64k")
    fill(a, STATE)
    r = a.ctl("up", check_rc=False)
    equal(r.code, 8, "exit code")
    check(f"the disk of {STATE} is full: free some space" in r.err, r.err)
    r = a.ctl("bugreport", "-o", f"{STATE}/report.txt", code=1)
    check("is the disk full?" in r.err and "report.txt" not in a.run("ls", STATE).out, f"half a report: {r}")


@scenario
def a_disk_without_inodes_is_named(lab):
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    mount(a, STATE, "nr_inodes=80")
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    a.p2pvpnd.end()
    a.run("sh", "-c", f"touch {STATE}/p2pvpnd.log; mkdir {STATE}/small; i=0; while echo >{STATE}/small/$i; do i=$((i + 1)); done 2>&-; df -i {STATE}")
    r = a.ctl("up", check_rc=False)
    check(r.code != 0 and "no inodes are free: delete small files" in r.err, r)
    told = a.ctl("doctor", "-l", check_rc=False).out
    check(f"!!   disk          no inodes are free below {STATE}" in told, told)
    a.run("rm", "-r", f"{STATE}/small")
    a.ctl("up")
    a.wait_peer(b)
