/* SPDX-License-Identifier: MIT */
/* A coordinator's report on itself: the numbers as JSON, and JSON as lines. */
#include "base/jsonread.h"
#include "coordinator/core/report.h"
#include "tests/unit/base/metrics_grammar.h"

static struct pv_relaystats stats;

/* Every number another one. */
static struct pv_report busy(void)
{
    struct pv_report r = {
        .version = "9.9",
        .rights = "user 61234, no capabilities",
        .uptime_s = 90061,
        .udp_silent_s = 299,
        .addrs = {"0.0.0.0:3478", "tls:0.0.0.0:443"},
        .n_addrs = 2,
        .coord = {.conns = 21, .online = 6, .networks = 2, .statements = 40, .jobs = 3},
        .kinds = {.members = 5,
                  .applicants = 1,
                  .turn = 2,
                  .stun = 4,
                  .opening = 8,
                  .closing = 1,
                  .hybrid = 3},
        .tls = 7,
        .handshakes = 9,
        .tls_refused = 11,
        .no_fds = 22,
        .waiting = 1,
        .relay_on = true,
        .relay = &stats,
        .users = {"alice", "bob"},
        .n_users = 2,
        .store = {.error = "write: the disk is full", .failed = 12, .bytes = 2048, .free = 5 << 20},
        .loop = {.turns = 31, .slow = 32, .hard = 35, .busy_us = 33, .longest_us = 34},
    };
    r.coord.failed = 13;
    r.coord.signals = 14;
    r.coord.accepted = 15;
    r.coord.requests = 16;
    r.process = (struct pv_metrics_process){
        .cpu_s = 17.5, .start_s = 1.7e9, .resident = 18, .fds = 19, .max_fds = 20};
    for (int i = 0; i < PV_COORD_LIMITS; i++)
        r.coord.limits[i] = 100 + (uint64_t)i;
    for (int i = 0; i < PV_RELAYSTAT_N; i++)
        pv_relaystat_set(&stats, (enum pv_relaystat)i, 1000 + (uint64_t)i);
    memset(stats.user, 0, sizeof(stats.user));
    for (int i = 0; i < PV_RELAYSTAT_USER_N; i++)
        pv_relaystat_add_user(&stats, 1, (enum pv_relaystat_user)i, 71 + i);
    return r;
}

