/* SPDX-License-Identifier: MIT */
/*
 * datapath.h - the threads that carry packets: system calls around daemon/core/fastpath.
 *
 * A tx thread reads the TUN and sends UDP, an rx thread receives UDP and writes the TUN; with one
 * thread it does both. They drain what is there and never wait for a batch to fill. The control
 * thread, which alone calls the functions here, publishes snapshots, injects control packets and
 * takes punts; nothing is shared but snapshots (qsbr) and rings.
 */
#ifndef PV_DATAPATH_H
#define PV_DATAPATH_H

#include "base/pv.h"
#include "daemon/core/fastpath.h"
#include "daemon/relayio.h"
#include "daemon/sockset.h"
#include "sys/tun.h"

struct pv_datapath; /* opaque */

struct pv_datapath_config {
    int fd4;          /* UDP sockets, owned by the caller, open until pv_datapath_free() */
    int fd6;          /* -1 = none */
    unsigned threads; /* 1 or 2; 0 = as the machine has processors */
    struct pv_relayio *relayio; /* streams to relays; borrowed; NULL: nothing goes by them */
};

/* Without TUN and snapshot: what arrives is punted. PV_ERR_NOMEM, -errno. */
PV_MUST_CHECK int pv_datapath_new(struct pv_datapath **ret_dp,
                                  const struct pv_datapath_config *cfg);
/* Sends what was injected, ends the threads, frees snapshots, closes the TUN. NULL is fine; returns
 * NULL. */
struct pv_datapath *pv_datapath_free(struct pv_datapath *dp);

/* Takes the TUN's descriptor (closed here), -1 = none. The threads stop and start again around the
 * change; packets that wait for a path keep waiting. -errno: no thread could be started; the
 * datapath stands still until the next successful call. */
PV_MUST_CHECK int pv_datapath_set_tun(struct pv_datapath *dp, int tun_fd);

/* The other IPv4 sockets packets are carried on, all of them; more than PV_SOCKSET_MAX are ignored.
 * They are the caller's, who may close those that were taken out when this returns; the threads go
 * on meanwhile. */
void pv_datapath_set_socks(struct pv_datapath *dp, const struct pv_sockset_sock *socks, size_t n);

/* True once after the TUN disappeared (ip link del): nothing goes through it any more. */
bool pv_datapath_tun_is_gone(struct pv_datapath *dp);

/* Takes the snapshot and wakes the threads. PV_ERR_NOMEM: it was freed, the old one stays. */
PV_MUST_CHECK int pv_datapath_publish(struct pv_datapath *dp, struct pv_fp_snapshot *snap);
/* Frees snapshots no thread can see any more. Returns when to call again: PV_NEVER when none is
 * left. */
pv_ns pv_datapath_reclaim(struct pv_datapath *dp, pv_ns now);

/* One control packet to a peer: in-band, or empty for a keepalive. PV_ERR_NO_SPACE: dropped, too
 * many wait. */
PV_MUST_CHECK int pv_datapath_inject(struct pv_datapath *dp, uint32_t peer, struct pv_view inner);

/* Readable while punts wait or the TUN has gone; cleared by the next two calls finding nothing. */
int pv_datapath_event_fd(const struct pv_datapath *dp);
/* The next punt, valid until pv_datapath_pop_punt(). PV_ERR_AGAIN. */
PV_MUST_CHECK int pv_datapath_peek_punt(struct pv_datapath *dp, struct pv_fp_punt *ret_punt);
void pv_datapath_pop_punt(struct pv_datapath *dp);

/* What the threads did so far; each number is a moment old. */
struct pv_datapath_counts {
    uint64_t udp_sent, udp_failed; /* datagrams; failed: no room, too big, no route */
    uint64_t udp_received;
    uint64_t udp_calls;               /* messages sent, each a datagram or a run */
    uint64_t tun_read;                /* packets and super-packets */
    uint64_t tun_written, tun_failed; /* packets */
    uint64_t tun_calls;               /* writes, each of one packet or many */
    uint64_t punts_lost;              /* the control thread was too slow */
    struct pv_tun_offloads tun;
    const char *aead; /* the library that seals and opens */
};
/* The counts, and what the TUN can do. */
struct pv_datapath_counts pv_datapath_counts(const struct pv_datapath *dp);

#endif /* PV_DATAPATH_H */
