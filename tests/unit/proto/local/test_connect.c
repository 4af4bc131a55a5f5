/* SPDX-License-Identifier: MIT */
/* The request to an HTTP proxy by RFC 9110 and RFC 7617, the answers, and which proxy is used for
 * which host. */
#include "proto/local/connect.h"
#include "proto/local/proxyset.h"
#include "tests/unit/test_util.h"

/* --- the request ------------------------------------------------------------------------------ */

PV_TEST(a_request_names_the_coordinator_twice)
{
    uint8_t ask[PV_CONNECT_ASK_MAX];
    static const char want[] =
        "CONNECT coord.example:443 HTTP/1.1\r\nHost: coord.example:443\r\n\r\n";
    assert_int_equal(pv_connect_ask("coord.example:443", NULL, ask), sizeof(want) - 1);
    assert_memory_equal(ask, want, sizeof(want) - 1);
}

/* The example of RFC 7617 s2, and one whose base64 has both letters that base64url has not. */
PV_TEST(a_login_is_sent_as_basic)
{
    static const struct {
        struct pv_connect_login login;
        const char *field;
    } rows[] = {
        {{"Aladdin", "open sesame"}, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"},
        {{"joe", ""}, "Basic am9lOg==\r\n"},
        {{"?>", "~~?"}, "Basic Pz46fn4/\r\n"},
        {{"~~", ">"}, "Basic fn46Pg==\r\n"},
        {{"a", "?>>>"}, "Basic YTo/Pj4+\r\n"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        uint8_t ask[PV_CONNECT_ASK_MAX];
        size_t n = pv_connect_ask("[2001:db8::1]:3478", &rows[i].login, ask);
        assert_non_null(memmem(ask, n, "CONNECT [2001:db8::1]:3478 HTTP/1.1\r\n", 37));
        assert_non_null(memmem(ask, n, rows[i].field, strlen(rows[i].field)));
        assert_memory_equal(ask + n - 4, "\r\n\r\n", 4);
    }
}

/* The longest of all fits. */
PV_TEST(the_longest_request_fits)
{
    uint8_t ask[PV_CONNECT_ASK_MAX];
    char host[PV_PROXYSET_HOST_BUF], at[PV_CONNECT_AT_BUF];
    struct pv_connect_login login = {.user = ""};
    memset(host, 'x', sizeof(host) - 1);
    host[sizeof(host) - 1] = '\0';
    memset(login.user, 'u', PV_CONNECT_USER_MAX);
    memset(login.password, 'p', PV_CONNECT_USER_MAX);
    size_t n = pv_connect_ask(pv_proxyset_at(host, 65535, at), &login, ask);
    assert_int_equal(strlen(at), 253 + 6);
    assert_true(n < sizeof(ask));
    assert_memory_equal(ask + n - 4, "\r\n\r\n", 4);
}

/* --- the answer ------------------------------------------------------------------------------- */

static struct pv_connect_answer hear(const char *text, size_t *ret_rest)
{
    struct pv_connect c;
    pv_connect_begin(&c);
    size_t used = pv_connect_hear(&c, pv_view(text, strlen(text)));
    if (ret_rest != NULL)
        *ret_rest = strlen(text) - used;
    return c.answer;
}

PV_TEST(each_answer_is_told_apart)
{
    static const struct {
        const char *text;
        enum pv_connect_state state;
        unsigned status;
    } rows[] = {
        {"HTTP/1.1 200 Connection established\r\n\r\n", PV_CONNECT_OPEN, 200},
        {"HTTP/1.0 200\r\nServer: x\r\n\r\n", PV_CONNECT_OPEN, 200},
        {"HTTP/1.1 204 \n\n", PV_CONNECT_OPEN, 204},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", PV_CONNECT_OPEN, 200},
        {"HTTP/1.1 302 Found\r\n", PV_CONNECT_REFUSED, 302},
        {"HTTP/1.1 403 Forbidden\r\n", PV_CONNECT_REFUSED, 403},
        {"HTTP/1.1 405 Method Not Allowed\r\n", PV_CONNECT_REFUSED, 405},
        {"HTTP/1.1 501 Not Implemented\r\n", PV_CONNECT_REFUSED, 501},
        {"HTTP/1.1 502 Bad Gateway\r\n", PV_CONNECT_UNREACHED, 502},
        {"HTTP/1.1 504 Gateway Timeout\r\n", PV_CONNECT_UNREACHED, 504},
        {"HTTP/1.1 407 x\r\n\r\n", PV_CONNECT_LOGIN, 407},
        {"HTTP/1.1 407 x\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n", PV_CONNECT_LOGIN, 407},
        {"HTTP/1.1 407 x\r\nproxy-authenticate:\tbasic\r\n\r\n", PV_CONNECT_LOGIN, 407},
        {"HTTP/1.1 407 x\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: Basic x\r\n\r\n",
         PV_CONNECT_LOGIN, 407},
        {"HTTP/1.1 407 x\r\nProxy-Authenticate: NTLM, Basic realm=y\r\n\r\n", PV_CONNECT_LOGIN,
         407},
        {"HTTP/1.1 407 x\r\nProxy-Authenticate: NTLM\r\n\r\n", PV_CONNECT_SCHEME, 407},
        {"HTTP/1.1 407 x\r\nProxy-Authenticate: Basically\r\n\r\n", PV_CONNECT_SCHEME, 407},
        {"HTTP/1.1 200 OK\r\nx: y\r\n", PV_CONNECT_ASKED, 0},
        {"HTTP/1.1 20", PV_CONNECT_ASKED, 0},
        {"", PV_CONNECT_ASKED, 0},
        {"HTTP/1.1 2000 x\r\n", PV_CONNECT_STRANGE, 0},
        {"HTTP/1.1 099 x\r\n", PV_CONNECT_STRANGE, 0},
        {"HTTP/1.1 600 x\r\n", PV_CONNECT_STRANGE, 0},
        {"HTTP/1.2 200 x\r\n", PV_CONNECT_STRANGE, 0},
        {"HTTP/2", PV_CONNECT_STRANGE, 0},
        {"SSH-2.0-OpenSSH_9.2p1", PV_CONNECT_STRANGE, 0},
        {"\x16\x03\x01", PV_CONNECT_STRANGE, 0},
        {"\r\n", PV_CONNECT_STRANGE, 0},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_connect_answer a = hear(rows[i].text, NULL);
        assert_int_equal(a.state, rows[i].state);
        assert_int_equal(a.status, rows[i].status);
    }
}

/* A proxy may send the first bytes of TLS in the segment of its answer. */
PV_TEST(bytes_behind_the_head_are_left_alone)
{
    size_t rest = 0;
    assert_int_equal(hear("HTTP/1.1 200 OK\r\n\r\n\x16\x03\x03", &rest).state, PV_CONNECT_OPEN);
    assert_int_equal(rest, 3);
}

/* An answer that drips in is the same. */
PV_TEST(an_answer_in_single_bytes_is_the_same)
{
    static const char text[] =
        "HTTP/1.1 407 x\r\nProxy-Authenticate: Negotiate\r\nproxy-authenticate: Basic x\r\n\r\n";
    struct pv_connect c;
    pv_connect_begin(&c);
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        assert_int_equal(c.answer.state, PV_CONNECT_ASKED);
        assert_int_equal(pv_connect_hear(&c, pv_view(text + i, 1)), 1);
    }
    assert_int_equal(c.answer.state, PV_CONNECT_LOGIN);
    assert_int_equal(pv_connect_hear(&c, pv_view(text, 5)), 0);
}

PV_TEST(a_head_without_an_end_is_strange)
{
    struct pv_connect c;
    size_t taken = 0;
    pv_connect_begin(&c);
    taken += pv_connect_hear(&c, pv_view("HTTP/1.1 200 OK\r\nX: ", 20));
    while (c.answer.state == PV_CONNECT_ASKED)
        taken += pv_connect_hear(&c, pv_view("xxxxxxxx", 8));
    assert_int_equal(c.answer.state, PV_CONNECT_STRANGE);
    assert_int_equal(taken, PV_CONNECT_HEAD_MAX);
}

PV_TEST(a_connection_that_ends_early_is_told)
{
    static const struct {
        const char *text;
        enum pv_connect_state state;
    } rows[] = {
        {"", PV_CONNECT_CLOSED},
        {"HTTP/1.1 200 OK\r\n", PV_CONNECT_CLOSED},
        {"HTTP/1.1 407 x\r\nProxy-Auth", PV_CONNECT_LOGIN},
        {"HTTP/1.1 200 OK\r\n\r\n", PV_CONNECT_OPEN},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_connect c;
        pv_connect_begin(&c);
        (void)pv_connect_hear(&c, pv_view(rows[i].text, strlen(rows[i].text)));
        pv_connect_end(&c);
        assert_int_equal(c.answer.state, rows[i].state);
    }
}

/* Each fault has a sentence and a remedy, each other state none. */
PV_TEST(each_fault_has_a_remedy)
{
    const struct pv_connect_about about = {.proxy = "proxy:3128", .to = "coord.example:3478"};
    for (int s = PV_CONNECT_NONE; s <= PV_CONNECT_LOGIN; s++) {
        const struct pv_connect_answer a = {.state = (enum pv_connect_state)s, .status = 407};
        char buf[PV_CONNECT_WHY_MAX];
        const struct pv_remedy todo = pv_connect_todo(&a, &about);
        assert_memory_equal(pv_connect_why(&a, &about, buf), "the HTTP proxy proxy:3128 ", 26);
        assert_int_equal(todo.id != PV_REMEDY_NONE, s > PV_CONNECT_OPEN);
        assert_non_null(pv_connect_word(a.state));
    }
}

PV_TEST(people_are_told_the_number_of_the_answer)
{
    struct pv_connect_about about = {.proxy = "proxy:3128", .to = "coord.example:3478"};
    char buf[PV_CONNECT_WHY_MAX];
    const struct pv_connect_answer refused = {PV_CONNECT_REFUSED, 403},
                                   login = {PV_CONNECT_LOGIN, 407};
    assert_string_equal(pv_connect_why(&refused, &about, buf),
                        "the HTTP proxy proxy:3128 does not allow connections to "
                        "coord.example:3478 (it answers 403)");
    assert_string_equal(pv_connect_why(&login, &about, buf),
                        "the HTTP proxy proxy:3128 wants a user and a password (it answers 407)");
    assert_int_equal(pv_connect_todo(&login, &about).id, PV_REMEDY_proxy_login);
    about.has_login = true;
    assert_string_equal(
        pv_connect_why(&login, &about, buf),
        "the HTTP proxy proxy:3128 refuses this user or this password (it answers 407)");
    assert_int_equal(pv_connect_todo(&login, &about).id, PV_REMEDY_proxy_login_again);
}

/* --- which proxy, and for which hosts ----------------------------------------------------------
 */

PV_TEST(the_setting_is_a_url_with_a_port)
{
    struct pv_proxyset set;
    const char *why = "";
    assert_ok(pv_proxyset_parse("http://proxy.example:3128", &set, &why));
    assert_string_equal(set.host, "proxy.example");
    assert_int_equal(set.port, 3128);
    assert_ok(pv_proxyset_parse("HTTP://[2001:db8::1]:8080/", &set, &why));
    assert_string_equal(set.host, "2001:db8::1");
    static const char *const bad[] = {
        "",
        "proxy:3128",
        "http://proxy",
        "http://:3128",
        "https://p:1",
        "http://proxy:0",
        "http://proxy:65536",
        "http://proxy:3128/x",
        "http://p:",
        "http://[::1:3128",
        "http://[proxy]:3128",
        "http://pro xy:1",
        "http://2001:db8::1:3128",
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++) {
        assert_int_equal(pv_proxyset_parse(bad[i], &set, &why), PV_ERR_MALFORMED);
        assert_string_equal(why, "proxy: expected http://HOST:PORT");
        assert_string_equal(set.host, "");
    }
    assert_int_equal(pv_proxyset_parse("http://joe:secret@proxy:3128", &set, &why),
                     PV_ERR_MALFORMED);
    assert_null(strstr(why, "secret"));
    assert_non_null(strstr(why, "proxy-password-file"));
}

PV_TEST(a_url_of_the_environment_is_read_as_curl_does)
{
    static const struct {
        const char *url, *host;
        uint16_t port;
        const char *user, *password;
    } rows[] = {
        {"http://proxy:3128", "proxy", 3128, "", ""},
        {"proxy:3128/", "proxy", 3128, "", ""},
        {"proxy", "proxy", 1080, "", ""},
        {"http://joe:secret@proxy:3128/", "proxy", 3128, "joe", "secret"},
        {"joe@proxy", "proxy", 1080, "joe", ""},
        {"http://j%6fe:p%40s%3As@[::1]:1", "::1", 1, "joe", "p@s:s"},
        {"http://joe:p@ss@192.0.2.1:80", "192.0.2.1", 80, "joe", "p@ss"},
    };
    struct pv_proxyset set;
    struct pv_connect_login login;
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        assert_ok(pv_proxyset_parse_env(rows[i].url, &set, &login));
        assert_string_equal(set.host, rows[i].host);
        assert_int_equal(set.port, rows[i].port);
        assert_string_equal(login.user, rows[i].user);
        assert_string_equal(login.password, rows[i].password);
        assert_int_equal(set.has_login, rows[i].user[0] != '\0');
    }
    assert_int_equal(pv_proxyset_parse_env("socks5://proxy:1", &set, &login), PV_ERR_UNSUPPORTED);
    assert_int_equal(pv_proxyset_parse_env("https://proxy:1", &set, &login), PV_ERR_UNSUPPORTED);
    static const char *const bad[] = {
        "",           "http://",      "http://a%0ab:c@p:1", "http://:x@p:1", "http://a%3ab:c@p:1",
        "http://a%4", "http://a%zz@p"};
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++) {
        assert_int_equal(pv_proxyset_parse_env(bad[i], &set, &login), PV_ERR_MALFORMED);
        assert_string_equal(login.user, "");
        assert_string_equal(set.host, "");
    }
}

