/* SPDX-License-Identifier: MIT */
/* peers.c - the table of peers: coming, going, finding, deadlines, facts; what comes in for them
 * and leaves, and what they say in `status` and metrics. */
#include "daemon/core/peer/peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fifo.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "crypto/ct.h"
#include "daemon/core/nat/stunroute.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/peer/peer_int.h"
#include "daemon/core/peer/peer_show.h"
#include "proto/local/ctlapi.h"

enum {
    CHANGED = 64, /* ours: members whose former keys are known at a time */
    LEAVERS = 16, /* ours: that are seen off at a time; the next one hears nothing more */
};

/* A peer of the packet threads alone. */
struct leaver {
    uint32_t id;
    pv_ns until;
};

struct pv_peers {
    struct pv_node *node;
    struct pv_peers_common common; /* node.common */
    struct pv_map map;
    struct pv_peer *members; /* by identity key */
    struct pv_peer *statics[PV_ENGINE_MAX_STATIC];
    size_t n_statics;
    bool wants_phone_port;           /* of any of them */
    size_t n_phones;                 /* among members: those that this node carries */
    struct pv_prefix *static_routes; /* owned: allowed-ips of all static peers */
    size_t n_static_routes;
    size_t static_ends[PV_ENGINE_MAX_STATIC];     /* where those of each end in there */
    uint64_t static_yields[PV_ENGINE_MAX_STATIC]; /* bits: which of its own members have */
    struct pv_peer **by_slot; /* owned; the slot is the low half of the packet threads' id */
    size_t n_slots;
    struct pv_heap timers;
    /* In order of arrival, so that no peer is served twice before another one. */
    struct pv_peer *ready;     /* peers that may have datagrams to send */
    struct pv_peer *news;      /* peers with facts to deliver */
    struct pv_bucket hints;    /* ICMP errors that are looked at */
    uint32_t changed[CHANGED]; /* ids of members that changed their key last */
    size_t n_changed;          /* so many ever did; the oldest give way */
    struct leaver leavers[LEAVERS];
    size_t n_leavers; /* in the order in which they go */
};

static size_t slot_of(uint32_t id)
{
    return id & (PV_FP_MAX_PEERS - 1);
}

int pv_peers_new(struct pv_peers **ret_peers, struct pv_node *node)
{
    struct pv_peers *ps = calloc(1, sizeof(*ps));
    if (ps == NULL)
        return PV_ERR_NOMEM;
    int r = pv_bucket_table_new(&ps->common.blind, PV_ICE_BLIND_NETWORKS, PV_ICE_BLIND_A_SECOND,
                                PV_ICE_BLIND_AT_ONCE, &node->rng);
    if (r != PV_OK) {
        free(ps);
        return r;
    }
    ps->node = node;
    ps->map = pv_map_make(&node->rng, PV_PEER_MAX);
    pv_peers_common_init(&ps->common, node);
    pv_heap_init(&ps->timers);
    *ret_peers = ps;
    return PV_OK;
}

struct pv_peers *pv_peers_free(struct pv_peers *ps)
{
    if (ps == NULL)
        return NULL;
    struct pv_peer *p, *tmp;
    HASH_ITER(hh, ps->members, p, tmp) {
        PV_MAP_DEL(ps->members, p);
        pv_peer_free(p);
    }
    for (size_t i = 0; i < ps->n_statics; i++)
        pv_peer_free(ps->statics[i]);
    pv_fifo_clear(&ps->node->ways.injects);
    pv_heap_done(&ps->timers);
    free(ps->by_slot);
    free(ps->static_routes);
    pv_bucket_table_free(ps->common.blind);
    ps->node->common = NULL;
    free(ps);
    return NULL;
}

struct pv_peer_relayed pv_peers_relayed(const struct pv_peers *ps, uint16_t via)
{
    struct pv_peer_relayed sum = ps->node->common->relayed_gone[via];
    for (const struct pv_peer *p = NULL; (p = pv_peers_next(ps, p)) != NULL;)
        pv_peer_add_relayed(p, via, &sum);
    return sum;
}

void *pv_peers_kept(const struct pv_peers *ps, const uint8_t pk[static PV_SIGN_PK_LEN],
                    const struct pv_part *part, bool make)
{
    struct pv_peer *p = pv_peers_by_pk(ps, pk);
    if (p == NULL)
        return NULL;
    return make ? pv_peer_slot(p, part) : pv_peer_find_slot(p, part);
}

void pv_peers_drop_slots(struct pv_peers *ps, const struct pv_part *part)
{
    for (size_t i = 0; ps != NULL && i < ps->n_slots; i++) {
        if (ps->by_slot[i] != NULL)
            pv_peer_drop_slot(ps->by_slot[i], part);
    }
}

/* --- finding --------------------------------------------------------------------------------- */

struct pv_peer *pv_peers_by_id(const struct pv_peers *ps, uint32_t id)
{
    size_t slot = slot_of(id);
    struct pv_peer *p = slot < ps->n_slots ? ps->by_slot[slot] : NULL;
    return p != NULL && p->id == id ? p : NULL; /* a slot is used again, an id is not */
}

struct pv_peer *pv_peers_by_pk(const struct pv_peers *ps, const uint8_t pk[static PV_SIGN_PK_LEN])
{
    struct pv_peer *p;
    PV_MAP_FIND(&ps->map, ps->members, pk, sizeof(p->pk), p);
    return p;
}

/* The roster is asked, which has an index by transport key. Static peers, and members that changed
 * theirs a moment ago, are few. */
struct pv_peer *pv_peers_by_transport(const struct pv_peers *ps,
                                      const uint8_t key[static PV_DH_LEN], pv_ns now)
{
    const struct pv_roster *roster = ps->node->roster;
    const struct pv_member *m = roster == NULL ? NULL : pv_roster_by_transport(roster, key);
    if (m != NULL)
        return pv_peers_by_pk(ps, m->node);
    for (size_t i = 0; i < ps->n_statics; i++) {
        if (memcmp(ps->statics[i]->transport, key, sizeof(ps->statics[i]->transport)) == 0)
            return ps->statics[i];
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(ps->changed); i++) {
        struct pv_peer *p = pv_peers_by_id(ps, ps->changed[i]);
        if (p != NULL && !p->is_static && pv_peer_has_key(p, key, now))
            return p;
    }
    return NULL;
}

static struct pv_peer *find_static(const struct pv_peers *ps, const char *text)
{
    uint8_t key[PV_DH_LEN];
    char name[PV_NAME_BUF];
    bool is_key = pv_wgkey_parse(text, key) == PV_OK;
    bool is_name = pv_name_parse(text, strlen(text), name) == PV_OK;
    for (size_t i = 0; i < ps->n_statics; i++) {
        struct pv_peer *p = ps->statics[i];
        if ((is_name && strcmp(p->name, name) == 0) ||
            (is_key && memcmp(p->transport, key, sizeof(key)) == 0))
            return p;
    }
    return NULL;
}

