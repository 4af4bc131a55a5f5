/* SPDX-License-Identifier: MIT */
/* nodepipe.c - bytes and descriptors on the way between chat and the node. A descriptor is sent
 * with the first byte of its frame, so the reader always has it before the frame is whole. */
#include "chat/nodepipe.h"

struct pv_nodepipe_fd {
    uint64_t at;
    int fd;
};

/* The i-th descriptor that is still to be sent; false: there are fewer. */
static bool peek_fd(const struct pv_nodepipe *p, size_t i, struct pv_nodepipe_fd *ret_fd)
{
    const struct pv_fifo_item *item = p->out_fds.first;
    while (item != NULL && i-- > 0)
        item = item->next;
    if (item != NULL)
        memcpy(ret_fd, item->value, sizeof(*ret_fd));
    return item != NULL;
}

static void drop_taken(struct pv_nodepipe *p)
{
    (void)pv_outbuf_wrote(&p->in, p->n_taken);
    p->n_taken = 0;
}

int pv_nodepipe_came(struct pv_nodepipe *p, struct pv_view bytes, int fd)
{
    drop_taken(p);
    if (fd >= 0) {
        int r = p->in_fds.n >= PV_NODEPIPE_FDS_MAX ? PV_ERR_LIMIT
                                                   : pv_fifo_put(&p->in_fds, &fd, sizeof(fd));
        if (r != PV_OK) {
            p->shutter(p->owner, fd);
            return r;
        }
    }
    return pv_outbuf_put(&p->in, bytes, PV_NODEPIPE_MAX);
}

int pv_nodepipe_take(struct pv_nodepipe *p, struct pv_nodewire_frame *ret_frame, int *ret_fd)
{
    drop_taken(p);
    *ret_fd = -1;
    int r = pv_nodewire_next(pv_outbuf_view(&p->in), ret_frame);
    if (r != PV_OK)
        return r;
    if (ret_frame->has_fd && pv_fifo_take(&p->in_fds, ret_fd) != PV_OK)
        return PV_ERR_MALFORMED;
    p->n_taken = PV_NODEWIRE_HEAD + ret_frame->body.len;
    return PV_OK;
}

int pv_nodepipe_put(struct pv_nodepipe *p, enum pv_nodewire_type type, struct pv_writer *w, int fd)
{
    const struct pv_nodepipe_fd entry = {.at = p->n_put, .fd = fd};
    struct pv_view frame;
    int r = pv_nodewire_end(w, type, fd >= 0, &frame);
    if (r == PV_OK && fd >= 0)
        r = p->out_fds.n >= PV_NODEPIPE_FDS_MAX ? PV_ERR_LIMIT
                                                : pv_fifo_put(&p->out_fds, &entry, sizeof(entry));
    if (r != PV_OK) {
        if (fd >= 0)
            p->shutter(p->owner, fd);
        return r;
    }
    r = pv_outbuf_put(&p->out, frame, PV_NODEPIPE_MAX);
    p->n_put += r == PV_OK ? frame.len : 0;
    return r;
}

struct pv_view pv_nodepipe_out(struct pv_nodepipe *p, int *ret_fd)
{
    struct pv_view v = pv_outbuf_view(&p->out);
    struct pv_nodepipe_fd fd;
    size_t i = 0;
    *ret_fd = -1;
    if (v.len > 0 && peek_fd(p, i, &fd) && fd.at == p->n_wrote) {
        *ret_fd = fd.fd;
        i++;
    }
    if (peek_fd(p, i, &fd) && fd.at - p->n_wrote < v.len)
        v.len = (size_t)(fd.at - p->n_wrote);
    return v;
}

void pv_nodepipe_wrote(struct pv_nodepipe *p, size_t n)
{
    struct pv_nodepipe_fd fd;
    if (peek_fd(p, 0, &fd) && fd.at == p->n_wrote && pv_fifo_take(&p->out_fds, &fd) == PV_OK)
        p->shutter(p->owner, fd.fd);
    p->n_wrote += pv_outbuf_wrote(&p->out, n);
}

void pv_nodepipe_done(struct pv_nodepipe *p)
{
    struct pv_nodepipe_fd out;
    int in;
    while (pv_fifo_take(&p->out_fds, &out) == PV_OK)
        p->shutter(p->owner, out.fd);
    while (pv_fifo_take(&p->in_fds, &in) == PV_OK)
        p->shutter(p->owner, in);
    pv_outbuf_done(&p->in);
    pv_outbuf_done(&p->out);
    p->n_taken = 0;
    p->n_put = p->n_wrote = 0;
}
