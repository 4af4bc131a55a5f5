/* SPDX-License-Identifier: MIT */
/*
 * coord_world.h - a coordinator's core, clients joined to it by byte pipes, and a store in memory,
 * all in one process and in virtual time.
 */
#pragma once

#include "coordinator/core/coord.h"
#include "copies_mem.h"
#include "crypto/ct.h"
#include "crypto/dh.h"
#include "proto/control/control.h"
#include "proto/control/ctlmsg.h"
#include "proto/control/ctlpage.h"
#include "proto/roster/roster_make.h"
#include "tests/unit/test_util.h"

enum {
    CW_INBOX = 512,
    CW_CLIENTS = 96,
    CW_JOBS = 64,
    CW_ROWS = 4096,
    CW_TAKEN = 64,
    CW_SIGNED = 16,
};

#define CW_WALL 1795161600u /* 2026-11-20, Unix seconds */

struct cw_keys {
    uint8_t sk[PV_SIGN_SK_LEN];
    uint8_t pk[PV_SIGN_PK_LEN];
};

/* A node's two key pairs. */
struct cw_node {
    struct cw_keys id;
    uint8_t transport_sk[PV_DH_LEN];
    uint8_t transport_pk[PV_DH_LEN];
};

struct cw_client {
    struct pv_control *control;
    uint64_t conn;
    bool closed; /* the coordinator closed it */
    bool frozen; /* reads nothing */
    uint64_t next_id;
    struct pv_ctl_msg *inbox[CW_INBOX];
    size_t n_inbox;
};

struct cw {
    struct test_rng rng_state;
    struct pv_rng rng;
    struct pv_log log;
    struct cw_keys coordinator;
    uint8_t coordinator_dh[PV_DH_LEN];
    uint8_t secret[PV_CTL_SECRET_LEN];
    struct pv_coord_config cfg;
    struct pv_coord *coord;
    pv_ns now;
    uint64_t next_conn;
    struct cw_client *clients[CW_CLIENTS];
    struct pv_addr source; /* of the next connections; zero: one that members came from */
    size_t n_clients;

    /* The store. */
    struct pv_storeop *rows[CW_ROWS]; /* each op keeps the rows it brought */
    size_t n_rows;
    bool hold_jobs; /* leave them waiting in jobs */
    struct copymem copies;
    int fail_status; /* not 0: every operation fails with it */
    struct pv_storeop *jobs[CW_JOBS];
    size_t n_jobs;

    /* A network made by cw_create(). */
    struct cw_keys root;
    struct cw_node alice;
    struct pv_created created;
};

static inline struct cw_keys cw_keys_make(struct cw *w)
{
    struct cw_keys k;
    uint8_t seed[PV_SIGN_SEED_LEN];
    pv_rng_fill(&w->rng, seed, sizeof(seed));
    pv_sign_keypair(seed, k.sk, k.pk);
    return k;
}

static inline struct cw_node cw_node_make(struct cw *w)
{
    struct cw_node n = {.id = cw_keys_make(w)};
    pv_dh_keypair(&w->rng, n.transport_sk, n.transport_pk);
    return n;
}

static inline void cw_log(void *ctx, enum pv_log_level level, const char *line)
{
    if (getenv("PV_TEST_LOG") != NULL)
        fprintf(stderr, "[%s] %s\n", pv_log_level_name(level), line);
}

static inline void cw_start(struct cw *w)
{
    assert_ok(pv_coord_new(&w->coord, &w->cfg, &w->rng, &w->log));
    for (size_t i = 0; i < w->n_rows; i++) {
        bool entries = w->rows[i]->kind == PV_STOREOP_APPEND;
        for (size_t k = 0; k < w->rows[i]->n_rows; k++) {
            struct pv_storerow *row = &w->rows[i]->rows[k];
            assert_ok(entries ? pv_coord_load_entry(w->coord, row) : pv_coord_load(w->coord, row));
        }
    }
    pv_coord_set_wall(w->coord, CW_WALL * UINT64_C(1000000) + w->now / 1000, w->now);
}

static inline struct pv_coord_stats cw_stats(const struct cw *w)
{
    struct pv_coord_stats st;
    pv_coord_stats(w->coord, &st);
    return st;
}

