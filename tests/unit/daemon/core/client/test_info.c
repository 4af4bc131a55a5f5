/* SPDX-License-Identifier: MIT */
/* The part that gathers `status` and metrics: every part's share is in them; and `peers`, `ip`,
 * `log`, `version`. */
#include <errno.h>

#include "daemon/core/client/info.h"
#include "daemon/core/member/presence.h"
#include "daemon/core/node/apphooks.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/route/phonewatch.h"
#include "proto/local/ctlapi.h"
#include "tests/unit/base/metrics_grammar.h"
#include "tests/unit/daemon/core/client/fake_client.h"
#include "tests/unit/daemon/core/member/fake_coord.h"

static struct fake_peers x;
static uint32_t client;

/* --- another part, which has something to say ------------------------------------------------- */

static void say_something(void *part, struct pv_statuspage *st, pv_ns now)
{
    pv_statuspage_put(st, PV_STATUS_HARD_NAT, json_pack("{s:s}", "mapping", "same"));
    pv_statuspage_problem(st, "the printer is on fire: ", "call somebody");
    pv_statuspage_drop(st, "forged", 3);
    pv_statuspage_drop(st, "never-happened", 0);
}

static void put_something(void *part, struct pv_metrics *m, pv_ns now)
{
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_printers", "Printers.");
    pv_metrics_count(m, 2, NULL);
}

static const struct pv_part other = {
    .name = "other", .status = say_something, .metrics = put_something};

static struct pv_faults faults;

void test_before_each(void)
{
    faults = (struct pv_faults){.n = 0};
    fake_peers_init(&x, &pv_part_info);
    fake_coord_init();
    fake_node_enter(&x.f);
    x.f.cfg.faults = &faults;
    x.f.cfg.directory = "/srv/p2pvpn";
    fake_node_start(&x.f);
    x.f.node.parts[1] = (struct pv_part_slot){.part = &other};
    x.f.node.parts[2] = (struct pv_part_slot){.part = &pv_part_peers, .self = x.f.node.peers};
    x.f.node.n_parts = 3;
    client = fake_client_open(&x);
}

static void expect_said(const char *text)
{
    const char *all = fake_client_read(&x, client);
    if (!test_has(all, text))
        fail_msg("the client read: %s", all);
}

static void assert_answer(const char *fields, const char *text)
{
    fake_client_ask(&x, client, fields);
    expect_said(text);
}

/* The count that chat was asked for. */
static struct {
    pv_app_counted *done;
    void *self;
    uint64_t tag;
} counting;

static bool count(struct pv_node *n, pv_app_counted *done, void *self, uint64_t tag, pv_ns now)
{
    counting.done = done;
    counting.self = self;
    counting.tag = tag;
    return true;
}

/* Asks for `status`; chat has counted, or failed. The answer is in fake_ctl_output. */
static void ask_status(int store_status)
{
    static const struct pv_app_hooks hooks = {.count = count};
    static const struct pv_app_counts counts = {.unread = 4, .queued = 2};
    x.f.node.app_hooks = &hooks;
    fake_client_ask(&x, client, "'cmd':'status'");
    assert_string_equal(fake_client_read(&x, client), ""); /* not before chat has counted */
    counting.done(counting.self, counting.tag, store_status == PV_OK ? &counts : NULL, x.f.now);
    (void)fake_client_read(&x, client);
}

static void expect_status(const char *text)
{
    if (!test_has(fake_ctl_output, text))
        fail_msg("status is: %s", fake_ctl_output);
}

/* The store has counted, and the answer says this. */
static void assert_status(const char *text)
{
    ask_status(PV_OK);
    expect_status(text);
}

PV_TEST(status_has_the_share_of_every_part)
{
    pv_node_report(&x.f.node, PV_FROM_MEMBERS, "something happened", x.f.now);
    assert_status("\"unread\":4,\"queued\":2");
    expect_status("the printer is on fire: call somebody");
    expect_status("something happened");
    expect_status("\"forged\":3");
    assert_lacks(fake_ctl_output, "never-happened");
    expect_status("\"state\":\"connecting\"");
    expect_status("\"directory\":\"/srv/p2pvpn\"");
}

PV_TEST(status_says_what_it_can_when_the_store_does_not_count)
{
    ask_status(PV_ERR_NO_SPACE);
    expect_status("\"unread\":0,\"queued\":0");
    expect_status("the printer is on fire");
}

