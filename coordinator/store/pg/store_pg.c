/* SPDX-License-Identifier: MIT */
/* Operations become calls of prepared statements, and their results answers. Before them the homes
 * of networks, where several coordinators share the database: first the facts of all that are asked
 * for, then, in one transaction, the changes that follow from them, each only where the fence is
 * still that of its facts. */
#include "coordinator/store/pg/store_pg.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libpq-fe.h>

#include "base/map.h"
#include "coordinator/core/member/home.h"
#include "coordinator/store/pg/pg_lease.h"
#include "coordinator/store/statements.sql.h"
#include "coordinator/store/store.h"
#include "proto/roster/statement.h"
#include "sys/proc/clock.h"
#include "sys/proc/entropy.h"

enum {
    OPS_MAX = 64,        /* operations that share a transaction */
    UNREAD = 256,        /* ours: networks; the oldest gives way, and is read in vain again */
    RETRY_MS = 100,      /* between two attempts to connect */
    HOMES_MAX = 1 << 20, /* ours: networks in one coordinator's memory, which is full before */
    AGE_S = 3600,        /* ours: between two looks for copies that are too old */
    STEADY_S = 6 * 3600, /* ours: so long has the clock stood that deletes them */
    GIVEN_MS = 1500, /* ours: three renewals, in which a coordinator tells how many homes it has */
    READ_S = 3,      /* ours: without a byte of a network, when another coordinator may read it */
    UNREAD_S = 60,   /* ours: for which one that could not be read is left to others */
};

#define WAIT PV_S(10) /* without a sign of the database: it is away */

/* A home of this coordinator. */
struct home {
    uint8_t network[PV_NETWORK_ID_LEN];
    int64_t fence;
    UT_hash_handle hh;
};

/* A network that could not be read: the connection ended, or carried nothing more. */
struct unread {
    uint8_t network[PV_NETWORK_ID_LEN];
    pv_ns until; /* it is left to others; 0: free */
};

struct pv_pgstore {
    struct pv_coordstore base;
    struct pv_pg *pg;
    int64_t fence;  /* of the lease, where member is 0 */
    int64_t member; /* number of this coordinator; 0: it has the lease */
    uint64_t epoch; /* of the newest receipts that may be given */
    int (*decode)(struct pv_view data, struct pv_statement *ret_st);
    struct pv_map map;
    struct home *homes;
    struct unread unread[UNREAD];
    size_t next_unread; /* the place of the next one */
    int64_t given_to;   /* the last one that was given homes, */
    int64_t given;      /* how many, */
    pv_ns given_at;     /* and since when: it says how many it has a little later */
    pv_ns age_at;       /* copies that are too old are looked for no earlier */
    atomic_bool stop;
    bool held;      /* all operations are parts of one transaction */
    pv_ns retry_at; /* no attempt to connect before */
    char away[PV_STOREOP_ERROR_MAX];
};

static const struct pv_pg_statement statements[] = {
    {"fence", "SELECT p2pvpn.check_fence($1)"},
    {"claim new", "SELECT p2pvpn.claim_new($1, $2)"},
    {"check dropped", "SELECT p2pvpn.check_home($1, $2, $3)"
                      " WHERE EXISTS(SELECT 1 FROM p2pvpn.homes WHERE network = $1)"},
    {"put", "INSERT INTO p2pvpn.statements VALUES($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11)"
            " ON CONFLICT(network, hash) DO NOTHING"},
    {"delete", "DELETE FROM p2pvpn.statements WHERE network = $1 AND hash = $2"},
    {"redeem", "SELECT code, existing FROM p2pvpn.redeem($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,"
               "$13)"},
    /* Coordinators that share the database have clocks of their own: copies have the time of its
     * clock. 0 stands for it. */
    {"keep", "SELECT p2pvpn.keep($1,$2,$3,$4,CASE $5::bigint WHEN 0 THEN"
             " extract(epoch FROM clock_timestamp())::bigint ELSE $5::bigint "
             "END,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17)"},
    {"make room", "SELECT pg_advisory_xact_lock(1882353765)"}, /* see keep() in pg.sql */
    {"collect", "SELECT num, snd, bx FROM p2pvpn.collect($1,$2,$3,$4,$5)"},
    {"age", pv_age_sql},
    {"append", "SELECT p2pvpn.append($1,$2,$3,$4,$5,$6)"},
    {"drop", "SELECT p2pvpn.drop_network($1)"},
    {"load", "SELECT epoch, n, network, hash, statement, receipt, foreign_receipt, mark"
             " FROM p2pvpn.statements ORDER BY epoch, n"},
    {"entries", "SELECT n, network, hash, entry FROM p2pvpn.log ORDER BY network, n"},
    {"copies", "SELECT network, sender, receiver, key, time, box FROM p2pvpn.mail ORDER BY n"},
};

/* Of coordinators that share the database: prepared with the others. */
static const struct pv_pg_statement home_statements[] = {
    {"check home", "SELECT p2pvpn.check_home($1, $2, $3)"},
    {"facts", "SELECT known, whose, f, held, state, age, patient, addr, few, few_homes, few_addr"
              " FROM p2pvpn.home_facts($1, $2, $3)"},
    {"lock holder", "UPDATE p2pvpn.coordinators SET lost = lost WHERE id = $1"},
    {"has joined", pv_has_joined_sql},
    {"claim", "SELECT got FROM p2pvpn.claim($1, $2, $3, $4, $5)"},
    {"rows", "SELECT epoch, n, network, hash, statement, receipt, foreign_receipt, mark"
             " FROM p2pvpn.statements WHERE network = $1 ORDER BY epoch, n"},
    {"log", "SELECT n, network, hash, entry FROM p2pvpn.log WHERE network = $1 ORDER BY n"},
    {"new epoch", "SELECT p2pvpn.new_epoch($1)"},
};

/* --- homes: fences --------------------------------------------------------------------------- */

/* The fence of a home is known here only: the core sees what the store makes of it. */
static struct home *find_home(const struct pv_pgstore *s, const uint8_t *network)
{
    struct home *h = NULL;
    PV_MAP_FIND(&s->map, s->homes, network, PV_NETWORK_ID_LEN, h);
    return h;
}

static int64_t home_fence(const struct pv_pgstore *s,
                          const uint8_t network[static PV_NETWORK_ID_LEN])
{
    const struct home *h = find_home(s, network);
    return h == NULL ? 0 : h->fence;
}

