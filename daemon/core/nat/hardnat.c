/* SPDX-License-Identifier: MIT */
/* The life of an attempt at a hard NAT: its sockets, measuring our own NAT with fresh ones,
 * building the checks, and recognizing the other side's. hardnat_send.c decides which packet goes
 * where and when. */
#include "daemon/core/nat/hardnat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/nat/hardnat_int.h"

enum {
    MEASURE_SENDS = 3,
    CHANGE_PORT = 2, /* RFC 5780 s7.2 */
    USERNAME_MAX = 2 * PV_ICE_UFRAG_MAX + 1,
};
#define MEASURE_FIRST PV_MS(150) /* ours: before the first repetition, doubling */
#define MEASURE_TIME  PV_S(1)
#define EARLY_WAIT    PV_MS(10) /* ours: the answer from the other port is that much later at most */
#define EARLY_TIME    PV_MS(300) /* ours: then it cannot be told */
#define NAT_FRESH     PV_S(600)  /* ours: then it is measured again */

/* --- life ------------------------------------------------------------------------------------ */

/* The configuration may lower these limits, not raise them. */
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

/* One queue, filled at its end and emptied at its front: it is moved together only when the end is
 * reached. */
static void push_op(struct pv_hardnat *h, enum pv_hardnat_op_type type, uint16_t sock,
                    uint16_t port)
{
    if (h->op_first > 0 && h->op_first + h->n_ops == PV_HARDNAT_OPS) {
        memmove(h->ops, h->ops + h->op_first, h->n_ops * sizeof(h->ops[0]));
        h->op_first = 0;
    }
    if (h->op_first + h->n_ops < PV_HARDNAT_OPS)
        h->ops[h->op_first + h->n_ops++] =
            (struct pv_hardnat_op){.type = type, .sock = sock, .port = port};
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
    } while (h->next_id == 0 || h->next_id >= PV_HARDNAT_END_ID || is_kept(h, h->next_id));
    return h->next_id;
}

void pv_hardnat_open_upto(struct pv_hardnat *h, size_t upto)
{
    while (h->n_socks < upto && h->n_socks < PV_HARDNAT_MAX_MAPPINGS) {
        uint16_t id = fresh_id(h);
        h->socks[h->n_socks++] = (struct pv_hardnat_sock){.id = id};
        push_op(h, PV_HARDNAT_OPEN, id, h->wish == 0 ? 0 : h->wish++);
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
        push_op(h, PV_HARDNAT_CLOSE, sock, 0);
        return;
    }
}

/* --- sending --------------------------------------------------------------------------------- */

/* The waiting ones move to the front only when the end of the array is reached, so that most pushes
 * copy nothing. */
struct pv_hardnat_out *pv_hardnat_push_out(struct pv_hardnat *h, uint16_t sock,
                                           const struct pv_addr *dst)
{
    if (h->out_first + h->n_out == PV_HARDNAT_OUT) {
        memmove(h->out, h->out + h->out_first, h->n_out * sizeof(h->out[0]));
        h->out_first = 0;
    }
    if (h->n_out == PV_HARDNAT_OUT)
        return NULL;
    struct pv_hardnat_out *o = &h->out[h->out_first + h->n_out++];
    *o = (struct pv_hardnat_out){.sock = sock, .dst = *dst};
    return o;
}

/* The checks look as the agent's own: the peer's agent answers them, and what comes back to us is
 * authenticated. They promise nothing: without USE-CANDIDATE no pair is nominated (RFC 8445
 * s7.1.2). */
static int build(const struct pv_hardnat *h, const struct pv_hardnat_out *o,
                 struct pv_hardnat_transmit *tx)
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
    if (o->change)
        pv_stun_put_u32(&w, PV_STUN_ATTR_CHANGE_REQUEST, CHANGE_PORT);
    pv_stun_put_fingerprint(&w);
    tx->sock = o->sock;
    tx->ttl = o->ttl;
    tx->dst = o->dst;
    return pv_stun_write_end(&w, &tx->len);
}

int pv_hardnat_poll_transmit(struct pv_hardnat *h, struct pv_hardnat_transmit *ret_tx)
{
    while (h->n_out > 0) {
        const struct pv_hardnat_out *o = &h->out[h->out_first++];
        if (--h->n_out == 0)
            h->out_first = 0;
        if (build(h, o, ret_tx) == PV_OK)
            return PV_OK;
    }
    return PV_ERR_AGAIN;
}

/* --- measuring ------------------------------------------------------------------------------- */

/* A socket that could not be opened counts as answered, or every measurement would take its whole
 * time on a node that is short of them. */
static bool all_answered(const struct pv_hardnat *h)
{
    for (size_t i = 0; i < PV_HARDNAT_SAMPLES; i++)
        if (h->samples.ports[i] == 0 && !h->socks[i].failed)
            return false;
    return h->samples.second != 0 || h->servers[1].family == PV_AF_NONE;
}

