/* SPDX-License-Identifier: MIT */
/* The terminal chat without a terminal: what is typed, and what is said. */
#include <limits.h>
#include <locale.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "chat/screen/model/tuiwords.h"
#include "chat/screen/tuilink.h"
#include "chat/screen/tuiterm.h"
#include "chat/screen/tuiview.h"
#include "sys/file/file.h"
#include "tests/unit/test_dir.h"
#include "tests/unit/test_util.h"

/* --- a chat without a terminal --------------------------------------------------------------- */

/* This node is lap; pi and alice are there, bob and bobby are away. */

#define T0 "1795168800" /* 2026-11-20 10:00 UTC */

struct fixture {
    struct pv_tui t;
    struct pv_tui_screen screen;
    char row[PV_TUI_MAX_COLS * 4 + 1];
};

static struct fixture *f; /* of the test that runs */
static struct pv_tui *t;  /* its chat */

/* JSON with ' for ". */
static inline json_t *json_of(const char *text)
{
    char *copy = strdup(text);
    assert_non_null(copy);
    json_t *body = json_loads(test_quotes(copy), 0, NULL);
    assert_non_null(body);
    free(copy);
    return body;
}

static inline void take(void (*what)(struct pv_tui *, const json_t *), const char *text)
{
    json_t *body = json_of(text);
    what(t, body);
    json_decref(body);
}

/* The same of somebody, or about some words. */
static inline void take_of(void (*what)(struct pv_tui *, const char *, const json_t *),
                           const char *of, const char *text)
{
    json_t *body = json_of(text);
    what(t, of, body);
    json_decref(body);
}

#define MESSAGE(id, from, to, text, state, more)                                              \
    "{'id':'" id "','from':'" from "','to':'" to "','room':null,'text':'" text "','time':" T0 \
    ",'state':'" state "'" more "}"
#define PI_KEY "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
/* The list of members when another machine than that of PI_KEY has the name. */
#define ANOTHER(name, since) \
    "{'peers':[{'name':'" name "','former':'" PI_KEY "','another_since':" since "}]}"
#define MSG(id, from, to, text, state) MESSAGE(id, from, to, text, state, "")
#define MINE(id, to, text, state)      MESSAGE(id, "lap", to, text, state, ",'own':true")
#define ROOM_MESSAGE(id, from, text, state, more)                                               \
    "{'id':'" id "','from':'" from "','to':'#crew','room':'#crew','text':'" text "','time':" T0 \
    ",'state':'" state "'" more "}"
#define ROOM_MSG(id, from, text, state) ROOM_MESSAGE(id, from, text, state, "")
#define PEER(name, online, type, rtt)                                                \
    "{'name':'" name "','ip4':'10.66.1.5','online':" online ",'path':{'type':'" type \
    "','rtt_ms':" rtt "}}"

#define OFFERS                  "/me offers a.txt (2.0 KiB) to those who are here"
#define OF_ROOM(id, from, text) ROOM_MSG(id, from, text, "sent")
#define MY_OFFER(id)            ROOM_MESSAGE(id, "lap", OFFERS, "sent", ",'own':true")
#define A_FILE(id, transfer, direction, peer, state)                                   \
    "{'id':" id ",'transfer':'" transfer "','direction':'" direction "','peer':'" peer \
    "','name':'a.txt','size':2048,'state':'" state "'}"

static inline void drop_actions(void)
{
    struct pv_tui_action a;
    while (pv_tui_poll(t, &a) == PV_OK)
        free(a.text);
}

void test_before_each(void)
{
    f = test_alloc(sizeof(*f));
    t = &f->t;
    assert_ok(pv_tui_init(t));
    take(pv_tui_take_status, test_given("self lap network home"));
    take(pv_tui_take_peers,
         "{'peers':[" PEER("pi", "true", "direct", "3.14") "," PEER(
             "alice", "true", "relay", "80") "," PEER("bob", "false", "none",
                                                      "null") "," PEER("bobby", "false", "none",
                                                                       "null") "]}");
}

void test_after_each(void)
{
    pv_tui_screen_done(&f->screen);
    pv_tui_done(t);
    free(f);
}

static inline void type(const char *text)
{
    for (size_t n; *text != '\0'; text += n)
        pv_tui_key(t, PV_TUI_CHAR, pv_tui_decode(text, &n));
}

static inline void line(const char *text)
{
    type(text);
    pv_tui_key(t, PV_TUI_ENTER, 0);
}

static inline void edit(enum pv_tuiedit_op op)
{
    pv_tui_key(t, PV_TUI_EDIT, (wchar_t)op);
}

/* Opens a conversation; what that asks for is not looked at. */
static inline void open_of(const char *name)
{
    pv_tui_open(t, pv_tui_find(t, name, false));
    drop_actions();
}

static inline const char *name_of_current(void)
{
    return t->convs[t->current].name;
}

static inline void assert_action(enum pv_tui_action_kind kind, const char *peer, const char *text)
{
    struct pv_tui_action a;
    assert_ok(pv_tui_poll(t, &a));
    assert_int_equal(a.kind, kind);
    assert_string_equal(a.peer, peer);
    assert_string_equal(a.text == NULL ? "" : a.text, text);
    free(a.text);
}

static inline void assert_nothing_asked(void)
{
    struct pv_tui_action a;
    assert_int_equal(pv_tui_poll(t, &a), PV_ERR_AGAIN);
}

/* A row of the picture without the blanks at its end. */
static inline const char *row(size_t n)
{
    size_t len = 0;
    for (size_t i = 0; i < f->screen.cols; i++) {
        const struct pv_tui_cell *c = &f->screen.cells[n * f->screen.cols + i];
        for (size_t k = 0; c->ch[k] != L'\0'; k++) {
            char bytes[MB_LEN_MAX];
            int w = wctomb(bytes, c->ch[k]);
            assert_true(w > 0);
            memcpy(f->row + len, bytes, (size_t)w);
            len += (size_t)w;
        }
    }
    while (len > 0 && f->row[len - 1] == ' ')
        len--;
    f->row[len] = '\0';
    return f->row;
}

static inline void draw(size_t rows, size_t cols)
{
    assert_ok(pv_tui_render(t, rows, cols, &f->screen));
}

/* The transcript has this picture, row by row. */
static inline void assert_screen(size_t rows, size_t cols)
{
    char *picture = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&picture, &len);
    assert_non_null(out);
    draw(rows, cols);
    for (size_t i = 0; i < rows; i++)
        fprintf(out, "%s\n", row(i));
    fclose(out);
    assert_shows(PV_STR("%zux%zu", cols, rows), picture);
    free(picture);
}

/* --- the input line -------------------------------------------------------------------------- */

PV_TEST(the_line_is_edited_by_characters_not_bytes)
{
    struct pv_tuiedit *e = &t->edit;
    type("a\xc3\xbc\xe4\xbd\xa0z");
    edit(PV_TUIEDIT_LEFT);
    edit(PV_TUIEDIT_BACKSPACE);
    assert_string_equal(e->text, "a\xc3\xbcz");
    edit(PV_TUIEDIT_LEFT);
    type("-");
    assert_string_equal(e->text, "a-\xc3\xbcz");
    edit(PV_TUIEDIT_DELETE);
    assert_string_equal(e->text, "a-z");
    edit(PV_TUIEDIT_END);
    type(" two words");
    edit(PV_TUIEDIT_KILL_WORD);
    assert_string_equal(e->text, "a-z two ");
    edit(PV_TUIEDIT_HOME);
    edit(PV_TUIEDIT_RIGHT);
    edit(PV_TUIEDIT_KILL_END);
    assert_string_equal(e->text, "a");
    edit(PV_TUIEDIT_KILL_START);
    assert_string_equal(e->text, "");
    for (enum pv_tuiedit_op op = PV_TUIEDIT_LEFT; op <= PV_TUIEDIT_NEWER; op++)
        edit(op); /* on an empty line nothing breaks */
    assert_int_equal(e->len, 0);
}

PV_TEST(the_line_takes_no_control_characters_and_has_an_end)
{
    static const wchar_t bad[] = {0, 1, 0x1b, 0x7f, 0x9b, 0xd800, 0x110000};
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++)
        pv_tui_key(t, PV_TUI_CHAR, bad[i]);
    assert_int_equal(t->edit.len, 0);
    for (size_t i = 0; i < PV_TUIEDIT_MAX; i++)
        pv_tui_key(t, PV_TUI_CHAR, L'x');
    assert_int_equal(t->edit.len, PV_TUIEDIT_MAX);
    pv_tui_key(t, PV_TUI_CHAR, L'x');
    assert_int_equal(t->edit.len, PV_TUIEDIT_MAX);
    edit(PV_TUIEDIT_BACKSPACE);
    type("\xc3\xbc"); /* two bytes do not fit in one */
    assert_int_equal(t->edit.len, PV_TUIEDIT_MAX - 1);
}

PV_TEST(typed_lines_come_back)
{
    pv_tui_open(t, pv_tui_find(t, "pi", false));
    for (int i = 0; i < PV_TUIEDIT_PAST + 3; i++) {
        const char *text = PV_STR("line %d", i);
        line(text);
        line(text); /* the same again is kept once */
        drop_actions();
    }
    type("draft");
    edit(PV_TUIEDIT_OLDER);
    assert_string_equal(t->edit.text, "line 34");
    edit(PV_TUIEDIT_OLDER);
    assert_string_equal(t->edit.text, "line 33");
    for (int i = 0; i < 99; i++)
        edit(PV_TUIEDIT_OLDER);
    assert_string_equal(t->edit.text, "line 3");
    for (int i = 0; i < 99; i++)
        edit(PV_TUIEDIT_NEWER);
    assert_string_equal(t->edit.text, "draft");
}

/* Up and Enter, typed in the wrong place, must not tell one person what was said to another. */
PV_TEST(lines_come_back_where_they_were_typed)
{
    line("/open pi");
    line("for pi alone");
    line("/open bob");
    edit(PV_TUIEDIT_OLDER);
    assert_string_equal(t->edit.text, "");
    line("for bob");
    line("/open pi");
    edit(PV_TUIEDIT_OLDER);
    edit(PV_TUIEDIT_OLDER);
    assert_string_equal(t->edit.text, "for pi alone");
    /* Down in another conversation brings nothing that was begun here. */
    pv_tui_open(t, pv_tui_find(t, "bob", false));
    edit(PV_TUIEDIT_NEWER);
    assert_string_equal(t->edit.text, "");
    edit(PV_TUIEDIT_OLDER);
    edit(PV_TUIEDIT_OLDER);
    assert_string_equal(t->edit.text, "for bob");
    pv_tui_open(t, 0);
    edit(PV_TUIEDIT_OLDER);
    assert_string_equal(t->edit.text, "/open pi");
}

/* --- commands and completion ----------------------------------------------------------------- */

PV_TEST(an_unsent_line_goes_along_to_the_first_conversation)
{
    line("hello");
    pv_tui_key(t, PV_TUI_NEXT, 0);
    assert_true(t->current > 0);
    assert_string_equal(t->edit.text, "hello");
    pv_tui_key(t, PV_TUI_NEXT, 0);
    assert_string_equal(t->edit.text, ""); /* it is that conversation's now */
}

PV_TEST(lines_go_where_they_belong)
{
    line("hello");
    assert_nothing_asked(); /* to whom? */
    assert_has(t->note, "no conversation is open");
    assert_string_equal(t->edit.text, "hello"); /* it is not lost */
    edit(PV_TUIEDIT_KILL_START);
    line("send pi hello there");
    assert_int_equal(t->current, 0); /* it stays where it is */
    assert_action(PV_TUI_SEND, "pi", "hello there");
    line("/open pi");
    assert_action(PV_TUI_HISTORY, "pi", "");
    line("plain");
    assert_action(PV_TUI_SEND, "pi", "plain");
    line("send me the file"); /* nobody is called me */
    assert_action(PV_TUI_SEND, "pi", "send me the file");
    line("/MSG BOB hi");
    assert_action(PV_TUI_SEND, "bob", "hi");
    take(pv_tui_take_sent, "{'message':" MINE("N", "bob", "hi", "queued") ",'online':true}");
    assert_string_equal(t->note, "sent to bob");
    assert_string_equal(name_of_current(), "pi"); /* the next line is for who is shown */
    line("/open bob");
    assert_action(PV_TUI_HISTORY, "bob", "");
    line("exit the room");
    assert_action(PV_TUI_SEND, "bob", "exit the room");
    line("//etc/hosts");
    assert_action(PV_TUI_SEND, "bob", "/etc/hosts");
    line("  //etc/hosts");
    assert_action(PV_TUI_SEND, "bob", "/etc/hosts");
    line(" send pi not for bob"); /* a blank before it changes nothing */
    assert_action(PV_TUI_SEND, "pi", "not for bob");
    line("  /msg pi nor this");
    assert_action(PV_TUI_SEND, "pi", "nor this");
    line("  an indented text");
    assert_action(PV_TUI_SEND, "bob", "  an indented text");
    line("/send nobody secret");
    assert_nothing_asked();
    assert_string_equal(t->edit.text, "/send nobody secret"); /* whole: bob must not get the rest */
    edit(PV_TUIEDIT_KILL_START);
    line("/open alice");
    assert_string_equal(name_of_current(), "alice");
    assert_action(PV_TUI_HISTORY, "alice", "");
    line("/close");
    assert_int_equal(t->current, 0);
    line("/frobnicate");
    assert_has(t->note, "/frobnicate");
    edit(PV_TUIEDIT_KILL_START);
    line("   ");
    assert_nothing_asked();
    assert_int_not_equal(t->leave, PV_TUI_ENDED);
    line("exit");
    assert_int_equal(t->leave, PV_TUI_ENDED);
}

/* Lines that were typed ahead are read before the daemon has told who is there. */
PV_TEST(a_line_that_may_be_for_somebody_else_goes_to_nobody)
{
    struct pv_tui early;
    assert_ok(pv_tui_init(&early));
    t = &early;
    pv_tui_open(t, pv_tui_find(t, "pi", true));
    drop_actions();
    const char *const lines[] = {"send nas secret", "send #crew secret"};
    for (size_t i = 0; i < PV_ARRAY_LEN(lines); i++) {
        line(lines[i]);
        assert_nothing_asked();
        assert_string_equal(t->edit.text, lines[i]); /* it is not lost */
        pv_tui_key(t, PV_TUI_EDIT, PV_TUIEDIT_KILL_START);
    }
    take(pv_tui_take_peers,
         "{'peers':[{'name':'mobile','gateway':'nas'}," PEER("nas", "true", "direct", "3") "]}");
    assert_int_equal(pv_tui_find(t, "mobile", false), SIZE_MAX); /* a phone takes no messages */
    take(pv_tui_take_rooms, "{'rooms':[{'room':'#crew','members':3}]}");
    line("send nas secret");
    assert_action(PV_TUI_SEND, "nas", "secret");
    line("send #crew secret");
    assert_action(PV_TUI_SEND, "#crew", "secret");
    line("send #crwe secret"); /* a slip */
    assert_nothing_asked();
    assert_has(t->note, "no room named #crwe: ");
    pv_tui_done(t);
    t = &f->t;
}

/* A line of a machine whose name is another's by now is no line of that other one. */
PV_TEST(a_former_conversation_is_opened_by_its_name_or_key)
{
#define OLD(id) MESSAGE(id, "pi", "lap", "old", "unread", ",'from_former':'AbCdEf'")
    take(pv_tui_take_message, OLD("m1"));
    assert_int_equal(t->convs[pv_tui_find(t, "pi", false)].n_lines, 0);
    assert_int_equal(t->convs[pv_tui_find(t, "key:AbCd", false)].n_lines, 1);
    line("/open key:AbCd");
    assert_string_equal(name_of_current(), "key:AbCd");
    drop_actions();
    line("still there?");
    assert_shows("note", t->note);
    assert_nothing_asked();
    edit(PV_TUIEDIT_KILL_START);
    line("/open gone");
    assert_action(PV_TUI_FORMER, "gone", "");
    assert_string_equal(name_of_current(), "key:AbCd"); /* until it is known that there is one */
    take_of(pv_tui_take_former, "gone", "{'messages':[" MINE("m2", "gone", "bye", "read") "]}");
    assert_string_equal(name_of_current(), "gone");
    assert_int_equal(t->convs[t->current].n_lines, 1);
    assert_nothing_asked();
    take_of(pv_tui_take_former, "nobody", "{'messages':[]}");
    assert_string_equal(t->note, "no messages with nobody");
    assert_int_equal(pv_tui_find(t, "nobody", false), SIZE_MAX);
    take(pv_tui_take_peers, test_given("peers pi online former"));
    type("/open key:z");
    pv_tui_key(t, PV_TUI_TAB, 0);
    assert_string_equal(t->edit.text, "/open key:zzzz ");
    edit(PV_TUIEDIT_KILL_START);
}

PV_TEST(a_history_that_could_not_be_had_is_asked_for_again)
{
    struct pv_tui_action a;
    pv_tui_open(t, pv_tui_find(t, "pi", false));
    assert_ok(pv_tui_poll(t, &a));
    pv_tui_take_error(t, "the disk says nothing", &a);
    line("/open bob");
    drop_actions();
    line("/open pi");
    assert_action(PV_TUI_HISTORY, "pi", "");
}

PV_TEST(older_history_comes_page_by_page)
{
    line("/open pi");
    assert_action(PV_TUI_HISTORY, "pi", "");
    take_of(pv_tui_take_history, "pi",
            "{'more':true,'messages':[" MSG("m3", "pi", "lap", "three", "read") "]}");
    struct pv_tui_conv *c = &t->convs[t->current];
    pv_tui_key(t, PV_TUI_PAGE_UP, 10);
    assert_nothing_asked(); /* the first line is not in sight */
    c->at_top = true;
    pv_tui_key(t, PV_TUI_PAGE_UP, 10);
    assert_action(PV_TUI_OLDER, "pi", "m3");
    pv_tui_key(t, PV_TUI_PAGE_UP, 10);
    assert_nothing_asked(); /* once */
    pv_tui_take_older(t, "pi", NULL);
    pv_tui_key(t, PV_TUI_PAGE_UP, 10);
    assert_action(PV_TUI_OLDER, "pi", "m3"); /* again, when the request failed */
    take_of(pv_tui_take_older, "pi",
            "{'messages':[" MSG("m1", "pi", "lap", "one", "read") "," MSG("m2", "pi", "lap", "two",
                                                                          "read") "]}");
    assert_int_equal(c->n_lines, 3);
    assert_string_equal(c->lines[0].text, "one");
    assert_string_equal(c->lines[2].text, "three");
    c->at_top = true;
    pv_tui_key(t, PV_TUI_PAGE_UP, 10);
    assert_nothing_asked(); /* that was all */
}

PV_TEST(files_are_told_once_and_answered)
{
    line("/open pi");
    assert_action(PV_TUI_HISTORY, "pi", "");
#define FILE_EVENT(state, name)                                  \
    "{'file':{'id':7,'direction':'in','peer':'pi','name':'" name \
    "','size':2048,'done':0,'state':'" state "','why':null}}"
    take(pv_tui_take_file, FILE_EVENT("offered", "a\\u001bb"));
    take(pv_tui_take_file, FILE_EVENT("offered", "a\\u001bb"));
    struct pv_tui_conv *c = &t->convs[t->current];
    assert_int_equal(c->n_lines, 1);
    assert_has(c->lines[0].text, "/accept 7, /refuse 7");
    assert_null(strchr(c->lines[0].text, 0x1b));
    line("/accept 7");
    assert_action(PV_TUI_ACCEPT, "", "7");
    line("/refuse 7");
    assert_action(PV_TUI_REFUSE, "", "7");
    line("/accept");
    line("/accept 7x");
    assert_nothing_asked();
    take(pv_tui_take_file, FILE_EVENT("done", "a"));
    assert_int_equal(c->n_lines, 2);
    assert_has(c->lines[1].text, "/get 7");
}

/* A chat that begins, or a daemon that comes back, is told of all files: what is over is no news. A
 * transfer under way shows how far it is. */
PV_TEST(files_that_are_over_are_no_news_and_others_show_how_far_they_are)
{
    line("/open pi");
    drop_actions();
    take(pv_tui_take_file, FILE_EVENT("saved", "old.bin"));
    /* A receiver that comes back tells anew what it has long had. */
    take(pv_tui_take_file, test_given("file direction out peer pi size"));
    assert_int_equal(t->convs[t->current].n_lines, 0);
    take(pv_tui_take_files, test_given("files direction out peer pi"));
    assert_true(t->files_moving);
    assert_string_equal(t->note, "new.bin to pi: 25 % of 2.0 KiB");
    take(pv_tui_take_files, test_given("files direction out peer pi 2"));
    assert_string_equal(t->note, ""); /* it stands still: pi is away */
    take(pv_tui_take_files, test_given("a file that stands still"));
    assert_string_equal(t->note, "new.bin to pi waits: its disk is full");
    pv_tui_note(t, "another");
    take(pv_tui_take_files, test_given("a file that stands still"));
    assert_string_equal(t->note, "another");
    pv_tui_note(t, "%s", "");
    take(pv_tui_take_files, test_given("a file that stands still"));
    take(pv_tui_take_file, test_given("file direction out peer pi"));
    assert_string_equal(t->note, "");
    take(pv_tui_take_files, "{'files':[]}");
    assert_false(t->files_moving);
}

/* An offer waits for an answer since before this chat began. */
PV_TEST(files_that_wait_are_told_when_the_chat_begins_and_have_a_mark)
{
    size_t pi = pv_tui_find(t, "pi", false);
    take(pv_tui_take_files, test_given("files, one of pi waits"));
    take(pv_tui_take_files, test_given("files, one of pi waits"));
    assert_int_equal(t->convs[pi].n_lines, 1);
    assert_has(t->convs[pi].lines[0].text, "/accept 7, /refuse 7");
    assert_int_equal(pv_tui_conv_news(&t->convs[pi]), 1);
    assert_int_equal(t->convs[pv_tui_find(t, "bob", false)].n_lines, 0);
    draw(12, 80);
    assert_has(row(10), "[1 unread: Ctrl-G]  a file of pi: /open pi");
    pv_tui_key(t, PV_TUI_NEXT_UNREAD, 0);
    assert_int_equal(t->current, pi);
    assert_int_equal(pv_tui_conv_news(&t->convs[pi]), 0);
    assert_action(PV_TUI_HISTORY, "pi", "");
    assert_nothing_asked(); /* no message was read */
    /* A file that is withdrawn is no offer; one that a room's line says is told there. */
    pv_tui_open(t, 0);
    take(pv_tui_take_file, test_given("file direction peer pi size"));
    assert_int_equal(pv_tui_conv_news(&t->convs[pi]), 0);
}

/* The list of rooms comes before the unread lines, and passes over a room that has no pane. */
PV_TEST(a_room_that_was_left_is_listed_so_as_soon_as_its_unread_lines_are_told)
{
    take(pv_tui_take_rooms, test_given("rooms, #tea was left"));
    assert_int_equal(pv_tui_find(t, "#tea", false), SIZE_MAX);
    take(pv_tui_take_message, test_given("from bob #tea room #tea text x"));
    assert_action(PV_TUI_ROOMS, "", "");
    take(pv_tui_take_rooms, test_given("rooms, #tea was left"));
    draw(12, 80);
    assert_has(row(2), "left");
    assert_nothing_asked();
}

/* A person who offered it here waits for somebody who cannot get it any more. */
PV_TEST(an_offer_that_went_with_the_daemon_is_told_with_the_command_that_repeats_it)
{
#define MINE_OUT(state, more) \
    "{'id':8,'direction':'out','peer':'pi','name':'b','size':1,'state':'" state "'" more "}"
#define AGAIN ",'why':'offer it again','again':true"
#define HOW   ": p2pvpnd restarted: /send-file offers it again"
    size_t pi = pv_tui_find(t, "pi", false);
    const struct pv_tui_conv *c = &t->convs[pi];
    take(pv_tui_take_offered, "{'file':" MINE_OUT("offered", "") "}");
    assert_string_equal(c->lines[0].text, "file to pi b (offered)");
    take(pv_tui_take_files, "{'files':[" MINE_OUT("offered", "") "]}");
    pv_tui_take_return(t);
    /* Of what others offer, such as a `send-file` that waits and repeats it, nothing is said. */
    take(pv_tui_take_files, test_given("files direction out peer pi b"));
    take(pv_tui_take_file, "{'file':" MINE_OUT("offered", AGAIN) "}");
    assert_int_equal(c->n_lines, 2);
    assert_string_equal(c->lines[1].text, "file to pi b (offered)" HOW);
    take(pv_tui_take_file, "{'file':" MINE_OUT("accepted", AGAIN) "}");
    assert_string_equal(c->lines[2].text, "file to pi b (accepted)" HOW);
    take(pv_tui_take_offered, "{'file':" MINE_OUT("accepted", "") "}");
    assert_string_equal(c->lines[3].text, "file to pi b (accepted)");
    assert_int_equal(c->n_lines, 4);
}

/* A receiver that was away says at its return what it has. */
PV_TEST(a_file_that_had_arrived_before_the_chat_began_is_no_news)
{
    const struct pv_tui_conv *c = &t->convs[pv_tui_find(t, "pi", false)];
    take(pv_tui_take_files, "{'files':[" MINE_OUT("done", "") "]}");
    take(pv_tui_take_file, "{'file':" MINE_OUT("done", "") "}");
    assert_int_equal(c->n_lines, 0);
    assert_string_equal(t->note, "");
}

/* It is offered again when its receiver comes back. */
PV_TEST(a_file_that_was_offered_before_the_chat_began_is_news_once_it_goes)
{
    const struct pv_tui_conv *c = &t->convs[pv_tui_find(t, "pi", false)];
    take(pv_tui_take_files, "{'files':[" MINE_OUT("offered", "") "]}");
    take(pv_tui_take_file, "{'file':" MINE_OUT("offered", "") "}");
    assert_int_equal(c->n_lines, 0);
    assert_string_equal(t->note, "");
    take(pv_tui_take_file, "{'file':" MINE_OUT("done", "") "}");
    assert_int_equal(c->n_lines, 1);
}

PV_TEST(a_muted_file_that_waits_is_not_told_when_the_chat_begins)
{
    size_t pi = pv_tui_find(t, "pi", false);
    take(pv_tui_take_files, test_given("files direction peer pi size"));
    /* Nor what becomes of it. */
    take(pv_tui_take_file, test_given("file direction peer pi size"));
    assert_int_equal(t->convs[pi].n_lines, 0);
    assert_int_equal(pv_tui_conv_news(&t->convs[pi]), 0);
    assert_string_equal(t->note, "");
}

