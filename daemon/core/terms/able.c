/* SPDX-License-Identifier: MIT */
/*
 * able.c - the part that has this node say in a signed statement what it is able to (type 32, adr
 * 0022): members believe that whatever somebody takes out of its descriptions on the way.
 *
 * Whenever the roster says something else of this node than is so, it signs another one: after the
 * first start of a program that can do more, and when [security] or the crypto library changes. A
 * node that can do nothing special, and never said so, says nothing.
 */
#include <stdlib.h>

#include "daemon/core/member/membership.h"
#include "daemon/core/node/node.h"
#include "daemon/core/node/part.h"
#include "daemon/core/peer/peers.h"
#include "proto/roster/roster_make.h"

#define AGAIN PV_S(60) /* ours: between two statements, should the first one change nothing */

struct able {
    struct pv_node *node;
    pv_ns look_at;    /* PV_NEVER: when something changes */
    pv_ns not_before; /* the same is said again */
    uint32_t said;    /* the last time */
};

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct able *x = part;
    x->look_at = PV_NEVER;
    return PV_OK;
}

/* Of keys what its descriptions say: the two must never differ, since members hold them against
 * each other. Before the interface is up, what was said of it last may hold. */
static uint32_t abilities_of(const struct pv_node *n, const struct pv_member *self)
{
    const uint32_t keys = (n->ways.caps & PV_DESC_CAP_PQ) != 0 ? PV_ABLE_PQ | PV_ABLE_SEALED : 0;
    if (n->iface.ip6 == PV_IFACE_IP6_UNKNOWN)
        return keys | (self->abilities & PV_ABLE_NO_IP6);
    return keys | (n->iface.ip6 == PV_IFACE_NO_IP6 ? PV_ABLE_NO_IP6 : 0);
}

/* A node that is down says it when it is up again: nobody talks to it meanwhile. */
static void look(struct able *x, pv_ns now)
{
    struct pv_node *n = x->node;
    struct pv_made made;
    const struct pv_member *self =
        n->roster == NULL ? NULL : pv_roster_by_node(n->roster, n->identity->sign_pk);
    x->look_at = PV_NEVER;
    if (!n->up || self == NULL)
        return;
    const uint32_t able = abilities_of(n, self);
    if (self->abilities == able)
        return;
    /* A statement that was refused, or did not reach the roster, would be refused again at once. */
    if (now < x->not_before && x->said == able) {
        x->look_at = x->not_before;
        return;
    }
    x->not_before = now + AGAIN;
    x->said = able;
    int r = pv_make_able(n->roster, n->identity->sign_sk, able, pv_node_wall_s(n, now), &made);
    if (r == PV_OK)
        r = pv_membership_say(n, pv_made_view(&made), now);
    pv_log(n->log, r == PV_OK ? PV_LOG_INFO : PV_LOG_WARN,
           "what=\"abilities %s\" post-quantum=%s ipv6=%s%s%s",
           r == PV_OK ? "announced" : "not announced", (able & PV_ABLE_PQ) != 0 ? "yes" : "no",
           (able & PV_ABLE_NO_IP6) != 0 ? "no" : "yes",
           r == PV_OK ? "" : " why=", r == PV_OK ? "" : pv_strstatus(r));
    if (r != PV_OK)
        x->look_at = x->not_before;
}

/* The roster may have come from a disk, a coordinator or a member: each may lack what this node
 * said last, or have what a former life of it said. */
static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct able *x = part;
    if ((facts & (PV_FACT_NETWORK | PV_FACT_ROSTER | PV_FACT_UP | PV_FACT_INTERFACE)) != 0)
        x->look_at = now;
}

/* Not in on_facts(): what it signs changes the roster. */
static void run_able(void *part, pv_ns now)
{
    struct able *x = part;
    if (now >= x->look_at)
        look(x, now);
}

const struct pv_part pv_part_able = {
    .name = "able",
    .size = PV_PART_SIZE(struct able),
    .start = start,
    .on_facts = on_facts,
    .run = run_able,
    .due = PV_PART_DUE(struct able, look_at),
};
