/* SPDX-License-Identifier: MIT */
/*
 * hostctl.c - switches of the kernel, set and put back. One is put back only while it still has the
 * value that was set here: whoever changed it since has decided.
 *
 * Forwarding is switched on so that others who do the same can be seen: of IPv4 on single
 * interfaces, while theirs is ip_forward; of IPv6 everywhere, since nothing else has an effect,
 * and `default` is put back: the kernel sets it whenever somebody writes to `all`.
 */
#include "sys/helper/hostctl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/remedy.h"
#include "base/text.h"
#include "sys/file/file.h"

enum {
    /* Bytes: a line has a key and a digit; two have an interface, one the slot, one a word. */
    FILE_MAX = PV_HOSTCTL_KEPT * (PV_HOSTCTL_KEY_MAX + 4) + 90,
};

#define INTERFACE "interface "
#define FORMER    "former "
#define SLOT      "slot "
#define EXIT      "exit"
#define ROOT      "/proc/sys/net/"

static const char key_forward4[] = "ipv4/ip_forward";
static const char key_forward6[] = "ipv6/conf/all/forwarding";
static const char key_default6[] = "ipv6/conf/default/forwarding";
static const char key_mark[] = "ipv4/conf/all/src_valid_mark";
static const char all_redirects[] = "ipv4/conf/all/send_redirects";

int64_t pv_switch_read(const char *path)
{
    char text[24] = "";
    uint64_t value;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return pv_u64_parse(text, 0, INT64_MAX, &value) < 0 ? -1 : (int64_t)value;
}

int pv_switch_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = write(fd, text, strlen(text)) < 0 ? -errno : PV_OK;
    close(fd);
    return r;
}

/* -1: there is no such switch, or it has more values than the file can keep. */
static int read_switch(const char *key)
{
    char path[PV_HOSTCTL_KEY_MAX + sizeof(ROOT)];
    snprintf(path, sizeof(path), ROOT "%s", key);
    int64_t value = pv_switch_read(path);
    return value > 9 ? -1 : (int)value;
}

static int write_switch(const char *key, int value)
{
    char path[PV_HOSTCTL_KEY_MAX + sizeof(ROOT)], text[4];
    snprintf(path, sizeof(path), ROOT "%s", key);
    snprintf(text, sizeof(text), "%d\n", value);
    return pv_switch_write(path, text);
}

/* --- what was before ----------------------------------------------------------------------- */

/* The file is ours, in a directory of ours; still it leads to no other switch. */
static bool is_ours(const char *key)
{
    char name[PV_HOSTCTL_KEY_MAX];
    if (strcmp(key, key_forward6) == 0 || strcmp(key, key_mark) == 0)
        return true;
    char again[2 * PV_HOSTCTL_KEY_MAX] = "";
    if (strstr(key, "..") != NULL)
        return false;
    if (sscanf(key, "ipv6/conf/%63[^/]", name) == 1)
        snprintf(again, sizeof(again), "ipv6/conf/%s/accept_ra", name);
    else if (sscanf(key, "ipv4/conf/%63[^/]", name) == 1)
        snprintf(again, sizeof(again), "ipv4/conf/%s/forwarding", name);
    return strcmp(again, key) == 0;
}

static void take_name(const char *line, const char *word, char ret_name[static PV_NETPLAN_IFNAME])
{
    const size_t len = strlen(word);
    if (strncmp(line, word, len) == 0 && pv_ifname_is_valid(line + len))
        snprintf(ret_name, PV_NETPLAN_IFNAME, "%s", line + len);
}

