/* SPDX-License-Identifier: MIT */
/* tuityped.c - what the person at the terminal chat types: keys, lines, commands. No text ever
 * goes to a conversation that it was not typed for: each has its own unfinished line, and what
 * could not be done is given back whole. */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "chat/screen/model/tuimodel.h"

/* Where in the line the argument of a command begins, which the line starts with; 0: it does not.
 */
static size_t argument_of(const struct pv_tui *t, const char *command)
{
    size_t len = strlen(command);
    return t->edit.cursor >= len && memcmp(t->edit.text, command, len) == 0 ? len : 0;
}

/* Files in a state: offered ones wait for an answer, done ones to be saved. */
static void add_numbers(const struct pv_tui *t, const char *state, struct pv_tui_choice *choice)
{
    size_t n = t->n_files < PV_TUI_MAX_FILES ? t->n_files : PV_TUI_MAX_FILES;
    for (size_t i = 0; i < n; i++) {
        if (t->files[i].in && strcmp(t->files[i].state, state) == 0)
            pv_tui_choices_add(choice, PV_STR("%lu", (unsigned long)t->files[i].number), false);
    }
}

/* The directory that path names, "~" as the shell has it; false: it is too long. */
static bool directory_of(const char *path, size_t len, char dir[static PATH_MAX])
{
    const char *home = getenv("HOME");
    bool at_home = len > 1 && path[0] == '~' && path[1] == '/' && home != NULL;
    int n = snprintf(dir, PATH_MAX, "%s%.*s",
                     at_home    ? home
                     : len == 0 ? "."
                                : "",
                     (int)(len - at_home), path + at_home);
    return n > 0 && n < PATH_MAX;
}

static bool has_control(const char *name)
{
    bool has = false;
    for (; *name != '\0'; name++)
        has = has || (unsigned char)*name < 0x20 || *name == 0x7f;
    return has;
}

/* Files in the directory that was typed so far; the choice is about the part behind the last slash.
 * Hidden ones only when their dot was typed. */
static void add_files(struct pv_tui_choice *choice, const char *path, size_t len)
{
    char dir[PATH_MAX];
    const char *slash = memrchr(path, '/', len);
    size_t dir_len = slash == NULL ? 0 : (size_t)(slash - path) + 1;
    choice->word = path + dir_len;
    choice->len = len - dir_len;
    DIR *d = directory_of(path, dir_len, dir) ? opendir(dir) : NULL;
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.' && (choice->len == 0 || choice->word[0] != '.'))
            continue;
        if (has_control(e->d_name))
            continue; /* nobody could have typed it */
        struct stat st;
        const bool is_dir = e->d_type == DT_DIR ||
                            (e->d_type != DT_REG && fstatat(dirfd(d), e->d_name, &st, 0) == 0 &&
                             S_ISDIR(st.st_mode));
        pv_tui_choices_add(choice, PV_STR("%s%s", e->d_name, is_dir ? "/" : ""), false);
    }
    if (d != NULL)
        closedir(d);
}

/* A name at the beginning of a line is spoken to. */
static const char *behind(const struct pv_tui *t, const struct pv_tui_choice *choice)
{
    bool is_name = choice->common[0] != '/' && choice->common[0] != '#';
    return choice->is_first && is_name && t->current > 0 ? ": " : " ";
}

/* Is the cursor in the number of a file? state: of the files that fit. */
static bool is_in_number(const struct pv_tui *t, const char **ret_state)
{
    const bool received = argument_of(t, "/get ") > 0 || argument_of(t, "/files get ") > 0;
    *ret_state = received ? "done" : "offered";
    return received || argument_of(t, "/accept ") > 0 || argument_of(t, "/refuse ") > 0 ||
           argument_of(t, "/files accept ") > 0 || argument_of(t, "/files refuse ") > 0;
}

static void add_list(struct pv_tui_choice *choice, const char *const *words, bool commands)
{
    for (; *words != NULL; words++)
        pv_tui_choices_add(choice, *words, commands);
}

