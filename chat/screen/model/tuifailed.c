/* SPDX-License-Identifier: MIT */
/* tuifailed.c - requests that failed, and those whose answer never came. */
#include <stdlib.h>
#include <string.h>

#include "chat/screen/model/tuimodel_int.h"

void pv_tui_take_error(struct pv_tui *t, const char *error, const struct pv_tui_action *action)
{
    if (action == NULL) {
        pv_tui_note_error(t, error);
        return;
    }
    switch (action->kind) {
    case PV_TUI_FORMER:
    case PV_TUI_MAKE:
        pv_tui_miss(t);
        break;
    case PV_TUI_SEARCH:
        pv_tui_end_search(t);
        break;
    case PV_TUI_ACCEPT:
        if (action->text != NULL)
            pv_tui_miss_file(t, action->text);
        break;
    case PV_TUI_HISTORY: {
        const size_t index = pv_tui_pane_of(t, action);
        if (index != SIZE_MAX)
            t->convs[index].asked = false; /* whoever opens it again asks again */
        break;
    }
    default:
        break; /* the others leave nothing behind */
    }
    if (pv_tui_keep(t, action, error))
        pv_tui_note_error(t, error);
    else
        pv_tui_give_back(t, error, action);
}

void pv_tui_take_doubt(struct pv_tui *t, const struct pv_tui_action *action)
{
    const char *word = pv_tui_word_of(action->kind);
    if (word == NULL && pv_tui_does(action->kind))
        pv_tui_take_error(t, PV_TUI_PERHAPS " sent", action);
    else if (word != NULL) /* in the pane, for the bar is wanted for what happens next */
        pv_tui_notice(t, &t->convs[t->current],
                      PV_STR(PV_TUI_PERHAPS " done: %s %s", word,
                             action->text != NULL ? action->text : action->peer));
}

void pv_tui_again(struct pv_tui *t, const struct pv_tui_action *action)
{
    /* Before what was typed later, so that lines arrive in their order. */
    if (t->n_actions == PV_TUI_MAX_ACTIONS) {
        pv_tui_take_error(t, "too many requests: try again in a moment", action);
        free(action->text);
        return;
    }
    memmove(t->actions + 1, t->actions, t->n_actions++ * sizeof(t->actions[0]));
    t->actions[0] = *action;
    if (t->lost)
        pv_tui_show_waiting(t, &t->actions[0]);
}
