/* SPDX-License-Identifier: MIT */
/* Where the coordinator is: names to addresses, the places where it speaks TLS, its STUN servers.
 */
#include <stdio.h>
#include <string.h>

#include "daemon/core/engine_int.h"

static void resolve(struct pv_engine *e, const char *host, uint16_t port,
                    enum pv_job_purpose purpose, uint64_t arg)
{
    struct pv_job *job = pv_job_new(PV_JOB_RESOLVE);
    if (job == NULL)
        return;
    memcpy(job->u.resolve.host, host, strlen(host) + 1);
    job->u.resolve.port = port;
    pv_engine_job(e, job, purpose, arg);
}

static void add_addr(struct pv_addr *list, size_t *n, size_t cap, const struct pv_addr *addr)
{
    for (size_t i = 0; i < *n; i++) {
        if (pv_addr_equal(&list[i], addr))
            return;
    }
    if (*n < cap)
        list[(*n)++] = *addr;
}

/* Plain ones stand before those with TLS: they are quicker where both get through. */
static void add_coord_addr(struct pv_engine *e, const struct pv_addr *addr, bool tls)
{
    size_t at = e->n_coord_addrs;
    for (size_t i = 0; i < e->n_coord_addrs; i++) {
        if (e->coord_addrs[i].tls == tls && pv_addr_equal(&e->coord_addrs[i].addr, addr))
            return;
        if (!tls && e->coord_addrs[i].tls && i < at)
            at = i;
    }
    if (e->n_coord_addrs == PV_COORDCLIENT_MAX_ADDRS)
        return;
    memmove(&e->coord_addrs[at + 1], &e->coord_addrs[at],
            (e->n_coord_addrs - at) * sizeof(e->coord_addrs[0]));
    e->coord_addrs[at] = (struct pv_coordclient_addr){.addr = *addr, .tls = tls};
    e->n_coord_addrs++;
}

/* Numeric addresses are used as they are; names are asked for and come later. */
static void find_host(struct pv_engine *e, const struct pv_hostport *host)
{
    struct pv_addr addr;
    if (pv_addr_parse_ip(host->host, &addr) == PV_OK) {
        addr.port = host->port;
        add_coord_addr(e, &addr, host->tls);
    } else {
        resolve(e, host->host, host->port, PV_JP_COORD_HOST, host->tls ? 1 : 0);
    }
}

void pv_engine_find_coordinator(struct pv_engine *e)
{
    e->n_coord_addrs = 0;
    for (size_t i = 0; i < e->n_hosts; i++)
        find_host(e, &e->hosts[i]);
    for (size_t i = 0; i < e->n_tls_hosts && !pv_enroll_is_guest(e); i++)
        find_host(e, &e->tls_hosts[i]);
}

void pv_engine_coord_resolved(struct pv_engine *e, const struct pv_job_wait *wait,
                              const struct pv_job_result *result, pv_ns now)
{
    if (wait->purpose == PV_JP_STUN_HOST) {
        for (size_t i = 0; i < result->n_addrs; i++)
            add_addr(e->stun_addrs, &e->n_stun_addrs, PV_CTL_ADDRS_MAX, &result->addrs[i]);
        pv_node_raise(&e->node, PV_FACT_SERVERS);
        return;
    }
    if (result->status != PV_OK) {
        snprintf(e->coord_error, sizeof(e->coord_error), "%.*s", (int)sizeof(e->coord_error) - 1,
                 result->error);
        if (pv_enroll_is_guest(e))
            pv_enroll_offline(e, result->error);
        return;
    }
    for (size_t i = 0; i < result->n_addrs; i++)
        add_coord_addr(e, &result->addrs[i], wait->arg == 1);
    pv_coordclient_set_addrs(e->node.coord, e->coord_addrs, e->n_coord_addrs, now);
}

/* --- what welcome says ----------------------------------------------------------------------- */

static void store_tls_hosts(struct pv_engine *e)
{
    char text[PV_CTL_ADDRS_MAX * (PV_HOSTPORT_BUF + 1)];
    char one[PV_HOSTPORT_BUF];
    size_t len = 0;
    for (size_t i = 0; i < e->n_tls_hosts; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s\n",
                                pv_hostport_format(&e->tls_hosts[i], one));
    pv_engine_set_meta(e, "tls-hosts", pv_view(text, len));
}

void pv_engine_load_tls_hosts(struct pv_engine *e, struct pv_view text)
{
    e->n_tls_hosts = 0;
    while (text.len > 0 && e->n_tls_hosts < PV_CTL_ADDRS_MAX) {
        const uint8_t *end = memchr(text.ptr, '\n', text.len);
        size_t len = end == NULL ? text.len : (size_t)(end - text.ptr);
        struct pv_hostport *hp = &e->tls_hosts[e->n_tls_hosts];
        if (pv_hostport_parse((const char *)text.ptr, len, hp) == PV_OK && hp->tls)
            e->n_tls_hosts++;
        len += end == NULL ? 0 : 1;
        text = pv_view(text.ptr + len, text.len - len);
    }
}

/* A coordinator that once spoke TLS somewhere is looked for there, also after a restart in a
 * network that lets nothing else out. */
static void take_tls(struct pv_engine *e, const struct pv_ctl_welcome *w)
{
    struct pv_hostport fresh[PV_CTL_ADDRS_MAX];
    size_t n = 0;
    memset(fresh, 0, sizeof(fresh)); /* compared as bytes */
    e->has_pin = w->has_tls;
    memcpy(e->pin, w->tls.pin, sizeof(e->pin));
    for (size_t i = 0; w->has_tls && i < w->tls.n; i++) {
        struct pv_hostport hp = {.port = 0};
        if (pv_hostport_parse(w->tls.addrs[i], strlen(w->tls.addrs[i]), &hp) != PV_OK || hp.tls)
            continue;
        snprintf(fresh[n].host, sizeof(fresh[n].host), "%s", hp.host);
        fresh[n].port = hp.port;
        fresh[n++].tls = true;
    }
    if (n == e->n_tls_hosts && memcmp(fresh, e->tls_hosts, sizeof(fresh)) == 0)
        return;
    memcpy(e->tls_hosts, fresh, sizeof(fresh));
    e->n_tls_hosts = n;
    store_tls_hosts(e);
}

void pv_engine_take_servers(struct pv_engine *e, const struct pv_ctl_welcome *w, pv_ns now)
{
    (void)now;
    e->n_stun_addrs = 0;
    for (size_t i = 0; i < w->n_stun; i++) {
        struct pv_addr addr;
        struct pv_hostport hp;
        if (pv_addr_parse(w->stun[i], &addr) == PV_OK)
            add_addr(e->stun_addrs, &e->n_stun_addrs, PV_CTL_ADDRS_MAX, &addr);
        else if (pv_hostport_parse(w->stun[i], strlen(w->stun[i]), &hp) == PV_OK)
            resolve(e, hp.host, hp.port, PV_JP_STUN_HOST, 0);
    }
    /* The address that works for TCP is the best guess when it names none. */
    const struct pv_addr *used = pv_coordclient_addr(e->node.coord);
    if (w->n_stun == 0 && used != NULL)
        add_addr(e->stun_addrs, &e->n_stun_addrs, PV_CTL_ADDRS_MAX, used);
    pv_node_raise(&e->node, PV_FACT_SERVERS);
    take_tls(e, w);
}
