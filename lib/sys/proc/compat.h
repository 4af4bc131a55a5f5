/* SPDX-License-Identifier: MIT */
/*
 * compat.h - kernel headers that need help, and constants newer than Debian 12's headers (each
 * with the kernel version that brought it).
 */
#pragma once

/* clang-format off */
#include <time.h> /* linux/errqueue.h uses struct timespec without declaring it */
#include <linux/errqueue.h>
/* clang-format on */

/* linux/if_tun.h */
#define PV_TUN_F_USO4 0x20 /* 6.2: UDP super-packets over IPv4 */
#define PV_TUN_F_USO6 0x40 /* 6.2: the same over IPv6; the kernel takes both or none */
