/* SPDX-License-Identifier: MIT */
/*
 * pg_lease.h - which of the coordinators that share a database serves: the one that holds its
 * lease. The others stand by and ask for it again and again.
 *
 * The lease ends PV_PG_LEASE_MS after it was last renewed, by the clock of the database. Each
 * taking gives it a higher number, the fence, which every transaction of the store checks
 * (store_pg.h): so at most one coordinator stores at any time, whatever clocks, pauses and
 * partitions do. While the database is away nobody can take the lease, and its holder goes on with
 * all that needs no store.
 *
 * Every call blocks, at most some seconds. One thread at a time.
 */
#ifndef PV_PG_LEASE_H
#define PV_PG_LEASE_H

#include "coordinator/store/pg.h"
#include "crypto/sign.h"

enum {
    PV_PG_LEASE_MS = 3000,
    PV_PG_LEASE_RENEW_MS = 500,
    PV_PG_LEASE_ASK_MS = 300, /* between two questions of who stands by */
    PV_PG_HOLDER_LEN = 32,
    PV_PG_NAME_MAX = 128, /* bytes of a holder's name, with the NUL */
};

struct pv_pg_lease_config {
    const char *conninfo; /* kept */
    /* The coordinators' common key: a database belongs to those who have it. */
    uint8_t pk[PV_SIGN_PK_LEN];
    /* The same for one that is started again in the same place, and for no other. */
    uint8_t holder[PV_PG_HOLDER_LEN];
    char name[PV_PG_NAME_MAX]; /* for people */
};

struct pv_pg_lease; /* opaque */

/* Errors of pv_pg_new(), with ret_error. */
PV_MUST_CHECK int pv_pg_lease_new(struct pv_pg_lease **ret_lease,
                                  const struct pv_pg_lease_config *cfg,
                                  char ret_error[static PV_PG_ERROR_MAX]);
struct pv_pg_lease *pv_pg_lease_free(struct pv_pg_lease *l); /* NULL is fine; returns NULL */

/*
 * Makes or updates the schema, and takes the lease when it is free.
 * PV_OK: this one serves. PV_ERR_AGAIN: ret_other does, or did until lately: a lease that is over
 * is taken only by who has asked for as long as it lasts, without a break. Its holder may have been
 * cut off from the database as everybody was, and comes back with it. PV_ERR_EXISTS: the database
 * is of coordinators with another key. PV_ERR_UNSUPPORTED: it is newer. PV_ERR_CLOSED (away),
 * PV_ERR_AUTH and others of pv_pg_finish(); with ret_error.
 */
PV_MUST_CHECK int pv_pg_lease_take(struct pv_pg_lease *l, char ret_other[static PV_PG_NAME_MAX],
                                   char ret_error[static PV_PG_ERROR_MAX]);
/* PV_OK: still ours. PV_ERR_REFUSED: another has taken it. Others: nobody knows (away). */
PV_MUST_CHECK int pv_pg_lease_renew(struct pv_pg_lease *l, char ret_error[static PV_PG_ERROR_MAX]);
/* Gives it back, so that another can serve at once. */
void pv_pg_lease_release(struct pv_pg_lease *l);
/* The number of this holder's turn. */
int64_t pv_pg_lease_fence(const struct pv_pg_lease *l);

#endif /* PV_PG_LEASE_H */
