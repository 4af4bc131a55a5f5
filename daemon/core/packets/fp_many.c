/* SPDX-License-Identifier: MIT */
/* fp_many.c - broadcast and multicast: which members get a copy, and how much of it. */
#include "daemon/core/packets/fp_many.h"

#include "base/bytes.h"
#include "proto/group/groupmsg.h"

enum {
    REPORTS = 100,         /* ours: reports of the local kernel handed up a second */
    NEXT_IS_FRAGMENT = 44, /* IPv6 next header, RFC 8200 s4.5 */
    UDP_LEN_AT = 4,        /* in its header, RFC 768 */
    UNKNOWN_FRAGMENTS = 4, /* ours: what a datagram may be that does not say its length */
};

/* --- groups -------------------------------------------------------------------------------- */

bool pv_fp_is_to_many(const struct pv_fp_snapshot *snap, uint8_t version, const uint8_t *dst)
{
    if (version == 6)
        return dst[0] == 0xff;
    if ((dst[0] & 0xf0) == 0xe0)
        return true;
    uint32_t ip = pv_load_be32(dst);
    if (ip == UINT32_MAX)
        return true;
    for (size_t i = 0; i < PV_ARRAY_LEN(snap->iface.nets); i++) {
        const struct pv_prefix *net = &snap->iface.nets[i];
        /* A /31 or /32 has no broadcast address (RFC 3021). */
        if (net->base.family == PV_AF_INET && net->bits < 31 &&
            ip == (pv_addr_u32(&net->base) | UINT32_MAX >> net->bits))
            return true;
    }
    return false;
}

/* A packet for many that is no multicast is a broadcast, whichever of the two addresses it has. */
struct pv_group pv_fp_group_of(uint8_t version, const uint8_t *dst)
{
    if (version == 4 && (dst[0] & 0xf0) != 0xe0)
        return pv_group_broadcast();
    return pv_group_of(version, dst);
}

bool pv_fp_is_quiet(const struct pv_fp_snapshot *snap, const struct pv_ippkt *ip)
{
    if (!pv_fp_is_to_many(snap, ip->version, ip->dst))
        return false;
    struct pv_group g = pv_fp_group_of(ip->version, ip->dst);
    return pv_group_kind(&g) == PV_GROUP_DISCOVERY;
}

static bool is_own(const struct pv_fp_snapshot *snap, const struct pv_ippkt *ip)
{
    struct pv_addr src = pv_ippkt_src(ip);
    for (size_t i = 0; i < snap->iface.n_own; i++) {
        if (pv_addr_equal_ip(&snap->iface.own[i], &src))
            return true;
    }
    return false;
}

/* --- budgets ------------------------------------------------------------------------------- */

/* By address, so that it outlives snapshots. Groups that share one share its budget. FNV-1a: only
 * programs of this machine choose, and they could send more groups as well. */
static struct pv_fp_budget *budget_of(struct pv_fp_worker *w, const struct pv_group *g)
{
    uint32_t hash = 2166136261u ^ g->version;
    for (size_t i = 0; i < sizeof(g->ip); i++)
        hash = (hash * 16777619u) ^ g->ip[i];
    return &w->many.budgets[(hash ^ hash >> 16) % PV_FP_BUDGETS];
}

/* Packets and bytes, of both or of neither. Workers share what discovery may have in all, since
 * each program has a flow of its own; a stream is one flow, and so one worker's. */
