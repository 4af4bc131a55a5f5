/* SPDX-License-Identifier: MIT */
/* gateways.c - decides about the gateways of one prefix. */
#include "daemon/core/route/gateways.h"

#include <string.h>

#define NEARER_BY PV_MS(5) /* ours: less than that is noise, and it must be a quarter, too */

bool pv_gateway_is_alive(const struct pv_gateway *g)
{
    return g->seen.reachable && !g->dead;
}

/* Ids are never used twice, so one that is found is the same member. */
static struct pv_gateway *find(struct pv_gateways *x, uint32_t id)
{
    for (size_t i = 0; i < x->n; i++) {
        if (x->g[i].id == id)
            return &x->g[i];
    }
    return NULL;
}

void pv_gateways_set(struct pv_gateways *x, const uint32_t *ids, size_t n)
{
    struct pv_gateways old = *x;
    x->n = n < PV_GATEWAYS_MAX ? n : PV_GATEWAYS_MAX;
    for (size_t i = 0; i < x->n; i++) {
        const struct pv_gateway *was = find(&old, ids[i]);
        x->g[i] = was != NULL ? *was : (struct pv_gateway){.id = ids[i]};
    }
    if (find(x, x->front) == NULL)
        x->front = 0;
}

/* A gateway that may drop packets is the last choice. A distance that is not known is the largest;
 * of equal ones the lower id counts, so that the order does not depend on who was told first. */
static bool is_nearer(const struct pv_gateway *a, const struct pv_gateway *b)
{
    pv_ns x = a->seen.rtt == 0 ? PV_NEVER : a->seen.rtt;
    pv_ns y = b->seen.rtt == 0 ? PV_NEVER : b->seen.rtt;
    if (a->seen.doubtful != b->seen.doubtful)
        return b->seen.doubtful;
    return x != y ? x < y : a->id < b->id;
}

/* The gateway that takes over; NULL: nobody is alive. */
static struct pv_gateway *nearest_alive(struct pv_gateways *x)
{
    struct pv_gateway *best = NULL;
    for (size_t i = 0; i < x->n; i++) {
        if (pv_gateway_is_alive(&x->g[i]) && (best == NULL || is_nearer(&x->g[i], best)))
            best = &x->g[i];
    }
    return best;
}

/* Packets of programs count, questions of ours do not. */
static bool is_in_use(const struct pv_gateway *g, pv_ns now)
{
    return g->seen.last_tx != 0 && now - g->seen.last_tx < PV_GATEWAYS_IDLE;
}

/* Is the prefix in use by any of them? Flows stay with one that is no more in front. */
static bool are_in_use(const struct pv_gateways *x, pv_ns now)
{
    for (size_t i = 0; i < x->n; i++) {
        if (is_in_use(&x->g[i], now))
            return true;
    }
    return false;
}

/* One alone carries, dead or not, unless its death has consequences. */
static bool are_watched(const struct pv_gateways *x)
{
    return x->n > 1 || (x->n == 1 && x->alone_too);
}

/* Heard is heard: what came in answers every question. */
static void hear(struct pv_gateway *g)
{
    if (g->asked_since != 0 && g->seen.last_rx >= g->asked_since)
        g->asked_since = 0;
    if (g->dead && g->seen.last_rx > g->dead_at)
        g->dead = false;
}

/* Is it sent to and silent? Then it is asked, and dead when it does not answer. Returns whether to
 * ask now. */
static bool watch_one(struct pv_gateway *g, pv_ns now)
{
    bool silent = g->seen.last_tx > g->seen.last_rx && now - g->seen.last_rx >= PV_GATEWAYS_SILENT;
    if (g->asked_since != 0 && now - g->asked_since >= PV_GATEWAYS_DEAD) {
        g->dead = true;
        g->dead_at = now;
        g->asked_since = 0;
        g->ask_at = now + PV_GATEWAYS_BACK;
        return false;
    }
    if (g->asked_since == 0 ? !silent : now < g->ask_at)
        return false;
    if (g->asked_since == 0)
        g->asked_since = now;
    g->ask_at = now + PV_GATEWAYS_ASK;
    return true;
}

/* Those that are not sent to are asked for their distance, and the dead whether they are back. */
static bool ask_other(struct pv_gateway *g, pv_ns now)
{
    if (now < g->ask_at || (!g->dead && !g->seen.reachable))
        return false;
    g->ask_at = now + (g->dead ? PV_GATEWAYS_BACK : PV_GATEWAYS_OTHERS);
    return true;
}

