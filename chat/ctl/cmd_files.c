/* SPDX-License-Identifier: MIT */
/* Files: send-file, and files (list, accept, refuse, get). */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "chat/ctl/chatcmds.h"
#include "chat/proto/file.h"
#include "chat/proto/room.h"
#include "ctl/lib/fetch.h"
#include "sys/proc/clock.h"
#include "sys/proc/entropy.h"

enum {
    WAIT_S = 30, /* for an answer of p2pvpnd */
    BAR = 20,    /* characters of the progress bar */
    LINE = 79,   /* columns of the progress line, at most */
};
#define LOOK  PV_MS(200) /* between two looks at the progress */
#define AGAIN PV_MS(500) /* between two attempts to find a p2pvpnd that is being started again */

/* One file that is watched until it is where it should be. */
struct job {
    uint32_t number;
    const char *peer;                   /* for people */
    char to[PV_CTLAPI_PEER_BUF];        /* send-file: the same, or its key once it is known */
    int pass;                           /* send-file: the file; else -1 */
    const char *name;                   /* send-file: its name */
    char transfer[PV_CHAT_ID_TEXT_BUF]; /* send-file: its id; offered again it is sent once */
    const char *room;                   /* send-file: in which it is offered; NULL: none */
    pv_ns began;                        /* the first bytes of this watch */
    double from, last;
    bool moving, on_line, over;
    char said[PV_SHOW_BUF]; /* the last note */
    struct job *next;       /* of one send-file to a room; their descriptor is the same */
};

/* --- progress ------------------------------------------------------------------------------ */

