/* SPDX-License-Identifier: MIT */
/* Words that are typed as commands, and what Tab makes of their beginnings. */
#include "ctl/tui/tuiwords.h"

#include <stdio.h>
#include <string.h>

#include "ctl/tui/tuiedit.h"

static const struct {
    const char *name;
    enum pv_tui_word word;
    bool classic; /* also without a slash */
} WORDS[] = {
    {"send", PV_TUI_W_SEND, true},
    {"msg", PV_TUI_W_SEND, false},
    {"getu", PV_TUI_W_PEERS, true},
    {"peers", PV_TUI_W_PEERS, false},
    {"exit", PV_TUI_W_EXIT, true},
    {"quit", PV_TUI_W_EXIT, false},
    {"open", PV_TUI_W_OPEN, false},
    {"chat", PV_TUI_W_OPEN, false},
    {"query", PV_TUI_W_OPEN, false},
    {"close", PV_TUI_W_CLOSE, false},
    {"help", PV_TUI_W_HELP, false},
    {"room", PV_TUI_W_ROOM, false},
    {"invite", PV_TUI_W_INVITE, false},
    {"leave", PV_TUI_W_LEAVE, false},
    {"members", PV_TUI_W_MEMBERS, false},
    {"accept", PV_TUI_W_ACCEPT, false},
    {"join", PV_TUI_W_OPEN, false},
    {"part", PV_TUI_W_LEAVE, false},
    {"names", PV_TUI_W_MEMBERS, false},
    {"refuse", PV_TUI_W_REFUSE, false},
    {"save", PV_TUI_W_SAVE, false},
    {"search", PV_TUI_W_SEARCH, false},
    {"send-file", PV_TUI_W_SEND_FILE, false},
    {"bell", PV_TUI_W_BELL, false},
    {"mute", PV_TUI_W_MUTE, false},
    {"unmute", PV_TUI_W_UNMUTE, false},
};

const char *const pv_tui_commands[] = {"/accept", "/bell",      "/close",  "/exit",    "/help",
                                       "/invite", "/leave",     "/me",     "/members", "/mute",
                                       "/open",   "/peers",     "/refuse", "/room",    "/save",
                                       "/send",   "/send-file", "/search", "/unmute",  NULL};

/* All of it fits the pane beside the roster on a terminal of 80 columns and 24 rows. */
const char *const pv_tui_help[] = {
    "/open NAME       a conversation;  /close  the network",
    "/send NAME TEXT  to NAME; also: send NAME TEXT",
    "/me TEXT         says what you do",
    "/peers           who is there; also: getu",
    "/send-file FILE  offers a file to whom you talk with",
    "/accept N        takes a file that is offered, saves it",
    "/refuse N        does not;  /save N  if it did not work",
    "/search TEXT     finds it; once more: what is older;",
    "                 in all conversations after /close",
    "/room NAME       makes a room;  /invite NAME  into it",
    "/members         who is in it;  /leave  leaves it",
    "/mute, /unmute   silences who is shown; or NAME",
    "/bell on         rings when something comes in",
    "/exit            ends; also: exit, Ctrl-C",
    "//text           is a text that begins with /",
    "Tab completes, Up brings back what was typed before,",
    "PgUp, PgDn scroll, End goes down, Ctrl-L draws anew,",
    "Ctrl-N, Ctrl-P: next, previous; Ctrl-G: next unread,",
    "Ctrl-T hides the names, Ctrl-O bare lines for the mouse",
    "\xc2\xb7 waits here   \xe2\x86\x92 on its way   \xe2\x9c\x93 there   "
    "\xe2\x9c\x93\xe2\x9c\x93 read",
    "\xe2\x97\x8f online      \xe2\x97\x8b away",
    NULL,
};

/* The next word of *line; advances behind it and the blanks after it. */
static struct pv_view next_word(const char **line)
{
    const char *start = *line + strspn(*line, " ");
    size_t len = strcspn(start, " ");
    *line = start + len + strspn(start + len, " ");
    return pv_view(start, len);
}

/* Names are in small letters, and are found however they are typed; in keys, and in the piece of an
 * id behind a room's "~", they differ. */
static void copy_name(struct pv_view word, char dst[static PV_NAMES_FULL_BUF])
{
    uint8_t key[PV_KEY_LEN];
    size_t n = word.len < PV_NAMES_FULL_BUF - 1 ? word.len : PV_NAMES_FULL_BUF - 1;
    memcpy(dst, word.ptr, n);
    dst[n] = '\0';
    if (strncmp(dst, "key:", 4) == 0 || pv_key_parse(dst, key) == PV_OK)
        return;
    for (size_t i = 0; i < n && dst[i] != '~'; i++)
        dst[i] = dst[i] >= 'A' && dst[i] <= 'Z' ? (char)(dst[i] - 'A' + 'a') : dst[i];
}

