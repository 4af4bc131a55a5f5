/* SPDX-License-Identifier: MIT */
/* addrfield.c - an address and a port, as bytes of an in-band message. */
#include "proto/ip/addrfield.h"

void pv_put_addrfield(struct pv_writer *w, const struct pv_addr *at)
{
    size_t len = pv_addr_ip_len(at);
    pv_put_u8(w, (uint8_t)len);
    pv_put_bytes(w, at->ip, len);
    pv_put_u16(w, at->port);
}

void pv_get_addrfield(struct pv_reader *r, struct pv_addr *ret_at)
{
    struct pv_addr at = {.family = PV_AF_NONE};
    uint8_t len = pv_get_u8(r);
    if (len != 0 && len != PV_IP4_LEN && len != PV_IP6_LEN)
        pv_reader_fail(r, PV_ERR_MALFORMED);
    else if (len != 0)
        at.family = len == PV_IP4_LEN ? PV_AF_INET : PV_AF_INET6;
    pv_get_copy(r, at.ip, pv_addr_ip_len(&at));
    at.port = pv_get_u16(r);
    *ret_at = at;
}
