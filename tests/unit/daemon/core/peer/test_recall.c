/* SPDX-License-Identifier: MIT */
/* Whom to try, when and where; what is stored; all in virtual time. */
#include "base/fifo.h"
#include "daemon/core/peer/recall.h"
#include "tests/unit/slots.h"
#include "tests/unit/test_util.h"

static struct slots members;          /* of struct pv_recall_peer */
static struct pv_fifo trials, stores; /* of struct pv_recall_item */

static void end_member(void *slot)
{
    pv_recall_gone(slot);
}

static const uint8_t *nobody; /* no member; NULL: everybody is one */

static struct pv_recall_peer *kept(void *owner, const uint8_t *pk, bool make)
{
    if (nobody != NULL && memcmp(nobody, pk, PV_SIGN_PK_LEN) == 0)
        return NULL;
    return slots_of(&members, pk, sizeof(struct pv_recall_peer), make);
}

static void free_recall(void *ctx)
{
    slots_clear(&members, end_member);
    pv_recall_free(ctx);
    pv_fifo_clear(&trials);
    pv_fifo_clear(&stores);
}

static void note_trial(void *owner, const struct pv_recall_item *item, pv_ns now)
{
    assert_int_equal(pv_fifo_put(&trials, item, sizeof(*item)), PV_OK);
}

static void note_store(void *owner, const struct pv_recall_item *item)
{
    assert_int_equal(pv_fifo_put(&stores, item, sizeof(*item)), PV_OK);
}

static const struct pv_recall_hands hands = {
    .kept = kept, .attempt = note_trial, .keep = note_store};

/* The next of those that the machine told, or tells now; PV_ERR_AGAIN: there is none. */
static int take_trial(struct pv_recall *r, pv_ns now, struct pv_recall_item *item)
{
    if (trials.n == 0)
        pv_recall_handle_timeout(r, now);
    return pv_fifo_take(&trials, item);
}

static int take_store(struct pv_recall *r, pv_ns now, struct pv_recall_item *item)
{
    if (stores.n == 0)
        pv_recall_handle_timeout(r, now);
    return pv_fifo_take(&stores, item);
}

static struct pv_recall *make(void)
{
    struct pv_recall *r = NULL;
    assert_int_equal(pv_recall_new(&r, &hands), PV_OK);
    test_defer(free_recall, r);
    return r;
}

static const uint8_t *pk(unsigned i)
{
    static uint8_t keys[8][32];
    static unsigned at;
    uint8_t *k = keys[at++ % 8];
    memset(k, 0, 32);
    k[0] = (uint8_t)i;
    k[1] = (uint8_t)(i >> 8);
    return k;
}

static unsigned who(const struct pv_recall_item *item)
{
    return item->pk[0] + 256u * item->pk[1];
}

static struct pv_addr addr(unsigned i)
{
    return pv_addr4(203, 0, 113, (uint8_t)(1 + i % 250), (uint16_t)(1000 + i));
}

static void load(struct pv_recall *r, unsigned i, struct pv_addr a, uint64_t seen_s)
{
    const struct pv_recall_addr x = {.addr = a, .seen_s = seen_s};
    pv_recall_load(r, pk(i), &x);
}

static void note(struct pv_recall *r, unsigned i, struct pv_addr a, uint64_t seen_s, pv_ns now)
{
    pv_recall_note(r, pk(i), &a, seen_s, now);
}

/* Runs to the next trial until then; PV_NEVER: there is none. Items to be stored are. */
static pv_ns next_trial(struct pv_recall *r, pv_ns *now, pv_ns until, struct pv_recall_item *item)
{
    for (unsigned steps = 0; steps < 10000; steps++) {
        if (take_trial(r, *now, item) == PV_OK)
            return *now;
        struct pv_recall_item stored;
        while (take_store(r, *now, &stored) == PV_OK)
            continue;
        pv_ns next = pv_recall_next_timeout(r);
        if (next > until)
            return PV_NEVER;
        *now = next > *now ? next : *now;
        pv_recall_handle_timeout(r, *now);
    }
    fail_msg("the machine spins");
    return PV_NEVER;
}

