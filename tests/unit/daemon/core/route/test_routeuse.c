/* SPDX-License-Identifier: MIT */
/* The user's choices of routes, and their form in the store. */
#include "daemon/core/route/routeuse.h"
#include "tests/unit/test_util.h"

static const uint8_t bob[PV_SIGN_PK_LEN] = {1}, carol[PV_SIGN_PK_LEN] = {2};

static struct pv_offer offer_of(const char *text, uint8_t flags)
{
    struct pv_offer o = {.flags = flags};
    o.prefix = test_prefix(text);
    return o;
}

static void say_peer(struct pv_routeuse *u, const uint8_t *pk, bool on)
{
    struct pv_routeuse_entry e = {.on = on};
    memcpy(e.pk, pk, sizeof(e.pk));
    assert_ok(pv_routeuse_set(u, &e));
}

static void say_prefix(struct pv_routeuse *u, const char *text, bool on)
{
    const struct pv_routeuse_entry e = {
        .on = on, .is_prefix = true, .prefix = offer_of(text, 0).prefix};
    assert_ok(pv_routeuse_set(u, &e));
}

PV_TEST(the_mode_decides_where_nothing_was_said)
{
    struct pv_routeuse u = {.n = 0};
    const struct pv_offer plain = offer_of("10.1.0.0/16", 0);
    const struct pv_offer automatic = offer_of("10.2.0.0/16", PV_OFFER_AUTO);
    assert_false(pv_routeuse_wants(&u, bob, &plain));
    assert_true(pv_routeuse_wants(&u, bob, &automatic));
    pv_routeuse_set_mode(&u, PV_ROUTEUSE_ALL);
    assert_true(pv_routeuse_wants(&u, bob, &plain));
    pv_routeuse_set_mode(&u, PV_ROUTEUSE_OFF);
    assert_false(pv_routeuse_wants(&u, bob, &automatic));
}

PV_TEST(the_more_precise_word_counts)
{
    struct pv_routeuse u = {.n = 0};
    const struct pv_offer x = offer_of("10.1.0.0/16", 0), y = offer_of("10.2.0.0/16", 0);
    say_peer(&u, bob, true);
    assert_true(pv_routeuse_wants(&u, bob, &x));
    assert_false(pv_routeuse_wants(&u, carol, &x));
    say_prefix(&u, "10.1.0.0/16", false);
    assert_false(pv_routeuse_wants(&u, bob, &x));
    assert_true(pv_routeuse_wants(&u, bob, &y));
    say_peer(&u, bob, false); /* said again: in the same place */
    say_prefix(&u, "10.1.0.0/16", true);
    assert_int_equal(u.n, 2);
    assert_true(pv_routeuse_wants(&u, bob, &x));
    assert_true(pv_routeuse_wants(&u, carol, &x));
    assert_false(pv_routeuse_wants(&u, bob, &y));
    pv_routeuse_set_mode(&u, PV_ROUTEUSE_AUTO); /* all that was said before is over */
    assert_false(pv_routeuse_wants(&u, bob, &x));
}

/* Neither `route use all` nor --auto send everything by a member. */
PV_TEST(everything_goes_by_the_exit_alone)
{
    struct pv_routeuse u = {.mode = PV_ROUTEUSE_ALL};
    const struct pv_offer all = offer_of("0.0.0.0/0", PV_OFFER_AUTO), six = offer_of("::/0", 0);
    say_peer(&u, bob, true);
    assert_false(pv_routeuse_wants(&u, bob, &all));
    u.exit = true;
    memcpy(u.exit_pk, bob, sizeof(u.exit_pk));
    assert_true(pv_routeuse_wants(&u, bob, &all));
    assert_true(pv_routeuse_wants(&u, bob, &six));
    assert_false(pv_routeuse_wants(&u, carol, &all));
}

PV_TEST(a_choice_stored_reads_back_the_same)
{
    struct pv_routeuse u = {.mode = PV_ROUTEUSE_OFF, .exit = true, .exit_block = true}, got;
    uint8_t buf[PV_ROUTEUSE_BYTES], again[PV_ROUTEUSE_BYTES];
    memcpy(u.exit_pk, carol, sizeof(u.exit_pk));
    say_peer(&u, bob, true);
    say_prefix(&u, "2001:db8::/32", false);
    say_prefix(&u, "10.1.0.0/16", true);
    size_t len = pv_routeuse_encode(&u, buf);
    assert_ok(pv_routeuse_decode(pv_view(buf, len), &got));
    assert_int_equal(pv_routeuse_encode(&got, again), len);
    assert_memory_equal(buf, again, len);
    assert_true(got.exit && got.exit_block && !got.exit_lan);
    const struct pv_offer x = offer_of("10.1.0.0/16", 0);
    assert_true(pv_routeuse_wants(&got, carol, &x));
    for (size_t cut = 0; cut < len; cut++)
        assert_int_not_equal(pv_routeuse_decode(pv_view(buf, cut), &got), PV_OK);
    buf[len] = 0;
    assert_int_equal(pv_routeuse_decode(pv_view(buf, len + 1), &got), PV_ERR_MALFORMED);
    buf[0] = 2;
    assert_int_equal(pv_routeuse_decode(pv_view(buf, len), &got), PV_ERR_UNSUPPORTED);
    buf[0] = 1;
    buf[1] = 3;
    assert_int_equal(pv_routeuse_decode(pv_view(buf, len), &got), PV_ERR_MALFORMED);
}

PV_TEST(there_is_room_for_so_many)
{
    struct pv_routeuse u = {.n = 0};
    struct pv_routeuse_entry e = {.on = true};
    uint8_t buf[PV_ROUTEUSE_BYTES];
    for (uint8_t i = 0; i < PV_ROUTEUSE_MAX; i++) {
        e.pk[0] = i;
        assert_ok(pv_routeuse_set(&u, &e));
    }
    assert_true(pv_routeuse_encode(&u, buf) <= PV_ROUTEUSE_BYTES);
    e.on = false;
    assert_ok(pv_routeuse_set(&u, &e)); /* of one that is there */
    e.pk[0] = PV_ROUTEUSE_MAX;
    assert_int_equal(pv_routeuse_set(&u, &e), PV_ERR_LIMIT);
}
