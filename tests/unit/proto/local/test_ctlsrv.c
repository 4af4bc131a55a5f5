/* SPDX-License-Identifier: MIT */
#include "daemon/core/node/streamkinds.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/local/ctlapi_request.h"
#include "proto/local/ctlsrv.h"
#include "tests/unit/proto/local/full_request.h"
#include "tests/unit/test_util.h"

static struct pv_ctlsrv *srv;
static struct pv_streams streams;
static char output[4096]; /* what take_output() found */

/* Requests that are to be answered, in their order. */
static struct {
    enum pv_ctlapi_cmd cmd;
    uint64_t handle;
} asked[2 * PV_CTLSRV_MAX_CONNS];
static size_t n_asked;

static int setup(void **state)
{
    n_asked = 0;
    return pv_ctlsrv_new(&srv, &streams, "", false);
}

static int teardown(void **state)
{
    srv = pv_ctlsrv_free(srv);
    pv_streams_done(&streams);
    return 0;
}

PV_TEST_WORLD(setup, teardown);

static int setup_work(void **state)
{
    n_asked = 0;
    return pv_ctlsrv_new(&srv, &streams, "-n work", false);
}

static uint32_t open_client(bool may_change)
{
    uint32_t sid = 0;
    assert_ok(pv_ctlsrv_accepted(srv, may_change ? 0 : 1000, may_change, &sid));
    assert_true(sid > 0 && sid < 1u << 28);
    return sid;
}

static void keep(void *arg, struct pv_ctlapi_request *req, uint64_t handle)
{
    assert_true(n_asked < PV_ARRAY_LEN(asked));
    asked[n_asked].cmd = req->cmd;
    asked[n_asked++].handle = handle;
}

static void say(uint32_t sid, const char *text)
{
    pv_ctlsrv_handle_bytes(srv, sid, pv_view(text, strlen(text)), keep, NULL);
}

/* Everything this client would read now. */
static const char *take_output(uint32_t sid)
{
    struct pv_view out = pv_ctlsrv_out(srv, sid);
    assert_true(out.len < sizeof(output));
    if (out.len > 0)
        memcpy(output, out.ptr, out.len);
    output[out.len] = '\0';
    pv_ctlsrv_wrote(srv, sid, out.len);
    return output;
}

static uint64_t take_request(enum pv_ctlapi_cmd cmd)
{
    assert_true(n_asked > 0);
    assert_int_equal(asked[0].cmd, cmd);
    uint64_t handle = asked[0].handle;
    assert_true(handle != 0);
    memmove(&asked[0], &asked[1], --n_asked * sizeof(asked[0]));
    return handle;
}

static void assert_no_request(void)
{
    assert_int_equal(n_asked, 0);
}

static void assert_closes(uint32_t sid)
{
    struct pv_stream_op op;
    assert_false(pv_ctlsrv_is_open(srv, sid));
    assert_ok(pv_streams_next_op(&streams, &op));
    assert_int_equal(op.type, PV_STREAM_CLOSE);
    assert_int_equal(op.sid, pv_sid(PV_STREAM_CTL, sid));
}

static void assert_nothing_closes(void)
{
    struct pv_stream_op op;
    assert_int_equal(pv_streams_next_op(&streams, &op), PV_ERR_AGAIN);
}

static uint64_t cancelled;
static unsigned n_cancelled;

static void note_cancelled(void *arg, uint64_t handle)
{
    cancelled = handle;
    n_cancelled++;
}

/* That one ended with its client, and no other. */
static void assert_cancelled(uint64_t handle)
{
    n_cancelled = 0;
    pv_ctlsrv_tidy(srv, note_cancelled, NULL);
    assert_int_equal(n_cancelled, 1);
    assert_int_equal(cancelled, handle);
    pv_ctlsrv_tidy(srv, note_cancelled, NULL);
    assert_int_equal(n_cancelled, 1);
}

