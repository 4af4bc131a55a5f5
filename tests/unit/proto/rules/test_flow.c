/* SPDX-License-Identifier: MIT */
/* Which flow a packet belongs to, and how long it is known. */
#include "base/bytes.h"
#include "proto/rules/flow.h"
#include "tests/unit/test_util.h"

enum {
    OWN = 1, /* last byte of this node's address */
    PEER = 2,
};

#define PORTS(src, dst) ((uint32_t)(src) << 16 | (dst))

struct packet {
    uint8_t b[120];
    size_t len;
};

/* An IP packet of either family from one of the two to the other, with l4 behind its header. */
static struct packet ip_packet(int version, uint8_t src, uint8_t dst, uint8_t proto,
                               const uint8_t *l4, size_t l4_len)
{
    struct packet p = {.len = (version == 4 ? 20u : 40u) + l4_len};
    p.b[0] = version == 4 ? 0x45 : 0x60;
    if (version == 4) {
        pv_store_be16(p.b + 2, (uint16_t)p.len);
        p.b[9] = proto;
        memcpy(p.b + 12, (uint8_t[]){10, 66, 0, src, 10, 66, 0, dst}, 8);
    } else {
        pv_store_be16(p.b + 4, (uint16_t)l4_len);
        p.b[6] = proto;
        p.b[8] = p.b[24] = 0xfd;
        p.b[23] = src;
        p.b[39] = dst;
    }
    memcpy(p.b + p.len - l4_len, l4, l4_len);
    return p;
}

/* Ports: that of the source in the upper half. */
static struct packet ports_packet(int version, uint8_t src, uint8_t dst, uint8_t proto,
                                  uint32_t ports, uint8_t flags)
{
    uint8_t l4[20] = {0};
    pv_store_be32(l4, ports);
    l4[13] = flags;
    return ip_packet(version, src, dst, proto, l4, sizeof(l4));
}

static struct packet icmp_packet(int version, uint8_t src, uint8_t dst, uint8_t type, uint16_t id)
{
    uint8_t l4[16] = {type};
    pv_store_be16(l4 + 4, id);
    return ip_packet(version, src, dst, version == 4 ? 1 : 58, l4, sizeof(l4));
}

/* An error of the peer that quotes a packet. */
static struct packet error_about(int version, const struct packet *about, uint8_t type)
{
    uint8_t l4[80] = {type};
    size_t len = about->len < 60 ? about->len : 60;
    memcpy(l4 + 8, about->b, len);
    return ip_packet(version, PEER, OWN, version == 4 ? 1 : 58, l4, 8 + len);
}

static struct pv_flow flow_of(const struct packet *p, bool incoming)
{
    struct pv_ippkt ip;
    struct pv_flow f;
    uint8_t *exact = malloc(p->len); /* reads beyond it are seen */
    assert_non_null(exact);
    memcpy(exact, p->b, p->len);
    assert_int_equal(pv_ippkt_parse(pv_view(exact, p->len), &ip), PV_OK);
    pv_flow_read(&ip, incoming, &f);
    free(exact);
    return f;
}

static void assert_same(const struct pv_flow *a, const struct pv_flow *b, bool same)
{
    assert_int_equal(memcmp(a->key, b->key, sizeof(a->key)) == 0, same);
}

static void both_directions_are_one_flow(void **state)
{
    (void)state;
    for (int v = 4; v <= 6; v += 2) {
        for (uint8_t proto = PV_PORTS_TCP; proto <= PV_PORTS_UDP; proto += 11) {
            struct packet out = ports_packet(v, OWN, PEER, proto, PORTS(40000, 22), 2);
            struct packet back = ports_packet(v, PEER, OWN, proto, PORTS(22, 40000), 18);
            struct packet other = ports_packet(v, PEER, OWN, proto, PORTS(22, 40001), 18);
            struct packet swapped = ports_packet(v, PEER, OWN, proto, PORTS(40000, 22), 18);
            struct pv_flow f = flow_of(&out, false), g = flow_of(&back, true);
            struct pv_flow h = flow_of(&other, true), i = flow_of(&swapped, true);
            assert_int_equal(f.own, 40000);
            assert_int_equal(g.port, 40000);
            assert_int_equal(f.kind, PV_FLOW_FIRST);
            assert_int_equal(g.kind, proto == PV_PORTS_TCP ? PV_FLOW_LATER : PV_FLOW_FIRST);
            assert_same(&f, &g, true);
            assert_same(&f, &h, false);
            assert_same(&f, &i, false);
        }
        struct packet tcp = ports_packet(v, OWN, PEER, PV_PORTS_TCP, PORTS(9, 9), 2);
        struct packet udp = ports_packet(v, OWN, PEER, PV_PORTS_UDP, PORTS(9, 9), 2);
        struct pv_flow f = flow_of(&tcp, false), g = flow_of(&udp, false);
        assert_same(&f, &g, false);
    }
}

