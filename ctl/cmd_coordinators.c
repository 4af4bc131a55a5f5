/* SPDX-License-Identifier: MIT */
/* `network coordinators`: where this network's coordinators are, and moving it to another. */
#include <string.h>

#include "ctl/commands.h"
#include "ctl/lib/cli.h"
#include "ctl/told.h"

enum {
    MOVE_S = 60, /* a new coordinator is given everything, and the former one is told */
};

/* A coordinator with several addresses has a row for each, with its key in the first. */
static int print_list(struct pv_cli *cli, const json_t *body)
{
    static const char *const head[] = {"COORDINATOR", "ADDRESS", "STATE"};
    struct pv_table t;
    pv_table_begin_headed(&t, head, PV_ARRAY_LEN(head));
    PV_EACH_JSON(json_object_get(body, "coordinators"), c) {
        const char *state = pv_json_bool(c, "used") ? "in use" : c_i == 0 ? "preferred" : "";
        PV_EACH_JSON(json_object_get(c, "addresses"), addr) {
            pv_table_cell(&t, PV_PLAIN, addr_i == 0 ? pv_json_text(c, "key", "?") : "");
            pv_table_cell(&t, PV_PLAIN, pv_json_string(addr));
            pv_table_cell(&t, PV_GREEN, addr_i == 0 ? state : "");
        }
    }
    return pv_cli_print_table(cli, &t);
}

/* "the list is signed: 2 of 3 members online have it; the former coordinator has it" */
static int print_moved(struct pv_cli *cli, const json_t *body)
{
    const char *what = cli->args.word[1];
    double online = pv_json_real(body, "online", 0);
    char members[PV_SHOW_BUF] = "no member is online";
    if (online > 0)
        snprintf(members, sizeof(members), "%.0f of %.0f members online have it",
                 pv_json_real(body, "know", 0), online);
    pv_cli_note(cli, "the new list is signed: %s; the %s coordinator %s", members,
                strcmp(what, "remove") == 0 ? "removed" : "former",
                pv_json_bool(body, "former") ? "has it and tells everybody who asks there"
                                             : "was not told");
    if (!pv_json_bool(body, "former"))
        pv_cli_note(cli, "for a member that missed the change: `p2pvpnctl network coordinators "
                         "token`, and on that member `sudo p2pvpnctl join TOKEN`");
    /* A coordinator that is about to move is not there yet. */
    if (strcmp(what, "address") == 0)
        pv_cli_note(cli, "p2pvpnctl did not check that a coordinator answers there. To correct the "
                         "address, run the command again.");
    return 0;
}

/* It takes longer than most requests, for it speaks to two coordinators in turn. */
static int change(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    json_t *body = NULL;
    int code = pv_cli_connect(cli);
    pv_cli_set_timeout(cli, MOVE_S);
    if (code == 0)
        code = pv_cli_call(cli, req, NULL, NULL, &body);
    if (code == 0 && cli->json)
        pv_cli_print_json(cli, body);
    else if (code == 0)
        code = print_moved(cli, body);
    json_decref(body);
    return code;
}

static int fill_url(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    return pv_cli_secret(cli, cli->args.word[2], req);
}

/* Which coordinator is meant. */
static int fill_which(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    const char *word = cli->args.word[2];
    size_t len = strlen(word);
    if (len == 0 || len >= sizeof(req->u.coordinator.which))
        return pv_cli_usage(cli, "\"%.60s\" is no coordinator's key, address or host", word);
    memcpy(req->u.coordinator.which, word, len + 1);
    return 0;
}

/* The addresses are the last word; which of several coordinators is meant stands before. */
static int fill_address(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    int n = cli->args.n_words;
    if (n < 3)
        return pv_cli_usage(cli, "give the new addresses: address [COORDINATOR] HOST:PORT[,...]");
    int code = n == 4 ? fill_which(cli, req) : 0;
    req->text = strdup(cli->args.word[n - 1]);
    return code == 0 && req->text == NULL ? pv_cli_no_memory(cli) : code;
}

/* The words that say what is wanted stand behind `coordinators`. */
static int network(struct pv_cli *cli)
{
    static const struct pv_verb verbs[] = {
        {"", 1, 1, PV_CTLAPI_COORDINATORS, .print = print_list},
        {"token", 2, 2, PV_CTLAPI_COORDINATOR_TOKEN, .print = pv_cli_print_token},
        {"add", 3, 3, PV_CTLAPI_COORDINATOR_ADD, fill_url, .ask = change},
        {"remove", 3, 3, PV_CTLAPI_COORDINATOR_REMOVE, fill_which, .ask = change},
        {"address", 2, 4, PV_CTLAPI_COORDINATOR_ADDRESS, fill_address, .ask = change},
        {.word = NULL},
    };
    static const char there[] = "behind network coordinators stands nothing, add URL, remove "
                                "COORDINATOR, address [COORDINATOR] HOST:PORT[,...] or token";
    if (strcmp(cli->args.word[0], "coordinators") != 0)
        return pv_cli_usage(cli, "behind network stands the word coordinators");
    return pv_cli_run_verb(cli, verbs, 1, there, there);
}

const struct pv_command pv_cmds_coordinators[] = {
    {
        .name = "network",
        .args = "coordinators [add URL|- | remove COORDINATOR | address [COORDINATOR] ADDRESSES | "
                "token]",
        .summary = "list this network's coordinators, or move it to another",
        .details =
            "  add URL      add a coordinator, which members prefer from now on; the earlier\n"
            "               coordinators stay in the list, for when it is away\n"
            "  remove       COORDINATOR is a key, an address or a host of the list\n"
            "  address      its addresses are now ADDRESSES: HOST:PORT or tls:HOST:PORT,\n"
            "               separated by commas\n"
            "  token        print a token for a member that missed the change; on that\n"
            "               member run: join TOKEN\n"
            "Changes need the root key, which is on the machine that ran create (root -h).\n"
            "Members follow a change by themselves.\n",
        .example = "sudo p2pvpnctl network coordinators add 'p2pvpn://HOST:3478/KEY?c=...'",
        .words = {1, 4},
        .run = network,
    },
    {.name = NULL},
};
