/* SPDX-License-Identifier: MIT */
/* served.c - abstract Unix sockets by name, and a line of text from each. */
#include "ctl/forward/served.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/harmless.h"
#include "base/text.h"
#include "sys/net/unixsock.h"
#include "sys/proc/clock.h"

enum {
    LINE = 4096, /* bytes of /proc/net/unix, and of what one says */
    ALL_S =
        5, /* ours: for all answers; processes of other users, who may be silent, are asked, too */
    PATIENCE_S = 1, /* ours: for one answer, which comes from memory */
    REST_MS = 100,  /* ours: without memory or descriptors, until the next is taken */
};

static int named(const char *name, struct sockaddr_un *un, socklen_t *ret_len)
{
    *un = (struct sockaddr_un){.sun_family = AF_UNIX};
    size_t len = strlen(name);
    if (len >= sizeof(un->sun_path))
        return -ENAMETOOLONG;
    memcpy(un->sun_path + 1, name, len);
    *ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len);
    return PV_OK;
}

/* --- one that serves ----------------------------------------------------------------------- */

static int listen_there(int *ret_fd)
{
    struct sockaddr_un un;
    socklen_t len = 0;
    /* The numbers behind the user's keep two of them apart. */
    int r = named(PV_STR("p2pvpn-serve/%u/%d-%llx", (unsigned)geteuid(), (int)getpid(),
                         (unsigned long long)pv_clock_now()),
                  &un, &len);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (r == PV_OK && (fd < 0 || bind(fd, (struct sockaddr *)&un, len) < 0 || listen(fd, 8) < 0))
        r = -errno;
    if (r < 0 && fd >= 0)
        close(fd);
    else
        *ret_fd = fd;
    return r;
}

static void answer(int fd, const char *text)
{
    struct pv_unix_cred cred;
    int asker = -1;
    size_t n;
    if (pv_unix_accept(fd, &asker, &cred) < 0) {
        (void)poll(NULL, 0, REST_MS);
        return;
    }
    /* It fits an empty socket, or is lost. */
    if (cred.uid == geteuid())
        (void)!pv_unix_write(asker, pv_view(text, strlen(text)), -1, &n);
    close(asker);
}

/* In the child: nothing of what this process serves by is there, and the terminal's signals end it
 * too. */
static _Noreturn void become_answerer(int fd, const char *text, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "p2pvpnctl-told");
    if (fd > 0)
        close_range(0, (unsigned)fd - 1, 0);
    close_range((unsigned)fd + 1, ~0u, 0);
    while (getppid() == parent)
        answer(fd, text);
    _exit(0);
}

int pv_served_begin(const struct pv_served *what, pid_t *ret_pid)
{
    char text[LINE];
    int fd = -1, r = listen_there(&fd);
    if (r < 0)
        return r;
    (void)snprintf(text, sizeof(text), "%u %s %s %s", what->port, what->udp ? "udp" : "tcp",
                   what->to, what->socket);
    (void)fflush(NULL);
    const pid_t parent = getpid();
    *ret_pid = fork();
    if (*ret_pid == 0)
        become_answerer(fd, text, parent);
    r = *ret_pid < 0 ? -errno : PV_OK;
    close(fd);
    return r;
}

/* It is not waited for: what somebody passed may keep it. */
void pv_served_end(pid_t pid)
{
    if (pid > 0)
        (void)kill(pid, SIGKILL);
    if (pid > 0)
        (void)waitpid(pid, NULL, WNOHANG);
}

/* --- all of them --------------------------------------------------------------------------- */

/* Another user may have made a socket of that name. */
static int ask(const char *name, char *text, size_t cap, pid_t *ret_pid)
{
    const struct timeval wait = {.tv_sec = PATIENCE_S};
    struct sockaddr_un un;
    struct pv_unix_cred cred = {0};
    socklen_t len = 0;
    size_t n = 0;
    ssize_t got = 1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r = named(name, &un, &len);
    if (r == PV_OK && (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0 ||
                       setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) < 0 ||
                       connect(fd, (struct sockaddr *)&un, len) < 0))
        r = -errno;
    if (r == PV_OK)
        r = pv_unix_peer(fd, &cred);
    if (r == PV_OK && cred.uid != geteuid())
        r = -EPERM;
    while (r == PV_OK && n + 1 < cap && (got = read(fd, text + n, cap - n - 1)) > 0)
        n += (size_t)got;
    if (r == PV_OK && got < 0)
        r = -errno;
    text[n] = '\0';
    if (fd >= 0)
        close(fd);
    *ret_pid = cred.pid;
    return r;
}

