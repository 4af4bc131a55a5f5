/* SPDX-License-Identifier: MIT */
/*
 * peer.h - one other node, and how it is reached: its WireGuard session, its ICE agent and the
 * exchange of descriptions with it, composed. Its decisions go straight into the fast path's
 * builder (path, keys); what must travel is handed to the engine.
 *
 * A member is found by descriptions and checks (DESIGN 5 "Life of a path"); a static [peer] has an
 * endpoint and follows WireGuard's roaming rule. Not here: who the members are (roster), how a
 * description is sealed and sent (member/signals.h), chat. Control thread only.
 *
 * State of a member:
 *   IDLE     --want, or its description--> REACHING   (own gen begun)
 *   REACHING --agent SELECTED-->           UP
 *   REACHING --30 s, or every check failed--> FAILED  (its waiting packets are gone by then)
 *   FAILED   --want, news of it or of our network, or 5..60 s while wanted--> REACHING
 *   UP       --agent LOST, wanted lately-->          REACHING (new gen)
 *   UP       --agent LOST, nobody wants it-->        IDLE
 *   any      --goodbye, or suspect and offline--> IDLE
 *   any      --left, revoked-->            freed
 * At most PV_PEER_MAX_REACHING are REACHING by our own wish; who comes later waits in FAILED.
 * A static peer is UP while it has an endpoint, else IDLE.
 */
#pragma once

#include "base/addr.h"
#include "base/bucket.h"
#include "base/heap.h"
#include "base/log.h"
#include "base/map.h"
#include "base/pv.h"
#include "base/text.h"
#include "base/trace.h"
#include "crypto/dh.h"
#include "crypto/sign.h"
#include "daemon/core/nat/hardnat.h"
#include "daemon/core/node/config.h"
#include "daemon/core/node/facts.h"
#include "daemon/core/node/node.h"
#include "daemon/core/packets/fp_builder.h"
#include "daemon/core/peer/descx.h"
#include "daemon/core/peer/highwater.h"
#include "daemon/core/peer/pathstats.h"
#include "daemon/core/relay/relayway.h"
#include "proto/control/desc.h"
#include "proto/ice/ice.h"
#include "proto/ip/inband.h"
#include "proto/ip/mtu.h"
#include "proto/wireguard/session.h"

enum {
    PV_PEER_MAX = 16384,         /* peers of one node, members and static ones */
    PV_PEER_MAX_INDICES = 65536, /* receiver indices in use: 5 a peer */
    PV_PEER_MAX_OUT = 4,         /* handshake messages waiting; more stay in the session */
    PV_PEER_MAX_REACHING = 32,   /* being reached at once, DESIGN 5 */
    PV_PEER_NEW_PER_S = 20,      /* attempts begun a second, DESIGN 5 */
};
/* Ours: a member's former key is taken for so long after this node heard of the new one, and its
 * owner uses it for so long where it does not know whether that has happened. Keys of a session
 * that go unused die at the same age. */
#define PV_PEER_FORMER_TIME PV_S(180)
#define PV_PEER_REACH_TIME  PV_S(30) /* one attempt; as long as a packet waits, DESIGN 5 */
#define PV_PEER_RETRY_FIRST PV_S(5)  /* after a failed attempt; then NAT entries time out: */
/* After checks that all failed: a router on the way may have taken one for its own, and forgets it
 * when nothing comes for 30 s (TRAVERSAL 5). */
