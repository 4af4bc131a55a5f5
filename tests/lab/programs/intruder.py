# SPDX-License-Identifier: MIT
"""The attempts of a user without rights on the daemon of that machine: prints a line for each attempt that
succeeded, and nothing else. usage: intruder.py OVERLAY_ADDRESS INTERFACE"""

import ctypes
import fcntl
import glob
import os
import socket
import struct
import sys

ADDRESS, INTERFACE = sys.argv[1:3]
LIBC = ctypes.CDLL(None, use_errno=True)


def succeeded(what, attempt, *args):
    try:
        if attempt(*args):
            print(what, *args[:2], flush=True)
    except OSError:
        pass


def read_file(path):
    with open(path, "rb") as f:
        f.read(1)
    return True


def write_file(path):
    os.close(os.open(path, os.O_WRONLY))
    return True


def make_file(directory):
    os.close(os.open(directory, os.O_TMPFILE | os.O_RDWR))
    return True


def connect_unix(path):
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    return True


def trace(pid):
    return LIBC.ptrace(0x4206, pid, 0, 0) == 0


def send_signal(pid):
    os.kill(pid, 0)
    return True


def add_queue(name):
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x0001 | 0x1000 | 0x0100))
    return True


def bind(address, port, kind, option):
    s = socket.socket(socket.AF_INET, kind)
    if option is not None:
        s.setsockopt(*option, 1)
    s.bind((address, port))
    if kind == socket.SOCK_STREAM:
        s.listen()
    return True


def take_interface_down(name):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    fcntl.ioctl(s, 0x8914, struct.pack("16sH22x", name.encode(), 0))
    return True


daemons = []
for comm in glob.glob("/proc/[0-9]*/comm"):
    with open(comm, encoding="ascii", errors="replace") as f:
        if f.read().startswith("p2pvpn"):
            daemons.append(int(comm.split("/")[2]))
assert daemons, "no daemon runs"

for pid in daemons:
    for name in ("mem", "environ", "maps", "io", "syscall", "stack", "auxv"):
        succeeded("read", read_file, f"/proc/{pid}/{name}")
    succeeded("look at descriptors", os.listdir, f"/proc/{pid}/fd")
    succeeded("trace", trace, pid)
    succeeded("signal", send_signal, pid)
for path in glob.glob("/run/p2pvpn/*") + ["/run/p2pvpn/p2pvpnd.sock", "/var/lib/p2pvpn/p2pvpnd.db", "/var/lib/p2pvpn.chat/chat.db"]:
    succeeded("connect", connect_unix, path)
    succeeded("write", write_file, path)
    if not path.endswith(".names"):
        succeeded("read", read_file, path)
for directory in ("/run/p2pvpn", "/var/lib/p2pvpn"):
    succeeded("make a file in", make_file, directory)
succeeded("list", os.listdir, "/var/lib/p2pvpn")
with open("/proc/net/unix", encoding="ascii", errors="replace") as f:
    for line in f:
        fields = line.split()
        if len(fields) == 8 and fields[7].startswith("@") and "p2pvpn" in fields[7]:
            succeeded("connect", connect_unix, "\0" + fields[7][1:])
succeeded("add a queue to", add_queue, INTERFACE)
succeeded("take down", take_interface_down, INTERFACE)
OPTIONS = (None, (socket.SOL_SOCKET, socket.SO_REUSEADDR), (socket.SOL_SOCKET, socket.SO_REUSEPORT),
           (socket.SOL_IP, 15))
for at in (ADDRESS, "0.0.0.0"):
    for port in (2047, 2048):
        for option in OPTIONS:
            succeeded("listen at", bind, at, port, socket.SOCK_STREAM, option)
    for option in OPTIONS:
        succeeded("receive at", bind, at, 53, socket.SOCK_DGRAM, option)
