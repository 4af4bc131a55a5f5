/* SPDX-License-Identifier: MIT */
#include "natcore_table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- hash ---- */

static uint64_t mix(uint64_t h, const void *data, size_t len)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * 0x100000001b3u; /* FNV-1a */
    return h ^ (h >> 29);
}

static uint64_t hash_addr(uint64_t h, const struct pv_addr *a)
{
    h = mix(h, &a->family, sizeof(a->family));
    h = mix(h, &a->port, sizeof(a->port));
    return mix(h, a->ip, a->family == PV_AF_INET6 ? 16 : 4);
}

static uint64_t hash_key(uint8_t proto, const struct pv_addr *a, const struct pv_addr *b)
{
    uint64_t h = hash_addr(0xcbf29ce484222325u ^ proto, a);
    return b == NULL ? h : hash_addr(h, b);
}

static struct pv_nathash_node *hash_first(const struct pv_nathash *h, uint64_t hash)
{
    return h->n_buckets == 0 ? NULL : h->buckets[hash & (h->n_buckets - 1)];
}

/* False when there is no memory; nothing has changed then. */
static bool hash_add(struct pv_nathash *h, struct pv_nathash_node *node, uint64_t hash)
{
    if (h->len >= h->n_buckets) {
        size_t n = h->n_buckets == 0 ? 64 : h->n_buckets * 2;
        struct pv_nathash_node **buckets = calloc(n, sizeof(struct pv_nathash_node *));
        if (buckets == NULL)
            return false;
        for (size_t i = 0; i < h->n_buckets; i++) {
            struct pv_nathash_node *next = NULL;
            for (struct pv_nathash_node *e = h->buckets[i]; e != NULL; e = next) {
                next = e->next;
                e->next = buckets[e->hash & (n - 1)];
                buckets[e->hash & (n - 1)] = e;
            }
        }
        free(h->buckets);
        h->buckets = buckets;
        h->n_buckets = n;
    }
    node->hash = hash;
    node->next = h->buckets[hash & (h->n_buckets - 1)];
    h->buckets[hash & (h->n_buckets - 1)] = node;
    h->len++;
    return true;
}

static void hash_remove(struct pv_nathash *h, struct pv_nathash_node *node)
{
    struct pv_nathash_node **at = &h->buckets[node->hash & (h->n_buckets - 1)];
    while (*at != node)
        at = &(*at)->next;
    *at = node->next;
    h->len--;
}

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* ---- mappings ---- */

struct pv_addr pv_nattab_mask(enum pv_nat_rule rule, const struct pv_addr *addr)
{
    struct pv_addr masked = *addr;
    if (rule == PV_NAT_EI)
        return (struct pv_addr){.family = PV_AF_NONE};
    if (rule == PV_NAT_AD)
        masked.port = 0;
    return masked;
}

static bool alive(const struct pv_natmap *map, pv_ns now)
{
    return map->expires > now && map->absolute > now;
}

struct pv_natmap *pv_nattab_by_internal(const struct pv_nattab *tab, uint8_t proto,
                                        const struct pv_addr *internal, const struct pv_addr *dst,
                                        pv_ns now)
{
    uint64_t hash = hash_key(proto, internal, dst);
    for (struct pv_nathash_node *n = hash_first(&tab->by_internal, hash); n != NULL; n = n->next) {
        struct pv_natmap *map = CONTAINER(n, struct pv_natmap, by_internal);
        if (n->hash == hash && map->proto == proto && pv_addr_equal(&map->internal, internal) &&
            pv_addr_equal(&map->dst, dst) && alive(map, now))
            return map;
    }
    return NULL;
}

struct pv_natmap *pv_nattab_by_external(const struct pv_nattab *tab, uint8_t proto,
                                        const struct pv_addr *external,
                                        const struct pv_natmap *prev, pv_ns now)
{
    uint64_t hash = hash_key(proto, external, NULL);
    struct pv_nathash_node *n =
        prev == NULL ? hash_first(&tab->by_external, hash) : prev->by_external.next;
    for (; n != NULL; n = n->next) {
        struct pv_natmap *map = CONTAINER(n, struct pv_natmap, by_external);
        if (n->hash == hash && map->proto == proto && pv_addr_equal(&map->external, external) &&
            alive(map, now))
            return map;
    }
    return NULL;
}

