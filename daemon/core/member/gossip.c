/* SPDX-License-Identifier: MIT */
/* gossip.c - tells the exchange of statements who can be talked to, and carries its messages. */
#include "daemon/core/member/gossip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/member/membership.h"
#include "daemon/core/member/rostersync.h"
#include "daemon/core/node/node.h"
#include "daemon/core/peer/peers.h"

enum {
    FEW_HELPERS = 3, /* ours: when one of the first comes, peers that wait for a signal are told */
};

struct gossip {
    struct pv_node *node;
    struct pv_rostersync *sync;
    struct pv_rostersync_transmit tx; /* too large for the stack */
    bool can_forward;                 /* peers are to be told that somebody passes signals on */
};

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct gossip *g = part;
    (void)cfg;
    (void)now;
    return pv_rostersync_new(&g->sync, g->node->identity->sign_pk, &g->node->rng);
}

static void free_gossip(void *part)
{
    struct gossip *g = part;
    pv_rostersync_free(g->sync);
}

/* In-band messages reach the peer, or no longer do. */
static void on_peer(void *part, struct pv_peer *p, unsigned facts, pv_ns now)
{
    struct gossip *g = part;
    bool up = !pv_peer_is_static(p) && g->node->roster != NULL && pv_peer_can_talk(p, now);
    (void)facts;
    if (up == pv_peer_notes(p)->in_sync)
        return;
    if (!up)
        pv_rostersync_peer_down(g->sync, pv_peer_pk(p), now);
    else if (pv_rostersync_peer_up(g->sync, pv_peer_pk(p), now) != PV_OK)
        return;
    pv_peer_set_in_sync(p, up);
    /* The first ones that can pass signals on are news for all that wait; later ones are found by
     * the next repetition. */
    g->can_forward =
        g->can_forward || (up && pv_peer_count_in_sync(p) <= FEW_HELPERS && !g->node->online);
}

/* A peer may be freed while it is reached; the exchange would keep its place for ever. */
static void on_peer_gone(void *part, struct pv_peer *p, pv_ns now)
{
    struct gossip *g = part;
    if (!pv_peer_notes(p)->in_sync)
        return;
    pv_rostersync_peer_down(g->sync, pv_peer_pk(p), now);
    pv_peer_set_in_sync(p, false);
}

/* While the coordinator is there it tells every member what changed, and members need not repeat it
 * to each other at once. Without it this exchange is the only way. */
static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct gossip *g = part;
    if ((facts & PV_FACT_NETWORK) != 0)
        pv_rostersync_set_roster(g->sync, g->node->roster);
    if ((facts & PV_FACT_STATEMENTS) != 0 && g->node->online)
        pv_rostersync_changed(g->sync, now);
    else if ((facts & PV_FACT_STATEMENTS) != 0)
        pv_rostersync_changed_alone(g->sync, now);
}

/* A difference that an exchange could not settle is a problem until a later one has: both may be
 * updated since.
 */
static void tell_outcome(struct pv_node *n, const char *peer, enum pv_rostersync_event_type type,
                         pv_ns now)
{
    char differ[PV_ROSTER_TEXT], other[PV_ROSTER_TEXT];
    snprintf(differ, sizeof(differ),
             "this node and %s keep different statements although they exchanged them: one of them "
             "was told something else",
             peer);
    snprintf(other, sizeof(other),
             "this node and %s have the same statements and not the same members: update the older "
             "of the two",
             peer);
    if (type != PV_ROSTERSYNC_EV_DISAGREES)
        pv_node_report_over(n, PV_FROM_MEMBERS, differ);
    if (type != PV_ROSTERSYNC_EV_DIFFERS)
        pv_node_report_over(n, PV_FROM_MEMBERS, other);
    if (type != PV_ROSTERSYNC_EV_AGREES)
        pv_node_report(n, PV_FROM_MEMBERS, type == PV_ROSTERSYNC_EV_DISAGREES ? differ : other,
                       now);
}

/* The exchange's messages go out, and differences that it could not settle are reported. */
static void run_gossip(void *part, pv_ns now)
{
    struct gossip *g = part;
    struct pv_node *n = g->node;
    struct pv_rostersync_event ev;
    while (pv_rostersync_poll_transmit(g->sync, &g->tx, now) == PV_OK) {
        struct pv_peer *p = pv_peers_by_pk(n->peers, g->tx.peer);
        if (p != NULL)
            pv_peers_send(n->peers, p, PV_INBAND_STATEMENTS, pv_view(g->tx.body, g->tx.len));
    }
    while (pv_rostersync_poll_event(g->sync, &ev) == PV_OK) {
        const struct pv_peer *p = pv_peers_by_pk(n->peers, ev.peer);
        if (p != NULL)
            tell_outcome(n, pv_peer_name(p), ev.type, now);
    }
    if (!g->can_forward)
        return;
    g->can_forward = false;
    pv_peers_node_changed(n->peers, false, now);
}

static void take_statements(void *part, struct pv_peer *from, struct pv_view body, pv_ns now)
{
    struct gossip *g = part;
    uint8_t pk[PV_SIGN_PK_LEN];
    memcpy(pk, pv_peer_pk(from), sizeof(pk));
    /* A member can send anything: at a higher level it could fill the log. */
    int r = pv_rostersync_handle(g->sync, pv_peer_pk(from), body, now);
    if (r != PV_OK)
        pv_log(g->node->log, PV_LOG_DEBUG, "peer=%s what=\"statements dropped\" why=\"%s\"",
               pv_peer_name(from), pv_strstatus(r));
    run_gossip(g, now);
    pv_membership_settle(g->node, now);
    /* Its statements may have ended its membership. */
    struct pv_peer *p = pv_peers_by_pk(g->node->peers, pk);
    if (p == NULL || !pv_rostersync_knows(g->sync, pk))
        return;
    pv_peer_notes(p)->spread = g->node->spread;
    pv_roster_head(g->node->roster, pv_peer_notes(p)->rules.head);
}

void pv_gossip_hurry(struct pv_node *n, pv_ns now)
{
    struct gossip *g = pv_node_part(n, &pv_part_gossip);
    pv_rostersync_ask(g->sync, now);
    run_gossip(g, now);
}

bool pv_gossip_knows(const struct pv_node *n, const struct pv_peer *p)
{
    struct gossip *g = pv_node_part(n, &pv_part_gossip);
    return n->roster != NULL && pv_rostersync_knows(g->sync, pv_peer_pk(p));
}

void pv_gossip_head_seen(struct pv_node *n, const struct pv_peer *p, const uint8_t *head,
                         const uint8_t *members, pv_ns now)
{
    struct gossip *g = pv_node_part(n, &pv_part_gossip);
    pv_rostersync_head_seen(g->sync, pv_peer_pk(p), head, members, now);
}

static void handle_timeout(void *part, pv_ns now)
{
    struct gossip *g = part;
    pv_rostersync_handle_timeout(g->sync, now);
}

static pv_ns next_timeout(const void *part)
{
    const struct gossip *g = part;
    return pv_rostersync_next_timeout(g->sync);
}

static const struct pv_inband_handler inband[] = {{PV_INBAND_STATEMENTS, take_statements}};

const struct pv_part pv_part_gossip = {
    .name = "gossip",
    .after = {"rules"}, /* nothing leaves for a new member before its packets are judged */
    .size = PV_PART_SIZE(struct gossip),
    .start = start,
    .free = free_gossip,
    .on_facts = on_facts,
    .on_peer = on_peer,
    .on_peer_gone = on_peer_gone,
    .run = run_gossip,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .inband = inband,
    .n_inband = PV_ARRAY_LEN(inband),
};
