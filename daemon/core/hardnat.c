/* SPDX-License-Identifier: MIT */
#include "daemon/core/hardnat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "proto/stun.h"

enum {
    MAX_OPS = 3 * PV_HARDNAT_MAX_MAPPINGS + PV_HARDNAT_KEPT,
    MAX_OUT = PV_HARDNAT_MAX_MAPPINGS, /* packets due at once */
    MEASURE_SENDS = 3,
    ROUNDS = 6,
    RENDEZVOUS_OFFSET = 20, /* mappings ahead of the other side's newest, TRAVERSAL 3.6 */
    PORT_LO = 1024,
    USERNAME_MAX = 2 * PV_ICE_UFRAG_MAX + 1,
};
#define MEASURE_FIRST PV_MS(150) /* ours: before the first repetition, doubling */
#define MEASURE_TIME  PV_S(1)
#define NAT_FRESH     PV_S(600)   /* ours: then it is measured again */
#define LINGER        PV_MS(1500) /* ours: for the last packets and their answers */
#define FAN_PAUSE     PV_MS(300)  /* ours: between the passes of a fan */

/* When the few packets of a prediction are repeated: TRAVERSAL 3.8 rule 6. */
static const pv_ns rounds[ROUNDS] = {PV_MS(0),   PV_MS(20),  PV_MS(60),
                                     PV_MS(140), PV_MS(300), PV_MS(620)};

struct sock {
    uint16_t id;
    uint16_t port; /* local; 0 = not open yet */
    bool failed;
};

struct out {
    uint16_t sock; /* 0 = main */
    struct pv_addr dst;
    uint8_t txid[PV_STUN_TXID_LEN];
    bool plain; /* a question to a STUN server */
};

struct pv_hardnat {
    struct pv_hardnat_config cfg;
    enum pv_hardnat_phase phase;
    uint32_t peer;
    uint16_t next_id;
    struct sock socks[PV_HARDNAT_MAX_MAPPINGS];
    size_t n_socks;
    uint16_t kept[PV_HARDNAT_KEPT];
    size_t n_kept;

    /* measuring */
    struct pv_addr servers[2];
    uint8_t txid[PV_HARDNAT_SAMPLES + 1][PV_STUN_TXID_LEN]; /* the last: to the second server */
    struct pv_hardnat_samples samples;
    unsigned sends;
    pv_ns measure_end;
    struct pv_desc_nat nat;
    pv_ns nat_at;  /* 0 = never measured */
    unsigned used; /* mappings that measuring made in this attempt */

    /* running */
    struct pv_hardnat_target target;
    struct pv_hardnat_plan plan;
    uint64_t tie_breaker;
    pv_ns start;
    pv_ns over_at;
    unsigned round;           /* rounds or single packets sent */
    uint8_t tried[65536 / 8]; /* ports */
    unsigned packets, attempts;
    pv_ns window_at; /* second in which window_n packets were sent */
    unsigned window_n;

    pv_ns next; /* when something is to be done */
    struct out out[MAX_OUT];
    size_t n_out, out_first;
    struct pv_hardnat_op ops[MAX_OPS];
    size_t n_ops, op_first;
};

/* --- life ------------------------------------------------------------------------------------ */

int pv_hardnat_new(struct pv_hardnat **ret_hardnat, const struct pv_hardnat_config *cfg)
{
    struct pv_hardnat *h = calloc(1, sizeof(*h));
    if (h == NULL)
        return PV_ERR_NOMEM;
    h->cfg = *cfg;
    if (h->cfg.max_mappings == 0 || h->cfg.max_mappings > PV_HARDNAT_MAX_MAPPINGS)
        h->cfg.max_mappings = PV_HARDNAT_MAX_MAPPINGS;
    if (h->cfg.max_pps == 0 || h->cfg.max_pps > PV_HARDNAT_MAX_PPS)
        h->cfg.max_pps = PV_HARDNAT_MAX_PPS;
    h->next = PV_NEVER;
    h->tie_breaker = pv_rng_u64(&h->cfg.rng);
    *ret_hardnat = h;
    return PV_OK;
}

struct pv_hardnat *pv_hardnat_free(struct pv_hardnat *h)
{
    if (h != NULL)
        pv_wipe(h, sizeof(*h));
    free(h);
    return NULL;
}

/* --- sockets --------------------------------------------------------------------------------- */

static void push_op(struct pv_hardnat *h, enum pv_hardnat_op_type type, uint16_t sock)
{
    if (h->op_first > 0 && h->op_first + h->n_ops == MAX_OPS) {
        memmove(h->ops, h->ops + h->op_first, h->n_ops * sizeof(h->ops[0]));
        h->op_first = 0;
    }
    if (h->op_first + h->n_ops < MAX_OPS)
        h->ops[h->op_first + h->n_ops++] = (struct pv_hardnat_op){.type = type, .sock = sock};
}

