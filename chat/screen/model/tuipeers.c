/* SPDX-License-Identifier: MIT */
/* tuipeers.c - who there is; machines that are gone, or called otherwise. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "chat/screen/model/tuimodel_int.h"

void pv_tui_take_status(struct pv_tui *t, const json_t *body)
{
    const char *me = pv_json_text(json_object_get(body, "self"), "name", "");
    if (me[0] != '\0') /* a machine that left keeps its name in what it said */
        snprintf(t->me, sizeof(t->me), "%s", me);
    snprintf(t->network, sizeof(t->network), "%s",
             pv_json_text(json_object_get(body, "network"), "name", ""));
}

static void tell_peer(struct pv_tui *t, const json_t *peer, const struct pv_tui_conv *c)
{
    pv_tui_notice(t, &t->convs[t->current],
                  PV_STR("%-16s %-15s %s", c->name, pv_json_text(peer, "ip4", "-"),
                         !c->online                     ? "offline"
                         : strcmp(c->path, "none") == 0 ? "idle"
                                                        : c->path));
}

void pv_tui_take_another(struct pv_tui *t, struct pv_tui_conv *c)
{
    const bool shown = c == &t->convs[t->current];
    c->is_another = true;
    if (!shown || t->paste == NULL)
        return;
    free(t->paste);
    t->paste = NULL;
    pv_tui_note(t, "%s is another one now: what was pasted is not sent", c->name);
}

/* Did another machine than the one that has the name now write it? brief is the beginning of its
 * key then. A p2pvpnd that does not say whose a line is leaves the sender's clock to go by. */
static bool is_of_former(const struct pv_tui_conv *c, const struct pv_tui_line *line,
                         char brief[static PV_KEY_SHORT_BUF])
{
    uint8_t key[PV_KEY_LEN];
    snprintf(brief, PV_KEY_SHORT_BUF, "%s", c->former);
    if (c->address[0] == '\0' || pv_key_parse(line->key, key) != PV_OK)
        return brief[0] != '\0' && line->time < c->another_since;
    pv_key_shorten(line->key, brief);
    return strcmp(line->key, c->address) != 0;
}

/* Lines of the former machine in rooms are marked. */
static void tell_apart(struct pv_tui *t, const struct pv_tui_conv *of)
{
    char brief[PV_KEY_SHORT_BUF];
    for (size_t i = 1; i < t->n_convs; i++) {
        struct pv_tui_conv *c = &t->convs[i];
        for (size_t k = 0; pv_tui_conv_is_room(c) && k < c->n_lines; k++) {
            struct pv_tui_line *line = &c->lines[k];
            /* It may have its name back, where its key says that. */
            if (line->id[0] == '\0' || line->outgoing || strcmp(line->from, of->name) != 0 ||
                (line->former && line->key[0] == '\0'))
                continue;
            line->former = is_of_former(of, line, brief);
            snprintf(line->brief, sizeof(line->brief), "%s", line->former ? brief : "");
        }
    }
}

/* Whose the name was before. A change while this chat runs is said at once where the conversation
 * was opened: a line may be begun there for the machine that had it. */
static void take_hands(struct pv_tui *t, struct pv_tui_conv *c, const json_t *peer)
{
    const char *former = pv_json_text(peer, "former", "");
    const double since = pv_json_real(peer, "another_since", 0);
    uint8_t key[PV_KEY_LEN];
    if (pv_key_parse(former, key) == PV_OK)
        pv_key_shorten(former, c->former);
    /* Of a machine that was in no list before: it was gone. */
    const double before = c->another_since >= 0 ? c->another_since : t->has_peers ? 0 : since;
    const char *address = pv_json_text(peer, "key", "");
    /* In another network the name was always this one's. */
    const bool other =
        c->address[0] != '\0' && address[0] != '\0' && strcmp(c->address, address) != 0;
    /* A return of p2pvpnd clears what was asked; a line that was begun is still there. */
    const bool used = c->asked || c->draft != NULL;
    /* The history that comes says it above the lines of this one. */
    if (used && since > before && !c->anew)
        (void)pv_tui_tell_change(t, c, c->name, other ? c->address : former, since, t->now);
    else if (used && since <= before && other)
        pv_tui_tell_hands(t, c, PV_STR("%s is another machine from here on", c->name), t->now);
    if (other || (used && since > before))
        pv_tui_take_another(t, c);
    c->parts = (c->unread > 0 || !used) && c->address[0] != '\0' && (other || since > before);
    c->another_since = since;
    snprintf(c->address, sizeof(c->address), "%s", address);
    if (other || since > before)
        tell_apart(t, c);
}

