/* SPDX-License-Identifier: MIT */
/* process.c - file modes, descriptors, core dumps, signals and the heap of p2pvpnd. */
#include "daemon/process.h"

#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum {
    FILES_MAX = 65536,        /* open files asked for */
    LARGE_BLOCK = 128 * 1024, /* bytes; glibc's own first value */
};

void pv_process_prepare(void)
{
    struct rlimit lim;
    /* No file that this process makes, such as the keys and the database, is readable for others
     * by accident. */
    umask(077);
    /* Each peer, relay and control client costs descriptors. Without permission for more the old
     * limit stays. */
    if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
        lim.rlim_cur = lim.rlim_max < FILES_MAX ? lim.rlim_max : FILES_MAX;
        (void)!setrlimit(RLIMIT_NOFILE, &lim);
    }
    /* A large block goes back to the kernel when it is freed. Else glibc raises this limit with the
     * first such block, and lists, tables and snapshots leave holes among what small things
     * take. */
    (void)mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK);
    /* A core dump would have the keys in it. */
    lim = (struct rlimit){.rlim_cur = 0, .rlim_max = 0};
    (void)!setrlimit(RLIMIT_CORE, &lim);
#ifndef PV_SANITIZED
    /* No debugger of other users. (The leak checker needs what this takes away.) */
    prctl(PR_SET_DUMPABLE, 0);
#endif
    /* A control client or a relay may close at any moment: a write then fails with EPIPE instead
     * of ending the daemon. */
    signal(SIGPIPE, SIG_IGN);
}
