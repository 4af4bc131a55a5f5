/* SPDX-License-Identifier: MIT */
/*
 * portmap.c - PCP (RFC 6887): messages, and a client that keeps one UDP port mapped at one router.
 * PCP has no authentication, so an answer counts only from the router's address and PCP port, with
 * our nonce, protocol and inner port (s11.4). An attacker who can forge that stands on the local
 * network and could redirect the traffic anyway.
 */
#include "proto/stun/portmap.h"

#include <string.h>

#include "base/bytes.h"

enum {
    RESPONSE = 0x80,   /* R, RFC 6887 s7.2 */
    OPTION_HEADER = 4, /* bytes, RFC 6887 s7.3 */
    ASK_SENDS = 4,     /* ours: RFC 6887 s8.1.1 never ends; other protocols wait for their turn */
    RELEASE_SENDS = 3, /* ours */
};
/* Ours: NAT-PMP's first wait (RFC 6886 s3.1); RFC 6887 s8.1.1 recommends 3 s, too slow for a
 * router that is one hop away. Doubling. */
#define ASK_FIRST      PV_MS(250)
#define ASK_LAST       PV_S(2) /* after the last request */
#define RENEW_MIN      PV_S(4) /* between renewals, RFC 6887 s11.2.1 */
#define ANNOUNCED_WAIT PV_S(5) /* at most, RFC 6887 s14.1.3 */

const char *pv_portmap_code_text(unsigned code)
{
    static const char *const texts[] = {
        [PV_PORTMAP_SUCCESS] = "it succeeded",
        [PV_PORTMAP_UNSUPP_VERSION] = "it speaks another version",
        [PV_PORTMAP_NOT_AUTHORIZED] = "it does not allow it",
        [PV_PORTMAP_MALFORMED_REQUEST] = "it does not understand the request",
        [PV_PORTMAP_UNSUPP_OPCODE] = "it does not map ports",
        [PV_PORTMAP_UNSUPP_OPTION] = "it lacks an option",
        [PV_PORTMAP_MALFORMED_OPTION] = "it does not understand an option",
        [PV_PORTMAP_NETWORK_FAILURE] = "it has no outer address now",
        [PV_PORTMAP_NO_RESOURCES] = "it has no room now",
        [PV_PORTMAP_UNSUPP_PROTOCOL] = "it does not map UDP",
        [PV_PORTMAP_USER_EX_QUOTA] = "our quota of ports is used up",
        [PV_PORTMAP_CANNOT_PROVIDE_EXTERNAL] = "it cannot give that port",
        [PV_PORTMAP_ADDRESS_MISMATCH] = "another NAT stands between us and it",
        [PV_PORTMAP_EXCESSIVE_REMOTE_PEERS] = "it allows no more peers",
    };
    return code < PV_ARRAY_LEN(texts) ? texts[code] : "it gave an unknown reason";
}

/* --- messages ------------------------------------------------------------------------------ */

/* RFC 6887 s5: always 16 bytes, IPv4 as ::ffff:a.b.c.d; "any" in the family of the client. */
static void put_ip(struct pv_writer *w, const struct pv_addr *ip, uint16_t family)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    static const uint8_t zero[16];
    if (family == PV_AF_INET)
        pv_put_bytes(w, mapped, sizeof(mapped));
    pv_put_bytes(w, ip->family == family ? ip->ip : zero, family == PV_AF_INET ? 4 : 16);
}

void pv_portmap_write_map(uint8_t buf[static PV_PORTMAP_MAP_LEN],
                          const struct pv_portmap_request *req)
{
    struct pv_writer w = pv_writer(buf, PV_PORTMAP_MAP_LEN);
    const struct pv_addr none = {.family = PV_AF_NONE};
    /* A request to delete suggests nothing (RFC 6887 s15.1). */
    const struct pv_addr *want = req->lifetime == 0 ? &none : &req->suggested;
    pv_put_u8(&w, PV_PORTMAP_VERSION);
    pv_put_u8(&w, PV_PORTMAP_MAP);
    pv_put_u16(&w, 0);
    pv_put_u32(&w, req->lifetime);
    put_ip(&w, &req->client, req->client.family);
    pv_put_bytes(&w, req->nonce, sizeof(req->nonce));
    pv_put_u32(&w, (uint32_t)PV_PORTMAP_UDP << 24);
    pv_put_u16(&w, req->client.port);
    pv_put_u16(&w, want->port);
    put_ip(&w, want, req->client.family);
}