/* Behind a slash in letters of either case, as names are; without one "Exit" is a text. */
static enum pv_tui_word find_word(struct pv_view word, bool classic)
{
    const char *text = (const char *)word.ptr;
    for (size_t i = 0; i < PV_ARRAY_LEN(WORDS); i++) {
        if (strlen(WORDS[i].name) == word.len && (WORDS[i].classic || !classic) &&
            (classic ? memcmp(WORDS[i].name, text, word.len)
                     : strncasecmp(WORDS[i].name, text, word.len)) == 0)
            return WORDS[i].word;
    }
    return PV_TUI_W_NONE;
}

enum pv_tui_word pv_tui_split(const char *line, struct pv_tui_words *ret_words)
{
    /* A blank before it makes no text of a word that may be meant for somebody else. */
    const char *begin = line + strspn(line, " ");
    struct pv_tui_words w = {.text = "", .more = "", .plain = line, .classic = begin[0] != '/'};
    if (begin[0] == '/' && begin[1] == '/') {
        w.plain = begin + 1;
        *ret_words = w;
        return PV_TUI_W_NONE;
    }
    /* A text like any other; whoever shows it makes a sentence of it. */
    if (strncasecmp(begin, "/me ", 4) == 0) {
        w.plain = begin;
        *ret_words = w;
        return PV_TUI_W_NONE;
    }
    const char *rest = w.classic ? line : begin + 1;
    struct pv_view first = next_word(&rest);
    enum pv_tui_word word = find_word(first, w.classic);
    /* Without a slash only the whole form counts: "exit the room" is a text. */
    w.is_command = !w.classic || word == PV_TUI_W_SEND ||
                   (word != PV_TUI_W_NONE && *rest == '\0' && first.ptr == (const uint8_t *)line);
    if (word == PV_TUI_W_SEND || word == PV_TUI_W_OPEN || word == PV_TUI_W_ROOM ||
        word == PV_TUI_W_INVITE || word == PV_TUI_W_LEAVE || word == PV_TUI_W_MEMBERS ||
        word == PV_TUI_W_ACCEPT || word == PV_TUI_W_REFUSE || word == PV_TUI_W_SAVE ||
        word == PV_TUI_W_BELL || word == PV_TUI_W_MUTE || word == PV_TUI_W_UNMUTE) {
        copy_name(next_word(&rest), w.name);
        w.text = word == PV_TUI_W_SEND ? rest : "";
        w.more = word == PV_TUI_W_SEND ? "" : rest;
    } else if (word == PV_TUI_W_SEND_FILE || word == PV_TUI_W_SEARCH) {
        w.text = rest;
    } else if (word == PV_TUI_W_NONE) {
        copy_name(first, w.name);
    }
    *ret_words = w;
    return word;
}

void pv_tui_choices_begin(struct pv_tui_choice *choice, const char *line, size_t cursor)
{
    size_t at = cursor;
    while (at > 0 && line[at - 1] != ' ')
        at--;
    *choice = (struct pv_tui_choice){
        .word = line + at, .len = cursor - at, .is_first = strspn(line, " ") >= at};
}

void pv_tui_choices_add(struct pv_tui_choice *choice, const char *candidate, bool command)
{
    if (choice->len > strlen(candidate) || memcmp(choice->word, candidate, choice->len) != 0 ||
        (command && !choice->is_first) || (choice->len == 0 && command))
        return;
    if (choice->n++ == 0) {
        snprintf(choice->common, PV_TUI_CHOICE, "%s", candidate);
    } else {
        size_t same = 0;
        while (choice->common[same] != '\0' && choice->common[same] == candidate[same])
            same++;
        while (same > 0 && pv_tui_is_inside(choice->common, same))
            same--; /* no half of a character */
        choice->common[same] = '\0';
    }
    size_t used = strlen(choice->list);
    if (used + strlen(candidate) + 5 < sizeof(choice->list))
        snprintf(choice->list + used, sizeof(choice->list) - used, "%s%s", used > 0 ? " " : "",
                 candidate);
    else if (used + 4 < sizeof(choice->list) && choice->list[used - 1] != '.')
        snprintf(choice->list + used, sizeof(choice->list) - used, "...");
}
