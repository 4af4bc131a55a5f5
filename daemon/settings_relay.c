/* SPDX-License-Identifier: MIT */
/* Servers beside the coordinator, as the configuration names them. */
#include "daemon/settings_relay.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

enum {
    PORT_TURN = 3478, /* RFC 7065 s3.1 */
    PORT_TURNS = 5349,
};

static bool is_name(const char *host, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = host[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '.';
        if (!ok)
            return false;
    }
    return len > 0;
}

/* HOST, ADDRESS or [IPV6] and :PORT of len bytes. */
static bool take_host(const char *text, size_t len, struct pv_relayway_server *s)
{
    struct pv_addr addr;
    const char *end = text + len, *host = text, *colon;
    size_t host_len;
    uint64_t port = 0;
    char number[8];
    if (len > 0 && text[0] == '[') {
        host = text + 1;
        const char *close = memchr(host, ']', len - 1);
        if (close == NULL)
            return false;
        host_len = (size_t)(close - host);
        colon = close + 1;
    } else {
        colon = memchr(text, ':', len);
        colon = colon == NULL ? end : colon;
        host_len = (size_t)(colon - text);
    }
    if (colon < end) {
        size_t digits = (size_t)(end - colon) - 1;
        if (*colon != ':' || digits >= sizeof(number))
            return false;
        memcpy(number, colon + 1, digits);
        number[digits] = '\0';
        if (pv_u64_parse(number, 1, 65535, &port) < 0)
            return false;
        s->port = (uint16_t)port;
    }
    if (host_len >= sizeof(s->host))
        return false;
    memcpy(s->host, host, host_len);
    s->host[host_len] = '\0';
    if (text[0] == '[')
        return pv_addr_parse_ip(s->host, &addr) == PV_OK && addr.family == PV_AF_INET6;
    return is_name(s->host, host_len);
}

int pv_settings_relay_parse(const char *text, struct pv_relayway_server *ret_server,
                            const char **ret_why)
{
    struct pv_relayway_server s = {.port = PORT_TURN, .udp = true, .stream = true};
    const char *query = strchr(text, '?');
    size_t len = query == NULL ? strlen(text) : (size_t)(query - text);
    size_t scheme = 5;
    if (strncmp(text, "turns:", 6) == 0) {
        s.tls = true;
        s.udp = false;
        s.port = PORT_TURNS;
        scheme = 6;
    } else if (strncmp(text, "turn:", 5) != 0) {
        *ret_why = "turn: expected turn:HOST:PORT or turns:HOST:PORT";
        return PV_ERR_MALFORMED;
    }
    if (!take_host(text + scheme, len - scheme, &s)) {
        *ret_why = "turn: expected a name or an address ([IPV6] in brackets), and a port from 1 to "
                   "65535 if any";
        return PV_ERR_MALFORMED;
    }
    if (query != NULL && strcmp(query, "?transport=tcp") == 0) {
        s.udp = false;
    } else if (query != NULL && strcmp(query, "?transport=udp") == 0 && !s.tls) {
        s.stream = false;
    } else if (query != NULL) {
        *ret_why = s.tls ? "turn: turns: goes by ?transport=tcp only"
                         : "turn: expected ?transport=udp or ?transport=tcp";
        return PV_ERR_MALFORMED;
    }
    *ret_server = s;
    return PV_OK;
}

int pv_settings_stun_parse(const char *text, struct pv_stun_server *ret_server)
{
    struct pv_relayway_server s = {.port = PORT_TURN}; /* also STUN's, RFC 8489 s18.6 */
    if (!take_host(text, strlen(text), &s))
        return PV_ERR_MALFORMED;
    memcpy(ret_server->host, s.host, sizeof(ret_server->host));
    ret_server->port = s.port;
    return PV_OK;
}
