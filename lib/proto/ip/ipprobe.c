/* SPDX-License-Identifier: MIT */
/* ipprobe.c - writes and recognises the packets of a probe. */
#include "proto/ip/ipprobe.h"

#include <string.h>

#include "base/bytes.h"

enum {
    IP4_LEN = 20, /* bytes, RFC 791 s3.1 */
    IP6_LEN = 40, /* bytes, RFC 8200 s3 */
    TCP_LEN = 20, /* bytes, RFC 9293 s3.1 */
    UDP_LEN = 8,  /* bytes, RFC 768 */
    TCP_SUM = 16, /* where the checksum is */
    UDP_SUM = 6,
    TCP_FLAGS = 13,
    RST = 0x04,
    SYN = 0x02,
    ACK = 0x10,
    TTL = 64,
    WINDOW = 1024, /* bytes */
};

static const char text[] = "p2pvpn firewall probe";

_Static_assert(IP6_LEN + UDP_LEN + sizeof(text) - 1 <= PV_IPPROBE_MAX, "the longest of UDP");
_Static_assert(IP6_LEN + TCP_LEN <= PV_IPPROBE_MAX, "the longest of TCP");

/* --- reading ---------------------------------------------------------------------------------- */

static bool is_refused_by_icmp(const struct pv_ippkt *ip)
{
    return (ip->proto == PV_IP_PROTO_ICMP || ip->proto == PV_IP_PROTO_ICMP6) &&
           pv_ippkt_is_error(ip);
}

enum pv_ipprobe_is pv_ipprobe_read(const struct pv_ipprobe *probe, const struct pv_ippkt *ip,
                                   uint32_t *ret_seq)
{
    const struct pv_addr dst = pv_ippkt_dst(ip);
    *ret_seq = 0;
    if (!pv_addr_equal_ip(&dst, &probe->there))
        return PV_IPPROBE_OTHER;
    if (is_refused_by_icmp(ip))
        return PV_IPPROBE_REFUSAL;
    if (ip->proto != probe->proto || ip->later_fragment || ip->l4.len < UDP_LEN ||
        pv_load_be16(ip->l4.ptr) != probe->here.port ||
        pv_load_be16(ip->l4.ptr + 2) != probe->there.port)
        return PV_IPPROBE_OTHER;
    if (probe->proto == PV_IP_PROTO_UDP)
        return PV_IPPROBE_PACKET;
    if (ip->l4.len < TCP_LEN)
        return PV_IPPROBE_OTHER;
    *ret_seq = pv_load_be32(ip->l4.ptr + 4);
    return (ip->l4.ptr[TCP_FLAGS] & RST) != 0 ? PV_IPPROBE_REFUSAL : PV_IPPROBE_PACKET;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* The part behind the IP header; its length. */
static size_t write_l4(const struct pv_ipprobe *probe, enum pv_ipprobe_kind kind, uint32_t number,
                       uint8_t *p)
{
    pv_store_be16(p, probe->there.port);
    pv_store_be16(p + 2, probe->here.port);
    if (probe->proto == PV_IP_PROTO_UDP) {
        size_t len = UDP_LEN + sizeof(text) - 1;
        pv_store_be16(p + 4, (uint16_t)len);
        memcpy(p + UDP_LEN, text, sizeof(text) - 1);
        return len;
    }
    pv_store_be32(p + (kind == PV_IPPROBE_REFUSE ? 8 : 4), number + (kind != PV_IPPROBE_BEGIN));
    p[12] = TCP_LEN / 4 << 4;
    p[TCP_FLAGS] = kind == PV_IPPROBE_BEGIN ? SYN : kind == PV_IPPROBE_END ? RST : RST | ACK;
    pv_store_be16(p + 14, kind == PV_IPPROBE_BEGIN ? WINDOW : 0);
    return TCP_LEN;
}

size_t pv_ipprobe_write(const struct pv_ipprobe *probe, enum pv_ipprobe_kind kind, uint32_t number,
                        uint8_t ret_packet[static PV_IPPROBE_MAX])
{
    const bool six = probe->here.family == PV_AF_INET6;
    const size_t ip_len = six ? IP6_LEN : IP4_LEN, addr_len = pv_addr_ip_len(&probe->here);
    uint8_t *p = ret_packet, *src = p + (six ? 8 : 12), *l4 = p + ip_len;
    memset(ret_packet, 0, PV_IPPROBE_MAX);
    const size_t len = write_l4(probe, kind, number, l4);
    memcpy(src, probe->there.ip, addr_len);
    memcpy(src + addr_len, probe->here.ip, addr_len);
    p[0] = six ? 0x60 : 0x45;
    if (six) {
        pv_store_be16(p + 4, (uint16_t)len);
        p[6] = probe->proto;
        p[7] = TTL;
    } else {
        pv_store_be16(p + 2, (uint16_t)(ip_len + len));
        pv_store_be16(p + 6, 0x4000); /* not to be cut: RFC 791 s3.1 */
        p[8] = TTL;
        p[9] = probe->proto;
        pv_store_be16(p + 10, (uint16_t)~pv_ippkt_fold(pv_ippkt_sum(pv_view(p, ip_len), 0)));
    }
    uint32_t sum = pv_ippkt_sum(pv_view(src, 2 * addr_len), (uint32_t)len + probe->proto);
    uint16_t check = (uint16_t)~pv_ippkt_fold(pv_ippkt_sum(pv_view(l4, len), sum));
    /* 0 would say that there is none, RFC 768. */
    pv_store_be16(l4 + (probe->proto == PV_IP_PROTO_UDP ? UDP_SUM : TCP_SUM),
                  check == 0 && probe->proto == PV_IP_PROTO_UDP ? 0xffff : check);
    return ip_len + len;
}
