#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""gen_noise.py - writes noise.txt and wireguard.txt beside itself with fixed keys.

Independent of the C code: Noise by python3-dissononce, BLAKE2s by hashlib, ChaCha20-Poly1305 by
python3-cryptography, HChaCha20 below (draft-irtf-cfrg-xchacha-03 s2.2). Run it again after a change
and compare: the output depends on nothing but this file.
"""
import hashlib
import os
import struct

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from dissononce.cipher.aesgcm import AESGCMCipher
from dissononce.cipher.chachapoly import ChaChaPolyCipher
from dissononce.dh.x25519.private import PrivateKey
from dissononce.dh.x25519.x25519 import X25519DH
from dissononce.extras.dh.dangerous.dh_nogen import NoGenDH
from dissononce.hash.blake2s import Blake2sHash
from dissononce.processing.handshakepatterns.interactive.IK import IKHandshakePattern
from dissononce.processing.handshakepatterns.oneway.X import XHandshakePattern
from dissononce.processing.impl.cipherstate import CipherState
from dissononce.processing.impl.handshakestate import HandshakeState
from dissononce.processing.impl.symmetricstate import SymmetricState
from dissononce.processing.modifiers.psk import PSKPatternModifier

HERE = os.path.dirname(os.path.abspath(__file__))


def secret(name):
    """A clamped X25519 secret that belongs to a name."""
    b = bytearray(hashlib.sha256(name.encode()).digest())
    b[0] &= 248
    b[31] = (b[31] & 127) | 64
    return PrivateKey(bytes(b))


def keypair(sk):
    return X25519DH().generate_keypair(sk)


def handshake(ephemeral, cipher=ChaChaPolyCipher):
    return HandshakeState(SymmetricState(CipherState(cipher()), Blake2sHash()),
                          NoGenDH(X25519DH(), ephemeral))


class Output:
    def __init__(self, name, title):
        self.path = os.path.join(HERE, name)
        self.lines = ["# %s" % title, "# Made by gen_noise.py; do not edit."]

    def put(self, name, value):
        self.lines.append("%s=%s" % (name, bytes(value).hex()))

    def write(self):
        with open(self.path, "w") as f:
            f.write("\n".join(self.lines) + "\n")


def one_message(hs, payload):
    buf = bytearray()
    return buf, hs.write_message(payload, buf)


def make_ik(out):
    si, sr, ei, er = (secret("ik " + n) for n in ("si", "sr", "ei", "er"))
    prologue = b"P2PVPN/1\n"
    init, resp = handshake(ei), handshake(er)
    init.initialize(IKHandshakePattern(), True, prologue, s=keypair(si), rs=keypair(sr).public)
    resp.initialize(IKHandshakePattern(), False, prologue, s=keypair(sr))
    msg1, _ = one_message(init, b"")
    resp.read_message(bytes(msg1), bytearray())
    msg2, (r_recv, r_send) = one_message(resp, b"")
    i_send, i_recv = init.read_message(bytes(msg2), bytearray())
    out.put("ik_prologue", prologue)
    for name, key in (("si", si), ("sr", sr), ("ei", ei), ("er", er)):
        out.put("ik_" + name, key.data)
    out.put("ik_msg1", msg1)
    out.put("ik_msg2", msg2)
    out.put("ik_hash", init.symmetricstate.get_handshake_hash())
    for n in (0, 1):
        out.put("ik_to_responder%d" % n, i_send.encrypt_with_ad(b"", b"request %d" % n))
        out.put("ik_to_initiator%d" % n, r_send.encrypt_with_ad(b"", b"answer %d" % n))


def make_x(out, tag="x", psk=None):
    si, sr, ei = (secret("%s %s" % (tag, n)) for n in ("si", "sr", "ei"))
    prologue = b"p2pvpn signal v1" + bytes(range(80))
    payload = b'{"seq":1,"head":"","desc":{}}'
    init = handshake(ei)
    pattern = XHandshakePattern() if psk is None else PSKPatternModifier(1).modify(XHandshakePattern())
    assert psk is None or pattern.name == "Xpsk1"
    init.initialize(pattern, True, prologue, s=keypair(si), rs=keypair(sr).public,
                    psks=None if psk is None else [psk])
    box, _ = one_message(init, payload)
    out.put(tag + "_prologue", prologue)
    for name, key in (("si", si), ("sr", sr), ("ei", ei)):
        out.put("%s_%s" % (tag, name), key.data)
    if psk is not None:
        out.put(tag + "_psk", psk)
    out.put(tag + "_payload", payload)
    out.put(tag + "_box", box)


def blake2s(*parts, key=b"", size=32):
    return hashlib.blake2s(b"".join(parts), key=key, digest_size=size).digest()


def hchacha20(key, nonce16):
    s = list(struct.unpack("<16L", b"expand 32-byte k" + key + nonce16))

    def rotl(v, n):
        return ((v << n) | (v >> (32 - n))) & 0xffffffff

    def quarter(a, b, c, d):
        for x, y, z, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            s[x] = (s[x] + s[y]) & 0xffffffff
            s[z] = rotl(s[z] ^ s[x], n)

    for _ in range(10):
        for i in range(4):
            quarter(i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return struct.pack("<8L", *(s[0:4] + s[12:16]))


def xchacha_seal(key, nonce24, plaintext, ad):
    return ChaCha20Poly1305(hchacha20(key, nonce24[:16])).encrypt(
        b"\0\0\0\0" + nonce24[16:], plaintext, ad)


def make_wireguard(out, tag, psk, cookie=None, suite=0):
    """Messages 1, 2 and a first transport packet (whitepaper s5.4.2, 5.4.3, 5.4.6); suite 1 is
    AES-256-GCM, its number in byte 3 of messages 1 and 2."""
    si, sr, ei, er = (secret("wg %s %s" % (tag, n)) for n in ("si", "sr", "ei", "er"))
    prologue = b"WireGuard v1 zx2c4 Jason@zx2c4.com"
    pattern = PSKPatternModifier(2).modify(IKHandshakePattern())
    assert pattern.name == "IKpsk2"
    cipher = AESGCMCipher if suite else ChaChaPolyCipher
    init, resp = handshake(ei, cipher), handshake(er, cipher)
    init.initialize(pattern, True, prologue, s=keypair(si), rs=keypair(sr).public, psks=[psk])
    resp.initialize(pattern, False, prologue, s=keypair(sr), psks=[psk])
    i_index, r_index = 0x11223344, 0xaabbccdd
    timestamp = struct.pack(">QL", 0x400000000000000a + 1700000000, 123456768)

    def macs(body, responder_pk, use_cookie):
        mac1 = blake2s(body, key=blake2s(b"mac1----", responder_pk), size=16)
        body = body + mac1
        return body + (blake2s(body, key=use_cookie, size=16) if use_cookie else bytes(16))

    noise1, _ = one_message(init, timestamp)
    msg1 = macs(struct.pack("<LL", 1 | suite << 24, i_index) + bytes(noise1), keypair(sr).public.data, cookie)
    assert len(msg1) == 148
    resp.read_message(bytes(noise1), bytearray())
    noise2, (r_recv, r_send) = one_message(resp, b"")
    msg2 = macs(struct.pack("<LLL", 2 | suite << 24, r_index, i_index) + bytes(noise2), keypair(si).public.data,
                None)
    assert len(msg2) == 92
    i_send, i_recv = init.read_message(bytes(noise2), bytearray())
    for name, key in (("si", si), ("sr", sr), ("ei", ei), ("er", er)):
        out.put("%s_%s" % (tag, name), key.data)
    out.put(tag + "_psk", psk)
    out.put(tag + "_timestamp", timestamp)
    out.put(tag + "_msg1", msg1)
    out.put(tag + "_msg2", msg2)
    out.put(tag + "_initiator_send_key", i_send._key)
    out.put(tag + "_initiator_recv_key", i_recv._key)
    packet = b"E" + bytes(15)
    out.put(tag + "_transport_plain", packet)
    out.put(tag + "_transport", struct.pack("<LLQ", 4, r_index, 0) +
            i_send.encrypt_with_ad(b"", packet))
    return msg1, keypair(sr).public.data, i_index


def make_cookie(out, msg1, responder_pk, i_index):
    """Message 3 (whitepaper s5.4.7) for IPv4 source 192.0.2.1:51820."""
    rm = bytes(range(32, 64))
    source = bytes([192, 0, 2, 1]) + struct.pack(">H", 51820)
    nonce = bytes(range(24))
    cookie = blake2s(source, key=rm, size=16)
    sealed = xchacha_seal(blake2s(b"cookie--", responder_pk), nonce, cookie, msg1[116:132])
    msg3 = struct.pack("<LL", 3, i_index) + nonce + sealed
    assert len(msg3) == 64
    out.put("cookie_secret", rm)
    out.put("cookie_nonce", nonce)
    out.put("cookie_value", cookie)
    out.put("cookie_msg3", msg3)
    return cookie


def main():
    noise = Output("noise.txt", "Noise_IK, Noise_X and Noise_Xpsk1, 25519 ChaChaPoly BLAKE2s.")
    make_ik(noise)
    make_x(noise)
    make_x(noise, "xpsk", hashlib.sha256(b"x psk").digest())
    noise.write()
    wg = Output("wireguard.txt", "WireGuard messages 1, 2, 3 and 4 with fixed keys.")
    msg1, pk, index = make_wireguard(wg, "plain", bytes(32))
    cookie = make_cookie(wg, msg1, pk, index)
    make_wireguard(wg, "psk", hashlib.sha256(b"wg psk").digest(), cookie)
    make_wireguard(wg, "aes", hashlib.sha256(b"wg psk").digest(), suite=1)
    wg.write()


main()