/* It has this fence from now on. PV_ERR_NOMEM. */
static int note_home(struct pv_pgstore *s, const uint8_t network[static PV_NETWORK_ID_LEN],
                     int64_t fence)
{
    struct home *h = find_home(s, network);
    int r = PV_OK;
    if (h == NULL) {
        h = calloc(1, sizeof(*h));
        if (h == NULL)
            return PV_ERR_NOMEM;
        memcpy(h->network, network, sizeof(h->network));
        PV_MAP_ADD(&s->map, s->homes, network, h, r);
        if (r < 0) {
            free(h);
            return r;
        }
    }
    h->fence = fence;
    return PV_OK;
}

static void forget_home(struct pv_pgstore *s, const uint8_t network[static PV_NETWORK_ID_LEN])
{
    struct home *h = find_home(s, network);
    if (h == NULL)
        return;
    PV_MAP_DEL(s->homes, h);
    free(h);
}

static void free_homes(struct pv_pgstore *s)
{
    struct home *h;
    struct home *next;
    HASH_ITER(hh, s->homes, h, next) {
        PV_MAP_DEL(s->homes, h);
        free(h);
    }
}

/* --- homes: networks that cannot be read ----------------------------------------------------- */

static struct unread *find_unread(struct pv_pgstore *s, const uint8_t *network)
{
    for (size_t i = 0; i < UNREAD; i++)
        if (s->unread[i].until != 0 &&
            memcmp(s->unread[i].network, network, PV_NETWORK_ID_LEN) == 0)
            return &s->unread[i];
    return NULL;
}

static bool is_unread(struct pv_pgstore *s, const uint8_t *network, pv_ns now)
{
    const struct unread *u = find_unread(s, network);
    return u != NULL && now < u->until;
}

/* --- homes: facts ---------------------------------------------------------------------------- */

/* One operation on its way. */
struct asked {
    const struct pv_storeop *op;
    struct pv_storeop_result *result;
    struct pv_home_facts f;
    size_t plea; /* number of its question whether who pleads is heard; 0: nobody pleads */
    bool pleads; /* one that is */
    char at[PV_PG_ADDRS_MAX], least_at[PV_PG_ADDRS_MAX];
    enum pv_home_verdict verdict;
    int64_t to;     /* TAKE, GIVE: who is to have it; 0: nobody */
    size_t claim;   /* number of its statement in the second transaction */
    int64_t got;    /* the new fence; 0: somebody was quicker */
    uint64_t above; /* the highest epoch of its rows */
};

struct round {
    struct pv_pgstore *s;
    struct asked *all;
    size_t n;
    int status; /* of what was done with the results */
};

static void take_plea(const struct round *ro, size_t i, const PGresult *res)
{
    for (size_t k = 0; k < ro->n; k++)
        if (ro->all[k].plea == i)
            ro->all[k].pleads = pv_pg_get_int(res, 0, 0) != 0;
}

/* The order of the columns is that of the statement above. */
static void take_facts(void *ctx, size_t i, PGresult *res)
{
    const struct round *ro = ctx;
    if (PQntuples(res) != 1)
        return;
    if (i >= ro->n) {
        take_plea(ro, i, res);
        return;
    }
    struct asked *a = &ro->all[i];
    int64_t state = pv_pg_get_int(res, 0, 4);
    a->f = (struct pv_home_facts){
        .known = pv_pg_get_int(res, 0, 0) != 0,
        .me = ro->s->member,
        .holder = pv_pg_get_int(res, 0, 1),
        .fence = pv_pg_get_int(res, 0, 2),
        .loaded = pv_pg_get_int(res, 0, 3) != 0,
        .state = state == 0   ? PV_HOME_NOBODY
                 : state == 1 ? PV_HOME_ALIVE
                              : PV_HOME_SILENT,
        .age_ms = pv_pg_get_int(res, 0, 5),
        .patient = pv_pg_get_int(res, 0, 6) != 0,
        .homes = HASH_CNT(hh, ro->s->homes),
        .least = pv_pg_get_int(res, 0, 8),
        .least_homes = pv_pg_get_int(res, 0, 9),
    };
    /* An address that is cut is none, and passed over. */
    pv_pg_get_text(res, 0, 7, a->at, sizeof(a->at));
    pv_pg_get_text(res, 0, 10, a->least_at, sizeof(a->least_at));
}

/* A transaction that only reads, for all of them in one round trip. Anybody who knows a network may
 * knock for it, and would move it by pleading: so only who has joined it is heard, and was not
 * removed nor left. */
static int ask_facts(struct round *ro, char ret_error[static PV_STOREOP_ERROR_MAX])
{
    size_t sent = ro->n;
    int r = pv_pg_begin(ro->s->pg, ret_error);
    if (r < 0)
        return r;
    for (size_t i = 0; i < ro->n; i++) {
        const uint8_t *network = ro->all[i].op->copy.network;
        const struct pv_pg_value v[] = {pv_pg_bytes(network, PV_NETWORK_ID_LEN),
                                        pv_pg_int(ro->s->member), pv_pg_int(PV_PG_LEASE_MS)};
        pv_pg_send(ro->s->pg, "facts", v, PV_ARRAY_LEN(v));
    }
    for (size_t i = 0; i < ro->n; i++) {
        const struct pv_storeop *op = ro->all[i].op;
        const struct pv_pg_value v[] = {pv_pg_bytes(op->copy.network, PV_NETWORK_ID_LEN),
                                        pv_pg_bytes(op->node, sizeof(op->node))};
        if (!op->pleads)
            continue;
        ro->all[i].plea = sent++;
        pv_pg_send(ro->s->pg, "has joined", v, PV_ARRAY_LEN(v));
    }
    return pv_pg_finish(ro->s->pg, take_facts, ro, ret_error);
}

/* --- homes: conclusions ---------------------------------------------------------------------- */

/* A home given to the one with the fewest counts as its own before it says so itself, or a storm of
 * members would all be sent to one. */
static int64_t given(struct pv_pgstore *s, int64_t to, pv_ns now)
{
    if (s->given_to != to || now - s->given_at > PV_MS(GIVEN_MS)) {
        s->given_to = to;
        s->given = 0;
        s->given_at = now;
    }
    return s->given;
}

