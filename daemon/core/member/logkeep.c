/* SPDX-License-Identifier: MIT */
/*
 * logkeep.c - the part that keeps the network's log (adr/0118): fetches what the coordinator has
 * behind this node's last entry, verifies and stores it, compares logs, and gives a coordinator
 * from an old backup what it lacks. Nobody decides by the log yet.
 *
 *   welcome, push --> ASKING --entries, until the head is here--> taken --> IDLE
 *                            --the coordinator's log is shorter--> GIVING --> ASKING
 *                            --it has another entry there--> ASKING with an earlier entry
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/core/coord/coordinator.h"
#include "daemon/core/node/node.h"
#include "daemon/core/node/part.h"
#include "daemon/core/node/saved.h"
#include "daemon/core/node/statuspage.h"
#include "proto/roster/gather.h"

extern const struct pv_part pv_part_logkeep; /* at the end */

enum {
    TAG_ASK,
    TAG_GIVE,

    MOST_BYTES = 64 << 20, /* ours: entries that wait for their head */
    PAGE = 40000,          /* ours: bytes of entries in one message that gives; one entry always */
};

enum state {
    IDLE,
    ASKING,
    GIVING,
};

struct logkeep {
    struct pv_node *node;
    struct pv_netlog *log;              /* NULL: in no network */
    uint8_t network[PV_NETWORK_ID_LEN]; /* of the log */
    enum state state;
    bool again;      /* something new was told while it asked */
    uint64_t common; /* ASKING: the entry behind which entries are asked for */
    uint64_t step;   /* ASKING: by so much the next entry is earlier if this one differs */
    uint64_t given;  /* GIVING: the last entry that was given */
    bool gave;       /* on this connection: it is not done twice */
    struct pv_gather gather;
};

/* --- the log --------------------------------------------------------------------------------- */

static struct pv_view record_of(const struct pv_roster *roster)
{
    const struct pv_roster_entry *x = pv_roster_next_entry(roster, NULL);
    while (x != NULL && x->st.type != PV_ST_NETWORK)
        x = pv_roster_next_entry(roster, x);
    return x == NULL ? pv_view(NULL, 0) : x->st.raw;
}

static int open_log(struct logkeep *k)
{
    const struct pv_roster *roster = k->node->roster;
    uint8_t genesis[PV_LOGST_HASH_LEN];
    struct pv_fold_config cfg = {.range = pv_roster_network(roster)->range,
                                 .own_max = PV_FOLD_OWN_MAX,
                                 .rng = &k->node->rng};
    memcpy(cfg.network_id, pv_roster_network_id(roster), sizeof(cfg.network_id));
    memcpy(k->network, cfg.network_id, sizeof(k->network));
    memcpy(cfg.root, pv_roster_root(roster), sizeof(cfg.root));
    pv_statement_hash(record_of(roster), genesis);
    return pv_netlog_new(&cfg, genesis, &k->log);
}

static void close_log(struct logkeep *k)
{
    k->log = pv_netlog_free(k->log);
    pv_gather_clear(&k->gather);
    k->state = IDLE;
}

static void free_logkeep(void *part)
{
    close_log(part);
}

/* The disk's log counts if its last entry is signed for: by the coordinator's head, or by root. So
 * whoever can write the database cannot make up a log. */
static bool is_signed_for(struct logkeep *k, struct pv_view head)
{
    struct pv_entry e;
    uint64_t n = pv_netlog_n(k->log);
    if (n == 0 || (head.len > 0 && pv_netlog_take_head(k->log, head) == PV_OK))
        return n == 0 || pv_netlog_head(k->log).len > 0;
    return pv_entry_decode(pv_netlog_entry(k->log, n), &e) == PV_OK &&
           e.st.type == PV_LOGST_COORDINATORS && pv_logst_verify(&e.st) == PV_OK;
}

