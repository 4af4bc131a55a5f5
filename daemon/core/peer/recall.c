/* SPDX-License-Identifier: MIT */
/* recall.c - remembers the addresses at which members were reached directly, and sends a handshake
 * there while there is no coordinator. At most 32 members have a place at a time; the others take
 * turns. */
#include "daemon/core/peer/recall.h"

#include <stdlib.h>
#include <string.h>

#include "base/fifo.h"
#include "base/heap.h"
#include "base/list.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/peer/peer_int.h"
#include "daemon/core/peer/peers.h"

enum {
    QUICK = 4, /* trials before the slow ones */
    TURN = 6,  /* trials, then somebody else's turn */
    /* Trials waiting to be sent; more are dropped, and come again. Ours: two rounds of all. */
    MAX_TRIALS = 2 * PV_RECALL_AT_ONCE * PV_RECALL_ADDRS,
};

/* When each of the quick trials follows the one before, DESIGN 5: at 0, 1, 3, 5 s. */
static const pv_ns quick_after[QUICK] = {0, PV_S(1), PV_S(2), PV_S(2)};

/* A peer keeps this. */
struct kept {
    struct recall *recall; /* NULL: nothing is known yet */
    struct pv_peer *peer;
    struct pv_recall_addr addrs[PV_RECALL_ADDRS]; /* newest first */
    size_t n;
    bool reached;    /* as looked at last: it may lag behind the path */
    bool wanted;     /* within PV_RECALL_FOR, and not reached since */
    bool forgotten;  /* the store was told; nothing more is learned of it */
    pv_ns reason_at; /* last wish, start or move; counts while there is a next one */
    pv_ns tried_at;  /* 0 = never */
    uint64_t turn;   /* among those that wait: the lower first */
    size_t place;    /* among those that are tried, from 1 on; 0: none */
    unsigned trials; /* in this place */
    pv_ns next_at;   /* the next of them */
    struct pv_heap_node store;
    pv_ns stored_at;          /* 0 = not in this life */
    struct kept *prev, *next; /* all of them (base/list.h) */
};

/* A message 1 on its way to an address where a member once was. */
struct trial {
    struct pv_addr dst;
    uint8_t msg[PV_WGMSG_INITIATION_LEN];
};

struct recall {
    struct pv_node *node;
    struct kept *members; /* of whom something is known */
    size_t n_members;
    bool away; /* the coordinator is */
    pv_ns away_from;
    bool settled;   /* nobody waits who could have a place */
    uint64_t turns; /* given out */
    struct kept *places[PV_RECALL_AT_ONCE];
    struct pv_heap stores;    /* when what is new of a member is stored */
    struct pv_fifo forgotten; /* keys of members: the store is to be told so */
    struct pv_fifo trials;    /* of struct trial */
    uint64_t away_since_s; /* no coordinator since then, wall clock; 0 = connected, or not wanted */
};

/* --- members ------------------------------------------------------------------------------- */

static struct kept *find(const struct pv_peer *p)
{
    return pv_peer_find_slot(p, &pv_part_recall);
}

/* Also when nothing was known. NULL: no memory. */
static struct kept *get(struct recall *r, struct pv_peer *p)
{
    struct kept *k = pv_peer_slot(p, &pv_part_recall);
    if (k == NULL || k->recall != NULL)
        return k;
    /* Its place among the timers first: setting one later must not need memory. */
    if (pv_heap_reserve(&r->stores, r->n_members + 1) < 0) {
        pv_peer_drop_slot(p, &pv_part_recall);
        return NULL;
    }
    r->n_members++;
    k->recall = r;
    k->peer = p;
    PV_LIST_ADD(r->members, k);
    return k;
}

/* A free place is a reason to look for somebody who waits. */
static void leave_place(struct kept *k)
{
    if (k->place == 0)
        return;
    k->recall->places[k->place - 1] = NULL;
    k->place = 0;
    k->recall->settled = false;
}

static void end_peer(void *slot)
{
    struct kept *k = slot;
    if (k->recall == NULL)
        return;
    leave_place(k);
    pv_heap_set(&k->recall->stores, &k->store, PV_NEVER);
    PV_LIST_DEL(k->recall->members, k);
    k->recall->n_members--;
}

size_t pv_recall_addrs(const struct pv_peer *p, const struct pv_recall_addr **ret_addrs)
{
    const struct kept *k = find(p);
    *ret_addrs = k == NULL ? NULL : k->addrs;
    return k == NULL ? 0 : k->n;
}

