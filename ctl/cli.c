/* SPDX-License-Identifier: MIT */
#include "ctl/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "ctl/launch.h"
#include "sys/proc/clock.h"

enum {
    START_S = 15,          /* p2pvpnd must answer so long after it was started */
    MAX_TIMEOUT_S = 86400, /* of --timeout */
};

static const struct pv_command *const GROUPS[] = {
    pv_cmds_network, pv_cmds_node, pv_cmds_info,     pv_cmds_ping,       pv_cmds_chat,
    pv_cmds_files,   pv_cmds_room, pv_cmds_netcheck, pv_cmds_completion,
};

/* Options of every command; in a command's table its own come after them. */
enum {
    OPT_SOCKET,
    OPT_JSON,
    OPT_TIMEOUT,
    OPT_QUIET,
    OPT_HELP,
    OPT_VERSION,
    N_GLOBAL,
};
static const struct pv_option GLOBAL[N_GLOBAL] = {
    [OPT_SOCKET] = {"socket", 'S', true},   [OPT_JSON] = {"json", 'j', false},
    [OPT_TIMEOUT] = {"timeout", 't', true}, [OPT_QUIET] = {"quiet", 'q', false},
    [OPT_HELP] = {"help", 'h', false},      [OPT_VERSION] = {"version", 'V', false},
};

/* --- telling the user ---------------------------------------------------------------------- */

static void complain(struct pv_cli *cli, const char *fmt, va_list ap) PV_PRINTF(2, 0);
static void complain(struct pv_cli *cli, const char *fmt, va_list ap)
{
    char text[1024];
    vsnprintf(text, sizeof(text), fmt, ap);
    fputs("p2pvpnctl: ", cli->err);
    pv_show_text(cli->err, text);
    fputc('\n', cli->err);
}

static void complain_line(struct pv_cli *cli, const char *fmt, ...) PV_PRINTF(2, 3);
static void complain_line(struct pv_cli *cli, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    complain(cli, fmt, ap);
    va_end(ap);
}

int pv_cli_fail(struct pv_cli *cli, enum pv_ctlapi_code code, const char *fmt, ...)
{
    char text[900];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    complain_line(cli, "%s: %s", cli->cmd->name, text);
    return (int)code;
}

int pv_cli_usage(struct pv_cli *cli, const char *fmt, ...)
{
    char text[900];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (cli->cmd == NULL)
        complain_line(cli, "%s: p2pvpnctl -h lists what there is", text);
    else
        complain_line(cli, "%s: %s: see p2pvpnctl %s -h", cli->cmd->name, text, cli->cmd->name);
    return PV_CTLAPI_USAGE;
}

void pv_cli_note(struct pv_cli *cli, const char *fmt, ...)
{
    char text[900];
    va_list ap;
    if (cli->quiet)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    pv_show_text(cli->err, text);
    fputc('\n', cli->err);
}

/* --- arguments ----------------------------------------------------------------------------- */

int pv_cli_peer(struct pv_cli *cli, struct pv_ctlapi_request *req, const char *word)
{
    size_t len = strlen(word);
    bool good = len > 0 && len < sizeof(req->peer);
    for (size_t i = 0; i < len; i++)
        good = good && word[i] > ' ' && word[i] <= '~';
    if (!good)
        return pv_cli_usage(cli, "\"%.60s\" is no peer: give a name, overlay address or key", word);
    memcpy(req->peer, word, len + 1);
    cli->peer = word;
    return 0;
}

int pv_cli_name(struct pv_cli *cli, const char *flag, const char *text, char *dst)
{
    char name[PV_NAME_BUF];
    if (pv_name_parse(text, strlen(text), name) < 0)
        return pv_cli_usage(cli,
                            "--%s \"%.80s\" is no name: use 1 to 63 of a-z 0-9 and -, not at the "
                            "ends, not localhost",
                            flag, text);
    memcpy(dst, name, sizeof(name));
    return 0;
}

int pv_cli_number(struct pv_cli *cli, const char *flag, const char *text, uint64_t min,
                  uint64_t max, uint64_t *ret_value)
{
    if (pv_u64_parse(text, min, max, ret_value) < 0)
        return pv_cli_usage(cli, "%s \"%.40s\": give a whole number from %llu to %llu", flag, text,
                            (unsigned long long)min, (unsigned long long)max);
    return 0;
}

void pv_cli_set_timeout(struct pv_cli *cli, unsigned seconds)
{
    pv_ns wait = cli->timeout != 0 ? cli->timeout : PV_S(seconds);
    cli->deadline = wait == 0 ? PV_NEVER : pv_clock_now() + wait;
}

