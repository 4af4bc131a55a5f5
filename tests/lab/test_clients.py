# SPDX-License-Identifier: MIT
"""Clients of the control socket: what one of them does holds up nobody else, and not the daemon."""
import json
import os
import signal

from lab import ROOT, SLOW, USERS, Skip, Stopwatch, check, equal, scenario, wait

SOCKET = "/run/p2pvpn/p2pvpnd.sock"
FLUSH, READ, GETATTR, RELEASE, SETATTR, WRITE = 25, 15, 3, 18, 4, 16
ALICE = dict(USERS)["alice"]


def start(lab):
    """Two machines; b takes every file."""
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    b.configure("[chat]\nauto-accept = *\n")
    lab.network(coordinator, [a, b])
    a.wait_direct(b)
    return a, b


def files(host):
    return host.json("files")["files"]


def arrived(host, name):
    return [f for f in files(host) if f["name"] == name and f["state"] in ("done", "saved")]


def make(host, path, size, owner):
    host.run("sh", "-c", f"head -c {size} /dev/urandom >{path}; chown {owner} {path}; chmod 600 {path}")


def digest(host, path):
    return host.run("sha256sum", path).out.split()[0]


def silent_file(host, silent, line, *more):
    """A member of the group passes a file that does not answer these requests."""
    host.run("sh", "-c", "test -c /run/fuse || mknod -m 666 /run/fuse c 10 229 2>/dev/null || "
             "{ : >/run/fuse; mount --bind /dev/fuse /run/fuse; }; "
             "test -d /run/alice || install -d -o alice /run/alice")
    if host.run(*host.as_user(), "test", "-w", "/run/fuse", check_rc=False).code != 0:
        raise Skip("/dev/fuse is not for everybody: as root: chmod 666 /dev/fuse, as udev does")
    p = host.start(*host.as_user(), "unshare", "-Urm", "env", "FUSE_DIR=/run/alice", "python3", "-B",
                   os.path.join(ROOT, "tests/lab/programs/fuse.py"), "/run/fuse", SOCKET,
                   ",".join(str(x) for x in silent), json.dumps(line), *more, name="fuse")
    wait("the file to be passed", lambda: p.must_run() or "passed" in p.text())
    return p


def answers(host, who=(), seconds=3):
    """p2pvpnctl of this user gets its answer soon."""
    watch = Stopwatch()
    r = host.run(*who, host.lab.bin("p2pvpnctl"), "version")
    check(watch.seconds() < seconds * SLOW, f"an answer that took too long: {r}")


def processes(host, name):
    r = host.run("pgrep", "-x", name, check_rc=False)
    return [int(x) for x in r.out.split()]


@scenario
def a_file_that_never_answers_delays_its_client_alone(lab):
    """By any request, with the connection held or closed; the daemon ends at once all the same."""
    a, b = start(lab)
    for silent, line, more in (((FLUSH,), {"cmd": "version"}, ()),
                               ((FLUSH, READ, GETATTR), {"cmd": "version"}, ("keep",)),
                               ((FLUSH, READ, GETATTR, RELEASE, SETATTR, WRITE),
                                {"cmd": "files"}, ()),
                               ((READ, FLUSH), {"cmd": "file_send", "peer": "b", "file": "slow"},
                                ("keep",))):
        p = silent_file(a, silent, line, *more)
        answers(a)
        answers(a, a.as_user())
        a.ping(b)
        p.must_run()
    watch = Stopwatch()
    equal(a.stop_daemon(), 0, "exit code on SIGTERM")
    check(watch.seconds() < 5 * SLOW, "SIGTERM took too long")
    a.daemon()
    silent_file(a, (FLUSH,), {"cmd": "version"})
    answers(a)
    watch = Stopwatch()
    equal(a.stop_daemon(signal.SIGKILL), -signal.SIGKILL, "exit code on SIGKILL")
    check(watch.seconds() < 3 * SLOW, "SIGKILL took too long")
    a.daemon()  # neither lock nor port nor interface is held
    a.wait_direct(b)