struct pv_natmap *pv_nattab_add(struct pv_nattab *tab, const struct pv_natmap *what)
{
    struct pv_natmap *map = malloc(sizeof(*map));
    if (map == NULL)
        return NULL;
    *map = *what;
    map->sessions = NULL;
    map->n_sessions = 0;
    map->expires = 0;
    uint64_t internal = hash_key(map->proto, &map->internal, &map->dst);
    uint64_t external = hash_key(map->proto, &map->external, NULL);
    if (!hash_add(&tab->by_internal, &map->by_internal, internal)) {
        free(map);
        return NULL;
    }
    if (!hash_add(&tab->by_external, &map->by_external, external)) {
        hash_remove(&tab->by_internal, &map->by_internal);
        free(map);
        return NULL;
    }
    map->prev = tab->last;
    map->next = NULL;
    if (tab->last != NULL)
        tab->last->next = map;
    else
        tab->first = map;
    tab->last = map;
    tab->n_maps++;
    return map;
}

static void remove_session(struct pv_nattab *tab, struct pv_natsession *s)
{
    hash_remove(&tab->sessions, &s->node);
    if (s->prev != NULL)
        s->prev->next = s->next;
    else
        s->map->sessions = s->next;
    if (s->next != NULL)
        s->next->prev = s->prev;
    s->map->n_sessions--;
    free(s);
}

void pv_nattab_remove(struct pv_nattab *tab, struct pv_natmap *map)
{
    while (map->sessions != NULL)
        remove_session(tab, map->sessions);
    hash_remove(&tab->by_internal, &map->by_internal);
    hash_remove(&tab->by_external, &map->by_external);
    if (map->prev != NULL)
        map->prev->next = map->next;
    else
        tab->first = map->next;
    if (map->next != NULL)
        map->next->prev = map->prev;
    else
        tab->last = map->prev;
    tab->n_maps--;
    free(map);
}

/* ---- sessions ---- */

static uint64_t session_hash(const struct pv_natmap *map, const struct pv_addr *remote)
{
    /* The mapping's own hash, not its address: a run must not depend on the heap. */
    return hash_addr(map->by_external.hash ^ map->by_internal.hash, remote);
}

static struct pv_natsession *find_session(const struct pv_nattab *tab, const struct pv_natmap *map,
                                          const struct pv_addr *remote)
{
    uint64_t hash = session_hash(map, remote);
    for (struct pv_nathash_node *n = hash_first(&tab->sessions, hash); n != NULL; n = n->next) {
        struct pv_natsession *s = CONTAINER(n, struct pv_natsession, node);
        if (n->hash == hash && s->map == map && pv_addr_equal(&s->remote, remote))
            return s;
    }
    return NULL;
}

struct pv_natsession *pv_nattab_session(const struct pv_nattab *tab, const struct pv_natmap *map,
                                        const struct pv_addr *remote, pv_ns now)
{
    struct pv_natsession *s = find_session(tab, map, remote);
    return s != NULL && s->expires > now ? s : NULL;
}

struct pv_natsession *pv_nattab_open(struct pv_nattab *tab, struct pv_natmap *map,
                                     const struct pv_addr *remote, pv_ns now)
{
    struct pv_natsession *s = find_session(tab, map, remote);
    if (s != NULL && s->expires > now)
        return s;
    if (s == NULL) {
        s = calloc(1, sizeof(*s));
        if (s == NULL)
            return NULL;
        s->map = map;
        s->remote = *remote;
        if (!hash_add(&tab->sessions, &s->node, session_hash(map, remote))) {
            free(s);
            return NULL;
        }
        s->next = map->sessions;
        if (s->next != NULL)
            s->next->prev = s;
        map->sessions = s;
        map->n_sessions++;
    }
    s->created = now;
    s->expires = now;
    s->replied = false;
    s->fin[0] = false;
    s->fin[1] = false;
    return s;
}

void pv_nattab_keep(struct pv_natsession *session, pv_ns expires)
{
    struct pv_natmap *map = session->map;
    bool shorter = expires < session->expires && session->expires == map->expires;
    session->expires = expires;
    if (expires > map->expires)
        map->expires = expires;
    if (!shorter)
        return;
    map->expires = 0;
    for (struct pv_natsession *s = map->sessions; s != NULL; s = s->next) {
        if (s->expires > map->expires)
            map->expires = s->expires;
    }
}

void pv_nattab_sweep(struct pv_nattab *tab, pv_ns now)
{
    struct pv_natmap *next = NULL;
    for (struct pv_natmap *map = tab->first; map != NULL; map = next) {
        next = map->next;
        if (!alive(map, now)) {
            pv_nattab_remove(tab, map);
            continue;
        }
        struct pv_natsession *following = NULL;
        for (struct pv_natsession *s = map->sessions; s != NULL; s = following) {
            following = s->next;
            if (s->expires <= now)
                remove_session(tab, s);
        }
    }
    tab->swept = now;
}

