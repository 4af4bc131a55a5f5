/* SPDX-License-Identifier: MIT */
/*
 * fuzz_tui - the terminal chat between a person who types anything at any time and a daemon that
 * comes and goes, while machines get each other's names. A line goes to the one it was typed for,
 * and once; none that was entered disappears; nothing counts as read that was not shown; no file
 * is taken that nobody asked for; and when all has calmed down the panes have what the daemon has.
 */
#include <locale.h>
#include <stdio.h>

#include "base/text.h"
#include "chat/screen/model/tuiwords.h"
#include "chat/screen/tuiview.h"
#include "ctl/lib/show.h"
#include "tests/fuzz/fuzz_util.h"

enum {
    MACHINES = 4, /* number m is called name_of(m), or nothing while another is */
    NAMES = 2,
    ROOMS_FROM = MACHINES, /* as the other side of a message: two rooms, one after the other */
    SIDES = ROOMS_FROM + 2,
    NOBODY = SIDES,
    MAX_SAID = 200,
    MAX_TYPED = 100,
    MAX_ASKED = 12,
    PAGE = 6,
    MAX_FILES = 20,
    TOKEN = 8, /* bytes of "<012>" and a NUL */
};

static const char *const names[NAMES] = {"pi", "bob"};
static const char room_name[] = "#crew";
static const char *const room_addresses[] = {"#~AAECAwQFBgcICQoLDA0ODw",
                                             "#~DwABAgMEBQYHCAkKCwwNDg"};

/* A message, in the daemon's order. */
struct said {
    char id[PV_CHAT_ID_TEXT_BUF];
    unsigned with; /* a machine, or a room */
    bool own, unread, shown;
    double time;
    char text[256];
};

/* A word that was typed, and is in one line at a time. */
struct typed {
    enum {
        BEGUN,
        ENTERED,
        OVER
    } is;
    char to[PV_NAME_BUF], address[PV_KEY_TEXT_BUF]; /* when it was entered last */
    /* Whose pane it was begun in; "": not known. */
    char began[PV_KEY_TEXT_BUF], began_in[PV_NAME_BUF];
    unsigned entered, sent;
    bool twice; /* it was taken back from the lines before while it was on its way */
};

/* A file for this node, or of it. */
struct file {
    unsigned with; /* a machine */
    unsigned room; /* in which it is offered; NOBODY: none, or its sender is older than that */
    bool in;
    char name[16];
    const char *state;
    char transfer[PV_CHAT_ID_TEXT_BUF];
};

struct asked {
    enum {
        STATUS,
        ROOMS,
        UNREAD,
        ACTION
    } kind;
    struct pv_tui_action action;
};

struct world {
    struct pv_tui t;
    struct pv_tui_screen screen;
    unsigned owner[NAMES]; /* the machine that has the name, or had it last */
    bool is_in[NAMES];
    bool changed[NAMES]; /* it was another's before */
    unsigned room;       /* the one that there is; the other is forgotten */
    bool room_changed;
    char keys[MACHINES][PV_KEY_TEXT_BUF];
    struct said said[MAX_SAID];
    size_t n_said;
    struct typed typed[MAX_TYPED];
    size_t n_typed;
    struct file files[MAX_FILES]; /* their numbers are from 1 on */
    size_t n_files;
    bool meant[MAX_FILES + 1]; /* numbers that the person typed */
    struct asked asked[MAX_ASKED + 4];
    size_t n_asked;
    unsigned next_id;
};

static struct world *w;

/* --- the daemon ------------------------------------------------------------------------------ */

static unsigned place_of(unsigned machine)
{
    return machine % NAMES;
}

static bool is_room(unsigned with)
{
    return with >= ROOMS_FROM;
}

static const char *name_of(unsigned with)
{
    return is_room(with) ? room_name : names[place_of(with)];
}

/* Is its name another machine's by now? */
static bool is_former(unsigned with)
{
    return !is_room(with) && w->owner[place_of(with)] != with;
}

static const char *address_of(unsigned with)
{
    return is_room(with) ? room_addresses[with - ROOMS_FROM] : w->keys[with];
}

static json_t *json_of_said(const struct said *s)
{
    json_t *msg = json_pack("{s:s, s:s, s:s, s:o, s:s, s:f, s:s}", "id", s->id, "from",
                            s->own             ? "lap"
                            : is_room(s->with) ? names[0]
                                               : name_of(s->with),
                            "to", s->own || is_room(s->with) ? name_of(s->with) : "lap", "room",
                            is_room(s->with) ? json_string(room_name) : json_null(), "text",
                            s->text, "time", s->time, "state",
                            s->own      ? "sent"
                            : s->unread ? "unread"
                                        : "read");
    must(msg != NULL);
    if (s->own)
        must(json_object_set_new(msg, "own", json_true()) == 0);
    if (is_former(s->with))
        must(json_object_set_new(msg, s->own ? "to_former" : "from_former",
                                 json_string(w->keys[s->with])) == 0);
    return msg;
}

