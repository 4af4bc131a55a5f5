/* SPDX-License-Identifier: MIT */
/* The groups of p2pvpnctl's commands, and the names that stand for others. */
#include "ctl/commands.h"

#include <string.h>

#include "ctl/chat/chatcmds.h"

const struct pv_command *const pv_commands[] = {
    pv_cmds_network, pv_cmds_node, pv_cmds_info,     pv_cmds_ping,       pv_cmds_chat,
    pv_cmds_files,   pv_cmds_room, pv_cmds_netcheck, pv_cmds_completion, NULL,
};

/* The words of the first chat program on this network: fingers know them. */
const struct pv_command_alias pv_command_aliases[] = {
    {"getu", "peers"},
    {"exit", "down"},
    {NULL, NULL},
};

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
