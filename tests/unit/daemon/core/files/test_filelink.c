/* SPDX-License-Identifier: MIT */
/* Files between two machines: every step, and whoever tries to disturb it. */
#include <stdio.h>

#include "daemon/core/files/filelink.h"
#include "tests/unit/daemon/core/chat/said.h"
#include "tests/unit/daemon/core/files/filelink_world.h"
#include "tests/unit/test_util.h"

/* --- tests --------------------------------------------------------------------------------- */

PV_TEST_WORLD(begin, end);

PV_TEST(a_file_is_offered_accepted_and_arrives)
{
    uint32_t a = must_offer(0, "photo.jpg", 5000);
    turns(3);
    const struct pv_file_entry *f = pv_filelink_at(w.side[1].link, 0);
    assert_non_null(f);
    assert_string_equal(f->name, "photo.jpg");
    assert_string_equal(f->peer_name, "alice");
    assert_int_equal(f->size, 5000);
    assert_int_equal(f->state, PV_FILE_OFFERED);
    turns(50);
    assert_int_equal(f->state, PV_FILE_OFFERED);
    assert_int_equal(file(0, a)->state, PV_FILE_OFFERED);
    assert_int_equal(pv_filelink_accept(w.side[1].link, f->number, w.now), PV_OK);
    turns(200);
    assert_int_equal(f->state, PV_FILE_DONE);
    assert_int_equal(file(0, a)->state, PV_FILE_DONE);
    assert_int_equal(file(0, a)->done, 5000);
    assert_int_equal(count_open(0), 0);
    assert_true(w.side[1].whole[f->number]);
    assert_int_equal(pv_filelink_saved(w.side[1].link, f->number, w.now), PV_OK);
    turns(2);
    assert_false(w.side[1].whole[f->number]);
    assert_int_equal(pv_filelink_saved(w.side[1].link, f->number, w.now), PV_ERR_STATE);
    assert_int_equal(pv_filelink_accept(w.side[1].link, 99, w.now), PV_ERR_NOT_FOUND);
}

PV_TEST(a_rule_accepts_up_to_its_size)
{
    w.side[1].auto_max = 1000;
    uint32_t small = must_offer(0, "small", 1000), large = must_offer(0, "large", 1001);
    uint32_t empty = must_offer(0, "empty", 0);
    turns(100);
    assert_int_equal(file(0, small)->state, PV_FILE_DONE);
    assert_int_equal(file(0, empty)->state, PV_FILE_DONE);
    assert_int_equal(file(0, large)->state, PV_FILE_OFFERED);
    assert_int_equal(count_open(0), 1);
}

static void change_rules(int i, bool comes, bool goes)
{
    w.side[i].denied[0] = !comes;
    w.side[i].denied[1] = !goes;
    pv_filelink_rules_changed(w.side[i].link, w.now);
}

PV_TEST(files_go_the_way_that_rules_let_them)
{
    w.side[0].auto_max = w.side[1].auto_max = PV_FILE_SIZE_MAX;
    change_rules(1, false, true);
    uint32_t a = must_offer(0, "denied", 10), b = must_offer(1, "allowed", 10);
    turns(100);
    assert_int_equal(file(0, a)->state, PV_FILE_REFUSED);
    assert_int_equal(file(0, a)->why, PV_FILE_WHY_RULES);
    assert_int_equal(file(1, b)->state, PV_FILE_DONE);
    assert_null(pv_filelink_at(w.side[1].link, 1)); /* no trace of what was denied */
}

