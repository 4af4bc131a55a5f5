/* SPDX-License-Identifier: MIT */
/*
 * saved.h - the named values that the store held at start, by name (PV_JOB_SET_META wrote them).
 */
#pragma once

#include "daemon/core/node/config.h"

/* Of whatever length; empty: there is none. Borrows from saved. */
struct pv_view pv_saved_value(const struct pv_saved *saved, const char *name);
/* A number of eight bytes, most significant first; 0: there is none, or it has another length. */
uint64_t pv_saved_u64(const struct pv_saved *saved, const char *name);
