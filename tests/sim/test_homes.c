/* SPDX-License-Identifier: MIT */
/*
 * test_homes.c - several coordinators with one database, which delays, reorders and fails; they are
 * killed, paused and cut off from it, and their networks wander between them. Real cores and real
 * clients meet by pipes, in virtual time. No statement that was acknowledged may be lost, no token
 * used twice, receipts of a network keep their order in its log, and in the end everybody is at the
 * one home of each network.
 */
#include <errno.h>

#include "coordinator/core/homes.h"
#include "coordinator/core/member/cnet.h"
#include "crypto/ct.h"
#include "daemon/core/coord/coordclient.h"
#include "tests/sim/world/sim_net.h"
#include "tests/unit/coordinator/core/coord_world.h"

/* --- the world: coordinators, people, and the database between them -------------------------- */

/* The database says whose a network is as coordinator/store/pg/store_pg.c does, and runs what the
 * store's threads have in the order of each. */

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
            note_wrong(w, "a log was stored out of order");
    }
    assert_true(w->n_rows < ROWS);
    assert_ok(pv_storeop_new(PV_STOREOP_PUT, 1,
                             row->statement.len + row->receipt.len + row->foreign.len, &one));
    assert_ok(pv_storeop_add(one, row));
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
        assert_ok(pv_statement_decode(w->rows[i]->rows[0].statement, &st));
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
    assert_ok(pv_storeop_new(PV_STOREOP_PUT, w->n_rows, w->n_rows * 4096, &all));
    for (size_t i = 0; i < w->n_rows; i++) {
        const struct pv_storerow *r = &w->rows[i]->rows[0];
        if (memcmp(r->network, network, PV_NETWORK_ID_LEN) != 0)
            continue;
        assert_ok(pv_storeop_add(all, r));
        *ret_above = r->epoch > *ret_above ? r->epoch : *ret_above;
    }
    return all;
}

