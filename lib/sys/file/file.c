/* SPDX-License-Identifier: MIT */
/*
 * file.c - small files: whole reads with a limit, atomic replacement, a lock, whether one has
 * changed, and whether the disk has room. After a crash or a power cut a file is the old one or the
 * new one, whole; that takes a temporary file, two fsyncs and a rename.
 */
#include "sys/file/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Reads until the end of the file or until len bytes are there. */
static int read_all(int fd, char *dst, size_t len, size_t *ret_len)
{
    size_t got = 0;
    while (got < len) {
        ssize_t n = read(fd, dst + got, len - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        got += (size_t)n;
    }
    *ret_len = got;
    return PV_OK;
}

/* The size is asked first and the file read to one byte more: a file that grows meanwhile is not
 * taken half. Non-blocking: a FIFO in place of the file must not hang us before fstat() refuses it.
 */
static int read_file(const char *path, int flags, nlink_t names, size_t max, char **ret_data,
                     size_t *ret_len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags);
    if (fd < 0)
        return errno == ENOENT ? PV_ERR_NOT_FOUND : -errno;

    struct stat st;
    char *data = NULL;
    size_t len = 0;
    int r = fstat(fd, &st) < 0 ? -errno : PV_OK;
    if (r >= 0 && (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > max))
        r = PV_ERR_LIMIT;
    if (r >= 0 && names > 0 && st.st_nlink > names)
        r = -EMLINK;
    if (r >= 0) {
        /* One byte more than the size, so that a file that grew meanwhile is noticed. */
        data = malloc((size_t)st.st_size + 2);
        r = data == NULL ? PV_ERR_NOMEM : read_all(fd, data, (size_t)st.st_size + 1, &len);
    }
    if (r >= 0 && len > (size_t)st.st_size)
        r = -EAGAIN;
    close(fd);
    if (r < 0) {
        pv_file_free(data, len);
        return r;
    }
    data[len] = '\0';
    *ret_data = data;
    *ret_len = len;
    return PV_OK;
}

int pv_file_read(const char *path, size_t max, char **ret_data, size_t *ret_len)
{
    return read_file(path, 0, 0, max, ret_data, ret_len);
}

int pv_file_read_here(const char *path, size_t max, char **ret_data, size_t *ret_len)
{
    return read_file(path, O_NOFOLLOW, 1, max, ret_data, ret_len);
}

char *pv_file_free(char *data, size_t len)
{
    if (data != NULL) {
        explicit_bzero(data, len);
        free(data);
    }
    return NULL;
}

static int write_all(int fd, struct pv_view data)
{
    while (data.len > 0) {
        ssize_t n = write(fd, data.ptr, data.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        data.ptr += n;
        data.len -= (size_t)n;
    }
    return PV_OK;
}

/* The directory part of path ("." when there is none). */
static int parent_of(const char *path, char dir[static PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);
    if (len >= PATH_MAX)
        return -ENAMETOOLONG;
    if (len == 0) { /* "file" or "/file" */
        dir[0] = slash == NULL ? '.' : '/';
        len = 1;
    } else {
        memcpy(dir, path, len);
    }
    dir[len] = '\0';
    return PV_OK;
}

static int sync_parent(const char *path)
{
    char dir[PATH_MAX];
    int r = parent_of(path, dir);
    if (r < 0)
        return r;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    /* Some file systems cannot sync directories and say EINVAL: nothing more can be done there. */
    r = fsync(fd) < 0 && errno != EINVAL ? -errno : PV_OK;
    close(fd);
    return r;
}

/* fchmod() because the umask takes bits from open()'s mode. A new file each time: others may be
 * able to write in the directory, and could have the one that is there open. */
static int write_tmp(const char *tmp, struct pv_view data, unsigned mode)
{
    int fd = unlink(tmp) < 0 && errno != ENOENT
                 ? -1
                 : open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, (mode_t)mode);
    if (fd < 0)
        return -errno;
    int r = fchmod(fd, (mode_t)mode) < 0 ? -errno : PV_OK;
    if (r >= 0)
        r = write_all(fd, data);
    if (r >= 0 && fsync(fd) < 0)
        r = -errno;
    if (close(fd) < 0 && r >= 0)
        r = -errno;
    return r;
}

