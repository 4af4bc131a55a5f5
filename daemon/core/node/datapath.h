/* SPDX-License-Identifier: MIT */
/* datapath.h - what the shell tells of the threads that carry packets, for status and metrics. */
#pragma once

#include "base/pv.h"
#include "crypto/aead.h"
#include "daemon/core/packets/fastpath.h"
#include "proto/ip/offload.h"

/* The threads that carry packets, and what they dropped since they began. */
struct pv_engine_datapath {
    unsigned workers, threads;   /* threads in all; 0 workers: nothing is known */
    const char *aead;            /* the library that seals and opens; static */
    uint32_t aead_ns[PV_SUITES]; /* pv_aead_cost() by suite */
    bool tcp_offload, udp_offload;
    struct pv_offload_off off[PV_OFFLOAD_OFFS]; /* what is not used, and why; static texts */
    size_t n_off;
    uint64_t drops[PV_FP_DROP_REASONS];
    uint64_t not_received;  /* datagrams that were not read in time */
    uint64_t not_sent;      /* datagrams the kernel did not take */
    uint64_t not_written;   /* packets the TUN did not take */
    uint64_t not_handled;   /* for the control side, which was too slow */
    uint64_t not_injected;  /* of the control side: too many, or no path meanwhile */
    uint64_t not_relayed;   /* to and from streams to relays, which were full */
    bool no_chat, no_files; /* another program has the port at one of the overlay's addresses */
};

/* The result of reading the settings again. */
struct pv_engine_reloaded {
    const char *error;             /* nothing has changed, and why; NULL: all was read */
    const char *file;              /* the configuration */
    const char *changed, *waiting; /* keys, "[chat] keep, [log] level"; waiting: for a restart */
};
