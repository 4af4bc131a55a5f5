/* SPDX-License-Identifier: MIT */
/* tuifiles.c - files: the commands about them, and what p2pvpnd says of each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chat/screen/model/tuimodel_int.h"

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
    t->files[i].in = true; /* until it is told */
    t->files[i].wanted = t->files[i].mine = false;
    t->files[i].state[0] = '\0';
    return i;
}

/* "/accept #ROOM", or without an ID in a room to which this node is invited, is about the
 * invitation. */
static bool answer_invitation(struct pv_tui *t, enum pv_tui_word word, const char *number)
{
    const bool named = number[0] == '#';
    const size_t index = named ? pv_tui_find_named(t, number) : t->current;
    if (index == SIZE_MAX) {
        pv_tui_note_unknown(t, number);
        return false;
    }
    const struct pv_tui_conv *c = &t->convs[index];
    const bool about = (named || number[0] == '\0') && c->part == PV_TUI_INVITED;
    if (about && word == PV_TUI_W_ACCEPT)
        return pv_tui_want(t, PV_TUI_JOIN, c->name, NULL);
    if (about && word == PV_TUI_W_REFUSE)
        pv_tui_note(t, "/leave declines the invitation; /refuse ID refuses a file");
    else
        pv_tui_note(t, "usage: %s; /files lists the IDs", pv_tui_usage(word));
    return false;
}

/* A file of the other direction needs the other word. True: which was said. */
static bool is_other_way(struct pv_tui *t, enum pv_tui_word word, size_t at, const char *number)
{
    if (word == PV_TUI_W_REFUSE && !t->files[at].in)
        pv_tui_note(t, "file %s goes out: /files withdraw %s takes it back", number, number);
    else if (word == PV_TUI_W_WITHDRAW && t->files[at].in)
        pv_tui_note(t, "file %s comes in: /refuse %s refuses it", number, number);
    else
        return false;
    return true;
}

/* Saves each file that has come in and that the screen remembers. */
static bool get_all(struct pv_tui *t)
{
    const size_t n = t->n_files < PV_TUI_MAX_FILES ? t->n_files : PV_TUI_MAX_FILES;
    bool asked = false;
    for (size_t i = 0; i < n; i++) {
        if (!t->files[i].in || strcmp(t->files[i].state, "done") != 0)
            continue;
        const char *number = PV_STR("%u", (unsigned)t->files[i].number);
        asked = pv_tui_want(t, PV_TUI_SAVE, "", strdup(number)) || asked;
    }
    if (!asked)
        pv_tui_note(t, "no file to get: /files lists all");
    return asked;
}

bool pv_tui_run_file(struct pv_tui *t, enum pv_tui_word word, const char *number)
{
    static const enum pv_tui_action_kind kinds[PV_TUI_N_WORDS] = {
        [PV_TUI_W_ACCEPT] = PV_TUI_ACCEPT,
        [PV_TUI_W_REFUSE] = PV_TUI_REFUSE,
        [PV_TUI_W_WITHDRAW] = PV_TUI_REFUSE,
        [PV_TUI_W_GET] = PV_TUI_SAVE,
    };
    bool known;
    uint64_t n;
    if (word == PV_TUI_W_FILES) {
        t->files_asked = true;
        pv_tui_want_list(t, PV_TUI_FILES);
        return true;
    }
    if (word == PV_TUI_W_FILES_OTHER) {
        pv_tui_note(t, "usage: %s", pv_tui_usage(word));
        return false;
    }
    if (word == PV_TUI_W_GET && strcmp(number, "all") == 0)
        return get_all(t);
    if (pv_u64_parse(number, 1, UINT32_MAX, &n) < 0)
        return answer_invitation(t, word, number);
    const size_t at = place_of(t, (uint32_t)n, &known);
    if (known && is_other_way(t, word, at, number))
        return false;
    const bool asked = pv_tui_want(t, kinds[word], "", strdup(number));
    if (word != PV_TUI_W_GET)
        t->files[at].wanted = asked && word == PV_TUI_W_ACCEPT;
    return asked;
}

