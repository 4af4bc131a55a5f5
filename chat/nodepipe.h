/* SPDX-License-Identifier: MIT */
/*
 * nodepipe.h - one end of the socket between chat and the node: what came in and makes no whole
 * frame yet, and what waits to be written, both with their descriptors. Both ends have one.
 *
 * The shell moves the bytes: it gives what it read to pv_nodepipe_came() (a descriptor before the
 * bytes that it came with), and writes what pv_nodepipe_out() has. A zeroed pipe with a shutter is
 * empty. The pipe owns the descriptors that it holds; it closes them by shutter.
 */
#pragma once

#include "base/fifo.h"
#include "base/outbuf.h"
#include "chat/nodewire.h"

enum {
    PV_NODEPIPE_MAX = 1 << 20, /* ours: bytes that may wait for a program that does not read */
    PV_NODEPIPE_FDS_MAX = 64,  /* ours: descriptors that may wait for their frames */
};

struct pv_nodepipe {
    void (*shutter)(void *owner, int fd); /* closes a descriptor */
    void *owner;

    struct pv_outbuf in;
    size_t n_taken;        /* of in: the frame that was taken last */
    struct pv_fifo in_fds; /* of int */
    struct pv_outbuf out;
    struct pv_fifo out_fds; /* of struct pv_nodepipe_fd */
    uint64_t n_put, n_wrote;
};

/* Takes bytes that were read, and a descriptor that came with them; -1: none. PV_ERR_LIMIT,
 * PV_ERR_NOMEM: the socket is to be closed. */
PV_MUST_CHECK int pv_nodepipe_came(struct pv_nodepipe *p, struct pv_view bytes, int fd);
/* Takes the first whole frame, and its descriptor, which is the caller's from now on; -1: it has
 * none. The body is valid until the pipe is used again. PV_ERR_AGAIN: there is none.
 * PV_ERR_MALFORMED: the other program breaks the rules. */
PV_MUST_CHECK int pv_nodepipe_take(struct pv_nodepipe *p, struct pv_nodewire_frame *ret_frame,
                                   int *ret_fd);

/* Puts a frame that pv_nodewire_begin() began, and a descriptor, -1: none, which the pipe owns in
 * any case. PV_ERR_NO_SPACE (the body), PV_ERR_LIMIT, PV_ERR_NOMEM: the socket is to be closed. */
PV_MUST_CHECK int pv_nodepipe_put(struct pv_nodepipe *p, enum pv_nodewire_type type,
                                  struct pv_writer *w, int fd);
/* The bytes to be written next; none: nothing waits. *ret_fd is the descriptor to send with the
 * first of them; -1: none. */
struct pv_view pv_nodepipe_out(struct pv_nodepipe *p, int *ret_fd);
/* The first n > 0 bytes of pv_nodepipe_out() were written, with the descriptor, which is closed
 * here. */
void pv_nodepipe_wrote(struct pv_nodepipe *p, size_t n);
/* Empties the pipe, and closes the descriptors. */
void pv_nodepipe_done(struct pv_nodepipe *p);