static struct said *say(unsigned with, bool own, const char *id, const char *text)
{
    if (w->n_said == MAX_SAID)
        return NULL;
    struct said *s = &w->said[w->n_said];
    *s = (struct said){.with = with, .own = own, .unread = !own};
    s->time = w->t.now + 0.001 * (double)w->n_said;
    snprintf(s->id, sizeof(s->id), "%s", id[0] != '\0' ? id : PV_STR("m%zu", w->n_said));
    snprintf(s->text, sizeof(s->text), "%s", text);
    w->n_said++;
    return s;
}

/* The messages of one side (NOBODY: of all), before that id, if it has one. */
static json_t *page_of(unsigned with, const char *before, bool unread)
{
    json_t *list = json_array(), *body;
    size_t end = w->n_said;
    bool more = false;
    for (size_t i = 0; before[0] != '\0' && i < w->n_said; i++)
        end = strcmp(w->said[i].id, before) == 0 ? i : end;
    for (size_t i = end; i > 0; i--) {
        const struct said *s = &w->said[i - 1];
        if ((with != NOBODY && s->with != with) || (unread && !s->unread))
            continue;
        more = json_array_size(list) == PAGE && !unread;
        if (more)
            break;
        must(json_array_insert_new(list, 0, json_of_said(s)) == 0);
    }
    body = json_pack("{s:i, s:o, s:b}", "version", 1, "messages", list, "more", more);
    must(body != NULL);
    return body;
}

/* The machine or room that is called so: by a name, a key, the beginning of one, or a room's
 * address; NOBODY: there is none. */
static unsigned find(const char *peer, bool is_here)
{
    if (strcmp(peer, room_name) == 0 || strcmp(peer, room_addresses[w->room - ROOMS_FROM]) == 0)
        return w->room;
    for (unsigned n = 0; n < NAMES; n++) {
        if (strcmp(peer, names[n]) == 0)
            return w->is_in[n] || !is_here ? w->owner[n] : NOBODY;
    }
    for (unsigned m = 0; m < MACHINES; m++) {
        bool here = !is_former(m) && w->is_in[place_of(m)];
        if ((strcmp(peer, w->keys[m]) == 0 || strcmp(peer, PV_KEY_SHORT_STR(w->keys[m])) == 0) &&
            (here || !is_here))
            return m;
    }
    return NOBODY;
}

static json_t *peers(void)
{
    json_t *list = json_array();
    for (unsigned n = 0; n < NAMES; n++) {
        if (!w->is_in[n])
            continue;
        unsigned m = w->owner[n], other = (m + NAMES) % MACHINES;
        json_t *p = json_pack("{s:s, s:s, s:s, s:b, s:{s:s}}", "name", names[n], "ip4",
                              n == 0 ? "10.66.0.2" : "10.66.0.3", "key", w->keys[m], "online", true,
                              "path", "type", "direct");
        must(p != NULL && json_array_append_new(list, p) == 0);
        if (w->changed[n])
            must(json_object_set_new(p, "former", json_string(w->keys[other])) == 0 &&
                 json_object_set_new(p, "another_since", json_real(1000 + m)) == 0);
    }
    return json_pack("{s:o}", "peers", list);
}

static json_t *rooms(void)
{
    return json_pack("{s:[{s:s, s:s, s:i}]}", "rooms", "room", room_name, "address",
                     address_of(w->room), "members", 3);
}

static json_t *json_of_file(size_t number)
{
    const struct file *f = &w->files[number - 1];
    return json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:f, s:f, s:s, s:b, s:f, s:s?}", "id",
                     (int)number, "transfer", f->transfer, "direction", f->in ? "in" : "out",
                     "peer", name_of(f->with), "key", w->keys[f->with], "name", f->name, "size",
                     3.0, "done", 1.0, "state", f->state, "running", true, "time", w->t.now, "room",
                     f->room == w->room ? room_name : NULL);
}

static json_t *files(void)
{
    json_t *list = json_array();
    for (size_t i = 1; i <= w->n_files; i++)
        must(json_array_append_new(list, json_of_file(i)) == 0);
    return json_pack("{s:o}", "files", list);
}

static json_t *members(void)
{
    return json_pack("{s:s, s:[{s:s, s:s, s:b, s:b}, {s:s, s:s, s:b, s:b}]}", "room", room_name,
                     "members", "name", "lap", "key", "x", "online", true, "self", true, "name",
                     names[0], "key", w->keys[w->owner[0]], "online", w->is_in[0], "self", false);
}

static json_t *status(void)
{
    return json_pack("{s:{s:s}, s:{s:s}}", "self", "name", "lap", "network", "name", "home");
}

/* --- what was typed -------------------------------------------------------------------------- */

