/* SPDX-License-Identifier: MIT */
/* p2pvpnctl: send, inbox, history and the conversation of chat. */
#include <poll.h>
#include <pty.h>
#include <signal.h>

#include "chat/proto/chat.h"
#include "tests/unit/ctl/ctl_fake.h"

#define MSG(id, from, to, text, state)                                                          \
    "{\"id\":\"" id "\",\"from\":\"" from "\",\"to\":\"" to "\",\"room\":null,\"text\":\"" text \
    "\",\"time\":1000000000.5,\"state\":\"" state "\"}"
#define WHEN "[2001-09-09 01:46] "

/* The ids that send drew are random: they are left out, once each is seen to have its form. */
static const char *without_ids(char *requests)
{
    static const char field[] = ",\"message\":\"";
    for (char *p; (p = strstr(requests, field)) != NULL;) {
        uint8_t id[PV_CHAT_ID_LEN];
        char *text = p + sizeof(field) - 1, *end = text + PV_CHAT_ID_TEXT;
        assert_int_equal(*end, '"');
        *end = '\0';
        assert_ok(pv_chat_id_parse(text, id));
        memmove(p, end + 1, strlen(end + 1) + 1);
    }
    return requests;
}

PV_TEST_WORLD(setup, teardown);

PV_TEST(send_joins_words_and_says_what_became_of_it)
{
    answers("send", OK("'message':" MSG("A", "lap", "pi", "x", "queued") ",'online':true"));
    assert_prints("send", "pi", "see", "you", "--json", "-8");
    answers("send", OK("'message':" MSG("A", "lap", "pi", "x", "queued") ",'online':false"));
    assert_int_equal(RUN_WITH("two\nlines\n", "send", "pi", "-"), 0);
    assert_has(t.out, "queued");
    assert_prints("send", "--json", "pi", "x");
    assert_shows("requests", without_ids(t.requests));
}

/* As lines of a chat: Windows marks the text, and ends its lines with two characters. */
PV_TEST(a_text_of_windows_is_sent_without_its_marks)
{
    answers("send", OK("'message':{},'online':true"));
    assert_int_equal(RUN_WITH("\xef\xbb\xbfone\r\ntwo\rthree\r\n", "send", "pi", "-"), 0);
    assert_shows("requests", without_ids(t.requests));
}

/* Nothing can arrive of what nobody was asked to send. */
PV_TEST(a_send_without_a_daemon_leaves_no_doubt)
{
    stop_daemon();
    assert_refuses(PV_CTLAPI_NOT_RUNNING, "send", "pi", "x");
}

/* A message that was sent and not answered may arrive: a user who repeats it can say which it
 * was. */
PV_TEST(a_send_without_an_answer_says_how_it_is_repeated)
{
    answers("send", "");
    assert_int_equal(RUN("--timeout", "1", "send", "pi", "x"), PV_CTLAPI_TIMEOUT);
    const char *id = strstr(t.requests, "\"message\":\"");
    assert_non_null(id);
    test_shows_as(PV_STR("%.*s", (int)PV_CHAT_ID_TEXT, id + 11), "ID");
    assert_shows("$ p2pvpnctl --timeout 1 send pi x", t.err);
    answers("send", OK("'message':{},'online':true"));
    t.requests[0] = '\0';
    assert_int_equal(RUN("send", "--id", "AAECAwQFBgcICQoLDA0ODw", "pi", "x"), 0);
    assert_asked(test_given("send peer pi text x message"));
    assert_int_equal(RUN("send", "--id", "short", "pi", "x"), PV_CTLAPI_USAGE);
    answers("send", OK("'message':{},'online':true"));
    t.requests[0] = '\0';
    assert_int_equal(RUN("send", "--id", "AAECAwQFBgcICQoLDA0ODw", "#crew", "x"), 0);
    assert_asked(test_given("send peer #crew text x message"));
}

PV_TEST(a_text_of_the_limit_passes_and_one_more_byte_does_not)
{
    static char text[PV_CHAT_TEXT_MAX + 2];
    memset(text, 'x', PV_CHAT_TEXT_MAX);
    answers("send", OK("'message':{},'online':true"));
    assert_int_equal(RUN("send", "pi", text), 0);
    text[PV_CHAT_TEXT_MAX] = 'x';
    assert_int_equal(RUN("send", "pi", text), PV_CTLAPI_USAGE);
    assert_int_equal(RUN_WITH(text, "send", "pi", "-"), PV_CTLAPI_USAGE);
}

static int send_input(FILE *in)
{
    int code = run_in(in, (const char *const[]){"send", "pi", "-", NULL});
    fclose(in);
    return code;
}

/* All of the input is sent, or nothing of it. */
PV_TEST(no_part_of_an_input_is_sent)
{
    static char text[PV_CHAT_TEXT_MAX + 8];
    memset(text, 'x', PV_CHAT_TEXT_MAX);
    answers("send", OK("'message':{},'online':true"));
    memcpy(text + PV_CHAT_TEXT_MAX, "\nmore", 6);
    assert_int_equal(send_input(input(text)), PV_CTLAPI_USAGE);
    FILE *in = input("");
    fwrite("one\0two", 1, 7, in);
    rewind(in);
    assert_int_equal(send_input(in), PV_CTLAPI_USAGE);
    in = fopen("/", "r"); /* a directory cannot be read */
    assert_non_null(in);
    assert_int_equal(send_input(in), PV_CTLAPI_FAILED);
    assert_asked(NULL);
    memcpy(text + PV_CHAT_TEXT_MAX, "\n", 2);
    assert_int_equal(send_input(input(text)), 0);
}

