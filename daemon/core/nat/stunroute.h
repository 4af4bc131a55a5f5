/* SPDX-License-Identifier: MIT */
/*
 * stunroute.h - whose STUN answer is this? Remembers which owner sent a transaction id.
 *
 * Requests name their owner by the ufrag in USERNAME; answers carry the transaction id only, and
 * many agents share the main sockets. A table of fixed size: sets of a few slots chosen by the
 * (random) transaction id, the oldest of a full set gives way. Nothing an attacker sends is stored.
 * This only routes; the agent authenticates the answer.
 */
#pragma once

#include "base/pv.h"
#include "proto/stun/stun.h"

enum {
    PV_STUNROUTE_SETS = 2048, /* ours: 8,192 ids; 32 peers being reached send 1,600 a second */
    PV_STUNROUTE_WAYS = 4,
};

/* Owners; 0 is nobody. */
enum {
    PV_STUN_OWNER_GATHERER = 1,
    PV_STUN_OWNER_MAPPER = 2,
    PV_STUN_OWNER_PEERS = 2, /* added to a peer's id; ids begin with 1 */
};

struct pv_stunroute_slot {
    uint8_t txid[PV_STUN_TXID_LEN];
    uint32_t owner; /* 0 = empty */
    uint64_t order; /* of insertion */
};

/* A zeroed table is empty. */
struct pv_stunroute {
    struct pv_stunroute_slot slots[PV_STUNROUTE_SETS][PV_STUNROUTE_WAYS];
    uint64_t next_order;
};

/* owner > 0 sent a request with this id. A retransmission finds its slot again. */
void pv_stunroute_sent(struct pv_stunroute *t, const uint8_t txid[static PV_STUN_TXID_LEN],
                       uint32_t owner);
/* The owner, or 0 when nobody remembers. The entry stays: answers may be duplicated. */
uint32_t pv_stunroute_owner(const struct pv_stunroute *t,
                            const uint8_t txid[static PV_STUN_TXID_LEN]);