/* "4711 8080 tcp 127.0.0.1:80 /run/p2pvpn/p2pvpnd.sock", the first of them the process */
static void tell(char *line, pv_served_fn *fn, void *ctx)
{
    char *rest = NULL;
    const char *process = strtok_r(line, " ", &rest), *number = strtok_r(NULL, " ", &rest),
               *kind = strtok_r(NULL, " ", &rest), *to = strtok_r(NULL, " ", &rest);
    uint64_t port = 0, pid = 0;
    if (to == NULL || rest == NULL || pv_u64_parse(process, 0, INT32_MAX, &pid) < 0 ||
        pv_u64_parse(number, 1, UINT16_MAX, &port) < 0)
        return;
    fn(ctx,
       &(struct pv_served){
           .socket = rest, .port = (uint16_t)port, .udp = strcmp(kind, "udp") == 0, .to = to},
       (pid_t)pid);
}

/* In the child: a line from each. */
static _Noreturn void become_asker(FILE *sockets, int to)
{
    char line[LINE], said[LINE], text[LINE];
    /* Nobody who waits for the end of the command's output waits for this process. */
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fd != to && fd != fileno(sockets))
            close(fd);
    const char *begin = PV_STR(" @p2pvpn-serve/%u/", (unsigned)geteuid());
    while (fgets(line, sizeof(line), sockets) != NULL) {
        const char *name = strstr(line, begin);
        pid_t pid = 0;
        line[strcspn(line, "\n")] = '\0';
        /* A connection that was accepted has the name, too, and no __SO_ACCEPTCON (0x10000). */
        if (name == NULL || strstr(line, " 00010000 ") == NULL ||
            ask(name + strlen(" @"), said, sizeof(said), &pid) < 0)
            continue;
        pv_harmless_text(pv_view(said, strlen(said)), "", text, sizeof(text));
        dprintf(to, "%d %s\n", (int)pid, text);
    }
    _exit(0);
}

/* Takes what the child says, until it has said all, or for so long. */
static void hear(int from, pv_served_fn *fn, void *ctx)
{
    const pv_ns until = pv_clock_now() + PV_S(ALL_S);
    char text[2 * LINE];
    size_t n = 0;
    for (pv_ns now = pv_clock_now(); now < until && n < sizeof(text); now = pv_clock_now()) {
        struct pollfd p = {.fd = from, .events = POLLIN};
        if (poll(&p, 1, pv_poll_ms(until, now)) <= 0)
            continue;
        ssize_t got = read(from, text + n, sizeof(text) - n);
        if (got <= 0)
            return;
        n += (size_t)got;
        for (char *end; (end = memchr(text, '\n', n)) != NULL;) {
            const size_t len = (size_t)(end - text) + 1;
            *end = '\0';
            tell(text, fn, ctx);
            n -= len;
            memmove(text, end + 1, n);
        }
    }
}

/* Another user's process may be asked, and pass a descriptor whose last close takes for ever: a
 * process of its own asks. */
int pv_served_each(pv_served_fn *fn, void *ctx)
{
    int ends[2];
    FILE *f = fopen("/proc/net/unix", "re");
    if (f == NULL)
        return -errno;
    int r = pipe2(ends, O_CLOEXEC) < 0 ? -errno : PV_OK;
    if (r == PV_OK) {
        (void)fflush(NULL);
        const pid_t pid = fork();
        if (pid == 0)
            become_asker(f, ends[1]);
        r = pid < 0 ? -errno : PV_OK;
        close(ends[1]);
        if (r == PV_OK)
            hear(ends[0], fn, ctx);
        close(ends[0]);
        pv_served_end(pid);
    }
    fclose(f);
    return r;
}