void pv_nattab_evict(struct pv_nattab *tab)
{
    struct pv_natmap *oldest = tab->first;
    for (struct pv_natmap *map = tab->first; map != NULL; map = map->next) {
        if (map->used < oldest->used)
            oldest = map;
    }
    if (oldest != NULL)
        pv_nattab_remove(tab, oldest);
}

/* ---- subscribers ---- */

struct pv_nathost *pv_nattab_host(struct pv_nattab *tab, const struct pv_addr *internal)
{
    struct pv_addr ip = *internal;
    ip.port = 0;
    uint64_t hash = hash_addr(0, &ip);
    for (struct pv_nathash_node *n = hash_first(&tab->hosts, hash); n != NULL; n = n->next) {
        struct pv_nathost *host = CONTAINER(n, struct pv_nathost, node);
        if (pv_addr_equal(&host->ip, &ip))
            return host;
    }
    struct pv_nathost *host = calloc(1, sizeof(*host));
    if (host == NULL)
        return NULL;
    host->ip = ip;
    if (!hash_add(&tab->hosts, &host->node, hash)) {
        free(host);
        return NULL;
    }
    return host;
}

void pv_nattab_clear(struct pv_nattab *tab)
{
    while (tab->first != NULL)
        pv_nattab_remove(tab, tab->first);
    for (size_t i = 0; i < tab->hosts.n_buckets; i++) {
        while (tab->hosts.buckets[i] != NULL) {
            struct pv_nathost *host = CONTAINER(tab->hosts.buckets[i], struct pv_nathost, node);
            tab->hosts.buckets[i] = host->node.next;
            free(host);
        }
    }
    free(tab->by_internal.buckets);
    free(tab->by_external.buckets);
    free(tab->sessions.buckets);
    free(tab->hosts.buckets);
    memset(tab, 0, sizeof(*tab));
}

/* ---- ports ---- */

/* A search for a public port: for which mapping, when, and the endpoint being tried. */
struct search {
    const struct pv_nattab *tab;
    const struct pv_nat_config *config;
    const struct pv_natmap *what;
    pv_ns now;
    struct pv_addr external;
};

/* May the mapping have this port? With overloading only the same destination is in the way. */
static bool try_port(struct search *s, uint32_t port)
{
    struct pv_natmap *other = NULL;
    s->external.port = (uint16_t)port;
    while ((other = pv_nattab_by_external(s->tab, s->what->proto, &s->external, other, s->now)) !=
           NULL) {
        if (!s->config->overload || pv_addr_equal(&other->dst, &s->what->dst) ||
            other->dst.family == PV_AF_NONE || s->what->dst.family == PV_AF_NONE)
            return false;
    }
    return true;
}

/* Random ports first; when the range is crowded, the next free one from a random start. */
static int random_port(struct search *s, struct pv_natrng *rng, uint32_t lo, uint32_t hi)
{
    uint32_t span = hi - lo + 1;
    for (uint32_t i = 0; i < 16; i++) {
        if (try_port(s, lo + pv_natrng_below(rng, span)))
            return PV_OK;
    }
    uint32_t start = pv_natrng_below(rng, span);
    for (uint32_t i = 0; i < span; i++) {
        if (try_port(s, lo + (start + i) % span))
            return PV_OK;
    }
    return PV_ERR_LIMIT;
}

static void step_port(struct pv_nattab *tab, const struct pv_nat_config *config,
                      struct pv_natrng *rng)
{
    int64_t span = (int64_t)config->port_hi - config->port_lo + 1;
    int64_t step = config->step;
    if (config->step_random > 1)
        step *= 1 + (int64_t)pv_natrng_below(rng, config->step_random);
    int64_t at = ((int64_t)tab->last_port - config->port_lo + step) % span;
    tab->last_port = (uint32_t)(config->port_lo + (at < 0 ? at + span : at));
}

/* Ports that other subscribers of the same box took since the last look. */
static void foreign_ports(struct pv_nattab *tab, const struct pv_nat_config *config,
                          struct pv_natrng *rng, pv_ns now)
{
    if (config->foreign <= 0)
        return;
    if (tab->next_foreign == 0)
        tab->next_foreign = now;
    for (unsigned i = 0; tab->next_foreign <= now && i < 65536; i++) {
        double wait = -log(1.0 - pv_natrng_unit(rng)) / config->foreign;
        tab->next_foreign += 1 + (pv_ns)(wait * 1e9);
        step_port(tab, config, rng);
    }
}

