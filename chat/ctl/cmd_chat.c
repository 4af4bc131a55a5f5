/* SPDX-License-Identifier: MIT */
/* The commands send, inbox, history and chat. A conversation by lines is chatline.c, one for
 * scripts reads the raw form here, one on a terminal tui.c. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "chat/ctl/chatcmds.h"
#include "chat/ctl/chatline.h"
#include "chat/ctl/chatmsg.h"
#include "chat/proto/chat.h"
#include "chat/screen/tui.h"
#include "ctl/lib/cli.h"
#include "sys/proc/clock.h"
#include "sys/proc/entropy.h"

/* --- chat --raw: nothing but lines, for scripts ---------------------------------------------- */

enum {
    MAX_ASKED = 12,   /* requests without answer; the daemon takes 16 */
    LAST_WAIT_S = 30, /* for answers after the end of the input */
    MAX_CAME = 256,   /* ours: lines that came while what was unread before is asked for */
};

struct raw {
    struct pv_cli *cli;
    struct pv_chat_place place;
    bool ended;  /* the input */
    bool stale;  /* there may be unread messages of before that were not asked for */
    bool asking; /* an inbox is under way, or (reading) the word that it was printed */
    bool reading;
    uint64_t inbox_id, watch_id, read_id;
    /* The message that was printed last, and the one to which all are read; "": none. */
    char last[PV_CHAT_ID_TEXT_BUF], done[PV_CHAT_ID_TEXT_BUF];
    json_t *came;    /* owned: what events told while what was unread before is asked for */
    unsigned unsent; /* lines whose answer is missing */
    unsigned sent, printed;
    int code;
    struct pv_chat_input in;
};

static int send_request_raw(struct raw *c, struct pv_ctlapi_request *req)
{
    req->id = ++c->cli->last_id;
    int r = pv_client_send(&c->cli->client, req, pv_clock_now() + PV_S(LAST_WAIT_S));
    return r == PV_OK ? 0 : pv_cli_lost(c->cli, r);
}

static int ask_inbox(struct raw *c)
{
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_INBOX);
    memcpy(req.peer, c->place.address, sizeof(req.peer));
    /* They become read once they are printed: read_through(). */
    req.u.list.peek = true;
    memcpy(req.u.list.after, c->last, sizeof(req.u.list.after));
    int code = send_request_raw(c, &req);
    c->inbox_id = req.id;
    c->asking = true;
    c->stale = false;
    return code;
}

/* The printed messages are read. Where the reader has gone they stay unread. */
static int ask_read(struct raw *c)
{
    memcpy(c->done, c->last, sizeof(c->done));
    if (fflush(c->cli->out) != 0)
        return 0;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_READ);
    memcpy(req.peer, c->place.address, sizeof(req.peer));
    memcpy(req.u.list.through, c->last, sizeof(req.u.list.through));
    int code = send_request_raw(c, &req);
    c->read_id = req.id;
    c->asking = c->reading = true; /* the next inbox waits for it */
    return code;
}

static int ask_watch(struct raw *c)
{
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_WATCH);
    /* Without "seen" the messages stay unread until the inbox gives them. */
    memcpy(req.u.watch.what, "chat", sizeof("chat"));
    int code = send_request_raw(c, &req);
    c->watch_id = req.id;
    return code;
}

/* --- in ------------------------------------------------------------------------------------ */

static void print_line(struct raw *c, const json_t *msg)
{
    const char *text = pv_json_text(msg, "text", "");
    if (c->cli->client.exact)
        fputs(text, c->cli->out);
    else
        pv_show_text(c->cli->out, text);
    fputc('\n', c->cli->out);
    snprintf(c->last, sizeof(c->last), "%s", pv_json_text(msg, "id", ""));
    c->printed++;
}

static bool has_come(const struct raw *c, const char *id)
{
    PV_EACH_JSON(c->came, msg) {
        if (strcmp(pv_json_text(msg, "id", ""), id) == 0)
            return true;
    }
    return false;
}

/* Prints what was unread before, a page at a time, and behind it what came meanwhile. p2pvpnd gives
 * those of this conversation alone, whatever its other side is called by now. */
