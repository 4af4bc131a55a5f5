/* SPDX-License-Identifier: MIT */
/* Cutting and joining super-packets: random streams of mixed flows come back as they were. */
#include "base/bytes.h"
#include "proto/ip/offload.h"
#include "tests/unit/test_util.h"

enum {
    PACKETS = 600,
    BYTES = 2 << 20,
    FLOWS = 8,
};

/* Packets as on the wire. */
struct stream {
    uint8_t *bytes;
    size_t used, n;
    struct item {
        size_t at, len;
        bool damaged;
    } item[2 * PACKETS];
};

struct world {
    struct test_rng seed;
    struct pv_rng rng;
    struct stream sent, joined, back;
    struct pv_joiner joiner;
    struct flow {
        bool v6, tcp, df, options;
        uint32_t seq;
        uint16_t id;
    } flow[FLOWS];
};

static uint32_t roll(struct world *w, uint32_t n)
{
    uint8_t b[4];
    pv_rng_fill(&w->rng, b, sizeof(b));
    return pv_load_le32(b) % n;
}

/* RFC 1071, as slow and plain as can be. */
static uint16_t plain_sum(const uint8_t *p, size_t n, uint32_t sum)
{
    for (size_t i = 0; i < n; i++)
        sum += i % 2 == 0 ? (uint32_t)p[i] << 8 : p[i];
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static size_t ip_len(const uint8_t *p)
{
    return p[0] >> 4 == 4 ? (size_t)(p[0] & 15) * 4 : 40;
}

static uint8_t proto_of(const uint8_t *p)
{
    return p[0] >> 4 == 4 ? p[9] : p[6];
}

static uint32_t pseudo(const uint8_t *p, size_t l4_len)
{
    bool v4 = p[0] >> 4 == 4;
    return plain_sum(p + (v4 ? 12 : 8), v4 ? 8 : 32, proto_of(p) + (uint32_t)l4_len);
}

static bool is_right(const uint8_t *p, size_t len)
{
    size_t l4 = ip_len(p);
    if (p[0] >> 4 == 4 && (pv_load_be16(p + 2) != len || plain_sum(p, l4, 0) != 0xffff))
        return false;
    if (p[0] >> 4 == 6 && pv_load_be16(p + 4) + 40u != len)
        return false;
    if (proto_of(p) == 17 && pv_load_be16(p + l4 + 4) != len - l4)
        return false;
    return plain_sum(p + l4, len - l4, pseudo(p, len - l4)) == 0xffff;
}

static uint8_t *add(struct stream *s, size_t len, bool damaged)
{
    assert_true(s->n < PV_ARRAY_LEN(s->item) && s->used + len <= BYTES);
    uint8_t *p = s->bytes + s->used;
    s->item[s->n++] = (struct item){.at = s->used, .len = len, .damaged = damaged};
    s->used += len;
    return p;
}

static void put_ip(const struct world *w, const struct flow *f, uint8_t *p, size_t len, uint8_t tos)
{
    if (f->v6) {
        pv_store_be32(p, 0x60000000u | (uint32_t)tos << 20);
        pv_store_be16(p + 4, (uint16_t)(len - 40));
        p[6] = f->tcp ? 6 : 17;
        p[7] = 64;
        memset(p + 8, 0xfd, 32);
        return;
    }
    p[0] = 0x45;
    p[1] = tos;
    pv_store_be16(p + 2, (uint16_t)len);
    pv_store_be16(p + 4, f->id);
    pv_store_be16(p + 6, f->df ? 0x4000 : 0);
    p[8] = 64;
    p[9] = f->tcp ? 6 : 17;
    memcpy(p + 12, "\x0a\x42\x00\x01\x0a\x42\x00\x02", 8);
    pv_store_be16(p + 10, 0);
    pv_store_be16(p + 10, (uint16_t)~plain_sum(p, 20, 0));
}

/* A super-packet as the kernel's stack makes it: flags that only the first or last may carry, the
 * L4 checksum field with the pseudo header. Gives what the virtio header says. */
static size_t make_super(struct world *w, struct flow *f, uint8_t *p, struct pv_offload *o)
{
    size_t l4 = f->v6 ? 40 : 20, head = l4 + (f->tcp ? (f->options ? 32u : 20u) : 8u);
    size_t size = 1 + roll(w, 1400), most = f->tcp ? 40 : 20;
    size_t payload = 1 + roll(w, (uint32_t)(size * most));
    size_t len = head + payload > 60000 ? 60000 : head + payload;
    payload = len - head;
    memset(p, 0, head);
    put_ip(w, f, p, len, (uint8_t)(roll(w, 10) == 0 ? 3 : 2));
    pv_rng_fill(&w->rng, p + head, payload);
    uint8_t *l = p + l4;
    pv_store_be16(l, (uint16_t)(1000 + (f - w->flow)));
    pv_store_be16(l + 2, 80);
    size_t count = (payload + size - 1) / size;
    if (f->tcp) {
        uint8_t flags = 0x10;
        flags |= (uint8_t)(roll(w, 3) == 0 ? 0x08 : 0);
        flags |= (uint8_t)(roll(w, 20) == 0 ? 0x01 : 0);
        flags |= (uint8_t)(roll(w, 20) == 0 ? 0x80 : 0);
        pv_store_be32(l + 4, f->seq);
        pv_store_be32(l + 8, roll(w, 4) == 0 ? 8 : 7);
        l[12] = f->options ? 0x80 : 0x50;
        l[13] = flags;
        pv_store_be16(l + 14, 500);
        if (f->options)
            memcpy(l + 20, test_given("text"), 12);
        f->seq += (uint32_t)payload;
    } else {
        pv_store_be16(l + 4, (uint16_t)(len - l4));
    }
    *o = (struct pv_offload){.kind = !f->tcp ? PV_OFFLOAD_UDP
                                     : f->v6 ? PV_OFFLOAD_TCP6
                                             : PV_OFFLOAD_TCP4,
                             .needs_csum = true,
                             .size = (uint16_t)size,
                             .csum_start = (uint16_t)l4,
                             .csum_offset = f->tcp ? 16 : 6};
    pv_store_be16(l + o->csum_offset, plain_sum(p, 0, pseudo(p, len - l4)));
    f->id = (uint16_t)(f->id + count);
    return len;
}

static void cut_into(struct stream *s, const uint8_t *p, size_t len, const struct pv_offload *o)
{
    struct pv_ippkt ip;
    struct pv_cutter c;
    assert_ok(pv_ippkt_parse(pv_view(p, len), &ip));
    assert_ok(pv_cutter_init(&c, &ip, o));
    for (size_t n; (n = pv_cutter_next(&c)) != 0;)
        pv_cutter_cut(&c, add(s, n, false));
}

/* A later fragment that belongs to nobody in particular. */
static void add_fragment(struct world *w, const struct flow *f)
{
    uint8_t *p = add(&w->sent, 60, true);
    struct flow plain = *f;
    plain.v6 = false;
    memset(p, 0, 60);
    put_ip(w, &plain, p, 60, 0);
    pv_store_be16(p + 6, 0x2001);
    pv_store_be16(p + 20, (uint16_t)(1000 + (f - w->flow)));
}

/* Sums of a whole packet, into an L4 header of this protocol. */
static void put_sums(uint8_t *p, size_t len)
{
    size_t l4 = ip_len(p);
    uint8_t *field = p + l4 + (proto_of(p) == 6 ? 16 : 6);
    pv_store_be16(field, 0);
    pv_store_be16(field, (uint16_t)~plain_sum(p + l4, len - l4, pseudo(p, len - l4)));
    if (p[0] >> 4 == 4) {
        pv_store_be16(p + 10, 0);
        pv_store_be16(p + 10, (uint16_t)~plain_sum(p, l4, 0));
    }
}

/* A header between IPv6 and L4: hop-by-hop options, or a first fragment's. */
static void add_extension(struct world *w, const struct flow *f, bool fragment)
{
    size_t len = 80;
    uint8_t *p = add(&w->sent, len, true);
    memset(p, 0, len);
    put_ip(w, f, p, len, 0);
    p[40] = p[6];
    p[6] = fragment ? 44 : 0;
    memcpy(p + 42, fragment ? "\x00\x01" : "\x01\x04", 2);
    pv_store_be16(p + 44, (uint16_t)(1000 + (f - w->flow)));
}

enum odd {
    ODD_ACK, /* without payload */
    ODD_SYN,
    ODD_RST,
    ODD_URG,
    ODD_TOS, /* data, but its headers differ from the flow's */
    ODD_HOPS,
    ODD_WINDOW,
    ODD_IP_OPTIONS, /* IPv6: hop-by-hop options */
    ODD_FIRST,      /* the first of fragments */
    ODD_NO_SUM,     /* UDP */
    ODD_KINDS,
};

static uint8_t odd_flags(enum odd kind)
{
    switch (kind) {
    case ODD_SYN:
        return 0x02;
    case ODD_RST:
        return 0x14;
    case ODD_URG:
        return 0x30;
    default:
        return 0x10;
    }
}

/* A packet of the flow that cannot be part of any super-packet, or not of this one. */
static void add_odd(struct world *w, struct flow *f)
{
    enum odd kind = (enum odd)roll(w, ODD_KINDS);
    if (f->v6 && (kind == ODD_IP_OPTIONS || kind == ODD_FIRST)) {
        add_extension(w, f, kind == ODD_FIRST);
        return;
    }
    size_t options = kind == ODD_IP_OPTIONS ? 4 : 0, l4 = f->v6 ? 40 : 20 + options;
    size_t payload = kind == ODD_ACK || kind == ODD_SYN ? 0 : 1 + roll(w, 300);
    size_t len = l4 + (f->tcp ? 20 : 8) + payload;
    bool unsummed = kind == ODD_FIRST || (kind == ODD_NO_SUM && !f->tcp);
    uint8_t *p = add(&w->sent, len, unsummed);
    pv_rng_fill(&w->rng, p, len);
    put_ip(w, f, p, len, kind == ODD_TOS ? 8 : 2);
    if (!f->v6 && kind == ODD_IP_OPTIONS) {
        p[0] = 0x46;
        memset(p + 20, 1, 4);
    }
    if (kind == ODD_FIRST)
        pv_store_be16(p + 6, 0x2000);
    if (kind == ODD_HOPS)
        p[f->v6 ? 7 : 8]--;
    uint8_t *l = p + l4;
    pv_store_be16(l, (uint16_t)(1000 + (f - w->flow)));
    pv_store_be16(l + 2, 80);
    if (f->tcp) {
        pv_store_be32(l + 4, f->seq);
        pv_store_be32(l + 8, 7);
        l[12] = 0x50;
        l[13] = odd_flags(kind);
        pv_store_be16(l + 14, kind == ODD_WINDOW ? 501 : 500);
        pv_store_be16(l + 18, 0);
        f->seq += (uint32_t)payload;
    } else {
        pv_store_be16(l + 4, (uint16_t)(len - l4));
    }
    put_sums(p, len);
    if (unsummed && !f->tcp)
        pv_store_be16(l + 6, 0);
    f->id++;
}

static void fill_stream(struct world *w)
{
    static uint8_t super[65536];
    struct pv_offload o;
    for (int i = 0; i < FLOWS; i++)
        w->flow[i] = (struct flow){.v6 = roll(w, 2) == 0,
                                   .tcp = roll(w, 3) > 0,
                                   .df = roll(w, 2) == 0,
                                   .options = roll(w, 2) == 0,
                                   .seq = 0xffff0000u + roll(w, 0x20000),
                                   .id = (uint16_t)roll(w, 65536)};
    while (w->sent.n < PACKETS && w->sent.used < BYTES / 2) {
        struct flow *f = &w->flow[roll(w, FLOWS)];
        size_t first = w->sent.n;
        size_t len = make_super(w, f, super, &o);
        cut_into(&w->sent, super, len, &o);
        if (roll(w, 4) == 0) {
            struct item *it = &w->sent.item[first + roll(w, (uint32_t)(w->sent.n - first))];
            size_t l4 = ip_len(w->sent.bytes + it->at);
            size_t where = l4 + 4 + roll(w, (uint32_t)(it->len - l4 - 4));
            w->sent.bytes[it->at + where] ^= (uint8_t)(1 << roll(w, 8));
            it->damaged = true;
        }
        if (roll(w, 8) == 0)
            add_fragment(w, f);
        if (roll(w, 4) == 0)
            add_odd(w, f);
    }
}

/* The stream through the joiner, and apart again. */
static size_t join_and_cut(struct world *w)
{
    static uint8_t flat[PV_OFFLOAD_MAX];
    size_t longest = 0;
    memcpy(w->joined.bytes, w->sent.bytes, w->sent.used);
    pv_joiner_reset(&w->joiner);
    for (size_t i = 0; i < w->sent.n; i++) {
        struct pv_ippkt ip;
        uint8_t *p = w->joined.bytes + w->sent.item[i].at;
        assert_ok(pv_ippkt_parse(pv_view(p, w->sent.item[i].len), &ip));
        pv_joiner_add(&w->joiner, &ip, p);
    }
    pv_joiner_finish(&w->joiner);
    for (size_t i = 0; i < w->joiner.n_outs; i++) {
        const struct pv_join_out *out = &w->joiner.outs[i];
        size_t len = out->len, n = 1;
        memcpy(flat, out->data, len);
        for (const struct pv_join_piece *p = out->more; p != NULL; p = p->next, n++) {
            assert_true(len + p->bytes.len <= sizeof(flat));
            memcpy(flat + len, p->bytes.ptr, p->bytes.len);
            len += p->bytes.len;
        }
        assert_int_equal(n, out->n_more + 1);
        longest = n > longest ? n : longest;
        if (n == 1) {
            memcpy(add(&w->back, len, false), flat, len);
            continue;
        }
        assert_true(out->offload.needs_csum);
        cut_into(&w->back, flat, len, &out->offload);
    }
    return longest;
}

static bool same_packet(const uint8_t *a, const uint8_t *b, size_t len)
{
    bool df = a[0] >> 4 == 4 && (pv_load_be16(a + 6) & 0x4000) != 0;
    if (!df)
        return memcmp(a, b, len) == 0;
    /* With DF the identification means nothing (RFC 6864), and the header's sum follows it. */
    return memcmp(a, b, 4) == 0 && memcmp(a + 6, b + 6, 4) == 0 &&
           memcmp(a + 12, b + 12, len - 12) == 0;
}

static uint16_t flow_of(const uint8_t *p)
{
    if (p[0] >> 4 == 6 && (p[6] == 0 || p[6] == 44))
        return pv_load_be16(p + 44); /* add_extension() */
    return pv_load_be16(p + ip_len(p));
}

/* Every flow comes back in order, whole, and nothing else does. */
static void compare_flows(const struct world *w)
{
    size_t next[FLOWS] = {0};
    assert_int_equal(w->sent.n, w->back.n);
    for (size_t i = 0; i < w->back.n; i++) {
        const uint8_t *b = w->back.bytes + w->back.item[i].at;
        size_t f = flow_of(b) - 1000u, k;
        assert_true(f < FLOWS);
        for (k = next[f]; k < w->sent.n; k++) {
            if (flow_of(w->sent.bytes + w->sent.item[k].at) - 1000u == f)
                break;
        }
        assert_true(k < w->sent.n);
        next[f] = k + 1;
        assert_int_equal(w->sent.item[k].len, w->back.item[i].len);
        assert_true(same_packet(w->sent.bytes + w->sent.item[k].at, b, w->back.item[i].len));
        assert_true(w->sent.item[k].damaged || is_right(b, w->back.item[i].len));
    }
}

/* A thousand short streams would touch new pages for most of their time. */
static void set_up(struct world *w, uint64_t seed)
{
    static uint8_t bytes[3][BYTES];
    memset(w, 0, sizeof(*w));
    w->rng = test_rng_make(&w->seed, seed);
    w->joiner.tcp = w->joiner.udp = true;
    struct stream *streams[] = {&w->sent, &w->joined, &w->back};
    for (size_t i = 0; i < PV_ARRAY_LEN(streams); i++)
        streams[i]->bytes = bytes[i];
}

static struct world w;

PV_TEST(cutting_then_joining_is_the_identity_on_random_streams)
{
    size_t longest = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        set_up(&w, seed);
        fill_stream(&w);
        size_t n = join_and_cut(&w);
        longest = n > longest ? n : longest;
        compare_flows(&w);
    }
    assert_true(longest > 20); /* the test is about joining, so some must have happened */
}

