/* SPDX-License-Identifier: MIT */
/*
 * standby.h - a coordinator that waits until it may serve from PostgreSQL: the database is not
 * there yet, or somebody has it alone (store/pg/pg_lease.h).
 *
 * A coordinator that waits opens no port, so that nodes go to others; `status` says what it waits
 * for. Settings that are to be read again meanwhile are read as soon as it serves.
 */
#pragma once

#include "base/log.h"
#include "coordinator/settings/settings.h"
#include "coordinator/store/pgplugin.h"
#include "sys/proc/supervisor.h"

enum {
    PV_STANDBY_ERROR_MAX = 512, /* bytes of a sentence, with the NUL */
};

/* The lease of this coordinator: its holder is this state directory on this machine since it was
 * switched on. pk: the coordinator's key. shared: as one of several, else alone. Errors of
 * pv_pgplugin.lease_new, -errno; ret_error. */
PV_MUST_CHECK int pv_standby_lease(struct pv_pg_lease **ret_lease, const struct pv_pgplugin *pg,
                                   const struct pv_coordset *set,
                                   const uint8_t pk[static PV_SIGN_PK_LEN], bool shared,
                                   char ret_error[static PV_STANDBY_ERROR_MAX]);

/* Waits until the lease is this one's. PV_OK. PV_ERR_CLOSED: SIGTERM or SIGINT came first. Errors
 * that do not pass by themselves (another key, a newer schema, no rights); ret_error. */
PV_MUST_CHECK int pv_standby_wait(const struct pv_pgplugin *pg, struct pv_pg_lease *lease,
                                  const struct pv_coordset *set, struct pv_supervisor *supervisor,
                                  const struct pv_log *log,
                                  char ret_error[static PV_STANDBY_ERROR_MAX]);