struct pv_peer *pv_peers_find(const struct pv_peers *ps, const char *text)
{
    const struct pv_member *m = pv_node_member(ps->node, text);
    return m != NULL ? pv_peers_by_pk(ps, m->node) : find_static(ps, text);
}

struct pv_peer *pv_peers_next_member(const struct pv_peers *ps, const struct pv_peer *p)
{
    return p == NULL ? ps->members : p->hh.next;
}

struct pv_peer *pv_peers_next_node(const struct pv_peers *ps, const struct pv_peer *p)
{
    struct pv_peer *next = pv_peers_next_member(ps, p);
    while (next != NULL && !pv_peer_is_node(next))
        next = pv_peers_next_member(ps, next);
    return next;
}

struct pv_peer *pv_peers_next_static(const struct pv_peers *ps, const struct pv_peer *p)
{
    size_t i = 0;
    while (p != NULL && i < ps->n_statics && ps->statics[i++] != p)
        continue;
    return i < ps->n_statics ? ps->statics[i] : NULL;
}

/* The first at that slot or behind. */
static struct pv_peer *at_or_after(const struct pv_peers *ps, size_t slot)
{
    while (slot < ps->n_slots && ps->by_slot[slot] == NULL)
        slot++;
    return slot < ps->n_slots ? ps->by_slot[slot] : NULL;
}

struct pv_peer *pv_peers_next(const struct pv_peers *ps, const struct pv_peer *p)
{
    return at_or_after(ps, p == NULL ? 0 : slot_of(p->id) + 1);
}

/* Members leave holes in the table of slots, so a peer behind a hole is a little likelier. It need
 * not be fair. */
struct pv_peer *pv_peers_random(const struct pv_peers *ps)
{
    if (ps->n_slots == 0)
        return NULL;
    struct pv_peer *p = at_or_after(ps, pv_rng_below(&ps->node->rng, (uint32_t)ps->n_slots));
    return p != NULL ? p : at_or_after(ps, 0);
}

size_t pv_peers_count_members(const struct pv_peers *ps)
{
    return HASH_COUNT(ps->members);
}

size_t pv_peers_count_statics(const struct pv_peers *ps)
{
    return ps->n_statics;
}

bool pv_peers_want_phone_port(const struct pv_peers *ps)
{
    return ps->wants_phone_port;
}

size_t pv_peers_count_phones(const struct pv_peers *ps)
{
    return ps->n_phones;
}

size_t pv_peers_count_reached(const struct pv_peers *ps)
{
    size_t n = 0;
    for (const struct pv_peer *p = NULL; (p = pv_peers_next_node(ps, p)) != NULL;)
        n += pv_peer_reach(p) == PV_REACH_PATH ? 1 : 0;
    return n;
}

const struct pv_prefix *pv_peers_static_routes(const struct pv_peers *ps, size_t *ret_n)
{
    *ret_n = ps->n_static_routes;
    return ps->static_routes;
}

/* --- in-band messages out -------------------------------------------------------------------- */

/* In-band messages may be lost as on the network, so a full list drops them. */
static void inject(struct pv_peers *ps, uint32_t id, struct pv_view inner)
{
    struct pv_engine_inject item = {.peer = id, .len = inner.len};
    struct pv_fifo *injects = &ps->node->ways.injects;
    if (injects->n >= PV_PEERS_MAX_INJECT || inner.len > PV_ENGINE_INJECT_MAX)
        return;
    if (inner.len > 0)
        memcpy(item.buf, inner.ptr, inner.len);
    (void)!pv_fifo_put(injects, &item, offsetof(struct pv_engine_inject, buf) + inner.len);
    pv_wipe(item.buf, inner.len); /* it may be a secret (PV_INBAND_LINK) */
}

void pv_peers_inject(struct pv_peers *ps, struct pv_peer *p, struct pv_view inner)
{
    inject(ps, p->id, inner);
}

/* 0 is no peer's id, and the TUN to pv_fp_inject(). */
void pv_peers_inject_tun(struct pv_peers *ps, struct pv_view packet)
{
    inject(ps, 0, packet);
}

void pv_peers_send(struct pv_peers *ps, struct pv_peer *p, enum pv_inband_type type,
                   struct pv_view body)
{
    uint8_t parts;
    uint32_t id = pv_rng_u32(&ps->node->rng);
    if (pv_inband_parts(body.len, &parts) != PV_OK)
        return;
    for (uint8_t i = 0; i < parts; i++) {
        uint8_t packet[PV_INBAND_PACKET_MAX];
        size_t len;
        if (pv_inband_build(type, id, i, body, packet, &len) == PV_OK)
            pv_peers_inject(ps, p, pv_view(packet, len));
        pv_wipe(packet, sizeof(packet));
    }
}

/* A probe is as large as the datagram that is tried, so it is built whole and never in parts. */
static void send_probes(struct pv_peers *ps, struct pv_peer *p)
{
    uint8_t packet[PV_INBAND_PROBE_MAX];
    uint16_t size;
    uint32_t token;
    while (p->talk != NULL && pv_mtu_poll_probe(&p->talk->mtu, &size, &token) == PV_OK) {
        size_t len = size - (size_t)PV_FP_OVERHEAD;
        if (pv_inband_probe_build(token, len, packet) == PV_OK)
            pv_peers_inject(ps, p, pv_view(packet, len));
    }
}

/* Each side says how its own packets travel: the two directions need not take the same way. */
void pv_peers_echo(struct pv_peers *ps, struct pv_peer *p, struct pv_inband_echo echo)
{
    uint8_t body[PV_INBAND_PART_MAX];
    size_t len;
    echo.path = pv_peer_is_relayed(p) ? PV_INBAND_PATH_RELAY : PV_INBAND_PATH_DIRECT;
    if (pv_inband_echo_build(&echo, body, sizeof(body), &len) == PV_OK)
        pv_peers_send(ps, p, PV_INBAND_ECHO, pv_view(body, len));
}

/* Sends the in-band messages that p's machines want sent now: probes of the path, an echo, a
 * keepalive. */
static void send_due(struct pv_peers *ps, struct pv_peer *p)
{
    send_probes(ps, p);
    if ((p->due & PV_PEER_DUE_ECHO) != 0)
        /* Anything authenticated that comes back is the answer, so the token is forgotten. */
        pv_peers_echo(ps, p, (struct pv_inband_echo){.token = pv_rng_u64(&ps->node->rng)});
    if ((p->due & PV_PEER_DUE_KEEPALIVE) != 0)
        pv_peers_inject(ps, p, pv_view(NULL, 0));
    p->due &= ~(unsigned)(PV_PEER_DUE_ECHO | PV_PEER_DUE_KEEPALIVE);
}

/* --- endpoints of static peers --------------------------------------------------------------- */

static pv_job_done take_endpoint;

/* Looks a static peer's endpoint up, at once or by a job. Once by name: when the peer roams its
 * packets tell its address. */