static void ask(struct pv_hardnat *h, size_t place, uint16_t sock, const struct pv_addr *server)
{
    struct pv_hardnat_out *o =
        server->family == PV_AF_NONE ? NULL : pv_hardnat_push_out(h, sock, server);
    if (o == NULL)
        return;
    o->plain = true;
    o->change = place == PV_HARDNAT_ASK_CHANGE;
    memcpy(o->txid, h->txid[place], sizeof(o->txid));
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
            ask(h, PV_HARDNAT_ASK_SECOND, h->socks[0].id, &h->servers[1]);
    }
    if (h->sends == 0 && h->samples.one_address)
        ask(h, PV_HARDNAT_ASK_CHANGE, h->socks[1].id, &h->servers[0]);
    h->next = now + (MEASURE_FIRST << h->sends++);
    if (h->sends >= MEASURE_SENDS || h->next > h->measure_end)
        h->next = h->measure_end;
}

/* The public port of a fresh socket will be its own: those we open next, and tell them as the block
 * where the other side finds them. */
static void choose_range(struct pv_hardnat *h)
{
    const unsigned lo = 20000, span = 12000; /* below what systems give to others, RFC 6056 s3.2 */
    h->wish = (uint16_t)(lo + pv_rng_below(&h->cfg.rng, span));
    h->nat.ports = PV_DESC_PORTS_BLOCK;
    h->nat.lo = h->wish;
    h->nat.hi = (uint16_t)(h->wish + PV_HARDNAT_OWN_RANGE - 1);
}

static void measured(struct pv_hardnat *h, pv_ns now)
{
    /* Found by a question of its own, which the samples do not answer. */
    bool early = h->nat.early;
    for (size_t i = 0; i < PV_HARDNAT_SAMPLES; i++)
        h->samples.local[i] = h->socks[i].port;
    h->nat = pv_hardnat_judge(&h->samples);
    if (pv_hardnat_keeps_first(&h->samples))
        choose_range(h);
    h->nat.early = early;
    h->nat_at = now;
    h->phase = PV_HARDNAT_READY;
    h->next = PV_NEVER;
}

/* All ports are known. A server with two ports has sent us a packet from the second by now: did it
 * take the port from us? That is asked for a NAT that gives all destinations one port. */
static void look_for_early(struct pv_hardnat *h, pv_ns now)
{
    bool same = h->samples.second != 0 && h->samples.second == h->samples.ports[0];
    if (h->early == PV_HARDNAT_EARLY_OPEN && h->samples.one_address && same &&
        h->samples.ports[1] != 0) {
        h->early = PV_HARDNAT_EARLY_WAIT;
        h->next = now + EARLY_WAIT;
    } else if (h->early == PV_HARDNAT_EARLY_OPEN || h->early == PV_HARDNAT_EARLY_DECIDED) {
        measured(h, now);
    }
}

/* A measurement costs eight mappings and up to a second, so it is kept while it can still predict
 * something. */
static bool nat_is_good(const struct pv_hardnat *h, pv_ns now)
{
    return h->nat_at != 0 && now - h->nat_at < NAT_FRESH &&
           h->nat.mapping != PV_DESC_MAPPING_UNKNOWN &&
           h->nat.ports != PV_DESC_PORTS_SEQUENTIAL && /* its next port is another one by now */
           !pv_hardnat_keeps_first(&h->samples);
}

int pv_hardnat_begin(struct pv_hardnat *h, uint32_t peer, const struct pv_addr servers[static 2],
                     pv_ns now)
{
    if (pv_hardnat_is_off(h) || h->phase != PV_HARDNAT_IDLE || h->n_kept == PV_HARDNAT_KEPT)
        return PV_ERR_STATE;
    h->peer = peer;
    h->used = 0;
    h->packets = 0;
    h->plan = (struct pv_hardnat_plan){.method = PV_HARDNAT_NONE};
    /* Without a server, or with too few mappings to spare, it goes on with what is known: the plan
     * treats "unknown" as the easy kind. */
    if (servers[0].family == PV_AF_NONE || nat_is_good(h, now) ||
        h->cfg.max_mappings <= PV_HARDNAT_SAMPLES) {
        h->phase = PV_HARDNAT_READY;
        h->next = PV_NEVER;
        return PV_OK;
    }
    h->phase = PV_HARDNAT_MEASURING;
    h->servers[0] = servers[0];
    h->servers[1] = servers[1];
    h->samples =
        (struct pv_hardnat_samples){.one_address = pv_addr_equal_ip(&servers[0], &servers[1])};
    h->sends = 0;
    h->early = PV_HARDNAT_EARLY_OPEN;
    h->nat.early = false;
    h->used = 1; /* towards the second server */
    h->measure_end = now + MEASURE_TIME;
    h->next = h->measure_end;
    /* One transaction id for each question and not for each packet: an answer to a repetition says
     * the same. */
    pv_rng_fill(&h->cfg.rng, h->txid, sizeof(h->txid));
    pv_hardnat_open_upto(h, PV_HARDNAT_SAMPLES);
    return PV_OK;
}

