/* SPDX-License-Identifier: MIT */
/*
 * grouptell.h - the in-band message (type GROUPS) by which members tell each other which groups
 * they want, the whole set each time.
 *
 *   byte 0      1..4   5..8    9..12        13..16        17..18  19..20  21..
 *        flags  life   number  heard life   heard number  IPv4 n  IPv6 n  n times 4, n times 16
 * bytes
 *
 * Life: random, of this life of the daemon. Number: counts up with each other set that this peer is
 * told. Heard: what the sender has of the receiver, 0 and 0 = nothing; so each side sees whether
 * the other has its newest set. Flag bits of later versions are ignored. Safe on any input: fuzz
 * target fuzz_group. Thread-safe.
 */
#pragma once

#include "base/pv.h"
#include "proto/group/group.h"

enum {
    PV_GROUPTELL_MAX = 128,   /* groups of one member, ours */
    PV_GROUPTELL_HEADER = 21, /* bytes */
    PV_GROUPTELL_BODY_MAX = PV_GROUPTELL_HEADER + PV_GROUPTELL_MAX * 16,

    /* flags */
    PV_GROUPTELL_ASKS = 1 << 0,      /* the receiver is to answer */
    PV_GROUPTELL_DISCOVERY = 1 << 1, /* broadcasts and discovery groups are taken of the receiver */
};

/* Which set of groups, of which life of its owner. */
struct pv_grouptell_version {
    uint32_t life;
    uint32_t number;
};

struct pv_grouptell {
    uint8_t flags;
    struct pv_grouptell_version own, heard;
    struct pv_group groups[PV_GROUPTELL_MAX]; /* no two are equal; none is PV_GROUP_LOCAL */
    size_t n;
};

void pv_grouptell_build(const struct pv_grouptell *tell, uint8_t buf[static PV_GROUPTELL_BODY_MAX],
                        size_t *ret_len);
/* PV_ERR_TRUNCATED; PV_ERR_LIMIT: more groups; PV_ERR_MALFORMED: no multicast address, or one that
 * never leaves a machine, or not in ascending order. */
PV_MUST_CHECK int pv_grouptell_parse(struct pv_view body, struct pv_grouptell *ret_tell);
