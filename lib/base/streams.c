/* SPDX-License-Identifier: MIT */
/* streams.c - what machines want of their streams, until the shell takes it. */
#include "base/streams.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/vec.h"

/* From the first on, so that closing one needs no memory but where as many wait at once. */
enum {
    ROOM = 64
};

void pv_streams_done(struct pv_streams *s)
{
    free(s->ops);
    *s = (struct pv_streams){0};
}

static int put_op(struct pv_streams *s, const struct pv_stream_op *op)
{
    struct pv_stream_op *ops = pv_vec_room(s->ops, s->n_ops, &s->cap, ROOM, sizeof(*ops));
    if (ops == NULL)
        return PV_ERR_NOMEM;
    s->ops = ops;
    ops[s->n_ops] = *op;
    ops[s->n_ops++].sid = pv_sid(op->kind, op->sid);
    return PV_OK;
}

static void remove_op(struct pv_streams *s, size_t at)
{
    s->n_ops--;
    memmove(s->ops + at, s->ops + at + 1, (s->n_ops - at) * sizeof(*s->ops));
}

int pv_streams_open(struct pv_streams *s, const struct pv_stream_op *op)
{
    return put_op(s, op);
}

void pv_streams_close(struct pv_streams *s, unsigned kind, uint32_t local)
{
    for (size_t i = 0; i < s->n_ops; i++) {
        if (s->ops[i].type == PV_STREAM_OPEN && s->ops[i].sid == pv_sid(kind, local)) {
            remove_op(s, i);
            return;
        }
    }
    (void)!put_op(s, &(struct pv_stream_op){.type = PV_STREAM_CLOSE, .kind = kind, .sid = local});
}

int pv_streams_next_op(struct pv_streams *s, struct pv_stream_op *ret_op)
{
    if (s->n_ops == 0)
        return PV_ERR_AGAIN;
    *ret_op = s->ops[0];
    remove_op(s, 0);
    return PV_OK;
}

/* Behind those that wait already, so that each has its turn. */
void pv_streams_wake(struct pv_streams *s, struct pv_stream_turn *turn, unsigned kind,
                     uint32_t local)
{
    if (turn->waits)
        return;
    *turn = (struct pv_stream_turn){.sid = pv_sid(kind, local), .waits = true};
    PV_LIST_ADD(s->turns, turn);
}

void pv_streams_forget(struct pv_streams *s, struct pv_stream_turn *turn)
{
    if (turn->waits)
        PV_LIST_DEL(s->turns, turn);
    turn->waits = false;
}

int pv_streams_next_turn(struct pv_streams *s, uint32_t *ret_sid)
{
    struct pv_stream_turn *turn = s->turns;
    if (turn == NULL)
        return PV_ERR_AGAIN;
    *ret_sid = turn->sid;
    pv_streams_forget(s, turn);
    return PV_OK;
}
