/* SPDX-License-Identifier: MIT */
/*
 * sandbox.c - becoming another user without capabilities, which files and system calls a process
 * gives up, and saying what is in force.
 */
#include "sys/proc/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <linux/securebits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <nss.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/text.h"

enum {
    CAP_WORDS = _LINUX_CAPABILITY_U32S_3,
};

/* --- users ---------------------------------------------------------------------------------- */

void pv_sandbox_libc(void)
{
#ifdef PV_STATIC
    /* Each database is known and each service built in, so that it cannot fail. */
    (void)__nss_configure_lookup("passwd", "files");
    (void)__nss_configure_lookup("group", "files");
    (void)__nss_configure_lookup("hosts", "files dns");
#endif
}

int pv_sandbox_find_user(const char *name, struct pv_sandbox_user *ret_user)
{
    const struct passwd *entry = getpwnam(name);
    if (entry == NULL)
        return PV_ERR_NOT_FOUND;
    *ret_user = (struct pv_sandbox_user){.uid = entry->pw_uid, .gid = entry->pw_gid};
    snprintf(ret_user->name, sizeof(ret_user->name), "%s", name);
    return PV_OK;
}

static bool is_taken(uid_t uid)
{
    return getpwuid(uid) != NULL || getgrgid(uid) != NULL;
}

/* The number depends on the name alone, so that files of an earlier run have the right owner. */
int pv_sandbox_spare_user(const char *name, struct pv_sandbox_user *ret_user)
{
    const uint32_t n = PV_SANDBOX_SPARE_LAST - PV_SANDBOX_SPARE_FIRST + 1;
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (const char *c = name; *c != '\0'; c++)
        hash = (hash ^ (uint8_t)*c) * 16777619u;
    for (uint32_t i = 0; i < n; i++) {
        uid_t uid = PV_SANDBOX_SPARE_FIRST + (hash + i) % n;
        if (is_taken(uid))
            continue;
        *ret_user = (struct pv_sandbox_user){.uid = uid, .gid = uid};
        snprintf(ret_user->name, sizeof(ret_user->name), "%u", (unsigned)uid);
        return PV_OK;
    }
    return PV_ERR_NOT_FOUND;
}

/* --- capabilities --------------------------------------------------------------------------- */

static int read_caps(uint64_t *ret_permitted, uint64_t *ret_effective)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[CAP_WORDS] = {{0}};
    if (syscall(SYS_capget, &header, data) < 0)
        return -errno;
    *ret_permitted = (uint64_t)data[1].permitted << 32 | data[0].permitted;
    *ret_effective = (uint64_t)data[1].effective << 32 | data[0].effective;
    return PV_OK;
}

/* caps: what this process has; inherited: what it may hand to the programs that it runs. */
static int write_caps(uint64_t caps, uint64_t inherited)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[CAP_WORDS] = {{.effective = (uint32_t)caps,
                                                      .permitted = (uint32_t)caps,
                                                      .inheritable = (uint32_t)inherited},
                                                     {.effective = (uint32_t)(caps >> 32),
                                                      .permitted = (uint32_t)(caps >> 32),
                                                      .inheritable = (uint32_t)(inherited >> 32)}};
    return syscall(SYS_capset, &header, data) < 0 ? -errno : PV_OK;
}

/* A program that root runs has the capabilities of the bounding set; one that another user runs has
 * the ambient ones only (since Linux 4.3). */
