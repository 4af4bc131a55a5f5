/* SPDX-License-Identifier: MIT */
/*
 * stun.c - encodes and decodes STUN messages (RFC 8489; without cookie, RFC 3489). Decoding copies
 * nothing: attributes are views into the datagram. Attributes behind MESSAGE-INTEGRITY are hidden
 * from readers, because nobody has signed them (s14.5). Writing is sticky: the first failure is
 * reported at the end, and a length never shares a return value with an error.
 */
#include "proto/stun/stun.h"

#include <string.h>

#include "base/bytes.h"
#include "crypto/ct.h"
#include "crypto/hash.h"

enum {
    LENGTH_AT = 2,        /* offset of the header's length field, RFC 8489 s5 */
    COOKIE_AT = 4,        /* of the cookie; RFC 3489's id of 16 bytes begins here */
    TXID_AT = 8,          /* of the transaction id */
    ADDR_HEADER_LEN = 4,  /* bytes before the IP: a zero, the family, the port; RFC 8489 s14.1 */
    ERROR_HEADER_LEN = 4, /* bytes before the reason phrase, RFC 8489 s14.8 */
    ATTR_HEADER_LEN = 4,  /* bytes: type and length, RFC 8489 s14 */
    FINGERPRINT_LEN = 4,  /* bytes: CRC-32, RFC 8489 s14.7 */
    FAMILY_IPV4 = 1,      /* RFC 8489 s14.1 */
    FAMILY_IPV6 = 2,
};

/* Attributes begin at multiples of 4; their length field does not count the padding (RFC 8489
 * s14). */
static size_t padded(size_t len)
{
    return (len + 3) & ~(size_t)3;
}

/* RFC 8489 s5: the class is in bits 4 and 8 of the type, the method around them. */
static uint16_t type_make(enum pv_stun_class cls, uint16_t method)
{
    unsigned m = method & 0xfffu;
    unsigned c = (unsigned)cls;
    return (uint16_t)((m & 0x00fu) | ((m & 0x070u) << 1) | ((m & 0xf80u) << 2) | ((c & 1u) << 4) |
                      ((c & 2u) << 7));
}

static enum pv_stun_class type_class(uint16_t type)
{
    return (enum pv_stun_class)(((type >> 4) & 1) | ((type >> 7) & 2));
}

static uint16_t type_method(uint16_t type)
{
    return (uint16_t)((type & 0x000f) | ((type & 0x00e0) >> 1) | ((type & 0x3e00) >> 2));
}

/* The limit on attributes bounds what a single datagram can make every later pv_stun_find()
 * cost. */
static int decode_attrs(struct pv_stun_msg *msg)
{
    struct pv_reader r =
        pv_reader(pv_view(msg->raw.ptr + PV_STUN_HEADER_LEN, msg->raw.len - PV_STUN_HEADER_LEN));

    while (r.rest.len > 0) {
        uint16_t type = pv_get_u16(&r);
        uint16_t len = pv_get_u16(&r);
        struct pv_view value = pv_get_bytes(&r, len);
        (void)pv_get_bytes(&r, padded(len) - len);
        if (r.status != PV_OK)
            return PV_ERR_MALFORMED; /* the datagram was whole, its attributes do not fit */
        if (msg->n_attrs == PV_STUN_MAX_ATTRS)
            return PV_ERR_LIMIT;
        msg->attrs[msg->n_attrs++] = (struct pv_stun_attr){.type = type, .value = value};
    }
    return PV_OK;
}

/* Length must match exactly: a datagram is one message, and trailing bytes would be unsigned data
 * that a MAC check seems to cover. Without the cookie only Binding requests are accepted, because
 * anything else without it is no STUN that we speak. */
static int decode_message(struct pv_view data, bool classic, struct pv_stun_msg *ret_msg)
{
    if (data.len < PV_STUN_HEADER_LEN)
        return PV_ERR_TRUNCATED;
    uint16_t type = pv_load_be16(data.ptr);
    size_t len = PV_STUN_HEADER_LEN + (size_t)pv_load_be16(data.ptr + LENGTH_AT);
    bool has_cookie = pv_load_be32(data.ptr + COOKIE_AT) == PV_STUN_COOKIE;
    if ((type & 0xc000) != 0 || len % 4 != 0 || has_cookie == classic)
        return PV_ERR_MALFORMED;
    if (data.len < len)
        return PV_ERR_TRUNCATED;
    if (data.len > len)
        return PV_ERR_MALFORMED;

    struct pv_stun_msg msg;
    msg.cls = type_class(type);
    msg.method = type_method(type);
    msg.classic = classic;
    msg.txid = data.ptr + TXID_AT;
    msg.raw = data;
    msg.n_attrs = 0;
    if (classic && (msg.cls != PV_STUN_REQUEST || msg.method != PV_STUN_BINDING))
        return PV_ERR_MALFORMED;
    int r = decode_attrs(&msg);
    if (r < 0)
        return r;
    *ret_msg = msg;
    return PV_OK;
}

