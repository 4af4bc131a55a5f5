/* SPDX-License-Identifier: MIT */
/* Presence of nodes, subscriptions to it, and marks on the subscriptions whose connection has not
 * been told the latest. Nothing is sent from here. */
#include "coordinator/core/broker.h"

#include <stdlib.h>
#include <string.h>

/* One connection's wish to hear of one node. It stands in two lists, so that a connection that ends
 * and a node that changes each find theirs without a search. */
struct pv_sub {
    struct pv_sub_key {
        struct pv_conn *conn;
        struct pv_bnode *node;
    } key;
    bool dirty;                     /* the connection has not been told the latest */
    struct pv_sub *s_prev, *s_next; /* of the connection */
    struct pv_sub *n_prev, *n_next; /* of the node */
    UT_hash_handle hh;              /* in the broker, by key: both are asked for at once */
};

void pv_broker_init(struct pv_broker *b, size_t max_nodes, const struct pv_rng *rng)
{
    *b = (struct pv_broker){.map = pv_map_make(rng, 2 * max_nodes),
                            .max_nodes = max_nodes,
                            .sub_map = pv_map_make(rng, (size_t)UINT32_MAX)};
}

void pv_broker_done(struct pv_broker *b)
{
    struct pv_bnode *n;
    struct pv_bnode *next;
    HASH_ITER(hh, b->nodes, n, next)
    {
        PV_MAP_DEL(b->nodes, n);
        free(n);
    }
}

/* The map is by network and node, as one identity may be in several networks. */
static struct pv_bnode *find_node(const struct pv_broker *b, const struct pv_cnet *net,
                                  const uint8_t *node)
{
    struct pv_bnode_key key;
    struct pv_bnode *n = NULL;
    memcpy(key.network, net->id, sizeof(key.network));
    memcpy(key.node, node, sizeof(key.node));
    PV_MAP_FIND(&b->map, b->nodes, &key, sizeof(key), n);
    return n;
}

/* An entry is made also for a node that is not known in the network: members may know more than a
 * coordinator whose backup is old. */
static int find_or_add_node(struct pv_broker *b, struct pv_cnet *net, const uint8_t *node,
                            struct pv_bnode **ret_node)
{
    struct pv_bnode *n = find_node(b, net, node);
    int r = PV_OK;
    if (n == NULL) {
        n = calloc(1, sizeof(*n));
        if (n == NULL)
            return PV_ERR_NOMEM;
        memcpy(n->key.network, net->id, sizeof(n->key.network));
        memcpy(n->key.node, node, sizeof(n->key.node));
        PV_MAP_ADD(&b->map, b->nodes, key, n, r);
        if (r < 0) {
            free(n);
            return r;
        }
        n->net = net;
        net->n_presence++;
    }
    *ret_node = n;
    return PV_OK;
}

/* An entry without a connection and without subscriptions is forgotten, or subscribing to random
 * keys would fill the map. */
static void drop_if_unused(struct pv_broker *b, struct pv_bnode *n)
{
    if (n->conn != NULL || n->subs != NULL)
        return;
    PV_MAP_DEL(b->nodes, n);
    n->net->n_presence--;
    free(n);
}

/* Marks are enough: when a node comes and goes ten times while a connection has no room, that
 * connection is told once, the last state. */
static void mark_subscribers(struct pv_bnode *n)
{
    for (struct pv_sub *sub = n->subs; sub != NULL; sub = sub->n_next) {
        if (!sub->dirty)
            sub->key.conn->n_dirty++;
        sub->dirty = true;
    }
}

/* The older connection loses its place here at once, so that its end does not count as the
 * node's. */
int pv_broker_online(struct pv_broker *b, struct pv_conn *s, uint64_t wall_us,
                     struct pv_conn **ret_old)
{
    struct pv_bnode *n = NULL;
    int r = find_or_add_node(b, s->net, s->node, &n);
    if (r < 0)
        return r;
    struct pv_conn *old = n->conn;
    if (old != NULL)
        old->bnode = NULL;
    else
        b->online++;
    n->conn = s;
    s->bnode = n;
    /* A new value even when two hellos fall into one microsecond: subscribers compare it. */
    n->since_us = wall_us > n->since_us ? wall_us : n->since_us + 1;
    mark_subscribers(n);
    *ret_old = old;
    return PV_OK;
}

/* Takes a subscription out of the lists of its connection and of its node, and frees it. */
static void remove_sub(struct pv_broker *b, struct pv_sub *sub)
{
    struct pv_conn *s = sub->key.conn;
    struct pv_bnode *n = sub->key.node;
    if (sub->s_prev != NULL)
        sub->s_prev->s_next = sub->s_next;
    else
        s->subs = sub->s_next;
    if (sub->s_next != NULL)
        sub->s_next->s_prev = sub->s_prev;
    if (sub->n_prev != NULL)
        sub->n_prev->n_next = sub->n_next;
    else
        n->subs = sub->n_next;
    if (sub->n_next != NULL)
        sub->n_next->n_prev = sub->n_prev;
    s->n_subs--;
    s->n_dirty -= sub->dirty ? 1 : 0;
    PV_MAP_DEL(b->subs, sub);
    free(sub);
    drop_if_unused(b, n);
}

