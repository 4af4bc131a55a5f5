/* SPDX-License-Identifier: MIT */
/*
 * store_list.h - what every kind of store must do: tests that a program takes by including them,
 * over SQLite and PostgreSQL. Each starts in the world of the program, with an empty store.
 */
#pragma once

#include "sys/proc/clock.h"
#include "tests/unit/coordinator/store/store_ops.h"

/* --- operations ---------------------------------------------------------------------------- */

PV_TEST(statements_put_are_there_after_a_restart_in_order)
{
    struct pv_coordstore *s = open_ok();
    struct cw_node a = cw_node_make(world);
    assert_ok(run(s, member_op(&a, 9, 0, 5)).status);
    assert_ok(run(s, network_op(1)).status);
    pv_coordstore_close(s);
    s = open_ok();
    struct seen seen = all_of(s);
    assert_int_equal(seen.n, 5);
    assert_true(seen.last == 9);
    assert_true(seen.foreign);
    /* Again, under other numbers: skipped, not doubled. */
    assert_ok(run(s, network_op(20)).status);
    assert_int_equal(all_of(s).n, 5);
    pv_coordstore_close(s);
}

PV_TEST(an_invite_is_redeemed_as_often_as_it_says)
{
    struct pv_coordstore *s = open_ok();
    struct cw_node a = cw_node_make(world);
    struct cw_node b = cw_node_make(world);
    struct cw_node c = cw_node_make(world);
    struct pv_storeop *op = member_op(&a, 1, 0, 2);
    uint8_t first[PV_STATEMENT_HASH_LEN];
    memcpy(first, op->rows[0].hash, sizeof(first));
    assert_ok(run(s, op).status);
    /* The same node again: what stands there is the answer. */
    struct pv_storeop_result res = run(s, member_op(&a, 2, 1, 2));
    assert_int_equal(res.status, PV_ERR_EXISTS);
    assert_memory_equal(res.existing, first, sizeof(first));
    assert_ok(run(s, member_op(&b, 3, 0, 2)).status);
    assert_int_equal(run(s, member_op(&c, 4, 0, 2)).status, PV_ERR_EXPIRED);
    /* After a leave the first node comes back with a higher serial: no further use. */
    op = member_op(&a, 5, 3, 2);
    op->min_serial = 3;
    assert_ok(run(s, op).status);
    op = member_op(&a, 6, UINT64_MAX, 2);
    op->min_serial = UINT64_MAX; /* the largest there is, beyond SQLite's signed integers */
    assert_ok(run(s, op).status);
    op = member_op(&a, 7, 5, 2);
    op->min_serial = 4;
    assert_int_equal(run(s, op).status, PV_ERR_EXISTS);
    assert_int_equal(all_of(s).n, 4);
    pv_coordstore_close(s);
}

/* --- logs ----------------------------------------------------------------------------------- */

PV_TEST(a_log_grows_behind_its_last_entry_only)
{
    struct pv_coordstore *s = open_ok();
    assert_int_equal(run(s, append_op(1, 1, 1, 2, 3)).status, PV_ERR_REFUSED);
    assert_ok(run(s, append_op(1, 1, 1, 1, 3)).status);
    assert_ok(run(s, append_op(2, 1, 1, 1, 1)).status);
    pv_coordstore_close(s);
    s = open_ok();
    assert_ok(run(s, append_op(1, 1, 1, 1, 3)).status); /* there already */
    assert_ok(run(s, append_op(1, 1, 1, 2, 4)).status); /* in part */
    assert_int_equal(chain_of(s, 1, 1).by_n, 4);
    assert_int_equal(run(s, append_op(1, 1, 1, 6, 7)).status, PV_ERR_REFUSED); /* a gap */
    assert_int_equal(run(s, append_op(1, 1, 2, 4, 5)).status, PV_ERR_REFUSED); /* another log */
    assert_int_equal(run(s, append_op(1, 2, 2, 5, 5)).status, PV_ERR_REFUSED); /* behind one */
    struct chain c = chain_of(s, 1, 1);
    assert_int_equal(c.n, 4);
    assert_int_equal(c.by_n, 4);
    assert_int_equal(chain_of(s, 2, 1).n, 1);
    pv_coordstore_close(s);
}

