/* SPDX-License-Identifier: MIT */
/* Commands about prefixes that members carry for each other: route, exit. */
#include <net/if.h>
#include <string.h>

#include "base/netplan.h"
#include "base/text.h"
#include "ctl/commands.h"
#include "ctl/hostprobe.h"
#include "ctl/told.h"

/* The places of their options in the rows below. */
enum {
    ROUTE_NO_SNAT = 0,
    ROUTE_AUTO = 1,
    EXIT_LAN = 0,
    EXIT_BLOCK = 1,
};

/* --- the list ------------------------------------------------------------------------------ */

/* Green works, yellow wants somebody to look, the rest is a choice. */
static enum pv_colour colour_of(const char *state)
{
    if (strcmp(state, "used") == 0 || strcmp(state, "here") == 0)
        return PV_GREEN;
    return strcmp(state, "off") == 0 || strcmp(state, "standby") == 0 ? PV_PLAIN : PV_YELLOW;
}

/* The missing command stands behind the reason: it is what the user wants to copy. */
static void route_row(struct pv_table *t, const json_t *r)
{
    char text[PV_SHOW_BUF];
    const char *state = pv_json_text(r, "state", "?");
    double rtt = pv_json_real(r, "rtt_ms", -1);
    pv_table_cell(t, PV_BOLD, pv_json_text(r, "prefix", "?"));
    pv_table_cell(t, PV_PLAIN, pv_json_text(r, "peer", "?"));
    pv_table_cell(t, colour_of(state), state);
    snprintf(text, sizeof(text), "%.1f ms", rtt);
    pv_table_cell(t, PV_PLAIN, rtt < 0 ? "-" : text);
    pv_table_cell(t, PV_DIM,
                  PV_STR("%s%s", pv_json_text(r, "why", ""),
                         pv_json_bool(r, "offered") && !pv_json_bool(r, "nat") ? " (no NAT)" : ""));
}

/* Sends packets first, so that the list says "used" of what they prove. */
static int try_routes(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    (void)req;
    pv_hostprobe_routes(cli);
    return 0;
}

/* A line each, to be copied as it stands: a cell would cut it. */
static void print_commands(struct pv_cli *cli, const json_t *list)
{
    PV_EACH_JSON(list, r) {
        const char *command = pv_json_text(r, "command", NULL);
        if (command != NULL)
            pv_cli_say(cli, "To use %s through %s: `sudo p2pvpnctl %s`",
                       pv_json_text(r, "prefix", "?"), pv_json_text(r, "peer", "?"), command);
    }
}

/* Nothing is said where no exit is used, as on most machines. */
static void print_exit(struct pv_cli *cli, const json_t *x)
{
    if (json_is_null(x) || x == NULL)
        return;
    if (pv_json_bool(x, "refused")) {
        fprintf(cli->out, "exit node: %s, which this machine cannot use: %s\n",
                pv_json_text(x, "peer", "?"),
                pv_json_bool(x, "block") ? "nothing goes out until it can"
                                         : "no exit node is used");
        return;
    }
    if (pv_json_bool(x, "down")) { /* nothing is blocked then */
        fprintf(cli->out, "exit node: %s%s\n", pv_json_text(x, "peer", "?"), pv_cli_exit_words(x));
        return;
    }
    fprintf(cli->out, "exit node: %s%s%s%s\n", pv_json_text(x, "peer", "?"), pv_cli_exit_words(x),
            pv_json_bool(x, "lan") ? "; networks of this machine are reached directly" : "",
            pv_json_bool(x, "block") ? "; without it nothing goes out" : "");
}

/* A word about a single one counts before that about all, so it stands with it: a line each, since
 * there may be many. */
static void print_use(struct pv_cli *cli, const json_t *body)
{
    const char *use = pv_json_text(body, "use", "auto");
    pv_cli_say(cli, "using %s. To change that: `sudo p2pvpnctl route use`",
               strcmp(use, "all") == 0   ? "all routes that are allowed"
               : strcmp(use, "off") == 0 ? "no routes"
                                         : "the routes that are offered with --auto");
    PV_EACH_JSON(json_object_get(body, "named"), one) {
        fprintf(cli->out, "%s %s: %s\n", one_i == 0 ? "except" : "      ",
                pv_json_text(one, "what", "?"), pv_json_bool(one, "use") ? "used" : "not used");
    }
}

