/* SPDX-License-Identifier: MIT */
/*
 * settings_limits.h - the part of coordinator.conf about limits: [limits] for the coordinator as a
 * whole and for all networks, [network ID] for one network, which has the values of [limits] where
 * it says nothing else.
 */
#pragma once

#include "coordinator/core/member/netlimits.h"
#include "coordinator/core/turn/turns.h"
#include "sys/file/ini.h"

enum {
    PV_COORDSET_NETS_MAX = PV_TURNS_NETS_MAX, /* sections [network ID] */
    PV_COORDSET_LIMIT_KEYS = 4,
};

struct pv_coordset_limits {
    struct pv_coord_limits general; /* of the coordinator as a whole; 0: not given */
    struct pv_netlimits all;
    unsigned seen; /* keys of [limits] that were given */
    struct pv_netlimits_of nets[PV_COORDSET_NETS_MAX];
    struct pv_turns_net relay[PV_COORDSET_NETS_MAX]; /* of the same networks */
    unsigned seen_of[PV_COORDSET_NETS_MAX];          /* their keys that were given */
    size_t n;
};

/* Is this section one of these? */
bool pv_coordset_limits_is(const char *section);
/* One line of such a section, or its beginning. PV_ERR_MALFORMED; error. */
PV_MUST_CHECK int pv_coordset_limits_item(struct pv_coordset_limits *l,
                                          const struct pv_ini_item *item, char *error, size_t cap);
/* Does the file say the same of this network of a as of this one of b? */
PV_MUST_CHECK bool pv_coordset_limits_same(const struct pv_coordset_limits *a, size_t i,
                                           const struct pv_coordset_limits *b, size_t k);
/* Calls each for every key of the coordinator as a whole that a and b say otherwise, as "[limits]
 * guests". */
void pv_coordset_limits_compare(const struct pv_coord_limits *a, const struct pv_coord_limits *b,
                                void (*each)(char *list, const char *key), char *list);
/* At the end of the file: sections of networks get what they left to [limits], and to [relay]. */
void pv_coordset_limits_end(struct pv_coordset_limits *l, uint32_t bandwidth);
