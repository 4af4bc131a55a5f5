/* SPDX-License-Identifier: MIT */
#include "sim_net.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/ip_icmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap.h"
#include "proto/stun/nat64.h"
#include "sim_net_i.h"
#include "tests/natcore/natcore_pkt.h"

/* ---- life ---- */

struct sim_net *sim_net_new(uint64_t seed)
{
    struct sim_net *net = calloc(1, sizeof(*net));
    assert(net != NULL);
    net->now = PV_S(3600);
    net->rng.state = seed;
    net->hash = 0xcbf29ce484222325u;
    pv_heap_init(&net->heap);
    net->n_zones = 1;
    return net;
}

struct sim_net *sim_net_free(struct sim_net *net)
{
    if (net == NULL)
        return NULL;
    if (getenv("PV_SIM_HASH") != NULL)
        printf("hash %016" PRIx64 "\n", net->hash);
    for (unsigned i = 1; i < net->n_zones; i++) {
        pv_nat_free(net->zones[i]->nat);
        free(net->zones[i]);
    }
    for (unsigned i = 0; i < net->n_hosts; i++) {
        pv_link_done(&net->hosts[i]->up);
        pv_link_done(&net->hosts[i]->down);
        free(net->hosts[i]);
    }
    sim_streams_done(net);
    while (net->ats != NULL) {
        struct sim_at *at = net->ats;
        net->ats = at->next;
        free(at);
    }
    free(net->data);
    pv_heap_done(&net->heap);
    free(net);
    return NULL;
}

pv_ns sim_net_now(const struct sim_net *net)
{
    return net->now;
}

struct pv_natrng *sim_net_rng(struct sim_net *net)
{
    return &net->rng;
}

static void rng_fill(void *ctx, uint8_t *dst, size_t len)
{
    for (size_t i = 0; i < len; i++)
        dst[i] = (uint8_t)(pv_natrng_u64(ctx) >> 24);
}

struct pv_rng sim_rng(struct pv_natrng *rng)
{
    return (struct pv_rng){.fill = rng_fill, .ctx = rng};
}

uint64_t sim_net_hash(const struct sim_net *net)
{
    return net->hash;
}

void sim_net_mix(struct sim_net *net, const void *data, size_t len)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < len; i++)
        net->hash = (net->hash ^ p[i]) * 0x100000001b3u;
}

uint64_t sim_net_unroutable(const struct sim_net *net)
{
    return net->unroutable;
}

void sim_link_send(struct pv_link *link, struct pv_view data, uint64_t tag, pv_ns now)
{
    sim_own_enter();
    pv_link_send(link, data.ptr, data.len, tag, now);
    sim_own_leave();
}

void sim_wake(struct sim_net *net, struct sim_wake *wake, pv_ns when)
{
    if (!wake->reserved) {
        sim_own_enter();
        int r = pv_heap_reserve(&net->heap, ++net->n_wakes);
        sim_own_leave();
        assert(r == PV_OK);
        (void)r;
        wake->reserved = true;
    }
    pv_heap_set(&net->heap, &wake->node, when);
}

/* ---- building ---- */

unsigned sim_net_add_nat(struct sim_net *net, unsigned outer, const struct pv_nat_config *config)
{
    assert(net->n_zones < SIM_MAX_ZONES && outer < net->n_zones);
    struct sim_zone *zone = calloc(1, sizeof(*zone));
    assert(zone != NULL);
    unsigned id = net->n_zones++;
    net->zones[id] = zone;
    zone->outer = outer;
    zone->nat = pv_nat_new(config, pv_natrng_u64(&net->rng));
    assert(zone->nat != NULL);
    zone->wake.kind = SIM_WAKE_NAT;
    zone->wake.index = id;
    return id;
}

struct pv_nat *sim_net_nat(struct sim_net *net, unsigned zone)
{
    assert(zone > 0 && zone < net->n_zones);
    return net->zones[zone]->nat;
}

void sim_net_reboot_nat(struct sim_net *net, unsigned zone)
{
    pv_nat_flush(sim_net_nat(net, zone));
    sim_streams_silence_zone(net, zone);
}

