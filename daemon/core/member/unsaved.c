/* SPDX-License-Identifier: MIT */
/* unsaved.c - an array of views, copied into one allocation when it becomes a job. */
#include "daemon/core/member/unsaved.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/vec.h"
#include "daemon/core/member/stored.h"

static bool add(struct pv_unsaved *u, struct pv_node *n, struct pv_stored_statement item)
{
    void *grown = pv_vec_room(u->items, u->n, &u->cap, 64, sizeof(u->items[0]));
    if (grown == NULL) {
        /* The store's next attempt takes the whole roster, and this statement with it. */
        n->store_failed = true;
        return false;
    }
    u->items = grown;
    u->items[u->n++] = item;
    return true;
}

static struct pv_stored_statement stored(const struct pv_roster_entry *entry)
{
    return (struct pv_stored_statement){.statement = entry->st.raw, .receipt = entry->receipt};
}

void pv_unsaved_add(struct pv_unsaved *u, struct pv_node *n, const struct pv_roster_entry *entry)
{
    (void)add(u, n, stored(entry));
}

/* Dropped statements go through the same list: the store must see an addition and the drop after it
 * in their order. */
void pv_unsaved_forget(struct pv_unsaved *u, struct pv_node *n, const struct pv_roster_entry *entry)
{
    (void)add(u, n, (struct pv_stored_statement){.statement = entry->st.raw, .forget = true});
}

bool pv_unsaved_postpone(struct pv_unsaved *u)
{
    if (u->n_later + u->n > u->cap_later) {
        size_t cap = 2 * (u->n_later + u->n);
        uint8_t(*grown)[PV_STATEMENT_HASH_LEN] = realloc(u->later, cap * sizeof(*grown));
        if (grown == NULL)
            return false;
        u->later = grown;
        u->cap_later = cap;
    }
    for (size_t i = 0; i < u->n; i++)
        pv_statement_hash(u->items[i].statement, u->later[u->n_later++]);
    u->n = 0;
    return true;
}

bool pv_unsaved_add_all(struct pv_unsaved *u, struct pv_node *n, const struct pv_roster *roster)
{
    bool all = true;
    for (const struct pv_roster_entry *x = pv_roster_next_entry(roster, NULL); x != NULL;
         x = pv_roster_next_entry(roster, x))
        all = add(u, n, stored(x)) && all;
    return all;
}

/* A copy of the views and of the bytes behind them, in one allocation: the roster may be gone
 * before the job is done. */
static struct pv_stored_statement *copy_items(const struct pv_identity *identity,
                                              const struct pv_stored_statement *items, size_t n)
{
    size_t bytes = n * sizeof(*items);
    for (size_t i = 0; i < n; i++)
        bytes += items[i].statement.len + items[i].receipt.len;
    struct pv_stored_statement *copy = malloc(bytes);
    if (copy == NULL)
        return NULL;
    struct pv_writer w = pv_writer(copy, bytes);
    w.len = n * sizeof(*items);
    for (size_t i = 0; i < n; i++) {
        copy[i] = (struct pv_stored_statement){.forget = items[i].forget};
        copy[i].statement = pv_view(w.buf + w.len, items[i].statement.len);
        pv_put_bytes(&w, items[i].statement.ptr, items[i].statement.len);
        copy[i].receipt = pv_view(w.buf + w.len, items[i].receipt.len);
        pv_put_bytes(&w, items[i].receipt.ptr, items[i].receipt.len);
        if (!copy[i].forget)
            pv_stored_mark(identity, &copy[i]);
    }
    return copy;
}

/* Those that waited come before the others, in the order in which they came. A statement that the
 * roster no longer has is not missed. */
static void recall_later(struct pv_unsaved *u, struct pv_node *n)
{
    struct pv_unsaved all = {.n = 0};
    for (size_t i = 0; i < u->n_later; i++) {
        const struct pv_roster_entry *x =
            n->roster == NULL ? NULL : pv_roster_find(n->roster, u->later[i]);
        if (x != NULL)
            (void)add(&all, n, stored(x));
    }
    u->n_later = 0;
    for (size_t i = 0; i < u->n; i++)
        (void)add(&all, n, u->items[i]);
    free(u->items);
    u->items = all.items;
    u->n = all.n;
    u->cap = all.cap;
}

/* The list is empty afterwards whatever happens: what found no memory is written with the whole
 * roster by the store's next attempt. */
bool pv_unsaved_flush(struct pv_unsaved *u, struct pv_node *n, pv_job_done *done, void *self,
                      uint64_t tag)
{
    if (u->n_later > 0)
        recall_later(u, n);
    size_t count = u->n;
    u->n = 0;
    if (count == 0)
        return false;
    struct pv_job *job = pv_job_new(PV_JOB_PUT_STATEMENTS);
    struct pv_stored_statement *copy = copy_items(n->identity, u->items, count);
    if (job == NULL || copy == NULL) {
        free(copy);
        pv_job_free(job);
        n->store_failed = true;
        return false;
    }
    job->u.put_statements.items = copy;
    job->u.put_statements.n = count;
    bool queued = pv_jobqueue_submit(&n->jobs, job, done, self, tag);
    n->store_failed = n->store_failed || !queued;
    return queued;
}

void pv_unsaved_clear(struct pv_unsaved *u)
{
    u->n = u->n_later = 0;
}

void pv_unsaved_done(struct pv_unsaved *u)
{
    free(u->items);
    free(u->later);
    *u = (struct pv_unsaved){.n = 0};
}
