/* SPDX-License-Identifier: MIT */
/* ctlmsg: every message survives a round trip, every bound holds one over, no truncation parses. */
#include "proto/control/ctlmsg.h"
#include "proto/control/ctlmsg_words.h"
#include "tests/unit/test_util.h"

static uint8_t bytes_a[PV_CTL_ENTRY_MAX + 1];

static struct pv_view some(size_t len)
{
    return pv_view(bytes_a, len);
}

static const struct pv_ctl_item two_items[] = {
    {.statement = {bytes_a, 98}, .receipt = {bytes_a, 170}},
    {.statement = {bytes_a, PV_CTL_STATEMENT_MAX}},
};
static const struct pv_ctl_result two_results[] = {
    {.receipt = {bytes_a, 170}},
    {.error = PV_CTL_E_TAKEN},
};
static const uint8_t three_nodes[3][PV_SIGN_PK_LEN] = {{1}, {2}, {3}};
static const struct pv_ctl_presence two_presences[] = {
    {.node = {9, 1}, .online = true, .since_us = 1795161600000000},
    {.node = {9, 2}},
};
static const struct pv_ctl_phone two_phones[] = {
    {.node = {9, 5}, .online = true},
    {.node = {9, 6}},
};
static const struct pv_ctl_asker two_askers[] = {
    {.node = {9, 3},
     .from = {.family = PV_AF_INET, .ip = {192, 0, 2, 44}},
     .time_us = 1795161600000000},
    {.node = {9, 4}, .from = {.family = PV_AF_INET6, .ip = {0x20, 1, 0xd, 0xb8, [15] = 1}}},
};
static const struct pv_view two_blobs[] = {{bytes_a, PV_CTL_ENTRY_MAX}, {bytes_a, 1}};
static const uint32_t two_whys[] = {0, PV_CTL_NOT_STORED};
static const char *const two_stun[] = {"coord.example:3478", "[2001:db8::1]:3478"};