bool pv_hostctl_load(struct pv_hostctl *ctl)
{
    char *text = NULL;
    size_t len = 0;
    ctl->n = 0;
    ctl->ifname[0] = ctl->former[0] = '\0';
    ctl->has_slot = ctl->has_exit = false;
    if (ctl->path[0] == '\0' || pv_file_read(ctl->path, FILE_MAX, &text, &len) < 0)
        return false;
    char *rest = text, *line;
    while ((line = strsep(&rest, "\n")) != NULL && ctl->n < PV_HOSTCTL_KEPT) {
        struct pv_hostctl_kept *k = &ctl->kept[ctl->n];
        take_name(line, INTERFACE, ctl->ifname);
        take_name(line, FORMER, ctl->former);
        if (strncmp(line, SLOT, sizeof(SLOT) - 1) == 0)
            ctl->has_slot = ctl->has_said = sscanf(line + sizeof(SLOT) - 1, "%3u", &ctl->slot) == 1;
        ctl->has_exit = ctl->has_exit || strcmp(line, EXIT) == 0;
        if (sscanf(line, "%63s %1d", k->key, &k->before) == 2 && is_ours(k->key))
            ctl->n++;
    }
    pv_file_free(text, len);
    return true;
}

/* As a whole: a reader after a crash finds the old list or the new one. */
static bool save(const struct pv_hostctl *ctl)
{
    char text[FILE_MAX];
    struct pv_text lines = pv_text_in(text, sizeof(text));
    if (ctl->path[0] == '\0')
        return true;
    if (ctl->ifname[0] != '\0')
        pv_text_add(&lines, INTERFACE "%s\n", ctl->ifname);
    if (ctl->former[0] != '\0')
        pv_text_add(&lines, FORMER "%s\n", ctl->former);
    if (ctl->has_slot)
        pv_text_add(&lines, SLOT "%u\n", ctl->slot);
    if (ctl->has_exit)
        pv_text_add(&lines, EXIT "\n");
    for (size_t i = 0; i < ctl->n; i++)
        pv_text_add(&lines, "%s %d\n", ctl->kept[i].key, ctl->kept[i].before);
    return pv_file_write(ctl->path, pv_view(text, lines.len), 0600) == PV_OK;
}

void pv_hostctl_mark(const struct pv_hostctl *ctl)
{
    (void)save(ctl);
}

void pv_hostctl_forget(struct pv_hostctl *ctl)
{
    if (ctl->path[0] != '\0')
        (void)unlink(ctl->path);
    ctl->has_slot = false;
}

/* --- the networks of this machine ------------------------------------------------------------ */

typedef bool other_fn(void *arg, const struct pv_hostctl *other);

/* Until fn says true; false: it never did. */
static bool each_other(const struct pv_hostctl *ctl, other_fn *fn, void *arg)
{
    char dir[PV_HOSTCTL_PATH_MAX];
    const char *own = strrchr(ctl->path, '/');
    const char *end = own == NULL ? NULL : strrchr(own, '.');
    bool found = false;
    if (end == NULL)
        return false;
    snprintf(dir, sizeof(dir), "%.*s", (int)(own - ctl->path), ctl->path);
    DIR *d = opendir(dir);
    for (struct dirent *e; d != NULL && !found && (e = readdir(d)) != NULL;) {
        struct pv_hostctl other = {.n = 0};
        const char *of = strrchr(e->d_name, '.');
        if (of == NULL || strcmp(of, end) != 0 || strcmp(e->d_name, own + 1) == 0)
            continue;
        struct pv_text path = pv_text_in(other.path, sizeof(other.path));
        pv_text_add(&path, "%s/%s", dir, e->d_name);
        found = !path.cut && pv_hostctl_load(&other) && fn(arg, &other);
    }
    if (d != NULL)
        closedir(d);
    return found;
}

static bool has_slot(void *arg, const struct pv_hostctl *other)
{
    const unsigned *slot = arg;
    return other->has_slot && other->slot == *slot;
}

static bool has_exit(void *arg, const struct pv_hostctl *other)
{
    return other->has_exit;
}

bool pv_hostctl_has_other_exit(const struct pv_hostctl *ctl)
{
    return each_other(ctl, has_exit, NULL);
}

