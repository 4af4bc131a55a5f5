/* SPDX-License-Identifier: MIT */
/*
 * Signals through a common peer (in-band type 5): where the coordinator cannot bring them, a member
 * that has sessions with both sides does. One hop: a peer passes on what its sender itself sealed,
 * to a member it has a session with, and nothing else; so there are no loops, and who was removed
 * neither sends nor receives. It sees who talks to whom, as the coordinator does, and no content.
 */
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/engine_int.h"
#include "proto/control/forward.h"

enum {
    HELPERS = 3,      /* ours: asked for each signal; others the next time */
    OWN_RATE = 40,    /* signals of our own a second */
    PEER_RATE = 10,   /* a second, for one peer, or from one */
    TOTAL_RATE = 100, /* a second, passed on for others */
};

static bool can_help(const struct pv_peer *q, const struct pv_peer *to)
{
    return q != NULL && q != to && !q->is_static && q->notes.in_sync && !q->doubted;
}

unsigned pv_engine_forward(struct pv_engine *e, struct pv_peer *to, struct pv_view box, pv_ns now)
{
    unsigned n = 0;
    struct pv_peer *helpers[HELPERS];
    if (e->env.n_in_sync == 0 || !pv_bucket_take(&e->forwards, OWN_RATE, 2 * OWN_RATE, 1, now))
        return 0;
    /* Who brought something from there surely knows the way; others by turns. */
    struct pv_peer *known = pv_engine_peer_by_id(e, to->notes.passed_by);
    if (can_help(known, to))
        helpers[n++] = known;
    struct pv_peer *start = pv_peers_random(e->node.peers), *q = start;
    while (q != NULL && n < HELPERS) {
        if (can_help(q, to) && q != known)
            helpers[n++] = q;
        q = pv_peers_next(e->node.peers, q);
        if (q == NULL)
            q = pv_peers_next(e->node.peers, NULL);
        if (q == start)
            break;
    }
    struct pv_forward f = {.box = box};
    uint8_t *body = n == 0 ? NULL : malloc(PV_FORWARD_MAX);
    size_t len;
    memcpy(f.to, to->pk, sizeof(f.to));
    memcpy(f.from, e->node.identity->sign_pk, sizeof(f.from));
    if (body == NULL || pv_forward_build(&f, body, PV_FORWARD_MAX, &len) != PV_OK)
        n = 0;
    for (unsigned i = 0; i < n; i++)
        pv_engine_send_inband(e, helpers[i], PV_INBAND_SIGNAL, pv_view(body, len));
    free(body);
    return n;
}

static void pass_on(struct pv_engine *e, struct pv_peer *from, const struct pv_forward *f,
                    struct pv_view body, pv_ns now)
{
    struct pv_peer *to = pv_engine_peer_by_pk(e, f->to);
    if (memcmp(f->from, from->pk, sizeof(f->from)) != 0 || to == NULL || !to->notes.in_sync) {
        pv_log(e->node.log, PV_LOG_DEBUG, "peer=%s what=\"signal not passed on\"", from->name);
        return;
    }
    if (!pv_bucket_take(&from->notes.passed, PEER_RATE, 2 * PEER_RATE, 1, now) ||
        !pv_bucket_take(&e->passed_on, TOTAL_RATE, 2 * TOTAL_RATE, 1, now))
        return;
    pv_engine_send_inband(e, to, PV_INBAND_SIGNAL, body);
}

static void take_own(struct pv_engine *e, struct pv_peer *helper, const struct pv_forward *f,
                     pv_ns now)
{
    struct pv_ctl_signal push = {.box = f->box};
    uint32_t helper_id = helper->id;
    char name[PV_NAME_BUF];
    /* A peer that has a session with us needs no box. */
    if (memcmp(f->from, helper->pk, sizeof(f->from)) == 0 ||
        !pv_bucket_take(&helper->notes.handed, PEER_RATE, 2 * PEER_RATE, 1, now))
        return;
    memcpy(push.node, f->from, sizeof(push.node));
    memcpy(name, helper->name, sizeof(name));
    /* Statements in it may end the helper's membership. */
    struct pv_peer *p = pv_engine_take_signal(e, &push, now);
    if (p == NULL || p->notes.passed_by == helper_id)
        return;
    p->notes.passed_by = helper_id;
    pv_trace_add(&p->trace, now, "its signal came through %s", name);
}

void pv_engine_take_forward(struct pv_engine *e, struct pv_peer *from, struct pv_view body,
                            pv_ns now)
{
    struct pv_forward f;
    int r = pv_forward_parse(body, &f);
    if (r != PV_OK)
        pv_log(e->node.log, PV_LOG_DEBUG, "peer=%s what=\"signal dropped\" why=\"%s\"", from->name,
               pv_strstatus(r));
    else if (memcmp(f.to, e->node.identity->sign_pk, sizeof(f.to)) == 0)
        take_own(e, from, &f, now);
    else
        pass_on(e, from, &f, body, now);
}
