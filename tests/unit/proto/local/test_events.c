/* SPDX-License-Identifier: MIT */
#include "daemon/core/node/streamkinds.h"
#include "proto/local/ctlapi.h"
#include "proto/local/ctlapi_request.h"
#include "proto/local/events.h"
#include "tests/unit/test_util.h"

#define T0 UINT64_C(1700000000000000)

static struct pv_ctlsrv *srv;
static struct pv_events events;
static struct pv_streams streams;
static uint32_t sid;
static uint64_t wall;
static char output[1048576]; /* what heard() found */

static int setup(void **state)
{
    wall = T0;
    pv_events_begin(&events, wall);
    assert_ok(pv_ctlsrv_new(&srv, &streams, "", false));
    return pv_ctlsrv_accepted(srv, 0, false, &sid);
}

static int teardown(void **state)
{
    srv = pv_ctlsrv_free(srv);
    pv_streams_done(&streams);
    pv_events_done(&events);
    return 0;
}

PV_TEST_WORLD(setup, teardown);

static void keep_handle(void *arg, struct pv_ctlapi_request *req, uint64_t handle)
{
    *(uint64_t *)arg = handle;
}

static uint64_t request(void)
{
    static const char line[] = "{\"id\":1,\"cmd\":\"watch\",\"what\":\"all\"}\n";
    uint64_t handle = 0;
    pv_ctlsrv_handle_bytes(srv, sid, pv_view(line, strlen(line)), keep_handle, &handle);
    assert_int_not_equal(handle, 0);
    return handle;
}

/* A follower, which is told what it asked for. */
static uint64_t follow(uint64_t since_us, uint64_t seq)
{
    uint64_t handle = request();
    assert_ok(pv_events_follow(&events, handle, since_us, seq));
    pv_events_run(&events, srv);
    return handle;
}

/* Everything that was told since the last call. */
static const char *heard(void)
{
    size_t len = 0;
    for (;;) {
        struct pv_view out = pv_ctlsrv_out(srv, sid);
        if (out.len == 0)
            break;
        assert_true(len + out.len < sizeof(output));
        memcpy(output + len, out.ptr, out.len);
        len += out.len;
        pv_ctlsrv_wrote(srv, sid, out.len);
        pv_events_run(&events, srv);
    }
    output[len] = '\0';
    return output;
}

static unsigned count(const char *text, const char *what)
{
    unsigned n = 0;
    for (; (text = strstr(text, what)) != NULL; text += strlen(what))
        n++;
    return n;
}

static void happen_to(const char *who, const char *text, json_t *body)
{
    const struct pv_event event = {
        .chat = "state", .kind = "member", .what = "joined", .who = who, .text = text};
    wall += 1000000;
    pv_events_tell(&events, srv, wall, &event, body);
    pv_events_run(&events, srv);
}

static void happen(const char *text, json_t *body)
{
    happen_to("bob", text, body);
}

PV_TEST(a_follower_hears_in_full_what_happens_and_the_ring_keeps_no_more_than_its_sentence)
{
    follow(0, 0);
    assert_shows("heard", heard());
    happen("bob joined", json_pack("{s:s}", "secret", "word"));
    assert_shows("heard", heard());
    follow(1, 0);
    assert_has(heard(), "bob joined");
    assert_lacks(output, "secret");
}

PV_TEST(a_listener_of_chat_hears_chat_as_before_and_nothing_else)
{
    assert_ok(pv_events_listen(&events, request(), true));
    happen("bob joined", json_pack("{s:s}", "peer", "bob"));
    assert_shows("heard", heard());
    pv_events_tell(&events, srv, wall,
                   &(struct pv_event){.kind = "node", .what = "up", .text = "x"}, NULL);
    assert_string_equal(heard(), "");
    assert_true(pv_events_is_seen(&events));
}

PV_TEST(the_past_is_told_from_a_time_or_from_a_number_on)
{
    for (unsigned i = 0; i < 5; i++)
        happen("one", NULL);
    follow(T0 + 4 * 1000000, 0); /* the fourth happened then */
    assert_int_equal(count(heard(), "\"event\":\"member\""), 2);
    assert_lacks(output, "missed");
    follow(0, T0); /* after the first */
    assert_int_equal(count(heard(), "\"event\":\"member\""), 4);
    assert_lacks(output, "missed");
    assert_true(strstr(output, "\"event\":\"now\"") > strstr(output, "\"seq\":1700000000000004"));
}

