/* SPDX-License-Identifier: MIT */
/* tuisearch.c - /search: lines that were told, and those that p2pvpnd finds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chat/screen/model/tuimodel_int.h"

enum {
    FOUND_MAX = 50,  /* lines that are told, the newest; ours */
    FOUND_BUF = 408, /* bytes of one, with the NUL */
    FOUND_WHO = 64 + 16 + PV_KEY_SHORT_BUF,
};

#define SEEKS "looking further back for "

void pv_tui_seek(struct pv_tui *t, struct pv_tui_conv *c, size_t end)
{
    while (end > 0 && strcasestr(c->lines[end - 1].text, c->sought) == NULL)
        end--;
    c->seeks = end == 0 && pv_tui_want_older(t, c);
    if (c->seeks) {
        pv_tui_note(t, SEEKS "\"%s\"", c->sought);
        return;
    }
    if (end == 0)
        pv_tui_note(t, c->found > 0 ? "nothing older has \"%s\"" : "nothing here has \"%s\"",
                    c->sought);
    else if (strncmp(t->note, SEEKS, sizeof(SEEKS) - 1) == 0)
        pv_tui_note(t, "%s", "");
    c->found = end;
    c->show_found = end > 0;
}

void pv_tui_end_search(struct pv_tui *t)
{
    json_decref(t->search.lines);
    t->search.lines = NULL;
}

bool pv_tui_search(struct pv_tui *t, const char *text)
{
    struct pv_tui_conv *c = &t->convs[t->current];
    if (text[0] == '\0') {
        pv_tui_note(t, "usage: %s; once more finds an older line", pv_tui_usage(PV_TUI_W_SEARCH));
        return false;
    }
    if (t->current == 0 && t->search.lines != NULL && strcmp(text, t->search.text) == 0) {
        pv_tui_note(t, "still looking for \"%.80s\"", text);
        return true;
    }
    if (t->current == 0) {
        free(t->search.text);
        json_decref(t->search.lines);
        t->search.text = strdup(text);
        t->search.lines = t->search.text == NULL ? NULL : json_array();
        if (!pv_tui_want(t, PV_TUI_SEARCH, "", strdup(text)))
            pv_tui_end_search(t);
        return true;
    }
    /* Another word is looked for from the newest line on. */
    if (c->sought == NULL || strcmp(c->sought, text) != 0) {
        free(c->sought);
        c->sought = strdup(text);
        c->found = 0;
    }
    if (c->sought != NULL)
        pv_tui_seek(t, c, c->found > 0 ? c->found - 1 : c->n_lines);
    return true;
}

/* The text around the word, in whole characters. */
static void cut_around(const char *text, const char *word, char dst[static FOUND_BUF])
{
    const char *hit = strcasestr(text, word);
    size_t at = hit == NULL ? 0 : (size_t)(hit - text);
    at = at > FOUND_BUF / 2 ? at - FOUND_BUF / 4 : 0;
    while (at > 0 && pv_tui_is_inside(text, at))
        at--;
    size_t len = strnlen(text + at, FOUND_BUF - 8); /* without two times three dots and the NUL */
    while (len > 0 && pv_tui_is_inside(text, at + len))
        len--;
    snprintf(dst, FOUND_BUF, "%s%.*s%s", at > 0 ? "..." : "", (int)len, text + at,
             text[at + len] != '\0' ? "..." : "");
}

/* A machine that had the name at that time, which may be another's by now. */
static const char *machine_of(const json_t *msg, const char *field, const char *former,
                              char dst[static FOUND_WHO])
{
    const char *key = pv_json_text(msg, former, "");
    snprintf(dst, FOUND_WHO, "%.64s%s%s%s", pv_json_text(msg, field, "?"),
             key[0] != '\0' ? " (former, " : "", key[0] != '\0' ? PV_KEY_SHORT_STR(key) : "",
             key[0] != '\0' ? ")" : "");
    return dst;
}

/* "2026-11-20 14:03 pi in #crew: text" */
static void tell_found(struct pv_tui *t, const json_t *msg, const char *word)
{
    struct pv_tui_conv *c = &t->convs[0];
    char from[FOUND_WHO], to[FOUND_WHO], text[FOUND_BUF];
    const char *room = pv_json_text(msg, "room", "");
    const bool unproven = pv_json_bool(msg, "unproven");
    cut_around(pv_json_text(msg, "text", ""), word, text);
    pv_tui_notice_at(
        t, c,
        PV_STR("%s %s%s%s %s %s: %s", PV_TIME_STR(pv_json_real(msg, "time", 0), t->now),
               unproven ? "somebody on " : "", machine_of(msg, "from", "from_former", from),
               unproven ? "'s machine" : "", room[0] != '\0' ? "in" : "to",
               room[0] != '\0' ? room : machine_of(msg, "to", "to_former", to), text),
        0); /* its own stands in it */
}

static bool has(const json_t *msg, const char *text)
{
    return strcasestr(pv_json_text(msg, "text", ""), text) != NULL;
}

/* All that was looked through. */
static void tell_all_found(struct pv_tui *t, const char *text, bool more)
{
    size_t left = json_array_size(t->search.lines);
    const size_t found = left < FOUND_MAX ? left : FOUND_MAX;
    more = more || left > found;
    PV_EACH_JSON(t->search.lines, msg) {
        if (left-- <= FOUND_MAX)
            tell_found(t, msg, text);
    }
    json_decref(t->search.lines);
    t->search.lines = NULL;
    if (found == 0)
        pv_tui_note(t, "nothing has \"%.80s\"", text);
    else
        pv_tui_note(t, "%s%zu line%s %s \"%.80s\": /open NAME, and /search there",
                    more ? "the newest " : "", found, found == 1 ? "" : "s",
                    found == 1 ? "has" : "have", text);
}

void pv_tui_take_found(struct pv_tui *t, const struct pv_tui_action *action, const json_t *body)
{
    const char *text = action->text == NULL ? "" : action->text;
    json_t *lines = json_array();
    /* One that was asked after it took its place. */
    if (t->search.lines == NULL || strcmp(text, t->search.text) != 0 || lines == NULL) {
        json_decref(lines);
        return;
    }
    PV_EACH_JSON(json_object_get(body, "messages"), msg) {
        if (has(msg, text))
            (void)json_array_append(lines, msg);
    }
    (void)json_array_extend(lines, t->search.lines);
    json_decref(t->search.lines);
    t->search.lines = lines;
    const uint64_t upto = (uint64_t)pv_json_int(body, "upto");
    const bool more = pv_json_bool(body, "more");
    if (!more || upto == 0 || json_array_size(lines) >= FOUND_MAX) {
        tell_all_found(t, text, more);
        return;
    }
    pv_tui_note(t, "looking for \"%.80s\"", text);
    struct pv_tui_action older = {.kind = PV_TUI_SEARCH, .text = strdup(text), .upto = upto};
    if (!pv_tui_want_action(t, &older))
        pv_tui_end_search(t);
}
