/* SPDX-License-Identifier: MIT */
/* Which peers are allowed, by tables of the address forms that lead somewhere else than they seem
 * to. */
#include "coordinator/core/turn/turnpeer.h"

#include <string.h>

#include "base/bytes.h"

/* An IPv6 address with an IPv4 address inside. */
struct embedding {
    uint8_t prefix[12];
    uint8_t prefix_len; /* bytes */
    uint8_t at;         /* where the IPv4 address begins */
    uint8_t flip;       /* it is stored xor this */
    bool never;         /* no socket sends to it as IPv6 */
};

/* The more special first: :: and ::1 are looked at before these. */
static const struct embedding forms[] = {
    {{[10] = 0xff, [11] = 0xff}, 12, 12, 0, true},  /* mapped */
    {{[8] = 0xff, [9] = 0xff}, 12, 12, 0, true},    /* translated */
    {{0}, 12, 12, 0, true},                         /* compatible */
    {{0x00, 0x64, 0xff, 0x9b}, 12, 12, 0, false},   /* NAT64, well-known */
    {{0x20, 0x02}, 2, 2, 0, false},                 /* 6to4 */
    {{0x20, 0x01, 0x00, 0x00}, 4, 12, 0xff, false}, /* Teredo */
};

/* Finds the embedding of an IPv6 address; NULL: none. :: and ::1 would match the compatible form,
 * but are addresses of their own. */
static const struct embedding *form_of(const struct pv_addr *a)
{
    static const uint8_t zero[15];
    if (a->family != PV_AF_INET6 || (memcmp(a->ip, zero, 15) == 0 && a->ip[15] <= 1))
        return NULL;
    for (size_t i = 0; i < PV_ARRAY_LEN(forms); i++) {
        if (memcmp(a->ip, forms[i].prefix, forms[i].prefix_len) == 0)
            return &forms[i];
    }
    return NULL;
}

/* Bytes 8-11 of an ISATAP interface identifier, with either value of the universal bit. */
static bool is_isatap(const struct pv_addr *a)
{
    return a->family == PV_AF_INET6 && (a->ip[8] & 0xfc) == 0 && a->ip[9] == 0 &&
           a->ip[10] == 0x5e && a->ip[11] == 0xfe;
}

/* The relay judges the address to which packets really go: 64:ff9b::7f00:1 reaches the loopback of
 * a NAT64, 2002:0a00:0001:: a private network behind 6to4. */
struct pv_addr pv_turnpeer_canonical(struct pv_addr a)
{
    const struct embedding *f = form_of(&a);
    if (f != NULL) {
        uint32_t mask = f->flip * 0x01010101u;
        return pv_addr4_u32(pv_load_be32(a.ip + f->at) ^ mask, a.port);
    }
    if (is_isatap(&a))
        return pv_addr4_u32(pv_load_be32(a.ip + 12), a.port);
    return a;
}

static bool in_any(const struct pv_addr *a, const struct pv_prefix *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (pv_prefix_contains(&list[i], a))
            return true;
    }
    return false;
}

/* A relay that sends to the coordinator itself would pass its firewall by coming from inside. */
static bool is_own(const struct pv_addr *a, const struct pv_turnpeer_rules *rules)
{
    for (size_t i = 0; i < rules->n_own; i++) {
        struct pv_addr own = pv_addr_unmap(rules->own[i]);
        if (pv_addr_equal_ip(a, &own))
            return true;
    }
    return false;
}

/* Nothing may ever be sent there. */
static bool is_impossible(const struct pv_addr *a)
{
    if (pv_addr_ip_len(a) == 0 || pv_addr_is_unspecified(a) || pv_addr_is_multicast(a) ||
        pv_addr_is_broadcast(a))
        return true;
    return a->family == PV_AF_INET && (a->ip[0] == 0 || a->ip[0] >= 240);
}

/* An address of one network's inside. Services there expect only neighbours of the coordinator
 * (cloud metadata at 169.254.169.254, an unprotected database). */
static bool is_inside(const struct pv_addr *a)
{
    if (pv_addr_is_loopback(a) || pv_addr_is_link_local(a) || pv_addr_is_private(a))
        return true;
    if (a->family == PV_AF_INET)
        return a->ip[0] == 192 && a->ip[1] == 0 && a->ip[2] == 0;               /* RFC 6890 */
    static const uint8_t local_nat64[6] = {0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}; /* RFC 8215 */
    return (a->ip[0] == 0xfe && (a->ip[1] & 0xc0) == 0xc0) || /* site-local, RFC 3879 */
           memcmp(a->ip, local_nat64, sizeof(local_nat64)) == 0;
}

/* The configuration may allow an inside address, but nothing makes an impossible address
 * possible. */
static bool is_fine(const struct pv_addr *a, const struct pv_turnpeer_rules *rules)
{
    if (is_impossible(a))
        return false;
    return in_any(a, rules->allow, rules->n_allow) || (!is_inside(a) && !is_own(a, rules));
}

/* The address itself, the IPv4 address inside and, for Teredo, the server that it names all get
 * packets, so all have to be allowed. */
bool pv_turnpeer_is_allowed(const struct pv_addr *a, const struct pv_turnpeer_rules *rules)
{
    const struct embedding *f = form_of(a);
    struct pv_addr to = pv_turnpeer_canonical(*a);
    if ((f != NULL && f->never) || !is_fine(a, rules) || !is_fine(&to, rules))
        return false;
    if (f == NULL || f->flip == 0)
        return true;
    struct pv_addr server = pv_addr4_u32(pv_load_be32(a->ip + 4), a->port);
    return is_fine(&server, rules);
}
