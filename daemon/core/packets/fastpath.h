/* SPDX-License-Identifier: MIT */
/*
 * fastpath.h - the packets' way: inner packets in, sealed datagrams out, and back (DESIGN 7).
 *
 * Pure and in batches: a call takes an array of packets and fills arrays in the worker: datagrams
 * to send, packets to write to the TUN, and punts (what the control side must see). No allocation
 * and no lock per packet. System calls around it are the shell's; the simulator calls the same
 * functions. No handshakes, no timers, no path finding: that is the control side's, which publishes
 * its decisions as immutable snapshots (fp_builder.h) and reads facts from struct pv_fp_live.
 *
 * Threads: a worker is used by one thread at a time. tx (pv_fp_tx, _inject, _flush) owns the
 * waiting packets; rx (pv_fp_rx) owns the replay windows. Both may be the same worker and thread.
 * There may be several of each (pv_fp_worker_share): tx workers share the send counters, of which
 * they take many at a time; of rx workers each peer has one, and what comes to another is handed
 * over. A snapshot is held by a worker between two pv_qsbr_online() calls; results are valid until
 * the worker's next call that produces some, or the end of that snapshot or of the input buffers,
 * whichever comes first.
 *
 * The loop of a worker:
 *   snap = pv_qsbr_online(); if it is not the last one: while (pv_fp_flush()) { drain; }
 *   read a batch; for (i = 0; i < n;) { i += pv_fp_tx/rx(worker, snap, v + i, n - i, now); drain; }
 *   nothing to read: pv_qsbr_offline(), sleep until pv_fp_next_timeout() or input
 */
#pragma once

#include <stdatomic.h>

#include "base/addr.h"
#include "base/pv.h"
#include "proto/ip/offload.h"

enum {
    PV_FP_OVERHEAD = 32,           /* bytes: 16 of header and 16 of tag, whitepaper s5.4.6 */
    PV_FP_INNER_MAX = 9000,        /* bytes of one inner packet, ours: the largest interface MTU */
    PV_FP_QUEUE_PACKETS = 64,      /* waiting packets of one peer, DESIGN 5 */
    PV_FP_QUEUE_BYTES = 256 << 10, /* of one peer, DESIGN 5 */
    PV_FP_QUEUE_TOTAL = 4 << 20,   /* bytes waiting in all, DESIGN 5 */
    PV_FP_MAX_COPIES = 256,        /* ours: of one broadcast or multicast */
    PV_FP_DISCOVERY_PACKETS = 100, /* ours: packets a second of broadcasts, and of each group of */
    PV_FP_DISCOVERY_BYTES = 64 << 10, /* discovery; bytes a second */
    PV_FP_DISCOVERY_BURST = 256 << 10,
    PV_FP_STREAM_PACKETS = 4000,  /* ours: a second of each group that programs joined: twice */
    PV_FP_STREAM_BYTES = 4 << 20, /* a film in high definition; bytes a second */
    PV_FP_ICMP_RATE = 100,        /* ours: ICMP answers a second */
    PV_FP_RUN_MAX = 64,           /* sends of a run: UDP_MAX_SEGMENTS before Linux 6.10 */
    PV_FP_MAX_RELAYS = 8,         /* TURN servers at once; 0 is the coordinator's */
    PV_FP_RUN_BYTES =
        65000, /* of a run: above 65,473 the kernel cuts it itself (PERFORMANCE "UDP sockets") */
    PV_FP_MAX_WORKERS = 8, /* pairs of tx and rx, ours */
};
/* Since data went either way; then discovery lets a peer sleep: as long as its path is kept
 * (PV_ICE_IDLE_LIMIT). */
#define PV_FP_IN_USE           PV_S(600)
#define PV_FP_SURE_FOR         PV_S(4)   /* as PV_ICE_SURE_FOR: then a path is silent */
#define PV_FP_DENIED_EVERY     PV_S(10)  /* ours: between two such words about a peer */
#define PV_FP_QUEUE_TIME       PV_S(30)  /* a packet waits no longer, DESIGN 5 */
#define PV_FP_REJECT_TIME      PV_S(180) /* REJECT_AFTER_TIME, whitepaper s6.1 */
#define PV_FP_SEND_TIME        PV_S(175) /* as PV_SESSION_SEND_FOR: then packets wait for others */
#define PV_FP_REJECT_COUNT     (UINT64_MAX - (1u << 13)) /* REJECT_AFTER_MESSAGES, whitepaper s6.1 */
#define PV_FP_REJECT_COUNT_AES ((uint64_t)1 << 27)       /* the same of AES-256-GCM, DESIGN 7 */

