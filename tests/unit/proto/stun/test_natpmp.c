/* SPDX-License-Identifier: MIT */
#include "proto/stun/natpmp.h"
#include "tests/unit/test_util.h"

/* RFC 6886 s3.2 and s3.3, byte for byte. */
PV_TEST(writes_both_requests)
{
    static const uint8_t map[] = {0, 1, 0, 0, 0x9c, 0x4f, 0x9c, 0x50, 0, 0, 0x1c, 0x20};
    uint8_t address[PV_NATPMP_ADDRESS_LEN], buf[PV_NATPMP_MAP_LEN];
    pv_natpmp_write_address(address);
    assert_int_equal(address[0], 0);
    assert_int_equal(address[1], 0);
    pv_natpmp_write_map(buf, 40015, 40016, 7200);
    assert_memory_equal(buf, map, sizeof(map));
}

PV_TEST(reads_both_answers)
{
    static const uint8_t address[] = {0, 128, 0, 0, 0, 0, 1, 2, 203, 0, 113, 9};
    static const uint8_t map[] = {0, 129, 0, 0, 0, 0, 1, 3, 0x9c, 0x4f, 0x9c, 0x50, 0, 0, 0, 60};
    struct pv_natpmp_answer a;
    assert_ok(pv_natpmp_decode(pv_view(address, sizeof(address)), &a));
    const struct pv_addr outer = pv_addr4(203, 0, 113, 9, 0);
    assert_int_equal(a.opcode, PV_NATPMP_ADDRESS);
    assert_int_equal(a.epoch, 258);
    assert_true(pv_addr_equal_ip(&a.external, &outer));
    assert_ok(pv_natpmp_decode(pv_view(map, sizeof(map)), &a));
    assert_int_equal(a.opcode, PV_NATPMP_MAP_UDP);
    assert_int_equal(a.internal_port, 40015);
    assert_int_equal(a.external_port, 40016);
    assert_int_equal(a.lifetime, 60);
    assert_int_equal(a.external.family, PV_AF_NONE);
}

/* An error may come with or without the rest of the answer (RFC 6886 s3.5). */
PV_TEST(reads_an_error_and_nothing_behind_it)
{
    static const uint8_t map[16] = {0, 129, 0, 2, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    struct pv_natpmp_answer a;
    for (size_t len = 8; len <= sizeof(map); len += 8) {
        assert_ok(pv_natpmp_decode(pv_view(map, len), &a));
        assert_int_equal(a.code, PV_NATPMP_NOT_AUTHORIZED);
        assert_int_equal(a.external_port, 0);
        assert_string_equal(pv_natpmp_code_text(a.code), "it does not allow it");
    }
}

PV_TEST(refuses_what_is_no_answer)
{
    static const struct {
        uint8_t version, opcode;
        size_t len;
        int status;
    } rows[] = {{0, 128, 11, PV_ERR_TRUNCATED}, {0, 129, 15, PV_ERR_TRUNCATED},
                {0, 129, 7, PV_ERR_TRUNCATED},  {0, 128, 13, PV_ERR_MALFORMED},
                {0, 129, 17, PV_ERR_MALFORMED}, {0, 1, 16, PV_ERR_MALFORMED},
                {2, 129, 16, PV_ERR_MALFORMED}, {0, 130, 16, PV_ERR_MALFORMED}};
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        const uint8_t buf[17] = {rows[i].version, rows[i].opcode};
        struct pv_natpmp_answer a;
        assert_int_equal(pv_natpmp_decode(pv_view(buf, rows[i].len), &a), rows[i].status);
    }
}
