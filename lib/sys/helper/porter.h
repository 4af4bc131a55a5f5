/* SPDX-License-Identifier: MIT */
/*
 * porter.h - one client's process: carries bytes between the client and the daemon, and keeps the
 * files that the client passed. For usher.c only. It may be held up by what the client passes; then
 * it holds up nobody else.
 */
#pragma once

#include <stdatomic.h>

#include "sys/net/unixsock.h"

struct pv_porter {
    int client;               /* its socket */
    int daemon;               /* a stream to the daemon */
    int life;                 /* held open while this process, or one of its readers, lives */
    struct pv_unix_cred cred; /* of the client: the porter's user and group from now on */
    _Atomic bool *keeping;    /* set when the client has gone, and only files are left */
};

/* The life of the process, which begins when the daemon's end says a first byte: until then the
 * usher holds the client's socket too. Does not return. */
_Noreturn void pv_porter_run(const struct pv_porter *porter);