/* Whichever of both knows the rule first. */
PV_TEST(a_rule_stops_what_moves_and_its_end_goes_on)
{
    w.side[1].auto_max = PV_FILE_SIZE_MAX;
    uint32_t a = must_offer(0, "big", 100000);
    turns(20);
    uint32_t in = pv_filelink_at(w.side[1].link, 0)->number;
    for (int knows = 0; knows < 2; knows++) {
        change_rules(knows, knows == 0, knows == 1);
        turns(5);
        uint64_t had = w.side[1].part[in];
        turns(100);
        assert_true(had > 0 && had < 100000);
        assert_int_equal(w.side[1].part[in], had);
        assert_int_equal(file(1, in)->why, PV_FILE_WHY_RULES);
        change_rules(knows, true, true);
        turns(100);
        assert_true(w.side[1].part[in] > had);
    }
    turns(1000);
    assert_int_equal(file(0, a)->state, PV_FILE_DONE);
}

PV_TEST(refused_and_withdrawn_reach_the_other_side)
{
    uint32_t a = must_offer(0, "no", 10), b = must_offer(0, "never mind", 10);
    turns(3);
    uint32_t in_a = pv_filelink_at(w.side[1].link, 0)->number;
    uint32_t in_b = pv_filelink_at(w.side[1].link, 1)->number;
    assert_int_equal(pv_filelink_stop(w.side[1].link, in_a, w.now), PV_OK);
    assert_int_equal(pv_filelink_stop(w.side[0].link, b, w.now), PV_OK);
    turns(3);
    assert_int_equal(file(0, a)->state, PV_FILE_REFUSED);
    assert_int_equal(file(1, in_b)->state, PV_FILE_WITHDRAWN);
    assert_int_equal(pv_filelink_stop(w.side[1].link, in_a, w.now), PV_ERR_STATE);
    assert_int_equal(pv_filelink_accept(w.side[1].link, in_b, w.now), PV_ERR_STATE);
    assert_int_equal(count_open(0), 0);
}

PV_TEST(a_restarted_sender_waits_for_the_same_file_and_goes_on)
{
    w.side[1].auto_max = PV_FILE_SIZE_MAX;
    uint32_t a = must_offer(0, "big", 100000);
    turns(20);
    uint32_t in = pv_filelink_at(w.side[1].link, 0)->number;
    uint64_t had = w.side[1].part[in];
    assert_true(had > 0 && had < 100000);
    kill_side(0);
    tell_presence();
    start(0);
    tell_presence();
    turns(100);
    assert_int_equal(file(0, a)->why, PV_FILE_WHY_ABSENT);
    assert_int_equal(file(1, in)->why, PV_FILE_WHY_ABSENT);
    assert_int_equal(must_offer(0, "big", 100000), a);
    turns(5);
    assert_true(file(1, in)->running);
    assert_true(w.side[1].part[in] >= had);
    turns(1000);
    assert_int_equal(file(0, a)->state, PV_FILE_DONE);
    /* Another size or stamp is another file. */
    assert_int_not_equal(must_offer(0, "big", 100000), a);
}

/* After a restart its word may come before anything else is heard of it. */
PV_TEST(an_offer_says_where_its_sender_is)
{
    struct pv_file_notice n = {.kind = PV_FILE_OFFER};
    uint8_t body[PV_FILE_NOTICE_MAX];
    struct pv_fileop op = {.type = PV_FILEOP_DROP};
    size_t len = 0;
    w.side[1].auto_max = PV_FILE_SIZE_MAX;
    must_offer(0, "big", 100000);
    turns(20);
    kill_side(1);
    start(1);
    const struct pv_file_entry *e = pv_filelink_at(w.side[1].link, 0);
    memcpy(n.id, e->id, sizeof(n.id));
    memcpy(n.name, e->name, sizeof(n.name));
    n.size = e->size;
    assert_int_equal(pv_file_notice_build(&n, body, &len), PV_OK);
    struct pv_filelink_peer alice = peer_of(1);
    alice.addr = pv_addr4(10, 66, 0, 7, 0);
    pv_filelink_handle_notice(w.side[1].link, &alice, pv_view(body, len), w.now);
    while (op.type != PV_FILEOP_FETCH)
        assert_int_equal(pv_fifo_take(&w.side[1].ops, &op), PV_OK);
    const struct pv_addr there = pv_addr4(10, 66, 0, 7, PV_FILE_PORT);
    assert_true(pv_addr_equal(&op.addr, &there));
}

