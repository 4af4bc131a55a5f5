/* SPDX-License-Identifier: MIT */
/* A conversation line by line: whoever types names a receiver on each line, or once at the start.
 */
#include "chat/ctl/chatline.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/harmless.h"
#include "base/names.h"
#include "base/text.h"
#include "chat/ctl/chatmsg.h"
#include "chat/proto/chat.h"
#include "chat/screen/model/tuiwords.h"
#include "sys/proc/clock.h"

enum {
    MAX_ASKED = 12,   /* requests without answer; the daemon takes 16, one is the watch */
    KNOWN = 256,      /* messages remembered, to tell their state and to show none twice */
    SNIPPET = 32,     /* bytes of a text that are repeated with its state */
    LAST_WAIT_S = 30, /* for answers after the end of the input */
};

enum asked_kind {
    ASKED_NOTHING,
    ASKED_WATCH,
    ASKED_INBOX,
    ASKED_READ,
    ASKED_SEND,
    ASKED_SEND_HERE, /* the same to the place of the conversation */
    ASKED_PEERS,
    ASKED_NAMES, /* before a line is judged by them */
    ASKED_FILES, /* once, for those that were offered before */
    ASKED_ROOMS, /* once, for the invitations from before */
};

/* A request without answer. */
struct asked {
    enum asked_kind kind;
    uint64_t id;
    char text[SNIPPET + 4]; /* of a line that is sent */
};

/* A message that was shown or sent. Senders choose ids: one is known only in its conversation. */
struct known {
    char id[PV_CHAT_ID_TEXT_BUF];
    char where[PV_CTLAPI_PEER_BUF]; /* name of the peer, or of the room */
    char text[SNIPPET + 4];
};

struct chat {
    struct pv_cli *cli;
    struct pv_chat_place place; /* its address is "": every line names its receiver */
    bool typed;                 /* a person types, */
    bool prompts;               /* and sees what this program writes */
    bool begun;                 /* p2pvpnd answered, and did not refuse the watch before */
    bool ended;                 /* no more input is wanted */
    int code;                   /* exit code so far */
    struct asked asked[MAX_ASKED + 2];
    size_t n_asked;
    struct known known[KNOWN];
    size_t n_known; /* ever */
    json_t *names;  /* of members: {"pi": true} */
    bool held;      /* in has a line that waits for the names */
    json_t *told;   /* names whose change of hands was said: {"pi": since} */
    json_t *later;  /* the newest messages that came while older unread ones were being fetched */
    json_t *offers; /* files and rooms of before this chat, which are told behind those messages */
    /* The last that came and was shown, and is not read ("": none), and the last that READ was
     * asked for. */
    char shown[PV_CHAT_ID_TEXT_BUF], reading[PV_CHAT_ID_TEXT_BUF];
    json_t *files; /* numbers of those that are no news: {"7": true} */
    struct pv_chat_input in;
};

/* --- the screen ---------------------------------------------------------------------------- */

/* Before and after lines that come while a person types. */
static void above_prompt(struct chat *c)
{
    if (!c->prompts || !c->begun)
        return;
    fputs(c->cli->screen.dumb ? "\n" : "\r\033[K", c->cli->out);
    fflush(c->cli->out); /* errors go elsewhere, and shall not come before it */
}

static void prompt(struct chat *c)
{
    if (c->prompts && c->begun && !c->ended)
        fprintf(c->cli->out, "%s> ", c->place.name);
    fflush(c->cli->out);
}

/* The object as an event of this name: {"event":…, its fields}. */
static void print_event(struct chat *c, const char *name, json_t *body)
{
    json_t *event = json_pack("{s:s}", "event", name);
    if (event != NULL && json_object_update_missing(event, body) == 0)
        pv_cli_print_json(c->cli, event);
    json_decref(event);
}

/* --- what is known of messages ------------------------------------------------------------- */

/* where: NULL in any conversation. */
static struct known *find_known(struct chat *c, const char *where, const char *id)
{
    /* The array is a ring: the oldest message is forgotten first, so that a long conversation
     * needs no more memory. */
    size_t n = c->n_known < KNOWN ? c->n_known : KNOWN;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(c->known[i].id, id) == 0 &&
            (where == NULL || strcmp(c->known[i].where, where) == 0))
            return &c->known[i];
    }
    return NULL;
}

