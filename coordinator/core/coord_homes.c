/* SPDX-License-Identifier: MIT */
/* Networks that come from other coordinators and go to them: who knocks for one that is not here
 * waits until the store has said whose it is, and one that is another's is let go with its
 * members. */
#include <stdlib.h>
#include <string.h>

#include "coordinator/core/coord_int.h"

enum {
    SWEEP_S = 5,       /* ours: between two looks at what is not used */
    IDLE_S = 600,      /* ours: after which a network without members is nobody's */
    BALANCE_S = 3,     /* ours: between two times that some are given to a coordinator with fewer */
    BALANCE_PART = 64, /* ours: one, and one in so many of those that are too many; at most: */
    BALANCE_MAX = 64,
    LEAVE_MAX = 256, /* ours: given away at once, some transactions of the store */
};

static const char moved_text[] = "another coordinator is the home of this network";

/* Ends a connection, and says where to go. Nodes that do not know how to follow are known again. */
static void send_away(struct pv_coord *c, struct pv_conn *s, const struct pv_home_answer *to,
                      pv_ns now)
{
    const char *texts[PV_HOME_ADDRS_MAX];
    struct pv_ctl_failure f = {.error = PV_CTL_E_MOVED, .message = moved_text, .to = texts};
    for (; to != NULL && f.n_to < to->n_to; f.n_to++)
        texts[f.n_to] = to->to[f.n_to];
    pv_homes_tell(&c->homes, s->transport, s->able.follows, now);
    c->stats.moved++;
    if (s->held != NULL)
        pv_conn_fail(s, s->held->id, &f);
    pv_coord_end_with(c, s, &f, now);
}

/* --- letting go ------------------------------------------------------------------------------ */

void pv_coord_forget_net(struct pv_coord *c, struct pv_cnet *net)
{
    if (net->resting)
        pv_heap_set(&c->rests, &net->rest, PV_NEVER);
    net->resting = false;
    c->billed = NULL;
    pv_pages_forget(&c->pages, net);
    pv_registry_drop(&c->registry, net);
}

/* Its members and guests are sent to its new home. */
static void let_go(struct pv_coord *c, struct pv_cnet *net, const struct pv_home_answer *to,
                   const char *why, pv_ns now)
{
    pv_log(c->log, PV_LOG_INFO, "home left network=%s why=\"%s\" to=%s",
           pv_roster_network(net->roster)->name, why, to != NULL && to->n_to > 0 ? to->to[0] : "-");
    net->dropping = true;
    for (struct pv_conn *s = c->conns; s != NULL; s = s->hh.next) {
        if (s->net == net && s->state != PV_CONN_CLOSING)
            send_away(c, s, to, now);
    }
    pv_coord_forget_net(c, net);
}

static int by_network(const void *a, const void *b)
{
    return memcmp(((const struct pv_coord_home *)a)->network,
                  ((const struct pv_coord_home *)b)->network, PV_NETWORK_ID_LEN);
}

bool pv_coord_homes_are(struct pv_coord *c, struct pv_coord_home *list, size_t n, pv_ns asked_at,
                        pv_ns now)
{
    struct pv_cnet *net;
    struct pv_cnet *next;
    bool all = true;
    qsort(list, n, sizeof(*list), by_network);
    HASH_ITER(hh, c->registry.nets, net, next)
    {
        struct pv_coord_home key = {.fence = 0};
        memcpy(key.network, net->id, sizeof(key.network));
        const struct pv_coord_home *h = bsearch(&key, list, n, sizeof(*list), by_network);
        /* One that came since is not in the list yet, and one that goes is told by its own answer.
         */
        if (net->leaving || (h != NULL && h->fence == net->fence))
            continue;
        all &= net->home_at < asked_at;
        if (net->home_at >= asked_at)
            continue;
        c->stats.homes_lost++;
        let_go(c, net, NULL, "another coordinator has taken it", now);
    }
    return all;
}

/* --- seeking --------------------------------------------------------------------------------- */

/* A connection that waited is answered as if it had said hello now. */
static void go_on(struct pv_coord *c, const struct pv_homes_ask *ask, enum pv_home_verdict verdict,
                  const struct pv_home_answer *to, pv_ns now)
{
    for (size_t i = 0; i < ask->n_conns; i++) {
        struct pv_conn *s = pv_coord_find(c, ask->conns[i]);
        if (s == NULL || s->state != PV_CONN_SEEKING)
            continue;
        s->state = PV_CONN_HELLO;
        if (verdict == PV_HOME_TAKE)
            pv_coord_resume(c, s, now);
        else if (verdict == PV_HOME_THERE)
            send_away(c, s, to, now);
        else if (verdict == PV_HOME_NONE)
            pv_coord_refuse(c, s, PV_CTL_E_UNKNOWN_NETWORK,
                            "no coordinator here serves that network", now);
        else if (to != NULL && to->verdict == PV_HOME_TAKE) /* its rows were not taken in */
            pv_coord_refuse(c, s, PV_CTL_E_FULL, "this coordinator has no room for more networks",
                            now);
        else
            pv_coord_refuse(c, s, PV_CTL_E_STORAGE,
                            "the network's home cannot be found out now; try again later", now);
        pv_coord_mark_ready(c, s);
    }
}

