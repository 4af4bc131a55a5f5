/* SPDX-License-Identifier: MIT */
/* Keeps the networks that are not settled in a list, in which each goes to the end after its turn.
 */
#include "coordinator/core/member/unsettled.h"

void pv_unsettled_remove(struct pv_unsettled *u, struct pv_cnet *net)
{
    struct pv_cnet *before = NULL;
    if (!net->unsettled)
        return;
    net->unsettled = false;
    for (struct pv_cnet *n = u->first; n != net; n = n->next_unsettled)
        before = n;
    if (before != NULL)
        before->next_unsettled = net->next_unsettled;
    else
        u->first = net->next_unsettled;
    if (u->last == net)
        u->last = before;
}

int pv_unsettled_settle(struct pv_unsettled *u, struct pv_cnet *net, size_t steps,
                        const struct pv_log *log)
{
    int r = pv_cnet_settle(net, steps, log);
    pv_unsettled_remove(u, net);
    if (r == PV_OK)
        return r;
    net->unsettled = true;
    net->next_unsettled = NULL;
    if (u->last != NULL)
        u->last->next_unsettled = net;
    else
        u->first = net;
    u->last = net;
    return r;
}

struct pv_cnet *pv_unsettled_next(const struct pv_unsettled *u)
{
    struct pv_cnet *net = u->first;
    while (net != NULL && net->resting)
        net = net->next_unsettled;
    return net;
}