/* As curl's lib/noproxy.c: a name and all below it, addresses and ranges of them. */
PV_TEST(no_proxy_is_read_as_curl_does)
{
    static const struct {
        const char *list, *host;
        bool is;
    } rows[] = {
        {"*", "anything", true},
        {"", "host", false},
        {"example.org", "example.org", true},
        {"example.org", "www.example.org", true},
        {".example.org", "example.org", true},
        {".example.org", "www.example.org", true},
        {"example.org.", "www.EXAMPLE.org", true},
        {"example.org", "www.example.org.", true},
        {"example.org", "notexample.org", false},
        {"example.org", "org", false},
        {"a.example, b.example\tc.example", "c.example", true},
        {",,b.example", "b.example", true},
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.11", false},
        {"192.0.2.0/24", "192.0.2.11", true},
        {"192.0.2.9/24", "192.0.2.11", true},
        {"192.0.2.0/33", "192.0.2.0", false},
        {"192.0.2.0/", "192.0.2.0", false},
        {"2001:db8::/32", "2001:db8::5", true},
        {"2001:db8::1", "2001:db8::1", true},
        {"2001:db8::1", "2001:db8::2", false},
        {"192.0.2.1", "www.192.0.2.1", true},
        {"2.1", "192.0.2.1", false},
        {".", "host", false},
        {"x*", "xa", false},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++)
        assert_int_equal(pv_proxyset_is_except(rows[i].list, rows[i].host), rows[i].is);
}
