/* SPDX-License-Identifier: MIT */
/* Marks of stored statements: BLAKE2s with a key over statement and receipt, each with its length.
 * The network's id stands in the statement. And the statements whose write failed. */
#include "daemon/core/member/stored.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/vec.h"
#include "crypto/ct.h"
#include "crypto/hash.h"
#include "proto/roster/roster.h"

enum {
    MARK_KEY_LEN = 32,
};

/* A label of its own keeps this key apart from everything else that follows from the identity. */
static void mark_key(const struct pv_identity *identity, uint8_t ret_key[static MARK_KEY_LEN])
{
    static const char label[] = "p2pvpnd: mark of a stored statement, 1";
    struct pv_blake2s s;
    pv_blake2s_init(&s, pv_view(identity->sign_sk, PV_SIGN_SEED_LEN), MARK_KEY_LEN);
    pv_blake2s_update(&s, label, sizeof(label));
    pv_blake2s_final(&s, ret_key);
}

static void add_bytes(struct pv_blake2s *s, struct pv_view v)
{
    uint8_t len[8];
    pv_store_be64(len, v.len);
    pv_blake2s_update(s, len, sizeof(len));
    if (v.len > 0)
        pv_blake2s_update(s, v.ptr, v.len);
}

static void make_mark(const uint8_t key[static MARK_KEY_LEN],
                      const struct pv_stored_statement *item,
                      uint8_t ret_mark[static PV_JOB_MARK_LEN])
{
    struct pv_blake2s s;
    pv_blake2s_init(&s, pv_view(key, MARK_KEY_LEN), PV_JOB_MARK_LEN);
    add_bytes(&s, item->statement);
    add_bytes(&s, item->receipt);
    pv_blake2s_final(&s, ret_mark);
}

void pv_stored_mark(const struct pv_identity *identity, struct pv_stored_statement *item)
{
    uint8_t key[MARK_KEY_LEN];
    mark_key(identity, key);
    make_mark(key, item, item->mark);
    item->has_mark = true;
    pv_wipe(key, sizeof(key));
}

static bool is_marked(const uint8_t key[static MARK_KEY_LEN],
                      const struct pv_stored_statement *item)
{
    uint8_t mark[PV_JOB_MARK_LEN];
    if (!item->has_mark)
        return false;
    make_mark(key, item, mark);
    return pv_ct_equal(mark, item->mark, sizeof(mark));
}

/* A roster grows from the network's record, wherever the store put it. Beside it that of another
 * network may lie, of a join whose last steps failed. Without a record one of a newer version may
 * be it. */
static int new_roster(const struct pv_node *n, const struct pv_saved *saved,
                      struct pv_roster **ret_roster)
{
    int r = PV_ERR_MALFORMED;
    bool newer = false;
    for (size_t i = 0; i < saved->n_statements; i++) {
        struct pv_statement s;
        int status = pv_statement_decode(saved->statements[i].statement, &s);
        newer = newer || status == PV_ERR_UNSUPPORTED;
        if (status == PV_OK && s.type == PV_ST_NETWORK)
            r = pv_roster_new(saved->statements[i].statement, saved->network_id, &n->rng,
                              ret_roster);
        if (r == PV_OK || r == PV_ERR_NOMEM)
            return r;
    }
    return newer ? PV_ERR_UNSUPPORTED : r;
}

/* A statement that is refused stays in the store without a mark: it would be refused again. */
static int load_one(const struct pv_node *n, struct pv_roster *r,
                    const struct pv_stored_statement *item, bool marked, bool *ret_kept)
{
    enum pv_roster_added added;
    int status = marked ? pv_roster_load(r, item->statement, NULL, item->receipt, &added)
                        : pv_roster_add(r, item->statement, item->receipt, &added);
    *ret_kept = status == PV_OK && added != PV_ROSTER_ORPHAN;
    if (status != PV_OK && status != PV_ERR_NOMEM)
        pv_log(n->log, PV_LOG_WARN, "what=\"stored statement refused\" why=\"%s\"",
               pv_strstatus(status));
    return status == PV_ERR_NOMEM ? status : PV_OK;
}

/* The news of EV_STATEMENT about it is on disk already. */
int pv_stored_load(const struct pv_node *n, const struct pv_saved *saved,
                   struct pv_roster **ret_roster, bool *ret_marked)
{
    struct pv_roster *r = NULL;
    struct pv_roster_event ev;
    uint8_t key[MARK_KEY_LEN];
    int status = new_roster(n, saved, &r);
    *ret_marked = true;
    mark_key(n->identity, key);
    for (size_t i = 0; status == PV_OK && i < saved->n_statements; i++) {
        bool marked = is_marked(key, &saved->statements[i]), kept = false;
        status = load_one(n, r, &saved->statements[i], marked, &kept);
        *ret_marked = *ret_marked && (marked || !kept);
    }
    pv_wipe(key, sizeof(key));
    if (status != PV_OK) {
        pv_roster_free(r); /* what is missing here would be missing until the next start */
        return status;
    }
    while (pv_roster_poll_event(r, &ev) == PV_OK)
        continue;
    *ret_roster = r;
    return PV_OK;
}

/* --- statements whose write failed ----------------------------------------------------------- */

/* They wait as an array of views, which is copied into one allocation when it becomes a job. */

static bool add(struct pv_unsaved *u, struct pv_node *n, struct pv_stored_statement item)
{
    void *grown = pv_vec_room(u->items, u->n, &u->cap, 64, sizeof(u->items[0]));
    if (grown == NULL) {
        /* The store's next attempt takes the whole roster, and this statement with it. */
        n->store.failed = true;
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
        n->store.failed = true;
        return false;
    }
    job->u.put_statements.items = copy;
    job->u.put_statements.n = count;
    bool queued = pv_jobqueue_submit(&n->jobs, job, done, self, tag);
    n->store.failed = n->store.failed || !queued;
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
