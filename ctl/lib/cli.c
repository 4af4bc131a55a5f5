/* SPDX-License-Identifier: MIT */
/* The parts that commands of p2pvpnctl share: requests to p2pvpnd with their errors told, and
 * arguments. */
#include "ctl/lib/cli.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "crypto/ct.h"
#include "ctl/lib/launch.h"
#include "ctl/lib/systemd.h"
#include "ctl/lib/unroot.h"
#include "nss/find.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/local/harmless.h"
#include "proto/local/remedy.h"
#include "sys/proc/clock.h"

enum {
    SOON_S = 2,     /* ours: after that a user wants to know what is waited for */
    AGAIN_MS = 100, /* ours: until a client that was sent away comes again */
    WAIT_S = 30,  /* ours: for an answer that may need the coordinator, unless --timeout is given */
    START_S = 15, /* until a p2pvpnd that was started has to answer */
    FIRST_S = 2,  /* ours: for what the first network is called */
};

/* --- telling the user ---------------------------------------------------------------------- */

const char *pv_cli_name_commands(const struct pv_cli *cli, const char *text, char *dst, size_t cap)
{
    pv_remedy_name(cli->flag, cli->node.is_user, text, dst, cap);
    return dst;
}

/* Texts may hold words of peers and of whoever answers on the socket: control characters are shown,
 * not sent to the terminal. A script that reads JSON gets errors as JSON, too. */
void pv_cli_complain(struct pv_cli *cli, int code, const char *said)
{
    char text[2048];
    json_t *body = NULL;
    pv_cli_name_commands(cli, said, text, sizeof(text));
    if (cli->json)
        body = pv_ctlapi_pack("{s:i, s:i, s:s}", "format", PV_CTLAPI_FORMAT, "code", code, "error",
                              text);
    size_t len = 0;
    char *line = body != NULL ? pv_harmless_dump(body, &len) : NULL;
    if (line != NULL) {
        fwrite(line, 1, len, cli->err);
    } else {
        char whole[sizeof(text) + sizeof("p2pvpnctl: ")];
        snprintf(whole, sizeof(whole), "p2pvpnctl: %s", text);
        pv_show_text_from(cli->err, whole, 0, cli->err_width);
        fputc('\n', cli->err);
    }
    free(line);
    json_decref(body);
}

static void complain_line(struct pv_cli *cli, int code, const char *fmt, ...) PV_PRINTF(3, 4);
static void complain_line(struct pv_cli *cli, int code, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    pv_cli_complain(cli, code, text);
}

int pv_cli_fail(struct pv_cli *cli, enum pv_ctlapi_code code, const char *fmt, ...)
{
    /* The text is shorter than that of complain_line(), so that the command's name fits before it.
     */
    char text[900];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    complain_line(cli, (int)code, "%s: %s", cli->cmd->name, text);
    return (int)code;
}

int pv_cli_no_memory(struct pv_cli *cli)
{
    return pv_cli_fail(cli, PV_CTLAPI_FAILED, "out of memory");
}

int pv_cli_endless(struct pv_cli *cli, const char *name)
{
    return cli->timeout == 0
               ? 0
               : pv_cli_usage(cli,
                              "--timeout does not end it: `timeout 60 p2pvpnctl %s ...` does; nc, "
                              "ping and wait are among those that take --timeout",
                              name);
}

int pv_cli_usage(struct pv_cli *cli, const char *fmt, ...)
{
    char text[900];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    size_t len = strlen(text);
    const char *end = len > 0 && strchr("?.", text[len - 1]) != NULL ? "" : ".";
    if (cli->cmd == NULL)
        complain_line(cli, PV_CTLAPI_USAGE, "%s%s Help: `p2pvpnctl -h`", text, end);
    else
        complain_line(cli, PV_CTLAPI_USAGE, "%s: %s%s Help: `p2pvpnctl %s -h`", cli->cmd->name,
                      text, end, cli->cmd->name);
    return PV_CTLAPI_USAGE;
}

/* --- words that are missing ------------------------------------------------------------------ */

/* The length of the first of "a [b|c] | d", up to a bar between blanks that is in no bracket. */
static size_t alternative(const char *args)
{
    size_t n = 0;
    for (int depth = 0; args[n] != '\0'; n++) {
        depth += args[n] == '[' ? 1 : args[n] == ']' ? -1 : 0;
        if (depth == 0 && strncmp(args + n, " | ", 3) == 0)
            break;
    }
    return n;
}

/* The next word of an alternative that has to be given, behind *at; its length in *ret_len. NULL:
 * there is none. */
static const char *next_required(const char *end, const char **at, size_t *ret_len)
{
    for (const char *p = *at; p < end; p += p < end) {
        const char *word = p;
        int depth = 0;
        for (; p < end && (depth > 0 || *p != ' '); p++)
            depth += *p == '[' ? 1 : *p == ']' ? -1 : 0;
        *ret_len = (size_t)(p - word);
        *at = p + (p < end);
        if (*word != '[' && *word != '-')
            return word;
    }
    return NULL;
}

/* Does what was typed stand in the place of this word of the usage? Capitals stand for anything. */
static bool fits(const char *word, size_t len, const char *typed)
{
    for (size_t i = 0; i < len; i++)
        if ((word[i] >= 'A' && word[i] <= 'Z') || word[i] == '|')
            return true;
    return strlen(typed) == len && strncmp(word, typed, len) == 0;
}