PV_TEST(inbox_shows_who_and_what)
{
    answers("inbox",
            OK_V1("'messages':[" MSG("A", "pi", "lap", "hi\\u001b[2J\\nthere", "unread") "]"));
    answers("read", OK("'read':1"));
    assert_prints("inbox", "--peek");
    assert_prints("inbox", "--json");
    /* Only what was printed is read, and only then. */
    assert_asked("'cmd':'inbox','peek':true", "'cmd':'inbox','peek':true",
                 "'cmd':'read','through':'A'");
    /* A full disk keeps nobody from reading. */
    answers("read", test_given("code error disk full"));
    assert_int_equal(RUN("inbox"), 0);
    assert_has(t.out, "there");
    assert_has(t.err, "the disk is full");
    assert_has(t.err, "warning: these messages stay unread");
    /* As a sentence, as in the chat on a terminal. */
    answers("inbox", OK_V1("'messages':[" MSG("A", "pi", "lap", "/me waves", "unread") "]"));
    assert_prints("inbox", "--peek");
    answers("inbox", OK_V1("'messages':[]"));
    assert_int_equal(RUN("inbox"), 0);
    assert_int_equal(t.out_len, 0);
    assert_string_equal(t.err, "no new messages\n");
}

PV_TEST(history_shows_both_directions)
{
    answers("history", OK_V1("'more':true,'messages':[" MSG("A", "pi", "lap", "hi", "read") "," MSG(
                           "B", "lap", "pi", "yes", "delivered") "]"));
    assert_prints("history", "pi", "-n", "2");
    assert_asked("'cmd':'history','peer':'pi','limit':2");
    assert_int_equal(RUN("history", "--json"), 0);
    assert_lacks(t.out, "more");
    answers("history", OK_V1("'messages':[]"));
    assert_int_equal(RUN("history", "pi"), 0);
    assert_int_equal(t.out_len, 0);
    assert_string_equal(t.err, "no messages\n");
}

PV_TEST(a_message_that_the_other_machine_does_not_take_is_said)
{
    answers("send", test_given("a message that is held"));
    assert_prints("send", "pi", "yes");
    answers("inbox", OK_V1("'messages':[]"));
    assert_int_equal(RUN_WITH("send pi yes\n", "chat"), 0);
    assert_shows("$ p2pvpnctl chat", t.out);
    answers("history", test_given("history with a held message"));
    assert_int_equal(RUN("history", "pi"), 0);
    assert_shows("$ p2pvpnctl history pi", t.out);
}

PV_TEST(a_former_holder_of_a_name_is_told_apart)
{
    answers("history", test_given("messages from pi lap room text"));
    /* By the name that it has now, whichever was typed. */
    assert_prints("history", "pie");
}

/* "read" is said of what comes in, too, where it would tell the reader of itself. */
PV_TEST(history_says_what_the_other_side_has_read)
{
    answers("history", test_given("messages from lap own pi room"));
    assert_prints("history", "pi");
}

#define ROOM_MSG(id, from, room, text)                                              \
    "{\"id\":\"" id "\",\"from\":\"" from "\",\"to\":\"" room "\",\"room\":\"" room \
    "\",\"text\":\"" text "\",\"time\":1000000000.5,\"state\":\"unread\"}"

PV_TEST(a_line_in_a_room_names_those_whom_a_rule_keeps_from_it)
{
#define NOT_TO(list) \
    OK("'message':" ROOM_MSG("C", "lap", "#crew", "hi") ",'online':true,'denied':[" list "]")
    answers("send", NOT_TO("{'name':'pi','rule':'rule 3'}"));
    assert_prints("send", "#crew", "hi");
    answers("send", NOT_TO("{'name':'a','rule':'rule 3'},{'name':'b','rule':'rule 3'},{'name':'c','"
                           "rule':'rule 1'},{'name':'d','rule':'rule 1'}"));
    assert_prints("send", "#crew", "hi");
#undef NOT_TO
}

/* A terminal shows the line itself, and as --quiet none but the words that say what it does not. */
PV_TEST(a_chat_line_by_line_names_those_whom_a_rule_keeps_from_a_line)
{
    answers("inbox", OK_V1("'messages':[]"));
    answers("send", test_given("message #crew room #crew online"));
    assert_int_equal(RUN_WITH("send #crew x\n", "chat", "--quiet"), 0);
    assert_shows("$ p2pvpnctl chat --quiet", t.out);
    answers("send", test_given("message B #crew room #crew"));
    assert_int_equal(RUN_WITH("send #crew x\n", "chat", "--quiet"), 0);
    assert_string_equal(t.out, "");
}

PV_TEST(history_is_cleared_when_one_is_sure)
{
    answers("history_clear", OK("'deleted':12"));
    assert_prints("history", "clear", "pi", "--yes");
    assert_asked("'cmd':'history_clear','peer':'pi'");
    assert_int_equal(RUN("history", "clear", "--all", "--yes"), 0);
    /* Without a terminal nobody can be asked, and half a command deletes nothing. */
    assert_int_equal(RUN("history", "clear", "pi"), PV_CTLAPI_USAGE);
    assert_int_equal(RUN("history", "clear", "--yes"), PV_CTLAPI_USAGE);
    assert_int_equal(RUN("history", "clear", "pi", "--all", "--yes"), PV_CTLAPI_USAGE);
    assert_int_equal(RUN("history", "clear", "pi", "-n", "2", "--yes"), PV_CTLAPI_USAGE);
    assert_int_equal(RUN("history", "pi", "--yes"), PV_CTLAPI_USAGE);
    assert_int_equal(RUN("history", "pi", "bob"), PV_CTLAPI_USAGE);
    assert_asked("'cmd':'history_clear','peer':'pi'", "'cmd':'history_clear'");
}

