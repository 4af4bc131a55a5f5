/* SPDX-License-Identifier: MIT */
/*
 * signal.h - what one node says to another through the coordinator, sealed so that only the
 * receiver can read it (DESIGN 4, docs/PROTOCOL-COORDINATOR.md "Signals").
 *
 *   box      Noise_X_25519_ChaChaPoly_BLAKE2s, prologue "p2pvpn signal v1" || network id ||
 *            sender's identity key || receiver's identity key
 *   payload  JSON {"seq","head","members","rules","desc","chain":[{"s","r"}]}
 *
 * or a hybrid box (sealing.h) with the same prologue and payload.
 *
 * In-band messages of type 1 carry the same JSON without "seq". The codec only: whether seq, sender
 * and statements are to be believed is the owner's to decide. No state; thread-safe.
 */
#pragma once

#include "base/pv.h"
#include "proto/control/desc.h"
#include "proto/control/sealing.h"
#include "proto/ip/inband.h"
#include "proto/roster/statement.h"
#include "proto/wireguard/noise.h"

enum {
    PV_SIGNAL_TEXT_MAX = 15000, /* bytes of JSON; also fits an in-band message of 16 KiB */
    PV_SIGNAL_BOX_MAX = PV_SIGNAL_TEXT_MAX + PV_NOISE_X_OVERHEAD,
    /* ... in a hybrid box, which must not be longer: a member that passes it on takes no more. */
    PV_SIGNAL_HYBRID_TEXT_MAX = PV_SIGNAL_TEXT_MAX - PV_SEALING_EXTRA,
    PV_SIGNAL_CHAIN_MAX = 8, /* statements that introduce the sender */
};

struct pv_signal_item {
    struct pv_view statement;
    struct pv_view receipt; /* empty: none */
};

struct pv_signal {
    uint64_t seq; /* microseconds of wall clock, strictly increasing; 0 = none (in-band) */
    uint8_t head[PV_STATEMENT_HASH_LEN];    /* of the sender's roster */
    uint8_t members[PV_STATEMENT_HASH_LEN]; /* digest of the sender's active members */
    bool has_rules;                         /* false: the sender does not know the rules yet */
    uint8_t rules[PV_STATEMENT_HASH_LEN];   /* digest of the sender's rules in force */
    bool has_desc;
    struct pv_desc desc;
    bool has_pq; /* parsed: pq is there, and desc.pq points to it */
    struct pv_desc_pq pq;
    size_t n_chain;
    struct pv_signal_item chain[PV_SIGNAL_CHAIN_MAX];
};

/* The payload as JSON text (no NUL). PV_ERR_NO_SPACE (cap or PV_SIGNAL_TEXT_MAX), PV_ERR_NOMEM,
 * PV_ERR_LIMIT (n_chain). */
PV_MUST_CHECK int pv_signal_write(const struct pv_signal *sig, void *buf, size_t cap,
                                  size_t *ret_len);

/* A parsed payload and the memory its chain and certificate point to. */
struct pv_signal_parsed {
    struct pv_signal sig;
    uint8_t *memory; /* owned */
};
/* PV_ERR_MALFORMED, PV_ERR_LIMIT (length, depth, counts), PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_signal_parse(struct pv_view text, struct pv_signal_parsed *ret_parsed);
void pv_signal_parsed_done(struct pv_signal_parsed *parsed); /* wipes */

/* Sender, receiver and network; the box is bound to all three. Keys are identity keys. */
struct pv_signal_route {
    uint8_t network_id[PV_NETWORK_ID_LEN];
    uint8_t from[PV_SIGN_PK_LEN];
    uint8_t to[PV_SIGN_PK_LEN];
};
/* The route of these three. */
struct pv_signal_route pv_signal_route_of(const uint8_t network_id[static PV_NETWORK_ID_LEN],
                                          const uint8_t from[static PV_SIGN_PK_LEN],
                                          const uint8_t to[static PV_SIGN_PK_LEN]);
/* ret_box gets text.len + PV_NOISE_X_OVERHEAD bytes. remote: the receiver's transport key.
 * PV_ERR_LIMIT (text too long), PV_ERR_AUTH (remote of small order). */
PV_MUST_CHECK int pv_signal_seal(const struct pv_signal_route *route,
                                 const struct pv_noise_static *local,
                                 const uint8_t remote[static PV_DH_LEN], const struct pv_rng *rng,
                                 struct pv_view text, uint8_t *ret_box);
/* The same as a hybrid box of text.len + PV_SEALING_OVERHEAD bytes, by the local and the remote key
 * of keys. PV_ERR_LIMIT: the text has more than PV_SIGNAL_HYBRID_TEXT_MAX; also what
 * pv_sealing_seal() says. */
PV_MUST_CHECK int pv_signal_seal_hybrid(const struct pv_signal_route *route,
                                        const struct pv_sealing_to *to,
                                        const struct pv_noise_parties *keys,
                                        const struct pv_rng *rng, struct pv_view text,
                                        uint8_t *ret_box);
/* ret_text gets box.len - PV_NOISE_X_OVERHEAD bytes; ret_sender the sender's transport key: compare
 * it with that of route->from. PV_ERR_AUTH, PV_ERR_LIMIT, PV_ERR_TRUNCATED. */
PV_MUST_CHECK int pv_signal_open(const struct pv_signal_route *route,
                                 const struct pv_noise_static *local, struct pv_view box,
                                 uint8_t ret_sender[static PV_DH_LEN], uint8_t *ret_text);
/* The same for a hybrid box whose secret (pv_sealing_secret()) is psk: ret_text gets
 * box.len - PV_SEALING_OVERHEAD bytes. */
PV_MUST_CHECK int pv_signal_open_hybrid(const struct pv_signal_route *route,
                                        const uint8_t psk[static PV_NOISE_PSK_LEN],
                                        const struct pv_noise_static *local, struct pv_view box,
                                        uint8_t ret_sender[static PV_DH_LEN], uint8_t *ret_text);

/* --- passed on by a common peer -------------------------------------------------------------- */

/*
 * Body of in-band type 5: a sealed signal (signal.h) that a common peer passes on
 * (DESIGN 7, docs/PROTOCOL-PEERS.md "Type 5: signals through a common peer").
 *
 *   0..31  32..63  64..
 *   to     from    box        identity keys; box as through the coordinator
 *
 * The codec only; who may ask for it is the owner's to decide. No state; thread-safe.
 */

enum {
    PV_FORWARD_HEADER = 64, /* bytes: both identity keys */
    PV_FORWARD_MAX = PV_FORWARD_HEADER + PV_SIGNAL_BOX_MAX,
};
_Static_assert((int)PV_FORWARD_MAX <= (int)PV_INBAND_WHOLE_MAX, "it fits an in-band message");

struct pv_forward {
    uint8_t to[PV_SIGN_PK_LEN];   /* identity key of the receiver */
    uint8_t from[PV_SIGN_PK_LEN]; /* identity key of the node that sealed the box */
    struct pv_view box;
};

/* PV_ERR_LIMIT (a box longer than any signal), PV_ERR_NO_SPACE. */
PV_MUST_CHECK int pv_forward_build(const struct pv_forward *f, void *buf, size_t cap,
                                   size_t *ret_len);
/* The box borrows from body. PV_ERR_TRUNCATED (shorter than an empty signal), PV_ERR_LIMIT,
 * PV_ERR_MALFORMED (from somebody to himself). */
PV_MUST_CHECK int pv_forward_parse(struct pv_view body, struct pv_forward *ret_forward);
