/* SPDX-License-Identifier: MIT */
/*
 * helper_files.c - the files that must be root's: the control socket in its directory, and the
 * names, which every program of the machine reads. Their paths are fixed before a packet is read.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/names.h"
#include "base/netplan.h"
#include "base/text.h"
#include "sys/file/file.h"
#include "sys/helper/helper_proto.h"
#include "sys/net/unixsock.h"

enum {
    HAND_MS = 1000, /* ours: the usher is seldom busy that long */
};

static bool is_path(const char path[static PV_HELPER_PATH_MAX])
{
    return path[0] != '\0' && memchr(path, '\0', PV_HELPER_PATH_MAX) != NULL;
}

static int fix_socket(struct pv_helper_socket *s, const char *path)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return -errno;
    snprintf(s->path, sizeof(s->path), "%s", path);
    s->dev = st.st_dev;
    s->ino = st.st_ino;
    s->made = st.st_mtim;
    return PV_OK;
}

/* The next daemon may be there before this process ends, and its socket may have the number of the
 * one that it replaced. */
static void remove_socket(const struct pv_helper_socket *s)
{
    struct stat st;
    if (s->path[0] != '\0' && lstat(s->path, &st) == 0 && st.st_dev == s->dev &&
        st.st_ino == s->ino && st.st_mtim.tv_sec == s->made.tv_sec &&
        st.st_mtim.tv_nsec == s->made.tv_nsec)
        (void)unlink(s->path);
}

int pv_helper_files_fix_stack(struct pv_helper_files *files, int listener)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    socklen_t len = sizeof(un);
    char path[sizeof(un.sun_path) + 1] = "";
    if (getsockname(listener, (struct sockaddr *)&un, &len) < 0)
        return -errno;
    memcpy(path, un.sun_path, sizeof(un.sun_path)); /* it may have no NUL */
    return un.sun_family == AF_UNIX && path[0] != '\0' ? fix_socket(&files->stack, path) : -EINVAL;
}

/* A socket that everybody of a group may use is that group's again when it is made anew. */
static void note_group(struct pv_helper_files *files)
{
    struct stat st;
    const struct group *g = lstat(files->socket.path, &st) == 0 && (st.st_mode & S_IRGRP) != 0
                                ? getgrgid(st.st_gid)
                                : NULL;
    files->group[0] = '\0';
    if (g == NULL)
        return;
    snprintf(files->group, sizeof(files->group), "%s", g->gr_name);
    files->gid = st.st_gid;
}

