/* SPDX-License-Identifier: MIT */
/*
 * turnservers.h - the TURN servers of the configuration, a machine of the part "relays": relays
 * beside the coordinator's, with addresses and permissions as RFC 8656 has them. It looks their
 * names up, again every 30 s while a server is not found or does not answer, and starts the way to
 * each (relay/relayway.h).
 */
#pragma once

#include "daemon/core/node/node.h"
#include "daemon/core/relay/relayway.h"

enum {
    PV_TURNSERVERS_NAME = PV_JOB_HOST_MAX + 24, /* "turns:[HOST]:PORT" and a NUL */
};

struct pv_turnserver {
    struct pv_relayway_server conf;
    bool asking;    /* a job looks it up */
    pv_ns retry_at; /* when that is done again; PV_NEVER: it is not needed */
};

struct pv_turnservers {
    struct pv_node *node;
    struct pv_relayway **relays; /* borrowed; relays[i + 1] belongs to list[i] */
    struct pv_turnserver list[PV_ENGINE_MAX_RELAYS];
    size_t n;
    char user[PV_TURNC_TEXT_MAX + 1];
    char password[PV_TURNC_TEXT_MAX + 1]; /* a secret: the owner wipes it */
};

/* relays: the ways by number, from 1 on; made here, freed by the owner. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_turnservers_init(struct pv_turnservers *t, struct pv_node *node,
                                      const struct pv_engine_config *cfg,
                                      struct pv_relayway **relays);

/* Looks up servers that are not in use yet. */
void pv_turnservers_start(struct pv_turnservers *t, pv_ns now);
void pv_turnservers_stop(struct pv_turnservers *t, pv_ns now);
void pv_turnservers_handle_timeout(struct pv_turnservers *t, pv_ns now);
pv_ns pv_turnservers_next_timeout(const struct pv_turnservers *t);

/* The name of a relay: "coordinator", or as in the configuration. */
const char *pv_turnservers_name(const struct pv_turnservers *t, uint16_t via,
                                char buf[static PV_TURNSERVERS_NAME]);