static void find_endpoint(struct pv_peers *ps, struct pv_peer *p, pv_ns now)
{
    struct pv_addr addr;
    p->resolve_at = PV_NEVER;
    if (p->endpoint_host == NULL)
        return;
    if (pv_addr_parse_ip(p->endpoint_host, &addr) == PV_OK) {
        addr.port = p->endpoint_port;
        pv_peer_set_endpoint(p, &addr, now);
        return;
    }
    (void)pv_jobqueue_resolve(&ps->node->jobs, p->endpoint_host, p->endpoint_port, take_endpoint,
                              ps, p->id);
}

static void take_endpoint(struct pv_jobwait *wait, struct pv_job_result *result, pv_ns now)
{
    struct pv_peers *ps = wait->self;
    struct pv_peer *p = pv_peers_by_id(ps, (uint32_t)wait->tag);
    if (p == NULL)
        return;
    if (result->status == PV_OK && result->n_addrs > 0) {
        pv_peer_set_endpoint(p, &result->addrs[0], now);
    } else {
        pv_trace_add(&p->trace, now, "endpoint not found: %s", result->error);
        p->resolve_at = now + PV_PEER_RETRY_MAX;
    }
    pv_peers_touch(ps, p, now);
}

/* --- facts and deadlines --------------------------------------------------------------------- */

static void make_ready(struct pv_peers *ps, struct pv_peer *p)
{
    if (!p->ready)
        PV_LIST_ADD_BY(ps->ready, p, ready_prev, ready_next);
    p->ready = true;
}

static void leave_ready(struct pv_peers *ps, struct pv_peer *p)
{
    if (p->ready)
        PV_LIST_DEL_BY(ps->ready, p, ready_prev, ready_next);
    p->ready = false;
}

/* A peer is in the list once, with the sum of its facts. */
void pv_peers_raise(struct pv_peers *ps, struct pv_peer *p, unsigned facts)
{
    if (p->facts == 0 && facts != 0)
        PV_LIST_ADD_BY(ps->news, p, facts_prev, facts_next);
    p->facts |= facts;
}

static unsigned leave_news(struct pv_peers *ps, struct pv_peer *p)
{
    unsigned facts = p->facts;
    if (facts != 0)
        PV_LIST_DEL_BY(ps->news, p, facts_prev, facts_next);
    p->facts = 0;
    return facts;
}

bool pv_peers_has_news(const struct pv_peers *ps)
{
    return ps->news != NULL;
}

/* One peer at a time: a part that hears of it may raise facts of others, which join the end of the
 * list. */
struct pv_peer *pv_peers_take_news(struct pv_peers *ps, unsigned *ret_facts)
{
    struct pv_peer *p = ps->news;
    if (p != NULL)
        *ret_facts = leave_news(ps, p);
    return p;
}

/* The relay that carries the path is told whether anything comes through it. */
static void tell_relay(struct pv_peer *p, pv_ns now)
{
    if (!pv_peer_has_path(p) || !pv_carrier_is_relayed(&p->path))
        return;
    struct pv_relayway *relay = p->node->ways.relays[p->path.via];
    if (p->path_state == PV_PATH_STATE_SUSPECT)
        pv_relayway_suspect(relay, &p->path.remote, now);
    else
        pv_relayway_healed(relay, &p->path.remote, now);
}

/* Lets the peer's machines act, sends what they want sent, and takes their news. Deadline and ready
 * list follow here only: the output of a call into a peer that is not followed by this one would
 * stay where it is. */
static unsigned settle(struct pv_peers *ps, struct pv_peer *p, pv_ns now)
{
    pv_peer_settle(p, now);
    send_due(ps, p);
    unsigned news = p->news;
    p->news = 0;
    if ((news & PV_PEER_FACT_PATH) != 0) {
        if (!pv_peer_path_works(p))
            p->due |= PV_PEER_DUE_NAT_DOUBT;
        tell_relay(p, now);
    }
    if ((p->due & PV_PEER_DUE_NAT_DOUBT) != 0)
        pv_node_raise(ps->node, PV_FACT_NAT_DOUBT);
    p->due &= ~(unsigned)PV_PEER_DUE_NAT_DOUBT;
    pv_ns next = pv_peer_next_timeout(p);
    /* A child that is due for ever must not stop the others. */
    if (next <= now && p->timed_at == now)
        next = now + PV_MS(1);
    pv_heap_set(&ps->timers, &p->timer, next);
    make_ready(ps, p);
    return news;
}

void pv_peers_touch(struct pv_peers *ps, struct pv_peer *p, pv_ns now)
{
    pv_peers_raise(ps, p, settle(ps, p, now) | PV_PEER_FACT_TOUCHED);
}

/* Called when all parts have heard of the peer. Only new facts are raised
 * again, or telling would never come to an end. */
void pv_peers_told(struct pv_peers *ps, struct pv_peer *p, pv_ns now)
{
    unsigned news = settle(ps, p, now);
    if (news != 0)
        pv_peers_raise(ps, p, news | PV_PEER_FACT_TOUCHED);
}

void pv_peers_node_changed(struct pv_peers *ps, bool locals, pv_ns now)
{
    struct pv_peer *p, *tmp;
    HASH_ITER(hh, ps->members, p, tmp) {
        if (p->ice == NULL && p->session == NULL)
            continue; /* never used: of thousands of members most are */
        pv_peer_node_changed(p, locals, now);
        pv_peers_touch(ps, p, now);
    }
    for (size_t i = 0; i < ps->n_statics; i++) {
        pv_peer_node_changed(ps->statics[i], locals, now);
        pv_peers_touch(ps, ps->statics[i], now);
    }
}

/* Their last words are out. */
static void forget_leavers(struct pv_peers *ps, pv_ns now)
{
    while (ps->n_leavers > 0 && now >= ps->leavers[0].until) {
        if (pv_fp_builder_remove_peer(ps->node->fp, ps->leavers[0].id) == PV_ERR_NOMEM) {
            ps->leavers[0].until = now + PV_PEERS_SEE_OFF;
            return;
        }
        memmove(&ps->leavers[0], &ps->leavers[1], --ps->n_leavers * sizeof(ps->leavers[0]));
    }
}

void pv_peers_handle_timeout(struct pv_peers *ps, pv_ns now)
{
    struct pv_heap_node *node;
    while ((node = pv_heap_pop_due(&ps->timers, now)) != NULL) {
        struct pv_peer *p = PV_CONTAINER_OF(node, struct pv_peer, timer);
        p->timed_at = now;
        pv_peer_handle_timeout(p, now);
        if (p->is_static && now >= p->resolve_at)
            find_endpoint(ps, p, now);
        pv_peers_touch(ps, p, now);
    }
    forget_leavers(ps, now);
}

pv_ns pv_peers_next_timeout(const struct pv_peers *ps)
{
    const pv_ns next = pv_heap_next(&ps->timers);
    return ps->n_leavers == 0 ? next : pv_min_ns(next, ps->leavers[0].until);
}

/* --- coming and going ------------------------------------------------------------------------ */