static json_int_t at(const json_t *doc, const char *object, const char *key)
{
    const json_t *value = json_object_get(object == NULL ? doc : json_object_get(doc, object), key);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

PV_TEST(every_number_has_its_place)
{
    const struct pv_report r = busy();
    json_t *doc = pv_report_json(&r);
    assert_non_null(doc);
    static const struct {
        const char *object, *key;
        json_int_t value;
    } rows[] = {
        {NULL, "version", 1},
        {NULL, "uptime", 90061},
        {NULL, "udp_silent", 299},
        {NULL, "networks", 2},
        {NULL, "statements", 40},
        {NULL, "online", 6},
        {"connections", "open", 21},
        {"connections", "accepted", 15},
        {"connections", "members", 5},
        {"connections", "applicants", 1},
        {"connections", "turn", 2},
        {"connections", "stun", 4},
        {"connections", "opening", 8},
        {"connections", "closing", 1},
        {"connections", "tls", 7},
        {"connections", "hybrid", 3},
        {"connections", "tls_handshakes", 9},
        {"requests", "handled", 16},
        {"requests", "signals", 14},
        {"requests", "failed", 13},
        {"limits", "tls_handshakes", 11},
        {"limits", "descriptors", 22},
        {"connections", "waiting", 1},
        {"limits", "connections", 100 + PV_COORD_LIMIT_CONNS},
        {"limits", "applicants", 100 + PV_COORD_LIMIT_APPLICANTS},
        {"limits", "connections_of_a_source", 100 + PV_COORD_LIMIT_SOURCE},
        {"limits", "requests", 100 + PV_COORD_LIMIT_REQUESTS},
        {"limits", "signals", 100 + PV_COORD_LIMIT_SIGNALS},
        {"limits", "stored_copies", 100 + PV_COORD_LIMIT_COPIES},
        {"limits", "networks_or_members", 100 + PV_COORD_LIMIT_FULL},
        {"relay", "member_bytes", 1000 + PV_RELAYSTAT_MEMBER_BYTES},
        {"relay", "static_packets", 1000 + PV_RELAYSTAT_STATIC_PACKETS},
        {"relay", "member_allocations", 1000 + PV_RELAYSTAT_MEMBER_ALLOCATIONS},
        {"relay", "static_allocations", 1000 + PV_RELAYSTAT_STATIC_ALLOCATIONS},
        {"relay", "sockets", 1000 + PV_RELAYSTAT_SOCKETS},
        {"relay", "refused", 1000 + PV_RELAYSTAT_REFUSED},
        {"process", "resident", 18},
        {"process", "fds", 19},
        {"process", "max_fds", 20},
        {"store", "pending", 3},
        {"store", "failed", 12},
        {"store", "bytes", 2048},
        {"store", "disk_free", 5 << 20},
        {"loop", "turns", 31},
        {"loop", "slow", 32},
        {"loop", "hard", 35},
        {"loop", "busy_us", 33},
        {"loop", "longest_us", 34},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++)
        assert_int_equal(at(doc, rows[i].object, rows[i].key), rows[i].value);
    const json_t *relay = json_object_get(doc, "relay");
    assert_int_equal(at(relay, "drops", "no_channel"), 1000 + PV_RELAYSTAT_DROP_NO_CHANNEL);
    assert_int_equal(at(relay, "drops", "bandwidth"), 1000 + PV_RELAYSTAT_DROP_BANDWIDTH);
    assert_true(pv_json_bool(relay, "enabled"));
    const json_t *users = json_object_get(relay, "users"), *bob = json_array_get(users, 1);
    assert_int_equal(json_array_size(users), 2);
    assert_string_equal(pv_json_text(bob, "name", "?"), "bob");
    assert_int_equal(at(bob, NULL, "packets"), 71);
    assert_int_equal(at(bob, NULL, "bytes"), 72);
    assert_int_equal(at(bob, NULL, "allocations"), 73);
    assert_int_equal(json_object_size(json_object_get(doc, "limits")), PV_COORD_LIMITS + 2);
    assert_string_equal(pv_json_text(json_object_get(doc, "store"), "error", "?"), r.store.error);
    assert_int_equal(json_array_size(json_object_get(doc, "listen")), 2);
    json_decref(doc);
}

static struct grammar *metrics_of(const json_t *doc)
{
    char *text = NULL;
    size_t len = 0;
    assert_ok(pv_report_metrics(doc, &text, &len));
    struct grammar *g = grammar_read(text);
    free(text);
    return g;
}

PV_TEST(every_number_has_its_sample)
{
    static const struct {
        const char *series;
        double value;
    } rows[] = {
        {"build_info{version=\"9.9\"}", 1},
        {"networks", 2},
        {"statements", 40},
        {"nodes_online", 6},
        {"connections{kind=\"members\"}", 5},
        {"connections{kind=\"applicants\"}", 1},
        {"connections{kind=\"turn\"}", 2},
        {"connections{kind=\"stun\"}", 4},
        {"connections{kind=\"opening\"}", 8},
        {"connections{kind=\"closing\"}", 1},
        {"tls_connections", 7},
        {"hybrid_connections", 3},
        {"tls_handshakes", 9},
        {"accepted_connections_total", 15},
        {"requests_total", 16},
        {"signals_total", 14},
        {"failed_connections_total", 13},
        {"relay_enabled", 1},
        {"relay_allocations{for=\"members\"}", 1000 + PV_RELAYSTAT_MEMBER_ALLOCATIONS},
        {"relay_allocations{for=\"static\"}", 1000 + PV_RELAYSTAT_STATIC_ALLOCATIONS},
        {"relay_members", 1000 + PV_RELAYSTAT_MEMBERS},
        {"relay_sockets", 1000 + PV_RELAYSTAT_SOCKETS},
        {"relay_packets_total{for=\"members\"}", 1000 + PV_RELAYSTAT_MEMBER_PACKETS},
        {"relay_packets_total{for=\"static\"}", 1000 + PV_RELAYSTAT_STATIC_PACKETS},
        {"relay_bytes_total{for=\"members\"}", 1000 + PV_RELAYSTAT_MEMBER_BYTES},
        {"relay_bytes_total{for=\"static\"}", 1000 + PV_RELAYSTAT_STATIC_BYTES},
        {"relay_refused_total", 1000 + PV_RELAYSTAT_REFUSED},
        {"relay_user_packets_total{user=\"bob\"}", 71},
        {"relay_user_bytes_total{user=\"bob\"}", 72},
        {"relay_user_allocations{user=\"bob\"}", 73},
        {"relay_user_bytes_total{user=\"alice\"}", 0},
        {"store_healthy", 0},
        {"store_pending", 3},
        {"store_failed_total", 12},
        {"store_bytes", 2048},
        {"disk_free_bytes", 5 << 20},
        {"loop_turns_total", 31},
        {"loop_slow_turns_total", 32},
        {"loop_hard_turns_total", 35},
        {"loop_busy_microseconds_total", 33},
        {"loop_longest_turn_microseconds", 34},
        {"process_cpu_seconds_total", 17.5},
        {"process_start_time_seconds", 1.7e9},
        {"process_resident_memory_bytes", 18},
        {"process_open_fds", 19},
        {"process_max_fds", 20},
        {"limited_total{limit=\"tls_handshakes\"}", 11},
    };
    const struct pv_report r = busy();
    char series[128];
    json_t *doc = pv_report_json(&r);
    assert_non_null(doc);
    struct grammar *g = metrics_of(doc);
    json_decref(doc);
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        snprintf(series, sizeof(series), "p2pvpn_coordinator_%s", rows[i].series);
        if (grammar_value(g, series) != rows[i].value)
            fail_msg("%s is %g", series, grammar_value(g, series));
    }
    for (int i = 0; i < PV_COORD_LIMITS; i++) {
        snprintf(series, sizeof(series), "p2pvpn_coordinator_limited_total{limit=\"%s\"}",
                 pv_coord_limit_name((enum pv_coord_limit)i));
        assert_true(grammar_value(g, series) == 100 + i);
    }
    for (int i = PV_RELAYSTAT_DROP_NO_ALLOCATION; i <= PV_RELAYSTAT_DROP_STREAM; i++) {
        snprintf(series, sizeof(series), "p2pvpn_coordinator_relay_drops_total{reason=\"%s\"}",
                 pv_relaystat_reason((enum pv_relaystat)i));
        assert_true(grammar_value(g, series) == 1000 + i);
    }
    grammar_done(g);
}

