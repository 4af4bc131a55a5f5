/* SPDX-License-Identifier: MIT */
/*
 * servesock.h - the unix socket where p2pvpnd listens to its p2pvpn-chatd, in the loop of p2pvpnd:
 * lets in processes of chat's user alone, one at a time, and moves bytes and descriptors between
 * the connection and the part (serve.h).
 */
#pragma once

#include "bind/serve.h"
#include "daemon/io/io_app.h"

struct pv_bind_sock {
    const struct pv_log *log; /* given, as the next two; borrowed */
    int listen_fd;            /* of pv_bind_sock_open(); the caller's */
    uint32_t uid;             /* chat's user */
    struct pv_bind_served served;

    struct pv_io *io; /* of the loop, as all that follows */
    struct pv_watch *door, *watch;
    int fd;       /* -1: nobody is connected */
    uint8_t *buf; /* owned */
};

/* Listens beside the control socket (proto/local/chatpaths.h). The socket is given to chat's user;
 * without root's rights for that any user may connect, and is sent away. -errno, PV_ERR_EXISTS,
 * PV_ERR_NO_SPACE. */
PV_MUST_CHECK int pv_bind_sock_open(const char *control, uint32_t uid, int *ret_fd);
/* For struct pv_io_config. */
struct pv_io_app pv_bind_sock_app(struct pv_bind_sock *b);
