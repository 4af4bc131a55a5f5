/* SPDX-License-Identifier: MIT */
/*
 * statement_coords.c - coordinator lists and the addresses in them. Lists are part of signed
 * statements and of tokens, so they have one canonical text for each address: two spellings of one
 * address would be two addresses.
 */
#include <stdio.h>
#include <string.h>

#include "proto/roster/statement.h"

/* --- HOST:PORT ------------------------------------------------------------------------------- */

/* A lower-case DNS name (RFC 1123 s2.1): labels of 1..63 of [a-z0-9-], no hyphen at either end. The
 * last label is not all digits, so that no name looks like an address. */
static bool dns_name_is_valid(const char *host)
{
    size_t label = 0;
    bool digits = true;

    for (const char *c = host;; c++) {
        if (*c == '.' || *c == '\0') {
            if (label == 0 || label > 63 || c[-1] == '-')
                return false;
            if (*c == '\0')
                return !digits;
            label = 0;
            digits = true;
            continue;
        }
        bool digit = *c >= '0' && *c <= '9';
        if (!digit && !(*c >= 'a' && *c <= 'z') && !(*c == '-' && label > 0))
            return false;
        digits = digits && digit;
        label++;
    }
}

/* An address in its canonical text form, or a DNS name. */
static bool host_is_valid(const char *host)
{
    struct pv_addr ip;
    char text[PV_ADDR_TEXT];

    if (pv_addr_parse_ip(host, &ip) == PV_OK)
        return strcmp(pv_addr_format_ip(&ip, text), host) == 0;
    return dns_name_is_valid(host);
}

const char *pv_hostport_format(const struct pv_hostport *hp, char buf[static PV_HOSTPORT_BUF])
{
    bool v6 = strchr(hp->host, ':') != NULL;
    snprintf(buf, PV_HOSTPORT_BUF, "%s%s%s%s:%u", hp->tls ? "tls:" : "", v6 ? "[" : "", hp->host,
             v6 ? "]" : "", (unsigned)hp->port);
    return buf;
}

/* Parsed loosely, written back, and compared: that accepts only the canonical form without a second
 * grammar. */
int pv_hostport_parse(const char *text, size_t len, struct pv_hostport *ret_hp)
{
    struct pv_hostport hp = {.tls = false};
    char canonical[PV_HOSTPORT_BUF];
    char buf[PV_HOSTPORT_BUF];
    uint64_t port;

    if (len >= sizeof(buf) || memchr(text, 0, len) != NULL)
        return PV_ERR_MALFORMED;
    memcpy(buf, text, len);
    buf[len] = '\0';

    char *host = buf;
    if (strncmp(host, "tls:", 4) == 0) {
        hp.tls = true;
        host += 4;
    }
    char *colon = strrchr(host, ':');
    if (colon == NULL || pv_u64_parse(colon + 1, 1, UINT16_MAX, &port) != PV_OK)
        return PV_ERR_MALFORMED;
    *colon = '\0';
    size_t host_len = (size_t)(colon - host);
    if (host_len >= 2 && host[0] == '[' && host[host_len - 1] == ']') {
        host[host_len - 1] = '\0';
        host++;
        host_len -= 2;
    }
    if (host_len > PV_HOST_MAX || !host_is_valid(host))
        return PV_ERR_MALFORMED;
    memcpy(hp.host, host, host_len + 1);
    hp.port = (uint16_t)port;

    /* Every accepted text is written back the same: brackets where they belong, no odd zeros. */
    pv_hostport_format(&hp, canonical);
    if (strlen(canonical) != len || memcmp(canonical, text, len) != 0)
        return PV_ERR_MALFORMED;
    *ret_hp = hp;
    return PV_OK;
}

/* --- lists ----------------------------------------------------------------------------------- */

/* Duplicates are refused: they would only slow a node that tries one address after the other. */
static int check_addrs(struct pv_view addrs)
{
    struct pv_view seen[PV_COORDINATOR_ADDRS_MAX];
    struct pv_reader r = pv_reader(addrs);
    struct pv_hostport hp;
    size_t n = 0;

    while (r.status == PV_OK && r.rest.len > 0) {
        struct pv_view text = pv_get_view16(&r, PV_HOSTPORT_BUF - 1);
        if (r.status != PV_OK)
            return r.status;
        if (n == PV_COORDINATOR_ADDRS_MAX ||
            pv_hostport_parse((const char *)text.ptr, text.len, &hp) != PV_OK)
            return PV_ERR_MALFORMED;
        for (size_t i = 0; i < n; i++) {
            if (pv_view_equal(seen[i], text))
                return PV_ERR_MALFORMED;
        }
        seen[n++] = text;
    }
    return n > 0 ? PV_OK : PV_ERR_MALFORMED;
}

