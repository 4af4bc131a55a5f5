/* SPDX-License-Identifier: MIT */
/* Words that are typed as commands, and what Tab makes of their beginnings. */
#include "chat/screen/model/tuiwords.h"

#include <stdio.h>
#include <string.h>

#include "chat/screen/model/tuiedit.h"

static const struct {
    const char *name;
    enum pv_tui_word word;
    bool classic; /* also without a slash */
} WORDS[] = {
    {"send", PV_TUI_W_SEND, true},        {"msg", PV_TUI_W_SEND, false},
    {"getu", PV_TUI_W_PEERS, true},       {"peers", PV_TUI_W_PEERS, false},
    {"exit", PV_TUI_W_EXIT, true},        {"quit", PV_TUI_W_EXIT, false},
    {"open", PV_TUI_W_OPEN, false},       {"chat", PV_TUI_W_OPEN, false},
    {"query", PV_TUI_W_OPEN, false},      {"close", PV_TUI_W_CLOSE, false},
    {"help", PV_TUI_W_HELP, false},       {"room", PV_TUI_W_ROOM, false},
    {"invite", PV_TUI_W_INVITE, false},   {"leave", PV_TUI_W_LEAVE, false},
    {"members", PV_TUI_W_MEMBERS, false}, {"files", PV_TUI_W_FILES, false},
    {"accept", PV_TUI_W_ACCEPT, false},   {"join", PV_TUI_W_OPEN, false},
    {"part", PV_TUI_W_LEAVE, false},      {"names", PV_TUI_W_MEMBERS, false},
    {"refuse", PV_TUI_W_REFUSE, false},   {"get", PV_TUI_W_GET, false},
    {"search", PV_TUI_W_SEARCH, false},   {"send-file", PV_TUI_W_SEND_FILE, false},
    {"bell", PV_TUI_W_BELL, false},       {"mute", PV_TUI_W_MUTE, false},
    {"unmute", PV_TUI_W_UNMUTE, false},
};

/* The words of `p2pvpnctl room` and `p2pvpnctl files`. */
static const struct {
    const char *name;
    enum pv_tui_word of, word;
} SUBWORDS[] = {
    {"create", PV_TUI_W_ROOM, PV_TUI_W_CREATE},  {"invite", PV_TUI_W_ROOM, PV_TUI_W_INVITE},
    {"accept", PV_TUI_W_ROOM, PV_TUI_W_JOIN},    {"leave", PV_TUI_W_ROOM, PV_TUI_W_LEAVE},
    {"list", PV_TUI_W_ROOM, PV_TUI_W_ROOMS},     {"members", PV_TUI_W_ROOM, PV_TUI_W_MEMBERS},
    {"list", PV_TUI_W_FILES, PV_TUI_W_FILES},    {"accept", PV_TUI_W_FILES, PV_TUI_W_ACCEPT},
    {"refuse", PV_TUI_W_FILES, PV_TUI_W_REFUSE}, {"withdraw", PV_TUI_W_FILES, PV_TUI_W_WITHDRAW},
    {"get", PV_TUI_W_FILES, PV_TUI_W_GET},
};

const char *pv_tui_usage(enum pv_tui_word word)
{
    static const char *const usages[PV_TUI_N_WORDS] = {
        [PV_TUI_W_NONE] = "/help",
        [PV_TUI_W_SEND] = "/send NAME TEXT",
        [PV_TUI_W_PEERS] = "/peers",
        [PV_TUI_W_OPEN] = "/open NAME, or /open #ROOM",
        [PV_TUI_W_CLOSE] = "/close",
        [PV_TUI_W_HELP] = "/help",
        [PV_TUI_W_EXIT] = "/exit",
        [PV_TUI_W_ROOM] = ("/room create NAME, invite [ROOM] NAME, accept [ROOM], leave [ROOM], "
                           "members [ROOM], or list"),
        [PV_TUI_W_ROOMS] = "/room list",
        [PV_TUI_W_CREATE] = "/room create NAME",
        [PV_TUI_W_INVITE] = "/invite NAME, or /room invite ROOM NAME",
        [PV_TUI_W_JOIN] = "/room accept [ROOM]",
        [PV_TUI_W_LEAVE] = "/leave [ROOM]",
        [PV_TUI_W_MEMBERS] = "/members [ROOM]",
        [PV_TUI_W_FILES] = "/files list",
        [PV_TUI_W_FILES_OTHER] = "/files list, accept ID, refuse ID, withdraw ID, or get ID|all",
        [PV_TUI_W_ACCEPT] = "/accept ID",
        [PV_TUI_W_REFUSE] = "/refuse ID",
        [PV_TUI_W_WITHDRAW] = "/files withdraw ID",
        [PV_TUI_W_GET] = "/get ID|all",
        [PV_TUI_W_SEND_FILE] = "/send-file FILE",
        [PV_TUI_W_SEARCH] = "/search TEXT",
        [PV_TUI_W_BELL] = "/bell on, or /bell off",
        [PV_TUI_W_MUTE] = "/mute [NAME]",
        [PV_TUI_W_UNMUTE] = "/unmute [NAME]",
    };
    return usages[word];
}