static void print_inbox(struct raw *c, const json_t *body)
{
    PV_EACH_JSON(json_object_get(body, "messages"), msg) {
        const char *id = pv_json_text(msg, "id", "");
        if (!has_come(c, id))
            print_line(c, msg);
        else /* the next page begins behind it */
            snprintf(c->last, sizeof(c->last), "%s", id);
    }
    c->stale = c->stale || pv_json_bool(body, "more");
    if (c->stale)
        return;
    PV_EACH_JSON(c->came, msg)
        print_line(c, msg);
    json_array_clear(c->came);
}

/* A script that listened for the machine that had the name before would hear nothing for ever. */
static bool has_changed_hands(const struct raw *c, const json_t *msg)
{
    return pv_json_is(msg, "from", c->place.name) &&
           pv_json_real(msg, "another_since", 0) > c->place.another_since;
}

/* Printed as it comes, and not as an inbox has it: another client may read it first, and a muted
 * peer's or room's comes as read. Where too many wait behind what was unread before, the inbox has
 * to tell them. */
static void take_message(struct raw *c, const json_t *body)
{
    json_t *msg = json_object_get(body, "message");
    if (pv_json_bool(msg, "own") || !pv_json_is(body, "address", c->place.address))
        return;
    if (!c->stale && (!c->asking || c->reading)) {
        print_line(c, msg);
    } else if (json_array_size(c->came) < MAX_CAME) {
        (void)json_array_append(c->came, msg);
    } else {
        json_array_clear(c->came);
        c->stale = true;
    }
}

static int take_reply(void *ctx, const struct pv_ctlapi_reply *reply)
{
    struct raw *c = ctx;
    if (reply->is_event) {
        const json_t *msg = json_object_get(reply->body, "message");
        if (msg != NULL)
            take_message(c, reply->body);
        return has_changed_hands(c, msg) ? pv_cli_fail(c->cli, PV_CTLAPI_UNKNOWN_PEER,
                                                       "%s is another machine by now: start the "
                                                       "chat again",
                                                       c->place.name)
                                         : 0;
    }
    /* Everything that is neither the watch nor an inbox answers a line. */
    bool read = reply->id == c->read_id && c->reading;
    if (reply->id == c->inbox_id || read)
        c->asking = c->reading = false;
    else if (reply->id != c->watch_id && c->unsent > 0)
        c->unsent--;
    if (!reply->ok) {
        /* One line that was refused does not end the script's other lines; the exit code
         * remembers it. */
        if (read) { /* they were printed all the same, and stay unread */
            pv_cli_complain(c->cli, (int)reply->code, reply->error);
            return 0;
        }
        c->code = (int)reply->code;
        pv_chat_complain_of_line(c->cli, &c->place, reply);
        return reply->id == c->watch_id || reply->id == c->inbox_id ? c->code : 0;
    }
    if (reply->id == c->inbox_id)
        print_inbox(c, reply->body);
    return 0;
}

/* --- out ----------------------------------------------------------------------------------- */

static int send_line(struct raw *c)
{
    struct pv_chat_input *in = &c->in;
    size_t len = in->len;
    bool too_long = in->too_long;
    /* The buffer is ready for the next line; the bytes of this one stay until the next read. */
    pv_chat_input_next(in);
    if (len > 0 && in->line[len - 1] == '\r')
        len--;
    in->line[len] = '\0';
    if (len == 0 && !too_long)
        return 0;
    if (too_long || !pv_text_is_valid(pv_view(in->line, len))) {
        c->code = pv_cli_usage(c->cli, "a line was not sent: it must be 1 to %d bytes of UTF-8",
                               PV_CHAT_TEXT_MAX);
        return 0;
    }
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_SEND);
    memcpy(req.peer, c->place.address, sizeof(req.peer));
    req.text = in->line; /* borrowed */
    c->unsent++;
    c->sent++;
    return send_request_raw(c, &req);
}

static int read_input(struct raw *c)
{
    int r = pv_chat_input_read(&c->in, fileno(c->cli->in));
    if (r == PV_ERR_AGAIN)
        return 0;
    c->ended = c->ended || r == PV_ERR_CLOSED;
    return r == PV_ERR_CLOSED && c->in.len == 0 ? 0 : send_line(c);
}

/* --- the conversation ---------------------------------------------------------------------- */

/* A script that listens has nothing to send, and its input is often empty from the beginning. */
static bool is_over(const struct raw *c)
{
    /* A listener that has sent nothing goes on after the end of its input (cmd_chat.c, --raw). */
    return c->ended && c->sent > 0 && c->unsent == 0 && !c->asking && !c->stale &&
           strcmp(c->done, c->last) == 0;
}