void pv_tui_miss_file(struct pv_tui *t, const char *number)
{
    bool known;
    uint64_t n;
    if (pv_u64_parse(number, 1, UINT32_MAX, &n) < 0)
        return;
    const size_t at = place_of(t, (uint32_t)n, &known);
    if (t->files[at].state[0] == '\0')
        t->files[at].wanted = false;
}

void pv_tui_take_saved(struct pv_tui *t, const json_t *body, const char *dir, const char *why)
{
    const json_t *f = json_object_get(body, "file");
    const char *name = pv_json_text(f, "name", "?");
    struct pv_tui_line *unused;
    size_t index = pv_tui_place_to_tell(t, f, &unused);
    const char *number = PV_STR("%.0f", pv_json_real(f, "id", 0));
    /* One of another file goes, too: the lines say the rest. */
    if (strstr(t->note, PV_TUI_IS_SAVED) != NULL)
        pv_tui_note(t, "%s", "");
    if (index == SIZE_MAX)
        return;
    char *line = NULL; /* a path has up to 4,096 bytes */
    if (why == NULL)
        pv_tui_want(t, PV_TUI_SAVED, "", strdup(number));
    if ((why == NULL
             ? asprintf(&line, "saved as %s%s%s", dir, strcmp(dir, "/") == 0 ? "" : "/", name)
             : asprintf(&line, "%s is not saved: %s: /get %s, or `%s files get %s -o NAME`", name,
                        why, number,
                        t->flag[0] == '\0' ? "p2pvpnctl" : PV_STR("p2pvpnctl %s", t->flag),
                        number)) < 0)
        return;
    pv_tui_notice(t, &t->convs[index], line);
    /* The number may be typed in any pane: there the bar has room for what happened. */
    if (index != t->current && why == NULL)
        pv_tui_note(t, "%s", line);
    else if (index != t->current)
        pv_tui_note(t, "%s is not saved: %s: see %s", name, why, t->convs[index].name);
    free(line);
}

/* A file that was offered here, and that p2pvpnd has not got any more. That of a room is told below
 * the room's line, wherever that is. */
static bool is_lost(struct pv_tui *t, const json_t *f)
{
    bool known;
    return pv_json_bool(f, "again") &&
           t->files[place_of(t, (uint32_t)pv_json_real(f, "id", 0), &known)].mine;
}

/* A receiver that comes back tells anew what it has long had. */
static bool is_old(const char *state, bool in)
{
    return is_over(state) || (!in && strcmp(state, "done") == 0);
}

/* False: it was in this state when it was told last, or was over before this chat began. */
static bool is_news(struct pv_tui *t, const json_t *f)
{
    bool known, in = pv_tui_file_is_in(f);
    const char *state = pv_json_text(f, "state", "");
    const char *told = PV_STR("%s%s", state, is_lost(t, f) ? "!" : "");
    size_t i = place_of(t, (uint32_t)pv_json_real(f, "id", 0), &known);
    if (known && strcmp(t->files[i].state, told) == 0)
        return false;
    t->files[i].in = in;
    snprintf(t->files[i].state, sizeof(t->files[i].state), "%s", told);
    return known || !is_old(state, in);
}

/* A file that was accepted here is saved as soon as it is there. */
static bool take_it(struct pv_tui *t, uint32_t number)
{
    bool known;
    size_t i = place_of(t, number, &known);
    if (!t->files[i].wanted)
        return false;
    t->files[i].wanted = false;
    pv_tui_want(t, PV_TUI_SAVE, "", strdup(PV_STR("%lu", (unsigned long)number)));
    return true;
}

/* The notice of a file that is told in no line; in a room it says who offers. False: there is none.
 */
