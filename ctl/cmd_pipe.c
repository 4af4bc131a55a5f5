/* SPDX-License-Identifier: MIT */
/* pipe: standard input and output of two machines, joined by a network of their own. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto/ct.h"
#include "ctl/commands.h"
#include "ctl/forward/outside.h"
#include "ctl/forward/pipe.h"
#include "ctl/forward/private.h"
#include "ctl/lib/ctlconf.h"
#include "sys/net/stream.h"
#include "sys/proc/clock.h"

#define FIRST       "first"
#define SECOND      "second"
#define NETWORK     "pipe"
#define COORDINATOR "P2PVPN_COORDINATOR"
#define TOKEN       "p2pvpn-"

enum {
    OPT_COORDINATOR,
    OPT_FORWARD,
};

enum {
    ENTER_S = 60,     /* as for create and join */
    UP_S = 15,        /* ours: until the interface is there */
    LOOK_MS = 50,     /* ours */
    URL_BUF = 256,    /* bytes of a line of p2pvpnctl.conf, and more */
    CONNECT_S = 30,   /* ours: until the place of --forward takes the connection */
    PROGRAM_MS = 1000 /* ours: until a program that is told to end is made to */
};

/* Where the bytes of this end come from and go to. */
struct local {
    char *const *words;      /* of the program; NULL: none */
    struct pv_outside place; /* of --forward */
    struct pv_twoway_end end;
    struct pv_pipe_program program;
};

/* --- this end ------------------------------------------------------------------------------ */

/* Is there a file that execvp(3) would start? */
static bool is_there(const char *program)
{
    const char *dir = getenv("PATH");
    if (strchr(program, '/') != NULL || dir == NULL)
        return dir == NULL || access(program, X_OK) == 0;
    for (size_t len; *dir != '\0'; dir += len + (dir[len] == ':')) {
        len = strcspn(dir, ":");
        if (access(PV_STR("%.*s%s%s", (int)len, dir, len == 0 ? "" : "/", program), X_OK) == 0)
            return true;
    }
    return false;
}

/* A token can be used once, so this end is checked before there is one. */
static int choose_local(struct pv_cli *cli, char **words, struct local *l)
{
    const char *place = cli->args.value[OPT_FORWARD];
    *l = (struct local){.words = words[0] == NULL ? NULL : words};
    if (l->words != NULL && place != NULL)
        return pv_cli_usage(cli, "give --forward or a program");
    if (l->words != NULL && strstr(words[0], "://") != NULL) /* with a secret in it */
        return pv_cli_usage(cli, "a URL stands behind --coordinator");
    if (l->words != NULL && !is_there(words[0]))
        return pv_cli_fail(cli, PV_CTLAPI_FAILED,
                           "%.100s: no such program, and no token, which begins with " TOKEN,
                           words[0]);
    return place == NULL ? 0 : pv_outside_parse(&l->place, cli, place);
}

static int open_place(struct pv_cli *cli, const char *text, struct local *l)
{
    int fd = -1, r = pv_outside_connect(&l->place, pv_clock_now(), &fd);
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    if (r == PV_OK && poll(&p, 1, CONNECT_S * 1000) <= 0)
        r = PV_ERR_TIMEOUT;
    else if (r == PV_OK)
        r = pv_stream_connected(fd);
    l->end = (struct pv_twoway_end){.in = fd, .out = fd, .is_waited = true};
    if (r == PV_OK)
        return 0;
    if (fd >= 0)
        close(fd);
    return pv_cli_fail(cli, PV_CTLAPI_FAILED, "--forward %.100s: %s", text, pv_strstatus(r));
}

static void become_program(char *const *words, const int in[2], const int out[2])
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    if (dup2(in[0], STDIN_FILENO) >= 0 && dup2(out[1], STDOUT_FILENO) >= 0)
        execvp(words[0], words);
    dprintf(STDERR_FILENO, "p2pvpnctl: pipe: %s: %s\n", words[0], strerror(errno));
    _exit(errno == ENOENT ? 127 : 126);
}

static int start_program(struct pv_cli *cli, struct local *l)
{
    char *const *words = l->words;
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
        return pv_cli_fail(cli, PV_CTLAPI_FAILED, "start %.100s: %s", words[0], strerror(errno));
    (void)fflush(NULL);
    l->program.pid = fork();
    if (l->program.pid == 0)
        become_program(words, in, out);
    close(in[0]);
    close(out[1]);
    (void)fcntl(in[1], F_SETFL, O_NONBLOCK);
    (void)fcntl(out[0], F_SETFL, O_NONBLOCK);
    l->end = (struct pv_twoway_end){.in = out[0], .out = in[1], .is_waited = true};
    if (l->program.pid > 0)
        return 0;
    close(in[1]);
    close(out[0]);
    l->program.pid = 0;
    return pv_cli_fail(cli, PV_CTLAPI_FAILED, "start %.100s: %s", words[0], strerror(errno));
}

