/* SPDX-License-Identifier: MIT */
/*
 * routercheck.c - asks the router whether it speaks PCP, NAT-PMP or UPnP-IGD, and counts the NATs
 * on the way out. One socket asks all three at once, three times each. Answers are unauthenticated,
 * so they are shown and never acted upon; mapping a port is portmap.c's business, which checks
 * more.
 */
#include "proto/stun/routercheck.h"

#include <string.h>

#include "base/bytes.h"

enum ask {
    PCP,
    NATPMP,
    UPNP,
};

enum {
    PCP_VERSION = 2,      /* RFC 6887 s7.1 */
    PCP_HEADER = 24,      /* bytes, RFC 6887 s7.1, s7.2: all of an ANNOUNCE */
    NATPMP_VERSION = 0,   /* RFC 6886 s3.1 */
    NATPMP_REQUEST = 2,   /* bytes, RFC 6886 s3.2 */
    NATPMP_RESPONSE = 12, /* bytes, RFC 6886 s3.2 */
    RESPONSE = 128,       /* added to the opcode of a request, both protocols */
    SUCCESS = 0,          /* result code, both protocols (RFC 6886 s3.5, RFC 6887 s7.4) */
};

/* When each request leaves, in ms. Ours: the router is one hop away, so 150 ms is plenty for an
 * answer, and two repetitions survive a lossy radio link. */
static const uint16_t SEND_AT[PV_ROUTERCHECK_SENDS] = {0, 150, 400};

/* UPnP Device Architecture 1.1 s1.3.2; devices of version 2 answer for version 1. */
static const char SEARCH[] = "M-SEARCH * HTTP/1.1\r\n"
                             "HOST: 239.255.255.250:1900\r\n"
                             "MAN: \"ssdp:discover\"\r\n"
                             "MX: 1\r\n"
                             "ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n"
                             "\r\n";
_Static_assert(sizeof(SEARCH) <= PV_ROUTERCHECK_MTU, "the search fits");

static void end_check(struct pv_routercheck *rc)
{
    rc->running = false;
    rc->event_due = true;
}

void pv_routercheck_start(struct pv_routercheck *rc, const struct pv_addr *router,
                          const struct pv_addr *local, pv_ns now)
{
    *rc = (struct pv_routercheck){.router = *router,
                                  .local = *local,
                                  .now = now,
                                  .deadline = now + PV_MS(PV_ROUTERCHECK_MS),
                                  .running = true};
    if (router->family != PV_AF_INET || local->family != PV_AF_INET) {
        end_check(rc);
        return;
    }
    rc->result.router = *router;
    rc->result.router.port = 0;
    rc->result.pcp = PV_NETCHECK_NO;
    rc->result.natpmp = PV_NETCHECK_NO;
    rc->result.upnp = PV_NETCHECK_NO;
    for (size_t i = 0; i < PV_ARRAY_LEN(rc->asks); i++)
        rc->asks[i].due = now;
}

/* --- answers ------------------------------------------------------------------------------- */

/* An answer to ANNOUNCE; a server that is there but not for us does not count. */
static bool take_pcp(struct pv_routercheck *rc, struct pv_view d)
{
    if (d.len < PCP_HEADER || d.len % 4 != 0 || d.ptr[0] != PCP_VERSION || d.ptr[1] != RESPONSE)
        return false;
    if (d.ptr[3] == SUCCESS)
        rc->result.pcp = PV_NETCHECK_YES;
    rc->asks[PCP].done = true;
    return true;
}

/* RFC 6886 s3.2; also what a router without PCP says to a PCP request (s3.5, version 0). */
static bool take_natpmp(struct pv_routercheck *rc, struct pv_view d)
{
    if (d.len < 4 || d.ptr[0] != NATPMP_VERSION || d.ptr[1] < RESPONSE)
        return false;
    if (d.len != NATPMP_RESPONSE || d.ptr[1] != RESPONSE || pv_load_be16(d.ptr + 2) != SUCCESS)
        return true;
    rc->result.natpmp = PV_NETCHECK_YES;
    struct pv_addr a = pv_addr4_u32(pv_load_be32(d.ptr + 8), 0);
    if (!pv_addr_is_unspecified(&a))
        rc->result.external = a;
    rc->asks[NATPMP].done = true;
    return true;
}

/* Headers of SSDP answers come in any order and case of vendors' taste; two fixed texts identify a
 * gateway without parsing HTTP. */
static bool view_starts_with(struct pv_view d, const char *text)
{
    return d.len >= strlen(text) && memcmp(d.ptr, text, strlen(text)) == 0;
}

static bool contains_text(struct pv_view d, const char *text)
{
    for (; d.len >= strlen(text); d = pv_view(d.ptr + 1, d.len - 1))
        if (view_starts_with(d, text))
            return true;
    return false;
}

static bool take_upnp(struct pv_routercheck *rc, struct pv_view d)
{
    if (!view_starts_with(d, "HTTP/1.1 200") || !contains_text(d, "InternetGatewayDevice:"))
        return false;
    rc->result.upnp = PV_NETCHECK_YES;
    rc->asks[UPNP].done = true;
    return true;
}