/* The pane of a machine that has another name by now, or of one that is called by its key. */
static size_t pane_of(struct pv_tui *t, const char *key, const char *brief)
{
    for (size_t i = 1; i < t->n_convs && key[0] != '\0'; i++) {
        if (t->convs[i].is_listed && strcmp(t->convs[i].address, key) == 0)
            return i;
    }
    return pv_tui_find(t, brief, true);
}

/* The notice of a file, which the bar may have told of. */
static void move_offer(struct pv_tui *t, struct pv_tui_conv *to, struct pv_tui_conv *from,
                       struct pv_tui_line line)
{
    const unsigned counts = from->offers > 0;
    from->offers -= counts;
    to->offers += pv_tui_add_line(to, line) && to != &t->convs[t->current] ? counts : 0;
    if (strcmp(t->note, PV_STR(PV_TUI_FILE_OF, from->name, from->name)) == 0)
        pv_tui_note(t, PV_TUI_FILE_OF, to->name, to->name);
}

/* An unread line that has a new pane. That one may have asked for it already. */
static void move_unread(struct pv_tui_conv *to, struct pv_tui_conv *from, struct pv_tui_line line)
{
    from->unread -= from->unread > 0;
    if (pv_tui_find_line(to, line.id) != NULL) {
        free(line.text);
    } else if (pv_tui_add_line(to, line)) {
        to->unread++;
        to->named = to->named || line.named;
    }
}

/* p2pvpnd takes the name for the other machine's by now: unread lines of the one before, and what
 * it offers, stand in a pane of its own, as a chat that begins now shows them. All else is asked
 * for when a pane is opened, and goes where it had not been. */
static void part_lines(struct pv_tui *t, size_t index)
{
    char name[PV_NAME_BUF], brief[PV_KEY_SHORT_BUF];
    struct pv_tui_conv *c = &t->convs[index];
    const bool unopened = !c->asked && c->draft == NULL;
    size_t kept = 0;
    memcpy(name, c->name, sizeof(name));
    c->parts = false;
    for (size_t i = 0; i < c->n_lines; i++) {
        const struct pv_tui_line line = c->lines[i];
        const bool unread = pv_tui_is_unread(&line);
        const bool goes = (unread || line.file != 0) && is_of_former(c, &line, brief);
        const bool is_message = line.id[0] != '\0' && line.id[0] != '~';
        const size_t to = goes ? pane_of(t, line.key, brief) : SIZE_MAX;
        c = &t->convs[pv_tui_find(t, name, false)]; /* it may have moved for a new pane */
        if (to != SIZE_MAX && unread)
            move_unread(&t->convs[to], c, line);
        else if (to != SIZE_MAX)
            move_offer(t, &t->convs[to], c, line);
        else if (unopened && is_message && !unread)
            free(line.text);
        else
            c->lines[kept++] = line;
    }
    c->n_lines = kept;
    c->found = 0;
    c->named = c->named && c->unread > 0;
}

/* Removes the pane, whose lines and other memory went elsewhere or are freed. */
static void remove_pane(struct pv_tui *t, size_t index)
{
    memmove(&t->convs[index], &t->convs[index + 1], (--t->n_convs - index) * sizeof(t->convs[0]));
    t->current -= t->current > index;
}

/* Requests about the machine that wait go on under its new name. */
static void rename_actions(struct pv_tui *t, const char *from, const struct pv_tui_conv *to)
{
    for (size_t i = 0; i < t->n_actions; i++) {
        struct pv_tui_action *a = &t->actions[i];
        if (strcmp(a->peer, from) == 0 && a->kind != PV_TUI_FORMER &&
            (a->address[0] == '\0' || strcmp(a->address, to->address) == 0))
            memcpy(a->peer, to->name, sizeof(to->name));
    }
    if (strcmp(t->opening, from) == 0)
        memcpy(t->opening, to->name, sizeof(to->name));
}

