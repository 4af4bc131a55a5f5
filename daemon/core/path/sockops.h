/* SPDX-License-Identifier: MIT */
/*
 * sockops.h - a short queue of sockets that a part wants the shell to open, adopt or close
 * (nat/hardnat.h), in order.
 */
#pragma once

#include <string.h>

#include "base/pv.h"
#include "daemon/core/nat/hardnat.h"
#include "proto/stun/natlife.h"

enum {
    /* Sockets of a measurement that ends and of one that begins; and as many again, ours. */
    PV_SOCKOPS_MAX = 2 * PV_NATLIFE_SOCKETS + 8,
};

struct pv_sockops {
    struct pv_hardnat_op ops[PV_SOCKOPS_MAX];
    size_t n;
};

/* Dropped when the queue is full: the shell would have to be silent over several measurements. */
static inline void pv_sockops_add(struct pv_sockops *q, enum pv_hardnat_op_type type, uint16_t sock)
{
    if (q->n < PV_SOCKOPS_MAX)
        q->ops[q->n++] = (struct pv_hardnat_op){.type = type, .sock = sock};
}

/* False: there is none. */
static inline bool pv_sockops_poll(struct pv_sockops *q, struct pv_hardnat_op *ret_op)
{
    if (q->n == 0)
        return false;
    *ret_op = q->ops[0];
    memmove(&q->ops[0], &q->ops[1], --q->n * sizeof(q->ops[0]));
    return true;
}
