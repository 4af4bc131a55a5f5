# SPDX-License-Identifier: MIT
"""A hub with several workers."""
from lab import check, equal, scenario, wait

# Each side sends a stream and checks the other's.
PUMP = """
import socket, sys, threading, hashlib
size = int(sys.argv[3])
block = bytes(range(256)) * 256
if sys.argv[1] == 'serve':
    l = socket.socket(); l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    l.bind(('0.0.0.0', int(sys.argv[2]))); l.listen(64)
    print('ready', flush=True)
else:
    host, port = sys.argv[2].rsplit(':', 1)
def pump(s):
    def send():
        left = size
        while left > 0:
            s.sendall(block[:min(left, len(block))]); left -= min(left, len(block))
        s.shutdown(socket.SHUT_WR)
    t = threading.Thread(target=send); t.start()
    got, digest = 0, hashlib.sha256()
    while data := s.recv(1 << 16):
        got += len(data); digest.update(data)
    t.join()
    want = hashlib.sha256()
    left = size
    while left > 0:
        want.update(block[:min(left, len(block))]); left -= min(left, len(block))
    return got == size and digest.digest() == want.digest()
if sys.argv[1] == 'serve':
    while True:
        s, who = l.accept()
        threading.Thread(target=pump, args=(s,), daemon=True).start()
else:
    s = socket.create_connection((host, int(port)), 10)
    s.settimeout(120)
    sys.exit(0 if pump(s) else 1)
"""


def threads(host):
    """The work of the daemon's packet threads, by name: times they went to sleep."""
    done = {}
    script = "for t in /proc/%d/task/*; do cat $t/comm; grep ^voluntary $t/status; done"
    words = host.run("sh", "-c", script % host.p2pvpnd.pid).out.split()
    for i, word in enumerate(words):
        if word[:5] in ("pv-rx", "pv-tx"):
            done[word] = int(words[i + 2])
    return done


def both_ways(lab, hub, others, size):
    """All others exchange size bytes with the hub at the same time, twice each, over IPv4."""
    server = hub.start("python3", "-u", "-c", PUMP, "serve", "9100", str(size), name="pump")
    wait("the server to listen", lambda: "ready" in server.text())
    clients = [o.start("python3", "-c", PUMP, "ask", f"{o.addr(hub)}:9100", str(size),
                       name=f"pump-{o.name}-{i}") for o in others for i in range(2)]
    for c in clients:
        c.ended()
        equal(c.popen.returncode, 0, f"a transfer: {c.text()[-300:]}")
    server.end()


def run_hub(lab, workers, size):
    coordinator = lab.coordinator()
    hub = lab.host("hub", lab.lan("office", "profile=symmetric"))
    direct = [lab.host(n) for n in ("b", "c", "d")]
    relayed = [lab.host(n, lab.lan(f"lan{n}", "profile=symmetric")) for n in ("e", "f")]
    hub.configure(f"[interface]\nworkers = {workers}\n")
    direct[0].configure("[interface]\nworkers = single\n")
    lab.network(coordinator, [hub, *direct, *relayed])
    for o in direct:
        hub.wait_peer(o)
        hub.wait_direct(o)
    for o in relayed:
        hub.wait_peer(o)
        check(hub.os_ping(hub.addr(o)), f"ping to {o.name}")
    d = hub.json("status")["datapath"]
    equal((d["workers"], d["threads"]), (workers, 2 * workers), "the hub's workers")
    equal(direct[0].json("status")["datapath"]["threads"], 1, "threads where one was asked for")
    check(f"{workers} workers, {2 * workers} threads" in hub.ctl("status", "-l").out, "status in words")
    before = threads(hub)
    equal(sorted(before), sorted(f"pv-{k}{i}" for k in ("rx", "tx") for i in range(workers)),
          "threads")
    both_ways(lab, hub, direct + relayed, size)
    # Which queue a flow comes by is a hash of its ports: all ten may have come by one.
    for _ in range(6):
        after = threads(hub)
        idle = [t for t in after if after[t] == before[t]]
        if not idle:
            break
        both_ways(lab, hub, direct, 10_000)
    check(not idle, f"threads without work: {idle} of {after}")
    for o in relayed:
        equal(hub.path(o)["type"], "relay", f"path to {o.name}")
    for h in (hub, *direct, *relayed):
        drops = h.json("status")["drops"]
        bad = {k: v for k, v in drops.items() if k not in EXPECTED}
        check(not bad, f"{h.name} dropped {bad}")


# The drops of a healthy network: multicast of the host to nobody or to who is idle, the first packets to who is not
# yet known, datagrams of a burst that the kernel had no room for, a packet of a flow that fills the
# queue, which is how TCP is told.
EXPECTED = {"quiet", "idle", "no-peer", "offline", "rate", "not-sent", "junk", "congestion"}


@scenario
def a_hub_with_two_workers(lab):
    run_hub(lab, 2, 1_000_000)


@scenario(long="the same with two")
def a_hub_with_four_workers(lab):
    run_hub(lab, 4, 20_000_000)