PV_TEST(a_damaged_packet_is_never_part_of_a_super_packet)
{
    static uint8_t super[65536];
    struct pv_offload o;
    for (uint32_t bit = 0; bit < 160 * 8; bit += test_takes_all() ? 1 : 5) {
        set_up(&w, 7);
        w.flow[0] = (struct flow){.tcp = true, .df = true, .v6 = bit % 2 == 0};
        size_t head = w.flow[0].v6 ? 60 : 40;
        memset(super, 0, 2000);
        do {
            w.flow[0].seq = 0;
            size_t len = make_super(&w, &w.flow[0], super, &o);
            w.sent.n = w.sent.used = 0;
            cut_into(&w.sent, super, len, &o);
        } while (w.sent.n != 3 || o.size < 100);
        struct item *second = &w.sent.item[1];
        uint8_t *p = w.sent.bytes + second->at;
        size_t at = bit / 8 % (second->len < head + 100 ? second->len : head + 100);
        p[at] ^= (uint8_t)(1 << bit % 8);
        struct pv_ippkt ip;
        second->damaged = pv_ippkt_parse(pv_view(p, second->len), &ip) < 0;
        if (!second->damaged) {
            (void)join_and_cut(&w);
            for (size_t i = 0; i < w.joiner.n_outs; i++) {
                const struct pv_join_out *out = &w.joiner.outs[i];
                const uint8_t *d = w.joined.bytes + second->at;
                assert_true(out->n_more == 0 || out->data != d);
                for (const struct pv_join_piece *piece = out->more; piece; piece = piece->next)
                    assert_true(piece->bytes.ptr < d || piece->bytes.ptr >= d + second->len);
            }
        }
    }
}

