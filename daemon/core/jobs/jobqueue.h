/* SPDX-License-Identifier: MIT */
/*
 * jobqueue.h - jobs on their way to the shell, and who is called when they have ended.
 *
 * Every job of the daemon goes this way, whoever it is from: a part says which function of its own
 * takes the result, and gets it there, once. Jobs reach the shell in the order in which they were
 * submitted. Not thread-safe.
 */
#pragma once

#include "base/heap.h"
#include "base/log.h"
#include "base/map.h"
#include "base/pv.h"
#include "daemon/core/jobs/job.h"

struct pv_jobwait;

enum {
    /* Jobs without a result; more are refused. Ours: the store works off some thousand a second. */
    PV_JOBQUEUE_MAX = 8192,
};

/* A job has ended: what wait->self does about it. May take what result owns; NULL: its deadline is
 * over. Then, when wait->late, the shell has the job yet, and this is called once more with its
 * result. */
typedef void pv_job_done(struct pv_jobwait *wait, struct pv_job_result *result, pv_ns now);

/* A job without a result: the beginning of what its owner has to remember with it. */
struct pv_jobwait {
    pv_job_done *done; /* NULL: nobody is called */
    void *self;
    uint64_t tag;       /* of self, which reads it in done */
    struct pv_job *job; /* owned; NULL: the shell has it */
    bool late;
    uint64_t id;
    struct pv_heap_node timer;
    UT_hash_handle hh;
};

struct pv_jobqueue {
    const struct pv_log *log;
    struct pv_map map;
    struct pv_jobwait *waits; /* owned; in the order of submission, by hh.next */
    struct pv_jobwait *next;  /* the first that the shell does not have */
    struct pv_heap timers;
    uint64_t last_id;
};

void pv_jobqueue_init(struct pv_jobqueue *q, const struct pv_rng *rng, const struct pv_log *log);
/* Frees the jobs that nobody took, and forgets who waits. */
void pv_jobqueue_done(struct pv_jobqueue *q);

/* A new job, all fields zero; NULL without memory. The caller owns it. */
struct pv_job *pv_job_new(enum pv_job_kind kind);
/* Queues a job, which is taken in any case; done is called with a wait that has self and tag.
 * False: job is NULL; or, logged, there is no memory, or PV_JOBQUEUE_MAX are under way; nothing
 * will come back. */
bool pv_jobqueue_submit(struct pv_jobqueue *q, struct pv_job *job, pv_job_done *done, void *self,
                        uint64_t tag);
/* Has the shell look a name up, as a job as well: a name server that does not answer must not hold
 * up packets. */
bool pv_jobqueue_resolve(struct pv_jobqueue *q, const char *host, uint16_t port, pv_job_done *done,
                         void *self, uint64_t tag);
/* The same as submit() with a wait of size bytes, zeroed, that the queue owns: it lives until done
 * has been called with a result. deadline: when it has failed; PV_NEVER. NULL where the other is
 * false. */
void *pv_jobqueue_add(struct pv_jobqueue *q, struct pv_job *job, pv_job_done *done, void *self,
                      pv_ns deadline, size_t size);
/* self is not called any more. Its jobs are done all the same; end, if not NULL, frees what its
 * waits own. */
void pv_jobqueue_forget(struct pv_jobqueue *q, const void *self,
                        void (*end)(struct pv_jobwait *wait));

/* The next job for the shell, which owns it then. PV_ERR_AGAIN. */
PV_MUST_CHECK int pv_jobqueue_poll(struct pv_jobqueue *q, struct pv_job **ret_job);
/* Calls who waits for it. False: nobody knows the job. */
bool pv_jobqueue_handle(struct pv_jobqueue *q, struct pv_job_result *result, pv_ns now);
void pv_jobqueue_handle_timeout(struct pv_jobqueue *q, pv_ns now);
pv_ns pv_jobqueue_next_timeout(const struct pv_jobqueue *q);
