/* SPDX-License-Identifier: MIT */
/*
 * event.c - an eventfd: how other threads wake an event loop.
 */
#include "sys/proc/event.h"

#include <errno.h>
#include <sys/eventfd.h>

int pv_event_open(int *ret_fd)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return PV_OK;
}

void pv_event_raise(int fd)
{
    /* Fails only when the counter is about to overflow: then it is raised already. */
    (void)!eventfd_write(fd, 1);
}

void pv_event_clear(int fd)
{
    eventfd_t count;
    (void)!eventfd_read(fd, &count);
}
