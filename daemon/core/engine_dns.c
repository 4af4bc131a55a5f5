/* SPDX-License-Identifier: MIT */
/*
 * The optional name server on the overlay address ([dns] listen): NAME.NETWORK.p2p and the
 * addresses of the overlay, from the roster, and nothing else.
 */
#include <stdio.h>
#include <string.h>

#include "base/names.h"
#include "daemon/core/engine_int.h"
#include "proto/local/dns.h"

enum {
    TTL = 30,   /* seconds, ours: a name that was given up may be another's soon */
    RATE = 200, /* answers a second to one member, ours: a resolver without a cache */
    BURST = 400,
    SOURCES = 1024,
};

int pv_engine_dns_new(struct pv_engine *e)
{
    return pv_bucket_table_new(&e->dns_rate, SOURCES, RATE, BURST, &e->node.rng);
}

void pv_engine_dns_free(struct pv_engine *e)
{
    pv_bucket_table_free(e->dns_rate);
}

/* This node, or a member: whoever else sends to this address has no business here. */
static bool may_ask(const struct pv_engine *e, const struct pv_addr *src)
{
    struct pv_addr ip = *src;
    ip.port = 0;
    return pv_roster_by_ip(e->node.roster, &ip) != NULL;
}

/* Members, whose addresses are proven, are told apart by the end of them; the buckets tell apart
 * networks, and the overlay is one: a member that floods would silence all others. */
static struct pv_addr bucket_of(const struct pv_addr *src)
{
    struct pv_addr key = {.family = src->family};
    size_t len = pv_addr_ip_len(src);
    for (size_t i = 0; i < len; i++)
        key.ip[i] = src->ip[len - 1 - i];
    return key;
}

/* What a name stands for. */
static const struct pv_member *find(const struct pv_engine *e, const struct pv_dns_query *q,
                                    const char *zone, bool *ret_ours)
{
    size_t len = strlen(q->name), zone_len = strlen(zone);
    char name[PV_NAME_BUF], label[PV_DNS_NAME_BUF];
    *ret_ours = len >= zone_len && strcmp(q->name + len - zone_len, zone) == 0 &&
                (len == zone_len || q->name[len - zone_len - 1] == '.');
    if (!*ret_ours || len == zone_len)
        return NULL;
    size_t n = len - zone_len - 1;
    memcpy(label, q->name, n);
    label[n] = '\0';
    return pv_name_parse(label, n, name) == PV_OK ? pv_roster_by_name(e->node.roster, name) : NULL;
}

static void answer_name(const struct pv_member *m, const struct pv_dns_query *q,
                        struct pv_dns_answer *a)
{
    bool any = q->qtype == PV_DNS_ANY;
    a->ttl = TTL;
    if ((q->qtype == PV_DNS_A || any) && m->ip4.family == PV_AF_INET) {
        a->type = PV_DNS_A;
        a->addr = m->ip4;
    } else if ((q->qtype == PV_DNS_AAAA || any) && m->ip6.family == PV_AF_INET6) {
        a->type = PV_DNS_AAAA;
        a->addr = m->ip6;
    } /* else there is the name, but no such record of it */
}

static bool in_overlay(const struct pv_engine *e, const struct pv_addr *ip)
{
    const struct pv_prefix ula = pv_network_ula(pv_roster_network_id(e->node.roster));
    return pv_prefix_contains(&pv_roster_network(e->node.roster)->range, ip) ||
           pv_prefix_contains(&ula, ip);
}

static void decide(const struct pv_engine *e, const struct pv_dns_query *q, const char *zone,
                   char full[static PV_NAMES_FULL_BUF], struct pv_dns_answer *a)
{
    struct pv_addr ip;
    bool ours = false;
    const struct pv_member *m = find(e, q, zone, &ours);
    a->zone = zone;
    a->serial = (uint32_t)pv_roster_count(e->node.roster);
    a->authoritative = true;
    if (q->qclass != PV_DNS_IN) {
        a->rcode = PV_DNS_REFUSED;
    } else if (ours && strcmp(q->name, zone) == 0) {
        a->ttl = TTL;
        a->target = zone;
        a->type = q->qtype == PV_DNS_SOA || q->qtype == PV_DNS_ANY ? PV_DNS_SOA
                  : q->qtype == PV_DNS_NS                          ? PV_DNS_NS
                                                                   : 0;
    } else if (ours && m != NULL) {
        answer_name(m, q, a);
    } else if (ours) {
        a->rcode = PV_DNS_NXDOMAIN;
    } else if (pv_dns_reverse_parse(q->name, &ip) == PV_OK && in_overlay(e, &ip)) {
        m = pv_roster_by_ip(e->node.roster, &ip);
        if (m == NULL)
            a->rcode = PV_DNS_NXDOMAIN;
        else if (q->qtype == PV_DNS_PTR || q->qtype == PV_DNS_ANY)
            *a = (struct pv_dns_answer){
                .authoritative = true,
                .type = PV_DNS_PTR,
                .ttl = TTL,
                .target = pv_names_full(m->name, pv_roster_network(e->node.roster)->name, full)};
    } else {
        a->rcode = PV_DNS_REFUSED;
    }
    if (a->rcode == PV_DNS_REFUSED) {
        a->authoritative = false;
        a->zone = NULL;
    }
}

bool pv_engine_dns(struct pv_engine *e, const struct pv_addr *src, struct pv_view packet,
                   uint8_t buf[static PV_DNS_MAX], size_t *ret_len, pv_ns now)
{
    struct pv_dns_query q;
    struct pv_dns_answer a = {.rcode = PV_DNS_OK};
    char zone[PV_NAMES_FULL_BUF], full[PV_NAMES_FULL_BUF];
    const struct pv_addr bucket = bucket_of(src);
    if (e->node.roster == NULL || !may_ask(e, src) ||
        !pv_bucket_table_take(e->dns_rate, &bucket, 1, now))
        return false;
    snprintf(zone, sizeof(zone), "%s.p2p", pv_roster_network(e->node.roster)->name);
    int r = pv_dns_query_parse(packet, &q);
    if (r == PV_ERR_MALFORMED)
        a.rcode = PV_DNS_FORMERR;
    else if (r == PV_ERR_UNSUPPORTED)
        a.rcode = PV_DNS_NOTIMP;
    else if (r != PV_OK)
        return false;
    else
        decide(e, &q, zone, full, &a);
    return pv_dns_answer_build(&q, &a, buf, ret_len) == PV_OK;
}
