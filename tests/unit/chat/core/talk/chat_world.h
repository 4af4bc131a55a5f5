/* SPDX-License-Identifier: MIT */
/*
 * chat_world.h - two nodes in virtual time for test_chatlink.c, each a chatlink on its tables; TCP
 * connections between them are byte pipes with a delay that can be cut at any moment, and a node
 * can be killed at any moment: its machine is dropped, its store stays.
 */
#pragma once

#include "chat/core/base/chatpart.h"
#include "chat/core/talk/chatlink.h"
#include "crypto/ct.h"
#include "tests/unit/chat/chat_jobs.h"
#include "tests/unit/chat/overlay_of.h"
#include "tests/unit/chat/store/chat_db.h"
#include "tests/unit/counts.h"
#include "tests/unit/daemon/core/peer/said.h"

enum {
    MAX_PIPES = 64,
    MAX_CHUNKS = 512,
    MAX_JOBS = 512,
    DELAY_MS = 20,
};

struct chunk {
    pv_ns due;
    size_t len;
    char *bytes; /* owned */
};

/* One TCP connection; end 0 opened it. */
struct pipe {
    bool used;
    bool connecting;
    pv_ns connect_at;
    int node[2];
    uint32_t sid[2];                    /* 0: this end is closed */
    bool closing[2];                    /* the other end closed it: told after the bytes */
    struct chunk chunks[2][MAX_CHUNKS]; /* towards end i, oldest first */
    size_t n_chunks[2];
};

struct job {
    uint64_t tag;
    struct pv_chatjob *job;
    struct pv_chatjob_result *result;
    int status;
    bool done;
    pv_ns done_at, told_at;
};

struct node {
    bool denies; /* rules let nobody chat with it */
    bool barred; /* nor it with anybody */
    bool deaf;   /* a firewall lets no connection come in */
    uint8_t pk[PV_SIGN_PK_LEN];
    const char *name;
    struct pv_addr addr;
    bool sees_peer;            /* what it was told about the other */
    struct pv_chatlink *link;  /* NULL: killed */
    struct pv_chatqueue queue; /* lives with link */
    struct pv_streams streams;
    struct pv_fifo lines;
    struct pv_linkkeys *keys; /* NULL: connections are taken unproven; lives with link */
    struct said said;         /* by keys, and not told yet */
    bool proves;              /* it has keys when it starts */
    bool mute;                /* its in-band messages are lost */
    sqlite3 *db;
    struct job jobs[MAX_JOBS];
    size_t n_jobs;
    unsigned opens;                          /* connections asked for */
    unsigned messages, states, sent, failed; /* events */
    char last_text[64];
    unsigned requeued;       /* of the states: back to queued */
    unsigned left_for_later; /* warnings that a sender has enough here */
    struct pv_log log;
    unsigned copies; /* told of */
    uint64_t copy;   /* the last one, and what became of it */
    int copy_status;
};

static struct {
    pv_ns now;
    struct test_rng rng;
    struct node nodes[2];
    struct pipe pipes[MAX_PIPES];
    bool network;         /* connections can be made */
    bool plain_off;       /* of nodes that start */
    unsigned job_fail_pc; /* jobs that fail, per cent */
    bool fails_kind;      /* jobs of fail_kind fail */
    enum pv_chatjob_kind fail_kind;
    unsigned jobs_done;
    unsigned job_ms; /* longest time a job takes */
    unsigned seed;   /* told when the test fails; 0: none */
} w;

static uint64_t chance(uint64_t n)
{
    return test_rng_next(&w.rng) % n;
}

static uint64_t wall_ms(void)
{
    return 1790000000000u + w.now / PV_MS(1);
}

/* --- nodes --------------------------------------------------------------------------------- */

static bool admits(const void *owner, const uint8_t *pk, bool to)
{
    const struct node *n = owner;
    return !(to ? n->barred : n->denies);
}

/* It is told of an event. */
static void tell(void *owner, const struct pv_chatlink_event *e, pv_ns now)
{
    struct node *n = owner;
    n->messages += e->type == PV_CHATLINK_MESSAGE;
    n->states += e->type == PV_CHATLINK_STATE;
    n->sent += e->type == PV_CHATLINK_SENT;
    n->failed += e->type == PV_CHATLINK_SEND_FAILED;
    n->requeued += e->type == PV_CHATLINK_STATE && e->msg.state == PV_CHAT_QUEUED;
    if (e->type == PV_CHATLINK_MESSAGE)
        snprintf(n->last_text, sizeof(n->last_text), "%s", e->msg.text);
    if (e->type == PV_CHATLINK_COPY) {
        n->copies++;
        n->copy = e->tag;
        n->copy_status = e->status;
    }
    if (e->type == PV_CHATLINK_SENT)
        assert_int_equal(e->tag, 7);
}

