/* SPDX-License-Identifier: MIT */
/*
 * commands.h - the subcommands of p2pvpn-coordinator that look after a coordinator's state. Each
 * prints its answer, or one line on stderr that says what to do.
 */
#pragma once

#include <jansson.h>

#include "coordinator/settings/settings.h"

enum {
    PV_COORDEXIT_DONE = 0,
    PV_COORDEXIT_FAILED = 1,
    PV_COORDEXIT_USAGE = 2,
    PV_COORDEXIT_PERMISSION = 5,
    PV_COORDEXIT_UNKNOWN = 6, /* no such network */
    PV_COORDEXIT_NOT_RUNNING = 8,
};

/* Prints one line on stderr; returns PV_COORDEXIT_FAILED, so that it can end a function. */
int pv_coord_print_error(const char *error);

/* Prints the document, which it takes, on one line; returns the exit code. */
int pv_coord_print_json(json_t *doc);
/* Asks the coordinator that runs. 0 and the document, which is no error; or the exit code, the
 * reason printed. */
int pv_coord_ask(const struct pv_coordset *set, json_t *request, json_t **ret_doc, int *ret_status);

/* Prints what the coordinator that runs says of itself, as set->action and set->json ask for it;
 * returns the exit code. */
int pv_coord_status(const struct pv_coordset *set);

/* Sets "copies" of the network, where the list ctx of objects with "id" has it. */
void pv_coord_set_copies(void *ctx, const uint8_t network[static PV_NETWORK_ID_LEN],
                         uint64_t bytes);

/* cluster.c: what is asked and done where several coordinators share a database: which network has
 * its home where, and giving all homes of one away. Return exit codes. */
int pv_cluster_homes(struct pv_coordset *set);
int pv_cluster_drain(const struct pv_coordset *set);
/* Sets "copies" of the networks in a list of objects with "id", where PostgreSQL keeps them. False,
 * and ret_why: it does not say. */
PV_MUST_CHECK bool pv_cluster_copies(const struct pv_coordset *set, json_t *list, char *ret_why,
                                     size_t cap);
/* The sentence about who may drop the network with this id, for who asked one that is not its home.
 */
void pv_cluster_home_of(const struct pv_coordset *set, const char *network, char *ret_text,
                        size_t cap);

/* webpage.c: shows the running coordinator's page until it is interrupted. The exit code. */
int pv_coord_web(const struct pv_coordset *set);

/* Does what set->action asks for, which is one of these: NETWORKS, DROP, SECRET (whose URL the
 * caller prints), BACKUP, RESTORE, IMPORT, EXPORT, RELOAD, HOMES, DRAIN, WEB. */
int pv_coord_command(struct pv_coordset *set);
