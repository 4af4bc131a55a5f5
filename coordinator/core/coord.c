/* SPDX-License-Identifier: MIT */
/* The control half as a whole: it is made and freed here, connections are accepted, the store's
 * answers come back, networks rest, and time ends what is too slow. */
#include "coordinator/core/coord.h"

#include <stdlib.h>
#include <string.h>

#include "coordinator/core/coord_int.h"
#include "crypto/ct.h"

enum {
    SOURCE_SLOTS = 4096, /* ours: source networks remembered for rates; older ones give way */
    NODES_MAX = 1 << 20, /* ours: nodes online or asked for; 1024 for each of 1000 connections */
    TIMERS_A_TURN = 256, /* ours: connections that the clock ends before others are served */
    /* Ours: for how many of them a member counts. Others may be subscribed to it by thousands. */
    TIMERS_MEMBER = 32,
    SK_LEN = PV_SIGN_SK_LEN + PV_DH_LEN, /* signing key, then the same key for handshakes */
    GUARDED_LEN = SK_LEN + PV_CTL_SECRET_LEN,
};

/* --- life ------------------------------------------------------------------------------------ */

/* The relay half is made even when relaying is off: it answers Binding requests all the same. */
static int new_relay(struct pv_coord *c, const struct pv_coord_config *cfg)
{
    static const uint8_t doors[] = "p2pvpn relay doors";
    struct pv_turns_config relay = {0};
    if (cfg->relay != NULL)
        relay = *cfg->relay;
    relay.coordinator_pk = cfg->sk + PV_SIGN_SEED_LEN;
    pv_blake2b(relay.door_key, pv_view(doors, sizeof(doors)), pv_view(cfg->sk, PV_SIGN_SEED_LEN),
               pv_view(NULL, 0));
    int r = pv_relaycore_new(&c->relay, &relay, &c->rng);
    pv_wipe(relay.door_key, sizeof(relay.door_key));
    if (r == PV_OK)
        c->link = pv_relaycore_link(c->relay);
    return r;
}

static struct pv_coord_limits fill_limits(const struct pv_coord_limits *given)
{
#define FILLED(name, standard) .name = given->name == 0 ? (standard) : given->name,
    return (struct pv_coord_limits){PV_COORD_LIMITS(FILLED)};
#undef FILLED
}

/* Everything that can fail comes before the keys are copied, so a half-made machine holds none. */
int pv_coord_new(struct pv_coord **ret_coord, const struct pv_coord_config *cfg,
                 const struct pv_rng *rng, const struct pv_log *log)
{
    struct pv_coord *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return PV_ERR_NOMEM;
    c->rng = *rng;
    c->log = log;
    c->limits = fill_limits(&cfg->limits);
    c->open = cfg->open;
    c->kem = cfg->kem;
    c->stun = cfg->stun;
    c->n_stun = cfg->n_stun;
    c->map = pv_map_make(rng, c->limits.conns);
    pv_heap_init(&c->timers);
    pv_heap_init(&c->rests);
    pv_broker_init(&c->broker, NODES_MAX, rng);
    pv_copies_init(&c->copies);
    /* One network may take half, so that the other half is for all others also in quiet times. */
    pv_places_init(&c->strangers, c->limits.guests, (c->limits.guests + 1) / 2, rng);
    pv_places_init(&c->members_places, c->limits.regulars, c->limits.regulars, rng);
    c->sk = pv_secret_alloc(GUARDED_LEN);
    int r = c->sk == NULL ? PV_ERR_NOMEM : pv_regulars_init(&c->regulars, rng);
    if (r == PV_OK)
        r = pv_bucket_table_new(&c->sources, SOURCE_SLOTS, c->limits.source_rate,
                                c->limits.source_burst, rng);
    if (r == PV_OK)
        r = pv_bucket_table_new(&c->creates, SOURCE_SLOTS, c->limits.open_rate,
                                c->limits.open_burst, rng);
    if (r == PV_OK)
        r = new_relay(c, cfg);
    if (r == PV_OK)
        r = pv_homes_init(&c->homes, cfg->homes);
    if (r < 0) {
        pv_coord_free(c);
        return r;
    }
    memcpy(c->sk, cfg->sk, PV_SIGN_SK_LEN);
    pv_sign_sk_to_dh(c->sk, c->sk + PV_SIGN_SK_LEN);
    pv_dh_public(c->sk + PV_SIGN_SK_LEN, c->dh_pk);
    c->secret = c->sk + SK_LEN;
    memcpy(c->secret, cfg->secret, PV_CTL_SECRET_LEN);
    pv_registry_init(&c->registry, c->sk, c->limits.networks, rng, log);
    c->registry.limits = cfg->net_limits;
    c->registry.steps = c->limits.steps;
    *ret_coord = c;
    return PV_OK;
}