static void add_names(const struct pv_tui *t, struct pv_tui_choice *choice)
{
    for (size_t i = 1; i < t->n_convs; i++)
        pv_tui_choices_add(choice, t->convs[i].name, false);
    for (size_t i = 1; argument_of(t, "/open ") > 0 && i < t->n_convs; i++) {
        if (t->convs[i].former[0] != '\0')
            pv_tui_choices_add(choice, t->convs[i].former, false);
    }
}

/* Tab: extends what stands before the cursor as far as it is certain, and says what it may become.
 */
static void complete(struct pv_tui *t)
{
    static const char *const switches[] = {"on", "off", NULL};
    struct pv_tui_choice choice;
    const char *state;
    size_t file = argument_of(t, "/send-file ");
    pv_tui_choices_begin(&choice, t->edit.text, t->edit.cursor);
    const char *const *subwords =
        pv_tui_subcommands(t->edit.text, (size_t)(choice.word - t->edit.text));
    if (file > 0) {
        add_files(&choice, t->edit.text + file, t->edit.cursor - file);
    } else if (is_in_number(t, &state)) {
        add_numbers(t, state, &choice);
    } else if (subwords != NULL || argument_of(t, "/bell ") > 0) {
        add_list(&choice, subwords != NULL ? subwords : switches, false);
    } else {
        add_list(&choice, pv_tui_commands, true);
        add_names(t, &choice);
    }
    if (choice.n == 0) {
        pv_tui_note(t, "nothing to complete");
        return;
    }
    /* One candidate is certain, so the next word can follow at once. */
    if (choice.n == 1 && file == 0) {
        size_t len = strlen(choice.common);
        snprintf(choice.common + len, sizeof(choice.common) - len, "%s", behind(t, &choice));
    }
    pv_tuiedit_replace(&t->edit, choice.len, choice.common);
    pv_tui_note(t, "%s", choice.n == 1 ? "" : choice.list);
}

/* At the first line there is here: the daemon may have older ones. */
static void page_up(struct pv_tui *t, struct pv_tui_conv *c, size_t page)
{
    c->scroll += page;
    if (c->at_top)
        (void)pv_tui_want_older(t, c);
}

static void go_down(struct pv_tui *t)
{
    struct pv_tui_conv *c = &t->convs[t->current];
    c->scroll = c->came = 0;
    c->seeks = false;
}

/* To the newest lines; from there the new ones that are above them are not wanted. */
static void go_to_end(struct pv_tui *t)
{
    struct pv_tui_conv *c = &t->convs[t->current];
    unsigned unread = 0;
    for (size_t i = c->n_lines; c->scroll == 0 && i > 0 && unread < c->unread; i--) {
        struct pv_tui_line *line = &c->lines[i - 1];
        line->shown = true;
        unread += pv_tui_is_unread(line);
    }
    if (c->scroll == 0)
        c->unread = unread; /* with what only the daemon has: it is older */
    go_down(t);
}

/* Lines that a daemon that is gone has not got, or that were refused unseen, end with the chat: the
 * person says whether. drafts: so do lines that were begun. */
static void leave(struct pv_tui *t, bool drafts)
{
    size_t waiting = 0, begun = drafts && t->edit.len > 0;
    for (size_t i = 0; i < t->n_actions; i++)
        waiting += t->lost && pv_tui_does(t->actions[i].kind);
    for (size_t i = 0; i < t->n_convs; i++) {
        begun += drafts && t->convs[i].draft != NULL;
        waiting += t->convs[i].given_back;
    }
    t->leave = pv_tui_is_warned(t) || waiting + begun == 0 ? PV_TUI_ENDED
               : drafts                                    ? PV_TUI_WARNED_BY_KEY
                                                           : PV_TUI_WARNED;
    if (waiting > 0)
        pv_tui_note(t, "%zu line%s not sent: exit again to discard %s", waiting,
                    waiting == 1 ? " is" : "s are", waiting == 1 ? "it" : "them");
    else if (begun > 0)
        pv_tui_note(t, "a line is not sent: exit again to discard it");
}

