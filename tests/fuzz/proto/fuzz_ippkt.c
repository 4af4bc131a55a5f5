/* SPDX-License-Identifier: MIT */
/*
 * fuzz_ippkt - inner packets and the ICMP errors about them: an error must itself be a packet that
 * parses, sums up, and is never answered.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/ip/ippkt.h"
#include "tests/fuzz/fuzz_util.h"

static void check_error(const struct pv_ippkt *ip, enum pv_ippkt_error error)
{
    uint8_t buf[PV_IPPKT_ERROR_MAX];
    struct pv_ippkt e;
    size_t len;

    if (pv_ippkt_error(ip, error, 1280, buf, sizeof(buf), &len) != PV_OK)
        return;
    if (pv_ippkt_parse(pv_view(buf, len), &e) != PV_OK || e.whole.len != len)
        abort();
    uint32_t sum = 0;
    if (e.version == 6)
        sum = pv_ippkt_sum(pv_view(e.src, 32), (uint32_t)e.l4.len + PV_IP_PROTO_ICMP6);
    if (pv_ippkt_sum(e.l4, sum) != 0xffff)
        abort();
    if (pv_ippkt_error(&e, error, 1280, buf, sizeof(buf), &len) != PV_ERR_REFUSED)
        abort();
    const uint8_t *dst = pv_ippkt_quoted_dst(&e);
    if (!pv_ippkt_is_error(&e) || dst == NULL ||
        memcmp(dst, ip->dst, ip->version == 4 ? 4 : 16) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pv_ippkt ip;

    if (pv_ippkt_parse(pv_view(data, len), &ip) != PV_OK)
        return 0;
    if (ip.whole.len > len || ip.l4.len > ip.whole.len)
        abort();
    (void)pv_ippkt_is_housekeeping(&ip);
    const uint8_t *dst = pv_ippkt_quoted_dst(&ip);
    if (dst != NULL &&
        (dst < ip.l4.ptr || dst + (ip.version == 4 ? 4 : 16) > ip.l4.ptr + ip.l4.len))
        abort();
    check_error(&ip, PV_IPPKT_UNREACHABLE);
    check_error(&ip, PV_IPPKT_TOO_BIG);
    return 0;
}
