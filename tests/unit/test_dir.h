/* SPDX-License-Identifier: MIT */
/* test_dir.h - makes a directory for a test, and takes it away with all that is in it. */
#pragma once

#include <ftw.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>

static inline int test_dir_remove_one(const char *path, const struct stat *st, int type,
                                      struct FTW *at)
{
    return remove(path);
}

/* 0, or what nftw() says. Links are removed, not followed. */
static inline int test_dir_remove(const char *path)
{
    return nftw(path, test_dir_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Makes a directory for databases, in memory where there is room: a busy disk takes a hundred times
 * as long for what is synced as the test for all else. (Power cuts are tried by the tests named
 * crash, with a file system of their own.) NULL: it cannot be made; else dir. */
static inline char *test_dir_make(char *dir, size_t cap)
{
    struct statvfs shm;
    bool roomy = statvfs("/dev/shm", &shm) == 0 &&
                 (uint64_t)shm.f_bavail * shm.f_frsize >= UINT64_C(4) << 30;
    snprintf(dir, cap, "%s/pvtest.XXXXXX", roomy ? "/dev/shm" : "/tmp");
    return mkdtemp(dir);
}
