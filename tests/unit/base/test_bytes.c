/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "base/bytes.h"
#include "tests/unit/test_util.h"

PV_TEST(fields_survive_writing_and_reading)
{
    uint8_t buf[64];
    struct pv_writer w = pv_writer(buf, sizeof(buf));
    pv_put_u8(&w, 0x01);
    pv_put_u16(&w, 0x0203);
    pv_put_u32(&w, 0x04050607);
    pv_put_u64(&w, 0x08090a0b0c0d0e0fu);
    pv_put_bytes(&w, "\x10\x11", 2);
    pv_put_view16(&w, pv_view("abc", 3));
    assert_ok(w.status);
    for (size_t i = 0; i < 17; i++)
        assert_int_equal(buf[i], i + 1); /* big-endian, nothing in between */

    struct pv_reader r = pv_reader(pv_written(&w));
    uint8_t two[2];
    assert_int_equal(pv_get_u8(&r), 0x01);
    assert_int_equal(pv_get_u16(&r), 0x0203);
    assert_int_equal(pv_get_u32(&r), 0x04050607);
    assert_true(pv_get_u64(&r) == 0x08090a0b0c0d0e0fu);
    pv_get_copy(&r, two, 2);
    assert_memory_equal(two, "\x10\x11", 2);
    assert_true(pv_view_equal(pv_get_view16(&r, 3), pv_view("abc", 3)));
    assert_ok(pv_reader_end(&r));
}

static void read_all(struct pv_reader *r)
{
    uint8_t four[4];
    pv_get_u8(r);
    pv_get_u16(r);
    pv_get_u32(r);
    pv_get_u64(r);
    pv_get_copy(r, four, 4);
    pv_get_bytes(r, 2);
    pv_get_view16(r, 9);
}

PV_TEST(every_truncation_sticks)
{
    uint8_t buf[32] = {0}; /* 21 fixed bytes, then an empty view */
    for (size_t len = 0; len <= 24; len++) {
        struct pv_reader r = pv_reader(pv_view(buf, len));
        read_all(&r);
        assert_int_equal(pv_reader_end(&r), len < 23    ? PV_ERR_TRUNCATED
                                            : len == 23 ? PV_OK
                                                        : PV_ERR_MALFORMED);
        if (len < 23) {
            /* Once failed, reads give zeros, also where bytes are left. */
            uint8_t two[2] = {9, 9};
            pv_get_copy(&r, two, 2);
            assert_int_equal(two[0] | two[1] | pv_get_u8(&r), 0);
            assert_int_equal(pv_get_bytes(&r, 1).len, 0);
        }
    }
}

PV_TEST(a_view_over_its_limit_is_malformed)
{
    uint8_t buf[6] = {0, 4, 1, 2, 3, 4};
    struct pv_reader r = pv_reader(pv_view(buf, 6));
    assert_int_equal(pv_get_view16(&r, 4).len, 4);
    r = pv_reader(pv_view(buf, 6));
    assert_int_equal(pv_get_view16(&r, 3).len, 0);
    assert_int_equal(pv_reader_end(&r), PV_ERR_MALFORMED);
    pv_reader_fail(&r, PV_ERR_AUTH); /* the first failure stays */
    assert_int_equal(r.status, PV_ERR_MALFORMED);
}

PV_TEST(every_short_buffer_is_reported)
{
    for (size_t cap = 0; cap <= 20; cap++) {
        uint8_t *buf = malloc(cap + 1);
        assert_non_null(buf);
        struct pv_writer w = pv_writer(buf, cap);
        pv_put_u8(&w, 1);
        pv_put_u16(&w, 1);
        pv_put_u32(&w, 1);
        pv_put_u64(&w, 1);
        pv_put_view16(&w, pv_view("abc", 3));
        assert_int_equal(w.status, cap < 20 ? PV_ERR_NO_SPACE : PV_OK);
        assert_true(w.len <= cap);
        free(buf);
    }
    static uint8_t big[70000];
    struct pv_writer w = pv_writer(big, sizeof(big));
    pv_put_view16(&w, pv_view(big, 65536));
    assert_int_equal(w.status, PV_ERR_NO_SPACE);
}

PV_TEST(loads_and_stores_agree_in_both_orders)
{
    uint8_t b[8];
    pv_store_be64(b, 0x0102030405060708u);
    assert_true(pv_load_be64(b) == 0x0102030405060708u);
    assert_true(pv_load_le64(b) == 0x0807060504030201u);
    pv_store_le64(b, 0x0102030405060708u);
    assert_true(pv_load_le64(b) == 0x0102030405060708u);
    assert_int_equal(pv_load_be16(b), 0x0807);
    pv_store_le32(b, 0xfffefdfc);
    assert_int_equal(pv_load_le32(b), 0xfffefdfc);
    assert_int_equal(pv_load_be32(b), 0xfcfdfeff);
}

PV_TEST(random_numbers_below_a_bound_reach_all_of_it)
{
    struct test_rng seed;
    struct pv_rng rng = test_rng_make(&seed, 5);
    unsigned seen[7] = {0};
    for (int i = 0; i < 7000; i++) {
        uint32_t v = pv_rng_below(&rng, 7);
        assert_true(v < 7);
        seen[v]++;
    }
    for (size_t i = 0; i < 7; i++)
        assert_in_range(seen[i], 800, 1200);
    assert_int_equal(pv_rng_below(&rng, 1), 0);
}

PV_TEST(every_status_has_a_phrase)
{
    for (int s = PV_ERR_AGAIN; s >= PV_ERR_CRYPTO; s--)
        assert_string_not_equal(pv_strstatus(s), "unknown status");
    assert_string_equal(pv_strstatus(PV_OK), "ok");
    assert_string_equal(pv_strstatus(-4711), "unknown status");
    assert_string_equal(pv_strstatus(-2), "No such file or directory");
}

/* Another path would not help a process that may open no more files. */
PV_TEST(a_limit_of_files_is_told_with_its_remedy_and_no_other)
{
    assert_has(pv_strstatus(-EMFILE), "LimitNOFILE=");
    assert_has(pv_strstatus(-ENFILE), "fs.file-max");
    assert_string_equal(pv_unless_exhausted(-EMFILE, ": choose another"), "");
    assert_string_equal(pv_unless_exhausted(PV_ERR_NOMEM, ": choose another"), "");
    assert_string_equal(pv_unless_exhausted(-EACCES, ": choose another"), ": choose another");
}
