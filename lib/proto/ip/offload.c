/* SPDX-License-Identifier: MIT */
/*
 * offload.c - cuts super-packets from the kernel's TUN and joins packets for it (TSO, USO, GRO).
 * The kernel checks nothing in what is handed to it as a super-packet, so whatever is joined must
 * have been correct by itself: headers that agree, checksums that are right, sequence numbers that
 * follow on. All else goes through unchanged, and in order within its flow.
 */
#include "proto/ip/offload.h"

#include <string.h>

#include "base/bytes.h"

enum {
    TCP_MIN = 20,      /* bytes, RFC 9293 s3.1 */
    UDP_LEN = 8,       /* bytes, RFC 768 */
    TCP_CSUM = 16,     /* offset of the checksum */
    UDP_CSUM = 6,      /* offset of the checksum */
    TCP_FLAGS = 13,    /* offset of the flags, RFC 9293 s3.1 */
    FLAG_FIN = 0x01,   /* RFC 9293 s3.1 */
    FLAG_PSH = 0x08,   /* RFC 9293 s3.1 */
    FLAG_ACK = 0x10,   /* RFC 9293 s3.1 */
    FLAG_CWR = 0x80,   /* RFC 3168 s6.1 */
    IP4_MIN = 20,      /* bytes, RFC 791 s3.1 */
    IP6_LEN = 40,      /* bytes, RFC 8200 s3 */
    IP4_DF = 0x4000,   /* RFC 791 s3.1 */
    IP4_FRAG = 0x3fff, /* more fragments, offset; RFC 791 s3.1 */
};

/* linux/virtio_net.h, which pure code does not include. */
enum {
    VNET_NEEDS_CSUM = 1,
    VNET_GSO_NONE = 0,
    VNET_GSO_TCP4 = 1,
    VNET_GSO_TCP6 = 4,
    VNET_GSO_UDP_L4 = 5,
    VNET_GSO_ECN = 0x80, /* beside a TCP type: CWR is set */
};

/* --- the header of the TUN ----------------------------------------------------------------- */

static uint16_t load_native16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static void store_native16(uint8_t *p, uint16_t v)
{
    memcpy(p, &v, sizeof(v));
}

int pv_vnet_decode(const uint8_t header[static PV_VNET_LEN], struct pv_offload *ret_offload)
{
    struct pv_offload o = {.needs_csum = (header[0] & VNET_NEEDS_CSUM) != 0,
                           .head = load_native16(header + 2),
                           .size = load_native16(header + 4),
                           .csum_start = load_native16(header + 6),
                           .csum_offset = load_native16(header + 8)};
    switch (header[1] & ~VNET_GSO_ECN) {
    case VNET_GSO_NONE:
        break;
    case VNET_GSO_TCP4:
        o.kind = PV_OFFLOAD_TCP4;
        break;
    case VNET_GSO_TCP6:
        o.kind = PV_OFFLOAD_TCP6;
        break;
    case VNET_GSO_UDP_L4:
        o.kind = PV_OFFLOAD_UDP;
        break;
    default:
        return PV_ERR_MALFORMED;
    }
    *ret_offload = o;
    return PV_OK;
}

void pv_vnet_encode(uint8_t header[static PV_VNET_LEN], const struct pv_offload *offload)
{
    static const uint8_t types[] = {[PV_OFFLOAD_NONE] = VNET_GSO_NONE,
                                    [PV_OFFLOAD_TCP4] = VNET_GSO_TCP4,
                                    [PV_OFFLOAD_TCP6] = VNET_GSO_TCP6,
                                    [PV_OFFLOAD_UDP] = VNET_GSO_UDP_L4};
    header[0] = offload->needs_csum ? VNET_NEEDS_CSUM : 0;
    header[1] = types[offload->kind];
    store_native16(header + 2, offload->head);
    store_native16(header + 4, offload->size);
    store_native16(header + 6, offload->csum_start);
    store_native16(header + 8, offload->csum_offset);
}

/* --- checksums ----------------------------------------------------------------------------- */

