/* SPDX-License-Identifier: MIT */
/*
 * store.c - the part that looks after what was written to the store: it keeps the marks of numbers
 * that grow for ever (peer/highwater.h), and after a write that failed it has every part write
 * again what is to be kept. All writes are idempotent.
 *
 * State:  KEPT --node.store.failed--> FAILED --30 s--> KEPT, with PV_FACT_STORE for every part
 *                                     (5 s after a write that was kept meanwhile)
 */
#include <stdlib.h>

#include "daemon/core/node/node.h"
#include "daemon/core/node/part.h"
#include "daemon/core/node/saved.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/peer/highwater.h"

#define STORE_RETRY   PV_S(30) /* ours: after a failed write; a full disk seldom mends sooner */
#define STORE_REVIVED PV_S(5)  /* ours: after one that was kept, for there may be room again */

enum {
    MARK_BITS = 62, /* of a mark in a job's tag; its number stands above */
};

/* The names of the marks in the store. */
static const char *const names[PV_MARKS] = {"signal-seq", "gen", "tai64n"};

struct store {
    struct pv_node *node;
    pv_ns retry_at; /* FAILED; else PV_NEVER */
};

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct store *s = part;
    s->retry_at = PV_NEVER;
    return PV_OK;
}

static int restore_marks(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct store *s = part;
    for (size_t i = 0; i < PV_MARKS; i++) {
        if (s->node->store.marks[i] != NULL)
            *s->node->store.marks[i] = pv_highwater_load(pv_saved_u64(cfg->saved, names[i]),
                                                         pv_node_wall_us(s->node, now));
    }
    return PV_OK;
}

static void on_job(struct pv_jobwait *wait, struct pv_job_result *result, pv_ns now)
{
    struct store *s = wait->self;
    struct pv_highwater *h = s->node->store.marks[wait->tag >> MARK_BITS];
    pv_node_stored(s->node, result);
    if (result->status == PV_OK && h != NULL)
        pv_highwater_stored(h, wait->tag & (((uint64_t)1 << MARK_BITS) - 1));
}

static void store_marks(struct store *s)
{
    for (uint64_t i = 0; i < PV_MARKS; i++) {
        uint64_t mark;
        uint8_t buf[8];
        /* The tag brings the mark back, so that the end of the job tells which mark is on disk. */
        if (s->node->store.marks[i] == NULL ||
            !pv_highwater_take_mark(s->node->store.marks[i], &mark))
            continue;
        pv_store_be64(buf, mark);
        pv_node_put_meta_for(s->node, names[i], pv_view(buf, sizeof(buf)), on_job, s,
                             i << MARK_BITS | mark);
    }
}

static void run_store(void *part, pv_ns now)
{
    struct store *s = part;
    /* One timer for all parts: whatever fails meanwhile is written with the same attempt. */
    if (s->node->store.failed && s->retry_at == PV_NEVER)
        s->retry_at = now + STORE_RETRY;
    if (s->retry_at != PV_NEVER && s->node->store.works)
        s->retry_at = pv_min_ns(s->retry_at, now + STORE_REVIVED);
    if (now >= s->retry_at) {
        s->retry_at = PV_NEVER;
        s->node->store.failed = false;
        pv_node_raise(s->node, PV_FACT_STORE);
        /* Without its marks a node whose clock is set back is not believed after the next start. */
        for (size_t i = 0; i < PV_MARKS; i++) {
            if (s->node->store.marks[i] != NULL)
                s->node->store.marks[i]->mark = 0;
        }
    }
    store_marks(s);
}

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct store *s = part;
    if (s->node->store.error[0] != '\0')
        pv_statuspage_problem(st, "not everything is stored: ", s->node->store.error);
}

const struct pv_part pv_part_store = {
    .name = "store",
    .size = PV_PART_SIZE(struct store),
    .start = start,
    .restore = restore_marks,
    .run = run_store,
    .due = PV_PART_DUE(struct store, retry_at),
    .status = show,
};
