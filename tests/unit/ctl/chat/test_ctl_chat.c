/* SPDX-License-Identifier: MIT */
/* p2pvpnctl: send, inbox, history and the conversation of chat. */
#include "tests/unit/ctl/ctl_fake.h"

#define MSG(id, from, to, text, state)                                                          \
    "{\"id\":\"" id "\",\"from\":\"" from "\",\"to\":\"" to "\",\"room\":null,\"text\":\"" text \
    "\",\"time\":1000000000.5,\"state\":\"" state "\"}"
#define WHEN "[2001-09-09 01:46] "

static void send_joins_words_and_says_what_became_of_it(void **state)
{
    (void)state;
    answers("send", "{\"id\":@,\"ok\":true,\"message\":" MSG("A", "lap", "pi", "x",
                                                             "queued") ",\"online\":true}\n");
    assert_int_equal(RUN("send", "pi", "see", "you", "--json", "-8"), 0);
    assert_string_equal(t.out, "sent to pi\n");
    answers("send", "{\"id\":@,\"ok\":true,\"message\":" MSG("A", "lap", "pi", "x",
                                                             "queued") ",\"online\":false}\n");
    FILE *in = input("two\nlines\n");
    assert_int_equal(run_in(in, (const char *const[]){"send", "pi", "-", NULL}), 0);
    fclose(in);
    assert_non_null(strstr(t.out, "queued"));
    assert_int_equal(RUN("send", "--json", "pi", "x"), 0);
    assert_string_equal(
        t.out,
        "{\"message\":" MSG("A", "lap", "pi", "x", "queued") ",\"online\":false,\"format\":1}\n");
    assert_string_equal(t.requests,
                        "{\"cmd\":\"send\",\"peer\":\"pi\",\"text\":\"see you --json -8\"}\n"
                        "{\"cmd\":\"send\",\"peer\":\"pi\",\"text\":\"two\\nlines\"}\n"
                        "{\"cmd\":\"send\",\"peer\":\"pi\",\"text\":\"x\"}\n");
}

static void a_text_of_the_limit_passes_and_one_more_byte_does_not(void **state)
{
    (void)state;
    static char text[PV_CHAT_TEXT_MAX + 2];
    memset(text, 'x', PV_CHAT_TEXT_MAX);
    answers("send", "{\"id\":@,\"ok\":true,\"message\":{},\"online\":true}\n");
    assert_int_equal(RUN("send", "pi", text), 0);
    text[PV_CHAT_TEXT_MAX] = 'x';
    assert_int_equal(RUN("send", "pi", text), PV_CTLAPI_USAGE);
    FILE *in = input(text);
    assert_int_equal(run_in(in, (const char *const[]){"send", "pi", "-", NULL}), PV_CTLAPI_USAGE);
    fclose(in);
}

static void inbox_shows_who_and_what(void **state)
{
    (void)state;
    answers("inbox", "{\"id\":@,\"ok\":true,\"version\":1,\"messages\":[" MSG(
                         "A", "pi", "lap", "hi\\u001b[2J\\nthere", "unread") "]}\n");
    assert_int_equal(RUN("inbox", "--peek"), 0);
    assert_string_equal(t.out, WHEN "pi: hi\xef\xbf\xbd[2J\n    there\n");
    assert_int_equal(RUN("inbox", "--json"), 0);
    assert_string_equal(t.out, "{\"version\":1,\"messages\":[" MSG(
                                   "A", "pi", "lap", "hi\\u001B[2J\\nthere", "unread") "],"
                                   "\"format\":1}\n");
    assert_string_equal(t.requests, "{\"cmd\":\"inbox\",\"peek\":true}\n{\"cmd\":\"inbox\"}\n");
    answers("inbox", "{\"id\":@,\"ok\":true,\"version\":1,\"messages\":[]}\n");
    assert_int_equal(RUN("inbox"), 0);
    assert_int_equal(t.out_len, 0);
    assert_string_equal(t.err, "no new messages\n");
}

static void history_shows_both_directions(void **state)
{
    (void)state;
    answers("history", "{\"id\":@,\"ok\":true,\"version\":1,\"more\":true,\"messages\":[" MSG(
                           "A", "pi", "lap", "hi", "read") "," MSG("B", "lap", "pi", "yes",
                                                                   "delivered") "]}\n");
    assert_int_equal(RUN("history", "pi", "-n", "2"), 0);
    assert_string_equal(t.out, WHEN "pi to lap: hi\n" WHEN "lap to pi: yes  (delivered)\n");
    assert_string_equal(t.requests, "{\"cmd\":\"history\",\"peer\":\"pi\",\"limit\":2}\n");
    assert_int_equal(RUN("history", "--json"), 0);
    assert_null(strstr(t.out, "more"));
}

