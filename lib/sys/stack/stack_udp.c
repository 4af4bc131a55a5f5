/* SPDX-License-Identifier: MIT */
/* stack_udp.c - UDP sockets of lwIP, connected, each of them one end of a pair of which the program
 * has the other: a message is a datagram. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/stack/stack_int.h"

enum {
    BURST = 32, /* ours: datagrams of one program before others have their turn */
};

struct pv_stack_place {
    struct pv_stack *s;
    struct pv_stack_place *prev, *next;
    struct udp_pcb *pcb;
    int fd;
    struct pv_watch *watch;
};

static void end_place(struct pv_stack_place *u)
{
    struct pv_stack *s = u->s;
    if (u->pcb != NULL)
        udp_remove(u->pcb);
    pv_watch_free(u->watch);
    close(u->fd);
    if (u->prev != NULL)
        u->prev->next = u->next;
    else
        s->places = u->next;
    if (u->next != NULL)
        u->next->prev = u->prev;
    s->n_places--;
    free(u);
}

/* A datagram without a byte looks like the end. */
static bool is_gone(const struct pv_stack_place *u)
{
    struct pollfd p = {.fd = u->fd};
    return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR)) != 0;
}

static void on_ready(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_stack_place *u = ctx;
    for (int i = 0; i < BURST; i++) {
        ssize_t n = recv(u->fd, u->s->buf, sizeof(u->s->buf), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n < 0 || (n == 0 && is_gone(u))) {
            end_place(u);
            return;
        }
        struct pbuf *p = pbuf_alloc(PBUF_TRANSPORT, (u16_t)n, PBUF_RAM);
        if (p == NULL)
            return;
        if (pbuf_take(p, u->s->buf, (u16_t)n) == ERR_OK || n == 0)
            (void)udp_send(u->pcb, p); /* lost, as datagrams are */
        pbuf_free(p);
    }
}

static void on_datagram(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *from,
                        u16_t port)
{
    struct pv_stack_place *u = arg;
    /* Copied, for it may come in parts. */
    u16_t n = pbuf_copy_partial(p, u->s->buf, p->tot_len, 0);
    pbuf_free(p);
    (void)!send(u->fd, u->s->buf, n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int begin_place(struct pv_stack_place *u, const struct pv_inside_want *want)
{
    const ip_addr_t local = pv_stack_to_ip(&want->local), remote = pv_stack_to_ip(&want->remote);
    u->pcb = udp_new_ip_type(IP_GET_TYPE(&remote));
    if (u->pcb == NULL)
        return ENOMEM;
    err_t err =
        want->local.family == PV_AF_NONE ? ERR_OK : udp_bind(u->pcb, &local, want->local.port);
    if (err == ERR_OK)
        err = udp_connect(u->pcb, &remote, want->remote.port);
    udp_recv(u->pcb, on_datagram, u);
    return pv_stack_errno(err);
}

int pv_stack_place(struct pv_stack *s, const struct pv_inside_want *want, int *ret_fd)
{
    int pair[2];
    struct pv_stack_place *u = s->n_places < PV_STACK_PLACES ? calloc(1, sizeof(*u)) : NULL;
    if (u == NULL)
        return s->n_places < PV_STACK_PLACES ? ENOMEM : EMFILE;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0) {
        free(u);
        return errno;
    }
    u->s = s;
    u->fd = pair[0];
    u->next = s->places;
    if (u->next != NULL)
        u->next->prev = u;
    s->places = u;
    s->n_places++;
    int err = pv_watch_new(&u->watch, s->loop, u->fd, PV_LOOP_READ, on_ready, u) < 0
                  ? ENOMEM
                  : begin_place(u, want);
    if (err != 0) {
        end_place(u);
        close(pair[1]);
        return err;
    }
    *ret_fd = pair[1];
    return 0;
}

void pv_stack_end_places(struct pv_stack *s)
{
    while (s->places != NULL)
        end_place(s->places);
}
