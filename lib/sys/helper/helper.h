/* SPDX-License-Identifier: MIT */
/*
 * helper.h - the privileged process: it alone opens the TUN and the UDP sockets and sets addresses,
 * MTU and routes; the daemon asks it over a socketpair and gets descriptors back (SCM_RIGHTS).
 *
 * Forked before any packet is read and before any thread starts. Requests are typed and of fixed
 * size; the helper checks every field again, for the daemon may have been taken over. There are
 * three phases, and no way back (helper_serve.c has the table): first the files, notify's program
 * and what pv_helper_fixed holds are fixed, which ends with pv_helper_sandbox(); then the UDP port
 * is opened, once; then the daemon runs, and may ask for the interface, its name server, names,
 * tasks and plans. A request of another phase is PV_ERR_STATE. It never reads packets,
 * configuration or files of the state directory. It ends when the daemon does, and takes the
 * interface and what else it set with it; its own end is seen on pv_helper_alive_fd(). Calls block
 * until the helper has answered: any thread may, but not the control thread once the loop runs.
 *
 * For what needs no rights and must not have any, the helper starts tasks: children of its own
 * without root, with little time and memory.
 */
#pragma once

#include "base/addr.h"
#include "base/netplan.h"
#include "base/pv.h"
#include "base/text.h"
#include "sys/net/tun.h"
#include "sys/net/udp.h"

enum {
    PV_HELPER_ERROR_MAX = 240,      /* bytes, with the NUL */
    PV_HELPER_MAX_PREFIXES = 64,    /* addresses, and routes, of the interface */
    PV_HELPER_MAX_RANGES = 8,       /* that the settings name */
    PV_HELPER_MTU_MIN = 576,        /* bytes, RFC 791 s3.2: what every host takes; 1280 with IPv6 */
    PV_HELPER_TASK_ARGS = 256,      /* ours: bytes of arguments */
    PV_HELPER_TASKS = 4,            /* ours: at once; more are PV_ERR_LIMIT */
    PV_HELPER_TASK_SECONDS = 12,    /* ours: then the task is killed */
    PV_HELPER_PATH_MAX = 256,       /* bytes of a file's path, with the NUL */
    PV_HELPER_NAMES_MAX = 64 << 20, /* bytes of the names file; a roster's names are fewer */
};

/* The word of a daemon that still knows nothing but its settings; it holds for the helper's life.
 */
struct pv_helper_fixed {
    uint32_t uid; /* of the daemon from now on, when nobody else has it; 0: somebody has, so no exit
                     can be used */
    char ifname[PV_TUN_NAME]; /* of the one interface */
    uint16_t udp_port;        /* of the settings; 0: one from 1024 on, of the daemon's choice */
    /* The ranges for addresses of the interface beside the private ones (pv_netplan_is_own()).
     */
    struct pv_prefix ranges[PV_HELPER_MAX_RANGES];
    size_t n_ranges;
};

/* The wanted state of the interface. */
struct pv_helper_iface {
    struct pv_prefix addrs[PV_HELPER_MAX_PREFIXES]; /* base.ip = own address, host bits and all */
    size_t n_addrs;
    /* Beyond the on-link ones (pv_netplan_is_target()); one that would take a network away from the
     * host is left out, and told in ret_error. */
    struct pv_prefix routes[PV_HELPER_MAX_PREFIXES];
    size_t n_routes;
    uint16_t mtu;
    uint8_t queues; /* 1..PV_TUN_QUEUES; it cannot change while the interface exists */
    /* The network's name, for systemd-resolved where it runs: "ZONE.p2p" and the reverse zones of
     * the addresses are asked at the first address, on this link; "": nothing is. */
    char zone[PV_NAME_BUF];
};

struct pv_helper; /* opaque, the daemon's end */

/* The course of a task: reads its arguments, writes its result to out, returns; it ends then. */
typedef void pv_helper_task(struct pv_view args, int out);

/* Forks. task may be NULL: there are none. -errno, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_helper_start(struct pv_helper **ret_helper, pv_helper_task *task);
/* Tells the helper to end and waits for it. NULL is fine; returns NULL. */
struct pv_helper *pv_helper_stop(struct pv_helper *h);
/* Becomes readable (end of file) when the helper has died: nothing works any more then. */
int pv_helper_alive_fd(const struct pv_helper *h);

/*
 * The calls below return PV_OK or a negative status and then "what failed: why: what to do" in
 * ret_error, also when the helper is gone (PV_ERR_CLOSED).
 */

/* The main sockets on this UDP port of every address, n (1..PV_UDP_GROUP_MAX) for each family, and
 * one more that only sends.
 * PV_ERR_EXISTS: the port is in use, another may be tried. -EINVAL: not the one that was fixed, or
 * below 1024. */
PV_MUST_CHECK int pv_helper_open_udp(struct pv_helper *h, uint16_t port, unsigned n,
                                     struct pv_udp_group *ret_group,
                                     char ret_error[static PV_HELPER_ERROR_MAX]);
/* Makes the interface exist and look like this; may be repeated with other addresses and routes.
 * *ret_tun: descriptors of the TUN, the same queues each time. IPv6 addresses are left out where
 * the kernel has no IPv6. PV_ERR_EXISTS: the name or an address range is in use on this host. */
PV_MUST_CHECK int pv_helper_iface_up(struct pv_helper *h, const struct pv_helper_iface *iface,
                                     struct pv_tun *ret_tun,
                                     char ret_error[static PV_HELPER_ERROR_MAX]);
