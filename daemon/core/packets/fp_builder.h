/* SPDX-License-Identifier: MIT */
/*
 * fp_builder.h - how the control thread tells the workers what is so: peers, routes, paths, keys.
 *
 * The builder holds the current state; pv_fp_builder_snapshot() makes an immutable snapshot of it
 * that workers may read on their own. Snapshots share what did not change, so that with 10,000
 * peers one costs tens of microseconds, not a copy of everything. Keys are wiped when the last
 * snapshot that holds them is freed.
 *
 * Control thread only, snapshots' free function included (pv_qsbr_reclaim() calls it there).
 */
#pragma once

#include "crypto/aead.h"
#include "daemon/core/packets/fastpath.h"
#include "proto/group/group.h"
#include "proto/ip/ipprobe.h"
#include "proto/rules/ruletable.h"

enum {
    PV_FP_MAX_PEERS = 65536, /* the low half of a peer id is its slot */
    PV_FP_MAX_OWN = 8,       /* own addresses, ours */
    PV_FP_MAX_CARRIED = 66,  /* ours: prefixes that peers carry: 64 and the default routes */
    PV_FP_MAX_HERE = 16,     /* ours: prefixes that this node carries for others */
    PV_FP_MAX_PARTS = 64,    /* ours: prefixes of these about which rules differ */
    PV_FP_MAX_PHONES = 16,   /* ours: phones of this node */
    /* With both addresses of each phone, and the network's two ranges. */
    PV_FP_MAX_REGIONS = PV_FP_MAX_PARTS + 2 * PV_FP_MAX_PHONES + 2,
    PV_FP_GATEWAYS = 4,       /* ours: peers that carry the same prefix */
    PV_FP_KEYS_PER_PEER = 5,  /* former, previous, current, next, and one on its way out */
    PV_FP_COOKIE = 0x2112A442 /* STUN magic cookie, RFC 8489 s5: never a receiver index */
};

/* Which inner packets go under hybrid keys only. */
enum pv_fp_strict {
    PV_FP_STRICT_NONE,
    PV_FP_STRICT_OWN, /* what daemons say to each other: the TCP ports of chat and files */
    PV_FP_STRICT_ALL,
};

enum pv_fp_peer_kind {
    PV_FP_MEMBER, /* of the network: exact addresses, in-band control, groups */
    PV_FP_STATIC, /* [peer NAME]: allowed-ips as WireGuard */
    PV_FP_PHONE,  /* a member that speaks plain WireGuard, carried by this node (adr 0090) */
};

/* This node's end of the TUN. */
struct pv_fp_interface {
    struct pv_addr own[PV_FP_MAX_OWN]; /* own addresses; port 0 */
    size_t n_own;
    struct pv_prefix nets[2]; /* the network's IPv4 range and ULA; addresses in them that no peer
                                 holds are nobody's; base.family PV_AF_NONE = none */
    uint16_t mtu;             /* of the TUN, bytes, <= PV_FP_INNER_MAX */
};

/* One pair of transport keys, as a WireGuard handshake made them. */
struct pv_fp_key_init {
    uint32_t local_index;  /* in what we receive; from pv_fp_builder_draw_index() */
    uint32_t remote_index; /* in what we send */
    enum pv_suite suite;
    bool hybrid; /* a preshared key that both agreed on is in them (pv_fp_builder_set_strict()) */
    uint8_t send_key[PV_AEAD_KEY_LEN];
    uint8_t recv_key[PV_AEAD_KEY_LEN];
    pv_ns birth; /* when the handshake completed */
};

/* How a TURN server's messages reach this node. */
struct pv_fp_relay_way {
    struct pv_addr server;
    bool udp;              /* as datagrams from server */
    uint16_t stream;       /* through the stream of this number; 0 = none */
    struct pv_addr former; /* the former server, which still sends datagrams in channels of the same
                              numbers; PV_AF_NONE: there is none */
    uint16_t former_stream; /* the former server also sends through this stream; 0 = none */
};

struct pv_fp_builder; /* opaque */

/* PV_ERR_NOMEM. rng: keys the hash tables. */
PV_MUST_CHECK int pv_fp_builder_new(struct pv_fp_builder **ret_builder, const struct pv_rng *rng);
/* Snapshots made before stay valid. NULL is fine; returns NULL. */
struct pv_fp_builder *pv_fp_builder_free(struct pv_fp_builder *b);

/* PV_ERR_NOMEM, PV_ERR_LIMIT (n_own, mtu), PV_ERR_EXISTS (a range equals a static peer's). Nothing
 * changed then. */
PV_MUST_CHECK int pv_fp_builder_set_interface(struct pv_fp_builder *b,
                                              const struct pv_fp_interface *iface);