/* Its beginning, which will be printed later, so that control characters go now. */
static void cut(const char *text, char dst[static SNIPPET + 4])
{
    const size_t len = strcspn(text, "\n");
    pv_harmless_show(pv_view(text, len), dst, SNIPPET + 1);
    if (len > SNIPPET || text[len] != '\0')
        memcpy(dst + strlen(dst), "...", 4);
}

/* False when it is known already. */
static bool remember(struct chat *c, const json_t *msg)
{
    const char *id = pv_json_text(msg, "id", "");
    const char *other = pv_json_bool(msg, "own") ? "to" : "from";
    const char *where = pv_json_text(msg, "room", pv_json_text(msg, other, ""));
    const char *text = pv_json_text(msg, "text", "");
    /* The daemon may tell one message as an event and in the inbox. */
    if (find_known(c, where, id) != NULL)
        return false;
    struct known *k = &c->known[c->n_known++ % KNOWN];
    snprintf(k->id, sizeof(k->id), "%s", id);
    snprintf(k->where, sizeof(k->where), "%s", where);
    cut(text, k->text);
    return true;
}

/* --- requests ------------------------------------------------------------------------------ */

static int send_asked(struct chat *c, enum asked_kind kind, struct pv_ctlapi_request *req)
{
    req->id = ++c->cli->last_id;
    pv_cli_set_timeout(c->cli, LAST_WAIT_S);
    int r = pv_client_send(&c->cli->client, req, c->cli->deadline);
    /* JSON writes a control character as six bytes: the line of the control protocol can
     * overflow although the text is short enough. */
    if (r == PV_ERR_LIMIT) {
        c->code = pv_cli_usage(c->cli, "too long once control characters are escaped");
        return 0;
    }
    if (r < 0)
        return pv_cli_lost(c->cli, r);
    /* The entry is made after the send, so that a line that never left waits for no answer. */
    struct asked *a = &c->asked[c->n_asked++];
    *a = (struct asked){.kind = kind, .id = req->id};
    if (req->text != NULL)
        cut(req->text, a->text);
    return 0;
}

static bool is_asked(const struct chat *c, enum asked_kind kind)
{
    for (size_t i = 0; i < c->n_asked; i++) {
        if (c->asked[i].kind == kind)
            return true;
    }
    return false;
}

/* The lines that p2pvpnd may have taken, or not, in the order in which they were typed, and the one
 * that it never saw. */
static void tell_unanswered(struct chat *c)
{
    char text[SNIPPET + 4];
    for (uint64_t last = 0;;) {
        const struct asked *next = NULL;
        for (size_t i = 0; i < c->n_asked; i++) {
            const struct asked *a = &c->asked[i];
            if (a->text[0] != '\0' && a->id > last && (next == NULL || a->id < next->id))
                next = a;
        }
        if (next == NULL)
            break;
        last = next->id;
        (void)pv_cli_fail(c->cli, PV_CTLAPI_FAILED, "perhaps not sent: %s", next->text);
    }
    if (!c->held)
        return;
    cut(c->in.line, text);
    (void)pv_cli_fail(c->cli, PV_CTLAPI_FAILED, "not sent: %s", text);
}

static bool has_place(const struct chat *c)
{
    return c->place.address[0] != '\0';
}

static int send_to(struct chat *c, enum asked_kind kind, const char *peer, char *text)
{
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_SEND);
    int code = pv_cli_peer(c->cli, &req, peer);
    if (code == 0 && !pv_text_is_valid(pv_view(text, strlen(text))))
        code = pv_cli_usage(c->cli, "the text must be 1 to %d bytes of UTF-8", PV_CHAT_TEXT_MAX);
    if (code != 0) { /* told; the conversation goes on */
        c->code = code;
        return 0;
    }
    /* The prompt has the name: a machine that is called otherwise by now gets no line from here. */
    if (kind == ASKED_SEND_HERE && c->place.name[0] != '#')
        memcpy(req.u.say.name, c->place.name, sizeof(req.u.say.name));
    if (kind == ASKED_SEND_HERE)
        (void)pv_names_in_send(text, req.u.say.unless);
    req.text = text; /* borrowed, so not pv_ctlapi_request_done() */
    return send_asked(c, kind, &req);
}

