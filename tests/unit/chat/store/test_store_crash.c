/* SPDX-License-Identifier: MIT */
/*
 * The daemon's databases after power cuts: whatever state of their files one may leave, also one in
 * which only one of the two has what both were given, the stores start again, and all that they had
 * answered for is there once.
 */
#include "chat/core/base/chatop.h"
#include "chat/store/chatstore.h"
#include "crypto/ct.h"
#include "daemon/store/store.h"
#include "tests/unit/crashdisk.h"
#include "tests/unit/test_dir.h"

enum {
    OPS = 24, /* half of them before the store is closed and opened again */
    LEFT = 2, /* states of a cut that are looked at; PV_SIM_LONG=1: LEFT_LONG */
    LEFT_LONG = 24,
};

static const uint8_t BOB[PV_SIGN_PK_LEN] = {0xb0};

static char dir[64], after[80];
static size_t answered[OPS + 1]; /* events before the answer to each operation; from 1 */
static uint64_t seqs[OPS + 1];   /* of what was enqueued */

struct stores {
    struct pv_store *network;
    struct pv_chatstore *chat;
};

static struct stores open_in(const char *where)
{
    struct stores s = {NULL, NULL};
    char error[PV_JOB_ERROR_MAX] = "";
    int r = pv_store_open(&s.network, where, error);
    if (r != PV_OK)
        fail_msg("%d %s", r, error);
    assert_ok(pv_chatstore_new(&s.chat, where, 0));
    return s;
}

static void close_both(struct stores s)
{
    pv_store_close(s.network);
    pv_chatstore_free(s.chat);
}

/* --- operations: each number is one, of four kinds -------------------------------------------- */

enum kind {
    STATEMENT,
    META,
    ENQUEUE,
    COMMIT,
    N_KINDS
};

static struct pv_job *new_job(enum pv_job_kind kind)
{
    struct pv_job *job = calloc(1, sizeof(*job));
    assert_non_null(job);
    job->kind = kind;
    return job;
}

static struct pv_job *statement_job(unsigned op)
{
    struct pv_job *job = new_job(PV_JOB_PUT_STATEMENTS);
    struct pv_stored_statement *item = calloc(1, sizeof(*item) + 1500);
    assert_non_null(item);
    uint8_t *bytes = (uint8_t *)(item + 1);
    memset(bytes, (int)op, 1500); /* more than a third of a page */
    item->statement = pv_view(bytes, 1400);
    item->receipt = pv_view(bytes, 100);
    job->u.put_statements.items = item;
    job->u.put_statements.n = 1;
    return job;
}

static struct pv_job *meta_job(unsigned op)
{
    struct pv_job *job = new_job(PV_JOB_SET_META);
    snprintf(job->u.set_meta.name, sizeof(job->u.set_meta.name), "mark");
    job->u.set_meta.len = 9000; /* on pages of its own */
    job->u.set_meta.value = malloc(9000);
    assert_non_null(job->u.set_meta.value);
    memset(job->u.set_meta.value, (int)op, 9000);
    return job;
}

static struct pv_job *job_of(unsigned op)
{
    return op % N_KINDS == STATEMENT ? statement_job(op) : meta_job(op);
}

static bool is_chat(unsigned op)
{
    return op % N_KINDS == ENQUEUE || op % N_KINDS == COMMIT;
}

static void note(unsigned op, int status, const char *error)
{
    if (status != PV_OK)
        fail_msg("%u: %d %s", op, status, error);
    if (op <= OPS)
        answered[op] = crash.n;
}

/* Those of operations first to last that are for the network, as one batch. */
static void run_network(struct stores s, unsigned first, unsigned last)
{
    struct pv_job *jobs[N_KINDS];
    struct pv_job_result results[N_KINDS];
    unsigned ops[N_KINDS];
    size_t n = 0;
    assert_true(last - first < N_KINDS);
    for (unsigned op = first; op <= last; op++) {
        if (is_chat(op))
            continue;
        ops[n] = op;
        jobs[n++] = job_of(op);
    }
    if (n > 0)
        pv_store_run(s.network, jobs, results, n);
    for (size_t i = 0; i < n; i++) {
        note(ops[i], results[i].status, results[i].error);
        pv_job_free(jobs[i]);
    }
}

static void run_message(struct pv_chat_store *calls, unsigned op, enum pv_chatop_kind kind)
{
    struct pv_chat_record rec = {.seq = kind == PV_CHATOP_COMMIT ? op : 0,
                                 .time_ms = op,
                                 .peer_name = "bob",
                                 .text = strdup("text")};
    const struct pv_chatop of = {.kind = kind, .peer = BOB, .msgs = &rec, .n_msgs = 1};
    struct pv_chatop_result done;
    memcpy(rec.peer, BOB, sizeof(BOB));
    rec.id[0] = (uint8_t)op;
    note(op, pv_chat_store_run(calls, &of, &done), calls->error);
    if (op <= OPS && kind == PV_CHATOP_ENQUEUE)
        seqs[op] = done.msgs[0].seq;
    pv_chatop_result_done(&done);
    pv_chat_record_done(&rec);
}

