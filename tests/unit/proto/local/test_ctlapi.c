/* SPDX-License-Identifier: MIT */
#include "base/jsonread.h"
#include "proto/local/ctlapi.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/local/ctlapi_request.h"
#include "proto/local/ctlapi_status.h"
#include "proto/local/harmless.h"
#include "tests/unit/proto/local/full_request.h"
#include "tests/unit/test_util.h"

static const uint8_t KEY[32] = {1, 2, 3, 4, 5, 6, 7, 8};
static const uint8_t ID[PV_CTLAPI_NETWORK_LEN] = {0, 1, 2,  3,  4,  5,  6,  7,
                                                  8, 9, 10, 11, 12, 13, 14, 15};
#define KEY_B64URL "AQIDBAUGBwgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static char why[PV_CTLAPI_ERROR_BUF];
static uint64_t got_id;

static int parse(const char *line, struct pv_ctlapi_request *req)
{
    why[0] = '\0';
    return pv_ctlapi_request_parse(pv_view(line, strlen(line)), req, &got_id, why);
}

/* The last 24 of the first n characters. */
static const char *tail_of(const char *text, size_t n)
{
    static char tail[25];
    size_t len = n < sizeof(tail) - 1 ? n : sizeof(tail) - 1;
    memcpy(tail, text + n - len, len);
    tail[len] = '\0';
    return tail;
}

/* Takes obj. */
static void assert_json(json_t *obj, const char *want)
{
    size_t len = 0;
    assert_non_null(obj);
    char *line = pv_ctlapi_dump(obj, &len);
    assert_non_null(line);
    assert_int_equal(line[len - 1], '\n');
    line[len - 1] = '\0';
    /* The contract is long: what is told is where the two part. */
    size_t same = 0;
    while (line[same] != '\0' && line[same] == want[same])
        same++;
    if (line[same] != want[same])
        fail_msg("after ...%s\n  made  %.60s\n  wants %.60s", tail_of(line, same), line + same,
                 want + same);
    free(line);
    json_decref(obj);
}

static char *copy_of(const char *text)
{
    char *copy = strdup(text);
    assert_non_null(copy);
    return copy;
}

static void request_survives_the_wire(enum pv_ctlapi_cmd cmd)
{
    struct pv_ctlapi_request a, b = {0};
    a = pv_ctlapi_request_of(cmd);
    a.id = 7 + cmd;
    fill_request(&a);
    a.secret = copy_of("p2pvpn-token");
    a.text = copy_of("hello\n\x1b you \xc3\xa9");

    char *line = pv_ctlapi_request_write(&a);
    assert_non_null(line);
    line[strlen(line) - 1] = '\0';
    assert_ok(parse(line, &b));
    char *again = pv_ctlapi_request_write(&b);
    assert_non_null(again);
    again[strlen(again) - 1] = '\0';
    assert_string_equal(line, again);
    assert_int_equal(got_id, a.id);
    assert_int_equal(b.cmd, cmd);
    free(line);
    free(again);
    pv_ctlapi_request_done(&a);
    pv_ctlapi_request_done(&b);
}

PV_TEST(a_missing_text_is_told_as_a_bug_and_not_as_lack_of_memory)
{
    json_t *obj = pv_ctlapi_pack("{s:s, s:s}", "network", NULL, "name", "alice");
    assert_non_null(obj);
    assert_non_null(json_object_get(obj, "bug"));
    json_decref(obj);
}

/* A field that the row of a command names and its member of u lacks would be left out in silence.
 */
