/* SPDX-License-Identifier: MIT */
/* stack_clock.c - lwIP's clock. Alone in its file, so that tests can have another one. */
#include <lwip/sys.h>

#include "sys/proc/clock.h"

u32_t sys_now(void)
{
    return (u32_t)(pv_clock_now() / PV_MS(1));
}
