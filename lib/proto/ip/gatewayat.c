/* SPDX-License-Identifier: MIT */
/* gatewayat.c - where strangers reach a phone's gateway, as bytes. */
#include "proto/ip/gatewayat.h"

#include <string.h>

#include "base/bytes.h"

enum {
    TELLS = 0,
    ASKS = 1,
    NAMES = 1 << 0, /* flag */
};

void pv_gatewayat_build(const struct pv_gatewayat *c, uint8_t buf[static PV_GATEWAYAT_MAX],
                        size_t *ret_len)
{
    static const struct pv_addr none = {.family = PV_AF_NONE};
    struct pv_writer w = pv_writer(buf, PV_GATEWAYAT_MAX);
    pv_put_u8(&w, c->asks ? ASKS : TELLS);
    pv_put_bytes(&w, c->phone, sizeof(c->phone));
    if (!c->asks) {
        pv_put_u8(&w, (uint8_t)c->why);
        pv_put_u8(&w, c->names ? NAMES : 0);
        pv_put_addrfield(&w, c->why == PV_GATEWAYAT_HERE ? &c->at : &none);
        pv_put_u8(&w, (uint8_t)c->verdict);
        pv_put_u16(&w, c->port_lo);
        pv_put_u16(&w, c->port_hi);
    }
    *ret_len = w.len;
}

static void get_answer(struct pv_reader *r, struct pv_gatewayat *c)
{
    uint8_t why = pv_get_u8(r);
    c->why = why < PV_GATEWAYAT_LATER ? (enum pv_gatewayat_why)why : PV_GATEWAYAT_LATER;
    c->names = (pv_get_u8(r) & NAMES) != 0;
    pv_get_addrfield(r, &c->at);
    uint8_t verdict = pv_get_u8(r);
    c->verdict = verdict <= PV_PORT_UNTESTED ? (enum pv_port_verdict)verdict : PV_PORT_UNTESTED;
    c->port_lo = pv_get_u16(r);
    c->port_hi = pv_get_u16(r);
    if (r->status == PV_OK && c->why == PV_GATEWAYAT_HERE && !pv_addr_is_usable_remote(&c->at))
        pv_reader_fail(r, PV_ERR_MALFORMED);
    if (c->why != PV_GATEWAYAT_HERE)
        c->at = (struct pv_addr){.family = PV_AF_NONE};
}

int pv_gatewayat_parse(struct pv_view body, struct pv_gatewayat *ret_c)
{
    struct pv_reader r = pv_reader(body);
    struct pv_gatewayat c = {.at = {.family = PV_AF_NONE}};
    uint8_t kind = pv_get_u8(&r);
    c.asks = kind == ASKS;
    if (kind > ASKS)
        pv_reader_fail(&r, PV_ERR_MALFORMED);
    pv_get_copy(&r, c.phone, sizeof(c.phone));
    if (!c.asks)
        get_answer(&r, &c);
    if (r.status == PV_OK)
        *ret_c = c;
    return r.status;
}