/* The facts of a batch were read at one moment: what this very batch has taken counts, too. */
static void judge(struct pv_pgstore *s, struct asked *a, int64_t more)
{
    pv_ns now = pv_clock_now();
    a->f.least_homes += given(s, a->f.least, now);
    a->f.homes += more;
    a->f.draining = a->op->draining;
    a->f.unread = is_unread(s, a->op->copy.network, now);
    if (a->op->kind == PV_STOREOP_HOME) {
        a->verdict = pv_home_judge(&a->f, a->pleads);
        a->to = a->verdict == PV_HOME_TAKE ? a->f.me : a->f.least;
    } else {
        /* A home that another has taken meanwhile is not given away by this one. */
        bool mine = a->f.holder == a->f.me && a->f.fence == home_fence(s, a->op->copy.network);
        a->verdict = mine ? PV_HOME_GIVE : PV_HOME_THERE;
        a->to = a->op->idle ? 0 : a->f.least;
        if (mine && !a->op->idle && a->f.least == 0)
            a->verdict = PV_HOME_WAIT; /* nobody is there who could have it */
        else if (mine && a->op->balance && a->f.homes <= a->f.least_homes + 1)
            a->verdict = PV_HOME_WAIT; /* somebody else has given it some */
    }
    if (a->verdict == PV_HOME_GIVE && a->to != 0)
        s->given++;
}

/* For people: `p2pvpn-coordinator homes` shows it, and the log. A home given to this coordinator
 * keeps its giver's reason in the former. */
static const char *reason(const struct asked *a)
{
    if (a->verdict == PV_HOME_TAKE && a->f.holder == a->f.me)
        return a->f.loaded ? "read again" : "given to it";
    if (a->op->kind == PV_STOREOP_LEAVE)
        return a->op->idle ? "not used" : a->op->balance ? "balanced" : "drained";
    if (a->verdict == PV_HOME_GIVE)
        return a->f.unread ? "the other could not read it" : "balanced";
    if (a->f.holder != 0 && a->f.state == PV_HOME_SILENT)
        return "its coordinator was silent";
    if (a->f.holder != 0 && a->f.state == PV_HOME_ALIVE)
        return a->f.loaded ? "its members cannot reach the other" : "nobody came there";
    return a->f.fence == 0 ? "first member" : "it had none";
}

/* --- homes: changes -------------------------------------------------------------------------- */

/* Copies what was read of a network. */
static int copy_rows(struct asked *a, const PGresult *res, struct pv_storeop **ret_rows)
{
    size_t n = (size_t)PQntuples(res), bytes = 0;
    for (size_t i = 0; i < n; i++)
        for (int c = 4; c <= 6; c++)
            bytes += pv_pg_get_bytes(res, (int)i, c).len;
    int r = pv_storeop_new(PV_STOREOP_PUT, n, bytes, ret_rows);
    for (size_t i = 0; i < n && r == PV_OK; i++) {
        struct pv_storerow row = {.epoch = (uint64_t)pv_pg_get_int(res, (int)i, 0),
                                  .n = (uint64_t)pv_pg_get_int(res, (int)i, 1)};
        struct pv_view v[PV_ROW_COLUMNS];
        for (int c = 0; c < PV_ROW_COLUMNS; c++)
            v[c] = pv_pg_get_bytes(res, (int)i, 2 + c);
        a->above = row.epoch > a->above ? row.epoch : a->above;
        /* A damaged row is left out, as at a start (registry.h). */
        if (pv_row_take(&row, v) == PV_OK)
            r = pv_storeop_add(*ret_rows, &row);
    }
    return r;
}

/* An entry of a result whose columns are n, network, hash, entry. */
static int take_entry_row(const PGresult *res, int i, struct pv_storerow *row)
{
    struct pv_view v[PV_ENTRY_COLUMNS];
    *row = (struct pv_storerow){.n = (uint64_t)pv_pg_get_int(res, i, 0)};
    for (int c = 0; c < PV_ENTRY_COLUMNS; c++)
        v[c] = pv_pg_get_bytes(res, i, 1 + c);
    return pv_entry_take(row, v);
}

/* Copies the log of a network. */
static int copy_entries(const PGresult *res, struct pv_storeop **ret_entries)
{
    size_t n = (size_t)PQntuples(res), bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += pv_pg_get_bytes(res, (int)i, 3).len;
    int r = pv_storeop_new(PV_STOREOP_APPEND, n, bytes, ret_entries);
    for (size_t i = 0; i < n && r == PV_OK; i++) {
        struct pv_storerow row;
        r = take_entry_row(res, (int)i, &row);
        if (r == PV_OK)
            r = pv_storeop_add(*ret_entries, &row);
    }
    return r;
}

/* Does it change the home? */
static bool changes_home(const struct asked *a)
{
    return a->verdict == PV_HOME_TAKE || a->verdict == PV_HOME_GIVE;
}

/* Of a claim that nobody answers with a fence the rows behind it are not ours to read. */
static void take_changes(void *ctx, size_t i, PGresult *res)
{
    struct round *ro = ctx;
    for (size_t k = 0; k < ro->n; k++) {
        struct asked *a = &ro->all[k];
        if (changes_home(a) && a->claim == i)
            a->got = PQntuples(res) == 1 ? pv_pg_get_int(res, 0, 0) : 0;
        else if (a->verdict == PV_HOME_TAKE && a->claim + 1 == i && a->got != 0 &&
                 ro->status == PV_OK)
            ro->status = copy_rows(a, res, &a->result->home->rows);
        else if (a->verdict == PV_HOME_TAKE && a->claim + 2 == i && a->got != 0 &&
                 ro->status == PV_OK)
            ro->status = copy_entries(res, &a->result->home->entries);
    }
}

/* Nothing is read of a network that goes to somebody else. Returns how many statements it sent. */
static size_t send_claim(struct pv_pgstore *s, const struct asked *a)
{
    const struct pv_pg_value v[] = {pv_pg_bytes(a->op->copy.network, PV_NETWORK_ID_LEN),
                                    pv_pg_int(a->to), pv_pg_int(a->f.fence),
                                    pv_pg_int(a->verdict == PV_HOME_TAKE ? 1 : 0),
                                    pv_pg_text(reason(a))};
    pv_pg_send(s->pg, "claim", v, PV_ARRAY_LEN(v));
    if (a->verdict != PV_HOME_TAKE)
        return 1;
    pv_pg_send(s->pg, "rows", v, 1);
    pv_pg_send(s->pg, "log", v, 1);
    return 3;
}

static int by_network(const void *a, const void *b)
{
    const struct asked *const *x = a, *const *y = b;
    int d = memcmp((*x)->op->copy.network, (*y)->op->copy.network, PV_NETWORK_ID_LEN);
    return d != 0 ? d : (*x > *y) - (*x < *y);
}

