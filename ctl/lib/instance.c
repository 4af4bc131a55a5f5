/* SPDX-License-Identifier: MIT */
/* The paths that follow from the name of a network's node on this machine, and the list of nodes
 * here. */
#include "ctl/lib/instance.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "sys/file/file.h"
#include "sys/file/ini.h"
#include "sys/file/userdirs.h"
#include "sys/net/unixsock.h"

#define STATE  "/var/lib/p2pvpn"
#define USUAL  "p2pvpnd" /* the file name of the first network's socket and settings */
#define SOCK   ".sock"
#define CONFIG ".conf"

static void fill_usual(struct pv_instance *ret)
{
    *ret = (struct pv_instance){.is_usual = true,
                                .socket = PV_INSTANCE_RUN "/" USUAL SOCK,
                                .state = STATE,
                                .config = PV_INSTANCE_ETC "/" USUAL CONFIG,
                                .tun = "p2pvpn0",
                                .unit = "p2pvpnd.service"};
}

/* The same paths as in dist/systemd/p2pvpnd@.service.in. */
static void fill_named(const char *name, size_t len, struct pv_instance *ret)
{
    int n = (int)len;
    *ret = (struct pv_instance){.is_usual = true};
    snprintf(ret->name, sizeof(ret->name), "%.*s", n, name);
    snprintf(ret->socket, sizeof(ret->socket), PV_INSTANCE_RUN "/%s" SOCK, ret->name);
    snprintf(ret->state, sizeof(ret->state), STATE "-%s", ret->name);
    snprintf(ret->config, sizeof(ret->config), PV_INSTANCE_ETC "/%s" CONFIG, ret->name);
    snprintf(ret->tun, sizeof(ret->tun), "p2p-%s", ret->name);
    snprintf(ret->unit, sizeof(ret->unit), "p2pvpnd@%s.service", ret->name);
}

int pv_instance_named(const char *name, struct pv_instance *ret)
{
    size_t len = strlen(name);
    if (len == 0 || strcmp(name, PV_INSTANCE_DEFAULT) == 0)
        fill_usual(ret);
    else if (pv_userdirs_is_net(name, len))
        fill_named(name, len, ret);
    else
        return PV_ERR_MALFORMED;
    return PV_OK;
}

/* Nothing of it is the system manager's, so it is not usual. */
static int of_user(const char *name, struct pv_instance *ret, struct pv_userdirs *ret_dirs)
{
    struct pv_userdirs dirs;
    int r = pv_userdirs_find(strcmp(name, PV_INSTANCE_DEFAULT) == 0 ? "" : name, &dirs);
    if (r < 0)
        return r;
    *ret_dirs = dirs;
    r = pv_instance_named(name, ret);
    ret->is_usual = false;
    ret->is_user = true;
    ret->state[0] = ret->config[0] = ret->unit[0] = '\0';
    snprintf(ret->socket, sizeof(ret->socket), "%s", dirs.socket);
    return r;
}

/* p2pvpnd has made it, and removes it never. */
static bool has_started(const struct pv_userdirs *dirs)
{
    char lock[PV_USERDIRS_BUF + sizeof("/lock")];
    snprintf(lock, sizeof(lock), "%s/lock", dirs->state);
    return access(lock, F_OK) == 0;
}

/* "send bob" is to go to no other network's bob because the own p2pvpnd is down. */
int pv_instance_find(const char *name, struct pv_instance *ret)
{
    struct pv_userdirs dirs;
    bool served = false;
    if (of_user(name, ret, &dirs) == PV_OK &&
        ((pv_unix_is_served(ret->socket, &served) == PV_OK && served) || has_started(&dirs)))
        return PV_OK;
    return pv_instance_named(name, ret);
}

/* The name in "work.sock" before this suffix; 0: it is no such file's name. */
static size_t stem_len(const char *file, const char *suffix)
{
    size_t len = strlen(file), tail = strlen(suffix);
    if (len <= tail || strcmp(file + len - tail, suffix) != 0)
        return 0;
    return len - tail;
}

/* Fills in this user's own node that has this socket, as $XDG_RUNTIME_DIR/p2pvpn/work.sock; false:
 * none has. */
