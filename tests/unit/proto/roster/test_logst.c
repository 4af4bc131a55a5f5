/* SPDX-License-Identifier: MIT */
/* test_logst.c - statements, entries and heads of a log: one encoding each, read back as written.
 */
#include "proto/roster/logst.h"
#include "tests/unit/proto/roster/log_world.h"

void test_begin(void)
{
    make_keys();
}

/* One of each type, the ones that carry with something in their list. */
static void say_all(void)
{
    static const struct naive_st all[] = {
        {.kind = PV_LOGST_COORDINATORS, .epoch = 3, .n = 8, .time = 9, .coord = COORD_KEYS},
        {.kind = PV_LOGST_GRANT, .about = 1, .flags = 3},
        {.kind = PV_LOGST_INVITE,
         .about = -1,
         .uses = 2,
         .until = 50,
         .life = 9,
         .flags = 1,
         .tkey = INVITE_KEYS},
        {.kind = PV_LOGST_JOIN, .by = INVITE_KEYS, .grant = 2, .about = 4, .addr = 3, .flags = 1},
        {.kind = PV_LOGST_ADMIT, .by = 1, .grant = 1, .about = 3},
        {.kind = PV_LOGST_PLACE, .by = 4, .about = 4, .num = 1, .addr = 5},
        {.kind = PV_LOGST_KEY, .by = 4, .about = 4, .num = 2, .tkey = 6},
        {.kind = PV_LOGST_ROW, .by = 1, .grant = 1, .about = -1, .flags = PV_ROW_TAG},
        {.kind = PV_LOGST_ROW, .by = 1, .grant = 1, .about = -1, .flags = PV_ROW_PHONE},
        {.kind = PV_LOGST_TAKE, .by = 1, .grant = 1, .about = 7},
        {.kind = PV_LOGST_REMOVE, .by = 1, .grant = 1, .about = 4},
        {.kind = PV_LOGST_END, .about = 1, .n_carried = 4, .carried = {7, 8, 9, 10}},
        {.kind = PV_LOGST_LEAVE, .by = 5, .about = 5, .n_carried = 1, .carried = {7}},
        {.kind = PV_LOGST_VERSION, .num = 2},
    };
    naive_n = 0;
    for (size_t i = 0; i < PV_ARRAY_LEN(all); i++) {
        struct naive_st x = all[i];
        if (x.grant == 0)
            x.grant = -1;
        say(x, NULL);
    }
}

PV_TEST(reads_back_each_type_as_it_was_made)
{
    bool seen[PV_LOGST_TYPES] = {false};

    say_all();
    for (int i = 0; i < naive_n; i++) {
        seen[reals[i].type] = true;
        assert_ok(pv_logst_verify(&reals[i]));
        assert_memory_equal(reals[i].network_id, network_id, sizeof(network_id));
        assert_memory_equal(reals[i].signer, pks[naive_sts[i].by], 32);
    }
    for (int type = 1; type < PV_LOGST_TYPES; type++)
        assert_true(seen[type]);
}

PV_TEST(refuses_what_is_cut_longer_or_changed)
{
    static uint8_t copy[RAW_MAX + 1];
    struct pv_logst got;

    say_all();
    for (int i = 0; i < naive_n; i++) {
        size_t len = reals[i].raw.len;
        memcpy(copy, raws[i], len);
        copy[len] = 0;
        assert_int_not_equal(pv_logst_decode(pv_view(copy, len + 1), &got), PV_OK);
        for (size_t cut = 0; cut < len; cut += 1 + cut / 40)
            assert_int_not_equal(pv_logst_decode(pv_view(copy, cut), &got), PV_OK);
        for (size_t bit = 0; bit < len * 8; bit += 5 + bit / 100) {
            copy[bit / 8] ^= (uint8_t)(1u << (bit % 8));
            if (pv_logst_decode(pv_view(copy, len), &got) == PV_OK)
                assert_int_equal(pv_logst_verify(&got), PV_ERR_AUTH);
            copy[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        }
    }
}

/* A list of this many removals, as an end carries them. */
static int make_end(int n, int which, uint8_t *buf, size_t cap)
{
    static uint8_t list[PV_LOGST_MAX];
    struct pv_writer w = pv_writer(list, sizeof(list));
    struct pv_logst st = {.type = PV_LOGST_END};
    size_t len;

    memcpy(st.network_id, network_id, sizeof(network_id));
    for (int i = 0; i < n; i++)
        pv_carried_put(&w, reals[which].raw);
    st.list = pv_written(&w);
    return pv_logst_make(&st, sks[0], NULL, buf, cap, &len);
}

PV_TEST(carries_64_statements_that_carry_nothing)
{
    static uint8_t buf[PV_LOGST_MAX + 1024];

    say_all();
    assert_ok(make_end(64, 10, buf, sizeof(buf)));
    assert_int_equal(make_end(65, 10, buf, sizeof(buf)), PV_ERR_MALFORMED);
    assert_int_equal(make_end(1, 11, buf, sizeof(buf)), PV_ERR_MALFORMED); /* an end */
    assert_int_equal(make_end(1, 5, buf, sizeof(buf)), PV_ERR_MALFORMED);  /* a place */
    int nested = say(
        (struct naive_st){
            .kind = PV_LOGST_REMOVE, .grant = -1, .about = 2, .n_carried = 1, .carried = {7}},
        NULL);
    assert_int_equal(make_end(1, nested, buf, sizeof(buf)), PV_ERR_MALFORMED);
}

PV_TEST(leaves_types_of_newer_programs_unread)
{
    struct pv_logst got;

    say_all();
    raws[1][1] = PV_LOGST_TYPES;
    assert_ok(pv_logst_decode(reals[1].raw, &got));
    assert_int_equal(got.type, PV_LOGST_TYPES);
    assert_int_equal(pv_logst_verify(&got), PV_ERR_AUTH);
    raws[1][0] = 2;
    assert_int_equal(pv_logst_decode(reals[1].raw, &got), PV_ERR_UNSUPPORTED);
}

PV_TEST(signs_heads_and_notices_another_byte)
{
    struct pv_head head = {.epoch = 1, .n = 2, .hash = {3}, .time = 4, .digest = {5}}, got;
    uint8_t data[PV_HEAD_LEN];

    assert_ok(pv_head_make(&head, sks[COORD_KEYS], data));
    struct pv_view v = pv_view(data, sizeof(data));
    assert_ok(pv_head_decode(v, &got));
    assert_ok(pv_head_verify(v));
    assert_memory_equal(got.coordinator, pks[COORD_KEYS], 32);
    assert_true(got.epoch == 1 && got.n == 2 && got.time == 4 && got.digest[0] == 5);
    for (size_t i = 2; i < sizeof(data); i++) {
        data[i] ^= 1;
        assert_int_equal(pv_head_verify(v), PV_ERR_AUTH);
        data[i] ^= 1;
    }
    assert_int_equal(pv_head_decode(pv_view(data, sizeof(data) - 1), &got), PV_ERR_TRUNCATED);
    data[0] = 2;
    assert_int_equal(pv_head_decode(v, &got), PV_ERR_UNSUPPORTED);
}