/* code: of the pipe. A program that is still there when that broke off is ended; its own code is
 * that of the command, when it says of a failure. */
static int end_program(const struct local *l, int code)
{
    const pv_ns until = pv_clock_now() + PV_MS(PROGRAM_MS);
    const pid_t pid = l->program.pid;
    int status = l->program.status;
    if (pid == 0)
        return code;
    if (code != 0 && !l->program.ended) {
        kill(pid, SIGTERM);
        while (waitpid(pid, &status, WNOHANG) == 0) {
            if (pv_clock_now() >= until)
                kill(pid, SIGKILL);
            (void)poll(NULL, 0, LOOK_MS);
        }
    }
    if (code != 0)
        return code;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int open_local(struct pv_cli *cli, struct local *l)
{
    l->end = (struct pv_twoway_end){.in = STDIN_FILENO,
                                    .out = STDOUT_FILENO,
                                    .shared = true,
                                    .is_waited = isatty(STDIN_FILENO) == 0};
    if (cli->args.value[OPT_FORWARD] != NULL)
        return open_place(cli, cli->args.value[OPT_FORWARD], l);
    return l->words == NULL ? 0 : start_program(cli, l);
}

/* --- the network --------------------------------------------------------------------------- */

static int ask(struct pv_cli *cli, struct pv_ctlapi_request *req, json_t **ret_body)
{
    int code = pv_cli_connect(cli);
    pv_cli_set_timeout(cli, ENTER_S);
    if (code == 0)
        code = pv_cli_call(cli, req, NULL, NULL, ret_body);
    pv_ctlapi_request_done(req);
    return code;
}

/* The interface comes up behind the answer of create and join. */
static int wait_until_up(struct pv_overlay *o)
{
    const pv_ns until = pv_clock_now() + PV_S(UP_S);
    int code = PV_CTLAPI_FAILED;
    while (code != 0 && pv_clock_now() < until) {
        pv_cli_hush(o->cli, true);
        code = pv_overlay_open(o);
        pv_cli_hush(o->cli, false);
        if (code != 0)
            (void)poll(NULL, 0, LOOK_MS);
    }
    return code == 0 ? 0 : pv_overlay_open(o);
}

/* The request by which this end becomes a member. Token or URL are in it from now on, and no more
 * in the arguments, which others see, or the environment, which programs get. */
static int prepare(struct pv_cli *cli, bool is_first, char *secret,
                   struct pv_ctlapi_request *ret_req)
{
    char *known = getenv(COORDINATOR);
    *ret_req = pv_ctlapi_request_of(is_first ? PV_CTLAPI_CREATE : PV_CTLAPI_JOIN);
    snprintf(ret_req->u.enter.network, sizeof(ret_req->u.enter.network), "%s",
             NETWORK); /* and no other one */
    snprintf(ret_req->u.enter.name, sizeof(ret_req->u.enter.name), "%s", is_first ? FIRST : SECOND);
    int code = pv_cli_secret(cli, secret, ret_req);
    if (known != NULL)
        pv_wipe(known, strlen(known));
    (void)unsetenv(COORDINATOR);
    return code;
}

/* The first one leaves, too, so that nobody is a member any more. The second does by its end. */
static void leave(struct pv_cli *cli)
{
    json_t *body = NULL;
    pv_cli_hush(cli, true);
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_LEAVE);
    req.u.leave.last = true;
    (void)ask(cli, &req, &body);
    json_decref(body);
    pv_cli_hush(cli, false);
}

/* The token is for people and scripts, and standard output for the bytes. */
static int invite(struct pv_cli *cli)
{
    json_t *body = NULL;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_INVITE);
    req.u.terms.ephemeral = true;
    int code = ask(cli, &req, &body);
    if (code == 0)
        fprintf(cli->err, "%s%s\n", cli->quiet ? "" : "on the other machine: p2pvpnctl pipe ",
                pv_json_text(body, "token", ""));
    (void)fflush(cli->err);
    json_decref(body);
    return code;
}

/* --- the command --------------------------------------------------------------------------- */

static int meet(struct pv_overlay *o, struct pv_ctlapi_request *req, int fds[2])
{
    struct pv_cli *cli = o->cli;
    const bool is_first = req->cmd == PV_CTLAPI_CREATE;
    json_t *body = NULL;
    int code = ask(cli, req, &body);
    json_decref(body);
    if (code == 0)
        code = wait_until_up(o);
    if (code == 0 && !is_first)
        return pv_pipe_connect(o, FIRST, fds);
    if (code == 0)
        code = invite(cli);
    return code != 0 ? code : pv_pipe_accept(o, fds);
}