/* The table, then what this node was told to use: the two are read together. */
static int print_routes(struct pv_cli *cli, const json_t *body)
{
    static const char *const head[] = {"PREFIX", "THROUGH", "STATE", "RTT", "WHY"};
    const json_t *list = json_object_get(body, "routes");
    const char *fault = pv_json_text(body, "fault", NULL);
    double more = pv_json_real(body, "more", 0);
    int code = 0;
    if (cli->quiet)
        return 0;
    if (json_array_size(list) > 0)
        code = pv_cli_print_list(cli, head, PV_ARRAY_LEN(head), list, route_row);
    else
        fprintf(cli->out, "No routes: no member offers one.\n");
    if (more > 0)
        fprintf(cli->out, "and %.0f more\n", more);
    print_commands(cli, list);
    print_exit(cli, json_object_get(body, "exit"));
    print_use(cli, body);
    if (fault != NULL)
        fprintf(cli->out, "%s\n", fault);
    return code;
}

/* --- offers, permissions, choice ----------------------------------------------------------- */

/* The daemon decides what it is: it knows the network's range. 0 or an exit code. */
static int take_prefix(struct pv_cli *cli, struct pv_ctlapi_request *req, const char *word)
{
    if (word[0] == '\0' || strlen(word) >= sizeof(req->u.route.prefix))
        return pv_cli_usage(cli, "\"%.60s\": give a prefix such as 192.168.1.0/24", word);
    snprintf(req->u.route.prefix, sizeof(req->u.route.prefix), "%s", word);
    return 0;
}

/* A prefix is the last word; a member stands before it where an admin has a say. The flags are
 * those of an offer: members see them, too. */
static int fill_route(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    int n = cli->args.n_words;
    int code = n == 3 ? pv_cli_peer(cli, req, cli->args.word[1]) : 0;
    req->u.route.no_snat = cli->args.value[ROUTE_NO_SNAT] != NULL;
    req->u.route.automatic = cli->args.value[ROUTE_AUTO] != NULL;
    return code != 0 ? code : take_prefix(cli, req, cli->args.word[n - 1]);
}

static int note_offer(struct pv_cli *cli, const json_t *body)
{
    const char *prefix = strcmp(cli->cmd->name, "exit") == 0 ? "default" : cli->args.word[1];
    pv_cli_note(
        cli,
        "members can use it after an admin allows it. On an admin's machine: `sudo p2pvpnctl "
        "route allow NAME %.60s`",
        prefix);
    return 0;
}

/* "192.168.1.0" is often meant as the network of which it is the first address. */
static int offer(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    const char *prefix = cli->args.word[1];
    int code = pv_cli_ask_and_tell(cli, req, PV_STR("offered %.60s", prefix), note_offer);
    if (code == 0 && !cli->json && strpbrk(prefix, ".:") != NULL && strchr(prefix, '/') == NULL)
        pv_cli_note(cli,
                    "%.50s is one address. A network has its length behind it, as in "
                    "%.50s/%u",
                    prefix, prefix, strchr(prefix, ':') == NULL ? 24U : 64U);
    return code;
}

static int withdraw(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    return pv_cli_ask_and_tell(cli, req, PV_STR("withdrew the offer of %.60s", cli->args.word[1]),
                               NULL);
}

/* Returns true if this member offers the prefix, or if p2pvpnd does not answer. */
static bool is_offered(struct pv_cli *cli, const char *peer, const char *prefix)
{
    json_t *body = NULL;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_ROUTES);
    bool any = strcmp(prefix, "default") == 0, offered = false;
    if (pv_cli_ask(cli, &req, &body) != 0)
        return true;
    PV_EACH_JSON(json_object_get(body, "routes"), route) {
        const char *has = pv_json_text(route, "prefix", "");
        bool same = strcmp(has, prefix) == 0 || (any && strcmp(has, "0.0.0.0/0") == 0);
        offered = offered || (same && pv_json_is(route, "peer", peer) &&
                              !pv_json_is(route, "state", "allowed"));
    }
    json_decref(body);
    return offered;
}

static int allow(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    const char *peer = cli->args.word[1], *prefix = cli->args.word[2];
    int code = pv_cli_ask_and_tell(
        cli, req, PV_STR("members may reach %.60s through %.100s", prefix, peer), NULL);
    bool done = code == 0 || code == PV_CTLAPI_UNREACHABLE;
    if (done && !cli->json && !is_offered(cli, peer, prefix))
        pv_cli_note(cli,
                    "%.100s does not offer it yet. On %.100s: `sudo p2pvpnctl route offer %.60s`",
                    peer, peer, prefix);
    return code;
}

static int deny(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    return pv_cli_ask_and_tell(cli, req,
                               PV_STR("members may no longer reach %.60s through %.100s",
                                      cli->args.word[2], cli->args.word[1]),
                               NULL);
}

