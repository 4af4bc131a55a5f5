/* SPDX-License-Identifier: MIT */
/* Gets packets over a path that is too narrow for them: in parts between members, in IP fragments
 * where the sender allows it, or not at all. */
#include "daemon/core/packets/fp_fit.h"

#include <string.h>

#include "base/bytes.h"
#include "proto/ip/ipfrag.h"
#include "proto/ip/parts.h"

_Static_assert((int)PV_FP_MAX_WORKERS <= (int)PV_PARTS_STEP, "ids of workers differ");

enum pv_fp_fit pv_fp_fit(const struct pv_fp_peer *peer, const struct pv_ippkt *ip, size_t largest)
{
    struct pv_parts_plan plan;
    size_t limit = pv_fp_inner_limit(peer);
    /* A static peer knows no parts. It gets 1280 bytes, which every IPv6 link carries (RFC 8200
     * s5), in one datagram that may be cut on its way (may_be_cut() in fp_tx.c). */
    if (largest <= limit || (peer->kind != PV_FP_MEMBER && largest <= PV_PARTS_WHOLE))
        return PV_FP_FITS;
    if (peer->kind == PV_FP_MEMBER && pv_parts_plan(largest, limit, &plan) == PV_OK)
        return PV_FP_IN_PARTS;
    return limit >= PV_IPFRAG_MIN && pv_ipfrag_is_allowed(ip) ? PV_FP_IN_FRAGMENTS : PV_FP_TOO_BIG;
}

size_t pv_fp_fit_pieces(const struct pv_fp_peer *peer, enum pv_fp_fit fit, size_t largest)
{
    struct pv_parts_plan plan = {.n = PV_PARTS_MAX};
    size_t limit = pv_fp_inner_limit(peer);
    if (fit == PV_FP_IN_PARTS && pv_parts_plan(largest, limit, &plan) == PV_OK)
        return plan.n;
    if (fit != PV_FP_IN_FRAGMENTS)
        return 1;
    size_t step = (limit - PV_FP_PIECE_HEADER) / 8 * 8;
    return (largest + step - 1) / step;
}

/* Never below 1280: smaller packets pass in parts, and no IPv6 sender goes below (RFC 8201 s4). */
size_t pv_fp_told_mtu(const struct pv_fp_peer *peer)
{
    size_t limit = pv_fp_inner_limit(peer);
    return limit < PV_PARTS_WHOLE ? (size_t)PV_PARTS_WHOLE : limit;
}

static void send_parts(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                       const struct pv_fp_peer *peer, const struct pv_ippkt *ip, pv_ns now)
{
    struct pv_parts_plan plan;
    if (pv_parts_plan(ip->whole.len, pv_fp_inner_limit(peer), &plan) < 0)
        return; /* not so: pv_fp_fit() */
    /* Workers count for themselves; the step keeps their ids apart, or the receiver would join
     * parts of two packets. */
    uint32_t id = w->wholes++ * PV_PARTS_STEP + w->number;
    for (uint8_t i = 0; i < plan.n; i++) {
        size_t len = pv_parts_len(&plan, i);
        uint8_t *content = pv_fp_add_send(w, snap, peer, len, pv_ippkt_ecn(ip));
        pv_parts_put(&plan, ip->whole.ptr, i, id, content);
        pv_fp_note_sent(w, peer, len - PV_PARTS_HEADER, now);
    }
}

static void send_fragments(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                           const struct pv_fp_peer *peer, const struct pv_ippkt *ip, pv_ns now)
{
    struct pv_ipfrag f;
    if (pv_ipfrag_init(&f, ip, pv_fp_inner_limit(peer)) < 0) {
        pv_fp_worker_drop(w, peer, PV_FP_DROP_INNER);
        return;
    }
    for (size_t len; (len = pv_ipfrag_next(&f)) != 0;) {
        pv_ipfrag_cut(&f, pv_fp_add_send(w, snap, peer, len, pv_ippkt_ecn(ip)));
        pv_fp_note_sent(w, peer, len, now);
    }
}

static void send_whole(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                       const struct pv_fp_peer *peer, const struct pv_ippkt *ip, pv_ns now)
{
    size_t len = ip->whole.len;
    memcpy(pv_fp_add_send(w, snap, peer, len, pv_ippkt_ecn(ip)), ip->whole.ptr, len);
    pv_fp_note_sent(w, peer, len, now);
}

void pv_fp_send_pieces(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                       const struct pv_fp_peer *peer, enum pv_fp_fit fit, size_t len, pv_ns now)
{
    struct pv_ippkt ip;
    if (pv_ippkt_parse(pv_view(w->whole, len), &ip) < 0)
        pv_fp_worker_drop(w, peer, PV_FP_DROP_INNER);
    else if (fit == PV_FP_IN_PARTS)
        send_parts(w, snap, peer, &ip, now);
    else if (fit == PV_FP_FITS)
        send_whole(w, snap, peer, &ip, now);
    else
        send_fragments(w, snap, peer, &ip, now);
}