static const char *token_of(size_t i, char buf[static TOKEN])
{
    snprintf(buf, TOKEN, "<%03zu>", i % 1000);
    return buf;
}

static bool has(const char *text, size_t typed)
{
    return text != NULL && strstr(text, token_of(typed, (char[TOKEN]){0})) != NULL;
}

static bool is_on_its_way(size_t typed)
{
    bool found = false;
    for (size_t i = 0; i < w->t.n_actions && !found; i++)
        found = has(w->t.actions[i].text, typed);
    for (size_t i = 0; i < w->n_asked && !found; i++)
        found = has(w->asked[i].action.text, typed);
    return found;
}

/* Wherever a person finds it again, or it is on its way. */
static bool is_somewhere(size_t typed)
{
    const struct pv_tui *t = &w->t;
    bool found = has(t->edit.text, typed) || has(t->edit.draft, typed) || has(t->paste, typed) ||
                 is_on_its_way(typed);
    for (size_t i = 0; i < t->n_convs && !found; i++) {
        found = has(t->convs[i].draft, typed);
        for (size_t k = t->convs[i].n_lines; k > 0 && !found; k--)
            found = has(t->convs[i].lines[k - 1].text, typed);
    }
    return found;
}

/* It arrived, or the person threw it away; a former line may be taken again, anywhere. */
static void end_typed(struct typed *k)
{
    k->is = OVER;
    k->began[0] = '\0';
}

/* drops: the person may have thrown it away by what was done. */
static void look_for_typed(bool drops)
{
    for (size_t i = 0; i < w->n_typed; i++) {
        struct typed *k = &w->typed[i];
        if (k->is == OVER || is_somewhere(i))
            continue;
        must(drops || strstr(w->t.note, "is not sent") != NULL);
        end_typed(k);
    }
}

/* A message goes out. */
static void check_send(const struct pv_tui_action *a, unsigned with)
{
    for (size_t i = 0; i < w->n_typed; i++) {
        struct typed *k = &w->typed[i];
        if (!has(a->text, i))
            continue;
        must(k->entered > k->sent++);
        must(k->twice || strcmp(a->peer, k->to) == 0);
        must(k->twice || k->address[0] == '\0' || strcmp(a->address, k->address) == 0);
        /* Begun for another machine of the name: it was given back first. */
        if (k->began[0] != '\0' && strcmp(k->began, address_of(with)) != 0)
            must(k->entered > 1 || strcmp(name_of(with), k->began_in) != 0);
        end_typed(k);
    }
}

/* --- answers --------------------------------------------------------------------------------- */

static const char *const refused = "send: it is another machine now";

/* The message, or NULL: it is refused. */
static const struct said *do_send(const struct pv_tui_action *a)
{
    for (size_t i = 0; i < w->n_said && a->id[0] != '\0'; i++) {
        if (strcmp(w->said[i].id, a->id) == 0)
            return &w->said[i];
    }
    unsigned with = find(a->address[0] != '\0' ? a->address : a->peer, true);
    if (with == NOBODY || strcmp(name_of(with), a->peer) != 0)
        return NULL;
    const struct said *s = say(with, true, a->id, a->text);
    if (s != NULL)
        check_send(a, with);
    return s;
}

/* here: the screen asks for it, so all of it was shown. */
static void do_read(const struct pv_tui_action *a, bool here)
{
    unsigned with = find(a->address[0] != '\0' ? a->address : a->peer, false);
    size_t end = 0;
    json_t *ids = json_array();
    while (end < w->n_said && strcmp(w->said[end].id, a->text) != 0)
        end++;
    must(end < w->n_said);
    for (size_t i = 0; i <= end; i++) {
        struct said *s = &w->said[i];
        if (s->with != with || !s->unread)
            continue;
        must(s->shown || !here);
        s->unread = false;
        must(json_array_append_new(ids, json_string(s->id)) == 0);
    }
    json_t *body = json_pack("{s:s, s:o}", "peer", a->peer, "ids", ids);
    pv_tui_take_read(&w->t, body);
    json_decref(body);
}

static void answer_send(const struct pv_tui_action *a, bool ok)
{
    const struct said *s = ok ? do_send(a) : NULL;
    if (s == NULL) {
        pv_tui_take_error(&w->t, refused, a);
        return;
    }
    json_t *body = json_pack("{s:o, s:b}", "message", json_of_said(s), "online", true);
    pv_tui_take_sent(&w->t, body);
    json_decref(body);
}

static void answer_page(const struct pv_tui_action *a, bool ok)
{
    unsigned with = find(a->peer, false);
    bool older = a->kind == PV_TUI_OLDER;
    if (!ok || with == NOBODY) {
        pv_tui_take_error(&w->t, "history: no such peer", a);
        if (older)
            pv_tui_take_older(&w->t, a->peer, NULL);
        return;
    }
    json_t *body = page_of(with, older && a->text != NULL ? a->text : "", false);
    if (older)
        pv_tui_take_older(&w->t, a->peer, body);
    else if (a->kind == PV_TUI_FORMER)
        pv_tui_take_former(&w->t, a->peer, body);
    else
        pv_tui_take_history(&w->t, a->peer, body);
    json_decref(body);
}