unsigned sim_net_add_host(struct sim_net *net, unsigned zone, const struct pv_link_config *line)
{
    assert(net->n_hosts < SIM_MAX_HOSTS && zone < net->n_zones);
    struct sim_host *host = calloc(1, sizeof(*host));
    assert(host != NULL);
    unsigned id = net->n_hosts++;
    net->hosts[id] = host;
    host->zone = zone;
    host->on = true;
    pv_link_init(&host->up, pv_natrng_u64(&net->rng));
    pv_link_init(&host->down, pv_natrng_u64(&net->rng));
    host->up.mend = host->down.mend = pv_natpkt_mend;
    host->up_wake = (struct sim_wake){.kind = SIM_WAKE_UP, .index = id};
    host->down_wake = (struct sim_wake){.kind = SIM_WAKE_DOWN, .index = id};
    host->timer = (struct sim_wake){.kind = SIM_WAKE_TIMER, .index = id};
    if (line != NULL)
        sim_net_set_line(net, id, line);
    return id;
}

void sim_net_set_line(struct sim_net *net, unsigned host, const struct pv_link_config *line)
{
    net->hosts[host]->up.config = *line;
    net->hosts[host]->down.config = *line;
}

static void add_addr(struct sim_net *net, unsigned id, const struct pv_addr *ip, bool overlay)
{
    struct sim_host *host = net->hosts[id];
    assert(host->n_addrs < SIM_HOST_ADDRS);
    host->overlay[host->n_addrs] = overlay;
    host->addrs[host->n_addrs++] = *ip;
}

void sim_net_add_addr(struct sim_net *net, unsigned host, const struct pv_addr *ip)
{
    add_addr(net, host, ip, false);
}

void sim_net_add_overlay(struct sim_net *net, unsigned host, const struct pv_addr *ip)
{
    add_addr(net, host, ip, true);
}

size_t sim_net_addrs(const struct sim_net *net, unsigned host,
                     struct pv_addr ret_addrs[static SIM_HOST_ADDRS])
{
    const struct sim_host *h = net->hosts[host];
    size_t n = 0;
    for (unsigned i = 0; i < h->n_addrs; i++) {
        if (!h->overlay[i])
            ret_addrs[n++] = h->addrs[i];
    }
    return n;
}

void sim_net_del_addr(struct sim_net *net, unsigned id, const struct pv_addr *ip)
{
    struct sim_host *host = net->hosts[id];
    unsigned kept = 0;
    for (unsigned i = 0; i < host->n_addrs; i++) {
        if (pv_addr_equal_ip(&host->addrs[i], ip))
            continue;
        host->overlay[kept] = host->overlay[i];
        host->addrs[kept++] = host->addrs[i];
    }
    host->n_addrs = kept;
}

void sim_net_name(struct sim_net *net, const char *name, const struct pv_addr *ip)
{
    assert(net->n_named < SIM_NAME_ADDRS);
    assert(net->name == NULL || strcmp(net->name, name) == 0);
    net->name = name;
    net->named[net->n_named++] = *ip;
}

/* Of a host's own NAT; no family: it is none, or the host has none. */
static struct pv_addr nat64_of(const struct sim_net *net, unsigned host)
{
    const unsigned zone = net->hosts[host]->zone;
    const struct pv_addr none = {.family = PV_AF_NONE};
    return zone == SIM_PUBLIC ? none : pv_nat_config(net->zones[zone]->nat)->nat64;
}

size_t sim_net_lookup(const struct sim_net *net, unsigned host, const char *name,
                      struct pv_addr ret_addrs[static 2 * SIM_NAME_ADDRS])
{
    const struct pv_addr prefix = nat64_of(net, host);
    size_t n = 0;
    if (net->name != NULL && strcmp(net->name, name) == 0) {
        memcpy(ret_addrs, net->named, sizeof(net->named));
        n = net->n_named;
    } else if (strcmp(name, PV_NAT64_NAME) == 0) {
        ret_addrs[n++] = pv_addr4(192, 0, 0, 170, 0);
    }
    for (size_t i = 0, n4 = n; prefix.family != PV_AF_NONE && i < n4; i++) {
        const struct pv_prefix p = {.base = prefix, .bits = 96};
        if (ret_addrs[i].family == PV_AF_INET)
            ret_addrs[n++] = pv_nat64_make(&p, &ret_addrs[i]);
    }
    return n;
}

