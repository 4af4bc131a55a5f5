/* SPDX-License-Identifier: MIT */
/*
 * order.c - the log in memory runs ahead of the store by one batch at most. A batch that the store
 * refuses stays in memory and is offered again: what was told to nobody may come late, and what was
 * told is stored.
 */
#include "coordinator/core/member/order.h"

#include <stdlib.h>
#include <string.h>

/* A statement that waits for a batch, or whose batch waits for the store. */
struct ask {
    struct ask *next;
    struct pv_order_done done;
    bool is_free; /* it stands in the order of rule 5 */
    uint8_t hash[PV_LOGST_HASH_LEN];
    size_t len;
    uint8_t raw[];
};

struct asks {
    struct ask *first, **end;
    size_t n;
};

struct pv_order {
    struct pv_netlog *log;
    const uint8_t *sk;
    uint8_t network[PV_NETWORK_ID_LEN];
    enum pv_order_state state;
    uint64_t stored; /* entries of the log that the store has */
    uint64_t cut;    /* the next operation cuts the stored log from here on; 0: it does not */
    struct asks waiting, batch, done;
    uint8_t head[PV_HEAD_LEN];
    uint64_t head_n, head_at; /* 0: no head; Unix seconds when it was signed */
};

static void asks_init(struct asks *list)
{
    *list = (struct asks){.end = &list->first};
}

static void asks_add(struct asks *list, struct ask *ask)
{
    ask->next = NULL;
    *list->end = ask;
    list->end = &ask->next;
    list->n++;
}

static struct ask *asks_pop(struct asks *list)
{
    struct ask *ask = list->first;
    if (ask == NULL)
        return NULL;
    list->first = ask->next;
    if (list->first == NULL)
        list->end = &list->first;
    list->n--;
    return ask;
}

static void asks_free(struct asks *list)
{
    struct ask *ask;
    while ((ask = asks_pop(list)) != NULL)
        free(ask);
}

/* --- life ------------------------------------------------------------------------------------ */

int pv_order_new(const struct pv_order_config *cfg, bool fresh, struct pv_order **ret_order)
{
    struct pv_order *o = calloc(1, sizeof(*o));
    if (o == NULL)
        return PV_ERR_NOMEM;
    int r = pv_netlog_new(&cfg->fold, cfg->genesis, &o->log);
    if (r < 0) {
        free(o);
        return r;
    }
    o->sk = cfg->sk;
    o->state = fresh ? PV_ORDER_READY : PV_ORDER_WAITS;
    memcpy(o->network, cfg->fold.network_id, sizeof(o->network));
    asks_init(&o->waiting);
    asks_init(&o->batch);
    asks_init(&o->done);
    *ret_order = o;
    return PV_OK;
}

struct pv_order *pv_order_free(struct pv_order *o)
{
    if (o != NULL) {
        pv_netlog_free(o->log);
        asks_free(&o->waiting);
        asks_free(&o->batch);
        asks_free(&o->done);
        free(o);
    }
    return NULL;
}

int pv_order_load(struct pv_order *o, struct pv_view entry)
{
    int r = pv_netlog_load(o->log, entry);
    o->stored = pv_netlog_n(o->log);
    return r;
}

enum pv_order_state pv_order_state(const struct pv_order *o)
{
    return o->state;
}

const struct pv_fold *pv_order_fold(struct pv_order *o)
{
    return pv_netlog_state(o->log);
}

/* Returns true if this coordinator is the one that appends. */
static bool is_first(const struct pv_order *o)
{
    return pv_netlog_orders(o->log, o->sk + PV_SIGN_SEED_LEN);
}

/* --- reading --------------------------------------------------------------------------------- */

uint64_t pv_order_n(const struct pv_order *o)
{
    return o->stored;
}

struct pv_view pv_order_entry(const struct pv_order *o, uint64_t n)
{
    return pv_netlog_entry(o->log, n);
}