static void answer_list(const struct pv_tui_action *a, json_t *body,
                        void (*take)(struct pv_tui *, const json_t *), bool ok)
{
    must(body != NULL);
    if (ok)
        take(&w->t, body);
    else
        pv_tui_take_error(&w->t, "no", a);
    json_decref(body);
}

static void tell_file(size_t number)
{
    json_t *body = json_pack("{s:o}", "file", json_of_file(number));
    must(body != NULL);
    if (!w->t.lost)
        pv_tui_take_file(&w->t, body);
    json_decref(body);
}

static size_t make_file(unsigned with, unsigned room, bool in, const char *transfer)
{
    if (w->n_files == MAX_FILES)
        return 0;
    struct file *f = &w->files[w->n_files++];
    *f = (struct file){.with = with, .room = room, .in = in, .state = "offered"};
    snprintf(f->name, sizeof(f->name), "%zu.txt", w->n_files);
    snprintf(f->transfer, sizeof(f->transfer), "%s",
             transfer[0] != '\0' ? transfer : PV_STR("f%zu", w->n_files));
    return w->n_files;
}

/* One for a room asks who is there; one for a machine goes to it. */
static void answer_send_file(const struct pv_tui_action *a, bool ok)
{
    unsigned with = find(a->address[0] != '\0' ? a->address : a->peer, true);
    json_t *body = members();
    const unsigned room = a->room[0] == '\0' ? NOBODY : find(a->room, true);
    must(a->room[0] == '\0' || room == NOBODY || is_room(room));
    ok = ok && (a->room[0] == '\0' || room != NOBODY);
    size_t number = ok && with < MACHINES ? make_file(with, room, false, a->id) : 0;
    if (ok && with != NOBODY && is_room(with))
        pv_tui_take_present(&w->t, a, "f.txt", 3, body);
    else if (number > 0)
        tell_file(number);
    else
        pv_tui_take_error(&w->t, "no such file", a);
    json_decref(body);
}

/* Nothing is taken, refused or saved that nobody asked for by its number. */
static void answer_file(const struct pv_tui_action *a, bool ok)
{
    const size_t number = (size_t)strtoul(a->text, NULL, 10);
    struct file *f = number > 0 && number <= w->n_files ? &w->files[number - 1] : NULL;
    if (f == NULL || !ok || (a->kind != PV_TUI_SAVE && a->kind != PV_TUI_SAVED && !f->in)) {
        pv_tui_take_error(&w->t, "no such file", a);
        return;
    }
    must(w->meant[number]);
    if (a->kind == PV_TUI_SAVE) {
        json_t *body = json_pack("{s:o}", "file", json_of_file(number));
        pv_tui_take_saved(&w->t, body, "/home/ann", f->in ? NULL : "it goes out");
        json_decref(body);
        return;
    }
    f->state = a->kind == PV_TUI_ACCEPT   ? "accepted"
               : a->kind == PV_TUI_REFUSE ? "refused"
                                          : "saved";
    if (a->kind != PV_TUI_SAVED)
        tell_file(number);
}

static void answer_action(const struct pv_tui_action *a, bool ok)
{
    switch (a->kind) {
    case PV_TUI_SEND:
        answer_send(a, ok);
        break;
    case PV_TUI_PEERS:
        answer_list(a, peers(), pv_tui_take_peers, ok);
        break;
    case PV_TUI_ROOMS:
        answer_list(a, rooms(), pv_tui_take_rooms, ok);
        break;
    case PV_TUI_FILES:
        answer_list(a, files(), pv_tui_take_files, ok);
        break;
    case PV_TUI_MEMBERS:
        answer_list(a, members(), pv_tui_take_members, ok);
        break;
    case PV_TUI_HISTORY:
    case PV_TUI_OLDER:
    case PV_TUI_FORMER:
        answer_page(a, ok);
        break;
    case PV_TUI_READ:
        do_read(a, true);
        break;
    case PV_TUI_SEARCH: {
        json_t *all = page_of(NOBODY, "", false);
        pv_tui_take_found(&w->t, a, all);
        json_decref(all);
        break;
    }
    case PV_TUI_MAKE:
    case PV_TUI_INVITE:
    case PV_TUI_JOIN:
    case PV_TUI_LEAVE:
    case PV_TUI_MUTE:
    case PV_TUI_UNMUTE:
        if (ok && find(a->peer, false) != NOBODY) {
            json_t *body = json_pack("{s:s}", "room", room_name);
            pv_tui_take_done(&w->t, a, body);
            json_decref(body);
        } else {
            pv_tui_take_error(&w->t, "no", a);
        }
        break;
    case PV_TUI_SEND_FILE:
        answer_send_file(a, ok);
        break;
    case PV_TUI_ACCEPT:
    case PV_TUI_REFUSE:
    case PV_TUI_SAVE:
    case PV_TUI_SAVED:
        answer_file(a, ok);
        break;
    }
}

