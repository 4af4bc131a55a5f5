/* SPDX-License-Identifier: MIT */
/* The commands send, inbox, history and chat. A conversation by lines is chatline.c, one for
 * scripts chatraw.c, one on a terminal tui.c. */
#include <stdlib.h>
#include <string.h>

#include "ctl/chat/chatcmds.h"
#include "ctl/chat/chatline.h"
#include "ctl/chat/chatmsg.h"
#include "ctl/chat/chatraw.h"
#include "ctl/tui/tui.h"
#include "sys/proc/clock.h"

/* --- send ---------------------------------------------------------------------------------- */

/* The words with one blank between them, or all of standard input for "-" alone; a string one byte
 * longer than allowed stands for everything that is too long. NULL without memory. */
static char *take_text(struct pv_cli *cli)
{
    char *text = calloc(1, PV_CHAT_TEXT_MAX + 2);
    size_t n = 0;
    if (text == NULL)
        return NULL;
    /* Only "-" alone stands for the input: in a longer text it is a dash. */
    if (cli->args.n_words == 2 && strcmp(cli->args.word[1], "-") == 0) {
        n = fread(text, 1, PV_CHAT_TEXT_MAX + 1, cli->in);
        /* The newline of "echo" is the shell's, not the writer's. */
        if (n > 0 && text[n - 1] == '\n')
            text[n - 1] = '\0';
        return text;
    }
    for (int i = 1; i < cli->args.n_words; i++) {
        const char *word = cli->args.word[i];
        for (const char *p = i == 1 ? "" : " "; *p != '\0' && n <= PV_CHAT_TEXT_MAX; p++)
            text[n++] = *p;
        for (const char *p = word; *p != '\0' && n <= PV_CHAT_TEXT_MAX; p++)
            text[n++] = *p;
    }
    return text;
}

static int print_sent(struct pv_cli *cli, const json_t *body)
{
    const char *to = cli->args.word[0];
    if (cli->quiet)
        return 0;
    if (pv_json_bool(body, "online"))
        fprintf(cli->out, "sent to %s\n", to);
    else if (to[0] == '#')
        fprintf(cli->out, "queued: nobody of %s is online; they get it when they are back\n", to);
    else
        fprintf(cli->out, "queued: %s is offline and gets it when it is back\n", to);
    return 0;
}

static int send_text(struct pv_cli *cli)
{
    struct pv_ctlapi_request req;
    pv_ctlapi_request_init(&req, PV_CTLAPI_SEND, 0);
    int code = pv_cli_peer(cli, &req, cli->args.word[0]);
    if (code == 0) {
        req.text = take_text(cli);
        if (req.text == NULL)
            code = pv_cli_no_memory(cli);
        else if (!pv_chat_text_is_valid(pv_view(req.text, strlen(req.text))))
            code = pv_cli_usage(cli, "the text must be 1 to %d bytes of UTF-8", PV_CHAT_TEXT_MAX);
    }
    if (code == 0)
        code = pv_cli_ask_and_print(cli, &req, print_sent);
    pv_ctlapi_request_done(&req);
    return code;
}

/* --- inbox, history ------------------------------------------------------------------------ */

static void print_messages(struct pv_cli *cli, const json_t *list, bool with_receiver)
{
    const json_t *msg;
    size_t i;
    json_array_foreach(list, i, msg)
    {
        pv_chat_print(cli, msg, with_receiver);
    }
}

/* Asks until there is no more; *ret_body is the first answer with all messages in it. What came
 * before an error is kept: it is marked read already. */
static int fetch_inbox(struct pv_cli *cli, bool peek, json_t **ret_body)
{
    json_t *all = NULL;
    for (;;) {
        struct pv_ctlapi_request req;
        json_t *body = NULL;
        pv_ctlapi_request_init(&req, PV_CTLAPI_INBOX, 0);
        req.peek = peek;
        int code = pv_cli_ask(cli, &req, &body);
        bool more = code == 0 && pv_json_bool(body, "more");
        if (code == 0)
            /* "more" is about the first answer alone, and all answers become one. */
            json_object_del(body, "more");
        if (code == 0 && all != NULL)
            json_array_extend(json_object_get(all, "messages"), json_object_get(body, "messages"));
        if (all == NULL)
            all = body;
        else
            json_decref(body);
        *ret_body = all;
        /* With peek nothing becomes read, so the next page would be the first one again. */
        if (code != 0 || !more || peek)
            return code;
    }
}

