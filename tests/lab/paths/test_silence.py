# SPDX-License-Identifier: MIT
"""The first packets after silence, with the real programs: NATs forget a path that nobody uses, and what is sent next
arrives all the same, soon."""
import concurrent.futures
import itertools
import os
import random
import re
import signal
import sys

from lab import LONG, SLOW, Failure, Stopwatch, check, pause, scenario, wait

TCP_ECHO = """
import socket, sys
s = socket.create_server(("0.0.0.0", int(sys.argv[1])))
print("ready", flush=True)
c = s.accept()[0]
while text := c.recv(100):
    c.sendall(text)
"""
# A word and its answer, now and with each SIGUSR1.
TCP_TALK = """
import signal, socket, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
c = socket.create_connection((sys.argv[1], int(sys.argv[2])))
n = 0
while True:
    c.sendall(b"word")
    c.recv(100)
    n += 1
    print("said", n, flush=True)
    signal.sigwait([signal.SIGUSR1])
"""


def silent_pair(lab, coordinator, life, kept, kind):
    """Two members behind NATs of that kind, of which each keeps a binding for so many seconds."""
    n = len(lab.lans)
    lans = [lab.lan(f"lan{n + i}", f"profile={kind}", "delay=10ms", "ports=random") for i in range(2)]
    a, b = (lab.host(f"{end}{n}", lan) for end, lan in zip("ab", lans))
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    a.wait_direct(b)
    for lan in lans:
        lan.nat.set(udp_unreplied=f"{life}s", udp_replied=f"{life}s",
                    inbound_refresh="yes" if kept == "both" else "no",
                    **({"absolute": f"{max(life, 30)}s"} if kept == "never" else {}))
    return f"{kind}, {life} s, kept by {kept}", a, b


def is_direct(a, b):
    path = a.path(b)
    return path is not None and path["type"] == "direct"


def repeated(a, address):
    """How many segments a's connection to the echo has sent again."""
    text = a.run("ss", "-tin", "dst", str(address), "dport = 7400").out
    check("bytes_sent" in text, f"ss does not have the connection: {text}")
    found = re.search(r"retrans:\d+/(\d+)", text)
    return int(found.group(1)) if found else 0


def speak_after_silences(a, b, life, what):
    """Both in turn speak first. After the longest silence that is the connection, else a ping, and then both. Returns
    what went wrong, after all silences."""
    address = {a: a.addr(b), b: b.addr(a)}
    listener = b.start(sys.executable, "-c", TCP_ECHO, "7400", name="echo")
    wait("the echo to listen", lambda: "ready" in listener.text())
    talker = a.start(sys.executable, "-c", TCP_TALK, str(address[a]), "7400", name="talk")
    wait("the connection", lambda: "said 1" in talker.text())
    faults, again = [], 0

    def talks(words, first):
        nonlocal again
        os.kill(talker.pid, signal.SIGUSR1)
        wait("the connection to go on", lambda: f"said {words}" in talker.text())
        before, again = again, repeated(a, address[a])
        check(again == before or not first, f"TCP had to send {again - before} segments again")

    def speak(x, y, words, long):
        watch = Stopwatch()
        if long:
            talks(words, True)
        check(x.os_ping(address[x]), f"the first ping of {x.name} is lost")
        # A binding may end by its age at any time, and takes a ping along.
        wait("the direct path", lambda: (x.os_ping(address[x], timeout=1.2) or True) and is_direct(x, y))
        took = watch.seconds()
        check(took < 3 * SLOW + 1, f"direct again after {took:.1f} s")
        if not long:
            talks(words, False)

    for i in range(50 if LONG else 5):
        x, y = (a, b) if i % 2 == 0 else (b, a)
        long = LONG and i == 0
        silence = random.uniform(600, 640) if long else life + random.uniform(1, 6)
        pause(silence, "silence")
        try:
            speak(x, y, talker.text().count("said") + 1, long)
        except Failure as e:
            faults.append(f"{what}: after silence {i + 1}, of {silence:.1f} s: {e}")
            print(f"        {faults[-1]}", flush=True)
            for h, other in ((x, y), (y, x)):
                with open(os.path.join(a.lab.logs, f"{h.name}-{i + 1}.trace.log"), "w", encoding="utf-8") as f:
                    f.write(h.ctl("trace", other.name, check_rc=False).out)
    return faults


@scenario(minutes=90)
def the_first_packet_after_silence_arrives(lab):
    """NATs that forget, and are kept open by what goes out alone, by what comes in as well, or by nothing beyond some
    age: each first ping after silence is answered, the path is direct again within 3 s, and a TCP connection goes on,
    without a retransmission after ten minutes (long). All pairs at once, for they are silent most of the time."""
    kinds = [(5, "out", "port-restricted"), (5, "both", "address-restricted"), (12, "never", "address-restricted")]
    if LONG:
        kinds = itertools.product((5, 12, 30, 60), ("out", "both", "never"), ("port-restricted", "address-restricted"))
    coordinator = lab.coordinator()
    pairs = [(*silent_pair(lab, coordinator, *kind), kind[0]) for kind in kinds]
    with concurrent.futures.ThreadPoolExecutor(len(pairs)) as pool:
        runs = [pool.submit(speak_after_silences, a, b, life, what) for what, a, b, life in pairs]
    faults = [fault for run in runs for fault in run.result()]
    check(not faults, "\n".join(faults))
