# SPDX-License-Identifier: MIT
"""Post-quantum sessions of the real programs: what they say of themselves, and what passes.

PV_LAB_OTHER may name the build directory of programs for another Debian that run here (scripts/check
makes one): those of this build and those then meet, and those each other. Sessions of a program that
has no ML-KEM are classical, and it must say so.
"""
import os
import random
import signal
import time

from lab import OTHER, SLOW, Skip, answered, check, equal, pressure, scenario, wait


def state(host):
    return host.json("status")["post_quantum"]


def able(host):
    """Whether its program has ML-KEM."""
    return state(host)["state"] in ("on", "require")


def pair(lab, other=(), conf=""):
    coordinator = lab.coordinator(start=False)
    coordinator.start()
    hosts = [lab.host(n, lab.lan(lan, "profile=port-restricted", "delay=10ms"))
             for n, lan in (("a", "east"), ("b", "west"))]
    for h in hosts:
        h.other = h.name in other
        if conf:
            h.configure(conf)
    lab.network(coordinator, hosts)
    return hosts


def kinds(a, b):
    return [a.peer(b)["session"], b.peer(a)["session"]]


def meet(a, b):
    a.wait_peer(b)
    check(a.ping(b, "-c", 3).code == 0, "ping")
    check(a.os_ping(a.addr(b)), "ping of the system")


def expect(a, b, kind):
    wait(f"{kind} keys", lambda: kinds(a, b) == [kind] * 2)
    why = a.ctl("why", b.name, "-l").out
    check("post-quantum: " in why if kind == "hybrid" else "not post-quantum: " in why, why)
    check(a.os_ping(a.addr(b)), "ping after it")
    for h in (a, b):
        wait(f"{h.name} to have no problem", lambda h=h: not h.json("status")["problems"])


@scenario
def status_says_whether_sessions_are_hybrid(lab):
    a, b = pair(lab)
    meet(a, b)
    s = state(a)
    expect(a, b, "hybrid" if able(a) else "classical")
    line = [x for x in a.ctl("status", "-l").out.splitlines() if x.strip().startswith("post-quantum")]
    check(line and (" on" in line[0] if able(a) else " no: " in line[0]), f"status: {line} {s}")
    if able(a):
        equal(state(a)["hybrid"], 1, "hybrid sessions")


@scenario
def nothing_passes_where_it_is_required_and_cannot_be(lab):
    a, b = pair(lab, conf="[security]\npq = require\n")
    if able(a):
        meet(a, b)
        expect(a, b, "hybrid")
        return
    a.wait_peer(b)
    a.ping(b, "-c", 1, "--timeout", 5, check_rc=False)
    check(not a.os_ping(a.addr(b), timeout=3), "a packet passed")
    problems = a.json("status")["problems"]
    check(any("pq = require" in p for p in problems), f"problems: {problems}")
    why = a.ctl("why", "b", "-l").out
    check("[security] pq = require here" in why, why)


@scenario
def keys_change_under_traffic(lab):
    """Transport keys of both, and so sessions and their preshared keys, while pings go both ways."""
    a, b = pair(lab)
    meet(a, b)
    kind = "hybrid" if able(a) else "classical"
    expect(a, b, kind)
    a.wait_direct(b)
    b.wait_direct(a)
    pings = [x.start("ping", "-n", "-c", "300", "-i", "0.02", "-W", "5", x.addr(y), name=f"ping-{x.name}")
             for x, y in ((a, b), (b, a))]
    before = [h.ctl("ip", "--wg-key").out for h in (a, b)]
    for h in (a, b):
        h.ctl("key", "rotate")
    lost = 0
    for p in pings:
        equal(p.ended(), 0, "exit code of ping")
        lost += 250 - answered(p.text(), 250)
    crowded = pressure(lab, a, b)
    check(lost <= crowded, f"{lost} packets were lost, and {crowded} dropped for want of a processor")
    check(all(h.ctl("ip", "--wg-key").out != k for h, k in zip((a, b), before)), "a key did not change")
    expect(a, b, kind)


RESTARTS = int(os.environ.get("PV_CHAOS_FAULTS") or 100)


def restart_again_and_again(lab, conf):
    """While both ping each other ten times a second: every restart, by SIGTERM or SIGKILL, of either side, is over
    within 8 s, when packets pass both ways again."""
    a, b = pair(lab, conf=conf)
    meet(a, b)
    rng = random.Random(int(os.environ.get("PV_CHAOS_SEED") or 77))
    address = {a: a.addr(b), b: b.addr(a)}
    for h in (a, b):
        h.start("ping", "-n", "-i", "0.1", "-W", "1", address[h], name=f"traffic-{h.name}")
    times = []
    for i in range(RESTARTS):
        who, sig = rng.choice((a, b)), rng.choice((signal.SIGTERM, signal.SIGKILL))
        who.restart_daemon(sig)
        began = time.monotonic()
        for h in (a, b):
            wait(f"packets of {h.name} after restart {i} of {who.name} by {sig.name}",
                 lambda h=h: h.os_ping(address[h], timeout=1), 8 * SLOW)
        times.append(time.monotonic() - began)
    print(f"{RESTARTS} restarts: {sorted(times)[RESTARTS // 2]:.2f} s in the middle, {max(times):.2f} s at most")
    if able(a):
        expect(a, b, "hybrid")


@scenario(long="restarts a daemon a hundred times", minutes=20)
def restarts_under_traffic_cut_nobody_off(lab):
    restart_again_and_again(lab, "")


@scenario(long="restarts a daemon a hundred times", minutes=20)
def restarts_cut_nobody_off_where_it_is_required(lab):
    restart_again_and_again(lab, "[security]\npq = require\n")


@scenario
def programs_of_another_debian_meet(lab):
    if not OTHER:
        raise Skip("PV_LAB_OTHER is not set")
    a, b = pair(lab, other=("a", "b"))
    meet(a, b)
    expect(a, b, "hybrid" if able(a) else "classical")


@scenario
def this_debian_meets_another(lab):
    if not OTHER:
        raise Skip("PV_LAB_OTHER is not set")
    a, b = pair(lab, other=("a",))
    meet(a, b)
    expect(a, b, "hybrid" if able(a) and able(b) else "classical")
