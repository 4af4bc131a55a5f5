/* SPDX-License-Identifier: MIT */
/*
 * helper_inside.c - the inside: a user and a network namespace of this user alone, in which the
 * kernel lets anybody make interfaces, and the process that gives sockets of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/remedy.h"
#include "base/text.h"
#include "sys/helper/helper_proto.h"
#include "sys/helper/hostctl.h"
#include "sys/net/inside.h"
#include "sys/proc/child.h"

/* --- namespaces ---------------------------------------------------------------------------- */

/* A switch of this machine keeps users from namespaces: which one, and who can change it. */
static struct pv_reason reason(int err)
{
    if (err == EINVAL || err == ENOSYS)
        return (struct pv_reason){"this kernel has no user namespaces", PV_DO(give_rights)};
    if (err == ENOSPC || err == EUSERS || pv_switch_read("/proc/sys/user/max_user_namespaces") == 0)
        return (struct pv_reason){"no more are allowed",
                                  PV_DO(sysctl_as_root, "user.max_user_namespaces=1000")};
    if (pv_switch_read("/proc/sys/kernel/unprivileged_userns_clone") == 0)
        return (struct pv_reason){"users may not make any",
                                  PV_DO(sysctl_as_root, "kernel.unprivileged_userns_clone=1")};
    if (pv_switch_read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") > 0)
        return (struct pv_reason){"AppArmor keeps users from them", PV_DO(allow_in_apparmor)};
    return (struct pv_reason){"not permitted, as in a container of docker's default profile",
                              PV_DO(allow_namespaces)};
}

/* The user is who it was, and the only one. A root without CAP_SETFCAP may not say so of itself
 * (user_namespaces(7)) and has no name inside, which the interface does not need. */
static int map_user(uid_t uid, gid_t gid)
{
    char line[64];
    snprintf(line, sizeof(line), "%u %u 1\n", (unsigned)uid, (unsigned)uid);
    int r = pv_switch_write("/proc/self/uid_map", line);
    if (r == -EPERM && uid == 0)
        r = PV_OK;
    snprintf(line, sizeof(line), "%u %u 1\n", (unsigned)gid, (unsigned)gid);
    if (r == PV_OK)
        r = pv_switch_write("/proc/self/setgroups", "deny");
    return r == PV_OK ? pv_switch_write("/proc/self/gid_map", line) : r;
}

/* Programs speak to themselves by it, and the kernel to its own addresses. */
static int set_up_loopback(void)
{
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int r = ioctl(fd, SIOCSIFFLAGS, &lo) < 0 ? -errno : PV_OK;
    close(fd);
    return r;
}

int pv_helper_inside_make(char ret_error[static PV_HELPER_ERROR_MAX])
{
    const uid_t uid = geteuid();
    const gid_t gid = getegid();
    int r = unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0 ? -errno : PV_OK;
    /* The files of a process that is not dumpable belong to root. */
    (void)prctl(PR_SET_DUMPABLE, 1);
    if (r == PV_OK)
        r = map_user(uid, gid);
    if (r < 0) {
        snprintf(ret_error, PV_HELPER_ERROR_MAX, "make a network of this user's: %s: %s",
                 strerror(-r), PV_REASON_STR(reason(-r)));
        return r;
    }
    /* ping(8) without rights, as systemd allows it on most machines. Not worth a network. */
    (void)!pv_switch_write("/proc/sys/net/ipv4/ping_group_range",
                           PV_STR("%u %u", (unsigned)gid, (unsigned)gid));
    /* All programs there are this user's, so no port is anybody else's to keep. */
    (void)!pv_switch_write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
    r = set_up_loopback();
    if (r < 0)
        snprintf(ret_error, PV_HELPER_ERROR_MAX, "set up lo of this user's network: %s: %s",
                 strerror(-r), PV_REASON_STR(reason(-r)));
    return r;
}

/* --- the giver ----------------------------------------------------------------------------- */

/* It has nothing to hide, and other programs of its user find the inside by it: `p2pvpnctl run`
 * opens /proc/PID/ns. */
static void be_giver(int daemon, pid_t parent, const void *ctx)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent && pv_helper_sandbox_as(PV_HELPER_ROLE_GIVER, NULL) == PV_OK &&
        prctl(PR_SET_DUMPABLE, 1) == 0)
        pv_inside_serve(daemon);
}

int pv_helper_inside_giver(int *ret_fd, pid_t *ret_pid)
{
    return pv_child_fork("p2pvpnd-giver", be_giver, NULL, NULL, ret_fd, ret_pid);
}
