/* SPDX-License-Identifier: MIT */
/* The places of the table of files when many members want them: what each keeps, whose offer gives
 * way, and that this node's users always find one. */
#include "daemon/core/files/filelink.h"
#include "daemon/core/node/streams.h"
#include "tests/unit/test_util.h"

enum {
    GREEDY = 40, /* peers that offer all they may: more than the table can hold */
    HONEST = 200,
    HELD_BY_USERS = PV_FILELINK_MAX - PV_FILELINK_MAX_INCOMING,
};

static struct pv_streams streams;
static struct pv_fifo ops;
static struct pv_filelink *node;
static struct test_rng seed;
static struct pv_rng rng;
static uint8_t saved[PV_FILELINK_SAVE_MAX];
static pv_ns now;
static unsigned asked_for; /* a member, */
static size_t too_many;    /* that was told so often that there are too many */

static void count_notice(void *owner, const uint8_t *pk, struct pv_view notice, pv_ns at)
{
    struct pv_file_notice n;
    assert_int_equal(pv_file_notice_parse(notice, &n), PV_OK);
    too_many += (unsigned)(pk[0] | pk[1] << 8) == asked_for && n.kind == PV_FILE_STATE &&
                n.state == PV_FILE_REFUSED && n.why == PV_FILE_WHY_TOO_MANY;
}

static void restart(struct pv_view table)
{
    const struct pv_filelink_config cfg = {
        .rng = rng, .streams = &streams, .ops = &ops, .send = count_notice};
    assert_int_equal(pv_filelink_new(&node, &cfg, table), PV_OK);
}

static int begin(void **unused)
{
    rng = test_rng_make(&seed, 1);
    now = PV_S(100);
    restart(pv_view(NULL, 0));
    return 0;
}

static int end(void **unused)
{
    node = pv_filelink_free(node);
    pv_fifo_clear(&ops);
    return 0;
}

PV_TEST_WORLD(begin, end);

/* --- what happens -------------------------------------------------------------------------- */

/* A word of this member; auto_max: what a rule lets it send. */
static void hear(unsigned member, const struct pv_file_notice *n, uint64_t auto_max)
{
    const uint8_t pk[PV_SIGN_PK_LEN] = {(uint8_t)member, (uint8_t)(member >> 8)};
    const struct pv_filelink_peer from = {.pk = pk,
                                          .name = "member",
                                          .addr = {.family = PV_AF_INET},
                                          .online = true,
                                          .auto_max = auto_max};
    struct pv_fileop op;
    uint8_t buf[PV_FILE_NOTICE_MAX];
    size_t len;
    assert_int_equal(pv_file_notice_build(n, buf, &len), PV_OK);
    pv_filelink_handle_notice(node, &from, pv_view(buf, len), now);
    while (pv_fifo_take(&ops, &op) == PV_OK)
        continue;
}

static void offers_by_rule(unsigned member, unsigned id, uint64_t auto_max)
{
    const struct pv_file_notice n = {.kind = PV_FILE_OFFER,
                                     .size = 1,
                                     .name = "x",
                                     .id = {(uint8_t)id, (uint8_t)(id >> 8), (uint8_t)member}};
    hear(member, &n, auto_max);
}

static void offers(unsigned member, unsigned id)
{
    offers_by_rule(member, id, 0);
}

/* Everybody offers all that one peer may. */
static void offer_all_they_may(unsigned peers)
{
    for (unsigned id = 0; id < PV_FILELINK_MAX_OFFERS; id++)
        for (unsigned member = 1; member <= peers; member++)
            offers(member, id);
}

/* A user of this node offers a file; the size tells it from the others. */
static int user_sends(uint64_t size)
{
    static const uint8_t pk[PV_SIGN_PK_LEN] = {0xff, 0xff};
    uint32_t number;
    const struct pv_filelink_offer o = {
        .peer = {.pk = pk, .name = "friend"}, .name = pv_view("mine", 4), .size = size};
    return pv_filelink_offer(node, &o, now, &number);
}

/* --- what is there ------------------------------------------------------------------------- */

/* Files of this member (0: of everybody) that come in and are in this state. */
static size_t count(unsigned member, enum pv_file_state in)
{
    const struct pv_file_entry *f;
    size_t n = 0;
    for (size_t i = 0; (f = pv_filelink_at(node, i)) != NULL; i++)
        n += !f->outgoing && f->state == in &&
             (member == 0 || (unsigned)(f->peer[0] | f->peer[1] << 8) == member);
    return n;
}

