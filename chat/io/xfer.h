/* SPDX-License-Identifier: MIT */
/*
 * xfer.h - one transfer of a file over TCP (chat/proto/file.h), from its first frame to its
 * last.
 *
 * Blocks: a worker's thread runs it. The control thread may read done and call pv_xfer_cancel()
 * meanwhile. Memory and disk are bounded by PV_FILE_CHUNK_MAX and the size that was offered.
 */
#pragma once

#include <stdatomic.h>

#include "base/addr.h"
#include "base/pv.h"
#include "chat/core/files/files_part.h"

enum {
    PV_XFER_NAME_BUF = 48, /* of a kept file, and the NUL */
    PV_XFER_IDLE_S = 30,   /* nothing moves for so long: the connection is dead */
    PV_XFER_HASH_S = 900,  /* the other side may read what it has, or write out, so long */
    PV_XFER_CONNECT_S = 20,
};

struct pv_xfer {
    /* given; descriptors are the transfer's and closed by pv_xfer_done() */
    struct pv_fileop op; /* FETCH or SERVE */
    int sock;            /* SERVE: the connection that asked; FETCH: -1, or one to the sender */
    int file;            /* SERVE: of pv_source_open(); FETCH: -1 */
    int dir;             /* FETCH: where it is kept; borrowed */
    struct pv_files_proof proof; /* FETCH; wiped by pv_xfer_done() */

    int want_fd;           /* FETCH: eventfd that is raised when it needs a connection; borrowed */
    int came_fd;           /* FETCH: eventfd, raised by pv_xfer_give() */
    atomic_bool wants;     /* FETCH: a connection; whoever sees to it clears this */
    _Atomic int given;     /* FETCH: the connection until it is taken; -1: none */
    _Atomic uint64_t done; /* bytes there, or sent, from the beginning of the file */
    int cancel_fd;         /* eventfd */
    struct pv_blake2b512 *hash; /* of the file from its beginning to where it is */

    enum pv_file_why why; /* the result */
};

/* -errno. */
PV_MUST_CHECK int pv_xfer_init(struct pv_xfer *x);
void pv_xfer_run(struct pv_xfer *x);
void pv_xfer_cancel(struct pv_xfer *x); /* any thread */
/* Answers `wants`: fd, which is taken, is connected to the sender; -1: that failed. Any thread,
 * once. */
void pv_xfer_give(struct pv_xfer *x, int fd);
void pv_xfer_done(struct pv_xfer *x);

/* The name of a received file in its directory: NUMBER-ID, and with ".part" while it is not whole.
 * Nothing of it comes from the other side but the random id, in hex. */
void pv_xfer_name(uint32_t number, const uint8_t id[static PV_FILE_ID_LEN], bool part,
                  char buf[static PV_XFER_NAME_BUF]);