const uint8_t *pv_order_hash(const struct pv_order *o, uint64_t n)
{
    return pv_netlog_hash(o->log, n);
}

struct pv_view pv_order_head(const struct pv_order *o)
{
    bool whole = o->head_n > 0 && o->head_n == o->stored;
    return pv_view(o->head, whole ? PV_HEAD_LEN : 0);
}

/* --- statements ------------------------------------------------------------------------------ */

/* Root's move may come to a coordinator that does not order yet: the move itself may name it. */
static bool may_submit(const struct pv_order *o, const struct pv_logst *st)
{
    if (o->state == PV_ORDER_WAITS || o->state == PV_ORDER_BROKEN)
        return false;
    return st->type == PV_LOGST_COORDINATORS || is_first(o);
}

int pv_order_submit(struct pv_order *o, struct pv_view statement, uint64_t ticket)
{
    struct pv_logst st;
    int r = pv_logst_decode(statement, &st);
    if (r < 0)
        return r;
    if (memcmp(st.network_id, o->network, sizeof(st.network_id)) != 0)
        return PV_ERR_AUTH;
    if (!may_submit(o, &st))
        return PV_ERR_STATE;
    if (o->waiting.n >= PV_ORDER_QUEUE)
        return PV_ERR_LIMIT;
    r = pv_logst_verify(&st);
    if (r < 0)
        return r;
    struct ask *ask = malloc(sizeof(*ask) + statement.len);
    if (ask == NULL)
        return PV_ERR_NOMEM;
    *ask = (struct ask){.done = {.ticket = ticket}, .is_free = pv_logst_is_free(st.type)};
    memcpy(ask->hash, st.hash, sizeof(ask->hash));
    ask->len = statement.len;
    memcpy(ask->raw, statement.ptr, statement.len);
    asks_add(&o->waiting, ask);
    return PV_OK;
}

bool pv_order_poll_done(struct pv_order *o, struct pv_order_done *ret_done)
{
    struct ask *ask = asks_pop(&o->done);
    if (ask == NULL)
        return false;
    *ret_done = ask->done;
    free(ask);
    return true;
}

/* --- a batch --------------------------------------------------------------------------------- */

static int append(struct pv_order *o, struct pv_view raw, uint64_t wall, enum pv_why *ret_why)
{
    struct pv_logst st;
    uint64_t last = pv_netlog_time(o->log);
    int r = pv_logst_decode(raw, &st);
    if (r < 0)
        return r;
    /* Root's move has a time of its own. */
    uint64_t time = st.type == PV_LOGST_COORDINATORS ? st.time : wall > last ? wall : last;
    return pv_netlog_append(o->log, &st, time, ret_why);
}

/* Copies of the statements that count outside the log, in the order of rule 5. */
static int copy_outside(struct pv_order *o, struct asks *list)
{
    struct pv_logst st;
    if (pv_netlog_view(o->log) == NULL)
        return PV_ERR_NOMEM;
    for (size_t i = 0; pv_outside_took(pv_netlog_outside(o->log), i, &st); i++) {
        struct ask *copy = malloc(sizeof(*copy) + st.raw.len);
        if (copy == NULL)
            return PV_ERR_NOMEM;
        *copy = (struct ask){.len = st.raw.len};
        memcpy(copy->raw, st.raw.ptr, st.raw.len);
        asks_add(list, copy);
    }
    return PV_OK;
}

static int append_outside(struct pv_order *o, uint64_t wall)
{
    struct asks list;
    enum pv_why why;
    asks_init(&list);
    int r = copy_outside(o, &list);
    for (struct ask *a = list.first; a != NULL && r != PV_ERR_NOMEM && r != PV_ERR_LIMIT;
         a = a->next)
        r = append(o, pv_view(a->raw, a->len), wall, &why);
    asks_free(&list);
    return r == PV_ERR_NOMEM || r == PV_ERR_LIMIT ? r : PV_OK;
}