/* Until the input has ended and every line is answered; with --timeout, which is how long to
 * listen, it is a success when something came. */
static int converse(struct raw *c)
{
    pv_ns deadline = c->cli->timeout == 0 ? PV_NEVER : pv_clock_now() + c->cli->timeout;
    int code = 0;
    while (code == 0 && !is_over(c)) {
        bool listen = !c->ended && c->unsent < MAX_ASKED;
        bool only_listens = c->ended && c->unsent == 0;
        struct pollfd p[] = {
            {.fd = pv_client_poll_fd(&c->cli->client), .events = POLLIN},
            {.fd = listen ? fileno(c->cli->in) : -1, .events = POLLIN},
            {.fd = only_listens ? fileno(c->cli->out) : -1},
        };
        if (only_listens && !pv_chat_is_heard(c->cli))
            return c->code; /* all is sent, and what comes stays unread */
        /* One inbox at a time: two answers could print the lines in the wrong order. */
        if (c->stale && !c->asking) {
            code = ask_inbox(c);
            continue;
        }
        if (!c->asking && strcmp(c->done, c->last) != 0) {
            code = ask_read(c);
            continue;
        }
        int n = poll(p, PV_ARRAY_LEN(p), pv_poll_ms(deadline, pv_clock_now()));
        if (n < 0 && errno != EINTR)
            return pv_cli_fail(c->cli, PV_CTLAPI_FAILED, "cannot wait: %s", strerror(errno));
        if (n == 0)
            return c->printed > 0 ? c->code
                                  : pv_cli_fail(c->cli, PV_CTLAPI_TIMEOUT, "nothing came in time");
        if (n > 0 && p[0].revents != 0)
            code = pv_cli_take_replies(c->cli, take_reply, c);
        if (n > 0 && code == 0 && p[1].revents != 0)
            code = read_input(c);
    }
    return code != 0 ? code : c->code;
}

/* Prints what the peer of cli->args.word[0] says, also what is unread, and sends the lines of the
 * input. Ends with the input when lines were sent, and with --timeout (code 3; 0 when something was
 * printed). Connected. Returns an exit code. */
static int chatraw(struct pv_cli *cli)
{
    if (cli->args.n_words == 0)
        return pv_cli_usage(cli, "--raw needs PEER or #ROOM: whose lines?");
    struct raw *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return pv_cli_no_memory(cli);
    c->cli = cli;
    c->came = json_array();
    if (c->came == NULL) {
        free(c);
        return pv_cli_no_memory(cli);
    }
    /* A pipe gets the bytes as they were sent; only a terminal must be kept from obeying them. */
    cli->client.exact = !isatty(fileno(cli->out));
    int code = pv_chat_find_place(cli, cli->args.word[0], &c->place);
    if (code == 0)
        /* The watch comes first: a message that arrives before the inbox is asked for is then
         * told by an event. */
        code = ask_watch(c);
    if (code == 0)
        code = ask_inbox(c);
    if (code == 0)
        code = converse(c);
    json_decref(c->came);
    free(c);
    return code;
}

/* --- send ---------------------------------------------------------------------------------- */

enum {
    /* Bytes that are read: the longest text, in which each byte may be the newline of a line from
     * Windows, with its byte order mark and a byte that makes it too long. */
    MUCH = 2 * PV_CHAT_TEXT_MAX + 6,
};

/* Removes the byte order mark and the carriage returns of Windows text, and the last newline, which
 * is that of the shell's "echo" and not the writer's. Returns the new length. */
static size_t plain_text(char *text, size_t len)
{
    static const char mark[] = "\xef\xbb\xbf";
    size_t n = 0, from = len >= 3 && memcmp(text, mark, 3) == 0 ? 3 : 0;
    for (size_t i = from; i < len; i++) {
        const bool ends_line = text[i] == '\r' && (i + 1 == len || text[i + 1] == '\n');
        if (!ends_line)
            text[n++] = text[i];
    }
    n -= n > 0 && text[n - 1] == '\n';
    memset(text + n, 0, len - n);
    return n;
}

/* The words with one blank between them, or all of standard input for "-" alone, NUL-terminated.
 * More than PV_CHAT_TEXT_MAX bytes stand for everything that is too long. NULL without memory. */