PV_TEST(a_request_split_anywhere_is_one_request)
{
    const char *line = "{\"id\":3,\"cmd\":\"peers\"}\n";
    uint32_t sid = open_client(false);
    for (size_t cut = 0; cut <= strlen(line); cut++) {
        pv_ctlsrv_handle_bytes(srv, sid, pv_view(line, cut), keep, NULL);
        pv_ctlsrv_handle_bytes(srv, sid, pv_view(line + cut, strlen(line) - cut), keep, NULL);
        uint64_t h = take_request(PV_CTLAPI_PEERS);
        assert_no_request();
        pv_ctlsrv_answer(srv, h, pv_ctlapi_list("peers"));
        assert_shows("output", take_output(sid));
    }
}

static json_t *presence(bool online)
{
    return json_pack("{s:s, s:b}", "peer", "bob", "online", online);
}

PV_TEST(several_requests_run_side_by_side)
{
    uint32_t sid = open_client(true), writable = 0;
    say(sid, test_given("watch what chat up"));
    uint64_t watch = take_request(PV_CTLAPI_WATCH);
    uint64_t up = take_request(PV_CTLAPI_UP);
    assert_no_request();
    pv_ctlsrv_event(srv, watch, "presence", presence(true));
    pv_ctlsrv_done(srv, up);
    pv_ctlsrv_event(srv, watch, "presence", presence(false));
    assert_ok(pv_streams_next_turn(&streams, &writable));
    assert_int_equal(writable, pv_sid(PV_STREAM_CTL, sid));
    assert_int_equal(pv_streams_next_turn(&streams, &writable), PV_ERR_AGAIN);
    assert_shows("output", take_output(sid));
    pv_ctlsrv_done(srv, up); /* a second answer is ignored */
    assert_string_equal(take_output(sid), "");
    pv_ctlsrv_fail(srv, watch, PV_CTLAPI_TIMEOUT, "watch: over");
    assert_shows("output", take_output(sid));
    assert_nothing_closes();
}

/* A user's word may stand in an error, however long it is. */
PV_TEST(a_long_error_is_cut)
{
    char word[2 * PV_CTLAPI_ERROR_BUF];
    memset(word, 'x', sizeof(word) - 1);
    word[sizeof(word) - 1] = '\0';
    uint32_t sid = open_client(false);
    say(sid, "{\"id\":1,\"cmd\":\"peers\"}\n");
    uint64_t h = take_request(PV_CTLAPI_PEERS);
    pv_ctlsrv_failf(srv, h, PV_CTLAPI_USAGE, "%s: %s", "peers", word);
    const char *text = strstr(take_output(sid), "\"error\":\"peers: xxx");
    assert_non_null(text);
    size_t room = PV_CTLAPI_ERROR_BUF - strlen("peers: ") - 1;
    assert_int_equal(strspn(strchr(text, 'x'), "x"), room);
    assert_nothing_closes();
}

PV_TEST(a_user_who_is_not_root_may_read_and_chat_only)
{
    uint32_t sid = open_client(false);
    for (unsigned c = 0; c < PV_CTLAPI_N_CMDS; c++) {
        char secret[] = "s", text[] = "22";
        struct pv_ctlapi_request req = pv_ctlapi_request_of((enum pv_ctlapi_cmd)c);
        req.id = 1;
        req.secret = secret;
        req.text = text;
        fill_request(&req);
        char *line = pv_ctlapi_request_write(&req);
        assert_non_null(line);
        say(sid, line);
        free(line);
        if (pv_ctlapi_cmd_changes(req.cmd)) {
            assert_no_request();
            assert_has(take_output(sid), "'code':5,");
        } else {
            pv_ctlsrv_done(srv, take_request(req.cmd));
            assert_string_equal(take_output(sid), "{\"id\":1,\"ok\":true}\n");
        }
    }
}