PV_TEST(the_sum_is_that_of_rfc_1071_for_every_length_and_start)
{
    uint8_t bytes[200];
    struct test_rng seed;
    struct pv_rng rng = test_rng_make(&seed, 3);
    pv_rng_fill(&rng, bytes, sizeof(bytes));
    memset(bytes + 100, 0xff, 60);
    for (size_t at = 0; at < 100; at++) {
        for (size_t len = 0; at + len <= sizeof(bytes); len++) {
            uint8_t copy[sizeof(bytes) + 1] = {0};
            uint32_t want = plain_sum(bytes + at, len, (uint32_t)at * 999);
            assert_int_equal(pv_ippkt_sum(pv_view(bytes + at, len), (uint32_t)at * 999), want);
            assert_int_equal(pv_ippkt_copy_sum(copy, pv_view(bytes + at, len), (uint32_t)at * 999),
                             want);
            assert_memory_equal(copy, bytes + at, len);
            assert_int_equal(copy[len], 0);
        }
    }
}

PV_TEST(the_sum_of_a_whole_super_packet_does_not_overflow)
{
    static uint8_t bytes[65535], copy[sizeof(bytes)];
    memset(bytes, 0xff, sizeof(bytes));
    for (size_t len = sizeof(bytes) - 70; len <= sizeof(bytes); len++) {
        uint32_t want = plain_sum(bytes, len, 0xffff);
        assert_int_equal(pv_ippkt_sum(pv_view(bytes, len), 0xffff), want);
        assert_int_equal(pv_ippkt_copy_sum(copy, pv_view(bytes, len), 0xffff), want);
    }
    assert_memory_equal(copy, bytes, sizeof(bytes));
}

