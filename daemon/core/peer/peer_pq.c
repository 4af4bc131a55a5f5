/* SPDX-License-Identifier: MIT */
/* A peer's preshared keys: the exchange (pqx.h) as a part of its descriptions, what its session
 * learns of it, and whether packets may pass without. */
#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/peer/peer_int.h"

/* Ours: halves of a peer that are worked on, a second and at once. Each costs some 150 us, and who
 * begins anew more often is no peer to talk to. */
enum {
    WORK_RATE = 1,
    WORK_BURST = 20,
};

static struct pv_pqx_own own_of(const struct pv_peer *p)
{
    return (struct pv_pqx_own){.id = p->descx.own,
                               .creds = p->talk == NULL ? NULL : &p->talk->creds};
}

/* Does this node do it at all? */
static bool is_able(const struct pv_peer *p)
{
    return p->node->given.kem != NULL && p->node->given.pq != PV_PQ_OFF && !p->is_static;
}

static bool is_described(const struct pv_peer *p)
{
    return p->descx.theirs.gen != 0 && (pv_peer_theirs(p)->caps & PV_DESC_CAP_PQ) != 0;
}

/* The peer says that it does it, in its signed statement or its description. */
static bool is_announced(const struct pv_peer *p)
{
    return p->agreed.stated || is_described(p);
}

void pv_peer_set_stated(struct pv_peer *p, bool stated)
{
    p->agreed.stated = stated;
}

int pv_peer_pq_make(struct pv_peer *p)
{
    if (!is_able(p) || p->agreed.x != NULL)
        return PV_OK;
    struct pv_pqx_config cfg = {.kem = p->node->given.kem, .rng = p->node->rng};
    memcpy(cfg.network_id, p->node->common->network_id, sizeof(cfg.network_id));
    memcpy(cfg.own_pk, p->node->identity->sign_pk, sizeof(cfg.own_pk));
    memcpy(cfg.peer_pk, p->pk, sizeof(cfg.peer_pk));
    return pv_pqx_new(&p->agreed.x, &cfg);
}

/* An offer to somebody who never answers one would make every description three times as long. */
void pv_peer_pq_begin(struct pv_peer *p)
{
    const struct pv_pqx_own own = own_of(p);
    bool known_unable = p->descx.theirs.gen != 0 && !is_announced(p);
    if (p->agreed.x == NULL)
        return;
    pv_pqx_begin(p->agreed.x, &own, !known_unable);
    pv_session_drop_unproven(p->session); /* the answer with their other half is gone */
}

/* The session learns of what came of the exchange. */
static void take_keys(struct pv_peer *p, pv_ns now)
{
    struct pv_pqx_key k;
    while (p->session != NULL && pv_pqx_poll_key(p->agreed.x, &k) == PV_OK) {
        if (k.fresh) {
            pv_session_add_psk(p->session, k.key.id, k.key.psk, k.proven, now);
            pv_trace_add(&p->trace, now, "preshared key %06x agreed", (unsigned)k.key.id);
        } else if (k.proven) {
            pv_session_prove_psk(p->session, k.key.id, now);
        }
        pv_wipe(&k, sizeof(k));
    }
}

/* Asked before the description counts as received: it is repeated as long as nobody acknowledges
 * it. A half that was acknowledged and not worked on would be waited for until the next
 * generation. */
bool pv_peer_pq_affords(struct pv_peer *p, const struct pv_desc *desc, pv_ns now)
{
    const struct pv_descx_id *had = &p->descx.theirs;
    bool newer = desc->gen > had->gen || (desc->gen == had->gen && desc->rev > had->rev);
    return p->agreed.x == NULL || !newer ||
           !pv_pqx_costs(p->agreed.x, desc, desc->gen != had->gen) ||
           pv_bucket_take(&p->agreed.work, WORK_RATE, WORK_BURST, 1, now);
}

void pv_peer_pq_take(struct pv_peer *p, const struct pv_desc *desc, bool new_gen, pv_ns now)
{
    const struct pv_pqx_own own = own_of(p);
    if (p->agreed.x == NULL)
        return;
    if (pv_pqx_take(p->agreed.x, &own, desc, new_gen, now))
        pv_descx_changed(&p->descx);
    take_keys(p, now);
    if (pv_pqx_error(p->agreed.x)[0] != '\0')
        pv_trace_add(&p->trace, now, "post-quantum: %s", pv_pqx_error(p->agreed.x));
    pv_peer_pq_settle(p, now); /* what it announces may be new */
}

