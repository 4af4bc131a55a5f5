/* SPDX-License-Identifier: MIT */
/*
 * io_files.h - transfers of files, on threads of their own, and the directory of received files.
 */
#pragma once

#include "daemon/core/files/files_part.h"
#include "daemon/io/io_streams.h"

struct pv_io_files; /* opaque */

PV_MUST_CHECK int pv_io_files_new(struct pv_io_files **ret_files, struct pv_io *io);
/* Starts, cancels or answers a transfer, or does what else the engine wants of files. */
void pv_io_file_op(struct pv_io_files *files, const struct pv_files_op *op, pv_ns now);
/* Tells the engine how far transfers are; when to call again. */
pv_ns pv_io_files_timeout(struct pv_io_files *files, pv_ns now);
/* Cancels what is under way and waits for its end. NULL is fine; returns NULL. */
struct pv_io_files *pv_io_files_free(struct pv_io_files *files);
