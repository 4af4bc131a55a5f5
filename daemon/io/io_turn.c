/* SPDX-License-Identifier: MIT */
/* The clock of one turn of the control thread's loop. */
#include "daemon/io/io_turn.h"

#include "sys/proc/clock.h"

void pv_io_turn_begin(struct pv_io_turn *turn, pv_ns now)
{
    turn->now = now;
    if (!turn->begun) {
        turn->begun = true;
        pv_engine_set_wall(turn->engine, pv_clock_wall_us(), now);
    }
}

void pv_io_turn_end(struct pv_io_turn *turn)
{
    turn->begun = false;
}