/* A new peer without routes, path and keys; offline = false. The id is never 0 and not used again
 * for 65,535 removals. PV_ERR_LIMIT, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_fp_builder_add_peer(struct pv_fp_builder *b, enum pv_fp_peer_kind kind,
                                         uint32_t *ret_peer);
/* Somebody uses the peer: from now on its facts are kept, for good. Until then each packet for it
 * asks for a path. Keys and a path do the same. PV_ERR_NOT_FOUND, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_fp_builder_use_peer(struct pv_fp_builder *b, uint32_t peer);
/* All that follow answer PV_ERR_NOT_FOUND when there is no such peer, and change nothing when they
 * answer PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_fp_builder_remove_peer(struct pv_fp_builder *b, uint32_t peer);

/* The relay's way to it, for what leaves while its direct path is silent; of kind NONE: there is
 * none. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_fp_builder_set_spare(struct pv_fp_builder *b, uint32_t peer,
                                          const struct pv_carrier *spare);
/* The inner addresses that are this peer's: for a member its addresses (all bits), for a static
 * peer its allowed-ips; replaces the former. PV_ERR_EXISTS (a prefix is another peer's),
 * PV_ERR_MALFORMED, PV_ERR_LIMIT, PV_ERR_NOMEM: the peer has no routes then. */
PV_MUST_CHECK int pv_fp_builder_set_routes(struct pv_fp_builder *b, uint32_t peer,
                                           const struct pv_prefix *routes, size_t n);
/* The peer's packets pass the peer `by`, which carries it (adr 0090). The peer keeps addresses and
 * rules of its own. by 0: its packets pass nobody. If there is no peer `by`, nothing passes.
 * PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_fp_builder_set_by(struct pv_fp_builder *b, uint32_t peer, uint32_t by);
/* Where to send; NULL = no path. mtu: the largest UDP payload the path carries, bytes (the header
 * of a channel included), 0 = not known: all that the TUN's MTU allows fits. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_fp_builder_set_path(struct pv_fp_builder *b, uint32_t peer,
                                         const struct pv_carrier *path, uint16_t mtu);
/* Known to be offline: packets to it are answered at once, unless it has a path. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_fp_builder_set_offline(struct pv_fp_builder *b, uint32_t peer, bool offline);

/* Which inner packets go under hybrid keys only: out they wait, and what strictness ALL forbids is
 * dropped when it comes in. In-band control goes under any keys. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_fp_builder_set_strict(struct pv_fp_builder *b, uint32_t peer,
                                           enum pv_fp_strict strict);
/* The packets that the peer may send here, flows that this node began excepted; NULL = everything.
 * Takes a reference. PV_ERR_STATE: there is no guard. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_fp_builder_set_rules(struct pv_fp_builder *b, uint32_t peer,
                                          struct pv_ruletable *rules);
/* The packets that this node's own programs may send to the peer, a phone, whose machine keeps no
 * rules; flows that the peer began excepted; NULL = everything. As pv_fp_builder_set_rules(). */
PV_MUST_CHECK int pv_fp_builder_set_out(struct pv_fp_builder *b, uint32_t peer,
                                        struct pv_ruletable *out);
/* A part of what goes on from this node, and what the peer may send there. */
struct pv_fp_region {
    struct pv_prefix prefix;
    struct pv_ruletable *rules; /* borrowed for the call */
};
/* In place of the rules above for what goes on from here, to a prefix or a phone of this node, or
 * to any member where the peer is a phone: the first region that has the destination counts; none:
 * the rules above. PV_ERR_LIMIT, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_fp_builder_set_regions(struct pv_fp_builder *b, uint32_t peer,
                                            const struct pv_fp_region *regions, size_t n);
bool pv_fp_builder_has_rules(const struct pv_fp_builder *b, uint32_t peer);
/* Flows that nobody has seen begin may be the peer's; 0: none is. */
struct pv_fp_doubt {
    pv_ns until;         /* whatever the rules say: it may be older than the first one */
    pv_ns allowed_until; /* where the rules let the peer begin it: it may be older than we are */
};
/* Before the rules of peers: n_rules of them may deny from now on, and nothing is counted yet.
 * Flows that are known stay known. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_fp_builder_set_guard(struct pv_fp_builder *b, uint16_t n_rules,
                                          const struct pv_fp_doubt *doubt,
                                          const struct pv_rng *rng);
/* No peer has rules any longer. */
void pv_fp_builder_drop_guard(struct pv_fp_builder *b);
/* Packets that this rule (1..n_rules, PV_RULE_DEFAULT, PV_RULE_LOCAL, _UNSEEN) kept out since the
 * guard was set; 0 without one. */
uint64_t pv_fp_builder_denied(const struct pv_fp_builder *b, uint16_t rule);

/* A prefix that peers carry for this node, and which of them: the first n_live, in this order, are
 * sent to, all may send from it. Flows stay with the one that they began with while it is among the
 * n_live; without any the first is sent to. */
#define PV_FP_MARK PV_MS(10) /* ours: a prefix's mark is written so often at most */
struct pv_fp_carried {
    struct pv_prefix prefix;
    uint8_t n, n_live;
    bool taken; /* set by the builder: it is in, nobody else has that prefix */
    uint32_t ids[PV_FP_GATEWAYS];
};
/* Sets all prefixes that members carry for this node and that this node carries for members;
 * replaces the former. The longest prefix counts, members' addresses among them. A prefix that is
 * somebody's already (a static peer's, the network's own range, given twice) is left out, see
 * taken. Ids of peers that are gone do no harm. PV_ERR_LIMIT, PV_ERR_NOMEM: nothing changed. */