/* The same of those for chat, as one turn: they are answered at its end. */
static void run_chat(struct stores s, unsigned first, unsigned last)
{
    struct pv_chat_store *calls = pv_chatstore_calls(s.chat);
    for (unsigned op = first; op <= last; op++)
        if (is_chat(op))
            run_message(calls, op, op % N_KINDS == ENQUEUE ? PV_CHATOP_ENQUEUE : PV_CHATOP_COMMIT);
    assert_ok(calls->settle(calls));
    for (unsigned op = first; op <= last; op++)
        if (is_chat(op))
            note(op, PV_OK, "");
}

/* Each database is written by itself, so either may be the first. */
static void run(struct stores s, unsigned first, unsigned last)
{
    const bool chat_first = first % 8 < 4;
    if (chat_first)
        run_chat(s, first, last);
    run_network(s, first, last);
    if (!chat_first)
        run_chat(s, first, last);
}

/* --- what has to be there --------------------------------------------------------------------- */

/* A write answered before the cut is there once; another, once or not at all. */
static void check_roster(struct pv_store *s, size_t cut)
{
    struct pv_store_saved saved;
    char error[PV_JOB_ERROR_MAX] = "";
    unsigned mark = 0;
    assert_ok(pv_store_load(s, &saved, error));
    for (size_t i = 0; i < saved.saved.n_meta; i++) {
        const struct pv_saved_meta *m = &saved.saved.meta[i];
        if (strcmp(m->name, "mark") != 0)
            continue;
        assert_int_equal(m->value.len, 9000);
        mark = m->value.ptr[0];
        assert_int_equal(m->value.ptr[8999], mark);
    }
    for (unsigned op = 1; op <= OPS; op++) {
        unsigned n = 0;
        for (size_t i = 0; i < saved.saved.n_statements; i++)
            n += saved.saved.statements[i].statement.ptr[0] == op;
        assert_true(n <= 1);
        if (cut >= answered[op] && op % N_KINDS == STATEMENT)
            assert_int_equal(n, 1);
        if (cut >= answered[op] && op % N_KINDS == META)
            assert_true(mark >= op);
    }
    pv_store_saved_done(&saved);
}

static void check_messages(struct pv_chatstore *s, size_t cut)
{
    const struct pv_chatop all = {.kind = PV_CHATOP_HISTORY, .peer = BOB};
    struct pv_chatop_result chat;
    assert_ok(pv_chat_store_run(pv_chatstore_calls(s), &all, &chat));
    for (unsigned op = 1; op <= OPS; op++) {
        unsigned n = 0;
        for (size_t i = 0; i < chat.n_msgs; i++) {
            const struct pv_chat_record *m = &chat.msgs[i];
            if (m->id[0] != op)
                continue;
            n++;
            if (m->outgoing && cut >= answered[op])
                assert_int_equal(m->seq, seqs[op]);
        }
        assert_true(n <= 1);
        if (cut >= answered[op] && (op % N_KINDS == ENQUEUE || op % N_KINDS == COMMIT))
            assert_int_equal(n, 1);
    }
    pv_chatop_result_done(&chat);
}

static void check_state(size_t cut, unsigned left)
{
    snprintf(after, sizeof(after), "%s.after", dir);
    assert_int_equal(mkdir(after, 0700), 0);
    crash_make(after, cut, left);
    struct stores s = open_in(after);
    check_roster(s.network, cut);
    check_messages(s.chat, cut);
    run(s, OPS + 1, OPS + N_KINDS); /* they go on */
    close_both(s);
    crash_check_whole(after, "p2pvpnd.db");
    crash_check_whole(after, "chat.db");
    assert_int_equal(test_dir_remove(after), 0);
}

/* --- the tests --------------------------------------------------------------------------- */

PV_TEST(nothing_answered_is_lost_by_a_power_cut)
{
    crash_begin(dir);
    struct stores s = open_in(dir);
    for (unsigned op = 1; op <= OPS / 2; op++)
        run(s, op, op);
    close_both(s);
    s = open_in(dir);
    for (unsigned op = OPS / 2 + 1; op <= OPS; op += N_KINDS)
        run(s, op, op + N_KINDS - 1);
    close_both(s);
    crash_end();
    assert_true(crash.n > 5 * OPS);
    unsigned n_left = getenv("PV_SIM_LONG") != NULL ? LEFT_LONG : LEFT;
    for (size_t cut = 0; cut <= crash.n; cut++) {
        for (unsigned left = 0; left < n_left; left++)
            if (!crash_is_next(cut, left))
                check_state(cut, left);
    }
}

static int setup(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/pvcrash.XXXXXX");
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    crash_end();
    crash_forget();
    (void)test_dir_remove(after);
    return test_dir_remove(dir);
}

PV_TEST_WORLD(setup, teardown);

void test_begin(void)
{
    crash_init();
}
