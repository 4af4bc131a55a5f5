/* SPDX-License-Identifier: MIT */
/* tuigift.c - files in rooms: the line that offers one, and the members who get it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/harmless.h"
#include "base/text.h"
#include "chat/screen/model/tuimodel_int.h"
#include "ctl/lib/show.h"

bool pv_tui_file_is_in(const json_t *file)
{
    return pv_json_is(file, "direction", "in");
}

/* A line of a room; NULL: there is none with this id. */
static struct pv_tui_line *line_of_file(struct pv_tui *t, const char *id, size_t *ret_index)
{
    struct pv_tui_line *line = NULL;
    for (size_t i = 1; i < t->n_convs && line == NULL; i++) {
        if (!pv_tui_conv_is_room(&t->convs[i]))
            continue;
        line = pv_tui_find_line(&t->convs[i], id);
        *ret_index = i;
    }
    return line;
}

/* Does the line say that file's name and size? */
static bool says(const struct pv_tui_line *line, const json_t *file)
{
    char offer[PV_SHOW_OFFER_BUF], shown[5 * PV_SHOW_OFFER_BUF];
    (void)pv_show_offer(pv_json_text(file, "name", ""), pv_json_real(file, "size", 0), offer);
    pv_harmless_show(pv_view(offer, strlen(offer)), shown, sizeof(shown));
    return strcmp(line->text, shown) == 0;
}

struct pv_tui_line *pv_tui_offer_of(struct pv_tui *t, const json_t *file, size_t *ret_index)
{
    struct pv_tui_line *line = line_of_file(t, pv_json_text(file, "transfer", ""), ret_index);
    if (line == NULL || line->outgoing == pv_tui_file_is_in(file) ||
        !pv_show_is_offer(line->text) || !pv_json_is(file, "room", t->convs[*ret_index].name))
        return NULL;
    bool trusted = line->outgoing ||
                   (!line->former && strcmp(line->from, pv_json_text(file, "peer", "")) == 0 &&
                    says(line, file));
    return trusted ? line : NULL;
}

size_t pv_tui_place_to_tell(struct pv_tui *t, const json_t *file, struct pv_tui_line **ret_line)
{
    char brief[PV_KEY_SHORT_BUF], name[PV_NAME_BUF];
    const char *peer = pv_json_text(file, "peer", ""), *room = pv_json_text(file, "room", "");
    const char *former;
    size_t index = SIZE_MAX;
    *ret_line = pv_tui_offer_of(t, file, &index);
    if (*ret_line != NULL)
        return index;
    if (pv_tui_is_room(room))
        return pv_tui_find(t, room, true);
    /* As its messages: by the name, and by the key where the name is another machine's by now. */
    former = pv_json_text(file, "peer_former", "");
    if (former[0] != '\0')
        return pv_tui_find(t, pv_key_shorten(former, brief), true);
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(peer, " "), peer);
    return pv_name_is_valid(name) ? pv_tui_find(t, name, true) : SIZE_MAX;
}

static void end_gift(struct pv_tui *t)
{
    free(t->gift.path);
    json_decref(t->gift.members);
    t->gift.path = NULL;
    t->gift.members = NULL;
}

void pv_tui_take_present(struct pv_tui *t, const struct pv_tui_action *action, const char *name,
                         double size, const json_t *body)
{
    json_t *members = json_object_get(body, "members");
    char text[PV_SHOW_SENT_BUF];
    enum pv_ctlapi_code code;
    const char *why = pv_show_no_getter(body, action->peer, text, &code);
    if (why != NULL || action->text == NULL) {
        pv_tui_note(t, "%s", why == NULL ? "out of memory" : why);
        return;
    }
    if (t->gift.path != NULL) {
        pv_tui_note(t, "another file is being offered: try again in a moment");
        return;
    }
    t->gift.path = strdup(action->text);
    t->gift.members = json_incref(members);
    memcpy(t->gift.room, action->peer, sizeof(t->gift.room));
    memcpy(t->gift.address, action->address, sizeof(t->gift.address));
    pv_show_offer(name, size, t->gift.line);
    if (!pv_tui_want_at(t, PV_TUI_SEND, action->peer, action->address, strdup(t->gift.line)))
        end_gift(t);
}