/* The change that follows from the facts, where nobody has made another since. */
static inline void change_home(struct world *w, struct coordinator *c, struct job *j)
{
    struct home *h = &w->homes[net_of(w, j->op->copy.network)];
    enum pv_home_verdict v = pv_home_judge(&j->f, j->op->pleads);
    struct pv_home_answer *a = test_alloc(sizeof(*a));
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
    const struct pv_cnet *net = pv_coord_network(c->core, op->rows[0].network);
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

enum {
    SEEDS = 3, /* PV_SIM_SEEDS sets another number */
};

/* --- coordinators ---------------------------------------------------------------------------- */

static void start_coordinator(struct world *w, struct coordinator *c)
{
    struct pv_coord_config cfg = w->cw->cfg;
    cfg.homes = true;
    assert_ok(pv_coord_new(&c->core, &cfg, &w->rng, &w->cw->log));
    c->id = ++w->next_id;
    c->row = c->session = true;
    c->until = w->now + PV_MS(LEASE_MS);
    c->steady = w->now;
    c->lost = c->lost_seen = c->homes = 0;
    c->paused = c->cut = 0;
    pv_coord_set_epoch(c->core, ++w->epoch);
}

static void close_pipe(struct world *w, struct pipe *p)
{
    struct person *who = p->p;
    p->p = NULL;
    if (who != NULL)
        pv_coordclient_closed(who->client, p->sid, PV_ERR_CLOSED, w->now);
}

static void kill_coordinator(struct world *w, unsigned i)
{
    struct coordinator *c = &w->coords[i];
    c->core = pv_coord_free(c->core);
    c->session = false;
    for (; c->n_jobs > 0; c->n_jobs--) {
        free_job(&c->jobs[c->first_job]);
        c->first_job = (c->first_job + 1) % JOBS;
    }
    for (size_t k = 0; k < PIPES; k++)
        if (w->pipes[k].p != NULL && w->pipes[k].c == i)
            close_pipe(w, &w->pipes[k]);
    c->back_at = w->now + PV_MS(500 + draw(w, 8000));
}

/* As leasekeep does, twice a second. */
static void renew(struct world *w, struct coordinator *c)
{
    struct pv_coord_home list[NETS];
    size_t n = 0;
    if (w->now < c->renew_at || w->now < c->cut)
        return;
    c->renew_at = w->now + PV_MS(500);
    c->steady = c->until < w->now ? w->now : c->steady;
    c->until = w->now + PV_MS(LEASE_MS);
    c->homes = (int64_t)pv_coord_n_homes(c->core);
    uint64_t few = UINT64_MAX;
    for (unsigned i = 0; i < COORDS; i++) {
        const struct coordinator *o = &w->coords[i];
        if (o != c && o->row && o->until >= w->now && (uint64_t)o->homes < few)
            few = (uint64_t)o->homes;
    }
    pv_coord_balance(c->core, few, w->now);
    if (c->lost == c->lost_seen && !pv_coord_homes_came(c->core))
        return;
    c->lost_seen = c->lost;
    for (unsigned i = 0; i < NETS; i++) {
        if (w->homes[i].holder != c->id)
            continue;
        memcpy(list[n].network, w->nets[i], sizeof(list[n].network));
        list[n++].fence = w->homes[i].fence;
    }
    if (!pv_coord_homes_are(c->core, list, n, w->now, w->now))
        c->lost_seen = -1;
}

static void run_coordinator(struct world *w, unsigned i)
{
    struct coordinator *c = &w->coords[i];
    struct pv_coord_ready ready;
    struct pv_storeop *op = NULL;
    if (c->core == NULL && w->now >= c->back_at)
        start_coordinator(w, c);
    if (c->core == NULL || w->now < c->paused)
        return;
    pv_coord_set_wall(c->core, (CW_WALL + c->clock_off) * UINT64_C(1000000) + w->now / 1000,
                      w->now);
    renew(w, c);
    run_jobs(w, c);
    if (pv_coord_next_timeout(c->core) <= w->now)
        pv_coord_handle_timeout(c->core, w->now);
    pv_coord_idle(c->core, w->now);
    while (pv_coord_poll_ready(c->core, &ready, w->now) == PV_OK) {
        for (size_t k = 0; k < PIPES && ready.kind == PV_COORD_READY_CLOSE; k++)
            if (w->pipes[k].p != NULL && w->pipes[k].c == i && w->pipes[k].conn == ready.id)
                close_pipe(w, &w->pipes[k]);
    }
    while (pv_coord_poll_job(c->core, &op) == PV_OK)
        submit(w, c, op);
    struct pv_relaycore *relay = pv_coord_relay(c->core);
    while (pv_relaycore_step(relay, w->now))
        continue;
    while (!pv_coord_handle_relay(c->core, w->now))
        continue;
}

/* --- pipes ----------------------------------------------------------------------------------- */

static void take_ops(struct world *w, struct person *p)
{
    struct pv_stream_op op;
    while (pv_streams_next_op(&p->streams, &op) == PV_OK) {
        op.sid = pv_sid_local(op.sid); /* the client's own id */
        size_t k = 0;
        if (op.type == PV_STREAM_OPEN) {
            while (k < PIPES && w->pipes[k].p != NULL)
                k++;
            assert_true(k < PIPES);
            w->pipes[k] = (struct pipe){
                .p = p, .sid = op.sid, .c = op.addr.ip[3] - 1u, .at = w->now + PV_MS(draw(w, 30))};
            continue;
        }
        while (k < PIPES && (w->pipes[k].p != p || w->pipes[k].sid != op.sid))
            k++;
        if (k == PIPES)
            continue;
        struct coordinator *c = &w->coords[w->pipes[k].c];
        if (w->pipes[k].conn != 0 && c->core != NULL)
            pv_coord_closed(c->core, w->pipes[k].conn, w->now);
        w->pipes[k].p = NULL;
    }
}

/* A coordinator that is paused is connected to by its kernel, and says nothing. */
static void connect_pipe(struct world *w, struct pipe *p)
{
    struct coordinator *c = &w->coords[p->c];
    struct pv_addr from = pv_addr4(198, 51, 100, (uint8_t)(1 + (p->p - w->people)), 40000);
    if (c->core == NULL) {
        struct person *who = p->p;
        p->p = NULL;
        pv_coordclient_closed(who->client, p->sid, -ECONNREFUSED, w->now);
        return;
    }
    p->conn = ++w->next_conn;
    assert_ok(pv_coord_accept(c->core, p->conn, &from, w->now));
    pv_coordclient_connected(p->p->client, p->sid, w->now);
}

static bool pump(struct world *w, struct pipe *p)
{
    uint8_t bytes[4096];
    struct coordinator *c = &w->coords[p->c];
    bool moved = false;
    if (p->p == NULL || p->conn == 0 || c->core == NULL || w->now < c->paused)
        return false;
    struct pv_view out = pv_coordclient_out(p->p->client, p->sid);
    if (out.len > 0 && pv_coord_wants_bytes(c->core, p->conn)) {
        size_t n = out.len < sizeof(bytes) ? out.len : sizeof(bytes);
        memcpy(bytes, out.ptr, n);
        pv_coordclient_wrote(p->p->client, p->sid, n, w->now);
        pv_coord_handle_bytes(c->core, p->conn, pv_view(bytes, n), w->now);
        moved = true;
    }
    out = pv_coord_out(c->core, p->conn);
    if (out.len > 0) {
        size_t n = out.len < sizeof(bytes) ? out.len : sizeof(bytes);
        memcpy(bytes, out.ptr, n);
        pv_coord_wrote(c->core, p->conn, n, w->now);
        pv_coordclient_handle_bytes(p->p->client, p->sid, pv_view(bytes, n), w->now);
        moved = true;
    }
    return moved;
}

/* --- people ---------------------------------------------------------------------------------- */

static void connect_person(struct world *w, struct person *p)
{
    struct pv_coordclient_addr addrs[COORDS];
    struct pv_coordclient_target t = {.role = p->role == RIVAL && !p->is_in ? PV_CTL_APPLICANT
                                                                            : PV_CTL_MEMBER,
                                      .has_network = true};
    memcpy(t.coordinator, w->cw->coordinator.pk, sizeof(t.coordinator));
    memcpy(t.network, w->nets[p->net], sizeof(t.network));
    for (unsigned i = 0; i < COORDS; i++)
        addrs[i] =
            (struct pv_coordclient_addr){.addr = pv_addr4(192, 0, 2, (uint8_t)(i + 1), 3478)};
    p->online = false;
    assert_ok(pv_coordclient_start(p->client, &t, addrs, COORDS, w->now));
}

/* An admin makes one invite after the other, each a statement of its own. */
static void put_next(struct world *w, struct person *p)
{
    struct cw_keys k = cw_keys_make(w->cw);
    struct pv_st_invite invite = {.not_before = CW_WALL, .not_after = CW_WALL + 86400, .uses = 1};
    memcpy(invite.invite, k.pk, sizeof(invite.invite));
    assert_ok(pv_make_invite(w->nets[p->net], pv_signer_sk(p->node.id.sk), &invite, &p->made));
    pv_statement_hash(pv_made_view(&p->made), p->hash);
    p->putting = true;
}

static void send_put(struct person *p)
{
    struct pv_ctl_item item = cw_item(pv_made_view(&p->made));
    struct pv_ctl_msg m = {.type = PV_CTL_PUT, .u.put = {.n = 1, .items = &item}};
    (void)!pv_coordclient_request(p->client, &m, 1);
}

static void send_join(struct person *p)
{
    uint8_t hash[PV_CTL_HASH_LEN];
    struct pv_ctl_msg m = {.type = PV_CTL_JOIN};
    memcpy(m.u.join.invite, p->invite.pk, PV_SIGN_PK_LEN);
    memcpy(m.u.join.node, p->node.id.pk, PV_SIGN_PK_LEN);
    if (pv_coordclient_handshake_hash(p->client, hash) != PV_OK)
        return;
    assert_ok(pv_ctl_join_sign(&m.u.join, hash, p->invite.sk));
    (void)!pv_coordclient_request(p->client, &m, 2);
}

static void send_register(struct world *w, struct person *p, const struct pv_ctl_reservation *r)
{
    struct pv_st_member s = {.serial = r->serial, .issued = CW_WALL};
    memcpy(s.transport, p->node.transport_pk, sizeof(s.transport));
    memcpy(s.ip4, r->ip4, sizeof(s.ip4));
    memcpy(s.ip6, r->ip6, sizeof(s.ip6));
    snprintf(s.name, sizeof(s.name), "%s", r->name);
    assert_ok(pv_make_member(w->nets[p->net], p->invite.sk, p->node.id.sk, &s, &p->made));
    struct pv_ctl_msg m = cw_register_msg(&p->made);
    (void)!pv_coordclient_request(p->client, &m, 3);
}

static void ack(struct world *w, const uint8_t *hash)
{
    assert_true(w->n_acked < STATEMENTS);
    memcpy(w->acked[w->n_acked++].hash, hash, PV_STATEMENT_HASH_LEN);
    if (find_row(w, hash) == NULL)
        note_wrong(w, "an acknowledged statement is not stored");
}

/* Rivals become members with the answer. A request that failed for the time being is asked
 * again. */
static void take_answer(struct world *w, struct person *p, const struct pv_coordclient_event *ev)
{
    const struct pv_ctl_msg *m = ev->msg;
    enum pv_ctl_error e = m->type == PV_CTL_ERROR ? m->u.failure.error : PV_CTL_E_NONE;
    if (ev->tag == 1) {
        if (m->type == PV_CTL_RECEIPTS && m->u.receipts.results[0].error == PV_CTL_E_NONE) {
            ack(w, p->hash);
            p->putting = false;
        }
    } else if (m->type == PV_CTL_RESERVATION) {
        send_register(w, p, &m->u.reservation);
        return;
    } else if (m->type == PV_CTL_REGISTERED) {
        uint8_t hash[PV_STATEMENT_HASH_LEN];
        pv_statement_hash(m->u.registered.item.statement, hash);
        ack(w, hash);
        p->is_in = true;
        connect_person(w, p);
    } else if (e == PV_CTL_E_INVITE_USED) {
        p->refused = true;
        pv_coordclient_stop(p->client);
        p->online = false;
    }
    p->next_at = w->now + PV_MS(200 + draw(w, 800));
}

static void take_events(struct world *w, struct person *p)
{
    struct pv_coordclient_event ev;
    while (pv_fifo_take(&p->events, &ev) == PV_OK) {
        switch (ev.type) {
        case PV_COORDCLIENT_EV_ONLINE:
            p->online = true;
            p->next_at = w->now;
            break;
        case PV_COORDCLIENT_EV_OFFLINE:
            p->online = false;
            break;
        case PV_COORDCLIENT_EV_REFUSED:
            p->online = false;
            if (ev.msg->u.failure.error == PV_CTL_E_UNKNOWN_NETWORK ||
                ev.msg->u.failure.error == PV_CTL_E_UNKNOWN_NODE)
                note_wrong(w, "a coordinator lacks a network or a member");
            break;
        case PV_COORDCLIENT_EV_ANSWER:
            take_answer(w, p, &ev);
            break;
        case PV_COORDCLIENT_EV_AWAY:
        case PV_COORDCLIENT_EV_PUSH:
            break;
        }
        pv_ctl_msg_free(ev.msg);
    }
}

static bool is_admin(const struct world *w, const struct person *p)
{
    return memcmp(p->node.id.pk, w->alice[p->net].id.pk, sizeof(p->node.id.pk)) == 0;
}

static void run_person(struct world *w, struct person *p)
{
    pv_coordclient_handle_timeout(p->client, w->now);
    take_events(w, p);
    take_ops(w, p);
    if (!p->online || w->now < p->next_at)
        return;
    p->next_at = w->now + PV_MS(300 + draw(w, 1500));
    if (p->role == RIVAL && !p->is_in && !p->refused) {
        send_join(p);
    } else if (is_admin(w, p)) {
        if (!p->putting && w->now < w->start + PV_S(TROUBLE_S))
            put_next(w, p);
        if (p->putting)
            send_put(p);
    }
}

/* --- trouble --------------------------------------------------------------------------------- */

static void cause_trouble(struct world *w)
{
    unsigned i = draw(w, COORDS);
    struct coordinator *c = &w->coords[i];
    if (c->core == NULL || draw(w, 250) != 0)
        return;
    switch (draw(w, 6)) {
    case 0:
        kill_coordinator(w, i);
        break;
    case 1:
        c->paused = w->now + PV_MS(500 + draw(w, 9000));
        break;
    case 2:
        c->cut = w->now + PV_MS(500 + draw(w, 9000));
        break;
    case 3:
        pv_coord_drain(c->core, !pv_coord_is_draining(c->core));
        break;
    case 4:
        c->clock_off = draw(w, 1200);
        break;
    default: /* members that come back all of a sudden */
        for (size_t k = 0; k < PIPES; k++)
            if (w->pipes[k].p != NULL && w->pipes[k].c == i && draw(w, 3) == 0) {
                pv_coordclient_moved(w->pipes[k].p->client, w->now);
                w->pipes[k].p->online = false;
            }
        break;
    }
}

static void tick(struct world *w)
{
    bool moved = true;
    w->now += PV_MS(TICK_MS);
    for (unsigned i = 0; i < COORDS; i++)
        run_coordinator(w, i);
    for (unsigned i = 0; i < PEOPLE; i++)
        run_person(w, &w->people[i]);
    for (size_t k = 0; k < PIPES; k++)
        if (w->pipes[k].p != NULL && w->pipes[k].conn == 0 && w->pipes[k].at <= w->now)
            connect_pipe(w, &w->pipes[k]);
    for (int turns = 0; moved && turns < 50; turns++) {
        moved = false;
        for (size_t k = 0; k < PIPES; k++)
            moved |= pump(w, &w->pipes[k]);
        for (unsigned i = 0; moved && i < PEOPLE; i++) {
            take_events(w, &w->people[i]);
            take_ops(w, &w->people[i]);
        }
    }
}

/* --- the end --------------------------------------------------------------------------------- */

static void check_tokens(struct world *w)
{
    for (unsigned i = 0; i < PEOPLE; i++) {
        const struct person *p = &w->people[i];
        const struct pv_storerow *own;
        if (p->role != RIVAL)
            continue;
        size_t others = uses_of(w, p->invite.pk, p->node.id.pk, &own);
        if (others + (own != NULL ? 1 : 0) != 1)
            note_wrong(w, "a token was not used once");
        if (p->is_in != (own != NULL) || p->refused == p->is_in)
            note_wrong(w, "a rival was told what is not stored");
    }
}

static void check_everybody_at_home(struct world *w)
{
    for (unsigned i = 0; i < PEOPLE; i++) {
        struct person *p = &w->people[i];
        const struct pv_addr *at = pv_coordclient_addr(p->client);
        if (p->refused)
            continue;
        if (!p->online)
            note_wrong(w, "somebody is not online");
        else if (w->coords[at->ip[3] - 1u].id != w->homes[p->net].holder)
            note_wrong(w, "somebody is not at the home of the network");
        if (p->putting)
            note_wrong(w, "a statement was never stored");
    }
}

static void check_kept(struct world *w)
{
    for (size_t i = 0; i < w->n_acked; i++)
        if (find_row(w, w->acked[i].hash) == NULL)
            note_wrong(w, "an acknowledged statement is lost");
}

/* --- a seed ---------------------------------------------------------------------------------- */

/* Networks, members and tokens are made by one coordinator that has a store of its own. */
static void make_networks(struct world *w)
{
    struct cw *cw = w->cw;
    unsigned at = 0;
    cw_start(cw);
    for (unsigned n = 0; n < NETS; n++) {
        cw_create(cw);
        memcpy(w->nets[n], cw->created.network_id, PV_NETWORK_ID_LEN);
        w->alice[n] = cw->alice;
        struct cw_client *alice = cw_member(cw, &cw->alice);
        struct cw_keys invite = cw_invite(cw, alice, MEMBERS);
        w->people[at++] = (struct person){.role = MEMBER, .net = n, .node = cw->alice};
        for (unsigned i = 1; i < MEMBERS; i++) {
            struct person p = {.role = MEMBER, .net = n, .node = cw_node_make(cw)};
            cw_join(cw, &invite, &p.node, i == 1 ? "bob" : "carol");
            w->people[at++] = p;
        }
        for (unsigned t = 0; t < TOKENS; t++) {
            struct cw_keys token = cw_invite(cw, alice, 1);
            for (unsigned i = 0; i < RIVALS; i++)
                w->people[at++] = (struct person){
                    .role = RIVAL, .net = n, .node = cw_node_make(cw), .invite = token};
        }
        cw_hang_up(cw, alice);
    }
    for (size_t i = 0; i < cw->n_rows; i++)
        for (size_t k = 0; k < cw->rows[i]->n_rows; k++) {
            insert_row(w, &cw->rows[i]->rows[k]);
            w->epoch = cw->rows[i]->rows[k].epoch;
        }
}

static void free_world(struct world *w)
{
    for (unsigned i = 0; i < COORDS; i++)
        if (w->coords[i].core != NULL)
            kill_coordinator(w, i);
    for (unsigned i = 0; i < PEOPLE; i++) {
        pv_coordclient_free(w->people[i].client);
        pv_streams_done(&w->people[i].streams);
    }
    for (size_t i = 0; i < w->n_rows; i++)
        pv_storeop_free(w->rows[i]);
    test_end(w->cw);
    free(w);
}

static void run(uint64_t seed, void *ctx)
{
    struct world *w = calloc(1, sizeof(*w));
    unsigned *moves = ctx;
    assert_non_null(w);
    w->cw = cw_new(seed);
    w->rng = test_rng_make(&w->rng_state, seed);
    w->now = w->start = w->cw->now;
    make_networks(w);
    for (unsigned i = 0; i < PEOPLE; i++) {
        struct person *p = &w->people[i];
        const struct pv_coordclient_config cfg = {.rng = w->rng,
                                                  .log = &w->cw->log,
                                                  .sign_sk = p->node.id.sk,
                                                  .sign_pk = p->node.id.pk,
                                                  .dh_sk = p->node.transport_sk,
                                                  .streams = &p->streams,
                                                  .kind = PV_STREAM_COORD,
                                                  .events = &p->events};
        assert_ok(pv_coordclient_new(&p->client, &cfg));
        connect_person(w, p);
    }
    while (w->now < w->start + PV_S(TROUBLE_S)) {
        cause_trouble(w);
        tick(w);
    }
    for (unsigned i = 0; i < COORDS; i++) {
        w->coords[i].paused = w->coords[i].cut = 0;
        if (w->coords[i].core != NULL)
            pv_coord_drain(w->coords[i].core, false);
    }
    while (w->now < w->start + PV_S(TROUBLE_S + CALM_S))
        tick(w);
    check_tokens(w);
    check_everybody_at_home(w);
    check_kept(w);
    *moves += w->moves;
    const char *wrong = w->wrong;
    free_world(w);
    if (wrong != NULL) {
        printf("%s\n", wrong);
        sim_fail();
    }
}

PV_TEST(homes_wander_and_nothing_is_lost)
{
    unsigned moves = 0;
    sim_seeds(SEEDS, run, &moves);
    assert_true(moves > 0);
    printf("homes changed %u times\n", moves);
}