/* The word of this alternative that was not typed. NULL: other words were, or none is missing. */
static const char *missing_of(const struct pv_cli *cli, const char *at, const char *end,
                              size_t *ret_len)
{
    const char *word;
    for (int i = 0; (word = next_required(end, &at, ret_len)) != NULL; i++) {
        if (i >= cli->args.n_words)
            return word;
        if (!fits(word, *ret_len, cli->args.word[i]))
            return NULL;
    }
    return NULL;
}

int pv_cli_missing(struct pv_cli *cli)
{
    const char *args = cli->cmd->args, *word = NULL;
    const bool rooms = strstr(args, "#ROOM") != NULL; /* to a shell #crew begins a comment */
    size_t len = 0;
    args += args[0] == '[' && strstr(args, " | ") != NULL && alternative(args) == strlen(args);
    for (const char *at = args; word == NULL && *at != '\0';) {
        size_t n = alternative(at);
        word = missing_of(cli, at, at + n, &len);
        at += n + (at[n] == '\0' ? 0 : 3);
    }
    char name[80] = "a word";
    struct pv_text text = pv_text_in(name, sizeof(name));
    if (word != NULL && word[0] >= 'a' && word[0] <= 'z')
        pv_text_add(&text, "what to do");
    else
        for (size_t i = 0; word != NULL && i < len; i++)
            pv_text_add(&text,
                        word[i] == '|'   ? " or %.0s"
                        : word[i] == ']' ? "%.0s"
                                         : "%.1s",
                        word + i);
    return pv_cli_usage(cli, "%s is missing. Usage: p2pvpnctl %s %s%s", name, cli->cmd->name,
                        cli->cmd->args, rooms ? " (a room in quotes: '#crew')" : "");
}

void pv_cli_hush(struct pv_cli *cli, bool hush)
{
    FILE *nowhere = hush && cli->loud == NULL ? fopen("/dev/null", "we") : NULL;
    if (nowhere != NULL) {
        cli->loud = cli->err;
        cli->err = nowhere;
    } else if (!hush && cli->loud != NULL) {
        fclose(cli->err);
        cli->err = cli->loud;
        cli->loud = NULL;
    }
}

static void put_line(const struct pv_cli *cli, FILE *out, const char *fmt, va_list ap)
    PV_PRINTF(3, 0);
static void put_line(const struct pv_cli *cli, FILE *out, const char *fmt, va_list ap)
{
    char text[900], named[1800];
    vsnprintf(text, sizeof(text), fmt, ap);
    pv_show_text_from(out, pv_cli_name_commands(cli, text, named, sizeof(named)), 0,
                      out == cli->err ? cli->err_width : cli->screen.width);
    fputc('\n', out);
}

void pv_cli_say(struct pv_cli *cli, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    put_line(cli, cli->out, fmt, ap);
    va_end(ap);
}

void pv_cli_note(struct pv_cli *cli, const char *fmt, ...)
{
    va_list ap;
    if (cli->quiet)
        return;
    va_start(ap, fmt);
    put_line(cli, cli->err, fmt, ap);
    va_end(ap);
}

/* --- arguments ----------------------------------------------------------------------------- */

int pv_cli_peer(struct pv_cli *cli, struct pv_ctlapi_request *req, const char *word)
{
    size_t len = strlen(word);
    bool good = len > 0 && len < sizeof(req->peer);
    for (size_t i = 0; i < len; i++)
        /* The daemon decides what the word means. Here only characters are refused that could
         * not be part of any name, address or key. */
        good = good && word[i] > ' ' && word[i] <= '~';
    if (!good)
        return pv_cli_usage(cli, "\"%.60s\" is not a peer: give a name, overlay address or key",
                            word);
    memcpy(req->peer, word, len + 1);
    cli->peer = word;
    return 0;
}

int pv_cli_fill_peer(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    return cli->args.n_words == 0 ? 0 : pv_cli_peer(cli, req, cli->args.word[0]);
}

int pv_cli_name(struct pv_cli *cli, const char *flag, const char *text, char *dst)
{
    char name[PV_NAME_BUF];
    const char *given = flag[0] == '\0' ? "" : PV_STR("--%s ", flag);
    if (pv_name_parse(text, strlen(text), name) < 0)
        return pv_cli_usage(cli,
                            "%s\"%.80s\" is not a name: use 1 to 63 of a-z 0-9 and -, not at the "
                            "ends, not localhost",
                            given, text);
    if (strcmp(flag, "network") != 0 && pv_name_is_word(name))
        return pv_cli_usage(
            cli, "%s\"%s\" is a number, or has a meaning in commands: choose another name", given,
            name);
    memcpy(dst, name, sizeof(name));
    return 0;
}

int pv_cli_fail_gate(struct pv_cli *cli, int status, const char *why)
{
    if (status == PV_ERR_MALFORMED)
        return pv_cli_usage(cli, "%s", why);
    return pv_cli_fail(cli, status == -EACCES ? PV_CTLAPI_PERMISSION : PV_CTLAPI_FAILED, "%s", why);
}

int pv_cli_open_gate(struct pv_cli *cli, struct pv_gate *g, const char *where, bool udp)
{
    char why[PV_GATE_WHY];
    int r = pv_gate_open(g, where, udp, why);
    return r < 0 ? pv_cli_fail_gate(cli, r, why) : 0;
}

