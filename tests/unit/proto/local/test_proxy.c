/* SPDX-License-Identifier: MIT */
/* Where a program says that it wants to go: SOCKS5 by RFC 1928, CONNECT by RFC 9110. */
#include "proto/local/proxy.h"
#include "tests/unit/test_util.h"

enum {
    SAID_MAX = 64,
};

struct heard {
    int status;
    struct pv_proxy p;
    struct pv_proxy_target target;
    size_t used, said;
    uint8_t say[PV_PROXY_SAY_MAX];
};

static struct heard hear(struct pv_proxy p, const void *bytes, size_t len)
{
    struct heard h = {.p = p};
    h.status = pv_proxy_hear(&h.p, pv_view(bytes, len), &h.used, &h.target, h.say, &h.said);
    return h;
}

static const struct pv_proxy greeted = {.greeted = true};

#define BYTES(text) (text), sizeof(text) - 1

/* s3: the server picks a method of those that are offered. */
PV_TEST(a_greeting_without_authentication_is_answered)
{
    const struct pv_proxy new = {.http = false};
    struct heard h = hear(new, BYTES("\x05\x02\x02\x00rest"));
    assert_int_equal(h.status, PV_ERR_AGAIN);
    assert_int_equal(h.used, 4);
    assert_true(h.p.greeted);
    assert_int_equal(h.said, 2);
    assert_memory_equal(h.say, "\x05\x00", 2);
    h = hear(new, BYTES("\x05\x02\x02"));
    assert_int_equal(h.status, PV_ERR_AGAIN);
    assert_int_equal(h.used, 0);
    h = hear(new, BYTES("\x05\x01\x02")); /* a password only */
    assert_int_equal(h.status, PV_ERR_UNSUPPORTED);
    assert_int_equal(h.said, 2);
    assert_memory_equal(h.say, "\x05\xff", 2);
    h = hear(new, BYTES("\x05\x00"));
    assert_int_equal(h.status, PV_ERR_UNSUPPORTED);
}

/* s4, s5. */
PV_TEST(requests_name_an_address_or_a_name)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *host;
        uint16_t port;
        enum pv_proxy_want want;
    } rows[] = {
        {BYTES("\x05\x01\x00\x01\x0a\x42\x03\x09\x00\x16"), "10.66.3.9", 22, PV_PROXY_CONNECT},
        {BYTES("\x05\x01\x00\x03\x0bpi.home.p2p\x1f\x90"), "pi.home.p2p", 8080, PV_PROXY_CONNECT},
        {BYTES("\x05\x01\x00\x04\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x50"), "fd00::1", 80,
         PV_PROXY_CONNECT},
        {BYTES("\x05\x01\x00\x04\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x42\x03\x09\x00\x50"), "10.66.3.9",
         80, PV_PROXY_CONNECT},
        {BYTES("\x05\x03\x00\x01\0\0\0\0\0\0"), "0.0.0.0", 0, PV_PROXY_UDP},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        uint8_t more[SAID_MAX];
        memcpy(more, rows[i].bytes, rows[i].len);
        more[rows[i].len] = 'x'; /* of what is for the member */
        struct heard h = hear(greeted, more, rows[i].len + 1);
        assert_ok(h.status);
        assert_int_equal(h.used, rows[i].len);
        assert_int_equal(h.said, 0);
        assert_string_equal(h.target.host, rows[i].host);
        assert_int_equal(h.target.port, rows[i].port);
        assert_int_equal(h.target.want, rows[i].want);
        for (size_t len = 0; len < rows[i].len; len++) {
            h = hear(greeted, more, len);
            assert_int_equal(h.status, PV_ERR_AGAIN);
            assert_int_equal(h.used, 0);
        }
    }
}

