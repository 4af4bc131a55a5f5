/* SPDX-License-Identifier: MIT */
/* counts.h - what the shell tells of the threads that carry packets, for status and metrics. */
#pragma once

#include "base/pv.h"
#include "crypto/aead.h"
#include "daemon/core/packets/fastpath.h"
#include "proto/ip/offload.h"

/* The threads that carry packets, and what they did since they began. */
struct pv_datapath_counts {
    unsigned workers, threads;                  /* threads in all; 0 workers: nothing is known */
    const char *aead;                           /* the library that seals and opens; static */
    uint32_t aead_ns[PV_SUITES];                /* pv_aead_cost() by suite */
    bool tcp_offload, udp_offload;              /* the TUN takes super-packets */
    struct pv_offload_off off[PV_OFFLOAD_OFFS]; /* what is not used, and why; static texts */
    size_t n_off;
    uint64_t udp_sent, udp_failed; /* datagrams; failed: no room, too big, no route */
    uint64_t udp_received;
    uint64_t udp_not_received;        /* by the main sockets, which were full */
    uint64_t udp_calls;               /* messages sent, each a datagram or a run */
    uint64_t tun_read;                /* packets and super-packets */
    uint64_t tun_written, tun_failed; /* packets */
    uint64_t tun_calls;               /* writes, each of one packet or many */
    uint64_t punts_lost;   /* the control thread was too slow, or rx for what control received */
    uint64_t injects_lost; /* of control, to peers without path or keys, or too many */
    uint64_t drops[PV_FP_DROP_REASONS];
    /* The control thread's own. */
    uint64_t not_relayed; /* to and from streams to relays, which were full */
    /* Why it does not listen at the overlay's address of IPv4, of IPv6, negative; 0: it does. */
    int no_app[2][2];
};