/* --- the daemon ---------------------------------------------------------------------------- */

int pv_cli_connect(struct pv_cli *cli)
{
    if (cli->client.fd >= 0)
        return 0;
    int r = pv_client_open(&cli->client, cli->socket);
    if (r == PV_OK)
        return 0;
    if (r == PV_ERR_NOT_FOUND)
        return pv_cli_fail(cli, PV_CTLAPI_NOT_RUNNING,
                           "p2pvpnd is not running (nobody answers at %s): start it as root: "
                           "p2pvpnd &",
                           cli->socket);
    if (r == -EACCES)
        return pv_cli_fail(cli, PV_CTLAPI_PERMISSION,
                           "not allowed to use %s: use sudo, or join the group p2pvpn",
                           cli->socket);
    return pv_cli_fail(cli, PV_CTLAPI_NOT_RUNNING, "cannot use %s: %s: is the path right?",
                       cli->socket, pv_strstatus(r));
}

int pv_cli_connect_or_start(struct pv_cli *cli)
{
    struct pv_launch launch;
    int r = pv_client_open(&cli->client, cli->socket);
    if (r == PV_OK)
        return 0;
    if (r != PV_ERR_NOT_FOUND || geteuid() != 0)
        return pv_cli_connect(cli); /* which tells why not */
    if (pv_launch_daemon(&launch, cli->socket, pv_clock_now() + PV_S(START_S)) < 0)
        return pv_cli_fail(cli, PV_CTLAPI_NOT_RUNNING, "p2pvpnd is not running: %s", launch.why);
    pv_cli_note(cli, "p2pvpnd was not running: started %s (process %d, log in %s)", launch.program,
                launch.pid, launch.log);
    return pv_cli_connect(cli);
}

int pv_cli_lost(struct pv_cli *cli, int status)
{
    switch (status) {
    case PV_ERR_TIMEOUT:
        if (cli->peer != NULL)
            return pv_cli_fail(cli, PV_CTLAPI_TIMEOUT,
                               "no answer in time: `p2pvpnctl why %s` says what stands in the way; "
                               "--timeout gives it longer",
                               cli->peer);
        return pv_cli_fail(cli, PV_CTLAPI_TIMEOUT,
                           "no answer in time: try again, or give it longer with --timeout");
    case PV_ERR_CLOSED:
        return pv_cli_fail(cli, PV_CTLAPI_NOT_RUNNING,
                           "p2pvpnd ended or closed the connection: see its log");
    case PV_ERR_MALFORMED:
        return pv_cli_fail(cli, PV_CTLAPI_FAILED,
                           "%s does not speak p2pvpnd's language: is the "
                           "path right?",
                           cli->socket);
    default:
        return pv_cli_fail(cli, PV_CTLAPI_FAILED, "talking to p2pvpnd failed: %s",
                           pv_strstatus(status));
    }
}

/* The daemon's text begins with the request's name ("file_send"), where users know the command's.
 */
static void complain_of(struct pv_cli *cli, enum pv_ctlapi_cmd cmd, const char *text)
{
    const char *wire = pv_ctlapi_cmd_name(cmd);
    size_t len = strlen(wire);
    if (cli->cmd != NULL && strncmp(text, wire, len) == 0 && strncmp(text + len, ": ", 2) == 0)
        complain_line(cli, "%s%s", cli->cmd->name, text + len);
    else
        complain_line(cli, "%s", text);
}

/* Takes the answer apart. 0: its body is *ret_body. */
static int finish(struct pv_cli *cli, enum pv_ctlapi_cmd cmd, struct pv_ctlapi_reply *reply,
                  json_t **ret_body)
{
    if (!reply->ok) {
        complain_of(cli, cmd, reply->error);
        int code = (int)reply->code;
        pv_ctlapi_reply_done(reply);
        return code;
    }
    cli->cached = cli->cached || reply->code == PV_CTLAPI_UNREACHABLE;
    *ret_body = json_incref(reply->body);
    pv_ctlapi_reply_done(reply);
    return 0;
}

