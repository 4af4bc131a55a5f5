/* SPDX-License-Identifier: MIT */
/* Commands about p2pvpnd itself: up, down, version, log, reload. */
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "ctl/commands.h"
#include "ctl/lib/systemd.h"

enum {
    ONLINE_S = 5, /* ours: after `up` a coordinator that is there is connected long before */
};

/* A machine that is up now may not be after its next start. */
static void note_boot(struct pv_cli *cli)
{
    const char *unit = cli->node.unit;
    if (geteuid() == 0 && cli->node.is_usual && pv_systemd_has(unit) &&
        !pv_systemd_is("is-enabled", unit))
        pv_cli_note(cli, "p2pvpnd does not start at boot. To change that: `systemctl enable %s`",
                    unit);
}

/* The next command may ask for a peer, which only the coordinator knows to be there. */
static void wait_for_coordinator(struct pv_cli *cli)
{
    json_t *body = NULL;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_WAIT);
    pv_ns given = cli->timeout;
    pv_cli_hush(cli, true);
    pv_cli_set_timeout(cli, ONLINE_S);
    int code = pv_cli_call(cli, &req, NULL, NULL, &body);
    pv_cli_hush(cli, false);
    cli->timeout = given;
    json_decref(body);
    if (code == PV_CTLAPI_TIMEOUT && !cli->json)
        pv_cli_note(cli, "the coordinator is not connected yet: `p2pvpnctl status` says why");
}

/* Only this command, create and join start p2pvpnd: the user wants the node to run from now on. */
static int up(struct pv_cli *cli)
{
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_UP);
    int code = pv_cli_check_node(cli);
    if (code == 0)
        code = pv_cli_connect_or_start(cli);
    if (code == 0)
        code = pv_cli_change(cli, &req, "this node is up");
    if (code == 0) {
        wait_for_coordinator(cli);
        note_boot(cli);
    }
    return code;
}

static int fill_level(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    enum pv_log_level level;
    const char *word = cli->args.word[0];
    if (pv_log_level_parse(word, &level) < 0)
        return pv_cli_usage(cli, "\"%.40s\" is not a level: give error, warn, info or debug", word);
    snprintf(req->u.log.level, sizeof(req->u.log.level), "%s", pv_log_level_name(level));
    return 0;
}

static int set_level(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    return pv_cli_change(cli, req, PV_STR("the log level is %s now", req->u.log.level));
}

/* The own version comes before p2pvpnd is asked, so that it is there when p2pvpnd is not. */
static int version(struct pv_cli *cli)
{
    json_t *body = NULL;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_VERSION);
    if (!cli->json)
        fputs("p2pvpnctl " PV_VERSION "\n", cli->out);
    int code = pv_cli_ask(cli, &req, &body);
    if (code != 0)
        return code;
    const char *theirs = pv_json_text(body, "version", "?");
    if (cli->json)
        pv_cli_print_json(cli, body);
    else
        fprintf(cli->out, "p2pvpnd %s\n", theirs);
    json_decref(body);
    return 0;
}

static void print_keys(struct pv_cli *cli, const char *what, const json_t *keys)
{
    if (json_array_size(keys) == 0)
        return;
    fputs(what, cli->out);
    PV_EACH_JSON(keys, key)
        fprintf(cli->out, "%s %s", key_i == 0 ? "" : ",", pv_json_string(key));
    fputc('\n', cli->out);
}

/* "nothing has changed" is said in words: an empty answer would leave open whether it was read. */
static int print_reloaded(struct pv_cli *cli, const json_t *body)
{
    const json_t *changed = json_object_get(body, "changed");
    const json_t *restart = json_object_get(body, "restart");
    const bool same = json_array_size(changed) + json_array_size(restart) == 0;
    const char *file = pv_json_text(body, "file", "?");
    if (pv_json_bool(body, "no_file"))
        fprintf(cli->out, "%s does not exist: the defaults hold%s\n", file,
                same ? ", as before" : "");
    else
        fprintf(cli->out, "read %s%s\n", file, same ? ": nothing has changed" : "");
    print_keys(cli, "changed:", changed);
    print_keys(cli, "needs a restart of p2pvpnd:", restart);
    return 0;
}

const struct pv_command pv_cmds_node[] = {
    {
        .name = "up",
        .keeps_root = true,
        .args = "",
        .summary = "connect this node to its network again",
        .details = "As root this starts p2pvpnd if it is not running.\n",
        .example = "sudo p2pvpnctl up",
        .run = up,
    },
    {
        .name = "down",
        .keeps_root = true,
        .args = "",
        .summary = "disconnect; identity and membership stay",
        .details = "",
        .example = "sudo p2pvpnctl down",
        .verb = {.cmd = PV_CTLAPI_DOWN,
                 .done = "this node is down. To connect it again: `sudo p2pvpnctl up`"},
    },
    {
        .name = "version",
        .args = "",
        .summary = "versions of p2pvpnctl and of the running p2pvpnd",
        .details = "",
        .example = "p2pvpnctl version",
        .run = version,
    },
    {
        .name = "log",
        .keeps_root = true,
        .args = "error|warn|info|debug",
        .summary = "set the log level of p2pvpnd: error, warn, info or debug",
        .details = "",
        .example = "sudo p2pvpnctl log debug",
        .words = {1, 1},
        .verb = {.cmd = PV_CTLAPI_LOG, .fill = fill_level, .ask = set_level},
    },
    {
        .name = "reload",
        .args = "",
        .summary = "make p2pvpnd read its configuration again",
        .details =
            "p2pvpnd reads the whole configuration before it changes anything. A mistake is\n"
            "reported with file and line, and changes nothing. Prints what changed and what\n"
            "needs a restart.\n",
        .example = "sudo p2pvpnctl reload",
        .verb = {.cmd = PV_CTLAPI_RELOAD, .print = print_reloaded},
    },
    {.name = NULL},
};
