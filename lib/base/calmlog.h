/* SPDX-License-Identifier: MIT */
/*
 * calmlog.h - a log that cannot be flooded: errors and warnings pass at the pace of repeats.h, each
 * level by its own count, so that warnings which strangers cause hide no error; what was left out
 * is told by number. Other levels pass as they are. Pure: its owner says what time it is.
 */
#ifndef PV_CALMLOG_H
#define PV_CALMLOG_H

#include "base/log.h"
#include "base/repeats.h"

struct pv_calmlog {
    struct pv_log log; /* for those who write; it borrows this struct */
    struct pv_log to;
    pv_ns now;
    struct pv_repeats repeats[PV_LOG_WARN + 1]; /* by level */
};

/* Lines written to calm->log go to a copy of to. calm must stay where it is. */
void pv_calmlog_init(struct pv_calmlog *calm, const struct pv_log *to, pv_ns now);
/* The time of the lines that follow; tells what was left out when that is due. */
void pv_calmlog_handle_timeout(struct pv_calmlog *calm, pv_ns now);
/* When something is due; PV_NEVER. */
pv_ns pv_calmlog_next_timeout(const struct pv_calmlog *calm);

#endif /* PV_CALMLOG_H */