static int sequential_port(struct search *s, struct pv_nattab *tab, struct pv_natrng *rng)
{
    const struct pv_nat_config *config = s->config;
    uint32_t span = (uint32_t)config->port_hi - config->port_lo + 1;
    if (tab->last_port == 0)
        tab->last_port = config->port_lo + pv_natrng_below(rng, span);
    foreign_ports(tab, config, rng, s->now);
    for (uint32_t i = 0; i < span; i++) {
        step_port(tab, config, rng);
        if (try_port(s, tab->last_port))
            return PV_OK;
    }
    return PV_ERR_LIMIT;
}

/* The block of a subscriber: aligned inside the range, drawn once. */
static void block_of(struct pv_nathost *host, const struct pv_nat_config *config,
                     struct pv_natrng *rng, uint32_t *lo, uint32_t *hi)
{
    uint32_t span = (uint32_t)config->port_hi - config->port_lo + 1;
    uint32_t size =
        config->block_size == 0 || config->block_size > span ? span : config->block_size;
    if (host->block_lo == 0)
        host->block_lo = (uint16_t)(config->port_lo + size * pv_natrng_below(rng, span / size));
    *lo = host->block_lo;
    *hi = *lo + size - 1;
}

static struct pv_addr public_address(struct pv_nattab *tab, const struct pv_nat_config *config,
                                     struct pv_natrng *rng, struct pv_nathost *host)
{
    if (config->pool_arbitrary)
        return config->public_ip[pv_natrng_below(rng, config->n_public)];
    if (host->public_ip.family == PV_AF_NONE)
        host->public_ip = config->public_ip[tab->next_public++ % config->n_public];
    return host->public_ip;
}

int pv_nattab_allocate(struct pv_nattab *tab, const struct pv_nat_config *config,
                       struct pv_natrng *rng, const struct pv_natmap *what, pv_ns now,
                       struct pv_addr *ret_external)
{
    struct pv_nathost *host = pv_nattab_host(tab, &what->internal);
    if (host == NULL)
        return PV_ERR_NOMEM;
    struct search s = {
        .tab = tab,
        .config = config,
        .what = what,
        .now = now,
        .external = public_address(tab, config, rng, host),
    };
    uint32_t lo = config->port_lo;
    uint32_t hi = config->port_hi;
    int r = PV_OK;
    switch (config->ports) {
    case PV_NAT_SEQUENTIAL:
        r = sequential_port(&s, tab, rng);
        break;
    case PV_NAT_BLOCK:
        block_of(host, config, rng, &lo, &hi);
        r = random_port(&s, rng, lo, hi);
        break;
    case PV_NAT_PRESERVE:
        if (what->external.port != 0 || !try_port(&s, what->internal.port))
            r = random_port(&s, rng, lo, hi);
        break;
    case PV_NAT_RANDOM:
        r = random_port(&s, rng, lo, hi);
        break;
    }
    if (r == PV_OK)
        *ret_external = s.external;
    return r;
}

/* ---- early inbound packets ---- */

static bool is_pollution(const struct pv_natpollution *p, uint8_t proto,
                         const struct pv_addr *external, const struct pv_addr *remote, pv_ns now)
{
    return p->expires > now && p->proto == proto && pv_addr_equal(&p->external, external) &&
           pv_addr_equal(&p->remote, remote);
}

void pv_nattab_pollute(struct pv_nattab *tab, uint8_t proto, const struct pv_addr *external,
                       const struct pv_addr *remote, pv_ns now, pv_ns life)
{
    struct pv_natpollution *slot = NULL;
    for (unsigned i = 0; i < PV_NAT_POLLUTION && slot == NULL; i++) {
        if (is_pollution(&tab->pollution[i], proto, external, remote, now))
            slot = &tab->pollution[i];
    }
    if (slot == NULL)
        slot = &tab->pollution[tab->next_pollution++ % PV_NAT_POLLUTION];
    *slot = (struct pv_natpollution){
        .proto = proto, .external = *external, .remote = *remote, .expires = now + life};
}

bool pv_nattab_polluted(const struct pv_nattab *tab, uint8_t proto, const struct pv_addr *external,
                        const struct pv_addr *remote, pv_ns now)
{
    for (unsigned i = 0; i < PV_NAT_POLLUTION; i++) {
        if (is_pollution(&tab->pollution[i], proto, external, remote, now))
            return true;
    }
    return false;
}
