/* SPDX-License-Identifier: MIT */
/* presence.c - asks for the presence of members, and tells their peers. */
#include "daemon/core/member/presence.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/core/coord/coordinator.h"
#include "daemon/core/node/node.h"
#include "daemon/core/peer/peers.h"
#include "proto/ice/ice.h"

#define HURRY_CUT_OFF PV_S(600) /* as long as an idle path is kept, DESIGN 5 */
/* Ours: attempts to reach a peer for whom packets wait begin at least so often. */
#define HURRY_REACHING PV_S(120)

struct presence {
    struct pv_node *node;
    pv_ns ask_at; /* about those that are doubted; PV_NEVER: there was none */
};

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct presence *x = part;
    x->ask_at = PV_NEVER;
    return PV_OK;
}

/* --- asking ----------------------------------------------------------------------------------- */

static void subscribe(struct pv_node *n, const uint8_t (*nodes)[PV_SIGN_PK_LEN], size_t count)
{
    struct pv_ctl_msg msg = {.type = PV_CTL_SUBSCRIBE};
    if (!n->online || count == 0)
        return;
    msg.u.subscribe.on = true;
    msg.u.subscribe.n = count;
    msg.u.subscribe.nodes = nodes;
    int r = pv_coord_ask(n, &pv_part_presence, &msg, 0);
    if (r != PV_OK)
        pv_log(n->log, PV_LOG_WARN, "what=\"presence not asked for\" why=\"%s\"", pv_strstatus(r));
}

void pv_presence_subscribe(struct pv_node *n, const uint8_t *pk)
{
    uint8_t nodes[1][PV_SIGN_PK_LEN];
    memcpy(nodes[0], pk, sizeof(nodes[0]));
    subscribe(n, (const uint8_t(*)[PV_SIGN_PK_LEN])nodes, 1);
}

/* In a small network everybody's presence costs little and lists are complete at once; in a large
 * one each change would reach thousands of nodes that do not care. */
static bool is_small(const struct pv_node *n)
{
    return n->roster != NULL && pv_roster_count(n->roster) <= PV_PRESENCE_ALL;
}

/* A new connection knows of no wish: everybody in a small network, in a large one those in use. */
static void subscribe_again(struct pv_node *n)
{
    uint8_t(*nodes)[PV_SIGN_PK_LEN] = calloc(PV_CTL_NODES_MAX, PV_SIGN_PK_LEN);
    size_t count = 0;
    bool all = is_small(n);
    if (nodes == NULL)
        return;
    for (struct pv_peer *p = NULL; (p = pv_peers_next_member(n->peers, p)) != NULL;) {
        if (!all && !pv_peer_is_used(p))
            continue;
        memcpy(nodes[count++], pv_peer_pk(p), PV_SIGN_PK_LEN);
        if (count == PV_CTL_NODES_MAX) {
            subscribe(n, (const uint8_t(*)[PV_SIGN_PK_LEN])nodes, count);
            count = 0;
        }
    }
    subscribe(n, (const uint8_t(*)[PV_SIGN_PK_LEN])nodes, count);
    free(nodes);
}

/* --- hearing ---------------------------------------------------------------------------------- */

/* Parts hear of a change only: the coordinator repeats the whole list after each connect, and most
 * of it is known. */
void pv_presence_take(struct pv_node *n, const struct pv_ctl_presences *list, pv_ns now)
{
    for (size_t i = 0; i < list->n; i++) {
        const struct pv_ctl_presence *x = &list->nodes[i];
        struct pv_peer *p = pv_peers_by_pk(n->peers, x->node);
        if (p == NULL)
            continue;
        enum pv_presence was = pv_peer_presence(p);
        pv_peer_notes(p)->there = x->online;
        pv_peer_set_presence(p, x->online ? PV_PRESENCE_ONLINE : PV_PRESENCE_OFFLINE, x->since_us,
                             now);
        pv_peers_touch(n->peers, p, now);
        if (was != pv_peer_presence(p))
            pv_peers_raise(n->peers, p, PV_PEER_FACT_PRESENCE);
    }
}

static void on_answer(void *part, uint64_t tag, const struct pv_ctl_msg *msg, pv_ns now)
{
    struct presence *x = part;
    if (msg->type == PV_CTL_PRESENCE)
        pv_presence_take(x->node, &msg->u.presence, now);
}