int pv_cli_number(struct pv_cli *cli, const char *flag, const char *text, uint64_t min,
                  uint64_t max, uint64_t *ret_value)
{
    if (pv_u64_parse(text, min, max, ret_value) < 0)
        return pv_cli_usage(cli, "%s \"%.40s\": give a whole number from %llu to %llu", flag, text,
                            (unsigned long long)min, (unsigned long long)max);
    return 0;
}

/* Somebody who means 90 minutes, or days, is told at once, and not by a token that is of no use. */
int pv_cli_duration(struct pv_cli *cli, const struct pv_cli_span *span, const char *text,
                    uint64_t *ret_seconds)
{
    if (pv_duration_parse(text, ret_seconds) < 0 || *ret_seconds < span->min ||
        *ret_seconds > span->max)
        return pv_cli_usage(cli, "%s \"%.40s\": %s", span->flag, text, span->give);
    if (strspn(text, "0123456789") == strlen(text))
        pv_cli_note(cli, "%s %s is in seconds: %sm would be minutes, %sh hours, %sd days",
                    span->flag, text, text, text, text);
    return 0;
}

void pv_cli_set_timeout(struct pv_cli *cli, unsigned seconds)
{
    /* The user's --timeout goes before any default of a command. */
    pv_ns wait = cli->timeout != 0 ? cli->timeout : PV_S(seconds);
    cli->deadline = wait == 0 ? PV_NEVER : pv_clock_now() + wait;
}

/* --- the daemon ---------------------------------------------------------------------------- */

/* Is this machine's, or this user's, first network called so? For -n it has no name, which a user
 * does not see in its own. */
static bool is_first(const char *name)
{
    struct pv_instance first;
    json_t *status = NULL;
    bool is = pv_instance_find("", &first) == PV_OK &&
              pv_client_ask(first.socket, first.is_user, PV_CTLAPI_STATUS, PV_S(FIRST_S),
                            &status) == PV_OK &&
              pv_json_is(json_object_get(status, "network"), "name", name);
    json_decref(status);
    return is;
}

/* A further p2pvpnd would be started for a network that is here already. */
static int check_first(struct pv_cli *cli)
{
    if (pv_instance_exists(&cli->node) || !is_first(cli->node.name))
        return 0;
    return pv_cli_usage(cli,
                        "%s is the first network of this machine: leave out -n %s; another one of "
                        "that name gets a word of its own here, such as -n %s2",
                        cli->node.name, cli->node.name, cli->node.name);
}

int pv_cli_check_node(struct pv_cli *cli)
{
    int code = check_first(cli);
    if (code != 0 || pv_instance_exists(&cli->node))
        return code;
    return pv_cli_fail(cli, PV_CTLAPI_NOT_RUNNING,
                       "this machine has no network called %s: p2pvpnctl networks lists what it "
                       "has, sudo p2pvpnctl -n %s join TOKEN makes one",
                       cli->node.name, cli->node.name);
}

/* The group does not help with what is for root. */
static int refuse_right(struct pv_cli *cli, bool for_root)
{
    if (for_root)
        return pv_cli_fail(cli, PV_CTLAPI_PERMISSION,
                           "not permitted: only root may change this node or its network: use "
                           "sudo");
    const char *todo = cli->node.is_user ? NULL : pv_instance_group_todo();
    if (todo != NULL)
        return pv_cli_fail(cli, PV_CTLAPI_PERMISSION,
                           "not allowed to use %s: use sudo; there is no group " PV_INSTANCE_GROUP
                           " yet, whose members may: %s",
                           cli->node.socket, todo);
    if (pv_instance_ignores_group(&cli->node))
        return pv_cli_fail(cli, PV_CTLAPI_PERMISSION,
                           "not allowed to use %s: use sudo, or restart p2pvpnd: it began before "
                           "there was a group " PV_INSTANCE_GROUP,
                           cli->node.socket);
    if (pv_instance_group_has_user())
        return pv_cli_fail(cli, PV_CTLAPI_PERMISSION,
                           "not allowed to use %s: this login is older than your place in the "
                           "group " PV_INSTANCE_GROUP ": log in again, or type `newgrp p2pvpn`",
                           cli->node.socket);
    return pv_cli_fail(cli, PV_CTLAPI_PERMISSION,
                       "not allowed to use %s: use sudo, or join its group once: "
                       "sudo usermod -aG p2pvpn \"$USER\", then log in again",
                       cli->node.socket);
}

const char *pv_cli_how_to_start_own(const struct pv_cli *cli, char buf[static PV_SHOW_BUF])
{
    const char *name = cli->node.name;
    const char *unit = PV_STR("p2pvpnd%s%s", name[0] == '\0' ? "" : "@", name);
    if (pv_systemd_has_own(unit))
        snprintf(buf, PV_SHOW_BUF, "systemctl --user start %s", unit);
    else
        snprintf(buf, PV_SHOW_BUF, "%s --user%s%s", pv_launch_called((char[PATH_MAX]){0}),
                 name[0] == '\0' ? "" : " --net ", name);
    return buf;
}

