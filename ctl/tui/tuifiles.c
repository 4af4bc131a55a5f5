/* SPDX-License-Identifier: MIT */
/* tuifiles.c - what the terminal chat tells of files: offers, how far they are, what became of
 * them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/lib/show.h"
#include "ctl/tui/tuimodel_int.h"

static bool is_over(const char *state)
{
    static const char *const over[] = {"saved", "refused", "withdrawn", "failed"};
    for (size_t i = 0; i < PV_ARRAY_LEN(over); i++) {
        if (strcmp(state, over[i]) == 0)
            return true;
    }
    return false;
}

/* The place of a file in the ring; that of a new one when it is not there: then *ret_known is
 * false. When a file has fallen out of it, it is at worst announced twice. */
static size_t place_of(struct pv_tui *t, uint32_t number, bool *ret_known)
{
    size_t n = t->n_files < PV_TUI_MAX_FILES ? t->n_files : PV_TUI_MAX_FILES, i = 0;
    while (i < n && t->files[i].number != number)
        i++;
    *ret_known = i < n;
    if (i < n)
        return i;
    i = t->n_files++ % PV_TUI_MAX_FILES;
    t->files[i].number = number;
    t->files[i].wanted = false;
    t->files[i].state[0] = '\0';
    return i;
}

bool pv_tui_run_file(struct pv_tui *t, enum pv_tui_word word, const char *number)
{
    bool known;
    /* strtoul() would make a number of any word, so the digits are checked here. */
    if (number[0] == '\0' || number[strspn(number, "0123456789")] != '\0') {
        pv_tui_note(t, "%s NUMBER",
                    word == PV_TUI_W_ACCEPT   ? "/accept"
                    : word == PV_TUI_W_REFUSE ? "/refuse"
                                              : "/save");
        return false;
    }
    if (word != PV_TUI_W_SAVE)
        t->files[place_of(t, (uint32_t)strtoul(number, NULL, 10), &known)].wanted =
            word == PV_TUI_W_ACCEPT;
    pv_tui_want(t,
                word == PV_TUI_W_ACCEPT   ? PV_TUI_ACCEPT
                : word == PV_TUI_W_REFUSE ? PV_TUI_REFUSE
                                          : PV_TUI_SAVE,
                "", strdup(number));
    return true;
}

/* --- rooms --------------------------------------------------------------------------------- */

static bool is_in(const json_t *file)
{
    return strcmp(pv_json_text(file, "direction", ""), "in") == 0;
}

/* A line of a room; NULL: there is none with this id. */
static struct pv_tui_line *line_of(struct pv_tui *t, const char *id, size_t *ret_index)
{
    struct pv_tui_line *line = NULL;
    for (size_t i = 1; i < t->n_convs && line == NULL; i++) {
        if (!pv_tui_conv_is_room(&t->convs[i]))
            continue;
        line = pv_tui_line(&t->convs[i], id);
        *ret_index = i;
    }
    return line;
}

/* Does the line, without what became of it, say that file's name and size? */
static bool says(const struct pv_tui_line *line, const json_t *file)
{
    char offer[PV_SHOW_OFFER_BUF], shown[5 * PV_SHOW_OFFER_BUF];
    (void)pv_show_offer(pv_json_text(file, "name", ""), pv_json_real(file, "size", 0), offer);
    size_t len = pv_chat_show(pv_view(offer, strlen(offer)), shown, sizeof(shown));
    size_t said = line->said == 0 ? strlen(line->text) : line->said;
    return said == len && memcmp(line->text, shown, len) == 0;
}

/* The line of a room that offers the file: it has the file's id, and is of who sends it, so that
 * nobody hides an offer of his behind another's line. A file that comes in is told in no line
 * that names another one: a person accepts what the line says. */
static struct pv_tui_line *offer_of(struct pv_tui *t, const json_t *file, size_t *ret_index)
{
    struct pv_tui_line *line = line_of(t, pv_json_text(file, "transfer", ""), ret_index);
    if (line == NULL || line->outgoing == is_in(file) || !pv_show_is_offer(line->text))
        return NULL;
    bool trusted = line->outgoing ||
                   (!line->former && strcmp(line->from, pv_json_text(file, "peer", "")) == 0 &&
                    says(line, file));
    return trusted ? line : NULL;
}

/* The conversation in which a file is told: the room with its line, or that of its peer. SIZE_MAX:
 * none. */
static size_t place_to_tell(struct pv_tui *t, const json_t *file, struct pv_tui_line **ret_line)
{
    const char *peer = pv_json_text(file, "peer", "");
    size_t index = SIZE_MAX;
    *ret_line = offer_of(t, file, &index);
    if (*ret_line != NULL)
        return index;
    return peer[0] == '\0' ? SIZE_MAX : pv_tui_find(t, peer, true);
}