/* Starts a task as a user and group that nobody else has, with no descriptor but its output, at
 * most PV_HELPER_TASK_SECONDS of time and bounded memory. *ret_fd: read its output there until the
 * end of file; closing it earlier is fine. PV_ERR_LIMIT. */
PV_MUST_CHECK int pv_helper_run_task(struct pv_helper *h, struct pv_view args, int *ret_fd,
                                     char ret_error[static PV_HELPER_ERROR_MAX]);
/* Gives up the helper's descriptors of the TUN: the interface goes when the caller's are closed. */
PV_MUST_CHECK int pv_helper_iface_down(struct pv_helper *h,
                                       char ret_error[static PV_HELPER_ERROR_MAX]);

/*
 * Makes the inside: a user and a network namespace of this user alone, where no rights are needed
 * to make an interface. A second helper lives there, and serves what is about the interface from
 * now on; the first keeps the rest, above all the UDP port and tasks. *ret_giver: for
 * pv_inside_use(); *ret_pid: of the process in the inside that other programs of this user may find
 * it by. Before pv_helper_sandbox(). PV_ERR_STATE; -EPERM and others: ret_error names the remedy.
 */
PV_MUST_CHECK int pv_helper_go_inside(struct pv_helper *h, int *ret_giver, int *ret_pid,
                                      char ret_error[static PV_HELPER_ERROR_MAX]);

/*
 * In the kernel's place lwIP (sys/stack/stack.h), in a process without rights, where
 * pv_helper_go_inside() has failed or was not tried: it serves what is about the interface.
 * listener: where programs of this user ask for connections (a unix socket that listens), the
 * caller's. *ret_giver: for pv_inside_use_stack(); *ret_pid: that process'. Before
 * pv_helper_sandbox(). PV_ERR_UNSUPPORTED: built without lwIP.
 *
 * When that process has ended, the next call that needs it starts another one, at most one a
 * second, and gives it to pv_inside_use_stack(). The text of a call that has succeeded tells then.
 */
PV_MUST_CHECK int pv_helper_go_stack(struct pv_helper *h, int listener, int *ret_giver,
                                     int *ret_pid, char ret_error[static PV_HELPER_ERROR_MAX]);
/* Returns how often lwIP's process was started again. *ret_pid: of the last one; 0: there is
 * none. */
unsigned pv_helper_stack_restarts(struct pv_helper *h, int *ret_pid);

/* Fixes the command of notify.h, once and for all: a daemon that was taken over can choose no
 * other. *ret_fd: for pv_notify_run(). PV_ERR_STATE: it was fixed before. */
PV_MUST_CHECK int pv_helper_notify(struct pv_helper *h, const char *command, int *ret_fd,
                                   char ret_error[static PV_HELPER_ERROR_MAX]);

/* Fixes two files, once and for all: the control socket, which is removed when the helper ends, and
 * the file of names. A control socket that somebody else removes is made again, and its listener
 * goes to the usher (pv_usher_fd(); -1: it is not). PV_ERR_STATE: they were fixed before. */
PV_MUST_CHECK int pv_helper_fix_files(struct pv_helper *h, const char *socket, const char *names,
                                      int usher, char ret_error[static PV_HELPER_ERROR_MAX]);
/* Replaces the file of names, as a whole, or the small one beside it (recent: `X.recent.names`
 * beside `X.names`), which the whole one ends; nothing: removes both. They belong to the helper's
 * user, root or the unit's, and only that one may write them: every program of the machine reads
 * them. PV_ERR_MALFORMED: it is no names file, or has an address that is in no private range and
 * none of the settings. */
PV_MUST_CHECK int pv_helper_write_names(struct pv_helper *h, struct pv_view bytes, bool recent,
                                        char ret_error[static PV_HELPER_ERROR_MAX]);
/* A socket of the name server, of UDP or a listener of TCP: port 53 of one of the interface's
 * addresses, from the interface only. */
PV_MUST_CHECK int pv_helper_open_dns(struct pv_helper *h, const struct pv_addr *addr, bool tcp,
                                     int *ret_fd, char ret_error[static PV_HELPER_ERROR_MAX]);
/* Ends the first phase: the helper keeps what is fixed, and gives up what its requests do not need,
 * all capabilities but a few, and most system calls (sys/proc/sandbox.h). ret_text: what is in
 * force, or why it failed. -EINVAL: not a name, or not a range. */
PV_MUST_CHECK int pv_helper_sandbox(struct pv_helper *h, const struct pv_helper_fixed *fixed,
                                    char ret_text[static PV_HELPER_ERROR_MAX]);

/* Routes, offers and the exit shall be as the plan says, from now on (hostnet.h); the first plan
 * also cleans up after a helper that was killed. Negative: the exit cannot be used. The rest of
 * what is not in force stands in the host's answers: *ret_events becomes readable when there is
 * one, also when the plan has failed, and replaces the one before; NULL: not wanted. */
PV_MUST_CHECK int pv_helper_netplan(struct pv_helper *h, const struct pv_netplan *plan,
                                    int *ret_events, char ret_error[static PV_HELPER_ERROR_MAX]);
/* The next answer. PV_ERR_AGAIN: none. PV_ERR_CLOSED: the helper is gone. */
PV_MUST_CHECK int pv_helper_netplan_event(int events_fd, struct pv_netplan_host *ret_host);
