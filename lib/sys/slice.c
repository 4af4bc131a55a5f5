/* SPDX-License-Identifier: MIT */
#include "sys/slice.h"

#include <linux/sched.h> /* not <sched.h>: both define struct sched_param */
#include <linux/sched/types.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    SLICE = 100000, /* ns, the shortest that Linux takes (kernel/sched/syscalls.c) */
};

void pv_slice_shorten(void)
{
    struct sched_attr attr = {.size = sizeof(attr)};
    if (syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0) < 0 ||
        (attr.sched_policy != SCHED_NORMAL && attr.sched_policy != SCHED_BATCH))
        return;
    attr.sched_runtime = SLICE;
    (void)!syscall(SYS_sched_setattr, 0, &attr, 0);
}
