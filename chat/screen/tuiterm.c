/* SPDX-License-Identifier: MIT */
/* tuiterm.c - apart from tui.c because the macros of term.h are ordinary words. */
#include "chat/screen/tuiterm.h"

#include <curses.h>
#include <stdlib.h>
#include <string.h>
#include <term.h>
#include <unistd.h>

#include "base/text.h"

bool pv_tuiterm_is_described(const char *term)
{
    int status = 0;
    /* With a place for the status setupterm() returns where it otherwise ends the process. */
    if (setupterm(term, STDOUT_FILENO, &status) != OK)
        return false;
    const bool moves = cursor_address != NULL;
    (void)del_curterm(cur_term);
    return moves;
}

/* "foot" is the name, or stands before a "-". */
static bool is_kind(const char *term, const char *kind)
{
    const size_t len = strlen(kind);
    return strncmp(term, kind, len) == 0 && (term[len] == '\0' || term[len] == '-');
}

const char *pv_tuiterm_description(const char *term, bool (*is_described)(const char *term))
{
    static const char *const followers[] = {"alacritty", "contour", "foot",   "ghostty", "gnome",
                                            "kitty",     "konsole", "mintty", "rio",     "screen",
                                            "st",        "tmux",    "vte",    "wezterm", "xterm"};
    static const char *const xterms[] = {"xterm-256color", "xterm"};
    bool follows = false;
    if (term == NULL || term[0] == '\0')
        return NULL;
    if (is_described(term))
        return term;
    for (size_t i = 0; i < PV_ARRAY_LEN(followers); i++)
        follows = follows || is_kind(term, followers[i]);
    for (size_t i = 0; follows && i < PV_ARRAY_LEN(xterms); i++) {
        if (is_described(xterms[i]))
            return xterms[i];
    }
    return NULL;
}

/* Is the number in this variable at least so high? */
static bool is_at_least(const char *(*get)(const char *name), const char *name, unsigned long least)
{
    const char *value = get(name);
    return value != NULL && strtoul(value, NULL, 10) >= least;
}

bool pv_tuiterm_has_links(const char *(*get)(const char *name))
{
    /* ssh passes TERM and no other variable. */
    static const char *const terms[] = {"alacritty", "contour",       "foot",
                                        "wezterm",   "xterm-ghostty", "xterm-kitty"};
    static const char *const programs[] = {"Hyper",     "WarpTerminal", "WezTerm", "ghostty",
                                           "iTerm.app", "mintty",       "rio",     "vscode"};
    const char *term = get("TERM"), *program = get("TERM_PROGRAM");
    /* A multiplexer inherits the variables of the terminal around it, and draws by itself: tmux
     * knows links since 3.4. */
    if (term == NULL || is_kind(term, "screen") || get("STY") != NULL)
        return false;
    if (is_kind(term, "tmux") || get("TMUX") != NULL) {
        const char *version = get("TERM_PROGRAM_VERSION");
        return program != NULL && strcmp(program, "tmux") == 0 && version != NULL &&
               strtod(version, NULL) >= 3.4;
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(terms); i++) {
        if (is_kind(term, terms[i]))
            return true;
    }
    for (size_t i = 0; program != NULL && i < PV_ARRAY_LEN(programs); i++) {
        if (strcmp(program, programs[i]) == 0)
            return true;
    }
    /* VTE of GNOME and others knows them since 0.50, and is right since 0.50.1; Konsole since
     * 20.12. Windows Terminal sets its session. */
    return is_at_least(get, "VTE_VERSION", 5001) || is_at_least(get, "KONSOLE_VERSION", 201200) ||
           get("WT_SESSION") != NULL;
}
