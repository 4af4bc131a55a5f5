/* SPDX-License-Identifier: MIT */
/* askers.c - the table; a network has one only once somebody has asked. */
#include "coordinator/core/member/askers.h"

#include <stdlib.h>
#include <string.h>

struct pv_askers {
    size_t n;
    struct pv_ctl_asker v[PV_CTL_ASKERS_MAX];
};

static bool waits(const struct pv_cnet *net, const uint8_t *node)
{
    const struct pv_member *m = pv_roster_known(net->roster, node);
    return m != NULL && m->state == PV_MEMBER_WAITING;
}

/* The place of this node: its own, a free one, or that of who asked longest ago; who does not wait
 * any more goes first. */
static struct pv_ctl_asker *place_of(const struct pv_cnet *net, const uint8_t *node)
{
    struct pv_askers *a = net->askers;
    struct pv_ctl_asker *oldest = &a->v[0];
    for (size_t i = 0; i < a->n; i++) {
        if (memcmp(a->v[i].node, node, PV_SIGN_PK_LEN) == 0)
            return &a->v[i];
        if (!waits(net, a->v[i].node))
            a->v[i].time_us = 0;
        if (a->v[i].time_us < oldest->time_us)
            oldest = &a->v[i];
    }
    return a->n < PV_CTL_ASKERS_MAX ? &a->v[a->n++] : oldest;
}

void pv_askers_note(struct pv_cnet *net, const uint8_t node[static PV_SIGN_PK_LEN],
                    const struct pv_addr *from, uint64_t time_us)
{
    if (net->askers == NULL)
        net->askers = calloc(1, sizeof(*net->askers));
    if (net->askers == NULL)
        return;
    struct pv_ctl_asker *x = place_of(net, node);
    *x = (struct pv_ctl_asker){.from = *from, .time_us = time_us};
    x->from.port = 0; /* a hint for people, who know networks and not ports */
    memcpy(x->node, node, PV_SIGN_PK_LEN);
}

size_t pv_askers_list(const struct pv_cnet *net,
                      struct pv_ctl_asker ret_askers[static PV_CTL_ASKERS_MAX])
{
    size_t n = 0;
    for (size_t i = 0; net->askers != NULL && i < net->askers->n; i++) {
        if (waits(net, net->askers->v[i].node))
            ret_askers[n++] = net->askers->v[i];
    }
    return n;
}

struct pv_askers *pv_askers_free(struct pv_askers *a)
{
    free(a);
    return NULL;
}
