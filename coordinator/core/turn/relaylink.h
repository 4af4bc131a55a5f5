/* SPDX-License-Identifier: MIT */
/*
 * relaylink.h - the link between the control half of the coordinator (coord.h) and its relay
 * (relaycore.h): two rings of typed messages, so that each may run on a thread of its own and
 * neither ever waits for the other.
 *
 * Each function belongs to one end. Commands about members and closed connections never get lost:
 * data of streams leaves half of the ring to them. Should the ring be full all the same, the relay
 * is told to forget all members and streams, so that nobody goes on relaying who may no longer.
 * Members relay again after their next welcome.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"
#include "coordinator/core/turn/relaystats.h"
#include "coordinator/core/turn/turnauth.h"
#include "coordinator/core/turn/turns.h"

enum {
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    PV_RELAYLINK_RING = 2 << 14, /* soon full */
#else
    PV_RELAYLINK_RING = 2 << 20, /* ours: bytes each way, a thousand messages of full size */
#endif
};

struct pv_relaylink; /* opaque */

struct pv_relaylink_config {
    const struct pv_turnauth *auth; /* copied */
    bool has_relay;                 /* TURN is on */
    struct pv_relaystats *stats;    /* kept: the control end counts DROP_STREAM */
    size_t bytes;                   /* of each ring; 0: PV_RELAYLINK_RING */
};
/* PV_ERR_NOMEM, PV_ERR_LIMIT. */
PV_MUST_CHECK int pv_relaylink_new(struct pv_relaylink **ret_link,
                                   const struct pv_relaylink_config *cfg);
struct pv_relaylink *pv_relaylink_free(struct pv_relaylink *l); /* wipes; NULL is fine */

/* --- the control end ------------------------------------------------------------------------- */

/* A member's control channel is up: gives the credentials for its welcome. net and node as in
 * struct pv_relaycmd. PV_ERR_UNSUPPORTED: no relay; PV_ERR_NO_SPACE: the relay cannot be told. */
PV_MUST_CHECK int pv_relaylink_online(struct pv_relaylink *l, const uint8_t *net,
                                      const uint8_t *node, pv_ns now,
                                      struct pv_turnauth_creds *ret_creds);
/* A member has shown who it is from this address: its STUN requests have a share of their own.
 * Told without a relay too; dropped when the ring is half full. */
void pv_relaylink_seen(struct pv_relaylink *l, const struct pv_addr *source);
/* Its control channel ended; it was removed. */
void pv_relaylink_offline(struct pv_relaylink *l, const uint8_t *net, const uint8_t *node);
void pv_relaylink_gone(struct pv_relaylink *l, const uint8_t *net, const uint8_t *node);
/* A STUN or TURN message of a connection over TCP, from its client to the address local; dropped
 * when the ring is half full. */
void pv_relaylink_message(struct pv_relaylink *l, uint64_t stream, const struct pv_addr *source,
                          const struct pv_addr *local, struct pv_view message);
/* Asks whether this connection still holds an allocation. The answer comes as news; both may be
 * dropped. */
void pv_relaylink_ask(struct pv_relaylink *l, uint64_t stream);
/* The connection is gone. */
void pv_relaylink_closed(struct pv_relaylink *l, uint64_t stream);
/* The operator changed the policy. Takes it, a block of malloc(); when several are set before the
 * relay looks, it sees the last one. */
void pv_relaylink_set_policy(struct pv_relaylink *l, struct pv_turns_policy *policy);
/* Counts a message that was dropped because its connection takes no more. */
void pv_relaylink_dropped(struct pv_relaylink *l);
/* Returns true if the relay has to be woken: once for all that was said since the last call. */
bool pv_relaylink_take_wake_relay(struct pv_relaylink *l);

/* One message of the relay about a connection. */
struct pv_relaynews {
    uint64_t stream;
    enum pv_turns_holder holder; /* of its allocation */
    bool broken;                 /* its bytes are neither STUN nor TURN: end it */
    struct pv_view data; /* to be written to it; may be empty; in the ring, until polled() */
};
/* The oldest. PV_ERR_AGAIN: none. */
PV_MUST_CHECK int pv_relaylink_poll(struct pv_relaylink *l, struct pv_relaynews *ret_news);
void pv_relaylink_polled(struct pv_relaylink *l);

/* --- the relay's end ------------------------------------------------------------------------- */

/* The commands of control; each has a handler in relaycore.c. */
enum pv_relaycmd_kind {
    PV_RELAYCMD_ONLINE,  /* a member's control channel is up */
    PV_RELAYCMD_OFFLINE, /* it has ended */
    PV_RELAYCMD_GONE,    /* the member was removed, or has left */
    PV_RELAYCMD_SEEN,    /* a member has come from this address */
    PV_RELAYCMD_MESSAGE, /* a connection over TCP brought a STUN or TURN message */
    PV_RELAYCMD_ASK,     /* does this connection still hold an allocation? */
    PV_RELAYCMD_CLOSED,  /* this connection is gone */
    PV_RELAYCMD_POLICY,  /* the operator has changed something */
    PV_RELAYCMD_FORGET,  /* all members and streams: a command about them got lost */
    PV_RELAYCMD_N,
};
struct pv_relaycmd {
    enum pv_relaycmd_kind kind;
    uint32_t serial;                      /* ONLINE: of the nonce in the member's welcome */
    uint64_t stream;                      /* MESSAGE, ASK, CLOSED: number of the connection */
    struct pv_addr source;                /* MESSAGE: address of the client; SEEN: the member's */
    struct pv_addr local;                 /* MESSAGE: ours; PV_AF_NONE: not known */
    uint8_t net[PV_TURNAUTH_NET_LEN];     /* ONLINE, OFFLINE, GONE: network id */
    uint8_t node[PV_TURNAUTH_NODE_LEN];   /* ONLINE, OFFLINE, GONE: the member's identity key */
    struct pv_view data;                  /* MESSAGE: in the ring, until taken() */
    const struct pv_turns_policy *policy; /* POLICY: until taken() */
};
/* The oldest command. PV_ERR_AGAIN: none. */
PV_MUST_CHECK int pv_relaylink_command(struct pv_relaylink *l, struct pv_relaycmd *ret_cmd);
void pv_relaylink_taken(struct pv_relaylink *l);
/* False: dropped, the ring is too full. The last quarter is for answers (is_data: false). */
PV_MUST_CHECK bool pv_relaylink_tell(struct pv_relaylink *l, const struct pv_relaynews *news,
                                     bool is_data);
bool pv_relaylink_take_wake_control(struct pv_relaylink *l);
