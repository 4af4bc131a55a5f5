/* SPDX-License-Identifier: MIT */
#include "coordinator/core/turn/relaycore.h"
#include "tests/unit/test_util.h"

static const uint8_t NET[16] = {1};
static const uint8_t NODE[32] = {2};

static const struct pv_addr LOCAL = {.family = PV_AF_NONE};

struct world {
    struct test_rng rng_state;
    struct pv_turnauth auth;
    struct pv_relaystats stats;
    struct pv_relaylink *link;
};

static void make(struct world *w, bool has_relay, size_t bytes)
{
    memset(w, 0, sizeof(*w));
    struct pv_rng rng = test_rng_make(&w->rng_state, 5);
    pv_turnauth_init(&w->auth, &rng);
    const struct pv_relaylink_config cfg = {
        .auth = &w->auth, .has_relay = has_relay, .stats = &w->stats, .bytes = bytes};
    assert_ok(pv_relaylink_new(&w->link, &cfg));
}

PV_TEST(commands_arrive_whole_and_in_order)
{
    struct world w;
    struct pv_turnauth_creds creds, again;
    struct pv_relaycmd cmd;
    const struct pv_addr from = pv_addr4(192, 0, 2, 7, 99);
    make(&w, true, 0);
    assert_int_equal(pv_relaylink_command(w.link, &cmd), PV_ERR_AGAIN);
    assert_ok(pv_relaylink_online(w.link, NET, NODE, PV_S(1), &creds));
    assert_ok(pv_relaylink_online(w.link, NET, NODE, PV_S(1), &again));
    assert_string_equal(creds.user, again.user);
    assert_string_not_equal(creds.nonce, again.nonce);
    pv_relaylink_message(w.link, 7, &from, &LOCAL, pv_view("hello", 5));
    pv_relaylink_ask(w.link, 7);
    pv_relaylink_closed(w.link, 7);
    pv_relaylink_offline(w.link, NET, NODE);
    pv_relaylink_gone(w.link, NET, NODE);
    pv_relaylink_seen(w.link, &from);
    assert_true(pv_relaylink_take_wake_relay(w.link));
    assert_false(pv_relaylink_take_wake_relay(w.link));
    static const enum pv_relaycmd_kind want[] = {
        PV_RELAYCMD_ONLINE, PV_RELAYCMD_ONLINE,  PV_RELAYCMD_MESSAGE, PV_RELAYCMD_ASK,
        PV_RELAYCMD_CLOSED, PV_RELAYCMD_OFFLINE, PV_RELAYCMD_GONE,    PV_RELAYCMD_SEEN};
    for (size_t i = 0; i < PV_ARRAY_LEN(want); i++) {
        assert_ok(pv_relaylink_command(w.link, &cmd));
        assert_int_equal(cmd.kind, want[i]);
        if (i < 2)
            assert_int_equal(cmd.serial, i + 1);
        if (cmd.kind == PV_RELAYCMD_SEEN) {
            assert_true(pv_addr_equal(&cmd.source, &from));
        } else if (i < 2 || i > 4) {
            assert_memory_equal(cmd.net, NET, 16);
            assert_memory_equal(cmd.node, NODE, 32);
        } else {
            assert_int_equal(cmd.stream, 7);
        }
        if (cmd.kind == PV_RELAYCMD_MESSAGE) {
            assert_true(pv_addr_equal(&cmd.source, &from));
            assert_true(pv_view_equal(cmd.data, pv_view("hello", 5)));
        }
        pv_relaylink_taken(w.link);
    }
    assert_int_equal(pv_relaylink_command(w.link, &cmd), PV_ERR_AGAIN);
    pv_relaylink_free(w.link);
}

PV_TEST(data_of_streams_leaves_room_for_what_must_not_be_lost)
{
    static const uint8_t message[1000];
    struct world w;
    struct pv_relaycmd cmd;
    struct pv_addr from = pv_addr4(192, 0, 2, 7, 99);
    size_t messages = 0, gone = 0;
    make(&w, true, 16384);
    for (int i = 0; i < 100; i++)
        pv_relaylink_message(w.link, 7, &from, &LOCAL, pv_view(message, sizeof(message)));
    assert_true(pv_relaystat_get(&w.stats, PV_RELAYSTAT_DROP_STREAM) > 50);
    for (int i = 0; i < 50; i++)
        pv_relaylink_gone(w.link, NET, NODE);
    while (pv_relaylink_command(w.link, &cmd) == PV_OK) {
        messages += cmd.kind == PV_RELAYCMD_MESSAGE ? 1 : 0;
        gone += cmd.kind == PV_RELAYCMD_GONE ? 1 : 0;
        pv_relaylink_taken(w.link);
    }
    assert_int_equal(messages + pv_relaystat_get(&w.stats, PV_RELAYSTAT_DROP_STREAM), 100);
    assert_int_equal(gone, 50);
    pv_relaylink_free(w.link);
}

PV_TEST(a_message_lost_all_the_same_makes_the_relay_forget_everything)
{
    struct world w;
    struct pv_relaycmd cmd;
    struct pv_turnauth_creds creds;
    size_t gone = 0;
    make(&w, true, 4096);
    for (int i = 0; i < 100; i++)
        pv_relaylink_gone(w.link, NET, NODE);
    assert_int_equal(pv_relaylink_online(w.link, NET, NODE, 0, &creds), PV_ERR_NO_SPACE);
    for (;; gone++) {
        assert_ok(pv_relaylink_command(w.link, &cmd));
        if (cmd.kind != PV_RELAYCMD_GONE)
            break;
        pv_relaylink_taken(w.link);
    }
    assert_true(gone > 10 && gone < 100);
    assert_int_equal(cmd.kind, PV_RELAYCMD_FORGET);
    pv_relaylink_taken(w.link);
    assert_int_equal(pv_relaylink_command(w.link, &cmd), PV_ERR_AGAIN); /* once */
    assert_ok(pv_relaylink_online(w.link, NET, NODE, 0, &creds));
    assert_ok(pv_relaylink_command(w.link, &cmd));
    assert_int_equal(cmd.kind, PV_RELAYCMD_ONLINE);
    pv_relaylink_free(w.link);
}

