/* SPDX-License-Identifier: MIT */
/* The speaker in a connection is the peer's daemon: nobody else on its machine gets a message, a
 * room or a receipt, or speaks for it, and no number of connections keeps others out. */
#include "tests/unit/chat/core/talk/chat_world.h"

/* Two daemons that prove themselves, and that see each other. */
static int begin(void **state)
{
    setup(state);
    for (int i = 0; i < 2; i++) {
        w.nodes[i].proves = true;
        restart(i);
    }
    both_online();
    run_for(PV_S(1));
    return 0;
}

PV_TEST_WORLD(begin, teardown);

/* A connection to node 1 from node 0's address, by whoever is there. */
static uint32_t dial(void)
{
    struct pv_chatlink_source source = {.who = PV_CHATLINK_MEMBER, .name = "anna"};
    uint32_t sid = 0;
    memcpy(source.pk, w.nodes[0].pk, sizeof(source.pk));
    assert_ok(pv_chatlink_accepted(w.nodes[1].link, &source, w.now, &sid));
    return sid;
}

/* Nobody is asked who types there. */
static void type_line(uint32_t sid, const char *text)
{
    pv_chatlink_handle_bytes(w.nodes[1].link, sid, pv_view(text, strlen(text)), wall_ms(), w.now);
}

/* The words of node 1 there, which are taken; empty: nothing. */
static const char *heard(uint32_t sid)
{
    static char text[512];
    struct pv_view out = pv_chatlink_out(w.nodes[1].link, sid);
    assert_true(out.len < sizeof(text));
    if (out.len > 0)
        memcpy(text, out.ptr, out.len);
    text[out.len] = '\0';
    pv_chatlink_wrote(w.nodes[1].link, sid, out.len, w.now);
    return text;
}

/* Has node 1 asked for this connection's end? */
static bool closes(uint32_t sid)
{
    struct pv_stream_op op;
    while (pv_streams_next_op(&w.nodes[1].streams, &op) == PV_OK) {
        if (op.type == PV_STREAM_CLOSE && pv_sid_local(op.sid) == sid)
            return true;
    }
    return false;
}

static void type_proof(uint32_t sid, const struct pv_proof_line *line)
{
    char buf[PV_PROOF_LINE_MAX + 1];
    size_t n = pv_proof_line_write(line, buf);
    buf[n] = '\0';
    type_line(sid, buf);
}

/* As node 0's daemon would: the opener's proof for this nonce of node 1. */
static void prove(const uint8_t *nonce, const char *answer, struct pv_proof_line *ret_line)
{
    struct pv_proof_line theirs;
    uint8_t key[PV_PROOF_KEY_LEN];
    assert_ok(pv_proof_line_parse(pv_view(answer, strlen(answer) - 1), &theirs));
    assert_true(pv_linkkeys_key(w.nodes[0].keys, w.nodes[1].pk, key));
    const struct pv_proof proof = {.key = key,
                                   .opener = w.nodes[0].pk,
                                   .acceptor = w.nodes[1].pk,
                                   .opener_nonce = nonce,
                                   .acceptor_nonce = theirs.nonce};
    assert_true(pv_proof_is_right(&proof, PV_PROOF_CHAT_ACCEPTED, theirs.mac));
    *ret_line = (struct pv_proof_line){.has_mac = true};
    pv_proof_mac(&proof, PV_PROOF_CHAT_OPENED, ret_line->mac);
}

PV_TEST(two_daemons_prove_themselves_and_talk)
{
    assert_int_equal(pv_linkkeys_state(w.nodes[0].keys, w.nodes[1].pk), PV_LINKKEYS_CONFIRMED);
    for (int i = 0; i < 20; i++) {
        assert_ok(send_text(0, "hello"));
        assert_ok(send_text(1, "hello to you"));
    }
    run_for(PV_S(5));
    assert_conversations();
    assert_in_range(open_pipes(), 1, 2);
    assert_int_equal(pv_chatlink_counts(w.nodes[1].link).unproven, 0);
}

