/* SPDX-License-Identifier: MIT */
/* proxy.c - requests of SOCKS5 and HTTP, and what is answered. */
#include "proto/local/proxy.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/text.h"
#include "proto/local/httplines.h"

enum {
    SOCKS5 = 5,       /* RFC 1928 s3 */
    NO_AUTH = 0,      /* the same: methods */
    NO_METHOD = 0xFF, /* none of those that the program offers */
    CMD_CONNECT = 1,  /* s4 */
    CMD_UDP = 3,
    ATYP_IP4 = 1, /* s5 */
    ATYP_NAME = 3,
    ATYP_IP6 = 4,
};

/* Both protocols' words for one end: s6, and RFC 9110 s15. */
static const struct {
    uint8_t socks;
    const char *http;
} ends[PV_PROXY_N_ENDS] = {
    [PV_PROXY_DONE] = {0, "200 Connected"},
    [PV_PROXY_FAILED] = {1, "503 Service Unavailable"},
    [PV_PROXY_NO_HOST] = {4, "502 Bad Gateway"},
    [PV_PROXY_REFUSED] = {5, "502 Bad Gateway"},
    [PV_PROXY_SILENT] = {6, "504 Gateway Timeout"},
    [PV_PROXY_UNKNOWN] = {7, "405 Method Not Allowed\r\nAllow: CONNECT"},
    [PV_PROXY_NO_ADDRESS] = {8, "400 Bad Request"},
    [PV_PROXY_UNREADABLE] = {1, "400 Bad Request"},
};

/* A name goes into requests and notes: no blank, no control character, no NUL, nothing else of
 * which two readers could think differently. */
static int take_host(struct pv_view text, struct pv_proxy_target *ret_target)
{
    if (text.len == 0 || text.len >= sizeof(ret_target->host))
        return PV_ERR_MALFORMED;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= ' ' || text.ptr[i] > '~')
            return PV_ERR_MALFORMED;
    }
    memcpy(ret_target->host, text.ptr, text.len);
    ret_target->host[text.len] = '\0';
    return PV_OK;
}

/* --- SOCKS5 -------------------------------------------------------------------------------- */

/* ATYP, address and port, s4 and s7. PV_ERR_UNSUPPORTED: an address of another kind. */
static int take_address(struct pv_reader *in, struct pv_proxy_target *ret_target)
{
    char text[PV_ADDR_TEXT];
    uint8_t ip[PV_IP6_LEN], kind = pv_get_u8(in);
    struct pv_view name = pv_view(NULL, 0);
    struct pv_addr addr = {.family = PV_AF_NONE};
    if (in->status == PV_OK && kind != ATYP_IP4 && kind != ATYP_IP6 && kind != ATYP_NAME)
        return PV_ERR_UNSUPPORTED;
    if (kind == ATYP_NAME) {
        name = pv_get_bytes(in, pv_get_u8(in));
    } else if (kind == ATYP_IP4) {
        pv_get_copy(in, ip, PV_IP4_LEN);
        addr = pv_addr4(ip[0], ip[1], ip[2], ip[3], 0);
    } else {
        pv_get_copy(in, ip, PV_IP6_LEN);
        addr = pv_addr_unmap(pv_addr6(ip, 0));
    }
    ret_target->port = pv_get_u16(in);
    if (in->status < 0)
        return in->status;
    if (kind != ATYP_NAME)
        name = pv_view(text, strlen(pv_addr_format_ip(&addr, text)));
    return take_host(name, ret_target);
}

/* s3: VER, NMETHODS, METHODS. */
static int hear_greeting(struct pv_proxy *p, struct pv_view heard, size_t *ret_used, uint8_t *say,
                         size_t *ret_said)
{
    struct pv_reader in = pv_reader(heard);
    (void)pv_get_u8(&in);
    struct pv_view methods = pv_get_bytes(&in, pv_get_u8(&in));
    if (in.status < 0)
        return PV_ERR_AGAIN;
    bool fits = methods.len > 0 && memchr(methods.ptr, NO_AUTH, methods.len) != NULL;
    *ret_used = heard.len - in.rest.len;
    say[0] = SOCKS5;
    say[1] = fits ? NO_AUTH : NO_METHOD;
    *ret_said = 2;
    p->greeted = fits;
    return fits ? PV_ERR_AGAIN : PV_ERR_UNSUPPORTED;
}

