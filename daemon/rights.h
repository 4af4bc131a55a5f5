/* SPDX-License-Identifier: MIT */
/*
 * rights.h - how p2pvpnd gives up root's rights: whose user it becomes, whose the state directory
 * is then, and what is left to it.
 */
#pragma once

#include <limits.h>

#include "sys/proc/sandbox.h"

enum {
    PV_RIGHTS_ERROR_MAX = 256, /* bytes, with the NUL */
};

/* True when this process may make an interface: it is root, or a service that was started as a user
 * with CAP_NET_ADMIN. */
PV_MUST_CHECK bool pv_rights_suffice(void);
/* The user of the package ("p2pvpn"); where it was not made one that nobody else has; where this
 * process may not become another user (a container) the one that it is. */
void pv_rights_choose(struct pv_sandbox_user *ret_user);

/* The uid of this user when no other program has it, so that its packets are ours; else 0. */
uint32_t pv_rights_own_uid(const struct pv_sandbox_user *user);

/* May the state directory become this user's, with mode 0700? It may be somebody else's by mistake.
 * Nothing is changed; errors of pv_dir_may_take(). */
PV_MUST_CHECK int pv_rights_may_take(const char *state, const struct pv_sandbox_user *user);

/*
 * Makes the state directory, mode 0700, and gives it to the user, with the files in it and in
 * files/ below: regular ones without a second name, that were root's or the directory's owner's.
 * No link is followed. Below a directory that the user may not enter (root's home) the user stays
 * root: *user says so then. Errors of pv_rights_may_take(), -errno.
 */
PV_MUST_CHECK int pv_rights_hand_over(const char *state, struct pv_sandbox_user *user);

/*
 * Makes the directory of the control socket. As root it is root's alone from then on, since root
 * opens files in it: links, sockets and names that the user left there go. But for one of the user
 * in which another daemon listens: PV_ERR_EXISTS, and ret_other is its socket. PV_ERR_REFUSED: yet
 * others may write to it. -errno.
 */
PV_MUST_CHECK int pv_rights_take_directory(const char *dir, const struct pv_sandbox_user *user,
                                           char ret_other[static PATH_MAX]);

struct pv_rights_config {
    const char *state;   /* directory, to write in */
    const char *socket;  /* whose directory has the names of other members, to read */
    const char *ca_file; /* authorities of relays; NULL: those of the system */
    const char *config;  /* settings outside /etc, to read again; NULL: there are none */
};

/* Would the process be let into the home directory of its user, as one of these or below it?
 * ret_dir is that directory then: p2pvpnd --user does not start so. */
PV_MUST_CHECK bool pv_rights_open_home(const struct pv_rights_config *cfg,
                                       char ret_dir[static PATH_MAX]);

/* Becomes the user, without capabilities, and keeps these files and the calls of the control
 * process. Before the first thread. ret_text: what is in force. -errno, PV_ERR_NOMEM: the process
 * must end. */
PV_MUST_CHECK int pv_rights_give_up(const struct pv_sandbox_user *user,
                                    const struct pv_rights_config *cfg,
                                    char ret_text[static PV_SANDBOX_TEXT_MAX]);
