/* SPDX-License-Identifier: MIT */
/*
 * token.h - the texts people hand to each other: the invite token (p2pvpn-...), the token that
 * tells members of another coordinator (p2pvpn-..., too), and the coordinator's URL
 * (p2pvpn://HOST:3478/KEY?c=SECRET). docs/PROTOCOL-NETWORK.md "Token" and "URL".
 *
 * Invite tokens and URLs carry secrets (the invite's seed, the create secret): wipe the structs and
 * buffers after use, never log them. No I/O, no allocation. Any thread. Fuzz targets: fuzz_token,
 * fuzz_url.
 */
#pragma once

#include "proto/roster/statement.h"

enum {
    PV_TOKEN_LIST_MAX = 512, /* bytes of the coordinator list in a token */
    PV_TOKEN_BIN_MAX = 1 + PV_NETWORK_ID_LEN + PV_SIGN_SEED_LEN + 2 + PV_TOKEN_LIST_MAX + 4,
    PV_TOKEN_TEXT_BUF = 7 + (PV_TOKEN_BIN_MAX * 4 + 2) / 3 + 1, /* with the NUL */
    PV_TOKEN_RULES_LEN = 16, /* bytes at the end of a seed that vouch for the rules */
    PV_URL_SECRET_LEN = 16,  /* bytes */
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
 *   PV_ERR_UNSUPPORTED  a newer version of tokens; of a text that is longer than those of this
 *                       version the checksum is not looked at */
PV_MUST_CHECK int pv_token_parse(const char *text, size_t len, struct pv_token *ret_token);
/* PV_ERR_MALFORMED (the list), PV_ERR_NO_SPACE (never with cap >= PV_TOKEN_TEXT_BUF). */
PV_MUST_CHECK int pv_token_format(const struct pv_token *token, char *buf, size_t cap);
/* Wipes. */
void pv_token_done(struct pv_token *token);

/* The end of a token's seed when the token vouches for the rules of this digest
 * (pv_roster_rules()): 16 bytes, which are no secret. The rest of the seed is, and is drawn. */
void pv_token_rules(const uint8_t network_id[static PV_NETWORK_ID_LEN],
                    const uint8_t rules[static PV_STATEMENT_HASH_LEN],
                    uint8_t ret_mark[static PV_TOKEN_RULES_LEN]);

/* For members who can reach neither the old coordinator nor a member: the coordinators record in
 * force. It holds no secret, and says nothing that root did not sign. */
enum {
    PV_MOVETOKEN_BIN_MAX = 2560, /* ours: lists that p2pvpn makes are below 512 bytes */
    PV_MOVETOKEN_TEXT_BUF = 7 + (PV_MOVETOKEN_BIN_MAX * 4 + 2) / 3 + 1, /* with the NUL */
};
struct pv_movetoken {
    uint8_t network_id[PV_NETWORK_ID_LEN];
    struct pv_view record; /* a statement; of a parsed token it lies in bin */
    uint8_t bin[PV_MOVETOKEN_BIN_MAX];
};

/* As pv_token_parse(); fills *ret_token in place, which must not be copied then. */
PV_MUST_CHECK int pv_movetoken_parse(const char *text, size_t len, struct pv_movetoken *ret_token);
/* From network_id and record. PV_ERR_NO_SPACE: they do not fit. */
PV_MUST_CHECK int pv_movetoken_format(const struct pv_movetoken *token, char *buf, size_t cap);

struct pv_url {
    struct pv_hostport addr; /* tls is false */
    uint8_t pk[PV_SIGN_PK_LEN];
    bool has_secret; /* false: the coordinator runs with --open */
    uint8_t secret[PV_URL_SECRET_LEN];
};

/* PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_url_parse(const char *text, size_t len, struct pv_url *ret_url);
/* Can its key be a coordinator's? Of slips in copying it nearly all make one that nobody has. */
bool pv_url_has_key(const struct pv_url *url);
/* PV_ERR_MALFORMED (the address), PV_ERR_NO_SPACE (never with cap >= PV_URL_TEXT_BUF). */
PV_MUST_CHECK int pv_url_format(const struct pv_url *url, char *buf, size_t cap);
/* Wipes. */
void pv_url_done(struct pv_url *url);