/* This user's own p2pvpnd, which no other stands in for. */
static int own_is_down(struct pv_cli *cli)
{
    struct pv_instance machine;
    const char *name = cli->node.name;
    return pv_cli_fail(cli, PV_CTLAPI_NOT_RUNNING,
                       "your own p2pvpnd is not running: nobody answers at %s. To start it: `%s`; "
                       "for the machine's p2pvpnd: -S %s",
                       cli->node.socket, pv_cli_how_to_start_own(cli, (char[PV_SHOW_BUF]){0}),
                       pv_instance_named(name, &machine) == PV_OK ? machine.socket : "PATH");
}

bool pv_cli_never_began(const struct pv_cli *cli)
{
    return cli->node.is_usual && !cli->node.is_user && access(cli->node.state, F_OK) < 0 &&
           errno == ENOENT;
}

bool pv_cli_is_elsewhere(const struct pv_cli *cli, char ret_net[static PV_INSTANCE_NAME_BUF])
{
    char names[PV_INSTANCE_MAX][PV_INSTANCE_NAME_BUF];
    size_t n = pv_instance_list(PV_INSTANCE_RUN, PV_INSTANCE_ETC, names), i = 0;
    while (i < n && names[i][0] == '\0')
        i++;
    if (i < n)
        memcpy(ret_net, names[i], PV_INSTANCE_NAME_BUF);
    return i < n && cli->node.name[0] == '\0' && pv_cli_never_began(cli);
}

/* The machine's p2pvpnd. One that was never in a network is sent to join: `up` would find none. */
static int is_down(struct pv_cli *cli)
{
    char net[PV_INSTANCE_NAME_BUF], own[PV_SHOW_BUF];
    const char *name = cli->node.name, *named = name[0] == '\0' ? "" : " -n ";
    const bool never = pv_cli_never_began(cli);
    if (pv_cli_is_elsewhere(cli, net))
        return pv_cli_fail(cli, PV_CTLAPI_NOT_RUNNING,
                           "without -n no network is joined here, but there is %s: `p2pvpnctl -n "
                           "%s %s`",
                           net, net, cli->cmd == NULL ? "status" : cli->cmd->name);
    return pv_cli_fail(
        cli, PV_CTLAPI_NOT_RUNNING, "p2pvpnd is not running: nobody answers at %s. %s: %s%s",
        cli->node.socket, never ? "To join a network" : "To start it",
        never ? pv_cli_how_to_join(cli, (char[PV_CLI_JOIN_BUF]){0})
              : PV_STR("sudo p2pvpnctl%s%s up", named, name),
        geteuid() == 0 ? ""
                       : PV_STR("; for this user alone: %s", pv_cli_how_to_start_own(cli, own)));
}

void pv_cli_give_up_root(const struct pv_cli *cli)
{
    struct stat st;
    if (cli->cmd != NULL && !cli->cmd->keeps_root && cli->out == stdout)
        pv_unroot(stat(cli->node.socket, &st) == 0 ? st.st_gid : 0);
}

/* for_root: the socket is wanted for what only root may do. */
static int connect_for(struct pv_cli *cli, bool for_root)
{
    if (cli->client.fd >= 0)
        return 0;
    int r = pv_client_open(&cli->client, cli->node.socket);
    if (r == PV_OK)
        return 0;
    /* Only a missing or silent socket means that no daemon runs. */
    int code = r == PV_ERR_NOT_FOUND ? pv_cli_check_node(cli) : 0;
    if (code != 0)
        return code;
    if (r == PV_ERR_NOT_FOUND && cli->node.is_user)
        return own_is_down(cli);
    if (r == PV_ERR_NOT_FOUND)
        return is_down(cli);
    if (r == -EACCES)
        return refuse_right(cli, for_root);
    return pv_cli_fail(cli, PV_CTLAPI_NOT_RUNNING, "cannot use %s: %s: is the path right?",
                       cli->node.socket, pv_strstatus(r));
}

int pv_cli_connect(struct pv_cli *cli)
{
    return connect_for(cli, false);
}

/* p2pvpnd is looked at first: without it people are told what they always are. */
static int chat_is_down(struct pv_cli *cli)
{
    int code = connect_for(cli, false);
    if (code != 0)
        return code;
    return pv_cli_fail(cli, PV_CTLAPI_NOT_RUNNING,
                       "p2pvpn-chatd is not running, so there are no messages, rooms and files: "
                       "`p2pvpnctl status` says more");
}

/* Connects to p2pvpn-chatd alone: p2pvpnd may be away. */
static int connect_chat(struct pv_cli *cli)
{
    int r = pv_client_open_chat(&cli->client, cli->node.socket);
    if (r == PV_OK)
        return 0;
    if (r == PV_ERR_NOT_FOUND)
        return chat_is_down(cli);
    if (r == -EACCES)
        return refuse_right(cli, false);
    return pv_cli_fail(cli, PV_CTLAPI_NOT_RUNNING, "cannot use the socket of p2pvpn-chatd: %s",
                       pv_strstatus(r));
}

int pv_cli_connect_chat(struct pv_cli *cli)
{
    int code = connect_for(cli, false);
    return code != 0 ? code : connect_chat(cli);
}

/* A machine that is up, or has joined, may not be so after the next start. */
static void note_settings(struct pv_cli *cli)
{
    char why[PV_LAUNCH_WHY] = "";
    if (pv_launch_refuses_next(&cli->node, why, sizeof(why)))
        pv_cli_note(cli, "p2pvpnd would not start again: %s: mend that, then `%sp2pvpnctl reload`",
                    why, cli->node.is_user ? "" : "sudo ");
}