static int by_value(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* After the death of a coordinator others take its networks in batches that overlap, and claim()
 * changes the row of a home, then that of who loses it. So those who lose are locked first, by
 * number, and homes in the order of their networks: nobody waits for who waits for him. */
static size_t lock_holders(struct pv_pgstore *s, struct asked *const *order, size_t n)
{
    int64_t holders[OPS_MAX];
    size_t n_holders = 0, sent = 0;
    for (size_t i = 0; i < n; i++)
        if (order[i]->f.holder != 0 && order[i]->f.holder != order[i]->to)
            holders[n_holders++] = order[i]->f.holder;
    qsort(holders, n_holders, sizeof(holders[0]), by_value);
    for (size_t i = 0; i < n_holders; i++) {
        const struct pv_pg_value v = pv_pg_int(holders[i]);
        if (i > 0 && holders[i] == holders[i - 1])
            continue;
        pv_pg_send(s->pg, "lock holder", &v, 1);
        sent++;
    }
    return sent;
}

/* A line may carry short packets and lose long ones, as where a tunnel makes its MTU smaller and
 * does not say so: the facts come, and the rows of a network never do. A network that can be read
 * elsewhere is not tried here again for a while, and its members go there. */
static void note_read(struct round *ro, int r)
{
    pv_ns now = pv_clock_now();
    for (size_t i = 0; i < ro->n; i++) {
        const uint8_t *network = ro->all[i].op->copy.network;
        struct unread *u = find_unread(ro->s, network);
        if (ro->all[i].verdict != PV_HOME_TAKE || (r != PV_OK && r != PV_ERR_CLOSED))
            continue;
        if (r == PV_ERR_CLOSED && u == NULL)
            u = &ro->s->unread[ro->s->next_unread++ % UNREAD];
        if (u == NULL)
            continue;
        memcpy(u->network, network, sizeof(u->network));
        u->until = r == PV_OK ? 0 : now + PV_S(UNREAD_S);
    }
}

/* The rows are read behind the claim: nobody else writes from then on. */
static int change(struct round *ro, char ret_error[static PV_STOREOP_ERROR_MAX])
{
    struct asked *order[OPS_MAX];
    size_t n = 0, sent;
    bool others = true;
    for (size_t i = 0; i < ro->n; i++) {
        if (changes_home(&ro->all[i]))
            order[n++] = &ro->all[i];
        others &= ro->all[i].f.least != 0;
    }
    if (n == 0)
        return PV_OK;
    int r = pv_pg_begin(ro->s->pg, ret_error);
    if (r < 0)
        return r;
    qsort(order, n, sizeof(order[0]), by_network);
    sent = lock_holders(ro->s, order, n);
    for (size_t i = 0; i < n; i++) {
        order[i]->claim = sent;
        sent += send_claim(ro->s, order[i]);
    }
    pv_pg_set_wait(ro->s->pg, others ? PV_S(READ_S) : WAIT);
    r = pv_pg_finish(ro->s->pg, take_changes, ro, ret_error);
    pv_pg_set_wait(ro->s->pg, WAIT);
    note_read(ro, r);
    return r;
}

/* It stays raised for all networks: an epoch is the coordinator's, not the network's. */
static void take_epoch(void *ctx, size_t i, PGresult *res)
{
    if (PQntuples(res) == 1)
        *(uint64_t *)ctx = (uint64_t)pv_pg_get_int(res, 0, 0);
}

/* Receipts of a network that comes from another coordinator go on above all that it gave. */
static int raise_epoch(struct round *ro, char ret_error[static PV_STOREOP_ERROR_MAX])
{
    uint64_t above = 0;
    for (size_t i = 0; i < ro->n; i++)
        above = ro->all[i].above > above ? ro->all[i].above : above;
    if (above < ro->s->epoch)
        return PV_OK;
    const struct pv_pg_value v[] = {pv_pg_int((int64_t)above)};
    int r = pv_pg_begin(ro->s->pg, ret_error);
    if (r < 0)
        return r;
    pv_pg_send(ro->s->pg, "new epoch", v, PV_ARRAY_LEN(v));
    return pv_pg_finish(ro->s->pg, take_epoch, &ro->s->epoch, ret_error);
}

/* --- homes: answers -------------------------------------------------------------------------- */

/* Only now, when all is committed, is the fence of a home known to the writes that follow, and that
 * of one that was given away forgotten: a gift that failed is this coordinator's still. */
static void answer(struct pv_pgstore *s, struct asked *a)
{
    struct pv_home_answer *h = a->result->home;
    const char *to = a->verdict == PV_HOME_GIVE ? a->least_at : a->at;
    h->verdict = a->verdict == PV_HOME_GIVE ? PV_HOME_THERE : a->verdict;
    if (changes_home(a) && a->got == 0)
        h->verdict = PV_HOME_WAIT; /* somebody was quicker: who is it? */
    if (h->verdict == PV_HOME_THERE && (a->verdict == PV_HOME_THERE || a->to != 0))
        pv_home_set_addrs(h, pv_view(to, strlen(to)));
    if ((a->op->kind == PV_STOREOP_LEAVE && h->verdict == PV_HOME_THERE) ||
        (a->verdict == PV_HOME_GIVE && a->got != 0))
        forget_home(s, a->op->copy.network);
    if (h->verdict != PV_HOME_TAKE)
        return;
    h->fence = a->got;
    h->epoch = s->epoch;
    h->why = reason(a);
    h->was_elsewhere = a->f.holder != 0 && a->f.holder != a->f.me;
    if (note_home(s, a->op->copy.network, a->got) < 0)
        h->verdict = PV_HOME_WAIT;
}

/* Two round trips and one commit for all, as after the death of a coordinator thousands ask. */
static int run_round(struct round *ro, char ret_error[static PV_STOREOP_ERROR_MAX])
{
    int64_t more = 0;
    int r = ask_facts(ro, ret_error);
    for (size_t i = 0; r == PV_OK && i < ro->n; i++) {
        judge(ro->s, &ro->all[i], more);
        more += ro->all[i].verdict == PV_HOME_TAKE ? 1 : 0;
    }
    if (r == PV_OK)
        r = change(ro, ret_error);
    if (r == PV_OK && ro->status < 0)
        snprintf(ret_error, PV_STOREOP_ERROR_MAX, "read a network: %s", pv_strstatus(ro->status));
    if (r == PV_OK)
        r = ro->status;
    return r == PV_OK ? raise_epoch(ro, ret_error) : r;
}

/* Runs up to OPS_MAX operations HOME and LEAVE on a connection that is there. Errors of
 * pv_pg_finish(), with ret_error; then nothing may be concluded, and they may be asked again. */
static int run_home_operations(struct pv_pgstore *s, struct pv_storeop *const *ops,
                               struct pv_storeop_result *results, size_t n,
                               char ret_error[static PV_STOREOP_ERROR_MAX])
{
    struct round ro = {.s = s, .all = calloc(n, sizeof(*ro.all)), .n = n, .status = PV_OK};
    int r = ro.all == NULL ? PV_ERR_NOMEM : PV_OK;
    snprintf(ret_error, PV_STOREOP_ERROR_MAX, "ask for a home: %s", pv_strstatus(PV_ERR_NOMEM));
    for (size_t i = 0; i < n && r == PV_OK; i++) {
        ro.all[i] = (struct asked){.op = ops[i], .result = &results[i]};
        results[i].home = calloc(1, sizeof(*results[i].home));
        r = results[i].home == NULL ? PV_ERR_NOMEM : PV_OK;
    }
    if (r == PV_OK)
        r = run_round(&ro, ret_error);
    for (size_t i = 0; i < n && r == PV_OK; i++)
        answer(s, &ro.all[i]);
    free(ro.all);
    return r;
}

/* --- sending --------------------------------------------------------------------------------- */

/* Before every write: it fails when another coordinator has taken the lease, or the home of this
 * network, and the transaction with it. A network that is being created gets its home. One that may
 * have been dropped by the attempt before has none to check. */
static void send_fence(struct pv_pgstore *s, const uint8_t *network, bool fresh, bool dropped)
{
    const struct pv_pg_value lease[] = {pv_pg_int(s->fence)};
    if (s->member == 0) {
        pv_pg_send(s->pg, "fence", lease, PV_ARRAY_LEN(lease));
        return;
    }
    int64_t fence = home_fence(s, network);
    const struct pv_pg_value v[] = {pv_pg_bytes(network, PV_NETWORK_ID_LEN), pv_pg_int(s->member),
                                    pv_pg_int(fence)};
    if (fresh && fence == 0)
        pv_pg_send(s->pg, "claim new", v, 2);
    else
        pv_pg_send(s->pg, dropped ? "check dropped" : "check home", v, PV_ARRAY_LEN(v));
}

/* Copies have no rows, and all rows of an operation are of one network. */
static const uint8_t *network_of(const struct pv_storeop *op)
{
    return op->n_rows > 0 ? op->rows[0].network : op->copy.network;
}

/* $1 to $11 of "put" and "redeem". The decoded statement must live as long as the batch is sent:
 * pv_pg_send() copies. A statement that does not decode was never given a place by the core. */
static void row_values(const struct pv_pgstore *s, const struct pv_storerow *row,
                       struct pv_statement *decoded, struct pv_pg_value v[static 11])
{
    bool member = s->decode(row->statement, decoded) == PV_OK && decoded->type == PV_ST_MEMBER;
    v[0] = pv_pg_int((int64_t)row->epoch);
    v[1] = pv_pg_int((int64_t)row->n);
    v[2] = pv_pg_bytes(row->network, sizeof(row->network));
    v[3] = pv_pg_bytes(row->hash, sizeof(row->hash));
    v[4] = pv_pg_bytes(row->statement.ptr, row->statement.len);
    v[5] = pv_pg_bytes(row->receipt.ptr, row->receipt.len);
    v[6] = pv_pg_bytes(row->foreign.ptr, row->foreign.len);
    v[7] = pv_pg_bytes(decoded->signer, member ? sizeof(decoded->signer) : 0);
    v[8] = pv_pg_bytes(decoded->u.member.node, member ? sizeof(decoded->u.member.node) : 0);
    v[9] = member ? pv_pg_int(pv_column_sortable(decoded->u.member.serial)) : pv_pg_text(NULL);
    v[10] = pv_pg_bytes(row->mark, row->has_mark ? sizeof(row->mark) : 0);
}

/* One statement a row: those of a put are answered together, so nobody looks at their results. */
static void send_rows(struct pv_pgstore *s, const struct pv_storeop *op)
{
    for (size_t i = 0; i < op->n_rows; i++) {
        const struct pv_storerow *row = &op->rows[i];
        struct pv_statement decoded;
        struct pv_pg_value v[11] = {pv_pg_bytes(row->network, sizeof(row->network)),
                                    pv_pg_bytes(row->hash, sizeof(row->hash))};
        if (row->statement.len == 0) {
            pv_pg_send(s->pg, "delete", v, 2);
            continue;
        }
        row_values(s, row, &decoded, v);
        pv_pg_send(s->pg, "put", v, PV_ARRAY_LEN(v));
    }
}

/* The function in the database looks at the uses and takes one, in one call: of two registrations
 * that come at once only one gets the last use. */
static void send_redeem(struct pv_pgstore *s, const struct pv_storeop *op)
{
    struct pv_statement decoded;
    struct pv_pg_value v[13];
    row_values(s, &op->rows[0], &decoded, v);
    v[11] = pv_pg_int(op->uses);
    v[12] = pv_pg_int(pv_column_sortable(op->min_serial));
    pv_pg_send(s->pg, "redeem", v, PV_ARRAY_LEN(v));
}

static void send_entries(struct pv_pgstore *s, const struct pv_storeop *op)
{
    for (size_t i = 0; i < op->n_rows; i++) {
        const struct pv_storerow *row = &op->rows[i];
        const uint8_t *prev = pv_entry_prev(row);
        const struct pv_pg_value v[] = {
            pv_pg_bytes(row->network, sizeof(row->network)),
            pv_pg_int((int64_t)row->n),
            pv_pg_bytes(row->hash, sizeof(row->hash)),
            pv_pg_bytes(prev, prev == NULL ? 0 : PV_STATEMENT_HASH_LEN),
            pv_pg_bytes(row->statement.ptr, row->statement.len),
            pv_pg_int(op->cut && i == 0),
        };
        pv_pg_send(s->pg, "append", v, PV_ARRAY_LEN(v));
    }
}

/* Copies of before this time are over. A coordinator that shares the database goes by its clock:
 * see "age" above. A transfer brings copies with the times that they have, and must lose none. */
static int64_t oldest(const struct pv_pgstore *s, const struct pv_storeop_copy *m)
{
    return s->member != 0 || s->held || m->wall_s < PV_STOREOP_COPY_S
               ? 0
               : (int64_t)(m->wall_s - PV_STOREOP_COPY_S);
}

/* The quotas are written once, in storeop.h, and travel with each call. */
static void send_keep(struct pv_pgstore *s, const struct pv_storeop *op, bool alone)
{
    const struct pv_storeop_copy *m = &op->copy;
    const struct pv_pg_value v[] = {
        pv_pg_bytes(m->network, sizeof(m->network)),
        pv_pg_bytes(m->to, sizeof(m->to)),
        pv_pg_bytes(m->from, sizeof(m->from)),
        pv_pg_bytes(m->key, sizeof(m->key)),
        pv_pg_int(s->member != 0 ? 0 : (int64_t)m->wall_s),
        pv_pg_bytes(op->box.ptr, op->box.len),
        pv_pg_int((int64_t)m->room),
        pv_pg_int(oldest(s, m)),
        pv_pg_int(PV_STOREOP_COPY_TO),
        pv_pg_int(PV_STOREOP_COPY_TO_BYTES),
        pv_pg_int(PV_STOREOP_COPY_FROM),
        pv_pg_int(PV_STOREOP_COPY_FROM_BYTES),
        pv_pg_int(PV_STOREOP_COPY_BYTES),
        pv_pg_int(PV_STOREOP_COPY_PAIR),
        pv_pg_int(PV_STOREOP_COPY_PAIR_BYTES),
        pv_pg_int(PV_STOREOP_COPY_NET_BYTES),
        pv_pg_int(alone || s->member == 0),
    };
    pv_pg_send(s->pg, "keep", v, PV_ARRAY_LEN(v));
}

static void send_collect(struct pv_pgstore *s, const struct pv_storeop_copy *m)
{
    const struct pv_pg_value v[] = {pv_pg_bytes(m->network, sizeof(m->network)),
                                    pv_pg_bytes(m->to, sizeof(m->to)), pv_pg_int((int64_t)m->n),
                                    pv_pg_int((int64_t)m->after), pv_pg_int(oldest(s, m))};
    pv_pg_send(s->pg, "collect", v, PV_ARRAY_LEN(v));
}

static void send_drop(struct pv_pgstore *s, const struct pv_storeop_copy *m)
{
    const struct pv_pg_value v[] = {pv_pg_bytes(m->network, sizeof(m->network))};
    pv_pg_send(s->pg, "drop", v, PV_ARRAY_LEN(v));
}

/* Sends an operation; returns how many statements that were, with its fence. again: it was sent
 * before, with an unknown outcome. alone: it makes room. */
static size_t send_operation(struct pv_pgstore *s, const struct pv_storeop *op, bool again,
                             bool alone)
{
    send_fence(s, network_of(op), op->fresh, again && op->kind == PV_STOREOP_DROP);
    switch (op->kind) {
    case PV_STOREOP_REGISTER:
        send_redeem(s, op);
        return 2;
    case PV_STOREOP_KEEP:
        send_keep(s, op, alone);
        return 2;
    case PV_STOREOP_COLLECT:
        send_collect(s, &op->copy);
        return 2;
    case PV_STOREOP_APPEND:
        send_entries(s, op);
        return 1 + op->n_rows;
    case PV_STOREOP_DROP:
        send_drop(s, &op->copy);
        return 2;
    case PV_STOREOP_HOME: /* run_home_operations() has these two */
    case PV_STOREOP_LEAVE:
    case PV_STOREOP_PUT:
        break;
    }
    send_rows(s, op);
    return 1 + op->n_rows;
}

/* --- answers --------------------------------------------------------------------------------- */

/* A batch under way: which statement belongs to which operation. */
struct batch {
    struct pv_storeop *const *ops;
    struct pv_storeop_result *results;
    size_t n;
    size_t first[OPS_MAX + 1]; /* number of each operation's first statement */
    int64_t fences[OPS_MAX];   /* of homes that were made */
    size_t at;                 /* the operation whose results come */
    bool again;                /* these were sent before, with an unknown outcome */
    bool alone;                /* it is one that makes room, which is asked for first */
};

/* A node whose statement stands there is told so; when it is this very statement, it was stored by
 * the attempt whose outcome nobody heard. */
static void take_redeemed(const struct batch *b, const struct pv_storeop *op, const PGresult *res,
                          struct pv_storeop_result *result)
{
    int64_t code = pv_pg_get_int(res, 0, 0);
    struct pv_view existing = pv_pg_get_bytes(res, 0, 1);
    result->status = code == 0 ? PV_OK : code == 1 ? PV_ERR_EXISTS : PV_ERR_EXPIRED;
    if (code != 1 || existing.len != sizeof(result->existing))
        return;
    memcpy(result->existing, existing.ptr, existing.len);
    if (b->again && memcmp(result->existing, op->rows[0].hash, sizeof(result->existing)) == 0)
        result->status = PV_OK;
}

/* The copy gets memory of its own, as the result is cleared behind it. */
static void take_collected(const PGresult *res, struct pv_storeop_result *result)
{
    if (PQntuples(res) == 0)
        return;
    struct pv_view from = pv_pg_get_bytes(res, 0, 1), box = pv_pg_get_bytes(res, 0, 2);
    struct pv_storeop_collected *c = malloc(sizeof(*c) + box.len);
    if (c == NULL || from.len != sizeof(c->from)) {
        free(c);
        result->status = c == NULL ? PV_ERR_NOMEM : PV_ERR_MALFORMED;
        snprintf(result->error, sizeof(result->error), "read a copy: %s",
                 pv_strstatus(result->status));
        return;
    }
    c->n = (uint64_t)pv_pg_get_int(res, 0, 0);
    memcpy(c->from, from.ptr, from.len);
    c->len = box.len;
    if (box.len > 0)
        memcpy(c->box, box.ptr, box.len);
    result->collected = c;
}

/* Result i of a batch, in order; the first of each operation is that of its fence. */
static void take_result(void *ctx, size_t i, PGresult *res)
{
    struct batch *b = ctx;
    if (i < b->first[0])
        return;
    while (b->at + 1 < b->n && i >= b->first[b->at + 1])
        b->at++;
    const struct pv_storeop *op = b->ops[b->at];
    struct pv_storeop_result *result = &b->results[b->at];
    if (i == b->first[b->at])
        b->fences[b->at] = op->fresh && PQntuples(res) == 1 ? pv_pg_get_int(res, 0, 0) : 0;
    else if (op->kind == PV_STOREOP_REGISTER && PQntuples(res) == 1)
        take_redeemed(b, op, res, result);
    else if (op->kind == PV_STOREOP_KEEP && PQntuples(res) == 1)
        result->status = pv_pg_get_int(res, 0, 0) == 0 ? PV_OK : PV_ERR_REFUSED;
    else if (op->kind == PV_STOREOP_APPEND && pv_pg_get_int(res, 0, 0) != 0)
        result->status = PV_ERR_REFUSED;
    else if (op->kind == PV_STOREOP_COLLECT)
        take_collected(res, result);
}

/* A batch that is sent again is answered again. */
static void clear_results(const struct batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        free(b->results[i].collected);
        pv_home_answer_free(b->results[i].home);
        b->results[i] = (struct pv_storeop_result){.id = b->ops[i]->id};
    }
}

