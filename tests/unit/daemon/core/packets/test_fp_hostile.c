/* SPDX-License-Identifier: MIT */
/* The packets of a hostile member, and those of them that come out of the TUN: without rules, for
 * test_fp_guard.c is about those. */
#include "daemon/core/packets/fp_state.h"
#include "fp_pair.h"

enum {
    ICMP = 1,
    IGMP = 2,
    ICMP6 = 58,
};

/* Node b = 10.66.0.2 with the members a = 10.66.0.1, which is hostile, and c = 10.66.0.3. */
static struct fp_pair t;

void test_before_each(void)
{
    fp_pair_connect(&t);
    (void)fp_add_member(&t.b, 3);
    fp_publish(&t.b);
}

/* A packet of a with this behind its header. */
struct inner {
    uint8_t b[200];
    size_t len;
};

static struct inner packet(const char *dst, uint8_t proto, const uint8_t *l4, size_t len)
{
    struct inner p = {.len = 0};
    struct pv_addr to = test_ip(dst);
    bool four = to.family == PV_AF_INET;
    size_t head = four ? 20 : 40;
    p.len = fp_packet(p.b, four ? fp_ip4(1) : fp_ip6(1), to, head + (len < 12 ? 12 : len), 0);
    p.b[four ? 9 : 6] = proto;
    memset(p.b + head, 0, p.len - head);
    memcpy(p.b + head, l4, len);
    return p;
}

/* Does it come out of b's TUN? It seals by itself what a's own node would not send. */
static bool passes(const struct inner *p)
{
    uint8_t wire[400];
    assert_ok(pv_fp_inject(t.a.w, t.a.snap, t.b_at_a, pv_view(p->b, p->len), t.now));
    struct pv_fp_results r = pv_fp_results(t.a.w);
    assert_int_equal(r.n_sends, 1);
    assert_true(r.sends[0].len <= sizeof(wire));
    memcpy(wire, r.sends[0].data, r.sends[0].len);
    return fp_rx_one(&t.b, fp_carrier(1), wire, r.sends[0].len, t.now).n_writes == 1;
}

static bool sends(const char *dst, uint8_t proto, const uint8_t *l4, size_t len)
{
    struct inner p = packet(dst, proto, l4, len);
    return passes(&p);
}

/* An IGMPv1 query would make the kernel speak IGMPv1, which leaves no group. */
PV_TEST(it_asks_no_kernel_for_its_groups)
{
    static const uint8_t query1[12] = {0x11}, query3[12] = {0x11, 10}, report[12] = {0x16};
    static const uint8_t mld[24] = {130}, done[24] = {132}, echo[24] = {128}, solicit[24] = {133};
    assert_false(sends("224.0.0.1", IGMP, query1, sizeof(query1)));
    assert_false(sends("10.66.0.2", IGMP, query3, sizeof(query3)));
    assert_false(sends("239.1.2.3", IGMP, report, sizeof(report)));
    assert_false(sends("ff02::1", ICMP6, mld, sizeof(mld)));
    assert_false(sends("fd00::2", ICMP6, mld, sizeof(mld)));
    assert_false(sends("ff05::7", ICMP6, done, sizeof(done)));
    assert_false(sends("ff02::2", ICMP6, solicit, sizeof(solicit)));
    assert_int_equal(pv_fp_drops(t.b.w, PV_FP_DROP_QUIET), 7);
    assert_true(sends("ff02::1", ICMP6, echo, sizeof(echo)));
}

PV_TEST(it_is_nobodys_dhcp_server)
{
    static const uint8_t offer[12] = {0, 67, 0, 68, 0, 12}, offer6[12] = {2, 35, 2, 34, 0, 12};
    static const uint8_t beacon[12] = {0, 67, 0, 69, 0, 12};
    assert_false(sends("255.255.255.255", 17, offer, sizeof(offer)));
    assert_false(sends("10.66.255.255", 17, offer, sizeof(offer)));
    assert_false(sends("ff02::1", 17, offer6, sizeof(offer6)));
    assert_int_equal(pv_fp_drops(t.b.w, PV_FP_DROP_QUIET), 3);
    assert_true(sends("255.255.255.255", 17, beacon, sizeof(beacon)));
    assert_true(sends("10.66.0.2", 17, offer, sizeof(offer))); /* to b alone: a relay of DHCP */
}

