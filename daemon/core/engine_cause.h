/* SPDX-License-Identifier: MIT */
/*
 * engine_cause.h - why a peer is reached as it is: the diagnosis that `why` begins with, and what
 * the engine's other answers take from it. Part of the inside of the engine (engine_int.h).
 */
#ifndef PV_ENGINE_CAUSE_H
#define PV_ENGINE_CAUSE_H

#include "daemon/core/engine_int.h"

/* The reason why a peer's path is what it is, and what would help: one sentence each. */
struct pv_cause {
    char text[320];
    char todo[320]; /* empty: nothing */
};
/* Judges by what is known; never waits. A peer that is reached well has the cause "nothing is
 * wrong". */
void pv_engine_find_cause(struct pv_engine *e, struct pv_peer *p, pv_ns now,
                          struct pv_cause *ret_cause);
/* How far this machine's clock is from the coordinator's: seconds, negative: behind it. 0: they
 * agree within a minute, or the coordinator's is not known. */
int64_t pv_engine_clock_off(const struct pv_engine *e, pv_ns now);

#endif /* PV_ENGINE_CAUSE_H */