static int run_pipe(struct pv_cli *cli, struct pv_ctlapi_request *req, struct local *l)
{
    struct pv_overlay overlay = {.cli = cli};
    int fds[2] = {-1, -1};
    int code = meet(&overlay, req, fds);
    if (code == 0)
        code = open_local(cli, l);
    if (code == 0)
        code = end_program(l, pv_pipe_carry(&overlay, l->end, &l->program, fds));
    (void)pv_overlay_forget(&overlay);
    return code;
}

static int take_setting(void *ctx, const char *key, const char *value, char *error, size_t cap)
{
    char *url = ctx;
    if (strcmp(key, "coordinator") != 0 || url[0] != '\0') {
        snprintf(error, cap, "[pipe] has the key coordinator, once");
        return PV_ERR_MALFORMED;
    }
    snprintf(url, URL_BUF, "%s", value);
    return PV_OK;
}

/* The URL where it stands, in argv, the environment or own, so that it can be overwritten; NULL:
 * there is none. 0 or an exit code. */
static int find_url(struct pv_cli *cli, char own[static URL_BUF], char **ret_url)
{
    const char *option = cli->args.value[OPT_COORDINATOR];
    char error[PV_CTLCONF_ERROR];
    *ret_url = option == NULL ? getenv(COORDINATOR) : (char *)(uintptr_t)option;
    if (*ret_url != NULL)
        return 0;
    if (pv_ctlconf_load("pipe", take_setting, own, error) < 0)
        return pv_cli_fail(cli, PV_CTLAPI_FAILED, "%s", error);
    *ret_url = own[0] == '\0' ? NULL : own;
    return 0;
}

static int pipe_command(struct pv_cli *cli)
{
    struct pv_private own;
    struct pv_ctlapi_request req;
    struct local local;
    char own_url[URL_BUF] = "", **words = cli->args.word, *url = NULL;
    char *token =
        words[0] != NULL && strncmp(words[0], TOKEN, strlen(TOKEN)) == 0 ? words[0] : NULL;
    if (token != NULL && cli->args.value[OPT_COORDINATOR] != NULL)
        return pv_cli_usage(cli, "the token says which coordinator: leave out --coordinator");
    int code = choose_local(cli, &words[token == NULL ? 0 : 1], &local);
    if (code == 0 && token == NULL)
        code = find_url(cli, own_url, &url);
    if (code != 0)
        return code;
    if (token == NULL && url == NULL)
        return pv_cli_usage(cli, "at which coordinator? give --coordinator URL, or set " COORDINATOR
                                 " or coordinator in p2pvpnctl.conf");
    if (token == NULL && strcmp(url, "-") == 0)
        return pv_cli_usage(cli, "standard input is for the bytes: set " COORDINATOR);
    code = prepare(cli, token == NULL, token == NULL ? url : token, &req);
    if (code == 0)
        code = pv_private_start(&own, cli, &req);
    if (code != 0) {
        pv_ctlapi_request_done(&req);
        return code;
    }
    code = run_pipe(cli, &req, &local);
    if (token == NULL && code == 0)
        leave(cli);
    pv_private_end(&own, cli, code == 0); /* who waits for a failure is told at once */
    /* That the coordinator was away for a moment, or has not stored that this node left, changes
     * nothing of what both ends have taken. */
    cli->cached = false;
    return code;
}

const struct pv_command pv_cmds_pipe[] = {
    {
        .name = "pipe",
        .keeps_root = true,
        .args = "[TOKEN] [--coordinator URL] [--forward [HOST:]PORT] [-- PROGRAM ARG...]",
        .summary = "connect standard input and output of two machines",
        .details =
            "Without TOKEN it makes a network and prints a token. Run it with this token on\n"
            "the second machine. The network has these two nodes only, ends with them, and\n"
            "leaves nothing on disk. pipe needs neither root nor a running p2pvpnd. Exit\n"
            "code 0: both ends have received everything, and each PROGRAM ended with 0.\n"
            "  --coordinator URL  for the first machine; default: $P2PVPN_COORDINATOR, then\n"
            "                     coordinator in [pipe] of ~/.config/p2pvpn/p2pvpnctl.conf\n"
            "  --forward PLACE    this end is a connection to HOST:PORT (127.0.0.1)\n"
            "  PROGRAM            this end is its standard input and output\n",
        .example = "p2pvpnctl pipe p2pvpn-... > file",
        .options = {{"coordinator", 0, true}, {"forward", 0, true}},
        .words = {0, PV_ARGS_MAX_WORDS},
        .endless = true,
        .run = pipe_command,
    },
    {.name = NULL},
};