static void answer_next(bool ok)
{
    if (w->n_asked == 0)
        return;
    struct asked first = w->asked[0];
    memmove(w->asked, w->asked + 1, --w->n_asked * sizeof(first));
    pv_tui_hide_waiting(&w->t, &first.action);
    if (first.kind == ACTION) {
        answer_action(&first.action, ok);
    } else if (first.kind == UNREAD) {
        json_t *body = page_of(NOBODY, "", true);
        pv_tui_take_unread(&w->t, json_object_get(body, "messages"));
        w->t.counting = false;
        json_decref(body);
    } else {
        answer_list(NULL, first.kind == STATUS ? status() : rooms(),
                    first.kind == STATUS ? pv_tui_take_status : pv_tui_take_rooms, true);
    }
    free(first.action.text);
}

/* --- as tui.c does it ------------------------------------------------------------------------ */

static void begin(void)
{
    w->asked[w->n_asked++] = (struct asked){.kind = STATUS};
    w->asked[w->n_asked++] = (struct asked){.kind = ROOMS};
    w->asked[w->n_asked++] = (struct asked){.kind = UNREAD};
    w->t.counting = true;
    pv_tui_want(&w->t, PV_TUI_FILES, "", NULL);
    pv_tui_want(&w->t, PV_TUI_PEERS, "", NULL);
}

static bool may_ask(void)
{
    for (size_t i = 0; i < w->n_asked; i++) {
        if (w->asked[i].kind == UNREAD)
            return false;
    }
    return !w->t.lost && w->n_asked < MAX_ASKED;
}

static void ask_what_waits(void)
{
    struct pv_tui_action a;
    while (may_ask() && pv_tui_poll(&w->t, &a) == PV_OK) {
        if (a.kind == PV_TUI_SEND && a.id[0] == '\0')
            snprintf(a.id, sizeof(a.id), "i%u", w->next_id++);
        w->asked[w->n_asked++] = (struct asked){.kind = ACTION, .action = a};
    }
}

/* Of what it was asked, some was done before it went. */
static void lose(uint8_t done)
{
    if (w->t.lost)
        return;
    for (size_t i = w->n_asked; i > 0; i--) {
        struct asked *a = &w->asked[i - 1];
        pv_tui_hide_waiting(&w->t, &a->action);
        if (i <= done && a->kind == ACTION && a->action.kind == PV_TUI_SEND)
            (void)do_send(&a->action);
        if (a->kind == ACTION &&
            (a->action.kind == PV_TUI_SEARCH || a->action.kind == PV_TUI_SEND)) {
            pv_tui_again(&w->t, &a->action);
        } else {
            if (a->kind == ACTION)
                pv_tui_take_doubt(&w->t, &a->action);
            free(a->action.text);
        }
        w->n_asked--;
    }
    pv_tui_take_loss(&w->t);
}

static void find_daemon(void)
{
    if (!w->t.lost)
        return;
    pv_tui_take_return(&w->t);
    begin();
}

static void hang(void)
{
    for (size_t i = 0; i < w->n_asked; i++)
        pv_tui_show_waiting(&w->t, &w->asked[i].action);
    for (size_t i = 0; i < w->t.n_actions; i++)
        pv_tui_show_waiting(&w->t, &w->t.actions[i]);
}

/* --- the person ------------------------------------------------------------------------------ */

static void draw(size_t rows, size_t cols)
{
    const struct pv_tui_screen *s = &w->screen;
    must(pv_tui_render(&w->t, rows, cols, &w->screen) == PV_OK);
    /* Words are not cut in two, so each is in one row. */
    for (size_t row = 0; row < s->rows; row++) {
        char text[256] = "";
        for (size_t col = 0; col < s->cols && col < sizeof(text) - 1; col++) {
            wchar_t c = s->cells[row * s->cols + col].ch[0];
            text[col] = c > 0 && c < 0x7f ? (char)c : ' ';
        }
        for (size_t i = 0; i < w->n_said; i++)
            w->said[i].shown = w->said[i].shown || strstr(text, w->said[i].text) != NULL;
    }
}

static void key(enum pv_tui_key k, wchar_t arg)
{
    pv_tui_key(&w->t, k, arg);
}

/* A word that comes back again and again may not fill the line. */
static void edit(enum pv_tuiedit_op op)
{
    if (op != PV_TUIEDIT_YANK || w->t.edit.len < 200)
        key(PV_TUI_EDIT, (wchar_t)op);
    look_for_typed(true);
}

