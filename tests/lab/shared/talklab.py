# SPDX-License-Identifier: MIT
"""Programs that talk by TCP through what leads into the overlay, and machines of each kind."""

from lab import equal, wait

# Port 7000 hears all and then says how much; 7001 says all and then hears how much; 7003 never says
# anything.
SERVER = """
import os, socket, sys, threading
def hear(s):
    n = 0
    while data := s.recv(1 << 20):
        n += len(data)
    return n
def serve(port):
    fam = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
    # Beyond its backlog the kernel answers by SYN cookies, and takes the FIN of a connection whose one byte was not
    # accepted for its first segment.
    one = socket.create_server((sys.argv[1], port), family=fam, backlog=4096)
    print('listens at', port, flush=True)
    while True:
        threading.Thread(target=talk, args=(port, one.accept()[0]), daemon=True).start()
def talk(port, s):
    if port == 7000:
        s.sendall(b'heard %d' % hear(s))
    elif port == 7001:
        s.sendall(b'bye')
        s.shutdown(socket.SHUT_WR)
        print('heard', hear(s), 'after the end', flush=True)
    else:
        print('heard', hear(s), flush=True)
    s.close()
for port in (7000, 7001, 7003):
    threading.Thread(target=serve, args=(port,)).start()
"""

# Sends N bytes to a place, ends, and prints the answer.
CLIENT = """
import socket, sys
where, n = sys.argv[1], int(sys.argv[2])
if where.startswith('/'):
    s = socket.socket(socket.AF_UNIX)
    s.connect(where)
else:
    host, port = where.rsplit(':', 1)
    s = socket.create_connection((host, int(port)))
s.sendall(b'x' * n)
s.shutdown(socket.SHUT_WR)
while data := s.recv(65536):
    sys.stdout.buffer.write(data)
"""

# Connects to each address and port that it is given, and tries each path: says what it got.
INTRUDER = """
import os, socket, sys
for word in sys.argv[1:]:
    try:
        if word.startswith('/'):
            if os.path.isdir(word):
                os.listdir(word)
            else:
                s = socket.socket(socket.AF_UNIX)
                s.connect(word)
        else:
            host, port = word.rsplit(':', 1)
            socket.create_connection((host, int(port)), timeout=5)
        print('got', word)
    except OSError:
        pass
"""


def forward(host, *args, command="forward"):
    """A `forward` or `socks` that listens, and where it does."""
    program = host.start(host.lab.bin("p2pvpnctl"), command, *args, name=command)
    return program, wait("where it listens", lambda: program.must_run() or program.text().split("\n")[0])


def send(host, where, n, check_rc=True):
    return host.run("/usr/bin/python3", "-c", CLIENT, where, str(n), check_rc=check_rc).out


def three_ways_into_the_overlay(lab):
    """a, which listens; b with root's daemon, where commands are those of a user in its group; c with --user; d, whose
    user may make no network."""
    coordinator = lab.coordinator()
    a, b, c, d = lab.host("a"), lab.host("b"), lab.host("c"), lab.host("d")
    c.without_root()
    d.without_root(1971, denied=True)
    lab.network(coordinator, [a, b, c, d])
    server = a.start(a.python, "-c", SERVER, a.addr(), name="server")
    wait("the server", lambda: server.text().count("listens") == 3)
    b.wait_direct(a)
    c.wait_direct(a)
    d.wait_direct(a)
    equal([one.json("status")["stack"] for one in (b, c, d)], [None, "kernel", "lwip"], "who speaks TCP")
    b.before = b.as_user()
    return coordinator, a, (b, c, d), server
