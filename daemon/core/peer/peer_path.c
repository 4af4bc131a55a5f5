/* SPDX-License-Identifier: MIT */
/* peer_path.c - a peer's paths as the agent and as the fast path see them; what leaves for the
 * peer: its description, handshakes, checks; what the fast path saw of it, and how large a
 * datagram its path carries. */
#include <string.h>

#include "base/bytes.h"
#include "crypto/hash.h"
#include "daemon/core/peer/peer_int.h"
#include "proto/ip/parts.h"
#include "proto/rules/ruletable.h"
#include "proto/stun/turn.h"

enum {
    ETHERNET = 1500, /* bytes; what either part of a relayed path is taken to carry */
    UDP4 = 28,       /* bytes of IPv4 and UDP header, RFC 791, RFC 768 */
    UDP6 = 48,       /* bytes of IPv6 and UDP header, RFC 8200 */
};

const char *pv_peer_state_name(enum pv_peer_state state)
{
    switch (state) {
    case PV_PEER_IDLE:
        return "idle";
    case PV_PEER_REACHING:
        return "reaching";
    case PV_PEER_UP:
        return "up";
    case PV_PEER_FAILED:
        return "failed";
    }
    return "unknown";
}

struct pv_ice_carrier pv_peer_ice_carrier(const struct pv_carrier *c)
{
    /* For the agent all datagrams of one relay belong to one base, our relayed address there,
     * however the relay itself is reached. */
    if (pv_carrier_is_relayed(c))
        return (struct pv_ice_carrier){.kind = PV_ICE_CARRIER_CHANNEL, .sock = c->via};
    return (struct pv_ice_carrier){.kind = PV_ICE_CARRIER_UDP, .sock = c->sock, .local = c->local};
}

/* The agent says "through relay n"; how that relay is reached now (channel, stream, socket) is
 * known only to its way. */
bool pv_peer_carrier(const struct pv_peer *p, const struct pv_ice_path *path,
                     struct pv_carrier *ret_carrier)
{
    *ret_carrier = (struct pv_carrier){
        .kind = PV_CARRIER_UDP,
        .sock = path->carrier.sock,
        .local = path->carrier.local,
        .remote = path->remote,
    };
    if (path->carrier.kind == PV_ICE_CARRIER_UDP)
        return true;
    const struct pv_relayway *r =
        path->carrier.sock < PV_FP_MAX_RELAYS ? p->node->ways.relays[path->carrier.sock] : NULL;
    return r != NULL && pv_relayway_carrier(r, &path->remote, ret_carrier);
}

/* A virtual address names its owner. A member that offers somebody else's would have us send that
 * member's way. */
void pv_peer_prune_relays(struct pv_desc *desc, const uint8_t pk[static PV_SIGN_PK_LEN])
{
    size_t n = 0;
    for (size_t i = 0; i < desc->n_cands; i++) {
        const struct pv_ice_cand *c = &desc->cands[i];
        if (c->type != PV_ICE_RELAY || !pv_turn_is_virtual(&c->addr) ||
            pv_turn_is_virtual_of(&c->addr, pk))
            desc->cands[n++] = *c;
    }
    desc->n_cands = n;
}

/* We do not know how the other side reaches the relay: it may do so by UDP over IPv6, in a channel,
 * where we have a stream or IPv4. So the narrowest way counts until probes have shown more. */
static uint16_t taken_message(const struct pv_peer *p)
{
    return pv_peer_is_relayed(p) ? ETHERNET - UDP6 - PV_TURN_CHANNEL_HEADER : 0;
}

/* The largest transport message that the path carries; 0 = all that there are. */
static uint16_t largest_message(const struct pv_peer *p)
{
    const struct pv_mtu *m = pv_peer_mtu(p);
    if (m->state != PV_MTU_OFF)
        return m->current;
    uint16_t taken = taken_message(p);
    return taken < p->node->given.mtu + PV_FP_OVERHEAD ? taken : 0;
}