static void fail_results(const struct batch *b, int status, const char *error)
{
    clear_results(b);
    for (size_t i = 0; i < b->n; i++) {
        b->results[i].status = status;
        snprintf(b->results[i].error, sizeof(b->results[i].error), "%s", error);
    }
}

/* --- running --------------------------------------------------------------------------------- */

/* Connects when it is time to try again. A connection that ended, however young, was no failure to
 * connect: the first to store something after it is not refused. */
static int connect_now(struct pv_pgstore *s)
{
    if (pv_pg_is_connected(s->pg))
        return PV_OK;
    if (pv_clock_now() < s->retry_at)
        return PV_ERR_CLOSED;
    int r = pv_pg_connect(s->pg, s->away);
    if (r == PV_OK)
        r = pv_pg_prepare(s->pg, s->away);
    if (r < 0) {
        pv_pg_disconnect(s->pg);
        s->retry_at = pv_clock_now() + PV_MS(RETRY_MS);
    }
    return r;
}

/* *ret_sent: it was sent, so without an answer nobody knows whether it was done. */
static int send_batch(struct pv_pgstore *s, struct batch *b, bool *ret_sent,
                      char error[static PV_STOREOP_ERROR_MAX])
{
    clear_results(b);
    b->at = 0;
    b->first[0] = 0;
    int r = pv_pg_begin(s->pg, error);
    *ret_sent = r == PV_OK;
    if (r < 0)
        return r;
    if (b->alone) {
        pv_pg_send(s->pg, "make room", NULL, 0);
        b->first[0] = 1;
    }
    for (size_t i = 0; i < b->n; i++)
        b->first[i + 1] = b->first[i] + send_operation(s, b->ops[i], b->again, b->alone);
    return pv_pg_finish(s->pg, take_result, b, error);
}

