/* SPDX-License-Identifier: MIT */
/* A conversation for scripts: an inbox is asked for whenever the daemon says that there is news, so
 * that a line is marked read only when it was printed. */
#include "ctl/chat/chatraw.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/chat/chatmsg.h"
#include "sys/proc/clock.h"

enum {
    MAX_ASKED = 12,   /* requests without answer; the daemon takes 16 */
    LAST_WAIT_S = 30, /* for answers after the end of the input */
};

struct raw {
    struct pv_cli *cli;
    char peer[PV_NAME_BUF];
    bool ended;  /* the input */
    bool stale;  /* there may be unread messages that were not asked for */
    bool asking; /* an inbox is under way, or (reading) the word that it was printed */
    bool reading;
    uint64_t inbox_id, watch_id, read_id;
    char last[PV_CHAT_ID_TEXT_BUF]; /* message that was printed; "" = none */
    unsigned unsent;                /* lines whose answer is missing */
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
    struct pv_ctlapi_request req;
    pv_ctlapi_request_init(&req, PV_CTLAPI_INBOX, 0);
    memcpy(req.peer, c->peer, strlen(c->peer) + 1);
    /* They become read once they are printed: read_through(). */
    req.peek = true;
    memcpy(req.after, c->last, sizeof(req.after));
    int code = send_request_raw(c, &req);
    c->inbox_id = req.id;
    c->asking = true;
    c->stale = false;
    return code;
}

/* The printed messages, up to the last of these, are read. */
static int read_through(struct raw *c, const json_t *messages)
{
    struct pv_ctlapi_request req;
    size_t n = json_array_size(messages);
    if (n == 0 || fflush(c->cli->out) != 0)
        return 0;
    snprintf(c->last, sizeof(c->last), "%s",
             pv_json_text(json_array_get(messages, n - 1), "id", ""));
    pv_ctlapi_request_init(&req, PV_CTLAPI_READ, 0);
    memcpy(req.peer, c->peer, strlen(c->peer) + 1);
    memcpy(req.through, c->last, sizeof(req.through));
    int code = send_request_raw(c, &req);
    c->read_id = req.id;
    c->asking = c->reading = true; /* the next inbox waits for it */
    return code;
}

static int ask_watch(struct raw *c)
{
    struct pv_ctlapi_request req;
    pv_ctlapi_request_init(&req, PV_CTLAPI_WATCH, 0);
    /* Without "seen" the messages stay unread until the inbox gives them. */
    memcpy(req.word, "chat", sizeof("chat"));
    int code = send_request_raw(c, &req);
    c->watch_id = req.id;
    return code;
}

/* --- in ------------------------------------------------------------------------------------ */

/* Is it a line of this conversation? A room's text has another audience than one of the same peer,
 * and everybody in a room speaks there. */
static bool is_of_it(const struct raw *c, const json_t *msg)
{
    const char *room = pv_json_text(msg, "room", NULL);
    return strcmp(room != NULL ? room : pv_json_text(msg, "from", ""), c->peer) == 0;
}

static int print_inbox(struct raw *c, const json_t *body)
{
    const json_t *msg;
    size_t i;
    json_array_foreach(json_object_get(body, "messages"), i, msg)
    {
        const char *text = pv_json_text(msg, "text", "");
        if (!is_of_it(c, msg))
            continue;
        if (c->cli->client.exact)
            fputs(text, c->cli->out);
        else
            pv_show_text(c->cli->out, text);
        fputc('\n', c->cli->out);
        c->printed++;
    }
    /* The daemon gives a page at a time. */
    c->stale = c->stale || pv_json_bool(body, "more");
    return read_through(c, json_object_get(body, "messages"));
}

static int take_reply(void *ctx, const struct pv_ctlapi_reply *reply)
{
    struct raw *c = ctx;
    if (reply->is_event) {
        const json_t *msg = json_object_get(reply->body, "message");
        if (is_of_it(c, msg))
            /* The event says only that there is news. The inbox tells it, and in the right
             * order. */
            c->stale = true;
        return 0;
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
        pv_cli_complain(c->cli, c->code, reply->error);
        return reply->id == c->watch_id || reply->id == c->inbox_id ? c->code : 0;
    }
    return reply->id == c->inbox_id ? print_inbox(c, reply->body) : 0;
}

/* --- out ----------------------------------------------------------------------------------- */

static int send_line(struct raw *c)
{
    struct pv_ctlapi_request req;
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
    if (too_long || !pv_chat_text_is_valid(pv_view(in->line, len))) {
        c->code = pv_cli_usage(c->cli, "a line was not sent: it must be 1 to %d bytes of UTF-8",
                               PV_CHAT_TEXT_MAX);
        return 0;
    }
    pv_ctlapi_request_init(&req, PV_CTLAPI_SEND, 0);
    memcpy(req.peer, c->peer, strlen(c->peer) + 1);
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
    return c->ended && c->sent > 0 && c->unsent == 0 && !c->asking && !c->stale;
}

static int poll_time(pv_ns deadline)
{
    pv_ns now = pv_clock_now();
    if (deadline == PV_NEVER)
        return -1;
    pv_ns ms = deadline > now ? (deadline - now) / PV_MS(1) + 1 : 0;
    return ms > INT_MAX ? INT_MAX : (int)ms;
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
            {.fd = c->cli->client.fd, .events = POLLIN},
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
        int n = poll(p, PV_ARRAY_LEN(p), poll_time(deadline));
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

int pv_chatraw(struct pv_cli *cli)
{
    if (cli->args.n_words == 0)
        return pv_cli_usage(cli, "--raw needs PEER or #ROOM: whose lines?");
    struct raw *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return pv_cli_no_memory(cli);
    c->cli = cli;
    /* A pipe gets the bytes as they were sent; only a terminal must be kept from obeying them. */
    cli->client.exact = !isatty(fileno(cli->out));
    int code = pv_chat_peer_name(cli, cli->args.word[0], c->peer);
    if (code == 0 && c->peer[0] == '\0')
        code = pv_cli_fail(cli, PV_CTLAPI_UNKNOWN_PEER, "%s: no other member has this name",
                           cli->args.word[0]);
    cli->cached = false; /* messages go to disk first; whether they can leave now is not asked */
    if (code == 0)
        /* The watch comes first: a message that arrives before the inbox is asked for is then
         * told by an event. */
        code = ask_watch(c);
    if (code == 0)
        code = ask_inbox(c);
    if (code == 0)
        code = converse(c);
    free(c);
    return code;
}