uint16_t pv_peer_path_mtu(const struct pv_peer *p)
{
    uint16_t message = largest_message(p);
    if (message == 0 || !pv_carrier_is_relayed(&p->path))
        return message;
    return (uint16_t)(message + PV_TURN_CHANNEL_HEADER); /* which comes on top of ours */
}

/* A number may be below those of a former life that had no room for its mark (highwater.h): the
 * peer takes it for an old one and never answers. */
static void renumber(struct pv_peer *p, pv_ns now)
{
    struct pv_highwater *gen = &p->node->common->gen;
    const uint64_t wall = pv_node_wall_us(p->node, now);
    if (!p->gen_in_doubt || p->descx.acked || !pv_highwater_leads(gen, wall))
        return;
    p->gen_in_doubt = false;
    pv_descx_renumber(&p->descx, pv_highwater_next(gen, wall));
    pv_peer_pq_begin(p);
}

/* Of what changes behind a peer's back: candidates while its path is dormant, what was measured of
 * the NAT, the state of UDP here. The part that changes the rest says so (pv_descx_changed()). */
static uint64_t hash_content(const struct pv_desc *d)
{
    const struct pv_desc_nat *nat = &d->nat;
    const int32_t plain[] = {(int32_t)d->caps,
                             (int32_t)nat->mapping,
                             (int32_t)nat->ports,
                             nat->step,
                             nat->last,
                             nat->lo,
                             nat->hi,
                             nat->early};
    uint8_t hash[PV_MAC_LEN];
    struct pv_blake2s h;
    pv_blake2s_init(&h, pv_view(NULL, 0), sizeof(hash));
    pv_blake2s_update(&h, plain, sizeof(plain));
    for (size_t i = 0; i < d->n_cands; i++) {
        const struct pv_ice_cand *c = &d->cands[i];
        const uint32_t cand[] = {(uint32_t)c->type, c->priority, c->foundation, c->base};
        pv_blake2s_update(&h, cand, sizeof(cand));
        pv_blake2s_update(&h, &c->addr, sizeof(c->addr));
    }
    pv_blake2s_final(&h, hash);
    return pv_load_be64(hash);
}

/* It is composed when it is sent: changes that come together make one description. */
bool pv_peer_take_desc(struct pv_peer *p, pv_ns now, struct pv_desc *ret_desc)
{
    if (p->ice == NULL || pv_descx_next_timeout(&p->descx) > now)
        return false;
    renumber(p, now);
    memset(ret_desc, 0, sizeof(*ret_desc));
    ret_desc->re_gen = p->descx.theirs.gen;
    ret_desc->re_rev = p->descx.theirs.rev;
    ret_desc->creds = p->talk->creds;
    ret_desc->caps = p->node->ways.caps;
    memcpy(ret_desc->cost, p->node->ways.cost, sizeof(ret_desc->cost));
    ret_desc->n_cands = pv_ice_locals(p->ice, ret_desc->cands, PV_ARRAY_LEN(ret_desc->cands));
    if (p->node->ways.nat != NULL)
        ret_desc->nat = *p->node->ways.nat;
    if (p->hard.announced)
        ret_desc->attempt = (struct pv_desc_try){.n = p->hard.n, .at_us = p->hard.at_us};
    ret_desc->pq = p->agreed.x == NULL ? NULL : pv_pqx_say(p->agreed.x);
    if (p->wg_len > 0)
        memcpy(ret_desc->wg, p->talk->wg, p->wg_len);
    ret_desc->wg_len = p->wg_len;
    pv_descx_says(&p->descx, hash_content(ret_desc));
    (void)pv_descx_take_due(&p->descx, now);
    if (p->gen_in_doubt) /* the peer may answer the next number only */
        pv_descx_insist(&p->descx, now);
    ret_desc->gen = p->descx.own.gen;
    ret_desc->rev = p->descx.own.rev;
    return true;
}

