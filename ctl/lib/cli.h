/* SPDX-License-Identifier: MIT */
/*
 * cli.h - what every command of p2pvpnctl gets and may call: its arguments, p2pvpnd behind the
 * control socket, and ways to tell the user something.
 *
 * A command's run() returns the exit code (enum pv_ctlapi_code). The answer goes to out, everything
 * else to err; errors are one line "p2pvpnctl: what failed: why: what to do", with --json
 * {"format","code","error"}.
 */
#pragma once

#include <stdio.h>

#include "base/pv.h"
#include "ctl/lib/args.h"
#include "ctl/lib/client.h"
#include "ctl/lib/instance.h"
#include "ctl/lib/show.h"
#include "proto/local/ctlapi_request.h"
#include "sys/net/gate.h"

struct pv_cli;

/* Prints an answer for people; returns the exit code. */
typedef int pv_cli_print_fn(struct pv_cli *cli, const json_t *body);

/* The question to p2pvpnd of a command, or of a word by which one goes on, as "list" of `route
 * list`; and the fate of the answer. */
struct pv_verb {
    const char *word;         /* "": none; NULL: the row behind the last */
    int min_words, max_words; /* of the command, with this one */
    enum pv_ctlapi_cmd cmd;
    /* Puts what the user gave into the request; NULL: nothing. 0 or an exit code. */
    int (*fill)(struct pv_cli *cli, struct pv_ctlapi_request *req);
    /* One of these: prints the answer; is noted when it is there; asks in a way of its own. */
    pv_cli_print_fn *print;
    const char *done;
    int (*ask)(struct pv_cli *cli, struct pv_ctlapi_request *req);
    bool options; /* may be given the command's options */
};

enum {
    PV_COMMAND_OPTIONS = 8, /* ours */
};

struct pv_command {
    const char *name;
    const char *args;    /* "list | accept ROOM | invite ROOM PEER [-c N]": completion follows it */
    const char *summary; /* one line, no full stop */
    const char *details; /* lines, "" for none; each ends with a newline */
    const char *example; /* as one would type it */
    struct pv_option options[PV_COMMAND_OPTIONS + 1]; /* of the command; ends with a NULL name */
    struct {
        int min, max;
    } words;            /* how many it takes */
    int verbatim_after; /* this word and what follows it is not looked at for options; 0: none */
    bool endless;       /* a signal or its program ends it: --timeout is refused */
    bool keeps_root;    /* it writes files, starts programs or connects again */
    /* One of these: a function; a question; one by the first word. */
    int (*run)(struct pv_cli *cli);
    struct pv_verb verb;         /* without word and numbers of words */
    const struct pv_verb *verbs; /* as pv_cli_run_verb() has them, with the next two */
    const char *there, *misplaced;
};
/* The exit code. */
int pv_command_run(const struct pv_command *c, struct pv_cli *cli);
/* Counts through groups (NULL behind the last) row by row; NULL behind the last row. */
const struct pv_command *pv_command_at(const struct pv_command *const *groups, size_t i);

struct pv_cli {
    FILE *in, *out, *err;
    FILE *loud; /* err, while errors are told to nobody (pv_cli_hush()); NULL: they are told */
    struct pv_instance node; /* whose p2pvpnd is asked */
    char flag[PATH_MAX + 4]; /* "-n work": by which it is meant; "": without a flag it is, too */
    bool json, quiet;
    bool all; /* --long: screens show everything, and nothing in their tables is cut */
    struct pv_screen screen;
    size_t err_width;             /* columns of err's lines; 0: lines of any length */
    pv_ns timeout;                /* --timeout; 0: not given */
    pv_ns deadline;               /* of the command; PV_NEVER: none */
    const char *peer;             /* whom the command is about; NULL: nobody */
    char waits_for[320];          /* said when the answer is not there soon; "": nothing is */
    char unanswered[160];         /* what is safe where an answer is lost; "": to try again */
    bool ordered;                 /* the last request changes this node or the network */
    bool cached;                  /* an answer came from the cache: the coordinator is away */
    bool not_on_disk;             /* what was done is not on this machine's disk */
    const struct pv_command *cmd; /* the one that runs; NULL: none was named yet */
    const struct pv_command *const *groups; /* all commands, for completion; NULL-terminated */
    struct pv_args args;                    /* of the command: its words, its options by place */
    struct pv_client client;
    uint64_t last_id;
};

/* "p2pvpnctl: text", or as JSON with --json: what p2pvpnd says of a request that failed, which may
 * hold words of others. code: as in its answer. */
void pv_cli_complain(struct pv_cli *cli, int code, const char *text);
/* A text of p2pvpnd's without the name of the request that it may begin with ("file_send: "). */
const char *pv_cli_reason(enum pv_ctlapi_cmd cmd, const char *text);
/* The same of cmd. p2pvpnd's text begins with the request's name ("file_send"), where users know
 * the command's, which stands there then. */
