/* SPDX-License-Identifier: MIT */
/* rights.c - from root to the user of chat, who has one directory and no network of its own. */
#include "chat/program/rights.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/file/file.h"

int pv_chatd_hand_over(const char *state, const struct pv_sandbox_user *user)
{
    static const char *const ours[] = {"chat.db", NULL};
    struct stat st;
    const bool is_theirs =
        stat(state, &st) == 0 && st.st_uid == user->uid && (st.st_mode & 0077) == 0;
    int r = is_theirs ? PV_OK : pv_dir_may_take(state, ours);
    if (r == PV_OK)
        r = pv_dir_make(state, 0700);
    if (r < 0 || geteuid() != 0)
        return r;
    int fd = open(state, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return pv_dir_give(fd,
                       &(struct pv_dir_gift){.uid = user->uid, .gid = user->gid, .below = "files"});
}

static int keep_files(const char *state, int *ret_landlock)
{
    const struct pv_sandbox_path paths[] = {
        {state, PV_SANDBOX_READ | PV_SANDBOX_WRITE},
        {"/proc/self", PV_SANDBOX_READ},
        {"/sys/devices/system/cpu", PV_SANDBOX_READ},
        {"/dev/null", PV_SANDBOX_READ | PV_SANDBOX_WRITE},
        {"/dev/urandom", PV_SANDBOX_READ},
        {"/etc/localtime", PV_SANDBOX_READ},
        {"/usr/share/zoneinfo", PV_SANDBOX_READ},
    };
    int r = pv_sandbox_files(paths, PV_ARRAY_LEN(paths),
                             PV_SANDBOX_NO_TCP_CONNECT | PV_SANDBOX_NO_TCP_BIND |
                                 PV_SANDBOX_NO_SIGNALS | PV_SANDBOX_NO_ABSTRACT,
                             ret_landlock);
    return r == PV_ERR_UNSUPPORTED ? PV_OK : r;
}

/* The node's socket is connected to again and again: p2pvpnd may start anew. */
static int keep_calls(bool *ret_seccomp)
{
    static const struct pv_sandbox_call more[] = {
        {"ioctl", 1, SIOCOUTQ},           {"ioctl", 1, SIOCINQ},
        {"fallocate", PV_SANDBOX_ANY, 0}, {"wait4", PV_SANDBOX_ANY, 0},
        {"waitpid", PV_SANDBOX_ANY, 0},
    };
    int r = pv_sandbox_calls(PV_SANDBOX_CALLS_RUN | PV_SANDBOX_CALLS_FILES |
                                 PV_SANDBOX_CALLS_SOCKETS | PV_SANDBOX_CALLS_UNIX,
                             more, PV_ARRAY_LEN(more));
    *ret_seccomp = r == PV_OK;
    return r == PV_ERR_UNSUPPORTED ? PV_OK : r;
}

int pv_chatd_give_up(const struct pv_sandbox_user *user, const char *state,
                     char ret_text[static PV_SANDBOX_TEXT_MAX])
{
    struct pv_sandbox_report report;
    int landlock = 0;
    bool seccomp = false;
    int r = pv_sandbox_become(user->uid == geteuid() ? NULL : user, 0);
    if (r == PV_OK)
        r = pv_sandbox_no_new_privs();
    if (r == PV_OK)
        r = keep_files(state, &landlock);
    if (r == PV_OK)
        r = keep_calls(&seccomp);
    pv_sandbox_read(&report, seccomp, landlock);
    report.user = *user;
    (void)pv_sandbox_format(&report, ret_text);
    return r;
}