/* Each number of a struct that is shown has to be in some row. */
static void every_field_has_its_row(const char *name, size_t offset, size_t size)
{
    size_t n = 0;
    const struct pv_report_row *rows = pv_report_rows(&n);
    assert_int_equal(size % sizeof(uint64_t), 0);
    for (size_t at = offset; at < offset + size; at += sizeof(uint64_t)) {
        bool found = false;
        for (size_t i = 0; i < n; i++)
            found = found || rows[i].offset == at;
        if (!found)
            fail_msg("number %zu of struct %s has no row in coordinator/core/report.c: say "
                     "there where it stands in the JSON, and its sample",
                     (at - offset) / sizeof(uint64_t) + 1, name);
    }
}

PV_TEST(nothing_is_counted_that_is_not_shown)
{
    every_field_has_its_row("pv_coord_stats", offsetof(struct pv_report, coord),
                            offsetof(struct pv_coord_stats, refused)); /* a sum, and the limits */
    every_field_has_its_row("pv_coord_kinds", offsetof(struct pv_report, kinds),
                            sizeof(struct pv_coord_kinds));
    for (int i = 0; i < PV_RELAYSTAT_N; i++) {
        const struct pv_stat_row *row = pv_relaystat_row((enum pv_relaystat)i);
        if (row->key == NULL)
            fail_msg("number %d of enum pv_relaystat has no row in "
                     "coordinator/core/turn/relaystats.c: give it a key for `status --json` and a "
                     "family for Prometheus there",
                     i);
        if (row->family == NULL && pv_relaystat_reason((enum pv_relaystat)i) == NULL)
            fail_msg("relaystats.c: \"%s\" has no family for Prometheus", row->key);
    }
    for (int i = 0; i < PV_RELAYSTAT_USER_N; i++) {
        if (pv_relaystat_user_row((enum pv_relaystat_user)i)->key == NULL)
            fail_msg("number %d of enum pv_relaystat_user has no row in "
                     "coordinator/core/turn/relaystats.c",
                     i);
    }
    for (int i = 0; i < PV_COORD_LIMITS; i++) {
        if (pv_coord_limit_name((enum pv_coord_limit)i) == NULL)
            fail_msg("limit %d of enum pv_coord_limit has no name in "
                     "coordinator/core/coord.c: `status` and Prometheus show it by that",
                     i);
    }
}

/* A sample's name and label, as the text for Prometheus has them. */
static void series_of(const struct pv_stat_row *row, char *series, size_t cap)
{
    if (row->label == NULL)
        snprintf(series, cap, "%s", row->family);
    else
        snprintf(series, cap, "%s{%s=\"%s\"}", row->family, row->label, row->value);
}