static int use(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    const char *last = cli->args.word[cli->args.n_words - 1];
    const char *what = strchr(last, '/') != NULL ? PV_STR("the route %.100s", last)
                                                 : PV_STR("the routes of %.100s", last);
    const char *done = req->u.route.off            ? PV_STR("not using %s", what)
                       : strcmp(last, "all") == 0  ? "using all routes that are allowed"
                       : strcmp(last, "auto") == 0 ? "using the routes that are offered with --auto"
                       : strcmp(last, "off") == 0  ? "using no routes"
                                                   : PV_STR("using %s", what);
    return pv_cli_change(cli, req, PV_STR("%s. To see the routes: `p2pvpnctl route list`", done));
}

/* "use bob", "use 192.168.1.0/24", "use off bob"; all, auto and off go as they are. */
static int fill_use(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    int n = cli->args.n_words;
    req->u.route.off = n == 3;
    if (n == 3 && strcmp(cli->args.word[1], "off") != 0)
        return pv_cli_usage(cli, "give one member or prefix to use, or off before it");
    /* p2pvpnd would take the last word alone, and use what shall not be. */
    const char *last = cli->args.word[n - 1];
    if (n == 3 && (strcmp(last, "all") == 0 || strcmp(last, "auto") == 0))
        return pv_cli_usage(
            cli, "off %s: off alone uses none; a member or a prefix stands behind it", last);
    return pv_cli_peer(cli, req, cli->args.word[n - 1]);
}

/* Any user may see the list: one that does not reach a network asks here first. */
static const struct pv_verb route_verbs[] = {
    {"", 0, 0, PV_CTLAPI_ROUTES, try_routes, .print = print_routes},
    {"list", 1, 1, PV_CTLAPI_ROUTES, try_routes, .print = print_routes},
    {"offer", 2, 2, PV_CTLAPI_ROUTE_OFFER, fill_route, .ask = offer, .options = true},
    {"withdraw", 2, 2, PV_CTLAPI_ROUTE_WITHDRAW, fill_route, .ask = withdraw},
    {"allow", 3, 3, PV_CTLAPI_ROUTE_ALLOW, fill_route, .ask = allow},
    {"deny", 3, 3, PV_CTLAPI_ROUTE_DENY, fill_route, .ask = deny},
    {"use", 2, 3, PV_CTLAPI_ROUTE_USE, fill_use, .ask = use},
    {.word = NULL},
};

/* --- exits --------------------------------------------------------------------------------- */

static int fill_exit(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    req->u.route.lan = cli->args.value[EXIT_LAN] != NULL;
    req->u.route.block = cli->args.value[EXIT_BLOCK] != NULL;
    return pv_cli_peer(cli, req, cli->args.word[1]);
}

/* The answer comes when the host has done it: what is said after that is true. */
static int exit_use(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    json_t *body = NULL;
    struct pv_ctlapi_request again = pv_ctlapi_request_of(PV_CTLAPI_ROUTES);
    int code = pv_cli_change(cli, req,
                             PV_STR("all internet traffic goes through %.*s. Its own networks need "
                                    "a subnet route. To go back: `sudo p2pvpnctl exit off`",
                                    PV_NAME_MAX, cli->args.word[1]));
    if (code != 0 || cli->json || pv_cli_ask(cli, &again, &body) != 0)
        return code;
    const json_t *x = json_object_get(body, "exit");
    if (pv_json_bool(x, "down"))
        pv_cli_note(cli, "this machine is down: the exit node is used after `sudo p2pvpnctl up`");
    else if (json_is_object(x) && !pv_json_bool(x, "works"))
        pv_cli_note(cli, "it does not answer now: until it does, %s",
                    pv_json_bool(x, "block") ? "no traffic leaves this machine"
                                             : "traffic leaves this machine directly");
    json_decref(body);
    return code;
}

/* An exit is the offer of both default routes. */
static int fill_default(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    return take_prefix(cli, req, "default");
}

static int exit_offer(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    return pv_cli_ask_and_tell(cli, req, "offered this machine as an exit node", note_offer);
}

static int exit_withdraw(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    return pv_cli_ask_and_tell(cli, req, "this machine is no longer an exit node", NULL);
}