PV_TEST(an_offer_of_a_muted_peer_is_told_when_it_is_muted_no_more)
{
    size_t pi = pv_tui_find(t, "pi", false);
    take(pv_tui_take_files, test_given("files direction peer pi size 2"));
    line("/unmute pi");
    struct pv_tui_action a;
    assert_ok(pv_tui_poll(t, &a));
    json_t *body = json_of("{'changed':true}");
    pv_tui_take_done(t, &a, body);
    json_decref(body);
    assert_action(PV_TUI_FILES, "", "");
    for (int i = 0; i < 2; i++) {
        take(pv_tui_take_files, test_given("files direction peer pi size 3"));
        assert_int_equal(t->convs[pi].n_lines, 1); /* once */
    }
    assert_has(t->convs[pi].lines[0].text, "offers a (2.0 KiB): /accept 7, /refuse 7");
}

/* Its machine was removed while it moved; another one may be called pi by now. */
PV_TEST(a_file_of_a_former_member_is_told_in_the_former_ones_conversation)
{
    const size_t n = t->n_convs;
    take(pv_tui_take_file, test_given("file direction out peer pi 2"));
    take(pv_tui_take_file, test_given("file direction out peer pi 3"));
    const size_t former = pv_tui_find(t, "key:AbCd", false);
    assert_int_not_equal(former, SIZE_MAX);
    assert_int_equal(t->n_convs, n + 1);
    assert_has(t->note, "/open key:AbCd");
    /* Nobody has bob's name: its lines stand where they stood. */
    take(pv_tui_take_file, test_given("file direction out peer bob"));
    assert_int_equal(t->n_convs, n + 1);
    assert_has(t->note, "/open bob");
}

/* Files of both directions have numbers of one row. */
PV_TEST(a_number_that_is_no_incoming_files_is_refused)
{
    take(pv_tui_take_file, test_given("file direction out peer pi size 2"));
    /* Also one that was offered before this chat began, and is in the list alone. */
    take(pv_tui_take_files, test_given("files direction out peer pi b 2"));
    line("/refuse 6");
    assert_shows("note", t->note);
    pv_tuiedit_set(&t->edit, "");
    line("/refuse 7");
    assert_shows("note", t->note);
    pv_tuiedit_set(&t->edit, "");
    line("/refuse 4294967303"); /* 7 more than 32 bits have */
    assert_string_equal(t->note, "usage: /refuse ID; /files lists the IDs");
    pv_tuiedit_set(&t->edit, "");
    line("/accept 0");
    assert_string_equal(t->note, "usage: /accept ID; /files lists the IDs");
    edit(PV_TUIEDIT_KILL_START);
    line("/accept #crew");
    assert_has(t->note, "no room named #crew: ");
    assert_nothing_asked();
    /* Nothing is known of it: p2pvpnd says what it is, however often. */
    for (int i = 0; i < 2; i++) {
        pv_tuiedit_set(&t->edit, "");
        line("/refuse 99");
        assert_action(PV_TUI_REFUSE, "", "99");
    }
}

/* Silent until it is asked for, and only for what somebody else wrote. */
PV_TEST(the_bell_rings_for_who_asked_for_it)
{
    take(pv_tui_take_message, MSG("A", "bob", "lap", "one", "unread"));
    assert_false(t->ring);
    line("/bell on");
    assert_string_equal(t->note, "the bell rings for what comes in");
    take(pv_tui_take_message, MINE("B", "bob", "mine", "queued"));
    assert_false(t->ring);
    take(pv_tui_take_message, MSG("C", "bob", "lap", "two", "unread"));
    assert_true(t->ring);
    t->ring = false;
    line("/bell off");
    take(pv_tui_take_message, MSG("D", "bob", "lap", "three", "unread"));
    assert_false(t->ring);
    line("/bell loud");
    assert_string_equal(t->note, "usage: /bell on, or /bell off");
}

/* p2pvpnd tells anew what is unread when it is back. */
PV_TEST(the_bell_does_not_ring_again_for_what_was_unread_before)
{
    size_t bob = pv_tui_find(t, "bob", false);
    line("/bell on");
    take(pv_tui_take_message, MSG("A", "bob", "lap", "one", "unread"));
    for (int i = 0; i < 2; i++) {
        t->ring = false;
        pv_tui_take_loss(t);
        pv_tui_take_return(t);
        take(pv_tui_take_unread, "[" MSG("A", "bob", "lap", "one", "unread") "]");
        assert_int_equal(t->convs[bob].unread, 1);
        assert_false(t->ring);
        assert_string_equal(t->note, "p2pvpnd is back");
    }
    take(pv_tui_take_unread, "[" MSG("B", "bob", "lap", "while it was gone", "unread") "]");
    assert_true(t->ring);
    assert_string_equal(t->note, "new from bob");
}

/* Once, where the message stands, and again when the name goes to yet another machine. */
PV_TEST(a_name_that_changed_hands_is_said_before_the_first_message)
{
#define NEWS(id, from, to, state, since) \
    MESSAGE(id, from, to, "hi", state, ",'former':'AbCdEf','another_since':" since)
    take(pv_tui_take_message, NEWS("A", "bob", "lap", "unread", T0));
    take(pv_tui_take_message, NEWS("B", "bob", "lap", "unread", T0));
    const struct pv_tui_conv *c = &t->convs[pv_tui_find(t, "bob", false)];
    assert_int_equal(c->n_lines, 3);
    assert_string_equal(c->lines[0].id, ""); /* a notice */
    assert_has(c->lines[0].text, "bob is another machine since ");
    assert_has(c->lines[0].text, "(before: key:AbCd)");
    assert_int_equal(c->unread, 2); /* it is no message */
    take(pv_tui_take_message, NEWS("C", "lap", "pi", "queued", T0 ",'own':true"));
    c = &t->convs[pv_tui_find(t, "pi", false)];
    assert_has(c->lines[0].text, "pi is another machine since ");
    take(pv_tui_take_message, NEWS("D", "bob", "lap", "unread", "1795168801"));
    assert_int_equal(t->convs[pv_tui_find(t, "bob", false)].n_lines, 5);
    /* A history that is opened without news says it too. */
    size_t alice = pv_tui_find(t, "alice", false);
    for (int i = 0; i < 2; i++)
        take_of(pv_tui_take_history, "alice", test_given("messages E from alice lap room"));
    assert_int_equal(t->convs[alice].n_lines, 2);
    assert_has(t->convs[alice].lines[0].text, "alice is another machine since ");
    /* A room's line says it in the room, and takes it from no pane of the machine itself. */
    take(pv_tui_take_message,
         ROOM_MESSAGE("F", "dan", "to all", "unread", ",'former':'AbCdEf','another_since':" T0));
    (void)pv_tui_find(t, "dan", true);
    take_of(pv_tui_take_history, "dan",
            "{'messages':[],'changed':{'since':" T0 ",'key':'AbCdEf'}}");
    for (const char **pane = (const char *[]){"#crew", "dan", NULL}; *pane != NULL; pane++) {
        c = &t->convs[pv_tui_find(t, *pane, true)];
        assert_int_equal(c->n_lines, strcmp(*pane, "dan") == 0 ? 1 : 2);
        assert_has(c->lines[0].text, "dan is another machine since ");
    }
}

/* In a room others may have said much since the change, and a long conversation has its notice out
 * of view: it stands above the line that brings it, or in the bar. */
PV_TEST(a_change_of_hands_is_said_where_it_is_seen)
{
    take(pv_tui_take_message, ROOM_MESSAGE("A", "eve", "of others", "unread", ""));
    take(pv_tui_take_message, test_given("B from dan #crew room #crew"));
    const struct pv_tui_conv *c = &t->convs[pv_tui_find(t, "#crew", false)];
    assert_int_equal(c->n_lines, 3);
    assert_has(c->lines[1].text, "dan is another machine since ");
    assert_string_equal(c->lines[2].text, "of the second");
    for (int i = 0; i < 2; i++) {
        take_of(pv_tui_take_history, "#crew",
                "{'messages':[" ROOM_MSG("Z", "eve", "older", "read") "," ROOM_MSG(
                    "A", "eve", "of others", "read") "," ROOM_MSG("B", "dan", "of the second",
                                                                  "unread") "]}");
        assert_int_equal(c->n_lines, 4);
        assert_has(c->lines[2].text, "dan is another machine since ");
    }
    /* Unread lines are told again behind it, and the lines above that are asked for. */
    pv_tui_take_return(t);
    take(pv_tui_take_unread, "[" ROOM_MSG("C", "eve", "of others again", "unread") "]");
    take_of(pv_tui_take_history, "#crew",
            "{'messages':[" ROOM_MSG("A", "eve", "of others", "read") "," ROOM_MSG(
                "B", "dan", "of the second", "read") "," ROOM_MSG("C", "eve", "of others again",
                                                                  "unread") "]}");
    assert_int_equal(c->n_lines, 4);
    assert_has(c->lines[1].text, "dan is another machine since ");
    open_of("alice");
    take_of(pv_tui_take_history, "alice", test_given("messages E from alice lap room 2"));
    assert_has(t->note, "alice is another machine since ");
    (void)pv_tui_find(t, "pi", true);
    take(pv_tui_take_sent,
         "{'online':true,'message':" NEWS("C", "lap", "pi", "sent", T0 ",'own':true") "}");
    assert_has(t->note, "sent to pi; pi is another machine since ");
    take(pv_tui_take_sent,
         "{'online':true,'message':" NEWS("D", "lap", "pi", "sent", T0 ",'own':true") "}");
    assert_string_equal(t->note, "sent to pi");
}

/* A line may be begun for the machine that had the name. */
PV_TEST(a_name_that_changes_hands_while_it_is_open_is_said_at_once)
{
    open_of("pi");
    take(pv_tui_take_peers, test_given("peers pi former another_since"));
    const struct pv_tui_conv *c = &t->convs[t->current]; /* the others are gone */
    assert_int_equal(c->n_lines, 0);
    for (int i = 0; i < 2; i++)
        take(pv_tui_take_peers, ANOTHER("pi", T0));
    assert_int_equal(c->n_lines, 1);
    assert_has(c->lines[0].text, "pi is another machine since ");
    /* One that changed hands before: the history of a conversation that is opened says it. */
    for (int i = 0; i < 2; i++) {
        take(pv_tui_take_peers, ANOTHER("carl", T0));
        open_of("carl");
    }
    assert_int_equal(t->convs[t->current].n_lines, 0);
    /* Its machine was gone when it was opened. */
    (void)pv_tui_find(t, "dave", true);
    open_of("dave");
    take(pv_tui_take_peers, ANOTHER("dave", T0));
    assert_int_equal(t->convs[t->current].n_lines, 1);
}

/* The name is another machine's by now, by which p2pvpnd marks none of them. */
PV_TEST(unread_lines_of_the_machine_before_are_read_by_its_key)
{
    take(pv_tui_take_peers, test_given("peers pi key AAAC another_since"));
    take(pv_tui_take_message, MSG("A", "pi", "lap", "seen", "read"));
    take(pv_tui_take_message, MSG("B", "pi", "lap", "new", "unread"));
    take(pv_tui_take_message, test_given("C from pi lap text other time"));
    for (int i = 0; i < 2; i++)
        take(pv_tui_take_peers, test_given("peers, pi has key AAAD"));
    const struct pv_tui_conv *pi = &t->convs[pv_tui_find(t, "pi", false)];
    /* All that was read there, and written, was said with the one before. */
    assert_int_equal(pi->unread, 1);
    assert_int_equal(pi->n_lines, 1);
    assert_string_equal(pi->lines[0].id, "C");
    const size_t before = pv_tui_find(t, "key:AAEC", false);
    assert_int_equal(t->convs[before].unread, 1);
    assert_string_equal(t->convs[before].lines[0].id, "B");
    pv_tui_open(t, before);
    drop_actions();
    draw(24, 80);
    assert_action(PV_TUI_READ, "key:AAEC", "B");
}

/* The machine before has another pane, which has asked for all that it said. */
PV_TEST(an_unread_line_that_its_new_pane_has_already_stands_there_once)
{
    take(pv_tui_take_peers, "{'peers':[{'name':'pi','key':'" PI_KEY "'}]}");
    take(pv_tui_take_message,
         MESSAGE("A", "pi", "lap", "hi", "unread", ",'from_key':'" PI_KEY "'"));
    take(pv_tui_take_peers, "{'peers':[{'name':'yan','key':'" PI_KEY "'}]}");
    open_of("yan");
    take_of(pv_tui_take_history, "yan",
            "{'messages':[" MESSAGE("A", "yan", "lap", "hi", "unread", "") "]}");
    take(pv_tui_take_peers, test_given("peers pi key AAAD yan key"));
    const struct pv_tui_conv *yan = &t->convs[pv_tui_find(t, "yan", false)];
    assert_int_equal(yan->n_lines, 2); /* it, and that the machine is called so now */
    assert_int_equal(yan->unread, 1);
    assert_int_equal(t->convs[pv_tui_find(t, "pi", false)].unread, 0);
}

/* Clocks differ, and another network's machines have their own: the key tells, and no time does. */
PV_TEST(lines_of_two_machines_of_one_name_part_by_their_keys)
{
#define KEY_2 "BBECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
#define LATE(id, key)                                                                              \
    "{'id':'" id "','from':'pi','to':'lap','text':'hi','time':1995168900,'state':'unread','from_k" \
    "ey':'" key "'}"
    const char *const lists[] = {"{'peers':[{'name':'pi','key':'" KEY_2 "','former':null}]}",
                                 test_given("peers pi key former AbCdEf")};
    static const char *const panes[] = {"key:AAEC", "yan"};
    for (size_t i = 0; i < PV_ARRAY_LEN(lists); i++) {
        take(pv_tui_take_peers, "{'peers':[{'name':'pi','key':'" PI_KEY "'}]}");
        take(pv_tui_take_message, LATE("A", PI_KEY));
        take(pv_tui_take_message, LATE("B", KEY_2)); /* before it is in a list */
        take(pv_tui_take_message,
             ROOM_MESSAGE("C", "pi", "hi", "read", ",'from_key':'" PI_KEY "'"));
        take(pv_tui_take_peers, lists[i]);
        const struct pv_tui_conv *pi = &t->convs[pv_tui_find(t, "pi", false)];
        const size_t pane = pv_tui_find(t, panes[i], false);
        assert_int_not_equal(pane, SIZE_MAX);
        const struct pv_tui_conv *of = &t->convs[pane];
        assert_int_equal(pi->unread, 1);
        assert_string_equal(pi->lines[pi->n_lines - 1].id, "B");
        assert_int_equal(of->unread, 1);
        assert_string_equal(of->lines[of->n_lines - 1].id, "A");
        const struct pv_tui_line *said = &t->convs[pv_tui_find(t, "#crew", false)].lines[0];
        assert_true(said->former);
        assert_string_equal(said->brief, "key:AAEC");
        take(pv_tui_take_peers, "{'peers':[{'name':'pi','key':'" PI_KEY "'}]}"); /* it is back */
        assert_false(said->former);
        pv_tui_done(t);
        assert_ok(pv_tui_init(t));
    }
}

/* Two names at once: the pane of a key, which is made for one, stands before both. */
PV_TEST(unread_lines_of_two_machines_before_part_at_once)
{
    static const char keys[][44] = {"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
                                    "BBECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"};
    take(pv_tui_take_peers, test_given("peers pi key AAAC pj key AAAE"));
    take(pv_tui_take_message, MSG("A", "pi", "lap", "of pi", "unread"));
    take(pv_tui_take_message, MSG("B", "pj", "lap", "of pj", "unread"));
    take(pv_tui_take_peers, test_given("peers, pi and pj have other keys"));
    for (size_t i = 0; i < PV_ARRAY_LEN(keys); i++) {
        const size_t pane = pv_tui_find(t, PV_KEY_SHORT_STR(keys[i]), false);
        assert_int_not_equal(pane, SIZE_MAX);
        assert_int_equal(t->convs[pane].unread, 1);
    }
    assert_int_equal(t->convs[pv_tui_find(t, "pi", false)].unread, 0);
    assert_int_equal(t->convs[pv_tui_find(t, "pj", false)].unread, 0);
}

/* A name that was somebody's once leads to that machine, which is called otherwise now: whom a line
 * goes to is said, and so is of which name it is that it changed hands. */
PV_TEST(a_former_name_that_opens_another_pane_is_told)
{
    line("/open rob");
    assert_action(PV_TUI_FORMER, "rob", "");
    take_of(pv_tui_take_former, "rob", test_given("messages from pi lap room text"));
    assert_string_equal(name_of_current(), "pi");
    assert_string_equal(t->note, "rob is called pi now");
    const struct pv_tui_conv *pi = &t->convs[t->current];
    assert_has(pi->lines[0].text, "dan is another machine since ");
    assert_int_equal(json_object_size(t->told), 1);
}

/* It stands where the other machine's lines begin, also when they are loaded later. */
PV_TEST(a_change_of_hands_stands_before_lines_that_are_loaded_later)
{
    take(pv_tui_take_message, test_given("C from bob lap text v time"));
    const size_t bob = pv_tui_find(t, "bob", false);
    take_of(pv_tui_take_history, "bob", test_given("messages from bob lap room text"));
    const struct pv_tui_conv *c = &t->convs[bob];
    assert_int_equal(c->n_lines, 3);
    assert_has(c->lines[0].text, "bob is another machine since ");
    assert_string_equal(c->lines[1].id, "A");
}

PV_TEST(unread_comes_first_and_who_is_away_last)
{
    static const char *const before[] = {"alice", "pi", "bob", "bobby"};
    static const char *const after[] = {"bobby", "alice", "pi", "bob"};
    (void)pv_tui_sort(t);
    for (size_t i = 0; i < PV_ARRAY_LEN(before); i++)
        assert_string_equal(t->convs[t->order[i + 1]].name, before[i]);
    take(pv_tui_take_message, MSG("A", "bobby", "lap", "one", "unread"));
    (void)pv_tui_sort(t);
    for (size_t i = 0; i < PV_ARRAY_LEN(after); i++)
        assert_string_equal(t->convs[t->order[i + 1]].name, after[i]);
    /* A member that is gone stays if something was said. */
    take(pv_tui_take_peers, "{'peers':[" PEER("pi", "false", "none", "null") "]}");
    take(pv_tui_take_message, MSG("B", "zoe", "lap", "two", "read"));
    (void)pv_tui_sort(t);
    assert_string_equal(t->convs[t->order[2]].name, "pi");
    assert_string_equal(t->convs[t->order[3]].name, "zoe");
    assert_int_equal(pv_tui_find(t, "alice", false), SIZE_MAX);
}

PV_TEST(getu_lists_who_is_there)
{
    line("getu");
    assert_action(PV_TUI_PEERS, "", "");
    assert_int_equal(t->convs[0].n_lines, 0);
    take(pv_tui_take_peers, "{'peers':[" PEER("pi", "true", "direct", "3") "]}");
    assert_int_equal(t->convs[0].n_lines, 1);
    assert_string_equal(t->convs[0].lines[0].text, "pi               10.66.1.5       direct");
    take(pv_tui_take_peers, "{'peers':[]}"); /* nobody asked */
    assert_int_equal(t->convs[0].n_lines, 1);
}

PV_TEST(tab_completes_as_far_as_it_is_certain)
{
    static const struct {
        const char *typed, *then;
    } rows[] = {
        {"/h", "/help "},
        {"/", "/"},
        {"send al", "send alice "},
        {"send b", "send bob"},
        {"send bobb", "send bobby "},
        {"hi p", "hi pi "},
        {"send zz", "send zz"},
        {"x /he", "x /he"},
        {"", ""},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        pv_tuiedit_set(&t->edit, rows[i].typed);
        pv_tui_key(t, PV_TUI_TAB, 0);
        assert_string_equal(t->edit.text, rows[i].then);
    }
    pv_tuiedit_set(&t->edit, "send b");
    pv_tui_key(t, PV_TUI_TAB, 0);
    assert_string_equal(t->note, "bob bobby");
}

PV_TEST(tab_offers_what_belongs_where_the_cursor_is)
{
    static const struct {
        const char *typed, *then;
    } rows[] = {
        {"al", "alice: "}, /* the beginning of a line speaks to somebody */
        {"so, al", "so, alice "},
        {"/accept ", "/accept 7 "}, /* offered to this node, and not answered */
        {"/refuse 7", "/refuse 7 "},
        {"/accept a", "/accept a"},
        {"/bell of", "/bell off "},
        {"/send-file ph", "/send-file phone pictures/"},
        {"/send-file phone pictures/f", "/send-file phone pictures/first.jpg"},
        {"/send-file ~/not", "/send-file ~/notes.txt"},
        {"/send-file al", "/send-file album/"},
        {"/send-file \xc3\xa8", "/send-file \xc3\xa8.txt"},
        {"/send-file ./", "/send-file ./"}, /* no half of a letter that two names begin with */
    };
    char dir[] = "/tmp/pv-test-tab-XXXXXX", *home = getenv("HOME"), was[PATH_MAX];
    snprintf(was, sizeof(was), "%s", home == NULL ? "/" : home);
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chdir(dir), 0);
    assert_int_equal(mkdir("phone pictures", 0700), 0);
    fclose(fopen("phone pictures/first.jpg", "we"));
    fclose(fopen("notes.txt", "we"));
    fclose(fopen(".hidden", "we"));
    fclose(fopen("\xc3\xa8.txt", "we"));
    fclose(fopen("\xc3\xa9.txt", "we"));
    assert_int_equal(symlink("phone pictures", "album"), 0);
    setenv("HOME", dir, 1);
    take(pv_tui_take_file, test_given("file peer pi state offered"));
    take(pv_tui_take_file, test_given("file peer pi b state offered"));
    pv_tui_open(t, pv_tui_find(t, "pi", false));
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        pv_tuiedit_set(&t->edit, rows[i].typed);
        pv_tui_key(t, PV_TUI_TAB, 0);
        assert_string_equal(t->edit.text, rows[i].then);
    }
    pv_tuiedit_set(&t->edit, "/send-file ");
    pv_tui_key(t, PV_TUI_TAB, 0);
    assert_lacks(t->note, ".hidden");
    assert_has(t->note, "notes.txt");
    setenv("HOME", was, 1);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(test_dir_remove(dir), 0);
}

#define FILE_IS(state)                                                                            \
    "{'file':{'id':9,'peer':'pi','name':'a\\u001bb','state':'" state "','direction':'in','size':" \
    "1}}"

/* Also in a pane that was never opened, whose history the one that has the name now wrote. */
PV_TEST(an_offer_goes_with_the_machine_that_made_it)
{
    take(pv_tui_take_peers, "{'peers':[{'name':'pi','key':'" PI_KEY "'}]}");
    take(pv_tui_take_file, test_given("file peer pi key state offered"));
    assert_string_equal(t->note, "a file of pi: /open pi");
    take(pv_tui_take_peers, test_given("peers, rob was pi"));
    assert_string_equal(t->note, "a file of rob: /open rob");
    const struct pv_tui_conv *pi = &t->convs[pv_tui_find(t, "pi", false)];
    const struct pv_tui_conv *rob = &t->convs[pv_tui_find(t, "rob", false)];
    assert_int_equal(pi->n_lines + pi->offers, 0);
    assert_int_equal(rob->n_lines, 1);
    assert_int_equal(rob->offers, 1);
    assert_has(rob->lines[0].text, "offers a (1 B): /accept 9");
}

/* A slip of the hand: the file that gets the number later was accepted by somebody else. */
PV_TEST(a_number_of_no_file_accepts_none_that_gets_it_later)
{
    const struct pv_tui_action wrong = {.kind = PV_TUI_ACCEPT, .text = (char[]){"9"}};
    line("/accept 9");
    assert_action(PV_TUI_ACCEPT, "", "9");
    pv_tui_take_error(t, "files: 9: not found", &wrong);
    for (int i = 0; i < 3; i++)
        take(pv_tui_take_file, i == 0   ? FILE_IS("offered")
                               : i == 1 ? FILE_IS("accepted")
                                        : FILE_IS("done"));
    assert_nothing_asked();
}

/* Accepted here it is saved here; what keeps it from that is said, and can be tried again. */
PV_TEST(a_file_that_was_accepted_is_saved_when_it_is_there)
{
    struct pv_tui_conv *c = &t->convs[pv_tui_find(t, "pi", false)];
    json_t *body = json_of(FILE_IS("done"));
    take(pv_tui_take_file, FILE_IS("offered"));
    line("/accept 9");
    assert_action(PV_TUI_ACCEPT, "", "9");
    take(pv_tui_take_file, FILE_IS("accepted"));
    assert_nothing_asked();
    take(pv_tui_take_file, FILE_IS("done"));
    assert_action(PV_TUI_SAVE, "", "9");
    pv_tui_take_saved(t, body, "/home/ann", "a file of this name exists");
    assert_nothing_asked(); /* the daemon keeps it */
    assert_shows("last line", c->lines[c->n_lines - 1].text);
    /* Typed elsewhere it has its answer there, too. */
    assert_shows("note", t->note);
    line("/get 9");
    assert_action(PV_TUI_SAVE, "", "9");
    pv_tui_note(t, "a.txt is being saved");
    pv_tui_take_saved(t, body, "/home/ann", NULL);
    assert_has(t->note, "saved as /home/ann/a\xef\xbf\xbd"
                        "b");
    assert_action(PV_TUI_SAVED, "", "9");
    size_t lines = c->n_lines;
    assert_string_equal(c->lines[lines - 1].text, "saved as /home/ann/a\xef\xbf\xbd"
                                                  "b");
    take(pv_tui_take_file, FILE_IS("saved"));
    assert_int_equal(c->n_lines, lines);
    t->saves_wait = true; /* and nothing but them does */
    line("/get 9");
    assert_false(pv_tui_has_to_ask(t));
    line("/accept 9");
    assert_action(PV_TUI_ACCEPT, "", "9");
    assert_nothing_asked();
    t->saves_wait = false;
    assert_action(PV_TUI_SAVE, "", "9");
    line("/get x");
    assert_string_equal(t->note, "usage: /get ID|all; /files lists the IDs");
    assert_nothing_asked();
    json_decref(body);
}