/* How many files does this node tell the member to be too many now? Messages to others are read and
 * forgotten. */
static size_t count_told_too_many(unsigned member)
{
    asked_for = member;
    too_many = 0;
    pv_filelink_speak(node, now);
    return too_many;
}

static void accept_all(void)
{
    const struct pv_file_entry *f;
    for (size_t i = 0; (f = pv_filelink_at(node, i)) != NULL; i++)
        if (!f->outgoing && f->state == PV_FILE_OFFERED)
            assert_int_equal(pv_filelink_accept(node, f->number, now), PV_OK);
}

/* --- tests ---------------------------------------------------------------------------------- */

PV_TEST(users_send_whatever_members_offer)
{
    offer_all_they_may(GREEDY);
    assert_int_equal(count(0, PV_FILE_OFFERED), PV_FILELINK_MAX_INCOMING);
    for (unsigned i = 0; i < HELD_BY_USERS; i++) {
        assert_int_equal(user_sends(i), PV_OK);
        offers(1 + i % GREEDY, PV_FILELINK_MAX_OFFERS + i);
    }
    assert_int_equal(user_sends(HELD_BY_USERS), PV_ERR_LIMIT);
    assert_int_equal(count(0, PV_FILE_OFFERED), PV_FILELINK_MAX_INCOMING);
}

PV_TEST(the_member_that_offers_most_makes_room_and_hears_why)
{
    for (unsigned member = 1; member <= 23; member++)
        for (unsigned id = 0; id < PV_FILELINK_MAX_OFFERS; id++)
            offers(member, id);
    for (unsigned id = 0; id < 15; id++)
        offers(24, id);
    offers(25, 0);
    assert_int_equal(count(0, PV_FILE_OFFERED), PV_FILELINK_MAX_INCOMING);
    assert_int_equal(count_told_too_many(23), 0);
    /* The newest of those that have most is the last one of member 23. */
    offers(HONEST, 0);
    assert_int_equal(count(HONEST, PV_FILE_OFFERED), 1);
    assert_int_equal(count(23, PV_FILE_OFFERED), PV_FILELINK_MAX_OFFERS - 1);
    assert_int_equal(count(23, PV_FILE_REFUSED), 1);
    assert_int_equal(count_told_too_many(23), 1);
    assert_int_equal(count(0, PV_FILE_OFFERED), PV_FILELINK_MAX_INCOMING);
    /* It asks again: that is over, and pushes nobody out. */
    offers(23, PV_FILELINK_MAX_OFFERS - 1);
    assert_int_equal(count(HONEST, PV_FILE_OFFERED), 1);
    assert_int_equal(count(23, PV_FILE_OFFERED), PV_FILELINK_MAX_OFFERS - 1);
}

PV_TEST(members_that_have_the_same_leave_each_other_alone)
{
    enum {
        EQUALS = PV_FILELINK_MAX_INCOMING / PV_FILELINK_MAX_OFFERS
    };
    offer_all_they_may(EQUALS);
    assert_int_equal(count(0, PV_FILE_OFFERED), PV_FILELINK_MAX_INCOMING);
    for (unsigned id = 100; id < 200; id++)
        for (unsigned member = 1; member <= EQUALS; member++)
            offers(member, id);
    assert_int_equal(count(0, PV_FILE_REFUSED), 0);
    /* One more comes near them and stops there, and they do not take it back. */
    for (unsigned id = 0; id < 100; id++)
        offers(HONEST, id);
    assert_int_equal(count(HONEST, PV_FILE_OFFERED), PV_FILELINK_MAX_OFFERS - 1);
    for (unsigned id = 200; id < 300; id++)
        for (unsigned member = 1; member <= EQUALS; member++)
            offers(member, id);
    assert_int_equal(count(HONEST, PV_FILE_OFFERED), PV_FILELINK_MAX_OFFERS - 1);
    assert_int_equal(count(0, PV_FILE_REFUSED), PV_FILELINK_MAX_OFFERS - 1);
}

