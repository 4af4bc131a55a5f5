/* SPDX-License-Identifier: MIT */
/* The way of a change through the store, and of what the store has into the networks. Each
 * operation remembers the places its statements got in the log; they are believed only when the
 * store has them, and in that order. */
#include "coordinator/core/member/registry.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "crypto/ct.h"

enum {
    COMPLAIN_S = 10, /* ours: seconds between lines about a store that fails */
};

/* A store operation under way, and what has to be taken in when it is done. */
struct pv_op {
    struct pv_op *prev, *next;
    uint64_t id;
    struct pv_storeop *job; /* until it was polled */
    struct pv_work *work;
    struct pv_cnet *net;
    bool answered;
    bool starved; /* no memory for its rows: until pv_registry_retry() */
    struct pv_storeop_result result;
    /* The statements of this operation: places in work's list, and what they got. */
    size_t n;
    struct {
        size_t item;
        struct pv_ctl_cursor at;
        uint8_t receipt[PV_RECEIPT_LEN];
        bool has_foreign; /* it came with a genuine one: a new network knows no coordinators yet
                             when its rows are taken */
        bool is_stored;   /* the row is there, and gets that receipt beside the one it has */
    } parts[];
};

void pv_registry_init(struct pv_registry *reg, const uint8_t *sk, size_t max_nets,
                      const struct pv_rng *rng, const struct pv_log *log)
{
    *reg = (struct pv_registry){.rng = *rng, .log = log, .sk = sk, .max_nets = max_nets};
    reg->map = pv_map_make(rng, max_nets);
    pv_rowmark_key(sk, reg->mark_key);
    reg->next_n = 1;
    reg->next_op = 1;
    reg->retry_at = PV_NEVER;
}

/* Results and receipts lie behind the work, in one block: their number is known from the
 * message. */
int pv_work_new(struct pv_ctl_msg *msg, struct pv_work **ret_work)
{
    size_t n = msg->type == PV_CTL_REGISTER ? 0 : msg->u.put.n;
    struct pv_work *work =
        calloc(1, sizeof(*work) + n * (sizeof(*work->results) + sizeof(*work->receipts)));
    if (work == NULL)
        return PV_ERR_NOMEM;
    work->msg = msg;
    work->n_results = n;
    work->results = (struct pv_ctl_result *)(void *)(work + 1);
    work->receipts = (uint8_t(*)[PV_RECEIPT_LEN])(work->results + n);
    *ret_work = work;
    return PV_OK;
}

/* fresh is the network of a create that failed; one that succeeded has become the registry's. */
struct pv_work *pv_work_free(struct pv_work *work)
{
    if (work == NULL)
        return NULL;
    pv_ctl_msg_free(work->msg);
    pv_cnet_free(work->fresh);
    free(work->copy);
    free(work);
    return NULL;
}

static struct pv_op *op_free(struct pv_op *op)
{
    pv_storeop_free(op->job);
    free(op);
    return NULL;
}

/* Works that are at the store end without an answer. Changes that the store still makes are loaded
 * at the next start. */
void pv_registry_done(struct pv_registry *reg)
{
    struct pv_cnet *net;
    struct pv_cnet *next;
    struct pv_work *work;
    while (reg->ops != NULL) {
        struct pv_op *op = reg->ops;
        PV_LIST_DEL(reg->ops, op);
        pv_work_free(op->work);
        op_free(op);
    }
    while ((work = pv_registry_poll_done(reg)) != NULL)
        pv_work_free(work);
    HASH_ITER(hh, reg->nets, net, next) {
        PV_MAP_DEL(reg->nets, net);
        pv_cnet_free(net);
    }
    while (reg->dropped != NULL) {
        net = reg->dropped;
        reg->dropped = net->next_dropped;
        pv_cnet_free(net);
    }
    pv_wipe(reg->mark_key, sizeof(reg->mark_key));
}

struct pv_cnet *pv_registry_find(const struct pv_registry *reg,
                                 const uint8_t id[static PV_NETWORK_ID_LEN])
{
    struct pv_cnet *net = NULL;
    PV_MAP_FIND(&reg->map, reg->nets, id, PV_NETWORK_ID_LEN, net);
    return net;
}

static void remove_unsettled(struct pv_registry *reg, struct pv_cnet *net);

/* Connections that are being closed, and operations under way, have it a little longer. */
void pv_registry_drop(struct pv_registry *reg, struct pv_cnet *net)
{
    PV_MAP_DEL(reg->nets, net);
    remove_unsettled(reg, net);
    net->next_dropped = reg->dropped;
    reg->dropped = net;
}

/* Is an operation or a work about it? */
static bool is_worked_on(const struct pv_registry *reg, const struct pv_cnet *net)
{
    for (const struct pv_op *op = reg->ops; op != NULL; op = op->next)
        if (op->net == net || op->work->net == net)
            return true;
    for (const struct pv_work *work = reg->done; work != NULL; work = work->next)
        if (work->net == net)
            return true;
    return false;
}

bool pv_registry_is_full(const struct pv_registry *reg)
{
    return HASH_CNT(hh, reg->nets) >= reg->max_nets;
}