int pv_stun_decode(struct pv_view data, struct pv_stun_msg *ret_msg)
{
    return decode_message(data, false, ret_msg);
}

int pv_stun_decode_classic(struct pv_view data, struct pv_stun_msg *ret_msg)
{
    return decode_message(data, true, ret_msg);
}

/* Attributes that close the part of a message which integrity covers. */
static bool is_trailer(uint16_t type)
{
    return type == PV_STUN_ATTR_MESSAGE_INTEGRITY ||
           type == PV_STUN_ATTR_MESSAGE_INTEGRITY_SHA256 || type == PV_STUN_ATTR_FINGERPRINT;
}

/* `covered` ends at the first trailer, so that an attacker cannot append an attribute to a signed
 * message and have it read as signed. */
int pv_stun_find(const struct pv_stun_msg *msg, uint16_t type, struct pv_view *ret_value)
{
    bool covered = true;

    for (size_t i = 0; i < msg->n_attrs; i++) {
        const struct pv_stun_attr *a = &msg->attrs[i];
        if (a->type == type && (covered || is_trailer(type))) {
            *ret_value = a->value;
            return PV_OK;
        }
        if (is_trailer(a->type))
            covered = false;
    }
    return PV_ERR_NOT_FOUND;
}

bool pv_stun_has(const struct pv_stun_msg *msg, uint16_t type)
{
    struct pv_view value;
    return pv_stun_find(msg, type, &value) == PV_OK;
}

int pv_stun_get_u32(const struct pv_stun_msg *msg, uint16_t type, uint32_t *ret_value)
{
    struct pv_view v;
    int r = pv_stun_find(msg, type, &v);
    if (r < 0)
        return r;
    if (v.len != 4)
        return PV_ERR_MALFORMED;
    *ret_value = pv_load_be32(v.ptr);
    return PV_OK;
}

int pv_stun_get_u64(const struct pv_stun_msg *msg, uint16_t type, uint64_t *ret_value)
{
    struct pv_view v;
    int r = pv_stun_find(msg, type, &v);
    if (r < 0)
        return r;
    if (v.len != 8)
        return PV_ERR_MALFORMED;
    *ret_value = pv_load_be64(v.ptr);
    return PV_OK;
}

static int parse_addr(struct pv_view v, struct pv_addr *ret_addr)
{
    if (v.len < ADDR_HEADER_LEN)
        return PV_ERR_MALFORMED;
    uint16_t port = pv_load_be16(v.ptr + 2);
    if (v.ptr[1] == FAMILY_IPV4 && v.len == ADDR_HEADER_LEN + PV_IP4_LEN)
        *ret_addr = pv_addr4_u32(pv_load_be32(v.ptr + ADDR_HEADER_LEN), port);
    else if (v.ptr[1] == FAMILY_IPV6 && v.len == ADDR_HEADER_LEN + PV_IP6_LEN)
        *ret_addr = pv_addr6(v.ptr + ADDR_HEADER_LEN, port);
    else
        return PV_ERR_MALFORMED;
    return PV_OK;
}

int pv_stun_get_addr(const struct pv_stun_msg *msg, uint16_t type, struct pv_addr *ret_addr)
{
    struct pv_view v;
    int r = pv_stun_find(msg, type, &v);
    return r < 0 ? r : parse_addr(v, ret_addr);
}

/* RFC 8489 s14.2: the port with the cookie's high half, IPv4 with the cookie, IPv6 with cookie and
 * transaction id, which are the 16 bytes of the header from the cookie on. */
static void xor_addr(struct pv_addr *addr, const uint8_t *cookie_and_txid)
{
    addr->port = (uint16_t)(addr->port ^ ((uint32_t)PV_STUN_COOKIE >> 16));
    for (size_t i = 0; i < pv_addr_ip_len(addr); i++)
        addr->ip[i] ^= cookie_and_txid[i];
}

