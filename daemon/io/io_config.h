/* SPDX-License-Identifier: MIT */
/*
 * io_config.h - what the control thread is given.
 */
#pragma once

#include "base/log.h"
#include "base/pv.h"
#include "daemon/core/engine.h"
#include "daemon/io/io_app.h"
#include "daemon/store/store.h"
#include "sys/helper/helper.h"
#include "sys/helper/usher.h"
#include "sys/net/udp.h"
#include "sys/proc/supervisor.h"

struct pv_io_config {
    struct pv_engine *engine; /* borrowed, as all pointers and descriptors here */
    struct pv_store *store;   /* used by the store's thread from now on */
    struct pv_helper *helper; /* used by the helper's thread from now on */
    const struct pv_log *log;
    struct pv_udp_group udp; /* a socket of each family for each worker */
    unsigned threads;        /* of a single worker, as in struct pv_datapath_config */
    struct pv_usher *usher;  /* control clients come from it */
    int signals_fd;          /* of pv_signals_open(): SIGTERM, SIGINT, SIGHUP */
    char tun_name[PV_JOB_IFNAME];
    int notify_fd; /* of pv_helper_notify(); -1: no program is run */
    struct pv_io_app app;
    bool names;  /* the helper keeps a file of them */
    bool beacon; /* beacons of members in the LAN are heard */
    /* Authorities of relays' certificates; NULL: the system's. */
    const char *relay_ca_file;
    /* Sent to the HTTP proxy on the way to coordinators; without a user nothing is. */
    const struct pv_connect_login *proxy_login;
    int metrics_fd;                   /* listening, for Prometheus; taken; -1: none */
    bool metrics_local;               /* it serves this machine only */
    struct pv_supervisor *supervisor; /* is told when this loop is ready; NULL: nobody */
    /* Called once, when the interface the engine wants at start is up or has failed: from then on
     * control clients are answered. */
    void (*ready)(void *ctx);
    void *ready_ctx;
    /* SIGHUP, or a client's reload. True: pv_io_run() returns PV_OK, for there is to be another
     * life. *ret_done, which is filled either way, is valid until the next call. */
    bool (*reload)(void *ctx, struct pv_engine_reloaded *ret_done);
    void *reload_ctx;
};
