/* SPDX-License-Identifier: MIT */
/*
 * homes_world.h - the world of test_homes.c: coordinators, people, and the database between them,
 * which says whose a network is as coordinator/store/pg_homes.c does, and runs what the store's
 * threads have in the order of each.
 */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/core/coord_int.h"
#include "crypto/ct.h"
#include "daemon/core/coord/coordclient.h"
#include "tests/sim/world/sim_net.h"
#include "tests/unit/coordinator/core/coord_world.h"

enum {
    COORDS = 3,
    NETS = 2,
    MEMBERS = 3, /* of each network */
    TOKENS = 2,  /* of each network, for one node each */
    RIVALS = 2,  /* that want a token */
    PEOPLE = NETS * (MEMBERS + TOKENS * RIVALS),
    ROWS = 2048,
    JOBS = 512,
    PIPES = 64,
    STATEMENTS = 512,
    LEASE_MS = 3000,
    TICK_MS = 10,
    TROUBLE_S = 60,
    CALM_S = 45,
};

/* --- the world ------------------------------------------------------------------------------- */

struct job {
    struct pv_storeop *op; /* NULL: the place is free */
    bool run;              /* the database has it */
    bool asked;            /* HOME, LEAVE: the facts were read */
    struct pv_home_facts f;
    pv_ns at; /* when it goes on */
    struct pv_storeop_result result;
};

/* A coordinator, and its row in the database. */
struct coordinator {
    struct pv_coord *core; /* NULL: killed */
    pv_ns paused, cut;     /* until then; cut: off from the database */
    pv_ns back_at;         /* started again then */
    pv_ns renew_at, job_at;
    struct job jobs[JOBS];
    size_t first_job, n_jobs; /* a ring: the store's thread has one order */
    int64_t lost_seen;
    uint64_t clock_off; /* seconds that its wall clock is ahead */
    /* The row. */
    int64_t id;
    bool row;
    bool session; /* it has the lock */
    pv_ns until, steady;
    int64_t lost, homes;
};

struct home {
    int64_t holder, fence;
    bool loaded;
    pv_ns since;
};

struct pipe {
    struct person *p; /* NULL: free */
    uint32_t sid;
    unsigned c;
    uint64_t conn; /* 0: not accepted yet */
    pv_ns at;      /* connects then */
};

enum role {
    MEMBER,
    RIVAL,
};

struct person {
    enum role role;
    unsigned net;
    struct cw_node node;
    struct cw_keys invite; /* RIVAL */
    struct pv_coordclient *client;
    struct pv_streams streams; /* what it asks for */
    struct pv_fifo events;
    bool online;
    bool is_in;   /* RIVAL: registered; and has its answer */
    bool refused; /* RIVAL: the token is used */
    uint64_t next_at;
    uint8_t hash[PV_STATEMENT_HASH_LEN]; /* of the statement that is being put */
    struct pv_made made;
    bool putting;
};

struct world {
    struct cw *cw; /* makes statements */
    uint64_t seed;
    struct pv_rng rng;
    struct test_rng rng_state;
    pv_ns now, start;
    struct coordinator coords[COORDS];
    int64_t next_id;
    uint64_t epoch;
    struct home homes[NETS];
    uint8_t nets[NETS][PV_NETWORK_ID_LEN];
    struct cw_node alice[NETS];
    struct pv_storeop *rows[ROWS]; /* of one row each, in the order in which they were stored */
    size_t n_rows;
    struct pipe pipes[PIPES];
    struct person people[PEOPLE];
    uint64_t next_conn;
    struct {
        uint8_t hash[PV_STATEMENT_HASH_LEN];
    } acked[STATEMENTS];
    size_t n_acked;
    unsigned moves; /* changes of homes */
    const char *wrong;
};

static inline uint32_t draw(struct world *w, uint32_t n)
{
    return (uint32_t)pv_rng_below(&w->rng, n);
}

static inline void note_wrong(struct world *w, const char *what)
{
    if (w->wrong == NULL)
        w->wrong = what;
}

static inline unsigned net_of(const struct world *w, const uint8_t *network)
{
    unsigned i = 0;
    while (i < NETS && memcmp(w->nets[i], network, PV_NETWORK_ID_LEN) != 0)
        i++;
    return i;
}

/* --- the database ---------------------------------------------------------------------------- */

static inline struct coordinator *by_id(struct world *w, int64_t id)
{
    for (unsigned i = 0; i < COORDS; i++)
        if (w->coords[i].row && w->coords[i].id == id)
            return &w->coords[i];
    return NULL;
}

