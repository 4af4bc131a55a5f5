/* SPDX-License-Identifier: MIT */
/* The relay's clients by stream: messages of a stream into the TURN server, its output out of it.
 */
#include <stdlib.h>
#include <string.h>

#include "coordinator/core/coord_int.h"

struct pv_turns *pv_coord_turns(struct pv_coord *c)
{
    return c->turns;
}

const struct pv_relaystats *pv_coord_relay_stats(const struct pv_coord *c)
{
    return pv_turns_counters(c->turns);
}

/* What does not fit is dropped, as on any full line. */
void pv_coord_relay_stream(struct pv_coord *c, const struct pv_turns_out *out)
{
    struct pv_conn *s = pv_coord_find(c, out->stream);
    if (s == NULL || s->stun == NULL || s->dead || s->state == PV_CONN_CLOSING)
        return;
    (void)!pv_stunconn_put(s->stun, out->data);
    pv_coord_mark_ready(c, s);
}

static void queue(struct pv_coord *c, const struct pv_turns_out *out)
{
    if (c->relayq == NULL)
        c->relayq = calloc(1, sizeof(*c->relayq));
    struct pv_relayq *q = c->relayq;
    if (q == NULL || q->n == PV_RELAYQ || out->data.len > sizeof(q->data[0]))
        return;
    memcpy(q->data[q->n], out->data.ptr, out->data.len);
    q->out[q->n] = *out;
    q->out[q->n].data = pv_view(q->data[q->n], out->data.len);
    q->n++;
}

int pv_coord_poll_datagram(struct pv_coord *c, struct pv_turns_out *ret_out)
{
    struct pv_relayq *q = c->relayq;
    if (q == NULL)
        return PV_ERR_AGAIN;
    if (q->at == q->n) {
        q->at = 0;
        q->n = 0;
        return PV_ERR_AGAIN;
    }
    *ret_out = q->out[q->at++];
    return PV_OK;
}

bool pv_coord_relays(const struct pv_coord *c, const struct pv_conn *s)
{
    return s->stun != NULL && pv_turns_has_stream(c->turns, s->id);
}

void pv_coord_relay_message(struct pv_coord *c, struct pv_conn *s, size_t len, pv_ns now)
{
    const struct pv_turns_in in = {
        .src = s->source, .stream = s->id, .ptr = s->stun->in, .len = len};
    size_t n = 0;
    pv_turns_batch(c->turns, &in, 1, now);
    const struct pv_turns_out *out = pv_turns_out(c->turns, &n);
    for (size_t i = 0; i < n; i++) {
        if (out[i].stream != 0)
            pv_coord_relay_stream(c, &out[i]);
        else
            queue(c, &out[i]);
    }
    /* Whoever holds an allocation has shown who it is: it is no guest any more. */
    if (!s->relaying && pv_coord_relays(c, s)) {
        s->relaying = true;
        c->n_guests--;
    }
}
