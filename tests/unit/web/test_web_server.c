/* SPDX-License-Identifier: MIT */
/* The page's server between a browser, p2pvpnctl and p2pvpnd, all three of which are this test. */
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crypto/ct.h"
#include "proto/local/ctlcmd.h"
#include "proto/local/weblogin.h"
#include "sys/net/unixsock.h"
#include "sys/proc/clock.h"
#include "sys/proc/loop.h"
#include "tests/unit/test_util.h"
#include "web/server.h"

#define HEAD "Host: 127.0.0.1:1\r\nOrigin: http://127.0.0.1:1\r\n"

#define ID "AAAAAAAAAAAAAAAAAAAAAA" /* of a line in a room */

enum {
    ANSWER = 65536, /* bytes of an answer, at most */
};

static struct pv_loop *loop;
static struct pv_web *web;
static int links[2]; /* the server's, p2pvpnctl's */
static char cookie[128], key[PV_KEY_TEXT_BUF], answer[ANSWER], next_token[1 + PV_KEY_TEXT_BUF];
static size_t n_answer;

/* The loop runs until this is so. */
static bool (*is_done)(int fd);
static int looked_at;
static pv_ns give_up;

static pv_ns turn(void *ctx, pv_ns now)
{
    pv_ns next = pv_web_turn(web, now);
    if (is_done(looked_at))
        pv_loop_stop(loop);
    else if (now > give_up)
        fail_msg("nothing came; so far: %s", answer);
    return pv_min_ns(next, now + PV_MS(1));
}

static void run_until(bool (*done)(int fd), int fd)
{
    is_done = done;
    looked_at = fd;
    give_up = pv_clock_now() + PV_S(20);
    pv_loop_run(loop, &(struct pv_loop_owner){.turn = turn});
}

static void begin_with(bool coordinator)
{
    next_token[0] = '\0';
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, links), 0);
    assert_ok(pv_loop_new(&loop));
    assert_ok(pv_web_new(&web, loop, links[0], coordinator));
    assert_ok(pv_web_offer(web));
}

static void begin(void)
{
    begin_with(false);
}

static void end(void)
{
    web = pv_web_free(web);
    loop = pv_loop_free(loop);
    close(links[0]);
    close(links[1]);
}

/* Of p2pvpnctl: hands over one end of a pair, and keeps the other. */
static int hand_over(const char *text, size_t len)
{
    int pair[2];
    size_t n;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    assert_ok(pv_unix_write(links[1], pv_view(text, len), pair[1], &n));
    close(pair[1]);
    return pair[0];
}

/* One message of the server; its length, 0: none yet. */
static size_t hear_link(char *text, size_t cap)
{
    size_t n = 0;
    int passed = -1, r = pv_unix_read(links[1], text, cap, &n, &passed);
    assert_true(r == PV_OK || r == PV_ERR_AGAIN);
    return r == PV_OK ? n : 0;
}

static bool control_is_wanted(int fd)
{
    char text[64] = "";
    const size_t n = hear_link(text, sizeof(text));
    return text[0] == PV_WEBLINK_CONTROL &&
           (n == 1 ||
            (n == 2 && text[1] == PV_WEBLINK_ASK_CHAT)); /* p2pvpn-chatd's, or p2pvpnd's */
}

static bool something_is_said(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

/* An answer ends with the connection here: each is asked for so. */
static bool answer_is_whole(int fd)
{
    ssize_t n = read(fd, answer + n_answer, sizeof(answer) - 1 - n_answer);
    n_answer += n > 0 ? (size_t)n : 0;
    answer[n_answer] = '\0';
    return n == 0;
}

/* A browser's request, on a connection of its own. */
static int ask(const char *method, const char *path, const char *more, const char *body)
{
    static const char browser = PV_WEBLINK_BROWSER;
    char text[2048];
    int fd = hand_over(&browser, 1);
    int n =
        snprintf(text, sizeof(text),
                 "%s %s HTTP/1.1\r\n" HEAD "%sConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
                 method, path, more, strlen(body), body);
    assert_int_equal(write(fd, text, (size_t)n), n);
    return fd;
}

static unsigned status_of(int fd)
{
    unsigned status = 0;
    n_answer = 0;
    run_until(answer_is_whole, fd);
    close(fd);
    assert_int_equal(sscanf(answer, "HTTP/1.1 %u", &status), 1);
    return status;
}

/* With the newest token. */
static void enter(void)
{
    char token[1 + PV_KEY_TEXT_BUF] = "";
    const char *at;
    if (next_token[0] == '\0')
        assert_int_equal(hear_link(next_token, sizeof(next_token) - 1), 1 + PV_KEY_TEXT);
    memcpy(token, next_token, sizeof(token));
    assert_int_equal(token[0], PV_WEBLINK_TOKEN);
    assert_int_equal(status_of(ask("POST", "/enter", "", token + 1)), 200);
    at = strstr(answer, "Set-Cookie: ");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "Set-Cookie: %127[^;]", cookie), 1);
    assert_has(at, "; HttpOnly; SameSite=Strict\r\n");
    at = strstr(answer, "\"key\":\"");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "\"key\":\"%43[^\"]", key), 1);
    assert_int_equal(hear_link(next_token, sizeof(next_token) - 1), 1 + PV_KEY_TEXT);
}