/* Connections go first: they stand in the lists of everything else. The relay's thread has ended by
 * now (coord.h). */
struct pv_coord *pv_coord_free(struct pv_coord *c)
{
    struct pv_conn *s;
    struct pv_conn *next;
    if (c == NULL)
        return NULL;
    HASH_ITER(hh, c->conns, s, next)
    {
        pv_coord_forget(c, s, c->wall_at);
    }
    pv_broker_done(&c->broker);
    pv_copies_done(&c->copies);
    pv_homes_done(&c->homes);
    pv_pages_done(&c->pages);
    pv_registry_done(&c->registry);
    pv_places_done(&c->strangers);
    pv_places_done(&c->members_places);
    pv_regulars_done(&c->regulars);
    pv_bucket_table_free(c->sources);
    pv_bucket_table_free(c->creates);
    pv_relaycore_free(c->relay);
    pv_heap_done(&c->timers);
    pv_heap_done(&c->rests);
    pv_secret_free(c->sk);
    free(c);
    return NULL;
}

int pv_coord_load(struct pv_coord *c, struct pv_storerow *row)
{
    return pv_registry_load(&c->registry, row);
}

/* The first call fixes the epoch of the receipts, so it comes after everything was loaded: an epoch
 * has to be above every one in the store. */
void pv_coord_set_wall(struct pv_coord *c, uint64_t wall_us, pv_ns now)
{
    c->wall_us = wall_us;
    c->wall_at = now;
    if (!c->started)
        pv_registry_start(&c->registry, wall_us / 1000000u);
    if (!c->started && c->first_epoch != 0)
        c->registry.epoch = c->first_epoch;
    c->started = true;
}

void pv_coord_set_tls(struct pv_coord *c, const struct pv_ctl_tls *tls)
{
    c->has_tls = tls != NULL;
    if (tls != NULL)
        c->tls = *tls;
}

/* --- connections ----------------------------------------------------------------------------- */

/* Thousands of members behind one address come back at once when the coordinator was restarted:
 * more than one source may bring. Those of addresses where members came from lately may share so
 * much beyond that; each gives it back to its source when it turns out to be a member. */
static bool take_of_crowd(struct pv_coord *c, const struct pv_addr *source, pv_ns now)
{
    uint32_t burst = c->limits.conns / 2;
    return pv_regulars_has(&c->regulars, source, now) &&
           pv_bucket_take(&c->crowd, burst / PV_CNET_RETURN_S, burst, 1, now);
}

/* May one more connection come in beside n? The source's bucket is asked last, so a coordinator
 * that is full does not use it up. */
static bool may_accept(struct pv_coord *c, size_t n, const struct pv_addr *source, pv_ns now)
{
    if (n >= c->limits.conns)
        pv_coord_count(c, PV_COORD_LIMIT_CONNS);
    else if (!pv_bucket_table_take(c->sources, source, 1, now) && !take_of_crowd(c, source, now))
        pv_coord_count(c, PV_COORD_LIMIT_SOURCE);
    else
        return !c->ending;
    return false;
}