static inline void cw_client_forget(struct cw_client *c)
{
    for (size_t i = 0; i < c->n_inbox; i++)
        pv_ctl_msg_free(c->inbox[i]);
    c->n_inbox = 0;
}

static inline void cw_drop_clients(struct cw *w)
{
    for (size_t i = 0; i < w->n_clients; i++) {
        cw_client_forget(w->clients[i]);
        pv_control_free(w->clients[i]->control);
        free(w->clients[i]);
    }
    w->n_clients = 0;
}

/* Messages that a test took out of inboxes: each is there until as many more have been taken. */
static struct {
    struct pv_ctl_msg *all[CW_TAKEN];
    size_t n;
} cw_taken;

static inline struct pv_ctl_msg *cw_keep(struct pv_ctl_msg *m)
{
    struct pv_ctl_msg **place = &cw_taken.all[cw_taken.n++ % CW_TAKEN];
    pv_ctl_msg_free(*place);
    return *place = m;
}

static inline void cw_free(void *ctx)
{
    struct cw *w = ctx;
    for (size_t i = 0; i < CW_TAKEN; i++)
        (void)cw_keep(NULL);
    cw_drop_clients(w);
    pv_coord_free(w->coord);
    copymem_done(&w->copies);
    for (size_t i = 0; i < w->n_rows; i++)
        pv_storeop_free(w->rows[i]);
    for (size_t i = 0; i < w->n_jobs; i++)
        pv_storeop_free(w->jobs[i]);
    free(w);
}

static inline struct cw *cw_new(uint64_t seed)
{
    static const char *const stun[] = {"coord.example:3478"};
    struct cw *w = test_alloc(sizeof(*w));
    test_defer(cw_free, w);
    w->rng = test_rng_make(&w->rng_state, seed);
    w->log = (struct pv_log){.level = PV_LOG_DEBUG, .sink = cw_log};
    w->now = PV_S(1000);
    w->next_conn = 1;
    w->coordinator = cw_keys_make(w);
    assert_ok(pv_sign_pk_to_dh(w->coordinator.pk, w->coordinator_dh));
    pv_rng_fill(&w->rng, w->secret, sizeof(w->secret));
    w->cfg = (struct pv_coord_config){
        .sk = w->coordinator.sk, .secret = w->secret, .policy = {.stun = stun, .n_stun = 1}};
    return w;
}

/* --- the store in memory --------------------------------------------------------------------- */

/* As the one SQL statement of PV_STOREOP_REGISTER. */
static inline void cw_redeem(struct cw *w, const struct pv_storeop *op,
                             struct pv_storeop_result *res)
{
    uint8_t seen[256][PV_SIGN_PK_LEN];
    size_t others = 0;
    for (size_t i = 0; i < w->n_rows; i++) {
        for (size_t k = 0; k < w->rows[i]->n_rows; k++) {
            struct pv_statement st;
            if (w->rows[i]->rows[k].statement.len == 0)
                continue; /* forgets one */
            assert_ok(pv_statement_decode(w->rows[i]->rows[k].statement, &st));
            if (st.type != PV_ST_MEMBER || memcmp(st.signer, op->invite, 32) != 0)
                continue;
            if (memcmp(st.u.member.node, op->node, 32) == 0) {
                if (st.u.member.serial >= op->min_serial) {
                    res->status = PV_ERR_EXISTS;
                    memcpy(res->existing, st.hash, sizeof(res->existing));
                    return;
                }
                continue;
            }
            size_t j = 0;
            while (j < others && memcmp(seen[j], st.u.member.node, 32) != 0)
                j++;
            if (j == others)
                memcpy(seen[others++], st.u.member.node, 32);
        }
    }
    if (others >= op->uses)
        res->status = PV_ERR_EXPIRED;
}

