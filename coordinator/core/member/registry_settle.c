/* SPDX-License-Identifier: MIT */
/* Settles networks in their turns, and lists those that changed. */
#include "coordinator/core/member/registry.h"

void pv_registry_mark_changed(struct pv_registry *reg, struct pv_cnet *net)
{
    if (net->changed)
        return;
    net->changed = true;
    net->next_changed = reg->changed;
    reg->changed = net;
}

struct pv_cnet *pv_registry_poll_changed(struct pv_registry *reg)
{
    struct pv_cnet *net = reg->changed;
    if (net == NULL)
        return NULL;
    reg->changed = net->next_changed;
    net->changed = false;
    return net;
}

/* Members that went are told of as they go, so that their end costs others no more than this. */
int pv_registry_settle_some(struct pv_registry *reg, struct pv_cnet *net, pv_ns now)
{
    int r = pv_unsettled_settle(&reg->unsettled, net, reg->steps, reg->log);
    bool stuck = r == PV_ERR_NOMEM && net->n_gone == 0;
    if (r == PV_OK || net->n_gone > 0)
        pv_registry_mark_changed(reg, net);
    if (r != PV_OK)
        reg->retry_at = pv_min_ns(reg->retry_at, now + (stuck ? PV_S(PV_REGISTRY_RETRY_S) : 0));
    return r == PV_OK ? r : PV_ERR_AGAIN;
}

/* Epochs are the store's to give: one is above all that other coordinators gave. */
void pv_registry_came(struct pv_registry *reg, struct pv_cnet *net, uint64_t epoch, pv_ns now)
{
    if (epoch > reg->epoch)
        reg->epoch = epoch;
    (void)!pv_registry_settle_some(reg, net, now);
    net->n_gone = 0; /* nobody is connected yet */
}

void pv_registry_sweep(struct pv_registry *reg,
                       bool (*is_used)(void *ctx, const struct pv_cnet *net), void *ctx)
{
    struct pv_cnet **at = &reg->dropped;
    while (*at != NULL) {
        struct pv_cnet *net = *at;
        if (net->changed || net->unsettled || pv_registry_uses(reg, net) || is_used(ctx, net)) {
            at = &net->next_dropped;
            continue;
        }
        *at = net->next_dropped;
        pv_cnet_free(net);
    }
}

void pv_registry_rested(struct pv_registry *reg, pv_ns now)
{
    reg->retry_at = pv_min_ns(reg->retry_at, now);
}
