/* SPDX-License-Identifier: MIT */
/* The bytes of routes (type 16) and offers (type 19). */
#include "tests/unit/proto/roster/roster_fixture.h"
#include "tests/unit/proto/roster/statement_fixture.h"

static struct pv_prefix prefix_of(const char *text)
{
    struct pv_prefix p;
    assert_int_equal(pv_prefix_parse(text, &p), PV_OK);
    return p;
}

static struct pv_statement sample_route(void)
{
    struct pv_statement st = {.type = PV_ST_ROUTE};
    struct keys node = keys_of(2);
    memset(st.network_id, 7, sizeof(st.network_id));
    st.u.route.slot = (struct pv_st_slot){.number = 3, .seq = 11};
    st.u.route.kind = PV_ROUTE_ALLOW;
    memcpy(st.u.route.node, node.pk, sizeof(st.u.route.node));
    st.u.route.prefix = prefix_of("192.168.1.0/24");
    st.u.route.time = T0;
    return st;
}

static uint8_t list_bytes[PV_OFFERS_MAX * PV_OFFER_BYTES + 64];

static struct pv_view list_of(const struct pv_offer *offers, size_t n)
{
    struct pv_writer w = pv_writer(list_bytes, sizeof(list_bytes));
    pv_offerlist_put(&w, offers, n);
    assert_int_equal(w.status, PV_OK);
    return pv_view(list_bytes, w.len);
}

static struct pv_statement sample_offers(void)
{
    struct pv_statement st = {.type = PV_ST_OFFERS};
    const struct pv_offer offers[] = {
        {.prefix = prefix_of("0.0.0.0/0"), .flags = 0},
        {.prefix = prefix_of("192.168.1.0/24"), .flags = PV_OFFER_AUTO},
        {.prefix = prefix_of("2001:db8:1::/48"), .flags = PV_OFFER_NO_NAT | 128},
    };
    memset(st.network_id, 7, sizeof(st.network_id));
    st.u.offers.serial = 5;
    st.u.offers.list = list_of(offers, PV_ARRAY_LEN(offers));
    st.u.offers.time = T0 + 1;
    return st;
}

PV_TEST(a_statement_made_reads_back_the_same)
{
    struct pv_statement want = sample_route(), got;
    struct made m = make_signed(&want);
    struct pv_offer offer;
    char text[PV_ADDR_TEXT];
    assert_int_equal(pv_statement_decode(pv_view(m.buf, m.len), &got), PV_OK);
    assert_int_equal(pv_statement_verify(&got), PV_OK);
    assert_int_equal(got.u.route.slot.number, 3);
    assert_int_equal(got.u.route.slot.seq, 11);
    assert_int_equal(got.u.route.kind, PV_ROUTE_ALLOW);
    assert_memory_equal(got.u.route.node, want.u.route.node, sizeof(got.u.route.node));
    assert_string_equal(pv_prefix_format(&got.u.route.prefix, text), "192.168.1.0/24");
    assert_int_equal(got.u.route.time, T0);

    want = sample_offers();
    m = make_signed(&want);
    assert_int_equal(pv_statement_decode(pv_view(m.buf, m.len), &got), PV_OK);
    assert_int_equal(pv_statement_verify(&got), PV_OK);
    assert_int_equal(got.u.offers.serial, 5);
    assert_int_equal(got.u.offers.time, T0 + 1);
    static const char *const texts[] = {"0.0.0.0/0", "192.168.1.0/24", "2001:db8:1::/48"};
    static const uint8_t flags[] = {0, PV_OFFER_AUTO, PV_OFFER_NO_NAT | 128};
    for (size_t i = 0; i < PV_ARRAY_LEN(texts); i++) {
        assert_true(pv_offerlist_next(&got.u.offers.list, &offer));
        assert_string_equal(pv_prefix_format(&offer.prefix, text), texts[i]);
        assert_int_equal(offer.flags, flags[i]);
    }
    assert_false(pv_offerlist_next(&got.u.offers.list, &offer));
}

