/* SPDX-License-Identifier: MIT */
/* welcome.c - which packets lwIP may see. */
#include "sys/stack/stack.h"

enum {
    PROTOCOL_ICMP = 1, /* IANA's protocol numbers */
    PROTOCOL_TCP = 6,
    PROTOCOL_UDP = 17,
    V6_FRAGMENT = 44,
    PROTOCOL_ICMP6 = 58,
    V4_LEN = 20, /* RFC 791 s3.1, without options */
    V6_LEN = 40, /* RFC 8200 s3 */
    V6_FRAGMENT_LEN = 8,
    V4_PIECE = 0x3f,    /* of byte 6: more fragments follow, or this is not the first */
    ICMP6_GROUPS = 130, /* RFC 2710 s3.1: this type and those above are about the link */
};

static bool is_one_of(const struct pv_addr *a, const struct pv_addr *addrs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (pv_addr_equal_ip(&addrs[i], a))
            return true;
    return false;
}

/* The last header, or that of a fragment. Others before it nobody in a network of members needs. */
static bool is_welcome_v6(struct pv_view p, uint8_t *ret_protocol, size_t *ret_at)
{
    *ret_protocol = p.ptr[6];
    *ret_at = V6_LEN;
    if (*ret_protocol != V6_FRAGMENT)
        return true;
    if (p.len < V6_LEN + V6_FRAGMENT_LEN)
        return false;
    *ret_protocol = p.ptr[V6_LEN];
    *ret_at += V6_FRAGMENT_LEN;
    /* RFC 6980: neighbours do not speak in fragments. TCP neither, whose segments fit. */
    return *ret_protocol != PROTOCOL_ICMP6 && *ret_protocol != PROTOCOL_TCP;
}

/* lwIP would send what is for another address on, and what comes from an own one to itself, by a
 * thread that is not there. Neighbour and router discovery (RFC 4861) and groups change the
 * interface, and there is no link that could need them. */
bool pv_stack_is_welcome(struct pv_view p, const struct pv_addr *addrs, size_t n)
{
    struct pv_addr src, dst;
    uint8_t protocol;
    size_t at = V4_LEN;
    if (p.len >= V4_LEN && p.ptr[0] >> 4 == 4) {
        src = pv_addr4(p.ptr[12], p.ptr[13], p.ptr[14], p.ptr[15], 0);
        dst = pv_addr4(p.ptr[16], p.ptr[17], p.ptr[18], p.ptr[19], 0);
        protocol = p.ptr[9];
        if (protocol == PROTOCOL_TCP && ((p.ptr[6] & V4_PIECE) != 0 || p.ptr[7] != 0))
            return false;
    } else if (p.len > V6_LEN && p.ptr[0] >> 4 == 6) {
        src = pv_addr6(p.ptr + 8, 0);
        dst = pv_addr6(p.ptr + 24, 0);
        if (!is_welcome_v6(p, &protocol, &at))
            return false;
    } else {
        return false;
    }
    if (!is_one_of(&dst, addrs, n) || is_one_of(&src, addrs, n) || pv_addr_is_loopback(&src) ||
        pv_addr_is_unspecified(&src) || pv_addr_is_multicast(&src) || pv_addr_is_broadcast(&src))
        return false;
    if (protocol == PROTOCOL_ICMP6)
        return src.family == PV_AF_INET6 && p.len > at && p.ptr[at] < ICMP6_GROUPS;
    return protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP ||
           (protocol == PROTOCOL_ICMP && src.family == PV_AF_INET);
}
