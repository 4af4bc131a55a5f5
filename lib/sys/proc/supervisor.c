/* SPDX-License-Identifier: MIT */
/* Tells systemd that the program is ready, alive and ending, by datagrams to its socket. */
#include "sys/proc/supervisor.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

/* A datagram that does not fit into the socket's queue is lost; the next one comes. */
static void tell(const struct pv_supervisor *s, const char *text)
{
    if (s->fd >= 0)
        (void)!send(s->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* -1: there is none, or it cannot be reached. */
static int connect_to(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t len = path == NULL ? 0 : strlen(path);
    if (len < 2 || len >= sizeof(un.sun_path) || (path[0] != '/' && path[0] != '@'))
        return -1;
    memcpy(un.sun_path, path, len);
    /* "@" stands for the NUL byte that begins an abstract name (unix(7)). */
    if (path[0] == '@')
        un.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&un, size) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* Half of the time is what systemd recommends: one late turn of a busy machine is no death. */
static int open_timer(const char *usec_text, const char *pid_text)
{
    uint64_t usec = 0, pid = 0;
    if (usec_text == NULL || pv_u64_parse(usec_text, 2, UINT32_MAX, &usec) < 0)
        return -1;
    /* The variable may be meant for a parent of ours. */
    if (pid_text != NULL &&
        (pv_u64_parse(pid_text, 1, INT32_MAX, &pid) < 0 || pid != (uint64_t)getpid()))
        return -1;
    const struct timespec half = {.tv_sec = (time_t)(usec / 2 / 1000000),
                                  .tv_nsec = (long)(usec / 2 % 1000000 * 1000)};
    const struct itimerspec every = {.it_interval = half, .it_value = half};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (fd >= 0 && timerfd_settime(fd, 0, &every, NULL) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

struct pv_supervisor pv_supervisor_open(void)
{
    struct pv_supervisor s = PV_SUPERVISOR_NONE;
    s.fd = connect_to(getenv("NOTIFY_SOCKET"));
    if (s.fd >= 0)
        s.timer = open_timer(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"));
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    return s;
}

static void on_timer(void *ctx, unsigned ready, pv_ns now)
{
    const struct pv_supervisor *s = ctx;
    uint64_t times = 0;
    if (read(s->timer, &times, sizeof(times)) > 0)
        tell(s, "WATCHDOG=1");
}

void pv_supervisor_ready(struct pv_supervisor *s, struct pv_loop *loop)
{
    if (s == NULL)
        return;
    if (s->timer >= 0 && s->watch == NULL &&
        pv_watch_new(&s->watch, loop, s->timer, PV_LOOP_READ, on_timer, s) < 0)
        s->watch = NULL; /* without memory for it the supervisor starts us anew, which may help */
    tell(s, "READY=1");
}

/* With the time, by which Type=notify-reload tells this from an earlier reload (sd_notify(3)). */
void pv_supervisor_reloading(const struct pv_supervisor *s)
{
    struct timespec now = {0};
    if (s == NULL)
        return;
    clock_gettime(CLOCK_MONOTONIC, &now);
    tell(s, PV_STR("RELOADING=1\nMONOTONIC_USEC=%lld",
                   (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000));
}

void pv_supervisor_reloaded(const struct pv_supervisor *s)
{
    if (s != NULL)
        tell(s, "READY=1");
}

void pv_supervisor_leave_loop(struct pv_supervisor *s)
{
    if (s != NULL)
        s->watch = pv_watch_free(s->watch);
}

void pv_supervisor_close(struct pv_supervisor *s)
{
    tell(s, "STOPPING=1");
    pv_supervisor_leave_loop(s);
    if (s->fd >= 0)
        close(s->fd);
    if (s->timer >= 0)
        close(s->timer);
    *s = PV_SUPERVISOR_NONE;
}