static void found_by(const char *text, uint64_t upto, const char *answer)
{
    char *copy = strdup(text);
    const struct pv_tui_action a = {.kind = PV_TUI_SEARCH, .text = copy, .upto = upto};
    json_t *body = json_of(answer);
    pv_tui_take_found(t, &a, body);
    json_decref(body);
    free(copy);
}

/* Names may be another machine's by now, and a text need not be its machine's own word. */
PV_TEST(a_search_over_all_says_whose_lines_it_found)
{
    char text[1200];
    for (size_t i = 0; i < 600; i++)
        memcpy(text + 2 * i, "\xc3\xa9", 2);
    memcpy(text + 600, "Needle", 6);
    text[sizeof(text) - 2] = '\0';
    line("/search needle");
    drop_actions();
    json_t *body = json_of(
        "{'messages':[" MESSAGE("A", "pi", "lap", "needle", "read", ",'from_former':'AbCdEf'") "," MESSAGE(
            "B", "lap", "pi", "needle", "read",
            ",'own':true,'to_former':'AbCdEf'") "," MESSAGE("C", "pi", "lap", "needle", "read",
                                                            ",'unproven':true") "," MSG("D", "pi",
                                                                                        "lap", "?",
                                                                                        "read") "]"
                                                                                                "}");
    json_object_set_new(json_array_get(json_object_get(body, "messages"), 3), "text",
                        json_string(text));
    const struct pv_tui_action a = {.kind = PV_TUI_SEARCH, .text = t->search.text};
    pv_tui_take_found(t, &a, body);
    json_decref(body);
    const struct pv_tui_line *lines = t->convs[0].lines;
    assert_int_equal(t->convs[0].n_lines, 4);
    assert_has(lines[0].text, " pi (former, key:AbCd) to lap: needle");
    assert_has(lines[1].text, " lap to pi (former, key:AbCd): needle");
    assert_has(lines[2].text, " somebody on pi's machine to lap: needle");
    assert_has(lines[3].text, " pi to lap: ...\xc3\xa9");
    assert_has(lines[3].text, "\xc3\xa9Needle\xc3\xa9");
    assert_string_equal(lines[3].text + strlen(lines[3].text) - 5, "\xc3\xa9...");
    assert_true(pv_utf8_is_valid(pv_view(lines[3].text, strlen(lines[3].text))));
}

PV_TEST(a_search_in_the_networks_pane_is_about_everything)
{
    line("/search Key");
    assert_action(PV_TUI_SEARCH, "", "Key");
    static const char found[] =
        "{'messages':[" MSG("A", "pi", "lap", "the key is here", "read") "," MINE(
            "B", "pi", "thanks", "read") "," ROOM_MSG("C", "bob", "key\\u001b?", "read") "]}";
    found_by("Key", 0, found);
    assert_int_equal(t->convs[0].n_lines, 2);
    assert_has(t->convs[0].lines[0].text, " pi to lap: the key is here");
    assert_has(t->convs[0].lines[1].text, " bob in #crew: key\xef\xbf\xbd?");
    assert_has(t->note, "2 lines have 'Key'");
    assert_true(t->convs[0].lines[0].time == 0); /* it says its own */
    line("/search nowhere");
    drop_actions();
    found_by("Key", 0, found); /* of the search before */
    assert_int_equal(t->convs[0].n_lines, 2);
    found_by("nowhere", 0, found);
    assert_string_equal(t->note, "nothing has \"nowhere\"");
}

/* The newest page has nothing: that is not all that was said. */
PV_TEST(a_search_over_all_goes_on_to_what_is_older)
{
    struct pv_tui_action a;
    line("/search needle");
    assert_action(PV_TUI_SEARCH, "", "needle");
    found_by("needle", 0,
             "{'more':true,'upto':1001,'messages':[" MSG("B", "pi", "lap", "hay", "read") "]}");
    assert_has(t->note, "looking for");
    assert_ok(pv_tui_poll(t, &a));
    assert_int_equal(a.kind, PV_TUI_SEARCH);
    assert_int_equal(a.upto, 1001);
    free(a.text);
    found_by("needle", 1001,
             "{'more':true,'upto':501,'messages':[" MSG("A2", "pi", "lap", "a newer needle",
                                                        "read") "]}");
    drop_actions();
    found_by("needle", 501,
             "{'upto':1,'messages':[" MSG("A1", "pi", "lap", "a needle", "read") "]}");
    assert_nothing_asked();
    assert_int_equal(t->convs[0].n_lines, 2);
    line("/search needle"); /* twice at once: told once */
    drop_actions();
    line("/search needle");
    assert_nothing_asked();
    assert_has(t->note, "still looking for");
    found_by("needle", 0, "{'messages':[]}");
    found_by("needle", 0, "{'messages':[" MSG("A1", "pi", "lap", "a needle", "read") "]}");
    assert_int_equal(t->convs[0].n_lines, 2);
    assert_has(t->convs[0].lines[0].text, ": a needle");
    assert_has(t->convs[0].lines[1].text, ": a newer needle");
    assert_string_equal(t->note, "nothing has \"needle\"");
    line("/search needle"); /* one that fails is over */
    drop_actions();
    pv_tui_take_error(t, "disk", &(struct pv_tui_action){.kind = PV_TUI_SEARCH});
    line("/search needle");
    assert_action(PV_TUI_SEARCH, "", "needle");
    found_by("needle", 0, "{'messages':[]}");
}

PV_TEST(a_search_that_finds_much_says_how_much_it_tells)
{
    char page[16384] = "{'more':true,'upto':7,'messages':[";
    struct pv_text out = pv_text_in(page + strlen(page), sizeof(page) - strlen(page));
    for (int i = 0; i < 60; i++)
        pv_text_add(&out, "%s" MSG("%d", "pi", "lap", "hay", "read"), i == 0 ? "" : ",", i);
    pv_text_add(&out, "]}");
    line("/search hay");
    drop_actions();
    found_by("hay", 0, page);
    assert_nothing_asked();
    assert_int_equal(t->convs[0].n_lines, 50);
    assert_has(t->note, "the newest 50 lines have");
}

PV_TEST(words_of_other_programs_are_understood_or_explained)
{
    line("/query pi");
    assert_string_equal(name_of_current(), "pi");
    take(pv_tui_take_rooms, "{'rooms':[{'room':'#crew','members':3}]}");
    line("/join #crew");
    assert_string_equal(name_of_current(), "#crew");
    drop_actions();
    line("/names");
    assert_action(PV_TUI_MEMBERS, "#crew", "");
    line("/part");
    assert_action(PV_TUI_LEAVE, "#crew", "");
    line("/open pi");
    line("/join crew");
    assert_string_equal(name_of_current(), "#crew");
    drop_actions();
    line("/me");
    assert_string_equal(t->note, "usage: /me TEXT");
    assert_string_equal(t->edit.text, ""); /* the next line begins anew */
    edit(PV_TUIEDIT_OLDER);
    assert_string_equal(t->edit.text, "/me");
    assert_nothing_asked();
    pv_tuiedit_set(&t->edit, "");
    line("/ME waves"); /* as a telephone writes it */
    assert_action(PV_TUI_SEND, "#crew", "/me waves");
}

PV_TEST(a_command_is_about_what_is_named_or_says_that_a_word_is_too_many)
{
    static const char *const lines[] = {"/invite pi #crew too", "/room create two words",
                                        "/open pi hello", "/accept 1 2", "/mute pi bob"};
    take(pv_tui_take_rooms, test_given("rooms room #crew members room"));
    line("/open #dev");
    drop_actions();
    for (size_t i = 0; i < PV_ARRAY_LEN(lines); i++) {
        line(lines[i]);
        assert_has(t->note, "too many words, from ");
        assert_has(t->note, "usage: /");
        assert_string_equal(t->edit.text, "");
        assert_string_equal(name_of_current(), "#dev");
        edit(PV_TUIEDIT_KILL_START);
    }
    assert_nothing_asked();
    line("/part #crew");
    assert_action(PV_TUI_LEAVE, "#crew", "");
    line("/names crew");
    assert_action(PV_TUI_MEMBERS, "#crew", "");
    line("/part good bye");
    assert_has(t->note, "too many words");
    edit(PV_TUIEDIT_KILL_START);
    line("/part bye");
    assert_shows("note", t->note);
    assert_nothing_asked();
}

/* As a machine that is gone; the list of rooms says then that it was left. */
PV_TEST(a_room_that_was_left_is_opened_by_its_name)
{
    static const char *const lines[] = {"/mute #tea", "/members #tea", "/leave #tea",
                                        "/msg #tea x"};
    take(pv_tui_take_rooms, test_given("rooms room #tea address # tea"));
    for (size_t i = 0; i < PV_ARRAY_LEN(lines); i++) {
        line(lines[i]);
        assert_shows("note", t->note);
        edit(PV_TUIEDIT_KILL_START);
    }
    assert_nothing_asked();
    line("/open #tea");
    assert_action(PV_TUI_ROOMS, "", "");
    assert_action(PV_TUI_FORMER, "#tea", "");
    take_of(pv_tui_take_former, "#tea", test_given("messages from pi #tea room #tea"));
    assert_string_equal(name_of_current(), "#tea");
    assert_string_equal(t->convs[t->current].lines[0].text, "one");
    assert_action(PV_TUI_ROOMS, "", "");
    take(pv_tui_take_rooms, test_given("rooms room #tea address # tea"));
    assert_int_equal(t->convs[t->current].part, PV_TUI_LEFT);
    /* One that another program has just made. */
    line("/open #new");
    assert_action(PV_TUI_ROOMS, "", "");
    assert_action(PV_TUI_FORMER, "#new", "");
    take(pv_tui_take_rooms, test_given("rooms room #new address # new"));
    take_of(pv_tui_take_former, "#new", "{'messages':[]}");
    assert_string_equal(name_of_current(), "#new");
    drop_actions();
    line("/open #");
    assert_has(t->note, "no peer or room named \"#\"");
    assert_nothing_asked();
}

PV_TEST(a_long_list_of_choices_is_cut)
{
    struct pv_tui_choice choice;
    char name[PV_NAME_BUF];
    (void)f;
    memset(name, 'n', sizeof(name));
    name[PV_NAME_MAX] = '\0';
    pv_tui_choices_begin(&choice, "n", 1);
    for (int i = 0; i < 500; i++)
        pv_tui_choices_add(&choice, i % 2 ? name : "nn", false);
    assert_int_equal(choice.n, 500);
    assert_string_equal(choice.common, "nn");
    assert_string_equal(choice.list + strlen(choice.list) - 3, "...");
}

/* --- what the daemon says -------------------------------------------------------------------- */

PV_TEST(messages_are_counted_until_they_are_seen)
{
    size_t bob = pv_tui_find(t, "bob", false), pi = pv_tui_find(t, "pi", false);
    take(pv_tui_take_message, MSG("A", "bob", "lap", "one", "unread"));
    take(pv_tui_take_message, MSG("A", "bob", "lap", "one", "unread")); /* told twice */
    take(pv_tui_take_message, MSG("B", "bob", "lap", "two", "unread"));
    take(pv_tui_take_message, MSG("C", "pi", "lap", "three", "unread"));
    assert_int_equal(t->convs[bob].unread, 2);
    assert_string_equal(t->note, "new from pi");
    assert_nothing_asked();
    pv_tui_key(t, PV_TUI_NEXT_UNREAD, 0);
    assert_int_equal(t->current, bob);
    assert_action(PV_TUI_HISTORY, "bob", "");
    assert_nothing_asked(); /* it was not seen yet */
    draw(24, 80);
    assert_int_equal(t->convs[bob].unread, 0);
    assert_lacks(row(1), "2");
    assert_action(PV_TUI_READ, "bob", "B");
    take(pv_tui_take_message, MSG("D", "bob", "lap", "four", "unread"));
    draw(24, 80);
    assert_int_equal(t->convs[bob].unread, 0);
    assert_action(PV_TUI_READ, "bob", "D");
    pv_tui_key(t, PV_TUI_NEXT_UNREAD, 0);
    assert_int_equal(t->current, pi);
    draw(24, 80);
    drop_actions();
    pv_tui_key(t, PV_TUI_NEXT_UNREAD, 0);
    assert_string_equal(t->note, "no unread messages");
    for (size_t i = 0; i < t->n_convs; i++)
        pv_tui_key(t, PV_TUI_NEXT, 0);
    assert_int_equal(t->current, pi);
    pv_tui_key(t, PV_TUI_PREVIOUS, 0);
    assert_string_equal(name_of_current(), "alice"); /* who is there goes before who is away */
}

/* Of the conversation that the chat begins with. */
PV_TEST(the_first_unread_line_of_an_open_conversation_has_a_mark)
{
    static const char page[] = "[" MSG("A", "pi", "lap", "one", "unread") "," MSG(
        "B", "bob", "lap", "two", "unread") "," MSG("C", "pi", "lap", "three", "unread") "]";
    pv_tui_open(t, pv_tui_find(t, "pi", false));
    assert_action(PV_TUI_HISTORY, "pi", "");
    take(pv_tui_take_unread, page);
    const struct pv_tui_conv *c = &t->convs[t->current];
    assert_string_equal(c->new_from, "A");
    draw(24, 80);
    assert_action(PV_TUI_READ, "pi", "C");
    take(pv_tui_take_unread, "[" MSG("D", "pi", "lap", "four", "unread") "]"); /* the next page */
    assert_string_equal(t->convs[t->current].new_from, "A");
    assert_int_equal(t->convs[pv_tui_find(t, "bob", false)].unread, 1);
}

PV_TEST(messages_that_another_client_reads_are_unread_no_more)
{
    size_t pi = pv_tui_find(t, "pi", false);
    take(pv_tui_take_unread,
         "[" MSG("A", "pi", "lap", "one", "unread") "," MSG("B", "pi", "lap", "two", "unread") "]");
    take(pv_tui_take_read, "{'peer':'pi','ids':['A','unknown']}");
    assert_int_equal(t->convs[pi].unread, 1);
    pv_tui_open(t, pi);
    assert_action(PV_TUI_HISTORY, "pi", "");
    draw(24, 80);
    assert_action(PV_TUI_READ, "pi", "B");
    assert_string_equal(t->convs[pi].new_from, "B");
    take_of(pv_tui_take_history, "pi",
            "{'messages':[" MSG("A", "pi", "lap", "one", "read") "," MSG("B", "pi", "lap", "two",
                                                                         "unread") "]}");
    /* It was this one: what has come meanwhile elsewhere stays unread. */
    pv_tui_open(t, pv_tui_find(t, "bob", false));
    take(pv_tui_take_message, MSG("C", "pi", "lap", "three", "unread"));
    take(pv_tui_take_read, "{'peer':'pi','ids':['B']}");
    assert_int_equal(t->convs[pi].unread, 1);
    take(pv_tui_take_read, "{'peer':'robert','ids':[null,'C','C']}"); /* pi's name now */
    assert_int_equal(t->convs[pi].unread, 0);
}

/* An event came before the page that tells it again, and the word that it was read went with the
 * daemon. */
PV_TEST(a_line_that_is_told_again_as_unread_is_read)
{
#define NEW_ONE MSG("N", "pi", "lap", "new", "unread")
    size_t pi = pv_tui_find(t, "pi", false);
    take(pv_tui_take_message, NEW_ONE);
    take(pv_tui_take_unread, "[" MSG("A", "pi", "lap", "old", "unread") "," NEW_ONE "]");
    assert_int_equal(t->convs[pi].unread, 2);
    assert_string_equal(t->convs[pi].lines[1].id, "N"); /* as they came */
    pv_tui_open(t, pi);
    draw(24, 80);
    assert_action(PV_TUI_HISTORY, "pi", "");
    assert_action(PV_TUI_READ, "pi", "N");
    take(pv_tui_take_unread, "[" MSG("A", "pi", "lap", "old", "unread") "," NEW_ONE "]");
    assert_int_equal(t->convs[pi].n_lines, 2);
    draw(24, 80);
    assert_int_equal(t->convs[pi].unread, 0);
    assert_action(PV_TUI_READ, "pi", "N");
}

/* The history has the newest page alone; own lines stand between the unread ones before it. */
PV_TEST(unread_lines_older_than_the_history_come_page_by_page)
{
    size_t pi = pv_tui_find(t, "pi", false);
    take(pv_tui_take_unread, "[" MSG("A", "pi", "lap", "one",
                                     "unread") "," MSG("C", "pi", "lap", "three", "unread") "]");
    pv_tui_open(t, pi);
    draw(24, 80);
    drop_actions();
    take_of(pv_tui_take_history, "pi",
            "{'more':true,'messages':[" MSG("C", "pi", "lap", "three", "unread") "]}");
    assert_int_equal(t->convs[pi].n_lines, 1);
    assert_string_equal(t->convs[pi].new_from, "A");
    t->convs[pi].found = 2; /* of a search before */
    take_of(pv_tui_take_history, "pi",
            "{'more':true,'messages':[" MSG("C", "pi", "lap", "three", "unread") "]}");
    line("/search thr");
    assert_int_equal(t->convs[pi].found, 1);
    draw(12, 80);
    pv_tui_key(t, PV_TUI_PAGE_UP, 8);
    assert_action(PV_TUI_OLDER, "pi", "C");
    take_of(pv_tui_take_older, "pi",
            "{'messages':[" MSG("A", "pi", "lap", "one", "read") "," MINE("B", "pi", "two",
                                                                          "read") "]}");
    assert_int_equal(t->convs[pi].n_lines, 3);
    assert_string_equal(t->convs[pi].lines[1].text, "two");
}

/* p2pvpnd would take the older ones as read with them. */
PV_TEST(no_line_is_read_while_older_unread_ones_are_on_their_way)
{
    size_t pi = pv_tui_find(t, "pi", false);
    take(pv_tui_take_unread, "[" MSG("A", "pi", "lap", "one",
                                     "unread") "," MSG("C", "pi", "lap", "three", "unread") "]");
    pv_tui_open(t, pi);
    drop_actions();
    take_of(pv_tui_take_history, "pi",
            "{'more':true,'messages':[" MSG("C", "pi", "lap", "three", "unread") "]}");
    draw(12, 80);
    assert_has(row(10), "[1 new above: PgUp; End: skip]");
    pv_tui_key(t, PV_TUI_PAGE_UP, 8);
    assert_action(PV_TUI_OLDER, "pi", "C");
    for (int i = 0; i < 2; i++) {
        draw(12, 80);
        assert_int_equal(t->convs[pi].unread, 2);
        assert_nothing_asked();
        assert_has(row(10), "[1 new above: PgUp; End: skip]");
        pv_tui_take_older(t, "pi", NULL); /* it failed */
    }
    pv_tui_key(t, PV_TUI_PAGE_UP, 8);
    assert_action(PV_TUI_OLDER, "pi", "C");
    take_of(pv_tui_take_older, "pi", "{'messages':[" MSG("A", "pi", "lap", "one", "unread") "]}");
    draw(12, 80);
    assert_int_equal(t->convs[pi].unread, 0);
    assert_action(PV_TUI_READ, "pi", "C");
}

/* Everything that is unread is told again then. */
PV_TEST(lines_read_elsewhere_while_the_daemon_was_gone_are_not_unread)
{
    size_t pi = pv_tui_find(t, "pi", false);
    take(pv_tui_take_unread, "[" MSG("A", "pi", "lap", "one", "unread") "]");
    line("/msg pi mine");
    pv_tui_take_loss(t);
    pv_tui_take_return(t);
    assert_int_equal(t->convs[pi].unread, 0);
    assert_int_equal(t->convs[pi].n_lines, 1); /* mine, which waits */
    take(pv_tui_take_unread, "[" MSG("A", "pi", "lap", "one", "unread") "]");
    assert_int_equal(t->convs[pi].unread, 1);
}

PV_TEST(history_and_live_messages_make_one_list)
{
    size_t pi = pv_tui_find(t, "pi", false);
    pv_tui_open(t, pi);
    take(pv_tui_take_message, MINE("B", "pi", "two", "queued"));
    take(pv_tui_take_message, MSG("C", "pi", "lap", "three", "unread"));
    take_of(pv_tui_take_history, "pi",
            "{'messages':[" MSG("A", "pi", "lap", "one", "read") "," MINE("B", "pi", "two",
                                                                          "delivered") "]}");
    assert_int_equal(t->convs[pi].n_lines, 3);
    assert_string_equal(t->convs[pi].lines[1].text, "two");
    assert_int_equal(t->convs[pi].lines[1].state, PV_CHAT_DELIVERED);
    assert_true(t->convs[pi].lines[1].outgoing);
    assert_string_equal(t->convs[pi].lines[2].text, "three");
    take(pv_tui_take_state, "{'msg_id':'B','peer':'pi','state':'read'}");
    assert_int_equal(t->convs[pi].lines[1].state, PV_CHAT_READ);
    take(pv_tui_take_state, test_given("msg_id B peer pi state"));
    assert_int_equal(t->convs[pi].lines[1].state, PV_CHAT_READ); /* never back */
}

/* The name changed hands while p2pvpnd was away: what was said with the machine before stands below
 * its key. Lines that wait here, and notices, stay. */
PV_TEST(a_pane_that_is_asked_for_anew_has_no_lines_of_a_former_machine)
{
    open_of("pi");
    take_of(pv_tui_take_history, "pi",
            "{'messages':[" MSG("A", "pi", "lap", "one", "read") "," MINE("B", "pi", "two",
                                                                          "read") "]}");
    take(pv_tui_take_message, MSG("C", "pi", "lap", "three", "unread"));
    pv_tui_take_loss(t);
    pv_tui_take_return(t);
    const char *answer = test_given("messages D from pi lap room");
    for (int i = 0; i < 2; i++) {
        take_of(pv_tui_take_history, "pi", answer);
        const struct pv_tui_conv *c = &t->convs[pv_tui_find(t, "pi", false)];
        assert_int_equal(c->n_lines, 2);
        assert_has(c->lines[0].text, "pi is another machine since ");
        assert_string_equal(c->lines[1].text, "I am another");
        assert_int_equal(c->unread, 1);
    }
    /* Whose it is comes before the lines that it wrote meanwhile, and stands above them. */
    pv_tui_take_loss(t);
    pv_tui_take_return(t);
    take(pv_tui_take_peers, ANOTHER("pi", "1795168750"));
    take_of(pv_tui_take_history, "pi", test_given("messages E from pi lap room"));
    const struct pv_tui_conv *pi = &t->convs[pv_tui_find(t, "pi", false)];
    assert_int_equal(pi->n_lines, 3);
    assert_has(pi->lines[1].text, "pi is another machine since ");
    assert_string_equal(pi->lines[2].text, "a third one");
    /* Lines that it wrote by another name, or by a clock that is behind, stand below that, too; the
     * first message told of the change. */
    for (int i = 0; i < 2; i++) {
        pv_tui_take_loss(t);
        pv_tui_take_return(t);
        take(pv_tui_take_unread, test_given("unread F of pi"));
        take_of(pv_tui_take_history, "pi", test_given("history F of pi"));
        assert_int_equal(pi->n_lines, 4);
        for (int k = 0; k < 3; k++)
            assert_has(pi->lines[k].text, "pi is another machine since ");
        assert_string_equal(pi->lines[3].text, "a fourth one");
    }
    take_of(pv_tui_take_history, "pi", "{'messages':[]}"); /* it has its name back */
    assert_int_equal(pi->n_lines, 3);
    assert_int_equal(pi->unread, 0);
}

/* The notice of a change that was seen has the time at which it was; the machine may have written
 * before. */
PV_TEST(lines_that_a_machine_wrote_by_another_name_stand_below_that_it_has_this_one)
{
    const char *peers = ANOTHER("pi", "1795168750");
    open_of("pi");
    take_of(pv_tui_take_history, "pi",
            "{'messages':[" MSG("A", "pi", "lap", "of the first", "read") "]}");
    take(pv_tui_take_peers, peers);
    const struct pv_tui_conv *pi = &t->convs[pv_tui_find(t, "pi", false)];
    assert_int_equal(pi->n_lines, 2);
    assert_has(pi->lines[1].text, "pi is another machine since ");
    take(pv_tui_take_message, MSG("C", "pi", "lap", "by this name", "unread"));
    for (int i = 0; i < 2; i++) {
        pv_tui_take_loss(t);
        pv_tui_take_return(t);
        take(pv_tui_take_peers, peers);
        take_of(pv_tui_take_history, "pi", test_given("history B C of pi"));
        assert_int_equal(pi->n_lines, 3);
        assert_has(pi->lines[0].text, "pi is another machine since ");
        assert_string_equal(pi->lines[1].text, "by another");
        assert_string_equal(pi->lines[2].text, "by this name");
    }
    /* The name is another's again, of which the history has no time. */
    pv_tui_take_loss(t);
    pv_tui_take_return(t);
    take(pv_tui_take_peers, "{'peers':[{'name':'pi','key':'" PI_KEY "'}]}");
    take_of(pv_tui_take_history, "pi",
            "{'messages':[" MSG("D", "pi", "lap", "of a third", "read") "]}");
    pv_tui_take_loss(t);
    pv_tui_take_return(t);
    take(pv_tui_take_peers, "{'peers':[{'name':'pi','key':'another'}]}");
    take_of(pv_tui_take_history, "pi", test_given("history E of pi"));
    assert_has(pi->lines[pi->n_lines - 2].text, "pi is another machine ");
    assert_string_equal(pi->lines[pi->n_lines - 1].text, "of a fourth");
}

/* A file of the machine that had the name is none of the one that has it now, however old the lines
 * are that this one wrote by another name. */
