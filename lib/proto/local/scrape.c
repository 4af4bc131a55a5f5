/* SPDX-License-Identifier: MIT */
/*
 * scrape.c - as much of HTTP as gives one page to Prometheus (RFC 9110, RFC 9112). No keep-alive,
 * no body, no chunks: what is not needed cannot be attacked. A page for this machine only checks
 * the Host field, so that a web page in a browser cannot read it through DNS rebinding.
 */
#include "proto/local/scrape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/addr.h"
#include "base/text.h"
#include "proto/local/httplines.h"

#define PAGE "/metrics"

static const struct http_status {
    unsigned code;
    const char *reason, *more; /* header lines; a line for people follows */
    const char *text;
} STATUSES[] = {
    {200, "OK", "", ""},
    {400, "Bad Request", "", "this is no HTTP request\n"},
    {403, "Forbidden", "",
     "the Host of the request is neither an address nor localhost: this page is for this "
     "machine\n"},
    {404, "Not Found", "", "there is only " PAGE "\n"},
    {405, "Method Not Allowed", "Allow: GET, HEAD\r\n", "there are only GET and HEAD\n"},
    {431, "Request Header Fields Too Large", "", "the request is longer than 8 KiB\n"},
    {505, "HTTP Version Not Supported", "", "there are only HTTP/1.0 and HTTP/1.1\n"},
};

/* --- reading --------------------------------------------------------------------------------- */

static bool word_is(struct pv_view v, const char *text)
{
    return v.len == strlen(text) && memcmp(v.ptr, text, v.len) == 0;
}

/* The path of a target in origin-form or absolute-form (RFC 9112 s3.2), without its query. */
static struct pv_view path_of(struct pv_view target)
{
    static const char scheme[] = "http://";
    size_t n = sizeof(scheme) - 1;
    if (target.len >= n && strncasecmp((const char *)target.ptr, scheme, n) == 0) {
        const uint8_t *slash = target.len == n ? NULL : memchr(target.ptr + n, '/', target.len - n);
        size_t gone = slash == NULL ? target.len : (size_t)(slash - target.ptr);
        target = pv_view(target.ptr + gone, target.len - gone);
    }
    const uint8_t *query = target.len == 0 ? NULL : memchr(target.ptr, '?', target.len);
    return pv_view(target.ptr, query == NULL ? target.len : (size_t)(query - target.ptr));
}

/* old: HTTP/1.0, where Host may be missing. */
static unsigned judge_line(struct pv_view line, struct pv_scrape *s, bool *ret_old)
{
    struct pv_view rest = line;
    struct pv_view method = pv_http_word(&rest), target = pv_http_word(&rest);
    if (method.len == 0 || target.len == 0 || rest.len != 8 || memcmp(rest.ptr, "HTTP/", 5) != 0 ||
        rest.ptr[6] != '.')
        return 400;
    if (rest.ptr[5] != '1')
        return 505;
    *ret_old = rest.ptr[7] == '0';
    s->head = word_is(method, "HEAD");
    if (!s->head && !word_is(method, "GET"))
        return 405;
    return word_is(path_of(target), PAGE) ? 200 : 404;
}

bool pv_scrape_is_this_machine(struct pv_view host)
{
    char text[PV_ADDR_TEXT + 8];
    struct pv_addr addr;
    if (host.len >= sizeof(text))
        return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    if (strlen(text) != host.len)
        return false;
    if (pv_addr_parse(text, &addr) == PV_OK || pv_addr_parse_ip(text, &addr) == PV_OK)
        return true;
    if (text[0] == '[' && text[host.len - 1] == ']') {
        text[host.len - 1] = '\0';
        return pv_addr_parse_ip(text + 1, &addr) == PV_OK && addr.family == PV_AF_INET6;
    }
    /* A name goes on with a port and nothing else: "localhost:1@evil.example" is another's. */
    const char *port = strchr(text, ':');
    uint64_t number;
    if (port != NULL && pv_u64_parse(port + 1, 0, UINT16_MAX, &number) < 0)
        return false;
    text[strcspn(text, ":")] = '\0';
    return strcasecmp(text, "localhost") == 0;
}

/* One line of the header. */
static unsigned judge_field(struct pv_view line, bool local, unsigned *n_hosts)
{
    static const char name[] = "host:";
    size_t n = sizeof(name) - 1;
    if (memchr(line.ptr, ':', line.len) == NULL)
        return 400;
    if (line.len < n || strncasecmp((const char *)line.ptr, name, n) != 0)
        return 200;
    ++*n_hosts;
    while (n < line.len && (line.ptr[n] == ' ' || line.ptr[n] == '\t'))
        n++;
    while (line.len > n && (line.ptr[line.len - 1] == ' ' || line.ptr[line.len - 1] == '\t'))
        line.len--;
    return !local || pv_scrape_is_this_machine(pv_view(line.ptr + n, line.len - n)) ? 200 : 403;
}