PV_TEST(mute_says_what_it_does)
{
    answers("mute", OK("'changed':true"));
    answers("unmute", OK("'changed':false"));
    answers("muted", OK_V1("'muted':['#crew','pi']"));
    assert_prints("mute", "#crew");
    assert_asked("'cmd':'mute','peer':'#crew'");
    assert_prints("unmute", "pi");
    assert_prints("mute");
    assert_int_equal(RUN("unmute"), PV_CTLAPI_USAGE);
    assert_int_equal(RUN("mute", "pi", "bob"), PV_CTLAPI_USAGE);
}

PV_TEST(chat_converses_on_a_pipe)
{
    answers("watch",
            "{'id':@,'event':'message','message':" MSG("B", "pi", "lap", "live", "unread") "}\n");
    answers("inbox", OK_V1("'messages':[" MSG("A", "pi", "lap", "earlier", "unread") "," MSG(
                         "B", "pi", "lap", "live", "unread") "],'upto':5"));
    answers("read", OK("'read':2"));
    answers("send", OK("'message':" MSG("C", "lap", "pi", "hello", "queued") ",'online':true"));
    answers("peers", test_given("pi and a longer name"));
    /* A line that was no command went nowhere, and a script has to know. */
    assert_int_equal(RUN_WITH("send pi hello there\ngetu\nnonsense\nexit\n", "chat"),
                     PV_CTLAPI_USAGE);
    assert_has(t.out, WHEN "pi: earlier\n");
    assert_has(strstr(t.out, "earlier"), WHEN "pi: live\n"); /* it came first, and is the newer */
    assert_has(t.out, "-- sent to pi\n");
    assert_has(t.out, "pi             10.66.1.5  online   direct\n");
    assert_lacks(strstr(t.out, "live") + 1, "live"); /* told twice, shown once */
    assert_shows("$ p2pvpnctl chat", t.err);
    /* A typed line is read whenever it comes, so only some of the order is certain. */
    static const char first[] = "{\"cmd\":\"watch\",\"what\":\"chat\"}\n"
                                "{\"cmd\":\"files\"}\n{\"cmd\":\"room_list\"}\n"
                                "{\"cmd\":\"inbox\",\"peek\":true}\n";
    assert_int_equal(strncmp(t.requests, first, sizeof(first) - 1), 0);
    assert_has(t.requests, "{'cmd':'read','through':'B','upto':5}\n");
    const char *sent = strstr(t.requests, test_given("send peer pi text hello there"));
    assert_non_null(sent);
    assert_has(sent, "{'cmd':'peers'}\n");
}

#define NEWS(id, from, to, state)                                               \
    "{\"id\":\"" id "\",\"from\":\"" from "\",\"to\":\"" to                     \
    "\",\"room\":null,\"text\":\"hi\",\"time\":1000000000.5,\"state\":\"" state \
    "\",\"former\":\"AbCdEf\",\"another_since\":1000000000}"

/* A user who knew the former pi has to hear it before the first line, and once. */
PV_TEST(chat_says_that_a_name_changed_hands)
{
    static const char said[] =
        "-- pi is another machine since 2001-09-09 01:46 (before: key:AbCd)\n";
    answers("inbox", OK_V1("'messages':[" NEWS("A", "pi", "lap",
                                               "unread") "," NEWS("B", "pi", "lap", "unread") "]"));
    answers("read", OK("'read':2"));
    assert_int_equal(RUN_WITH("exit\n", "chat"), 0);
    const char *first = strstr(t.out, said);
    assert_non_null(first);
    assert_ptr_equal(strstr(first, WHEN "pi: hi\n"), first + sizeof(said) - 1);
    assert_lacks(first + sizeof(said) - 1, "another machine");
    /* A user who writes first hears it with the answer. */
    answers("inbox", OK_V1("'messages':[]"));
    answers("send", OK("'message':" NEWS("C", "lap", "pi", "queued") ",'online':true"));
    assert_int_equal(RUN_WITH("send pi hi\nexit\n", "chat"), 0);
    assert_has(t.out, said);
    /* A script has the fields. */
    assert_int_equal(RUN_WITH("send pi hi\nexit\n", "chat", "--json"), 0);
    assert_lacks(t.out, "another machine");
    assert_has(t.out, "'another_since':1000000000");
}

PV_TEST(chat_with_a_peer_sends_plain_lines_there)
{
    answers("ip", OK("'ip4':'10.66.0.9'"));
    answers("peers", OK("'peers':[{'name':'pi','ip4':'10.66.0.9'}]"));
    answers("inbox", OK_V1("'messages':[]"));
    answers("send", test_given("code error send disk full"));
    assert_int_equal(RUN_WITH(test_given("hello send me file last line"), "chat", "pi"), 1);
    assert_asked("'cmd':'ip','peer':'pi'", "'cmd':'peers'", "'cmd':'watch','what':'chat'",
                 "'cmd':'files'", "'cmd':'room_list'", "'cmd':'inbox','peek':true",
                 test_given("send peer pi pi text hello"), "'cmd':'peers'",
                 test_given("send peer pi unless me pi text"),
                 test_given("send peer pi pi text last line"));
    assert_has(t.err, "p2pvpnctl: send: disk full\n");
}

#define PI_KEY "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
#define CREW   "#~AAECAwQFBgcICQoLDA0ODw"

/* Names may change hands while a line is typed: it is for the machine, or the room, that had the
 * name when the chat began. */
