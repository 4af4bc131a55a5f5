/* SPDX-License-Identifier: MIT */
/*
 * io_turn.h - what all parts of the control thread share: the loop, the engine, and the clock of
 * the loop's present turn.
 *
 * Every part is told so by a pointer in its config. A part that calls the engine calls
 * pv_io_turn_begin() first, so that the engine has the wall clock of the turn, read once.
 */
#pragma once

#include "base/log.h"
#include "base/pv.h"
#include "daemon/core/engine.h"
#include "sys/proc/clock.h"
#include "sys/proc/loop.h"

struct pv_io_turn {
    struct pv_engine *engine; /* borrowed, as the log */
    const struct pv_log *log;
    struct pv_loop *loop;
    pv_ns now;  /* of the present turn */
    bool begun; /* the engine knows this turn's wall clock */
};

/* Before anything is told to the engine in a turn. */
static inline void pv_io_turn_begin(struct pv_io_turn *turn, pv_ns now)
{
    turn->now = now;
    if (!turn->begun) {
        turn->begun = true;
        pv_engine_set_wall(turn->engine, pv_clock_wall_us(), now);
    }
}

/* The next call of pv_io_turn_begin() reads the wall clock again. */
static inline void pv_io_turn_end(struct pv_io_turn *turn)
{
    turn->begun = false;
}