/* Until the disk had it nothing of it is known to the next life. */
static void end_before_anything_is_kept(int i)
{
    kill_side(i);
    w.side[i].saved_len = 0;
    tell_presence();
    start(i);
    tell_presence();
}

static size_t count_files(int i)
{
    size_t n = 0;
    while (pv_filelink_at(w.side[i].link, n) != NULL)
        n++;
    return n;
}

PV_TEST(a_file_offered_by_its_id_again_comes_once)
{
    static const uint8_t id[PV_FILE_ID_LEN] = {7};
    uint32_t a = 0, again = 0;
    w.side[1].auto_max = PV_FILE_SIZE_MAX;
    assert_int_equal(offer_as(0, "big", 3000, id, &a), PV_OK);
    turns(50);
    assert_int_equal(file(0, a)->state, PV_FILE_DONE);
    assert_int_equal(offer_as(0, "big", 3000, id, &again), PV_OK);
    assert_int_equal(again, a);
    assert_int_equal(offer_as(0, "big", 3001, id, &again), PV_ERR_EXISTS);
    end_before_anything_is_kept(0);
    assert_int_equal(offer_as(0, "big", 3000, id, &a), PV_OK);
    turns(50);
    assert_int_equal(file(0, a)->state, PV_FILE_DONE);
    assert_int_equal(count_files(1), 1);
    assert_int_equal(count_open(0), 0);
}

PV_TEST(a_file_that_its_sender_forgot_comes_when_it_is_offered_again)
{
    static const uint8_t id[PV_FILE_ID_LEN] = {7};
    for (int yes = 0; yes < 2; yes++) {
        uint32_t a = 0;
        end(NULL);
        begin(NULL);
        w.side[1].auto_max = PV_FILE_SIZE_MAX;
        assert_int_equal(offer_as(0, "big", 100000, id, &a), PV_OK);
        turns(20);
        uint32_t in = pv_filelink_at(w.side[1].link, 0)->number;
        assert_true(file(1, in)->running);
        end_before_anything_is_kept(0);
        turns(50); /* it is asked, and does not know */
        assert_int_equal(file(1, in)->state, PV_FILE_WITHDRAWN);
        w.side[1].auto_max = yes == 1 ? PV_FILE_SIZE_MAX : 0;
        assert_int_equal(offer_as(0, "big", 100000, id, &a), PV_OK);
        turns(5);
        assert_int_equal(file(1, in)->state, yes == 1 ? PV_FILE_ACCEPTED : PV_FILE_OFFERED);
        if (yes == 0)
            assert_int_equal(pv_filelink_accept(w.side[1].link, in, w.now), PV_OK);
        turns(1500);
        assert_int_equal(file(0, a)->state, PV_FILE_DONE);
        assert_int_equal(file(1, in)->state, PV_FILE_DONE);
        assert_int_equal(count_files(1), 1);
    }
}

PV_TEST(nothing_is_fetched_of_what_the_disk_does_not_know)
{
    w.side[1].auto_max = PV_FILE_SIZE_MAX;
    w.side[1].full = true;
    uint32_t a = must_offer(0, "big", 3000);
    turns(50);
    uint32_t in = pv_filelink_at(w.side[1].link, 0)->number;
    assert_int_equal(file(1, in)->state, PV_FILE_ACCEPTED);
    assert_false(file(1, in)->running);
    assert_int_equal(file(1, in)->done, 0);
    w.side[1].full = false;
    keep(&w.side[1]);
    turns(50);
    assert_int_equal(file(0, a)->state, PV_FILE_DONE);
}

