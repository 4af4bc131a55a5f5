/* SPDX-License-Identifier: MIT */
/*
 * ctlsock.h - the sockets of a running coordinator's operator. At control.sock it is told what to
 * do: a client writes one line of JSON, {"do":"drop", …}, and gets one JSON document and the end.
 * At status.sock it is asked how it is: a client gets a document (core/report.h) when it comes, and
 * nothing is read.
 *
 * They lie in the state directory with mode 0600: only root and the user that runs the coordinator,
 * who may read the database as well, get in. One thread.
 */
#pragma once

#include <limits.h>

#include <jansson.h>

#include "base/pv.h"
#include "sys/proc/loop.h"
#include "sys/proc/spare.h"

enum {
    PV_CTLSOCK_CLIENTS = 4,       /* ours: at once; one more ends the oldest */
    PV_CTLSOCK_REQUEST_MAX = 512, /* ours: bytes of a request, with its end of line */
};

struct pv_ctlsock;

struct pv_ctlsock_client {
    struct pv_ctlsock *sock;
    uint64_t id; /* of its request; 0: the place is free */
    int fd;
    struct pv_watch *watch;
    char in[PV_CTLSOCK_REQUEST_MAX];
    size_t in_len;
    char *out; /* owned: the answer; NULL: none yet */
    size_t out_len, out_at;
};

struct pv_ctlsock { /* zeroed at first */
    int fd;         /* listening; valid while watch is not NULL */
    struct pv_watch *watch;
    struct pv_loop *loop;
    char path[PATH_MAX];
    uint64_t last_id;
    pv_ns rest_until;       /* not watched until then: out of descriptors; 0: it is */
    struct pv_spare *spare; /* borrowed: what clients are let in with then */
    struct pv_ctlsock_client clients[PV_CTLSOCK_CLIENTS];
    bool greets; /* a client has its request by coming */
    /* Works on a request (NULL: it came) and answers it by pv_ctlsock_answer() with its id, at once
     * or later. */
    void (*request)(void *ctx, uint64_t id, const json_t *request, pv_ns now);
    void *ctx;
};

/* Listens at status.sock, if it greets, or control.sock of a state directory; spare, greets,
 * request and ctx are set before. PV_ERR_NO_SPACE (the path is too long for a socket),
 * PV_ERR_NOMEM, and those of pv_unix_listen(). */
PV_MUST_CHECK int pv_ctlsock_open(struct pv_ctlsock *s, struct pv_loop *loop, const char *state);
/* Takes the document; NULL is an answer too: out of memory. A client that went away is none. */
void pv_ctlsock_answer(struct pv_ctlsock *s, uint64_t id, json_t *doc);
/* Watches it again in time; when to call again. */
pv_ns pv_ctlsock_handle_timeout(struct pv_ctlsock *s, pv_ns now);
void pv_ctlsock_done(struct pv_ctlsock *s); /* removes it; harmless when it is not open */

/* The other side: asks the coordinator of a state directory; request NULL: how it is. PV_OK and a
 * document that is harmless on a terminal (harmless.h), whoever wrote it;
 * PV_ERR_NOT_FOUND: none runs; -EACCES; PV_ERR_TIMEOUT; or another error, and ret_why is a
 * sentence. */
PV_MUST_CHECK int pv_ctlsock_ask(const char *state, const json_t *request, json_t **ret_doc,
                                 char *ret_why, size_t cap);
