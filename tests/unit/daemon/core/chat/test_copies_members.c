/* SPDX-License-Identifier: MIT */
/* The part that has copies kept for who is away, at members: as who sends them, holds them and gets
 * them. */
#include "tests/unit/daemon/core/chat/copies_world.h"

PV_TEST_IN(members_are_asked_when_the_coordinator_is_away_for_long_enough, start, stop)
{
    fake_node_wait(node, PV_S(9));
    assert_null(fake_node_job(node));
    fake_node_wait(node, PV_S(2));
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_COUNTS), PV_OK,
                     fake_chat_backlog(chat.bob_keys.pk));
    assert_null(fake_node_job(node)); /* nobody here is willing to hold them */
}

static uint32_t connection_of(const struct pv_peer *p)
{
    struct pv_chatlink_source source = {.who = PV_CHATLINK_MEMBER, .name = "member"};
    uint32_t sid;
    memcpy(source.pk, pv_peer_pk(p), sizeof(source.pk));
    assert_int_equal(pv_chatlink_accepted(node->node.chatlink, &source, node->now, &sid), PV_OK);
    return sid;
}

/* A frame about the message with this id and the member pk comes on the connection. */
static void say(uint32_t sid, enum pv_copy_kind kind, uint8_t id, const uint8_t *pk,
                struct pv_view box)
{
    struct pv_copy_frame *f = calloc(1, sizeof(*f));
    char *line = malloc(PV_CHAT_LINE_MAX);
    size_t len;
    f->kind = kind;
    f->key[0] = id;
    f->box_len = box.len;
    if (box.len > 0)
        memcpy(f->box, box.ptr, box.len);
    memcpy(f->node, pk, sizeof(f->node));
    assert_int_equal(pv_copy_frame_write(f, line, &len), PV_OK);
    pv_chatlink_handle_bytes(node->node.chatlink, sid, pv_view(line, len), 1, node->now);
    fake_peers_settle(&chat.peers);
    free(line);
    free(f);
}

/* The first frame that went out on the connection is this one, with this word; what went out is
 * gone then. */
static void expect_said(uint32_t sid, enum pv_copy_kind kind, bool yes)
{
    struct pv_copy_frame *f = calloc(1, sizeof(*f));
    struct pv_view out = pv_chatlink_out(node->node.chatlink, sid);
    const uint8_t *end = out.len == 0 ? NULL : memchr(out.ptr, '\n', out.len);
    assert_non_null(end);
    assert_int_equal(pv_copy_frame_parse(pv_view(out.ptr, (size_t)(end - out.ptr)), f), PV_OK);
    assert_int_equal(f->kind, kind);
    assert_int_equal(f->yes, yes);
    pv_chatlink_wrote(node->node.chatlink, sid, out.len, node->now);
    free(f);
}

static const uint8_t some_box[100] = {1};

PV_TEST_IN(a_node_that_holds_nothing_refuses_to, start, stop)
{
    uint32_t bob = connection_of(chat.bob);
    say(bob, PV_COPY_KEEP, 0, chat.carol_keys.pk, pv_view(some_box, sizeof(some_box)));
    expect_said(bob, PV_COPY_KEPT, false);
    assert_int_equal(fake_node_drops(node, "copy-refused"), 1);
}

static int start_holding(void **state)
{
    (void)state;
    return begin(true, true);
}

/* The next job about copies; NULL: there is none. A new connection asks each time what became of
 * our own, which is not looked at here. */
static struct pv_job *next_copy_job(void)
{
    struct pv_job *job;
    while ((job = fake_node_job(node)) != NULL && job->u.chat->kind == PV_CHATJOB_COPIES &&
           job->u.chat->copies->kind == PV_COPYJOB_OVER)
        fake_chat_answer(&chat, job, PV_OK, NULL);
    return job;
}

static struct pv_job *copy_job(enum pv_copyjob_kind kind)
{
    struct pv_job *job = next_copy_job();
    assert_non_null(job);
    assert_int_equal(job->u.chat->kind, PV_CHATJOB_COPIES);
    assert_int_equal(job->u.chat->copies->kind, kind);
    return job;
}

