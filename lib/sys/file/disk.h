/* SPDX-License-Identifier: MIT */
/*
 * disk.h - how much of a file system is kept free of what others send: messages, files, copies. Any
 * thread.
 */
#ifndef PV_DISK_H
#define PV_DISK_H

#include "base/pv.h"

enum {
    PV_DISK_RESERVE_MIB =
        64, /* ours: for everything else that writes there, the roster above all */
};

/* Bytes of a file system of this size that stay free: the reserve, or a twentieth of one that is
 * smaller than twenty times that, or nothing would ever fit on it. */
uint64_t pv_disk_reserve(uint64_t total);
/* Is no more than the reserve left on path's file system? Also when that cannot be told: what is
 * refused for it comes again. */
bool pv_disk_is_low(const char *path);

#endif /* PV_DISK_H */