PV_TEST(bad_lines_are_answered_and_the_next_one_works)
{
    uint32_t sid = open_client(true);
    say(sid, "hello\n");
    assert_has(take_output(sid), "{'id':null,'ok':false,'code':2,");
    say(sid, "{\"id\":8,\"cmd\":\"dance\"}\n");
    assert_has(take_output(sid), "{'id':8,'ok':false,'code':2,");
    say(sid, "{\"id\":9,\"cmd\":\"version\"}\n");
    pv_ctlsrv_answer(srv, take_request(PV_CTLAPI_VERSION), NULL);
    assert_has(take_output(sid), "{'id':9,'ok':false,'code':1,");
    assert_nothing_closes();
}

PV_TEST(a_line_of_64_kib_ends_the_connection)
{
    uint32_t sid = open_client(true);
    for (size_t i = 0; i < PV_CTLAPI_LINE_MAX - 1; i++)
        say(sid, "x");
    assert_string_equal(take_output(sid), "");
    say(sid, "x");
    say(sid, "\n{\"id\":9,\"cmd\":\"version\"}\n");
    assert_no_request();
    assert_nothing_closes(); /* the refusal is written first */
    assert_has(take_output(sid), "'code':2,");
    assert_closes(sid);
    assert_nothing_closes();
}

PV_TEST(a_client_that_goes_cancels_what_it_asked)
{
    uint32_t sid = open_client(true);
    say(sid, test_given("wait peers"));
    uint64_t wait = take_request(PV_CTLAPI_WAIT);
    pv_ctlsrv_done(srv, take_request(PV_CTLAPI_PEERS)); /* it is over, and nobody has to know */
    pv_ctlsrv_closed(srv, sid);
    assert_cancelled(wait);
    pv_ctlsrv_done(srv, wait); /* an answer that is too late */
    pv_ctlsrv_event(srv, wait, "x", json_object());
    assert_int_equal(pv_ctlsrv_out(srv, sid).len, 0);
    say(sid, "{\"id\":1,\"cmd\":\"wait\"}\n");
    assert_no_request();
}

static void answer_at_once(void *arg, struct pv_ctlapi_request *req, uint64_t handle)
{
    ++*(unsigned *)arg;
    pv_ctlsrv_done(srv, handle);
}

PV_TEST(many_requests_in_one_go_are_refused_even_where_they_are_answered_at_once)
{
    static const char one[] = "{\"id\":1,\"cmd\":\"peers\"}\n";
    const size_t len = sizeof(one) - 1;
    uint8_t many[sizeof(one) * (PV_CTLSRV_MAX_REQUESTS + 4)];
    uint32_t sid = open_client(true);
    unsigned served = 0;
    for (size_t i = 0; i < PV_CTLSRV_MAX_REQUESTS + 4; i++)
        memcpy(many + i * len, one, len);
    pv_ctlsrv_handle_bytes(srv, sid, pv_view(many, (PV_CTLSRV_MAX_REQUESTS + 4) * len),
                           answer_at_once, &served);
    assert_int_equal(served, PV_CTLSRV_MAX_REQUESTS);
    assert_has(take_output(sid), "too many requests at once");
    pv_ctlsrv_handle_bytes(srv, sid, pv_view(one, len), answer_at_once, &served);
    assert_int_equal(served, PV_CTLSRV_MAX_REQUESTS + 1);
}

PV_TEST(a_client_that_is_refused_too_often_at_once_is_sent_away)
{
    static const char one[] = "{\"id\":1,\"cmd\":\"peers\"}\n";
    enum {
        N = PV_CTLSRV_MAX_REQUESTS + 2 * PV_CTLSRV_MAX_REFUSED
    };
    char many[N * sizeof(one)] = "";
    uint32_t sid = open_client(true);
    unsigned served = 0, refused = 0;
    for (size_t i = 0; i < N; i++)
        memcpy(many + i * (sizeof(one) - 1), one, sizeof(one));
    pv_ctlsrv_handle_bytes(srv, sid, pv_view(many, strlen(many)), answer_at_once, &served);
    assert_int_equal(served, PV_CTLSRV_MAX_REQUESTS);
    struct pv_view out = pv_ctlsrv_out(srv, sid);
    for (size_t i = 0; i + 10 < out.len; i++)
        refused += memcmp(out.ptr + i, "\"ok\":false", 10) == 0;
    assert_int_equal(refused, PV_CTLSRV_MAX_REFUSED + 1);
    pv_ctlsrv_wrote(srv, sid, out.len);
    assert_closes(sid);
    pv_ctlsrv_tidy(srv, note_cancelled, NULL);
}