static char *take_text(struct pv_cli *cli, size_t *ret_len)
{
    char *text = calloc(1, MUCH + 1);
    size_t n = 0;
    if (text == NULL)
        return NULL;
    /* Only "-" alone stands for the input: in a longer text it is a dash. */
    bool is_input = cli->args.n_words == 2 && strcmp(cli->args.word[1], "-") == 0;
    if (is_input)
        n = plain_text(text, fread(text, 1, MUCH, cli->in));
    for (int i = 1; i < cli->args.n_words && !is_input; i++) {
        const char *word = cli->args.word[i];
        for (const char *p = i == 1 ? "" : " "; *p != '\0' && n <= PV_CHAT_TEXT_MAX; p++)
            text[n++] = *p;
        for (const char *p = word; *p != '\0' && n <= PV_CHAT_TEXT_MAX; p++)
            text[n++] = *p;
    }
    *ret_len = n;
    return text;
}

static int print_sent(struct pv_cli *cli, const json_t *body)
{
    char text[PV_SHOW_SENT_BUF];
    bool waits;
    if (cli->quiet)
        return 0;
    pv_cli_say(cli, "%s", pv_show_sent(body, text, &waits));
    return 0;
}

/* The message's id is chosen here, so that who repeats a send whose answer was lost sends once. */
static int choose_id(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    uint8_t id[PV_CHAT_ID_LEN];
    const char *given = cli->args.value[0];
    if (given == NULL) {
        const struct pv_rng rng = pv_entropy();
        pv_rng_fill(&rng, id, sizeof(id));
        pv_chat_id_format(id, req->u.say.id);
        return 0;
    }
    if (pv_chat_id_parse(given, id) != PV_OK)
        return pv_cli_usage(cli, "--id \"%.40s\": give the 22 characters that a send named", given);
    memcpy(req->u.say.id, given, sizeof(req->u.say.id));
    return 0;
}

static int send_text(struct pv_cli *cli)
{
    size_t len = 0;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_SEND);
    int code = pv_cli_peer(cli, &req, cli->args.word[0]);
    if (code == 0)
        code = choose_id(cli, &req);
    if (code == 0) {
        req.text = take_text(cli, &len);
        if (req.text == NULL)
            code = pv_cli_no_memory(cli);
        else if (ferror(cli->in)) /* a part could mean something else than the whole */
            code = pv_cli_fail(cli, PV_CTLAPI_FAILED, "the input could not be read to its end");
        else if (!pv_text_is_valid(pv_view(req.text, len)))
            code = pv_cli_usage(cli, "the text must be 1 to %d bytes of UTF-8", PV_CHAT_TEXT_MAX);
    }
    /* The daemon may take the message whose answer is lost, and would send a plain repetition, too.
     */
    snprintf(cli->unanswered, sizeof(cli->unanswered),
             "the message may still arrive; the same again with --id %s sends it once",
             req.u.say.id);
    if (code == 0)
        code = pv_cli_ask_and_print(cli, &req, print_sent);
    pv_ctlapi_request_done(&req);
    return code;
}

/* --- inbox, history ------------------------------------------------------------------------ */

static void print_messages(struct pv_cli *cli, const json_t *list, bool with_receiver)
{
    PV_EACH_JSON(list, msg)
        pv_chat_print(cli, msg, with_receiver);
}

/* The id of the last message of a list; "" when it has none. */
static const char *last_id(const json_t *body)
{
    const json_t *list = json_object_get(body, "messages");
    size_t n = json_array_size(list);
    return n == 0 ? "" : pv_json_text(json_array_get(list, n - 1), "id", "");
}

/* Where a list ends; 0: the daemon did not say. An id alone may be in two conversations. */
static uint64_t upto_of(const json_t *body)
{
    return (uint64_t)pv_json_int(body, "upto");
}

/* Asks page by page until there is no more; *ret_body is the first answer with all messages in it,
 * which stay unread. */
static int fetch_inbox(struct pv_cli *cli, json_t **ret_body)
{
    json_t *all = NULL;
    for (;;) {
        json_t *body = NULL;
        struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_INBOX);
        req.u.list.peek = true;
        snprintf(req.u.list.after, sizeof(req.u.list.after), "%s", last_id(all));
        req.u.list.upto = upto_of(all);
        int code = pv_cli_ask(cli, &req, &body);
        bool more = code == 0 && pv_json_bool(body, "more");
        if (code == 0)
            /* "more" is about the first answer alone, and all answers become one. */
            json_object_del(body, "more");
        if (code == 0 && all != NULL) {
            json_array_extend(json_object_get(all, "messages"), json_object_get(body, "messages"));
            if (upto_of(body) > 0)
                json_object_set(all, "upto", json_object_get(body, "upto"));
        }
        if (all == NULL)
            all = body;
        else
            json_decref(body);
        *ret_body = all;
        if (code != 0 || !more)
            return code;
    }
}