/* Begins the log of a network around its record. fresh: it is created now. */
static int open_log(struct pv_registry *reg, struct pv_cnet *net, struct pv_view record, bool fresh)
{
    struct pv_order_config cfg = {
        .fold = {.range = pv_roster_network(net->roster)->range,
                 .own_max = PV_FOLD_OWN_MAX,
                 .rng = &reg->rng},
        .sk = reg->sk,
    };
    memcpy(cfg.fold.network_id, net->id, sizeof(cfg.fold.network_id));
    memcpy(cfg.fold.root, pv_roster_root(net->roster), sizeof(cfg.fold.root));
    pv_statement_hash(record, cfg.genesis);
    return pv_order_new(&cfg, fresh, &net->order);
}

static int add_net(struct pv_registry *reg, struct pv_cnet *net, struct pv_view record, bool fresh)
{
    int r = open_log(reg, net, record, fresh);
    if (r < 0)
        return r;
    net->limits = pv_netlimits_of(reg->limits, net->id);
    PV_MAP_ADD(&reg->map, reg->nets, id, net, r);
    return r;
}

void pv_registry_set_limits(struct pv_registry *reg, const struct pv_netlimits_table *limits)
{
    reg->limits = limits;
    for (struct pv_cnet *net = reg->nets; net != NULL; net = net->hh.next)
        net->limits = pv_netlimits_of(limits, net->id);
}

/* --- works and operations -------------------------------------------------------------------- */

/* Puts a work on the list of poll_done, also when it is done at once, so the caller has one way to
 * learn of it. */
static void finish_work(struct pv_registry *reg, struct pv_work *work, enum pv_ctl_error error)
{
    if (error != PV_CTL_E_NONE)
        work->error = error;
    PV_LIST_ADD(reg->done, work);
}

struct pv_work *pv_registry_poll_done(struct pv_registry *reg)
{
    struct pv_work *work = reg->done;
    if (work != NULL)
        PV_LIST_DEL(reg->done, work);
    return work;
}

/* Registrations have one statement, puts and creates a list of them. */
static struct pv_view statement_of(const struct pv_work *work, size_t item)
{
    if (work->msg->type == PV_CTL_REGISTER)
        return work->msg->u.reg.member;
    return work->msg->u.put.items[item].statement;
}

/* Did the statement come with a genuine receipt? No other reaches the disk. */
static bool has_foreign(const struct pv_work *work, const struct pv_cnet *net, size_t item)
{
    if (work->msg->type == PV_CTL_REGISTER)
        return false;
    const struct pv_ctl_item *it = &work->msg->u.put.items[item];
    const struct pv_cnet *judge = work->trial != NULL ? work->trial : net;
    return pv_cnet_receipt_is_good(judge, it->statement, it->receipt);
}

static struct pv_view foreign_of(const struct pv_op *op, size_t part)
{
    if (!op->parts[part].has_foreign)
        return pv_view(NULL, 0);
    return op->work->msg->u.put.items[op->parts[part].item].receipt;
}

uint64_t pv_registry_time(const struct pv_cnet *net, uint64_t wall)
{
    return wall > net->last_time ? wall : net->last_time;
}

/* Makes a receipt for the statement, at the next place of the log. Times never fall, whatever the
 * wall clock does, so the order of the log is also the order of its times. */
static int give_receipt(struct pv_registry *reg, struct pv_cnet *net, struct pv_view statement,
                        uint64_t wall, struct pv_ctl_cursor *ret_at,
                        uint8_t ret_receipt[static PV_RECEIPT_LEN])
{
    struct pv_receipt r = {.epoch = reg->epoch, .n = reg->next_n};
    net->last_time = pv_registry_time(net, wall);
    r.time = net->last_time;
    memcpy(r.network_id, net->id, PV_NETWORK_ID_LEN);
    pv_statement_hash(statement, r.hash);
    int status = pv_receipt_make(&r, reg->sk, ret_receipt);
    if (status < 0)
        return status;
    reg->next_n++;
    *ret_at = (struct pv_ctl_cursor){.epoch = r.epoch, .n = r.n};
    return PV_OK;
}

/* A statement that is in the log keeps its place there, and the receipt that it has. */
static int keep_place(struct pv_op *op, size_t part, struct pv_view statement)
{
    uint8_t hash[PV_STATEMENT_HASH_LEN];
    pv_statement_hash(statement, hash);
    const struct pv_roster_entry *entry = pv_roster_find(op->net->roster, hash);
    if (entry == NULL || entry->receipt.len != PV_RECEIPT_LEN ||
        !pv_cnet_place_of(op->net, entry, &op->parts[part].at))
        return PV_ERR_NOT_FOUND;
    memcpy(op->parts[part].receipt, entry->receipt.ptr, PV_RECEIPT_LEN);
    return PV_OK;
}

/* Takes the row of a statement that is stored away, in the same operation that puts it there again
 * with another receipt. */
static int replace_row(struct pv_op *op, const struct pv_storerow *row)
{
    struct pv_storerow old = {.n = 0};
    memcpy(old.network, row->network, sizeof(old.network));
    memcpy(old.hash, row->hash, sizeof(old.hash));
    return pv_storeop_add(op->job, &old);
}

