/* SPDX-License-Identifier: MIT */
/*
 * confine.c - becoming another user without capabilities, and saying what is in force.
 */
#include "sys/proc/confine.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <nss.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    CAP_WORDS = _LINUX_CAPABILITY_U32S_3,
};

/* --- users ---------------------------------------------------------------------------------- */

void pv_confine_libc(void)
{
#ifdef PV_STATIC
    /* Each database is known and each service built in, so that it cannot fail. */
    (void)__nss_configure_lookup("passwd", "files");
    (void)__nss_configure_lookup("group", "files");
    (void)__nss_configure_lookup("hosts", "files dns");
#endif
}

int pv_confine_find_user(const char *name, struct pv_confine_user *ret_user)
{
    const struct passwd *entry = getpwnam(name);
    if (entry == NULL)
        return PV_ERR_NOT_FOUND;
    *ret_user = (struct pv_confine_user){.uid = entry->pw_uid, .gid = entry->pw_gid};
    snprintf(ret_user->name, sizeof(ret_user->name), "%s", name);
    return PV_OK;
}

/* A service of systemd that has the number as its own leaves a file while it runs. */
static bool is_taken(uid_t uid)
{
    char path[64];
    snprintf(path, sizeof(path), "/run/systemd/dynamic-uid/%u", (unsigned)uid);
    return getpwuid(uid) != NULL || getgrgid(uid) != NULL || access(path, F_OK) == 0;
}

/* The number depends on the name alone, so that files of an earlier run have the right owner. */
int pv_confine_spare_user(const char *name, struct pv_confine_user *ret_user)
{
    const uint32_t n = PV_CONFINE_SPARE_LAST - PV_CONFINE_SPARE_FIRST + 1;
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (const char *c = name; *c != '\0'; c++)
        hash = (hash ^ (uint8_t)*c) * 16777619u;
    for (uint32_t i = 0; i < n; i++) {
        uid_t uid = PV_CONFINE_SPARE_FIRST + (hash + i) % n;
        if (is_taken(uid))
            continue;
        *ret_user = (struct pv_confine_user){.uid = uid, .gid = uid};
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
static int change_user(const struct pv_confine_user *user, uint64_t caps)
{
    if (prctl(PR_SET_KEEPCAPS, caps != 0 ? 1 : 0, 0, 0, 0) < 0 || setgroups(0, NULL) < 0 ||
        setresgid(user->gid, user->gid, user->gid) < 0 ||
        setresuid(user->uid, user->uid, user->uid) < 0)
        return -errno;
    return PV_OK;
}

int pv_confine_become(const struct pv_confine_user *user, uint64_t caps)
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

int pv_confine_no_new_privs(void)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : PV_OK;
}

/* --- what is in force ----------------------------------------------------------------------- */

/* The names come by number: after confinement the data base may be out of reach. */
void pv_confine_read(struct pv_confine_report *ret_report, bool seccomp, int landlock)
{
    struct pv_confine_report r = {
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
    size_t used = 0;
    dst[0] = '\0';
    for (size_t i = 0; i < PV_ARRAY_LEN(names); i++) {
        uint64_t bit = (uint64_t)1 << names[i].cap;
        if ((caps & bit) != 0 && used < size)
            used += (size_t)snprintf(dst + used, size - used, "%s%s", used > 0 ? " " : "",
                                     names[i].name);
        caps &= ~bit;
    }
    if (caps != 0 && used < size)
        snprintf(dst + used, size - used, "%scapabilities %llx", used > 0 ? " " : "",
                 (unsigned long long)caps);
}

const char *pv_confine_format(const struct pv_confine_report *report,
                              char ret_text[static PV_CONFINE_TEXT_MAX])
{
    char caps[128], landlock[24];
    char uid[16] = "";
    format_caps(report->caps, caps, sizeof(caps));
    snprintf(landlock, sizeof(landlock), report->landlock > 0 ? "Landlock %d" : "no Landlock",
             report->landlock);
    if (report->user.name[0] < '0' || report->user.name[0] > '9')
        snprintf(uid, sizeof(uid), " (%u)", (unsigned)report->user.uid);
    snprintf(ret_text, PV_CONFINE_TEXT_MAX, "user %s%s, %s, %s, %s, %s", report->user.name, uid,
             report->caps == 0 ? "no capabilities" : caps,
             report->no_new_privs ? "no new privileges" : "new privileges by exec",
             report->seccomp ? "seccomp" : "no seccomp", landlock);
    return ret_text;
}
