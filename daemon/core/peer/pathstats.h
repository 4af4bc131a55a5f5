/* SPDX-License-Identifier: MIT */
/*
 * pathstats.h - how paths to members come about, in numbers that only grow: attempts by method,
 * result and pair of NATs, what the direct paths begin and end at, how long they took, how long
 * relays served; and how many members were reached directly. For metrics and `stats`; nothing is
 * decided by it.
 */
#pragma once

#include "base/metrics.h"
#include "base/pv.h"
#include "daemon/core/nat/hardnat.h"
#include "proto/control/desc.h"
#include "proto/ice/ice.h"

/* The NAT between a node and the world in IPv4, as far as it is known. */
enum pv_natclass {
    PV_NATCLASS_UNKNOWN,
    PV_NATCLASS_OPEN, /* an address of its own is public */
    PV_NATCLASS_SOME, /* a NAT that nobody had to look at more closely */
    PV_NATCLASS_CONE, /* one port per socket */
    /* From here on every destination gets another port: */
    PV_NATCLASS_SEQUENTIAL, /* the next one in order */
    PV_NATCLASS_BLOCK,      /* any one of a small block */
    PV_NATCLASS_RANDOM,     /* any one of all */
    PV_NATCLASS_SYMMETRIC,  /* in no order that was seen */
    PV_NATCLASSES,
};
/* From what a node says of its NAT (NULL: nothing) and its candidates. */
enum pv_natclass pv_natclass(const struct pv_desc_nat *nat, const struct pv_ice_cand *cands,
                             size_t n);

/* A short word for metrics and `stats`: "cone", "random", … */
const char *pv_natclass_name(enum pv_natclass c);

/* The members that this node talked to since it started, by the NATs of both sides. */
struct pv_pathpairs {
    uint32_t talked[PV_NATCLASSES][PV_NATCLASSES]; /* own, theirs */
    uint32_t direct[PV_NATCLASSES]
                   [PV_NATCLASSES]; /* of them those with a direct path at any time */
};
/* How many of them had a direct path at some time. */
void pv_pathpairs_metrics(const struct pv_pathpairs *pairs, struct pv_metrics *m);

/* PV_HARDNAT_NONE stands for ordinary checks. */
enum {
    PV_PATH_METHODS = PV_HARDNAT_FRESH + 1,
};

enum pv_path_result {
    PV_PATH_DIRECT,
    PV_PATH_RELAYED, /* nothing direct for now, and a relay carries */
    PV_PATH_FAILED,
    PV_PATH_RESULTS,
};

/* The begin or end of a direct path: a candidate's type, or something better known. */
enum pv_path_end {
    PV_PATH_END_HOST,
    PV_PATH_END_SRFLX,
    PV_PATH_END_PRFLX,
    PV_PATH_END_PORTMAP,    /* a port that our router mapped */
    PV_PATH_END_REMEMBERED, /* an address of former days, without the coordinator */
    PV_PATH_ENDS,
};

struct pv_pathstats {
    uint64_t attempts[PV_PATH_METHODS][PV_PATH_RESULTS][PV_NATCLASSES][PV_NATCLASSES]; /* own,
                                                                                           theirs */
    uint64_t direct[PV_PATH_ENDS][PV_PATH_ENDS]; /* own, theirs */
    uint64_t relayed;                            /* paths through relays */
    struct pv_histogram to_direct;               /* seconds from the beginning of an attempt */
    pv_ns relay_time;                            /* of all peers together */
    uint64_t handshakes, handshakes_failed;      /* WireGuard's; also with static peers */
};
void pv_pathstats_init(struct pv_pathstats *s);
/* The families about paths and handshakes. */
void pv_pathstats_metrics(const struct pv_pathstats *s, struct pv_metrics *m);
