/* SPDX-License-Identifier: MIT */
/* phoneends.c - the endpoints in the files of phones, and which of them are no longer right. */
#include "daemon/core/route/phoneends.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/path/openport.h"
#include "daemon/core/peer/peers.h"

enum {
    NAMES = 200, /* bytes of a list of members */
};

static struct pv_phoneend *find(struct pv_phoneends *e, const uint8_t *pk)
{
    for (size_t i = 0; i < e->n; i++) {
        if (memcmp(e->list[i].pk, pk, PV_SIGN_PK_LEN) == 0)
            return &e->list[i];
    }
    return NULL;
}

/* Another that comes: the one that is late, or else has waited longest. */
static struct pv_phoneend *first_coming(struct pv_phoneends *e, size_t *ret_n)
{
    struct pv_phoneend *first = NULL;
    *ret_n = 0;
    for (size_t i = 0; i < e->n; i++) {
        struct pv_phoneend *x = &e->list[i];
        *ret_n += x->here ? 0 : 1;
        if (!x->here && (first == NULL || x->come_by == PV_NEVER ||
                         (first->come_by != PV_NEVER && x->come_by < first->come_by)))
            first = x;
    }
    return first;
}

static struct pv_phoneend *place_for(struct pv_phoneends *e, bool own)
{
    size_t n;
    struct pv_phoneend *first = first_coming(e, &n);
    if (n < PV_PHONEENDS_COME && e->n < PV_PHONEENDS_MAX)
        return &e->list[e->n++];
    return first != NULL && (own || first->come_by == PV_NEVER) ? first : NULL;
}

static void write_down(struct pv_phoneend *x, const uint8_t *pk, const struct pv_addr *at,
                       bool by_phone_port, pv_ns now)
{
    *x = (struct pv_phoneend){.at = *at,
                              .by_phone_port = by_phone_port,
                              .come_by = now + PV_PHONEENDS_COMING,
                              .lost_at = PV_NEVER};
    memcpy(x->pk, pk, sizeof(x->pk));
}

int pv_phoneends_note(struct pv_phoneends *e, const uint8_t pk[static PV_SIGN_PK_LEN],
                      const struct pv_addr *at, bool by_phone_port, bool own, pv_ns now)
{
    struct pv_phoneend *x = find(e, pk);
    if (x != NULL && (x->here || pv_addr_equal(&x->at, at)))
        return PV_ERR_EXISTS;
    x = x == NULL ? place_for(e, own) : x;
    if (x == NULL)
        return PV_ERR_LIMIT;
    write_down(x, pk, at, by_phone_port, now);
    return PV_OK;
}

bool pv_phoneends_settle(struct pv_phoneends *e, bool (*is_here)(void *arg, const uint8_t *pk),
                         void *arg, pv_ns now)
{
    size_t n = 0;
    for (size_t i = 0; i < e->n; i++) {
        struct pv_phoneend x = e->list[i];
        bool here = is_here(arg, x.pk);
        if (!here && x.here)
            continue;
        x.here = here;
        x.come_by = now >= x.come_by ? PV_NEVER : x.come_by;
        e->list[n++] = x;
    }
    bool forgot = n != e->n;
    e->n = n;
    return forgot;
}

pv_ns pv_phoneends_next(const struct pv_phoneends *e)
{
    pv_ns next = PV_NEVER;
    for (size_t i = 0; i < e->n; i++) {
        if (!e->list[i].here)
            next = pv_min_ns(next, e->list[i].come_by);
    }
    return next;
}

bool pv_phoneends_want_phone_port(const struct pv_phoneends *e, const struct pv_node *n)
{
    for (size_t i = 0; i < e->n; i++) {
        const struct pv_phoneend *x = &e->list[i];
        const bool awaited = x->here || x->come_by != PV_NEVER;
        if ((x->by_phone_port && awaited) || (x->lost_at != PV_NEVER && pv_openport_lacks(n)))
            return true;
    }
    return false;
}

/* --- in the store ---------------------------------------------------------------------------- */

struct pv_view pv_phoneends_pack(const struct pv_phoneends *e,
                                 uint8_t buf[static PV_PHONEENDS_BYTES])
{
    struct pv_writer w = pv_writer(buf, PV_PHONEENDS_BYTES);
    for (size_t i = 0; i < e->n; i++) {
        pv_put_bytes(&w, e->list[i].pk, PV_SIGN_PK_LEN);
        pv_put_u8(&w, e->list[i].by_phone_port ? 1 : 0);
        const char *text = PV_ADDR_STR(&e->list[i].at);
        pv_put_u8(&w, (uint8_t)strlen(text));
        pv_put_bytes(&w, text, strlen(text));
    }
    return pv_view(buf, w.len);
}

