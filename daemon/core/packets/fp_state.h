/* SPDX-License-Identifier: MIT */
/*
 * fp_state.h - what snapshots are made of. Internal to the fast path: included by its .c files and
 * its tests only.
 *
 * Everything here is reference-counted by the control thread. Workers read what is immutable, and
 * write only the fields that say so.
 */
#pragma once

#include "base/bucket.h"
#include "crypto/aead.h"
#include "daemon/core/packets/fp_builder.h"
#include "proto/rules/flow.h"
#include "proto/rules/ruletable.h"
#include "proto/wireguard/cryptokey.h"
#include "proto/wireguard/replay.h"

enum {
    PV_FP_CHUNK = 64, /* peers; what is copied when one of them changes */
};

/* One pair of transport keys. Freeing it wipes them. */
struct pv_fp_keys {
    unsigned refs; /* control */
    uint32_t local_index;
    uint32_t remote_index;
    bool hybrid;           /* inner packets may go under them, however strict the peer is */
    uint64_t reject_count; /* no packet has this counter or a higher one */
    pv_ns birth;
    struct pv_aead *send;                       /* used by tx, of any number */
    struct pv_aead *recv;                       /* used by rx of the owning worker */
    _Alignas(64) _Atomic uint64_t next_counter; /* tx */
    _Alignas(64) _Atomic bool confirmed;        /* rx: a packet was authenticated, and punted */
    struct pv_replay replay;                    /* rx */
};

struct pv_fp_live_ref {
    struct pv_fp_live live;  /* workers; see fastpath.h */
    struct pv_bucket inband; /* rx: what is handed up of the peer's in-band messages */
    unsigned refs;           /* control */
};

struct pv_fp_regions;

/* One peer as a snapshot shows it. Immutable but for what the pointers lead to. */
struct pv_fp_peer {
    uint32_t id; /* 0 = the slot is free */
    enum pv_fp_peer_kind kind;
    uint32_t by; /* the peer by which its packets go and come; 0 = itself */
    bool offline;
    enum pv_fp_strict strict; /* which inner packets under hybrid keys only */
    bool unwanted;            /* its discovery is not taken */
    uint16_t path_mtu;        /* bytes of UDP payload, 0 = not known */
    struct pv_carrier path;   /* kind PV_CARRIER_NONE = no path */
    struct pv_carrier spare;  /* the relay's, beside a direct path that is silent; NONE = none */
    struct pv_fp_keys *send;  /* one of keys, or NULL */
    struct pv_fp_keys *keys[PV_FP_KEYS_PER_PEER]; /* holds references; NULL = none */
    struct pv_fp_live_ref
        *live;                  /* holds a reference; NULL = nobody has used it: no path, no keys */
    struct pv_ruletable *rules; /* holds a reference; NULL = whatever it sends may enter. Then the
                                 * snapshot has a guard */
    struct pv_ruletable *out;   /* of a phone: what this node's own programs may send to it;
                                 * holds a reference; NULL = everything */
    struct pv_fp_regions *regions; /* holds a reference; NULL = rules hold for all */
};

/* The packets that a peer may send on, by destination. */
struct pv_fp_regions {
    unsigned refs; /* control */
    size_t n;
    struct pv_fp_region list[]; /* each holds a reference to its rules */
};

struct pv_fp_chunk {
    unsigned refs;
    struct pv_fp_peer peers[PV_FP_CHUNK];
};

/* Owners of prefixes that are no peers: ids of peers are never below 65536 (generation 0). */
enum {
    PV_FP_OWNER_HERE = 1,    /* this node carries it for members */
    PV_FP_OWNER_CARRIED = 2, /* and above: peers do, carried[owner - this] */
};

/* When the kernel last sent a packet into the interface for each prefix that peers carry. */
struct pv_fp_marks {
    unsigned refs;                         /* control */
    _Atomic pv_ns gone[PV_FP_MAX_CARRIED]; /* workers; 0: none yet */
};

