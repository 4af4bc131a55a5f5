/* SPDX-License-Identifier: MIT */
/* What ICMP "fragmentation needed" (RFC 792, RFC 1191) and ICMPv6 "packet too big" (RFC 4443 s3.2)
 * say about our datagrams: hints, believed only when they quote a datagram that left just now.
 * Members' paths are probed at once then, and what the hint says is not used (RFC 8899 s4.6.2).
 * Static peers answer no probes: over IPv6 it counts, never below what every link carries, and for
 * a while. A liar on the way can make packets smaller, no more. */
#include "daemon/core/engine_int.h"

enum {
    HEADERS = 48,       /* bytes of IPv6 and UDP header, RFC 8200, RFC 768 */
    HINTS_A_SECOND = 5, /* ours: each looks through all peers */
};

static bool is_about(const struct pv_engine *e, const struct pv_peer *p,
                     const struct pv_fp_punt *punt)
{
    return p->has_path && p->path.kind == PV_CARRIER_UDP &&
           pv_addr_equal(&p->path.remote, &punt->from.remote) &&
           (punt->local || pv_fp_builder_has_sent(e->fp, p->id, punt->bytes));
}

static void take_hint(struct pv_engine *e, struct pv_peer *p, size_t fits, pv_ns now)
{
    if (fits < PV_IPPKT_MIN_MTU6)
        fits = PV_IPPKT_MIN_MTU6;
    if (!p->is_static)
        pv_mtu_doubt(&p->mtu, now);
    else if (p->path.remote.family == PV_AF_INET6 && fits <= UINT16_MAX)
        pv_mtu_tell(&p->mtu, (uint16_t)(fits - HEADERS), (uint16_t)(e->node.mtu + PV_FP_OVERHEAD),
                    now);
    pv_engine_touch(e, p, now);
}

void pv_engine_too_big(struct pv_engine *e, const struct pv_fp_punt *punt, pv_ns now)
{
    if (!pv_bucket_take(&e->hints, HINTS_A_SECOND, HINTS_A_SECOND, 1, now))
        return;
    for (struct pv_peer *p = NULL; (p = pv_peers_next(e->node.peers, p)) != NULL;) {
        if (is_about(e, p, punt)) {
            take_hint(e, p, punt->count, now);
            return;
        }
    }
}
