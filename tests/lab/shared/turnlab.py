# SPDX-License-Identifier: MIT
"""The common parts of scenarios about relays: coturn as a server, an authority for its certificate, and what the
daemons say of their relays."""
import hashlib
import json
import os
import re
import shutil
import signal
import tempfile
import time

from lab import SLOW, Skip, Stopwatch, check, equal, pause, wait

TURN_CONF = """\
listening-port=3478
fingerprint
lt-cred-mech
realm=lab.example
user=node:secret
no-cli
no-dtls
log-file=stdout
simple-log
pidfile=/run/turnserver.pid
userdb=/run/turndb
allow-loopback-peers=no
"""


class Authority:
    """Signs certificates, on the machine that serves them."""

    def __init__(self, host, name):
        self.host, self.base = host, f"/run/{name}"
        host.run("openssl", "req", "-x509", *self._new_key("ca"), "-out", f"{self.base}-ca.pem",
                 "-subj", f"/CN={name}", "-days", "30")

    def _new_key(self, name):
        return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                f"{self.base}-{name}.key")

    def pem(self):
        return self.host.run("cat", f"{self.base}-ca.pem").out

    def sign(self, name, days=30):
        """A certificate for the name, valid since the year 2000; returns (certificate, key)."""
        path, conf = f"{self.base}-{name}", f"{self.base}.conf"
        self.host.run("sh", "-c", f"cat >{conf}; : >{self.base}.db", stdin=f"""\
[ca]
default_ca = one
[one]
database = {self.base}.db
rand_serial = yes
new_certs_dir = /run
certificate = {self.base}-ca.pem
private_key = {self.base}-ca.key
default_md = sha256
policy = any
unique_subject = no
x509_extensions = san
[any]
commonName = supplied
[san]
subjectAltName = DNS:{name}
""")
        self.host.run("openssl", "req", "-new", *self._new_key(name), "-out", f"{path}.csr",
                      "-subj", f"/CN={name}")
        end = ("-enddate", "20010101000000Z") if days < 0 else ("-days", str(days))
        self.host.run("openssl", "ca", "-batch", "-notext", "-config", conf, "-in", f"{path}.csr",
                      "-out", f"{path}.pem", "-startdate", "20000101000000Z", *end)
        return f"{path}.pem", f"{path}.key"


def coturn(lab, host, cert=None, address=None, more=""):
    """Debian's TURN server, on the host's IPv4 address unless another is named; cert: (certificate,
    key) for TLS on port 5349; more: lines of its configuration."""
    if shutil.which("turnserver") is None:
        raise Skip("turnserver is not installed (Debian package coturn)")
    path = "/run/turn.conf"
    tls = "no-tls\n" if cert is None else f"tls-listening-port=5349\ncert={cert[0]}\npkey={cert[1]}\n"
    host.run("sh", "-c", f"cat > {path}", stdin=TURN_CONF + tls + more)
    address = address or host.ip4
    program = host.start("turnserver", "-c", path, "-L", address, "-E", address, name="turnserver")
    ports = [3478] if cert is None else [3478, 5349]
    wait("coturn to listen", lambda: program.must_run() or all(
        host.listens(p) for p in ports))
    return program


def use_turn(host, *uris, ca=None):
    """The configuration of a daemon; ca: the text of its ca-file."""
    host.run("sh", "-c", f"umask 077; mkdir -p {host.etc}; echo secret > {host.etc}/turn-password")
    lines = "".join(f"turn = {u}\n" for u in uris)
    if ca is not None:
        host.run("sh", "-c", f"cat > {host.etc}/ca.pem", stdin=ca)
        lines += f"ca-file = {host.etc}/ca.pem\n"
    host.run("sh", "-c", f"cat > {host.etc}/p2pvpnd.conf",
             stdin=f"[relay]\n{lines}user = node\npassword-file = {host.etc}/turn-password\n")


def relays(host):
    """The relays in status, by name."""
    return {r["name"]: r for r in host.json("status")["relays"]}


def by(host, transport, name=None):
    """The relay (by default the first) when it is up by that transport."""
    all_of_them = relays(host)
    r = all_of_them.get(name or next(iter(all_of_them), None))
    return r if r and r["state"] == "up" and r["transport"] == transport else None


def coordinator_status(coordinator):
    """The answer of `p2pvpn-coordinator status` there."""
    r = coordinator.host.run(coordinator.lab.bin("p2pvpn-coordinator"), "status", "--json")
    return json.loads(r.out)


def relayed(a, b):
    """The path from a to b when it goes through a relay."""
    path = a.path(b)
    return path if path and path["type"] == "relay" else None


def restart_under_traffic(coordinator, a, b, sig=signal.SIGTERM):
    """Restarts the coordinator while a pings b through it ten times a second; the traffic is back
    within 5 s of it listening again, on new allocations: a node that was refused waits 3 s at most before it tries
    again, and a busy machine takes the rest."""
    ping = a.start("ping", "-n", "-D", "-i", "0.1", str(a.addr(b)), name="ping")

    def answers():
        return [float(t) for t in re.findall(r"^\[([0-9.]+)\] \d+ bytes from", ping.text(), re.M)]
    wait("the traffic to flow", lambda: len(answers()) >= 5)
    coordinator.end(sig)
    pause(0.5, "what was under way is through")
    before = len(answers())
    coordinator.start()
    listening, watch = time.time(), Stopwatch()
    back = wait("traffic after the restart", lambda: answers()[before:])[0] - listening
    ping.end(signal.SIGINT)
    check(back < 5 * SLOW + watch.held(), f"the traffic came back {back:.1f} s after the coordinator")
    equal(coordinator_status(coordinator)["relay"]["member_allocations"], 2, "new allocations")


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
        wait("the file to be there", lambda: "done" in server.text())
    equal(server.text().split("done ")[1].split(), [str(size), hashlib.sha256(data).hexdigest()],
          "size and hash of the file")