/* s4: VER, CMD, RSV, address. */
static int hear_request(const struct pv_proxy *p, struct pv_view heard, size_t *ret_used,
                        struct pv_proxy_target *ret_target, uint8_t *say, size_t *ret_said)
{
    const struct pv_addr none = {.family = PV_AF_NONE};
    struct pv_reader in = pv_reader(heard);
    uint8_t version = pv_get_u8(&in), command = pv_get_u8(&in);
    (void)pv_get_u8(&in);
    int r = in.status < 0 ? in.status : take_address(&in, ret_target);
    if (version != SOCKS5)
        r = PV_ERR_MALFORMED;
    if (r == PV_ERR_TRUNCATED)
        return PV_ERR_AGAIN;
    enum pv_proxy_end end = r == PV_ERR_UNSUPPORTED ? PV_PROXY_NO_ADDRESS : PV_PROXY_UNREADABLE;
    if (r == PV_OK && command != CMD_CONNECT && command != CMD_UDP) {
        r = PV_ERR_UNSUPPORTED;
        end = PV_PROXY_UNKNOWN;
    } else if (r == PV_OK && command == CMD_CONNECT && ret_target->port == 0) {
        r = PV_ERR_MALFORMED;
    }
    if (r < 0) {
        *ret_said = pv_proxy_say(p, end, &none, say);
        return r;
    }
    ret_target->want = command == CMD_UDP ? PV_PROXY_UDP : PV_PROXY_CONNECT;
    *ret_used = heard.len - in.rest.len;
    return PV_OK;
}

/* --- HTTP ---------------------------------------------------------------------------------- */

/* "pi:22", "[fd00::1]:22": authority-form, RFC 9112 s3.2.3. */
static int take_authority(struct pv_view text, struct pv_proxy_target *ret_target)
{
    const uint8_t *colon = text.len == 0 ? NULL : memrchr(text.ptr, ':', text.len);
    char digits[8];
    uint64_t port = 0;
    if (colon == NULL)
        return PV_ERR_MALFORMED;
    size_t host = (size_t)(colon - text.ptr), n = text.len - host - 1;
    if (n >= sizeof(digits))
        return PV_ERR_MALFORMED;
    memcpy(digits, colon + 1, n);
    digits[n] = '\0';
    if (strlen(digits) != n || pv_u64_parse(digits, 1, UINT16_MAX, &port) < 0)
        return PV_ERR_MALFORMED;
    ret_target->port = (uint16_t)port;
    ret_target->want = PV_PROXY_CONNECT;
    if (host >= 2 && text.ptr[0] == '[' && text.ptr[host - 1] == ']')
        return take_host(pv_view(text.ptr + 1, host - 2), ret_target);
    return take_host(pv_view(text.ptr, host), ret_target);
}

#define HTTP "http://"

/* The authority and the path of a URL, "http://pi:8080/file"; false: it is no such one. Schemes
 * differ by no capitals (RFC 3986 s3.1). */
static bool split_url(struct pv_view url, struct pv_view *ret_authority, struct pv_view *ret_path)
{
    const size_t begin = sizeof(HTTP) - 1;
    size_t end = begin;
    if (url.len <= begin || strncasecmp((const char *)url.ptr, HTTP, begin) != 0)
        return false;
    while (end < url.len && url.ptr[end] != '/' && url.ptr[end] != '?')
        end++;
    *ret_authority = pv_view(url.ptr + begin, end - begin);
    *ret_path = pv_view(url.ptr + end, url.len - end);
    return true;
}

/* The port may be missing. A "@" makes no name, so no password goes anywhere. */
static int take_url_authority(struct pv_view text, struct pv_proxy_target *ret_target)
{
    char with_port[PV_PROXY_HOST_BUF + 8];
    const uint8_t *colon = text.len == 0 ? NULL : memrchr(text.ptr, ':', text.len);
    if (text.len >= PV_PROXY_HOST_BUF || memchr(text.ptr, '@', text.len) != NULL)
        return PV_ERR_MALFORMED;
    if (colon != NULL && memchr(colon, ']', text.len - (size_t)(colon - text.ptr)) == NULL)
        return take_authority(text, ret_target);
    int n = snprintf(with_port, sizeof(with_port), "%.*s:80", (int)text.len, text.ptr);
    return take_authority(pv_view(with_port, (size_t)n), ret_target);
}