/* Statements that also count outside the log go there first: that gives them their order. */
static int hear(struct pv_order *o, const struct ask *ask)
{
    struct pv_logst st;
    int r = pv_logst_decode(pv_view(ask->raw, ask->len), &st);
    if (r == PV_OK)
        r = pv_netlog_hear(o->log, &st);
    return r == PV_ERR_NOMEM ? r : PV_OK;
}

/* Appends what is not in the log yet. A statement that is allowed and still does not follow is a
 * move from another place. */
static int append_ask(struct pv_order *o, struct ask *ask, uint64_t wall)
{
    const struct pv_said *said = pv_fold_said(pv_netlog_state(o->log), ask->hash);
    if (said != NULL && said->counts)
        return PV_OK;
    int r = append(o, pv_view(ask->raw, ask->len), wall, &ask->done.why);
    if (r == PV_ERR_REFUSED && ask->done.why == PV_WHY_ALLOWED)
        ask->done.why = PV_WHY_OLD;
    ask->done.failed = r != PV_OK && r != PV_ERR_REFUSED;
    return r;
}

/* Appends what the statements of the batch add: first those of rule 5, then the others as they
 * came. */
static int append_batch(struct pv_order *o, uint64_t wall)
{
    int r = PV_OK;
    for (struct ask *a = o->batch.first; a != NULL && r == PV_OK; a = a->next)
        r = a->is_free ? hear(o, a) : PV_OK;
    if (r == PV_OK)
        r = append_outside(o, wall);
    for (struct ask *a = o->batch.first; a != NULL && r != PV_ERR_NOMEM && r != PV_ERR_LIMIT;
         a = a->next)
        r = append_ask(o, a, wall);
    return r == PV_ERR_NOMEM || r == PV_ERR_LIMIT ? r : PV_OK;
}

static void finish_batch(struct pv_order *o, bool failed)
{
    struct ask *ask;
    while ((ask = asks_pop(&o->batch)) != NULL) {
        ask->done.failed |= failed;
        asks_add(&o->done, ask);
    }
}

/* The entries that the store lacks. */
static int make_job(struct pv_order *o, struct pv_storeop **ret_op)
{
    uint64_t first = o->stored + 1, last = pv_netlog_n(o->log);
    size_t bytes = 0;
    struct pv_storeop *op = NULL;
    for (uint64_t n = first; n <= last; n++)
        bytes += pv_netlog_entry(o->log, n).len;
    int r = pv_storeop_new(PV_STOREOP_APPEND, (size_t)(last - o->stored), bytes, &op);
    for (uint64_t n = first; r == PV_OK && n <= last; n++) {
        struct pv_storerow row = {.n = n, .statement = pv_netlog_entry(o->log, n)};
        memcpy(row.network, o->network, sizeof(row.network));
        memcpy(row.hash, pv_netlog_hash(o->log, n), sizeof(row.hash));
        r = pv_storeop_add(op, &row);
    }
    if (r < 0) {
        pv_storeop_free(op);
        return r;
    }
    op->cut = o->cut != 0;
    *ret_op = op;
    return PV_OK;
}

/* Moves the statements of the next batch out of the queue, and orders them. */
static int begin_batch(struct pv_order *o, uint64_t wall)
{
    if (o->batch.n > 0 || o->waiting.n == 0)
        return PV_OK;
    struct ask *next;
    while (o->batch.n < PV_ORDER_BATCH && (next = asks_pop(&o->waiting)) != NULL)
        asks_add(&o->batch, next);
    int r = append_batch(o, wall);
    if (r == PV_OK)
        return r;
    finish_batch(o, true); /* what is appended already is stored with the next batch */
    return r == PV_ERR_LIMIT ? PV_OK : r;
}

