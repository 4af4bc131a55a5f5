# SPDX-License-Identifier: MIT
"""The common parts of scenarios about names: libnss_p2pvpn.so.2 and libnss_p2pvpn_short.so.2 in use on a host, a DNS
server, and questions to one."""
import os
import struct

from lab import ROOT, Skip, equal

HOSTS_LINE = ["hosts:", "files", "p2pvpn", "[TRYAGAIN=return]", "dns", "p2pvpn_short"]


def use_library(lab, host):
    """The library as a package installs it, in the machine's own mounts, with the linker cache."""
    library = os.path.join(lab.build, "lib")
    if not os.path.exists(library + "/libnss_p2pvpn.so.2"):
        raise Skip("libnss_p2pvpn.so.2 is not built")
    host.run("sh", "-ec", f"""
        mount -t tmpfs tmpfs /usr/local/lib
        cp {library}/libnss_p2pvpn*.so.2 /usr/local/lib/
        ldconfig -C /run/ld.so.cache
        mount --bind /run/ld.so.cache /etc/ld.so.cache
    """)


def use_module(lab, host):
    """The steps of installing, inside the machine's own mounts: library, linker cache, nsswitch."""
    use_library(lab, host)
    host.run("sh", "-ec", f"""
        echo 'passwd: files' >/run/nsswitch.conf
        echo 'hosts: files dns' >>/run/nsswitch.conf
        {ROOT}/nss/p2pvpn-nss --file /run/nsswitch.conf
        mount --bind /run/nsswitch.conf /etc/nsswitch.conf
        echo 'options timeout:1 attempts:1' >/run/resolv.conf
        mount --bind /run/resolv.conf /etc/resolv.conf
    """)
    equal(host.run("grep", "hosts", "/etc/nsswitch.conf").out.split(), HOSTS_LINE,
          "the line in nsswitch.conf")


def getent(host, database, name):
    r = host.run("getent", database, name, check_rc=False)
    return r.out.split()

# A DNS server at some address, by UDP and TCP: "wildcard" answers every question with 192.0.2.66, as a login page does,
# but "long.…" with so many addresses that they need TCP; "silent" answers nothing, as one that is out of reach. Both
# write down what they were asked.
STRANGER = """
import socket, struct, sys, threading
def answer(data, tcp):
    labels, at = [], 12
    while data[at]:
        labels.append(data[at + 1:at + 1 + data[at]].decode())
        at += 1 + data[at]
    print("asked", ".".join(labels), flush=True)
    if sys.argv[1] != "wildcard":
        return None
    n = 0 if data[at + 1:at + 3] != bytes((0, 1)) else 1 if labels[0] != "long" else 200 if tcp else 0
    flags = bytes((0x83, 0x80)) if labels[0] == "long" and not tcp else bytes((0x81, 0x80))
    records = b"".join(bytes.fromhex("c00c00010001000000000004c00002") + bytes([(66 + i) % 256]) for i in range(n))
    return data[:2] + flags + struct.pack(">HHHH", 1, n, 0, 0) + data[12:at + 5] + records
def by_tcp(listener):
    while True:
        c = listener.accept()[0]
        f = c.makefile("rb")
        while head := f.read(2):
            said = answer(f.read(struct.unpack(">H", head)[0]), True)
            if said:
                c.sendall(struct.pack(">H", len(said)) + said)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[2], 53))
threading.Thread(target=by_tcp, args=(socket.create_server((sys.argv[2], 53)),), daemon=True).start()
print("ready", flush=True)
while True:
    data, peer = s.recvfrom(512)
    said = answer(data, False)
    if said:
        s.sendto(said, peer)
"""

ASK = """
import socket, struct, sys
tcp = sys.argv[4] == "tcp"
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
s.settimeout(float(sys.argv[3]))
query = bytes.fromhex(sys.argv[2])
try:
    s.connect((sys.argv[1], 53))
    s.sendall(struct.pack(">H", len(query)) + query if tcp else query)
    f = s.makefile("rb")
    print((f.read(struct.unpack(">H", f.read(2))[0]) if tcp else s.recv(4096)).hex())
except (OSError, struct.error):
    pass
"""


def ask(host, server, name, qtype, timeout=15, way="udp"):
    """The answer of the name server: (rcode, authoritative, answers as bytes); None: no answer."""
    labels = b"".join(bytes([len(x)]) + x.encode() for x in name.split(".") if x)
    question = labels + b"\0" + struct.pack(">HH", qtype, 1)
    query = struct.pack(">HHHHHH", 0x4711, 0x0100, 1, 0, 0, 0) + question
    out = host.run("python3", "-c", ASK, server, query.hex(), str(timeout), way).out.strip()
    if not out:
        return None
    data = bytes.fromhex(out)
    ident, flags, _, n, _, _ = struct.unpack(">HHHHHH", data[:12])
    equal((ident, data[12:12 + len(question)]), (0x4711, question), "id and question")
    at, answers = 12 + len(question), []
    for _ in range(n):
        length = struct.unpack(">H", data[at + 10:at + 12])[0]
        answers.append(data[at + 12:at + 12 + length])
        at += 12 + length
    return flags & 15, bool(flags & 0x400), answers