PV_TEST(events_of_another_run_of_the_daemon_are_told_as_missed)
{
    happen("one", NULL);
    follow(T0 - 1, 0);
    assert_has(heard(), "'event':'missed','count':null");
    follow(0, T0 - 5000); /* a number of an earlier run */
    assert_has(heard(), "'event':'missed','count':null");
    assert_int_equal(count(output, "\"event\":\"member\""), 1);
    follow(0, T0 + 5000); /* of one whose clock was ahead */
    assert_has(heard(), "'event':'missed','count':null");
}

PV_TEST(a_follower_that_does_not_read_costs_little_and_is_told_how_much_it_missed)
{
    char text[PV_EVENTS_TEXT];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    follow(0, 0);
    (void)heard();
    for (unsigned i = 0; i < 3 * PV_EVENTS_KEPT; i++) {
        happen(text, NULL);
        assert_true(pv_ctlsrv_out(srv, sid).len < PV_EVENTS_BACKLOG + 1024);
    }
    unsigned told = count(heard(), "\"event\":\"member\"");
    assert_has(output, PV_STR("\"event\":\"missed\",\"count\":%u", 3 * PV_EVENTS_KEPT - told));
    assert_true(told >= PV_EVENTS_KEPT);
    assert_int_equal(count(output, "\"event\":\"now\""), 0);
    happen("it reads again", json_pack("{s:b}", "full", true));
    assert_has(heard(), "'full':true");
}

PV_TEST(amounts_are_told_as_often_as_a_follower_wants_and_are_no_events)
{
    uint64_t handle = follow(0, 0);
    (void)heard();
    assert_int_equal(pv_events_figures_at(&events), PV_NEVER);
    pv_events_want_figures(&events, handle, PV_S(10), PV_S(5));
    assert_int_equal(pv_events_figures_at(&events), PV_S(5));
    pv_events_tell_figures(&events, srv, json_pack("{s:i}", "a", 1), PV_S(5));
    assert_string_equal(heard(), "{\"id\":1,\"event\":\"figures\",\"a\":1}\n");
    pv_events_tell_figures(&events, srv, json_pack("{s:i}", "a", 2), PV_S(14));
    assert_string_equal(heard(), "");
    assert_int_equal(pv_events_figures_at(&events), PV_S(15));
    pv_events_tell_figures(&events, srv, NULL, PV_S(15));
    assert_string_equal(heard(), "");
    assert_int_equal(pv_events_figures_at(&events), PV_S(25));
    pv_events_drop(&events, handle);
    assert_int_equal(pv_events_figures_at(&events), PV_NEVER);
    assert_int_equal(events.next, T0);
}

PV_TEST(a_member_that_floods_pushes_out_its_own_events_and_not_those_of_others)
{
    enum {
        OTHERS = 400,
        FLOOD = 5000
    };
    for (unsigned i = 0; i < OTHERS; i++)
        happen_to(i % 2 == 0 ? "carol" : NULL, "other", NULL);
    for (unsigned i = 0; i < FLOOD; i++)
        happen("flood", NULL);
    happen_to("carol", "other", NULL);
    follow(0, T0 - 1);
    assert_int_equal(count(heard(), "\"text\":\"other\""), OTHERS); /* but carol's first */
    assert_int_equal(count(output, "\"text\":\"flood\""), PV_EVENTS_KEPT - OTHERS);
    assert_int_equal(count(output, "\"event\":\"missed\""), 2);
    assert_has(output,
               PV_STR("\"event\":\"missed\",\"count\":%u", FLOOD - (PV_EVENTS_KEPT - OTHERS)));
}

PV_TEST(an_engine_that_follows_another_goes_on_with_its_events)
{
    struct pv_events other = {.n = 0};
    happen("before", NULL);
    follow(0, 0);
    pv_events_hand_on(&events, &other);
    assert_int_equal(events.n, 0);
    assert_int_equal(events.n_kept, 0);
    pv_events_hand_on(&other, &events);
    pv_events_begin(&events, T0 + 100); /* they have begun */
    happen("after", NULL);
    (void)heard();
    follow(0, T0 - 1);
    assert_int_equal(count(heard(), "\"event\":\"member\""), 2);
    assert_has(output, "before");
    assert_has(output, "\"seq\":1700000000000001");
    assert_lacks(output, "missed");
}

PV_TEST(there_are_at_most_as_many_listeners_as_connections)
{
    for (unsigned i = 0; i < PV_EVENTS_LISTENERS; i++)
        assert_ok(pv_events_listen(&events, i + 1, false));
    assert_int_equal(pv_events_follow(&events, 1000, 0, 0), PV_ERR_LIMIT);
    pv_events_drop(&events, 5);
    assert_ok(pv_events_follow(&events, 1000, 0, 0));
}