static void type(const char *text)
{
    for (; *text != '\0'; text++)
        key(PV_TUI_CHAR, (wchar_t)*text);
}

/* Where a line that is entered now goes. */
static void note_target(const char *line, const char *whole)
{
    struct pv_tui_words words;
    const struct pv_tui_conv *c = &w->t.convs[w->t.current];
    enum pv_tui_word word = pv_tui_split(line, &words);
    if (words.is_command && word == PV_TUI_W_SEND && words.text[0] != '\0') {
        size_t named = pv_tui_find_named(&w->t, words.name);
        c = named != SIZE_MAX && named > 0 ? &w->t.convs[named] : c;
    }
    for (size_t i = 0; i < w->n_typed; i++) {
        struct typed *k = &w->typed[i];
        if (!has(whole, i))
            continue;
        k->twice = k->twice || is_on_its_way(i);
        k->is = ENTERED;
        k->entered++;
        memcpy(k->to, c->name, sizeof(k->to));
        memcpy(k->address, c->address, sizeof(k->address));
    }
}

static void enter(void)
{
    struct pv_tui_words words;
    char whole[PV_TUIEDIT_MAX + 512];
    const bool pasted = w->t.paste != NULL;
    snprintf(whole, sizeof(whole), "%s%.500s", w->t.edit.text, pasted ? w->t.paste : "");
    note_target(pasted ? "x" : w->t.edit.text, whole);
    enum pv_tui_word word = pv_tui_split(w->t.edit.text, &words);
    const bool of_file = word == PV_TUI_W_ACCEPT || word == PV_TUI_W_REFUSE || word == PV_TUI_W_GET;
    const unsigned long number = of_file ? strtoul(words.name, NULL, 10) : 0;
    if (!pasted && number <= MAX_FILES)
        w->meant[number] = true;
    /* A person who enters a former line gives up the one that was begun, as in a shell. */
    for (size_t i = 0; i < w->n_typed && !pasted; i++) {
        if (has(w->t.edit.draft, i) && !has(w->t.edit.text, i))
            end_typed(&w->typed[i]);
    }
    key(PV_TUI_ENTER, 0);
    /* A word of a command is no line for anybody, unless it was given back. */
    for (size_t i = 0; i < w->n_typed && !pasted && words.is_command && word != PV_TUI_W_SEND;
         i++) {
        if (has(whole, i) && !has(w->t.edit.text, i))
            end_typed(&w->typed[i]);
    }
    look_for_typed(false);
}

static void begin_in(struct typed *k, const struct pv_tui_conv *c)
{
    memcpy(k->began, c->address, sizeof(k->began));
    memcpy(k->began_in, c->name, sizeof(k->began_in));
}

static void type_word(void)
{
    if (w->n_typed == MAX_TYPED || w->t.edit.len > 200)
        return;
    struct typed *k = &w->typed[w->n_typed];
    const struct pv_tui_conv *c = &w->t.convs[w->t.current];
    *k = (struct typed){.is = BEGUN};
    if (w->t.opening[0] == '\0' && w->t.paste == NULL)
        begin_in(k, c);
    w->n_typed++;
    type(token_of(w->n_typed - 1, (char[TOKEN]){0}));
    look_for_typed(true); /* the first key may have been an answer */
}

static void paste(unsigned lines)
{
    char text[256] = "";
    size_t n = 0;
    for (unsigned i = 0; i < lines && w->n_typed < MAX_TYPED; i++) {
        struct typed *k = &w->typed[w->n_typed++];
        *k = (struct typed){.is = BEGUN};
        begin_in(k, &w->t.convs[w->t.current]);
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", i > 0 ? "\n" : "",
                              token_of(w->n_typed - 1, (char[TOKEN]){0}));
    }
    if (text[0] != '\0')
        pv_tui_paste(&w->t, text);
    look_for_typed(true);
}

static void type_command(uint8_t which)
{
    static const char *const words[] = {
        "/msg bob ",   "send pi ",     "/open bob",       "/open pi",    "/open #crew",
        "/close",      "/me ",         "/room crew",      "/leave",      "/search <",
        "/peers",      "/help",        "/open key:AA",    "send me ",    "//",
        "/mute",       "/members",     "/exit",           "/msg #crew ", "/accept 1",
        "/refuse 2",   "/save 1",      "/accept 2",       "/accept 3",   "/send-file f.txt",
        "/invite bob", "/open nobody", "/open 10.66.0.3", "/msg eve ",
    };
    type(words[which % PV_ARRAY_LEN(words)]);
    look_for_typed(true);
}

/* --- what happens ---------------------------------------------------------------------------- */

static void tell_said(const struct said *s)
{
    json_t *msg = json_of_said(s);
    if (!w->t.lost)
        pv_tui_take_message(&w->t, msg);
    json_decref(msg);
}

