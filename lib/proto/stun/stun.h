/* SPDX-License-Identifier: MIT */
/*
 * stun.h - STUN message codec (RFC 8489; ICE attributes RFC 8445 s16.1, NAT discovery RFC 5780).
 *
 * No I/O, no state, no allocation. A decoded message holds views into the datagram, so it lives
 * exactly as long as that datagram. Safe on any input: fuzz target tests/fuzz/proto/fuzz_stun.c.
 * It does not decide what a message means: see stunc.h, ice.h and the coordinator's stuns.h.
 * Not thread-safe per object; there are no shared objects.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"

enum {
    PV_STUN_HEADER_LEN = 20,              /* bytes, RFC 8489 s5 */
    PV_STUN_TXID_LEN = 12,                /* bytes, RFC 8489 s5 */
    PV_STUN_TXID_AT = 8,                  /* offset in a message, RFC 8489 s5 */
    PV_STUN_CLASSIC_ID_LEN = 16,          /* bytes, RFC 3489 s11.1: the cookie's place included */
    PV_STUN_MAX_ATTRS = 32,               /* ours: more is PV_ERR_LIMIT */
    PV_STUN_MAX_SIGNED = 2048,            /* ours: bytes of a message that integrity covers */
    PV_STUN_COOKIE = 0x2112A442,          /* RFC 8489 s5 */
    PV_STUN_SHA256_LEN = 32,              /* bytes, HMAC-SHA256, RFC 8489 s14.6; never truncated */
    PV_STUN_INTEGRITY_LEN = 20,           /* bytes, HMAC-SHA1, RFC 8489 s14.5 */
    PV_STUN_FINGERPRINT_XOR = 0x5354554E, /* RFC 8489 s14.7 */
    PV_STUN_BINDING = 0x001,              /* method, RFC 8489 s18.1 */
};

enum pv_stun_class {
    PV_STUN_REQUEST = 0,
    PV_STUN_INDICATION = 1,
    PV_STUN_SUCCESS = 2,
    PV_STUN_ERROR = 3,
};

/* Types below 0x8000 are comprehension-required (RFC 8489 s14). */
enum pv_stun_attr_type {
    PV_STUN_ATTR_MAPPED_ADDRESS = 0x0001,           /* RFC 8489 s14.1 */
    PV_STUN_ATTR_CHANGE_REQUEST = 0x0003,           /* RFC 5780 s7.2 */
    PV_STUN_ATTR_SOURCE_ADDRESS = 0x0004,           /* RFC 3489 s11.2.5 */
    PV_STUN_ATTR_CHANGED_ADDRESS = 0x0005,          /* RFC 3489 s11.2.3 */
    PV_STUN_ATTR_USERNAME = 0x0006,                 /* RFC 8489 s14.3 */
    PV_STUN_ATTR_MESSAGE_INTEGRITY = 0x0008,        /* RFC 8489 s14.5 */
    PV_STUN_ATTR_ERROR_CODE = 0x0009,               /* RFC 8489 s14.8 */
    PV_STUN_ATTR_UNKNOWN_ATTRIBUTES = 0x000A,       /* RFC 8489 s14.13 */
    PV_STUN_ATTR_REALM = 0x0014,                    /* RFC 8489 s14.9 */
    PV_STUN_ATTR_NONCE = 0x0015,                    /* RFC 8489 s14.10 */
    PV_STUN_ATTR_MESSAGE_INTEGRITY_SHA256 = 0x001C, /* RFC 8489 s14.6 */
    PV_STUN_ATTR_PASSWORD_ALGORITHM = 0x001D,       /* RFC 8489 s14.12 */
    PV_STUN_ATTR_USERHASH = 0x001E,                 /* RFC 8489 s14.4 */
    PV_STUN_ATTR_XOR_MAPPED_ADDRESS = 0x0020,       /* RFC 8489 s14.2 */
    PV_STUN_ATTR_PRIORITY = 0x0024,                 /* RFC 8445 s16.1 */
    PV_STUN_ATTR_USE_CANDIDATE = 0x0025,            /* RFC 8445 s16.1 */
    PV_STUN_ATTR_PADDING = 0x0026,                  /* RFC 5780 s7.6 */
    PV_STUN_ATTR_RESPONSE_PORT = 0x0027,            /* RFC 5780 s7.5 */
    PV_STUN_ATTR_PASSWORD_ALGORITHMS = 0x8002,      /* RFC 8489 s14.11 */
    PV_STUN_ATTR_ALTERNATE_SERVER = 0x8023,         /* RFC 8489 s14.15 */
    PV_STUN_ATTR_FINGERPRINT = 0x8028,              /* RFC 8489 s14.7 */
    PV_STUN_ATTR_ICE_CONTROLLED = 0x8029,           /* RFC 8445 s16.1 */
    PV_STUN_ATTR_ICE_CONTROLLING = 0x802A,          /* RFC 8445 s16.1 */
    PV_STUN_ATTR_RESPONSE_ORIGIN = 0x802B,          /* RFC 5780 s7.3 */
    PV_STUN_ATTR_OTHER_ADDRESS = 0x802C,            /* RFC 5780 s7.4 */
    PV_STUN_ATTR_NOMINATION = 0xC001,               /* draft-thatcher-ice-renomination; u32 */
};