PV_TEST(each_keeps_its_first_offer)
{
    for (unsigned member = 1; member <= PV_FILELINK_MAX_INCOMING; member++)
        offers(member, 0);
    for (unsigned id = 1; id < 10; id++)
        offers(1, id);
    offers(PV_FILELINK_MAX_INCOMING + 1, 0);
    offers_by_rule(PV_FILELINK_MAX_INCOMING + 1, 1, 100);
    assert_int_equal(count(0, PV_FILE_OFFERED), PV_FILELINK_MAX_INCOMING);
    assert_int_equal(count(1, PV_FILE_OFFERED), 1);
    assert_int_equal(count(0, PV_FILE_REFUSED), 0);
}

PV_TEST(a_file_accepted_or_received_gives_way_to_nobody)
{
    uint32_t number = 0;
    offer_all_they_may(GREEDY);
    accept_all();
    /* One of them has arrived, and waits for its user. */
    const struct pv_file_entry *f = pv_filelink_at(node, 0);
    const uint8_t member = f->peer[0];
    uint64_t save;
    struct pv_fileop op;
    assert_true(pv_filelink_take_dirty(node, now));
    (void)pv_filelink_save(node, saved, &save);
    pv_filelink_kept(node, save, now);
    assert_int_equal(pv_fifo_take(&ops, &op), PV_OK);
    assert_int_equal(op.type, PV_FILEOP_FETCH);
    number = op.number;
    pv_filelink_done(node, op.tag, PV_FILE_WHY_NONE, 1, now);
    assert_int_equal(count(member, PV_FILE_DONE), 1);
    for (unsigned id = 100; id < 200; id++) {
        offers(HONEST, id);
        offers_by_rule(HONEST, id + 100, 100);
    }
    assert_int_equal(count(HONEST, PV_FILE_OFFERED), 0);
    assert_int_equal(count(HONEST, PV_FILE_ACCEPTED), 0);
    assert_int_equal(count(0, PV_FILE_ACCEPTED), PV_FILELINK_MAX_INCOMING - 1);
    assert_int_equal(pv_filelink_find(node, number)->state, PV_FILE_DONE);
    /* A file that the user has done with makes room. */
    assert_int_equal(pv_filelink_saved(node, number, now), PV_OK);
    offers(HONEST, 300);
    assert_int_equal(count(HONEST, PV_FILE_OFFERED), 1);
}

/* A rule says that the user wants its files; it does not say that nobody else may have any. */
PV_TEST(a_peer_with_a_rule_goes_before_spare_offers_and_not_before_all)
{
    offer_all_they_may(GREEDY);
    for (unsigned id = 0; id < PV_FILELINK_MAX; id++)
        offers_by_rule(HONEST, id, 100);
    assert_int_equal(count(HONEST, PV_FILE_ACCEPTED), PV_FILELINK_MAX_OF_PEER);
    for (unsigned member = 1; member <= GREEDY; member++)
        assert_in_range(count(member, PV_FILE_OFFERED), 3, 4);
    assert_int_equal(user_sends(0), PV_OK);
}

/* Its daemon said that it knows nothing of a file, and offers it again. */
PV_TEST(an_offer_that_comes_back_needs_a_place_like_another)
{
    for (unsigned id = 0; id < PV_FILELINK_MAX; id++) {
        struct pv_fileop op;
        uint64_t save;
        offers_by_rule(1, id, 100);
        (void)pv_filelink_save(node, saved, &save);
        pv_filelink_kept(node, save, now);
        assert_int_equal(pv_fifo_take(&ops, &op), PV_OK);
        pv_filelink_done(node, op.tag, PV_FILE_WHY_GONE, 0, now);
        while (pv_fifo_take(&ops, &op) == PV_OK)
            continue;
    }
    assert_int_equal(count(1, PV_FILE_WITHDRAWN), PV_FILELINK_MAX);
    (void)count_told_too_many(1);
    for (unsigned id = 0; id < PV_FILELINK_MAX_OFFERS; id++)
        offers(1, id);
    assert_int_equal(count_told_too_many(1), 0);
    offers(1, PV_FILELINK_MAX_OFFERS);
    assert_int_equal(count_told_too_many(1), 1);
    assert_int_equal(count(1, PV_FILE_OFFERED), PV_FILELINK_MAX_OFFERS);
    for (unsigned id = PV_FILELINK_MAX_OFFERS; id < PV_FILELINK_MAX; id++)
        offers_by_rule(1, id, 100);
    assert_int_equal(count(1, PV_FILE_OFFERED) + count(1, PV_FILE_ACCEPTED),
                     PV_FILELINK_MAX_OF_PEER);
}