/* Of both addresses and the protocol; the length is added by whoever knows it. */
static uint32_t pseudo_sum(uint8_t version, const uint8_t *packet, uint8_t proto)
{
    struct pv_view addresses = version == 4 ? pv_view(packet + PV_IP4_ADDRS, PV_IP4_ADDRS_LEN)
                                            : pv_view(packet + PV_IP6_ADDRS, PV_IP6_ADDRS_LEN);
    return pv_ippkt_sum(addresses, proto);
}

/* The length goes in, and with IPv4 the header's checksum anew. */
static void set_ip_length(uint8_t *packet, uint8_t version, size_t ip_header, size_t total)
{
    if (version == 6) {
        pv_store_be16(packet + 4, (uint16_t)(total - IP6_LEN));
        return;
    }
    pv_store_be16(packet + 2, (uint16_t)total);
    pv_store_be16(packet + 10, 0);
    pv_store_be16(packet + 10, (uint16_t)~pv_ippkt_sum(pv_view(packet, ip_header), 0));
}

/* --- cutting ------------------------------------------------------------------------------- */

/* The kernel's word and the packet must agree, or lengths below would be taken from the wrong
 * header. */
static bool kind_fits(const struct pv_ippkt *ip, const struct pv_offload *o)
{
    switch (o->kind) {
    case PV_OFFLOAD_NONE:
        return true;
    case PV_OFFLOAD_TCP4:
        return ip->version == 4 && ip->proto == PV_IP_PROTO_TCP;
    case PV_OFFLOAD_TCP6:
        return ip->version == 6 && ip->proto == PV_IP_PROTO_TCP;
    case PV_OFFLOAD_UDP:
        return ip->proto == PV_IP_PROTO_UDP;
    }
    return false;
}

/* Bytes of the L4 header; 0 when it does not fit. */
static size_t l4_header(const struct pv_ippkt *ip)
{
    size_t len = UDP_LEN;
    if (ip->proto == PV_IP_PROTO_TCP) {
        if (ip->l4.len < TCP_MIN)
            return 0;
        len = (size_t)(ip->l4.ptr[12] >> 4) * 4;
        if (len < TCP_MIN)
            return 0;
    }
    return ip->l4.len < len ? 0 : len;
}

/* The sum without one of the words in it (RFC 1624 s3). */
static uint32_t without(uint32_t sum, uint16_t word)
{
    return sum + (uint16_t)~word;
}

/* Headers are added up once: without lengths, checksums, the identification (IPv4), the sequence
 * number and the flags (TCP), which pv_cutter_cut() adds. */
static void sum_headers(struct pv_cutter *c, const struct pv_ippkt *ip)
{
    const uint8_t *packet = ip->whole.ptr, *l4 = ip->l4.ptr;
    size_t ip_header = (size_t)(l4 - packet);
    uint32_t sum = pv_ippkt_sum(pv_view(packet, ip_header), 0);
    sum = without(without(sum, pv_load_be16(packet + 2)), pv_load_be16(packet + 4));
    c->ip_sum = without(sum, pv_load_be16(packet + 10));
    sum =
        pv_ippkt_sum(pv_view(l4, c->head - ip_header), pseudo_sum(ip->version, packet, ip->proto));
    for (int i = 4; i < 8; i += 2) /* the sequence number; length and checksum of UDP */
        sum = without(sum, pv_load_be16(l4 + i));
    if (ip->proto == PV_IP_PROTO_TCP)
        sum = without(without(sum, pv_load_be16(l4 + TCP_FLAGS - 1)), pv_load_be16(l4 + TCP_CSUM));
    c->l4_sum = sum;
}

/* Everything that pv_cutter_cut() relies on is checked here once: where L4 begins, that its header
 * is there, and that the checksum field is where the protocol has it. */
static int init_many(struct pv_cutter *c, const struct pv_ippkt *ip, const struct pv_offload *o)
{
    size_t l4 = (size_t)(ip->l4.ptr - ip->whole.ptr), header = l4_header(ip);
    uint16_t field = ip->proto == PV_IP_PROTO_TCP ? TCP_CSUM : UDP_CSUM;
    if (!o->needs_csum || o->size == 0 || header == 0 || ip->later_fragment ||
        o->csum_start != l4 || o->csum_offset != field)
        return PV_ERR_MALFORMED;
    c->head = l4 + header;
    size_t payload = ip->whole.len - c->head;
    if (payload == 0)
        return PV_ERR_MALFORMED;
    c->count = (payload + o->size - 1) / o->size;
    sum_headers(c, ip);
    return c->count > PV_OFFLOAD_MAX_CUT ? PV_ERR_LIMIT : PV_OK;
}

