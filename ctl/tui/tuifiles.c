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

void pv_tui_take_saved(struct pv_tui *t, const json_t *body, const char *why)
{
    const json_t *f = json_object_get(body, "file");
    char line[640], number[16];
    const char *name = pv_json_text(f, "name", "?"), *peer = pv_json_text(f, "peer", "");
    size_t index = peer[0] == '\0' ? SIZE_MAX : pv_tui_find(t, peer, true);
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

void pv_tui_take_file(struct pv_tui *t, const json_t *body)
{
    const json_t *f = json_object_get(body, "file");
    char line[640], size[PV_SHOW_BUF];
    const char *peer = pv_json_text(f, "peer", ""), *name = pv_json_text(f, "name", "?");
    const char *state = pv_json_text(f, "state", ""), *why = pv_json_text(f, "why", "");
    unsigned long number = (unsigned long)pv_json_real(f, "id", 0);
    bool in = strcmp(pv_json_text(f, "direction", ""), "in") == 0;
    size_t index = peer[0] == '\0' ? SIZE_MAX : pv_tui_find(t, peer, true);
    t->files_moving = t->files_moving || strcmp(state, "accepted") == 0;
    if (index == SIZE_MAX || !is_news(t, (uint32_t)number, in, state))
        return;
    pv_bytes_format(pv_json_real(f, "size", 0), size);
    if (in && strcmp(state, "offered") == 0)
        snprintf(line, sizeof(line), "offers %s (%s): /accept %lu, /refuse %lu", name, size, number,
                 number);
    else if (in && strcmp(state, "done") == 0 && take_it(t, (uint32_t)number))
        return; /* said when it is saved */
    else if (in && strcmp(state, "done") == 0)
        snprintf(line, sizeof(line), "%s has arrived: /save %lu", name, number);
    else if (in && strcmp(state, "saved") == 0)
        return; /* that was said by the one who saved it */
    else
        snprintf(line, sizeof(line), "file %s %s %s (%s)%s%s", in ? "from" : "to", peer, name,
                 state, why[0] != '\0' ? ": " : "", why);
    pv_tui_notice(t, &t->convs[index], line);
    if (index != t->current)
        pv_tui_note(t, "a file of %s: /open %s", peer, peer);
}

void pv_tui_take_files(struct pv_tui *t, const json_t *body)
{
    const json_t *f;
    size_t i;
    t->files_moving = false;
    json_array_foreach(json_object_get(body, "files"), i, f)
    {
        double size = pv_json_real(f, "size", 0), done = pv_json_real(f, "done", 0);
        bool in = strcmp(pv_json_text(f, "direction", ""), "in") == 0;
        char all[PV_SHOW_BUF];
        if (strcmp(pv_json_text(f, "state", ""), "accepted") != 0)
            continue;
        t->files_moving = true;
        if (!pv_json_bool(f, "running") || size <= 0)
            continue;
        pv_bytes_format(size, all);
        pv_tui_note(t, "%s %s %s: %.0f %% of %s", pv_json_text(f, "name", "?"), in ? "from" : "to",
                    pv_json_text(f, "peer", "?"), 100.0 * done / size, all);
    }
}
