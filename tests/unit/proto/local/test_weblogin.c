/* SPDX-License-Identifier: MIT */
/* Tokens and sessions of the page, and which requests come from it. */
#include "proto/local/weblogin.h"
#include "tests/unit/test_util.h"

#define HERE   "127.0.0.1:9585"
#define ORIGIN "http://" HERE

static struct test_rng seed;
static struct pv_rng rng;
static struct pv_weblogin login;
static char cookie[PV_KEY_TEXT_BUF], key[PV_KEY_TEXT_BUF], header[128];

void test_begin(void)
{
    rng = test_rng_make(&seed, 7);
    pv_weblogin_init(&login, &rng);
}

static int enter(pv_ns now)
{
    char token[PV_KEY_TEXT_BUF];
    (void)pv_weblogin_token(&login, token);
    int r = pv_weblogin_enter(&login, pv_view(token, strlen(token)), &rng, now, cookie, key);
    snprintf(header, sizeof(header), "theme=dark; p2pvpn-9585=%s; p2pvpn-1=x", cookie);
    return r;
}

static unsigned judge(enum pv_weblogin_what what, const char *host, const char *origin,
                      const char *cookies, const char *shown)
{
    const struct pv_weblogin_asked asked = {
        .host = host, .origin = origin, .cookie = cookies, .key = shown};
    uint64_t session;
    return pv_weblogin_judge(&login, what, &asked, PV_S(1), &session);
}

PV_TEST(a_token_works_once)
{
    char token[PV_KEY_TEXT_BUF], again[PV_KEY_TEXT_BUF];
    test_begin();
    (void)pv_weblogin_token(&login, token);
    struct pv_view text = pv_view(token, strlen(token));
    assert_ok(pv_weblogin_enter(&login, text, &rng, 0, cookie, key));
    assert_int_equal(pv_weblogin_enter(&login, text, &rng, 0, cookie, key), PV_ERR_AUTH);
    assert_string_not_equal(pv_weblogin_token(&login, again), token);
    assert_string_not_equal(cookie, key);
}

PV_TEST(a_text_that_is_no_token_opens_nothing)
{
    static const char *const texts[] = {"", "x", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                                        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                                        "!AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};
    test_begin();
    for (size_t i = 0; i < PV_ARRAY_LEN(texts); i++)
        assert_int_equal(
            pv_weblogin_enter(&login, pv_view(texts[i], strlen(texts[i])), &rng, 0, cookie, key),
            PV_ERR_AUTH);
    for (size_t i = 0; i < PV_WEBLOGIN_SESSIONS; i++)
        assert_int_equal(login.session[i].number, 0);
}

PV_TEST(a_request_needs_the_page_the_cookie_and_the_key)
{
    static const struct {
        unsigned status;
        const char *host, *origin, *why;
    } rows[] = {
        {200, HERE, ORIGIN, "the page's own"},
        {200, "localhost:1", "http://localhost:1", "a port that ssh leads here"},
        {200, "[::1]:9585", "http://[::1]:9585", "IPv6"},
        {403, "evil.example:9585", "http://evil.example:9585", "rebinding"},
        {403, "localhost.evil.example", "http://localhost.evil.example", "rebinding"},
        {403, HERE, "http://evil.example", "another site"},
        {403, HERE, "http://127.0.0.1:1", "another server of this machine"},
        {403, HERE, "https://" HERE, "another scheme"},
        {403, HERE, ORIGIN ".evil.example", "ours at its start"},
        {403, HERE, "null", "a sandboxed frame"},
        {403, HERE, NULL, "no browser, or an old one"},
        {403, NULL, ORIGIN, "no host"},
        {403, "", "http://", "an empty one"},
    };
    test_begin();
    assert_ok(enter(0));
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        unsigned status = judge(PV_WEBLOGIN_USE, rows[i].host, rows[i].origin, header, key);
        if (status != rows[i].status)
            fail_msg("%s: %u", rows[i].why, status);
    }
    assert_int_equal(judge(PV_WEBLOGIN_USE, HERE, ORIGIN, NULL, key), 401);
    assert_int_equal(judge(PV_WEBLOGIN_USE, HERE, ORIGIN, header, NULL), 401);
    assert_int_equal(judge(PV_WEBLOGIN_USE, HERE, ORIGIN, header, cookie), 401);
    assert_int_equal(judge(PV_WEBLOGIN_USE, HERE, ORIGIN, cookie, key), 401);
    assert_int_equal(judge(PV_WEBLOGIN_USE, HERE, ORIGIN, "p2pvpn-1=; ;;=", key), 401);
    assert_int_equal(judge(PV_WEBLOGIN_ENTER, HERE, ORIGIN, NULL, NULL), 200);
    assert_int_equal(judge(PV_WEBLOGIN_ENTER, HERE, "http://evil.example", NULL, NULL), 403);
    assert_int_equal(judge(PV_WEBLOGIN_PAGE, HERE, NULL, NULL, NULL), 200);
    assert_int_equal(judge(PV_WEBLOGIN_PAGE, "evil.example", NULL, NULL, NULL), 403);
}

PV_TEST(the_cookie_of_one_session_does_not_go_with_the_key_of_another)
{
    char first[PV_KEY_TEXT_BUF];
    test_begin();
    assert_ok(enter(0));
    memcpy(first, key, sizeof(first));
    assert_ok(enter(0));
    assert_int_equal(judge(PV_WEBLOGIN_USE, HERE, ORIGIN, header, first), 401);
    assert_int_equal(judge(PV_WEBLOGIN_USE, HERE, ORIGIN, header, key), 200);
}

PV_TEST(the_session_that_was_unused_longest_makes_room_and_an_idle_one_ends)
{
    char oldest_key[PV_KEY_TEXT_BUF], oldest[sizeof(header)];
    test_begin();
    assert_ok(enter(0));
    memcpy(oldest_key, key, sizeof(key));
    memcpy(oldest, header, sizeof(header));
    for (pv_ns i = 1; i < PV_WEBLOGIN_SESSIONS; i++)
        assert_ok(enter(PV_S(2)));
    assert_int_equal(judge(PV_WEBLOGIN_USE, HERE, ORIGIN, oldest, oldest_key), 200); /* at 1 s */
    assert_ok(enter(PV_S(3)));
    assert_int_equal(judge(PV_WEBLOGIN_USE, HERE, ORIGIN, oldest, oldest_key), 401);

    const struct pv_weblogin_asked asked = {
        .host = HERE, .origin = ORIGIN, .cookie = header, .key = key};
    pv_ns end = PV_S(3) + PV_WEBLOGIN_IDLE;
    uint64_t session;
    assert_int_equal(pv_weblogin_judge(&login, PV_WEBLOGIN_USE, &asked, end, &session), 200);
    assert_true(session != 0 && pv_weblogin_goes_on(&login, session, end));
    end += PV_WEBLOGIN_IDLE + 1;
    assert_int_equal(pv_weblogin_judge(&login, PV_WEBLOGIN_USE, &asked, end, &session), 401);
    assert_false(pv_weblogin_goes_on(&login, login.last, end));
    assert_false(pv_weblogin_goes_on(&login, 0, end));
}