static void come(unsigned with)
{
    char text[32];
    snprintf(text, sizeof(text), "{%zu}", w->n_said);
    if (is_room(with) ? with != w->room : is_former(with) || !w->is_in[place_of(with)])
        return;
    const struct said *s = say(with, false, "", text);
    if (s != NULL)
        tell_said(s);
}

/* A machine offers a file, in the room too, or one goes on. */
static void offer(uint8_t how)
{
    char line[PV_SHOW_OFFER_BUF];
    const unsigned with = how % MACHINES;
    if (how % 3 == 0) {
        for (size_t i = 1; i <= w->n_files; i++) {
            if (strcmp(w->files[i - 1].state, "accepted") != 0)
                continue;
            w->files[i - 1].state = how % 2 == 0 ? "done" : "failed";
            tell_file(i);
        }
        return;
    }
    if (is_former(with) || !w->is_in[place_of(with)])
        return;
    const size_t number = make_file(with, (how & 64) != 0 ? w->room : NOBODY, true, "");
    if (number > 0 && how % 3 == 1 && with == w->owner[0]) {
        struct file *f = &w->files[number - 1];
        struct said *s = say(w->room, false, "", pv_show_offer(f->name, 3, line));
        if (s != NULL) {
            s->shown = true; /* a line of several rows, of which the last is what counts */
            memcpy(f->transfer, s->id, sizeof(f->transfer));
            tell_said(s);
        }
    }
    if (number > 0)
        tell_file(number);
}

/* Another machine takes the name, once, or its machine goes or comes. */
static void change(uint8_t how)
{
    unsigned n = how % NAMES;
    if (how % 8 == 7) { /* the room is left and forgotten, and there is another of its name */
        w->room = ROOMS_FROM + 1;
        w->room_changed = true;
        pv_tui_want(&w->t, PV_TUI_ROOMS, "", NULL);
        return;
    }
    if ((how & 2) != 0 && !w->changed[n]) {
        w->owner[n] += NAMES;
        w->changed[n] = w->is_in[n] = true;
    } else {
        w->is_in[n] = !w->is_in[n];
    }
    pv_tui_want(&w->t, PV_TUI_PEERS, "", NULL);
}

static void tell(uint8_t what)
{
    json_t *body = NULL;
    if (w->t.lost)
        return;
    if (what % 3 == 0) {
        body = json_pack("{s:s, s:b}", "peer", names[what / 3 % NAMES], "online", what > 100);
        pv_tui_take_presence(&w->t, body);
    } else if (what % 3 == 1) {
        body = json_pack("{s:s, s:s, s:s, s:s, s:b}", "room", room_name, "what",
                         what > 100 ? "invited" : "left", "peer", "pi", "by", "bob", "self", false);
        pv_tui_take_room(&w->t, body);
    } else if (w->n_said > 0) {
        const struct said *s = &w->said[what / 3 % w->n_said];
        body = json_pack("{s:s, s:s, s:s}", "msg_id", s->id, "peer", name_of(s->with), "state",
                         "delivered");
        pv_tui_take_state(&w->t, body);
    }
    json_decref(body);
}

/* Another client reads what came of somebody. */
static void read_elsewhere(unsigned with)
{
    struct pv_tui_action a = {.kind = PV_TUI_READ};
    snprintf(a.peer, sizeof(a.peer), "%s", name_of(with));
    for (size_t i = w->n_said; i > 0 && !w->t.lost; i--) {
        if (w->said[i - 1].with != with || is_former(with) || (is_room(with) && with != w->room))
            continue;
        a.text = w->said[i - 1].id;
        do_read(&a, false);
        return;
    }
}

/* --- the end --------------------------------------------------------------------------------- */

static void calm_down(void)
{
    int rounds = 0;
    find_daemon();
    do {
        for (ask_what_waits(); w->n_asked > 0; ask_what_waits()) {
            answer_next(true);
            look_for_typed(false);
            must(++rounds < 1000);
        }
        draw(24, 80);
        ask_what_waits();
    } while (w->n_asked > 0);
    must(w->t.n_actions == 0);
}

/* The pane has the newest page of what the daemon has, each once and in the daemon's order, and
 * knows how much is unread. */
static void check_pane(unsigned with)
{
    size_t index = pv_tui_find(&w->t, name_of(with), false), at = 0, unread = 0, n = 0, skip;
    for (size_t i = 0; i < w->n_said; i++) {
        n += w->said[i].with == with;
        unread += w->said[i].with == with && w->said[i].unread;
    }
    skip = n > PAGE ? n - PAGE : 0;
    if (index == SIZE_MAX) { /* who is gone, and nothing is unread */
        must(unread == 0);
        return;
    }
    const struct pv_tui_conv *c = &w->t.convs[index];
    for (size_t i = 0; i < w->n_said; i++) {
        const struct said *s = &w->said[i];
        if (s->with != with)
            continue;
        if (skip > 0 || !c->asked) {
            skip -= skip > 0;
            continue;
        }
        while (at < c->n_lines && strcmp(c->lines[at].id, s->id) != 0)
            at++;
        must(at < c->n_lines);
        for (size_t k = at + 1; k < c->n_lines; k++)
            must(strcmp(c->lines[k].id, s->id) != 0);
    }
    must(n > PAGE || c->unread == unread);
}

