# SPDX-License-Identifier: MIT
"""A program in the place of p2pvpn-chatd that was taken over: sends p2pvpnd every verb with every kind of value
(chat/nodewire.h). usage: chatimpostor.py SOCKET [nobody]; on standard input are secrets in hex that must not come.
Prints "refused all", or what it got; as nobody "sent away"."""

import random
import socket
import struct
import sys

PATH = sys.argv[1]
(FIND, NEXT, MAY, LINK, SIGN, EXPLAIN, WANT, NOTICE, KEEP, COLLECT, CONNECT, NOTIFY, TELL, REPORT, N_REQUESTS) = range(15)
REPLY, CONNECTED = 128, 137
got = bytearray()


def connect():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(3)
    s.connect(PATH)
    return s


def frame(kind, body=b"", fd=0):
    return struct.pack(">BBI", kind, fd, len(body)) + body


def hear(s, until=None):
    """What comes until that type of frame, or the end; None: the end."""
    data = bytearray()
    try:
        while True:
            while len(data) >= 6 and len(data) >= 6 + struct.unpack(">I", data[2:6])[0]:
                n = 6 + struct.unpack(">I", data[2:6])[0]
                kind, body = data[0], bytes(data[6:n])
                del data[:n]
                if kind == until:
                    return body
            more = s.recv(65536)
            if not more:
                return None
            data += more
            got.extend(more)
    except socket.timeout:
        return b""
    except OSError:
        return None


def try_one(*frames):
    """Sends them on a connection of their own. Returns true if p2pvpnd has ended it."""
    s = None
    for _ in range(50):  # the one before may still be open there
        s = connect()
        first = s.recv(65536)
        got.extend(first)
        if first:
            break
        s.close()
    assert first, "p2pvpnd takes no connection any more"
    try:
        for f in frames:
            s.sendall(f)
        s.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    while True:
        try:
            more = s.recv(65536)
        except OSError:
            break
        if not more:
            break
        got.extend(more)
    s.close()


def text(t):
    return struct.pack(">H", len(t)) + t


if sys.argv[2:] == ["nobody"]:
    try:
        s = connect()
        print("sent away" if s.recv(1) == b"" else "let in")
    except OSError:
        print("sent away")
    sys.exit()

secrets = bytes.fromhex(sys.stdin.read().strip())
rng = random.Random(1)
key = bytes(32)
for kind in range(256):
    for body in (b"", b"\0" * 40, bytes(rng.randrange(256) for _ in range(200)), b"\xff" * 32768):
        try_one(frame(kind, body))
    try_one(frame(kind, b"", 1))
try_one(struct.pack(">BBI", FIND, 0, 0xffffffff))  # a length that nobody has
# Right forms, wrong wishes.
s = None
for _ in range(50):
    s = connect()
    if s.recv(65536):
        break
for domain in range(256):
    s.sendall(frame(SIGN, bytes([domain]) + text(b"head") + text(b"body")))
    answer = hear(s, REPLY)
    if answer is None:
        for _ in range(50):
            s = connect()
            if s.recv(65536):
                break
    elif domain > 1:
        print(f"signed under domain {domain}")
for port in (22, 2047, 2048, 51820):
    for ip in ((127, 0, 0, 1), (198, 51, 100, 2), (10, 66, 255, 254)):
        s.sendall(frame(CONNECT, struct.pack(">I", 1 << 28 | 5) + bytes([4]) + bytes(ip) + struct.pack(">H", port)))
        answer = hear(s, CONNECTED)
        if answer is None:
            for _ in range(50):
                s = connect()
                if s.recv(65536):
                    break
        elif answer[4:] and struct.unpack(">i", answer[4:8])[0] == 0:
            print(f"connected to {ip}:{port}")
# All at once, and nothing read.
s2 = s
try:
    s2.settimeout(2)
    for i in range(20000):
        s2.sendall(frame(NEXT, b"\0" + key))
except OSError:
    pass
s2.close()
for n in range(0, len(secrets) - 16):
    if secrets[n:n + 16].strip(b"\0\n") and len(set(secrets[n:n + 16])) > 8 and secrets[n:n + 16] in got:
        print("a secret came")
        break
print("refused all")