/* Serves one operation and gives the result back. */
static inline void cw_serve(struct cw *w, struct pv_storeop *op)
{
    struct pv_storeop_result res = {.id = op->id, .status = w->fail_status};
    if (op->kind == PV_STOREOP_KEEP || op->kind == PV_STOREOP_COLLECT) {
        if (res.status == PV_OK)
            (void)copymem_run(&w->copies, op, &res);
        pv_coord_handle_job(w->coord, &res, w->now);
        free(res.collected);
        pv_storeop_free(op);
        return;
    }
    if (res.status == PV_OK && op->kind == PV_STOREOP_REGISTER)
        cw_redeem(w, op, &res);
    if (w->fail_status != 0)
        snprintf(res.error, sizeof(res.error), "the test says so");
    bool keep = res.status == PV_OK;
    if (keep) {
        assert_true(w->n_rows < CW_ROWS);
        w->rows[w->n_rows++] = op;
    }
    pv_coord_handle_job(w->coord, &res, w->now);
    if (!keep)
        pv_storeop_free(op);
}

/* --- moving bytes -------------------------------------------------------------------------- */

static inline struct cw_client *cw_by_conn(struct cw *w, uint64_t conn)
{
    for (size_t i = 0; i < w->n_clients; i++) {
        if (w->clients[i]->conn == conn)
            return w->clients[i];
    }
    return NULL;
}

static inline bool cw_to_coord(struct cw *w, struct cw_client *c)
{
    struct pv_view out = pv_control_out(c->control);
    if (c->closed || out.len == 0 || !pv_coord_wants_bytes(w->coord, c->conn))
        return false;
    size_t n = out.len < 1500 ? out.len : 1500;
    uint8_t bytes[1500];
    memcpy(bytes, out.ptr, n);
    pv_control_wrote(c->control, n);
    pv_coord_handle_bytes(w->coord, c->conn, pv_view(bytes, n), w->now);
    return true;
}

static inline bool cw_from_coord(struct cw *w, struct cw_client *c)
{
    struct pv_view out = pv_coord_out(w->coord, c->conn);
    struct pv_view text;
    size_t used = 0;
    if (c->closed || c->frozen || out.len == 0)
        return false;
    assert_ok(pv_control_handle_bytes(c->control, out, &used));
    pv_coord_wrote(w->coord, c->conn, used, w->now);
    if (pv_control_poll_message(c->control, &text) == PV_OK) {
        assert_true(c->n_inbox < CW_INBOX);
        assert_ok(pv_ctl_parse(text, &c->inbox[c->n_inbox]));
        assert_int_not_equal(c->inbox[c->n_inbox]->type, PV_CTL_UNKNOWN);
        assert_int_not_equal(c->inbox[c->n_inbox]->type, PV_CTL_INVALID);
        const struct pv_ctl_msg *m = c->inbox[c->n_inbox++];
        if (m->type == PV_CTL_HYBRID) /* what follows has other keys */
            assert_ok(pv_control_accept(c->control, m->u.hybrid.mlkem768));
    }
    return true;
}

/* The relay half hears and answers; returns how many datagrams it wants sent (none is kept). */
static inline size_t cw_relay(struct cw *w)
{
    struct pv_relaycore *relay = pv_coord_relay(w->coord);
    size_t datagrams = 0;
    while (pv_relaycore_step(relay, w->now)) {
        size_t n = 0;
        const struct pv_turns_out *out = pv_turns_out(pv_relaycore_turns(relay), &n);
        for (size_t i = 0; i < n; i++) {
            if (out[i].stream != 0)
                pv_relaycore_to_stream(relay, &out[i]);
            else
                datagrams++;
        }
    }
    while (!pv_coord_handle_relay(w->coord, w->now))
        ;
    return datagrams;
}

/* Everything that can happen without time going on. */
static inline void cw_pump(struct cw *w)
{
    bool moved = true;
    while (moved) {
        struct pv_coord_ready ready;
        struct pv_storeop *op;
        moved = false;
        for (size_t i = 0; i < w->n_clients; i++)
            moved |= cw_to_coord(w, w->clients[i]);
        while (pv_coord_poll_ready(w->coord, &ready, w->now) == PV_OK) {
            struct cw_client *c = cw_by_conn(w, ready.id);
            moved = true;
            if (c != NULL && ready.kind == PV_COORD_READY_CLOSE)
                c->closed = true;
        }
        for (size_t i = 0; i < w->n_clients; i++)
            moved |= cw_from_coord(w, w->clients[i]);
        while (pv_coord_poll_job(w->coord, &op) == PV_OK) {
            moved = true;
            if (w->hold_jobs) {
                assert_true(w->n_jobs < CW_JOBS);
                w->jobs[w->n_jobs++] = op;
            } else {
                cw_serve(w, op);
            }
        }
    }
}