/* bnode is NULL for a connection that was replaced: its node is online by the newer one. */
void pv_broker_leave(struct pv_broker *b, struct pv_conn *s, uint64_t wall_us)
{
    struct pv_bnode *n = s->bnode;
    while (s->subs != NULL)
        remove_sub(b, s->subs);
    if (n == NULL)
        return;
    s->bnode = NULL;
    n->conn = NULL;
    n->since_us = wall_us > n->since_us ? wall_us : n->since_us + 1;
    b->online--;
    mark_subscribers(n);
    drop_if_unused(b, n);
}

struct pv_conn *pv_broker_find(const struct pv_broker *b, const struct pv_cnet *net,
                               const uint8_t node[static PV_SIGN_PK_LEN])
{
    const struct pv_bnode *n = find_node(b, net, node);
    return n == NULL ? NULL : n->conn;
}

static struct pv_ctl_presence presence_of(const struct pv_bnode *n)
{
    struct pv_ctl_presence p = {.online = n->conn != NULL, .since_us = n->since_us};
    memcpy(p.node, n->key.node, sizeof(p.node));
    return p;
}

/* A node without an entry has been offline for all that is known. */
struct pv_ctl_presence pv_broker_presence(const struct pv_broker *b, const struct pv_cnet *net,
                                          const uint8_t node[static PV_SIGN_PK_LEN])
{
    const struct pv_bnode *n = find_node(b, net, node);
    if (n != NULL)
        return presence_of(n);
    struct pv_ctl_presence p = {.online = false};
    memcpy(p.node, node, sizeof(p.node));
    return p;
}

/* A request names 256 nodes, and both lists may be a thousand long: so neither is searched. */
static struct pv_sub *find_sub(const struct pv_broker *b, struct pv_conn *s, struct pv_bnode *n)
{
    const struct pv_sub_key key = {.conn = s, .node = n};
    struct pv_sub *sub = NULL;
    PV_MAP_FIND(&b->sub_map, b->subs, &key, sizeof(key), sub);
    return sub;
}

/* May a subscription make one more entry? A hello always may: there are fewer connections than the
 * map has room for beyond this limit. */
static bool may_add_node(const struct pv_broker *b, const struct pv_cnet *net)
{
    return net->n_presence < pv_roster_count(net->roster) + PV_BROKER_STRANGE_MAX &&
           HASH_CNT(hh, b->nodes) < b->max_nodes;
}

/* An entry that was only made for this is dropped again when there is no memory for the
 * subscription. */
int pv_broker_subscribe(struct pv_broker *b, struct pv_conn *s,
                        const uint8_t node[static PV_SIGN_PK_LEN])
{
    struct pv_bnode *n = NULL;
    if (!may_add_node(b, s->net) && find_node(b, s->net, node) == NULL)
        return PV_ERR_LIMIT;
    int r = find_or_add_node(b, s->net, node, &n);
    if (r < 0 || find_sub(b, s, n) != NULL)
        return r;
    struct pv_sub *sub = calloc(1, sizeof(*sub));
    if (sub == NULL) {
        drop_if_unused(b, n);
        return PV_ERR_NOMEM;
    }
    sub->key.conn = s;
    sub->key.node = n;
    PV_MAP_ADD(&b->sub_map, b->subs, key, sub, r);
    if (r < 0) {
        free(sub);
        drop_if_unused(b, n);
        return r;
    }
    sub->s_next = s->subs;
    sub->n_next = n->subs;
    if (s->subs != NULL)
        s->subs->s_prev = sub;
    if (n->subs != NULL)
        n->subs->n_prev = sub;
    s->subs = sub;
    n->subs = sub;
    s->n_subs++;
    return PV_OK;
}

void pv_broker_unsubscribe(struct pv_broker *b, struct pv_conn *s,
                           const uint8_t node[static PV_SIGN_PK_LEN])
{
    struct pv_bnode *n = find_node(b, s->net, node);
    struct pv_sub *sub = n == NULL ? NULL : find_sub(b, s, n);
    if (sub != NULL)
        remove_sub(b, sub);
}

/* The state is read now, not when it changed, so the connection is told what is true. */
size_t pv_broker_take_news(struct pv_conn *s, struct pv_ctl_presence *ret_nodes, size_t max)
{
    size_t n = 0;
    for (struct pv_sub *sub = s->subs; sub != NULL && s->n_dirty > 0 && n < max;
         sub = sub->s_next) {
        if (!sub->dirty)
            continue;
        sub->dirty = false;
        s->n_dirty--;
        ret_nodes[n++] = presence_of(sub->key.node);
    }
    return n;
}

struct pv_conn *pv_broker_next_subscriber(const struct pv_broker *b, const struct pv_cnet *net,
                                          const uint8_t node[static PV_SIGN_PK_LEN],
                                          const struct pv_sub **iter)
{
    const struct pv_bnode *n = NULL;
    if (*iter != NULL)
        *iter = (*iter)->n_next;
    else if ((n = find_node(b, net, node)) != NULL)
        *iter = n->subs;
    return *iter == NULL ? NULL : (*iter)->key.conn;
}