#define PV_PEER_SILENCE      PV_S(35)
#define PV_PEER_RETRY_SECOND PV_S(35)   /* 30 s unreplied on Linux, TRAVERSAL 4 */
#define PV_PEER_RETRY_MAX    PV_S(60)   /* "backed off to one a minute", DESIGN 5 */
#define PV_PEER_LEFT_FOR     PV_S(1)    /* after a goodbye: a message 1 may have been under way */
#define PV_PEER_TURN         PV_MS(250) /* a wish above the limits: asks again after this */
#define PV_PEER_WANTED_FOR   PV_S(60)   /* a wish counts this long */
#define PV_PEER_SAMPLE       PV_MS(100) /* how often the fast path's facts are read in use */
#define PV_PEER_QUIET_AFTER  PV_S(20)   /* no data either way: no longer read */
/* Ours: on the relay, until the direct pairs are tried anew. */
#define PV_PEER_LEAVE_FIRST PV_S(2)
#define PV_PEER_LEAVE_MAX   PV_S(60) /* doubling: "backed off to one a minute", DESIGN 5 */
/* Ours: of a pair that was direct so lately it is known that it can be; so often at least then. */
#define PV_PEER_LATELY       PV_S(600)
#define PV_PEER_LEAVE_LATELY PV_S(8)
/* Ours: a member that announced post-quantum sessions has that long for the first exchange; then no
 * packet passes without. The exchange takes a round trip or two, the rest is for what gets lost. */
#define PV_PEER_PQ_GRACE PV_S(10)

enum pv_peer_state {
    PV_PEER_IDLE,
    PV_PEER_REACHING,
    PV_PEER_UP,
    PV_PEER_FAILED,
};
const char *pv_peer_state_name(enum pv_peer_state state);

enum pv_presence {
    PV_PRESENCE_UNKNOWN, /* not subscribed, or no coordinator */
    PV_PRESENCE_ONLINE,
    PV_PRESENCE_OFFLINE,
};

struct pv_peer;

/* A receiver index that belongs to a peer's session. */
struct pv_peer_index {
    uint32_t index;
    struct pv_peer *peer;
    UT_hash_handle hh;
};
/* Names the receiver of a STUN request. */
struct pv_peer_ufrag {
    char ufrag[PV_ICE_UFRAG_MAX + 1]; /* zero-padded: the whole array is the key */
    struct pv_peer *peer;
    UT_hash_handle hh;
};

/* Bytes of inner packets that went through a relay. */
struct pv_peer_relayed {
    uint64_t tx, rx;
};

/* The fast path's counts of peers. */
struct pv_peer_sums {
    uint64_t tx_bytes, rx_bytes;     /* of inner packets */
    uint64_t tx_packets, rx_packets; /* datagrams */
};

/* The common state of a node's peers: whose an index or a name is, how many there are, and counts
 * of those that are gone. Of the table of peers (peers.h). */
struct pv_peers_common {
    bool signalling;   /* the coordinator is there: signals can be sent */
    size_t n_in_sync;  /* those that in-band messages reach: they pass signals on */
    size_t n_reaching; /* those in that state by our own wish */
    uint8_t network_id[PV_NETWORK_ID_LEN]; /* of the members */
    struct pv_highwater gen;               /* of descriptions */
    struct pv_highwater tai;               /* of message 1's timestamps */
    struct pv_bucket attempts;             /* of our own accord */
    struct pv_bucket_table *blind;         /* checks to where nobody has answered, ice.h */
    struct pv_peer_relayed relayed_gone[PV_FP_MAX_RELAYS]; /* of peers that were removed */
    struct pv_peer_sums gone;                              /* the same peers' */
    struct pv_pathstats stats;
    struct pv_map index_map;
    struct pv_peer_index *indices;
    struct pv_map ufrag_map;
    struct pv_peer_ufrag *ufrags;
};

/* Makes an empty one, zeroed before, that of node; borrowed. */
void pv_peers_common_init(struct pv_peers_common *common, struct pv_node *node);

/* Why there is no KEM, in words; "" when nobody told. */
const char *pv_peer_why_no_kem(const struct pv_node *n);
/* Whose receiver index is it; NULL: nobody's. */
struct pv_peer *pv_peer_by_index(const struct pv_node *n, uint32_t index);
struct pv_peer *pv_peer_by_ufrag(const struct pv_node *n,
                                 const char ufrag[static PV_ICE_UFRAG_MAX + 1]);