static void take_line(void *ctx, enum pv_log_level level, const char *line)
{
    struct node *n = ctx;
    (void)level;
    n->left_for_later += strncmp(line, "messages left for later: ", 25) == 0;
}

static enum pv_overlay_link key_of_pair(const void *owner, const uint8_t *pk, uint8_t *ret_key)
{
    const struct node *n = owner;
    return overlay_of_keys(n->keys, pk, ret_key);
}

static void start(int i)
{
    struct node *n = &w.nodes[i];
    static struct test_rng queue_rng;
    const struct pv_rng rng = test_rng_make(&queue_rng, 1);
    n->log = (struct pv_log){.level = PV_LOG_WARN, .sink = take_line, .ctx = n};
    struct pv_chatlink_config cfg = {.log = &n->log,
                                     .rng = {.fill = test_rng_fill, .ctx = &w.rng},
                                     .jobs = &n->queue,
                                     .streams = &n->streams,
                                     .lines = &n->lines,
                                     .plain_off = w.plain_off,
                                     .admits = admits,
                                     .tell = tell,
                                     .owner = n};
    memcpy(cfg.own_pk, n->pk, sizeof(cfg.own_pk));
    if (n->proves)
        n->keys = said_new(&n->said, &cfg.rng, n->pk);
    cfg.keys = key_of_pair;
    pv_chatqueue_init(&n->queue, &rng, NULL);
    assert_ok(pv_chatlink_new(&n->link, &cfg, w.now));
    n->sees_peer = false;
}

/* The knowledge of node i about the other's daemon, and what the two tell each other in-band. */
static void look(int i)
{
    struct node *n = &w.nodes[i], *peer = &w.nodes[1 - i];
    if (n->keys != NULL)
        pv_linkkeys_look(n->keys, peer->pk, n->sees_peer, w.now);
}

static void tell_secrets(int i)
{
    struct node *n = &w.nodes[i], *peer = &w.nodes[1 - i];
    struct said_one tx;
    while (said_take(&n->said, &tx)) {
        if (peer->keys == NULL || n->mute)
            continue;
        if (pv_linkkeys_take(peer->keys, n->pk, pv_view(tx.body, sizeof(tx.body)), w.now))
            pv_chatlink_peer_keyed(peer->link, n->pk, w.now);
    }
}

static void online(int i, bool yes)
{
    struct node *n = &w.nodes[i], *peer = &w.nodes[1 - i];
    n->sees_peer = yes;
    if (n->link == NULL)
        return;
    look(i);
    if (yes)
        assert_ok(pv_chatlink_peer_online(n->link, peer->pk, peer->name, &peer->addr, w.now));
    else
        pv_chatlink_peer_offline(n->link, peer->pk, w.now);
}

static void pipe_clear(struct pipe *p, int end)
{
    for (size_t k = 0; k < p->n_chunks[end]; k++)
        free(p->chunks[end][k].bytes);
    p->n_chunks[end] = 0;
}

static void pipe_free(struct pipe *p)
{
    pipe_clear(p, 0);
    pipe_clear(p, 1);
    p->used = false;
}

/* Both ends lose it, with what is on the way. */
static void cut(struct pipe *p)
{
    uint32_t sid[2] = {p->sid[0], p->sid[1]};
    int node[2] = {p->node[0], p->node[1]};
    pipe_free(p);
    for (int end = 0; end < 2; end++) {
        if (sid[end] != 0 && w.nodes[node[end]].link != NULL)
            pv_chatlink_closed(w.nodes[node[end]].link, sid[end], w.now);
    }
}

static void job_free(struct job *j)
{
    pv_chatjob_free(j->job);
    pv_chatjob_result_free(j->result);
}

static void kill_node(int i)
{
    struct node *n = &w.nodes[i];
    if (n->link != NULL) {
        n->link = pv_chatlink_free(n->link);
        pv_streams_done(&n->streams);
        pv_chatqueue_done(&n->queue);
    }
    n->keys = said_free(&n->said, n->keys);
    n->said.n = 0;
    for (size_t k = 0; k < n->n_jobs; k++)
        job_free(&n->jobs[k]);
    n->n_jobs = 0;
    for (size_t k = 0; k < MAX_PIPES; k++) {
        if (w.pipes[k].used)
            cut(&w.pipes[k]);
    }
}

