/* SPDX-License-Identifier: MIT */
/* linkkeys_part.c - connects linkkeys with peers and in-band messages. */
#include "daemon/core/chat/linkkeys_part.h"

#include <stdlib.h>

#include "daemon/core/node/node.h"
#include "daemon/core/peer/peers.h"

struct linkkeys_part {
    struct pv_node *node;
    struct pv_linkkeys *keys; /* owned; node.chat.keys is the same */
};

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct linkkeys_part *l = part;
    (void)cfg;
    (void)now;
    int r = pv_linkkeys_new(&l->keys, &l->node->rng, l->node->identity->sign_pk);
    if (r != PV_OK)
        return r;
    l->node->chat.keys = l->keys;
    return PV_OK;
}

static void free_part(void *part)
{
    struct linkkeys_part *l = part;
    l->node->chat.keys = pv_linkkeys_free(l->keys);
}

/* A static peer has no p2pvpnd that could prove anything. */
static void on_peer(void *part, struct pv_peer *p, unsigned facts, pv_ns now)
{
    struct linkkeys_part *l = part;
    (void)facts;
    if (pv_peer_is_static(p))
        return;
    const struct pv_desc *theirs = pv_peer_remote(p);
    const struct pv_linkkeys_seen seen = {
        .described = theirs != NULL,
        .capable = theirs != NULL && (theirs->caps & PV_DESC_CAP_PROOF) != 0,
        .there = pv_peer_can_talk(p, now),
    };
    if (pv_linkkeys_look(l->keys, pv_peer_pk(p), &seen, now))
        pv_peers_raise(l->node->peers, p, PV_PEER_FACT_LINK);
}

static void on_member_gone(void *part, const uint8_t *pk, pv_ns now)
{
    struct linkkeys_part *l = part;
    (void)now;
    pv_linkkeys_gone(l->keys, pk);
}

static void take_secret(void *part, struct pv_peer *from, struct pv_view body, pv_ns now)
{
    struct linkkeys_part *l = part;
    if (pv_linkkeys_take(l->keys, pv_peer_pk(from), body, now))
        pv_peers_raise(l->node->peers, from, PV_PEER_FACT_LINK);
}

static void run(void *part, pv_ns now)
{
    struct linkkeys_part *l = part;
    struct pv_linkkeys_transmit tx;
    (void)now;
    while (pv_linkkeys_poll_transmit(l->keys, &tx) == PV_OK) {
        struct pv_peer *p = pv_peers_by_pk(l->node->peers, tx.pk);
        if (p != NULL) /* without a path it is repeated */
            pv_peers_send(l->node->peers, p, PV_INBAND_LINK, pv_view(tx.body, sizeof(tx.body)));
    }
}

static void handle_timeout(void *part, pv_ns now)
{
    struct linkkeys_part *l = part;
    pv_linkkeys_handle_timeout(l->keys, now);
}

static pv_ns next_timeout(const void *part)
{
    const struct linkkeys_part *l = part;
    return pv_linkkeys_next_timeout(l->keys);
}

static const struct pv_inband_handler inband[] = {{PV_INBAND_LINK, take_secret}};

const struct pv_part pv_part_linkkeys = {
    .name = "linkkeys",
    .after = {"membership"},
    .size = PV_PART_SIZE(struct linkkeys_part),
    .start = start,
    .free = free_part,
    .on_peer = on_peer,
    .on_member_gone = on_member_gone,
    .run = run,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .inband = inband,
    .n_inband = PV_ARRAY_LEN(inband),
};
