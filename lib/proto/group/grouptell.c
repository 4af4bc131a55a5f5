/* SPDX-License-Identifier: MIT */
/* grouptell.c - builds and reads the in-band message about groups. */
#include "proto/group/grouptell.h"

#include "base/bytes.h"

/* The groups are sorted, so IPv4 groups come first. */
void pv_grouptell_build(const struct pv_grouptell *tell, uint8_t buf[static PV_GROUPTELL_BODY_MAX],
                        size_t *ret_len)
{
    struct pv_writer w = pv_writer(buf, PV_GROUPTELL_BODY_MAX);
    uint16_t n4 = 0;
    while (n4 < tell->n && tell->groups[n4].version == 4)
        n4++;
    pv_put_u8(&w, tell->flags);
    pv_put_u32(&w, tell->own.life);
    pv_put_u32(&w, tell->own.number);
    pv_put_u32(&w, tell->heard.life);
    pv_put_u32(&w, tell->heard.number);
    pv_put_u16(&w, n4);
    pv_put_u16(&w, (uint16_t)(tell->n - n4));
    for (size_t i = 0; i < tell->n; i++)
        pv_put_bytes(&w, tell->groups[i].ip, i < n4 ? 4 : 16);
    *ret_len = w.len;
}

/* Ascending order makes doubles impossible, and gives each set one form. */
static void read_group(struct pv_reader *r, uint8_t version, struct pv_grouptell *tell)
{
    uint8_t ip[16] = {0};
    pv_get_copy(r, ip, version == 4 ? 4 : 16);
    if (r->status != PV_OK)
        return;
    struct pv_group g = pv_group_of(version, ip);
    if (pv_group_kind(&g) == PV_GROUP_LOCAL || pv_group_is_everybodys(&g) ||
        (tell->n > 0 && pv_group_compare(&tell->groups[tell->n - 1], &g) >= 0)) {
        pv_reader_fail(r, PV_ERR_MALFORMED);
        return;
    }
    tell->groups[tell->n++] = g;
}

int pv_grouptell_parse(struct pv_view body, struct pv_grouptell *ret_tell)
{
    struct pv_reader r = pv_reader(body);
    *ret_tell = (struct pv_grouptell){.flags = pv_get_u8(&r)};
    ret_tell->own.life = pv_get_u32(&r);
    ret_tell->own.number = pv_get_u32(&r);
    ret_tell->heard.life = pv_get_u32(&r);
    ret_tell->heard.number = pv_get_u32(&r);
    uint16_t n4 = pv_get_u16(&r), n6 = pv_get_u16(&r);
    if (r.status == PV_OK && (uint32_t)n4 + n6 > PV_GROUPTELL_MAX)
        return PV_ERR_LIMIT;
    for (uint16_t i = 0; i < n4 && r.status == PV_OK; i++)
        read_group(&r, 4, ret_tell);
    for (uint16_t i = 0; i < n6 && r.status == PV_OK; i++)
        read_group(&r, 6, ret_tell);
    return pv_reader_end(&r);
}