int pv_hardnat_poll_op(struct pv_hardnat *h, struct pv_hardnat_op *ret_op)
{
    if (h->n_ops == 0)
        return PV_ERR_AGAIN;
    *ret_op = h->ops[h->op_first++];
    if (--h->n_ops == 0)
        h->op_first = 0;
    return PV_OK;
}

static bool is_kept(const struct pv_hardnat *h, uint16_t id)
{
    for (size_t i = 0; i < h->n_kept; i++)
        if (h->kept[i] == id)
            return true;
    return false;
}

/* Ids go round, so that a late datagram of a closed socket meets no new one. */
static uint16_t fresh_id(struct pv_hardnat *h)
{
    do {
        h->next_id++;
    } while (h->next_id == 0 || is_kept(h, h->next_id));
    return h->next_id;
}

static void open_socks(struct pv_hardnat *h, size_t upto)
{
    while (h->n_socks < upto && h->n_socks < PV_HARDNAT_MAX_MAPPINGS) {
        uint16_t id = fresh_id(h);
        h->socks[h->n_socks++] = (struct sock){.id = id};
        push_op(h, PV_HARDNAT_OPEN, id);
    }
}

static size_t sock_index(const struct pv_hardnat *h, uint16_t id)
{
    size_t i = 0;
    while (i < h->n_socks && h->socks[i].id != id)
        i++;
    return i;
}

void pv_hardnat_release(struct pv_hardnat *h, uint16_t sock)
{
    for (size_t i = 0; i < h->n_kept; i++) {
        if (h->kept[i] != sock)
            continue;
        h->kept[i] = h->kept[--h->n_kept];
        push_op(h, PV_HARDNAT_CLOSE, sock);
        return;
    }
}

/* --- sending --------------------------------------------------------------------------------- */

static struct out *push_out(struct pv_hardnat *h, uint16_t sock, const struct pv_addr *dst)
{
    if (h->out_first + h->n_out == MAX_OUT) {
        memmove(h->out, h->out + h->out_first, h->n_out * sizeof(h->out[0]));
        h->out_first = 0;
    }
    if (h->n_out == MAX_OUT)
        return NULL;
    struct out *o = &h->out[h->out_first + h->n_out++];
    *o = (struct out){.sock = sock, .dst = *dst};
    return o;
}

static void push_check(struct pv_hardnat *h, uint16_t sock, uint16_t port)
{
    struct pv_addr dst = h->target.addr;
    dst.port = port;
    if (h->packets == PV_HARDNAT_MAX_PACKETS || h->window_n == h->cfg.max_pps)
        return;
    struct out *o = push_out(h, sock, &dst);
    if (o == NULL)
        return;
    pv_rng_fill(&h->cfg.rng, o->txid, sizeof(o->txid));
    h->packets++;
    h->window_n++;
}

static int build(const struct pv_hardnat *h, const struct out *o, struct pv_hardnat_transmit *tx)
{
    const struct pv_hardnat_target *t = &h->target;
    struct pv_stun_writer w;
    pv_stun_write_begin(&w, tx->buf, sizeof(tx->buf), PV_STUN_REQUEST, PV_STUN_BINDING, o->txid);
    if (!o->plain) {
        char username[USERNAME_MAX + 1];
        int n = snprintf(username, sizeof(username), "%s:%s", t->theirs.ufrag, t->own.ufrag);
        pv_stun_put(&w, PV_STUN_ATTR_USERNAME, pv_view(username, n < 0 ? 0 : (size_t)n));
        pv_stun_put_u32(&w, PV_STUN_ATTR_PRIORITY, pv_ice_priority(PV_ICE_PRFLX, 1));
        pv_stun_put_u64(&w,
                        t->controlling ? PV_STUN_ATTR_ICE_CONTROLLING : PV_STUN_ATTR_ICE_CONTROLLED,
                        h->tie_breaker);
        pv_stun_put_integrity(&w, pv_view(t->theirs.pwd, strlen(t->theirs.pwd)));
    }
    pv_stun_put_fingerprint(&w);
    tx->sock = o->sock;
    tx->dst = o->dst;
    return pv_stun_write_end(&w, &tx->len);
}