/* The key of ours that a message 1 or 2 is for, by its mac1; NULL: none. */
const struct pv_wg_device *pv_peer_key_addressed(const struct pv_node *n, struct pv_view msg);

/* --- questions ----------------------------------------------------------------------------- */

/* Is it there? The one answer that status, chat and files, and everybody else gives. */
enum pv_peer_reach {
    PV_REACH_NO,
    PV_REACH_ONLINE, /* the coordinator says that it is connected; no path is proven */
    PV_REACH_PATH,   /* a path to it answers, whatever the coordinator says */
};
enum pv_peer_reach pv_peer_reach(const struct pv_peer *p);

/* How packets get there. */
enum pv_path_state {
    PV_PATH_STATE_NONE,
    PV_PATH_STATE_TRIAL,   /* a handshake opened it; the agent has not found its own yet */
    PV_PATH_STATE_GOOD,    /* it answers */
    PV_PATH_STATE_SUSPECT, /* it does not answer now, and no other is ready */
};
enum pv_path_state pv_peer_path_state(const struct pv_peer *p);
/* The path that packets take, also one on trial or suspect; NULL: none. */
const struct pv_carrier *pv_peer_path(const struct pv_peer *p);
/* When it took the path that it has, or had last. */
pv_ns pv_peer_path_since(const struct pv_peer *p);
/* Since when a direct way to it is sought and not there; 0: nobody wants one. */
pv_ns pv_peer_sought_since(const struct pv_peer *p);
/* Is the path one without any relay? */
bool pv_peer_is_direct(const struct pv_peer *p);
/* A path and keys: in-band messages reach it now. */
bool pv_peer_can_talk(const struct pv_peer *p, pv_ns now);
/* It has had a path for PV_FP_SURE_FOR, and no packet came by it for so long. */
bool pv_peer_rests(const struct pv_peer *p, pv_ns now);
/* And no check was answered on it since, though it was heard once: a NAT may have forgotten it. */
bool pv_peer_is_silent(const struct pv_peer *p, pv_ns now);
/* Somebody wanted it lately (PV_PEER_WANTED_FOR). */
bool pv_peer_is_wanted(const struct pv_peer *p, pv_ns now);
/* Has anything ever been tried with it? Of thousands of members most are never used. */
bool pv_peer_is_used(const struct pv_peer *p);

uint32_t pv_peer_id(const struct pv_peer *p);
/* Does the other side speak plain WireGuard: a static peer, or a phone of this node? */
bool pv_peer_is_static(const struct pv_peer *p);
/* Is it a phone of this node? */
bool pv_peer_is_phone(const struct pv_peer *p);
/* Is it a member of the network, and so no static peer? */
bool pv_peer_is_member(const struct pv_peer *p);
/* Is it a member that has a p2pvpnd, and so neither a static peer nor anybody's phone? */
bool pv_peer_is_node(const struct pv_peer *p);
/* The peer that carries this member, a phone; 0: it is none, or is carried here. */
uint32_t pv_peer_by(const struct pv_peer *p);
void pv_peer_set_by(struct pv_peer *p, uint32_t by);
const uint8_t *pv_peer_pk(const struct pv_peer *p);        /* members: the identity key, 32 bytes */
const uint8_t *pv_peer_transport(const struct pv_peer *p); /* the WireGuard key, 32 bytes */
/* Is that its WireGuard key, or the one before while that is taken? */
bool pv_peer_has_key(const struct pv_peer *p, const uint8_t key[static PV_DH_LEN], pv_ns now);
/* Has it shown that it knows which key this node uses? */
bool pv_peer_knows_own_key(const struct pv_peer *p);
const char *pv_peer_name(const struct pv_peer *p);
const struct pv_addr *pv_peer_ip4(const struct pv_peer *p); /* members: in the network */
const struct pv_addr *pv_peer_ip6(const struct pv_peer *p);
enum pv_peer_state pv_peer_state(const struct pv_peer *p);
enum pv_presence pv_peer_presence(const struct pv_peer *p);
struct pv_trace *pv_peer_trace(struct pv_peer *p);

