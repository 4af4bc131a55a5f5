/* SPDX-License-Identifier: MIT */
/* Memory for what members send faster than the disk takes it: it has a limit, everybody has a share
 * of it, and who has its share waits and loses nothing. */

#include "chat/core/talk/chatlink.h"
#include "crypto/sign.h"
#include "tests/unit/chat/chat_jobs.h"
#include "tests/unit/test_util.h"

enum {
    MEMBERS = PV_CHATLINK_MAX_CONNS,
    MAX_JOBS = 8192,
    TEXT = PV_CHAT_TEXT_MAX,
    OWN = PV_CHATLINK_SHARE / (TEXT + PV_CHATLINK_MESSAGE_BYTES), /* longest messages in a share */
    FLOOD = 60, /* messages: nearly what one may have pending */
};

struct member {
    uint32_t sid;
    uint64_t said;   /* seq of the last message that was given to the machine */
    uint64_t stored; /* of the last one that the store has */
    size_t unstored; /* bytes of its texts that wait */
    bool closed;
};

/* The jobs that the store was asked to do, in order. */
struct job {
    uint64_t tag;
    struct pv_chatop *job;
};

static struct {
    struct test_rng rng;
    pv_ns now;
    struct pv_chatlink *link;
    struct pv_chatqueue queue;
    struct pv_streams streams;
    struct pv_fifo lines;
    struct member members[MEMBERS];
    struct job jobs[MAX_JOBS];
    size_t first_job, n_jobs;
    size_t copies;
    size_t plain; /* messages without a seq that were stored */
    char line[PV_CHAT_LINE_MAX];
    char text[TEXT + 1];
} w;

static void pk_of(size_t i, uint8_t ret_pk[static PV_SIGN_PK_LEN])
{
    memset(ret_pk, 0, PV_SIGN_PK_LEN);
    ret_pk[0] = (uint8_t)i;
    ret_pk[1] = (uint8_t)(1 + i / 256);
}

static size_t number_of(const uint8_t *pk)
{
    return pk[0] + 256u * (pk[1] - 1u);
}

/* Takes what the machine wants done. */
static void drain(void)
{
    struct pv_stream_op op;
    struct pv_chatlink_event e;
    struct job j;
    uint32_t sid;
    while (pv_streams_next_op(&w.streams, &op) == PV_OK) {
        for (size_t i = 0; i < MEMBERS; i++)
            w.members[i].closed = w.members[i].closed || w.members[i].sid == pv_sid_local(op.sid);
    }
    while (pv_streams_next_turn(&w.streams, &sid) == PV_OK) {
        sid = pv_sid_local(sid);
        pv_chatlink_wrote(w.link, sid, pv_chatlink_out(w.link, sid).len, w.now);
    }
    while (take_chat_job(&w.queue, &j.tag, &j.job)) {
        assert_true(w.n_jobs < MAX_JOBS);
        w.jobs[w.n_jobs++] = j;
    }
    while (pv_fifo_take(&w.lines, &e) == PV_OK)
        pv_chat_record_done(&e.msg);
}

static void connect_member(size_t i)
{
    struct pv_chatlink_source source = {.who = PV_CHATLINK_MEMBER, .name = "anna"};
    pk_of(i, source.pk);
    w.members[i] = (struct member){.closed = false};
    assert_ok(pv_chatlink_accepted(w.link, &source, w.now, &w.members[i].sid));
    /* It says something that only daemons say: its place is not one of those for strangers. */
    const char *hello = "{\"noted\":\"AAAAAAAAAAAAAAAAAAAAAA\"}\n";
    pv_chatlink_handle_bytes(w.link, w.members[i].sid, pv_view(hello, strlen(hello)), 1, w.now);
    drain();
}

static bool is_full(size_t i)
{
    return pv_chatlink_is_full(w.link, w.members[i].sid);
}

/* The next message of member i, with the longest text. */
static void say(size_t i)
{
    struct member *m = &w.members[i];
    uint8_t id[PV_CHAT_ID_LEN] = {0};
    size_t len = 0;
    m->said++;
    memcpy(id, &m->said, sizeof(m->said));
    assert_ok(pv_chat_write_message(id, m->said, 1, w.text, w.line, &len));
    m->unstored += TEXT;
    pv_chatlink_handle_bytes(w.link, m->sid, pv_view(w.line, len), 1, w.now);
    drain();
}

/* As a daemon that sends without end; the kernel takes what the machine does not want. */
static void flood(size_t i, size_t limit)
{
    for (size_t k = 0; k < limit && !is_full(i) && !w.members[i].closed; k++)
        say(i);
}

