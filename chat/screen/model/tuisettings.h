/* SPDX-License-Identifier: MIT */
/*
 * tuisettings.h - how a user likes the terminal chat: a file of his own, for several users may
 * share one p2pvpnd. Section [chat] of p2pvpnctl.conf (man p2pvpnctl). One thread.
 */
#pragma once

#include <limits.h>

#include "base/pv.h"
#include "base/text.h"
#include "ctl/lib/ctlconf.h"

enum {
    PV_TUI_ROSTER_COLS = 24, /* columns of the names beside the lines, with their border */
    PV_TUI_ROSTER_MIN = 16,
    PV_TUI_ROSTER_MAX = 77, /* the longest name in it */
    PV_TUI_HIGHLIGHTS = 16, /* words */
};

enum pv_tui_time {
    PV_TUI_TIME_24H, /* 14:05 */
    PV_TUI_TIME_12H, /* 02:05pm */
    PV_TUI_TIME_SECONDS,
    PV_TUI_TIME_OFF,
    PV_TUI_N_TIMES,
};

struct pv_tui_settings {
    bool roster; /* shown; a key changes it */
    unsigned roster_cols;
    enum pv_tui_time time;
    bool wrap;  /* also a word too long for a row, which else goes on at the edge of the screen */
    bool align; /* names, so that texts stand below each other */
    bool colours;
    bool bell;                                      /* rings for what comes in; /bell changes it */
    char highlight[PV_TUI_HIGHLIGHTS][PV_NAME_BUF]; /* beside this node's name */
    size_t n_highlight;
};

/* The defaults. */
void pv_tui_settings_init(struct pv_tui_settings *s);
/* Takes what text says; file: its name, for error. PV_ERR_MALFORMED: error says where and why.
 * PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_tui_settings_parse(struct pv_tui_settings *s, const char *file,
                                        struct pv_view text, char error[static PV_CTLCONF_ERROR]);
/* The same of the user's file, as pv_ctlconf_load(). */
PV_MUST_CHECK int pv_tui_settings_load(struct pv_tui_settings *s,
                                       char error[static PV_CTLCONF_ERROR]);