static void check_all(void)
{
    for (unsigned n = 0; n < NAMES; n++) {
        if (!w->changed[n])
            check_pane(w->owner[n]);
    }
    if (!w->room_changed)
        check_pane(w->room);
}

static void set_up(void)
{
    static bool has_locale;
    if (!has_locale)
        must(setlocale(LC_CTYPE, "C.UTF-8") != NULL);
    has_locale = true;
    w = calloc(1, sizeof(*w));
    must(w != NULL && pv_tui_init(&w->t) == PV_OK);
    w->t.now = 1795168800;
    for (unsigned m = 0; m < MACHINES; m++) {
        uint8_t key_bytes[PV_KEY_LEN] = {(uint8_t)(16 * m)};
        pv_key_format(key_bytes, w->keys[m]);
    }
    w->room = ROOMS_FROM;
    for (unsigned n = 0; n < NAMES; n++) {
        w->owner[n] = n;
        w->is_in[n] = true;
    }
    begin();
}

static void tear_down(void)
{
    for (size_t i = 0; i < w->n_asked; i++)
        free(w->asked[i].action.text);
    pv_tui_screen_done(&w->screen);
    pv_tui_done(&w->t);
    free(w);
}

/* That message and those before it, which only the daemon may have. */
static void skip_to(const char *id)
{
    size_t end = 0;
    while (end < w->n_said && strcmp(w->said[end].id, id) != 0)
        end++;
    for (size_t i = 0; i <= end && end < w->n_said; i++)
        w->said[i].shown = w->said[i].shown || w->said[i].with == w->said[end].with;
}

static void press(uint8_t which)
{
    static const enum pv_tui_key keys[] = {
        PV_TUI_NEXT,      PV_TUI_PREVIOUS, PV_TUI_NEXT_UNREAD, PV_TUI_PAGE_UP,
        PV_TUI_PAGE_DOWN, PV_TUI_END,      PV_TUI_BOTTOM,      PV_TUI_ROSTER,
        PV_TUI_TAB,       PV_TUI_EOF,      PV_TUI_QUIT,
    };
    enum pv_tui_key k = keys[which % PV_ARRAY_LEN(keys)];
    const struct pv_tui_conv *c = &w->t.convs[w->t.current];
    /* At the end already, that is what skips all that is above. */
    bool skips = w->t.paste == NULL && c->scroll == 0 &&
                 (k == PV_TUI_BOTTOM || (k == PV_TUI_END && w->t.edit.cursor == w->t.edit.len));
    for (size_t i = 0; i < c->n_lines && skips; i++)
        skip_to(c->lines[i].id);
    /* A change of a former line, while another was begun, goes with it. */
    bool drops = w->t.paste != NULL || k == PV_TUI_EOF || w->t.edit.draft != NULL;
    key(k, which % 7 + 1);
    look_for_typed(drops);
}

static void step(struct pv_view *in)
{
    uint8_t what = fuzz_next(in), arg = fuzz_next(in);
    switch (what % 16) {
    case 0:
        type_word();
        break;
    case 1:
    case 2:
        enter();
        break;
    case 3:
        press(arg);
        break;
    case 4:
        type_command(arg);
        break;
    case 5:
        edit((enum pv_tuiedit_op)(arg % (PV_TUIEDIT_YANK + 1)));
        break;
    case 6:
        paste(arg % 4 + 1);
        break;
    case 7:
        come(arg % SIDES);
        break;
    case 8:
        answer_next(true);
        break;
    case 9:
        answer_next(false);
        break;
    case 10:
        if (w->t.lost)
            find_daemon();
        else
            lose(arg % MAX_ASKED);
        break;
    case 11:
        change(arg);
        break;
    case 12:
        draw(arg % 30 + 4, arg % 100 + 18);
        break;
    case 13:
        hang();
        break;
    case 14:
        tell(arg);
        break;
    case 15:
        if (arg > 127)
            offer(arg);
        else
            read_elsewhere(arg % SIDES);
        break;
    }
    look_for_typed(false);
    ask_what_waits();
    w->t.now += arg;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pv_view in = pv_view(data, len);
    set_up();
    while (in.len > 0 && w->t.leave != PV_TUI_ENDED)
        step(&in);
    if (w->t.leave != PV_TUI_ENDED) {
        calm_down();
        check_all();
    }
    tear_down();
    return 0;
}
