/* SPDX-License-Identifier: MIT */
/* dns.c - answers questions about members' names and addresses from the roster. */
#include "daemon/core/client/dns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bucket.h"
#include "base/names.h"
#include "daemon/core/packets/fp_builder.h"
#include "daemon/core/peer/peers.h"

enum {
    TTL = 30,   /* seconds, ours: a name that was given up may be another's soon */
    RATE = 200, /* answers a second to one member, ours: a resolver without a cache */
    BURST = 400,
    SOURCES = 1024,
    ASK_RATE = 50,   /* questions of one phone a second put to this host's resolvers, ours: */
    ASK_BURST = 100, /* a page of the web with all that it names */
    PER_PHONE = 2,   /* addresses */
};

struct dns {
    struct pv_node *node;
    bool alone;                   /* no other member is answered */
    struct pv_bucket_table *rate; /* answers to each member */
    struct pv_bucket_table *asks; /* what resolvers are asked for each phone */
};

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct dns *d = part;
    d->alone = cfg->dns == PV_DNS_PROGRAMS;
    int r = pv_bucket_table_new(&d->rate, SOURCES, RATE, BURST, &d->node->rng);
    return r < 0 ? r
                 : pv_bucket_table_new(&d->asks, PER_PHONE * PV_FP_MAX_PHONES, ASK_RATE, ASK_BURST,
                                       &d->node->rng);
}

static void unmake(void *part)
{
    struct dns *d = part;
    pv_bucket_table_free(d->rate);
    pv_bucket_table_free(d->asks);
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
    } else if ((q->qtype == PV_DNS_AAAA || any) && m->ip6.family == PV_AF_INET6 &&
               (m->abilities & PV_ABLE_NO_IP6) == 0) {
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
 * a resolver that asks here for the rest of the world is set up wrongly (RFC 1035 s4.1.1); of a
 * phone's app see ask_for_phone(). */
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

/* The phone that asks, if this node carries it; else NULL. Its address is proven (cryptokey
 * routing). */
static const struct pv_peer *phone_here(const struct pv_node *n, const struct pv_addr *src)
{
    struct pv_addr ip = *src;
    ip.port = 0;
    const struct pv_member *m = pv_roster_by_ip(n->roster, &ip);
    const struct pv_peer *p = m == NULL ? NULL : pv_peers_by_pk(n->peers, m->node);
    return p != NULL && pv_peer_is_phone(p) ? p : NULL;
}

/* Names below .p2p are members' of some network: no DNS server hears of them. */
static bool is_of_members(const char *name)
{
    static const char end[] = "p2p";
    size_t len = strlen(name), n = sizeof(end) - 1;
    return len >= n && strcmp(name + len - n, end) == 0 && (len == n || name[len - n - 1] == '.');
}

/* The app of a phone asks the server of its file for everything, and nobody else (adr 0096). So
 * what this node does not know itself goes to the resolvers of its host; of other members, who have
 * resolvers of their own, nothing does. */
static bool ask_for_phone(struct dns *d, const struct pv_addr *src, const struct pv_dns_query *q,
                          const struct pv_addr *bucket, struct pv_dns_reply *ret, pv_ns now)
{
    const struct pv_node *n = d->node;
    const struct pv_addr *resolvers = n->host.plan.resolvers;
    const struct pv_peer *phone = phone_here(n, src);
    _Static_assert((int)PV_DNS_RESOLVERS == (int)PV_NETPLAN_RESOLVERS, "as many as are told");
    if (!q->recursive || is_of_members(q->name) || resolvers[0].family == PV_AF_NONE ||
        phone == NULL)
        return false;
    if (!pv_bucket_table_take(d->asks, bucket, 1, now))
        return true; /* and nothing is said: it asks again, more slowly */
    for (size_t i = 0; i < PV_DNS_RESOLVERS && resolvers[i].family != PV_AF_NONE; i++) {
        ret->ask[ret->n_ask] = resolvers[i];
        ret->ask[ret->n_ask++].port = PV_DNS_PORT;
    }
    ret->question = q->question;
    ret->of = pv_peer_id(phone);
    return true;
}

/* A query that cannot be parsed is answered with its error, so that a member's resolver does not
 * wait and ask again. */
void pv_dns_serve(struct pv_node *n, const struct pv_addr *src, struct pv_view packet,
                  struct pv_dns_reply *ret_reply, pv_ns now)
{
    struct dns *d = pv_node_part(n, &pv_part_dns);
    struct pv_dns_query q;
    struct pv_dns_answer a = {.rcode = PV_DNS_OK};
    char full[PV_NAMES_FULL_BUF];
    const struct pv_addr bucket = bucket_of(src);
    ret_reply->len = ret_reply->n_ask = 0;
    /* Strangers get no answer at all, not even an error: nobody can use this server to reflect
     * packets. */
    if (n->roster == NULL || !may_ask(d, src) || !pv_bucket_table_take(d->rate, &bucket, 1, now))
        return;
    const char *zone = PV_STR("%s.p2p", pv_roster_network(n->roster)->name);
    int r = pv_dns_query_parse(packet, &q);
    if (r == PV_ERR_MALFORMED)
        a.rcode = PV_DNS_FORMERR;
    else if (r == PV_ERR_UNSUPPORTED)
        a.rcode = PV_DNS_NOTIMP;
    else if (r != PV_OK)
        return;
    else
        decide(n, &q, zone, full, &a);
    if (a.rcode == PV_DNS_REFUSED && ask_for_phone(d, src, &q, &bucket, ret_reply, now))
        return;
    if (pv_dns_answer_build(&q, &a, ret_reply->bytes, &ret_reply->len) != PV_OK)
        ret_reply->len = 0;
}

const struct pv_part pv_part_dns = {
    .name = "dns",
    .size = PV_PART_SIZE(struct dns),
    .start = start,
    .free = unmake,
};
