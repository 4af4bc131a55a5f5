/* SPDX-License-Identifier: MIT */
/*
 * poller.c - epoll for a thread that has no event loop.
 */
#include "sys/proc/poller.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "sys/proc/clock.h"

enum {
    EVENTS = 256, /* ours: descriptors told at once */
};

struct pv_poller {
    int fd;
    struct epoll_event events[EVENTS];
};

int pv_poller_new(struct pv_poller **ret_poller)
{
    struct pv_poller *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return PV_ERR_NOMEM;
    p->fd = epoll_create1(EPOLL_CLOEXEC);
    if (p->fd < 0) {
        int r = -errno;
        free(p);
        return r;
    }
    *ret_poller = p;
    return PV_OK;
}

struct pv_poller *pv_poller_free(struct pv_poller *poller)
{
    if (poller != NULL) {
        close(poller->fd);
        free(poller);
    }
    return NULL;
}

int pv_poller_add(struct pv_poller *poller, int fd, uint32_t tag)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.u32 = tag};
    if (epoll_ctl(poller->fd, EPOLL_CTL_ADD, fd, &ev) == 0)
        return PV_OK;
    return errno == ENOMEM ? PV_ERR_NOMEM : -errno;
}

void pv_poller_del(struct pv_poller *poller, int fd)
{
    struct epoll_event ev = {0};
    (void)epoll_ctl(poller->fd, EPOLL_CTL_DEL, fd, &ev);
}

size_t pv_poller_wait(struct pv_poller *poller, pv_ns timeout, uint32_t *ret_tags, size_t max)
{
    int n = epoll_wait(poller->fd, poller->events, max < EVENTS ? (int)max : EVENTS,
                       pv_poll_ms(timeout, 0));
    for (int i = 0; i < n; i++)
        ret_tags[i] = poller->events[i].data.u32;
    return n < 0 ? 0 : (size_t)n;
}