/* Columns of the progress line: one that wraps cannot be drawn over. */
static int columns(const struct pv_cli *cli)
{
    struct winsize size;
    bool known = ioctl(fileno(cli->err), TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
    return known && size.ws_col <= LINE ? size.ws_col - 1 : LINE;
}

static void clear_line(struct pv_cli *cli, struct job *j)
{
    if (j->on_line)
        /* Blanks overwrite the line: not every terminal that shows "\r" knows how to erase. */
        fprintf(cli->err, "\r%*s\r", columns(cli), "");
    j->on_line = false;
}

static void note_once(struct pv_cli *cli, struct job *j, const char *text)
{
    /* The state is looked at five times a second; a reason is worth a line only when it changes. */
    if (strcmp(j->said, text) == 0)
        return;
    clear_line(cli, j);
    snprintf(j->said, sizeof(j->said), "%s", text);
    if (text[0] != '\0')
        pv_cli_note(cli, "%s", text);
}

/* "[=====>    ]  45%  1.2 MiB of 2.7 MiB  340 KiB/s  4 s left" */
static void draw(struct pv_cli *cli, struct job *j, double done, double size)
{
    char left[PV_SHOW_BUF] = "", bar[BAR + 1];
    double seconds = (double)(pv_clock_now() - j->began) / 1e9;
    /* The speed is that of this watch: bytes of an earlier run say nothing about the line now. */
    double speed = seconds > 0 ? (done - j->from) / seconds : 0;
    size_t full = size > 0 ? (size_t)(done / size * BAR) : BAR;
    /* Progress goes to standard error and only to a terminal: a log or a pipe would get
     * thousands of lines. */
    if (cli->quiet || cli->json || !isatty(fileno(cli->err)))
        return;
    for (size_t i = 0; i < BAR; i++)
        /* An empty file is full at once, and a division by its size is not possible. */
        bar[i] = i < full ? '=' : i == full ? '>' : ' ';
    bar[BAR] = '\0';
    if (speed > 0)
        pv_duration_format((size - done) / speed, left);
    const char *line =
        PV_STR("[%s] %3.0f%%  %s of %s  %s/s%s%s%s", bar, size > 0 ? 100 * done / size : 100,
               PV_BYTES_STR(done), PV_BYTES_STR(size), PV_BYTES_STR(speed), speed > 0 ? "  " : "",
               left, speed > 0 ? " left" : "");
    int width = columns(cli);
    /* A narrow terminal gets the numbers, without "[=====>    ]  ". */
    fprintf(cli->err, "\r%-*.*s", width, width, width < LINE ? line + BAR + 4 : line);
    fflush(cli->err);
    j->on_line = true;
}

/* The words about a file that is not there yet. */
static void show_progress(struct pv_cli *cli, struct job *j, const json_t *file)
{
    char text[PV_SHOW_BUF + 64];
    double done = pv_json_real(file, "done", 0), size = pv_json_real(file, "size", 0);
    const char *why = pv_json_text(file, "why", NULL);
    const char *state = pv_json_text(file, "state", "");
    if (pv_json_bool(file, "running")) {
        /* After every pause the clock starts again, so that waiting does not count as slowness. */
        if (!j->moving) {
            j->began = pv_clock_now();
            j->from = done;
        }
        j->moving = true;
        /* The transfer moved in between: the same reason to wait is news again. */
        j->said[0] = '\0';
        draw(cli, j, done, size);
        return;
    }
    j->moving = false;
    if (why != NULL)
        snprintf(text, sizeof(text), "waiting: %s", why);
    else if (!pv_json_bool(file, "online"))
        snprintf(text, sizeof(text), "waiting: %s is away", j->peer);
    else if (strcmp(state, "offered") == 0)
        snprintf(text, sizeof(text), "offered: waiting for %s to accept", j->peer);
    else
        text[0] = '\0';
    if (text[0] != '\0')
        note_once(cli, j, text);
}

/* --- asking p2pvpnd ------------------------------------------------------------------------ */

/* As pv_cli_call(), but a connection that breaks is only told by the status. */
static int ask_daemon(struct pv_cli *cli, struct pv_ctlapi_request *req, int pass, int *ret_status,
                      json_t **ret_body)
{
    struct pv_ctlapi_reply reply;
    req->id = ++cli->last_id;
    int r = pv_client_send_fd(&cli->client, req, pass, cli->deadline);
    /* An event may come before the answer, and an answer to a request that timed out before. */
    while (r == PV_OK) {
        r = pv_client_next(&cli->client, cli->deadline, &reply);
        if (r != PV_OK || (!reply.is_event && reply.id == req->id))
            break;
        pv_ctlapi_reply_done(&reply);
    }
    *ret_status = r;
    if (r != PV_OK) {
        cli->peer = NULL; /* p2pvpnd alone has the answer, and no peer keeps it waiting */
        return PV_CTLAPI_FAILED;
    }
    int code = reply.ok ? 0 : (int)reply.code;
    if (reply.ok)
        *ret_body = json_incref(reply.body);
    else
        pv_cli_complain_of(cli, req->cmd, code, reply.error);
    pv_ctlapi_reply_done(&reply);
    return code;
}

static void print_file(struct pv_cli *cli, const json_t *file, const char *path)
{
    (void)pv_cli_print_packed(cli, "{s:i, s:O, s:s*}", "version", 1, "file", file, "path", path);
}

/* The descriptor goes along: p2pvpnd must not need the right to open the user's file. */
static int offer(struct pv_cli *cli, struct job *j, int *ret_status)
{
    json_t *body = NULL;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_FILE_SEND);
    int code = pv_cli_peer(cli, &req, j->to[0] != '\0' ? j->to : j->peer);
    req.text = strdup(j->name);
    memcpy(req.u.file.transfer, j->transfer, sizeof(req.u.file.transfer));
    snprintf(req.u.file.room, sizeof(req.u.file.room), "%s", j->room == NULL ? "" : j->room);
    if (code == 0)
        code = ask_daemon(cli, &req, j->pass, ret_status, &body);
    if (code == 0) {
        const json_t *file = json_object_get(body, "file");
        j->number = (uint32_t)pv_json_real(file, "id", 0);
        /* Offered again it is for the same machine, whoever has the name by then. */
        snprintf(j->to, sizeof(j->to), "%s", pv_json_text(file, "key", j->peer));
        if (cli->json && cli->args.value[0] != NULL) /* nothing else is said of it (follow()) */
            print_file(cli, file, NULL);
    }
    pv_ctlapi_request_done(&req);
    json_decref(body);
    return code;
}

/* p2pvpnd went away: waits until it is there again, and offers the file again, for it has lost the
 * descriptor. The part that has arrived stays, and by its id it is still the same file. */
static int come_back(struct pv_cli *cli, struct job *j)
{
    note_once(cli, j, "p2pvpnd has ended: waiting for it to come back");
    for (;;) {
        struct timespec pause = {.tv_nsec = (long)AGAIN};
        int status = PV_OK, code = 0;
        if (pv_clock_now() >= cli->deadline)
            return pv_cli_fail(cli, PV_CTLAPI_TIMEOUT,
                               "p2pvpnd has ended, and did not come back in time");
        nanosleep(&pause, NULL);
        /* The old connection is of no use: the daemon at its other end is gone. */
        pv_client_close(&cli->client);
        if (pv_client_open(&cli->client, cli->node.socket) != PV_OK)
            continue;
        for (struct job *o = j; o != NULL && code == 0 && o->pass >= 0; o = o->next)
            code = o->over ? 0 : offer(cli, o, &status);
        /* Any status but PV_OK means that the daemon went away again before it answered. */
        if (code == 0 || status == PV_OK)
            return code;
    }
}

