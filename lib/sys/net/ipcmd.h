/* SPDX-License-Identifier: MIT */
/*
 * ipcmd.h - runs `ip -batch -` of iproute2: what it did can be repeated by hand.
 *
 * No shell; the lines are ours and made of validated values. Blocks until ip is done, so it is for
 * the helper only.
 */
#ifndef PV_IPCMD_H
#define PV_IPCMD_H

#include "base/pv.h"

enum {
    PV_IPCMD_LINES_MAX = 32768, /* bytes of a batch; fits a pipe, so writing it never blocks */
    PV_IPCMD_ERROR_MAX = 160,
};

/* Runs the lines in order until one fails. PV_ERR_NOT_FOUND: no ip program. PV_ERR_REFUSED: ip
 * complained, its first line is in ret_error (always a string). PV_ERR_LIMIT. -errno. */
PV_MUST_CHECK int pv_ipcmd_run(const char *lines, char ret_error[static PV_IPCMD_ERROR_MAX]);

#endif /* PV_IPCMD_H */