static void an_echo_belongs_to_who_asked(void **state)
{
    (void)state;
    for (int v = 4; v <= 6; v += 2) {
        uint8_t ask = v == 4 ? 8 : 128, reply = v == 4 ? 0 : 129;
        struct packet ours = icmp_packet(v, OWN, PEER, ask, 7);
        struct packet answer = icmp_packet(v, PEER, OWN, reply, 7);
        struct packet theirs = icmp_packet(v, PEER, OWN, ask, 7);
        struct packet our_answer = icmp_packet(v, OWN, PEER, reply, 7);
        struct pv_flow f = flow_of(&ours, false), g = flow_of(&answer, true);
        struct pv_flow h = flow_of(&theirs, true), i = flow_of(&our_answer, false);
        assert_int_equal(f.kind, PV_FLOW_FIRST);
        assert_int_equal(g.kind, PV_FLOW_ANSWER);
        assert_int_equal(h.port, PV_PORTS_PING);
        assert_same(&f, &g, true);
        assert_same(&h, &i, true);
        assert_same(&f, &h, false); /* although both have the identifier 7 */
        struct packet other = icmp_packet(v, PEER, OWN, v == 4 ? 13 : 137, 7);
        g = flow_of(&other, true);
        assert_same(&h, &g, false); /* what rules may deny beside pings */
    }
}

static void an_error_belongs_to_the_packet_it_quotes(void **state)
{
    (void)state;
    for (int v = 4; v <= 6; v += 2) {
        struct packet out = ports_packet(v, OWN, PEER, PV_PORTS_UDP, PORTS(5353, 9), 0);
        struct packet ask = icmp_packet(v, OWN, PEER, v == 4 ? 8 : 128, 3);
        struct packet foreign = ports_packet(v, PEER, OWN, PV_PORTS_UDP, PORTS(9, 5353), 0);
        struct packet e = error_about(v, &out, v == 4 ? 3 : 1);
        struct packet e2 = error_about(v, &ask, v == 4 ? 11 : 3);
        struct packet e3 = error_about(v, &e, v == 4 ? 3 : 1);
        struct packet e4 = error_about(v, &foreign, v == 4 ? 3 : 1);
        struct pv_flow f = flow_of(&out, false), g = flow_of(&e, true);
        assert_int_equal(g.kind, PV_FLOW_ERROR);
        assert_int_equal(g.proto, PV_PORTS_UDP);
        assert_int_equal(g.port, 5353);
        assert_same(&f, &g, true);
        f = flow_of(&ask, false);
        g = flow_of(&e2, true);
        assert_int_equal(g.kind, PV_FLOW_ERROR);
        assert_same(&f, &g, true);
        g = flow_of(&e3, true);
        assert_int_equal(g.kind, PV_FLOW_BAD); /* an error about an error */
        f = flow_of(&out, false);
        g = flow_of(&e4, true);
        assert_same(&f, &g, false); /* about a packet of its own: nothing that this node sent */
        for (size_t len = e.len - 1; len >= (v == 4 ? 28u : 48u); len--) {
            struct packet cut = e;
            cut.len = len;
            pv_store_be16(cut.b + (v == 4 ? 2 : 4), (uint16_t)(v == 4 ? len : len - 40));
            g = flow_of(&cut, true);
            assert_true(g.kind == PV_FLOW_BAD || g.kind == PV_FLOW_ERROR);
        }
        assert_int_equal(g.kind, PV_FLOW_BAD);
    }
}

static void fragments_belong_to_their_first_one(void **state)
{
    (void)state;
    struct packet first = ports_packet(4, PEER, OWN, PV_PORTS_UDP, PORTS(9, 53), 0);
    struct packet later = first;
    pv_store_be16(first.b + 4, 77);
    pv_store_be16(first.b + 6, 0x2000);
    pv_store_be16(later.b + 4, 77);
    pv_store_be16(later.b + 6, 0x2000 | 100);
    struct pv_flow f = flow_of(&first, true), g = flow_of(&later, true);
    assert_true(f.more);
    assert_int_equal(f.kind, PV_FLOW_FIRST);
    assert_int_equal(g.kind, PV_FLOW_PIECE);
    assert_memory_equal(f.piece, g.piece, sizeof(f.piece));
    pv_store_be16(later.b + 4, 78);
    g = flow_of(&later, true);
    assert_memory_not_equal(f.piece, g.piece, sizeof(f.piece));
    pv_store_be16(later.b + 6, 1); /* it would write over the ports */
    g = flow_of(&later, true);
    assert_int_equal(g.kind, PV_FLOW_BAD);

    uint8_t l4[28] = {17};
    pv_store_be16(l4 + 2, 1);    /* offset 0, more follow */
    pv_store_be32(l4 + 4, 1234); /* identification */
    pv_store_be16(l4 + 10, 53);
    struct packet six = ip_packet(6, PEER, OWN, 44, l4, sizeof(l4));
    f = flow_of(&six, true);
    assert_true(f.more);
    assert_int_equal(f.port, 53);
    pv_store_be16(six.b + 42, 80 << 3);
    g = flow_of(&six, true);
    assert_int_equal(g.kind, PV_FLOW_PIECE);
    assert_memory_equal(f.piece, g.piece, sizeof(f.piece));
}

