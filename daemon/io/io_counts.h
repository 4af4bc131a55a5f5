/* SPDX-License-Identifier: MIT */
/*
 * io_counts.h - what the packet threads, the relay thread and the process did so far, told to the
 * engine before somebody asks it for numbers.
 */
#pragma once

#include "daemon/io/io_turn.h"
#include "daemon/packets/datapath.h"
#include "daemon/packets/relayio.h"
#include "sys/net/udp.h"

struct pv_io_counts {
    struct pv_io_turn *turn;
    struct pv_datapath *datapath;
    struct pv_relayio *relayio;
    struct pv_udp_counts udp; /* of what the control thread itself sends */
    bool no_chat, no_files;   /* their ports at the overlay's addresses are taken (io_streams.c) */
    pv_ns process_at;         /* the process is not looked at again before */
};

/* Reads the counters and hands them to the engine. */
void pv_io_counts_tell(struct pv_io_counts *counts);