/* The messages are in the hands of whoever reads our output: now they are read. A page at a time,
 * as they came. */
static void mark_read(struct pv_cli *cli, const json_t *body)
{
    const json_t *list = json_object_get(body, "messages");
    double left = (double)json_array_size(list);
    while (left > 0) {
        json_t *answer = NULL;
        struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_READ);
        snprintf(req.u.list.through, sizeof(req.u.list.through), "%s", last_id(body));
        req.u.list.upto = upto_of(body);
        int code = pv_cli_ask(cli, &req, &answer);
        double read = pv_json_real(answer, "read", 0);
        json_decref(answer);
        if (code != 0) /* which was said; a full disk keeps nobody from reading */
            pv_cli_note(cli, "warning: these messages stay unread");
        if (code != 0 || read <= 0) /* nothing: another client has read them */
            return;
        left -= read;
    }
}

static int inbox(struct pv_cli *cli)
{
    bool peek = cli->args.value[0] != NULL;
    json_t *body = NULL;
    int code = fetch_inbox(cli, &body);
    if (body != NULL && cli->json)
        pv_cli_print_json(cli, body);
    else if (body != NULL)
        print_messages(cli, json_object_get(body, "messages"), false);
    if (code == 0 && json_array_size(json_object_get(body, "messages")) == 0 && !cli->json)
        pv_cli_note(cli, "no new messages");
    /* Only what was written is read: a full pipe or disk, or an end by a signal, loses nothing. */
    if (!peek && fflush(cli->out) == 0 && !ferror(cli->out))
        mark_read(cli, body);
    json_decref(body);
    return code;
}

enum {
    HISTORY_LINES,
    HISTORY_ALL,
    HISTORY_YES,
};

static int print_cleared(struct pv_cli *cli, const json_t *body)
{
    long long n = (long long)pv_json_int(body, "deleted");
    if (!cli->quiet)
        fprintf(cli->out, "%lld message%s deleted on this machine\n", n, n == 1 ? "" : "s");
    return 0;
}

/* A deleted message does not come back: a person is asked, a script says --yes. */
static int confirm_clear(struct pv_cli *cli, const char *whom)
{
    struct pv_chat_input *in = calloc(1, sizeof(*in));
    int r = PV_ERR_AGAIN;
    bool yes;
    if (in == NULL)
        return pv_cli_no_memory(cli);
    if (cli->json || !isatty(fileno(cli->in))) {
        free(in);
        return pv_cli_usage(cli, "it cannot be undone: say --yes");
    }
    fprintf(cli->err, "Delete the conversation with %s on this machine? [y/N] ", whom);
    fflush(cli->err);
    while (r == PV_ERR_AGAIN)
        r = pv_chat_input_read(in, fileno(cli->in));
    yes = in->line[0] == 'y' || in->line[0] == 'Y';
    free(in);
    return yes ? 0 : pv_cli_fail(cli, PV_CTLAPI_FAILED, "nothing was deleted");
}

/* history clear PEER, history clear --all */
static int clear_history(struct pv_cli *cli)
{
    bool all = cli->args.value[HISTORY_ALL] != NULL;
    int code = 0;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_HISTORY_CLEAR);
    /* Either one peer or --all: half a command must not delete more than was meant. */
    if (all == (cli->args.n_words == 2) || cli->args.value[HISTORY_LINES] != NULL)
        return pv_cli_usage(cli, "say history clear PEER, '#ROOM', or --all");
    if (!all)
        code = pv_cli_peer(cli, &req, cli->args.word[1]);
    if (code == 0 && cli->args.value[HISTORY_YES] == NULL)
        code = confirm_clear(cli, all ? "everybody" : cli->args.word[1]);
    return code != 0 ? code : pv_cli_ask_and_print(cli, &req, print_cleared);
}