int pv_coordlist_check(struct pv_view list, size_t max)
{
    struct pv_view seen[PV_COORDINATORS_MAX];
    struct pv_reader r = pv_reader(list);
    size_t n = 0;

    if (list.len > max)
        return PV_ERR_MALFORMED;
    while (r.status == PV_OK && r.rest.len > 0) {
        struct pv_view pk = pv_get_bytes(&r, PV_SIGN_PK_LEN);
        struct pv_view addrs = pv_get_view16(&r, max);
        if (r.status != PV_OK)
            return r.status;
        if (n == PV_COORDINATORS_MAX)
            return PV_ERR_MALFORMED;
        for (size_t i = 0; i < n; i++) {
            if (pv_view_equal(seen[i], pk))
                return PV_ERR_MALFORMED;
        }
        seen[n++] = pk;
        int status = check_addrs(addrs);
        if (status != PV_OK)
            return status;
    }
    return n > 0 ? PV_OK : PV_ERR_MALFORMED;
}

bool pv_coordlist_next(struct pv_view *list, struct pv_coordinator *ret_coordinator)
{
    struct pv_reader r = pv_reader(*list);
    struct pv_view pk = pv_get_bytes(&r, PV_SIGN_PK_LEN);
    struct pv_view addrs = pv_get_view16(&r, PV_STATEMENT_LIST_MAX);

    if (r.status != PV_OK)
        return false;
    *ret_coordinator = (struct pv_coordinator){.pk = pk.ptr, .addrs = addrs};
    *list = r.rest;
    return true;
}

bool pv_coordlist_next_addr(struct pv_view *addrs, struct pv_hostport *ret_addr)
{
    struct pv_reader r = pv_reader(*addrs);
    struct pv_view text = pv_get_view16(&r, PV_HOSTPORT_BUF - 1);

    if (r.status != PV_OK || pv_hostport_parse((const char *)text.ptr, text.len, ret_addr) != PV_OK)
        return false;
    *addrs = r.rest;
    return true;
}

/* Too many or too long addresses make the writer fail, which the caller sees at the end. */
void pv_coordlist_put(struct pv_writer *w, const uint8_t pk[static PV_SIGN_PK_LEN],
                      const struct pv_hostport *addrs, size_t n_addrs)
{
    uint8_t list[PV_COORDINATOR_ADDRS_MAX * (PV_HOSTPORT_BUF + 1)];
    struct pv_writer inner = pv_writer(list, sizeof(list));
    char text[PV_HOSTPORT_BUF];

    for (size_t i = 0; i < n_addrs; i++) {
        pv_hostport_format(&addrs[i], text);
        pv_put_view16(&inner, pv_view(text, strlen(text)));
    }
    if (w->status == PV_OK)
        w->status = inner.status;
    pv_put_bytes(w, pk, PV_SIGN_PK_LEN);
    pv_put_view16(w, pv_written(&inner));
}

static bool is_listed(const struct pv_hostport *hps, size_t n, const struct pv_hostport *hp)
{
    for (size_t i = 0; i < n; i++) {
        if (hps[i].tls == hp->tls && hps[i].port == hp->port && strcmp(hps[i].host, hp->host) == 0)
            return true;
    }
    return false;
}

/* Each address that fits is added and the list written anew, so what is in buf is always a checked
 * list, however many addresses did not fit. */
int pv_coordlist_with(struct pv_view list, const struct pv_coordlist_more *more, uint8_t *buf,
                      size_t cap, size_t *ret_len)
{
    struct pv_hostport hps[PV_COORDINATOR_ADDRS_MAX];
    struct pv_coordinator one;
    struct pv_view rest = list;
    size_t n_hps = 0;
    if (list.len > cap)
        return PV_ERR_NO_SPACE;
    if (list.len > 0)
        memcpy(buf, list.ptr, list.len);
    *ret_len = list.len;
    if (!pv_coordlist_next(&rest, &one) || rest.len > 0)
        return PV_OK;
    while (n_hps < PV_COORDINATOR_ADDRS_MAX && pv_coordlist_next_addr(&one.addrs, &hps[n_hps]))
        n_hps++;
    for (size_t i = 0; i < more->n && n_hps < PV_COORDINATOR_ADDRS_MAX; i++) {
        struct pv_hostport hp;
        uint8_t longer[PV_STATEMENT_LIST_MAX];
        struct pv_writer w = pv_writer(longer, cap < sizeof(longer) ? cap : sizeof(longer));
        if (pv_hostport_parse(more->addrs[i], strlen(more->addrs[i]), &hp) < 0 || hp.tls)
            continue;
        hp.tls = more->tls;
        if (is_listed(hps, n_hps, &hp))
            continue;
        hps[n_hps] = hp;
        pv_coordlist_put(&w, one.pk, hps, n_hps + 1);
        if (w.status < 0)
            continue;
        n_hps++;
        memcpy(buf, longer, w.len);
        *ret_len = w.len;
    }
    return PV_OK;
}
