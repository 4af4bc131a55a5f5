/* SPDX-License-Identifier: MIT */
/* Members that were removed or left lose their connections here, a few in each turn: a removal can
 * concern thousands, each with news to be told and thousands who want to know that it is offline.
 */
#include "coordinator/core/coord_int.h"

enum {
    GONE_A_TURN = 8, /* ours: connections that end before others are served */
};

/* The statement that ends the membership goes out before the end: it is the node's proof, and it
 * need not believe a coordinator that just hangs up. */
static void drop(struct pv_coord *c, struct pv_conn *s, const struct pv_member *m, pv_ns now)
{
    while (pv_bulk_is_behind(s) && !s->stalled && !s->dead)
        pv_bulk_send_page(c, s, now);
    if (m != NULL && m->state == PV_MEMBER_LEFT)
        pv_coord_end(c, s, PV_CTL_E_UNKNOWN_NODE, "this node left the network", now);
    else
        pv_coord_end(c, s, PV_CTL_E_REVOKED, "this node was removed from the network", now);
}

static void list_net(struct pv_coord *c, struct pv_cnet *net)
{
    struct pv_cnet **at = &c->gone;
    if (net->is_going)
        return;
    net->is_going = true;
    net->next_going = NULL;
    while (*at != NULL)
        at = &(*at)->next_going;
    *at = net;
}

static void unlist_net(struct pv_coord *c, struct pv_cnet *net)
{
    struct pv_cnet **at = &c->gone;
    if (!net->is_going)
        return;
    while (*at != net)
        at = &(*at)->next_going;
    *at = net->next_going;
    net->is_going = false;
}

/* First the relay, so that nothing of theirs is relayed any more, then their connection. One that
 * has expired and is connected renews itself at once, and one may have come back before it
 * was its turn here: by a word about the removal that is dated before it. */
void pv_gone_drop(struct pv_coord *c, struct pv_cnet *net, pv_ns now)
{
    for (int n = 0; net->n_gone > 0 && n < GONE_A_TURN;) {
        const uint8_t *node = net->gone[--net->n_gone];
        struct pv_conn *s = pv_broker_find(&c->broker, net, node);
        const struct pv_member *m = pv_roster_known(net->roster, node);
        if (m != NULL &&
            (m->state == PV_MEMBER_ACTIVE || (s != NULL && m->state == PV_MEMBER_EXPIRED)))
            continue;
        pv_relaylink_gone(c->link, net->id, node);
        if (s == NULL)
            continue;
        drop(c, s, m, now);
        n++;
    }
    unlist_net(c, net);
    if (net->n_gone > 0)
        list_net(c, net);
}

struct pv_cnet *pv_gone_next(const struct pv_coord *c)
{
    struct pv_cnet *net = c->gone;
    while (net != NULL && net->resting)
        net = net->next_going;
    return net;
}

struct pv_cnet *pv_gone_handle_timeout(struct pv_coord *c, pv_ns now)
{
    struct pv_cnet *net = pv_gone_next(c);
    if (net != NULL)
        pv_gone_drop(c, net, now);
    return net;
}