int pv_order_poll_job(struct pv_order *o, uint64_t wall, struct pv_storeop **ret_op)
{
    if (o->state == PV_ORDER_STORING || o->state == PV_ORDER_BROKEN)
        return PV_ERR_AGAIN;
    int r = o->state == PV_ORDER_READY ? begin_batch(o, wall) : PV_OK;
    if (r < 0)
        return r;
    if (pv_netlog_n(o->log) == o->stored) {
        finish_batch(o, false);
        return PV_ERR_AGAIN;
    }
    r = make_job(o, ret_op);
    if (r == PV_OK)
        o->state = PV_ORDER_STORING;
    return r;
}

/* Root's move needs no head, and a coordinator that does not order has none to give but that of the
 * member that brought the entries. */
static void sign(struct pv_order *o, uint64_t wall)
{
    struct pv_view head = pv_netlog_head(o->log);
    if (is_first(o) && pv_netlog_sign(o->log, wall, o->sk) == PV_OK)
        head = pv_netlog_head(o->log);
    if (head.len != PV_HEAD_LEN)
        return;
    memcpy(o->head, head.ptr, PV_HEAD_LEN);
    o->head_n = o->stored;
    o->head_at = wall;
}

void pv_order_handle_job(struct pv_order *o, int status, uint64_t wall)
{
    if (o->state != PV_ORDER_STORING)
        return;
    finish_batch(o, status != PV_OK);
    if (status != PV_OK) {
        o->state = status == PV_ERR_REFUSED ? PV_ORDER_BROKEN : PV_ORDER_FAILED;
        return;
    }
    o->state = PV_ORDER_READY;
    o->stored = pv_netlog_n(o->log);
    o->cut = 0;
    sign(o, wall);
}

/* A coordinator that waits may sign what it ordered before its start: that contradicts nothing. */
bool pv_order_sign_again(struct pv_order *o, uint64_t wall)
{
    bool rests = o->state == PV_ORDER_READY || o->state == PV_ORDER_WAITS;
    if (!rests || o->stored == 0 || !is_first(o) ||
        (o->head_n == o->stored && wall < o->head_at + PV_ORDER_HEAD_S))
        return false;
    sign(o, wall);
    return o->head_n == o->stored;
}

/* --- members' logs --------------------------------------------------------------------------- */

/* A member whose log is empty has nothing to compare. */
enum pv_order_match pv_order_compare(struct pv_order *o, uint64_t n,
                                     const uint8_t hash[static PV_LOGST_HASH_LEN], bool whole)
{
    if (n > o->stored)
        return PV_ORDER_LACKS;
    if (n > 0 && memcmp(pv_netlog_hash(o->log, n), hash, PV_LOGST_HASH_LEN) != 0)
        return PV_ORDER_DIFFERS;
    if (o->state == PV_ORDER_WAITS && whole && (n > 0 || o->stored == 0))
        o->state = PV_ORDER_READY;
    return PV_ORDER_HAS;
}

/* What a move cut is stored no longer; its entries are found by the first hash that is another. */
static uint64_t first_change(const struct pv_order *o, const struct pv_netlog_piece *piece)
{
    struct pv_entry e;
    uint64_t n = piece->first;
    for (size_t i = 0; i < piece->n && n <= o->stored; i++, n++)
        if (pv_entry_decode(piece->entries[i], &e) != PV_OK ||
            memcmp(e.hash, pv_netlog_hash(o->log, n), sizeof(e.hash)) != 0)
            break;
    return n;
}

int pv_order_take(struct pv_order *o, const struct pv_netlog_piece *piece)
{
    if (o->state == PV_ORDER_STORING || o->state == PV_ORDER_FAILED || o->state == PV_ORDER_BROKEN)
        return PV_ERR_STATE;
    uint64_t change = piece->first == 0 ? 0 : first_change(o, piece);
    int r = pv_netlog_take(o->log, piece);
    if (r != PV_OK)
        return r;
    if (change <= o->stored && change < piece->first + piece->n) {
        o->cut = change;
        o->stored = change - 1;
    }
    if (o->state == PV_ORDER_WAITS)
        o->state = PV_ORDER_READY;
    return PV_OK;
}