/* Room in the heap of timers is made here, once, so setting a timer cannot fail later. */
int pv_coord_accept(struct pv_coord *c, uint64_t id, const struct pv_addr *source, pv_ns now)
{
    struct pv_conn *s = NULL;
    const struct pv_conn_keys keys = {.sk = c->sk + PV_SIGN_SK_LEN, .pk = c->dh_pk};
    size_t n = HASH_CNT(hh, c->conns);
    if (!may_accept(c, n, source, now))
        return PV_ERR_LIMIT;
    int r = pv_heap_reserve(&c->timers, n + 1);
    if (r == PV_OK)
        r = pv_conn_new(&s, id, source, &keys, &c->rng, now);
    if (r < 0)
        return r;
    PV_MAP_ADD(&c->map, c->conns, id, s, r);
    if (r < 0) {
        pv_conn_free(s);
        return r;
    }
    if (pv_coord_seat(c, s, now) < 0) {
        PV_MAP_DEL(c->conns, s);
        pv_conn_free(s);
        return PV_ERR_NOMEM;
    }
    c->stats.accepted++;
    pv_heap_set(&c->timers, &s->timer, pv_conn_deadline(s));
    return PV_OK;
}

void pv_coord_speaks_tls(struct pv_coord *c, uint64_t id)
{
    struct pv_conn *s = pv_coord_find(c, id);
    if (s != NULL)
        s->tls = true;
}

void pv_coord_came_to(struct pv_coord *c, uint64_t id, const struct pv_addr *local)
{
    struct pv_conn *s = pv_coord_find(c, id);
    if (s != NULL)
        s->local = pv_addr_unmap(*local);
}

bool pv_coord_is_regular(const struct pv_coord *c, const struct pv_addr *source, pv_ns now)
{
    return pv_regulars_has(&c->regulars, source, now);
}

/* Charges the network that was served with the time it took. Its debt shrinks with time, so that
 * every network always has its share. Without memory for the debt the network goes on. */
void pv_coord_bill(struct pv_coord *c, pv_ns spent, pv_ns now)
{
    struct pv_cnet *net = c->billed;
    c->billed = NULL;
    if (net == NULL || net->resting)
        return;
    pv_ns paid = (now - net->debt_at) / PV_COORD_SHARE;
    net->debt = (net->debt > paid ? net->debt - paid : 0) + spent;
    net->debt_at = now;
    if (net->debt < PV_COORD_DEBT || pv_heap_reserve(&c->rests, c->rests.len + 1) < 0)
        return;
    net->resting = true;
    pv_heap_set(&c->rests, &net->rest, now + (PV_COORD_SHARE - 1) * net->debt);
    net->debt = 0;
}

/* Its members go on as each has its turn in poll_ready: the array must not change in this loop. */
static void end_rest(struct pv_coord *c, struct pv_cnet *net, pv_ns now)
{
    net->resting = false;
    pv_registry_rested(&c->registry, now);
    for (size_t i = 0; i < net->n_members; i++) {
        struct pv_conn *s = net->members[i];
        if (!s->held_off && s->held == NULL && s->in_len == 0)
            continue;
        s->woken = true;
        pv_coord_mark_ready(c, s);
    }
}

bool pv_coord_rests(const struct pv_coord *c)
{
    return pv_heap_next(&c->rests) != PV_NEVER;
}

void pv_coord_idle(struct pv_coord *c, pv_ns now)
{
    struct pv_heap_node *node;
    while ((node = pv_heap_pop_due(&c->rests, PV_NEVER - 1)) != NULL)
        end_rest(c, PV_CONTAINER_OF(node, struct pv_cnet, rest), now);
}

bool pv_coord_is_member(const struct pv_coord *c, uint64_t id)
{
    const struct pv_conn *s = pv_coord_find(c, id);
    return s != NULL && s->state == PV_CONN_MEMBER;
}

struct pv_view pv_coord_out(struct pv_coord *c, uint64_t id)
{
    struct pv_conn *s = pv_coord_find(c, id);
    return s == NULL || s->dead ? pv_view(NULL, 0) : pv_conn_out(s);
}

void pv_coord_wrote(struct pv_coord *c, uint64_t id, size_t n, pv_ns now)
{
    struct pv_conn *s = pv_coord_find(c, id);
    if (s == NULL)
        return;
    bool waited = s->state != PV_CONN_MEMBER || s->n_dirty > 0 || s->held_off;
    pv_conn_wrote(s, n, now);
    if (s->log.stalled && s->state == PV_CONN_MEMBER) {
        s->log.stalled = false;
        pv_bulk_want(c, s, false);
    }
    pv_coord_resume(c, s, now);
    if (waited) /* there may be more to say, or it may be closed or read now */
        pv_coord_mark_ready(c, s);
    pv_coord_settle(c, now);
}