static int send_text(int i, const char *text)
{
    struct node *peer = &w.nodes[1 - i];
    struct pv_chatlink_message msg = {
        .pk = peer->pk, .name = peer->name, .text = text, .wall_ms = wall_ms()};
    return pv_chatlink_send(w.nodes[i].link, 7, &msg, w.now);
}

/* --- the world ----------------------------------------------------------------------------- */

static void open_pipe(int i, uint32_t sid)
{
    struct pipe *p = w.pipes;
    while (p < w.pipes + MAX_PIPES && p->used)
        p++;
    assert_true(p < w.pipes + MAX_PIPES);
    memset(p, 0, sizeof(*p));
    p->used = true;
    p->connecting = true;
    p->connect_at = w.nodes[1 - i].deaf ? PV_NEVER : w.now + PV_MS(DELAY_MS * 2);
    p->node[0] = i;
    p->node[1] = 1 - i;
    p->sid[0] = sid;
}

/* The end of node i with this sid; NULL when the other side cut it meanwhile. */
static struct pipe *find_end(int i, uint32_t sid, int *ret_end)
{
    for (struct pipe *p = w.pipes; p < w.pipes + MAX_PIPES; p++) {
        for (int end = 0; end < 2; end++) {
            if (p->used && p->node[end] == i && p->sid[end] == sid) {
                *ret_end = end;
                return p;
            }
        }
    }
    return NULL;
}

static void write_out(int i, uint32_t sid)
{
    struct node *n = &w.nodes[i];
    int end = 0;
    struct pipe *p = find_end(i, sid, &end);
    struct pv_view out = pv_chatlink_out(n->link, sid);
    if (p == NULL || out.len == 0 || p->connecting)
        return;
    size_t len = 1 + chance(out.len); /* partial writes */
    if (chance(2) == 0)
        len = out.len;
    int other = 1 - end;
    assert_true(p->n_chunks[other] < MAX_CHUNKS);
    struct chunk *c = &p->chunks[other][p->n_chunks[other]++];
    c->due = w.now + PV_MS(DELAY_MS);
    c->len = len;
    c->bytes = malloc(len);
    assert_non_null(c->bytes);
    memcpy(c->bytes, out.ptr, len);
    pv_chatlink_wrote(n->link, sid, len, w.now);
    if (len < out.len)
        write_out(i, sid);
}

static void take_jobs(struct node *n)
{
    uint64_t tag = 0;
    struct pv_chatjob *job = NULL;
    while (take_chat_job(&n->queue, &tag, &job)) {
        assert_true(n->n_jobs < MAX_JOBS);
        struct job *j = &n->jobs[n->n_jobs++];
        pv_ns last = n->n_jobs > 1 ? j[-1].told_at : w.now;
        *j = (struct job){.tag = tag, .job = job};
        j->done_at = (last > w.now ? last : w.now) + PV_MS(chance(w.job_ms + 1));
        j->told_at = j->done_at + PV_MS(chance(w.job_ms + 1));
    }
}

/* Those for rooms, which are not here. */
static void take_events(struct node *n)
{
    struct pv_chatlink_event e;
    while (pv_fifo_take(&n->lines, &e) == PV_OK) {
        assert_true(e.type == PV_CHATLINK_UP || e.type == PV_CHATLINK_DOWN ||
                    e.type == PV_CHATLINK_LINE);
        pv_chat_record_done(&e.msg);
    }
}

static void close_end(int i, uint32_t sid)
{
    int end = 0;
    struct pipe *p = find_end(i, sid, &end);
    if (p == NULL)
        return;
    write_out(i, sid); /* nothing: the machine has forgotten it */
    p->sid[end] = 0;
    p->closing[1 - end] = true;
    pipe_clear(p, end);
    if (p->connecting || p->sid[1 - end] == 0)
        pipe_free(p);
}

/* Takes everything the machine of node i wants done. */
static void drain(int i)
{
    struct node *n = &w.nodes[i];
    struct pv_stream_op op;
    uint32_t sid = 0;
    if (n->link == NULL)
        return;
    while (pv_streams_next_op(&n->streams, &op) == PV_OK) {
        assert_int_equal(op.kind, PV_CHAT_STREAM_TALK);
        if (op.type == PV_STREAM_CLOSE) {
            close_end(i, pv_sid_local(op.sid));
            continue;
        }
        assert_int_equal(op.addr.port, PV_CHAT_PORT);
        assert_true(pv_addr_equal_ip(&op.addr, &w.nodes[1 - i].addr));
        n->opens++;
        open_pipe(i, pv_sid_local(op.sid));
    }
    while (pv_streams_next_turn(&n->streams, &sid) == PV_OK)
        write_out(i, pv_sid_local(sid));
    take_jobs(n);
    take_events(n);
}

