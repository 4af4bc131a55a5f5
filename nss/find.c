/* SPDX-License-Identifier: MIT */
/* Looks a name or address up in the names files of /run/p2pvpn, which it reads and does not trust.
 */
#include "nss/find.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FILE_NAME_BUF = 64, /* longer names are no names files of p2pvpnd */
};

struct wanted {
    const char *name; /* NULL: by address */
    const char *network;
    const struct pv_addr *addr;
    bool claimed; /* out: the file looked at last says that it is of this network */
};

struct file_names {
    char name[PV_NSS_MAX_FILES][FILE_NAME_BUF];
    size_t n;
};

/* How much of a file's name is that of its daemon: "work" in "work.names" and "work.recent.names",
 * where those are who came lately. */
static size_t daemon_len(const char *file)
{
    static const char recent[] = ".recent";
    size_t len = strlen(file) - strlen(".names");
    size_t less = len > strlen(recent) ? len - strlen(recent) : len;
    return strncmp(file + less, recent, strlen(recent)) == 0 ? less : len;
}

static bool are_of_one_daemon(const char *a, const char *b)
{
    size_t n = daemon_len(a);
    return n == daemon_len(b) && memcmp(a, b, n) == 0;
}

/* Is it the first network's? The others' daemons cannot be called so (ctl/lib/instance.h). */
static bool is_first(const char *file)
{
    return are_of_one_daemon(file, "p2pvpnd.names");
}

static bool stands_before(const char *a, const char *b)
{
    return is_first(a) != is_first(b) ? is_first(a) : strcmp(a, b) < 0;
}

/* The *.names of the directory, the first network's before the others, these in alphabetical order,
 * so that every call asks them in the same. */
static void list_files(DIR *dir, struct file_names *ret_files)
{
    static const char suffix[] = ".names";
    const struct dirent *entry;
    ret_files->n = 0;
    while ((entry = readdir(dir)) != NULL) {
        size_t len = strlen(entry->d_name);
        if (entry->d_name[0] == '.' || len >= FILE_NAME_BUF || len < sizeof(suffix) ||
            strcmp(entry->d_name + len - sizeof(suffix) + 1, suffix) != 0)
            continue;
        bool full = ret_files->n == PV_NSS_MAX_FILES;
        if (full && !stands_before(entry->d_name, ret_files->name[ret_files->n - 1]))
            continue;
        size_t at = full ? ret_files->n - 1 : ret_files->n++; /* the last one gives way */
        /* Insertion sort: there are a handful of files at most. */
        while (at > 0 && stands_before(entry->d_name, ret_files->name[at - 1])) {
            memcpy(ret_files->name[at], ret_files->name[at - 1], FILE_NAME_BUF);
            at--;
        }
        memcpy(ret_files->name[at], entry->d_name, len + 1);
    }
}

static int search(struct pv_view bytes, struct wanted *want, struct pv_nss_found *ret_found)
{
    struct pv_names names;
    struct pv_names_entry e;
    int r = pv_names_open(bytes, &names);
    if (r < 0)
        return PV_ERR_MALFORMED;
    want->claimed = want->name != NULL && strcmp(want->network, names.network) == 0;
    /* "pi.home" must not be answered by a node "pi" of another network. */
    if (want->name == NULL)
        r = pv_names_by_ip(&names, want->addr, &e);
    else if (want->network[0] != '\0' && strcmp(want->network, names.network) != 0)
        r = PV_ERR_NOT_FOUND;
    else
        r = pv_names_by_name(&names, want->name, &e);
    if (r < 0)
        return r;
    memcpy(ret_found->name, e.name, sizeof(ret_found->name));
    pv_names_full(e.name, names.network, ret_found->full);
    ret_found->ip4 = e.ip4;
    ret_found->ip6 = e.ip6;
    return PV_OK;
}

/* Root wrote it, or whoever runs this program, or the user that the directory was made for (the
 * service's), and nobody else could have. */
static bool is_trusted(const struct stat *st, int dir_fd)
{
    struct stat dir;
    return S_ISREG(st->st_mode) && (st->st_mode & (S_IWGRP | S_IWOTH)) == 0 &&
           (st->st_uid == 0 || st->st_uid == geteuid() ||
            (fstat(dir_fd, &dir) == 0 && (dir.st_mode & (S_IWGRP | S_IWOTH)) == 0 &&
             st->st_uid == dir.st_uid));
}