/* The homes written to the database are known here from now on. Without memory for it the next
 * write asks the database in vain, and the network is asked for again. */
static void note_homes(struct pv_pgstore *s, const struct batch *b)
{
    for (size_t i = 0; s->member != 0 && i < b->n; i++) {
        b->results[i].fence = b->fences[i];
        if (b->fences[i] != 0)
            (void)!note_home(s, network_of(b->ops[i]), b->fences[i]);
        else if (b->ops[i]->kind == PV_STOREOP_DROP)
            forget_home(s, network_of(b->ops[i]));
    }
}

static void nap(void)
{
    const struct timespec t = {.tv_nsec = RETRY_MS * 1000000L};
    (void)nanosleep(&t, NULL);
}

/* Does a batch wholly or not at all. Once it was sent and the connection broke, nobody knows what
 * came of it: then it is sent again until the database says, or the program ends; a lock that
 * stands in its way may be its former self's, whose commit waits for a standby. A database that was
 * away before is a reason to refuse. */
static int do_batch(struct pv_pgstore *s, struct batch *b, char error[static PV_STOREOP_ERROR_MAX])
{
    for (;;) {
        bool sent = false;
        int r = connect_now(s);
        if (r == PV_OK)
            r = send_batch(s, b, &sent, error);
        else
            memcpy(error, s->away, PV_STOREOP_ERROR_MAX);
        bool waits = r == PV_ERR_CLOSED || (r == PV_ERR_TIMEOUT && b->again);
        b->again |= sent && r == PV_ERR_CLOSED;
        if ((sent && !waits) || !b->again || s->held || atomic_load(&s->stop))
            return r;
        nap();
    }
}