PV_TEST(root_moves_a_log_and_nothing_is_cut_for_a_stranger)
{
    struct pv_coordstore *s = open_ok();
    assert_ok(run(s, append_op(1, 1, 1, 1, 6)).status);
    struct pv_storeop *op = append_op(1, 1, 2, 4, 5);
    op->cut = true;
    assert_ok(run(s, op).status);
    assert_int_equal(chain_of(s, 1, 1).by_n, 3);
    assert_int_equal(chain_of(s, 1, 2).by_n, 5);
    op = append_op(1, 1, 3, 5, 9); /* behind an entry that was cut */
    op->cut = true;
    assert_int_equal(run(s, op).status, PV_ERR_REFUSED);
    assert_int_equal(chain_of(s, 1, 2).by_n, 5);
    pv_coordstore_close(s);
    s = open_ok();
    assert_int_equal(chain_of(s, 1, 2).n, 5);
    pv_coordstore_close(s);
}

/* A network's log takes a thousand entries a second (adr/0132). */
PV_TEST(a_log_takes_its_entries_in_batches)
{
    struct pv_coordstore *s = open_ok();
    pv_ns start = pv_clock_now();
    for (uint64_t i = 0; i < 20; i++)
        assert_ok(run(s, append_op(1, 1, 1, 1 + i * 100, 100 + i * 100)).status);
    pv_ns took = pv_clock_now() - start;
    assert_int_equal(chain_of(s, 1, 1).by_n, 2000);
    print_message("2,000 entries: %.2f s\n", (double)took / 1e9);
    if (took > PV_S(2))
        fail_msg("2,000 entries took %.1f s", (double)took / 1e9);
    pv_coordstore_close(s);
}

/* Has the sum of a network's copies say this, whatever there is. */
static void set_bytes(uint8_t network, uint64_t bytes);

/* --- copies --------------------------------------------------------------------------------- */

static struct pv_coordstore *disk;

static struct pv_storeop_result run_copy(enum pv_storeop_kind kind, struct pv_storeop_copy m,
                                         size_t box_len)
{
    struct pv_storeop *op = NULL;
    uint8_t *box = calloc(1, box_len + 1);
    assert_non_null(box);
    box[0] = m.key[0];
    m.wall_s += 1795161600;
    assert_ok(pv_storeop_new_copy(kind, &m, pv_view(box, box_len), &op));
    op->id = 5;
    free(box);
    return run(disk, op);
}

static int keep(uint8_t from, uint8_t to, uint8_t key, uint64_t wall_s, size_t len)
{
    return run_copy(PV_STOREOP_KEEP,
                    (struct pv_storeop_copy){.network = {1},
                                             .from = {from},
                                             .to = {to},
                                             .key = {key, (uint8_t)(wall_s >> 8), (uint8_t)wall_s},
                                             .wall_s = wall_s},
                    len)
        .status;
}

/* The first byte of the next copy; 0: none. Its number in *n, from which it goes on. */
static uint8_t next(uint8_t to, uint64_t *n, bool take, uint64_t wall_s)
{
    struct pv_storeop_result res =
        run_copy(PV_STOREOP_COLLECT,
                 (struct pv_storeop_copy){
                     .network = {1}, .to = {to}, .n = take ? *n : 0, .after = *n, .wall_s = wall_s},
                 0);
    uint8_t key = res.collected == NULL ? 0 : res.collected->box[0];
    assert_ok(res.status);
    if (res.collected != NULL)
        *n = res.collected->n;
    free(res.collected);
    return key;
}