PV_TEST(a_small_packet_gets_the_checksum_the_kernel_left_out)
{
    static const struct {
        bool v6, tcp;
    } rows[] = {{false, false}, {false, true}, {true, false}, {true, true}};
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        set_up(&w, i);
        uint8_t p[200] = {0};
        struct flow f = {.v6 = rows[i].v6, .tcp = rows[i].tcp};
        size_t l4 = f.v6 ? 40 : 20, len = l4 + 33;
        put_ip(&w, &f, p, len, 0);
        memset(p + l4, (int)i, 33);
        pv_store_be16(p + l4 + 4, 33); /* UDP's length, a part of TCP's sequence number */
        p[l4 + 12] = 0x50;
        struct pv_offload o = {
            .needs_csum = true, .csum_start = (uint16_t)l4, .csum_offset = f.tcp ? 16 : 6};
        pv_store_be16(p + l4 + o.csum_offset, plain_sum(p, 0, pseudo(p, 33)));
        cut_into(&w.sent, p, len, &o);
        assert_int_equal(w.sent.n, 1);
        assert_true(is_right(w.sent.bytes, len));
    }
}

static const struct {
    struct pv_offload o;
    int status;
    const char *why;
} bad_offloads[] = {
    {{.kind = PV_OFFLOAD_TCP4,
      .needs_csum = true,
      .size = 100,
      .csum_start = 20,
      .csum_offset = 16},
     PV_OK,
     "as it should be"},
    {{.kind = PV_OFFLOAD_TCP4, .needs_csum = true, .size = 0, .csum_start = 20, .csum_offset = 16},
     PV_ERR_MALFORMED,
     "no size"},
    {{.kind = PV_OFFLOAD_TCP4, .size = 100, .csum_start = 20, .csum_offset = 16},
     PV_ERR_MALFORMED,
     "no checksum to fill in"},
    {{.kind = PV_OFFLOAD_TCP6,
      .needs_csum = true,
      .size = 100,
      .csum_start = 20,
      .csum_offset = 16},
     PV_ERR_MALFORMED,
     "another family"},
    {{.kind = PV_OFFLOAD_UDP, .needs_csum = true, .size = 100, .csum_start = 20, .csum_offset = 6},
     PV_ERR_MALFORMED,
     "another protocol"},
    {{.kind = PV_OFFLOAD_TCP4,
      .needs_csum = true,
      .size = 100,
      .csum_start = 24,
      .csum_offset = 16},
     PV_ERR_MALFORMED,
     "L4 begins elsewhere"},
    {{.kind = PV_OFFLOAD_TCP4, .needs_csum = true, .size = 100, .csum_start = 20, .csum_offset = 6},
     PV_ERR_MALFORMED,
     "not the field"},
    {{.kind = PV_OFFLOAD_TCP4, .needs_csum = true, .size = 1, .csum_start = 20, .csum_offset = 16},
     PV_ERR_LIMIT,
     "too many"},
    {{.needs_csum = true, .csum_start = 20, .csum_offset = 1520}, PV_OK, "field at the end"},
    {{.needs_csum = true, .csum_start = 20, .csum_offset = 1521},
     PV_ERR_MALFORMED,
     "field behind the end"},
    {{.needs_csum = true, .csum_start = 19, .csum_offset = 16},
     PV_ERR_MALFORMED,
     "inside the IP header"},
};