/* The answer must come from the server that was asked: a forged one could make us believe in a NAT
 * that needs hundreds of packets. */
static void take_sample(struct pv_hardnat *h, const struct pv_addr *src,
                        const struct pv_stun_msg *msg, pv_ns now)
{
    struct pv_addr mapped;
    if (msg->cls != PV_STUN_SUCCESS ||
        pv_stun_get_xor_addr(msg, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &mapped) != PV_OK)
        return;
    for (size_t i = 0; i < PV_HARDNAT_ASKS; i++) {
        if (memcmp(msg->txid, h->txid[i], PV_STUN_TXID_LEN) != 0 ||
            !pv_addr_equal(src, &h->servers[i < PV_HARDNAT_SAMPLES ? 0 : 1]))
            continue;
        if (i < PV_HARDNAT_SAMPLES)
            h->samples.ports[i] = mapped.port;
        else if (i == PV_HARDNAT_ASK_SECOND)
            h->samples.second = mapped.port;
        else if (i == PV_HARDNAT_ASK_EARLY)
            h->nat.early = mapped.port != h->samples.ports[1];
        if (i > PV_HARDNAT_ASK_SECOND) /* one from the other port that was let in takes nothing */
            h->early = PV_HARDNAT_EARLY_DECIDED;
    }
    if (all_answered(h))
        look_for_early(h, now);
}

void pv_hardnat_opened(struct pv_hardnat *h, uint16_t sock, uint16_t port, pv_ns now)
{
    size_t i = sock_index(h, sock);
    if (i == h->n_socks)
        return;
    h->socks[i].port = port;
    h->socks[i].failed = port == 0;
    if (h->phase == PV_HARDNAT_RUNNING && h->looker == 0)
        pv_hardnat_look(h, now);
    if (h->phase != PV_HARDNAT_MEASURING || h->sends > 0)
        return;
    /* All questions leave at once: foreign mappings between them would blur the NAT's sequence. */
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

/* --- time ------------------------------------------------------------------------------------ */

void pv_hardnat_handle_timeout(struct pv_hardnat *h, pv_ns now)
{
    if (h->phase == PV_HARDNAT_MEASURING && now >= h->next) {
        if (h->early == PV_HARDNAT_EARLY_WAIT) {
            ask(h, PV_HARDNAT_ASK_EARLY, h->socks[1].id, &h->servers[1]);
            h->early = PV_HARDNAT_EARLY_ASKED;
            h->next = now + EARLY_TIME;
        } else if (now >= h->measure_end || h->early == PV_HARDNAT_EARLY_ASKED) {
            measured(h, now);
        } else {
            ask_all(h, now);
        }
    }
    if (h->phase == PV_HARDNAT_RUNNING)
        pv_hardnat_go_on(h, now);
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
    /* Only a check that proves the peer's knowledge of our password is an opening; anything else
     * may be from anybody. */
    if (h->phase != PV_HARDNAT_RUNNING || msg.cls != PV_STUN_REQUEST ||
        pv_stun_check_integrity(&msg, pv_view(h->target.own.pwd, strlen(h->target.own.pwd))) < 0)
        return PV_ERR_NOT_FOUND;
    *ret_port = h->socks[i].port;
    return PV_OK;
}

void pv_hardnat_end(struct pv_hardnat *h, uint16_t keep)
{
    /* All others are closed: each holds a mapping of a NAT that many subscribers may share. */
    for (size_t i = 0; i < h->n_socks; i++) {
        uint16_t id = h->socks[i].id;
        if (id == keep && h->n_kept < PV_HARDNAT_KEPT) {
            h->kept[h->n_kept++] = id;
            push_op(h, PV_HARDNAT_ADOPT, id, 0);
        } else {
            push_op(h, PV_HARDNAT_CLOSE, id, 0);
        }
    }
    h->n_socks = 0;
    h->wish = 0;
    h->n_out = 0;
    h->out_first = 0;
    h->phase = PV_HARDNAT_IDLE;
    h->next = PV_NEVER;
    pv_wipe(&h->target, sizeof(h->target));
}

/* --- questions ------------------------------------------------------------------------------- */

bool pv_hardnat_is_off(const struct pv_hardnat *h)
{
    return h->cfg.predict_off && h->cfg.birthday_off;
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
        .predict = !h->cfg.predict_off,
        .birthday = !h->cfg.birthday_off,
    };
}
