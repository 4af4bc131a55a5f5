/* SPDX-License-Identifier: MIT */
/*
 * standby.c - the part that makes before it breaks (TRAVERSAL 4): some NATs end every binding at
 * a certain age, whatever passes. Where that was measured (bindings.h), a standby socket with a
 * fresh binding takes the place of the one in use at 70 % of that age. Its addresses are gathered
 * and described as any change of address is; the former socket stays open, and its pairs serve
 * until others are proven.
 *
 * State:  IDLE --70 % of the age--> OPENING --opened--> TWO --30 % of the age--> IDLE
 *         OPENING --a port that this node just used--> OPENING, four times at most
 *         OPENING --failed--> IDLE, 10 s later again
 */
#include <stdlib.h>

#include "daemon/core/node/node.h"
#include "daemon/core/path/bindings.h"
#include "daemon/core/path/gatherer.h"
#include "daemon/core/peer/peers.h"

#define TRY_AGAIN PV_S(10) /* ours: a socket could not be opened */

enum {
    SOCKS = 8,          /* ids in turn: a late datagram of a closed socket meets no new one */
    DRAWS = 4,          /* ours: sockets opened for one that is new to the NAT; below SOCKS */
    PORTS = 1024,       /* ours: newest ports kept in mind; an attempt opens 256 */
    REPLACE_TENTHS = 7, /* of the binding's age at its end: when another one is made */
    KEEP_TENTHS = 3,    /* of the binding's age: how long the former socket stays beside it */
};

/* A local port and when a socket got it. */
struct used {
    uint16_t port;
    pv_ns at;
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
    unsigned n;               /* how many there were */
    unsigned draws;           /* for the next one */
    struct used ports[PORTS]; /* of all sockets beside the main one; the oldest is overwritten */
    size_t n_ports;           /* ever */
};

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

/* Closes the former socket, with the paths that still use it. The main socket stays open: it serves
 * static peers and IPv6. */
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
        pv_hardnat_ask(&s->node->ways.sock_ops, PV_HARDNAT_CLOSE, s->old, 0);
}

/* Ids go round, so that an answer about a closed socket is not taken for the next one's. */
static void draw(struct standby *s, pv_ns now)
{
    s->draws++;
    s->opening = (uint16_t)(PV_STANDBY_SOCK + s->n++ % SOCKS);
    if (pv_hardnat_ask(&s->node->ways.sock_ops, PV_HARDNAT_OPEN, s->opening, 0) < 0) {
        s->opening = 0; /* nobody answers */
        s->try_at = now + TRY_AGAIN;
    }
}

/* One change at a time: with two former sockets a peer could hold pairs over a binding that is at
 * its end. */
static void handle_timeout(void *part, pv_ns now)
{
    struct standby *s = part;
    if (s->has_old && now >= s->old_until)
        drop_old(s, now);
    if (!s->has_old && now >= due(s)) {
        s->draws = 0;
        draw(s, now);
    }
}

/* The NAT may still have a binding of that port, born before the socket: a socket lives for up to
 * the age at which bindings end, and the last binding of its port for as long again. A path,
 * which kept one for longer, has few. */
static bool was_used(const struct standby *s, uint16_t port, pv_ns now)
{
    pv_ns kept = 2 * pv_bindings_end(s->node);
    size_t n = s->n_ports < PORTS ? s->n_ports : PORTS;
    for (size_t i = 0; i < n; i++) {
        if (s->ports[i].port == port && now - s->ports[i].at < kept)
            return true;
    }
    return false;
}

/* The new socket serves: pairs over the former one still do but are no longer chosen, and everybody
 * is told the new addresses. */
static void change(struct standby *s, uint16_t sock, uint16_t port, pv_ns now)
{
    struct pv_node *n = s->node;
    if (pv_hardnat_ask(&s->node->ways.sock_ops, PV_HARDNAT_ADOPT, sock, 0) < 0) {
        s->try_at = now + TRY_AGAIN; /* with an address that nobody reads it would serve no peer */
        return;
    }
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
    pv_gatherer_set_socket(n->ways.gatherer, sock, port, now);
    n->ways.sock = sock;
    pv_node_raise(n, PV_FACT_SOCKET);
}

/* The system draws ports at random, now and then one that another socket of this node just had. The
 * age of its binding is not known, so another port is drawn; the last one is taken as it is. */
static void sock_opened(void *part, uint16_t sock, uint16_t port, pv_ns now)
{
    struct standby *s = part;
    bool used = port != 0 && was_used(s, port, now);
    if (port != 0)
        s->ports[s->n_ports++ % PORTS] = (struct used){.port = port, .at = now};
    if (sock != s->opening)
        return;
    s->opening = 0;
    if (port == 0) {
        s->try_at = now + TRY_AGAIN;
    } else if (used && s->draws < DRAWS) {
        pv_hardnat_ask(&s->node->ways.sock_ops, PV_HARDNAT_CLOSE, sock, 0);
        draw(s, now);
    } else {
        change(s, sock, port, now);
    }
}

const struct pv_part pv_part_standby = {
    .name = "standby",
    .size = PV_PART_SIZE(struct standby),
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .sock_opened = sock_opened,
};