PV_TEST(offloads_that_do_not_fit_the_packet_are_refused)
{
    uint8_t p[1542] = {0};
    struct flow f = {.tcp = true};
    struct pv_ippkt ip;
    struct pv_cutter c;
    set_up(&w, 1);
    put_ip(&w, &f, p, sizeof(p), 0);
    p[32] = 0x50;
    assert_ok(pv_ippkt_parse(pv_view(p, sizeof(p)), &ip));
    for (size_t i = 0; i < PV_ARRAY_LEN(bad_offloads); i++) {
        if (pv_cutter_init(&c, &ip, &bad_offloads[i].o) != bad_offloads[i].status)
            fail_msg("row %zu: %s", i, bad_offloads[i].why);
    }
    for (size_t cut = 20; cut < 41; cut++) { /* headers only, or not even those */
        put_ip(&w, &f, p, cut, 0);
        assert_ok(pv_ippkt_parse(pv_view(p, cut), &ip));
        assert_int_equal(pv_cutter_init(&c, &ip, &bad_offloads[0].o), PV_ERR_MALFORMED);
    }
}

PV_TEST(the_virtio_header_is_read_and_written)
{
    uint8_t header[PV_VNET_LEN], again[PV_VNET_LEN];
    struct pv_offload o;
    for (unsigned type = 0; type < 256; type++) {
        unsigned plain = type & 0x7f;
        bool known = plain == 0 || plain == 1 || plain == 4 || plain == 5;
        memset(header, 0x11, sizeof(header));
        header[0] = 1;
        header[1] = (uint8_t)type;
        assert_int_equal(pv_vnet_decode(header, &o), known ? PV_OK : PV_ERR_MALFORMED);
        if (!known)
            continue;
        pv_vnet_encode(again, &o);
        header[1] = (uint8_t)plain; /* CWR is in the packet */
        assert_memory_equal(header, again, sizeof(header));
    }
}