/* Each statement gets its place in the log and its receipt before it is stored, so that both are in
 * one row. */
static int fill_job(struct pv_registry *reg, struct pv_op *op, uint64_t wall)
{
    for (size_t i = 0; i < op->n; i++) {
        struct pv_view statement = statement_of(op->work, op->parts[i].item);
        int r = op->parts[i].is_stored ? keep_place(op, i, statement)
                                       : give_receipt(reg, op->net, statement, wall,
                                                      &op->parts[i].at, op->parts[i].receipt);
        if (r < 0)
            return r;
        op->parts[i].has_foreign =
            op->parts[i].is_stored || has_foreign(op->work, op->net, op->parts[i].item);
        struct pv_storerow row = {
            .epoch = op->parts[i].at.epoch,
            .n = op->parts[i].at.n,
            .statement = statement,
            .receipt = pv_view(op->parts[i].receipt, PV_RECEIPT_LEN),
            .foreign = foreign_of(op, i),
        };
        memcpy(row.network, op->net->id, PV_NETWORK_ID_LEN);
        pv_statement_hash(statement, row.hash);
        pv_rowmark_set(reg->mark_key, &row);
        r = op->parts[i].is_stored ? replace_row(op, &row) : PV_OK;
        if (r == PV_OK)
            r = pv_storeop_add(op->job, &row);
        if (r < 0)
            return r;
    }
    return PV_OK;
}

/* Statements that newer ones have replaced go with the next that are stored: were they lost on the
 * way, the next start would find them again. */
static int add_dropped(struct pv_op *op, size_t n)
{
    struct pv_storerow row = {.n = 0};
    size_t left = op->net->n_dropped;
    int r = PV_OK;
    memcpy(row.network, op->net->id, PV_NETWORK_ID_LEN);
    for (size_t i = 0; i < n && r == PV_OK; i++) {
        memcpy(row.hash, op->net->dropped[--left], sizeof(row.hash));
        r = pv_storeop_add(op->job, &row);
    }
    if (r == PV_OK)
        op->net->n_dropped = left;
    return r;
}

/* A statement of a work that goes to the store. */
struct pick {
    size_t item;    /* its place in the work's list */
    bool is_stored; /* only its receipt is new */
};

/* Makes an operation of n statements of work (picks says which) and queues it. NULL: no memory, or
 * the receipts cannot be signed. Places in the log that were given to a failed one are lost; gaps
 * do no harm. */
static struct pv_op *queue_op(struct pv_registry *reg, struct pv_work *work, struct pv_cnet *net,
                              const struct pick *picks, size_t n, uint64_t wall)
{
    size_t bytes = 0, n_rows = n;
    struct pv_op *op = calloc(1, sizeof(*op) + n * sizeof(op->parts[0]));
    if (op == NULL)
        return NULL;
    op->id = reg->next_op++;
    op->work = work;
    op->net = net;
    op->n = n;
    for (size_t i = 0; i < n; i++) {
        op->parts[i].item = picks[i].item;
        op->parts[i].is_stored = picks[i].is_stored;
        n_rows += picks[i].is_stored ? 1 : 0;
        bytes += statement_of(work, picks[i].item).len + 2 * (size_t)PV_RECEIPT_LEN;
    }
    enum pv_storeop_kind kind =
        work->msg->type == PV_CTL_REGISTER ? PV_STOREOP_REGISTER : PV_STOREOP_PUT;
    size_t n_dropped = kind == PV_STOREOP_PUT ? net->n_dropped : 0;
    n_dropped = n_dropped < PV_CNET_DROPPED ? n_dropped : PV_CNET_DROPPED;
    int r = pv_storeop_new(kind, n_rows + n_dropped, bytes, &op->job);
    if (r == PV_OK)
        r = fill_job(reg, op, wall);
    if (r == PV_OK && n_dropped > 0)
        r = add_dropped(op, n_dropped);
    if (r < 0) {
        op_free(op);
        return NULL;
    }
    op->job->id = op->id;
    op->job->fresh = net == work->fresh;
    PV_LIST_ADD(reg->ops, op);
    reg->n_ops++;
    if (reg->next_job == NULL)
        reg->next_job = op;
    return op;
}

int pv_registry_poll_job(struct pv_registry *reg, struct pv_storeop **ret_op)
{
    struct pv_op *op = reg->next_job;
    if (op == NULL)
        return PV_ERR_AGAIN;
    *ret_op = op->job;
    op->job = NULL;
    reg->next_job = op->next;
    return PV_OK;
}

/* Gives the receipt that counts, which may be an older one than ours: the roster keeps the
 * lower. */
static void give_result(struct pv_work *work, size_t item, const struct pv_cnet *net)
{
    uint8_t hash[PV_STATEMENT_HASH_LEN];
    pv_statement_hash(statement_of(work, item), hash);
    const struct pv_roster_entry *entry = pv_roster_find(net->roster, hash);
    if (entry == NULL || entry->receipt.len != PV_RECEIPT_LEN) {
        work->results[item].error = PV_CTL_E_NOT_ALLOWED;
        return;
    }
    memcpy(work->receipts[item], entry->receipt.ptr, PV_RECEIPT_LEN);
    work->results[item] =
        (struct pv_ctl_result){.receipt = pv_view(work->receipts[item], PV_RECEIPT_LEN)};
}