PV_TEST(too_many_requests_are_refused_one_by_one)
{
    uint32_t sid = open_client(true);
    for (int i = 0; i < PV_CTLSRV_MAX_REQUESTS; i++)
        say(sid, "{\"id\":1,\"cmd\":\"wait\"}\n");
    assert_string_equal(take_output(sid), "");
    say(sid, "{\"id\":17,\"cmd\":\"wait\"}\n");
    assert_has(take_output(sid), "{'id':17,'ok':false,'code':1,");
    pv_ctlsrv_done(srv, take_request(PV_CTLAPI_WAIT));
    take_output(sid);
    say(sid, "{\"id\":18,\"cmd\":\"wait\"}\n");
    assert_string_equal(take_output(sid), "");
}

PV_TEST(connections_are_limited_and_come_back)
{
    uint32_t sid = 0, first = open_client(true);
    for (int i = 1; i < PV_CTLSRV_MAX_CONNS; i++)
        open_client(true);
    assert_int_equal(pv_ctlsrv_accepted(srv, 0, true, &sid), PV_ERR_LIMIT);
    pv_ctlsrv_closed(srv, first);
    assert_true(open_client(true) != first);
}

static uint32_t open_of(uint32_t uid)
{
    uint32_t sid = 0;
    assert_ok(pv_ctlsrv_accepted(srv, uid, false, &sid));
    return sid;
}

static bool may_watch(uint32_t sid)
{
    say(sid, "{\"id\":1,\"cmd\":\"watch\",\"what\":\"chat\"}\n");
    const char *out = take_output(sid);
    if (*out == '\0')
        return true;
    assert_has(out, "{'id':1,'ok':false,'code':13,'error':'watch: too many commands that last");
    return false;
}

PV_TEST(requests_that_last_leave_connections_for_others)
{
    uint32_t sid = 0, first = open_of(1000);
    assert_true(may_watch(first));
    assert_true(may_watch(first)); /* of one connection as many as it likes */
    for (int i = 1; i < PV_CTLSRV_LASTING_OF_USER; i++)
        assert_true(may_watch(open_of(1000)));
    assert_false(may_watch(sid = open_of(1000)));
    say(sid, "{\"id\":2,\"cmd\":\"status\"}\n"); /* what does not last is served */
    assert_string_equal(take_output(sid), "");
    pv_ctlsrv_closed(srv, first);
    assert_true(may_watch(sid));
    assert_true(may_watch(open_of(1001)));
    for (int i = 0; i < PV_CTLSRV_LASTING - PV_CTLSRV_LASTING_OF_USER - 1; i++)
        assert_true(may_watch(open_of(0)));
    assert_false(may_watch(open_of(0))); /* all together */
}

PV_TEST(root_has_a_share_of_those_that_last)
{
    for (int i = 0; i < PV_CTLSRV_LASTING_OF_ROOT; i++)
        assert_true(may_watch(open_of(0)));
    assert_false(may_watch(open_of(0)));
    assert_true(may_watch(open_of(1000)));
}

PV_TEST(a_reader_that_is_too_slow_is_closed)
{
    uint32_t sid = open_client(true), writable = 0;
    say(sid, test_given("watch what chat"));
    uint64_t watch = take_request(PV_CTLAPI_WATCH);
    char *big = malloc(1000001);
    assert_non_null(big);
    memset(big, 'x', 1000000);
    big[1000000] = '\0';
    for (int i = 0; i < 8; i++) {
        pv_ctlsrv_event(srv, watch, "e", json_pack("{s:s}", "x", big));
        assert_nothing_closes();
    }
    pv_ctlsrv_event(srv, watch, "e", json_pack("{s:s}", "x", big));
    free(big);
    assert_int_equal(pv_streams_next_turn(&streams, &writable), PV_ERR_AGAIN);
    assert_closes(sid);
    assert_cancelled(watch);
    assert_int_equal(pv_ctlsrv_out(srv, sid).len, 0);
    assert_nothing_closes();
}