enum pv_stun_error {
    PV_STUN_E_TRY_ALTERNATE = 300,     /* RFC 8489 s14.8 */
    PV_STUN_E_BAD_REQUEST = 400,       /* RFC 8489 s14.8 */
    PV_STUN_E_UNAUTHENTICATED = 401,   /* RFC 8489 s14.8 */
    PV_STUN_E_UNKNOWN_ATTRIBUTE = 420, /* RFC 8489 s14.8 */
    PV_STUN_E_ROLE_CONFLICT = 487,     /* RFC 8445 s16.2 */
};

struct pv_stun_attr {
    uint16_t type; /* enum pv_stun_attr_type or unknown */
    struct pv_view value;
};

/* One decoded message. Read-only for everyone but the decoders. */
struct pv_stun_msg {
    enum pv_stun_class cls;
    uint16_t method;     /* 12 bits, RFC 8489 s5 */
    bool classic;        /* RFC 3489: no cookie; the id is the 16 bytes at raw.ptr + 4 */
    const uint8_t *txid; /* PV_STUN_TXID_LEN bytes inside raw */
    struct pv_view raw;  /* the whole message, header included */
    size_t n_attrs;      /* <= PV_STUN_MAX_ATTRS */
    struct pv_stun_attr attrs[PV_STUN_MAX_ATTRS];
};

/*
 * Parse one datagram.
 *
 * data: borrowed until *ret_msg is no longer used.
 * Returns 0 and fills *ret_msg, or leaves *ret_msg untouched and returns
 *   PV_ERR_TRUNCATED  shorter than the header or than its length field says
 *   PV_ERR_MALFORMED  top bits, cookie, length or trailing bytes are wrong (RFC 8489 s6.3)
 *   PV_ERR_LIMIT      more than PV_STUN_MAX_ATTRS attributes
 * Does not authenticate anything: see pv_stun_check_integrity().
 */
PV_MUST_CHECK int pv_stun_decode(struct pv_view data, struct pv_stun_msg *ret_msg);

/* The same for a message of RFC 3489, which has no cookie: only Binding requests are recognised,
 * one with the cookie is PV_ERR_MALFORMED here. For servers that serve old clients. */
PV_MUST_CHECK int pv_stun_decode_classic(struct pv_view data, struct pv_stun_msg *ret_msg);

/* First attribute of this type that integrity covers: what follows MESSAGE-INTEGRITY (either
 * kind) or FINGERPRINT is not looked at, those excepted (RFC 8489 s14.5). PV_ERR_NOT_FOUND. */
PV_MUST_CHECK int pv_stun_find(const struct pv_stun_msg *msg, uint16_t type,
                               struct pv_view *ret_value);
bool pv_stun_has(const struct pv_stun_msg *msg, uint16_t type);

/* Attributes of a fixed size. PV_ERR_NOT_FOUND, or PV_ERR_MALFORMED for another size. */
PV_MUST_CHECK int pv_stun_get_u32(const struct pv_stun_msg *msg, uint16_t type,
                                  uint32_t *ret_value);
PV_MUST_CHECK int pv_stun_get_u64(const struct pv_stun_msg *msg, uint16_t type,
                                  uint64_t *ret_value);

/* MAPPED-ADDRESS and friends (RFC 8489 s14.1). PV_ERR_NOT_FOUND or PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_stun_get_addr(const struct pv_stun_msg *msg, uint16_t type,
                                   struct pv_addr *ret_addr);
/* XOR-MAPPED-ADDRESS and friends (RFC 8489 s14.2). PV_ERR_NOT_FOUND or PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_stun_get_xor_addr(const struct pv_stun_msg *msg, uint16_t type,
                                       struct pv_addr *ret_addr);
/* Returns the number of attributes before MESSAGE-INTEGRITY (either kind) or FINGERPRINT. Needed
 * for attributes that may occur several times: msg->attrs[0..n). */