PV_TEST(a_full_disk_is_told_and_tried_again)
{
    w.side[1].auto_max = PV_FILE_SIZE_MAX;
    w.full = 1;
    uint32_t a = must_offer(0, "big", 3000);
    turns(20);
    uint32_t in = pv_filelink_at(w.side[1].link, 0)->number;
    assert_int_equal(file(0, a)->why, PV_FILE_WHY_DISK_FULL);
    assert_int_equal(file(1, in)->why, PV_FILE_WHY_DISK_FULL);
    assert_int_equal(file(1, in)->state, PV_FILE_ACCEPTED);
    assert_int_equal(pv_filelink_accept(w.side[1].link, in, w.now),
                     PV_OK); /* not in a minute: now */
    turns(50);
    assert_int_equal(file(0, a)->state, PV_FILE_DONE);
}

PV_TEST(a_flood_of_offers_is_refused_and_hurts_nobody)
{
    struct pv_file_notice n = {.kind = PV_FILE_OFFER, .size = 1, .name = "x"};
    const struct pv_filelink_peer from = peer_of(1);
    size_t known = 0;
    for (unsigned i = 0; i < 1000; i++) {
        uint8_t buf[PV_FILE_NOTICE_MAX];
        size_t len;
        n.id[0] = (uint8_t)i;
        n.id[1] = (uint8_t)(i >> 8);
        assert_int_equal(pv_file_notice_build(&n, buf, &len), PV_OK);
        pv_filelink_handle_notice(w.side[1].link, &from, pv_view(buf, len), w.now);
    }
    while (pv_filelink_at(w.side[1].link, known) != NULL)
        known++;
    assert_int_equal(known, PV_FILELINK_MAX_OFFERS);
    turns(5);
    assert_int_equal(pv_filelink_accept(w.side[1].link, 1, w.now), PV_OK);
}

/* A notice of side 0 for side 1. */
static void tell_1(const struct pv_file_notice *n)
{
    const struct pv_filelink_peer from = peer_of(1);
    uint8_t buf[PV_FILE_NOTICE_MAX];
    size_t len;
    assert_int_equal(pv_file_notice_build(n, buf, &len), PV_OK);
    pv_filelink_handle_notice(w.side[1].link, &from, pv_view(buf, len), w.now);
}

PV_TEST(a_trusted_peer_fills_neither_the_table_nor_all_transfers)
{
    struct pv_file_notice n = {.kind = PV_FILE_OFFER, .size = 1, .name = "x"};
    size_t known = 0, running = 0;
    const struct pv_file_entry *f;
    w.side[1].auto_max = 100;
    for (unsigned i = 0; i < PV_FILELINK_MAX; i++) {
        n.id[0] = (uint8_t)i;
        n.id[1] = (uint8_t)(i >> 8);
        tell_1(&n);
    }
    keep(&w.side[1]);
    while ((f = pv_filelink_at(w.side[1].link, known)) != NULL) {
        known++;
        running += f->running;
    }
    assert_int_equal(known, PV_FILELINK_MAX_OF_PEER);
    assert_int_equal(running, PV_FILELINK_MAX_PEER_RUNNING);
}

PV_TEST(a_flood_of_notices_is_not_one_of_writes)
{
    unsigned saves = 0;
    for (unsigned i = 0; i < 10000; i++) {
        struct pv_file_notice n = {.kind = PV_FILE_OFFER, .size = 1, .name = "x", .id = {1}};
        n.kind = i % 2 == 0 ? PV_FILE_OFFER : PV_FILE_WITHDRAW;
        n.id[1] = (uint8_t)(i / 2);
        n.id[2] = (uint8_t)(i / 512);
        tell_1(&n);
        saves += pv_filelink_take_dirty(w.side[1].link, w.now);
    }
    assert_in_range(saves, 1, 100);
    assert_in_range(pv_filelink_next_timeout(w.side[1].link), w.now, w.now + PV_MS(100));
    w.now += PV_MS(100); /* and the last state is not forgotten */
    assert_true(pv_filelink_take_dirty(w.side[1].link, w.now));
    assert_false(pv_filelink_take_dirty(w.side[1].link, w.now));
}

