/* SPDX-License-Identifier: MIT */
/*
 * fuzz_ice.c - one ICE agent; the input chooses calls, times and datagrams, authentic ones too.
 *
 * First byte: role and profile. Then operations, each one byte and its arguments; missing bytes
 * read as zero. After each the agent is drained and asked everything, and must keep its promises:
 * datagrams decode and are small, timers that were served lie ahead, a proven state has a path,
 * tables stay within their limits, and no second costs more than its budget of datagrams.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "proto/ice/ice.h"
#include "proto/stun/demux.h"
#include "proto/stun/stun.h"
#include "tests/fuzz/fuzz_util.h"

enum {
    MAX_SENT = 8,        /* own requests remembered, to be answered */
    BUDGET = 200 + 64,   /* checks a second, and at once */
    ANSWERS = 200 + 100, /* the same for answers */
    MAX_OPS = 400,
};

struct fuzz {
    const uint8_t *in;
    size_t left;
    uint64_t seed;
    pv_ns now;
    struct pv_ice_agent *agent;
    struct pv_ice_creds local, remote;
    struct pv_ice_transmit sent[MAX_SENT];
    size_t n_sent;
    pv_ns second;
    unsigned requests, answers; /* in this second */
};

static uint8_t take(struct fuzz *f)
{
    if (f->left == 0)
        return 0;
    f->left--;
    return *f->in++;
}

static struct pv_rng rng(struct fuzz *f)
{
    return (struct pv_rng){.fill = fuzz_fill_mix, .ctx = &f->seed};
}

/* A small world of addresses, so that they meet. */
static struct pv_addr address(uint8_t byte)
{
    static const uint8_t IP6[16] = {0x20, 0x01, 0x0d, 0xb8};
    if (byte >= 192) {
        struct pv_addr a = pv_addr6(IP6, (uint16_t)(1000 + (byte & 7)));
        a.ip[15] = (uint8_t)(1 + ((byte >> 3) & 7));
        return a;
    }
    return pv_addr4(10, 0, (uint8_t)(byte >> 6), (uint8_t)(1 + ((byte >> 3) & 7)),
                    (uint16_t)(1000 + (byte & 7)));
}

static struct pv_ice_cand candidate(struct fuzz *f)
{
    static const enum pv_ice_cand_type TYPES[] = {PV_ICE_HOST, PV_ICE_SRFLX, PV_ICE_PRFLX,
                                                  PV_ICE_RELAY};
    uint8_t kind = take(f);
    struct pv_ice_cand c = {.type = TYPES[kind & 3], .addr = address(take(f))};
    c.priority = pv_ice_priority(c.type, (uint16_t)((kind >> 2) << 10));
    c.carrier.local = c.type == PV_ICE_HOST ? c.addr : address(take(f));
    return c;
}

static size_t candidates(struct fuzz *f, struct pv_ice_cand cands[static 64])
{
    size_t n = take(f) % 64;
    for (size_t i = 0; i < n; i++)
        cands[i] = candidate(f);
    return n;
}

static void input(struct fuzz *f, const struct pv_addr *src, const uint8_t *buf, size_t len)
{
    struct pv_ice_carrier c = {0};
    uint8_t *exact = malloc(len + (len == 0)); /* ASan sees a read past the end */
    must(exact != NULL);
    if (len > 0)
        memcpy(exact, buf, len);
    char ufrag[PV_ICE_UFRAG_MAX + 1];
    (void)!pv_ice_request_ufrag(pv_view(exact, len), ufrag);
    (void)!pv_ice_handle_input(f->agent, &c, src, pv_view(exact, len), f->now);
    free(exact);
}

static void raw_datagram(struct fuzz *f)
{
    uint8_t buf[256];
    struct pv_addr src = address(take(f));
    size_t len = take(f);
    for (size_t i = 0; i < len; i++)
        buf[i] = take(f);
    input(f, &src, buf, len);
}