PV_TEST(trials_leave_at_0_1_3_5_and_then_every_15_seconds)
{
    static const unsigned at[] = {0, 1, 3, 5, 20, 35, 50};
    struct pv_recall *r = make();
    struct pv_recall_item item;
    pv_ns now = PV_S(100);
    load(r, 1, addr(1), 10);
    load(r, 1, addr(2), 30);
    load(r, 1, addr(3), 20);
    pv_recall_set_on(r, true, now);
    for (size_t i = 0; i < PV_ARRAY_LEN(at); i++) {
        assert_int_equal(next_trial(r, &now, PV_S(1000), &item),
                         PV_S(100) + PV_RECALL_GRACE + PV_S(at[i]));
        assert_int_equal(who(&item), 1);
        assert_int_equal(item.n, 3);
        assert_int_equal(item.addrs[0].seen_s, 30); /* newest first */
        assert_int_equal(item.addrs[2].seen_s, 10);
    }
}

PV_TEST(nobody_is_tried_while_the_coordinator_is_there)
{
    struct pv_recall *r = make();
    struct pv_recall_item item;
    pv_ns now = PV_S(100);
    load(r, 1, addr(1), 10);
    pv_recall_want(r, pk(1), now);
    assert_int_equal(next_trial(r, &now, PV_S(1000), &item), PV_NEVER);
    pv_recall_set_on(r, true, now);
    pv_recall_set_on(r, false, now + PV_MS(400)); /* it answered in time */
    assert_int_equal(next_trial(r, &now, PV_S(1000), &item), PV_NEVER);
    assert_int_equal(pv_recall_next_timeout(r), PV_NEVER);
}

PV_TEST(a_member_that_is_reached_is_left_alone_until_its_path_is_gone)
{
    struct pv_recall *r = make();
    struct pv_recall_item item;
    pv_ns now = PV_S(100);
    load(r, 1, addr(1), 10);
    pv_recall_set_on(r, true, now);
    assert_true(next_trial(r, &now, PV_S(200), &item) != PV_NEVER);
    assert_true(pv_recall_is_trying(r, pk(1)));
    pv_recall_set_reached(r, pk(1), true, now);
    pv_recall_want(r, pk(1), now);
    assert_false(pv_recall_is_trying(r, pk(1)));
    assert_int_equal(next_trial(r, &now, PV_S(1000), &item), PV_NEVER);
    now = PV_S(1000);
    pv_recall_set_reached(r, pk(1), false, now);
    assert_int_equal(next_trial(r, &now, PV_S(1001), &item), PV_S(1000));
}

PV_TEST(trying_ends_after_ten_minutes_and_a_wish_or_a_move_begins_it_anew)
{
    struct pv_recall *r = make();
    struct pv_recall_item item;
    pv_ns now = PV_S(100), last = 0;
    unsigned n = 0;
    load(r, 1, addr(1), 10);
    pv_recall_set_on(r, true, now);
    for (pv_ns t; (t = next_trial(r, &now, PV_S(5000), &item)) != PV_NEVER; n++)
        last = t;
    assert_in_range(last, PV_S(100) + PV_RECALL_FOR - PV_RECALL_EVERY, PV_S(100) + PV_RECALL_FOR);
    assert_in_range(n, 40, 45);
    now = PV_S(5000);
    pv_recall_want(r, pk(1), now);
    assert_int_equal(next_trial(r, &now, PV_S(5001), &item), PV_S(5000));
    while (next_trial(r, &now, PV_S(9000), &item) != PV_NEVER)
        continue;
    now = PV_S(9000);
    pv_recall_moved(r, now);
    assert_int_equal(next_trial(r, &now, PV_S(9001), &item), PV_S(9000));
}

/* The owner repeats a wish as often as it likes: that alone makes nothing due. */
PV_TEST(a_wish_that_is_repeated_at_once_leaves_the_machine_at_rest)
{
    struct pv_recall *r = make();
    struct pv_recall_item item;
    pv_ns now = PV_S(100);
    for (unsigned i = 0; i < PV_RECALL_AT_ONCE + 8; i++)
        load(r, i, addr(i), 10);
    pv_recall_set_on(r, true, now);
    now += PV_RECALL_GRACE;
    for (unsigned turn = 0; turn < 3; turn++) {
        for (unsigned i = 0; i < PV_RECALL_AT_ONCE + 8; i++)
            pv_recall_want(r, pk(i), now);
        pv_recall_handle_timeout(r, now);
        while (take_trial(r, now, &item) == PV_OK)
            continue;
    }
    for (unsigned i = 0; i < PV_RECALL_AT_ONCE + 8; i++)
        pv_recall_want(r, pk(i), now);
    assert_true(pv_recall_next_timeout(r) > now);
}

