# SPDX-License-Identifier: MIT
"""Has TURN ports reserved without end, by one allocation after the other: turnreserve.py HOST USER PASSWORD.

Each allocation asks for an even port and its odd neighbour (EVEN-PORT, RFC 8656 s7.1), and ends at once; the
neighbour is held for 30 s. A line of counts is printed when the first is refused.
"""
import hashlib
import socket
import struct
import sys

from turnflood import ALLOCATE, SUCCESS, attr, find, message

REFRESH = 0x004


def ask(s, data):
    """The answer's kind and attributes; asked again when it does not come."""
    while True:
        s.send(data)
        try:
            while True:
                got = s.recv(2048)
                if got[8:20] == data[8:20]:
                    return struct.unpack(">H", got[:2])[0], got[20:]
        except TimeoutError:
            continue


def main(host, user, password):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(1)
    s.connect((host, 3478))
    wish = attr(0x0019, bytes([17, 0, 0, 0])) + attr(0x0018, b"\x80")
    _, attrs = ask(s, message(ALLOCATE, wish))
    realm, nonce = find(attrs, 0x0014), find(attrs, 0x0015)
    key = hashlib.md5(b":".join((user, realm, password))).digest()
    who = attr(0x0006, user) + attr(0x0014, realm) + attr(0x0015, nonce)
    granted = refused = 0
    while True:
        kind, _ = ask(s, message(ALLOCATE, wish + who, key))
        if kind == ALLOCATE | SUCCESS:
            granted += 1
            ask(s, message(REFRESH, attr(0x000D, bytes(4)) + who, key))
            continue
        refused += 1
        if refused == 1:
            print(f"granted={granted} before the first refusal", flush=True)


main(sys.argv[1], sys.argv[2].encode(), sys.argv[3].encode())
