/* SPDX-License-Identifier: MIT */
/*
 * relayout.h - output of the relay, brought into as few messages as the kernel needs: datagrams of
 * one size from one socket to one destination become a run for UDP_SEGMENT, wherever they lie.
 *
 * A pure function of its input. The order of datagrams between two addresses is kept.
 */
#pragma once

#include "coordinator/core/turn/turns.h"
#include "sys/net/udp.h"

enum {
    /* Bytes of a datagram in a run: a longer one may need to be fragmented, which runs cannot. */
    PV_RELAYOUT_SEGMENT_MAX = 1452,
    PV_RELAYOUT_RUN_MAX = 65000, /* bytes of a run: below a UDP datagram's 65,507 for IPv4 */
};

/* A message in the making. */
struct pv_relayout_run {
    const struct pv_turns_out *first;
    uint32_t n, bytes;
    bool closed; /* its last datagram is shorter, or it may not be in a run */
};

struct pv_relayout {
    size_t n;
    uint32_t socks[PV_TURNS_BATCH]; /* of each message */
    bool df[PV_TURNS_BATCH];
    struct pv_udp_out msgs[PV_TURNS_BATCH];
    struct pv_view parts[PV_TURNS_BATCH]; /* of the runs */

    /* While it is made. */
    struct pv_relayout_run runs[PV_TURNS_BATCH];
    uint16_t run_of[PV_TURNS_BATCH];    /* of each output */
    uint16_t slots[2 * PV_TURNS_BATCH]; /* hash table: the newest run of each way */
    struct pv_view *next[PV_TURNS_BATCH];
};

/* The outputs without a stream, at most PV_TURNS_BATCH; their data is pointed to. ro need not be
 * zeroed. */
void pv_relayout_make(struct pv_relayout *ro, const struct pv_turns_out *out, size_t n);
