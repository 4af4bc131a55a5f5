/* SPDX-License-Identifier: MIT */
/* The part that gathers `status` and metrics: every part's share is in them; and `peers`, `ip`,
 * `log`, `version`. */
#include "daemon/core/client/info.h"
#include "daemon/core/jobs/chatjob.h"
#include "daemon/core/member/presence.h"
#include "tests/unit/base/metrics_grammar.h"
#include "tests/unit/daemon/core/client/fake_client.h"

static struct fake_peers x;
static uint32_t client;

/* --- another part, which has something to say ------------------------------------------------- */

static void say_something(void *part, struct pv_statuspage *st, pv_ns now)
{
    (void)part;
    (void)now;
    st->hard = (struct pv_ctlapi_hard){.mapping = "same", .ports = "unknown"};
    pv_statuspage_problem(st, "the printer is on fire: ", "call somebody");
    pv_statuspage_drop(st, "forged", 3);
    pv_statuspage_drop(st, "never-happened", 0);
}

static void put_something(void *part, struct pv_metrics *m, pv_ns now)
{
    (void)part;
    (void)now;
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_printers", "Printers.");
    pv_metrics_count(m, 2, NULL);
}

static const struct pv_part other = {
    .name = "other", .status = say_something, .metrics = put_something};

static int start(void **state)
{
    (void)state;
    fake_peers_init(&x, &pv_part_info);
    fake_node_enter(&x.f);
    fake_node_start(&x.f);
    x.f.node.parts[0] = (struct pv_part_slot){.part = &pv_part_info, .self = x.f.self};
    x.f.node.parts[1] = (struct pv_part_slot){.part = &other};
    x.f.node.parts[2] = (struct pv_part_slot){.part = &pv_part_peers, .self = x.f.node.peers};
    x.f.node.n_parts = 3;
    client = fake_client_open(&x);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fake_peers_done(&x);
    return 0;
}

static void expect_said(const char *text)
{
    const char *all = fake_client_read(&x, client);
    if (strstr(all, text) == NULL)
        fail_msg("the client read: %s", all);
}

/* Asks for `status`; the store has counted, or failed. The answer is in fake_client_output. */
static void ask_status(int store_status)
{
    fake_client_ask(&x, client, "\"cmd\":\"status\"");
    assert_string_equal(fake_client_read(&x, client), ""); /* not before the store has counted */
    struct pv_job *job = fake_node_job(&x.f);
    assert_non_null(job);
    assert_int_equal(job->kind, PV_JOB_CHAT);
    assert_int_equal(job->u.chat->kind, PV_CHATJOB_COUNTS);
    struct pv_job_result result = {.status = store_status};
    if (store_status == PV_OK) {
        result.chat = calloc(1, sizeof(*result.chat));
        assert_non_null(result.chat);
        result.chat->unread = 4;
        result.chat->queued = 2;
    }
    fake_node_answer(&x.f, job, &result);
    (void)fake_client_read(&x, client);
}

static void expect_status(const char *text)
{
    if (strstr(fake_client_output, text) == NULL)
        fail_msg("status is: %s", fake_client_output);
}

static void status_has_the_share_of_every_part(void **state)
{
    (void)state;
    pv_node_report(&x.f.node, "something happened", x.f.now);
    ask_status(PV_OK);
    expect_status("\"unread\":4,\"queued\":2");
    expect_status("the printer is on fire: call somebody");
    expect_status("something happened");
    expect_status("\"forged\":3");
    assert_null(strstr(fake_client_output, "never-happened"));
    expect_status("\"state\":\"connecting\"");
}

static void status_says_what_it_can_when_the_store_does_not_count(void **state)
{
    (void)state;
    ask_status(PV_ERR_NO_SPACE);
    expect_status("\"unread\":0,\"queued\":0");
    expect_status("the printer is on fire");
}

static void the_state_is_one_word(void **state)
{
    (void)state;
    struct pv_node *n = &x.f.node;
    n->online = true;
    n->iface = PV_IFACE_UP;
    ask_status(PV_OK);
    expect_status("\"state\":\"up\"");
    expect_status("\"interface\":{\"name\":\"pv0\"");
    n->up = false;
    ask_status(PV_OK);
    expect_status("\"state\":\"down\"");
    n->removed = true;
    ask_status(PV_OK);
    expect_status("\"state\":\"removed\"");
    n->roster = NULL; /* the test's world frees it */
    ask_status(PV_OK);
    expect_status("\"state\":\"none\"");
}