static int write_ambient(uint64_t caps)
{
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (unsigned long cap = 0; cap < 64; cap++)
        if ((caps >> cap & 1) != 0 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
            return -errno;
    return PV_OK;
}

/* The bounding set is what an exec of root's may have at most. Without CAP_SETPCAP there is nothing
 * to take away; the kernel ends the list of capabilities with EINVAL. */
static int drop_bounding(uint64_t keep)
{
    for (unsigned long cap = 0; cap < 64; cap++) {
        if ((keep >> cap & 1) != 0)
            continue;
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return errno == EINVAL || errno == EPERM ? PV_OK : -errno;
    }
    return PV_OK;
}

/* The kernel takes all capabilities when the last uid of root's goes, unless told to keep them:
 * they are dropped by write_caps() after that. */
static int change_user(const struct pv_sandbox_user *user, uint64_t caps)
{
    if (prctl(PR_SET_KEEPCAPS, caps != 0 ? 1 : 0, 0, 0, 0) < 0 || setgroups(0, NULL) < 0 ||
        setresgid(user->gid, user->gid, user->gid) < 0 ||
        setresuid(user->uid, user->uid, user->uid) < 0)
        return -errno;
    return PV_OK;
}

void pv_sandbox_choose_user(const char *name, struct pv_sandbox_user *ret_user)
{
    const uint64_t needed = (uint64_t)1 << CAP_SETUID | (uint64_t)1 << CAP_SETGID |
                            (uint64_t)1 << CAP_CHOWN | (uint64_t)1 << CAP_DAC_OVERRIDE;
    struct pv_sandbox_report now;
    pv_sandbox_read(&now, false, 0);
    *ret_user = now.user;
    if ((now.caps & needed) != needed) {
        /* A unit has started it as that user already. */
        struct pv_sandbox_user own;
        if (pv_sandbox_find_user(name, &own) == PV_OK && own.uid == now.user.uid)
            *ret_user = own;
        return;
    }
    if (pv_sandbox_find_user(name, ret_user) < 0 && pv_sandbox_spare_user(name, ret_user) < 0)
        *ret_user = now.user;
}

int pv_sandbox_become(const struct pv_sandbox_user *user, uint64_t caps)
{
    uint64_t permitted = 0, effective = 0;
    int r = read_caps(&permitted, &effective);
    if (r == PV_OK)
        r = drop_bounding(caps);
    if (r == PV_OK && user != NULL)
        r = change_user(user, caps);
    uint64_t inherited = user == NULL && geteuid() != 0 ? caps & permitted : 0;
    if (r == PV_OK)
        r = write_caps(caps & permitted, inherited);
    if (r == PV_OK)
        r = write_ambient(inherited);
    if (r < 0)
        return r;
    (void)prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
#ifdef PV_SANITIZED
    (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
#else
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
    /* Never trust the calls alone: who can become root again has changed nothing. */
    if (user != NULL && user->uid != 0 && setresuid(0, 0, 0) == 0)
        return -EPERM;
    return PV_OK;
}

int pv_sandbox_no_new_privs(void)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : PV_OK;
}

int pv_sandbox_limit(int what, uint64_t most)
{
    struct rlimit lim;
    if (getrlimit((__rlimit_resource_t)what, &lim) < 0)
        return -errno;
    if (lim.rlim_max > most)
        lim.rlim_max = most;
    lim.rlim_cur = lim.rlim_max;
    return setrlimit((__rlimit_resource_t)what, &lim) < 0 ? -errno : PV_OK;
}

/* --- what is in force ----------------------------------------------------------------------- */

/* The names come by number: after sandbox the data base may be out of reach. */
void pv_sandbox_read(struct pv_sandbox_report *ret_report, bool seccomp, int landlock)
{
    struct pv_sandbox_report r = {
        .user = {.uid = geteuid(), .gid = getegid()}, .seccomp = seccomp, .landlock = landlock};
    uint64_t permitted = 0, effective = 0;
    if (read_caps(&permitted, &effective) == PV_OK)
        r.caps = permitted | effective;
    r.no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
    snprintf(r.user.name, sizeof(r.user.name), r.user.uid == 0 ? "root" : "%u",
             (unsigned)r.user.uid);
    *ret_report = r;
}

/* The few capabilities that our programs keep, by name; others by number. */
static void format_caps(uint64_t caps, char *dst, size_t size)
{
    static const struct {
        unsigned cap;
        const char *name;
    } names[] = {{CAP_NET_ADMIN, "CAP_NET_ADMIN"},
                 {CAP_NET_RAW, "CAP_NET_RAW"},
                 {CAP_NET_BIND_SERVICE, "CAP_NET_BIND_SERVICE"},
                 {CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH"},
                 {CAP_IPC_LOCK, "CAP_IPC_LOCK"},
                 {CAP_SETUID, "CAP_SETUID"},
                 {CAP_SETGID, "CAP_SETGID"}};
    struct pv_text list = pv_text_in(dst, size);
    for (size_t i = 0; i < PV_ARRAY_LEN(names); i++) {
        uint64_t bit = (uint64_t)1 << names[i].cap;
        if ((caps & bit) != 0) {
            pv_text_part(&list, " ");
            pv_text_add(&list, "%s", names[i].name);
        }
        caps &= ~bit;
    }
    if (caps == 0)
        return;
    pv_text_part(&list, " ");
    pv_text_add(&list, "capabilities %llx", (unsigned long long)caps);
}

const char *pv_sandbox_format(const struct pv_sandbox_report *report,
                              char ret_text[static PV_SANDBOX_TEXT_MAX])
{
    char caps[128];
    char uid[16] = "";
    format_caps(report->caps, caps, sizeof(caps));
    const char *landlock =
        PV_STR(report->landlock > 0 ? "Landlock %d" : "no Landlock", report->landlock);
    if (report->user.name[0] < '0' || report->user.name[0] > '9')
        snprintf(uid, sizeof(uid), " (%u)", (unsigned)report->user.uid);
    snprintf(ret_text, PV_SANDBOX_TEXT_MAX, "user %s%s, %s, %s, %s, %s", report->user.name, uid,
             report->caps == 0 ? "no capabilities" : caps,
             report->no_new_privs ? "no new privileges" : "new privileges by exec",
             report->seccomp ? "seccomp" : "no seccomp", landlock);
    return ret_text;
}

/* --- files: Landlock ------------------------------------------------------------------------- */

/* Its three system calls, and the constants and structures of the kernel's linux/landlock.h
 * (versions 1 to 6), stand here: older headers lack them, glibc has no wrappers. */

/* The numbers are the same on every architecture (Linux 5.13). */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule       445
#define SYS_landlock_restrict_self  446
#endif

enum {
    CREATE_VERSION = 1 << 0, /* flag of create_ruleset: only say which version there is */
    RULE_PATH_BENEATH = 1,   /* type of add_rule */
    FS_EXECUTE = 1 << 0,
    FS_WRITE_FILE = 1 << 1,
    FS_READ_FILE = 1 << 2,
    FS_READ_DIR = 1 << 3,
    FS_REMOVE_DIR = 1 << 4,
    FS_REMOVE_FILE = 1 << 5,
    FS_MAKE_DIR = 1 << 7,
    FS_MAKE_REG = 1 << 8,
    FS_MAKE_SOCK = 1 << 9,
    FS_MAKE_SYM = 1 << 12,
    FS_REFER = 1 << 13,     /* version 2: rename and link between directories */
    FS_TRUNCATE = 1 << 14,  /* version 3 */
    FS_IOCTL_DEV = 1 << 15, /* version 5 */
    NET_BIND_TCP = 1 << 0,  /* version 4 */
    NET_CONNECT_TCP = 1 << 1,
    SCOPE_ABSTRACT = 1 << 0, /* version 6 */
    SCOPE_SIGNAL = 1 << 1,
};

struct ruleset_attr {
    uint64_t handled_access_fs;
    uint64_t handled_access_net;
    uint64_t scoped;
};

struct path_beneath_attr {
    uint64_t allowed_access;
    int32_t parent_fd;
} __attribute__((packed));

/* The directory of resolv.conf and not the file: whatever sets up the network replaces it. */
const struct pv_sandbox_path pv_sandbox_resolver[] = {
    {"/etc", PV_SANDBOX_READ},
    {"/run/systemd/resolve", PV_SANDBOX_READ},
    {"/run/resolvconf", PV_SANDBOX_READ},
    {"/run/NetworkManager", PV_SANDBOX_READ},
    {"/usr/lib", PV_SANDBOX_READ | PV_SANDBOX_EXEC},
    {"/lib", PV_SANDBOX_READ | PV_SANDBOX_EXEC},
    {"/lib64", PV_SANDBOX_READ | PV_SANDBOX_EXEC},
};
const size_t pv_sandbox_n_resolver = PV_ARRAY_LEN(pv_sandbox_resolver);

#ifdef PV_SANITIZED
/* The files that reports of sanitizers and their leak check read. */
static const struct pv_sandbox_path sanitizer[] = {{"/proc", PV_SANDBOX_READ},
                                                   {"/sys/kernel/mm", PV_SANDBOX_READ},
                                                   {"/usr", PV_SANDBOX_READ | PV_SANDBOX_EXEC}};
#endif

static uint64_t known_fs(int abi)
{
    uint64_t all = (FS_MAKE_SYM << 1) - 1; /* version 1 */
    all |= abi >= 2 ? FS_REFER : 0;
    all |= abi >= 3 ? FS_TRUNCATE : 0;
    all |= abi >= 5 ? FS_IOCTL_DEV : 0;
    return all;
}

static struct ruleset_attr make_attr(int abi, unsigned deny)
{
    struct ruleset_attr a = {.handled_access_fs = known_fs(abi)};
    if (abi >= 4)
        a.handled_access_net = ((deny & PV_SANDBOX_NO_TCP_BIND) != 0 ? NET_BIND_TCP : 0u) |
                               ((deny & PV_SANDBOX_NO_TCP_CONNECT) != 0 ? NET_CONNECT_TCP : 0u);
    if (abi >= 6)
        a.scoped = ((deny & PV_SANDBOX_NO_ABSTRACT) != 0 ? SCOPE_ABSTRACT : 0u) |
                   ((deny & PV_SANDBOX_NO_SIGNALS) != 0 ? SCOPE_SIGNAL : 0u);
    return a;
}

/* A rule for a file may only hold what can be done to a file. */
static uint64_t rights_of(unsigned access, bool is_dir)
{
    const uint64_t of_files =
        FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV;
    uint64_t rights = 0;
    if ((access & PV_SANDBOX_READ) != 0)
        rights |= FS_READ_FILE | FS_READ_DIR;
    if ((access & PV_SANDBOX_WRITE) != 0)
        rights |= FS_WRITE_FILE | FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG |
                  FS_MAKE_SOCK | FS_MAKE_SYM | FS_REFER | FS_TRUNCATE | FS_IOCTL_DEV;
    if ((access & PV_SANDBOX_EXEC) != 0)
        rights |= FS_EXECUTE;
    return is_dir ? rights : rights & of_files;
}

static int add_path(int ruleset, const struct pv_sandbox_path *path, uint64_t known)
{
    struct stat st;
    int fd = open(path->path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? PV_OK : -errno;
    int r = fstat(fd, &st) < 0 ? -errno : PV_OK;
    struct path_beneath_attr rule = {.parent_fd = fd};
    if (r == PV_OK) {
        rule.allowed_access = rights_of(path->access, S_ISDIR(st.st_mode)) & known;
        if (syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0) < 0)
            r = -errno;
    }
    close(fd);
    return r;
}

static int add_paths(int ruleset, const struct pv_sandbox_path *paths, size_t n, uint64_t known)
{
    int r = PV_OK;
    for (size_t i = 0; i < n && r == PV_OK; i++)
        r = add_path(ruleset, &paths[i], known);
    return r;
}

int pv_sandbox_files(const struct pv_sandbox_path *paths, size_t n, unsigned deny, int *ret_abi)
{
    *ret_abi = 0;
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);
    if (abi <= 0)
        /* EPERM: the list of a container or a unit has none of these calls. */
        return errno == ENOSYS || errno == EOPNOTSUPP || errno == EPERM ? PV_ERR_UNSUPPORTED
                                                                        : -errno;
    struct ruleset_attr attr = make_attr((int)abi, deny);
    /* A kernel takes a longer structure than its own when the rest is zero. */
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
    if (ruleset < 0)
        return -errno;
    int r = add_paths(ruleset, paths, n, attr.handled_access_fs);
#ifdef PV_SANITIZED
    if (r == PV_OK)
        r = add_paths(ruleset, sanitizer, PV_ARRAY_LEN(sanitizer), attr.handled_access_fs);
#endif
    if (r == PV_OK && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        r = -errno;
    close(ruleset);
    if (r == PV_OK)
        *ret_abi = (int)abi;
    return r;
}

/* --- system calls: the allow-list, by libseccomp --------------------------------------------- */

/* Names that this architecture or this libseccomp does not know are passed over, so one list serves
 * all. */

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
    "bind",        "listen",          "accept",     "accept4",  "connect",
    "getsockname", "getpeername",     "getsockopt", "send",     "sendto",
    "sendmsg",     "sendmmsg",        "recv",       "recvfrom", "recvmsg",
    "recvmmsg",    "recvmmsg_time64", "shutdown",   NULL};

struct option {
    int level, name;
};

/* Sockets of lib/sys/net and of daemon/io have these. */
static const struct option options[] = {
    {SOL_SOCKET, SO_REUSEADDR},
    {SOL_SOCKET, SO_KEEPALIVE},
    {SOL_SOCKET, SO_RCVBUF},
    {SOL_SOCKET, SO_SNDBUF},
    {SOL_SOCKET, SO_RCVTIMEO},
    {SOL_SOCKET, SO_TIMESTAMPNS},
    {SOL_SOCKET, SO_BINDTODEVICE},
    {IPPROTO_TCP, TCP_NODELAY},
    {IPPROTO_TCP, TCP_MAXSEG},
    {IPPROTO_TCP, TCP_USER_TIMEOUT},
    {IPPROTO_TCP, TCP_NOTSENT_LOWAT},
    {IPPROTO_UDP, UDP_GRO},
    {IPPROTO_IP, IP_PKTINFO},
    {IPPROTO_IP, IP_RECVERR},
    {IPPROTO_IP, IP_RECVTOS},
    {IPPROTO_IP, IP_RECVTTL},
    {IPPROTO_IP, IP_MTU_DISCOVER},
    {IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT},
    {IPPROTO_IPV6, IPV6_V6ONLY},
    {IPPROTO_IPV6, IPV6_RECVPKTINFO},
    {IPPROTO_IPV6, IPV6_RECVERR},
    {IPPROTO_IPV6, IPV6_RECVTCLASS},
    {IPPROTO_IPV6, IPV6_RECVHOPLIMIT},
    {IPPROTO_IPV6, IPV6_MTU_DISCOVER},
    {SOL_NETLINK, NETLINK_GET_STRICT_CHK},
};

/* Those that are tried first where a capability may be there. */
static const struct option tried_options[] = {
    {SOL_SOCKET, SO_MARK},
    {SOL_SOCKET, SO_RCVBUFFORCE},
    {SOL_SOCKET, SO_SNDBUFFORCE},
};

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
    return add_rule(f, SCMP_ACT_ALLOW, name, arg == PV_SANDBOX_ANY ? 0 : 1, &c);
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
    /* Only its own limits may be changed: with the limits of other processes of the same user,
     * another network's daemon among them, it could end these, and no Landlock keeps it from
     * that. */
    if (r == PV_OK)
        r = allow_if(f, "prlimit64", 0, 0);
    for (size_t i = 0; i < PV_ARRAY_LEN(questions) && r == PV_OK; i++)
        r = allow_if(f, "prctl", 0, (uint64_t)questions[i]);
    for (size_t i = 0; i < PV_ARRAY_LEN(requests) && r == PV_OK; i++)
        r = allow_if(f, "ioctl", 1, requests[i]);
    return r;
}

