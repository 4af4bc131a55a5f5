/* SPDX-License-Identifier: MIT */
/* namesfile.c - writes the names file anew when who is who has changed, not more often than needed.
 */
#include "daemon/core/client/namesfile.h"

#include <stdlib.h>
#include <string.h>

#include "base/names.h"
#include "daemon/core/node/node.h"

#define WRITE_GAP   PV_MS(200) /* ours: between two writes, so that a busy minute is few of them */
#define WRITE_GAP_1 PV_MS(1)   /* ours: and so much for each name: 10 s with 10,000, 92 KB/s */
#define WRITE_RETRY PV_S(30)   /* ours: after a failed write */

struct namesfile {
    struct pv_node *node;
    bool dirty;       /* the file is not what the roster says */
    bool writing;     /* a job writes it */
    pv_ns not_before; /* of the next write */
};

static int make(struct pv_node *node, const struct pv_engine_config *cfg, pv_ns now,
                void **ret_part)
{
    struct namesfile *f = calloc(1, sizeof(*f));
    (void)cfg;
    (void)now;
    if (f == NULL)
        return PV_ERR_NOMEM;
    f->node = node;
    f->dirty = true; /* one that an earlier life left may be of another network */
    *ret_part = f;
    return PV_OK;
}

/* Names in the file go with the roster alone: whether a member is online changes nothing in it. */
static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct namesfile *f = part;
    (void)now;
    if ((facts & (PV_FACT_ROSTER | PV_FACT_NETWORK)) != 0)
        f->dirty = true;
}

static pv_ns next_timeout(const void *part)
{
    const struct namesfile *f = part;
    return f->dirty && !f->writing ? f->not_before : PV_NEVER;
}

/* The file of the first n members; ret_names owns it then. */
static int fill(const struct pv_roster *roster, size_t n, struct pv_job_names *ret_names)
{
    struct pv_names_entry *entries = calloc(n, sizeof(*entries));
    uint8_t *bytes = malloc(PV_NAMES_SIZE(n));
    size_t i = 0;
    int r = entries == NULL || bytes == NULL ? PV_ERR_NOMEM : PV_OK;
    for (const struct pv_member *m = pv_roster_next(roster, NULL); r == PV_OK && m != NULL && i < n;
         m = pv_roster_next(roster, m), i++) {
        memcpy(entries[i].name, m->name, sizeof(entries[i].name));
        entries[i].ip4 = m->ip4;
        entries[i].ip6 = m->ip6;
    }
    if (r == PV_OK)
        r = pv_names_build(pv_roster_network(roster)->name, entries, i, bytes, PV_NAMES_SIZE(i));
    free(entries);
    if (r < 0) {
        free(bytes);
        return r;
    }
    *ret_names = (struct pv_job_names){.bytes = bytes, .len = PV_NAMES_SIZE(i)};
    return PV_OK;
}

static void run(void *part, pv_ns now)
{
    struct namesfile *f = part;
    const struct pv_node *node = f->node;
    /* A node that was removed knows nobody any more; one that is down does. */
    size_t n = pv_node_self(node) != NULL ? pv_roster_count(node->roster) : 0;
    int r = PV_OK;
    if (now < next_timeout(f))
        return;
    struct pv_job *job = pv_job_new(PV_JOB_NAMES);
    if (job == NULL)
        r = PV_ERR_NOMEM;
    else if (n > 0)
        r = fill(node->roster, n, &job->u.names);
    if (r == PV_OK && pv_jobqueue_submit(&f->node->jobs, job, &pv_part_namesfile, 0)) {
        /* The file counts as current when its job leaves, not when that ends: a change meanwhile
         * makes another. */
        f->dirty = false;
        f->writing = true;
        f->not_before = now + WRITE_GAP + n * WRITE_GAP_1;
        return;
    }
    /* The queue itself frees a job that it does not take. */
    if (r != PV_OK) {
        pv_log(node->log, PV_LOG_WARN, "what=\"names not written\" why=\"%s\"", pv_strstatus(r));
        pv_job_free(job);
    }
    f->not_before = now + WRITE_RETRY;
}

/* A file that could not be written is written again later: the resolver reads names from it, and
 * would miss members until the next change of the roster. */
static void on_job(void *part, uint64_t tag, struct pv_job_result *result, pv_ns now)
{
    struct namesfile *f = part;
    (void)tag;
    f->writing = false;
    if (result->status == PV_OK)
        return;
    pv_log(f->node->log, PV_LOG_WARN, "what=\"names not written\" why=\"%s\"", result->error);
    f->dirty = true;
    f->not_before = now + WRITE_RETRY;
}

const struct pv_part pv_part_namesfile = {
    .name = "namesfile",
    .make = make,
    .free = free,
    .on_facts = on_facts,
    .run = run,
    .next_timeout = next_timeout,
    .on_job = on_job,
};
