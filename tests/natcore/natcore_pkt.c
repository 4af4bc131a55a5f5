/* SPDX-License-Identifier: MIT */
#include "natcore_pkt.h"

#include <string.h>

#include "base/bytes.h"

enum {
    V4_HEADER = 20,
    V6_HEADER = 40,
    V6_FRAGMENT = 44, /* next header number; RFC 8200 s4.5 */
    ICMP6 = 58,
    UDP_HEADER = 8,
    TCP_HEADER = 20,
    ICMP_HEADER = 8,
    V4_ICMP_MAX = 576, /* bytes of an IPv4 error: as much is quoted as fits (RFC 1812 s4.3.2.3) */
};

/* ---- checksums (RFC 1071, RFC 1624 eq. 3) ---- */

static uint32_t sum_bytes(uint32_t sum, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i + 1 < len; i += 2)
        sum += pv_load_be16(p + i);
    if (len % 2 != 0)
        sum += (uint32_t)p[len - 1] << 8;
    return sum;
}

static uint16_t sum_fold(uint32_t sum)
{
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

/* Mends the checksum at `at` for len (even) bytes that change from old to new. */
static void sum_replace(uint8_t *at, const uint8_t *old, const uint8_t *new, size_t len)
{
    uint32_t sum = (uint16_t)~pv_load_be16(at);
    for (size_t i = 0; i < len; i += 2)
        sum += (uint32_t)(uint16_t)~pv_load_be16(old + i) + pv_load_be16(new + i);
    pv_store_be16(at, (uint16_t)~sum_fold(sum));
}

/* The checksum of an IPv4 header, anew. */
static void v4_sum(uint8_t *ip)
{
    pv_store_be16(ip + 10, 0);
    pv_store_be16(ip + 10, (uint16_t)~sum_fold(sum_bytes(0, ip, (size_t)(ip[0] & 0x0f) * 4)));
}

static bool is_v6(const struct pv_natpkt *pkt)
{
    return pkt->src.family == PV_AF_INET6;
}

static uint32_t sum_pseudo(const struct pv_natpkt *pkt, size_t l4_len)
{
    size_t n = is_v6(pkt) ? 16 : 4;
    uint32_t sum = sum_bytes(0, pkt->src.ip, n);
    sum = sum_bytes(sum, pkt->dst.ip, n);
    uint8_t proto = is_v6(pkt) && pkt->proto == PV_NATPKT_ICMP ? ICMP6 : pkt->proto;
    return sum + proto + (uint32_t)l4_len;
}

/* ICMPv4 has no pseudo-header; everything else has. */
static bool has_pseudo(const struct pv_natpkt *pkt)
{
    return pkt->proto != PV_NATPKT_ICMP || is_v6(pkt);
}

/* Where the transport checksum stands; NULL when the packet has none or the quote is cut. */
static uint8_t *l4_checksum(const struct pv_natpkt *pkt)
{
    size_t at = 0;
    switch (pkt->proto) {
    case PV_NATPKT_UDP:
        at = 6;
        break;
    case PV_NATPKT_TCP:
        at = 16;
        break;
    default:
        at = 2;
        break;
    }
    if (pkt->kind == PV_NATPKT_REST || pkt->l4 + at + 2 > pkt->len)
        return NULL;
    uint8_t *p = pkt->data + pkt->l4 + at;
    if (pkt->proto == PV_NATPKT_UDP && !is_v6(pkt) && pv_load_be16(p) == 0)
        return NULL;
    return p;
}

static void l4_replace(const struct pv_natpkt *pkt, const uint8_t *old, const uint8_t *new,
                       size_t len)
{
    uint8_t *sum = l4_checksum(pkt);
    if (sum == NULL)
        return;
    sum_replace(sum, old, new, len);
    if (pkt->proto == PV_NATPKT_UDP && pv_load_be16(sum) == 0)
        pv_store_be16(sum, 0xffff);
}

/* ---- taking apart ---- */

static int parse_icmp(struct pv_natpkt *pkt)
{
    if (pkt->len < pkt->l4 + ICMP_HEADER)
        return PV_ERR_TRUNCATED;
    uint8_t type = pkt->data[pkt->l4];
    bool v6 = is_v6(pkt);
    uint8_t request = v6 ? 128 : 8;
    uint8_t reply = v6 ? 129 : 0;
    bool error = v6 ? type >= 1 && type <= 4 : type == 3 || type == 11 || type == 12;
    if (type == request || type == reply) {
        pkt->kind = type == request ? PV_NATPKT_ECHO : PV_NATPKT_ECHO_REPLY;
        pkt->src.port = pv_load_be16(pkt->data + pkt->l4 + 4);
        pkt->dst.port = pkt->src.port;
        return PV_OK;
    }
    if (!error)
        return PV_ERR_UNSUPPORTED;
    pkt->kind = PV_NATPKT_ERROR;
    pkt->quoted = pkt->l4 + ICMP_HEADER;
    return PV_OK;
}

static int parse_l4(struct pv_natpkt *pkt, bool quote)
{
    size_t need = pkt->proto == PV_NATPKT_TCP && !quote ? TCP_HEADER : UDP_HEADER;
    if (pkt->kind == PV_NATPKT_REST)
        return PV_OK;
    if (pkt->proto == PV_NATPKT_ICMP)
        return parse_icmp(pkt);
    if (pkt->proto != PV_NATPKT_UDP && pkt->proto != PV_NATPKT_TCP)
        return PV_ERR_UNSUPPORTED;
    if (pkt->len < pkt->l4 + need)
        return PV_ERR_TRUNCATED;
    pkt->kind = PV_NATPKT_FLOW;
    pkt->src.port = pv_load_be16(pkt->data + pkt->l4);
    pkt->dst.port = pv_load_be16(pkt->data + pkt->l4 + 2);
    if (pkt->proto == PV_NATPKT_TCP && pkt->len > pkt->l4 + 13)
        pkt->tcp_flags = pkt->data[pkt->l4 + 13];
    return PV_OK;
}

static int parse_v4(struct pv_natpkt *pkt, bool quote)
{
    const uint8_t *p = pkt->data;
    size_t header = (size_t)(p[0] & 0x0f) * 4;
    if (pkt->len < V4_HEADER || pkt->len < header)
        return PV_ERR_TRUNCATED;
    size_t total = pv_load_be16(p + 2);
    if (header < V4_HEADER || total < header)
        return PV_ERR_MALFORMED;
    if (!quote && total > pkt->len)
        return PV_ERR_TRUNCATED;
    if (!quote)
        pkt->len = total;
    uint16_t frag = pv_load_be16(p + 6);
    pkt->df = (frag & 0x4000) != 0;
    pkt->fragment = (frag & 0x3fff) != 0;
    pkt->frag_id = pv_load_be16(p + 4);
    pkt->ttl = p[8];
    pkt->proto = p[9];
    pkt->l4 = header;
    pkt->src.family = PV_AF_INET;
    pkt->dst.family = PV_AF_INET;
    memcpy(pkt->src.ip, p + 12, 4);
    memcpy(pkt->dst.ip, p + 16, 4);
    if ((frag & 0x1fff) != 0)
        pkt->kind = PV_NATPKT_REST;
    return parse_l4(pkt, quote);
}

static int parse_v6(struct pv_natpkt *pkt, bool quote)
{
    const uint8_t *p = pkt->data;
    if (pkt->len < V6_HEADER)
        return PV_ERR_TRUNCATED;
    size_t total = V6_HEADER + (size_t)pv_load_be16(p + 4);
    if (!quote && total > pkt->len)
        return PV_ERR_TRUNCATED;
    if (!quote)
        pkt->len = total;
    uint8_t next = p[6];
    pkt->df = true;
    pkt->ttl = p[7];
    pkt->l4 = V6_HEADER;
    pkt->src.family = PV_AF_INET6;
    pkt->dst.family = PV_AF_INET6;
    memcpy(pkt->src.ip, p + 8, 16);
    memcpy(pkt->dst.ip, p + 24, 16);
    if (next == V6_FRAGMENT) {
        if (pkt->len < V6_HEADER + 8)
            return PV_ERR_TRUNCATED;
        next = p[V6_HEADER];
        pkt->fragment = true;
        pkt->frag_id = pv_load_be32(p + V6_HEADER + 4);
        pkt->l4 = V6_HEADER + 8;
        if ((pv_load_be16(p + V6_HEADER + 2) & 0xfff8) != 0)
            pkt->kind = PV_NATPKT_REST;
    }
    if (next == PV_NATPKT_ICMP)
        return PV_ERR_UNSUPPORTED;
    pkt->proto = next == ICMP6 ? PV_NATPKT_ICMP : next;
    return parse_l4(pkt, quote);
}

static int parse(uint8_t *data, size_t len, bool quote, struct pv_natpkt *ret_pkt)
{
    struct pv_natpkt pkt = {.data = data, .len = len, .kind = PV_NATPKT_FLOW};
    if (len < 1)
        return PV_ERR_TRUNCATED;
    int r = PV_ERR_MALFORMED;
    if (data[0] >> 4 == 4)
        r = parse_v4(&pkt, quote);
    else if (data[0] >> 4 == 6)
        r = parse_v6(&pkt, quote);
    if (r < 0)
        return r;
    *ret_pkt = pkt;
    return PV_OK;
}

int pv_natpkt_parse(uint8_t *data, size_t len, struct pv_natpkt *ret_pkt)
{
    return parse(data, len, false, ret_pkt);
}

int pv_natpkt_quoted(const struct pv_natpkt *pkt, struct pv_natpkt *ret_quoted)
{
    if (pkt->kind != PV_NATPKT_ERROR || pkt->quoted > pkt->len)
        return PV_ERR_STATE;
    return parse(pkt->data + pkt->quoted, pkt->len - pkt->quoted, true, ret_quoted);
}

/* ---- rewriting ---- */

/* side: 0 = source, 1 = destination. */
static void set_endpoint(struct pv_natpkt *pkt, unsigned side, const struct pv_addr *to)
{
    size_t n = is_v6(pkt) ? 16 : 4;
    uint8_t *ip = pkt->data + (is_v6(pkt) ? 8 : 12) + side * n;
    if (has_pseudo(pkt))
        l4_replace(pkt, ip, to->ip, n);
    if (!is_v6(pkt))
        sum_replace(pkt->data + 10, ip, to->ip, n);
    memcpy(ip, to->ip, n);

    struct pv_addr *shadow = side == 0 ? &pkt->src : &pkt->dst;
    *shadow = *to;
    if (pkt->kind == PV_NATPKT_REST || pkt->kind == PV_NATPKT_ERROR)
        return;
    uint8_t port[2];
    pv_store_be16(port, to->port);
    uint8_t *at = pkt->data + pkt->l4 + (pkt->kind == PV_NATPKT_FLOW ? 2 * side : 4);
    l4_replace(pkt, at, port, 2);
    memcpy(at, port, 2);
    if (pkt->kind != PV_NATPKT_FLOW) {
        pkt->src.port = to->port;
        pkt->dst.port = to->port;
    }
}

void pv_natpkt_set_src(struct pv_natpkt *pkt, const struct pv_addr *to)
{
    set_endpoint(pkt, 0, to);
}

void pv_natpkt_set_dst(struct pv_natpkt *pkt, const struct pv_addr *to)
{
    set_endpoint(pkt, 1, to);
}

/* The ICMP checksum covers the whole quote, so it is computed again. */
static void icmp_sum(struct pv_natpkt *pkt)
{
    size_t len = pkt->len - pkt->l4;
    uint8_t *sum = pkt->data + pkt->l4 + 2;
    pv_store_be16(sum, 0);
    uint32_t start = has_pseudo(pkt) ? sum_pseudo(pkt, len) : 0;
    pv_store_be16(sum, (uint16_t)~sum_fold(sum_bytes(start, pkt->data + pkt->l4, len)));
}

void pv_natpkt_set_quoted_src(struct pv_natpkt *pkt, struct pv_natpkt *quoted,
                              const struct pv_addr *to)
{
    set_endpoint(quoted, 0, to);
    icmp_sum(pkt);
}

void pv_natpkt_set_quoted_dst(struct pv_natpkt *pkt, struct pv_natpkt *quoted,
                              const struct pv_addr *to)
{
    set_endpoint(quoted, 1, to);
    icmp_sum(pkt);
}

void pv_natpkt_set_ttl(struct pv_natpkt *pkt, uint8_t ttl)
{
    pkt->ttl = ttl;
    if (is_v6(pkt)) {
        pkt->data[7] = pkt->ttl;
        return;
    }
    uint8_t old[2] = {pkt->data[8], pkt->data[9]};
    pkt->data[8] = pkt->ttl;
    sum_replace(pkt->data + 10, old, pkt->data + 8, 2);
}

void pv_natpkt_hop(struct pv_natpkt *pkt)
{
    pv_natpkt_set_ttl(pkt, (uint8_t)(pkt->ttl - 1));
}

void pv_natpkt_answer_echo(struct pv_natpkt *pkt)
{
    struct pv_addr src = pkt->src;
    struct pv_addr dst = pkt->dst;
    uint8_t old[2] = {pkt->data[pkt->l4], pkt->data[pkt->l4 + 1]};
    pkt->data[pkt->l4] = is_v6(pkt) ? 129 : 0;
    sum_replace(pkt->data + pkt->l4 + 2, old, pkt->data + pkt->l4, 2);
    pkt->kind = PV_NATPKT_ECHO_REPLY;
    pv_natpkt_set_src(pkt, &dst);
    pv_natpkt_set_dst(pkt, &src);
}

/* ---- building ---- */

void pv_natpkt_set_df(uint8_t *packet, bool df)
{
    if (packet[0] >> 4 != 4)
        return;
    packet[6] = (uint8_t)((packet[6] & ~0x40) | (df ? 0x40 : 0));
    v4_sum(packet);
}

static void put_header(uint8_t *p, const struct pv_addr *src, const struct pv_addr *dst,
                       uint8_t proto, size_t l4_len)
{
    if (src->family == PV_AF_INET6) {
        memset(p, 0, V6_HEADER);
        p[0] = 0x60;
        pv_store_be16(p + 4, (uint16_t)l4_len);
        p[6] = proto == PV_NATPKT_ICMP ? ICMP6 : proto;
        p[7] = 64;
        memcpy(p + 8, src->ip, 16);
        memcpy(p + 24, dst->ip, 16);
        return;
    }
    memset(p, 0, V4_HEADER);
    p[0] = 0x45;
    pv_store_be16(p + 2, (uint16_t)(V4_HEADER + l4_len));
    p[6] = 0x40; /* DF, as hosts send */
    p[8] = 64;
    p[9] = proto;
    memcpy(p + 12, src->ip, 4);
    memcpy(p + 16, dst->ip, 4);
    v4_sum(p);
}

static void error_type(enum pv_natpkt_why why, bool v6, uint8_t type_code[static 2])
{
    static const uint8_t v4_codes[][2] = {{11, 0}, {3, 4}, {3, 3}, {3, 13}};
    static const uint8_t v6_codes[][2] = {{3, 0}, {2, 0}, {1, 4}, {1, 1}};
    memcpy(type_code, v6 ? v6_codes[why] : v4_codes[why], 2);
}

int pv_natpkt_error(const struct pv_natpkt *pkt, enum pv_natpkt_why why, uint32_t info,
                    const struct pv_addr *from, uint8_t buf[static PV_NATPKT_ICMP_MAX],
                    size_t *ret_len)
{
    if (pkt->kind == PV_NATPKT_ERROR || pkt->kind == PV_NATPKT_REST ||
        from->family != pkt->src.family)
        return PV_ERR_REFUSED;
    bool v6 = is_v6(pkt);
    size_t header = v6 ? V6_HEADER : V4_HEADER;
    size_t room = (v6 ? PV_NATPKT_ICMP_MAX : V4_ICMP_MAX) - header - ICMP_HEADER;
    size_t quote = pkt->len < room ? pkt->len : room;

    put_header(buf, from, &pkt->src, PV_NATPKT_ICMP, ICMP_HEADER + quote);
    uint8_t *icmp = buf + header;
    memset(icmp, 0, ICMP_HEADER);
    error_type(why, v6, icmp);
    pv_store_be32(icmp + 4, info);
    memcpy(icmp + ICMP_HEADER, pkt->data, quote);

    struct pv_natpkt made = {
        .data = buf,
        .len = header + ICMP_HEADER + quote,
        .kind = PV_NATPKT_ERROR,
        .proto = PV_NATPKT_ICMP,
        .l4 = header,
        .src = *from,
        .dst = pkt->src,
    };
    icmp_sum(&made);
    *ret_len = made.len;
    return PV_OK;
}

int pv_natpkt_piece(const struct pv_natpkt *pkt, size_t mtu, unsigned i, uint8_t *buf,
                    size_t *ret_len)
{
    if (is_v6(pkt) || mtu < V4_HEADER + 8)
        return PV_ERR_UNSUPPORTED;
    size_t header = (size_t)(pkt->data[0] & 0x0f) * 4;
    size_t step = (mtu - header) / 8 * 8;
    size_t body = pkt->len - header;
    size_t at = i * step;
    if (at >= body)
        return PV_ERR_AGAIN;
    size_t n = body - at < step ? body - at : step;

    memcpy(buf, pkt->data, header);
    memcpy(buf + header, pkt->data + header + at, n);
    uint16_t frag = pv_load_be16(pkt->data + 6);
    uint16_t offset = (uint16_t)((frag & 0x1fff) + at / 8);
    bool more = (frag & 0x2000) != 0 || at + n < body;
    pv_store_be16(buf + 2, (uint16_t)(header + n));
    pv_store_be16(buf + 6, (uint16_t)(offset | (more ? 0x2000 : 0)));
    v4_sum(buf);
    *ret_len = header + n;
    return PV_OK;
}

size_t pv_natpkt_udp(uint8_t *buf, size_t cap, const struct pv_addr *src, const struct pv_addr *dst,
                     struct pv_view payload)
{
    size_t header = src->family == PV_AF_INET6 ? V6_HEADER : V4_HEADER;
    size_t len = header + UDP_HEADER + payload.len;
    if (src->family != dst->family || len > cap || len > PV_NATPKT_MAX)
        return 0;
    size_t l4_len = UDP_HEADER + payload.len;
    put_header(buf, src, dst, PV_NATPKT_UDP, l4_len);
    uint8_t *udp = buf + header;
    pv_store_be16(udp, src->port);
    pv_store_be16(udp + 2, dst->port);
    pv_store_be16(udp + 4, (uint16_t)l4_len);
    pv_store_be16(udp + 6, 0);
    if (payload.len > 0)
        memcpy(udp + UDP_HEADER, payload.ptr, payload.len);

    struct pv_natpkt made = {.proto = PV_NATPKT_UDP, .src = *src, .dst = *dst};
    uint16_t sum = (uint16_t)~sum_fold(sum_bytes(sum_pseudo(&made, l4_len), udp, l4_len));
    pv_store_be16(udp + 6, sum == 0 ? 0xffff : sum);
    return len;
}

size_t pv_natpkt_echo(uint8_t *buf, size_t cap, const struct pv_addr *src,
                      const struct pv_addr *dst, uint32_t id_seq, struct pv_view payload)
{
    bool v6 = src->family == PV_AF_INET6;
    size_t header = v6 ? V6_HEADER : V4_HEADER;
    size_t len = header + ICMP_HEADER + payload.len;
    if (src->family != dst->family || len > cap || len > PV_NATPKT_MAX)
        return 0;
    put_header(buf, src, dst, PV_NATPKT_ICMP, ICMP_HEADER + payload.len);
    uint8_t *icmp = buf + header;
    memset(icmp, 0, ICMP_HEADER);
    icmp[0] = v6 ? 128 : 8;
    pv_store_be32(icmp + 4, id_seq);
    if (payload.len > 0)
        memcpy(icmp + ICMP_HEADER, payload.ptr, payload.len);
    struct pv_natpkt made = {
        .data = buf, .len = len, .proto = PV_NATPKT_ICMP, .l4 = header, .src = *src, .dst = *dst};
    icmp_sum(&made);
    return len;
}

void pv_natpkt_mend(uint8_t *data, size_t len)
{
    struct pv_natpkt pkt;
    if (pv_natpkt_parse(data, len, &pkt) < 0)
        return;
    if (!is_v6(&pkt))
        v4_sum(data);
    uint8_t *sum = pkt.fragment ? NULL : l4_checksum(&pkt);
    if (sum == NULL)
        return;
    size_t l4_len = pkt.len - pkt.l4;
    uint32_t start = has_pseudo(&pkt) ? sum_pseudo(&pkt, l4_len) : 0;
    pv_store_be16(sum, 0);
    uint16_t made = (uint16_t)~sum_fold(sum_bytes(start, pkt.data + pkt.l4, l4_len));
    pv_store_be16(sum, made == 0 && pkt.proto == PV_NATPKT_UDP ? 0xffff : made);
}

size_t pv_natpkt_translate(const struct pv_natpkt *pkt, const struct pv_addr *src,
                           const struct pv_addr *dst, uint8_t *buf, size_t cap)
{
    size_t header = src->family == PV_AF_INET6 ? V6_HEADER : V4_HEADER;
    size_t l4_len = pkt->len - pkt->l4, len = header + l4_len;
    if (pkt->kind != PV_NATPKT_FLOW || pkt->fragment || !pv_natpkt_checksum_ok(pkt) || len > cap ||
        len > PV_NATPKT_MAX)
        return 0;
    put_header(buf, src, dst, pkt->proto, l4_len);
    buf[src->family == PV_AF_INET6 ? 7 : 8] = pkt->ttl;
    memcpy(buf + header, pkt->data + pkt->l4, l4_len);
    pv_store_be16(buf + header + (pkt->proto == PV_NATPKT_TCP ? 16 : 6), 1); /* not: has none */
    pv_natpkt_mend(buf, len);
    return len;
}

struct pv_view pv_natpkt_payload(const struct pv_natpkt *pkt)
{
    size_t at = pkt->l4 + UDP_HEADER;
    return pv_view(pkt->data + at, pkt->len - at);
}

bool pv_natpkt_checksum_ok(const struct pv_natpkt *pkt)
{
    if (!is_v6(pkt) && sum_fold(sum_bytes(0, pkt->data, (size_t)(pkt->data[0] & 15) * 4)) != 0xffff)
        return false;
    size_t len = pkt->len - pkt->l4;
    uint32_t start = has_pseudo(pkt) ? sum_pseudo(pkt, len) : 0;
    if (pkt->proto == PV_NATPKT_UDP && l4_checksum(pkt) == NULL)
        return true;
    return sum_fold(sum_bytes(start, pkt->data + pkt->l4, len)) == 0xffff;
}
