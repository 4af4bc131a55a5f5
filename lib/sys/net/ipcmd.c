/* SPDX-License-Identifier: MIT */
/*
 * ipcmd.c - runs `ip -batch -` for the helper. By the program instead of netlink messages: what was
 * done can be read in the log and repeated by hand, and a new kind of setting needs no binary
 * format. The batch fits a pipe, so it is written before ip starts and nothing can deadlock.
 */
#include "sys/net/ipcmd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct ip_pipes {
    int in[2];  /* our lines: [0] is ip's standard input */
    int err[2]; /* its complaints: [1] is its standard output and error */
};

static void close_pipes(struct ip_pipes *p)
{
    int *fds[] = {&p->in[0], &p->in[1], &p->err[0], &p->err[1]};
    for (size_t i = 0; i < PV_ARRAY_LEN(fds); i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}

/* Fixed paths and no PATH: this runs as root. */
static const char *find_ip(void)
{
    static const char *const paths[] = {"/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip", "/bin/ip"};
    for (size_t i = 0; i < PV_ARRAY_LEN(paths); i++)
        if (access(paths[i], X_OK) == 0)
            return paths[i];
    return NULL;
}

/* The helper ignores signals that end the daemon; ip shall not inherit that. */
static int spawn_ip(const char *path, const struct ip_pipes *p, pid_t *ret_pid)
{
    char arg0[] = "ip", arg1[] = "-batch", arg2[] = "-", env0[] = "LC_ALL=C";
    char *argv[] = {arg0, arg1, arg2, NULL}, *envp[] = {env0, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    posix_spawn_file_actions_adddup2(&actions, p->in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, p->err[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, p->err[1], STDERR_FILENO);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setsigmask(&attr, &none);
    int e = posix_spawn(ret_pid, path, &actions, &attr, argv, envp);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    return -e;
}

/* The first line of what comes; the rest is read and thrown away so that ip never blocks. */
static void read_complaint(int fd, char ret_error[static PV_IPCMD_ERROR_MAX])
{
    char buf[512];
    size_t len = 0;
    for (;;) {
        ssize_t n = read(fd, buf, sizeof(buf));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        for (ssize_t i = 0; i < n && len < PV_IPCMD_ERROR_MAX - 1; i++)
            ret_error[len++] = buf[i];
    }
    ret_error[len] = '\0';
    ret_error[strcspn(ret_error, "\n")] = '\0';
}

static int wait_for_ip(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? PV_OK : PV_ERR_REFUSED;
}

/* All lines or an error: ip stops at the first line that fails, and its complaint is returned. */
int pv_ipcmd_run(const char *lines, char ret_error[static PV_IPCMD_ERROR_MAX])
{
    struct ip_pipes p = {{-1, -1}, {-1, -1}};
    size_t len = strlen(lines);
    const char *path = find_ip();
    ret_error[0] = '\0';
    if (path == NULL)
        return PV_ERR_NOT_FOUND;
    if (len > PV_IPCMD_LINES_MAX)
        return PV_ERR_LIMIT;
    int r = PV_OK;
    pid_t pid = 0;
    if (pipe2(p.in, O_CLOEXEC) < 0 || pipe2(p.err, O_CLOEXEC) < 0 ||
        write(p.in[1], lines, len) != (ssize_t)len)
        r = -errno;
    if (r >= 0)
        r = spawn_ip(path, &p, &pid);
    if (r >= 0) {
        close(p.in[1]);
        close(p.err[1]);
        p.in[1] = p.err[1] = -1;
        read_complaint(p.err[0], ret_error);
        r = wait_for_ip(pid);
    }
    close_pipes(&p);
    return r;
}