/* Days go by, and coordinators see each: a longer step of the clock counts as one. */
static void pass_days(uint64_t from_s, unsigned n)
{
    uint64_t none = 0;
    for (unsigned i = 1; i <= n; i++)
        assert_int_equal(next(99, &none, false, from_s + i * UINT64_C(86400)), 0);
}

static void copies_wait_in_order_until_they_are_taken(void)
{
    uint64_t n = 0;
    assert_ok(keep(7, 8, 1, 0, 100));
    assert_ok(keep(7, 9, 2, 0, 100));
    assert_ok(keep(6, 8, 3, 0, 100));
    assert_ok(keep(7, 8, 1, 0, 100)); /* there already */
    pv_coordstore_close(disk);
    disk = open_ok();
    assert_int_equal(next(8, &n, false, 0), 1);
    assert_int_equal(next(8, &n, true, 0), 3);
    assert_int_equal(next(8, &n, false, 0), 0);
    n = 0;
    assert_int_equal(next(8, &n, false, 0), 3);
    assert_int_equal(next(8, &n, true, 0), 0);
    n = 0;
    assert_int_equal(next(8, &n, false, 0), 0);
    pass_days(0, PV_STOREOP_COPY_S / 86400);
    assert_int_equal(next(9, &n, false, PV_STOREOP_COPY_S), 2);
    n = 0;
    assert_int_equal(next(9, &n, false, PV_STOREOP_COPY_S + 1), 0); /* fourteen days are over */
}

static void quotas_of_copies_hold_at_their_edge(void)
{
    const uint64_t t = 3 * PV_STOREOP_COPY_S; /* what was before is too old */
    pass_days(PV_STOREOP_COPY_S, 2 * PV_STOREOP_COPY_S / 86400);
    for (unsigned i = 0; i < PV_STOREOP_COPY_TO; i++)
        assert_ok(keep((uint8_t)(i % 8), 8, (uint8_t)(1 + i % 250), t + i / 250, 10));
    assert_int_equal(keep(1, 8, 255, t, 10), PV_ERR_REFUSED);
    assert_ok(keep(1, 8, 2, t, 10)); /* of those there, not one more */
    assert_ok(keep(1, 9, 255, t, 10));
    assert_ok(keep(5, 10, 1, t, PV_STOREOP_COPY_TO_BYTES / 2));
    assert_ok(keep(5, 12, 2, t, PV_STOREOP_COPY_TO_BYTES / 2 - 4000));
    assert_int_equal(keep(5, 11, 2, t, 4000), PV_ERR_REFUSED); /* the sender's bytes */
    for (uint8_t i = 20; i < 24; i++)
        assert_ok(keep(i, 10, 1, t, PV_STOREOP_COPY_PAIR_BYTES));
    assert_int_equal(keep(20, 10, 2, t, 1), PV_ERR_REFUSED); /* its part of the receiver's */
    assert_ok(keep(24, 11, 2, t, 1));
}

/* The sender that writes the most leaves room for others: half of the receiver's is the most. */
static void one_sender_leaves_room_for_others(void)
{
    const uint64_t t = 5 * PV_STOREOP_COPY_S;
    pass_days(3 * PV_STOREOP_COPY_S, 2 * PV_STOREOP_COPY_S / 86400);
    for (unsigned i = 0; i < PV_STOREOP_COPY_TO / 2; i++)
        assert_ok(keep(1, 13, (uint8_t)(1 + i % 250), t + i / 250, 10));
    assert_int_equal(keep(1, 13, 255, t, 10), PV_ERR_REFUSED);
    assert_ok(keep(2, 13, 255, t, 10));
    assert_ok(keep(1, 14, 1, t, PV_STOREOP_COPY_TO_BYTES / 2));
    assert_int_equal(keep(1, 14, 2, t, 1), PV_ERR_REFUSED);
    assert_ok(keep(2, 14, 2, t, PV_STOREOP_COPY_PAIR_BYTES));
    assert_int_equal(keep(2, 14, 3, t, 1), PV_ERR_REFUSED);
}

