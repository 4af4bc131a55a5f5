/* SPDX-License-Identifier: MIT */
/* The adopted sockets, read by packet threads without a lock while control changes them.
 * Sequentially consistent throughout: either a thread that comes in sees the change, or control
 * sees that it is inside. */
#include "daemon/packets/sockset.h"

#include <time.h>

void pv_sockset_enter(struct pv_sockset *set, unsigned thread)
{
    atomic_store(&set->inside[thread], atomic_load(&set->changes) + 1);
}

void pv_sockset_leave(struct pv_sockset *set, unsigned thread)
{
    atomic_store(&set->inside[thread], 0);
}

bool pv_sockset_at(const struct pv_sockset *set, size_t i, struct pv_sockset_sock *ret_sock)
{
    uint64_t slot = atomic_load(&set->slots[i]);
    if (slot == 0)
        return false;
    *ret_sock = (struct pv_sockset_sock){.id = (uint16_t)(slot >> 32), .fd = (int)(uint32_t)slot};
    return true;
}

int pv_sockset_fd(const struct pv_sockset *set, uint16_t id)
{
    struct pv_sockset_sock sock;
    for (size_t i = 0; i < PV_SOCKSET_MAX; i++)
        if (pv_sockset_at(set, i, &sock) && sock.id == id)
            return sock.fd;
    return -1;
}

void pv_sockset_change(struct pv_sockset *set, const struct pv_sockset_sock *socks, size_t n)
{
    for (size_t i = 0; i < PV_SOCKSET_MAX; i++) {
        uint64_t slot = i < n ? (uint64_t)socks[i].id << 32 | (uint32_t)socks[i].fd : 0;
        atomic_store(&set->slots[i], slot);
    }
    atomic_fetch_add(&set->changes, 1);
}

/* A thread that came in after the change sees it; one that was inside before it leaves soon, for it
 * does so before it sleeps. So waiting is short, and only when a socket is closed. */
void pv_sockset_wait(const struct pv_sockset *set)
{
    const struct timespec moment = {.tv_nsec = 50000 /* ours: about a batch */};
    uint64_t changes = atomic_load(&set->changes);
    for (unsigned t = 0; t < PV_SOCKSET_THREADS;) {
        uint64_t inside = atomic_load(&set->inside[t]);
        if (inside == 0 || inside > changes)
            t++;
        else
            nanosleep(&moment, NULL);
    }
}
