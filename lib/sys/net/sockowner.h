/* SPDX-License-Identifier: MIT */
/*
 * sockowner.h - whose a connection of this machine is: the user who holds the socket, and
 * whether that user is the only one here. Asks the kernel and reads /etc/passwd; does not know
 * users of a directory service that have no process. No state; thread-safe; may wait for the disk.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"

enum {
    PV_SOCKOWNER_UDP = 1,     /* the socket that sends datagrams from local to remote; else TCP */
    PV_SOCKOWNER_OUTSIDE = 2, /* of this process' network, not the interface's (inside.h) */
};

/* The user who opened the connection from local to remote (both with ports), which is open and
 * still held by a process: of one that nobody holds the kernel says root. flags: PV_SOCKOWNER_.
 * PV_ERR_NOT_FOUND, PV_ERR_UNSUPPORTED (no such question in this kernel), -errno. */
PV_MUST_CHECK int pv_sockowner_find(const struct pv_addr *local, const struct pv_addr *remote,
                                    unsigned flags, uint32_t *ret_uid);
/* Returns true if the machine has no user except this one, root and users of services: no account
 * in passwd (a file as of passwd(5)), and no process in proc (a directory as /proc). Also returns
 * false if processes are hidden, by hidepid of proc(5) or because this process is in a PID
 * namespace. */
bool pv_sockowner_is_alone(uint32_t uid, const char *passwd, const char *proc);