struct pv_fp_routes {
    unsigned refs;
    struct pv_cryptokey *table;
    struct pv_fp_flows *flows; /* by which carrier a flow goes; NULL: no prefix has several */
    struct pv_fp_marks *marks; /* by the place in carried; NULL: nothing is carried */
    size_t n_carried, n_here;
    struct pv_fp_carried carried[PV_FP_MAX_CARRIED];
    struct pv_prefix here[PV_FP_MAX_HERE];
};

struct pv_fp_index_slot {
    uint32_t index; /* 0 = free */
    uint32_t peer;
};

/* Receiver index -> peer id. Open addressing, at most half full. */
struct pv_fp_index {
    unsigned refs;
    uint32_t mask; /* slots - 1 */
    uint32_t len;
    struct pv_fp_index_slot slots[];
};

/* All groups that members want, in the order of pv_group_compare(). */
struct pv_fp_groups {
    unsigned refs;
    size_t n, n_peers;
    uint32_t *peers; /* ids; behind the entries */
    struct pv_fp_group entries[];
};

/* A TURN server, the way to it, and the peers of its channels. */
struct pv_fp_relay {
    unsigned refs;
    struct pv_fp_relay_way way;
    uint32_t n;                /* channels from 0x4000 on */
    struct pv_addr channels[]; /* PV_AF_NONE = nobody's */
};

/* The flows of this node with peers that have rules: they stay while rules change. */
struct pv_fp_flows {
    unsigned refs;              /* control */
    struct pv_flowtable *table; /* workers */
};

/* The common parts of all rules of one moment. */
struct pv_fp_guard {
    unsigned refs;             /* control */
    struct pv_fp_flows *flows; /* holds a reference */
    struct pv_fp_doubt doubt;
    uint16_t n_rules;
    _Atomic uint64_t denied[]; /* workers: packets, see pv_fp_guard_counter() */
};

/* Where packets are counted that a rule kept out. */
static inline size_t pv_fp_guard_counter(const struct pv_fp_guard *guard, uint16_t rule)
{
    if (rule <= guard->n_rules)
        return rule; /* PV_RULE_DEFAULT is the first */
    return guard->n_rules + (rule == PV_RULE_LOCAL ? 1u : 2u);
}

struct pv_fp_snapshot {
    struct pv_fp_interface iface;
    struct pv_fp_relay *relays[PV_FP_MAX_RELAYS]; /* holds references; NULL = none */
    struct pv_fp_guard *guard;                    /* holds a reference; NULL = nobody has rules */
    struct pv_fp_routes *routes;                  /* holds references to all of these */
    struct pv_fp_index *index;
    struct pv_fp_groups *groups; /* NULL = there are none */
    struct pv_ipprobe probe;     /* what is under way */
    size_t n_by;                 /* peers that another one carries */
    size_t n_chunks;
    struct pv_fp_chunk *chunks[];
};

/* A peer by id; NULL. */
const struct pv_fp_peer *pv_fp_snapshot_peer(const struct pv_fp_snapshot *snap, uint32_t id);
/* The peer by which packets to the addresses of p, or NULL, go: itself, or the one that carries it;
 * NULL: there is none. */
const struct pv_fp_peer *pv_fp_snapshot_way(const struct pv_fp_snapshot *snap,
                                            const struct pv_fp_peer *p);
/* The owner of an inner address; NULL. */
const struct pv_fp_peer *pv_fp_snapshot_route(const struct pv_fp_snapshot *snap, uint8_t version,
                                              const uint8_t *ip);
/* The owner of an inner address: a peer's id, an owner as above, or PV_CRYPTOKEY_NOBODY. */
uint32_t pv_fp_snapshot_owner(const struct pv_fp_snapshot *snap, uint8_t version,
                              const uint8_t *ip);