/* Only this program gives up; the daemon goes on with the transfer. */
static int give_up(struct pv_cli *cli)
{
    return pv_cli_fail(cli, PV_CTLAPI_TIMEOUT, "not finished in time: it goes on in p2pvpnd");
}

/* The files as they are now; NULL with *ret_code 0: p2pvpnd was away, look again. */
static json_t *look(struct pv_cli *cli, struct job *first, int *ret_code)
{
    json_t *body = NULL;
    int status = PV_OK;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_FILES);
    *ret_code = ask_daemon(cli, &req, -1, &status, &body);
    /* A timeout is --timeout's own end, which comes mostly between two looks. Everything else that
     * breaks means that the daemon went away. */
    if (*ret_code != 0 && status == PV_ERR_TIMEOUT)
        *ret_code = give_up(cli);
    else if (*ret_code != 0 && status != PV_OK)
        *ret_code = come_back(cli, first);
    return body;
}

static bool is_one_of(const char *state, const char *a, const char *b)
{
    return strcmp(state, a) == 0 || strcmp(state, b) == 0;
}

/* One that was sent is there. */
static void say_arrived(struct pv_cli *cli, const struct job *j, const json_t *file)
{
    if (cli->json)
        print_file(cli, file, NULL);
    else if (!cli->quiet)
        fprintf(cli->out, "%s has %s, whole and verified\n", j->peer, j->name);
}

/* Says how one file is, or how it ended: then sets over. An exit code. */
static int settle(struct pv_cli *cli, struct job *j, const json_t *files)
{
    const json_t *file = NULL;
    PV_EACH_JSON(files, f) {
        if ((uint32_t)pv_json_real(f, "id", 0) == j->number)
            file = f;
    }
    const char *state = pv_json_text(file, "state", "");
    /* Any state but these two is an end, also one that a newer daemon invents. */
    j->over = !is_one_of(state, "offered", "accepted");
    if (!j->over) {
        show_progress(cli, j, file);
        return 0;
    }
    clear_line(cli, j);
    if (file == NULL)
        return pv_cli_fail(cli, PV_CTLAPI_FAILED, "file %lu: it is no longer known",
                           (unsigned long)j->number);
    if (is_one_of(state, "done", "saved")) {
        if (j->pass >= 0)
            say_arrived(cli, j, file);
        return 0;
    }
    const char *why = pv_json_text(file, "why", NULL);
    bool refused = strcmp(state, "refused") == 0;
    return pv_cli_fail(cli, refused ? PV_CTLAPI_REFUSED : PV_CTLAPI_FAILED, "%s %s %s: %s%s%s",
                       pv_json_text(file, "name", "?"), j->pass >= 0 ? "to" : "from", j->peer,
                       state, why != NULL ? ": " : "", why != NULL ? why : "");
}

/* Settles those that are not over; *ret_left: some still are not. */
static int settle_all(struct pv_cli *cli, struct job *first, const json_t *files, bool *ret_left)
{
    int result = 0;
    *ret_left = false;
    for (struct job *j = first; j != NULL; j = j->next) {
        if (j->over)
            continue;
        /* There is one line of progress, which belongs to another one by now. */
        for (struct job *o = first; o != NULL && first->next != NULL; o = o->next)
            clear_line(cli, o);
        int code = settle(cli, j, files);
        result = code != 0 ? code : result;
        *ret_left = *ret_left || !j->over;
    }
    return result;
}

/* Until all have arrived, or come to another end: one that is never answered hides nothing of the
 * others. 0, or an exit code of one of them. */
static int watch(struct pv_cli *cli, struct job *first)
{
    int result = 0;
    for (;;) {
        struct timespec pause = {.tv_nsec = (long)LOOK};
        int code = 0;
        bool left = true;
        json_t *body = look(cli, first, &code);
        if (code != 0)
            return result != 0 ? result : code;
        if (body == NULL)
            continue;
        code = settle_all(cli, first, json_object_get(body, "files"), &left);
        result = code != 0 ? code : result;
        json_decref(body);
        if (!left)
            return result;
        if (pv_clock_now() >= cli->deadline) {
            code = give_up(cli);
            return result != 0 ? result : code;
        }
        nanosleep(&pause, NULL);
    }
}