void sim_net_move(struct sim_net *net, unsigned host, unsigned zone)
{
    assert(zone < net->n_zones);
    net->hosts[host]->zone = zone;
    sim_streams_silence_host(net, host, false);
}

void sim_net_power(struct sim_net *net, unsigned id, bool on)
{
    struct sim_host *host = net->hosts[id];
    host->on = on;
    if (on)
        return;
    pv_link_clear(&host->up);
    pv_link_clear(&host->down);
    sim_wake(net, &host->timer, PV_NEVER);
    sim_streams_silence_host(net, id, true);
}

/* ---- routing ---- */

bool sim_host_has(const struct sim_host *host, const struct pv_addr *ip, bool overlay)
{
    for (unsigned i = 0; i < host->n_addrs; i++) {
        if (host->overlay[i] == overlay && pv_addr_equal_ip(&host->addrs[i], ip))
            return true;
    }
    return false;
}

static bool is_below(const struct sim_net *net, unsigned zone, unsigned above)
{
    while (zone != SIM_PUBLIC && zone != above)
        zone = net->zones[zone]->outer;
    return zone == above;
}

/* Does the NAT of this zone answer for an address: a public one of its own, or an IPv6 host below.
 */
static bool nat_owns(const struct sim_net *net, unsigned zone, const struct pv_addr *ip)
{
    const struct pv_nat_config *c = pv_nat_config(net->zones[zone]->nat);
    for (unsigned i = 0; i < c->n_public; i++) {
        if (pv_addr_equal_ip(&c->public_ip[i], ip))
            return true;
    }
    for (unsigned i = 0; ip->family == PV_AF_INET6 && i < net->n_hosts; i++) {
        if (sim_host_has(net->hosts[i], ip, false) && is_below(net, net->hosts[i]->zone, zone))
            return true;
    }
    return false;
}

static void into_nat(struct sim_net *net, unsigned zone, enum pv_nat_side side, uint8_t *data,
                     size_t len)
{
    struct sim_zone *z = net->zones[zone];
    pv_nat_input(z->nat, side, data, len, net->now);
    sim_wake(net, &z->wake, pv_nat_next(z->nat));
}

static void route(struct sim_net *net, unsigned zone, bool may_rise, uint8_t *data, size_t len);

/* Crossing the public network costs hops; false when the packet has not enough: its sender is
 * told by the router where that was. */
static bool cross_public(struct sim_net *net, struct pv_natpkt *pkt)
{
    if (pkt->ttl <= SIM_HOPS) {
        const struct pv_addr router = pv_addr4(198, 18, 0, pkt->ttl, 0);
        uint8_t buf[PV_NATPKT_ICMP_MAX];
        size_t len = 0;
        if (pkt->dst.family == PV_AF_INET &&
            pv_natpkt_error(pkt, PV_NATPKT_TTL_EXCEEDED, 0, &router, buf, &len) == PV_OK)
            route(net, SIM_PUBLIC, false, buf, len);
        return false;
    }
    for (unsigned i = 0; i < SIM_HOPS; i++)
        pv_natpkt_hop(pkt);
    return true;
}

/* To every other host of the zone: a link. The public network is none. */
static void to_all(struct sim_net *net, unsigned zone, const struct pv_natpkt *pkt)
{
    for (unsigned i = 0; zone != SIM_PUBLIC && i < net->n_hosts; i++) {
        struct sim_host *host = net->hosts[i];
        if (host->zone != zone || !host->on || sim_host_has(host, &pkt->src, false))
            continue;
        sim_link_send(&host->down, pv_view(pkt->data, pkt->len), 0, net->now);
        sim_wake(net, &host->down_wake, pv_link_next(&host->down));
    }
}

/* A packet in a zone. from = the zone whose NAT put it here (it does not go back there), or the
 * zone itself when a host sent it or it came from above. */
