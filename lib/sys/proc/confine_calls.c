/* SPDX-License-Identifier: MIT */
/*
 * confine_calls.c - the allow-list of system calls, by libseccomp. Names that this architecture or
 * this libseccomp does not know are passed over, so one list serves all.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "sys/proc/confine.h"

/* Each list ends with NULL. */
static const char *const run_calls[] = {
    /* open descriptors */
    "read", "write", "readv", "writev", "close", "close_range", "lseek", "_llseek", "fstat",
    "fstat64", "dup", "dup2", "dup3", "fcntl", "fcntl64", "pipe", "pipe2", "poll", "ppoll",
    "ppoll_time64", "select", "_newselect", "pselect6", "pselect6_time64", "epoll_create",
    "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd",
    "eventfd2", "signalfd", "signalfd4", "timerfd_create", "timerfd_settime", "timerfd_settime64",
    "timerfd_gettime", "timerfd_gettime64",
    /* memory */
    "brk", "munmap", "mremap", "madvise", "mlock", "mlock2", "munlock", "membarrier",
    /* threads */
    "futex", "futex_time64", "futex_waitv", "set_robust_list", "get_robust_list", "rseq",
    "set_tid_address", "set_thread_area", "arch_prctl", "sched_yield", "sched_getaffinity",
    "sched_setaffinity", "sched_getparam", "sched_getscheduler", "getcpu", "exit", "exit_group",
    "gettid", "tgkill",
    /* time */
    "clock_gettime", "clock_gettime64", "clock_getres", "clock_getres_time64", "clock_nanosleep",
    "clock_nanosleep_time64", "nanosleep", "gettimeofday", "time",
    /* this process */
    "getrandom", "getpid", "getppid", "getuid", "getuid32", "geteuid", "geteuid32", "getgid",
    "getgid32", "getegid", "getegid32", "getresuid", "getresuid32", "getresgid", "getresgid32",
    "getgroups", "getgroups32", "capget", "getrusage", "getrlimit", "ugetrlimit", "setrlimit",
    "sysinfo", "uname", "restart_syscall", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn",
    "sigreturn", "rt_sigtimedwait", "rt_sigtimedwait_time64", "rt_sigpending", "rt_sigsuspend",
    "sigaltstack", NULL};

static const char *const file_calls[] = {"open",
                                         "openat",
                                         "openat2",
                                         "creat",
                                         "stat",
                                         "stat64",
                                         "lstat",
                                         "lstat64",
                                         "newfstatat",
                                         "fstatat64",
                                         "statx",
                                         "access",
                                         "faccessat",
                                         "faccessat2",
                                         "readlink",
                                         "readlinkat",
                                         "getdents",
                                         "getdents64",
                                         "getcwd",
                                         "chdir",
                                         "fchdir",
                                         "mkdir",
                                         "mkdirat",
                                         "rmdir",
                                         "unlink",
                                         "unlinkat",
                                         "rename",
                                         "renameat",
                                         "renameat2",
                                         "link",
                                         "linkat",
                                         "symlink",
                                         "symlinkat",
                                         "truncate",
                                         "truncate64",
                                         "ftruncate",
                                         "ftruncate64",
                                         "fallocate",
                                         "fsync",
                                         "fdatasync",
                                         "sync_file_range",
                                         "pread64",
                                         "pwrite64",
                                         "preadv",
                                         "pwritev",
                                         "preadv2",
                                         "pwritev2",
                                         "fchmod",
                                         "chown",
                                         "fchown",
                                         "fchown32",
                                         "fchownat",
                                         "lchown",
                                         "flock",
                                         "statfs",
                                         "statfs64",
                                         "fstatfs",
                                         "fstatfs64",
                                         "utimensat",
                                         "utimensat_time64",
                                         "umask",
                                         "copy_file_range",
                                         "sendfile",
                                         "sendfile64",
                                         "splice",
                                         "fadvise64",
                                         "fadvise64_64",
                                         "inotify_init1",
                                         "inotify_add_watch",
                                         "inotify_rm_watch",
                                         NULL};

/* The calls that open a file to its user that its mode has closed: fchmod() needs it open
 * already. */
static const char *const mode_calls[] = {"chmod", "fchmodat", "fchmodat2", NULL};

static const char *const socket_calls[] = {
    "bind",        "listen",      "accept",          "accept4",    "connect",
    "getsockname", "getpeername", "getsockopt",      "setsockopt", "send",
    "sendto",      "sendmsg",     "sendmmsg",        "recv",       "recvfrom",
    "recvmsg",     "recvmmsg",    "recvmmsg_time64", "shutdown",   NULL};

