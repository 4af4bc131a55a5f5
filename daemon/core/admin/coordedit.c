/* SPDX-License-Identifier: MIT */
/* Writes a new list of coordinators from an old one. */
#include "daemon/core/admin/coordedit.h"

#include <string.h>

/* The addresses of one coordinator, as they stand in a list. */
static size_t addrs_of(const struct pv_coordinator *c,
                       struct pv_hostport hosts[static PV_COORDINATOR_ADDRS_MAX])
{
    struct pv_view addrs = c->addrs;
    size_t n = 0;
    while (n < PV_COORDINATOR_ADDRS_MAX && pv_coordlist_next_addr(&addrs, &hosts[n]))
        n++;
    return n;
}

static void put(struct pv_writer *w, const struct pv_coordinator *c)
{
    struct pv_hostport hosts[PV_COORDINATOR_ADDRS_MAX];
    size_t n = addrs_of(c, hosts);
    pv_coordlist_put(w, c->pk, hosts, n);
}

/* The written text is a list only if the rules for lists say so. */
static int finish(const struct pv_writer *w, struct pv_coordedit *ret)
{
    ret->len = w->len;
    if (w->status != PV_OK)
        return w->status;
    return pv_coordlist_check(pv_view(ret->bytes, ret->len), sizeof(ret->bytes));
}

static bool is(const struct pv_coordinator *c, const uint8_t *pk)
{
    return memcmp(c->pk, pk, PV_SIGN_PK_LEN) == 0;
}

/* A coordinator that is in the list already moves to the front, and does not count twice. */
int pv_coordedit_put_first(struct pv_view list, struct pv_view one, struct pv_coordedit *ret)
{
    struct pv_writer w = pv_writer(ret->bytes, sizeof(ret->bytes));
    struct pv_coordinator first, c;
    size_t n = 1;
    if (!pv_coordlist_next(&one, &first))
        return PV_ERR_MALFORMED;
    put(&w, &first);
    while (pv_coordlist_next(&list, &c)) {
        if (is(&c, first.pk))
            continue;
        if (++n > PV_COORDINATORS_MAX)
            return PV_ERR_LIMIT;
        put(&w, &c);
    }
    return finish(&w, ret);
}

/* The last one stays: a list names at least one coordinator. */
int pv_coordedit_remove(struct pv_view list, const uint8_t pk[static PV_SIGN_PK_LEN],
                        struct pv_coordedit *ret)
{
    struct pv_writer w = pv_writer(ret->bytes, sizeof(ret->bytes));
    struct pv_coordinator c;
    bool found = false;
    size_t n = 0;
    while (pv_coordlist_next(&list, &c)) {
        bool this_one = is(&c, pk);
        found = found || this_one;
        n += this_one ? 0 : 1;
        if (!this_one)
            put(&w, &c);
    }
    if (!found)
        return PV_ERR_NOT_FOUND;
    return n == 0 ? PV_ERR_STATE : finish(&w, ret);
}

/* "HOST:PORT,tls:HOST:PORT" in parts. */
static int parse_addresses(const char *text,
                           struct pv_hostport hosts[static PV_COORDINATOR_ADDRS_MAX], size_t *ret_n)
{
    size_t n = 0;
    for (;;) {
        size_t len = strcspn(text, ",");
        if (n == PV_COORDINATOR_ADDRS_MAX || pv_hostport_parse(text, len, &hosts[n]) != PV_OK)
            return PV_ERR_MALFORMED;
        n++;
        if (text[len] == '\0')
            break;
        text += len + 1;
    }
    *ret_n = n;
    return PV_OK;
}

/* The others keep their places, since the order is that of preference. */
int pv_coordedit_move(struct pv_view list, const uint8_t pk[static PV_SIGN_PK_LEN],
                      const char *addresses, struct pv_coordedit *ret)
{
    struct pv_writer w = pv_writer(ret->bytes, sizeof(ret->bytes));
    struct pv_hostport hosts[PV_COORDINATOR_ADDRS_MAX];
    struct pv_coordinator c;
    bool found = false;
    size_t n;
    int r = parse_addresses(addresses, hosts, &n);
    if (r != PV_OK)
        return r;
    while (pv_coordlist_next(&list, &c)) {
        if (is(&c, pk))
            pv_coordlist_put(&w, c.pk, hosts, n);
        else
            put(&w, &c);
        found = found || is(&c, pk);
    }
    return found ? finish(&w, ret) : PV_ERR_NOT_FOUND;
}

/* By its key, by an address as the list writes it, or by the host alone. */
static bool is_meant(const struct pv_coordinator *c, const char *which)
{
    struct pv_hostport hosts[PV_COORDINATOR_ADDRS_MAX];
    char text[PV_HOSTPORT_BUF];
    uint8_t pk[PV_SIGN_PK_LEN];
    if (which[0] == '\0' || (pv_key_parse(which, pk) == PV_OK && is(c, pk)))
        return true;
    size_t n = addrs_of(c, hosts);
    for (size_t i = 0; i < n; i++)
        if (strcmp(which, hosts[i].host) == 0 ||
            strcmp(which, pv_hostport_format(&hosts[i], text)) == 0)
            return true;
    return false;
}

/* When several are meant the user has to say it more exactly, so that is as good as none. */
int pv_coordedit_find(struct pv_view list, const char *which, uint8_t ret_pk[static PV_SIGN_PK_LEN])
{
    struct pv_coordinator c;
    size_t n = 0;
    while (pv_coordlist_next(&list, &c)) {
        if (!is_meant(&c, which))
            continue;
        n++;
        memcpy(ret_pk, c.pk, PV_SIGN_PK_LEN);
    }
    return n == 1 ? PV_OK : PV_ERR_NOT_FOUND;
}