PV_TEST(features_that_are_off_are_problems_with_remedies)
{
    faults =
        (struct pv_faults){.list = {{.what = "[metrics]", .why = "in use", .minor = true},
                                    {.what = "[peer nas]", .why = "no such file", .restart = true}},
                           .n = 2,
                           .more = 3};
    assert_status("[metrics] is off: in use; mend that, then `sudo p2pvpnctl reload`");
    expect_status("[peer nas] is off: no such file; mend that, then restart p2pvpnd");
    expect_status("3 more [peer] are off; mend that, then restart p2pvpnd");
    expect_status("mend_and_restart");
}

PV_TEST(the_state_is_one_word)
{
    struct pv_node *n = &x.f.node;
    n->online = true;
    n->iface.state = PV_IFACE_UP;
    assert_status("\"state\":\"up\"");
    expect_status("\"interface\":{\"name\":\"pv0\"");
    n->up = false;
    assert_status("\"state\":\"down\"");
    n->coord_info.standing = PV_COORD_DENIED;
    assert_status("\"state\":\"removed\"");
    n->coord_info.standing = PV_COORD_NO_COMPLAINT;
    n->removed = true;
    assert_status("\"state\":\"removed\"");
    n->roster = NULL; /* the test's world frees it */
    assert_status("\"state\":\"none\"");
}

/* Each after some time, so that every one is said. */
static void report(enum pv_report_source source, const char *what, unsigned number)
{
    const char *text = PV_STR("%s %u.", what, number);
    x.f.now += PV_S(10);
    pv_node_report(&x.f.node, source, text, x.f.now);
}

PV_TEST(the_newest_reports_are_kept)
{
    for (unsigned i = 0; i < PV_NODE_SOURCE_REPORTS + 2; i++)
        report(PV_FROM_STATEMENTS, "report", i);
    ask_status(PV_OK);
    assert_lacks(fake_ctl_output, "report 1.");
    const char *oldest = strstr(fake_ctl_output, "report 2.");
    const char *newest = strstr(fake_ctl_output, "report 9.");
    assert_true(oldest != NULL && newest != NULL && oldest < newest);
}

PV_TEST(a_source_with_many_reports_hides_no_others)
{
    report(PV_FROM_MEMBERS, "bob differs", 0);
    for (unsigned i = 0; i < 100; i++)
        report(PV_FROM_STATEMENTS, "refused", i);
    report(PV_FROM_COORDINATOR, "replaced", 0);
    assert_status("bob differs 0.");
    expect_status("refused 99.");
    expect_status("replaced 0.");
    assert_lacks(fake_ctl_output, "refused 91.");
}

PV_TEST(reports_that_repeat_are_counted)
{
    for (unsigned i = 0; i < 5041; i++)
        pv_node_report(&x.f.node, PV_FROM_STATEMENTS, "a statement was refused", x.f.now);
    assert_int_equal(x.f.node.reports.n, 1);
    assert_status("a statement was refused (and 5040 more)");
    /* Others without end count to the newest that is shown. */
    for (unsigned i = 0; i < 1000; i++) {
        pv_node_report(&x.f.node, PV_FROM_STATEMENTS, PV_STR("other %u", i), x.f.now);
    }
    assert_int_equal(x.f.node.reports.n, 1 + 4);
    assert_status("other 3 (and 996 more)");
}

static char last_line[PV_LOG_LINE_MAX];

static void keep_line(void *ctx, enum pv_log_level level, const char *line)
{
    snprintf(last_line, sizeof(last_line), "%s", line);
}

PV_TEST(the_log_says_at_last_how_many_lines_it_left_out)
{
    const struct pv_log log = {.level = PV_LOG_WARN, .sink = keep_line};
    x.f.node.log = &log;
    for (unsigned i = 0; i < 4; i++)
        pv_node_report(&x.f.node, PV_FROM_STATEMENTS, "refused", x.f.now);
    assert_string_equal(last_line, "report: text=\"refused\"");
    fake_node_wait(&x.f, PV_S(61));
    assert_string_equal(last_line, "more of the like: about=statements more=3");
    x.f.node.log = NULL;
}