static void authentic_request(struct fuzz *f)
{
    uint8_t buf[256];
    uint8_t txid[PV_STUN_TXID_LEN];
    char username[2 * PV_ICE_UFRAG_MAX + 2];
    struct pv_stun_writer w;
    size_t len;
    uint8_t flags = take(f);
    struct pv_addr src = address(take(f));

    fuzz_fill_mix(&f->seed, txid, sizeof(txid));
    snprintf(username, sizeof(username), "%s:%s", f->local.ufrag,
             (flags & 1) != 0 ? "other" : f->remote.ufrag);
    pv_stun_write_begin(&w, buf, sizeof(buf), PV_STUN_REQUEST, PV_STUN_BINDING, txid);
    pv_stun_put(&w, PV_STUN_ATTR_USERNAME, pv_view(username, strlen(username)));
    if ((flags & 2) == 0)
        pv_stun_put_u32(&w, PV_STUN_ATTR_PRIORITY, pv_ice_priority(PV_ICE_PRFLX, 65000));
    if ((flags & 4) != 0)
        pv_stun_put(&w, PV_STUN_ATTR_USE_CANDIDATE, pv_view(NULL, 0));
    if ((flags & 8) != 0)
        pv_stun_put_u32(&w, PV_STUN_ATTR_NOMINATION, take(f));
    if ((flags & 16) != 0)
        pv_stun_put_u64(&w, PV_STUN_ATTR_ICE_CONTROLLING, take(f));
    if ((flags & 32) != 0)
        pv_stun_put_u64(&w, PV_STUN_ATTR_ICE_CONTROLLED, UINT64_MAX - take(f));
    pv_stun_put_integrity(&w, pv_view(f->local.pwd, strlen(f->local.pwd)));
    pv_stun_put_fingerprint(&w);
    must(pv_stun_write_end(&w, &len) == PV_OK);
    input(f, &src, buf, len);
}

static void authentic_answer(struct fuzz *f)
{
    uint8_t buf[256];
    struct pv_stun_writer w;
    struct pv_stun_msg msg;
    size_t len;
    uint8_t which = take(f);
    uint8_t how = take(f);
    if (f->n_sent == 0)
        return;
    const struct pv_ice_transmit *tx = &f->sent[which % f->n_sent];
    struct pv_addr mapped = (how & 1) != 0 ? address(take(f)) : tx->carrier.local;
    struct pv_addr src = (how & 2) != 0 ? address(take(f)) : tx->dst;

    must(pv_stun_decode(pv_view(tx->buf, tx->len), &msg) == PV_OK);
    pv_stun_write_answer(&w, buf, sizeof(buf), (how & 4) != 0 ? PV_STUN_ERROR : PV_STUN_SUCCESS,
                         &msg);
    if ((how & 4) != 0)
        pv_stun_put_error(&w, (how & 8) != 0 ? 487 : 400, "");
    else
        pv_stun_put_xor_addr(&w, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &mapped);
    pv_stun_put_integrity(&w, pv_view(f->remote.pwd, strlen(f->remote.pwd)));
    must(pv_stun_write_end(&w, &len) == PV_OK);
    input(f, &src, buf, len);
}

static void remember(struct fuzz *f, const struct pv_ice_transmit *tx)
{
    if (f->now >= f->second + PV_S(1)) {
        f->second = f->now;
        f->requests = 0;
        f->answers = 0;
    }
    if (tx->buf[0] == 0) {
        must(++f->requests <= BUDGET);
        f->sent[f->requests % MAX_SENT] = *tx;
        if (f->n_sent < MAX_SENT)
            f->sent[f->n_sent++] = *tx;
    } else {
        must(++f->answers <= ANSWERS);
    }
}

static void drain(struct fuzz *f)
{
    struct pv_ice_transmit tx;
    struct pv_ice_event ev;
    struct pv_ice_path path;
    unsigned n = 0;

    while (pv_ice_poll_transmit(f->agent, &tx) == PV_OK) {
        must(++n <= BUDGET + ANSWERS);
        must(tx.len <= sizeof(tx.buf) && pv_demux(pv_view(tx.buf, tx.len)) == PV_DEMUX_STUN);
        must(tx.dst.port != 0 && tx.carrier.local.family == tx.dst.family);
        remember(f, &tx);
    }
    for (n = 0; pv_ice_poll_event(f->agent, &ev) == PV_OK; n++)
        must(n < 8);
    bool selected = pv_ice_selected(f->agent, &path) == PV_OK;
    enum pv_ice_state state = pv_ice_state(f->agent);
    if (state == PV_ICE_CONNECTED || state == PV_ICE_COMPLETED || state == PV_ICE_DORMANT)
        must(selected);
    if (state == PV_ICE_FAILED)
        must(!selected);
    if (state == PV_ICE_CONNECTED || state == PV_ICE_COMPLETED)
        must(path.valid && path.answers > 0);
}