/* How many copies of each sender wait for `to`: the first byte of their boxes says whose they are.
 */
static void count_copies(uint8_t to, uint64_t wall_s, unsigned counts[static 256])
{
    uint8_t key;
    memset(counts, 0, 256 * sizeof(counts[0]));
    for (uint64_t n = 0; (key = next(to, &n, false, wall_s)) != 0;)
        counts[key]++;
}

/* Senders 1 to 5 have all of the receiver's room: 1,000 copies and four times 250. */
static void fill_room(uint8_t to, uint64_t t)
{
    for (unsigned i = 0; i < PV_STOREOP_COPY_TO; i++) {
        uint8_t from = (uint8_t)(i < PV_STOREOP_COPY_TO / 2 ? 1 : 2 + i % 4);
        assert_ok(keep(from, to, from, t + i, 10));
    }
}

/* Five senders that were first keep nobody out: who has most gives way, with its newest copies. */
static void who_has_most_gives_way_to_who_has_less(void)
{
    const uint64_t t = 7 * PV_STOREOP_COPY_S, later = t + PV_STOREOP_COPY_TO;
    struct pv_storeop_copy m = {.network = {1}, .to = {15}, .wall_s = t};
    unsigned counts[256];
    pass_days(5 * PV_STOREOP_COPY_S, 2 * PV_STOREOP_COPY_S / 86400);
    fill_room(15, t);
    assert_int_equal(keep(2, 15, 2, later, 10), PV_ERR_REFUSED); /* it has its part */
    for (unsigned i = 0; i < PV_STOREOP_COPY_PAIR; i++)
        assert_ok(keep(6, 15, 6, later + i, 10));
    assert_int_equal(keep(6, 15, 6, later + PV_STOREOP_COPY_PAIR, 10), PV_ERR_REFUSED);
    count_copies(15, t, counts);
    assert_int_equal(counts[6], PV_STOREOP_COPY_PAIR);
    assert_int_equal(counts[1], PV_STOREOP_COPY_TO / 2 - PV_STOREOP_COPY_PAIR);
    for (uint8_t from = 2; from <= 5; from++)
        assert_int_equal(counts[from], PV_STOREOP_COPY_PAIR);
    /* Its first copy is the first still. */
    struct pv_storeop_result res = run_copy(PV_STOREOP_COLLECT, m, 0);
    assert_int_equal(res.collected->from[0], 1);
    free(res.collected);
}

/* Until nobody has more than who comes would have; and nobody gives way in vain. */
static void equal_parts_stay(void)
{
    enum {
        SMALL = 200
    };
    const uint64_t t = 9 * PV_STOREOP_COPY_S;
    const size_t part = PV_STOREOP_COPY_TO_BYTES / 8;
    unsigned counts[256];
    pass_days(7 * PV_STOREOP_COPY_S, 2 * PV_STOREOP_COPY_S / 86400);
    for (uint8_t from = 1; from <= 8; from++)
        assert_ok(keep(from, 16, from, t, part));
    assert_int_equal(keep(9, 16, 9, t, part), PV_ERR_REFUSED);
    assert_ok(keep(9, 16, 9, t, part - 1));
    count_copies(16, t, counts);
    assert_int_equal(counts[9], 1);
    /* A sender of many small ones has most, but there is no room for a large one in their place. */
    for (unsigned i = 0; i < SMALL; i++)
        assert_ok(keep(1, 17, 1, t + i, 1));
    for (uint8_t from = 2; from <= 32; from++)
        assert_ok(keep(from, 17, from, t, part / 4));
    assert_ok(keep(33, 17, 33, t, part / 4 - SMALL));
    assert_int_equal(keep(34, 17, 34, t, part / 2), PV_ERR_REFUSED);
    count_copies(17, t, counts);
    assert_int_equal(counts[1], SMALL);
}