int pv_peer_poll_transmit(struct pv_peer *p, struct pv_peer_transmit *ret_tx)
{
    /* Handshakes before checks: a check can be repeated, and packets wait for the keys. */
    struct pv_peer_talk *m = p->talk;
    if (m != NULL && m->n_out > 0) {
        const struct pv_peer_handshake *h = &m->out[0];
        *ret_tx = (struct pv_peer_transmit){.relayed = pv_carrier_is_relayed(&h->to),
                                            .via = h->to.via,
                                            .sock = h->to.sock,
                                            .local = h->to.local,
                                            .dst = h->to.remote,
                                            .len = h->len};
        memcpy(ret_tx->buf, h->msg, h->len);
        m->n_out--;
        memmove(&m->out[0], &m->out[1], m->n_out * sizeof(m->out[0]));
        return PV_OK;
    }
    struct pv_ice_transmit tx;
    if (p->ice == NULL || pv_ice_poll_transmit(p->ice, &tx) != PV_OK)
        return PV_ERR_AGAIN;
    bool relayed = tx.carrier.kind != PV_ICE_CARRIER_UDP;
    *ret_tx = (struct pv_peer_transmit){.relayed = relayed,
                                        .via = relayed ? tx.carrier.sock : 0,
                                        .sock = relayed ? 0 : tx.carrier.sock,
                                        .local = tx.carrier.local,
                                        .dst = tx.dst,
                                        .is_stun = true,
                                        .ttl = tx.ttl,
                                        .len = tx.len};
    memcpy(ret_tx->buf, tx.buf, tx.len);
    return PV_OK;
}

/* --- traffic, and how large a datagram the path carries -------------------------------------- */

/* The bytes that the path puts before a sealed datagram: so the sizes that are tried are those of
 * links. Ours is a stream: the part behind the relay alone has links, and may have IPv6. */
static size_t bytes_before(const struct pv_peer *p)
{
    bool six = p->path.kind == PV_CARRIER_STREAM || pv_carrier_dst(&p->path)->family == PV_AF_INET6;
    size_t headers = six ? UDP6 : UDP4;
    return headers + (pv_peer_is_relayed(p) ? PV_TURN_CHANNEL_HEADER : 0);
}

/* Probes begin with use, and a packet that was too large to be sent is use: a path nobody sends
 * data over may carry what it likes. Static peers cannot answer them. Data from before this path
 * says nothing about it. */
static void note_mtu(struct pv_peer *p, const struct pv_session_traffic *t, uint64_t bytes,
                     pv_ns too_big_at, pv_ns now)
{
    if (p->talk == NULL)
        return;
    uint64_t more = bytes - p->talk->sampled_bytes;
    struct pv_mtu *m = &p->talk->mtu;

    p->talk->sampled_bytes = bytes;
    if (p->is_static || !pv_peer_has_path(p) || p->session == NULL ||
        !pv_session_has_keys(p->session, now) ||
        (t->data_sent < p->path_since && too_big_at < p->path_since))
        return;
    if (m->state == PV_MTU_OFF)
        pv_mtu_start(m, &p->node->rng, bytes_before(p),
                     (uint16_t)(p->node->given.mtu + PV_FP_OVERHEAD), taken_message(p), now);
    pv_mtu_note_sent(m, more == 0 ? 0 : more + PV_FP_OVERHEAD, t->data_sent);
    if (too_big_at >= p->path_since)
        pv_mtu_note_refused(m, too_big_at);
    if (t->data_received > p->path_since)
        pv_mtu_note_received(m, t->data_received, now);
}

void pv_peer_add_relayed(const struct pv_peer *p, uint16_t via, struct pv_peer_relayed *sum)
{
    struct pv_fp_live *l = pv_fp_builder_live(p->node->fp, p->id);
    if (l == NULL)
        return;
    sum->tx += atomic_load_explicit(&l->tx_relayed[via], memory_order_relaxed);
    sum->rx += atomic_load_explicit(&l->rx_relayed[via], memory_order_relaxed);
}