int pv_file_rename(const char *from, const char *to)
{
    return rename(from, to) < 0 ? -errno : sync_parent(to);
}

int pv_file_write(const char *path, struct pv_view data, unsigned mode)
{
    char tmp[PATH_MAX];
    if (snprintf(tmp, sizeof(tmp), "%s.tmp", path) >= (int)sizeof(tmp))
        return -ENAMETOOLONG;
    int r = write_tmp(tmp, data, mode);
    if (r >= 0 && rename(tmp, path) < 0)
        r = -errno;
    if (r < 0) {
        unlink(tmp);
        return r;
    }
    return sync_parent(path);
}

/* By a descriptor, as sandboxed processes may not change a mode by name (sandbox.h). flags:
 * O_NOFOLLOW for a folder that was just made, which its owner may have exchanged for a link. */
static int set_dir_mode(const char *path, unsigned mode, int flags)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);
    if (fd < 0)
        return -errno;
    int r = fchmod(fd, (mode_t)mode) < 0 ? -errno : PV_OK;
    close(fd);
    return r;
}

/* Parents are left with 0755 whatever the umask: other users have to get to a socket below. */
static int make_parents(const char *path)
{
    char dir[PATH_MAX];
    size_t len = strlen(path);
    if (len >= sizeof(dir))
        return -ENAMETOOLONG;
    memcpy(dir, path, len + 1);
    for (char *p = dir + 1; *p != '\0'; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        if (mkdir(dir, 0755) == 0) {
            int r = set_dir_mode(dir, 0755, O_NOFOLLOW); /* whatever the umask took away */
            if (r < 0)
                return r;
        } else if (errno != EEXIST) {
            return -errno;
        }
        *p = '/';
    }
    return PV_OK;
}

int pv_dir_make(const char *path, unsigned mode)
{
    struct stat st;
    if (stat(path, &st) < 0) {
        if (errno != ENOENT)
            return -errno;
        int r = make_parents(path);
        if (r < 0)
            return r;
        if (mkdir(path, (mode_t)mode) == 0)
            return set_dir_mode(path, mode, O_NOFOLLOW);
        return errno == EEXIST ? PV_OK : -errno;
    }
    if (!S_ISDIR(st.st_mode))
        return -ENOTDIR;
    bool too_open = (st.st_mode & 077) != 0 && (mode & 077) == 0;
    return too_open && st.st_uid == geteuid() ? set_dir_mode(path, mode, 0) : PV_OK;
}