PV_TEST(nothing_is_joined_unless_allowed)
{
    set_up(&w, 5);
    w.joiner.tcp = w.joiner.udp = false;
    fill_stream(&w);
    assert_int_equal(join_and_cut(&w), 1);
    compare_flows(&w);
}

/* The n-th of packets that follow each other in one flow, all sums right. */
static size_t nth_packet(uint8_t *p, const struct flow *f, unsigned n, size_t payload)
{
    static const struct world none;
    struct flow now = *f;
    size_t l4 = f->v6 ? 40 : 20, head = l4 + (f->tcp ? 32u : 8u), len = head + payload;
    now.id = (uint16_t)(f->id + n);
    memset(p, (int)n, len);
    memset(p, 0, head);
    put_ip(&none, &now, p, len, 0);
    pv_store_be16(p + l4, 1000);
    pv_store_be16(p + l4 + 2, 80);
    if (f->tcp) {
        pv_store_be32(p + l4 + 4, f->seq + (uint32_t)(n * payload));
        p[l4 + 12] = 0x80;
        p[l4 + 13] = 0x10;
    } else {
        pv_store_be16(p + l4 + 4, (uint16_t)(len - l4));
    }
    return len;
}

static void set_sums(uint8_t *p, size_t len)
{
    size_t l4 = ip_len(p), field = l4 + (proto_of(p) == 6 ? 16u : 6u);
    if (p[0] >> 4 == 4) {
        pv_store_be16(p + 10, 0);
        pv_store_be16(p + 10, (uint16_t)~plain_sum(p, l4, 0));
    }
    pv_store_be16(p + field, 0);
    pv_store_be16(p + field, (uint16_t)~plain_sum(p + l4, len - l4, pseudo(p, len - l4)));
}