static int ask_simple(struct chat *c, enum asked_kind kind, enum pv_ctlapi_cmd cmd)
{
    struct pv_ctlapi_request req = pv_ctlapi_request_of(cmd);
    /* Without "seen": a message that is told is read once it is written (read_shown()). */
    if (cmd == PV_CTLAPI_WATCH)
        memcpy(req.u.watch.what, "chat", sizeof("chat"));
    return send_asked(c, kind, &req);
}

/* Unread messages later than the message after ("": all), which stands at upto (0: not known). They
 * become read once they are shown. */
static int ask_inbox(struct chat *c, const char *after, uint64_t upto)
{
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_INBOX);
    req.u.list.peek = true;
    snprintf(req.u.list.after, sizeof(req.u.list.after), "%s", after);
    req.u.list.upto = upto;
    return send_asked(c, ASKED_INBOX, &req);
}

/* --- what comes in ------------------------------------------------------------------------- */

/* Once a conversation: the name one reads, or writes to, was another machine's before. */
static void tell_change(struct chat *c, const json_t *msg)
{
    char text[PV_SHOW_CHANGE_BUF];
    if (pv_show_change_once(c->told, msg, text) == NULL)
        return;
    fputs("-- ", c->cli->out);
    pv_show_text(c->cli->out, text);
    fputc('\n', c->cli->out);
}

/* Before anything is typed: the name of the prompt may be another machine's. */
static void tell_place(struct chat *c)
{
    const struct pv_chat_place *p = &c->place;
    char text[PV_SHOW_CHANGE_BUF];
    if (!c->prompts || p->another_since <= 0)
        return;
    (void)json_object_set_new(c->told, p->name, json_real(p->another_since));
    pv_cli_note(c->cli, "-- %s", pv_show_change(p->name, p->another_since, p->former, text));
}

static void show_message(struct chat *c, json_t *msg)
{
    if (!remember(c, msg))
        return;
    if (c->cli->json) {
        json_t *event = json_object();
        if (event != NULL && json_object_set(event, "message", msg) == 0)
            print_event(c, "message", event);
        json_decref(event);
        return;
    }
    tell_change(c, msg);
    pv_chat_print(c->cli, msg, false);
}

static void show_state(struct chat *c, const json_t *body)
{
    /* The peer may have another name since. */
    const struct known *k = find_known(c, NULL, pv_json_text(body, "msg_id", ""));
    /* The daemon reports states of older messages too, which this program has never shown. */
    if (k == NULL || pv_json_is(body, "state", "sent"))
        return; /* sent before this conversation, or just now: that was told */
    fprintf(c->cli->out, "%s-- %s %s %s: %s%s\n", pv_colour_on(PV_DIM, c->cli->screen.colour),
            pv_json_text(body, "state", "?"), pv_json_is(body, "state", "read") ? "by" : "to",
            pv_json_text(body, "peer", "?"), k->text, pv_colour_off(PV_DIM, c->cli->screen.colour));
}

/* The commands stand in quotes, or a shell takes the # for the beginning of a comment. */
#define ROOM_HOW ": `p2pvpnctl room accept '%s'`, or `p2pvpnctl room leave '%s'`"

static void show_room(struct chat *c, const json_t *body)
{
    const bool invited = pv_json_is(body, "what", "invited");
    const bool self = invited && pv_json_bool(body, "self");
    const char *room = pv_json_text(body, "room", "?");
    if (self && is_asked(c, ASKED_ROOMS))
        return; /* the list has it */
    fputs(pv_colour_on(PV_DIM, c->cli->screen.colour), c->cli->out);
    pv_cli_say(c->cli, "-- %s: %s %s%s%s", room, pv_json_text(body, "peer", "?"),
               invited ? "was invited by " : "left", invited ? pv_json_text(body, "by", "?") : "",
               self ? PV_STR(ROOM_HOW, room, room) : "");
    fputs(pv_colour_off(PV_DIM, c->cli->screen.colour), c->cli->out);
}

/* Of the list, which does not say who invited. */
static void show_invitation(struct chat *c, const json_t *entry)
{
    const char *room = pv_json_text(entry, "room", "?");
    if (!pv_json_bool(entry, "invited") || pv_json_bool(entry, "left"))
        return;
    fputs(pv_colour_on(PV_DIM, c->cli->screen.colour), c->cli->out);
    pv_cli_say(c->cli, "-- %s, made by %s: this machine is invited" ROOM_HOW, room,
               pv_json_text(entry, "creator", "?"), room, room);
    fputs(pv_colour_off(PV_DIM, c->cli->screen.colour), c->cli->out);
}

