/* SPDX-License-Identifier: MIT */
/*
 * peer_int.h - the inside of a peer, for the files of daemon/core/peer only: everybody else asks by
 * the functions of peer.h.
 */
#pragma once

#include <stddef.h>

#include "base/bucket.h"
#include "base/heap.h"
#include "daemon/core/peer/peer.h"
#include "daemon/core/peer/pqx.h"
#include "proto/ip/inband.h"

/* Why it is FAILED: decides whether a wish begins another attempt before the deadline. */
enum pv_peer_failure {
    PV_PEER_FAILURE_TURN,       /* nothing was tried: others are being reached first */
    PV_PEER_FAILURE_UNANSWERED, /* nothing came in time */
    PV_PEER_FAILURE_CHECKS,     /* every check failed: silence until the deadline */
};

struct pv_peer_handshake {
    struct pv_carrier to;
    size_t len;
    uint8_t msg[PV_WGMSG_INITIATION_LEN];
};

/* The state that a peer needs once somebody talks to it: most members of a large network never get
 * it. */
struct pv_peer_talk {
    uint8_t former[PV_DH_LEN];   /* the key before transport, taken until former_until */
    pv_ns former_until;          /* 0: there is none */
    uint64_t knows_key;          /* the newest node.keys.number that it is known to know */
    struct pv_ice_creds creds;   /* ours, in own description */
    struct pv_peer_ufrag ufrag;  /* in node.common->ufrags while its peer is set */
    struct pv_mtu mtu;           /* of path */
    uint64_t sampled_bytes;      /* of inner packets ever sent, at the last sample */
    struct pv_carrier last_from; /* where the last message 1 came from: its answer goes there */
    uint8_t wg[PV_WGMSG_INITIATION_LEN];           /* handshake message for our description */
    struct pv_peer_handshake out[PV_PEER_MAX_OUT]; /* messages to be sent by UDP, oldest first */
    size_t n_out;
};

/* Attempts to cross hard NATs; hardnat_part.c's. */
struct pv_peer_hard {
    pv_ns since; /* both know each other and no direct path answers, since then; 0 = not so */
    pv_ns wake;  /* PV_NEVER: no need */
    uint32_t n;  /* number of the present or last attempt */
    uint64_t at_us;
    bool announced; /* our description carries n and at_us; whatever `tried` says of another one */
    pv_ns give_up;
    pv_ns backoff, not_before;
    bool unready;                    /* the last one ended because they were not ready */
    uint32_t theirs;                 /* their public address, as it was last; 0 = none yet */
    struct pv_bucket moves;          /* what changes of it may end */
    uint16_t socks[PV_HARDNAT_KEPT]; /* of ours that are carriers of the agent */
    size_t n_socks;
    bool tried; /* the next two are of the last attempt */
    struct pv_hardnat_plan plan;
    unsigned packets;
};

enum pv_peer_seeking {
    PV_PEER_SEEKING_NOTHING,
    PV_PEER_SEEKING_OPEN,    /* what came of the checks is still to be counted */
    PV_PEER_SEEKING_COUNTED, /* that is counted, and no direct path is there yet */
};

/* The search for a direct path, for pathstats; peer_path.c's. */
struct pv_peer_seek {
    enum pv_peer_seeking state;
    pv_ns since;         /* it began then; unless NOTHING */
    bool direct;         /* the path was direct when it was last counted, whatever is sought */
    pv_ns relayed_since; /* time counted so far on the relay; 0 = the path is none of it */
};

/* Preshared keys that are agreed on with it; peer_session.c's. */
struct pv_peer_agreed {
    struct pv_pqx *x;         /* made with the agent; NULL: not possible, or not yet */
    pv_ns classical_since;    /* keys without one are in use since then; 0 = not so */
    pv_ns classical_for;      /* how long that was, the last time */
    pv_ns hybrid_since;       /* keys with one are in use since then; 0 = not so */
    struct pv_bucket work;    /* halves that it has this node compute */
    bool stated;              /* its signed statement says that it does it */
    enum pv_fp_strict strict; /* which inner packets pass under keys with one only */
};