static int ask_api(const char *body)
{
    return ask("POST", "/api", PV_STR("Cookie: %s\r\nX-P2pvpn-Key: %s\r\n", cookie, key), body);
}

PV_TEST(a_request_is_passed_on_and_the_lines_of_the_reply_up_to_the_answer)
{
    static const char control = PV_WEBLINK_CONTROL;
    const char *replies = test_given("two events and an answer");
    char asked[256] = "";
    begin();
    enter();
    int browser = ask_api(test_given("ping peer b x"));
    run_until(control_is_wanted, -1);
    int daemon = hand_over(&control, 1);
    assert_int_equal(write(daemon, replies, strlen(replies)), strlen(replies));
    assert_int_equal(status_of(browser), 200);
    assert_true(read(daemon, asked, sizeof(asked) - 1) > 0);
    assert_has(asked, "{'id':1,'cmd':'ping','peer':'b'");
    assert_lacks(asked, "'x'"); /* what p2pvpnctl would not have written */
    assert_has(answer, "'sent':2}\n");
    assert_lacks(answer, "nothing after it");
    close(daemon);
    end();
}

/* Two bytes: the second says which. */
static char asked_for;
static bool an_answer_is_wanted(int fd)
{
    char text[64] = "";
    if (hear_link(text, sizeof(text)) != 2 || text[0] != PV_WEBLINK_CONTROL)
        return false;
    asked_for = text[1];
    return true;
}

PV_TEST(a_coordinators_page_has_three_questions_and_gets_all_of_each_answer)
{
    static const char control = PV_WEBLINK_CONTROL;
    const char *document = test_given("networks of a coordinator");
    char text[64];
    begin_with(true);
    enter();
    int browser = ask_api("{\"id\":1,\"cmd\":\"networks\"}");
    run_until(an_answer_is_wanted, -1);
    assert_int_equal(asked_for, PV_WEBLINK_ASK_NETWORKS);
    int child = hand_over(&control, 1);
    assert_int_equal(write(child, document, strlen(document)), strlen(document));
    close(child);
    assert_int_equal(status_of(browser), 200);
    assert_has(answer, "{'networks':[]}\n");
    assert_int_equal(status_of(ask_api("{\"id\":1,\"cmd\":\"drop\"}")), 400);
    assert_int_equal(status_of(ask_api("{\"id\":1,\"cmd\":\"status\",\"x\":1}")), 400);
    assert_int_equal(status_of(ask_api("")), 400);
    assert_int_equal(status_of(ask("POST", "/file?peer=b&name=x", "", "x")), 401);
    assert_int_equal(status_of(ask("GET", "/chat.js", "", "")), 404);
    assert_int_equal(status_of(ask("GET", "/", "", "")), 200);
    assert_has(answer, "/coordinator.js");
    assert_int_equal(hear_link(text, sizeof(text)), 0);
    end();
}

