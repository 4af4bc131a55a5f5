/* SPDX-License-Identifier: MIT */
/* The proofs of connections - handshakes, signatures of hellos - are worked on by threads of its
 * own, where there are processors for them. */
#include <sched.h>

#include "coordinator/server_int.h"
#include "sys/proc/clock.h"
#include "sys/proc/worker.h"

enum {
    THREADS_MAX = 3, /* ours: more would get more than the control thread can read */
    /* Ours: pieces under way for each thread. It takes the worst of them, handshakes, 10 ms: two
     * turns of the control thread, so that none idles, and nobody waits for long behind others. */
    PROOFS_A_THREAD = 64,
};

/* The pool: nothing but the pieces is touched here. */
static void run_proofs(void *ctx, void *const *items, size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++)
        pv_coord_proof_run(items[i]);
}

static void give_back(struct pv_coordserver *s, struct pv_coord_proof *proof, pv_ns now)
{
    pv_ns began = pv_clock_now();
    pv_coord_handle_proof(s->coord, proof, now);
    pv_coord_bill(s->coord, pv_clock_now() - began, now);
}

/* The descriptor stays readable while there are more. */
static void on_prover(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_coordserver *s = ctx;
    void *item = NULL;
    (void)ready;
    s->happened = true;
    while (pv_clock_now() - now < PV_SERVER_TURN && pv_worker_take(s->prover, &item) == PV_OK)
        give_back(s, item, now);
}

/* Processors for these beside the control thread's. */
static unsigned spare_processors(void)
{
    cpu_set_t set;
    bool many = sched_getaffinity(0, sizeof(set), &set) < 0; /* more than the set has room for */
    int n = many ? THREADS_MAX + 1 : CPU_COUNT(&set);
    return n > THREADS_MAX ? THREADS_MAX : (unsigned)n - 1;
}

int pv_server_start_prover(struct pv_coordserver *s)
{
    const unsigned threads = spare_processors();
    const struct pv_worker_config cfg = {.name = "prover",
                                         .threads = threads,
                                         .limit = (size_t)threads * PROOFS_A_THREAD,
                                         .batch = 1,
                                         .run = run_proofs};
    if (threads == 0)
        return PV_OK;
    s->proofs_max = cfg.limit;
    int r = pv_worker_new(&s->prover, &cfg);
    if (r == PV_OK)
        r = pv_watch_new(&s->prover_watch, s->loop, pv_worker_fd(s->prover), PV_LOOP_READ,
                         on_prover, s);
    if (r == PV_OK)
        pv_coord_lend(s->coord);
    return r;
}

static void work_here(struct pv_coordserver *s, struct pv_coord_proof *proof, pv_ns now)
{
    pv_coord_proof_run(proof);
    give_back(s, proof, now);
}

/* Hellos that waited for their network's home may come beyond the limit, and are worked on here. */
void pv_server_submit_proofs(struct pv_coordserver *s, pv_ns now)
{
    struct pv_coord_proof *proof = NULL;
    while (pv_coord_poll_proof(s->coord, &proof) == PV_OK)
        if (pv_worker_submit(s->prover, proof) < 0)
            work_here(s, proof, now);
}

/* The threads may be waiting for a processor while this one has it, for longer than the work takes:
 * then it was better done here. */
void pv_server_help_prover(struct pv_coordserver *s, pv_ns now)
{
    void *item = NULL;
    pv_ns until = pv_clock_now() + PV_SERVER_STRANGERS;
    while (s->prover != NULL && !s->more && pv_worker_reclaim(s->prover, &item) == PV_OK) {
        work_here(s, item, now);
        s->more = pv_clock_now() >= until;
    }
}

bool pv_server_prover_is_full(const struct pv_coordserver *s)
{
    return s->prover != NULL && pv_coord_proofs(s->coord) >= s->proofs_max;
}

void pv_server_end_prover(struct pv_coordserver *s)
{
    void *item = NULL;
    if (s->prover == NULL)
        return;
    pv_watch_free(s->prover_watch);
    pv_worker_finish(s->prover);
    while (pv_worker_take(s->prover, &item) == PV_OK)
        pv_coord_proof_free(item);
    s->prover = pv_worker_free(s->prover);
}
