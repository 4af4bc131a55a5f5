/* SPDX-License-Identifier: MIT */
/* Nodes of other coordinators: who is known and for how long, and who is told what when. */
#include "coordinator/core/turn/wards.h"
#include "tests/unit/test_util.h"

enum {
    OWN = 7, /* number of the coordinator that stands sentry */
    OTHER = 8,
    THIRD = 9,
};

struct fixture {
    struct test_rng seed;
    struct pv_wards *w;
    pv_ns now;
};
static struct fixture f;
static const struct pv_addr PLACE = {.family = PV_AF_INET, .port = 3478, .ip = {192, 0, 2, 1}};

static int begin(void **state)
{
    (void)state;
    f = (struct fixture){.now = PV_S(10000)};
    const struct pv_rng rng = test_rng_make(&f.seed, 1);
    assert_int_equal(pv_wards_new(&f.w, OWN, &rng), PV_OK);
    return 0;
}

static int end(void **state)
{
    (void)state;
    f.w = pv_wards_free(f.w);
    return 0;
}

PV_TEST_WORLD(begin, end);

/* Another source network for each i. */
static struct pv_addr node_at(uint32_t i)
{
    return pv_addr4_u32(0x0b000000 + (i << 8) + 5, 40000);
}

/* The answer to the node; a number of 0 and a ticket of 0: nothing. */
static struct pv_sentry_word say(const struct pv_addr *node, uint64_t coordinator, uint64_t ticket)
{
    const struct pv_sentry_word said = {.coordinator = coordinator, .ticket = ticket};
    struct pv_sentry_word got = {0};
    if (!pv_wards_take(f.w, node, &PLACE, &said, f.now, &got))
        got = (struct pv_sentry_word){0};
    return got;
}

static bool become_known(const struct pv_addr *node, uint64_t coordinator)
{
    uint64_t ticket = say(node, coordinator, 0).ticket;
    return say(node, coordinator, ticket).coordinator == coordinator;
}

/* How many are told in all from now on, each by the machine's turns; last: the last one. */
static unsigned told(struct pv_wards_alarm *last)
{
    struct pv_wards_alarm a;
    unsigned n = 0, turn;
    while (pv_wards_next_timeout(f.w) <= f.now + PV_WARDS_PACE) {
        f.now = pv_wards_next_timeout(f.w) > f.now ? pv_wards_next_timeout(f.w) : f.now;
        pv_wards_handle_timeout(f.w, f.now);
        for (turn = 0; pv_wards_poll_transmit(f.w, &a) == PV_OK; turn++)
            if (last != NULL)
                *last = a;
        assert_true(turn <= PV_WARDS_TURN);
        n += turn;
    }
    return n;
}

static unsigned raise_and_count(uint64_t coordinator, struct pv_wards_alarm *last)
{
    pv_wards_raise(f.w, coordinator, f.now);
    return told(last);
}

PV_TEST(a_node_that_shows_a_ticket_is_known_and_told)
{
    struct pv_addr node = node_at(1);
    struct pv_wards_alarm alarm;
    struct pv_sentry_word word;
    struct pv_sentry_word first = say(&node, OTHER, 0);
    assert_true(first.ticket != 0 && first.coordinator == 0);
    assert_int_equal(pv_wards_count(f.w), 0);
    assert_true(pv_wards_next_timeout(f.w) == PV_NEVER); /* nothing to do for strangers */
    assert_int_equal(raise_and_count(OTHER, NULL), 0);
    assert_true(say(&node, OTHER, first.ticket).coordinator == OTHER);
    assert_int_equal(pv_wards_count(f.w), 1);

    assert_int_equal(raise_and_count(THIRD, NULL), 0);
    assert_int_equal(raise_and_count(OTHER, &alarm), 1);
    assert_true(pv_addr_equal(&alarm.to, &node));
    assert_true(pv_addr_equal(&alarm.from, &PLACE));
    assert_int_equal(pv_sentry_read_alarm(pv_view(alarm.buf, sizeof(alarm.buf)), &word), PV_OK);
    assert_true(word.coordinator == OTHER && word.ticket == first.ticket);
    assert_int_equal(told(NULL), 0); /* once */
    assert_int_equal(raise_and_count(OTHER, NULL), 1);
}

PV_TEST(a_ticket_is_good_for_its_address_and_its_time)
{
    struct pv_addr node = node_at(1), port = node, victim = node_at(2);
    port.port++;
    uint64_t ticket = say(&node, OTHER, 0).ticket;
    assert_true(say(&victim, OTHER, ticket).coordinator == 0);
    assert_true(say(&port, OTHER, ticket).coordinator == 0);
    assert_true(say(&node, OTHER, ticket ^ 1).coordinator == 0);
    assert_int_equal(pv_wards_count(f.w), 0);
    f.now += PV_S(PV_WARDS_TICKET_S);
    assert_true(say(&node, OTHER, ticket).coordinator == OTHER);
    struct pv_addr late = node_at(3);
    ticket = say(&late, OTHER, 0).ticket;
    f.now += PV_S(2 * PV_WARDS_TICKET_S);
    assert_true(say(&late, OTHER, ticket).coordinator == 0);

    /* Another process gives others. */
    const struct pv_rng rng = test_rng_make(&f.seed, 2);
    ticket = say(&node, OTHER, 0).ticket;
    pv_wards_free(f.w);
    assert_int_equal(pv_wards_new(&f.w, OWN, &rng), PV_OK);
    assert_true(say(&node, OTHER, ticket).coordinator == 0);
}