static const char hangs[] = "p2pvpnd does not answer: exit again to discard the waiting lines";

void pv_tui_ask_again(struct pv_tui *t)
{
    t->leave = PV_TUI_WARNED;
    pv_tui_note(t, "%s", hangs);
}

void pv_tui_ask_no_more(struct pv_tui *t)
{
    if (t->leave == PV_TUI_WARNED)
        t->leave = PV_TUI_STAYS;
    if (strcmp(t->note, hangs) == 0)
        t->note[0] = '\0';
}

/* --- what is typed --------------------------------------------------------------------------- */

/* A line may have been begun for the machine, or the room, that had the name before: it is given
 * back once. */
static bool is_another(struct pv_tui *t, struct pv_tui_conv *c)
{
    const bool another = c->is_another;
    c->has_old_draft = c->has_old_draft || (another && c->draft != NULL);
    c->is_another = false;
    if (another)
        pv_tui_note(t, "%s is another %s now: press Enter again to send", c->name,
                    pv_tui_conv_is_room(c) ? "room" : "machine");
    return another;
}

/* Is the machine of this pane no member? Another one may join by this name at any time, also while
 * p2pvpnd is away: it gets nothing that was typed here before it is known. Which was said. */
static bool is_gone(struct pv_tui *t, const struct pv_tui_conv *c)
{
    const bool gone = t->has_peers && !c->is_listed && !pv_tui_conv_is_room(c);
    if (!gone)
        return false;
    pv_tui_note(t, "%s is no member: " PV_TUI_NOBODY, c->name);
    pv_tui_want(t, PV_TUI_PEERS, "", NULL);
    return true;
}

/* typed: the name was. False: nobody has this name, which was said, or another one. */
static bool send_to(struct pv_tui *t, const char *name, const char *text, bool typed)
{
    char peer[PV_NAME_BUF];
    size_t index = SIZE_MAX;
    if (pv_name_parse(name, strlen(name), peer) == PV_OK)
        index = pv_tui_find(t, peer, false);
    if (index == SIZE_MAX)
        index = pv_tui_find_named(t, name);
    if (strncmp(name, "key:", 4) == 0 && pv_tui_find(t, name, false) != SIZE_MAX) {
        pv_tui_note(t, "%.63s had a name that is another's now: messages to it are not sent", name);
        return false;
    }
    /* A line for a machine that is gone shall not stand before all of a room. */
    if (index != SIZE_MAX && pv_tui_conv_is_room(&t->convs[index]) && name[0] != '#') {
        pv_tui_note(t, "%.63s is a room: /msg #%.63s TEXT", name, name);
        return false;
    }
    /* Index 0 is the network's own pane, where nobody reads. */
    if (index == SIZE_MAX || index == 0) {
        pv_tui_note_unknown(t, name);
        return false;
    }
    if (is_gone(t, &t->convs[index]) || is_another(t, &t->convs[index]))
        return false;
    /* The open conversation stays: the next line is for who is shown. */
    if (index == t->current)
        go_down(t);
    char *copy = strdup(text);
    if (copy != NULL && strncasecmp(copy, "/me ", 4) == 0)
        memcpy(copy + 1, "me", 2); /* as whoever shows it looks for it */
    if (pv_tui_want(t, PV_TUI_SEND, t->convs[index].name, copy))
        t->actions[t->n_actions - 1].named = typed;
    return true;
}

/* Is a conversation on its way? It was said. */
static bool is_opening(struct pv_tui *t)
{
    if (t->opening[0] != '\0')
        pv_tui_note(t, "%.63s is being opened: press Enter again when it is open", t->opening);
    return t->opening[0] != '\0';
}

/* To the one that is shown, unless another is on its way. */
static bool send_here(struct pv_tui *t, const char *text)
{
    return !is_opening(t) && send_to(t, t->convs[t->current].name, text, false);
}

