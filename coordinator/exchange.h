/* SPDX-License-Identifier: MIT */
/*
 * exchange.h - `import` and `export`: the database of a state directory into the PostgreSQL
 * database of the configuration, and back, while no coordinator uses either.
 */
#pragma once

#include "coordinator/settings/settings.h"
#include "coordinator/store/transfer.h"

enum {
    PV_EXCHANGE_ERROR_MAX = 512, /* bytes of "what failed: why: what to do", with the NUL */
};

/*
 * Takes over the directory's user as a start does. PV_ERR_STATE: the configuration names no
 * database. PV_ERR_EXISTS: the target has statements already, or a coordinator uses the directory.
 * PV_ERR_AGAIN: another one serves from the database. Errors of both stores; ret_error. A call that
 * failed, or was killed, has changed nothing.
 */
PV_MUST_CHECK int pv_exchange(struct pv_coordset *set, bool import,
                              struct pv_transfer *ret_transfer,
                              char ret_error[static PV_EXCHANGE_ERROR_MAX]);