void pv_coord_closed(struct pv_coord *c, uint64_t id, pv_ns now)
{
    struct pv_conn *s = pv_coord_find(c, id);
    if (s != NULL)
        pv_coord_forget(c, s, now);
}

bool pv_coord_is_urgent(const struct pv_coord *c)
{
    return c->ready_head != NULL;
}

bool pv_coord_has_bulk(const struct pv_coord *c)
{
    return c->bulk_head != NULL;
}

size_t pv_coord_strangers(const struct pv_coord *c)
{
    return c->strangers.n + c->members_places.n;
}

/* A page for whoever has its turn, and what its next request for one waited for. NULL: nobody
 * waits for statements. */
static struct pv_conn *send_bulk(struct pv_coord *c, pv_ns now)
{
    struct pv_conn *s = pv_bulk_next(c);
    if (s == NULL)
        return NULL;
    pv_bulk_send_page(c, s, now);
    pv_coord_mark_ready(c, s); /* what it does now may mark it, too */
    pv_coord_resume(c, s, now);
    if (pv_bulk_is_behind(s) && !s->log.stalled && !s->dead && s->state == PV_CONN_MEMBER)
        pv_bulk_want(c, s, false);
    pv_coord_settle(c, now);
    return s;
}

/* Pushes are made here, when the owner is about to write anyway: several changes in a turn are sent
 * as one, as far as there is room. Statements come when nothing else is to be sent. */
int pv_coord_poll_ready(struct pv_coord *c, struct pv_coord_ready *ret_ready, pv_ns now)
{
    struct pv_conn *s = c->ready_head;
    ret_ready->bulk = s == NULL;
    if (s == NULL)
        s = send_bulk(c, now);
    if (s == NULL)
        return PV_ERR_AGAIN;
    if (s->woken) { /* still in the list: what it does may mark it again */
        s->woken = false;
        pv_coord_resume(c, s, now);
        pv_coord_settle(c, now);
    }
    pv_coord_unmark_ready(c, s);
    if (s->state == PV_CONN_MEMBER)
        pv_request_push(s);
    if (s->state != PV_CONN_CLOSING && s->dead)
        pv_coord_drop(c, s, now);
    ret_ready->id = s->id;
    ret_ready->kind = PV_COORD_READY_IO;
    if (s->state == PV_CONN_CLOSING && (s->dead || pv_conn_out(s).len == 0)) {
        ret_ready->kind = PV_COORD_READY_CLOSE;
        pv_coord_forget(c, s, now);
    }
    return PV_OK;
}

/* --- store operations ------------------------------------------------------------------------ */

/* The registry's operations come before copies, as members wait for them. */
int pv_coord_poll_job(struct pv_coord *c, struct pv_storeop **ret_op)
{
    int r = pv_registry_poll_job(&c->registry, ret_op);
    if (r < 0)
        r = pv_copies_poll_job(&c->copies, ret_op);
    return r == PV_OK ? r : pv_homes_poll_job(&c->homes, ret_op);
}

/* Answers the request for a copy, and tells a receiver who came online meanwhile, or the copy would
 * lie there until the next visit. */
static void copy_stored(struct pv_coord *c, const struct pv_storeop_result *result)
{
    struct pv_copies_wait *wait = pv_copies_take(&c->copies, result->id);
    if (wait == NULL)
        return;
    struct pv_ctl_msg m = pv_copies_answer(wait, result);
    const struct pv_ctl_msg news = {.kind = PV_CTL_PUSH, .type = PV_CTL_COPY};
    struct pv_conn *s = pv_coord_find(c, wait->conn);
    struct pv_conn *to =
        m.type == PV_CTL_DONE ? pv_broker_find(&c->broker, wait->net, wait->to) : NULL;
    if (m.type == PV_CTL_ERROR && m.u.failure.error == PV_CTL_E_FULL)
        pv_coord_count(c, PV_COORD_LIMIT_COPIES);
    if (s != NULL && s->state == PV_CONN_MEMBER) {
        if (pv_conn_send(s, &m) < 0)
            s->dead = true;
        pv_coord_mark_ready(c, s);
    }
    if (to != NULL && pv_conn_has_push_room(to) && pv_conn_send(to, &news) == PV_OK)
        pv_coord_mark_ready(c, to);
    free(wait);
}