/* Answers the looks for what waits, so long; how often all is offered anew. */
static unsigned look_on(pv_ns t)
{
    struct pv_job *job;
    unsigned n = 0;
    fake_node_wait(node, t);
    while ((job = fake_node_job(node)) != NULL) {
        if (job->u.chat->kind == PV_CHATJOB_COPIES) {
            assert_int_equal(job->u.chat->copies->kind, PV_COPYJOB_ANEW);
            n++;
        }
        fake_chat_answer(&chat, job, PV_OK, NULL);
    }
    return n;
}

/* A holder says to nobody what it gave up: an hour after the start, and each day, all that waits is
 * offered to holders anew. */
PV_TEST_IN(what_waits_is_offered_anew_each_day, start, stop)
{
    assert_int_equal(look_on(PV_S(3500)), 0);
    assert_int_equal(look_on(PV_S(200)), 1);
    assert_int_equal(look_on(PV_S(86000)), 0);
    assert_int_equal(look_on(PV_S(600)), 1);
}

/* The store has written the copy. */
static void answer_put(struct pv_job *job)
{
    struct pv_chatjob_result *r = calloc(1, sizeof(*r));
    r->copies = calloc(1, sizeof(*r->copies));
    r->copies->total = 1;
    fake_chat_answer(&chat, job, PV_OK, r);
}

/* A member that sends copies faster than the disk takes them leaves room for those of others. */
PV_TEST_IN(one_sender_does_not_fill_the_way_to_the_disk, start_holding, stop)
{
    const struct pv_peer *dave = fake_peers_member(&chat.peers, 9, "dave", 9);
    uint32_t bob = connection_of(chat.bob), carol = connection_of(chat.carol);
    const struct pv_view box = pv_view(some_box, sizeof(some_box));
    for (uint8_t id = 1; id <= PV_COPIES_OF_MEMBER; id++)
        say(bob, PV_COPY_KEEP, id, pv_peer_pk(dave), box);
    assert_int_equal(pv_chatlink_out(node->node.chatlink, bob).len, 0);
    say(bob, PV_COPY_KEEP, 9, pv_peer_pk(dave), box);
    expect_said(bob, PV_COPY_KEPT, false);
    say(carol, PV_COPY_KEEP, 1, pv_peer_pk(dave), box);
    for (size_t i = 0; i <= PV_COPIES_OF_MEMBER; i++)
        answer_put(copy_job(PV_COPYJOB_PUT));
    expect_said(bob, PV_COPY_KEPT, true);
    expect_said(carol, PV_COPY_KEPT, true);
    say(bob, PV_COPY_KEEP, 9, pv_peer_pk(dave), box);
    answer_put(copy_job(PV_COPYJOB_PUT));
    expect_said(bob, PV_COPY_KEPT, true);
}

/* How many messages chatlink has stored; all of them are on disk then. */
static size_t commit_all(void)
{
    struct pv_chatjob *job;
    size_t n = 0;
    uint64_t tag;
    while (pv_chatlink_poll_job(node->node.chatlink, &tag, &job) == PV_OK) {
        struct pv_chatjob_result none = {.n_taken = job->n_msgs};
        n += job->kind == PV_CHATJOB_COMMIT ? job->n_msgs : 0;
        if (job->kind == PV_CHATJOB_COMMIT)
            pv_chatlink_handle_job(node->node.chatlink, tag, PV_OK, &none, node->now);
        pv_chatjob_free(job);
    }
    fake_peers_settle(&chat.peers);
    return n;
}

static void deliver(uint32_t holder, uint8_t id)
{
    size_t len;
    uint8_t *box = make_box(id, &len);
    say(holder, PV_COPY_DELIVER, id, chat.bob_keys.pk, pv_view(box, len));
    free(box);
}

/* The same for a holder that hands over more than one copy at a time. */
PV_TEST_IN(one_holder_does_not_fill_the_way_to_the_disk, start, stop)
{
    uint32_t bob = connection_of(chat.bob), carol = connection_of(chat.carol);
    for (uint8_t id = 1; id <= PV_COPIES_TAKES + 8; id++)
        deliver(bob, id);
    deliver(carol, 100);
    assert_int_equal(commit_all(), PV_COPIES_OF_MEMBER + 1);
    expect_said(carol, PV_COPY_TAKEN, true);
}

/* Bob sends more than is taken at a time: his copies stay where they are, and those behind them, of
 * others, are collected. */