PV_TEST(every_field_that_a_row_names_is_written)
{
#define FIELDS_OF(name, word, who, need, may) need may,
    static const char *const fields[] = {PV_CTLAPI_REQUESTS(FIELDS_OF)};
#undef FIELDS_OF
    for (unsigned c = 0; c < PV_CTLAPI_N_CMDS; c++) {
        struct pv_ctlapi_request req = pv_ctlapi_request_of((enum pv_ctlapi_cmd)c);
        fill_request(&req);
        req.secret = copy_of("s");
        req.text = copy_of("t");
        char *line = pv_ctlapi_request_write(&req), key[32];
        assert_non_null(line);
        for (const char *at = fields[c]; sscanf(at, "%31s", key) == 1; at += strlen(key) + 1)
            if (strstr(line, PV_STR("\"%s\":", key)) == NULL)
                fail_msg("%s: no %s in %s", pv_ctlapi_cmd_name(req.cmd), key, line);
        free(line);
        pv_ctlapi_request_done(&req);
    }
}

PV_TEST(every_request_survives_the_wire)
{
    for (unsigned c = 0; c < PV_CTLAPI_N_CMDS; c++)
        request_survives_the_wire((enum pv_ctlapi_cmd)c);
}

PV_TEST(fields_arrive_where_they_belong)
{
    struct pv_ctlapi_request req = {0};
    assert_ok(parse(test_given("ping peer bob count interval_ms"), &req));
    assert_int_equal(req.cmd, PV_CTLAPI_PING);
    assert_string_equal(req.peer, "bob");
    assert_int_equal(req.u.ping.count, 3);
    assert_int_equal(req.u.ping.interval_ms, 200);
    assert_int_equal(req.u.ping.size, 1000);
    pv_ctlapi_request_done(&req);

    assert_ok(parse(test_given("create url p2pvpn //h 1/k c s"), &req));
    assert_string_equal(req.secret, "p2pvpn://h:1/k?c=s");
    assert_string_equal(req.u.enter.name, "lap");
    assert_string_equal(req.u.enter.network, "");
    pv_ctlapi_request_done(&req);

    assert_ok(parse("{\"id\":2,\"cmd\":\"invite\"}", &req));
    assert_int_equal(req.u.terms.uses, 1);
    assert_int_equal(req.u.terms.expires_s, 86400);
    pv_ctlapi_request_done(&req);
}

