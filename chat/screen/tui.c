/* SPDX-License-Identifier: MIT */
/* Curses and the daemon's socket around the chat's model: keys and replies go in, what the model
 * asks for goes to the daemon, and the picture of tuiview.c to the screen. */
#include "chat/screen/tui.h"

#include <curses.h>
#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <limits.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wchar.h>

#include "base/text.h"
#include "chat/screen/tuikeys.h"
#include "chat/screen/tuiterm.h"
#include "chat/screen/tuiview.h"
#include "ctl/lib/fetch.h"
#include "sys/proc/clock.h"
#include "sys/proc/entropy.h"

enum {
    MAX_ASKED = 12,    /* requests without answer; the daemon takes 16 */
    MAX_SAVING = 8,    /* files that are being copied */
    REFRESH_MS = 3000, /* paths change without an event, so the peers are asked for again */
    ANSWER_S = 30,
    SLOW_MS = 1000, /* a line without an answer is shown as one that waits */
    ESC_MS = 25,    /* what comes within this time behind an escape belongs to it */
    COLOR_GOOD = 1,
    COLOR_WARN = 2,
    COLOR_NAMES = 3,  /* the first of PV_TUI_COLOURS colours for names */
    BARE_LINES = 500, /* that Ctrl-O shows */
    RETRY_MS = 1000,  /* between attempts to reach a daemon that is gone */
};
#define CTRL(letter) ((letter)&0x1f)

enum kind {
    ASKED_WATCH,
    ASKED_STATUS,
    ASKED_UNREAD,
    ASKED_ROOMS,
    ASKED_ACTION,
};

struct asked {
    uint64_t id;
    enum kind kind;
    enum pv_ctlapi_cmd cmd;
    struct pv_tui_action action;
    pv_ns since; /* when it was asked */
};

/* A received file on its way into the present directory. */
struct saving {
    pid_t pid;    /* of the process that copies it: a large one takes long */
    int word;     /* a pipe: the status of pv_fetch() */
    json_t *body; /* the answer of FILE_GET; owned */
};

struct tui {
    struct pv_cli *cli;
    struct pv_tui model;
    struct pv_tui_screen screen, before; /* the picture, and the one before it */
    SCREEN *curses;
    bool colour;
    bool links;         /* the terminal knows links, */
    bool repaints;      /* and curses paints everything anew */
    char dir[PATH_MAX]; /* where the chat was started, and files are saved */
    pv_ns refresh_at;
    bool lost;   /* the daemon is gone: what is asked waits */
    bool began;  /* the machine was in a network, so there is a chat */
    char *paste; /* owned: what is being pasted, NUL-terminated; NULL: nothing was yet */
    size_t n_paste, cap_paste;
    bool pasted_cr;    /* its last character was a carriage return */
    mbstate_t typed;   /* of a character */
    bool in_character; /* whose first bytes came */
    struct pv_tuikeys keys;
    bool goes_back; /* from the bare lines: keys that are read together with the one for it are
                       dropped */
    struct asked asked[MAX_ASKED + 4];
    size_t n_asked;
    struct saving saving[MAX_SAVING];
    size_t n_saving;
    pv_ns opening_since; /* when a conversation was asked for; 0: none is on its way */
};

/* --- the daemon ------------------------------------------------------------------------------ */

/* The contents of an action. */
static void fill(struct pv_ctlapi_request *req, const struct pv_tui_action *action)
{
    bool of_room = req->cmd >= PV_CTLAPI_ROOM_CREATE;
    snprintf(of_room ? req->u.room.name : req->peer,
             of_room ? sizeof(req->u.room.name) : sizeof(req->peer), "%s",
             action->address[0] != '\0' ? action->address : action->peer);
    if (action->kind == PV_TUI_INVITE && action->text != NULL)
        snprintf(req->peer, sizeof(req->peer), "%s", action->text);
    else if (action->kind == PV_TUI_SEND) {
        req->text = action->text;
        memcpy(req->u.say.id, action->id, sizeof(req->u.say.id));
        /* The pane has the name: one that is called otherwise by now has another pane. A room is
         * known by its pane, too, unless its name was typed. */
        if (action->address[0] != '\0' && !pv_tui_is_room(action->peer))
            memcpy(req->u.say.name, action->peer, sizeof(action->peer));
        else if (action->address[0] != '\0' && action->named)
            memcpy(req->u.say.room, action->peer, sizeof(action->peer));
        /* Lines that are pasted are a text whatever they begin with. */
        if (!action->named && strchr(action->text, '\n') == NULL)
            (void)pv_names_in_send(action->text, req->u.say.unless);
    } else if (action->kind == PV_TUI_READ)
        snprintf(req->u.list.through, sizeof(req->u.list.through), "%s", action->text);
    else if (action->kind == PV_TUI_OLDER && action->text != NULL)
        snprintf(req->u.list.before, sizeof(req->u.list.before), "%s", action->text);
    else if (action->kind == PV_TUI_SEARCH)
        req->u.list.upto = action->upto;
    else if ((action->kind == PV_TUI_ACCEPT || action->kind == PV_TUI_REFUSE ||
              action->kind == PV_TUI_SAVE || action->kind == PV_TUI_SAVED) &&
             action->text != NULL)
        req->u.file.number = (uint32_t)strtoul(action->text, NULL, 10);
}

/* Takes the action's text. */
static int send_filled(struct tui *u, enum kind kind, struct pv_ctlapi_request *req,
                       const struct pv_tui_action *action)
{
    /* The entry exists before the request is sent. When sending fails, pv_tui_run() still finds
     * the text there and frees it. */
    struct asked *a = &u->asked[u->n_asked++];
    req->id = ++u->cli->last_id;
    *a = (struct asked){.id = req->id, .kind = kind, .cmd = req->cmd, .since = pv_clock_now()};
    if (action != NULL)
        a->action = *action;
    return pv_client_send(&u->cli->client, req, pv_clock_now() + PV_S(ANSWER_S));
}

static int send_request(struct tui *u, enum kind kind, enum pv_ctlapi_cmd cmd,
                        const struct pv_tui_action *action)
{
    struct pv_ctlapi_request req = pv_ctlapi_request_of(cmd);
    if (action != NULL)
        fill(&req, action);
    if (cmd == PV_CTLAPI_WATCH)
        memcpy(req.u.watch.what, "chat", sizeof("chat"));
    else if (cmd == PV_CTLAPI_HISTORY)
        req.u.list.limit = PV_CTLAPI_MAX_HISTORY;
    return send_filled(u, kind, &req, action);
}

/* A page of the unread messages, behind the message after, which stands at upto; "" and 0: the
 * first. They are only listed: a conversation that is opened is what makes them read. */
static int ask_unread(struct tui *u, const char *after, uint64_t upto)
{
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_INBOX);
    req.u.list.peek = true;
    snprintf(req.u.list.after, sizeof(req.u.list.after), "%s", after);
    req.u.list.upto = upto;
    u->model.counting = true;
    return send_filled(u, ASKED_UNREAD, &req, NULL);
}

/* The message's name is drawn here, once: when the daemon goes before it has answered, the same
 * message is sent again and arrives once. */
