/* SPDX-License-Identifier: MIT */
/*
 * renewal.c - the part that keeps a membership with a lifetime (`invite --member-for`) alive while
 * the node is used, and says whose is about to end (adr 0022).
 *
 * At a third of the lifetime left, a little earlier by chance, the node signs a statement that says
 * what holds anyway. Until the coordinator has given a receipt for one, no other is made. It leaves
 * by all ways that statements have: a member that reaches the coordinator brings it there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/node/node.h"
#include "daemon/core/node/part.h"
#include "daemon/core/node/statuspage.h"
#include "proto/roster/roster_make.h"

enum {
    WARN_S = 14 * 86400, /* seconds before the end, adr 0022; of short lifetimes a quarter */
    LOOK_S = 86400,      /* ours: clocks change, so it looks once a day at least */
    MAX_DOUBLINGS = 10,  /* ours: 1 min to 17 h, where a renewal does not help */
    NAMED = 3,           /* ours: members that one line of `status` names */
};
#define AGAIN PV_S(60)

struct renewal {
    struct pv_node *node;
    uint8_t early;   /* of 255: how much of a tenth of the lifetime it renews early */
    pv_ns look_at;   /* time passed: look */
    pv_ns again_at;  /* not before, although it is due */
    unsigned in_row; /* renewals that left it due */
};

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct renewal *x = part;
    x->look_at = PV_NEVER;
    pv_rng_fill(&x->node->rng, &x->early, sizeof(x->early));
    return PV_OK;
}

/* The time by which memberships end is the coordinator's; where it was never heard this machine's
 * clock has to do. It is never before the receipts that are here. */
static uint64_t time_of_network(const struct pv_node *n, pv_ns now)
{
    uint64_t theirs = pv_node_coord_us(n, now) / 1000000;
    uint64_t wall = theirs != 0 ? theirs : pv_node_wall_s(n, now);
    uint64_t last = pv_roster_time(n->roster);
    return last > wall ? last : wall;
}

/* Seconds until the end, 0 after it. */
static uint64_t left_of(const struct pv_member *m, uint64_t time)
{
    return m->expires > time ? m->expires - time : 0;
}

/* --- this node -------------------------------------------------------------------------------- */

/* A statement of this node that still has no receipt renews it when it gets one. One of a former
 * transport key gets none any more: nobody owes it to the coordinator (owed.c). */
static bool is_under_way(const struct pv_node *n, const struct pv_member *self)
{
    for (const struct pv_roster_entry *e = pv_roster_next_entry(n->roster, NULL); e != NULL;
         e = pv_roster_next_entry(n->roster, e)) {
        if (e->receipt.len == 0 && e->st.type == PV_ST_TRANSPORT &&
            memcmp(e->st.signer, self->node, PV_SIGN_PK_LEN) == 0 &&
            memcmp(e->st.u.transport.transport, self->transport, PV_DH_LEN) == 0)
            return true;
    }
    return false;
}

/* Where it leaves the node due, as by a coordinator whose receipts are of long ago, the next one
 * waits longer each time: each is a statement that everybody keeps. */
static void renew(struct renewal *x, pv_ns now)
{
    struct pv_node *n = x->node;
    struct pv_made made;
    unsigned doublings = x->in_row < MAX_DOUBLINGS ? x->in_row : MAX_DOUBLINGS;
    int r = pv_make_renewal(n->roster, n->identity->sign_sk, pv_node_wall_s(n, now), &made);
    if (r == PV_OK)
        r = pv_membership_say(n, pv_made_view(&made), now);
    pv_log(n->log, r == PV_OK ? PV_LOG_INFO : PV_LOG_WARN, "what=\"membership %s\"%s%s",
           r == PV_OK ? "renewed" : "not renewed",
           r == PV_OK ? "" : " why=", r == PV_OK ? "" : pv_strstatus(r));
    x->again_at = now + (AGAIN << doublings);
    x->in_row++;
}

/* Looked at after each change of the roster, and when the time may have come by the clock. A node
 * that waits to be admitted has nothing to renew, and one that is down is not in use. */