/* The name of the conversation was another machine's before. */
static void print_change(struct pv_cli *cli, const json_t *body)
{
    char text[PV_SHOW_CHANGE_BUF];
    const json_t *changed = json_object_get(body, "changed");
    if (changed == NULL)
        return;
    fputs("-- ", cli->out);
    /* By its present name: the one that was typed may be a former one. */
    pv_show_text(cli->out, pv_show_change(pv_json_text(changed, "name", cli->args.word[0]),
                                          pv_json_real(changed, "since", 0),
                                          pv_json_text(changed, "key", "?"), text));
    fputc('\n', cli->out);
}

static int history(struct pv_cli *cli)
{
    json_t *body = NULL;
    uint64_t limit = 0;
    int code = 0;
    /* A peer of that name is shown by its address or key. */
    if (cli->args.n_words > 0 && strcmp(cli->args.word[0], "clear") == 0)
        return clear_history(cli);
    if (cli->args.n_words > 1 || cli->args.value[HISTORY_ALL] != NULL ||
        cli->args.value[HISTORY_YES] != NULL)
        return pv_cli_usage(cli, "say history PEER, or history clear PEER");
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_HISTORY);
    if (cli->args.n_words > 0)
        code = pv_cli_peer(cli, &req, cli->args.word[0]);
    if (code == 0 && cli->args.value[0] != NULL) {
        code = pv_cli_number(cli, "-n", cli->args.value[0], 1, PV_CTLAPI_MAX_HISTORY, &limit);
        req.u.list.limit = (uint32_t)limit;
    }
    if (code == 0)
        code = pv_cli_ask(cli, &req, &body);
    if (code != 0)
        return code;
    json_object_del(body, "more"); /* the limit was asked for */
    if (cli->json)
        pv_cli_print_json(cli, body);
    else {
        if (cli->args.n_words > 0)
            print_change(cli, body);
        print_messages(cli, json_object_get(body, "messages"), true);
        if (json_array_size(json_object_get(body, "messages")) == 0)
            pv_cli_note(cli, "no messages");
    }
    json_decref(body);
    return 0;
}

/* --- mute ---------------------------------------------------------------------------------- */

static int print_mutes(struct pv_cli *cli, const json_t *body)
{
    PV_EACH_JSON(json_object_get(body, "muted"), name) {
        pv_show_text(cli->out, json_string_value(name));
        fputc('\n', cli->out);
    }
    if (json_array_size(json_object_get(body, "muted")) == 0)
        pv_cli_note(cli, "nobody is muted");
    return 0;
}

/* The other side is not told, so the words here are the only sign of it. */
static int print_muted(struct pv_cli *cli, const json_t *body)
{
    const char *already = pv_json_bool(body, "changed") ? "" : " already";
    if (!cli->quiet)
        fprintf(cli->out, "%s is%s muted: its messages go into the history, marked as read\n",
                cli->args.word[0], already);
    return 0;
}

static int print_unmuted(struct pv_cli *cli, const json_t *body)
{
    if (!cli->quiet)
        fprintf(cli->out, "%s %s muted\n", cli->args.word[0],
                pv_json_bool(body, "changed") ? "is no longer" : "was not");
    return 0;
}

/* Without a word it only looks. */
static int mute(struct pv_cli *cli)
{
    static const struct pv_verb look = {.cmd = PV_CTLAPI_MUTED, .print = print_mutes};
    static const struct pv_verb set = {
        .cmd = PV_CTLAPI_MUTE, .fill = pv_cli_fill_peer, .print = print_muted};
    return pv_cli_do_verb(cli, cli->args.n_words == 0 ? &look : &set);
}

/* --- chat ---------------------------------------------------------------------------------- */

enum {
    CHAT_LINES,
    CHAT_RAW,
};

/* The interface for a terminal. */
static int on_terminal(struct pv_cli *cli)
{
    struct pv_chat_place place = {0};
    /* An address or an alias becomes the name that the daemon uses in its events. */
    int code = cli->args.n_words > 0 ? pv_chat_find_place(cli, cli->args.word[0], &place) : 0;
    return code != 0 ? code : pv_tui_run(cli, place.name[0] == '\0' ? NULL : place.name);
}

