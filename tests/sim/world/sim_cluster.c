/* SPDX-License-Identifier: MIT */
/* Rows of coordinators and homes, and what is concluded from them by core/member/home. */
#include "sim_cluster.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEASE PV_S(3)    /* pg_lease.h */
#define RENEW PV_MS(500) /* leasekeep.c */

static struct sim_seat *by_number(struct sim_cluster *cl, int64_t number)
{
    for (size_t i = 0; i < cl->n_seats; i++)
        if (cl->seats[i].has_row && cl->seats[i].number == number)
            return &cl->seats[i];
    return NULL;
}

uint64_t sim_cluster_epoch(struct sim_cluster *cl, uint64_t above)
{
    cl->last_epoch = (above > cl->last_epoch ? above : cl->last_epoch) + 1;
    return cl->last_epoch;
}

void sim_cluster_join(struct sim_cluster *cl, unsigned seat, struct pv_coord *core, pv_ns now)
{
    struct sim_seat *s = &cl->seats[seat];
    s->has_row = true;
    s->number = ++cl->last_number;
    s->until = now + LEASE;
    s->steady = s->renew_at = now;
    s->homes = s->lost = s->lost_seen = 0;
    pv_coord_set_epoch(core, sim_cluster_epoch(cl, 0));
}

void sim_cluster_leave(struct sim_cluster *cl, unsigned seat)
{
    cl->seats[seat].has_row = false;
}

/* --- renewing -------------------------------------------------------------------------------- */

static void tell_homes(struct sim_cluster *cl, struct sim_seat *me, struct pv_coord *core,
                       pv_ns now)
{
    struct pv_coord_home list[SIM_CLUSTER_HOMES];
    size_t n = 0;
    bool came = pv_coord_homes_came(core);
    if (me->lost == me->lost_seen && !came)
        return;
    me->lost_seen = me->lost;
    for (size_t i = 0; i < cl->n_homes; i++) {
        if (cl->homes[i].holder != me->number)
            continue;
        memcpy(list[n].network, cl->homes[i].network, sizeof(list[n].network));
        list[n++].fence = cl->homes[i].fence;
    }
    if (!pv_coord_homes_are(core, list, n, now, now))
        me->lost_seen = -1;
}

pv_ns sim_cluster_renew(struct sim_cluster *cl, unsigned seat, struct pv_coord *core, pv_ns now)
{
    struct sim_seat *me = &cl->seats[seat];
    uint64_t few = UINT64_MAX;
    if (now < me->renew_at)
        return me->renew_at;
    if (me->until < now)
        me->steady = now;
    me->until = now + LEASE;
    me->renew_at = now + RENEW;
    me->homes = (int64_t)pv_coord_n_homes(core);
    for (size_t i = 0; i < cl->n_seats; i++) {
        const struct sim_seat *o = &cl->seats[i];
        if (o != me && o->has_row && o->until >= now && (uint64_t)o->homes < few)
            few = (uint64_t)o->homes;
    }
    pv_coord_balance(core, few, now);
    tell_homes(cl, me, core, now);
    return me->renew_at;
}

/* --- homes ----------------------------------------------------------------------------------- */

static struct sim_home *home_of(struct sim_cluster *cl, const uint8_t *network)
{
    for (size_t i = 0; i < cl->n_homes; i++)
        if (memcmp(cl->homes[i].network, network, PV_NETWORK_ID_LEN) == 0)
            return &cl->homes[i];
    return NULL;
}

static struct pv_home_facts read_facts(struct sim_cluster *cl, const struct sim_seat *me,
                                       const struct sim_home *h, bool draining, pv_ns now)
{
    const struct sim_seat *holder = by_number(cl, h->holder);
    struct pv_home_facts f = {.known = true,
                              .me = me->number,
                              .holder = h->holder,
                              .fence = h->fence,
                              .loaded = h->loaded,
                              .age_ms = (int64_t)((now - h->since) / PV_MS(1)),
                              .patient = now - me->steady >= LEASE,
                              .draining = draining,
                              .homes = me->homes};
    f.state = holder == NULL        ? PV_HOME_NOBODY
              : holder->until < now ? PV_HOME_SILENT
                                    : PV_HOME_ALIVE;
    for (size_t i = 0; i < cl->n_seats; i++) {
        const struct sim_seat *o = &cl->seats[i];
        if (o == me || !o->has_row || o->until < now || (f.least != 0 && o->homes >= f.least_homes))
            continue;
        f.least = o->number;
        f.least_homes = o->homes;
    }
    return f;
}

void sim_cluster_move(struct sim_cluster *cl, unsigned seat, const struct pv_storeop *op, pv_ns now,
                      struct pv_storeop_result *res)
{
    const struct sim_seat *me = &cl->seats[seat];
    struct sim_home *h = home_of(cl, op->copy.network);
    struct pv_home_answer *a = calloc(1, sizeof(*a));
    if (a == NULL)
        abort();
    res->home = a;
    a->verdict = PV_HOME_NONE;
    if (h == NULL)
        return;
    struct pv_home_facts f = read_facts(cl, me, h, op->draining, now);
    enum pv_home_verdict v = pv_home_judge(&f, op->pleads);
    if (op->kind == PV_STOREOP_LEAVE)
        v = h->holder == me->number ? PV_HOME_GIVE : PV_HOME_THERE;
    a->verdict = v == PV_HOME_GIVE ? PV_HOME_THERE : v;
    if (v == PV_HOME_TAKE || v == PV_HOME_GIVE) {
        struct sim_seat *old = by_number(cl, h->holder);
        int64_t to = v == PV_HOME_TAKE ? me->number : op->idle ? 0 : f.least;
        if (old != NULL && old->number != to)
            old->lost++;
        h->since = h->holder == to ? h->since : now;
        h->holder = to;
        a->fence = ++h->fence;
        h->loaded = v == PV_HOME_TAKE;
    }
    const struct sim_seat *holder = by_number(cl, h->holder);
    if (a->verdict == PV_HOME_THERE && holder != NULL)
        snprintf(a->to[a->n_to++], sizeof(a->to[0]), "%s", holder->at);
}

void sim_cluster_write(struct sim_cluster *cl, unsigned seat, const struct pv_storeop *op,
                       pv_ns now, struct pv_storeop_result *res)
{
    const uint8_t *network = op->rows[0].network;
    struct sim_home *h = home_of(cl, network);
    if (op->fresh && h == NULL) {
        if (cl->n_homes == SIM_CLUSTER_HOMES)
            abort();
        h = &cl->homes[cl->n_homes++];
        *h = (struct sim_home){
            .holder = cl->seats[seat].number, .fence = 1, .loaded = true, .since = now};
        memcpy(h->network, network, sizeof(h->network));
    }
    res->fence = op->fresh && h != NULL ? h->fence : 0;
    if (h == NULL || h->holder != cl->seats[seat].number)
        res->status = -ESTALE;
}
