/* SPDX-License-Identifier: MIT */
/*
 * server.h - the coordinator's shell: sockets, the event loop, the store's, the relay's and other
 * threads around the pure core, TLS before it where it is spoken. Moves bytes and decides nothing.
 */
#pragma once

#include "base/log.h"
#include "base/pv.h"
#include "coordinator/core/coord.h"
#include "coordinator/rights.h"
#include "coordinator/settings/settings.h"
#include "coordinator/store/pgplugin.h"
#include "sys/proc/supervisor.h"

enum {
    PV_COORDSERVER_ERROR_MAX = 512, /* bytes of "what failed: why: what to do", with the NUL */
    PV_COORDSERVER_TEXT_MAX = 1024, /* bytes of the list of addresses, with the NUL */
};

struct pv_coordserver; /* opaque */

/* The parts that the server works with. */
struct pv_coordserver_parts {
    struct pv_coord *coord;
    const struct pv_coordtold *told; /* of the settings of the start */
    struct pv_coordstore *store;
    const struct pv_pgplugin *pg; /* NULL: the store is this coordinator's alone */
    struct pv_pg_lease *lease;    /* NULL: ditto */
    struct pv_rights *rights;
    struct pv_calmlog *calm; /* borrowed; the server tells it the time */
};

/*
 * Opens the sockets that set asks for, gives up the rights that this needed, and starts the
 * threads; the parts are borrowed until free, and used by nobody else. PV_ERR_EXISTS
 * (address in use), PV_ERR_NOMEM, -errno; ret_error.
 */
PV_MUST_CHECK int pv_coordserver_new(struct pv_coordserver **ret_server,
                                     const struct pv_coordset *set,
                                     const struct pv_coordserver_parts *parts,
                                     char ret_error[static PV_COORDSERVER_ERROR_MAX]);
/* Where it listens: "0.0.0.0:3478 [::]:3478 tls:0.0.0.0:443". */
const char *pv_coordserver_addresses(const struct pv_coordserver *server);
/* Runs until SIGTERM or SIGINT, or until another coordinator has the lease: says bye to the nodes,
 * stores what is under way, and returns. The supervisor (NULL: nobody) is told that it is ready and
 * alive. */
void pv_coordserver_run(struct pv_coordserver *server, struct pv_supervisor *supervisor);
/* After it has run: it ended because another coordinator has the lease. */
bool pv_coordserver_lost_lease(const struct pv_coordserver *server);
struct pv_coordserver *pv_coordserver_free(struct pv_coordserver *server); /* NULL is fine */
