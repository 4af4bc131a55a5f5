/* SPDX-License-Identifier: MIT */
#include "sim_router.h"

#include <string.h>

#include "base/bytes.h"

enum {
    PCP_PORT = 5351,
    NOT_AUTHORIZED = 2,
    NO_RESOURCES = 8,
};

void sim_router_init(struct sim_router *r, struct sim_net *net, unsigned zone)
{
    *r = (struct sim_router){.net = net,
                             .zone = zone,
                             .host = sim_net_add_host(net, zone, NULL),
                             .addr = pv_addr4(192, 168, (uint8_t)zone, 1, 0),
                             .born = sim_net_now(net) - PV_S(1000),
                             .lifetime = 3600};
    sim_net_add_addr(net, r->host, &r->addr);
}

static struct pv_nat_config *config_of(struct sim_router *r)
{
    return pv_nat_config(sim_net_nat(r->net, r->zone));
}

static void expire(struct sim_router *r)
{
    struct pv_nat_config *c = config_of(r);
    for (unsigned i = 0; i < PV_NAT_FORWARDS; i++)
        if (c->forwards[i].port != 0 && sim_net_now(r->net) >= r->maps[i].expires)
            c->forwards[i].port = 0;
}

unsigned sim_router_mapped(struct sim_router *r)
{
    unsigned n = 0;
    expire(r);
    for (unsigned i = 0; i < PV_NAT_FORWARDS; i++)
        n += config_of(r)->forwards[i].port != 0;
    return n;
}

static bool is_taken(const struct pv_nat_config *c, uint16_t port)
{
    for (unsigned i = 0; i < PV_NAT_FORWARDS; i++)
        if (c->forwards[i].port == port)
            return true;
    return false;
}

/* Does what the MAP request says; the result code. */
static uint8_t map(struct sim_router *r, const struct pv_addr *client, const uint8_t *req,
                   uint16_t *ret_port)
{
    struct pv_nat_config *c = config_of(r);
    uint32_t lifetime = pv_load_be32(req + 4);
    unsigned at = PV_NAT_FORWARDS;
    expire(r);
    for (unsigned i = 0; i < PV_NAT_FORWARDS; i++)
        if (c->forwards[i].port != 0 && pv_addr_equal(&c->forwards[i].to, client))
            at = i;
    if (at < PV_NAT_FORWARDS && memcmp(r->maps[at].nonce, req + 24, 12) != 0)
        return NOT_AUTHORIZED; /* RFC 6887 s11.3 */
    for (unsigned i = 0; at == PV_NAT_FORWARDS && i < PV_NAT_FORWARDS; i++)
        if (c->forwards[i].port == 0) {
            at = i;
            c->forwards[i].to = *client;
        }
    if (at == PV_NAT_FORWARDS)
        return NO_RESOURCES;
    if (lifetime == 0) {
        c->forwards[at].port = 0;
        r->released++;
        return 0;
    }
    uint16_t port = c->forwards[at].port;
    if (port == 0)
        port = pv_load_be16(req + 42);
    while (c->forwards[at].port != port && (port < 1024 || is_taken(c, port)))
        port = (uint16_t)(1024 + pv_natrng_below(sim_net_rng(r->net), 64000));
    r->maps[at].expires =
        sim_net_now(r->net) + PV_S(lifetime < r->lifetime ? lifetime : r->lifetime);
    memcpy(r->maps[at].nonce, req + 24, 12);
    if (!r->lies)
        c->forwards[at].port = port;
    r->granted++;
    *ret_port = port;
    return 0;
}

static void put_epoch(const struct sim_router *r, uint8_t *answer)
{
    pv_store_be32(answer + 8, (uint32_t)((sim_net_now(r->net) - r->born) / PV_S(1)));
}

void sim_router_handle(struct sim_router *r, const struct sim_event *ev)
{
    uint8_t a[60];
    if (ev->kind != SIM_DATAGRAM || ev->local.port != PCP_PORT || r->deaf || ev->data.len != 60 ||
        ev->data.ptr[0] != 2 || ev->data.ptr[1] != 1)
        return;
    memcpy(a, ev->data.ptr, sizeof(a));
    uint16_t port = pv_load_be16(a + 42);
    uint32_t lifetime = pv_load_be32(a + 4);
    struct pv_addr client = ev->remote;
    client.port = pv_load_be16(a + 40);
    a[1] |= 0x80;
    a[3] = r->refuses != 0 ? r->refuses : map(r, &client, ev->data.ptr, &port);
    pv_store_be32(a + 4, lifetime < r->lifetime ? lifetime : r->lifetime);
    put_epoch(r, a);
    memset(a + 12, 0, 12);
    pv_store_be16(a + 42, port);
    memcpy(a + 56, config_of(r)->public_ip[0].ip, 4);
    (void)sim_net_send(r->net, r->host, &ev->local, &ev->remote, 0, pv_view(a, sizeof(a)));
}

void sim_router_restart(struct sim_router *r, const struct pv_addr *to)
{
    uint8_t announce[24] = {2, 0x80};
    struct pv_addr from = r->addr;
    for (unsigned i = 0; i < PV_NAT_FORWARDS; i++)
        config_of(r)->forwards[i].port = 0;
    if (to == NULL)
        return;
    r->born = sim_net_now(r->net);
    from.port = PCP_PORT;
    put_epoch(r, announce);
    (void)sim_net_send(r->net, r->host, &from, to, 0, pv_view(announce, sizeof(announce)));
}