/* Read and not mapped: an owner that cuts the file meanwhile would end this program (SIGBUS).
 * Less than size: PV_ERR_MALFORMED. */
static int read_whole(int fd, uint8_t *dst, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t n = pread(fd, dst + at, size - at, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return PV_ERR_MALFORMED;
        at += (size_t)n;
    }
    return PV_OK;
}

/* O_NONBLOCK: a FIFO in place of the file must not hang every program that resolves a name. The
 * caller frees the bytes. */
static int read_file(int dir_fd, const char *name, uint8_t **ret_bytes, struct pv_view *ret_view)
{
    struct stat st;
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? PV_ERR_NOT_FOUND : -errno;
    uint8_t *bytes = NULL;
    int r = PV_ERR_MALFORMED;
    /* The bounds come before the memory: the file may be anything. */
    if (fstat(fd, &st) == 0 && is_trusted(&st, dir_fd) && st.st_size >= PV_NAMES_HEAD &&
        (size_t)st.st_size <= PV_NAMES_SIZE(PV_NAMES_MAX)) {
        bytes = malloc((size_t)st.st_size);
        r = bytes == NULL ? PV_ERR_NOMEM : read_whole(fd, bytes, (size_t)st.st_size);
    }
    close(fd);
    if (r < 0) {
        free(bytes);
        return r;
    }
    *ret_bytes = bytes;
    *ret_view = pv_view(bytes, (size_t)st.st_size);
    return PV_OK;
}

static int search_file(int dir_fd, const char *name, struct wanted *want,
                       struct pv_nss_found *ret_found)
{
    uint8_t *bytes;
    struct pv_view view;
    int r = read_file(dir_fd, name, &bytes, &view);
    if (r < 0)
        return r;
    r = search(view, want, ret_found);
    free(bytes);
    return r;
}

/* While the file of all takes over who came lately, both have them. */
static bool is_same(const struct pv_nss_found *a, const struct pv_nss_found *b)
{
    return strcmp(a->full, b->full) == 0 && pv_addr_equal_ip(&a->ip4, &b->ip4) &&
           pv_addr_equal_ip(&a->ip6, &b->ip6);
}

/* The first network keeps what it has, whatever others call themselves. Else a short
 * name that two networks have is nobody's, and so is a network that two daemons say is theirs: whom
 * a message reaches must depend neither on the order of files nor on what the daemon of another
 * network writes into its own. */
static int find(const char *path, struct wanted *want, struct pv_nss_found *ret_found)
{
    struct file_names files;
    struct pv_nss_found found;
    const char *claimant = NULL;
    DIR *dir = opendir(path);
    int status = PV_ERR_NOT_FOUND;
    bool several = false, is_settled = false;
    if (dir == NULL)
        return errno == ENOENT || errno == ENOTDIR ? PV_ERR_NOT_FOUND : -errno;
    list_files(dir, &files);
    for (size_t i = 0; i < files.n; i++) {
        if (is_settled && !is_first(files.name[i]))
            break;
        want->claimed = false;
        int r = search_file(dirfd(dir), files.name[i], want, &found);
        several =
            several || (r == PV_OK && status == PV_OK && !is_same(&found, ret_found)) ||
            (want->claimed && claimant != NULL && !are_of_one_daemon(claimant, files.name[i]));
        if (want->claimed)
            claimant = files.name[i];
        if (r == PV_OK)
            *ret_found = found;
        if (r == PV_OK || (r != PV_ERR_NOT_FOUND && status != PV_OK))
            status = r; /* a broken file must not hide what a whole one has */
        is_settled = is_settled || (is_first(files.name[i]) && (r == PV_OK || want->claimed));
    }
    closedir(dir);
    return several ? PV_ERR_EXISTS : status;
}

int pv_nss_by_name(const char *dir, const char *text, struct pv_nss_found *ret_found)
{
    char name[PV_NAME_BUF], network[PV_NAME_BUF];
    struct wanted want = {.name = name, .network = network};
    /* A name that is not of a form p2pvpnd gives out is left to the next service. */
    if (pv_names_split(text, name, network) < 0)
        return PV_ERR_NOT_FOUND;
    return find(dir, &want, ret_found);
}

int pv_nss_by_addr(const char *dir, const struct pv_addr *addr, struct pv_nss_found *ret_found)
{
    struct wanted want = {.addr = addr};
    int r = find(dir, &want, ret_found);
    return r == PV_ERR_EXISTS ? PV_ERR_NOT_FOUND : r;
}