/* To admins: who joined by an invite with approval. */
static void show_waiting(struct chat *c, const json_t *body)
{
    const char *name = pv_json_text(body, "name", "?");
    fputs(pv_colour_on(PV_DIM, c->cli->screen.colour), c->cli->out);
    pv_cli_say(c->cli,
               "-- %s asks to be admitted, from %s: `sudo p2pvpnctl admit %s`, or `sudo p2pvpnctl "
               "deny %s`",
               name, pv_json_text(body, "asks_from", "somewhere"), name, name);
    fputs(pv_colour_off(PV_DIM, c->cli->screen.colour), c->cli->out);
}

/* A file that somebody offers. Its name, which may be anything, stands behind the command. */
static void show_file(struct chat *c, const json_t *file)
{
    const uint32_t number = (uint32_t)pv_json_int(file, "id");
    if (!pv_json_is(file, "direction", "in") || !pv_json_is(file, "state", "offered") ||
        pv_json_bool(file, "muted"))
        return;
    fputs(pv_colour_on(PV_DIM, c->cli->screen.colour), c->cli->out);
    const char *room = pv_json_text(file, "room", NULL);
    pv_cli_say(c->cli, "-- %s offers a file%s%s: `p2pvpnctl files accept %u` takes %s (%s)",
               pv_json_text(file, "peer", "?"), room != NULL ? " in " : "",
               room != NULL ? room : "", number, pv_json_text(file, "name", "?"),
               PV_BYTES_STR(pv_json_real(file, "size", 0)));
    fputs(pv_colour_off(PV_DIM, c->cli->screen.colour), c->cli->out);
}

/* False: it was told before. Without memory it is told again. */
static bool is_new_file(struct chat *c, const json_t *file)
{
    const char *number = PV_STR("%ld", (long)pv_json_int(file, "id"));
    bool known = json_object_get(c->files, number) != NULL;
    (void)json_object_set_new(c->files, number, json_true());
    return !known;
}

/* Once, although p2pvpnd tells it anew when its sender comes back. */
static void show_new_file(struct chat *c, const json_t *file)
{
    if (!is_asked(c, ASKED_FILES) && is_new_file(c, file)) /* else that list has it */
        show_file(c, file);
}

static void know_offers(struct chat *c, const json_t *body)
{
    json_t *files = json_object_get(body, "files"), *rooms = json_object_get(body, "rooms");
    /* One that calls nobody is told once it does: its room may be accepted meanwhile. */
    PV_EACH_JSON(files, file) {
        if (!pv_json_bool(file, "muted"))
            (void)is_new_file(c, file);
    }
    /* Without memory `files` and `room list` have them still. */
    (void)json_array_extend(c->offers, files != NULL ? files : rooms);
}

/* A message of others that is read as it comes is of a muted peer or room: it is told only in the
 * conversation that the person has opened. A script sees the state. */
static bool is_told(const struct chat *c, const json_t *msg)
{
    const char *where = pv_json_text(msg, "room", pv_json_text(msg, "from", ""));
    return c->cli->json || pv_json_bool(msg, "own") || !pv_json_is(msg, "state", "read") ||
           (strcmp(where, c->place.name) == 0 && pv_json_text(msg, "from_former", "")[0] == '\0');
}

static void take_message(struct chat *c, json_t *msg)
{
    if (is_told(c, msg))
        show_message(c, msg);
    if (pv_json_is(msg, "state", "unread"))
        snprintf(c->shown, sizeof(c->shown), "%s", pv_json_text(msg, "id", ""));
}

/* Messages that waited are shown first. The inbox ends with these, so as many as are remembered do:
 * those before them are in it as well. */
static void keep_for_later(struct chat *c, json_t *msg)
{
    if (json_array_size(c->later) >= KNOWN)
        json_array_remove(c->later, 0);
    (void)json_array_append(c->later, msg); /* else it stays unread, and the next chat shows it */
}

static void show_later(struct chat *c)
{
    PV_EACH_JSON(c->later, msg)
        take_message(c, msg);
    json_array_clear(c->later);
    PV_EACH_JSON(c->offers, offer) {
        show_file(c, offer);
        show_invitation(c, offer);
    }
    json_array_clear(c->offers);
}

