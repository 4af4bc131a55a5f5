/* SPDX-License-Identifier: MIT */
/*
 * helper_proto.h - what goes over the socketpair between daemon and helper; for helper*.c only.
 *
 * SOCK_SEQPACKET keeps message boundaries; both ends are the same program, so structs travel as
 * they are.
 */
#pragma once

#include <sys/types.h>
#include <time.h>

#include "sys/helper/helper.h"
#include "sys/helper/notify.h"

enum {
    PV_HELPER_GROUP_MAX = 64, /* bytes of a group's name with the NUL */
};

enum pv_helper_kind {
    PV_HELPER_OPEN_UDP = 1,
    PV_HELPER_IFACE_UP,
    PV_HELPER_IFACE_DOWN,
    PV_HELPER_NOTIFY,
    PV_HELPER_TASK,
    PV_HELPER_FILES, /* the way to the usher comes along */
    PV_HELPER_NAMES, /* their bytes are in a memory file that comes along; none: removed */
    PV_HELPER_OPEN_DNS,
    PV_HELPER_SANDBOX,
    PV_HELPER_NETPLAN,
    PV_HELPER_SECOND,      /* another helper, for the inside */
    PV_HELPER_ENTER,       /* to that one: it makes the inside */
    PV_HELPER_STACK,       /* in its place lwIP's process, whose listener comes along */
    PV_HELPER_STACK_AGAIN, /* after that process has ended */
    PV_HELPER_KINDS,
};

/* No bool: one that is neither 0 nor 1 is undefined, and the sender may have been taken over. */
struct pv_helper_request {
    uint32_t kind;
    uint16_t udp_port;
    uint16_t udp_sockets; /* of each family */
    struct pv_helper_iface iface;
    char notify[PV_NOTIFY_COMMAND_MAX];
    char socket[PV_HELPER_PATH_MAX], names[PV_HELPER_PATH_MAX];
    uint8_t recent; /* NAMES, not 0: of those who came since */
    struct pv_addr dns;
    uint8_t tcp; /* DNS, not 0: a listener */
    struct pv_helper_fixed fixed;
    uint8_t events; /* not 0: the daemon wants (other) events of its plans */
    struct pv_netplan plan;
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
    int32_t pid;    /* ENTER: of the giver; STACK */
    char error[PV_HELPER_ERROR_MAX];
};

/* The helper's life: serves requests until the other end closes, or its parent ends: the daemon,
 * or of the second helper the first. */
void pv_helper_serve(int fd, pid_t parent, pv_helper_task *task);

/* One message; a daemon that does not read its answers does without. */
void pv_helper_send_reply(int fd, const struct pv_helper_reply *reply, const int *fds);

/* helper_stack.c: forks lwIP's process. ret_fds: the daemon's ends, for requests and for
 * pv_inside_use_stack(). listener: where programs of this user ask for connections, the caller's.
 * PV_ERR_UNSUPPORTED: not built; -errno. */
PV_MUST_CHECK int pv_helper_stack_start(int listener, int ret_fds[static 2], pid_t *ret_pid);

/* helper_inside.c: this process goes into namespaces of its own, for good. ret_error: why not, and
 * what to do. -errno. */
PV_MUST_CHECK int pv_helper_inside_make(char ret_error[static PV_HELPER_ERROR_MAX]);
/* Forks the giver there; *ret_fd is the daemon's end (sys/net/inside.h). -errno. */
PV_MUST_CHECK int pv_helper_inside_giver(int *ret_fd, pid_t *ret_pid);

/* helper_task.c: forks a task; *ret_fd = the end to read its output from. PV_ERR_LIMIT, -errno. */
struct pv_helper_tasks {
    struct {
        pid_t pid; /* 0 = free */
        int pidfd; /* readable when it has ended; -1: the kernel has none */
    } running[PV_HELPER_TASKS];
    uid_t user; /* whom a task becomes, and its group: nobody else */
};
PV_MUST_CHECK int pv_helper_task_start(struct pv_helper_tasks *tasks, pv_helper_task *task,
                                       struct pv_view args, int *ret_fd);
/* Those that have ended are waited for. */
void pv_helper_task_reap(struct pv_helper_tasks *tasks);

/* helper_files.c: the files that the helper keeps for the daemon. */
struct pv_helper_socket {
    char path[PV_HELPER_PATH_MAX]; /* "": not fixed */
    dev_t dev;                     /* of the socket as it was then */
    ino_t ino;
    struct timespec made; /* file systems use a number again at once: its mtime */
};
struct pv_helper_files {
    struct pv_helper_socket socket, stack;
    char group[PV_HELPER_GROUP_MAX]; /* of the control socket; "": its owner's alone */
    gid_t gid;
    int watch; /* readable when something in its directory is removed; -1: nobody looks */
    int usher; /* takes another listening socket; -1: nobody does */
    char names[PV_HELPER_PATH_MAX];
    char recent[PV_HELPER_PATH_MAX + 16]; /* names of who came since */
};
/* usher: where another listening socket goes when somebody removes the control socket; it is kept.
 * PV_ERR_STATE, -EINVAL, -errno. */
PV_MUST_CHECK int pv_helper_files_fix(struct pv_helper_files *files, const char *socket,
                                      const char *names, int usher);
/* After files->watch was readable: makes the control socket again if it is gone. */
void pv_helper_files_look(struct pv_helper_files *files);
/* Where lwIP's process listens is removed in the end, too. -errno. */
PV_MUST_CHECK int pv_helper_files_fix_stack(struct pv_helper_files *files, int listener);
/* bytes: a memory file, -1: none. -EINVAL: it is something else, or too large. PV_ERR_MALFORMED: it
 * is no names file, or has an address that no interface of fixed may have. */
PV_MUST_CHECK int pv_helper_files_names(const struct pv_helper_files *files,
                                        const struct pv_helper_fixed *fixed, int bytes,
                                        bool recent);
/* Removes the socket, unless another daemon has made its own there. */
void pv_helper_files_end(const struct pv_helper_files *files);

/* helper_sandbox.c: the calling process keeps what a helper, a notifier, an usher, a giver or lwIP
 * needs, and nothing else. -errno, PV_ERR_NOMEM: the caller must end. */
enum pv_helper_role {
    PV_HELPER_ROLE_HELPER,
    PV_HELPER_ROLE_NOTIFY,
    PV_HELPER_ROLE_USHER,
    PV_HELPER_ROLE_GIVER,
    PV_HELPER_ROLE_STACK,
};
/* *ret_seccomp (NULL: not asked): our list of system calls is in force. */
PV_MUST_CHECK int pv_helper_sandbox_as(enum pv_helper_role role, bool *ret_seccomp);