PV_TEST(a_table_full_of_living_files_takes_no_more_and_old_ones_give_way)
{
    uint32_t number = 0;
    for (unsigned i = 0; i < PV_FILELINK_MAX; i++)
        assert_int_equal(must_offer(0, "x", i), i + 1);
    assert_int_equal(offer(0, "x", 10000, &number), PV_ERR_LIMIT);
    assert_int_equal(pv_filelink_stop(w.side[0].link, 7, w.now), PV_OK);
    assert_int_equal(offer(0, "x", 10000, &number), PV_OK);
    assert_null(pv_filelink_find(w.side[0].link, 7));
    assert_int_equal(number, PV_FILELINK_MAX + 1);
    uint8_t *buf = malloc(PV_FILELINK_SAVE_MAX);
    assert_non_null(buf);
    uint64_t save;
    assert_true(pv_filelink_save(w.side[0].link, buf, &save) <= PV_FILELINK_SAVE_MAX);
    free(buf);
}

PV_TEST(only_the_receiver_gets_a_file)
{
    const uint8_t eve[PV_SIGN_PK_LEN] = {66};
    uint8_t get[PV_FILE_GET_LEN];
    struct pv_fileop op;
    uint32_t sid = 0;
    uint32_t a = must_offer(0, "secret", 10);
    pv_file_get_build(file(0, a)->id, 0, get);
    while (pv_fifo_take(&w.side[0].ops, &op) == PV_OK)
        continue;
    assert_int_equal(pv_filelink_accepted(w.side[0].link, eve, w.now, &sid), PV_OK);
    pv_filelink_handle_bytes(w.side[0].link, sid, pv_view(get, sizeof(get)), w.now);
    assert_int_equal(pv_fifo_take(&w.side[0].ops, &op), PV_OK);
    assert_int_equal(op.type, PV_FILEOP_ANSWER);
    assert_int_equal(op.why, PV_FILE_WHY_GONE);
    assert_int_equal(pv_fifo_take(&w.side[0].ops, &op), PV_ERR_AGAIN);
}

/* As for a room: one id, and an offer to each of its members. */
PV_TEST(an_id_offered_to_many_is_a_file_for_each_and_eight_move_at_once)
{
    enum {
        MEMBERS = PV_FILELINK_MAX_RUNNING + 2
    };
    static const uint8_t id[PV_FILE_ID_LEN] = {7};
    struct pv_filelink *l = w.side[0].link;
    uint8_t get[PV_FILE_GET_LEN], pk[PV_SIGN_PK_LEN] = {0};
    uint32_t numbers[MEMBERS], sid = 0;
    size_t served = 0, busy = 0;
    struct pv_fileop op;
    pv_file_get_build(id, 0, get);
    for (uint8_t i = 0; i < MEMBERS; i++) {
        pk[0] = (uint8_t)(100 + i);
        const struct pv_filelink_offer o = {
            .peer = {.pk = pk, .name = "member", .addr = {.family = PV_AF_INET}, .online = true},
            .name = pv_view("plan", 4),
            .size = 9,
            .handle = i,
            .id = id};
        assert_int_equal(pv_filelink_offer(l, &o, w.now, &numbers[i]), PV_OK);
        assert_true(i == 0 || numbers[i] != numbers[i - 1]);
    }
    for (uint8_t i = 0; i < MEMBERS; i++) {
        pk[0] = (uint8_t)(100 + i);
        assert_int_equal(pv_filelink_accepted(l, pk, w.now, &sid), PV_OK);
        pv_filelink_handle_bytes(l, sid, pv_view(get, sizeof(get)), w.now);
        while (pv_fifo_take(&w.side[0].ops, &op) == PV_OK) {
            served += op.type == PV_FILEOP_SERVE && op.handle == i;
            busy += op.type == PV_FILEOP_ANSWER && op.why == PV_FILE_WHY_BUSY;
        }
    }
    assert_int_equal(served, PV_FILELINK_MAX_RUNNING);
    assert_int_equal(busy, 2);
    /* One ends, and no other. */
    assert_int_equal(pv_filelink_stop(l, numbers[1], w.now), PV_OK);
    assert_int_equal(file(0, numbers[1])->state, PV_FILE_WITHDRAWN);
    assert_int_equal(file(0, numbers[2])->state, PV_FILE_ACCEPTED); /* it asked */
}