int pv_cutter_init(struct pv_cutter *c, const struct pv_ippkt *ip, const struct pv_offload *offload)
{
    *c = (struct pv_cutter){.packet = ip->whole,
                            .offload = *offload,
                            .version = ip->version,
                            .head = ip->whole.len,
                            .count = 1};
    if (!kind_fits(ip, offload))
        return PV_ERR_MALFORMED;
    if (offload->kind != PV_OFFLOAD_NONE)
        return init_many(c, ip, offload);
    size_t start = offload->csum_start;
    if (offload->needs_csum && (start < IP4_MIN || start + offload->csum_offset + 2u > c->head))
        return PV_ERR_MALFORMED;
    return PV_OK;
}

size_t pv_cutter_largest(const struct pv_cutter *c)
{
    size_t payload = c->packet.len - c->head;
    return c->head + (payload < c->offload.size ? payload : c->offload.size);
}

size_t pv_cutter_next(const struct pv_cutter *c)
{
    if (c->index == c->count)
        return 0;
    size_t rest = c->packet.len - c->head - c->at;
    return c->head + (rest < c->offload.size ? rest : c->offload.size);
}

/* The one packet, with the checksum that the kernel left to the hardware. */
static void cut_whole(const struct pv_cutter *c, uint8_t *dst)
{
    memcpy(dst, c->packet.ptr, c->packet.len);
    if (!c->offload.needs_csum)
        return;
    size_t start = c->offload.csum_start, field = start + c->offload.csum_offset;
    uint16_t sum = (uint16_t)~pv_ippkt_sum(pv_view(dst + start, c->packet.len - start), 0);
    if (sum == 0 && c->offload.csum_offset == UDP_CSUM)
        sum = 0xffff; /* 0 means "none" in UDP, RFC 768; elsewhere both are the same number */
    pv_store_be16(dst + field, sum);
}

/* Returns the sum of the words that sum_headers() left out and this packet has. */
static uint32_t cut_tcp(const struct pv_cutter *c, uint8_t *tcp)
{
    uint32_t seq = pv_load_be32(tcp + 4) + (uint32_t)c->at;
    pv_store_be32(tcp + 4, seq);
    if (c->index + 1 < c->count)
        tcp[TCP_FLAGS] &= (uint8_t) ~(FLAG_FIN | FLAG_PSH);
    if (c->index > 0)
        tcp[TCP_FLAGS] &= (uint8_t)~FLAG_CWR; /* only on the first, RFC 3168 s6.1.2 */
    return (seq >> 16) + (seq & 0xffff) + pv_load_be16(tcp + TCP_FLAGS - 1);
}

static void cut_ip(const struct pv_cutter *c, uint8_t *dst, size_t len)
{
    if (c->version == 6) {
        pv_store_be16(dst + 4, (uint16_t)(len - IP6_LEN));
        return;
    }
    uint16_t id = (uint16_t)(pv_load_be16(dst + 4) + c->index);
    pv_store_be16(dst + 2, (uint16_t)len);
    pv_store_be16(dst + 4, id);
    pv_store_be16(dst + 10, (uint16_t)~pv_ippkt_fold(c->ip_sum + (uint32_t)len + id));
}

/* Each packet repeats the headers with its own length, sequence number (TCP) or identification
 * (IPv4, RFC 6864), and checksum. FIN and PSH belong to the last segment only. */
void pv_cutter_cut(struct pv_cutter *c, uint8_t *dst)
{
    size_t len = pv_cutter_next(c), l4 = c->offload.csum_start;
    if (c->offload.kind == PV_OFFLOAD_NONE) {
        cut_whole(c, dst);
        c->index++;
        return;
    }
    memcpy(dst, c->packet.ptr, c->head);
    /* The header has an even length: the payload's sum is what it is behind it. */
    uint32_t sum = pv_ippkt_copy_sum(dst + c->head,
                                     pv_view(c->packet.ptr + c->head + c->at, len - c->head), 0);
    sum += c->l4_sum + (uint32_t)(len - l4);
    cut_ip(c, dst, len);
    if (c->offload.kind == PV_OFFLOAD_UDP) {
        pv_store_be16(dst + l4 + 4, (uint16_t)(len - l4));
        sum += (uint32_t)(len - l4);
    } else {
        sum += cut_tcp(c, dst + l4);
    }
    uint16_t field = (uint16_t)~pv_ippkt_fold(sum);
    pv_store_be16(dst + l4 + c->offload.csum_offset,
                  field == 0 && c->offload.kind == PV_OFFLOAD_UDP ? 0xffff : field);
    c->at += len - c->head;
    c->index++;
}