PV_TEST(a_line_goes_to_the_machine_or_the_room_that_had_the_name_at_the_start)
{
    static const char *const ways[] = {"--lines", "--raw"};
    for (size_t i = 0; i < PV_ARRAY_LEN(ways); i++) {
        answers("ip", OK("'ip4':'10.66.0.1'"));
        answers("peers", test_given("peers pi ip4 key"));
        answers("room_members", OK("'room':'#crew','address':'" CREW "','members':[]"));
        answers("inbox", OK_V1("'messages':[]"));
        answers("send", test_given("code error send no peer"));
        assert_int_equal(RUN_WITH("secret\n", "chat", ways[i], "pi"), 6);
        /* The prompt of --lines says the name, so that it has to hold, too. */
        assert_has(t.requests, i == 0 ? "{\"cmd\":\"send\",\"peer\":\"" PI_KEY
                                        "\",\"name\":\"pi\",\"text\":\"secret\"}"
                                      : "{\"cmd\":\"send\",\"peer\":\"" PI_KEY
                                        "\",\"text\":\"secret\"}");
        assert_shows("err", t.err);
        answers("send", test_given("code error send this node left"));
        assert_int_equal(RUN_WITH("secret\n", "chat", ways[i], "#crew"), 6);
        assert_has(t.requests, "{\"cmd\":\"send\",\"peer\":\"" CREW "\",\"text\":\"secret\"}");
        assert_shows("err", t.err);
        answers("send", "{'id':@,'ok':false,'code':6,'error':'send: " CREW " is shut'}\n");
        assert_int_equal(RUN_WITH("secret\n", "chat", ways[i], "#crew"), 6);
        assert_shows("err", t.err);
    }
}

/* "send WORD TEXT" goes where WORD is somebody's name, or an address; a sentence stays. */
PV_TEST(chat_with_a_peer_sends_what_names_another_member_or_a_room_there)
{
    /* The word, where the line goes, and whose it must not be: of a former name p2pvpnd knows. */
    static const char *const words[][3] = {
        {"nas", "nas"},
        {"NAS", "NAS"},
        {"#crew", "#crew"},
        {"#x", "#x"},
        {"Nas.home", "Nas.home"},
        {"Nas.home.p2p", "Nas.home.p2p"},
        {"key:AbCd", "key:AbCd"},
        {PI_KEY, PI_KEY},
        {"10.9.9.9", "10.9.9.9"},
        {"FD00::9", "FD00::9"},
        {"3.5", "pi", "\"unless\":\"3\","},
        {"it.home.p2p", "pi", "\"unless\":\"it\","},
        {"me", "pi", "\"unless\":\"me\","},
        {"nas,", "pi", ""},
    };
    answers("ip", OK("'ip4':'10.66.0.1'"));
    answers("peers", test_given("peers nas ip4 pi ip4"));
    answers("inbox", OK_V1("'messages':[]"));
    answers("send", OK("'message':" MSG("C", "lap", "nas", "secret", "queued") ",'online':true"));
    for (size_t i = 0; i < PV_ARRAY_LEN(words); i++) {
        const char *word = words[i][0], *to = words[i][1];
        char line[128], asked[128];
        size_t before = strlen(t.requests);
        snprintf(line, sizeof(line), "send %s a b\n", word);
        const bool here = strcmp(word, to) != 0;
        const char *text = here ? line : "a b\n";
        snprintf(asked, sizeof(asked), "{\"cmd\":\"send\",\"peer\":\"%s\",%s%s\"text\":\"%.*s\"}\n",
                 to, here ? words[i][2] : "", here ? "\"name\":\"pi\"," : "",
                 (int)strcspn(text, "\n"), text);
        assert_int_equal(RUN_WITH(line, "chat", "pi"), 0);
        assert_string_equal(strstr(t.requests + before, "{\"cmd\":\"send\""), asked);
    }
}

/* A line that may be meant for somebody else goes to nobody. */
PV_TEST(chat_with_a_peer_ends_where_the_names_are_not_told)
{
    answers("ip", OK("'ip4':'10.66.0.1'"));
    answers("peers", test_given("code error peers out memory"));
    answers("inbox", OK_V1("'messages':[]"));
    assert_int_equal(RUN_WITH("send nas secret\n", "chat", "pi"), PV_CTLAPI_FAILED);
    assert_has(t.err, "out of memory");
    assert_lacks(t.requests, "secret");
}

/* A peer that takes the id of another's message must not keep that one from being shown. */
PV_TEST(one_id_in_two_conversations_is_two_messages)
{
    answers("inbox", OK_V1("'messages':[" MSG("A", "eve", "lap", "first", "unread") "," MSG(
                         "A", "pi", "lap", "second", "unread") "]"));
    answers("read", OK("'read':2"));
    assert_int_equal(RUN_WITH("", "chat"), 0);
    assert_has(t.out, WHEN "eve: first\n");
    assert_has(t.out, WHEN "pi: second\n");
}

/* One refused line ends nothing, and is not forgotten: a script sees it by the exit code. */
PV_TEST(a_refused_line_is_told_as_everything_is_told)
{
    answers("inbox", OK_V1("'messages':[]"));
    answers("send", test_given("code error send no peer pj"));
    answers("peers", test_given("pi and a longer name"));
    assert_int_equal(RUN_WITH("send pj hello\ngetu\n", "chat", "--json"), PV_CTLAPI_UNKNOWN_PEER);
    assert_shows("$ p2pvpnctl chat --json", t.err);
    assert_has(t.out, "'event':'peers'");
    /* No name at all. */
    assert_int_equal(RUN_WITH("send p\xc3 hello\n", "chat"), PV_CTLAPI_USAGE);
    /* A message that was shown and stays unread is no failure of the conversation. */
    answers("inbox", OK_V1("'messages':[" MSG("A", "pi", "lap", "hi", "unread") "]"));
    answers("read", test_given("code error disk full"));
    assert_int_equal(RUN_WITH("", "chat"), 0);
    assert_has(t.err, "the disk is full");
}

