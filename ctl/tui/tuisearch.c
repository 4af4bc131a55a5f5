/* SPDX-License-Identifier: MIT */
/* tuisearch.c - /search: in the conversation that is shown, or in all of them. */
#include <stdlib.h>
#include <string.h>

#include "ctl/lib/show.h"
#include "ctl/tui/tuimodel_int.h"

enum {
    FOUND_MAX = 50, /* lines that are told, the newest; ours */
};

bool pv_tui_search(struct pv_tui *t, const char *text)
{
    struct pv_tui_conv *c = &t->convs[t->current];
    size_t i = c->found > 0 ? c->found - 1 : c->n_lines;
    if (text[0] == '\0') {
        pv_tui_note(t, "/search TEXT; once more finds what is older");
        return false;
    }
    if (t->current == 0) {
        pv_tui_want(t, PV_TUI_SEARCH, "", strdup(text));
        return true;
    }
    while (i > 0 && strcasestr(c->lines[i - 1].text, text) == NULL)
        i--;
    if (i == 0)
        pv_tui_note(t, c->found > 0 ? "nothing older has \"%s\"%s" : "nothing here has \"%s\"%s",
                    text, c->more ? ": PgUp at the top loads what is older" : "");
    c->found = i;
    c->show_found = i > 0;
    return true;
}

/* "2026-11-20 14:03 pi in #crew: text" */
static void tell_found(struct pv_tui *t, const json_t *msg)
{
    struct pv_tui_conv *c = &t->convs[0];
    char line[640], when[PV_SHOW_BUF];
    const char *room = pv_json_text(msg, "room", "");
    const char *way = room[0] != '\0' ? " in " : " to ";
    snprintf(line, sizeof(line), "%s %.64s%s%.64s: %.400s",
             pv_show_time(pv_json_real(msg, "time", 0), t->now, when),
             pv_json_text(msg, "from", "?"), way,
             room[0] != '\0' ? room : pv_json_text(msg, "to", "?"), pv_json_text(msg, "text", ""));
    pv_tui_notice(t, c, line);
    if (c->n_lines > 0)
        c->lines[c->n_lines - 1].time = 0; /* its own stands in it */
}

static bool has(const json_t *msg, const char *text)
{
    return strcasestr(pv_json_text(msg, "text", ""), text) != NULL;
}

void pv_tui_take_found(struct pv_tui *t, const char *text, const json_t *body)
{
    const json_t *list = json_object_get(body, "messages"), *msg;
    size_t i, found = 0, left;
    json_array_foreach(list, i, msg) found += has(msg, text);
    left = found;
    json_array_foreach(list, i, msg)
    {
        if (has(msg, text) && left-- <= FOUND_MAX)
            tell_found(t, msg);
    }
    if (found == 0)
        pv_tui_note(t, "nothing has \"%.80s\"", text);
    else
        pv_tui_note(t, "%zu line%s %s \"%.80s\": /open NAME, and /search there", found,
                    found == 1 ? "" : "s", found == 1 ? "has" : "have", text);
}
