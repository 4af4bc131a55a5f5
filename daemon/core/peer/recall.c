/* SPDX-License-Identifier: MIT */
/* Remembers the addresses at which members were reached directly, and says for whom a test
 * handshake is due while there is no coordinator. At most 32 members have a place at a time; the
 * others take turns. */
#include "daemon/core/peer/recall.h"

#include <stdlib.h>
#include <string.h>

#include "base/fifo.h"
#include "base/list.h"

enum {
    QUICK = 4,     /* trials before the slow ones */
    TURN = 6,      /* trials, then somebody else's turn */
    NOWHERE = 255, /* of the places */
};

/* When each of the quick trials follows the one before, DESIGN 5: at 0, 1, 3, 5 s. */
static const pv_ns quick_after[QUICK] = {0, PV_S(1), PV_S(2), PV_S(2)};

struct pv_recall {
    struct pv_recall_peer *peers; /* of whom something is known */
    bool on;
    pv_ns on_from;
    bool settled;   /* nobody waits who could have a place */
    uint64_t turns; /* given out */
    struct pv_recall_peer *places[PV_RECALL_AT_ONCE];
    struct pv_recall_peer *dirty; /* to be stored, by next_dirty */
    struct pv_fifo forgotten;     /* keys of members: the store is to be told so */
    struct pv_recall_hands hands;
};

/* --- members ------------------------------------------------------------------------------- */

int pv_recall_new(struct pv_recall **ret_recall, const struct pv_recall_hands *hands)
{
    struct pv_recall *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return PV_ERR_NOMEM;
    r->hands = *hands;
    *ret_recall = r;
    return PV_OK;
}

struct pv_recall *pv_recall_free(struct pv_recall *r)
{
    if (r != NULL)
        pv_recall_clear(r);
    free(r);
    return NULL;
}

static struct pv_recall_peer *find(const struct pv_recall *r, const uint8_t *pk)
{
    struct pv_recall_peer *x = r->hands.kept(r->hands.owner, pk, false);
    return x == NULL || x->recall == NULL ? NULL : x;
}

static struct pv_recall_peer *find_or_make(struct pv_recall *r, const uint8_t *pk)
{
    struct pv_recall_peer *x = r->hands.kept(r->hands.owner, pk, true);
    if (x == NULL || x->recall != NULL)
        return x;
    x->recall = r;
    memcpy(x->item.pk, pk, sizeof(x->item.pk));
    x->place = NOWHERE;
    PV_LIST_ADD(r->peers, x);
    return x;
}

/* A free place is a reason to look for somebody who waits. */
static void leave_place(struct pv_recall *r, struct pv_recall_peer *x)
{
    if (x->place == NOWHERE)
        return;
    r->places[x->place] = NULL;
    x->place = NOWHERE;
    r->settled = false;
}

/* It is not to be stored any more. */
static void unmark(struct pv_recall *r, struct pv_recall_peer *x)
{
    struct pv_recall_peer **at = &r->dirty;
    if (!x->dirty)
        return;
    while (*at != x)
        at = &(*at)->next_dirty;
    *at = x->next_dirty;
    x->dirty = false;
}

void pv_recall_gone(struct pv_recall_peer *x)
{
    if (x->recall == NULL)
        return;
    leave_place(x->recall, x);
    unmark(x->recall, x);
    PV_LIST_DEL(x->recall->peers, x);
    *x = (struct pv_recall_peer){.recall = NULL};
}

/* --- addresses ----------------------------------------------------------------------------- */

static size_t place_of(const struct pv_recall_item *item, const struct pv_addr *addr)
{
    size_t i = 0;
    while (i < item->n && !pv_addr_equal(&item->addrs[i].addr, addr))
        i++;
    return i;
}

/* Writes are put off and joined: a path that flaps must not wear out the disk. */
static void mark(struct pv_recall *r, struct pv_recall_peer *x, pv_ns at)
{
    if (x->dirty) {
        x->store_at = pv_min_ns(x->store_at, at);
        return;
    }
    x->dirty = true;
    x->store_at = at;
    x->next_dirty = r->dirty;
    r->dirty = x;
}

void pv_recall_load(struct pv_recall *r, const uint8_t pk[static PV_SIGN_PK_LEN],
                    const struct pv_recall_addr *addr)
{
    struct pv_recall_peer *x = pv_addr_is_usable_remote(&addr->addr) ? find_or_make(r, pk) : NULL;
    if (x == NULL || place_of(&x->item, &addr->addr) < x->item.n)
        return;
    size_t at = 0;
    while (at < x->item.n && x->item.addrs[at].seen_s >= addr->seen_s)
        at++;
    if (at == PV_RECALL_ADDRS)
        return;
    if (x->item.n < PV_RECALL_ADDRS)
        x->item.n++;
    memmove(&x->item.addrs[at + 1], &x->item.addrs[at],
            (x->item.n - 1 - at) * sizeof(x->item.addrs[0]));
    x->item.addrs[at] = *addr;
}

