/* SPDX-License-Identifier: MIT */
/*
 * helper_task.c - children of the helper that do what needs no rights, without any. A router's
 * answer by UPnP is XML from the local network, parsed by a C library: it is done by nobody, in a
 * process with a few seconds of time, bounded memory and one descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/helper/helper_proto.h"
#include "sys/proc/sandbox.h"

enum {
    CPU_SECONDS = 3,        /* of computing */
    MEMORY_MAX = 256 << 20, /* bytes of address space, libraries included */
    FILES_MAX = 32,         /* descriptors */
};

static void set_limit(int what, uint64_t most)
{
    if (pv_sandbox_limit(what, most) < 0)
        _exit(1);
}

/* Nobody can read what is private. Where the helper itself was started without the right to become
 * another user, its user has private files: then Landlock leaves those of the resolver alone. */
static bool become_nobody(uid_t user)
{
    int landlock;
    if (setgroups(0, NULL) == 0)
        return setresgid(user, user, user) == 0 && setresuid(user, user, user) == 0;
    if (errno != EPERM || pv_sandbox_become(NULL, 0) < 0)
        return false;
    int r = pv_sandbox_files(pv_sandbox_resolver, pv_sandbox_n_resolver,
                             PV_SANDBOX_NO_SIGNALS | PV_SANDBOX_NO_ABSTRACT, &landlock);
    return r == PV_OK || r == PV_ERR_UNSUPPORTED;
}

/* No way back: without rights before a byte from outside is read. */
static void give_up_rights(uid_t user)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || !become_nobody(user))
        _exit(1);
    set_limit(RLIMIT_CPU, CPU_SECONDS);
    set_limit(RLIMIT_FSIZE, 0);
    set_limit(RLIMIT_CORE, 0);
    set_limit(RLIMIT_NPROC, 0);
    set_limit(RLIMIT_NOFILE, FILES_MAX);
#ifndef __SANITIZE_ADDRESS__
    set_limit(RLIMIT_AS, MEMORY_MAX); /* the sanitizer reserves far more than it uses */
#endif
}

/* The order matters: descriptors are closed and rights given up before the task sees a byte; a
 * failure of any step ends the process, since half a sandbox is none. */
static void be_task(pv_helper_task *task, struct pv_view args, int out, pid_t parent, uid_t user)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC); /* for what libraries have to say */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "p2pvpnd-task");
    signal(SIGALRM, SIG_DFL);
    alarm(PV_HELPER_TASK_SECONDS);
    if (getppid() != parent || dup2(out, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
        dup2(null, STDERR_FILENO) < 0)
        _exit(1);
    close_range(3, ~0u, 0); /* the TUN above all */
    give_up_rights(user);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* the change of user has cleared it */
    task(args, STDIN_FILENO);
    _exit(0);
}

void pv_helper_task_reap(struct pv_helper_tasks *tasks)
{
    for (size_t i = 0; i < PV_HELPER_TASKS; i++) {
        pid_t pid = tasks->running[i].pid;
        if (pid == 0 || waitpid(pid, NULL, WNOHANG) == 0)
            continue;
        if (tasks->running[i].pidfd >= 0)
            close(tasks->running[i].pidfd);
        tasks->running[i].pid = 0;
    }
}

/* A place in the table, or PV_HELPER_TASKS. */
static size_t free_slot(struct pv_helper_tasks *tasks)
{
    size_t i = 0;
    pv_helper_task_reap(tasks);
    while (i < PV_HELPER_TASKS && tasks->running[i].pid != 0)
        i++;
    return i;
}

/* The output is a pipe: the task's end is the end of the file, however it ended. */
int pv_helper_task_start(struct pv_helper_tasks *tasks, pv_helper_task *task, struct pv_view args,
                         int *ret_fd)
{
    int ends[2];
    size_t slot = free_slot(tasks);
    pid_t parent = getpid();
    if (slot == PV_HELPER_TASKS)
        return PV_ERR_LIMIT;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    pid_t pid = fork();
    int r = pid < 0 ? -errno : PV_OK;
    if (pid == 0)
        be_task(task, args, ends[1], parent, tasks->user);
    close(ends[1]);
    if (r < 0) {
        close(ends[0]);
        return r;
    }
    tasks->running[slot].pid = pid;
    tasks->running[slot].pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    *ret_fd = ends[0];
    return PV_OK;
}
