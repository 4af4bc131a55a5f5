/* SPDX-License-Identifier: MIT */
/* What ICMPv6 "packet too big" (RFC 4443 s3.2) says about datagrams to static peers, who answer no
 * probes. It is a hint: believed only when it quotes a datagram that left just now, never below
 * what every IPv6 link carries, and for a while. A liar on the way can make packets smaller, no
 * more. */
#include "daemon/core/engine_int.h"

enum {
    HEADERS = 48,       /* bytes of IPv6 and UDP header, RFC 8200, RFC 768 */
    HINTS_A_SECOND = 5, /* ours: each looks through all peers */
};

static bool is_about(const struct pv_engine *e, const struct pv_peer *p,
                     const struct pv_fp_punt *punt)
{
    return p->is_static && p->has_path && p->path.kind == PV_CARRIER_UDP &&
           pv_addr_equal(&p->path.remote, &punt->from.remote) &&
           (punt->local || pv_fp_builder_has_sent(e->fp, p->id, punt->bytes));
}

void pv_engine_too_big(struct pv_engine *e, const struct pv_fp_punt *punt, pv_ns now)
{
    size_t fits = punt->count < PV_IPPKT_MIN_MTU6 ? (size_t)PV_IPPKT_MIN_MTU6 : punt->count;
    if (punt->from.remote.family != PV_AF_INET6 || fits > UINT16_MAX ||
        !pv_bucket_take(&e->hints, HINTS_A_SECOND, HINTS_A_SECOND, 1, now))
        return;
    for (size_t slot = 0; slot < e->n_slots; slot++) {
        struct pv_peer *p = e->by_slot[slot];
        if (p == NULL || !is_about(e, p, punt))
            continue;
        pv_mtu_tell(&p->mtu, (uint16_t)(fits - HEADERS), (uint16_t)(e->mtu + PV_FP_OVERHEAD), now);
        pv_engine_touch(e, p, now);
        return;
    }
}