/* One byte of the second of three packets is changed, its sums made right again. */
static const struct {
    bool v6, tcp, df;
    size_t at;    /* the byte */
    uint8_t flip; /* 0 = none */
    size_t outs;  /* what is written then */
    const char *why;
} join_rules[] = {
    {false, true, true, 0, 0, 1, "three of one flow"},
    {true, true, true, 0, 0, 1, "over IPv6"},
    {false, false, false, 0, 0, 1, "datagrams"},
    {false, true, true, 27, 1, 3, "TCP: a gap, or an overlap"},
    {false, true, true, 31, 1, 3, "TCP: another acknowledgement"},
    {false, true, true, 35, 1, 3, "TCP: another window"},
    {false, true, true, 45, 1, 3, "TCP: other options"},
    {false, true, true, 39, 1, 3, "TCP: an urgent pointer"},
    {false, true, true, 33, 0x08, 2, "TCP: PSH ends the first"},
    {false, true, true, 33, 0x01, 3, "TCP: FIN"},
    {false, true, true, 33, 0x80, 3, "TCP: CWR"},
    {false, true, true, 33, 0x40, 3, "TCP: ECE"},
    {false, true, false, 5, 4, 3, "identification, where fragments are possible"},
    {false, true, true, 5, 4, 1, "identification, where they are not"},
    {false, true, true, 1, 1, 3, "TOS"},
    {false, true, true, 8, 1, 3, "TTL"},
    {false, true, true, 6, 0x40, 3, "DF"},
    {false, true, true, 6, 0x20, 3, "a fragment"},
    {true, true, true, 1, 0x10, 3, "traffic class"},
    {true, true, true, 3, 1, 3, "flow label"},
    {true, true, true, 7, 1, 3, "hop limit"},
    {false, false, true, 25, 1, 3, "UDP: a length that is not the packet's"},
    {false, false, true, 21, 1, 2, "another flow: the others go on"},
    {true, false, true, 43, 1, 2, "another flow over IPv6"},
};

