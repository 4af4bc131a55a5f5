/* SPDX-License-Identifier: MIT */
/*
 * compat.h - kernel headers that need help, and constants newer than Debian 12's headers (each
 * with the kernel version that brought it).
 */
#ifndef PV_COMPAT_H
#define PV_COMPAT_H

/* clang-format off */
#include <time.h> /* linux/errqueue.h uses struct timespec without declaring it */
#include <linux/errqueue.h>
/* clang-format on */

#endif /* PV_COMPAT_H */
