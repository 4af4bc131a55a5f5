/* SPDX-License-Identifier: MIT */
/*
 * rights.h - what the coordinator may do on its machine: no more than it needs. Started by root it
 * becomes another user before it opens its state, and after its ports are open it keeps nothing:
 * no capability, no file but its state and certificate, no system call but those it makes
 * (sys/proc/sandbox.h).
 */
#pragma once

#include "base/log.h"
#include "base/pv.h"
#include "coordinator/settings/settings.h"
#include "coordinator/store/pgplugin.h"
#include "sys/proc/sandbox.h"

enum {
    PV_RIGHTS_ERROR_MAX = 512, /* bytes of a sentence, with the NUL */
};

#define PV_RIGHTS_USER "p2pvpn-coordinator"

struct pv_rights {
    struct pv_sandbox_user user;    /* whom root became; name empty: started by somebody else */
    uint64_t keep;                  /* capabilities for good */
    int landlock;                   /* version in force; 0: none */
    char text[PV_SANDBOX_TEXT_MAX]; /* what is in force, for people */
};

/* May the state directory become its user's alone? It may be somebody else's by a mistaken name.
 * Nothing is changed. PV_ERR_EXISTS, PV_ERR_REFUSED (pv_dir_may_take()), with ret_error. */
PV_MUST_CHECK int pv_rights_check(const struct pv_coordset *set,
                                  char ret_error[static PV_RIGHTS_ERROR_MAX]);
/*
 * By root: makes the state directory, gives it to its user, and becomes that user. It is the owner
 * of the directory, when that is not root; else "p2pvpn-coordinator"; where nobody made that user,
 * a uid that nobody else has (pv_sandbox_spare_user()). The files in a directory that changes hands
 * change hands with it. set->state becomes "." when the user could not reach it by its path. By
 * anybody else, and in a user namespace that has nobody but root: nothing. Capabilities that
 * opening ports needs are kept until pv_rights_close(). Errors of pv_rights_check(), which is asked
 * first, -errno and PV_ERR_NOT_FOUND, with ret_error.
 */
PV_MUST_CHECK int pv_rights_enter(struct pv_rights *ret_rights, struct pv_coordset *set,
                                  char ret_error[static PV_RIGHTS_ERROR_MAX]);
/* The ports are open and no thread runs yet: gives up everything else, and logs what is in force.
 * pg: NULL if the settings name no database. Errors of sys/proc/sandbox.h, with ret_error; a kernel
 * without Landlock is none. */
PV_MUST_CHECK int pv_rights_close(struct pv_rights *rights, const struct pv_coordset *set,
                                  const struct pv_pgplugin *pg, const struct pv_log *log,
                                  char ret_error[static PV_RIGHTS_ERROR_MAX]);