PV_TEST(notices_of_files_stand_above_a_change_of_hands_that_was_not_seen)
{
#define FILE_BY(id, way, key, name)                                                        \
    "{'file':{'id':" id ",'direction':'" way "','peer':'pi','key':'" key "','name':'" name \
    "','size':2048,'state':'offered','time':1795168000}}"
    open_of("pi");
    take_of(pv_tui_take_history, "pi",
            "{'messages':[" MSG("A", "pi", "lap", "of the first", "read") "]}");
    t->now = 1795168500;
    take(pv_tui_take_file, FILE_BY("1", "in", PI_KEY, "setup.sh"));
    take(pv_tui_take_file, FILE_BY("2", "out", PI_KEY, "secret"));
    pv_tui_take_loss(t);
    pv_tui_take_return(t);
    t->now = 1795168800;
    take(pv_tui_take_file, FILE_BY("3", "in", "another", "its.own"));
    take_of(pv_tui_take_history, "pi", test_given("history B of pi"));
    const struct pv_tui_conv *pi = &t->convs[pv_tui_find(t, "pi", false)];
    assert_int_equal(pi->n_lines, 5);
    assert_has(pi->lines[0].text, "setup.sh");
    assert_has(pi->lines[1].text, "secret");
    assert_has(pi->lines[2].text, "pi is another machine since ");
    assert_string_equal(pi->lines[3].text, "by another name");
    assert_has(pi->lines[4].text, "its.own");
    /* It goes on to a third machine: nothing of the two before is among the lines of that one. */
    pv_tui_take_loss(t);
    pv_tui_take_return(t);
    t->now = 1795168950;
    take_of(pv_tui_take_history, "pi", test_given("messages C from pi lap text"));
    assert_int_equal(pi->n_lines, 6);
    assert_has(pi->lines[0].text, "setup.sh");
    assert_has(pi->lines[3].text, "its.own");
    assert_has(pi->lines[4].text, "pi is another machine since ");
    assert_string_equal(pi->lines[5].text, "of a third");
}

/* A machine offers by this name what it offered by another one, and whatever this clock says. */
PV_TEST(notices_of_files_stand_below_that_their_machine_has_the_name)
{
    open_of("pi");
    t->now = 1795168000; /* ten minutes late */
    take(pv_tui_take_files, test_given("files direction peer pi key"));
    take_of(pv_tui_take_history, "pi", test_given("history of pi, changed"));
    const struct pv_tui_conv *pi = &t->convs[pv_tui_find(t, "pi", false)];
    assert_int_equal(pi->n_lines, 2);
    assert_has(pi->lines[0].text, "pi is another machine since ");
    assert_has(pi->lines[1].text, "early.sh");
    pv_tui_take_loss(t);
    pv_tui_take_return(t);
    take(pv_tui_take_file, FILE_BY("2", "in", "third", "late.sh"));
    take_of(pv_tui_take_history, "pi", test_given("messages changed since key"));
    assert_int_equal(pi->n_lines, 4);
    assert_has(pi->lines[1].text, "early.sh");
    assert_has(pi->lines[2].text, "pi is another machine since ");
    assert_has(pi->lines[3].text, "late.sh");
}

/* The events have its new name, and the open pane the one of before. */
PV_TEST(marks_come_into_the_pane_of_a_peer_that_was_renamed)
{
    size_t pi = pv_tui_find(t, "pi", false);
    pv_tui_open(t, pi);
    take(pv_tui_take_message, MINE("B", "pi", "two", "queued"));
    take(pv_tui_take_state, "{'msg_id':'B','peer':'tau','state':'read'}");
    assert_int_equal(t->convs[pi].lines[0].state, PV_CHAT_READ);
}

/* Nobody saw the others: nothing behind them is read. */
PV_TEST_WHOLE(a_conversation_keeps_the_newest_lines)
{
    size_t pi = pv_tui_find(t, "pi", false);
    for (int i = 0; i < PV_TUI_MAX_LINES + 5; i++) {
        take(pv_tui_take_message,
             PV_STR(MSG("%d", "pi", "lap", "n%d", "%s"), i, i, i == 0 ? "unread" : "read"));
    }
    assert_int_equal(t->convs[pi].n_lines, PV_TUI_MAX_LINES);
    assert_string_equal(t->convs[pi].lines[0].text, "n5");
    take(pv_tui_take_message, MSG("new", "pi", "lap", "new", "unread"));
    open_of("pi");
    draw(24, 80);
    assert_int_equal(t->convs[pi].unread, 2);
    assert_int_equal(t->convs[pi].new_above, 1);
    assert_nothing_asked();
    t->convs[pi].at_top = true;
    pv_tui_key(t, PV_TUI_PAGE_UP, 8);
    assert_nothing_asked(); /* there is no room for older ones */
    pv_tui_key(t, PV_TUI_BOTTOM, 0);
    pv_tui_key(t, PV_TUI_BOTTOM, 0);
    draw(24, 80);
    assert_int_equal(t->convs[pi].unread, 0);
    assert_action(PV_TUI_READ, "pi", "new");
}

PV_TEST(an_error_names_the_command_of_this_screen)
{
    pv_tui_take_error(t, "no peer carl: `p2pvpnctl peers` lists them", NULL);
    assert_string_equal(t->note, "no peer carl: /peers lists them");
    pv_tui_take_error(t, test_given("no peer carl p2pvpnctl -n work"), NULL);
    assert_string_equal(t->note, "no peer carl: /peers lists them");
    pv_tui_take_error(t, "denied: `p2pvpnctl why carl` says by whom", NULL);
    assert_string_equal(t->note, "denied: `p2pvpnctl why carl` says by whom");
}

/* Its name is free: by the time p2pvpnd is back another machine may have it. */
PV_TEST(nothing_that_is_typed_for_a_machine_that_is_gone_waits_for_its_name)
{
    take(pv_tui_take_message, MSG("o1", "old", "lap", "bye", "unread"));
    assert_action(PV_TUI_PEERS, "", ""); /* it may have just come */
    open_of("old");
    line("secret");
    assert_action(PV_TUI_PEERS, "", "");
    assert_nothing_asked();
    assert_shows("note", t->note);
    pv_tui_take_loss(t);
    edit(PV_TUIEDIT_KILL_START);
    for (int i = 0; i < 2; i++) {
        line(i == 0 ? "secret" : "/send-file /etc/hosts");
        for (size_t n = 0; n < t->n_actions; n++)
            assert_int_equal(t->actions[n].kind, PV_TUI_PEERS);
        edit(PV_TUIEDIT_KILL_START);
    }
    drop_actions();
    take(pv_tui_take_peers, "{'peers':[{'name':'old','online':true}]}");
    line("for the new one");
    assert_action(PV_TUI_SEND, "old", "for the new one");
    /* Behind leave there is no list; p2pvpnd says why. */
    pv_tui_take_peers(t, NULL);
    line("once more");
    assert_action(PV_TUI_SEND, "old", "once more");
}

#define OLD_IS(name)                                                                             \
    "{'peers':[{'name':'" name "','key':'" PI_KEY "','online':true},{'name':'zoe','key':'AAAD'," \
    "'online':true}]}"

/* Its pane goes on under the new name, with its lines and the line that was begun. */
PV_TEST(the_pane_of_a_machine_that_is_renamed_goes_on)
{
    take(pv_tui_take_peers, OLD_IS("old"));
    open_of("old");
    take_of(pv_tui_take_history, "old", "{'messages':[" MSG("A", "old", "lap", "hi", "read") "]}");
    type("secret");
    take(pv_tui_take_peers, OLD_IS("new"));
    assert_string_equal(t->note, "old is called new now");
    take(pv_tui_take_peers, OLD_IS("new"));
    assert_int_equal(pv_tui_find(t, "old", false), SIZE_MAX);
    assert_string_equal(name_of_current(), "new");
    const struct pv_tui_conv *c = &t->convs[t->current];
    assert_int_equal(c->n_lines, 2); /* said once */
    assert_string_equal(c->lines[0].text, "hi");
    assert_string_equal(c->lines[1].text, "old is called new now");
    assert_action(PV_TUI_HISTORY, "new", "");
    take(pv_tui_take_peers, OLD_IS("new"));
    pv_tui_key(t, PV_TUI_ENTER, 0);
    assert_action(PV_TUI_SEND, "new", "secret");
    draw(24, 80);
    for (size_t i = 0; i < 24; i++)
        assert_null(strstr(row(i), "\xe2\x97\x8b old"));
}

/* A line that it refuses after all comes back where the machine is now. */
PV_TEST(a_line_on_its_way_to_a_machine_that_is_renamed_is_not_lost)
{
    char text[] = "secret";
    struct pv_tui_action sent = {
        .kind = PV_TUI_SEND, .peer = "old", .address = PI_KEY, .text = text};
    take(pv_tui_take_peers, OLD_IS("old"));
    open_of("old");
    line("waits");
    pv_tui_open(t, 0);
    type("here");
    take(pv_tui_take_peers, OLD_IS("new"));
    pv_tui_take_error(t, "no", &sent);
    assert_string_equal(t->convs[pv_tui_find(t, "new", false)].draft, "/secret" + 1);
    assert_has(t->note, "the text waits in new");
    assert_string_equal(t->edit.text, "here");
    struct pv_tui_action a;
    assert_ok(pv_tui_poll(t, &a));
    assert_string_equal(a.peer, "new");
    assert_string_equal(a.address, PI_KEY);
    free(a.text);
}

/* A line that was begun by each name is sent to nobody, and not lost. */
PV_TEST(lines_begun_by_both_names_of_a_machine_stay)
{
    take(pv_tui_take_peers, OLD_IS("old"));
    open_of("old");
    type("one");
    pv_tui_open(t, pv_tui_find(t, "new", true));
    drop_actions();
    type("two");
    pv_tui_open(t, 0);
    take(pv_tui_take_peers, OLD_IS("new"));
    const struct pv_tui_conv *c = &t->convs[pv_tui_find(t, "new", false)];
    assert_string_equal(c->draft, "one");
    assert_string_equal(c->lines[c->n_lines - 1].text, "two");
    assert_string_equal(c->lines[c->n_lines - 2].text, "not sent:");
}

/* The line that is edited stays: the one that was begun by the former name is shown above it. */
PV_TEST(a_line_begun_by_a_former_name_is_shown_where_the_new_name_is_open)
{
    take(pv_tui_take_peers, OLD_IS("old"));
    open_of("old");
    type("one");
    pv_tui_open(t, pv_tui_find(t, "new", true));
    drop_actions();
    type("two");
    take(pv_tui_take_peers, OLD_IS("new"));
    const struct pv_tui_conv *c = &t->convs[t->current];
    assert_string_equal(c->name, "new");
    assert_string_equal(t->edit.text, "two");
    assert_null(c->draft);
    assert_string_equal(c->lines[c->n_lines - 1].text, "one");
    assert_string_equal(c->lines[c->n_lines - 2].text, "not sent:");
}

/* Its pane had nothing else in it, and went. The next machine of the name gets no line of it. */
PV_TEST(a_line_on_its_way_to_a_machine_that_is_gone_is_not_lost)
{
    char text[] = "secret";
    const struct pv_tui_action sent = {
        .kind = PV_TUI_SEND, .peer = "old", .address = PI_KEY, .text = text};
    for (int i = 0; i < 2; i++) {
        const bool another = i > 0;
        take(pv_tui_take_peers, OLD_IS("old"));
        take(pv_tui_take_peers, "{'peers':[]}");
        assert_int_equal(pv_tui_find(t, "old", false), SIZE_MAX);
        if (another)
            take(pv_tui_take_peers, test_given("peers old key AAAE online"));
        pv_tui_take_error(t, "no", &sent);
        assert_string_equal(t->note, "no: the text waits in old");
        if (!another)
            take(pv_tui_take_peers, test_given("peers old key AAAE online"));
        open_of("old");
        assert_string_equal(t->edit.text, text);
        pv_tui_key(t, PV_TUI_ENTER, 0);
        assert_nothing_asked();
        assert_shows("note", t->note);
        pv_tui_done(t);
        assert_ok(pv_tui_init(t));
    }
}

/* The copy of a line that waits for an answer goes, by whatever name its pane has. */
PV_TEST(a_line_that_waits_is_taken_off_the_pane_of_a_machine_that_is_renamed)
{
    struct pv_tui_action sent = {
        .kind = PV_TUI_SEND, .peer = "old", .address = PI_KEY, .text = strdup("secret")};
    take(pv_tui_take_peers, OLD_IS("old"));
    pv_tui_show_waiting(t, &sent);
    take(pv_tui_take_peers, OLD_IS("new"));
    (void)pv_tui_find(t, "old", true); /* another machine has the name by now */
    const struct pv_tui_conv *c = &t->convs[pv_tui_find(t, "new", false)];
    assert_string_equal(c->lines[0].text, "secret");
    pv_tui_hide_waiting(t, &sent);
    assert_int_equal(sent.wait, 0);
    assert_string_equal(c->lines[0].text, "old is called new now");
    free(sent.text);
}

/* Nobody writes to a phone: it has no chat. */
PV_TEST(a_member_that_is_gone_and_a_phone_are_no_panes)
{
    take(pv_tui_take_peers,
         "{'peers':[" PEER("pi", "true", "direct", "3") ",{'name':'phone',"
                                                        "'gateway':'pi','online':true}]}");
    assert_int_equal(pv_tui_find(t, "phone", false), SIZE_MAX);
    take(pv_tui_take_presence, "{'peer':'phone','online':true}");
    assert_int_equal(pv_tui_find(t, "phone", false), SIZE_MAX);
    assert_int_equal(t->n_convs, 2); /* alice, bob and bobby were removed */
    take(pv_tui_take_message, MSG("A", "pi", "lap", "hi", "read"));
    take(pv_tui_take_peers, "{'peers':[]}");
    draw(24, 80);
    assert_has(row(2), "pi");
    assert_has(row(2), " gone ");
}

/* The same of a line that was begun there, and waits in its pane. */
PV_TEST(a_line_begun_for_a_machine_that_is_gone_is_given_back_by_the_next_of_its_name)
{
    take(pv_tui_take_message, MSG("o1", "old", "lap", "bye", "unread"));
    open_of("old");
    type("half a secret");
    pv_tui_key(t, PV_TUI_NEXT, 0);
    drop_actions();
    pv_tui_take_loss(t);
    pv_tui_take_return(t);
    take(pv_tui_take_peers, test_given("peers pi online old online key"));
    open_of("old");
    assert_string_equal(t->edit.text, "half a secret");
    pv_tui_key(t, PV_TUI_ENTER, 0);
    assert_nothing_asked();
    assert_shows("note", t->note);
    pv_tui_key(t, PV_TUI_ENTER, 0);
    assert_action(PV_TUI_SEND, "old", "half a secret");
}

/* The next Enter shall mean the same. */
PV_TEST(a_text_that_begins_like_a_command_is_given_back_as_one)
{
    static const char *const lines[] = {"/msg pi exit", "/msg pi send alice the plan",
                                        "/msg pi getu", "//exit"};
    open_of("pi");
    for (size_t i = 0; i < PV_ARRAY_LEN(lines); i++) {
        struct pv_tui_action a;
        line(lines[i]);
        assert_ok(pv_tui_poll(t, &a));
        pv_tui_take_error(t, "denied by rule 1", &a);
        free(a.text);
        assert_string_equal(t->edit.text, lines[i]);
        edit(PV_TUIEDIT_KILL_START);
    }
}

PV_TEST(a_second_paste_is_an_answer_to_the_question_about_the_first)
{
    open_of("pi");
    pv_tui_paste(t, "one\ntwo");
    pv_tui_paste(t, "three");
    assert_string_equal(t->note, "not sent");
    assert_string_equal(t->edit.text, "three");
    assert_null(t->paste);
    pv_tui_paste(t, "one\ntwo");
    pv_tui_paste(t, "\n");
    assert_null(t->paste);
    pv_tui_paste(t, "one\ntwo");
    pv_tui_paste(t, "three\nfour\nfive");
    assert_has(t->note, "3 lines pasted");
    assert_string_equal(t->paste, "three\nfour\nfive");
}

/* They are for bob, or nobody's: the one who is shown gets neither them nor the command's words. */
PV_TEST(lines_pasted_behind_a_command_go_to_nobody)
{
    static const char *const commands[] = {"/msg bob ", "send bob ", "/open bob", "/search x "};
    open_of("pi");
    for (size_t i = 0; i < PV_ARRAY_LEN(commands); i++) {
        type(commands[i]);
        pv_tui_paste(t, "one\ntwo");
        assert_null(t->paste);
        assert_shows("note", t->note);
        assert_string_equal(t->edit.text, commands[i]);
        edit(PV_TUIEDIT_KILL_START);
    }
    assert_nothing_asked();
    /* These are texts. */
    type("//abs ");
    pv_tui_paste(t, "one\ntwo");
    pv_tui_key(t, PV_TUI_ENTER, 0);
    assert_action(PV_TUI_SEND, "pi", "/abs one\ntwo");
    type("send me ");
    pv_tui_paste(t, "one\ntwo");
    pv_tui_key(t, PV_TUI_ENTER, 0);
    assert_action(PV_TUI_SEND, "pi", "send me one\ntwo");
    pv_tui_paste(t, "/etc\n/usr");
    pv_tui_key(t, PV_TUI_ENTER, 0);
    assert_action(PV_TUI_SEND, "pi", "/etc\n/usr");
}

PV_TEST(a_failed_send_is_given_back)
{
    char text[] = "my text", other[] = "/etc is full";
    const struct pv_tui_action mine = {.kind = PV_TUI_SEND, .peer = "pi", .text = text};
    const struct pv_tui_action second = {.kind = PV_TUI_SEND, .peer = "pi", .text = other};
    size_t pi = pv_tui_find(t, "pi", false);
    pv_tui_open(t, pi);
    drop_actions();
    pv_tui_take_error(t, "send: disk full\n\x1b[2J", &mine);
    assert_string_equal(t->note, "send: disk full");
    assert_string_equal(t->edit.text, "my text");
    pv_tui_take_error(t, "again", &second);
    assert_string_equal(t->edit.text, "my text"); /* what is being typed stays */
    assert_string_equal(t->convs[pi].lines[1].text, "/etc is full");
    edit(PV_TUIEDIT_KILL_START);
    /* Another conversation is open by now: the text waits where it was typed. */
    pv_tui_open(t, 1);
    drop_actions();
    pv_tui_take_error(t, "again", &second);
    assert_string_equal(t->edit.text, "");
    assert_string_equal(t->note, "again: the text waits in pi");
    assert_int_equal(pv_tui_conv_news(&t->convs[pi]), 1);
    pv_tui_take_error(t, "gone", &mine);
    assert_string_equal(t->note, "gone: 2 texts wait in pi");
    char reason[PV_CTLAPI_ERROR_BUF];
    memset(reason, 'r', sizeof(reason));
    reason[sizeof(reason) - 1] = '\0';
    pv_tui_take_error(t, reason, &mine);
    assert_has(t->note, "r: 3 texts wait in pi");
    pv_tui_note(t, "%s", "");
    draw(12, 80);
    assert_has(row(10), "[3 not sent: Ctrl-G]");
    line("/exit");
    assert_shows("note", t->note);
    assert_int_equal(t->leave, PV_TUI_WARNED);
    pv_tui_open(t, pi);
    assert_int_equal(pv_tui_conv_news(&t->convs[pi]), 0);
    assert_string_equal(t->edit.text, "//etc is full"); /* a text, no command */
    edit(PV_TUIEDIT_KILL_START);
    pv_tui_open(t, 1);
    drop_actions();
    for (int i = 0; i < PV_TUI_MAX_ACTIONS; i++)
        line("x");
    edit(PV_TUIEDIT_KILL_START);
    line("one too many");
    assert_string_equal(t->edit.text, "one too many");
}

/* The bar says what became of p2pvpnd a second later. */
PV_TEST(a_command_without_answer_stands_in_the_pane)
{
    char number[] = "12", pi[] = "pi";
    const struct {
        struct pv_tui_action action;
        const char *notice;
    } CASES[] = {
        {{.kind = PV_TUI_ACCEPT, .text = number}, "perhaps not done: /accept 12"},
        {{.kind = PV_TUI_SAVE, .text = number}, "perhaps not done: /get 12"},
        {{.kind = PV_TUI_INVITE, .peer = "#crew", .text = pi}, "perhaps not done: /invite pi"},
        {{.kind = PV_TUI_MAKE, .peer = "#crew"}, "perhaps not done: /room create #crew"},
        {{.kind = PV_TUI_MUTE, .peer = "pi"}, "perhaps not done: /mute pi"},
        {{.kind = PV_TUI_LEAVE, .peer = "#crew"}, "perhaps not done: /leave #crew"},
    };
    const struct pv_tui_conv *c = &t->convs[t->current];
    for (size_t i = 0; i < PV_ARRAY_LEN(CASES); i++) {
        pv_tui_take_doubt(t, &CASES[i].action);
        assert_string_equal(c->lines[c->n_lines - 1].text, CASES[i].notice);
    }
    size_t told = c->n_lines;
    pv_tui_take_doubt(t, &(struct pv_tui_action){.kind = PV_TUI_FILES}); /* it only asks */
    assert_int_equal(c->n_lines, told);

    /* A line is given back, and what is said of it stays. */
    char text[] = "hello";
    pv_tui_take_doubt(t, &(struct pv_tui_action){.kind = PV_TUI_SEND, .peer = "pi", .text = text});
    pv_tui_take_loss(t);
    pv_tui_take_return(t);
    assert_has(t->note, "perhaps not sent");
}

/* As behind `leave`. */
PV_TEST(a_list_of_peers_that_is_refused_leaves_nobody_online)
{
    size_t pi = pv_tui_find(t, "pi", false);
    t->convs[pi].online = true;
    line("/peers");
    size_t told = t->convs[t->current].n_lines;
    pv_tui_take_peers(t, NULL);
    assert_false(t->convs[pi].online);
    take(pv_tui_take_peers, "{'peers':[]}"); /* one that nobody typed for */
    assert_int_equal(t->convs[t->current].n_lines, told);
}

/* As behind `leave`, until `join`; another note stays. */
PV_TEST(why_there_is_no_list_of_peers_is_said_until_there_is_one)
{
    static const char *const notes[] = {"this machine is in no network", "another note"};
    const struct pv_tui_action list = {.kind = PV_TUI_PEERS};
    for (size_t i = 0; i < PV_ARRAY_LEN(notes); i++) {
        pv_tui_take_error(t, notes[0], &list);
        pv_tui_take_peers(t, NULL);
        assert_string_equal(t->note, notes[0]);
        pv_tui_note(t, "%s", notes[i]);
        take(pv_tui_take_peers, "{'peers':[]}");
        assert_string_equal(t->note, i == 0 ? "" : notes[i]);
    }
}

/* The input line has one line only. */
PV_TEST(a_text_of_several_lines_that_is_given_back_keeps_them)
{
    char text[] = "one\ntwo";
    const struct pv_tui_action mine = {.kind = PV_TUI_SEND, .peer = "pi", .text = text};
    size_t pi = pv_tui_find(t, "pi", false);
    for (size_t k = 0; k < 2; k++) {
        pv_tui_open(t, k == 0 ? pi : 1);
        drop_actions();
        pv_tui_take_error(t, k == 0 ? "send: disk full" : PV_TUI_PERHAPS " sent", &mine);
        assert_string_equal(t->edit.text, "");
        const struct pv_tui_conv *c = &t->convs[pi];
        assert_null(c->draft);
        assert_string_equal(c->lines[c->n_lines - 2].text,
                            k == 0 ? "not sent:" : "perhaps not sent:");
        assert_string_equal(c->lines[c->n_lines - 1].text, "one\n    two");
    }
    pv_tui_take_loss(t);
    draw(12, 80);
    assert_has(row(10), "[no p2pvpnd]  perhaps not sent");
    t->slow = true; /* it is gone all the same */
    draw(12, 40);
    assert_has(row(9), "[no p2pvpnd]  perhaps not sent");
    t->lost = false;
    draw(12, 60);
    assert_has(row(9), "[p2pvpnd does not answer]  ");
    pv_tui_ask_again(t);
    draw(12, 120);
    assert_has(row(10), " p2pvpnd does not answer: exit again");
    t->lost = true;
    t->slow = false;
}

PV_TEST(each_conversation_keeps_its_own_line)
{
    pv_tui_open(t, pv_tui_find(t, "pi", false));
    type("for pi alone");
    open_of("bob");
    assert_string_equal(t->edit.text, "");
    line("for bob");
    assert_action(PV_TUI_SEND, "bob", "for bob");
    pv_tui_open(t, pv_tui_find(t, "pi", false));
    assert_string_equal(t->edit.text, "for pi alone");
}

PV_TEST(a_draft_stays_when_a_former_line_is_looked_at)
{
    open_of("pi");
    line("said before");
    drop_actions();
    type("half a thought");
    edit(PV_TUIEDIT_OLDER);
    assert_string_equal(t->edit.text, "said before");
    open_of("bob");
    open_of("pi");
    assert_string_equal(t->edit.text, "half a thought");
}

/* A list without times, as /help, does not stand between a person and what came after it. */
PV_TEST(lines_that_came_behind_a_list_stand_below_it)
{
    t->now = 1795168800;
    open_of("pi");
    line("/help");
    const size_t help = t->convs[t->current].n_lines;
    t->now += 60;
    take_of(pv_tui_take_history, "pi", test_given("messages M1 from pi lap room"));
    const struct pv_tui_conv *c = &t->convs[t->current];
    assert_int_equal(c->n_lines, help + 2);
    assert_string_equal(c->lines[0].text, "before");
    assert_string_equal(c->lines[1].text, pv_tui_help[0]);
    assert_string_equal(c->lines[help + 1].text, "after");
    pv_tui_notice(t, &t->convs[t->current], "p2pvpnd is back");
    take_of(pv_tui_take_history, "pi", test_given("messages M2 from pi lap room"));
    c = &t->convs[t->current];
    assert_string_equal(c->lines[c->n_lines - 2].text, "p2pvpnd is back");
    assert_string_equal(c->lines[c->n_lines - 1].text, "written before");
}

static inline void twenty_lines_come(void)
{
    for (unsigned i = 0; i < 20; i++)
        take(pv_tui_take_message, PV_STR("{'id':'n%u','from':'pi','to':'lap','room':null,"
                                         "'text':'line %u','time':1,'state':'unread'}",
                                         i, i));
}

/* p2pvpnd takes all before a line as read, too, so the first that nobody saw holds the others. */
PV_TEST(lines_that_were_not_shown_are_not_read)
{
    twenty_lines_come();
    open_of("pi");
    draw(12, 60);
    assert_has(row(10), "[11 new above: PgUp; End: skip]  ");
    draw(12, 60); /* it is so until somebody looks */
    assert_has(row(10), "[11 new above: PgUp; End: skip]  ");
    assert_nothing_asked();
    take(pv_tui_take_message, MSG("n20", "pi", "lap", "one more", "unread"));
    draw(12, 60);
    assert_has(row(10), "[11 new above: ");
    pv_tui_key(t, PV_TUI_PAGE_UP, 9);
    draw(12, 60);
    assert_has(row(10), "[scrolled up: End]  [4 new above: PgUp]  ");
    assert_nothing_asked();
    take(pv_tui_take_message, MSG("n21", "pi", "lap", "and one", "unread"));
    draw(12, 60);
    assert_has(row(10), "[1 new below: End]  [4 new above: PgUp]  ");
    pv_tui_key(t, PV_TUI_PAGE_UP, 9);
    draw(12, 60);
    assert_has(row(10), "[1 new below: End]  ");
    assert_lacks(row(10), "new above");
    assert_action(PV_TUI_READ, "pi", "n20");
    assert_int_equal(t->convs[t->current].unread, 1);
    pv_tui_key(t, PV_TUI_END, 0);
    draw(12, 60);
    assert_lacks(row(10), "new");
    assert_action(PV_TUI_READ, "pi", "n21");
    assert_int_equal(t->convs[t->current].unread, 0);
}

