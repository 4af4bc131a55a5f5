/* SPDX-License-Identifier: MIT */
/*
 * commands.h - the table of p2pvpnctl's commands. Help, the parsing of arguments and completion
 * follow from it.
 *
 * Rows stand beside their functions, in the cmd_*.c of their group; commands.c names the groups.
 */
#pragma once

#include "ctl/lib/cli.h"

enum {
    PV_CLI_SHARED_BUF = 512, /* two names and two networks in a sentence */
};

/* One group each; the last row has a NULL name. */
extern const struct pv_command pv_cmds_network[];
extern const struct pv_command pv_cmds_invite[];
extern const struct pv_command pv_cmds_export[];
extern const struct pv_command pv_cmds_coordinators[];
extern const struct pv_command pv_cmds_networks[];
extern const struct pv_command pv_cmds_run[];
extern const struct pv_command pv_cmds_forward[];
extern const struct pv_command pv_cmds_pipe[];
extern const struct pv_command pv_cmds_ssh[];
extern const struct pv_command pv_cmds_web[];
extern const struct pv_command pv_cmds_rules[];
extern const struct pv_command pv_cmds_routes[];
extern const struct pv_command pv_cmds_root[];
extern const struct pv_command pv_cmds_node[];
extern const struct pv_command pv_cmds_status[];
extern const struct pv_command pv_cmds_info[];
extern const struct pv_command pv_cmds_past[];
extern const struct pv_command pv_cmds_ping[];
extern const struct pv_command pv_cmds_netcheck[];
extern const struct pv_command pv_cmds_doctor[];
extern const struct pv_command pv_cmds_bugreport[];
extern const struct pv_command pv_cmds_completion[];

/* Stores the tag that the user typed in ret_tag. Returns 0 or an exit code. */
PV_MUST_CHECK int pv_cli_tag(struct pv_cli *cli, const char *tag, char ret_tag[static PV_NAME_BUF]);
/* "open", "revoked", "used up" or "expired": an element of the answer to `invite list`. */
const char *pv_cli_invite_state(const json_t *invite);
/* "deny FROM TO PORTS": of the command that also keeps out a machine that waits. */
int pv_cli_deny_rule(struct pv_cli *cli);

/* Adds "shared_names" to a status: the short names that two networks of this machine have, but for
 * those that mean itself in both, as [{"name","networks":[2],"means"}]; means: whose it is, null:
 * nobody's. */
void pv_cli_add_shared_names(json_t *status);
/* The i-th of them as a sentence in buf; false: there is none. */
bool pv_cli_shared_name(const json_t *status, size_t i, char buf[static PV_CLI_SHARED_BUF]);

/* Adds to the problems of a status that [web] listen of the node's settings names a place where no
 * page is kept, and why. */
void pv_cli_add_web_problem(const struct pv_cli *cli, json_t *status);

/* The row of `status` and `netcheck` about this machine's own addresses that peers are not offered;
 * none if there are 0. */
void pv_cli_left_out_row(struct pv_table *t, double left_out);

/* Options of every command, before or behind its name; ends with a NULL name. */
extern const struct pv_option pv_global_options[];
/* All groups in the order of the overview; NULL behind the last. */
extern const struct pv_command *const pv_commands[];

/* Another name for a command. It works, but the overview and completion leave it out. */
struct pv_command_alias {
    const char *name;
    const char *stands_for;
};
extern const struct pv_command_alias pv_command_aliases[]; /* ends with a NULL name */

/* The command of this name or alias; NULL: there is none. */
const struct pv_command *pv_command_find(const char *name);
/* The command whose name is nearest to a mistyped one: "status" for "staus"; NULL: none is near. */
const struct pv_command *pv_command_like(const char *name);
