/* SPDX-License-Identifier: MIT */
/* One command line of p2pvpnctl: takes it apart by the table of commands, prints help, and runs the
 * command. */
#include "ctl/run.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/text.h"
#include "ctl/commands.h"
#include "ctl/help.h"

enum {
    MAX_TIMEOUT_S = 86400, /* of --timeout: ours, a day */
};

/* Options of every command; in a command's table its own come after them. */
enum {
    OPT_SOCKET,
    OPT_NET,
    OPT_JSON,
    OPT_TIMEOUT,
    OPT_QUIET,
    OPT_LONG,
    OPT_HELP,
    OPT_VERSION,
    N_GLOBAL,
};
const struct pv_option pv_global_options[N_GLOBAL + 1] = {
    [OPT_SOCKET] = {"socket", 'S', true},    [OPT_NET] = {"net", 'n', true},
    [OPT_JSON] = {"json", 'j', false},       [OPT_TIMEOUT] = {"timeout", 't', true},
    [OPT_QUIET] = {"quiet", 'q', false},     [OPT_HELP] = {"help", 'h', false},
    [OPT_VERSION] = {"version", 'V', false}, [OPT_LONG] = {"long", 'l', false},
    [N_GLOBAL] = {NULL, 0, false},
};

/* --- the command line ---------------------------------------------------------------------- */

/* Commands that are to be typed mean the node that was asked: by the name of its network, unless
 * that is this user's own and the machine's was asked. */
static void name_flag(struct pv_cli *cli)
{
    struct pv_instance meant;
    const char *name = cli->node.name;
    if (cli->node.is_usual && pv_instance_find(name, &meant) == PV_OK && meant.is_user)
        snprintf(cli->flag, sizeof(cli->flag), "-S %s", cli->node.socket);
    else if (name[0] != '\0')
        snprintf(cli->flag, sizeof(cli->flag), "-n %s", name);
}

/* Which of this machine's nodes is meant. */
static int pick_node(struct pv_cli *cli, const char *net, const char *socket)
{
    if (net != NULL && socket != NULL)
        return pv_cli_usage(cli, "--net and --socket name one node each: give one of them");
    if (net != NULL && pv_instance_find(net, &cli->node) < 0)
        return pv_cli_usage(cli,
                            "--net \"%.40s\": a network's name here has 1 to 11 of a-z, 0-9 and "
                            "-, such as work, and is neither p2pvpnd nor coordinator",
                            net);
    if (socket != NULL && pv_instance_behind(socket, &cli->node) < 0)
        return pv_cli_usage(cli, "--socket: the path is too long");
    cli->client.own = cli->node.is_user;
    name_flag(cli);
    return 0;
}

/* Takes the values of the options every command has. */
static int use_globals(struct pv_cli *cli, const struct pv_args *args)
{
    const char *timeout = args->value[OPT_TIMEOUT];
    int code = pick_node(cli, args->value[OPT_NET], args->value[OPT_SOCKET]);
    if (code != 0)
        return code;
    /* A flag counts before the command and behind it: either one is enough. */
    cli->json = cli->json || args->value[OPT_JSON] != NULL;
    cli->quiet = cli->quiet || args->value[OPT_QUIET] != NULL;
    cli->all = cli->all || args->value[OPT_LONG] != NULL;
    if (timeout == NULL)
        return 0;
    char *end = NULL;
    double s = strtod(timeout, &end);
    /* The negated comparison also refuses NaN, which strtod() reads. */
    if (end == timeout || *end != '\0' || !(s >= 0.001 && s <= MAX_TIMEOUT_S))
        return pv_cli_usage(cli, "--timeout \"%.40s\": give seconds, from 0.001 to %d", timeout,
                            MAX_TIMEOUT_S);
    cli->timeout = (pv_ns)(s * 1e9);
    return 0;
}

/* The rest are words, whatever they look like. */
static bool take_rest(struct pv_args *args, const struct pv_args_rest *rest)
{
    for (int i = 0; i < rest->argc; i++) {
        if (args->n_words == PV_ARGS_MAX_WORDS)
            return false;
        args->word[args->n_words++] = rest->argv[i];
    }
    return true;
}

/* A line that is not understood is not read to its end, where --json may stand. */
static bool asks_for_json(const struct pv_args_rest *rest)
{
    for (int i = 0; i < rest->argc; i++) {
        if (strcmp(rest->argv[i], "--json") == 0 || strcmp(rest->argv[i], "-j") == 0)
            return true;
    }
    return false;
}