/* The number says to whom an answer belongs (PV_COPIES_OP). */
void pv_coord_handle_job(struct pv_coord *c, const struct pv_storeop_result *result, pv_ns now)
{
    if ((result->id & PV_HOMES_OP) != 0 && (result->id & PV_COPIES_OP) == 0) {
        pv_coord_home_answered(c, result, now);
        pv_coord_settle(c, now);
        return;
    }
    if ((result->id & PV_COPIES_OP) != 0) {
        copy_stored(c, result);
        return;
    }
    c->billed = pv_registry_handle_job(&c->registry, result, pv_coord_wall(c, now), now);
    pv_coord_settle(c, now);
}

/* --- time and end ---------------------------------------------------------------------------- */

/* A member's timer is not moved for each byte, so it is looked at here whether any came. The relay
 * is asked about a connection that relays; the connection ends when its allocation has. */
static void conn_due(struct pv_coord *c, struct pv_conn *s, pv_ns now)
{
    pv_ns deadline = pv_conn_deadline(s);
    if (deadline > now) { /* bytes came since the timer was set */
        pv_heap_set(&c->timers, &s->timer, deadline);
        return;
    }
    switch (s->state) {
    case PV_CONN_RELAYING:
        pv_relaylink_ask(c->link, s->id);
        pv_heap_set(&c->timers, &s->timer, now + PV_S(PV_COORD_HELLO_S));
        break;
    case PV_CONN_NEW:
    case PV_CONN_STUN:
    case PV_CONN_OPENING:
    case PV_CONN_HELLO:
    case PV_CONN_SEEKING:
        pv_coord_end(c, s, PV_CTL_E_TIMEOUT, "no hello came in time", now);
        break;
    case PV_CONN_GUEST:
        pv_coord_end(c, s, PV_CTL_E_TIMEOUT, "a guest has 30 seconds", now);
        break;
    case PV_CONN_MEMBER:
        pv_coord_end(c, s, PV_CTL_E_TIMEOUT, "nothing was heard for 25 seconds", now);
        break;
    case PV_CONN_CLOSING:
        s->dead = true;
        pv_coord_mark_ready(c, s);
        break;
    }
}

void pv_coord_handle_timeout(struct pv_coord *c, pv_ns now)
{
    struct pv_heap_node *node;
    while ((node = pv_heap_pop_due(&c->rests, now)) != NULL)
        end_rest(c, PV_CONTAINER_OF(node, struct pv_cnet, rest), now);
    c->billed = NULL;
    if (c->registry.retry_at <= now) {
        c->billed = pv_registry_retry(&c->registry, pv_coord_wall(c, now), now);
        pv_coord_settle(c, now);
    }
    if (c->billed == NULL)
        c->billed = pv_gone_handle_timeout(c, now);
    pv_pages_handle_timeout(&c->pages, now);
    pv_coord_homes_timeout(c, now);
    for (int i = 0; i < TIMERS_A_TURN && (node = pv_heap_pop_due(&c->timers, now)) != NULL; i++) {
        struct pv_conn *s = PV_CONTAINER_OF(node, struct pv_conn, timer);
        i += s->state == PV_CONN_MEMBER ? TIMERS_MEMBER - 1 : 0;
        conn_due(c, s, now);
    }
}

pv_ns pv_coord_next_timeout(const struct pv_coord *c)
{
    pv_ns next = pv_min_ns(c->registry.retry_at, pv_coord_homes_next(c));
    if (pv_gone_next(c) != NULL)
        return 0;
    return pv_min_ns(pv_min_ns(next, pv_pages_next_timeout(&c->pages)),
                     pv_min_ns(pv_heap_next(&c->timers), pv_heap_next(&c->rests)));
}

/* Each connection gets its bye; poll_ready closes them as they are written out, or their time to
 * linger ends. */
void pv_coord_shutdown(struct pv_coord *c, pv_ns now)
{
    c->ending = true;
    for (struct pv_conn *s = c->conns; s != NULL; s = s->hh.next)
        pv_coord_end(c, s, PV_CTL_E_SHUTDOWN, "the coordinator is going down; reconnect", now);
}

