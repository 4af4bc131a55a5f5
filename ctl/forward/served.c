/* SPDX-License-Identifier: MIT */
/* served.c - abstract Unix sockets by name, and a line of text from each. */
#include "ctl/forward/served.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"
#include "proto/chat/chat.h"
#include "sys/net/unixsock.h"
#include "sys/proc/clock.h"

enum {
    LINE = 4096, /* bytes of /proc/net/unix, and of what one says */
    ALL_S =
        5, /* ours: for all answers; processes of other users, who may be silent, are asked, too */
    PATIENCE_S = 1, /* ours: for one answer, which comes from memory between two connections */
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

int pv_served_open(int *ret_fd)
{
    struct sockaddr_un un;
    socklen_t len = 0;
    char name[64];
    /* The numbers behind the user's keep two of them apart. */
    snprintf(name, sizeof(name), "p2pvpn-serve/%u/%d-%llx", (unsigned)geteuid(), (int)getpid(),
             (unsigned long long)pv_clock_now());
    int r = named(name, &un, &len);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (r == PV_OK && (fd < 0 || bind(fd, (struct sockaddr *)&un, len) < 0 || listen(fd, 8) < 0))
        r = -errno;
    if (r < 0 && fd >= 0)
        close(fd);
    else
        *ret_fd = fd;
    return r;
}

void pv_served_answer(int fd, const struct pv_served *what)
{
    struct pv_unix_cred cred;
    char text[LINE];
    int asker = -1;
    size_t n;
    if (pv_unix_accept(fd, &asker, &cred) < 0)
        return;
    int len = snprintf(text, sizeof(text), "%u %s %s %s", what->port, what->udp ? "udp" : "tcp",
                       what->to, what->socket);
    /* It fits an empty socket, or is lost. */
    if (len > 0 && (size_t)len < sizeof(text) && cred.uid == geteuid())
        (void)!pv_unix_write(asker, pv_view(text, (size_t)len), -1, &n);
    close(asker);
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

/* "8080 tcp 127.0.0.1:80 /run/p2pvpn/p2pvpnd.sock" */
static void tell(const char *name, pv_served_fn *fn, void *ctx)
{
    char said[LINE], text[LINE], *rest = NULL;
    uint64_t port = 0;
    pid_t pid = 0;
    if (ask(name, said, sizeof(said), &pid) < 0)
        return;
    pv_chat_harmless(pv_view(said, strlen(said)), "", text, sizeof(text));
    const char *number = strtok_r(text, " ", &rest), *kind = strtok_r(NULL, " ", &rest),
               *to = strtok_r(NULL, " ", &rest);
    if (to == NULL || rest == NULL || pv_u64_parse(number, 1, UINT16_MAX, &port) < 0)
        return;
    fn(ctx,
       &(struct pv_served){
           .socket = rest, .port = (uint16_t)port, .udp = strcmp(kind, "udp") == 0, .to = to},
       pid);
}

int pv_served_each(pv_served_fn *fn, void *ctx)
{
    const pv_ns until = pv_clock_now() + PV_S(ALL_S);
    char line[LINE], begin[64];
    FILE *f = fopen("/proc/net/unix", "re");
    if (f == NULL)
        return -errno;
    snprintf(begin, sizeof(begin), " @p2pvpn-serve/%u/", (unsigned)geteuid());
    while (pv_clock_now() < until && fgets(line, sizeof(line), f) != NULL) {
        const char *name = strstr(line, begin);
        line[strcspn(line, "\n")] = '\0';
        /* A connection that was accepted has the name, too, and no __SO_ACCEPTCON (0x10000). */
        if (name != NULL && strstr(line, " 00010000 ") != NULL)
            tell(name + strlen(" @"), fn, ctx);
    }
    fclose(f);
    return PV_OK;
}
