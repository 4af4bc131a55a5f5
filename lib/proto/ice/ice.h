/* SPDX-License-Identifier: MIT */
/*
 * ice.h - one ICE agent (RFC 8445) as a pure state machine: finds, proves, chooses and keeps the
 * path to one peer. One component, UDP.
 *
 * The agent owns no socket, clock, thread or timer, and gathers nothing. The owner
 *   1. feeds it facts:      set_local, set_remote, handle_input, handle_timeout, note_*
 *   2. drains what it wants: poll_transmit until PV_ERR_AGAIN, then poll_event until PV_ERR_AGAIN
 *   3. sleeps until next_timeout() or the next datagram, and repeats.
 * No function calls back into the owner. Every datagram and every decision follows from (config,
 * calls, now, rng): a run can be replayed. `now` never goes back between calls. Not thread-safe.
 *
 * Two profiles. Ours, between p2pvpnds (DESIGN 5): quick checks, no frozen pairs, data on every
 * valid pair at once, the controlling side nominates again and again by a counter (NOMINATION),
 * dead paths are noticed by missing traffic. RFC, for foreign agents: the RFC's timers, one
 * nomination by USE-CANDIDATE, role conflicts.
 *
 *   NEW        no remote description     --set_remote-->                     CHECKING
 *   CHECKING   nothing proven            --a pair answers-->                 CONNECTED (SELECTED)
 *                                        --all failed, patience over-->      FAILED (RFC 8863 s4)
 *   CONNECTED  a pair works              --nomination-->                     COMPLETED
 *   COMPLETED  it is nominated           --another pair is nominated-->      COMPLETED (SELECTED)
 *   CONNECTED or COMPLETED               --it died, another takes over-->    CONNECTED (SELECTED)
 *                                        --it died, none is ready-->         CHECKING (SUSPECT)
 *                                        --no traffic for 10 min-->          DORMANT
 *   CHECKING   selected pair suspect     --a pair answers-->                 CONNECTED or COMPLETED
 *                                        --none does-->                      CHECKING (LOST)
 *   DORMANT    nothing is sent           --kick, traffic-->                  CHECKING
 *                                        --the peer's check, ours answered--> COMPLETED (SELECTED)
 *   FAILED     everything was tried      --kick, new pairs, peer's check-->  CHECKING
 *   any        --restart, or new remote credentials--> CHECKING, the path in use stays, suspect
 *
 * While the state is CHECKING the selected pair may still be set: it is suspect, not given up.
 *
 * Between members' relayed addresses data may go before the pair is proven (DESIGN 6): such a pair
 * is selected, suspect, while the peer is known to be there: as soon as it can be formed, and
 * whenever the path in use fails and nothing else is proven; any proven pair takes over. DORMANT,
 * the relayed pair stands selected.
 */
#pragma once

#include "base/addr.h"
#include "base/bucket.h"
#include "base/pv.h"
#include "base/trace.h"

enum {
    PV_ICE_UFRAG_LEN = 8,   /* characters we make, 48 bits; RFC 8445 s5.3 asks 24 */
    PV_ICE_PWD_LEN = 24,    /* characters we make, 144 bits; RFC 8445 s5.3 asks 128 */
    PV_ICE_UFRAG_MAX = 32,  /* characters accepted; RFC 8839 s5.4 allows 256 */
    PV_ICE_PWD_MAX = 64,    /* characters accepted; RFC 8839 s5.4 allows 256 */
    PV_ICE_MAX_LOCAL = 16,  /* ours: candidates, and bases, of our side */
    PV_ICE_MAX_REMOTE = 32, /* ours: candidates of the other side, peer-reflexive ones included */
    PV_ICE_MAX_PAIRS = 100, /* RFC 8445 s6.1.2.5 */
    PV_ICE_LOSS_MIN = 4,    /* ours: checks that a figure of loss needs at least */
    PV_ICE_MTU = 256,       /* ours: bytes; no check or answer is larger */
    PV_ICE_DEAF = 3,        /* ours: this many unanswered checks are not just late or lost */
};

/* A binding may be gone once nothing has shown for so long that it lives: below the shortest life
 * of any, TRAVERSAL 4. */
#define PV_ICE_SURE_FOR PV_S(4)

enum pv_ice_cand_type { /* value = type preference, RFC 8445 s5.1.2.2 */
    PV_ICE_HOST = 126,
    PV_ICE_PRFLX = 110,
    PV_ICE_SRFLX = 100,
    PV_ICE_RELAY = 0, /* paired only with relay candidates of the same coordinator (DESIGN 6) */
};
const char *pv_ice_cand_type_name(enum pv_ice_cand_type type); /* for people: "public (STUN)" */

/* How datagrams of a local base leave and arrive. For a channel, carrier.local is the relayed
 * address, and the owner wraps what leaves. */