const char *const *pv_tui_subcommands(const char *line, size_t len)
{
    static const char *const rooms[] = {"accept", "create",  "invite", "leave",
                                        "list",   "members", NULL};
    static const char *const files[] = {"accept", "get", "list", "refuse", "withdraw", NULL};
    return len == 6 && strncasecmp(line, "/room ", len) == 0    ? rooms
           : len == 7 && strncasecmp(line, "/files ", len) == 0 ? files
                                                                : NULL;
}

const char *const pv_tui_commands[] = {
    "/accept", "/bell",  "/close", "/exit",      "/files",  "/get",    "/help",
    "/invite", "/leave", "/me",    "/members",   "/mute",   "/open",   "/peers",
    "/refuse", "/room",  "/send",  "/send-file", "/search", "/unmute", NULL};

/* All of it fits the pane beside the roster on a terminal of 80 columns and 24 rows. */
const char *const pv_tui_help[] = {
    "/open NAME        opens a conversation; /close ends it",
    "/send NAME TEXT   sends TEXT to NAME",
    "/me TEXT          says what you do",
    "/peers            lists members and their paths",
    "/send-file FILE   offers a file in this conversation",
    "/accept ID        saves an offered file; /refuse ID",
    "/files            lists files; /get ID saves one",
    "/search TEXT      finds TEXT here; again: an older line",
    "/room create NAME makes a room; /room list lists rooms",
    "/invite NAME      invites a member to this room",
    "/members, /leave  lists the members of it; leaves it",
    "/mute, /unmute    silences this conversation, or NAME",
    "/bell on          rings when a message arrives",
    "/exit             ends the chat, as Ctrl-C does",
    "//text            sends a text that begins with /",
    "Tab completes. Up and Down show earlier input.",
    "PgUp and PgDn scroll. End goes to the newest line.",
    "Ctrl-N, Ctrl-P: next, previous; Ctrl-G: next unread",
    "Ctrl-T: hide the names; Ctrl-O: lines for the mouse",
    "\xc2\xb7 waiting here   \xe2\x86\x92 sent   \xe2\x9c\x93 arrived   "
    "\xe2\x9c\x93\xe2\x9c\x93 read",
    "\xe2\x97\x8f online      \xe2\x97\x8b offline",
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

/* Of "/room create crew": create, and the rest behind it. Without a word "/files" and "/room" are
 * lists. */
static enum pv_tui_word find_subword(enum pv_tui_word of, const char **rest)
{
    const struct pv_view sub = next_word(rest);
    if (sub.len == 0)
        return of == PV_TUI_W_FILES ? PV_TUI_W_FILES : PV_TUI_W_ROOMS;
    for (size_t i = 0; i < PV_ARRAY_LEN(SUBWORDS); i++) {
        if (SUBWORDS[i].of == of && strlen(SUBWORDS[i].name) == sub.len &&
            strncasecmp(SUBWORDS[i].name, (const char *)sub.ptr, sub.len) == 0)
            return SUBWORDS[i].word;
    }
    return of == PV_TUI_W_FILES ? PV_TUI_W_FILES_OTHER : of;
}

/* "/invite NAME" is for the room that is shown, "/room invite ROOM NAME" for another. Other
 * programs write "NAME #ROOM". */
static void take_invite(const char **rest, struct pv_tui_words *w)
{
    copy_name(next_word(rest), w->name);
    const struct pv_view second = next_word(rest);
    if (second.len == 0)
        return;
    memcpy(w->room, w->name, sizeof(w->room));
    copy_name(second, w->name);
    if (w->name[0] == '#' && w->room[0] != '#') {
        char room[PV_NAMES_FULL_BUF];
        memcpy(room, w->name, sizeof(room));
        memcpy(w->name, w->room, sizeof(w->name));
        memcpy(w->room, room, sizeof(w->room));
    }
}

/* Takes what stands behind the command. */
static void take_rest(enum pv_tui_word word, const char *rest, struct pv_tui_words *w)
{
    switch (word) {
    case PV_TUI_W_SEND:
        copy_name(next_word(&rest), w->name);
        w->text = rest;
        return;
    case PV_TUI_W_SEND_FILE:
    case PV_TUI_W_SEARCH:
        w->text = rest;
        return;
    case PV_TUI_W_INVITE:
        take_invite(&rest, w);
        break;
    case PV_TUI_W_OPEN:
    case PV_TUI_W_CREATE:
    case PV_TUI_W_JOIN:
    case PV_TUI_W_LEAVE:
    case PV_TUI_W_MEMBERS:
    case PV_TUI_W_ACCEPT:
    case PV_TUI_W_REFUSE:
    case PV_TUI_W_WITHDRAW:
    case PV_TUI_W_GET:
    case PV_TUI_W_BELL:
    case PV_TUI_W_MUTE:
    case PV_TUI_W_UNMUTE:
        copy_name(next_word(&rest), w->name);
        break;
    default:
        break;
    }
    w->more = rest;
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
    if (word == PV_TUI_W_ROOM || word == PV_TUI_W_FILES)
        word = find_subword(word, &rest);
    if (word == PV_TUI_W_NONE)
        copy_name(first, w.name);
    else if (word != PV_TUI_W_ROOM && word != PV_TUI_W_FILES_OTHER)
        take_rest(word, rest, &w);
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
