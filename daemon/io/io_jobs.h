/* SPDX-License-Identifier: MIT */
/*
 * io_jobs.h - the engine's jobs, done by threads of their own: store, helper, resolver, notifier,
 * port mapper. Results are told to the engine in the loop.
 */
#pragma once

#include "daemon/core/jobs/job.h"
#include "daemon/io/io_turn.h"
#include "daemon/store/store.h"
#include "sys/helper/helper.h"
#include "sys/net/tun.h"

/* Whose members may use the control socket, and so speak for this machine. */
#define PV_IO_GROUP "p2pvpn"

struct pv_io_jobs; /* opaque */

/* Sockets of the name server: of each of the interface's addresses one of UDP and one of TCP. */
struct pv_io_dns_fds {
    int fds[2 * PV_HELPER_MAX_PREFIXES]; /* -1: could not be opened */
    size_t n;
};

/* An IFACE_UP or IFACE_DOWN that has ended. */
struct pv_io_iface_job {
    const struct pv_job *job;
    struct pv_tun *tun;           /* IFACE_UP: may be taken */
    struct pv_io_dns_fds *dns;    /* IFACE_UP: may be taken; then n = 0 */
    struct pv_job_result *result; /* may be made a failure */
    bool own;                     /* the shell's: the engine does not hear of it */
};

PV_MUST_CHECK int pv_io_jobs_new(struct pv_io_jobs **ret_jobs, struct pv_io *io);
/* Takes the job; its result reaches the engine later, or, when no thread takes it (then the status
 * is negative), at once. own: the engine hears nothing of it. */
int pv_io_submit(struct pv_io_jobs *jobs, struct pv_job *job, bool own, pv_ns now);
/* Returns true if somebody serves jobs of this kind. A test checks that for every kind. */
bool pv_io_jobs_serve(enum pv_job_kind kind);
/* Runs what is queued to the end, but what may hang (resolver, notifier); results are dropped. NULL
 * is fine; returns NULL. */
struct pv_io_jobs *pv_io_jobs_free(struct pv_io_jobs *jobs);