/* Nothing is sent by a dead gateway that has no stand-by, so nothing but a question would show that
 * it is back. */
static bool is_missed(const struct pv_gateways *x, const struct pv_gateway *g)
{
    return x->alone_too && g->dead;
}

/* Another one in front only when it is clearly nearer, and stays so. */
static void consider_nearer(struct pv_gateways *x, struct pv_gateway *front, pv_ns now)
{
    const struct pv_gateway *best = nearest_alive(x);
    pv_ns mine = front->seen.rtt;
    bool nearer = best != NULL && best != front && best->seen.rtt != 0 && mine != 0 &&
                  best->seen.rtt + NEARER_BY < mine && best->seen.rtt < mine - mine / 4;
    if (!nearer) {
        x->nearer_since = 0;
    } else if (x->nearer_since == 0) {
        x->nearer_since = now;
    } else if (now - x->nearer_since >= PV_GATEWAYS_NEARER) {
        x->front = best->id;
        x->nearer_since = 0;
    }
}

/* First what was heard, then who is asked, then who is in front: a gateway that has just answered
 * must not lose its place to one that stands by. */
unsigned pv_gateways_look(struct pv_gateways *x, pv_ns now)
{
    bool use = are_watched(x) && are_in_use(x, now);
    unsigned ask = 0;
    for (size_t i = 0; i < x->n; i++) {
        struct pv_gateway *g = &x->g[i];
        hear(g);
        if (!use) {
            g->asked_since = 0;
            if (is_missed(x, g) && ask_other(g, now))
                ask |= 1u << i;
            continue;
        }
        bool sent_to = !g->dead && g->seen.reachable && is_in_use(g, now);
        if (sent_to ? watch_one(g, now) : ask_other(g, now))
            ask |= 1u << i;
    }
    struct pv_gateway *front = find(x, x->front), *best = nearest_alive(x);
    if (front == NULL || !pv_gateway_is_alive(front) ||
        (front->seen.doubtful && best != NULL && !best->seen.doubtful)) {
        if (best == NULL && front == NULL && x->n > 0)
            best = &x->g[0];
        if (best != NULL)
            x->front = best->id;
        x->nearer_since = 0;
    } else {
        consider_nearer(x, front, now);
    }
    return ask;
}

pv_ns pv_gateways_next(const struct pv_gateways *x, pv_ns now)
{
    pv_ns next = PV_NEVER;
    if (are_watched(x) && are_in_use(x, now))
        return now + PV_GATEWAYS_LOOK;
    for (size_t i = 0; i < x->n; i++) {
        if (is_missed(x, &x->g[i]))
            next = pv_min_ns(next, x->g[i].ask_at);
    }
    return next == PV_NEVER ? next : next > now ? next : now + PV_GATEWAYS_LOOK;
}

/* Flows stay with one that lives; but not with one that may drop them when another would not. */
static bool keeps_flows(const struct pv_gateways *x, const struct pv_gateway *g)
{
    bool choice = false;
    for (size_t i = 0; i < x->n; i++)
        choice = choice || (pv_gateway_is_alive(&x->g[i]) && !x->g[i].seen.doubtful);
    return pv_gateway_is_alive(g) && !(choice && g->seen.doubtful);
}

/* The one in front, then those that are alive, then the others. */
static bool goes_before(const struct pv_gateways *x, const struct pv_gateway *a,
                        const struct pv_gateway *b)
{
    bool alive_a = keeps_flows(x, a), alive_b = keeps_flows(x, b);
    if (alive_a != alive_b)
        return alive_a;
    if ((a->id == x->front) != (b->id == x->front))
        return a->id == x->front;
    return a->id < b->id;
}

/* Distances change all the time: behind the one in front the order is by id, so that no snapshot is
 * made for nothing. */
void pv_gateways_order(const struct pv_gateways *x, struct pv_fp_carried *carried)
{
    const struct pv_gateway *best[PV_GATEWAYS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < x->n; i++) {
        size_t at = n++;
        for (; at > 0 && goes_before(x, &x->g[i], best[at - 1]); at--)
            best[at] = best[at - 1];
        best[at] = &x->g[i];
    }
    memset(carried->ids, 0, sizeof(carried->ids));
    carried->n = (uint8_t)(n < PV_FP_GATEWAYS ? n : PV_FP_GATEWAYS);
    carried->n_live = 0;
    for (size_t i = 0; i < carried->n; i++) {
        carried->ids[i] = best[i]->id;
        carried->n_live = (uint8_t)(carried->n_live + (keeps_flows(x, best[i]) ? 1 : 0));
    }
}
