/* SPDX-License-Identifier: MIT */
/*
 * dns.c - takes DNS queries apart and puts answers together (RFC 1035, RFC 6891). Queries come from
 * every program on this machine, and from whatever these forward. No compression pointer is ever
 * followed, so no loop of pointers can exist; answers contain one pointer, to the question.
 */
#include "proto/local/dns.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/text.h"

enum {
    HEADER = 12,         /* bytes, RFC 1035 s4.1.1 */
    LABEL_MAX = 63,      /* bytes, RFC 1035 s2.3.4 */
    WIRE_NAME_MAX = 255, /* bytes, RFC 1035 s2.3.4 */
    MAX_EXTRA = 8,       /* ours: records behind the question that are looked at for EDNS */
    TYPE_OPT = 41,       /* RFC 6891 s6.1.1 */
    EDNS_SIZE = 1232,    /* bytes we say we take: what every path carries */
    NEGATIVE_TTL = 5,    /* seconds, ours: somebody may join */
    FLAG_QR = 0x8000,    /* RFC 1035 s4.1.1 */
    FLAG_TC = 1 << 9,
    FLAG_AA = 0x0400,
    FLAG_RD = 0x0100,
    POINTER = 0xc000, /* RFC 1035 s4.1.4 */
};

/* --- queries ------------------------------------------------------------------------------- */