void pv_tui_take_present(struct pv_tui *t, const struct pv_tui_action *action, const char *name,
                         double size, const json_t *body)
{
    json_t *members = json_object_get(body, "members");
    const json_t *m;
    size_t i, n = 0;
    json_array_foreach(members, i, m) n += pv_show_gets_file(m);
    if (n == 0 || action->text == NULL) {
        pv_tui_note(t, "nobody else of %s is there: a file goes to those who are", action->peer);
        return;
    }
    if (t->gift.path != NULL) {
        pv_tui_note(t, "one file after the other: /send-file again in a moment");
        return;
    }
    t->gift.path = strdup(action->text);
    t->gift.members = json_incref(members);
    memcpy(t->gift.room, action->peer, sizeof(t->gift.room));
    pv_show_offer(name, size, t->gift.line);
    pv_tui_want(t, PV_TUI_SEND, action->peer, strdup(t->gift.line));
}

static bool is_gift(const struct pv_tui *t, const char *room, const char *text)
{
    return t->gift.path != NULL && strcmp(t->gift.room, room) == 0 &&
           strcmp(t->gift.line, text) == 0;
}

static void end_gift(struct pv_tui *t)
{
    free(t->gift.path);
    json_decref(t->gift.members);
    t->gift.path = NULL;
    t->gift.members = NULL;
}

void pv_tui_give(struct pv_tui *t, const json_t *msg)
{
    const json_t *m;
    size_t i;
    if (!is_gift(t, pv_json_text(msg, "room", ""), pv_json_text(msg, "text", "")))
        return;
    json_array_foreach(t->gift.members, i, m)
    {
        if (!pv_show_gets_file(m))
            continue;
        /* There is a place for each, unless the person asks faster than p2pvpnd answers. */
        if (t->n_actions == PV_TUI_MAX_ACTIONS) {
            pv_tui_note(t, "not offered to all: too much at once, /send-file again in a moment");
            break;
        }
        pv_tui_want(t, PV_TUI_SEND_FILE, pv_json_text(m, "name", "?"), strdup(t->gift.path));
        snprintf(t->actions[t->n_actions - 1].id, sizeof(t->actions[0].id), "%s",
                 pv_json_text(msg, "id", ""));
    }
    end_gift(t);
}

bool pv_tui_keep(struct pv_tui *t, const struct pv_tui_action *action, const char *error)
{
    size_t room;
    if (action->kind == PV_TUI_SEND_FILE && line_of(t, action->id, &room) != NULL) {
        pv_tui_notice(t, &t->convs[room], error);
        return true;
    }
    if (action->kind != PV_TUI_SEND || action->text == NULL ||
        !is_gift(t, action->peer, action->text))
        return false;
    end_gift(t);
    return true;
}

/* Says behind the line that offers a file how that went on. */
static void tell_in_line(struct pv_tui_line *line, const char *what)
{
    if (line->said == 0)
        line->said = strlen(line->text);
    char *text = realloc(line->text, line->said + strlen(what) + 3);
    if (text == NULL)
        return;
    line->text = text;
    memcpy(text + line->said, ": ", 2);
    memcpy(text + line->said + 2, what, strlen(what) + 1);
}

/* An offer comes before the line that says it, and was told where its sender is. */
static void forget_notice(struct pv_tui *t, const char *peer, uint32_t number)
{
    size_t index = pv_tui_find(t, peer, false);
    struct pv_tui_conv *c = index == SIZE_MAX ? NULL : &t->convs[index];
    for (size_t i = c == NULL ? 0 : c->n_lines; i > 0; i--) {
        if (c->lines[i - 1].file == number) {
            pv_tui_drop_line(c, &c->lines[i - 1]);
            return;
        }
    }
}

/* The line of a sender counts the members that have it, the line at a receiver says how to answer.
 */
static void tell_in_room(struct pv_tui *t, const json_t *files, const json_t *f)
{
    const char *transfer = pv_json_text(f, "transfer", ""), *state = pv_json_text(f, "state", "");
    unsigned long number = (unsigned long)pv_json_real(f, "id", 0);
    size_t room, i, all = 0, took = 0;
    char what[64];
    const json_t *other;
    struct pv_tui_line *line = offer_of(t, f, &room);
    if (line == NULL)
        return;
    json_array_foreach(files, i, other)
    {
        bool same = !is_in(other) && strcmp(pv_json_text(other, "transfer", ""), transfer) == 0;
        all += same;
        took += same && strcmp(pv_json_text(other, "state", ""), "done") == 0;
    }
    if (line->outgoing)
        snprintf(what, sizeof(what), "%zu of %zu took it", took, all);
    else if (strcmp(state, "offered") == 0)
        snprintf(what, sizeof(what), "/accept %lu, /refuse %lu", number, number);
    else if (strcmp(state, "done") == 0)
        snprintf(what, sizeof(what), "/save %lu", number);
    else
        snprintf(what, sizeof(what), "%.40s", state);
    tell_in_line(line, what);
    if (!line->outgoing)
        forget_notice(t, line->from, (uint32_t)number);
}

void pv_tui_want_files(struct pv_tui *t)
{
    for (size_t i = 0; i < t->n_actions; i++) {
        if (t->actions[i].kind == PV_TUI_FILES)
            return;
    }
    pv_tui_want(t, PV_TUI_FILES, "", NULL);
}

