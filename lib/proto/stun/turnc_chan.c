/* SPDX-License-Identifier: MIT */
/*
 * turnc_chan.c - TURN client, part two: channels, their numbers, and single datagrams through them
 * (RFC 8656 s12). A channel is wanted by a peer's address and keeps its number over new
 * allocations: the fast path of this node has the number in its snapshot, and packets must not meet
 * another peer's channel there.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/vec.h"
#include "proto/stun/turnc_int.h"

/* --- channels ------------------------------------------------------------------------------ */

static struct pv_turnc_chan *find_channel(const struct pv_turnc *c, const struct pv_addr *peer)
{
    for (size_t i = 0; i < c->n_channels; i++) {
        if (pv_addr_equal(&c->channels[i].peer, peer))
            return &c->channels[i];
    }
    return NULL;
}

static void queue_channel_event(struct pv_turnc *c, struct pv_turnc_chan *ch)
{
    c->n_tell += ch->tell ? 0 : 1;
    ch->tell = true;
}

void pv_turnc_set_bound(struct pv_turnc *c, struct pv_turnc_chan *ch, bool bound)
{
    if (ch->bound == bound)
        return;
    ch->bound = bound;
    queue_channel_event(c, ch);
}

/* Stock servers want a permission before they accept Send indications, which carry the data until
 * the channel is bound; a ChannelBind would install it too, but one loss later. */
void pv_turnc_bind_now(struct pv_turnc *c, struct pv_turnc_chan *ch, pv_ns now)
{
    ch->again_at = PV_NEVER;
    pv_turnc_txn_start(c, &ch->bind, now);
    if (c->cfg.permissions && !ch->bound)
        pv_turnc_txn_start(c, &ch->permit, now);
}

void pv_turnc_unbind_all(struct pv_turnc *c, pv_ns now)
{
    for (size_t i = 0; i < c->n_channels; i++) {
        struct pv_turnc_chan *ch = &c->channels[i];
        pv_turnc_txn_stop(&ch->bind);
        pv_turnc_txn_stop(&ch->permit);
        ch->again_at = now;
        ch->lasted = 0;
        pv_turnc_set_bound(c, ch, false);
    }
}

static bool number_is_free(const struct pv_turnc *c, uint16_t number)
{
    if (pv_turnc_past_has(&c->past, number, c->now))
        return false;
    for (size_t i = 0; i < c->n_channels; i++) {
        if (c->channels[i].number == number)
            return false;
    }
    return true;
}

/* The one the peer had, if the server may still know it; else in turn, so that a number comes back
 * as late as possible. */
static uint16_t draw_number(struct pv_turnc *c, const struct pv_addr *peer)
{
    uint16_t number = pv_turnc_past_take(&c->past, peer, c->now);
    if (number != 0)
        return number;
    do {
        number = c->next_number;
        c->next_number =
            number == PV_TURN_CHANNEL_MAX ? (uint16_t)PV_TURN_CHANNEL_MIN : (uint16_t)(number + 1);
    } while (!number_is_free(c, number));
    return number;
}

int pv_turnc_bind(struct pv_turnc *c, const struct pv_addr *peer, pv_ns now)
{
    c->now = now;
    if (find_channel(c, peer) != NULL)
        return PV_OK;
    if (c->n_channels == PV_TURNC_MAX_CHANNELS)
        return PV_ERR_LIMIT;
    void *grown =
        pv_vec_room(c->channels, c->n_channels, &c->cap_channels, 8, sizeof(c->channels[0]));
    if (grown == NULL)
        return PV_ERR_NOMEM;
    c->channels = grown;
    struct pv_turnc_chan *ch = &c->channels[c->n_channels];
    *ch = (struct pv_turnc_chan){.peer = *peer, .again_at = now};
    pv_turnc_txn_stop(&ch->bind);
    pv_turnc_txn_stop(&ch->permit);
    ch->number = draw_number(c, peer);
    c->n_channels++;
    if (c->state == PV_TURNC_READY)
        pv_turnc_bind_now(c, ch, now);
    pv_turnc_touch(c);
    return PV_OK;
}

/* Nothing is sent: TURN has no unbind, the server forgets the channel after ten minutes (RFC 8656
 * s12). Until then its number stays with this peer, see turnc_past.h. */