/* --- put ------------------------------------------------------------------------------------- */

/* Goes on with the statements that are not decided: those that may be stored become one
 * operation. A statement may depend on one before it in the list (an invite on its admin's
 * statement), so the first refusal behind a storable one ends the operation, and is judged again
 * when that is stored. */
static void advance_put(struct pv_registry *reg, struct pv_work *work, uint64_t wall)
{
    struct pick picks[PV_CTL_ITEMS_MAX];
    size_t n = 0;
    const struct pv_ctl_put *put = &work->msg->u.put;
    for (; work->at < put->n && work->net->dropping; work->at++)
        work->results[work->at].error = PV_CTL_E_STORAGE;
    for (; work->at < put->n; work->at++) {
        enum pv_cnet_known known = PV_CNET_NEW;
        enum pv_ctl_error e = pv_cnet_judge(work->net, put->items[work->at].statement,
                                            put->items[work->at].receipt, wall, &known);
        if (e != PV_CTL_E_NONE && n > 0)
            break;
        if (e != PV_CTL_E_NONE)
            work->results[work->at].error = e;
        else if (known == PV_CNET_KNOWN)
            give_result(work, work->at, work->net);
        else
            picks[n++] = (struct pick){.item = work->at, .is_stored = known == PV_CNET_BETTER};
    }
    if (n == 0)
        finish_work(reg, work, PV_CTL_E_NONE);
    else if (queue_op(reg, work, work->net, picks, n, wall) == NULL)
        finish_work(reg, work, PV_CTL_E_STORAGE);
}

/* --- create ---------------------------------------------------------------------------------- */

/* Judges the first statements of a network on a trial copy: all of them must be right, the network
 * must have a member, and must name this coordinator, or nobody could ever change it here. A
 * network that moves here brings receipts of its former coordinators. */
static enum pv_ctl_error judge_create(struct pv_registry *reg, const struct pv_work *work,
                                      struct pv_cnet **ret_net)
{
    const struct pv_ctl_put *put = &work->msg->u.put;
    struct pv_cnet *net = NULL;
    enum pv_roster_added added;
    struct pv_roster_event event;
    int made = pv_cnet_new(&net, put->items[0].statement, false, &reg->rng);
    if (made < 0)
        return made == PV_ERR_NOMEM         ? PV_CTL_E_STORAGE
               : made == PV_ERR_UNSUPPORTED ? PV_CTL_E_VERSION
                                            : PV_CTL_E_BAD_SIGNATURE;
    enum pv_ctl_error e = PV_CTL_E_NONE;
    for (size_t i = 1; i < put->n && e == PV_CTL_E_NONE; i++) {
        int r = pv_roster_add(net->roster, put->items[i].statement, put->items[i].receipt, &added);
        if (r < 0)
            e = r == PV_ERR_AUTH          ? PV_CTL_E_BAD_SIGNATURE
                : r == PV_ERR_UNSUPPORTED ? PV_CTL_E_VERSION
                                          : PV_CTL_E_BAD_REQUEST;
        else if (added != PV_ROSTER_NEW)
            e = PV_CTL_E_NOT_ALLOWED; /* twice in the list, or before what it rests on */
    }
    while (pv_roster_poll_event(net->roster, &event) == PV_OK) {
        if (event.type == PV_ROSTER_EV_REFUSED && e == PV_CTL_E_NONE)
            e = PV_CTL_E_NOT_ALLOWED;
    }
    if (e == PV_CTL_E_NONE && (pv_roster_count(net->roster) == 0 ||
                               !pv_roster_is_coordinator(net->roster, reg->sk + PV_SIGN_SEED_LEN)))
        e = PV_CTL_E_BAD_REQUEST;
    if (e == PV_CTL_E_NONE)
        *ret_net = net;
    else
        pv_cnet_free(net);
    return e;
}

/* A network that nobody has here yet: its rows go to the store, and it counts when they are there.
 */
static void place_create(struct pv_registry *reg, struct pv_work *work, const struct pv_cnet *trial,
                         uint64_t wall)
{
    struct pick picks[PV_CTL_ITEMS_MAX];
    size_t n = work->msg->u.put.n;
    if (pv_registry_is_full(reg)) {
        finish_work(reg, work, PV_CTL_E_FULL);
        return;
    }
    if (pv_cnet_new(&work->fresh, work->msg->u.put.items[0].statement, false, &reg->rng) < 0) {
        finish_work(reg, work, PV_CTL_E_STORAGE);
        return;
    }
    for (size_t i = 0; i < n; i++)
        picks[i] = (struct pick){.item = i};
    work->at = n;
    work->trial = trial; /* it knows all coordinators whose receipts may come along */
    if (queue_op(reg, work, work->fresh, picks, n, wall) == NULL)
        finish_work(reg, work, PV_CTL_E_STORAGE);
    work->trial = NULL;
}