/* An operation that fails undoes the whole transaction; its neighbours must not suffer. When all of
 * it was sent before with an unknown outcome, each may have been done then. One that needs room of
 * another network makes it alone. */
static void run_batch(struct pv_pgstore *s, struct batch b)
{
    char error[PV_STOREOP_ERROR_MAX] = "";
    int r = do_batch(s, &b, error);
    if (r == PV_OK) {
        note_homes(s, &b);
        return;
    }
    if (r == PV_ERR_NO_SPACE && b.n == 1 && !b.alone) {
        b.alone = true;
        run_batch(s, b);
        return;
    }
    fail_results(&b, r == PV_ERR_REFUSED ? -ESTALE : r, error);
    /* One of them failed, and undid its neighbours: each for itself, then. */
    if (b.n > 1 && !s->held && (r != PV_ERR_REFUSED || s->member != 0) && r != PV_ERR_CLOSED)
        for (size_t i = 0; i < b.n; i++)
            run_batch(s, (struct batch){
                             .ops = &b.ops[i], .results = &b.results[i], .n = 1, .again = b.again});
}

/* Once an hour, for the copies of all networks, by itself: nobody's operation waits with them. One
 * that fails is done an hour later. */
static void delete_old(struct pv_pgstore *s)
{
    char error[PV_STOREOP_ERROR_MAX];
    const pv_ns now = pv_clock_now();
    const struct pv_pg_value v[] = {pv_pg_int(s->member), pv_pg_int(STEADY_S),
                                    pv_pg_int(PV_STOREOP_COPY_S)};
    if (s->member == 0 || now < s->age_at || connect_now(s) < 0 || pv_pg_begin(s->pg, error) < 0)
        return;
    s->age_at = now + PV_S(AGE_S);
    pv_pg_send(s->pg, "age", v, PV_ARRAY_LEN(v));
    (void)!pv_pg_finish(s->pg, NULL, NULL, error);
}

/* These need the facts before they can write, so they are no part of other batches. */
static bool is_home(const struct pv_storeop *op)
{
    return op->kind == PV_STOREOP_HOME || op->kind == PV_STOREOP_LEAVE;
}

/* A network that waits for a home asks again. */
static void run_homes(struct pv_pgstore *s, struct pv_storeop *const *ops,
                      struct pv_storeop_result *results, size_t n)
{
    char error[PV_STOREOP_ERROR_MAX] = "";
    const struct batch b = {.ops = ops, .results = results, .n = n};
    clear_results(&b);
    int r = connect_now(s);
    if (r == PV_OK)
        r = run_home_operations(s, ops, results, n, error);
    else
        memcpy(error, s->away, sizeof(error));
    if (r < 0)
        fail_results(&b, r, error);
}

static void run_operations(struct pv_coordstore *store, struct pv_storeop *const *ops,
                           struct pv_storeop_result *results, size_t n)
{
    struct pv_pgstore *s = (struct pv_pgstore *)store;
    memset(results, 0, n * sizeof(*results));
    delete_old(s);
    for (size_t i = 0, len; i < n; i += len) {
        len = 1;
        while (len < OPS_MAX && i + len < n && is_home(ops[i + len]) == is_home(ops[i]))
            len++;
        if (is_home(ops[i]))
            run_homes(s, ops + i, results + i, len);
        else
            run_batch(s, (struct batch){.ops = ops + i, .results = results + i, .n = len});
    }
}

/* --- loading --------------------------------------------------------------------------------- */

