/* SPDX-License-Identifier: MIT */
/*
 * rights.c - from root to the user p2pvpn. The state directory changes its owner first; afterwards
 * root opens nothing in it any more, for its new owner could put a link there.
 */
#include "daemon/rights.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/file/file.h"
#include "sys/file/userdirs.h"
#include "sys/net/unixsock.h"

#define USER "p2pvpn"

enum {
    LOCKED_MAX = 64 << 20, /* bytes of locked memory, for keys: far more than they need */
    PATHS_MAX = 14,
};

bool pv_rights_suffice(void)
{
    struct pv_sandbox_report now;
    pv_sandbox_read(&now, false, 0);
    return now.user.uid == 0 || (now.caps >> CAP_NET_ADMIN & 1) != 0;
}

void pv_rights_choose(struct pv_sandbox_user *ret_user)
{
    pv_sandbox_choose_user(USER, ret_user);
}

uint32_t pv_rights_own_uid(const struct pv_sandbox_user *user)
{
    bool spare = user->uid >= PV_SANDBOX_SPARE_FIRST && user->uid <= PV_SANDBOX_SPARE_LAST;
    return spare || (user->uid != 0 && strcmp(user->name, USER) == 0) ? user->uid : 0;
}

/* --- the state directory ------------------------------------------------------------------- */

/* Tried as that user: a directory above may be closed to it, as root's home is. */
static bool can_enter(const char *dir, const struct pv_sandbox_user *user)
{
    int n = getgroups(0, NULL);
    gid_t *groups = calloc((size_t)(n < 0 ? 0 : n) + 1, sizeof(*groups));
    bool in = false;
    if (groups == NULL || n < 0 || getgroups(n, groups) != n || setgroups(0, NULL) < 0) {
        free(groups);
        return true;
    }
    if (setegid(user->gid) == 0 && seteuid(user->uid) == 0)
        in = faccessat(AT_FDCWD, dir, R_OK | X_OK, AT_EACCESS) == 0;
    /* Half a way back would be a process with rights and without them at once. */
    if (seteuid(0) < 0 || setegid(0) < 0 || setgroups((size_t)n, groups) < 0)
        abort();
    free(groups);
    return in;
}

/* A directory of which nothing would change is as it is. */
int pv_rights_may_take(const char *state, const struct pv_sandbox_user *user)
{
    static const char *const ours[] = {"identity.key", "transport.key", "root.key", "p2pvpnd.db",
                                       NULL};
    struct stat st;
    if (stat(state, &st) == 0 && st.st_uid == user->uid && (st.st_mode & 0077) == 0)
        return PV_OK;
    return pv_dir_may_take(state, ours);
}

int pv_rights_hand_over(const char *state, struct pv_sandbox_user *user)
{
    struct stat st;
    int r = pv_rights_may_take(state, user);
    if (r == PV_OK)
        r = pv_dir_make(state, 0700);
    if (r < 0)
        return r;
    int fd = open(state, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        r = -errno;
    } else if ((st.st_mode & 0077) != 0) {
        r = fchmod(fd, 0700) < 0 ? -errno : PV_OK;
    }
    if (r == PV_OK && geteuid() == 0)
        r = pv_dir_give(
            fd, &(struct pv_dir_gift){.uid = user->uid, .gid = user->gid, .below = "files"});
    else if (fd >= 0)
        close(fd);
    if (r == PV_OK && geteuid() == 0 && user->uid != 0 && !can_enter(state, user)) {
        *user = (struct pv_sandbox_user){.name = "root"};
        return pv_rights_hand_over(state, user);
    }
    return r;
}

/* --- the directory of the socket ----------------------------------------------------------- */

