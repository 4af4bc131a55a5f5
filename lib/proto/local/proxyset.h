/* SPDX-License-Identifier: MIT */
/*
 * proxyset.h - which HTTP proxy is used, and for which hosts: the setting `proxy`, and the
 * environment's https_proxy and no_proxy as curl understands them.
 *
 * Pure; no state.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"
#include "proto/local/connect.h"

enum {
    PV_PROXYSET_HOST_BUF = 254,    /* a name (RFC 1035 s2.3.4) or an address as text, and the NUL */
    PV_PROXYSET_EXCEPT_BUF = 1024, /* of no_proxy, with the NUL; ours */
    PV_PROXYSET_PORT = 1080,       /* curl's, of a URL of the environment without a port */
};

/* Zeroed: no proxy. */
struct pv_proxyset {
    char host[PV_PROXYSET_HOST_BUF]; /* without brackets; "": none */
    uint16_t port;
    bool has_login;                      /* a user and a password are sent */
    char except[PV_PROXYSET_EXCEPT_BUF]; /* hosts that are reached directly, as no_proxy */
};

/* "HOST:PORT", [IPv6] in brackets; host may be an address. Returns buf. */
const char *pv_proxyset_at(const char *host, uint16_t port, char buf[static PV_CONNECT_AT_BUF]);

/* Reads the setting's "http://HOST:PORT". PV_ERR_MALFORMED: *ret_why says what was expected, and
 * *ret_set is zeroed. */
PV_MUST_CHECK int pv_proxyset_parse(const char *url, struct pv_proxyset *ret_set,
                                    const char **ret_why);
/* Reads a URL of the environment: "http://" may be missing, and a port; a user and a password may
 * stand before "@", with percent-encoding. Wipes nothing of ret_login that it did not write.
 * PV_ERR_MALFORMED, PV_ERR_UNSUPPORTED (another scheme); both are zeroed. */
PV_MUST_CHECK int pv_proxyset_parse_env(const char *url, struct pv_proxyset *ret_set,
                                        struct pv_connect_login *ret_login);
/* Returns true if the host, a name or an address as text, is in the list of no_proxy: names and
 * all below them, addresses, ranges such as 10.0.0.0/8, or "*". */
bool pv_proxyset_is_except(const char *list, const char *host);
