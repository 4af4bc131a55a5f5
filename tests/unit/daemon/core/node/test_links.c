/* SPDX-License-Identifier: MIT */
/* Which addresses of this machine count when a table has fewer places than there are. */
#include <stdio.h>

#include "daemon/core/node/links.h"
#include "tests/unit/test_util.h"

static struct pv_links set;

void test_before_each(void)
{
    pv_links_init(&set, 4);
}

void test_after_each(void)
{
}

static struct pv_link_addr link_at(uint32_t ifindex, const char *ip, uint8_t bits)
{
    struct pv_link_addr l = {.up = true, .ifindex = ifindex, .addr = {.bits = bits}};
    snprintf(l.ifname, sizeof(l.ifname), "eth%u", ifindex);
    l.addr.base = test_ip(ip);
    return l;
}

static void add(uint32_t ifindex, const char *ip, uint8_t bits)
{
    struct pv_link_addr l = link_at(ifindex, ip, bits);
    pv_links_add(&set, &l);
}

static bool has(const char *ip)
{
    struct pv_addr a = test_ip(ip);
    for (size_t i = 0; i < set.n; i++)
        if (pv_addr_equal_ip(&set.of[i].addr.base, &a))
            return true;
    return false;
}

PV_TEST(addresses_that_are_down_or_of_loopback_take_no_place)
{
    struct pv_link_addr l = link_at(1, "10.0.0.1", 32);
    for (unsigned i = 0; i < 70; i++) {
        l.up = i % 2 == 0;
        l.loopback = l.up;
        pv_links_add(&set, &l);
    }
    assert_int_equal(set.n, 0);
    assert_int_equal(set.left_out, 0);
    add(2, "192.0.2.1", 24);
    assert_int_equal(set.n, 1);
}

PV_TEST(addresses_keep_the_order_of_arrival)
{
    add(2, "10.0.0.1", 24);
    add(3, "192.0.2.1", 24);
    add(2, "10.0.0.2", 24);
    assert_int_equal(set.n, 3);
    assert_int_equal(set.of[0].addr.base.ip[3], 1);
    assert_int_equal(set.of[1].ifindex, 3);
}

PV_TEST(a_family_never_loses_its_only_address)
{
    struct pv_link_addr docker = link_at(9, "172.17.0.1", 16);
    docker.container = true;
    pv_links_add(&set, &docker);
    for (unsigned i = 1; i <= 9; i++)
        add(i, PV_STR("2001:db8:%x::1", i), 64);
    assert_true(has("172.17.0.1"));
    assert_int_equal(set.n, 4);
    assert_int_equal(set.left_out, 6);
}

PV_TEST(the_source_on_the_way_out_stays_whatever_comes_before_and_after)
{
    struct pv_link_addr up = link_at(20, "192.168.1.2", 24);
    up.way_out = up.source = true;
    for (unsigned i = 1; i <= 6; i++)
        add(i, PV_STR("198.51.100.%u", i), 32);
    pv_links_add(&set, &up);
    for (unsigned i = 7; i <= 12; i++)
        add(i, PV_STR("198.51.100.%u", i), 32);
    assert_true(has("192.168.1.2"));
    assert_int_equal(set.n, 4);
}

/* A private network goes before the third address of a public one, in either order. */
PV_TEST(each_network_has_two_before_another_has_three)
{
    for (unsigned order = 0; order < 2; order++) {
        pv_links_init(&set, 4);
        if (order == 1)
            add(3, "10.0.0.1", 24);
        for (unsigned i = 1; i <= 6; i++)
            add(2, PV_STR("203.0.113.%u", i), 24);
        if (order == 0)
            add(3, "10.0.0.1", 24);
        assert_true(has("10.0.0.1"));
        assert_true(has("203.0.113.1"));
        assert_true(has("203.0.113.2"));
        assert_true(has("203.0.113.3")); /* there was a place left */
        assert_int_equal(set.left_out, 3);
    }
}

PV_TEST(another_prefix_of_an_interface_is_another_network)
{
    for (unsigned i = 1; i <= 5; i++)
        add(2, PV_STR("2001:db8:1::%x", i), 64);
    add(2, "fd00:1::1", 64);
    assert_true(has("fd00:1::1"));
}
