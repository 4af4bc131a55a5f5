/* SPDX-License-Identifier: MIT */
/*
 * turnauth.h - what the relay's long-term credentials are made of (RFC 8489 s9.2): nonces without
 * memory, and keys.
 *
 * A nonce is the RFC's cookie (one bound to a source may go without) and the base64url form of
 * {kind, expiry, serial, MAC}; the MAC is keyed BLAKE2s over these and over what the nonce is bound
 * to. Nothing is remembered about nonces given out. Pure; nothing changes a struct pv_turnauth
 * after init, so any thread may use it.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"
#include "crypto/hash.h"

enum {
    /* The relay never sees a roster and knows a member by these lengths only: PV_NETWORK_ID_LEN,
     * then PV_SIGN_PK_LEN (coord.c, which sees both, checks that they are equal). */
    PV_TURNAUTH_NET_LEN = 16,
    PV_TURNAUTH_NODE_LEN = 32,
    PV_TURNAUTH_MEMBER_LEN = PV_TURNAUTH_NET_LEN + PV_TURNAUTH_NODE_LEN,

    PV_TURNAUTH_MAC_LEN = 12,   /* ours: bytes in a nonce, 96 bits as a transaction id has */
    PV_TURNAUTH_NONCE_BUF = 48, /* characters of a nonce (13 + 28) and the NUL, rounded up */
    PV_TURNAUTH_USER_MAX = 64,  /* characters of a user's name, ours */
    PV_TURNAUTH_USER_BUF = PV_TURNAUTH_USER_MAX + 1,
    PV_TURNAUTH_PASSWORD_BUF = 33, /* a member's: 24 bytes in base64url, and the NUL */
    PV_TURNAUTH_SOURCE_S = 3600,   /* ours: seconds a nonce bound to a source is good */
    PV_TURNAUTH_WELCOME_S = 600,   /* ours: seconds a nonce of welcome is good */
};
/* It goes in clear, so it is no name of ours: clients take it from welcome, or from a 401. */
#define PV_TURNAUTH_REALM "relay"

struct pv_turnauth {
    uint8_t secret[PV_BLAKE2S_LEN]; /* drawn at start: nonces and members' passwords end with the
                                       process */
};

void pv_turnauth_init(struct pv_turnauth *a, const struct pv_rng *rng);
void pv_turnauth_done(struct pv_turnauth *a); /* wipes */

/* The contents of a valid nonce. */
struct pv_turnauth_nonce {
    bool welcome;    /* of welcome, not bound to a source: see pv_turnauth_check_welcome() */
    uint32_t serial; /* of welcome: which one */
    uint32_t expiry; /* seconds of `now` */
    uint8_t mac[PV_TURNAUTH_MAC_LEN];
};

/* Writes a nonce bound to the source, and returns it, in buf. features: with the features that RFC
 * 8489 s9.2.1 wants announced (password algorithms, user name anonymity); else as before that RFC,
 * which is 13 characters shorter. */
const char *pv_turnauth_nonce(const struct pv_turnauth *a, const struct pv_addr *src, pv_ns now,
                              bool features, char buf[static PV_TURNAUTH_NONCE_BUF]);
/* A nonce that came from src. PV_ERR_AUTH: not ours, for another source, or expired. A nonce of
 * welcome still has to pass check_welcome. */
PV_MUST_CHECK int pv_turnauth_check(const struct pv_turnauth *a, struct pv_view text,
                                    const struct pv_addr *src, pv_ns now,
                                    struct pv_turnauth_nonce *ret_nonce);
/* Checks that the nonce was given to this member. PV_ERR_AUTH: it was not. */
PV_MUST_CHECK int pv_turnauth_check_welcome(const struct pv_turnauth *a,
                                            const struct pv_turnauth_nonce *nonce,
                                            struct pv_view member);

/* The keys of a credential, which are kept instead of the password (RFC 8656 s6). */
struct pv_turnauth_key {
    uint8_t md5[PV_MD5_LEN];       /* RFC 8489 s9.2.2 */
    uint8_t sha256[PV_SHA256_LEN]; /* RFC 8489 s18.5.1.2 */
};
/* PV_ERR_NO_SPACE: user and password are too long together; PV_ERR_CRYPTO. */
PV_MUST_CHECK int pv_turnauth_key(const char *user, const char *password,
                                  struct pv_turnauth_key *ret_key);
/* USERHASH of a user (RFC 8489 s14.4). PV_ERR_CRYPTO. */
PV_MUST_CHECK int pv_turnauth_userhash(const char *user, uint8_t ret_hash[static PV_SHA256_LEN]);
/* A member's name and password: both follow from the secret, so they need no memory. */
void pv_turnauth_member(const struct pv_turnauth *a, struct pv_view member,
                        char ret_user[static PV_TURNAUTH_USER_BUF],
                        char ret_password[static PV_TURNAUTH_PASSWORD_BUF]);

/* The credentials in a member's welcome; the nonce is good for one Allocate, then for its
 * 5-tuple. */
struct pv_turnauth_creds {
    char user[PV_TURNAUTH_USER_BUF];
    char password[PV_TURNAUTH_PASSWORD_BUF];
    char nonce[PV_TURNAUTH_NONCE_BUF];
};
/* member: net and node, PV_TURNAUTH_MEMBER_LEN bytes. Only a nonce of the serial that the TURN
 * server was told last (pv_turns_online) will do. */
void pv_turnauth_welcome(const struct pv_turnauth *a, struct pv_view member, uint32_t serial,
                         pv_ns now, struct pv_turnauth_creds *ret_creds);