void pv_phoneends_restore(struct pv_phoneends *e, struct pv_view kept, pv_ns now)
{
    struct pv_reader r = pv_reader(kept);
    e->n = 0;
    while (r.status == PV_OK && r.rest.len > 0) {
        uint8_t pk[PV_SIGN_PK_LEN];
        char text[PV_ADDR_TEXT] = "";
        struct pv_addr at;
        pv_get_copy(&r, pk, sizeof(pk));
        bool by_phone_port = pv_get_u8(&r) != 0;
        uint8_t len = pv_get_u8(&r);
        if (len >= sizeof(text))
            pv_reader_fail(&r, PV_ERR_MALFORMED);
        else
            pv_get_copy(&r, text, len);
        if (r.status != PV_OK || pv_addr_parse(text, &at) != PV_OK || e->n == PV_PHONEENDS_MAX)
            break;
        write_down(&e->list[e->n++], pk, &at, by_phone_port, now);
    }
}

/* --- whether it leads here ------------------------------------------------------------------- */

/* Nobody knows of a phone port before the coordinator has answered, nor of an address before
 * servers have. */
static bool is_lost(const struct pv_phoneend *x, const struct pv_node *n)
{
    struct pv_addr other;
    struct pv_reason why;
    if (!x->here || pv_openport_leads(n, &x->at))
        return false;
    if (x->by_phone_port)
        return n->ways.phone_port.state != PV_TURNC_PHONE_PORT_UNKNOWN;
    return pv_openport(n, &other, &why) != PV_ERR_AGAIN;
}

/* When the app begins a handshake after the address in its file was lost, somebody has put another
 * address there. If the handshake came by an address that this node knows, that is the one in the
 * file now; if not (a port that was forwarded by hand), this node knows only that it is found. */
static bool is_corrected(struct pv_phoneend *x, const struct pv_node *n)
{
    const struct pv_peer *p = pv_peers_by_pk(n->peers, x->pk);
    const struct pv_peer_sought *s = p == NULL ? NULL : pv_peer_sought(p);
    if (s == NULL || x->lost_at == PV_NEVER || s->at <= x->lost_at)
        return false;
    x->found = true;
    x->lost_at = PV_NEVER;
    if (!pv_openport_taken(n, s->by_phone_port, s->family, &x->at))
        return false;
    x->by_phone_port = s->by_phone_port;
    return true;
}

bool pv_phoneends_look(struct pv_phoneends *e, const struct pv_node *n, pv_ns now)
{
    bool corrected = false;
    for (size_t i = 0; i < e->n; i++) {
        struct pv_phoneend *x = &e->list[i];
        corrected = is_corrected(x, n) || corrected;
        if (!is_lost(x, n)) {
            x->lost_at = PV_NEVER;
            x->found = false;
        } else if (x->lost_at == PV_NEVER && !x->found) {
            x->lost_at = now;
        }
    }
    return corrected;
}

/* The members whose apps look elsewhere, as far as they fit a line. True: there are more. */
static bool list_lost(const struct pv_phoneends *e, const struct pv_node *n, pv_ns now,
                      char names[static NAMES])
{
    bool more = false;
    names[0] = '\0';
    for (size_t i = 0; i < e->n; i++) {
        const struct pv_phoneend *x = &e->list[i];
        const struct pv_member *m = pv_roster_by_node(n->roster, x->pk);
        size_t len = strlen(names);
        if (x->lost_at == PV_NEVER || now < x->lost_at + PV_PHONEENDS_LOST || m == NULL)
            continue;
        if (len + strlen(m->name) + sizeof(", ") <= NAMES)
            snprintf(names + len, NAMES - len, "%s%s", len > 0 ? ", " : "", m->name);
        else
            more = true;
    }
    return more;
}

void pv_phoneends_show(const struct pv_phoneends *e, const struct pv_node *n,
                       struct pv_statuspage *st, pv_ns now)
{
    char names[NAMES];
    struct pv_addr open;
    struct pv_reason why;
    if (n->roster == NULL)
        return;
    const bool more = list_lost(e, n, now, names);
    if (names[0] == '\0')
        return;
    const char *what = PV_STR("apps look for this node where it no longer is (%s%s): ", names,
                              more ? ", and others" : "");
    if (pv_openport(n, &open, &why) == PV_OK)
        pv_statuspage_todo(st, what, PV_DO(change_endpoint, PV_ADDR_STR(&open)));
    else
        pv_statuspage_problem(st, what, PV_REASON_STR(why));
}