static int take_slot(struct pv_peers *ps, struct pv_peer *p)
{
    size_t slot = slot_of(p->id);
    if (slot >= ps->n_slots) {
        size_t n = ps->n_slots == 0 ? 64 : ps->n_slots;
        while (n <= slot)
            n *= 2;
        struct pv_peer **grown = realloc(ps->by_slot, n * sizeof(struct pv_peer *));
        if (grown == NULL)
            return PV_ERR_NOMEM;
        memset(grown + ps->n_slots, 0, (n - ps->n_slots) * sizeof(struct pv_peer *));
        ps->by_slot = grown;
        ps->n_slots = n;
    }
    /* Room for its timer now, since setting a deadline later must not fail. */
    int r = pv_heap_reserve(&ps->timers, HASH_COUNT(ps->members) + ps->n_statics + 1);
    if (r == PV_OK)
        ps->by_slot[slot] = p;
    return r;
}

/* Parts are told while the peer is still whole; its lists and timer go before its memory. */
static void release(struct pv_peers *ps, struct pv_peer *p, pv_ns now)
{
    size_t slot = slot_of(p->id);
    PV_EACH_PART(ps->node, part) {
        if (part->part->on_peer_gone != NULL)
            part->part->on_peer_gone(part->self, p, now);
    }
    leave_ready(ps, p);
    (void)leave_news(ps, p);
    ps->n_phones -= p->is_phone ? 1 : 0;
    pv_heap_set(&ps->timers, &p->timer, PV_NEVER);
    if (slot < ps->n_slots && ps->by_slot[slot] == p)
        ps->by_slot[slot] = NULL;
    pv_peer_free(p);
}

static struct pv_prefix whole(const struct pv_addr *ip)
{
    struct pv_prefix x = {.base = *ip, .bits = (uint8_t)(8 * pv_addr_ip_len(ip))};
    x.base.port = 0;
    return x;
}

/* --- addresses that members and static peers share -------------------------------------------- */

/* A member keeps its address, whatever [peer] says of it: what it proves by its key no line of a
 * file takes from it. The static peer has the rest of its allowed-ips, and this again once no
 * member has it. */

static const struct pv_prefix *allowed_of(const struct pv_peers *ps, size_t i, size_t *ret_n)
{
    size_t begin = i == 0 ? 0 : ps->static_ends[i - 1];
    *ret_n = ps->static_ends[i] - begin;
    return begin == 0 ? ps->static_routes : ps->static_routes + begin;
}

/* The member whose address it is; NULL: a wider prefix, or nobody's. */
static const struct pv_member *member_at(const struct pv_node *n, const struct pv_prefix *x)
{
    return n->roster != NULL && x->bits == 8 * pv_addr_ip_len(&x->base)
               ? pv_roster_by_ip(n->roster, &x->base)
               : NULL;
}

static int route_static(struct pv_peers *ps, size_t i)
{
    struct pv_prefix kept[PV_ENGINE_MAX_ALLOWED];
    const struct pv_peer *p = ps->statics[i];
    size_t n, n_kept = 0;
    uint64_t yields = 0;
    _Static_assert((int)PV_ENGINE_MAX_ALLOWED <= 64, "a bit for each");
    const struct pv_prefix *allowed = allowed_of(ps, i, &n);
    for (size_t k = 0; k < n; k++) {
        const struct pv_member *m = member_at(ps->node, &allowed[k]);
        if (m == NULL)
            kept[n_kept++] = allowed[k];
        else
            yields |= UINT64_C(1) << k;
        if (m != NULL && (ps->static_yields[i] >> k & 1) == 0)
            pv_log(ps->node->log, PV_LOG_WARN,
                   "peer=%s allowed-ips=%s what=\"left out\" why=\"member %s has that address\"",
                   p->name, PV_PREFIX_STR(&allowed[k]), m->name);
    }
    int r = pv_fp_builder_set_routes(ps->node->fp, p->id, kept, n_kept);
    ps->static_yields[i] = r == PV_OK ? yields : 0;
    return r;
}

/* Those whose addresses are otherwise members' than they were. */
static void settle_statics(struct pv_peers *ps)
{
    for (size_t i = 0; i < ps->n_statics; i++) {
        size_t n;
        uint64_t yields = 0;
        const struct pv_prefix *allowed = allowed_of(ps, i, &n);
        for (size_t k = 0; k < n; k++)
            yields |= (uint64_t)(member_at(ps->node, &allowed[k]) != NULL) << k;
        if (yields != ps->static_yields[i])
            (void)route_static(ps, i);
    }
}

static void show_yields(const struct pv_peers *ps, struct pv_statuspage *st)
{
    for (size_t i = 0; i < ps->n_statics; i++) {
        size_t n;
        const struct pv_prefix *allowed = allowed_of(ps, i, &n);
        for (size_t k = 0; k < n; k++) {
            const struct pv_member *m = member_at(ps->node, &allowed[k]);
            if (m != NULL)
                pv_statuspage_todo(
                    st,
                    PV_STR(
                        "[peer %s] allowed-ips: %s is the address of member %s, which keeps it: ",
                        ps->statics[i]->name, PV_IP_STR(&allowed[k].base), m->name),
                    PV_DO(other_allowed_ips));
        }
    }
}

/* A command with the name means the member, and both stand in the list of peers. */
static void show_shared_names(const struct pv_peers *ps, struct pv_statuspage *st)
{
    const struct pv_roster *roster = ps->node->roster;
    for (size_t i = 0; roster != NULL && i < ps->n_statics; i++) {
        const char *name = ps->statics[i]->name;
        if (pv_roster_by_name(roster, name) != NULL)
            pv_statuspage_todo(
                st, PV_STR("[peer %s] has the name of a member, which commands mean by it: ", name),
                PV_DO(rename_static_peer));
    }
}

/* --- coming and going: members ---------------------------------------------------------------- */

/* Its session goes on. Of very many that change at once the first ones' former keys are forgotten
 * early; they ask again with the new one. */
static int change_key(struct pv_peers *ps, struct pv_peer *p, const uint8_t *transport, pv_ns now)
{
    if (memcmp(p->transport, transport, sizeof(p->transport)) == 0)
        return PV_OK;
    ps->changed[ps->n_changed++ % PV_ARRAY_LEN(ps->changed)] = p->id;
    return pv_peer_set_transport(p, transport, now);
}

/* The statements' news about a peer that is there already: name, addresses and key may be
 * others. */
static int update_member(struct pv_peers *ps, struct pv_peer *p, const struct pv_member *m,
                         pv_ns now)
{
    int r = change_key(ps, p, m->transport, now);
    if (r != PV_OK)
        return r;
    memcpy(p->name, m->name, sizeof(p->name));
    p->ip4 = m->ip4;
    p->ip6 = m->ip6;
    pv_peer_set_stated(p, (m->abilities & PV_ABLE_PQ) != 0);
    const struct pv_prefix routes[2] = {whole(&m->ip4), whole(&m->ip6)};
    r = pv_fp_builder_set_routes(ps->node->fp, p->id, routes, 2);
    if (r == PV_ERR_EXISTS) {
        settle_statics(ps);
        r = pv_fp_builder_set_routes(ps->node->fp, p->id, routes, 2);
    }
    if (r == PV_OK)
        pv_peers_raise(ps, p, PV_PEER_FACT_MEMBER);
    return r;
}