static bool open_named(struct pv_tui *t, const char *name)
{
    size_t index = pv_tui_find_named(t, name);
    bool is_word = name[0] != '\0' && strlen(name) <= PV_NAME_MAX && name[0] != '#';
    for (const char *p = name; is_word && *p != '\0'; p++)
        is_word = *p > ' ' && *p <= '~';
    if (index != SIZE_MAX && name[0] != '\0') {
        pv_tui_open(t, index);
        return true;
    }
    /* The daemon knows who is gone, by name or by "key:AbCd", and which rooms this node left. */
    if (name[0] == '\0')
        pv_tui_note(t, "usage: %s; /peers lists members", pv_tui_usage(PV_TUI_W_OPEN));
    else if (is_word || pv_tui_is_room(name)) {
        /* Another program may have made it since the last list, which is answered first. */
        if (pv_tui_is_room(name))
            pv_tui_want_list(t, PV_TUI_ROOMS);
        return pv_tui_want_open(t, PV_TUI_FORMER, name);
    } else
        pv_tui_note(t, "no peer or room named \"%.63s\": /peers lists them", name);
    return false;
}

static bool set_bell(struct pv_tui *t, const char *name)
{
    if (pv_switch_parse(name, &t->set.bell) != PV_OK) {
        pv_tui_note(t, "usage: %s", pv_tui_usage(PV_TUI_W_BELL));
        return false;
    }
    pv_tui_note(t, t->set.bell ? "the bell rings for what comes in" : "the bell is silent");
    return true;
}

/* The conversation that is named, or the one that is shown. */
static bool set_mute(struct pv_tui *t, enum pv_tui_word word, const char *name)
{
    size_t index = name[0] == '\0' ? t->current : pv_tui_find_named(t, name);
    if (index == SIZE_MAX) {
        pv_tui_note_unknown(t, name);
        return false;
    }
    if (index == 0) {
        pv_tui_note(t, "no conversation is open: usage: %s", pv_tui_usage(word));
        return false;
    }
    pv_tui_want(t, word == PV_TUI_W_MUTE ? PV_TUI_MUTE : PV_TUI_UNMUTE, t->convs[index].name, NULL);
    return true;
}

static bool send_file(struct pv_tui *t, const char *path)
{
    if (path[0] == '\0' || t->current == 0) {
        pv_tui_note(t, path[0] == '\0'
                           ? "usage: /send-file FILE"
                           : "no conversation is open: /open NAME, then /send-file FILE");
        return false;
    }
    if (is_gone(t, &t->convs[t->current]))
        return false;
    pv_tui_want(t, PV_TUI_SEND_FILE, t->convs[t->current].name, strdup(path));
    return true;
}

/* Is the command about the conversation that is shown, while another is on its way, or it is
 * another by now? Then nobody knows which it is for, and it is said why it does not run. */
static bool is_between(struct pv_tui *t, enum pv_tui_word word, const struct pv_tui_words *w)
{
    const bool named = w->name[0] != '\0';
    const bool here =
        word == PV_TUI_W_SEND_FILE || (word == PV_TUI_W_INVITE && w->room[0] == '\0') ||
        (!named && (word == PV_TUI_W_LEAVE || word == PV_TUI_W_MEMBERS || word == PV_TUI_W_JOIN ||
                    word == PV_TUI_W_MUTE || word == PV_TUI_W_UNMUTE));
    return here && (is_opening(t) || is_another(t, &t->convs[t->current]));
}

/* A word that begins with "/", or one of those that the line mode has too. False: what is wrong
 * with it was said in the bar, and the line is given back. */