static bool own_behind(const char *socket, struct pv_instance *ret)
{
    struct pv_userdirs dirs;
    const char *slash = strrchr(socket, '/'), *file = slash == NULL ? socket : slash + 1;
    size_t len = stem_len(file, SOCK);
    const bool is_first = strcmp(file, USUAL SOCK) == 0;
    return (is_first || pv_userdirs_is_net(file, len)) &&
           of_user(is_first ? "" : PV_STR("%.*s", (int)len, file), ret, &dirs) == PV_OK &&
           strcmp(socket, ret->socket) == 0;
}

/* Root's p2pvpnd runs as a user that nobody logs in as, so one of this user's is a --user. */
static bool is_of_this_user(const char *socket)
{
    struct stat st;
    return geteuid() != 0 && stat(socket, &st) == 0 && S_ISSOCK(st.st_mode) &&
           st.st_uid == geteuid();
}

int pv_instance_behind(const char *socket, struct pv_instance *ret)
{
    char net[PV_USERDIRS_NET];
    if (own_behind(socket, ret))
        return PV_OK;
    fill_usual(ret);
    if (strcmp(socket, ret->socket) == 0)
        return PV_OK;
    if (pv_userdirs_net_behind(socket, net)) {
        fill_named(net, strlen(net), ret);
        return PV_OK;
    }
    size_t len = strlen(socket);
    if (len >= sizeof(ret->socket))
        return PV_ERR_LIMIT;
    /* Started by hand, with paths that nobody here knows: the usual ones are the best guess. */
    memcpy(ret->socket, socket, len + 1);
    ret->is_usual = false;
    ret->is_user = is_of_this_user(socket);
    return PV_OK;
}

bool pv_instance_exists(const struct pv_instance *i)
{
    return i->is_user || i->name[0] == '\0' || access(i->config, F_OK) == 0 ||
           access(i->socket, F_OK) == 0 || errno == EACCES;
}

/* One for its user alone has no group to open to. */
bool pv_instance_ignores_group(const struct pv_instance *i)
{
    const struct group *g = getgrnam(PV_INSTANCE_GROUP);
    struct stat st;
    return g != NULL && stat(i->socket, &st) == 0 && S_ISSOCK(st.st_mode) &&
           (st.st_mode & S_IRWXG) != 0 && st.st_gid != g->gr_gid;
}

#define THEN                                                           \
    " " PV_INSTANCE_GROUP ", then sudo usermod -aG " PV_INSTANCE_GROUP \
    " USER for each user, then restart p2pvpnd"

const char *pv_instance_group_todo(void)
{
    if (getgrnam(PV_INSTANCE_GROUP) != NULL)
        return NULL;
    /* The user that p2pvpnd becomes has the same name. */
    return getpwnam(PV_INSTANCE_GROUP) == NULL ? "sudo useradd --system --user-group" THEN
                                               : "sudo groupadd --system" THEN;
}

bool pv_instance_group_has_user(void)
{
    const struct group *g = getgrnam(PV_INSTANCE_GROUP);
    const struct passwd *user = getpwuid(geteuid());
    if (g == NULL || g->gr_mem == NULL || user == NULL)
        return false;
    for (char **name = g->gr_mem; *name != NULL; name++) {
        if (strcmp(*name, user->pw_name) == 0)
            return true;
    }
    return false;
}

/* Keeps the names in order and each of them once. */
static size_t insert(char names[static PV_INSTANCE_MAX][PV_INSTANCE_NAME_BUF], size_t n,
                     const char *name, size_t len)
{
    char text[PV_INSTANCE_NAME_BUF];
    size_t at = 0;
    snprintf(text, sizeof(text), "%.*s", (int)len, name);
    while (at < n && strcmp(names[at], text) < 0)
        at++;
    if (n == PV_INSTANCE_MAX || (at < n && strcmp(names[at], text) == 0))
        return n;
    memmove(names[at + 1], names[at], (n - at) * sizeof(names[0]));
    memcpy(names[at], text, sizeof(text));
    return n + 1;
}

