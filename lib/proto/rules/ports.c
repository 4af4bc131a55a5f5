/* SPDX-License-Identifier: MIT */
/* ports.c - sets of protocols and ports: their text, their bytes, their one form. */
#include "proto/rules/ports.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/text.h"

enum {
    ITEM_MAX = 32, /* characters of one item of a text */
};

/* Names that people may say. Those of our own are also shown, so that one rule reads the same
 * everywhere. */
static const struct service {
    const char *name;
    struct pv_port_range range;
    bool udp_too;
    bool shown;
} services[] = {
    {"all", {PV_PORTS_PROTO_ALL, 0, UINT16_MAX}, false, true},
    {"chat", {PV_PORTS_TCP, PV_PORTS_CHAT, PV_PORTS_CHAT}, false, true},
    {"files", {PV_PORTS_TCP, PV_PORTS_FILES, PV_PORTS_FILES}, false, true},
    {"chat,files", {PV_PORTS_TCP, PV_PORTS_CHAT, PV_PORTS_FILES}, false, true}, /* they touch */
    {"ping", {PV_PORTS_ICMP, PV_PORTS_PING, PV_PORTS_PING}, false, true},
    {"icmp", {PV_PORTS_ICMP, 0, UINT16_MAX}, false, true},
    {"tcp", {PV_PORTS_TCP, 0, UINT16_MAX}, false, true},
    {"udp", {PV_PORTS_UDP, 0, UINT16_MAX}, false, true},
    {"ssh", {PV_PORTS_TCP, 22, 22}, false, false},
    {"http", {PV_PORTS_TCP, 80, 80}, false, false},
    {"https", {PV_PORTS_TCP, 443, 443}, false, false},
    {"dns", {PV_PORTS_TCP, 53, 53}, true, false},
    {"rdp", {PV_PORTS_TCP, 3389, 3389}, true, false},
    {"smb", {PV_PORTS_TCP, 445, 445}, false, false},
};

/* All others are allowed or denied as a whole. */
static bool has_ports(uint8_t proto)
{
    return proto == PV_PORTS_TCP || proto == PV_PORTS_UDP || proto == PV_PORTS_ICMP;
}

/* --- the one form of a set ---------------------------------------------------------------- */

