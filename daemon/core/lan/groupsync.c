/* SPDX-License-Identifier: MIT */
/* groupsync.c - sets of groups told and heard, and until when they are repeated. */
#include "daemon/core/lan/groupsync.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"

struct pv_groupsync {
    struct pv_groupsync_peer *peers; /* in the order in which they joined */
    size_t n_peers;
    struct pv_groupsync_peer *tells; /* peers to be told, first come first served */
    struct pv_heap timers;
    struct pv_grouptell_version own;
    struct pv_group groups[PV_GROUPTELL_MAX];
    size_t n;
};

static void take_out(struct pv_groupsync *sync, struct pv_groupsync_peer *e)
{
    if (e->tell)
        PV_LIST_DEL_BY(sync->tells, e, prev_tell, next_tell);
    e->tell = false;
}

int pv_groupsync_new(struct pv_groupsync **ret_sync, const struct pv_rng *rng)
{
    struct pv_groupsync *sync = calloc(1, sizeof(*sync));
    if (sync == NULL)
        return PV_ERR_NOMEM;
    pv_heap_init(&sync->timers);
    /* 0 is "nothing" in a message. */
    sync->own = (struct pv_grouptell_version){.life = pv_rng_u32(rng) | 1, .number = 1};
    *ret_sync = sync;
    return PV_OK;
}

struct pv_groupsync *pv_groupsync_free(struct pv_groupsync *sync)
{
    if (sync == NULL)
        return NULL;
    pv_heap_done(&sync->timers);
    free(sync);
    return NULL;
}

int pv_groupsync_join(struct pv_groupsync *sync, struct pv_groupsync_peer *e, uint32_t id)
{
    /* Its place among the timers: arming one later must not need memory. */
    int r = pv_heap_reserve(&sync->timers, sync->n_peers + 1);
    if (r < 0)
        return r;
    *e = (struct pv_groupsync_peer){.id = id, .sync = sync, .retry_s = PV_GROUPSYNC_RETRY_MIN_S};
    e->takes_discovery = e->to_us = true;
    PV_LIST_ADD(sync->peers, e);
    sync->n_peers++;
    return PV_OK;
}

void pv_groupsync_leave(struct pv_groupsync_peer *e)
{
    struct pv_groupsync *sync = e->sync;
    if (sync == NULL)
        return;
    take_out(sync, e);
    pv_heap_set(&sync->timers, &e->timer, PV_NEVER);
    PV_LIST_DEL(sync->peers, e);
    sync->n_peers--;
    free(e->groups);
    *e = (struct pv_groupsync_peer){.id = e->id};
}

/* --- telling ------------------------------------------------------------------------------- */

/* A walk over all members would cost with each message. */
static void tell(struct pv_groupsync *sync, struct pv_groupsync_peer *e)
{
    if (!e->tell)
        PV_LIST_ADD_BY(sync->tells, e, prev_tell, next_tell);
    e->tell = true;
}

/* Now, and again later while it has not said that it has it. */
static void tell_until_confirmed(struct pv_groupsync *sync, struct pv_groupsync_peer *e, pv_ns now)
{
    tell(sync, e);
    e->told_at = now;
    pv_heap_set(&sync->timers, &e->timer, now + PV_S(e->retry_s));
    e->retry_s *= 2;
    if (e->retry_s > PV_GROUPSYNC_RETRY_MAX_S)
        e->retry_s = PV_GROUPSYNC_RETRY_MAX_S;
}

/* Soon, but not more often than the pause lets. */
static void tell_anew(struct pv_groupsync *sync, struct pv_groupsync_peer *e, pv_ns now)
{
    e->confirmed = false;
    e->wakes = 0;
    e->retry_s = PV_GROUPSYNC_RETRY_MIN_S;
    if (!e->there)
        return;
    pv_ns at = e->told_at == 0 ? now : e->told_at + PV_GROUPSYNC_PAUSE;
    pv_heap_set(&sync->timers, &e->timer, at > now ? at : now);
}

/* A set that was told before counts as another one too: what matters is the order in time. */
void pv_groupsync_set_own(struct pv_groupsync *sync, const struct pv_group *groups, size_t n,
                          pv_ns now)
{
    bool same = n == sync->n;
    if (n > PV_GROUPTELL_MAX)
        n = PV_GROUPTELL_MAX;
    for (size_t i = 0; same && i < n; i++)
        same = pv_group_equal(&groups[i], &sync->groups[i]);
    if (same)
        return;
    if (n > 0)
        memcpy(sync->groups, groups, n * sizeof(groups[0]));
    sync->n = n;
    sync->own.number++;
    for (struct pv_groupsync_peer *e = sync->peers; e != NULL; e = e->next)
        tell_anew(sync, e, now);
}

/* A path that came back changes nothing between two who know each other's newest. */
void pv_groupsync_look(struct pv_groupsync_peer *e, const struct pv_groupsync_seen *seen, pv_ns now)
{
    struct pv_groupsync *sync = e->sync;
    bool came = seen->there && !e->there;
    bool other = e->takes_discovery != seen->takes_discovery;
    e->there = seen->there;
    e->takes_discovery = seen->takes_discovery;
    if (!e->there)
        pv_heap_set(&sync->timers, &e->timer, PV_NEVER);
    else if (other || (came && !e->confirmed))
        tell_anew(sync, e, now);
}

void pv_groupsync_away(struct pv_groupsync_peer *e)
{
    e->confirmed = false;
    e->wakes = 0;
    e->wake_at = 0;
}

