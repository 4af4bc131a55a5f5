/* SPDX-License-Identifier: MIT */
#include "proto/stun/nat64.h"
#include "tests/unit/test_util.h"

/* RFC 6052 s2.4: 192.0.2.33 by prefixes of each length. */
static const struct {
    const char *prefix, *address, *name; /* name: of 192.0.0.170 */
} rows[] = {
    {"2001:db8::/32", "2001:db8:c000:221::", "2001:db8:c000:aa::"},
    {"2001:db8:100::/40", "2001:db8:1c0:2:21::", "2001:db8:1c0:0:aa::"},
    {"2001:db8:122::/48", "2001:db8:122:c000:2:2100::", "2001:db8:122:c000:0:aa00::"},
    {"2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::", "2001:db8:122:3c0:0:aa::"},
    {"2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::", "2001:db8:122:344:c0:0:aa00::"},
    {"2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33", "2001:db8:122:344::192.0.0.170"},
    {"64:ff9b::/96", "64:ff9b::192.0.2.33", "64:ff9b::192.0.0.171"},
};

PV_TEST(an_ipv4_address_stands_in_a_prefix_of_each_length)
{
    const struct pv_addr v4 = pv_addr4(192, 0, 2, 33, 4000);
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        const struct pv_prefix want = test_prefix(rows[i].prefix);
        struct pv_prefix found;
        struct pv_addr v6 = test_ip(rows[i].address), name = test_ip(rows[i].name);
        assert_true(pv_nat64_find(&name, &found));
        assert_true(pv_addr_equal(&found.base, &want.base));
        assert_int_equal(found.bits, want.bits);
        v6.port = 4000;
        struct pv_addr made = pv_nat64_make(&found, &v4), back = pv_nat64_undo(&found, &v6);
        assert_true(pv_addr_equal(&made, &v6));
        assert_true(pv_addr_equal(&back, &v4));
    }
}

PV_TEST(other_addresses_stay_as_they_are)
{
    const struct pv_prefix none = {.bits = 0};
    struct pv_prefix p;
    struct pv_addr v4 = pv_addr4(192, 0, 2, 33, 1), v6 = test_ip("2001:db8::1"), plain = v4;
    const struct pv_addr real = pv_addr4(192, 0, 0, 170, 0);
    assert_false(pv_nat64_find(&v6, &p));
    assert_false(pv_nat64_find(&real, &p)); /* DNS without DNS64 */
    plain = pv_nat64_make(&none, &v4);
    assert_true(pv_addr_equal(&plain, &v4));
    p = test_prefix("64:ff9b::/96");
    plain = pv_nat64_make(&p, &v6);
    assert_true(pv_addr_equal(&plain, &v6));
    plain = pv_nat64_undo(&p, &v6);
    assert_true(pv_addr_equal(&plain, &v6));
    plain = pv_nat64_undo(&none, &v6);
    assert_true(pv_addr_equal(&plain, &v6));
    plain = pv_nat64_undo(&p, &v4);
    assert_true(pv_addr_equal(&plain, &v4));
}