/* Alice's secret for bob and his for her. */
static void tell_secrets(struct pv_linkkeys *const keys[2], struct said said[2])
{
    struct said_one tx;
    for (int i = 0; i < 4; i++) {
        while (said_take(&said[i % 2], &tx))
            (void)pv_linkkeys_take(keys[1 - i % 2], w.side[i % 2].pk,
                                   pv_view(tx.body, sizeof(tx.body)), w.now);
    }
}

/* Any user of bob's machine could ask alice, or answer her, in its stead. */
PV_TEST(nothing_moves_while_the_peers_daemon_is_older_than_the_proof)
{
    struct pv_linkkeys_seen seen = {.described = true, .there = true};
    struct pv_linkkeys *keys[2];
    struct said said[2] = {0};
    for (int i = 0; i < 2; i++) {
        keys[i] = said_new(&said[i], &w.rng, w.side[i].pk);
        w.side[i].auto_max = PV_FILE_SIZE_MAX;
    }
    kill_side(0);
    w.side[0].keys = keys[0];
    start(0);
    (void)pv_linkkeys_look(keys[0], w.side[1].pk, &seen, w.now);
    assert_int_equal(pv_linkkeys_state(keys[0], w.side[1].pk), PV_LINKKEYS_OLD);
    tell_presence();
    uint32_t out = must_offer(0, "hers", 10), in = must_offer(1, "his", 10);
    turns(600);
    assert_int_equal(pv_filelink_at(w.side[1].link, 1)->state, PV_FILE_ACCEPTED);
    assert_int_not_equal(file(0, out)->state, PV_FILE_DONE);
    assert_int_not_equal(file(1, in)->state, PV_FILE_DONE);
    /* He updates: she fetches. A request without a proof gets nothing of hers all the same. */
    seen.capable = true;
    (void)pv_linkkeys_look(keys[0], w.side[1].pk, &seen, w.now);
    tell_secrets(keys, said);
    assert_int_equal(pv_linkkeys_state(keys[0], w.side[1].pk), PV_LINKKEYS_CONFIRMED);
    tell_presence();
    turns(600);
    assert_int_equal(file(1, in)->state, PV_FILE_DONE);
    assert_int_not_equal(file(0, out)->state, PV_FILE_DONE);
    kill_side(0);
    for (int i = 0; i < 2; i++)
        said_free(&said[i], keys[i]);
}

PV_TEST(connections_that_do_not_ask_are_closed_and_few)
{
    struct pv_fileop op;
    uint32_t sid = 0;
    unsigned closed = 0;
    for (unsigned i = 0; i < PV_FILELINK_MAX_PEER_CONNS; i++)
        assert_int_equal(pv_filelink_accepted(w.side[0].link, w.side[1].pk, w.now, &sid), PV_OK);
    /* One more takes the place of the oldest. */
    assert_int_equal(pv_filelink_accepted(w.side[0].link, w.side[1].pk, w.now, &sid), PV_OK);
    assert_int_equal(pv_fifo_take(&w.side[0].ops, &op), PV_OK);
    assert_int_equal(op.type, PV_FILEOP_CLOSE);
    w.now += PV_S(PV_FILELINK_ASK_S);
    pv_filelink_handle_timeout(w.side[0].link, w.now);
    while (pv_fifo_take(&w.side[0].ops, &op) == PV_OK)
        closed += op.type == PV_FILEOP_CLOSE;
    assert_int_equal(closed, PV_FILELINK_MAX_PEER_CONNS);
    assert_int_equal(pv_filelink_accepted(w.side[0].link, w.side[1].pk, w.now, &sid), PV_OK);
    pv_filelink_handle_bytes(w.side[0].link, sid, pv_view("not what we speak, and too long.", 33),
                             w.now);
    assert_int_equal(pv_fifo_take(&w.side[0].ops, &op), PV_OK);
    assert_int_equal(op.type, PV_FILEOP_CLOSE);
}

