/* SPDX-License-Identifier: MIT */
/*
 * commands.c - the part that serves the control socket: it reads requests, finds the part that has
 * the command in its table (part.h), and has it run when what the command needs is there. When a
 * client goes, every part that may still answer it is told.
 */
#include "daemon/core/node/node.h"
#include "daemon/core/node/part.h"
#include "daemon/core/peer/peer_show.h"
#include "proto/local/ctlapi_request.h"

/* Whose command it is; NULL: nobody's, which the test of the tables forbids. A walk through all
 * tables is short beside what a client waits for anyway. */
static const struct pv_command_handler *find(const struct pv_node *node, enum pv_ctlapi_cmd cmd,
                                             void **ret_part)
{
    PV_EACH_PART(node, slot) {
        for (size_t i = 0; i < slot->part->n_commands; i++) {
            if (slot->part->commands[i].cmd != cmd)
                continue;
            *ret_part = slot->self;
            return &slot->part->commands[i];
        }
    }
    return NULL;
}

struct turn {
    struct pv_node *node;
    pv_ns now;
};

/* Runs one request, or answers what is missing for it. */
static void serve(void *arg, struct pv_ctlapi_request *req, uint64_t handle)
{
    const struct turn *turn = arg;
    struct pv_node *n = turn->node;
    void *part = NULL;
    struct pv_peer *peer = NULL;
    const struct pv_command_handler *c = find(n, req->cmd, &part);
    const char *name = pv_ctlapi_cmd_name(req->cmd);
    if (c == NULL) {
        pv_ctlsrv_fail(n->ctl, handle, PV_CTLAPI_FAILED, "this p2pvpnd has no such command");
        return;
    }
    /* The needs of commands are checked in one place: the same want gets the same words from every
     * part. */
    if ((c->needs == PV_NEEDS_NETWORK || (c->needs == PV_NEEDS_ROSTER && n->roster == NULL)) &&
        !pv_node_need_network(n, name, handle))
        return;
    if (c->needs >= PV_NEEDS_PEER) {
        peer = pv_peer_need(n, req->peer, name, c->needs, handle);
        if (peer == NULL)
            return;
    }
    c->run(part, req, peer, handle, turn->now);
}

static void cancelled(void *arg, uint64_t handle)
{
    const struct turn *turn = arg;
    pv_events_drop(&turn->node->events, handle);
    PV_EACH_PART(turn->node, slot) {
        if (slot->part->on_cancel != NULL)
            slot->part->on_cancel(slot->self, handle, turn->now);
    }
}

static void run(void *part, pv_ns now)
{
    struct turn turn = {.node = part, .now = now};
    pv_ctlsrv_tidy(turn.node->ctl, cancelled, &turn);
}

/* --- its streams ------------------------------------------------------------------------------ */

/* A client's right to change things is decided by the socket's credentials when it connects:
 * nothing that a client sends later can raise it. */
static int accepted(void *part, const struct pv_stream_peer *who, uint32_t *ret_sid, pv_ns now)
{
    struct pv_node *n = part;
    return pv_ctlsrv_accepted(n->ctl, who->uid, who->may_change, ret_sid);
}

static void take_bytes(void *part, uint32_t sid, struct pv_view bytes, pv_ns now)
{
    struct turn turn = {.node = part, .now = now};
    pv_ctlsrv_handle_bytes(turn.node->ctl, sid, bytes, serve, &turn);
}

static void closed(void *part, uint32_t sid, int status, pv_ns now)
{
    struct pv_node *n = part;
    pv_ctlsrv_closed(n->ctl, sid); /* the next run() cancels what it waited for */
}

static struct pv_view output(void *part, uint32_t sid)
{
    struct pv_node *n = part;
    return pv_ctlsrv_out(n->ctl, sid);
}

static void wrote(void *part, uint32_t sid, size_t len, pv_ns now)
{
    struct pv_node *n = part;
    pv_ctlsrv_wrote(n->ctl, sid, len);
}

static const struct pv_stream_handler streams[] = {{
    .kind = PV_STREAM_CTL,
    .accepted = accepted,
    .bytes = take_bytes,
    .closed = closed,
    .out = output,
    .wrote = wrote,
}};

const struct pv_part pv_part_commands = {
    .name = "commands",
    .run = run,
    .streams = streams,
    .n_streams = PV_ARRAY_LEN(streams),
};