static int cmp_ranges(const void *a, const void *b)
{
    const struct pv_port_range *x = a, *y = b;
    if (x->proto != y->proto)
        return x->proto < y->proto ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* Sorts, and joins ranges that touch. */
static void settle(struct pv_ports *p)
{
    size_t n = 0;
    qsort(p->v, p->n, sizeof(p->v[0]), cmp_ranges);
    for (size_t i = 0; i < p->n; i++) {
        struct pv_port_range *last = n == 0 ? NULL : &p->v[n - 1];
        if (last != NULL && last->proto == PV_PORTS_PROTO_ALL)
            break; /* it has all the others */
        if (last != NULL && last->proto == p->v[i].proto && p->v[i].first <= last->last + 1) {
            if (p->v[i].last > last->last)
                last->last = p->v[i].last;
            continue;
        }
        p->v[n++] = p->v[i];
    }
    p->n = n;
}

/* Ranges that touch may make room for one more. */
static int add(struct pv_ports *p, struct pv_port_range range)
{
    if (p->n == PV_PORTS_MAX)
        settle(p);
    if (p->n == PV_PORTS_MAX)
        return PV_ERR_LIMIT;
    p->v[p->n++] = range;
    return PV_OK;
}

/* --- text --------------------------------------------------------------------------------- */

/* "22" or "5000-5010", cut in place: it is the caller's copy of one item. */
static int parse_range(char *text, struct pv_port_range *ret)
{
    char *dash = strchr(text, '-');
    uint64_t first, last;
    if (dash != NULL)
        *dash++ = '\0';
    int r = pv_u64_parse(text, 0, UINT16_MAX, &first);
    if (r == PV_OK)
        r = pv_u64_parse(dash == NULL ? text : dash, first, UINT16_MAX, &last);
    if (r != PV_OK)
        return PV_ERR_MALFORMED;
    ret->first = (uint16_t)first;
    ret->last = (uint16_t)last;
    return PV_OK;
}

/* "proto/47": all of a protocol that has no ports here. */
static int parse_proto(const char *number, struct pv_ports *p)
{
    uint64_t proto;
    if (pv_u64_parse(number, 1, UINT8_MAX, &proto) != PV_OK)
        return PV_ERR_MALFORMED;
    if (proto == PV_PORTS_ICMP6)
        proto = PV_PORTS_ICMP;
    return add(p, (struct pv_port_range){(uint8_t)proto, 0, UINT16_MAX});
}

/* A service, or a protocol and its ports. */
static int parse_item(char *item, struct pv_ports *p)
{
    struct pv_port_range range = {.proto = PV_PORTS_TCP};
    char *slash = strchr(item, '/');
    for (size_t i = 0; i < PV_ARRAY_LEN(services); i++) {
        struct pv_port_range s = services[i].range;
        if (strcmp(item, services[i].name) != 0)
            continue;
        int r = add(p, s);
        s.proto = PV_PORTS_UDP;
        return r == PV_OK && services[i].udp_too ? add(p, s) : r;
    }
    if (slash != NULL)
        *slash++ = '\0';
    if (slash != NULL && strcmp(item, "proto") == 0)
        return parse_proto(slash, p);
    if (slash != NULL && strcmp(item, "udp") == 0)
        range.proto = PV_PORTS_UDP;
    else if (slash != NULL && strcmp(item, "icmp") == 0)
        range.proto = PV_PORTS_ICMP;
    else if (slash != NULL && strcmp(item, "tcp") != 0)
        return PV_ERR_MALFORMED;
    int r = parse_range(slash != NULL ? slash : item, &range);
    if (r == PV_OK)
        r = add(p, range);
    if (r == PV_OK && slash == NULL) { /* a bare number is both */
        range.proto = PV_PORTS_UDP;
        r = add(p, range);
    }
    return r;
}

int pv_ports_parse(const char *text, struct pv_ports *ret_ports)
{
    struct pv_ports p = {.n = 0};
    for (;;) {
        char item[ITEM_MAX];
        size_t len = strcspn(text, ",");
        if (len == 0 || len >= sizeof(item))
            return PV_ERR_MALFORMED;
        memcpy(item, text, len);
        item[len] = '\0';
        int r = parse_item(item, &p);
        if (r != PV_OK)
            return r;
        if (text[len] == '\0')
            break;
        text += len + 1;
    }
    settle(&p);
    *ret_ports = p;
    return PV_OK;
}

/* The name of a service where it is shown, else protocol and numbers. */
static void format_range(const struct pv_port_range *r, char *buf, size_t size)
{
    const char *proto = r->proto == PV_PORTS_TCP   ? "tcp"
                        : r->proto == PV_PORTS_UDP ? "udp"
                                                   : "icmp";
    for (size_t i = 0; i < PV_ARRAY_LEN(services); i++) {
        const struct service *s = &services[i];
        if (s->shown && cmp_ranges(r, &s->range) == 0 && r->last == s->range.last) {
            snprintf(buf, size, "%s", s->name);
            return;
        }
    }
    if (!has_ports(r->proto))
        snprintf(buf, size, "proto/%u", r->proto);
    else if (r->first == r->last)
        snprintf(buf, size, "%s/%u", proto, r->first);
    else
        snprintf(buf, size, "%s/%u-%u", proto, r->first, r->last);
}

/* Does the other protocol have the same range? Then both are said by the number alone. */
static bool is_both(const struct pv_ports *p, size_t i)
{
    const struct pv_port_range *r = &p->v[i];
    uint8_t other = r->proto == PV_PORTS_TCP ? PV_PORTS_UDP : PV_PORTS_TCP;
    if ((r->proto != PV_PORTS_TCP && r->proto != PV_PORTS_UDP) ||
        (r->first == 0 && r->last == UINT16_MAX))
        return false;
    for (size_t k = 0; k < p->n; k++) {
        if (p->v[k].proto == other && p->v[k].first == r->first && p->v[k].last == r->last)
            return true;
    }
    return false;
}

const char *pv_ports_format(const struct pv_ports *ports, char buf[static PV_PORTS_TEXT])
{
    struct pv_text list = pv_text_in(buf, PV_PORTS_TEXT);
    for (size_t i = 0; i < ports->n; i++) {
        char one[ITEM_MAX];
        bool both = is_both(ports, i);
        if (both && ports->v[i].proto == PV_PORTS_UDP)
            continue;
        format_range(&ports->v[i], one, sizeof(one));
        const char *text = both && strchr(one, '/') != NULL ? strchr(one, '/') + 1 : one;
        pv_text_part(&list, ",");
        pv_text_add(&list, "%s", text);
        /* A service whose range both protocols have is said by its name, and the other one too. */
        if (both && text == one) {
            const struct pv_port_range udp = {PV_PORTS_UDP, ports->v[i].first, ports->v[i].last};
            format_range(&udp, one, sizeof(one));
            pv_text_add(&list, ",%s", one);
        }
    }
    if (list.len == 0)
        pv_text_add(&list, "none");
    return buf;
}

const char *pv_ports_format_one(uint8_t proto, uint16_t port, char buf[static PV_PORTS_TEXT])
{
    struct pv_ports one = {.v = {{proto, port, port}}, .n = 1};
    if (!has_ports(proto))
        one.v[0] = (struct pv_port_range){proto, 0, UINT16_MAX};
    return pv_ports_format(&one, buf);
}

/* --- bytes -------------------------------------------------------------------------------- */

/* The limits of one range by itself. */
static bool range_is_good(const struct pv_port_range *r)
{
    if (r->proto == PV_PORTS_ICMP6 || r->first > r->last)
        return false;
    return has_ports(r->proto) || (r->first == 0 && r->last == UINT16_MAX);
}

/* A set that settling would change is another form of the same, and refused: statements have one.
 */
int pv_ports_decode(struct pv_view bytes, struct pv_ports *ret_ports)
{
    struct pv_ports p = {.n = bytes.len / PV_PORTS_ENTRY};
    if (bytes.len == 0 || bytes.len % PV_PORTS_ENTRY != 0 || p.n > PV_PORTS_MAX)
        return PV_ERR_MALFORMED;
    for (size_t i = 0; i < p.n; i++) {
        const uint8_t *at = bytes.ptr + i * PV_PORTS_ENTRY;
        p.v[i] = (struct pv_port_range){at[0], pv_load_be16(at + 1), pv_load_be16(at + 3)};
        if (!range_is_good(&p.v[i]))
            return PV_ERR_MALFORMED;
    }
    struct pv_ports settled = p;
    settle(&settled);
    for (size_t i = 0; i < p.n; i++) {
        if (settled.n != p.n || cmp_ranges(&settled.v[i], &p.v[i]) != 0 ||
            settled.v[i].last != p.v[i].last)
            return PV_ERR_MALFORMED;
    }
    *ret_ports = p;
    return PV_OK;
}

size_t pv_ports_encode(const struct pv_ports *ports, uint8_t buf[static PV_PORTS_BYTES])
{
    for (size_t i = 0; i < ports->n; i++) {
        uint8_t *at = buf + i * PV_PORTS_ENTRY;
        at[0] = ports->v[i].proto;
        pv_store_be16(at + 1, ports->v[i].first);
        pv_store_be16(at + 3, ports->v[i].last);
    }
    return ports->n * PV_PORTS_ENTRY;
}

bool pv_ports_have_zero(const struct pv_ports *ports)
{
    for (size_t i = 0; i < ports->n; i++)
        if (ports->v[i].last == 0 && ports->v[i].proto != PV_PORTS_ICMP)
            return true;
    return false;
}

bool pv_ports_has(const struct pv_ports *ports, uint8_t proto, uint16_t port)
{
    for (size_t i = 0; i < ports->n; i++) {
        const struct pv_port_range *r = &ports->v[i];
        if (r->proto == PV_PORTS_PROTO_ALL)
            return true;
        if (r->proto == proto && port >= r->first && port <= r->last)
            return true;
    }
    return false;
}