/* Only for root: a daemon that an ordinary user starts could neither open a TUN nor keep its state.
 */
int pv_cli_connect_or_start(struct pv_cli *cli)
{
    struct pv_launch launch;
    int r = pv_client_open(&cli->client, cli->node.socket);
    if (r == PV_OK) {
        note_settings(cli);
        return 0;
    }
    if (r == PV_ERR_NOT_FOUND && cli->node.is_user)
        return own_is_down(cli);
    if (geteuid() != 0 && r == PV_ERR_NOT_FOUND)
        return pv_cli_fail(cli, PV_CTLAPI_NOT_RUNNING,
                           "only root starts p2pvpnd: use sudo. Without root, start one for this "
                           "user alone: `%s`",
                           pv_cli_how_to_start_own(cli, (char[PV_SHOW_BUF]){0}));
    if (geteuid() != 0 && r == -EACCES)
        return refuse_right(cli, true);
    if (r != PV_ERR_NOT_FOUND)
        return pv_cli_connect(cli); /* which tells why not */
    int code = check_first(cli);
    if (code != 0)
        return code;
    if (pv_launch_daemon(&launch, &cli->node, pv_clock_now() + PV_S(START_S)) < 0)
        return pv_cli_fail(cli, PV_CTLAPI_NOT_RUNNING, "p2pvpnd is not running: %s", launch.why);
    if (launch.log[0] == '\0')
        pv_cli_note(cli, "p2pvpnd was not running: started %s", launch.program);
    else
        pv_cli_note(cli, "p2pvpnd was not running: started %s (process %d, log in %s)",
                    launch.program, launch.pid, launch.log);
    return pv_cli_connect(cli);
}

/* Does p2pvpnd answer at all, so that somebody else keeps the command waiting? */
static bool is_answering(struct pv_cli *cli)
{
    json_t *body = NULL;
    pv_client_close(&cli->client); /* an answer that came late would be taken for this one */
    int r =
        pv_client_ask(cli->node.socket, cli->node.is_user, PV_CTLAPI_VERSION, PV_MS(500), &body);
    json_decref(body);
    return r == PV_OK;
}

int pv_cli_lost(struct pv_cli *cli, int status)
{
    switch (status) {
    case PV_ERR_TIMEOUT:
        /* A command about one peer can name the command that explains. */
        if (cli->peer != NULL && is_answering(cli))
            return pv_cli_fail(cli, PV_CTLAPI_TIMEOUT,
                               "no answer in time: `p2pvpnctl why %s` says what stands in the way; "
                               "--timeout gives it longer",
                               cli->peer);
        if (cli->unanswered[0] != '\0')
            return pv_cli_fail(cli, PV_CTLAPI_TIMEOUT, "no answer in time: %s", cli->unanswered);
        /* p2pvpnd reads a request also after the one that sent it has gone. */
        if (cli->ordered)
            return pv_cli_fail(cli, PV_CTLAPI_TIMEOUT,
                               "no answer in time: p2pvpnd may do it later all the same: look "
                               "before you try again, or give it longer with --timeout");
        return pv_cli_fail(cli, PV_CTLAPI_TIMEOUT,
                           "no answer in time: try again, or give it longer with --timeout");
    case PV_ERR_NOT_FOUND:
        return chat_is_down(cli);
    case PV_ERR_CLOSED:
        return pv_cli_fail(cli, PV_CTLAPI_NOT_RUNNING, "p2pvpnd ended or closed the connection: %s",
                           cli->unanswered[0] != '\0'
                               ? cli->unanswered
                               : pv_launch_log_hint(&cli->node, (char[PV_LAUNCH_HINT]){0}));
    case PV_ERR_MALFORMED:
        return pv_cli_fail(cli, PV_CTLAPI_FAILED,
                           "%s does not speak p2pvpnd's language: is the "
                           "path right?",
                           cli->node.socket);
    default:
        return pv_cli_fail(cli, PV_CTLAPI_FAILED, "talking to p2pvpnd failed: %s",
                           pv_strstatus(status));
    }
}

enum {
    HINT_BUF = 2 * PV_NAME_BUF + 64, /* ours */
};

/* Behind the request's name, with `between` for its underscores ("route offer: "). NULL: the text
 * does not begin so. */
static const char *behind_name(enum pv_ctlapi_cmd cmd, char between, const char *text)
{
    const char *wire = pv_ctlapi_cmd_name(cmd);
    for (; *wire != '\0' && *text == (*wire == '_' ? between : *wire); wire++)
        text++;
    return *wire == '\0' && strncmp(text, ": ", 2) == 0 ? text + 2 : NULL;
}

const char *pv_cli_reason(enum pv_ctlapi_cmd cmd, const char *text)
{
    const char *reason = behind_name(cmd, '_', text);
    return reason != NULL ? reason : text;
}

const char *pv_cli_how_to_join(const struct pv_cli *cli, char buf[static PV_CLI_JOIN_BUF])
{
    const char *sudo = cli->node.is_user ? "" : "sudo ", *name = cli->node.name;
    const char *flag = name[0] == '\0' ? "" : "-n ", *gap = name[0] == '\0' ? "" : " ";
    snprintf(buf, PV_CLI_JOIN_BUF,
             "`%sp2pvpnctl %s%s%sjoin TOKEN`; to make one: `%sp2pvpnctl %s%s%screate URL`", sudo,
             flag, name, gap, sudo, flag, name, gap);
    return buf;
}

