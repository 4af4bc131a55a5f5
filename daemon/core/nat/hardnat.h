/* SPDX-License-Identifier: MIT */
/*
 * hardnat.h - attempts to cross NATs that give every destination another public port: measures the
 * own NAT from fresh sockets, then opens many mappings or probes many ports, so that one of each
 * side meet (TRAVERSAL 6, DESIGN 5 "Hard NATs"). IPv4.
 *
 * It finds an opening, and no more: what it sends are connectivity checks of the peer's ICE
 * credentials; when an authenticated check of the peer comes in on one of its sockets, the owner
 * makes that socket a carrier of the ICE agent, which proves and uses it. One attempt at a time
 * for the whole node, within the budget of TRAVERSAL 8. Not here: which peer needs an attempt,
 * and when the other side is ready (peer/hardnat_part.h). It owns no socket: it asks for them by
 * id. Not thread-safe.
 *
 *   IDLE      --begin-->                                 MEASURING, or READY when the NAT is known
 *   MEASURING --all samples answered, or 1 s-->          READY   (what it is, is in nat())
 *   READY     --run: the other side is ready too-->      RUNNING
 *   RUNNING   --everything sent and waited for-->        OVER
 *   any       --end-->                                   IDLE    (sockets closed, one may be kept)
 */
#pragma once

#include "base/addr.h"
#include "base/fifo.h"
#include "base/pv.h"
#include "daemon/core/node/config.h"
#include "proto/control/desc.h"
#include "proto/ice/ice.h"

enum {
    PV_HARDNAT_END_ID = 0xff00,    /* socket ids are below; others are somebody else's */
    PV_HARDNAT_MAX_MAPPINGS = 256, /* live on our NAT, TRAVERSAL 8 */
    PV_HARDNAT_MAX_PPS = 200,      /* packets a second, TRAVERSAL 8 */
    PV_HARDNAT_MAX_PACKETS = 2048, /* of one attempt, TRAVERSAL 8 */
    PV_HARDNAT_SAMPLES = 8,        /* fresh sockets that measure, TRAVERSAL 1 */
    PV_HARDNAT_KEPT = 8,           /* sockets adopted as carriers, DESIGN 5 */
    PV_HARDNAT_FAN_SOCKETS = 8,    /* TRAVERSAL 6: port-restricted x sequential */
    PV_HARDNAT_FAN_PORTS = 32,     /* TRAVERSAL 6 */
    PV_HARDNAT_WALK = 512,         /* ours: ports ahead that are tried when the fan failed */
    PV_HARDNAT_VOLLEY = 25,        /* TRAVERSAL 6: sequential x sequential */
    PV_HARDNAT_VOLLEY_AHEAD = 20,  /* TRAVERSAL 6: mappings after the newest one */
    PV_HARDNAT_BLOCK_SOCKETS = 64, /* TRAVERSAL 6: inside a block */
};

enum pv_hardnat_method {
    PV_HARDNAT_NONE,
    PV_HARDNAT_FAN,        /* few sockets x the next ports of a sequential NAT, then more of both */
    PV_HARDNAT_RENDEZVOUS, /* both sequential: all sockets aim at one future port of the other */
    PV_HARDNAT_BLOCK,      /* sockets x the ports of the other side's block, then all ports */
    PV_HARDNAT_MEET,       /* block x block or sequential: all sockets aim at one port of the other,
                              which each side gets with the chance sockets / size of its block */
    PV_HARDNAT_BIRTHDAY,   /* sockets x random ports */
    PV_HARDNAT_FRESH, /* neither is hard: a fresh socket of each side, whose port both announced,
                         because early packets have taken the ports of the main sockets */
};
const char *pv_hardnat_method_name(enum pv_hardnat_method method);

/* One side's part in an attempt. */
struct pv_hardnat_plan {
    enum pv_hardnat_method method;
    unsigned sockets; /* opened here at most; 0: it probes ports from the main socket */
};
/*
 * Plans what our side does between these two NATs; the plans of both sides match. loose: properties
 * that a server with one address could not measure are assumed to be the worse (struct
 * pv_desc_nat). max_mappings: how many more mappings our NAT may be given.
 */
struct pv_hardnat_plan pv_hardnat_plan(const struct pv_desc_nat *own,
                                       const struct pv_desc_nat *theirs, bool loose,
                                       unsigned max_mappings);

/* Public ports that fresh sockets got, in the order in which they asked; 0 = no answer. */
struct pv_hardnat_samples {
    uint16_t ports[PV_HARDNAT_SAMPLES];
    uint16_t local[PV_HARDNAT_SAMPLES]; /* the sockets' own; 0 = not known */
    uint16_t second;                    /* the first socket's port towards a second destination */
    bool one_address;                   /* that destination had the same address, another port */
};
enum {
    PV_HARDNAT_OWN_RANGE = 64, /* local ports we open when the NAT keeps them */
};
/* The samples' verdict on the NAT; "unknown" where they do not say it. */
struct pv_desc_nat pv_hardnat_judge(const struct pv_hardnat_samples *samples);
/* Returns true if a socket keeps its port towards its first destination and gets another port
 * towards others. */
bool pv_hardnat_keeps_first(const struct pv_hardnat_samples *samples);

enum pv_hardnat_phase {
    PV_HARDNAT_IDLE,
    PV_HARDNAT_MEASURING,
    PV_HARDNAT_READY,
    PV_HARDNAT_RUNNING,
    PV_HARDNAT_OVER,
};

