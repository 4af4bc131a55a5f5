/* SPDX-License-Identifier: MIT */
/*
 * natcore_table.h - the NAT emulator's memory: mappings, the sessions that keep them alive, port
 * allocation, and the entries left by early inbound packets. Private to natcore*.c.
 *
 * A mapping lives as long as one of its sessions and never longer than its absolute lifetime. Dead
 * ones are seen as absent at once and freed by pv_nattab_sweep(). Pure; not thread-safe.
 */
#pragma once

#include "natcore.h"

/* Intrusive chained hash that doubles. */
struct pv_nathash_node {
    struct pv_nathash_node *next;
    uint64_t hash;
};
struct pv_nathash {
    struct pv_nathash_node **buckets;
    size_t n_buckets; /* a power of two, or 0 */
    size_t len;
};

struct pv_natmap;

struct pv_natsession {
    struct pv_nathash_node node;
    struct pv_natsession *prev, *next; /* of the same mapping */
    struct pv_natmap *map;
    struct pv_addr remote; /* masked by the filtering rule */
    pv_ns created, expires;
    bool replied;
    bool fin[2]; /* TCP: seen from inside, from outside */
};

struct pv_natmap {
    struct pv_nathash_node by_internal, by_external;
    struct pv_natmap *prev, *next; /* all mappings, oldest first */
    struct pv_natsession *sessions;
    unsigned n_sessions;
    uint8_t proto;
    struct pv_addr internal, external;
    struct pv_addr dst; /* masked by the mapping rule */
    bool inbound;       /* begun by a stranger at a forwarded port */
    pv_ns created, used;
    pv_ns expires;  /* latest of its sessions */
    pv_ns absolute; /* PV_NEVER = none */
};

/* A subscriber: what an inner address has been given. */
struct pv_nathost {
    struct pv_nathash_node node;
    struct pv_addr ip;
    struct pv_addr public_ip; /* paired pooling */
    uint16_t block_lo;        /* port block, 0 = none yet */
};

enum {
    PV_NAT_POLLUTION = 256
}; /* entries; the oldest is overwritten */

struct pv_natpollution {
    uint8_t proto;
    struct pv_addr external, remote;
    pv_ns expires; /* 0 = free */
};

struct pv_nattab {
    struct pv_nathash by_internal, by_external, sessions, hosts;
    struct pv_natmap *first, *last;
    uint32_t n_maps;
    struct pv_natpollution pollution[PV_NAT_POLLUTION];
    unsigned next_pollution;
    uint32_t last_port; /* sequential allocation; 0 = not started */
    pv_ns next_foreign; /* the next port somebody else takes; 0 = not started */
    unsigned next_public;
    pv_ns swept;
};

void pv_nattab_clear(struct pv_nattab *tab); /* also frees; a zeroed table is valid and empty */

/* "Any" parts of an address removed, so that it can be compared under a rule. */
struct pv_addr pv_nattab_mask(enum pv_nat_rule rule, const struct pv_addr *addr);

struct pv_natmap *pv_nattab_by_internal(const struct pv_nattab *tab, uint8_t proto,
                                        const struct pv_addr *internal, const struct pv_addr *dst,
                                        pv_ns now);
/* The next living mapping that owns a public endpoint; start with prev = NULL. */
struct pv_natmap *pv_nattab_by_external(const struct pv_nattab *tab, uint8_t proto,
                                        const struct pv_addr *external,
                                        const struct pv_natmap *prev, pv_ns now);

/* Adds a mapping without sessions, dead until one is touched. NULL when there is no memory. */
struct pv_natmap *pv_nattab_add(struct pv_nattab *tab, const struct pv_natmap *what);
void pv_nattab_remove(struct pv_nattab *tab, struct pv_natmap *map);

/* remote is masked already. NULL when absent (or expired). */
struct pv_natsession *pv_nattab_session(const struct pv_nattab *tab, const struct pv_natmap *map,
                                        const struct pv_addr *remote, pv_ns now);
/* Finds or makes; an expired one starts anew. NULL when there is no memory. */
struct pv_natsession *pv_nattab_open(struct pv_nattab *tab, struct pv_natmap *map,
                                     const struct pv_addr *remote, pv_ns now);
/* Sets a session's deadline and its mapping's. */
void pv_nattab_keep(struct pv_natsession *session, pv_ns expires);

void pv_nattab_sweep(struct pv_nattab *tab, pv_ns now);
/* Makes room in a full table: the mapping idle longest goes. */
void pv_nattab_evict(struct pv_nattab *tab);

/* The subscriber record of an inner address; made on first sight. NULL when there is no memory. */
struct pv_nathost *pv_nattab_host(struct pv_nattab *tab, const struct pv_addr *internal);

/* Chooses the public endpoint of a new mapping from internal to dst. PV_ERR_LIMIT when no port is
 * free, PV_ERR_NOMEM. what->external.port other than 0: the inner port will not do. */
PV_MUST_CHECK int pv_nattab_allocate(struct pv_nattab *tab, const struct pv_nat_config *config,
                                     struct pv_natrng *rng, const struct pv_natmap *what, pv_ns now,
                                     struct pv_addr *ret_external);

void pv_nattab_pollute(struct pv_nattab *tab, uint8_t proto, const struct pv_addr *external,
                       const struct pv_addr *remote, pv_ns now, pv_ns life);
bool pv_nattab_polluted(const struct pv_nattab *tab, uint8_t proto, const struct pv_addr *external,
                        const struct pv_addr *remote, pv_ns now);