/* Serves the jobs that were held, in this order or backwards. */
static inline void cw_release(struct cw *w, bool backwards)
{
    w->hold_jobs = false;
    size_t n = w->n_jobs;
    w->n_jobs = 0;
    for (size_t i = 0; i < n; i++)
        cw_serve(w, w->jobs[backwards ? n - 1 - i : i]);
    cw_pump(w);
}

static inline void cw_sleep(struct cw *w, pv_ns ns)
{
    pv_ns end = w->now + ns;
    for (;;) {
        pv_ns next = pv_coord_next_timeout(w->coord);
        if (next > end)
            break;
        w->now = next > w->now ? next : w->now;
        pv_coord_handle_timeout(w->coord, w->now);
        cw_pump(w);
    }
    w->now = end;
    pv_coord_set_wall(w->coord, CW_WALL * UINT64_C(1000000) + w->now / 1000, w->now);
}

/* --- clients ------------------------------------------------------------------------------- */

static inline struct cw_client *cw_connect(struct cw *w, const struct cw_node *node)
{
    struct pv_addr src = w->source.family != 0 ? w->source : pv_addr4(198, 51, 100, 7, 40000);
    struct cw_client *c = test_alloc(sizeof(*c));
    assert_true(w->n_clients < CW_CLIENTS);
    c->conn = w->next_conn++;
    c->next_id = 1;
    assert_ok(pv_control_new_client(&c->control, node->transport_sk, w->coordinator_dh, &w->rng));
    assert_ok(pv_coord_accept(w->coord, c->conn, &src, w->now));
    w->clients[w->n_clients++] = c;
    cw_pump(w);
    return c;
}

/* Queues a request without waiting. */
static inline uint64_t cw_send(struct cw_client *c, struct pv_ctl_msg msg)
{
    static char text[PV_CTL_TEXT_MAX];
    size_t len = 0;
    msg.kind = PV_CTL_REQUEST;
    msg.id = c->next_id++;
    assert_ok(pv_ctl_build(&msg, text, sizeof(text), &len));
    assert_ok(pv_control_send(c->control, pv_view(text, len)));
    return msg.id;
}

/* Message i of the inbox, taken out. */
static inline struct pv_ctl_msg *cw_take_at(struct cw_client *c, size_t i)
{
    struct pv_ctl_msg *m = c->inbox[i];
    memmove(c->inbox + i, c->inbox + i + 1, (--c->n_inbox - i) * sizeof(c->inbox[0]));
    return cw_keep(m);
}

/* The answer to a request, taken out of the inbox; NULL: not there. */
static inline struct pv_ctl_msg *cw_take(struct cw_client *c, uint64_t id)
{
    for (size_t i = 0; i < c->n_inbox; i++)
        if (c->inbox[i]->id == id && c->inbox[i]->kind == PV_CTL_ANSWER)
            return cw_take_at(c, i);
    return NULL;
}

/* The same of one that is there and has this type. */
static inline struct pv_ctl_msg *cw_answer(struct cw_client *c, uint64_t id, enum pv_ctl_type type)
{
    struct pv_ctl_msg *m = cw_take(c, id);
    assert_non_null(m);
    assert_int_equal(m->type, type);
    return m;
}

/* The oldest push of a type; NULL: none. */
static inline struct pv_ctl_msg *cw_take_push(struct cw_client *c, enum pv_ctl_type type)
{
    for (size_t i = 0; i < c->n_inbox; i++)
        if (c->inbox[i]->type == type && c->inbox[i]->kind == PV_CTL_PUSH)
            return cw_take_at(c, i);
    return NULL;
}

/* The same of one that is there. */
static inline struct pv_ctl_msg *cw_told(struct cw_client *c, enum pv_ctl_type type)
{
    struct pv_ctl_msg *m = cw_take_push(c, type);
    assert_non_null(m);
    return m;
}

/* The coordinator has closed it, and said why. */
static inline void cw_told_bye(struct cw_client *c, enum pv_ctl_error error)
{
    assert_true(c->closed);
    assert_int_equal(cw_told(c, PV_CTL_BYE)->u.failure.error, error);
}

