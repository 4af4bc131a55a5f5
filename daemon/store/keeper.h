/* SPDX-License-Identifier: MIT */
/*
 * keeper.h - the process that keeps the root key of a network, and signs with it.
 *
 * The process that reads packets never has the key: it asks the keeper for a signature, and gets
 * one under a statement of a kind that a root key signs, and under nothing else
 * (pv_statement_sign_as_root()). So whoever takes that process over can have statements signed for
 * as long as he holds it, and cannot take the key away. Nothing that is asked for shows the key.
 *
 * root.key of the state directory has mode 0000. Keeper and control process are the same user, who
 * may give its own file another mode, but that call is forbidden to the control process, to the
 * helper and to all that the helper starts (sys/proc/sandbox.h); the keeper opens the file once,
 * before any of them reads a packet: as root where it is that, so that the mode never changes for
 * an earlier control process that an intruder kept running. adr 0054.
 *
 * Forked before any packet is read and any thread starts. Any thread may call; one call at a time
 * is under way, and each blocks until the keeper has answered: signing takes no disk and no other
 * process, so the control thread may wait for it.
 */
#pragma once

#include "base/pv.h"
#include "daemon/core/jobs/job.h"
#include "proto/roster/statement.h"
#include "sys/proc/sandbox.h"

struct pv_keeper; /* opaque, the daemon's end */

/* Forks. -errno, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_keeper_start(struct pv_keeper **ret_keeper);
/* Lets it end, and waits for it. NULL is fine; returns NULL. */
struct pv_keeper *pv_keeper_stop(struct pv_keeper *k);

/*
 * It reads dir/root.key when there is one, becomes this user, gives the file the mode 0000 (a
 * restored file has another), and gives up its rights. Once. *ret_exposed:
 * the file can be read all the same, as its file system knows no modes.
 * PV_ERR_MALFORMED: a file that is no key is never overwritten. -ELOOP, -EMLINK: it is a link or
 * has a second name, and may be another network's. -errno, PV_ERR_REFUSED, PV_ERR_NOMEM,
 * PV_ERR_CLOSED. Then "what failed: why: what to do" is in ret_error.
 */
PV_MUST_CHECK int pv_keeper_open(struct pv_keeper *k, const char *dir,
                                 const struct pv_sandbox_user *user, bool *ret_exposed,
                                 char ret_error[static PV_JOB_ERROR_MAX]);
/* Has it a key? ret_key: how to sign with it, once there is one. */
bool pv_keeper_key(struct pv_keeper *k, struct pv_kept_key *ret_key);
/* PV_JOB_KEEP_ROOT: afterwards the key is on disk. Its errors, -errno, PV_ERR_NOMEM,
 * PV_ERR_CLOSED; ret_error. */
PV_MUST_CHECK int pv_keeper_have(struct pv_keeper *k, const struct pv_job_root *want,
                                 uint8_t ret_pk[static PV_SIGN_PK_LEN],
                                 char ret_error[static PV_JOB_ERROR_MAX]);
/* Deletes the key, from the disk too. -errno, PV_ERR_CLOSED; ret_error. */
PV_MUST_CHECK int pv_keeper_forget(struct pv_keeper *k, char ret_error[static PV_JOB_ERROR_MAX]);
