/* SPDX-License-Identifier: MIT */
/* Commands about who may reach what: allow, deny, rules, can, tag, untag. */
#include <string.h>

#include "base/text.h"
#include "ctl/commands.h"
#include "ctl/told.h"

/* The places of their options in the rows below. */
enum {
    ADD_BEFORE = 0,
    DENY_KEEP = 1,
    TAG_KEEP = 0,
};

static int note_invites(struct pv_cli *cli, const json_t *body)
{
    double ended = pv_json_real(json_object_get(body, "invites"), "open", 0);
    if (ended > 0)
        pv_cli_note(cli,
                    "revoked %.0f invite%s of members with this tag; who joined with one stays "
                    "(--keep-invite keeps them)",
                    ended, ended == 1 ? "" : "s");
    return 0;
}

/* --- allow, deny -------------------------------------------------------------------------- */

/* An admin who allows something means to shut out the rest: without `rules default deny` nothing
 * is. */
static void warn_of_default(struct pv_cli *cli)
{
    json_t *body;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_RULES);
    if (pv_cli_ask(cli, &req, &body) != 0)
        return;
    const json_t *list = json_object_get(body, "rules");
    bool denies = pv_json_is(body, "default", "deny");
    PV_EACH_JSON(list, rule)
        denies = denies || pv_json_is(rule, "verdict", "deny");
    if (!denies)
        pv_cli_note(cli, "everything is still allowed, because no rule denies anything. To allow "
                         "only what rules name: `sudo p2pvpnctl rules default deny`");
    json_decref(body);
}

static void note_doubt(struct pv_cli *cli, const char *doubt)
{
    const char *who = cli->args.word[strcmp(doubt, "to") == 0 ? 1 : 0];
    if (strcmp(doubt, "self") == 0)
        pv_cli_note(cli,
                    "FROM and TO are the same machine: no rule is about what it sends to itself");
    else if (strcmp(doubt, "from") == 0 || strcmp(doubt, "to") == 0)
        pv_cli_note(cli,
                    "nobody has %.70s yet. To give it to a member: `sudo p2pvpnctl tag PEER %.70s`",
                    who, strncmp(who, "tag:", 4) == 0 ? who + 4 : who);
    else if (strcmp(doubt, "range") == 0)
        pv_cli_note(cli, "a prefix means hosts behind members, not members with an address in it. "
                         "To name all members, write any");
}

/* A rule that can hardly be meant holds all the same: the next command may be the one that makes
 * sense of it. */
static int note_rule(struct pv_cli *cli, const json_t *body)
{
    double exists = pv_json_real(body, "exists", 0);
    if (exists > 0)
        pv_cli_note_told(cli, PV_STR("nothing to do: rule %.0f says that already", exists), body);
    else
        pv_cli_note_told(cli,
                         PV_STR("added the rule: %s %.100s %.100s %.200s", cli->cmd->name,
                                cli->args.word[0], cli->args.word[1], cli->args.word[2]),
                         body);
    PV_EACH_JSON(json_object_get(body, "doubts"), doubt)
        note_doubt(cli, pv_json_string(doubt));
    double by = pv_json_real(body, "decided_by", 0);
    if (by > 0 && pv_json_is(body, "decides", "same"))
        pv_cli_note(cli, "rule %.0f already says that, and more", by);
    else if (by > 0)
        pv_cli_note(cli,
                    "rule %.0f comes first and decides otherwise. To change that: `sudo p2pvpnctl "
                    "rules remove %.0f`, then the same command with --before %.0f",
                    by, pv_json_real(body, "number", 0), by);
    return note_invites(cli, body);
}

/* A text of the user's that the request owns. 0 or an exit code. */
static int own_text(struct pv_cli *cli, const char *text, char **slot)
{
    *slot = strdup(text);
    return *slot == NULL ? pv_cli_no_memory(cli) : 0;
}

/* One word of whom a rule means. 0 or an exit code. */
static int take_who(struct pv_cli *cli, const char *word, char dst[static PV_CTLAPI_PEER_BUF])
{
    if (word[0] == '\0' || strlen(word) >= PV_CTLAPI_PEER_BUF)
        return pv_cli_usage(cli, "\"%.60s\": give a member's name, tag:NAME, any, or a prefix",
                            word);
    snprintf(dst, PV_CTLAPI_PEER_BUF, "%s", word);
    return 0;
}