/* The members that offer to be one, and the one that is used. */
static int print_exits(struct pv_cli *cli, const json_t *body)
{
    static const char *const head[] = {"PREFIX", "THROUGH", "STATE", "RTT", "WHY"};
    const json_t *x = json_object_get(body, "exit");
    struct pv_table t;
    size_t n = 0;
    int code = 0;
    if (cli->quiet)
        return 0;
    PV_EACH_JSON(json_object_get(body, "routes"), route) {
        const char *prefix = pv_json_text(route, "prefix", "");
        if (strcmp(prefix, "0.0.0.0/0") != 0 && strcmp(prefix, "::/0") != 0)
            continue;
        if (n++ == 0)
            pv_table_begin_headed(&t, head, PV_ARRAY_LEN(head));
        route_row(&t, route);
    }
    if (n > 0)
        code = pv_cli_print_table(cli, &t);
    print_exit(cli, x);
    if (json_is_null(x) || x == NULL)
        fprintf(cli->out, "No exit node in use%s.%s\n",
                if_nametoindex(PV_NETPLAN_EXIT_LOCK) == 0
                    ? ""
                    : " in this network; another network of this machine uses one",
                n == 0 ? " No member offers to be one." : "");
    if (n == 0)
        pv_cli_say(cli, "To offer this machine: `sudo p2pvpnctl exit offer`");
    return code;
}

/* Without a word it shows what there is: it was `down` once, which ends --block and lets everything
 * out in the clear. */
static const struct pv_verb exit_verbs[] = {
    {"", 0, 0, PV_CTLAPI_ROUTES, try_routes, .print = print_exits},
    {"use", 2, 2, PV_CTLAPI_EXIT_USE, fill_exit, .ask = exit_use, .options = true},
    {"off", 1, 1, PV_CTLAPI_EXIT_OFF, .done = "no exit node in use"},
    {"offer", 1, 1, PV_CTLAPI_ROUTE_OFFER, fill_default, .ask = exit_offer},
    {"withdraw", 1, 1, PV_CTLAPI_ROUTE_WITHDRAW, fill_default, .ask = exit_withdraw},
    {.word = NULL},
};

const struct pv_command pv_cmds_routes[] = {
    {
        .name = "route",
        .args = "[list | offer PREFIX [--no-snat] [--auto] | withdraw PREFIX | allow PEER PREFIX | "
                "deny PEER PREFIX | use [off] all|auto|PEER|PREFIX]",
        .summary = "reach networks behind members: list, offer, allow, use",
        .details =
            "A member offers a route, an admin allows it, other members use it.\n"
            "  list                    every route, its member, and why it is not used\n"
            "  offer PREFIX            let members reach PREFIX through this node\n"
            "    --no-snat             hosts there see the members' own addresses, and need\n"
            "                          a route back to them\n"
            "    --auto                members use it without a command of their own\n"
            "  withdraw PREFIX         take back the offer\n"
            "  allow PEER PREFIX       as an admin: allow this offer of PEER\n"
            "  deny PEER PREFIX        as an admin: no longer allow it\n"
            "  use all | auto | off    use all allowed routes, those offered with --auto, or\n"
            "                          none\n"
            "  use PEER | PREFIX       use these routes too\n"
            "  use off PEER | PREFIX   do not use these routes\n"
            "PREFIX is IPv4 or IPv6, or default, which means everything (see `exit`).\n",
        .example = "sudo p2pvpnctl route offer 192.168.1.0/24 --auto",
        .options = {{"no-snat", 0, false}, {"auto", 0, false}},
        .words = {0, 3},
        .verbs = route_verbs,
        .there = "there is route list, offer PREFIX, withdraw PREFIX, allow PEER PREFIX, "
                 "deny PEER PREFIX, use all|auto|off|PEER|PREFIX and use off PEER|PREFIX",
        .misplaced = "--no-snat and --auto are said of an offer",
    },
    {
        .name = "exit",
        .args = "[offer | withdraw | use PEER [--lan] [--block] | off]",
        .summary = "use a member as an exit node, or be one",
        .details = "  offer         offer this node as an exit node; an admin allows it with\n"
                   "                `route allow NODE default`\n"
                   "  withdraw      take back the offer\n"
                   "  use PEER      send all traffic of this machine through PEER\n"
                   "    --lan       except traffic to this machine's local networks\n"
                   "    --block     no traffic leaves without PEER, even while PEER is away,\n"
                   "                until `exit off`, `down` or `leave`\n"
                   "  off           use no exit node\n"
                   "Without an argument: list the offered exit nodes, and the exit node in use.\n",
        .example = "sudo p2pvpnctl exit use office --lan",
        .options = {{"lan", 0, false}, {"block", 0, false}},
        .words = {0, 2},
        .verbs = exit_verbs,
        .there = "there is exit offer, exit withdraw, exit use PEER and exit off",
        .misplaced = "--lan and --block are said with exit use PEER",
    },
    {.name = NULL},
};