bool pv_recall_is_trying(const struct pv_peer *p)
{
    const struct kept *k = find(p);
    return k != NULL && k->place != 0;
}

/* --- addresses ----------------------------------------------------------------------------- */

static size_t place_of(const struct kept *k, const struct pv_addr *addr)
{
    size_t i = 0;
    while (i < k->n && !pv_addr_equal(&k->addrs[i].addr, addr))
        i++;
    return i;
}

/* Writes are put off and joined: a path that flaps must not wear out the disk. */
static void store_at(struct kept *k, pv_ns at)
{
    pv_ns before = k->store.pos == 0 ? PV_NEVER : k->store.when;
    pv_heap_set(&k->recall->stores, &k->store, pv_min_ns(before, at));
}

/* The new address goes to the front, and those before its old place move back by one. */
static void note_addr(struct recall *r, struct pv_peer *p, const struct pv_addr *addr, pv_ns now)
{
    struct kept *k = pv_addr_is_usable_remote(addr) ? get(r, p) : NULL;
    if (k == NULL || k->forgotten)
        return;
    size_t at = place_of(k, addr);
    bool is_new = at == k->n;
    bool moves = at > 0 || is_new;
    if (is_new && k->n < PV_RECALL_ADDRS)
        k->n++;
    else if (is_new)
        at--; /* the oldest goes */
    memmove(&k->addrs[1], &k->addrs[0], at * sizeof(k->addrs[0]));
    k->addrs[0] = (struct pv_recall_addr){.addr = *addr, .seen_s = pv_node_wall_s(r->node, now)};
    pv_ns gap = moves ? PV_RECALL_STORE : PV_RECALL_REFRESH;
    store_at(k, k->stored_at == 0 && moves ? now : k->stored_at + gap);
}

/* Remembers the address that a direct path leads to: the member is sought there later. */
static void note_path(struct recall *r, struct pv_peer *p, pv_ns now)
{
    if (!p->is_static && pv_peer_has_path(p) && p->path_state != PV_PATH_STATE_SUSPECT &&
        p->path.kind == PV_CARRIER_UDP)
        note_addr(r, p, &p->path.remote, now);
}

static void keep(const struct recall *r, const uint8_t *pk, const struct kept *k)
{
    struct pv_job *job = pv_job_new(PV_JOB_PUT_ENDPOINTS);
    if (job == NULL) {
        r->node->store.failed = true;
        return;
    }
    struct pv_job_put_endpoints *put = &job->u.put_endpoints;
    memcpy(put->node, pk, sizeof(put->node));
    put->n = k == NULL ? 0 : k->n;
    if (k != NULL)
        memcpy(put->addrs, k->addrs, sizeof(put->addrs));
    (void)pv_jobqueue_submit(&r->node->jobs, job, pv_node_job_stored, r->node, 0);
}

/* One address of a member, as it was stored. */
static void load(struct recall *r, struct pv_peer *p, const struct pv_recall_addr *addr)
{
    struct kept *k = pv_addr_is_usable_remote(&addr->addr) ? get(r, p) : NULL;
    if (k == NULL || place_of(k, &addr->addr) < k->n)
        return;
    size_t at = 0;
    while (at < k->n && k->addrs[at].seen_s >= addr->seen_s)
        at++;
    if (at == PV_RECALL_ADDRS)
        return;
    if (k->n < PV_RECALL_ADDRS)
        k->n++;
    memmove(&k->addrs[at + 1], &k->addrs[at], (k->n - 1 - at) * sizeof(k->addrs[0]));
    k->addrs[at] = *addr;
}

/* The addresses that were stored. Those of a node that was removed while this one was off must not
 * be asked, and go from the disk, too. */
static int load_addresses(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct recall *r = part;
    for (size_t i = 0; i < cfg->saved->n_endpoints; i++) {
        const struct pv_saved_endpoint *x = &cfg->saved->endpoints[i];
        struct pv_peer *p = pv_peers_by_pk(r->node->peers, x->node);
        if (p != NULL)
            load(r, p, &x->addr);
        else
            keep(r, x->node, NULL);
    }
    return PV_OK;
}

/* The store is told, or a restart would bring it back: with the next timeout, since it need not be
 * when all are forgotten. Without memory the next start finds that it is nobody's. */