int pv_hardnat_poll_transmit(struct pv_hardnat *h, struct pv_hardnat_transmit *ret_tx)
{
    while (h->n_out > 0) {
        const struct out *o = &h->out[h->out_first++];
        if (--h->n_out == 0)
            h->out_first = 0;
        if (build(h, o, ret_tx) == PV_OK)
            return PV_OK;
    }
    return PV_ERR_AGAIN;
}

/* --- measuring ------------------------------------------------------------------------------- */

static bool all_answered(const struct pv_hardnat *h)
{
    for (size_t i = 0; i < PV_HARDNAT_SAMPLES; i++)
        if (h->samples.ports[i] == 0 && !h->socks[i].failed)
            return false;
    return h->samples.second != 0 || h->servers[1].family == PV_AF_NONE;
}

static void ask(struct pv_hardnat *h, size_t sample, uint16_t sock, const struct pv_addr *server)
{
    struct out *o = server->family == PV_AF_NONE ? NULL : push_out(h, sock, server);
    if (o == NULL)
        return;
    o->plain = true;
    memcpy(o->txid, h->txid[sample], sizeof(o->txid));
}

/* Asks for what is not answered yet. */
static void ask_all(struct pv_hardnat *h, pv_ns now)
{
    for (size_t i = 0; i < PV_HARDNAT_SAMPLES; i++) {
        if (h->socks[i].failed)
            continue;
        if (h->samples.ports[i] == 0)
            ask(h, i, h->socks[i].id, &h->servers[0]);
        if (i == 0 && h->samples.second == 0)
            ask(h, PV_HARDNAT_SAMPLES, h->socks[0].id, &h->servers[1]);
    }
    h->next = now + (MEASURE_FIRST << h->sends++);
    if (h->sends >= MEASURE_SENDS || h->next > h->measure_end)
        h->next = h->measure_end;
}

static void measured(struct pv_hardnat *h, pv_ns now)
{
    struct pv_desc_nat nat = pv_hardnat_judge(&h->samples);
    h->nat = nat;
    h->nat_at = now;
    h->phase = PV_HARDNAT_READY;
    h->next = PV_NEVER;
}

static bool nat_is_good(const struct pv_hardnat *h, pv_ns now)
{
    return h->nat_at != 0 && now - h->nat_at < NAT_FRESH &&
           h->nat.mapping != PV_DESC_MAPPING_UNKNOWN &&
           h->nat.ports != PV_DESC_PORTS_SEQUENTIAL; /* its next port is another one by now */
}

int pv_hardnat_begin(struct pv_hardnat *h, uint32_t peer, const struct pv_addr servers[static 2],
                     pv_ns now)
{
    if (h->cfg.off || h->phase != PV_HARDNAT_IDLE || h->n_kept == PV_HARDNAT_KEPT)
        return PV_ERR_STATE;
    h->peer = peer;
    h->used = 0;
    h->packets = 0;
    h->plan = (struct pv_hardnat_plan){.method = PV_HARDNAT_NONE};
    if (servers[0].family == PV_AF_NONE || nat_is_good(h, now) ||
        h->cfg.max_mappings <= PV_HARDNAT_SAMPLES) {
        h->phase = PV_HARDNAT_READY;
        h->next = PV_NEVER;
        return PV_OK;
    }
    h->phase = PV_HARDNAT_MEASURING;
    h->servers[0] = servers[0];
    h->servers[1] = servers[1];
    h->samples = (struct pv_hardnat_samples){.second = 0};
    h->sends = 0;
    h->used = 1; /* towards the second server */
    h->measure_end = now + MEASURE_TIME;
    h->next = h->measure_end;
    pv_rng_fill(&h->cfg.rng, h->txid, sizeof(h->txid));
    open_socks(h, PV_HARDNAT_SAMPLES);
    return PV_OK;
}

static void take_sample(struct pv_hardnat *h, const struct pv_addr *src,
                        const struct pv_stun_msg *msg, pv_ns now)
{
    struct pv_addr mapped;
    if (msg->cls != PV_STUN_SUCCESS ||
        pv_stun_get_xor_addr(msg, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &mapped) != PV_OK)
        return;
    for (size_t i = 0; i <= PV_HARDNAT_SAMPLES; i++) {
        bool second = i == PV_HARDNAT_SAMPLES;
        if (memcmp(msg->txid, h->txid[i], PV_STUN_TXID_LEN) != 0 ||
            !pv_addr_equal(src, &h->servers[second ? 1 : 0]))
            continue;
        if (second)
            h->samples.second = mapped.port;
        else
            h->samples.ports[i] = mapped.port;
    }
    if (all_answered(h))
        measured(h, now);
}