static void list(const struct fuzz *f)
{
    struct pv_ice_path paths[PV_ICE_MAX_PAIRS + 1];
    struct pv_ice_cand cands[PV_ICE_MAX_LOCAL + 1];
    must(pv_ice_paths(f->agent, paths, PV_ICE_MAX_PAIRS + 1) <= PV_ICE_MAX_PAIRS);
    must(pv_ice_locals(f->agent, cands, PV_ICE_MAX_LOCAL + 1) <= PV_ICE_MAX_LOCAL);
}

static void pass(struct fuzz *f, pv_ns dt)
{
    pv_ns until = f->now + dt;
    for (unsigned i = 0; i < 200; i++) {
        pv_ns next = pv_ice_next_timeout(f->agent);
        if (next > until)
            break;
        f->now = next > f->now ? next : f->now;
        pv_ice_handle_timeout(f->agent, f->now);
        drain(f);
        must(pv_ice_next_timeout(f->agent) > f->now);
    }
    f->now = until;
    pv_ice_handle_timeout(f->agent, f->now);
}

static void new_creds(struct fuzz *f, struct pv_ice_creds *creds)
{
    struct pv_rng r = rng(f);
    pv_ice_make_creds(&r, creds);
}

static void operate(struct fuzz *f)
{
    static const pv_ns STEPS[] = {PV_MS(1), PV_MS(10), PV_MS(100), PV_S(1), PV_S(10), PV_S(100)};
    struct pv_ice_cand cands[64];
    struct pv_ice_carrier c = {0};
    struct pv_addr a;
    size_t n;

    switch (take(f) % 13) {
    case 0: {
        uint8_t b = take(f);
        pass(f, STEPS[b % 6] * (1 + b / 6));
        break;
    }
    case 1:
        n = candidates(f, cands);
        (void)!pv_ice_set_remote(f->agent, &f->remote, cands, n, f->now);
        break;
    case 2:
        n = candidates(f, cands);
        pv_ice_set_local(f->agent, cands, n, f->now);
        break;
    case 3:
        raw_datagram(f);
        break;
    case 4:
        authentic_request(f);
        break;
    case 5:
    case 6:
        authentic_answer(f);
        break;
    case 7:
        pv_ice_kick(f->agent, f->now);
        break;
    case 8: {
        pv_ns tx = f->now - PV_MS(10) * (take(f) % 64);
        pv_ice_note_traffic(f->agent, tx, f->now - PV_MS(10) * (take(f) % 64), f->now);
        break;
    }
    case 9:
        a = address(take(f));
        pv_ice_note_stray(f->agent, &c, &a, take(f) * 8u, f->now);
        break;
    case 10:
        new_creds(f, &f->local);
        must(pv_ice_restart(f->agent, &f->local, f->now) == PV_OK);
        break;
    case 11:
        new_creds(f, &f->remote);
        n = candidates(f, cands);
        must(pv_ice_set_remote(f->agent, &f->remote, cands, n, f->now) == PV_OK);
        break;
    case 12:
        pv_ice_set_lifetime(f->agent, PV_S(take(f)), f->now);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct fuzz f = {.in = data, .left = len, .now = PV_S(1000), .second = PV_S(1000)};
    struct pv_trace trace = {0};
    uint8_t mode = take(&f);

    new_creds(&f, &f.local);
    new_creds(&f, &f.remote);
    struct pv_ice_config cfg = {.controlling = (mode & 1) != 0,
                                .foreign = (mode & 2) != 0,
                                .local = f.local,
                                .rng = rng(&f),
                                .trace = &trace};
    must(pv_ice_new(&f.agent, &cfg, f.now) == PV_OK);
    for (unsigned i = 0; i < MAX_OPS && f.left > 0; i++) {
        operate(&f);
        drain(&f);
        list(&f);
    }
    pass(&f, PV_S(700)); /* past dormancy */
    drain(&f);
    pv_ice_free(f.agent);
    pv_trace_done(&trace);
    return 0;
}
