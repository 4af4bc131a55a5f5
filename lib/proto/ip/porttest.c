/* SPDX-License-Identifier: MIT */
/* porttest.c - a gateway's wish for a handshake to its phone port, as bytes. */
#include "proto/ip/porttest.h"

#include "base/bytes.h"

enum {
    TELLS = 0,
    ASKS = 1,
};

void pv_porttest_build(const struct pv_porttest *t, uint8_t buf[static PV_PORTTEST_MAX],
                       size_t *ret_len)
{
    struct pv_writer w = pv_writer(buf, PV_PORTTEST_MAX);
    pv_put_u8(&w, t->asks ? ASKS : TELLS);
    pv_put_bytes(&w, t->token, sizeof(t->token));
    if (t->asks)
        pv_put_addrfield(&w, &t->at);
    else
        pv_put_u8(&w, t->sends ? 1 : 0);
    *ret_len = w.len;
}

int pv_porttest_parse(struct pv_view body, struct pv_porttest *ret_t)
{
    struct pv_reader r = pv_reader(body);
    struct pv_porttest t = {.at = {.family = PV_AF_NONE}};
    uint8_t kind = pv_get_u8(&r);
    t.asks = kind == ASKS;
    if (kind > ASKS)
        pv_reader_fail(&r, PV_ERR_MALFORMED);
    pv_get_copy(&r, t.token, sizeof(t.token));
    if (t.asks)
        pv_get_addrfield(&r, &t.at);
    else
        t.sends = pv_get_u8(&r) == 1;
    if (r.status == PV_OK && t.asks && !pv_addr_is_usable_remote(&t.at))
        pv_reader_fail(&r, PV_ERR_MALFORMED);
    if (r.status == PV_OK)
        *ret_t = t;
    return r.status;
}