void pv_turnc_unbind(struct pv_turnc *c, const struct pv_addr *peer, pv_ns now)
{
    struct pv_turnc_chan *ch = find_channel(c, peer);
    c->now = now;
    if (ch == NULL)
        return;
    pv_turnc_past_add(&c->past, &ch->peer, ch->number, now);
    c->n_tell -= ch->tell ? 1 : 0;
    *ch = c->channels[--c->n_channels];
    pv_turnc_touch(c);
}

/* Remembers how long the channel had been bound, for pv_turnc_healed() to learn from. */
void pv_turnc_suspect(struct pv_turnc *c, const struct pv_addr *peer, pv_ns now)
{
    struct pv_turnc_chan *ch = find_channel(c, peer);
    c->now = now;
    if (!c->cfg.permissions || c->state != PV_TURNC_READY || ch == NULL || !ch->bound ||
        ch->bind.running || now - ch->bound_at < PV_TURNC_SUSPECT)
        return;
    ch->lasted = now - ch->bound_at;
    pv_turnc_bind_now(c, ch, now);
    pv_turnc_touch(c);
}

/* Binding again has brought the path back, so the server forgot the permission early: from now on
 * all channels at it are bound again in half that time. Only an answer right before the recovery
 * counts; otherwise something else mended the path. */
void pv_turnc_healed(struct pv_turnc *c, const struct pv_addr *peer, pv_ns now)
{
    struct pv_turnc_chan *ch = find_channel(c, peer);
    if (ch == NULL || ch->lasted == 0)
        return;
    pv_ns half = ch->lasted / 2 > PV_TURNC_REBIND_MIN ? ch->lasted / 2 : PV_TURNC_REBIND_MIN;
    bool by_binding = !ch->bind.running && ch->bound && now - ch->bound_at <= PV_TURNC_HEALED;
    ch->lasted = 0;
    if (!by_binding || half >= c->rebind)
        return;
    c->rebind = half;
    for (size_t i = 0; i < c->n_channels; i++) {
        struct pv_turnc_chan *each = &c->channels[i];
        if (each->bound && each->again_at != PV_NEVER)
            each->again_at = pv_min_ns(each->again_at, each->bound_at + half);
    }
    pv_turnc_touch(c);
}

uint16_t pv_turnc_channel(const struct pv_turnc *c, const struct pv_addr *peer)
{
    const struct pv_turnc_chan *ch = find_channel(c, peer);
    return ch == NULL || !ch->bound ? 0 : ch->number;
}

uint16_t pv_turnc_channel_before(const struct pv_turnc *c, const struct pv_addr *peer)
{
    const struct pv_turnc_chan *ch = find_channel(c, peer);
    return ch == NULL || !ch->before ? 0 : ch->number;
}

uint16_t pv_turnc_number(const struct pv_turnc *c, const struct pv_addr *peer)
{
    const struct pv_turnc_chan *ch = find_channel(c, peer);
    return ch == NULL ? 0 : ch->number;
}

/* --- datagrams ----------------------------------------------------------------------------- */

/* Without a channel a Send indication carries the data: more bytes around it, but it works at
 * once. */
int pv_turnc_wrap(struct pv_turnc *c, const struct pv_addr *peer, struct pv_view data, uint8_t *buf,
                  size_t cap, size_t *ret_len)
{
    if (!c->up)
        return PV_ERR_STATE;
    uint16_t channel = pv_turnc_channel(c, peer);
    if (channel == 0) {
        uint8_t id[PV_STUN_TXID_LEN];
        pv_rng_fill(&c->rng, id, sizeof(id));
        return pv_turn_indication_build(PV_TURN_SEND, id, peer, data, buf, cap, ret_len);
    }
    if (data.len > UINT16_MAX || cap < PV_TURN_CHANNEL_HEADER + data.len)
        return PV_ERR_NO_SPACE;
    pv_turn_channel_header(buf, channel, (uint16_t)data.len);
    if (data.len > 0)
        memcpy(buf + PV_TURN_CHANNEL_HEADER, data.ptr, data.len);
    *ret_len = PV_TURN_CHANNEL_HEADER + data.len;
    return PV_OK;
}