/* PV_ERR_UNSUPPORTED: another method, and no whole URL. */
static int take_request_line(struct pv_proxy *p, struct pv_view line,
                             struct pv_proxy_target *ret_target)
{
    struct pv_view rest = line, authority, path;
    struct pv_view method = pv_http_word(&rest), target = pv_http_word(&rest);
    if (method.len == 0 || target.len == 0 || rest.len != 8 || memcmp(rest.ptr, "HTTP/1.", 7) != 0)
        return PV_ERR_MALFORMED;
    bool connects = method.len == 7 && memcmp(method.ptr, "CONNECT", 7) == 0;
    p->passes = !connects && split_url(target, &authority, &path);
    if (p->passes)
        return take_url_authority(authority, ret_target);
    if (!connects)
        return PV_ERR_UNSUPPORTED;
    return take_authority(target, ret_target);
}

/* The fields are not looked at: whoever is in may go everywhere. The head of a request that passes
 * is not used up. */
static int hear_http(struct pv_proxy *p, struct pv_view heard, size_t *ret_used,
                     struct pv_proxy_target *ret_target, uint8_t *say, size_t *ret_said)
{
    const struct pv_addr none = {.family = PV_AF_NONE};
    struct pv_view rest = heard, first, line;
    int r = PV_ERR_AGAIN;
    if (pv_http_line(&rest, &first)) {
        r = take_request_line(p, first, ret_target);
        /* A line that is none is answered at once: its end may never come. */
        do {
            line.len = 0;
            if (r != PV_ERR_MALFORMED && !pv_http_line(&rest, &line))
                r = PV_ERR_AGAIN;
        } while (line.len > 0);
    }
    if (r == PV_ERR_AGAIN && heard.len >= PV_PROXY_HEAR_MAX)
        r = PV_ERR_LIMIT;
    if (r == PV_OK)
        *ret_used = p->passes ? 0 : heard.len - rest.len;
    else if (r != PV_ERR_AGAIN)
        *ret_said = pv_proxy_say(
            p, r == PV_ERR_UNSUPPORTED ? PV_PROXY_UNKNOWN : PV_PROXY_UNREADABLE, &none, say);
    return r;
}

/* Fields that are about the connection to the proxy (RFC 9110 s7.6.1), and a password for it. */
static bool is_about_the_proxy(struct pv_view line)
{
    static const char *const names[] = {
        "connection:", "proxy-connection:", "keep-alive:", "proxy-authorization:"};
    for (size_t i = 0; i < PV_ARRAY_LEN(names); i++) {
        size_t n = strlen(names[i]);
        if (line.len >= n && strncasecmp((const char *)line.ptr, names[i], n) == 0)
            return true;
    }
    return false;
}

int pv_proxy_pass(uint8_t heard[static PV_PROXY_PASS_MAX], size_t len, size_t *ret_len)
{
    static const char last[] = "Connection: close\r\n\r\n";
    uint8_t made[PV_PROXY_PASS_MAX];
    struct pv_writer out = pv_writer(made, sizeof(made));
    struct pv_view rest = pv_view(heard, len), line, authority, path = pv_view(NULL, 0);
    if (!pv_http_line(&rest, &line))
        return PV_ERR_MALFORMED;
    const struct pv_view method = pv_http_word(&line), target = pv_http_word(&line);
    if (!split_url(target, &authority, &path))
        return PV_ERR_MALFORMED;
    pv_put_bytes(&out, method.ptr, method.len);
    pv_put_bytes(&out, " /", path.len > 0 && path.ptr[0] == '/' ? 1 : 2);
    pv_put_bytes(&out, path.ptr, path.len);
    pv_put_bytes(&out, " ", 1);
    pv_put_bytes(&out, line.ptr, line.len); /* the version */
    pv_put_bytes(&out, "\r\n", 2);
    while (pv_http_line(&rest, &line) && line.len > 0) {
        if (is_about_the_proxy(line))
            continue;
        pv_put_bytes(&out, line.ptr, line.len);
        pv_put_bytes(&out, "\r\n", 2);
    }
    pv_put_bytes(&out, last, sizeof(last) - 1);
    pv_put_bytes(&out, rest.ptr, rest.len);
    if (out.status < 0)
        return PV_ERR_LIMIT;
    memcpy(heard, made, out.len);
    *ret_len = out.len;
    return PV_OK;
}