/* An applicant's welcome counts for nothing here: it has no network whose members could be
 * there. */
static void on_push(void *part, const struct pv_ctl_msg *msg, pv_ns now)
{
    struct presence *x = part;
    if (msg->type == PV_CTL_WELCOME && x->node->online)
        subscribe_again(x->node);
    else if (msg->type == PV_CTL_PRESENCE)
        pv_presence_take(x->node, &msg->u.presence, now);
}

/* The same holds for whoever comes by the phone port; it has no agent. */
static void hurry_for_phone_port(struct pv_node *n, pv_ns now)
{
    for (struct pv_peer *p = NULL; (p = pv_peers_next(n->peers, p)) != NULL;) {
        if (pv_peer_beyond_phone_port(p)->family != PV_AF_NONE)
            pv_coord_hurry(n, now + HURRY_CUT_OFF, now);
    }
}

/* Nobody tells any more who is there. */
static void forget_all(struct pv_node *n, pv_ns now)
{
    for (struct pv_peer *p = NULL; (p = pv_peers_next_member(n->peers, p)) != NULL;) {
        pv_peer_notes(p)->subscribed = false;
        pv_peer_notes(p)->there = false;
        /* A peer that talks through its relay is cut off, and cannot say so once that path is
         * gone. */
        const struct pv_ice_agent *agent = pv_peer_agent(p);
        if (pv_peer_is_relayed(p) && pv_peer_path(p)->via == 0 && agent != NULL &&
            pv_ice_state(agent) != PV_ICE_DORMANT)
            pv_coord_hurry(n, now + HURRY_CUT_OFF, now);
        if (pv_peer_presence(p) == PV_PRESENCE_UNKNOWN)
            continue;
        pv_peer_set_presence(p, PV_PRESENCE_UNKNOWN, 0, now);
        pv_peers_touch(n->peers, p, now);
    }
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct presence *x = part;
    if ((facts & PV_FACT_OFFLINE) != 0 && !x->node->online) {
        forget_all(x->node, now);
        hurry_for_phone_port(x->node, now);
    }
}

/* It said goodbye, and the coordinator has said nothing of the kind. */
static bool is_doubted(const struct pv_peer *p)
{
    return pv_peer_presence(p) == PV_PRESENCE_OFFLINE && pv_peer_notes_of(p)->there;
}

static void on_due(void *part, pv_ns now)
{
    struct presence *x = part;
    x->ask_at = PV_NEVER;
    for (struct pv_peer *p = NULL; (p = pv_peers_next_member(x->node->peers, p)) != NULL;) {
        if (is_doubted(p))
            pv_presence_subscribe(x->node, pv_peer_pk(p));
    }
}

static void on_peer(void *part, struct pv_peer *p, unsigned facts, pv_ns now)
{
    struct presence *x = part;
    struct pv_node *n = x->node;
    bool reaching = pv_peer_state(p) == PV_PEER_REACHING;
    if (pv_peer_is_static(p))
        return;
    if ((facts & PV_PEER_FACT_PRESENCE) != 0 && is_doubted(p))
        x->ask_at = pv_min_ns(x->ask_at, now + PV_PRESENCE_DOUBT);
    /* It may have come, and this node's way to the coordinator died without a word. */
    if (pv_peer_presence(p) == PV_PRESENCE_OFFLINE && pv_peer_is_wanted(p, now))
        pv_coord_doubt(n);
    if (reaching && !n->online)
        pv_coord_hurry(n, now + HURRY_REACHING, now);
    /* In a large network nobody asked before it was wanted; in a small one it may be new. */
    bool wanted = reaching || ((facts & PV_PEER_FACT_MEMBER) != 0 && is_small(n));
    if (wanted && n->online && !pv_peer_notes(p)->subscribed) {
        pv_peer_notes(p)->subscribed = true;
        pv_presence_subscribe(n, pv_peer_pk(p));
    }
}

const struct pv_part pv_part_presence = {
    .name = "presence",
    .size = PV_PART_SIZE(struct presence),
    .start = start,
    .due = PV_PART_DUE(struct presence, ask_at),
    .on_due = on_due,
    .on_facts = on_facts,
    .on_peer = on_peer,
    .on_answer = on_answer,
    .on_push = on_push,
};