/* No command is to run: these were asked for behind its name. */
enum {
    ASKS_HELP = -1,
    ASKS_VERSION = -2,
};

/* Parses what stands behind the command's name; asks_help: help was asked for before it. 0, an exit
 * code, or one of these. */
static int parse_command(struct pv_cli *cli, struct pv_args_rest *rest, bool asks_help)
{
    _Static_assert((int)N_GLOBAL + (int)PV_COMMAND_OPTIONS <= (int)PV_ARGS_MAX_OPTIONS, "table");
    struct pv_option table[PV_ARGS_MAX_OPTIONS];
    char error[PV_ARGS_ERROR];
    struct pv_args args = {.n_words = 0};
    size_t n = N_GLOBAL;
    const struct pv_command *c = cli->cmd;

    memcpy(table, pv_global_options, N_GLOBAL * sizeof(table[0]));
    for (const struct pv_option *o = c->options; o->name != NULL; o++)
        table[n++] = *o;
    /* Behind this many words everything is a word: chat texts may begin with "-". */
    int look_at = c->verbatim_after > 0 ? c->verbatim_after : PV_ARGS_MAX_WORDS;
    int r = pv_args_parse(&args, table, n, look_at, rest, error);
    if (r == PV_OK && !take_rest(&args, rest)) {
        snprintf(error, sizeof(error), "more than %d words", PV_ARGS_MAX_WORDS);
        r = PV_ERR_LIMIT;
    }
    cli->json = cli->json || args.value[OPT_JSON] != NULL || (r < 0 && asks_for_json(rest));
    if (r < 0)
        return pv_cli_usage(cli, "%s", error);
    /* Help comes before the checks of the arguments: whoever asks for it may not know them. */
    if (asks_help || args.value[OPT_HELP] != NULL)
        return ASKS_HELP;
    if (args.value[OPT_VERSION] != NULL)
        return ASKS_VERSION;
    int code = use_globals(cli, &args);
    if (code != 0)
        return code;
    if (c->endless && (code = pv_cli_endless(cli, c->name)) != 0)
        return code;
    cli->args = args;
    if (args.n_words < c->words.min)
        return pv_cli_missing(cli);
    if (args.n_words > c->words.max)
        return pv_cli_usage(cli, "%.60s is one word too many. Usage: p2pvpnctl %s%s%s",
                            args.word[c->words.max], c->name, c->args[0] == '\0' ? "" : " ",
                            c->args);
    /* The command's own options move to the front: its enum counts from 0 and knows no globals. */
    memmove(cli->args.value, args.value + N_GLOBAL,
            (PV_ARGS_MAX_OPTIONS - N_GLOBAL) * sizeof(args.value[0]));
    return 0;
}

/* It guesses and runs nothing: another command may have been meant, and some remove. It offers help
 * to be typed, by which nobody changes anything. */
static int unknown_command(struct pv_cli *cli, const char *name)
{
    const struct pv_command *like = pv_command_like(name);
    if (like == NULL)
        return pv_cli_usage(cli, "unknown command \"%.60s\"", name);
    pv_cli_complain(cli, PV_CTLAPI_USAGE,
                    PV_STR("unknown command \"%.60s\": did you mean %s? Help: `p2pvpnctl %s -h`",
                           name, like->name, like->name));
    return PV_CTLAPI_USAGE;
}

/* "help" and "help COMMAND", for fingers that know it from other programs. */
static int help(struct pv_cli *cli, const struct pv_args_rest *rest)
{
    const struct pv_command *c = rest->argc > 0 ? pv_command_find(rest->argv[0]) : NULL;
    if (rest->argc > 0 && c == NULL)
        return unknown_command(cli, rest->argv[0]);
    if (c == NULL)
        pv_help_overview(cli->out);
    else
        pv_help_command(c, cli->out);
    return PV_CTLAPI_DONE;
}

/* The exit code ends a script whose variable was empty. */
static int no_command(struct pv_cli *cli)
{
    if (cli->json)
        return pv_cli_usage(cli, "no command given");
    int code = pv_help_first(cli);
    return code == 0 ? PV_CTLAPI_USAGE : code;
}

static int print_version(struct pv_cli *cli)
{
    fputs("p2pvpnctl " PV_VERSION "\n", cli->out);
    return PV_CTLAPI_DONE;
}

/* Flags before the command first, for they may be the whole line (--help, --version); the command's
 * name says how the rest is read. */