/* Frames by which a stranger on the peer's machine took messages, rooms and receipts. */
PV_TEST(a_frame_without_a_proof_ends_the_connection)
{
    const char *const frames[] = {
        test_given("ack AAECAwQFBgcICQoLDA0ODw"),   test_given("AAECAwQFBgcICQoLDA0ODw seq time"),
        test_given("room AAECAwQFBgcICQoLDA0ODw"),  test_given("copy AAECAwQFBgcICQoLDA0ODw x"),
        "{\"noted\":\"AAECAwQFBgcICQoLDA0ODw\"}\n", test_given("proof"),
    };
    w.network = false; /* node 1 cannot reach the daemon itself */
    assert_ok(send_text(1, "a secret"));
    run_for(PV_S(1));
    for (size_t i = 0; i < PV_ARRAY_LEN(frames); i++) {
        uint32_t sid = dial();
        type_line(sid, frames[i]);
        assert_string_equal(heard(sid), "");
        assert_true(closes(sid));
        assert_int_equal(pv_chatlink_counts(w.nodes[1].link).unproven, i + 1);
    }
    expect("messages - 0");
    assert_int_equal(stored(1, 0)->rec.state, PV_CHAT_QUEUED);
}

PV_TEST(plain_text_goes_in_and_nothing_comes_out)
{
    w.network = false;
    uint32_t sid = dial();
    type_line(sid, "typed by somebody\n");
    assert_ok(send_text(1, "a secret"));
    after(PV_S(1), "messages - 1");
    assert_int_equal(stored(1, 0)->rec.seq, 0); /* which is how it is told apart */
    assert_string_equal(heard(sid), "");
}

/* A stranger may hang up at once, and say more than a message has room for. */
PV_TEST(plain_text_need_not_end_in_a_line)
{
    static char much[PV_CHAT_LINE_MAX];
    uint32_t sid = dial();
    type_line(sid, "first\nsec");
    after(PV_MS(100), "messages - 1");
    type_line(sid, "ond\n");
    after(PV_MS(100), "messages - 2");
    assert_string_equal(stored(1, 1)->rec.text, "second");
    type_line(sid, "without a newline");
    pv_chatlink_closed(w.nodes[1].link, sid, w.now);
    after(PV_S(1), "messages - 3");
    assert_string_equal(stored(1, 2)->rec.text, "without a newline");
    sid = dial();
    memset(much, 'x', sizeof(much) - 1);
    for (size_t i = 999; i < sizeof(much) - 1; i += 1000)
        much[i] = '\n';
    type_line(sid, much);
    type_line(sid, "end\n");
    run_for(PV_MS(100));
    assert_true(w.nodes[1].messages > 50);
}

PV_TEST(plain_text_can_be_refused)
{
    kill_node(1);
    w.plain_off = true;
    start(1);
    uint32_t sid = dial();
    type_line(sid, "\nhello\n");
    assert_true(closes(sid));
    sid = dial();
    type_line(sid, "no newline");
    pv_chatlink_closed(w.nodes[1].link, sid, w.now);
    after(PV_S(1), "messages - 0");
    assert_int_equal(pv_chatlink_counts(w.nodes[1].link).unproven, 2);
}