/* Bytes of texts in jobs that the store was given and has not answered. */
static size_t with_the_store(void)
{
    size_t n = 0;
    for (size_t k = w.first_job; k < w.n_jobs; k++) {
        const struct pv_chatop *job = w.jobs[k].job;
        for (size_t i = 0; job->kind == PV_CHATOP_COMMIT && i < job->n_msgs; i++)
            n += strlen(job->msgs[i].text);
    }
    return n;
}

/* The messages of each member come in their order, each once. */
static void store(const struct pv_chatop *job)
{
    for (size_t i = 0; job->kind == PV_CHATOP_COMMIT && i < job->n_msgs; i++) {
        const struct pv_chat_record *m = &job->msgs[i];
        struct member *who = &w.members[number_of(m->peer)];
        w.plain += m->seq == 0;
        if (m->seq == 0)
            continue;
        assert_int_equal(m->seq, who->stored + 1);
        who->stored = m->seq;
        who->unstored -= strlen(m->text);
    }
}

static void answer_job(int status)
{
    struct job j = w.jobs[w.first_job++];
    struct pv_chatop_result *result = status < 0 ? NULL : calloc(1, sizeof(*result));
    if (result != NULL) {
        store(j.job);
        result->n_taken = j.job->n_msgs;
    }
    answer_chat_job(&w.queue, j.tag, status, result, w.now);
    pv_chatop_result_free(result);
    pv_chatop_free(j.job);
    drain();
}

static void answer_all(void)
{
    while (w.first_job < w.n_jobs)
        answer_job(PV_OK);
    w.first_job = w.n_jobs = 0;
}

static void tell(void *owner, const struct pv_chatlink_event *e, pv_ns now)
{
    w.copies += e->type == PV_CHATLINK_COPY;
}

void test_before_each(void)
{
    struct pv_chatlink_config cfg = {.rng = {.fill = test_rng_fill, .ctx = &w.rng},
                                     .jobs = &w.queue,
                                     .streams = &w.streams,
                                     .lines = &w.lines,
                                     .tell = tell};
    memset(&w, 0, sizeof(w));
    w.rng.state = 1;
    w.now = PV_S(100);
    pv_chatqueue_init(&w.queue, &cfg.rng, NULL);
    cfg.own_pk[0] = 1; /* members' second byte is not 0 */
    memset(w.text, 'x', TEXT);
    assert_ok(pv_chatlink_new(&w.link, &cfg, w.now));
    drain();
    answer_all();
}

void test_after_each(void)
{
    w.link = pv_chatlink_free(w.link);
    pv_chatqueue_done(&w.queue);
    pv_streams_done(&w.streams);
    for (size_t k = w.first_job; k < w.n_jobs; k++)
        pv_chatop_free(w.jobs[k].job);
}

static size_t all_unstored(void)
{
    size_t n = 0;
    for (size_t i = 0; i < MEMBERS; i++)
        n += w.members[i].unstored;
    return n;
}

PV_TEST(members_that_send_without_end_share_a_limit_and_another_is_read)
{
    enum {
        HOSTILE = MEMBERS - 1
    };
    for (size_t i = 0; i < MEMBERS; i++)
        connect_member(i);
    for (size_t i = 0; i < HOSTILE; i++)
        flood(i, FLOOD);
    for (size_t i = 0; i < HOSTILE; i++) {
        flood(i, 1);
        assert_true(is_full(i)); /* it waits, */
        assert_false(w.members[i].closed);
    }
    /* and each has one message at most that is read and waits with its connection. */
    assert_true(all_unstored() <= PV_CHATLINK_MAX_UNSTORED + HOSTILE * TEXT);
    for (int k = 0; k < OWN; k++)
        say(HOSTILE);
    assert_false(is_full(HOSTILE));
    answer_all();
    assert_int_equal(w.members[HOSTILE].stored, OWN);
}

PV_TEST(a_stream_that_waited_goes_on_and_nothing_is_lost)
{
    enum {
        HOSTILE = 60
    };
    bool more = true;
    for (size_t i = 0; i < HOSTILE; i++)
        connect_member(i);
    for (unsigned turn = 0; more; turn++) {
        assert_true(turn < FLOOD);
        more = false;
        for (size_t i = 0; i < HOSTILE; i++) {
            flood(i, FLOOD - w.members[i].said);
            more = more || w.members[i].said < FLOOD;
        }
        assert_true(with_the_store() <= PV_CHATLINK_MAX_UNSTORED);
        answer_all();
    }
    for (size_t i = 0; i < HOSTILE; i++) {
        assert_false(w.members[i].closed);
        assert_int_equal(w.members[i].stored, FLOOD);
    }
    assert_int_equal(pv_chatlink_counts(w.link).floods, 0);
}