int pv_cli_call(struct pv_cli *cli, struct pv_ctlapi_request *req, pv_cli_event_fn *on_event,
                void *ctx, json_t **ret_body)
{
    req->id = ++cli->last_id;
    int r = pv_client_send(&cli->client, req, cli->deadline);
    while (r == PV_OK) {
        struct pv_ctlapi_reply reply;
        r = pv_client_next(&cli->client, cli->deadline, &reply);
        if (r < 0)
            break;
        if (reply.is_event && reply.id == req->id && on_event != NULL)
            on_event(cli, &reply, ctx);
        else if (!reply.is_event && (reply.id == req->id || reply.id == UINT64_MAX))
            return finish(cli, req->cmd, &reply, ret_body);
        pv_ctlapi_reply_done(&reply);
    }
    return pv_cli_lost(cli, r);
}

void pv_cli_print_json(struct pv_cli *cli, json_t *body)
{
    static const char *const envelope[] = {"id", "ok", "code"};
    size_t len = 0;
    for (size_t i = 0; i < PV_ARRAY_LEN(envelope); i++)
        json_object_del(body, envelope[i]);
    char *line = pv_ctlapi_dump(body, &len);
    if (line != NULL)
        fwrite(line, 1, len, cli->out);
    free(line);
}

/* --- help ---------------------------------------------------------------------------------- */

static void print_overview(FILE *out)
{
    fputs("p2pvpnctl: use and manage this node of a p2pvpn network\n\n"
          "usage: p2pvpnctl [flags] COMMAND ...\n\n",
          out);
    for (size_t g = 0; g < PV_ARRAY_LEN(GROUPS); g++) {
        for (const struct pv_command *c = GROUPS[g]; c->name != NULL; c++)
            fprintf(out, "  %-10s %s\n", c->name, c->summary);
    }
    fputs("\nflags, before or after the command:\n"
          "  -S, --socket PATH  p2pvpnd's control socket (" PV_CLI_SOCKET ")\n"
          "  -j, --json         answers as JSON, one object a line\n"
          "  -t, --timeout SEC  give up after so long\n"
          "  -q, --quiet        errors only, and what scripts need (tokens, JSON)\n"
          "  -h, --help         help; also for one command: p2pvpnctl ping -h\n"
          "  -V, --version      version of p2pvpnctl; p2pvpnctl version tells p2pvpnd's too\n\n"
          "exit codes: 0 done, 1 failed, 2 usage, 3 timeout, 4 not joined, 5 permission,\n"
          "  6 unknown peer, 7 peer offline, 8 p2pvpnd not running, 9 coordinator unreachable,\n"
          "  10 relayed, 11 refused, 12 token invalid, used up or expired\n",
          out);
}

static void print_help(const struct pv_command *c, FILE *out)
{
    fprintf(out, "p2pvpnctl %s: %s\n\nusage: p2pvpnctl %s%s%s\n", c->name, c->summary, c->name,
            c->args[0] == '\0' ? "" : " ", c->args);
    if (c->details[0] != '\0')
        fprintf(out, "\n%s", c->details);
    fprintf(out, "\nexample: %s\n", c->example);
}

/* --- running ------------------------------------------------------------------------------- */

const struct pv_command *pv_cli_command(size_t i)
{
    for (size_t g = 0; g < PV_ARRAY_LEN(GROUPS); g++) {
        for (const struct pv_command *c = GROUPS[g]; c->name != NULL; c++) {
            if (i-- == 0)
                return c;
        }
    }
    return NULL;
}

static const struct pv_command *find_command(const char *name)
{
    for (size_t g = 0; g < PV_ARRAY_LEN(GROUPS); g++) {
        for (const struct pv_command *c = GROUPS[g]; c->name != NULL; c++) {
            if (strcmp(c->name, name) == 0)
                return c;
        }
    }
    return NULL;
}

/* Takes the values of the options every command has. */
static int use_globals(struct pv_cli *cli, const struct pv_args *args)
{
    const char *timeout = args->value[OPT_TIMEOUT];
    if (args->value[OPT_SOCKET] != NULL)
        cli->socket = args->value[OPT_SOCKET];
    cli->json = cli->json || args->value[OPT_JSON] != NULL;
    cli->quiet = cli->quiet || args->value[OPT_QUIET] != NULL;
    if (timeout == NULL)
        return 0;
    char *end = NULL;
    double s = strtod(timeout, &end);
    if (end == timeout || *end != '\0' || !(s >= 0.001 && s <= MAX_TIMEOUT_S))
        return pv_cli_usage(cli, "--timeout \"%.40s\": give seconds, from 0.001 to %d", timeout,
                            MAX_TIMEOUT_S);
    cli->timeout = (pv_ns)(s * 1e9);
    return 0;
}