/* Somebody has taken the peer's port while its daemon did not listen. */
PV_TEST(a_stranger_who_only_has_the_port_gets_nothing)
{
    const char *const answers[] = {
        test_given("ack AAECAwQFBgcICQoLDA0ODw"),
        test_given("hello noted"),
        test_given("proof"),
        "{\"prove\":\"AAECAwQFBgcICQoLDA0ODw\"}\n",
        test_given("prove AAECAwQFBgcICQoLDA0ODw"),
    };
    struct pv_chatlink *link = w.nodes[0].link;
    struct pv_stream_op op;
    w.network = false;
    assert_ok(send_text(0, "a secret"));
    for (size_t i = 0; i < PV_ARRAY_LEN(answers); i++) {
        /* The daemon's attempt, taken out of the world's hands. */
        do {
            w.now += PV_MS(100);
            tell_secrets(0);
            take_jobs(&w.nodes[0]);
            serve_jobs(0);
            pv_chatqueue_handle_timeout(&w.nodes[0].queue, w.now);
            if (pv_chatlink_next_timeout(link) <= w.now)
                pv_chatlink_handle_timeout(link, w.now);
        } while (pv_streams_next_op(&w.nodes[0].streams, &op) != PV_OK ||
                 op.type != PV_STREAM_OPEN);
        uint32_t sid = pv_sid_local(op.sid);
        pv_chatlink_connected(link, sid, w.now);
        struct pv_view out = pv_chatlink_out(link, sid);
        assert_int_equal(out.len, strlen("{\"prove\":\"AAECAwQFBgcICQoLDA0ODw\"}\n"));
        pv_chatlink_wrote(link, sid, out.len, w.now);
        pv_chatlink_handle_bytes(link, sid, pv_view(answers[i], strlen(answers[i])), wall_ms(),
                                 w.now);
        assert_int_equal(pv_chatlink_out(link, sid).len, 0);
    }
    assert_int_equal(stored(0, 0)->rec.state, PV_CHAT_QUEUED);
}

PV_TEST(a_proof_counts_for_its_connection_only)
{
    const struct pv_proof_line hello = {.has_nonce = true, .nonce = {1, 2, 3}};
    struct pv_proof_line proof;
    uint32_t first = dial(), second = dial();
    type_proof(first, &hello);
    prove(hello.nonce, heard(first), &proof);
    type_proof(second, &hello);
    heard(second);
    type_proof(second, &proof); /* the same nonce, another connection */
    assert_true(closes(second));
    assert_int_equal(pv_chatlink_counts(w.nodes[1].link).unproven, 1);
    type_proof(first, &proof);
    assert_int_equal(pv_chatlink_counts(w.nodes[1].link).unproven, 1);
    assert_ok(pv_chatlink_say(w.nodes[1].link, w.nodes[0].pk, pv_view("x\n", 2)));
}

PV_TEST(an_acceptors_proof_is_none_of_an_opener)
{
    const struct pv_proof_line hello = {.has_nonce = true, .nonce = {1, 2, 3}};
    struct pv_proof_line echo;
    uint32_t sid = dial();
    type_proof(sid, &hello);
    const char *answer = heard(sid);
    assert_ok(pv_proof_line_parse(pv_view(answer, strlen(answer) - 1), &echo));
    echo.has_nonce = false;
    type_proof(sid, &echo);
    assert_true(closes(sid));
    sid = dial(); /* nor may it ask twice for another nonce */
    type_proof(sid, &hello);
    type_proof(sid, &hello);
    assert_true(closes(sid));
}

PV_TEST(another_life_of_the_daemon_needs_another_proof)
{
    assert_ok(send_text(0, "one"));
    after(PV_S(2), "messages - 1");
    /* Node 0's machine dies; its end of the connection stays open for node 1. */
    struct pipe *p = w.pipes;
    while (!p->used)
        p++;
    uint32_t sid = p->node[0] == 1 ? p->sid[0] : p->sid[1];
    pipe_free(p);
    restart(0);
    online(0, true);
    tell_secrets(0);
    assert_true(closes(sid));
    run_for(PV_S(2));
    assert_ok(send_text(1, "two"));
    after(PV_S(5), "messages 1 -");
}

PV_TEST(nothing_is_opened_before_there_is_a_key)
{
    kill_node(0);
    w.nodes[1].mute = true;
    start(0);
    online(0, true);
    assert_ok(send_text(0, "hello"));
    after(PV_S(100), "opens 0 -");
    w.nodes[1].mute = false;
    after(PV_S(PV_LINKKEYS_RETRY_MAX_S), "messages - 1");
}

static int connect_as(uint8_t peer, uint32_t *ret_sid)
{
    struct pv_chatlink_source source = {.who = PV_CHATLINK_MEMBER, .name = "m"};
    source.pk[0] = peer;
    return pv_chatlink_accepted(w.nodes[1].link, &source, w.now, ret_sid);
}

