# SPDX-License-Identifier: MIT
"""Networks that let no UDP out: found out within seconds, everything goes through a stream."""
import hashlib
import os
import tempfile
import time

from lab import SLOW, Coordinator, check, equal, scenario, wait


def relay_of(host):
    """What status says of the coordinator's relay."""
    relays = host.json("status")["relays"]
    return relays[0] if relays else None


def by(host, transport):
    r = relay_of(host)
    return r if r and r["state"] == "up" and r["transport"] == transport else None


def reached_within(a, b, seconds):
    """From the start of a's daemon to the first answered ping."""
    a.stop_daemon()
    began = time.monotonic()
    a.daemon(wait_ready=False)
    while not a.run("ping", "-n", "-c", "1", "-W", "1", a.remembered[b.name],
                    check_rc=False).code == 0:
        check(time.monotonic() - began < 30 * SLOW, f"{a.name} does not reach {b.name}")
    took = time.monotonic() - began
    check(took < seconds * SLOW, f"{a.name} reached {b.name} only after {took:.1f} s")


def remember(*hosts):
    for h in hosts:
        h.remembered = {o.name: str(h.addr(o)) for o in hosts if o is not h}


def send_file(a, b, size):
    """TCP through the overlay, compared by SHA-256."""
    data = os.urandom(size)
    script = ("import socket, sys, hashlib\n"
              "s = socket.socket(); s.bind(('0.0.0.0', 7777)); s.listen(); print('up', flush=True)\n"
              "c, _ = s.accept(); h = hashlib.sha256(); n = 0\n"
              "while True:\n"
              "    d = c.recv(65536)\n"
              "    if not d: break\n"
              "    h.update(d); n += len(d)\n"
              "print('done', n, h.hexdigest(), flush=True)\n")
    server = b.start("python3", "-c", script, name="receiver")
    wait("the receiver to listen", lambda: "up" in server.text())
    with tempfile.NamedTemporaryFile() as f:
        f.write(data)
        f.flush()
        client = ("import socket, sys; s = socket.create_connection((sys.argv[1], 7777));"
                  "s.sendall(open(sys.argv[2], 'rb').read()); s.close()")
        a.run("python3", "-c", client, str(a.addr(b)), f.name, timeout=60 * SLOW)
        wait("the file to be there", lambda: "done" in server.text(), 30)
    equal(server.text().split("done ")[1].split(), [str(size), hashlib.sha256(data).hexdigest()],
          "size and hash of the file")


@scenario
def no_udp_at_all(lab):
    """One side, then both; a file of 5 MB; the coordinator restarted; UDP back again."""
    coordinator = lab.coordinator()
    east = lab.lan("east", "profile=port-restricted", "delay=5ms", "udp=off")
    west = lab.lan("west", "profile=port-restricted", "delay=5ms")
    a, b = lab.host("a", east), lab.host("b", west)
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    check(a.os_ping(a.addr(b), timeout=10), "a does not reach b")
    wait("a to use a stream", lambda: by(a, "tcp"))
    wait("b to use UDP", lambda: by(b, "udp"))
    equal(a.json("status")["udp"], "blocked", "what status says of UDP")
    check("UDP is blocked here" in a.ctl("why", "b").out, "why does not say that UDP is blocked")
    check("relay" in a.ctl("ping", "b", "-c", 1).out, "ping does not name the relay")
    remember(a, b)
    reached_within(a, b, 5)
    b.ctl("send", "a", "hello through the stream")
    wait("a message through the stream",
         lambda: any(m["text"] == "hello through the stream"
                     for m in a.json("inbox", "--peek")["messages"]))
    send_file(a, b, 5 << 20)
    send_file(b, a, 1 << 20)

    west.nat.set(udp="off")  # both blocked, b in the middle of its life
    ping = a.start("ping", "-n", "-i", "0.1", "-c", "100", str(a.addr(b)), name="ping")
    wait("b to use a stream", lambda: by(b, "tcp"), 40)
    wait("ping to end", lambda: not ping.running(), 60)
    send_file(a, b, 1 << 20)
    coordinator.restart()
    began = time.monotonic()
    wait("pings after the restart", lambda: a.os_ping(a.addr(b), timeout=1))
    took = time.monotonic() - began
    check(took < 4 * SLOW, f"traffic came back {took:.1f} s after the coordinator")

    for lan in (east, west):
        lan.nat.set(udp="all")
    for h in (a, b):  # a change of network is a reason to try at once
        h.run("ip", "addr", "add", "192.0.2.77/32", "dev", "lo")
        h.run("ip", "addr", "del", "192.0.2.77/32", "dev", "lo")
    a.wait_direct(b, timeout=90)
    wait("a to use UDP again", lambda: by(a, "udp"))
    equal(a.json("status")["udp"], "open", "what status says of UDP")