/* The bytes that a peer keeps for a part. */
struct pv_peer_slot {
    struct pv_peer_slot *next;
    const struct pv_part *part;
    max_align_t kept[]; /* part->peer_size bytes */
};

/* The wishes of a peer's machines that others fulfil. */
enum pv_peer_due {
    PV_PEER_DUE_KEEPALIVE = 1u << 0,
    PV_PEER_DUE_ECHO = 1u << 1,      /* does its path carry data? */
    PV_PEER_DUE_NAT_DOUBT = 1u << 2, /* has our own NAT forgotten us? */
};

struct pv_peer {
    struct pv_node *node;
    uint32_t id;    /* of the fast path */
    bool is_static; /* the other side speaks plain WireGuard */
    bool is_phone;  /* and is a member that this node carries (adr 0090) */
    bool seen_off;  /* the packet threads keep it for a moment after it is freed */
    uint32_t by; /* the peer that carries this member, a phone; 0: it is none, or is carried here */

    /* who it is */
    uint8_t pk[PV_SIGN_PK_LEN]; /* members: identity key; key of the engine's table */
    uint8_t transport[PV_DH_LEN];
    char name[PV_NAME_BUF];
    struct pv_addr ip4, ip6; /* members */

    /* what is known about its presence (members) */
    enum pv_presence presence;
    uint64_t gone_us;  /* Unix time when it was last online, as far as was told; 0 = never */
    uint64_t since_us; /* of its last hello, coordinator's clock */

    /* state */
    enum pv_peer_state state;
    pv_ns deadline;               /* REACHING: the attempt ends; FAILED: the next begins */
    pv_ns retry;                  /* wait after the next failure */
    enum pv_peer_failure failure; /* FAILED */
    pv_ns wanted_at;              /* 0 = never */
    pv_ns sought_at;              /* a way is sought since then; 0 = nobody wants one */
    pv_ns sample_at;              /* PV_NEVER: not in use */
    pv_ns asked_at;               /* something in-band that wants an answer was sent; 0 = never */
    bool has_turn;                /* it is REACHING by our own wish, and counts so */
    bool moving;   /* our candidates have just changed: until the next settling, in any state */
    pv_ns left_at; /* it said goodbye: what was under way then does not bring it back; 0: it did not
                    */
    struct pv_carrier proven; /* where the newest handshake by UDP was proven both ways */
    struct pv_addr recalled;  /* where the last path on trial led; PV_AF_NONE: there was none */
    enum pv_path_state path_state;
    struct pv_carrier path; /* of any state but PV_PATH_STATE_NONE */
    pv_ns path_since;

    /* the relay (members) */
    struct pv_addr relay_addr; /* its virtual relayed address; PV_AF_NONE: not in use */
    struct {
        /* The agent chose one; a way or the channel is still to come. Meanwhile an older path may
         * carry packets, in whatever state. */
        bool chosen;
        bool far; /* path, in whatever state, leads to one of the other side's */
    } relay;
    char via[PV_ADDR_TEXT]; /* text, for pv_peer_show_path() */
    pv_ns leave_at;         /* on the relay: the next attempt to leave it; PV_NEVER */
    pv_ns leave_wait;
    pv_ns direct_at; /* when a direct path was left; 0 = never */

    /* machines */
    struct pv_session *session; /* made on first use; static peers: always */
    struct pv_ice_agent *ice;   /* made on first use; static peers: never */
    struct pv_descx descx;
    struct pv_desc *remote; /* owned; their newest description, see pv_peer_theirs(); NULL = none */
    bool chain_known;       /* their description came once in our gen: no chain needed any more */
    size_t wg_len;          /* of the handshake message for our description, in talk */
    uint32_t wg_index;      /* our index in it */
    bool gen_in_doubt;      /* our gen began before this life had stored a mark */
    struct pv_inband_receiver inband;
    struct pv_trace trace;

    struct pv_peer_talk *talk; /* owned; NULL = nobody has talked to it; it comes with session */