static int check_options(struct pv_view rest)
{
    while (rest.len > 0) { /* a multiple of 4 */
        size_t len = OPTION_HEADER + (((size_t)pv_load_be16(rest.ptr + 2) + 3) & ~(size_t)3);
        if (len > rest.len)
            return PV_ERR_MALFORMED;
        rest = pv_view(rest.ptr + len, rest.len - len);
    }
    return PV_OK;
}

/* The version error comes first, whatever the rest looks like: a NAT-PMP router answers a PCP
 * request in its own format, and only the code tells (RFC 6887 s9). */
int pv_portmap_decode(struct pv_view d, struct pv_portmap_answer *ret_answer)
{
    if (d.len < 4)
        return PV_ERR_TRUNCATED;
    struct pv_portmap_answer a = {.version = d.ptr[0], .opcode = d.ptr[1] & 0x7f, .code = d.ptr[3]};
    if ((d.ptr[1] & RESPONSE) == 0)
        return PV_ERR_MALFORMED;
    if (a.code == PV_PORTMAP_UNSUPP_VERSION) { /* of any form, NAT-PMP's too (RFC 6887 s9) */
        *ret_answer = a;
        return PV_OK;
    }
    if (a.version != PV_PORTMAP_VERSION)
        return PV_ERR_MALFORMED;
    if (d.len > PV_PORTMAP_MAX_LEN)
        return PV_ERR_LIMIT;
    size_t fixed = a.opcode == PV_PORTMAP_MAP ? PV_PORTMAP_MAP_LEN : PV_PORTMAP_HEADER_LEN;
    if (d.len < fixed)
        return PV_ERR_TRUNCATED;
    if (d.len % 4 != 0)
        return PV_ERR_MALFORMED;
    a.lifetime = pv_load_be32(d.ptr + 4);
    a.epoch = pv_load_be32(d.ptr + 8);
    if (a.opcode == PV_PORTMAP_MAP) {
        const uint8_t *map = d.ptr + PV_PORTMAP_HEADER_LEN;
        memcpy(a.nonce, map, sizeof(a.nonce));
        a.protocol = map[12];
        a.internal_port = pv_load_be16(map + 16);
        a.external = pv_addr_unmap(pv_addr6(map + 20, pv_load_be16(map + 18)));
    }
    /* An error repeats the request, whose options are none of ours to judge. */
    int r = a.code == PV_PORTMAP_SUCCESS && a.opcode <= PV_PORTMAP_MAP
                ? check_options(pv_view(d.ptr + fixed, d.len - fixed))
                : PV_OK;
    if (r == PV_OK)
        *ret_answer = a;
    return r;
}

/* RFC 6887 s8.5: the router's clock must advance as ours does, give or take 1/16 and two seconds. A
 * clock that runs otherwise belongs to a router that restarted and lost its mappings. */
bool pv_portmap_epoch_take(struct pv_portmap_epoch *e, uint32_t server, pv_ns now)
{
    bool valid = true;
    if (e->known) {
        bool back = server < e->server; /* by up to a second it is reordering */
        uint64_t ours = (now - e->at) / PV_S(1);
        uint64_t theirs = back ? 0 : server - e->server;
        valid = (!back || e->server - server <= 1) && ours + 2 >= theirs - theirs / 16 &&
                theirs + 2 >= ours - ours / 16;
    }
    *e = (struct pv_portmap_epoch){.known = true, .server = server, .at = now};
    return valid;
}

/* --- the client ---------------------------------------------------------------------------- */

/* One event is kept. A later one replaces it, which is right: only the present state counts. */
static void set_event(struct pv_portmap *p, struct pv_portmap_event event)
{
    p->event = event;
    p->event_due = true;
}

static void end_failed(struct pv_portmap *p, int status, unsigned code, pv_ns retry_in)
{
    p->state = PV_PORTMAP_IDLE;
    set_event(p,
              (struct pv_portmap_event){
                  .type = PV_PORTMAP_FAILED, .status = status, .code = code, .retry_in = retry_in});
}

static void start_asking(struct pv_portmap *p, pv_ns when)
{
    p->state = PV_PORTMAP_ASKING;
    p->sends = 0;
    p->due = when;
}

/* The epoch of the same router is kept over a restart of the client: losing it would hide a reboot
 * of the router that happened in between. */