/* Versions before this limit kept up to 512. */
PV_TEST(a_table_that_holds_more_than_the_limit_loses_nothing)
{
    enum {
        KEPT = PV_FILELINK_MAX_INCOMING + 16,
        HEAD = 7,  /* bytes before the first entry */
        FLAGS = 4, /* of an entry, behind its number; the lowest bit: it goes out */
    };
    uint64_t save;
    for (unsigned i = 0; i < KEPT; i++)
        assert_int_equal(user_sends(i), PV_OK);
    size_t len = pv_filelink_save(node, saved, &save);
    size_t entry = (len - HEAD) / KEPT;
    for (unsigned i = 0; i < KEPT; i++)
        saved[HEAD + i * entry + FLAGS] = 0;
    end(NULL);
    restart(pv_view(saved, len));
    assert_int_equal(count(0, PV_FILE_OFFERED), KEPT);
    offers(HONEST, 0);
    assert_int_equal(count(HONEST, PV_FILE_OFFERED), 0);
    assert_int_equal(count_told_too_many(HONEST), 1);
    assert_int_equal(count(0, PV_FILE_OFFERED), KEPT);
    assert_int_equal(user_sends(KEPT), PV_OK);
    for (unsigned i = 0; i <= KEPT - PV_FILELINK_MAX_INCOMING; i++)
        assert_int_equal(pv_filelink_stop(node, i + 1, now), PV_OK);
    offers(HONEST, 0);
    assert_int_equal(count(HONEST, PV_FILE_OFFERED), 1);
}

/* --- transfers ------------------------------------------------------------------------------- */

/* The member offers one more file, which a rule accepts, and the disk has it at once. */
static void offer_kept(unsigned member)
{
    static unsigned id;
    uint64_t save;
    offers_by_rule(member, ++id, UINT64_MAX);
    (void)pv_filelink_save(node, saved, &save);
    pv_filelink_kept(node, save, now);
}

/* Takes what the machine wants done; tags of what began go behind the *n there are. */
static unsigned take_ops(uint64_t *tags, size_t *n)
{
    struct pv_fileop op;
    unsigned cancelled = 0;
    while (pv_fifo_take(&ops, &op) == PV_OK) {
        cancelled += op.type == PV_FILEOP_CANCEL;
        if (op.type == PV_FILEOP_FETCH)
            tags[(*n)++] = op.tag;
    }
    return cancelled;
}

static void offer_and_look(unsigned member, uint64_t *tags, size_t *n)
{
    offer_kept(member);
    assert_int_equal(take_ops(tags, n), 0);
}

PV_TEST(a_peer_without_a_transfer_gets_one_of_who_has_most)
{
    uint64_t tags[64];
    size_t n = 0;
    for (unsigned i = 0; i < PV_FILELINK_MAX_RUNNING; i++)
        offer_and_look(10 + i % 2, tags, &n);
    assert_int_equal(n, PV_FILELINK_MAX_RUNNING);
    offer_kept(12);
    assert_int_equal(take_ops(tags, &n), 1);
    assert_int_equal(n, PV_FILELINK_MAX_RUNNING + 1);
    offer_kept(12); /* it has one */
    assert_int_equal(take_ops(tags, &n), 0);
}

PV_TEST(a_member_that_holds_a_place_by_a_few_bytes_gives_way)
{
    uint64_t tags[64];
    size_t n = 0;
    for (unsigned i = 0; i < PV_FILELINK_MAX_RUNNING; i++)
        offer_and_look(10 + i, tags, &n);
    offer_kept(30);
    assert_int_equal(take_ops(tags, &n), 0);
    for (unsigned s = 1; s <= 2 * PV_FILELINK_LEAST_S; s++) {
        now += PV_S(1);
        for (size_t i = 1; i < PV_FILELINK_MAX_RUNNING; i++)
            pv_filelink_progress(node, tags[i], s * PV_FILELINK_LEAST_BYTES / 10, now);
        if (s <= PV_FILELINK_LEAST_S)
            pv_filelink_progress(node, tags[0], s * PV_FILELINK_LEAST_BYTES / 10, now);
        pv_filelink_handle_timeout(node, now);
        (void)pv_filelink_take_dirty(node, now);
        assert_true(pv_filelink_next_timeout(node) > now); /* it does not spin */
        assert_int_equal(take_ops(tags, &n), s == 2 * PV_FILELINK_LEAST_S);
    }
    assert_int_equal(n, PV_FILELINK_MAX_RUNNING + 1);
}
