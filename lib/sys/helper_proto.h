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

enum pv_helper_kind {
    PV_HELPER_OPEN_UDP = 1,
    PV_HELPER_IFACE_UP,
    PV_HELPER_IFACE_DOWN,
};

struct pv_helper_request {
    uint32_t kind;
    uint16_t udp_port;
    struct pv_helper_iface iface;
};

enum {
    PV_HELPER_MAX_FDS = 2,
};

struct pv_helper_reply {
    int32_t status;
    uint32_t n_fds; /* descriptors that come with it */
    char error[PV_HELPER_ERROR_MAX];
};

/* The helper's life: serves requests until the other end closes. */
void pv_helper_serve(int fd);

#endif /* PV_HELPER_PROTO_H */
