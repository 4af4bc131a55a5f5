/* SPDX-License-Identifier: MIT */
/* The relay half: a table of handlers for the commands of control, and messages to control about
 * streams. */
#include "coordinator/core/turn/relaycore.h"

#include <stdlib.h>
#include <string.h>

#include "coordinator/core/turn/stunconn.h"
#include "proto/stun/turn.h"

enum {
    MESSAGES = 32, /* ours: of streams, handled at once; 64 KiB of copies */
};

struct pv_relaycore {
    struct pv_stuns *stuns; /* first made, last freed: turns and link borrow from those above */
    struct pv_turns *turns;
    struct pv_relaylink *link;
    /* Messages of streams: copied, because they are rewritten in place until they are sent. */
    struct pv_turns_in in[MESSAGES];
    size_t n_in;
    uint8_t bytes[MESSAGES][PV_STUNCONN_MESSAGE_MAX];
};

/* Each of them borrows from those before: turns the buckets of stuns, the link the counters and the
 * secret of turns. */
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

/* --- streams --------------------------------------------------------------------------------- */

/* The relay never waits: a control thread that is behind loses answers, as a full line would. */
static void tell_control(struct pv_relaycore *r, const struct pv_relaynews *news, bool is_data)
{
    if (!pv_relaylink_tell(r->link, news, is_data))
        pv_relaystat_add(pv_turns_counters(r->turns), PV_RELAYSTAT_DROP_RING, 1);
}

/* Control needs to know whether the connection still relays: a connection that does may stay
 * silent. */
void pv_relaycore_to_stream(struct pv_relaycore *r, const struct pv_turns_out *out)
{
    const struct pv_relaynews news = {
        .stream = out->stream,
        .holder = pv_turns_stream_holder(r->turns, out->stream),
        .data = out->data,
    };
    tell_control(r, &news, pv_turn_is_data(out->data));
}

/* TURN messages wait for the batch, Binding requests are answered at once. Other bytes end the
 * connection, as their client has lost its place in the stream. */
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
    const struct pv_stuns_place place = {.local = cmd->local, .stream = true};
    if (pv_stuns_answer(r->stuns, &cmd->source, &place, cmd->data, now, &reply) == PV_OK)
        news.data = pv_view(reply.buf, reply.len);
    else
        news.broken = true;
    news.holder = pv_turns_stream_holder(r->turns, cmd->stream);
    tell_control(r, &news, false);
}

/* --- commands -------------------------------------------------------------------------------- */

static void handle_online(struct pv_relaycore *r, const struct pv_relaycmd *cmd, pv_ns now)
{
    /* Without memory for the member it is tried again when its Allocate comes. */
    (void)!pv_turns_online(r->turns, cmd->net, cmd->node, cmd->serial);
}

static void handle_offline(struct pv_relaycore *r, const struct pv_relaycmd *cmd, pv_ns now)
{
    pv_turns_offline(r->turns, cmd->net, cmd->node, now);
}

static void handle_gone(struct pv_relaycore *r, const struct pv_relaycmd *cmd, pv_ns now)
{
    pv_turns_gone(r->turns, cmd->net, cmd->node);
}

static void handle_seen(struct pv_relaycore *r, const struct pv_relaycmd *cmd, pv_ns now)
{
    pv_stuns_note_member(r->stuns, &cmd->source, now);
}

static void handle_ask(struct pv_relaycore *r, const struct pv_relaycmd *cmd, pv_ns now)
{
    const struct pv_relaynews news = {.stream = cmd->stream,
                                      .holder = pv_turns_stream_holder(r->turns, cmd->stream)};
    tell_control(r, &news, false);
}

static void handle_closed(struct pv_relaycore *r, const struct pv_relaycmd *cmd, pv_ns now)
{
    pv_turns_stream_closed(r->turns, cmd->stream);
}

static void handle_policy(struct pv_relaycore *r, const struct pv_relaycmd *cmd, pv_ns now)
{
    pv_turns_set_policy(r->turns, cmd->policy);
}

static void handle_forget(struct pv_relaycore *r, const struct pv_relaycmd *cmd, pv_ns now)
{
    pv_turns_forget(r->turns);
}

/* One row for each kind (checked by test_relaylink). */
static void (*const handlers[PV_RELAYCMD_N])(struct pv_relaycore *r, const struct pv_relaycmd *cmd,
                                             pv_ns now) = {
    [PV_RELAYCMD_ONLINE] = handle_online, [PV_RELAYCMD_OFFLINE] = handle_offline,
    [PV_RELAYCMD_GONE] = handle_gone,     [PV_RELAYCMD_MESSAGE] = handle_message,
    [PV_RELAYCMD_ASK] = handle_ask,       [PV_RELAYCMD_CLOSED] = handle_closed,
    [PV_RELAYCMD_POLICY] = handle_policy, [PV_RELAYCMD_FORGET] = handle_forget,
    [PV_RELAYCMD_SEEN] = handle_seen,
};

bool pv_relaycore_is_handled(enum pv_relaycmd_kind kind)
{
    return handlers[kind] != NULL;
}

/* The command stays in the ring until pv_relaycore_step() takes it. */
bool pv_relaycore_has_commands(const struct pv_relaycore *r)
{
    struct pv_relaycmd cmd;
    return pv_relaylink_command(r->link, &cmd) == PV_OK;
}

/* Handles commands in order, and collects messages into one batch. False: nothing waits, and the
 * machine rests until the next datagram or command. */
bool pv_relaycore_step(struct pv_relaycore *r, pv_ns now)
{
    struct pv_relaycmd cmd;
    pv_turns_sent(r->turns);
    r->n_in = 0;
    while (r->n_in < MESSAGES && pv_relaylink_command(r->link, &cmd) == PV_OK) {
        /* Messages are handled as one batch. A command behind them may end the allocation of one
         * that is waiting, so the batch goes first. */
        if (cmd.kind != PV_RELAYCMD_MESSAGE && r->n_in > 0)
            break;
        if (cmd.kind != PV_RELAYCMD_MESSAGE || cmd.data.len <= PV_STUNCONN_MESSAGE_MAX)
            handlers[cmd.kind](r, &cmd, now);
        pv_relaylink_taken(r->link);
    }
    if (r->n_in == 0)
        return false;
    pv_turns_batch(r->turns, r->in, r->n_in, now);
    return true;
}

/* The reason for not answering is dropped: nobody is told. */
int pv_relaycore_answer(struct pv_relaycore *r, const struct pv_addr *src,
                        const struct pv_stuns_place *place, struct pv_view datagram, pv_ns now,
                        struct pv_stuns_reply *ret_reply)
{
    int e = pv_stuns_answer(r->stuns, src, place, datagram, now, ret_reply);
    return e == PV_OK ? PV_OK : PV_ERR_AGAIN;
}
