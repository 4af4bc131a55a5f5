/* SPDX-License-Identifier: MIT */
/*
 * report_rows.h - the numbers of a report, one row each: where it comes from, where it stands in
 * the JSON, and its sample for Prometheus. The relay's numbers have their rows in
 * turn/relaystats.c.
 */
#ifndef PV_REPORT_ROWS_H
#define PV_REPORT_ROWS_H

#include "coordinator/core/report.h"

struct pv_report_row {
    const char *object;      /* of the document; NULL: the document itself */
    size_t offset;           /* of a uint64_t in struct pv_report */
    struct pv_stat_row stat; /* no family: `limits`, or a sum of other rows, already shows it */
};

/* All of them, objects and families in the order in which they are shown. */
const struct pv_report_row *pv_report_rows(size_t *ret_n);

#endif /* PV_REPORT_ROWS_H */