/* Sends a request and gives its answer, which has this type. */
static inline struct pv_ctl_msg *cw_ask(struct cw *w, struct cw_client *c, struct pv_ctl_msg msg,
                                        enum pv_ctl_type expect)
{
    uint64_t id = cw_send(c, msg);
    cw_pump(w);
    struct pv_ctl_msg *m = cw_take(c, id);
    if (m == NULL) {
        fail_msg("request %llu has no answer", (unsigned long long)id);
        abort(); /* gcc does not know that a test ends there */
    }
    if (m->type == PV_CTL_ERROR && expect != PV_CTL_ERROR)
        fail_msg("error %s: %s", pv_ctl_error_word(m->u.failure.error), m->u.failure.message);
    assert_int_equal(m->type, expect);
    return m;
}

static inline void cw_ask_ok(struct cw *w, struct cw_client *c, struct pv_ctl_msg msg,
                             enum pv_ctl_type expect)
{
    (void)cw_ask(w, c, msg, expect);
}

static inline void cw_ask_error(struct cw *w, struct cw_client *c, struct pv_ctl_msg msg,
                                enum pv_ctl_error error)
{
    struct pv_ctl_msg *m = cw_ask(w, c, msg, PV_CTL_ERROR);
    assert_string_equal(pv_ctl_error_word(m->u.failure.error), pv_ctl_error_word(error));
}

static inline struct pv_ctl_msg cw_hello(const struct cw_client *c, const struct cw_node *node,
                                         const uint8_t *network, enum pv_ctl_role role)
{
    uint8_t hash[PV_CTL_HASH_LEN];
    struct pv_ctl_msg m = {.type = PV_CTL_HELLO};
    m.u.hello = (struct pv_ctl_hello){.v = 1, .has_network = network != NULL, .role = role};
    if (network != NULL)
        memcpy(m.u.hello.network, network, PV_CTL_NETWORK_LEN);
    memcpy(m.u.hello.node, node->id.pk, PV_SIGN_PK_LEN);
    assert_ok(pv_control_handshake_hash(c->control, hash));
    assert_ok(pv_ctl_hello_sign(m.u.hello.sig, hash, node->id.sk));
    return m;
}

/* Connected and welcomed. */
static inline struct cw_client *cw_login(struct cw *w, const struct cw_node *node,
                                         const uint8_t *network, enum pv_ctl_role role)
{
    struct cw_client *c = cw_connect(w, node);
    cw_ask_ok(w, c, cw_hello(c, node, network, role), PV_CTL_WELCOME);
    return c;
}

static inline struct cw_client *cw_member(struct cw *w, const struct cw_node *node)
{
    return cw_login(w, node, w->created.network_id, PV_CTL_MEMBER);
}

/* Somebody who is no member, or not yet. */
static inline struct cw_client *cw_applicant(struct cw *w, const struct cw_node *node)
{
    return cw_login(w, node, w->created.network_id, PV_CTL_APPLICANT);
}

/* The hello of a member of the network. */
static inline struct pv_ctl_msg cw_hello_member(const struct cw *w, const struct cw_client *c,
                                                const struct cw_node *node)
{
    return cw_hello(c, node, w->created.network_id, PV_CTL_MEMBER);
}

/* The welcome of a member that connects. */
static inline struct pv_ctl_msg *cw_welcome(struct cw *w, const struct cw_node *node)
{
    struct cw_client *c = cw_connect(w, node);
    return cw_ask(w, c, cw_hello_member(w, c, node), PV_CTL_WELCOME);
}

/* A node that says it were a member is told why not, and that is the end of its connection. */
static inline void cw_refused(struct cw *w, const struct cw_node *node, enum pv_ctl_error error)
{
    struct cw_client *c = cw_connect(w, node);
    cw_ask_error(w, c, cw_hello_member(w, c, node), error);
    assert_true(c->closed);
}

static inline struct pv_ctl_msg cw_signal(const struct cw_node *to, struct pv_view box)
{
    struct pv_ctl_msg m = {.type = PV_CTL_SIGNAL, .u.signal.box = box};
    memcpy(m.u.signal.node, to->id.pk, sizeof(m.u.signal.node));
    return m;
}

