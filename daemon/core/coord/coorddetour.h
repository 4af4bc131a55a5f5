/* SPDX-License-Identifier: MIT */
/*
 * coorddetour.h - the order of a coordinator's addresses while the home of a network is looked for:
 * where somebody said that it is comes first, who said that it is elsewhere comes last. Pure;
 * zeroed = nobody has said anything.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"
#include "proto/local/proxyset.h"

/* Where a coordinator may be reached. */
struct pv_coordclient_addr {
    struct pv_addr addr;
    /* Through an HTTP proxy: the proxy's address, and the name that it is asked for, which it looks
     * up itself: then addr has the port alone. PV_AF_NONE: directly; "": addr is asked for. */
    struct pv_addr via;
    char name[PV_PROXYSET_HOST_BUF];
    bool tls; /* inside TLS, which proves nothing: the handshake inside does */
    /* Nobody said that it is there: its failure says nothing about the coordinator, and when all
     * others have failed it gets PV_COORDCLIENT_GUESS more. */
    bool guess;
};

enum {
    PV_COORDDETOUR_HOPS = 6, /* ours: coordinators with a key, and their addresses */
    PV_COORDDETOUR_MAX = 4,  /* ours: addresses of a home */
};
/* Ours: a connection that lasted so long was no step on a way without an end. */
#define PV_COORDDETOUR_LASTS PV_S(10)

struct pv_coorddetour {
    struct pv_coordclient_addr away[PV_COORDDETOUR_HOPS];
    size_t n_away;
    struct pv_addr via; /* the proxy by which the last of them was reached */
    struct pv_addr to[PV_COORDDETOUR_MAX];
    size_t n_to;
    pv_ns arrived_at; /* of the connection in use */
    unsigned sent_on; /* such connections that ended by "moved", since one lasted */
};

/* Returns true if both are one place, reached in one way. */
bool pv_coordclient_addr_is(const struct pv_coordclient_addr *a,
                            const struct pv_coordclient_addr *b);

/* Forgets what was said about the home: it is found, or looked for later. */
void pv_coorddetour_end(struct pv_coorddetour *d);
void pv_coorddetour_arrived(struct pv_coorddetour *d, pv_ns now);
/* Returns true if the connection in use is PV_COORDDETOUR_LASTS old. */
bool pv_coorddetour_has_lasted(const struct pv_coorddetour *d, pv_ns now);
/* The connection in use ends by "moved". False: so many have in a row that it makes no sense to go
 * on at once. Coordinators in turn, or one that lies, could else have all their members knock
 * without a pause, here or wherever they are sent. */
PV_MUST_CHECK bool pv_coorddetour_sent_on(struct pv_coorddetour *d, pv_ns now);
/* This coordinator said that the home is elsewhere; earlier words about the place no longer count.
 * Returns false if so many coordinators said it that it makes no sense to go on. */
PV_MUST_CHECK bool pv_coorddetour_leave(struct pv_coorddetour *d,
                                        const struct pv_coordclient_addr *from);
/* The home is there. False: so much is known already. */
PV_MUST_CHECK bool pv_coorddetour_add(struct pv_coorddetour *d, const struct pv_addr *to);
/* It is being tried: a list that comes now need not begin with it. */
void pv_coorddetour_tried(struct pv_coorddetour *d, const struct pv_addr *to);
/* Puts a list with room for cap in order, from place `from` on: those before it were tried. *n may
 * grow. */
void pv_coorddetour_arrange(const struct pv_coorddetour *d, struct pv_coordclient_addr *addrs,
                            size_t *n, size_t cap, size_t from);

/* The next place from `from` on of what may be tried beside the connection in use: no guess, which
 * is seldom right. n: there is none. */
size_t pv_coorddetour_other(const struct pv_coordclient_addr *addrs, size_t n, size_t from,
                            const struct pv_coordclient_addr *used);
bool pv_coorddetour_has_family(const struct pv_coordclient_addr *addrs, size_t n, uint16_t family);