static bool words_of(const json_t *f, char *line, size_t cap)
{
    const char *peer = pv_json_text(f, "peer", ""), *name = pv_json_text(f, "name", "?");
    const char *state = pv_json_text(f, "state", ""), *why = pv_json_text(f, "why", "");
    unsigned long number = (unsigned long)pv_json_real(f, "id", 0);
    bool in = pv_tui_file_is_in(f), room = pv_json_text(f, "room", NULL) != NULL;
    if (pv_json_bool(f, "again"))
        why = PV_TUI_OFFER_AGAIN;
    if (in && strcmp(state, "offered") == 0)
        snprintf(line, cap, "%s%soffers %s (%s): /accept %lu, /refuse %lu", room ? peer : "",
                 room ? " " : "", name, PV_BYTES_STR(pv_json_real(f, "size", 0)), number, number);
    else if (in && strcmp(state, "done") == 0)
        snprintf(line, cap, "%s%s%s has arrived: /get %lu", name, room ? " of " : "",
                 room ? peer : "", number);
    else if (in && strcmp(state, "saved") == 0)
        return false; /* that was said by the one who saved it */
    else
        snprintf(line, cap, "file %s %s %s (%s)%s%s", in ? "from" : "to", peer, name, state,
                 why[0] != '\0' ? ": " : "", why);
    return true;
}

/* Of a file that stopped, or is complete, nothing more is said. */
static void end_progress(struct pv_tui *t)
{
    if (strcmp(t->note, t->progress) == 0)
        t->note[0] = '\0';
}

/* time: of the notice, Unix seconds. */
static void take_file(struct pv_tui *t, const json_t *f, double time)
{
    char line[640];
    const char *state = pv_json_text(f, "state", "");
    uint32_t number = (uint32_t)pv_json_real(f, "id", 0);
    struct pv_tui_line *offer;
    size_t index = pv_tui_place_to_tell(t, f, &offer);
    t->files_moving = t->files_moving || strcmp(state, "accepted") == 0;
    if (index == SIZE_MAX || !is_news(t, f))
        return;
    end_progress(t); /* the next list has that of the others */
    /* It is said when it is saved. */
    bool taken = pv_tui_file_is_in(f) && strcmp(state, "done") == 0 && take_it(t, number);
    struct pv_tui_conv *c = &t->convs[index];
    if (offer != NULL) {
        pv_tui_want_list(t, PV_TUI_FILES);
    } else if (!taken && words_of(f, line, sizeof(line))) {
        size_t before = c->n_lines;
        pv_tui_notice_at(t, c, line, time);
        if (c->n_lines > before) {
            c->lines[before].file = pv_tui_file_is_in(f) ? number : 0;
            snprintf(c->lines[before].key, sizeof(c->lines[before].key), "%s",
                     pv_json_text(f, "key", ""));
        }
    } else {
        return;
    }
    /* The one who saves it has an answer. */
    const bool answered = taken || (pv_tui_file_is_in(f) && strcmp(state, "saved") == 0);
    if (index == t->current || answered || !(pv_tui_file_is_in(f) || offer == NULL))
        return;
    pv_tui_note(t, pv_tui_file_is_in(f) ? PV_TUI_FILE_OF : "a file to %s: /open %s",
                pv_json_text(f, "peer", "?"), c->name);
    c->offers += pv_tui_file_is_in(f) && offer == NULL && strcmp(state, "offered") == 0;
}

void pv_tui_take_file(struct pv_tui *t, const json_t *body)
{
    take_file(t, json_object_get(body, "file"), t->now);
}

void pv_tui_take_offered(struct pv_tui *t, const json_t *body)
{
    bool known;
    size_t room;
    const json_t *f = json_object_get(body, "file");
    pv_tui_take_file(t, body);
    t->files[place_of(t, (uint32_t)pv_json_real(f, "id", 0), &known)].mine =
        pv_tui_offer_of(t, f, &room) == NULL;
}

/* Also of one that no event has told of, as it was offered before this chat began: what it was then
 * is no news when it is told again. One of a muted peer stays unknown: what becomes of it is no
 * news either. */