int pv_routercheck_handle_input(struct pv_routercheck *rc, const struct pv_addr *src,
                                struct pv_view datagram, pv_ns now)
{
    bool taken = false;
    if (!rc->running || !pv_addr_equal_ip(src, &rc->router))
        return PV_ERR_NOT_FOUND;
    rc->now = now;
    if (src->port == PV_ROUTERCHECK_PORT)
        taken = take_pcp(rc, datagram) || take_natpmp(rc, datagram);
    else /* RFC 6970: answers come from any port */
        taken = take_upnp(rc, datagram);
    if (rc->asks[PCP].done && rc->asks[NATPMP].done && rc->asks[UPNP].done)
        end_check(rc);
    return taken ? PV_OK : PV_ERR_NOT_FOUND;
}

/* --- time and requests --------------------------------------------------------------------- */

void pv_routercheck_handle_timeout(struct pv_routercheck *rc, pv_ns now)
{
    rc->now = now;
    if (rc->running && now >= rc->deadline)
        end_check(rc);
}

pv_ns pv_routercheck_next_timeout(const struct pv_routercheck *rc)
{
    pv_ns next = rc->deadline;
    if (!rc->running)
        return PV_NEVER;
    for (size_t i = 0; i < PV_ARRAY_LEN(rc->asks); i++)
        if (!rc->asks[i].done && rc->asks[i].sends < PV_ROUTERCHECK_SENDS)
            next = pv_min_ns(next, rc->asks[i].due);
    return next;
}

/* An ANNOUNCE asks a PCP server for nothing (RFC 6887 s14.1), so the check leaves no mapping
 * behind. NAT-PMP's request for the external address is equally harmless. */
static size_t write_query(const struct pv_routercheck *rc, size_t what, uint8_t *buf)
{
    if (what == UPNP) {
        memcpy(buf, SEARCH, sizeof(SEARCH) - 1);
        return sizeof(SEARCH) - 1;
    }
    memset(buf, 0, PCP_HEADER); /* NAT-PMP: version 0, opcode 0, external address */
    if (what == NATPMP)
        return NATPMP_REQUEST;
    buf[0] = PCP_VERSION; /* opcode 0 = ANNOUNCE, lifetime 0 */
    buf[18] = 0xff;       /* our address, IPv4-mapped (RFC 6887 s5) */
    buf[19] = 0xff;
    memcpy(buf + 20, rc->local.ip, 4);
    return PCP_HEADER;
}

int pv_routercheck_poll_transmit(struct pv_routercheck *rc, uint8_t buf[static PV_ROUTERCHECK_MTU],
                                 struct pv_addr *ret_dst, size_t *ret_len)
{
    for (size_t i = 0; rc->running && i < PV_ARRAY_LEN(rc->asks); i++) {
        if (rc->asks[i].done || rc->asks[i].sends == PV_ROUTERCHECK_SENDS ||
            rc->asks[i].due > rc->now)
            continue;
        unsigned n = ++rc->asks[i].sends;
        if (n < PV_ROUTERCHECK_SENDS)
            rc->asks[i].due = rc->now + PV_MS(SEND_AT[n] - SEND_AT[n - 1]);
        *ret_len = write_query(rc, i, buf);
        *ret_dst = rc->router;
        ret_dst->port = PV_ROUTERCHECK_PORT;
        if (i == UPNP)
            *ret_dst = pv_addr4(239, 255, 255, 250, PV_ROUTERCHECK_SSDP_PORT);
        return PV_OK;
    }
    return PV_ERR_AGAIN;
}

int pv_routercheck_poll_event(struct pv_routercheck *rc, struct pv_routercheck_result *ret_result)
{
    if (!rc->event_due)
        return PV_ERR_AGAIN;
    rc->event_due = false;
    *ret_result = rc->result;
    return PV_OK;
}

/* Addresses of somebody's network, whose way out is translated. Carriers number their own routers
 * from the other private ranges, without translating behind them. */
static bool is_translated(const struct pv_addr *a)
{
    return (a->ip[0] == 192 && a->ip[1] == 168) || (a->ip[0] == 100 && (a->ip[1] & 0xc0) == 64);
}

/* Reads the number of NATs from the private addresses on the way out. Two networks of home ranges
 * mean two NATs; a second network of the carriers' ranges may be routed only, hence "unknown" (-1)
 * instead of a guess. */
static int levels_of_trace(const struct pv_routercheck_trace *t)
{
    const struct pv_addr *network = NULL;
    bool silent = false, out = t->reached;
    for (size_t i = 0; i < t->n; i++) {
        const struct pv_addr *hop = &t->hops[i];
        if (hop->family != PV_AF_INET) {
            silent = true;
            continue;
        }
        if (!pv_addr_is_private(hop)) {
            out = true;
            break;
        }
        if (network == NULL)
            network = hop;
        if (memcmp(network->ip, hop->ip, 3) == 0)
            continue;
        if (is_translated(hop))
            return 2;
        silent = true; /* it may translate or not */
    }
    return out && !silent ? 1 : -1;
}

int pv_routercheck_levels(const struct pv_routercheck_result *router,
                          const struct pv_netcheck_result *nat,
                          const struct pv_routercheck_trace *trace)
{
    if (!nat->reached || nat->translated == PV_NETCHECK_UNKNOWN)
        return -1;
    if (nat->translated == PV_NETCHECK_NO)
        return 0;
    if (router->external.family == PV_AF_NONE)
        return levels_of_trace(trace);
    for (size_t i = 0; i < nat->n_publics; i++)
        if (pv_addr_equal_ip(&nat->publics[i], &router->external))
            return 1;
    return 2;
}
