/* SPDX-License-Identifier: MIT */
/*
 * hostcount.h - whether packets that our table lets pass get past the tables of others, as counters
 * of our table show: one of each kind at the first place, one behind all others. For hostnet.c and
 * networds.c only. No rule of others is read for that.
 */
#pragma once

#include "base/pv.h"
#include "sys/helper/networds.h"

/* The kinds, by family, and their counters: NAME_first and NAME_last. */
#define PV_HOSTCOUNT_KINDS(X) X(in4) X(in6) X(out4) X(out6) X(own4) X(own6)

#define PV_HOSTCOUNT_KIND(name) PV_HOSTCOUNT_##name,
enum pv_hostcount_kind {
    PV_HOSTCOUNT_KINDS(PV_HOSTCOUNT_KIND) /* what members begin, the answers to them, and what comes
                                             for the daemon while an exit is used */
    PV_HOSTCOUNT_N,
};

struct pv_hostcount {
    uint64_t first[PV_HOSTCOUNT_N], last[PV_HOSTCOUNT_N]; /* as they were to begin with */
    bool lost[PV_HOSTCOUNT_N]; /* of some packets none got past the others */
    bool begun;                /* the numbers above were read */
};

/* The rules of others have changed: earlier packets say nothing. anew: our table's counters begin
 * at 0, too. */
void pv_hostcount_reset(struct pv_hostcount *c, bool anew);
/* Reads the counters of our table, and judges. Returns true if lost[] has changed. */
bool pv_hostcount_look(struct pv_hostcount *c, const char *table);
/* Returns true if members' packets, or the answers to them, are lost; or what comes for the
 * daemon. */
bool pv_hostcount_loses_members(const struct pv_hostcount *c);
bool pv_hostcount_loses_own(const struct pv_hostcount *c);