PV_TEST(bad_requests_are_refused_with_their_reason)
{
    const struct {
        const char *line;
        int status;
        uint64_t id;
        const char *why;
    } rows[] = {
        {"", PV_ERR_MALFORMED, UINT64_MAX, "not one JSON object"},
        {"[]", PV_ERR_MALFORMED, UINT64_MAX, "not one JSON object"},
        {"{\"id\":1,\"cmd\":\"peers\"} x", PV_ERR_MALFORMED, UINT64_MAX, "not one JSON object"},
        {"{\"id\":1,\"cmd\":\"peers\",\"x\":[[[0]]]}", PV_OK, 1, ""},
        {"{\"id\":1,\"cmd\":\"peers\",\"x\":[[[[0]]]]}", PV_ERR_LIMIT, UINT64_MAX, "not one"},
        {"{\"cmd\":\"peers\"}", PV_ERR_MALFORMED, UINT64_MAX, "no usable id"},
        {"{\"id\":-1,\"cmd\":\"peers\"}", PV_ERR_MALFORMED, UINT64_MAX, "no usable id"},
        {"{\"id\":9007199254740992,\"cmd\":\"peers\"}", PV_OK, 9007199254740992, ""},
        {"{\"id\":9007199254740993,\"cmd\":\"peers\"}", PV_ERR_MALFORMED, UINT64_MAX, "id"},
        {"{\"id\":4}", PV_ERR_UNSUPPORTED, 4, "does not know this command"},
        {"{\"id\":4,\"cmd\":\"dance\"}", PV_ERR_UNSUPPORTED, 4, "does not know this command"},
        {"{\"id\":4,\"cmd\":\"join\"}", PV_ERR_MALFORMED, 4, "join: no token given"},
        {"{\"id\":4,\"cmd\":\"join\",\"token\":\"\"}", PV_ERR_MALFORMED, 4, "bad token"},
        {test_given("join token b"), PV_ERR_MALFORMED, 4, "bad token"},
        {test_given("join token a_b"), PV_ERR_MALFORMED, 4, "join: bad name: give 1 to 63"},
        {test_given("send peer text"), PV_ERR_MALFORMED, 4, "bad peer"},
        {test_given("send peer nb text"), PV_ERR_MALFORMED, 4, "bad peer"},
        {test_given("send peer bob text"), PV_ERR_MALFORMED, 4, "bad text"},
        {test_given("4 send peer bob text 7"), PV_ERR_MALFORMED, 4, "bad text"},
        {test_given("room_create room F e"), PV_ERR_MALFORMED, 4,
         test_given("bad room give a-z not at ends")},
        {"{\"id\":4,\"cmd\":\"invite\",\"uses\":0}", PV_ERR_MALFORMED, 4,
         test_given("invite bad uses give whole")},
        {test_given("invite uses"), PV_OK, 4, ""},
        {test_given("4 invite uses 1000001"), PV_ERR_MALFORMED, 4, "bad uses"},
        {"{\"id\":4,\"cmd\":\"invite\",\"uses\":1.0}", PV_ERR_MALFORMED, 4, "bad uses"},
        {"{\"id\":4,\"cmd\":\"invite\",\"admin\":1}", PV_ERR_MALFORMED, 4, "bad admin"},
        {test_given("invite member_for"), PV_ERR_MALFORMED, 4, "bad member_for"},
        {test_given("create url u cidr 10.0.0.1/16"), PV_ERR_MALFORMED, 4, "create: bad cidr"},
        {test_given("create url u cidr fd00 /8"), PV_ERR_MALFORMED, 4, "bad cidr"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_ctlapi_request req = {0};
        int r = parse(rows[i].line, &req);
        if (r != rows[i].status || got_id != rows[i].id || strstr(why, rows[i].why) == NULL)
            fail_msg("%s: %d, id %lu, %s", rows[i].line, r, (unsigned long)got_id, why);
        pv_ctlapi_request_done(&req);
    }
}

PV_TEST(every_truncation_of_a_request_is_refused)
{
    const char *line = test_given("send peer bob text hi");
    for (size_t n = 0; n < strlen(line); n++) {
        struct pv_ctlapi_request req = {0};
        uint8_t *exact = malloc(n + 1);
        assert_non_null(exact);
        memcpy(exact, line, n);
        assert_int_equal(pv_ctlapi_request_parse(pv_view(exact, n), &req, &got_id, why),
                         PV_ERR_MALFORMED);
        free(exact);
    }
}

/* {"id":1,"cmd":CMD,…KEY:"xx…x"…} with len characters of value. */
static int parse_long(const char *head, size_t len)
{
    struct pv_ctlapi_request req = {0};
    char *line = malloc(strlen(head) + len + 3);
    assert_non_null(line);
    memcpy(line, head, strlen(head));
    memset(line + strlen(head), 'x', len);
    memcpy(line + strlen(head) + len, "\"}", 3);
    int r = parse(line, &req);
    pv_ctlapi_request_done(&req);
    free(line);
    return r;
}

PV_TEST(strings_are_bounded_to_the_character)
{
    const struct {
        const char *head;
        size_t max;
    } rows[] = {
        {"{\"id\":1,\"cmd\":\"ip\",\"peer\":\"", PV_CTLAPI_PEER_BUF - 1},
        {"{\"id\":1,\"cmd\":\"join\",\"token\":\"", PV_CTLAPI_SECRET_MAX},
        {test_given("join token"), PV_NAME_MAX},
        {"{\"id\":1,\"cmd\":\"log\",\"level\":\"", PV_CTLAPI_WORD_BUF - 1},
        {test_given("invite_revoke invite"), PV_CTLAPI_INVITE_BUF - 1},
        {test_given("send peer bob text 2"), PV_TEXT_MAX},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        assert_ok(parse_long(rows[i].head, rows[i].max));
        assert_int_equal(parse_long(rows[i].head, rows[i].max + 1), PV_ERR_MALFORMED);
    }
    /* The line as a whole: the longest has one byte less than the limit, for its newline. */
    const char *head = "{\"id\":1,\"cmd\":\"ip\",\"unknown\":\"";
    size_t room = PV_CTLAPI_LINE_MAX - 1 - strlen(head) - 2;
    assert_ok(parse_long(head, room));
    assert_int_equal(parse_long(head, room + 1), PV_ERR_LIMIT);
}

/* The rights stand here a second time: a slip in a row of PV_CTLAPI_REQUESTS would give a request
 * that is root's to everybody on the machine. */
PV_TEST(only_commands_that_change_nothing_are_for_everybody)
{
    static const char everybody[] =
        " version invite_list status peers ping wait ip send inbox history watch why "
        "trace file_send files file_accept file_stop file_get file_saved room_create "
        "room_invite room_leave room_list room_members metrics history_clear mute "
        "unmute muted read coordinators coordinator_token rules can routes room_accept "
        "stats probe ssh_known_hosts ssh_keys ssh_authorized_keys ";
    for (unsigned c = 0; c < PV_CTLAPI_N_CMDS; c++) {
        const char *name = pv_ctlapi_cmd_name((enum pv_ctlapi_cmd)c);
        if (pv_ctlapi_cmd_changes((enum pv_ctlapi_cmd)c) !=
            (strstr(everybody, PV_STR(" %s ", name)) == NULL))
            fail_msg("ctlcmd.h has %s for %s, and this test not", name,
                     pv_ctlapi_cmd_changes((enum pv_ctlapi_cmd)c) ? "root" : "everybody");
    }
    assert_true(pv_ctlapi_cmd_changes(PV_CTLAPI_N_CMDS));
}

/* Nobody has p2pvpnd send a member's packet to a service of this host. */
PV_TEST(a_probe_goes_to_no_low_port)
{
    static const unsigned ports[] = {1023, 1024, 65535, 65536};
    for (size_t i = 0; i < PV_ARRAY_LEN(ports); i++) {
        struct pv_ctlapi_request req;
        int r = parse(PV_STR("{\"id\":1,\"cmd\":\"probe\",\"what\":\"x\",\"port\":%u}", ports[i]),
                      &req);
        assert_int_equal(r, i % 3 == 0 ? PV_ERR_MALFORMED : PV_OK);
        if (r == PV_OK)
            pv_ctlapi_request_done(&req);
    }
}

PV_TEST(peers_json_is_exactly_the_contract)
{
    json_t *peers = pv_ctlapi_list("peers");
    const struct pv_addr groups[] = {pv_addr4(224, 0, 0, 251, 0),
                                     pv_addr6((const uint8_t[16]){0xff, 0x05, [15] = 0x0c}, 0)};
    struct pv_ctlapi_peer direct = {
        .name = "bob",
        .ip4 = pv_addr4(10, 66, 1, 2, 0),
        .key = KEY,
        .wg_key = KEY,
        .online = true,
        .path = {.type = PV_CTLAPI_PATH_DIRECT,
                 .local = pv_addr4(192, 168, 1, 2, 4000),
                 .remote = pv_addr4(192, 0, 2, 1, 5000),
                 .rtt_ms = 9.2,
                 .loss = 0.0,
                 .mtu = 1420},
        .standing = "member",
        .tx_bytes = 12,
        .rx_bytes = UINT64_MAX,
        .last_handshake_ms = 1790000000250,
        .groups = groups,
        .n_groups = 2,
        .tags = (const char *const[]){"guests", "printers"},
        .n_tags = 2,
        .session = "hybrid",
        .gateway = "nas",
    };
    struct pv_ctlapi_peer away = {.name = "wg",
                                  .wg_key = KEY,
                                  .standing = "expired",
                                  .asks_from = "192.0.2.9",
                                  .expires_s = 1790000001,
                                  .last_seen_ms = 1790000000500,
                                  .path = {.rtt_ms = -1, .loss = -1, .via = "203.0.113.5:3478"}};
    pv_ctlapi_put(&peers, "peers", pv_ctlapi_peer_json(&direct));
    pv_ctlapi_put(&peers, "peers", pv_ctlapi_peer_json(&away));
    assert_json(peers, test_given("peers bob ip4 ip6 key wg_key"));
}

PV_TEST(status_json_is_exactly_the_contract)
{
    struct pv_ctlapi_status none = {.state = "none", .coordinator_rtt_ms = -1};
    assert_json(pv_ctlapi_status_json(&none), test_given("daemon state none uptime"));

    struct pv_addr public = pv_addr4(198, 51, 100, 7, 40015);
    const char *problem = "disk full";
    const char *name = "replay";
    uint64_t count = 3;
    struct pv_ctlapi_status up = {
        .state = "up",
        .uptime_s = 60,
        .expires_s = 1790000002,
        .network = "home",
        .network_id = ID,
        .cidr = {.base = pv_addr4(10, 66, 0, 0, 0), .bits = 16},
        .name = "lap",
        .ip4 = pv_addr4(10, 66, 3, 9, 0),
        .key = KEY,
        .wg_key = KEY,
        .wg_key_since_s = 1800000000,
        .wg_key_until_s = 1802592000,
        .admin = true,
        .root_key = true,
        .interface = "p2pvpn0",
        .mtu = 1420,
        .udp_port = 40015,
        .coordinator = "203.0.113.5:3478",
        .connected = true,
        .connected_ms = 1500.5,
        .coordinator_rtt_ms = 18.4,
        .relay = "203.0.113.5:3478",
        .relay_tx_bytes = 5,
        .relay_rx_bytes = 6,
        .public_addrs = &public,
        .n_public = 1,
        .left_out = 3,
        .unseen = true,
        .head = KEY,
        .members = 4,
        .log = 812,
        .online = 2,
        .direct = 1,
        .unread = 1,
        .queued = 2,
        .problems = &problem,
        .remedies = (const char *const[]){"make_room"},
        .n_problems = 1,
        .minor = 1,
        .drop_names = &name,
        .drop_counts = &count,
        .n_drops = 1,
        .sandbox = "user p2pvpn (997), no capabilities",
        .inside = 4711,
        .stack = "lwip",
        .stack_why = "no /dev/net/tun",
        .stack_restarts = 2,
        .directory = "/var/lib/p2pvpn",
        .rules = 3,
        .deny_default = true,
    };
    assert_json(pv_ctlapi_status_json(&up), test_given("daemon state up uptime network"));
}

static unsigned allocations_left;

static void *scarce_malloc(size_t size)
{
    return allocations_left-- == 0 ? (allocations_left = 0, NULL) : malloc(size);
}

PV_TEST(a_list_is_built_whole_or_not_at_all)
{
    json_t *list = NULL;
    for (unsigned n = 0; n < 1000 && list == NULL; n++) {
        allocations_left = n;
        json_set_alloc_funcs(scarce_malloc, free);
        list = pv_ctlapi_list("lines");
        pv_ctlapi_put(&list, "lines", json_string("direct"));
        pv_ctlapi_put(&list, "lines", json_string("relayed"));
        json_set_alloc_funcs(malloc, free);
    }
    assert_json(list, test_given("lines direct relayed"));
}

PV_TEST(replies_are_told_apart)
{
    struct pv_ctlapi_reply reply = {0};
    size_t len = 0;

    json_t *obj = pv_ctlapi_answer(5, json_pack("{s:i, s:i}", "sent", 3, "received", 2));
    char *line = pv_ctlapi_dump(obj, &len);
    assert_string_equal(line, test_given("sent received"));
    assert_ok(pv_ctlapi_reply_parse(pv_view(line, len - 1), false, &reply));
    assert_true(reply.ok && !reply.is_event && reply.id == 5 && reply.code == PV_CTLAPI_DONE);
    pv_ctlapi_reply_done(&reply);
    free(line);
    json_decref(obj);

    obj = pv_ctlapi_error(UINT64_MAX, PV_CTLAPI_UNKNOWN_PEER, "ping: no such peer");
    line = pv_ctlapi_dump(obj, &len);
    assert_string_equal(line, test_given("code error ping no such peer"));
    assert_ok(pv_ctlapi_reply_parse(pv_view(line, len - 1), false, &reply));
    assert_true(!reply.ok && reply.code == PV_CTLAPI_UNKNOWN_PEER && reply.id == UINT64_MAX);
    assert_string_equal(reply.error, "ping: no such peer");
    pv_ctlapi_reply_done(&reply);
    free(line);
    json_decref(obj);

    /* The envelope stays with any body. */
    obj = pv_ctlapi_event(6, "timeout",
                          json_pack("{s:s, s:s, s:i}", "id", "x", "event", "y", "seq", 1));
    line = pv_ctlapi_dump(obj, &len);
    assert_string_equal(line, "{\"id\":6,\"event\":\"timeout\",\"seq\":1}\n");
    assert_ok(pv_ctlapi_reply_parse(pv_view(line, len - 1), false, &reply));
    assert_true(reply.is_event && reply.id == 6);
    assert_string_equal(reply.event, "timeout");
    pv_ctlapi_reply_done(&reply);
    free(line);
    json_decref(obj);
}

/* Strings at any depth; keys; newlines, which only texts may have. Exact strings are escaped. */
PV_TEST(strings_of_replies_are_harmless)
{
    const char *line = test_given("code error u001b m u007f n l");
    struct pv_ctlapi_reply reply;
    assert_ok(pv_ctlapi_reply_parse(pv_view(line, strlen(line)), false, &reply));
    assert_string_equal(reply.error, "a\xef\xbf\xbd[m\xef\xbf\xbd\xef\xbf\xbd");
    const json_t *element = json_array_get(json_object_get(reply.body, "l"), 0);
    assert_string_equal(pv_json_text(element, "text", "?"), "b\n\xef\xbf\xbd\xef\xbf\xbd\xc3\xa9");
    assert_int_equal(json_object_size(reply.body), 5);
    pv_ctlapi_reply_done(&reply);
    assert_ok(pv_ctlapi_reply_parse(pv_view(line, strlen(line)), true, &reply));
    assert_string_equal(reply.error, "a\x1b[m\x7f\n");
    json_object_set_new(reply.body, "far", json_string("\xf0\x9f\x99\x82"));
    size_t len = 0;
    char *ascii = pv_harmless_dump(reply.body, &len);
    assert_string_equal(ascii, test_given("code error u001B m u007f n l"));
    assert_int_equal(len, strlen(ascii));
    free(ascii);
    pv_ctlapi_reply_done(&reply);
}

PV_TEST(bad_replies_are_refused)
{
    const char *const rows[] = {
        "",
        "[]",
        "{}",
        "{\"id\":1}",
        "{\"ok\":true}",
        "{\"id\":\"1\",\"ok\":true}",
        "{\"id\":1,\"ok\":1}",
        "{\"id\":1,\"ok\":false}",
        "{\"id\":1,\"ok\":false,\"code\":1}",
        test_given("code error x"),
        test_given("code 256 error x"),
        test_given("code -1 error x"),
        test_given("code error"),
    };
    struct pv_ctlapi_reply reply;
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++)
        assert_int_equal(pv_ctlapi_reply_parse(pv_view(rows[i], strlen(rows[i])), false, &reply),
                         PV_ERR_MALFORMED);
    const char *deep = test_given("x");
    assert_int_equal(pv_ctlapi_reply_parse(pv_view(deep, strlen(deep)), false, &reply),
                     PV_ERR_LIMIT);
}
