/* SPDX-License-Identifier: MIT */
/*
 * places.h - a fixed number of places for connections that have not shown who they are, shared
 * fairly by where they come from. When no place is free, the oldest connection of the source with
 * the most gives way: a flood displaces itself, and one connection from elsewhere stays.
 *
 * Of a source those go first that have done nothing, then those that know the coordinator's key: a
 * restart brings all members at once, and a handshake that was paid for shall not be lost.
 *
 * Sources are weighed twice: first by the network that one owner may have (/24, /48), then within
 * it by the part that one subscriber has (one IPv4 address, /56). Pure; one thread.
 */
#pragma once

#include "base/addr.h"
#include "base/heap.h"
#include "base/map.h"
#include "base/pv.h"

/* Network or subscriber: family, kind, then the leading bytes of the address. */
struct pv_place_key {
    uint8_t bytes[10];
};

/* All places of one network, or of one subscriber in it. */
struct pv_place_source {
    struct pv_place_key key;
    struct pv_place_source *network; /* of a subscriber; NULL: it is a network */
    size_t n, n_begun;               /* places; of them those that have begun */
    struct pv_heap subscribers;      /* of a network: most places first */
    struct pv_place *silent;         /* of a subscriber, oldest first: those that may go first */
    struct pv_place *begun;          /* of a subscriber, oldest first: pv_place_begin() */
    struct pv_heap_node rank;        /* among networks, or among the network's subscribers */
    UT_hash_handle hh;
};

/* One connection's place; the owner's memory, zeroed while outside. */
struct pv_place {
    struct pv_places *places;       /* NULL: outside */
    struct pv_place_source *source; /* the subscriber */
    bool has_begun;
    struct pv_place *prev, *next; /* in the subscriber's list */
};

struct pv_places {
    size_t max;   /* places in all */
    size_t share; /* places of one network */
    size_t n;     /* taken */
    struct pv_map map;
    struct pv_place_source *sources; /* networks and subscribers, by key */
    struct pv_heap networks;         /* most places first */
};

/* share: at most max. */
void pv_places_init(struct pv_places *p, size_t max, size_t share, const struct pv_rng *rng);
void pv_places_done(struct pv_places *p); /* every place is outside again */

/*
 * Takes a place for a connection from source. *ret_evicted: the place that had to be given up for
 * it, outside now, whose connection the caller ends; NULL: none had to. PV_ERR_NOMEM.
 */
PV_MUST_CHECK int pv_places_enter(struct pv_places *p, struct pv_place *place,
                                  const struct pv_addr *source, struct pv_place **ret_evicted);
/* The connection has done a handshake that takes the coordinator's key. */
void pv_place_begin(struct pv_place *place); /* harmless when it is outside */
void pv_place_leave(struct pv_place *place); /* harmless when it is outside */

/* Are more than half of the places taken? Then who is slow has less time. */
static inline bool pv_places_crowded(const struct pv_places *p)
{
    return p->n > p->max / 2;
}