/* s6. */
PV_TEST(requests_that_cannot_be_met_are_told_why)
{
    static const struct {
        const char *bytes;
        size_t len;
        int status;
        uint8_t reply;
        const char *why;
    } rows[] = {
        {BYTES("\x05\x02\x00\x01\x0a\x42\x03\x09\x00\x16"), PV_ERR_UNSUPPORTED, 7, "BIND"},
        {BYTES("\x05\x09\x00\x01\x0a\x42\x03\x09\x00\x16"), PV_ERR_UNSUPPORTED, 7, "no command"},
        {BYTES("\x05\x01\x00\x05"), PV_ERR_UNSUPPORTED, 8, "no kind of address"},
        {BYTES("\x04\x01\x00\x01\x0a\x42\x03\x09\x00\x16"), PV_ERR_MALFORMED, 1, "SOCKS4"},
        {BYTES("\x05\x01\x00\x01\x0a\x42\x03\x09\x00\x00"), PV_ERR_MALFORMED, 1, "port 0"},
        {BYTES("\x05\x01\x00\x03\x00\x00\x16"), PV_ERR_MALFORMED, 1, "an empty name"},
        {BYTES("\x05\x01\x00\x03\x03p\0i\x00\x16"), PV_ERR_MALFORMED, 1, "a NUL in a name"},
        {BYTES("\x05\x01\x00\x03\x03p\ni\x00\x16"), PV_ERR_MALFORMED, 1, "a line feed in a name"},
        {BYTES("\x05\x01\x00\x03\x03p\xc3\xa4\x00\x16"), PV_ERR_MALFORMED, 1, "no ASCII"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct heard h = hear(greeted, rows[i].bytes, rows[i].len);
        if (h.status != rows[i].status || h.said != 10 || h.say[0] != 5 ||
            h.say[1] != rows[i].reply)
            fail_msg("%s: %d, %zu bytes, %u", rows[i].why, h.status, h.said, h.say[1]);
    }
}

PV_TEST(connect_of_http_names_a_host_and_a_port)
{
    const struct {
        int status;
        const char *text, *host;
        uint16_t port;
        const char *said;
    } rows[] = {
        {PV_OK, test_given("CONNECT pi.home.p2p HTTP/1.1"), "pi.home.p2p", 22, ""},
        {PV_OK, "CONNECT [fd00::1]:443 HTTP/1.1\r\n\r\n", "fd00::1", 443, ""},
        {PV_OK, "CONNECT pi:1 HTTP/1.0\n\n", "pi", 1, ""},
        {PV_ERR_AGAIN, "CONNECT pi:1 HTTP/1.1\r\nHost: pi\r\n", "", 0, ""},
        {PV_ERR_AGAIN, "CONNECT pi:1 HTTP/1.1", "", 0, ""},
        {PV_ERR_AGAIN, "GET / HTTP/1.1\r\n", "", 0, ""},
        {PV_ERR_UNSUPPORTED, "GET / HTTP/1.1\r\nHost: pi\r\n\r\n", "", 0, "HTTP/1.1 405"},
        {PV_ERR_UNSUPPORTED, "GET https://pi/ HTTP/1.1\r\n\r\n", "", 0, "HTTP/1.1 405"},
        {PV_ERR_MALFORMED, "GET http://?x HTTP/1.1\r\n", "", 0, "HTTP/1.1 400"},
        {PV_ERR_MALFORMED, "GET http:/// HTTP/1.1\r\n", "", 0, "HTTP/1.1 400"},
        {PV_ERR_MALFORMED, "GET http://a:pw@pi/ HTTP/1.1\r\n", "", 0, "HTTP/1.1 400"},
        {PV_ERR_MALFORMED, "GET http://pi:x/ HTTP/1.1\r\n", "", 0, "HTTP/1.1 400"},
        {PV_ERR_MALFORMED, "CONNECT pi HTTP/1.1\r\n", "", 0, "HTTP/1.1 400"},
        {PV_ERR_MALFORMED, "CONNECT pi:0 HTTP/1.1\r\n", "", 0, "HTTP/1.1 400"},
        {PV_ERR_MALFORMED, "CONNECT pi:65536 HTTP/1.1\r\n", "", 0, "HTTP/1.1 400"},
        {PV_ERR_MALFORMED, "CONNECT pi:+1 HTTP/1.1\r\n", "", 0, "HTTP/1.1 400"},
        {PV_ERR_MALFORMED, "CONNECT :1 HTTP/1.1\r\n", "", 0, "HTTP/1.1 400"},
        {PV_ERR_MALFORMED, "CONNECT []:1 HTTP/1.1\r\n", "", 0, "HTTP/1.1 400"},
        {PV_ERR_MALFORMED, "CONNECT p\ti:1 HTTP/1.1\r\n", "", 0, "HTTP/1.1 400"},
        {PV_ERR_MALFORMED, "CONNECT pi:1 HTTP/2.0\r\n", "", 0, "HTTP/1.1 400"},
        {PV_ERR_MALFORMED, "CONNECT pi:1\r\n", "", 0, "HTTP/1.1 400"},
        {PV_ERR_MALFORMED, "\x16\x03\x01", "", 0, ""}, /* TLS */
        {PV_ERR_MALFORMED, "\x04\x01", "", 0, ""},     /* SOCKS4 */
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        const struct pv_proxy new = {.http = false};
        size_t len = strlen(rows[i].text);
        struct heard h = hear(new, rows[i].text, len);
        if (h.status != rows[i].status || (h.said == 0) != (rows[i].said[0] == '\0') ||
            memcmp(h.say, rows[i].said, strlen(rows[i].said)) != 0)
            fail_msg("%s: %d, \"%.*s\"", rows[i].text, h.status, (int)h.said, (char *)h.say);
        if (rows[i].status == PV_OK) {
            assert_string_equal(h.target.host, rows[i].host);
            assert_int_equal(h.target.port, rows[i].port);
            assert_int_equal(h.used, len);
        }
    }
}

/* RFC 9112 s3.2.2, s9.6: the server gets the path, and no words about the proxy. */
PV_TEST(a_request_with_a_whole_url_is_passed_on)
{
    const struct {
        const char *text, *host;
        uint16_t port;
        const char *passed;
    } rows[] = {
        {test_given("GET with a URL"), "pi", 80, test_given("GET passed on")},
        {test_given("POST with a URL"), "pi", 8080, test_given("POST passed on")},
        {test_given("HEAD with a URL"), "fd00::1", 80,
         "HEAD / HTTP/1.1\r\nConnection: close\r\n\r\n"},
        {"GET http://[fd00::1]:8080/ HTTP/1.1\r\n\r\n", "fd00::1", 8080,
         "GET / HTTP/1.1\r\nConnection: close\r\n\r\n"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        static uint8_t buf[PV_PROXY_PASS_MAX];
        size_t len = strlen(rows[i].text);
        struct heard h = hear((struct pv_proxy){.http = false}, rows[i].text, len);
        assert_ok(h.status);
        assert_string_equal(h.target.host, rows[i].host);
        assert_int_equal(h.target.port, rows[i].port);
        assert_true(h.p.passes && h.used == 0 && h.said == 0);
        memcpy(buf, rows[i].text, len);
        assert_ok(pv_proxy_pass(buf, len, &len));
        buf[len] = '\0';
        assert_string_equal((char *)buf, rows[i].passed);
        assert_int_equal(
            pv_proxy_say(&h.p, PV_PROXY_DONE, &(struct pv_addr){.family = PV_AF_NONE}, h.say), 0);
    }
}

PV_TEST(a_request_that_would_become_too_long_is_refused)
{
    static uint8_t buf[PV_PROXY_PASS_MAX];
    static const char head[] = "GET http://a/ HTTP/1.1\r\nX: ";
    size_t len = 0;
    memset(buf, 'x', sizeof(buf));
    memcpy(buf, head, sizeof(head) - 1);
    memcpy(buf + sizeof(buf) - 5, "\r\n\r\n", 4);
    assert_ok(hear((struct pv_proxy){.http = false}, buf, sizeof(buf) - 1).status);
    assert_int_equal(pv_proxy_pass(buf, sizeof(buf) - 1, &len), PV_ERR_LIMIT);
}

PV_TEST(a_head_without_an_end_is_not_read_for_ever)
{
    static char text[PV_PROXY_HEAR_MAX];
    const struct pv_proxy new = {.http = false};
    int n = snprintf(text, sizeof(text), "CONNECT pi:22 HTTP/1.1\r\nX: ");
    memset(text + n, 'x', sizeof(text) - (size_t)n);
    assert_int_equal(hear(new, text, sizeof(text) - 1).status, PV_ERR_AGAIN);
    struct heard h = hear(new, text, sizeof(text));
    assert_int_equal(h.status, PV_ERR_LIMIT);
    assert_memory_equal(h.say, "HTTP/1.1 400", 12);
}

PV_TEST(answers_are_those_of_the_protocol_that_asked)
{
    static const struct {
        enum pv_proxy_end end;
        uint8_t socks;
        const char *http;
    } rows[] = {
        {PV_PROXY_DONE, 0, "HTTP/1.1 200 "},      {PV_PROXY_FAILED, 1, "HTTP/1.1 503 "},
        {PV_PROXY_NO_HOST, 4, "HTTP/1.1 502 "},   {PV_PROXY_REFUSED, 5, "HTTP/1.1 502 "},
        {PV_PROXY_SILENT, 6, "HTTP/1.1 504 "},    {PV_PROXY_UNKNOWN, 7, "HTTP/1.1 405 "},
        {PV_PROXY_NO_ADDRESS, 8, "HTTP/1.1 400"}, {PV_PROXY_UNREADABLE, 1, "HTTP/1.1 400 "},
    };
    const struct pv_proxy http = {.http = true};
    const struct pv_addr at = pv_addr4(127, 0, 0, 1, 258), none = {.family = PV_AF_NONE};
    uint8_t say[PV_PROXY_SAY_MAX + 1];
    assert_int_equal(PV_ARRAY_LEN(rows), PV_PROXY_N_ENDS);
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        size_t n = pv_proxy_say(&greeted, rows[i].end, &at, say);
        const uint8_t want[] = {5, rows[i].socks, 0, 1, 127, 0, 0, 1, 1, 2};
        assert_int_equal(n, sizeof(want));
        assert_memory_equal(say, want, sizeof(want));
        n = pv_proxy_say(&http, rows[i].end, &none, say);
        say[n] = '\0';
        assert_memory_equal(say, rows[i].http, strlen(rows[i].http));
        const char *body = strstr((char *)say, "\r\n\r\n");
        assert_non_null(body);
        assert_int_equal(body[4] != '\0', rows[i].end == PV_PROXY_UNKNOWN);
        /* RFC 9110 s9.3.6: what follows the end of the head is the member's. */
        assert_int_equal(strstr((char *)say, "Content-Length") == NULL,
                         rows[i].end == PV_PROXY_DONE);
    }
}

/* s7. */
PV_TEST(datagrams_carry_their_place)
{
    static const char sent[] = "\0\0\0\x03\x02pi\x00\x35"
                               "question";
    struct pv_proxy_target target;
    struct pv_view data;
    uint8_t head[PV_PROXY_UDP_MAX];
    assert_ok(pv_proxy_udp_parse(pv_view(BYTES(sent)), &target, &data));
    assert_string_equal(target.host, "pi");
    assert_int_equal(target.port, 53);
    assert_int_equal(data.len, 8);
    assert_memory_equal(data.ptr, "question", 8);
    for (size_t len = 0; len < sizeof(sent) - 1 - 8; len++)
        assert_int_equal(pv_proxy_udp_parse(pv_view(sent, len), &target, &data), PV_ERR_TRUNCATED);
    assert_int_equal(
        pv_proxy_udp_parse(pv_view(BYTES("\0\0\x01\x03\x02pi\x00\x35")), &target, &data),
        PV_ERR_UNSUPPORTED); /* a fragment */
    assert_int_equal(pv_proxy_udp_parse(pv_view(BYTES("\0\0\0\x03\x02pi\x00\x00")), &target, &data),
                     PV_ERR_MALFORMED);
    const struct pv_addr from = pv_addr4(10, 66, 3, 9, 53);
    assert_int_equal(pv_proxy_udp_head(&from, head), 10);
    assert_memory_equal(head, "\0\0\0\x01\x0a\x42\x03\x09\x00\x35", 10);
}
