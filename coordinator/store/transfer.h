/* SPDX-License-Identifier: MIT */
/* transfer.h - all of one store into another: from SQLite to PostgreSQL, or back. */
#pragma once

#include "coordinator/store/store.h"

struct pv_transfer {
    uint64_t statements;
    uint64_t copies; /* that waited for members */
};

/* Copies every statement at its place, every log, and every copy for a member, wholly or not at
 * all; nobody else gets either store meanwhile. Errors of both stores, with ret_error; then both
 * are only good for being closed. */
PV_MUST_CHECK int pv_transfer(struct pv_coordstore *from, struct pv_coordstore *to,
                              struct pv_transfer *ret_transfer,
                              char ret_error[static PV_STOREOP_ERROR_MAX]);
