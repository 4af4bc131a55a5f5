/* SPDX-License-Identifier: MIT */
#include "base/text.h"
#include "chat_world.h"

/* --- tests --------------------------------------------------------------------------------- */

PV_TEST_WORLD(setup, teardown);

static void begin_anew(void **state)
{
    teardown(state);
    setup(state);
}

static void send_and_wait(int from, const char *text, pv_ns time)
{
    assert_ok(send_text(from, text));
    run_for(time);
}

/* The nodes see each other, and node 1 has a message. */
static void begin_with_one(void)
{
    both_online();
    send_and_wait(0, "one", PV_S(1));
}

static void send_numbers(int n)
{
    for (int i = 0; i < n; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%d", i);
        assert_ok(send_text(0, text));
    }
    run_for(PV_S(10));
}

static void cut_all(void)
{
    for (struct pipe *p = w.pipes; p < w.pipes + MAX_PIPES; p++)
        if (p->used)
            cut(p);
}

/* Bytes are swallowed from now on, nobody says why. */
static void swallow(void)
{
    for (struct pipe *p = w.pipes; p < w.pipes + MAX_PIPES; p++)
        p->sid[1] = 0;
}

PV_TEST(a_message_arrives_and_is_acknowledged)
{
    both_online();
    run_for(PV_MS(50));
    assert_int_equal(w.nodes[0].opens + w.nodes[1].opens, 0); /* nothing to say, no connection */
    send_and_wait(0, "hello",
                  PV_MS(40 + 20 + 20 + 40)); /* connect, message, acknowledgement, jobs */
    assert_string_equal(w.nodes[1].last_text, "hello");
    expect("sent 1 -, states 2 -"); /* sent, delivered */
    assert_conversation(0);

    w.nodes[1].last_text[0] = '\0';
    send_and_wait(0, "again",
                  PV_MS(DELAY_MS + 20)); /* the connection is there: one way and the disk */
    assert_string_equal(w.nodes[1].last_text, "again");
    expect("opens 1 -");
}

PV_TEST(answers_use_the_same_connection)
{
    both_online();
    send_and_wait(0, "hello", PV_S(1));
    send_text(1, "hi");
    after(PV_S(1), "opens - 0");
    assert_int_equal(open_pipes(), 1);
    assert_conversations();
}

PV_TEST(both_may_open_at_once)
{
    both_online();
    send_text(0, "hello");
    send_and_wait(1, "hi", PV_S(2));
    assert_int_equal(w.nodes[0].opens + w.nodes[1].opens, 2);
    assert_conversations();
    expect("messages 1");
}

PV_TEST(a_message_to_an_absent_node_waits_across_restarts)
{
    send_text(0, "first");
    after(PV_S(3600), "opens 0 -");
    restart(0);
    run_for(PV_S(1));
    send_and_wait(0, "second", PV_S(1));
    restart(1);
    both_online();
    run_for(PV_S(2));
    assert_conversation(0);
    expect("messages - 2");
    assert_string_equal(w.nodes[1].last_text, "second");
}

PV_TEST(many_messages_flow_in_windows)
{
    send_numbers(200);
    expect("sent 200 -");
    both_online();
    run_for(PV_S(10));
    assert_conversation(0);
    expect("messages - 200, opens 1 -");
}

PV_TEST(a_dead_peer_is_not_called_in_a_loop)
{
    w.network = false;
    online(0, true);
    send_and_wait(0, "hello", PV_S(3600));
    /* 1, 2, 4 … 60 s: six attempts in the first minute, then one a minute and jitter. */
    expect("opens 45..70 -");
    unsigned before = w.nodes[0].opens;
    for (int i = 0; i < 100; i++) /* events do not turn it into a loop either */
        online(0, true);
    run_for(PV_MS(900));
    assert_in_range(w.nodes[0].opens, before, before + 1);
    w.network = true;
    online(0, true);
    run_for(PV_S(2));
    assert_conversation(0);
}

PV_TEST(offline_stops_the_attempts)
{
    w.network = false;
    online(0, true);
    send_and_wait(0, "hello", PV_S(5));
    online(0, false);
    unsigned before = w.nodes[0].opens;
    run_for(PV_S(3600));
    assert_int_equal(w.nodes[0].opens, before);
}

PV_TEST(a_cut_connection_loses_nothing)
{
    both_online();
    for (int round = 0; round < 40; round++) {
        send_text(0, "a");
        send_and_wait(1, "b", PV_MS(chance(120)));
        cut_all();
    }
    run_for(PV_S(300));
    assert_conversations();
}

PV_TEST(a_silent_connection_is_given_up)
{
    begin_with_one();
    swallow();
    send_text(0, "two");
    after(PV_S(29), "opens 1 -");
    after(PV_S(4), "opens 2 -");
    assert_conversation(0);
}

PV_TEST(a_silent_connection_is_replaced_when_the_peer_comes_back)
{
    begin_with_one();
    swallow();
    send_and_wait(0, "two", PV_S(3));
    online(0, true);
    run_for(PV_S(1));
    assert_conversation(0);
}

