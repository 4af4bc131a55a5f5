/* SPDX-License-Identifier: MIT */
/* The bad line of the NAT emulator and the simulator, and the words a NAT is configured with. */
#include "tests/natcore/natcore_link.h"
#include "tests/natcore/natcore_pkt.h"
#include "tests/natcore/natcore_text.h"
#include "tests/unit/test_util.h"

PV_TEST(the_line_delays_loses_and_repeats)
{
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

PV_TEST(the_line_reorders_only_when_told)
{
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

PV_TEST(the_line_has_a_rate_and_a_queue)
{
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

/* A packet over a line with this configuration, and what came out of it. */
static void cross(struct pv_link *link, uint8_t *packet, size_t len)
{
    uint8_t *data = NULL;
    size_t n = 0;
    pv_link_send(link, packet, len, 0, PV_MS(1));
    assert_int_equal(pv_link_receive(link, PV_MS(1), &data, &n, NULL), PV_OK);
    assert_int_equal(n, len);
    memcpy(packet, data, len);
    free(data);
}

PV_TEST(damage_falls_everywhere_and_checksums_see_it)
{
    struct pv_addr src, dst;
    assert_int_equal(pv_addr_parse("192.0.2.1:1000", &src), PV_OK);
    assert_int_equal(pv_addr_parse("198.51.100.2:53", &dst), PV_OK);
    static const uint8_t payload[100];
    struct pv_link link;
    pv_link_init(&link, 5);
    link.config = (struct pv_link_config){.damage = 1};
    bool fell[128] = {false};
    for (unsigned i = 0; i < 5000; i++) {
        uint8_t sent[128], packet[128];
        size_t len =
            pv_natpkt_udp(sent, sizeof(sent), &src, &dst, pv_view(payload, sizeof(payload)));
        assert_int_equal(len, sizeof(sent));
        memcpy(packet, sent, len);
        cross(&link, packet, len);
        unsigned others = 0;
        for (size_t at = 0; at < len; at++) {
            others += packet[at] != sent[at] ? 1 : 0;
            fell[at] = fell[at] || packet[at] != sent[at];
        }
        assert_true(others >= 1 && others <= 4);
        struct pv_natpkt pkt;
        if (memcmp(sent, packet, 28) == 0 && pv_natpkt_parse(packet, len, &pkt) == PV_OK)
            assert_false(pv_natpkt_checksum_ok(&pkt));
    }
    for (size_t at = 0; at < sizeof(fell); at++)
        assert_true(fell[at]);
    assert_int_equal(link.stats.damaged, 5000);
    pv_link_done(&link);
}

PV_TEST(mended_damage_is_seen_by_no_checksum)
{
    static const char *const ends[][2] = {{"192.0.2.1:1000", "198.51.100.2:53"},
                                          {"[2001:db8::1]:1000", "[2001:db8::2]:53"}};
    static const uint8_t payload[101];
    for (unsigned family = 0; family < 2; family++) {
        struct pv_addr src, dst;
        assert_int_equal(pv_addr_parse(ends[family][0], &src), PV_OK);
        assert_int_equal(pv_addr_parse(ends[family][1], &dst), PV_OK);
        struct pv_link link;
        pv_link_init(&link, 5);
        link.config = (struct pv_link_config){.damage = 1, .mended = 1};
        link.mend = pv_natpkt_mend;
        unsigned looked_at = 0;
        for (unsigned i = 0; i < 5000; i++) {
            uint8_t sent[256], packet[256];
            struct pv_natpkt pkt;
            size_t len = i % 2 == 0 ? pv_natpkt_udp(sent, sizeof(sent), &src, &dst,
                                                    pv_view(payload, sizeof(payload)))
                                    : pv_natpkt_echo(sent, sizeof(sent), &src, &dst, i,
                                                     pv_view(payload, sizeof(payload)));
            memcpy(packet, sent, len);
            cross(&link, packet, len);
            /* A damaged header may be that of anything: of no packet, of a fragment, of another
             * protocol. */
            if (pv_natpkt_parse(packet, len, &pkt) < 0 || pkt.fragment || pkt.proto == 6)
                continue;
            assert_true(pv_natpkt_checksum_ok(&pkt));
            looked_at++;
        }
        assert_true(looked_at > 4000);
        assert_int_equal(link.stats.mended, 5000);
        pv_link_done(&link);
    }
}

PV_TEST(settings_are_taken_whole_or_not_at_all)
{
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
        {"damage", "5%", PV_OK, "damage, both lines"},
        {"out-mended", "50%", PV_OK, "half of it unseen"},
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
