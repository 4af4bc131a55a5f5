# SPDX-License-Identifier: MIT
"""Networks whose only way out is an HTTP proxy: squid, tinyproxy, and one that does what it is told."""
import shutil

from lab import Skip, wait

PORT = 3128

SQUID = """\
http_port {port}
acl clear port {ports}
http_access deny CONNECT !clear
{login}
http_access allow all
cache deny all
access_log stdio:/run/squid/access.log
cache_log /run/squid/cache.log
visible_hostname proxy.example
pid_filename /run/squid/squid.pid
coredump_dir /run/squid
memory_cache_shared off
pinger_enable off
shutdown_lifetime 0 seconds
via off
forwarded_for delete
"""

LOGIN = """\
auth_param basic program /usr/lib/squid/basic_ncsa_auth /run/squid/passwd
auth_param basic credentialsttl 1 second
acl known proxy_auth REQUIRED
http_access deny !known
"""

TINYPROXY = """\
Port {port}
Timeout 600
MaxClients 50
LogLevel Connect
LogFile "/run/tinyproxy.log"
PidFile "/run/tinyproxy.pid"
{more}
"""

# Each connection does what the file says by then. "open" connects; the others are faults.
FAKE = r"""
import os, socket, sys, threading, time
family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
s = socket.socket(family, socket.SOCK_STREAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((sys.argv[1], int(sys.argv[2])))
s.listen(64)
print('ready', flush=True)
ANSWERS = {
    'refuse403': b'HTTP/1.1 403 Forbidden\r\nContent-Length: 9999\r\n\r\n',
    'refuse405': b'HTTP/1.1 405 Method Not Allowed\r\n\r\n',
    'refuse502': b'HTTP/1.0 502 Bad Gateway\r\n\r\n',
    'ntlm': b'HTTP/1.1 407 no\r\nProxy-Authenticate: NTLM\r\nProxy-Authenticate: Negotiate\r\n\r\n',
    'hello': b'220 mail.example ESMTP\r\n',
    'huge': b'HTTP/1.1 200 OK\r\n' + b'X-Padding: ' + b'x' * 100000,
    'half': b'HTTP/1.1 200 OK\r\nServer: x\r\n',
    'cut': b'HTTP/1.1 200 OK\r\n\r\n',
}

def pump(a, b):
    try:
        while True:
            data = a.recv(65536)
            if not data:
                break
            b.sendall(data)
    except OSError:
        pass
    for x in (a, b):
        try:
            x.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

def head(c):
    data = b''
    while not data.endswith(b'\r\n\r\n'):
        more = c.recv(1)
        if not more:
            return None
        data += more
    return data.decode()

def serve(c):
    mode = open('/run/mode').read().strip()
    ask = head(c)
    if ask is None:
        return c.close()
    to = ask.split()[1]
    print(mode, to, flush=True)
    if mode == 'stall':
        time.sleep(600)
    elif mode == 'drip':
        for byte in ANSWERS['cut']:
            c.send(bytes([byte]))
            time.sleep(1)
    elif mode == 'close':
        pass
    elif mode == 'stallhalf':
        c.sendall(ANSWERS['half'])
        time.sleep(600)
    elif mode == 'open':
        host, port = to.rsplit(':', 1)
        try:
            up = socket.create_connection((host.strip('[]'), int(port)), 10)
        except OSError:
            c.sendall(ANSWERS['refuse502'])
            return c.close()
        up.settimeout(None)
        for piece in (b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2', b'00 Fine\r\nX: y\r', b'\n\r\n'):
            c.sendall(piece)
            time.sleep(0.05)
        threading.Thread(target=pump, args=(up, c), daemon=True).start()
        pump(c, up)
    else:
        c.sendall(ANSWERS[mode])
        time.sleep(0.2)
    c.close()

def safely(c):
    try:
        serve(c)
    except OSError:
        c.close()

while True:
    threading.Thread(target=safely, args=(s.accept()[0],), daemon=True).start()
"""


class Proxy:
    """A machine in an office and outside of it; start it by squid(), tinyproxy() or fake()."""

    def __init__(self, lab, office, name="proxy", family=4):
        self.lab, self.family = lab, family
        self.host = lab.host(name, office)
        self.ip = self.host.ip6 if family == 6 else self.host.ip4
        self.dev = self.host.dev
        lab.attach(self.host, lab.inet)
        self.program = None

    @property
    def at(self):
        return f"[{self.ip}]:{PORT}" if self.family == 6 else f"{self.ip}:{PORT}"

    @property
    def url(self):
        return f"http://{self.at}"

    def conf(self, *more):
        return "\n".join(["[coordinator]", f"proxy = {self.url}", *more, ""])

    def _start(self, *argv):
        if shutil.which(argv[0]) is None:
            raise Skip(f"{argv[0]} is not installed")
        self.program = self.host.start(*argv)
        wait(f"{argv[0]} to listen", lambda: self.program.must_run() or self.host.listens(PORT))
        return self

    def squid(self, ports="443", login=None):
        """login: "USER:PASSWORD" that it wants."""
        text = SQUID.format(port=PORT, ports=ports, login=LOGIN if login else "")
        self.host.run("sh", "-ec", "mkdir -p /run/squid; cat >/run/squid/conf", stdin=text)
        if login:
            user, password = login.split(":")
            kept = self.host.run("openssl", "passwd", "-apr1", password).out.strip()
            self.host.run("sh", "-ec", "cat >/run/squid/passwd", stdin=f"{user}:{kept}\n")
        self.host.run("sh", "-ec", "chown -R proxy:proxy /run/squid; mount -t tmpfs tmpfs /dev/shm 2>/dev/null || :")
        return self._start("squid", "-N", "-f", "/run/squid/conf")

    def tinyproxy(self, *more):
        self.host.run("sh", "-ec", "cat >/run/tinyproxy.conf",
                      stdin=TINYPROXY.format(port=PORT, more="\n".join(more)))
        return self._start("tinyproxy", "-d", "-c", "/run/tinyproxy.conf")

    def fake(self, mode="open"):
        self.host.run("sh", "-ec", f"cat >/run/fake; echo {mode} >/run/mode", stdin=FAKE)
        return self._start("python3", "/run/fake", self.ip, str(PORT))

    def does(self, mode):
        self.host.run("sh", "-ec", f"echo {mode} >/run/mode")

    def end(self):
        self.program.end()


def office(lab, name="office", udp=False):
    """A network from which nothing gets out but by a proxy; udp: but UDP."""
    lan = lab.masquerade(name, drop_input=True, ipv6=True)
    lan.ns.nft(f"""
table inet closed {{
    chain forward {{
        type filter hook forward priority -10;
        {"meta l4proto udp accept" if udp else ""}
        iifname "wan" drop
        oifname "wan" drop
    }}
}}
""")
    return lan