PV_TEST(packets_are_joined_by_the_rules)
{
    static uint8_t p[3][200];
    for (size_t i = 0; i < PV_ARRAY_LEN(join_rules); i++) {
        struct flow f = {.v6 = join_rules[i].v6,
                         .tcp = join_rules[i].tcp,
                         .df = join_rules[i].df,
                         .seq = 0xffffffc0, /* wraps */
                         .id = 0xffff};
        w.joiner.tcp = w.joiner.udp = true;
        pv_joiner_reset(&w.joiner);
        for (unsigned n = 0; n < 3; n++) {
            size_t len = nth_packet(p[n], &f, n, 100);
            if (n == 1)
                p[n][join_rules[i].at] ^= join_rules[i].flip;
            set_sums(p[n], len);
            struct pv_ippkt ip;
            assert_ok(pv_ippkt_parse(pv_view(p[n], len), &ip));
            pv_joiner_add(&w.joiner, &ip, p[n]);
        }
        pv_joiner_finish(&w.joiner);
        if (w.joiner.n_outs != join_rules[i].outs)
            fail_msg("%s: %zu", join_rules[i].why, w.joiner.n_outs);
    }
}

/* VXLAN has no UDP checksum. What is cut again has one, and is the same otherwise. */
PV_TEST(datagrams_without_a_checksum_are_joined_with_their_like)
{
    static uint8_t p[4][200];
    for (unsigned v6 = 0; v6 < 2; v6++) {
        struct flow f = {.v6 = v6 == 1, .df = true};
        size_t field = (v6 ? 40 : 20) + 6, len = 0;
        set_up(&w, 6);
        w.joiner.tcp = w.joiner.udp = true;
        for (unsigned n = 0; n < 4; n++) {
            len = nth_packet(p[n], &f, n, 100);
            set_sums(p[n], len);
            if (n < 3)
                pv_store_be16(p[n] + field, 0);
            memcpy(add(&w.sent, len, false), p[n], len);
        }
        assert_int_equal(join_and_cut(&w), 3);
        assert_int_equal(w.joiner.n_outs, 2); /* the fourth has a checksum */
        assert_int_equal(w.back.n, 4);
        for (unsigned n = 0; n < 4; n++) {
            uint8_t *back = w.back.bytes + w.back.item[n].at;
            assert_true(is_right(back, len));
            if (n < 3)
                pv_store_be16(back + field, 0);
            assert_true(same_packet(back, p[n], len));
        }
    }
}

PV_TEST(a_super_packet_has_at_most_65535_bytes_and_so_many_packets)
{
    static const struct {
        bool tcp;
        size_t payload, most;
    } rows[] = {
        {true, 1400, 46}, /* 52 + 46 * 1400 = 64452 */
        {true, 100, PV_JOIN_TCP},
        {false, 100, PV_JOIN_UDP},
        {true, 65483, 1},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct flow f = {.tcp = rows[i].tcp, .df = true};
        set_up(&w, i);
        for (unsigned n = 0; n <= rows[i].most; n++) {
            uint8_t *p = add(&w.sent, rows[i].payload + (f.tcp ? 52 : 28), false);
            set_sums(p, nth_packet(p, &f, n, rows[i].payload));
        }
        assert_int_equal(join_and_cut(&w), rows[i].most);
        assert_int_equal(w.joiner.n_outs, 2);
        compare_flows(&w);
    }
}

PV_TEST(only_the_first_keeps_cwr_and_only_the_last_fin_and_psh)
{
    uint8_t p[452];
    struct flow f = {.tcp = true};
    set_up(&w, 1);
    size_t len = nth_packet(p, &f, 0, 400);
    p[33] = 0x80 | 0x40 | 0x10 | 0x08 | 0x01;
    struct pv_offload o = {.kind = PV_OFFLOAD_TCP4,
                           .needs_csum = true,
                           .size = 150,
                           .csum_start = 20,
                           .csum_offset = 16};
    cut_into(&w.sent, p, len, &o);
    assert_int_equal(w.sent.n, 3);
    static const uint8_t flags[] = {0x80 | 0x40 | 0x10, 0x40 | 0x10, 0x40 | 0x10 | 0x08 | 0x01};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(w.sent.bytes[w.sent.item[i].at + 33], flags[i]);
        assert_int_equal(pv_load_be32(w.sent.bytes + w.sent.item[i].at + 24), i * 150);
        assert_true(is_right(w.sent.bytes + w.sent.item[i].at, w.sent.item[i].len));
    }
}