static void the_newest_reports_are_kept(void **state)
{
    (void)state;
    for (unsigned i = 0; i < PV_NODE_REPORTS + 2; i++) {
        char text[32];
        snprintf(text, sizeof(text), "report %u.", i);
        pv_node_report(&x.f.node, text, x.f.now);
    }
    ask_status(PV_OK);
    assert_null(strstr(fake_client_output, "report 1."));
    const char *oldest = strstr(fake_client_output, "report 2.");
    const char *newest = strstr(fake_client_output, "report 17.");
    assert_true(oldest != NULL && newest != NULL && oldest < newest);
}

static void metrics_have_the_share_of_every_part(void **state)
{
    (void)state;
    char *text = NULL;
    size_t len = 0;
    struct pv_engine_datapath d = {.workers = 2, .threads = 4, .aead = "test", .not_sent = 7};
    d.drops[0] = 9;
    pv_info_set_datapath(&x.f.node, &d);
    pv_info_set_process(&x.f.node, &(struct pv_metrics_process){.fds = 5});
    fake_peers_member(&x, 7, "bob", 7);
    assert_int_equal(pv_info_metrics(&x.f.node, x.f.now, &text, &len), PV_OK);
    assert_int_equal(strlen(text), len);
    struct grammar *g = grammar_read(text);
    free(text);
    assert_true(grammar_value(g, "p2pvpn_printers") == 2);
    assert_true(grammar_value(g, "p2pvpn_problems") == 1);
    assert_true(grammar_value(g, "p2pvpn_workers") == 2);
    assert_true(grammar_value(g, "p2pvpn_up") == 0);
    assert_true(grammar_value(g, "p2pvpn_drops_total{reason=\"not-sent\"}") == 7);
    assert_true(grammar_value(g, "p2pvpn_drops_total{reason=\"forged\"}") == 3);
    assert_true(grammar_value(g, "p2pvpn_drops_total{reason=\"never-happened\"}") == 0);
    assert_true(grammar_value(g, "p2pvpn_peer_online{peer=\"bob\",kind=\"member\"}") == 0);
    grammar_done(g);
    fake_client_ask(&x, client, "\"cmd\":\"metrics\"");
    expect_said("p2pvpn_printers 2");
}

/* --- the other commands ----------------------------------------------------------------------- */

static void peers_without_the_coordinator_are_marked_as_remembered(void **state)
{
    (void)state;
    fake_peers_member(&x, 7, "bob", 7);
    fake_client_ask(&x, client, "\"cmd\":\"peers\"");
    expect_said("\"code\":9"); /* PV_CTLAPI_UNREACHABLE */
    x.f.node.online = true;
    fake_client_ask(&x, client, "\"cmd\":\"peers\"");
    const char *all = fake_client_read(&x, client);
    assert_null(strstr(all, "\"code\""));
    assert_non_null(strstr(all, "\"bob\""));
}

static void ip_is_that_of_this_node_or_of_the_named_peer(void **state)
{
    (void)state;
    fake_peers_member(&x, 7, "bob", 7);
    fake_client_ask(&x, client, "\"cmd\":\"ip\",\"peer\":\"bob\"");
    expect_said("10.66.0.7");
    fake_client_ask(&x, client, "\"cmd\":\"ip\"");
    expect_said("\"ip4\":\"10.66.104.88\""); /* drawn from its key */
    fake_client_ask(&x, client, "\"cmd\":\"ip\",\"peer\":\"carol\"");
    expect_said("no peer carol");
}

static void the_log_level_is_set_at_once(void **state)
{
    (void)state;
    fake_client_ask(&x, client, "\"cmd\":\"log\",\"level\":\"debug\"");
    expect_said("\"ok\":true");
    assert_int_equal(x.f.node.log_copy.level, PV_LOG_DEBUG);
    fake_client_ask(&x, client, "\"cmd\":\"log\",\"level\":\"loud\"");
    expect_said("no such level");
    fake_client_ask(&x, client, "\"cmd\":\"version\"");
    expect_said(PV_VERSION);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(status_has_the_share_of_every_part),
        TEST(status_says_what_it_can_when_the_store_does_not_count),
        TEST(the_state_is_one_word),
        TEST(the_newest_reports_are_kept),
        TEST(metrics_have_the_share_of_every_part),
        TEST(peers_without_the_coordinator_are_marked_as_remembered),
        TEST(ip_is_that_of_this_node_or_of_the_named_peer),
        TEST(the_log_level_is_set_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