/* The verdict is the command's own name. */
static int add(struct pv_cli *cli, const char *verdict)
{
    const char *before = cli->args.value[ADD_BEFORE];
    uint64_t number = 0;
    int code = 0;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_RULE_ADD);
    snprintf(req.u.rule.verdict, sizeof(req.u.rule.verdict), "%s", verdict);
    if (before != NULL)
        code = pv_cli_number(cli, "--before", before, 1, UINT32_MAX, &number);
    req.u.rule.number = (uint32_t)number;
    req.u.rule.keep_invite = cli->args.value[DENY_KEEP] != NULL; /* `allow` has no such option */
    if (code == 0)
        code = take_who(cli, cli->args.word[0], req.u.rule.from);
    if (code == 0)
        code = take_who(cli, cli->args.word[1], req.u.rule.to);
    if (code == 0)
        code = own_text(cli, cli->args.word[2], &req.text);
    if (code == 0)
        code = pv_cli_ask_and_tell(cli, &req, NULL, note_rule);
    pv_ctlapi_request_done(&req);
    if (strcmp(verdict, "allow") == 0 && (code == 0 || code == PV_CTLAPI_UNREACHABLE))
        warn_of_default(cli);
    return code;
}

/* Its counterpart is a way of calling another command, so only this one has a row here. */
static int allow(struct pv_cli *cli)
{
    return add(cli, "allow");
}

/* Called by `deny`, which also keeps out machines that wait: three words make it a rule. */
int pv_cli_deny_rule(struct pv_cli *cli)
{
    return add(cli, "deny");
}

/* --- rules -------------------------------------------------------------------------------- */

static const char there_are[] =
    "there is rules list, rules remove NUMBER and rules default allow|deny";

/* A rule that allows keeps nothing out, so it has no number there. */
static void rule_row(struct pv_table *t, const json_t *rule)
{
    bool allow_it = pv_json_is(rule, "verdict", "allow");
    double denied = pv_json_real(rule, "denied", 0);
    pv_table_cellf(t, PV_BOLD, "%.0f", pv_json_real(rule, "number", 0));
    pv_table_cell(t, allow_it ? PV_GREEN : PV_YELLOW, allow_it ? "allow" : "deny");
    pv_table_cell(t, PV_PLAIN, pv_json_text(rule, "from", "?"));
    pv_table_cell(t, PV_PLAIN, pv_json_text(rule, "to", "?"));
    pv_table_cell(t, PV_PLAIN, pv_json_text(rule, "ports", "?"));
    pv_table_cell(t, PV_DIM, pv_json_text(rule, "by", "-"));
    pv_table_cell(t, PV_DIM, allow_it ? "-" : PV_STR("%.0f", denied));
}

/* A line each, since a member may have many: they would not fit a column of the table. */
static void print_tags(struct pv_cli *cli, const json_t *body)
{
    PV_EACH_JSON(json_object_get(body, "tags"), tag) {
        fprintf(cli->out, "%s %s has tag:%s\n", tag_i == 0 ? "tags:" : "     ",
                pv_json_text(tag, "peer", "?"), pv_json_text(tag, "tag", "?"));
    }
}

/* The table, then what holds where no rule is about it: the two are read together. */
static int print_rules(struct pv_cli *cli, const json_t *body)
{
    static const char *const head[] = {"RULE", "VERDICT", "FROM", "TO", "PORTS", "-BY", "-DENIED"};
    const json_t *list = json_object_get(body, "rules");
    const char *word = pv_json_text(body, "default", "allow");
    const char *firewall = pv_json_text(body, "firewall", NULL);
    int code = 0;
    if (cli->quiet)
        return 0;
    if (json_array_size(list) > 0)
        code = pv_cli_print_list(cli, head, PV_ARRAY_LEN(head), list, rule_row);
    pv_cli_say(cli, "default: %s%s", word,
               strcmp(word, "deny") == 0 ? "" : " (applies if no rule matches)");
    if (firewall != NULL)
        fprintf(cli->out, "this node accepts only %s ([firewall] allow)\n", firewall);
    print_tags(cli, body);
    return code;
}

static int fill_number(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    uint64_t number = 0;
    int code = pv_cli_number(cli, "remove", cli->args.word[1], 1, UINT32_MAX, &number);
    req->u.rule.number = (uint32_t)number;
    return code;
}