static bool is_called(void *arg, const struct pv_hostctl *other)
{
    return strcmp(other->ifname, arg) == 0;
}

bool pv_hostctl_is_anothers(const struct pv_hostctl *ctl, const char *ifname)
{
    char name[PV_NETPLAN_IFNAME];
    snprintf(name, sizeof(name), "%s", ifname);
    return each_other(ctl, is_called, name);
}

void pv_hostctl_take_slot(struct pv_hostctl *ctl, unsigned wanted, unsigned count)
{
    char dir[PV_HOSTCTL_PATH_MAX];
    const char *end = strrchr(ctl->path, '/');
    unsigned slot = ctl->has_slot && ctl->slot < count ? ctl->slot : wanted;
    snprintf(dir, sizeof(dir), "%.*s", end == NULL ? 0 : (int)(end - ctl->path), ctl->path);
    /* One after the other. */
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        (void)flock(fd, LOCK_EX);
    for (unsigned i = 0; i < count && each_other(ctl, has_slot, &slot); i++)
        slot = (slot + 1) % count;
    ctl->slot = slot;
    ctl->has_slot = true;
    ctl->has_said = save(ctl);
    if (fd >= 0)
        close(fd);
}

static bool find_kept(const struct pv_hostctl *ctl, const char *key, size_t *ret_at)
{
    for (*ret_at = 0; *ret_at < ctl->n; ++*ret_at)
        if (strcmp(ctl->kept[*ret_at].key, key) == 0)
            return true;
    return false;
}

static bool is_kept(const struct pv_hostctl *ctl, const char *key)
{
    size_t at;
    return find_kept(ctl, key, &at);
}

static void forget(struct pv_hostctl *ctl, size_t at)
{
    ctl->kept[at] = ctl->kept[--ctl->n];
    (void)save(ctl);
}

/* The former value is on disk before it is changed. */
static int switch_to(struct pv_hostctl *ctl, const char *key, int value)
{
    int now = read_switch(key);
    if (now < 0 || now == value)
        return PV_OK;
    if (!is_kept(ctl, key)) {
        if (ctl->n == PV_HOSTCTL_KEPT)
            return PV_ERR_LIMIT;
        struct pv_hostctl_kept *k = &ctl->kept[ctl->n++];
        snprintf(k->key, sizeof(k->key), "%s", key);
        k->before = now;
        (void)save(ctl);
    }
    return write_switch(key, value);
}

static void switch_back(struct pv_hostctl *ctl, const char *key, int value)
{
    size_t at;
    if (!find_kept(ctl, key, &at))
        return;
    if (read_switch(key) == value)
        (void)write_switch(key, ctl->kept[at].before);
    forget(ctl, at);
}

/* --- forwarding ---------------------------------------------------------------------------- */

/* False: the name is too long for a key. */
static bool key_of4(const char *ifname, char ret_key[static PV_HOSTCTL_KEY_MAX])
{
    return snprintf(ret_key, PV_HOSTCTL_KEY_MAX, "ipv4/conf/%s/forwarding", ifname) <
           PV_HOSTCTL_KEY_MAX;
}

static bool is_key_of4(const char *key)
{
    const char *end = strrchr(key, '/');
    return strncmp(key, "ipv4/conf/", 10) == 0 && strcmp(end, "/forwarding") == 0;
}

void pv_hostctl_release(struct pv_hostctl *ctl)
{
    size_t at;
    for (size_t i = ctl->n; read_switch(key_forward4) == 1 && i-- > 0;)
        if (is_key_of4(ctl->kept[i].key))
            forget(ctl, i);
    if (find_kept(ctl, key_forward6, &at) && read_switch(key_default6) == 1)
        forget(ctl, at);
}

static bool keeps(void *arg, const struct pv_hostctl *other)
{
    return is_kept(other, arg);
}

