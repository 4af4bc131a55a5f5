/* SPDX-License-Identifier: MIT */
/*
 * worker.c - threads for what would block the control thread, with bounded queues both ways. The
 * limit counts what is submitted and not yet taken, so neither queue can overflow and a finished
 * item always has its place.
 */
#include "sys/proc/worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "sys/proc/event.h"

/* A circle of pointers; cap is the worker's limit, so it cannot overflow. */
struct item_queue {
    void **items;
    size_t cap, head, len;
};

struct pv_worker {
    struct pv_worker_config cfg;
    int event_fd;
    pthread_t threads[PV_WORKER_MAX_THREADS];
    unsigned started;
    size_t under_way; /* control thread only: submitted, not yet taken */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct item_queue waiting, done; /* under lock */
    bool stopping;                   /* under lock */
};

static void push_item(struct item_queue *q, void *item)
{
    q->items[(q->head + q->len++) % q->cap] = item;
}

static void *pop_item(struct item_queue *q)
{
    void *item = q->items[q->head];
    q->head = (q->head + 1) % q->cap;
    q->len--;
    return item;
}

/* The lock is released while items run; several at once, so that a database can put them into one
 * transaction. */
static void *thread_main(void *arg)
{
    struct pv_worker *w = arg;
    void *items[PV_WORKER_MAX_BATCH];
    /* Each thread names itself: of another it takes a file of /proc, which may be out of reach. */
    pthread_setname_np(pthread_self(), w->cfg.name);
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (w->waiting.len == 0 && !w->stopping)
            pthread_cond_wait(&w->wake, &w->lock);
        if (w->waiting.len == 0)
            break;
        size_t n = 0;
        while (n < w->cfg.batch && w->waiting.len > 0)
            items[n++] = pop_item(&w->waiting);
        pthread_mutex_unlock(&w->lock);
        w->cfg.run(w->cfg.ctx, items, n);
        pthread_mutex_lock(&w->lock);
        for (size_t i = 0; i < n; i++)
            push_item(&w->done, items[i]);
        pv_event_raise(w->event_fd);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

static int start_threads(struct pv_worker *w)
{
    /* Signals belong to the control thread's signalfd. */
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int e = 0;
    while (w->started < w->cfg.threads && e == 0) {
        e = pthread_create(&w->threads[w->started], NULL, thread_main, w);
        if (e == 0)
            w->started++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return e == 0 ? PV_OK : -e;
}

int pv_worker_new(struct pv_worker **ret_worker, const struct pv_worker_config *cfg)
{
    if (cfg->threads == 0 || cfg->threads > PV_WORKER_MAX_THREADS || cfg->limit == 0 ||
        cfg->batch == 0 || cfg->batch > PV_WORKER_MAX_BATCH)
        return PV_ERR_LIMIT;
    struct pv_worker *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return PV_ERR_NOMEM;
    w->cfg = *cfg;
    w->event_fd = -1;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, NULL);
    w->waiting =
        (struct item_queue){.items = calloc(cfg->limit, sizeof(void *)), .cap = cfg->limit};
    w->done = (struct item_queue){.items = calloc(cfg->limit, sizeof(void *)), .cap = cfg->limit};
    int r = w->waiting.items == NULL || w->done.items == NULL ? PV_ERR_NOMEM : PV_OK;
    if (r >= 0)
        r = pv_event_open(&w->event_fd);
    if (r >= 0)
        r = start_threads(w);
    if (r < 0) {
        pv_worker_finish(w);
        pv_worker_free(w);
        return r;
    }
    *ret_worker = w;
    return PV_OK;
}

int pv_worker_fd(const struct pv_worker *w)
{
    return w->event_fd;
}

int pv_worker_submit(struct pv_worker *w, void *item)
{
    if (w->under_way >= w->cfg.limit)
        return PV_ERR_LIMIT;
    w->under_way++;
    pthread_mutex_lock(&w->lock);
    push_item(&w->waiting, item);
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    return PV_OK;
}

/* The event is cleared under the lock and only when the list is empty: a wake-up between both would
 * be lost otherwise. */
int pv_worker_take(struct pv_worker *w, void **ret_item)
{
    int r = PV_ERR_AGAIN;
    pthread_mutex_lock(&w->lock);
    if (w->done.len > 0) {
        *ret_item = pop_item(&w->done);
        w->under_way--;
        r = PV_OK;
    } else {
        pv_event_clear(w->event_fd);
    }
    pthread_mutex_unlock(&w->lock);
    return r;
}

/* Work that was submitted is still run: messages that wait to be stored must not be lost at the
 * end. */
void pv_worker_finish(struct pv_worker *w)
{
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_broadcast(&w->wake);
    pthread_mutex_unlock(&w->lock);
    while (w->started > 0)
        pthread_join(w->threads[--w->started], NULL);
}

struct pv_worker *pv_worker_free(struct pv_worker *w)
{
    if (w != NULL) {
        pthread_mutex_destroy(&w->lock);
        pthread_cond_destroy(&w->wake);
        if (w->event_fd >= 0)
            close(w->event_fd);
        free(w->waiting.items);
        free(w->done.items);
        free(w);
    }
    return NULL;
}

void pv_worker_abandon(struct pv_worker *w)
{
    while (w->started > 0)
        pthread_detach(w->threads[--w->started]);
}