static void show_event(struct chat *c, const struct pv_ctlapi_reply *reply)
{
    struct pv_cli *cli = c->cli;
    if (strcmp(reply->event, "message") == 0) {
        json_t *msg = json_object_get(reply->body, "message");
        if (is_asked(c, ASKED_INBOX))
            keep_for_later(c, msg);
        else
            take_message(c, msg);
    } else if (cli->json)
        pv_cli_print_json(cli, reply->body);
    else if (strcmp(reply->event, "state") == 0)
        show_state(c, reply->body);
    else if (strcmp(reply->event, "room") == 0 && !cli->quiet)
        show_room(c, reply->body);
    else if (strcmp(reply->event, "waiting") == 0 && !cli->quiet)
        show_waiting(c, reply->body);
    else if (strcmp(reply->event, "file") == 0 && !cli->quiet)
        show_new_file(c, json_object_get(reply->body, "file"));
    else if (strcmp(reply->event, "presence") == 0 && !cli->quiet)
        fprintf(cli->out, "%s-- %s is %s%s\n", pv_colour_on(PV_DIM, cli->screen.colour),
                pv_json_text(reply->body, "peer", "?"),
                pv_json_bool(reply->body, "online") ? "online" : "offline",
                pv_colour_off(PV_DIM, cli->screen.colour));
}

static void show_sent(struct chat *c, json_t *body)
{
    const json_t *msg = json_object_get(body, "message");
    char text[PV_SHOW_SENT_BUF];
    bool waits;
    pv_show_sent(body, text, &waits);
    remember(c, msg);
    if (!c->cli->json)
        tell_change(c, msg);
    /* A person who typed the line sees that it was sent, but not that it waits, nor whom rules keep
     * from it; a script gets every answer. */
    if (c->cli->json)
        print_event(c, "sent", body);
    else if (waits || json_array_size(json_object_get(body, "denied")) > 0 ||
             (!c->prompts && !c->cli->quiet)) {
        fputs("-- ", c->cli->out);
        pv_show_text(c->cli->out, text);
        fputc('\n', c->cli->out);
    }
}

/* The names make "send NAME TEXT" a command also in a conversation with a peer. */
static void learn_names(struct chat *c, const json_t *body)
{
    json_object_clear(c->names);
    PV_EACH_JSON(json_object_get(body, "peers"), entry)
        json_object_set_new(c->names, pv_json_text(entry, "name", ""), json_true());
}

static void show_nodes(struct chat *c, json_t *body)
{
    struct pv_cli *cli = c->cli;
    const json_t *list = json_object_get(body, "peers");
    struct pv_table t;
    pv_table_begin(&t, 4);
    PV_EACH_JSON(list, peer) {
        bool online = pv_json_bool(peer, "online");
        const char *type = pv_json_text(json_object_get(peer, "path"), "type", "none");
        const char *name = pv_json_text(peer, "name", "?");
        pv_table_cell(&t, PV_BOLD, name);
        pv_table_cell(&t, PV_PLAIN, pv_json_text(peer, "ip4", "-"));
        pv_table_cell(&t, online ? PV_GREEN : PV_DIM, online ? "online" : "offline");
        pv_table_cell(&t, PV_PLAIN, strcmp(type, "none") == 0 ? "" : type);
    }
    if (cli->json)
        print_event(c, "peers", body);
    /* pv_table_print() also frees the cells, so it runs with JSON as well: on standard error,
     * beside the stream of objects. */
    if (pv_table_print(&t, cli->json ? cli->err : cli->out, &cli->screen) < 0)
        pv_cli_note(cli, "out of memory");
    if (json_array_size(list) == 0 && !cli->json)
        fputs("-- no other members yet\n", cli->out);
}

static enum asked_kind take_asked(struct chat *c, uint64_t id)
{
    for (size_t i = 0; i < c->n_asked; i++) {
        enum asked_kind kind = c->asked[i].kind;
        if (c->asked[i].id != id)
            continue;
        /* The order of the entries means nothing. */
        c->asked[i] = c->asked[--c->n_asked];
        return kind;
    }
    return ASKED_NOTHING;
}

/* One page; what was written of it is read then, and the next one is asked for. */
static int show_inbox(struct chat *c, const json_t *body)
{
    const json_t *list = json_object_get(body, "messages");
    PV_EACH_JSON(list, msg)
        show_message(c, msg);
    if (json_array_size(list) == 0 || fflush(c->cli->out) != 0)
        return 0;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_READ);
    snprintf(req.u.list.through, sizeof(req.u.list.through), "%s",
             pv_json_text(json_array_get(list, json_array_size(list) - 1), "id", ""));
    req.u.list.upto = (uint64_t)pv_json_int(body, "upto");
    int code = send_asked(c, ASKED_READ, &req);
    return code == 0 && pv_json_bool(body, "more")
               ? ask_inbox(c, req.u.list.through, req.u.list.upto)
               : code;
}

