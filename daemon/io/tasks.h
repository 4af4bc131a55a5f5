/* SPDX-License-Identifier: MIT */
/*
 * tasks.h - what the daemon has done by tasks of the helper (sys/helper/helper.h): a child without
 * rights for each question, which one function of this program answers there.
 */
#pragma once

#include <stdatomic.h>

#include "base/pv.h"
#include "sys/helper/helper.h"

/*
 * Starts a task with args, and waits for its whole answer of len bytes, at most
 * PV_HELPER_TASK_SECONDS and not beyond *until, which another thread may bring forward. Nothing in
 * the answer is trusted. PV_ERR_TIMEOUT; PV_ERR_CLOSED: it ended without one; else it did not
 * start, and ret_error says why.
 */
PV_MUST_CHECK int pv_task_ask(struct pv_helper *helper, struct pv_view args,
                              const _Atomic pv_ns *until, void *ret_answer, size_t len,
                              char ret_error[static PV_HELPER_ERROR_MAX]);