struct pv_hardnat; /* opaque */

/* ops: borrowed; of struct pv_hardnat_op, for the shell. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_hardnat_new(struct pv_hardnat **ret_hardnat, const struct pv_rng *rng,
                                 const struct pv_hardnat_config *cfg, struct pv_fifo *ops);
struct pv_hardnat *pv_hardnat_free(struct pv_hardnat *h); /* NULL is fine; wipes; returns NULL */

/* --- facts in ------------------------------------------------------------------------------ */

/* An attempt for a peer. servers: two IPv4 destinations of STUN, the second may be missing (no
 * family), both may. PV_ERR_STATE: another one is under way, it is switched off, or all sockets
 * that may be kept are in use. */
PV_MUST_CHECK int pv_hardnat_begin(struct pv_hardnat *h, uint32_t peer,
                                   const struct pv_addr servers[static 2], pv_ns now);

struct pv_hardnat_target {
    struct pv_ice_creds own, theirs;
    struct pv_desc_nat nat; /* theirs */
    struct pv_addr addr;    /* their public address */
    bool loose;             /* see pv_hardnat_plan() */
    bool controlling;
};
/* READY: sends from `start` on. False: there is no method for these two NATs; the phase is OVER. */
bool pv_hardnat_run(struct pv_hardnat *h, const struct pv_hardnat_target *target, pv_ns start,
                    pv_ns now);
/* Ends the attempt. keep: a socket of it that carries a path now, 0 = none; it stays open until
 * pv_hardnat_release(). */
void pv_hardnat_end(struct pv_hardnat *h, uint16_t keep);
/* A kept socket no longer carries a path. */
void pv_hardnat_release(struct pv_hardnat *h, uint16_t sock);
/* The network changed: what was measured is void. */
void pv_hardnat_forget(struct pv_hardnat *h);

/* The answer to an OPEN: the local port, or 0 when it could not be opened. */
void pv_hardnat_opened(struct pv_hardnat *h, uint16_t sock, uint16_t port, pv_ns now);
/* ICMP about a datagram of ours that was sent to look how far the other side is: its TTL was used
 * up on the way, or it reached them. quoted: its beginning, unchecked. */
void pv_hardnat_bounced(struct pv_hardnat *h, uint16_t sock, struct pv_view quoted, bool expired);
/*
 * A STUN datagram on a socket of an attempt. PV_OK: the peer's authenticated check, the socket is a
 * way to it; *ret_port is its local port. PV_ERR_NOT_FOUND: used up or of no use.
 */
PV_MUST_CHECK int pv_hardnat_handle_input(struct pv_hardnat *h, uint16_t sock,
                                          const struct pv_addr *src, struct pv_view datagram,
                                          pv_ns now, uint16_t *ret_port);
void pv_hardnat_handle_timeout(struct pv_hardnat *h, pv_ns now);
pv_ns pv_hardnat_next_timeout(const struct pv_hardnat *h); /* PV_NEVER if idle */

/* --- decisions out ------------------------------------------------------------------------- */

struct pv_hardnat_transmit {
    uint16_t sock; /* 0 = the main socket */
    uint8_t ttl;   /* 0 = the system's */
    bool opener;   /* see struct pv_udp_out */
    struct pv_addr dst;
    size_t len;
    uint8_t buf[PV_ICE_MTU];
};
PV_MUST_CHECK int pv_hardnat_poll_transmit(struct pv_hardnat *h,
                                           struct pv_hardnat_transmit *ret_tx);

enum pv_hardnat_op_type {
    PV_HARDNAT_OPEN,  /* a UDP socket, if it can be had on that port; pv_hardnat_opened() answers */
    PV_HARDNAT_ADOPT, /* it carries packets from now on */
    PV_HARDNAT_CLOSE,
};
struct pv_hardnat_op {
    enum pv_hardnat_op_type type;
    uint16_t sock; /* never 0 */
    uint16_t port; /* OPEN: wished for; 0 = any */
};
/* Asks the shell for one more. PV_ERR_NOMEM: it is not done, and an OPEN is not answered. */
static inline int pv_hardnat_ask(struct pv_fifo *ops, enum pv_hardnat_op_type type, uint16_t sock,
                                 uint16_t port)
{
    const struct pv_hardnat_op op = {.type = type, .sock = sock, .port = port};
    return pv_fifo_put(ops, &op, sizeof(op));
}

/* --- questions ----------------------------------------------------------------------------- */

bool pv_hardnat_is_off(const struct pv_hardnat *h);
enum pv_hardnat_phase pv_hardnat_phase(const struct pv_hardnat *h);
uint32_t pv_hardnat_peer(const struct pv_hardnat *h); /* whose attempt it is */
/* Our NAT as last measured. */
const struct pv_desc_nat *pv_hardnat_nat(const struct pv_hardnat *h);

struct pv_hardnat_counts {
    struct pv_hardnat_plan plan; /* of the present or last attempt */
    unsigned attempts;           /* ever run */
    unsigned packets;            /* of the present or last attempt */
    unsigned mappings;           /* sockets open for an attempt now */
    unsigned kept;
    unsigned max_mappings, max_pps; /* what is allowed */
    bool predict, birthday;         /* what is switched on */
};
struct pv_hardnat_counts pv_hardnat_counts(const struct pv_hardnat *h);