/* --- names that two networks have ------------------------------------------------------------ */

struct shared_list {
    struct pv_nss_shared *items;
    size_t n, cap; /* n counts those that have no place, too */
};

/* Files of the first network are compared before all others. */
static bool is_firsts(const struct shared_list *list, const char *name)
{
    for (size_t i = 0; i < list->n && i < list->cap; i++)
        if (list->items[i].means_first && strcmp(list->items[i].name, name) == 0)
            return true;
    return false;
}

/* Both are sorted by name. A damaged record ends it. */
static void compare(const struct pv_names *a, const struct pv_names *b, bool a_is_first,
                    struct shared_list *list)
{
    struct pv_names_entry of_a, of_b;
    for (uint32_t i = 0, k = 0; i < a->n && k < b->n;) {
        if (pv_names_at(a, i, &of_a) < 0 || pv_names_at(b, k, &of_b) < 0)
            return;
        int order = strcmp(of_a.name, of_b.name);
        i += order <= 0;
        k += order >= 0;
        if (order != 0 || (!a_is_first && is_firsts(list, of_a.name)))
            continue;
        if (list->n < list->cap) {
            struct pv_nss_shared *s = &list->items[list->n];
            memcpy(s->name, of_a.name, sizeof(s->name));
            memcpy(s->of[0], a->network, sizeof(s->of[0]));
            memcpy(s->of[1], b->network, sizeof(s->of[1]));
            s->ip4[0] = of_a.ip4;
            s->ip4[1] = of_b.ip4;
            s->ip6[0] = of_a.ip6;
            s->ip6[1] = of_b.ip6;
            s->means_first = a_is_first;
        }
        list->n++;
    }
}

/* Those that the i-th file has in common with the files behind it. */
static void compare_with_rest(int dir_fd, const struct file_names *files, size_t i,
                              const struct pv_names *names, struct shared_list *list)
{
    for (size_t k = i + 1; k < files->n; k++) {
        uint8_t *bytes;
        struct pv_view view;
        struct pv_names others;
        if (are_of_one_daemon(files->name[i], files->name[k]) ||
            read_file(dir_fd, files->name[k], &bytes, &view) < 0)
            continue;
        if (pv_names_open(view, &others) == PV_OK)
            compare(names, &others, is_first(files->name[i]), list);
        free(bytes);
    }
}

size_t pv_nss_find_shared(const char *path, struct pv_nss_shared *ret_shared, size_t cap)
{
    struct shared_list list = {.items = ret_shared, .cap = cap};
    struct file_names files;
    DIR *dir = opendir(path);
    if (dir == NULL)
        return 0;
    list_files(dir, &files);
    for (size_t i = 0; i < files.n; i++) {
        uint8_t *bytes;
        struct pv_view view;
        struct pv_names names;
        if (read_file(dirfd(dir), files.name[i], &bytes, &view) < 0)
            continue;
        if (pv_names_open(view, &names) == PV_OK)
            compare_with_rest(dirfd(dir), &files, i, &names, &list);
        free(bytes);
    }
    closedir(dir);
    return list.n;
}

bool pv_nss_is_ours(const char *text)
{
    static const char suffix[] = ".p2p";
    size_t len = strlen(text);
    /* A dot at the end only says that no search domain may be added. */
    len -= len > 0 && text[len - 1] == '.';
    return len > sizeof(suffix) - 1 &&
           strncasecmp(text + len - (sizeof(suffix) - 1), suffix, sizeof(suffix) - 1) == 0;
}

bool pv_nss_is_short(const char *text)
{
    const char *dot = strchr(text, '.');
    return dot == NULL || dot[1] == '\0';
}

/* Is this name among the words behind the address? The line is taken apart. */
static bool line_has(char *line, const char *name)
{
    static const char blanks[] = " \t\r\n";
    char *rest = NULL;
    line[strcspn(line, "#")] = '\0';
    if (strtok_r(line, blanks, &rest) == NULL)
        return false;
    for (const char *word; (word = strtok_r(NULL, blanks, &rest)) != NULL;)
        if (strcasecmp(word, name) == 0)
            return true;
    return false;
}

bool pv_nss_in_hosts(const char *path, const char *name)
{
    FILE *f = fopen(path, "re");
    char *line = NULL;
    size_t cap = 0;
    bool found = false;
    while (f != NULL && !found && getline(&line, &cap, f) >= 0)
        found = line_has(line, name);
    free(line);
    if (f != NULL)
        fclose(f);
    return found;
}