/* Messages of events are read once they are written, with all before them: what waited is shown
 * first. */
static int read_shown(struct chat *c)
{
    if (c->shown[0] == '\0' || is_asked(c, ASKED_INBOX) || is_asked(c, ASKED_READ) ||
        c->n_asked >= MAX_ASKED || fflush(c->cli->out) != 0)
        return 0;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_READ);
    memcpy(req.u.list.through, c->shown, sizeof(c->shown));
    memcpy(c->reading, c->shown, sizeof(c->shown));
    c->shown[0] = '\0';
    return send_asked(c, ASKED_READ, &req);
}

/* After a page of many there may be another one: it is asked for until nothing is left. */
static void read_on(struct chat *c, const json_t *body)
{
    if (pv_json_bool(body, "more") && c->shown[0] == '\0')
        memcpy(c->shown, c->reading, sizeof(c->shown));
}

/* Several requests are under way at a time: the id says to which of them this is the answer. */
static int show_answer(struct chat *c, const struct pv_ctlapi_reply *reply)
{
    enum asked_kind kind = take_asked(c, reply->id);
    c->begun = c->begun || kind == ASKED_INBOX;
    if (kind == ASKED_FILES || kind == ASKED_ROOMS) { /* what is wrong the other answers say */
        know_offers(c, reply->body);
        return 0;
    }
    if (!reply->ok) {
        if (kind == ASKED_SEND_HERE)
            pv_chat_complain_of_line(c->cli, &c->place, reply);
        else
            pv_cli_complain(c->cli, (int)reply->code, reply->error);
        /* A line that cannot be sent does not end the conversation, but the exit code remembers it;
         * without the watch it is none, and without names "send nas secret" would go to the peer. A
         * message that was shown and stays unread is no failure. */
        if (kind != ASKED_READ)
            c->code = (int)reply->code;
        return kind == ASKED_WATCH || kind == ASKED_NAMES ? c->code : 0;
    }
    if (kind == ASKED_SEND || kind == ASKED_SEND_HERE)
        show_sent(c, reply->body);
    else if (kind == ASKED_PEERS)
        show_nodes(c, reply->body);
    else if (kind == ASKED_NAMES)
        learn_names(c, reply->body);
    else if (kind == ASKED_INBOX)
        return show_inbox(c, reply->body);
    else if (kind == ASKED_READ)
        read_on(c, reply->body);
    return 0;
}

/* Shows one reply above what is being typed. */
static int take_reply(void *ctx, const struct pv_ctlapi_reply *reply)
{
    struct chat *c = ctx;
    int code = 0;
    /* The terminal shows what is typed, not this program: the line is erased and the prompt is
     * printed again behind the reply. */
    above_prompt(c);
    if (reply->is_event)
        show_event(c, reply);
    else
        code = show_answer(c, reply);
    if (!is_asked(c, ASKED_INBOX))
        show_later(c);
    prompt(c);
    return code;
}

/* --- what is typed ------------------------------------------------------------------------- */

/* The rest behind "send" at the line's beginning; NULL: another line. */
static const char *behind_send(const char *line)
{
    line += strspn(line, " ");
    return strncmp(line, "send ", 5) == 0 ? line + 5 + strspn(line + 5, " ") : NULL;
}

/* "send NAME TEXT" taken apart; NULL when it is not that. */
static char *cut_send(char *line, char **ret_name)
{
    const char *rest = behind_send(line);
    if (rest == NULL)
        return NULL;
    char *name = line + (rest - line);
    size_t len = strcspn(name, " ");
    if (len == 0 || name[len + strspn(name + len, " ")] == '\0')
        return NULL;
    name[len] = '\0';
    *ret_name = name;
    return name + len + 1;
}

/* "send me the file", typed to a peer, is a line for the peer unless there is a member "me". A room
 * is named whether it is there or not: its line is for none but those in it. */
