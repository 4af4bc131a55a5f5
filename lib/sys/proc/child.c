/* SPDX-License-Identifier: MIT */
/* Forks processes of this program. */
#include "sys/proc/child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

void pv_child_keep_fds(const int *fds, size_t n)
{
    unsigned from = STDERR_FILENO + 1;
    /* The lowest that is left, again and again: there are few. */
    for (;;) {
        unsigned next = ~0u;
        for (size_t i = 0; i < n; i++)
            if (fds[i] >= 0 && (unsigned)fds[i] >= from && (unsigned)fds[i] < next)
                next = (unsigned)fds[i];
        if (next > from)
            close_range(from, next == ~0u ? next : next - 1, 0);
        if (next == ~0u)
            return;
        from = next + 1;
    }
}

/* The terminal's Ctrl-C and systemd's SIGTERM reach the child too; it stays until its parent has
 * finished with it. */
int pv_child_fork(const char *name, void (*be)(int fd, pid_t parent, const void *ctx),
                  const void *ctx, const int also[2], int *ret_fd, pid_t *ret_pid)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGQUIT};
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    fflush(NULL); /* or the child would write what we have buffered once more */
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        const int keep[] = {pair[1], also == NULL ? -1 : also[0], also == NULL ? -1 : also[1]};
        for (size_t i = 0; i < PV_ARRAY_LEN(ignored); i++)
            signal(ignored[i], SIG_IGN);
        pv_child_keep_fds(keep, PV_ARRAY_LEN(keep));
        prctl(PR_SET_NAME, name);
        be(pair[1], parent, ctx);
        _exit(0);
    }
    int r = pid < 0 ? -errno : PV_OK;
    close(pair[1]);
    if (r < 0) {
        close(pair[0]);
        return r;
    }
    *ret_fd = pair[0];
    *ret_pid = pid;
    return PV_OK;
}