PV_TEST(a_node_at_this_coordinator_gets_no_ticket)
{
    struct pv_addr node = node_at(1);
    struct pv_sentry_word got = say(&node, OWN, 0);
    assert_true(got.ticket == 0 && got.coordinator == 0);
    got = say(&node, 0, 0);
    assert_true(got.ticket == 0 && got.coordinator == 0);
}

PV_TEST(a_node_that_moves_is_told_of_its_new_one)
{
    struct pv_addr node = node_at(1);
    assert_true(become_known(&node, OTHER));
    assert_true(become_known(&node, THIRD));
    assert_int_equal(pv_wards_count(f.w), 1);
    assert_int_equal(raise_and_count(OTHER, NULL), 0);
    assert_int_equal(raise_and_count(THIRD, NULL), 1);
}

PV_TEST(a_node_that_does_not_come_again_is_forgotten)
{
    struct pv_addr stays = node_at(1), goes = node_at(2);
    assert_true(become_known(&stays, OTHER) && become_known(&goes, OTHER));
    f.now += PV_S(100);
    assert_true(become_known(&stays, OTHER));
    f.now += PV_S(PV_WARDS_LIFE_S - 100) + 1;
    assert_int_equal(raise_and_count(OTHER, NULL), 1);
    for (int i = 0; i < 20; i++) {
        f.now += PV_WARDS_SWEEP;
        pv_wards_handle_timeout(f.w, f.now);
    }
    assert_int_equal(pv_wards_count(f.w), 1);
    f.now += PV_S(PV_WARDS_LIFE_S);
    for (int i = 0; i < 20; i++) {
        f.now += PV_WARDS_SWEEP;
        pv_wards_handle_timeout(f.w, f.now);
    }
    assert_int_equal(pv_wards_count(f.w), 0);
    assert_true(pv_wards_next_timeout(f.w) == PV_NEVER);
}

PV_TEST(a_network_brings_so_many_and_no_more)
{
    unsigned known = 0;
    struct pv_addr other = node_at(1);
    for (uint16_t i = 0; i < 2 * PV_WARDS_SOURCE_BURST; i++) {
        struct pv_addr a = pv_addr4(198, 51, 100, (uint8_t)i, (uint16_t)(1024 + i));
        known += become_known(&a, OTHER);
    }
    assert_int_equal(known, PV_WARDS_SOURCE_BURST);
    assert_true(become_known(&other, OTHER));
    /* Those that are known take none of it. */
    struct pv_addr first = pv_addr4(198, 51, 100, 0, 1024);
    assert_true(become_known(&first, OTHER));
    f.now += PV_S(1);
    known = 0;
    for (uint16_t i = 0; i < 100; i++) {
        struct pv_addr a = pv_addr4(198, 51, 100, 250, (uint16_t)(1024 + i));
        known += become_known(&a, OTHER);
    }
    assert_int_equal(known, PV_WARDS_SOURCE_RATE);
}

PV_TEST(a_full_table_keeps_who_is_there)
{
    const uint32_t slots = PV_WARDS_SETS * PV_WARDS_WAYS;
    struct pv_addr first = node_at(0);
    assert_true(become_known(&first, THIRD));
    uint32_t known = 1;
    for (uint32_t i = 1; i < slots + slots / 4; i++) {
        struct pv_addr a = node_at(i);
        known += become_known(&a, OTHER);
    }
    assert_true(known == pv_wards_count(f.w) && known <= slots);
    assert_int_equal(raise_and_count(THIRD, NULL), 1);
    pv_ns before = f.now;
    assert_int_equal(raise_and_count(OTHER, NULL), known - 1);
    /* Not all at once. */
    assert_true(f.now - before >= PV_WARDS_PACE * ((known - 1) / PV_WARDS_TURN - 1));
}

PV_TEST(coordinators_that_fall_silent_together_are_told_of_one_after_the_other)
{
    for (uint32_t i = 0; i < 300; i++) {
        struct pv_addr a = node_at(i);
        assert_true(become_known(&a, i % 3 == 0 ? OTHER : THIRD));
    }
    pv_wards_raise(f.w, OTHER, f.now);
    pv_wards_raise(f.w, THIRD, f.now);
    pv_wards_raise(f.w, THIRD, f.now);
    assert_int_equal(told(NULL), 300);
    for (uint64_t i = 0; i < PV_WARDS_SILENT + 1; i++)
        pv_wards_raise(f.w, i < PV_WARDS_SILENT ? 100 + i : THIRD, f.now);
    assert_int_equal(told(NULL), 0);
    assert_int_equal(raise_and_count(THIRD, NULL), 200);
}