PV_TEST(a_peer_that_was_away_gets_a_new_connection_at_once)
{
    begin_with_one();
    online(0, false);
    swallow(); /* it restarted */
    send_and_wait(0, "two", PV_MS(500));
    online(0, true);
    run_for(PV_MS(200));
    assert_conversation(0);
    expect("opens 2 -");
}

/* The one attempt that there is comes to nothing, and nobody hears of it. */
static void hold_attempt(void)
{
    while (w.nodes[0].opens == 0)
        run_for(PV_MS(1));
    for (struct pipe *p = w.pipes; p < w.pipes + MAX_PIPES; p++)
        p->connect_at = PV_NEVER;
}

PV_TEST(an_attempt_from_before_the_peer_went_away_is_not_waited_for)
{
    both_online();
    send_text(0, "one");
    hold_attempt();
    online(0, false);
    run_for(PV_S(1));
    online(0, true);
    run_for(PV_S(1));
    assert_conversation(0);
    expect("opens 2 -");
}

PV_TEST(connections_go_with_the_interface)
{
    begin_with_one();
    swallow(); /* nothing comes through any more */
    pv_chatlink_interface_gone(w.nodes[0].link);
    online(0, false);
    online(0, true);
    send_and_wait(0, "two", PV_S(2));
    assert_conversation(0);
    expect("opens 2 -");
}

PV_TEST(an_idle_connection_is_closed)
{
    both_online();
    send_and_wait(0, "hello", PV_S(PV_CHATLINK_IDLE_S - 1));
    assert_int_equal(open_pipes(), 1);
    run_for(PV_S(3));
    assert_int_equal(open_pipes(), 0);
    expect("opens 1 -"); /* and not opened again */
}

/* Connects to node 1 as node 0's address would; the machine of node 0 knows nothing of it. */
static uint32_t connect_by_hand(void)
{
    struct pv_chatlink_source source = {.who = PV_CHATLINK_MEMBER, .name = "anna"};
    uint32_t sid = 0;
    source.pk[0] = 1;
    assert_ok(pv_chatlink_accepted(w.nodes[1].link, &source, w.now, &sid));
    return sid;
}

static void type_text(uint32_t sid, const char *text)
{
    pv_chatlink_handle_bytes(w.nodes[1].link, sid, pv_view(text, strlen(text)), wall_ms(), w.now);
}

PV_TEST(plain_text_from_nc_is_stored)
{
    uint32_t sid = connect_by_hand();
    type_text(sid, "hel");
    type_text(sid, "lo\r\n\nwor");
    after(PV_S(1), "messages - 1");
    assert_string_equal(w.nodes[1].last_text, "hello");
    type_text(sid, "ld");
    pv_chatlink_closed(w.nodes[1].link, sid, w.now); /* "printf | nc": no newline at the end */
    after(PV_S(1), "messages - 2");
    assert_string_equal(w.nodes[1].last_text, "world");
    const struct pv_chat_record *m = &stored(1, 0)->rec;
    assert_int_equal(m->seq, 0);
    assert_int_equal(m->peer[0], 1);
    assert_string_equal(m->peer_name, "anna");
    assert_in_range(m->time_ms, wall_ms() - 2000, wall_ms());
}

PV_TEST(a_file_piped_into_nc_arrives_whole)
{
    static char text[1000 * 4 + 1];
    for (int i = 0; i < 1000; i++)
        memcpy(text + i * 4, "abc\n", 5);
    uint32_t sid = connect_by_hand();
    type_text(sid, text);
    pv_chatlink_closed(w.nodes[1].link, sid, w.now);
    after(PV_S(1), "messages - 1000");
    assert_int_equal(chat_db_count(w.nodes[1].db), 1000);
}

/* The messages of that machine's daemon come all the same. */
PV_TEST(a_user_who_types_without_rights_has_a_small_budget)
{
    char line[1025];
    unsigned typed = 0;
    both_online();
    memset(line, 'x', sizeof(line) - 2);
    line[sizeof(line) - 2] = '\n';
    line[sizeof(line) - 1] = '\0';
    for (int round = 0; round < 40; round++) {
        uint32_t sid = connect_by_hand();
        for (int i = 0; i < 100; i++)
            type_text(sid, line);
        run_for(PV_S(2));
        pv_chatlink_closed(w.nodes[1].link, sid, w.now);
    }
    typed = w.nodes[1].messages;
    assert_in_range(typed, 500, PV_CHATLINK_PLAIN_BURST / 1024 + 10);
    send_and_wait(0, "proven", PV_S(2));
    assert_string_equal(w.nodes[1].last_text, "proven");
}

PV_TEST(nobody_types_frames_at_nc)
{
    uint32_t sid = connect_by_hand();
    type_text(sid, "hello\n");
    send_and_wait(1, "an answer", PV_S(5));
    assert_int_equal(pv_chatlink_out(w.nodes[1].link, sid).len, 0);
    expect("opens - 0"); /* it is not known to be online */
    online(1, true);
    after(PV_S(1), "opens - 1");
    assert_conversation(1);
}