enum pv_ice_carrier_kind {
    PV_ICE_CARRIER_UDP,     /* a socket of ours */
    PV_ICE_CARRIER_CHANNEL, /* a channel of a TURN server, however that is reached */
};
struct pv_ice_carrier {
    uint8_t kind; /* enum pv_ice_carrier_kind */
    /* UDP: socket id, 0 = the main sockets, family by the address. CHANNEL: number of the relay. */
    uint16_t sock;
    struct pv_addr local; /* source address and port to send from; PV_AF_NONE: unknown (received) */
};

struct pv_ice_cand {
    enum pv_ice_cand_type type;
    struct pv_addr addr;
    uint32_t priority;  /* RFC 8445 s5.1.2.1; see pv_ice_priority() */
    uint8_t foundation; /* RFC 8445 s5.1.1.3, a small integer of its side */
    uint8_t base;       /* index of its base's host candidate in the same list; itself for host */
    struct pv_ice_carrier carrier; /* local candidates: of the base. Remote ones: ignored */
};

/* RFC 8445 s5.1.2.1, component 1. local_pref: 65535 = first choice. */
uint32_t pv_ice_priority(enum pv_ice_cand_type type, uint16_t local_pref);

/* NUL-terminated; the password is a secret: wipe. */
struct pv_ice_creds {
    char ufrag[PV_ICE_UFRAG_MAX + 1];
    char pwd[PV_ICE_PWD_MAX + 1];
};
/* Draws new credentials of PV_ICE_UFRAG_LEN and PV_ICE_PWD_LEN ice-chars. */
void pv_ice_make_creds(const struct pv_rng *rng, struct pv_ice_creds *ret_creds);

enum pv_ice_state {
    PV_ICE_NEW,
    PV_ICE_CHECKING,
    PV_ICE_CONNECTED,
    PV_ICE_COMPLETED,
    PV_ICE_DORMANT,
    PV_ICE_FAILED,
};
const char *pv_ice_state_name(enum pv_ice_state state);

struct pv_ice_config {
    bool controlling;       /* ours: the lower identity key, always */
    bool foreign;           /* the RFC profile */
    pv_ns binding_lifetime; /* between checks of an idle path; 0 = 25 s (TRAVERSAL 4) */
    struct pv_ice_creds local;
    struct pv_rng rng;      /* transaction ids, tie-breaker, jitter */
    struct pv_trace *trace; /* decisions in words; borrowed for the agent's life, may be NULL */
    /* Checks to where nobody has answered yet, of all agents that share it, by network: buckets
     * of PV_ICE_BLIND_A_SECOND and PV_ICE_BLIND_AT_ONCE. Borrowed for the agent's life; NULL: no
     * such limit. */
    struct pv_bucket_table *blind;
};

enum {
    /* Ours: of checks to one network where nobody has answered, a second and at once. All of a
     * description's unanswered checks are some 300; a crowd of members behind one NAT, of which
     * PV_PEER_NEW_PER_S are begun with a second, takes some ten each. */
    PV_ICE_BLIND_A_SECOND = 50,
    PV_ICE_BLIND_AT_ONCE = 2000,
    PV_ICE_BLIND_NETWORKS = 256, /* that are told apart */
};

struct pv_ice_agent; /* opaque; one per remote peer */

/* The only allocation the agent makes. PV_ERR_NOMEM; PV_ERR_MALFORMED: bad credentials. */
PV_MUST_CHECK int pv_ice_new(struct pv_ice_agent **ret_agent, const struct pv_ice_config *cfg,
                             pv_ns now);
struct pv_ice_agent *
pv_ice_free(struct pv_ice_agent *agent); /* NULL is fine; wipes; returns NULL */

/* --- facts in ------------------------------------------------------------------------------ */

/* Own new gen: new credentials, every pair has to prove itself again, checks made for the old
 * credentials are refused. The path in use stays until another is proven or it fails
 * (RFC 8445 s9). PV_ERR_MALFORMED: bad credentials, nothing changed. */
PV_MUST_CHECK int pv_ice_restart(struct pv_ice_agent *agent, const struct pv_ice_creds *local,
                                 pv_ns now);

/* Sets our candidates, always the whole list. Pairs of bases that vanished are dropped at once;
 * pairs of new bases are checked at once. Candidates beyond PV_ICE_MAX_LOCAL are ignored. */
void pv_ice_set_local(struct pv_ice_agent *agent, const struct pv_ice_cand *cands, size_t n,
                      pv_ns now);

/* The prefix by which this host, which has IPv6 alone, writes to IPv4 (RFC 6052), or one without a
 * family: what a description lists of public IPv4 is reached by it from the next one on, and the
 * peer is told its own address. True: it is another than before. */
bool pv_ice_set_nat64(struct pv_ice_agent *agent, const struct pv_prefix *prefix);

