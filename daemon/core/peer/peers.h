/* SPDX-License-Identifier: MIT */
/*
 * peers.h - the table of all peers of this node: members by identity key, static [peer]s in the
 * order of the configuration, each also by the id that the packet threads know it by.
 *
 * It owns the peers, calls them when their time has come, queues what is sent to them through the
 * packet threads, and collects the facts about each (facts.h) until the engine delivers them. Every
 * call into a peer that may change it is followed by pv_peers_touch(). Not here: what a peer does
 * (peer.h), and what is sent to it (each part for itself). Control thread only.
 */
#pragma once

#include "daemon/core/node/node.h"
#include "daemon/core/node/transmit.h"
#include "daemon/core/peer/peer.h"
#include "proto/ip/inband.h"
#include "proto/roster/roster.h"

#define PV_PEERS_SEE_OFF PV_MS(500) /* ours: the packet threads send within microseconds */
enum {
    PV_PEERS_MAX_INJECT = 256, /* packets waiting for the tx worker; more are dropped: ours */
};

struct pv_peers; /* opaque; node.peers */

extern const struct pv_part pv_part_peers;

/* node is borrowed: node->common is set, node->peers is not. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_peers_new(struct pv_peers **ret_peers, struct pv_node *node);
/* Frees the peers too, and tells nobody. NULL is fine; returns NULL. */
struct pv_peers *pv_peers_free(struct pv_peers *ps);

/* --- finding: NULL is nobody ----------------------------------------------------------------- */

/* By the id of the packet threads (pv_peer_id()), which is never used twice. */
struct pv_peer *pv_peers_by_id(const struct pv_peers *ps, uint32_t id);
/* A member by its identity key. */
struct pv_peer *pv_peers_by_pk(const struct pv_peers *ps, const uint8_t pk[static PV_SIGN_PK_LEN]);
/* A member or static peer by its WireGuard key, or a member by the one it had before (peer.h). */
struct pv_peer *pv_peers_by_transport(const struct pv_peers *ps,
                                      const uint8_t key[static PV_DH_LEN], pv_ns now);
/* By what a user types: a member as pv_node_member() has it, but for this node, which is no peer; a
 * static peer by its name or key. */
struct pv_peer *pv_peers_find(const struct pv_peers *ps, const char *text);

/* Walks over all members, those of them that have a p2pvpnd (pv_peer_is_node()), or all static
 * peers: NULL begins and ends. The peer given may not be dropped before the next call. */
struct pv_peer *pv_peers_next_member(const struct pv_peers *ps, const struct pv_peer *p);
struct pv_peer *pv_peers_next_node(const struct pv_peers *ps, const struct pv_peer *p);
struct pv_peer *pv_peers_next_static(const struct pv_peers *ps, const struct pv_peer *p);
/* Over both kinds, in the order of the ids' slots. */
struct pv_peer *pv_peers_next(const struct pv_peers *ps, const struct pv_peer *p);
/* One to begin such a walk with when peers are to take turns; the caller goes round the end. */
struct pv_peer *pv_peers_random(const struct pv_peers *ps);

size_t pv_peers_count_members(const struct pv_peers *ps);
size_t pv_peers_count_statics(const struct pv_peers *ps);
/* Phones that this node carries; they are members, too. */
size_t pv_peers_count_phones(const struct pv_peers *ps);
/* Members with a path that answers. */
size_t pv_peers_count_reached(const struct pv_peers *ps);
/* Does any come by a phone port at the coordinator (`phone-port = on`)? */
bool pv_peers_want_phone_port(const struct pv_peers *ps);
/* The allowed-ips of all static peers. */
const struct pv_prefix *pv_peers_static_routes(const struct pv_peers *ps, size_t *ret_n);

/* Bytes of inner packets that went through relay via, of all peers there are and were. */
struct pv_peer_relayed pv_peers_relayed(const struct pv_peers *ps, uint16_t via);

/* Has UDP over the internet an answer from somebody other than the coordinator, since that gave
 * none (ways.udp_since): a member reached directly at a public address? Or another relay. */
bool pv_peers_udp_elsewhere(const struct pv_peers *ps);

/* The bytes that the member pk keeps for a part (pv_peer_slot()); make: also when it keeps none
 * yet. NULL: there is no such member, it keeps nothing, or no memory. */
void *pv_peers_kept(const struct pv_peers *ps, const uint8_t pk[static PV_SIGN_PK_LEN],
                    const struct pv_part *part, bool make);