/* PV_ERR_EXISTS: somebody listens in there. */
static int find_listener(const char *dir, char ret_other[static PATH_MAX])
{
    static const char end[] = ".sock";
    const struct dirent *e;
    bool served = false;
    DIR *d = opendir(dir);
    if (d == NULL)
        return -errno;
    while (!served && (e = readdir(d)) != NULL) {
        size_t len = strlen(e->d_name);
        if (len < sizeof(end) || strcmp(e->d_name + len + 1 - sizeof(end), end) != 0 ||
            snprintf(ret_other, PATH_MAX, "%s/%s", dir, e->d_name) >= PATH_MAX)
            continue;
        (void)!pv_unix_is_served(ret_other, &served);
    }
    closedir(d);
    return served ? PV_ERR_EXISTS : PV_OK;
}

/* Of what the former owner left there: no file that root opens, and nothing that leads elsewhere or
 * is waited for. Other files stay, for the directory may be a wrong one. */
static bool may_mislead(int dir, const char *name)
{
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISDIR(st.st_mode))
        return false;
    return !S_ISREG(st.st_mode) || strstr(name, ".names") != NULL;
}

/* The directory is root's by now, so nothing new comes. */
static int clear_dir(const char *path)
{
    DIR *dir = opendir(path);
    int r = PV_OK;
    if (dir == NULL)
        return -errno;
    for (const struct dirent *e; r == PV_OK && (e = readdir(dir)) != NULL;)
        if (may_mislead(dirfd(dir), e->d_name) && unlinkat(dirfd(dir), e->d_name, 0) < 0)
            r = -errno;
    closedir(dir);
    return r;
}

/* A unit has given it to its user (RuntimeDirectory=), who may have let others write to it too. */
int pv_rights_take_directory(const char *dir, const struct pv_sandbox_user *user,
                             char ret_other[static PATH_MAX])
{
    struct stat st;
    int r = pv_dir_make(dir, 0755);
    if (r < 0 || geteuid() != 0)
        return r;
    if (stat(dir, &st) < 0)
        return -errno;
    if (st.st_uid == 0)
        return (st.st_mode & 0022) == 0 || (st.st_mode & S_ISVTX) != 0 ? PV_OK : PV_ERR_REFUSED;
    if (st.st_uid != user->uid)
        return PV_ERR_REFUSED;
    r = find_listener(dir, ret_other);
    if (r == PV_OK && (chown(dir, 0, 0) < 0 || chmod(dir, 0755) < 0))
        r = -errno;
    return r < 0 ? r : clear_dir(dir);
}

/* --- what is left -------------------------------------------------------------------------- */

