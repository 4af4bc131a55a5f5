/* SPDX-License-Identifier: MIT */
/* coordaddrs.c - names to addresses, and the places where the coordinator speaks TLS. */
#include "daemon/core/coord/coordaddrs.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "proto/stun/nat64.h"

void pv_coordaddrs_set_hosts(struct pv_coordaddrs *a, struct pv_view list)
{
    a->n_hosts = 0;
    a->n_addrs = 0;
    a->generation++;
    a->n_asking = 0;
    pv_coordaddrs_add_hosts(a, list);
}

static bool has_host(const struct pv_coordaddrs *a, const struct pv_hostport *host)
{
    for (size_t i = 0; i < a->n_hosts; i++) {
        const struct pv_hostport *x = &a->hosts[i];
        if (x->port == host->port && x->tls == host->tls && strcmp(x->host, host->host) == 0)
            return true;
    }
    return false;
}

void pv_coordaddrs_add_hosts(struct pv_coordaddrs *a, struct pv_view list)
{
    struct pv_hostport host;
    while (a->n_hosts < PV_COORDADDRS_MAX_HOSTS && pv_coordlist_next_addr(&list, &host)) {
        if (!has_host(a, &host))
            a->hosts[a->n_hosts++] = host;
    }
}

enum {
    HTTPS = 443, /* what the narrowest networks let out */
    SAID_BITS = 2,
};

/* Plain TCP is tried first, as it costs least; TLS is for networks that let nothing else out, and a
 * guessed port comes last because nobody said that something listens there. */
static unsigned rank(const struct pv_coordclient_addr *addr)
{
    return addr->guess ? 2 : addr->tls ? 1 : 0;
}

/* Inserts the address before addresses that are tried later. An address that is known already is no
 * longer a guess. */
static void insert(struct pv_coordaddrs *a, const struct pv_coordclient_addr *addr)
{
    size_t at = 0;
    for (size_t i = 0; i < a->n_addrs; i++) {
        struct pv_coordclient_addr *x = &a->addrs[i];
        if (pv_coordclient_addr_is(x, addr)) {
            x->guess = x->guess && addr->guess;
            return;
        }
        if (rank(x) <= rank(addr))
            at = i + 1;
    }
    /* A guess must not keep out what somebody wrote down. */
    if (a->n_addrs == PV_COORDCLIENT_MAX_ADDRS && !addr->guess && a->addrs[a->n_addrs - 1].guess)
        a->n_addrs--;
    if (a->n_addrs == PV_COORDCLIENT_MAX_ADDRS)
        return;
    memmove(&a->addrs[at + 1], &a->addrs[at], (a->n_addrs - at) * sizeof(a->addrs[0]));
    a->addrs[at] = *addr;
    a->n_addrs++;
}

/* Plain ones stand before those with TLS: they are quicker where both get through. */
static void add_addr(struct pv_coordaddrs *a, const struct pv_addr *addr, bool tls)
{
    struct pv_coordclient_addr x = {.addr = *addr, .tls = tls};
    insert(a, &x);
    if (tls || !a->guessing)
        return;
    x.addr.port = HTTPS;
    x.tls = x.guess = true;
    insert(a, &x);
}

/* The source of an address; in the tag of a lookup. */
enum said {
    SAID_PLAIN,
    SAID_TLS,
    SAID_BY_ITSELF, /* where it speaks TLS; no record and no token says so */
    SAID_PROXY,     /* no place of it: the proxy that leads to those */
};

/* Only what stands in the record or a token may lead near this node; what a coordinator says of
 * itself only where that has. */
static bool may_be_there(const struct pv_coordaddrs *a, const struct pv_addr *addr)
{
    const struct pv_addr nowhere = {.family = PV_AF_NONE};
    bool believed = pv_coordaddrs_is_believed(&nowhere, addr);
    for (size_t i = 0; i < a->n_addrs && !believed; i++)
        believed = pv_coordaddrs_is_believed(&a->addrs[i].addr, addr);
    return believed;
}

static void add(struct pv_coordaddrs *a, const struct pv_addr *addr, enum said said)
{
    if (said != SAID_BY_ITSELF || may_be_there(a, addr))
        add_addr(a, addr, said != SAID_PLAIN);
}

/* --- through a proxy -------------------------------------------------------------------------- */

static bool is_proxied(const struct pv_node *n, const struct pv_hostport *host)
{
    const struct pv_proxyset *proxy = &n->given.proxy;
    return proxy->host[0] != '\0' && !pv_proxyset_is_except(proxy->except, host->host);
}

/* Always inside TLS: every coordinator speaks it on all its ports, and proxies let little else
 * through. Many connect to port 443 alone, so that is tried as well. */