/*
 * Adds a base: the peer's authenticated check came through a socket that belongs to no candidate
 * (an attempt at a hard NAT opened it). The base is carrier.sock, with its own address and port in
 * carrier.local. It makes no pairs by itself, the peer's checks make them, and it is not offered as
 * a candidate. PV_ERR_LIMIT: no room.
 */
PV_MUST_CHECK int pv_ice_add_carrier(struct pv_ice_agent *agent,
                                     const struct pv_ice_carrier *carrier, pv_ns now);
/* The socket is about to be closed, because its NAT binding will end whatever passes; another one
 * takes its place among the candidates that are set next. The socket's pairs serve on until others
 * are proven, and any other direct pair is preferred. pv_ice_drop_carrier() ends that. */
void pv_ice_retire_carrier(struct pv_ice_agent *agent, uint16_t sock, uint16_t family, pv_ns now);
/* The socket is closed: its base and pairs are gone. */
void pv_ice_drop_carrier(struct pv_ice_agent *agent, uint16_t sock, pv_ns now);

/* The other side's description, always whole. New credentials are a restart of that side; with the
 * same ones candidates come and go, and the path in use is checked. Unusable addresses and more
 * than the limits are ignored. Checks that arrived early are honoured now. PV_ERR_MALFORMED: bad
 * credentials, nothing changed.
 */
PV_MUST_CHECK int pv_ice_set_remote(struct pv_ice_agent *agent, const struct pv_ice_creds *remote,
                                    const struct pv_ice_cand *cands, size_t n, pv_ns now);

/*
 * Sets whether the peer knows our candidates: it acknowledged our description. A new agent assumes
 * that it does not. Ours, IPv4: a check that crosses the peer's NAT before the peer has sent
 * anything to us can make that NAT give the peer another port for us, and then nothing passes
 * (TRAVERSAL 5). So until the peer knows us, each such pair gets three packets that leave our own
 * NAT and die on the next hop, and the peer's first check finds our side open. This ends by itself
 * after a second. The peer cannot know a public address that is still being asked for.
 */
void pv_ice_set_known(struct pv_ice_agent *agent, bool known, pv_ns now);

/* Check everything again now, what worked first: the network changed, a dormant or failed peer is
 * wanted, the peer signalled. Cheap to repeat: within 250 ms it does nothing. */
void pv_ice_kick(struct pv_ice_agent *agent, pv_ns now);

/* Sets whether the peer is known to be there: it has just spoken to us. Only then the relayed pair
 * is used before it is proven. A new agent assumes that it is not, as does one after a restart of
 * ours or after the relayed pair got no answer. */
void pv_ice_set_present(struct pv_ice_agent *agent, bool present, pv_ns now);

/* Checks every pair but the one in use again: there may be a better one by now. */
void pv_ice_try_others(struct pv_ice_agent *agent, pv_ns now);

/* Between checks of an idle path from now on (the learnt NAT binding lifetime with its margin). */
void pv_ice_set_lifetime(struct pv_ice_agent *agent, pv_ns lifetime, pv_ns now);

/* The packet threads' sightings, about every 100 ms while there is traffic: the times of the last
 * data sent to this peer and of the last authenticated packet received on the selected path (0 =
 * never). These decide whether the path is in use, idle, dormant or dead. */
void pv_ice_note_traffic(struct pv_ice_agent *agent, pv_ns last_tx_data, pv_ns last_rx_selected,
                         pv_ns now);

/* When data of the peer was last received, on whatever path (0 = never): before
 * pv_ice_note_traffic(). The agent learns from it how long silence is nothing new in the rhythm of
 * this traffic; without it every pause makes it look. */
void pv_ice_note_data(struct pv_ice_agent *agent, pv_ns last_rx_data, pv_ns now);

/* An authenticated packet of the peer, of len bytes of UDP payload, came from an address that is
 * not the selected one: it is checked, with no more than 3 times the bytes received from there. */
void pv_ice_note_stray(struct pv_ice_agent *agent, const struct pv_ice_carrier *carrier,
                       const struct pv_addr *src, size_t len, pv_ns now);

/*
 * Who is a STUN request for? Copies the ufrag that names the receiver. For the owner's table of
 * agents. PV_ERR_NOT_FOUND: not a Binding request with a well-formed USERNAME.
 */
PV_MUST_CHECK int pv_ice_request_ufrag(struct pv_view datagram,
                                       char ret_ufrag[static PV_ICE_UFRAG_MAX + 1]);

/*
 * A STUN datagram arrived on carrier (kind, sock, and local if known) from src.
 * Returns 0 when it was ours, else why it was dropped (for the counters):
 *   PV_ERR_TRUNCATED, PV_ERR_MALFORMED, PV_ERR_LIMIT   as pv_stun_decode(); LIMIT also when too
 *                                                      many requests came
 *   PV_ERR_AUTH       wrong integrity, or made for other credentials: nothing is answered
 *   PV_ERR_NOT_FOUND  no such transaction, or a base that is not there
 */
