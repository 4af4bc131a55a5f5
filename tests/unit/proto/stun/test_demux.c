/* SPDX-License-Identifier: MIT */
#include "base/bytes.h"
#include "proto/stun/demux.h"
#include "proto/stun/stun.h"
#include "tests/unit/test_util.h"

/* First four bytes and a length; the rest is zero unless the cookie is asked for. */
static enum pv_demux kind(uint32_t head, size_t len, bool cookie)
{
    uint8_t *buf = calloc(1, len + 1);
    assert_non_null(buf);
    uint8_t *exact = malloc(len + (len == 0));
    assert_non_null(exact);
    uint8_t first[8];
    pv_store_be32(first, head);
    pv_store_be32(first + 4, cookie ? PV_STUN_COOKIE : 0);
    memcpy(buf, first, len < 8 ? len : 8);
    memcpy(exact, buf, len);
    enum pv_demux k = pv_demux(pv_view(exact, len));
    free(exact);
    free(buf);
    return k;
}

PV_TEST(tells_the_kinds_apart_at_their_exact_bounds)
{
    static const struct {
        uint32_t head;
        size_t len;
        bool cookie;
        enum pv_demux want;
        const char *why;
    } ROWS[] = {
        {0x01000000, 148, false, PV_DEMUX_WG_INITIATION, "message 1"},
        {0x01000001, 148, false, PV_DEMUX_WG_INITIATION, "message 1, second suite"},
        {0x01000002, 148, false, PV_DEMUX_JUNK, "message 1, no such suite"},
        {0x01000000, 147, false, PV_DEMUX_JUNK, "message 1, short"},
        {0x01000000, 149, false, PV_DEMUX_JUNK, "message 1, long"},
        {0x01000100, 148, false, PV_DEMUX_JUNK, "reserved byte"},
        {0x01010000, 148, false, PV_DEMUX_JUNK, "reserved byte"},
        {0x02000000, 92, false, PV_DEMUX_WG_RESPONSE, "message 2"},
        {0x02000001, 92, false, PV_DEMUX_WG_RESPONSE, "message 2, second suite"},
        {0x02000000, 91, false, PV_DEMUX_JUNK, "message 2, short"},
        {0x02000000, 93, false, PV_DEMUX_JUNK, "message 2, long"},
        {0x03000000, 64, false, PV_DEMUX_WG_COOKIE, "message 3"},
        {0x03000001, 64, false, PV_DEMUX_JUNK, "message 3 has no suite"},
        {0x03000000, 63, false, PV_DEMUX_JUNK, "message 3, short"},
        {0x04000000, 32, false, PV_DEMUX_WG_DATA, "keepalive"},
        {0x04000000, 48, false, PV_DEMUX_WG_DATA, "data"},
        {0x04000000, 16, false, PV_DEMUX_JUNK, "data without a tag"},
        {0x04000000, 31, false, PV_DEMUX_JUNK, "data one byte short"},
        {0x04000000, 1452, false, PV_DEMUX_WG_DATA, "a full packet: no padding beyond the MTU"},
        {0x04000001, 48, false, PV_DEMUX_JUNK, "data has no suite"},
        {0x05000000, 148, false, PV_DEMUX_JUNK, "no such message"},
        {0x00000000, 148, false, PV_DEMUX_JUNK, "zeros"},
        {0x00010000, 20, true, PV_DEMUX_STUN, "Binding request"},
        {0x00010000, 20, false, PV_DEMUX_JUNK, "classic Binding request"},
        {0x00010004, 24, true, PV_DEMUX_STUN, "with a body"},
        {0x00010004, 23, true, PV_DEMUX_JUNK, "body cut"},
        {0x00010004, 25, true, PV_DEMUX_JUNK, "trailing byte"},
        {0x00010003, 23, true, PV_DEMUX_JUNK, "length not a multiple of 4"},
        {0x01010000, 20, true, PV_DEMUX_STUN, "response"},
        {0x01000000, 148, true, PV_DEMUX_WG_INITIATION, "a length that is not STUN's decides"},
        {0x3fff0000, 20, true, PV_DEMUX_STUN, "last type"},
        {0x40000000, 4, false, PV_DEMUX_CHANNEL, "empty ChannelData"},
        {0x40000010, 20, false, PV_DEMUX_CHANNEL, "ChannelData"},
        {0x40000010, 19, false, PV_DEMUX_JUNK, "ChannelData, short"},
        {0x40000010, 23, false, PV_DEMUX_CHANNEL, "ChannelData, padded"},
        {0x4fff0000, 4, false, PV_DEMUX_CHANNEL, "last channel"},
        {0x50000000, 4, false, PV_DEMUX_JUNK, "past the channels"},
        {0xffffffff, 148, false, PV_DEMUX_JUNK, "junk"},
        {0x04000000, 0, false, PV_DEMUX_JUNK, "empty"},
        {0x04000000, 3, false, PV_DEMUX_JUNK, "three bytes"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(ROWS); i++) {
        enum pv_demux got = kind(ROWS[i].head, ROWS[i].len, ROWS[i].cookie);
        if (got != ROWS[i].want)
            fail_msg("%s: got %d", ROWS[i].why, (int)got);
    }
}

PV_TEST(no_length_makes_a_wireguard_message_out_of_stun)
{
    /* Every class of every assigned method, whatever its length (TRAVERSAL 2). */
    for (unsigned method = 1; method <= 15; method++) {
        for (unsigned cls = 0; cls < 4; cls++) {
            for (size_t body = 0; body <= 512; body += 4) {
                uint8_t buf[PV_STUN_HEADER_LEN + 520];
                uint8_t txid[PV_STUN_TXID_LEN] = {0};
                struct pv_stun_writer w;
                size_t len;
                pv_stun_write_begin(&w, buf, sizeof(buf), (enum pv_stun_class)cls, (uint16_t)method,
                                    txid);
                if (body > 0)
                    pv_stun_put_padding(&w, body - 4);
                assert_ok(pv_stun_write_end(&w, &len));
                assert_int_equal(pv_demux(pv_view(buf, len)), PV_DEMUX_STUN);
                assert_false(buf[0] >= 1 && buf[0] <= 4 && buf[1] == 0 && buf[2] == 0);
            }
        }
    }
}
