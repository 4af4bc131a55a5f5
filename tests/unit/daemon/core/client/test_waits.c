/* SPDX-License-Identifier: MIT */
/* The part behind `ping`, `wait` and `watch`: what they wait for, and how each of them ends. */
#include "daemon/core/client/waits.h"
#include "tests/unit/daemon/core/client/fake_client.h"

static struct fake_peers x;
static uint32_t client;
static const struct pv_addr there = {.family = PV_AF_INET, .ip = {192, 0, 2, 7}, .port = 51820};

void test_before_each(void)
{
    fake_peers_init(&x, &pv_part_waits);
    fake_node_enter(&x.f);
    fake_node_start(&x.f);
    client = fake_client_open(&x);
}

static void expect_said(const char *text)
{
    const char *all = fake_client_read(&x, client);
    if (!test_has(all, text))
        fail_msg("the client read: %s", all);
}

static void expect_silence(void)
{
    assert_string_equal(fake_client_read(&x, client), "");
}

/* The next echo that left for a peer; valid until the next call. */
static struct pv_inband_echo take_echo(void)
{
    struct pv_view body;
    struct pv_inband_echo echo;
    assert_true(fake_peers_told(&x, NULL, PV_INBAND_ECHO, &body));
    assert_ok(pv_inband_echo_parse(body, &echo));
    return echo;
}

static void give_echo(struct pv_peer *from, struct pv_inband_echo echo)
{
    uint8_t body[PV_INBAND_PART_MAX];
    size_t len;
    assert_ok(pv_inband_echo_build(&echo, body, sizeof(body), &len));
    assert_int_equal(pv_part_waits.inband[0].type, PV_INBAND_ECHO);
    pv_part_waits.inband[0].take(x.f.self, from, pv_view(body, len), x.f.now);
    fake_peers_settle(&x);
}

static struct fake_far bob(bool talks)
{
    struct fake_far far;
    fake_far_init(&x, &far, 7, "bob", 7);
    if (talks)
        fake_far_talk(&x, &far, &there);
    fake_peers_settle(&x);
    return far;
}

PV_TEST(an_answered_ping_tells_the_time_it_took)
{
    struct fake_far b = bob(true);
    fake_client_ask(&x, client, test_given("ping peer bob count interval_ms"));
    struct pv_inband_echo echo = take_echo();
    assert_false(echo.reply);
    expect_silence();
    fake_node_wait(&x.f, PV_MS(20));
    echo.reply = true;
    give_echo(b.peer, echo);
    expect_said("'event':'pong','seq':1,'rtt_ms':20.0");
    give_echo(b.peer, echo); /* once more: nobody asked with that token any more */
    expect_silence();
    fake_node_wait(&x.f, PV_S(1));
    echo = take_echo();
    echo.reply = true;
    give_echo(b.peer, echo);
    expect_said("'ok':true,'sent':2,'received':2");
    assert_int_equal(x.f.part->next_timeout(x.f.self), PV_NEVER);
}

PV_TEST(an_echo_without_an_answer_is_lost_after_five_seconds)
{
    bob(true);
    fake_client_ask(&x, client, test_given("peer bob count interval_ms 1000"));
    (void)take_echo();
    fake_node_wait(&x.f, PV_MS(4900));
    expect_silence();
    fake_node_wait(&x.f, PV_MS(200));
    const char *said = fake_client_read(&x, client);
    assert_has(said, "'event':'timeout','seq':1");
    assert_has(said, "'sent':1,'received':0");
}

PV_TEST(a_ping_wants_a_path_and_gives_up_after_half_a_minute)
{
    struct fake_far b = bob(false);
    fake_client_ask(&x, client, test_given("peer bob count interval_ms 1000"));
    assert_true(pv_peer_is_wanted(b.peer, x.f.now));
    fake_node_wait(&x.f, PV_S(29));
    expect_silence();
    fake_node_wait(&x.f, PV_S(2));
    expect_said("'sent':1,'received':0");
}

PV_TEST(a_ping_to_an_offline_peer_fails_at_once)
{
    struct fake_far b = bob(false);
    pv_peer_set_presence(b.peer, PV_PRESENCE_OFFLINE, 0, x.f.now);
    fake_client_ask(&x, client, "'cmd':'ping','peer':'bob','count':1");
    expect_said("bob is offline: try again when it is back");
}

PV_TEST(a_ping_ends_when_the_peer_leaves_the_network)
{
    struct fake_far b = bob(false);
    fake_client_ask(&x, client, "'cmd':'ping','peer':'bob','count':1");
    expect_silence();
    pv_peers_drop(x.f.node.peers, b.peer, x.f.now);
    fake_node_settle(&x.f);
    expect_said("ping: the peer left the network");
}