static void name_message(struct pv_tui_action *action)
{
    uint8_t id[PV_CHAT_ID_LEN];
    const struct pv_rng rng = pv_entropy();
    if (action->kind != PV_TUI_SEND || action->id[0] != '\0')
        return;
    pv_rng_fill(&rng, id, sizeof(id));
    pv_chat_id_format(id, action->id);
}

static void fail_file(struct tui *u, const struct pv_tui_action *action, const char *why)
{
    pv_tui_take_error(&u->model, PV_STR("/send-file %.120s: %s", action->text, why), action);
}

/* Of len bytes, "~" as the shell has it. */
static int open_path(const char *typed, size_t len, int *ret_fd, char name[static PV_FILE_NAME_BUF],
                     double *ret_size)
{
    char path[PATH_MAX];
    const char *home = getenv("HOME");
    bool at_home = strncmp(typed, "~/", 2) == 0 && home != NULL;
    if (snprintf(path, sizeof(path), "%s%.*s", at_home ? home : "", (int)len - at_home,
                 typed + at_home) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    return pv_fetch_open(path, ret_fd, name, ret_size);
}

/* A descriptor of the file that was typed; -1: *ret_why says why not. */
static int open_file(const char *typed, char name[static PV_FILE_NAME_BUF], double *ret_size,
                     const char **ret_why)
{
    int fd = -1;
    const size_t len = strlen(typed);
    int r = open_path(typed, len, &fd, name, ret_size);
    /* A terminal puts a file that is dragged into it in quotes. */
    if (r == -ENOENT && len > 2 && (typed[0] == '\'' || typed[0] == '"') &&
        typed[len - 1] == typed[0])
        r = open_path(typed + 1, len - 2, &fd, name, ret_size);
    *ret_why = r == PV_ERR_MALFORMED     ? "not a regular file"
               : r == PV_ERR_UNSUPPORTED ? "its size is not known before it is read: send a copy"
               : r < 0                   ? strerror(-r)
                                         : "";
    return fd;
}

/* Passes the file. One for a room is only looked at: who is there is asked for first. Takes the
 * action's text. */
static int offer_file(struct tui *u, struct pv_tui_action *action)
{
    char name[PV_FILE_NAME_BUF];
    const char *why;
    double size;
    if (action->text == NULL)
        return PV_OK;
    int fd = open_file(action->text, name, &size, &why);
    if (fd < 0) {
        fail_file(u, action, why);
        free(action->text);
        return PV_OK;
    }
    if (action->peer[0] == '#') {
        close(fd);
        return send_request(u, ASKED_ACTION, PV_CTLAPI_ROOM_MEMBERS, action);
    }
    struct asked *a = &u->asked[u->n_asked++];
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_FILE_SEND);
    req.id = ++u->cli->last_id;
    *a = (struct asked){.id = req.id,
                        .kind = ASKED_ACTION,
                        .cmd = req.cmd,
                        .action = *action,
                        .since = pv_clock_now()};
    snprintf(req.peer, sizeof(req.peer), "%s",
             action->address[0] != '\0' ? action->address : action->peer);
    memcpy(req.u.file.transfer, action->id, sizeof(req.u.file.transfer));
    snprintf(req.u.file.room, sizeof(req.u.file.room), "%s", action->room);
    req.text = strdup(name);
    int r = req.text == NULL
                ? PV_ERR_NOMEM
                : pv_client_send_fd(&u->cli->client, &req, fd, pv_clock_now() + PV_S(ANSWER_S));
    pv_ctlapi_request_done(&req);
    close(fd);
    return r;
}

static int ask_action(struct tui *u, struct pv_tui_action *action)
{
    static const enum pv_ctlapi_cmd cmds[] = {
        [PV_TUI_SEND] = PV_CTLAPI_SEND,        [PV_TUI_PEERS] = PV_CTLAPI_PEERS,
        [PV_TUI_HISTORY] = PV_CTLAPI_HISTORY,  [PV_TUI_READ] = PV_CTLAPI_READ,
        [PV_TUI_OLDER] = PV_CTLAPI_HISTORY,    [PV_TUI_ACCEPT] = PV_CTLAPI_FILE_ACCEPT,
        [PV_TUI_REFUSE] = PV_CTLAPI_FILE_STOP, [PV_TUI_ROOMS] = PV_CTLAPI_ROOM_LIST,
        [PV_TUI_MAKE] = PV_CTLAPI_ROOM_CREATE, [PV_TUI_INVITE] = PV_CTLAPI_ROOM_INVITE,
        [PV_TUI_LEAVE] = PV_CTLAPI_ROOM_LEAVE, [PV_TUI_MEMBERS] = PV_CTLAPI_ROOM_MEMBERS,
        [PV_TUI_JOIN] = PV_CTLAPI_ROOM_ACCEPT, [PV_TUI_FILES] = PV_CTLAPI_FILES,
        [PV_TUI_MUTE] = PV_CTLAPI_MUTE,        [PV_TUI_UNMUTE] = PV_CTLAPI_UNMUTE,
        [PV_TUI_SEARCH] = PV_CTLAPI_HISTORY,   [PV_TUI_FORMER] = PV_CTLAPI_HISTORY,
        [PV_TUI_SAVE] = PV_CTLAPI_FILE_GET,    [PV_TUI_SAVED] = PV_CTLAPI_FILE_SAVED,
    };
    /* Any list of peers, also one that an event asked for, puts the next refresh off. */
    if (action->kind == PV_TUI_PEERS)
        u->refresh_at = pv_clock_now() + PV_MS(REFRESH_MS);
    /* The daemon would refuse such a text too, but a round trip later. A NULL text is a strdup()
     * that failed. */
    if (action->kind == PV_TUI_SEND &&
        (action->text == NULL || !pv_text_is_valid(pv_view(action->text, strlen(action->text))))) {
        pv_tui_take_error(&u->model,
                          action->text == NULL ? "not sent: out of memory"
                                               : "a text has 1 to 16384 bytes of UTF-8",
                          action);
        free(action->text);
        return PV_OK;
    }
    if (action->kind == PV_TUI_SEND_FILE)
        return offer_file(u, action);
    name_message(action);
    return send_request(u, ASKED_ACTION, cmds[action->kind], action);
}

/* The daemon fails a request beyond its limit, so the rest waits in the model. A descriptor that is
 * on its way is the last answer's, or the last request's: nothing else is asked until it is there.
 * Nor while the unread messages come, page by page: a history that came between would hold some
 * that are not counted yet. */
static bool may_ask(const struct tui *u)
{
    for (size_t i = 0; i < u->n_asked; i++) {
        enum pv_tui_action_kind kind = u->asked[i].action.kind;
        if (u->asked[i].kind == ASKED_UNREAD ||
            (u->asked[i].kind == ASKED_ACTION && (kind == PV_TUI_SAVE || kind == PV_TUI_SEND_FILE)))
            return false;
    }
    return !u->lost && u->n_asked < MAX_ASKED;
}