/* --- carriers ------------------------------------------------------------------------------ */

enum pv_carrier_kind {
    PV_CARRIER_NONE,    /* no path */
    PV_CARRIER_UDP,     /* a UDP socket */
    PV_CARRIER_CHANNEL, /* a channel of a TURN server, through a UDP socket */
    PV_CARRIER_STREAM,  /* a channel of a TURN server, through a TCP or TLS connection */
};

/* Which way a datagram goes or came (DESIGN 1). */
struct pv_carrier {
    enum pv_carrier_kind kind;
    uint16_t sock;    /* socket id; 0 = the main sockets, family by remote. STREAM: its number */
    uint16_t channel; /* TURN channel number, 0 = none (received by a Data indication) */
    uint16_t via;     /* CHANNEL, STREAM: which of our relays, below PV_FP_MAX_RELAYS */
    struct pv_addr local;  /* our address on it, port ignored; PV_AF_NONE = not known, any */
    struct pv_addr remote; /* where to, or where from; CHANNEL, STREAM: as the TURN server says */
    struct pv_addr relay;  /* CHANNEL, STREAM: the TURN server */
};

static inline bool pv_carrier_is_relayed(const struct pv_carrier *c)
{
    return c->kind == PV_CARRIER_CHANNEL || c->kind == PV_CARRIER_STREAM;
}

/* Where its datagrams go on the wire. */
static inline const struct pv_addr *pv_carrier_dst(const struct pv_carrier *c)
{
    return pv_carrier_is_relayed(c) ? &c->relay : &c->remote;
}

/* Same way: kind, socket and remote; of relayed ones the relay and the remote, for how the relay is
 * reached may change under way; local addresses only when both are known and it is no relayed
 * one. */
bool pv_carrier_same(const struct pv_carrier *a, const struct pv_carrier *b);

/* --- what was dropped ---------------------------------------------------------------------- */

enum pv_fp_drop {
    PV_FP_DROP_JUNK,         /* rx: no message we know, or one of a wrong length */
    PV_FP_DROP_INDEX,        /* rx: unknown receiver index */
    PV_FP_DROP_EXPIRED_KEYS, /* rx: keys older than REJECT_AFTER_TIME or counter too high */
    PV_FP_DROP_REPLAY,       /* rx: counter seen before or below the window */
    PV_FP_DROP_AUTH,         /* rx: forged or damaged */
    PV_FP_DROP_INNER,        /* both: not an IP packet, or damaged inside */
    PV_FP_DROP_SOURCE,       /* rx: inner source, or what an error is about, is not that peer's */
    PV_FP_DROP_DESTINATION,  /* rx: inner destination is not this node */
    PV_FP_DROP_INBAND,       /* rx: in-band control from a static peer */
    PV_FP_DROP_INBAND_RATE,  /* rx: more in-band control of a member than it may have handed up */
    PV_FP_DROP_RULES,        /* rx: the network's rules, or [firewall], do not let it in */
    PV_FP_DROP_NO_PEER,      /* tx: nobody has that address */
    PV_FP_DROP_OFFLINE,      /* tx: its owner is known to be offline */
    PV_FP_DROP_TOO_BIG,      /* tx: does not fit the path */
    PV_FP_DROP_QUEUE_FULL,   /* tx: waited, and gave way to newer packets */
    PV_FP_DROP_QUEUE_OLD,    /* tx: waited too long for a path */
    PV_FP_DROP_RATE,         /* tx: above the budget of its group */
    PV_FP_DROP_QUIET,        /* tx: multicast to nobody; both: DHCP, IGMP, MLD, … of one link */
    PV_FP_DROP_CONGESTION,   /* both: congestion was met, and the packet cannot say so (RFC 6040) */
    PV_FP_DROP_CRYPTO,       /* both: the crypto library failed */
    PV_FP_DROP_STREAM,       /* tx: the stream to the relay is full, or gone */
    PV_FP_DROP_PARTS,        /* rx: a damaged part of a packet, or one whose others did not come */
    PV_FP_DROP_HANDOVER,     /* rx: another worker's, which is too slow */
    PV_FP_DROP_CLASSICAL, /* rx: under keys that are not post-quantum, where these are required */
    PV_FP_DROP_LOOP,      /* tx: to many, and not of this node */
    PV_FP_DROP_IDLE,      /* tx: discovery for a peer that is not in use */
    PV_FP_DROP_UNWANTED,  /* rx: discovery, of a peer whose this node takes none */
    PV_FP_DROP_REASONS,
};