/* How many of these connections the link closes until it has nothing more to do. */
static size_t count_closed(const uint32_t *sids, size_t n)
{
    struct pv_fileop op;
    size_t closed = 0;
    while (pv_fifo_take(&w.side[0].ops, &op) == PV_OK) {
        assert_int_equal(op.type, PV_FILEOP_CLOSE);
        for (size_t i = 0; i < n; i++)
            closed += op.sid == sids[i];
    }
    return closed;
}

/* A few members may take all places there are: the others come in all the same, and stay. */
PV_TEST(members_with_many_connections_keep_nobody_out)
{
    enum {
        HOSTILE = PV_FILELINK_MAX_CONNS / PV_FILELINK_MAX_PEER_CONNS
    };
    uint8_t pk[HOSTILE + 1][PV_SIGN_PK_LEN] = {{0}};
    uint32_t theirs[PV_FILELINK_MAX_CONNS], sid = 0, honest = 0;
    for (size_t i = 0; i < PV_FILELINK_MAX_CONNS; i++) {
        pk[i % HOSTILE][0] = (uint8_t)(i % HOSTILE + 1);
        assert_int_equal(
            pv_filelink_accepted(w.side[0].link, pk[i % HOSTILE], w.now + i, &theirs[i]), PV_OK);
    }
    assert_int_equal(count_closed(theirs, PV_FILELINK_MAX_CONNS), 0);
    pk[HOSTILE][0] = 0xff;
    assert_int_equal(pv_filelink_accepted(w.side[0].link, pk[HOSTILE], w.now + 100, &honest),
                     PV_OK);
    assert_int_equal(count_closed(theirs, PV_FILELINK_MAX_CONNS), 1);
    for (size_t i = 0; i < PV_FILELINK_MAX_CONNS; i++) {
        assert_int_equal(
            pv_filelink_accepted(w.side[0].link, pk[i % HOSTILE], w.now + 200 + i, &sid), PV_OK);
        assert_int_equal(count_closed(&honest, 1), 0);
    }
}

PV_TEST(a_corrupt_file_fails_at_the_third_time)
{
    w.side[1].auto_max = PV_FILE_SIZE_MAX;
    uint32_t a = must_offer(0, "x", 1000000);
    turns(5);
    uint32_t in = pv_filelink_at(w.side[1].link, 0)->number;
    for (unsigned i = 0; i < PV_FILELINK_MAX_CORRUPT; i++) {
        assert_int_equal(file(1, in)->state, PV_FILE_ACCEPTED);
        for (size_t n = 0; n < MAX_XFERS; n++)
            if (w.xfers[n].used)
                finish(&w.xfers[n], PV_FILE_WHY_CORRUPT);
        turns(30);
    }
    assert_int_equal(file(1, in)->state, PV_FILE_FAILED);
    assert_int_equal(file(0, a)->state, PV_FILE_FAILED);
}

/* --- filelink life --------------------------------------------------------------------------- */

/* Files between two machines through 100 lives of kills, cuts, lost notices and slow disks. */

/* A send-file: it offers again when the daemon was away, by the same id. */
struct sending {
    int from;
    char name[8];
};