static void expect_dropped(const uint8_t network[static PV_NETWORK_ID_LEN])
{
    struct pv_storeop_copy what = {.wall_s = 0};
    memcpy(what.network, network, sizeof(what.network));
    assert_ok(run_copy(PV_STOREOP_DROP, what, 0).status);
}

PV_TEST(a_network_is_dropped_whole_and_no_other)
{
    static const uint8_t copies_of[PV_NETWORK_ID_LEN] = {1};
    uint64_t n = 0;
    disk = open_ok();
    assert_ok(run(disk, network_op(1)).status);
    assert_ok(keep(1, 2, 1, 0, 100));
    assert_ok(run(disk, append_op(1, 1, 1, 1, 2)).status);
    expect_dropped(world->created.network_id);
    assert_int_equal(all_of(disk).n, 0);
    assert_int_equal(chain_of(disk, 1, 1).n, 2);
    assert_int_equal(next(2, &n, false, 0), 1);
    assert_ok(run(disk, network_op(20)).status);
    expect_dropped(copies_of);
    n = 0;
    assert_int_equal(next(2, &n, false, 0), 0);
    assert_int_equal(all_of(disk).n, 4);
    assert_int_equal(chain_of(disk, 1, 1).n, 0);
    disk = pv_coordstore_close(disk);
}

PV_TEST(a_network_may_have_less_room_for_copies)
{
    struct pv_storeop_copy m = {.network = {1}, .from = {1}, .to = {2}, .room = 250};
    disk = open_ok();
    for (uint8_t i = 1; i <= 3; i++) {
        m.key[0] = i;
        assert_int_equal(run_copy(PV_STOREOP_KEEP, m, 100).status, i < 3 ? PV_OK : PV_ERR_REFUSED);
    }
    m.network[0] = 2; /* another one's */
    assert_ok(run_copy(PV_STOREOP_KEEP, m, 100).status);
    /* Of this room, too, each sender comes to an equal part, to whomever it writes. */
    m.network[0] = 1;
    for (uint8_t to = 4; to <= 5; to++) {
        m.from[0] = 3;
        m.to[0] = m.key[0] = to;
        assert_int_equal(run_copy(PV_STOREOP_KEEP, m, 100).status, to < 5 ? PV_OK : PV_ERR_REFUSED);
    }
    unsigned counts[256];
    count_copies(2, 0, counts);
    assert_true(counts[1] == 1 && counts[2] == 0 && counts[3] == 0); /* the newest went */
    count_copies(4, 0, counts);
    assert_int_equal(counts[4], 1);
    m.from[0] = 4; /* no more than who has most */
    assert_int_equal(run_copy(PV_STOREOP_KEEP, m, 100).status, PV_ERR_REFUSED);
    assert_ok(run_copy(PV_STOREOP_KEEP, m, 99).status);
    disk = pv_coordstore_close(disk);
}

/* The sums are put there, as a gigabyte of copies would take long. */
PV_TEST(on_a_full_disk_the_network_with_most_gives_way)
{
    struct pv_storeop_copy m = {.network = {2}, .from = {1}, .to = {2}};
    unsigned counts[256];
    disk = open_ok();
    for (uint8_t i = 0; i < 3; i++)
        assert_ok(keep(5 + i / 2, 2, 5 + i / 2, i, 100));
    set_bytes(1, PV_STOREOP_COPY_BYTES - 200);
    for (m.key[0] = 1; m.key[0] <= 3; m.key[0]++)
        assert_ok(run_copy(PV_STOREOP_KEEP, m, 100).status);
    count_copies(2, 2, counts);
    assert_true(counts[5] == 1 && counts[6] == 1);
    assert_int_equal(keep(6, 2, 7, 2, 100),
                     PV_ERR_REFUSED); /* of its own network nobody has more */
    set_bytes(1, 300);
    set_bytes(2, PV_STOREOP_COPY_BYTES - 300);
    assert_ok(keep(6, 2, 7, 2, 100));
    set_bytes(1, PV_STOREOP_COPY_BYTES / 32);
    set_bytes(2, PV_STOREOP_COPY_BYTES / 32);
    set_bytes(3, PV_STOREOP_COPY_BYTES - PV_STOREOP_COPY_BYTES / 16);
    assert_int_equal(keep(6, 2, 8, 2, 100), PV_ERR_REFUSED); /* sums that no copies stand behind */
    disk = pv_coordstore_close(disk);
}

