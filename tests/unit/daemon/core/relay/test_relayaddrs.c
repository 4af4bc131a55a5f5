/* SPDX-License-Identifier: MIT */
#include "daemon/core/relay/relayaddrs.h"
#include "tests/unit/test_util.h"

static struct pv_addr at(unsigned i)
{
    return pv_addr4(192, 0, 2, (uint8_t)i, 3478);
}

static void expect(const struct pv_relayaddrs *a, unsigned i)
{
    struct pv_addr want = at(i);
    assert_true(pv_addr_equal(pv_relayaddrs_now(a), &want));
}

static struct pv_relayaddrs make(size_t n)
{
    struct pv_relayaddrs a = {0};
    struct pv_addr list[PV_RELAYADDRS_MAX + 1];
    for (size_t i = 0; i < n; i++)
        list[i] = at((unsigned)i + 1);
    assert_true(pv_relayaddrs_set(&a, list, n));
    return a;
}

PV_TEST(each_has_its_turn_and_then_all_have_time)
{
    struct pv_relayaddrs a = make(3);
    expect(&a, 1);
    assert_true(pv_relayaddrs_is_hasty(&a));
    assert_true(pv_relayaddrs_next(&a));
    expect(&a, 2);
    assert_true(pv_relayaddrs_is_hasty(&a));
    assert_true(pv_relayaddrs_next(&a));
    expect(&a, 3);
    assert_false(pv_relayaddrs_is_hasty(&a)); /* the last one */
    assert_false(pv_relayaddrs_are_silent(&a));
    assert_false(pv_relayaddrs_next(&a));
    expect(&a, 1);
    assert_true(pv_relayaddrs_are_silent(&a));
    assert_false(pv_relayaddrs_is_hasty(&a));
    assert_false(pv_relayaddrs_next(&a));
    expect(&a, 2); /* they go on taking turns */
    pv_relayaddrs_begin(&a);
    expect(&a, 2);
    assert_true(pv_relayaddrs_is_hasty(&a));
}

PV_TEST(a_single_one_is_never_left)
{
    struct pv_relayaddrs a = {0};
    assert_int_equal(pv_relayaddrs_now(&a)->family, PV_AF_NONE);
    assert_false(pv_relayaddrs_next(&a));
    a = make(1);
    assert_false(pv_relayaddrs_is_hasty(&a));
    assert_false(pv_relayaddrs_next(&a));
    expect(&a, 1);
    assert_true(pv_relayaddrs_are_silent(&a));
}

PV_TEST(a_new_list_keeps_the_present_one)
{
    struct pv_relayaddrs a = make(2);
    const struct pv_addr list[3] = {at(7), at(2), at(8)}, other[1] = {at(9)};
    assert_true(pv_relayaddrs_next(&a));
    assert_false(pv_relayaddrs_next(&a));
    assert_false(pv_relayaddrs_next(&a));
    expect(&a, 2);
    assert_true(pv_relayaddrs_set(&a, list, 3));
    expect(&a, 2);
    assert_false(pv_relayaddrs_are_silent(&a));
    assert_false(pv_relayaddrs_set(&a, list, 3)); /* nothing new */
    assert_true(pv_relayaddrs_set(&a, other, 1));
    expect(&a, 9);
    a = make(PV_RELAYADDRS_MAX + 1);
    assert_int_equal(a.n, PV_RELAYADDRS_MAX);
}

PV_TEST(servers_may_send_us_on_but_not_in_circles)
{
    struct pv_relayaddrs a = make(2);
    const struct pv_addr x = at(50), y = at(51), first = at(1), none = {.family = PV_AF_NONE};
    pv_ns now = PV_S(1000);
    assert_false(pv_relayaddrs_redirect(&a, &none, now));
    assert_false(pv_relayaddrs_redirect(&a, &first, now)); /* to itself */
    assert_true(pv_relayaddrs_redirect(&a, &x, now));
    expect(&a, 50);
    assert_true(pv_relayaddrs_redirect(&a, &y, now));
    expect(&a, 51);
    assert_false(pv_relayaddrs_redirect(&a, &x, now));
    assert_false(pv_relayaddrs_redirect(&a, &first, now));
    expect(&a, 51);
    assert_false(pv_relayaddrs_next(&a)); /* silent: back to who sent us, but not at once */
    expect(&a, 1);
    assert_false(pv_relayaddrs_redirect(&a, &x, now + PV_RELAYADDRS_LOOP - 1));
    assert_true(pv_relayaddrs_redirect(&a, &y, now + 2 * PV_RELAYADDRS_LOOP));
}

PV_TEST(a_long_chain_of_servers_is_not_followed)
{
    struct pv_relayaddrs a = make(1);
    unsigned n = 0;
    for (struct pv_addr to = at(100); pv_relayaddrs_redirect(&a, &to, PV_S(1)); to = at(100 + n))
        n++;
    assert_int_equal(n, PV_RELAYADDRS_ASKED - 1); /* the first one counts too */
}