static const char *const spawn_calls[] = {"fork",
                                          "vfork",
                                          "clone",
                                          "execve",
                                          "execveat",
                                          "wait4",
                                          "waitid",
                                          "waitpid",
                                          "kill",
                                          "tkill",
                                          "setsid",
                                          "setpgid",
                                          "getpgid",
                                          "getpgrp",
                                          "getsid",
                                          "pidfd_open",
                                          "pidfd_send_signal",
                                          "rt_sigqueueinfo",
                                          NULL};

#ifndef PV_SANITIZED
/* Calls that none of our programs makes after its start unless a group says so: an attempt is an
 * intruder, or a mistake that must not go unseen. In sanitizer builds any call outside the lists
 * is. */
static const char *const deadly_calls[] = {"execve",
                                           "execveat",
                                           "fork",
                                           "vfork",
                                           "ptrace",
                                           "process_vm_readv",
                                           "process_vm_writev",
                                           "kcmp",
                                           "pidfd_getfd",
                                           "bpf",
                                           "perf_event_open",
                                           "userfaultfd",
                                           "io_uring_setup",
                                           "mount",
                                           "umount2",
                                           "pivot_root",
                                           "chroot",
                                           "move_mount",
                                           "open_tree",
                                           "fsopen",
                                           "fsmount",
                                           "setns",
                                           "unshare",
                                           "init_module",
                                           "finit_module",
                                           "delete_module",
                                           "kexec_load",
                                           "kexec_file_load",
                                           "reboot",
                                           "swapon",
                                           "swapoff",
                                           "acct",
                                           "add_key",
                                           "request_key",
                                           "keyctl",
                                           "iopl",
                                           "ioperm",
                                           "settimeofday",
                                           "clock_settime",
                                           "clock_adjtime",
                                           "adjtimex",
                                           "sethostname",
                                           "setdomainname",
                                           "quotactl",
                                           "open_by_handle_at",
                                           "setuid",
                                           "setresuid",
                                           "setreuid",
                                           "setgid",
                                           "setresgid",
                                           "setregid",
                                           "setgroups",
                                           "capset",
                                           "mknod",
                                           "mknodat",
                                           NULL};
#else
/* The leak check stops all threads from a clone of the process, and reports are written with care.
 */
static const char *const sanitizer_calls[] = {"ptrace",
                                              "clone",
                                              "wait4",
                                              "kill",
                                              "tkill",
                                              "prctl",
                                              "process_vm_readv",
                                              "process_vm_writev",
                                              "personality",
                                              "ioctl",
                                              "getpgrp",
                                              "msync",
                                              "readlink",
                                              "readlinkat",
                                              "getdents64",
                                              "open",
                                              "openat",
                                              "stat",
                                              "newfstatat",
                                              "statx",
                                              "lstat",
                                              "getcwd",
                                              "pread64",
                                              NULL};
#endif

/* Adds a rule for a call by its name; c has the conditions on its arguments. */
static int add_rule(scmp_filter_ctx f, uint32_t action, const char *name, unsigned n,
                    const struct scmp_arg_cmp *c)
{
    int nr = seccomp_syscall_resolve_name(name);
    if (nr == __NR_SCMP_ERROR)
        return PV_OK;
    int r = seccomp_rule_add_array(f, action, nr, n, c);
    /* EDOM: not a call of this architecture. EEXIST: both lists have it. EACCES: the filter does so
     * with every call that no rule names. */
    return r == -EDOM || r == -EEXIST || r == -EACCES ? PV_OK : r;
}

static int add_all(scmp_filter_ctx f, uint32_t action, const char *const *names)
{
    int r = PV_OK;
    for (; *names != NULL && r == PV_OK; names++)
        r = add_rule(f, action, *names, 0, NULL);
    return r;
}

static int allow_all(scmp_filter_ctx f, const char *const *names)
{
    return add_all(f, SCMP_ACT_ALLOW, names);
}

static int allow_if(scmp_filter_ctx f, const char *name, int arg, uint64_t value)
{
    const struct scmp_arg_cmp c = {.arg = (unsigned)arg, .op = SCMP_CMP_EQ, .datum_a = value};
    return add_rule(f, SCMP_ACT_ALLOW, name, arg == PV_CONFINE_ANY ? 0 : 1, &c);
}

/* Threads and nothing else by clone(); the flags of clone3() are in memory, where a filter cannot
 * look, and libc goes back to clone() when it does not exist. */
