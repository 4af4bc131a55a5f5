/* SPDX-License-Identifier: MIT */
/* The coordinator's rights: whose its state directory is, which capabilities its settings ask for,
 * and its lists of files and system calls. */
#include "coordinator/rights.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coordinator/keys.h"
#include "coordinator/store/store_sqlite.h"
#include "sys/file/file.h"

enum {
    LOW_PORTS = 1024, /* below: CAP_NET_BIND_SERVICE (ip(7), ip_unprivileged_port_start) */
    PATHS_MAX = 48,
};

static uint64_t bit(unsigned cap)
{
    return (uint64_t)1 << cap;
}

static int fail(int r, char error[static PV_RIGHTS_ERROR_MAX], const char *what, const char *whose,
                const char *remedy)
{
    snprintf(error, PV_RIGHTS_ERROR_MAX, "%s %.200s: %s%s%s", what, whose, pv_strstatus(r),
             pv_unless_exhausted(r, ": "), pv_unless_exhausted(r, remedy));
    return r;
}

/* --- the user -------------------------------------------------------------------------------- */

/* An operator who gave the directory to somebody has chosen that user. */
static int choose_user(const char *state, struct pv_sandbox_user *ret_user)
{
    struct stat st;
    struct pv_sandbox_user spare;
    int r = pv_sandbox_find_user(PV_RIGHTS_USER, ret_user);
    int r_spare = pv_sandbox_spare_user(PV_RIGHTS_USER, &spare);
    if (r < 0 && r_spare == PV_OK)
        *ret_user = spare;
    if (stat(state, &st) == 0 && st.st_uid != 0 && (r_spare < 0 || st.st_uid != spare.uid)) {
        *ret_user = (struct pv_sandbox_user){.uid = st.st_uid, .gid = st.st_gid};
        snprintf(ret_user->name, sizeof(ret_user->name), "%u", (unsigned)st.st_uid);
        return PV_OK;
    }
    return r < 0 && r_spare < 0 ? PV_ERR_NOT_FOUND : PV_OK;
}

/* In a user namespace of one user, "root" is somebody without rights outside, and there is nobody
 * else to become. */
static bool is_mapped(const struct pv_sandbox_user *user)
{
    if (setresuid(user->uid, (uid_t)-1, (uid_t)-1) < 0)
        return false;
    if (setresuid(0, (uid_t)-1, (uid_t)-1) < 0)
        abort(); /* the effective user is root still */
    return true;
}

/* A directory of the user's whose mode stays is as it is (pv_dir_make() closes those of who runs
 * this); another may be somebody else's by a mistaken name. */
static int may_take(const char *state, const struct pv_sandbox_user *user)
{
    static const char *const ours[] = {PV_COORDKEYS_FILE, PV_COORDKEYS_SECRET_FILE,
                                       PV_COORDSTORE_FILE, "tls.pem", NULL};
    struct stat st;
    bool there = stat(state, &st) == 0;
    bool closes = there && st.st_uid == geteuid() && (st.st_mode & 0077) != 0;
    return there && st.st_uid == user->uid && !closes ? PV_OK : pv_dir_may_take(state, ours);
}

/* A directory that is the user's already is left as it is. It is flat. */
static int give_directory(const char *state, const struct pv_sandbox_user *user)
{
    struct stat st;
    int fd = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) == 0 && st.st_uid == user->uid) {
        close(fd);
        return PV_OK;
    }
    return pv_dir_give(fd,
                       &(struct pv_dir_gift){.uid = user->uid, .gid = user->gid, .of_all = true});
}

static bool is_low(const struct pv_addr *addr)
{
    return addr->port > 0 && addr->port < LOW_PORTS;
}

/* Ports below 1024, and buffers of sockets above the system's limit, need rights until the sockets
 * are open. Ports of relay sockets, which are opened all the time, are above (settings.c). */
static uint64_t caps_of_ports(const struct pv_coordset *set)
{
    bool low = is_low(&set->metrics.listen);
    for (size_t i = 0; i < set->n_listen; i++)
        low = low || is_low(&set->listen[i]);
    for (size_t i = 0; i < set->n_tls_listen; i++)
        low = low || is_low(&set->tls_listen[i]);
    return (low ? bit(CAP_NET_BIND_SERVICE) : 0) | bit(CAP_NET_ADMIN);
}

/* May the user open this? access() asks for the real user, without any capability. */
static bool user_may(const struct pv_sandbox_user *user, const char *path, int mode)
{
    bool may = setresgid(user->gid, (gid_t)-1, (gid_t)-1) == 0 &&
               setresuid(user->uid, (uid_t)-1, (uid_t)-1) == 0 && access(path, mode) == 0;
    if (setresuid(0, (uid_t)-1, (uid_t)-1) < 0)
        abort(); /* the effective user is root still */
    return may;
}

