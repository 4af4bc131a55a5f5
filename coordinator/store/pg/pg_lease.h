/* SPDX-License-Identifier: MIT */
/*
 * pg_lease.h - who may use a database that several share, and that they are alive.
 *
 * Coordinators share it: each has a row that it renews, and takes homes of networks (home.h) while
 * it does. A process that wants the database alone, to import or export all of it, takes the lease,
 * which nobody gets while a coordinator lives, and while which no coordinator joins.
 *
 * Both end PV_PG_LEASE_MS after they were taken or last renewed, by the clock of the database. Each
 * taking of the lease gives it a higher number, the fence, which every transaction of the store
 * checks (store_pg.h), as it checks the fence of each home. While the database is away nobody can
 * take anything, and coordinators go on with all that needs no store.
 *
 * Every call blocks, at most some seconds. One thread at a time.
 */
#pragma once

#include "coordinator/store/pg/pg.h"
#include "crypto/sign.h"
#include "proto/roster/statement.h"

enum {
    PV_PG_LEASE_MS = 3000,
    PV_PG_LEASE_RENEW_MS = 500,
    PV_PG_LEASE_ASK_MS = 300, /* between two questions of who stands by */
    PV_PG_HOLDER_LEN = 32,
    PV_PG_NAME_MAX = 128,   /* bytes of a holder's name, with the NUL */
    PV_PG_ADDRS_MAX = 1200, /* bytes of its addresses, with the NUL */
};

struct pv_pg_lease_config {
    const char *conninfo; /* kept */
    /* The coordinators' common key: a database belongs to those who have it. */
    uint8_t pk[PV_SIGN_PK_LEN];
    /* The same for one that is started again in the same place, and for no other. */
    uint8_t holder[PV_PG_HOLDER_LEN];
    char name[PV_PG_NAME_MAX];   /* for people */
    bool shared;                 /* to be one of several coordinators; else the lease */
    char addrs[PV_PG_ADDRS_MAX]; /* shared: "HOST:PORT HOST:PORT", told to nodes */
};

/* A home as its holder has it. */
struct pv_pg_home {
    uint8_t network[PV_NETWORK_ID_LEN];
    int64_t fence;
};

/* The words of a renewal, and the answer to it. */
struct pv_pg_renewal {
    uint64_t homes;   /* in: of this coordinator */
    bool draining;    /* in: it gives them away */
    uint64_t wall_us; /* by the database's clock, Unix microseconds; 0: nobody knows */
    pv_ns wall_at;    /* when it said so */
    uint64_t living;  /* coordinators, this one too */
    uint64_t few;     /* homes of the other one that has the fewest, of those that take any;
                         UINT64_MAX: there is none */
    bool again;       /* in: all homes are to be listed, whatever has happened */
    /* All homes of this coordinator, when others may have taken some; owned by who takes it. */
    bool has_list;
    struct pv_pg_home *list;
    size_t n;
};

struct pv_pg_lease; /* opaque */

/* Errors of pv_pg_new(), with ret_error. */
PV_MUST_CHECK int pv_pg_lease_new(struct pv_pg_lease **ret_lease,
                                  const struct pv_pg_lease_config *cfg,
                                  char ret_error[static PV_PG_ERROR_MAX]);
struct pv_pg_lease *pv_pg_lease_free(struct pv_pg_lease *l); /* NULL is fine; returns NULL */

/*
 * Makes the schema, and takes the lease when it is free; shared: becomes one of the
 * coordinators.
 * PV_OK: it is this one's. PV_ERR_AGAIN: ret_other does, or did until lately: a lease that is over
 * is taken only by who has asked for as long as it lasts, without a break. Its holder may have been
 * cut off from the database as everybody was, and comes back with it. PV_ERR_EXISTS: the database
 * is of coordinators with another key. PV_ERR_UNSUPPORTED: pg_schema.h. PV_ERR_CLOSED (away,
 * or it lets us not in) and others of pv_pg_finish(); with ret_error.
 */
PV_MUST_CHECK int pv_pg_lease_take(struct pv_pg_lease *l, char ret_other[static PV_PG_NAME_MAX],
                                   char ret_error[static PV_PG_ERROR_MAX]);
/* Shared: PV_OK: still one of them. PV_ERR_REFUSED: another has its place. Others: nobody knows
 * (away). The lease is never renewed: what is written alone is one transaction, which holds it. */
PV_MUST_CHECK int pv_pg_lease_renew(struct pv_pg_lease *l, struct pv_pg_renewal *renewal,
                                    char ret_error[static PV_PG_ERROR_MAX]);
/* Gives it back, so that another can serve at once; shared: homes and all. */
void pv_pg_lease_release(struct pv_pg_lease *l);
/* The number of this holder's turn; shared: of this coordinator. */
int64_t pv_pg_lease_fence(const struct pv_pg_lease *l);
/* Shared: the epoch of its receipts. */
uint64_t pv_pg_lease_epoch(const struct pv_pg_lease *l);
