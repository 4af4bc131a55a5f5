/* SPDX-License-Identifier: MIT */
/* refused.h - tells the user what a gate for programs of this machine did not let in. */
#pragma once

#include "ctl/lib/cli.h"

struct pv_refused {
    const char *what;    /* "connections" or "datagrams", borrowed */
    bool told_other;     /* the user knows of another user's */
    uint64_t from_ended; /* those of programs that had ended */
};

/* Counts one that pv_gate_accept() or pv_gate_judge() refused with this status. Says so the first
 * time only: other users may try it often. */
void pv_refused_note(struct pv_refused *r, struct pv_cli *cli, int status);
/* Says how many of programs that had ended were lost, if any were. */
void pv_refused_sum_up(const struct pv_refused *r, struct pv_cli *cli);