/* A thousand small copies would have to go, and not even then would there be room. Senders ask a
 * hundred times a second, and all that others store waits behind each: it took seconds when one
 * copy after the other was deleted, and put back. */
PV_TEST(a_copy_that_is_refused_costs_little)
{
    enum {
        SMALL = PV_STOREOP_COPY_TO / 2,
        TIMES = 20,
    };
    const size_t part = PV_STOREOP_COPY_TO_BYTES / 8;
    uint64_t n = 0;
    disk = open_ok();
    for (unsigned i = 0; i < SMALL; i++)
        assert_ok(keep(1, 18, 1, i, 1));
    for (uint8_t from = 2; from <= 8; from++)
        assert_ok(keep(from, 18, from, 0, part));
    for (unsigned i = 0; i < 180; i++)
        assert_ok(keep(9, 18, 9, i, 8300));
    assert_ok(keep(10, 18, 10, 0, part - 180 * 8300 - SMALL));
    const pv_ns begun = pv_clock_now();
    for (unsigned i = 0; i < TIMES; i++)
        assert_int_equal(keep(9, 18, 9, 200 + i, 32768), PV_ERR_REFUSED);
    assert_true(pv_clock_now() - begun < PV_S(15));
    assert_int_equal(next(18, &n, false, 0), 1); /* nobody gave way */
    for (unsigned i = 1; i < SMALL; i++)
        assert_int_equal(next(18, &n, false, 0), 1);
    assert_int_equal(next(18, &n, false, 0), 2);
    disk = pv_coordstore_close(disk);
}

/* The newest of who has most give way, whatever their size, as many as it takes and no more. */
PV_TEST(as_many_give_way_as_it_takes)
{
    const size_t part = PV_STOREOP_COPY_TO_BYTES / 8;
    unsigned counts[256];
    disk = open_ok();
    assert_ok(keep(1, 19, 1, 0, 2 * part - 100));
    for (unsigned i = 0; i < 100; i++)
        assert_ok(keep(1, 19, 1, 1 + i, 1));
    for (uint8_t from = 2; from <= 7; from++)
        assert_ok(keep(from, 19, from, 0, part));
    assert_ok(keep(8, 19, 8, 0, 50));
    count_copies(19, 0, counts);
    assert_int_equal(counts[1], 51);
    assert_ok(keep(8, 19, 8, 1, 51));
    count_copies(19, 0, counts);
    assert_int_equal(counts[1], 0); /* the large one was the newest at last */
    assert_int_equal(counts[8], 2);
    disk = pv_coordstore_close(disk);
}

PV_TEST(copies_wait_until_they_are_taken)
{
    disk = open_ok();
    copies_wait_in_order_until_they_are_taken();
    disk = pv_coordstore_close(disk);
}

PV_TEST_WHOLE(copies_have_quotas)
{
    disk = open_ok();
    quotas_of_copies_hold_at_their_edge();
    one_sender_leaves_room_for_others();
    who_has_most_gives_way_to_who_has_less();
    equal_parts_stay();
    disk = pv_coordstore_close(disk);
}