/* As run_in(), with an output that nobody reads any more. */
static int run_unheard(const char *text, const char *const *words)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    close(fds[0]);
    FILE *in = input(text);
    int code = run_with(in, fdopen(fds[1], "w"), tmpfile(), words);
    fclose(in);
    return code;
}

/* p2pvpnd takes for read what it tells a chat, so a chat that nobody reads must end. */
PV_TEST(chat_ends_when_nobody_reads_it_any_more)
{
    answers("ip", OK("'ip4':'10.66.1.5'"));
    answers("peers", test_given("pi and a longer name"));
    answers("inbox", OK_V1("'messages':[]"));
    answers("send", OK("'message':{},'online':true"));
    assert_int_equal(run_unheard("send pi hello\n", (const char *const[]){"chat", NULL}),
                     PV_CTLAPI_FAILED);
    assert_lacks(t.requests, "hello");
    /* A raw one marks nothing, and goes on while it has something to send. */
    assert_int_equal(
        run_unheard("", (const char *const[]){"chat", "--raw", "-t", "20", "pi", NULL}), 0);
    assert_int_equal(run_unheard("hello\n", (const char *const[]){"chat", "--raw", "pi", NULL}), 0);
    assert_has(t.requests, "hello");
}

/* A raw conversation asks for the lines of the peer, or of the room, by what stays when they are
 * called otherwise, and prints what it gets. */
PV_TEST(raw_prints_the_lines_of_one_conversation)
{
    answers("room_members", OK("'room':'#crew','address':'" CREW "','members':[]"));
    answers("inbox", OK_V1("'messages':[" ROOM_MSG("A", "pi", "#crew", "from pi") "," ROOM_MSG(
                         "B", "lap", "#team", "from lap") "]"));
    answers("read", OK("'read':2"));
    answers("send", test_given("code error send u001b 2J"));
    assert_int_equal(RUN_WITH("hello\n", "chat", "--raw", "#crew"), 1);
    assert_has(t.requests, "{\"cmd\":\"inbox\",\"peer\":\"" CREW "\",");
    assert_string_equal(t.out, "from pi\nfrom lap\n");
    assert_null(strchr(t.err, 0x1b)); /* whatever p2pvpnd says reaches no terminal as a command */
    assert_has(t.err, "send: ");
    answers("ip", OK("'ip4':'10.66.1.5'"));
    answers("peers", test_given("pi and a longer name"));
    answers("inbox", OK_V1("'messages':[" MSG("D", "pie", "lap", "private", "unread") "]"));
    assert_int_equal(RUN_WITH("hello\n", "chat", "--raw", "pi"), 1);
    assert_has(t.requests, "{\"cmd\":\"inbox\",\"peer\":\"K\",");
    assert_string_equal(t.out, "private\n");
}

#define CAME(id, from, state, address)                                      \
    "{'id':@,'event':'message','message':" MSG(id, from, "lap", "text " id, \
                                               state) ",'address':'" address "'}\n"

/* A muted peer's come as read, and another client may read E first: no inbox has them. */
PV_TEST(raw_prints_all_that_comes_once_in_the_order_in_which_it_came)
{
    answers("ip", OK("'ip4':'10.66.1.5'"));
    answers("peers", test_given("pi and a longer name"));
    answers("watch",
            CAME("A", "pi", "read", "K") CAME("B", "pi", "unread", "K") CAME("C", "pi", "read", "L")
                CAME("D", "robert", "read", "K") CAME("E", "pi", "unread", "K"));
    answers("inbox", OK_V1("'messages':[" MSG("B", "pi", "lap", "text B", "unread") "]"));
    answers("read", OK("'read':1"));
    answers("send", OK("'message':{},'online':true"));
    assert_int_equal(RUN_WITH("hello\n", "chat", "--raw", "pi"), 0);
    assert_string_equal(t.out, "text A\ntext B\ntext D\ntext E\n");
    assert_has(t.requests, "'cmd':'read','peer':'K','through':'E'");
}

/* All of a page came meanwhile: the next one begins behind it. */
PV_TEST(raw_asks_for_no_page_twice)
{
    answers("ip", OK("'ip4':'10.66.1.5'"));
    answers("peers", test_given("pi and a longer name"));
    answers("watch", CAME("A", "pi", "unread", "K") CAME("B", "pi", "unread", "K"));
    answers_first("inbox",
                  OK_V1("'messages':[" MSG("A", "pi", "lap", "text A", "unread") "," MSG(
                      "B", "pi", "lap", "text B", "unread") "],'more':true"),
                  OK_V1("'messages':[" MSG("C", "pi", "lap", "text C", "unread") "]"));
    answers("read", OK("'read':1"));
    answers("send", OK("'message':{},'online':true"));
    assert_int_equal(RUN_WITH("hello\n", "chat", "--raw", "pi"), 0);
    assert_shows("requests", t.requests);
}

PV_TEST(the_daemons_word_of_a_file_reaches_no_terminal_as_a_command)
{
    char path[] = "/tmp/ctlchatXXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, "x", 1) == 1);
    close(fd);
    answers("ip", OK("'ip4':'10.66.1.5'"));
    answers("file_send", test_given("code error no u001b 2J"));
    int code = RUN("send-file", "pi", path);
    unlink(path);
    assert_int_equal(code, 1);
    assert_has(t.err, "no ");
    assert_null(strchr(t.err, 0x1b));
}