/* Its beginning says whose it is. */
PV_TEST(a_line_taller_than_the_screen_is_read_once_both_ends_were_shown)
{
    take(pv_tui_take_message, test_given("n from pi lap room text n2 n3"));
    open_of("pi");
    draw(12, 60);
    assert_has(row(10), "[1 new above: PgUp; End: skip]  ");
    assert_nothing_asked();
    pv_tui_key(t, PV_TUI_PAGE_UP, 9);
    draw(12, 60);
    assert_has(row(10), "[1 new below: End]  ");
    pv_tui_key(t, PV_TUI_END, 0);
    draw(12, 60);
    assert_action(PV_TUI_READ, "pi", "n");
}

/* Of a daemon that came back, what is older may be told last. */
PV_TEST(nothing_is_read_before_all_that_is_unread_is_known)
{
    t->counting = true;
    open_of("pi");
    take(pv_tui_take_message, MSG("n2", "pi", "lap", "two", "unread"));
    draw(12, 60);
    assert_nothing_asked();
    take(pv_tui_take_message, MSG("n1", "pi", "lap", "one", "unread"));
    t->counting = false;
    draw(12, 60);
    assert_action(PV_TUI_READ, "pi", "n1");
    assert_int_equal(t->convs[t->current].unread, 0);
}

PV_TEST(end_skips_the_new_lines_above)
{
    twenty_lines_come();
    open_of("pi");
    pv_tui_key(t, PV_TUI_PAGE_UP, 3);
    draw(12, 60);
    pv_tui_key(t, PV_TUI_BOTTOM, 0); /* it goes down, and no further */
    draw(12, 60);
    assert_has(row(10), "[8 new above: PgUp; End: skip]  ");
    assert_nothing_asked();
    pv_tui_key(t, PV_TUI_BOTTOM, 0);
    draw(12, 60);
    assert_lacks(row(10), "new");
    assert_action(PV_TUI_READ, "pi", "n19");
    assert_int_equal(t->convs[t->current].unread, 0);
}

/* It was given back, and would take the person away from where that went since. */
PV_TEST(an_open_that_a_lost_daemon_never_got_is_not_asked_for_later)
{
    open_of("pi");
    line("/open nas");
    pv_tui_take_loss(t);
    assert_string_equal(t->edit.text, "/open nas ");
    edit(PV_TUIEDIT_KILL_START);
    line("/open bob");
    pv_tui_paste(t, "one\ntwo");
    pv_tui_take_return(t);
    struct pv_tui_action a;
    while (pv_tui_poll(t, &a) == PV_OK) {
        assert_int_not_equal(a.kind, PV_TUI_FORMER);
        free(a.text);
    }
    assert_non_null(t->paste);
}

/* A user who types fast, or pastes, means the conversation that was asked for. */
PV_TEST(no_line_goes_astray_while_a_conversation_is_being_opened)
{
    open_of("pi");
    drop_actions();
    line("/open gone");
    assert_action(PV_TUI_FORMER, "gone", "");
    line("for gone alone");
    assert_nothing_asked();
    assert_shows("note", t->note);
    assert_string_equal(t->edit.text, "for gone alone");
    take_of(pv_tui_take_former, "gone", "{'messages':[]}");
    assert_string_equal(t->note, "no messages with gone");
    assert_string_equal(t->edit.text, "/open gone for gone alone");
    pv_tui_key(t, PV_TUI_ENTER, 0);
    assert_nothing_asked();
    assert_shows("note", t->note);
    edit(PV_TUIEDIT_KILL_START);
    line("/room create later");
    assert_action(PV_TUI_MAKE, "later", "");
    line("not yet");
    assert_nothing_asked();
    const struct pv_tui_action made = {.kind = PV_TUI_MAKE, .peer = "later"};
    pv_tui_take_error(t, "no", &made);
    assert_string_equal(t->edit.text, "/room create later not yet");
    edit(PV_TUIEDIT_KILL_START);
    line("now");
    assert_action(PV_TUI_SEND, "pi", "now");
    pv_tui_take_loss(t);
    line("/open gone");
    assert_nothing_asked();
    assert_shows("note", t->note);
    pv_tui_note(t, "the bell is silent"); /* hides no hint that lines wait */
    draw(24, 80);
    assert_has(row(22), "[no p2pvpnd]  the bell is silent");
}

/* A user who types ahead has not read that there is none of that name. */
PV_TEST(a_line_typed_ahead_behind_a_slip_goes_to_nobody_else)
{
    static const char *const lines[] = {"secret", "a secret", "/leave", "send me a secret", "exit"};
    for (size_t i = 0; i < PV_ARRAY_LEN(lines); i++) {
        open_of("pi");
        line("/open carrol");
        drop_actions();
        take_of(pv_tui_take_former, "carrol", "{'messages':[]}");
        assert_string_equal(t->edit.text, "/open carrol "); /* as every line that is refused */
        line(lines[i]);
        assert_nothing_asked();
        edit(PV_TUIEDIT_KILL_START);
        line("/room create crew");
        drop_actions();
        pv_tui_take_error(t, "it exists", &(struct pv_tui_action){.kind = PV_TUI_MAKE});
        line(lines[i]);
        assert_nothing_asked();
        edit(PV_TUIEDIT_KILL_START);
        line("/room create crew");
        drop_actions();
        pv_tui_take_loss(t);
        line(lines[i]);
        assert_nothing_asked();
        edit(PV_TUIEDIT_KILL_START);
        t->lost = false;
    }
}

/* A line that was begun while p2pvpnd took its time is for whom one asked for. */
PV_TEST(a_line_that_was_begun_goes_along_to_the_conversation_that_was_asked_for)
{
    char for_pi[] = "for pi";
    open_of("pi");
    drop_actions();
    line("/open gone");
    line("for gone alone");
    take_of(pv_tui_take_former, "gone", "{'messages':[" MINE("m2", "gone", "bye", "read") "]}");
    assert_string_equal(name_of_current(), "gone");
    assert_string_equal(t->edit.text, "for gone alone");
    open_of("pi");
    assert_string_equal(t->edit.text, "");
    line("/open gone2");
    drop_actions();
    pv_tui_take_error(t, "no",
                      &(struct pv_tui_action){.kind = PV_TUI_SEND, .peer = "pi", .text = for_pi});
    take_of(pv_tui_take_former, "gone2", "{'messages':[" MINE("m3", "gone2", "bye", "read") "]}");
    assert_string_equal(t->note, "gone2 is there: /open gone2");
    assert_string_equal(name_of_current(), "pi");
    assert_string_equal(t->edit.text, "for pi");
    edit(PV_TUIEDIT_KILL_START);
    line("/room create ops");
    drop_actions();
    type("for bob");
    open_of("bob"); /* by a key, meanwhile */
    edit(PV_TUIEDIT_KILL_START);
    type("to bob");
    const struct pv_tui_action made = {.kind = PV_TUI_MAKE, .peer = "ops"};
    json_t *body = json_pack("{s:s}", "room", "#ops");
    pv_tui_take_done(t, &made, body);
    json_decref(body);
    assert_string_equal(t->note, "#ops is there: /open #ops");
    assert_string_equal(name_of_current(), "bob"); /* not taken away in the middle of a line */
    assert_string_equal(t->edit.text, "to bob");
}

/* Files, invitations and what is said of the room that is shown go astray as lines do. */
PV_TEST(commands_about_the_shown_one_wait_while_another_is_being_opened)
{
    static const char *const commands[] = {"/send-file f", "/invite bob", "/leave",
                                           "/members",     "/mute",       "/unmute"};
    take(pv_tui_take_rooms, "{'rooms':[{'room':'#old','members':2}]}");
    open_of("#old");
    line("/room create ops");
    assert_action(PV_TUI_MAKE, "ops", "");
    for (size_t i = 0; i < PV_ARRAY_LEN(commands); i++) {
        line(commands[i]);
        assert_nothing_asked();
        assert_shows("note", t->note);
        assert_string_equal(t->edit.text, commands[i]);
        edit(PV_TUIEDIT_KILL_START);
    }
    line("/mute pi"); /* says which */
    assert_action(PV_TUI_MUTE, "pi", "");
    pv_tui_paste(t, "one\ntwo");
    assert_null(t->paste);
    assert_shows("note", t->note);
    pv_tui_take_error(t, "no", &(struct pv_tui_action){.kind = PV_TUI_MAKE});
    edit(PV_TUIEDIT_KILL_START);
    line("/invite bob");
    assert_action(PV_TUI_INVITE, "#old", "bob");
    /* A question is about the one that was shown. */
    pv_tui_paste(t, "one\ntwo");
    pv_tui_open(t, pv_tui_find(t, "pi", false));
    assert_null(t->paste);
}

/* Each is told apart from a request that only asks. */
PV_TEST(a_file_or_command_that_waits_for_the_daemon_is_not_lost_without_a_word)
{
    open_of("pi");
    pv_tui_take_loss(t);
    line("/send-file f");
    assert_string_equal(t->note, "that waits until p2pvpnd runs again");
    line("/exit");
    assert_int_equal(t->leave, PV_TUI_WARNED);
    assert_has(t->note, "1 line is not sent");
    pv_tui_take_return(t);
    struct pv_tui_action a;
    assert_ok(pv_tui_poll(t, &a));
    assert_int_equal(a.kind, PV_TUI_SEND_FILE);
    free(a.text);
    drop_actions();
    pv_tui_take_loss(t);
    pv_tui_want(t, PV_TUI_PEERS, "", NULL);
    line("/exit");
    assert_int_equal(t->leave, PV_TUI_ENDED);
}

/* As when a coordinator comes back, and a hundred members with it. */
PV_TEST(many_that_come_at_once_ask_for_one_list)
{
    for (int i = 0; i < PV_TUI_MAX_ACTIONS; i++)
        take(pv_tui_take_presence, PV_STR("{'peer':'node%d','online':true}", i));
    assert_action(PV_TUI_PEERS, "", "");
    assert_nothing_asked();
    /* Nothing is on its way that was not asked for. */
    for (int i = 0; i < PV_TUI_MAX_ACTIONS; i++)
        pv_tui_want(t, PV_TUI_SAVED, "", strdup("1"));
    line("/open gone");
    assert_string_equal(t->note, "too many requests: try again in a moment");
    assert_string_equal(t->edit.text, "");
    assert_string_equal(t->opening, "");
    pv_tui_open(t, pv_tui_find(t, "pi", false));
    assert_false(t->convs[t->current].asked);
    drop_actions();
    pv_tui_open(t, t->current);
    assert_action(PV_TUI_HISTORY, "pi", "");
}

PV_TEST(a_member_that_is_gone_is_not_shown_as_there)
{
    take(pv_tui_take_peers, "{'peers':[" PEER("bob", "true", "direct", "3") "]}");
    take(pv_tui_take_message, MSG("A", "bob", "lap", "hi", "read"));
    assert_true(t->convs[pv_tui_find(t, "bob", false)].online);
    take(pv_tui_take_peers, "{'peers':[" PEER("robert", "true", "direct", "3") "]}");
    const struct pv_tui_conv *bob = &t->convs[pv_tui_find(t, "bob", false)];
    assert_false(bob->online);
    assert_string_equal(bob->path, "none");
}

PV_TEST(several_pasted_lines_are_sent_when_one_says_so)
{
    pv_tui_paste(t, "one\ntwo\n"); /* to whom? */
    assert_null(t->paste);
    open_of("pi");
    pv_tui_paste(t, "just\tthis\n");
    assert_string_equal(t->edit.text, "just this");
    edit(PV_TUIEDIT_KILL_START);
    pv_tui_paste(t, "\n\n\n");
    assert_null(t->paste);
    assert_has(t->note, "empty lines");
    pv_tui_paste(t, "one\ntwo\n");
    draw(24, 80);
    pv_tui_note(t, "new from bob"); /* hides no question that a key answers */
    draw(24, 80);
    assert_shows("row 22", row(22));
    assert_nothing_asked();
    pv_tui_key(t, PV_TUI_CHAR, L'n');
    assert_string_equal(t->note, "not sent");
    assert_nothing_asked();
    type("see: ");
    pv_tui_paste(t, "/one\ntwo\n\n");
    pv_tui_key(t, PV_TUI_ENTER, 0);
    assert_action(PV_TUI_SEND, "pi", "see: /one\ntwo");
    assert_string_equal(t->edit.text, "");
}

/* Half of it does not say what a key does. */
PV_TEST(the_question_about_pasted_lines_is_shown_whole)
{
#define LONG "a23456789-b23456789-c23456789-d23456789-e23456789-f23456789-g2"
    take(pv_tui_take_peers, "{'peers':[" PEER(LONG, "true", "direct", "3") "]}");
    open_of(LONG);
    t->now = 1795168800;
    pv_tui_paste(t, "one\ntwo\nthree");
    draw(24, 80);
    assert_has(row(20), " 3 lines pasted: Enter sends them to  ");
    assert_string_equal(row(21), " " LONG ", another");
    assert_string_equal(row(22), " key does not");
    draw(12, 40);
    assert_string_equal(row(6), " 3 lines pasted: Enter sends them 10:00");
    assert_string_equal(row(7), " to");
    assert_string_equal(row(8), " a23456789-b23456789-c23456789-d2");
    assert_string_equal(row(9), " 3456789-e23456789-f23456789-g2,");
    assert_string_equal(row(10), " another key does not");
    pv_tui_key(t, PV_TUI_PAGE_UP, 0);
    assert_string_equal(t->note, "not sent");
    assert_nothing_asked();
#undef LONG
}

PV_TEST(a_file_that_could_not_be_sent_leaves_its_line)
{
    char path[] = "~/my notes.txt";
    const struct pv_tui_action a = {.kind = PV_TUI_SEND_FILE, .peer = "pi", .text = path};
    open_of("pi");
    pv_tui_take_error(t, "/send-file: No such file or directory", &a);
    assert_string_equal(t->edit.text, "/send-file ~/my notes.txt");
    assert_has(t->note, "No such file");
    pv_tui_take_error(t, "again", &a); /* a line that was begun stays */
    assert_string_equal(t->edit.text, "/send-file ~/my notes.txt");
    assert_has(t->convs[t->current].lines[1].text, "/send-file ~/my notes.txt");
    /* A file for a room, which is offered to each member, was typed in none of their panes. */
    struct pv_tui_action each = {.kind = PV_TUI_SEND_FILE, .peer = "bob", .id = "L", .text = path};
    pv_tui_take_error(t, "bob is away", &each);
    assert_null(t->convs[pv_tui_find(t, "bob", false)].draft);
}

PV_TEST(a_paste_that_is_too_long_is_not_asked_about)
{
    char *text = test_alloc(PV_CHAT_TEXT_MAX + 4);
    memset(text, 'x', PV_CHAT_TEXT_MAX + 2);
    text[5] = '\n';
    open_of("pi");
    pv_tui_paste(t, text);
    assert_has(t->note, "a message has at most");
    assert_null(t->paste);
    line("and on");
    assert_action(PV_TUI_SEND, "pi", "and on");
    free(text);
}

/* A text that is cut without a word would be sent as if it were whole. */
PV_TEST(a_pasted_line_that_is_too_long_is_not_cut)
{
    char *text = test_alloc(PV_CHAT_TEXT_MAX + 2);
    memset(text, 'x', PV_CHAT_TEXT_MAX);
    open_of("pi");
    type("y");
    pv_tui_paste(t, text);
    assert_string_equal(t->edit.text, "y");
    assert_has(t->note, "a message has at most");
    assert_has(t->note, "/send-file FILE");
    edit(PV_TUIEDIT_BACKSPACE);
    text[PV_CHAT_TEXT_MAX] = '\n';
    pv_tui_paste(t, text);
    assert_int_equal(t->edit.len, PV_CHAT_TEXT_MAX);
    free(text);
}

/* As where the terminal does not mark a paste: its lines come as if they were typed. */
PV_TEST(a_typed_line_that_is_too_long_is_not_cut)
{
    open_of("pi");
    for (size_t i = 0; i < PV_CHAT_TEXT_MAX / 3; i++)
        type("\xe6\x97\xa5");
    assert_string_equal(t->note, "");
    type("\xe6\x97\xa5");
    assert_has(t->note, "a message has at most");
    type("\xe6\x97\xa5 and so on");
    for (int i = 0; i < 2; i++) {
        line("/open bob");
        assert_nothing_asked();
        assert_string_equal(name_of_current(), "pi");
        assert_has(t->note, "/send-file FILE");
    }
    /* It is as long when one comes back to it. */
    open_of("bob");
    open_of("pi");
    line("");
    assert_nothing_asked();
    while (t->edit.len > PV_CHAT_TEXT_MAX)
        edit(PV_TUIEDIT_BACKSPACE);
    char *rest = strdup(t->edit.text);
    assert_non_null(rest);
    line("");
    assert_action(PV_TUI_SEND, "pi", rest);
    free(rest);
}

PV_TEST(a_daemon_that_was_gone_is_asked_again)
{
    struct pv_tui_action a;
    open_of("pi");
    line("first");
    assert_ok(pv_tui_poll(t, &a)); /* asked, and never answered */
    memcpy(a.id, "AAECAwQFBgcICQoLDA0ODw", sizeof(a.id));
    line("second");
    pv_tui_again(t, &a);
    pv_tui_take_loss(t);
    assert_has(t->note, "p2pvpnd is not running");
    pv_tui_take_return(t);
    assert_ok(pv_tui_poll(t, &a));
    assert_string_equal(a.text, "first");
    assert_string_equal(a.id, "AAECAwQFBgcICQoLDA0ODw"); /* the same message, not another */
    free(a.text);
    assert_action(PV_TUI_SEND, "pi", "second");
    assert_action(PV_TUI_HISTORY, "pi", "");
}

/* It keeps its connection and answers nothing. */
PV_TEST(a_line_that_a_hanging_daemon_does_not_take_is_seen)
{
    struct pv_tui_action a;
    open_of("pi");
    struct pv_tui_conv *c = &t->convs[t->current];
    line("first");
    assert_ok(pv_tui_poll(t, &a));
    assert_int_equal(c->n_lines, 0);
    pv_tui_show_waiting(t, &a);
    pv_tui_show_waiting(t, &a);
    assert_int_equal(c->n_lines, 1);
    assert_string_equal(c->lines[0].text, "first");
    assert_int_equal(c->lines[0].state, PV_CHAT_QUEUED);
    pv_tui_ask_again(t);
    assert_has(t->note, "does not answer");
    pv_tui_hide_waiting(t, &a); /* it answers after all */
    pv_tui_ask_no_more(t);
    assert_int_equal(c->n_lines, 0);
    assert_string_equal(t->note, "");
    assert_int_equal(t->leave, PV_TUI_STAYS);
    free(a.text);
    /* A note that came meanwhile stays. */
    pv_tui_ask_again(t);
    pv_tui_paste(t, "one\ntwo");
    pv_tui_ask_no_more(t);
    assert_has(t->note, "2 lines pasted");
}

/* The one that was asked stands before the one that waits, whoever was shown first. */
PV_TEST(lines_that_wait_stand_in_their_order)
{
    struct pv_tui_action a;
    open_of("pi");
    struct pv_tui_conv *c = &t->convs[t->current];
    line("A");
    assert_ok(pv_tui_poll(t, &a));
    line("B");
    pv_tui_show_waiting(t, &a);
    pv_tui_show_waiting(t, &t->actions[0]);
    pv_tui_hide_waiting(t, &a);
    pv_tui_again(t, &a);
    pv_tui_take_loss(t);
    assert_int_equal(c->n_lines, 2);
    assert_string_equal(c->lines[0].text, "A");
    assert_string_equal(c->lines[1].text, "B");
}

PV_TEST(the_bar_forgets_that_a_message_waited)
{
    pv_tui_open(t, pv_tui_find(t, "bob", false));
    take(pv_tui_take_sent, "{'message':" MINE("A", "bob", "hi", "queued") ",'online':false}");
    assert_has(t->note, "queued: bob");
    take(pv_tui_take_state, "{'msg_id':'A','peer':'bob','state':'sent'}");
    assert_has(t->note, "queued: bob");
    take(pv_tui_take_state, test_given("msg_id peer bob state delivered"));
    assert_string_equal(t->note, "");
}

PV_TEST(an_explanation_that_is_too_long_for_the_bar_goes_on_below)
{
    static const char why[] =
        "malformed: a room's name is 1 to 32 of a-z 0-9 and -, a text of more than that says why";
    open_of("pi");
    take(pv_tui_take_message, MSG("A", "pi", "lap", "the newest", "read"));
    t->now = 1795168800;
    size_t page = pv_tui_page(t, 12, 40);
    pv_tui_take_error(t, why, NULL);
    draw(12, 40);
    assert_string_equal(row(8), " malformed: a room's name is 1 to 10:00");
    assert_string_equal(row(9), " 32 of a-z 0-9 and -, a text of");
    assert_string_equal(row(10), " more than that says why");
    assert_string_equal(row(11), ">");
    assert_has(row(7), "the newest");
    assert_int_equal(pv_tui_page(t, 12, 40), page - 2);
    /* Half of a small screen stays for the lines, and a hint has one row. */
    draw(6, 40);
    assert_has(row(2), "the newest");
    t->note[0] = '\0';
    draw(12, 40);
    assert_has(row(10), "/help");
}

/* The list of the network after has none of them; that of a p2pvpnd that has not loaded them all
 * says nothing of the rest. */
PV_TEST(rooms_of_a_network_that_was_left_are_left)
{
    take(pv_tui_take_rooms, test_given("rooms room #crew members loaded"));
    const size_t crew = pv_tui_find(t, "#crew", false);
    assert_int_equal(t->convs[crew].part, PV_TUI_IN);
    take(pv_tui_take_rooms, "{'rooms':[],'loaded':false}");
    assert_int_equal(t->convs[crew].part, PV_TUI_IN);
    take(pv_tui_take_rooms, "{'rooms':[],'loaded':true}");
    assert_int_equal(t->convs[crew].part, PV_TUI_LEFT);
    take(pv_tui_take_rooms, test_given("rooms room #crew members loaded 2"));
    assert_int_equal(t->convs[crew].part, PV_TUI_IN);
}

PV_TEST(an_invitation_is_told_until_it_is_accepted)
{
    take(pv_tui_take_rooms, test_given("rooms room #crew members"));
    open_of("#crew");
    draw(24, 80);
    assert_string_equal(row(0), " #crew  invited, 3 members");
    assert_shows("row 22", row(22));
    take(pv_tui_take_sent, test_given("message from lap #crew room"));
    draw(24, 80);
    assert_string_equal(row(0), " #crew  room, 3 members");
}

PV_TEST(lines_of_this_machine_under_another_name_are_its_own)
{
    pv_tui_open(t, pv_tui_find(t, "bob", false));
    const size_t n = t->n_convs;
    take(pv_tui_take_message, MESSAGE("A", "garage", "bob", "hi", "queued", ",'own':true"));
    assert_int_equal(t->n_convs, n);
    assert_true(t->convs[t->current].lines[0].outgoing);
    take(pv_tui_take_status, test_given("self garage network home"));
    pv_tui_open(t, 0);
    draw(24, 80);
    assert_string_equal(row(0), " home  you are garage");
}

/* Not that the other one is away, who is not. */
PV_TEST(the_bar_says_what_a_message_waits_for)
{
    pv_tui_open(t, pv_tui_find(t, "bob", false));
    take(pv_tui_take_sent, test_given("message from lap bob text hi"));
    assert_shows("note", t->note);
    take(pv_tui_take_sent,
         "{'message':" MINE("B", "bob", "hi", "queued") ",'online':false,'down':true}");
    assert_shows("note", t->note);
    take(pv_tui_take_state, test_given("msg_id B peer bob state"));
    assert_string_equal(t->note, "");
}

PV_TEST(nonsense_of_the_daemon_is_ignored)
{
    static const char *const rows[] = {
        "{}",
        "[]",
        "{'peers':[{'name':'../x'},{'name':7},{}]}",
        "{'peers':7}",
        "{'messages':[{}]}",
        "{'peer':'A B','online':1}",
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        take(pv_tui_take_peers, rows[i]);
        take(pv_tui_take_message, rows[i]);
        take(pv_tui_take_sent, rows[i]);
        take(pv_tui_take_state, rows[i]);
        take(pv_tui_take_presence, rows[i]);
    }
    assert_int_equal(t->n_convs, 1); /* a list without members has none */
}

/* The words of `p2pvpnctl room` and `p2pvpnctl files`. */
PV_TEST(the_words_of_the_command_line_are_commands_here)
{
    static const struct {
        const char *line;
        enum pv_tui_action_kind kind;
        const char *peer, *text;
    } rows[] = {
        {"/room create dev", PV_TUI_MAKE, "dev", ""},
        {"/room invite crew pi", PV_TUI_INVITE, "#crew", "pi"},
        {"/room invite pi", PV_TUI_INVITE, "#crew", "pi"},
        {"/invite pi", PV_TUI_INVITE, "#crew", "pi"},
        {"/invite pi #crew", PV_TUI_INVITE, "#crew", "pi"},
        {"/room accept crew", PV_TUI_JOIN, "#crew", ""},
        {"/ROOM Leave", PV_TUI_LEAVE, "#crew", ""},
        {"/room members crew", PV_TUI_MEMBERS, "#crew", ""},
        {"/room list", PV_TUI_ROOMS, "", ""},
        {"/room", PV_TUI_ROOMS, "", ""},
        {"/files", PV_TUI_FILES, "", ""},
        {"/files list", PV_TUI_FILES, "", ""},
        {"/files accept 3", PV_TUI_ACCEPT, "", "3"},
        {"/files refuse 3", PV_TUI_REFUSE, "", "3"},
        {"/files get 3", PV_TUI_SAVE, "", "3"},
        {"/files withdraw 6", PV_TUI_REFUSE, "", "6"},
    };
    static const char *const wrong[] = {
        "/room crew", "/room create",      "/invite",    "/room invite dev pi",
        "/files 3",   "/files withdraw 3", "/peers now",
    };
    take(pv_tui_take_rooms, "{'rooms':[{'room':'#crew','members':3}]}");
    take(pv_tui_take_file, "{'file':" A_FILE("3", "A", "in", "pi", "offered") "}");
    take(pv_tui_take_file, "{'file':" A_FILE("6", "B", "out", "pi", "offered") "}");
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        open_of("#crew");
        line(rows[i].line);
        assert_action(rows[i].kind, rows[i].peer, rows[i].text);
        assert_nothing_asked();
        t->opening[0] = '\0';
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(wrong); i++) {
        line(wrong[i]);
        assert_nothing_asked();
        assert_shows(wrong[i], t->note);
        assert_string_equal(t->edit.text, "");
        edit(PV_TUIEDIT_KILL_START);
    }
    type("/room cr");
    pv_tui_key(t, PV_TUI_TAB, 0);
    assert_string_equal(t->edit.text, "/room create ");
}