/* A short word for metrics: "junk", "replay", … */
const char *pv_fp_drop_name(enum pv_fp_drop reason);

/* --- facts of one peer, written by workers, read by control --------------------------------- */

/* All relaxed atomics: each is a fact of its own. Times are 0 = never. The tx half and the rx half
 * lie on cache lines of their own. */
struct pv_fp_live {
    _Alignas(64) _Atomic pv_ns last_tx_data; /* an inner packet was sent */
    _Atomic pv_ns last_tx_any;               /* that, a keepalive or in-band control was sent */
    _Atomic uint64_t tx_packets;             /* datagrams */
    _Atomic uint64_t tx_bytes;               /* of inner packets */
    _Atomic pv_ns alive_at;  /* written by control: the path in use was shown to live */
    _Atomic pv_ns woken_at;  /* an inner packet was sent after PV_FP_SURE_FOR without any */
    _Atomic bool asked_path; /* NEED_PATH was punted; cleared by re-arming */
    _Atomic bool asked_keys; /* NEED_KEYS was punted; cleared by re-arming */
    _Atomic uint64_t tx_relayed[PV_FP_MAX_RELAYS]; /* of tx_bytes, through each relay */
    _Alignas(64) _Atomic pv_ns last_rx_any; /* an authenticated datagram came, from anywhere */
    _Atomic pv_ns last_rx_data;             /* one that held an inner packet */
    _Atomic pv_ns last_rx_selected;         /* one that came over the selected path */
    _Atomic uint64_t rx_packets;            /* authenticated datagrams */
    _Atomic uint64_t rx_bytes;              /* of inner packets */
    _Atomic bool told_active;               /* ACTIVE was punted; cleared by re-arming */
    _Atomic pv_ns last_asked;  /* written by control: a client's question went or came in-band */
    _Atomic pv_ns told_denied; /* when DENIED was punted last */
    _Atomic pv_ns too_big_at; /* written by tx: a packet was too large for the path, and not sent */
    _Atomic uint64_t rx_relayed[PV_FP_MAX_RELAYS]; /* of rx_bytes, through each relay */
    _Alignas(64) _Atomic uint64_t drops[PV_FP_DROP_REASONS];
};

/* Returns true if the path was heard once, and not for PV_FP_SURE_FOR (when talk begins after a
 * rest: not in the second before). A NAT may have forgotten such a path. */
bool pv_fp_live_is_silent(const struct pv_fp_live *live, pv_ns now);
/* Control: the path in use was shown to live then. An earlier time than before changes nothing. */
void pv_fp_live_set_alive(struct pv_fp_live *live, pv_ns at);
/* Control: an answer that would show it is late, so it is silent unless packets came by it. */
void pv_fp_live_doubt(struct pv_fp_live *live);

/* Control: let the next such event punt again. */
void pv_fp_live_rearm_path(struct pv_fp_live *live);
void pv_fp_live_rearm_keys(struct pv_fp_live *live);
void pv_fp_live_rearm_active(struct pv_fp_live *live);

/* --- packets in ---------------------------------------------------------------------------- */

/* An inner packet from the TUN, possibly many in one (TSO, USO); borrowed during the call. */
struct pv_fp_packet {
    const uint8_t *data;
    size_t len;
    struct pv_offload offload; /* all zero: one packet as it goes on the wire */
    bool lose_first; /* drop the first packet in it: its flow makes others wait (fp_fair.h) */
};