void pv_peer_add_sums(const struct pv_peer *p, struct pv_peer_sums *sum)
{
    const struct pv_fp_live *l = pv_fp_builder_live(p->node->fp, p->id);
    if (l == NULL)
        return;
    sum->tx_bytes += atomic_load_explicit(&l->tx_bytes, memory_order_relaxed);
    sum->rx_bytes += atomic_load_explicit(&l->rx_bytes, memory_order_relaxed);
    sum->tx_packets += atomic_load_explicit(&l->tx_packets, memory_order_relaxed);
    sum->rx_packets += atomic_load_explicit(&l->rx_packets, memory_order_relaxed);
}

uint16_t pv_peer_inner_mtu(const struct pv_peer *p)
{
    uint16_t current = largest_message(p);
    if (current == 0)
        return p->node->given.mtu;
    uint16_t inner = (uint16_t)(current - PV_FP_OVERHEAD);
    return inner < PV_PARTS_WHOLE ? PV_PARTS_WHOLE : inner;
}

bool pv_peer_rests(const struct pv_peer *p, pv_ns now)
{
    const struct pv_fp_live *l = pv_fp_builder_live(p->node->fp, p->id);
    return !p->is_static && l != NULL && pv_peer_has_path(p) &&
           now >= p->path_since + PV_FP_SURE_FOR &&
           now >= atomic_load_explicit(&l->last_rx_selected, memory_order_relaxed) + PV_FP_SURE_FOR;
}

bool pv_peer_is_silent(const struct pv_peer *p, pv_ns now)
{
    return pv_peer_rests(p, now) &&
           pv_fp_live_is_silent(pv_fp_builder_live(p->node->fp, p->id), now);
}

void pv_peer_settle_silence(struct pv_peer *p)
{
    struct pv_carrier spare = {.kind = PV_CARRIER_NONE};
    const struct pv_relayway *relay =
        p->node->ways.relays[0]; /* the one where it has a virtual address */
    struct pv_fp_live *l = pv_fp_builder_live(p->node->fp, p->id);
    if (p->ice == NULL || l == NULL)
        return;
    pv_fp_live_set_alive(l, pv_ice_alive_at(p->ice));
    if (!pv_peer_is_direct(p) || p->relay_addr.family == PV_AF_NONE || relay == NULL ||
        !pv_relayway_carrier(relay, &p->relay_addr, &spare))
        spare.kind = PV_CARRIER_NONE;
    if (pv_fp_builder_set_spare(p->node->fp, p->id, &spare) != PV_OK)
        pv_log(p->node->log, PV_LOG_WARN, "peer=%s what=\"no spare way: out of memory\"", p->name);
}

void pv_peer_settle_mtu(struct pv_peer *p, pv_ns now)
{
    uint16_t size;
    struct pv_mtu *m = pv_peer_mtu_of(p);
    if (m == NULL || !pv_mtu_take_change(m, &size) || !pv_peer_has_path(p))
        return;
    /* The same path with another size. A smaller one must reach the packet threads soon: what is
     * too large is lost in silence. */
    if (pv_fp_builder_set_path(p->node->fp, p->id, &p->path, pv_peer_path_mtu(p)) != PV_OK)
        m->changed = true; /* without memory: again with the next occasion */
    pv_trace_add(&p->trace, now, "the path carries packets of %u bytes inside",
                 size == 0 ? p->node->given.mtu : size - (unsigned)PV_FP_OVERHEAD);
}

/* A client's question counts as traffic: the agent checks the path now. */
void pv_peer_note_asked(struct pv_peer *p, pv_ns now)
{
    p->asked_at = now;
    p->sample_at = pv_min_ns(p->sample_at, now);
    pv_peer_note_use(p, now);
}

void pv_peer_note_use(struct pv_peer *p, pv_ns now)
{
    struct pv_fp_live *l = pv_fp_builder_live(p->node->fp, p->id);
    if (l != NULL)
        atomic_store_explicit(&l->last_asked, now, memory_order_relaxed);
}