@scenario
def a_peer_fetches_a_file_that_does_not_answer(lab):
    """The transfer waits and gives up; others go on meanwhile."""
    a, b = start(lab)
    make(a, "/run/honest", 3 << 20, "root")
    silent_file(a, (READ, FLUSH), {"cmd": "file_send", "peer": "b", "file": "slow"}, "keep")
    a.ctl("send-file", "b", "/run/honest", timeout=60)
    check(arrived(b, "honest") and not arrived(b, "slow"), f"files of b: {files(b)}")
    answers(a)


@scenario
def a_member_of_the_group_sends_and_saves_files(lab):
    """With its own rights: a file that only this user may read."""
    a, b = start(lab)
    a.run("install", "-d", "-o", "alice", "/run/alice")
    b.run("install", "-d", "-o", "alice", "/run/alice")
    make(a, "/run/alice/private", 5 << 20, "alice")
    ctl = lab.bin("p2pvpnctl")
    a.run(*a.as_user(), ctl, "send-file", "b", "/run/alice/private", timeout=60)
    number = arrived(b, "private")[0]["id"]
    b.run(*b.as_user(), ctl, "files", "get", str(number), "--dir", "/run/alice", timeout=60)
    equal(digest(b, "/run/alice/private"), digest(a, "/run/alice/private"), "what arrived")
    equal(b.run("stat", "-c", "%u", "/run/alice/private").out.strip(), str(ALICE), "whose it is")
    # The process that served it has ended with the offer, and nothing is left behind.
    wait("the porters to end", lambda: not processes(a, "p2pvpnd-porter"))


@scenario
def one_user_does_not_lock_out_root(lab):
    """Connections of the group, more than there are places, and each of them silent."""
    coordinator = lab.coordinator()
    a = lab.host("a")
    lab.network(coordinator, [a])
    crowd = a.start(*a.as_user(), "/usr/bin/python3", "-c", CROWD, SOCKET, "100", name="crowd")
    wait("the crowd", lambda: crowd.must_run() or "there" in crowd.text())
    answers(a)
    a.ctl("status", "-l")
    crowd.must_run()
    crowd.kill()
    wait("places for others", lambda: a.run(*a.as_user(), lab.bin("p2pvpnctl"), "version",
                                            check_rc=False).code == 0)


CROWD = """
import signal, socket, sys
all = []
for i in range(int(sys.argv[2])):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    all.append(s)
print("there", flush=True)
signal.pause()
"""


@scenario
def commands_that_last_leave_room_for_others(lab):
    """Root's 100 and a user's 100 `events`: those beyond a share say so, all others are answered, and of many that come
    at once each."""
    a = lab.host("a")
    a.daemon()
    ctl = lab.bin("p2pvpnctl")
    lasting = []
    for who, share in ((a.as_user(), 16), ((), 40)):
        # each lasts until it is ended, or says why not
        some = a.start(*who, "sh", "-c", f"for i in $(seq 100); do {{ {ctl} events 2>&1; echo ended $?; }} & done; wait",
                       name="events")
        lasting.append(some)
        wait("those beyond the share to end", lambda s=some, n=share: s.text().count("ended") == 100 - n)
        equal(some.text().count("ended 13"), 100 - share, "exit codes")
        equal(some.text().count("too many commands that last"), 100 - share, "reasons")
    for who in ((), a.as_user()):
        a.run(*who, ctl, "version")
    for who in ((), a.as_user()):
        r = a.run(*who, "sh", "-c", f"for i in $(seq 100); do {{ {ctl} version >/dev/null; echo $?; }} & done; wait",
                  timeout=60)
        equal(r.out.split().count("0"), 100, f"answers: {r}")
    for some in lasting:
        check(some.running(), "events ended")


@scenario
def a_limit_of_too_few_files_is_told(lab):
    """The log says it where commands would fail, and nothing where they work."""
    for limit, few in ((128, True), (256, False)):
        h = lab.host(f"h{limit}")
        p = h.start("sh", "-c", f"ulimit -n {limit}; exec {lab.bin('p2pvpnd')}", name=f"limit{limit}")
        wait("p2pvpnd to be ready", lambda: p.must_run() or "ready:" in p.text())
        equal("too few files" in p.text(), few, f"what the log says with {limit}")
        if not few:
            h.ctl("status")
