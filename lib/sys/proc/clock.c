/* SPDX-License-Identifier: MIT */
/*
 * clock.c - the clocks. BOOTTIME and not MONOTONIC, because leases at routers, keys and
 * bindings age while a machine sleeps.
 */
#include "sys/proc/clock.h"

#include <limits.h>
#include <time.h>

/* These clocks exist on every kernel that runs us, so the call cannot fail. */
static pv_ns read_clock(clockid_t id)
{
    struct timespec ts = {0};
    clock_gettime(id, &ts);
    return PV_S(ts.tv_sec) + (pv_ns)ts.tv_nsec;
}

pv_ns pv_clock_now(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

int pv_poll_ms(pv_ns deadline, pv_ns now)
{
    pv_ns left = deadline > now ? deadline - now : 0;
    pv_ns ms = left / PV_MS(1) + (left % PV_MS(1) != 0);
    if (deadline == PV_NEVER)
        return -1;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

uint64_t pv_clock_wall_us(void)
{
    return read_clock(CLOCK_REALTIME) / 1000;
}

pv_ns pv_clock_slept(void)
{
    pv_ns mono = read_clock(CLOCK_MONOTONIC);
    pv_ns boot = read_clock(CLOCK_BOOTTIME);
    return boot > mono ? boot - mono : 0;
}

pv_ns pv_clock_thread(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}
