/* SPDX-License-Identifier: MIT */
/* The gate before TLS handshakes. Order of the list is order of arrival, and each has the same
 * time, so the first is the one that is overdue first. */
#include "coordinator/core/tlsgate.h"

#include <string.h>

enum {
    SOURCE4_BYTES = 3, /* a /24 */
    SOURCE6_BYTES = 7, /* a /56 */
    SLOTS = 4096,      /* ours: source networks whose rate is remembered, as in coord.c */
};

int pv_tlsgate_init(struct pv_tlsgate *g, const struct pv_rng *rng)
{
    memset(g, 0, sizeof(*g));
    return pv_bucket_table_new(&g->sources, SLOTS, PV_TLSGATE_SOURCE_RATE, PV_TLSGATE_SOURCE_BURST,
                               rng);
}

void pv_tlsgate_done(struct pv_tlsgate *g)
{
    pv_bucket_table_free(g->sources);
    g->sources = NULL;
}

/* A source counts as its network, /24 or /56, as in the table of rates (base/bucket.h): a host with
 * one IPv6 address has a whole network of them. */
static bool same_source(const struct pv_addr *a, const struct pv_addr *b)
{
    return a->family == b->family &&
           memcmp(a->ip, b->ip, a->family == PV_AF_INET ? SOURCE4_BYTES : SOURCE6_BYTES) == 0;
}

/* The source's rate is asked before the rate of all, so one source that floods does not use up what
 * others need. */
bool pv_tlsgate_enter(struct pv_tlsgate *g, struct pv_tlsgate_pass *pass,
                      const struct pv_addr *source, pv_ns now)
{
    size_t of_source = 0;
    if (pass->inside || g->n >= PV_TLSGATE_MAX)
        return false;
    /* As long as the list may be, a look through it costs a thousandth of the handshake. */
    for (const struct pv_tlsgate_pass *p = g->first; p != NULL; p = p->next)
        of_source += same_source(&p->source, source) ? 1 : 0;
    if (of_source >= PV_TLSGATE_SOURCE_MAX || !pv_bucket_table_take(g->sources, source, 1, now) ||
        !pv_bucket_take(&g->all, PV_TLSGATE_RATE, PV_TLSGATE_BURST, 1, now))
        return false;
    *pass = (struct pv_tlsgate_pass){
        .inside = true, .source = *source, .until = now + PV_S(PV_TLSGATE_TIME_S), .prev = g->last};
    if (g->last == NULL)
        g->first = pass;
    else
        g->last->next = pass;
    g->last = pass;
    g->n++;
    return true;
}

/* A handshake leaves when it is done or its connection ends, whichever comes first. */
void pv_tlsgate_leave(struct pv_tlsgate *g, struct pv_tlsgate_pass *pass)
{
    if (!pass->inside)
        return;
    if (pass->prev == NULL)
        g->first = pass->next;
    else
        pass->prev->next = pass->next;
    if (pass->next == NULL)
        g->last = pass->prev;
    else
        pass->next->prev = pass->prev;
    *pass = (struct pv_tlsgate_pass){0};
    g->n--;
}

struct pv_tlsgate_pass *pv_tlsgate_overdue(const struct pv_tlsgate *g, pv_ns now)
{
    return g->first != NULL && g->first->until <= now ? g->first : NULL;
}

pv_ns pv_tlsgate_next_timeout(const struct pv_tlsgate *g)
{
    return g->first == NULL ? PV_NEVER : g->first->until;
}