void pv_cli_complain_of(struct pv_cli *cli, enum pv_ctlapi_cmd cmd, int code, const char *text);
/* Has the machine's p2pvpnd no state yet, as where nothing was begun since it was installed? */
bool pv_cli_never_began(const struct pv_cli *cli);
/* Is this machine's only network one that has to be named (-n)? ret_net: the first such. */
bool pv_cli_is_elsewhere(const struct pv_cli *cli, char ret_net[static PV_INSTANCE_NAME_BUF]);
/* Writes the two commands by which a machine gets into the network that -n names: "`p2pvpnctl -n
 * work join TOKEN`, or `p2pvpnctl -n work create URL`". Returns buf. */
enum {
    PV_CLI_JOIN_BUF = 80 + 2 * PV_INSTANCE_NAME_BUF
};
const char *pv_cli_how_to_join(const struct pv_cli *cli, char buf[static PV_CLI_JOIN_BUF]);
/* How this user's own p2pvpnd is started: by the user's systemd, where that has its unit. Returns
 * buf. */
const char *pv_cli_how_to_start_own(const struct pv_cli *cli, char buf[static PV_SHOW_BUF]);
/* "p2pvpnctl: COMMAND: text", returns code. */
int pv_cli_fail(struct pv_cli *cli, enum pv_ctlapi_code code, const char *fmt, ...) PV_PRINTF(3, 4);
/* The same for a wrong argument: code 2, and says where help is. */
int pv_cli_usage(struct pv_cli *cli, const char *fmt, ...) PV_PRINTF(2, 3);
/* The same, when fewer words were typed than the command takes: names the one that is missing. */
int pv_cli_missing(struct pv_cli *cli);
/* Of a command that a signal or its program ends: 0, or the same where --timeout was given. */
int pv_cli_endless(struct pv_cli *cli, const char *name);
/* The same when memory has run out. */
int pv_cli_no_memory(struct pv_cli *cli);
/* Whether errors are told to nobody, as those of something that is tried again. */
void pv_cli_hush(struct pv_cli *cli, bool hush);
/* The next three make commands in backticks right for the node that was asked (remedy.h). */
/* A text with them in it, as an answer may have. Returns dst. */
const char *pv_cli_name_commands(const struct pv_cli *cli, const char *text, char *dst, size_t cap);
/* A line of the answer for people. */
void pv_cli_say(struct pv_cli *cli, const char *fmt, ...) PV_PRINTF(2, 3);
/* A line on err for people; nothing with --quiet. */
void pv_cli_note(struct pv_cli *cli, const char *fmt, ...) PV_PRINTF(2, 3);

/* Sets the command's deadline: --timeout, else seconds (0: none). */
void pv_cli_set_timeout(struct pv_cli *cli, unsigned seconds);
/* Fills req->peer from a word. 0 or an exit code. */
PV_MUST_CHECK int pv_cli_peer(struct pv_cli *cli, struct pv_ctlapi_request *req, const char *word);
/* The same from the first word, where there is one. */
int pv_cli_fill_peer(struct pv_cli *cli, struct pv_ctlapi_request *req);
/* A name of a node or network into dst (PV_NAME_BUF bytes). flag: "name", "network", or "" for a
 * word. 0 or an exit code. */
PV_MUST_CHECK int pv_cli_name(struct pv_cli *cli, const char *flag, const char *text, char *dst);
/* Tells why a gate did not open, as pv_gate_open() says. Returns the exit code. */
int pv_cli_fail_gate(struct pv_cli *cli, int status, const char *why);
/* As pv_gate_open(). 0 or an exit code, told to the user. */
PV_MUST_CHECK int pv_cli_open_gate(struct pv_cli *cli, struct pv_gate *g, const char *where,
                                   bool udp);
/* A whole number of an option. 0 or an exit code. */
PV_MUST_CHECK int pv_cli_number(struct pv_cli *cli, const char *flag, const char *text,
                                uint64_t min, uint64_t max, uint64_t *ret_value);
/* A time that an option takes: seconds from min to max; give says what to give. */
struct pv_cli_span {
    const char *flag, *give;
    uint64_t min, max;
};

/* Seconds of an option such as "90m". A number alone counts seconds, which is noted. 0 or an exit
 * code. */
PV_MUST_CHECK int pv_cli_duration(struct pv_cli *cli, const struct pv_cli_span *span,
                                  const char *text, uint64_t *ret_seconds);

/* Has -n a node on this machine that somebody made? Else an exit code, told to the user. */
PV_MUST_CHECK int pv_cli_check_node(struct pv_cli *cli);
/* Becomes the user that called sudo(8), or nobody (unroot.h), in the group that may use the
 * machine's nodes, unless the command keeps root's
 * rights: what follows reads words of other machines. A process that runs commands in itself, as
 * tests do, keeps its rights. */
