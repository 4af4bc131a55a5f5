/* SPDX-License-Identifier: MIT */
/*
 * ipcmd.c - runs `ip -batch -` and `nft -f -` for the helper. By the programs instead of netlink
 * messages: what was done can be read in the log and repeated by hand, and a new kind of setting
 * needs no binary format. The program is written to and read from at the same time: a pipe may have
 * room for little, since who has no CAP_SYS_RESOURCE gets small ones where root has many already.
 */
#include "sys/net/ipcmd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
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

static const char *find_path(const char *const *paths, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (access(paths[i], X_OK) == 0)
            return paths[i];
    return NULL;
}

bool pv_ipcmd_is_there(void)
{
    return find_path(ip_paths, PV_ARRAY_LEN(ip_paths)) != NULL;
}

bool pv_nftcmd_is_there(void)
{
    return find_path(nft_paths, PV_ARRAY_LEN(nft_paths)) != NULL;
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

/* The program's words: its lines go to line(), and the first is kept. */
struct output {
    pv_nftcmd_line *line; /* may be NULL */
    void *ctx;
    char *first; /* PV_IPCMD_ERROR_MAX */
    bool has_first;
    size_t len; /* of the line under way */
    char text[PV_NFTCMD_LINE_MAX];
};

static void keep_first(struct output *o)
{
    o->text[o->len] = '\0';
    if (!o->has_first)
        snprintf(o->first, PV_IPCMD_ERROR_MAX, "%.*s", PV_IPCMD_ERROR_MAX - 1, o->text);
}

static void take_output(struct output *o, const char *buf, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (buf[i] != '\n') {
            if (o->len < sizeof(o->text) - 1)
                o->text[o->len++] = buf[i];
            continue;
        }
        keep_first(o);
        o->has_first = true;
        o->len = 0;
        if (o->line != NULL)
            o->line(o->ctx, o->text);
    }
}

/* As much as there is room for, and the end after the last. Our own reading end stays open, so a
 * program that has ended is no broken pipe. */
static void write_some(struct ip_pipes *p, struct pv_view *lines)
{
    ssize_t n = lines->len == 0 ? 0 : write(p->in[1], lines->ptr, lines->len);
    if (n > 0)
        *lines = pv_view(lines->ptr + n, lines->len - (size_t)n);
    if (lines->len > 0)
        return;
    close(p->in[1]);
    p->in[1] = -1;
}

/* Until the program has closed its output, whether it read all lines or not. */
static void talk(struct ip_pipes *p, struct pv_view lines, struct output *o)
{
    char buf[4096];
    ssize_t n = 1;
    while (n > 0) {
        struct pollfd fds[2] = {{.fd = p->err[0], .events = POLLIN},
                                {.fd = p->in[1], .events = POLLOUT}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            break;
        if (fds[1].revents != 0)
            write_some(p, &lines);
        if (fds[0].revents == 0)
            continue;
        n = read(p->err[0], buf, sizeof(buf));
        if (n > 0)
            take_output(o, buf, (size_t)n);
        else if (n < 0 && errno == EINTR)
            n = 1;
    }
    keep_first(o);
}

static int wait_for(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? PV_OK : PV_ERR_REFUSED;
}

static int open_pipes(struct ip_pipes *p)
{
    if (pipe2(p->in, O_CLOEXEC) < 0 || pipe2(p->err, O_CLOEXEC) < 0 ||
        fcntl(p->in[1], F_SETFL, O_NONBLOCK) < 0)
        return -errno;
    return PV_OK;
}

/* Writes, reads until the program has closed its output, and waits for its end. */
static int run(const struct command *c, const char *lines, pv_nftcmd_line *line, void *ctx,
               char ret_error[static PV_IPCMD_ERROR_MAX])
{
    struct ip_pipes p = {{-1, -1}, {-1, -1}};
    struct output out = {.line = line, .ctx = ctx, .first = ret_error};
    size_t len = strlen(lines);
    const char *path = find_path(c->paths, c->n_paths);
    ret_error[0] = '\0';
    if (path == NULL)
        return PV_ERR_NOT_FOUND;
    if (len > PV_IPCMD_LINES_MAX)
        return PV_ERR_LIMIT;
    pid_t pid = 0;
    int r = open_pipes(&p);
    if (r >= 0)
        r = spawn_program(path, c, &p, &pid);
    if (r >= 0) {
        close(p.err[1]);
        p.err[1] = -1;
        talk(&p, pv_view(lines, len), &out);
        r = wait_for(pid);
    }
    close_pipes(&p);
    return r;
}

struct pv_reason pv_ipcmd_reason(const char *complaint)
{
    if (strstr(complaint, "unrecognized option") != NULL)
        return (struct pv_reason){"this ip is BusyBox's", PV_DO(install_ip)};
    if (strstr(complaint, "not supported") != NULL)
        return (struct pv_reason){"this kernel lacks nf_tables", PV_DO(load_nf_tables)};
    return (struct pv_reason){"", PV_DO_NOTHING};
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

int pv_nftcmd_trace_begin(struct pv_nftcmd_trace *ret_trace)
{
    static const struct command nft = {
        nft_paths, PV_ARRAY_LEN(nft_paths), {"nft", "monitor", "trace"}};
    struct ip_pipes p = {{-1, -1}, {-1, -1}};
    const char *path = find_path(nft.paths, nft.n_paths);
    *ret_trace = (struct pv_nftcmd_trace){.fd = -1};
    if (path == NULL)
        return PV_ERR_NOT_FOUND;
    int r = open_pipes(&p);
    if (r >= 0)
        r = spawn_program(path, &nft, &p, &ret_trace->pid);
    if (r >= 0) {
        ret_trace->fd = p.err[0];
        p.err[0] = -1;
    }
    close_pipes(&p);
    return r;
}

void pv_nftcmd_trace_read(const struct pv_nftcmd_trace *trace, int quiet_ms, pv_nftcmd_line *line,
                          void *ctx)
{
    char first[PV_IPCMD_ERROR_MAX], buf[4096];
    struct output out = {.line = line, .ctx = ctx, .first = first};
    struct pollfd pfd = {.fd = trace->fd, .events = POLLIN};
    ssize_t n = trace->fd < 0 ? 0 : 1;
    while (n > 0 && poll(&pfd, 1, quiet_ms) == 1) {
        n = read(trace->fd, buf, sizeof(buf));
        if (n > 0)
            take_output(&out, buf, (size_t)n);
    }
}

void pv_nftcmd_trace_end(struct pv_nftcmd_trace *trace)
{
    if (trace->fd < 0)
        return;
    kill(trace->pid, SIGTERM);
    (void)!wait_for(trace->pid);
    close(trace->fd);
    trace->fd = -1;
}

int pv_iptables_list(bool v6, const char *table, pv_nftcmd_line *line, void *ctx)
{
    static const char *const paths[] = {"/usr/sbin/iptables-legacy", "/sbin/iptables-legacy"},
                             *const paths6[] = {"/usr/sbin/ip6tables-legacy",
                                                "/sbin/ip6tables-legacy"};
    const struct command c = {
        v6 ? paths6 : paths,
        2,
        {v6 ? "ip6tables-legacy" : "iptables-legacy", "-t", table, "-S", "-v"}};
    char complaint[PV_IPCMD_ERROR_MAX];
    return run(&c, "", line, ctx, complaint);
}
