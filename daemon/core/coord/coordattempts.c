/* SPDX-License-Identifier: MIT */
/* A table of attempts, and a list of what the shell is to do for them. */
#include "daemon/core/coord/coordattempts.h"

#include <string.h>

#include "daemon/core/node/stream.h"

static struct pv_coordattempt *free_place(struct pv_coordattempts *as)
{
    for (size_t i = 0; i < PV_COORDCLIENT_MAX_ADDRS; i++)
        if (as->all[i].sid == 0)
            return &as->all[i];
    return NULL;
}

bool pv_coordattempts_has_room(const struct pv_coordattempts *as)
{
    for (size_t i = 0; i < PV_COORDCLIENT_MAX_ADDRS; i++)
        if (as->all[i].sid == 0)
            return true;
    return false;
}

struct pv_coordattempt *pv_coordattempts_begin(struct pv_coordattempts *as,
                                               const struct pv_coordclient_addr *addr,
                                               const uint8_t *dh_sk, const uint8_t *dh_pk,
                                               const struct pv_rng *rng)
{
    struct pv_coordattempt *a = free_place(as);
    if (a == NULL || as->n_ops == PV_COORDATTEMPTS_OPS_MAX ||
        pv_control_new_client(&a->control, addr->tls ? PV_CONTROL_NAMED : PV_CONTROL_QUIET, dh_sk,
                              dh_pk, rng) != PV_OK)
        return NULL;
    /* Numbers of streams go round before one comes again: a late close of an old stream must not
     * end a new one. */
    as->next_sid = as->next_sid % PV_STREAM_LOCAL_MASK + 1;
    a->sid = as->next_sid;
    a->addr = *addr;
    as->ops[as->n_ops++] =
        (struct pv_coordclient_stream_op){.open = true, .sid = a->sid, .to = *addr};
    return a;
}

/* Was the shell not yet told to open this stream? Then it never is, and there is nothing to close:
 * so only streams that it has opened take places in the list, and closes always find one. */
static bool take_back_open(struct pv_coordattempts *as, uint32_t sid)
{
    for (size_t i = 0; i < as->n_ops; i++) {
        if (!as->ops[i].open || as->ops[i].sid != sid)
            continue;
        memmove(&as->ops[i], &as->ops[i + 1], (--as->n_ops - i) * sizeof(as->ops[0]));
        return true;
    }
    return false;
}

void pv_coordattempts_drop(struct pv_coordattempts *as, struct pv_coordattempt *a, bool close)
{
    if (a->sid == 0)
        return;
    /* The shell owns the socket and closes it when it polls the operation. Bytes that still come
     * for this stream find no attempt and are dropped. */
    if (close && !take_back_open(as, a->sid) && as->n_ops < PV_COORDATTEMPTS_OPS_MAX)
        as->ops[as->n_ops++] = (struct pv_coordclient_stream_op){.open = false, .sid = a->sid};
    pv_control_free(a->control);
    *a = (struct pv_coordattempt){0};
}

struct pv_coordattempt *pv_coordattempts_find(struct pv_coordattempts *as, uint32_t sid)
{
    for (size_t i = 0; i < PV_COORDCLIENT_MAX_ADDRS; i++)
        if (sid != 0 && as->all[i].sid == sid)
            return &as->all[i];
    return NULL;
}

bool pv_coordattempts_any(const struct pv_coordattempts *as)
{
    for (size_t i = 0; i < PV_COORDCLIENT_MAX_ADDRS; i++)
        if (as->all[i].sid != 0)
            return true;
    return false;
}

bool pv_coordattempts_only_guesses(const struct pv_coordattempts *as)
{
    for (size_t i = 0; i < PV_COORDCLIENT_MAX_ADDRS; i++)
        if (as->all[i].sid != 0 && !as->all[i].addr.guess)
            return false;
    return true;
}

bool pv_coordattempts_connected(const struct pv_coordattempts *as)
{
    for (size_t i = 0; i < PV_COORDCLIENT_MAX_ADDRS; i++)
        if (as->all[i].sid != 0 && as->all[i].connected && !as->all[i].addr.guess)
            return true;
    return false;
}

int pv_coordattempts_poll_op(struct pv_coordattempts *as, struct pv_coordclient_stream_op *ret_op)
{
    if (as->n_ops == 0)
        return PV_ERR_AGAIN;
    *ret_op = as->ops[0];
    as->n_ops--;
    memmove(&as->ops[0], &as->ops[1], as->n_ops * sizeof(as->ops[0]));
    return PV_OK;
}

int pv_coordattempts_poll_writable(struct pv_coordattempts *as, uint32_t *ret_sid)
{
    for (size_t i = 0; i < PV_COORDCLIENT_MAX_ADDRS; i++) {
        struct pv_coordattempt *a = &as->all[i];
        if (a->sid == 0 || !a->connected || !a->writable)
            continue;
        a->writable = false;
        *ret_sid = a->sid;
        return PV_OK;
    }
    return PV_ERR_AGAIN;
}
