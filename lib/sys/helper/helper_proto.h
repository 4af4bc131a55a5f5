/* SPDX-License-Identifier: MIT */
/*
 * helper_proto.h - what goes over the socketpair between daemon and helper; for helper*.c only.
 *
 * SOCK_SEQPACKET keeps message boundaries; both ends are the same program, so structs travel as
 * they are.
 */
#ifndef PV_HELPER_PROTO_H
#define PV_HELPER_PROTO_H

#include <sys/types.h>

#include "sys/helper/helper.h"
#include "sys/helper/notify.h"

enum pv_helper_kind {
    PV_HELPER_OPEN_UDP = 1,
    PV_HELPER_IFACE_UP,
    PV_HELPER_IFACE_DOWN,
    PV_HELPER_NOTIFY,
    PV_HELPER_TASK,
};

struct pv_helper_request {
    uint32_t kind;
    uint16_t udp_port;
    uint16_t udp_sockets; /* of each family */
    struct pv_helper_iface iface;
    char notify[PV_NOTIFY_COMMAND_MAX];
    uint16_t args_len;
    uint8_t args[PV_HELPER_TASK_ARGS];
};

enum {
    PV_HELPER_MAX_FDS = 2 * (PV_UDP_GROUP_MAX + 1), /* the sockets, or the queues */
};
_Static_assert((int)PV_TUN_QUEUES <= (int)PV_UDP_GROUP_MAX, "the queues fit too");

struct pv_helper_reply {
    int32_t status;
    uint32_t n_fds; /* descriptors that come with it */
    char error[PV_HELPER_ERROR_MAX];
};

/* Keeps a and b (and the standard streams), closes every other descriptor. */
void pv_helper_close_others(int a, int b);

/* The helper's life: serves requests until the other end closes. */
void pv_helper_serve(int fd, pv_helper_task *task);

/* helper_task.c: forks a task; *ret_fd = the end to read its output from. PV_ERR_LIMIT, -errno. */
struct pv_helper_tasks {
    pid_t pids[PV_HELPER_TASKS]; /* 0 = free */
};
PV_MUST_CHECK int pv_helper_task_start(struct pv_helper_tasks *tasks, pv_helper_task *task,
                                       struct pv_view args, int *ret_fd);

#endif /* PV_HELPER_PROTO_H */