/* --- what the daemon says ------------------------------------------------------------------ */

void pv_tui_take_saved(struct pv_tui *t, const json_t *body, const char *why)
{
    const json_t *f = json_object_get(body, "file");
    char line[640], number[16];
    const char *name = pv_json_text(f, "name", "?");
    struct pv_tui_line *unused;
    size_t index = place_to_tell(t, f, &unused);
    snprintf(number, sizeof(number), "%.0f", pv_json_real(f, "id", 0));
    if (index == SIZE_MAX)
        return;
    if (why == NULL) {
        snprintf(line, sizeof(line), "%s is saved where this chat was started", name);
        pv_tui_want(t, PV_TUI_SAVED, "", strdup(number));
    } else {
        snprintf(line, sizeof(line), "%s is not saved: %s: /save %s, or p2pvpnctl files get %s",
                 name, why, number, number);
    }
    pv_tui_notice(t, &t->convs[index], line);
}

/* False: it was in this state when it was told last, or was over before this chat began. */
static bool is_news(struct pv_tui *t, uint32_t number, bool in, const char *state)
{
    bool known;
    size_t i = place_of(t, number, &known);
    if (known && strcmp(t->files[i].state, state) == 0)
        return false;
    t->files[i].in = in;
    snprintf(t->files[i].state, sizeof(t->files[i].state), "%s", state);
    return known || !is_over(state);
}

/* A file that was accepted here is saved as soon as it is there. */
static bool take_it(struct pv_tui *t, uint32_t number)
{
    bool known;
    char text[16];
    size_t i = place_of(t, number, &known);
    if (!t->files[i].wanted)
        return false;
    t->files[i].wanted = false;
    snprintf(text, sizeof(text), "%lu", (unsigned long)number);
    pv_tui_want(t, PV_TUI_SAVE, "", strdup(text));
    return true;
}

/* The notice of a file outside of rooms; false: there is none. */
static bool words_of(const json_t *f, char *line, size_t cap)
{
    char size[PV_SHOW_BUF];
    const char *peer = pv_json_text(f, "peer", ""), *name = pv_json_text(f, "name", "?");
    const char *state = pv_json_text(f, "state", ""), *why = pv_json_text(f, "why", "");
    unsigned long number = (unsigned long)pv_json_real(f, "id", 0);
    bool in = is_in(f);
    pv_bytes_format(pv_json_real(f, "size", 0), size);
    if (in && strcmp(state, "offered") == 0)
        snprintf(line, cap, "offers %s (%s): /accept %lu, /refuse %lu", name, size, number, number);
    else if (in && strcmp(state, "done") == 0)
        snprintf(line, cap, "%s has arrived: /save %lu", name, number);
    else if (in && strcmp(state, "saved") == 0)
        return false; /* that was said by the one who saved it */
    else
        snprintf(line, cap, "file %s %s %s (%s)%s%s", in ? "from" : "to", peer, name, state,
                 why[0] != '\0' ? ": " : "", why);
    return true;
}

void pv_tui_take_file(struct pv_tui *t, const json_t *body)
{
    const json_t *f = json_object_get(body, "file");
    char line[640];
    const char *state = pv_json_text(f, "state", "");
    uint32_t number = (uint32_t)pv_json_real(f, "id", 0);
    struct pv_tui_line *offer;
    size_t index = place_to_tell(t, f, &offer);
    t->files_moving = t->files_moving || strcmp(state, "accepted") == 0;
    if (index == SIZE_MAX || !is_news(t, number, is_in(f), state))
        return;
    /* It is said when it is saved. */
    bool taken = is_in(f) && strcmp(state, "done") == 0 && take_it(t, number);
    struct pv_tui_conv *c = &t->convs[index];
    if (offer != NULL) {
        pv_tui_want_files(t);
    } else if (!taken && words_of(f, line, sizeof(line))) {
        size_t before = c->n_lines;
        pv_tui_notice(t, c, line);
        if (c->n_lines > before && is_in(f))
            c->lines[before].file = number;
    } else {
        return;
    }
    if (index != t->current && (is_in(f) || offer == NULL))
        pv_tui_note(t, "a file of %s: /open %s", pv_json_text(f, "peer", "?"), c->name);
}

void pv_tui_take_files(struct pv_tui *t, const json_t *body)
{
    const json_t *f;
    size_t i;
    t->files_moving = false;
    json_array_foreach(json_object_get(body, "files"), i, f)
    {
        tell_in_room(t, json_object_get(body, "files"), f);
        double size = pv_json_real(f, "size", 0), done = pv_json_real(f, "done", 0);
        char all[PV_SHOW_BUF];
        if (strcmp(pv_json_text(f, "state", ""), "accepted") != 0)
            continue;
        t->files_moving = true;
        if (!pv_json_bool(f, "running") || size <= 0)
            continue;
        pv_bytes_format(size, all);
        pv_tui_note(t, "%s %s %s: %.0f %% of %s", pv_json_text(f, "name", "?"),
                    is_in(f) ? "from" : "to", pv_json_text(f, "peer", "?"), 100.0 * done / size,
                    all);
    }
}