PV_TEST(only_members_may_chat)
{
    struct pv_chatlink *link = w.nodes[1].link;
    uint32_t sid = 0;
    for (unsigned who = PV_CHATLINK_STRANGER; who < PV_CHATLINK_MEMBER; who++) {
        struct pv_chatlink_source source = {.who = (enum pv_chatlink_who)who};
        assert_int_equal(pv_chatlink_accepted(link, &source, w.now, &sid), PV_ERR_REFUSED);
    }
    struct pv_chatlink_source self = {.who = PV_CHATLINK_MEMBER};
    memcpy(self.pk, w.nodes[1].pk, sizeof(self.pk));
    assert_int_equal(pv_chatlink_accepted(link, &self, w.now, &sid), PV_ERR_REFUSED);
    struct pv_chatlink_message msg = {.pk = self.pk, .name = "bob", .text = "me"};
    assert_int_equal(pv_chatlink_send(link, 1, &msg, w.now), PV_ERR_REFUSED);
    assert_int_equal(pv_chatlink_peer_online(link, self.pk, "bob", &w.nodes[1].addr, w.now),
                     PV_ERR_REFUSED);
    msg.pk = w.nodes[0].pk;
    msg.text = "";
    assert_int_equal(pv_chatlink_send(link, 1, &msg, w.now), PV_ERR_MALFORMED);
}

static void assert_closed_by_bob(uint32_t sid)
{
    struct pv_stream_op op;
    assert_ok(pv_streams_next_op(&w.nodes[1].streams, &op));
    assert_int_equal(op.type, PV_STREAM_CLOSE);
    assert_int_equal(pv_sid_local(op.sid), sid);
}

PV_TEST(the_end_of_the_binding_closes_the_connection)
{
    uint32_t sid = connect_by_hand();
    run_for(PV_MS(1));
    type_text(sid, "hel");
    pv_chatlink_peer_gone(w.nodes[1].link, w.nodes[0].pk, w.now);
    assert_closed_by_bob(sid);
    type_text(sid, "lo\n");
    after(PV_S(1), "messages - 0");
}

PV_TEST(a_bad_frame_closes_the_connection)
{
    static char big[PV_CHAT_LINE_MAX + 1];
    memset(big, '{', sizeof(big) - 1);
    const char *const bad[] = {"{\"id\":1}\n", "{\n", big};
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++) {
        uint32_t sid = connect_by_hand();
        type_text(sid, bad[i]);
        assert_closed_by_bob(sid);
    }
    after(PV_S(1), "messages - 0");
}

PV_TEST(a_peer_that_sends_faster_than_the_disk_waits)
{
    char line[PV_CHAT_LINE_MAX];
    size_t len = 0;
    uint32_t sid = connect_by_hand();
    w.job_ms = 1000;
    run_for(PV_MS(1));
    /* The first one is with the store, and the last one has no room. */
    for (unsigned i = 1; i <= PV_CHATLINK_MAX_PENDING + 2; i++) {
        const uint8_t id[PV_CHAT_ID_LEN] = {(uint8_t)i, (uint8_t)(i >> 8)};
        assert_ok(pv_chat_write_message(id, i, 0, "x", line, &len));
        pv_chatlink_handle_bytes(w.nodes[1].link, sid, pv_view(line, len), wall_ms(), w.now);
    }
    assert_true(pv_chatlink_is_full(w.nodes[1].link, sid));
    run_for(PV_S(5));
    assert_false(pv_chatlink_is_full(w.nodes[1].link, sid));
    assert_int_equal(chat_db_count(w.nodes[1].db), PV_CHATLINK_MAX_PENDING + 2);
}

/* Reads what was stored at node 1 from message k on into one text; returns the longest message. */
static size_t joined(size_t k, char *dst, size_t cap)
{
    size_t longest = 0, at = 0;
    dst[0] = '\0';
    for (; k < chat_db_count(w.nodes[1].db); k++) {
        const char *text = stored(1, k)->rec.text;
        assert_true(pv_text_is_valid(pv_view(text, strlen(text))));
        longest = strlen(text) > longest ? strlen(text) : longest;
        at += (size_t)snprintf(dst + at, cap - at, "%s", text);
    }
    return longest;
}