static int restore(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct logkeep *k = part;
    if (k->node->roster == NULL)
        return PV_OK;
    int r = open_log(k);
    for (size_t i = 0; r == PV_OK && i < cfg->saved->n_entries; i++)
        r = pv_netlog_load(k->log, cfg->saved->entries[i]);
    if (r == PV_ERR_NOMEM)
        return r;
    if (r == PV_OK && is_signed_for(k, pv_saved_value(cfg->saved, "log-head")))
        return PV_OK;
    pv_log(k->node->log, PV_LOG_WARN,
           "what=\"the stored log does not verify: it is fetched anew\"");
    close_log(k);
    return open_log(k);
}

/* --- the store ------------------------------------------------------------------------------- */

/* Entries from number first on, and the head, in one allocation. */
static struct pv_view *copy_entries(const struct pv_netlog *log, uint64_t first,
                                    struct pv_job_put_entries *put)
{
    struct pv_view head = pv_netlog_head(log);
    size_t bytes = head.len;
    put->first = first;
    put->n = (size_t)(pv_netlog_n(log) - first + 1);
    for (size_t i = 0; i < put->n; i++)
        bytes += pv_netlog_entry(log, first + i).len;
    put->entries = malloc((put->n + 1) * sizeof(*put->entries) + bytes);
    if (put->entries == NULL)
        return NULL;
    uint8_t *at = (uint8_t *)(put->entries + put->n);
    for (size_t i = 0; i < put->n; i++) {
        struct pv_view v = pv_netlog_entry(log, first + i);
        memcpy(at, v.ptr, v.len);
        put->entries[i] = pv_view(at, v.len);
        at += v.len;
    }
    if (head.len > 0)
        memcpy(at, head.ptr, head.len);
    put->head = pv_view(at, head.len);
    return put->entries;
}

static void store_from(struct logkeep *k, uint64_t first)
{
    struct pv_job *job = pv_job_new(PV_JOB_PUT_ENTRIES);
    if (job == NULL || copy_entries(k->log, first, &job->u.put_entries) == NULL) {
        pv_job_free(job);
        pv_node_not_stored(k->node);
        return;
    }
    if (!pv_jobqueue_submit(&k->node->jobs, job, pv_node_job_stored, k->node, 0))
        pv_node_not_stored(k->node);
}

/* --- asking ---------------------------------------------------------------------------------- */

static void end_asking(struct logkeep *k)
{
    pv_gather_clear(&k->gather);
    k->state = IDLE;
}

/* Asks for what is behind the entries that are here and those that wait for their head. */
static void ask_on(struct logkeep *k)
{
    struct pv_ctl_msg msg = {.type = PV_CTL_LOG};
    bool waits = k->gather.n > 0;
    msg.u.log.n = waits ? k->gather.first + k->gather.n - 1 : k->common;
    memcpy(msg.u.log.hash, waits ? k->gather.last : pv_netlog_hash(k->log, k->common),
           sizeof(msg.u.log.hash));
    msg.u.log.fetching = waits;
    k->state = ASKING;
    if (pv_coord_ask(k->node, &pv_part_logkeep, &msg, TAG_ASK) != PV_OK)
        end_asking(k);
}

static void ask(struct logkeep *k)
{
    if (k->state != IDLE) {
        k->again = true;
        return;
    }
    k->again = false;
    k->common = pv_netlog_n(k->log);
    k->step = 1;
    k->gather.max = MOST_BYTES;
    ask_on(k);
}

/* --- giving ---------------------------------------------------------------------------------- */

/* The next entries of this node's log that the coordinator lacks; after the last it is asked
 * again, which shows whether it took them. */