int pv_stun_get_xor_addr(const struct pv_stun_msg *msg, uint16_t type, struct pv_addr *ret_addr)
{
    struct pv_addr addr;
    int r = pv_stun_get_addr(msg, type, &addr);
    if (r < 0)
        return r;
    xor_addr(&addr, msg->raw.ptr + COOKIE_AT);
    *ret_addr = addr;
    return PV_OK;
}

size_t pv_stun_covered(const struct pv_stun_msg *msg)
{
    size_t n = 0;
    while (n < msg->n_attrs && !is_trailer(msg->attrs[n].type))
        n++;
    return n;
}

int pv_stun_attr_xor_addr(const struct pv_stun_msg *msg, size_t i, struct pv_addr *ret_addr)
{
    struct pv_addr addr;
    int r = parse_addr(msg->attrs[i].value, &addr);
    if (r < 0)
        return r;
    xor_addr(&addr, msg->raw.ptr + COOKIE_AT);
    *ret_addr = addr;
    return PV_OK;
}

int pv_stun_get_error(const struct pv_stun_msg *msg, unsigned *ret_code)
{
    struct pv_view v;
    int r = pv_stun_find(msg, PV_STUN_ATTR_ERROR_CODE, &v);
    if (r < 0)
        return r;
    if (v.len < 4)
        return PV_ERR_MALFORMED;
    unsigned hundreds = v.ptr[2] & 7u;
    unsigned rest = v.ptr[3];
    if (hundreds < 3 || hundreds > 6 || rest > 99)
        return PV_ERR_MALFORMED;
    *ret_code = hundreds * 100 + rest;
    return PV_OK;
}

static bool has_type(const uint16_t *types, size_t n, uint16_t type)
{
    for (size_t i = 0; i < n; i++)
        if (types[i] == type)
            return true;
    return false;
}

size_t pv_stun_list_unknown(const struct pv_stun_msg *msg, const uint16_t *known, size_t n_known,
                            uint16_t *ret_types, size_t cap)
{
    size_t n = 0;

    for (size_t i = 0; i < msg->n_attrs && n < cap; i++) {
        uint16_t type = msg->attrs[i].type;
        if (type < 0x8000 && !has_type(known, n_known, type) && !has_type(ret_types, n, type))
            ret_types[n++] = type;
        if (is_trailer(type))
            break;
    }
    return n;
}

static int mac_sha1(uint8_t *out, struct pv_view key, struct pv_view data)
{
    return pv_hmac_sha1(out, key, data);
}

static int mac_sha256(uint8_t *out, struct pv_view key, struct pv_view data)
{
    return pv_hmac_sha256(out, key, data);
}

/* The sender computed its MAC before it appended what follows, with a header length that ended at
 * the MAC (RFC 8489 s14.5). That state is rebuilt in a copy, since the datagram is borrowed and
 * read-only; its size is bounded so that the copy can live on the stack. */
static int check_mac(const struct pv_stun_msg *msg, uint16_t type, size_t mac_len,
                     int (*make)(uint8_t *, struct pv_view, struct pv_view), struct pv_view key)
{
    struct pv_view mac;
    int r = pv_stun_find(msg, type, &mac);
    if (r < 0)
        return r;
    if (mac.len != mac_len)
        return PV_ERR_AUTH;

    /* The MAC covers all before it, under a header whose length ends with the MAC itself. */
    size_t covered = (size_t)(mac.ptr - msg->raw.ptr) - ATTR_HEADER_LEN;
    size_t body = covered + ATTR_HEADER_LEN + mac_len - PV_STUN_HEADER_LEN;
    if (covered > PV_STUN_MAX_SIGNED)
        return PV_ERR_LIMIT;
    uint8_t signed_part[PV_STUN_MAX_SIGNED];
    memcpy(signed_part, msg->raw.ptr, covered);
    pv_store_be16(signed_part + LENGTH_AT, (uint16_t)body);

    uint8_t want[PV_SHA256_LEN];
    r = make(want, key, pv_view(signed_part, covered));
    if (r < 0)
        return r;
    bool equal = pv_ct_equal(want, mac.ptr, mac_len);
    pv_wipe(want, sizeof(want));
    return equal ? PV_OK : PV_ERR_AUTH;
}