PV_TEST(each_file_that_is_sent_has_an_id_of_its_own)
{
    char path[] = "/tmp/ctlchatXXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, "x", 1) == 1);
    close(fd);
    answers("ip", OK("'ip4':'10.66.1.5'"));
    answers("file_send", OK("'file':{'id':3}"));
    int first = RUN("send-file", "--no-wait", "pi", path);
    int second = RUN("send-file", "--no-wait", "pi", path, "--json");
    unlink(path);
    assert_int_equal(first, 0);
    assert_int_equal(second, 0);
    assert_has(t.out, "'file':{'id':3}"); /* a script learns the number */
    const char *one = strstr(t.requests, "\"transfer\":\"");
    assert_non_null(one);
    const char *two = strstr(one + 1, "\"transfer\":\"");
    assert_non_null(two);
    assert_int_equal(strcspn(one + 12, "\""), PV_CHAT_ID_TEXT);
    assert_memory_not_equal(one, two, 12 + PV_CHAT_ID_TEXT);
}

#define MEMBER(name, online, self) "{\"name\":\"" name "\",\"online\":" online ",\"self\":" self "}"

static size_t count(const char *text, const char *part)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, part)) != NULL; p++)
        n++;
    return n;
}

/* The line in the room and the offers go by one name, so that whoever shows both knows. */
PV_TEST(a_file_for_a_room_is_offered_to_each_member_that_is_there)
{
    answers("room_members",
            OK("'room':'#crew','members':[" MEMBER("lap", "true", "true") "," MEMBER(
                "pi", "true", "false") "," MEMBER("bob", "true", "false") "," MEMBER("eve", "false",
                                                                                     "false") "]"));
    answers("send", test_given("online message"));
    answers("file_send", OK("'file':{'id':3}"));
    assert_int_equal(RUN("send-file", "--no-wait", "#crew", "/proc/self/exe"), 0);
    assert_has(t.requests, "'text':'/me offers exe (");
    assert_int_equal(count(t.requests, "\"room\":\"#crew\""), 3); /* it is asked for, and told */
    assert_int_equal(count(t.requests, "\"cmd\":\"file_send\""), 2);
    assert_int_equal(count(t.requests, "\"transfer\":\"AQAAAAAAAAAAAAAAAAAAAA\""), 2);
    assert_lacks(t.requests, "'peer':'eve'");
    assert_lacks(t.requests, "'peer':'lap'");
}

PV_TEST(a_file_for_a_room_where_nobody_is_there_is_not_announced)
{
    answers("room_members", OK("'room':'#crew','members':[" MEMBER("lap", "true", "true") "]"));
    assert_int_equal(RUN("send-file", "#crew", "/proc/self/exe"), PV_CTLAPI_PEER_OFFLINE);
    assert_has(t.err, "#crew has no other members: invite one first");
    answers("room_members", OK("'room':'#crew','down':true,'members':[" MEMBER(
                                "lap", "true", "true") "," MEMBER("pi", "false", "false") "]"));
    assert_refuses(PV_CTLAPI_PEER_OFFLINE, "send-file", "#crew", "/proc/self/exe");
    assert_lacks(t.requests, "'cmd':'send'");
}

PV_TEST(a_file_that_waits_says_for_what)
{
    answers("file_send", OK("'file':{'id':3}"));
    answers("files", test_given("files state offered online"));
    assert_int_equal(RUN("-t", "1", "send-file", "pi", "/proc/self/exe"), PV_CTLAPI_TIMEOUT);
    assert_has(t.err, "waiting: pi is away\n");
    answers("files", test_given("files state offered online why"));
    assert_int_equal(RUN("-t", "1", "send-file", "pi", "/proc/self/exe"), PV_CTLAPI_TIMEOUT);
    assert_shows("$ p2pvpnctl -t 1 send-file pi /proc/self/exe", t.err);
    assert_lacks(t.err, "away");
}

/* The time mostly ends between two looks, and says nothing of p2pvpnd or of the peer. */
PV_TEST(a_file_that_is_not_there_in_time_goes_on)
{
    const char *const files[] = {test_given("files direction state accepted"), ""};
    static const char words[] = "p2pvpnctl: %s: not finished in time: it goes on in p2pvpnd\n";
    answers("file_send", OK("'file':{'id':3}"));
    answers("file_accept", OK("'file':{'id':3,'peer':'pi'}"));
    answers("version", OK("'version':1")); /* it answers: a peer would be to blame */
    for (size_t i = 0; i < PV_ARRAY_LEN(files); i++) {
        answers("files", files[i]);
        assert_int_equal(RUN("-t", "1", "send-file", "pi", "/proc/self/exe"), PV_CTLAPI_TIMEOUT);
        assert_string_equal(t.err, PV_STR(words, "send-file"));
        assert_int_equal(RUN("-t", "1", "files", "accept", "3"), PV_CTLAPI_TIMEOUT);
        assert_string_equal(t.err, PV_STR(words, "files"));
    }
    answers("file_send", "");
    assert_refuses(PV_CTLAPI_TIMEOUT, "-t", "1", "send-file", "pi", "/proc/self/exe");
}

PV_TEST(the_list_of_files_names_the_room_of_each)
{
    answers("files", test_given("files transfer direction peer"));
    assert_int_equal(RUN("files"), 0);
    assert_has(t.out, "from  pi          ");
    assert_has(t.out, "from  bob         ");
    assert_has(t.out, "from  eve   #team");
}