/* Somebody pings every second: trials stay 15 s apart, and do not end. */
PV_TEST(wishes_that_go_on_do_not_make_more_trials)
{
    struct pv_recall *r = make();
    struct pv_recall_item item;
    pv_ns now = PV_S(100);
    unsigned n = 0;
    load(r, 1, addr(1), 10);
    pv_recall_set_on(r, true, now);
    for (pv_ns t = PV_S(101); t < PV_S(2101); t += PV_S(1)) {
        pv_recall_want(r, pk(1), now);
        while (next_trial(r, &now, t, &item) != PV_NEVER)
            n++;
        now = t;
    }
    assert_in_range(n, 130, 140);
    /* A wish after a pause is a new one. */
    now = PV_S(2300);
    while (next_trial(r, &now, PV_S(2304), &item) != PV_NEVER)
        continue;
    now = PV_S(2310);
    pv_recall_want(r, pk(1), now);
    assert_in_range(next_trial(r, &now, PV_S(2400), &item), PV_S(2310), PV_S(2311));
}

PV_TEST(thirty_two_at_once_those_reached_last_first_and_all_in_turn)
{
    enum {
        MEMBERS = 100
    };
    struct pv_recall *r = make();
    struct pv_recall_item item;
    pv_ns now = PV_S(100), start = now;
    unsigned seen[MEMBERS] = {0}, different = 0;
    for (unsigned i = 0; i < MEMBERS; i++)
        load(r, i, addr(i), 1000 + i);
    pv_recall_set_on(r, true, now);
    while (next_trial(r, &now, start + PV_S(1), &item) != PV_NEVER) {
        assert_true(who(&item) >= MEMBERS - PV_RECALL_AT_ONCE);
        different += seen[who(&item)]++ == 0 ? 1 : 0;
    }
    assert_int_equal(different, PV_RECALL_AT_ONCE);
    /* One that is wanted takes a place at once. */
    now = start + PV_S(2);
    pv_recall_want(r, pk(3), now);
    bool found = false;
    while (next_trial(r, &now, start + PV_S(3), &item) != PV_NEVER)
        found = found || who(&item) == 3;
    assert_true(found);
    while (next_trial(r, &now, start + PV_S(200), &item) != PV_NEVER)
        seen[who(&item)]++;
    for (unsigned i = 0; i < MEMBERS; i++)
        assert_true(seen[i] > 0);
}

PV_TEST(no_more_than_thirty_two_members_are_tried_in_any_second)
{
    enum {
        MEMBERS = 300
    };
    struct pv_recall *r = make();
    struct pv_recall_item item;
    struct test_rng draw = {.state = 9};
    pv_ns now = PV_S(100);
    for (unsigned i = 0; i < MEMBERS; i++)
        load(r, i, addr(i), test_rng_next(&draw) % 1000);
    pv_recall_set_on(r, true, now);
    for (unsigned step = 0; step < 400; step++) {
        unsigned in_second = 0;
        unsigned m = (unsigned)(test_rng_next(&draw) % MEMBERS);
        switch (test_rng_next(&draw) % 5) {
        case 0:
            pv_recall_want(r, pk(m), now);
            break;
        case 1:
            pv_recall_set_reached(r, pk(m), test_rng_next(&draw) % 2 == 0, now);
            break;
        case 2:
            note(r, m, addr(m + 1), step, now);
            break;
        case 3:
            pv_recall_forget(r, pk(m));
            break;
        default:
            if (step % 50 == 0)
                pv_recall_moved(r, now);
        }
        pv_ns until = now + PV_S(1);
        while (next_trial(r, &now, until, &item) != PV_NEVER) {
            in_second++;
            assert_true(item.n > 0 && item.n <= PV_RECALL_ADDRS);
        }
        now = until;
        assert_true(in_second <= 2 * PV_RECALL_AT_ONCE);
    }
}

PV_TEST(the_last_four_addresses_are_kept_and_stored_a_few_seconds_apart)
{
    struct pv_recall *r = make();
    struct pv_recall_item item;
    pv_ns now = PV_S(100);
    for (unsigned i = 0; i < 6; i++)
        note(r, 1, addr(i), 1000 + i, now);
    assert_int_equal(take_store(r, now, &item), PV_OK);
    assert_int_equal(who(&item), 1);
    assert_int_equal(item.n, PV_RECALL_ADDRS);
    for (unsigned i = 0; i < PV_RECALL_ADDRS; i++) {
        struct pv_addr want = addr(5 - i);
        assert_true(pv_addr_equal(&item.addrs[i].addr, &want));
    }
    assert_int_equal(take_store(r, now, &item), PV_ERR_AGAIN);
    /* It goes to and fro: an order that changes is stored, but not at once. */
    note(r, 1, addr(2), 1010, now);
    assert_int_equal(take_store(r, now, &item), PV_ERR_AGAIN);
    assert_int_equal(pv_recall_next_timeout(r), now + PV_RECALL_STORE);
    now += PV_RECALL_STORE;
    assert_int_equal(take_store(r, now, &item), PV_OK);
    assert_int_equal(item.addrs[0].seen_s, 1010);
    assert_int_equal(item.n, PV_RECALL_ADDRS);
    /* The same address again: only the time is newer. */
    note(r, 1, addr(2), 1020, now);
    assert_int_equal(pv_recall_next_timeout(r), now + PV_RECALL_REFRESH);
}