/* When something authenticated of a static peer came last; 0: never. */
pv_ns pv_peer_heard_at(const struct pv_peer *p);
/* When keys were agreed with it last, of a phone elsewhere by its gateway's word; 0: never. */
pv_ns pv_peer_handshake_at(const struct pv_peer *p);

/* Its machines, to look at or to tell something that concerns all peers; NULL: not made yet. */
struct pv_ice_agent *pv_peer_agent(const struct pv_peer *p);
const struct pv_session *pv_peer_session(const struct pv_peer *p);
const struct pv_mtu *pv_peer_mtu(const struct pv_peer *p);
/* How its description and ours went there and back. */
const struct pv_descx *pv_peer_descx(const struct pv_peer *p);
/* Our candidates changed, or something else of our description: it is sent again. */
void pv_peer_describe(struct pv_peer *p);
/* Its newest description; NULL: it never sent one. */
const struct pv_desc *pv_peer_remote(const struct pv_peer *p);
/* Has it what admits us to the network? Else our description carries it. */
bool pv_peer_knows_chain(const struct pv_peer *p);
/* Takes the number of a signal of its. False: that or a later one was seen before. */
PV_MUST_CHECK bool pv_peer_take_seq(struct pv_peer *p, uint64_t seq);
/* Its WireGuard sessions are static and the last answer did not fit our keys. */
bool pv_peer_is_misfit(const struct pv_peer *p);
/* The configured endpoint of a static peer, as written; "": none. */
const char *pv_peer_endpoint_host(const struct pv_peer *p);
/* How far its sessions are post-quantum. */
enum pv_peer_pq_state {
    PV_PEER_PQ_NONE,     /* no keys are in use, or it is a static peer */
    PV_PEER_PQ_HYBRID,   /* the keys in use have an agreed preshared key in them */
    PV_PEER_PQ_UNABLE,   /* classical: this node, or the peer as far as it said, does not do it */
    PV_PEER_PQ_EXCHANGE, /* classical: the exchange is under way; packets pass meanwhile, chat and
                            files wait */
    PV_PEER_PQ_WITHHELD, /* classical: the peer announced it, and its half does not come; packets
                            wait */
    PV_PEER_PQ_REQUIRED, /* classical: packets wait because of our configuration */
};
struct pv_peer_pq_view {
    enum pv_peer_pq_state state;
    bool announced;      /* the peer says that it does it */
    bool contradicts;    /* its statement says so, and its description does not */
    pv_ns since;         /* HYBRID: since then; else without since then; 0 = never */
    pv_ns classical_for; /* HYBRID: so long it was not, before */
    const char *error;   /* what was wrong with its last half; "" = nothing */
};
/* The node whose peer it is. */
const struct pv_node *pv_peer_node(const struct pv_peer *p);
/* Whether its signed statement says that it does it. */
void pv_peer_set_stated(struct pv_peer *p, bool stated);
struct pv_peer_pq_view pv_peer_pq(const struct pv_peer *p, pv_ns now);
/* Attempts at hard NATs between it and us: the last one, and when the next may begin. */
struct pv_peer_attempt {
    bool any;                    /* one was made, or is announced */
    bool tried;                  /* one came to its end */
    struct pv_hardnat_plan plan; /* of the last one */
    unsigned packets;            /* sent in it */
    pv_ns not_before;
};
struct pv_peer_attempt pv_peer_attempt(const struct pv_peer *p);

/* The address that has a channel for it at the coordinator's relay; PV_AF_NONE: none is bound. NULL
 * forgets it. */
const struct pv_addr *pv_peer_channel(const struct pv_peer *p);
void pv_peer_set_channel(struct pv_peer *p, const struct pv_addr *addr);
/* Where a static peer was heard last, when that was by our phone port at the coordinator;
 * PV_AF_NONE. */
