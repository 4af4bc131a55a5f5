/* SPDX-License-Identifier: MIT */
/*
 * datapath.h - the threads that carry packets: system calls around daemon/core/packets/fastpath.
 *
 * A worker is a tx thread that reads the TUN and sends UDP, and an rx thread that receives UDP and
 * writes the TUN; a single worker may be one thread that does both. They drain what is there and
 * never wait for a batch to fill. The control thread, which alone calls the functions here,
 * publishes snapshots, injects control packets and takes punts; nothing is shared but snapshots
 * (qsbr), rings and counters.
 *
 * Of several workers each has a queue of the TUN, which gives it the flows of some hash, and a
 * socket of the port, which gives it the transport data of its peers (pv_udp_open_group). A packet
 * that comes to worker 0 for another's peer, through relays, adopted sockets and streams, goes to
 * that one's ring. One reader each and rings in between: packets of a flow keep their order.
 */
#pragma once

#include "base/pv.h"
#include "daemon/core/packets/counts.h"
#include "daemon/core/packets/fastpath.h"
#include "daemon/packets/relayio.h"
#include "daemon/packets/sockset.h"
#include "sys/net/tun.h"
#include "sys/net/udp.h"

struct pv_datapath; /* opaque */

struct pv_datapath_config {
    struct pv_udp_group udp; /* the caller's, open until pv_datapath_free(); udp.n = the workers */
    unsigned threads;        /* of a single worker, 1 or 2; 0 = by the processors it may use */
    struct pv_relayio *relayio; /* streams to relays; borrowed; NULL: nothing goes by them */
    bool deaf; /* at first datagrams wait in the sockets of the port: pv_datapath_hear() */
};

/* Without TUN and snapshot: what arrives is punted. PV_ERR_NOMEM, -errno. */
PV_MUST_CHECK int pv_datapath_new(struct pv_datapath **ret_dp,
                                  const struct pv_datapath_config *cfg);
/* Sends what was injected, ends the threads, frees snapshots, closes the TUN. NULL is fine; returns
 * NULL. */
struct pv_datapath *pv_datapath_free(struct pv_datapath *dp);

/* Takes the TUN's descriptors (closed here), NULL = none. PV_ERR_LIMIT: it has no queue for each
 * worker, and nothing was taken. The threads
 * stop and start again around the change; packets that wait for a path keep waiting. -errno: no
 * thread could be started; the datapath stands still until the next successful call. */
PV_MUST_CHECK int pv_datapath_set_tun(struct pv_datapath *dp, const struct pv_tun *tun);

/* Reads the sockets of the port from now on, or leaves what comes in them. */
void pv_datapath_hear(struct pv_datapath *dp, bool hears);

/* Sets all other IPv4 sockets that carry packets; more than PV_SOCKSET_MAX are ignored. The
 * sockets are the caller's, who may close removed sockets when this returns. The threads go on
 * meanwhile. */
void pv_datapath_set_socks(struct pv_datapath *dp, const struct pv_sockset_sock *socks, size_t n);

/* Returns true once after the TUN disappeared (ip link del): nothing passes it any longer. */
bool pv_datapath_tun_is_gone(struct pv_datapath *dp);

/* Takes the snapshot and wakes the threads. PV_ERR_NOMEM: it was freed, the old one stays. */
PV_MUST_CHECK int pv_datapath_publish(struct pv_datapath *dp, struct pv_fp_snapshot *snap);
/* Frees snapshots that no thread can see any longer. Returns when to call again: PV_NEVER if none
 * is left. */
pv_ns pv_datapath_reclaim(struct pv_datapath *dp, pv_ns now);

/* One control packet to a peer: in-band, or empty for a keepalive. PV_ERR_NO_SPACE: dropped, too
 * many wait. */
PV_MUST_CHECK int pv_datapath_inject(struct pv_datapath *dp, uint32_t peer, struct pv_view inner);

/* Transport data that control received from a socket the datapath does not carry yet: it is opened
 * as if the datapath had. PV_ERR_NO_SPACE: dropped and counted, too many wait. */
PV_MUST_CHECK int pv_datapath_hand(struct pv_datapath *dp, const struct pv_carrier *from,
                                   uint8_t ecn, struct pv_view datagram);

/* Readable while punts wait or the TUN has gone; cleared by the next two calls finding nothing. */
int pv_datapath_event_fd(const struct pv_datapath *dp);
/* The next punt, valid until pv_datapath_pop_punt(). PV_ERR_AGAIN. */
PV_MUST_CHECK int pv_datapath_peek_punt(struct pv_datapath *dp, struct pv_fp_punt *ret_punt);
void pv_datapath_pop_punt(struct pv_datapath *dp);

/* The threads' counts so far, each a moment old, and what the TUN can do; but for what is the
 * control thread's own. */
struct pv_datapath_counts pv_datapath_counts(const struct pv_datapath *dp);
