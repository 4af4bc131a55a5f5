/* SPDX-License-Identifier: MIT */
/* The bytes of tags (type 17) and rules (type 18). */
#include "tests/unit/proto/roster/roster_fixture.h"
#include "tests/unit/proto/roster/statement_fixture.h"

static struct pv_statement sample_tag(void)
{
    struct pv_statement st = {.type = PV_ST_TAG};
    struct keys node = keys_of(2);
    memset(st.network_id, 7, sizeof(st.network_id));
    st.u.tag.slot = (struct pv_st_slot){.number = 3, .seq = 11};
    st.u.tag.kind = PV_TAG_SET;
    memcpy(st.u.tag.node, node.pk, sizeof(st.u.tag.node));
    memcpy(st.u.tag.tag, "printer", 7);
    st.u.tag.time = T0;
    return st;
}

static struct pv_statement sample_rule(void)
{
    struct pv_statement st = {.type = PV_ST_RULE};
    struct keys node = keys_of(2);
    memset(st.network_id, 7, sizeof(st.network_id));
    st.u.rule.slot = (struct pv_st_slot){.number = PV_RULE_SLOTS - 1, .seq = 12};
    st.u.rule.kind = PV_RULE_ALLOW;
    st.u.rule.place = 4096;
    st.u.rule.from = (struct pv_selector){.kind = PV_SELECT_TAG, .len = 5, .value = "guest"};
    st.u.rule.to = (struct pv_selector){.kind = PV_SELECT_NODE, .len = PV_KEY_LEN};
    memcpy(st.u.rule.to.value, node.pk, PV_KEY_LEN);
    assert_int_equal(pv_ports_parse("ping,tcp/80-90", &st.u.rule.ports), PV_OK);
    st.u.rule.time = T0 + 1;
    return st;
}

PV_TEST(a_statement_made_reads_back_the_same)
{
    struct pv_statement want = sample_tag(), got;
    struct made m = make_signed(&want);
    char text[PV_PORTS_TEXT];
    assert_int_equal(pv_statement_decode(pv_view(m.buf, m.len), &got), PV_OK);
    assert_int_equal(pv_statement_verify(&got), PV_OK);
    assert_int_equal(got.u.tag.slot.number, 3);
    assert_int_equal(got.u.tag.slot.seq, 11);
    assert_int_equal(got.u.tag.kind, PV_TAG_SET);
    assert_memory_equal(got.u.tag.node, want.u.tag.node, sizeof(got.u.tag.node));
    assert_string_equal(got.u.tag.tag, "printer");
    assert_int_equal(got.u.tag.time, T0);

    want = sample_rule();
    m = make_signed(&want);
    assert_int_equal(pv_statement_decode(pv_view(m.buf, m.len), &got), PV_OK);
    assert_int_equal(pv_statement_verify(&got), PV_OK);
    assert_int_equal(got.u.rule.slot.number, PV_RULE_SLOTS - 1);
    assert_int_equal(got.u.rule.slot.seq, 12);
    assert_int_equal(got.u.rule.kind, PV_RULE_ALLOW);
    assert_int_equal(got.u.rule.place, 4096);
    assert_memory_equal(&got.u.rule.from, &want.u.rule.from, sizeof(got.u.rule.from));
    assert_memory_equal(&got.u.rule.to, &want.u.rule.to, sizeof(got.u.rule.to));
    assert_string_equal(pv_ports_format(&got.u.rule.ports, text), "ping,tcp/80-90");
    assert_int_equal(got.u.rule.time, T0 + 1);
}

PV_TEST(encodings_do_not_change)
{
    static const char *const want[] = {
        "00dfcd6a0ea9aad5c919ca703bbc2037227a38ca9a5359ee58fb01f446ae61e6",
        "fd5b1235579585613419257a5a6305104d8543fef69d594f6fec7b888959729a"};
    for (size_t i = 0; i < PV_ARRAY_LEN(want); i++) {
        struct pv_statement st = i == 0 ? sample_tag() : sample_rule();
        struct made m = make_signed(&st);
        assert_hash(&m, want[i]);
    }
}

PV_TEST(damage_is_noticed)
{
    for (size_t i = 0; i < 2; i++) {
        struct pv_statement st = i == 0 ? sample_tag() : sample_rule();
        struct made m = make_signed(&st);
        assert_truncation_is_refused(&m);
        assert_trailing_byte_is_refused(&m);
        assert_flipped_bits_are_noticed(&m);
    }
}

PV_TEST(each_has_one_form)
{
    struct pv_statement st = sample_rule();
    st.u.rule.slot.number = PV_RULE_SLOTS;
    assert_unmade(&st);
    st = sample_rule();
    st.u.rule.kind = PV_RULE_DENY_DEFAULT + 1;
    assert_unmade(&st);
    st.u.rule.kind = PV_RULE_DENY_DEFAULT; /* it is about nobody and nothing */
    assert_unmade(&st);
    st.u.rule.kind = PV_RULE_NONE;
    assert_unmade(&st);
    st = sample_rule();
    st.u.rule.ports.n = 0;
    assert_unmade(&st);
    st = sample_rule();
    st.u.rule.from.len = 0;
    assert_unmade(&st);
    st = sample_tag();
    st.u.tag.kind = PV_TAG_NONE;
    assert_unmade(&st);
    st = sample_tag();
    st.u.tag.slot.number = PV_RULE_SLOTS;
    assert_unmade(&st);
    st = sample_tag();
    memcpy(st.u.tag.tag, "-", 2);
    assert_unmade(&st);
}

/* Earlier versions refuse a longer one, and with it whoever brings it. */
PV_TEST(the_longest_is_short)
{
    struct pv_statement st = sample_rule();
    st.u.rule.ports.n = PV_PORTS_MAX;
    for (uint16_t i = 0; i < PV_PORTS_MAX; i++)
        st.u.rule.ports.v[i] =
            (struct pv_port_range){PV_PORTS_TCP, (uint16_t)(4 * i), (uint16_t)(4 * i + 1)};
    st.u.rule.from = st.u.rule.to = (struct pv_selector){.kind = PV_SELECT_TAG, .len = 63};
    memset(st.u.rule.from.value, 'a', 63);
    memset(st.u.rule.to.value, 'b', 63);
    assert_true(make_signed(&st).len <= PV_STATEMENT_SHORT_MAX);
}