/* --- send-file ----------------------------------------------------------------------------- */

static int open_file(struct pv_cli *cli, const char *path, struct job *j,
                     char name[static PV_FILE_NAME_BUF], double *ret_size)
{
    if (path[0] == '\0')
        return pv_cli_usage(cli, "the name of the file is an empty word");
    int r = pv_fetch_open(path, &j->pass, name, ret_size);
    if (r == PV_ERR_MALFORMED)
        return pv_cli_fail(cli, PV_CTLAPI_USAGE, "%s: not a regular file: pack it first (tar)",
                           path);
    if (r == PV_ERR_UNSUPPORTED)
        return pv_cli_usage(cli,
                            "%s: its size is not known before it is read, as of files in /proc and "
                            "/sys: send a copy of it (cat %s >COPY)",
                            path, path);
    const char *peer = cli->args.word[0];
    if (r == -ENOENT && access(peer, F_OK) == 0)
        return pv_cli_usage(cli, "%s: %s: the peer stands first: `p2pvpnctl send-file %s %s`", path,
                            strerror(-r), path, peer);
    if (r < 0)
        return pv_cli_fail(cli, PV_CTLAPI_FAILED, "%s: %s: name a file you may read", path,
                           strerror(-r));
    return 0;
}

/* Waits for what becomes of offered files, unless told not to, and says it. */
static int follow(struct pv_cli *cli, struct job *first)
{
    if (cli->args.value[0] == NULL)
        return watch(cli, first);
    /* The words are for people: JSON and --quiet have the exit code. */
    for (struct job *j = first; j != NULL && !cli->json && !cli->quiet; j = j->next)
        pv_cli_say(cli, "offered: `p2pvpnctl files` shows what becomes of file %lu",
                   (unsigned long)j->number);
    return 0;
}

static int send_to_peer(struct pv_cli *cli, struct job *j)
{
    const struct pv_rng rng = pv_entropy();
    uint8_t id[PV_CHAT_ID_LEN];
    int status = PV_OK;
    pv_rng_fill(&rng, id, sizeof(id));
    pv_chat_id_format(id, j->transfer);
    int code = offer(cli, j, &status);
    if (status != PV_OK)
        return pv_cli_lost(cli, status);
    return code != 0 ? code : follow(cli, j);
}

/* --- to a room ----------------------------------------------------------------------------- */

/* The line that says in the room that there is a file; its id is that of the offers. */
static int say_offer(struct pv_cli *cli, const char *room, const struct job *j, double size,
                     json_t **ret_body)
{
    char text[PV_SHOW_OFFER_BUF];
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_SEND);
    int code = pv_cli_peer(cli, &req, room);
    req.text = strdup(pv_show_offer(j->name, size, text));
    if (code == 0)
        code = pv_cli_call(cli, &req, NULL, NULL, ret_body);
    pv_ctlapi_request_done(&req);
    return code;
}

/* Offers the file to each member that is there, one after the other: those whom a rule keeps from
 * it are named by what p2pvpnd says, and the others get it all the same. */
static int offer_to_all(struct pv_cli *cli, const json_t *room, const char *id,
                        const struct job *like, struct job jobs[static PV_ROOM_MAX_MEMBERS],
                        size_t *ret_n)
{
    size_t n = 0;
    int result = 0;
    PV_EACH_JSON(json_object_get(room, "members"), m) {
        struct job *j = &jobs[n];
        int status = PV_OK;
        if (!pv_show_gets_file(m) || n == PV_ROOM_MAX_MEMBERS)
            continue;
        *j = *like;
        j->peer = pv_json_text(m, "name", "?");
        snprintf(j->to, sizeof(j->to), "%s", pv_json_text(m, "key", j->peer));
        snprintf(j->transfer, sizeof(j->transfer), "%s", id);
        j->room = pv_json_text(room, "address", cli->args.word[0]);
        int code = offer(cli, j, &status);
        if (status != PV_OK)
            return pv_cli_lost(cli, status);
        if (code != 0)
            result = code;
        else if (n++ > 0)
            j[-1].next = j;
    }
    *ret_n = n;
    return result;
}

