/* SPDX-License-Identifier: MIT */
/* netlimits.h - how much one network may have at its coordinator, as the operator set it. */
#pragma once

#include <string.h>

#include "base/pv.h"
#include "proto/roster/statement.h"

/* 0: no limit but the coordinator's own. Members and statements that are there stay when a limit
 * becomes lower. */
struct pv_netlimits {
    uint32_t members;    /* active ones; more do not join: error "full" */
    uint32_t statements; /* more are refused, "full"; but revocations and leaves always have room */
    uint64_t stored;     /* bytes of the copies for members who are away; more: "full" */
};

struct pv_netlimits_of {
    uint8_t id[PV_NETWORK_ID_LEN];
    struct pv_netlimits limits;
};

struct pv_netlimits_table {
    struct pv_netlimits all;            /* of every network that is not named */
    const struct pv_netlimits_of *nets; /* the others */
    size_t n;
};

/* The limits of a network. t NULL: none. */
static inline struct pv_netlimits pv_netlimits_of(const struct pv_netlimits_table *t,
                                                  const uint8_t id[static PV_NETWORK_ID_LEN])
{
    const struct pv_netlimits none = {0};
    for (size_t i = 0; t != NULL && i < t->n; i++) {
        if (memcmp(t->nets[i].id, id, PV_NETWORK_ID_LEN) == 0)
            return t->nets[i].limits;
    }
    return t == NULL ? none : t->all;
}
