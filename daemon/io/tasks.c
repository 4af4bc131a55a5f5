/* SPDX-License-Identifier: MIT */
/* Starts tasks of the helper and reads what they answer. */
#include "daemon/io/tasks.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "sys/proc/clock.h"

enum {
    SLICE_MS = 100, /* between looks at *until */
};

static int read_answer(int fd, pv_ns deadline, const _Atomic pv_ns *until, uint8_t *dst, size_t len)
{
    size_t have = 0;
    while (have < len) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        pv_ns now = pv_clock_now();
        /* Two limits: the task's, and the end of the daemon, which sets *until. */
        if (now >= deadline || now >= atomic_load_explicit(until, memory_order_relaxed))
            return PV_ERR_TIMEOUT;
        if (poll(&p, 1, SLICE_MS) <= 0)
            continue;
        ssize_t n = read(fd, dst + have, len - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return PV_ERR_CLOSED;
        have += (size_t)n;
    }
    return PV_OK;
}

int pv_task_ask(struct pv_helper *helper, struct pv_view args, const _Atomic pv_ns *until,
                void *ret_answer, size_t len, char ret_error[static PV_HELPER_ERROR_MAX])
{
    pv_ns now = pv_clock_now();
    int fd = -1;
    if (now >= atomic_load_explicit(until, memory_order_relaxed))
        return PV_ERR_TIMEOUT;
    int r = pv_helper_run_task(helper, args, &fd, ret_error);
    if (r < 0)
        return r;
    r = read_answer(fd, now + PV_S(PV_HELPER_TASK_SECONDS), until, ret_answer, len);
    close(fd);
    return r;
}
