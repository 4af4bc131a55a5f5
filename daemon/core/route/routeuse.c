/* SPDX-License-Identifier: MIT */
/* routeuse.c - which routes are used, by what was said of them, and its form in the store. */
#include "daemon/core/route/routeuse.h"

#include <string.h>

enum {
    FORM = 1, /* first byte of what is stored */
    FLAG_ON = 1,
    FLAG_PREFIX = 2,
    FLAG_EXIT = 1,
    FLAG_LAN = 2,
    FLAG_BLOCK = 4,
};

void pv_routeuse_set_mode(struct pv_routeuse *u, enum pv_routeuse_mode mode)
{
    u->mode = mode;
    u->n = 0;
}

/* Of one prefix, or one member, the last word counts alone. */
static bool is_about_same(const struct pv_routeuse_entry *a, const struct pv_routeuse_entry *b)
{
    if (a->is_prefix != b->is_prefix)
        return false;
    return a->is_prefix ? pv_route_compare(&a->prefix, &b->prefix) == 0
                        : memcmp(a->pk, b->pk, sizeof(a->pk)) == 0;
}

int pv_routeuse_set(struct pv_routeuse *u, const struct pv_routeuse_entry *entry)
{
    size_t i = 0;
    while (i < u->n && !is_about_same(&u->entries[i], entry))
        i++;
    if (i == PV_ROUTEUSE_MAX)
        return PV_ERR_LIMIT;
    if (i == u->n)
        u->n++;
    u->entries[i] = *entry;
    return PV_OK;
}

/* The order in which entries were made does not matter, only what they are about. */
bool pv_routeuse_wants(const struct pv_routeuse *u, const uint8_t pk[static PV_SIGN_PK_LEN],
                       const struct pv_offer *offer)
{
    bool on = u->mode == PV_ROUTEUSE_ALL ||
              (u->mode == PV_ROUTEUSE_AUTO && (offer->flags & PV_OFFER_AUTO) != 0);
    bool by_prefix = false;
    if (offer->prefix.bits == 0)
        return u->exit && memcmp(u->exit_pk, pk, sizeof(u->exit_pk)) == 0;
    for (size_t i = 0; i < u->n; i++) {
        const struct pv_routeuse_entry *e = &u->entries[i];
        if (e->is_prefix && pv_route_compare(&e->prefix, &offer->prefix) == 0) {
            on = e->on;
            by_prefix = true;
        } else if (!e->is_prefix && !by_prefix && memcmp(e->pk, pk, sizeof(e->pk)) == 0) {
            on = e->on;
        }
    }
    return on;
}

size_t pv_routeuse_encode(const struct pv_routeuse *u, uint8_t buf[static PV_ROUTEUSE_BYTES])
{
    struct pv_writer w = pv_writer(buf, PV_ROUTEUSE_BYTES);
    _Static_assert(PV_ROUTEUSE_BYTES >= 4 + PV_SIGN_PK_LEN + PV_ROUTEUSE_MAX * (PV_SIGN_PK_LEN + 1),
                   "room for all entries");
    pv_put_u8(&w, FORM);
    pv_put_u8(&w, (uint8_t)u->mode);
    pv_put_u8(&w, (uint8_t)((u->exit ? FLAG_EXIT : 0) | (u->exit_lan ? FLAG_LAN : 0) |
                            (u->exit_block ? FLAG_BLOCK : 0)));
    pv_put_bytes(&w, u->exit_pk, sizeof(u->exit_pk));
    pv_put_u8(&w, (uint8_t)u->n);
    for (size_t i = 0; i < u->n; i++) {
        const struct pv_routeuse_entry *e = &u->entries[i];
        pv_put_u8(&w, (uint8_t)((e->on ? FLAG_ON : 0) | (e->is_prefix ? FLAG_PREFIX : 0)));
        if (e->is_prefix)
            pv_route_put(&w, &e->prefix);
        else
            pv_put_bytes(&w, e->pk, sizeof(e->pk));
    }
    return w.len;
}

/* Checked as if it came from elsewhere: a disk may lie. */
int pv_routeuse_decode(struct pv_view bytes, struct pv_routeuse *ret_use)
{
    struct pv_reader r = pv_reader(bytes);
    struct pv_routeuse u;
    memset(&u, 0, sizeof(u));
    uint8_t form = pv_get_u8(&r), mode = pv_get_u8(&r), flags = pv_get_u8(&r);
    pv_get_copy(&r, u.exit_pk, sizeof(u.exit_pk));
    u.n = pv_get_u8(&r);
    if (r.status == PV_OK && form != FORM)
        return PV_ERR_UNSUPPORTED;
    if (r.status == PV_OK && (mode > PV_ROUTEUSE_OFF || u.n > PV_ROUTEUSE_MAX))
        return PV_ERR_MALFORMED;
    u.mode = (enum pv_routeuse_mode)mode;
    u.exit = (flags & FLAG_EXIT) != 0;
    u.exit_lan = (flags & FLAG_LAN) != 0;
    u.exit_block = (flags & FLAG_BLOCK) != 0;
    for (size_t i = 0; i < u.n && r.status == PV_OK; i++) {
        struct pv_routeuse_entry *e = &u.entries[i];
        uint8_t kind = pv_get_u8(&r);
        e->on = (kind & FLAG_ON) != 0;
        e->is_prefix = (kind & FLAG_PREFIX) != 0;
        if (e->is_prefix)
            pv_route_get(&r, &e->prefix);
        else
            pv_get_copy(&r, e->pk, sizeof(e->pk));
    }
    if (r.status == PV_OK && r.rest.len > 0)
        return PV_ERR_MALFORMED;
    if (r.status == PV_OK)
        *ret_use = u;
    return r.status;
}
