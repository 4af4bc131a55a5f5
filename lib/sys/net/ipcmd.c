/* SPDX-License-Identifier: MIT */
/*
 * ipcmd.c - runs `ip -batch -` and `nft -f -` for the helper. By the programs instead of netlink
 * messages: what was done can be read in the log and repeated by hand, and a new kind of setting
 * needs no binary format. The lines fit a pipe, so they are written before the program starts and
 * nothing can deadlock.
 */
#include "sys/net/ipcmd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    WORDS = 8, /* of a command, with the NULL */
};

struct command {
    const char *const *paths;
    size_t n_paths;
    const char *argv[WORDS];
};

struct ip_pipes {
    int in[2];  /* our lines: [0] is its standard input */
    int err[2]; /* what it says: [1] is its standard output and error */
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
static const char *const ip_paths[] = {"/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip", "/bin/ip"};
static const char *const nft_paths[] = {"/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft", "/bin/nft"};

static const char *find_program(const struct command *c)
{
    for (size_t i = 0; i < c->n_paths; i++)
        if (access(c->paths[i], X_OK) == 0)
            return c->paths[i];
    return NULL;
}

/* The helper ignores signals that end the daemon; the program shall not inherit that. */
static int spawn_program(const char *path, const struct command *c, const struct ip_pipes *p,
                         pid_t *ret_pid)
{
    char env0[] = "LC_ALL=C", words[WORDS][PV_NFTCMD_WORD_MAX];
    char *argv[WORDS + 1] = {NULL}, *envp[] = {env0, NULL};
    for (size_t i = 0; i < WORDS && c->argv[i] != NULL; i++) {
        snprintf(words[i], sizeof(words[i]), "%s", c->argv[i]);
        argv[i] = words[i];
    }
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

/* The lines of what the program says go to line(); without one the first line is kept. All is read,
 * so that it never blocks. */
static void read_lines(int fd, char first[static PV_IPCMD_ERROR_MAX], pv_nftcmd_line *line,
                       void *ctx)
{
    char buf[4096], text[PV_NFTCMD_LINE_MAX];
    size_t len = 0;
    bool has_first = false;
    first[0] = '\0';
    for (;;) {
        ssize_t n = read(fd, buf, sizeof(buf));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        for (ssize_t i = 0; i < n; i++) {
            if (buf[i] != '\n') {
                if (len < sizeof(text) - 1)
                    text[len++] = buf[i];
                continue;
            }
            text[len] = '\0';
            len = 0;
            if (line != NULL)
                line(ctx, text);
            if (!has_first)
                snprintf(first, PV_IPCMD_ERROR_MAX, "%.*s", PV_IPCMD_ERROR_MAX - 1, text);
            has_first = true;
        }
    }
    text[len] = '\0';
    if (!has_first)
        snprintf(first, PV_IPCMD_ERROR_MAX, "%.*s", PV_IPCMD_ERROR_MAX - 1, text);
}

static int wait_for(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? PV_OK : PV_ERR_REFUSED;
}

/* Writes, reads until the program has closed its output, and waits for its end. */
static int run(const struct command *c, const char *lines, pv_nftcmd_line *line, void *ctx,
               char ret_error[static PV_IPCMD_ERROR_MAX])
{
    struct ip_pipes p = {{-1, -1}, {-1, -1}};
    size_t len = strlen(lines);
    const char *path = find_program(c);
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
        r = spawn_program(path, c, &p, &pid);
    if (r >= 0) {
        close(p.in[1]);
        close(p.err[1]);
        p.in[1] = p.err[1] = -1;
        read_lines(p.err[0], ret_error, line, ctx);
        r = wait_for(pid);
    }
    close_pipes(&p);
    return r;
}

/* All lines or an error: ip stops at the first line that fails, and its complaint is returned. */
int pv_ipcmd_run(const char *lines, char ret_error[static PV_IPCMD_ERROR_MAX])
{
    static const struct command ip = {ip_paths, PV_ARRAY_LEN(ip_paths), {"ip", "-batch", "-"}};
    return run(&ip, lines, NULL, NULL, ret_error);
}

int pv_ipcmd_run6(const char *lines, char ret_error[static PV_IPCMD_ERROR_MAX])
{
    static const struct command ip = {
        ip_paths, PV_ARRAY_LEN(ip_paths), {"ip", "-6", "-batch", "-"}};
    return run(&ip, lines, NULL, NULL, ret_error);
}

int pv_ipcmd_force(const char *lines)
{
    static const struct command ip = {
        ip_paths, PV_ARRAY_LEN(ip_paths), {"ip", "-force", "-batch", "-"}};
    char complaint[PV_IPCMD_ERROR_MAX];
    return run(&ip, lines, NULL, NULL, complaint);
}

/* One transaction: all of it or nothing. */
int pv_nftcmd_run(const char *text, char ret_error[static PV_IPCMD_ERROR_MAX])
{
    static const struct command nft = {nft_paths, PV_ARRAY_LEN(nft_paths), {"nft", "-f", "-"}};
    return run(&nft, text, NULL, NULL, ret_error);
}

int pv_nftcmd_list(const char *const *words, size_t n, pv_nftcmd_line *line, void *ctx)
{
    struct command nft = {nft_paths, PV_ARRAY_LEN(nft_paths), {"nft", "-n", "list"}};
    char complaint[PV_IPCMD_ERROR_MAX];
    if (n + 4 > WORDS)
        return PV_ERR_LIMIT;
    for (size_t i = 0; i < n; i++)
        nft.argv[3 + i] = words[i];
    return run(&nft, "", line, ctx, complaint);
}
