/* SPDX-License-Identifier: MIT */
/* proxyset.c - reads URLs of a proxy, and the list of hosts that need none. */
#include "proto/local/proxyset.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "crypto/ct.h"

#define HTTP "http://"

const char *pv_proxyset_at(const char *host, uint16_t port, char buf[static PV_CONNECT_AT_BUF])
{
    bool v6 = strchr(host, ':') != NULL;
    snprintf(buf, PV_CONNECT_AT_BUF, "%s%.253s%s:%u", v6 ? "[" : "", host, v6 ? "]" : "",
             (unsigned)port);
    return buf;
}

/* --- URLs ------------------------------------------------------------------------------------- */

/* "HOST", "HOST:PORT", "[IPV6]:PORT"; one slash may follow. *ret_set keeps its port if the text has
 * none. */
static bool take_place(const char *text, struct pv_proxyset *ret_set)
{
    struct pv_addr addr;
    const bool bracket = text[0] == '[';
    const char *host = bracket ? text + 1 : text;
    size_t len = strcspn(host, bracket ? "]" : ":/");
    const char *rest = host + len;
    char digits[8];
    uint64_t port = ret_set->port;
    if (bracket && *rest++ != ']')
        return false;
    if (*rest == ':') {
        size_t n = strcspn(++rest, "/");
        if (n >= sizeof(digits))
            return false;
        snprintf(digits, sizeof(digits), "%.*s", (int)n, rest);
        if (pv_u64_parse(digits, 1, UINT16_MAX, &port) < 0)
            return false;
        rest += n;
    }
    if (len == 0 || len >= sizeof(ret_set->host) || port == 0 ||
        (rest[0] != '\0' && strcmp(rest, "/") != 0))
        return false;
    snprintf(ret_set->host, sizeof(ret_set->host), "%.*s", (int)len, host);
    ret_set->port = (uint16_t)port;
    if (bracket)
        return pv_addr_parse_ip(ret_set->host, &addr) == PV_OK && addr.family == PV_AF_INET6;
    for (size_t i = 0; i < len; i++) {
        char c = host[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '.' || c == '_'))
            return false;
    }
    return true;
}

int pv_proxyset_parse(const char *url, struct pv_proxyset *ret_set, const char **ret_why)
{
    *ret_set = (struct pv_proxyset){.port = 0};
    if (strncasecmp(url, HTTP, sizeof(HTTP) - 1) == 0 &&
        take_place(url + sizeof(HTTP) - 1, ret_set))
        return PV_OK;
    /* The text itself is not repeated: it may hold a password. */
    *ret_why = strchr(url, '@') != NULL
                   ? "proxy: user and password stand in proxy-user and proxy-password-file"
                   : "proxy: expected http://HOST:PORT";
    *ret_set = (struct pv_proxyset){.port = 0};
    return PV_ERR_MALFORMED;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Undoes percent-encoding (RFC 3986 s2.1). No control character may come into a request. */
static bool decode(const char *text, size_t len, char dst[static PV_CONNECT_USER_MAX + 1])
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        int c = (unsigned char)text[i];
        if (c == '%') {
            int high = i + 2 < len ? hex_digit(text[i + 1]) : -1;
            int low = high < 0 ? -1 : hex_digit(text[i + 2]);
            if (low < 0)
                return false;
            c = high * 16 + low;
            i += 2;
        }
        if (c < ' ' || c == 0x7f || n == PV_CONNECT_USER_MAX)
            return false;
        dst[n++] = (char)c;
    }
    dst[n] = '\0';
    return true;
}

/* RFC 7617 s2: a user has no colon, since the first one begins the password. */
static bool take_login(const char *text, size_t len, struct pv_connect_login *ret_login)
{
    const char *colon = memchr(text, ':', len);
    size_t user = colon == NULL ? len : (size_t)(colon - text);
    return decode(text, user, ret_login->user) && ret_login->user[0] != '\0' &&
           strchr(ret_login->user, ':') == NULL &&
           (colon == NULL || decode(colon + 1, len - user - 1, ret_login->password));
}

int pv_proxyset_parse_env(const char *url, struct pv_proxyset *ret_set,
                          struct pv_connect_login *ret_login)
{
    int r = PV_OK;
    const char *scheme = strstr(url, "://");
    const char *rest = scheme == NULL ? url : scheme + 3;
    /* The last "@": curl takes one in a password as it stands. */
    const char *at = memrchr(rest, '@', strcspn(rest, "/"));
    *ret_set = (struct pv_proxyset){.port = PV_PROXYSET_PORT};
    *ret_login = (struct pv_connect_login){.user = ""};
    if (scheme != NULL && strncasecmp(url, HTTP, sizeof(HTTP) - 1) != 0)
        r = PV_ERR_UNSUPPORTED;
    else if (at != NULL && !take_login(rest, (size_t)(at - rest), ret_login))
        r = PV_ERR_MALFORMED;
    else if (!take_place(at == NULL ? rest : at + 1, ret_set))
        r = PV_ERR_MALFORMED;
    if (r < 0) {
        *ret_set = (struct pv_proxyset){.port = 0};
        pv_wipe(ret_login, sizeof(*ret_login));
        return r;
    }
    ret_set->has_login = ret_login->user[0] != '\0';
    return PV_OK;
}

/* --- hosts that need none --------------------------------------------------------------------- */

/* "10.0.0.0/8", where host bits may be set, or an address. */
static bool is_in_range(const char *entry, const struct pv_addr *addr)
{
    char ip[PV_ADDR_TEXT];
    struct pv_prefix range = {.bits = 0};
    size_t len = strcspn(entry, "/");
    uint64_t bits = addr->family == PV_AF_INET ? 32 : 128;
    if (len >= sizeof(ip) ||
        (entry[len] == '/' && pv_u64_parse(entry + len + 1, 0, bits, &bits) < 0))
        return false;
    snprintf(ip, sizeof(ip), "%.*s", (int)len, entry);
    if (pv_addr_parse_ip(ip, &range.base) < 0 || range.base.family != addr->family)
        return false;
    range.bits = (uint8_t)bits;
    return pv_prefix_contains(&range, addr);
}

static size_t without_dot(const char *name, size_t len)
{
    return len > 0 && name[len - 1] == '.' ? len - 1 : len;
}

/* "example.org" and ".example.org" are that name and all below it. */
static bool is_below(const char *entry, const char *host)
{
    size_t n = without_dot(host, strlen(host));
    if (*entry == '.')
        entry++;
    size_t len = without_dot(entry, strlen(entry));
    return len > 0 && len <= n && strncasecmp(host + n - len, entry, len) == 0 &&
           (len == n || host[n - len - 1] == '.');
}

bool pv_proxyset_is_except(const char *list, const char *host)
{
    static const char between[] = ", \t";
    char entry[PV_PROXYSET_HOST_BUF];
    struct pv_addr addr;
    bool is_ip = pv_addr_parse_ip(host, &addr) == PV_OK;
    if (strcmp(list, "*") == 0)
        return true;
    for (list += strspn(list, between); *list != '\0'; list += strspn(list, between)) {
        size_t len = strcspn(list, between);
        if (len < sizeof(entry)) {
            snprintf(entry, sizeof(entry), "%.*s", (int)len, list);
            if (is_ip ? is_in_range(entry, &addr) : is_below(entry, host))
                return true;
        }
        list += len;
    }
    return false;
}