/* Repeating a create is a put: a node whose answer got lost asks again and gets its receipts. */
static void start_create(struct pv_registry *reg, struct pv_work *work, uint64_t wall)
{
    struct pv_cnet *trial = NULL;
    enum pv_ctl_error e = judge_create(reg, work, &trial);
    if (e != PV_CTL_E_NONE) {
        finish_work(reg, work, e);
        return;
    }
    work->net = pv_registry_find(reg, trial->id);
    if (work->net == NULL)
        place_create(reg, work, trial, wall);
    else
        advance_put(reg, work, pv_registry_time(work->net, wall));
    pv_cnet_free(trial);
}

/* --- register -------------------------------------------------------------------------------- */

/* Ends a registration with the statement that stands. */
static void finish_registered(struct pv_registry *reg, struct pv_work *work,
                              const uint8_t hash[static PV_STATEMENT_HASH_LEN])
{
    const struct pv_roster_entry *entry = pv_roster_find(work->net->roster, hash);
    if (entry == NULL) {
        finish_work(reg, work, PV_CTL_E_NOT_ALLOWED);
        return;
    }
    work->copy = malloc(entry->st.raw.len + entry->receipt.len);
    if (work->copy == NULL) { /* it is asked for again */
        finish_work(reg, work, PV_CTL_E_STORAGE);
        return;
    }
    memcpy(work->copy, entry->st.raw.ptr, entry->st.raw.len);
    if (entry->receipt.len > 0)
        memcpy(work->copy + entry->st.raw.len, entry->receipt.ptr, entry->receipt.len);
    work->registered = pv_view(work->copy, entry->st.raw.len);
    work->receipt = pv_view(work->copy + entry->st.raw.len, entry->receipt.len);
    finish_work(reg, work, PV_CTL_E_NONE);
}

/* A node that repeats this very statement lost the answer; for any other the store decides, with
 * the serial and uses that it has to know. */
static void start_register(struct pv_registry *reg, struct pv_work *work, uint64_t wall, pv_ns now)
{
    static const struct pick first = {.item = 0};
    struct pv_cnet_register r;
    struct pv_op *op = NULL;
    enum pv_ctl_error e = PV_CTL_E_STORAGE;
    if (!work->net->dropping)
        e = pv_cnet_judge_register(work->net, work->msg->u.reg.member, &work->joiner, wall, now,
                                   &r);
    if (e != PV_CTL_E_NONE) {
        finish_work(reg, work, e);
        return;
    }
    if (r.known) {
        finish_registered(reg, work, r.st.hash);
        return;
    }
    op = queue_op(reg, work, work->net, &first, 1, wall);
    if (op == NULL) {
        pv_cnet_unpin(work->net, r.st.signer, work->joiner.node, false);
        finish_work(reg, work, PV_CTL_E_STORAGE);
        return;
    }
    memcpy(op->job->invite, r.st.signer, PV_SIGN_PK_LEN);
    memcpy(op->job->node, work->joiner.node, PV_SIGN_PK_LEN);
    op->job->serial = r.st.u.member.serial;
    op->job->min_serial = r.min_serial;
    op->job->uses = r.uses;
}

/* Other requests do not come here (request.c); one that did would be a fault of this program, and
 * still gets an answer. */
void pv_registry_submit(struct pv_registry *reg, struct pv_work *work, uint64_t wall, pv_ns now)
{
    if (work->net != NULL)
        wall = pv_registry_time(work->net, wall);
    switch (work->msg->type) {
    case PV_CTL_PUT:
        advance_put(reg, work, wall);
        break;
    case PV_CTL_CREATE:
        start_create(reg, work, wall);
        break;
    case PV_CTL_REGISTER:
        start_register(reg, work, wall, now);
        break;
    default:
        finish_work(reg, work, PV_CTL_E_UNKNOWN_REQUEST);
        break;
    }
}

/* --- taking in ------------------------------------------------------------------------------- */

/* The network of a create becomes the registry's. Two creates of one network may have crossed; the
 * store kept what came first, and so does this. */
static int place_fresh(struct pv_registry *reg, struct pv_op *op, pv_ns now)
{
    struct pv_work *work = op->work;
    struct pv_cnet *net = pv_registry_find(reg, work->fresh->id);
    if (net == NULL) {
        int r = add_net(reg, work->fresh, work->msg->u.put.items[0].statement, true);
        if (r < 0)
            return r;
        net = work->fresh;
        net->fence = op->result.fence;
        net->home_at = now;
        work->fresh = NULL;
    }
    op->net = net;
    work->net = net;
    return PV_OK;
}

static int settle_some(struct pv_registry *reg, struct pv_cnet *net, pv_ns now);

/* Takes what the store has into the network in memory. A statement that the roster refuses after
 * all stays in the store, where it does no harm: it is refused again at the next start. One for
 * which there is no memory would be missing until then, and nobody could put it again, as the store
 * has it: the operation waits with it (PV_ERR_NOMEM). PV_ERR_AGAIN: it waits until the network is
 * settled, and is taken again. PV_ERR_LIMIT: no room for the network. */