static void connect_pipe(struct pipe *p)
{
    struct node *to = &w.nodes[p->node[1]];
    struct pv_chatlink_source source = {.who = PV_CHATLINK_MEMBER};
    memcpy(source.pk, w.nodes[p->node[0]].pk, sizeof(source.pk));
    snprintf(source.name, sizeof(source.name), "%s", w.nodes[p->node[0]].name);
    p->connecting = false;
    if (!w.network || to->link == NULL ||
        pv_chatlink_accepted(to->link, &source, w.now, &p->sid[1]) < 0) {
        p->sid[1] = 0;
        cut(p);
        return;
    }
    pv_chatlink_connected(w.nodes[p->node[0]].link, p->sid[0], w.now);
}

/* Hands over what is due at this end. */
static void deliver(struct pipe *p, int end)
{
    struct node *to = &w.nodes[p->node[end]];
    while (p->used && p->n_chunks[end] > 0 && p->chunks[end][0].due <= w.now) {
        struct chunk c = p->chunks[end][0];
        p->n_chunks[end]--;
        memmove(&p->chunks[end][0], &p->chunks[end][1], p->n_chunks[end] * sizeof(c));
        if (p->sid[end] != 0)
            pv_chatlink_handle_bytes(to->link, p->sid[end], pv_view(c.bytes, c.len), wall_ms(),
                                     w.now);
        free(c.bytes);
        drain(p->node[end]);
    }
    if (p->used && p->closing[end] && p->n_chunks[end] == 0 && p->sid[end] != 0) {
        uint32_t sid = p->sid[end];
        pipe_free(p);
        pv_chatlink_closed(to->link, sid, w.now);
    }
}

static void serve_jobs(int i)
{
    struct node *n = &w.nodes[i];
    while (n->link != NULL && n->n_jobs > 0) {
        struct job *j = &n->jobs[0];
        if (!j->done && j->done_at <= w.now) {
            j->done = true;
            bool fails =
                chance(100) < w.job_fail_pc || (w.fails_kind && j->job->kind == w.fail_kind);
            w.jobs_done++;
            j->status = fails ? PV_ERR_NO_SPACE : chat_db_run(n->db, j->job, &j->result);
        }
        if (!j->done || j->told_at > w.now)
            return;
        struct job told = *j;
        n->n_jobs--;
        memmove(&n->jobs[0], &n->jobs[1], n->n_jobs * sizeof(n->jobs[0]));
        answer_chat_job(&n->queue, told.tag, told.status, told.result, w.now);
        job_free(&told);
        drain(i);
    }
}

static pv_ns next_event(void)
{
    pv_ns next = PV_NEVER;
    for (int i = 0; i < 2; i++) {
        const struct node *n = &w.nodes[i];
        if (n->link == NULL)
            continue;
        next = pv_min_ns(next, pv_chatlink_next_timeout(n->link));
        next = pv_min_ns(next, pv_chatqueue_next_timeout(&n->queue));
        if (n->keys != NULL)
            next = pv_min_ns(next, pv_linkkeys_next_timeout(n->keys));
        if (n->n_jobs > 0)
            next = pv_min_ns(next, n->jobs[0].done ? n->jobs[0].told_at : n->jobs[0].done_at);
    }
    for (const struct pipe *p = w.pipes; p < w.pipes + MAX_PIPES; p++) {
        if (!p->used)
            continue;
        if (p->connecting)
            next = pv_min_ns(next, p->connect_at);
        for (int end = 0; end < 2; end++) {
            if (p->n_chunks[end] > 0)
                next = pv_min_ns(next, p->chunks[end][0].due);
        }
    }
    return next;
}

static void run_for(pv_ns duration)
{
    pv_ns end = w.now + duration;
    unsigned turns = 0;
    for (;;) {
        for (int i = 0; i < 4; i++) /* there and back */
            tell_secrets(i % 2);
        drain(0);
        drain(1);
        pv_ns next = next_event();
        if (next > end)
            break;
        if (next > w.now)
            turns = 0;
        w.now = next > w.now ? next : w.now;
        assert_true(++turns < 10000); /* time stands still: somebody retries without a pause */
        for (struct pipe *p = w.pipes; p < w.pipes + MAX_PIPES; p++) {
            if (p->used && p->connecting && p->connect_at <= w.now)
                connect_pipe(p);
            for (int k = 0; k < 2; k++) {
                if (p->used && !p->connecting)
                    deliver(p, k);
            }
        }
        for (int i = 0; i < 2; i++) {
            serve_jobs(i);
            if (w.nodes[i].link != NULL)
                pv_chatqueue_handle_timeout(&w.nodes[i].queue, w.now);
            if (w.nodes[i].link != NULL && pv_chatlink_next_timeout(w.nodes[i].link) <= w.now)
                pv_chatlink_handle_timeout(w.nodes[i].link, w.now);
            if (w.nodes[i].keys != NULL)
                pv_linkkeys_handle_timeout(w.nodes[i].keys, w.now);
        }
    }
    w.now = end;
}

