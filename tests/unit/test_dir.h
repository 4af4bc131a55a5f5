/* SPDX-License-Identifier: MIT */
/* test_dir.h - takes away the directory that a test made, with all that is in it. */
#ifndef PV_TEST_DIR_H
#define PV_TEST_DIR_H

#include <ftw.h>
#include <stdio.h>

static inline int test_dir_remove_one(const char *path, const struct stat *st, int type,
                                      struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

/* 0, or what nftw() says. Links are removed, not followed. */
static inline int test_dir_remove(const char *path)
{
    return nftw(path, test_dir_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif /* PV_TEST_DIR_H */
