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
    assert_ok(pv_ippkt_parse(pv_view(exact, p->len), &ip));
    pv_flow_read(&ip, incoming, &f);
    free(exact);
    return f;
}

static void assert_same(const struct pv_flow *a, const struct pv_flow *b, bool same)
{
    assert_int_equal(memcmp(a->key, b->key, sizeof(a->key)) == 0, same);
}

PV_TEST(both_directions_are_one_flow)
{
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

PV_TEST(an_echo_belongs_to_who_asked)
{
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

PV_TEST(an_error_belongs_to_the_packet_it_quotes)
{
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

PV_TEST(fragments_belong_to_their_first_one)
{
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

/* This must read the fields that the kernel acts on. */
PV_TEST(a_packet_that_may_be_read_in_two_ways_is_bad)
{
    /* IPv4: to be sent on elsewhere by an option, or padded only. */
    static const struct {
        uint8_t options[8];
        enum pv_flow_kind kind;
    } rows[] = {
        {{131, 7, 4, 10, 66, 0, 9, 0}, PV_FLOW_BAD}, {{137, 7, 4, 10, 66, 0, 9, 0}, PV_FLOW_BAD},
        {{1, 131, 7, 4, 10, 66, 0, 9}, PV_FLOW_BAD}, {{148, 4, 0, 0, 131, 4, 4, 0}, PV_FLOW_BAD},
        {{148, 4, 0, 0, 0, 0, 0, 0}, PV_FLOW_FIRST}, {{1, 1, 1, 1, 1, 1, 1, 0}, PV_FLOW_FIRST},
        {{0, 131, 7, 4, 0, 0, 0, 0}, PV_FLOW_FIRST}, {{7, 0, 0, 0, 131, 4, 4, 0}, PV_FLOW_FIRST},
        {{1, 1, 1, 1, 1, 1, 1, 7}, PV_FLOW_FIRST},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        uint8_t l4[28] = {0};
        memcpy(l4, rows[i].options, 8);
        pv_store_be16(l4 + 10, 53);
        struct packet p = ip_packet(4, PEER, OWN, PV_PORTS_UDP, l4, sizeof(l4));
        p.b[0] = 0x47;
        struct pv_flow f = flow_of(&p, true);
        assert_int_equal(f.kind, rows[i].kind);
        assert_int_equal(f.port, f.kind == PV_FLOW_BAD ? 0 : 53);
    }
    /* IPv6: a routing header with and without an address left; a fragment in a fragment; headers
     * that a later fragment may write over. The first two bytes are the next header and its length.
     */
    uint8_t route[24] = {PV_PORTS_UDP, 0, 2, 1};
    uint8_t twice[28] = {44, 0, 0, 0, 1, 2, 3, 4, PV_PORTS_UDP, 0, 0, 1};
    uint8_t hidden[28] = {60, 0, 0, 1, 1, 2, 3, 4, PV_PORTS_UDP};
    uint8_t atomic[28] = {60, 0, 0, 0, 1, 2, 3, 4, PV_PORTS_UDP};
    pv_store_be16(route + 10, 53);
    pv_store_be16(atomic + 18, 53);
    struct packet p = ip_packet(6, PEER, OWN, 43, route, sizeof(route));
    assert_int_equal(flow_of(&p, true).kind, PV_FLOW_BAD);
    p.b[43] = 0;
    assert_int_equal(flow_of(&p, true).port, 53);
    p = ip_packet(6, PEER, OWN, 44, twice, sizeof(twice));
    assert_int_equal(flow_of(&p, true).kind, PV_FLOW_BAD);
    p.b[48 + 3] = 8 * 10 + 1; /* a later one inside */
    assert_int_equal(flow_of(&p, true).kind, PV_FLOW_BAD);
    for (unsigned reserved = 0; reserved < 256; reserved++) {
        p.b[40 + 1] = (uint8_t)reserved; /* which is no length */
        assert_int_equal(flow_of(&p, true).kind, PV_FLOW_BAD);
    }
    p = ip_packet(6, PEER, OWN, 44, hidden, sizeof(hidden));
    assert_int_equal(flow_of(&p, true).kind, PV_FLOW_BAD);
    p.b[40 + 1] = 9;
    assert_int_equal(flow_of(&p, true).kind, PV_FLOW_BAD);
    p = ip_packet(6, PEER, OWN, 44, atomic, sizeof(atomic));
    assert_int_equal(flow_of(&p, true).port, 53);
}

PV_TEST(packets_without_their_ports_are_bad)
{
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
    assert_ok(pv_flowtable_new(&rng, &t));
    return t;
}

static bool knows(const struct pv_flowtable *t, enum pv_flow_side side, const uint32_t *key,
                  uint32_t now_s)
{
    return pv_flowtable_has(t, side, pv_flowtable_spot(t, key), now_s);
}

static void put(struct pv_flowtable *t, enum pv_flow_side side, const uint32_t *key, uint32_t now_s)
{
    pv_flowtable_put(t, side, pv_flowtable_spot(t, key), now_s, PV_FLOW_LIFE);
}

PV_TEST(a_flow_is_known_until_its_life_is_over)
{
    struct pv_flowtable *t = new_table();
    uint32_t key[PV_FLOW_WORDS] = {1, 2, 3}, other[PV_FLOW_WORDS] = {1, 2, 4};
    assert_false(knows(t, PV_FLOW_OURS, key, 100));
    assert_false(pv_flowtable_use(t, PV_FLOW_OURS, pv_flowtable_spot(t, key), 100));
    put(t, PV_FLOW_OURS, key, 100);
    assert_true(knows(t, PV_FLOW_OURS, key, 100));
    assert_true(knows(t, PV_FLOW_OURS, key, 99)); /* another thread's clock */
    assert_true(knows(t, PV_FLOW_OURS, key, 280));
    assert_false(knows(t, PV_FLOW_OURS, key, 281));
    assert_false(knows(t, PV_FLOW_THEIRS, key, 100));
    assert_false(knows(t, PV_FLOW_OURS, other, 100));
    assert_true(pv_flowtable_use(t, PV_FLOW_OURS, pv_flowtable_spot(t, key), 200));
    assert_true(knows(t, PV_FLOW_OURS, key, 380));
    assert_false(pv_flowtable_use(t, PV_FLOW_OURS, pv_flowtable_spot(t, key), 381));
    put(t, PV_FLOW_OURS, key, 400);
    pv_flowtable_forget(t, PV_FLOW_THEIRS, pv_flowtable_spot(t, key));
    assert_true(knows(t, PV_FLOW_OURS, key, 400));
    pv_flowtable_forget(t, PV_FLOW_OURS, pv_flowtable_spot(t, key));
    assert_false(knows(t, PV_FLOW_OURS, key, 400));
    pv_flowtable_free(t);
}

/* Against a list of all that was put: what the table knows is true, and the newest ones are known.
 */
PV_TEST(the_table_forgets_the_oldest_and_invents_nothing)
{
    struct pv_flowtable *t = new_table();
    const uint32_t places = PV_FLOW_SETS * PV_FLOW_WAYS, flood = 4 * places;
    uint32_t known = 0, key[PV_FLOW_WORDS] = {9, 9};
    put(t, PV_FLOW_OURS, key, 5);
    for (uint32_t i = 0; i < flood; i++) {
        key[0] = i % 16; /* of so many peers */
        key[5] = i;
        put(t, PV_FLOW_THEIRS, key, 10 + i / 1000);
        assert_true(knows(t, PV_FLOW_THEIRS, key, 10 + i / 1000));
    }
    for (uint32_t i = 0; i < flood; i++) {
        key[0] = i % 16;
        key[5] = i;
        known += knows(t, PV_FLOW_THEIRS, key, 10 + i / 1000) ? 1 : 0;
        key[5] = i + flood;
        assert_false(knows(t, PV_FLOW_THEIRS, key, 10 + i / 1000));
    }
    assert_in_range(known, places * 8 / 10, places);
    memcpy(key, (uint32_t[]){9, 9, 0, 0, 0, 0}, 6 * sizeof(*key));
    assert_true(knows(t, PV_FLOW_OURS, key, 10)); /* what this node began is still there */
    pv_flowtable_free(t);
}

/* One peer that begins as many flows as it can leaves others room, and only its own are doubted. */
PV_TEST(a_flood_pushes_out_its_own_flows)
{
    struct pv_flowtable *t = new_table();
    const uint32_t others = 1000, flood = 4 * PV_FLOW_SETS * PV_FLOW_WAYS;
    uint32_t key[PV_FLOW_WORDS] = {1}, evil[PV_FLOW_WORDS] = {2}, known = 0;
    for (uint32_t i = 0; i < others; i++) {
        key[5] = i;
        put(t, PV_FLOW_THEIRS, key, 10);
    }
    for (uint32_t i = 0; i < flood; i++) {
        evil[5] = i;
        put(t, PV_FLOW_THEIRS, evil, 20);
    }
    for (uint32_t i = 0; i < others; i++) {
        key[5] = i;
        known += knows(t, PV_FLOW_THEIRS, key, 20) ? 1 : 0;
    }
    assert_int_equal(known, others);
    assert_true(pv_flowtable_lost(t, 2, 20));
    assert_true(pv_flowtable_lost(t, 2, 20 + PV_FLOW_LIFE));
    assert_false(pv_flowtable_lost(t, 2, 21 + PV_FLOW_LIFE));
    assert_false(pv_flowtable_lost(t, 1, 20));
    pv_flowtable_free(t);
}

/* Places of flows that are over are taken before those of any that is not, and that is no loss. */
PV_TEST(a_flow_that_is_over_makes_room)
{
    struct pv_flowtable *t = new_table();
    const uint32_t many = PV_FLOW_SETS * PV_FLOW_WAYS * 2;
    uint32_t key[PV_FLOW_WORDS] = {1}, late[PV_FLOW_WORDS] = {1};
    for (uint32_t i = 0; i < many; i++) {
        key[5] = i;
        pv_flowtable_put(t, PV_FLOW_THEIRS, pv_flowtable_spot(t, key), 10 + i % 2 * 100, 50);
    }
    uint32_t after = 300;
    for (uint32_t i = 0; i < 100; i++) {
        late[6] = i;
        put(t, PV_FLOW_THEIRS, late, after);
    }
    for (uint32_t i = 0; i < 100; i++) {
        late[6] = i;
        assert_true(knows(t, PV_FLOW_THEIRS, late, after));
    }
    assert_false(pv_flowtable_lost(t, 1, after));
    pv_flowtable_free(t);
}

/* Of the answer only the port and the family are known before. */
PV_TEST(a_question_to_all_is_answered_by_one)
{
    uint32_t q[PV_FLOW_WORDS], a[PV_FLOW_WORDS], x[PV_FLOW_WORDS];
    for (int v = 4; v <= 6; v += 2) {
        struct packet ask = ports_packet(v, OWN, 255, PV_PORTS_UDP, PORTS(40000, 1900), 0);
        struct packet answer = ports_packet(v, PEER, OWN, PV_PORTS_UDP, PORTS(1234, 40000), 0);
        struct packet other = ports_packet(v, PEER, OWN, PV_PORTS_UDP, PORTS(1900, 40001), 0);
        struct pv_flow f = flow_of(&ask, false), g = flow_of(&answer, true);
        struct pv_flow h = flow_of(&other, true);
        pv_flow_to_many(&f, PV_FLOW_OURS, q);
        pv_flow_to_many(&g, PV_FLOW_OURS, a);
        pv_flow_to_many(&h, PV_FLOW_OURS, x);
        assert_memory_equal(q, a, sizeof(q));
        assert_memory_not_equal(q, x, sizeof(q));
        assert_memory_not_equal(q, g.key, sizeof(q));

        ask = ports_packet(v, PEER, 255, PV_PORTS_UDP, PORTS(5353, 5353), 0);
        answer = ports_packet(v, OWN, PEER, PV_PORTS_UDP, PORTS(5353, 5353), 0);
        other = ports_packet(v, OWN, PEER, PV_PORTS_UDP, PORTS(5354, 5353), 0);
        f = flow_of(&ask, true);
        g = flow_of(&answer, false);
        h = flow_of(&other, false);
        pv_flow_to_many(&f, PV_FLOW_THEIRS, q);
        pv_flow_to_many(&g, PV_FLOW_THEIRS, a);
        pv_flow_to_many(&h, PV_FLOW_THEIRS, x);
        assert_memory_equal(q, a, sizeof(q));
        assert_memory_not_equal(q, x, sizeof(q));
    }
}