/* The own networks that have a state directory beside that of the first. */
static size_t list_states(const char *first,
                          char names[static PV_INSTANCE_MAX][PV_INSTANCE_NAME_BUF], size_t n)
{
    char path[PV_USERDIRS_BUF];
    const struct dirent *entry;
    const char *stem = strrchr(first, '/') + 1;
    snprintf(path, sizeof(path), "%.*s", (int)(stem - first), first);
    DIR *dir = opendir(path);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        struct pv_userdirs dirs;
        size_t len = strlen(stem);
        const char *name = entry->d_name + len + 1;
        if (strncmp(entry->d_name, stem, len) == 0 && entry->d_name[len] == '-' &&
            pv_userdirs_find(name, &dirs) == PV_OK && has_started(&dirs))
            n = insert(names, n, name, strlen(name));
    }
    if (dir != NULL)
        closedir(dir);
    return n;
}

static size_t list_dir(const char *path, const char *suffix,
                       char names[static PV_INSTANCE_MAX][PV_INSTANCE_NAME_BUF], size_t n)
{
    const struct dirent *entry;
    DIR *dir = opendir(path);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        size_t len = stem_len(entry->d_name, suffix);
        if (pv_userdirs_is_net(entry->d_name, len))
            n = insert(names, n, entry->d_name, len);
    }
    if (dir != NULL)
        closedir(dir);
    return n;
}

size_t pv_instance_list(const char *run, const char *etc,
                        char ret_names[static PV_INSTANCE_MAX][PV_INSTANCE_NAME_BUF])
{
    size_t n = insert(ret_names, 0, "", 0);
    n = list_dir(run, SOCK, ret_names, n);
    return list_dir(etc, CONFIG, ret_names, n);
}

size_t pv_instance_list_own(char ret_names[static PV_INSTANCE_MAX][PV_INSTANCE_NAME_BUF])
{
    struct pv_userdirs dirs;
    if (pv_userdirs_find("", &dirs) < 0)
        return 0;
    return list_states(dirs.state, ret_names, pv_instance_list(dirs.run, dirs.run, ret_names));
}

int pv_instance_make_config(const struct pv_instance *i)
{
    if (mkdir(PV_INSTANCE_ETC, 0755) == 0)
        (void)!chmod(PV_INSTANCE_ETC, 0755);
    else if (errno != EEXIST)
        return -errno;
    /* O_EXCL: what an owner wrote there stays. It is created at once with its whole content or not
     * at all, as far as anybody can tell: a comment that is cut is still a comment. */
    int fd = open(i->config, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return errno == EEXIST ? PV_OK : -errno;
    /* The user that the unit runs as reads it by its group, whatever root's umask is. */
    const struct group *g = getgrnam("p2pvpn");
    bool given = g != NULL && fchown(fd, (uid_t)-1, g->gr_gid) == 0;
    int r =
        fchmod(fd, given ? 0640 : 0644) < 0 ||
                dprintf(fd, "# This machine's node in network %s: see p2pvpnd(8).\n", i->name) < 0
            ? -errno
            : PV_OK;
    close(fd);
    return r;
}

/* p2pvpnd has judged the value. */
static int on_item(void *ctx, const struct pv_ini_item *item, char *error, size_t cap)
{
    if (item->key != NULL && strcmp(item->section, "web") == 0 && strcmp(item->key, "listen") == 0)
        snprintf(ctx, PV_INSTANCE_WEB_BUF, "%s", item->value);
    return PV_OK;
}

void pv_instance_web(const struct pv_instance *i, char ret_place[static PV_INSTANCE_WEB_BUF])
{
    struct pv_userdirs dirs;
    struct pv_ini_error wrong;
    const char *file = i->config;
    char *text = NULL;
    size_t len = 0;
    ret_place[0] = '\0';
    if (i->is_user && pv_userdirs_find(i->name, &dirs) == PV_OK)
        file = dirs.config;
    if (file[0] == '\0' || pv_file_read(file, PV_INI_FILE_MAX, &text, &len) < 0)
        return;
    if (pv_ini_parse(pv_view(text, len), on_item, ret_place, &wrong) < 0)
        ret_place[0] = '\0';
    pv_file_free(text, len);
}