/* --- figures --------------------------------------------------------------------------------- */

/* The coordinator's counters, and the names of its limits in `status` and for Prometheus. */

const char *pv_coord_limit_name(enum pv_coord_limit limit)
{
    static const char *const names[PV_COORD_LIMITS] = {
        [PV_COORD_LIMIT_CONNS] = "connections",
        [PV_COORD_LIMIT_GUESTS] = "guests",
        [PV_COORD_LIMIT_SOURCE] = "connections_of_a_source",
        [PV_COORD_LIMIT_REQUESTS] = "requests",
        [PV_COORD_LIMIT_NETWORK] = "changes_of_a_network",
        [PV_COORD_LIMIT_SIGNALS] = "signals",
        [PV_COORD_LIMIT_COPIES] = "stored_copies",
        [PV_COORD_LIMIT_CREATES] = "new_networks",
        [PV_COORD_LIMIT_SUBSCRIPTIONS] = "subscriptions",
        [PV_COORD_LIMIT_FULL] = "networks_or_members",
    };
    return names[limit];
}

/* Numbers that follow from what is held (connections, nodes, operations) are counted here; the
 * others are kept as things happen. */
void pv_coord_stats(const struct pv_coord *c, struct pv_coord_stats *ret_stats)
{
    *ret_stats = c->stats;
    for (size_t i = 0; i < PV_COORD_LIMITS; i++)
        ret_stats->refused += c->stats.limits[i];
    ret_stats->conns = HASH_CNT(hh, c->conns);
    ret_stats->online = c->broker.online;
    ret_stats->networks = HASH_CNT(hh, c->registry.nets);
    ret_stats->jobs = c->registry.n_ops + c->copies.n;
    ret_stats->statements = 0;
    for (const struct pv_cnet *n = c->registry.nets; n != NULL; n = n->hh.next)
        ret_stats->statements += n->log_len - n->n_empty;
}

/* Every connection is in exactly one kind, so they add up to `open`; `hybrid` is a part of two. */
void pv_coord_kinds(const struct pv_coord *c, struct pv_coord_kinds *ret_kinds)
{
    struct pv_coord_kinds k = {.members = 0};
    for (const struct pv_conn *s = c->conns; s != NULL; s = s->hh.next) {
        if (s->state == PV_CONN_GUEST || s->state == PV_CONN_MEMBER)
            k.hybrid += pv_control_is_hybrid(s->control) ? 1 : 0;
        switch (s->state) {
        case PV_CONN_NEW:
        case PV_CONN_OPENING:
        case PV_CONN_HELLO:
        case PV_CONN_SEEKING:
            k.opening++;
            break;
        case PV_CONN_STUN:
            k.stun++;
            break;
        case PV_CONN_RELAYING:
            k.turn++;
            break;
        case PV_CONN_GUEST:
            k.guests++;
            break;
        case PV_CONN_MEMBER:
            k.members++;
            break;
        case PV_CONN_CLOSING:
            k.closing++;
            break;
        }
    }
    *ret_kinds = k;
}

/* --- networks -------------------------------------------------------------------------------- */

/* The operator's calls about the networks on a coordinator: look at them, end one, and change the
 * secret that makes new ones. */

void pv_coord_networks(const struct pv_coord *c, pv_ns now,
                       void (*each)(void *ctx, const struct pv_coord_network *net), void *ctx)
{
    for (const struct pv_cnet *n = c->registry.nets; n != NULL; n = n->hh.next) {
        struct pv_coord_network out = {.id = n->id,
                                       .name = pv_roster_network(n->roster)->name,
                                       .members = pv_roster_count(n->roster),
                                       .online = n->n_members,
                                       .statements = n->log_len - n->n_empty,
                                       .seen_s =
                                           n->n_members > 0 ? pv_coord_wall(c, now) : n->seen_s};
        for (size_t i = 0; i < n->log_len; i++)
            out.bytes += n->log[i].entry == NULL ? 0 : n->log[i].entry->st.raw.len;
        each(ctx, &out);
    }
}

void pv_coord_set_secret(struct pv_coord *c, const uint8_t secret[static PV_CTL_SECRET_LEN])
{
    memcpy(c->secret, secret, PV_CTL_SECRET_LEN);
}

