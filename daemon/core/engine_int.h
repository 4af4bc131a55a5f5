/* SPDX-License-Identifier: MIT */
/*
 * engine_int.h - the inside of the engine, shared by engine*.c only.
 *
 *   engine.c         life, time, polling
 *   engine_peers.c   the table of peers, wanting, snapshots
 *   engine_in.c      datagrams and punts to their owners
 *   engine_desc.c    descriptions: signals and in-band, both ways
 *   engine_inband.c  in-band messages, ping
 *   engine_net.c     membership: roster, coordinator, interface
 *   engine_jobs.c    jobs out, results in, what is stored
 *   engine_stream.c  one space of stream ids over three machines
 *   engine_ctl.c     requests of p2pvpnctl
 *   engine_chat.c    chat's place in it
 */
#ifndef PV_ENGINE_INT_H
#define PV_ENGINE_INT_H

#include "daemon/core/chatlink.h"
#include "daemon/core/ctlsrv.h"
#include "daemon/core/engine.h"
#include "daemon/core/peer.h"
#include "daemon/core/stunroute.h"
#include "proto/cookie.h"
#include "proto/roster.h"

enum {
    PV_ENGINE_MAX_REACHING = 32,   /* peers being reached at once, DESIGN 5 */
    PV_ENGINE_NEW_PER_S = 20,      /* attempts begun a second, DESIGN 5 */
    PV_ENGINE_SUBSCRIBE_ALL = 128, /* ours: in networks up to this size presence of all is wanted */
    PV_ENGINE_MAX_INJECT = 256,    /* packets waiting for the tx worker; oldest dropped */
    PV_ENGINE_MAX_REPORTS = 16,    /* newest kept, shown by status */
    PV_ENGINE_REPORT_TEXT = 256,
    PV_ENGINE_LOAD = 200, /* handshake messages a second above which cookies are asked for */
};

/* Owners of STUN transactions in stunroute: the gatherer, or peer id + 2. */
enum {
    PV_STUN_OWNER_GATHERER = 1,
    PV_STUN_OWNER_PEERS = 2,
};

struct pv_inject_item {
    struct pv_inject_item *next;
    uint32_t peer;
    size_t len;
    uint8_t bytes[];
};

struct pv_job_item {
    struct pv_job_item *next;
    struct pv_job *job;
};

#endif /* PV_ENGINE_INT_H */
