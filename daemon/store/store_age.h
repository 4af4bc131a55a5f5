/* SPDX-License-Identifier: MIT */
/*
 * store_age.h - the time by which messages and copies grow old (base/ageclock.h), in the daemon's
 * database. All that chat stores has the time of this clock, and is deleted by it.
 */
#ifndef PV_STORE_AGE_H
#define PV_STORE_AGE_H

#include <sqlite3.h>

#include "base/pv.h"

/* The time by which jobs are done, while the wall clock shows wall_s. */
PV_MUST_CHECK int pv_store_age_now(sqlite3 *db, uint64_t wall_s, uint64_t *ret_age_s);
/* Looks at the wall clock, at the start and every hour. The first look begins the clock. */
PV_MUST_CHECK int pv_store_age_look(sqlite3 *db, uint64_t wall_s);

#endif /* PV_STORE_AGE_H */