/* The members that want this group; NULL: nobody. */
const struct pv_fp_group *pv_fp_snapshot_group(const struct pv_fp_snapshot *snap,
                                               const struct pv_group *group);
/* The peer with keys of this receiver index, and the keys; NULL. */
const struct pv_fp_peer *pv_fp_snapshot_keys(const struct pv_fp_snapshot *snap,
                                             uint32_t local_index, struct pv_fp_keys **ret_keys);

/* fp_state.c: construction and counting of the parts, for the builder. */
PV_MUST_CHECK int pv_fp_keys_new(struct pv_fp_keys **ret_keys, const struct pv_fp_key_init *init);
struct pv_fp_keys *pv_fp_keys_unref(struct pv_fp_keys *keys);
struct pv_fp_live_ref *pv_fp_live_unref(struct pv_fp_live_ref *live);
struct pv_fp_chunk *pv_fp_chunk_unref(struct pv_fp_chunk *chunk);
struct pv_fp_chunk *pv_fp_chunk_copy(const struct pv_fp_chunk *chunk); /* NULL without memory */

PV_MUST_CHECK int pv_fp_index_new(struct pv_fp_index **ret_index, uint32_t slots);
struct pv_fp_index *pv_fp_index_unref(struct pv_fp_index *index);
uint32_t pv_fp_index_find(const struct pv_fp_index *index, uint32_t local_index); /* 0 = none */
/* The caller has made sure that there is room, and that the index is not there. */
void pv_fp_index_insert(struct pv_fp_index *index, uint32_t local_index, uint32_t peer);
void pv_fp_index_remove(struct pv_fp_index *index, uint32_t local_index);
/* A copy with at least this many slots (a power of two). */
PV_MUST_CHECK int pv_fp_index_copy(const struct pv_fp_index *index, uint32_t slots,
                                   struct pv_fp_index **ret_copy);

struct pv_fp_routes *pv_fp_routes_unref(struct pv_fp_routes *routes);
/* Returns true if these prefixes are already installed; then copies each entry's `taken` mark. */
bool pv_fp_routes_carry_same(const struct pv_fp_routes *r, struct pv_fp_carried *carried, size_t n,
                             const struct pv_prefix *here, size_t n_here);
/* Replaces the carried prefixes, in routes that nobody else holds. PV_ERR_NOMEM, PV_ERR_LIMIT: the
 * routes are of no use any longer. */
PV_MUST_CHECK int pv_fp_routes_carry(struct pv_fp_routes *r, struct pv_fp_carried *carried,
                                     size_t n, const struct pv_prefix *here, size_t n_here,
                                     const struct pv_rng *rng);

/* NULL without memory. peers may be more than the entries name. */
struct pv_fp_groups *pv_fp_groups_new(const struct pv_fp_group *entries, size_t n,
                                      const uint32_t *peers, size_t n_peers);
struct pv_fp_groups *pv_fp_groups_unref(struct pv_fp_groups *groups);

/* A copy of relay (or, NULL, a new one) with room for n channels at least. */
PV_MUST_CHECK int pv_fp_relay_copy(const struct pv_fp_relay *relay, uint32_t n,
                                   struct pv_fp_relay **ret_copy);
struct pv_fp_relay *pv_fp_relay_unref(struct pv_fp_relay *relay);

/* NULL without memory. */
struct pv_fp_regions *pv_fp_regions_new(const struct pv_fp_region *list, size_t n);
struct pv_fp_regions *pv_fp_regions_unref(struct pv_fp_regions *regions);

/* Makes room to count what n_rules rules deny. flows: the flows of the former guard, or NULL.
 * PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_fp_guard_new(struct pv_fp_flows *flows, uint16_t n_rules,
                                  const struct pv_rng *rng, struct pv_fp_guard **ret_guard);
struct pv_fp_guard *pv_fp_guard_unref(struct pv_fp_guard *guard);

static inline uint32_t pv_fp_slot_of(uint32_t id)
{
    return id & 0xffff;
}