/* Those who are in the room and there; at least one. */
static int ask_members(struct pv_cli *cli, json_t **ret_body)
{
    const char *room = cli->args.word[0], *why;
    char text[PV_SHOW_SENT_BUF];
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_ROOM_MEMBERS);
    if (strlen(room) >= sizeof(req.u.room.name))
        return pv_cli_usage(cli, "\"%.60s\" is not a room: `p2pvpnctl room list`", room);
    memcpy(req.u.room.name, room, strlen(room) + 1);
    enum pv_ctlapi_code refused;
    int code = pv_cli_call(cli, &req, NULL, NULL, ret_body);
    if (code == 0 && (why = pv_show_no_getter(*ret_body, room, text, &refused)) != NULL)
        code = pv_cli_fail(cli, refused, "%s", why);
    return code;
}

static int send_to_room(struct pv_cli *cli, const struct job *like, double size)
{
    struct job *jobs = calloc(PV_ROOM_MAX_MEMBERS, sizeof(*jobs));
    json_t *room = NULL, *said = NULL;
    size_t n = 0;
    if (jobs == NULL)
        return pv_cli_no_memory(cli);
    int code = ask_members(cli, &room);
    if (code == 0)
        /* To the room whose members were asked for, whatever its name is by now. */
        code = say_offer(cli, pv_json_text(room, "address", cli->args.word[0]), like, size, &said);
    if (code == 0)
        code = offer_to_all(cli, room, pv_json_text(json_object_get(said, "message"), "id", ""),
                            like, jobs, &n);
    int followed = n > 0 ? follow(cli, jobs) : 0;
    code = followed != 0 ? followed : code;
    json_decref(room);
    json_decref(said);
    free(jobs);
    return code;
}

static int send_file(struct pv_cli *cli)
{
    char name[PV_FILE_NAME_BUF];
    struct job j = {.peer = cli->args.word[0], .pass = -1, .name = name};
    double size = 0;
    int code = open_file(cli, cli->args.word[1], &j, name, &size);
    /* The wait for a person on the other side has no natural end. */
    pv_cli_set_timeout(cli, cli->args.value[0] == NULL ? 0 : WAIT_S);
    if (code == 0)
        code = pv_cli_connect_chat(cli);
    if (code == 0)
        code = j.peer[0] == '#' ? send_to_room(cli, &j, size) : send_to_peer(cli, &j);
    if (j.pass >= 0)
        close(j.pass);
    return code;
}

/* --- files --------------------------------------------------------------------------------- */

enum {
    FILES_OUTPUT,
    FILES_DIR,
    FILES_NO_WAIT,
};

static void list_row(struct pv_table *t, const json_t *file)
{
    char text[PV_SHOW_BUF];
    double done = pv_json_real(file, "done", 0), size = pv_json_real(file, "size", 0);
    const char *state = pv_json_text(file, "state", "?");
    const char *why = pv_json_text(file, "why", "");
    bool in = pv_json_is(file, "direction", "in");
    snprintf(text, sizeof(text), "%.0f", pv_json_real(file, "id", 0));
    pv_table_cell(t, PV_PLAIN, text);
    pv_table_cell(t, PV_PLAIN, in ? "from" : "to");
    pv_table_cell(t, PV_BOLD, pv_json_text(file, "peer", "?"));
    pv_table_cell(t, PV_PLAIN, pv_json_text(file, "room", ""));
    pv_table_cell(t, PV_PLAIN, PV_BYTES_STR(size));
    if (strcmp(state, "accepted") == 0)
        snprintf(text, sizeof(text), "%s %.0f%%", pv_json_bool(file, "running") ? "moving" : state,
                 size > 0 ? 100 * done / size : 100);
    else
        snprintf(text, sizeof(text), "%s", in && strcmp(state, "done") == 0 ? "received" : state);
    pv_table_cell(t, strcmp(state, "failed") == 0 ? PV_RED : PV_PLAIN, text);
    pv_table_cell(t, PV_PLAIN, pv_json_text(file, "name", "?"));
    pv_table_cell(t, PV_DIM, why);
}

/* How many files of others are in this state. */
static size_t count_in(const json_t *files, const char *state)
{
    size_t n = 0;
    PV_EACH_JSON(files, file)
        n += pv_json_is(file, "direction", "in") && pv_json_is(file, "state", state);
    return n;
}