/* What is left are words, whatever they look like. */
static bool take_rest(struct pv_args *args, const struct pv_args_rest *rest)
{
    for (int i = 0; i < rest->argc; i++) {
        if (args->n_words == PV_ARGS_MAX_WORDS)
            return false;
        args->word[args->n_words++] = rest->argv[i];
    }
    return true;
}

/* Parses what stands behind the command's name. 0 or an exit code; -1: help was asked for. */
static int parse_command(struct pv_cli *cli, struct pv_args_rest *rest)
{
    struct pv_option table[PV_ARGS_MAX_OPTIONS];
    char error[PV_ARGS_ERROR];
    struct pv_args args = {.n_words = 0};
    size_t n = N_GLOBAL;
    const struct pv_command *c = cli->cmd;

    memcpy(table, GLOBAL, sizeof(GLOBAL));
    for (const struct pv_option *o = c->options; o->name != NULL; o++)
        table[n++] = *o;
    int look_at = c->verbatim_after > 0 ? c->verbatim_after : PV_ARGS_MAX_WORDS;
    int r = pv_args_parse(&args, table, n, look_at, rest, error);
    if (r == PV_OK && !take_rest(&args, rest)) {
        snprintf(error, sizeof(error), "more than %d words", PV_ARGS_MAX_WORDS);
        r = PV_ERR_LIMIT;
    }
    if (r < 0)
        return pv_cli_usage(cli, "%s", error);
    if (args.value[OPT_HELP] != NULL)
        return -1;
    int code = use_globals(cli, &args);
    if (code != 0)
        return code;
    if (args.n_words < c->min_words)
        return pv_cli_usage(cli, "something is missing: usage: p2pvpnctl %s %s", c->name, c->args);
    if (args.n_words > c->max_words)
        return pv_cli_usage(cli, "unexpected \"%.60s\"", args.word[c->max_words]);
    cli->args = args;
    memmove(cli->args.value, args.value + N_GLOBAL,
            (PV_ARGS_MAX_OPTIONS - N_GLOBAL) * sizeof(args.value[0]));
    return 0;
}

static int run_line(struct pv_cli *cli, struct pv_args_rest *rest)
{
    struct pv_args args = {.n_words = 0};
    char error[PV_ARGS_ERROR];
    if (pv_args_parse(&args, GLOBAL, N_GLOBAL, 1, rest, error) < 0)
        return pv_cli_usage(cli, "%s", error);
    if (args.value[OPT_HELP] != NULL && args.n_words == 0) {
        print_overview(cli->out);
        return PV_CTLAPI_DONE;
    }
    if (args.value[OPT_VERSION] != NULL) {
        fputs("p2pvpnctl " PV_VERSION "\n", cli->out);
        return PV_CTLAPI_DONE;
    }
    int code = use_globals(cli, &args);
    if (code != 0)
        return code;
    if (args.n_words == 0)
        return pv_cli_usage(cli, "no command given");
    cli->cmd = find_command(args.word[0]);
    if (cli->cmd == NULL)
        return pv_cli_usage(cli, "unknown command \"%.60s\"", args.word[0]);
    code = parse_command(cli, rest);
    if (code < 0 || args.value[OPT_HELP] != NULL) {
        print_help(cli->cmd, cli->out);
        return PV_CTLAPI_DONE;
    }
    if (code == 0)
        code = cli->cmd->run(cli);
    if (code == PV_CTLAPI_DONE && cli->cached) {
        pv_cli_note(cli, "the coordinator is unreachable: this is what was known last");
        code = PV_CTLAPI_UNREACHABLE;
    }
    return code;
}

int pv_cli_run(int argc, char **argv, FILE *in, FILE *out, FILE *err)
{
    struct pv_cli cli = {
        .in = in,
        .out = out,
        .err = err,
        .socket = PV_CLI_SOCKET,
        .deadline = PV_NEVER,
        .client = {.fd = -1},
    };
    struct pv_args_rest rest = {.argc = argc - 1, .argv = argv + 1};
    const char *no_colour = getenv("NO_COLOR");
    cli.colour =
        fileno(out) >= 0 && isatty(fileno(out)) && (no_colour == NULL || no_colour[0] == '\0');

    int code = run_line(&cli, &rest);
    pv_client_close(&cli.client);
    if ((fflush(out) != 0 || ferror(out)) && code == PV_CTLAPI_DONE) {
        fprintf(err, "p2pvpnctl: cannot write the answer: %s\n", strerror(errno));
        code = PV_CTLAPI_FAILED;
    }
    return code;
}