static inline void cw_hang_up(struct cw *w, struct cw_client *c)
{
    if (!c->closed)
        pv_coord_closed(w->coord, c->conn, w->now);
    c->closed = true;
}

/* --- networks ------------------------------------------------------------------------------ */

static inline struct pv_ctl_item cw_item(struct pv_view statement)
{
    return (struct pv_ctl_item){.statement = statement};
}

/* Makes the four statements of a network "home", created by alice. */
static inline void cw_make_network(struct cw *w)
{
    static const struct pv_hostport addr = {.host = "coord.example", .port = 3478};
    uint8_t list[PV_STATEMENT_LIST_MAX];
    struct pv_writer lw = pv_writer(list, sizeof(list));
    w->root = cw_keys_make(w);
    w->alice = cw_node_make(w);
    pv_coordlist_put(&lw, w->coordinator.pk, &addr, 1);
    struct pv_create create = {
        .root = pv_signer_sk(w->root.sk),
        .node_sk = w->alice.id.sk,
        .transport = w->alice.transport_pk,
        .network_name = "home",
        .node_name = "alice",
        .range = {.base = pv_addr4(10, 66, 0, 0, 0), .bits = 16},
        .coordinators = pv_written(&lw),
        .wall = CW_WALL,
    };
    assert_ok(pv_make_create(&create, &w->created));
}

static inline struct pv_ctl_msg cw_create_msg(const struct cw *w,
                                              struct pv_ctl_item items[static 4])
{
    struct pv_ctl_msg m = {.type = PV_CTL_CREATE};
    items[0] = cw_item(pv_made_view(&w->created.network));
    items[1] = cw_item(pv_view(w->created.coordinators.raw, w->created.coordinators.len));
    items[2] = cw_item(pv_made_view(&w->created.admin));
    items[3] = cw_item(pv_made_view(&w->created.member));
    m.u.put = (struct pv_ctl_put){.has_secret = true, .n = 4, .items = items};
    memcpy(m.u.put.secret, w->secret, sizeof(w->secret));
    return m;
}

/* The network exists afterwards. */
static inline void cw_create(struct cw *w)
{
    struct pv_ctl_item items[4];
    cw_make_network(w);
    struct cw_client *c = cw_login(w, &w->alice, NULL, PV_CTL_APPLICANT);
    struct pv_ctl_msg *m = cw_ask(w, c, cw_create_msg(w, items), PV_CTL_RECEIPTS);
    assert_int_equal(m->u.receipts.n, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(m->u.receipts.results[i].error, PV_CTL_E_NONE);
        assert_ok(pv_receipt_verify(m->u.receipts.results[i].receipt));
    }
    cw_hang_up(w, c);
}

/* A coordinator that runs and has the network. */
static inline struct cw *cw_home(uint64_t seed)
{
    struct cw *w = cw_new(seed);
    cw_start(w);
    cw_create(w);
    return w;
}

/* The coordinator starts and has the network, whose creator is connected. */
static inline struct cw_client *cw_open(struct cw *w)
{
    cw_start(w);
    cw_create(w);
    return cw_member(w, &w->alice);
}

/* The coordinator starts, and somebody is connected who is about to create the network. */
static inline struct cw_client *cw_creator(struct cw *w)
{
    cw_start(w);
    cw_make_network(w);
    return cw_login(w, &w->alice, NULL, PV_CTL_APPLICANT);
}

/* The coordinator starts anew from what it stored; all connections are gone. */
static inline void cw_restart(struct cw *w)
{
    cw_drop_clients(w);
    pv_coord_free(w->coord);
    cw_start(w);
}

/* All statements, as this member gets them. */
static inline struct pv_ctl_msg *cw_pull(struct cw *w, struct cw_client *c)
{
    return cw_ask(w, c, (struct pv_ctl_msg){.type = PV_CTL_PULL}, PV_CTL_STATEMENTS);
}

static inline struct pv_ctl_msg cw_put_msg(const struct pv_ctl_item *items, size_t n)
{
    return (struct pv_ctl_msg){.type = PV_CTL_PUT, .u.put = {.n = n, .items = items}};
}