/* --- what must hold ------------------------------------------------------------------------ */

/* Every message node i has stored as sent is at the other node: once, in order, unaltered; with
 * nothing else from i; and i knows. */
static void assert_conversation(int i)
{
    sqlite3 *from = w.nodes[i].db, *to = w.nodes[1 - i].db;
    size_t at = 0, n_from = chat_db_count(from), n_to = chat_db_count(to);
    for (size_t k = 0; k < n_from; k++) {
        const struct pv_chat_record *m = &chat_db_row(from, k)->rec;
        if (!m->outgoing)
            continue;
        while (at < n_to && chat_db_row(to, at)->rec.outgoing)
            at++;
        if (at == n_to)
            fail_msg("message seq %lu of %s did not arrive", (unsigned long)m->seq,
                     w.nodes[i].name);
        m = &chat_db_row(from, k)->rec;
        const struct pv_chat_record *got = &chat_db_row(to, at++)->rec;
        assert_int_equal(got->seq, m->seq);
        assert_memory_equal(got->id, m->id, sizeof(m->id));
        assert_memory_equal(got->peer, w.nodes[i].pk, sizeof(got->peer));
        assert_string_equal(got->text, m->text);
        assert_int_equal(got->time_ms, m->time_ms);
        assert_true(m->state >= PV_CHAT_DELIVERED);
    }
    while (at < n_to && chat_db_row(to, at)->rec.outgoing)
        at++;
    assert_int_equal(at, n_to);
}

static inline void assert_conversations(void)
{
    assert_conversation(0);
    assert_conversation(1);
}

static const struct test_count COUNTS[] = {
    TEST_COUNT(node, opens, "opens"),
    TEST_COUNT(node, messages, "messages"),
    TEST_COUNT(node, states, "states"),
    TEST_COUNT(node, sent, "sent"),
    TEST_COUNT(node, failed, "failed"),
    TEST_COUNT(node, requeued, "requeued"),
    TEST_COUNT(node, left_for_later, "left_for_later"),
    TEST_COUNT(node, copies, "copies"),
    TEST_COUNT(node, copy, "copy"),
};

/* The nodes have counted this, node 0 first. */
#define expect(text) assert_counts(COUNTS, w.nodes, 2, text)

/* That much later. */
#define after(duration, text) \
    do {                      \
        run_for(duration);    \
        expect(text);         \
    } while (0)

/* The k-th message that a node has stored. */
static const struct chat_db_row *stored(int node, size_t k)
{
    return chat_db_row(w.nodes[node].db, k);
}

static size_t open_pipes(void)
{
    size_t n = 0;
    for (const struct pipe *p = w.pipes; p < w.pipes + MAX_PIPES; p++)
        n += p->used;
    return n;
}

static int setup(void **state)
{
    memset(&w, 0, sizeof(w));
    w.rng.state = 1;
    w.now = PV_S(100);
    w.network = true;
    w.job_ms = 5;
    w.nodes[0].name = "anna";
    w.nodes[1].name = "bob";
    for (int i = 0; i < 2; i++) {
        w.nodes[i].pk[0] = (uint8_t)(i + 1);
        w.nodes[i].addr = pv_addr4(10, 66, 0, (uint8_t)(i + 1), 0);
        w.nodes[i].db = chat_db_open();
    }
    start(0);
    start(1);
    return 0;
}

static int teardown(void **state)
{
    if (w.seed != 0)
        print_message("failed with seed %u\n", w.seed);
    for (int i = 0; i < 2; i++)
        kill_node(i);
    for (size_t k = 0; k < MAX_PIPES; k++)
        pipe_free(&w.pipes[k]);
    for (int i = 0; i < 2; i++)
        sqlite3_close(w.nodes[i].db);
    return 0;
}

/* Another life of a node. */
static inline void restart(int i)
{
    kill_node(i);
    start(i);
}

static void both_online(void)
{
    online(0, true);
    online(1, true);
}
