/* SPDX-License-Identifier: MIT */
/* coordpq.c - a short list of keys. */
#include "daemon/core/coord/coordpq.h"

#include <string.h>

void pv_coordpq_load(struct pv_coordpq *x, struct pv_view stored)
{
    x->n = 0;
    if (stored.len == 0 || stored.len % PV_SIGN_PK_LEN != 0 || stored.len > sizeof(x->keys))
        return;
    memcpy(x->keys, stored.ptr, stored.len);
    x->n = stored.len / PV_SIGN_PK_LEN;
}

struct pv_view pv_coordpq_view(const struct pv_coordpq *x)
{
    return pv_view(x->keys, x->n * PV_SIGN_PK_LEN);
}

bool pv_coordpq_knows(const struct pv_coordpq *x, const uint8_t pk[static PV_SIGN_PK_LEN])
{
    for (size_t i = 0; i < x->n; i++)
        if (memcmp(x->keys[i], pk, PV_SIGN_PK_LEN) == 0)
            return true;
    return false;
}

bool pv_coordpq_note(struct pv_coordpq *x, const uint8_t pk[static PV_SIGN_PK_LEN])
{
    if (pv_coordpq_knows(x, pk))
        return false;
    if (x->n == PV_COORDPQ_MAX)
        memmove(x->keys[0], x->keys[1], --x->n * PV_SIGN_PK_LEN);
    memcpy(x->keys[x->n++], pk, PV_SIGN_PK_LEN);
    return true;
}