static int fill_default(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    const char *word = cli->args.word[1];
    if (strcmp(word, "allow") != 0 && strcmp(word, "deny") != 0)
        return pv_cli_usage(cli, "%s", there_are);
    snprintf(req->u.rule.verdict, sizeof(req->u.rule.verdict), "%s", word);
    return 0;
}

static int remove_rule(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    return pv_cli_ask_and_tell(cli, req, PV_STR("removed rule %u", req->u.rule.number),
                               note_invites);
}

static int set_default(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    return pv_cli_ask_and_tell(cli, req,
                               strcmp(req->u.rule.verdict, "deny") == 0
                                   ? "members reach only what rules allow (default: deny)"
                                   : "members reach what no rule denies (default: allow)",
                               note_invites);
}

static const struct pv_verb rules_verbs[] = {
    {"", 0, 0, PV_CTLAPI_RULES, .print = print_rules},
    {"list", 1, 1, PV_CTLAPI_RULES, .print = print_rules},
    {"remove", 2, 2, PV_CTLAPI_RULE_REMOVE, fill_number, .ask = remove_rule},
    {"default", 2, 2, PV_CTLAPI_RULES_DEFAULT, fill_default, .ask = set_default},
    {.word = NULL},
};

/* --- can ---------------------------------------------------------------------------------- */

/* Rules say nothing of the firewall of the host that they are kept at. A machine cannot try itself,
 * and what is behind a member is no peer: there its gateway is tried. */
static void note_walls(struct pv_cli *cli, const json_t *body)
{
    const char *to = pv_json_text(body, "to", "?"), *peer = pv_json_text(body, "peer", to);
    if (pv_json_bool(body, "self"))
        pv_cli_note(cli, "A firewall of this machine may still block it. To check: `sudo p2pvpnctl "
                         "doctor`");
    else
        pv_cli_note(cli, "A firewall of %s may still block it. To check: `p2pvpnctl why %s`", peer,
                    peer);
}

/* The answer is no error: it goes to where scripts read, and the exit code says it again. */
static int print_can(struct pv_cli *cli, const json_t *body)
{
    bool allowed = pv_json_bool(body, "allowed");
    if (!cli->quiet)
        fprintf(cli->out, "%s: %s %s reach %s:%s (%s)\n", allowed ? "yes" : "no",
                pv_json_text(body, "from", "?"), allowed ? "may" : "may not",
                pv_json_text(body, "to", "?"), pv_json_text(body, "port", "?"),
                pv_json_text(body, "why", "?"));
    if (allowed && pv_json_bool(body, "login"))
        pv_cli_note(cli,
                    "The account is open if root of %s named it: `sudo p2pvpnctl ssh enable`. "
                    "Keys count if %s announced them: `sudo p2pvpnctl ssh keys`",
                    pv_json_text(body, "to", "?"), pv_json_text(body, "from", "?"));
    if (allowed && !pv_json_bool(body, "itself"))
        note_walls(cli, body);
    return allowed ? 0 : PV_CTLAPI_REFUSED;
}

/* "bob:22", or "bob 22": the last colon parts, since names have none and addresses have many. */
static int fill_can(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    char to[PV_CTLAPI_PEER_BUF];
    const char *word = cli->args.word[1], *login = strstr(word, ":ssh:");
    const char *colon = login != NULL ? login : strrchr(word, ':');
    const char *port = colon == NULL ? "" : colon + 1;
    if (cli->args.n_words == 3) { /* as `allow` has it */
        colon = word + strlen(word);
        port = cli->args.word[2];
    }
    if (colon == NULL || colon == word || port[0] == '\0' || (size_t)(colon - word) >= sizeof(to))
        return pv_cli_usage(cli,
                            "%.60s has no port: give NAME:PORT, such as %.60s:22 or %.60s:ping",
                            word, word, word);
    memcpy(to, word, (size_t)(colon - word));
    to[colon - word] = '\0';
    int code = take_who(cli, cli->args.word[0], req->u.rule.from);
    if (code == 0)
        code = take_who(cli, to, req->u.rule.to);
    return code != 0 ? code : own_text(cli, port, &req->text);
}

/* --- tags --------------------------------------------------------------------------------- */