void pv_cutter_skip(struct pv_cutter *c)
{
    if (c->offload.kind != PV_OFFLOAD_NONE)
        c->at += pv_cutter_next(c) - c->head;
    c->index++;
}

/* --- joining ------------------------------------------------------------------------------- */

void pv_joiner_reset(struct pv_joiner *j)
{
    if (j->n_outs > 0)
        memset(j->flows, 0, sizeof(j->flows));
    j->n_outs = j->n_pieces = 0;
}

void pv_joiner_add_plain(struct pv_joiner *j, struct pv_view packet)
{
    j->outs[j->n_outs++] = (struct pv_join_out){.data = packet.ptr, .len = packet.len};
}

/* A packet that may become part of a flow. */
struct join_packet {
    uint8_t version, proto;
    uint8_t *packet;
    size_t l4, head, len;
};

static bool is_tcp(const struct join_packet *p)
{
    return p->proto == PV_IP_PROTO_TCP;
}

/* Parts of packets, and those whose protocol hides behind extension headers: nobody can tell which
 * flow they belong to. */
static bool is_of_any_flow(const struct pv_ippkt *ip)
{
    if (ip->version == 4)
        return (pv_load_be16(ip->whole.ptr + 6) & IP4_FRAG) != 0;
    return ip->whole.ptr[6] != ip->proto;
}

/* One place for each hash and no list: a collision only costs a chance of joining. The multiplier
 * is 2^32 divided by the golden ratio (Knuth, TAOCP 6.4). */
static struct pv_join_flow *find_place(struct pv_joiner *j, const struct join_packet *p)
{
    const uint8_t *ends = p->packet + (p->version == 4 ? 12 : 8);
    size_t n = p->version == 4 ? 8 : 32;
    uint32_t h = pv_load_be32(p->packet + p->l4) ^ p->proto;
    for (size_t i = 0; i < n; i += 4)
        h ^= pv_load_be32(ends + i);
    return &j->flows[(h * 0x9e3779b1u) >> 28];
}
_Static_assert(PV_JOIN_FLOWS == 16, "4 bits of the hash");

/* The headers of what the flow began with. */
static const uint8_t *flow_head(const struct pv_joiner *j, const struct pv_join_flow *f)
{
    return j->outs[f->out - 1].data;
}

/* Both addresses, both ports and the protocol; ports are compared as the first 4 bytes of L4. */
static bool is_same_flow(const struct pv_joiner *j, const struct pv_join_flow *f,
                         const struct join_packet *p)
{
    if (f->out == 0)
        return false;
    const uint8_t *h = flow_head(j, f);
    if (h[0] >> 4 != p->version || memcmp(h + f->l4, p->packet + p->l4, 4) != 0)
        return false;
    return p->version == 4
               ? h[9] == p->proto &&
                     memcmp(h + PV_IP4_ADDRS, p->packet + PV_IP4_ADDRS, PV_IP4_ADDRS_LEN) == 0
               : h[6] == p->proto &&
                     memcmp(h + PV_IP6_ADDRS, p->packet + PV_IP6_ADDRS, PV_IP6_ADDRS_LEN) == 0;
}

/* UDP may have no checksum: over IPv4 (RFC 768), and as a tunnel over IPv6 (RFC 6935), as VXLAN. */
static bool lacks_checksum(const uint8_t *udp)
{
    return pv_load_be16(udp + UDP_CSUM) == 0;
}

/* Returns true if the checksums that are there are right. UDP without one has nothing that joining
 * could make look right; the kernel cuts it into datagrams that have a checksum. */