static int allow_threads(scmp_filter_ctx f)
{
    static const int questions[] = {PR_SET_NAME,    PR_GET_NAME,     PR_GET_NO_NEW_PRIVS,
                                    PR_GET_SECCOMP, PR_GET_DUMPABLE, 0x53564d41 /* PR_SET_VMA */};
    static const unsigned requests[] = {FIONREAD, FIONBIO, TCGETS, TIOCGWINSZ};
#ifdef __s390x__
    const unsigned flags_at = 1;
#else
    const unsigned flags_at = 0;
#endif
    const struct scmp_arg_cmp c = {.arg = flags_at,
                                   .op = SCMP_CMP_MASKED_EQ,
                                   .datum_a = CLONE_THREAD,
                                   .datum_b = CLONE_THREAD};
    int r = add_rule(f, SCMP_ACT_ALLOW, "clone", 1, &c);
    if (r == PV_OK)
        r = add_rule(f, SCMP_ACT_ERRNO(ENOSYS), "clone3", 0, NULL);
    /* Its own limits: those of other processes of the same user, another network's daemon among
     * them, end these, and no Landlock keeps it from that. */
    if (r == PV_OK)
        r = allow_if(f, "prlimit64", 0, 0);
    for (size_t i = 0; i < PV_ARRAY_LEN(questions) && r == PV_OK; i++)
        r = allow_if(f, "prctl", 0, (uint64_t)questions[i]);
    for (size_t i = 0; i < PV_ARRAY_LEN(requests) && r == PV_OK; i++)
        r = allow_if(f, "ioctl", 1, requests[i]);
    return r;
}

/* Written or run, never both; and run only by who loads programs. mmap() of s390x, and that of old
 * 32-bit machines beside mmap2(), has its arguments in memory, where a filter cannot look. */
static int allow_memory(scmp_filter_ctx f, bool load)
{
    enum {
        PROT_AT = 2
    };
    const struct scmp_arg_cmp no_exec = {
        .arg = PROT_AT, .op = SCMP_CMP_MASKED_EQ, .datum_a = PROT_EXEC, .datum_b = 0};
    const struct scmp_arg_cmp no_write = {
        .arg = PROT_AT, .op = SCMP_CMP_MASKED_EQ, .datum_a = PROT_WRITE, .datum_b = 0};
#ifdef __NR_mmap2
    static const char map[] = "mmap2";
#else
    static const char map[] = "mmap";
#endif
#ifdef __s390x__
    int r = add_rule(f, SCMP_ACT_ALLOW, map, 0, NULL);
#else
    int r = add_rule(f, SCMP_ACT_ALLOW, map, 1, &no_exec);
    if (r == PV_OK && load)
        r = add_rule(f, SCMP_ACT_ALLOW, map, 1, &no_write);
#endif
    return r < 0 ? r : add_rule(f, SCMP_ACT_ALLOW, "mprotect", 1, &no_exec);
}

static int allow_socket(scmp_filter_ctx f, int family, int protocol)
{
    const struct scmp_arg_cmp c[] = {
        {.arg = 0, .op = SCMP_CMP_EQ, .datum_a = (uint64_t)family},
        {.arg = 2, .op = SCMP_CMP_EQ, .datum_a = (uint64_t)protocol},
    };
    return add_rule(f, SCMP_ACT_ALLOW, "socket", PV_ARRAY_LEN(c), c);
}

/* A pair of streams stays what it is, while a datagram socket can be connected anew, to whatever
 * listens on this machine. libc asks for unix sockets and does without. */
static int allow_unix(scmp_filter_ctx f, bool all)
{
    const struct scmp_arg_cmp unix_socket = {.arg = 0, .op = SCMP_CMP_EQ, .datum_a = AF_UNIX};
    if (!all) {
        int r = allow_if(f, "socketpair", 1, SOCK_STREAM | SOCK_CLOEXEC);
        return r < 0 ? r : add_rule(f, SCMP_ACT_ERRNO(EACCES), "socket", 1, &unix_socket);
    }
    int r = add_rule(f, SCMP_ACT_ALLOW, "socketpair", 0, NULL);
    return r < 0 ? r : add_rule(f, SCMP_ACT_ALLOW, "socket", 1, &unix_socket);
}

/* Families and protocols that have had holes, and that nothing of ours speaks, stay out of reach:
 * whoever opens one has the kernel load it. */
