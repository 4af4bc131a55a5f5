/* SPDX-License-Identifier: MIT */
/* phoneseen.c - when a phone agreed keys last, as bytes. */
#include "proto/ip/phoneseen.h"

#include "base/bytes.h"

enum {
    TELLS = 0,
    ASKS = 1,
};

void pv_phoneseen_build(const struct pv_phoneseen *s, uint8_t buf[static PV_PHONESEEN_MAX],
                        size_t *ret_len)
{
    struct pv_writer w = pv_writer(buf, PV_PHONESEEN_MAX);
    pv_put_u8(&w, s->asks ? ASKS : TELLS);
    pv_put_bytes(&w, s->phone, sizeof(s->phone));
    if (!s->asks)
        pv_put_u32(&w, s->ago);
    *ret_len = w.len;
}

int pv_phoneseen_parse(struct pv_view body, struct pv_phoneseen *ret_s)
{
    struct pv_reader r = pv_reader(body);
    struct pv_phoneseen s = {.ago = PV_PHONESEEN_NEVER};
    uint8_t kind = pv_get_u8(&r);
    s.asks = kind == ASKS;
    if (kind > ASKS)
        pv_reader_fail(&r, PV_ERR_MALFORMED);
    pv_get_copy(&r, s.phone, sizeof(s.phone));
    if (!s.asks)
        s.ago = pv_get_u32(&r);
    if (r.status == PV_OK)
        *ret_s = s;
    return r.status;
}