/* One of each, in the order of the table in docs/PROTOCOL-COORDINATOR.md. */
static size_t every_message(struct pv_ctl_msg out[static 49])
{
    size_t n = 0;
#define ADD(k, ty, ...)             \
    out[n++] = (struct pv_ctl_msg){ \
        .kind = (k), .type = (ty), .id = (k) == PV_CTL_PUSH ? 0 : 70 + n, __VA_ARGS__}
    ADD(PV_CTL_REQUEST, PV_CTL_HELLO,
        .u.hello = {.v = 1,
                    .has_network = true,
                    .network = {1, 2, 3},
                    .node = {4},
                    .role = PV_CTL_MEMBER,
                    .sig = {5},
                    .have = {1795161600, 17}});
    ADD(PV_CTL_REQUEST, PV_CTL_HELLO, .u.hello = {.v = 1, .node = {4}, .role = PV_CTL_APPLICANT});
    ADD(PV_CTL_REQUEST, PV_CTL_HELLO,
        .u.hello = {.v = 1, .node = {4}, .mlkem768 = {bytes_a, PV_KEM_EK_LEN}});
    ADD(PV_CTL_REQUEST, PV_CTL_PUT, .u.put = {.n = 2, .items = two_items});
    ADD(PV_CTL_REQUEST, PV_CTL_PULL, .u.pull = {.epoch = INT64_MAX, .n = INT64_MAX});
    ADD(PV_CTL_REQUEST, PV_CTL_SUBSCRIBE,
        .u.subscribe = {.on = true, .n = 3, .nodes = three_nodes});
    ADD(PV_CTL_REQUEST, PV_CTL_SUBSCRIBE, .u.subscribe = {.n = 1, .nodes = three_nodes});
    ADD(PV_CTL_REQUEST, PV_CTL_LIST, .u.list = {.has_after = true, .after = {7}});
    ADD(PV_CTL_REQUEST, PV_CTL_LIST, .u.list = {0});
    ADD(PV_CTL_REQUEST, PV_CTL_SIGNAL, .u.signal = {.node = {8}, .box = {bytes_a, PV_CTL_BOX_MAX}});
    ADD(PV_CTL_REQUEST, PV_CTL_KEEP, .u.keep = {.to = {8}, .key = {9}, .box = {bytes_a, 300}});
    ADD(PV_CTL_REQUEST, PV_CTL_COLLECT, .u.collect = {.after = 7, .taken = INT64_MAX});
    ADD(PV_CTL_REQUEST, PV_CTL_PING, .u.pull = {0});
    ADD(PV_CTL_REQUEST, PV_CTL_FETCH, .u.fetch = {.invite = {6}});
    ADD(PV_CTL_REQUEST, PV_CTL_JOIN,
        .u.join = {.invite = {6}, .node = {4}, .name = "bob-2", .sig = {5}});
    ADD(PV_CTL_REQUEST, PV_CTL_JOIN, .u.join = {.invite = {6}, .node = {4}, .sig = {5}});
    ADD(PV_CTL_REQUEST, PV_CTL_REGISTER, .u.reg = {.member = {bytes_a, 400}});
    ADD(PV_CTL_REQUEST, PV_CTL_CREATE,
        .u.put = {.has_secret = true, .secret = {3}, .n = 2, .items = two_items});
    ADD(PV_CTL_ANSWER, PV_CTL_WELCOME,
        .u.welcome = {.time_us = 1795161600000000,
                      .have = {1, 2},
                      .n_stun = 2,
                      .stun = two_stun,
                      .coordinators = {bytes_a, 2000}});
    ADD(PV_CTL_ANSWER, PV_CTL_WELCOME,
        .u.welcome = {.has_turn = true,
                      .turn = {.user = "m1-\"x\"",
                               .password = "secret",
                               .realm = "p2pvpn",
                               .nonce = "obMatJos2AAAA"}});
    ADD(PV_CTL_ANSWER, PV_CTL_WELCOME,
        .u.welcome = {.has_tls = true, .tls = {.pin = {7}, .n = 2, .addrs = two_stun}});
    ADD(PV_CTL_ANSWER, PV_CTL_RECEIPTS, .u.receipts = {.n = 2, .results = two_results});
    ADD(PV_CTL_ANSWER, PV_CTL_STATEMENTS,
        .u.statements = {.n = 2, .items = two_items, .more = true, .have = {5, 6}});
    ADD(PV_CTL_PUSH, PV_CTL_STATEMENTS,
        .u.statements = {
            .n = 0, .items = two_items, .have = {5, 6}, .has_head = true, .head = {1}});
    ADD(PV_CTL_ANSWER, PV_CTL_PRESENCE,
        .u.presence = {.n = 2, .nodes = two_presences, .more = true});
    ADD(PV_CTL_PUSH, PV_CTL_PRESENCE, .u.presence = {.n = 1, .nodes = two_presences});
    ADD(PV_CTL_PUSH, PV_CTL_SIGNAL, .u.signal = {.node = {8}, .box = {bytes_a, 1}});
    ADD(PV_CTL_ANSWER, PV_CTL_COPY, .u.copy = {.n = 9, .from = {8}, .box = {bytes_a, 300}});
    ADD(PV_CTL_ANSWER, PV_CTL_COPY, .u.copy = {0});
    ADD(PV_CTL_PUSH, PV_CTL_COPY, .u.copy = {0});
    ADD(PV_CTL_ANSWER, PV_CTL_DONE, .u.pull = {0});
    ADD(PV_CTL_ANSWER, PV_CTL_PONG, .u.pong = {.time_us = 1});
    ADD(PV_CTL_ANSWER, PV_CTL_RESERVATION,
        .u.reservation = {.name = "bob",
                          .ip4 = {10, 66, 1, 2},
                          .ip6 = {0xfd, 1, 2, 3},
                          .serial = 7,
                          .seconds = 60});
    ADD(PV_CTL_ANSWER, PV_CTL_REGISTERED, .u.registered.item = two_items[0]);
    ADD(PV_CTL_REQUEST, PV_CTL_ASKERS, .u.pull = {0});
    ADD(PV_CTL_REQUEST, PV_CTL_PHONES, .u.phones = {.n = 2, .nodes = two_phones});
    ADD(PV_CTL_ANSWER, PV_CTL_ASKED, .u.asked = {.n = 2, .askers = two_askers});
    ADD(PV_CTL_ANSWER, PV_CTL_ASKED, .u.asked = {0});
    ADD(PV_CTL_REQUEST, PV_CTL_SUBMIT, .u.submit = {.n = 2, .statements = two_blobs});
    ADD(PV_CTL_REQUEST, PV_CTL_LOG, .u.log = {.n = 812, .hash = {4}, .fetching = true});
    ADD(PV_CTL_ANSWER, PV_CTL_DECIDED, .u.decided = {.n = 2, .whys = two_whys});
    ADD(PV_CTL_ANSWER, PV_CTL_ENTRIES,
        .u.entries = {.first = 813, .last = 900, .n = 2, .entries = two_blobs});
    ADD(PV_CTL_REQUEST, PV_CTL_ENTRIES,
        .u.entries = {.first = 1, .last = 2, .n = 2, .entries = two_blobs, .head = {bytes_a, 202}});
    ADD(PV_CTL_PUSH, PV_CTL_ENTRIES, .u.entries = {.first = 3, .last = 2, .head = {bytes_a, 202}});
    ADD(PV_CTL_ANSWER, PV_CTL_ERROR,
        .u.failure = {.error = PV_CTL_E_LIMIT, .message = "slow \"down\"\n\\ \xc3\xa9"});
    ADD(PV_CTL_PUSH, PV_CTL_HYBRID, .u.hybrid = {.mlkem768 = {bytes_a, PV_KEM_CT_LEN}});
    ADD(PV_CTL_PUSH, PV_CTL_BYE, .u.failure = {.error = PV_CTL_E_REPLACED, .message = ""});
    static const char *const home[] = {"192.0.2.2:3478", "two.example:3478"};
    ADD(PV_CTL_PUSH, PV_CTL_BYE,
        .u.failure = {.error = PV_CTL_E_MOVED, .message = "there", .n_to = 2, .to = home});
#undef ADD
    return n;
}

