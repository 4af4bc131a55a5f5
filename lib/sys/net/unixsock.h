/* SPDX-License-Identifier: MIT */
/*
 * unixsock.h - the local control socket: listen, accept with the caller's identity, connect.
 *
 * Reading and writing is pv_stream_read() and pv_stream_write(), or the calls below when a
 * descriptor may come along. Any thread.
 */
#pragma once

#include "base/pv.h"

/* The process at the other end, as the kernel says (SO_PEERCRED). */
struct pv_unix_cred {
    uint32_t uid;
    uint32_t gid;
    int32_t pid;
};

/*
 * Listens at path with mode 0660 and, if the group exists, for that group; group NULL: with mode
 * 0600. Its directory must exist. A socket that a dead process left is replaced. PV_ERR_EXISTS: a
 * living process listens there. -ENOTSOCK: something else has that name, and it is left alone. Else
 * -errno.
 */
PV_MUST_CHECK int pv_unix_listen(const char *path, const char *group, int *ret_fd);
/* *ret_served: true if a living process listens there. Waits for nobody. PV_ERR_NOT_FOUND: nothing
 * has that name. -ENOTSOCK: something else has it. Else -errno. */
PV_MUST_CHECK int pv_unix_is_served(const char *path, bool *ret_served);
/* PV_ERR_AGAIN: nobody waits. PV_ERR_LIMIT: out of descriptors, see pv_stream_accept(). */
PV_MUST_CHECK int pv_unix_accept(int listen_fd, int *ret_fd, struct pv_unix_cred *ret_cred);
/* The process that listened at the other end of a connection made by this process. -errno. */
PV_MUST_CHECK int pv_unix_peer(int fd, struct pv_unix_cred *ret_cred);
/* Connects; the descriptor is blocking. PV_ERR_NOT_FOUND: no such socket or nobody listens.
 * -EACCES: not allowed. Else -errno. */
PV_MUST_CHECK int pv_unix_connect(const char *path, int *ret_fd);

/* As pv_stream_read(). *ret_passed: a descriptor that came with these bytes, the caller's, or -1.
 * Of several the first is kept. */
PV_MUST_CHECK int pv_unix_read(int fd, void *buf, size_t cap, size_t *ret_n, int *ret_passed);
/* Returns true if err is ETOOMANYREFS (unix(7)): in all its processes the user has more descriptors
 * on their way through sockets than this process may have open. Others read theirs soon, so the
 * function has slept for 10 ms then. */
bool pv_unix_wait_refs(int err);
/* As pv_stream_write(), and the descriptor pass (unless -1) goes with the first byte; it stays the
 * caller's. PV_ERR_AGAIN also after pv_unix_wait_refs(). */
PV_MUST_CHECK int pv_unix_write(int fd, struct pv_view data, int pass, size_t *ret_n);
/* The same of a few bytes, which go in one piece as soon as there is room: it waits for about ms,
 * then PV_ERR_AGAIN; with ms below 0 as long as it takes. */
PV_MUST_CHECK int pv_unix_hand(int fd, struct pv_view data, int pass, int ms);