static void offer_again(const struct sending *s, uint8_t number)
{
    const uint8_t id[PV_FILE_ID_LEN] = {1, number};
    uint32_t unused;
    if (w.side[s->from].up)
        assert_int_equal(offer_as(s->from, s->name, number % 2 == 0 ? 20000 : 100, id, &unused),
                         PV_OK);
}

/* Each has arrived, once. */
static void check_sendings(uint64_t seed, const struct sending *all, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        for (int i = 0; i < 2; i++) {
            unsigned found = 0;
            const struct pv_file_entry *f;
            for (size_t at = 0; (f = pv_filelink_at(w.side[i].link, at)) != NULL; at++) {
                if (strcmp(f->name, all[k].name) != 0)
                    continue;
                found++;
                if (f->state != PV_FILE_DONE)
                    fail_msg("seed %llu: file %s of %s is %s (%s)", (unsigned long long)seed,
                             f->name, w.side[i].name, pv_file_state_name(f->state),
                             pv_file_why_text(f->why));
                assert_true(f->outgoing == (i == all[k].from));
                assert_true(f->outgoing || w.side[i].whole[f->number]);
            }
            if (found != 1)
                fail_msg("seed %llu: file %s is there %u times at %s", (unsigned long long)seed,
                         all[k].name, found, w.side[i].name);
        }
    }
}

/* One seed: files both ways through kills, cuts and losses; at the end all have arrived, once. */
static void live_through(uint64_t seed)
{
    struct sending sendings[100];
    size_t n_sendings = 0;
    assert_int_equal(begin(NULL), 0);
    w.rng = test_rng_make(&w.state, seed);
    w.loss = pv_rng_below(&w.rng, 60);
    w.side[0].auto_max = w.side[1].auto_max = PV_FILE_SIZE_MAX;
    w.side[0].slow = w.side[1].slow = true;
    for (unsigned i = 0; i < 300; i++) {
        int s = (int)pv_rng_below(&w.rng, 2);
        unsigned dice = pv_rng_below(&w.rng, 40);
        if (dice == 0 && w.side[s].up) {
            kill_side(s);
            tell_presence();
        } else if (dice < 4 && !w.side[s].up) {
            start(s);
            tell_presence();
        } else if (dice == 9) { /* a little later */
            for (size_t n = 0; n < n_sendings; n++)
                offer_again(&sendings[n], (uint8_t)n);
        } else if (dice < 8 && w.side[s].up && n_sendings < PV_ARRAY_LEN(sendings)) {
            struct sending *new = &sendings[n_sendings];
            new->from = s;
            snprintf(new->name, sizeof(new->name), "f%zu", n_sendings);
            offer_again(new, (uint8_t)n_sendings++);
        } else if (dice == 8) {
            for (size_t n = 0; n < MAX_XFERS; n++)
                if (w.xfers[n].used && pv_rng_below(&w.rng, 2) == 0)
                    finish(&w.xfers[n], PV_FILE_WHY_LOST);
        }
        turn(PV_MS(50 + pv_rng_below(&w.rng, 1000)));
    }
    w.loss = 0;
    for (int i = 0; i < 2; i++)
        if (!w.side[i].up)
            start(i);
    tell_presence();
    for (size_t n = 0; n < n_sendings; n++)
        offer_again(&sendings[n], (uint8_t)n);
    turns(4000);
    check_sendings(seed, sendings, n_sendings);
    assert_int_equal(count_open(0), 0);
    assert_int_equal(count_open(1), 0);
    assert_int_equal(end(NULL), 0);
}

PV_TEST(files_arrive_through_kills_cuts_and_losses)
{
    uint64_t seeds = getenv("PV_SIM_LONG") != NULL ? 300 : 30;
    end(NULL);
    for (uint64_t seed = 1; seed <= seeds; seed++)
        live_through(seed);
    begin(NULL);
}
