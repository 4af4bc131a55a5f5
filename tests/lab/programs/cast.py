# SPDX-License-Identifier: MIT
"""Broadcast and multicast as programs use them, for the lab.

usage: cast.py hear GROUP PORT ADDRESS [SECONDS]   joins GROUP (or, "-", none) on the interface of
           ADDRESS; for each datagram one line: SOURCE TTL TEXT; at the end "N datagrams, N bytes"
       cast.py send GROUP PORT ADDRESS COUNT [SIZE [PER_SECOND]]   numbered datagrams from ADDRESS
"""
import ipaddress
import socket
import struct
import sys
import time


def index_of(address):
    """The interface that has this address."""
    import fcntl
    for index, name in socket.if_nameindex():
        if ":" in address:
            want = ipaddress.ip_address(address).packed.hex()
            if any(line.split()[0] == want and line.split()[5] == name for line in open("/proc/net/if_inet6")):
                return index
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            try:
                got = fcntl.ioctl(s, 0x8915, struct.pack("256s", name.encode()))  # SIOCGIFADDR
            except OSError:
                continue
        if socket.inet_ntoa(got[20:24]) == address:
            return index
    raise SystemExit(f"no interface has {address}")


def open_socket(group, address):
    six = ":" in address
    s = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return s, six, index_of(address)


def hear(group, port, address, seconds=3600.0):
    s, six, index = open_socket(group, address)
    if six:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.setsockopt(socket.IPPROTO_IPV6, 51, 1)
        s.setsockopt(socket.IPPROTO_IPV6, 29, 0)  # IPV6_MULTICAST_ALL: only what was joined
    else:
        s.setsockopt(socket.IPPROTO_IP, 12, 1)  # IP_RECVTTL
        s.setsockopt(socket.IPPROTO_IP, 49, 0)  # IP_MULTICAST_ALL
    s.bind(("::" if six else "0.0.0.0", port))
    if group != "-" and six:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP,
                     socket.inet_pton(socket.AF_INET6, group) + struct.pack("@I", index))
    elif group != "-":
        s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                     struct.pack("4s4si", socket.inet_aton(group), socket.inet_aton(address), index))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    print("ready", flush=True)
    end, n, size = time.monotonic() + seconds, 0, 0
    try:
        while True:
            s.settimeout(max(0.001, end - time.monotonic()))
            data, control, _, source = s.recvmsg(65536, 256)
            ttl = struct.unpack("@i", control[0][2][:4])[0] if control else 0
            n, size = n + 1, size + len(data)
            print(source[0], ttl, data[:24].rstrip(b".").decode(), flush=True)
    except (TimeoutError, socket.timeout, KeyboardInterrupt):
        print(f"{n} datagrams, {size} bytes", flush=True)


def send(group, port, address, count, size=32, per_second=0.0):
    s, six, index = open_socket(group, address)
    s.bind((address, 0))
    if six:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
    else:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
    start = time.monotonic()
    for i in range(count):
        if per_second:
            time.sleep(max(0.0, start + i / per_second - time.monotonic()))
        s.sendto(f"{i}".encode().ljust(size, b"."), (group, port))


if __name__ == "__main__":
    what, to, number, own = sys.argv[1:5]
    rest = [float(a) for a in sys.argv[5:]]
    if what == "hear":
        hear(to, int(number), own, *rest)
    else:
        send(to, int(number), own, int(rest[0]), *[int(x) for x in rest[1:2]], *rest[2:3])