/* Puts one statement, with a receipt or without; the answer's result. */
static inline enum pv_ctl_error cw_put_item(struct cw *w, struct cw_client *c,
                                            struct pv_ctl_item item)
{
    struct pv_ctl_msg *m = cw_ask(w, c, cw_put_msg(&item, 1), PV_CTL_RECEIPTS);
    assert_int_equal(m->u.receipts.n, 1);
    return m->u.receipts.results[0].error;
}

static inline enum pv_ctl_error cw_put(struct cw *w, struct cw_client *c, struct pv_view statement)
{
    return cw_put_item(w, c, cw_item(statement));
}

/* Queues one without waiting; the number of the request. */
static inline uint64_t cw_send_put(struct cw_client *c, struct pv_view statement)
{
    struct pv_ctl_item item = cw_item(statement);
    return cw_send(c, cw_put_msg(&item, 1));
}

/* All of these are taken. */
static inline void cw_expect_taken(const struct pv_ctl_msg *receipts)
{
    for (size_t i = 0; i < receipts->u.receipts.n; i++)
        assert_int_equal(receipts->u.receipts.results[i].error, PV_CTL_E_NONE);
}

/* Statements that a test has had signed: each is there until as many more are. */
static struct {
    struct pv_made_long all[CW_SIGNED];
    size_t n;
} cw_signed;

static inline struct pv_made_long *cw_next_signed(void)
{
    return &cw_signed.all[cw_signed.n++ % CW_SIGNED];
}

/* A statement of the network, of any type. */
static inline struct pv_view cw_sign(const struct cw *w, struct pv_statement st, const uint8_t *sk)
{
    struct pv_made_long *made = cw_next_signed();
    memcpy(st.network_id, w->created.network_id, sizeof(st.network_id));
    assert_ok(
        pv_statement_make(&st, pv_signer_sk(sk), NULL, made->raw, sizeof(made->raw), &made->len));
    return pv_view(made->raw, made->len);
}

/* Alice removes a node or an invite (enum pv_revoke_kind). */
static inline struct pv_view cw_revocation(const struct cw *w, uint8_t kind,
                                           const uint8_t pk[static PV_SIGN_PK_LEN])
{
    struct pv_statement st = {.type = PV_ST_REVOCATION,
                              .u.revocation = {.kind = kind, .time = CW_WALL}};
    memcpy(st.u.revocation.pk, pk, sizeof(st.u.revocation.pk));
    return cw_sign(w, st, w->alice.id.sk);
}

/* The record that these are the network's coordinators. */
static inline struct pv_view cw_record(const struct cw *w, const uint8_t *sk, uint64_t seq,
                                       const uint8_t *const *coordinators, size_t n)
{
    static const struct pv_hostport addr = {.host = "next.example", .port = 3478};
    uint8_t list[PV_STATEMENT_LIST_MAX];
    struct pv_writer lw = pv_writer(list, sizeof(list));
    struct pv_made_long *made = cw_next_signed();
    for (size_t i = 0; i < n; i++)
        pv_coordlist_put(&lw, coordinators[i], &addr, 1);
    assert_ok(
        pv_make_coordinators(w->created.network_id, pv_signer_sk(sk), seq, pv_written(&lw), made));
    return pv_view(made->raw, made->len);
}

/* A statement with the receipt that another coordinator gave. */
static inline struct pv_ctl_item cw_received(const struct cw *w, const struct cw_keys *by,
                                             struct pv_view statement, uint64_t time,
                                             uint8_t ret_receipt[static PV_RECEIPT_LEN])
{
    struct pv_receipt r = {.epoch = 1, .n = 1, .time = time};
    memcpy(r.network_id, w->created.network_id, sizeof(r.network_id));
    pv_statement_hash(statement, r.hash);
    assert_ok(pv_receipt_make(&r, by->sk, ret_receipt));
    return (struct pv_ctl_item){.statement = statement,
                                .receipt = pv_view(ret_receipt, PV_RECEIPT_LEN)};
}

/* An invite by alice with these conditions; its key is filled in. */
static inline struct pv_made cw_make_terms(const struct cw *w, const struct cw_keys *key,
                                           struct pv_st_invite invite)
{
    struct pv_made made;
    memcpy(invite.invite, key->pk, sizeof(invite.invite));
    assert_ok(pv_make_invite(w->created.network_id, pv_signer_sk(w->alice.id.sk), &invite, &made));
    return made;
}