/* Takes over the directory's user. Programs that renew certificates keep the key readable by root
 * alone: then the right to read stays, for the files that Landlock leaves (pv_rights_close). */
static int become(struct pv_rights *rights, struct pv_coordset *set)
{
    const struct pv_sandbox_user *user = &rights->user;
    if (chdir(set->state) < 0 || setgroups(0, NULL) < 0)
        return -errno;
    if (set->tls_cert[0] != '\0' &&
        (!user_may(user, set->tls_cert, R_OK) || !user_may(user, set->tls_key, R_OK)))
        rights->keep |= bit(CAP_DAC_READ_SEARCH);
    if (!user_may(user, set->state, R_OK | W_OK | X_OK))
        snprintf(set->state, sizeof(set->state), ".");
    return pv_sandbox_become(user, caps_of_ports(set) | rights->keep);
}

int pv_rights_check(const struct pv_coordset *set, char ret_error[static PV_RIGHTS_ERROR_MAX])
{
    struct pv_sandbox_user user = {.uid = geteuid()};
    int r = user.uid == 0 ? choose_user(set->state, &user) : PV_OK;
    if (r == PV_OK)
        r = may_take(set->state, &user);
    if (r != PV_ERR_EXISTS && r != PV_ERR_REFUSED)
        return PV_OK;
    snprintf(ret_error, PV_RIGHTS_ERROR_MAX,
             "state directory %.200s: %s: name one with --state that is empty, not there yet, or "
             "of a coordinator",
             set->state,
             r == PV_ERR_EXISTS ? "it has files in it, and none of a coordinator"
                                : "anybody may write there");
    return r;
}

int pv_rights_enter(struct pv_rights *ret_rights, struct pv_coordset *set,
                    char ret_error[static PV_RIGHTS_ERROR_MAX])
{
    struct pv_rights rights = {.landlock = 0};
    *ret_rights = rights;
    int r = pv_rights_check(set, ret_error);
    if (r < 0 || geteuid() != 0)
        return r;
    r = pv_dir_make(set->state, 0700);
    if (r == PV_OK)
        r = choose_user(set->state, &rights.user);
    if (r == PV_OK && !is_mapped(&rights.user))
        return PV_OK;
    if (r == PV_OK)
        r = give_directory(set->state, &rights.user);
    if (r < 0)
        return fail(r, ret_error, "state directory", set->state,
                    "check owner, mode and mount, or choose another --state");
    r = become(&rights, set);
    if (r < 0)
        return fail(r, ret_error, "become user", rights.user.name,
                    "start it as the user that shall run it");
    *ret_rights = rights;
    return PV_OK;
}

/* --- everything else ------------------------------------------------------------------------- */

/* The directory of a file, and of the file that it leads to: who renews a certificate replaces the
 * file or the link. */
static size_t add_directories(const char *file, char dirs[static 2][PATH_MAX],
                              struct pv_sandbox_path *paths)
{
    size_t n = 0;
    if (file[0] == '\0')
        return 0;
    snprintf(dirs[0], PATH_MAX, "%s", file);
    paths[n++] = (struct pv_sandbox_path){dirname(dirs[0]), PV_SANDBOX_READ};
    if (realpath(file, dirs[1]) != NULL)
        paths[n++] = (struct pv_sandbox_path){dirname(dirs[1]), PV_SANDBOX_READ};
    return n;
}

/* The configuration is read again. A process that may read every file gets no directory full of
 * keys for it: a file that was replaced since is read after a restart. */
static size_t add_config(const struct pv_coordset *set, bool reads_all,
                         char dirs[static 2][PATH_MAX], struct pv_sandbox_path *paths)
{
    char path[PATH_MAX];
    if (set->config == NULL)
        return 0;
    pv_coordset_path(set, set->config, path);
    if (!reads_all)
        return add_directories(path, dirs, paths);
    memcpy(dirs[0], path, sizeof(path));
    paths[0] = (struct pv_sandbox_path){dirs[0], PV_SANDBOX_READ};
    return 1;
}

/* The files that each connection to the database reads again: names of machines, and the files that
 * the conninfo names. A process that may read every file gets no directory whole for it: a file
 * that was replaced since is read after a restart. */