static int add(struct pv_peers *ps, const struct pv_member *m, bool phone, pv_ns now)
{
    struct pv_peer *p;
    if (ps->node->roster != NULL)
        memcpy(ps->node->common->network_id, pv_roster_network_id(ps->node->roster),
               sizeof(ps->node->common->network_id));
    int r = phone ? pv_peer_new_phone(&p, ps->node, m->node, m->transport, now)
                  : pv_peer_new_member(&p, ps->node, m->node, m->transport);
    if (r != PV_OK)
        return r;
    ps->n_phones += phone ? 1 : 0;
    PV_MAP_ADD(&ps->map, ps->members, pk, p, r);
    if (r != PV_OK) {
        ps->n_phones -= phone ? 1 : 0;
        pv_peer_free(p);
        return r;
    }
    r = take_slot(ps, p);
    if (r == PV_OK)
        r = update_member(ps, p, m, now);
    if (r != PV_OK)
        pv_peers_drop(ps, p, now);
    return r;
}

int pv_peers_add_member(struct pv_peers *ps, const struct pv_member *m, pv_ns now)
{
    struct pv_peer *p = pv_peers_by_pk(ps, m->node);
    return p != NULL ? update_member(ps, p, m, now) : add(ps, m, false, now);
}

/* Plain WireGuard and a member's ways share nothing, so the peer is made anew. */
int pv_peers_set_phone(struct pv_peers *ps, const struct pv_member *m, bool phone, pv_ns now)
{
    struct pv_peer *p = pv_peers_by_pk(ps, m->node);
    if (p != NULL && p->is_phone == phone)
        return PV_OK;
    if (phone && ps->n_phones == PV_FP_MAX_PHONES)
        return PV_ERR_LIMIT;
    if (p != NULL)
        pv_peers_drop(ps, p, now);
    return add(ps, m, phone, now);
}

void pv_peers_drop(struct pv_peers *ps, struct pv_peer *p, pv_ns now)
{
    PV_MAP_DEL(ps->members, p);
    release(ps, p, now);
}

/* Without an address nothing of it comes in but control, which finds no peer any more. */
void pv_peers_see_off(struct pv_peers *ps, struct pv_peer *p, pv_ns now)
{
    if (ps->n_leavers < PV_ARRAY_LEN(ps->leavers) && pv_peer_can_talk(p, now) &&
        pv_fp_builder_set_routes(ps->node->fp, p->id, NULL, 0) == PV_OK) {
        p->seen_off = true;
        ps->leavers[ps->n_leavers++] =
            (struct leaver){.id = p->id, .until = now + PV_PEERS_SEE_OFF};
    }
    pv_peers_drop(ps, p, now);
}

void pv_peers_drop_members(struct pv_peers *ps, pv_ns now)
{
    struct pv_peer *p, *tmp;
    HASH_ITER(hh, ps->members, p, tmp)
        pv_peers_drop(ps, p, now);
}

/* --- coming and going: static peers ----------------------------------------------------------- */

static int remember_routes(struct pv_peers *ps, const struct pv_static_peer *conf)
{
    ps->static_ends[ps->n_statics] = ps->n_static_routes + conf->n_allowed;
    if (conf->n_allowed == 0)
        return PV_OK;
    struct pv_prefix *grown = realloc(ps->static_routes, (ps->n_static_routes + conf->n_allowed) *
                                                             sizeof(*ps->static_routes));
    if (grown == NULL)
        return PV_ERR_NOMEM;
    ps->static_routes = grown;
    memcpy(grown + ps->n_static_routes, conf->allowed, conf->n_allowed * sizeof(*grown));
    ps->n_static_routes += conf->n_allowed;
    return PV_OK;
}

int pv_peers_add_static(struct pv_peers *ps, const struct pv_static_peer *conf, pv_ns now)
{
    struct pv_peer *p;
    if (ps->n_statics == PV_ENGINE_MAX_STATIC)
        return PV_ERR_LIMIT;
    struct pv_peer_static s = {.persistent_keepalive = conf->persistent_keepalive,
                               .suite = conf->suite};
    memcpy(s.public_key, conf->public_key, sizeof(s.public_key));
    memcpy(s.psk, conf->preshared_key, sizeof(s.psk));
    int r = pv_peer_new_static(&p, ps->node, &s, now);
    pv_wipe(&s, sizeof(s));
    if (r != PV_OK)
        return r;
    memcpy(p->name, conf->name, sizeof(p->name));
    if (conf->endpoint_host[0] != '\0') {
        p->endpoint_host = strdup(conf->endpoint_host);
        r = p->endpoint_host == NULL ? PV_ERR_NOMEM : PV_OK;
    }
    p->endpoint_port = conf->endpoint_port;
    if (r == PV_OK)
        r = take_slot(ps, p);
    size_t n_before = ps->n_static_routes;
    ps->statics[ps->n_statics] = p;
    if (r == PV_OK)
        r = remember_routes(ps, conf);
    if (r == PV_OK)
        r = route_static(ps, ps->n_statics);
    if (r != PV_OK) {
        ps->n_static_routes = n_before;
        release(ps, p, now);
        return r;
    }
    ps->n_statics++;
    ps->wants_phone_port = ps->wants_phone_port || conf->phone_port;
    find_endpoint(ps, p, now);
    pv_peers_touch(ps, p, now);
    return PV_OK;
}

/* --- what comes in: in-band ------------------------------------------------------------------ */

static void take_goodbye(void *part, struct pv_peer *from, struct pv_view body, pv_ns now)
{
    pv_peer_handle_goodbye(from, now);
}

/* The answer is small, whatever came: the way back need not be as wide. */
static void take_probe(void *part, struct pv_peer *from, struct pv_view body, pv_ns now)
{
    if (body.len < 4)
        return;
    pv_peers_send(part, from, PV_INBAND_PROBED, pv_view(body.ptr, 4));
    if (from->talk != NULL)
        pv_mtu_note_probed(pv_peer_mtu_of(from), body.len, now);
}

static void take_probed(void *part, struct pv_peer *from, struct pv_view body, pv_ns now)
{
    uint32_t token;
    if (from->talk != NULL && pv_inband_probe_parse(body, &token) == PV_OK)
        pv_mtu_handle_answer(pv_peer_mtu_of(from), token, now);
}

/* The packet threads join packets in parts themselves; one that they hand up is malformed. */
static void drop_packet(void *part, struct pv_peer *from, struct pv_view body, pv_ns now)
{
}

static const struct pv_inband_handler inband[] = {
    {.type = PV_INBAND_GOODBYE, .take = take_goodbye},
    {.type = PV_INBAND_PROBE, .take = take_probe},
    {.type = PV_INBAND_PROBED, .take = take_probed},
    {.type = PV_INBAND_PACKET, .take = drop_packet},
};

/* --- what comes in: STUN --------------------------------------------------------------------- */

/* A STUN message: a request names its receiver by the ufrag, an answer by the request it
 * answers. A request names our ufrag, an answer only its transaction id (RFC 8445 s7.3, s7.2.5).
 * Either one finds the peer among all on this socket; authentication is the agent's. */