static inline const struct pv_storerow *find_row(const struct world *w, const uint8_t *hash)
{
    for (size_t i = 0; i < w->n_rows; i++)
        if (memcmp(w->rows[i]->rows[0].hash, hash, PV_STATEMENT_HASH_LEN) == 0)
            return &w->rows[i]->rows[0];
    return NULL;
}

/* Nothing is stored behind what has a later place: who pages by receipts would miss it. */
static inline void insert_row(struct world *w, const struct pv_storerow *row)
{
    struct pv_storeop *one = NULL;
    if (row->statement.len == 0 || find_row(w, row->hash) != NULL)
        return;
    for (size_t i = 0; i < w->n_rows; i++) {
        const struct pv_storerow *r = &w->rows[i]->rows[0];
        bool later = r->epoch > row->epoch || (r->epoch == row->epoch && r->n >= row->n);
        if (later && memcmp(r->network, row->network, sizeof(r->network)) == 0)
            note_wrong(w, "a statement was stored behind a later place of its log");
    }
    assert_true(w->n_rows < ROWS);
    assert_int_equal(pv_storeop_new(PV_STOREOP_PUT, 1,
                                    row->statement.len + row->receipt.len + row->foreign.len, &one),
                     PV_OK);
    assert_int_equal(pv_storeop_add(one, row), PV_OK);
    w->rows[w->n_rows++] = one;
}

/* How many nodes have used an invite, but for this one; *ret_own: its statement. */
static inline size_t uses_of(const struct world *w, const uint8_t *invite, const uint8_t *node,
                             const struct pv_storerow **ret_own)
{
    size_t n = 0;
    *ret_own = NULL;
    for (size_t i = 0; i < w->n_rows; i++) {
        struct pv_statement st;
        assert_int_equal(pv_statement_decode(w->rows[i]->rows[0].statement, &st), PV_OK);
        if (st.type != PV_ST_MEMBER || memcmp(st.signer, invite, sizeof(st.signer)) != 0)
            continue;
        if (memcmp(st.u.member.node, node, sizeof(st.u.member.node)) == 0)
            *ret_own = &w->rows[i]->rows[0];
        else
            n++;
    }
    return n;
}

static inline void redeem(struct world *w, const struct pv_storeop *op,
                          struct pv_storeop_result *res)
{
    const struct pv_storerow *own;
    size_t others = uses_of(w, op->invite, op->node, &own);
    if (own != NULL) {
        res->status = PV_ERR_EXISTS;
        memcpy(res->existing, own->hash, sizeof(res->existing));
    } else if (others >= op->uses) {
        res->status = PV_ERR_EXPIRED;
    } else {
        insert_row(w, &op->rows[0]);
    }
}

/* The fence that the store's thread of a coordinator knows is that of its network in memory when
 * the operation was made; here it is kept beside the operation, in `wall_s` of its copy. */
static inline void write_rows(struct world *w, struct coordinator *c, struct job *j)
{
    unsigned net = net_of(w, j->op->rows[0].network);
    const struct home *h = &w->homes[net];
    if (h->holder != c->id || h->fence != (int64_t)j->op->copy.wall_s) {
        j->result.status = -ESTALE;
        return;
    }
    if (j->op->kind == PV_STOREOP_REGISTER)
        redeem(w, j->op, &j->result);
    for (size_t i = 0; j->op->kind == PV_STOREOP_PUT && i < j->op->n_rows; i++)
        insert_row(w, &j->op->rows[i]);
}

static inline void read_facts(struct world *w, struct coordinator *c, struct job *j)
{
    const struct home *h = &w->homes[net_of(w, j->op->copy.network)];
    const struct coordinator *holder = by_id(w, h->holder);
    struct pv_home_facts f = {.known = true,
                              .me = c->id,
                              .holder = h->holder,
                              .fence = h->fence,
                              .loaded = h->loaded,
                              .age_ms = (int64_t)((w->now - h->since) / PV_MS(1)),
                              .patient = w->now - c->steady >= PV_MS(LEASE_MS),
                              .draining = j->op->draining,
                              .homes = (int64_t)pv_coord_n_homes(c->core)};
    f.state = holder == NULL ? PV_HOME_NOBODY
              : holder->until < w->now ||
                      (!holder->session && holder->until < w->now + PV_MS(LEASE_MS - 1000))
                  ? PV_HOME_SILENT
                  : PV_HOME_ALIVE;
    for (unsigned i = 0; i < COORDS; i++) {
        const struct coordinator *o = &w->coords[i];
        if (o == c || !o->row || o->until < w->now || (f.least != 0 && o->homes >= f.least_homes))
            continue;
        f.least = o->id;
        f.least_homes = o->homes;
    }
    j->f = f;
}