PV_MUST_CHECK int pv_fp_builder_set_carried(struct pv_fp_builder *b, struct pv_fp_carried *carried,
                                            size_t n, const struct pv_prefix *here, size_t n_here,
                                            const struct pv_rng *rng);

/* Returns when the kernel last sent a packet into the interface for this prefix, to within
 * PV_FP_MARK of it, since the list of carried prefixes was last changed; 0: none. */
pv_ns pv_fp_builder_gone_at(const struct pv_fp_builder *b, const struct pv_prefix *prefix);

/* Sets whether packets that this peer sends to find programs (PV_GROUP_DISCOVERY) are taken; at
 * first they are. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_fp_builder_take_discovery(struct pv_fp_builder *b, uint32_t peer, bool takes);

/* A group, and who gets what this node sends to it. */
struct pv_fp_group {
    struct pv_group group;
    bool wakes;      /* discovery that goes to members that are not in use, too */
    size_t first, n; /* of the ids; at most PV_FP_MAX_COPIES */
};
/* All groups there are, in the order of pv_group_compare(), each once; replaces the former. Ids of
 * peers that are gone do no harm. PV_ERR_LIMIT: of copies, or an id that is not there;
 * PV_ERR_MALFORMED: the order; PV_ERR_NOMEM: nothing changed. */
PV_MUST_CHECK int pv_fp_builder_set_groups(struct pv_fp_builder *b,
                                           const struct pv_fp_group *groups, size_t n,
                                           const uint32_t *ids, size_t n_ids);

/* The kernel's packets of this connection go to nobody: each is punted (PV_FP_PUNT_PROBE). NULL: no
 * probe is under way. */
void pv_fp_builder_set_probe(struct pv_fp_builder *b, const struct pv_ipprobe *probe);

/* Keys to receive with from now on; they are not sent with until told. The caller wipes init.
 * PV_ERR_EXISTS (index in use), PV_ERR_LIMIT, PV_ERR_NOMEM, PV_ERR_CRYPTO. */
PV_MUST_CHECK int pv_fp_builder_add_keys(struct pv_fp_builder *b, uint32_t peer,
                                         const struct pv_fp_key_init *init);
/* Seal with the keys of this index; 0 = with none. PV_ERR_NOT_FOUND, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_fp_builder_send_with(struct pv_fp_builder *b, uint32_t peer,
                                          uint32_t local_index);
/* Forget the keys of this index (nothing happens when there are none). PV_ERR_NOMEM: they stay. */
PV_MUST_CHECK int pv_fp_builder_remove_keys(struct pv_fp_builder *b, uint32_t peer,
                                            uint32_t local_index);
/* Returns true if the datagram, of which at least 16 bytes are here, begins as one of the last
 * datagrams sealed for this peer. Only somebody who has seen that datagram can know its
 * beginning. */
bool pv_fp_builder_has_sent(const struct pv_fp_builder *b, uint32_t peer, struct pv_view datagram);
/* A receiver index of no keys here: random, low byte = the owning rx worker, neither 0 nor, in
 * either byte order, the STUN cookie (DESIGN 5, 7). Handshakes still under way are the caller's to
 * compare. */
uint32_t pv_fp_builder_draw_index(const struct pv_fp_builder *b, const struct pv_rng *rng,
                                  uint8_t worker);

/* The peer's facts, valid until it is removed; NULL when there is no such peer, or nobody has used
 * it. */
struct pv_fp_live *pv_fp_builder_live(struct pv_fp_builder *b, uint32_t peer);

/* Sets the TURN server (via < PV_FP_MAX_RELAYS) whose messages are taken apart. NULL: no server,
 * and no channels. Another server than before has no channels, unless the old server is its
 * `former`. Another way to the same server keeps them. PV_ERR_LIMIT: via; PV_ERR_NOMEM: nothing
 * changed. */
PV_MUST_CHECK int pv_fp_builder_set_relay(struct pv_fp_builder *b, uint16_t via,
                                          const struct pv_fp_relay_way *way);
/* Whose datagrams come in this channel (0x4000 to 0x4FFF); NULL = nobody's. PV_ERR_STATE: there is
 * no such server; PV_ERR_MALFORMED: no channel number; PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_fp_builder_set_channel(struct pv_fp_builder *b, uint16_t via, uint16_t channel,
                                            const struct pv_addr *peer);

/* Returns true if anything changed since the last snapshot. */
bool pv_fp_builder_changed(const struct pv_fp_builder *b);
/* The state now, for publishing. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_fp_builder_snapshot(struct pv_fp_builder *b, struct pv_fp_snapshot **ret_snap);
/* For pv_qsbr_publish(); NULL is fine. */
void pv_fp_snapshot_free(void *snapshot);