static bool run_command(struct pv_tui *t, enum pv_tui_word word, const struct pv_tui_words *w)
{
    if (w->more[0] != '\0') {
        pv_tui_note(t, "too many words, from \"%.40s\" on: usage: %s", w->more, pv_tui_usage(word));
        return false;
    }
    if (is_between(t, word, w))
        return false;
    switch (word) {
    case PV_TUI_W_SEND:
        if (w->text[0] != '\0')
            return send_to(t, w->name, w->text, true);
        pv_tui_note(t, "usage: %s", pv_tui_usage(word));
        return false;
    case PV_TUI_W_PEERS:
        t->list_asked = true;
        pv_tui_want(t, PV_TUI_PEERS, "", NULL);
        return true;
    case PV_TUI_W_OPEN:
        return open_named(t, w->name);
    case PV_TUI_W_CLOSE:
        pv_tui_open(t, 0);
        return true;
    case PV_TUI_W_HELP:
        for (size_t i = 0; pv_tui_help[i] != NULL; i++)
            pv_tui_notice_at(t, &t->convs[t->current], pv_tui_help[i], 0);
        return true;
    case PV_TUI_W_EXIT:
        leave(t, false);
        return true;
    case PV_TUI_W_ROOM:
    case PV_TUI_W_ROOMS:
    case PV_TUI_W_CREATE:
    case PV_TUI_W_INVITE:
    case PV_TUI_W_JOIN:
    case PV_TUI_W_LEAVE:
    case PV_TUI_W_MEMBERS:
        return pv_tui_run_room(t, word, w);
    case PV_TUI_W_FILES:
    case PV_TUI_W_FILES_OTHER:
    case PV_TUI_W_ACCEPT:
    case PV_TUI_W_REFUSE:
    case PV_TUI_W_WITHDRAW:
    case PV_TUI_W_GET:
        return pv_tui_run_file(t, word, w->name);
    case PV_TUI_W_SEND_FILE:
        return send_file(t, w->text);
    case PV_TUI_W_SEARCH:
        return pv_tui_search(t, w->text);
    case PV_TUI_W_BELL:
        return set_bell(t, w->name);
    case PV_TUI_W_MUTE:
    case PV_TUI_W_UNMUTE:
        return set_mute(t, word, w->name);
    case PV_TUI_W_NONE:
    case PV_TUI_N_WORDS:
        break;
    }
    if (strcmp(w->name, "me") == 0)
        pv_tui_note(t, "usage: /me TEXT");
    else
        pv_tui_note(t, "no command /%.32s: /help lists the commands; //%.32s sends it as text",
                    w->name, w->name);
    return false;
}

/* Does the word name nobody? A line that is typed before the first list came may be for somebody,
 * and one for a room is for none but those in it. */
static bool is_nobody(struct pv_tui *t, const char *word)
{
    char name[PV_NAME_BUF];
    return word[0] != '#' && !pv_names_is_address(word, name) && t->has_peers &&
           (name[0] == '\0' || pv_tui_find(t, name, false) == SIZE_MAX);
}

/* Takes a line apart; one for the peer that is shown is no command. */
static enum pv_tui_word split(struct pv_tui *t, const char *line, struct pv_tui_words *ret_words)
{
    enum pv_tui_word word = pv_tui_split(line, ret_words);
    /* "send me the file" is a line for the peer, unless there is somebody of that name. */
    if (ret_words->classic && word == PV_TUI_W_SEND && t->current > 0 &&
        (ret_words->text[0] == '\0' || is_nobody(t, ret_words->name))) {
        ret_words->is_command = false;
        ret_words->plain = line;
    }
    return word;
}

/* True: which was said. */
static bool is_too_long(struct pv_tui *t, size_t len)
{
    if (len > PV_CHAT_TEXT_MAX)
        pv_tui_note(t, "a message has at most %d bytes: /send-file FILE sends more",
                    PV_CHAT_TEXT_MAX);
    return len > PV_CHAT_TEXT_MAX;
}

/* False: nothing came of it. */
static bool use_line(struct pv_tui *t, const char *line)
{
    struct pv_tui_words w;
    if (is_too_long(t, strlen(line)))
        return false;
    enum pv_tui_word word = split(t, line, &w);
    if (w.is_command) {
        /* The answer of a command appears at the bottom; a search goes elsewhere. */
        go_down(t);
        return run_command(t, word, &w);
    }
    if (t->current > 0)
        return send_here(t, w.plain);
    pv_tui_note(t, "no conversation is open: Ctrl-N opens one, then Enter sends this line");
    t->line_is_for_any = true;
    return false;
}