int pv_stun_check_integrity(const struct pv_stun_msg *msg, struct pv_view key)
{
    return check_mac(msg, PV_STUN_ATTR_MESSAGE_INTEGRITY, PV_STUN_INTEGRITY_LEN, mac_sha1, key);
}

int pv_stun_check_integrity_sha256(const struct pv_stun_msg *msg, struct pv_view key)
{
    return check_mac(msg, PV_STUN_ATTR_MESSAGE_INTEGRITY_SHA256, PV_STUN_SHA256_LEN, mac_sha256,
                     key);
}

int pv_stun_check_fingerprint(const struct pv_stun_msg *msg)
{
    struct pv_view crc;
    int r = pv_stun_find(msg, PV_STUN_ATTR_FINGERPRINT, &crc);
    if (r < 0)
        return r;
    if (crc.len != FINGERPRINT_LEN || crc.ptr + crc.len != msg->raw.ptr + msg->raw.len)
        return PV_ERR_AUTH;
    size_t covered = msg->raw.len - ATTR_HEADER_LEN - FINGERPRINT_LEN;
    uint32_t want = pv_crc32(pv_view(msg->raw.ptr, covered)) ^ PV_STUN_FINGERPRINT_XOR;
    return pv_load_be32(crc.ptr) == want ? PV_OK : PV_ERR_AUTH;
}

static void set_failed(struct pv_stun_writer *w, int status)
{
    if (w->status == PV_OK)
        w->status = status;
}

/* Room for an attribute of len bytes, its header written; NULL when there is none. Padding is
 * zeroed: leftovers in the buffer would otherwise leave the machine. */
static uint8_t *attr_room(struct pv_stun_writer *w, uint16_t type, size_t len)
{
    if (w->status != PV_OK)
        return NULL;
    size_t room = w->cap - w->len;
    if (len > UINT16_MAX || room < ATTR_HEADER_LEN + padded(len) ||
        w->len + ATTR_HEADER_LEN + padded(len) > PV_STUN_HEADER_LEN + UINT16_MAX) {
        set_failed(w, PV_ERR_NO_SPACE);
        return NULL;
    }
    uint8_t *p = w->buf + w->len;
    pv_store_be16(p, type);
    pv_store_be16(p + 2, (uint16_t)len);
    memset(p + ATTR_HEADER_LEN, 0, padded(len));
    w->len += ATTR_HEADER_LEN + padded(len);
    return p + ATTR_HEADER_LEN;
}

static void write_header(struct pv_stun_writer *w, uint8_t *buf, size_t cap, uint16_t type,
                         const uint8_t id[static PV_STUN_CLASSIC_ID_LEN])
{
    *w = (struct pv_stun_writer){.buf = buf, .cap = cap, .len = 0, .status = PV_OK};
    if (cap < PV_STUN_HEADER_LEN) {
        set_failed(w, PV_ERR_NO_SPACE);
        return;
    }
    pv_store_be16(buf, type);
    pv_store_be16(buf + LENGTH_AT, 0);
    memcpy(buf + COOKIE_AT, id, PV_STUN_CLASSIC_ID_LEN);
    w->len = PV_STUN_HEADER_LEN;
}

void pv_stun_write_begin(struct pv_stun_writer *w, uint8_t *buf, size_t cap, enum pv_stun_class cls,
                         uint16_t method, const uint8_t *txid)
{
    uint8_t id[PV_STUN_CLASSIC_ID_LEN];
    pv_store_be32(id, PV_STUN_COOKIE);
    memcpy(id + 4, txid, PV_STUN_TXID_LEN);
    write_header(w, buf, cap, type_make(cls, method), id);
}

void pv_stun_write_answer(struct pv_stun_writer *w, uint8_t *buf, size_t cap,
                          enum pv_stun_class cls, const struct pv_stun_msg *request)
{
    write_header(w, buf, cap, type_make(cls, request->method), request->raw.ptr + COOKIE_AT);
}

void pv_stun_put(struct pv_stun_writer *w, uint16_t type, struct pv_view value)
{
    uint8_t *p = attr_room(w, type, value.len);
    if (p != NULL && value.len > 0)
        memcpy(p, value.ptr, value.len);
}

void pv_stun_put_u32(struct pv_stun_writer *w, uint16_t type, uint32_t value)
{
    uint8_t *p = attr_room(w, type, 4);
    if (p != NULL)
        pv_store_be32(p, value);
}

