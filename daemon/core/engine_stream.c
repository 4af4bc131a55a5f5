/* SPDX-License-Identifier: MIT */
/* engine_stream.c - hands what happens to a stream to the machine whose kind it is. */
#include <string.h>

#include "daemon/core/engine_int.h"

/* --- to whom a stream belongs ------------------------------------------------------------------
 */

static const struct pv_stream_handler *find(const struct pv_engine *e, enum pv_stream_kind kind,
                                            void **ret_part)
{
    PV_EACH_PART(&e->node, slot)
    {
        for (size_t i = 0; i < slot->part->n_streams; i++) {
            if (slot->part->streams[i].kind != kind)
                continue;
            *ret_part = slot->self;
            return &slot->part->streams[i];
        }
    }
    return NULL;
}

/* What a stream brought is acted on at once. */
static void pump(struct pv_engine *e, pv_ns now)
{
    pv_engine_settle(e, now);
}

int pv_engine_stream_accepted(struct pv_engine *e, enum pv_stream_kind kind,
                              const struct pv_stream_peer *who, pv_ns now, uint32_t *ret_sid)
{
    void *part = NULL;
    uint32_t local;
    const struct pv_stream_handler *h = find(e, kind, &part);
    if (h == NULL || h->accepted == NULL)
        return PV_ERR_REFUSED;
    int r = h->accepted(part, who, &local, now);
    if (r == PV_OK)
        *ret_sid = pv_sid(kind, local);
    return r;
}

void pv_engine_stream_connected(struct pv_engine *e, uint32_t sid, pv_ns now)
{
    void *part = NULL;
    const struct pv_stream_handler *h = find(e, pv_sid_kind(sid), &part);
    if (h != NULL && h->connected != NULL)
        h->connected(part, pv_sid_local(sid), now);
    pump(e, now);
}

void pv_engine_stream_bytes(struct pv_engine *e, uint32_t sid, struct pv_view bytes, pv_ns now)
{
    void *part = NULL;
    const struct pv_stream_handler *h = find(e, pv_sid_kind(sid), &part);
    if (h != NULL)
        h->bytes(part, pv_sid_local(sid), bytes, now);
    pump(e, now);
}

void pv_engine_stream_closed(struct pv_engine *e, uint32_t sid, int status, pv_ns now)
{
    void *part = NULL;
    const struct pv_stream_handler *h = find(e, pv_sid_kind(sid), &part);
    if (h != NULL)
        h->closed(part, pv_sid_local(sid), status, now);
    pump(e, now);
}

int pv_engine_poll_stream_op(struct pv_engine *e, struct pv_stream_op *ret_op)
{
    PV_EACH_PART(&e->node, slot)
    {
        for (size_t i = 0; i < slot->part->n_streams; i++) {
            const struct pv_stream_handler *h = &slot->part->streams[i];
            if (h->poll_op == NULL || h->poll_op(slot->self, ret_op) != PV_OK)
                continue;
            ret_op->kind = h->kind;
            ret_op->sid = pv_sid(h->kind, ret_op->sid);
            return PV_OK;
        }
    }
    return PV_ERR_AGAIN;
}

int pv_engine_poll_writable(struct pv_engine *e, uint32_t *ret_sid)
{
    uint32_t local;
    PV_EACH_PART(&e->node, slot)
    {
        for (size_t i = 0; i < slot->part->n_streams; i++) {
            const struct pv_stream_handler *h = &slot->part->streams[i];
            if (h->poll_writable == NULL || h->poll_writable(slot->self, &local) != PV_OK)
                continue;
            *ret_sid = pv_sid(h->kind, local);
            return PV_OK;
        }
    }
    return PV_ERR_AGAIN;
}

struct pv_view pv_engine_stream_out(struct pv_engine *e, uint32_t sid)
{
    void *part = NULL;
    const struct pv_stream_handler *h = find(e, pv_sid_kind(sid), &part);
    return h == NULL || h->out == NULL ? pv_view(NULL, 0) : h->out(part, pv_sid_local(sid));
}

void pv_engine_stream_wrote(struct pv_engine *e, uint32_t sid, size_t n, pv_ns now)
{
    void *part = NULL;
    const struct pv_stream_handler *h = find(e, pv_sid_kind(sid), &part);
    if (h == NULL || h->wrote == NULL)
        return;
    h->wrote(part, pv_sid_local(sid), n, now);
    pump(e, now);
}