static bool checksums_fit(const struct join_packet *p)
{
    if (p->version == 4 && pv_ippkt_sum(pv_view(p->packet, p->l4), 0) != 0xffff)
        return false;
    if (!is_tcp(p) && lacks_checksum(p->packet + p->l4))
        return true;
    size_t len = p->len - p->l4;
    uint32_t pseudo = pseudo_sum(p->version, p->packet, p->proto);
    return pv_ippkt_sum(pv_view(p->packet + p->l4, len), pseudo + (uint32_t)len) == 0xffff;
}

/* Returns true if the packet may be part of a super-packet: no options before L4, no fragment, no
 * TCP flag but ACK and PSH, because a super-packet has each of those only once. */
static bool can_be_joined(const struct join_packet *p)
{
    if (p->l4 != (p->version == 4 ? IP4_MIN : IP6_LEN) || p->len <= p->head)
        return false;
    if (p->version == 4 && (pv_load_be16(p->packet + 6) & ~IP4_DF) != 0)
        return false;
    if (is_tcp(p)) {
        uint8_t flags = p->packet[p->l4 + TCP_FLAGS];
        if ((flags & ~FLAG_PSH) != FLAG_ACK)
            return false;
    } else if (pv_load_be16(p->packet + p->l4 + 4) != p->len - p->l4) {
        return false;
    }
    return checksums_fit(p);
}

static bool same_bytes(const uint8_t *a, const uint8_t *b, size_t from, size_t to)
{
    return memcmp(a + from, b + from, to - from) == 0;
}

/* Headers that a super-packet has only once must agree. */
static bool headers_agree(const struct pv_joiner *j, const struct pv_join_flow *f,
                          const struct join_packet *p)
{
    const uint8_t *a = flow_head(j, f), *b = p->packet;
    if (p->version == 6) {
        if (!same_bytes(a, b, 0, 4) || a[7] != b[7]) /* class and flow label; hop limit */
            return false;
    } else {
        if (a[1] != b[1] || !same_bytes(a, b, 6, 9)) /* TOS; DF and TTL */
            return false;
        /* The identification counts only where fragments are possible, RFC 6864 s4. */
        if ((pv_load_be16(b + 6) & IP4_DF) == 0 && pv_load_be16(b + 4) != f->next_id)
            return false;
    }
    if (!is_tcp(p)) /* all with a checksum, or all without */
        return lacks_checksum(a + p->l4) == lacks_checksum(b + p->l4);
    /* Acknowledgement and data offset; window; urgent pointer and options (RFC 9293 s3.1). */
    return same_bytes(a + p->l4, b + p->l4, 8, 13) && same_bytes(a + p->l4, b + p->l4, 14, 16) &&
           same_bytes(a + p->l4, b + p->l4, 18, p->head - p->l4);
}

/* All packets but the last must have one size, because the receiver is told only that size. */
static bool can_append(const struct pv_joiner *j, const struct pv_join_flow *f,
                       const struct join_packet *p)
{
    size_t payload = p->len - p->head;
    if (p->head != f->head || payload > f->size || f->total + payload > PV_OFFLOAD_MAX)
        return false;
    if (is_tcp(p) && pv_load_be32(p->packet + p->l4 + 4) != f->next_seq)
        return false;
    return headers_agree(j, f, p);
}

/* PSH, a shorter packet or the limit of pieces end the super-packet: what comes next begins a new
 * one. */
static void append_piece(struct pv_joiner *j, struct pv_join_flow *f, const struct join_packet *p)
{
    struct pv_join_out *out = &j->outs[f->out - 1];
    size_t payload = p->len - p->head;
    struct pv_join_piece *piece = &j->pieces[j->n_pieces++];
    *piece = (struct pv_join_piece){.bytes = pv_view(p->packet + p->head, payload)};
    if (f->last == NULL)
        out->more = piece;
    else
        f->last->next = piece;
    f->last = piece;
    if (out->n_more++ == 0)
        out->offload = (struct pv_offload){
            .kind = !is_tcp(p)        ? PV_OFFLOAD_UDP
                    : p->version == 4 ? PV_OFFLOAD_TCP4
                                      : PV_OFFLOAD_TCP6,
            .needs_csum = true,
            .size = (uint16_t)f->size,
            .head = f->head,
            .csum_start = f->l4,
            .csum_offset = is_tcp(p) ? TCP_CSUM : UDP_CSUM,
        };
    f->total += payload;
    f->next_seq += (uint32_t)payload;
    f->next_id++;
    bool psh = is_tcp(p) && (p->packet[p->l4 + TCP_FLAGS] & FLAG_PSH) != 0;
    size_t most = is_tcp(p) ? PV_JOIN_TCP : PV_JOIN_UDP;
    if (psh || payload < f->size || out->n_more + 1 >= most)
        f->out = 0;
    if (psh) {
        /* The first packet has no PSH, or it would have been alone: it lies in the caller's
         * writable buffer, as all of them. */
        union {
            const uint8_t *in;
            uint8_t *out;
        } first = {.in = out->data};
        first.out[p->l4 + TCP_FLAGS] |= FLAG_PSH;
    }
}