/* Is this connection still there? One that is gives its plain text to the store. */
static bool is_there(uint32_t sid)
{
    size_t rows = chat_db_count(w.nodes[1].db);
    type_line(sid, "hello\n");
    run_for(PV_MS(100));
    return chat_db_count(w.nodes[1].db) > rows;
}

PV_TEST(many_connections_of_some_keep_nobody_out)
{
    uint32_t sid = 0, honest = 0;
    assert_ok(connect_as(200, &honest));
    for (uint8_t round = 0; round < 20; round++) {
        for (uint8_t bad = 0; bad < 32; bad++) {
            w.now += PV_MS(1);
            assert_ok(connect_as((uint8_t)(100 + bad), &sid));
        }
    }
    assert_true(is_there(honest));
    assert_ok(connect_as(201, &sid));
    assert_true(is_there(sid));
    /* And the daemons still find a place. */
    assert_ok(send_text(0, "from the daemon"));
    run_for(PV_S(3));
    assert_string_equal(w.nodes[1].last_text, "from the daemon");
}

/* Answers what the link asks of the store at its start: nothing waits. */
static void know_the_backlog(struct pv_chatqueue *jobs, pv_ns now)
{
    struct pv_chatjob_result none = {.n_backlog = 0};
    struct pv_chatjob *job;
    uint64_t tag;
    while (take_chat_job(jobs, &tag, &job)) {
        answer_chat_job(jobs, tag, PV_OK, &none, now);
        pv_chatjob_free(job);
    }
}

/* As many members as there are connections talk all the time: this node's own message goes out. */
PV_TEST(members_that_talk_leave_room_for_what_this_node_has_to_say)
{
    static const char line[] = "{\"noted\":\"AAECAwQFBgcICQoLDA0ODw\"}\n";
    struct test_rng seed;
    struct pv_chatqueue queue;
    struct pv_streams streams = {0};
    struct pv_fifo lines = {0};
    const struct pv_chatlink_config cfg = {.rng = test_rng_make(&seed, 1),
                                           .own_pk = {1},
                                           .jobs = &queue,
                                           .streams = &streams,
                                           .lines = &lines};
    const struct pv_addr addr = pv_addr4(10, 66, 0, 7, 0);
    struct pv_chatlink_source source = {.who = PV_CHATLINK_MEMBER, .name = "m"};
    struct pv_stream_op op;
    struct pv_chatlink *link;
    uint32_t sid, first = 0;
    pv_ns now = PV_S(1000);
    pv_chatqueue_init(&queue, &cfg.rng, NULL);
    assert_ok(pv_chatlink_new(&link, &cfg, now));
    know_the_backlog(&queue, now);
    for (unsigned i = 0; i < PV_CHATLINK_MAX_CONNS; i++, now += PV_MS(1)) {
        source.pk[0] = 2;
        source.pk[1] = (uint8_t)i;
        assert_ok(pv_chatlink_accepted(link, &source, now, &sid));
        pv_chatlink_handle_bytes(link, sid, pv_view(line, sizeof(line) - 1), 1, now);
        first = first == 0 ? sid : first;
    }
    source.pk[0] = 3;
    assert_int_equal(pv_chatlink_accepted(link, &source, now, &sid), PV_ERR_LIMIT);
    source.pk[0] = 4;
    assert_ok(pv_chatlink_peer_online(link, source.pk, "bob", &addr, now));
    assert_ok(pv_chatlink_want(link, source.pk, now));
    assert_ok(pv_streams_next_op(&streams, &op));
    assert_int_equal(op.type, PV_STREAM_CLOSE);
    assert_int_equal(pv_sid_local(op.sid), first); /* it was silent longest */
    assert_ok(pv_streams_next_op(&streams, &op));
    assert_int_equal(op.type, PV_STREAM_OPEN);
    assert_true(pv_addr_equal_ip(&op.addr, &addr));
    pv_chatlink_free(link);
    pv_chatqueue_done(&queue);
    pv_streams_done(&streams);
}
