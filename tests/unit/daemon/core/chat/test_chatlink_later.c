/* SPDX-License-Identifier: MIT */
/* A receiver that takes no more messages for now: what its sender does, and what it costs. */
#include "chat_world.h"

static uint32_t connect_by_hand(void)
{
    struct pv_chatlink_source source = {.who = PV_CHATLINK_MEMBER, .name = "anna"};
    uint32_t sid = 0;
    source.pk[0] = 1;
    assert_int_equal(pv_chatlink_accepted(w.nodes[1].link, &source, w.now, &sid), PV_OK);
    return sid;
}

static void type_text(uint32_t sid, const char *text)
{
    pv_chatlink_handle_bytes(w.nodes[1].link, sid, pv_view(text, strlen(text)), wall_ms(), w.now);
}

static int put_copy(uint64_t seq, uint64_t number)
{
    const struct pv_chat_record *m = &w.nodes[0].store.rows[seq - 1].rec;
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

static void send_numbers(int n)
{
    for (int i = 0; i < n; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%d", i);
        assert_int_equal(send_text(0, text), PV_OK);
    }
    run_for(PV_S(10));
}

/* Node 1 has read everything. */
static void read_all(void)
{
    for (size_t i = 0; i < w.nodes[1].store.n_rows; i++)
        w.nodes[1].store.rows[i].rec.state = PV_CHAT_READ;
}

PV_TEST_WORLD(setup, teardown);

PV_TEST(a_receiver_that_has_enough_gets_the_rest_later)
{
    const char *name;
    w.nodes[1].store.max_unread = 10;
    send_numbers(40);
    assert_int_equal(pv_chatlink_held(w.nodes[0].link, w.nodes[1].pk), PV_CHAT_LATER_NO);
    both_online();
    run_for(PV_S(20));
    assert_int_equal(w.nodes[1].messages, 10);
    assert_string_equal(w.nodes[1].last_text, "9");
    assert_int_equal(pv_chatlink_held(w.nodes[0].link, w.nodes[1].pk), PV_CHAT_LATER_FULL);
    assert_int_equal(w.nodes[0].requeued, 1); /* said of the first one left */
    assert_int_equal(pv_chatlink_holding(w.nodes[1].link, &name), 1);
    assert_string_equal(name, "anna");
    assert_int_equal(pv_chatlink_holding(w.nodes[0].link, &name), 0);
    /* It is asked again with a pause that grows, on the connection that is there. */
    unsigned jobs = w.jobs_done;
    run_for(PV_S(3600));
    assert_in_range(w.jobs_done - jobs, 6, 30);
    assert_int_equal(w.nodes[1].messages, 10);
    assert_int_equal(open_pipes(), 1);
    /* Lines in the other direction are not held up. */
    send_text(1, "hold on");
    run_for(PV_S(2));
    assert_string_equal(w.nodes[0].last_text, "hold on");

    read_all();
    w.nodes[1].store.max_unread = 100;
    run_for(PV_S(PV_CHATLINK_LATER_MAX_S + 60));
    assert_int_equal(w.nodes[1].messages, 40);
    assert_int_equal(pv_chatlink_held(w.nodes[0].link, w.nodes[1].pk), PV_CHAT_LATER_NO);
    assert_int_equal(pv_chatlink_holding(w.nodes[1].link, &name), 0);
    assert_conversation(0, true);
    assert_conversation(1, true);
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
    assert_int_equal(w.nodes[1].messages, 0);
    assert_int_equal(pv_chatlink_held(w.nodes[0].link, w.nodes[1].pk), PV_CHAT_LATER_RULES);
    run_for(PV_S(3600));
    assert_int_equal(w.nodes[1].messages, 0);
    w.nodes[1].denies = false;
    pv_chatlink_rules_changed(w.nodes[0].link, w.now);
    run_for(PV_S(1));
    assert_int_equal(w.nodes[1].messages, 3);
    assert_int_equal(pv_chatlink_held(w.nodes[0].link, w.nodes[1].pk), PV_CHAT_LATER_NO);
    assert_conversation(0, true);
    assert_conversation(1, true);
}

PV_TEST(a_message_left_for_later_survives_restarts_of_both)
{
    w.nodes[1].store.max_unread = 3;
    send_numbers(30);
    both_online();
    for (int i = 0; i < 12; i++) {
        run_for(PV_S(40));
        kill_node(i % 2);
        start(i % 2);
        read_all();
        both_online();
    }
    w.nodes[1].store.max_unread = 0;
    run_for(PV_S(2 * PV_CHATLINK_LATER_MAX_S));
    assert_conversation(0, true);
}

/* An attacker, or a program that does not know the answer, sends on and on. */
PV_TEST(a_peer_that_does_not_wait_costs_nothing)
{
    char line[PV_CHAT_LINE_MAX];
    w.nodes[1].store.max_unread = 1;
    uint32_t sid = connect_by_hand();
    for (unsigned i = 1; i < 5000; i++) {
        const uint8_t id[PV_CHAT_ID_LEN] = {(uint8_t)i, (uint8_t)(i >> 8)};
        size_t len = 0;
        assert_int_equal(pv_chat_write_message(id, i, wall_ms(), "hello", line, &len), PV_OK);
        pv_chatlink_handle_bytes(w.nodes[1].link, sid, pv_view(line, len), wall_ms(), w.now);
        if (i % 50 == 0)
            run_for(PV_MS(200));
    }
    assert_int_equal(w.nodes[1].messages, 1);
    assert_in_range(w.jobs_done, 1, 10);
    read_all();
    /* A message before the first one that was refused, and then that one itself, count again. */
    const uint8_t id[PV_CHAT_ID_LEN] = {2};
    size_t len = 0;
    assert_int_equal(pv_chat_write_message(id, 2, wall_ms(), "second", line, &len), PV_OK);
    pv_chatlink_handle_bytes(w.nodes[1].link, sid, pv_view(line, len), wall_ms(), w.now);
    run_for(PV_S(1));
    assert_int_equal(w.nodes[1].messages, 2);
    assert_string_equal(w.nodes[1].last_text, "second");
}

PV_TEST(plain_text_that_is_not_taken_ends_its_connection)
{
    w.nodes[1].store.max_unread = 1;
    uint32_t sid = connect_by_hand();
    type_text(sid, "one\n");
    run_for(PV_S(1));
    type_text(sid, "two\n");
    run_for(PV_S(1));
    unsigned jobs = w.jobs_done;
    type_text(sid, "three\n"); /* nobody listens any more */
    run_for(PV_S(1));
    assert_int_equal(w.jobs_done, jobs);
    assert_int_equal(w.nodes[1].messages, 1);
}

PV_TEST(a_stored_copy_without_room_is_told_so)
{
    w.nodes[1].store.max_unread = 1;
    send_text(0, "one");
    send_text(0, "two");
    run_for(PV_S(1));
    assert_int_equal(give_copy(1, 41), PV_OK);
    assert_int_equal(w.nodes[1].copy_status, PV_OK);
    assert_int_equal(give_copy(2, 42), PV_OK);
    assert_int_equal(w.nodes[1].copies, 2);
    assert_int_equal(w.nodes[1].copy, 42);
    assert_int_equal(w.nodes[1].copy_status, PV_ERR_REFUSED);
}