/* p2pvpnd keeps 256 files of one peer at most and refuses more: the list says how to empty it. */
static void note_waiting(struct pv_cli *cli, const json_t *files)
{
    const size_t offered = count_in(files, "offered"), received = count_in(files, "done");
    if (received > 0)
        pv_cli_note(cli, "`p2pvpnctl files get all` saves %zu received file%s", received,
                    received == 1 ? "" : "s");
    if (offered > 0)
        pv_cli_note(cli, "`p2pvpnctl files accept all` takes %zu offered file%s", offered,
                    offered == 1 ? "" : "s");
}

/* As a table; "received" is what a file that has come in and waits to be saved is called here. */
static int list(struct pv_cli *cli)
{
    static const char *const heads[] = {"=ID", "=", "PEER", "-ROOM", "-SIZE", "=STATE", "NAME", ""};
    struct pv_table t;
    json_t *body = NULL;
    size_t i;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_FILES);
    int code = pv_cli_call(cli, &req, NULL, NULL, &body);
    const json_t *files = json_object_get(body, "files");
    if (code != 0) {
        json_decref(body);
        return code;
    }
    if (cli->json) {
        pv_cli_print_json(cli, body);
    } else if (json_array_size(files) == 0) {
        pv_cli_note(cli, "no files: offer one with `p2pvpnctl send-file PEER FILE`");
    } else {
        pv_table_begin(&t, PV_ARRAY_LEN(heads));
        for (i = 0; i < PV_ARRAY_LEN(heads); i++)
            pv_table_head(&t, PV_DIM, heads[i]);
        PV_EACH_JSON(files, file)
            list_row(&t, file);
        code = pv_cli_print_table(cli, &t);
        note_waiting(cli, files);
    }
    json_decref(body);
    return code;
}

/* One request about one file. */
static int about(struct pv_cli *cli, enum pv_ctlapi_cmd cmd, uint32_t number, json_t **ret_file)
{
    json_t *body = NULL;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(cmd);
    req.u.file.number = number;
    int code = pv_cli_call(cli, &req, NULL, NULL, &body);
    if (code == 0)
        *ret_file = json_incref(json_object_get(body, "file"));
    json_decref(body);
    return code;
}

/* The daemon passes the file's descriptor; only when the copy is whole it is told that the user has
 * it, so that a full disk here loses nothing. */
static int save(struct pv_cli *cli, uint32_t number)
{
    const char *path = cli->args.value[FILES_OUTPUT], *dir = cli->args.value[FILES_DIR];
    json_t *file = NULL, *gone = NULL;
    int code = about(cli, PV_CTLAPI_FILE_GET, number, &file);
    if (code != 0)
        return code;
    const char *name = pv_json_text(file, "name", "");
    int from = pv_client_take_fd(&cli->client);
    int r = from < 0 ? PV_ERR_NOT_FOUND : pv_fetch(from, dir == NULL ? "." : dir, name, path);
    if (from >= 0)
        close(from);
    /* The copy took what the disk needed, and p2pvpnd gets its time to answer. */
    pv_cli_set_timeout(cli, WAIT_S);
    if (r == PV_ERR_EXISTS)
        code = pv_cli_fail(cli, PV_CTLAPI_FAILED,
                           "%s: a file of this name exists: choose another with -o, and run "
                           "`p2pvpnctl files get %lu`",
                           path == NULL ? name : path, (unsigned long)number);
    else if (r < 0)
        code = pv_cli_fail(cli, PV_CTLAPI_FAILED,
                           "%s: not written: %s: choose another place with --dir or -o, and run "
                           "`p2pvpnctl files get %lu`",
                           path == NULL ? name : path, pv_strstatus(r), (unsigned long)number);
    else
        code = about(cli, PV_CTLAPI_FILE_SAVED, number, &gone);
    bool in_dir = dir != NULL;
    if (code == 0 && cli->json) {
        char place[PATH_MAX];
        snprintf(place, sizeof(place), "%s%s%s", in_dir ? dir : "", in_dir ? "/" : "",
                 path == NULL ? name : path);
        print_file(cli, file, place);
    } else if (code == 0 && !cli->quiet) {
        if (in_dir)
            fprintf(cli->out, "%s/", dir);
        pv_show_text(cli->out, path == NULL ? name : path);
        fputc('\n', cli->out);
    }
    json_decref(file);
    json_decref(gone);
    return code;
}