static void on_member_gone(void *part, const uint8_t *pk, pv_ns now)
{
    struct recall *r = part;
    const struct pv_peer *p = pv_peers_by_pk(r->node->peers, pk);
    struct kept *k = p == NULL ? NULL : find(p);
    if (k == NULL || k->forgotten)
        return;
    leave_place(k);
    k->n = 0;
    k->forgotten = true;
    pv_heap_set(&r->stores, &k->store, PV_NEVER);
    (void)!pv_fifo_put(&r->forgotten, pk, PV_SIGN_PK_LEN);
}

/* --- what peers see of us -------------------------------------------------------------------- */

/* Through another NAT mapping than theirs an address may be wrong: what one peer told stands until
 * that peer is gone, so that two that see different ones do not make it change to and fro. */
static struct pv_told *slot_for(struct recall *r, const struct pv_peer *p)
{
    struct pv_told *free_slot = NULL;
    for (size_t i = 0; i < PV_NODE_TOLD; i++) {
        struct pv_told *t = &r->node->ways.told[i];
        const struct pv_peer *q = t->peer == 0 ? NULL : pv_peers_by_id(r->node->peers, t->peer);
        if (q == p)
            return t;
        if (q == NULL || !pv_peer_has_path(q))
            free_slot = t;
    }
    return free_slot;
}

/* Only a peer reached directly and over the main socket tells something about the NAT binding that
 * others can use. Our own overlay ranges are refused, since such an address would lead into the
 * tunnel. */
static void learn_mapped(struct recall *r, const struct pv_peer *p)
{
    struct pv_ice_path path;
    if (r->node->common->signalling || p->ice == NULL || !pv_peer_has_path(p) ||
        p->path_state == PV_PATH_STATE_TRIAL || p->path.kind != PV_CARRIER_UDP ||
        p->path.sock != 0 || r->node->roster == NULL || pv_ice_selected(p->ice, &path) != PV_OK ||
        path.mapped.family == PV_AF_NONE || pv_addr_equal(&path.mapped, &path.carrier.local) ||
        !pv_addr_is_usable_remote(&path.mapped) || pv_node_leads_in(r->node, &path.mapped))
        return;
    struct pv_told *t = slot_for(r, p);
    if (t == NULL || (t->peer == p->id && pv_addr_equal(&t->mapped, &path.mapped)))
        return;
    for (size_t i = 0; i < PV_NODE_TOLD; i++) {
        if (r->node->ways.told[i].peer != 0 && &r->node->ways.told[i] != t &&
            pv_addr_equal(&r->node->ways.told[i].mapped, &path.mapped))
            return;
    }
    *t = (struct pv_told){.peer = p->id, .local = path.carrier.local, .mapped = path.mapped};
    pv_node_raise(r->node, PV_FACT_TOLD);
}

/* Servers tell the truth better: what peers said is forgotten. */
static void forget_told(struct recall *r)
{
    for (size_t i = 0; i < PV_NODE_TOLD; i++) {
        if (r->node->ways.told[i].peer != 0)
            pv_node_raise(r->node, PV_FACT_TOLD);
        r->node->ways.told[i].peer = 0;
    }
}

/* --- whom to try ----------------------------------------------------------------------------- */

static bool is_waiting(const struct kept *k, pv_ns now)
{
    return k->place == 0 && !k->reached && k->n > 0 && now < k->reason_at + PV_RECALL_FOR;
}

/* Wanted ones first, then by turn, then who was reached last. A user's wish comes before fairness,
 * and fairness before the chance to succeed. */
static bool goes_before(const struct kept *x, const struct kept *y)
{
    if (x->wanted != y->wanted)
        return x->wanted;
    if (x->turn != y->turn)
        return x->turn < y->turn;
    return x->addrs[0].seen_s > y->addrs[0].seen_s;
}

static void take_place(struct recall *r, struct kept *k, size_t at, pv_ns now)
{
    r->places[at] = k;
    k->place = at + 1;
    k->trials = 0;
    /* The grace after the loss of the coordinator holds for all: often it is back at once. */
    k->next_at = now > r->away_from ? now : r->away_from;
    /* One that comes and goes is not tried more often than all others. */
    if (k->tried_at != 0 && k->next_at < k->tried_at + quick_after[1])
        k->next_at = k->tried_at + quick_after[1];
}

/* A free place, or for one that is wanted that of one who is not; PV_RECALL_AT_ONCE: there is none.
 */