    struct pv_peer_agreed agreed;
    struct pv_peer_hard hard;
    struct pv_peer_seek seek;

    struct pv_peer_slot *slots; /* owned; a few: most parts keep nothing */

    /* for peers.c, which takes it when the peer was touched */
    unsigned news; /* enum pv_peer_fact */
    struct pv_peer_notes notes;
    unsigned due;             /* enum pv_peer_due: what peers.c does when the peer has settled */
    pv_ns last_handshake;     /* 0: none */
    uint64_t signal_seq_seen; /* highest accepted from it */

    /* static peers */
    struct pv_addr beyond_phone_port; /* it was heard from there last, by our phone port;
                                         PV_AF_NONE: elsewhere */
    struct pv_peer_sought sought;
    bool misfit;         /* the last answer to a handshake was not made with our keys */
    char *endpoint_host; /* owned; NULL = none */
    uint16_t endpoint_port;
    pv_ns resolve_at; /* PV_NEVER: no need */

    /* engine's lists */
    struct pv_heap_node timer;
    pv_ns timed_at; /* its timeout was handled then, the last time */
    struct pv_peer *ready_prev, *ready_next;
    bool ready;     /* it is in the list of those that may have something to send */
    unsigned facts; /* enum pv_peer_fact, not delivered yet: then it is in the list of such */
    struct pv_peer *facts_prev, *facts_next;
    UT_hash_handle hh; /* by pk */
};

/* A receiver index becomes the peer's, or is free again. PV_ERR_LIMIT, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_peer_add_index(struct pv_peer *p, uint32_t index);
void pv_peer_drop_index(struct pv_peer *p, uint32_t index);
/* A receiver index that no keys and no handshake under way uses. */
uint32_t pv_peer_fresh_index(struct pv_peer *p);

/* Their newest description; an empty one unless descx.theirs.gen != 0. */
const struct pv_desc *pv_peer_theirs(const struct pv_peer *p);

static inline bool pv_peer_has_path(const struct pv_peer *p)
{
    switch (p->path_state) {
    case PV_PATH_STATE_NONE:
        return false;
    case PV_PATH_STATE_TRIAL:
    case PV_PATH_STATE_GOOD:
    case PV_PATH_STATE_SUSPECT:
        return true;
    }
    return false;
}

/* It has one, and that answers as far as is known. */
static inline bool pv_peer_path_works(const struct pv_peer *p)
{
    switch (p->path_state) {
    case PV_PATH_STATE_TRIAL:
    case PV_PATH_STATE_GOOD:
        return true;
    case PV_PATH_STATE_NONE:
    case PV_PATH_STATE_SUSPECT:
        return false;
    }
    return false;
}

/* It had a direct path lately: it can have one. */
static inline bool pv_peer_was_direct(const struct pv_peer *p, pv_ns now)
{
    return p->direct_at != 0 && now < p->direct_at + PV_PEER_LATELY;
}

static inline struct pv_mtu *pv_peer_mtu_of(struct pv_peer *p)
{
    return p->talk == NULL ? NULL : &p->talk->mtu;
}

/* --- shared by peer*.c --------------------------------------------------------------------- */

/* Somebody talks to it. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_peer_need_talk(struct pv_peer *p);
void pv_peer_set_state(struct pv_peer *p, enum pv_peer_state state, const char *why, pv_ns now);
/* The fast path sends there from now on; NULL: there is no path. None that is set here leads to a
 * relay of the other side's: only the agent knows of such a path, when it selects one. */
void pv_peer_use_path(struct pv_peer *p, const struct pv_carrier *path, pv_ns now);
/* A new gen: new credentials, everything is checked anew; REACHING. */
void pv_peer_begin(struct pv_peer *p, const char *why, pv_ns now);
/* peer_session.c: makes the session; conf: of a static peer, else NULL. PV_ERR_NOMEM, PV_ERR_AUTH
 * (a key of small order). */
PV_MUST_CHECK int pv_peer_make_session(struct pv_peer *p, const struct pv_peer_static *conf,
                                       pv_ns now);