PV_TEST(ports_that_others_have_are_told)
{
    struct pv_datapath_counts d = {
        .workers = 1, .threads = 1, .aead = "test", .no_app[0] = {PV_ERR_EXISTS, PV_ERR_EXISTS}};
    pv_info_set_datapath(&x.f.node, &d);
    assert_status("\"aead_ns\":[]");
    expect_status("another program listens at port 2047");
    assert_lacks(fake_ctl_output, "2048");
    d.no_app[0][0] = d.no_app[0][1] = -EADDRNOTAVAIL;
    pv_info_set_datapath(&x.f.node, &d);
    ask_status(PV_OK);
    assert_has(fake_ctl_output, "no messages come in: listening");
    assert_lacks(fake_ctl_output, "another program");
    d.no_app[0][0] = 0;
    pv_info_set_datapath(&x.f.node, &d);
    assert_status("no messages come in over IPv6: ");
    x.f.node.iface.ip6 = PV_IFACE_NO_IP6;
    ask_status(PV_OK);
    assert_lacks(fake_ctl_output, "come in");
    d.no_app[1][0] = d.no_app[1][1] = PV_ERR_EXISTS;
    d.aead_ns[PV_SUITE_CHACHA] = 812;
    d.aead_ns[PV_SUITE_AES] = 262;
    pv_info_set_datapath(&x.f.node, &d);
    assert_status("another program listens at port 2048");
    expect_status("'aead_ns':[{'suite':'chacha20-poly1305'");
    expect_status("{'suite':'aes-256-gcm','ns':262}]");
    d.no_app[1][0] = d.no_app[1][1] = 0; /* that program has ended */
    pv_info_set_datapath(&x.f.node, &d);
    ask_status(PV_OK);
    assert_lacks(fake_ctl_output, "another program");
}

PV_TEST(metrics_have_the_share_of_every_part)
{
    char *text = NULL;
    size_t len = 0;
    struct pv_datapath_counts d = {.workers = 2, .threads = 4, .aead = "test", .udp_failed = 7};
    d.drops[0] = 9;
    pv_info_set_datapath(&x.f.node, &d);
    pv_info_set_process(&x.f.node, &(struct pv_metrics_process){.fds = 5});
    fake_peers_member(&x, 7, "bob", 7);
    assert_ok(pv_info_metrics(&x.f.node, x.f.now, &text, &len));
    assert_int_equal(strlen(text), len);
    struct grammar *g = grammar_read(text);
    free(text);
    assert_true(grammar_value(g, "p2pvpn_printers") == 2);
    assert_true(grammar_value(g, "p2pvpn_problems") == 1);
    assert_true(grammar_value(g, "p2pvpn_workers") == 2);
    assert_true(grammar_value(g, "p2pvpn_up") == 0);
    assert_true(grammar_value(g, "p2pvpn_drops_total{reason=\"not-sent\"}") == 7);
    assert_true(grammar_value(g, "p2pvpn_drops_total{reason=\"forged\"}") == 3);
    assert_true(grammar_value(g, test_given("p2pvpn_drops_total reason")) == 0);
    assert_true(grammar_value(g, test_given("p2pvpn_peer_online peer bob")) == 0);
    grammar_done(g);
    assert_answer("'cmd':'metrics'", "p2pvpn_printers 2");
}

static const char *peer_name(unsigned i)
{
    static char name[16];
    snprintf(name, sizeof(name), "m%u", i);
    return name;
}

/* --- the other commands ----------------------------------------------------------------------- */

PV_TEST(peers_without_the_coordinator_are_marked_as_remembered)
{
    fake_peers_member(&x, 7, "bob", 7);
    assert_answer("'cmd':'peers'", "'code':9"); /* PV_CTLAPI_UNREACHABLE */
    x.f.node.online = true;
    fake_client_ask(&x, client, "'cmd':'peers'");
    const char *all = fake_client_read(&x, client);
    assert_lacks(all, "'code'");
    assert_has(all, "'bob'");
}

/* Names and addresses are what people and firewalls know machines by. */
PV_TEST(peers_say_whose_a_name_and_an_address_were)
{
    const struct keys bob = keys_of(7);
    const char *was = PV_KEY_STR(bob.pk);
    const char *name_of = PV_STR("\"former\":\"%s\"", was);
    const char *ip4_of = PV_STR("\"ip4_former\":\"%s\"", was);
    fake_node_member(&x.f, 7, "bob", 7);
    fake_node_add(&x.f,
                  make_revocation(&x.f.world, &x.f.world.creator, PV_REVOKE_NODE, bob.pk, NULL, 0));
    fake_peers_member(&x, 8, "eve", 7);
    fake_peers_member(&x, 9, "bob", 9);
    x.f.node.online = true;
    fake_client_ask(&x, client, "'cmd':'peers'");
    const char *all = fake_client_read(&x, client);
    assert_has(all, name_of);
    assert_has(all, ip4_of);
    assert_lacks(strstr(all, name_of) + 1, name_of);
    assert_lacks(strstr(all, ip4_of) + 1, ip4_of);
}