/* Returns true if the line is a command without a text or a file that its writer would miss. */
static bool is_short_of_text(const char *line)
{
    struct pv_tui_words w;
    const enum pv_tui_word word = pv_tui_split(line, &w);
    return w.is_command && word != PV_TUI_W_SEND && word != PV_TUI_W_SEND_FILE;
}

static void enter(struct pv_tui *t)
{
    char *line = pv_tuiedit_take(&t->edit);
    const bool warned = pv_tui_is_warned(t);
    t->note[0] = '\0';
    t->line_is_for_any = false;
    /* The whole text is given back: half of it could be sent to whoever is open. Another command
     * that was refused is gone, as in other chats, unless it waits for a
     * conversation to open; the key Up brings it back. */
    if (line != NULL && line[strspn(line, " ")] != '\0' && !use_line(t, line) &&
        (t->opening[0] != '\0' || !is_short_of_text(line)))
        pv_tuiedit_set(&t->edit, line);
    if (warned && pv_tui_is_warned(t))
        t->leave = PV_TUI_STAYS; /* another line was typed since the question */
    free(line);
}

/* --- what is pasted -------------------------------------------------------------------------- */

static size_t count_lines(const char *text)
{
    size_t n = 1;
    for (const char *p = text; *p != '\0'; p++)
        n += *p == '\n' && p[1] != '\0';
    return n;
}

/* As if it were typed, but whole or not at all. */
static void paste_line(struct pv_tui *t, const char *text)
{
    size_t len = strcspn(text, "\n");
    if (is_too_long(t, t->edit.len + len))
        return;
    for (size_t at = 0, n; at < len; at += n) {
        wchar_t c = pv_tui_decode(text + at, &n);
        pv_tuiedit_insert(&t->edit, c == L'\t' ? L' ' : c);
    }
}

/* The text typed before is the message's beginning. The caller frees it; NULL: no memory. */
static char *join_paste(const struct pv_tui *t, const char *paste)
{
    size_t len = strlen(paste);
    while (len > 0 && paste[len - 1] == '\n')
        len--;
    char *text = malloc(t->edit.len + len + 1);
    if (text != NULL) {
        memcpy(text, t->edit.text, t->edit.len);
        memcpy(text + t->edit.len, paste, len);
        text[t->edit.len + len] = '\0';
    }
    return text;
}

/* Are the lines pasted behind a command, which has one? Nobody could say whom they are for. A paste
 * alone is a text whatever it begins with. */
static bool is_behind_command(struct pv_tui *t, const char *paste)
{
    struct pv_tui_words w = {.is_command = false};
    char *text = t->edit.len > 0 ? join_paste(t, paste) : NULL;
    if (text != NULL)
        (void)split(t, text, &w);
    free(text);
    return w.is_command;
}

/* Something else was done than to answer whether to end the chat. */
static void go_on(struct pv_tui *t)
{
    if (t->leave == PV_TUI_WARNED_BY_KEY) {
        t->leave = PV_TUI_STAYS;
        t->note[0] = '\0';
    }
}

void pv_tui_paste(struct pv_tui *t, const char *text)
{
    size_t lines = count_lines(text);
    go_on(t);
    if (t->paste != NULL) { /* it is another answer than Enter, as any other key */
        free(t->paste);
        t->paste = NULL;
        pv_tui_note(t, "not sent");
    }
    if (lines == 1) {
        paste_line(t, text);
        return;
    }
    if (t->current == 0) {
        pv_tui_note(t, "no conversation is open: /open NAME, then paste the %zu lines again",
                    lines);
        return;
    }
    if (t->opening[0] != '\0') {
        pv_tui_note(t, "%.63s is being opened: paste the %zu lines again when it is there",
                    t->opening, lines);
        return;
    }
    size_t len = strlen(text);
    while (len > 0 && text[len - 1] == '\n') /* as when it is sent */
        len--;
    if (len == 0)
        pv_tui_note(t, "the paste has only empty lines");
    if (len == 0 || is_too_long(t, t->edit.len + len))
        return;
    if (is_behind_command(t, text)) {
        pv_tui_note(t, "a command takes one line: /open NAME, then paste the %zu lines", lines);
        return;
    }
    pv_tui_note(t, "%zu lines pasted: Enter sends them to %s, another key does not", lines,
                t->convs[t->current].name);
    t->paste = strdup(text);
}

