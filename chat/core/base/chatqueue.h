/* SPDX-License-Identifier: MIT */
/*
 * chatqueue.h - chat's jobs on their way to its store, and who is called when they have ended.
 *
 * Every job of chat goes this way, whoever it is from: a part says which function of its own takes
 * the result, and gets it there, once. Jobs reach the store in the order in which they were
 * submitted. Not thread-safe.
 */
#pragma once

#include "base/heap.h"
#include "base/log.h"
#include "base/map.h"
#include "base/pv.h"
#include "chat/core/base/chatop.h"

struct pv_chatwait;

enum {
    PV_CHATQUEUE_ERROR = 240, /* bytes of the reason, with the NUL */
    /* Jobs without a result; more are refused. Ours: the store works off some thousand a second. */
    PV_CHATQUEUE_MAX = 8192,
};

/* status 0, or a negative status and a sentence "what failed: why: what to do" in error. */
struct pv_chatqueue_result {
    uint64_t id;
    int status;
    char error[PV_CHATQUEUE_ERROR];
    bool off;                        /* all jobs fail: the database cannot be opened */
    struct pv_chatop_result *answer; /* owned; NULL: on failure, or there is none */
};
/* Frees what a result owns, not the struct itself. */
void pv_chatqueue_result_done(struct pv_chatqueue_result *result);
/* The answer in a result, which keeps it. Of NULL, NULL. */
static inline struct pv_chatop_result *pv_chatop_result_of(const struct pv_chatqueue_result *result)
{
    return result == NULL ? NULL : result->answer;
}

/* A job has ended: what wait->self does about it. May take what result owns; NULL: its deadline is
 * over. Then, when wait->late, the shell has the job yet, and this is called once more with its
 * result. */
typedef void pv_chatqueue_done_fn(struct pv_chatwait *wait, struct pv_chatqueue_result *result,
                                  pv_ns now);

/* A job without a result: the beginning of what its owner has to remember with it. */
struct pv_chatwait {
    pv_chatqueue_done_fn *done; /* NULL: nobody is called */
    void *self;
    uint64_t tag;          /* of self, which reads it in done */
    struct pv_chatop *job; /* owned; NULL: the shell has it */
    bool late;
    uint64_t id;
    struct pv_heap_node timer;
    UT_hash_handle hh;
};

struct pv_chatqueue {
    const struct pv_log *log;
    struct pv_map map;
    struct pv_chatwait *waits; /* owned; in the order of submission, by hh.next */
    struct pv_chatwait *next;  /* the first that the shell does not have */
    struct pv_heap timers;
    uint64_t last_id;
};

void pv_chatqueue_init(struct pv_chatqueue *q, const struct pv_rng *rng, const struct pv_log *log);
/* Frees the jobs that nobody took, and forgets who waits. */
void pv_chatqueue_done(struct pv_chatqueue *q);

/* Queues a job, which is taken in any case; done is called with a wait that has self and tag.
 * False: job is NULL; or, logged, there is no memory, or PV_CHATQUEUE_MAX are under way; nothing
 * will come back. */
bool pv_chatqueue_submit(struct pv_chatqueue *q, struct pv_chatop *job, pv_chatqueue_done_fn *done,
                         void *self, uint64_t tag);
/* The same as submit() with a wait of size bytes, zeroed, that the queue owns: it lives until done
 * has been called with a result. deadline: when it has failed; PV_NEVER. NULL where the other is
 * false. */
void *pv_chatqueue_add(struct pv_chatqueue *q, struct pv_chatop *job, pv_chatqueue_done_fn *done,
                       void *self, pv_ns deadline, size_t size);
/* Calls self no longer. Its jobs are still done; end, if not NULL, frees what its waits own. */
void pv_chatqueue_forget(struct pv_chatqueue *q, const void *self,
                         void (*end)(struct pv_chatwait *wait));

/* The next job for the shell, which owns it then. PV_ERR_AGAIN. */
PV_MUST_CHECK int pv_chatqueue_poll(struct pv_chatqueue *q, struct pv_chatop **ret_job);
/* Calls who waits for it. False: nobody knows the job. */
bool pv_chatqueue_handle(struct pv_chatqueue *q, struct pv_chatqueue_result *result, pv_ns now);
void pv_chatqueue_handle_timeout(struct pv_chatqueue *q, pv_ns now);
pv_ns pv_chatqueue_next_timeout(const struct pv_chatqueue *q);