static int run_line(struct pv_cli *cli, struct pv_args_rest *rest)
{
    struct pv_args args = {.n_words = 0};
    char error[PV_ARGS_ERROR];
    int r = pv_args_parse(&args, pv_global_options, N_GLOBAL, 1, rest, error);
    bool json = args.value[OPT_JSON] != NULL;
    /* Until the command is known nothing but errors can follow. */
    cli->json = json || asks_for_json(rest);
    if (r < 0)
        return pv_cli_usage(cli, "%s", error);
    if (args.value[OPT_HELP] != NULL && args.n_words == 0) {
        pv_help_overview(cli->out);
        return PV_CTLAPI_DONE;
    }
    if (args.value[OPT_VERSION] != NULL)
        return print_version(cli);
    int code = use_globals(cli, &args);
    if (code != 0)
        return code;
    if (args.n_words == 0)
        return no_command(cli);
    if (strcmp(args.word[0], "help") == 0)
        return help(cli, rest);
    cli->cmd = pv_command_find(args.word[0]);
    if (cli->cmd == NULL)
        return unknown_command(cli, args.word[0]);
    cli->json = json;
    /* "p2pvpnctl -h ping" is the same question as "p2pvpnctl ping -h". */
    code = parse_command(cli, rest, args.value[OPT_HELP] != NULL);
    if (code == ASKS_VERSION)
        return print_version(cli);
    if (code == ASKS_HELP) {
        pv_help_command(cli->cmd, cli->out);
        return PV_CTLAPI_DONE;
    }
    cli->client.exact = cli->json;
    if (code == 0)
        code = pv_command_run(cli->cmd, cli);
    /* The answer was printed, but it is old: scripts see that by the exit code. */
    if (code == PV_CTLAPI_DONE && cli->cached) {
        pv_cli_note(cli,
                    "not connected to the coordinator (`p2pvpnctl status` says why): this is what "
                    "was known last");
        code = PV_CTLAPI_UNREACHABLE;
    }
    return code;
}

/* Did the reader of a pipe go away ("| head -1")? It has what it wanted. */
static bool reader_is_gone(FILE *out)
{
    struct pollfd p = {.fd = fileno(out), .events = POLLOUT};
    return p.fd >= 0 && poll(&p, 1, 0) == 1 && (p.revents & POLLERR) != 0;
}

/* How wide a line may be, and how many there are; 0: nobody looks at a pipe. The variables are
 * those of POSIX, Base Definitions 8.3. */
static void measure_screen(FILE *out, size_t *ret_width, size_t *ret_height)
{
    const char *columns = getenv("COLUMNS"), *lines = getenv("LINES");
    struct winsize size = {.ws_col = 0};
    long width = columns == NULL ? 0 : strtol(columns, NULL, 10);
    long height = lines == NULL ? 0 : strtol(lines, NULL, 10);
    if (fileno(out) >= 0)
        (void)ioctl(fileno(out), TIOCGWINSZ, &size);
    *ret_width = width > 0 ? (size_t)width : size.ws_col;
    *ret_height = height > 0 ? (size_t)height : size.ws_row;
}

int pv_cli_run(int argc, char **argv, FILE *in, FILE *out, FILE *err)
{
    struct pv_cli cli = {
        .in = in,
        .out = out,
        .err = err,
        .deadline = PV_NEVER,
        .client = {.fd = -1},
        .groups = pv_commands,
    };
    struct pv_args_rest rest = {.argc = argc - 1, .argv = argv + 1};
    (void)!pv_instance_find("", &cli.node);
    size_t unused;
    const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");
    /* NO_COLOR counts when it is set and not empty (no-color.org). */
    measure_screen(out, &cli.screen.width, &cli.screen.height);
    measure_screen(err, &cli.err_width, &unused);
    cli.screen.dumb = term == NULL || term[0] == '\0' || strcmp(term, "dumb") == 0;
    cli.screen.colour = fileno(out) >= 0 && isatty(fileno(out)) && !cli.screen.dumb &&
                        (no_colour == NULL || no_colour[0] == '\0');

    int code = run_line(&cli, &rest);
    pv_client_close(&cli.client);
    /* A full disk or a closed pipe must not look like success. */
    if ((fflush(out) != 0 || ferror(out)) && code == PV_CTLAPI_DONE && !reader_is_gone(out)) {
        fprintf(err, "p2pvpnctl: cannot write the answer: %s\n", strerror(errno));
        code = PV_CTLAPI_FAILED;
    }
    return code;
}
