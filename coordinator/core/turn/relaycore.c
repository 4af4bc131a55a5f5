/* SPDX-License-Identifier: MIT */
#include "coordinator/core/turn/relaycore.h"

#include <stdlib.h>
#include <string.h>

#include "coordinator/core/turn/stunconn.h"
#include "proto/stun/turn.h"

enum {
    MESSAGES = 32, /* of streams, handled at once */
};

struct pv_relaycore {
    struct pv_stuns *stuns;
    struct pv_turns *turns;
    struct pv_relaylink *link;
    /* Messages of streams: copied, because they are rewritten in place until they are sent. */
    struct pv_turns_in in[MESSAGES];
    size_t n_in;
    uint8_t bytes[MESSAGES][PV_STUNCONN_MESSAGE_MAX];
};

int pv_relaycore_new(struct pv_relaycore **ret_relay, const struct pv_turns_config *cfg,
                     const struct pv_rng *rng)
{
    struct pv_relaycore *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return PV_ERR_NOMEM;
    int e = pv_stuns_new(&r->stuns, rng);
    if (e == PV_OK)
        e = pv_turns_new(&r->turns, cfg, r->stuns, rng);
    if (e == PV_OK) {
        const struct pv_relaylink_config link = {
            .auth = pv_turns_auth(r->turns),
            .has_relay = cfg->enabled,
            .stats = pv_turns_counters(r->turns),
        };
        e = pv_relaylink_new(&r->link, &link);
    }
    if (e < 0)
        pv_relaycore_free(r);
    else
        *ret_relay = r;
    return e;
}

struct pv_relaycore *pv_relaycore_free(struct pv_relaycore *r)
{
    if (r != NULL) {
        pv_relaylink_free(r->link);
        pv_turns_free(r->turns);
        pv_stuns_free(r->stuns);
        free(r);
    }
    return NULL;
}

struct pv_relaylink *pv_relaycore_link(struct pv_relaycore *r)
{
    return r->link;
}

struct pv_turns *pv_relaycore_turns(struct pv_relaycore *r)
{
    return r->turns;
}

/* --- streams ------------------------------------------------------------------------------- */

static void tell(struct pv_relaycore *r, const struct pv_relaynews *news, bool is_data)
{
    if (!pv_relaylink_tell(r->link, news, is_data))
        pv_relaystat_add(pv_turns_counters(r->turns), PV_RELAYSTAT_DROP_RING, 1);
}

void pv_relaycore_to_stream(struct pv_relaycore *r, const struct pv_turns_out *out)
{
    const struct pv_relaynews news = {
        .stream = out->stream,
        .holds = pv_turns_has_stream(r->turns, out->stream),
        .data = out->data,
    };
    tell(r, &news, pv_turn_is_data(out->data));
}

static void handle_message(struct pv_relaycore *r, const struct pv_relaycmd *cmd, pv_ns now)
{
    struct pv_stuns_reply reply;
    struct pv_relaynews news = {.stream = cmd->stream};
    if (pv_turns_enabled(r->turns) && pv_turns_is_turn(cmd->data)) {
        struct pv_turns_in *in = &r->in[r->n_in];
        memcpy(r->bytes[r->n_in], cmd->data.ptr, cmd->data.len);
        *in = (struct pv_turns_in){.src = cmd->source,
                                   .stream = cmd->stream,
                                   .ptr = r->bytes[r->n_in],
                                   .len = cmd->data.len};
        r->n_in++;
        return;
    }
    if (pv_stuns_answer(r->stuns, &cmd->source, NULL, cmd->data, now, &reply) == PV_OK)
        news.data = pv_view(reply.buf, reply.len);
    else
        news.broken = true;
    news.holds = pv_turns_has_stream(r->turns, cmd->stream);
    tell(r, &news, false);
}

/* --- commands ------------------------------------------------------------------------------ */

static void handle_command(struct pv_relaycore *r, const struct pv_relaycmd *cmd, pv_ns now)
{
    struct pv_relaynews news = {.stream = cmd->stream};
    switch (cmd->kind) {
    case PV_RELAYCMD_ONLINE:
        /* Without memory for it, its Allocate is refused. */
        (void)!pv_turns_online(r->turns, cmd->net, cmd->node, cmd->serial);
        break;
    case PV_RELAYCMD_OFFLINE:
        pv_turns_offline(r->turns, cmd->net, cmd->node, now);
        break;
    case PV_RELAYCMD_GONE:
        pv_turns_gone(r->turns, cmd->net, cmd->node);
        break;
    case PV_RELAYCMD_MESSAGE:
        handle_message(r, cmd, now);
        break;
    case PV_RELAYCMD_ASK:
        news.holds = pv_turns_has_stream(r->turns, cmd->stream);
        tell(r, &news, false);
        break;
    case PV_RELAYCMD_CLOSED:
        pv_turns_stream_closed(r->turns, cmd->stream);
        break;
    case PV_RELAYCMD_FORGET:
        pv_turns_forget(r->turns);
        break;
    }
}

bool pv_relaycore_has_commands(const struct pv_relaycore *r)
{
    struct pv_relaycmd cmd;
    return pv_relaylink_command(r->link, &cmd) == PV_OK;
}

bool pv_relaycore_step(struct pv_relaycore *r, pv_ns now)
{
    struct pv_relaycmd cmd;
    pv_turns_sent(r->turns);
    r->n_in = 0;
    while (r->n_in < MESSAGES && pv_relaylink_command(r->link, &cmd) == PV_OK) {
        /* Messages come in runs; what changes who they are from waits until they are handled. */
        if (cmd.kind != PV_RELAYCMD_MESSAGE && r->n_in > 0)
            break;
        if (cmd.kind != PV_RELAYCMD_MESSAGE || cmd.data.len <= PV_STUNCONN_MESSAGE_MAX)
            handle_command(r, &cmd, now);
        pv_relaylink_taken(r->link);
    }
    if (r->n_in == 0)
        return false;
    pv_turns_batch(r->turns, r->in, r->n_in, now);
    return true;
}

int pv_relaycore_answer(struct pv_relaycore *r, const struct pv_addr *src,
                        const struct pv_stuns_place *place, struct pv_view datagram, pv_ns now,
                        struct pv_stuns_reply *ret_reply)
{
    int e = pv_stuns_answer(r->stuns, src, place, datagram, now, ret_reply);
    return e == PV_OK ? PV_OK : PV_ERR_AGAIN;
}