static size_t add_postgres(const struct pv_coordset *set, const struct pv_pgplugin *pg,
                           bool reads_all, char dirs[static 2 * PV_PG_FILES_MAX][PATH_MAX],
                           struct pv_sandbox_path *paths)
{
    static const struct pv_sandbox_path names[] = {
        {"/etc/resolv.conf", PV_SANDBOX_READ},   {"/etc/hosts", PV_SANDBOX_READ},
        {"/etc/nsswitch.conf", PV_SANDBOX_READ}, {"/etc/gai.conf", PV_SANDBOX_READ},
        {"/etc/host.conf", PV_SANDBOX_READ},     {"/etc/passwd", PV_SANDBOX_READ},
        {"/etc/ssl/certs", PV_SANDBOX_READ},     {"/etc/ssl/openssl.cnf", PV_SANDBOX_READ}};
    size_t n = 0;
    if (pg == NULL)
        return 0;
    for (size_t i = 0; i < pv_sandbox_n_resolver; i++)
        if (!reads_all || strcmp(pv_sandbox_resolver[i].path, "/etc") != 0)
            paths[n++] = pv_sandbox_resolver[i];
    for (size_t i = 0; i < PV_ARRAY_LEN(names); i++)
        paths[n++] = names[i];
    paths[n++] = (struct pv_sandbox_path){"/usr/share/ca-certificates", PV_SANDBOX_READ};
    char files[PV_PG_FILES_MAX][PATH_MAX];
    size_t n_files = pg->files(set->store.postgres, files);
    for (size_t i = 0; i < n_files; i++) {
        if (reads_all) {
            memcpy(dirs[2 * i], files[i], PATH_MAX);
            paths[n++] = (struct pv_sandbox_path){dirs[2 * i], PV_SANDBOX_READ};
        } else {
            n += add_directories(files[i], dirs + 2 * i, paths + n);
        }
    }
    return n;
}

static int sandbox_files(const struct pv_coordset *set, const struct pv_pgplugin *pg,
                         bool reads_all, int *ret_landlock)
{
    char cert[2][PATH_MAX], key[2][PATH_MAX], config[2][PATH_MAX];
    char postgres[2 * PV_PG_FILES_MAX][PATH_MAX];
    struct pv_sandbox_path paths[PATHS_MAX] = {
        {set->state, PV_SANDBOX_READ | PV_SANDBOX_WRITE},
        {"/proc/self", PV_SANDBOX_READ},     /* the metrics of this process */
        {"/etc/localtime", PV_SANDBOX_READ}, /* dates in the log */
        {"/usr/share/zoneinfo", PV_SANDBOX_READ},
    };
    size_t n = 4;
    n += add_directories(set->tls_cert, cert, paths + n);
    n += add_directories(set->tls_key, key, paths + n);
    n += add_config(set, reads_all, config, paths + n);
    n += add_postgres(set, pg, reads_all, postgres, paths + n);
    /* The manager that started it may want to be told how it is (sd_notify), by an abstract
     * socket. */
    const char *notify = getenv("NOTIFY_SOCKET");
    unsigned deny = PV_SANDBOX_NO_TCP_BIND | PV_SANDBOX_NO_SIGNALS |
                    (pg == NULL ? PV_SANDBOX_NO_TCP_CONNECT : 0) |
                    (notify != NULL && notify[0] == '@' ? 0 : PV_SANDBOX_NO_ABSTRACT);
    return pv_sandbox_files(paths, n, deny, ret_landlock);
}

/* Without Landlock the capability would open every file: it goes, and a renewed certificate that
 * the user cannot read is said so when it is read again. */
int pv_rights_close(struct pv_rights *rights, const struct pv_coordset *set,
                    const struct pv_pgplugin *pg, const struct pv_log *log,
                    char ret_error[static PV_RIGHTS_ERROR_MAX])
{
    struct pv_sandbox_report report;
    int r = pv_sandbox_no_new_privs();
    if (r == PV_OK)
        r = sandbox_files(set, pg, (rights->keep & bit(CAP_DAC_READ_SEARCH)) != 0,
                          &rights->landlock);
    if (r == PV_ERR_UNSUPPORTED) {
        rights->keep &= ~bit(CAP_DAC_READ_SEARCH);
        r = PV_OK;
    }
    if (r == PV_OK)
        r = pv_sandbox_become(NULL, rights->keep);
    if (r == PV_OK)
        r = pv_sandbox_calls(PV_SANDBOX_CALLS_RUN | PV_SANDBOX_CALLS_FILES |
                                 PV_SANDBOX_CALLS_MODES | PV_SANDBOX_CALLS_SOCKETS |
                                 PV_SANDBOX_CALLS_UNIX |
                                 PV_SANDBOX_CALLS_LOAD, /* PostgreSQL, the resolver */
                             NULL, 0);
    if (r < 0)
        return fail(r, ret_error, "give up the rights of", PV_RIGHTS_USER,
                    "it runs on Linux 4.14 and later, where seccomp(2) is allowed");
    pv_sandbox_read(&report, true, rights->landlock);
    pv_log(log, PV_LOG_INFO, "rights %s", pv_sandbox_format(&report, rights->text));
    return PV_OK;
}