static bool take_budget(struct pv_fp_worker *w, const struct pv_group *g, size_t packets,
                        size_t bytes, pv_ns now)
{
    struct pv_fp_budget *b = budget_of(w, g);
    bool stream = pv_group_kind(g) == PV_GROUP_JOINED;
    uint32_t rate = stream ? PV_FP_STREAM_PACKETS : PV_FP_DISCOVERY_PACKETS / w->of;
    uint32_t burst = stream ? PV_FP_STREAM_PACKETS : PV_FP_DISCOVERY_PACKETS;
    uint32_t byte_rate = stream ? PV_FP_STREAM_BYTES : PV_FP_DISCOVERY_BYTES / w->of;
    uint32_t byte_burst = stream ? PV_FP_STREAM_BYTES : PV_FP_DISCOVERY_BURST;
    struct pv_fp_budget before = *b;
    if (pv_bucket_take(&b->packets, rate, burst, (uint32_t)packets, now) &&
        pv_bucket_take(&b->bytes, byte_rate, byte_burst, (uint32_t)bytes, now))
        return true;
    *b = before;
    return false;
}

/* --- fragments ----------------------------------------------------------------------------- */

/* The id that the fragments of one packet share; false: it is whole. */
static bool read_fragment(const struct pv_ippkt *ip, uint32_t *ret_id)
{
    const uint8_t *p = ip->whole.ptr;
    if (ip->version == 6) {
        if (p[6] != NEXT_IS_FRAGMENT || ip->whole.len < 48)
            return false;
        *ret_id = pv_load_be32(p + 44);
        return true;
    }
    *ret_id = pv_load_be16(p + 4);
    return (pv_load_be16(p + 6) & 0x3fff) != 0; /* more fragments, or an offset (RFC 791 s3.1) */
}

static struct pv_fp_fragment *find_fragment(struct pv_fp_worker *w, const struct pv_group *g,
                                            uint32_t id)
{
    for (size_t i = 0; i < PV_FP_FRAGMENTED; i++) {
        struct pv_fp_fragment *f = &w->many.fragments[i];
        if (f->id == id && pv_group_equal(&f->group, g))
            return f;
    }
    return NULL;
}

/* The size of the whole, by its first fragment. */
static size_t whole_of(const struct pv_ippkt *ip)
{
    bool says = ip->proto == PV_IP_PROTO_UDP && ip->l4.len >= 8;
    size_t l4 = says ? pv_load_be16(ip->l4.ptr + UDP_LEN_AT) : UNKNOWN_FRAGMENTS * ip->l4.len;
    return l4 < ip->whole.len ? ip->whole.len : l4;
}

/*
 * The first fragment pays for all and the others follow it, or none goes: a part of a packet would
 * be of no use to anybody. The kernel sends them one behind the other, the first one first.
 */
static bool admit(struct pv_fp_worker *w, const struct pv_group *g, const struct pv_fp_inner *in,
                  pv_ns now)
{
    uint32_t id;
    size_t bytes = in->ip.whole.len + (in->cut.count - 1) * in->cut.head;
    if (!read_fragment(&in->ip, &id))
        return take_budget(w, g, in->cut.count, bytes, now);
    if (in->ip.later_fragment) {
        const struct pv_fp_fragment *first = find_fragment(w, g, id);
        return first != NULL && first->goes;
    }
    size_t all = whole_of(&in->ip), n = (all + bytes - 1) / bytes;
    struct pv_fp_fragment *f = &w->many.fragments[w->many.next_fragment++ % PV_FP_FRAGMENTED];
    *f = (struct pv_fp_fragment){.group = *g, .id = id, .goes = take_budget(w, g, n, all, now)};
    return f->goes;
}

/* --- copies -------------------------------------------------------------------------------- */

/* Since when nothing but discovery went either way decides. */
static bool is_in_use(const struct pv_fp_peer *peer, pv_ns now)
{
    if (peer->path.kind == PV_CARRIER_NONE)
        return false;
    const struct pv_fp_live *l = &peer->live->live;
    pv_ns tx = atomic_load_explicit(&l->last_tx_data, memory_order_relaxed);
    pv_ns rx = atomic_load_explicit(&l->last_rx_data, memory_order_relaxed);
    pv_ns asked = atomic_load_explicit(&l->last_asked, memory_order_relaxed);
    pv_ns last = tx > rx ? tx : rx;
    last = last > asked ? last : asked;
    return last != 0 && now < last + PV_FP_IN_USE;
}