/* "box.work.p2p" names the network that p2pvpnd does not know: it is another one's here. A member
 * of another network alone is found by other programs as "box", too. */
static bool is_elsewhere(const struct pv_cli *cli, const char *peer, char ret_hint[static HINT_BUF])
{
    struct pv_instance other;
    struct pv_nss_found found;
    char network[PV_NAME_BUF];
    const char *dot = strchr(peer, '.');
    if (dot == NULL && pv_nss_by_name(PV_INSTANCE_RUN, peer, &found) == PV_OK)
        dot = strchr(found.full, '.');
    const char *rest = dot == NULL ? "" : dot + 1;
    ret_hint[0] = '\0';
    if (pv_name_parse(rest, strcspn(rest, "."), network) < 0 ||
        strcmp(network, cli->node.name) == 0)
        return false;
    if (pv_instance_find(network, &other) == PV_OK && other.name[0] != '\0' &&
        (other.is_user ? access(other.socket, F_OK) == 0 : pv_instance_exists(&other)))
        snprintf(ret_hint, HINT_BUF, "; %s is another network of this machine: give -n %s", network,
                 network);
    else if (cli->node.name[0] != '\0' && is_first(network))
        snprintf(ret_hint, HINT_BUF, "; %s is the first network of this machine: leave out -n %s",
                 network, cli->node.name);
    return ret_hint[0] != '\0';
}

/* Of the words of the command that p2pvpnd's text names; behind a ':' is a port. "": none is of
 * another network. An error is one line, and one object with --json. */
static const char *hint_at_network(const struct pv_cli *cli, const char *text,
                                   char buf[static HINT_BUF])
{
    buf[0] = '\0';
    for (int i = 0; i < cli->args.n_words; i++) {
        char peer[PV_CTLAPI_PEER_BUF];
        const char *word = cli->args.word[i];
        snprintf(peer, sizeof(peer), "%.*s", (int)strcspn(word, ":"), word);
        if (strstr(text, peer) != NULL && is_elsewhere(cli, peer, buf))
            break;
    }
    return buf;
}

void pv_cli_complain_of(struct pv_cli *cli, enum pv_ctlapi_cmd cmd, int code, const char *text)
{
    const char *reason = behind_name(cmd, '_', text), *hint = "";
    char how[PV_CLI_JOIN_BUF], buf[HINT_BUF];
    /* The p2pvpnd that was asked does not know by which name: another of this machine may be in a
     * network, and without -n that one would be meant. */
    if (code == PV_CTLAPI_NOT_JOINED && cli->cmd != NULL && cli->node.name[0] != '\0') {
        complain_line(cli, code, "%s: network %s is not joined here: %s", cli->cmd->name,
                      cli->node.name, pv_cli_how_to_join(cli, how));
        return;
    }
    /* `exit offer` asks for a route. */
    if (reason == NULL && cli->cmd != NULL &&
        strncmp(pv_ctlapi_cmd_name(cmd), cli->cmd->name, strlen(cli->cmd->name)) != 0)
        reason = behind_name(cmd, ' ', text);
    if (code == PV_CTLAPI_UNKNOWN_PEER)
        hint = hint_at_network(cli, text, buf);
    if (cli->cmd != NULL && reason != NULL)
        complain_line(cli, code, "%s: %s%s", cli->cmd->name, reason, hint);
    else
        complain_line(cli, code, "%s%s", text, hint);
}

/* Takes the answer apart. 0: its body is *ret_body. */
static int take_answer_body(struct pv_cli *cli, enum pv_ctlapi_cmd cmd,
                            struct pv_ctlapi_reply *reply, json_t **ret_body)
{
    if (!reply->ok) {
        int code = (int)reply->code;
        pv_cli_complain_of(cli, cmd, code, reply->error);
        pv_ctlapi_reply_done(reply);
        return code;
    }
    /* The flag lasts over several requests: one old answer makes the whole result old. */
    cli->cached = cli->cached || reply->code == PV_CTLAPI_UNREACHABLE;
    cli->not_on_disk = cli->not_on_disk || reply->code == PV_CTLAPI_FAILED;
    *ret_body = json_incref(reply->body);
    pv_ctlapi_reply_done(reply);
    return 0;
}

/* Nobody looks at an empty line for ten seconds without asking what it does. */
static int wait_for_reply(struct pv_cli *cli, bool *ret_sent_away)
{
    pv_ns soon = pv_clock_now() + PV_S(SOON_S);
    if (cli->waits_for[0] == '\0' || cli->deadline <= soon)
        return pv_client_look(&cli->client, cli->deadline, ret_sent_away);
    int r = pv_client_look(&cli->client, soon, ret_sent_away);
    if (r != PV_ERR_TIMEOUT)
        return r;
    pv_cli_note(cli, "%s", cli->waits_for);
    cli->waits_for[0] = '\0';
    return pv_client_look(&cli->client, cli->deadline, ret_sent_away);
}

static int next_reply(struct pv_cli *cli, struct pv_ctlapi_reply *ret_reply)
{
    bool sent_away;
    int r = wait_for_reply(cli, &sent_away);
    return r < 0 ? r : pv_client_next(&cli->client, cli->deadline, ret_reply);
}

