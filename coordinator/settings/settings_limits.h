/* SPDX-License-Identifier: MIT */
/*
 * settings_limits.h - the part of coordinator.conf about limits: [limits] for the coordinator as a
 * whole and for all networks, [network ID] for one network, which has the values of [limits] where
 * it says nothing else. And the id of a network, as text.
 */
#pragma once

#include "coordinator/core/member/netlimits.h"
#include "coordinator/core/turn/turns.h"
#include "proto/roster/statement.h"
#include "sys/file/ini.h"

/* --- ids of networks ------------------------------------------------------------------------ */

/* The id of a network as its operator reads and types it: 32 hexadecimal digits, which never begin
 * with a "-" as other texts of keys may. */

enum {
    PV_NETID_BUF = 2 * PV_NETWORK_ID_LEN + 1, /* bytes, with the NUL */
};

const char *pv_netid_format(const uint8_t id[static PV_NETWORK_ID_LEN],
                            char buf[static PV_NETID_BUF]); /* returns buf */
/* Exactly these digits, of either case. PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_netid_parse(const char *text, uint8_t ret_id[static PV_NETWORK_ID_LEN]);

/* --- the sections ---------------------------------------------------------------------------- */

enum {
    PV_COORDSET_NETS_MAX = PV_TURNS_NETS_MAX, /* sections [network ID] */
};

/* The keys of a network. */
enum pv_coordset_limit {
    PV_COORDSET_MEMBERS,
    PV_COORDSET_STATEMENTS,
    PV_COORDSET_STORED,
    PV_COORDSET_BANDWIDTH,
};

struct pv_coordset_limits {
    struct pv_coord_limits general; /* of the coordinator as a whole; 0: not given */
    struct pv_netlimits all;
    struct pv_netlimits_of nets[PV_COORDSET_NETS_MAX];
    struct pv_turns_net relay[PV_COORDSET_NETS_MAX]; /* of the same networks */
    unsigned seen_of[PV_COORDSET_NETS_MAX];          /* bit i: key i of theirs was given */
    size_t n;
};

/* Returns true if both configurations set equal limits for this network. */
PV_MUST_CHECK bool pv_coordset_limits_same(const struct pv_coordset_limits *a, size_t i,
                                           const struct pv_coordset_limits *b, size_t k);
/* Calls each for every key of the coordinator as a whole that a and b say otherwise, as "[limits]
 * applicants". */
void pv_coordset_limits_compare(const struct pv_coord_limits *a, const struct pv_coord_limits *b,
                                void (*each)(char *list, const char *key), char *list);
/* At the end of the file: sections of networks get what they left to [limits], and to [relay]. */
void pv_coordset_limits_end(struct pv_coordset_limits *l, uint32_t bandwidth);