PV_TEST(every_row_is_in_the_json_and_has_its_sample)
{
    const struct pv_report r = busy();
    json_t *doc = pv_report_json(&r);
    struct grammar *g = metrics_of(doc);
    char series[128];
    size_t n = 0;
    const struct pv_report_row *rows = pv_report_rows(&n);
    for (size_t i = 0; i < n; i++) {
        uint64_t value = 0;
        memcpy(&value, (const char *)&r + rows[i].offset, sizeof(value));
        assert_int_equal(at(doc, rows[i].object, rows[i].stat.key), value);
        if (rows[i].stat.family == NULL)
            continue;
        series_of(&rows[i].stat, series, sizeof(series));
        if (grammar_value(g, series) != (double)value)
            fail_msg("%s is %g, not %g", series, grammar_value(g, series), (double)value);
    }
    for (int i = 0; i < PV_RELAYSTAT_N; i++) {
        const struct pv_stat_row *row = pv_relaystat_row((enum pv_relaystat)i);
        if (row->family == NULL)
            continue;
        assert_int_equal(at(doc, "relay", row->key), 1000 + i);
        series_of(row, series, sizeof(series));
        if (grammar_value(g, series) != 1000 + i)
            fail_msg("%s is %g, not %d", series, grammar_value(g, series), 1000 + i);
    }
    grammar_done(g);
    json_decref(doc);
}

static void lines(const struct pv_report *r, char text[static PV_REPORT_TEXT_MAX])
{
    json_t *doc = pv_report_json(r);
    assert_non_null(doc);
    assert_ok(pv_report_text(doc, text));
    json_decref(doc);
}

static bool is_well(const struct pv_report *r)
{
    json_t *doc = pv_report_json(r);
    assert_non_null(doc);
    bool well = pv_report_is_well(doc);
    json_decref(doc);
    return well;
}

PV_TEST(lines_say_it_in_words)
{
    struct pv_report r = busy();
    static char text[PV_REPORT_TEXT_MAX];
    for (int i = 0; i < PV_COORD_LIMITS; i++)
        r.coord.limits[i] = i == PV_COORD_LIMIT_SIGNALS ? 3 : 0;
    for (int i = 0; i < PV_RELAYSTAT_N; i++)
        pv_relaystat_set(&stats, (enum pv_relaystat)i, 0);
    pv_relaystat_set(&stats, PV_RELAYSTAT_MEMBER_BYTES, 3 << 20);
    pv_relaystat_set(&stats, PV_RELAYSTAT_MEMBER_PACKETS, 4000);
    pv_relaystat_set(&stats, PV_RELAYSTAT_DROP_BANDWIDTH, 5);
    pv_relaystat_set(&stats, PV_RELAYSTAT_DROP_NO_PEER, 6);
    pv_relaystat_set(&stats, PV_RELAYSTAT_UDP_RECEIVED, 7);
    lines(&r, text);
    assert_shows("text", text);
}

PV_TEST(phone_ports_have_a_line_where_there_are_any)
{
    struct pv_report r = busy();
    static char text[PV_REPORT_TEXT_MAX];
    pv_relaystat_set(&stats, PV_RELAYSTAT_PHONE_PORTS, 2);
    pv_relaystat_set(&stats, PV_RELAYSTAT_PHONE_PORT_PACKETS, 30);
    pv_relaystat_set(&stats, PV_RELAYSTAT_PHONE_PORT_BYTES, 4000);
    lines(&r, text);
    assert_shows("text", text);
    pv_relaystat_set(&stats, PV_RELAYSTAT_PHONE_PORTS, 0);
    pv_relaystat_set(&stats, PV_RELAYSTAT_PHONE_PORT_PACKETS, 0);
    lines(&r, text);
    assert_lacks(text, "through phone ports");
}

/* A firewall that is closed to UDP later is as much in the way, and nodes are never silent for that
 * long. */
PV_TEST(udp_that_comes_no_more_is_a_problem)
{
    struct pv_report_udp heard = {.at = PV_S(10)};
    struct pv_report r = busy();
    static char text[PV_REPORT_TEXT_MAX];
    assert_int_equal(pv_report_hear_udp(&heard, 6, 0, PV_S(40)), 30);
    assert_int_equal(pv_report_hear_udp(&heard, 6, 7, PV_S(50)), 0);
    assert_int_equal(pv_report_hear_udp(&heard, 6, 7, PV_S(110)), 60);
    assert_int_equal(pv_report_hear_udp(&heard, 6, 8, PV_S(170)), 0);
    assert_int_equal(pv_report_hear_udp(&heard, 0, 8, PV_S(999)), 0); /* nobody is there to send */
    assert_int_equal(pv_report_hear_udp(&heard, 1, 8, PV_S(1299)), 300);
    lines(&r, text);
    assert_lacks(text, "no UDP");
    r.udp_silent_s = 720;
    r.store.error = NULL;
    lines(&r, text);
    assert_shows("text", text);
    assert_true(is_well(&r));
}