/* The first fault decides the status, but 400 wins over the others: what cannot be read cannot be
 * judged either. The whole head is read first, so that the answer is not sent into a request. */
int pv_scrape_parse(struct pv_view bytes, bool local, struct pv_scrape *ret_scrape)
{
    struct pv_scrape s = {.status = 200};
    struct pv_view rest = bytes, line = pv_view(NULL, 0);
    bool old = false, whole = pv_http_line(&rest, &line);
    unsigned n_hosts = 0;
    if (whole)
        s.status = judge_line(line, &s, &old);
    while (whole && s.status != 400) {
        whole = pv_http_line(&rest, &line);
        if (!whole || line.len == 0)
            break;
        unsigned status = judge_field(line, local, &n_hosts);
        if (s.status == 200 || status == 400)
            s.status = status;
    }
    if (!whole && bytes.len < PV_SCRAPE_REQUEST_MAX)
        return PV_ERR_AGAIN;
    if (!whole)
        s.status = 431;
    else if (s.status == 200 && (n_hosts > 1 || (n_hosts == 0 && !old)))
        s.status = 400; /* RFC 9112 s3.2 */
    *ret_scrape = s;
    return PV_OK;
}

/* --- answering ------------------------------------------------------------------------------- */

static const struct http_status *status_of(unsigned code)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(STATUSES); i++) {
        if (STATUSES[i].code == code)
            return &STATUSES[i];
    }
    return &STATUSES[1];
}

int pv_scrape_answer(const struct pv_scrape *scrape, struct pv_view page, const char *content_type,
                     char **ret_text, size_t *ret_len)
{
    const struct http_status *s = status_of(scrape->status);
    char head[512];
    if (s->code != 200) {
        page = pv_view(s->text, strlen(s->text));
        content_type = "text/plain; charset=utf-8";
    }
    int n = snprintf(head, sizeof(head),
                     "HTTP/1.1 %u %s\r\n%sContent-Type: %s\r\nContent-Length: %zu\r\n"
                     "Cache-Control: no-store\r\nConnection: close\r\n\r\n",
                     s->code, s->reason, s->more, content_type, page.len);
    if (n < 0 || (size_t)n >= sizeof(head))
        return PV_ERR_NOMEM; /* a content type like none of ours */
    size_t body = scrape->head ? 0 : page.len;
    char *text = malloc((size_t)n + body);
    if (text == NULL)
        return PV_ERR_NOMEM;
    memcpy(text, head, (size_t)n);
    if (body > 0)
        memcpy(text + n, page.ptr, body);
    *ret_text = text;
    *ret_len = (size_t)n + body;
    return PV_OK;
}

/* --- the section [metrics] of both configuration files --------------------------------------- */

/* An address that others can reach has to be allowed in so many words: the page says who talks to
 * whom. */

static int refuse_setting(const char *why, const char **ret_why)
{
    *ret_why = why;
    return PV_ERR_MALFORMED;
}

int pv_scrapeset_take(struct pv_scrapeset *set, const char *key, const char *value,
                      const char **ret_why)
{
    bool listen = strcmp(key, "listen") == 0;
    if (!listen && strcmp(key, "allow-remote") != 0)
        return refuse_setting("unknown key in [metrics]: there are listen, allow-remote", ret_why);
    if (listen ? set->seen_listen : set->seen_remote)
        return refuse_setting(listen ? "listen: given twice" : "allow-remote: given twice",
                              ret_why);
    if (listen) {
        set->seen_listen = true;
        if (pv_addr_parse(value, &set->listen) == PV_OK && set->listen.port != 0)
            return PV_OK;
        set->listen.family = PV_AF_NONE;
        return refuse_setting("listen: expected ADDRESS:PORT, such as 127.0.0.1:9586 or [::1]:9586",
                              ret_why);
    }
    set->seen_remote = true;
    set->remote = strcmp(value, "on") == 0 || strcmp(value, "yes") == 0;
    if (!set->remote && strcmp(value, "off") != 0 && strcmp(value, "no") != 0)
        return refuse_setting("allow-remote: expected on or off", ret_why);
    return PV_OK;
}

int pv_scrapeset_check(const struct pv_scrapeset *set, const char **ret_why)
{
    if (set->listen.family == PV_AF_NONE || set->remote || pv_addr_is_loopback(&set->listen))
        return PV_OK;
    return refuse_setting(
        "[metrics] listen: anybody who reaches this address reads who talks to whom and how "
        "much: use 127.0.0.1 or [::1], or say allow-remote = on",
        ret_why);
}