static bool take_stun(void *part, const struct pv_carrier *from, struct pv_view data, pv_ns now)
{
    struct pv_peers *ps = part;
    char ufrag[PV_ICE_UFRAG_MAX + 1] = {0};
    struct pv_peer *p = NULL;
    if (pv_ice_request_ufrag(data, ufrag) == PV_OK) {
        char key[PV_ICE_UFRAG_MAX + 1] = {0}; /* the whole array is the key */
        memcpy(key, ufrag, strlen(ufrag));
        p = pv_peer_by_ufrag(ps->node, key);
    } else if (data.len >= PV_STUN_TXID_AT + PV_STUN_TXID_LEN) {
        uint32_t owner = pv_stunroute_owner(ps->node->ways.stunroute, data.ptr + PV_STUN_TXID_AT);
        if (owner > PV_STUN_OWNER_PEERS)
            p = pv_peers_by_id(ps, owner - PV_STUN_OWNER_PEERS);
    }
    if (p == NULL)
        return false;
    int r = pv_peer_handle_stun(p, from, data, now);
    if (r != PV_OK)
        pv_log(ps->node->log, PV_LOG_DEBUG, "peer=%s what=\"STUN dropped\" why=\"%s\"", p->name,
               pv_strstatus(r));
    pv_peers_touch(ps, p, now);
    return true;
}

/* --- what comes in: ICMP --------------------------------------------------------------------- */

/* An ICMP error, "fragmentation needed" (RFC 792, RFC 1191) or ICMPv6 "packet too big" (RFC 4443
 * s3.2), is a hint, believed only when it quotes a datagram that left just now. A member's path is
 * probed at once then, and the size that the hint names is not used (RFC 8899 s4.6.2). A static
 * peer answers no probes: over IPv6 the size counts, never below what every link carries, and for a
 * while. A liar on the way can make packets smaller, no more. */

enum {
    HEADERS = 48,       /* bytes of IPv6 and UDP header, RFC 8200, RFC 768 */
    HINTS_A_SECOND = 5, /* ours: each looks through all peers */
};

/* This host's own word needs no proof; a router's has to quote a datagram that left just now. */
static bool is_about(const struct pv_peers *ps, const struct pv_peer *p,
                     const struct pv_fp_punt *punt)
{
    return pv_peer_has_path(p) && p->path.kind == PV_CARRIER_UDP &&
           pv_addr_equal(&p->path.remote, &punt->from.remote) &&
           (punt->local || pv_fp_builder_has_sent(ps->node->fp, p->id, punt->bytes));
}

static void take_hint(struct pv_peers *ps, struct pv_peer *p, size_t fits, pv_ns now)
{
    uint16_t most = (uint16_t)(ps->node->given.mtu + PV_FP_OVERHEAD);
    if (fits < PV_IPPKT_MIN_MTU6)
        fits = PV_IPPKT_MIN_MTU6;
    if (p->talk == NULL)
        return;
    if (!p->is_static)
        pv_mtu_doubt(&p->talk->mtu, now);
    else if (p->path.remote.family == PV_AF_INET6 && fits <= UINT16_MAX)
        pv_mtu_tell(&p->talk->mtu, (uint16_t)(fits - HEADERS), most, now);
    pv_peers_touch(ps, p, now);
}

void pv_peers_too_big(struct pv_peers *ps, const struct pv_fp_punt *punt, pv_ns now)
{
    if (!pv_bucket_take(&ps->hints, HINTS_A_SECOND, HINTS_A_SECOND, 1, now))
        return;
    for (struct pv_peer *p = NULL; (p = pv_peers_next(ps, p)) != NULL;) {
        if (is_about(ps, p, punt)) {
            take_hint(ps, p, punt->count, now);
            return;
        }
    }
}

/* --- datagrams out --------------------------------------------------------------------------- */

bool pv_peers_wrap(const struct pv_peers *ps, uint16_t via, const struct pv_addr *peer,
                   struct pv_view data, struct pv_engine_transmit *ret_tx)
{
    struct pv_relayway *relay = via < PV_FP_MAX_RELAYS ? ps->node->ways.relays[via] : NULL;
    (void)pv_transmit_to(ret_tx, peer, NULL, 0); /* resets every field */
    struct pv_relayway_message m = {.buf = ret_tx->buf, .cap = sizeof(ret_tx->buf)};
    if (relay == NULL || pv_relayway_wrap(relay, peer, data, &m) != PV_OK)
        return false;
    ret_tx->dst = *pv_relayway_server(relay);
    ret_tx->sock = m.sock;
    ret_tx->stream = m.stream;
    ret_tx->len = m.len;
    return true;
}

/* As it leaves this node. False: it is lost, as on the network. The owner of the transaction id is
 * noted here, where all checks pass, so that the answer finds its agent. */
static bool address(struct pv_peers *ps, const struct pv_peer *p, const struct pv_peer_transmit *tx,
                    struct pv_engine_transmit *ret_tx)
{
    if (tx->is_stun)
        pv_stunroute_sent(ps->node->ways.stunroute, tx->buf + PV_STUN_TXID_AT,
                          p->id + PV_STUN_OWNER_PEERS);
    if (tx->relayed)
        return pv_peers_wrap(ps, tx->via, &tx->dst, pv_view(tx->buf, tx->len), ret_tx);
    if (!pv_transmit_to(ret_tx, &tx->dst, tx->buf, tx->len))
        return false;
    ret_tx->sock = tx->sock;
    ret_tx->ttl = tx->ttl;
    ret_tx->opener = tx->ttl != 0;
    ret_tx->local = tx->local;
    return true;
}

/* Peers that may have something stand in a list, so nobody looks at thousands that have not. */
static bool poll_transmit(void *part, struct pv_engine_transmit *ret_tx)
{
    struct pv_peers *ps = part;
    struct pv_peer_transmit tx;
    struct pv_peer *p;
    while ((p = ps->ready) != NULL) {
        while (pv_peer_poll_transmit(p, &tx) == PV_OK) {
            if (address(ps, p, &tx, ret_tx))
                return true;
        }
        leave_ready(ps, p);
    }
    return false;
}

/* --- status ----------------------------------------------------------------------------------- */

enum {
    WITHHELD_NAMES = 4 * PV_NAME_BUF, /* bytes: three names are said, others are counted */
};

/* Members whose half of the exchange does not come, though they announced it. */
struct withheld {
    char names[WITHHELD_NAMES];
    unsigned n;
};

static void note_withheld(struct withheld *w, const struct pv_peer *p)
{
    size_t used = strlen(w->names);
    if (w->n++ < 3)
        snprintf(w->names + used, sizeof(w->names) - used, "%s%s", w->n > 1 ? ", " : "", p->name);
}

