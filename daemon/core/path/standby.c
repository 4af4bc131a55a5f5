/* SPDX-License-Identifier: MIT */
/* standby.c - another socket before the NAT ends the binding of this one. */
#include "daemon/core/path/standby.h"

#include <stdlib.h>

#include "daemon/core/nat/gatherer.h"
#include "daemon/core/path/bindings.h"
#include "daemon/core/path/sockops.h"
#include "daemon/core/peer/peers.h"

#define TRY_AGAIN PV_S(10) /* ours: a socket could not be opened */

enum {
    SOCKS = 8,          /* ids in turn: a late datagram of a closed socket meets no new one */
    REPLACE_TENTHS = 7, /* of the binding's age: then another one is made */
    KEEP_TENTHS = 3,    /* of it: so long the former socket stays beside the new one */
};

struct standby {
    struct pv_node *node;
    uint16_t sock;    /* in use; 0 = the main one */
    pv_ns since;      /* its binding's birth; 0 = not known */
    uint16_t opening; /* the next one, being opened; 0 = none */
    pv_ns try_at;     /* not before */
    bool has_old;     /* the last one still serves */
    uint16_t old;
    pv_ns old_until;
    unsigned n; /* how many there were */
    struct pv_sockops ops;
};

static int make(struct pv_node *node, const struct pv_engine_config *cfg, pv_ns now,
                void **ret_part)
{
    struct standby *s = calloc(1, sizeof(*s));
    (void)cfg;
    (void)now;
    if (s == NULL)
        return PV_ERR_NOMEM;
    s->node = node;
    *ret_part = s;
    return PV_OK;
}

/* When the next one is due. A binding whose age is not known may be of any age. That is
 * well before the end: peers have to learn the new addresses while the old binding still serves. */
static pv_ns due(const struct standby *s)
{
    pv_ns end = pv_bindings_end(s->node);
    if (end == 0 || s->opening != 0)
        return PV_NEVER;
    pv_ns when = s->since == 0 ? 0 : s->since + end / 10 * REPLACE_TENTHS;
    return when > s->try_at ? when : s->try_at;
}

static pv_ns next_timeout(const void *part)
{
    const struct standby *s = part;
    return s->has_old ? s->old_until : due(s);
}

/* What still leads over the former socket is given up; the main one serves static peers and IPv6
 * and stays open. */
static void drop_old(struct standby *s, pv_ns now)
{
    struct pv_peers *ps = s->node->peers;
    s->has_old = false;
    for (struct pv_peer *p = NULL; (p = pv_peers_next_member(ps, p)) != NULL;) {
        if (pv_peer_agent(p) == NULL)
            continue;
        pv_ice_drop_carrier(pv_peer_agent(p), s->old, now);
        pv_peers_touch(ps, p, now);
    }
    if (s->old != 0)
        pv_sockops_add(&s->ops, PV_HARDNAT_CLOSE, s->old);
}

/* One change at a time: with two former sockets a peer could hold pairs over a binding that is at
 * its end. */
static void handle_timeout(void *part, pv_ns now)
{
    struct standby *s = part;
    if (s->has_old && now >= s->old_until)
        drop_old(s, now);
    if (!s->has_old && now >= due(s)) {
        s->opening = (uint16_t)(PV_STANDBY_SOCK + s->n++ % SOCKS);
        pv_sockops_add(&s->ops, PV_HARDNAT_OPEN, s->opening);
    }
}

/* The new socket is there: pairs over the former one still serve but are no longer chosen, and
 * everybody is told the new addresses. */
static bool sock_opened(void *part, uint16_t sock, uint16_t port, pv_ns now)
{
    struct standby *s = part;
    struct pv_node *n = s->node;
    if (sock < PV_STANDBY_SOCK)
        return false;
    if (sock != s->opening)
        return true;
    s->opening = 0;
    if (port == 0) {
        s->try_at = now + TRY_AGAIN;
        return true;
    }
    pv_sockops_add(&s->ops, PV_HARDNAT_ADOPT, sock);
    pv_log(n->log, PV_LOG_INFO, "what=\"another socket before the NAT ends the binding\" port=%u",
           port);
    for (struct pv_peer *p = NULL; (p = pv_peers_next_member(n->peers, p)) != NULL;) {
        if (pv_peer_agent(p) != NULL)
            pv_ice_retire_carrier(pv_peer_agent(p), s->sock, PV_AF_INET, now);
    }
    s->has_old = true;
    s->old = s->sock;
    s->old_until = now + pv_bindings_end(n) / 10 * KEEP_TENTHS;
    s->sock = sock;
    s->since = now;
    pv_gatherer_set_socket(n->gatherer, sock, port, now);
    n->sock = sock;
    pv_node_raise(n, PV_FACT_SOCKET);
    return true;
}

static bool poll_sock_op(void *part, struct pv_hardnat_op *ret_op)
{
    struct standby *s = part;
    return pv_sockops_poll(&s->ops, ret_op);
}

const struct pv_part pv_part_standby = {
    .name = "standby",
    .make = make,
    .free = free,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .sock_opened = sock_opened,
    .poll_sock_op = poll_sock_op,
};