static bool names_somebody(const struct chat *c, const char *line)
{
    char name[PV_NAME_BUF];
    const char *rest = behind_send(line);
    return rest != NULL && (pv_names_in_send(line, name) || rest[0] == '#' ||
                            json_object_get(c->names, name) != NULL);
}

static int refuse_line(struct chat *c)
{
    c->code = pv_cli_usage(c->cli, "usage: send NAME TEXT, getu, or exit%s",
                           c->typed && has_place(c) ? "; //TEXT sends /TEXT" : "");
    return 0;
}

/* Is the line one of the screen's words? A pipe has its own lines, but "/send bob ..." is no
 * sentence that a peer should read. */
static bool is_word(const struct chat *c, const char *line)
{
    struct pv_tui_words w;
    return line[strspn(line, " ")] == '/' && (pv_tui_split(line, &w) == PV_TUI_W_SEND || c->typed);
}

/* Those that are words here too do what they do there. */
static int use_word(struct chat *c, char *line)
{
    struct pv_tui_words w;
    const enum pv_tui_word word = pv_tui_split(line, &w);
    if (!w.is_command && has_place(c))
        return send_to(c, ASKED_SEND_HERE, c->place.address, line + (w.plain - line));
    if (word == PV_TUI_W_SEND && w.text[0] != '\0')
        return send_to(c, ASKED_SEND, w.name, line + (w.text - line));
    if (word == PV_TUI_W_PEERS)
        return ask_simple(c, ASKED_PEERS, PV_CTLAPI_PEERS);
    if (word != PV_TUI_W_EXIT)
        return refuse_line(c);
    c->ended = true;
    return 0;
}

/* Blanks behind it are no text, as on the screen. */
static bool is_whole(const char *line, const char *word)
{
    const size_t len = strlen(word);
    return strncmp(line, word, len) == 0 && line[len + strspn(line + len, " ")] == '\0';
}

static int use_line(struct chat *c, char *line)
{
    char *name = NULL;
    if (line[0] == '\0')
        return 0;
    if (is_word(c, line))
        return use_word(c, line);
    if (is_whole(line, "exit")) {
        c->ended = true;
        return 0;
    }
    if (is_whole(line, "getu"))
        return ask_simple(c, ASKED_PEERS, PV_CTLAPI_PEERS);
    /* With a peer most lines are for it; only a "send" to a member is taken for a command. */
    if (has_place(c) && !names_somebody(c, line))
        return send_to(c, ASKED_SEND_HERE, c->place.address, line);
    char *text = cut_send(line, &name);
    if (text != NULL)
        return send_to(c, ASKED_SEND, name, text);
    return refuse_line(c);
}

static int end_line(struct chat *c)
{
    struct pv_chat_input *in = &c->in;
    int code = 0;
    /* A script from Windows ends its lines with CR LF. */
    if (in->len > 0 && in->line[in->len - 1] == '\r')
        in->line[--in->len] = '\0';
    /* Names come and go: "send nas …" is judged by those of this moment, and waits for them. */
    c->held = !c->held && has_place(c) && !in->too_long && behind_send(in->line) != NULL;
    if (c->held)
        return ask_simple(c, ASKED_NAMES, PV_CTLAPI_PEERS);
    /* A part of a line could mean something else than the whole, so all of it is refused. */
    if (in->too_long)
        c->code = pv_cli_usage(c->cli, "a line of more than %zu bytes was not sent",
                               sizeof(in->line) - 1);
    else if (memchr(in->line, '\0', in->len) != NULL)
        c->code = pv_cli_usage(c->cli, "a line with a NUL was not sent");
    else
        code = use_line(c, in->line);
    pv_chat_input_next(in);
    return code;
}

static int read_input(struct chat *c)
{
    int r = pv_chat_input_read(&c->in, fileno(c->cli->in));
    if (r == PV_ERR_AGAIN)
        return 0;
    /* The end of the input may cut the last line short of its newline: that line still counts. */
    c->ended = c->ended || r == PV_ERR_CLOSED;
    int code = r == PV_ERR_CLOSED && c->in.len == 0 ? 0 : end_line(c);
    if (r == PV_OK && !c->held)
        prompt(c);
    return code;
}

/* --- the conversation ---------------------------------------------------------------------- */

/* Everything that a user waits for is answered. p2pvpnd answers the lists of offers before the
 * inbox, so that they need no wait of their own. */