static void route(struct sim_net *net, unsigned zone, bool may_rise, uint8_t *data, size_t len)
{
    struct pv_natpkt pkt;
    if (pv_natpkt_parse(data, len, &pkt) < 0 || (zone == SIM_PUBLIC && !cross_public(net, &pkt))) {
        net->unroutable++;
        return;
    }
    if (pv_addr_is_multicast(&pkt.dst)) {
        to_all(net, zone, &pkt);
        return;
    }
    for (unsigned i = 0; i < net->n_hosts; i++) {
        struct sim_host *host = net->hosts[i];
        if (host->zone != zone || !host->on || !sim_host_has(host, &pkt.dst, false))
            continue;
        sim_link_send(&host->down, pv_view(data, len), 0, net->now);
        sim_wake(net, &host->down_wake, pv_link_next(&host->down));
        return;
    }
    for (unsigned i = 1; i < net->n_zones; i++) {
        if (net->zones[i]->outer == zone && nat_owns(net, i, &pkt.dst)) {
            into_nat(net, i, PV_NAT_OUTSIDE, data, len);
            return;
        }
    }
    if (zone != SIM_PUBLIC && may_rise)
        into_nat(net, zone, PV_NAT_INSIDE, data, len);
    else
        net->unroutable++;
}

/* Is it an address of somebody on another side? */
static bool is_apart(const struct sim_net *net, const struct sim_host *host,
                     const struct pv_addr *dst)
{
    for (unsigned i = 0; net->in_pieces && i < net->n_hosts; i++) {
        if (net->hosts[i]->side != host->side && sim_host_has(net->hosts[i], dst, false))
            return true;
    }
    return false;
}

bool sim_net_send(struct sim_net *net, unsigned id, const struct pv_addr *src,
                  const struct pv_addr *dst, uint8_t ttl, struct pv_view payload)
{
    struct sim_host *host = net->hosts[id];
    struct pv_addr from = *src;
    if (sim_fault(SIM_FAULT_SEND))
        return false;
    if (net->tap != NULL && !net->tap(net->tap_ctx, id, dst, payload))
        return true;
    if (host->no_datagrams || is_apart(net, host, dst))
        return true;
    if (net->walled && id != net->wall && !sim_host_has(net->hosts[net->wall], dst, false))
        return true;
    for (unsigned i = 0;
         i < host->n_addrs && (from.family == PV_AF_NONE || pv_addr_is_unspecified(&from)); i++) {
        if (host->addrs[i].family == dst->family && !host->overlay[i]) {
            uint16_t port = from.port;
            from = host->addrs[i];
            from.port = port;
        }
    }
    uint8_t buf[2048];
    size_t len = 0;
    if (!host->on || !sim_host_has(host, &from, false) ||
        (len = pv_natpkt_udp(buf, sizeof(buf), &from, dst, payload)) == 0)
        return false;
    struct pv_natpkt pkt;
    int r = pv_natpkt_parse(buf, len, &pkt);
    assert(r == PV_OK);
    (void)r;
    if (ttl != 0)
        pv_natpkt_set_ttl(&pkt, ttl);
    sim_link_send(&host->up, pv_view(buf, len), 0, net->now);
    sim_wake(net, &host->up_wake, pv_link_next(&host->up));
    return true;
}

void sim_net_set_tap(struct sim_net *net,
                     bool (*tap)(void *ctx, unsigned host, const struct pv_addr *dst,
                                 struct pv_view payload),
                     void *ctx)
{
    net->tap = tap;
    net->tap_ctx = ctx;
}

void sim_net_set_wall(struct sim_net *net, unsigned host)
{
    net->walled = host != SIM_NO_WALL;
    net->wall = host;
}

/* ---- timers ---- */

void sim_net_timer(struct sim_net *net, unsigned host, pv_ns when)
{
    sim_wake(net, &net->hosts[host]->timer, when < net->now ? net->now : when);
}

void sim_net_at(struct sim_net *net, pv_ns when, uint64_t tag)
{
    struct sim_at *at = calloc(1, sizeof(*at));
    assert(at != NULL);
    at->wake.kind = SIM_WAKE_AT;
    at->tag = tag;
    at->next = net->ats;
    if (at->next != NULL)
        at->next->prev = at;
    net->ats = at;
    sim_wake(net, &at->wake, when < net->now ? net->now : when);
}