/* An error of this type, about a packet of b to somebody. */
static struct inner error(int version, uint8_t type, struct pv_addr dst)
{
    uint8_t l4[8 + 80] = {type};
    struct pv_addr src = version == 4 ? fp_ip4(2) : fp_ip6(2);
    size_t len = fp_packet(l4 + 8, src, dst, 60, 0);
    return packet(version == 4 ? "10.66.0.2" : "fd00::2", version == 4 ? ICMP : ICMP6, l4, 8 + len);
}

/* Else a makes what b sends to c, or to the internet, as small as it likes. */
PV_TEST(it_speaks_of_no_packet_that_went_elsewhere)
{
    static const uint8_t types4[] = {3, 4, 11, 12}, types6[] = {1, 2, 3, 100};
    for (size_t i = 0; i < sizeof(types4); i++) {
        struct inner own = error(4, types4[i], fp_ip4(1)), other = error(4, types4[i], fp_ip4(3));
        struct inner far = error(4, types4[i], test_ip("192.0.2.1"));
        assert_true(passes(&own));
        assert_false(passes(&other));
        assert_false(passes(&far));
        own = error(6, types6[i], fp_ip6(1));
        other = error(6, types6[i], fp_ip6(3));
        far = error(6, types6[i], test_ip("2001:db8::1"));
        assert_true(passes(&own));
        assert_false(passes(&other));
        assert_false(passes(&far));
    }
    assert_int_equal(pv_fp_drops(t.b.w, PV_FP_DROP_SOURCE), 16);
}

/* Router advertisements and the like, to one and to all; and packets whose sender chose the way. */
PV_TEST(it_is_nobodys_router)
{
    static const uint8_t types4[] = {5, 9, 10}, types6[] = {134, 137, 138, 151, 152, 153};
    for (size_t i = 0; i < sizeof(types4); i++) {
        struct inner own = error(4, types4[i], fp_ip4(1));
        assert_false(passes(&own));
        assert_false(sends("224.0.0.1", ICMP, types4 + i, 1));
    }
    for (size_t i = 0; i < sizeof(types6); i++) {
        struct inner own = error(6, types6[i], fp_ip6(1));
        assert_false(passes(&own));
        assert_false(sends("ff02::1", ICMP6, types6 + i, 1));
    }
    uint8_t routing[24] = {17, 2}; /* RH0 with one address, nothing left to visit */
    assert_false(sends("fd00::2", 43, routing, sizeof(routing)));
    routing[2] = 4; /* segment routing is another type, and asks for nothing here */
    assert_true(sends("fd00::2", 43, routing, sizeof(routing)));
    static const uint8_t ways[][8] = {{131, 7, 4, 10, 66, 0, 3}, {1, 137, 7, 4, 10, 66, 0, 3}};
    for (size_t i = 0; i < 2; i++) {
        struct inner p = packet("10.66.0.2", 17, ways[i], 8); /* what is behind is of no matter */
        p.b[0] = 0x47;
        assert_false(passes(&p));
        p.b[20 + i] = 148; /* router alert: no source route */
        p.b[21 + i] = 4;
        p.b[24 + i] = 0;
        assert_true(passes(&p));
    }
    assert_int_equal(pv_fp_drops(t.b.w, PV_FP_DROP_QUIET), 18 + 1 + 2);
}

PV_TEST(it_hides_nothing_behind_fragments_and_headers)
{
    struct inner first = error(4, 3, fp_ip4(1));
    first.b[6] = 0x20; /* more follow */
    assert_false(passes(&first));

    /* So many headers that nobody reads on, where a kernel would. */
    uint8_t l4[120] = {0};
    for (size_t i = 0; i < 10; i++)
        l4[8 * i] = i < 9 ? 60 : ICMP6;
    l4[80] = 2;
    assert_false(sends("fd00::2", 60, l4, sizeof(l4)));
    assert_int_equal(pv_fp_drops(t.b.w, PV_FP_DROP_INNER), 1);

    uint8_t part[20] = {ICMP6, 0, 0, 1}; /* a first fragment */
    part[8] = 2;
    assert_false(sends("fd00::2", 44, part, sizeof(part)));
    part[8] = 128;
    assert_true(sends("fd00::2", 44, part, sizeof(part)));
}