const struct pv_addr *pv_peer_beyond_phone_port(const struct pv_peer *p);
/* How a static peer began a handshake last. */
struct pv_peer_sought {
    pv_ns at;           /* 0: never */
    bool by_phone_port; /* at the coordinator, else to a port of this machine */
    uint16_t family;    /* of the address that it came from */
};
const struct pv_peer_sought *pv_peer_sought(const struct pv_peer *p);
/* The agent chose a relay whose way or channel is still to come. */
bool pv_peer_awaits_relay(const struct pv_peer *p);
/* UDP passes again: the direct pairs are tried anew at once. */
void pv_peer_leave_relay(struct pv_peer *p, pv_ns now);

/* Where the last path on trial led; PV_AF_NONE: there was none. */
const struct pv_addr *pv_peer_recalled(const struct pv_peer *p);

/* Its word about the rules of the network to this node, which does not know them yet
 * (member/closed.h). Digests as of pv_roster_rules(). */
struct pv_peer_rules {
    bool is_named, is_word;
    uint8_t named[PV_BLAKE2B_LEN]; /* by its last description, which may be an old one */
    uint8_t word[PV_BLAKE2B_LEN];  /* by its last answer, within a session */
    pv_ns ask_until;               /* it named others than were here; 0: never */
    bool is_asked;                 /* for its word, at least once */
};

/* Notes about it of the parts of folder member/, some of which read each other's. A new part
 * keeps what it knows of a peer in pv_peer_slot(), and so does one of member/ whose notes nobody
 * else reads. */
struct pv_peer_notes {
    struct pv_peer_rules rules;
    bool subscribed;         /* its presence was asked for on this connection */
    bool was_here;           /* online at some time since the list of coordinators is this one */
    bool there;              /* online, by the coordinator's last word on this connection */
    bool in_sync;            /* in-band messages reach it: pv_peer_set_in_sync() */
    uint32_t spread;         /* it knows what has that number (node.spread); 0 = nothing */
    uint32_t spread_told;    /* a signal about that went to it, */
    pv_ns spread_at;         /* then */
    uint32_t passed_by;      /* the peer that last passed on a signal of this one; 0 = none */
    struct pv_bucket passed; /* signals it asked us to pass on */
    struct pv_bucket handed; /* signals of others that it passed on to us */
};
struct pv_peer_notes *pv_peer_notes(struct pv_peer *p);
const struct pv_peer_notes *pv_peer_notes_of(const struct pv_peer *p);
void pv_peer_set_in_sync(struct pv_peer *p, bool in_sync);
/* Of how many peers that is true; they pass signals on. */
size_t pv_peer_count_in_sync(const struct pv_peer *p);

/* The bytes that this peer keeps for a part (part.h peer_size): zeroed when the part asks for it
 * for the first time, at the same place until it is dropped. NULL: no memory. */
void *pv_peer_slot(struct pv_peer *p, const struct pv_part *part);
/* The same when it is there; NULL: the part never asked for it, or dropped it. */
void *pv_peer_find_slot(const struct pv_peer *p, const struct pv_part *part);
/* The part's end_peer() is called for it, and it is freed. */
void pv_peer_drop_slot(struct pv_peer *p, const struct pv_part *part);

/* The settings of a static [peer]. */
struct pv_peer_static {
    uint8_t public_key[PV_DH_LEN];
    uint8_t psk[PV_DH_LEN];        /* zero: none */
    uint16_t persistent_keepalive; /* seconds, 0 = off */
    enum pv_suite suite;           /* both ways; no other is spoken with it */
};

/* --- numbers ------------------------------------------------------------------------------ */

/* An in-band message that wants an answer goes out (`ping`): silence after it makes the path
 * suspect, as silence after data does, which alone the packet threads count as use. */
void pv_peer_note_asked(struct pv_peer *p, pv_ns now);
/* Somebody there or here asked for it, in-band: it is in use for whoever sends to many
 * (PV_FP_IN_USE). */
