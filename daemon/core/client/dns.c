/* SPDX-License-Identifier: MIT */
/* dns.c - answers questions about members' names and addresses from the roster. */
#include "daemon/core/client/dns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bucket.h"
#include "base/names.h"

enum {
    TTL = 30,   /* seconds, ours: a name that was given up may be another's soon */
    RATE = 200, /* answers a second to one member, ours: a resolver without a cache */
    BURST = 400,
    SOURCES = 1024,
};

struct dns {
    struct pv_node *node;
    bool alone;                   /* no other member is answered */
    struct pv_bucket_table *rate; /* answers to each member */
};

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct dns *d = part;
    d->alone = cfg->dns == PV_DNS_PROGRAMS;
    return pv_bucket_table_new(&d->rate, SOURCES, RATE, BURST, &d->node->rng);
}

static void unmake(void *part)
{
    struct dns *d = part;
    pv_bucket_table_free(d->rate);
}

/* This node, or a member: whoever else sends to this address has no business here. */
static bool may_ask(const struct dns *d, const struct pv_addr *src)
{
    const struct pv_node *n = d->node;
    struct pv_addr ip = *src;
    ip.port = 0;
    const struct pv_member *m = pv_roster_by_ip(n->roster, &ip);
    return m != NULL && (!d->alone || memcmp(m->node, n->identity->sign_pk, sizeof(m->node)) == 0);
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

/* The member that a name stands for. */
static const struct pv_member *find(const struct pv_node *n, const struct pv_dns_query *q,
                                    const char *zone, bool *ret_ours)
{
    size_t len = strlen(q->name), zone_len = strlen(zone);
    char name[PV_NAME_BUF], label[PV_DNS_NAME_BUF];
    /* The zone must begin at a dot: notours.p2p is not below ours.p2p. */
    *ret_ours = len >= zone_len && strcmp(q->name + len - zone_len, zone) == 0 &&
                (len == zone_len || q->name[len - zone_len - 1] == '.');
    if (!*ret_ours || len == zone_len)
        return NULL;
    size_t label_len = len - zone_len - 1;
    memcpy(label, q->name, label_len);
    label[label_len] = '\0';
    return pv_name_parse(label, label_len, name) == PV_OK ? pv_roster_by_name(n->roster, name)
                                                          : NULL;
}

/* An address of the other family is no reason for NXDOMAIN: resolvers ask for both, and would take
 * that answer for the whole name (RFC 8020 s2). */
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

static bool in_overlay(const struct pv_node *n, const struct pv_addr *ip)
{
    const struct pv_prefix ula = pv_network_ula(pv_roster_network_id(n->roster));
    return pv_prefix_contains(&pv_roster_network(n->roster)->range, ip) ||
           pv_prefix_contains(&ula, ip);
}

/* Which answer a question gets: names below our zone and addresses of the overlay are ours and
 * answered with authority, with NXDOMAIN where nobody has them; everything else is refused, because
 * a resolver that asks here for the rest of the world is set up wrongly (RFC 1035 s4.1.1). */
static void decide(const struct pv_node *n, const struct pv_dns_query *q, const char *zone,
                   char full[static PV_NAMES_FULL_BUF], struct pv_dns_answer *a)
{
    struct pv_addr ip;
    bool ours = false;
    const struct pv_member *m = find(n, q, zone, &ours);
    a->zone = zone;
    a->serial = (uint32_t)pv_roster_count(n->roster);
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
    } else if (pv_dns_reverse_parse(q->name, &ip) == PV_OK && in_overlay(n, &ip)) {
        m = pv_roster_by_ip(n->roster, &ip);
        if (m == NULL)
            a->rcode = PV_DNS_NXDOMAIN;
        else if (q->qtype == PV_DNS_PTR || q->qtype == PV_DNS_ANY)
            *a = (struct pv_dns_answer){
                .authoritative = true,
                .type = PV_DNS_PTR,
                .ttl = TTL,
                .target = pv_names_full(m->name, pv_roster_network(n->roster)->name, full)};
    } else {
        a->rcode = PV_DNS_REFUSED;
    }
    if (a->rcode == PV_DNS_REFUSED) {
        a->authoritative = false;
        a->zone = NULL;
    }
}

/* A query that cannot be parsed is answered with its error, so that a member's resolver does not
 * wait and ask again. */
bool pv_dns_serve(struct pv_node *n, const struct pv_addr *src, struct pv_view packet,
                  uint8_t buf[static PV_DNS_MAX], size_t *ret_len, pv_ns now)
{
    struct dns *d = pv_node_part(n, &pv_part_dns);
    struct pv_dns_query q;
    struct pv_dns_answer a = {.rcode = PV_DNS_OK};
    char zone[PV_NAMES_FULL_BUF], full[PV_NAMES_FULL_BUF];
    const struct pv_addr bucket = bucket_of(src);
    /* Strangers get no answer at all, not even an error: nobody can use this server to reflect
     * packets. */
    if (n->roster == NULL || !may_ask(d, src) || !pv_bucket_table_take(d->rate, &bucket, 1, now))
        return false;
    snprintf(zone, sizeof(zone), "%s.p2p", pv_roster_network(n->roster)->name);
    int r = pv_dns_query_parse(packet, &q);
    if (r == PV_ERR_MALFORMED)
        a.rcode = PV_DNS_FORMERR;
    else if (r == PV_ERR_UNSUPPORTED)
        a.rcode = PV_DNS_NOTIMP;
    else if (r != PV_OK)
        return false;
    else
        decide(n, &q, zone, full, &a);
    return pv_dns_answer_build(&q, &a, buf, ret_len) == PV_OK;
}

const struct pv_part pv_part_dns = {
    .name = "dns",
    .size = PV_PART_SIZE(struct dns),
    .start = start,
    .free = unmake,
};