static void give_on(struct logkeep *k)
{
    struct pv_view views[PV_CTL_ENTRIES_MAX];
    struct pv_ctl_msg msg = {.type = PV_CTL_ENTRIES};
    struct pv_ctl_entries *e = &msg.u.entries;
    size_t bytes = 0;
    *e = (struct pv_ctl_entries){
        .first = k->given + 1, .last = pv_netlog_n(k->log), .entries = views};
    while (k->given < e->last && e->n < PV_CTL_ENTRIES_MAX) {
        struct pv_view v = pv_netlog_entry(k->log, k->given + 1);
        if (e->n > 0 && bytes + v.len > PAGE)
            break;
        bytes += v.len;
        views[e->n++] = v;
        k->given++;
    }
    if (k->given == e->last)
        e->head = pv_netlog_head(k->log);
    k->state = GIVING;
    if (pv_coord_ask(k->node, &pv_part_logkeep, &msg, TAG_GIVE) != PV_OK)
        end_asking(k);
}

static void give(struct logkeep *k, uint64_t behind)
{
    end_asking(k);
    if (k->gave)
        return;
    k->gave = true;
    k->given = behind;
    give_on(k);
}

static void on_given(struct logkeep *k, const struct pv_ctl_msg *msg)
{
    if (k->state != GIVING)
        return;
    k->state = IDLE;
    if (msg->type != PV_CTL_DONE) {
        /* Another member gives, or the coordinator's log goes before this one. */
        k->gave = msg->type == PV_CTL_ERROR && msg->u.failure.error != PV_CTL_E_BUSY;
        return;
    }
    if (k->given < pv_netlog_n(k->log))
        give_on(k);
    else
        ask(k);
}

/* --- taking ---------------------------------------------------------------------------------- */

/* The first entry that is another one here, or that is not here. */
static uint64_t first_change(const struct logkeep *k, const struct pv_netlog_piece *piece)
{
    struct pv_entry e;
    uint64_t n = piece->first;
    for (size_t i = 0; i < piece->n && n <= pv_netlog_n(k->log); i++, n++)
        if (pv_entry_decode(piece->entries[i], &e) != PV_OK ||
            memcmp(e.hash, pv_netlog_hash(k->log, n), sizeof(e.hash)) != 0)
            break;
    return n;
}

static void report_fork(struct logkeep *k, pv_ns now)
{
    pv_node_report(k->node, PV_FROM_COORDINATOR,
                   "the coordinator has signed two histories of the network: it was put back from "
                   "a backup, or it lies",
                   now);
}

/* Returns true if the coordinator signed this head under the same move of root as this node's
 * log. */
static bool is_of_our_epoch(struct logkeep *k, struct pv_view head)
{
    struct pv_head h;
    return pv_head_decode(head, &h) == PV_OK &&
           h.epoch == pv_fold_now(pv_netlog_state(k->log))->move.epoch;
}

/* The coordinator's log is not this one, nor does it go on from it. It may not know of root's move
 * yet, or it has two histories: then this node keeps its own. */
static void refuse(struct logkeep *k, struct pv_view head, pv_ns now)
{
    if (is_of_our_epoch(k, head)) {
        report_fork(k, now);
        end_asking(k);
    } else {
        give(k, k->common);
    }
}

static void take_head(struct logkeep *k, struct pv_view head, pv_ns now)
{
    if (head.len > 0 && pv_netlog_take_head(k->log, head) == PV_ERR_REFUSED &&
        is_of_our_epoch(k, head))
        report_fork(k, now);
}

/* All entries that were asked for are here, with the head over the last one. */
static void take(struct logkeep *k, struct pv_view head, pv_ns now)
{
    const struct pv_netlog_piece piece = pv_gather_piece(&k->gather, head);
    uint64_t change = first_change(k, &piece);
    int r = pv_netlog_take(k->log, &piece);
    if (r == PV_OK && change <= pv_netlog_n(k->log))
        store_from(k, change);
    if (r == PV_ERR_REFUSED) {
        refuse(k, head, now);
        return;
    }
    if (r != PV_OK)
        pv_node_report(k->node, PV_FROM_COORDINATOR,
                       r == PV_ERR_NOMEM ? "out of memory for the network's log"
                                         : "the coordinator hands out a log that does not verify",
                       now);
    end_asking(k);
    if (k->again && r == PV_OK)
        ask(k);
}

