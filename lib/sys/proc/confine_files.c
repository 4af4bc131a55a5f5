/* SPDX-License-Identifier: MIT */
/*
 * confine_files.c - Landlock by its three system calls. The constants and structures of the
 * kernel's linux/landlock.h (versions 1 to 6) stand here: older headers lack them, glibc has no
 * wrappers.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/proc/confine.h"

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
const struct pv_confine_path pv_confine_resolver[] = {
    {"/etc", PV_CONFINE_READ},
    {"/run/systemd/resolve", PV_CONFINE_READ},
    {"/run/resolvconf", PV_CONFINE_READ},
    {"/run/NetworkManager", PV_CONFINE_READ},
    {"/usr/lib", PV_CONFINE_READ | PV_CONFINE_EXEC},
    {"/lib", PV_CONFINE_READ | PV_CONFINE_EXEC},
    {"/lib64", PV_CONFINE_READ | PV_CONFINE_EXEC},
};
const size_t pv_confine_n_resolver = PV_ARRAY_LEN(pv_confine_resolver);

#ifdef PV_SANITIZED
/* The files that reports of sanitizers and their leak check read. */
static const struct pv_confine_path sanitizer[] = {{"/proc", PV_CONFINE_READ},
                                                   {"/sys/kernel/mm", PV_CONFINE_READ},
                                                   {"/usr", PV_CONFINE_READ | PV_CONFINE_EXEC}};
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
        a.handled_access_net = ((deny & PV_CONFINE_NO_TCP_BIND) != 0 ? NET_BIND_TCP : 0u) |
                               ((deny & PV_CONFINE_NO_TCP_CONNECT) != 0 ? NET_CONNECT_TCP : 0u);
    if (abi >= 6)
        a.scoped = ((deny & PV_CONFINE_NO_ABSTRACT) != 0 ? SCOPE_ABSTRACT : 0u) |
                   ((deny & PV_CONFINE_NO_SIGNALS) != 0 ? SCOPE_SIGNAL : 0u);
    return a;
}

/* A rule for a file may only hold what can be done to a file. */
static uint64_t rights_of(unsigned access, bool is_dir)
{
    const uint64_t of_files =
        FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV;
    uint64_t rights = 0;
    if ((access & PV_CONFINE_READ) != 0)
        rights |= FS_READ_FILE | FS_READ_DIR;
    if ((access & PV_CONFINE_WRITE) != 0)
        rights |= FS_WRITE_FILE | FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG |
                  FS_MAKE_SOCK | FS_MAKE_SYM | FS_REFER | FS_TRUNCATE | FS_IOCTL_DEV;
    if ((access & PV_CONFINE_EXEC) != 0)
        rights |= FS_EXECUTE;
    return is_dir ? rights : rights & of_files;
}

static int add_path(int ruleset, const struct pv_confine_path *path, uint64_t known)
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

static int add_paths(int ruleset, const struct pv_confine_path *paths, size_t n, uint64_t known)
{
    int r = PV_OK;
    for (size_t i = 0; i < n && r == PV_OK; i++)
        r = add_path(ruleset, &paths[i], known);
    return r;
}

int pv_confine_files(const struct pv_confine_path *paths, size_t n, unsigned deny, int *ret_abi)
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