static void add_proxied(struct pv_coordaddrs *a, const struct pv_hostport *host, enum said said,
                        const struct pv_addr *via)
{
    struct pv_coordclient_addr x = {.via = *via, .tls = true};
    bool is_ip = pv_addr_parse_ip(host->host, &x.addr) == PV_OK;
    x.addr.port = host->port;
    if (is_ip && said == SAID_BY_ITSELF && !may_be_there(a, &x.addr))
        return;
    if (!is_ip)
        snprintf(x.name, sizeof(x.name), "%s", host->host);
    insert(a, &x);
    x.addr.port = HTTPS;
    x.guess = true;
    insert(a, &x);
}

static void take_proxy(struct pv_coordaddrs *a, const struct pv_node *n, const struct pv_addr *via)
{
    for (size_t i = 0; i < a->n_hosts; i++)
        if (is_proxied(n, &a->hosts[i]))
            add_proxied(a, &a->hosts[i], SAID_TLS, via);
    for (size_t i = 0; a->with_learnt && i < a->n_tls_hosts; i++)
        if (is_proxied(n, &a->tls_hosts[i]))
            add_proxied(a, &a->tls_hosts[i], SAID_BY_ITSELF, via);
}

/* One address of each family: more would crowd out places of the coordinator. */
static void take_proxies(struct pv_coordaddrs *a, const struct pv_node *n,
                         const struct pv_job_result *result)
{
    uint16_t family = PV_AF_NONE;
    a->proxy_unfound = result->status != PV_OK || result->n_addrs == 0;
    for (size_t i = 0; result->status == PV_OK && i < result->n_addrs; i++) {
        if (result->addrs[i].family == family)
            continue;
        take_proxy(a, n, &result->addrs[i]);
        if (family != PV_AF_NONE)
            return;
        family = result->addrs[i].family;
    }
}

/* --- where they are --------------------------------------------------------------------------- */

/* A numeric address as it is, or as a NAT64 leads there, which a DNS64 would say of a name. */
static bool is_numeric(const struct pv_node *n, const char *host, uint16_t port,
                       struct pv_addr *ret_addr)
{
    if (pv_addr_parse_ip(host, ret_addr) != PV_OK)
        return false;
    ret_addr->port = port;
    if (!pv_addr_is_private(ret_addr) && pv_addr_is_usable_remote(ret_addr))
        *ret_addr = pv_nat64_make(&n->ways.nat64, ret_addr);
    return true;
}

static uint64_t tag_of(const struct pv_coordaddrs *a, enum said said)
{
    return (uint64_t)a->generation << SAID_BITS | said;
}

/* Names are asked for and come later. */
static void find_host(struct pv_coordaddrs *a, struct pv_node *n, const struct pv_hostport *host,
                      enum said said, pv_job_done *done, void *self)
{
    struct pv_addr addr;
    if (is_proxied(n, host))
        return;
    if (is_numeric(n, host->host, host->port, &addr))
        add(a, &addr, said);
    else
        a->n_asking +=
            pv_jobqueue_resolve(&n->jobs, host->host, host->port, done, self, tag_of(a, said));
}

static void find_proxy(struct pv_coordaddrs *a, struct pv_node *n, pv_job_done *done, void *self)
{
    const struct pv_proxyset *proxy = &n->given.proxy;
    struct pv_addr addr;
    bool wanted = false;
    for (size_t i = 0; i < a->n_hosts; i++)
        wanted = wanted || is_proxied(n, &a->hosts[i]);
    if (!wanted)
        return;
    if (is_numeric(n, proxy->host, proxy->port, &addr))
        take_proxy(a, n, &addr);
    else
        a->n_asking += pv_jobqueue_resolve(&n->jobs, proxy->host, proxy->port, done, self,
                                           tag_of(a, SAID_PROXY));
}

static void find_learnt(struct pv_coordaddrs *a, struct pv_node *n, pv_job_done *done, void *self)
{
    if (!a->owes_learnt)
        return;
    a->owes_learnt = false;
    for (size_t i = 0; i < a->n_tls_hosts; i++)
        find_host(a, n, &a->tls_hosts[i], SAID_BY_ITSELF, done, self);
}

void pv_coordaddrs_find(struct pv_coordaddrs *a, struct pv_node *n, bool with_learnt,
                        pv_job_done *done, void *self)
{
    if (a->n_asking > 0)
        return;
    a->n_addrs = 0;
    a->guessing = !with_learnt;
    a->owes_learnt = a->with_learnt = with_learnt;
    for (size_t i = 0; i < a->n_hosts; i++)
        a->guessing = a->guessing && !a->hosts[i].tls;
    for (size_t i = 0; i < a->n_hosts; i++)
        find_host(a, n, &a->hosts[i], a->hosts[i].tls ? SAID_TLS : SAID_PLAIN, done, self);
    find_proxy(a, n, done, self);
    if (a->n_addrs > 0 || a->n_asking == 0)
        find_learnt(a, n, done, self);
}

