/* SPDX-License-Identifier: MIT */
/*
 * statuspage.h - what `p2pvpnctl status` says, while the parts write it: each part fills in what it
 * knows (part.h status()), and whoever has trouble adds a problem. Everything that the answer
 * points at lies in here, so that a part may leave its buffers.
 */
#ifndef PV_STATUSPAGE_H
#define PV_STATUSPAGE_H

#include "base/addr.h"
#include "base/pv.h"
#include "base/text.h"
#include "daemon/core/packets/fastpath.h"
#include "proto/local/ctlapi_route.h"
#include "proto/local/ctlapi_status.h"
#include "proto/local/ctlcmd.h"
#include "proto/roster/statement.h"

enum {
    PV_STATUSPAGE_MAX_PROBLEMS =
        48, /* ours: more than all parts can add; what is above is left out */
    PV_STATUSPAGE_PROBLEM_TEXT =
        600, /* bytes with the NUL: a report of the roster and its beginning */
    PV_STATUSPAGE_MAX_DROPS =
        PV_FP_DROP_REASONS + 24,    /* of packets; of the shell, chat and rooms */
    PV_STATUSPAGE_MAX_PUBLIC = 16,  /* addresses as seen from outside */
    PV_STATUSPAGE_MAX_GROUPS = 128, /* multicast groups of this node */
    PV_STATUSPAGE_RELAY_NAME = 280, /* "turns:[HOST]:PORT" and a NUL */
};

/* How often something was thrown away, and why; reason is a static text. */
struct pv_statuspage_drop {
    const char *reason;
    uint64_t count;
};

struct pv_statuspage {
    struct pv_ctlapi_status s;
    uint8_t head[PV_STATEMENT_HASH_LEN];
    struct pv_addr publics[PV_STATUSPAGE_MAX_PUBLIC];
    char coordinator[PV_HOSTPORT_BUF];
    char relay[PV_ADDR_TEXT];

    struct pv_ctlapi_hard hard;
    struct pv_ctlapi_binding binding;
    struct pv_ctlapi_pq pq;             /* state NULL: nothing is known of it */
    struct pv_ctlapi_datapath datapath; /* workers 0: nothing is known of it */
    struct pv_ctlapi_lan lan;           /* broadcast NULL: nothing is known of it */
    struct pv_addr lan_groups[PV_STATUSPAGE_MAX_GROUPS];
    struct pv_ctlapi_routes routes;
    char exit_peer[PV_NAME_BUF + 24]; /* PV_NODE_WHO */
    struct pv_ctlapi_portmap portmaps[2];
    size_t n_portmaps;
    char portmap_why[2][PV_CTLAPI_ERROR_BUF];

    const char *udp; /* "open", "blocked", "blocked-there" (at the coordinator), "unknown" */
    struct pv_ctlapi_relay relays[PV_FP_MAX_RELAYS];
    size_t n_relays;
    char relay_names[PV_FP_MAX_RELAYS][PV_STATUSPAGE_RELAY_NAME];
    char relay_addresses[PV_FP_MAX_RELAYS][PV_ADDR_TEXT];

    char problem_texts[PV_STATUSPAGE_MAX_PROBLEMS][PV_STATUSPAGE_PROBLEM_TEXT];
    const char *problems[PV_STATUSPAGE_MAX_PROBLEMS];
    size_t n_problems;

    struct pv_statuspage_drop drops[PV_STATUSPAGE_MAX_DROPS]; /* all reasons, also those at 0 */
    size_t n_drops;
};

/* Adds the sentence "what" + "why". */
void pv_statuspage_problem(struct pv_statuspage *st, const char *what, const char *why);
void pv_statuspage_drop(struct pv_statuspage *st, const char *reason, uint64_t count);
/* The whole answer; NULL without memory. Only drops that happened are in it. */
json_t *pv_statuspage_json(struct pv_statuspage *st);

#endif /* PV_STATUSPAGE_H */