static int accept_file(struct pv_cli *cli, uint32_t number)
{
    json_t *file = NULL;
    int code = about(cli, PV_CTLAPI_FILE_ACCEPT, number, &file);
    if (code == 0 && cli->args.value[FILES_NO_WAIT] == NULL) {
        char peer[PV_NAME_BUF];
        snprintf(peer, sizeof(peer), "%s", pv_json_text(file, "peer", "?"));
        struct job j = {.number = number, .peer = peer, .pass = -1};
        json_decref(file);
        file = NULL;
        /* The timeout was for one answer. From here on the other side's speed counts, unless the
         * user gave a limit. */
        cli->deadline = cli->timeout == 0 ? PV_NEVER : cli->deadline;
        code = watch(cli, &j);
        /* Bytes that came in the last moment are saved all the same. */
        pv_cli_set_timeout(cli, WAIT_S);
        if (code == 0)
            code = save(cli, number);
    } else if (code == 0 && cli->json) {
        print_file(cli, file, NULL);
    }
    json_decref(file);
    return code;
}

/* Files of both directions stand in one list: a slip must not end another transfer. */
static int check_way(struct pv_cli *cli, uint32_t number, bool in)
{
    json_t *body = NULL;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_FILES);
    int code = pv_cli_call(cli, &req, NULL, NULL, &body);
    PV_EACH_JSON(json_object_get(body, "files"), file) {
        if (pv_json_real(file, "id", 0) != number || pv_json_is(file, "direction", "in") == in)
            continue;
        code = pv_cli_fail(cli, PV_CTLAPI_FAILED,
                           in ? "%lu goes out, to %s: `p2pvpnctl files withdraw %lu` takes "
                                "it back"
                              : "%lu comes from %s: `p2pvpnctl files refuse %lu` throws it "
                                "away",
                           (unsigned long)number, pv_json_text(file, "peer", "?"),
                           (unsigned long)number);
    }
    json_decref(body);
    return code;
}

static int stop_file(struct pv_cli *cli, uint32_t number, bool in)
{
    json_t *file = NULL;
    int code = check_way(cli, number, in);
    if (code == 0)
        code = about(cli, PV_CTLAPI_FILE_STOP, number, &file);
    if (code == 0 && cli->json)
        print_file(cli, file, NULL);
    json_decref(file);
    return code;
}

static int refuse_file(struct pv_cli *cli, uint32_t number)
{
    return stop_file(cli, number, true);
}

static int withdraw_file(struct pv_cli *cli, uint32_t number)
{
    return stop_file(cli, number, false);
}

/* Options that a verb does not look at say that another one was meant. takes: of them, by bits. */
static int check_options(struct pv_cli *cli, const char *verb, unsigned takes)
{
    static const char *const names[] = {
        [FILES_OUTPUT] = "output", [FILES_DIR] = "dir", [FILES_NO_WAIT] = "no-wait"};
    for (size_t i = 0; i < PV_ARRAY_LEN(names); i++) {
        if (cli->args.value[i] != NULL && (takes & 1u << i) == 0)
            return pv_cli_usage(cli, "%s takes no --%s", verb, names[i]);
    }
    return 0;
}

/* Options that each make sense, and not together: one of them would be forgotten. */
static int check_places(struct pv_cli *cli)
{
    const char *path = cli->args.value[FILES_OUTPUT], *dir = cli->args.value[FILES_DIR];
    if (cli->args.value[FILES_NO_WAIT] != NULL && (path != NULL || dir != NULL))
        return pv_cli_usage(cli, "--no-wait saves nothing: give --%s to `p2pvpnctl files get ID`",
                            path != NULL ? "output" : "dir");
    if (path != NULL && strcmp(cli->args.word[1], "all") == 0)
        return pv_cli_usage(cli, "--output is one name: --dir saves all files in a directory");
    if (dir != NULL && path != NULL && path[0] == '/')
        return pv_cli_usage(cli, "--output %.200s is a place of its own: leave out --dir", path);
    return 0;
}

struct file_verb {
    const char *word;
    int (*run)(struct pv_cli *cli, uint32_t number);
    unsigned takes;        /* options, by bits */
    const char *direction; /* of the files that "all" means, */
    const char *states[2]; /* and their states; NULL: none */
};

