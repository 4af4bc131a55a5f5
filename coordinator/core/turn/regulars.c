/* SPDX-License-Identifier: MIT */
/* Addresses of members: a table whose hash is keyed, so that nobody can choose whom a new address
 * displaces. */
#include "coordinator/core/turn/regulars.h"

#include <stdlib.h>
#include <string.h>

int pv_regulars_init(struct pv_regulars *t, const struct pv_rng *rng)
{
    t->map = pv_map_make(rng, PV_REGULARS_SETS);
    t->slots = calloc((size_t)PV_REGULARS_SETS * PV_REGULARS_WAYS, sizeof(*t->slots));
    return t->slots == NULL ? PV_ERR_NOMEM : PV_OK;
}

void pv_regulars_done(struct pv_regulars *t)
{
    free(t->slots);
    t->slots = NULL;
}

/* The ways of the set that an address belongs to; its key goes to ret_net. */
static struct pv_regular *set_of(const struct pv_regulars *t, const struct pv_addr *source,
                                 uint8_t ret_net[static 9])
{
    memset(ret_net, 0, 9);
    ret_net[0] = (uint8_t)(1 + (int)source->family);
    memcpy(ret_net + 1, source->ip, source->family == PV_AF_INET6 ? 8 : 4);
    return &t->slots[(pv_map_hash(&t->map, ret_net, 9) % PV_REGULARS_SETS) * PV_REGULARS_WAYS];
}

void pv_regulars_note(struct pv_regulars *t, const struct pv_addr *source, pv_ns now)
{
    uint8_t net[9];
    struct pv_regular *ways = set_of(t, source, net), *slot = &ways[0];
    for (size_t i = 0; i < PV_REGULARS_WAYS; i++) {
        if (memcmp(ways[i].net, net, sizeof(net)) == 0) {
            slot = &ways[i];
            break;
        }
        if (ways[i].seen < slot->seen)
            slot = &ways[i];
    }
    memcpy(slot->net, net, sizeof(net));
    slot->seen = now;
}

bool pv_regulars_has(const struct pv_regulars *t, const struct pv_addr *source, pv_ns now)
{
    uint8_t net[9];
    const struct pv_regular *ways = set_of(t, source, net);
    for (size_t i = 0; i < PV_REGULARS_WAYS; i++)
        if (memcmp(ways[i].net, net, sizeof(net)) == 0)
            return now < ways[i].seen + PV_S(PV_REGULARS_KEEP_S);
    return false;
}