/* An invite for a day. */
static inline struct pv_made cw_make_invite(const struct cw *w, const struct cw_keys *key,
                                            uint32_t uses)
{
    return cw_make_terms(
        w, key,
        (struct pv_st_invite){.not_before = CW_WALL, .not_after = CW_WALL + 86400, .uses = uses});
}

/* A new one, put by alice. */
static inline struct cw_keys cw_invite(struct cw *w, struct cw_client *alice, uint32_t uses)
{
    struct cw_keys k = cw_keys_make(w);
    struct pv_made made = cw_make_invite(w, &k, uses);
    assert_int_equal(cw_put(w, alice, pv_made_view(&made)), PV_CTL_E_NONE);
    return k;
}

static inline struct pv_ctl_msg cw_join_msg(const struct cw_client *c, const struct cw_keys *invite,
                                            const struct cw_node *node, const char *name)
{
    uint8_t hash[PV_CTL_HASH_LEN];
    struct pv_ctl_msg m = {.type = PV_CTL_JOIN};
    memcpy(m.u.join.invite, invite->pk, PV_SIGN_PK_LEN);
    memcpy(m.u.join.node, node->id.pk, PV_SIGN_PK_LEN);
    snprintf(m.u.join.name, sizeof(m.u.join.name), "%s", name);
    assert_ok(pv_control_handshake_hash(c->control, hash));
    assert_ok(pv_ctl_join_sign(&m.u.join, hash, invite->sk));
    return m;
}

/* The member statement of a node: name and address as reserved. */
struct cw_claim {
    const char *name;
    const uint8_t *ip4;
    uint64_t serial;
    uint64_t issued;
};

static inline struct pv_made cw_member_statement(const struct cw *w, const struct cw_keys *invite,
                                                 const struct cw_node *node, struct cw_claim claim)
{
    struct pv_made made;
    struct pv_st_member m = {.serial = claim.serial, .issued = claim.issued};
    memcpy(m.transport, node->transport_pk, sizeof(m.transport));
    memcpy(m.ip4, claim.ip4, 4);
    snprintf(m.name, sizeof(m.name), "%s", claim.name);
    assert_ok(pv_make_member(w->created.network_id, invite->sk, node->id.sk, &m, &made));
    return made;
}

static inline struct pv_ctl_msg cw_register_msg(const struct pv_made *made)
{
    return (struct pv_ctl_msg){.type = PV_CTL_REGISTER, .u.reg.member = pv_made_view(made)};
}

/* An applicant asks for a place: the statement with what was reserved for it. */
static inline struct pv_made cw_reserve(struct cw *w, struct cw_client *c,
                                        const struct cw_keys *invite, const struct cw_node *node,
                                        const char *name)
{
    struct pv_ctl_msg *r = cw_ask(w, c, cw_join_msg(c, invite, node, name), PV_CTL_RESERVATION);
    return cw_member_statement(
        w, invite, node,
        (struct cw_claim){r->u.reservation.name, r->u.reservation.ip4, 0, CW_WALL});
}

/* Applicant, join, register, all the way; the node is a member afterwards. */
static inline void cw_join(struct cw *w, const struct cw_keys *invite, const struct cw_node *node,
                           const char *name)
{
    struct cw_client *c = cw_applicant(w, node);
    struct pv_made made = cw_reserve(w, c, invite, node, name);
    cw_ask_ok(w, c, cw_register_msg(&made), PV_CTL_REGISTERED);
    cw_hang_up(w, c);
}

/* A new node that has joined by this invite. */
static inline struct cw_node cw_joined(struct cw *w, const struct cw_keys *invite, const char *name)
{
    struct cw_node node = cw_node_make(w);
    cw_join(w, invite, &node, name);
    return node;
}

/* The same by an invite for it alone, which alice puts. */
static inline struct cw_node cw_invited(struct cw *w, struct cw_client *alice, const char *name)
{
    struct cw_keys invite = cw_invite(w, alice, 1);
    return cw_joined(w, &invite, name);
}
