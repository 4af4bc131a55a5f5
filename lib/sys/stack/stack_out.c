/* SPDX-License-Identifier: MIT */
/* stack_out.c - sends packets, and keeps those that a full queue does not take. */
#include "sys/stack/stack_out.h"

#include <errno.h>
#include <lwip/pbuf.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum {
    PARTS_MAX = 64, /* of a packet that lwIP sends, far more than it makes */
};

/* PV_ERR_AGAIN: the queue is full. */
static int out_try(int fd, const struct pbuf *p)
{
    struct iovec iov[PARTS_MAX];
    size_t n = 0;
    for (size_t left = p->tot_len; p != NULL && left > 0 && n < PARTS_MAX; p = p->next) {
        iov[n++] = (struct iovec){.iov_base = p->payload, .iov_len = p->len};
        left -= p->len;
    }
    const struct msghdr msg = {.msg_iov = iov, .msg_iovlen = n};
    if (sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
        return PV_OK;
    return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? PV_ERR_AGAIN : PV_ERR_CLOSED;
}

static void out_keep(struct pv_stack_out *out, const struct pbuf *packet)
{
    /* lwIP writes into the headers of what it sends again, so it is copied. */
    struct pbuf *p =
        out->n < PV_STACK_OUT_MAX ? pbuf_alloc(PBUF_RAW, packet->tot_len, PBUF_RAM) : NULL;
    if (p == NULL)
        return;
    (void)pbuf_copy(p, packet); /* as long as the other */
    if (out->first == NULL)
        out->first = p;
    else
        out->last->next = p;
    out->last = p;
    out->n++;
}

void pv_stack_out_send(struct pv_stack_out *out, int fd, const struct pbuf *packet)
{
    if (out->first != NULL)
        pv_stack_out_flush(out, fd);
    const int r = out->first == NULL ? out_try(fd, packet) : PV_ERR_AGAIN;
    if (r == PV_ERR_AGAIN)
        out_keep(out, packet);
}

static void out_drop_first(struct pv_stack_out *out)
{
    struct pbuf *p = out->first;
    out->first = p->next;
    out->n--;
    p->next = NULL;
    pbuf_free(p);
}

void pv_stack_out_flush(struct pv_stack_out *out, int fd)
{
    while (out->first != NULL && out_try(fd, out->first) != PV_ERR_AGAIN)
        out_drop_first(out);
}

void pv_stack_out_clear(struct pv_stack_out *out)
{
    while (out->first != NULL)
        out_drop_first(out);
}
