/* SPDX-License-Identifier: MIT */
/* The common parts of all peers of a node: the wall clock, and whose an index or ufrag is. */
#include <stdlib.h>

#include "daemon/core/peer/peer_int.h"

/* The core has no clock: it continues the wall time of the last call from the shell. A step back of
 * `now` counts as none. */
uint64_t pv_peer_env_wall(const struct pv_peer_env *env, pv_ns now)
{
    return env->wall_us + (now > env->wall_at ? (now - env->wall_at) / 1000 : 0);
}

const char *pv_peer_env_why_no_kem(const struct pv_peer_env *env)
{
    return env->kem != NULL || env->kem_why == NULL ? "" : env->kem_why;
}

struct pv_peer *pv_peer_by_index(struct pv_peer_env *env, uint32_t index)
{
    struct pv_peer_index *e;
    PV_MAP_FIND(&env->index_map, env->indices, &index, sizeof(index), e);
    return e == NULL ? NULL : e->peer;
}

struct pv_peer *pv_peer_by_ufrag(struct pv_peer_env *env,
                                 const char ufrag[static PV_ICE_UFRAG_MAX + 1])
{
    struct pv_peer_ufrag *e;
    PV_MAP_FIND(&env->ufrag_map, env->ufrags, ufrag, PV_ICE_UFRAG_MAX + 1, e);
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
    PV_MAP_ADD(&p->env->index_map, p->env->indices, index, e, status);
    if (status != PV_OK)
        free(e);
    return status;
}

void pv_peer_drop_index(struct pv_peer *p, uint32_t index)
{
    struct pv_peer_index *e;
    PV_MAP_FIND(&p->env->index_map, p->env->indices, &index, sizeof(index), e);
    if (e == NULL || e->peer != p)
        return;
    PV_MAP_DEL(p->env->indices, e);
    free(e);
}

/* All indices of the node are looked through: this happens only when a peer goes. */
void pv_peer_drop_indices(struct pv_peer *p)
{
    struct pv_peer_index *e = p->env->indices;
    while (e != NULL) {
        struct pv_peer_index *next = e->hh.next;
        if (e->peer == p) {
            PV_MAP_DEL(p->env->indices, e);
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
    unsigned n = p->env->workers, slot = p->id & 0xffff;
    uint8_t worker = (uint8_t)(n > 1 ? slot % n : 0);
    uint32_t index;
    do {
        index = pv_fp_builder_draw_index(p->env->fp, &p->env->rng, worker);
    } while (pv_peer_by_index(p->env, index) != NULL);
    return index;
}