static bool says_nothing(const char *name)
{
    static const char *const names[] = {".", "..", "lock", "lost+found", "p2pvpnd.log"};
    for (size_t i = 0; i < PV_ARRAY_LEN(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* A volume that is made for a program may be open to anybody, but has nothing in it: tmpfs has mode
 * 1777 at first. */
int pv_dir_may_take(const char *path, const char *const *marks)
{
    struct stat st;
    bool empty = true, marked = false;
    DIR *dir = opendir(path);
    if (dir == NULL)
        return errno == ENOENT || errno == ENOTDIR ? PV_OK : -errno;
    for (const struct dirent *e; !marked && (e = readdir(dir)) != NULL;) {
        empty = empty && says_nothing(e->d_name);
        for (size_t i = 0; !marked && marks[i] != NULL; i++)
            marked = strcmp(e->d_name, marks[i]) == 0;
    }
    int r = fstat(dirfd(dir), &st) < 0 ? -errno : PV_OK;
    closedir(dir);
    if (r < 0)
        return r;
    if (empty)
        return PV_OK;
    if ((st.st_mode & (S_ISVTX | S_IWOTH)) != 0)
        return PV_ERR_REFUSED;
    return marked ? PV_OK : PV_ERR_EXISTS;
}

/* before: the owner of the directory that changes hands. */
static int give_file(int dir, const char *name, uid_t before, const struct pv_dir_gift *gift)
{
    struct stat st;
    int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? PV_OK : -errno;
    int r = fstat(fd, &st) < 0 ? -errno : PV_OK;
    bool goes = S_ISREG(st.st_mode) ? st.st_nlink == 1 : gift->of_all && S_ISSOCK(st.st_mode);
    goes = goes && (gift->of_all || st.st_uid == 0 || st.st_uid == before);
    if (r == PV_OK && goes && (st.st_uid != gift->uid || st.st_gid != gift->gid) &&
        fchownat(fd, "", gift->uid, gift->gid, AT_EMPTY_PATH) < 0)
        r = -errno;
    close(fd);
    return r;
}

static int give_dir(int fd, uid_t before, const struct pv_dir_gift *gift, const char *below)
{
    DIR *dir = fdopendir(fd);
    int r = PV_OK;
    if (dir == NULL) {
        close(fd);
        return PV_ERR_NOMEM;
    }
    for (const struct dirent *e; r == PV_OK && (e = readdir(dir)) != NULL;) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        int sub = below != NULL && strcmp(e->d_name, below) == 0
                      ? openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                      : -1;
        r = sub >= 0 ? give_dir(sub, before, gift, NULL) : give_file(fd, e->d_name, before, gift);
    }
    if (r == PV_OK && fchown(fd, gift->uid, gift->gid) < 0)
        r = -errno;
    closedir(dir);
    return r;
}

int pv_dir_give(int fd, const struct pv_dir_gift *gift)
{
    struct stat st;
    if (fstat(fd, &st) < 0) {
        int r = -errno;
        close(fd);
        return r;
    }
    return give_dir(fd, st.st_uid, gift, gift->below);
}

/* flock() and not fcntl(): it belongs to the descriptor, so a library that opens and closes the
 * file elsewhere does not drop it. */
int pv_file_lock(const char *path, int *ret_fd)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int r = errno == EWOULDBLOCK ? PV_ERR_EXISTS : -errno;
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return PV_OK;
}

/* --- room on the disk ------------------------------------------------------------------------ */

uint64_t pv_disk_reserve(uint64_t total)
{
    const uint64_t reserve = (uint64_t)PV_DISK_RESERVE_MIB << 20;
    return reserve < total / 20 ? reserve : total / 20;
}

bool pv_disk_is_low(const char *path)
{
    struct statvfs fs;
    if (statvfs(path, &fs) != 0)
        return true;
    return (uint64_t)fs.f_bavail * fs.f_frsize <=
           pv_disk_reserve((uint64_t)fs.f_blocks * fs.f_frsize);
}

bool pv_disk_has_inodes(const char *path)
{
    char dir[PATH_MAX];
    struct statvfs fs;
    if (statvfs(path, &fs) != 0 && (parent_of(path, dir) != PV_OK || statvfs(dir, &fs) != 0))
        return true;
    /* Btrfs, which makes them as it needs them, says 0 of 0. */
    return fs.f_files == 0 || fs.f_favail > 0;
}

/* --- versions of a file ---------------------------------------------------------------------- */

/* A file that vanishes or appears has changed too. */
struct pv_filestamp pv_filestamp_of(const char *file)
{
    struct stat st;
    if (stat(file, &st) < 0)
        return (struct pv_filestamp){.size = 0};
    return (struct pv_filestamp){
        .inode = st.st_ino,
        .size = st.st_size,
        .mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
    };
}

/* The inode counts too: a renewal writes another file and renames it, perhaps of the same size
 * within one tick of the clock. */
bool pv_filestamp_equal(const struct pv_filestamp *a, const struct pv_filestamp *b)
{
    return a->inode == b->inode && a->size == b->size && a->mtime_ns == b->mtime_ns;
}