@scenario
def only_tcp_443(lab):
    """What hotels let out: control channel and relay go through TLS on 443, proven by its pin."""
    coordinator = Coordinator(lab, lab.host("coord"), args=["--tls-listen", "0.0.0.0:443"])
    east = lab.lan("east", "profile=port-restricted", "delay=5ms", "udp=off", "tcp=443")
    west = lab.lan("west", "profile=port-restricted", "delay=5ms")
    a, b = lab.host("a", east), lab.host("b", west)
    lab.network(coordinator, [b, a])
    a.wait_peer(b)
    check(a.os_ping(a.addr(b), timeout=10), "a does not reach b")
    wait("a to use TLS", lambda: by(a, "tls"))
    check("everything goes through TLS on 443" in a.ctl("why", "b").out, "why does not say so")
    remember(a, b)
    reached_within(a, b, 5)
    send_file(b, a, 5 << 20)
    b.ctl("send", "a", "through TLS")
    wait("a message through TLS",
         lambda: any(m["text"] == "through TLS" for m in a.json("inbox", "--peek")["messages"]))
    if not os.environ.get("PV_LAB_LONG"):
        return  # that the connection to port 3478 is dead takes 25 s to find out
    west.nat.set(udp="off", tcp="80,443")
    wait("b to use TLS", lambda: by(b, "tls"), 60)
    wait("a ping between two of them", lambda: a.os_ping(a.addr(b), timeout=1), 20)


TURN_CONF = """\
listening-port=3478
fingerprint
lt-cred-mech
realm=lab.example
user=node:secret
no-cli
no-tls
no-dtls
log-file=stdout
simple-log
pidfile=/run/turnserver.pid
userdb=/run/turndb
allow-loopback-peers=no
"""


def coturn(lab, name):
    """Debian's TURN server on a public host."""
    host = lab.host(name)
    path = f"/run/{name}-turn.conf"
    host.run("sh", "-c", f"cat > {path}", stdin=TURN_CONF)
    host.start("turnserver", "-c", path, "-L", host.ip4, "-E", host.ip4, name="turnserver")
    wait("coturn to listen",
         lambda: host.run("ss", "-Hltn", "sport = :3478", check_rc=False).out.strip())
    return host


def use_turn(host, *uris):
    host.run("sh", "-c", "umask 077; mkdir -p /etc/p2pvpn; echo secret > /etc/p2pvpn/turn-password")
    lines = "".join(f"turn = {u}\n" for u in uris)
    host.run("sh", "-c", "cat > /etc/p2pvpn/p2pvpnd.conf",
             stdin=f"[relay]\n{lines}user = node\npassword-file = /etc/p2pvpn/turn-password\n")


@scenario
def a_stock_turn_server(lab):
    """A coordinator without a relay; coturn by UDP for one, by TCP for the other, who has no UDP."""
    coordinator = Coordinator(lab, lab.host("coord"), args=["--no-relay"])
    turn = coturn(lab, "turn")
    east = lab.lan("east", "profile=symmetric", "delay=5ms")
    west = lab.lan("west", "profile=symmetric", "delay=5ms", "udp=off")
    a, b = lab.host("a", east), lab.host("b", west)
    use_turn(a, f"turn:{turn.ip4}:3478?transport=udp")
    use_turn(b, f"turn:{turn.ip4}")
    lab.network(coordinator, [a, b])
    wait("a to have a relay by UDP", lambda: by(a, "udp"))
    wait("b to have a relay by TCP", lambda: by(b, "tcp"))
    a.wait_peer(b)
    wait("a to reach b through coturn", lambda: a.os_ping(a.addr(b), timeout=2), 20)
    for x, y in ((a, b), (b, a)):
        path = wait(f"{x.name} to be relayed",
                    lambda: (p := x.path(y)) and p["type"] == "relay" and p)
        check(path["via"].startswith(turn.ip4), f"via is {path['via']}")
    check(a.os_ping(a.addr(b), count=20), "twenty pings through coturn")
    send_file(a, b, 1 << 20)
    status = b.json("status")["relay"]
    check(status["rx_bytes"] > 1 << 20, f"status counts {status}")
