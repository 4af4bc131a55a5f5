/* SPDX-License-Identifier: MIT */
/*
 * store.h - the part that looks after what was written to the store: it keeps the marks of numbers
 * that grow for ever (peer/highwater.h), and after a write that failed it has every part write
 * again what is to be kept. All writes are idempotent.
 *
 * State:  KEPT --node.store.failed--> FAILED --30 s--> KEPT, with PV_FACT_STORE for every part
 *                                     (5 s after a write that was kept meanwhile)
 */
#pragma once

#include "daemon/core/node/part.h"

extern const struct pv_part pv_part_store;