/* The key of ours for its next message 1. */
const struct pv_wg_device *pv_peer_own_key(const struct pv_peer *p, pv_ns now);
/* The suite spoken with a member: AES when both latest descriptions say so (DESIGN 7). */
enum pv_suite pv_peer_suite(const struct pv_peer *p);
/* A handshake message in a description. */
void pv_peer_take_wg(struct pv_peer *p, const struct pv_desc *desc, pv_ns now);
/* Lets the session say what it wants done. */
void pv_peer_pump_session(struct pv_peer *p, pv_ns now);
/* Makes what the exchange needs, where it is possible. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_peer_pq_make(struct pv_peer *p);
/* Our generation is new, or has another number. */
void pv_peer_pq_begin(struct pv_peer *p);
/* This node asks this before it takes a description of p. False: the half in it would cost a KEM,
 * and p has made this node compute as many as it may for now; p repeats what is not acknowledged.
 */
bool pv_peer_pq_affords(struct pv_peer *p, const struct pv_desc *desc, pv_ns now);
/* Their description: one that is new, before its handshake message; one that is not. */
void pv_peer_pq_take(struct pv_peer *p, const struct pv_desc *desc, bool new_gen, pv_ns now);
void pv_peer_pq_again(struct pv_peer *p, const struct pv_desc *desc, pv_ns now);
/* It is in use: the preshared key is renewed in time. */
void pv_peer_pq_used(struct pv_peer *p, pv_ns now);
/* May packets pass as it is? And when that changes by itself. */
void pv_peer_pq_settle(struct pv_peer *p, pv_ns now);
pv_ns pv_peer_pq_next(const struct pv_peer *p);
/* Tries once more where an initiation came from that ours stands against. */
void pv_peer_try_back(struct pv_peer *p, const struct pv_carrier *from, pv_ns now);
/* A handshake with it was proven both ways at this address: without a better path that one is
 * tried. */
void pv_peer_proven_at(struct pv_peer *p, const struct pv_carrier *from, pv_ns now);
/* The agent knows more: it is to look at the path on trial. */
void pv_peer_check_trial(struct pv_peer *p, pv_ns now);
/* Reads what the fast path saw; hands a changed MTU of the path to it; writes down
 * which rule kept out a packet of it. */
void pv_peer_sample(struct pv_peer *p, pv_ns now);
void pv_peer_settle_mtu(struct pv_peer *p, pv_ns now);
void pv_peer_note_denied(struct pv_peer *p, const struct pv_fp_punt *punt, pv_ns now);
/* The facts by which a silent path is told, and the way that is sent by beside it. */
void pv_peer_settle_silence(struct pv_peer *p);
/* Before the state changes; after the path did; what came of an attempt; of the
 * ordinary checks, where that is not known yet. */
void pv_peer_count_state(struct pv_peer *p, enum pv_peer_state state, pv_ns now);
void pv_peer_count_path(struct pv_peer *p, pv_ns now);
void pv_peer_count_attempt(struct pv_peer *p, enum pv_hardnat_method method,
                           enum pv_path_result result);
void pv_peer_count_checks(struct pv_peer *p, enum pv_path_result result);

/* peer_path.c: the agent's view of a carrier, and the carrier of a path it chose. False: its relay
 * cannot carry it now, or the channel is still to be bound. */
struct pv_ice_carrier pv_peer_ice_carrier(const struct pv_carrier *c);
bool pv_peer_carrier(const struct pv_peer *p, const struct pv_ice_path *path,
                     struct pv_carrier *ret_carrier);
/* Relay candidates that are not this node's virtual address go: data is sent there unproven. */
void pv_peer_prune_relays(struct pv_desc *desc, const uint8_t pk[static PV_SIGN_PK_LEN]);
/* The largest UDP payload that p's path carries, bytes; 0 = as large as there are. A relayed path
 * that has not been probed is taken to have the narrowest of the ways to a relay. */
uint16_t pv_peer_path_mtu(const struct pv_peer *p);