static void note_way(struct pv_tui *t, const json_t *f, bool first)
{
    const char *state = pv_json_text(f, "state", "");
    bool known;
    if (is_old(state, pv_tui_file_is_in(f)) || pv_json_bool(f, "muted"))
        return;
    const size_t i = place_of(t, (uint32_t)pv_json_real(f, "id", 0), &known);
    t->files[i].in = pv_tui_file_is_in(f);
    if (first && t->files[i].state[0] == '\0')
        snprintf(t->files[i].state, sizeof(t->files[i].state), "%s", state);
}

/* How far an accepted file is, or what it waits for. That may last, and leaves another note alone.
 */
static void note_progress(struct pv_tui *t, const json_t *f)
{
    const char *name = pv_json_text(f, "name", "?"), *peer = pv_json_text(f, "peer", "?");
    const char *way = pv_tui_file_is_in(f) ? "from" : "to", *why = pv_json_text(f, "why", "");
    const double size = pv_json_real(f, "size", 0), done = pv_json_real(f, "done", 0);
    if (pv_json_bool(f, "running") && size > 0)
        pv_tui_note(t, "%s %s %s: %.0f %% of %s", name, way, peer, 100.0 * done / size,
                    PV_BYTES_STR(size));
    else if (why[0] != '\0' && t->note[0] == '\0')
        pv_tui_note(t, "%s %s %s waits: %s", name, way, peer, why);
    else
        return;
    if (t->paste == NULL)
        memcpy(t->progress, t->note, sizeof(t->progress));
}

/* "3  from pi: photo.jpg (2.9 MiB), received: /get 3" */
static void tell_listed(struct pv_tui *t, const json_t *f)
{
    char todo[48] = "";
    const char *state = pv_json_text(f, "state", "?");
    const unsigned long number = (unsigned long)pv_json_real(f, "id", 0);
    const bool in = pv_tui_file_is_in(f), received = in && strcmp(state, "done") == 0;
    if (in && strcmp(state, "offered") == 0)
        snprintf(todo, sizeof(todo), ": /accept %lu, /refuse %lu", number, number);
    else if (received)
        snprintf(todo, sizeof(todo), ": /get %lu", number);
    pv_tui_notice(t, &t->convs[t->current],
                  PV_STR("%lu  %s %.80s: %.255s (%s), %.20s%s", number, in ? "from" : "to",
                         pv_json_text(f, "peer", "?"), pv_json_text(f, "name", "?"),
                         PV_BYTES_STR(pv_json_real(f, "size", 0)), received ? "received" : state,
                         todo));
}

/* The answer to /files. */
static void tell_list(struct pv_tui *t, const json_t *files)
{
    PV_EACH_JSON(files, f)
        tell_listed(t, f);
    if (json_array_size(files) == 0)
        pv_tui_notice(t, &t->convs[t->current], "no files: /send-file FILE offers one");
}

void pv_tui_take_files(struct pv_tui *t, const json_t *body)
{
    const bool first = !t->has_files;
    if (t->files_asked)
        tell_list(t, json_object_get(body, "files"));
    t->files_asked = false;
    t->has_files = true;
    t->files_moving = false;
    end_progress(t);
    PV_EACH_JSON(json_object_get(body, "files"), f) {
        /* An offer that waited before this chat began has no event, and a muted one none at all. */
        if (first && pv_tui_file_is_in(f) && !pv_json_bool(f, "muted") &&
            (pv_json_is(f, "state", "offered") || pv_json_is(f, "state", "done")))
            take_file(t, f, pv_json_real(f, "time", 0));
        if (first && is_lost(t, f))
            take_file(t, f, t->now);
        note_way(t, f, first);
        pv_tui_tell_in_room(t, json_object_get(body, "files"), f);
        if (!pv_json_is(f, "state", "accepted"))
            continue;
        t->files_moving = true;
        note_progress(t, f);
    }
}