static void packets_without_their_ports_are_bad(void **state)
{
    (void)state;
    uint8_t l4[20] = {0};
    for (size_t len = 0; len < 20; len++) {
        struct packet p = ip_packet(4, PEER, OWN, PV_PORTS_TCP, l4, len);
        assert_int_equal(flow_of(&p, true).kind, PV_FLOW_BAD);
        p = ip_packet(6, PEER, OWN, PV_PORTS_UDP, l4, len);
        assert_int_equal(flow_of(&p, true).kind, len < 8 ? PV_FLOW_BAD : PV_FLOW_FIRST);
    }
    struct packet gre = ip_packet(4, PEER, OWN, 47, l4, 0);
    assert_int_equal(flow_of(&gre, true).kind, PV_FLOW_FIRST);
    assert_int_equal(flow_of(&gre, true).proto, 47);
}

/* --- the table ---------------------------------------------------------------------------- */

static struct pv_flowtable *new_table(void)
{
    static struct test_rng g = {.state = 5};
    const struct pv_rng rng = {.fill = test_rng_fill, .ctx = &g};
    struct pv_flowtable *t;
    assert_int_equal(pv_flowtable_new(&rng, &t), PV_OK);
    return t;
}

static void a_flow_is_known_until_its_life_is_over(void **state)
{
    (void)state;
    struct pv_flowtable *t = new_table();
    uint32_t key[PV_FLOW_WORDS] = {1, 2, 3}, other[PV_FLOW_WORDS] = {1, 2, 4};
    assert_false(pv_flowtable_has(t, PV_FLOW_OURS, pv_flowtable_spot(t, key), 100, 180));
    pv_flowtable_put(t, PV_FLOW_OURS, pv_flowtable_spot(t, key), 100);
    assert_true(pv_flowtable_has(t, PV_FLOW_OURS, pv_flowtable_spot(t, key), 100, 180));
    assert_true(pv_flowtable_has(t, PV_FLOW_OURS, pv_flowtable_spot(t, key), 99,
                                 180)); /* another thread's clock */
    assert_true(pv_flowtable_has(t, PV_FLOW_OURS, pv_flowtable_spot(t, key), 280, 180));
    assert_false(pv_flowtable_has(t, PV_FLOW_OURS, pv_flowtable_spot(t, key), 281, 180));
    assert_false(pv_flowtable_has(t, PV_FLOW_THEIRS, pv_flowtable_spot(t, key), 100, 180));
    assert_false(pv_flowtable_has(t, PV_FLOW_OURS, pv_flowtable_spot(t, other), 100, 180));
    pv_flowtable_put(t, PV_FLOW_OURS, pv_flowtable_spot(t, key), 200);
    assert_true(pv_flowtable_has(t, PV_FLOW_OURS, pv_flowtable_spot(t, key), 380, 180));
    pv_flowtable_free(t);
}

/* Against a list of all that was put: what the table knows is true, and the newest ones are known.
 */
static void the_table_forgets_the_oldest_and_invents_nothing(void **state)
{
    (void)state;
    struct pv_flowtable *t = new_table();
    const uint32_t flood = 4 * PV_FLOW_SETS * PV_FLOW_WAYS;
    uint32_t known = 0, key[PV_FLOW_WORDS] = {9, 9};
    pv_flowtable_put(t, PV_FLOW_OURS, pv_flowtable_spot(t, key), 5);
    for (uint32_t i = 0; i < flood; i++) {
        key[5] = i;
        pv_flowtable_put(t, PV_FLOW_THEIRS, pv_flowtable_spot(t, key), 10 + i / 1000);
        assert_true(
            pv_flowtable_has(t, PV_FLOW_THEIRS, pv_flowtable_spot(t, key), 10 + i / 1000, 180));
    }
    for (uint32_t i = 0; i < flood; i++) {
        key[5] = i;
        known +=
            pv_flowtable_has(t, PV_FLOW_THEIRS, pv_flowtable_spot(t, key), 10, 1u << 30) ? 1 : 0;
        key[5] = i + flood;
        assert_false(pv_flowtable_has(t, PV_FLOW_THEIRS, pv_flowtable_spot(t, key), 10, 1u << 30));
    }
    assert_in_range(known, PV_FLOW_SETS * PV_FLOW_WAYS * 9 / 10, PV_FLOW_SETS * PV_FLOW_WAYS);
    key[5] = 0; /* what this node began is still there */
    assert_true(pv_flowtable_has(t, PV_FLOW_OURS, pv_flowtable_spot(t, key), 10, 180));
    pv_flowtable_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_directions_are_one_flow),
        cmocka_unit_test(an_echo_belongs_to_who_asked),
        cmocka_unit_test(an_error_belongs_to_the_packet_it_quotes),
        cmocka_unit_test(fragments_belong_to_their_first_one),
        cmocka_unit_test(packets_without_their_ports_are_bad),
        cmocka_unit_test(a_flow_is_known_until_its_life_is_over),
        cmocka_unit_test(the_table_forgets_the_oldest_and_invents_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