PV_TEST_IN(an_author_who_sends_too_much_does_not_hold_up_the_copies_of_others, start, stop)
{
    static char text[PV_CHAT_TEXT_MAX];
    struct pv_chatlink_copy copy = {.pk = chat.bob_keys.pk,
                                    .name = "bob",
                                    .text = pv_view(text, sizeof(text)),
                                    .seq = 1,
                                    .number = 1000};
    int r = PV_OK;
    memset(text, 'x', sizeof(text));
    set_online(true);
    expect_collect(0, 0);
    for (uint8_t id = 0; r == PV_OK && id < 255; id++) {
        copy.id = (uint8_t[PV_CHAT_ID_LEN]){id};
        r = pv_chatlink_take_copy(node->node.chatlink, &copy, node->now);
    }
    assert_int_equal(r, PV_ERR_LIMIT);
    hand_over(17, false);
    expect_collect(17, 0);
    uint32_t carol = connection_of(chat.carol);
    deliver(carol, 9);
    expect_said(carol, PV_COPY_TAKEN, false);
}

/* The store was asked whether something lies here for this member, and finds a copy of bob's. */
static void find_one(struct pv_job *job, const struct pv_peer *p)
{
    struct pv_chatjob_result *r = calloc(1, sizeof(*r));
    assert_memory_equal(job->u.chat->copies->to, pv_peer_pk(p), 32);
    r->copies = calloc(1, sizeof(*r->copies));
    r->copies->total = r->copies->copy.n = 1;
    r->copies->copy.box = calloc(1, sizeof(some_box));
    r->copies->copy.box_len = sizeof(some_box);
    memcpy(r->copies->copy.from, chat.bob_keys.pk, 32);
    fake_chat_answer(&chat, job, PV_OK, r);
}

static void find_one_for(const struct pv_peer *p)
{
    find_one(copy_job(PV_COPYJOB_NEXT), p);
}

/* A copy for carol is held, and as many others come as are served at once. */
static void many_come(struct pv_peer *ret_many[static PV_COPIES_GIVES],
                      struct pv_job *ret_jobs[static PV_COPIES_GIVES])
{
    char name[16];
    set_online(true);
    nothing_to_collect();
    uint32_t bob = connection_of(chat.bob);
    say(bob, PV_COPY_KEEP, 1, chat.carol_keys.pk, pv_view(some_box, sizeof(some_box)));
    answer_put(copy_job(PV_COPYJOB_PUT));
    for (unsigned i = 0; i < PV_COPIES_GIVES; i++) {
        snprintf(name, sizeof(name), "slow%u", i);
        ret_many[i] = fake_peers_member(&chat.peers, 20 + i, name, (uint16_t)(20 + i));
        say(connection_of(ret_many[i]), PV_COPY_TAKEN, 1, chat.bob_keys.pk, pv_view(NULL, 0));
        fake_peers_presence(&chat.peers, ret_many[i], PV_PRESENCE_ONLINE);
        ret_jobs[i] = copy_job(PV_COPYJOB_NEXT);
    }
}

/* They are handed a copy and never answer. */
PV_TEST_IN(receivers_that_do_not_answer_delay_the_others_and_shut_nobody_out, start_holding, stop)
{
    struct pv_peer *many[PV_COPIES_GIVES];
    struct pv_job *jobs[PV_COPIES_GIVES];
    many_come(many, jobs);
    for (unsigned i = 0; i < PV_COPIES_GIVES; i++)
        find_one(jobs[i], many[i]);
    fake_peers_presence(&chat.peers, chat.bob, PV_PRESENCE_ONLINE);
    fake_peers_presence(&chat.peers, chat.carol, PV_PRESENCE_ONLINE);
    fake_node_wait(node, PV_S(19));
    assert_null(next_copy_job());
    fake_node_wait(node, PV_S(2));
    find_one_for(chat.bob);
    find_one_for(chat.carol);
    assert_null(next_copy_job());
}

/* What it finds for one receiver when that has lost its turn is not for who has it now. */
PV_TEST_IN(a_slow_store_hands_nobody_the_copy_of_another, start_holding, stop)
{
    struct pv_peer *many[PV_COPIES_GIVES];
    struct pv_job *jobs[PV_COPIES_GIVES];
    many_come(many, jobs);
    uint32_t carol = connection_of(chat.carol);
    say(carol, PV_COPY_TAKEN, 1, chat.bob_keys.pk, pv_view(NULL, 0));
    fake_node_wait(node, PV_S(21));
    fake_peers_presence(&chat.peers, chat.carol, PV_PRESENCE_ONLINE);
    struct pv_job *hers = copy_job(PV_COPYJOB_NEXT);
    for (unsigned i = 0; i < PV_COPIES_GIVES; i++)
        find_one(jobs[i], many[i]);
    assert_int_equal(pv_chatlink_out(node->node.chatlink, carol).len, 0);
    find_one(hers, chat.carol);
    expect_said(carol, PV_COPY_DELIVER, false);
}