/* The packet threads only write times. Control reads them while there is traffic, and stops with
 * it: an idle peer costs no timer. */
void pv_peer_sample(struct pv_peer *p, pv_ns now)
{
    struct pv_fp_live *l = pv_fp_builder_live(p->node->fp, p->id);
    if (l == NULL)
        return;
    const struct pv_session_traffic t = {
        .data_sent = atomic_load_explicit(&l->last_tx_data, memory_order_relaxed),
        .any_sent = atomic_load_explicit(&l->last_tx_any, memory_order_relaxed),
        .data_received = atomic_load_explicit(&l->last_rx_data, memory_order_relaxed),
        .any_received = atomic_load_explicit(&l->last_rx_any, memory_order_relaxed),
        .sent = atomic_load_explicit(&l->tx_packets, memory_order_relaxed),
    };
    if (p->session != NULL)
        pv_session_note_traffic(p->session, &t, now);
    pv_ns sent = t.data_sent > p->asked_at ? t.data_sent : p->asked_at;
    pv_ns heard = atomic_load_explicit(&l->last_rx_selected, memory_order_relaxed);
    if (p->ice != NULL) {
        pv_ice_note_data(p->ice, t.data_received, now);
        pv_ice_note_traffic(p->ice, sent, heard, now);
        pv_fp_live_set_alive(l, pv_min_ns(heard, now));
    }
    note_mtu(p, &t, atomic_load_explicit(&l->tx_bytes, memory_order_relaxed),
             atomic_load_explicit(&l->too_big_at, memory_order_relaxed), now);
    pv_peer_pq_used(p, now);
    pv_ns last = sent > t.data_received ? sent : t.data_received;
    if (last + PV_PEER_WANTED_FOR > now && last > p->wanted_at) {
        /* Talk begins on the relay: a direct path is looked for now, not by what was waited in vain
         * before the pause. */
        bool rested = last > p->wanted_at + PV_FP_SURE_FOR;
        if (p->leave_at != PV_NEVER && rested &&
            (pv_peer_was_direct(p, now) || !pv_peer_is_wanted(p, now)))
            pv_peer_leave_relay(p, now);
        p->wanted_at = last;
    }
    /* From here on the next packet reports itself. */
    if (last + PV_PEER_QUIET_AFTER < now) {
        p->sample_at = PV_NEVER;
        pv_fp_live_rearm_active(l);
    } else {
        p->sample_at = now + PV_PEER_SAMPLE;
    }
}

int pv_peer_receive_inband(struct pv_peer *p, struct pv_view packet, pv_ns now,
                           struct pv_inband_message *ret_msg)
{
    return pv_inband_receive(&p->inband, packet, now, ret_msg);
}

/* The packet threads tell it now and then, so a peer that goes on trying does not push everything
 * else out of the trace. */
void pv_peer_note_denied(struct pv_peer *p, const struct pv_fp_punt *punt, pv_ns now)
{
    char port[PV_PORTS_TEXT];
    pv_trace_add(&p->trace, now, "%s from it: denied by %s",
                 pv_ports_format_one((uint8_t)(punt->count >> 16), (uint16_t)punt->count, port),
                 PV_RULE_STR((uint16_t)punt->index));
}

/* --- its share of the numbers about paths (pathstats.h) -------------------------------------- */

/* Static peers add nothing: they are not sought. */

static enum pv_natclass own_class(const struct pv_peer *p)
{
    const struct pv_node *n = p->node;
    return pv_natclass(n->ways.nat, n->ways.locals, n->ways.n_locals);
}

static enum pv_natclass their_class(const struct pv_peer *p)
{
    if (p->descx.theirs.gen == 0)
        return PV_NATCLASS_UNKNOWN;
    const struct pv_desc *theirs = pv_peer_theirs(p);
    return pv_natclass(&theirs->nat, theirs->cands, theirs->n_cands);
}

void pv_peer_count_attempt(struct pv_peer *p, enum pv_hardnat_method method,
                           enum pv_path_result result)
{
    p->node->common->stats.attempts[method][result][own_class(p)][their_class(p)]++;
}