size_t pv_stun_covered(const struct pv_stun_msg *msg);
/* The XOR address in attribute i, whatever its type. PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_stun_attr_xor_addr(const struct pv_stun_msg *msg, size_t i,
                                        struct pv_addr *ret_addr);
/* The number in ERROR-CODE, 300..699 (RFC 8489 s14.8). PV_ERR_NOT_FOUND or PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_stun_get_error(const struct pv_stun_msg *msg, unsigned *ret_code);

/*
 * The comprehension-required types of the message that are not among the n_known ones, each once,
 * in message order, into ret_types[cap]. Returns how many were written. MESSAGE-INTEGRITY needs to
 * be named like the others; what follows it is not looked at.
 */
size_t pv_stun_list_unknown(const struct pv_stun_msg *msg, const uint16_t *known, size_t n_known,
                            uint16_t *ret_types, size_t cap);

/* Constant-time MESSAGE-INTEGRITY check (RFC 8489 s14.5). PV_ERR_NOT_FOUND, PV_ERR_AUTH,
 * PV_ERR_LIMIT when it covers more than PV_STUN_MAX_SIGNED bytes, PV_ERR_CRYPTO. */
PV_MUST_CHECK int pv_stun_check_integrity(const struct pv_stun_msg *msg, struct pv_view key);

/* The same for MESSAGE-INTEGRITY-SHA256 of 32 bytes (RFC 8489 s14.6). */
PV_MUST_CHECK int pv_stun_check_integrity_sha256(const struct pv_stun_msg *msg, struct pv_view key);

/* FINGERPRINT present, last and right (RFC 8489 s14.7). PV_ERR_NOT_FOUND or PV_ERR_AUTH. */
PV_MUST_CHECK int pv_stun_check_fingerprint(const struct pv_stun_msg *msg);

/*
 * Writer. The first failure sticks: later puts are no-ops and pv_stun_write_end() reports it, so
 * callers write straight-line code with one check at the end.
 */
struct pv_stun_writer {
    uint8_t *buf; /* cap bytes, owned by the caller */
    size_t cap;
    size_t len; /* bytes written so far */
    int status; /* PV_OK or the first error */
};

/* txid: PV_STUN_TXID_LEN bytes. */
void pv_stun_write_begin(struct pv_stun_writer *w, uint8_t *buf, size_t cap, enum pv_stun_class cls,
                         uint16_t method, const uint8_t *txid);
/* Begins the answer to a request: its method and id, the old form when it came in the old form. */
void pv_stun_write_answer(struct pv_stun_writer *w, uint8_t *buf, size_t cap,
                          enum pv_stun_class cls, const struct pv_stun_msg *request);
/* value: at most 65535 bytes; padded with zeros to a multiple of 4. */
void pv_stun_put(struct pv_stun_writer *w, uint16_t type, struct pv_view value);
void pv_stun_put_u32(struct pv_stun_writer *w, uint16_t type, uint32_t value);
void pv_stun_put_u64(struct pv_stun_writer *w, uint16_t type, uint64_t value);
void pv_stun_put_addr(struct pv_stun_writer *w, uint16_t type, const struct pv_addr *addr);
void pv_stun_put_xor_addr(struct pv_stun_writer *w, uint16_t type, const struct pv_addr *addr);
/* ERROR-CODE with a reason phrase (may be empty). code: 300..699. */
void pv_stun_put_error(struct pv_stun_writer *w, unsigned code, const char *reason);
void pv_stun_put_unknown(struct pv_stun_writer *w, const uint16_t *types, size_t n);
/* PADDING with len bytes of zeros (RFC 5780 s7.6). */
void pv_stun_put_padding(struct pv_stun_writer *w, size_t len);
/* HMAC-SHA1 over all before it; only FINGERPRINT may follow. The message so far must be within
 * PV_STUN_MAX_SIGNED. Adds PV_ERR_CRYPTO to what write_end() may report. */
void pv_stun_put_integrity(struct pv_stun_writer *w, struct pv_view key);
/* The same with MESSAGE-INTEGRITY-SHA256. */
void pv_stun_put_integrity_sha256(struct pv_stun_writer *w, struct pv_view key);
/* CRC-32 over all before it; nothing may follow. */
void pv_stun_put_fingerprint(struct pv_stun_writer *w);

/* Returns 0 and the message length in bytes, or the first error: PV_ERR_NO_SPACE (cap is too
 * small or the message too large), PV_ERR_CRYPTO. */
PV_MUST_CHECK int pv_stun_write_end(struct pv_stun_writer *w, size_t *ret_len);
