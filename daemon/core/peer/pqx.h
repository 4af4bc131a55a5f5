/* SPDX-License-Identifier: MIT */
/*
 * pqx.h - the exchange of preshared keys with one member: who offers, who answers, what our
 * description says of it, and which keys came of it (docs/PROTOCOL-PEERS.md "Post-quantum
 * sessions").
 *
 * The member with the higher identity key offers and the other one answers, so that both never
 * disagree which key counts. An offer is answered once; the answer is repeated in every description
 * until the other side says that it has the key. Repetition, order and loss are descx.h's business:
 * this machine sees whole descriptions only, and each says all that is to be said.
 *
 * State of who offers:
 *   IDLE     --begin, their new generation, an hour in use--> OFFERED  (new keys)
 *   OFFERED  --begin-->                                       OFFERED  (new keys)
 *   OFFERED  --answer to this offer-->                        IDLE     (a key; "have" is said)
 * State of who answers:
 *   IDLE     --offer-->                                       ANSWERED (a key)
 *   ANSWERED --another offer-->                               ANSWERED (a key)
 *   ANSWERED --the other side has it, or begin-->             IDLE
 *
 * Heap memory of its own, left out of core dumps; secrets are wiped as soon as they were used.
 */
#pragma once

#include "crypto/kem.h"
#include "daemon/core/peer/descx.h"
#include "proto/control/desc.h"
#include "proto/control/hybrid.h"

/* "hourly in use": a little sooner, so that no key in use is older. */
#define PV_PQX_RENEW PV_S(3600 - 120)

struct pv_pqx_config {
    const struct pv_kem *kem; /* borrowed */
    struct pv_rng rng;
    uint8_t network_id[PV_NETWORK_ID_LEN];
    uint8_t own_pk[PV_SIGN_PK_LEN], peer_pk[PV_SIGN_PK_LEN]; /* identity keys */
};

struct pv_pqx; /* opaque */

/* PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_pqx_new(struct pv_pqx **ret_x, const struct pv_pqx_config *cfg);
struct pv_pqx *pv_pqx_free(struct pv_pqx *x); /* wipes; NULL is fine; returns NULL */

/* Our description as the exchange sees it: its number, and the credentials of its generation. */
struct pv_pqx_own {
    struct pv_descx_id id;
    const struct pv_ice_creds *creds;
};

/* Our description began a new generation, or got another number: what was said in the former one
 * holds no more. Keys that came of it stay. offer: make one, if it is ours to make. */
void pv_pqx_begin(struct pv_pqx *x, const struct pv_pqx_own *own, bool offer);
/* Their description came, a new one; new_gen: of a new generation. True: ours says something else
 * now, so it is to be sent. */
PV_MUST_CHECK bool pv_pqx_take(struct pv_pqx *x, const struct pv_pqx_own *own,
                               const struct pv_desc *theirs, bool new_gen, pv_ns now);
/* Would take() of that description compute a key or a half? */
bool pv_pqx_costs(const struct pv_pqx *x, const struct pv_desc *theirs, bool new_gen);
/* Also of a description that was seen before: they have that key. */
void pv_pqx_have(struct pv_pqx *x, const struct pv_desc *theirs);
/* The peer is in use: makes a new offer when the last key is an hour old. True: send ours. */
PV_MUST_CHECK bool pv_pqx_renew(struct pv_pqx *x, const struct pv_pqx_own *own, pv_ns now);

/* The words of our description; NULL: nothing. Valid until the next call. */
const struct pv_desc_pq *pv_pqx_say(struct pv_pqx *x);

/* A key that came of it, or of which something is known now; each once, PV_ERR_AGAIN. The caller
 * wipes it. */
struct pv_pqx_key {
    struct pv_hybrid_key key; /* proven and not fresh: id only */
    bool fresh;               /* a new one */
    bool proven;              /* the other side has it too */
};
PV_MUST_CHECK int pv_pqx_poll_key(struct pv_pqx *x, struct pv_pqx_key *ret_key);

/* Why the last half of theirs was of no use; "" = it was. */
const char *pv_pqx_error(const struct pv_pqx *x);
