/* SPDX-License-Identifier: MIT */
/*
 * worker.h - threads for what would block the control thread: a bounded queue in, an eventfd and
 * a list of finished items out.
 *
 * One thread submits and takes (the control thread); the worker's threads run. Items are pointers
 * the caller knows; who runs an item owns it meanwhile.
 */
#pragma once

#include "base/pv.h"

struct pv_worker; /* opaque */

enum {
    PV_WORKER_MAX_THREADS = 8,
    PV_WORKER_MAX_BATCH = 64,
};

struct pv_worker_config {
    const char *name; /* of the threads, for debuggers, at most 15 characters */
    unsigned threads; /* 1..PV_WORKER_MAX_THREADS */
    size_t limit;     /* items submitted and not yet taken back */
    size_t batch;     /* most items given to one run(), 1..PV_WORKER_MAX_BATCH */
    /* Runs items that waited, oldest first, n >= 1; results go into the items. With one thread the
     * order of submission is kept. */
    void (*run)(void *ctx, void *const *items, size_t n);
    void *ctx;
};

/* Starts the threads, with all signals blocked. PV_ERR_NOMEM, PV_ERR_LIMIT, -errno. */
PV_MUST_CHECK int pv_worker_new(struct pv_worker **ret_worker, const struct pv_worker_config *cfg);
/* Readable while finished items wait; owned by the worker. */
int pv_worker_fd(const struct pv_worker *w);
/* PV_ERR_LIMIT: too many under way; the caller keeps the item. */
PV_MUST_CHECK int pv_worker_submit(struct pv_worker *w, void *item);
/* A finished item. PV_ERR_AGAIN: none now (and the descriptor is quiet until there is one). */
PV_MUST_CHECK int pv_worker_take(struct pv_worker *w, void **ret_item);
/* Waits until everything submitted has run and ends the threads; then take what is left. */
void pv_worker_finish(struct pv_worker *w);
/* After pv_worker_finish(). NULL is fine; returns NULL. */
struct pv_worker *pv_worker_free(struct pv_worker *w);
/* Instead of finish and free, when the process is about to exit and run() may hang (resolver):
 * lets the threads be; memory and descriptor stay. */
void pv_worker_abandon(struct pv_worker *w);
