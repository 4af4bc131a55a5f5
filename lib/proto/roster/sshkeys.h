/* SPDX-License-Identifier: MIT */
/*
 * sshkeys.h - public keys of OpenSSH, as a list on a card and as the lines of OpenSSH's files
 * (docs/PROTOCOL-NETWORK.md "Statements"): the host keys of one sshd, or the keys that users of one
 * machine log in with.
 *
 * A list has one form: keys in the order of enum pv_sshkey_kind and, of one kind, of their bytes,
 * each once, as u16 length and the bytes of RFC 4253 s6.6. Of host keys there is at most one of
 * each kind, and none of a security key. No comment and no option of a line survives, so no
 * text of a node reaches a file of another one's. No I/O, no allocation. Any thread.
 * Fuzz target: fuzz_sshkeys.
 */
#pragma once

#include "base/bytes.h"
#include "base/pv.h"
#include "base/text.h"
#include "crypto/hash.h"

/* The kinds, best first: the order of OpenSSH's own preference among them. */
enum pv_sshkey_kind {
    PV_SSHKEY_NONE, /* no key that is announced */
    PV_SSHKEY_ED25519,
    PV_SSHKEY_P256,
    PV_SSHKEY_P384,
    PV_SSHKEY_P521,
    PV_SSHKEY_RSA,
    PV_SSHKEY_HOST_KINDS, /* the kinds of host keys are before it; no kind itself */
    PV_SSHKEY_SK_ED25519, /* of a security key (OpenSSH's PROTOCOL.u2f) */
    PV_SSHKEY_SK_P256,
    PV_SSHKEY_KINDS,
};

/* What the keys of a list are for. */
enum pv_sshkeys_use {
    PV_SSHKEYS_HOST,
    PV_SSHKEYS_LOGIN,
};

enum {
    PV_SSHKEY_MAX = 535, /* bytes of a key: RSA with 4,096 bits and an exponent of 3 bytes */
    /* Bytes of a list: 1,008 with the longest host key of each kind; 19 keys of ed25519. */
    PV_SSHKEYS_MAX = 1024,
    PV_SSHKEY_APP_MAX = 64,   /* ours: bytes of what a security key is for; "ssh:" unless chosen */
    PV_SSHKEY_PRINT_LEN = 43, /* characters of a fingerprint without "SHA256:" */
    /* Characters of "ssh-rsa AAAA…", with the NUL. */
    PV_SSHKEY_LINE_BUF = 20 + (PV_SSHKEY_MAX + 2) / 3 * 4 + 1,
};

/* Returns the kind of a key in its binary form (RFC 4253 s6.6, RFC 5656 s3.1, RFC 8709 s4).
 * PV_SSHKEY_NONE: another kind, an RSA key of fewer than 2,048 or more than 4,096 bits, or bytes
 * that OpenSSH would not write so. Whether a point is on its curve is not checked: OpenSSH does. */
enum pv_sshkey_kind pv_sshkey_kind_of(struct pv_view key);

/* PV_ERR_MALFORMED unless the list has the one form. The empty list has. */
PV_MUST_CHECK int pv_sshkeys_check(struct pv_view list, enum pv_sshkeys_use use);
/* Takes the next key off a list that was checked; false at the end. Borrows from the list. */
bool pv_sshkeys_next(struct pv_view *list, struct pv_view *ret_key);

/* A list under construction. */
struct pv_sshkeys {
    uint8_t list[PV_SSHKEYS_MAX];
    size_t len;
    enum pv_sshkeys_use use;
    bool full; /* a key was left out for want of room */
};
static inline struct pv_view pv_sshkeys_view(const struct pv_sshkeys *k)
{
    return pv_view(k->list, k->len);
}
/*
 * Reads lines "TYPE BASE64 COMMENT" (sshd(8) "AUTHORIZED_KEYS FILE FORMAT", without options) and
 * adds their keys to the list in *keys, which has the one form before and after. Empty lines and
 * comments are skipped. Of two host keys of one kind the first one stays. Returns the number of
 * lines that hold no key of a kind that is announced: an unknown type, an option, half a key.
 */
size_t pv_sshkeys_read(struct pv_sshkeys *keys, struct pv_view text);
/* Takes a key out of the list. False: it is not there. */
bool pv_sshkeys_remove(struct pv_sshkeys *keys, struct pv_view key);

/* Reads what sshd calls a key: "SHA256:" and the hash of its bytes in base64. PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_sshkey_read_print(const char *print, uint8_t ret_hash[static PV_SHA256_LEN]);
/* Is this the hash of the key? */
bool pv_sshkey_has_hash(struct pv_view key, const uint8_t hash[static PV_SHA256_LEN]);
/* Both at once. */
bool pv_sshkey_has_print(struct pv_view key, const char *print);

/* Writes "TYPE BASE64", without a newline, for a key of a list that was checked. Returns buf. */
const char *pv_sshkey_format(struct pv_view key, char buf[static PV_SSHKEY_LINE_BUF]);
#define PV_SSHKEY_STR(key) pv_sshkey_format(key, (char[PV_SSHKEY_LINE_BUF]){0})
