/* SPDX-License-Identifier: MIT */
/* A user's settings of the terminal chat: the table of keys, and where their file is. */
#include "ctl/tui/tuisettings.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sys/file/file.h"
#include "sys/file/ini.h"
#include "sys/file/userdirs.h"

enum {
    FILE_BYTES = 65536, /* ours: more is no file of settings */
};

/* The settings being read. */
struct ctx {
    struct pv_tui_settings *s;
    unsigned seen; /* bit i: row i of the table was given */
};

void pv_tui_settings_init(struct pv_tui_settings *s)
{
    *s = (struct pv_tui_settings){.roster = true,
                                  .roster_cols = PV_TUI_ROSTER_COLS,
                                  .wrap = true,
                                  .align = true,
                                  .colours = true};
}

/* --- values; false: what the row expects ------------------------------------------------------ */

static bool take_width(struct pv_tui_settings *s, const char *value)
{
    uint64_t v;
    if (pv_u64_parse(value, PV_TUI_ROSTER_MIN, PV_TUI_ROSTER_MAX, &v) != PV_OK)
        return false;
    s->roster_cols = (unsigned)v;
    return true;
}

static bool take_time(struct pv_tui_settings *s, const char *value)
{
    static const char *const words[PV_TUI_N_TIMES] = {
        [PV_TUI_TIME_24H] = "24h",
        [PV_TUI_TIME_12H] = "12h",
        [PV_TUI_TIME_SECONDS] = "seconds",
        [PV_TUI_TIME_OFF] = "off",
    };
    for (size_t i = 0; i < PV_TUI_N_TIMES; i++) {
        if (strcmp(value, words[i]) != 0)
            continue;
        s->time = (enum pv_tui_time)i;
        return true;
    }
    return false;
}

/* Words of any language; a blank would end what is looked for. */
static bool take_highlight(struct pv_tui_settings *s, const char *value)
{
    size_t len = strlen(value);
    if (s->n_highlight == PV_TUI_HIGHLIGHTS || len == 0 || len > PV_NAME_MAX ||
        strpbrk(value, " \t") != NULL || !pv_utf8_is_valid(pv_view(value, len)))
        return false;
    memcpy(s->highlight[s->n_highlight++], value, len + 1);
    return true;
}

/* A row without a function is a switch. */
#define SWITCH(key, field)                                              \
    {                                                                   \
        key, NULL, offsetof(struct pv_tui_settings, field), "on or off" \
    }
static const struct row {
    const char *key;
    bool (*take)(struct pv_tui_settings *s, const char *value);
    size_t at; /* the switch's place */
    const char *expected;
} ROWS[] = {
    SWITCH("roster", roster),
    {"roster-width", take_width, 0, "columns, from 16 to 77"},
    {"time", take_time, 0, "24h, 12h, seconds or off"},
    SWITCH("wrap", wrap),
    SWITCH("align", align),
    SWITCH("colours", colours),
    {"highlight", take_highlight, 0,
     "one word of at most 63 bytes; repeat the key for more, 16 in all"},
    SWITCH("bell", bell),
};

static bool take(struct pv_tui_settings *s, const struct row *row, const char *value)
{
    bool on;
    if (row->take != NULL)
        return row->take(s, value);
    if (pv_switch_parse(value, &on) != PV_OK)
        return false;
    memcpy((char *)s + row->at, &on, sizeof(on));
    return true;
}

/* --- the file -------------------------------------------------------------------------------- */

static int unknown_key(const char *key, char *error, size_t cap)
{
    int n = snprintf(error, cap, "unknown key %.40s in [chat]: there are", key);
    for (size_t i = 0; i < PV_ARRAY_LEN(ROWS) && n > 0 && (size_t)n < cap; i++)
        n += snprintf(error + n, cap - (size_t)n, "%s %s", i == 0 ? "" : ",", ROWS[i].key);
    return PV_ERR_MALFORMED;
}

static int on_item(void *ctx, const struct pv_ini_item *item, char *error, size_t cap)
{
    struct ctx *c = ctx;
    size_t i = 0;
    if (strcmp(item->section, "chat") != 0) {
        snprintf(error, cap, "%s%.60s%s: there is [chat] only, and keys stand below it",
                 item->key == NULL ? "unknown section [" : "no section before ",
                 item->key == NULL ? item->section : item->key, item->key == NULL ? "]" : "");
        return PV_ERR_MALFORMED;
    }
    if (item->key == NULL)
        return PV_OK;
    while (i < PV_ARRAY_LEN(ROWS) && strcmp(ROWS[i].key, item->key) != 0)
        i++;
    if (i == PV_ARRAY_LEN(ROWS))
        return unknown_key(item->key, error, cap);
    if ((c->seen & 1u << i) != 0 && ROWS[i].take != take_highlight) {
        snprintf(error, cap, "%s: was given before", ROWS[i].key);
        return PV_ERR_MALFORMED;
    }
    c->seen |= 1u << i;
    if (take(c->s, &ROWS[i], item->value))
        return PV_OK;
    snprintf(error, cap, "%s: expected %s", ROWS[i].key, ROWS[i].expected);
    return PV_ERR_MALFORMED;
}

int pv_tui_settings_parse(struct pv_tui_settings *s, const char *file, struct pv_view text,
                          char error[static PV_TUI_SETTINGS_ERROR])
{
    struct ctx c = {.s = s};
    struct pv_ini_error wrong = {0};
    int r = pv_ini_parse(text, on_item, &c, &wrong);
    if (r == PV_ERR_MALFORMED)
        snprintf(error, PV_TUI_SETTINGS_ERROR, "%.380s:%u: %s", file, wrong.line, wrong.text);
    else if (r < 0)
        snprintf(error, PV_TUI_SETTINGS_ERROR, "%.380s: %s", file, pv_strstatus(r));
    return r;
}

int pv_tui_settings_load(struct pv_tui_settings *s, char error[static PV_TUI_SETTINGS_ERROR])
{
    struct pv_userdirs dirs;
    const char *file = dirs.ctl_config;
    char *text = NULL;
    size_t len = 0;
    if (pv_userdirs_find("", &dirs) != PV_OK)
        return PV_OK;
    int r = pv_file_read(file, FILE_BYTES, &text, &len);
    if (r == PV_ERR_NOT_FOUND)
        return PV_OK;
    if (r < 0)
        snprintf(error, PV_TUI_SETTINGS_ERROR, "read %.380s: %s", file,
                 r == PV_ERR_LIMIT ? "not a regular file of at most 64 KiB" : pv_strstatus(r));
    else
        r = pv_tui_settings_parse(s, file, pv_view(text, len), error);
    pv_file_free(text, len);
    return r;
}