static int chat(struct pv_cli *cli)
{
    if (cli->args.value[CHAT_LINES] != NULL && cli->args.value[CHAT_RAW] != NULL)
        return pv_cli_usage(cli, "--lines is for people and --raw for scripts: give one of them");
    int code = pv_cli_connect_chat(cli);
    if (code != 0)
        return code;
    /* --raw comes first: a script may run on a terminal and wants no screen. */
    if (cli->args.value[CHAT_RAW] != NULL)
        return chatraw(cli);
    if (cli->args.value[CHAT_LINES] == NULL && pv_tui_is_possible(cli))
        return on_terminal(cli);
    if (cli->args.value[CHAT_LINES] == NULL && pv_tui_lacks_terminal(cli))
        pv_cli_note(cli,
                    "terminfo has no entry for this terminal (TERM=%.40s): the chat goes line "
                    "by line",
                    getenv("TERM"));
    return pv_chatline(cli);
}

const struct pv_command pv_cmds_chat[] = {
    {
        .name = "send",
        .args = "[--id ID] PEER|#ROOM TEXT...|-",
        .summary = "send a line to PEER or a room; it waits here if PEER is offline",
        .details = "Flags stand before PEER: what follows PEER is text. - reads the text from\n"
                   "standard input. The exit code is 0 when the message is on this node's disk.\n"
                   "  --id ID         repeat a send that got no answer; its error named the ID. A\n"
                   "                  message that p2pvpnd already has is not sent twice\n",
        .example = "p2pvpnctl send pi see you at 8",
        .options = {{"id", 0, true}},
        .words = {2, PV_ARGS_MAX_WORDS},
        .verbatim_after = 1,
        .run = send_text,
    },
    {
        .name = "inbox",
        .args = "[--peek]",
        .summary = "unread messages, oldest first; marks them read",
        .details = "Marks only the messages that it printed as read.\n"
                   "  --peek          leave the messages unread\n",
        .example = "p2pvpnctl inbox",
        .options = {{"peek", 0, false}},
        .run = inbox,
    },
    {
        .name = "history",
        .args = "[PEER|#ROOM] [-n N] | clear PEER|#ROOM|--all [--yes]",
        .summary = "messages sent and received, oldest first; clear deletes them",
        .details =
            "  -n, --lines N   the newest N (100)\n"
            "  clear           delete the conversation on this machine; messages that still\n"
            "                  wait for delivery stay\n"
            "  --all           clear all conversations\n"
            "  --yes           do not ask first\n",
        .example = "p2pvpnctl history pi -n 20",
        .options = {[HISTORY_LINES] = {"lines", 'n', true},
                    [HISTORY_ALL] = {"all", 0, false},
                    [HISTORY_YES] = {"yes", 0, false}},
        .words = {0, 2},
        .run = history,
    },
    {
        .name = "mute",
        .args = "[PEER|#ROOM]",
        .summary = "stop notifications and unread marks for PEER or a room",
        .details =
            "A muted peer's messages go into the history, marked as read. The peer sees them\n"
            "as delivered and is not told. If a muted peer leaves and another machine joins\n"
            "with its token, that machine is muted too. Without PEER it lists what is muted.\n",
        .example = "p2pvpnctl mute '#crew'",
        .words = {0, 1},
        .run = mute,
    },
    {
        .name = "unmute",
        .args = "PEER|#ROOM",
        .summary = "undo mute",
        .details = "",
        .example = "p2pvpnctl unmute pi",
        .words = {1, 1},
        .verb = {.cmd = PV_CTLAPI_UNMUTE, .fill = pv_cli_fill_peer, .print = print_unmuted},
    },
    {
        .name = "chat",
        .keeps_root = true,
        .args = "[PEER|#ROOM] [--lines | --raw]",
        .summary = "a conversation: shows incoming lines and sends what you type",
        .details =
            "On a terminal it shows members, histories and delivery marks; /help lists its\n"
            "commands. In a pipe it works line by line. With PEER it sends every line to PEER\n"
            "except these:\n"
            "  send NAME TEXT  send a line to NAME (with PEER: only if NAME is a member).\n"
            "                  /send NAME TEXT works too. On a terminal //TEXT sends /TEXT\n"
            "  getu            list the members (on a terminal also /peers)\n"
            "  exit            end the chat, as the end of input does (on a terminal also\n"
            "                  /exit)\n"
            "  --lines         work line by line on a terminal too\n"
            "  --raw           for scripts: print only the lines of PEER, and send the lines\n"
            "                  of the input. It ends with the input if it sent something;\n"
            "                  otherwise it only listens\n",
        .example = "p2pvpnctl chat pi",
        .options = {[CHAT_LINES] = {"lines", 0, false}, [CHAT_RAW] = {"raw", 0, false}},
        .words = {0, 1},
        .run = chat,
    },
    {.name = NULL},
};