static bool is_quiet(const struct chat *c)
{
    for (size_t i = 0; i < c->n_asked; i++) {
        const enum asked_kind kind = c->asked[i].kind;
        if (kind != ASKED_WATCH && kind != ASKED_FILES && kind != ASKED_ROOMS)
            return false;
    }
    return true;
}

static struct chat *chat_free(struct chat *c)
{
    json_decref(c->names);
    json_decref(c->told);
    json_decref(c->files);
    json_decref(c->later);
    json_decref(c->offers);
    free(c);
    return NULL;
}

static struct chat *chat_new(void)
{
    struct chat *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return NULL;
    c->names = json_object();
    c->told = json_object();
    c->files = json_object();
    c->later = json_array();
    c->offers = json_array();
    const bool whole = c->names != NULL && c->told != NULL && c->files != NULL &&
                       c->later != NULL && c->offers != NULL;
    return whole ? c : chat_free(c);
}

static int converse(struct chat *c)
{
    pv_ns last = PV_NEVER; /* for the last answers */
    int code = 0;
    while (code == 0 && !(c->ended && is_quiet(c))) {
        /* With too many requests open the input waits in the pipe, which slows the writer down. So
         * does what is typed before there is a conversation: in no network none of it is sent. */
        bool listen = c->begun && !c->ended && c->n_asked < MAX_ASKED && !c->held;
        struct pollfd p[] = {
            {.fd = pv_client_poll_fd(&c->cli->client), .events = POLLIN},
            {.fd = listen ? fileno(c->cli->in) : -1, .events = POLLIN},
            {.fd = fileno(c->cli->out)},
        };
        /* Nothing is read that is written there. */
        if (!pv_chat_is_heard(c->cli))
            return pv_cli_fail(c->cli, PV_CTLAPI_FAILED,
                               "the output goes nowhere any more: what comes stays unread, and the "
                               "rest of the input is not sent");
        if (c->ended && last == PV_NEVER)
            last = pv_clock_now() + PV_S(LAST_WAIT_S);
        /* The short timeout lets the last answers be counted against their limit. */
        int n = poll(p, PV_ARRAY_LEN(p), c->ended ? 100 : -1);
        if (n < 0 && errno != EINTR)
            return pv_cli_fail(c->cli, PV_CTLAPI_FAILED, "cannot wait: %s", strerror(errno));
        if (c->ended && pv_clock_now() >= last)
            return pv_cli_lost(c->cli, PV_ERR_TIMEOUT);
        if (n > 0 && p[0].revents != 0)
            /* The daemon first: an answer makes room for more requests. */
            code = pv_cli_take_replies(c->cli, take_reply, c);
        if (code == 0)
            code = read_shown(c);
        if (code == 0 && c->held && !is_asked(c, ASKED_NAMES)) { /* they came */
            above_prompt(c);
            code = end_line(c);
            prompt(c);
        }
        if (n > 0 && code == 0 && p[1].revents != 0)
            code = read_input(c);
    }
    return code != 0 ? code : c->code;
}

int pv_chatline(struct pv_cli *cli)
{
    struct pv_chat_place place = {0};
    int code = cli->args.n_words > 0 ? pv_chat_find_place(cli, cli->args.word[0], &place) : 0;
    if (code != 0)
        return code;
    struct chat *c = chat_new();
    if (c == NULL)
        return pv_cli_no_memory(cli);
    c->cli = cli;
    c->typed = isatty(fileno(cli->in));
    c->prompts = c->typed && !cli->quiet && !cli->json && isatty(fileno(cli->out));
    c->place = place;
    /* Watch first, then what is unread: nothing can fall between, and nothing is shown twice. */
    code = ask_simple(c, ASKED_WATCH, PV_CTLAPI_WATCH);
    if (code == 0 && !cli->json && !cli->quiet)
        code = ask_simple(c, ASKED_FILES, PV_CTLAPI_FILES);
    if (code == 0 && !cli->json && !cli->quiet)
        code = ask_simple(c, ASKED_ROOMS, PV_CTLAPI_ROOM_LIST);
    if (code == 0)
        code = ask_inbox(c, "", 0);
    if (c->prompts)
        pv_cli_note(cli, "send NAME TEXT, getu, exit%s; Ctrl-R shows again what was begun",
                    has_place(c) ? "; every other line goes to the peer" : "");
    tell_place(c);
    if (code == 0)
        code = converse(c);
    above_prompt(c);
    tell_unanswered(c);
    chat_free(c);
    return code;
}