/* Sessions by kind, and those whose packets wait. */
static void count_sessions(const struct pv_peers *ps, struct pv_statuspage_pq *pq,
                           struct withheld *w, pv_ns now)
{
    for (const struct pv_peer *p = NULL; (p = pv_peers_next_member(ps, p)) != NULL;) {
        enum pv_peer_pq_state state = pv_peer_pq(p, now).state;
        if (state == PV_PEER_PQ_NONE)
            continue;
        pq->hybrid += state == PV_PEER_PQ_HYBRID ? 1 : 0;
        pq->classical += state == PV_PEER_PQ_HYBRID ? 0 : 1;
        pq->waiting += state == PV_PEER_PQ_WITHHELD || state == PV_PEER_PQ_REQUIRED ? 1 : 0;
        if (state == PV_PEER_PQ_WITHHELD)
            note_withheld(w, p);
    }
}

static const char *policy_word(const struct pv_node *n)
{
    static const char *const words[] = {
        [PV_PQ_ON] = "on", [PV_PQ_REQUIRE] = "require", [PV_PQ_OFF] = "off"};
    return n->given.kem == NULL && n->given.pq != PV_PQ_OFF ? "unable" : words[n->given.pq];
}

static void show_pq(const struct pv_peers *ps, struct pv_statuspage *st, pv_ns now)
{
    const struct pv_node *n = ps->node;
    struct withheld w = {.n = 0};
    char text[WITHHELD_NAMES + 48];
    st->pq.state = policy_word(n);
    st->pq.why = n->given.kem == NULL ? n->given.kem_why : NULL;
    count_sessions(ps, &st->pq, &w, now);
    if (n->given.kem == NULL && n->given.pq == PV_PQ_REQUIRE)
        pv_statuspage_todo(st,
                           PV_STR("no packet passes to members: [security] pq = require, but %s: ",
                                  pv_peer_why_no_kem(n)),
                           PV_DO(pq_here));
    if (w.n == 0)
        return;
    if (w.n > 3)
        snprintf(text, sizeof(text), "%s and %u more", w.names, w.n - 3);
    else
        snprintf(text, sizeof(text), "%s", w.names);
    pv_statuspage_todo(st,
                       PV_STR("%s announced post-quantum sessions, but the keys for them do not "
                              "come, and packets wait: ",
                              text),
                       PV_DO(ask_why));
}

static void status(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct pv_peers *ps = part;
    for (const struct pv_peer *p = NULL; (p = pv_peers_next_member(ps, p)) != NULL;) {
        bool path = pv_peer_reach(p) == PV_REACH_PATH;
        st->s.online += pv_peer_reach(p) != PV_REACH_NO ? 1 : 0;
        st->s.direct += path && !pv_peer_is_relayed(p) ? 1 : 0;
        st->s.relayed += path && pv_peer_is_relayed(p) ? 1 : 0;
    }
    show_pq(ps, st, now);
    show_yields(ps, st);
    show_shared_names(ps, st);
}

/* Was the path in use heard from since then? A path that is dead counts as one that works until it
 * is given up. */
static bool is_heard(const struct pv_peer *p, pv_ns since)
{
    const struct pv_ice_agent *agent = pv_peer_agent(p);
    return pv_peer_path_since(p) >= since || (agent != NULL && pv_ice_alive_at(agent) >= since);
}

/* A static peer's path is what the configuration says, and proves nothing. */
bool pv_peers_udp_elsewhere(const struct pv_peers *ps)
{
    for (const struct pv_peer *p = NULL; (p = pv_peers_next_member(ps, p)) != NULL;) {
        const struct pv_carrier *path = pv_peer_path(p);
        if (path != NULL && pv_peer_is_direct(p) && pv_peer_path_works(p) &&
            is_heard(p, ps->node->ways.udp_since) && pv_addr_is_usable_remote(&path->remote) &&
            !pv_addr_is_private(&path->remote))
            return true;
    }
    /* 0 is the coordinator's own. */
    for (unsigned via = 1; via < PV_FP_MAX_RELAYS; via++) {
        const struct pv_relayway *r = ps->node->ways.relays[via];
        if (r != NULL && pv_relayway_is_reached(r) && pv_relayway_way(r) == PV_RELAYWAY_UDP)
            return true;
    }
    return false;
}

/* --- metrics: of each peer -------------------------------------------------------------------- */

/* One peer, looked at once for all families. */
struct row {
    const struct pv_peer *p;
    bool used; /* it was reached, or is being reached */
    struct pv_ctlapi_peer x;
};

static bool online(const struct row *r, double *ret_value)
{
    *ret_value = r->x.online;
    return true;
}

static bool direct(const struct row *r, double *ret_value)
{
    *ret_value = r->x.path.type == PV_CTLAPI_PATH_DIRECT || r->x.path.type == PV_CTLAPI_PATH_STATIC;
    return r->used;
}

static bool relayed(const struct row *r, double *ret_value)
{
    *ret_value = r->x.path.type == PV_CTLAPI_PATH_RELAY;
    return r->used;
}

static bool sent(const struct row *r, double *ret_value)
{
    *ret_value = (double)r->x.tx_bytes;
    return r->used;
}

static bool received(const struct row *r, double *ret_value)
{
    *ret_value = (double)r->x.rx_bytes;
    return r->used;
}

static bool rtt(const struct row *r, double *ret_value)
{
    *ret_value = r->x.path.rtt_ms / 1e3;
    return r->x.path.rtt_ms >= 0;
}

static bool loss(const struct row *r, double *ret_value)
{
    *ret_value = r->x.path.loss;
    return r->x.path.loss >= 0;
}

static bool mtu(const struct row *r, double *ret_value)
{
    *ret_value = r->x.path.mtu;
    return r->x.path.type != PV_CTLAPI_PATH_NONE;
}

static bool handshake(const struct row *r, double *ret_value)
{
    *ret_value = (double)r->x.last_handshake_ms / 1e3;
    return r->x.last_handshake_ms != 0;
}

static const struct {
    enum pv_metrics_type type;
    const char *name, *help;
    bool (*get)(const struct row *r, double *ret_value); /* false: there is no value */
} PEER_FAMILIES[] = {
    {PV_METRICS_GAUGE, "p2pvpn_peer_online", "1: the peer is online.", online},
    {PV_METRICS_GAUGE, "p2pvpn_peer_direct", "1: the path to the peer is direct.", direct},
    {PV_METRICS_GAUGE, "p2pvpn_peer_relayed", "1: the path to the peer leads through a relay.",
     relayed},
    {PV_METRICS_COUNTER, "p2pvpn_peer_sent_bytes_total", "Bytes of packets sent to the peer.",
     sent},
    {PV_METRICS_COUNTER, "p2pvpn_peer_received_bytes_total",
     "Bytes of packets received from the peer.", received},
    {PV_METRICS_GAUGE, "p2pvpn_peer_rtt_seconds", "Round trip of the path to the peer.", rtt},
    {PV_METRICS_GAUGE, "p2pvpn_peer_loss_ratio", "Checks of the path lost lately, 0 to 1.", loss},
    {PV_METRICS_GAUGE, "p2pvpn_peer_mtu_bytes", "Largest packet that the path carries.", mtu},
    {PV_METRICS_GAUGE, "p2pvpn_peer_last_handshake_timestamp_seconds",
     "When session keys were agreed last, Unix time.", handshake},
};

/* A row for each peer, filled once: the page lists families and not peers, so otherwise each peer
 * would be looked at nine times. */
