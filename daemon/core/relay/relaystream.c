/* SPDX-License-Identifier: MIT */
/* Opens and closes the one connection of a way to a relay. */
#include "daemon/core/relay/relaystream.h"

#include <string.h>

#include "daemon/core/packets/fp_builder.h"

void pv_relaystream_init(struct pv_relaystream *s, uint16_t via, const struct pv_rng *rng)
{
    *s = (struct pv_relaystream){
        .rng = *rng, .via = via, .connect_by = PV_NEVER, .linger_until = PV_NEVER};
}

static bool push_op(struct pv_relaystream *s, const struct pv_relaystream_op *op)
{
    if (s->n_ops == PV_RELAYSTREAM_OPS_MAX)
        return false;
    s->ops[s->n_ops++] = *op;
    return true;
}

/* A number is used again only after thousands of streams, so that a late message of a closed one is
 * never taken for the present one's. The relay's number is its remainder. */
void pv_relaystream_open(struct pv_relaystream *s, const struct pv_relaystream_to *to, bool hasty,
                         pv_ns now)
{
    const uint16_t most = UINT16_MAX / PV_FP_MAX_RELAYS - 1;
    uint16_t number = (uint16_t)(s->n_numbers % most + 1);
    uint16_t stream = (uint16_t)(number * PV_FP_MAX_RELAYS + s->via);
    if (s->state != PV_RELAYSTREAM_CLOSED || now < s->retry_at)
        return;
    /* Its close must find room, and that of one given away: a stream that nobody closes would stay
     * open for ever. */
    if (s->n_ops + 2 >= PV_RELAYSTREAM_OPS_MAX ||
        !push_op(s, &(struct pv_relaystream_op){.open = true, .stream = stream, .to = *to}))
        return;
    s->n_numbers = number;
    s->number = stream;
    s->to = *to;
    s->state = PV_RELAYSTREAM_CONNECTING;
    s->hasty = hasty;
    s->connect_by = now + (hasty ? PV_RELAYSTREAM_HASTE : PV_RELAYSTREAM_CONNECT);
}

bool pv_relaystream_connected(struct pv_relaystream *s, uint16_t number)
{
    if (s->state != PV_RELAYSTREAM_CONNECTING || number != s->number)
        return false;
    s->state = PV_RELAYSTREAM_OPEN;
    s->connect_by = PV_NEVER;
    return true;
}

void pv_relaystream_lost(struct pv_relaystream *s, pv_ns now)
{
    pv_ns wait = s->retry == 0 ? PV_RELAYSTREAM_RETRY_FIRST : s->retry;
    s->state = PV_RELAYSTREAM_CLOSED;
    s->number = 0;
    s->connect_by = s->linger_until = PV_NEVER;
    /* Jitter: all nodes of a network lose their streams together when the coordinator restarts. */
    s->retry_at = now + wait / 2 + pv_rng_u64(&s->rng) % (wait / 2 + 1);
    s->retry = pv_min_ns(2 * wait, PV_RELAYSTREAM_RETRY_MAX);
}

/* There is room: pv_relaystream_open() has seen to that. */
void pv_relaystream_close_number(struct pv_relaystream *s, uint16_t number)
{
    (void)push_op(s, &(struct pv_relaystream_op){.stream = number});
}

void pv_relaystream_close(struct pv_relaystream *s, pv_ns now)
{
    pv_relaystream_close_number(s, s->number);
    pv_relaystream_lost(s, now);
}

/* The time of the first call counts: it is called again and again while UDP carries. */
void pv_relaystream_leave(struct pv_relaystream *s, pv_ns now)
{
    if (s->linger_until == PV_NEVER)
        s->linger_until = now + PV_RELAYSTREAM_LINGER;
}

void pv_relaystream_stay(struct pv_relaystream *s)
{
    s->linger_until = PV_NEVER;
}

void pv_relaystream_hurry(struct pv_relaystream *s, pv_ns now)
{
    s->retry_at = now;
}

void pv_relaystream_again(struct pv_relaystream *s, pv_ns now)
{
    s->retry = 0;
    s->retry_at = now;
}

void pv_relaystream_works(struct pv_relaystream *s)
{
    s->retry = 0;
}

pv_ns pv_relaystream_ends_at(const struct pv_relaystream *s)
{
    return pv_min_ns(s->connect_by, s->linger_until);
}

int pv_relaystream_poll_op(struct pv_relaystream *s, struct pv_relaystream_op *ret_op)
{
    if (s->n_ops == 0)
        return PV_ERR_AGAIN;
    *ret_op = s->ops[0];
    memmove(&s->ops[0], &s->ops[1], --s->n_ops * sizeof(s->ops[0]));
    return PV_OK;
}