/* The lines of the machine by its former name stand above those by its name of now. */
static void join_lines(struct pv_tui_conv *to, struct pv_tui_conv *from)
{
    for (size_t i = 0; i < to->n_lines; i++) {
        const struct pv_tui_line line = to->lines[i];
        if (pv_tui_find_line(from, line.id) == NULL) {
            (void)pv_tui_add_line(from, line);
            continue;
        }
        to->unread -= to->unread > 0 && pv_tui_is_unread(&line);
        free(line.text);
    }
    free(to->lines);
    to->lines = from->lines;
    to->n_lines = from->n_lines;
    to->cap = from->cap;
    to->more = from->more;
    to->unread += from->unread;
    to->offers += from->offers;
    to->given_back += from->given_back;
    to->named = to->named || from->named;
    to->scroll = from->scroll;
    to->scroll_cols = from->scroll_cols;
    memcpy(to->new_from, from->new_from, sizeof(to->new_from));
    from->lines = NULL;
    from->n_lines = from->cap = 0;
}

/* Shows the line that was begun in the pane, which has room for one such line only. */
static void show_draft(struct pv_tui *t, struct pv_tui_conv *c, char **draft)
{
    if (*draft == NULL)
        return;
    pv_tui_notice(t, c, "not sent:");
    pv_tui_notice(t, c, *draft);
    free(*draft);
    *draft = NULL;
}

/* The line that was begun for the machine is still for it. One that was begun under its new name is
 * not lost. The line that is edited stays. */
static void join_drafts(struct pv_tui *t, struct pv_tui_conv *to, struct pv_tui_conv *from)
{
    const bool shown = from == &t->convs[t->current];
    if (to == &t->convs[t->current])
        show_draft(t, to, &from->draft);
    else if (from->draft != NULL || shown)
        show_draft(t, to, &to->draft);
    if (from->draft != NULL) {
        to->draft = from->draft;
        from->draft = NULL;
    }
    /* The line that is edited has the lines that were typed here before. */
    if (shown || to->past == NULL) {
        pv_tuipast_free(to->past);
        to->past = from->past;
        from->past = NULL;
    }
}

/* The machine of a pane has another name: the pane goes on under it, with its lines and the line
 * that was begun. */
static void rename_pane(struct pv_tui *t, size_t old, size_t new)
{
    char was[PV_NAME_BUF];
    struct pv_tui_conv *from = &t->convs[old], *to = &t->convs[new];
    const bool used = from->asked || to->asked || from->n_lines > 0, shown = old == t->current;
    memcpy(was, from->name, sizeof(was));
    join_lines(to, from);
    if (used)
        pv_tui_notice(t, to, PV_STR("%s is called %s now", was, to->name));
    join_drafts(t, to, from);
    rename_actions(t, was, to);
    /* The answer to a question about the old name finds no pane. */
    to->asked = false;
    pv_tui_free_pane(from);
    remove_pane(t, old);
    new -= new > old;
    to = &t->convs[new];
    (void)json_object_del(t->told, was);
    if (!shown)
        return;
    t->current = new;
    pv_tui_note(t, "%s is called %s now", was, to->name);
    to->asked = pv_tui_want(t, PV_TUI_HISTORY, to->name, NULL);
}

/* The pane of the machine that this pane's machine is listed as; SIZE_MAX: it is not listed. */
static size_t renamed_to(const struct pv_tui *t, const struct pv_tui_conv *c)
{
    for (size_t i = 1; c->address[0] != '\0' && i < t->n_convs; i++) {
        if (t->convs[i].is_listed && strcmp(t->convs[i].address, c->address) == 0)
            return i;
    }
    return SIZE_MAX;
}

/* Is there something in it that would be lost? */
static bool is_used(const struct pv_tui *t, const struct pv_tui_conv *c)
{
    return c == &t->convs[t->current] || c->draft != NULL || c->given_back > 0 || c->n_lines > 0 ||
           strcmp(t->opening, c->name) == 0;
}

/* Panes of machines that are no members, with whom nothing was said, go; those of machines that are
 * called otherwise become theirs. */
