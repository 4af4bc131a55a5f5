/* SPDX-License-Identifier: MIT */
/* The operator's calls about the networks on a coordinator: look at them, end one, and change the
 * secret that makes new ones. */
#include <string.h>

#include "coordinator/core/coord_int.h"
#include "crypto/ct.h"

void pv_coord_networks(const struct pv_coord *c, pv_ns now,
                       void (*each)(void *ctx, const struct pv_coord_network *net), void *ctx)
{
    for (const struct pv_cnet *n = c->registry.nets; n != NULL; n = n->hh.next) {
        struct pv_coord_network out = {.id = n->id,
                                       .name = pv_roster_network(n->roster)->name,
                                       .members = pv_roster_count(n->roster),
                                       .online = n->n_members,
                                       .statements = n->log_len - n->n_empty,
                                       .seen_s =
                                           n->n_members > 0 ? pv_coord_wall(c, now) : n->seen_s};
        for (size_t i = 0; i < n->log_len; i++)
            out.bytes += n->log[i].entry == NULL ? 0 : n->log[i].entry->st.raw.len;
        each(ctx, &out);
    }
}

void pv_coord_set_secret(struct pv_coord *c, const uint8_t secret[static PV_CTL_SECRET_LEN])
{
    memcpy(c->secret, secret, PV_CTL_SECRET_LEN);
}

void pv_coord_set_policy(struct pv_coord *c, const struct pv_coord_policy *policy)
{
    c->open = policy->open;
    c->stun = policy->stun;
    c->n_stun = policy->n_stun;
    pv_registry_set_limits(&c->registry, policy->net_limits);
    pv_relaylink_set_policy(c->link, policy->relay);
}

int pv_coord_drop_begin(struct pv_coord *c, const uint8_t id[static PV_NETWORK_ID_LEN])
{
    struct pv_cnet *net = pv_registry_find(&c->registry, id);
    if (net == NULL)
        return PV_ERR_NOT_FOUND;
    if (net->dropping)
        return PV_ERR_EXISTS;
    net->dropping = true;
    return PV_OK;
}

/* Guests who join it are sent away too. */
void pv_coord_drop_end(struct pv_coord *c, const uint8_t id[static PV_NETWORK_ID_LEN], bool done,
                       pv_ns now)
{
    struct pv_cnet *net = pv_registry_find(&c->registry, id);
    if (net == NULL)
        return;
    if (!done) {
        net->dropping = false;
        return;
    }
    for (struct pv_conn *s = c->conns; s != NULL; s = s->hh.next) {
        if (s->net == net && s->state != PV_CONN_CLOSING)
            pv_coord_end(c, s, PV_CTL_E_UNKNOWN_NETWORK,
                         "this coordinator does not serve that network any more", now);
    }
    pv_coord_forget_net(c, net);
}
