/* SPDX-License-Identifier: MIT */
/*
 * poller.h - which of many descriptors can be read: epoll, for a thread that has no event loop.
 *
 * Level-triggered: what is not read out is told again. One thread waits; the others may not touch
 * it.
 */
#pragma once

#include "base/pv.h"

struct pv_poller; /* opaque */

PV_MUST_CHECK int pv_poller_new(struct pv_poller **ret_poller); /* PV_ERR_NOMEM, -errno */
struct pv_poller *pv_poller_free(struct pv_poller *poller);     /* NULL is fine */

/* From now on `tag` is told when fd (not owned) can be read or has an error; it ends with
 * pv_poller_del(), which has to come before the close. PV_ERR_NOMEM, -errno. */
PV_MUST_CHECK int pv_poller_add(struct pv_poller *poller, int fd, uint32_t tag);
void pv_poller_del(struct pv_poller *poller, int fd);

/* Sleeps until something can be read, timeout has passed (rounded up to milliseconds, PV_NEVER: no
 * end) or a signal came. Returns the number of tags, at most max. */
size_t pv_poller_wait(struct pv_poller *poller, pv_ns timeout, uint32_t *ret_tags, size_t max);
