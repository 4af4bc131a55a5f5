#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Computes the vector of tests/unit/proto/control/test_sealing.c with Python's hashes, from the text of
docs/PROTOCOL-PEERS.md "Post-quantum sessions"."""
import hashlib
import hmac


def blake2b(data):
    return hashlib.blake2b(data, digest_size=32).digest()


def hmac_blake2s(key, data):
    return hmac.new(key, data, hashlib.blake2s).digest()


def half(label, by, gen, rev, ufrag, pwd, dh, kem, offer=b""):
    return blake2b(label + by + gen.to_bytes(8, "big") + rev.to_bytes(8, "big") + bytes([len(ufrag)]) + ufrag
                   + bytes([len(pwd)]) + pwd + dh + offer + kem)


offer = half(b"p2pvpn hybrid offer v1", b"\x02" * 32, 7, 1, b"abcd1234", b"0123456789012345678901", b"\x03" * 32,
             bytes(i & 255 for i in range(1184)))
answer = half(b"p2pvpn hybrid answer v1", b"\x01" * 32, 9, 2, b"efgh5678", b"abcdefghijklmnopqrstuv", b"\x04" * 32,
              bytes(3 * i & 255 for i in range(1088)), offer)
salt = hashlib.blake2s(b"p2pvpn hybrid session v1" + b"\x05" * 16 + answer).digest()
temp = hmac_blake2s(salt, b"\x06" * 32 + b"\x07" * 32)
psk = hmac_blake2s(temp, b"\x01")
key_id = int.from_bytes(hmac_blake2s(temp, psk + b"\x02")[:3], "big") or 1
print(psk.hex(), hex(key_id))
