/* SPDX-License-Identifier: MIT */
/* stack_ask.c - who asks for connections: p2pvpnd, and programs of its user. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "sys/net/unixsock.h"
#include "sys/stack/stack_int.h"

struct pv_stack_asker {
    struct pv_stack *s;
    struct pv_stack_asker *prev, *next;
    int fd;
    struct pv_watch *watch;
    bool *ended; /* NULL: nobody wants to know */
};

static void end_asker(struct pv_stack_asker *a)
{
    struct pv_stack *s = a->s;
    if (a->ended != NULL)
        *a->ended = true;
    pv_watch_free(a->watch);
    close(a->fd);
    if (a->prev != NULL)
        a->prev->next = a->next;
    else
        s->askers = a->next;
    if (a->next != NULL)
        a->next->prev = a->prev;
    s->n_askers--;
    free(a);
}

static bool is_ip(const struct pv_addr *a)
{
    return a->family == PV_AF_INET || a->family == PV_AF_INET6;
}

/* Can lwIP do what is asked? 0 or an errno. It cannot connect to its own addresses, nor to several
 * machines at once (multicast, broadcast). */
static int check(const struct pv_stack *s, const struct pv_inside_want *w)
{
    if (w->kind == PV_INSIDE_SOCKET)
        return EAFNOSUPPORT;
    if (!s->up)
        return ENETDOWN;
    if (w->local.family != PV_AF_NONE && !pv_stack_is_own(s, &w->local))
        return EADDRNOTAVAIL;
    if (w->kind == PV_INSIDE_LISTEN)
        return is_ip(&w->local) ? 0 : EINVAL;
    if (!is_ip(&w->remote) || w->remote.port == 0 ||
        (w->local.family != PV_AF_NONE && w->local.family != w->remote.family))
        return EINVAL;
    return pv_stack_is_own(s, &w->remote) || pv_addr_is_loopback(&w->remote) ||
                   pv_addr_is_unspecified(&w->remote) || pv_addr_is_multicast(&w->remote) ||
                   pv_addr_is_broadcast(&w->remote)
               ? EHOSTUNREACH
               : 0;
}

static int serve(struct pv_stack *s, const struct pv_inside_want *w, int *ret_fd)
{
    int err = check(s, w);
    if (err != 0)
        return err;
    switch (w->kind) {
    case PV_INSIDE_CONNECT:
        return pv_stack_connect(s, w, ret_fd);
    case PV_INSIDE_LISTEN:
        return pv_stack_listen(s, w, ret_fd);
    case PV_INSIDE_PLACE:
        return pv_stack_place(s, w, ret_fd);
    default:
        return EINVAL;
    }
}

static void on_asker(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_stack_asker *a = ctx;
    struct pv_inside_want want;
    struct pv_inside_got got = {.error = EINVAL};
    int passed = -1, fd = -1;
    size_t n = 0;
    int r = pv_unix_read(a->fd, &want, sizeof(want), &n, &passed);
    if (passed >= 0)
        close(passed);
    if (r == PV_ERR_AGAIN)
        return;
    if (r < 0 || n != sizeof(want)) {
        end_asker(a);
        return;
    }
    got.error = serve(a->s, &want, &fd);
    r = pv_unix_write(a->fd, pv_view(&got, sizeof(got)), fd, &n);
    if (fd >= 0)
        close(fd);
    if (r < 0)
        end_asker(a);
}

int pv_stack_serve(struct pv_stack *s, int fd, bool *ret_ended)
{
    struct pv_stack_asker *a = s->n_askers < PV_STACK_ASKERS ? calloc(1, sizeof(*a)) : NULL;
    if (a == NULL || pv_watch_new(&a->watch, s->loop, fd, PV_LOOP_READ, on_asker, a) < 0) {
        int r = a == NULL && s->n_askers >= PV_STACK_ASKERS ? PV_ERR_LIMIT : PV_ERR_NOMEM;
        free(a);
        close(fd);
        return r;
    }
    a->s = s;
    a->fd = fd;
    a->ended = ret_ended;
    a->next = s->askers;
    if (a->next != NULL)
        a->next->prev = a;
    s->askers = a;
    s->n_askers++;
    return PV_OK;
}

void pv_stack_end_askers(struct pv_stack *s)
{
    while (s->askers != NULL)
        end_asker(s->askers);
}
