/* SPDX-License-Identifier: MIT */
/* turnout.c - what the server sends: answers and indications, each in a buffer of its own until the
 * batch has left. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "coordinator/core/turn/turns_int.h"
#include "proto/stun/turn.h"

/* --- output ---------------------------------------------------------------------------------- */

struct pv_turns_out *pv_turns_out_new(struct pv_turns *t, uint8_t **ret_scratch)
{
    if (t->n_out == PV_TURNS_BATCH)
        return NULL;
    if (ret_scratch != NULL)
        *ret_scratch = t->scratch[t->n_out];
    return &t->out[t->n_out++];
}

struct pv_turns_out *pv_turns_out_to(struct pv_turns *t, const struct pv_turns_way *way,
                                     uint8_t **ret_scratch)
{
    struct pv_turns_out *out = pv_turns_out_new(t, ret_scratch);
    if (out != NULL)
        *out = (struct pv_turns_out){
            .dst = way->src, .local = way->local, .sock = way->sock, .stream = way->stream};
    return out;
}

void pv_turns_out_end(struct pv_turns *t, struct pv_turns_out *out, struct pv_stun_writer *w)
{
    size_t len = 0;
    if (pv_stun_write_end(w, &len) == PV_OK)
        out->data = pv_view(w->buf, len);
    else
        t->n_out--; /* it was the last one */
}

const struct pv_turns_out *pv_turns_out(const struct pv_turns *t, size_t *ret_n)
{
    *ret_n = t->n_out;
    return t->out;
}

void pv_turns_sent(struct pv_turns *t)
{
    t->n_out = 0;
}

bool pv_turns_out_may(uint32_t rate, struct pv_bucket *b, size_t len, pv_ns now)
{
    return rate == 0 || pv_bucket_take(b, rate, rate > 65536 ? rate : 65536, (uint32_t)len, now);
}

/* The transaction id of a Data indication (RFC 8656 s11.4) means nothing; ours are counted, so that
 * captures can be read. */
static void put_indication(struct pv_turns *t, const struct pv_turns_alloc *to,
                           const struct pv_addr *peer, struct pv_view data)
{
    uint8_t txid[PV_STUN_TXID_LEN] = {'p', 'v'};
    uint8_t *buf = NULL;
    struct pv_turns_out *out = pv_turns_out_to(t, &to->way, &buf);
    struct pv_stun_writer w;
    if (out == NULL)
        return;
    pv_store_be64(txid + 4, t->next_txid++);
    pv_stun_write_begin(&w, buf, PV_TURNS_SCRATCH, PV_STUN_INDICATION, PV_TURN_DATA, txid);
    pv_stun_put_xor_addr(&w, PV_TURN_ATTR_XOR_PEER_ADDRESS, peer);
    pv_stun_put(&w, PV_TURN_ATTR_DATA, data);
    pv_turns_out_end(t, out, &w);
}

void pv_turns_out_data(struct pv_turns *t, const struct pv_turns_alloc *to,
                       const struct pv_turns_chan *c, const struct pv_addr *peer,
                       struct pv_view data, pv_ns now)
{
    uint8_t *buf = NULL;
    if (c == NULL || c->until <= now) {
        put_indication(t, to, peer, data);
        return;
    }
    struct pv_turns_out *out = pv_turns_out_to(t, &to->way, &buf);
    if (out == NULL)
        return;
    pv_turn_channel_header(buf, c->number, (uint16_t)data.len);
    memcpy(buf + PV_TURN_CHANNEL_HEADER, data.ptr, data.len);
    out->data = pv_view(buf, data.len + PV_TURN_CHANNEL_HEADER);
}