PV_TEST(an_echo_of_a_peer_is_answered_with_its_own_content)
{
    struct fake_far b = bob(true);
    const struct pv_inband_echo asked = {
        .path = PV_INBAND_PATH_RELAY, .token = 9, .filler = pv_view("abc", 3)};
    give_echo(b.peer, asked);
    struct pv_inband_echo answer = take_echo();
    assert_true(answer.reply);
    assert_int_equal(answer.token, 9);
    assert_int_equal(answer.path, PV_INBAND_PATH_DIRECT); /* as this side sees it */
    assert_int_equal(answer.filler.len, 3);
}

PV_TEST(a_wait_for_this_node_ends_when_its_interface_is_up)
{
    fake_client_ask(&x, client, "'cmd':'wait'");
    expect_silence();
    x.f.node.iface.state = PV_IFACE_UP;
    fake_node_settle(&x.f);
    expect_said("'ok':true");
}

PV_TEST(a_wait_for_the_coordinator_ends_when_it_hears_this_node)
{
    fake_client_ask(&x, client, "'cmd':'wait','online':true");
    expect_silence();
    x.f.node.online = true;
    fake_node_settle(&x.f);
    expect_said("'ok':true");
}

PV_TEST(a_wait_for_a_coordinator_that_lets_this_node_in_no_more_is_in_vain)
{
    fake_client_ask(&x, client, "'cmd':'wait','online':true");
    expect_silence();
    x.f.node.coord_info.standing = PV_COORD_DENIED;
    fake_node_settle(&x.f);
    assert_shows("wait", fake_client_read(&x, client));
}

PV_TEST(a_wait_for_a_peer_to_be_online_wants_no_path)
{
    struct fake_far b = bob(false);
    fake_client_ask(&x, client, "'cmd':'wait','peer':'bob','online':true");
    expect_silence();
    assert_false(pv_peer_is_wanted(b.peer, x.f.now));
    pv_peer_set_presence(b.peer, PV_PRESENCE_ONLINE, 1, x.f.now);
    fake_node_settle(&x.f);
    expect_said("'ok':true");
}

PV_TEST(a_wait_for_a_path_ends_when_in_band_messages_reach_the_peer)
{
    struct fake_far b = bob(false);
    fake_client_ask(&x, client, "'cmd':'wait','peer':'bob','direct':true");
    expect_silence();
    assert_true(pv_peer_is_wanted(b.peer, x.f.now));
    fake_far_talk(&x, &b, &there);
    expect_said("'ok':true");
}

PV_TEST(a_client_that_goes_ends_what_it_waited_for)
{
    struct fake_far b = bob(true);
    fake_client_ask(&x, client, test_given("bob count 9 interval_ms 1000"));
    struct pv_inband_echo echo = take_echo();
    fake_client_ask(&x, client, "'cmd':'watch','what':'chat'");
    assert_int_equal(x.f.node.events.n, 1);
    fake_client_leave(&x, client);
    assert_int_equal(x.f.node.events.n, 0);
    assert_int_equal(x.f.part->next_timeout(x.f.self), PV_NEVER);
    echo.reply = true;
    give_echo(b.peer, echo); /* comes too late for anybody */
}

/* Else one user's connections would take every place, and root would hear of no message. */
PV_TEST(a_connection_listens_once)
{
    fake_client_ask(&x, client, "'cmd':'watch','what':'all','figures':10");
    fake_client_ask(&x, client, "'cmd':'watch','what':'chat'");
    expect_said("too many listeners");
    assert_int_equal(x.f.node.events.n, 1);
    assert_int_equal(x.f.node.events.listeners[0].figures, PV_S(10));
    uint32_t other = fake_client_open(&x);
    fake_client_ask(&x, other, "'cmd':'watch','what':'chat'");
    assert_int_equal(x.f.node.events.n, 2);
}

PV_TEST(an_impossible_wait_is_refused_with_the_reason)
{
    bob(false);
    fake_client_ask(&x, client, "'cmd':'wait','direct':true");
    expect_said("--direct needs --peer PEER");
    fake_client_ask(&x, client, "'cmd':'wait','peer':'carol'");
    expect_said("no peer carol");
}

PV_TEST(more_waits_than_there_is_room_for_are_refused)
{
    uint32_t sid = client;
    for (unsigned i = 0; i < PV_WAITS_MAX; i++) {
        if (i % 8 == 0)
            sid = fake_client_open(&x);
        fake_client_ask(&x, sid, "'cmd':'wait'");
    }
    fake_client_ask(&x, client, "'cmd':'wait'");
    expect_said("too many at once");
    fake_client_leave(&x, sid);
    fake_client_ask(&x, client, "'cmd':'wait'");
    expect_silence();
}