static int take_rows(struct pv_registry *reg, struct pv_op *op, pv_ns now)
{
    int r = PV_OK;
    if (op->result.status != PV_OK)
        return PV_OK;
    if (op->work->fresh != NULL)
        r = place_fresh(reg, op, now);
    if (r < 0)
        return r;
    for (size_t i = 0; i < op->n && r != PV_ERR_NOMEM; i++) {
        size_t item = op->parts[i].item;
        const struct pv_cnet_row row = {.at = op->parts[i].at,
                                        .statement = statement_of(op->work, item),
                                        .receipt = pv_view(op->parts[i].receipt, PV_RECEIPT_LEN),
                                        .foreign = foreign_of(op, i),
                                        .verified = true}; /* judged before it was stored */
        r = pv_cnet_take(op->net, &row);
        if (r < 0 && r != PV_ERR_NOMEM)
            pv_log(reg->log, PV_LOG_WARN, "statement stored but not counted why=\"%s\"",
                   pv_strstatus(r));
    }
    return r == PV_ERR_NOMEM ? r : settle_some(reg, op->net, now);
}

/* When the store failed, the rest of the list is not tried: it could rest on the statement that is
 * missing now. */
static void finish_put(struct pv_registry *reg, struct pv_op *op, uint64_t wall)
{
    struct pv_work *work = op->work;
    if (op->result.status != PV_OK) {
        for (size_t i = 0; i < op->n; i++)
            work->results[op->parts[i].item].error = PV_CTL_E_STORAGE;
        for (; work->at < work->n_results; work->at++)
            work->results[work->at].error = PV_CTL_E_STORAGE;
        finish_work(reg, work, PV_CTL_E_NONE);
        return;
    }
    for (size_t i = 0; i < op->n; i++)
        give_result(work, op->parts[i].item, op->net);
    advance_put(reg, work, wall);
}

/* One whose network has become the registry's ends as a put. This is one that failed, or that came
 * second (place_fresh). */
static void finish_create(struct pv_registry *reg, struct pv_op *op, int taken)
{
    struct pv_work *work = op->work;
    if (op->result.status != PV_OK || taken < 0) {
        finish_work(reg, work, taken < 0 ? PV_CTL_E_FULL : PV_CTL_E_STORAGE);
        return;
    }
    for (size_t i = 0; i < op->n; i++)
        give_result(work, op->parts[i].item, op->net);
    finish_work(reg, work, PV_CTL_E_NONE);
}

/* The statement is decoded again, as a work keeps bytes only. A node that registered twice gets the
 * first statement back (PV_ERR_EXISTS). */
static void finish_register(struct pv_registry *reg, struct pv_op *op)
{
    struct pv_work *work = op->work;
    struct pv_statement st;
    uint8_t hash[PV_STATEMENT_HASH_LEN];
    enum pv_ctl_error e = PV_CTL_E_NONE;
    if (pv_statement_decode(work->msg->u.reg.member, &st) != PV_OK) {
        finish_work(reg, work, PV_CTL_E_BAD_REQUEST); /* cannot be: it was judged */
        return;
    }
    memcpy(hash, st.hash, sizeof(hash));
    if (op->result.status == PV_ERR_EXISTS)
        memcpy(hash, op->result.existing, sizeof(hash));
    else if (op->result.status != PV_OK)
        e = op->result.status == PV_ERR_EXPIRED ? PV_CTL_E_INVITE_USED : PV_CTL_E_STORAGE;
    pv_cnet_unpin(op->net, st.signer, work->joiner.node, e == PV_CTL_E_NONE);
    if (e == PV_CTL_E_NONE)
        finish_registered(reg, work, hash);
    else
        finish_work(reg, work, e);
}

/* Only failures of the disk are logged; an invite that is used up is an answer. */
static void warn_store(struct pv_registry *reg, const struct pv_storeop_result *result, pv_ns now)
{
    if (result->status == PV_OK || result->status == PV_ERR_EXISTS ||
        result->status == PV_ERR_EXPIRED || now < reg->complain_at)
        return;
    reg->complain_at = now + PV_S(COMPLAIN_S);
    pv_log(reg->log, PV_LOG_ERROR, "cannot store: %s",
           result->error[0] != '\0' ? result->error : pv_strstatus(result->status));
}

/* Ends the work of an operation whose rows were taken, by the kind of its request. */
static void take_in(struct pv_registry *reg, struct pv_op *op, int taken, uint64_t wall)
{
    switch (op->work->msg->type) {
    case PV_CTL_CREATE:
        if (op->work->fresh != NULL)
            finish_create(reg, op, taken);
        else
            finish_put(reg, op, wall);
        break;
    case PV_CTL_REGISTER:
        finish_register(reg, op);
        break;
    default:
        finish_put(reg, op, wall);
        break;
    }
}

/* May an operation be taken in: is it answered, and every earlier one of its network too? Networks
 * do not wait for each other. */
static struct pv_op *next_ripe(const struct pv_registry *reg)
{
    for (struct pv_op *op = reg->ops; op != NULL; op = op->next) {
        if (!op->answered || op->starved || op->net->unsettled || op->net->resting)
            continue;
        bool waits = false;
        for (const struct pv_op *e = reg->ops; e != op && !waits; e = e->next)
            waits = memcmp(e->net->id, op->net->id, PV_NETWORK_ID_LEN) == 0;
        if (!waits)
            return op;
    }
    return NULL;
}