static int allow_sockets(scmp_filter_ctx f, bool unix_too)
{
    static const int families[] = {AF_INET, AF_INET6};
    static const int protocols[] = {0 /* of the type */, IPPROTO_TCP, IPPROTO_UDP};
    /* Routes; and whose a socket of this machine is, which anybody may ask. */
    static const int netlink[] = {NETLINK_ROUTE, NETLINK_SOCK_DIAG};
    int r = allow_all(f, socket_calls);
    for (size_t i = 0; i < PV_ARRAY_LEN(families) * PV_ARRAY_LEN(protocols) && r == PV_OK; i++)
        r = allow_socket(f, families[i / PV_ARRAY_LEN(protocols)],
                         protocols[i % PV_ARRAY_LEN(protocols)]);
    for (size_t i = 0; i < PV_ARRAY_LEN(netlink) && r == PV_OK; i++)
        r = allow_socket(f, AF_NETLINK, netlink[i]);
    return r < 0 ? r : allow_unix(f, unix_too);
}

#ifndef PV_SANITIZED
static bool is_listed(const char *const *names, const char *name)
{
    for (; *names != NULL; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

/* A call that was allowed with some arguments only is refused with the others, not deadly. */
static int add_deadly(scmp_filter_ctx f, unsigned groups, const struct pv_confine_call *more,
                      size_t n)
{
    int r = PV_OK;
    for (const char *const *name = deadly_calls; *name != NULL && r == PV_OK; name++) {
        bool wanted = (groups & PV_CONFINE_CALLS_SPAWN) != 0 && is_listed(spawn_calls, *name);
        for (size_t i = 0; i < n && !wanted; i++)
            wanted = strcmp(more[i].name, *name) == 0;
        if (!wanted)
            r = add_rule(f, SCMP_ACT_KILL_PROCESS, *name, 0, NULL);
    }
    return r;
}
#endif

static int fill(scmp_filter_ctx f, unsigned groups, const struct pv_confine_call *more, size_t n)
{
    int r = PV_OK;
    if ((groups & PV_CONFINE_CALLS_SPAWN) != 0) /* before clone's rule for threads, which is less */
        r = allow_all(f, spawn_calls);
    if (r == PV_OK && (groups & PV_CONFINE_CALLS_RUN) != 0)
        r = allow_all(f, run_calls);
    if (r == PV_OK && (groups & PV_CONFINE_CALLS_RUN) != 0)
        r = allow_threads(f);
    if (r == PV_OK && (groups & PV_CONFINE_CALLS_RUN) != 0)
        r = allow_memory(f, (groups & PV_CONFINE_CALLS_LOAD) != 0);
    if (r == PV_OK && (groups & PV_CONFINE_CALLS_FILES) != 0)
        r = allow_all(f, file_calls);
    if (r == PV_OK)
        r = add_all(f,
                    (groups & PV_CONFINE_CALLS_MODES) != 0 ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM),
                    mode_calls);
    if (r == PV_OK && (groups & PV_CONFINE_CALLS_SOCKETS) != 0)
        r = allow_sockets(f, (groups & PV_CONFINE_CALLS_UNIX) != 0);
    if (r == PV_OK && (groups & PV_CONFINE_CALLS_NETFILTER) != 0)
        r = allow_socket(f, AF_NETLINK, NETLINK_NETFILTER);
    for (size_t i = 0; i < n && r == PV_OK; i++)
        r = allow_if(f, more[i].name, more[i].arg, more[i].value);
#ifdef PV_SANITIZED
    return r < 0 ? r : allow_all(f, sanitizer_calls);
#else
    return r < 0 ? r : add_deadly(f, groups, more, n);
#endif
}

int pv_confine_calls(unsigned groups, const struct pv_confine_call *more, size_t n)
{
    enum {
        KILLS_PROCESSES = 3 /* seccomp_api_get(3): Linux 4.14 */
    };
    /* A container or a unit may forbid seccomp(2): then libseccomp counts as that of an old kernel.
     */
    if (seccomp_api_get() < KILLS_PROCESSES)
        return PV_ERR_UNSUPPORTED;
#ifdef PV_SANITIZED
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
#else
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
#endif
    if (f == NULL)
        return PV_ERR_NOMEM;
    int r = fill(f, groups, more, n);
    if (r == 0)
        r = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
    if (r == 0) /* a tree: the cost of a call does not depend on its place in the list */
        (void)seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (r == 0)
        r = seccomp_load(f);
    seccomp_release(f);
    if (r == -ENOMEM)
        return PV_ERR_NOMEM;
    /* ECANCELED is libseccomp's word for whatever the kernel said: it has no seccomp, or the list
     * of a container or a unit does not allow it. */
    return r == -EINVAL || r == -ENOSYS || r == -ECANCELED ? PV_ERR_UNSUPPORTED : r;
}