/* By nc, as the lines of a file have it. */
PV_TEST(a_line_that_is_longer_than_a_message_is_several)
{
    static char line[200000], want[200000], got[200000];
    static const size_t steps[] = {1 << 20, 1000, 7};
    for (size_t s = 0; s < PV_ARRAY_LEN(steps); s++) {
        size_t before = chat_db_count(w.nodes[1].db);
        size_t len = (size_t)snprintf(line, sizeof(line), "%0*d", PV_CHAT_TEXT_MAX - 1, 0);
        /* A part that begins as a frame does, and characters of two to four bytes. */
        len += (size_t)snprintf(line + len, sizeof(line) - len, "{\"prove\":1}");
        while (len < 60000)
            len += (size_t)snprintf(line + len, sizeof(line) - len,
                                    "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
        memcpy(want, line, len + 1);
        memcpy(line + len, "\nnext\n{", 8);
        memcpy(want + len, "next", 5);
        len += 7; /* what begins a frame behind it is dropped with the connection */
        uint32_t sid = connect_by_hand();
        for (size_t at = 0, n; at < len; at += n) {
            n = len - at < steps[s] ? len - at : steps[s];
            pv_chatlink_handle_bytes(w.nodes[1].link, sid, pv_view(line + at, n), wall_ms(), w.now);
        }
        run_for(PV_S(1));
        assert_in_range(joined(before, got, sizeof(got)), PV_CHAT_TEXT_MAX - 4, PV_CHAT_TEXT_MAX);
        assert_string_equal(got, want);
        assert_string_equal(w.nodes[1].last_text, "next");

        /* The last line of a file may have no newline. */
        before = chat_db_count(w.nodes[1].db);
        memset(line, 'x', PV_CHAT_TEXT_MAX);
        memcpy(line + PV_CHAT_TEXT_MAX - 1, "{rest", 6);
        sid = connect_by_hand();
        type_text(sid, line);
        pv_chatlink_closed(w.nodes[1].link, sid, w.now);
        run_for(PV_S(1));
        joined(before, got, sizeof(got));
        assert_string_equal(got, line);
    }
}

PV_TEST(connections_of_one_peer_are_limited_to_the_newest)
{
    uint32_t first = connect_by_hand();
    for (int i = 1; i < PV_CHATLINK_MAX_PEER_CONNS; i++) {
        w.now += PV_S(1);
        connect_by_hand();
    }
    w.now += PV_S(1);
    connect_by_hand();
    assert_closed_by_bob(first);
}

PV_TEST(read_receipts_reach_the_sender_also_later)
{
    both_online();
    send_text(0, "one");
    send_and_wait(0, "two", PV_S(1));
    online(1, false);
    kill_node(0);

    struct pv_chatjob job = {.kind = PV_CHATJOB_INBOX, .mark_read = true};
    struct pv_chatjob_result *inbox = NULL;
    assert_ok(chat_db_run(w.nodes[1].db, &job, &inbox));
    assert_int_equal(inbox->n_msgs, 2);
    pv_chatlink_read(w.nodes[1].link, inbox, w.now);
    pv_chatjob_result_free(inbox);
    run_for(PV_S(1));
    kill_node(1); /* and the reader forgets */
    start(0);
    start(1);
    run_for(PV_S(1));
    both_online();
    run_for(PV_S(2));
    for (size_t k = 0; k < 2; k++)
        assert_int_equal(stored(0, k)->rec.state, PV_CHAT_READ);
    unsigned opens = w.nodes[1].opens;
    cut_all();
    run_for(PV_S(100));
    assert_int_equal(w.nodes[1].opens, opens); /* told once */
}

PV_TEST(a_read_receipt_survives_the_reader_and_the_writer)
{
    begin_with_one();
    pv_chatlink_seen(w.nodes[1].link, w.nodes[0].pk, stored(1, 0)->rec.id, w.now);
    run_for(PV_MS(12)); /* the receipt is written, and lost with the sender */
    kill_node(0);
    run_for(PV_S(2));
    assert_int_equal(stored(0, 0)->rec.state, PV_CHAT_DELIVERED);
    assert_true(stored(1, 0)->owed);
    online(1, false);
    kill_node(1);
    start(0);
    start(1);
    both_online();
    run_for(PV_S(5));
    assert_int_equal(stored(0, 0)->rec.state, PV_CHAT_READ);
    assert_false(stored(1, 0)->owed);
}

PV_TEST(a_message_that_was_handed_over_is_sent)
{
    send_and_wait(0, "one", PV_S(1));
    assert_int_equal(stored(0, 0)->rec.state, PV_CHAT_QUEUED);
    both_online();
    run_for(PV_MS(DELAY_MS * 2 + 15)); /* connected and written, not acknowledged */
    assert_int_equal(stored(0, 0)->rec.state, PV_CHAT_SENT);
    expect("states 1 -");
    restart(1); /* it goes out again */
    restart(0);
    both_online();
    run_for(PV_S(3));
    assert_int_equal(stored(0, 0)->rec.state, PV_CHAT_DELIVERED);
    assert_conversation(0);
}

PV_TEST(a_flood_of_receipts_is_refused_and_counted)
{
    struct pv_chatlink_source source = {.who = PV_CHATLINK_MEMBER, .name = "mallory", .pk = {9}};
    char line[PV_CHAT_LINE_MAX];
    uint32_t sid = 0;
    both_online();
    assert_ok(pv_chatlink_accepted(w.nodes[0].link, &source, w.now, &sid));
    unsigned jobs = w.jobs_done;
    for (unsigned i = 0; i < 20000; i++) {
        uint8_t id[PV_CHAT_ID_LEN] = {(uint8_t)i, (uint8_t)(i >> 8)};
        size_t len = 0;
        assert_ok(pv_chat_write_ack(id, PV_CHAT_READ, line, &len));
        pv_chatlink_handle_bytes(w.nodes[0].link, sid, pv_view(line, len), wall_ms(), w.now);
        if (i % 100 == 0)
            run_for(PV_MS(1));
    }
    send_text(0, "one"); /* nobody else is disturbed */
    run_for(PV_S(1));
    assert_conversation(0);
    assert_in_range(w.jobs_done - jobs, 1, 100);
    assert_int_equal(pv_chatlink_counts(w.nodes[0].link).floods, 1);
}

/* A copy of the message seq of node 0 reaches node 1 by way of the coordinator. */
static int put_copy(uint64_t seq, uint64_t number)
{
    const struct pv_chat_record *m = &stored(0, seq - 1)->rec;
    const struct pv_chatlink_copy copy = {.pk = w.nodes[0].pk,
                                          .name = "alice",
                                          .id = m->id,
                                          .seq = m->seq,
                                          .time_ms = m->time_ms,
                                          .text = pv_view(m->text, strlen(m->text)),
                                          .number = number};
    return pv_chatlink_take_copy(w.nodes[1].link, &copy, w.now);
}

static int give_copy(uint64_t seq, uint64_t number)
{
    int r = put_copy(seq, number);
    run_for(PV_S(1));
    return r;
}

PV_TEST(a_stored_copy_and_the_message_itself_are_one)
{
    send_text(0, "one");
    send_and_wait(0, "two", PV_S(1));
    assert_ok(give_copy(1, 41));
    expect("copies - 1, copy - 41");
    assert_ok(w.nodes[1].copy_status);
    expect("messages - 1");
    assert_string_equal(w.nodes[1].last_text, "one");
    both_online(); /* both come the straight way too */
    after(PV_S(2), "messages - 2");
    assert_ok(give_copy(2, 42)); /* and then the other's copy */
    expect("messages - 2, copies - 2");
    assert_conversation(0);
}

PV_TEST(a_stored_copy_that_cannot_be_stored_is_told)
{
    send_and_wait(0, "one", PV_S(1));
    w.job_fail_pc = 100;
    assert_ok(give_copy(1, 41));
    expect("copies - 1");
    assert_true(w.nodes[1].copy_status < 0);
    w.job_fail_pc = 0;
    assert_ok(give_copy(1, 41));
    assert_ok(w.nodes[1].copy_status);
    expect("messages - 1");
    const struct pv_chatlink_copy own = {.pk = w.nodes[1].pk, .text = pv_view("x", 1)};
    assert_int_equal(pv_chatlink_take_copy(w.nodes[1].link, &own, w.now), PV_ERR_REFUSED);
}

PV_TEST(a_stored_copy_behind_one_that_fails_is_told_too)
{
    send_text(0, "one");
    send_and_wait(0, "two", PV_S(1));
    w.job_fail_pc = 100;
    assert_ok(put_copy(1, 41));
    assert_ok(put_copy(2, 42)); /* waits until the first is stored */
    after(PV_S(1), "copies - 2");
    assert_true(w.nodes[1].copy_status < 0);
    w.job_fail_pc = 0;
    assert_ok(give_copy(1, 43));
    assert_ok(w.nodes[1].copy_status);
}

PV_TEST(a_message_seen_live_is_read)
{
    begin_with_one();
    pv_chatlink_seen(w.nodes[1].link, w.nodes[0].pk, stored(1, 0)->rec.id, w.now);
    run_for(PV_S(1));
    assert_int_equal(stored(1, 0)->rec.state, PV_CHAT_READ);
    assert_int_equal(stored(0, 0)->rec.state, PV_CHAT_READ);
    expect("states 3 -"); /* sent, delivered, read */
}

/* Any kind of job may fail: nothing is asked of the store in a loop, and it heals. */
PV_TEST(a_store_that_fails_is_not_asked_in_a_loop)
{
    for (unsigned kind = PV_CHATJOB_ENQUEUE; kind <= PV_CHATJOB_COUNTS; kind++) {
        both_online();
        run_for(PV_S(1));
        w.fail_kind = (enum pv_chatjob_kind)kind;
        w.fails_kind = kind != PV_CHATJOB_COUNTS;
        send_and_wait(0, "hello", PV_S(5));
        if (chat_db_count(w.nodes[1].db) > 0)
            pv_chatlink_seen(w.nodes[1].link, w.nodes[0].pk, stored(1, 0)->rec.id, w.now);
        kill_node(0);
        w.fails_kind = true;
        start(0);
        both_online();
        unsigned before = w.jobs_done;
        run_for(PV_S(120));
        assert_in_range(w.jobs_done - before, 0, 150);
        w.fails_kind = false;
        run_for(PV_S(120));
        assert_conversation(0);
        begin_anew(state);
    }
}

PV_TEST(a_full_disk_is_told_and_heals)
{
    both_online();
    run_for(PV_S(1));
    w.job_fail_pc = 100;
    send_text(0, "lost");
    after(PV_S(1), "failed 1 -");
    w.job_fail_pc = 0;
    send_and_wait(0, "kept", PV_MS(30)); /* stored, on its way */
    w.job_fail_pc = 100;
    after(PV_S(30), "messages - 0, states 0 -");
    w.job_fail_pc = 0;
    run_for(PV_S(120));
    assert_string_equal(w.nodes[1].last_text, "kept");
    assert_conversation(0);
}

PV_TEST(a_store_that_never_answers_is_given_up)
{
    both_online();
    run_for(PV_S(1));
    send_and_wait(0, "hello", PV_MS(65)); /* at bob's store */
    for (size_t k = 0; k < w.nodes[1].n_jobs; k++)
        job_free(&w.nodes[1].jobs[k]);
    w.nodes[1].n_jobs = 0; /* lost */
    run_for(PV_S(120));
    assert_conversation(0);
}

/* The page asked for belongs to a window that is gone when it comes. */
PV_TEST(a_page_of_the_outbox_that_comes_too_late_is_dropped)
{
    for (int which = 0; which < 2; which++) {
        for (int i = 0; i < 60; i++)
            assert_ok(send_text(0, "x"));
        send_and_wait(1, "y", PV_S(5));
        both_online(); /* both open a connection */
        struct node *n = &w.nodes[0];
        struct job *page = NULL;
        for (int ms = 0; ms < 1000 && page == NULL; ms++) {
            run_for(PV_MS(1));
            for (size_t k = 0; k < n->n_jobs; k++) {
                if (n->jobs[k].job->kind == PV_CHATJOB_OUTBOX && n->jobs[k].job->after_seq > 0)
                    page = &n->jobs[k];
            }
        }
        assert_non_null(page);
        page->told_at += PV_MS(500);
        for (struct pipe *p = w.pipes; p < w.pipes + MAX_PIPES; p++) {
            if (p->used && p->node[0] == which)
                cut(p);
        }
        run_for(PV_S(100));
        assert_conversation(0);
        begin_anew(state);
    }
}

/* --- anything may happen at any time ------------------------------------------------------- */

static void disturb(void)
{
    int i = (int)chance(2);
    switch (chance(9)) {
    case 0:
    case 1:
    case 2: {
        if (w.nodes[i].link != NULL)
            assert_ok(send_text(i, PV_STR("message %u", (unsigned)chance(1000000))));
        break;
    }
    case 3:
        if (w.nodes[i].link != NULL)
            kill_node(i);
        break;
    case 4:
    case 5:
        if (w.nodes[i].link == NULL)
            start(i);
        online(i, true);
        break;
    case 6: {
        struct pipe *p = &w.pipes[chance(4)];
        if (p->used)
            cut(p);
        break;
    }
    case 7:
        online(i, chance(3) > 0);
        break;
    default:
        w.job_fail_pc = chance(3) == 0 ? 20 : 0;
        w.job_ms = (unsigned)chance(60);
        break;
    }
}

PV_TEST(every_message_arrives_once_and_in_order)
{
    for (unsigned seed = 1; seed <= 50; seed++) {
        w.rng.state = w.seed = seed;
        for (int i = 0; i < 2 && seed % 2 == 1; i++) { /* half of the worlds prove who they are */
            w.nodes[i].proves = true;
            restart(i);
        }
        both_online();
        for (int step = 0; step < 120; step++) {
            disturb();
            run_for(PV_MS(chance(chance(4) == 0 ? 3000 : 120)));
        }
        /* Then there is peace. */
        w.job_fail_pc = 0;
        w.job_ms = 5;
        for (int i = 0; i < 2; i++) {
            if (w.nodes[i].link == NULL)
                start(i);
        }
        run_for(PV_S(40));
        both_online();
        run_for(PV_S(200));
        assert_conversations();
        w.seed = 0;
        begin_anew(state);
    }
}

/* --- a receiver that takes no more messages for now ------------------------------------------ */

/* Node 1 has read everything. */
static void read_all(void)
{
    chat_db_sql(w.nodes[1].db, "UPDATE chat_message SET state = 2 WHERE outgoing = 0");
}

/* Node 1 takes so many unread messages of node 0. */
static void leave_room(unsigned messages)
{
    chat_db_leave_room(w.nodes[1].db, w.nodes[0].pk, messages);
}

PV_TEST(a_receiver_that_has_enough_gets_the_rest_later)
{
    const char *name;
    leave_room(10);
    send_numbers(40);
    assert_int_equal(pv_chatlink_held(w.nodes[0].link, w.nodes[1].pk), PV_CHAT_LATER_NO);
    both_online();
    after(PV_S(20), "messages - 10");
    assert_string_equal(w.nodes[1].last_text, "9");
    assert_int_equal(pv_chatlink_held(w.nodes[0].link, w.nodes[1].pk), PV_CHAT_LATER_FULL);
    expect("requeued 1 -"); /* said of the first one left */
    assert_int_equal(pv_chatlink_holding(w.nodes[1].link, &name), 1);
    assert_string_equal(name, "anna");
    expect("left_for_later - 1");
    assert_int_equal(pv_chatlink_holding(w.nodes[0].link, &name), 0);
    /* It is asked again with a pause that grows, on the connection that is there. */
    unsigned jobs = w.jobs_done;
    run_for(PV_S(3600));
    assert_in_range(w.jobs_done - jobs, 6, 30);
    expect("messages - 10, left_for_later - 1"); /* said once, not with each look */
    assert_int_equal(open_pipes(), 1);
    /* Lines in the other direction are not held up. */
    send_and_wait(1, "hold on", PV_S(2));
    assert_string_equal(w.nodes[0].last_text, "hold on");
    expect("left_for_later 0 -");

    read_all(); /* remedy: read_or_clear */
    leave_room(100);
    after(PV_S(PV_CHATLINK_LATER_MAX_S + 60), "messages - 40");
    assert_int_equal(pv_chatlink_held(w.nodes[0].link, w.nodes[1].pk), PV_CHAT_LATER_NO);
    assert_int_equal(pv_chatlink_holding(w.nodes[1].link, &name), 0);
    assert_conversations();
}

/* The connection is the receiver's own, which no rule about the sender closes. */
PV_TEST(a_message_that_a_rule_denies_waits_at_its_sender_until_the_rule_is_gone)
{
    w.nodes[1].denies = true;
    send_text(1, "mine");
    send_numbers(3);
    both_online();
    run_for(PV_S(20));
    assert_string_equal(w.nodes[0].last_text, "mine");
    expect("messages - 0");
    assert_int_equal(pv_chatlink_held(w.nodes[0].link, w.nodes[1].pk), PV_CHAT_LATER_RULES);
    after(PV_S(3600), "messages - 0");
    w.nodes[1].denies = false;
    pv_chatlink_rules_changed(w.nodes[0].link, w.now);
    after(PV_S(1), "messages - 3");
    assert_int_equal(pv_chatlink_held(w.nodes[0].link, w.nodes[1].pk), PV_CHAT_LATER_NO);
    assert_conversations();
}

/* Its own rules are asked, not the receiver, which does not even hear of it. The other direction
 * goes on. */
PV_TEST(a_message_that_the_senders_own_rules_deny_says_so_and_is_not_tried)
{
    w.nodes[0].barred = true;
    pv_chatlink_rules_changed(w.nodes[0].link, w.now);
    assert_int_equal(pv_chatlink_held(w.nodes[0].link, w.nodes[1].pk), PV_CHAT_LATER_NO);
    send_numbers(3);
    run_for(PV_S(1));
    assert_int_equal(pv_chatlink_held(w.nodes[0].link, w.nodes[1].pk), PV_CHAT_LATER_RULES);
    both_online();
    after(PV_S(3600), "opens 0 -, messages - 0");
    assert_int_equal(pv_chatlink_held(w.nodes[0].link, w.nodes[1].pk), PV_CHAT_LATER_RULES);
    send_and_wait(1, "mine", PV_S(2));
    assert_string_equal(w.nodes[0].last_text, "mine");
    after(PV_S(3600), "messages - 0");
    w.nodes[0].barred = false;
    pv_chatlink_rules_changed(w.nodes[0].link, w.now);
    after(PV_S(1), "messages - 3");
    assert_int_equal(pv_chatlink_held(w.nodes[0].link, w.nodes[1].pk), PV_CHAT_LATER_NO);
    assert_conversations();
}

/* The rule came while attempts went unanswered. */
PV_TEST(an_attempt_that_a_rule_forbids_meanwhile_is_no_silence_of_the_receiver)
{
    w.nodes[1].deaf = true;
    send_numbers(3);
    both_online();
    run_for(PV_S(3 * PV_CHATLINK_CONNECT_S));
    assert_int_equal(pv_chatlink_held(w.nodes[0].link, w.nodes[1].pk), PV_CHAT_LATER_SILENT);
    w.nodes[0].barred = true;
    pv_chatlink_rules_changed(w.nodes[0].link, w.now);
    const unsigned opens = w.nodes[0].opens;
    run_for(PV_S(3600));
    assert_int_equal(w.nodes[0].opens, opens);
    assert_int_equal(pv_chatlink_held(w.nodes[0].link, w.nodes[1].pk), PV_CHAT_LATER_RULES);
    w.nodes[0].barred = w.nodes[1].deaf = false;
    pv_chatlink_rules_changed(w.nodes[0].link, w.now);
    assert_int_equal(pv_chatlink_held(w.nodes[0].link, w.nodes[1].pk), PV_CHAT_LATER_NO);
    after(PV_S(1), "messages - 3");
    assert_conversations();
}

/* By then nothing comes in on it, not even that a message has arrived. */
PV_TEST(a_connection_that_its_opener_may_not_have_any_more_ends_at_once)
{
    begin_with_one();
    assert_int_equal(w.nodes[1].opens, 0);
    w.nodes[1].denies = true;
    pv_chatlink_rules_changed(w.nodes[1].link, w.now);
    run_for(PV_MS(100));
    assert_int_equal(open_pipes(), 0);
    send_and_wait(1, "mine", PV_S(1));
    assert_string_equal(w.nodes[0].last_text, "mine");
    assert_int_equal(w.nodes[1].opens, 1);
    /* That one is of who may: the next rules leave it. */
    pv_chatlink_rules_changed(w.nodes[1].link, w.now);
    send_and_wait(1, "again", PV_S(1));
    assert_string_equal(w.nodes[0].last_text, "again");
    assert_int_equal(w.nodes[1].opens, 1);
    assert_conversations();
}

/* A message under way on it is said again on this node's own. */
PV_TEST(a_message_on_a_connection_that_is_forbidden_goes_out_on_another)
{
    begin_with_one();
    assert_ok(send_text(1, "mine"));
    run_for(PV_MS(6));
    w.nodes[1].denies = true;
    pv_chatlink_rules_changed(w.nodes[1].link, w.now);
    run_for(PV_S(1));
    assert_string_equal(w.nodes[0].last_text, "mine");
    assert_int_equal(w.nodes[1].opens, 1);
    assert_conversations();
}

/* It is online, so something is between: the user is told, until it answers or goes. */
PV_TEST(a_receiver_behind_a_firewall_is_told_apart_from_one_that_is_away)
{
    w.nodes[1].deaf = true;
    send_numbers(3);
    both_online();
    run_for(PV_S(PV_CHATLINK_CONNECT_S - 2));
    assert_int_equal(pv_chatlink_held(w.nodes[0].link, w.nodes[1].pk), PV_CHAT_LATER_NO);
    run_for(PV_S(4));
    assert_int_equal(pv_chatlink_held(w.nodes[0].link, w.nodes[1].pk), PV_CHAT_LATER_SILENT);
    pv_chatlink_peer_offline(w.nodes[0].link, w.nodes[1].pk, w.now);
    assert_int_equal(pv_chatlink_held(w.nodes[0].link, w.nodes[1].pk), PV_CHAT_LATER_NO);
    both_online();
    run_for(PV_S(2 * PV_CHATLINK_CONNECT_S));
    assert_int_equal(pv_chatlink_held(w.nodes[0].link, w.nodes[1].pk), PV_CHAT_LATER_SILENT);
    /* The other has something to say: its own connection answers, too. */
    send_and_wait(1, "hello", PV_S(2));
    assert_int_equal(pv_chatlink_held(w.nodes[0].link, w.nodes[1].pk), PV_CHAT_LATER_NO);
    after(PV_S(2), "messages - 3");
    assert_conversations();
}

PV_TEST(a_message_left_for_later_survives_restarts_of_both)
{
    leave_room(3);
    send_numbers(30);
    both_online();
    for (int i = 0; i < 12; i++) {
        run_for(PV_S(40));
        restart(i % 2);
        read_all();
        both_online();
    }
    leave_room(PV_CHATJOB_MAX_UNREAD);
    run_for(PV_S(2 * PV_CHATLINK_LATER_MAX_S));
    assert_conversation(0);
}

/* The peer's message of this number. */
static void say_number(uint32_t sid, unsigned i, const char *text)
{
    char line[PV_CHAT_LINE_MAX];
    const uint8_t id[PV_CHAT_ID_LEN] = {(uint8_t)i, (uint8_t)(i >> 8)};
    size_t len = 0;
    assert_ok(pv_chat_write_message(id, i, wall_ms(), text, line, &len));
    pv_chatlink_handle_bytes(w.nodes[1].link, sid, pv_view(line, len), wall_ms(), w.now);
}

/* An attacker, or a program that does not know the answer, sends on and on. */
PV_TEST(a_peer_that_does_not_wait_costs_nothing)
{
    leave_room(1);
    uint32_t sid = connect_by_hand();
    for (unsigned i = 1; i < 5000; i++) {
        say_number(sid, i, "hello");
        if (i % 50 == 0)
            run_for(PV_MS(200));
    }
    expect("messages - 1");
    assert_in_range(w.jobs_done, 1, 10);
    read_all();
    /* A message before the first one that was refused, and then that one itself, count again. */
    say_number(sid, 2, "second");
    after(PV_S(1), "messages - 2");
    assert_string_equal(w.nodes[1].last_text, "second");
}

PV_TEST(plain_text_that_is_not_taken_ends_its_connection)
{
    leave_room(1);
    uint32_t sid = connect_by_hand();
    type_text(sid, "one\n");
    run_for(PV_S(1));
    type_text(sid, "two\n");
    run_for(PV_S(1));
    unsigned jobs = w.jobs_done;
    type_text(sid, "three\n"); /* nobody listens any more */
    run_for(PV_S(1));
    assert_int_equal(w.jobs_done, jobs);
    expect("messages - 1");
}

PV_TEST(a_stored_copy_without_room_is_told_so)
{
    leave_room(1);
    send_text(0, "one");
    send_and_wait(0, "two", PV_S(1));
    assert_ok(give_copy(1, 41));
    assert_ok(w.nodes[1].copy_status);
    assert_ok(give_copy(2, 42));
    expect("copies - 2, copy - 42");
    assert_int_equal(w.nodes[1].copy_status, PV_ERR_REFUSED);
}