/* Only root's rights may open the socket again, so they are kept until it is clear that it does not
 * have to be; nothing that came is parsed before. */
int pv_cli_begin(struct pv_cli *cli, const struct pv_ctlapi_request *req,
                 struct pv_ctlapi_reply *ret_reply)
{
    /* The last attempt has time for its answer. */
    const pv_ns until =
        pv_min_ns(cli->deadline, pv_clock_now() + PV_S(WAIT_S)) - 2 * PV_MS(AGAIN_MS);
    for (;;) {
        bool sent_away = false;
        int r = pv_client_send(&cli->client, req, cli->deadline);
        /* The answer may take a minute, in which a token or URL needs to be in the daemon only. */
        if (req->secret != NULL)
            pv_wipe(req->secret, strlen(req->secret));
        if (r == PV_OK || r == PV_ERR_CLOSED) /* who is sent away is told so before */
            r = wait_for_reply(cli, &sent_away);
        if (r < 0 || !sent_away || req->secret != NULL || pv_clock_now() >= until) {
            pv_cli_give_up_root(cli);
            return r < 0 ? r : pv_client_next(&cli->client, cli->deadline, ret_reply);
        }
        const bool had_node = cli->client.fd >= 0, had_chat = cli->client.chat != NULL;
        pv_client_close(&cli->client);
        (void)poll(NULL, 0, AGAIN_MS);
        r = had_node ? pv_client_open(&cli->client, cli->node.socket) : PV_OK;
        if (r == PV_OK && had_chat)
            r = pv_client_open_chat(&cli->client, cli->node.socket);
        if (r < 0)
            return r == PV_ERR_NOT_FOUND ? PV_ERR_CLOSED : r;
    }
}

int pv_cli_call(struct pv_cli *cli, struct pv_ctlapi_request *req, pv_cli_event_fn *on_event,
                void *ctx, json_t **ret_body)
{
    req->id = ++cli->last_id;
    cli->ordered = pv_ctlapi_cmd_changes(req->cmd);
    struct pv_ctlapi_reply reply;
    int r = pv_cli_begin(cli, req, &reply);
    for (; r == PV_OK; r = next_reply(cli, &reply)) {
        /* Events of other requests (a watch) may come in between. */
        if (reply.is_event && reply.id == req->id && on_event != NULL)
            on_event(cli, &reply, ctx);
        /* No id: the daemon could not read the request, and there is none but ours. */
        else if (!reply.is_event && (reply.id == req->id || reply.id == UINT64_MAX))
            return take_answer_body(cli, req->cmd, &reply, ret_body);
        pv_ctlapi_reply_done(&reply);
    }
    /* Of others p2pvpnd alone has the answer, and no peer keeps it waiting. */
    if (req->cmd != PV_CTLAPI_PING && req->cmd != PV_CTLAPI_WAIT)
        cli->peer = NULL;
    return pv_cli_lost(cli, r);
}

int pv_cli_ask(struct pv_cli *cli, struct pv_ctlapi_request *req, json_t **ret_body)
{
    int code = pv_ctlapi_request_is_chat(req) ? connect_chat(cli)
                                              : connect_for(cli, pv_ctlapi_cmd_changes(req->cmd));
    /* The time counts from the connection on. */
    pv_cli_set_timeout(cli, WAIT_S);
    return code != 0 ? code : pv_cli_call(cli, req, NULL, NULL, ret_body);
}

int pv_cli_ask_and_print(struct pv_cli *cli, struct pv_ctlapi_request *req, pv_cli_print_fn *print)
{
    json_t *body = NULL;
    int code = pv_cli_ask(cli, req, &body);
    if (code == 0 && cli->json)
        pv_cli_print_json(cli, body);
    else if (code == 0)
        code = print(cli, body);
    json_decref(body);
    return code;
}

int pv_cli_change(struct pv_cli *cli, struct pv_ctlapi_request *req, const char *done)
{
    json_t *body = NULL;
    int code = pv_cli_ask(cli, req, &body);
    if (code == 0 && cli->json)
        pv_cli_print_json(cli, body);
    else if (code == 0)
        pv_cli_note(cli, "%s", done);
    json_decref(body);
    return code;
}

int pv_cli_take_replies(struct pv_cli *cli, pv_cli_reply_fn *take, void *ctx)
{
    for (;;) {
        struct pv_ctlapi_reply reply;
        int r = pv_client_next(&cli->client, 0, &reply);
        if (r == PV_ERR_TIMEOUT)
            return 0;
        if (r < 0)
            return pv_cli_lost(cli, r);
        int code = take(ctx, &reply);
        pv_ctlapi_reply_done(&reply);
        if (code != 0)
            return code;
    }
}

/* Has the user given one of the command's own options? */
static bool has_options(const struct pv_cli *cli)
{
    bool any = false;
    for (size_t i = 0; i < PV_COMMAND_OPTIONS; i++)
        any = any || cli->args.value[i] != NULL;
    return any;
}

int pv_cli_do_verb(struct pv_cli *cli, const struct pv_verb *v)
{
    struct pv_ctlapi_request req = pv_ctlapi_request_of(v->cmd);
    int code = v->fill == NULL ? 0 : v->fill(cli, &req);
    if (code == 0)
        code = v->print != NULL  ? pv_cli_ask_and_print(cli, &req, v->print)
               : v->done != NULL ? pv_cli_change(cli, &req, v->done)
                                 : v->ask(cli, &req);
    pv_ctlapi_request_done(&req);
    return code;
}

