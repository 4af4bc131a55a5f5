/* SPDX-License-Identifier: MIT */
/* namesfile.c - writes the names files anew when who is who has changed, not more often than
 * needed, and no more than has changed where that is cheap. */
#include "daemon/core/client/namesfile.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/names.h"
#include "daemon/core/node/node.h"

#define WRITE_GAP   PV_MS(200) /* ours: between two writes, so that a busy minute is few of them */
#define WRITE_GAP_1 PV_MS(1)   /* ours: and so much for each name: 10 s with 10,000, 92 KB/s */
#define WRITE_RETRY PV_S(30)   /* ours: after a failed write */

struct namesfile {
    struct pv_node *node;
    struct pv_map map; /* only its hash key is used */
    bool dirty;        /* the roster has changed since it was looked at */
    bool behind;       /* the whole file has to be written, but not yet */
    bool writing;      /* a job writes one of the files */
    pv_ns not_before;  /* of the next write of any */
    pv_ns whole_at;    /* of the next write of the whole file */
    uint64_t *whole;   /* owned: what the whole file says of each, ascending; NULL: not known */
    size_t n_whole;
    uint64_t recent; /* the sum of what the small one says; 0: there is none */
};

/* The roster's members beside the whole file. */
struct news {
    size_t n;    /* members that are not in it as they are now */
    size_t left; /* that are in it as they are now */
    uint64_t sum;
    const struct pv_member *members[PV_NAMESFILE_RECENT];
};

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct namesfile *f = part;
    f->map = pv_map_make(&f->node->rng, 1);
    f->dirty = true; /* one that an earlier life left may be of another network */
    return PV_OK;
}

static void free_namesfile(void *part)
{
    struct namesfile *f = part;
    free(f->whole);
}

/* Names in the file go with the roster alone: whether a member is online changes nothing in it. */
static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct namesfile *f = part;
    if ((facts & (PV_FACT_ROSTER | PV_FACT_NETWORK)) != 0)
        f->dirty = true;
}

static pv_ns next_timeout(const void *part)
{
    const struct namesfile *f = part;
    if (f->writing)
        return PV_NEVER;
    return pv_min_ns(f->dirty ? f->not_before : PV_NEVER, f->behind ? f->whole_at : PV_NEVER);
}

/* --- what is in the files --------------------------------------------------------------------- */

/* A file's word about a member: its IPv4 address, which no other has, and a hash of all of it. The
 * hash is keyed: nobody can choose a name that hides another. */
static uint64_t print_of(const struct namesfile *f, const struct pv_member *m)
{
    struct {
        char name[PV_NAME_BUF];
        uint8_t ip6[PV_IP6_LEN];
    } key = {.name = ""};
    memcpy(key.name, m->name, strnlen(m->name, sizeof(key.name) - 1));
    if ((m->abilities & PV_ABLE_NO_IP6) == 0)
        memcpy(key.ip6, m->ip6.ip, sizeof(key.ip6));
    return (uint64_t)pv_addr_u32(&m->ip4) << 32 | pv_map_hash(&f->map, &key, sizeof(key));
}

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void look(const struct namesfile *f, struct news *ret_news)
{
    const struct pv_roster *roster = f->node->roster;
    *ret_news = (struct news){.n = 0};
    for (const struct pv_member *m = pv_roster_next(roster, NULL); m != NULL;
         m = pv_roster_next(roster, m)) {
        uint64_t print = print_of(f, m);
        if (bsearch(&print, f->whole, f->n_whole, sizeof(print), by_value) != NULL) {
            ret_news->left++;
            continue;
        }
        if (ret_news->n < PV_NAMESFILE_RECENT)
            ret_news->members[ret_news->n] = m;
        ret_news->n++;
        ret_news->sum += print;
    }
}

/* Returns true if few members came since and nobody else changed. If there are few members in all,
 * one file is simpler. */
static bool is_small(const struct namesfile *f, const struct news *news)
{
    return f->whole != NULL && news->left == f->n_whole && f->n_whole > PV_NAMESFILE_RECENT &&
           news->n > 0 && news->n <= PV_NAMESFILE_RECENT;
}

/* The whole file says this of each from now on. Without memory it is written whole again. */
static void note_whole(struct namesfile *f, size_t n)
{
    size_t i = 0;
    free(f->whole);
    f->whole = n == 0 ? NULL : calloc(n, sizeof(*f->whole));
    f->n_whole = f->whole == NULL ? 0 : n;
    f->recent = 0;
    if (f->whole == NULL)
        return;
    for (const struct pv_member *m = pv_roster_next(f->node->roster, NULL); m != NULL && i < n;
         m = pv_roster_next(f->node->roster, m))
        f->whole[i++] = print_of(f, m);
    qsort(f->whole, n, sizeof(*f->whole), by_value);
}