static size_t build(const struct pv_ctl_msg *msg, char *buf)
{
    size_t len = 0;
    assert_ok(pv_ctl_build(msg, buf, PV_CTL_TEXT_MAX, &len));
    return len;
}

PV_TEST(every_message_survives_a_round_trip)
{
    struct pv_ctl_msg all[49];
    static char text[PV_CTL_TEXT_MAX];
    static char again[PV_CTL_TEXT_MAX];
    size_t n = every_message(all);
    for (size_t i = 0; i < n; i++) {
        struct pv_ctl_msg *got = NULL;
        size_t len = build(&all[i], text);
        assert_ok(pv_ctl_parse(pv_view(text, len), &got));
        assert_int_equal(got->type, all[i].type);
        assert_int_equal(got->kind, all[i].kind);
        assert_true(got->id == all[i].id);
        size_t len2 = build(got, again);
        assert_int_equal(len, len2);
        assert_memory_equal(text, again, len);
        pv_ctl_msg_free(got);
    }
}

PV_TEST(the_fields_arrive_as_they_were_sent)
{
    struct pv_ctl_msg *m = NULL;
    const char *text = test_given("hello");
    assert_ok(pv_ctl_parse(pv_view(text, strlen(text)), &m));
    assert_int_equal(m->type, PV_CTL_HELLO);
    assert_int_equal(m->u.hello.v, 3);
    assert_int_equal(m->u.hello.role, PV_CTL_APPLICANT);
    assert_true(m->u.hello.has_network);
    assert_int_equal(m->u.hello.network[1], 2);
    assert_int_equal(m->u.hello.node[0], 4);
    assert_int_equal(m->u.hello.sig[0], 5);
    assert_true(m->u.hello.have.epoch == 7 && m->u.hello.have.n == 8);
    pv_ctl_msg_free(m);
}

PV_TEST(no_truncation_of_a_message_parses)
{
    struct pv_ctl_msg all[49];
    static char text[PV_CTL_TEXT_MAX];
    size_t n = every_message(all);
    for (size_t i = 0; i < n; i++) {
        size_t len = build(&all[i], text);
        size_t step = len > 2000 ? 97 : 1; /* the long ones are long in one field only */
        for (size_t cut = 0; cut < len; cut += step) {
            struct pv_ctl_msg *got = NULL;
            uint8_t *exact = malloc(cut == 0 ? 1 : cut);
            assert_non_null(exact);
            memcpy(exact, text, cut);
            assert_int_equal(pv_ctl_parse(pv_view(exact, cut), &got), PV_ERR_MALFORMED);
            free(exact);
        }
    }
}

