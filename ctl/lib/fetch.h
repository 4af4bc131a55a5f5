/* SPDX-License-Identifier: MIT */
/*
 * fetch.h - a file of the user for p2pvpnd to send, and a received one from p2pvpnd's descriptor
 * into a directory of the user.
 */
#pragma once

#include "base/pv.h"
#include "chat/proto/file.h"

/* Opens a regular file, as the user whose rights count: *ret_fd is the caller's. name: the last
 * part of its path, as UTF-8, which names on disk need not be (path_resolution(7)); size in bytes.
 * PV_ERR_MALFORMED (not a regular file), PV_ERR_UNSUPPORTED (its size is not known before it is
 * read), -errno. */
PV_MUST_CHECK int pv_fetch_open(const char *path, int *ret_fd, char name[static PV_FILE_NAME_BUF],
                                double *ret_size);

/*
 * Copies what from holds into a new file: path, counted from dir, when not NULL, else dir/name,
 * name being what the other side calls it. The file must not exist, and a name of others cannot
 * leave dir. It gets its name when it is whole, where the file system can do that; elsewhere what
 * could not be copied whole is removed. PV_ERR_EXISTS; PV_ERR_MALFORMED (no name to use); -errno.
 */
PV_MUST_CHECK int pv_fetch(int from, const char *dir, const char *name, const char *path);