void pv_hardnat_opened(struct pv_hardnat *h, uint16_t sock, uint16_t port, pv_ns now)
{
    size_t i = sock_index(h, sock);
    if (i == h->n_socks)
        return;
    h->socks[i].port = port;
    h->socks[i].failed = port == 0;
    if (h->phase != PV_HARDNAT_MEASURING || h->sends > 0)
        return;
    for (i = 0; i < h->n_socks; i++)
        if (h->socks[i].port == 0 && !h->socks[i].failed)
            return;
    ask_all(h, now);
}

void pv_hardnat_forget(struct pv_hardnat *h)
{
    h->nat_at = 0;
    h->nat = (struct pv_desc_nat){.mapping = PV_DESC_MAPPING_UNKNOWN};
}

/* --- running --------------------------------------------------------------------------------- */

static pv_ns interval(const struct pv_hardnat *h)
{
    return PV_S(1) / h->cfg.max_pps;
}

bool pv_hardnat_run(struct pv_hardnat *h, const struct pv_hardnat_target *target, pv_ns start,
                    pv_ns now)
{
    if (h->phase != PV_HARDNAT_READY)
        return false;
    h->target = *target;
    unsigned left = h->cfg.max_mappings - h->used;
    if (h->used > 0) /* those that measured have a mapping to the server and get one to the peer */
        left -= PV_HARDNAT_SAMPLES;
    h->plan = pv_hardnat_plan(&h->nat, &target->nat, left);
    h->phase = PV_HARDNAT_RUNNING;
    h->round = 0;
    h->attempts++;
    memset(h->tried, 0, sizeof(h->tried));
    open_socks(h, h->plan.sockets);
    h->start = start > now ? start : now;
    h->next = h->start;
    h->over_at = h->start + PV_HARDNAT_MAX_PROBES * interval(h) + LINGER;
    if (h->plan.method == PV_HARDNAT_FAN || h->plan.method == PV_HARDNAT_RENDEZVOUS)
        h->over_at = h->start + rounds[ROUNDS - 1] + LINGER;
    if (h->plan.method == PV_HARDNAT_NONE) {
        h->phase = PV_HARDNAT_OVER;
        h->next = PV_NEVER;
        return false;
    }
    return true;
}

static bool try_port(struct pv_hardnat *h, unsigned port)
{
    if ((h->tried[port / 8] >> (port % 8) & 1) != 0)
        return false;
    h->tried[port / 8] |= (uint8_t)(1u << (port % 8));
    push_check(h, 0, (uint16_t)port);
    return true;
}

/* A port that was not tried. False: there is none left, or chance does not find it. */
static bool try_some_port(struct pv_hardnat *h)
{
    const struct pv_desc_nat *nat = &h->target.nat;
    unsigned lo = PORT_LO, hi = UINT16_MAX;
    if (h->plan.method == PV_HARDNAT_BLOCK) {
        lo = nat->lo;
        hi = nat->hi;
    }
    unsigned size = hi - lo + 1;
    unsigned first = pv_rng_below(&h->cfg.rng, size);
    for (unsigned i = 0; i < size; i++) {
        if (try_port(h, lo + (first + i) % size))
            return true;
    }
    return false;
}

/* The port a sequential NAT gives to its n-th mapping from now. */
static uint16_t predicted(const struct pv_desc_nat *nat, int n)
{
    int port = (int)nat->last + nat->step * n;
    return (uint16_t)(port < 1 || port > UINT16_MAX ? nat->last : port);
}

static void round_of_sockets(struct pv_hardnat *h, uint16_t port)
{
    for (size_t i = 0; i < h->n_socks && i < h->plan.sockets; i++)
        if (h->socks[i].port != 0)
            push_check(h, h->socks[i].id, port);
}

static void round_of_ports(struct pv_hardnat *h)
{
    for (unsigned i = 1; i <= h->plan.probes; i++)
        push_check(h, 0, predicted(&h->target.nat, (int)i));
}

/* Predictions are few packets, repeated; under max_pps in any second with the numbers above. */
static void send_prediction(struct pv_hardnat *h)
{
    if (h->plan.method == PV_HARDNAT_RENDEZVOUS)
        round_of_sockets(h, predicted(&h->target.nat, RENDEZVOUS_OFFSET));
    else if (h->plan.sockets > 0)
        round_of_sockets(h, h->target.addr.port);
    else
        round_of_ports(h);
    bool fan = h->plan.sockets == 0;
    h->round++;
    if (fan)
        h->next = h->round < 3 ? h->start + h->round * FAN_PAUSE : PV_NEVER;
    else
        h->next = h->round < ROUNDS ? h->start + rounds[h->round] : PV_NEVER;
}