static int inbox(struct pv_cli *cli)
{
    bool peek = cli->args.value[0] != NULL;
    json_t *body = NULL;
    int code = fetch_inbox(cli, peek, &body);
    /* Messages of an answer before the error are printed: the daemon will not give them again. */
    if (body != NULL && cli->json)
        pv_cli_print_json(cli, body);
    else if (body != NULL)
        print_messages(cli, json_object_get(body, "messages"), false);
    if (code == 0 && json_array_size(json_object_get(body, "messages")) == 0 && !cli->json)
        pv_cli_note(cli, "no new messages");
    json_decref(body);
    return code;
}

static int history(struct pv_cli *cli)
{
    struct pv_ctlapi_request req;
    json_t *body = NULL;
    uint64_t limit = 0;
    int code = 0;
    pv_ctlapi_request_init(&req, PV_CTLAPI_HISTORY, 0);
    if (cli->args.n_words > 0)
        code = pv_cli_peer(cli, &req, cli->args.word[0]);
    if (code == 0 && cli->args.value[0] != NULL) {
        code = pv_cli_number(cli, "-n", cli->args.value[0], 1, PV_CTLAPI_MAX_HISTORY, &limit);
        req.limit = (uint32_t)limit;
    }
    if (code == 0)
        code = pv_cli_ask(cli, &req, &body);
    if (code != 0)
        return code;
    json_object_del(body, "more"); /* the limit was asked for */
    if (cli->json)
        pv_cli_print_json(cli, body);
    else
        print_messages(cli, json_object_get(body, "messages"), true);
    json_decref(body);
    return 0;
}

/* --- chat ---------------------------------------------------------------------------------- */

enum {
    CHAT_LINES,
    CHAT_RAW,
};

/* The interface for a terminal. */
static int on_terminal(struct pv_cli *cli)
{
    char name[PV_NAME_BUF] = "";
    int code = 0;
    if (cli->args.n_words > 0)
        /* An address or an alias becomes the name that the daemon uses in its events. */
        code = pv_chat_peer_name(cli, cli->args.word[0], name);
    cli->cached = false; /* of that answer; the chat says itself who is there */
    return code != 0 ? code : pv_tui_run(cli, name[0] == '\0' ? NULL : name);
}

static int chat(struct pv_cli *cli)
{
    int code = pv_cli_connect(cli);
    if (code != 0)
        return code;
    if (cli->args.value[CHAT_RAW] != NULL)
        return pv_chatraw(cli);
    if (cli->args.value[CHAT_LINES] == NULL && pv_tui_is_possible(cli))
        return on_terminal(cli);
    return pv_chatline(cli);
}

const struct pv_command pv_cmds_chat[] = {
    {
        .name = "send",
        .args = "PEER|#ROOM TEXT...|-",
        .summary = "send a line to PEER or a room; waits here when PEER is away",
        .details =
            "Flags stand before PEER: what follows is text. - reads it from standard input.\n"
            "Done (exit code 0) when the message is on this node's disk.\n",
        .example = "p2pvpnctl send pi see you at 8",
        .min_words = 2,
        .max_words = PV_ARGS_MAX_WORDS,
        .verbatim_after = 1,
        .run = send_text,
    },
    {
        .name = "inbox",
        .args = "[--peek]",
        .summary = "unread messages, oldest first; marks them read",
        .details = "  --peek          leave them unread\n",
        .example = "p2pvpnctl inbox",
        .options = {{"peek", 0, false}},
        .run = inbox,
    },
    {
        .name = "history",
        .args = "[PEER|#ROOM] [-n N]",
        .summary = "messages sent and received, oldest first",
        .details = "  -n, --lines N   the newest N (100)\n",
        .example = "p2pvpnctl history pi -n 20",
        .options = {{"lines", 'n', true}},
        .max_words = 1,
        .run = history,
    },
    {
        .name = "chat",
        .args = "[PEER|#ROOM] [--lines | --raw]",
        .summary = "a conversation: shows what comes in, sends what is typed",
        .details =
            "On a terminal with a roster, histories and delivery marks (/help says more);\n"
            "in a pipe line by line: with PEER every line goes there. In any case:\n"
            "  send NAME TEXT  send a line\n"
            "  getu            who is there\n"
            "  exit            end (so does the end of the input)\n"
            "  --lines         line by line on a terminal too\n"
            "  --raw           for scripts, with PEER: prints nothing but its lines and\n"
            "                  sends those of the input, like nc on port 2047. Ends with the\n"
            "                  input when something was sent, else only listens\n",
        .example = "p2pvpnctl chat pi",
        .options = {[CHAT_LINES] = {"lines", 0, false}, [CHAT_RAW] = {"raw", 0, false}},
        .max_words = 1,
        .run = chat,
    },
    {.name = NULL},
};