static size_t place_for(struct recall *r, const struct kept *k)
{
    size_t at = 0;
    while (at < PV_RECALL_AT_ONCE && r->places[at] != NULL)
        at++;
    for (size_t i = 0; k->wanted && at == PV_RECALL_AT_ONCE && i < at; i++) {
        if (!r->places[i]->wanted) {
            leave_place(r->places[i]);
            at = i;
        }
    }
    return at;
}

/* It looks at all members, so it runs only after a change ("settled" is unset) and not with every
 * timeout. */
static void fill_places(struct recall *r, pv_ns now)
{
    while (r->away && !r->settled) {
        struct kept *best = NULL;
        for (struct kept *k = r->members; k != NULL; k = k->next) {
            if (is_waiting(k, now) && (best == NULL || goes_before(k, best)))
                best = k;
        }
        size_t at = best == NULL ? PV_RECALL_AT_ONCE : place_for(r, best);
        if (at == PV_RECALL_AT_ONCE)
            r->settled = true;
        else
            take_place(r, best, at, now);
    }
}

/* Somebody has a reason to be tried. */
static void give_reason(struct kept *k, pv_ns now)
{
    k->reason_at = now;
    k->turn = 0;
    k->recall->settled = false;
}

/* The coordinator left, or we are elsewhere: all begin again, with quick trials. */
static void give_all_reason(struct recall *r, pv_ns now)
{
    for (struct kept *k = r->members; k != NULL; k = k->next) {
        leave_place(k);
        k->wanted = k->wanted && now < k->reason_at + PV_RECALL_FOR;
        give_reason(k, now);
    }
}

static void set_reached(struct kept *k, bool reached, pv_ns now)
{
    if (k->reached == reached)
        return;
    k->reached = reached;
    k->wanted = k->wanted && !reached;
    leave_place(k);
    if (!reached)
        give_reason(k, now);
}

/* Somebody wants to talk to it. */
static void want(struct kept *k, pv_ns now)
{
    bool renewed = k->wanted && now < k->reason_at + PV_RECALL_EVERY;
    if (k->wanted && (k->place != 0 || is_waiting(k, now))) {
        k->reason_at = now; /* no news: nobody else's place is in question */
    } else {
        k->wanted = true;
        give_reason(k, now);
    }
    /* A wish of another moment than the last: quick trials again. */
    if (!renewed && k->place != 0 && k->trials >= QUICK && now >= k->tried_at + PV_RECALL_ANEW) {
        k->trials = 0;
        k->next_at = now;
    }
}

static bool others_wait(const struct recall *r, pv_ns now)
{
    for (const struct kept *k = r->members; k != NULL; k = k->next) {
        if (is_waiting(k, now))
            return true;
    }
    return false;
}

/* --- trying ---------------------------------------------------------------------------------- */

/* One initiation to all addresses: whichever is right answers, and the response belongs to the same
 * handshake. */
static void try_addresses(struct recall *r, const struct kept *k, pv_ns now)
{
    struct trial item;
    if (pv_peer_trial(k->peer, now, item.msg) != PV_OK)
        return;
    for (size_t i = 0; i < k->n && r->trials.n < MAX_TRIALS; i++) {
        item.dst = k->addrs[i].addr;
        (void)!pv_fifo_put(&r->trials, &item, sizeof(item));
    }
    pv_trace_add(&k->peer->trace, now, "no coordinator: handshake to its cached address %s%s",
                 PV_ADDR_STR(&k->addrs[0].addr), k->n > 1 ? " and older ones" : "");
    pv_peers_touch(r->node->peers, k->peer, now);
}

/* The next that is due; false: there is none. */
static bool try_next(struct recall *r, pv_ns now)
{
    fill_places(r, now);
    for (size_t i = 0; r->away && i < PV_RECALL_AT_ONCE; i++) {
        struct kept *k = r->places[i];
        if (k == NULL || now < k->next_at)
            continue;
        k->tried_at = now;
        k->trials++;
        k->next_at = now + (k->trials < QUICK ? quick_after[k->trials] : PV_RECALL_EVERY);
        /* Somebody who is wanted keeps the place: a user is waiting. */
        if (k->trials >= TURN && !k->wanted && others_wait(r, now)) {
            k->turn = ++r->turns;
            leave_place(k);
        }
        try_addresses(r, k, now);
        return true;
    }
    return false;
}

static bool poll_transmit(void *part, struct pv_engine_transmit *ret_tx)
{
    struct recall *r = part;
    struct trial item;
    if (pv_fifo_take(&r->trials, &item) != PV_OK)
        return false;
    (void)pv_transmit_to(ret_tx, &item.dst, item.msg, sizeof(item.msg));
    return true;
}