/* A read of a UDP socket, possibly several datagrams merged by the kernel (UDP_GRO). */
struct pv_fp_datagram {
    struct pv_carrier from; /* socket, own address, source */
    uint8_t *data;          /* opened in place; borrowed until the results are used */
    size_t len;
    size_t segment; /* bytes of each merged datagram but the last; 0 = it is one datagram */
    uint8_t ecn;    /* the outer IP header's ECN field, RFC 3168 s5 */
    bool handed;    /* it is what another worker handed over (struct pv_fp_handed) */
    bool congested; /* the first of the merged packets met congestion, whatever ecn says: the queue
                       here stands for too long (fp_codel.h) */
};

/* --- results out --------------------------------------------------------------------------- */

struct pv_fp_send {
    const struct pv_carrier *to; /* in the snapshot */
    const uint8_t *data;         /* in the worker */
    size_t len;
    uint32_t peer;
    struct pv_fp_live *live; /* of that peer */
    uint8_t ecn;             /* for the outer IP header: the inner packet's, RFC 6040 s4.1 */
    bool cut;                /* routers, and this host, may cut it into fragments: no DF */
    /* This many sends from here on go the same way, lie behind each other in memory and are of one
     * length, but for the last, which may be shorter: one system call may take them all. At least
     * 1, at most PV_FP_RUN_MAX. */
    uint16_t run;
};

enum pv_fp_punt_kind {
    PV_FP_PUNT_DATAGRAM,  /* STUN or a handshake, also out of a channel: from, bytes */
    PV_FP_PUNT_INBAND,    /* in-band control of a member: peer, from, bytes (may be padded) */
    PV_FP_PUNT_NEED_PATH, /* packets wait for a path: peer. Once until re-armed; of a peer that was
                           * never used with each packet, until control has noted its use */
    PV_FP_PUNT_NEED_KEYS, /* a path, but nothing to seal with: peer. Once until re-armed */
    PV_FP_PUNT_ACTIVE,    /* data flows, either way: peer. Once until re-armed */
    PV_FP_PUNT_DENIED,    /* a rule kept a packet out: peer, index (the rule's number), count (its
                           * protocol << 16 | port). Once in PV_FP_DENIED_EVERY */
    PV_FP_PUNT_STRAY,     /* authenticated, and not over the selected path: peer, from, count */
    PV_FP_PUNT_KEYS_CONFIRMED, /* first authenticated packet under these keys: peer, index, from */
    PV_FP_PUNT_REPORT,         /* IGMP or MLD of the local kernel: bytes, the packet */
    PV_FP_PUNT_PROBE,          /* the kernel's packet of the probe under way: bytes, the packet */
    PV_FP_PUNT_TOO_BIG, /* the shell's: an ICMP error about a datagram to from.remote. count: bytes
                         * of IP packet that fit; bytes: how the datagram began, as they quote it */
};

struct pv_fp_punt {
    enum pv_fp_punt_kind kind;
    uint32_t peer; /* 0 = not known */
    struct pv_carrier from;
    uint32_t index;       /* KEYS_CONFIRMED: our index; DENIED */
    size_t count;         /* STRAY: bytes that came so in this batch; TOO_BIG; DENIED */
    bool moves;           /* STRAY: of a static peer, whose path follows it (roaming) */
    bool local;           /* TOO_BIG: no router, this host says so; nothing is quoted */
    struct pv_view bytes; /* in the datagram's buffer */
    /* The worker's: says that it was punted, and is not again; NULL: it comes again by itself.
     * Valid as long as the results. */
    _Atomic bool *told;
};

/* Transport data of a peer that is another rx worker's: taken out of any wrapping, still sealed. It
 * is for pv_fp_rx() of that worker, in the order of the results. */
struct pv_fp_handed {
    unsigned to; /* the worker's number */
    const struct pv_carrier *from;
    struct pv_view data; /* in the datagram's buffer */
    uint8_t ecn;
};

struct pv_fp_results {
    const struct pv_fp_send *sends;
    size_t n_sends;
    const struct pv_join_out *writes; /* for the TUN, in the datagrams' buffers or the worker */
    size_t n_writes;
    const struct pv_fp_punt *punts;
    size_t n_punts;
    const struct pv_fp_handed *handed;
    size_t n_handed;
};

/* --- workers ------------------------------------------------------------------------------- */