/* All rows of a network that became this coordinator's. A row that is damaged is left out; without
 * memory for all of them it has none: what is missing could be a removal. */
static struct pv_cnet *take_in(struct pv_coord *c, const struct pv_homes_ask *ask,
                               const struct pv_home_answer *h, pv_ns now)
{
    int r = PV_OK;
    for (size_t i = 0; r == PV_OK && h->rows != NULL && i < h->rows->n_rows; i++) {
        struct pv_storerow row = h->rows->rows[i];
        r = pv_registry_load(&c->registry, &row);
    }
    struct pv_cnet *net = pv_registry_find(&c->registry, ask->network);
    if (r < 0 && net != NULL) {
        let_go(c, net, NULL, "there is no memory for it", now);
        return NULL;
    }
    if (net == NULL)
        return NULL;
    net->fence = h->fence;
    net->home_at = now;
    net->seen_s = pv_coord_wall(c, now);
    net->pinned = ask->pleads;
    pv_registry_came(&c->registry, net, h->epoch, now);
    c->stats.homes_taken++;
    c->homes_came = true;
    pv_log(c->log, PV_LOG_INFO, "home taken network=%s members=%llu before=%s why=\"%s\"",
           pv_roster_network(net->roster)->name, (unsigned long long)pv_roster_count(net->roster),
           h->was_elsewhere ? "another coordinator" : "nobody", h->why == NULL ? "-" : h->why);
    return net;
}

/* A copy from before is stale: another coordinator may have stored since. One for which there is no
 * room came here because nobody else lives; the status counts these. */
static enum pv_home_verdict take_home(struct pv_coord *c, const struct pv_homes_ask *ask,
                                      const struct pv_home_answer *h, pv_ns now)
{
    struct pv_cnet *stale = pv_registry_find(&c->registry, ask->network);
    if (stale != NULL)
        let_go(c, stale, NULL, "it is read again", now);
    if (pv_registry_is_full(&c->registry)) {
        pv_coord_count(c, PV_COORD_LIMIT_FULL);
        return PV_HOME_WAIT;
    }
    return take_in(c, ask, h, now) != NULL ? PV_HOME_TAKE : PV_HOME_WAIT;
}

/* --- answers --------------------------------------------------------------------------------- */

/* A network that could not be given away goes on here, and is tried again. */
static void left(struct pv_coord *c, const struct pv_homes_ask *ask,
                 const struct pv_storeop_result *result, pv_ns now)
{
    struct pv_cnet *net = pv_registry_find(&c->registry, ask->network);
    if (net == NULL || !net->leaving)
        return;
    if (result->status != PV_OK || result->home == NULL || result->home->verdict == PV_HOME_WAIT) {
        net->leaving = net->dropping = false;
        c->drain_at = now + PV_HOMES_AGAIN;
        return;
    }
    c->stats.homes_given++;
    c->gave_at = now;
    let_go(c, net, result->home,
           ask->why == PV_HOMES_IDLE       ? "nobody uses it"
           : ask->why == PV_HOMES_BALANCED ? "another coordinator has fewer"
                                           : "drained",
           now);
}

void pv_coord_home_answered(struct pv_coord *c, const struct pv_storeop_result *result, pv_ns now)
{
    struct pv_homes_ask *ask = pv_homes_take(&c->homes, result->id);
    if (ask == NULL)
        return;
    if (ask->leave) {
        left(c, ask, result, now);
        pv_homes_ask_free(ask);
        return;
    }
    bool failed = result->status != PV_OK || result->home == NULL;
    enum pv_home_verdict verdict = failed ? PV_HOME_WAIT : result->home->verdict;
    if (verdict == PV_HOME_TAKE)
        verdict = take_home(c, ask, result->home, now);
    else if (verdict == PV_HOME_WAIT && pv_homes_again(&c->homes, ask, now))
        return;
    go_on(c, ask, verdict, result->home, now);
    pv_homes_ask_free(ask);
}

/* --- time ------------------------------------------------------------------------------------ */

static void leave(struct pv_coord *c, struct pv_cnet *net, enum pv_homes_why why, pv_ns now)
{
    if (net->leaving || net->dropping || pv_homes_leave(&c->homes, net->id, why, now) < 0)
        return;
    net->leaving = net->dropping = true;
}