void pv_peer_count_pair(const struct pv_peer *p, struct pv_pathpairs *sum)
{
    if (p->is_static || p->path_since == 0)
        return;
    const enum pv_natclass own = own_class(p), theirs = their_class(p);
    sum->talked[own][theirs]++;
    sum->direct[own][theirs] += p->direct_at != 0 || pv_peer_is_direct(p);
}

void pv_peer_count_checks(struct pv_peer *p, enum pv_path_result result)
{
    if (p->seek.state != PV_PEER_SEEKING_OPEN)
        return;
    pv_peer_count_attempt(p, PV_HARDNAT_NONE, result);
    p->seek.state = PV_PEER_SEEKING_COUNTED;
}

/* A search begins with REACHING and is open until its first result; a restart of ICE inside it
 * counts once. */
void pv_peer_count_state(struct pv_peer *p, enum pv_peer_state state, pv_ns now)
{
    if (p->is_static || state == PV_PEER_UP)
        return;
    pv_peer_count_checks(p, pv_peer_is_relayed(p) ? PV_PATH_RELAYED : PV_PATH_FAILED);
    if (state != PV_PEER_REACHING) {
        p->seek.state = PV_PEER_SEEKING_NOTHING;
    } else if (!p->seek.direct) {
        p->seek.since = now;
        p->seek.state = PV_PEER_SEEKING_OPEN;
    }
}

static enum pv_path_end end_of(enum pv_ice_cand_type type)
{
    switch (type) {
    case PV_ICE_HOST:
        return PV_PATH_END_HOST;
    case PV_ICE_SRFLX:
        return PV_PATH_END_SRFLX;
    case PV_ICE_PRFLX:
    case PV_ICE_RELAY: /* no end of a direct path */
        break;
    }
    return PV_PATH_END_PRFLX;
}

/* A direct path without an agent's choice was found at a remembered address. */
static void count_direct(struct pv_peer *p)
{
    enum pv_path_end own = PV_PATH_END_REMEMBERED, theirs = PV_PATH_END_REMEMBERED;
    struct pv_ice_path path;
    if (p->ice != NULL && pv_ice_selected(p->ice, &path) == PV_OK) {
        own = end_of(path.local_type);
        theirs = end_of(path.remote_type);
        for (size_t i = 0; i < PV_ARRAY_LEN(p->node->ways.portmapped); i++) {
            if (path.mapped.family != PV_AF_NONE &&
                pv_addr_equal(&path.mapped, &p->node->ways.portmapped[i]))
                own = PV_PATH_END_PORTMAP;
        }
    }
    p->node->common->stats.direct[own][theirs]++;
}

/* Added up in pieces, so that a metrics page in the middle of a long time on a relay sees it
 * grow. */
void pv_peer_count_relay_time(struct pv_peer *p, pv_ns now)
{
    if (p->seek.relayed_since != 0)
        p->node->common->stats.relay_time += now - p->seek.relayed_since;
    p->seek.relayed_since = pv_peer_is_relayed(p) ? now : 0;
}

void pv_peer_count_path(struct pv_peer *p, pv_ns now)
{
    bool was_relayed = p->seek.relayed_since != 0;
    if (p->is_static)
        return;
    pv_peer_count_relay_time(p, now);
    p->node->common->stats.relayed += !was_relayed && p->seek.relayed_since != 0 ? 1 : 0;
    p->seek.direct = pv_peer_has_path(p) && !pv_peer_is_relayed(p);
    if (!p->seek.direct || p->seek.state == PV_PEER_SEEKING_NOTHING)
        return; /* nominations may cross, and move the path there and back */
    count_direct(p);
    pv_peer_count_checks(p, PV_PATH_DIRECT);
    pv_histogram_add(&p->node->common->stats.to_direct, (double)(now - p->seek.since) / 1e9);
    p->seek.state = PV_PEER_SEEKING_NOTHING;
}