void pv_cli_give_up_root(const struct pv_cli *cli);
/* Connects unless connected. 0 or an exit code (5, 8), told to the user. */
PV_MUST_CHECK int pv_cli_connect(struct pv_cli *cli);
/* As pv_cli_connect(), and connects to p2pvpn-chatd besides. */
PV_MUST_CHECK int pv_cli_connect_chat(struct pv_cli *cli);
/* As pv_cli_connect(); starts p2pvpnd when it is not running and the user is root. */
PV_MUST_CHECK int pv_cli_connect_or_start(struct pv_cli *cli);

/* Something that happened while a request ran; borrowed. */
typedef void pv_cli_event_fn(struct pv_cli *cli, const struct pv_ctlapi_reply *event, void *ctx);
/* Sends a request on the connection, calls pv_cli_give_up_root() once something has come, since
 * p2pvpnd knows by then who connected, and reads the first reply. A client that p2pvpnd has sent
 * away, since there are too many, comes again for a while, unless the request has a secret, which
 * is wiped. The errors of pv_client_send() and pv_client_next(): pv_cli_lost() tells them. */
PV_MUST_CHECK int pv_cli_begin(struct pv_cli *cli, const struct pv_ctlapi_request *req,
                               struct pv_ctlapi_reply *ret_reply);
/* Sends req, wipes its secret and waits for its answer. 0: *ret_body is the answer's object, a new
 * reference. Else an exit code, and the user has been told why. on_event may be NULL. */
PV_MUST_CHECK int pv_cli_call(struct pv_cli *cli, struct pv_ctlapi_request *req,
                              pv_cli_event_fn *on_event, void *ctx, json_t **ret_body);
/* The way of most commands: connects, sends req, waits at most 30 s (or --timeout) for its answer.
 * As pv_cli_call(). */
PV_MUST_CHECK int pv_cli_ask(struct pv_cli *cli, struct pv_ctlapi_request *req, json_t **ret_body);
/* Asks and prints the answer, as JSON with --json, else with print. The exit code. */
int pv_cli_ask_and_print(struct pv_cli *cli, struct pv_ctlapi_request *req, pv_cli_print_fn *print);
/* Asks for a change and notes that it is done; as JSON, the answer. The exit code. */
int pv_cli_change(struct pv_cli *cli, struct pv_ctlapi_request *req, const char *done);
/* Asks what a row says, and does what it says with the answer. The exit code. */
int pv_cli_do_verb(struct pv_cli *cli, const struct pv_verb *v);
/* Does what the word at this place says. Where no row fits there tells what may stand, and where an
 * option was given to a word that takes none, misplaced. The exit code. */
int pv_cli_run_verb(struct pv_cli *cli, const struct pv_verb *verbs, int place, const char *there,
                    const char *misplaced);
/* Shows everything that has come and does not wait for more, until take() returns an exit code
 * other than 0. 0, that code, or what pv_cli_lost() says of a connection that ended. */
typedef int pv_cli_reply_fn(void *ctx, const struct pv_ctlapi_reply *reply);
PV_MUST_CHECK int pv_cli_take_replies(struct pv_cli *cli, pv_cli_reply_fn *take, void *ctx);
/* Tells why the connection did not give a reply (a status of client.h); returns the exit code.
 * Where time ran out for a command about cli->peer it closes the connection, and asks p2pvpnd half
 * a second long whether it answers: only then the peer keeps the command waiting. */
int pv_cli_lost(struct pv_cli *cli, int status);

/* Prints an answer or event as one line of JSON, without the fields of the envelope ("id", "ok",
 * "code"), and with "format", the version of all these answers. */
void pv_cli_print_json(struct pv_cli *cli, json_t *body);
/* The same of what json_pack() makes of these. The exit code. */
int pv_cli_print_packed(struct pv_cli *cli, const char *format, ...);

/* Prints and frees a table. The exit code. */
int pv_cli_print_table(struct pv_cli *cli, struct pv_table *t);
/* Prints headings and what row() makes of each element of list. The exit code. */
int pv_cli_print_list(struct pv_cli *cli, const char *const *head, size_t n_columns,
                      const json_t *list, void (*row)(struct pv_table *t, const json_t *element));

/* --- secrets --------------------------------------------------------------------------------- */

/* A token or URL from the command line or standard input. */

/* The token or URL, "-" from standard input, into req->secret. Neither has blanks, ends of lines or
 * ">": a mail program has put those there, and they are left out. Overwrites the argument, so
 * that it is not to be seen in the process list any longer than it must. 0 or an exit code. */
PV_MUST_CHECK int pv_cli_secret(struct pv_cli *cli, char *word, struct pv_ctlapi_request *req);