static void finish_at(struct sim_net *net, struct sim_at *at, struct sim_event *event)
{
    event->kind = SIM_AT;
    event->tag = at->tag;
    if (at->prev != NULL)
        at->prev->next = at->next;
    else
        net->ats = at->next;
    if (at->next != NULL)
        at->next->prev = at->prev;
    net->n_wakes--;
    free(at);
}

/* ---- the clock ---- */

/* Keeps data for the event until the next one. */
void sim_hold(struct sim_net *net, uint8_t *data)
{
    free(net->data);
    net->data = data;
}

static void run_nat(struct sim_net *net, unsigned zone)
{
    struct sim_zone *z = net->zones[zone];
    enum pv_nat_side side = PV_NAT_INSIDE;
    uint8_t *data = NULL;
    size_t len = 0;
    while (pv_nat_output(z->nat, net->now, &side, &data, &len) == PV_OK) {
        if (side == PV_NAT_OUTSIDE)
            route(net, z->outer, true, data, len);
        else
            route(net, zone, false, data, len);
        free(data);
    }
    sim_wake(net, &z->wake, pv_nat_next(z->nat));
}

static void run_up(struct sim_net *net, struct sim_host *host)
{
    uint8_t *data = NULL;
    size_t len = 0;
    while (pv_link_receive(&host->up, net->now, &data, &len, NULL) == PV_OK) {
        route(net, host->zone, true, data, len);
        free(data);
    }
    sim_wake(net, &host->up_wake, pv_link_next(&host->up));
}

enum {
    UDP_HEADER = 8, /* bytes, RFC 768 */
};

/* An ICMP error of a router about a datagram of the host. */
static bool take_error(const struct pv_natpkt *pkt, unsigned id, struct sim_event *event)
{
    struct pv_natpkt quoted;
    if (pkt->data[pkt->l4] != ICMP_TIME_EXCEEDED || pv_natpkt_quoted(pkt, &quoted) < 0 ||
        quoted.proto != PV_NATPKT_UDP)
        return false;
    event->kind = SIM_EXPIRED;
    event->host = id;
    event->local = quoted.src;
    event->remote = pkt->src;
    const uint8_t *payload = quoted.data + quoted.l4 + UDP_HEADER;
    if (payload < pkt->data + pkt->len)
        event->data = pv_view(payload, (size_t)(pkt->data + pkt->len - payload));
    return true;
}

/* True: a datagram was delivered. */
static bool run_down(struct sim_net *net, unsigned id, struct sim_event *event)
{
    struct sim_host *host = net->hosts[id];
    uint8_t *data = NULL;
    size_t len = 0;
    int r = pv_link_receive(&host->down, net->now, &data, &len, NULL);
    sim_wake(net, &host->down_wake, pv_link_next(&host->down));
    if (r < 0)
        return false;
    sim_hold(net, data);
    struct pv_natpkt pkt;
    if (pv_natpkt_parse(data, len, &pkt) < 0 || (!pkt.fragment && !pv_natpkt_checksum_ok(&pkt)))
        return false;
    if (pkt.kind == PV_NATPKT_ERROR && pkt.src.family == PV_AF_INET)
        return take_error(&pkt, id, event);
    if (pkt.proto != PV_NATPKT_UDP || pkt.fragment || host->no_datagrams)
        return false;
    event->kind = SIM_DATAGRAM;
    event->host = id;
    event->local = pkt.dst;
    event->remote = pkt.src;
    event->ttl = pkt.ttl;
    event->data = pv_natpkt_payload(&pkt);
    return true;
}

static bool run_wake(struct sim_net *net, struct sim_wake *wake, struct sim_event *event)
{
    switch (wake->kind) {
    case SIM_WAKE_NAT:
        run_nat(net, wake->index);
        return false;
    case SIM_WAKE_UP:
        run_up(net, net->hosts[wake->index]);
        return false;
    case SIM_WAKE_DOWN:
        return run_down(net, wake->index, event);
    case SIM_WAKE_TIMER:
        event->kind = SIM_TIMER;
        event->host = wake->index;
        return net->hosts[wake->index]->on;
    case SIM_WAKE_STREAM:
        return sim_streams_run(net, wake, event);
    case SIM_WAKE_AT:
        finish_at(net, PV_CONTAINER_OF(wake, struct sim_at, wake), event);
        return true;
    }
    return false;
}

