/* SPDX-License-Identifier: MIT */
/* tuifiles.c - what the terminal chat tells of files: offers, how far they are, what became of
 * them. */
#include <stdio.h>
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

/* False: it was in this state when it was told last, or was over before this chat began. */
static bool is_news(struct pv_tui *t, uint32_t number, bool in, const char *state)
{
    /* The array is a ring. When a file has fallen out of it, the file is at worst announced
     * twice. */
    size_t n = t->n_files < PV_TUI_MAX_FILES ? t->n_files : PV_TUI_MAX_FILES, i = 0;
    while (i < n && t->files[i].number != number)
        i++;
    bool known = i < n;
    if (!known)
        i = t->n_files++ % PV_TUI_MAX_FILES;
    else if (strcmp(t->files[i].state, state) == 0)
        return false;
    t->files[i].number = number;
    t->files[i].in = in;
    snprintf(t->files[i].state, sizeof(t->files[i].state), "%s", state);
    return known || !is_over(state);
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
    else if (in && strcmp(state, "done") == 0)
        snprintf(line, sizeof(line), "%s has arrived: p2pvpnctl files get %lu", name, number);
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