void pv_coord_set_policy(struct pv_coord *c, const struct pv_coord_policy *policy)
{
    c->open = policy->open;
    c->stun = policy->stun;
    c->n_stun = policy->n_stun;
    pv_registry_set_limits(&c->registry, policy->net_limits);
    pv_relaylink_set_policy(c->link, policy->relay);
}

int pv_coord_drop_begin(struct pv_coord *c, const uint8_t id[static PV_NETWORK_ID_LEN])
{
    struct pv_cnet *net = pv_registry_find(&c->registry, id);
    if (net == NULL)
        return PV_ERR_NOT_FOUND;
    if (net->dropping)
        return PV_ERR_EXISTS;
    net->dropping = true;
    return PV_OK;
}

/* Guests who join it are sent away too. */
void pv_coord_drop_end(struct pv_coord *c, const uint8_t id[static PV_NETWORK_ID_LEN], bool done,
                       pv_ns now)
{
    struct pv_cnet *net = pv_registry_find(&c->registry, id);
    if (net == NULL)
        return;
    if (!done) {
        net->dropping = false;
        return;
    }
    for (struct pv_conn *s = c->conns; s != NULL; s = s->hh.next) {
        if (s->net == net && s->state != PV_CONN_CLOSING)
            pv_coord_end(c, s, PV_CTL_E_UNKNOWN_NETWORK,
                         "this coordinator does not serve that network any more", now);
    }
    pv_coord_forget_net(c, net);
}

/* --- the relay half -------------------------------------------------------------------------- */

/* The control half's end of the link to the relay: answers and data for connections that speak STUN
 * or TURN. */

enum {
    NEWS_A_TURN = 256, /* ours: messages for streams, then connections have their turn */
};

struct pv_relaycore *pv_coord_relay(struct pv_coord *c)
{
    return c->relay;
}

/* Counters only: any thread may read them, while everything else of the relay is its thread's. */
const struct pv_relaystats *pv_coord_relay_stats(const struct pv_coord *c)
{
    return pv_turns_counters(pv_relaycore_turns(c->relay));
}

bool pv_coord_wakes_relay(struct pv_coord *c)
{
    return pv_relaylink_take_wake_relay(c->link);
}

/* A client with an allocation has shown who it is: it is no guest, and its connection lives as long
 * as the allocation. One that lost it gets as long as a new connection to begin anew. */
static void note_holds(struct pv_coord *c, struct pv_conn *s, bool holds, pv_ns now)
{
    if (holds == (s->state == PV_CONN_RELAYING))
        return;
    s->state = holds ? PV_CONN_RELAYING : PV_CONN_STUN;
    if (holds) {
        pv_place_leave(&s->place);
        return;
    }
    if (pv_coord_seat(c, s, now) < 0)
        pv_coord_drop(c, s, now);
    pv_heap_set(&c->timers, &s->timer, now + PV_S(PV_COORD_HELLO_S));
}

/* One message of the relay about a connection: an answer or data to write, an order to end it, or
 * just whether it still holds an allocation. */
static void handle_news(struct pv_coord *c, struct pv_conn *s, const struct pv_relaynews *news,
                        pv_ns now)
{
    if (news->broken) {
        c->stats.failed++;
        pv_coord_drop(c, s, now);
        return;
    }
    note_holds(c, s, news->holds, now);
    if (s->dead)
        return;
    /* A message that does not fit is dropped, as on any full line. */
    if (pv_stunconn_put(s->stun, news->data) < 0)
        pv_relaylink_dropped(c->link);
    pv_coord_mark_ready(c, s);
}

/* Each message is taken out of the ring only when it has been copied to its connection, which may
 * be gone by now. */
bool pv_coord_handle_relay(struct pv_coord *c, pv_ns now)
{
    struct pv_relaynews news;
    for (int i = 0; i < NEWS_A_TURN; i++) {
        if (pv_relaylink_poll(c->link, &news) < 0)
            return true;
        struct pv_conn *s = pv_coord_find(c, news.stream);
        if (s != NULL && s->stun != NULL && !s->dead && s->state != PV_CONN_CLOSING)
            handle_news(c, s, &news, now);
        pv_relaylink_polled(c->link);
    }
    return false;
}