static char lower_case(uint8_t c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

/* A name without compression, as text. A byte that no host name has becomes '?', which makes the
 * name one that nobody has, without making the query malformed. */
static void get_dns_name(struct pv_reader *r, char name[static PV_DNS_NAME_BUF])
{
    size_t n = 0, wire = 1;
    for (;;) {
        uint8_t len = pv_get_u8(r);
        if (r->status != PV_OK || len == 0)
            break;
        wire += (size_t)len + 1;
        if (len > LABEL_MAX || wire > WIRE_NAME_MAX) {
            pv_reader_fail(r, PV_ERR_MALFORMED);
            break;
        }
        struct pv_view label = pv_get_bytes(r, len);
        if (n > 0)
            name[n++] = '.';
        for (size_t i = 0; i < label.len; i++) {
            uint8_t c = label.ptr[i];
            name[n++] = c > ' ' && c < 0x7f && c != '.' ? lower_case(c) : '?';
        }
    }
    name[n] = '\0';
}

/* Any name, only to get behind it. */
static void skip_name(struct pv_reader *r)
{
    for (;;) {
        uint8_t len = pv_get_u8(r);
        if (r->status != PV_OK || len == 0)
            return;
        if (len >= 0xc0) {
            (void)pv_get_u8(r);
            return;
        }
        (void)pv_get_bytes(r, len);
    }
}

/* Is there an OPT record among what follows? An unreadable record is not there. */
static bool find_edns(struct pv_reader r, unsigned records)
{
    for (unsigned i = 0; i < records && i < MAX_EXTRA; i++) {
        skip_name(&r);
        uint16_t type = pv_get_u16(&r);
        (void)pv_get_bytes(&r, 6);
        (void)pv_get_bytes(&r, pv_get_u16(&r));
        if (r.status != PV_OK)
            return false;
        if (type == TYPE_OPT)
            return true;
    }
    return false;
}

/* Every query that can be answered is answered: a server that stays silent costs the asking program
 * its timeout. Only answers (QR set) are ignored, or two servers could talk for ever. */
int pv_dns_query_parse(struct pv_view packet, struct pv_dns_query *ret_query)
{
    struct pv_reader r = pv_reader(packet);
    struct pv_dns_query q = {.id = pv_get_u16(&r)};
    uint16_t n[4];
    q.flags = pv_get_u16(&r);
    for (size_t i = 0; i < 4; i++)
        n[i] = pv_get_u16(&r);
    if (r.status != PV_OK)
        return PV_ERR_TRUNCATED;
    if ((q.flags & FLAG_QR) != 0)
        return PV_ERR_REFUSED;
    q.opcode = (q.flags >> 11) & 0xf;
    q.recursive = (q.flags & FLAG_RD) != 0;
    if (q.opcode != 0) {
        *ret_query = q;
        return PV_ERR_UNSUPPORTED;
    }
    const uint8_t *start = r.rest.ptr;
    struct pv_dns_query empty = q;
    get_dns_name(&r, q.name);
    q.qtype = pv_get_u16(&r);
    q.qclass = pv_get_u16(&r);
    if (r.status != PV_OK || n[0] != 1 || packet.len > PV_DNS_QUERY_MAX) {
        *ret_query = empty;
        return PV_ERR_MALFORMED;
    }
    q.question = pv_view(start, (size_t)(r.rest.ptr - start));
    q.edns = find_edns(r, (unsigned)n[1] + n[2] + n[3]);
    *ret_query = q;
    return PV_OK;
}

/* --- answers ------------------------------------------------------------------------------- */

static void put_dns_name(struct pv_writer *w, const char *name)
{
    while (*name != '\0') {
        size_t len = strcspn(name, ".");
        if (len == 0 || len > LABEL_MAX) {
            w->status = PV_ERR_MALFORMED;
            return;
        }
        pv_put_u8(w, (uint8_t)len);
        pv_put_bytes(w, name, len);
        name += len + (name[len] == '.');
    }
    pv_put_u8(w, 0);
}

/* Sets the length that was left out at len_at. */
static void close_record(struct pv_writer *w, size_t len_at)
{
    if (w->status == PV_OK)
        pv_store_be16(w->buf + len_at, (uint16_t)(w->len - len_at - 2));
}

/* The timers are for secondary servers, of which there are none; only the last one matters, as the
 * time for which "no such name" may be kept (RFC 2308 s5). */
static void put_soa_data(struct pv_writer *w, const char *zone, uint32_t serial)
{
    const char *mailbox = PV_STR("root.%s", zone);
    put_dns_name(w, zone);
    put_dns_name(w, mailbox);
    pv_put_u32(w, serial);
    pv_put_u32(w, 3600); /* refresh, retry, expire: for secondaries, of which there are none */
    pv_put_u32(w, 600);
    pv_put_u32(w, 86400);
    pv_put_u32(w, NEGATIVE_TTL);
}

/* owner NULL: the name that was asked. */
static void put_dns_record(struct pv_writer *w, const char *owner, const struct pv_dns_answer *a,
                           uint16_t type)
{
    if (owner == NULL)
        pv_put_u16(w, POINTER | HEADER);
    else
        put_dns_name(w, owner);
    pv_put_u16(w, type);
    pv_put_u16(w, PV_DNS_IN);
    pv_put_u32(w, owner == NULL ? a->ttl : NEGATIVE_TTL);
    size_t len_at = w->len;
    pv_put_u16(w, 0);
    if (type == PV_DNS_SOA)
        put_soa_data(w, owner == NULL ? a->target : owner, a->serial);
    else if (type == PV_DNS_A || type == PV_DNS_AAAA)
        pv_put_bytes(w, a->addr.ip, pv_addr_ip_len(&a->addr));
    else
        put_dns_name(w, a->target);
    close_record(w, len_at);
}

/* Every answer fits 512 bytes, so nothing is ever truncated and no TCP is needed. */
int pv_dns_answer_build(const struct pv_dns_query *q, const struct pv_dns_answer *a,
                        uint8_t buf[static PV_DNS_MAX], size_t *ret_len)
{
    struct pv_writer w = pv_writer(buf, PV_DNS_MAX);
    bool soa = a->type == 0 && a->zone != NULL;
    pv_put_u16(&w, q->id);
    pv_put_u16(&w, (uint16_t)(FLAG_QR | (a->authoritative ? FLAG_AA : 0) | (q->flags & FLAG_RD) |
                              ((unsigned)q->opcode << 11) | (unsigned)a->rcode));
    pv_put_u16(&w, q->question.len > 0);
    pv_put_u16(&w, a->type != 0);
    pv_put_u16(&w, soa);
    pv_put_u16(&w, q->edns);
    pv_put_bytes(&w, q->question.ptr, q->question.len);
    if (a->type != 0)
        put_dns_record(&w, NULL, a, a->type);
    if (soa)
        put_dns_record(&w, a->zone, a, PV_DNS_SOA);
    if (q->edns) { /* RFC 6891 s6.1.2; extended flags and options: none */
        pv_put_u8(&w, 0);
        pv_put_u16(&w, TYPE_OPT);
        pv_put_u16(&w, EDNS_SIZE);
        pv_put_u32(&w, 0);
        pv_put_u16(&w, 0);
    }
    if (w.status == PV_OK)
        *ret_len = w.len;
    return w.status == PV_OK ? PV_OK : PV_ERR_MALFORMED;
}

/* The port and the id say that it is from who was asked, the question that it is about this one. */
bool pv_dns_is_answer(struct pv_view packet, uint16_t id, struct pv_view question)
{
    struct pv_reader r = pv_reader(packet);
    const bool same_id = pv_get_u16(&r) == id;
    const uint16_t flags = pv_get_u16(&r), n_questions = pv_get_u16(&r);
    (void)pv_get_bytes(&r, 6);
    const struct pv_view q = pv_get_bytes(&r, question.len);
    return r.status == PV_OK && same_id && (flags & FLAG_QR) != 0 && n_questions == 1 &&
           question.len > 0 && memcmp(q.ptr, question.ptr, question.len) == 0;
}

size_t pv_dns_shorten(uint8_t *answer, struct pv_view question)
{
    answer[2] |= FLAG_TC >> 8;
    memset(answer + 6, 0, 6); /* records of three kinds */
    return 12 + question.len;
}

/* --- reverse names ------------------------------------------------------------------------- */

/* "66" at p, 0..255 without leading zeros; its length, 0: none. */
static size_t parse_octet(const char *p, uint8_t *ret)
{
    size_t n = 0;
    unsigned v = 0;
    while (p[n] >= '0' && p[n] <= '9' && n < 4)
        v = 10 * v + (unsigned)(p[n++] - '0');
    if (n == 0 || n > 3 || v > 255 || (n > 1 && p[0] == '0'))
        return 0;
    *ret = (uint8_t)v;
    return n;
}

static int reverse4(const char *name, struct pv_addr *ret_addr)
{
    struct pv_addr a = {.family = PV_AF_INET};
    for (size_t i = 0; i < 4; i++) {
        size_t n = parse_octet(name, &a.ip[3 - i]);
        if (n == 0 || name[n] != '.')
            return PV_ERR_NOT_FOUND;
        name += n + 1;
    }
    if (strcmp(name, "in-addr.arpa") != 0)
        return PV_ERR_NOT_FOUND;
    *ret_addr = a;
    return PV_OK;
}

static int reverse6(const char *name, struct pv_addr *ret_addr)
{
    static const char hex[] = "0123456789abcdef";
    struct pv_addr a = {.family = PV_AF_INET6};
    for (size_t i = 0; i < 32; i++) {
        const char *digit = name[0] == '\0' ? NULL : strchr(hex, name[0]);
        if (digit == NULL || name[1] != '.')
            return PV_ERR_NOT_FOUND;
        a.ip[15 - i / 2] |= (uint8_t)((digit - hex) << (i % 2 == 0 ? 0 : 4));
        name += 2;
    }
    if (strcmp(name, "ip6.arpa") != 0)
        return PV_ERR_NOT_FOUND;
    *ret_addr = a;
    return PV_OK;
}

int pv_dns_reverse_parse(const char *name, struct pv_addr *ret_addr)
{
    return reverse4(name, ret_addr) == PV_OK ? PV_OK : reverse6(name, ret_addr);
}