/* A message in one piece with one for which there is no room is not lost, be it plain text without
 * an end: the user who typed it hears nothing of it. */
PV_TEST_WHOLE(plain_text_waits_although_its_stream_has_ended)
{
    static const char typed[] = "one\ntwo\nthree";
    enum {
        HOSTILE = MEMBERS - 1
    };
    size_t lines = 0;
    struct member *nc = &w.members[HOSTILE];
    struct pv_chatlink_source source = {.who = PV_CHATLINK_MEMBER, .name = "anna"};
    for (size_t i = 0; i < HOSTILE; i++)
        connect_member(i);
    for (size_t i = 0; i < HOSTILE; i++)
        flood(i, FLOOD);
    /* A user of one of their machines. */
    pk_of(0, source.pk);
    assert_ok(pv_chatlink_accepted(w.link, &source, w.now, &nc->sid));
    for (; lines < FLOOD && !is_full(HOSTILE); lines++) {
        w.text[TEXT - 1] = '\n';
        pv_chatlink_handle_bytes(w.link, nc->sid, pv_view(w.text, TEXT), 1, w.now);
        w.text[TEXT - 1] = 'x';
    }
    drain();
    assert_true(is_full(HOSTILE));
    pv_chatlink_handle_bytes(w.link, nc->sid, pv_view(typed, strlen(typed)), 1, w.now);
    pv_chatlink_closed(w.link, nc->sid, w.now);
    assert_int_equal(w.plain, 0);
    answer_all();
    assert_int_equal(w.plain, lines + 3);
    assert_false(is_full(HOSTILE)); /* its connection is forgotten */
}

static void connect_all(void)
{
    for (size_t i = 0; i < MEMBERS; i++) {
        if (w.members[i].sid == 0 || w.members[i].closed)
            connect_member(i);
    }
}

PV_TEST(a_message_at_a_store_that_does_not_answer_stays_counted)
{
    enum {
        TURNS = 1 + PV_CHATLINK_MAX_UNSTORED / (MEMBERS * TEXT)
    };
    for (int turn = 0; turn < TURNS; turn++) {
        connect_all();
        for (size_t i = 0; i < MEMBERS; i++)
            flood(i, 1);
        assert_true(with_the_store() <= PV_CHATLINK_MAX_UNSTORED);
        w.now += PV_S(PV_CHATLINK_JOB_S);
        pv_chatqueue_handle_timeout(&w.queue, w.now);
        pv_chatlink_handle_timeout(w.link, w.now);
        drain();
    }
    connect_all();
    for (size_t i = 0; i < MEMBERS; i++) {
        flood(i, 1);
        assert_true(is_full(i)); /* there is no room left for anybody */
    }
    /* It answers at last: that is no success any more, but there is room again. */
    while (w.first_job < w.n_jobs)
        answer_job(PV_ERR_NO_SPACE);
    w.first_job = w.n_jobs = 0;
    connect_member(0);
    flood(0, 2);
    assert_false(is_full(0));
    answer_all();
    assert_int_equal(w.members[0].stored, 2);
}

static int take_copy(size_t from)
{
    uint8_t pk[PV_SIGN_PK_LEN];
    uint8_t id[PV_CHAT_ID_LEN] = {9};
    const struct pv_chatlink_copy copy = {
        .pk = pk, .name = "anna", .id = id, .text = pv_view(w.text, TEXT), .number = 1};
    pk_of(from, pk);
    return pv_chatlink_take_copy(w.link, &copy, w.now);
}

PV_TEST(a_stored_copy_has_no_room_beyond_the_share_either)
{
    enum {
        HOSTILE = MEMBERS - 1
    };
    for (size_t i = 0; i < HOSTILE; i++)
        connect_member(i);
    for (size_t i = 0; i < HOSTILE; i++)
        flood(i, FLOOD);
    assert_int_equal(take_copy(0), PV_ERR_LIMIT);
    assert_ok(take_copy(HOSTILE));
}

/* As much as one may have in memory at all, whatever the others' room. */
PV_TEST(a_peer_that_sends_alone_never_waits)
{
    connect_member(0);
    for (int k = 0; k < 1 + PV_CHATLINK_MAX_PENDING_BYTES / TEXT; k++) {
        say(0);
        assert_false(is_full(0));
    }
    assert_false(w.members[0].closed);
}