PV_TEST(encodings_do_not_change)
{
    static const char *const want[] = {
        "ebbbcb4904961c4222c4fbe71f05e3aab443299c116c34070978cce3dd50f5cf",
        "b0d0451c63b063b9d717c20903ce12d298dfcaea00d4baed55f675135aef4a54"};
    for (size_t i = 0; i < PV_ARRAY_LEN(want); i++) {
        struct pv_statement st = i == 0 ? sample_route() : sample_offers();
        struct made m = make_signed(&st);
        assert_hash(&m, want[i]);
    }
}

PV_TEST(damage_is_noticed)
{
    for (size_t i = 0; i < 2; i++) {
        struct pv_statement st = i == 0 ? sample_route() : sample_offers();
        struct made m = make_signed(&st);
        assert_truncation_is_refused(&m);
        assert_trailing_byte_is_refused(&m);
        assert_flipped_bits_are_noticed(&m);
    }
}

PV_TEST(only_what_can_be_carried_is_a_route)
{
    static const char *const bad[] = {
        "127.0.0.0/8",        "127.0.0.1/32", "169.254.0.0/16", "224.0.0.0/4", "224.0.0.0/8",
        "255.255.255.255/32", "::1/128",      "fe80::/16",      "fe80::1/128", "ff00::/16",
        "128.0.0.0/1",        "10.0.0.0/7",   "2000::/3"};
    static const char *const good[] = {"0.0.0.0/0",  "::/0",           "10.0.0.0/9",
                                       "10.0.0.0/8", "192.168.1.7/32", "2001:db8::/32"};
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++) {
        struct pv_statement st = sample_route();
        st.u.route.prefix = prefix_of(bad[i]);
        assert_false(pv_route_is_valid(&st.u.route.prefix));
        assert_unmade(&st);
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(good); i++) {
        struct pv_statement st = sample_route();
        st.u.route.prefix = prefix_of(good[i]);
        assert_true(pv_route_is_valid(&st.u.route.prefix));
        (void)make_signed(&st);
    }
}

PV_TEST(each_has_one_form)
{
    struct pv_statement st = sample_route();
    st.u.route.slot.number = PV_RULE_SLOTS;
    assert_unmade(&st);
    st = sample_route();
    st.u.route.kind = 2;
    assert_unmade(&st);
    st = sample_route();
    st.u.route.kind = PV_ROUTE_NONE; /* it is about nobody and nothing */
    assert_unmade(&st);
    st = sample_route();
    st.u.route.prefix.base.ip[3] = 1;
    assert_unmade(&st);
    st = sample_route();
    st.u.route.prefix.bits = 33;
    assert_unmade(&st);

    const struct pv_offer a = {.prefix = prefix_of("10.0.0.0/8")};
    const struct pv_offer b = {.prefix = prefix_of("10.0.0.0/9")};
    st = sample_offers();
    st.u.offers.list = list_of((const struct pv_offer[]){a, b}, 2);
    (void)make_signed(&st);
    st.u.offers.list = list_of((const struct pv_offer[]){b, a}, 2);
    assert_unmade(&st);
    st.u.offers.list = list_of((const struct pv_offer[]){a, a}, 2);
    assert_unmade(&st);
    st.u.offers.list = list_of(&a, 1);
    st.u.offers.list.len--;
    assert_unmade(&st);
}

/* Earlier versions refuse a longer one, and with it whoever brings it. */
PV_TEST(the_longest_is_short)
{
    struct pv_offer offers[PV_OFFERS_MAX + 1];
    struct pv_statement st = sample_offers();
    for (size_t i = 0; i <= PV_OFFERS_MAX; i++) {
        offers[i] = (struct pv_offer){.prefix = prefix_of("2001:db8::/128")};
        offers[i].prefix.base.ip[15] = (uint8_t)i;
    }
    st.u.offers.list = list_of(offers, PV_OFFERS_MAX);
    assert_true(make_signed(&st).len <= PV_STATEMENT_SHORT_MAX);
    st.u.offers.list = list_of(offers, PV_OFFERS_MAX + 1);
    struct made m;
    assert_int_not_equal(sign_statement(&st, &m), PV_OK);
}