/* In the lines, where it stays. */
PV_TEST(get_all_saves_each_file_that_has_come)
{
    take(pv_tui_take_file, "{'file':" A_FILE("3", "A", "in", "pi", "done") "}");
    take(pv_tui_take_file, "{'file':" A_FILE("4", "B", "in", "pi", "offered") "}");
    take(pv_tui_take_file, "{'file':" A_FILE("5", "C", "out", "pi", "done") "}");
    take(pv_tui_take_file, "{'file':" A_FILE("6", "D", "in", "pi", "done") "}");
    line("/get all");
    assert_action(PV_TUI_SAVE, "", "3");
    assert_action(PV_TUI_SAVE, "", "6");
    assert_nothing_asked();
}

PV_TEST(get_all_says_that_no_file_has_come)
{
    line("/files get all");
    assert_nothing_asked();
    assert_string_equal(t->note, "no file to get: /files lists all");
}

PV_TEST(a_command_says_what_it_did)
{
    char pi[] = "pi";
    const struct {
        struct pv_tui_action action;
        const char *says;
    } rows[] = {
        {{.kind = PV_TUI_INVITE, .peer = "#crew", .text = pi}, "you invited pi"},
        {{.kind = PV_TUI_JOIN, .peer = "#crew"}, "you accepted the invitation"},
        {{.kind = PV_TUI_LEAVE, .peer = "#crew"}, "you left; the lines stay here"},
    };
    take(pv_tui_take_rooms, "{'rooms':[{'room':'#crew','members':3}]}");
    const size_t crew = pv_tui_find(t, "#crew", false);
    json_t *body = json_of("{'room':'#crew'}");
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        pv_tui_take_done(t, &rows[i].action, body);
        const struct pv_tui_conv *c = &t->convs[crew];
        assert_string_equal(c->lines[c->n_lines - 1].text, rows[i].says);
        assert_string_equal(t->note, PV_STR("#crew: %s", rows[i].says));
    }
    json_decref(body);
    drop_actions();
    pv_tui_open(t, 0);
    line("/room list");
    take(pv_tui_take_rooms, test_given("rooms room #crew members 2"));
    assert_shows("convs 0 lines 0 text", t->convs[0].lines[0].text);
    line("/files");
    take(pv_tui_take_files, "{'files':[" A_FILE("3", "A", "in", "pi", "done") "]}");
    assert_shows("convs 0 lines 1 text", t->convs[0].lines[1].text);
    /* Only what was asked for is listed. */
    take(pv_tui_take_rooms, test_given("rooms room #crew members 3"));
    take(pv_tui_take_files, "{'files':[]}");
    assert_int_equal(t->convs[0].n_lines, 2);
}

PV_TEST(an_invitation_is_accepted_by_a_command)
{
    take(pv_tui_take_rooms, test_given("rooms room #crew members"));
    open_of("#crew");
    line("/accept");
    assert_action(PV_TUI_JOIN, "#crew", "");
    line("/refuse");
    assert_has(t->note, "/leave declines the invitation");
}

/* --- the order of a room -----------------------------------------------------------------------
 */

#define AT(id, text, time, state)                                                           \
    "{'id':'" id "','from':'pi','to':'#crew','room':'#crew','text':'" text "','time':" time \
    ",'state':'" state "'}"

static void assert_lines(const struct pv_tui_conv *c, const char *texts)
{
    char all[256] = "";
    for (size_t i = 0; i < c->n_lines; i++) {
        const size_t len = strlen(all);
        snprintf(all + len, sizeof(all) - len, "%s%s", i > 0 ? " " : "", c->lines[i].text);
    }
    assert_string_equal(all, texts);
}

/* Lines of before an invitation that is accepted late come behind those of the present. */
PV_TEST(lines_of_a_room_stand_in_the_order_of_their_times)
{
    take(pv_tui_take_rooms, "{'rooms':[{'room':'#crew','members':3}]}");
    open_of("#crew");
    const struct pv_tui_conv *c = &t->convs[t->current];
    take(pv_tui_take_message, AT("A", "five", "1795168805", "read"));
    take(pv_tui_take_message, AT("B", "two", "1795168802", "read"));
    take(pv_tui_take_message, AT("C", "four", "1795168804", "read"));
    take(pv_tui_take_message, AT("D", "three", "1795168803", "read"));
    assert_lines(c, "two three four five");
    take_of(pv_tui_take_history, "#crew",
            "{'messages':[" AT("A", "five", "1795168805", "read") "," AT(
                "B", "two", "1795168802", "read") "," AT("C", "four", "1795168804",
                                                         "read") "],"
                                                                 "'more':true}");
    assert_lines(c, "two three four five");
    drop_actions();
    /* The daemon's order goes on: before the line that came first. */
    assert_true(pv_tui_want_older(t, &t->convs[t->current]));
    assert_action(PV_TUI_OLDER, "#crew", "A");
    take_of(pv_tui_take_older, "#crew",
            "{'messages':[" AT("E", "six", "1795168806", "read") "," AT("F", "one", "1795168801",
                                                                        "read") "],'more':true}");
    assert_lines(c, "one two three four five six");
    assert_true(pv_tui_want_older(t, &t->convs[t->current]));
    assert_action(PV_TUI_OLDER, "#crew", "E");
}

/* p2pvpnd takes what came before a line as read, too, wherever it stands. */
PV_TEST(lines_of_a_room_are_read_in_the_order_in_which_they_came)
{
    take(pv_tui_take_rooms, "{'rooms':[{'room':'#crew','members':3}]}");
    open_of("#crew");
    struct pv_tui_conv *c = &t->convs[t->current];
    take(pv_tui_take_message, AT("A", "three", "1795168803", "unread"));
    take(pv_tui_take_message, AT("B", "one", "1795168801", "unread"));
    take(pv_tui_take_message, AT("C", "two", "1795168802", "unread"));
    assert_lines(c, "one two three");
    c->lines[1].shown = c->lines[2].shown = true; /* not B, which came before C */
    pv_tui_mark_read(t, c);
    assert_action(PV_TUI_READ, "#crew", "A");
    assert_int_equal(c->unread, 2);
    c->lines[0].shown = true;
    pv_tui_mark_read(t, c);
    assert_action(PV_TUI_READ, "#crew", "C");
    assert_int_equal(c->unread, 0);
}

static void assert_sent_to(const char *address, const char *text)
{
    struct pv_tui_action a;
    assert_ok(pv_tui_poll(t, &a));
    assert_int_equal(a.kind, PV_TUI_SEND);
    assert_string_equal(a.address, address);
    assert_string_equal(a.text, text);
    free(a.text);
}

/* A name may change hands while a line is typed, or waits for p2pvpnd. */
PV_TEST(a_line_is_for_who_had_the_name_when_it_was_typed)
{
    take(pv_tui_take_peers, "{'peers':[{'name':'pi','key':'" PI_KEY "'}]}");
    take(pv_tui_take_rooms, test_given("rooms room #crew address # one"));
    drop_actions();
    line("/msg pi for pi");
    line("/msg #crew for the first");
    take(pv_tui_take_peers, "{'peers':[{'name':'pi','key':'another'}]}");
    take(pv_tui_take_rooms, test_given("rooms room #crew one address"));
    assert_sent_to(PI_KEY, "for pi");
    assert_sent_to("#~one", "for the first");
    const struct pv_tui_conv *crew = &t->convs[pv_tui_find(t, "#crew", false)];
    assert_string_equal(crew->lines[crew->n_lines - 1].text, "#crew is another room from here on");
    /* One that was begun before is given back once. */
    line("/msg #crew for the second");
    assert_nothing_asked();
    assert_shows("note", t->note);
    pv_tui_key(t, PV_TUI_ENTER, 0);
    assert_sent_to("#~two", "for the second");
    line("/room create #crew"); /* is made, whatever has that name */
    struct pv_tui_action a;
    assert_ok(pv_tui_poll(t, &a));
    assert_string_equal(a.address, "");
    free(a.text);
}

/* The question was answered for another line: the one that was begun in the pane is asked about. */
PV_TEST(a_draft_for_the_former_machine_is_asked_about_by_itself)
{
    take(pv_tui_take_peers,
         "{'peers':[{'name':'pi','key':'" PI_KEY "'},{'name':'bob','key':'B'}]}");
    line("/open pi");
    type("for the old one");
    pv_tui_open(t, pv_tui_find(t, "bob", false));
    drop_actions();
    take(pv_tui_take_peers, test_given("peers pi key C former"));
    line("/msg pi hello");
    assert_nothing_asked();
    assert_shows("note", t->note);
    pv_tui_key(t, PV_TUI_ENTER, 0);
    assert_action(PV_TUI_SEND, "pi", "hello");
    line("/open pi");
    drop_actions();
    assert_string_equal(t->edit.text, "for the old one");
    pv_tui_key(t, PV_TUI_ENTER, 0);
    assert_nothing_asked();
    assert_shows("note", t->note);
}

/* In another network, whose machine always had the name. Lines pasted for the other one go
 * nowhere, and a line that was begun is given back once. */
PV_TEST(a_machine_of_another_network_gets_no_line_that_was_begun_before)
{
    take(pv_tui_take_peers, "{'peers':[{'name':'pi','key':'" PI_KEY "'}]}");
    open_of("pi");
    const struct pv_tui_conv *c = &t->convs[t->current];
    pv_tui_paste(t, "one\ntwo");
    assert_non_null(t->paste);
    take(pv_tui_take_peers, "{'peers':[{'name':'pi','key':'another'}]}");
    assert_string_equal(c->lines[c->n_lines - 1].text, "pi is another machine from here on");
    assert_null(t->paste);
    line("secret");
    assert_nothing_asked();
    assert_shows("note", t->note);
    assert_string_equal(t->edit.text, "secret");
    open_of("bob"); /* and back: it is still the same line */
    open_of("pi");
    pv_tui_key(t, PV_TUI_ENTER, 0);
    assert_sent_to("another", "secret");
    /* A line that is begun afterwards is for that one: asked once, as what tells of it may stand
     * out of view. */
    open_of("bob");
    take(pv_tui_take_peers, "{'peers':[{'name':'pi','key':'" PI_KEY "'}]}");
    open_of("pi");
    line("hello");
    assert_nothing_asked();
    assert_shows("note", t->note);
    pv_tui_key(t, PV_TUI_ENTER, 0);
    assert_sent_to(PI_KEY, "hello");
    line("and on");
    assert_sent_to(PI_KEY, "and on");
}

PV_TEST(rooms_are_conversations_with_unread_counts)
{
    take(pv_tui_take_rooms, test_given("rooms room #crew members left"));
    size_t crew = pv_tui_find(t, "#crew", false);
    assert_int_equal(crew, 1); /* before the peers */
    assert_int_equal(pv_tui_find(t, "#old", false), SIZE_MAX);
    take(pv_tui_take_message, ROOM_MSG("m1", "pi", "hello", "unread"));
    take(pv_tui_take_message, ROOM_MSG("m2", "alice", "hi \\u001b[31m", "unread"));
    assert_int_equal(t->convs[crew].unread, 2);
    assert_string_equal(t->convs[crew].lines[1].from, "alice");
    assert_null(strchr(t->convs[crew].lines[1].text, 0x1b));
    assert_int_equal(t->convs[pv_tui_find(t, "pi", false)].unread, 0);
    drop_actions();
    line("/open #crew");
    assert_action(PV_TUI_HISTORY, "#crew", "");
    draw(24, 80);
    assert_action(PV_TUI_READ, "#crew", "m2");
    line("good morning");
    assert_action(PV_TUI_SEND, "#crew", "good morning");
    line("/invite bob");
    assert_action(PV_TUI_INVITE, "#crew", "bob");
    line("/members");
    assert_action(PV_TUI_MEMBERS, "#crew", "");
    line("/open pi"); /* the answer is the room's, whatever is open when it comes */
    assert_action(PV_TUI_HISTORY, "pi", "");
    size_t said = t->convs[crew].n_lines;
    take(pv_tui_take_members, test_given("room #crew members pi online"));
    assert_int_equal(t->convs[crew].n_lines, said + 1);
    assert_has(t->convs[crew].lines[said].text, "online, chat to it is denied by rule 3");
    line("/open #crew");
    line("/mute");
    assert_action(PV_TUI_MUTE, "#crew", "");
    line("/unmute pi");
    assert_action(PV_TUI_UNMUTE, "pi", "");
    line("/leave");
    assert_action(PV_TUI_LEAVE, "#crew", "");
    const char *const bad[] = {"\xc3\x9cn\xc3\xaf", "-a", "#-a",
                               "a23456789012345678901234567890123", test_given("hex a23456789012")};
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++) {
        line(PV_STR("/room create %s", bad[i]));
        assert_nothing_asked();
        assert_shows("note", t->note);
        edit(PV_TUIEDIT_KILL_START);
    }
    line("/room create other");
    assert_action(PV_TUI_MAKE, "other", "");
    pv_tui_take_error(t, "no", &(struct pv_tui_action){.kind = PV_TUI_MAKE});
    edit(PV_TUIEDIT_KILL_START);
    line("/close");
    line("/invite bob"); /* into what? */
    edit(PV_TUIEDIT_KILL_START);
    assert_nothing_asked();
    assert_shows("note", t->note);
    line("/mute"); /* whom? */
    edit(PV_TUIEDIT_KILL_START);
    assert_string_equal(t->note, "no conversation is open: usage: /mute [NAME]");
    line("/mute nobody");
    edit(PV_TUIEDIT_KILL_START);
    assert_nothing_asked();
    line("send #crew see you");
    assert_int_equal(t->current, 0);
    line("/open #crew");
    drop_actions();
    assert_int_equal(t->current, crew);
    take(pv_tui_take_room, test_given("room #new what invited peer lap"));
    assert_true(pv_tui_find(t, "#new", false) != SIZE_MAX);
    assert_string_equal(t->note, "#new: lap was invited by pi");
}

void test_begin(void)
{
    setenv("TZ", "UTC", 1);
    tzset();
    if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
        test_skip_all("there is no locale C.UTF-8");
}

/* --- what is below, and what waits ------------------------------------------------------------ */

PV_TEST(a_line_below_the_window_is_counted_and_stays_unread)
{
    pv_tui_open(t, pv_tui_find(t, "pi", false));
    for (int i = 0; i < 60; i++) {
        take(pv_tui_take_message, PV_STR(MSG("%d", "pi", "lap", "line %d", "read"), i, i));
    }
    draw(13, 60);
    pv_tui_key(t, PV_TUI_PAGE_UP, 9);
    draw(13, 60);
    char top[sizeof(f->row)];
    snprintf(top, sizeof(top), "%s", row(1));
    drop_actions();
    take(pv_tui_take_message, MSG("N1", "pi", "lap", "one", "unread"));
    take(pv_tui_take_message, MSG("N2", "pi", "lap", "two\\nrows", "unread"));
    assert_nothing_asked(); /* to be marked as read */
    draw(13, 60);
    assert_string_equal(row(1), top); /* the window stays where it is */
    assert_has(row(11), "[2 new below: End]");
    /* A command goes down, and elsewhere: they were not shown. */
    line("/open bob");
    draw(13, 60);
    assert_action(PV_TUI_HISTORY, "bob", "");
    assert_nothing_asked();
    line("/open pi");
    draw(13, 60);
    assert_action(PV_TUI_READ, "pi", "N2");
    assert_has(row(10), "rows");
    assert_lacks(row(11), "below");
    assert_string_equal(t->convs[t->current].new_from, "N1");
    /* The next lines that come below are new in their turn. */
    pv_tui_key(t, PV_TUI_PAGE_UP, 9);
    draw(13, 60);
    take(pv_tui_take_message, MSG("N3", "pi", "lap", "three", "unread"));
    take(pv_tui_take_message, MSG("N4", "pi", "lap", "four", "unread"));
    assert_string_equal(t->convs[t->current].new_from, "N3");
    pv_tui_key(t, PV_TUI_END, 0);
    assert_nothing_asked();
    draw(13, 60);
    assert_action(PV_TUI_READ, "pi", "N4");
}

PV_TEST(a_file_that_is_offered_below_the_window_is_counted)
{
    open_of("pi");
    for (int i = 0; i < 60; i++)
        take(pv_tui_take_message, PV_STR(MSG("%d", "pi", "lap", "line %d", "read"), i, i));
    take(pv_tui_take_file, "{'file':" A_FILE("6", "K", "in", "pi", "offered") "}");
    draw(13, 60);
    pv_tui_key(t, PV_TUI_PAGE_UP, 9);
    draw(13, 60);
    assert_has(row(11), "[scrolled up: End]"); /* that one was on the screen */
    take(pv_tui_take_file, "{'file':" A_FILE("7", "L", "in", "pi", "offered") "}");
    draw(13, 60);
    assert_has(row(11), "[1 new below: End]");
    take(pv_tui_take_message, MSG("N", "pi", "lap", "look", "unread"));
    draw(13, 60);
    assert_has(row(11), "[2 new below: End]");
    pv_tui_key(t, PV_TUI_END, 0);
    draw(13, 60);
    assert_has(row(8), "/refuse 7");
    assert_lacks(row(11), "below");
}

/* Keys that come at once, as over a slow line. */
PV_TEST(a_conversation_that_keys_pass_over_is_not_read)
{
    take(pv_tui_take_message, MSG("A", "alice", "lap", "one", "unread"));
    take(pv_tui_take_message, MSG("B", "pi", "lap", "two", "unread"));
    pv_tui_key(t, PV_TUI_NEXT_UNREAD, 0);
    assert_string_equal(name_of_current(), "alice");
    pv_tui_key(t, PV_TUI_NEXT_UNREAD, 0);
    draw(13, 60);
    assert_action(PV_TUI_HISTORY, "alice", "");
    assert_action(PV_TUI_HISTORY, "pi", "");
    assert_action(PV_TUI_READ, "pi", "B");
    assert_nothing_asked();
    /* Its history comes meanwhile, and has one that is not told yet. */
    take_of(pv_tui_take_history, "alice",
            "{'messages':[" MSG("A", "alice", "lap", "one",
                                "unread") "," MSG("C", "alice", "lap", "three", "unread") "]}");
    assert_int_equal(t->convs[pv_tui_find(t, "alice", false)].unread, 2);
    take(pv_tui_take_message, MSG("C", "alice", "lap", "three", "unread"));
    assert_int_equal(t->convs[pv_tui_find(t, "alice", false)].unread, 2);
}

PV_TEST(a_line_that_comes_to_a_screen_too_small_for_it_stays_unread)
{
    pv_tui_open(t, pv_tui_find(t, "pi", false));
    draw(3, 10);
    drop_actions();
    take(pv_tui_take_message, MSG("N1", "pi", "lap", "one", "unread"));
    draw(3, 10);
    assert_nothing_asked();
    draw(13, 60);
    assert_has(row(10), "pi: one");
    assert_action(PV_TUI_READ, "pi", "N1");
}

PV_TEST(a_user_who_sends_a_line_sees_it)
{
    pv_tui_open(t, pv_tui_find(t, "pi", false));
    t->convs[t->current].scroll = 40;
    take(pv_tui_take_message, MSG("N1", "pi", "lap", "one", "unread"));
    drop_actions();
    line("mine");
    assert_int_equal(t->convs[t->current].scroll, 0);
    draw(13, 60);
    assert_action(PV_TUI_SEND, "pi", "mine");
    assert_action(PV_TUI_READ, "pi", "N1");
}

PV_TEST(a_line_that_waits_for_the_daemon_is_shown_and_not_lost_at_the_end_without_a_word)
{
    struct pv_tui_action a;
    open_of("pi");
    pv_tui_take_loss(t);
    line("into the dark");
    draw(12, 80);
    assert_string_equal(row(0), " pi");
    assert_has(row(9), "\xc2\xb7  lap: into the dark");
    assert_has(row(10), PV_TUI_LOST);
    assert_lacks(row(2), "direct");
    line("/exit");
    assert_int_not_equal(t->leave, PV_TUI_ENDED);
    assert_has(t->note, "1 line is not sent");
    line("/help"); /* something else: the question is over */
    line("/exit");
    assert_int_not_equal(t->leave, PV_TUI_ENDED);
    pv_tui_take_return(t);
    while (pv_tui_poll(t, &a) == PV_OK && a.kind != PV_TUI_SEND)
        free(a.text);
    assert_string_equal(a.text, "into the dark");
    free(a.text);
    draw(12, 80);
    for (size_t i = 0; i < 12; i++)
        assert_lacks(row(i), "into the dark"); /* until the daemon says it */
    line("/exit");
    assert_int_equal(t->leave, PV_TUI_ENDED);
}

PV_TEST(ctrl_c_asks_where_a_line_was_begun)
{
    type("half a th");
    pv_tui_key(t, PV_TUI_QUIT, 0);
    assert_int_not_equal(t->leave, PV_TUI_ENDED);
    assert_has(t->note, "a line is not sent");
    pv_tui_key(t, PV_TUI_CHAR, L'i'); /* the person goes on: that was the answer */
    assert_string_equal(t->note, "");
    pv_tui_key(t, PV_TUI_QUIT, 0);
    assert_int_not_equal(t->leave, PV_TUI_ENDED);
    pv_tui_paste(t, "ng");
    pv_tui_key(t, PV_TUI_QUIT, 0);
    assert_int_not_equal(t->leave, PV_TUI_ENDED);
    pv_tui_key(t, PV_TUI_QUIT, 0);
    assert_int_equal(t->leave, PV_TUI_ENDED);
}

/* A daemon that hangs took none of the lines. */
PV_TEST(the_end_is_asked_for_once_more_where_lines_are_left)
{
    line("/exit");
    assert_int_equal(t->leave, PV_TUI_ENDED);
    pv_tui_ask_again(t);
    assert_has(t->note, "p2pvpnd does not answer");
    line("/exit");
    assert_int_equal(t->leave, PV_TUI_ENDED);
}

PV_TEST(words_are_passed_and_cut)
{
    struct pv_tuiedit *e = &t->edit;
    type("one two  three");
    edit(PV_TUIEDIT_WORD_LEFT);
    edit(PV_TUIEDIT_WORD_LEFT);
    edit(PV_TUIEDIT_DELETE_WORD);
    assert_string_equal(e->text, "one   three");
    edit(PV_TUIEDIT_WORD_RIGHT);
    assert_int_equal(e->cursor, e->len);
}

PV_TEST(a_text_that_was_cut_comes_back)
{
    struct pv_tuiedit *e = &t->edit;
    edit(PV_TUIEDIT_YANK); /* nothing was */
    type("a long line with \xc3\xbc");
    edit(PV_TUIEDIT_KILL_START);
    edit(PV_TUIEDIT_KILL_WORD); /* of an empty line takes nothing away */
    edit(PV_TUIEDIT_YANK);
    assert_string_equal(e->text, "a long line with \xc3\xbc");
    edit(PV_TUIEDIT_KILL_WORD);
    edit(PV_TUIEDIT_HOME);
    edit(PV_TUIEDIT_YANK);
    edit(PV_TUIEDIT_YANK);
    assert_string_equal(e->text, "\xc3\xbc\xc3\xbc"
                                 "a long line with ");
    /* A line that is full takes all of it or nothing. */
    edit(PV_TUIEDIT_END);
    while (e->len < PV_TUIEDIT_MAX)
        pv_tui_key(t, PV_TUI_CHAR, L'x');
    edit(PV_TUIEDIT_YANK);
    assert_int_equal(e->len, PV_TUIEDIT_MAX);
}

PV_TEST(ctrl_d_takes_a_character_and_ends_an_empty_line)
{
    type("ab");
    pv_tui_key(t, PV_TUI_EOF, 0); /* there is none under the cursor */
    assert_string_equal(t->edit.text, "ab");
    edit(PV_TUIEDIT_HOME);
    pv_tui_key(t, PV_TUI_EOF, 0);
    assert_string_equal(t->edit.text, "b");
    pv_tui_key(t, PV_TUI_EOF, 0);
    assert_int_not_equal(t->leave, PV_TUI_ENDED);
    pv_tui_key(t, PV_TUI_EOF, 0);
    assert_int_equal(t->leave, PV_TUI_ENDED);
}

/* An address, a key or a long name is no second conversation. */
PV_TEST(a_machine_opened_by_its_address_is_shown_where_its_lines_go)
{
    static const char *const words[] = {"/open 10.66.0.3", "/open bob.home.p2p", "/open key:AbCd"};
    take(pv_tui_take_peers, test_given("peers bob online ip4"));
    for (size_t i = 0; i < PV_ARRAY_LEN(words); i++) {
        line(words[i]);
        if (i == 0)
            assert_action(PV_TUI_HISTORY, "bob", "");
        if (i == 2) { /* only the daemon knows keys */
            assert_action(PV_TUI_FORMER, "key:AbCd", "");
            take_of(pv_tui_take_former, "key:AbCd",
                    "{'messages':[" MINE("m1", "bob", "hi", "read") "]}");
            assert_int_equal(t->convs[t->current].n_lines, 1);
        }
        assert_string_equal(name_of_current(), "bob");
        assert_int_equal(t->n_convs, 2); /* the others are gone */
        assert_nothing_asked();
        pv_tui_open(t, 0);
    }
}

#define BOB_KEY "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"

