/* SPDX-License-Identifier: MIT */
/* rostersync_part.c - tells the exchange of statements who can be talked to, and carries its
 * messages. */
#include "daemon/core/member/rostersync_part.h"

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

struct rostersync_part {
    struct pv_node *node;
    struct pv_rostersync *sync;
    bool can_forward; /* peers are to be told that somebody passes signals on */
};

/* A peer keeps this for the part. */
struct kept {
    struct pv_rostersync_peer sync;
    struct pv_peer *peer;
};

static struct pv_rostersync_peer *sync_of(const struct pv_peer *p)
{
    struct kept *k = pv_peer_find_slot(p, &pv_part_rostersync);
    return k == NULL ? NULL : &k->sync;
}

static struct pv_peer *peer_of(struct pv_rostersync_peer *p)
{
    return PV_CONTAINER_OF(p, struct kept, sync)->peer;
}

static void send_body(void *owner, struct pv_rostersync_peer *p, struct pv_view body)
{
    struct rostersync_part *g = owner;
    pv_peers_send(g->node->peers, peer_of(p), PV_INBAND_STATEMENTS, body);
}

/* A difference that an exchange could not settle is a problem until a later one has: both may be
 * updated since.
 */
static void tell_outcome(void *owner, struct pv_rostersync_peer *p,
                         enum pv_rostersync_outcome outcome, pv_ns now)
{
    struct rostersync_part *g = owner;
    const char *peer = pv_peer_name(peer_of(p));
    const char *differ = PV_STR(
        "this node and %s keep different statements although they exchanged them: one of them "
        "was told something else",
        peer);
    const char *other = PV_STR(
        "this node and %s have the same statements and not the same members: update the older "
        "of the two",
        peer);
    if (outcome != PV_ROSTERSYNC_DISAGREES)
        pv_node_report_over(g->node, PV_FROM_MEMBERS, differ);
    if (outcome != PV_ROSTERSYNC_DIFFERS)
        pv_node_report_over(g->node, PV_FROM_MEMBERS, other);
    if (outcome != PV_ROSTERSYNC_AGREES)
        pv_node_report(g->node, PV_FROM_MEMBERS,
                       outcome == PV_ROSTERSYNC_DISAGREES ? differ : other, now);
}

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct rostersync_part *g = part;
    const struct pv_rostersync_config sc = {.own = g->node->identity->sign_pk,
                                            .rng = g->node->rng,
                                            .send = send_body,
                                            .tell = tell_outcome,
                                            .owner = g};
    return pv_rostersync_new(&g->sync, &sc);
}

static void free_rostersync(void *part)
{
    struct rostersync_part *g = part;
    pv_rostersync_free(g->sync);
    pv_peers_drop_slots(g->node->peers, &pv_part_rostersync);
}

static void take_down(struct rostersync_part *g, struct pv_peer *p, pv_ns now)
{
    struct pv_rostersync_peer *sync = sync_of(p);
    if (sync != NULL)
        pv_rostersync_peer_down(g->sync, sync, now);
}

static bool bring_up(struct rostersync_part *g, struct pv_peer *p, pv_ns now)
{
    struct kept *k = pv_peer_slot(p, &pv_part_rostersync);
    if (k == NULL)
        return false;
    k->peer = p;
    return pv_rostersync_peer_up(g->sync, &k->sync, pv_peer_pk(p), now) == PV_OK;
}

/* In-band messages reach the peer, or no longer do. */
static void on_peer(void *part, struct pv_peer *p, unsigned facts, pv_ns now)
{
    struct rostersync_part *g = part;
    bool up = !pv_peer_is_static(p) && g->node->roster != NULL && pv_peer_can_talk(p, now);
    if (up == pv_peer_notes(p)->in_sync)
        return;
    if (!up)
        take_down(g, p, now);
    else if (!bring_up(g, p, now))
        return;
    pv_peer_set_in_sync(p, up);
    /* The first ones that can pass signals on are news for all that wait; later ones are found by
     * the next repetition. */
    g->can_forward =
        g->can_forward || (up && pv_peer_count_in_sync(p) <= FEW_HELPERS && !g->node->online);
}

