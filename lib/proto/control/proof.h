/* SPDX-License-Identifier: MIT */
/*
 * proof.h - proves that the other end of a chat or file connection is the peer's daemon and not
 * somebody else on its machine (docs/PROTOCOL-PEERS.md "Proof of the daemon").
 *
 * An address proves a machine: any user of it can open a socket. So two daemons tell each other a
 * secret in-band, where only daemons speak, and each shows on every TCP connection that it knows
 * both: a MAC over who opened it, who accepted it, what the connection is for and a fresh nonce of
 * either side. Codec and MAC only; who has which secret is daemon/core/peer/linkkeys.h. No state;
 * thread-safe.
 */
#pragma once

#include "base/pv.h"
#include "crypto/sign.h"

enum {
    PV_PROOF_SECRET_LEN = 32, /* bytes, random, of one daemon's life and one peer */
    PV_PROOF_TAG_LEN = 8,     /* bytes of a hash that names a secret without telling it */
    PV_PROOF_KEY_LEN = 32,
    PV_PROOF_NONCE_LEN = 16,
    PV_PROOF_MAC_LEN = 32,
    PV_PROOF_BODY_LEN = 43,  /* of the in-band message */
    PV_PROOF_LINE_MAX = 128, /* bytes of a line with its newline */
};

/* --- in-band ------------------------------------------------------------------------------- */

struct pv_proof_secret {
    uint8_t secret[PV_PROOF_SECRET_LEN]; /* the sender's for the receiver */
    uint8_t known[PV_PROOF_TAG_LEN];     /* names the receiver's that the sender has; zero: none */
    bool asks; /* the sender has no word yet that the receiver has its own: it wants an answer */
};
void pv_proof_secret_build(const struct pv_proof_secret *msg,
                           uint8_t buf[static PV_PROOF_BODY_LEN]);
/* PV_ERR_TRUNCATED, PV_ERR_MALFORMED (kind), PV_ERR_UNSUPPORTED (version: ignore it). Bytes behind
 * the fields are for later versions and skipped. */
PV_MUST_CHECK int pv_proof_secret_parse(struct pv_view body, struct pv_proof_secret *ret_msg);
/* Names a secret. */
void pv_proof_tag(const uint8_t secret[static PV_PROOF_SECRET_LEN],
                  uint8_t ret_tag[static PV_PROOF_TAG_LEN]);

/* --- the proof ----------------------------------------------------------------------------- */

/* One side of a pair, and what it told the other. */
struct pv_proof_side {
    const uint8_t *pk;     /* PV_SIGN_PK_LEN */
    const uint8_t *secret; /* PV_PROOF_SECRET_LEN */
};
/* The key of the pair: the same whichever side is a. */
void pv_proof_key(const struct pv_proof_side *a, const struct pv_proof_side *b,
                  uint8_t ret_key[static PV_PROOF_KEY_LEN]);

/* The purpose of the connection, and the end that proves itself: a proof for one role is wrong for
 * the others. */
enum pv_proof_role {
    PV_PROOF_CHAT_ACCEPTED = 1, /* TCP 2047, by who accepted it */
    PV_PROOF_CHAT_OPENED = 2,
    PV_PROOF_FILE_ACCEPTED = 3, /* TCP 2048 */
    PV_PROOF_FILE_OPENED = 4,
};
struct pv_proof {
    const uint8_t *key;    /* PV_PROOF_KEY_LEN */
    const uint8_t *opener; /* identity keys */
    const uint8_t *acceptor;
    const uint8_t *opener_nonce; /* PV_PROOF_NONCE_LEN */
    const uint8_t *acceptor_nonce;
};
void pv_proof_mac(const struct pv_proof *proof, enum pv_proof_role role,
                  uint8_t ret_mac[static PV_PROOF_MAC_LEN]);
/* In constant time. */
bool pv_proof_is_right(const struct pv_proof *proof, enum pv_proof_role role,
                       const uint8_t mac[static PV_PROOF_MAC_LEN]);

/* --- lines of a chat connection ------------------------------------------------------------ */

/*
 *   opener:   {"prove":NONCE}
 *   acceptor: {"prove":NONCE,"proof":MAC}
 *   opener:   {"proof":MAC}
 */
struct pv_proof_line {
    bool has_nonce, has_mac; /* at least one */
    uint8_t nonce[PV_PROOF_NONCE_LEN];
    uint8_t mac[PV_PROOF_MAC_LEN];
};
/* Is this line of a chat connection one of these? */
bool pv_proof_is_line(struct pv_view line);
/* One line without its newline. PV_ERR_MALFORMED, PV_ERR_LIMIT, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_proof_line_parse(struct pv_view line, struct pv_proof_line *ret_line);
/* With its newline; returns its length. */
size_t pv_proof_line_write(const struct pv_proof_line *line, char buf[static PV_PROOF_LINE_MAX]);