/* Takes in what is ripe; each may make others so, which waited for it. */
static void take_ripe(struct pv_registry *reg, uint64_t wall, pv_ns now)
{
    struct pv_op *ripe;
    while ((ripe = next_ripe(reg)) != NULL) {
        int taken = take_rows(reg, ripe, now);
        if (taken == PV_ERR_AGAIN)
            continue;
        if (taken == PV_ERR_NOMEM) {
            ripe->starved = true;
            reg->retry_at = pv_min_ns(reg->retry_at, now + PV_S(PV_REGISTRY_RETRY_S));
            continue;
        }
        PV_LIST_DEL(reg->ops, ripe);
        reg->n_ops--;
        take_in(reg, ripe, taken, pv_registry_time(ripe->net, wall));
        op_free(ripe);
    }
}

static struct pv_cnet *next_unsettled(const struct pv_registry *reg);

struct pv_cnet *pv_registry_retry(struct pv_registry *reg, uint64_t wall, pv_ns now)
{
    if (now < reg->retry_at)
        return NULL;
    reg->retry_at = PV_NEVER;
    for (struct pv_op *op = reg->ops; op != NULL; op = op->next)
        op->starved = false;
    struct pv_cnet *net = next_unsettled(reg);
    if (net != NULL)
        (void)!settle_some(reg, net, now);
    if (next_unsettled(reg) != NULL && reg->retry_at == PV_NEVER)
        reg->retry_at = now;
    take_ripe(reg, wall, now);
    return net;
}

/* Second answers, and those of unknown operations, are ignored. */
struct pv_cnet *pv_registry_handle_job(struct pv_registry *reg,
                                       const struct pv_storeop_result *result, uint64_t wall,
                                       pv_ns now)
{
    struct pv_op *op = reg->ops;
    uint8_t id[PV_NETWORK_ID_LEN];
    while (op != NULL && op->id != result->id)
        op = op->next;
    if (op == NULL || op->answered || op->job != NULL)
        return NULL;
    op->answered = true;
    op->result = *result;
    memcpy(id, op->net->id, sizeof(id));
    warn_store(reg, result, now);
    take_ripe(reg, wall, now);
    return pv_registry_find(reg, id); /* one whose creation failed is gone */
}

/* --- networks that are not settled yet ------------------------------------------------------- */

/* They stand in a list, and each goes to its end after its turn: a large network does not keep
 * small ones waiting. */

/* One that is not in the list stays as it is. */
static void remove_unsettled(struct pv_registry *reg, struct pv_cnet *net)
{
    if (net->unsettled)
        PV_LIST_DEL_BY(reg->unsettled, net, prev_unsettled, next_unsettled);
    net->unsettled = false;
}

/* Settles net, at most so many steps. Not PV_OK (PV_ERR_AGAIN, PV_ERR_NOMEM): it is in the list
 * now, and goes on in its turn. */
static int settle_or_list(struct pv_registry *reg, struct pv_cnet *net, size_t steps)
{
    int r = pv_cnet_settle(net, steps, reg->log);
    remove_unsettled(reg, net);
    if (r == PV_OK)
        return r;
    net->unsettled = true;
    PV_LIST_ADD_BY(reg->unsettled, net, prev_unsettled, next_unsettled);
    return r;
}

/* Whose turn is it? Networks that rest are passed over. NULL: nobody's. */
static struct pv_cnet *next_unsettled(const struct pv_registry *reg)
{
    struct pv_cnet *net = reg->unsettled;
    while (net != NULL && net->resting)
        net = net->next_unsettled;
    return net;
}

/* --- loading --------------------------------------------------------------------------------- */

/* Notes our own receipts, also those that came back from members: after an old backup was restored
 * they tell of epochs and times that the store does not know, and that must not be used twice. */
static void note_receipt(struct pv_registry *reg, struct pv_cnet *net, struct pv_view receipt)
{
    struct pv_receipt r;
    if (receipt.len == 0 || pv_receipt_decode(receipt, &r) != PV_OK ||
        memcmp(r.coordinator, reg->sk + PV_SIGN_SEED_LEN, PV_SIGN_PK_LEN) != 0)
        return;
    if (r.epoch > reg->known_epoch)
        reg->known_epoch = r.epoch;
    if (net != NULL && r.time > net->last_time)
        net->last_time = r.time;
}

/* The row of a network's record comes first in the log, and carries the id that follows from it. */
static int load_net(struct pv_registry *reg, const struct pv_storerow *row, bool verified,
                    struct pv_cnet **ret_net)
{
    struct pv_cnet *net = NULL;
    int r = pv_cnet_new(&net, row->statement, verified, &reg->rng);
    if (r < 0)
        return r;
    r = memcmp(net->id, row->network, PV_NETWORK_ID_LEN) == 0
            ? add_net(reg, net, row->statement, false)
            : PV_ERR_AUTH;
    if (r < 0)
        pv_cnet_free(net);
    else
        *ret_net = net;
    return r;
}