static void chat_converses_on_a_pipe(void **state)
{
    (void)state;
    answers("watch", "{\"id\":@,\"event\":\"message\",\"message\":" MSG("B", "pi", "lap", "live",
                                                                        "unread") "}\n");
    answers("inbox", "{\"id\":@,\"ok\":true,\"version\":1,\"messages\":[" MSG(
                         "A", "pi", "lap", "earlier", "unread") "," MSG("B", "pi", "lap", "live",
                                                                        "unread") "]}\n");
    answers("send", "{\"id\":@,\"ok\":true,\"message\":" MSG("C", "lap", "pi", "hello",
                                                             "queued") ",\"online\":true}\n");
    answers("peers", "{\"id\":@,\"ok\":true," PEERS "}\n");
    FILE *in = input("send pi hello there\ngetu\nnonsense\nexit\n");
    assert_int_equal(run_in(in, (const char *const[]){"chat", NULL}), 0);
    fclose(in);
    assert_non_null(strstr(t.out, WHEN "pi: live\n"));
    assert_non_null(strstr(t.out, WHEN "pi: earlier\n"));
    assert_non_null(strstr(t.out, "-- sent to pi\n"));
    assert_non_null(strstr(t.out, "pi             10.66.1.5  online   direct\n"));
    assert_null(strstr(strstr(t.out, "live") + 1, "live")); /* told twice, shown once */
    assert_string_equal(t.err, "there is: send NAME TEXT, getu, exit\n");
    assert_string_equal(t.requests, "{\"cmd\":\"watch\",\"what\":\"chat\",\"seen\":true}\n"
                                    "{\"cmd\":\"inbox\"}\n"
                                    "{\"cmd\":\"send\",\"peer\":\"pi\",\"text\":\"hello there\"}\n"
                                    "{\"cmd\":\"peers\"}\n");
}

static void chat_with_a_peer_sends_plain_lines_there(void **state)
{
    (void)state;
    answers("ip", "{\"id\":@,\"ok\":true,\"ip4\":\"10.66.0.1\"}\n");
    answers("inbox", "{\"id\":@,\"ok\":true,\"version\":1,\"messages\":[]}\n");
    answers("send", "{\"id\":@,\"ok\":false,\"code\":1,\"error\":\"send: disk full\"}\n");
    FILE *in = input("hello\nsend me the file\nlast line without newline");
    assert_int_equal(run_in(in, (const char *const[]){"chat", "pi", NULL}), 0);
    fclose(in);
    assert_string_equal(t.requests,
                        "{\"cmd\":\"ip\",\"peer\":\"pi\"}\n"
                        "{\"cmd\":\"watch\",\"what\":\"chat\",\"seen\":true}\n"
                        "{\"cmd\":\"inbox\"}\n"
                        "{\"cmd\":\"send\",\"peer\":\"pi\",\"text\":\"hello\"}\n"
                        "{\"cmd\":\"send\",\"peer\":\"pi\",\"text\":\"send me the file\"}\n"
                        "{\"cmd\":\"send\",\"peer\":\"pi\",\"text\":\"last line without "
                        "newline\"}\n");
    assert_non_null(strstr(t.err, "p2pvpnctl: send: disk full\n"));
}

static void chat_with_an_unknown_peer_is_told_at_once(void **state)
{
    (void)state;
    answers("ip", "{\"id\":@,\"ok\":false,\"code\":6,\"error\":\"ip: no peer pj\"}\n");
    assert_int_equal(RUN("chat", "pj"), PV_CTLAPI_UNKNOWN_PEER);
}

static void chat_without_a_network_ends(void **state)
{
    (void)state;
    answers("watch", "{\"id\":@,\"ok\":false,\"code\":4,\"error\":\"chat: not joined\"}\n");
    answers("inbox", "{\"id\":@,\"ok\":true,\"version\":1,\"messages\":[]}\n");
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    FILE *in = fdopen(fds[0], "r");
    assert_int_equal(run_in(in, (const char *const[]){"chat", NULL}), PV_CTLAPI_NOT_JOINED);
    fclose(in);
    close(fds[1]);
}

static void chat_tells_states_of_what_it_sent(void **state)
{
    (void)state;
    answers("inbox", "{\"id\":@,\"ok\":true,\"version\":1,\"messages\":[]}\n");
    answers("send", "{\"id\":@,\"ok\":true,\"message\":" MSG("C", "lap", "pi", "hello\\nyou",
                                                             "queued") ",\"online\":false}\n");
    answers("peers", "{\"id\":1,\"event\":\"state\",\"msg_id\":\"C\",\"peer\":\"pi\","
                     "\"state\":\"delivered\"}\n"
                     "{\"id\":1,\"event\":\"state\",\"msg_id\":\"Z\",\"peer\":\"pi\","
                     "\"state\":\"read\"}\n"
                     "{\"id\":1,\"event\":\"presence\",\"peer\":\"pi\",\"online\":true}\n"
                     "{\"id\":1,\"event\":\"message\",\"message\":" MSG(
                         "D", "pi", "lap", "back",
                         "unread") "}\n"
                                   "{\"id\":@,\"ok\":true,\"version\":1,\"peers\":[]}\n");
    FILE *in = input("send pi hello\ngetu\n");
    assert_int_equal(run_in(in, (const char *const[]){"chat", NULL}), 0);
    fclose(in);
    assert_string_equal(t.out, "-- queued: pi is offline and gets it when it is back\n"
                               "-- delivered to pi: hello...\n"
                               "-- pi is online\n" WHEN "pi: back\n"
                               "-- nobody else is in this network yet\n");
}

int main(void)
{
    setenv("TZ", "UTC", 1);
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(send_joins_words_and_says_what_became_of_it),
        T(a_text_of_the_limit_passes_and_one_more_byte_does_not),
        T(inbox_shows_who_and_what),
        T(history_shows_both_directions),
        T(chat_converses_on_a_pipe),
        T(chat_with_a_peer_sends_plain_lines_there),
        T(chat_with_an_unknown_peer_is_told_at_once),
        T(chat_without_a_network_ends),
        T(chat_tells_states_of_what_it_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