/* On, because another network of ours says so. */
static bool is_set_by_another(const struct pv_hostctl *ctl, const char *key)
{
    char copy[PV_HOSTCTL_KEY_MAX];
    snprintf(copy, sizeof(copy), "%s", key);
    return !is_kept(ctl, key) && read_switch(key) == 1 && each_other(ctl, keeps, copy);
}

bool pv_hostctl_alone4(const struct pv_hostctl *ctl, const char *ifname, bool wanted)
{
    char key[PV_HOSTCTL_KEY_MAX];
    if (!key_of4(ifname, key) || read_switch(key_forward4) != 0)
        return false;
    return (wanted && (is_kept(ctl, key) || read_switch(key) == 0)) || is_set_by_another(ctl, key);
}

bool pv_hostctl_alone6(const struct pv_hostctl *ctl, bool wanted)
{
    /* The other one may not have seen yet that somebody else has. */
    return (wanted && (is_kept(ctl, key_forward6) || read_switch(key_forward6) == 0)) ||
           (read_switch(key_default6) != 1 && is_set_by_another(ctl, key_forward6));
}

static int switch_on4(struct pv_hostctl *ctl, const char *ifname)
{
    char key[PV_HOSTCTL_KEY_MAX];
    return key_of4(ifname, key) ? switch_to(ctl, key, 1) : PV_OK;
}

static int switch_on6(struct pv_hostctl *ctl)
{
    /* Where it is on already, `default` may just have been set by others: that is looked at first.
     */
    if (read_switch(key_forward6) == 1)
        return PV_OK;
    int r = switch_to(ctl, key_forward6, 1);
    if (r == PV_OK && is_kept(ctl, key_forward6) && read_switch(key_default6) == 1)
        (void)write_switch(key_default6, 0);
    return r;
}

/* --- redirects ----------------------------------------------------------------------------- */

/* A gateway forwards from the interface to the interface, and the kernel would answer each such
 * packet with a redirect. It sends none when both switches are off: that of the interface, and that
 * of all of them, which counts for every interface (kernel's ip-sysctl, send_redirects). */
static int switch_redirects(struct pv_hostctl *ctl, const struct pv_hostctl_wants *wants,
                            char key[static PV_HOSTCTL_KEY_MAX])
{
    int r = switch_to(ctl, all_redirects, 0);
    snprintf(key, PV_HOSTCTL_KEY_MAX, "ipv4/conf/%s/send_redirects", wants->ifname);
    return r == PV_OK ? switch_to(ctl, key, 0) : r;
}

static void restore_redirects(struct pv_hostctl *ctl)
{
    for (size_t i = ctl->n; i-- > 0;) {
        char key[PV_HOSTCTL_KEY_MAX];
        snprintf(key, sizeof(key), "%s", ctl->kept[i].key);
        if (strcmp(strrchr(key, '/'), "/send_redirects") == 0)
            switch_back(ctl, key, 0);
    }
}

/* Where nothing is to be forwarded any more. */
static void switch_off4(struct pv_hostctl *ctl, const struct pv_hostctl_wants *wants)
{
    for (size_t i = ctl->n; i-- > 0;) {
        char key[PV_HOSTCTL_KEY_MAX], now[PV_HOSTCTL_KEY_MAX];
        snprintf(now, sizeof(now), "%s", ctl->kept[i].key);
        bool wanted = wants->forward4 && key_of4(wants->ifname, key) && strcmp(key, now) == 0;
        for (size_t k = 0; k < wants->n_from4 && wants->forward4 && !wanted; k++)
            wanted = key_of4(wants->from4[k], key) && strcmp(key, now) == 0;
        if (!wanted && is_key_of4(now))
            switch_back(ctl, now, 1);
    }
}

/* --- interfaces ---------------------------------------------------------------------------- */

typedef bool each_interface(struct pv_hostctl *ctl, const char *name);

