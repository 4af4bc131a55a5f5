/* SPDX-License-Identifier: MIT */
/*
 * fuzz_fp_rx - datagrams into pv_fp_rx with a valid session. The input is a list of
 * {u8 what, u16 length, bytes}: raw datagrams, sealed content, sealed and then damaged, cut,
 * replayed. A packet that reaches the TUN must be sealed by the peer, undamaged, new, and its to
 * send. The lowest bit of the last byte says whether the peer has rules; then it must be allowed,
 * too, as the node that receives begins nothing.
 */
#include "daemon/core/packets/fp_state.h"
#include "proto/ip/ippkt.h"
#include "tests/fuzz/fuzz_util.h"
#include "tests/unit/daemon/core/packets/fp_util.h"

struct pair {
    struct fp_node a, b;
    uint32_t b_at_a, a_at_b;
    pv_ns now;
    uint8_t last[PV_FP_INNER_MAX + 64];
    size_t last_len;
    bool ruled;
};

static void set_rules(struct pair *p)
{
    struct pv_ports some, all;
    struct pv_ruletable *table;
    const struct pv_fp_doubt none = {.until = 0};
    FP_MUST(pv_ports_parse("tcp/80,udp/1000-2000,ping", &some) == PV_OK);
    FP_MUST(pv_ports_parse("all", &all) == PV_OK);
    const struct pv_ruleline lines[2] = {{.rule = 1, .allow = true, .ports = &some},
                                         {.rule = 2, .allow = false, .ports = &all}};
    FP_MUST(pv_ruletable_new(lines, 2, true, NULL, &table) == PV_OK);
    FP_MUST(pv_fp_builder_set_guard(p->b.b, 2, &none, &p->b.rng) == PV_OK);
    FP_MUST(pv_fp_builder_set_rules(p->b.b, p->a_at_b, table) == PV_OK);
    pv_ruletable_unref(table);
}

/* As somebody reads it who knows the rules only. Later fragments are judged with their first one.
 */
static bool is_allowed(const struct pv_ippkt *ip)
{
    const uint8_t *l4 = ip->l4.ptr;
    if (ip->later_fragment || pv_ippkt_is_error(ip))
        return true;
    if (ip->proto == (ip->version == 4 ? PV_IP_PROTO_ICMP : PV_IP_PROTO_ICMP6))
        return ip->l4.len >= 8 && l4[0] == (ip->version == 4 ? 8 : 128);
    if (ip->l4.len < 8)
        return false;
    uint16_t port = pv_load_be16(l4 + 2);
    return ip->proto == PV_IP_PROTO_TCP
               ? port == 80 && ip->l4.len >= 20
               : ip->proto == PV_IP_PROTO_UDP && port >= 1000 && port <= 2000;
}

static void pair_init(struct pair *p)
{
    p->last_len = 0;
    fp_meet(&p->a, &p->b, &p->b_at_a, &p->a_at_b);
    fp_add_member(&p->b, 3);
    fp_set_path(&p->a, p->b_at_a, 2, 0);
    fp_set_path(&p->b, p->a_at_b, 1, 0);
    fp_add_keys(&p->a, p->b_at_a, &p->b, p->a_at_b, p->now, NULL);
    fp_publish(&p->a);
    if (p->ruled)
        set_rules(p);
    fp_publish(&p->b);
}

static struct pv_fp_results receive(struct pair *p, const uint8_t *bytes, size_t len, uint32_t from,
                                    uint8_t **ret_buf)
{
    uint8_t *buf = malloc(len == 0 ? 1 : len);
    FP_MUST(buf != NULL);
    if (len > 0)
        memcpy(buf, bytes, len);
    /* Some as another worker hands it over. */
    struct pv_fp_datagram d = {
        .from = fp_carrier(from), .data = buf, .len = len, .handed = from % 3 == 2};
    FP_MUST(pv_fp_rx(p->b.w, p->b.snap, &d, 1, p->now) == 1);
    *ret_buf = buf;
    return pv_fp_results(p->b.w);
}

