/* SPDX-License-Identifier: MIT */
/* The one page over HTTP: what is asked, what is answered; and what [metrics] may say. */
#include "proto/local/scrape.h"
#include "tests/unit/test_util.h"

static unsigned status_of(const char *request, bool local)
{
    struct pv_scrape s = {.status = 1};
    int r = pv_scrape_parse(pv_view(request, strlen(request)), local, &s);
    assert_true(r == PV_OK || (r == PV_ERR_AGAIN && s.status == 1));
    return r == PV_OK ? s.status : 0;
}

#define HOST "Host: 127.0.0.1:9586\r\n"

PV_TEST(requests_are_judged_as_rfc_9112_says)
{
    const struct {
        unsigned status; /* 0: more is needed */
        const char *request, *why;
    } rows[] = {
        {200, "GET /metrics HTTP/1.1\r\n" HOST "\r\n", "the plain case"},
        {200, "HEAD /metrics HTTP/1.1\r\n" HOST "\r\n", "no body is wanted"},
        {200, "GET /metrics HTTP/1.0\r\n\r\n", "1.0 needs no Host"},
        {200, "GET /metrics?name=x HTTP/1.1\r\n" HOST "\r\n", "the query is not looked at"},
        {200, test_given("GET http //127.0.0.1"), "absolute-form"},
        {200,
         "GET /metrics HTTP/1.1\n"
         "Host: x\n\n",
         "bare line feeds"},
        {200, "GET /metrics HTTP/1.1\r\n" HOST "Accept: */*\r\nX:\r\n\r\n", "other fields"},
        {200, "GET /metrics HTTP/1.1\r\n" HOST "\r\nand a body", "what follows does not count"},
        {400, "GET /metrics HTTP/1.1\r\n\r\n", "1.1 without Host"},
        {400, "GET /metrics HTTP/1.1\r\n" HOST HOST "\r\n", "two Hosts"},
        {400, "GET /metrics HTTP/1.1\r\nno field\r\n" HOST "\r\n", "a line without a colon"},
        {400, "GET /metrics\r\n", "HTTP/0.9"},
        {400, "\r\n", "no request line"},
        {400, "GET  /metrics HTTP/1.1\r\n", "two blanks"},
        {400, "GET /metrics HTTP/1.1 x\r\n", "something behind the version"},
        {400, "\x16\x03\x01\x02\n", "TLS"},
        {404, "GET / HTTP/1.1\r\n" HOST "\r\n", "another page"},
        {404, "GET /metrics/ HTTP/1.1\r\n" HOST "\r\n", "another page"},
        {404, "GET http://x HTTP/1.1\r\n" HOST "\r\n", "no path at all"},
        {404, "GET http:// HTTP/1.1\r\n" HOST "\r\n", "no host at all"},
        {405, "POST /metrics HTTP/1.1\r\n" HOST "\r\n", "another method"},
        {405, "get /metrics HTTP/1.1\r\n" HOST "\r\n", "methods have their case"},
        {505, "GET /metrics HTTP/2.0\r\n" HOST "\r\n", "another version"},
        {0, "", "nothing yet"},
        {0, "GET /metrics HT", "a part of the first line"},
        {0, "GET /metrics HTTP/1.1\r\n" HOST, "the empty line is missing"},
        {0, "GET /metrics HTTP/1.1\r\n" HOST "\r", "half of the empty line is missing"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        if (status_of(rows[i].request, false) != rows[i].status)
            fail_msg("%s: %u, not %u", rows[i].why, status_of(rows[i].request, false),
                     rows[i].status);
    }
}

PV_TEST(a_local_page_is_not_for_foreign_names)
{
    static const struct {
        unsigned status;
        const char *host;
    } rows[] = {
        {200, "127.0.0.1"},
        {200, "127.0.0.1:9586"},
        {200, "[::1]:9586"},
        {200, "[::1]"},
        {200, "localhost"},
        {200, "LocalHost:9586"},
        {200, " localhost "},
        {200, "10.66.0.1:80"},
        {403, "evil.example"},
        {403, "evil.example:9586"},
        {403, ""},
        {403, "localhost.evil.example"},
        {403, "localhost:1@evil.example"},
        {403, "localhost:"},
        {403, "localhost:65536"},
        {403, "[evil]"},
        {403, "127.0.0.1.evil.example"},
        {403, "[127.0.0.1]"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        const char *request = PV_STR("GET /metrics HTTP/1.1\r\nhOsT:%s\r\n\r\n", rows[i].host);
        assert_int_equal(status_of(request, true), rows[i].status);
        assert_int_equal(status_of(request, false), 200);
    }
}

PV_TEST(every_truncation_asks_for_more)
{
    static const char request[] = "GET /metrics HTTP/1.1\r\n" HOST "Accept: text/plain\r\n\r\n";
    struct pv_scrape s;
    for (size_t n = 0; n + 1 < sizeof(request); n++) {
        /* The CR of the last line may be missing, not its LF. */
        char *cut = malloc(n + 1); /* its own block: reading behind it is seen */
        assert_non_null(cut);
        memcpy(cut, request, n);
        assert_int_equal(pv_scrape_parse(pv_view(cut, n), true, &s), PV_ERR_AGAIN);
        free(cut);
    }
    assert_ok(pv_scrape_parse(pv_view(request, sizeof(request) - 1), true, &s));
    assert_int_equal(s.status, 200);
}

PV_TEST(a_head_without_end_is_refused_at_the_limit)
{
    static char request[PV_SCRAPE_REQUEST_MAX];
    struct pv_scrape s;
    memset(request, 'x', sizeof(request));
    memcpy(request, "GET /metrics HTTP/1.1\r\nX: ", 26);
    assert_int_equal(pv_scrape_parse(pv_view(request, sizeof(request) - 1), true, &s),
                     PV_ERR_AGAIN);
    assert_ok(pv_scrape_parse(pv_view(request, sizeof(request)), true, &s));
    assert_int_equal(s.status, 431);
}

static char *answer(unsigned status, bool head, const char *page)
{
    const struct pv_scrape s = {.status = status, .head = head};
    char *text = NULL;
    size_t len = 0;
    assert_ok(pv_scrape_answer(&s, pv_view(page, strlen(page)), "text/plain", &text, &len));
    char *copy = malloc(len + 1);
    assert_non_null(copy);
    memcpy(copy, text, len);
    copy[len] = '\0';
    free(text);
    return copy;
}

PV_TEST(answers_have_their_length_and_end_the_connection)
{
    char *text = answer(200, false, "x 1\n");
    assert_string_equal(text, test_given("HTTP/1.1 Content-Type"));
    free(text);
    text = answer(200, true, "x 1\n");
    assert_has(text, "Content-Length: 4\r\n");
    assert_string_equal(text + strlen(text) - 4, "\r\n\r\n");
    free(text);
    text = answer(405, false, "secret");
    assert_has(text, test_given("HTTP/1.1 Method Not Allowed"));
    assert_lacks(text, "secret");
    free(text);
    static const unsigned codes[] = {400, 403, 404, 431, 505};
    for (size_t i = 0; i < PV_ARRAY_LEN(codes); i++) {
        text = answer(codes[i], false, "secret");
        const char *line = PV_STR("HTTP/1.1 %u ", codes[i]);
        assert_int_equal(strncmp(text, line, strlen(line)), 0);
        assert_lacks(text, "secret");
        free(text);
    }
}

PV_TEST(settings_refuse_what_the_world_could_read)
{
    static const struct {
        const char *listen, *remote; /* NULL: not said */
        bool ok;
    } rows[] = {
        {NULL, NULL, true},
        {"127.0.0.1:9586", NULL, true},
        {"127.9.9.9:1", NULL, true},
        {"[::1]:65535", NULL, true},
        {"0.0.0.0:9586", NULL, false},
        {"[::]:9586", NULL, false},
        {"192.0.2.1:9586", "off", false},
        {"192.0.2.1:9586", "no", false},
        {"192.0.2.1:9586", "on", true},
        {"0.0.0.0:9586", "yes", true},
        {"127.0.0.1:0", NULL, false},
        {"127.0.0.1", NULL, false},
        {"localhost:9586", NULL, false},
        {"", NULL, false},
        {"127.0.0.1:9586", "maybe", false},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_scrapeset set = {.remote = false};
        const char *why = NULL;
        int r = PV_OK;
        if (rows[i].listen != NULL)
            r = pv_scrapeset_take(&set, "listen", rows[i].listen, &why);
        if (r == PV_OK && rows[i].remote != NULL)
            r = pv_scrapeset_take(&set, "allow-remote", rows[i].remote, &why);
        if (r == PV_OK)
            r = pv_scrapeset_check(&set, &why);
        assert_int_equal(r, rows[i].ok ? PV_OK : PV_ERR_MALFORMED);
        assert_int_equal(why == NULL, rows[i].ok);
    }
    struct pv_scrapeset set = {.remote = false};
    const char *why = NULL;
    assert_ok(pv_scrapeset_take(&set, "listen", "127.0.0.1:1", &why));
    assert_int_equal(pv_scrapeset_take(&set, "listen", "127.0.0.1:2", &why), PV_ERR_MALFORMED);
    assert_int_equal(pv_scrapeset_take(&set, "port", "1", &why), PV_ERR_MALFORMED);
}
