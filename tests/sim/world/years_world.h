/* SPDX-License-Identifier: MIT */
/*
 * years_world.h - the model of sim/years: machines, coordinators, who should be what, and whether
 * everybody has heard of everything.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include "daemon/core/engine.h"
#include "daemon/core/node/node.h"
#include "tests/sim/world/sim_node_i.h"
#include "tests/sim/world/sim_world.h"

enum {
    MOST = 10,
    EVENTS = 45,
    COORDS = 5, /* ever */
};

enum power {
    ON,
    OFF,
    ASLEEP,
    BROKEN, /* for good */
};

struct machine {
    struct sim_node *n;
    enum power power;
    int64_t skew_us; /* its clock was set by so much */
    bool wants;      /* its user wants it in the network */
    bool member, admin;
    bool asks;    /* it has joined, and waits for an admin's word */
    bool removed; /* its key is */
    bool owes;    /* what it said last was not stored by the coordinator then */
    bool loose;   /* what it said as an admin is in no order of root's coordinators */
};

struct server {
    struct sim_coord *c;
    uint8_t last; /* of its address */
    bool gone;    /* for good */
    int64_t skew_us;
};

struct years {
    struct sim_world w;
    uint64_t seed;
    struct machine m[MOST];
    unsigned count;
    struct server s[COORDS];
    unsigned n_servers, home;
    bool rooted; /* root names the home */
    bool plain;  /* invites have no conditions any more */
    uint8_t network[PV_NETWORK_ID_LEN];
    uint8_t unheard[EVENTS][PV_SIGN_PK_LEN]; /* keys whose leave perhaps nobody heard */
    unsigned n_unheard;
    int64_t passed_us; /* by which all clocks were moved on together */
};

static inline uint32_t draw(struct years *y, uint32_t bound)
{
    return pv_natrng_below(sim_net_rng(y->w.net), bound);
}

static inline void note(struct years *y, const char *what, const char *who, const char *whom)
{
    if (getenv("PV_SIM_TIMES") != NULL)
        printf("years, seed %llu: %10.3f %s: %s %s\n", (unsigned long long)y->seed,
               (double)(sim_net_now(y->w.net) - PV_S(3600)) / 1e9, what, who, whom);
}

static inline struct server *home(struct years *y)
{
    return &y->s[y->home];
}

static inline struct pv_roster *roster_of(struct years *y, unsigned i)
{
    return y->m[i].power == ON ? pv_engine_node(y->m[i].n->engine)->roster : NULL;
}

static inline bool is_up(struct years *y, unsigned i)
{
    return y->m[i].power == ON && y->m[i].member && roster_of(y, i) != NULL;
}

/* The name of k, as i knows it; NULL when it does not. */
static inline const char *name_of(struct years *y, unsigned i, unsigned k)
{
    struct pv_roster *r = roster_of(y, i);
    const struct pv_member *m = r == NULL ? NULL : pv_roster_by_node(r, sim_node_pk(y->m[k].n));
    return m == NULL ? NULL : m->name;
}

static inline bool may(struct years *y, unsigned i)
{
    /* One that has expired can do nothing until it is renewed. */
    return is_up(y, i) && y->m[i].admin && pv_engine_node(y->m[i].n->engine)->up &&
           pv_roster_by_node(roster_of(y, i), sim_node_pk(y->m[i].n)) != NULL &&
           pv_roster_rights(roster_of(y, i), sim_node_pk(y->m[i].n)) != 0;
}

/* An admin who can be asked; MOST: none. */
static inline unsigned any_admin(struct years *y)
{
    unsigned at = draw(y, y->count);
    for (unsigned i = 0; i < y->count; i++) {
        unsigned k = (at + i) % y->count;
        if (may(y, k))
            return k;
    }
    return MOST;
}

static inline unsigned count_admins(const struct years *y)
{
    unsigned n = 0;
    for (unsigned i = 0; i < y->count; i++)
        n += y->m[i].member && y->m[i].admin && y->m[i].power != BROKEN ? 1 : 0;
    return n;
}