static void check_written(const struct pair *p, const struct pv_fp_results *r)
{
    for (size_t i = 0; i < r->n_writes; i++) {
        struct pv_ippkt ip;
        FP_MUST(pv_ippkt_parse(pv_view(r->writes[i].data, r->writes[i].len), &ip) == PV_OK);
        FP_MUST(ip.whole.len == r->writes[i].len);
        struct pv_addr src = pv_ippkt_src(&ip), four = fp_ip4(1), six = fp_ip6(1);
        FP_MUST(pv_addr_equal(&src, &four) || pv_addr_equal(&src, &six));
        FP_MUST(!p->ruled || is_allowed(&ip));
    }
    for (size_t i = 0; i < r->n_punts; i++) {
        uint8_t sum = 0;
        for (size_t k = 0; k < r->punts[i].bytes.len; k++)
            sum ^= r->punts[i].bytes.ptr[k];
        FP_MUST(r->punts[i].kind != PV_FP_PUNT_INBAND || r->punts[i].bytes.len > 0 || sum == 0);
    }
}

static bool any_authentic(const struct pv_fp_results *r)
{
    bool any = r->n_writes > 0;
    for (size_t i = 0; i < r->n_punts; i++)
        any = any || r->punts[i].kind != PV_FP_PUNT_DATAGRAM;
    return any;
}

static void seal(struct pair *p, struct pv_view content)
{
    FP_MUST(pv_fp_inject(p->a.w, p->a.snap, p->b_at_a, content, p->now) == PV_OK);
    struct pv_fp_results r = pv_fp_results(p->a.w);
    memcpy(p->last, r.sends[0].data, r.sends[0].len);
    p->last_len = r.sends[0].len;
}

static void step(struct pair *p, uint8_t what, struct pv_view bytes)
{
    uint8_t *buf;
    struct pv_fp_results r;

    if (what % 5 != 0 && what % 5 != 4)
        seal(p, bytes.len > PV_FP_INNER_MAX ? pv_view(bytes.ptr, PV_FP_INNER_MAX) : bytes);
    switch (what % 5) {
    case 0: /* raw */
        r = receive(p, bytes.ptr, bytes.len, what, &buf);
        FP_MUST(!any_authentic(&r));
        break;
    case 1: /* as sealed */
        r = receive(p, p->last, p->last_len, (const uint32_t[]){1, 9, 2, 1}[what / 5 % 4], &buf);
        check_written(p, &r);
        break;
    case 2: /* one bit damaged */
        p->last[(size_t)what * 31 % p->last_len] ^= (uint8_t)(1 << what % 8);
        r = receive(p, p->last, p->last_len, 1, &buf);
        FP_MUST(!any_authentic(&r));
        break;
    case 3: /* cut */
        r = receive(p, p->last, (size_t)what * p->last_len / 256, 1, &buf);
        FP_MUST(!any_authentic(&r));
        break;
    default: /* again, after the first time */
        r = receive(p, p->last, p->last_len, 1, &buf);
        free(buf);
        r = receive(p, p->last, p->last_len, 1, &buf);
        FP_MUST(!any_authentic(&r));
        p->now += PV_S(what / 5);
        break;
    }
    free(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct pair p; /* the workers stay; each run begins later than the last ended */
    struct pv_reader r = pv_reader(pv_view(data, len));

    FP_MUST(pv_crypto_init() == PV_OK);
    pv_ns start = p.now += PV_S(1000);
    p.ruled = len > 0 && (data[len - 1] & 1) != 0;
    pair_init(&p);
    for (int steps = 0; steps < 32 && r.status == PV_OK && r.rest.len > 0; steps++) {
        uint8_t what = pv_get_u8(&r);
        size_t n = pv_get_u16(&r);
        if (p.now - start > PV_S(100)) /* keys stay young, so that sealing goes on */
            break;
        step(&p, what, pv_get_bytes(&r, n < r.rest.len ? n : r.rest.len));
    }
    fp_node_reset(&p.a);
    fp_node_reset(&p.b);
    return 0;
}