/* Before this process gives up its rights, as nothing new can be watched afterwards. */
static int watch_directory(const char *path)
{
    char dir[PV_HELPER_PATH_MAX];
    const char *slash = strrchr(path, '/');
    snprintf(dir, sizeof(dir), "%.*s", slash == NULL ? 1 : (int)(slash - path) + 1,
             slash == NULL ? "." : path);
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd >= 0 && inotify_add_watch(fd, dir, IN_DELETE | IN_MOVED_FROM) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* Root's helper may give a file to no other group, but it may be in that group itself. */
static int listen_again(const struct pv_helper_files *files, int *ret_fd)
{
    const char *group = files->group[0] == '\0' ? NULL : files->group;
    const gid_t own = getegid();
    if (group != NULL && files->gid != own && setegid(files->gid) < 0)
        group = NULL;
    int r = pv_unix_listen(files->socket.path, group, ret_fd);
    if (getegid() != own)
        (void)!setegid(own);
    return r;
}

void pv_helper_files_look(struct pv_helper_files *files)
{
    _Alignas(struct inotify_event) char events[4096];
    struct stat st;
    int fd = -1;
    while (read(files->watch, events, sizeof(events)) > 0) {
    }
    /* Another file there is somebody's, and is left alone. */
    if (lstat(files->socket.path, &st) == 0 || errno != ENOENT || listen_again(files, &fd) < 0)
        return;
    (void)!fix_socket(&files->socket, PV_STR("%s", files->socket.path));
    (void)!pv_unix_hand(files->usher, pv_view("", 1), fd, HAND_MS);
    close(fd);
}

int pv_helper_files_fix(struct pv_helper_files *files, const char *socket, const char *names,
                        int usher)
{
    static const char end[] = ".names"; /* readers take every file that ends so */
    if (files->socket.path[0] != '\0')
        return PV_ERR_STATE;
    if (!is_path(socket) || !is_path(names))
        return -EINVAL;
    int r = fix_socket(&files->socket, socket);
    if (r < 0)
        return r;
    note_group(files);
    files->usher = usher;
    files->watch = usher < 0 ? -1 : watch_directory(socket);
    snprintf(files->names, sizeof(files->names), "%s", names);
    size_t stem = strlen(names);
    if (stem > sizeof(end) - 1 && strcmp(names + stem - (sizeof(end) - 1), end) == 0)
        stem -= sizeof(end) - 1;
    snprintf(files->recent, sizeof(files->recent), "%.*s.recent%s", (int)stem, names, end);
    return PV_OK;
}

/* Only memory files have seals, and no file system answers for them. */
static int read_names(int fd, char **ret_data, size_t *ret_len)
{
    struct stat st;
    if (fcntl(fd, F_GET_SEALS) < 0 || fstat(fd, &st) < 0 || st.st_size < 0 ||
        st.st_size > PV_HELPER_NAMES_MAX)
        return -EINVAL;
    size_t len = (size_t)st.st_size;
    char *data = malloc(len + 1);
    if (data == NULL)
        return PV_ERR_NOMEM;
    for (size_t at = 0; at < len;) {
        ssize_t n = pread(fd, data + at, len - at, (off_t)at);
        if (n <= 0) {
            free(data);
            return -EINVAL;
        }
        at += (size_t)n;
    }
    *ret_data = data;
    *ret_len = len;
    return PV_OK;
}

/* Every program of the machine believes the file. So it names no address that the interface could
 * not have, whatever the daemon wrote. */
static bool are_own_names(struct pv_view bytes, const struct pv_helper_fixed *fixed)
{
    struct pv_names names;
    struct pv_names_entry e;
    if (pv_names_open(bytes, &names) < 0)
        return false;
    for (uint32_t i = 0; i < names.n; i++) {
        if (pv_names_at(&names, i, &e) < 0)
            return false;
        const struct pv_addr *both[] = {&e.ip4, &e.ip6};
        for (size_t k = 0; k < PV_ARRAY_LEN(both); k++) {
            const struct pv_prefix one = {.base = *both[k],
                                          .bits = (uint8_t)(8 * pv_addr_ip_len(both[k]))};
            if (both[k]->family != PV_AF_NONE &&
                !pv_netplan_is_own(&one, fixed->ranges, fixed->n_ranges))
                return false;
        }
    }
    return true;
}

static int drop(const char *path)
{
    return unlink(path) == 0 || errno == ENOENT ? PV_OK : -errno;
}

/* The small file goes after the whole one has what is in it: a name is never in neither. */
int pv_helper_files_names(const struct pv_helper_files *files, const struct pv_helper_fixed *fixed,
                          int bytes, bool recent)
{
    char *data = NULL;
    size_t len = 0;
    if (files->names[0] == '\0')
        return PV_ERR_STATE;
    if (bytes < 0) {
        int r = drop(files->names), r_recent = drop(files->recent);
        return r < 0 ? r : r_recent;
    }
    int r = read_names(bytes, &data, &len);
    if (r == PV_OK && !are_own_names(pv_view(data, len), fixed))
        r = PV_ERR_MALFORMED;
    /* As a whole: nobody reads half of one. */
    if (r == PV_OK)
        r = pv_file_write(recent ? files->recent : files->names, pv_view(data, len), 0644);
    free(data);
    return r < 0 || recent ? r : drop(files->recent);
}

void pv_helper_files_end(const struct pv_helper_files *files)
{
    remove_socket(&files->socket);
    remove_socket(&files->stack);
}
