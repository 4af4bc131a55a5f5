/* SPDX-License-Identifier: MIT */
/*
 * helper_sandbox.c - what the processes beside the control process keep of root's rights.
 */
#include <linux/capability.h>
#include <sys/socket.h>

#include "sys/helper/helper_proto.h"
#include "sys/proc/sandbox.h"

/* lwIP's process makes pairs of sockets, and accepts; it connects to nothing. */
static const struct pv_sandbox_call stack_calls[] = {
    {"socketpair", PV_SANDBOX_ANY, 0}, {"accept", PV_SANDBOX_ANY, 0},
    {"accept4", PV_SANDBOX_ANY, 0},    {"getsockopt", PV_SANDBOX_ANY, 0},
    {"setsockopt", 2, SO_SNDBUF},      {"send", PV_SANDBOX_ANY, 0},
    {"sendto", PV_SANDBOX_ANY, 0},     {"sendmsg", PV_SANDBOX_ANY, 0},
    {"recv", PV_SANDBOX_ANY, 0},       {"recvfrom", PV_SANDBOX_ANY, 0},
    {"recvmsg", PV_SANDBOX_ANY, 0},    {"shutdown", PV_SANDBOX_ANY, 0},
};

#define CAP(name) ((uint64_t)1 << (name))

/* Becoming another user: the helper for its tasks, the usher for its porters. */
static const struct pv_sandbox_call user_calls[] = {
    {"setgroups", PV_SANDBOX_ANY, 0},
    {"setgroups32", PV_SANDBOX_ANY, 0},
    {"setresgid", PV_SANDBOX_ANY, 0},
    {"setresgid32", PV_SANDBOX_ANY, 0},
    {"setresuid", PV_SANDBOX_ANY, 0},
    {"setresuid32", PV_SANDBOX_ANY, 0},
    {"capset", PV_SANDBOX_ANY, 0},
    {"landlock_create_ruleset", PV_SANDBOX_ANY, 0},
    {"landlock_add_rule", PV_SANDBOX_ANY, 0},
    {"landlock_restrict_self", PV_SANDBOX_ANY, 0},
    {"prctl", PV_SANDBOX_ANY, 0},
    {"alarm", PV_SANDBOX_ANY, 0},
    {"setitimer", PV_SANDBOX_ANY, 0},
    {"pread64", PV_SANDBOX_ANY, 0},
    {"fadvise64", PV_SANDBOX_ANY, 0},
    {"fadvise64_64", PV_SANDBOX_ANY, 0},
    /* what libc asks for by fstat() */
    {"newfstatat", PV_SANDBOX_ANY, 0},
    {"statx", PV_SANDBOX_ANY, 0},
    /* The rest is the interface, and what ip(8) and resolvectl(1) ask of terminals. */
    {"ioctl", PV_SANDBOX_ANY, 0},
    /* Of the helper alone: lwIP's next process gives up more than the helper has. */
    {"seccomp", PV_SANDBOX_ANY, 0}};

/* Of the helper: the interface and its addresses (and the size of sockets' buffers), what may come
 * from the interface alone, ports below 1024, tasks as a user of their own. */
static const uint64_t helper_caps = CAP(CAP_NET_ADMIN) | CAP(CAP_NET_RAW) |
                                    CAP(CAP_NET_BIND_SERVICE) | CAP(CAP_SETUID) | CAP(CAP_SETGID);
/* Of the notifier: it runs programs as their owners, ends them, and looks at the way to them first,
 * which may lead through private directories. */
static const uint64_t notify_caps =
    CAP(CAP_SETUID) | CAP(CAP_SETGID) | CAP(CAP_KILL) | CAP(CAP_DAC_READ_SEARCH);
static const uint64_t usher_caps = CAP(CAP_SETUID) | CAP(CAP_SETGID);

/* The list of the calls is inherited by what runs later: the notifier has none, because it runs
 * programs of which nothing is known. */
int pv_helper_sandbox_as(enum pv_helper_role role, bool *ret_seccomp)
{
    const uint64_t caps = role == PV_HELPER_ROLE_HELPER   ? helper_caps
                          : role == PV_HELPER_ROLE_NOTIFY ? notify_caps
                          : role == PV_HELPER_ROLE_USHER  ? usher_caps
                                                          : 0;
    const unsigned usher_calls = PV_SANDBOX_CALLS_RUN | PV_SANDBOX_CALLS_SOCKETS |
                                 PV_SANDBOX_CALLS_UNIX | PV_SANDBOX_CALLS_SPAWN;
    const unsigned helper_calls = usher_calls | PV_SANDBOX_CALLS_FILES | PV_SANDBOX_CALLS_LOAD |
                                  PV_SANDBOX_CALLS_NETFILTER; /* the latter for nft */
    const unsigned calls = role == PV_HELPER_ROLE_HELPER ? helper_calls
                           : role == PV_HELPER_ROLE_USHER
                               ? usher_calls
                               : PV_SANDBOX_CALLS_RUN | PV_SANDBOX_CALLS_SOCKETS;
    int landlock;
    int r = pv_sandbox_become(NULL, caps);
    if (r == PV_OK)
        r = pv_sandbox_no_new_privs();
    /* The usher opens no file, and so none of its porters can; the giver and lwIP neither. */
    if (r == PV_OK && (role == PV_HELPER_ROLE_USHER || role == PV_HELPER_ROLE_GIVER ||
                       role == PV_HELPER_ROLE_STACK)) {
        const unsigned more =
            role == PV_HELPER_ROLE_STACK ? PV_SANDBOX_NO_SIGNALS | PV_SANDBOX_NO_ABSTRACT : 0;
        r = pv_sandbox_files(NULL, 0, PV_SANDBOX_NO_TCP_CONNECT | PV_SANDBOX_NO_TCP_BIND | more,
                             &landlock);
        r = r == PV_ERR_UNSUPPORTED ? PV_OK : r;
    }
    if (r == PV_OK && role == PV_HELPER_ROLE_STACK)
        r = pv_sandbox_calls(PV_SANDBOX_CALLS_RUN, stack_calls, PV_ARRAY_LEN(stack_calls));
    else if (r == PV_OK && role != PV_HELPER_ROLE_NOTIFY)
        r = pv_sandbox_calls(calls, user_calls,
                             PV_ARRAY_LEN(user_calls) - (role != PV_HELPER_ROLE_HELPER));
    if (ret_seccomp != NULL)
        *ret_seccomp = r == PV_OK && role != PV_HELPER_ROLE_NOTIFY;
    return r == PV_ERR_UNSUPPORTED ? PV_OK : r;
}