static bool is_gift(const struct pv_tui *t, const char *room, const char *text)
{
    return t->gift.path != NULL && strcmp(t->gift.room, room) == 0 &&
           strcmp(t->gift.line, text) == 0;
}

void pv_tui_give(struct pv_tui *t, const json_t *msg)
{
    if (!is_gift(t, pv_json_text(msg, "room", ""), pv_json_text(msg, "text", "")))
        return;
    PV_EACH_JSON(t->gift.members, m) {
        if (!pv_show_gets_file(m))
            continue;
        /* There is a place for each, unless the person asks faster than p2pvpnd answers. */
        if (t->n_actions == PV_TUI_MAX_ACTIONS) {
            pv_tui_note(t, "not offered to all: too many requests; /send-file again in a moment");
            break;
        }
        pv_tui_want_at(t, PV_TUI_SEND_FILE, pv_json_text(m, "name", "?"),
                       pv_json_text(m, "key", ""), strdup(t->gift.path));
        struct pv_tui_action *a = &t->actions[t->n_actions - 1];
        snprintf(a->id, sizeof(a->id), "%s", pv_json_text(msg, "id", ""));
        snprintf(a->room, sizeof(a->room), "%s",
                 t->gift.address[0] != '\0' ? t->gift.address : t->gift.room);
    }
    end_gift(t);
}

bool pv_tui_keep(struct pv_tui *t, const struct pv_tui_action *action, const char *error)
{
    size_t room;
    if (action->kind == PV_TUI_SEND_FILE && line_of_file(t, action->id, &room) != NULL) {
        pv_tui_notice(t, &t->convs[room], error);
        return true;
    }
    if (action->kind != PV_TUI_SEND || action->text == NULL ||
        !is_gift(t, action->peer, action->text))
        return false;
    end_gift(t);
    return true;
}

/* Says below the line that offers a file how that went on. */
static void tell_below(struct pv_tui_conv *c, struct pv_tui_line *line, const char *what)
{
    const size_t len = strlen(line->text);
    char *text = realloc(line->text, len + strlen(what) + 2);
    if (text == NULL)
        return;
    /* It is one row more below what a person who scrolled up reads. The view counts the rows of
     * lines that came since it was drawn. */
    const bool counted = (size_t)(line - c->lines) + c->came < c->n_lines;
    c->scroll += line->said == 0 && c->scroll > 0 && counted && !line->shown;
    memcpy(text + len + 1, what, strlen(what) + 1);
    line->text = text;
    line->said = len;
}

/* Takes back what was told of a file in that conversation. */
static void forget_notice(struct pv_tui_conv *c, uint32_t number)
{
    for (size_t i = c->n_lines; i > 0; i--) {
        if (c->lines[i - 1].file != number)
            continue;
        c->offers -= c->offers > 0;
        pv_tui_drop_line(c, &c->lines[i - 1]);
        return;
    }
}

void pv_tui_tell_in_room(struct pv_tui *t, const json_t *files, const json_t *f)
{
    const char *transfer = pv_json_text(f, "transfer", ""), *state = pv_json_text(f, "state", "");
    unsigned long number = (unsigned long)pv_json_real(f, "id", 0);
    size_t room, all = 0, took = 0, lost = 0;
    char what[128];
    struct pv_tui_line *line = pv_tui_offer_of(t, f, &room);
    if (line == NULL)
        return;
    PV_EACH_JSON(files, other) {
        bool same =
            !pv_tui_file_is_in(other) && strcmp(pv_json_text(other, "transfer", ""), transfer) == 0;
        all += same;
        took += same && pv_json_is(other, "state", "done");
        lost += same && pv_json_bool(other, "again");
    }
    if (line->outgoing)
        snprintf(what, sizeof(what), "%zu of %zu took it%s%s", took, all, lost > 0 ? "; " : "",
                 lost > 0 ? PV_TUI_OFFER_AGAIN : "");
    else if (strcmp(state, "offered") == 0)
        snprintf(what, sizeof(what), "/accept %lu, /refuse %lu", number, number);
    else if (strcmp(state, "done") == 0)
        snprintf(what, sizeof(what), "/get %lu", number);
    else
        snprintf(what, sizeof(what), "%.40s", state);
    tell_below(&t->convs[room], line, what);
    if (!line->outgoing)
        forget_notice(&t->convs[room], (uint32_t)number);
}