PV_TEST(a_watch_ends_with_the_session_that_asked_for_it)
{
    static const char control = PV_WEBLINK_CONTROL;
    int browser[PV_WEBLOGIN_SESSIONS], daemon[PV_WEBLOGIN_SESSIONS];
    begin();
    for (int i = 0; i < PV_WEBLOGIN_SESSIONS; i++) {
        enter();
        browser[i] = ask_api(test_given("watch what all"));
        run_until(control_is_wanted, -1);
        daemon[i] = hand_over(&control, 1);
    }
    assert_int_equal(status_of(ask("GET", "/", "", "")), 200); /* all are in use alike by now */
    enter();                                                   /* in the place of the first */
    assert_int_equal(status_of(browser[0]), 200);
    for (int i = 0; i < PV_WEBLOGIN_SESSIONS; i++) {
        close(daemon[i]);
        if (i > 0)
            assert_int_equal(status_of(browser[i]), 200);
    }
    end();
}

PV_TEST(a_file_is_offered_to_each_peer_that_is_named)
{
    static const char control = PV_WEBLINK_CONTROL, place = PV_WEBLINK_FILE;
    char asked[2048] = "", kind[8];
    FILE *empty = tmpfile();
    size_t n = 0;
    begin();
    enter();
    int browser = ask("POST", "/file?name=a%20b&peer=bob&transfer=" ID "&peer=carol&room=%23crew",
                      PV_STR("Cookie: %s\r\nX-P2pvpn-Key: %s\r\n", cookie, key), "words");
    run_until(something_is_said, links[1]);
    assert_int_equal(hear_link(kind, sizeof(kind)), 1);
    assert_int_equal(kind[0], PV_WEBLINK_FILE);
    assert_ok(pv_unix_write(links[1], pv_view(&place, 1), fileno(empty), &n));
    run_until(control_is_wanted, -1);
    int daemon = hand_over(&control, 1), passed = -1, files = 0;
    for (size_t len = 0; files < 2; len += n) {
        run_until(something_is_said, daemon);
        assert_ok(pv_unix_read(daemon, asked + len, sizeof(asked) - 1 - len, &n, &passed));
        assert_true(passed >= 0);
        close(passed);
        files++;
    }
    assert_has(asked, "{'id':1,'cmd':'file_send','peer':'bob'");
    assert_has(asked, "{'id':2,'cmd':'file_send','peer':'carol'");
    assert_has(asked, "'transfer':'" ID "'");
    assert_has(asked, "'room':'#crew'");
    close(daemon);
    assert_int_equal(status_of(browser), 200);
    fclose(empty);
    end();
}

PV_TEST(without_p2pvpnd_the_browser_is_told)
{
    static const char none[] = {PV_WEBLINK_CONTROL, PV_CTLAPI_NOT_RUNNING};
    size_t n;
    begin();
    enter();
    int browser = ask_api("{\"id\":1,\"cmd\":\"status\"}");
    run_until(control_is_wanted, -1);
    assert_ok(pv_unix_write(links[1], pv_view(none, sizeof(none)), -1, &n));
    assert_int_equal(status_of(browser), 502);
    assert_has(answer, "'code':8");
    end();
}

PV_TEST(a_request_that_is_not_for_the_page_reaches_nobody)
{
    char text[64];
    begin();
    enter();
    assert_int_equal(status_of(ask_api("{\"id\":1,\"cmd\":\"root_export\"}")), 403);
    assert_int_equal(status_of(ask_api("{\"id\":1,\"cmd\":\"ping\"}")), 400);
    assert_int_equal(status_of(ask_api("")), 400);
    assert_int_equal(status_of(ask("POST", "/api", "", "{\"id\":1,\"cmd\":\"status\"}")), 401);
    assert_int_equal(status_of(ask("GET", "/", "", "")), 200);
    assert_has(answer, "Content-Security-Policy: default-src 'none';");
    assert_int_equal(status_of(ask("GET", "/../server.c", "", "")), 404);
    assert_int_equal(status_of(ask("PUT", "/", "", "")), 401);
    assert_int_equal(hear_link(text, sizeof(text)), 0);
    end();
}

PV_TEST(no_more_requests_are_at_p2pvpnd_than_it_has_room_for)
{
    int browsers[PV_WEB_REQUESTS];
    begin();
    enter();
    for (size_t i = 0; i < PV_WEB_REQUESTS; i++) {
        browsers[i] = ask_api(test_given("watch what chat"));
        run_until(control_is_wanted, -1);
    }
    assert_int_equal(status_of(ask_api("{\"id\":1,\"cmd\":\"status\"}")), 503);
    end(); /* with all of them waiting */
    for (size_t i = 0; i < PV_WEB_REQUESTS; i++)
        close(browsers[i]);
}
