/* SPDX-License-Identifier: MIT */
/*
 * proxy.h - how a program says where it wants to go: SOCKS5 (RFC 1928), CONNECT of HTTP
 * (RFC 9110 s9.3.6), and requests of HTTP with a whole URL (RFC 9112 s3.2.2), as wget and apt send
 * them. The first byte tells SOCKS5 and HTTP apart.
 *
 * SOCKS5 without authentication and without BIND. Pure: bytes in, bytes out. One thread.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"

enum {
    PV_PROXY_HEAR_MAX = 8192, /* bytes that may be needed at once: an HTTP head, as scrape.h */
    PV_PROXY_PASS_MAX = PV_PROXY_HEAR_MAX + 32, /* with "Connection: close" in it */
    PV_PROXY_SAY_MAX = 256,                     /* bytes of any answer */
    PV_PROXY_HOST_BUF = 256, /* SOCKS5 s4: at most 255 bytes of a name; and a NUL */
    PV_PROXY_UDP_MAX = 22,   /* bytes of the head before a datagram with an IPv6 address, s7 */
};

enum pv_proxy_want {
    PV_PROXY_CONNECT,
    PV_PROXY_UDP, /* UDP ASSOCIATE, s4; where to follows in each datagram */
};

/* Where to: host is a name, or an address as text; printable ASCII. */
struct pv_proxy_target {
    enum pv_proxy_want want;
    char host[PV_PROXY_HOST_BUF];
    uint16_t port;
};

/* One conversation; zeroed at first. */
struct pv_proxy {
    bool http;    /* else SOCKS5 */
    bool passes;  /* HTTP: the request itself goes there, as pv_proxy_pass() makes it */
    bool greeted; /* SOCKS5: the method is agreed on, s3 */
};

/* How it went, for the answer. */
enum pv_proxy_end {
    PV_PROXY_DONE,
    PV_PROXY_FAILED,     /* for a reason that none of these is */
    PV_PROXY_NO_HOST,    /* there is no such member, or it is not reached */
    PV_PROXY_REFUSED,    /* nothing listens there */
    PV_PROXY_SILENT,     /* no answer in time */
    PV_PROXY_UNKNOWN,    /* a command or method that is not spoken */
    PV_PROXY_NO_ADDRESS, /* SOCKS5: an address of another kind */
    PV_PROXY_UNREADABLE, /* it broke the grammar */
    PV_PROXY_N_ENDS,
};

/*
 * Looks at what has come and was not used up. *ret_used: bytes that were; say[*ret_said]: what is
 * to be sent to the program now, also with an error, after which the connection ends.
 * PV_OK: *ret_target is where it wants to go; the rest is for there. PV_ERR_AGAIN: more has to
 * come, or, when bytes were used, it is to be called again. PV_ERR_MALFORMED, PV_ERR_UNSUPPORTED,
 * PV_ERR_LIMIT (PV_PROXY_HEAR_MAX bytes are no request).
 */
PV_MUST_CHECK int pv_proxy_hear(struct pv_proxy *p, struct pv_view heard, size_t *ret_used,
                                struct pv_proxy_target *ret_target,
                                uint8_t say[static PV_PROXY_SAY_MAX], size_t *ret_said);

/* Of one that passes: what is heard, with the whole head, becomes what the server gets. It names
 * the path alone, and ends the connection, for the next request may be for another server. Returns
 * its length. PV_ERR_LIMIT: it would be longer than PV_PROXY_PASS_MAX. */
PV_MUST_CHECK int pv_proxy_pass(uint8_t heard[static PV_PROXY_PASS_MAX], size_t len,
                                size_t *ret_len);

/* The answer to a request, none for one that passes and is connected. at: where datagrams go (UDP),
 * else PV_AF_NONE. Returns its length. */
size_t pv_proxy_say(const struct pv_proxy *p, enum pv_proxy_end end, const struct pv_addr *at,
                    uint8_t say[static PV_PROXY_SAY_MAX]);

/* A datagram of a program, s7: where it goes and what of it. PV_ERR_TRUNCATED, PV_ERR_MALFORMED,
 * PV_ERR_UNSUPPORTED (a fragment, which a relay may drop). */
PV_MUST_CHECK int pv_proxy_udp_parse(struct pv_view datagram, struct pv_proxy_target *ret_target,
                                     struct pv_view *ret_data);
/* The head of one that came from there. Returns its length. */
size_t pv_proxy_udp_head(const struct pv_addr *from, uint8_t head[static PV_PROXY_UDP_MAX]);