PV_TEST(superfluous_words_and_options_of_files_are_refused)
{
    static const struct {
        const char *words[8];
    } rows[] = {
        {{"files", "list", "x"}},
        {{"files", "list", "--dir", "/tmp"}},
        {{"files", "--no-wait"}},
        {{"files", "withdraw", "1", "-o", "x"}},
        {{"files", "refuse", "1", "--no-wait"}},
        {{"files", "get", "1", "--no-wait"}},
        {{"files", "accept", "1", "--no-wait", "-o", "x"}},
        {{"files", "accept", "1", "--no-wait", "-d", "/"}},
        {{"files", "get", "1", "-d", "/tmp", "-o", "/x"}},
        {{"send-file", "bob", ""}},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        const char *const *w = rows[i].words;
        assert_int_equal(run_in(stdin, w), PV_CTLAPI_USAGE);
        shows_printed(t.err, w);
    }
    answers("files", test_given("files direction out peer bob"));
    assert_int_equal(RUN("files", "refuse", "1"), PV_CTLAPI_FAILED);
    assert_shows("$ p2pvpnctl files refuse 1", t.err);
}

PV_TEST(all_is_every_file_that_the_verb_fits)
{
    answers("files", test_given("files direction out peer bob 2"));
    answers("file_stop", OK("'file':{'id':2}"));
    answers("file_accept", OK("'file':{'id':2,'peer':'pi'}"));
    assert_int_equal(RUN("files", "refuse", "all"), 0);
    assert_asked("'cmd':'files'", "'cmd':'files'", "'cmd':'file_stop','number':2", "'cmd':'files'",
                 "'cmd':'file_stop','number':4");
    t.requests[0] = '\0';
    assert_int_equal(RUN("files", "accept", "all", "--no-wait"), 0);
    assert_asked("'cmd':'files'", "'cmd':'file_accept','number':2");
    assert_int_equal(RUN("files", "get", "all", "-o", "x"), PV_CTLAPI_USAGE);
    assert_shows("$ p2pvpnctl files get all -o x", t.err);
    answers("files", OK("'files':[]"));
    assert_int_equal(RUN("files", "get", "all"), 0);
    assert_has(t.err, "no file to get: `p2pvpnctl files` lists all");
    assert_int_equal(RUN("files", "get"), PV_CTLAPI_USAGE);
    assert_shows("$ p2pvpnctl files get", t.err);
}

/* A peer's files are refused at a limit, so the list says how to empty it. */
PV_TEST(the_list_of_files_says_how_to_empty_it)
{
    answers("files", test_given("files direction peer pi state"));
    assert_int_equal(RUN("files"), 0);
    assert_shows("$ p2pvpnctl files", t.err);
}

/* The longest line drawn on a terminal of so many columns. */
static size_t longest_line(unsigned short cols, const char *path)
{
    static char text[16384];
    const struct winsize size = {.ws_row = 24, .ws_col = cols};
    size_t longest = 0;
    int master, slave;
    if (openpty(&master, &slave, NULL, NULL, &size) != 0)
        skip(); /* a chroot without /dev/pts */
    FILE *err = fdopen(dup(slave), "w"), *in = input("");
    int code = run_with(in, tmpfile(), err,
                        (const char *const[]){"-t", "3", "send-file", "pi", path, NULL});
    fclose(in);
    assert_int_equal(code, PV_CTLAPI_TIMEOUT);
    char *end = NULL;
    for (size_t len = 0; end == NULL;) { /* the kernel brings it in pieces */
        struct pollfd p = {.fd = master, .events = POLLIN};
        ssize_t n = poll(&p, 1, 20000) == 1 ? read(master, text + len, sizeof(text) - 1 - len) : 0;
        assert_true(n > 0);
        len += (size_t)n;
        text[len] = '\0';
        end = strstr(text, "p2pvpnctl:");
    }
    close(slave);
    close(master);
    *end = '\0';
    assert_has(text, "45%");
    for (const char *p = text; *p != '\0'; p += strspn(p, "\r\n")) {
        size_t len = strcspn(p, "\r\n");
        longest = len > longest ? len : longest;
        p += len;
    }
    return longest;
}

PV_TEST(progress_fits_the_terminal)
{
    char path[] = "/tmp/ctlchatXXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, "x", 1) == 1);
    close(fd);
    answers("file_send", OK("'file':{'id':3}"));
    answers("files", test_given("files state accepted running"));
    size_t narrow = longest_line(20, path), wide = longest_line(200, path);
    unlink(path);
    assert_in_range(narrow, 6, 19);
    assert_int_equal(wide, 79);
}

PV_TEST(chat_with_an_unknown_peer_is_told_at_once)
{
    answers("ip", test_given("code error ip no peer pj"));
    assert_int_equal(RUN("chat", "pj"), PV_CTLAPI_UNKNOWN_PEER);
    answers("ip", OK("'ip4':'10.66.0.1'"));
    answers("peers", OK("'peers':[{'name':'pi','ip4':'10.66.0.9'}]"));
    assert_int_equal(RUN("chat", "lap"), PV_CTLAPI_UNKNOWN_PEER);
    assert_has(t.err, "lap is this machine: name another");
}

PV_TEST(chat_without_a_network_ends)
{
    answers("watch", test_given("code error chat not joined"));
    answers("inbox", OK_V1("'messages':[]"));
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    FILE *in = fdopen(fds[0], "r");
    assert_int_equal(run_in(in, (const char *const[]){"chat", NULL}), PV_CTLAPI_NOT_JOINED);
    fclose(in);
    close(fds[1]);
    /* A line of the input is certainly not sent. */
    assert_int_equal(RUN_WITH("send bob x\n", "chat"), PV_CTLAPI_NOT_JOINED);
    assert_string_equal(t.err, "p2pvpnctl: chat: not joined\n");
    assert_lacks(t.requests, "'cmd':'send'");
}