void pv_recall_note(struct pv_recall *r, const uint8_t pk[static PV_SIGN_PK_LEN],
                    const struct pv_addr *addr, uint64_t seen_s, pv_ns now)
{
    struct pv_recall_peer *x = pv_addr_is_usable_remote(addr) ? find_or_make(r, pk) : NULL;
    if (x == NULL || x->forgotten)
        return;
    struct pv_recall_item *item = &x->item;
    size_t at = place_of(item, addr);
    bool is_new = at == item->n;
    bool moves = at > 0 || is_new;
    /* The new address goes to the front, and those before its old place move back by one. */
    if (is_new && item->n < PV_RECALL_ADDRS)
        item->n++;
    else if (is_new)
        at--; /* the oldest goes */
    memmove(&item->addrs[1], &item->addrs[0], at * sizeof(item->addrs[0]));
    item->addrs[0] = (struct pv_recall_addr){.addr = *addr, .seen_s = seen_s};
    pv_ns gap = moves ? PV_RECALL_STORE : PV_RECALL_REFRESH;
    mark(r, x, x->stored_at == 0 && moves ? now : x->stored_at + gap);
}

/* The store is told, or a restart would bring it back: with the next timeout, since it need not be
 * when all are forgotten. Without memory the next start finds that it is nobody's. */
void pv_recall_forget(struct pv_recall *r, const uint8_t pk[static PV_SIGN_PK_LEN])
{
    struct pv_recall_peer *x = find(r, pk);
    if (x == NULL || x->forgotten)
        return;
    leave_place(r, x);
    x->item.n = 0;
    x->forgotten = true;
    unmark(r, x);
    (void)!pv_fifo_put(&r->forgotten, x->item.pk, sizeof(x->item.pk));
}

void pv_recall_clear(struct pv_recall *r)
{
    pv_fifo_clear(&r->forgotten);
}

void pv_recall_store_all(struct pv_recall *r, pv_ns now)
{
    for (struct pv_recall_peer *x = r->peers; x != NULL; x = x->next)
        mark(r, x, now);
}

/* --- the next one to try --------------------------------------------------------------------- */

static bool is_waiting(const struct pv_recall_peer *x, pv_ns now)
{
    return x->place == NOWHERE && !x->reached && x->item.n > 0 &&
           now < x->reason_at + PV_RECALL_FOR;
}

/* Wanted ones first, then by turn, then who was reached last. A user's wish comes before fairness,
 * and fairness before the chance to succeed. */
static bool goes_before(const struct pv_recall_peer *x, const struct pv_recall_peer *y)
{
    if (x->wanted != y->wanted)
        return x->wanted;
    if (x->turn != y->turn)
        return x->turn < y->turn;
    return x->item.addrs[0].seen_s > y->item.addrs[0].seen_s;
}

static void take_place(struct pv_recall *r, struct pv_recall_peer *x, uint8_t place, pv_ns now)
{
    r->places[place] = x;
    x->place = place;
    x->trials = 0;
    /* The grace after the loss of the coordinator holds for all: often it is back at once. */
    x->next_at = now > r->on_from ? now : r->on_from;
    /* One that comes and goes is not tried more often than all others. */
    if (x->tried_at != 0 && x->next_at < x->tried_at + quick_after[1])
        x->next_at = x->tried_at + quick_after[1];
}

/* Fills free places; a wanted member takes that of one who is not. It looks at all members, so it
 * runs only after a change ("settled" is unset) and not with every timeout. */
static void fill_places(struct pv_recall *r, pv_ns now)
{
    if (!r->on || r->settled)
        return;
    for (;;) {
        struct pv_recall_peer *best = NULL;
        for (struct pv_recall_peer *x = r->peers; x != NULL; x = x->next) {
            if (is_waiting(x, now) && (best == NULL || goes_before(x, best)))
                best = x;
        }
        uint8_t at = 0;
        while (at < PV_RECALL_AT_ONCE && r->places[at] != NULL)
            at++;
        for (uint8_t i = 0; best != NULL && best->wanted && at == PV_RECALL_AT_ONCE && i < at;
             i++) {
            if (!r->places[i]->wanted) {
                leave_place(r, r->places[i]);
                at = i;
            }
        }
        if (best == NULL || at >= PV_RECALL_AT_ONCE)
            break;
        take_place(r, best, at, now);
    }
    r->settled = true;
}

/* Somebody has a reason to be tried. */
static void give_reason(struct pv_recall *r, struct pv_recall_peer *x, pv_ns now)
{
    x->reason_at = now;
    x->turn = 0;
    r->settled = false;
}

/* The coordinator left, or we are elsewhere: all begin again, with quick trials. */
static void give_all_reason(struct pv_recall *r, pv_ns now)
{
    for (struct pv_recall_peer *x = r->peers; x != NULL; x = x->next) {
        leave_place(r, x);
        x->wanted = x->wanted && now < x->reason_at + PV_RECALL_FOR;
        give_reason(r, x, now);
    }
}

void pv_recall_set_on(struct pv_recall *r, bool on, pv_ns now)
{
    if (r->on == on)
        return;
    r->on = on;
    r->on_from = now + PV_RECALL_GRACE;
    give_all_reason(r, now);
}

