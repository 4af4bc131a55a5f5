/* SPDX-License-Identifier: MIT */
/* turndata.c - the way of relayed datagrams. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "coordinator/core/turn/turns_int.h"
#include "proto/stun/turn.h"

/* --- the way of relayed datagrams ------------------------------------------------------------ */

/* This runs for each of them, so nothing here allocates, and a payload is moved only where its
 * answer is longer than what came. */

/* --- between members ------------------------------------------------------------------------- */

/* Data of a client, in the input's buffer. */
struct client_data {
    uint8_t *ptr;
    size_t len;
};

/* Passes data between two members, in memory. data lies in the input with at least 4 bytes before
 * it (the header of ChannelData or of the attribute DATA), so a header is written in front and
 * nothing is copied. back: the receiver's channel, if the sender's is linked to it. No permission
 * is needed: both are members of one network, which is all a permission could say. */
static void to_member(struct pv_turns *t, const struct pv_turns_alloc *from,
                      const struct pv_turns_chan *back, const struct pv_addr *peer,
                      struct client_data data, pv_ns now)
{
    struct pv_turns_alloc *to = back == NULL ? NULL : back->owner;
    if (to == NULL) {
        struct pv_turns_member *m = pv_turns_member_at(t, from->member->who, peer);
        to = m == NULL ? NULL : m->alloc;
        if (to != NULL)
            back = pv_turns_chan_by_peer(to, &from->member->addr);
    }
    /* Detached: the member is known, its connection or NAT binding is gone. */
    if (to == NULL || !to->attached) {
        pv_turns_count(t, PV_RELAYSTAT_DROP_NO_PEER);
        return;
    }
    /* Both directions count: one member must neither flood nor be flooded. */
    if (!pv_turns_out_may(from->member->bandwidth, &from->member->up, data.len, now) ||
        !pv_turns_out_may(to->member->bandwidth, &to->member->down, data.len, now)) {
        pv_turns_count(t, PV_RELAYSTAT_DROP_BANDWIDTH);
        return;
    }
    pv_relaystat_add(&t->stats, PV_RELAYSTAT_MEMBER_PACKETS, 1);
    pv_relaystat_add(&t->stats, PV_RELAYSTAT_MEMBER_BYTES, data.len);
    if (back == NULL || back->until <= now) {
        pv_turns_out_data(t, to, NULL, &from->member->addr, pv_view(data.ptr, data.len), now);
        return;
    }
    struct pv_turns_out *out = pv_turns_out_to(t, &to->way, NULL);
    if (out == NULL)
        return;
    uint8_t *start = data.ptr - PV_TURN_CHANNEL_HEADER;
    pv_turn_channel_header(start, back->number, (uint16_t)data.len);
    out->data = pv_view(start, data.len + PV_TURN_CHANNEL_HEADER);
}

/* --- static users ---------------------------------------------------------------------------- */

/* Counts a datagram that is relayed for this static user, once and not at both of its ends. */
static void count_of_user(struct pv_turns *t, const struct pv_turns_account *user, size_t len)
{
    size_t i = (size_t)(user - t->users);
    pv_relaystat_add_user(&t->stats, i, PV_RELAYSTAT_USER_PACKETS, 1);
    pv_relaystat_add_user(&t->stats, i, PV_RELAYSTAT_USER_BYTES, (int64_t)len);
    pv_relaystat_add(&t->stats, PV_RELAYSTAT_STATIC_PACKETS, 1);
    pv_relaystat_add(&t->stats, PV_RELAYSTAT_STATIC_BYTES, len);
}

/* Passes a peer's datagram from a relay socket on to its client. Permission comes before bandwidth:
 * strangers must not use up the bandwidth of the user's peers. The payload is copied, since a
 * header has to stand before it and the buffer of a relay socket is used again at once. */
static void to_client(struct pv_turns *t, const struct pv_turns_relay *r,
                      const struct pv_addr *peer, struct pv_view data, pv_ns now)
{
    struct pv_turns_alloc *a = r == NULL ? NULL : r->alloc;
    if (a == NULL || a->pending || !a->attached || r->state != PV_TURNS_RELAY_OPEN) {
        pv_turns_count(t, PV_RELAYSTAT_DROP_NO_ALLOCATION);
        return;
    }
    if (pv_turns_perm_of(a, peer, now) == NULL) {
        pv_turns_count(t, PV_RELAYSTAT_DROP_NO_PERMISSION);
        return;
    }
    if (!pv_turns_out_may(t->policy.bandwidth, &a->user->down, data.len, now)) {
        pv_turns_count(t, PV_RELAYSTAT_DROP_BANDWIDTH);
        return;
    }
    count_of_user(t, a->user, data.len);
    pv_turns_out_data(t, a, pv_turns_chan_by_peer(a, peer), peer, data, now);
}

/* Sends data of a static user's client to a peer: out of the allocation's socket of that family,
 * with a permission only (RFC 8656 s9), so that nobody can use this machine to reach where it was
 * not judged fit to send. */