PV_TEST(a_member_that_is_gone_is_forgotten_on_disk_too)
{
    struct pv_recall *r = make();
    struct pv_recall_item item;
    pv_ns now = PV_S(100);
    load(r, 1, addr(1), 10);
    pv_recall_set_on(r, true, now);
    assert_true(next_trial(r, &now, PV_S(200), &item) != PV_NEVER);
    pv_recall_forget(r, pk(1));
    slots_clear(&members, end_member); /* its peer goes before the store is told */
    assert_int_equal(pv_recall_next_timeout(r), 0);
    assert_int_equal(take_store(r, now, &item), PV_OK);
    assert_int_equal(who(&item), 1);
    assert_int_equal(item.n, 0);
    assert_int_equal(next_trial(r, &now, PV_S(900), &item), PV_NEVER);
    pv_recall_forget(r, pk(1)); /* nothing is known: nothing to be done */
    load(r, 1, addr(1), 10);
    pv_recall_forget(r, pk(1));
    note(r, 1, addr(2), 11, now); /* its path is the last to hear of it */
    pv_recall_clear(r);           /* the network is left */
    assert_int_equal(take_store(r, now, &item), PV_ERR_AGAIN);
}

PV_TEST(an_address_that_failed_to_be_stored_is_stored_again)
{
    struct pv_recall *r = make();
    struct pv_recall_item item;
    pv_ns now = PV_S(100);
    unsigned n = 0;
    note(r, 1, addr(1), 10, now);
    note(r, 2, addr(2), 10, now);
    while (take_store(r, now, &item) == PV_OK)
        n++;
    assert_int_equal(n, 2);
    pv_recall_store_all(r, now);
    while (take_store(r, now, &item) == PV_OK)
        n++;
    assert_int_equal(n, 4);
    /* Their peers leave nothing behind: neither a trial nor a store. */
    pv_recall_store_all(r, now);
    pv_recall_set_on(r, true, now);
    now += PV_S(1);
    pv_recall_handle_timeout(r, now);
    assert_int_equal(trials.n, 2);
    pv_fifo_clear(&trials);
    pv_fifo_clear(&stores);
    pv_recall_store_all(r, now);
    slots_clear(&members, end_member);
    pv_recall_handle_timeout(r, now + PV_S(1));
    assert_int_equal(trials.n + stores.n, 0);
    assert_int_equal(pv_recall_next_timeout(r), PV_NEVER);
}

PV_TEST(limits_hold_and_unusable_addresses_are_ignored)
{
    struct pv_recall *r = make();
    struct pv_recall_item item;
    uint8_t two[PV_SIGN_PK_LEN];
    for (unsigned i = 0; i < 2; i++)
        load(r, i, addr(i), i);
    pv_recall_get(r, pk(1), &item);
    assert_int_equal(item.n, 1);
    memcpy(two, pk(2), sizeof(two));
    nobody = two;
    load(r, 2, addr(2), 2);
    note(r, 2, addr(2), 2, PV_S(1));
    pv_recall_get(r, pk(2), &item);
    assert_int_equal(item.n, 0);
    nobody = NULL;
    for (unsigned i = 0; i < 9; i++)
        load(r, 1, addr(i), i);
    pv_recall_get(r, pk(1), &item);
    assert_int_equal(item.n, PV_RECALL_ADDRS);
    load(r, 0, pv_addr4(203, 0, 113, 5, 0), 9);  /* no port */
    load(r, 0, pv_addr4(224, 0, 0, 1, 4000), 9); /* multicast */
    load(r, 0, (struct pv_addr){.family = PV_AF_NONE}, 9);
    load(r, 0, addr(0), 9); /* twice */
    pv_recall_get(r, pk(0), &item);
    assert_int_equal(item.n, 1);
    test_end(r);
    assert_null(pv_recall_free(NULL));
}