/* A row that is damaged or does not verify is left out with a line in the log: one bad row must not
 * keep a thousand nodes offline, and members bring back what is missing. */
int pv_registry_load(struct pv_registry *reg, struct pv_storerow *row)
{
    int r = PV_OK;
    const struct pv_cnet_row taken = {.at = {.epoch = row->epoch, .n = row->n},
                                      .statement = row->statement,
                                      .receipt = row->receipt,
                                      .foreign = row->foreign,
                                      .verified = pv_rowmark_is_good(reg->mark_key, row)};
    struct pv_cnet *net = pv_registry_find(reg, row->network);
    if (net == NULL)
        r = load_net(reg, row, taken.verified, &net);
    if (r == PV_OK)
        r = pv_cnet_take(net, &taken);
    /* A foreign receipt is only passed over when it is wrong, so it is asked about here. */
    if (r == PV_OK && !taken.verified &&
        (row->foreign.len == 0 || pv_cnet_receipt_is_good(net, row->statement, row->foreign)))
        pv_rowmark_set(reg->mark_key, row);
    if (r == PV_ERR_NOMEM)
        return r;
    if (r < 0)
        pv_log(reg->log, PV_LOG_WARN, "store row left out epoch=%llu n=%llu why=\"%s\"",
               (unsigned long long)row->epoch, (unsigned long long)row->n, pv_strstatus(r));
    if (row->epoch > reg->known_epoch)
        reg->known_epoch = row->epoch;
    note_receipt(reg, net, row->receipt);
    note_receipt(reg, net, row->foreign);
    return PV_OK;
}

/* A log that is damaged ends before the damage: the store refuses what would go on from there, and
 * the operator is told. */
int pv_registry_load_entry(struct pv_registry *reg, const struct pv_storerow *row)
{
    struct pv_cnet *net = pv_registry_find(reg, row->network);
    if (net == NULL || row->n != pv_order_n(net->order) + 1)
        return PV_OK;
    int r = pv_order_load(net->order, row->statement);
    if (r == PV_ERR_NOMEM)
        return r;
    if (r < 0)
        pv_log(reg->log, PV_LOG_WARN, "entry of a log left out network=%s n=%llu why=\"%s\"",
               pv_roster_network(net->roster)->name, (unsigned long long)row->n, pv_strstatus(r));
    return PV_OK;
}

/* The epoch is the time of this start, unless the clock is behind an epoch that was used: (epoch,
 * n) never stands for two statements. */
void pv_registry_start(struct pv_registry *reg, uint64_t wall)
{
    for (struct pv_cnet *net = reg->nets; net != NULL; net = net->hh.next) {
        int r;
        do {
            r = settle_or_list(reg, net, PV_UNSETTLED_START);
            net->n_gone = 0; /* nobody is connected yet */
        } while (r == PV_ERR_NOMEM);
        if (r == PV_ERR_AGAIN)
            reg->retry_at = 0;
    }
    reg->epoch = wall > reg->known_epoch ? wall : reg->known_epoch + 1;
}

/* --- settling, and networks that changed ------------------------------------------------------ */

static void mark_changed(struct pv_registry *reg, struct pv_cnet *net)
{
    if (net->changed)
        return;
    net->changed = true;
    net->next_changed = reg->changed;
    reg->changed = net;
}

struct pv_cnet *pv_registry_poll_changed(struct pv_registry *reg)
{
    struct pv_cnet *net = reg->changed;
    if (net == NULL)
        return NULL;
    reg->changed = net->next_changed;
    net->changed = false;
    return net;
}

/* Members that went are told of as they go, so that their end costs others no more than this. */
static int settle_some(struct pv_registry *reg, struct pv_cnet *net, pv_ns now)
{
    int r = settle_or_list(reg, net, reg->steps);
    bool stuck = r == PV_ERR_NOMEM && net->n_gone == 0;
    if (r == PV_OK || net->n_gone > 0)
        mark_changed(reg, net);
    if (r != PV_OK)
        reg->retry_at = pv_min_ns(reg->retry_at, now + (stuck ? PV_S(PV_REGISTRY_RETRY_S) : 0));
    return r == PV_OK ? r : PV_ERR_AGAIN;
}

/* Epochs are the store's to give: one is above all that other coordinators gave. */
void pv_registry_came(struct pv_registry *reg, struct pv_cnet *net, uint64_t epoch, pv_ns now)
{
    if (epoch > reg->epoch)
        reg->epoch = epoch;
    (void)!settle_some(reg, net, now);
    net->n_gone = 0; /* nobody is connected yet */
}

void pv_registry_sweep(struct pv_registry *reg,
                       bool (*is_used)(void *ctx, const struct pv_cnet *net), void *ctx)
{
    struct pv_cnet **at = &reg->dropped;
    while (*at != NULL) {
        struct pv_cnet *net = *at;
        if (net->changed || net->unsettled || is_worked_on(reg, net) || is_used(ctx, net)) {
            at = &net->next_dropped;
            continue;
        }
        *at = net->next_dropped;
        pv_cnet_free(net);
    }
}

void pv_registry_rested(struct pv_registry *reg, pv_ns now)
{
    reg->retry_at = pv_min_ns(reg->retry_at, now);
}