/* --- writing ---------------------------------------------------------------------------------- */

/* A file of n members: of these, or (NULL) the roster's first; ret_names owns it then. */
static int fill(const struct pv_roster *roster, const struct pv_member *const *members, size_t n,
                struct pv_job_names *ret_names)
{
    struct pv_names_entry *entries = calloc(n, sizeof(*entries));
    uint8_t *bytes = malloc(PV_NAMES_SIZE(n));
    const struct pv_member *m = NULL;
    size_t i = 0;
    int r = entries == NULL || bytes == NULL ? PV_ERR_NOMEM : PV_OK;
    for (; r == PV_OK && i < n; i++) {
        m = members != NULL ? members[i] : pv_roster_next(roster, m);
        if (m == NULL)
            break;
        memcpy(entries[i].name, m->name, sizeof(entries[i].name));
        entries[i].ip4 = m->ip4;
        if ((m->abilities & PV_ABLE_NO_IP6) == 0)
            entries[i].ip6 = m->ip6;
    }
    if (r == PV_OK)
        r = pv_names_build(pv_roster_network(roster)->name, entries, i, bytes, PV_NAMES_SIZE(i));
    free(entries);
    if (r < 0) {
        free(bytes);
        return r;
    }
    *ret_names =
        (struct pv_job_names){.bytes = bytes, .len = PV_NAMES_SIZE(i), .recent = members != NULL};
    return PV_OK;
}

/* The content of the files is unknown now, so everything is written again later. The resolver reads
 * names from them, and would miss members until the next change of the roster. */
static void failed(struct namesfile *f, const char *why, pv_ns now)
{
    pv_log(f->node->log, PV_LOG_WARN, "what=\"names not written\" why=\"%s\"", why);
    free(f->whole);
    f->whole = NULL;
    f->n_whole = 0;
    f->recent = 0;
    f->dirty = true;
    f->behind = false;
    f->not_before = f->whole_at = now + WRITE_RETRY;
}

static void on_job(struct pv_jobwait *wait, struct pv_job_result *result, pv_ns now)
{
    struct namesfile *f = wait->self;
    f->writing = false;
    if (result->status != PV_OK)
        failed(f, result->error, now);
}

/* Has one of the files written: of these members, or (NULL) of all n; of none, that removes both.
 * It counts as current when its job leaves, not when that ends: a change meanwhile makes another.
 */
static void write_file(struct namesfile *f, const struct pv_member *const *members, size_t n,
                       pv_ns now)
{
    struct pv_job *job = pv_job_new(PV_JOB_NAMES);
    int r = job == NULL ? PV_ERR_NOMEM : PV_OK;
    if (r == PV_OK && n > 0)
        r = fill(f->node->roster, members, n, &job->u.names);
    if (r < 0) {
        pv_job_free(job);
        failed(f, pv_strstatus(r), now);
        return;
    }
    /* The queue itself frees a job that it does not take. */
    if (!pv_jobqueue_submit(&f->node->jobs, job, on_job, f, 0)) {
        failed(f, "too much is to be done", now);
        return;
    }
    f->writing = true;
    f->not_before = now + WRITE_GAP;
    if (members != NULL)
        return;
    f->behind = false;
    f->whole_at = now + WRITE_GAP + n * WRITE_GAP_1;
    note_whole(f, n);
}

static void run(void *part, pv_ns now)
{
    struct namesfile *f = part;
    const struct pv_node *node = f->node;
    struct news news;
    /* A removed node knows nobody. A node that is down does. */
    size_t n = pv_node_self(node) != NULL ? pv_roster_count(node->roster) : 0;
    if (now < next_timeout(f))
        return;
    f->dirty = false;
    if (n > 0 && f->whole != NULL) {
        look(f, &news);
        if (news.n == 0 && news.left == f->n_whole && f->recent == 0)
            return; /* nothing that is in a file has changed */
        if (is_small(f, &news)) {
            bool changed = news.sum != f->recent;
            f->recent = news.sum;
            if (changed)
                write_file(f, news.members, news.n, now);
            return;
        }
    }
    f->behind = true;
    if (n == 0 || now >= f->whole_at)
        write_file(f, NULL, n, now);
}

const struct pv_part pv_part_namesfile = {
    .name = "namesfile",
    .size = PV_PART_SIZE(struct namesfile),
    .start = start,
    .free = free_namesfile,
    .on_facts = on_facts,
    .run = run,
    .next_timeout = next_timeout,
};
