/* SPDX-License-Identifier: MIT */
/* enter.c - namespaces by the descriptor of one of them. */
#include "ctl/lib/enter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "sys/net/inside.h"
#include "sys/proc/sandbox.h"

/* Its number may be another process' by now, when p2pvpnd has ended. */
static bool is_giver(int pid)
{
    char name[32] = "";
    FILE *f = fopen(PV_STR("/proc/%d/comm", pid), "re");
    if (f != NULL && fgets(name, sizeof(name), f) == NULL)
        name[0] = '\0';
    if (f != NULL)
        fclose(f);
    return strcmp(name, "p2pvpnd-giver\n") == 0;
}

int pv_enter_open(int pid, int *ret_net)
{
    struct stat own, its;
    int fd = open(PV_STR("/proc/%d/ns/net", pid), O_RDONLY | O_CLOEXEC);
    int r = fd < 0 || fstat(fd, &its) < 0 || stat("/proc/self/ns/net", &own) < 0 ? -errno : PV_OK;
    if (r == PV_OK && !is_giver(pid))
        r = PV_ERR_NOT_FOUND;
    bool there = r == PV_OK && own.st_dev == its.st_dev && own.st_ino == its.st_ino;
    if (fd >= 0 && (r < 0 || there))
        close(fd);
    *ret_net = there ? -1 : fd;
    return r;
}

int pv_enter(int net)
{
    int user = ioctl(net, NS_GET_USERNS), r = user < 0 ? -errno : PV_OK;
    uid_t owner = (uid_t)-1;
    /* The owner of a user namespace rules the programs in it, root's too, and p2pvpnd may lie. */
    if (r == PV_OK && (ioctl(user, NS_GET_OWNER_UID, &owner) < 0 || owner != geteuid()))
        r = -EPERM;
    if (r == PV_OK && (setns(user, CLONE_NEWUSER) < 0 || setns(net, CLONE_NEWNET) < 0))
        r = -errno;
    if (user >= 0)
        close(user);
    return r;
}

int pv_enter_drop_rights(void)
{
    int r = pv_sandbox_become(NULL, (uint64_t)1 << CAP_NET_RAW);
    /* The bounding set keeps one, which a ping(8) that has it by its file needs to start at all. */
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return r;
}

/* A connection whose descriptor it kept would not end when this process closes it. */
static void be_giver(int net, int asker, pid_t parent)
{
    if (pv_enter(net) < 0 || pv_enter_drop_rights() < 0)
        _exit(1);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* here, for a change of rights takes it away */
    close_range(STDERR_FILENO + 1, (unsigned)asker - 1, 0);
    close_range((unsigned)asker + 1, ~0u, 0);
    if (getppid() == parent)
        pv_inside_serve(asker);
    _exit(0);
}

int pv_enter_giver(int net, int *ret_giver)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    (void)fflush(NULL);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        be_giver(net, pair[1], parent);
    int r = pid < 0 ? -errno : PV_OK;
    close(pair[1]);
    if (r < 0)
        close(pair[0]);
    else
        *ret_giver = pair[0];
    return r;
}
