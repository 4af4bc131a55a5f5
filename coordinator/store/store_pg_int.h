/* SPDX-License-Identifier: MIT */
/*
 * store_pg_int.h - what the files of the store in PostgreSQL share. Not for others. Each calls only
 * those above it in this list:
 *
 *   pg_homes.c   the homes that this coordinator has: taking, giving away, their fences
 *   store_pg.c   everything else
 */
#pragma once

#include <stdatomic.h>

#include "base/map.h"
#include "coordinator/core/member/home.h"
#include "coordinator/store/store_pg.h"

enum {
    PV_PGSTORE_OPS_MAX = 64, /* operations that share a transaction */
    PV_PGSTORE_UNREAD = 256, /* ours: networks; the oldest gives way, and is read in vain again */
};

struct pv_pghome; /* a home of this coordinator */

/* A network that could not be read: the connection ended, or carried nothing more. */
struct pv_pgunread {
    uint8_t network[PV_NETWORK_ID_LEN];
    pv_ns until; /* it is left to others; 0: free */
};

struct pv_pgstore {
    struct pv_coordstore base;
    struct pv_pg *pg;
    int64_t fence;  /* of the lease, where member is 0 */
    int64_t member; /* number of this coordinator; 0: it has the lease */
    uint64_t epoch; /* of the newest receipts that may be given */
    struct pv_map map;
    struct pv_pghome *homes;
    struct pv_pgunread unread[PV_PGSTORE_UNREAD];
    size_t next_unread; /* the place of the next one */
    int64_t given_to;   /* the last one that was given homes, */
    int64_t given;      /* how many, */
    pv_ns given_at;     /* and since when: it says how many it has a little later */
    pv_ns age_at;       /* copies that are too old are looked for no earlier */
    atomic_bool stop;
    bool held;      /* all operations are parts of one transaction */
    pv_ns retry_at; /* no attempt to connect before */
    char away[PV_STOREOP_ERROR_MAX];
};

/* The statements of this file, to be prepared with the others. */
extern const struct pv_pg_statement pv_pghomes_statements[];
enum {
    PV_PGHOMES_STATEMENTS = 7,
};

#define PV_PGSTORE_WAIT PV_S(10) /* without a sign of the database: it is away */

void pv_pghomes_done(struct pv_pgstore *s);
/* The fence of a home; 0: it is not here. */
int64_t pv_pghomes_fence(const struct pv_pgstore *s,
                         const uint8_t network[static PV_NETWORK_ID_LEN]);
/* It has this fence from now on. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_pghomes_note(struct pv_pgstore *s,
                                  const uint8_t network[static PV_NETWORK_ID_LEN], int64_t fence);
void pv_pghomes_forget(struct pv_pgstore *s, const uint8_t network[static PV_NETWORK_ID_LEN]);
/* Runs up to PV_PGSTORE_OPS_MAX operations HOME and LEAVE on a connection that is there. Errors of
 * pv_pg_finish(), with ret_error; then nothing may be concluded, and they may be asked again. */
PV_MUST_CHECK int pv_pghomes_run(struct pv_pgstore *s, struct pv_storeop *const *ops,
                                 struct pv_storeop_result *results, size_t n,
                                 char ret_error[static PV_STOREOP_ERROR_MAX]);
