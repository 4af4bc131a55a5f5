/* SPDX-License-Identifier: MIT */
/*
 * pgplugin.h - what a coordinator does with a PostgreSQL database: the functions of the shared
 * object store-postgres.so. The coordinator loads it only if its settings name a database
 * (coordinator/pgload.h), so that libpq and the libraries that libpq needs are not mapped
 * otherwise.
 *
 * Every function blocks for some seconds at most. pv_pg_lease and pv_coordstore are each used by
 * one thread at a time.
 */
#pragma once

#include <limits.h>

#include "base/pv.h"
#include "coordinator/store/store.h"
#include "crypto/sign.h"
#include "proto/roster/statement.h"

enum {
    PV_PG_ERROR_MAX = 240, /* bytes of a sentence, with the NUL */
    PV_PG_FILES_MAX = 5,   /* that a conninfo may name */

    PV_PG_LEASE_MS = 3000,
    PV_PG_LEASE_RENEW_MS = 500,
    PV_PG_LEASE_ASK_MS = 300, /* between two questions of who stands by */
    PV_PG_HOLDER_LEN = 32,
    PV_PG_NAME_MAX = 128,   /* bytes of a holder's name, with the NUL */
    PV_PG_ADDRS_MAX = 1200, /* bytes of its addresses, with the NUL */

    PV_PGPLUGIN_VERSION_BUF = 64, /* bytes of a version, with the NUL */
};

/* --- leases (pg/pg_lease.h) ------------------------------------------------------------------ */

struct pv_pg_lease; /* opaque */

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

/* --- what an operator may see (pg/pg_view.h) ------------------------------------------------- */

struct pv_pgview_coordinator {
    char name[PV_PG_NAME_MAX];
    char addrs[PV_PG_ADDRS_MAX];
    bool living;
    bool draining;
    uint64_t homes;
};

struct pv_pgview_home {
    uint8_t network[PV_NETWORK_ID_LEN];
    char name[PV_PG_NAME_MAX]; /* of its coordinator; empty: it has none now */
    bool living;               /* that one */
    bool loaded;               /* that one has it in memory */
    uint64_t since_s;          /* Unix seconds */
    char why[64];
};

struct pv_pgview {
    void *ctx;
    void (*coordinator)(void *ctx, const struct pv_pgview_coordinator *c);
    void (*home)(void *ctx, const struct pv_pgview_home *h);
    void (*copies)(void *ctx, const uint8_t network[static PV_NETWORK_ID_LEN], uint64_t bytes);
};

/* --- the store (pg/store_pg.h) --------------------------------------------------------------- */

struct pv_store_pg_config {
    const char *conninfo; /* kept */
    int64_t fence;        /* of the lease */
    /* Of one of several coordinators (0: whoever has the lease): its number, and the epoch of its
     * receipts. It stores for the networks whose home it has taken by PV_STOREOP_HOME. */
    int64_t member;
    uint64_t epoch;
    /* pv_statement_decode(). It needs a crypto library, of which the shared object has no copy. */
    int (*decode)(struct pv_view data, struct pv_statement *ret_st);
};

/* --- the functions --------------------------------------------------------------------------- */

/* The shared object has one symbol, pv_pgplugin, of this type. */
#define PV_PGPLUGIN_FILE   "store-postgres.so"
#define PV_PGPLUGIN_SYMBOL "pv_pgplugin"

struct pv_pgplugin {
    /* PV_VERSION of the shared object. The other members may be read only if it is also the
     * program's, so it is the first member of every version. */
    char version[PV_PGPLUGIN_VERSION_BUF];

    /* Makes a lease; connects to nothing yet. PV_ERR_MALFORMED (conninfo), PV_ERR_NOMEM, with
     * ret_error. */
    int (*lease_new)(struct pv_pg_lease **ret_lease, const struct pv_pg_lease_config *cfg,
                     char ret_error[static PV_PG_ERROR_MAX]);
    struct pv_pg_lease *(*lease_free)(struct pv_pg_lease *l); /* NULL is fine; returns NULL */
    /*
     * Makes the schema, and takes the lease when it is free; shared: becomes one of the
     * coordinators.
     * PV_OK: it is this one's. PV_ERR_AGAIN: ret_other has it, or had it until lately: a lease that
     * is over is taken only by who has asked for as long as it lasts, without a break. Its holder
     * may have been cut off from the database as everybody was, and comes back with it.
     * PV_ERR_EXISTS: the database is of coordinators with another key. PV_ERR_UNSUPPORTED: the
     * tables are of another version. PV_ERR_CLOSED (away, or it lets us not in) and others of
     * pv_pg_finish() (pg/pg.h); with ret_error.
     */
    int (*lease_take)(struct pv_pg_lease *l, char ret_other[static PV_PG_NAME_MAX],
                      char ret_error[static PV_PG_ERROR_MAX]);
    /* Shared: PV_OK: still one of them. PV_ERR_REFUSED: another has its place. Others: nobody knows
     * (away). The lease is never renewed: what is written alone is one transaction, which holds
     * it. */
    int (*lease_renew)(struct pv_pg_lease *l, struct pv_pg_renewal *renewal,
                       char ret_error[static PV_PG_ERROR_MAX]);
    /* Gives it back, so that another can serve at once; shared: homes and all. */
    void (*lease_release)(struct pv_pg_lease *l);
    /* Returns the number of this holder's turn; shared: of this coordinator. */
    int64_t (*lease_fence)(const struct pv_pg_lease *l);
    /* Shared: returns the epoch of its receipts. */
    uint64_t (*lease_epoch)(const struct pv_pg_lease *l);

    /* Opens the store; the lease has set the schema up. Errors of pv_pg_connect() (pg/pg.h), with
     * ret_error. */
    int (*store_open)(struct pv_coordstore **ret_store, const struct pv_store_pg_config *cfg,
                      char ret_error[static PV_STOREOP_ERROR_MAX]);

    /* Calls what is not NULL for all that there is. Errors of pv_pg_connect() and pv_pg_each()
     * (pg/pg.h); PV_ERR_NOT_FOUND (no coordinator has used the database), PV_ERR_UNSUPPORTED (the
     * tables are of another version); with ret_error. */
    int (*view_read)(const char *conninfo, const struct pv_pgview *view,
                     char ret_error[static PV_PG_ERROR_MAX]);

    /* Copies the paths of the files that a conninfo names: certificates, keys, passwords. Returns
     * how many. */
    size_t (*files)(const char *conninfo, char ret_files[static PV_PG_FILES_MAX][PATH_MAX]);
};