/* True when one of the calls was. */
static bool for_each(struct pv_hostctl *ctl, const char *dir, const char *own, each_interface *each)
{
    bool any = false;
    DIR *d = opendir(dir);
    if (d == NULL)
        return false;
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.' && strcmp(e->d_name, own) != 0 && each(ctl, e->d_name))
            any = true;
    closedir(d);
    return any;
}

/* A host that forwards believes no router's advertisement any more, unless told to: its own address
 * and its own way out would go (kernel's ip-sysctl, accept_ra). */
static bool keep_advertised(struct pv_hostctl *ctl, const char *name)
{
    char key[PV_HOSTCTL_KEY_MAX];
    if (strcmp(name, "all") == 0 ||
        snprintf(key, sizeof(key), "ipv6/conf/%s/accept_ra", name) >= (int)sizeof(key))
        return false;
    return read_switch(key) == 1 && switch_to(ctl, key, 2) < 0;
}

static bool checks_strictly(struct pv_hostctl *ctl, const char *name)
{
    char key[PV_HOSTCTL_KEY_MAX];
    return snprintf(key, sizeof(key), "ipv4/conf/%s/rp_filter", name) < (int)sizeof(key) &&
           read_switch(key) == 1;
}

static void drop_advertised(struct pv_hostctl *ctl)
{
    for (size_t i = ctl->n; i-- > 0;) {
        char key[PV_HOSTCTL_KEY_MAX];
        size_t len = strlen(ctl->kept[i].key);
        if (len < 9 || strcmp(ctl->kept[i].key + len - 9, "accept_ra") != 0)
            continue;
        snprintf(key, sizeof(key), "%s", ctl->kept[i].key);
        switch_back(ctl, key, 2);
    }
}

static void fail_at(char error[static PV_HOSTCTL_ERROR_MAX], const char *key, int value, int status)
{
    if (error[0] == '\0')
        snprintf(error, PV_HOSTCTL_ERROR_MAX, "set /proc/sys/net/%s to %d: %s: %s", key, value,
                 pv_strstatus(status), PV_DO_STR(set_sysctl, key, PV_STR("%d", value)));
}

static void fail(char error[static PV_HOSTCTL_ERROR_MAX], const char *key, int status)
{
    fail_at(error, key, 1, status);
}

void pv_hostctl_apply(struct pv_hostctl *ctl, const struct pv_hostctl_wants *wants,
                      char ret_error[static PV_HOSTCTL_ERROR_MAX])
{
    int r = PV_OK;
    ret_error[0] = '\0';
    bool all4 = read_switch(key_forward4) == 1;
    if (wants->forward4 && !all4 && (r = switch_on4(ctl, wants->ifname)) < 0)
        fail(ret_error, key_forward4, r);
    for (size_t i = 0; wants->forward4 && !all4 && i < wants->n_from4; i++)
        if ((r = switch_on4(ctl, wants->from4[i])) < 0)
            fail(ret_error, key_forward4, r);
    if (wants->forward6) {
        (void)for_each(ctl, ROOT "ipv6/conf", wants->ifname, keep_advertised);
        r = switch_on6(ctl);
        if (r < 0)
            fail(ret_error, key_forward6, r);
    }
    /* Only a strict check needs it. */
    if (wants->valid_mark && (r = switch_to(ctl, key_mark, 1)) < 0 &&
        for_each(ctl, ROOT "ipv4/conf", wants->ifname, checks_strictly))
        fail(ret_error, key_mark, r);
    if (wants->no_redirects) {
        char key[PV_HOSTCTL_KEY_MAX];
        r = switch_redirects(ctl, wants, key);
        if (r < 0)
            fail_at(ret_error, key, 0, r);
    } else {
        restore_redirects(ctl);
    }
    switch_off4(ctl, wants);
    if (!wants->forward6) {
        switch_back(ctl, key_forward6, 1);
        drop_advertised(ctl);
    }
    if (!wants->valid_mark)
        switch_back(ctl, key_mark, 1);
}