PV_TEST(no_short_buffer_is_overrun)
{
    struct pv_ctl_msg all[49];
    static char text[PV_CTL_TEXT_MAX];
    size_t n = every_message(all);
    for (size_t i = 0; i < n; i++) {
        size_t len = build(&all[i], text);
        size_t step = len > 2000 ? 97 : 1;
        for (size_t cap = 0; cap < len; cap += step) {
            size_t got = 0;
            uint8_t *exact = malloc(cap == 0 ? 1 : cap);
            assert_non_null(exact);
            assert_int_equal(pv_ctl_build(&all[i], exact, cap, &got), PV_ERR_NO_SPACE);
            free(exact);
        }
        size_t got = 0;
        uint8_t *exact = malloc(len);
        assert_non_null(exact);
        assert_ok(pv_ctl_build(&all[i], exact, len, &got));
        free(exact);
    }
}

PV_TEST(bad_envelopes_are_refused)
{
    const struct {
        const char *text;
        int status;
        const char *why;
    } rows[] = {
        {"", PV_ERR_MALFORMED, "empty"},
        {"[]", PV_ERR_MALFORMED, "a list"},
        {"7", PV_ERR_MALFORMED, "a number"},
        {"{}", PV_ERR_MALFORMED, "no word"},
        {"{\"id\":1}", PV_ERR_MALFORMED, "request without a word"},
        {"{\"id\":0,\"t\":\"ping\"}", PV_ERR_MALFORMED, "ids begin at 1"},
        {"{\"id\":-1,\"t\":\"ping\"}", PV_ERR_MALFORMED, "negative id"},
        {"{\"id\":9007199254740993,\"t\":\"ping\"}", PV_ERR_MALFORMED, "id above 2^53"},
        {"{\"id\":99999999999999999999,\"t\":\"ping\"}", PV_ERR_MALFORMED, "id above 2^64"},
        {"{\"id\":\"1\",\"t\":\"ping\"}", PV_ERR_MALFORMED, "id as text"},
        {"{\"id\":1.0,\"t\":\"ping\"}", PV_ERR_MALFORMED, "id as a real"},
        {"{\"id\":null,\"t\":\"ping\"}", PV_ERR_MALFORMED, "id null"},
        {"{\"id\":1,\"t\":7}", PV_ERR_MALFORMED, "word as number"},
        {"{\"ok\":true,\"t\":\"done\"}", PV_ERR_MALFORMED, "answer without id"},
        {"{\"id\":1,\"ok\":1,\"t\":\"done\"}", PV_ERR_MALFORMED, "ok not a boolean"},
        {"{\"id\":1,\"t\":\"ping\",\"t\":\"ping\"}", PV_ERR_MALFORMED, "the same key twice"},
        {"{\"id\":1,\"t\":\"ping\"}x", PV_ERR_MALFORMED, "trailing bytes"},
        {"{\"id\":1,\"t\":\"ping\",\"x\":\"\\u0000\"}", PV_ERR_MALFORMED, "NUL in a string"},
        {"{\"id\":1,\"t\":\"ping\",\"x\":\"\xff\"}", PV_ERR_MALFORMED, "not UTF-8"},
        {"]", PV_ERR_MALFORMED, "closed before it opens"},
        {test_given("t ping x"), PV_ERR_LIMIT, "nine deep"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_ctl_msg *m = NULL;
        int r = pv_ctl_parse(pv_view(rows[i].text, strlen(rows[i].text)), &m);
        if (r != rows[i].status)
            fail_msg("%s: got %d", rows[i].why, r);
    }
    struct pv_ctl_msg *m = NULL;
    const char *eight = test_given("ping of depth 8");
    assert_ok(pv_ctl_parse(pv_view(eight, strlen(eight)), &m));
    pv_ctl_msg_free(m);
}

PV_TEST(unknown_words_and_wrong_fields_keep_their_id)
{
    const struct {
        const char *text;
        enum pv_ctl_type type;
        const char *field;
    } rows[] = {
        {"{\"id\":5,\"t\":\"dance\"}", PV_CTL_UNKNOWN, NULL},
        {"{\"id\":5,\"t\":\"welcome\"}", PV_CTL_UNKNOWN, NULL}, /* an answer's word in a request */
        {"{\"id\":5,\"ok\":true,\"t\":\"hello\"}", PV_CTL_UNKNOWN, NULL},
        {test_given("t statements items"), PV_CTL_UNKNOWN,
         NULL}, /* statements come in packed pages */
        {"{\"id\":5,\"t\":\"hello\"}", PV_CTL_INVALID, "v"},
        {"{\"id\":5,\"t\":\"hello\",\"v\":4294967296}", PV_CTL_INVALID, "v"},
        {test_given("t hello v network AQ"), PV_CTL_INVALID, "network"},
        {test_given("t hello v node AQ"), PV_CTL_INVALID, "node"},
        {test_given("hello of a root"), PV_CTL_INVALID, "role"},
        {"{\"id\":5,\"t\":\"put\",\"statements\":[]}", PV_CTL_INVALID, "statements"},
        {"{\"id\":5,\"t\":\"put\",\"statements\":[7]}", PV_CTL_INVALID, "s"},
        {test_given("t put statements s"), PV_CTL_INVALID, "s"},
        {test_given("t put statements s AA r"), PV_CTL_INVALID, "r"},
        {"{\"id\":5,\"t\":\"statements\"}", PV_CTL_INVALID, "have"},
        {test_given("t statements have epoch n"), PV_CTL_INVALID, "epoch"},
        {test_given("t statements have epoch"), PV_CTL_INVALID, "n"},
        {"{\"id\":5,\"t\":\"subscribe\",\"nodes\":[]}", PV_CTL_INVALID, "nodes"},
        {test_given("subscribe without on"), PV_CTL_INVALID, "on"},
        {"{\"id\":5,\"t\":\"list\",\"after\":7}", PV_CTL_INVALID, "after"},
        {test_given("signal without a box"), PV_CTL_INVALID, "box"},
        {test_given("signal of an empty box"), PV_CTL_INVALID, "box"},
        {test_given("keep without a key"), PV_CTL_INVALID, "key"},
        {test_given("keep without a box"), PV_CTL_INVALID, "box"},
        {"{\"id\":5,\"t\":\"collect\",\"after\":1}", PV_CTL_INVALID, "taken"},
        {test_given("t collect after taken"), PV_CTL_INVALID, "after"},
        {test_given("t parcel n"), PV_CTL_INVALID, "n"},
        {test_given("parcel without a box"), PV_CTL_INVALID, "box"},
        {"{\"id\":5,\"t\":\"fetch\"}", PV_CTL_INVALID, "invite"},
        {test_given("join of Bob"), PV_CTL_INVALID, "name"},
        {"{\"id\":5,\"t\":\"register\"}", PV_CTL_INVALID, "member"},
        {test_given("t create secret AA statements s"), PV_CTL_INVALID, "secret"},
        {test_given("t reservation bob ip4 fd00"), PV_CTL_INVALID, "ip4"},
        {test_given("welcome: turn null"), PV_CTL_WELCOME, NULL},
        {test_given("welcome: turn is a list"), PV_CTL_INVALID, "turn"},
        {test_given("welcome: turn without a nonce"), PV_CTL_INVALID, "turn"},
        {test_given("welcome: turn without a user"), PV_CTL_INVALID, "turn"},
        {test_given("welcome: tls null"), PV_CTL_WELCOME, NULL},
        {test_given("welcome: tls"), PV_CTL_WELCOME, NULL},
        {test_given("welcome: tls is a list"), PV_CTL_INVALID, "pin"},
        {test_given("welcome: a short pin"), PV_CTL_INVALID, "pin"},
        {test_given("welcome: tls without addrs"), PV_CTL_INVALID, "addrs"},
        {test_given("welcome: addrs of a number"), PV_CTL_INVALID, "addrs"},
        {test_given("welcome: 8 addrs"), PV_CTL_WELCOME, NULL},
        {test_given("welcome: 9 addrs"), PV_CTL_INVALID, "addrs"},
        {"{\"id\":5,\"ok\":false}", PV_CTL_INVALID, "error"},
        {test_given("t presence nodes"), PV_CTL_INVALID, "node"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_ctl_msg *m = NULL;
        assert_ok(pv_ctl_parse(pv_view(rows[i].text, strlen(rows[i].text)), &m));
        if (m->type != rows[i].type || m->id != 5)
            fail_msg("%s: type %d", rows[i].text, m->type);
        if (rows[i].field != NULL)
            assert_string_equal(m->u.invalid, rows[i].field);
        pv_ctl_msg_free(m);
    }
}

PV_TEST(a_word_of_a_later_version_is_another_error)
{
    struct pv_ctl_msg *m = NULL;
    const char *text = test_given("moonphase");
    assert_ok(pv_ctl_parse(pv_view(text, strlen(text)), &m));
    assert_int_equal(m->type, PV_CTL_ERROR);
    assert_int_equal(m->u.failure.error, PV_CTL_E_OTHER);
    assert_string_equal(m->u.failure.message, "");
    pv_ctl_msg_free(m);
}

PV_TEST(lists_hold_one_over_their_limit_is_refused)
{
    static char text[PV_CTL_TEXT_MAX];
    static uint8_t nodes[PV_CTL_NODES_MAX + 1][PV_SIGN_PK_LEN];
    static struct pv_ctl_item items[PV_CTL_ITEMS_MAX + 1];
    size_t len = 0;
    for (size_t i = 0; i < PV_ARRAY_LEN(items); i++)
        items[i].statement = some(98);
    struct pv_ctl_msg m = {.type = PV_CTL_SUBSCRIBE, .id = 1};
    m.u.subscribe = (struct pv_ctl_subscribe){
        .on = true, .n = PV_CTL_NODES_MAX + 1, .nodes = (const uint8_t(*)[PV_SIGN_PK_LEN])nodes};
    assert_int_equal(pv_ctl_build(&m, text, sizeof(text), &len), PV_ERR_STATE);
    m.u.subscribe.n--;
    len = build(&m, text);
    /* The same list with one more, by hand: "]" becomes ,"key"]. */
    struct pv_ctl_msg *got = NULL;
    assert_ok(pv_ctl_parse(pv_view(text, len), &got));
    assert_int_equal(got->u.subscribe.n, PV_CTL_NODES_MAX);
    pv_ctl_msg_free(got);
    char *end = strchr(text, ']');
    assert_non_null(end);
    int more = snprintf(end, 64, ",\"%s\"]}", "BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    assert_ok(pv_ctl_parse(pv_view(text, (size_t)(end - text) + (size_t)more), &got));
    assert_int_equal(got->type, PV_CTL_INVALID);
    pv_ctl_msg_free(got);

    m = (struct pv_ctl_msg){.type = PV_CTL_PUT, .id = 1};
    m.u.put = (struct pv_ctl_put){.n = PV_CTL_ITEMS_MAX + 1, .items = items};
    assert_int_equal(pv_ctl_build(&m, text, sizeof(text), &len), PV_ERR_STATE);
    m.u.put.n--;
    build(&m, text);
    m.u.put.n = 1;
    items[0].statement = some(PV_CTL_STATEMENT_MAX + 1);
    assert_int_equal(pv_ctl_build(&m, text, sizeof(text), &len), PV_ERR_STATE);
    items[0] = (struct pv_ctl_item){.statement = some(98), .receipt = some(PV_CTL_RECEIPT_MAX + 1)};
    assert_int_equal(pv_ctl_build(&m, text, sizeof(text), &len), PV_ERR_STATE);
    m = (struct pv_ctl_msg){.type = PV_CTL_SIGNAL, .id = 1};
    m.u.signal.box = some(PV_CTL_BOX_MAX + 1);
    assert_int_equal(pv_ctl_build(&m, text, sizeof(text), &len), PV_ERR_STATE);
    m = (struct pv_ctl_msg){.type = PV_CTL_KEEP, .id = 1};
    m.u.keep.box = some(PV_CTL_BOX_MAX + 1);
    assert_int_equal(pv_ctl_build(&m, text, sizeof(text), &len), PV_ERR_STATE);
}

PV_TEST(a_value_one_byte_over_its_limit_is_refused)
{
    static char text[PV_CTL_TEXT_MAX];
    static char b64[PV_B64_LEN(PV_CTL_STATEMENT_MAX + 1) + 1];
    assert_ok(pv_b64url_encode(some(PV_CTL_STATEMENT_MAX + 1), b64, sizeof(b64)));
    for (int over = 0; over <= 1; over++) {
        struct pv_ctl_msg *m = NULL;
        if (over == 0)
            assert_ok(pv_b64url_encode(some(PV_CTL_STATEMENT_MAX), b64, sizeof(b64)));
        else
            assert_ok(pv_b64url_encode(some(PV_CTL_STATEMENT_MAX + 1), b64, sizeof(b64)));
        int len = snprintf(text, sizeof(text), "%s", test_given_with("register", b64));
        assert_ok(pv_ctl_parse(pv_view(text, (size_t)len), &m));
        assert_int_equal(m->type, over ? PV_CTL_INVALID : PV_CTL_REGISTER);
        pv_ctl_msg_free(m);
    }
}

PV_TEST(the_whole_message_has_a_limit)
{
    static char text[PV_CTL_TEXT_MAX + 1];
    struct pv_ctl_msg *m = NULL;
    memset(text, ' ', sizeof(text));
    memcpy(text, "{\"id\":1,\"t\":\"ping\"}", 19);
    assert_ok(pv_ctl_parse(pv_view(text, PV_CTL_TEXT_MAX), &m));
    pv_ctl_msg_free(m);
    assert_int_equal(pv_ctl_parse(pv_view(text, PV_CTL_TEXT_MAX + 1), &m), PV_ERR_LIMIT);

    /* Commas and opening brackets: 4,096 may be there, one more may not. */
    size_t used = 0;
    memcpy(text, "{\"id\":1,\"t\":\"ping\",\"x\":[", 24);
    used = 24;
    /* { , , [ make 4; each ",0" one more. */
    text[used++] = '0';
    for (int i = 4; i < PV_CTL_VALUES_MAX; i++) {
        text[used++] = ',';
        text[used++] = '0';
    }
    memcpy(text + used, "]}", 2);
    assert_ok(pv_ctl_parse(pv_view(text, used + 2), &m));
    pv_ctl_msg_free(m);
    memcpy(text + used, ",0]}", 4);
    assert_int_equal(pv_ctl_parse(pv_view(text, used + 4), &m), PV_ERR_LIMIT);
}

PV_TEST(relay_credentials_have_limits)
{
    char text[1024];
    char user[PV_CTL_TURN_TEXT_MAX + 2];
    size_t len = 0;
    struct pv_ctl_msg m = {.kind = PV_CTL_ANSWER, .type = PV_CTL_WELCOME, .id = 1};
    memset(user, 'u', sizeof(user));
    user[PV_CTL_TURN_TEXT_MAX] = '\0';
    m.u.welcome.has_turn = true;
    m.u.welcome.turn =
        (struct pv_ctl_turn){.user = user, .password = "p", .realm = "r", .nonce = "n"};
    assert_ok(pv_ctl_build(&m, text, sizeof(text), &len));
    struct pv_ctl_msg *got = NULL;
    assert_ok(pv_ctl_parse(pv_view(text, len), &got));
    assert_int_equal(got->type, PV_CTL_WELCOME);
    assert_string_equal(got->u.welcome.turn.user, user);
    assert_string_equal(got->u.welcome.turn.nonce, "n");
    pv_ctl_msg_free(got);
    user[PV_CTL_TURN_TEXT_MAX] = 'u';
    user[PV_CTL_TURN_TEXT_MAX + 1] = '\0';
    assert_int_equal(pv_ctl_build(&m, text, sizeof(text), &len), PV_ERR_STATE);
    m.u.welcome.turn.user = "";
    assert_int_equal(pv_ctl_build(&m, text, sizeof(text), &len), PV_ERR_STATE);
}

PV_TEST(messages_without_a_form_are_not_built)
{
    char text[256];
    size_t len = 0;
    struct pv_ctl_msg m = {.kind = PV_CTL_REQUEST, .type = PV_CTL_UNKNOWN, .id = 1};
    assert_int_equal(pv_ctl_build(&m, text, sizeof(text), &len), PV_ERR_STATE);
    m.type = PV_CTL_WELCOME;
    assert_int_equal(pv_ctl_build(&m, text, sizeof(text), &len), PV_ERR_STATE);
    m.type = PV_CTL_PING;
    m.id = 0;
    assert_int_equal(pv_ctl_build(&m, text, sizeof(text), &len), PV_ERR_STATE);
    m.kind = PV_CTL_ANSWER;
    m.type = PV_CTL_ERROR;
    m.id = 1;
    m.u.failure = (struct pv_ctl_failure){.error = PV_CTL_E_LIMIT, .message = "\xff"};
    assert_int_equal(pv_ctl_build(&m, text, sizeof(text), &len), PV_ERR_STATE);
    assert_int_equal(len, 0);
}

PV_TEST(the_signatures_bind_connection_key_and_name)
{
    uint8_t seed[32] = {1};
    uint8_t sk[64];
    uint8_t hash[32] = {2};
    struct pv_ctl_hello hello = {.v = 1};
    pv_sign_keypair(seed, sk, hello.node);
    assert_ok(pv_ctl_hello_sign(hello.sig, hash, sk));
    assert_ok(pv_ctl_hello_verify(&hello, hash));
    hash[0]++; /* the same hello on another connection */
    assert_int_equal(pv_ctl_hello_verify(&hello, hash), PV_ERR_AUTH);

    struct pv_ctl_join join = {.node = {7}, .name = "bob"};
    memcpy(join.invite, hello.node, sizeof(join.invite));
    assert_ok(pv_ctl_join_sign(&join, hash, sk));
    assert_ok(pv_ctl_join_verify(&join, hash));
    memcpy(join.name, "bod", 4);
    assert_int_equal(pv_ctl_join_verify(&join, hash), PV_ERR_AUTH);
    memcpy(join.name, "bob", 4);
    join.node[0]++;
    assert_int_equal(pv_ctl_join_verify(&join, hash), PV_ERR_AUTH);
    join.node[0]--;
    hash[0]++;
    assert_int_equal(pv_ctl_join_verify(&join, hash), PV_ERR_AUTH);
    /* hello's signature is none for join: the contexts differ. */
    hash[0]--;
    memcpy(join.sig, hello.sig, sizeof(join.sig));
    assert_int_equal(pv_ctl_join_verify(&join, hash), PV_ERR_AUTH);
}

PV_TEST(every_type_and_error_has_its_word)
{
    for (int t = PV_CTL_HELLO; t < PV_CTL_TYPE_COUNT; t++) {
        const struct pv_ctl_word *w = &pv_ctl_words[t];
        if (w->kinds == 0 || (w->word == NULL && t != PV_CTL_ERROR && t != PV_CTL_STATEMENTS) ||
            w->fields == NULL)
            fail_msg("no row in pv_ctl_words[] for type %d", t);
    }
    for (int e = 0; e < PV_CTL_ERROR_COUNT; e++) {
        if (pv_ctl_error_word((enum pv_ctl_error)e) == NULL)
            fail_msg("no row in error_words[] for error %d", e);
    }
}

/* A type that every_message() lacks would be neither tested here nor be in the corpus. */
PV_TEST(every_type_is_tried_here_in_each_of_its_kinds)
{
    struct pv_ctl_msg all[49];
    size_t n = every_message(all);
    for (int t = PV_CTL_HELLO; t < PV_CTL_TYPE_COUNT; t++) {
        unsigned tried = 0;
        for (size_t i = 0; i < n; i++)
            tried |= all[i].type == (enum pv_ctl_type)t ? 1u << all[i].kind : 0;
        if (tried != pv_ctl_words[t].kinds)
            fail_msg("every_message() lacks type %d", t); /* then write_corpus() */
    }
}

/* Writes the corpus of fuzz_ctlmsg: run by hand with PV_WRITE_CORPUS=dir after a change of form. */
static void write_corpus(const char *dir)
{
    struct pv_ctl_msg all[49];
    static char text[PV_CTL_TEXT_MAX];
    size_t n = every_message(all);
    for (size_t i = 0; i < n; i++) {
        if (all[i].type == PV_CTL_SIGNAL && all[i].kind == PV_CTL_REQUEST)
            all[i].u.signal.box.len = 100; /* seeds stay small */
        size_t len = build(&all[i], text);
        if (len > 4000)
            continue;
        FILE *f = fopen(PV_STR("%s/%02zu", dir, i), "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(text, 1, len, f), len);
        fclose(f);
    }
}

void test_begin(void)
{
    for (size_t i = 0; i < sizeof(bytes_a); i++)
        bytes_a[i] = (uint8_t)(i * 7);
    if (getenv("PV_WRITE_CORPUS") != NULL) {
        write_corpus(getenv("PV_WRITE_CORPUS"));
        exit(0);
    }
}