/* Does anything refer to a network that was let go? */
static bool is_used(void *ctx, const struct pv_cnet *net)
{
    const struct pv_coord *c = ctx;
    if (net->n_presence > 0 || net->bulk.listed || net->is_going || net->n_members > 0)
        return true;
    for (const struct pv_conn *s = c->conns; s != NULL; s = s->hh.next)
        if (s->net == net)
            return true;
    for (const struct pv_copies_wait *w = c->copies.waits; w != NULL; w = w->next)
        if (w->net == net)
            return true;
    return false;
}

static void sweep(struct pv_coord *c, pv_ns now)
{
    uint64_t wall = pv_coord_wall(c, now);
    pv_registry_sweep(&c->registry, is_used, c);
    for (struct pv_cnet *net = c->registry.nets; net != NULL; net = net->hh.next) {
        if (net->n_members == 0 && net->home_at + PV_S(IDLE_S) < now && net->seen_s + IDLE_S < wall)
            leave(c, net, PV_HOMES_IDLE, now);
    }
}

void pv_coord_homes_timeout(struct pv_coord *c, pv_ns now)
{
    if (!c->homes.on)
        return;
    pv_homes_handle_timeout(&c->homes, now);
    if (now >= c->swept_at + PV_S(SWEEP_S)) {
        c->swept_at = now;
        sweep(c, now);
    }
    bool drains = c->homes.draining && !c->alone && now >= c->drain_at;
    struct pv_cnet *net = drains ? c->registry.nets : NULL;
    for (size_t i = 0; net != NULL && i < LEAVE_MAX; i++, net = net->hh.next)
        leave(c, net, PV_HOMES_DRAINED, now);
}

/* Finds up to k networks with the fewest members of those that may go; in one look at all of them,
 * as there may be thousands. */
static size_t find_smallest(const struct pv_coord *c, struct pv_cnet **ret_nets, size_t k)
{
    size_t n = 0;
    for (struct pv_cnet *net = c->registry.nets; net != NULL; net = net->hh.next) {
        if (net->pinned || net->leaving || net->dropping ||
            (n == k && net->n_members >= ret_nets[n - 1]->n_members))
            continue;
        size_t at = n < k ? n++ : n - 1;
        for (; at > 0 && ret_nets[at - 1]->n_members > net->n_members; at--)
            ret_nets[at] = ret_nets[at - 1];
        ret_nets[at] = net;
    }
    return n;
}

/* A few at a time: a coordinator that comes back to its place gets its share in minutes, however
 * many networks that are, and nobody notices more than a change of connection. */
void pv_coord_balance(struct pv_coord *c, uint64_t few, pv_ns now)
{
    struct pv_cnet *nets[BALANCE_MAX];
    uint64_t n = pv_coord_n_homes(c), most = few + 1 + few / 8;
    c->alone = few == UINT64_MAX;
    if (c->alone || n <= most || c->homes.draining || now < c->balance_at)
        return;
    c->balance_at = now + PV_S(BALANCE_S);
    uint64_t give = 1 + (n - most) / BALANCE_PART;
    size_t found = find_smallest(c, nets, give < BALANCE_MAX ? (size_t)give : BALANCE_MAX);
    for (size_t i = 0; i < found; i++)
        leave(c, nets[i], PV_HOMES_BALANCED, now);
}

pv_ns pv_coord_homes_next(const struct pv_coord *c)
{
    if (!c->homes.on)
        return PV_NEVER;
    pv_ns next = pv_min_ns(pv_homes_next_timeout(&c->homes), c->swept_at + PV_S(SWEEP_S));
    if (!c->homes.draining || c->alone || c->registry.nets == NULL)
        return next;
    return pv_min_ns(next, c->drain_at > c->wall_at ? c->drain_at : c->wall_at + PV_HOMES_AGAIN);
}

void pv_coord_drain(struct pv_coord *c, bool on)
{
    c->homes.draining = on;
    c->drain_at = 0;
}

bool pv_coord_homes_came(struct pv_coord *c)
{
    bool came = c->homes_came;
    c->homes_came = false;
    return came;
}

size_t pv_coord_n_homes(const struct pv_coord *c)
{
    return HASH_CNT(hh, c->registry.nets);
}

void pv_coord_set_epoch(struct pv_coord *c, uint64_t epoch)
{
    c->first_epoch = epoch;
}

pv_ns pv_coord_left_at(const struct pv_coord *c)
{
    return c->gave_at == 0 ? 0 : c->gave_at + PV_COORD_LEFT;
}

bool pv_coord_is_draining(const struct pv_coord *c)
{
    return c->homes.draining;
}
