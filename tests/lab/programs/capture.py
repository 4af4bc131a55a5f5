# SPDX-License-Identifier: MIT
"""Writes down every packet that an interface of this machine sends or receives: capture.py FILE [LEFT-OUT]...

lo and the interfaces that are LEFT-OUT are passed over. A record is the length of the packet (u32), and the packet
from its IP, ARP or other header on. SIGTERM ends it once what came before that is written.
"""
import contextlib
import signal
import socket
import struct
import sys

ETH_P_ALL = 3
SO_RCVBUFFORCE = 33


def main(path, *left_out):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
    s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    s.settimeout(0.2)
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    with open(path, "wb") as f:
        print("ready", flush=True)
        while True:
            with contextlib.suppress(TimeoutError):
                data, (name, *_) = s.recvfrom(1 << 17)
                if name != "lo" and name not in left_out:
                    f.write(struct.pack(">I", len(data)) + data)
                continue
            if ended:
                return


main(*sys.argv[1:])
