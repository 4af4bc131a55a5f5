/* SPDX-License-Identifier: MIT */
/* disk.c - asks a file system what is left of it. */
#include "sys/file/disk.h"

#include <sys/statvfs.h>

uint64_t pv_disk_reserve(uint64_t total)
{
    const uint64_t reserve = (uint64_t)PV_DISK_RESERVE_MIB << 20;
    return reserve < total / 20 ? reserve : total / 20;
}

bool pv_disk_is_low(const char *path)
{
    struct statvfs fs;
    if (statvfs(path, &fs) != 0)
        return true;
    return (uint64_t)fs.f_bavail * fs.f_frsize <=
           pv_disk_reserve((uint64_t)fs.f_blocks * fs.f_frsize);
}