int pv_cli_tag(struct pv_cli *cli, const char *tag, char ret_tag[static PV_NAME_BUF])
{
    /* As rules have it. */
    tag += strncmp(tag, "tag:", 4) == 0 ? 4 : 0;
    if (pv_name_parse(tag, strlen(tag), ret_tag) < 0)
        return pv_cli_usage(
            cli, "\"%.80s\" is no tag: use 1 to 63 of a-z 0-9 and -, not at the ends", tag);
    return 0;
}

static int fill_tag(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    int code = pv_cli_tag(cli, cli->args.word[1], req->u.member.name);
    req->u.member.keep_invite = cli->args.value[TAG_KEEP] != NULL; /* `untag` has no such option */
    return code != 0 ? code : pv_cli_peer(cli, req, cli->args.word[0]);
}

static int tag_it(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    return pv_cli_ask_and_tell(
        cli, req, PV_STR("tagged %.100s with %s", req->peer, req->u.member.name), note_invites);
}

static int untag_it(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    return pv_cli_ask_and_tell(cli, req,
                               PV_STR("removed tag %s from %.100s", req->u.member.name, req->peer),
                               note_invites);
}

static const char who_and_ports[] =
    "FROM and TO are a member's name, tag:NAME, or any. TO can also be a prefix\n"
    "behind a member. PORTS are all, ping, icmp, chat, files, ssh, http, https, dns,\n"
    "rdp, smb, tcp, udp, tcp/22, udp/5000-5010, 22 (TCP and UDP), or proto/47, which\n"
    "is a protocol's number. Commas separate them. ssh:USER[,USER] opens sshd's port\n"
    "and these accounts of TO, which root of TO has to name, too (ssh enable);\n"
    "ssh/2222:USER is for an sshd at another port. The first rule that matches both\n"
    "nodes and the port decides. Answers always pass. Each node drops incoming\n"
    "packets that the rules deny. Only admins who may remove members can add rules.\n"
    "  --before N  insert it as rule N instead of last\n";

const struct pv_command pv_cmds_rules[] = {
    {
        .name = "allow",
        .args = "FROM TO PORTS [--before N]",
        .summary = "add a rule: FROM may reach these ports of TO",
        .details = who_and_ports,
        .example = "sudo p2pvpnctl allow tag:guest gameserver udp/27015",
        .options = {{"before", 0, true}},
        .words = {3, 3},
        .run = allow,
    },
    {
        .name = "rules",
        .args = "[list | remove NUMBER | default allow|deny]",
        .summary = "list the rules, remove one, or set the default",
        .details = "The first rule that matches decides. DENIED counts the packets that this node\n"
                   "dropped.\n"
                   "  remove NUMBER       remove this rule for all nodes\n"
                   "  default allow|deny  for connections that no rule matches (allow)\n",
        .example = "sudo p2pvpnctl rules default deny",
        .words = {0, 2},
        .verbs = rules_verbs,
        .there = there_are,
    },
    {
        .name = "can",
        .args = "FROM TO:PORT",
        .summary = "tell whether the rules let FROM reach TO, and which rule decides",
        .details =
            "PORT is 22 (TCP), udp/53, ping, proto/47, chat, files, or ssh:USER, which asks\n"
            "about an account. The form FROM TO PORT works too.\n"
            "Exit code 11: the rules do not "
            "allow it.\n",
        .example = "p2pvpnctl can alice bob:22",
        .words = {2, 3},
        .verb = {.cmd = PV_CTLAPI_CAN, .fill = fill_can, .print = print_can},
    },
    {
        .name = "tag",
        .args = "PEER TAG [--keep-invite]",
        .summary = "give a member a tag, which rules can name",
        .details = "If a rule denies something to TAG, this also revokes the member's invite.\n"
                   "Otherwise the machine could join again under another name.\n"
                   "  --keep-invite  do not revoke the invite\n",
        .example = "sudo p2pvpnctl tag hp4500 printer",
        .options = {{"keep-invite", 0, false}},
        .words = {2, 2},
        .verb = {.cmd = PV_CTLAPI_TAG, .fill = fill_tag, .ask = tag_it},
    },
    {
        .name = "untag",
        .args = "PEER TAG",
        .summary = "remove a tag from a member",
        .details = "",
        .example = "sudo p2pvpnctl untag laptop guest",
        .words = {2, 2},
        .verb = {.cmd = PV_CTLAPI_UNTAG, .fill = fill_tag, .ask = untag_it},
    },
    {.name = NULL},
};