void pv_recall_moved(struct pv_recall *r, pv_ns now)
{
    if (r->on)
        give_all_reason(r, now);
}

void pv_recall_set_reached(struct pv_recall *r, const uint8_t pk[static PV_SIGN_PK_LEN],
                           bool reached, pv_ns now)
{
    struct pv_recall_peer *x = reached ? find_or_make(r, pk) : find(r, pk);
    if (x == NULL || x->reached == reached)
        return;
    x->reached = reached;
    x->wanted = x->wanted && !reached;
    leave_place(r, x);
    if (!reached)
        give_reason(r, x, now);
}

void pv_recall_want(struct pv_recall *r, const uint8_t pk[static PV_SIGN_PK_LEN], pv_ns now)
{
    struct pv_recall_peer *x = find(r, pk);
    if (x == NULL || x->reached || x->item.n == 0)
        return;
    bool renewed = x->wanted && now < x->reason_at + PV_RECALL_EVERY;
    if (x->wanted && (x->place != NOWHERE || is_waiting(x, now))) {
        x->reason_at = now; /* no news: nobody else's place is in question */
    } else {
        x->wanted = true;
        give_reason(r, x, now);
    }
    /* A wish of another moment than the last: quick trials again. */
    if (!renewed && x->place != NOWHERE && x->trials >= QUICK &&
        now >= x->tried_at + PV_RECALL_ANEW) {
        x->trials = 0;
        x->next_at = now;
    }
}

/* --- time, output -------------------------------------------------------------------------- */

static pv_ns earliest_end(const struct pv_recall_peer *x)
{
    return pv_min_ns(x->next_at, x->reason_at + PV_RECALL_FOR);
}

pv_ns pv_recall_next_timeout(const struct pv_recall *r)
{
    pv_ns next = (r->on && !r->settled) || r->forgotten.n > 0 ? 0 : PV_NEVER;
    for (size_t i = 0; r->on && i < PV_RECALL_AT_ONCE; i++) {
        if (r->places[i] != NULL)
            next = pv_min_ns(next, earliest_end(r->places[i]));
    }
    for (const struct pv_recall_peer *x = r->dirty; x != NULL; x = x->next_dirty)
        next = pv_min_ns(next, x->store_at);
    return next;
}

static bool others_wait(const struct pv_recall *r, pv_ns now)
{
    for (const struct pv_recall_peer *x = r->peers; x != NULL; x = x->next) {
        if (is_waiting(x, now))
            return true;
    }
    return false;
}

/* The next that is due; false: there is none. */
static bool next_trial(struct pv_recall *r, pv_ns now, struct pv_recall_item *ret_item)
{
    fill_places(r, now);
    for (size_t i = 0; r->on && i < PV_RECALL_AT_ONCE; i++) {
        struct pv_recall_peer *x = r->places[i];
        if (x == NULL || now < x->next_at)
            continue;
        x->tried_at = now;
        x->trials++;
        x->next_at = now + (x->trials < QUICK ? quick_after[x->trials] : PV_RECALL_EVERY);
        *ret_item = x->item;
        /* Somebody who is wanted keeps the place: a user is waiting. */
        if (x->trials >= TURN && !x->wanted && others_wait(r, now)) {
            x->turn = ++r->turns;
            leave_place(r, x);
        }
        return true;
    }
    return false;
}

static bool next_store(struct pv_recall *r, pv_ns now, struct pv_recall_item *ret_item)
{
    for (struct pv_recall_peer *x = r->dirty; x != NULL; x = x->next_dirty) {
        if (now < x->store_at)
            continue;
        unmark(r, x);
        x->stored_at = now;
        *ret_item = x->item;
        return true;
    }
    return false;
}

void pv_recall_handle_timeout(struct pv_recall *r, pv_ns now)
{
    struct pv_recall_item item;
    for (size_t i = 0; i < PV_RECALL_AT_ONCE; i++) {
        struct pv_recall_peer *x = r->places[i];
        if (x != NULL && now >= x->reason_at + PV_RECALL_FOR) {
            x->wanted = false;
            leave_place(r, x);
        }
    }
    while (next_trial(r, now, &item))
        r->hands.attempt(r->hands.owner, &item, now);
    /* First: one of them may be a member again, and reached. */
    item.n = 0;
    while (pv_fifo_take(&r->forgotten, item.pk) == PV_OK)
        r->hands.keep(r->hands.owner, &item);
    while (next_store(r, now, &item))
        r->hands.keep(r->hands.owner, &item);
}

/* --- questions ----------------------------------------------------------------------------- */

void pv_recall_get(const struct pv_recall *r, const uint8_t pk[static PV_SIGN_PK_LEN],
                   struct pv_recall_item *ret_item)
{
    const struct pv_recall_peer *x = find(r, pk);
    if (x != NULL)
        *ret_item = x->item;
    else
        *ret_item = (struct pv_recall_item){.n = 0};
}

bool pv_recall_is_trying(const struct pv_recall *r, const uint8_t pk[static PV_SIGN_PK_LEN])
{
    const struct pv_recall_peer *x = find(r, pk);
    return r->on && x != NULL && x->place != NOWHERE;
}
