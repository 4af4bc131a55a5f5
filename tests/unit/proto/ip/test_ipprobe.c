/* SPDX-License-Identifier: MIT */
/* The packets of a probe: what a kernel takes from the member, and what of this host's is its
 * answer. */
#include "base/bytes.h"
#include "proto/ip/ipprobe.h"
#include "tests/unit/test_util.h"

static struct pv_ipprobe probe_of(uint8_t proto, bool six)
{
    struct pv_ipprobe p = {.here = pv_addr4(10, 66, 0, 1, 5000),
                           .there = pv_addr4(10, 66, 0, 2, 60000),
                           .proto = proto};
    if (six) {
        p.here =
            (struct pv_addr){.family = PV_AF_INET6, .ip = {0xfd, 0x66, [15] = 1}, .port = 5000};
        p.there =
            (struct pv_addr){.family = PV_AF_INET6, .ip = {0xfd, 0x66, [15] = 2}, .port = 60000};
    }
    return p;
}

/* The other end of the same connection: what it writes comes from this host. */
static struct pv_ipprobe turned(const struct pv_ipprobe *p)
{
    return (struct pv_ipprobe){.here = p->there, .there = p->here, .proto = p->proto};
}

static enum pv_ipprobe_is read_it(const struct pv_ipprobe *p, struct pv_view packet, uint32_t *seq)
{
    struct pv_ippkt ip;
    assert_ok(pv_ippkt_parse(packet, &ip));
    return pv_ipprobe_read(p, &ip, seq);
}

static void expect_sums(struct pv_view packet, uint8_t proto)
{
    struct pv_ippkt ip;
    assert_ok(pv_ippkt_parse(packet, &ip));
    assert_int_equal(ip.whole.len, packet.len);
    assert_int_equal(ip.proto, proto);
    const size_t addr = ip.version == 4 ? 4 : 16;
    if (ip.version == 4)
        assert_int_equal(pv_ippkt_fold(pv_ippkt_sum(pv_view(packet.ptr, 20), 0)), 0xffff);
    uint32_t pseudo = pv_ippkt_sum(pv_view(ip.src, 2 * addr), (uint32_t)ip.l4.len + proto);
    assert_int_equal(pv_ippkt_fold(pv_ippkt_sum(ip.l4, pseudo)), 0xffff);
}

PV_TEST(each_packet_has_its_checksums_and_is_recognised_from_the_other_end)
{
    static const uint8_t protos[] = {PV_IP_PROTO_TCP, PV_IP_PROTO_UDP};
    uint8_t packet[PV_IPPROBE_MAX];
    for (size_t i = 0; i < 2; i++)
        for (int six = 0; six < 2; six++)
            for (int kind = PV_IPPROBE_BEGIN; kind <= PV_IPPROBE_REFUSE; kind++) {
                const struct pv_ipprobe p = probe_of(protos[i], six), from_here = turned(&p);
                uint32_t seq;
                size_t len = pv_ipprobe_write(&p, (enum pv_ipprobe_kind)kind, 7, packet);
                expect_sums(pv_view(packet, len), protos[i]);
                /* The member's own packet is none of this host's. */
                assert_int_equal(read_it(&p, pv_view(packet, len), &seq), PV_IPPROBE_OTHER);
                len = pv_ipprobe_write(&from_here, (enum pv_ipprobe_kind)kind, 7, packet);
                bool reset = protos[i] == PV_IP_PROTO_TCP && kind != PV_IPPROBE_BEGIN;
                assert_int_equal(read_it(&p, pv_view(packet, len), &seq),
                                 reset ? PV_IPPROBE_REFUSAL : PV_IPPROBE_PACKET);
                assert_int_equal(seq, protos[i] == PV_IP_PROTO_UDP ? 0
                                      : kind == PV_IPPROBE_REFUSE  ? 0
                                      : kind == PV_IPPROBE_END     ? 8
                                                                   : 7);
            }
}

PV_TEST(a_refusal_answers_the_number_of_the_syn)
{
    const struct pv_ipprobe p = probe_of(PV_IP_PROTO_TCP, false);
    uint8_t packet[PV_IPPROBE_MAX];
    size_t len = pv_ipprobe_write(&p, PV_IPPROBE_REFUSE, UINT32_MAX, packet);
    assert_int_equal(len, 40);
    assert_int_equal(pv_load_be32(packet + 28), 0); /* acknowledged: the number and one */
    assert_int_equal(packet[33], 0x14);
}

PV_TEST(other_connections_are_no_part_of_it)
{
    const struct pv_ipprobe p = probe_of(PV_IP_PROTO_TCP, false);
    uint8_t packet[PV_IPPROBE_MAX];
    uint32_t seq;
    for (int i = 0; i < 4; i++) {
        struct pv_ipprobe other = turned(&p);
        other.here.port = i == 0 ? 60001 : other.here.port;
        other.there.port = i == 1 ? 5001 : other.there.port;
        other.here.ip[3] = i == 2 ? 3 : other.here.ip[3];
        other.proto = i == 3 ? PV_IP_PROTO_UDP : other.proto;
        size_t len = pv_ipprobe_write(&other, PV_IPPROBE_BEGIN, 1, packet);
        assert_int_equal(read_it(&p, pv_view(packet, len), &seq), PV_IPPROBE_OTHER);
    }
}

PV_TEST(a_header_that_is_cut_is_no_packet_of_it)
{
    const struct pv_ipprobe p = probe_of(PV_IP_PROTO_TCP, false), from_here = turned(&p);
    uint8_t packet[PV_IPPROBE_MAX];
    uint32_t seq;
    size_t len = pv_ipprobe_write(&from_here, PV_IPPROBE_BEGIN, 1, packet);
    for (size_t n = 20; n < len; n++) {
        pv_store_be16(packet + 2, (uint16_t)n);
        assert_int_equal(read_it(&p, pv_view(packet, n), &seq), PV_IPPROBE_OTHER);
    }
}

PV_TEST(an_icmp_error_to_the_member_is_a_refusal)
{
    for (int six = 0; six < 2; six++) {
        const struct pv_ipprobe p = probe_of(PV_IP_PROTO_UDP, six);
        uint8_t packet[PV_IPPROBE_MAX], error[PV_IPPKT_ERROR_MAX];
        struct pv_ippkt ip;
        size_t len = pv_ipprobe_write(&p, PV_IPPROBE_BEGIN, 0, packet);
        uint32_t seq;
        assert_ok(pv_ippkt_parse(pv_view(packet, len), &ip));
        assert_ok(pv_ippkt_error(&ip, PV_IPPKT_UNREACHABLE, 0, error, sizeof(error), &len));
        assert_int_equal(read_it(&p, pv_view(error, len), &seq), PV_IPPROBE_REFUSAL);
    }
}