/* --- phones ----------------------------------------------------------------------------------- */

static bool asking; /* a gateway has not answered */
static unsigned n_asked;

void pv_phonewatch_ask(struct pv_node *n, pv_ns now)
{
    n_asked++;
}

bool pv_phonewatch_is_asking(const struct pv_node *n, pv_ns now)
{
    return asking;
}

PV_TEST(peers_wait_for_the_gateways_of_phones)
{
    fake_peers_member(&x, 8, "eve", 7);
    x.f.node.online = true;
    asking = true;
    n_asked = 0;
    fake_client_ask(&x, client, "'cmd':'peers'");
    fake_node_settle(&x.f);
    assert_string_equal(fake_client_read(&x, client), "");
    assert_int_equal(n_asked, 1);
    asking = false;
    fake_node_settle(&x.f);
    assert_has(fake_client_read(&x, client), "\"eve\"");
    /* A gateway that is silent holds nobody up for long. */
    asking = true;
    fake_client_ask(&x, client, "'cmd':'peers'");
    fake_node_wait(&x.f, PV_PHONEWATCH_PATIENCE - 1);
    assert_string_equal(fake_client_read(&x, client), "");
    fake_node_wait(&x.f, 1);
    assert_has(fake_client_read(&x, client), "\"eve\"");
    asking = false;
}

/* In a large network the coordinator is asked who is there; it may go before it answers. */
PV_TEST(peers_are_answered_when_the_coordinator_goes)
{
    for (unsigned i = 0; i < PV_PRESENCE_ALL; i++)
        fake_node_member(&x.f, 1000 + i, peer_name(i), (uint16_t)(1000 + i));
    x.f.node.online = true;
    fake_client_ask(&x, client, "'cmd':'peers'");
    assert_string_equal(fake_client_read(&x, client), "");
    assert_int_equal(fake_coord.n, 1);
    x.f.node.online = false;
    fake_node_raise(&x.f, PV_FACT_OFFLINE);
    expect_said("'code':9");
    /* The client is answered once, also by one that says it late. */
    const struct pv_ctl_msg late = {.kind = PV_CTL_ANSWER, .type = PV_CTL_ERROR};
    pv_part_info.on_answer(x.f.self, fake_coord.asked[0].tag, &late, x.f.now);
    assert_string_equal(fake_client_read(&x, client), "");
}

PV_TEST(the_presence_of_all_is_asked_for_page_by_page)
{
    struct pv_ctl_presence last = {.online = true};
    struct pv_ctl_msg page = {.kind = PV_CTL_ANSWER, .type = PV_CTL_PRESENCE};
    uint64_t tag;
    for (unsigned i = 0; i < PV_PRESENCE_ALL; i++)
        fake_node_member(&x.f, 1000 + i, peer_name(i), (uint16_t)(1000 + i));
    x.f.node.online = true;
    fake_client_ask(&x, client, "'cmd':'peers'");
    pv_ctl_msg_free(fake_coord_take(PV_CTL_LIST, &tag));
    memset(last.node, 9, sizeof(last.node));
    page.u.presence = (struct pv_ctl_presences){.n = 1, .nodes = &last, .more = true};
    pv_part_info.on_answer(x.f.self, tag, &page, x.f.now);
    assert_string_equal(fake_client_read(&x, client), "");
    struct pv_ctl_msg *next = fake_coord_take(PV_CTL_LIST, &tag);
    bool behind =
        next->u.list.has_after && memcmp(next->u.list.after, last.node, sizeof(last.node)) == 0;
    pv_ctl_msg_free(next);
    assert_true(behind);
    page.u.presence.n = 0; /* an empty page that promises more would be asked for for ever */
    pv_part_info.on_answer(x.f.self, tag, &page, x.f.now);
    assert_int_equal(fake_coord.n, 0);
    assert_string_not_equal(fake_client_read(&x, client), "");
}

PV_TEST(ip_is_that_of_this_node_or_of_the_named_peer)
{
    fake_peers_member(&x, 7, "bob", 7);
    assert_answer("'cmd':'ip','peer':'bob'", "10.66.0.7");
    assert_answer("'cmd':'ip'", "'ip4':'10.66.104.88'"); /* drawn from its key */
    assert_answer(PV_STR("'cmd':'ip','peer':'%s'", pv_node_self(&x.f.node)->name),
                  "'ip4':'10.66.104.88'");
    assert_answer("'cmd':'ip','peer':'carol'", "no peer carol");
}

