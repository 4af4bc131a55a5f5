/* SPDX-License-Identifier: MIT */
/* Homes in PostgreSQL: first the facts of all that are asked for, then, in one transaction, the
 * changes that follow from them, each only where the fence is still that of its facts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "coordinator/store/pg_lease.h"
#include "coordinator/store/statements.sql.h"
#include "coordinator/store/store.h"
#include "coordinator/store/store_pg_int.h"
#include "sys/proc/clock.h"

enum {
    GIVEN_MS = 1500, /* ours: three renewals, in which a coordinator tells how many homes it has */
    READ_S = 3,      /* ours: without a byte of a network, when another coordinator may read it */
    UNREAD_S = 60,   /* ours: for which one that could not be read is left to others */
};

const struct pv_pg_statement pv_pghomes_statements[] = {
    {"check home", "SELECT p2pvpn.check_home($1, $2, $3)"},
    {"facts", "SELECT known, whose, f, held, state, age, patient, addr, few, few_homes, few_addr"
              " FROM p2pvpn.home_facts($1, $2, $3)"},
    {"lock holder", "UPDATE p2pvpn.coordinators SET lost = lost WHERE id = $1"},
    {"has joined", pv_has_joined_sql},
    {"claim", "SELECT got FROM p2pvpn.claim($1, $2, $3, $4, $5)"},
    {"rows", "SELECT epoch, n, network, hash, statement, receipt, foreign_receipt, mark"
             " FROM p2pvpn.statements WHERE network = $1 ORDER BY epoch, n"},
    {"new epoch", "SELECT p2pvpn.new_epoch($1)"},
};
_Static_assert(PV_ARRAY_LEN(pv_pghomes_statements) == PV_PGHOMES_STATEMENTS, "as others count");

/* --- fences ---------------------------------------------------------------------------------- */

struct pv_pghome {
    uint8_t network[PV_NETWORK_ID_LEN];
    int64_t fence;
    UT_hash_handle hh;
};

/* The fence of a home is known here only: the core sees what the store makes of it. */
static struct pv_pghome *find_home(const struct pv_pgstore *s, const uint8_t *network)
{
    struct pv_pghome *h = NULL;
    PV_MAP_FIND(&s->map, s->homes, network, PV_NETWORK_ID_LEN, h);
    return h;
}

int64_t pv_pghomes_fence(const struct pv_pgstore *s,
                         const uint8_t network[static PV_NETWORK_ID_LEN])
{
    const struct pv_pghome *h = find_home(s, network);
    return h == NULL ? 0 : h->fence;
}

int pv_pghomes_note(struct pv_pgstore *s, const uint8_t network[static PV_NETWORK_ID_LEN],
                    int64_t fence)
{
    struct pv_pghome *h = find_home(s, network);
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

void pv_pghomes_forget(struct pv_pgstore *s, const uint8_t network[static PV_NETWORK_ID_LEN])
{
    struct pv_pghome *h = find_home(s, network);
    if (h == NULL)
        return;
    PV_MAP_DEL(s->homes, h);
    free(h);
}

void pv_pghomes_done(struct pv_pgstore *s)
{
    struct pv_pghome *h;
    struct pv_pghome *next;
    HASH_ITER(hh, s->homes, h, next)
    {
        PV_MAP_DEL(s->homes, h);
        free(h);
    }
}

/* --- networks that cannot be read ------------------------------------------------------------ */

static struct pv_pgunread *find_unread(struct pv_pgstore *s, const uint8_t *network)
{
    for (size_t i = 0; i < PV_PGSTORE_UNREAD; i++)
        if (s->unread[i].until != 0 &&
            memcmp(s->unread[i].network, network, PV_NETWORK_ID_LEN) == 0)
            return &s->unread[i];
    return NULL;
}

static bool is_unread(struct pv_pgstore *s, const uint8_t *network, pv_ns now)
{
    const struct pv_pgunread *u = find_unread(s, network);
    return u != NULL && now < u->until;
}

/* --- facts ----------------------------------------------------------------------------------- */

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

/* --- conclusions ----------------------------------------------------------------------------- */

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
        bool mine =
            a->f.holder == a->f.me && a->f.fence == pv_pghomes_fence(s, a->op->copy.network);
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

/* --- changes --------------------------------------------------------------------------------- */

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
    return 2;
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
    int64_t holders[PV_PGSTORE_OPS_MAX];
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
        struct pv_pgunread *u = find_unread(ro->s, network);
        if (ro->all[i].verdict != PV_HOME_TAKE || (r != PV_OK && r != PV_ERR_CLOSED))
            continue;
        if (r == PV_ERR_CLOSED && u == NULL)
            u = &ro->s->unread[ro->s->next_unread++ % PV_PGSTORE_UNREAD];
        if (u == NULL)
            continue;
        memcpy(u->network, network, sizeof(u->network));
        u->until = r == PV_OK ? 0 : now + PV_S(UNREAD_S);
    }
}

/* The rows are read behind the claim: nobody else writes from then on. */
static int change(struct round *ro, char ret_error[static PV_STOREOP_ERROR_MAX])
{
    struct asked *order[PV_PGSTORE_OPS_MAX];
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
    pv_pg_set_wait(ro->s->pg, others ? PV_S(READ_S) : PV_PGSTORE_WAIT);
    r = pv_pg_finish(ro->s->pg, take_changes, ro, ret_error);
    pv_pg_set_wait(ro->s->pg, PV_PGSTORE_WAIT);
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

/* --- answers --------------------------------------------------------------------------------- */

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
        pv_pghomes_forget(s, a->op->copy.network);
    if (h->verdict != PV_HOME_TAKE)
        return;
    h->fence = a->got;
    h->epoch = s->epoch;
    h->why = reason(a);
    h->was_elsewhere = a->f.holder != 0 && a->f.holder != a->f.me;
    if (pv_pghomes_note(s, a->op->copy.network, a->got) < 0)
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

int pv_pghomes_run(struct pv_pgstore *s, struct pv_storeop *const *ops,
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
