/* SPDX-License-Identifier: MIT */
/*
 * ipfrag.c - cuts an IPv4 packet into fragments, as RFC 791 s3.2 asks of a router. Only packets
 * whose sender allows it (DF clear) are cut. Nothing is stored: each fragment is written from the
 * original, so a full ring in the middle of a packet leaves nothing behind.
 */
#include "proto/ip/ipfrag.h"

#include <string.h>

#include "base/bytes.h"

enum {
    IP4_MIN = 20,       /* bytes, RFC 791 s3.1 */
    DF = 0x4000,        /* RFC 791 s3.1 */
    MF = 0x2000,        /* RFC 791 s3.1 */
    OFFSET = 0x1fff,    /* in units of 8 bytes, RFC 791 s3.1 */
    OPTION_END = 0,     /* RFC 791 s3.1 */
    OPTION_NOP = 1,     /* RFC 791 s3.1 */
    OPTION_COPY = 0x80, /* goes into every fragment, RFC 791 s3.1 */
};

bool pv_ipfrag_is_allowed(const struct pv_ippkt *ip)
{
    return ip->version == 4 && (pv_load_be16(ip->whole.ptr + 6) & DF) == 0;
}

/* Writes the options that later fragments repeat (those with the copied flag, RFC 791 s3.1), with
 * padding, to dst (40 bytes; NULL only counts) and returns their length. An option that cannot be
 * read ends the list, so that a damaged packet is shortened and never read beyond its header. */
static size_t copy_options(struct pv_view options, uint8_t *dst)
{
    size_t n = 0;
    for (size_t i = 0; i < options.len && options.ptr[i] != OPTION_END;) {
        size_t len = options.ptr[i] == OPTION_NOP ? 1
                     : i + 1 < options.len        ? options.ptr[i + 1]
                                                  : 0;
        if (len == 0 || i + len > options.len || (len == 1 && options.ptr[i] != OPTION_NOP))
            break;
        if ((options.ptr[i] & OPTION_COPY) != 0) {
            if (dst != NULL)
                memcpy(dst + n, options.ptr + i, len);
            n += len;
        }
        i += len;
    }
    size_t padded = (n + 3) / 4 * 4;
    if (dst != NULL && padded > n)
        memset(dst + n, OPTION_END, padded - n);
    return padded;
}

/* Options fill whatever the header is longer than 20 bytes. */
static struct pv_view options_of(const struct pv_ipfrag *f)
{
    return pv_view(f->packet.ptr + IP4_MIN, f->first_head - IP4_MIN);
}

/* A fragment may be cut again on a second narrow path; the end of the whole packet must then still
 * lie within 65,535 bytes. */
int pv_ipfrag_init(struct pv_ipfrag *f, const struct pv_ippkt *ip, size_t mtu)
{
    if (!pv_ipfrag_is_allowed(ip))
        return PV_ERR_REFUSED;
    if (mtu < PV_IPFRAG_MIN)
        return PV_ERR_LIMIT;
    *f = (struct pv_ipfrag){
        .packet = ip->whole, .first_head = (size_t)(ip->whole.ptr[0] & 15) * 4, .mtu = mtu};
    f->head = IP4_MIN + copy_options(options_of(f), NULL);
    f->end = ip->whole.len - f->first_head;
    size_t offset = (size_t)(pv_load_be16(ip->whole.ptr + 6) & OFFSET) * 8;
    return offset + f->end > UINT16_MAX ? PV_ERR_REFUSED : PV_OK;
}

/* Bytes of payload in the fragment that begins at `at`: offsets count in units of 8 bytes, so every
 * fragment but the last is rounded down to one (RFC 791 s3.2). */
static size_t fragment_payload(const struct pv_ipfrag *f, size_t at)
{
    size_t head = at == 0 ? f->first_head : f->head, rest = f->end - at;
    return head + rest <= f->mtu ? rest : (f->mtu - head) / 8 * 8;
}

size_t pv_ipfrag_next(const struct pv_ipfrag *f)
{
    if (f->at == f->end)
        return 0;
    return (f->at == 0 ? f->first_head : f->head) + fragment_payload(f, f->at);
}

void pv_ipfrag_cut(struct pv_ipfrag *f, uint8_t *dst)
{
    size_t len = fragment_payload(f, f->at), head = f->at == 0 ? f->first_head : f->head;
    memcpy(dst, f->packet.ptr, f->at == 0 ? head : IP4_MIN);
    if (f->at > 0)
        copy_options(options_of(f), dst + IP4_MIN);
    memcpy(dst + head, f->packet.ptr + f->first_head + f->at, len);
    dst[0] = (uint8_t)(0x40 | head / 4);
    pv_store_be16(dst + 2, (uint16_t)(head + len));
    /* A fragment may be cut again: offset and MF are what they were, and more. */
    uint16_t was = pv_load_be16(f->packet.ptr + 6);
    uint16_t more = f->at + len < f->end ? MF : was & MF;
    pv_store_be16(dst + 6, (uint16_t)((was & 0xffffu & ~(unsigned)(MF | OFFSET)) | more |
                                      ((was & OFFSET) + f->at / 8)));
    pv_store_be16(dst + 10, 0);
    pv_store_be16(dst + 10, (uint16_t)~pv_ippkt_sum(pv_view(dst, head), 0));
    f->at += len;
}