/* One packet at a time, max_pps a second. */
static void send_paced(struct pv_hardnat *h, pv_ns now)
{
    while (h->next <= now) {
        unsigned n = h->round++;
        h->next += interval(h);
        if (h->plan.sockets > 0) {
            const struct sock *s = &h->socks[n % h->plan.sockets];
            if (s->port != 0)
                push_check(h, s->id, h->target.addr.port);
            if (n + 1 >= 3 * h->plan.sockets)
                h->next = PV_NEVER;
        } else if (!try_some_port(h) || n + 1 >= h->plan.probes) {
            h->next = PV_NEVER;
        }
    }
}

void pv_hardnat_handle_timeout(struct pv_hardnat *h, pv_ns now)
{
    if (h->phase == PV_HARDNAT_MEASURING && now >= h->next) {
        if (now >= h->measure_end)
            measured(h, now);
        else
            ask_all(h, now);
    }
    if (h->phase != PV_HARDNAT_RUNNING)
        return;
    bool prediction = h->plan.method == PV_HARDNAT_FAN || h->plan.method == PV_HARDNAT_RENDEZVOUS;
    if (now >= h->window_at + PV_S(1)) {
        h->window_at = now;
        h->window_n = 0;
    }
    if (now >= h->next && prediction)
        send_prediction(h);
    else if (now >= h->next)
        send_paced(h, now);
    if (now >= h->over_at)
        h->phase = PV_HARDNAT_OVER;
}

pv_ns pv_hardnat_next_timeout(const struct pv_hardnat *h)
{
    switch (h->phase) {
    case PV_HARDNAT_MEASURING:
        return h->next;
    case PV_HARDNAT_RUNNING:
        return pv_min_ns(h->next, h->over_at);
    case PV_HARDNAT_IDLE:
    case PV_HARDNAT_READY:
    case PV_HARDNAT_OVER:
        break;
    }
    return PV_NEVER;
}

/* --- answers --------------------------------------------------------------------------------- */

int pv_hardnat_handle_input(struct pv_hardnat *h, uint16_t sock, const struct pv_addr *src,
                            struct pv_view datagram, pv_ns now, uint16_t *ret_port)
{
    struct pv_stun_msg msg;
    size_t i = sock_index(h, sock);
    if (i == h->n_socks || pv_stun_decode(datagram, &msg) < 0 || msg.method != PV_STUN_BINDING)
        return PV_ERR_NOT_FOUND;
    if (h->phase == PV_HARDNAT_MEASURING) {
        take_sample(h, src, &msg, now);
        return PV_ERR_NOT_FOUND;
    }
    if (h->phase != PV_HARDNAT_RUNNING || msg.cls != PV_STUN_REQUEST ||
        pv_stun_check_integrity(&msg, pv_view(h->target.own.pwd, strlen(h->target.own.pwd))) < 0)
        return PV_ERR_NOT_FOUND;
    *ret_port = h->socks[i].port;
    return PV_OK;
}

void pv_hardnat_end(struct pv_hardnat *h, uint16_t keep, pv_ns now)
{
    (void)now;
    for (size_t i = 0; i < h->n_socks; i++) {
        uint16_t id = h->socks[i].id;
        if (id == keep && h->n_kept < PV_HARDNAT_KEPT) {
            h->kept[h->n_kept++] = id;
            push_op(h, PV_HARDNAT_ADOPT, id);
        } else {
            push_op(h, PV_HARDNAT_CLOSE, id);
        }
    }
    h->n_socks = 0;
    h->n_out = 0;
    h->out_first = 0;
    h->phase = PV_HARDNAT_IDLE;
    h->next = PV_NEVER;
    pv_wipe(&h->target, sizeof(h->target));
}

/* --- questions ------------------------------------------------------------------------------- */

bool pv_hardnat_is_off(const struct pv_hardnat *h)
{
    return h->cfg.off;
}

enum pv_hardnat_phase pv_hardnat_phase(const struct pv_hardnat *h)
{
    return h->phase;
}

uint32_t pv_hardnat_peer(const struct pv_hardnat *h)
{
    return h->peer;
}

const struct pv_desc_nat *pv_hardnat_nat(const struct pv_hardnat *h)
{
    return &h->nat;
}

struct pv_hardnat_counts pv_hardnat_counts(const struct pv_hardnat *h)
{
    return (struct pv_hardnat_counts){
        .plan = h->plan,
        .attempts = h->attempts,
        .packets = h->packets,
        .mappings = (unsigned)h->n_socks,
        .kept = (unsigned)h->n_kept,
        .max_mappings = h->cfg.max_mappings,
        .max_pps = h->cfg.max_pps,
    };
}