/* Where names cannot be looked up, what it said of itself is all there is. */
bool pv_coordaddrs_take(struct pv_coordaddrs *a, struct pv_node *n, const struct pv_jobwait *wait,
                        const struct pv_job_result *result)
{
    if ((uint32_t)(wait->tag >> SAID_BITS) != a->generation || a->n_asking == 0)
        return false;
    const enum said said = (enum said)(wait->tag & ((1 << SAID_BITS) - 1));
    a->n_asking--;
    if (said == SAID_PROXY)
        take_proxies(a, n, result);
    for (size_t i = 0; said != SAID_PROXY && result->status == PV_OK && i < result->n_addrs; i++)
        add(a, &result->addrs[i], said);
    find_learnt(a, n, wait->done, wait->self);
    return true;
}

bool pv_coordaddrs_are_unknown(const struct pv_coordaddrs *a)
{
    return a->n_addrs == 0 && a->n_asking == 0;
}

void pv_coordaddrs_load_learnt(struct pv_coordaddrs *a, struct pv_view text)
{
    a->n_tls_hosts = 0;
    while (text.len > 0 && a->n_tls_hosts < PV_CTL_ADDRS_MAX) {
        const uint8_t *end = memchr(text.ptr, '\n', text.len);
        size_t len = end == NULL ? text.len : (size_t)(end - text.ptr);
        struct pv_hostport *hp = &a->tls_hosts[a->n_tls_hosts];
        /* A damaged line costs one address and not the others. */
        if (pv_hostport_parse((const char *)text.ptr, len, hp) == PV_OK && hp->tls)
            a->n_tls_hosts++;
        len += end == NULL ? 0 : 1;
        text = pv_view(text.ptr + len, text.len - len);
    }
}

size_t pv_coordaddrs_write_learnt(const struct pv_coordaddrs *a,
                                  char text[static PV_COORDADDRS_TEXT])
{
    struct pv_text lines = pv_text_in(text, PV_COORDADDRS_TEXT);
    for (size_t i = 0; i < a->n_tls_hosts; i++)
        pv_text_add(&lines, "%s\n", PV_HOSTPORT_STR(&a->tls_hosts[i]));
    return lines.len;
}

/* A coordinator that once spoke TLS somewhere is looked for there, also after a restart in a
 * network that lets nothing else out. */
bool pv_coordaddrs_learn(struct pv_coordaddrs *a, const struct pv_ctl_welcome *w)
{
    struct pv_hostport fresh[PV_CTL_ADDRS_MAX];
    size_t n = 0;
    memset(fresh, 0, sizeof(fresh)); /* compared as bytes */
    for (size_t i = 0; w->has_tls && i < w->tls.n; i++) {
        struct pv_hostport hp = {.port = 0};
        if (pv_hostport_parse(w->tls.addrs[i], strlen(w->tls.addrs[i]), &hp) != PV_OK || hp.tls)
            continue;
        snprintf(fresh[n].host, sizeof(fresh[n].host), "%s", hp.host);
        fresh[n].port = hp.port;
        fresh[n++].tls = true;
    }
    if (n == a->n_tls_hosts && memcmp(fresh, a->tls_hosts, n * sizeof(fresh[0])) == 0)
        return false;
    memcpy(a->tls_hosts, fresh, sizeof(fresh));
    a->n_tls_hosts = n;
    return true;
}

bool pv_coordaddrs_is_believed(const struct pv_addr *coordinator, const struct pv_addr *addr)
{
    struct pv_addr a = pv_addr_unmap(*addr), c = pv_addr_unmap(*coordinator);
    bool from_here = pv_addr_is_loopback(&c);
    bool from_link = from_here || pv_addr_is_link_local(&c);
    if (a.port == 0)
        return false;
    if (pv_addr_is_loopback(&a))
        return from_here;
    if (pv_addr_is_link_local(&a) || pv_addr_is_private(&a))
        return from_link || pv_addr_is_private(&c);
    return pv_addr_is_usable_remote(&a);
}

struct pv_coordlist_more pv_coordaddrs_sift(const struct pv_addr *coordinator,
                                            const char *const *texts, size_t n, bool tls,
                                            const char *ret_kept[static PV_CTL_ADDRS_MAX])
{
    struct pv_coordlist_more more = {.addrs = ret_kept, .tls = tls};
    for (size_t i = 0; i < n && more.n < PV_CTL_ADDRS_MAX; i++) {
        struct pv_addr addr;
        if (pv_addr_parse(texts[i], &addr) != PV_OK ||
            pv_coordaddrs_is_believed(coordinator, &addr))
            ret_kept[more.n++] = texts[i];
    }
    return more;
}