PV_TEST(chat_tells_states_of_what_it_sent)
{
    answers("inbox", OK_V1("'messages':[]"));
    /* The program that gave the answer tells what happens then. */
    answers("send", PV_STR("%s%s",
                           OK("'message':" MSG("C", "lap", "pi", "hello\\nyou",
                                               "queued") ",'online':false"),
                           test_given("event state msg_id C peer pi")));
    answers("peers", OK_V1("'peers':[]"));
    answers("read", OK("'read':1"));
    assert_int_equal(RUN_WITH("send pi hello\ngetu\n", "chat"), 0);
    assert_has(t.requests, "{'cmd':'read','through':'D'}\n"); /* once it was written */
    assert_shows("$ p2pvpnctl chat", t.out);
}

/* Muted peers and rooms are heard in the conversation that the person opened. */
PV_TEST(chat_tells_lines_of_the_muted_in_their_own_conversation_only)
{
#define SAID(id, room, text)                                                                 \
    "{'id':1,'event':'message','message':{'id':'" id "','from':'pi','to':'lap','room':" room \
    ",'text':'" text "','time':1000000000.5,'state':'read'}}\n"
    answers("ip", OK("'ip4':'10.66.0.1'"));
    answers("room_members", OK("'room':'#crew','address':'" CREW "','members':[]"));
    answers("inbox", OK_V1("'messages':[]"));
    answers("peers", SAID("A", "null", "alone") SAID("B", "'#crew'", "to all")
                         OK("'peers':[{'name':'pi','ip4':'10.66.0.1','key':'" PI_KEY "'}]"));
    assert_int_equal(RUN_WITH("getu\n", "chat"), 0);
    assert_lacks(t.out, "alone");
    assert_lacks(t.out, "to all");
    assert_int_equal(RUN_WITH("getu\n", "chat", "pi"), 0);
    assert_has(t.out, WHEN "pi: alone\n");
    assert_lacks(t.out, "to all");
    assert_int_equal(RUN_WITH("getu\n", "chat", "#crew"), 0);
    assert_has(t.out, WHEN "pi in #crew: to all\n");
    assert_lacks(t.out, "alone");
    /* A script sees the state. */
    assert_int_equal(RUN_WITH("getu\n", "chat", "--json"), 0);
    assert_has(t.out, "alone");
#undef SAID
}

PV_TEST(an_invitation_names_the_commands_with_its_room)
{
    answers("inbox", test_given("event room room #tea what"));
    answers("room_list", OK_V1("'rooms':[]"));
    assert_int_equal(RUN_WITH("", "chat"), 0);
    t.out[strcspn(t.out, "\n")] = '\0';
    assert_shows("$ p2pvpnctl chat", t.out);
}

#define FILE_EVENT(id, direction, state)                                              \
    "{'id':1,'event':'file','file':{'id':" id ",'direction':'" direction "','peer':'" \
    "pi','name':'a`\\u001b[2J','size':2048,'state':'" state "'}}\n"

#define OFFERED(id, more) \
    "{'id':" id ",'direction':'in','state':'offered','peer':'pi','name':'a','size':1" more "}"

/* An old one is told anew when its sender comes back. */
PV_TEST(chat_tells_of_a_file_that_is_offered)
{
    answers("files", OK_V1("'files':[" OFFERED("4", "") "]"));
    answers("inbox", OK_V1("'messages':[]"));
    answers("peers", FILE_EVENT("4", "in", "offered") FILE_EVENT("5", "out", "offered")
                         FILE_EVENT("6", "in", "accepted") FILE_EVENT("7", "in", "offered")
                             FILE_EVENT("7", "in", "offered") OK_V1("'peers':[]"));
    assert_int_equal(RUN_WITH("getu\n", "chat", "--lines"), 0);
    assert_shows("$ p2pvpnctl chat --lines", t.out);
    assert_int_equal(RUN_WITH("getu\n", "chat", "--quiet"), 0);
    assert_lacks(t.out, "offers");
    /* A script has all events as they are. */
    assert_int_equal(RUN_WITH("getu\n", "chat", "--json"), 0);
    assert_int_equal(count(t.out, "\"event\":\"file\""), 5);
}

#define ROOM(name, left, invited) \
    "{'room':'" name "','creator':'pi','members':1,'left':" left ",'invited':" invited "}"

/* Behind what was said, of which there may be much, and none twice: an event may come before the
 * list that has its file or room. */
PV_TEST(chat_begins_with_what_is_offered)
{
    answers("watch", test_given("event file file direction peer"));
    answers("files", test_given("files direction state offered"));
    answers("room_list", OK_V1("'rooms':[" ROOM("#in", "false", "false") "," ROOM(
                             "#tea", "false", "true") "," ROOM("#gone", "true", "true") "]"));
    answers("inbox", OK_V1("'messages':[" MSG("A", "pi", "lap", "x", "unread") "]"));
    answers("read", OK("'read':1"));
    answers("peers", FILE_EVENT("4", "in", "offered") OK_V1("'peers':[]"));
    assert_int_equal(RUN_WITH("getu\n", "chat", "--lines"), 0);
    assert_shows("$ p2pvpnctl chat", t.out);
    assert_int_equal(RUN_WITH("getu\n", "chat", "--quiet"), 0);
    assert_lacks(t.out, "-- pi offers");
    assert_lacks(t.out, "#tea");
}

void test_begin(void)
{
    setenv("TZ", "UTC", 1);
    signal(SIGPIPE, SIG_IGN); /* as main() of p2pvpnctl does */
}
