/* SPDX-License-Identifier: MIT */
/* One sentry: when it is asked, with which ticket, and whose alarm counts. */
#include "daemon/core/nat/sentry.h"
#include "tests/unit/test_util.h"

enum {
    HOME = 8, /* number of the coordinator in use */
};
#define INTERVAL PV_S(25)

static struct test_rng seed;
static struct pv_sentry s;
static pv_ns now;
static uint8_t req[PV_SENTRY_REQUEST_LEN];
static size_t req_len;
static const struct pv_addr SERVER = {.family = PV_AF_INET, .port = 3478, .ip = {192, 0, 2, 2}};

static int begin(void **state)
{
    (void)state;
    const struct pv_rng rng = test_rng_make(&seed, 1);
    now = PV_S(100);
    pv_sentry_start(&s, &SERVER, HOME, &rng, now);
    return 0;
}

PV_TEST_WORLD(begin, NULL);

/* Time passes. How many requests left; the last one is in req. */
static unsigned pass(pv_ns t)
{
    pv_ns until = now + t;
    unsigned n = 0;
    while (pv_sentry_next_timeout(&s) <= until) {
        now = pv_sentry_next_timeout(&s) > now ? pv_sentry_next_timeout(&s) : now;
        pv_sentry_handle_timeout(&s, now);
        while (pv_sentry_poll_transmit(&s, req, sizeof(req), &req_len) == PV_OK)
            n++;
    }
    now = until;
    return n;
}

/* Time passes until a request leaves; after how long that is. */
static pv_ns until_asked(void)
{
    pv_ns began = now;
    while (pass(PV_MS(1)) == 0)
        assert_true(now < began + PV_S(3600));
    return now - began;
}

/* The word of the last request. */
static struct pv_sentry_word asked(void)
{
    struct pv_stun_msg msg;
    struct pv_sentry_word word;
    assert_int_equal(pv_stun_decode(pv_view(req, req_len), &msg), PV_OK);
    assert_int_equal(pv_sentry_get(&msg, &word), PV_OK);
    return word;
}

/* The last request is answered by `from`; a ticket of 0: without the attribute. */
static int answer_from(const struct pv_addr *from, struct pv_sentry_word word)
{
    const struct pv_addr mapped = pv_addr4(203, 0, 113, 9, 40000);
    struct pv_stun_msg msg;
    struct pv_stun_writer w;
    uint8_t buf[128];
    size_t len;
    assert_int_equal(pv_stun_decode(pv_view(req, req_len), &msg), PV_OK);
    pv_stun_write_answer(&w, buf, sizeof(buf), PV_STUN_SUCCESS, &msg);
    pv_stun_put_xor_addr(&w, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &mapped);
    if (word.ticket != 0)
        pv_sentry_put(&w, &word);
    assert_int_equal(pv_stun_write_end(&w, &len), PV_OK);
    return pv_sentry_handle_input(&s, from, pv_view(buf, len), now);
}

static void answer(uint64_t coordinator, uint64_t ticket)
{
    assert_int_equal(answer_from(&SERVER, (struct pv_sentry_word){coordinator, ticket}), PV_OK);
}

/* Known by ticket 5; the next one is 6. */
static void become_known(void)
{
    assert_int_equal(pass(0), 1);
    answer(0, 5);
    assert_int_equal(pass(0), 1);
    answer(HOME, 6);
    assert_true(pv_sentry_is_known(&s));
}

static bool takes(const struct pv_addr *src, uint64_t coordinator, uint64_t ticket)
{
    const struct pv_sentry_word alarm = {coordinator, ticket};
    return pv_sentry_takes_alarm(&s, src, &alarm);
}

PV_TEST(it_is_asked_twice_and_then_before_the_binding_ends)
{
    assert_int_equal(pass(0), 1);
    assert_int_equal(req_len, PV_SENTRY_REQUEST_LEN);
    assert_true(asked().coordinator == HOME && asked().ticket == 0);
    assert_false(pv_sentry_is_known(&s));
    answer(0, 5);
    assert_int_equal(pass(0), 1);
    assert_true(asked().ticket == 5);
    answer(HOME, 5);
    assert_true(pv_sentry_is_known(&s));
    assert_in_range(until_asked(), INTERVAL - INTERVAL / 8 - PV_MS(1), INTERVAL + PV_MS(1));
    pv_sentry_set_interval(&s, PV_S(80));
    answer(HOME, 5);
    assert_in_range(until_asked(), PV_S(70) - PV_MS(1), PV_S(80) + PV_MS(1));
    pv_sentry_set_interval(&s, 0);
    answer(HOME, 5);
    assert_in_range(until_asked(), INTERVAL - INTERVAL / 8 - PV_MS(1), INTERVAL + PV_MS(1));
}