static void forget_gone(struct pv_tui *t)
{
    for (size_t i = t->n_convs; i-- > 1;) {
        struct pv_tui_conv *c = &t->convs[i];
        if (pv_tui_conv_is_room(c) || c->is_listed)
            continue;
        const size_t now = renamed_to(t, c);
        if (now != SIZE_MAX) {
            rename_pane(t, i, now);
        } else if (!is_used(t, c)) {
            pv_tui_free_pane(c);
            remove_pane(t, i);
        }
    }
}

void pv_tui_take_peers(struct pv_tui *t, const json_t *body)
{
    const json_t *list = json_object_get(body, "peers");
    /* Every refresh brings such a list. Only a list that the person asked for becomes lines. */
    bool told = t->list_asked && body != NULL;
    size_t i;
    t->list_asked = false;
    /* Why there was none is true no more. */
    if (body != NULL && t->refused[0] != '\0' && strcmp(t->note, t->refused) == 0)
        pv_tui_note(t, "%s", "");
    snprintf(t->refused, sizeof(t->refused), "%s", body == NULL ? t->note : "");
    /* A member that has gone has no address, which may be another's now, and no path. */
    for (i = 0; i < t->n_convs; i++) {
        struct pv_tui_conv *gone = &t->convs[i];
        gone->ip4[0] = gone->ip6[0] = '\0';
        if (i == 0 || pv_tui_conv_is_room(gone))
            continue;
        gone->online = gone->is_static = gone->is_listed = false;
        gone->rtt_ms = -1;
        snprintf(gone->path, sizeof(gone->path), "none");
    }
    PV_EACH_JSON(list, peer) {
        const char *name = pv_json_text(peer, "name", "");
        /* A string that is no name could carry control characters into the roster; and nobody
         * writes to a machine that waits to be admitted, or to a phone, which has no p2pvpnd. */
        bool is_peer = pv_name_is_valid(name) && !pv_json_is(peer, "state", "waiting") &&
                       pv_json_text(peer, "gateway", NULL) == NULL;
        size_t index = is_peer ? pv_tui_find(t, name, true) : SIZE_MAX;
        if (index == SIZE_MAX)
            continue;
        struct pv_tui_conv *c = &t->convs[index];
        const json_t *path = json_object_get(peer, "path");
        snprintf(c->path, sizeof(c->path), "%s", pv_json_text(path, "type", "none"));
        take_hands(t, c, peer);
        snprintf(c->ip4, sizeof(c->ip4), "%s", pv_json_text(peer, "ip4", ""));
        snprintf(c->ip6, sizeof(c->ip6), "%s", pv_json_text(peer, "ip6", ""));
        c->online = pv_json_bool(peer, "online");
        c->is_listed = true;
        c->is_static = strcmp(c->path, "static") == 0;
        c->rtt_ms = pv_json_real(path, "rtt_ms", -1);
        c->seen = pv_json_real(peer, "last_seen", 0);
        if (told)
            tell_peer(t, peer, c);
    }
    for (i = 1; i < t->n_convs; i++) {
        if (!t->convs[i].parts)
            continue;
        part_lines(t, i);
        i = 0; /* the pane that it made may stand before others */
    }
    if (json_is_array(list))
        forget_gone(t);
    /* Somebody has the name again. */
    const struct pv_tui_conv *shown = &t->convs[t->current];
    if (shown->is_listed && strstr(t->note, PV_TUI_NOBODY) != NULL &&
        strncmp(t->note, shown->name, strlen(shown->name)) == 0)
        pv_tui_note(t, "%s", "");
    t->has_peers = body != NULL;
    if (told && json_array_size(list) == 0)
        pv_tui_notice(t, &t->convs[t->current], "no other members yet");
}

void pv_tui_take_presence(struct pv_tui *t, const json_t *body)
{
    const char *name = pv_json_text(body, "peer", "");
    size_t index = pv_name_is_valid(name) ? pv_tui_find(t, name, false) : SIZE_MAX;
    if (index != SIZE_MAX)
        t->convs[index].online = pv_json_bool(body, "online");
    /* The event does not say which path the peer has now, nor whether it is a phone. */
    pv_tui_want_list(t, PV_TUI_PEERS);
}