/* --- coming and going ------------------------------------------------------------------------ */

/* The part is about to be freed: what peers keep for it goes first. ps may be NULL. */
void pv_peers_drop_slots(struct pv_peers *ps, const struct pv_part *part);

/* The peer of this member: made when it is not there yet, else told its name, addresses and
 * WireGuard key. PV_ERR_LIMIT, PV_ERR_NOMEM, PV_ERR_AUTH. */
PV_MUST_CHECK int pv_peers_add_member(struct pv_peers *ps, const struct pv_member *m, pv_ns now);
/* From now on this node carries that member, a phone, and speaks plain WireGuard with it; or does
 * so no more. The peer is made anew where it was the other. PV_ERR_LIMIT: PV_FP_MAX_PHONES are
 * carried already; as pv_peers_add_member(). */
PV_MUST_CHECK int pv_peers_set_phone(struct pv_peers *ps, const struct pv_member *m, bool phone,
                                     pv_ns now);
PV_MUST_CHECK int pv_peers_add_static(struct pv_peers *ps, const struct pv_static_peer *conf,
                                      pv_ns now);
/* A member that is one no more: everybody is told at once, then it is freed. */
void pv_peers_drop(struct pv_peers *ps, struct pv_peer *p, pv_ns now);
/* The same of one that left by its own wish: what waits to be sent to it goes out before the packet
 * threads forget it, within PV_PEERS_SEE_OFF. Its addresses are free at once. */
void pv_peers_see_off(struct pv_peers *ps, struct pv_peer *p, pv_ns now);
void pv_peers_drop_members(struct pv_peers *ps, pv_ns now);

/* --- facts ----------------------------------------------------------------------------------- */

/* After any call into a peer that may have changed it: sends what it wants sent, moves its deadline
 * and raises PV_PEER_FACT_TOUCHED with whatever else is news. Cheap: no look at other peers. */
void pv_peers_touch(struct pv_peers *ps, struct pv_peer *p, pv_ns now);
/* Tells every part, after the call under way, what has changed about p: enum pv_peer_fact bits. */
void pv_peers_raise(struct pv_peers *ps, struct pv_peer *p, unsigned facts);
/* node.ways.locals or common.signalling changed: every peer that is or was in use looks at it. */
void pv_peers_node_changed(struct pv_peers *ps, bool locals, pv_ns now);

/* An ICMP error about one of our datagrams: it was too large for its path. A hint, no more. */
void pv_peers_too_big(struct pv_peers *ps, const struct pv_fp_punt *punt, pv_ns now);

/* --- out ------------------------------------------------------------------------------------- */

/* An inner packet for the packet threads to seal and send to p; empty: a keepalive. */
void pv_peers_inject(struct pv_peers *ps, struct pv_peer *p, struct pv_view inner);
/* An IP packet of ours for the local kernel: the packet threads write it to the TUN. */
void pv_peers_inject_tun(struct pv_peers *ps, struct pv_view packet);
/* A whole in-band message, in as many parts as it takes. Lost where there is no path or no memory,
 * as on the network. */
void pv_peers_send(struct pv_peers *ps, struct pv_peer *p, enum pv_inband_type type,
                   struct pv_view body);

/* An echo, or the answer to one: it says by which kind of path it leaves. */
void pv_peers_echo(struct pv_peers *ps, struct pv_peer *p, struct pv_inband_echo echo);

/* Data for a peer's address behind relay via, wrapped for it. False: that relay carries nothing
 * now. */
bool pv_peers_wrap(const struct pv_peers *ps, uint16_t via, const struct pv_addr *peer,
                   struct pv_view data, struct pv_engine_transmit *ret_tx);

/* --- for the engine -------------------------------------------------------------------------- */

/* Is any peer's news undelivered? */
bool pv_peers_has_news(const struct pv_peers *ps);
/* The next peer with facts, and which; NULL: none. The engine tells all parts, then calls
 * pv_peers_told() unless the peer is gone by then. */
struct pv_peer *pv_peers_take_news(struct pv_peers *ps, unsigned *ret_facts);
void pv_peers_told(struct pv_peers *ps, struct pv_peer *p, pv_ns now);
void pv_peers_handle_timeout(struct pv_peers *ps, pv_ns now);
pv_ns pv_peers_next_timeout(const struct pv_peers *ps);