static int ask_what_waits(struct tui *u)
{
    struct pv_tui_action action;
    int r = PV_OK;
    u->model.saves_wait = u->n_saving == MAX_SAVING;
    if (pv_clock_now() >= u->refresh_at && u->n_asked < MAX_ASKED) {
        action = (struct pv_tui_action){.kind = PV_TUI_PEERS};
        r = ask_action(u, &action);
        if (r >= 0) /* this machine may have got another name */
            r = send_request(u, ASKED_STATUS, PV_CTLAPI_STATUS, NULL);
        action = (struct pv_tui_action){.kind = PV_TUI_FILES};
        if (r >= 0 && u->model.files_moving)
            r = ask_action(u, &action);
        if (r >= 0) /* another program may have made a room, or left one */
            r = send_request(u, ASKED_ROOMS, PV_CTLAPI_ROOM_LIST, NULL);
    }
    while (r >= 0 && may_ask(u) && pv_tui_poll(&u->model, &action) == PV_OK)
        r = ask_action(u, &action);
    return r;
}

/* A connection that ended meanwhile is found where answers are read. */
static void take_unread(struct tui *u, const json_t *body)
{
    const json_t *list = json_object_get(body, "messages");
    const json_t *last = json_array_get(list, json_array_size(list) - 1);
    pv_tui_take_unread(&u->model, list);
    u->model.counting = false;
    if (last != NULL && pv_json_bool(body, "more"))
        (void)ask_unread(u, pv_json_text(last, "id", ""), (uint64_t)pv_json_int(body, "upto"));
}

static void take_event(struct tui *u, const struct pv_ctlapi_reply *reply)
{
    /* Unknown events are passed over: a newer daemon may send more kinds. */
    if (strcmp(reply->event, "message") == 0)
        pv_tui_take_message(&u->model, json_object_get(reply->body, "message"));
    else if (strcmp(reply->event, "state") == 0)
        pv_tui_take_state(&u->model, reply->body);
    else if (strcmp(reply->event, "read") == 0)
        pv_tui_take_read(&u->model, reply->body);
    else if (strcmp(reply->event, "presence") == 0)
        pv_tui_take_presence(&u->model, reply->body);
    else if (strcmp(reply->event, "file") == 0)
        pv_tui_take_file(&u->model, reply->body);
    else if (strcmp(reply->event, "room") == 0)
        pv_tui_take_room(&u->model, reply->body);
}

/* Why a file is not saved; NULL: it is. */
static const char *why_unsaved(int r)
{
    return r == PV_ERR_EXISTS ? "a file of this name exists" : r < 0 ? pv_strstatus(r) : NULL;
}

/* In a process of its own, so that lines come and go meanwhile. One that somebody ends leaves
 * nothing (pv_fetch()). */
static int start_saving(struct tui *u, int from, json_t *body)
{
    static const int curses[] = {SIGINT, SIGTERM, SIGTSTP, SIGWINCH};
    const char *name = pv_json_text(json_object_get(body, "file"), "name", "");
    int word[2];
    if (pipe2(word, O_CLOEXEC) < 0)
        return -errno;
    pid_t pid = fork();
    if (pid == 0) {
        pv_client_close(&u->cli->client); /* which would be taken for the screen */
        /* The handlers of curses would write to the screen. */
        for (size_t i = 0; i < PV_ARRAY_LEN(curses); i++)
            (void)signal(curses[i], curses[i] == SIGWINCH ? SIG_IGN : SIG_DFL);
        int r = pv_fetch(from, u->dir, name, NULL);
        _exit(write(word[1], &r, sizeof(r)) == sizeof(r) ? 0 : 1);
    }
    int r = pid < 0 ? -errno : PV_OK;
    close(word[1]);
    if (r < 0) {
        close(word[0]);
        return r;
    }
    pv_tui_note(&u->model, "%s" PV_TUI_IS_SAVED, name);
    u->saving[u->n_saving++] =
        (struct saving){.pid = pid, .word = word[0], .body = json_incref(body)};
    return PV_OK;
}

/* Copies a file of the daemon's into the present directory, as `files get` does. */
static void save_file(struct tui *u, json_t *body)
{
    int from = pv_client_take_fd(&u->cli->client);
    int r = from < 0 ? PV_ERR_NOT_FOUND : start_saving(u, from, body);
    if (from >= 0)
        close(from);
    if (r < 0)
        pv_tui_take_saved(&u->model, body, u->dir, why_unsaved(r));
}