/* The answer to the question above. */
static void answer_paste(struct pv_tui *t, bool yes)
{
    struct pv_tui_words w;
    char *paste = t->paste;
    char *text = yes ? join_paste(t, paste) : NULL;
    t->paste = NULL;
    if (text != NULL) {
        w.plain = text;
        if (t->edit.len > 0)
            (void)split(t, text, &w); /* behind "//" */
        if (!is_too_long(t, strlen(text))) {
            t->note[0] = '\0';
            if (send_here(t, w.plain)) {
                pv_tuiedit_set(&t->edit, "");
            } else { /* why not was said; it is not lost */
                t->paste = paste;
                paste = NULL;
            }
        }
    } else {
        pv_tui_note(t, "not sent");
    }
    free(text);
    free(paste);
}

/* The next one, or the one before, as the roster shows them. */
static void open_beside(struct pv_tui *t, size_t step)
{
    size_t place = pv_tui_sort(t);
    pv_tui_open(t, t->order[(place + step) % t->n_convs]);
}

/* The next conversation that has something unread, around. */
static void next_unread(struct pv_tui *t)
{
    for (size_t i = 1; i <= t->n_convs; i++) {
        size_t index = (t->current + i) % t->n_convs;
        if (pv_tui_conv_news(&t->convs[index]) == 0)
            continue;
        pv_tui_open(t, index);
        return;
    }
    pv_tui_note(t, "no unread messages");
}

void pv_tui_key(struct pv_tui *t, enum pv_tui_key key, wchar_t arg)
{
    struct pv_tui_conv *c = &t->convs[t->current];
    size_t page = arg > 0 ? (size_t)arg : 1;
    if (t->paste != NULL) {
        answer_paste(t, key == PV_TUI_ENTER);
        return;
    }
    if (key != PV_TUI_QUIT && key != PV_TUI_EOF)
        go_on(t);
    switch (key) {
    case PV_TUI_CHAR:
        pv_tuiedit_insert(&t->edit, arg);
        (void)is_too_long(t, t->edit.len);
        break;
    case PV_TUI_EDIT:
        pv_tuiedit_do(&t->edit, (enum pv_tuiedit_op)arg);
        break;
    case PV_TUI_ENTER:
        enter(t);
        break;
    case PV_TUI_TAB:
        complete(t);
        break;
    case PV_TUI_PAGE_UP:
        page_up(t, c, page);
        break;
    case PV_TUI_PAGE_DOWN:
        c->scroll -= c->scroll < page ? c->scroll : page;
        if (c->scroll == 0)
            go_down(t);
        break;
    case PV_TUI_END:
        /* As with Home and End in a pager, once the line has no use for it. */
        if (t->edit.cursor == t->edit.len)
            go_to_end(t);
        pv_tuiedit_do(&t->edit, PV_TUIEDIT_END);
        break;
    case PV_TUI_BOTTOM:
        go_to_end(t);
        break;
    case PV_TUI_NEXT:
        open_beside(t, 1);
        break;
    case PV_TUI_PREVIOUS:
        open_beside(t, t->n_convs - 1);
        break;
    case PV_TUI_NEXT_UNREAD:
        next_unread(t);
        break;
    case PV_TUI_ROSTER:
        t->set.roster = !t->set.roster;
        break;
    case PV_TUI_EOF:
        /* As in a shell Ctrl-D ends an empty line only: a slip of the finger loses no text. */
        if (t->edit.len == 0)
            leave(t, false);
        else
            pv_tuiedit_do(&t->edit, PV_TUIEDIT_DELETE);
        break;
    case PV_TUI_QUIT:
        leave(t, true);
        break;
    }
}