void pv_peer_pq_again(struct pv_peer *p, const struct pv_desc *desc, pv_ns now)
{
    if (p->agreed.x == NULL)
        return;
    pv_pqx_have(p->agreed.x, desc);
    take_keys(p, now);
}

void pv_peer_pq_used(struct pv_peer *p, pv_ns now)
{
    const struct pv_pqx_own own = own_of(p);
    if (p->agreed.x != NULL && pv_pqx_renew(p->agreed.x, &own, now))
        pv_descx_changed(&p->descx);
}

/* The time without counts from the first such keys to the first others, however often they were
 * made anew meanwhile. */
void pv_peer_pq_done(struct pv_peer *p, uint32_t psk, pv_ns now)
{
    struct pv_peer_agreed *a = &p->agreed;
    if (psk == 0) {
        a->hybrid_since = 0;
        if (a->classical_since == 0)
            a->classical_since = now;
    } else {
        if (a->hybrid_since == 0) {
            a->hybrid_since = now;
            a->classical_for = a->classical_since == 0 ? 0 : now - a->classical_since;
        }
        a->classical_since = 0;
    }
    pv_peer_pq_settle(p, now);
}

/* --- may packets pass? ----------------------------------------------------------------------- */

/* When the first exchange has had its time; PV_NEVER: nothing is waited for. */
static pv_ns grace_ends(const struct pv_peer *p)
{
    if (!is_able(p) || !is_announced(p) || p->agreed.classical_since == 0)
        return PV_NEVER;
    return p->agreed.classical_since + PV_PEER_PQ_GRACE;
}

/* Chat and files lose nothing by waiting a round trip, so the time without is not theirs. */
static enum pv_fp_strict wants_strict(const struct pv_peer *p, pv_ns now)
{
    if (p->is_static)
        return PV_FP_STRICT_NONE;
    switch (p->node->given.pq) {
    case PV_PQ_REQUIRE:
        return PV_FP_STRICT_ALL;
    case PV_PQ_ON:
        if (now >= grace_ends(p))
            return PV_FP_STRICT_ALL;
        return is_able(p) && is_announced(p) ? PV_FP_STRICT_OWN : PV_FP_STRICT_NONE;
    case PV_PQ_OFF:
        return PV_FP_STRICT_NONE;
    }
    return PV_FP_STRICT_NONE;
}

void pv_peer_pq_settle(struct pv_peer *p, pv_ns now)
{
    enum pv_fp_strict strict = wants_strict(p, now);
    if (strict == p->agreed.strict)
        return;
    if (pv_fp_builder_set_strict(p->node->fp, p->id, strict) != PV_OK)
        return; /* without memory: again with the next occasion */
    p->agreed.strict = strict;
    if (strict == PV_FP_STRICT_ALL && p->node->given.pq == PV_PQ_ON) {
        pv_trace_add(&p->trace, now, "post-quantum: its half does not come: packets wait");
        pv_log(
            p->node->log, PV_LOG_WARN,
            "peer=%s what=\"packets wait\" why=\"it announced post-quantum sessions, and its half "
            "of the exchange does not come\"",
            p->name);
    }
}

pv_ns pv_peer_pq_next(const struct pv_peer *p)
{
    return p->node->given.pq == PV_PQ_ON && p->agreed.strict != PV_FP_STRICT_ALL ? grace_ends(p)
                                                                                 : PV_NEVER;
}

struct pv_peer_pq_view pv_peer_pq(const struct pv_peer *p, pv_ns now)
{
    const struct pv_peer_agreed *a = &p->agreed;
    struct pv_peer_pq_view v = {
        .announced = is_announced(p),
        .contradicts = p->agreed.stated && p->descx.theirs.gen != 0 && !is_described(p),
        .since = a->hybrid_since != 0 ? a->hybrid_since : a->classical_since,
        .classical_for = a->classical_for,
        .error = a->x == NULL ? "" : pv_pqx_error(a->x),
    };
    if (p->is_static || p->session == NULL || !pv_session_has_keys(p->session, now))
        v.state = PV_PEER_PQ_NONE;
    else if (pv_session_psk(p->session) != 0)
        v.state = PV_PEER_PQ_HYBRID;
    else if (p->node->given.pq == PV_PQ_REQUIRE)
        v.state = PV_PEER_PQ_REQUIRED;
    else if (!is_able(p) || !v.announced)
        v.state = PV_PEER_PQ_UNABLE;
    else
        v.state = a->strict == PV_FP_STRICT_ALL ? PV_PEER_PQ_WITHHELD : PV_PEER_PQ_EXCHANGE;
    return v;
}
