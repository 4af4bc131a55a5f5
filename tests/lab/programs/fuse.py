# SPDX-License-Identifier: MIT
"""A file system that does not answer: mounted by an ordinary user in a user namespace of its own.

usage: unshare -Urm python3 fuse.py DEVICE SOCKET SILENT LINE [keep]

Serves one file of 1,000,000 bytes over DEVICE (as /dev/fuse), opens it, passes its descriptor to
SOCKET with LINE, and then answers no request whose opcode is in SILENT (numbers, commas). It keeps the
connection only if told so. Speaks the protocol of linux/fuse.h.
"""
import ctypes
import os
import signal
import socket
import struct
import sys

LOOKUP, GETATTR, OPEN, READ, FLUSH, INIT, FORGET = 1, 3, 14, 15, 25, 26, 2
RELEASE, ACCESS, DESTROY = 18, 34, 38
WRITEBACK_CACHE = 1 << 16
SIZE = 1000000


def attributes(node):
    mode = 0o40755 if node == 1 else 0o100644
    return struct.pack("<6Q10I", node, SIZE, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def answer(opcode, node, body):
    if opcode == INIT:
        return struct.pack("<4I2H2I2HI28x", 7, 31, 65536, WRITEBACK_CACHE, 16, 12, 65536, 1, 16, 0, 0)
    if opcode == LOOKUP:
        return struct.pack("<4Q2I", 2, 0, 3600, 3600, 0, 0) + attributes(2)
    if opcode == GETATTR:
        return struct.pack("<QII", 0, 0, 0) + attributes(node)
    if opcode == OPEN:
        return struct.pack("<QII", 1, 0, 0)
    if opcode == READ:
        offset, size = struct.unpack_from("<QI", body, 8)
        return b"x" * max(0, min(size, SIZE - offset))
    return b""


def serve(dev, silent, ready):
    """silent counts once the file has been opened."""
    quiet = False
    while True:
        request = os.read(dev, 1 << 20)
        _, opcode, unique, node = struct.unpack_from("<IIQQ", request)
        if opcode == FORGET or (quiet and opcode in silent):
            if opcode != FORGET:
                os.write(ready, f"silent {opcode}\n".encode())
            continue
        out = answer(opcode, node, request[40:])
        error = 0 if opcode in (INIT, LOOKUP, GETATTR, OPEN, READ, FLUSH, RELEASE) else -38
        os.write(dev, struct.pack("<IiQ", 16 + len(out), error, unique) + out)
        quiet = quiet or opcode == OPEN


def main():
    device, path, silent, line = sys.argv[1:5]
    dev = os.open(device, os.O_RDWR)
    where = os.path.join(os.environ["FUSE_DIR"], str(os.getpid()))
    os.mkdir(where)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={dev},rootmode=40000,user_id=0,group_id=0".encode()
    if libc.mount(b"fuse", where.encode(), b"fuse", 0, options) != 0:
        sys.exit("mount: " + os.strerror(ctypes.get_errno()))
    if os.fork() == 0:
        serve(dev, [int(x) for x in silent.split(",")], 1)
    os.close(dev)
    fd = os.open(where + "/file", os.O_RDONLY)
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    socket.send_fds(s, [line.encode() + b"\n"], [fd])
    print("passed", flush=True)
    if sys.argv[5:] != ["keep"]:
        s.close()  # the descriptor itself is let go of with this process
    signal.pause()


if __name__ == "__main__":
    main()