/* --- as a part ------------------------------------------------------------------------------- */

static void free_recall(void *part)
{
    struct recall *r = part;
    pv_peers_drop_slots(r->node->peers, &pv_part_recall);
    pv_fifo_clear(&r->forgotten);
    pv_fifo_clear(&r->trials);
    pv_heap_done(&r->stores);
}

/* The store forgets a network that is left all by itself. */
static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct recall *r = part;
    if ((facts & PV_FACT_NETWORK) != 0 && r->node->roster == NULL)
        pv_fifo_clear(&r->forgotten);
    if ((facts & PV_FACT_ONLINE) != 0)
        forget_told(r);
    if ((facts & PV_FACT_MOVED) != 0 && r->away)
        give_all_reason(r, now);
    for (struct kept *k = (facts & PV_FACT_STORE) != 0 ? r->members : NULL; k != NULL; k = k->next)
        store_at(k, now);
}

/* Is it reached, wanted, and what does it see of us? */
static void on_peer(void *part, struct pv_peer *p, unsigned facts, pv_ns now)
{
    struct recall *r = part;
    if (p->is_static)
        return;
    if ((facts & PV_PEER_FACT_PATH) != 0)
        note_path(r, p, now);
    bool reached = pv_peer_reach(p) == PV_REACH_PATH;
    struct kept *k = reached ? get(r, p) : find(p);
    if (k != NULL)
        set_reached(k, reached, now);
    if (k != NULL && !reached && k->n > 0 && pv_peer_is_wanted(p, now))
        want(k, now);
    learn_mapped(r, p);
}

/* An applicant's connection is not for this network. */
bool pv_recall_is_away(const struct pv_node *n)
{
    return n->up && !n->removed && n->coord_info.as_member && !n->online && pv_node_self(n) != NULL;
}

static void look_who_is_away(struct recall *r, pv_ns now)
{
    bool away = pv_recall_is_away(r->node);
    if (away == r->away)
        return;
    r->away = away;
    r->away_from = now + PV_RECALL_GRACE;
    r->away_since_s = away ? pv_node_wall_s(r->node, now) : 0;
    give_all_reason(r, now);
}

static void run(void *part, pv_ns now)
{
    struct recall *r = part;
    struct pv_heap_node *due;
    uint8_t pk[PV_SIGN_PK_LEN];
    look_who_is_away(r, now);
    for (size_t i = 0; i < PV_RECALL_AT_ONCE; i++) {
        struct kept *k = r->places[i];
        if (k != NULL && now >= k->reason_at + PV_RECALL_FOR) {
            k->wanted = false;
            leave_place(k);
        }
    }
    while (try_next(r, now))
        continue;
    /* First: one of them may be a member again, and reached. */
    while (pv_fifo_take(&r->forgotten, pk) == PV_OK)
        keep(r, pk, NULL);
    while ((due = pv_heap_pop_due(&r->stores, now)) != NULL) {
        struct kept *k = PV_CONTAINER_OF(due, struct kept, store);
        k->stored_at = now;
        keep(r, k->peer->pk, k);
    }
}

static pv_ns next_timeout(const void *part)
{
    const struct recall *r = part;
    if ((r->away && !r->settled) || r->forgotten.n > 0)
        return 0;
    pv_ns next = pv_heap_next(&r->stores);
    for (size_t i = 0; i < PV_RECALL_AT_ONCE; i++) {
        const struct kept *k = r->places[i];
        if (k != NULL)
            next = pv_min_ns(next, pv_min_ns(k->next_at, k->reason_at + PV_RECALL_FOR));
    }
    return next;
}

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct recall *r = part;
    st->s.away_since_s = r->away_since_s;
    if (r->away_since_s != 0)
        st->s.reached_without = (unsigned)pv_peers_count_reached(r->node->peers);
}

const struct pv_part pv_part_recall = {
    .name = "recall",
    .after = {"membership"}, /* which restores the members whose addresses it takes up */
    .peer_size = sizeof(struct kept),
    .end_peer = end_peer,
    .size = PV_PART_SIZE(struct recall),
    .free = free_recall,
    .restore = load_addresses,
    .on_facts = on_facts,
    .on_peer = on_peer,
    .on_member_gone = on_member_gone,
    .run = run,
    .next_timeout = next_timeout,
    .poll_transmit = poll_transmit,
    .status = show,
};