/* It is here, and says that it holds copies. */
static uint32_t become_holder(struct pv_peer *p)
{
    p->remote = calloc(1, sizeof(*p->remote));
    assert_non_null(p->remote);
    p->remote->caps = PV_DESC_CAP_HOLD;
    p->descx.theirs.gen = 1;
    fake_peers_path(&chat.peers, p, true);
    uint32_t sid = connection_of(p);
    say(sid, PV_COPY_TAKEN, 1, chat.bob_keys.pk, pv_view(NULL, 0));
    return sid;
}

/* The coordinator is away, and messages wait for so many members that are away, too. */
static void have_backlog(unsigned n)
{
    struct pv_chatjob_result *r = calloc(1, sizeof(*r));
    struct pv_job *job;
    char name[16];
    fake_node_wait(node, PV_S(11));
    while ((job = next_copy_job()) != NULL && job->u.chat->kind != PV_CHATJOB_COUNTS)
        fake_chat_answer(&chat, job, PV_OK, NULL);
    assert_non_null(job);
    r->backlog = calloc(n, sizeof(*r->backlog));
    for (; r->n_backlog < n; r->n_backlog++) {
        unsigned i = (unsigned)r->n_backlog;
        snprintf(name, sizeof(name), "away%u", i);
        memcpy(r->backlog[i].peer,
               pv_peer_pk(fake_peers_member(&chat.peers, 60 + i, name, (uint16_t)(60 + i))), 32);
        r->backlog[i].queued = 1;
    }
    fake_chat_answer(&chat, job, PV_OK, r);
}

PV_TEST_IN(a_silent_holder_holds_up_one_message_and_not_all, start, stop)
{
    struct pv_job *job;
    unsigned silent = 0, refused = 0;
    become_holder(chat.bob);
    uint32_t carol = become_holder(chat.carol);
    have_backlog(5);
    pv_ns begin = node->now;
    while (refused < 5 && (job = next_copy_job()) != NULL && node->now < begin + PV_S(60)) {
        const uint8_t *to = job->u.chat->copies->to;
        uint8_t receiver[PV_SIGN_PK_LEN];
        bool of_bob = memcmp(job->u.chat->copies->holder, chat.bob_keys.pk, 32) == 0;
        assert_int_equal(job->u.chat->copies->kind, PV_COPYJOB_MISSING);
        memcpy(receiver, to, sizeof(receiver));
        fake_chat_answer(&chat, job, PV_OK, fake_chat_messages(receiver, 1));
        silent += of_bob;
        refused += !of_bob;
        if (of_bob)
            fake_node_wait(node, PV_S(21)); /* he says nothing */
        else
            say(carol, PV_COPY_KEPT, 1, receiver,
                pv_view(NULL, 0)); /* she keeps none, and says so */
    }
    assert_int_equal(refused, 5);
    assert_in_range(silent, 0, 1);
}

PV_TEST_IN(a_flood_of_frames_ends_the_connection, start, stop)
{
    struct pv_chatlink_source source = {.who = PV_CHATLINK_MEMBER, .name = "bob"};
    struct pv_chatlink_stream_op op;
    uint32_t sid;
    memcpy(source.pk, chat.bob_keys.pk, sizeof(source.pk));
    assert_int_equal(pv_chatlink_accepted(node->node.chatlink, &source, node->now, &sid), PV_OK);
    static const char line[] = "{\"copy\":\"what\"}\n";
    pv_chatlink_handle_bytes(node->node.chatlink, sid, pv_view(line, sizeof(line) - 1), 1,
                             node->now);
    fake_peers_settle(&chat.peers);
    assert_int_equal(fake_node_drops(node, "copy-frame"), 1);
    assert_int_equal(pv_chatlink_poll_stream_op(node->node.chatlink, &op), PV_OK);
    assert_false(op.open);
}
