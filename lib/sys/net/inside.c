/* SPDX-License-Identifier: MIT */
/* inside.c - socket(2), here or by a process that is in the interface's network. */
#include "sys/net/inside.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/net/unixsock.h"

/* A process has one interface, so it has one giver. */
static struct {
    pthread_mutex_t lock; /* one question at a time */
    int fd;               /* -1: none */
} giver = {PTHREAD_MUTEX_INITIALIZER, -1};

void pv_inside_use(int fd)
{
    if (giver.fd >= 0)
        close(giver.fd);
    giver.fd = fd;
}

bool pv_inside_is_apart(void)
{
    return giver.fd >= 0;
}

static void wait_for(short events)
{
    struct pollfd p = {.fd = giver.fd, .events = events};
    (void)poll(&p, 1, -1);
}

/* 0, or an errno. */
static int ask_giver(const struct pv_inside_want *want, int *ret_fd)
{
    struct pv_inside_got got = {.error = ENETDOWN};
    size_t n = 0;
    int r;
    while ((r = pv_unix_write(giver.fd, pv_view(want, sizeof(*want)), -1, &n)) == PV_ERR_AGAIN)
        wait_for(POLLOUT);
    if (r < 0)
        return ENETDOWN;
    do {
        wait_for(POLLIN);
        r = pv_unix_read(giver.fd, &got, sizeof(got), &n, ret_fd);
    } while (r == PV_ERR_AGAIN);
    if (r < 0 || n != sizeof(got))
        return ENETDOWN;
    /* The kernel drops a descriptor for which this process has no number left. */
    return got.error == 0 && *ret_fd < 0 ? EMFILE : got.error;
}

int pv_inside_socket(int family, int type, int protocol)
{
    const struct pv_inside_want want = {family, type, protocol};
    int fd = -1;
    if (giver.fd < 0)
        return socket(family, type, protocol);
    pthread_mutex_lock(&giver.lock);
    int err = ask_giver(&want, &fd);
    pthread_mutex_unlock(&giver.lock);
    if (err != 0) {
        if (fd >= 0)
            close(fd);
        errno = err;
        return -1;
    }
    return fd;
}