/* The coordinator has nothing behind the entry that was asked for. */
static void take_nothing(struct logkeep *k, const struct pv_ctl_entries *e, pv_ns now)
{
    if (e->last < pv_netlog_n(k->log) && k->gather.n == 0) {
        give(k, e->last < k->common ? e->last : k->common);
        return;
    }
    take_head(k, e->head, now);
    end_asking(k);
    if (k->again)
        ask(k);
}

/* It has another entry there: the last one that both have is looked for, by ever larger steps. */
static void step_back(struct logkeep *k)
{
    pv_gather_clear(&k->gather);
    if (k->common == 0) {
        end_asking(k); /* another network record: a liar */
        return;
    }
    k->common = k->step < k->common ? k->common - k->step : 0;
    k->step *= 2;
    ask_on(k);
}

static void on_entries(struct logkeep *k, const struct pv_ctl_entries *e, pv_ns now)
{
    uint64_t next = k->gather.n > 0 ? k->gather.first + k->gather.n : k->common + 1;
    if (e->first == 0) {
        step_back(k);
        return;
    }
    if (e->n == 0 || e->first != next) {
        take_nothing(k, e, now);
        return;
    }
    int r =
        pv_gather_add(&k->gather, e->first, e->entries, e->n, pv_netlog_hash(k->log, k->common));
    if (r != PV_OK) {
        pv_node_report(k->node, PV_FROM_COORDINATOR,
                       "the coordinator hands out a log that does not verify", now);
        end_asking(k);
    } else if (e->first + e->n > e->last) {
        take(k, e->head, now);
    } else {
        ask_on(k);
    }
}

/* --- events ---------------------------------------------------------------------------------- */

static void on_answer(void *part, uint64_t tag, const struct pv_ctl_msg *msg, pv_ns now)
{
    struct logkeep *k = part;
    if (k->log == NULL)
        return;
    if (tag == TAG_GIVE)
        on_given(k, msg);
    else if (k->state == ASKING && msg->type == PV_CTL_ENTRIES)
        on_entries(k, &msg->u.entries, now);
    else if (k->state == ASKING)
        end_asking(k);
}

static void on_push(void *part, const struct pv_ctl_msg *msg, pv_ns now)
{
    struct logkeep *k = part;
    if (k->log == NULL)
        return;
    if (msg->type == PV_CTL_WELCOME && k->node->online && !k->node->coord_info.visiting) {
        end_asking(k);
        k->gave = false;
        ask(k);
    } else if (msg->type == PV_CTL_ENTRIES && k->node->online) {
        take_head(k, msg->u.entries.head, now);
        if (pv_netlog_head(k->log).len == 0 || msg->u.entries.last != pv_netlog_n(k->log))
            ask(k);
    }
}

/* A start with a network raises the fact as well: then the log is here. */
static void enter(struct logkeep *k, pv_ns now)
{
    const struct pv_roster *roster = k->node->roster;
    if (roster != NULL && k->log != NULL &&
        memcmp(k->network, pv_roster_network_id(roster), sizeof(k->network)) == 0)
        return;
    close_log(k);
    if (roster != NULL && open_log(k) != PV_OK)
        pv_node_report(k->node, PV_FROM_COORDINATOR, "out of memory for the network's log", now);
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct logkeep *k = part;
    if ((facts & PV_FACT_OFFLINE) != 0)
        end_asking(k);
    if ((facts & PV_FACT_NETWORK) != 0)
        enter(k, now);
    if ((facts & PV_FACT_STORE) != 0 && k->log != NULL && pv_netlog_n(k->log) > 0)
        store_from(k, 1);
}

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct logkeep *k = part;
    st->s.log = k->log == NULL ? 0 : pv_netlog_n(k->log);
}

const struct pv_part pv_part_logkeep = {
    .name = "logkeep",
    .after = {"membership"},
    .size = PV_PART_SIZE(struct logkeep),
    .free = free_logkeep,
    .restore = restore,
    .on_facts = on_facts,
    .on_answer = on_answer,
    .on_push = on_push,
    .status = show,
};