/* Runs the verb on each file that it fits. One that fails keeps no other from it. Connected. */
static int run_all(struct pv_cli *cli, const struct file_verb *verb)
{
    json_t *body = NULL;
    size_t n = 0;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_FILES);
    int code = pv_cli_call(cli, &req, NULL, NULL, &body);
    PV_EACH_JSON(json_object_get(body, "files"), file) {
        bool fits = false;
        for (size_t i = 0; i < PV_ARRAY_LEN(verb->states) && verb->states[i] != NULL; i++)
            fits = fits || (pv_json_is(file, "direction", verb->direction) &&
                            pv_json_is(file, "state", verb->states[i]));
        if (!fits)
            continue;
        n++;
        pv_cli_set_timeout(cli, WAIT_S);
        const int failed = verb->run(cli, (uint32_t)pv_json_real(file, "id", 0));
        code = failed != 0 ? failed : code;
    }
    if (body != NULL && n == 0)
        pv_cli_note(cli, "no file to %s: `p2pvpnctl files` lists all", verb->word);
    json_decref(body);
    return code;
}

/* The words of the command; without one it lists. */
static int files(struct pv_cli *cli)
{
    static const unsigned places = 1u << FILES_OUTPUT | 1u << FILES_DIR;
    const struct file_verb verbs[] = {
        {"accept", accept_file, places | 1u << FILES_NO_WAIT, "in", {"offered", NULL}},
        {"get", save, places, "in", {"done", NULL}},
        {"refuse", refuse_file, 0, "in", {"offered", "done"}},
        {"withdraw", withdraw_file, 0, "out", {"offered", "accepted"}},
    };
    const char *verb = cli->args.n_words > 0 ? cli->args.word[0] : "list";
    uint64_t number = 0;
    /* accept_file() puts it off again: this one is for a single answer. */
    pv_cli_set_timeout(cli, WAIT_S);
    if (strcmp(verb, "list") == 0) {
        int code = cli->args.n_words > 1 ? pv_cli_usage(cli, "list takes no more words")
                                         : check_options(cli, verb, 0);
        code = code != 0 ? code : pv_cli_connect_chat(cli);
        return code != 0 ? code : list(cli);
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(verbs); i++) {
        if (strcmp(verb, verbs[i].word) != 0)
            continue;
        if (cli->args.n_words != 2)
            return pv_cli_usage(cli, "%s needs an ID, or all: `p2pvpnctl files` lists the IDs",
                                verb);
        const bool all = strcmp(cli->args.word[1], "all") == 0;
        int code = all ? 0 : pv_cli_number(cli, "ID", cli->args.word[1], 1, UINT32_MAX, &number);
        if (code == 0)
            code = check_options(cli, verb, verbs[i].takes);
        if (code == 0)
            code = check_places(cli);
        if (code == 0)
            code = pv_cli_connect_chat(cli);
        return code != 0 ? code
               : all     ? run_all(cli, &verbs[i])
                         : verbs[i].run(cli, (uint32_t)number);
    }
    return pv_cli_usage(cli, "\"%.40s\": there are list, accept, refuse, withdraw and get", verb);
}

const struct pv_command pv_cmds_files[] = {
    {
        .name = "send-file",
        .keeps_root = true,
        .args = "PEER|#ROOM FILE [--no-wait]",
        .summary = "offer a file and wait until it has arrived",
        .details =
            "The transfer resumes after an interruption, also after a restart of p2pvpnd here\n"
            "or on PEER. If send-file itself ended, run it again. Ctrl-C leaves the transfer\n"
            "to p2pvpnd; `p2pvpnctl files withdraw ID` ends it.\n"
            "In '#ROOM' each member who is online now gets the offer, and a line in the room\n"
            "announces it. Members who are away or come later get no offer.\n"
            "  --no-wait       return as soon as the file is offered\n",
        .example = "p2pvpnctl send-file pi photo.jpg",
        .options = {{"no-wait", 0, false}},
        .words = {2, 2},
        .run = send_file,
    },
    {
        .name = "files",
        .keeps_root = true,
        .args = "[list | accept ID|all | refuse ID|all | withdraw ID|all | get ID|all]",
        .summary = "files offered to and by this node; accept one and save it",
        .details = "accept waits for the file and saves it in the current directory. get saves a\n"
                   "received file. Nothing is overwritten. refuse also deletes a received file.\n"
                   "withdraw takes back an offer of this node. all means every file to which the\n"
                   "word applies: `p2pvpnctl files get all` saves all received files.\n"
                   "  -o, --output PATH  save one file under this name instead of the sender's\n"
                   "  -d, --dir DIR   save in this directory\n"
                   "  --no-wait       accept only; get it later\n",
        .example = "p2pvpnctl files accept 3 --dir ~/Downloads",
        .options = {{"output", 'o', true}, {"dir", 'd', true}, {"no-wait", 0, false}},
        .words = {0, 2},
        .run = files,
    },
    {.name = NULL},
};