struct pv_fp_worker;   /* opaque; about 6 MB of address space, resident only as used */
struct pv_fp_snapshot; /* opaque; see fp_builder.h */

PV_MUST_CHECK int pv_fp_worker_new(struct pv_fp_worker **ret_worker);
/* Packets that still wait are lost. NULL is fine; returns NULL. */
struct pv_fp_worker *pv_fp_worker_free(struct pv_fp_worker *w);
/* It is tx, rx or both of pair number < of <= PV_FP_MAX_WORKERS; at first 0 of 1. A peer's rx
 * worker is the low byte of our receiver indices for it. Each takes its part of what is limited in
 * all: bytes that wait, broadcasts and ICMP answers a second. */
void pv_fp_worker_share(struct pv_fp_worker *w, unsigned number, unsigned of);

/*
 * Inner packets from the TUN, in order. Each is sealed for the peer that owns its destination,
 * waits for that peer's path or keys, is copied to many (broadcast, multicast), or is dropped and
 * counted, where RFC 1122 and RFC 4443 ask for it with an ICMP error as a TUN write.
 * Returns how many of the n were taken; none while the results are full of copies of the first one.
 * Use the results, then call again with the rest, where it is. snap may be NULL (nothing published
 * yet): all are dropped.
 */
size_t pv_fp_tx(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                const struct pv_fp_packet *packets, size_t n, pv_ns now);

/*
 * One packet of the control side to one peer: in-band control (first byte 0xC1), or a keepalive
 * (inner.len = 0); or, peer 0, an IP packet for the TUN. It does not wait: PV_ERR_NOT_FOUND (no
 * such peer), PV_ERR_STATE (no path or no usable keys), PV_ERR_NO_SPACE (longer than
 * PV_FP_INNER_MAX). The result is one send, two where the path is silent, or one write.
 */
PV_MUST_CHECK int pv_fp_inject(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                               uint32_t peer, struct pv_view inner, pv_ns now);

/* After a new snapshot, and when pv_fp_next_timeout() has passed: sends or drops what waited, and
 * repeats the first datagrams after silence. True: there is more; use the results and call again.
 */
bool pv_fp_flush(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap, pv_ns now);

/* When the oldest waiting packet must go, or a datagram be repeated; PV_NEVER: neither. */
pv_ns pv_fp_next_timeout(const struct pv_fp_worker *w);

/*
 * Datagrams from a UDP socket, in order. Transport data (type 4) is authenticated, checked and
 * written to the TUN, or dropped and counted; everything else that may be ours is punted. A
 * datagram that a TURN server passes on (ChannelData, Data indications) is taken out first, and
 * comes from carrier CHANNEL or STREAM and the address that the server names. Bytes of a stream are
 * given one message at a time, from carrier STREAM with the stream's number. Returns how many of
 * the n were taken, as pv_fp_tx(). snap may be NULL.
 */
size_t pv_fp_rx(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                const struct pv_fp_datagram *datagrams, size_t n, pv_ns now);

/* Which packets for the TUN may be joined into super-packets; at first none. */
void pv_fp_worker_join(struct pv_fp_worker *w, bool tcp, bool udp);

/* The libraries that seal and open: "ipsec-mb", or of each suite "boringssl, ipsec-mb". */
const char *pv_fp_worker_aead(const struct pv_fp_worker *w);
/* Why it is not the fastest; NULL: it is. */
const char *pv_fp_worker_aead_why(const struct pv_fp_worker *w);

/* A send of the last results could not be handed on (a full stream): counted as dropped. */
void pv_fp_send_lost(struct pv_fp_worker *w, const struct pv_fp_send *send);

/* A punt of the last results did not reach control: the next such event punts again. */
void pv_fp_punt_lost(const struct pv_fp_punt *punt);

/* A packet that was handed to another worker did not reach it: counts it as dropped. */
void pv_fp_handed_lost(struct pv_fp_worker *w, const struct pv_fp_handed *handed);

/* The results of the last call. */
struct pv_fp_results pv_fp_results(const struct pv_fp_worker *w);

/* Packets dropped by this worker so far; any thread may ask. */
uint64_t pv_fp_drops(const struct pv_fp_worker *w, enum pv_fp_drop reason);
