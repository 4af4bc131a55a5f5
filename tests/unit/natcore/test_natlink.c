/* SPDX-License-Identifier: MIT */
/* The bad line of the NAT emulator and the simulator, and the words a NAT is configured with. */
#include "tests/natcore/natcore_link.h"
#include "tests/natcore/natcore_text.h"
#include "tests/unit/test_util.h"

static void the_line_delays_loses_and_repeats(void **state)
{
    (void)state;
    struct pv_link link;
    pv_link_init(&link, 3);
    link.config = (struct pv_link_config){
        .loss = 0.2, .duplicate = 0.1, .delay = PV_MS(30), .jitter = PV_MS(10)};
    for (uint64_t i = 0; i < 10000; i++)
        pv_link_send(&link, (const uint8_t *)&i, sizeof(i), i, PV_MS(i));
    assert_true(link.stats.lost > 1800 && link.stats.lost < 2200);
    assert_true(link.stats.duplicated > 650 && link.stats.duplicated < 950);
    uint8_t *data = NULL;
    size_t len = 0;
    uint64_t tag = 0;
    uint64_t last = 0;
    uint64_t n = 0;
    while (link.len > 0) {
        pv_ns due = pv_link_next(&link);
        assert_int_equal(pv_link_receive(&link, due - 1, &data, &len, &tag), PV_ERR_AGAIN);
        assert_int_equal(pv_link_receive(&link, due, &data, &len, &tag), PV_OK);
        assert_true(due >= PV_MS(tag) + PV_MS(30) && due <= PV_MS(tag) + PV_MS(40));
        assert_true(tag >= last); /* jitter alone keeps the order */
        last = tag;
        n++;
        free(data);
    }
    assert_int_equal(n, 10000 - link.stats.lost + link.stats.duplicated);
    pv_link_done(&link);
}

static void the_line_reorders_only_when_told(void **state)
{
    (void)state;
    struct pv_link link;
    pv_link_init(&link, 3);
    link.config = (struct pv_link_config){.reorder = 0.3, .reorder_by = PV_MS(5)};
    unsigned swapped = 0;
    uint64_t last = 0;
    for (uint64_t i = 0; i < 1000; i++)
        pv_link_send(&link, (const uint8_t *)"x", 1, i, PV_MS(i));
    while (link.len > 0) {
        uint8_t *data = NULL;
        size_t len = 0;
        uint64_t tag = 0;
        assert_int_equal(pv_link_receive(&link, PV_NEVER - 1, &data, &len, &tag), PV_OK);
        swapped += tag < last ? 1 : 0;
        last = tag;
        free(data);
    }
    assert_true(swapped > 100);
    pv_link_done(&link);
}

static void the_line_has_a_rate_and_a_queue(void **state)
{
    (void)state;
    static const uint8_t kilobyte[1000];
    struct pv_link link;
    pv_link_init(&link, 3);
    link.config = (struct pv_link_config){.rate_bps = 8000000, .queue = 10000}; /* 1 ms a packet */
    for (int i = 0; i < 100; i++)
        pv_link_send(&link, kilobyte, sizeof(kilobyte), 0, PV_S(1));
    assert_true(link.len >= 10 && link.len <= 12);
    assert_int_equal(link.stats.overflow, 100 - link.len);
    assert_int_equal(pv_link_next(&link), PV_S(1) + PV_MS(1));
    pv_link_done(&link);
}

static void settings_are_taken_whole_or_not_at_all(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value;
        int status;
        const char *why;
    } rows[] = {
        {"mapping", "ad", PV_OK, "a word"},
        {"mapping", "a", PV_ERR_MALFORMED, "the beginning of a word"},
        {"mapping", "", PV_ERR_MALFORMED, "nothing"},
        {"nonsense", "1", PV_ERR_NOT_FOUND, "no such setting"},
        {"range", "1024-65535", PV_OK, "a range"},
        {"range", "1024-65536", PV_ERR_MALFORMED, "one over"},
        {"range", "2000-1999", PV_ERR_MALFORMED, "the wrong way round"},
        {"step", "0", PV_ERR_MALFORMED, "a step that goes nowhere"},
        {"loss", "5%", PV_OK, "percent, both lines"},
        {"in-loss", "0.5", PV_OK, "one line"},
        {"loss", "many", PV_ERR_MALFORMED, "not a number"},
        {"delay", "30", PV_OK, "milliseconds"},
        {"delay", "-1", PV_ERR_MALFORMED, "negative"},
        {"rate", "2M", PV_OK, "bits a second"},
        {"public", "1.2.3.4,5.6.7.8", PV_OK, "two addresses"},
        {"public", "1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4,1.1.1.5,1.1.1.6,1.1.1.7,1.1.1.8", PV_OK,
         "as many as there may be"},
        {"public", "1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4,1.1.1.5,1.1.1.6,1.1.1.7,1.1.1.8,1.1.1.9",
         PV_ERR_MALFORMED, "one over"},
        {"public", "::1", PV_ERR_MALFORMED, "IPv6"},
        {"udp", "53,443", PV_OK, "ports"},
        {"udp", "0", PV_ERR_MALFORMED, "no port"},
        {"udp", "1,2,3,4,5,6,7,8,9", PV_ERR_MALFORMED, "one over"},
        {"profile", "symmetric", PV_OK, "a profile"},
        {"profile", "cone", PV_ERR_MALFORMED, "no such profile"},
        {"block-size", "65536", PV_ERR_MALFORMED, "one over"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_nat_config before;
        pv_nat_config_init(&before);
        struct pv_nat_config after = before;
        int r = pv_nat_set(&after, rows[i].key, rows[i].value);
        if (r != rows[i].status)
            fail_msg("%s=%s (%s): %d", rows[i].key, rows[i].value, rows[i].why, r);
        if (r < 0)
            assert_memory_equal(&before, &after, sizeof(before));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_line_delays_loses_and_repeats),
        cmocka_unit_test(the_line_reorders_only_when_told),
        cmocka_unit_test(the_line_has_a_rate_and_a_queue),
        cmocka_unit_test(settings_are_taken_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
