/* SPDX-License-Identifier: MIT */
/*
 * token.h - the two texts people hand to each other: the invite token (p2pvpn-...) and the
 * coordinator's URL (p2pvpn://HOST:3478/KEY?c=SECRET). docs/PROTOCOL.md "Token" and "URL".
 *
 * Both carry secrets (the invite's seed, the create secret): wipe the structs and buffers after
 * use, never log them. No I/O, no allocation. Any thread. Fuzz targets: fuzz_token, fuzz_url.
 */
#ifndef PV_TOKEN_H
#define PV_TOKEN_H

#include "proto/roster/statement.h"

enum {
    PV_TOKEN_LIST_MAX = 512, /* bytes of the coordinator list in a token */
    PV_TOKEN_BIN_MAX = 1 + PV_NETWORK_ID_LEN + PV_SIGN_SEED_LEN + 2 + PV_TOKEN_LIST_MAX + 4,
    PV_TOKEN_TEXT_BUF = 7 + (PV_TOKEN_BIN_MAX * 4 + 2) / 3 + 1,           /* with the NUL */
    PV_URL_SECRET_LEN = 16,                                               /* bytes */
    PV_URL_TEXT_BUF = 9 + PV_HOSTPORT_BUF + 1 + PV_KEY_TEXT + 3 + 22 + 1, /* with the NUL */
};

struct pv_token {
    uint8_t network_id[PV_NETWORK_ID_LEN];
    uint8_t seed[PV_SIGN_SEED_LEN];  /* secret: of the invite's Ed25519 key pair */
    size_t list_len;                 /* bytes used in list */
    uint8_t list[PV_TOKEN_LIST_MAX]; /* coordinators, read with pv_coordlist_next() */
};

/* Text to token; surrounding blanks are not skipped.
 *   PV_ERR_MALFORMED    not a token, damaged (checksum), or a list that is not canonical
 *   PV_ERR_UNSUPPORTED  a later version of tokens */
PV_MUST_CHECK int pv_token_parse(const char *text, size_t len, struct pv_token *ret_token);
/* PV_ERR_MALFORMED (the list), PV_ERR_NO_SPACE (never with cap >= PV_TOKEN_TEXT_BUF). */
PV_MUST_CHECK int pv_token_format(const struct pv_token *token, char *buf, size_t cap);
/* Wipes. */
void pv_token_done(struct pv_token *token);

struct pv_url {
    struct pv_hostport addr; /* tls is false */
    uint8_t pk[PV_SIGN_PK_LEN];
    bool has_secret; /* false: the coordinator runs with --open */
    uint8_t secret[PV_URL_SECRET_LEN];
};

/* PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_url_parse(const char *text, size_t len, struct pv_url *ret_url);
/* PV_ERR_MALFORMED (the address), PV_ERR_NO_SPACE (never with cap >= PV_URL_TEXT_BUF). */
PV_MUST_CHECK int pv_url_format(const struct pv_url *url, char *buf, size_t cap);
/* Wipes. */
void pv_url_done(struct pv_url *url);

#endif /* PV_TOKEN_H */