/* A member that no command could name could not be removed. */
PV_TEST(a_peer_is_known_by_a_name_that_looks_like_a_key)
{
    static const char name[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac";
    uint8_t key[PV_KEY_LEN];
    assert_ok(pv_key_parse(name, key));
    fake_peers_member(&x, 7, name, 7);
    assert_answer(PV_STR("'cmd':'ip','peer':'%s'", name), "10.66.0.7");
}

PV_TEST(the_log_level_is_set_at_once)
{
    assert_answer("'cmd':'log','level':'debug'", "'ok':true");
    assert_int_equal(x.f.node.given.log.level, PV_LOG_DEBUG);
    assert_answer("'cmd':'log','level':'loud'", "no such level");
    assert_answer("'cmd':'version'", PV_VERSION);
}

PV_TEST(a_reload_is_asked_of_the_shell_once)
{
    const struct pv_engine_reloaded good = {
        .file = "/c", .changed = "[chat] keep, [log] level", .waiting = "[interface] port"};
    const struct pv_engine_reloaded bad = {.file = "/c", .error = "/c:4: level: no such level"};
    assert_int_equal(pv_info_take_reload(&x.f.node), PV_ERR_AGAIN);
    fake_client_ask(&x, client, "'cmd':'reload'");
    assert_string_equal(fake_client_read(&x, client), "");
    assert_ok(pv_info_take_reload(&x.f.node));
    assert_int_equal(pv_info_take_reload(&x.f.node), PV_ERR_AGAIN);
    /* A second one must not be answered with what the first one found. */
    assert_answer("'cmd':'reload'", "another one is under way");
    assert_int_equal(pv_info_take_reload(&x.f.node), PV_ERR_AGAIN);
    pv_info_reloaded(&x.f.node, &good);
    assert_shows("reload", fake_client_read(&x, client));
    fake_client_ask(&x, client, "'cmd':'reload'");
    assert_ok(pv_info_take_reload(&x.f.node));
    pv_info_reloaded(&x.f.node, &bad);
    assert_shows("reload", fake_client_read(&x, client));
}

/* The daemon would begin anew where it was told to end. */
PV_TEST(no_reload_is_asked_of_a_shell_that_ends)
{
    fake_client_ask(&x, client, "'cmd':'reload'");
    pv_part_info.on_stop(pv_node_part(&x.f.node, &pv_part_info), x.f.now);
    assert_int_equal(pv_info_take_reload(&x.f.node), PV_ERR_AGAIN);
}

/* By the coordinator's word, or since it does not tell of the peer any more. */
PV_TEST(a_peer_that_went_was_last_seen_then)
{
    struct pv_peer *p = fake_peers_member(&x, 7, "bob", 7);
    struct pv_ctlapi_peer seen;
    const uint64_t start_us = 1790000000000000;
    const pv_ns now = x.f.now;
    x.f.node.wall.us = start_us;
    x.f.node.wall.at = now;
    pv_peer_set_presence(p, PV_PRESENCE_OFFLINE, 0, now);
    pv_peer_show(p, &seen, now);
    assert_int_equal(seen.last_seen_ms, 0); /* never */
    pv_peer_set_presence(p, PV_PRESENCE_OFFLINE, start_us - 7000000, now);
    pv_peer_show(p, &seen, now);
    assert_int_equal(seen.last_seen_ms, (start_us - 7000000) / 1000);
    pv_peer_set_presence(p, PV_PRESENCE_ONLINE, 5, now);
    pv_peer_show(p, &seen, now);
    assert_int_equal(seen.last_seen_ms, 0); /* it is there */
    pv_peer_set_presence(p, PV_PRESENCE_OFFLINE, 0, now + PV_S(3));
    pv_peer_show(p, &seen, now + PV_S(60));
    assert_int_equal(seen.last_seen_ms, start_us / 1000 + 3000);
    /* A clock that is ahead of ours does not make it the future. */
    pv_peer_set_presence(p, PV_PRESENCE_OFFLINE, start_us + 900000000, now + PV_S(60));
    pv_peer_show(p, &seen, now + PV_S(60));
    assert_int_equal(seen.last_seen_ms, start_us / 1000 + 60000);
}