static void look(struct renewal *x, pv_ns now)
{
    const struct pv_node *n = x->node;
    const struct pv_member *self =
        n->roster == NULL ? NULL : pv_roster_enrolled(n->roster, n->identity->sign_pk);
    x->look_at = PV_NEVER;
    if (!n->up || self == NULL || self->lifetime == 0 || self->state == PV_MEMBER_WAITING)
        return;
    uint64_t left = left_of(self, time_of_network(n, now));
    uint64_t due = self->lifetime / 3 + (uint64_t)self->lifetime / 10 * x->early / 255;
    if (left > due) {
        uint64_t wait = left - due < LOOK_S ? left - due : LOOK_S;
        x->in_row = 0;
        x->look_at = now + PV_S(wait);
        return;
    }
    if (now >= x->again_at && !is_under_way(n, self))
        renew(x, now);
    x->look_at = x->again_at > now + AGAIN ? x->again_at : now + AGAIN;
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct renewal *x = part;
    if ((facts & (PV_FACT_NETWORK | PV_FACT_ROSTER | PV_FACT_STATEMENTS | PV_FACT_ONLINE |
                  PV_FACT_UP)) != 0)
        x->look_at = now;
}

/* Not in on_facts(): what it signs changes the roster. */
static void run_renewal(void *part, pv_ns now)
{
    struct renewal *x = part;
    if (now >= x->look_at)
        look(x, now);
}

/* --- what it says ----------------------------------------------------------------------------- */

/* Is the end so near that the renewal must have failed, or the machine is away? */
static bool is_near_end(const struct pv_member *m, uint64_t time)
{
    uint64_t warn = m->lifetime / 4 < WARN_S ? m->lifetime / 4 : WARN_S;
    return m->lifetime > 0 && left_of(m, time) <= warn;
}

/* "in 9d 4h" */
static const char *until_end(const struct pv_member *m, uint64_t time, char *buf, size_t cap)
{
    if (left_of(m, time) == 0)
        return "now";
    snprintf(buf, cap, "in %s", PV_DURATION_STR((double)left_of(m, time)));
    return buf;
}

/* This node's own end: it works, so it must never be a surprise. */
static void show_own(const struct pv_node *n, struct pv_statuspage *st, uint64_t time)
{
    const struct pv_member *self = pv_roster_enrolled(n->roster, n->identity->sign_pk);
    char in[PV_AMOUNT_BUF + 4];
    if (self == NULL || self->state == PV_MEMBER_WAITING)
        return;
    if (self->state == PV_MEMBER_EXPIRED) {
        pv_statuspage_todo(st, "this node's membership has expired: ",
                           self->lifetime > 0 ? PV_DO(reach_to_renew) : PV_DO(join_anew));
        return;
    }
    st->s.expires_s = self->expires;
    if (!is_near_end(self, time))
        return;
    pv_statuspage_todo(
        st, PV_STR("this node's membership ends %s: ", until_end(self, time, in, sizeof(in))),
        PV_DO(renew));
}

/* Nobody has heard of some members for so long that their membership ends soon: admins may want to
 * switch those machines on, or to let them go. */
static void show_others(const struct pv_node *n, struct pv_statuspage *st, uint64_t time)
{
    char text[PV_STATUSPAGE_PROBLEM_TEXT];
    struct pv_text list = pv_text_in(text, sizeof(text));
    size_t found = 0;
    if ((pv_roster_rights(n->roster, n->identity->sign_pk) & PV_RIGHT_INVITE) == 0)
        return;
    for (const struct pv_member *m = pv_roster_next(n->roster, NULL); m != NULL;
         m = pv_roster_next(n->roster, m)) {
        char in[PV_AMOUNT_BUF + 4];
        if (!is_near_end(m, time) || pv_member_is_ephemeral(m) ||
            memcmp(m->node, n->identity->sign_pk, sizeof(m->node)) == 0)
            continue;
        if (found++ >= NAMED)
            continue;
        pv_text_add(&list, "%s%s's %s", list.len == 0 ? "memberships end: " : ", ", m->name,
                    until_end(m, time, in, sizeof(in)));
    }
    if (found == 0)
        return;
    if (found > NAMED)
        pv_text_add(&list, " and those of %zu more", found - NAMED);
    pv_text_add(&list, ": ");
    pv_statuspage_todo(st, text, PV_DO(switch_them_on));
}

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct renewal *x = part;
    const struct pv_node *n = x->node;
    if (n->roster == NULL)
        return;
    uint64_t time = time_of_network(n, now);
    show_own(n, st, time);
    show_others(n, st, time);
}

const struct pv_part pv_part_renewal = {
    .name = "renewal",
    .size = PV_PART_SIZE(struct renewal),
    .start = start,
    .on_facts = on_facts,
    .run = run_renewal,
    .due = PV_PART_DUE(struct renewal, look_at),
    .status = show,
};