/* --- both ---------------------------------------------------------------------------------- */

int pv_proxy_hear(struct pv_proxy *p, struct pv_view heard, size_t *ret_used,
                  struct pv_proxy_target *ret_target, uint8_t say[static PV_PROXY_SAY_MAX],
                  size_t *ret_said)
{
    *ret_used = *ret_said = 0;
    *ret_target = (struct pv_proxy_target){.port = 0};
    if (heard.len == 0)
        return PV_ERR_AGAIN;
    if (p->greeted)
        return hear_request(p, heard, ret_used, ret_target, say, ret_said);
    if (heard.ptr[0] == SOCKS5)
        return hear_greeting(p, heard, ret_used, say, ret_said);
    /* Methods are tokens (RFC 9110 s9.1) and those that exist are capitals. SOCKS4 begins with 4,
     * and it has an answer of its own, which nobody needs. */
    if (heard.ptr[0] < 'A' || heard.ptr[0] > 'Z')
        return PV_ERR_MALFORMED;
    p->http = true;
    return hear_http(p, heard, ret_used, ret_target, say, ret_said);
}

static void put_address(struct pv_writer *out, const struct pv_addr *addr)
{
    static const uint8_t none[PV_IP4_LEN];
    pv_put_u8(out, addr->family == PV_AF_INET6 ? ATYP_IP6 : ATYP_IP4);
    pv_put_bytes(out, addr->family == PV_AF_NONE ? none : addr->ip,
                 addr->family == PV_AF_INET6 ? PV_IP6_LEN : PV_IP4_LEN);
    pv_put_u16(out, addr->port);
}

/* s6; RFC 9110 s9.3.6: an answer that takes CONNECT has no length. */
size_t pv_proxy_say(const struct pv_proxy *p, enum pv_proxy_end end, const struct pv_addr *at,
                    uint8_t say[static PV_PROXY_SAY_MAX])
{
    if (p->http && end == PV_PROXY_DONE)
        return p->passes ? 0
                         : (size_t)snprintf((char *)say, PV_PROXY_SAY_MAX, "HTTP/1.1 %s\r\n\r\n",
                                            ends[end].http);
    if (p->http) {
        const char *body = end == PV_PROXY_UNKNOWN
                               ? "This is the proxy of p2pvpnctl socks: ask it for http://MEMBER/\n"
                               : "";
        return (size_t)snprintf((char *)say, PV_PROXY_SAY_MAX,
                                "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                                ends[end].http, strlen(body), body);
    }
    struct pv_writer out = pv_writer(say, PV_PROXY_SAY_MAX);
    pv_put_u8(&out, SOCKS5);
    pv_put_u8(&out, ends[end].socks);
    pv_put_u8(&out, 0);
    put_address(&out, at);
    return out.len;
}

/* --- datagrams ----------------------------------------------------------------------------- */

int pv_proxy_udp_parse(struct pv_view datagram, struct pv_proxy_target *ret_target,
                       struct pv_view *ret_data)
{
    struct pv_reader in = pv_reader(datagram);
    (void)pv_get_u16(&in);
    uint8_t fragment = pv_get_u8(&in);
    *ret_target = (struct pv_proxy_target){.want = PV_PROXY_UDP};
    int r = take_address(&in, ret_target);
    if (r < 0)
        return r;
    if (fragment != 0)
        return PV_ERR_UNSUPPORTED;
    *ret_data = in.rest;
    return ret_target->port == 0 ? PV_ERR_MALFORMED : PV_OK;
}

size_t pv_proxy_udp_head(const struct pv_addr *from, uint8_t head[static PV_PROXY_UDP_MAX])
{
    struct pv_writer out = pv_writer(head, PV_PROXY_UDP_MAX);
    pv_put_u16(&out, 0);
    pv_put_u8(&out, 0);
    put_address(&out, from);
    return out.len;
}