PV_MUST_CHECK int pv_ice_handle_input(struct pv_ice_agent *agent,
                                      const struct pv_ice_carrier *carrier,
                                      const struct pv_addr *src, struct pv_view datagram,
                                      pv_ns now);

/* Call when now >= pv_ice_next_timeout(); calling early or late is harmless. */
void pv_ice_handle_timeout(struct pv_ice_agent *agent, pv_ns now);

/* --- decisions out ------------------------------------------------------------------------- */

pv_ns pv_ice_next_timeout(const struct pv_ice_agent *agent); /* PV_NEVER if idle */

/* When a check of the selected path was last answered; 0 = never, or it is suspect, or the answer
 * to its last check is late. */
pv_ns pv_ice_alive_at(const struct pv_ice_agent *agent);

struct pv_ice_transmit {
    struct pv_ice_carrier carrier; /* of the base */
    struct pv_addr dst;
    uint8_t ttl; /* 0 = the default; else this packet shall not reach the peer */
    size_t len;  /* bytes used in buf */
    uint8_t buf[PV_ICE_MTU];
};
/* One datagram to send now, or PV_ERR_AGAIN. A request's transaction id is at
 * buf + PV_STUN_TXID_AT. */
PV_MUST_CHECK int pv_ice_poll_transmit(struct pv_ice_agent *agent, struct pv_ice_transmit *ret_tx);

/* A pair of addresses and what is known about it. */
struct pv_ice_path {
    struct pv_ice_carrier carrier;
    struct pv_addr remote;
    enum pv_ice_cand_type local_type; /* how our address looks from the other side */
    enum pv_ice_cand_type remote_type;
    struct pv_addr mapped; /* our address as the other side sees it; PV_AF_NONE before an answer */
    pv_ns rtt;             /* smoothed; 0 = unknown */
    unsigned loss;         /* lost in 1,000 of the recent checks */
    unsigned loss_of;      /* how many these are; below PV_ICE_LOSS_MIN loss says nothing */
    bool valid;            /* proven both ways, and lately */
    bool selected;
    bool nominated;   /* the last nomination names it */
    bool failed;      /* checked without answer */
    bool no_data;     /* left because it answered checks and carried no data; held down for that */
    unsigned checks;  /* ever sent */
    unsigned answers; /* ever received */
    unsigned unanswered; /* checks sent since the last answer */
    unsigned heard;      /* the peer's checks that came in while PV_ICE_DEAF or more of ours had
                            no answer: it does not hear us, or not our answers */
};

enum pv_ice_event_type {
    PV_ICE_EV_SELECTED, /* use this path for traffic from now on */
    PV_ICE_EV_LOST,     /* the last path is gone */
    PV_ICE_EV_STATE,    /* the state changed */
    PV_ICE_EV_SUSPECT,  /* the selected path does not answer and no other is ready; it stays
                         selected meanwhile: signal, use a relay */
    /* The selected path is silent although it is used: our own NAT may have lost its binding, which
     * only we can find out. SUSPECT follows, or the path answers. */
    PV_ICE_EV_LATE,
    /* Checks are answered, data is not: an authenticated answer of the peer is wanted on this path,
     * or the path is left as one that carries no data. */
    PV_ICE_EV_ECHO,
    PV_ICE_EV_CANDIDATES_CHANGED, /* a peer-reflexive address of ours was learnt */
};
struct pv_ice_event {
    enum pv_ice_event_type type;
    enum pv_ice_state state; /* when the event is handed out */
    struct pv_ice_path path; /* SELECTED, SUSPECT, LATE */
};
/* One event, or PV_ERR_AGAIN. Events tell the present: what was superseded is not told. */
PV_MUST_CHECK int pv_ice_poll_event(struct pv_ice_agent *agent, struct pv_ice_event *ret_event);

/* --- questions ----------------------------------------------------------------------------- */

enum pv_ice_state pv_ice_state(const struct pv_ice_agent *agent);
/* The selected path, also while it is suspect or dormant. PV_ERR_NOT_FOUND. */
PV_MUST_CHECK int pv_ice_selected(const struct pv_ice_agent *agent, struct pv_ice_path *ret_path);
/* All pairs, best first, up to cap; returns how many were written. */
size_t pv_ice_paths(const struct pv_ice_agent *agent, struct pv_ice_path *ret_paths, size_t cap);
/* Our candidates as they are now: those given, then peer-reflexive ones; up to cap. */
size_t pv_ice_locals(const struct pv_ice_agent *agent, struct pv_ice_cand *ret_cands, size_t cap);
