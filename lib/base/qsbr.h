/* SPDX-License-Identifier: MIT */
/*
 * qsbr.h - quiescent-state based reclamation for snapshots: one writer publishes immutable
 * objects, workers read them without locks, old ones are freed when no worker can hold them.
 *
 * C11 atomics that ThreadSanitizer understands (no fences). The writer is the control thread.
 * Worker: online once per batch -> snapshot pointer -> offline before it sleeps.
 */
#pragma once

#include "base/pv.h"

enum {
    PV_QSBR_MAX_WORKERS = 64,
};

struct pv_qsbr; /* opaque */

/* PV_ERR_NOMEM, PV_ERR_LIMIT. */
PV_MUST_CHECK int pv_qsbr_new(struct pv_qsbr **ret_qsbr, unsigned workers);
/* No worker may be online; frees everything still waiting and the published object. */
struct pv_qsbr *pv_qsbr_free(struct pv_qsbr *q);

/* Worker side. Between online and offline the pointer stays valid. Calling online again while
 * online is a quiescent point: older pointers must not be used after it. */
const void *pv_qsbr_online(struct pv_qsbr *q, unsigned worker);
void pv_qsbr_offline(struct pv_qsbr *q, unsigned worker);

/* Writer side: publish object (freed later by free_fn(object)); the old one waits until no worker
 * can see it. PV_ERR_NOMEM: nothing was published. */
PV_MUST_CHECK int pv_qsbr_publish(struct pv_qsbr *q, void *object, void (*free_fn)(void *object));
/* Writer side: free what can be freed; returns how many still wait. Call after publish and from a
 * 10-50 ms timer while it returns > 0. Never blocks. */
size_t pv_qsbr_reclaim(struct pv_qsbr *q);