/* Five that read nothing have all the room that there is, and others ask. */
PV_TEST(readers_that_are_too_slow_keep_no_other_from_its_answer)
{
    enum {
        SLOW = 5,
        PIECE = 10000
    };
    uint32_t slow[SLOW];
    uint64_t watch[SLOW];
    char piece[PIECE + 1];
    size_t waiting = 0, open = 0;
    memset(piece, 'x', PIECE);
    piece[PIECE] = '\0';
    for (size_t i = 0; i < SLOW; i++) {
        slow[i] = open_client(i == 0);
        say(slow[i], test_given("watch what chat"));
        watch[i] = take_request(PV_CTLAPI_WATCH);
    }
    for (size_t i = 0; waiting < PV_CTLSRV_MAX_OUT_TOTAL - 2 * PIECE; i = (i + 1) % SLOW) {
        const size_t had = pv_ctlsrv_out(srv, slow[i]).len;
        pv_ctlsrv_event(srv, watch[i], "e", json_pack("{s:s}", "x", piece));
        waiting += pv_ctlsrv_out(srv, slow[i]).len - had;
        assert_nothing_closes();
    }
    for (int i = 0; i < 2; i++) {
        uint32_t sid = open_client(i == 0);
        say(sid, "{\"id\":1,\"cmd\":\"peers\"}\n");
        uint64_t h = take_request(PV_CTLAPI_PEERS);
        for (int k = 0; k < 3; k++)
            pv_ctlsrv_event(srv, h, "e", json_pack("{s:s}", "x", piece));
        assert_true(pv_ctlsrv_is_open(srv, sid));
    }
    /* One of them gave way, and not root's. */
    for (size_t i = 0; i < SLOW; i++)
        open += pv_ctlsrv_is_open(srv, slow[i]);
    assert_int_equal(open, SLOW - 1);
    assert_true(pv_ctlsrv_is_open(srv, slow[0]));
    pv_ctlsrv_tidy(srv, note_cancelled, NULL);
}

PV_TEST(output_is_written_in_pieces_in_order)
{
    uint32_t sid = open_client(true);
    char all[512] = "";
    size_t n = 0;
    for (int i = 0; i < 3; i++) {
        say(sid, "{\"id\":1,\"cmd\":\"up\"}\n");
        pv_ctlsrv_done(srv, take_request(PV_CTLAPI_UP));
        for (int k = 0; k < 9; k++) { /* nine bytes of it, then the next answer comes */
            all[n++] = (char)pv_ctlsrv_out(srv, sid).ptr[0];
            pv_ctlsrv_wrote(srv, sid, 1);
        }
    }
    struct pv_view rest = pv_ctlsrv_out(srv, sid);
    memcpy(all + n, rest.ptr, rest.len);
    pv_ctlsrv_wrote(srv, sid, rest.len + 100); /* more than there was is cut */
    assert_shows("all", all);
    assert_int_equal(pv_ctlsrv_out(srv, sid).len, 0);
}

PV_TEST_IN(commands_in_answers_and_events_name_the_network, setup_work, teardown)
{
    uint32_t sid = open_client(true);
    say(sid, "{\"id\":1,\"cmd\":\"up\"}\n");
    pv_ctlsrv_fail(srv, take_request(PV_CTLAPI_UP), PV_CTLAPI_FAILED, "no: `p2pvpnctl status`");
    assert_has(take_output(sid), "no: `p2pvpnctl -n work status`");
    say(sid, test_given("2 watch what chat"));
    pv_ctlsrv_event(srv, take_request(PV_CTLAPI_WATCH), "problem",
                    json_pack("{s:s}", "text", "`p2pvpnctl peers`"));
    assert_has(take_output(sid), "`p2pvpnctl -n work peers`");
}