static void record(struct sim_net *net, const struct sim_event *e)
{
    uint64_t head[5] = {e->now, (uint64_t)e->kind, e->host, e->stream, e->tag};
    sim_net_mix(net, head, sizeof(head));
    sim_net_mix(net, &e->local, sizeof(e->local));
    sim_net_mix(net, &e->remote, sizeof(e->remote));
    if (e->data.len > 0)
        sim_net_mix(net, e->data.ptr, e->data.len);
}

int sim_net_next(struct sim_net *net, pv_ns until, struct sim_event *ret_event)
{
    for (;;) {
        pv_ns next = pv_heap_next(&net->heap);
        if (next > until) {
            if (until > net->now)
                net->now = until;
            return PV_ERR_AGAIN;
        }
        if (next > net->now)
            net->now = next;
        struct pv_heap_node *node = pv_heap_pop_due(&net->heap, net->now);
        struct sim_wake *wake = PV_CONTAINER_OF(node, struct sim_wake, node);
        struct sim_event event = {.now = net->now};
        if (run_wake(net, wake, &event)) {
            record(net, &event);
            *ret_event = event;
            return PV_OK;
        }
    }
}

/* --- seeds ----------------------------------------------------------------------------------- */

struct range {
    uint64_t first, last;
};

/* SEED=N: this one; PV_SIM_SEEDS=LAST or FIRST-LAST. */
static struct range range_of(uint64_t n)
{
    const char *one = getenv("SEED"), *many = getenv("PV_SIM_SEEDS");
    struct range r = {1, n};
    char *end = NULL;
    if (one != NULL && strtoull(one, NULL, 10) != 0) {
        r.first = r.last = strtoull(one, NULL, 10);
    } else if (many != NULL && many[0] != '\0') {
        r.last = strtoull(many, &end, 10);
        if (*end == '-') {
            r.first = r.last;
            r.last = strtoull(end + 1, NULL, 10);
        }
    }
    return r;
}

bool sim_is_long(void)
{
    const char *value = getenv("PV_SIM_LONG");
    return value != NULL && strcmp(value, "1") == 0;
}

/* The run that is under way. */
static struct {
    jmp_buf *end; /* NULL: there is none */
    uint64_t seed;
    char name[200]; /* of the case */
} run_now;

bool sim_run(uint64_t seed, void (*run)(uint64_t seed, void *ctx), void *ctx)
{
    jmp_buf end;
    run_now.end = &end;
    run_now.seed = seed;
    run_now.name[0] = '\0';
    bool good = setjmp(end) == 0;
    if (good)
        run(seed, ctx);
    run_now.end = NULL;
    return good;
}

void sim_fail(void)
{
    if (run_now.end == NULL)
        abort();
    longjmp(*run_now.end, 1);
}

uint64_t sim_seed(void)
{
    return run_now.seed;
}

void sim_case(const char *format, ...)
{
    char text[sizeof(run_now.name)]; /* what is there already may be an argument */
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    memcpy(run_now.name, text, sizeof(text));
}

const char *sim_case_name(void)
{
    return run_now.name;
}

unsigned sim_failures(uint64_t n, void (*run)(uint64_t seed, void *ctx), void *ctx)
{
    struct range seeds = range_of(n);
    unsigned failed = 0;
    assert_true(seeds.first <= seeds.last);
    for (uint64_t seed = seeds.first; seed <= seeds.last; seed++) {
        if (sim_run(seed, run, ctx))
            continue;
        failed++;
        const char *name = program_invocation_short_name; /* sim_NAME, the test sim/NAME */
        printf("SEED=%" PRIu64 " scripts/test sim/%s\n", seed,
               name + (strncmp(name, "sim_", 4) == 0 ? 4 : 0));
    }
    return failed;
}

void sim_seeds(uint64_t n, void (*run)(uint64_t seed, void *ctx), void *ctx)
{
    assert_int_equal(sim_failures(n, run, ctx), 0);
}