bool pv_groupsync_wake(struct pv_groupsync_peer *e, pv_ns now, pv_ns *ret_again)
{
    *ret_again = PV_NEVER;
    if (e->there || e->confirmed || e->wakes >= PV_GROUPSYNC_WAKES)
        return false;
    bool due = now >= e->wake_at;
    if (due) {
        e->wakes++;
        e->wake_at = now + PV_GROUPSYNC_WAKE_AGAIN;
    }
    *ret_again = e->wake_at;
    return due;
}

/* --- hearing ------------------------------------------------------------------------------- */

static bool same_version(const struct pv_grouptell_version *a, const struct pv_grouptell_version *b)
{
    return a->life == b->life && a->number == b->number;
}

/* A set that is older than the one we have was overtaken on its way. */
static bool is_news(const struct pv_groupsync_peer *e, const struct pv_grouptell_version *v)
{
    return !e->heard || e->theirs.life != v->life || (int32_t)(v->number - e->theirs.number) > 0;
}

static bool same_set(const struct pv_groupsync_peer *e, const struct pv_grouptell *t)
{
    for (size_t i = 0; i < t->n && e->n == t->n; i++) {
        if (!pv_group_equal(&e->groups[i], &t->groups[i]))
            return false;
    }
    return e->n == t->n;
}

/* True when it is another set. Without memory it is asked for again by what we have. */
static bool take_set(struct pv_groupsync_peer *e, const struct pv_grouptell *t)
{
    bool to_us = (t->flags & PV_GROUPTELL_DISCOVERY) != 0;
    bool changed = !e->heard || e->to_us != to_us;
    if (!same_set(e, t)) {
        struct pv_group *groups = t->n == 0 ? NULL : calloc(t->n, sizeof(*groups));
        if (groups == NULL && t->n > 0)
            return false;
        if (t->n > 0)
            memcpy(groups, t->groups, t->n * sizeof(*groups));
        free(e->groups);
        e->groups = groups;
        e->n = t->n;
        changed = true;
    }
    e->to_us = to_us;
    e->theirs = t->own;
    e->heard = true;
    return changed;
}

/* Our set is told at once to who has another one, and so is an answer to who asks. */
static void note_confirmed(struct pv_groupsync *sync, struct pv_groupsync_peer *e,
                           const struct pv_grouptell *t, pv_ns now)
{
    bool asks = (t->flags & PV_GROUPTELL_ASKS) != 0;
    if (same_version(&t->heard, &sync->own)) {
        e->confirmed = true;
        pv_heap_set(&sync->timers, &e->timer, PV_NEVER);
        if (asks)
            tell(sync, e);
    } else if (asks || e->confirmed || e->timer.pos == 0) {
        e->confirmed = false;
        e->retry_s = PV_GROUPSYNC_RETRY_MIN_S;
        tell_until_confirmed(sync, e, now);
    }
}

/* Dropped above its rate before it is looked at: the member repeats what is not confirmed. */
bool pv_groupsync_take(struct pv_groupsync_peer *e, struct pv_view body, pv_ns now)
{
    struct pv_grouptell t;
    bool changed = false;
    if (pv_grouptell_parse(body, &t) != PV_OK ||
        !pv_bucket_take(&e->sets, PV_GROUPSYNC_RATE, PV_GROUPSYNC_BURST, 1, now))
        return false; /* it repeats what we do not confirm */
    e->there = true;
    /* The same number with another word on discovery comes when its configuration was read again.
     */
    if (is_news(e, &t.own) || same_version(&e->theirs, &t.own))
        changed = take_set(e, &t);
    note_confirmed(e->sync, e, &t, now);
    return changed;
}

struct pv_groupsync_known pv_groupsync_known(const struct pv_groupsync_peer *e)
{
    if (e == NULL || e->sync == NULL)
        return (struct pv_groupsync_known){.takes_discovery = true};
    return (struct pv_groupsync_known){
        .heard = e->heard,
        .confirmed = e->confirmed,
        .takes_discovery = e->to_us,
        .groups = e->groups,
        .n = e->n,
    };
}

/* --- out ----------------------------------------------------------------------------------- */

/* Built when it leaves: several reasons to tell make one message with the newest set. */
void pv_groupsync_send(struct pv_groupsync *sync, pv_groupsync_sender *send, void *arg)
{
    static uint8_t body[PV_GROUPTELL_BODY_MAX]; /* too large for the stack; control thread only */
    struct pv_groupsync_peer *e;
    while ((e = sync->tells) != NULL) {
        struct pv_grouptell t = {.own = sync->own, .heard = e->theirs, .n = sync->n};
        size_t len;
        take_out(sync, e);
        t.flags = (uint8_t)((e->confirmed ? 0 : PV_GROUPTELL_ASKS) |
                            (e->takes_discovery ? PV_GROUPTELL_DISCOVERY : 0));
        memcpy(t.groups, sync->groups, sizeof(t.groups));
        pv_grouptell_build(&t, body, &len);
        send(arg, e->id, pv_view(body, len));
    }
}

void pv_groupsync_handle_timeout(struct pv_groupsync *sync, pv_ns now)
{
    struct pv_heap_node *node;
    while ((node = pv_heap_pop_due(&sync->timers, now)) != NULL) {
        struct pv_groupsync_peer *e = PV_CONTAINER_OF(node, struct pv_groupsync_peer, timer);
        if (!e->confirmed && e->there)
            tell_until_confirmed(sync, e, now);
    }
}

pv_ns pv_groupsync_next_timeout(const struct pv_groupsync *sync)
{
    return pv_heap_next(&sync->timers);
}
