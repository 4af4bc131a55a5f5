/* SPDX-License-Identifier: MIT */
/* A user's settings of the terminal chat: the table of keys. */
#include "chat/screen/model/tuisettings.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "ctl/lib/ctlconf.h"

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
    struct pv_text text = pv_text_in(error, cap);
    pv_text_add(&text, "unknown key %.40s in [chat]: there are", key);
    for (size_t i = 0; i < PV_ARRAY_LEN(ROWS); i++)
        pv_text_add(&text, "%s %s", i == 0 ? "" : ",", ROWS[i].key);
    return PV_ERR_MALFORMED;
}

static int take_key(void *ctx, const char *key, const char *value, char *error, size_t cap)
{
    struct ctx *c = ctx;
    size_t i = 0;
    while (i < PV_ARRAY_LEN(ROWS) && strcmp(ROWS[i].key, key) != 0)
        i++;
    if (i == PV_ARRAY_LEN(ROWS))
        return unknown_key(key, error, cap);
    if ((c->seen & 1u << i) != 0 && ROWS[i].take != take_highlight) {
        snprintf(error, cap, "%s: was given before", ROWS[i].key);
        return PV_ERR_MALFORMED;
    }
    c->seen |= 1u << i;
    if (take(c->s, &ROWS[i], value))
        return PV_OK;
    snprintf(error, cap, "%s: expected %s", ROWS[i].key, ROWS[i].expected);
    return PV_ERR_MALFORMED;
}

int pv_tui_settings_parse(struct pv_tui_settings *s, const char *file, struct pv_view text,
                          char error[static PV_CTLCONF_ERROR])
{
    return pv_ctlconf_parse("chat", take_key, &(struct ctx){.s = s}, file, text, error);
}

int pv_tui_settings_load(struct pv_tui_settings *s, char error[static PV_CTLCONF_ERROR])
{
    return pv_ctlconf_load("chat", take_key, &(struct ctx){.s = s}, error);
}