PV_TEST(a_line_is_sent_by_every_word_that_opens)
{
    take(pv_tui_take_peers, test_given("peers pi online bob online ip4"));
    take(pv_tui_take_rooms, test_given("rooms room #crew members room 2"));
    static const char *const words[][2] = {
        {"/msg 10.66.0.3 hi", "bob"},         {"/msg #CREW~AbCd hi", "#crew~AbCd"},
        {"send #crew~abcd hi", "#crew~abcd"}, {"/msg bob.home.p2p hi", "bob"},
        {"/msg bob.home hi", "bob"},          {"/msg Bob hi", "bob"},
        {"send bob.home.p2p hi", "bob"},      {"/msg #Crew hi", "#crew"}};
    for (size_t i = 0; i < PV_ARRAY_LEN(words); i++) {
        line(words[i][0]);
        assert_action(PV_TUI_SEND, words[i][1], "hi");
    }
    line("/msg 10.66.0.4 hi");
    assert_has(t->note, "no peer or room named 10.66.0.4");
    edit(PV_TUIEDIT_KILL_START);
    line("/msg crew hi"); /* perhaps for a machine that is gone */
    assert_string_equal(t->note, "crew is a room: /msg #crew TEXT");
    assert_nothing_asked();
    edit(PV_TUIEDIT_KILL_START);
    open_of("pi");
    /* No sentence begins so. */
    static const char *const addresses[] = {"send 10.66.0.3 hi", "send FD00:0::3 hi",
                                            "send " BOB_KEY " hi", "/msg " BOB_KEY " hi"};
    for (size_t i = 0; i < PV_ARRAY_LEN(addresses); i++) {
        line(addresses[i]);
        assert_action(PV_TUI_SEND, "bob", "hi");
    }
    static const char *const nobody[] = {"send bob.work hi", "send Bob.work.p2p hi",
                                         "send 10.66.0.4 hi", "send key:AbCd hi"};
    for (size_t i = 0; i < PV_ARRAY_LEN(nobody); i++) {
        line(nobody[i]);
        assert_nothing_asked();
        assert_has(t->note, "no peer or room named ");
        assert_string_equal(t->edit.text, nobody[i]);
        edit(PV_TUIEDIT_KILL_START);
    }
    line("send 3.5 mm");
    assert_action(PV_TUI_SEND, "pi", "send 3.5 mm");
    open_of("bob");
    line("send crew hi"); /* a text: nobody has this name */
    assert_action(PV_TUI_SEND, "bob", "send crew hi");
}

/* --- files for a room ------------------------------------------------------------------------ */

static struct pv_tui_conv *crew(void)
{
    return &t->convs[pv_tui_find(t, "#crew", true)];
}

/* Asks who is there, as /send-file in a room does, and has the answer. */
static void offer_to_crew(const char *members)
{
    struct pv_tui_action a;
    json_t *body = json_of(members);
    line("/send-file ~/a.txt");
    assert_ok(pv_tui_poll(t, &a));
    assert_int_equal(a.kind, PV_TUI_SEND_FILE);
    assert_string_equal(a.peer, "#crew");
    pv_tui_take_present(t, &a, "a.txt", 2048, body);
    json_decref(body);
    free(a.text);
}

#define IN_ROOM(id, transfer, direction, peer, state)                                  \
    "{'id':" id ",'transfer':'" transfer "','direction':'" direction "','peer':'" peer \
    "','name':'a.txt','size':2048,'room':'#crew','state':'" state "'}"

PV_TEST(a_file_for_a_room_is_one_line_with_how_many_took_it)
{
    pv_tui_open(t, (size_t)(crew() - t->convs));
    drop_actions();
    offer_to_crew(test_given("members of #crew"));
    assert_action(PV_TUI_SEND, "#crew", OFFERS);
    take(pv_tui_take_sent, "{'online':true,'message':" MY_OFFER("L") "}");
    assert_action(PV_TUI_FILES, "", "");
    struct pv_tui_action a;
    static const char *const to[] = {"pi", "alice"};
    for (size_t i = 0; i < PV_ARRAY_LEN(to); i++) {
        assert_ok(pv_tui_poll(t, &a));
        assert_int_equal(a.kind, PV_TUI_SEND_FILE);
        assert_string_equal(a.peer, to[i]);
        assert_string_equal(a.id, "L");
        assert_string_equal(a.room, "#crew");
        assert_string_equal(a.text, "~/a.txt");
        if (i == 1) /* a rule keeps it from her: that stands in the room */
            pv_tui_take_error(t, "files to alice is denied by rule 2", &a);
        free(a.text);
    }
    assert_nothing_asked();
    assert_string_equal(crew()->lines[1].text, "files to alice is denied by rule 2");
    take(pv_tui_take_file, "{'file':" IN_ROOM("1", "L", "out", "pi", "offered") "}");
    assert_action(PV_TUI_FILES, "", "");
    take(pv_tui_take_files, "{'files':[" IN_ROOM("1", "L", "out", "pi", "offered") "]}");
    assert_string_equal(crew()->lines[0].text, OFFERS);
    assert_string_equal(pv_tui_told_of(&crew()->lines[0]), "0 of 1 took it");
    take(pv_tui_take_files,
         "{'files':[" IN_ROOM("1", "L", "out", "pi", "done") "," IN_ROOM(
             "2", "L", "out", "bob", "refused") "," IN_ROOM("3", "M", "out", "pi", "done") "]}");
    assert_string_equal(crew()->lines[0].text, OFFERS);
    assert_string_equal(pv_tui_told_of(&crew()->lines[0]), "1 of 2 took it");
    assert_int_equal(crew()->n_lines, 2);
    assert_int_equal(t->convs[pv_tui_find(t, "pi", false)].n_lines, 0);
}

/* All lines but those of the one that is shown are forgotten when p2pvpnd comes back. */
PV_TEST(a_file_for_a_room_that_the_daemon_lost_is_not_told_where_its_receiver_is)
{
    pv_tui_open(t, (size_t)(crew() - t->convs));
    const struct pv_tui_conv *pi = &t->convs[pv_tui_find(t, "pi", false)];
    take(pv_tui_take_message, MY_OFFER("L"));
    take(pv_tui_take_offered, "{'file':" IN_ROOM("1", "L", "out", "pi", "offered") "}");
    pv_tui_open(t, (size_t)(pi - t->convs));
    pv_tui_take_loss(t);
    pv_tui_take_return(t);
    take(pv_tui_take_files, test_given("files, L is to be offered again"));
    assert_int_equal(pi->n_lines, 0);
    take_of(pv_tui_take_history, "#crew", "{'messages':[" MY_OFFER("L") "]}");
    take(pv_tui_take_files, test_given("files, L is to be offered again"));
    assert_shows("pv_tui_told_of crew lines 0", pv_tui_told_of(&crew()->lines[0]));
    assert_int_equal(pi->n_lines, 0);
}

PV_TEST(a_line_that_offers_a_file_says_that_the_daemon_lost_it)
{
    pv_tui_open(t, (size_t)(crew() - t->convs));
    take(pv_tui_take_message, MY_OFFER("L"));
    take(pv_tui_take_files, test_given("files transfer L direction out"));
    assert_shows("pv_tui_told_of crew lines 0", pv_tui_told_of(&crew()->lines[0]));
}

PV_TEST(a_file_for_a_room_where_nobody_is_there_is_not_announced)
{
    pv_tui_open(t, (size_t)(crew() - t->convs));
    drop_actions();
    offer_to_crew(test_given("members lap online self"));
    assert_nothing_asked();
    assert_string_equal(t->note, "#crew has no other members: invite one first");
    offer_to_crew(test_given("members lap online self pi"));
    assert_nothing_asked();
    assert_shows("note", t->note);
    offer_to_crew(test_given("down members pi online"));
    assert_nothing_asked();
    assert_shows("note", t->note);
    /* A line that could not be said is not given back to be typed: the file goes to nobody. */
    offer_to_crew(test_given("members of #crew"));
    struct pv_tui_action a;
    assert_ok(pv_tui_poll(t, &a));
    pv_tui_take_error(t, "perhaps not sent", &a);
    free(a.text);
    assert_string_equal(t->edit.text == NULL ? "" : t->edit.text, "");
    take(pv_tui_take_sent, "{'online':true,'message':" MY_OFFER("L") "}");
    assert_action(PV_TUI_FILES, "", "");
    assert_nothing_asked();
}

/* The offer comes before the line, and is then told where the line is. */
PV_TEST(a_file_of_a_room_is_accepted_where_it_was_offered)
{
    const struct pv_tui_conv *c = crew();
    size_t pi = pv_tui_find(t, "pi", false);
#define OFFERED IN_ROOM("7", "L", "in", "pi", "offered")
    take(pv_tui_take_file, "{'file':" OFFERED "}");
    assert_int_equal(t->convs[pi].n_lines, 0);
    assert_int_equal(c->n_lines, 1);
    take(pv_tui_take_message, OF_ROOM("L", "pi", OFFERS));
    assert_action(PV_TUI_FILES, "", "");
    take(pv_tui_take_files, "{'files':[" OFFERED "]}");
    assert_int_equal(c->n_lines, 1);
    assert_string_equal(pv_tui_told_of(&c->lines[0]), "/accept 7, /refuse 7");
    assert_int_equal(t->convs[pi].n_lines, 0);
    take(pv_tui_take_file, "{'file':" IN_ROOM("7", "L", "in", "pi", "done") "}");
    assert_action(PV_TUI_FILES, "", "");
    assert_int_equal(t->convs[pi].n_lines, 0);
    take(pv_tui_take_files, "{'files':[" IN_ROOM("7", "L", "in", "pi", "done") "]}");
    assert_string_equal(pv_tui_told_of(&crew()->lines[0]), "/get 7");
}

/* The line may have been read long ago, or come later: the room is known without it, and where the
 * line is there is no notice. */
PV_TEST(a_file_of_a_room_without_its_line_is_told_in_the_room)
{
    const struct pv_tui_conv *c = crew();
    const size_t pi = pv_tui_find(t, "pi", true);
    open_of("alice");
    take(pv_tui_take_files, "{'files':[" IN_ROOM("7", "L", "in", "pi", "offered") "]}");
    assert_int_equal(t->convs[pi].n_lines, 0);
    assert_int_equal(c->n_lines, 1);
    assert_int_equal(c->offers, 1);
    assert_shows("lines 0 text", c->lines[0].text);
    assert_string_equal(t->note, "a file of pi: /open #crew");
    take(pv_tui_take_message, OF_ROOM("L", "pi", OFFERS));
    take(pv_tui_take_files, "{'files':[" IN_ROOM("7", "L", "in", "pi", "offered") "]}");
    assert_int_equal(c->n_lines, 1);
    assert_int_equal(c->offers, 0);
    assert_string_equal(pv_tui_told_of(&c->lines[0]), "/accept 7, /refuse 7");
    assert_string_equal(t->note, "a file of pi: /open #crew");
    /* In a line that says another it is not told, but in its room. */
    take(pv_tui_take_file, "{'file':" IN_ROOM("8", "K", "in", "pi", "done") "}");
    assert_string_equal(c->lines[1].text, "a.txt of pi has arrived: /get 8");
    take(pv_tui_take_message, OF_ROOM("M", "pi", "hi"));
    take(pv_tui_take_file, "{'file':" IN_ROOM("9", "M", "in", "pi", "offered") "}");
    take(pv_tui_take_files, "{'files':[" IN_ROOM("9", "M", "in", "pi", "offered") "]}");
    assert_string_equal(c->lines[2].text, "hi");
    assert_shows("lines 3 text", c->lines[3].text);
    assert_int_equal(t->convs[pi].n_lines, 0);
}

/* A line of one room does not take what its sender offers in another one. */
PV_TEST(a_file_is_told_in_no_line_of_another_room)
{
    take(pv_tui_take_message, test_given("L from pi #team room #team text"));
    take(pv_tui_take_files, "{'files':[" IN_ROOM("7", "L", "in", "pi", "offered") "]}");
    assert_string_equal(t->convs[pv_tui_find(t, "#team", false)].lines[0].text, OFFERS);
    assert_shows("crew lines 0 text", crew()->lines[0].text);
}

/* Where does a character of a row stand, the first that is no blank behind the time? */
static const struct pv_tui_cell *behind_time(size_t n)
{
    size_t i = n * f->screen.cols + sizeof("10:00") - 1;
    while (f->screen.cells[i].ch[0] == L' ')
        i++;
    return &f->screen.cells[i];
}

/* A member writes what it likes: by the numbers in its text another's file would be accepted. */
PV_TEST(no_text_looks_like_what_is_told_of_a_file)
{
    char *text = NULL;
    size_t len = 0;
    take(pv_tui_take_message, OF_ROOM("L", "pi", OFFERS));
    take(pv_tui_take_files, "{'files':[" OFFERED "]}");
    take(pv_tui_take_message, OF_ROOM("M", "bob", OFFERS ": /accept 1, /refuse 1"));
    take(pv_tui_take_message, OF_ROOM("N", "bob", OFFERS "\\n10:00 /accept 1, /refuse 1"));
    open_of("#crew");
    pv_tui_key(t, PV_TUI_ROSTER, 0);
    assert_screen(12, 100);
    assert_int_equal(behind_time(6)->attr, PV_TUI_DIM);
    assert_int_equal(behind_time(9)->attr, 0);
    /* It is seen as often as it is drawn, on any screen. */
    for (size_t cols = PV_TUI_MIN_COLS + 8; cols < 120; cols++) {
        bool seen = false;
        draw(30, cols);
        for (size_t i = 1; i < 28; i++)
            seen = seen || strcmp(row(i), "10:00 /accept 7, /refuse 7") == 0;
        assert_true(seen);
    }
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    pv_tui_print(t, 500, out);
    fclose(out);
    assert_shows("text", text);
    free(text);
}

PV_TEST(the_window_stays_when_a_file_is_told_below_it)
{
    char top[sizeof(f->row)];
    for (int i = 0; i < 60; i++)
        take(pv_tui_take_message, PV_STR(ROOM_MSG("%d", "pi", "line %d", "read"), i, i));
    open_of("#crew");
    draw(13, 60);
    pv_tui_key(t, PV_TUI_PAGE_UP, 9);
    draw(13, 60);
    snprintf(top, sizeof(top), "%s", row(1));
    take(pv_tui_take_message, OF_ROOM("L", "pi", OFFERS));
    for (int i = 0; i < 2; i++) {
        draw(13, 60);
        take(pv_tui_take_files, "{'files':[" OFFERED "]}");
        draw(13, 60);
        assert_string_equal(row(1), top);
    }
}

/* A member that gives its file the name of another's line hides nothing by it. */
PV_TEST(a_file_is_told_in_no_line_of_somebody_else)
{
    take(pv_tui_take_message, OF_ROOM("L", "pi", OFFERS));
    take(pv_tui_take_message, MY_OFFER("M"));
    drop_actions();
#define FROM_ALICE(id, transfer) IN_ROOM(id, transfer, "in", "alice", "offered")
    take(pv_tui_take_file, "{'file':" FROM_ALICE("8", "L") "}");
    take(pv_tui_take_file, "{'file':" FROM_ALICE("9", "M") "}");
    take(pv_tui_take_files, "{'files':[" FROM_ALICE("8", "L") "," FROM_ALICE("9", "M") "]}");
    assert_int_equal(t->convs[pv_tui_find(t, "alice", false)].n_lines, 0);
    assert_int_equal(crew()->n_lines, 4);
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(crew()->lines[i].text, OFFERS);
        assert_null(pv_tui_told_of(&crew()->lines[i]));
        assert_string_equal(
            crew()->lines[i + 2].text,
            PV_STR("alice offers a.txt (2.0 KiB): /accept %zu, /refuse %zu", i + 8, i + 8));
    }
}

/* Only a line that says the name and size of the file takes it: a member that writes one thing and
 * offers another is told where it is, with what it offers. */
PV_TEST(a_file_is_told_in_no_line_that_says_another)
{
    const char *const lines[] = {
        "hi",
        test_given("me offers cat.jpg KiB those"),
        test_given("me offers a.txt KiB those who"),
        test_given("me offers a.txt KiB those who 2"),
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(lines); i++) {
        const char *file = PV_STR(IN_ROOM("%zu", "L%zu", "in", "pi", "offered"), i + 1, i);
        take(pv_tui_take_message, PV_STR(OF_ROOM("L%zu", "pi", "%s"), i, lines[i]));
        take(pv_tui_take_file, PV_STR("{'file':%s}", file));
        take(pv_tui_take_files, PV_STR("{'files':[%s]}", file));
        const struct pv_tui_conv *c = crew();
        assert_int_equal(c->n_lines, 2 * i + 2);
        assert_string_equal(c->lines[2 * i].text, lines[i]);
        assert_string_equal(
            c->lines[2 * i + 1].text,
            PV_STR("pi offers a.txt (2.0 KiB): /accept %zu, /refuse %zu", i + 1, i + 1));
    }
}

/* The name is another machine's by now: its file is none of that line. */
PV_TEST(a_file_is_told_in_no_line_of_whoever_had_its_senders_name_before)
{
    take(pv_tui_take_message, ROOM_MESSAGE("L", "pi", OFFERS, "read", ",'from_former':'AbCdEf'"));
    take(pv_tui_take_file, "{'file':" OFFERED "}");
    take(pv_tui_take_files, "{'files':[" OFFERED "]}");
    assert_string_equal(crew()->lines[0].text, OFFERS);
    assert_shows("crew lines 1 text", crew()->lines[1].text);
}

/* --- the screen ------------------------------------------------------------------------------ */

PV_TEST(the_usual_screen)
{
    pv_tui_open(t, pv_tui_find(t, "pi", false));
    take(pv_tui_take_message, MSG("A", "pi", "lap", "hello", "unread"));
    take(pv_tui_take_message, MINE("B", "pi", "gr\\u00fc\\u00dfe \\u4f60\\u597d", "read"));
    take(pv_tui_take_message, MINE("C", "pi", "two\\nlines\\u001b[31m", "queued"));
    take(pv_tui_take_message, MSG("D", "alice", "lap", "psst", "unread"));
    type("typing \xe4\xbd\xa0");
    t->now = 1795168800 + 240;
    assert_screen(24, 80);
    assert_screen(24, 40);
    assert_screen(12, 80);
    assert_int_equal(f->screen.cursor_row, 11);
    assert_int_equal(f->screen.cursor_col, 11);
}

/* The name of a machine and a text that is nobody's word are what others like. */
PV_TEST(an_unproven_text_of_a_long_name_is_shown_on_any_screen)
{
#define LONG "machine-of-the-kitchen-upstairs-behind-the-old-stairs-no-42-ab"
    take(pv_tui_take_peers, "{'peers':[" PEER(LONG, "true", "direct", "1") "]}");
    take(pv_tui_take_message,
         MESSAGE("C", LONG, "lap", "\\u0301hello", "unread", ",'unproven':true"));
    open_of(LONG);
    for (size_t cols = PV_TUI_MIN_COLS; cols < 120; cols++) {
        bool seen = false;
        draw(8, cols);
        for (size_t i = 0; i < 8; i++)
            seen =
                seen || (strstr(row(i), "hello") != NULL &&
                         (strstr(row(i), "?mach") != NULL || strstr(row(i), "'s machine") != NULL));
        assert_true(seen);
    }
#undef LONG
}

PV_TEST(news_and_deeds_and_their_authors_are_seen)
{
    take(pv_tui_take_message, MSG("A", "pi", "lap", "seen", "read"));
    take(pv_tui_take_message, MSG("B", "pi", "lap", "/me waves", "unread"));
    take(pv_tui_take_message, MESSAGE("C", "pi", "lap", "hi", "unread", ",'unproven':true"));
    pv_tui_open(t, pv_tui_find(t, "pi", false));
    draw(12, 60);
    static const char *const want[] = {
        "10:00     pi: seen",
        "-- new since 10:00 --",
        "10:00    * pi waves",
        "│ ?pi: hi",
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(want); i++) {
        const char *got = row(6 + i);
        assert_has(got, want[i]);
    }
    draw(12, 100);
    assert_has(row(9), "10:00    somebody on pi's machine: hi");
    take(pv_tui_take_sent, "{'message':" MINE("D", "pi", "so", "sent") ",'online':true}");
    draw(12, 60);
    for (size_t i = 0; i < 12; i++)
        assert_lacks(row(i), "new since");
    /* Two names have two colours, and one's own none. */
    const struct pv_tui_cell *c = f->screen.cells;
    unsigned coloured = 0;
    for (size_t i = 0; i < f->screen.rows * f->screen.cols; i++)
        coloured += c[i].colour != 0;
    assert_in_range(coloured, 6, 60);
}

/* In a room of many two of one colour are seldom. */
PV_TEST(many_names_have_more_than_six_colours)
{
    bool seen[PV_TUI_COLOURS + 1] = {false};
    unsigned n = 0;
    for (int i = 0; i < 30; i++)
        take(pv_tui_take_message, PV_STR(ROOM_MSG("%d", "node%d", "hi", "read"), i, i));
    pv_tui_open(t, pv_tui_find(t, "#crew", false));
    draw(40, 80);
    for (size_t i = 0; i < f->screen.rows * f->screen.cols; i++)
        seen[f->screen.cells[i].colour] = true;
    for (size_t i = 1; i <= PV_TUI_COLOURS; i++)
        n += seen[i];
    assert_in_range(n, 8, PV_TUI_COLOURS);
}

#define SAID(id, text) ROOM_MSG(id, "pi", text, "unread")

/* Is a cell of a row with this character in both? */
static bool stands_out(size_t n, wchar_t first)
{
    for (size_t i = 0; i < f->screen.cols; i++) {
        const struct pv_tui_cell *c = &f->screen.cells[n * f->screen.cols + i];
        if (c->ch[0] == first)
            return (c->attr & PV_TUI_WARN) != 0 && (c->attr & PV_TUI_BOLD) != 0;
    }
    return false;
}

PV_TEST(a_line_with_ones_own_name_stands_out)
{
    take(pv_tui_take_message, SAID("A", "=the laptop, overlap, lap2"));
    assert_false(t->convs[pv_tui_find(t, "#crew", false)].named);
    take(pv_tui_take_message, SAID("B", "@Lap: look"));
    assert_string_equal(t->note, "pi mentions you in #crew");
    size_t crew = pv_tui_find(t, "#crew", false);
    assert_true(t->convs[crew].named);
    pv_tui_open(t, crew);
    draw(12, 80);
    assert_false(stands_out(8, L'='));
    assert_true(stands_out(9, L'@'));
    assert_false(t->convs[crew].named); /* it was seen */
}

PV_TEST(a_key_hides_the_names)
{
    pv_tui_open(t, pv_tui_find(t, "pi", false));
    take(pv_tui_take_message, MSG("A", "pi", "lap", "hello", "unread"));
    pv_tui_key(t, PV_TUI_ROSTER, 0);
    draw(12, 80);
    assert_string_equal(row(9), "10:00     pi: hello");
    pv_tui_key(t, PV_TUI_ROSTER, 0);
    draw(12, 80);
    assert_has(row(9), "│ 10:00     pi: hello");
}

PV_TEST(the_title_says_when_somebody_was_there_last)
{
    take(pv_tui_take_peers, test_given("peers bob online last_seen path"));
    pv_tui_open(t, pv_tui_find(t, "bob", false));
    t->now = 1795168800 + 7200;
    draw(12, 80);
    assert_string_equal(row(0), " bob  offline, seen 2h 0m ago");
}

/* Not broken, and without anything beside them. */
PV_TEST(lines_are_printed_whole)
{
    char *text = NULL, want[600], url[400];
    size_t len = 0;
    memset(url, 'u', sizeof(url));
    url[sizeof(url) - 1] = '\0';
    snprintf(want, sizeof(want), MSG("B", "pi", "lap", "https://%s", "unread"), url);
    take(pv_tui_take_message, MINE("A", "pi", "/me looks", "read"));
    take(pv_tui_take_message, want);
    pv_tui_open(t, pv_tui_find(t, "pi", false));
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    pv_tui_print(t, 500, out);
    fclose(out);
    snprintf(want, sizeof(want), "10:00 * lap looks\n10:00 pi: https://%s\n", url);
    assert_string_equal(text, want);
    free(text);
    /* Help has a line about /me, which is nobody's deed. */
    line("/help");
    out = open_memstream(&text, &len);
    assert_non_null(out);
    pv_tui_print(t, 500, out);
    fclose(out);
    assert_has(text, "/me TEXT");
    free(text);
}

PV_TEST(a_search_goes_to_what_is_older)
{
    size_t pi = pv_tui_find(t, "pi", false);
    for (int i = 0; i < 60; i++) {
        take(pv_tui_take_message, PV_STR(MSG("%d", "pi", "lap", "line %d%s", "read"), i, i,
                                         i % 25 == 3 ? " Needle" : ""));
    }
    pv_tui_open(t, pi);
    drop_actions();
    static const char *const found[] = {"line 53 Needle", "line 28 Needle", "line 3 Needle"};
    for (size_t k = 0; k < PV_ARRAY_LEN(found); k++) {
        bool seen = false;
        line("/search needle");
        draw(13, 50);
        for (size_t i = 0; i < 13; i++)
            seen = seen || strstr(row(i), found[k]) != NULL;
        assert_true(seen);
    }
    line("/search needle");
    assert_has(t->note, "nothing older has 'needle'");
    assert_nothing_asked(); /* nobody was sent the word */
    /* Another word is looked for among the newest again. */
    line("/search line 53");
    assert_int_equal(t->convs[pi].found, 54);
    line("/search line 5");
    assert_int_equal(t->convs[pi].found, 60);
    line("/search line 5");
    assert_int_equal(t->convs[pi].found, 59);
}

