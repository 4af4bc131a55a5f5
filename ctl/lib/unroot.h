/* SPDX-License-Identifier: MIT */
/* unroot.h - gives up root's rights before a command parses what strangers send. */
#pragma once

#include <sys/types.h>

/*
 * If this process is root's, it becomes the user that called sudo(8) (SUDO_UID and SUDO_GID), or
 * else nobody, with the group `also` (0: none) as its only other group, and no program that it runs
 * gains rights. A system that does not permit the change, such as a container without CAP_SETUID,
 * leaves the process as it is: the rights there are not those of the host's root. Does nothing for
 * other users. Descriptors stay open.
 */
void pv_unroot(gid_t also);
