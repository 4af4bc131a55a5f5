/* SPDX-License-Identifier: MIT */
/* ownkeys.c - walks over the transport keys of this node. */
#include "daemon/core/peer/ownkeys.h"

#include <string.h>

struct pv_noise_static pv_ownkeys_current(const struct pv_identity *id)
{
    struct pv_noise_static key = {.sk = id->dh_sk};
    memcpy(key.pk, id->dh_pk, sizeof(key.pk));
    return key;
}

bool pv_ownkeys_next(const struct pv_identity *id, size_t *iter, struct pv_noise_static *ret_key)
{
    if (*iter == 0) {
        *iter = 1;
        *ret_key = pv_ownkeys_current(id);
        return true;
    }
    while (*iter <= PV_ARRAY_LEN(id->others)) {
        const struct pv_other_key *other = &id->others[(*iter)++ - 1];
        if (!other->used)
            continue;
        ret_key->sk = other->sk;
        memcpy(ret_key->pk, other->pk, sizeof(ret_key->pk));
        return true;
    }
    return false;
}