void pv_portmap_start(struct pv_portmap *p, const struct pv_portmap_config *cfg,
                      const struct pv_rng *rng, pv_ns now)
{
    struct pv_portmap_epoch epoch = {.known = false};
    if (pv_addr_equal_ip(&p->cfg.router, &cfg->router))
        epoch = p->epoch;
    *p = (struct pv_portmap){.cfg = *cfg, .rng = *rng, .epoch = epoch, .now = now};
    start_asking(p, now);
}

void pv_portmap_again(struct pv_portmap *p, pv_ns now)
{
    p->now = now;
    if (p->state == PV_PORTMAP_HELD)
        start_asking(p, now);
}

void pv_portmap_release(struct pv_portmap *p, pv_ns now)
{
    p->now = now;
    p->event_due = false;
    /* One that asks may have been answered without our knowing. */
    if (p->state != PV_PORTMAP_IDLE)
        p->state = PV_PORTMAP_RELEASING;
    p->sends = 0;
    p->due = now;
}

/* Plans the next renewal: at half the life, then at half of what is left, each with a jitter of a
 * quarter of the rest, so that the clients of a router do not renew in step: 1/2 to 5/8, 3/4 to
 * 13/16, 7/8 to 29/32 (RFC 6887 s11.2.1). */
static void plan_renewal(struct pv_portmap *p)
{
    pv_ns life = p->expires - p->held_at;
    pv_ns left = life >> (p->sends + 1 < 16 ? p->sends + 1 : 16);
    pv_ns when = p->expires - left;
    if (left / 4 > PV_MS(1))
        when += PV_MS(pv_rng_below(&p->rng, (uint32_t)(left / 4 / PV_MS(1))));
    if (p->sends > 0 && when < p->asked_at + RENEW_MIN)
        when = p->asked_at + RENEW_MIN;
    p->due = pv_min_ns(when, p->expires);
}

/* A router may map another outer port than before, or for longer than a day; the lifetime is capped
 * (RFC 6887 s15), so that a router's restart that nobody announced is noticed some day. */
static void hold_mapping(struct pv_portmap *p, const struct pv_portmap_answer *a, pv_ns now)
{
    uint32_t life =
        a->lifetime < PV_PORTMAP_LIFETIME_MAX ? a->lifetime : (uint32_t)PV_PORTMAP_LIFETIME_MAX;
    bool changed = p->state != PV_PORTMAP_HELD || !pv_addr_equal(&p->external, &a->external);
    p->state = PV_PORTMAP_HELD;
    p->external = a->external;
    p->cfg.suggested = a->external; /* RFC 6887 s11.2.1 */
    p->held_at = now;
    p->expires = now + PV_S(life);
    p->sends = 0;
    plan_renewal(p);
    if (changed)
        set_event(p, (struct pv_portmap_event){.type = PV_PORTMAP_MAPPED, .external = a->external});
}

/* An answer to the release ends it, whatever the answer says: an error would only repeat. A success
 * without a usable address is a mapping to nowhere and counts as the router's failure. */
static void take_map(struct pv_portmap *p, const struct pv_portmap_answer *a, pv_ns now)
{
    uint32_t wait =
        a->lifetime < PV_PORTMAP_ERROR_MAX ? a->lifetime : (uint32_t)PV_PORTMAP_ERROR_MAX;
    if (p->state == PV_PORTMAP_RELEASING)
        p->state = PV_PORTMAP_IDLE;
    else if (a->code != PV_PORTMAP_SUCCESS)
        end_failed(p, PV_ERR_REFUSED, a->code, PV_S(wait));
    else if (a->lifetime == 0 || a->external.port == 0 || pv_addr_is_unspecified(&a->external))
        end_failed(p, PV_ERR_REFUSED, PV_PORTMAP_NETWORK_FAILURE, 0); /* a mapping to nowhere */
    else
        hold_mapping(p, a, now);
}

/* Two opcodes arrive: MAP answers our request, ANNOUNCE tells everybody that the router has
 * restarted. An ANNOUNCE is answered after a random wait, as all clients of the network hear it at
 * once (RFC 6887 s14.1.3). */
