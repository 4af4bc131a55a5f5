/* SPDX-License-Identifier: MIT */
/*
 * usher.h - the process that control clients come to, and one process more for each of them.
 *
 * A client of a unix socket can pass descriptors, and the kernel gives them to whoever reads the
 * socket, or closes it: then a file system of the client's own may hold that process up for as long
 * as it likes, beyond any signal. So the daemon never has a client's socket. The usher accepts; a
 * *porter*, forked for the client, carries bytes between it and the daemon, with the client's user
 * and group. A file that the client passes stays with the porter, which serves its bytes
 * (source.h). The usher's and the porters' sockets give only what these made.
 *
 * The usher is forked before anything secret is in memory and before any thread starts.
 */
#pragma once

#include "base/pv.h"
#include "sys/net/unixsock.h"

enum {
    PV_USHER_CLIENTS = 64,    /* at once */
    PV_USHER_OF_OTHERS = 56,  /* of them, clients of other users than root */
    PV_USHER_OF_USER = 24,    /* of them, clients of one user that is not root */
    PV_USHER_KEPT = 512,      /* porters that only serve files: the files a daemon knows */
    PV_USHER_KEPT_USER = 128, /* of them, of one user that is not root */
};

struct pv_usher; /* opaque, the daemon's end */

/* Forks. refusal: a line that a client reads when it is sent away because there are too many;
 * borrowed for good. -errno, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_usher_start(struct pv_usher **ret_usher, const char *refusal);
/* Gives it the listening socket of pv_unix_listen(), which is closed here in any case. Clients are
 * taken from now on. -errno. */
PV_MUST_CHECK int pv_usher_open(struct pv_usher *d, int listen_fd);
/* Readable: a client has come, or the usher has ended. */
int pv_usher_fd(const struct pv_usher *d);
/* The next client: *ret_fd is the way to its porter, a stream that does not block.
 * PV_ERR_AGAIN: none. PV_ERR_CLOSED: the usher has ended. PV_ERR_LIMIT: out of descriptors, and the
 * client is lost. */
PV_MUST_CHECK int pv_usher_accept(struct pv_usher *d, int *ret_fd, struct pv_unix_cred *ret_cred);
/* Lets the usher end, and does not wait for it: what a client passed may keep it. Porters end with
 * their clients' connections. NULL is fine; returns NULL. */
struct pv_usher *pv_usher_stop(struct pv_usher *d);