/* --- where they are ----------------------------------------------------------------------------
 */

/* Is it connected to the coordinator that the network has moved to? A former one that was away
 * meanwhile knows nothing of that. */
static inline bool is_at_home(struct years *y, unsigned i)
{
    const struct pv_node *n = pv_engine_node(y->m[i].n->engine);
    const uint8_t *pk = sim_coord_pk(home(y)->c);
    return n->online && memcmp(n->coord_info.pk, pk, sizeof(n->coord_info.pk)) == 0;
}

static inline bool all_at_home(struct sim_world *w, void *ctx)
{
    struct years *y = ctx;
    for (unsigned i = 0; i < y->count; i++) {
        if (is_up(y, i) && !is_at_home(y, i))
            return false;
    }
    return true;
}

/* The network lives where the list of somebody who is connected as it says names the first. */
static inline bool find_home(struct years *y, unsigned by)
{
    struct pv_coordinator first;
    struct pv_view list = pv_roster_coordinators(roster_of(y, by));
    if (!pv_coordlist_next(&list, &first))
        return false;
    for (unsigned i = 0; i < y->n_servers; i++) {
        if (memcmp(sim_coord_pk(y->s[i].c), first.pk, PV_SIGN_PK_LEN) == 0)
            y->home = i;
    }
    return true;
}

/* --- what all know ------------------------------------------------------------------------------
 */

static inline bool has_head(struct years *y, unsigned i, const uint8_t *head)
{
    uint8_t own[PV_STATEMENT_HASH_LEN];
    pv_roster_head(roster_of(y, i), own);
    return memcmp(own, head, sizeof(own)) == 0;
}

/* The standing of k for i, who knows the roster; NULL: nothing. */
static inline const struct pv_member *standing(struct years *y, unsigned i, unsigned k)
{
    return pv_roster_enrolled(roster_of(y, i), sim_node_pk(y->m[k].n));
}

/* Everybody who is there has all that the coordinator has, and the other way round. */
static inline bool all_equal(struct sim_world *w, void *ctx)
{
    struct years *y = ctx;
    uint8_t head[PV_STATEMENT_HASH_LEN];
    struct pv_roster *r = sim_coord_roster(home(y)->c, y->network);
    snprintf(w->why, sizeof(w->why), "the coordinator is down");
    if (r == NULL)
        return false;
    pv_roster_head(r, head);
    for (unsigned i = 0; i < y->count; i++) {
        if (!is_up(y, i))
            continue;
        if (!has_head(y, i, head)) {
            snprintf(y->w.why, sizeof(y->w.why), "%s has %zu statements, the coordinator %zu",
                     sim_node_name(y->m[i].n), pv_roster_size(roster_of(y, i)), pv_roster_size(r));
            return false;
        }
    }
    return true;
}

/* A machine that had expired and is on has renewed itself, and knows it. */
static inline bool none_expired(struct sim_world *w, void *ctx)
{
    struct years *y = ctx;
    struct pv_roster *r = sim_coord_roster(home(y)->c, y->network);
    for (unsigned i = 0; r != NULL && i < y->count; i++) {
        if (!is_up(y, i) ||
            (pv_roster_by_node(r, sim_node_pk(y->m[i].n)) != NULL && name_of(y, i, i) != NULL))
            continue;
        snprintf(w->why, sizeof(w->why), "%s is no member", sim_node_name(y->m[i].n));
        return false;
    }
    return r != NULL;
}

/* Nothing is on its way any more: also what those said who are off is at the coordinator. */
static inline bool settled(struct years *y)
{
    if (!sim_world_until(&y->w, PV_S(60), all_equal, y))
        return false;
    for (unsigned i = 0; i < y->count; i++) {
        y->m[i].owes = y->m[i].owes && !is_up(y, i);
        snprintf(y->w.why, sizeof(y->w.why), "%s owes", sim_node_name(y->m[i].n));
        if (y->m[i].member && y->m[i].owes)
            return false;
    }
    return true;
}