void pv_peer_note_use(struct pv_peer *p, pv_ns now);
/* Adds what went through relay via. */
void pv_peer_add_relayed(const struct pv_peer *p, uint16_t via, struct pv_peer_relayed *sum);
/* Adds what went either way. */
void pv_peer_add_sums(const struct pv_peer *p, struct pv_peer_sums *sum);
/* Bytes of the largest inner packet that passes, in parts where the path is narrow for it. */
uint16_t pv_peer_inner_mtu(const struct pv_peer *p);

/* Adds the time on the relay until now to node.common->stats. */
void pv_peer_count_relay_time(struct pv_peer *p, pv_ns now);
/* Adds p to the members that this node talked to, if it had any path since the node started. */
void pv_peer_count_pair(const struct pv_peer *p, struct pv_pathpairs *sum);

/* --- life ---------------------------------------------------------------------------------- */

/* A member. PV_ERR_LIMIT, PV_ERR_NOMEM, PV_ERR_AUTH (a transport key of small order). */
PV_MUST_CHECK int pv_peer_new_member(struct pv_peer **ret_peer, struct pv_node *n,
                                     const uint8_t pk[static PV_SIGN_PK_LEN],
                                     const uint8_t transport[static PV_DH_LEN]);
/* A static [peer]; conf: borrowed during the call. PV_ERR_LIMIT, PV_ERR_NOMEM, PV_ERR_AUTH. */
PV_MUST_CHECK int pv_peer_new_static(struct pv_peer **ret_peer, struct pv_node *n,
                                     const struct pv_peer_static *conf, pv_ns now);
/* A phone of this node. As above. */
PV_MUST_CHECK int pv_peer_new_phone(struct pv_peer **ret_peer, struct pv_node *n,
                                    const uint8_t pk[static PV_SIGN_PK_LEN],
                                    const uint8_t transport[static PV_DH_LEN], pv_ns now);
/* Takes it out of the fast path and wipes its keys; NULL is fine; returns NULL. */
struct pv_peer *pv_peer_free(struct pv_peer *p);

/* --- keys that change ---------------------------------------------------------------------- */

/* A member has another WireGuard key. Its session goes on, and the former key is taken for
 * PV_PEER_FORMER_TIME. PV_ERR_AUTH: a key of small order; nothing changes. */
PV_MUST_CHECK int pv_peer_set_transport(struct pv_peer *p,
                                        const uint8_t transport[static PV_DH_LEN], pv_ns now);
/* It knows the key that this node uses now. */
void pv_peer_note_own_key(struct pv_peer *p);
/* A key of ours is about to be wiped; it stands in node.keys no more. */
void pv_peer_forget_own_key(struct pv_peer *p, const struct pv_wg_device *device);

/* --- facts in ------------------------------------------------------------------------------ */

/* Somebody wants to talk to it: a packet waits, ping, chat. Starts or joins an attempt. */
void pv_peer_want(struct pv_peer *p, const char *who, pv_ns now);
/* Presence. since_us: start of its connection at the coordinator; another value for a peer that was
 * in use means that it may have restarted: it is reached anew at once. Nothing is heard of one that
 * speaks plain WireGuard, which no coordinator knows. */
void pv_peer_set_presence(struct pv_peer *p, enum pv_presence presence, uint64_t since_us,
                          pv_ns now);
/* Whether a phone of this node is online, by what it sends. */
void pv_peer_set_phone_presence(struct pv_peer *p, bool online, pv_ns now);
/* The last handshake of a phone elsewhere was so long ago, by its gateway's word. */
void pv_peer_set_handshake(struct pv_peer *p, pv_ns ago, pv_ns now);
/* node.ways.locals or node.common->signalling changed. */
void pv_peer_node_changed(struct pv_peer *p, bool locals, pv_ns now);
/* Its newest description, authenticated. Those of phones are dropped: their transport keys are in
 * files. */