/* Older pages are asked for, one after the other, until the word is found or a command is typed. */
PV_TEST(a_search_goes_on_in_history_that_is_not_here)
{
    pv_tui_open(t, pv_tui_find(t, "pi", false));
    drop_actions();
    take_of(pv_tui_take_history, "pi",
            "{'more':true,'messages':[" MSG("D", "pi", "lap", "needle", "read") "]}");
    const struct pv_tui_conv *c = &t->convs[t->current];
    line("/search needle");
    assert_int_equal(c->found, 1);
    assert_nothing_asked();
    line("/search needle");
    assert_action(PV_TUI_OLDER, "pi", "D");
    assert_has(t->note, "looking further back for \"needle\"");
    take_of(pv_tui_take_older, "pi",
            "{'more':true,'messages':[" MSG("C", "pi", "lap", "hay", "read") "]}");
    assert_int_equal(c->found, 2); /* the same line */
    assert_action(PV_TUI_OLDER, "pi", "C");
    take_of(pv_tui_take_older, "pi",
            "{'more':true,'messages':[" MSG("A", "pi", "lap", "needle", "read") "," MSG(
                "B", "pi", "lap", "more hay", "read") "]}");
    assert_nothing_asked();
    assert_int_equal(c->found, 1);
    assert_true(c->show_found);
    assert_string_equal(t->note, "");
    line("/search needle");
    assert_action(PV_TUI_OLDER, "pi", "A");
    line("/search"); /* another command ends it */
    take_of(pv_tui_take_older, "pi",
            "{'more':true,'messages':[" MSG("0", "pi", "lap", "hay", "read") "]}");
    assert_nothing_asked();
    edit(PV_TUIEDIT_KILL_START);
    line("/search needle");
    assert_action(PV_TUI_OLDER, "pi", "0");
    take_of(pv_tui_take_older, "pi", "{'messages':[]}");
    assert_string_equal(t->note, "nothing older has \"needle\"");
    assert_nothing_asked();
}

/* A peer chooses when a notice of its file goes to the line that says it. */
PV_TEST(a_search_goes_on_when_lines_have_gone)
{
#define THE_NEEDLE                                                                     \
    "{'id':7,'transfer':'L','direction':'in','peer':'pi','name':'needle','size':2048," \
    "'room':'#crew','state':'offered'}"
    take(pv_tui_take_message, ROOM_MSG("m", "pi", "an older needle", "read"));
    take(pv_tui_take_file, "{'file':" THE_NEEDLE "}");
    pv_tui_open(t, pv_tui_find(t, "#crew", false));
    struct pv_tui_conv *c = &t->convs[t->current];
    line("/search needle");
    assert_int_equal(c->found, 2);
    take(pv_tui_take_message, test_given("L from pi #crew room #crew text"));
    take(pv_tui_take_files, "{'files':[" THE_NEEDLE "]}");
    c = &t->convs[t->current];
    assert_int_equal(c->n_lines, 2);
    assert_true(c->found <= c->n_lines);
    draw(13, 50);
    line("/search needle");
    assert_in_range(c->found, 1, 2);
    draw(13, 50);
}

/* --- links ------------------------------------------------------------------------------------ */

PV_TEST(addresses_of_the_web_are_found_without_what_ends_a_sentence)
{
    static const struct {
        const char *text, *address; /* NULL: none */
    } rows[] = {
        {"see https://a.org/b?c=1#d.", "https://a.org/b?c=1#d"},
        {"(https://a.org/b_(c))", "https://a.org/b_(c)"},
        {"(https://a.org/b), and", "https://a.org/b"},
        {"HTTP://A.org!", "HTTP://A.org"},
        {"<https://a.org/b>", "https://a.org/b"},
        {"http://[fd00::1]:80/x", "http://[fd00::1]:80/x"},
        {"https://a.org\xef\xbf\xbd]8;;evil", "https://a.org"},
        {"https://a.org\x1b]8;;http://b.org\x1b\\", "https://a.org"},
        {"https://\xd0\xb0.org", NULL},
        {"xhttps://a.org", NULL},
        {"https://", NULL},
        {"https://...", NULL},
        {"ftp://a.org javascript:x", NULL},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        size_t at = 0, len = 0;
        const bool found = pv_tuilink_next(rows[i].text, &at, &len);
        assert_int_equal(found, rows[i].address != NULL);
        if (found)
            assert_string_equal(PV_STR("%.*s", (int)len, rows[i].text + at), rows[i].address);
    }
    char longer[PV_TUILINK_MAX + 16] = "https://";
    size_t at = 0, len;
    memset(longer + 8, 'a', sizeof(longer) - 9);
    assert_false(pv_tuilink_next(longer, &at, &len));
}

/* Each cell of the row is "." or the number of its link. */
static const char *links_of(size_t r)
{
    for (size_t i = 0; i < f->screen.cols; i++) {
        const uint16_t link = f->screen.cells[r * f->screen.cols + i].link;
        f->row[i] = (char)(link == 0 ? '.' : '0' + link);
    }
    f->row[f->screen.cols] = '\0';
    return f->row;
}

/* Rows of one address are one link; notices have none, as what they name is no address. */
PV_TEST(an_address_in_a_line_is_a_link)
{
    take(pv_tui_take_message, test_given("from pi lap room text go https"));
    open_of("pi");
    pv_tui_notice(t, &t->convs[t->current], "https://b.org");
    t->set.roster = false;
    draw(9, 30);
    assert_int_equal(f->screen.n_links, 1);
    assert_string_equal(f->screen.links[0], "https://example.org/a-long-path-of-it");
    size_t linked = 0;
    for (size_t i = 0; i < 9; i++) {
        for (const char *p = links_of(i); *p != '\0'; p++)
            linked += *p == '1';
    }
    assert_int_equal(linked, strlen(f->screen.links[0]));
}

static const char *term, *variable, *value;

static const char *variable_is(const char *name)
{
    return strcmp(name, "TERM") == 0                         ? term
           : variable != NULL && strcmp(name, variable) == 0 ? value
           : strcmp(name, "TERM_PROGRAM_VERSION") == 0       ? "3.4"
                                                             : NULL;
}

PV_TEST(only_terminals_that_are_known_to_show_links_get_them)
{
    static const struct {
        const char *term, *variable, *value;
        bool has;
    } rows[] = {
        {"xterm-kitty", NULL, NULL, true},
        {"foot", NULL, NULL, true},
        {"foot-extra", NULL, NULL, true},
        {"xterm-256color", "VTE_VERSION", "7003", true},
        {"xterm-256color", "VTE_VERSION", "4800", false},
        {"xterm-256color", "TERM_PROGRAM", "WezTerm", true},
        {"xterm-256color", "TERM_PROGRAM", "Apple_Terminal", false},
        {"xterm-256color", "WT_SESSION", "x", true},
        {"tmux-256color", "TERM_PROGRAM", "tmux", true},
        {"tmux-256color", "VTE_VERSION", "7003", false},
        {"screen", "VTE_VERSION", "7003", false},
        {"xterm", NULL, NULL, false},
        {"linux", NULL, NULL, false},
        {"dumb", NULL, NULL, false},
        {NULL, NULL, NULL, false},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        term = rows[i].term;
        variable = rows[i].variable;
        value = rows[i].value;
        assert_int_equal(pv_tuiterm_has_links(variable_is), rows[i].has);
    }
}

static bool is_xterm(const char *name)
{
    return strcmp(name, "xterm") == 0 || strcmp(name, "vt220") == 0;
}

static bool is_none(const char *name)
{
    return name == NULL;
}

PV_TEST(a_terminal_without_a_description_gets_that_of_xterm_if_it_follows_xterm)
{
    static const char *const rows[][2] = {
        {"xterm-ghostty", "xterm"}, {"xterm-kitty", "xterm"}, {"foot", "xterm"}, {"vt220", "vt220"},
        {"football", NULL},         {"wyse50", NULL},         {"", NULL},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        const char *found = pv_tuiterm_description(rows[i][0], is_xterm);
        assert_string_equal(found == NULL ? "-" : found, rows[i][1] == NULL ? "-" : rows[i][1]);
        assert_null(pv_tuiterm_description(rows[i][0], is_none));
    }
    assert_null(pv_tuiterm_description(NULL, is_xterm));
    assert_false(pv_tuiterm_is_described("no-such-terminal"));
}

PV_TEST(help_fits_beside_the_roster)
{
    for (size_t i = 0; pv_tui_help[i] != NULL; i++) {
        size_t columns = 0;
        for (const char *p = pv_tui_help[i]; *p != '\0'; p++)
            columns += ((unsigned char)*p & 0xc0) != 0x80;
        assert_in_range(columns, 1, 55);
    }
    t->now = 1795168800;
    line("/help");
    draw(24, 80);
    assert_has(row(1), "/open NAME");
    assert_has(row(21), "\xe2\x97\x8f online");
}

PV_TEST(long_names_that_end_otherwise_look_otherwise)
{
    take(pv_tui_take_peers, "{'peers':[" PEER("web-server-1", "true", "direct", "3") "]}");
    take(pv_tui_take_rooms, test_given("rooms room #holidays dQEM"));
    draw(24, 80);
    bool peer = false, room = false;
    for (size_t i = 0; i < 24; i++) {
        peer = peer || strstr(row(i), "web-s\xe2\x80\xa6ver-1 direct") != NULL;
        room = room || strstr(row(i), "#holi\xe2\x80\xa6~dQEM room") != NULL;
    }
    assert_true(peer && room);
}

PV_TEST(an_empty_home_says_how_to_begin)
{
    draw(12, 80);
    assert_has(row(9), "Ctrl-N or /open alice opens a conversation");
    take(pv_tui_take_peers,
         "{'peers':[" PEER("a-machine-with-a-long-name", "true", "none", "null") "]}");
    draw(12, 80); /* it is not cut */
    assert_has(row(9), "Ctrl-N or /open NAME opens a conversation");
}

PV_TEST(open_says_what_is_missing_and_takes_capitals)
{
    take(pv_tui_take_rooms, "{'rooms':[{'room':'#crew','members':3}]}");
    line("/open");
    assert_shows("note", t->note);
    edit(PV_TUIEDIT_KILL_START);
    line("/open #Crew");
    assert_string_equal(name_of_current(), "#crew");
}

PV_TEST(long_texts_break_at_blanks_and_wide_characters_never_in_two)
{
    pv_tui_open(t, pv_tui_find(t, "pi", false));
    take(pv_tui_take_message,
         MSG("A", "pi", "lap", "the quick brown fox jumps over the lazy dog", "read"));
    take(pv_tui_take_message, test_given("B from pi lap room text u4f60"));
    draw(12, 26);
    assert_string_equal(row(5), "10:00     pi: the quick");
    assert_string_equal(row(6), "         brown fox jumps");
    assert_string_equal(row(7), "         over the lazy dog");
    assert_string_equal(row(8), "10:00     pi: 你好你好你好");
    assert_string_equal(row(9), "         你好");
    /* A word that fills a row stands in it. */
    take(pv_tui_take_message, MSG("C", "pi", "lap", "exactly full over the lazy dog and", "read"));
    draw(12, 26);
    assert_string_equal(row(7), "10:00     pi: exactly full");
    assert_string_equal(row(8), "         over the lazy dog");
    assert_string_equal(row(9), "         and");
}

PV_TEST(scrolling_stays_inside_what_there_is)
{
    size_t pi = pv_tui_find(t, "pi", false);
    for (int i = 0; i < 30; i++) {
        take(pv_tui_take_message, PV_STR(MSG("%d", "pi", "lap", "n%d", "read"), i, i));
    }
    pv_tui_open(t, pi);
    draw(13, 50); /* ten rows of messages */
    assert_string_equal(row(1), "10:00     pi: n20");
    assert_string_equal(row(10), "10:00     pi: n29");
    pv_tui_key(t, PV_TUI_PAGE_UP, (wchar_t)pv_tui_page(t, 13, 60));
    draw(13, 50);
    assert_string_equal(row(10), "10:00     pi: n20");
    for (int i = 0; i < 9; i++)
        pv_tui_key(t, PV_TUI_PAGE_UP, 1000);
    draw(13, 50);
    assert_string_equal(row(1), "-- 2026-11-20 --");
    assert_string_equal(row(2), "10:00     pi: n0");
    assert_int_equal(t->convs[pi].scroll, 21);
    draw(40, 50); /* a larger screen shows all of it */
    assert_string_equal(row(37), "10:00     pi: n29");
    assert_int_equal(t->convs[pi].scroll, 0);
    pv_tui_key(t, PV_TUI_PAGE_DOWN, 5);
    assert_int_equal(t->convs[pi].scroll, 0);
}

/* Rows of another width are others. */
PV_TEST(the_line_that_is_read_stays_when_the_window_changes)
{
    for (int i = 0; i < 60; i++)
        take(pv_tui_take_message,
             PV_STR(MSG("%d", "pi", "lap", "line %d of words that need more than one row", "read"),
                    i, i));
    open_of("pi");
    draw(13, 100);
    pv_tui_key(t, PV_TUI_PAGE_UP, 30);
    draw(13, 100);
    assert_has(row(10), "line 29 of");
    static const size_t widths[] = {44, 100, 60, 30};
    for (size_t k = 0; k < PV_ARRAY_LEN(widths); k++) {
        bool seen = false;
        draw(13, widths[k]);
        for (size_t i = 1; i < 11; i++)
            seen = seen || strstr(row(i), "line 29") != NULL;
        assert_true(seen);
    }
    draw(13, 100);
    assert_has(row(10), "line 29 of");
}

PV_TEST(every_size_can_be_drawn)
{
    pv_tui_open(t, pv_tui_find(t, "pi", false));
    take(pv_tui_take_message, test_given("from pi lap room text e u0301"));
    line("/help");
    type(test_given("long line that has be scrolled"));
    for (size_t rows = 0; rows < 30; rows++)
        for (size_t cols = 0; cols < 90; cols++) {
            draw(rows, cols);
            assert_true(rows == 0 || cols == 0 || f->screen.cursor_col < cols);
        }
    draw(3, 30);
    assert_string_equal(row(0), "too small");
    draw(PV_TUI_MAX_ROWS + 1, PV_TUI_MAX_COLS + 1);
    assert_int_equal(f->screen.rows, PV_TUI_MAX_ROWS);
    draw(24, 40);
    assert_string_equal(row(23), "> ong line that has to be scrolled 你好");
}

PV_TEST(many_peers_are_shown_around_the_open_one)
{
    for (int i = 0; i < 100; i++) {
        assert_int_not_equal(pv_tui_find(t, PV_STR("n%02d", i), true), SIZE_MAX);
    }
    pv_tui_open(t, pv_tui_find(t, "n50", false));
    draw(13, 80);
    assert_string_equal(row(10), "○ n50         gone     │");
    assert_string_equal(row(9), "○ n49         gone     │");
}

/* --- a user's settings: the file, and what the screen makes of it ---------------------------- */

/* The mistake in this file; NULL: none. */
static const char *wrong_with(struct pv_tui_settings *s, const char *text)
{
    static char error[PV_CTLCONF_ERROR];
    pv_tui_settings_init(s);
    int r = pv_tui_settings_parse(s, "F", pv_view(text, strlen(text)), error);
    return r == PV_OK ? NULL : error;
}

PV_TEST(without_a_file_all_is_as_the_manual_says)
{
    struct pv_tui_settings s;
    assert_null(wrong_with(&s, ""));
    assert_null(wrong_with(&s, "[pipe]\nbell = on\n")); /* another command's */
    assert_true(s.roster && s.wrap && s.align && s.colours);
    assert_false(s.bell);
    assert_int_equal(s.roster_cols, 24);
    assert_int_equal(s.time, PV_TUI_TIME_24H);
    assert_int_equal(s.n_highlight, 0);
}

PV_TEST(every_key_is_taken)
{
    struct pv_tui_settings s;
    assert_null(wrong_with(&s, test_given("chat roster off roster-width")));
    assert_false(s.roster || s.wrap || s.align || s.colours);
    assert_true(s.bell);
    assert_int_equal(s.roster_cols, 30);
    assert_int_equal(s.time, PV_TUI_TIME_SECONDS);
    assert_int_equal(s.n_highlight, 2);
    assert_string_equal(s.highlight[1], "gr\xc3\xbc\xc3\x9f"
                                        "e");
}

PV_TEST(a_mistake_is_named_with_its_line_and_what_helps)
{
    static const char *const bad[] = {
        "[chat]\nroster = maybe\n",
        "[chat]\nroster-width = 15\n",
        "[chat]\nroster-width = 78\n",
        "[chat]\n\ntime = 24\n",
        "[chat]\nwrap = 80\n",
        "[chat]\nalign =\n",
        "[chat]\ncolours = 12\n",
        "[chat]\nbell = loud\n",
        "[chat]\nhighlight = two words\n",
        "[chat]\nhighlight = \xff\n",
        "[chat]\nbell = on\nbell = on\n",
        "[chat]\nkeep = 90d\n",
        "[interface]\n",
        "bell = on\n",
    };
    struct pv_tui_settings s;
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++) {
        const char *why = wrong_with(&s, bad[i]);
        assert_non_null(why);
        assert_shows(bad[i], why);
    }
}

PV_TEST(seventeen_words_are_one_too_many)
{
    struct pv_tui_settings s;
    char text[1024] = "[chat]\n";
    const char *word = "highlight = word\n";
    size_t len = strlen(text), n = strlen(word) + 1;
    for (int i = 0; i < PV_TUI_HIGHLIGHTS; i++, len += n - 1)
        memcpy(text + len, word, n);
    assert_null(wrong_with(&s, text));
    memcpy(text + len, word, n);
    assert_has(wrong_with(&s, text), "16 in all");
}

PV_TEST(the_file_is_the_users_own)
{
    char dir[] = "/tmp/pv-test-tuisettings-XXXXXX", path[128], error[PV_CTLCONF_ERROR];
    struct pv_tui_settings s;
    pv_tui_settings_init(&s);
    assert_non_null(mkdtemp(dir));
    setenv("HOME", dir, 1);
    setenv("XDG_CONFIG_HOME", "relative", 1);   /* no such path counts */
    assert_ok(pv_tui_settings_load(&s, error)); /* there is none */
    snprintf(path, sizeof(path), "%s/.config/p2pvpn", dir);
    assert_ok(pv_dir_make(path, 0700));
    snprintf(path, sizeof(path), "%s/.config/p2pvpn/p2pvpnctl.conf", dir);
    assert_ok(pv_file_write(path, pv_view("[chat]\nbell = on\n", 17), 0600));
    assert_ok(pv_tui_settings_load(&s, error));
    assert_true(s.bell);
    assert_ok(pv_file_write(path, pv_view("[chat]\nbell\n", 12), 0600));
    assert_int_equal(pv_tui_settings_load(&s, error), PV_ERR_MALFORMED);
    assert_has(error, "/.config/p2pvpn/p2pvpnctl.conf:2: ");
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0); /* holds nobody up */
    assert_true(pv_tui_settings_load(&s, error) < 0);
    assert_has(error, "not a regular file");
    unlink(path);
    setenv("XDG_CONFIG_HOME", dir, 1);
    snprintf(path, sizeof(path), "%s/.config", dir);
    setenv("XDG_CONFIG_HOME", path, 1);
    assert_ok(pv_tui_settings_load(&s, error));
    assert_int_equal(test_dir_remove(dir), 0);
}

/* --- the screen --------------------------------------------------------------------------------
 */

static void set(const char *text)
{
    const char *why = wrong_with(&t->set, text);
    if (why != NULL)
        fail_msg("%s", why);
    take(pv_tui_take_message, MSG("A", "pi", "lap", "the quick brown fox", "read"));
    take(pv_tui_take_message, MINE("B", "pi", "/me jumps", "read"));
    pv_tui_open(t, pv_tui_find(t, "pi", false));
    t->now = 1795168800 + 4 * 3600 + 7;
}

static void expect_rows(size_t first, const char *const *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_string_equal(row(first + i), want[i]);
}

PV_TEST(times_are_written_as_the_user_likes)
{
    static const char *const twelve[] = {"10:00am     pi: the quick brown fox",
                                         "10:00am \u2713\u2713 * lap jumps"};
    static const char *const seconds[] = {"10:00:00     pi: the quick brown fox",
                                          "10:00:00 \u2713\u2713 * lap jumps"};
    static const char *const none[] = {"    pi: the quick brown fox", "\u2713\u2713 * lap jumps"};
    set("[chat]\ntime = 12h\n");
    draw(12, 50);
    expect_rows(8, twelve, 2);
    assert_has(row(10), " 02:00pm");
    set("[chat]\ntime = seconds\n");
    draw(12, 50);
    expect_rows(8, seconds, 2);
    assert_has(row(10), " 14:00:07");
    set("[chat]\ntime = off\n");
    draw(12, 50);
    expect_rows(8, none, 2);
    assert_lacks(row(10), "14:00");
    draw(12, 22);
    for (size_t cols = 0; cols < 90; cols++)
        draw(12, cols);
}

PV_TEST(long_words_go_on_from_the_edge_and_names_stand_where_they_fall)
{
    static const char *const want[] = {"10:00    pi: the",       "         quick brown",
                                       "         fox",           "10:00 \u2713\u2713 * lap jumps",
                                       "10:00 \u2713\u2713 see", "         http://an.ex",
                                       "ample/with/a/path",      "         it is"};
    set("[chat]\nwrap = off\nalign = off\n");
    take(pv_tui_take_message, MINE("C", "pi", "a", "read"));
    draw(13, 40);
    assert_string_equal(row(9), want[3]);
    assert_string_equal(row(10), "10:00 \u2713\u2713 lap: a");
    take(pv_tui_take_message, MINE("D", "pi", "see http://an.example/with/a/path it is", "read"));
    draw(16, 21);
    expect_rows(5, want, 3);
    expect_rows(10, want + 4, 4);
}

/* At the edge a line has its time and its sender, and whoever made one up there would speak for
 * others. */
PV_TEST(no_row_of_a_text_looks_like_a_line_of_another)
{
    static const char *const want[] = {"10:00    pi: a",
                                       "         10:00    lap: b",
                                       "10:00    pi: ...........",
                                       "10:00",
                                       "         lap: c",
                                       "10:00    pi:",
                                       "         10:00 lap: d",
                                       "10:00    pi: ...........",
                                       "10:00",
                                       "         \u00a0\u00a0lap: e"};
    set("[chat]\nwrap = off\nalign = off\n");
    take(pv_tui_take_message, MSG("X", "pi", "lap", "a\\n10:00    lap: b", "read"));
    take(pv_tui_take_message, MSG("Y", "pi", "lap", "...........10:00 lap: c", "read"));
    take(pv_tui_take_message, MSG("Z", "pi", "lap", "           10:00 lap: d", "read"));
    take(pv_tui_take_message,
         MSG("z", "pi", "lap", "...........10:00\\u00a0\\u00a0lap: e", "read")); /* no blanks */
    draw(19, 24);
    expect_rows(7, want, 10);
}

/* Without a time names stand at the edge of a line, and in what was found at the time. */
PV_TEST(no_row_looks_like_another_line_without_times_and_in_what_was_found)
{
    static const char *const bare[] = {"   pi: a", "       lap: b"};
    static const char *const aligned[] = {"    pi: a", "        lap: b"};
    set("[chat]\ntime = off\nalign = off\n");
    take(pv_tui_take_message, MSG("X", "pi", "lap", "a\\nlap: b", "read"));
    draw(12, 50);
    expect_rows(8, bare, 2);
    set("[chat]\ntime = off\n");
    draw(12, 50);
    expect_rows(8, aligned, 2);
    set("[chat]\ntime = off\nroster = off\n");
    line("/close");
    line("/search money");
    drop_actions();
    found_by("money", 0,
             "{'messages':[" MSG("A", "pi", "lap", "money\\n2025-01-01 10:00 bob to lap: yes",
                                 "read") "]}");
    draw(12, 80);
    assert_has(row(8), " pi to lap: money");
    assert_string_equal(row(9), "    2025-01-01 10:00 bob to lap: yes");
}

#define CAROL(former, since)                                                                   \
    "{'peers':[{'name':'carol','ip4':'10.66.1.9','online':true,'path':'direct','key':'" former \
    "'," since "}]}"

/* A machine that comes by the name of another one has not said what that said in a room. */
PV_TEST(a_room_tells_two_machines_of_one_name_apart)
{
    static const char *const want[] = {"10:00    carol (former, key:AAEC): early",
                                       "10:00    carol (former, key:AAEC): hi"};
    take(pv_tui_take_message, test_given("X from carol #crew room #crew"));
    take(pv_tui_take_message, test_given("Y from carol #crew room #crew"));
    line("/open #crew");
    take(pv_tui_take_peers, CAROL("AbCdEf", "'former':'" PI_KEY "','another_since':2000000000"));
    pv_tui_key(t, PV_TUI_ROSTER, 0);
    draw(12, 70);
    expect_rows(8, want, 2);
}

/* In a room nothing else says whose a line is. */
PV_TEST(a_long_name_is_cut_in_a_room_and_does_not_go)
{
    static const char *const want[] = {"10:00    carol~AAEC: early",
                                       "10:00    nas-in-th~ar-of-bob: hi"};
    take(pv_tui_take_message,
         ROOM_MESSAGE("X", "carol", "early", "read", ",'from_former':'" PI_KEY "'"));
    take(pv_tui_take_message, ROOM_MSG("Y", "nas-in-the-cellar-of-bob", "hi", "read"));
    line("/open #crew");
    draw(12, 40);
    expect_rows(8, want, 2);
    draw(12, PV_TUI_MIN_COLS);
    assert_string_equal(row(8), "car~AAEC: early");
    assert_string_equal(row(9), "nas-~bob: hi");
}

PV_TEST(the_roster_has_the_width_that_was_set)
{
    set("[chat]\nroster-width = 40\n");
    draw(12, 80);
    assert_string_equal(row(2), "● alice                       relay    │");
    draw(12, 75); /* its lines would have too little room */
    assert_string_equal(row(9), "10:00 \u2713\u2713 * lap jumps");
    set("[chat]\nroster-width = 16\n");
    draw(12, 80);
    assert_string_equal(row(2), "● ali relay    │");
    set("[chat]\nroster = off\n");
    draw(12, 80);
    assert_string_equal(row(9), "10:00 \u2713\u2713 * lap jumps");
    pv_tui_key(t, PV_TUI_ROSTER, 0);
    draw(12, 80);
    assert_has(row(2), "alice");
}

PV_TEST(words_that_the_user_looks_for_stand_out_as_his_name_does)
{
    set("[chat]\nhighlight = deploy\nbell = on\n");
    take(pv_tui_take_message, SAID("D", "deployed"));
    assert_false(t->convs[pv_tui_find(t, "#crew", false)].named);
    assert_true(t->ring);
    take(pv_tui_take_message, SAID("E", "who can Deploy?"));
    assert_true(t->convs[pv_tui_find(t, "#crew", false)].named);
    assert_string_equal(t->note, "pi mentions you in #crew");
    line("/bell off");
    t->ring = false;
    take(pv_tui_take_message, SAID("F", "deploy"));
    assert_false(t->ring);
}