static inline struct pv_storeop *copy_network(const struct world *w, const uint8_t *network,
                                              uint64_t *ret_above)
{
    struct pv_storeop *all = NULL;
    assert_int_equal(pv_storeop_new(PV_STOREOP_PUT, w->n_rows, w->n_rows * 4096, &all), PV_OK);
    for (size_t i = 0; i < w->n_rows; i++) {
        const struct pv_storerow *r = &w->rows[i]->rows[0];
        if (memcmp(r->network, network, PV_NETWORK_ID_LEN) != 0)
            continue;
        assert_int_equal(pv_storeop_add(all, r), PV_OK);
        *ret_above = r->epoch > *ret_above ? r->epoch : *ret_above;
    }
    return all;
}

/* The change that follows from the facts, where nobody has made another since. */
static inline void change_home(struct world *w, struct coordinator *c, struct job *j)
{
    struct home *h = &w->homes[net_of(w, j->op->copy.network)];
    enum pv_home_verdict v = pv_home_judge(&j->f, j->op->pleads);
    struct pv_home_answer *a = calloc(1, sizeof(*a));
    assert_non_null(a);
    j->result.home = a;
    if (j->op->kind == PV_STOREOP_LEAVE)
        v = h->holder == c->id ? PV_HOME_GIVE : PV_HOME_THERE;
    a->verdict = v == PV_HOME_GIVE ? PV_HOME_THERE : v;
    if (v != PV_HOME_TAKE && v != PV_HOME_GIVE)
        return;
    if (h->fence != j->f.fence) {
        a->verdict = PV_HOME_WAIT;
        return;
    }
    struct coordinator *old = by_id(w, h->holder);
    int64_t to = v == PV_HOME_TAKE ? c->id : j->op->idle ? 0 : j->f.least;
    if (old != NULL && old->id != to)
        old->lost++;
    w->moves += h->holder != to ? 1 : 0;
    h->since = h->holder == to ? h->since : w->now;
    h->holder = to;
    h->fence++;
    h->loaded = v == PV_HOME_TAKE;
    if (v != PV_HOME_TAKE)
        return;
    uint64_t above = 0;
    a->fence = h->fence;
    a->rows = copy_network(w, j->op->copy.network, &above);
    w->epoch = above > w->epoch ? above + 1 : w->epoch + 1;
    a->epoch = w->epoch;
}

/* --- the store's thread ---------------------------------------------------------------------- */

static inline void submit(struct world *w, struct coordinator *c, struct pv_storeop *op)
{
    assert_true(c->n_jobs < JOBS);
    struct job *j = &c->jobs[(c->first_job + c->n_jobs++) % JOBS];
    *j = (struct job){.op = op, .at = w->now + PV_MS(draw(w, 30)), .result = {.id = op->id}};
    if (op->n_rows == 0)
        return;
    const struct pv_cnet *net = pv_registry_find(&c->core->registry, op->rows[0].network);
    op->copy.wall_s = net == NULL ? 0 : (uint64_t)net->fence;
}

/* Runs what is next in the order of its coordinator. Two steps for homes: others come between. */
static inline void run_job(struct world *w, struct coordinator *c, struct job *j)
{
    bool home = j->op->kind == PV_STOREOP_HOME || j->op->kind == PV_STOREOP_LEAVE;
    if (w->now < c->cut || draw(w, 40) == 0) {
        j->result.status = -EIO;
        j->run = true;
    } else if (home && !j->asked) {
        read_facts(w, c, j);
        j->asked = true;
        j->at = w->now + PV_MS(draw(w, 20));
        return;
    } else if (home) {
        change_home(w, c, j);
        j->run = true;
    } else {
        write_rows(w, c, j);
        j->run = true;
    }
    j->at = w->now + PV_MS(draw(w, 60)); /* the answer is on its way */
}

static inline void free_job(struct job *j)
{
    pv_home_answer_free(j->result.home);
    pv_storeop_free(j->op);
    *j = (struct job){.op = NULL};
}

/* Answers come in any order, but runs do not. */
static inline void run_jobs(struct world *w, struct coordinator *c)
{
    bool may_run = true;
    for (size_t i = 0; i < c->n_jobs && c->core != NULL; i++) {
        struct job *j = &c->jobs[(c->first_job + i) % JOBS];
        if (j->op == NULL)
            continue;
        if (!j->run && may_run && j->at <= w->now)
            run_job(w, c, j);
        may_run &= j->run;
        if (j->run && j->at <= w->now) {
            pv_coord_handle_job(c->core, &j->result, w->now);
            free_job(j);
        }
    }
    while (c->n_jobs > 0 && c->jobs[c->first_job].op == NULL) {
        c->first_job = (c->first_job + 1) % JOBS;
        c->n_jobs--;
    }
}
