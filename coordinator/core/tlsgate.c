/* SPDX-License-Identifier: MIT */
/* The gate before TLS handshakes: rates first, then a place, which an older handshake may have to
 * give up. */
#include "coordinator/core/tlsgate.h"

#include <string.h>

enum {
    SLOTS = 4096, /* ours: source networks whose rate is remembered, as in coord.c */
};

int pv_tlsgate_init(struct pv_tlsgate *g, const struct pv_rng *rng)
{
    memset(g, 0, sizeof(*g));
    pv_heap_init(&g->timers);
    pv_places_init(&g->strangers, PV_TLSGATE_MAX, PV_TLSGATE_SOURCE_MAX, rng);
    pv_places_init(&g->regulars, PV_TLSGATE_REGULARS, PV_TLSGATE_REGULARS, rng);
    int r = pv_bucket_table_new(&g->sources, SLOTS, PV_TLSGATE_SOURCE_RATE, PV_TLSGATE_SOURCE_BURST,
                                rng);
    if (r == PV_OK)
        r = pv_bucket_table_new(&g->quiets, SLOTS, PV_TLSGATE_QUIET_RATE, PV_TLSGATE_QUIET_BURST,
                                rng);
    if (r < 0)
        pv_tlsgate_done(g);
    return r;
}

void pv_tlsgate_done(struct pv_tlsgate *g)
{
    pv_heap_done(&g->timers);
    pv_places_done(&g->strangers);
    pv_places_done(&g->regulars);
    g->sources = pv_bucket_table_free(g->sources);
    g->quiets = pv_bucket_table_free(g->quiets);
}

/* A client that floods uses up the rate of all; so whoever comes now and then, or from where
 * members are, is paid from elsewhere first. The source's rate is asked before the rate of all: one
 * source alone does not use up what others need. After a restart thousands of sources come at once,
 * so there is more for a while. */
static bool has_rate(struct pv_tlsgate *g, const struct pv_addr *source, bool regular, pv_ns now)
{
    if (regular && pv_bucket_take(&g->members, PV_TLSGATE_OWN_RATE, PV_TLSGATE_OWN_BURST, 1, now))
        return true;
    if (!pv_bucket_table_take(g->sources, source, 1, now))
        return false;
    if (pv_bucket_table_take(g->quiets, source, 1, now) &&
        pv_bucket_take(&g->quiet, PV_TLSGATE_OWN_RATE, PV_TLSGATE_OWN_BURST, 1, now))
        return true;
    return pv_bucket_take(&g->all, PV_TLSGATE_RATE, PV_TLSGATE_BURST, 1, now) ||
           (pv_bucket_take(&g->pace, PV_TLSGATE_PACE_RATE, PV_TLSGATE_PACE_BURST, 1, now) &&
            pv_bucket_take(&g->crowd, PV_TLSGATE_CROWD_RATE, PV_TLSGATE_CROWD, 1, now));
}

/* The one that gives up its place stays in the heap, due at once: its owner ends it. */
bool pv_tlsgate_enter(struct pv_tlsgate *g, struct pv_tlsgate_pass *pass,
                      const struct pv_addr *source, bool regular, pv_ns now)
{
    struct pv_places *places = regular ? &g->regulars : &g->strangers;
    struct pv_place *evicted = NULL;
    if (pass->inside || !has_rate(g, source, regular, now) ||
        pv_heap_reserve(&g->timers, g->timers.len + 1) < 0 ||
        pv_places_enter(places, &pass->place, source, &evicted) < 0)
        return false;
    pass->inside = true;
    g->n++;
    int seconds = pv_places_crowded(places) ? PV_TLSGATE_HURRY_S : PV_TLSGATE_TIME_S;
    pv_heap_set(&g->timers, &pass->timer, now + PV_S(seconds));
    if (evicted != NULL)
        pv_heap_set(&g->timers, &PV_CONTAINER_OF(evicted, struct pv_tlsgate_pass, place)->timer,
                    now);
    return true;
}

/* A handshake leaves when it is done or its connection ends, whichever comes first. */
void pv_tlsgate_leave(struct pv_tlsgate *g, struct pv_tlsgate_pass *pass)
{
    if (!pass->inside)
        return;
    pv_place_leave(&pass->place);
    pv_heap_set(&g->timers, &pass->timer, PV_NEVER);
    *pass = (struct pv_tlsgate_pass){0};
    g->n--;
}

struct pv_tlsgate_pass *pv_tlsgate_overdue(struct pv_tlsgate *g, pv_ns now)
{
    struct pv_heap_node *due = pv_heap_pop_due(&g->timers, now);
    return due == NULL ? NULL : PV_CONTAINER_OF(due, struct pv_tlsgate_pass, timer);
}

pv_ns pv_tlsgate_next_timeout(const struct pv_tlsgate *g)
{
    return pv_heap_next(&g->timers);
}
