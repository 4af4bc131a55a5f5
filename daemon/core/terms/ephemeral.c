/* SPDX-License-Identifier: MIT */
/* ephemeral.c - who is silent, and since when. */
#include "daemon/core/terms/ephemeral.h"

#include <string.h>

#include "daemon/core/admin/ending.h"
#include "daemon/core/member/owed.h"
#include "daemon/core/member/presence.h"
#include "daemon/core/member/rostersync_part.h"
#include "daemon/core/node/node.h"
#include "daemon/core/peer/peer.h"
#include "daemon/core/peer/peers.h"

struct ephemeral {
    struct pv_node *node;
    pv_ns patience; /* until a silent member is removed */
    pv_ns since;    /* this node is connected; PV_NEVER: it is not */
    pv_ns look_at;
};

/* A member that is there, as this node hears it. */
struct silence {
    pv_ns since;    /* 0: it is not silent */
    pv_ns asked_at; /* the coordinator to tell of it */
};

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct ephemeral *x = part;
    uint8_t chance = 0;
    pv_rng_fill(&x->node->rng, &chance, sizeof(chance));
    x->patience = PV_EPHEMERAL_SILENCE + PV_EPHEMERAL_CHANCE / 255 * chance;
    x->since = x->look_at = PV_NEVER;
    return PV_OK;
}

/* Is a member silent for so long that it is to go? One that has expired is nobody's peer, and was
 * not heard for longer than that by anybody: it has had its time once this node would have seen it
 * come back. */
static bool is_gone(struct ephemeral *x, const struct pv_member *m, pv_ns now)
{
    struct pv_peer *p = pv_peers_by_pk(x->node->peers, m->node);
    struct silence *s = p == NULL ? NULL : pv_peer_slot(p, &pv_part_ephemeral);
    if (s == NULL)
        return m->state == PV_MEMBER_EXPIRED && now - x->since >= x->patience;
    if (s->asked_at < x->since) {
        pv_presence_subscribe(x->node, m->node);
        s->asked_at = now;
    }
    if (pv_peer_presence(p) != PV_PRESENCE_OFFLINE || pv_peer_reach(p) != PV_REACH_NO)
        s->since = 0;
    else if (s->since < x->since)
        s->since = now; /* it may have been there while this node was not */
    return s->since != 0 && now - s->since >= x->patience;
}

static void drop(struct ephemeral *x, const struct pv_member *m, pv_ns now)
{
    struct pv_node *n = x->node;
    char name[PV_NAME_BUF];
    uint8_t pk[PV_SIGN_PK_LEN];
    memcpy(name, m->name, sizeof(name));
    memcpy(pk, m->node, sizeof(pk)); /* the member goes with its peer */
    int r = pv_ending_remove(n, pk, now);
    pv_log(n->log, r == PV_OK ? PV_LOG_INFO : PV_LOG_WARN,
           "what=\"ephemeral member %s\" peer=%s%s%s", r == PV_OK ? "removed" : "not removed", name,
           r == PV_OK ? "" : " why=", r == PV_OK ? "" : pv_strstatus(r));
    if (r != PV_OK)
        return;
    pv_owed_hurry(n, now);
    pv_rostersync_hurry(n, now);
}

/* One at a time: what it does changes the roster. Also counts those that there are. */
static const struct pv_member *find_gone(struct ephemeral *x, size_t *ret_n, pv_ns now)
{
    const struct pv_roster *r = x->node->roster;
    const struct pv_member *gone = NULL;
    *ret_n = 0;
    for (const struct pv_member *m = pv_roster_next(r, NULL); m != NULL; m = pv_roster_next(r, m)) {
        if (!pv_member_is_ephemeral(m) ||
            memcmp(m->node, x->node->identity->sign_pk, sizeof(m->node)) == 0)
            continue;
        ++*ret_n;
        if (is_gone(x, m, now))
            gone = m;
    }
    for (const struct pv_member *m = pv_roster_next_aside(r, NULL); m != NULL;
         m = pv_roster_next_aside(r, m)) {
        if (!pv_member_is_ephemeral(m) || m->state != PV_MEMBER_EXPIRED)
            continue;
        ++*ret_n;
        if (is_gone(x, m, now))
            gone = m;
    }
    return gone;
}

static void look(void *part, pv_ns now)
{
    struct ephemeral *x = part;
    const struct pv_node *n = x->node;
    size_t there = 0;
    x->look_at = PV_NEVER;
    if (!n->online)
        x->since = PV_NEVER;
    else if (x->since == PV_NEVER)
        x->since = now;
    if (!n->online || !n->up || pv_node_self(n) == NULL ||
        (pv_roster_rights(n->roster, n->identity->sign_pk) & PV_RIGHT_REVOKE) == 0)
        return;
    const struct pv_member *gone = find_gone(x, &there, now);
    if (gone != NULL)
        drop(x, gone, now);
    if (there > 0)
        x->look_at = now + PV_EPHEMERAL_LOOK;
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct ephemeral *x = part;
    if ((facts &
         (PV_FACT_NETWORK | PV_FACT_ROSTER | PV_FACT_ONLINE | PV_FACT_OFFLINE | PV_FACT_UP)) != 0)
        x->look_at = pv_min_ns(x->look_at, now);
}

const struct pv_part pv_part_ephemeral = {
    .name = "ephemeral",
    .peer_size = sizeof(struct silence),
    .size = PV_PART_SIZE(struct ephemeral),
    .start = start,
    .on_facts = on_facts,
    .due = PV_PART_DUE(struct ephemeral, look_at),
    .on_due = look,
};