/* Memory is written or run, never both, and run only by a process that loads programs. mmap() of
 * s390x, and of old 32-bit machines beside mmap2(), has its arguments in memory, where a filter
 * cannot look. */
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

static int add_options(scmp_filter_ctx f, uint32_t action, const struct option *list, size_t n)
{
    int r = PV_OK;
    for (size_t i = 0; i < n && r == PV_OK; i++) {
        const struct scmp_arg_cmp c[] = {
            {.arg = 1, .op = SCMP_CMP_EQ, .datum_a = (uint64_t)list[i].level},
            {.arg = 2, .op = SCMP_CMP_EQ, .datum_a = (uint64_t)list[i].name},
        };
        r = add_rule(f, action, "setsockopt", PV_ARRAY_LEN(c), c);
    }
    return r;
}

/* The owner of a user namespace has all capabilities over it, so the control process of `p2pvpnd
 * --user` has them over sockets of the inside: to the packet filter, say, that is an option. */
static int allow_options(scmp_filter_ctx f)
{
    int r = add_options(f, SCMP_ACT_ALLOW, options, PV_ARRAY_LEN(options));
    return r < 0
               ? r
               : add_options(f, SCMP_ACT_ERRNO(EPERM), tried_options, PV_ARRAY_LEN(tried_options));
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
    if (r == PV_OK)
        r = unix_too ? add_rule(f, SCMP_ACT_ALLOW, "setsockopt", 0, NULL) : allow_options(f);
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
static int add_deadly(scmp_filter_ctx f, unsigned groups, const struct pv_sandbox_call *more,
                      size_t n)
{
    int r = PV_OK;
    for (const char *const *name = deadly_calls; *name != NULL && r == PV_OK; name++) {
        bool wanted = (groups & PV_SANDBOX_CALLS_SPAWN) != 0 && is_listed(spawn_calls, *name);
        for (size_t i = 0; i < n && !wanted; i++)
            wanted = strcmp(more[i].name, *name) == 0;
        if (!wanted)
            r = add_rule(f, SCMP_ACT_KILL_PROCESS, *name, 0, NULL);
    }
    return r;
}
#endif

static int fill(scmp_filter_ctx f, unsigned groups, const struct pv_sandbox_call *more, size_t n)
{
    int r = PV_OK;
    if ((groups & PV_SANDBOX_CALLS_SPAWN) != 0) /* before clone's rule for threads, which is less */
        r = allow_all(f, spawn_calls);
    if (r == PV_OK && (groups & PV_SANDBOX_CALLS_RUN) != 0)
        r = allow_all(f, run_calls);
    if (r == PV_OK && (groups & PV_SANDBOX_CALLS_RUN) != 0)
        r = allow_threads(f);
    if (r == PV_OK && (groups & PV_SANDBOX_CALLS_RUN) != 0)
        r = allow_memory(f, (groups & PV_SANDBOX_CALLS_LOAD) != 0);
    if (r == PV_OK && (groups & PV_SANDBOX_CALLS_FILES) != 0)
        r = allow_all(f, file_calls);
    if (r == PV_OK)
        r = add_all(f,
                    (groups & PV_SANDBOX_CALLS_MODES) != 0 ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM),
                    mode_calls);
    if (r == PV_OK && (groups & PV_SANDBOX_CALLS_SOCKETS) != 0)
        r = allow_sockets(f, (groups & PV_SANDBOX_CALLS_UNIX) != 0);
    if (r == PV_OK && (groups & PV_SANDBOX_CALLS_NETFILTER) != 0)
        r = allow_socket(f, AF_NETLINK, NETLINK_NETFILTER);
    for (size_t i = 0; i < n && r == PV_OK; i++)
        r = allow_if(f, more[i].name, more[i].arg, more[i].value);
#ifdef PV_SANITIZED
    return r < 0 ? r : allow_all(f, sanitizer_calls);
#else
    return r < 0 ? r : add_deadly(f, groups, more, n);
#endif
}

int pv_sandbox_calls(unsigned groups, const struct pv_sandbox_call *more, size_t n)
{
    enum {
        KILLS_PROCESSES = 3 /* seccomp_api_get(3): Linux 4.14 */
    };
    /* A container or a unit may forbid seccomp(2). libseccomp then behaves as on an old kernel. */
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