static void begin_flow(struct pv_joiner *j, struct pv_join_flow *f, const struct join_packet *p)
{
    *f = (struct pv_join_flow){.out = (uint16_t)j->n_outs, /* the one just added */
                               .l4 = (uint16_t)p->l4,
                               .head = (uint16_t)p->head,
                               .size = p->len - p->head,
                               .total = p->len};
    if (p->version == 4)
        f->next_id = (uint16_t)(pv_load_be16(p->packet + 4) + 1);
    if (!is_tcp(p))
        return;
    f->next_seq = pv_load_be32(p->packet + p->l4 + 4) + (uint32_t)f->size;
    if ((p->packet[p->l4 + TCP_FLAGS] & FLAG_PSH) != 0)
        f->out = 0; /* nothing may follow */
}

/* A packet that does not join its flow ends it, so that nothing later in the flow overtakes it. */
void pv_joiner_add(struct pv_joiner *j, const struct pv_ippkt *ip, uint8_t *packet)
{
    if (!j->tcp && !j->udp) {
        pv_joiner_add_plain(j, ip->whole);
        return;
    }
    bool joins = ip->proto == PV_IP_PROTO_TCP ? j->tcp : ip->proto == PV_IP_PROTO_UDP && j->udp;
    size_t header = joins ? l4_header(ip) : 0;
    if (is_of_any_flow(ip)) {
        memset(j->flows, 0, sizeof(j->flows)); /* nothing overtakes it */
        header = 0;
    }
    if (header == 0) {
        pv_joiner_add_plain(j, ip->whole);
        return;
    }
    size_t l4 = (size_t)(ip->l4.ptr - ip->whole.ptr);
    struct join_packet p = {.version = ip->version,
                            .proto = ip->proto,
                            .packet = packet,
                            .l4 = l4,
                            .head = l4 + header,
                            .len = ip->whole.len};
    struct pv_join_flow *f = find_place(j, &p);
    bool same = is_same_flow(j, f, &p), good = can_be_joined(&p);
    if (same && good && can_append(j, f, &p)) {
        append_piece(j, f, &p);
        return;
    }
    pv_joiner_add_plain(j, ip->whole);
    if (good)
        begin_flow(j, f, &p);
    else if (same)
        f->out = 0;
}

/* The length and the pseudo header's sum are known only now that no packet can follow. */
void pv_joiner_finish(struct pv_joiner *j)
{
    for (size_t i = 0; i < j->n_outs; i++) {
        struct pv_join_out *out = &j->outs[i];
        if (out->n_more == 0)
            continue;
        union {
            const uint8_t *in;
            uint8_t *out;
        } first = {.in = out->data};
        uint8_t *packet = first.out, version = packet[0] >> 4;
        size_t l4 = out->offload.csum_start, total = out->len;
        for (const struct pv_join_piece *p = out->more; p != NULL; p = p->next)
            total += p->bytes.len;
        set_ip_length(packet, version, l4, total);
        uint8_t proto = out->offload.kind == PV_OFFLOAD_UDP ? PV_IP_PROTO_UDP : PV_IP_PROTO_TCP;
        if (proto == PV_IP_PROTO_UDP)
            pv_store_be16(packet + l4 + 4, (uint16_t)(total - l4));
        /* Not inverted: the kernel, or the hardware, adds the rest. */
        pv_store_be16(packet + l4 + out->offload.csum_offset,
                      pv_ippkt_fold(pseudo_sum(version, packet, proto) + (uint32_t)(total - l4)));
    }
}
