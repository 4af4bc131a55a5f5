/* SPDX-License-Identifier: MIT */
/* forwards.c - chooses helpers, and passes on for others, each within rates. */
#include "daemon/core/member/forwards.h"

#include <stdlib.h>
#include <string.h>

enum {
    HELPERS = 3,      /* ours: asked for each signal; others the next time */
    OWN_RATE = 40,    /* ours: signals of our own a second */
    PEER_RATE = 10,   /* ours: a second, for one peer, or from one */
    TOTAL_RATE = 100, /* ours: a second, passed on for others */
};

static bool can_help(const struct pv_peer *q, const struct pv_peer *to)
{
    return q != NULL && q != to && !pv_peer_is_static(q) && pv_peer_notes_of(q)->in_sync &&
           pv_peer_path_state(q) != PV_PATH_STATE_SUSPECT;
}

/* A member that brought something from there surely knows the way; others by turns. */
static unsigned find_helpers(const struct pv_node *n, const struct pv_peer *to,
                             struct pv_peer *helpers[static HELPERS])
{
    unsigned found = 0;
    struct pv_peer *known = pv_peers_by_id(n->peers, pv_peer_notes_of(to)->passed_by);
    if (can_help(known, to))
        helpers[found++] = known;
    /* The random start spreads the load, and a repetition most likely asks others. */
    struct pv_peer *start = pv_peers_random(n->peers), *q = start;
    while (q != NULL && found < HELPERS) {
        if (can_help(q, to) && q != known)
            helpers[found++] = q;
        q = pv_peers_next(n->peers, q);
        if (q == NULL)
            q = pv_peers_next(n->peers, NULL);
        if (q == start)
            break;
    }
    return found;
}

/* A signal that others pass on for this node costs them, so it has a rate here; and where no member
 * is in sync with the receiver, nobody could pass it on. */
unsigned pv_forwards_send(struct pv_forwards *f, struct pv_node *n, struct pv_peer *to,
                          struct pv_view box, pv_ns now)
{
    struct pv_peer *helpers[HELPERS];
    struct pv_forward fwd = {.box = box};
    size_t len;
    if (pv_peer_count_in_sync(to) == 0 || !pv_bucket_take(&f->own, OWN_RATE, 2 * OWN_RATE, 1, now))
        return 0;
    unsigned count = find_helpers(n, to, helpers);
    uint8_t *body = count == 0 ? NULL : malloc(PV_FORWARD_MAX);
    memcpy(fwd.to, pv_peer_pk(to), sizeof(fwd.to));
    memcpy(fwd.from, n->identity->sign_pk, sizeof(fwd.from));
    if (body == NULL || pv_forward_build(&fwd, body, PV_FORWARD_MAX, &len) != PV_OK)
        count = 0;
    for (unsigned i = 0; i < count; i++)
        pv_peers_send(n->peers, helpers[i], PV_INBAND_SIGNAL, pv_view(body, len));
    free(body);
    return count;
}

void pv_forwards_pass_on(struct pv_forwards *f, struct pv_node *n, struct pv_peer *from,
                         struct pv_view body, pv_ns now)
{
    struct pv_forward fwd;
    if (pv_forward_parse(body, &fwd) != PV_OK)
        return;
    struct pv_peer *to = pv_peers_by_pk(n->peers, fwd.to);
    /* Only what the sender sealed itself: nobody can have this node send in another's name. */
    if (memcmp(fwd.from, pv_peer_pk(from), sizeof(fwd.from)) != 0 || to == NULL ||
        !pv_peer_notes(to)->in_sync) {
        pv_log(n->log, PV_LOG_DEBUG, "peer=%s what=\"signal not passed on\"", pv_peer_name(from));
        return;
    }
    /* The sender's own budget is asked first: one that floods must not use up the budget that all
     * share. */
    if (!pv_bucket_take(&pv_peer_notes(from)->passed, PEER_RATE, 2 * PEER_RATE, 1, now) ||
        !pv_bucket_take(&f->others, TOTAL_RATE, 2 * TOTAL_RATE, 1, now))
        return;
    pv_peers_send(n->peers, to, PV_INBAND_SIGNAL, body);
}

bool pv_forwards_may_hand(struct pv_peer *helper, const uint8_t *from, pv_ns now)
{
    /* A peer that has a session with us needs no box. */
    return memcmp(from, pv_peer_pk(helper), PV_SIGN_PK_LEN) != 0 &&
           pv_bucket_take(&pv_peer_notes(helper)->handed, PEER_RATE, 2 * PEER_RATE, 1, now);
}