/* A process that somebody ended has said nothing. Returns why the file is not saved. */
static const char *end_saving(struct tui *u, size_t at)
{
    const struct saving s = u->saving[at];
    int r = PV_OK;
    if (read(s.word, &r, sizeof(r)) != sizeof(r))
        r = PV_ERR_CLOSED;
    close(s.word);
    while (waitpid(s.pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    u->saving[at] = u->saving[--u->n_saving];
    pv_tui_take_saved(&u->model, s.body, u->dir, why_unsaved(r));
    json_decref(s.body);
    return why_unsaved(r);
}

/* words: as poll() left them. */
static void take_saved(struct tui *u, const struct pollfd *words)
{
    for (size_t i = u->n_saving; i > 0; i--) {
        if (words[i - 1].revents != 0)
            (void)end_saving(u, i - 1);
    }
}

/* A room's members came: the file may have changed since it was looked at. */
static void take_present(struct tui *u, const struct pv_tui_action *action, const json_t *body)
{
    char name[PV_FILE_NAME_BUF];
    const char *why;
    double size;
    int fd = open_file(action->text, name, &size, &why);
    if (fd < 0) {
        fail_file(u, action, why);
        return;
    }
    close(fd);
    pv_tui_take_present(&u->model, action, name, size, body);
}

/* The daemon reads a page at once, of long texts a small one: the rest is asked for until there is
 * none. */
static void take_read(struct tui *u, const struct pv_tui_action *action, const json_t *body)
{
    if (pv_json_int(body, "read") > 0 && action->text != NULL)
        pv_tui_want(&u->model, PV_TUI_READ, action->peer, strdup(action->text));
}

/* An answer goes to the part of the model that asked. */
static void take_action_answer(struct tui *u, const struct pv_tui_action *action, json_t *body)
{
    if (action->kind == PV_TUI_SEND)
        pv_tui_take_sent(&u->model, body);
    else if (action->kind == PV_TUI_PEERS)
        pv_tui_take_peers(&u->model, body);
    else if (action->kind == PV_TUI_HISTORY)
        pv_tui_take_history(&u->model, action->peer, body);
    else if (action->kind == PV_TUI_FORMER)
        pv_tui_take_former(&u->model, action->peer, body);
    else if (action->kind == PV_TUI_ROOMS)
        pv_tui_take_rooms(&u->model, body);
    else if (action->kind == PV_TUI_MEMBERS)
        pv_tui_take_members(&u->model, body);
    else if (action->kind == PV_TUI_OLDER)
        pv_tui_take_older(&u->model, action->peer, body);
    else if (action->kind == PV_TUI_SEARCH)
        pv_tui_take_found(&u->model, action, body);
    else if (action->kind == PV_TUI_FILES)
        pv_tui_take_files(&u->model, body);
    else if (action->kind == PV_TUI_SEND_FILE && action->peer[0] == '#')
        take_present(u, action, body);
    else if (action->kind == PV_TUI_SEND_FILE)
        pv_tui_take_offered(&u->model, body);
    else if (action->kind == PV_TUI_ACCEPT || action->kind == PV_TUI_REFUSE)
        pv_tui_take_file(&u->model, body);
    else if (action->kind == PV_TUI_SAVE)
        save_file(u, body);
    else if (action->kind == PV_TUI_READ)
        take_read(u, action, body);
    else if (action->kind != PV_TUI_SAVED)
        pv_tui_take_done(&u->model, action, body);
}

static const char *reason_of(const struct asked *a, const struct pv_ctlapi_reply *reply,
                             char buf[static PV_SHOW_CHANGE_BUF])
{
    const char *why = pv_show_refusal(a->action.peer, a->action.address, reply->error, buf);
    /* p2pvpnd names the command that watches, which stands before what is said at the end. */
    if (a->kind == ASKED_WATCH && strncmp(why, "chat: ", 6) == 0)
        return why + 6;
    return why == reply->error ? pv_cli_reason(a->cmd, why) : why;
}

/* 0, or the exit code that ends the chat. */
static int take_answer(struct tui *u, const struct pv_ctlapi_reply *reply)
{
    struct asked a = {.id = UINT64_MAX};
    for (size_t i = 0; i < u->n_asked; i++) {
        if (u->asked[i].id != reply->id)
            continue;
        /* The order of the entries means nothing, so the last one fills the gap. */
        a = u->asked[i];
        u->asked[i] = u->asked[--u->n_asked];
        break;
    }
    int code = 0;
    if (a.id == UINT64_MAX)
        return 0;
    pv_tui_hide_waiting(&u->model, &a.action);
    if (!reply->ok) {
        /* That a message stays unread is no failure of what the person did, and a list that nobody
         * typed for comes again. */
        if (a.kind != ASKED_ROOMS && (a.kind != ASKED_ACTION || a.action.kind != PV_TUI_READ))
            pv_tui_take_error(&u->model, reason_of(&a, reply, (char[PV_SHOW_CHANGE_BUF]){0}),
                              &a.action);
        if (a.kind == ASKED_ACTION && a.action.kind == PV_TUI_OLDER)
            pv_tui_take_older(&u->model, a.action.peer, NULL);
        if (a.kind == ASKED_UNREAD)
            u->model.counting = false;
        if (a.kind == ASKED_ACTION && a.action.kind == PV_TUI_PEERS)
            pv_tui_take_peers(&u->model, NULL);
        code = a.kind == ASKED_WATCH ? (int)reply->code : 0; /* without it there is no chat */
    } else if (a.kind == ASKED_STATUS) {
        pv_tui_take_status(&u->model, reply->body);
    } else if (a.kind == ASKED_ROOMS) {
        u->began = true;
        pv_tui_take_rooms(&u->model, reply->body);
    } else if (a.kind == ASKED_UNREAD) {
        take_unread(u, reply->body);
    } else if (a.kind == ASKED_ACTION) {
        take_action_answer(u, &a.action, reply->body);
    }
    free(a.action.text);
    return code;
}

/* Not pv_cli_take_replies(): while curses has the screen, a reason may not be printed, only kept.
 */
static int read_replies(struct tui *u, char error[static PV_TUI_NOTE], int *ret_status)
{
    for (;;) {
        struct pv_ctlapi_reply reply;
        int r = pv_client_next(&u->cli->client, 0, &reply);
        if (r == PV_ERR_TIMEOUT)
            return 0;
        if (r < 0) {
            *ret_status = r;
            return PV_CTLAPI_FAILED;
        }
        int code = 0;
        if (reply.is_event)
            take_event(u, &reply);
        else
            code = take_answer(u, &reply);
        if (code != 0)
            snprintf(error, PV_TUI_NOTE, "%s", u->model.note);
        pv_ctlapi_reply_done(&reply);
        if (code != 0)
            return code;
    }
}

/* --- the daemon goes and comes back ----------------------------------------------------------- */

/* Messages without an answer are sent again later, in their order, under the same id. Other
 * requests are dropped: most asked what the daemon knew. */
static void lose_daemon(struct tui *u)
{
    pv_client_close(&u->cli->client);
    for (;;) {
        struct asked *last = NULL;
        for (size_t i = 0; i < u->n_asked; i++)
            last = last == NULL || u->asked[i].id > last->id ? &u->asked[i] : last;
        if (last == NULL)
            break;
        struct pv_tui_action *action = &last->action;
        pv_tui_hide_waiting(&u->model, action);
        if (last->kind == ASKED_ACTION &&
            (action->kind == PV_TUI_SEARCH || action->kind == PV_TUI_SEND)) {
            pv_tui_again(&u->model, action);
        } else {
            /* Whether it was taken is not known: it is for the person to decide. */
            if (last->kind == ASKED_ACTION)
                pv_tui_take_doubt(&u->model, action);
            free(last->action.text);
        }
        *last = u->asked[--u->n_asked];
    }
    u->lost = true;
    u->refresh_at = pv_clock_now() + PV_MS(RETRY_MS);
    pv_tui_take_loss(&u->model);
}

static int begin(struct tui *u);

static void find_daemon(struct tui *u)
{
    pv_ns now = pv_clock_now();
    if (!u->lost || now < u->refresh_at)
        return;
    u->refresh_at = now + PV_MS(RETRY_MS);
    if (pv_client_open(&u->cli->client, u->cli->node.socket) != PV_OK)
        return;
    if (pv_client_open_chat(&u->cli->client, u->cli->node.socket) != PV_OK) {
        pv_client_close(&u->cli->client);
        return;
    }
    u->lost = false;
    u->refresh_at = 0;
    pv_tui_take_return(&u->model);
    if (begin(u) < 0)
        lose_daemon(u);
}

/* --- the terminal ---------------------------------------------------------------------------- */

static attr_t attr_of(uint8_t attr)
{
    attr_t a = 0;
    if ((attr & PV_TUI_BOLD) != 0)
        a |= A_BOLD;
    if ((attr & PV_TUI_DIM) != 0)
        a |= A_DIM;
    if ((attr & PV_TUI_REVERSE) != 0)
        a |= A_REVERSE;
    return a;
}

static short pair_of(const struct tui *u, uint8_t attr, uint8_t colour)
{
    /* A colour on a reversed row is unreadable in many terminals. */
    if (!u->colour || (attr & PV_TUI_REVERSE) != 0)
        return 0;
    if (colour > 0)
        return (short)(COLOR_NAMES + colour - 1);
    return (attr & PV_TUI_GOOD) != 0 ? COLOR_GOOD : (attr & PV_TUI_WARN) != 0 ? COLOR_WARN : 0;
}

/* --- links ---------------------------------------------------------------------------------- */

/* Curses knows no links, so their cells are written once more behind its back. It writes on rows
 * that changed only, and leaves the terminal without attributes (doupdate(), ncurses). */

static const struct pv_tui_cell *row_of(const struct pv_tui_screen *s, size_t row)
{
    return &s->cells[row * s->cols];
}

/* May curses have written on the row, or left a link of the picture before there? */
static bool has_links_to_write(const struct tui *u, size_t row)
{
    const struct pv_tui_screen *s = &u->screen, *b = &u->before;
    const bool same_size = s->rows == b->rows && s->cols == b->cols && !u->repaints;
    bool has = false, same = same_size;
    for (size_t i = 0; i < s->cols; i++) {
        const struct pv_tui_cell *now = &row_of(s, row)[i];
        const struct pv_tui_cell *then = same_size ? &row_of(b, row)[i] : NULL;
        has = has || now->link != 0 || (then != NULL && then->link != 0);
        same = same && wcscmp(now->ch, then->ch) == 0 && now->attr == then->attr &&
               now->colour == then->colour &&
               (now->link == then->link ||
                (now->link != 0 && then->link != 0 &&
                 strcmp(s->links[now->link - 1], b->links[then->link - 1]) == 0));
    }
    return has && !same;
}

/* Cells of links, and those that were some, from col on up to where another link begins. Returns
 * where that is. */
static size_t write_link(struct tui *u, size_t row, size_t col)
{
    const struct pv_tui_cell *cells = row_of(&u->screen, row);
    const struct pv_tui_cell first = cells[col];
    FILE *out = u->cli->out;
    fprintf(out, "\033[%zu;%zuH\033[0%s%s%s%sm", row + 1, col + 1,
            (first.attr & PV_TUI_BOLD) != 0 ? ";1" : "", (first.attr & PV_TUI_DIM) != 0 ? ";2" : "",
            (first.attr & PV_TUI_REVERSE) != 0 ? ";7" : "",
            pair_of(u, first.attr, 0) == COLOR_WARN   ? ";33"
            : pair_of(u, first.attr, 0) == COLOR_GOOD ? ";32"
                                                      : "");
    /* The rows of an address are one link by their id. */
    if (first.link != 0)
        fprintf(out, "\033]8;id=p2pvpn-%u;%s\033\\", (unsigned)first.link,
                u->screen.links[first.link - 1]);
    for (; col < u->screen.cols && cells[col].link == first.link && cells[col].attr == first.attr &&
           (first.link != 0 || cells[col].colour == 0);
         col++) {
        if (cells[col].ch[0] != L'\0') /* else the right half of a wide one */
            fprintf(out, "%ls", cells[col].ch);
    }
    if (first.link != 0)
        fputs("\033]8;;\033\\", out);
    return col;
}

static void draw_links(struct tui *u)
{
    const struct pv_tui_screen *s = &u->screen, *b = &u->before;
    bool wrote = false;
    for (size_t row = 0; u->links && row < s->rows; row++) {
        if (!has_links_to_write(u, row))
            continue;
        for (size_t col = 0; col < s->cols;) {
            const bool was = row < b->rows && col < b->cols && row_of(b, row)[col].link != 0 &&
                             row_of(s, row)[col].colour == 0;
            if (row_of(s, row)[col].link == 0 && !was)
                col++;
            else
                col = write_link(u, row, col);
            wrote = wrote || was || row_of(s, row)[col - 1].link != 0;
        }
    }
    if (wrote)
        fprintf(u->cli->out, "\033[m\033[%zu;%zuH", s->cursor_row + 1, s->cursor_col + 1);
    fflush(u->cli->out);
    u->repaints = false;
}

/* The whole picture each time: curses sends only what differs from what is on the screen. */
static int draw(struct tui *u)
{
    int rows = getmaxy(stdscr), cols = getmaxx(stdscr);
    if (rows <= 0 || cols <= 0)
        return PV_OK;
    const struct pv_tui_screen shown = u->screen;
    u->screen = u->before;
    u->before = shown;
    int r = pv_tui_render(&u->model, (size_t)rows, (size_t)cols, &u->screen);
    if (r < 0)
        return r;
    erase();
    for (size_t row = 0; row < u->screen.rows; row++) {
        for (size_t col = 0; col < u->screen.cols; col++) {
            const struct pv_tui_cell *c = &u->screen.cells[row * u->screen.cols + col];
            cchar_t ch;
            /* The right half of a wide character has no text: curses fills it by itself. */
            if (c->ch[0] == L'\0' ||
                setcchar(&ch, c->ch, attr_of(c->attr), pair_of(u, c->attr, c->colour), NULL) == ERR)
                continue;
            (void)mvadd_wchnstr((int)row, (int)col, &ch, 1);
        }
    }
    move((int)u->screen.cursor_row, (int)u->screen.cursor_col);
    refresh();
    draw_links(u);
    if (u->model.ring)
        beep();
    u->model.ring = false;
    return PV_OK;
}

/* A page is as high as the window is now. */
static void press(struct tui *u, enum pv_tui_key key, wchar_t arg)
{
    if (u->goes_back)
        return;
    bool is_page = key == PV_TUI_PAGE_UP || key == PV_TUI_PAGE_DOWN;
    size_t rows = (size_t)getmaxy(stdscr), cols = (size_t)getmaxx(stdscr);
    pv_tui_key(&u->model, key, is_page ? (wchar_t)pv_tui_page(&u->model, rows, cols) : arg);
}

/* Keys that the terminal sends as sequences, by its entry in terminfo. */
static void key_of_curses(struct tui *u, wint_t key)
{
    static const struct {
        wint_t key;
        enum pv_tui_key to;
        wchar_t arg;
    } KEYS[] = {
        {KEY_ENTER, PV_TUI_ENTER, 0},
        {KEY_PPAGE, PV_TUI_PAGE_UP, 0},
        {KEY_NPAGE, PV_TUI_PAGE_DOWN, 0},
        {KEY_LEFT, PV_TUI_EDIT, PV_TUIEDIT_LEFT},
        {KEY_RIGHT, PV_TUI_EDIT, PV_TUIEDIT_RIGHT},
        {KEY_HOME, PV_TUI_EDIT, PV_TUIEDIT_HOME},
        {KEY_END, PV_TUI_END, 0},
        {KEY_UP, PV_TUI_EDIT, PV_TUIEDIT_OLDER},
        {KEY_DOWN, PV_TUI_EDIT, PV_TUIEDIT_NEWER},
        {KEY_BACKSPACE, PV_TUI_EDIT, PV_TUIEDIT_BACKSPACE},
        {KEY_DC, PV_TUI_EDIT, PV_TUIEDIT_DELETE},
    };
    /* Alt and Backspace is an escape and a key that the terminal's entry names. */
    if (pv_tuikeys_end(&u->keys, pv_clock_now()) && key == KEY_BACKSPACE) {
        press(u, PV_TUI_EDIT, PV_TUIEDIT_KILL_WORD);
        return;
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(KEYS); i++) {
        if (KEYS[i].key == key) {
            press(u, KEYS[i].to, KEYS[i].arg);
            return;
        }
    }
}

/* Lines alone, on the ordinary screen, until a key is pressed: a terminal that breaks a line by
 * itself takes it as one, for the mouse and for addresses. Messages that come meanwhile wait. */
static void show_bare(struct tui *u)
{
    struct pollfd p = {.fd = fileno(u->cli->in), .events = POLLIN};
    def_prog_mode();
    endwin();
    pv_tui_print(&u->model, BARE_LINES, u->cli->out);
    fputs("-- any key goes back to the chat --", u->cli->out);
    fflush(u->cli->out);
    reset_prog_mode(); /* the key comes without Enter, and is not shown */
    while (poll(&p, 1, -1) < 0 && errno == EINTR)
        continue;
    fputs("\r\n", u->cli->out); /* the shell's line, in the end, is another */
    u->goes_back = u->repaints = true;
    clearok(stdscr, TRUE);
}

/* The keys of readline and of every terminal line; what is in no row is text. */
static void key_of_character(struct tui *u, wint_t key)
{
    static const struct {
        wint_t key;
        enum pv_tui_key to;
        wchar_t arg;
    } KEYS[] = {
        {L'\r', PV_TUI_ENTER, 0},
        {L'\n', PV_TUI_ENTER, 0},
        {L'\t', PV_TUI_TAB, 0},
        /* Terminals disagree about the byte of the backspace key: DEL or Ctrl-H. */
        {0x7f, PV_TUI_EDIT, PV_TUIEDIT_BACKSPACE},
        {CTRL('H'), PV_TUI_EDIT, PV_TUIEDIT_BACKSPACE},
        {CTRL('A'), PV_TUI_EDIT, PV_TUIEDIT_HOME},
        {CTRL('B'), PV_TUI_EDIT, PV_TUIEDIT_LEFT},
        {CTRL('E'), PV_TUI_EDIT, PV_TUIEDIT_END},
        {CTRL('F'), PV_TUI_EDIT, PV_TUIEDIT_RIGHT},
        {CTRL('K'), PV_TUI_EDIT, PV_TUIEDIT_KILL_END},
        {CTRL('U'), PV_TUI_EDIT, PV_TUIEDIT_KILL_START},
        {CTRL('W'), PV_TUI_EDIT, PV_TUIEDIT_KILL_WORD},
        {CTRL('Y'), PV_TUI_EDIT, PV_TUIEDIT_YANK},
        {CTRL('N'), PV_TUI_NEXT, 0},
        {CTRL('P'), PV_TUI_PREVIOUS, 0},
        {CTRL('G'), PV_TUI_NEXT_UNREAD, 0},
        {CTRL('T'), PV_TUI_ROSTER, 0},
        {CTRL('D'), PV_TUI_EOF, 0},
        {CTRL('C'), PV_TUI_QUIT, 0},
    };
    if (u->goes_back)
        return;
    /* Another program may have written over the screen. clearok() makes curses repaint also the
     * cells that it believes unchanged. */
    if (key == CTRL('L')) {
        clearok(stdscr, TRUE);
        u->repaints = true;
        return;
    }
    if (key == CTRL('O')) {
        show_bare(u);
        return;
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(KEYS); i++) {
        if (KEYS[i].key == key) {
            pv_tui_key(&u->model, KEYS[i].to, KEYS[i].arg);
            return;
        }
    }
    pv_tui_key(&u->model, PV_TUI_CHAR, (wchar_t)key);
}

/* One character of a paste. A code that would be a key is none here: only newlines and tabs stay of
 * the control characters. */
static void paste_character(struct tui *u, wint_t key)
{
    char bytes[8];
    const bool cr_lf = u->pasted_cr && key == L'\n';
    u->pasted_cr = key == L'\r';
    if (cr_lf)
        return;
    if (key == L'\r')
        key = L'\n';
    int n = key < 0x20 && key != L'\n' && key != L'\t' ? 0 : wctomb(bytes, (wchar_t)key);
    if (n <= 0 || key == 0x7f || u->n_paste > (size_t)4 * PV_CHAT_TEXT_MAX)
        return;
    if (u->n_paste + (size_t)n + 1 > u->cap_paste) {
        size_t cap = 2 * u->cap_paste + 256;
        char *grown = realloc(u->paste, cap);
        if (grown == NULL)
            return;
        u->paste = grown;
        u->cap_paste = cap;
    }
    memcpy(u->paste + u->n_paste, bytes, (size_t)n);
    u->n_paste += (size_t)n;
    u->paste[u->n_paste] = '\0';
}

static void end_paste(struct tui *u, const char *tail)
{
    const size_t n = strlen(tail);
    if (u->n_paste >= n && memcmp(u->paste + u->n_paste - n, tail, n) == 0)
        u->n_paste -= n; /* it was left out where there was too much */
    if (u->n_paste > 0) {
        u->paste[u->n_paste] = '\0';
        pv_tui_note(&u->model, "%s", ""); /* that its end does not come */
        pv_tui_paste(&u->model, u->paste);
    }
    u->n_paste = 0;
    u->pasted_cr = false;
}

/* A sequence that the terminal's entry does not name comes character by character. */
static void take_character(struct tui *u, wint_t c)
{
    enum pv_tui_key key;
    wchar_t arg;
    switch (pv_tuikeys_take(&u->keys, (wchar_t)c, pv_clock_now(), &key, &arg)) {
    case PV_TUIKEYS_IS_TEXT:
        key_of_character(u, c);
        break;
    case PV_TUIKEYS_IS_KEY:
        press(u, key, arg);
        break;
    case PV_TUIKEYS_IS_NONE:
        break;
    case PV_TUIKEYS_IS_PASTE:
        paste_character(u, c);
        break;
    case PV_TUIKEYS_IS_PASTE_END:
        end_paste(u, PV_TUIKEYS_TAIL);
        break;
    case PV_TUIKEYS_IS_PASTE_LOST:
        flushinp(); /* no key of what may come with it */
        end_paste(u, "");
        break;
    }
}

/* A conversation that p2pvpnd was asked for is there in a moment, and what is typed meanwhile is
 * for it: keys stay where they are, but not for a daemon that hangs. */
static bool do_keys_wait(struct tui *u)
{
    const pv_ns now = pv_clock_now();
    if (u->model.opening[0] == '\0')
        u->opening_since = 0;
    else if (u->opening_since == 0)
        u->opening_since = now;
    return u->opening_since != 0 && now < u->opening_since + PV_MS(SLOW_MS);
}

/* As get_wch(3X), which swallows a hundred keys behind a byte that belongs to no character: that is
 * U+FFFD here. */
static int next_key(struct tui *u, wint_t *ret_key)
{
    for (int key = getch(); key != ERR; key = getch()) {
        const bool is_code = key > UCHAR_MAX;
        const char byte = (char)key;
        wchar_t c = 0;
        const size_t n = is_code ? (size_t)-1 : mbrtowc(&c, &byte, 1, &u->typed);
        if (n == (size_t)-2) { /* the others of its bytes follow */
            u->in_character = true;
            continue;
        }
        const bool bad = n == (size_t)-1, cut = bad && u->in_character;
        u->in_character = false;
        if (bad)
            memset(&u->typed, 0, sizeof(u->typed));
        if (cut)
            ungetch(key); /* the others did not come: this is another key */
        *ret_key = cut || (bad && !is_code) ? 0xfffd : is_code ? (wint_t)key : (wint_t)c;
        return is_code && !cut ? KEY_CODE_YES : OK;
    }
    return ERR;
}

/* Everything that was typed; false when the terminal is gone. */
static bool read_keys(struct tui *u)
{
    wint_t key;
    int r;
    while (!do_keys_wait(u) && (r = next_key(u, &key)) != ERR) {
        if (r == KEY_CODE_YES && pv_tuikeys_is_pasting(&u->keys))
            continue; /* in a paste it is no key */
        if (r == KEY_CODE_YES)
            key_of_curses(u, key); /* KEY_RESIZE too: the next picture has the new size */
        else
            take_character(u, key);
    }
    u->goes_back = false;
    /* getch() returns ERR both when no key waits and when the terminal is gone: poll() tells
     * which. */
    struct pollfd p = {.fd = fileno(u->cli->in), .events = 0};
    return poll(&p, 1, 0) <= 0 || (p.revents & (POLLHUP | POLLERR)) == 0;
}

/* Terminals whose entry names keys with modifiers, and those whose entry does not, are read in one
 * way: character by character (tuikeys.h). */
static void forget_modified_keys(void)
{
    static const char finals[] = "ABCDEFHPQRS";
    for (int modifier = 2; modifier <= 8; modifier++) {
        for (const char *f = finals; *f != '\0'; f++) {
            define_key(PV_STR("\033[1;%d%c", modifier, *f), 0);
        }
        for (int key = 1; key <= 24; key++) {
            define_key(PV_STR("\033[%d;%d~", key, modifier), 0);
        }
    }
}

static const char *get_variable(const char *name)
{
    return getenv(name);
}

static bool open_terminal(struct tui *u)
{
    /* initscr() would end the process when TERM is unknown (curs_initscr(3X)); newterm()
     * returns. */
    const char *description = pv_tuiterm_description(getenv("TERM"), pv_tuiterm_is_described);
    u->curses = newterm(description, u->cli->out, u->cli->in);
    u->links = pv_tuiterm_has_links(get_variable);
    if (u->curses == NULL)
        return false;
    raw(); /* Ctrl-C ends the chat in order */
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    /* By default curses waits a second for the rest of a sequence: the escape key would seem
     * dead. */
    set_escdelay(ESC_MS);
    nodelay(stdscr, TRUE);
    u->colour =
        u->cli->screen.colour && u->model.set.colours && has_colors() && start_color() == OK;
    if (u->colour) {
        /* Afterwards -1 means the terminal's own background, which may be dark or light. */
        use_default_colors();
        init_pair(COLOR_GOOD, COLOR_GREEN, -1);
        init_pair(COLOR_WARN, COLOR_YELLOW, -1);
        /* The second half is of the palette of 256 colours; with fewer the first serves twice. */
        static const short names[PV_TUI_COLOURS] = {
            COLOR_CYAN, COLOR_MAGENTA, COLOR_BLUE, COLOR_RED, COLOR_GREEN, COLOR_YELLOW,
            208,        141,           37,         205,       107,         137};
        for (short i = 0; i < PV_TUI_COLOURS; i++)
            init_pair((short)(COLOR_NAMES + i), names[COLORS >= 256 ? i : i % (PV_TUI_COLOURS / 2)],
                      -1);
    }
    forget_modified_keys();
    fputs("\033[?2004h", u->cli->out);
    fflush(u->cli->out);
    return true;
}

static void close_terminal(struct tui *u)
{
    /* pv_tui_run() comes here also when no terminal was opened. */
    if (u->curses == NULL)
        return;
    fputs("\033[?2004l", u->cli->out);
    fflush(u->cli->out);
    endwin();
    delscreen(u->curses);
    u->curses = NULL;
}

/* Is there a terminal at both ends that can move its cursor? A full screen would spoil any other
 * output: JSON for a program, or a pipe. */
static bool is_on_terminal(const struct pv_cli *cli)
{
    return !cli->json && !cli->quiet && isatty(fileno(cli->in)) && isatty(fileno(cli->out)) &&
           !cli->screen.dumb;
}

bool pv_tui_lacks_terminal(const struct pv_cli *cli)
{
    return is_on_terminal(cli) &&
           pv_tuiterm_description(getenv("TERM"), pv_tuiterm_is_described) == NULL;
}

bool pv_tui_is_possible(const struct pv_cli *cli)
{
    return is_on_terminal(cli) && !pv_tui_lacks_terminal(cli);
}

/* --- the chat -------------------------------------------------------------------------------- */

/* Does something that was typed wait to be asked for, or for its answer? */
static bool must_reach_the_daemon(const struct pv_tui_action *action)
{
    return pv_tui_does(action->kind) || action->kind == PV_TUI_SAVED;
}

/* A file that waits until another is saved is not what p2pvpnd has to answer. */
static bool is_sending(const struct tui *u)
{
    bool sending = false;
    for (size_t i = 0; i < u->model.n_actions; i++) {
        const struct pv_tui_action *a = &u->model.actions[i];
        const bool waits = a->kind == PV_TUI_SAVE && u->n_saving == MAX_SAVING;
        sending = sending || (!waits && must_reach_the_daemon(a));
    }
    for (size_t i = 0; i < u->n_asked; i++)
        sending = sending ||
                  (u->asked[i].kind == ASKED_ACTION && must_reach_the_daemon(&u->asked[i].action));
    return sending;
}

/* The request that was asked next behind this id, but for the watch, whose answers are events;
 * NULL: there is none. */
static struct asked *asked_after(struct tui *u, uint64_t id)
{
    struct asked *next = NULL;
    for (size_t i = 0; i < u->n_asked; i++) {
        struct asked *a = &u->asked[i];
        if (a->id > id && a->kind != ASKED_WATCH && (next == NULL || a->id < next->id))
            next = a;
    }
    return next;
}

/* A daemon that hangs keeps its connection: lines that it does not answer are seen all the same, in
 * the order in which they were typed. */
static void show_slow(struct tui *u)
{
    struct asked *a = asked_after(u, 0); /* the oldest */
    u->model.slow = a != NULL && a->since <= pv_clock_now() - PV_MS(SLOW_MS);
    if (!u->model.slow)
        return;
    for (; a != NULL; a = asked_after(u, a->id))
        pv_tui_show_waiting(&u->model, &a->action);
    for (size_t i = 0; i < u->model.n_actions; i++)
        pv_tui_show_waiting(&u->model, &u->model.actions[i]);
}

/* Lines that were typed just before the end go out: a daemon that is there takes a moment. False:
 * it has not taken all of them. */
static bool send_rest(struct tui *u)
{
    pv_ns end = pv_clock_now() + PV_S(1);
    char error[PV_TUI_NOTE];
    int status = PV_OK;
    while (!u->lost && is_sending(u) && pv_clock_now() < end) {
        struct pollfd p = {.fd = pv_client_poll_fd(&u->cli->client), .events = POLLIN};
        if (ask_what_waits(u) < 0 || (poll(&p, 1, 100) < 0 && errno != EINTR) ||
            read_replies(u, error, &status) != 0)
            break;
    }
    return !is_sending(u);
}

/* On the ordinary screen: p2pvpnd keeps its own copy of a file until it hears that it is saved.
 * Ctrl-C ends the processes that copy, too. Returns 0 or an exit code. */
static int finish_saving(struct tui *u)
{
    int code = 0;
    bool told = true;
    (void)signal(SIGINT, SIG_DFL); /* the handler of curses has no screen any more */
    while (u->n_saving > 0) {
        char name[PV_FILE_NAME_BUF];
        snprintf(name, sizeof(name), "%s",
                 pv_json_text(json_object_get(u->saving[0].body, "file"), "name", ""));
        fputs("saving ", u->cli->out);
        pv_show_text(u->cli->out, name);
        fputs(" ...\n", u->cli->out);
        fflush(u->cli->out);
        const char *why = end_saving(u, 0);
        if (why != NULL)
            code = pv_cli_fail(u->cli, PV_CTLAPI_FAILED,
                               "%s is not saved: %s: p2pvpnctl files lists it", name, why);
        told = told && send_rest(u); /* another that waited for its place may begin by it */
    }
    return code;
}

/* May the chat end? One whose daemon hangs asks once. */
static bool may_end(struct tui *u, bool *asked)
{
    bool end = u->lost || send_rest(u) || *asked;
    *asked = true;
    if (!end)
        pv_tui_ask_again(&u->model);
    return end;
}

/* Until it ends: 0 or an exit code; *ret_status says why the connection did not go on. */
static int converse(struct tui *u, char error[static PV_TUI_NOTE], int *ret_status)
{
    bool asked = false;
    while (u->model.leave != PV_TUI_ENDED || !may_end(u, &asked)) {
        if (asked && !is_sending(u))
            pv_tui_ask_no_more(&u->model);
        asked = asked && u->model.leave != PV_TUI_STAYS;
        find_daemon(u);
        if (!u->lost && ask_what_waits(u) < 0)
            lose_daemon(u);
        u->model.now = (double)pv_clock_wall_us() / 1e6;
        show_slow(u);
        if (draw(u) < 0)
            return PV_CTLAPI_FAILED;
        /* poll() passes over a descriptor below zero. */
        struct pollfd p[2 + MAX_SAVING] = {
            {.fd = u->lost ? -1 : pv_client_poll_fd(&u->cli->client), .events = POLLIN},
            {.fd = fileno(u->cli->in), .events = do_keys_wait(u) ? 0 : POLLIN}};
        const nfds_t n_fds = 2 + u->n_saving;
        for (size_t i = 0; i < u->n_saving; i++)
            p[2 + i] = (struct pollfd){.fd = u->saving[i].word, .events = POLLIN};
        /* The timeout keeps the refresh of paths going while nobody types. A new window size
         * interrupts poll() (SIGWINCH), and the next draw() asks for the size. Lines that were
         * drawn are read, which the daemon hears at once. */
        bool more = pv_tui_has_to_ask(&u->model) && may_ask(u);
        int n = poll(p, n_fds,
                     u->lost          ? RETRY_MS
                     : more           ? 0
                     : u->n_asked > 0 ? SLOW_MS
                                      : REFRESH_MS);
        if (n < 0 && errno != EINTR)
            return PV_CTLAPI_FAILED;
        /* Keys are read whatever poll() says: curses may hold some that it has already read
         * itself. */
        if (!read_keys(u))
            return 0;
        if (n == 0 && pv_tuikeys_is_pasting(&u->keys))
            pv_tui_note(&u->model,
                        "the end of what is pasted does not come: Ctrl-C, and once more a "
                        "second later, goes on without it");
        if (n > 0)
            take_saved(u, p + 2);
        int code = n > 0 && p[0].revents != 0 ? read_replies(u, error, ret_status) : 0;
        /* A daemon that ended may come back, and a machine that left may join again: what is typed
         * meanwhile shall not go to a shell. One that speaks another language does not change. */
        if (code != 0 && *ret_status == PV_ERR_CLOSED) {
            *ret_status = PV_OK;
            lose_daemon(u);
        } else if (u->began && (code == PV_CTLAPI_NOT_JOINED || code == PV_CTLAPI_REFUSED)) {
            lose_daemon(u);
            pv_tui_note(&u->model, "%s", error);
            memcpy(u->model.away, u->model.note, sizeof(u->model.away));
        } else if (code != 0) {
            return code;
        }
    }
    return 0;
}

/* Watch first, then what is unread, and the files: nothing can fall between. */
static int begin(struct tui *u)
{
    int r = send_request(u, ASKED_STATUS, PV_CTLAPI_STATUS, NULL);
    if (r >= 0)
        r = send_request(u, ASKED_WATCH, PV_CTLAPI_WATCH, NULL);
    if (r >= 0)
        r = send_request(u, ASKED_ROOMS, PV_CTLAPI_ROOM_LIST, NULL);
    if (r >= 0)
        r = ask_unread(u, "", 0);
    pv_tui_want(&u->model, PV_TUI_FILES, "", NULL);
    return r;
}

static int open_first(struct tui *u, const char *peer)
{
    size_t index = peer == NULL ? 0 : pv_tui_find(&u->model, peer, true);
    if (index == SIZE_MAX)
        return PV_ERR_NOMEM;
    if (index > 0)
        pv_tui_open(&u->model, index);
    return PV_OK;
}

static void use_locale(void)
{
    /* Without LC_CTYPE curses and wcwidth() see bytes. Messages are UTF-8 whatever the system's
     * locale is, so a system with another one is overruled. */
    (void)setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0 && setlocale(LC_CTYPE, "C.UTF-8") == NULL)
        (void)setlocale(LC_CTYPE, "C"); /* other charsets need modules of the same glibc */
}

int pv_tui_run(struct pv_cli *cli, const char *peer)
{
    struct tui *u = calloc(1, sizeof(*u));
    char error[PV_TUI_NOTE] = "";
    int status = PV_OK, code = PV_CTLAPI_FAILED;
    if (u == NULL || pv_tui_init(&u->model) < 0) {
        free(u);
        return pv_cli_no_memory(cli);
    }
    u->cli = cli;
    u->model.flag = cli->flag;
    u->model.own = cli->node.is_user;
    if (getcwd(u->dir, sizeof(u->dir)) == NULL) /* it is gone, or its path is too long */
        memcpy(u->dir, ".", sizeof("."));
    use_locale();
    /* Said before the screen is there, so that it can be read. */
    char wrong[PV_CTLCONF_ERROR];
    if (pv_tui_settings_load(&u->model.set, wrong) < 0) {
        pv_tui_done(&u->model);
        free(u);
        return pv_cli_fail(cli, PV_CTLAPI_FAILED, "%s", wrong);
    }
    status = begin(u);
    if (status >= 0)
        status = open_first(u, peer);
    if (status >= 0 && open_terminal(u))
        code = converse(u, error, &status);
    else if (status >= 0)
        snprintf(error, sizeof(error),
                 "the chat screen does not open on this terminal (TERM=%s): `p2pvpnctl chat "
                 "--lines` needs no screen",
                 getenv("TERM"));
    /* The reason of the end is printed below; it must reach the ordinary screen. */
    close_terminal(u);
    int unsaved = finish_saving(u);
    code = code == 0 ? unsaved : code;
    for (size_t i = 0; i < u->n_asked; i++)
        free(u->asked[i].action.text);
    free(u->paste);
    pv_tui_screen_done(&u->screen);
    pv_tui_screen_done(&u->before);
    pv_tui_done(&u->model);
    free(u);
    if (status < 0)
        return pv_cli_lost(cli, status);
    return error[0] != '\0' ? pv_cli_fail(cli, (enum pv_ctlapi_code)code, "%s", error) : code;
}
