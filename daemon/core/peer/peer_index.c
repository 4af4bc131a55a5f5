/* SPDX-License-Identifier: MIT */
/* The common state of a node's peers: whose an index or ufrag is. */
#include <stdlib.h>

#include "daemon/core/peer/peer_int.h"

void pv_peers_common_init(struct pv_peers_common *common, struct pv_node *node)
{
    node->common = common;
    node->store.marks[PV_MARK_GEN] = &common->gen;
    node->store.marks[PV_MARK_TAI] = &common->tai;
    pv_pathstats_init(&common->stats);
    common->index_map = pv_map_make(&node->rng, PV_PEER_MAX_INDICES);
    common->ufrag_map = pv_map_make(&node->rng, PV_PEER_MAX);
}

const char *pv_peer_why_no_kem(const struct pv_node *n)
{
    return n->given.kem != NULL || n->given.kem_why == NULL ? "" : n->given.kem_why;
}

struct pv_peer *pv_peer_by_index(const struct pv_node *n, uint32_t index)
{
    struct pv_peer_index *e;
    PV_MAP_FIND(&n->common->index_map, n->common->indices, &index, sizeof(index), e);
    return e == NULL ? NULL : e->peer;
}

struct pv_peer *pv_peer_by_ufrag(const struct pv_node *n,
                                 const char ufrag[static PV_ICE_UFRAG_MAX + 1])
{
    struct pv_peer_ufrag *e;
    PV_MAP_FIND(&n->common->ufrag_map, n->common->ufrags, ufrag, PV_ICE_UFRAG_MAX + 1, e);
    return e == NULL ? NULL : e->peer;
}

int pv_peer_add_index(struct pv_peer *p, uint32_t index)
{
    struct pv_peer_index *e = calloc(1, sizeof(*e));
    if (e == NULL)
        return PV_ERR_NOMEM;
    e->index = index;
    e->peer = p;
    int status;
    PV_MAP_ADD(&p->node->common->index_map, p->node->common->indices, index, e, status);
    if (status != PV_OK)
        free(e);
    return status;
}

void pv_peer_drop_index(struct pv_peer *p, uint32_t index)
{
    struct pv_peer_index *e;
    PV_MAP_FIND(&p->node->common->index_map, p->node->common->indices, &index, sizeof(index), e);
    if (e == NULL || e->peer != p)
        return;
    PV_MAP_DEL(p->node->common->indices, e);
    free(e);
}

/* All indices of the node are looked through: this happens only when a peer goes. */
void pv_peer_drop_indices(struct pv_peer *p)
{
    struct pv_peer_index *e = p->node->common->indices;
    while (e != NULL) {
        struct pv_peer_index *next = e->hh.next;
        if (e->peer == p) {
            PV_MAP_DEL(p->node->common->indices, e);
            free(e);
        }
        e = next;
    }
}

/* An index that no keys and no pending handshake uses. Indices of handshakes under way are only in
 * our map, those of keys only in the builder. */
uint32_t pv_peer_fresh_index(struct pv_peer *p)
{
    /* All of a peer's are one worker's; slots are given out one after the other. */
    unsigned n = p->node->given.workers, slot = p->id & 0xffff;
    uint8_t worker = (uint8_t)(n > 1 ? slot % n : 0);
    uint32_t index;
    do {
        index = pv_fp_builder_draw_index(p->node->fp, &p->node->rng, worker);
    } while (pv_peer_by_index(p->node, index) != NULL);
    return index;
}