void pv_peer_handle_desc(struct pv_peer *p, const struct pv_desc *desc, pv_ns now);
/* A STUN datagram for its agent. Status as pv_ice_handle_input(). */
PV_MUST_CHECK int pv_peer_handle_stun(struct pv_peer *p, const struct pv_carrier *from,
                                      struct pv_view datagram, pv_ns now);
/* Handshake messages that came by UDP. in is used up. Statuses as session.h. */
PV_MUST_CHECK int pv_peer_handle_initiation(struct pv_peer *p, struct pv_wg_initiation *in,
                                            const struct pv_carrier *from, pv_ns now);
PV_MUST_CHECK int pv_peer_handle_reply(struct pv_peer *p, uint8_t type, struct pv_view msg,
                                       const struct pv_carrier *from, pv_ns now);
/* Punts of the fast path about this peer. */
void pv_peer_handle_punt(struct pv_peer *p, const struct pv_fp_punt *punt, pv_ns now);
/* Something authenticated came in-band, from there. */
void pv_peer_strayed(struct pv_peer *p, const struct pv_carrier *from, pv_ns now);
/* There is no coordinator: a message 1 for the addresses it had. PV_ERR_AGAIN: not now. */
PV_MUST_CHECK int pv_peer_trial(struct pv_peer *p, pv_ns now,
                                uint8_t ret_msg[static PV_WGMSG_INITIATION_LEN]);
/* One in-band packet of it: *ret_msg, valid until the next call, once a whole message is there.
 * Statuses as pv_inband_receive(). */
PV_MUST_CHECK int pv_peer_receive_inband(struct pv_peer *p, struct pv_view packet, pv_ns now,
                                         struct pv_inband_message *ret_msg);
/* It is gone, or this node goes. */
void pv_peer_goodbye(struct pv_peer *p, pv_ns now);
/* It said in-band that it is going down: a handshake of it after PV_PEER_LEFT_FOR, a description of
 * a later life, or a wish of this node begin anew, and nothing that was under way. */
void pv_peer_handle_goodbye(struct pv_peer *p, pv_ns now);
/* A static peer's endpoint was configured or resolved. */
void pv_peer_set_endpoint(struct pv_peer *p, const struct pv_addr *addr, pv_ns now);
/* A relay's way or channels changed: a path through it follows. */
void pv_peer_relay_changed(struct pv_peer *p, pv_ns now);
/* A static peer's path: the own address it was last heard on is gone; the kernel chooses. */
void pv_peer_forget_local(struct pv_peer *p, pv_ns now);

void pv_peer_handle_timeout(struct pv_peer *p, pv_ns now);
pv_ns pv_peer_next_timeout(const struct pv_peer *p);

/* --- decisions out ------------------------------------------------------------------------- */

struct pv_peer_transmit {
    bool relayed; /* it goes through a relay, which sends it on to dst */
    uint16_t via; /* relayed: the number of that relay */
    uint16_t sock;
    struct pv_addr local; /* PV_AF_NONE: the kernel chooses */
    struct pv_addr dst;
    bool is_stun; /* a request or answer of the agent */
    uint8_t ttl;  /* 0 = default */
    size_t len;
    uint8_t buf[PV_ICE_MTU];
};
/* One datagram to send now, or PV_ERR_AGAIN. */
PV_MUST_CHECK int pv_peer_poll_transmit(struct pv_peer *p, struct pv_peer_transmit *ret_tx);
/* Is the path in use one through a relay, ours or theirs? */
bool pv_peer_is_relayed(const struct pv_peer *p);
/* Must our description be sent now? Then *ret_desc is it (borrowing from p). */
PV_MUST_CHECK bool pv_peer_take_desc(struct pv_peer *p, pv_ns now, struct pv_desc *ret_desc);
/* Lets the machines inside act on what they were told: call after every fact, before polling. */
void pv_peer_settle(struct pv_peer *p, pv_ns now);