static struct pv_turns_policy *policy_of(uint32_t bandwidth)
{
    struct pv_turns_policy *policy = test_alloc(sizeof(*policy));
    policy->bandwidth = bandwidth;
    return policy;
}

/* Its thread looks whether there is a command before it sends what it has, and then takes it: a
 * removed member would go on relaying if the first look used the order up. */
PV_TEST(looking_does_not_take_the_order_to_forget)
{
    struct world w;
    struct pv_relaycmd cmd;
    struct pv_turnauth_creds creds;
    make(&w, true, 4096);
    for (int i = 0; i < 100; i++)
        pv_relaylink_gone(w.link, NET, NODE);
    while (pv_relaylink_command(w.link, &cmd) == PV_OK && cmd.kind == PV_RELAYCMD_GONE)
        pv_relaylink_taken(w.link);
    assert_int_equal(cmd.kind, PV_RELAYCMD_FORGET); /* looked at */
    pv_relaylink_set_policy(w.link, policy_of(1));
    assert_ok(pv_relaylink_online(w.link, NET, NODE, 0, &creds));
    static const enum pv_relaycmd_kind want[] = {PV_RELAYCMD_FORGET, PV_RELAYCMD_POLICY,
                                                 PV_RELAYCMD_ONLINE};
    for (size_t i = 0; i < PV_ARRAY_LEN(want); i++) {
        assert_ok(pv_relaylink_command(w.link, &cmd));
        assert_int_equal(cmd.kind, want[i]);
        pv_relaylink_taken(w.link);
    }
    assert_int_equal(pv_relaylink_command(w.link, &cmd), PV_ERR_AGAIN);
    pv_relaylink_free(w.link);
}

PV_TEST(news_come_back_and_answers_have_room_before_data)
{
    static const uint8_t data[1000];
    struct world w;
    struct pv_relaynews news = {.stream = 3, .holder = PV_TURNS_USER, .data = {data, sizeof(data)}};
    int n = 0, more = 0, got = 0;
    make(&w, true, 16384);
    while (pv_relaylink_tell(w.link, &news, true))
        n++;
    news.holder = PV_TURNS_MEMBER;
    news.broken = true;
    while (pv_relaylink_tell(w.link, &news, false))
        more++;
    assert_true(n >= 10 && more >= 2);
    assert_true(pv_relaylink_take_wake_control(w.link));
    while (pv_relaylink_poll(w.link, &news) == PV_OK) {
        assert_int_equal(news.stream, 3);
        assert_int_equal(news.data.len, sizeof(data));
        assert_int_equal(news.holder, got < n ? PV_TURNS_USER : PV_TURNS_MEMBER);
        assert_int_equal(news.broken, got >= n);
        pv_relaylink_polled(w.link);
        got++;
    }
    assert_int_equal(got, n + more);
    pv_relaylink_free(w.link);
}

PV_TEST(without_a_relay_members_are_no_matter)
{
    struct world w;
    struct pv_relaycmd cmd;
    struct pv_turnauth_creds creds;
    make(&w, false, 0);
    assert_int_equal(pv_relaylink_online(w.link, NET, NODE, 0, &creds), PV_ERR_UNSUPPORTED);
    pv_relaylink_gone(w.link, NET, NODE);
    pv_relaylink_closed(w.link, 1);
    assert_int_equal(pv_relaylink_command(w.link, &cmd), PV_ERR_AGAIN);
    pv_relaylink_free(w.link);
}

/* However full the ring is; one that was never read gives way to the next. */
PV_TEST(the_last_policy_arrives_once)
{
    struct world w;
    struct pv_relaycmd cmd;
    make(&w, true, 16384);
    for (int i = 0; i < 1000; i++)
        pv_relaylink_gone(w.link, NET, NODE);
    (void)pv_relaylink_take_wake_relay(w.link);
    pv_relaylink_set_policy(w.link, policy_of(1));
    pv_relaylink_set_policy(w.link, policy_of(2));
    assert_true(pv_relaylink_take_wake_relay(w.link));
    for (int i = 0; i < 2; i++) { /* looking does not take it */
        assert_ok(pv_relaylink_command(w.link, &cmd));
        assert_int_equal(cmd.kind, PV_RELAYCMD_POLICY);
        assert_int_equal(cmd.policy->bandwidth, 2);
    }
    pv_relaylink_taken(w.link);
    assert_ok(pv_relaylink_command(w.link, &cmd));
    assert_int_equal(cmd.kind, PV_RELAYCMD_GONE);
    pv_relaylink_set_policy(w.link, policy_of(3)); /* this command is taken all the same */
    pv_relaylink_taken(w.link);
    assert_ok(pv_relaylink_command(w.link, &cmd));
    assert_int_equal(cmd.policy->bandwidth, 3);
    pv_relaylink_set_policy(w.link, policy_of(4));
    pv_relaylink_free(w.link); /* with both */
}

PV_TEST(every_command_has_its_handler)
{
    for (int i = 0; i < PV_RELAYCMD_N; i++) {
        if (!pv_relaycore_is_handled((enum pv_relaycmd_kind)i))
            fail_msg("kind %d of enum pv_relaycmd_kind has no handler: add it to handlers[] of "
                     "coordinator/core/turn/relaycore.c",
                     i);
    }
}
