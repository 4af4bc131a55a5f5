/* SPDX-License-Identifier: MIT */
/*
 * leasekeep.h - keeps a coordinator that serves from PostgreSQL alive in the database, by a thread
 * of its own: the database may take its time to answer, the event loop may not.
 */
#pragma once

#include "base/log.h"
#include "coordinator/store/pgplugin.h"
#include "sys/proc/loop.h"
#include "sys/proc/worker.h"

struct pv_leasekeep {
    const struct pv_pgplugin *pg; /* borrowed */
    struct pv_pg_lease *lease;    /* borrowed; the thread alone uses it */
    const struct pv_log *log;
    struct pv_worker *worker;
    struct pv_watch *watch;
    bool asking;     /* the thread is at it */
    pv_ns next;      /* when it asks again */
    bool lost;       /* another coordinator has its place now */
    uint64_t living; /* coordinators, as the last renewal said */
    uint64_t
        few; /* ditto: homes of the other one that has the fewest; UINT64_MAX: none takes any */
    struct pv_pg_renewal renewal; /* the thread's while asking */
    pv_ns asked_at;               /* when its list was asked for */
    int status;                   /* of the last answer, written by the thread while asking */
    char error[PV_PG_ERROR_MAX];  /* ditto; empty: the database is there */
    char away[PV_PG_ERROR_MAX];   /* why the database is away; empty: it is there */
};

/* Starts the thread; k stays where it is until pv_leasekeep_stop(). PV_ERR_NOMEM, -errno. */
PV_MUST_CHECK int pv_leasekeep_start(struct pv_leasekeep *k, const struct pv_pgplugin *pg,
                                     struct pv_pg_lease *lease, struct pv_loop *loop,
                                     const struct pv_log *log);
/* Asks when it is time; returns when to be called next. homes, draining: what the database is told
 * of this coordinator. */
pv_ns pv_leasekeep_handle_timeout(struct pv_leasekeep *k, uint64_t homes, bool draining, pv_ns now);
/* True: all homes of this coordinator as they were at asked_at or later, which the caller frees. */
PV_MUST_CHECK bool pv_leasekeep_take_list(struct pv_leasekeep *k, struct pv_pg_home **ret_list,
                                          size_t *ret_n);
/* The next question comes at once: others are to know what has changed. */
void pv_leasekeep_hurry(struct pv_leasekeep *k);
void pv_leasekeep_stop(struct pv_leasekeep *k); /* harmless when it was not started */