int pv_cli_run_verb(struct pv_cli *cli, const struct pv_verb *verbs, int place, const char *there,
                    const char *misplaced)
{
    int n = cli->args.n_words;
    const char *word = n > place ? cli->args.word[place] : "";
    const struct pv_verb *v = verbs;
    while (v->word != NULL && strcmp(v->word, word) != 0)
        v++;
    if (!v->options && has_options(cli))
        return pv_cli_usage(cli, "%s", misplaced);
    if (v->word == NULL && word[0] != '\0')
        return pv_cli_usage(cli, "%.60s is unknown: %s", word, there);
    if (v->word == NULL || n < v->min_words)
        return place == 0 ? pv_cli_missing(cli) : pv_cli_usage(cli, "%s", there);
    if (n > v->max_words)
        return pv_cli_usage(cli, "%.60s is one word too many: %s", cli->args.word[v->max_words],
                            there);
    return pv_cli_do_verb(cli, v);
}

int pv_command_run(const struct pv_command *c, struct pv_cli *cli)
{
    if (c->verbs != NULL)
        return pv_cli_run_verb(cli, c->verbs, 0, c->there,
                               c->misplaced == NULL ? c->there : c->misplaced);
    return c->run != NULL ? c->run(cli) : pv_cli_do_verb(cli, &c->verb);
}

int pv_cli_print_table(struct pv_cli *cli, struct pv_table *t)
{
    struct pv_screen screen = cli->screen;
    /* A list of facts has two columns: the second goes on below itself, and nothing is cut. */
    if (cli->all && t->n_columns > 2)
        screen.width = 0;
    pv_table_name_commands(t, cli->flag, cli->node.is_user);
    return pv_table_print(t, cli->out, &screen) < 0 ? pv_cli_no_memory(cli) : 0;
}

int pv_cli_print_list(struct pv_cli *cli, const char *const *head, size_t n_columns,
                      const json_t *list, void (*row)(struct pv_table *t, const json_t *element))
{
    struct pv_table t;
    pv_table_begin_headed(&t, head, n_columns);
    PV_EACH_JSON(list, element)
        row(&t, element);
    return pv_cli_print_table(cli, &t);
}

void pv_cli_print_json(struct pv_cli *cli, json_t *body)
{
    static const char *const envelope[] = {"id", "ok", "code"};
    size_t len = 0;
    /* These belong to the control protocol. Scripts have the exit code. */
    for (size_t i = 0; i < PV_ARRAY_LEN(envelope); i++)
        json_object_del(body, envelope[i]);
    /* "version" says this in some answers and p2pvpnd's version in another, so scripts that came
     * later have a key of their own. */
    json_object_set_new(body, "format", json_integer(PV_CTLAPI_FORMAT));
    char *line = pv_harmless_dump(body, &len);
    if (line != NULL)
        fwrite(line, 1, len, cli->out);
    free(line);
}

int pv_cli_print_packed(struct pv_cli *cli, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    json_t *body = json_vpack_ex(NULL, 0, format, ap);
    va_end(ap);
    if (body == NULL)
        return pv_cli_no_memory(cli);
    pv_cli_print_json(cli, body);
    json_decref(body);
    return 0;
}

const struct pv_command *pv_command_at(const struct pv_command *const *groups, size_t i)
{
    for (; *groups != NULL; groups++) {
        for (const struct pv_command *c = *groups; c->name != NULL; c++) {
            if (i-- == 0)
                return c;
        }
    }
    return NULL;
}

/* --- secrets --------------------------------------------------------------------------------- */

/* No second copy of what a user typed or piped is left anywhere. */

enum {
    SECRET_BUF = PV_CTLAPI_SECRET_MAX + 2, /* one more than allowed, to see that it is too long */
};

/* Tokens and URLs have none of these: a mail program has put them there, to wrap or to quote. */
static bool is_of_mail(int c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '>';
}

/* Reads standard input, of a terminal the first line. */
static void read_secret(struct pv_cli *cli, char *buf, size_t cap)
{
    const bool one_line = isatty(fileno(cli->in)) == 1;
    size_t n = 0;
    int c = fgetc(cli->in);
    /* One byte more than allowed is kept: the parser then refuses what is too long instead of
     * using a shortened secret. */
    for (; c != EOF && !(one_line && c == '\n') && n + 1 < cap; c = fgetc(cli->in)) {
        if (!is_of_mail(c))
            buf[n++] = (char)c;
    }
    buf[n] = '\0';
}

int pv_cli_secret(struct pv_cli *cli, char *word, struct pv_ctlapi_request *req)
{
    char *secret = calloc(1, SECRET_BUF);
    if (secret == NULL)
        return pv_cli_no_memory(cli);
    req->secret = secret;
    if (strcmp(word, "-") == 0) {
        read_secret(cli, secret, SECRET_BUF);
        return 0;
    }
    const size_t len = strlen(word);
    size_t n = 0;
    for (size_t i = 0; i < len && n + 1 < SECRET_BUF; i++) {
        if (!is_of_mail(word[i]))
            secret[n++] = word[i];
    }
    /* The length of a secret may stay visible; its text may not. */
    pv_wipe(word, len);
    return 0;
}
