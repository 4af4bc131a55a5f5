/* SPDX-License-Identifier: MIT */
/*
 * The part that serves the control socket: it reads requests, finds the part that has the command
 * in its table (part.h), and has it run when what the command needs is there.
 */
#include "daemon/core/engine_int.h"

/* Whose command it is; NULL: nobody's, which the test of the tables forbids. */
static const struct pv_command *find(const struct pv_node *node, enum pv_ctlapi_cmd cmd,
                                     void **ret_part)
{
    PV_EACH_PART(node, slot)
    {
        for (size_t i = 0; i < slot->part->n_commands; i++) {
            if (slot->part->commands[i].cmd != cmd)
                continue;
            *ret_part = slot->self;
            return &slot->part->commands[i];
        }
    }
    return NULL;
}

/* Runs one request, or answers what is missing for it. */
static void serve(struct pv_engine *e, struct pv_ctlapi_request *req, uint64_t handle, pv_ns now)
{
    void *part = NULL;
    struct pv_peer *peer = NULL;
    const struct pv_command *c = find(&e->node, req->cmd, &part);
    const char *name = pv_ctlapi_cmd_name(req->cmd);
    if (c == NULL) {
        pv_ctlsrv_fail(e->node.ctl, handle, PV_CTLAPI_FAILED, "this p2pvpnd has no such command");
        return;
    }
    if (c->needs == PV_NEEDS_NETWORK && !pv_node_need_network(&e->node, name, handle))
        return;
    if (c->needs == PV_NEEDS_PEER || c->needs == PV_NEEDS_MEMBER) {
        peer = pv_peer_need(&e->node, req->peer, name, c->needs == PV_NEEDS_MEMBER, handle);
        if (peer == NULL)
            return;
    }
    c->run(part, req, peer, handle, now);
}

static void run(void *part, pv_ns now)
{
    struct pv_engine *e = part;
    struct pv_ctlapi_request req;
    uint64_t handle;
    while (pv_ctlsrv_poll_request(e->node.ctl, &req, &handle) == PV_OK) {
        serve(e, &req, handle, now);
        pv_ctlapi_request_done(&req);
    }
    while (pv_ctlsrv_poll_cancel(e->node.ctl, &handle) == PV_OK) {
        pv_watch_drop(&e->node.watch, handle);
        PV_EACH_PART(&e->node, slot)
        {
            if (slot->part->on_cancel != NULL)
                slot->part->on_cancel(slot->self, handle, now);
        }
    }
}

/* --- its streams ------------------------------------------------------------------------------ */

static int accepted(void *part, const struct pv_stream_peer *who, uint32_t *ret_sid, pv_ns now)
{
    struct pv_engine *e = part;
    (void)now;
    return pv_ctlsrv_accepted(e->node.ctl, who->may_change, ret_sid);
}

static void take_bytes(void *part, uint32_t sid, struct pv_view bytes, pv_ns now)
{
    struct pv_engine *e = part;
    (void)now;
    pv_ctlsrv_handle_bytes(e->node.ctl, sid, bytes);
}

static void closed(void *part, uint32_t sid, int status, pv_ns now)
{
    struct pv_engine *e = part;
    (void)status;
    (void)now;
    pv_ctlsrv_closed(e->node.ctl, sid);
}

static int poll_op(void *part, struct pv_stream_op *ret_op)
{
    struct pv_engine *e = part;
    *ret_op = (struct pv_stream_op){.type = PV_STREAM_CLOSE};
    return pv_ctlsrv_poll_close(e->node.ctl, &ret_op->sid);
}

static int poll_writable(void *part, uint32_t *ret_sid)
{
    struct pv_engine *e = part;
    return pv_ctlsrv_poll_writable(e->node.ctl, ret_sid);
}

static struct pv_view output(void *part, uint32_t sid)
{
    struct pv_engine *e = part;
    return pv_ctlsrv_out(e->node.ctl, sid);
}

static void wrote(void *part, uint32_t sid, size_t n, pv_ns now)
{
    struct pv_engine *e = part;
    (void)now;
    pv_ctlsrv_wrote(e->node.ctl, sid, n);
}

static const struct pv_stream_handler streams[] = {{
    .kind = PV_STREAM_CTL,
    .accepted = accepted,
    .bytes = take_bytes,
    .closed = closed,
    .poll_op = poll_op,
    .poll_writable = poll_writable,
    .out = output,
    .wrote = wrote,
}};

const struct pv_part pv_part_commands = {
    .name = "commands",
    .make = pv_engine_as_part,
    .free = pv_engine_not_freed,
    .run = run,
    .streams = streams,
    .n_streams = PV_ARRAY_LEN(streams),
};
