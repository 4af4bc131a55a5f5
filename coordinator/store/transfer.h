/* SPDX-License-Identifier: MIT */
/* transfer.h - all of one store into another: from SQLite to PostgreSQL, or back. */
#ifndef PV_TRANSFER_H
#define PV_TRANSFER_H

#include "coordinator/store/store.h"

struct pv_transfer {
    uint64_t statements;
    uint64_t copies; /* that waited for members */
};

/* Copies every statement at its place, and every copy for a member. What is there already stays: a
 * transfer that was broken off is done again. Errors of both stores; ret_error. */
PV_MUST_CHECK int pv_transfer(struct pv_coordstore *from, struct pv_coordstore *to,
                              struct pv_transfer *ret_transfer,
                              char ret_error[static PV_STOREOP_ERROR_MAX]);

#endif /* PV_TRANSFER_H */
