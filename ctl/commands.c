/* SPDX-License-Identifier: MIT */
/* The groups of p2pvpnctl's commands, and the names that stand for others. */
#include "ctl/commands.h"

#include <string.h>

#include "ctl/chat/chatcmds.h"

const struct pv_command *const pv_commands[] = {
    pv_cmds_network,    pv_cmds_root, pv_cmds_coordinators, pv_cmds_rules,  pv_cmds_routes,
    pv_cmds_networks,   pv_cmds_node, pv_cmds_info,         pv_cmds_ping,   pv_cmds_chat,
    pv_cmds_files,      pv_cmds_room, pv_cmds_netcheck,     pv_cmds_doctor, pv_cmds_bugreport,
    pv_cmds_completion, NULL,
};

/* The word of the first chat program on this network, which fingers know, and a plural. */
const struct pv_command_alias pv_command_aliases[] = {
    {"getu", "peers"},
    {"routes", "route"},
    {NULL, NULL},
};

/* An alias stands for a name, so help, options and exit codes are those of the command. */
const struct pv_command *pv_command_find(const char *name)
{
    const struct pv_command *c;
    for (const struct pv_command_alias *a = pv_command_aliases; a->name != NULL; a++) {
        if (strcmp(a->name, name) == 0)
            name = a->stands_for;
    }
    for (size_t i = 0; (c = pv_command_at(pv_commands, i)) != NULL; i++) {
        if (strcmp(c->name, name) == 0)
            return c;
    }
    return NULL;
}

enum {
    NAME_MAX_LEN = 16, /* of a command; longer words are no mistyped ones */
    MAX_EDITS = 2,
};

/* How many letters have to be put in, taken out, changed or swapped with their neighbour to turn
 * one word into the other (optimal string alignment). */
static size_t edits(const char *a, size_t n, const char *b, size_t m)
{
    size_t d[NAME_MAX_LEN + 1][NAME_MAX_LEN + 1];
    for (size_t i = 0; i <= n; i++) {
        for (size_t k = 0; k <= m; k++) {
            if (i == 0 || k == 0) {
                d[i][k] = i + k;
                continue;
            }
            size_t best = d[i - 1][k - 1] + (a[i - 1] != b[k - 1]);
            if (d[i - 1][k] + 1 < best)
                best = d[i - 1][k] + 1;
            if (d[i][k - 1] + 1 < best)
                best = d[i][k - 1] + 1;
            if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1] &&
                d[i - 2][k - 2] + 1 < best)
                best = d[i - 2][k - 2] + 1;
            d[i][k] = best;
        }
    }
    return d[n][m];
}

const struct pv_command *pv_command_like(const char *name)
{
    const struct pv_command *c, *found = NULL;
    size_t len = strlen(name), best = MAX_EDITS + 1;
    if (len > NAME_MAX_LEN)
        return NULL;
    for (size_t i = 0; (c = pv_command_at(pv_commands, i)) != NULL; i++) {
        size_t n = strlen(c->name);
        size_t cost = n > NAME_MAX_LEN ? best : edits(name, len, c->name, n);
        /* Of a short word two changed letters leave nothing that was meant. */
        if (cost < best && cost < len) {
            best = cost;
            found = c;
        }
    }
    return found;
}