int pv_portmap_handle_input(struct pv_portmap *p, const struct pv_addr *src,
                            struct pv_view datagram, pv_ns now)
{
    struct pv_portmap_answer a;
    if (p->state == PV_PORTMAP_IDLE || src->port != PV_PORTMAP_PORT ||
        !pv_addr_equal_ip(src, &p->cfg.router))
        return PV_ERR_NOT_FOUND;
    int r = pv_portmap_decode(datagram, &a);
    if (r < 0)
        return r;
    p->now = now;
    if (a.code == PV_PORTMAP_UNSUPP_VERSION) {
        if (p->state == PV_PORTMAP_ASKING)
            end_failed(p, PV_ERR_UNSUPPORTED, a.code, PV_S(PV_PORTMAP_ERROR_MAX));
        return PV_OK;
    }
    if (a.opcode == PV_PORTMAP_MAP) {
        if (p->sends == 0 && p->state == PV_PORTMAP_ASKING)
            return PV_ERR_NOT_FOUND; /* nothing was asked yet */
        if (a.protocol != PV_PORTMAP_UDP || a.internal_port != p->cfg.client.port ||
            memcmp(a.nonce, p->cfg.nonce, sizeof(a.nonce)) != 0)
            return PV_ERR_NOT_FOUND;
    } else if (a.opcode != PV_PORTMAP_ANNOUNCE) {
        return PV_ERR_NOT_FOUND;
    }
    bool same = pv_portmap_epoch_take(&p->epoch, a.epoch, now);
    if (a.opcode == PV_PORTMAP_MAP)
        take_map(p, &a, now);
    else if (!same && p->state == PV_PORTMAP_HELD)
        start_asking(p, now + PV_MS(pv_rng_below(&p->rng, (uint32_t)(ANNOUNCED_WAIT / PV_MS(1)))));
    return PV_OK;
}

/* A client that slept through all renewals, as on a suspended machine, knows nothing of the router:
 * it is asked as at the beginning. */
void pv_portmap_handle_timeout(struct pv_portmap *p, pv_ns now)
{
    p->now = now;
    if (p->state == PV_PORTMAP_IDLE || now < p->due)
        return;
    if (p->state == PV_PORTMAP_ASKING && p->sends == ASK_SENDS)
        end_failed(p, PV_ERR_TIMEOUT, 0, 0);
    else if (p->state == PV_PORTMAP_HELD && now >= p->expires && p->sends == 0)
        start_asking(p, now);
    else if (p->state == PV_PORTMAP_HELD && now >= p->expires)
        end_failed(p, PV_ERR_TIMEOUT, 0, 0);
    else if (p->state == PV_PORTMAP_RELEASING && p->sends == RELEASE_SENDS)
        p->state = PV_PORTMAP_IDLE;
}

pv_ns pv_portmap_next_timeout(const struct pv_portmap *p)
{
    return p->state == PV_PORTMAP_IDLE ? PV_NEVER : p->due;
}

/* Requests of a series are repeated at doubling distance; after the last one of a failed series
 * other protocols get their turn after ASK_LAST. */
static void plan_next(struct pv_portmap *p)
{
    if (p->state == PV_PORTMAP_HELD) {
        plan_renewal(p);
        return;
    }
    bool last = p->sends == (p->state == PV_PORTMAP_ASKING ? ASK_SENDS : RELEASE_SENDS);
    pv_ns wait = last && p->state == PV_PORTMAP_ASKING ? ASK_LAST : ASK_FIRST << (p->sends - 1);
    p->due = p->now + wait;
}

int pv_portmap_poll_transmit(struct pv_portmap *p, uint8_t buf[static PV_PORTMAP_MAP_LEN])
{
    unsigned most = p->state == PV_PORTMAP_ASKING      ? (unsigned)ASK_SENDS
                    : p->state == PV_PORTMAP_RELEASING ? (unsigned)RELEASE_SENDS
                                                       : UINT32_MAX;
    if (p->state == PV_PORTMAP_IDLE || p->now < p->due || p->sends >= most ||
        (p->state == PV_PORTMAP_HELD && p->now >= p->expires))
        return PV_ERR_AGAIN;
    struct pv_portmap_request req = {
        .client = p->cfg.client,
        .suggested = p->cfg.suggested,
        .lifetime = p->state == PV_PORTMAP_RELEASING ? 0 : PV_PORTMAP_LIFETIME,
    };
    memcpy(req.nonce, p->cfg.nonce, sizeof(req.nonce));
    pv_portmap_write_map(buf, &req);
    p->sends++;
    p->asked_at = p->now;
    plan_next(p);
    return PV_OK;
}

int pv_portmap_poll_event(struct pv_portmap *p, struct pv_portmap_event *ret_event)
{
    if (!p->event_due)
        return PV_ERR_AGAIN;
    p->event_due = false;
    *ret_event = p->event;
    return PV_OK;
}