PV_TEST(an_alarm_counts_with_a_ticket_that_was_shown)
{
    struct pv_addr other = SERVER;
    other.port++;
    assert_int_equal(pass(0), 1);
    assert_false(takes(&SERVER, HOME, 0));
    answer(0, 5);
    assert_int_equal(pass(0), 1);
    answer(HOME, 6);
    assert_true(takes(&SERVER, HOME, 5));
    assert_true(takes(&SERVER, HOME, 6)); /* the answer to a request that shows it may be lost */
    assert_false(takes(&SERVER, HOME, 7));
    assert_false(takes(&SERVER, HOME, 0));
    assert_false(takes(&SERVER, HOME + 1, 5));
    assert_false(takes(&other, HOME, 5));
}

PV_TEST(without_an_answer_it_is_asked_as_often)
{
    become_known();
    (void)pass(INTERVAL);
    assert_in_range(pass(5 * INTERVAL), 3 * 3, 5 * 3);
    assert_false(pv_sentry_is_known(&s));
    assert_true(asked().ticket == 6);
    (void)until_asked();
    answer(HOME, 7);
    assert_true(pv_sentry_is_known(&s));
}

PV_TEST(one_that_is_none_is_left_alone)
{
    assert_int_equal(pass(0), 1);
    answer(0, 0);
    assert_in_range(until_asked(), PV_SENTRY_NONE - PV_MS(1), PV_SENTRY_NONE + PV_MS(1));
    answer(0, 5);
    assert_int_equal(pass(0), 1);
}

/* Where the NAT gave the node another address the ticket is void. */
PV_TEST(another_binding_is_made_known_at_once)
{
    become_known();
    pv_sentry_refresh(&s, now);
    assert_int_equal(pass(0), 1);
    pv_sentry_refresh(&s, now);
    assert_int_equal(pass(0), 0); /* it is being asked */
    answer(0, 9);
    assert_false(pv_sentry_is_known(&s));
    assert_int_equal(pass(0), 1);
    assert_true(asked().ticket == 9);
    answer(HOME, 9);
    assert_true(pv_sentry_is_known(&s));
}

PV_TEST(one_without_a_place_is_not_asked_all_the_time)
{
    assert_int_equal(pass(0), 1);
    answer(0, 5);
    assert_int_equal(pass(0), 1);
    answer(0, 5);
    assert_in_range(until_asked(), PV_S(20), INTERVAL + PV_MS(1));
}

/* One that lies gives a new ticket each time and never knows the node. */
PV_TEST(one_that_gives_ever_new_tickets_is_not_asked_all_the_time)
{
    uint64_t ticket = 5;
    unsigned requests = 0;
    for (pv_ns end = now + PV_S(600); now < end && requests < 1000;) {
        if (pass(PV_MS(10)) == 0)
            continue;
        requests++;
        answer(0, ticket++);
    }
    assert_in_range(requests, 2 * 24, 2 * 30);
}

PV_TEST(one_that_is_not_needed_rests)
{
    pv_sentry_rest(&s, now);
    assert_int_equal(pass(PV_SENTRY_NONE - PV_MS(1)), 0);
    (void)begin(NULL);
    become_known();
    pv_sentry_rest(&s, now);
    assert_true(until_asked() <= INTERVAL + PV_MS(1));
}

PV_TEST(strangers_answer_nothing)
{
    struct pv_addr other = SERVER;
    other.ip[3]++;
    assert_int_equal(pass(0), 1);
    assert_int_equal(answer_from(&other, (struct pv_sentry_word){HOME, 5}), PV_ERR_NOT_FOUND);
    req[PV_STUN_TXID_AT] ^= 1;
    assert_int_equal(answer_from(&SERVER, (struct pv_sentry_word){HOME, 5}), PV_ERR_NOT_FOUND);
    assert_false(pv_sentry_is_known(&s));
}
