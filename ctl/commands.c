/* SPDX-License-Identifier: MIT */
/* The groups of p2pvpnctl's commands, and the names that stand for others. */
#include "ctl/commands.h"

#include <string.h>

#include "chat/ctl/chatcmds.h"
#include "ctl/lib/args.h"

const struct pv_command *const pv_commands[] = {
    pv_cmds_network,      pv_cmds_invite,
    pv_cmds_export,       pv_cmds_root,
    pv_cmds_coordinators, pv_cmds_rules,
    pv_cmds_routes,       pv_cmds_networks,
    pv_cmds_run,          pv_cmds_forward,
    pv_cmds_pipe,         pv_cmds_ssh,
    pv_cmds_web,          pv_cmds_node,
    pv_cmds_status,       pv_cmds_info,
    pv_cmds_past,         pv_cmds_ping,
    pv_cmds_chat,         pv_cmds_files,
    pv_cmds_room,         pv_cmds_netcheck,
    pv_cmds_doctor,       pv_cmds_bugreport,
    pv_cmds_completion,   NULL,
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

const struct pv_command *pv_command_like(const char *name)
{
    const struct pv_command *c, *found = NULL;
    size_t len = strlen(name), best = PV_LIKE_NONE;
    for (size_t i = 0; (c = pv_command_at(pv_commands, i)) != NULL; i++) {
        size_t cost = pv_like(name, len, c->name);
        if (cost < best) {
            best = cost;
            found = c;
        }
    }
    return found;
}
