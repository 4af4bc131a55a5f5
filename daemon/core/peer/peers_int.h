/* SPDX-License-Identifier: MIT */
/* peers_int.h - the inside of the table of peers, shared by peers*.c only. */
#pragma once

#include "base/fifo.h"
#include "base/heap.h"
#include "base/map.h"
#include "daemon/core/peer/peer_int.h"
#include "daemon/core/peer/peers.h"

enum {
    PV_PEERS_CHANGED = 64, /* ours: members whose former keys are known at a time */
};

struct pv_peers {
    struct pv_peers_config cfg;
    struct pv_peers_common common; /* node.common */
    struct pv_map map;
    struct pv_peer *members; /* by identity key */
    struct pv_peer *statics[PV_ENGINE_MAX_STATIC];
    size_t n_statics;
    bool wants_door;                 /* of any of them */
    size_t n_guests;                 /* among members: those that this node carries */
    struct pv_prefix *static_routes; /* owned: allowed-ips of all static peers */
    size_t n_static_routes;
    struct pv_peer **by_slot; /* owned; the slot is the low half of the packet threads' id */
    size_t n_slots;
    struct pv_heap timers;
    struct pv_peer *ready_first, *ready_last; /* peers that may have datagrams to send */
    struct pv_peer *news_first, *news_last;   /* peers with facts to deliver */
    struct pv_bucket hints;                   /* ICMP errors that are looked at */
    uint32_t changed[PV_PEERS_CHANGED];       /* ids of members that changed their key last */
    size_t n_changed;                         /* so many ever did; the oldest give way */
};

/* --- peers_out.c ----------------------------------------------------------------------------- */

/* Sends the in-band messages that p's machines want sent now: probes of the path, an echo, a
 * keepalive. */
void pv_peers_send_due(struct pv_peers *ps, struct pv_peer *p);
/* Looks a static peer's endpoint up, at once or by a job. */
void pv_peers_find_endpoint(struct pv_peers *ps, struct pv_peer *p, pv_ns now);

/* --- peers_in.c ------------------------------------------------------------------------------ */

enum {
    PV_PEERS_INBAND = 4, /* in-band types that the table itself takes */
};
/* A STUN message: a request names its receiver by the ufrag, an answer by the request it answers.
 */
bool pv_peers_take_stun(void *part, const struct pv_carrier *from, struct pv_view data, pv_ns now);
extern const struct pv_inband_handler pv_peers_inband[PV_PEERS_INBAND];

/* --- peers_report.c --------------------------------------------------------------------------- */

void pv_peers_status(void *part, struct pv_statuspage *st, pv_ns now);
void pv_peers_metrics(void *part, struct pv_metrics *m, pv_ns now);