PV_TEST(uses_taken_by_repaired_statements_count)
{
    struct pv_coordstore *s = open_ok();
    struct cw_node a = cw_node_make(world);
    struct cw_node b = cw_node_make(world);
    struct pv_storeop *op = member_op(&a, 1, 0, 1);
    op->kind = PV_STOREOP_PUT; /* a node brought it back, with its receipt */
    assert_ok(run(s, op).status);
    assert_int_equal(run(s, member_op(&b, 2, 0, 1)).status, PV_ERR_EXPIRED);
    pv_coordstore_close(s);
}

static struct pv_storeop *forget_op(const struct pv_storeop *of)
{
    struct pv_storeop *op = NULL;
    struct pv_storerow row = {.n = 0};
    memcpy(row.network, of->rows[0].network, sizeof(row.network));
    memcpy(row.hash, of->rows[0].hash, sizeof(row.hash));
    assert_ok(pv_storeop_new(PV_STOREOP_PUT, 1, 0, &op));
    assert_ok(pv_storeop_add(op, &row));
    return op;
}

/* A use is a node that stands there, however often and in how many statements. */
PV_TEST(uses_follow_the_statements_that_are_there)
{
    struct pv_coordstore *s = open_ok();
    struct cw_node a = cw_node_make(world), b = cw_node_make(world), c = cw_node_make(world);
    struct pv_storeop *first = member_op(&a, 1, 0, 2), *second = member_op(&a, 2, 7, 2);
    struct pv_storeop *gone[2] = {forget_op(first), forget_op(second)};
    second->min_serial = 5;
    assert_ok(run(s, first).status);
    assert_ok(run(s, second).status);
    struct pv_storeop *again = member_op(&a, 1, 0, 2);
    again->kind = PV_STOREOP_PUT;
    again->rows[0].n = 9; /* brought back although it is there */
    assert_ok(run(s, again).status);
    assert_ok(run(s, member_op(&b, 3, 0, 2)).status);
    assert_int_equal(run(s, member_op(&c, 4, 0, 2)).status, PV_ERR_EXPIRED);
    assert_ok(run(s, gone[0]).status);
    assert_int_equal(run(s, member_op(&c, 5, 0, 2)).status, PV_ERR_EXPIRED);
    assert_ok(run(s, gone[1]).status);
    s = pv_coordstore_close(s);
    s = open_ok();
    assert_ok(run(s, member_op(&c, 6, 0, 2)).status);
    assert_int_equal(run(s, member_op(&a, 7, 0, 2)).status, PV_ERR_EXPIRED);
    pv_coordstore_close(s);
}

PV_TEST(of_many_redemptions_in_one_transaction_the_first_win)
{
    struct pv_coordstore *s = open_ok();
    struct pv_storeop *ops[10];
    struct pv_storeop_result res[10];
    for (uint64_t i = 0; i < 10; i++) {
        struct cw_node n = cw_node_make(world);
        ops[i] = member_op(&n, i + 1, 0, 3);
    }
    pv_coordstore_run(s, ops, res, 10);
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(res[i].status, i < 3 ? PV_OK : PV_ERR_EXPIRED);
        pv_storeop_free(ops[i]);
    }
    assert_int_equal(all_of(s).n, 3);
    pv_coordstore_close(s);
}

PV_TEST(one_bad_operation_does_not_undo_its_neighbours)
{
    struct pv_coordstore *s = open_ok();
    struct cw_node a = cw_node_make(world);
    struct cw_node b = cw_node_make(world);
    struct pv_storeop *ops[3] = {member_op(&a, 1, 0, 9), network_op(1), member_op(&b, 9, 0, 9)};
    struct pv_storeop_result res[3];
    pv_coordstore_run(s, ops, res, 3); /* the second takes a place that is taken */
    assert_ok(res[0].status);
    assert_true(res[1].status != PV_OK && res[1].error[0] != '\0');
    assert_ok(res[2].status);
    for (size_t i = 0; i < 3; i++)
        pv_storeop_free(ops[i]);
    assert_int_equal(all_of(s).n, 2);
    pv_coordstore_close(s);
}
