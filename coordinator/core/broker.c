/* SPDX-License-Identifier: MIT */
/* Presence of nodes, subscriptions to it, and marks on the subscriptions whose connection has not
 * been told the latest. Nothing is sent from here. */
#include "coordinator/core/broker.h"

#include <stdlib.h>
#include <string.h>

enum {
    SUBS_FIRST = 8, /* ours: places of a list of subscriptions, which grows by an eighth */
};

void pv_broker_init(struct pv_broker *b, size_t max_nodes, const struct pv_rng *rng)
{
    *b = (struct pv_broker){.map = pv_map_make(rng, 2 * max_nodes), .max_nodes = max_nodes};
}

void pv_broker_done(struct pv_broker *b)
{
    struct pv_bnode *n;
    struct pv_bnode *next;
    HASH_ITER(hh, b->nodes, n, next) {
        PV_MAP_DEL(b->nodes, n);
        free(n->subs);
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
    if (n->conn != NULL || n->gateway != NULL || n->n_subs > 0)
        return;
    PV_MAP_DEL(b->nodes, n);
    n->net->n_presence--;
    free(n->subs);
    free(n);
}

/* --- subscriptions --------------------------------------------------------------------------- */

/* A subscription stands in an array of its connection and in one of its node, in order of what it
 * leads to:
 * neither a connection that ends nor a node that changes searches long. The order is that of keys
 * and of ids, never of addresses: who is told first must be the same in each run of a simulation.
 */

/* The place of node in the list of s, or where it belongs. */
static size_t place_in_conn(const struct pv_conn *s, const struct pv_bnode *node)
{
    size_t lo = 0, hi = s->n_subs;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (memcmp(&s->subs[mid]->key, &node->key, sizeof(node->key)) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The place of s in the list of the node, or where it belongs. */
static size_t place_in_node(const struct pv_bnode *n, const struct pv_conn *s)
{
    size_t lo = 0, hi = n->n_subs;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (n->subs[mid]->id < s->id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static bool is_subscribed(const struct pv_conn *s, const struct pv_bnode *n)
{
    size_t i = place_in_conn(s, n);
    return i < s->n_subs && s->subs[i] == n;
}

/* Marks are enough: when a node comes and goes ten times while a connection has no room, that
 * connection is told once, the last state. */
static void mark_subscribers(struct pv_bnode *n)
{
    for (size_t i = 0; i < n->n_subs; i++) {
        struct pv_conn *s = n->subs[i];
        bool *dirty = &s->subs_dirty[place_in_conn(s, n)];
        s->n_dirty += *dirty ? 0 : 1;
        *dirty = true;
    }
}

/* How many places a list of n gets that has room for cap. */
static uint32_t places_for(uint32_t n, uint32_t cap)
{
    return n < cap ? cap : cap == 0 ? (uint32_t)SUBS_FIRST : cap + cap / 8;
}

static int grow(void **list, uint32_t cap, size_t size)
{
    void *p = realloc(*list, cap * size);
    if (p == NULL)
        return PV_ERR_NOMEM;
    *list = p;
    return PV_OK;
}

/* Room for one more subscription in both. */
static int reserve_sub(struct pv_conn *s, struct pv_bnode *n)
{
    uint32_t of_conn = places_for(s->n_subs, s->subs_cap);
    uint32_t of_node = places_for(n->n_subs, n->subs_cap);
    int r = PV_OK;
    if (of_conn > s->subs_cap) {
        r = grow((void **)&s->subs, of_conn, sizeof(struct pv_bnode *));
        if (r == PV_OK)
            r = grow((void **)&s->subs_dirty, of_conn, sizeof(bool));
        s->subs_cap = r == PV_OK ? of_conn : s->subs_cap;
    }
    if (r == PV_OK && of_node > n->subs_cap) {
        r = grow((void **)&n->subs, of_node, sizeof(struct pv_conn *));
        n->subs_cap = r == PV_OK ? of_node : n->subs_cap;
    }
    return r;
}

static int add_sub(struct pv_conn *s, struct pv_bnode *n)
{
    size_t i = place_in_conn(s, n), k = place_in_node(n, s);
    int r = reserve_sub(s, n);
    if (r < 0)
        return r;
    memmove(s->subs + i + 1, s->subs + i, (s->n_subs - i) * sizeof(struct pv_bnode *));
    memmove(s->subs_dirty + i + 1, s->subs_dirty + i, (s->n_subs - i) * sizeof(bool));
    s->subs[i] = n;
    s->subs_dirty[i] = false;
    s->n_subs++;
    memmove(n->subs + k + 1, n->subs + k, (n->n_subs - k) * sizeof(struct pv_conn *));
    n->subs[k] = s;
    n->n_subs++;
    return PV_OK;
}

/* Takes the i-th subscription of a connection out of both lists. */
static void remove_sub(struct pv_broker *b, struct pv_conn *s, size_t i)
{
    struct pv_bnode *n = s->subs[i];
    size_t k = place_in_node(n, s);
    s->n_dirty -= s->subs_dirty[i] ? 1 : 0;
    s->n_subs--;
    memmove(s->subs + i, s->subs + i + 1, (s->n_subs - i) * sizeof(struct pv_bnode *));
    memmove(s->subs_dirty + i, s->subs_dirty + i + 1, (s->n_subs - i) * sizeof(bool));
    n->n_subs--;
    memmove(n->subs + k, n->subs + k + 1, (n->n_subs - k) * sizeof(struct pv_conn *));
    drop_if_unused(b, n);
}

/* --- presence -------------------------------------------------------------------------------- */

/* The phones of a gateway that connected anew are online by its new connection's word: it says at
 * once which of them are not. */
static void take_phones(struct pv_conn *s, struct pv_conn *old)
{
    for (struct pv_bnode *n = s->net->phones; n != NULL && old->n_phones > 0; n = n->phone_next) {
        if (n->gateway != old)
            continue;
        n->gateway = s;
        s->n_phones++;
        old->n_phones--;
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
    if (old != NULL) {
        old->bnode = NULL;
        take_phones(s, old);
    } else {
        b->online++;
    }
    n->conn = s;
    s->bnode = n;
    /* A new value even when two hellos fall into one microsecond: subscribers compare it. */
    n->since_us = wall_us > n->since_us ? wall_us : n->since_us + 1;
    mark_subscribers(n);
    *ret_old = old;
    return PV_OK;
}

/* bnode is NULL for a connection that was replaced: its node is online by the newer one. */
void pv_broker_leave(struct pv_broker *b, struct pv_conn *s, uint64_t wall_us)
{
    struct pv_bnode *n = s->bnode;
    while (s->n_subs > 0)
        remove_sub(b, s, s->n_subs - 1);
    free(s->subs);
    free(s->subs_dirty);
    s->subs = NULL;
    s->subs_dirty = NULL;
    s->subs_cap = 0;
    if (n == NULL)
        return;
    s->bnode = NULL;
    n->conn = NULL;
    n->since_us = wall_us > n->since_us ? wall_us : n->since_us + 1;
    b->online--;
    mark_subscribers(n);
    drop_if_unused(b, n);
}

static void add_phone(struct pv_cnet *net, struct pv_bnode *n)
{
    struct pv_bnode *after = NULL;
    for (struct pv_bnode *x = net->phones;
         x != NULL && memcmp(&x->key, &n->key, sizeof(n->key)) < 0; x = x->phone_next)
        after = x;
    n->phone_prev = after;
    n->phone_next = after == NULL ? net->phones : after->phone_next;
    if (n->phone_next != NULL)
        n->phone_next->phone_prev = n;
    if (after == NULL)
        net->phones = n;
    else
        after->phone_next = n;
}

static void remove_phone(struct pv_cnet *net, struct pv_bnode *n)
{
    if (n->phone_next != NULL)
        n->phone_next->phone_prev = n->phone_prev;
    if (n->phone_prev == NULL)
        net->phones = n->phone_next;
    else
        n->phone_prev->phone_next = n->phone_next;
}

/* s, or nobody when it is NULL, says that this phone is online. */
static void set_gateway(struct pv_bnode *n, struct pv_conn *s)
{
    if (n->gateway != NULL)
        n->gateway->n_phones--;
    if (s != NULL)
        s->n_phones++;
    if (n->gateway == NULL && s != NULL)
        add_phone(n->net, n);
    else if (n->gateway != NULL && s == NULL)
        remove_phone(n->net, n);
    n->gateway = s;
}

int pv_broker_phone(struct pv_broker *b, struct pv_conn *s,
                    const uint8_t phone[static PV_SIGN_PK_LEN], bool online, uint64_t wall_us,
                    bool *ret_changed)
{
    struct pv_bnode *n = find_node(b, s->net, phone);
    const bool was = n != NULL && n->gateway != NULL;
    *ret_changed = false;
    if (!online && (n == NULL || n->gateway != s))
        return PV_OK; /* it is offline, or online by another gateway's word */
    if (online && (n == NULL || n->gateway != s) && s->n_phones == PV_CTL_PHONES_MAX)
        return PV_ERR_LIMIT;
    if (n == NULL && HASH_CNT(hh, b->nodes) >= b->max_nodes)
        return PV_ERR_LIMIT;
    int r = find_or_add_node(b, s->net, phone, &n);
    if (r < 0)
        return r;
    set_gateway(n, online ? s : NULL);
    *ret_changed = was != online;
    if (was == online)
        return PV_OK;
    n->since_us = wall_us > n->since_us ? wall_us : n->since_us + 1;
    mark_subscribers(n);
    drop_if_unused(b, n);
    return PV_OK;
}

const struct pv_bnode *pv_broker_phone_of(const struct pv_conn *s)
{
    const struct pv_bnode *n = s->n_phones == 0 ? NULL : s->net->phones;
    while (n != NULL && n->gateway != s)
        n = n->phone_next;
    return n;
}

struct pv_conn *pv_broker_find(const struct pv_broker *b, const struct pv_cnet *net,
                               const uint8_t node[static PV_SIGN_PK_LEN])
{
    const struct pv_bnode *n = find_node(b, net, node);
    return n == NULL ? NULL : n->conn;
}

static struct pv_ctl_presence presence_of(const struct pv_bnode *n)
{
    struct pv_ctl_presence p = {.online = n->conn != NULL || n->gateway != NULL,
                                .since_us = n->since_us};
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
    if (r < 0 || is_subscribed(s, n))
        return r;
    r = add_sub(s, n);
    if (r < 0)
        drop_if_unused(b, n);
    return r;
}

void pv_broker_unsubscribe(struct pv_broker *b, struct pv_conn *s,
                           const uint8_t node[static PV_SIGN_PK_LEN])
{
    const struct pv_bnode *n = find_node(b, s->net, node);
    if (n != NULL && is_subscribed(s, n))
        remove_sub(b, s, place_in_conn(s, n));
}

/* The state is read now, not when it changed, so the connection is told what is true. */
size_t pv_broker_take_news(struct pv_conn *s, struct pv_ctl_presence *ret_nodes, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_subs && s->n_dirty > 0 && n < max; i++) {
        if (!s->subs_dirty[i])
            continue;
        s->subs_dirty[i] = false;
        s->n_dirty--;
        ret_nodes[n++] = presence_of(s->subs[i]);
    }
    return n;
}

struct pv_conn *pv_broker_next_subscriber(const struct pv_broker *b, const struct pv_cnet *net,
                                          const uint8_t node[static PV_SIGN_PK_LEN], size_t *iter)
{
    const struct pv_bnode *n = find_node(b, net, node);
    return n == NULL || *iter >= n->n_subs ? NULL : n->subs[(*iter)++];
}
