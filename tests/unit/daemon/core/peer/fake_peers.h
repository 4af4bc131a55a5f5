/* SPDX-License-Identifier: MIT */
/*
 * fake_peers.h - a fake node (fake_node.h) with a table of peers, for parts that look at peers:
 * members that a test can have online, away, or at the end of a path, without any packet.
 */
#pragma once

#include "crypto/dh.h"
#include "daemon/core/peer/peer_int.h"
#include "daemon/core/peer/peers.h"
#include "tests/unit/daemon/core/fake_node.h"

struct fake_peers {
    struct fake_node f;
    struct pv_wg_device device;
};

/* The part ends before its peers. */
static inline void fake_peers_done(void *peers)
{
    struct fake_peers *x = peers;
    x->f.node.n_parts = 0;
    if (x->f.self != NULL)
        pv_part_free(x->f.part, x->f.self);
    x->f.self = NULL;
    pv_peers_free(x->f.node.peers);
    pv_fp_builder_free(x->f.node.fp);
}

/* All of it ends by the test's teardown. */
static inline void fake_peers_init(struct fake_peers *x, const struct pv_part *part)
{
    *x = (struct fake_peers){.f.self = NULL};
    fake_node_init(&x->f, part);
    struct pv_node *n = &x->f.node;
    pv_wg_device_init(&x->device, x->f.identity.dh_sk);
    n->keys.device = &x->device;
    assert_ok(pv_fp_builder_new(&n->fp, &n->rng));
    assert_ok(pv_peers_new(&n->peers, n));
    n->common->gen.safe = n->common->tai.safe = UINT64_MAX; /* marks are on disk */
    n->common->gen.own = true;
    x->f.end = fake_peers_done;
    x->f.end_arg = x;
}

/* A member of the roster and its peer. */
static inline struct pv_peer *fake_peers_member(struct fake_peers *x, unsigned seed,
                                                const char *name, uint16_t ip)
{
    const struct keys k = keys_of(seed);
    fake_node_member(&x->f, seed, name, ip);
    const struct pv_member *m = pv_roster_by_node(x->f.node.roster, k.pk);
    assert_non_null(m);
    assert_ok(pv_peers_add_member(x->f.node.peers, m, x->f.now));
    struct pv_peer *p = pv_peers_by_pk(x->f.node.peers, k.pk);
    assert_non_null(p);
    return p;
}

/* Takes the next in-band message of that type that left for p (NULL: for whomever), in one part,
 * and throws away what left before it; false: there is none. *ret_body lasts until the next call.
 */
static inline bool fake_peers_told(struct fake_peers *x, const struct pv_peer *p,
                                   enum pv_inband_type type, struct pv_view *ret_body)
{
    static struct pv_engine_inject inject;
    struct pv_inband_part part;
    while (pv_fifo_take(&x->f.node.ways.injects, &inject) == PV_OK) {
        if (inject.len == 0 || inject.buf[0] != PV_INBAND_FIRST) /* a keepalive, a packet */
            continue;
        assert_ok(pv_inband_parse(pv_view(inject.buf, inject.len), &part));
        if (part.type != type || (p != NULL && inject.peer != pv_peer_id(p)))
            continue;
        assert_int_equal(part.parts, 1);
        *ret_body = part.body;
        return true;
    }
    return false;
}

/* Facts about the node and about peers reach the part, as the engine does it. */
static inline void fake_peers_settle(struct fake_peers *x)
{
    struct pv_peers *ps = x->f.node.peers;
    do {
        unsigned facts;
        struct pv_peer *p;
        fake_node_settle(&x->f);
        while ((p = pv_peers_take_news(ps, &facts)) != NULL) {
            if (x->f.part->on_peer != NULL)
                x->f.part->on_peer(x->f.self, p, facts, x->f.now);
            pv_peers_told(ps, p, x->f.now);
        }
    } while (x->f.node.facts != 0 || pv_peers_has_news(ps));
    if (x->f.part->run != NULL)
        x->f.part->run(x->f.self, x->f.now);
}

/* p is reached by UDP at that address from now on; NULL: it has no path any more. */
static inline void fake_peers_path(struct fake_peers *x, struct pv_peer *p,
                                   const struct pv_addr *remote)
{
    const struct pv_carrier c = {.kind = PV_CARRIER_UDP,
                                 .remote = remote == NULL ? (struct pv_addr){0} : *remote};
    pv_peer_use_path(p, remote == NULL ? NULL : &c, x->f.now);
    pv_peers_touch(x->f.node.peers, p, x->f.now);
    fake_peers_settle(x);
}

/* The same at any address. */
static inline void fake_peers_reach(struct fake_peers *x, struct pv_peer *p)
{
    const struct pv_addr at = pv_addr4(192, 0, 2, 2, 4000);
    fake_peers_path(x, p, &at);
}

/* The coordinator says whether it is online. */
static inline void fake_peers_presence(struct fake_peers *x, struct pv_peer *p,
                                       enum pv_presence presence)
{
    pv_peer_set_presence(p, presence, 1, x->f.now);
    pv_peers_touch(x->f.node.peers, p, x->f.now);
    pv_peers_raise(x->f.node.peers, p, PV_PEER_FACT_PRESENCE);
    fake_peers_settle(x);
}

/* It leaves the network. */
static inline void fake_peers_leaves(struct fake_peers *x, struct pv_peer *p)
{
    if (x->f.part->on_member_gone != NULL)
        x->f.part->on_member_gone(x->f.self, pv_peer_pk(p), x->f.now);
    pv_peers_drop(x->f.node.peers, p, x->f.now);
    fake_peers_settle(x);
}