/* One that leaves counts the members that know (owed.h); one that was removed is told nothing. */
static void on_member_gone(void *part, const uint8_t *pk, pv_ns now)
{
    struct rostersync_part *g = part;
    const struct pv_member *m = pv_roster_known(g->node->roster, pk);
    const struct pv_peer *p = pv_peers_by_pk(g->node->peers, pk);
    struct pv_rostersync_peer *sync = p == NULL ? NULL : sync_of(p);
    if (m != NULL && m->state == PV_MEMBER_LEFT && sync != NULL)
        pv_rostersync_last_word(g->sync, sync);
}

/* A peer may be freed while it is reached; the exchange would keep its place for ever. */
static void on_peer_gone(void *part, struct pv_peer *p, pv_ns now)
{
    take_down(part, p, now);
    pv_peer_set_in_sync(p, false);
}

/* While the coordinator is there it tells every member what changed, and members need not repeat it
 * to each other at once. Without it this exchange is the only way. */
static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct rostersync_part *g = part;
    if ((facts & PV_FACT_NETWORK) != 0)
        pv_rostersync_set_roster(g->sync, g->node->roster);
    if ((facts & PV_FACT_STATEMENTS) != 0 && g->node->online)
        pv_rostersync_changed(g->sync, now);
    else if ((facts & PV_FACT_STATEMENTS) != 0)
        pv_rostersync_changed_alone(g->sync, now);
}

static void run_rostersync(void *part, pv_ns now)
{
    struct rostersync_part *g = part;
    pv_rostersync_run(g->sync, now);
    if (!g->can_forward)
        return;
    g->can_forward = false;
    pv_peers_node_changed(g->node->peers, false, now);
}

static void take_statements(void *part, struct pv_peer *from, struct pv_view body, pv_ns now)
{
    struct rostersync_part *g = part;
    uint8_t pk[PV_SIGN_PK_LEN];
    memcpy(pk, pv_peer_pk(from), sizeof(pk));
    /* A member can send anything: at a higher level it could fill the log. */
    int r = pv_rostersync_handle(g->sync, sync_of(from), body, now);
    if (r != PV_OK)
        pv_log(g->node->log, PV_LOG_DEBUG, "peer=%s what=\"statements dropped\" why=\"%s\"",
               pv_peer_name(from), pv_strstatus(r));
    run_rostersync(g, now);
    pv_membership_settle(g->node, now);
    /* Its statements may have ended its membership. */
    struct pv_peer *p = pv_peers_by_pk(g->node->peers, pk);
    if (p != NULL && pv_rostersync_knows(g->sync, sync_of(p)))
        pv_peer_notes(p)->spread = g->node->spread;
}

void pv_rostersync_hurry(struct pv_node *n, pv_ns now)
{
    struct rostersync_part *g = pv_node_part(n, &pv_part_rostersync);
    pv_rostersync_ask(g->sync, now);
    run_rostersync(g, now);
}

bool pv_rostersync_member_knows(const struct pv_node *n, const struct pv_peer *p)
{
    struct rostersync_part *g = pv_node_part(n, &pv_part_rostersync);
    return n->roster != NULL && pv_rostersync_knows(g->sync, sync_of(p));
}

void pv_rostersync_member_head(struct pv_node *n, const struct pv_peer *p, const uint8_t *head,
                               const uint8_t *members, pv_ns now)
{
    struct rostersync_part *g = pv_node_part(n, &pv_part_rostersync);
    pv_rostersync_head_seen(g->sync, sync_of(p), head, members, now);
}

static void handle_timeout(void *part, pv_ns now)
{
    struct rostersync_part *g = part;
    pv_rostersync_handle_timeout(g->sync, now);
}

static pv_ns next_timeout(const void *part)
{
    const struct rostersync_part *g = part;
    return pv_rostersync_next_timeout(g->sync);
}

static const struct pv_inband_handler inband[] = {{PV_INBAND_STATEMENTS, take_statements}};

const struct pv_part pv_part_rostersync = {
    .name = "rostersync",
    .after = {"rules"}, /* nothing leaves for a new member before its packets are judged */
    .size = PV_PART_SIZE(struct rostersync_part),
    .peer_size = sizeof(struct kept),
    .start = start,
    .free = free_rostersync,
    .on_facts = on_facts,
    .on_peer = on_peer,
    .on_peer_gone = on_peer_gone,
    .on_member_gone = on_member_gone,
    .run = run_rostersync,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .inband = inband,
    .n_inband = PV_ARRAY_LEN(inband),
};
