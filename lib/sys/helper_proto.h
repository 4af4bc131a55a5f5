/* SPDX-License-Identifier: MIT */
/*
 * helper_proto.h - what goes over the socketpair between daemon and helper; for helper*.c only.
 *
 * SOCK_SEQPACKET keeps message boundaries; both ends are the same program, so structs travel as
 * they are.
 */
#ifndef PV_HELPER_PROTO_H
#define PV_HELPER_PROTO_H

#include "sys/helper.h"
#include "sys/notify.h"

enum pv_helper_kind {
    PV_HELPER_OPEN_UDP = 1,
    PV_HELPER_IFACE_UP,
    PV_HELPER_IFACE_DOWN,
    PV_HELPER_NOTIFY,
};

struct pv_helper_request {
    uint32_t kind;
    uint16_t udp_port;
    struct pv_helper_iface iface;
    char notify[PV_NOTIFY_COMMAND_MAX];
};

enum {
    PV_HELPER_MAX_FDS = 2,
};

struct pv_helper_reply {
    int32_t status;
    uint32_t n_fds; /* descriptors that come with it */
    char error[PV_HELPER_ERROR_MAX];
};

/* Keeps a and b (and the standard streams), closes every other descriptor. */
void pv_helper_close_others(int a, int b);

/* The helper's life: serves requests until the other end closes. */
void pv_helper_serve(int fd);

#endif /* PV_HELPER_PROTO_H */
