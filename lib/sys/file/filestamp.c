/* SPDX-License-Identifier: MIT */
/* Versions of files, by what stat() says. */
#include "sys/file/filestamp.h"

#include <sys/stat.h>

/* A file that vanishes or appears has changed too. */
struct pv_filestamp pv_filestamp_of(const char *file)
{
    struct stat st;
    if (stat(file, &st) < 0)
        return (struct pv_filestamp){.size = 0};
    return (struct pv_filestamp){
        .inode = st.st_ino,
        .size = st.st_size,
        .mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
    };
}

/* The inode counts too: a renewal writes another file and renames it, perhaps of the same size
 * within one tick of the clock. */
bool pv_filestamp_equal(const struct pv_filestamp *a, const struct pv_filestamp *b)
{
    return a->inode == b->inode && a->size == b->size && a->mtime_ns == b->mtime_ns;
}
