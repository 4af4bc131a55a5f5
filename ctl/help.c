/* SPDX-License-Identifier: MIT */
/* The overview of p2pvpnctl's commands and the help of each. */
#include "ctl/help.h"

#include <string.h>

#include "ctl/commands.h"

/* The most used come first. A test finds a command that is in none, and a name of none. */
const struct pv_help_group pv_help_groups[] = {
    {"every day", "status peers web ping ip up down networks run"},
    {"connections", "nc forward socks serve pipe ssh"},
    {"chat and files", "chat send inbox history room mute unmute send-file files"},
    {"members",
     "create join invite export admit deny rename leave remove admin address node network "
     "root key"},
    {"rules and routes", "allow rules can tag untag route exit"},
    {"trouble", "doctor why trace events stats netcheck stun log bugreport"},
    {"scripts", "wait reload metrics version completion"},
    {NULL, NULL},
};

const char pv_help_flags[] =
    "  -n, --net NAME     the node of this network, if this machine has several\n"
    "  -S, --socket PATH  p2pvpnd's control socket (/run/p2pvpn/p2pvpnd.sock)\n"
    "  -j, --json         answers and errors as JSON, one object a line\n"
    "  -t, --timeout SEC  give up after SEC seconds\n"
    "  -q, --quiet        errors only, and what scripts need (tokens, JSON)\n"
    "  -l, --long         all details and all columns, and nothing cut\n"
    "  -h, --help         help; also for one command: p2pvpnctl ping -h\n"
    "  -V, --version      p2pvpnctl's version; `p2pvpnctl version`: p2pvpnd's too\n\n";

/* For whoever does not know the program yet: a heading, and what stands beside it. */
static const char *const first[][2] = {
    {"Get started", "create URL   make a network"},
    {"", "join TOKEN   join a network"},
    {"", "invite       print the line that adds another machine"},
    {"", "export NAME  add a phone; --qr prints its QR code"},
    {"Every day", "status, peers, ping, chat, send, send-file, inbox"},
    {"Connect", "forward, serve, socks, pipe, run, route, exit"},
    {"Trouble", "doctor, why, events, stats, netcheck"},
    {"In a browser", "web"},
    {"", ""},
    {"All commands", "p2pvpnctl -h"},
    {"One command", "p2pvpnctl ping -h"},
    {"Manual", "man p2pvpnctl"},
};

static void print_group(const struct pv_help_group *group, FILE *out)
{
    const struct pv_command *c;
    fprintf(out, "%s:\n", group->title);
    for (const char *at = group->commands; *at != '\0'; at += strspn(at, " ")) {
        size_t len = strcspn(at, " ");
        const char *name = PV_STR("%.*s", (int)len, at);
        c = pv_command_find(name);
        fprintf(out, "  %-10s %s\n", name, c == NULL ? "(there is no such command)" : c->summary);
        at += len;
    }
    fputc('\n', out);
}

int pv_help_first(struct pv_cli *cli)
{
    struct pv_table t;
    fputs("Manage this machine's p2pvpn node.\n\n", cli->out);
    pv_table_begin(&t, 2);
    for (size_t i = 0; i < PV_ARRAY_LEN(first); i++)
        pv_table_fact(&t, first[i][0], PV_PLAIN, "%s", first[i][1]);
    return pv_cli_print_table(cli, &t);
}

void pv_help_overview(FILE *out)
{
    fputs("p2pvpnctl: use and manage this node of a p2pvpn network\n\n"
          "usage: p2pvpnctl [flags] COMMAND ...\n\n",
          out);
    for (const struct pv_help_group *g = pv_help_groups; g->title != NULL; g++)
        print_group(g, out);
    fprintf(out,
            "flags, before or after the command:\n%s"
            "exit codes: 0 done, 1 failed, 2 usage, 3 timeout, 4 not joined, 5 permission,\n"
            "  6 unknown peer, 7 peer offline, 8 p2pvpnd not running,\n"
            "  9 coordinator unreachable, 10 relayed although --direct was given, 11 refused,\n"
            "  12 token invalid, used up or expired,\n"
            "  13 too many clients of p2pvpnd, or too many lasting commands\n",
            pv_help_flags);
}

/* Many words go on in lines of their own, for terminals of 80 columns. */
static void print_usage(const struct pv_command *c, FILE *out)
{
    int column = fprintf(out, "usage: p2pvpnctl %s", c->name);
    for (const char *at = c->args; *at != '\0'; at += strspn(at, " ")) {
        int len = (int)strcspn(at, " ");
        if (column + 1 + len > 80)
            column = fprintf(out, "\n        ") - 1;
        column += fprintf(out, " %.*s", len, at);
        at += len;
    }
    fputc('\n', out);
}

void pv_help_command(const struct pv_command *c, FILE *out)
{
    fprintf(out, "p2pvpnctl %s: %s\n\n", c->name, c->summary);
    print_usage(c, out);
    if (c->details[0] != '\0')
        fprintf(out, "\n%s", c->details);
    fprintf(out, "\nexample: %s\n", c->example);
}

const char *pv_help_of_flag(const char *text, const char *name, char *buf, size_t cap)
{
    snprintf(buf, cap, "%s", "");
    const char *flag = PV_STR("--%s", name);
    for (const char *line = text; *line != '\0';
         line += strcspn(line, "\n"), line += *line == '\n') {
        size_t len = strcspn(line, "\n"), at = strspn(line, " ");
        const char *found = memmem(line, len, flag, strlen(flag));
        /* A line of a flag begins with it, or with its letter. */
        if (found == NULL || (found != line + at && found != line + at + strlen("-n, ")))
            continue;
        const char *said = memmem(found, len - (size_t)(found - line), "  ", 2);
        if (said == NULL)
            continue;
        said += strspn(said, " ");
        size_t column = (size_t)(said - line), used = 0;
        /* A line that goes on stands below the first, or, where that column is far to the right, is
         * indented more than the flag. */
        while (used < cap && ((size_t)(said - line) == column ||
                              ((size_t)(said - line) > at && *said != '-' && *said != '\n'))) {
            len = strcspn(said, "\n");
            used += (size_t)snprintf(buf + used, cap - used, "%s%.*s", used == 0 ? "" : " ",
                                     (int)len, said);
            line = said + len + (said[len] == '\n');
            said = line + strspn(line, " ");
        }
        return buf;
    }
    return buf;
}
