/* SPDX-License-Identifier: MIT */
/* netlimits.h - how much a coordinator bears, and how much one network may have there, as the
 * operator set it. */
#pragma once

#include <string.h>

#include "base/pv.h"
#include "proto/roster/statement.h"

/* Each limit of the coordinator as a whole in one row: its name, the default, and what is counted,
 * with the answer to one more. In a struct of them 0 stands for the default. */
/* clang-format off */
#define PV_COORD_LIMITS(X) \
    X(conns, 20000) /* accept says PV_ERR_LIMIT */ \
    X(applicants, 4096) /* connections without a member's hello; for one more, another ends */ \
    X(regulars, 4096) /* such connections more, from addresses where members were lately */ \
    X(source_rate, 500) /* connections a second and /24 or /56; accept: PV_ERR_LIMIT */ \
    X(source_burst, 1000) \
    X(request_rate, 50) /* requests a second and connection; error "limit" */ \
    X(request_burst, 500) \
    X(network_rate, 1000) /* statements and joins a second and network; error "limit" */ \
    X(network_burst, 4000) \
    X(signal_rate, 100) /* signals a second and node; error "limit" */ \
    X(signal_burst, 400) \
    X(networks, 4096) /* error "full" */ \
    X(open_rate, 1) /* network a second and source with --open; error "limit" */ \
    X(open_burst, 20) \
    X(subscriptions, 1024) /* nodes a connection; error "limit" */ \
    X(steps, 8192) /* of settling a network's statements, then others are served */
/* clang-format on */

#define PV_COORD_LIMIT_MEMBER(name, standard) uint32_t name;
struct pv_coord_limits {
    PV_COORD_LIMITS(PV_COORD_LIMIT_MEMBER)
};
#undef PV_COORD_LIMIT_MEMBER

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