/* The directory of a file, which may be replaced. */
static const char *parent_of(const char *path, char dir[static PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    snprintf(dir, PATH_MAX, "%.*s",
             slash == NULL   ? 1
             : slash == path ? 1
                             : (int)(slash - path),
             slash == NULL ? "." : path);
    return dir;
}

bool pv_rights_open_home(const struct pv_rights_config *cfg, char ret_dir[static PATH_MAX])
{
    const char *const files[] = {cfg->socket, cfg->ca_file, cfg->config};
    snprintf(ret_dir, PATH_MAX, "%s", cfg->state);
    bool opens = pv_userdirs_holds_home(ret_dir);
    for (size_t i = 0; !opens && i < PV_ARRAY_LEN(files); i++)
        opens = files[i] != NULL && pv_userdirs_holds_home(parent_of(files[i], ret_dir));
    return opens;
}

static int keep_files(const struct pv_rights_config *cfg, int *ret_landlock)
{
    char socket[PATH_MAX], ca[PATH_MAX], config[PATH_MAX];
    struct pv_sandbox_path paths[PATHS_MAX] = {
        {cfg->state, PV_SANDBOX_READ | PV_SANDBOX_WRITE},
        {parent_of(cfg->socket, socket), PV_SANDBOX_READ},
        {"/proc/self", PV_SANDBOX_READ},
        {"/sys/devices/system/cpu", PV_SANDBOX_READ},
        {"/dev/null", PV_SANDBOX_READ | PV_SANDBOX_WRITE},
        {"/dev/urandom", PV_SANDBOX_READ},
        /* settings, groups, authorities */
        {"/etc", PV_SANDBOX_READ},
        {"/usr/lib", PV_SANDBOX_READ},
        {"/usr/share/ca-certificates", PV_SANDBOX_READ},
        {"/usr/local/share/ca-certificates", PV_SANDBOX_READ},
        {"/usr/share/pki", PV_SANDBOX_READ},
        {"/usr/share/zoneinfo", PV_SANDBOX_READ},
    };
    size_t n = 12;
    if (cfg->ca_file != NULL)
        paths[n++] = (struct pv_sandbox_path){parent_of(cfg->ca_file, ca), PV_SANDBOX_READ};
    if (cfg->config != NULL)
        paths[n++] = (struct pv_sandbox_path){parent_of(cfg->config, config), PV_SANDBOX_READ};
    int r =
        pv_sandbox_files(paths, n, PV_SANDBOX_NO_SIGNALS | PV_SANDBOX_NO_ABSTRACT, ret_landlock);
    return r == PV_ERR_UNSUPPORTED ? PV_OK : r;
}

/* Beside what every daemon does: the interface is asked about itself, names are handed to the
 * helper in memory, and in the end helper and usher are waited for. */
static int keep_calls(bool *ret_seccomp)
{
    static const struct pv_sandbox_call more[] = {
        {"ioctl", 1, TUNGETIFF},
        {"ioctl", 1, TUNSETOFFLOAD},
        {"ioctl", 1, SIOCGIFFLAGS},
        {"ioctl", 1, SIOCGIFMTU},
        {"ioctl", 1, SIOCGIFINDEX},
        {"ioctl", 1, SIOCGIFNAME},
        {"ioctl", 1, SIOCOUTQ},
        {"ioctl", 1, SIOCINQ},
        {"memfd_create", PV_SANDBOX_ANY, 0},
        {"wait4", PV_SANDBOX_ANY, 0},
        {"waitpid", PV_SANDBOX_ANY, 0},
    };
    int r =
        pv_sandbox_calls(PV_SANDBOX_CALLS_RUN | PV_SANDBOX_CALLS_FILES | PV_SANDBOX_CALLS_SOCKETS,
                         more, PV_ARRAY_LEN(more));
    *ret_seccomp = r == PV_OK;
    return r == PV_ERR_UNSUPPORTED ? PV_OK : r;
}

int pv_rights_give_up(const struct pv_sandbox_user *user, const struct pv_rights_config *cfg,
                      char ret_text[static PV_SANDBOX_TEXT_MAX])
{
    struct pv_sandbox_report report;
    struct rlimit locked;
    int landlock = 0;
    bool seccomp = false;
    /* Keys are in locked memory, which costs a user without capabilities of its limit. */
    if (getrlimit(RLIMIT_MEMLOCK, &locked) == 0 && locked.rlim_cur < LOCKED_MAX) {
        const rlim_t most = locked.rlim_max;
        locked.rlim_cur = LOCKED_MAX;
        if (locked.rlim_max < LOCKED_MAX)
            locked.rlim_max = LOCKED_MAX;
        if (setrlimit(RLIMIT_MEMLOCK, &locked) < 0) { /* a user without rights: what there is */
            locked.rlim_cur = locked.rlim_max = most;
            (void)!setrlimit(RLIMIT_MEMLOCK, &locked);
        }
    }
    int r = pv_sandbox_become(user->uid == geteuid() ? NULL : user, 0);
    if (r == PV_OK)
        r = pv_sandbox_no_new_privs();
    if (r == PV_OK)
        r = keep_files(cfg, &landlock);
    if (r == PV_OK)
        r = keep_calls(&seccomp);
    pv_sandbox_read(&report, seccomp, landlock);
    report.user = *user;
    (void)pv_sandbox_format(&report, ret_text);
    return r;
}