struct rows {
    int (*take)(void *ctx, struct pv_storerow *row);
    void *ctx;
};

static int take_row(void *ctx, PGresult *res)
{
    const struct rows *rows = ctx;
    struct pv_storerow row = {.epoch = (uint64_t)pv_pg_get_int(res, 0, 0),
                              .n = (uint64_t)pv_pg_get_int(res, 0, 1)};
    struct pv_view v[PV_ROW_COLUMNS];
    for (int i = 0; i < PV_ROW_COLUMNS; i++)
        v[i] = pv_pg_get_bytes(res, 0, 2 + i);
    int r = pv_row_take(&row, v);
    return r == PV_OK ? rows->take(rows->ctx, &row) : r;
}

static int take_entry(void *ctx, PGresult *res)
{
    const struct rows *rows = ctx;
    struct pv_storerow row;
    int r = take_entry_row(res, 0, &row);
    return r == PV_OK ? rows->take(rows->ctx, &row) : r;
}

/* Runs a query over all networks, whose rows come one by one. */
static int read_each(struct pv_coordstore *store, const char *query,
                     int (*each)(void *ctx, PGresult *res), void *ctx,
                     char ret_error[static PV_STOREOP_ERROR_MAX])
{
    struct pv_pgstore *s = (struct pv_pgstore *)store;
    ret_error[0] = '\0';
    int r = pv_pg_each(s->pg, query, each, ctx, ret_error);
    if (r < 0 && ret_error[0] == '\0')
        snprintf(ret_error, PV_STOREOP_ERROR_MAX, "read the database: %s", pv_strstatus(r));
    return r;
}

/* An export needs all rows in the order of the log; they come one by one, so that memory holds one.
 */
static int load_rows(struct pv_coordstore *store, int (*take)(void *ctx, struct pv_storerow *row),
                     void *ctx, char ret_error[static PV_STOREOP_ERROR_MAX])
{
    struct rows rows = {take, ctx};
    return read_each(store, "load", take_row, &rows, ret_error);
}

static int each_entry(struct pv_coordstore *store, int (*take)(void *ctx, struct pv_storerow *row),
                      void *ctx, char ret_error[static PV_STOREOP_ERROR_MAX])
{
    struct rows rows = {take, ctx};
    return read_each(store, "entries", take_entry, &rows, ret_error);
}

/* --- copies, all of them --------------------------------------------------------------------- */

struct copies {
    int (*take)(void *ctx, const struct pv_storeop_copy *copy, struct pv_view box);
    void *ctx;
};

static int take_copy(void *ctx, PGresult *res)
{
    const struct copies *c = ctx;
    struct pv_storeop_copy m = {.wall_s = (uint64_t)pv_pg_get_int(res, 0, 4)};
    struct pv_view v[PV_COPY_COLUMNS];
    for (int i = 0; i < PV_COPY_COLUMNS; i++)
        v[i] = pv_pg_get_bytes(res, 0, i);
    int r = pv_copy_take(&m, v);
    return r == PV_OK ? c->take(c->ctx, &m, pv_pg_get_bytes(res, 0, 5)) : r;
}

static int each_copy(struct pv_coordstore *store,
                     int (*take)(void *ctx, const struct pv_storeop_copy *copy, struct pv_view box),
                     void *ctx, char ret_error[static PV_STOREOP_ERROR_MAX])
{
    struct copies c = {take, ctx};
    return read_each(store, "copies", take_copy, &c, ret_error);
}

/* --- all of it at once ------------------------------------------------------------------------ */

/* The fence is held from here to the end, so nobody joins, however long it takes. */
static int hold(struct pv_coordstore *store, char ret_error[static PV_STOREOP_ERROR_MAX])
{
    struct pv_pgstore *s = (struct pv_pgstore *)store;
    int r = pv_pg_hold(s->pg, ret_error);
    if (r < 0)
        return r;
    r = pv_pg_begin(s->pg, ret_error);
    if (r < 0)
        return r;
    s->held = true;
    send_fence(s, NULL, false, false);
    return pv_pg_finish(s->pg, NULL, NULL, ret_error);
}

static int keep(struct pv_coordstore *store, char ret_error[static PV_STOREOP_ERROR_MAX])
{
    struct pv_pgstore *s = (struct pv_pgstore *)store;
    s->held = false;
    return pv_pg_keep(s->pg, ret_error);
}

/* --- the store ------------------------------------------------------------------------------- */

/* Any thread may say this, so it is all that is touched. */
static void stop_waiting(struct pv_coordstore *store)
{
    atomic_store(&((struct pv_pgstore *)store)->stop, true);
}

static struct pv_coordstore *close_store(struct pv_coordstore *store)
{
    struct pv_pgstore *s = (struct pv_pgstore *)store;
    pv_pg_free(s->pg);
    free_homes(s);
    free(s);
    return NULL;
}

static const struct pv_coordstore_ops store_ops = {.load = load_rows,
                                                   .run = run_operations,
                                                   .copies = each_copy,
                                                   .entries = each_entry,
                                                   .hold = hold,
                                                   .keep = keep,
                                                   .stop = stop_waiting,
                                                   .close = close_store};

int pv_coordstore_open_pg(struct pv_coordstore **ret_store, const struct pv_store_pg_config *cfg,
                          char ret_error[static PV_STOREOP_ERROR_MAX])
{
    const struct pv_pg_config pg = {.conninfo = cfg->conninfo,
                                    .who = "p2pvpn-coordinator",
                                    .wait = WAIT,
                                    .statements = statements,
                                    .n_statements = PV_ARRAY_LEN(statements),
                                    .more = home_statements,
                                    .n_more = cfg->member == 0 ? 0 : PV_ARRAY_LEN(home_statements)};
    struct pv_rng rng = pv_entropy();
    struct pv_pgstore *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        snprintf(ret_error, PV_STOREOP_ERROR_MAX, "open the database: out of memory");
        return PV_ERR_NOMEM;
    }
    s->base.ops = &store_ops;
    s->fence = cfg->fence;
    s->member = cfg->member;
    s->epoch = cfg->epoch;
    s->decode = cfg->decode;
    s->map = pv_map_make(&rng, HOMES_MAX);
    snprintf(s->away, sizeof(s->away), "the database is away: it is asked again");
    int r = pv_pg_new(&s->pg, &pg, ret_error);
    if (r == PV_OK)
        r = connect_now(s);
    if (r < 0 && s->pg != NULL)
        memcpy(ret_error, s->away, PV_STOREOP_ERROR_MAX);
    if (r < 0)
        close_store(&s->base);
    else
        *ret_store = &s->base;
    return r;
}
