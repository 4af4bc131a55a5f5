/* SPDX-License-Identifier: MIT */
/*
 * fake_peers.h - members of the fake node's network as peers that a test can have online, away, or
 * at the end of a path, without any packet. Facts about them reach the part as the engine does it.
 */
#pragma once

#include "crypto/dh.h"
#include "daemon/core/peer/peer_int.h"
#include "daemon/core/peer/peers.h"
#include "tests/unit/daemon/core/fake_node.h"

struct fake_peers {
    struct fake_node *node;
    struct pv_wg_device device;
};

/* The engine's work when a peer is about to be freed. */
static inline void fake_peers_on_gone(void *arg, struct pv_peer *p, pv_ns now)
{
    const struct fake_peers *fp = arg;
    if (fp->node->self != NULL && fp->node->part->on_peer_gone != NULL)
        fp->node->part->on_peer_gone(fp->node->self, p, now);
}

static inline void fake_peers_done(void *peers)
{
    struct fake_peers *fp = peers;
    fp->node->node.peers = pv_peers_free(fp->node->node.peers);
    pv_fp_builder_free(fp->node->node.fp);
}

/* After fake_node_init(); they end before the node does. */
static inline void fake_peers_init(struct fake_peers *fp, struct fake_node *f)
{
    *fp = (struct fake_peers){.node = f};
    pv_wg_device_init(&fp->device, f->identity.dh_sk);
    f->node.keys.device = &fp->device;
    assert_int_equal(pv_fp_builder_new(&f->node.fp, &f->node.rng), PV_OK);
    const struct pv_peers_config cfg = {.node = &f->node, .on_gone = fake_peers_on_gone, .arg = fp};
    assert_int_equal(pv_peers_new(&f->node.peers, &cfg), PV_OK);
    /* marks are on disk */
    f->node.common->gen.safe = f->node.common->tai.safe = UINT64_MAX;
    f->node.common->gen.own = true;
    f->end = fake_peers_done;
    f->end_arg = fp;
}

/* Tells the part what is new about peers and the node, then it runs, as the engine does it. */
static inline void fake_peers_settle(struct fake_peers *fp)
{
    struct fake_node *f = fp->node;
    while (f->node.facts != 0 || pv_peers_has_news(f->node.peers)) {
        unsigned facts = f->node.facts;
        f->node.facts = 0;
        if (facts != 0 && f->part->on_facts != NULL)
            f->part->on_facts(f->self, facts, f->now);
        while (f->node.facts == 0 && pv_peers_has_news(f->node.peers)) {
            struct pv_peer *p = pv_peers_take_news(f->node.peers, &facts);
            if (f->part->on_peer != NULL)
                f->part->on_peer(f->self, p, facts, f->now);
            pv_peers_told(f->node.peers, p, f->now);
        }
    }
    if (f->part->run != NULL)
        f->part->run(f->self, f->now);
}

/* The member of fake_node_member() with this seed and name. */
static inline struct pv_peer *fake_peers_member(struct fake_peers *fp, unsigned seed,
                                                const char *name, uint16_t ip)
{
    struct fake_node *f = fp->node;
    fake_node_member(f, seed, name, ip);
    const struct keys k = keys_of(seed);
    const struct pv_member *m = pv_roster_by_node(f->node.roster, k.pk);
    assert_non_null(m);
    assert_int_equal(pv_peers_add_member(f->node.peers, m, f->now), PV_OK);
    return pv_peers_by_pk(f->node.peers, k.pk);
}

/* The coordinator says whether it is online. */
static inline void fake_peers_presence(struct fake_peers *fp, struct pv_peer *p,
                                       enum pv_presence presence)
{
    pv_peer_set_presence(p, presence, 1, fp->node->now);
    pv_peers_touch(fp->node->node.peers, p, fp->node->now);
    pv_peers_raise(fp->node->node.peers, p, PV_PEER_FACT_PRESENCE);
    fake_peers_settle(fp);
}

/* A path to it begins, or ends. */
static inline void fake_peers_path(struct fake_peers *fp, struct pv_peer *p, bool there)
{
    const struct pv_carrier path = {.kind = PV_CARRIER_UDP,
                                    .local = pv_addr4(192, 0, 2, 1, 4000),
                                    .remote = pv_addr4(192, 0, 2, 2, 4000)};
    pv_peer_use_path(p, there ? &path : NULL, fp->node->now);
    pv_peers_touch(fp->node->node.peers, p, fp->node->now);
    fake_peers_settle(fp);
}

/* It leaves the network. */
static inline void fake_peers_leaves(struct fake_peers *fp, struct pv_peer *p)
{
    struct fake_node *f = fp->node;
    if (f->part->on_member_gone != NULL)
        f->part->on_member_gone(f->self, pv_peer_pk(p), f->now);
    pv_peers_drop(f->node.peers, p, f->now);
    fake_peers_settle(fp);
}