/* A static peer is told of no group: its configuration says what goes there. */
static bool send_to_static(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                           const struct pv_fp_inner *in, pv_ns now)
{
    const struct pv_fp_peer *peer = pv_fp_snapshot_route(snap, in->ip.version, in->ip.dst);
    return peer == NULL || pv_fp_send_to_one(w, snap, peer, in, now);
}

/* From where it stopped on, the static peer last; false: no room for more in these results. */
static bool send_copies(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                        const struct pv_fp_group *e, const struct pv_fp_inner *in, pv_ns now)
{
    const uint32_t *ids = snap->groups->peers + e->first;
    bool quiet = pv_group_kind(&e->group) == PV_GROUP_DISCOVERY;
    for (; w->many.next < e->n; w->many.next++) {
        const struct pv_fp_peer *peer = pv_fp_snapshot_peer(snap, ids[w->many.next]);
        if (peer == NULL)
            continue;
        if (quiet && !e->wakes && !is_in_use(peer, now))
            pv_fp_worker_drops(w, peer, PV_FP_DROP_IDLE, in->cut.count);
        else if (!pv_fp_send_to_one(w, snap, peer, in, now))
            return false;
    }
    return send_to_static(w, snap, in, now);
}

/* Whether the packet is the one whose copies did not all fit into the last results. It lies where
 * it lay. */
static bool goes_on(const struct pv_fp_worker *w, const struct pv_fp_inner *in)
{
    return w->many.packet == in->ip.whole.ptr;
}

/* The kernel's reports say what this machine wants; no other machine is to hear them. */
static void keep_home(struct pv_fp_worker *w, const struct pv_fp_inner *in, pv_ns now)
{
    if (!pv_groupmsg_is(&in->ip)) {
        pv_fp_worker_drops(w, NULL, PV_FP_DROP_QUIET, in->cut.count);
    } else if (!pv_bucket_take(&w->many.reports, REPORTS, REPORTS, 1, now)) {
        pv_fp_worker_drops(w, NULL, PV_FP_DROP_RATE, in->cut.count);
    } else {
        struct pv_fp_punt *p = pv_fp_worker_punt(w, PV_FP_PUNT_REPORT, 0);
        p->bytes = in->ip.whole;
    }
}

/* To the members in the snapshot's list of this group. False: not all yet. */
static bool send_to_group(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                          const struct pv_fp_group *e, const struct pv_fp_inner *in, pv_ns now)
{
    if (!goes_on(w, in)) {
        if (!admit(w, &e->group, in, now)) {
            pv_fp_worker_drops(w, NULL, PV_FP_DROP_RATE, in->cut.count);
            return true;
        }
        w->many.packet = in->ip.whole.ptr;
        w->many.next = 0;
    }
    pv_fp_count_as_use(w, pv_group_kind(&e->group) == PV_GROUP_JOINED, now);
    w->many.copying = true;
    bool all = send_copies(w, snap, e, in, now);
    w->many.copying = false;
    pv_fp_count_as_use(w, true, now);
    if (all)
        w->many.packet = NULL;
    return all;
}

bool pv_fp_send_to_many(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                        const struct pv_fp_inner *in, pv_ns now)
{
    if (pv_ippkt_is_housekeeping(&in->ip)) {
        keep_home(w, in, now);
        return true;
    }
    struct pv_group g = pv_fp_group_of(in->ip.version, in->ip.dst);
    const struct pv_fp_group *e = pv_fp_snapshot_group(snap, &g);
    if (e != NULL && is_own(snap, &in->ip))
        return send_to_group(w, snap, e, in, now);
    if (e != NULL)
        pv_fp_worker_drops(w, NULL, PV_FP_DROP_LOOP, in->cut.count);
    else if (pv_fp_snapshot_route(snap, in->ip.version, in->ip.dst) == NULL)
        pv_fp_worker_drops(w, NULL, PV_FP_DROP_QUIET, in->cut.count);
    return send_to_static(w, snap, in, now);
}