static size_t look_at_peers(struct pv_peers *ps, struct row *rows, pv_ns now)
{
    size_t n = 0;
    for (struct pv_peer *p = NULL; (p = pv_peers_next(ps, p)) != NULL;) {
        struct row *r = &rows[n++];
        *r = (struct row){.p = p, .used = p->session != NULL || pv_peer_has_path(p)};
        pv_peer_show(p, &r->x, now);
        if (!p->is_static)
            pv_peer_count_relay_time(p, now);
    }
    return n;
}

static void put_each(const struct row *rows, size_t n, struct pv_metrics *m)
{
    for (size_t f = 0; f < PV_ARRAY_LEN(PEER_FAMILIES); f++) {
        pv_metrics_family(m, PEER_FAMILIES[f].type, PEER_FAMILIES[f].name, PEER_FAMILIES[f].help);
        for (size_t i = 0; i < n; i++) {
            double value = 0;
            if (PEER_FAMILIES[f].get(&rows[i], &value)) /* both kinds may have the same name */
                pv_metrics_real(m, value, "peer", rows[i].p->name, "kind",
                                rows[i].p->is_phone    ? "phone"
                                : rows[i].p->is_static ? "static"
                                                       : "member",
                                NULL);
        }
    }
}

/* --- metrics: sums ---------------------------------------------------------------------------- */

/* Peers that are gone are part of the sums: a counter must not fall. */
static void put_sums(const struct pv_peers *ps, struct pv_metrics *m)
{
    struct pv_peer_sums sum = ps->node->common->gone;
    for (const struct pv_peer *p = NULL; (p = pv_peers_next(ps, p)) != NULL;)
        pv_peer_add_sums(p, &sum);
    pv_metrics_one(m, PV_METRICS_COUNTER, "p2pvpn_sent_bytes_total",
                   "Bytes of packets that went into the tunnel.", sum.tx_bytes);
    pv_metrics_one(m, PV_METRICS_COUNTER, "p2pvpn_received_bytes_total",
                   "Bytes of packets that came out of the tunnel.", sum.rx_bytes);
    pv_metrics_one(m, PV_METRICS_COUNTER, "p2pvpn_sent_datagrams_total",
                   "Sealed datagrams sent to peers.", sum.tx_packets);
    pv_metrics_one(m, PV_METRICS_COUNTER, "p2pvpn_received_datagrams_total",
                   "Authenticated datagrams of peers.", sum.rx_packets);
}

static void put_sessions(const struct pv_peers *ps, struct pv_metrics *m, pv_ns now)
{
    struct pv_statuspage_pq pq = {.hybrid = 0};
    struct withheld w = {.n = 0};
    count_sessions(ps, &pq, &w, now);
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_sessions",
                      "Sessions with members that have keys, by kind.");
    pv_metrics_count(m, pq.hybrid, "kind", "hybrid", NULL);
    pv_metrics_count(m, pq.classical, "kind", "classical", NULL);
    pv_metrics_one(m, PV_METRICS_GAUGE, "p2pvpn_sessions_waiting",
                   "Classical sessions that carry no packets until they are hybrid.", pq.waiting);
}

static void metrics(void *part, struct pv_metrics *m, pv_ns now)
{
    struct pv_peers *ps = part;
    size_t n_peers = pv_peers_count_members(ps) + pv_peers_count_statics(ps);
    struct row *rows = calloc(n_peers + 1, sizeof(*rows));
    /* Before the times on relays are told, each of them is counted up to now. */
    size_t n = rows == NULL ? 0 : look_at_peers(ps, rows, now);
    put_sums(ps, m);
    pv_pathstats_metrics(&ps->node->common->stats, m);
    struct pv_pathpairs pairs = {0};
    for (struct pv_peer *p = NULL; (p = pv_peers_next(ps, p)) != NULL;)
        pv_peer_count_pair(p, &pairs);
    pv_pathpairs_metrics(&pairs, m);
    put_sessions(ps, m, now);
    put_each(rows, n, m); /* without memory the families have no samples this time */
    free(rows);
}

/* --- as a part ------------------------------------------------------------------------------- */

/* The table is made before all parts, since they find it in the node. */
static int adopt(struct pv_node *node, const struct pv_engine_config *cfg, pv_ns now,
                 void **ret_part)
{
    *ret_part = node->peers;
    return PV_OK;
}

static int add_statics(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct pv_peers *ps = part;
    for (size_t i = 0; i < cfg->n_static_peers; i++) {
        int r = pv_peers_add_static(ps, &cfg->static_peers[i], now);
        if (r != PV_OK) {
            pv_log(ps->node->log, PV_LOG_ERROR, "peer=%s what=\"static peer not added\" why=\"%s\"",
                   cfg->static_peers[i].name, pv_strstatus(r));
            return r;
        }
    }
    return PV_OK;
}

/* Was it one of our addresses, and is it none now? */
static bool is_gone(const struct pv_node *n, const struct pv_addr *local)
{
    for (size_t i = 0; i < n->host.n_links; i++) {
        if (pv_addr_equal_ip(&n->host.links[i].addr.base, local))
            return false;
    }
    return local->family != PV_AF_NONE;
}

/* A static peer has no agent that would notice that its path leaves from an address we lost. */
static void drop_lost_locals(struct pv_peers *ps, pv_ns now)
{
    for (struct pv_peer *p = NULL; (p = pv_peers_next(ps, p)) != NULL;) {
        if (!p->is_static || !pv_peer_has_path(p) || !is_gone(ps->node, &p->path.local))
            continue;
        pv_peer_forget_local(p, now);
        p->due |= PV_PEER_DUE_KEEPALIVE; /* by it the other side learns where we are */
        pv_peers_touch(ps, p, now);
    }
}

/* After a sleep every check is late: agents look at once instead of when their timers say. */
static void wake_agents(struct pv_peers *ps, pv_ns now)
{
    for (struct pv_peer *p = NULL; (p = pv_peers_next_member(ps, p)) != NULL;) {
        if (p->ice != NULL)
            pv_ice_kick(p->ice, now);
        pv_peers_touch(ps, p, now);
    }
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct pv_peers *ps = part;
    if ((facts & PV_FACT_LINKS) != 0)
        drop_lost_locals(ps, now);
    if ((facts & PV_FACT_RESUMED) != 0)
        wake_agents(ps, now);
    if ((facts & (PV_FACT_ROSTER | PV_FACT_NETWORK)) != 0)
        settle_statics(ps);
    if (ps->node->common->signalling == ps->node->online)
        return;
    ps->node->common->signalling = ps->node->online; /* signals can be sent, or no longer */
    pv_peers_node_changed(ps, false, now);
}

const struct pv_part pv_part_peers = {
    .name = "peers",
    .after = {"relays", "bindings", "hardnat"},
    .make = adopt,
    .restore = add_statics,
    .on_facts = on_facts,
    .handle_stun = take_stun,
    .poll_transmit = poll_transmit,
    .inband = inband,
    .n_inband = PV_ARRAY_LEN(inband),
    .status = status,
    .metrics = metrics,
};
