/* SPDX-License-Identifier: MIT */
/*
 * peer_world.h - two nodes that have peers and nothing else: no engine, no fast path, no network
 * but a loop that hands the datagrams and descriptions of one to the other, in virtual time.
 */
#pragma once

#include <stdatomic.h>
#include <stdio.h>

#include "crypto/ct.h"
#include "crypto/dh.h"
#include "daemon/core/peer/peer_int.h"
#include "proto/stun/demux.h"
#include "tests/unit/test_util.h"

enum {
    MAX_PEERS = 64,
};

/* A node and its peers; the first is the other node. */
struct node {
    struct test_rng seed;
    struct pv_node node;
    struct pv_identity identity;
    struct pv_peers_common common;
    uint8_t pk[32];
    uint8_t dh_sk[32], dh_pk[32];
    struct pv_wg_device device;
    struct pv_addr addr;
    struct pv_peer *peers[MAX_PEERS];
    size_t n_peers;
    size_t n_descs; /* descriptions sent */
    struct pv_desc last;
};

struct world {
    pv_ns now;
    struct node n[2];
    bool no_signals;  /* descriptions are lost */
    bool no_network;  /* datagrams are lost */
    size_t datagrams; /* sent */
};

static void make_node(struct world *w, int i)
{
    struct node *n = &w->n[i];
    struct pv_node *node = &n->node;
    node->rng = test_rng_make(&n->seed, 7 + (uint64_t)i);
    pv_rng_fill(&node->rng, n->pk, sizeof(n->pk));
    n->pk[0] = (uint8_t)i; /* the first has the lower identity key */
    pv_dh_keypair(&node->rng, n->dh_sk, n->dh_pk);
    pv_wg_device_init(&n->device, n->dh_sk);
    n->addr = pv_addr4(192, 0, 2, (uint8_t)(1 + i), 4000);
    memcpy(n->identity.sign_pk, n->pk, sizeof(n->pk));
    node->identity = &n->identity;
    node->keys.device = &n->device;
    node->given.mtu = 1420;
    node->wall = (struct pv_wall){.us = UINT64_C(1800000000000000), .at = w->now};
    node->ways.n_locals = 1;
    node->ways.locals[0] = (struct pv_ice_cand){
        .type = PV_ICE_HOST,
        .addr = n->addr,
        .priority = pv_ice_priority(PV_ICE_HOST, 65535),
        .foundation = 1,
        .carrier = {.kind = PV_ICE_CARRIER_UDP, .local = n->addr},
    };
    assert_int_equal(pv_fp_builder_new(&node->fp, &node->rng), PV_OK);
    pv_peers_common_init(&n->common, node);
    n->common.signalling = true;
    n->common.gen.safe = n->common.tai.safe = UINT64_MAX; /* marks are on disk */
    n->common.gen.own = true;
}

static struct pv_peer *add_peer(struct world *w, int i, const uint8_t *pk, const uint8_t *transport)
{
    struct node *n = &w->n[i];
    struct pv_peer *p;
    assert_true(n->n_peers < MAX_PEERS);
    assert_int_equal(pv_peer_new_member(&p, &n->node, pk, transport), PV_OK);
    n->peers[n->n_peers++] = p;
    return p;
}

static void free_world(void *ctx)
{
    struct world *w = ctx;
    for (int i = 0; i < 2; i++) {
        struct node *n = &w->n[i];
        while (n->n_peers > 0)
            pv_peer_free(n->peers[--n->n_peers]);
        assert_null(n->node.common->indices);
        assert_null(n->node.common->ufrags);
        assert_int_equal(n->node.common->n_reaching, 0);
        pv_fp_builder_free(n->node.fp);
    }
    free(w);
}

static struct world *make_world(void)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    test_defer(free_world, w);
    w->now = PV_S(1000);
    make_node(w, 0);
    make_node(w, 1);
    for (int i = 0; i < 2; i++)
        add_peer(w, i, w->n[1 - i].pk, w->n[1 - i].dh_pk);
    return w;
}

/* A datagram of node i arrives at the other. */
static void deliver(struct world *w, int i, const struct pv_peer_transmit *tx)
{
    struct node *to = &w->n[1 - i];
    struct pv_peer *p = to->peers[0];
    const struct pv_carrier from = {
        .kind = PV_CARRIER_UDP, .local = to->addr, .remote = w->n[i].addr};
    struct pv_view data = pv_view(tx->buf, tx->len);
    const struct pv_wg_device *device;
    struct pv_wg_initiation in;
    w->datagrams++;
    if (w->no_network || p == NULL || !pv_addr_equal(&tx->dst, &to->addr))
        return;
    switch (pv_demux(data)) {
    case PV_DEMUX_STUN:
        (void)!pv_peer_handle_stun(p, &from, data, w->now);
        break;
    case PV_DEMUX_WG_INITIATION:
        device = pv_peer_key_addressed(&to->node, data);
        if (device != NULL && pv_wgmsg_identify(device, data, &in) == PV_OK &&
            pv_peer_has_key(p, in.static_pk, w->now))
            (void)!pv_peer_handle_initiation(p, &in, &from, w->now);
        break;
    case PV_DEMUX_WG_RESPONSE:
        (void)!pv_peer_handle_reply(p, PV_WGMSG_RESPONSE, data, &from, w->now);
        break;
    default:
        fail_msg("a datagram that no peer sends");
    }
}

static bool pump_node(struct world *w, int i)
{
    struct node *n = &w->n[i];
    bool any = false;
    for (size_t k = 0; k < n->n_peers; k++) {
        struct pv_peer *p = n->peers[k];
        struct pv_peer_transmit tx;
        struct pv_desc desc;
        pv_peer_settle(p, w->now);
        while (n->node.common->signalling && pv_peer_take_desc(p, w->now, &desc)) {
            any = true;
            n->n_descs++;
            n->last = desc;
            if (k == 0 && !w->no_signals && w->n[1 - i].n_peers > 0)
                pv_peer_handle_desc(w->n[1 - i].peers[0], &desc, w->now);
        }
        while (pv_peer_poll_transmit(p, &tx) == PV_OK) {
            any = true;
            deliver(w, i, &tx);
        }
    }
    return any;
}

static void pump(struct world *w)
{
    unsigned rounds = 0;
    while (pump_node(w, 0) | pump_node(w, 1))
        assert_true(++rounds < 1000); /* they come to rest */
}

static void pass(struct world *w, pv_ns time)
{
    pv_ns end = w->now + time;
    pump(w);
    for (;;) {
        pv_ns next = PV_NEVER;
        for (int i = 0; i < 2; i++) {
            for (size_t k = 0; k < w->n[i].n_peers; k++)
                next = pv_min_ns(next, pv_peer_next_timeout(w->n[i].peers[k]));
        }
        if (next > end)
            break;
        w->now = next > w->now ? next : w->now + PV_US(1);
        for (int i = 0; i < 2; i++) {
            for (size_t k = 0; k < w->n[i].n_peers; k++) {
                if (pv_peer_next_timeout(w->n[i].peers[k]) <= w->now)
                    pv_peer_handle_timeout(w->n[i].peers[k], w->now);
            }
        }
        pump(w);
    }
    w->now = end;
}

static bool is_up(const struct world *w, int i)
{
    const struct pv_peer *p = w->n[i].peers[0];
    return p->state == PV_PEER_UP && pv_peer_has_path(p) && p->session != NULL;
}

static void want(struct world *w, int i)
{
    pv_peer_want(w->n[i].peers[0], "a test", w->now);
    pump(w);
}
