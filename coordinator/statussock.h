/* SPDX-License-Identifier: MIT */
/*
 * statussock.h - the socket where a running coordinator is asked how it is: each client gets one
 * JSON document (core/report.h) and the end. Nothing is read from it.
 *
 * It lies in the state directory with mode 0600: a user who may read the database may ask. One
 * thread.
 */
#pragma once

#include <limits.h>

#include <jansson.h>

#include "coordinator/core/report.h"
#include "sys/proc/loop.h"
#include "sys/proc/spare.h"

struct pv_statussock { /* zeroed at first */
    int fd;            /* listening; valid while watch is not NULL */
    struct pv_watch *watch;
    char path[PATH_MAX];
    pv_ns rest_until;       /* not watched until then: out of descriptors; 0: it is */
    struct pv_spare *spare; /* borrowed: what clients are let in with then */
    json_t *(*report)(void *ctx, pv_ns now); /* a new document; NULL: out of memory */
    void *ctx;
};

/* The socket of a state directory. PV_ERR_NO_SPACE: the path is too long for one. */
PV_MUST_CHECK int pv_statussock_path(const char *state, char ret_path[static PATH_MAX]);
/* Sets r->store.bytes, the size of the store of a state directory, and .free, the rest of its disk;
 * 0 where it cannot be known. */
void pv_statussock_disk(const char *state, struct pv_report *r);
/* Listens; spare, report and ctx are set before. PV_ERR_NO_SPACE, PV_ERR_NOMEM, and those of
 * pv_unix_listen(). */
PV_MUST_CHECK int pv_statussock_open(struct pv_statussock *s, struct pv_loop *loop,
                                     const char *state);
/* Watches it again in time; when to call again. */
pv_ns pv_statussock_handle_timeout(struct pv_statussock *s, pv_ns now);
void pv_statussock_done(struct pv_statussock *s); /* removes it; harmless when it is not open */

enum pv_statussock_form {
    PV_STATUSSOCK_LINES, /* for people */
    PV_STATUSSOCK_JSON,
    PV_STATUSSOCK_METRICS, /* for Prometheus */
};
/* The other side, `p2pvpn-coordinator status` and `metrics`: prints what the coordinator of this
 * state directory says. PV_OK, and whether it serves and can store; PV_ERR_NOT_FOUND: none runs;
 * -EACCES; or another error; ret_why is a sentence then. */
PV_MUST_CHECK int pv_statussock_print(const char *state, enum pv_statussock_form form,
                                      bool *ret_well, char *ret_why, size_t cap);