void pv_stun_put_u64(struct pv_stun_writer *w, uint16_t type, uint64_t value)
{
    uint8_t *p = attr_room(w, type, 8);
    if (p != NULL)
        pv_store_be64(p, value);
}

void pv_stun_put_addr(struct pv_stun_writer *w, uint16_t type, const struct pv_addr *addr)
{
    size_t ip_len = pv_addr_ip_len(addr);
    uint8_t *p = attr_room(w, type, ADDR_HEADER_LEN + ip_len);
    if (p == NULL)
        return;
    p[1] = addr->family == PV_AF_INET6 ? FAMILY_IPV6 : FAMILY_IPV4;
    pv_store_be16(p + 2, addr->port);
    memcpy(p + ADDR_HEADER_LEN, addr->ip, ip_len);
}

void pv_stun_put_xor_addr(struct pv_stun_writer *w, uint16_t type, const struct pv_addr *addr)
{
    if (w->status != PV_OK)
        return;
    struct pv_addr masked = *addr;
    xor_addr(&masked, w->buf + COOKIE_AT);
    pv_stun_put_addr(w, type, &masked);
}

void pv_stun_put_error(struct pv_stun_writer *w, unsigned code, const char *reason)
{
    size_t len = strlen(reason);
    uint8_t *p = attr_room(w, PV_STUN_ATTR_ERROR_CODE, ERROR_HEADER_LEN + len);
    if (p == NULL)
        return;
    p[2] = (uint8_t)(code / 100);
    p[3] = (uint8_t)(code % 100);
    memcpy(p + ERROR_HEADER_LEN, reason, len);
}

void pv_stun_put_unknown(struct pv_stun_writer *w, const uint16_t *types, size_t n)
{
    uint8_t *p = attr_room(w, PV_STUN_ATTR_UNKNOWN_ATTRIBUTES, 2 * n);
    for (size_t i = 0; p != NULL && i < n; i++)
        pv_store_be16(p + 2 * i, types[i]);
}

void pv_stun_put_padding(struct pv_stun_writer *w, size_t len)
{
    (void)attr_room(w, PV_STUN_ATTR_PADDING, len);
}

/* Makes the header's length end at the message's present end. */
static void set_length(struct pv_stun_writer *w)
{
    pv_store_be16(w->buf + LENGTH_AT, (uint16_t)(w->len - PV_STUN_HEADER_LEN));
}

/* The header's length must already include the MAC when the MAC is computed (RFC 8489 s14.5), hence
 * room first, then length, then the MAC over everything before the attribute. */
static void put_mac(struct pv_stun_writer *w, uint16_t type, size_t mac_len,
                    int (*make)(uint8_t *, struct pv_view, struct pv_view), struct pv_view key)
{
    size_t covered = w->len;
    if (covered > PV_STUN_MAX_SIGNED)
        set_failed(w, PV_ERR_NO_SPACE);
    uint8_t *p = attr_room(w, type, mac_len);
    if (p == NULL)
        return;
    set_length(w);
    int r = make(p, key, pv_view(w->buf, covered));
    if (r < 0)
        set_failed(w, r);
}

void pv_stun_put_integrity(struct pv_stun_writer *w, struct pv_view key)
{
    put_mac(w, PV_STUN_ATTR_MESSAGE_INTEGRITY, PV_STUN_INTEGRITY_LEN, mac_sha1, key);
}

void pv_stun_put_integrity_sha256(struct pv_stun_writer *w, struct pv_view key)
{
    put_mac(w, PV_STUN_ATTR_MESSAGE_INTEGRITY_SHA256, PV_STUN_SHA256_LEN, mac_sha256, key);
}

void pv_stun_put_fingerprint(struct pv_stun_writer *w)
{
    size_t covered = w->len;
    uint8_t *p = attr_room(w, PV_STUN_ATTR_FINGERPRINT, FINGERPRINT_LEN);
    if (p == NULL)
        return;
    set_length(w);
    pv_store_be32(p, pv_crc32(pv_view(w->buf, covered)) ^ PV_STUN_FINGERPRINT_XOR);
}

int pv_stun_write_end(struct pv_stun_writer *w, size_t *ret_len)
{
    if (w->status != PV_OK)
        return w->status;
    set_length(w);
    *ret_len = w->len;
    return PV_OK;
}