PV_TEST(udp_that_never_came_is_a_problem)
{
    struct pv_report r = busy();
    static char text[PV_REPORT_TEXT_MAX];
    r.waiting = 0;
    r.store.error = NULL;
    pv_relaystat_set(&stats, PV_RELAYSTAT_UDP_RECEIVED, 0);
    lines(&r, text);
    assert_shows("text", text);
    assert_lacks(text, "note:");
    r.public_doubt = test_given("public no address this machine");
    lines(&r, text);
    assert_shows("text", text);
    r.public_doubt = NULL;
    assert_true(is_well(&r)); /* it may be theirs */
    r.relay_on = false;       /* STUN answers all the same */
    lines(&r, text);
    assert_has(text, "no UDP has come in");
    r.store.error = "the disk is full";
    assert_false(is_well(&r));
    r.store.error = NULL;
    pv_relaystat_set(&stats, PV_RELAYSTAT_UDP_RECEIVED, 1);
    lines(&r, text);
    assert_true(is_well(&r));
    assert_lacks(text, "problem");
    pv_relaystat_set(&stats, PV_RELAYSTAT_UDP_RECEIVED, 0);
    r.udp_silent_s = 5; /* the first node may have come just now */
    lines(&r, text);
    assert_lacks(text, "problem");
    r = busy();
    r.waiting = 0;
    pv_relaystat_set(&stats, PV_RELAYSTAT_UDP_RECEIVED, 0);
    r.udp_silent_s = 0; /* and with nobody online there is none */
    lines(&r, text);
    assert_lacks(text, "problem");
}

PV_TEST(a_part_that_is_off_or_well_is_short)
{
    struct pv_report r = {.version = "1", .relay = &stats};
    static char text[PV_REPORT_TEXT_MAX];
    memset(&stats, 0, sizeof(stats));
    lines(&r, text);
    assert_has(text, "relay         off\n");
    assert_lacks(text, "relayed");
    assert_shows("text", text);
}

/* A newer or a broken coordinator may answer anything. */
PV_TEST(other_documents_are_refused_or_survived)
{
    static char text[PV_REPORT_TEXT_MAX], doc_text[2 * PV_REPORT_TEXT_MAX];
    static const char *const refused[] = {"{}", "[]", "{\"version\":2}", "{\"version\":\"1\"}"};
    const char *const survived[] = {
        "{\"version\":1}",
        test_given("listen relay limits store error"),
        test_given("relay enabled drops x y later"),
    };
    size_t len = 0;
    for (size_t i = 0; i < PV_ARRAY_LEN(refused); i++) {
        json_t *doc = json_loads(refused[i], 0, NULL);
        char *metrics = NULL;
        assert_int_equal(pv_report_text(doc, text), PV_ERR_MALFORMED);
        assert_int_equal(pv_report_metrics(doc, &metrics, &len), PV_ERR_MALFORMED);
        json_decref(doc);
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(survived); i++) {
        json_t *doc = json_loads(survived[i], 0, NULL);
        assert_ok(pv_report_text(doc, text));
        grammar_done(metrics_of(doc));
        json_decref(doc);
    }
    len = (size_t)snprintf(doc_text, sizeof(doc_text), "{\"version\":1,\"coordinator\":\"");
    memset(doc_text + len, 'x', PV_REPORT_TEXT_MAX);
    snprintf(doc_text + len + PV_REPORT_TEXT_MAX, 3, "\"}");
    json_t *doc = json_loads(doc_text, 0, NULL);
    assert_non_null(doc);
    assert_int_equal(pv_report_text(doc, text), PV_ERR_NO_SPACE);
    json_decref(doc);
}

PV_TEST(a_coordinator_that_stands_by_says_whom_it_waits_for)
{
    static char text[PV_REPORT_TEXT_MAX];
    const struct {
        const char *doc, *part;
    } rows[] = {
        {test_given("standby serves one error"), "one"},
        {test_given("standby serves error it away"), "it is away"},
        {"{\"version\":1,\"standby\":true}", "it asks the database"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        json_t *doc = json_loads(rows[i].doc, 0, NULL);
        char *metrics = NULL;
        size_t len = 0;
        assert_ok(pv_report_text(doc, text));
        assert_has(text, "standing by");
        assert_has(text, rows[i].part);
        assert_ok(pv_report_metrics(doc, &metrics, &len));
        assert_has(metrics, "p2pvpn_coordinator_standby 1");
        free(metrics);
        json_decref(doc);
    }
}