static void to_peer(struct pv_turns *t, struct pv_turns_alloc *a, const struct pv_addr *peer,
                    struct pv_view data, bool df, pv_ns now)
{
    const struct pv_turns_relay *r = a->relays[pv_turns_family_of(peer)];
    const struct pv_turns_perm *perm = pv_turns_perm_of(a, peer, now);
    if (r == NULL || r->state != PV_TURNS_RELAY_OPEN) {
        pv_turns_count(t, PV_RELAYSTAT_DROP_NO_ALLOCATION);
        return;
    }
    if (perm == NULL) {
        pv_turns_count(t, PV_RELAYSTAT_DROP_NO_PERMISSION);
        return;
    }
    if (!pv_turns_out_may(t->policy.bandwidth, &a->user->up, data.len, now)) {
        pv_turns_count(t, PV_RELAYSTAT_DROP_BANDWIDTH);
        return;
    }
    /* Relayed here too: it goes over in memory, where no NAT before this machine and no firewall
     * on it stands in the way. */
    if (perm->here) {
        to_client(t, pv_turns_relay_at(t, peer), &r->shown, data, now);
        return;
    }
    struct pv_turns_out *out = pv_turns_out_new(t, NULL);
    if (out == NULL)
        return;
    count_of_user(t, a->user, data.len);
    *out = (struct pv_turns_out){.dst = *peer, .sock = r->sock, .df = df, .data = data};
}

void pv_turns_relay_from_peer(struct pv_turns *t, const struct pv_turns_in *in, pv_ns now)
{
    size_t i = in->sock - PV_TURNS_RELAY0;
    const struct pv_turns_relay *r = i < t->limits.relays ? t->relays[i] : NULL;
    if (r != NULL && r->is_phone_port)
        pv_turns_phone_port_in(t, r, &in->src, pv_view(in->ptr, in->len), now);
    else
        to_client(t, r, &in->src, pv_view(in->ptr, in->len), now);
}

/* --- from a client --------------------------------------------------------------------------- */

void pv_turns_relay_channel_data(struct pv_turns *t, const struct pv_turns_way *way, uint8_t *ptr,
                                 size_t len, pv_ns now)
{
    if (len < PV_TURN_CHANNEL_HEADER)
        return;
    size_t data_len = pv_load_be16(ptr + 2);
    struct pv_turns_alloc *a = pv_turns_alloc_of_data(t, way, now);
    struct pv_turns_chan *c = a == NULL ? NULL : pv_turns_chan_by_number(a, pv_load_be16(ptr));
    if (a == NULL) {
        pv_turns_count(t, PV_RELAYSTAT_DROP_NO_ALLOCATION);
        return;
    }
    if (c == NULL || c->until <= now) {
        pv_turns_count(t, PV_RELAYSTAT_DROP_NO_CHANNEL);
        return;
    }
    if (len - PV_TURN_CHANNEL_HEADER < data_len) {
        pv_turns_count(t, PV_RELAYSTAT_DROP_MALFORMED);
        return;
    }
    uint8_t *data = ptr + PV_TURN_CHANNEL_HEADER;
    if (a->member == NULL)
        to_peer(t, a, &c->peer, pv_view(data, data_len), false, now);
    else if (!pv_turns_member_is_virtual(t, &c->peer))
        pv_turns_phone_port_out(t, a, c, &c->peer, pv_view(data, data_len), now);
    else
        to_member(t, a, c->reverse, &c->peer, (struct client_data){data, data_len}, now);
}

void pv_turns_relay_send(struct pv_turns *t, const struct pv_turns_way *way,
                         const struct pv_stun_msg *msg, pv_ns now)
{
    static const uint16_t known[] = {PV_TURN_ATTR_XOR_PEER_ADDRESS, PV_TURN_ATTR_DATA,
                                     PV_TURN_ATTR_DONT_FRAGMENT};
    uint16_t unknown;
    struct pv_addr peer;
    struct pv_view data;
    struct pv_turns_alloc *a = pv_turns_alloc_of_data(t, way, now);
    if (a == NULL) {
        pv_turns_count(t, PV_RELAYSTAT_DROP_NO_ALLOCATION);
        return;
    }
    if (pv_stun_get_xor_addr(msg, PV_TURN_ATTR_XOR_PEER_ADDRESS, &peer) < 0 ||
        pv_stun_find(msg, PV_TURN_ATTR_DATA, &data) < 0 ||
        pv_stun_list_unknown(msg, known, PV_ARRAY_LEN(known), &unknown, 1) > 0) {
        pv_turns_count(t, PV_RELAYSTAT_DROP_MALFORMED);
        return;
    }
    if (a->member == NULL) {
        to_peer(t, a, &peer, data, pv_stun_has(msg, PV_TURN_ATTR_DONT_FRAGMENT), now);
        return;
    }
    struct pv_turns_chan *c = pv_turns_chan_by_peer(a, &peer);
    if (!pv_turns_member_is_virtual(t, &peer)) {
        pv_turns_phone_port_out(t, a, c, &peer, data, now);
        return;
    }
    /* The input may be written to: pv_turns_in says so, a decoded message only borrows it. */
    union {
        const uint8_t *in;
        uint8_t *out;
    } bytes = {.in = data.ptr};
    to_member(t, a, c == NULL ? NULL : c->reverse, &peer, (struct client_data){bytes.out, data.len},
              now);
}
