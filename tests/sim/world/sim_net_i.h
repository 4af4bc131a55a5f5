/* SPDX-License-Identifier: MIT */
/* sim_net_i.h - what sim_net.c and sim_stream.c share. */
#pragma once

#include "base/heap.h"
#include "sim_faults.h"
#include "sim_net.h"

enum sim_wake_kind {
    SIM_WAKE_NAT,
    SIM_WAKE_UP,
    SIM_WAKE_DOWN,
    SIM_WAKE_TIMER,
    SIM_WAKE_STREAM,
    SIM_WAKE_AT,
};

/* Something that has a next time. */
struct sim_wake {
    struct pv_heap_node node;
    enum sim_wake_kind kind;
    unsigned index; /* zone, host, or stream end */
    bool reserved;
};

struct sim_zone {
    struct pv_nat *nat;
    unsigned outer;
    struct sim_wake wake;
};

struct sim_host {
    unsigned zone;
    bool on;
    bool no_streams;    /* blocked */
    bool no_datagrams;  /* blocked */
    unsigned side;      /* see sim_net_set_side() */
    uint16_t only_port; /* streams to another one are blocked; 0 = none is */
    struct pv_addr addrs[SIM_HOST_ADDRS];
    bool overlay[SIM_HOST_ADDRS];
    unsigned n_addrs;
    uint16_t listens[SIM_HOST_LISTENS];
    unsigned n_listens;
    struct pv_link up, down;
    struct sim_wake up_wake, down_wake, timer;
};

struct sim_at {
    struct sim_wake wake;
    struct sim_at *prev, *next;
    uint64_t tag;
};

/* One end of a stream; the other one is id ^ 1. `in` carries what comes to this end. */
struct sim_end {
    unsigned host;
    bool open;      /* the owner still knows it */
    bool started;   /* CONNECTED or ACCEPTED has been given */
    bool full;      /* takes nothing until WRITABLE */
    pv_ns patience; /* see sim_net_set_patience() */
    bool impatient; /* data is out that nobody acknowledges */
    struct pv_link in;
    struct sim_wake wake;
};

struct sim_stream {
    struct sim_end ends[2]; /* 0 connected, 1 accepted */
    bool silent;
    bool dead[2]; /* the host of that end lost its memory of it */
    struct pv_addr
        local[2]; /* addresses as each end sees its own side; remote = what it is shown */
    struct pv_addr remote[2];
    unsigned crossed[SIM_STREAM_DEPTH]; /* zones whose NAT it passes */
    unsigned n_crossed;
    double loss; /* chance that a chunk comes late */
};

struct sim_net {
    pv_ns now;
    struct pv_natrng rng;
    uint64_t hash;
    uint64_t unroutable;
    struct pv_heap heap;
    size_t n_wakes;
    struct sim_zone *zones[SIM_MAX_ZONES]; /* [0] = NULL: public */
    unsigned n_zones;
    struct sim_host *hosts[SIM_MAX_HOSTS];
    unsigned n_hosts;
    bool (*tap)(void *ctx, unsigned host, const struct pv_addr *dst, struct pv_view payload);
    void *tap_ctx;
    bool walled; /* see sim_net_set_wall() */
    unsigned wall;
    bool in_pieces; /* see sim_net_set_side() */
    struct sim_stream **streams;
    uint32_t n_streams, cap_streams;
    struct sim_at *ats;
    uint8_t *data;    /* of the event handed over last */
    const char *name; /* the one in DNS, and its addresses */
    struct pv_addr named[SIM_NAME_ADDRS];
    size_t n_named;
};

/* pv_link_send() of the simulator's own: what is on a line does not get lost for want of memory. */
void sim_link_send(struct pv_link *link, struct pv_view data, uint64_t tag, pv_ns now);
void sim_wake(struct sim_net *net, struct sim_wake *wake, pv_ns when);
void sim_hold(struct sim_net *net, uint8_t *data);
bool sim_host_has(const struct sim_host *host, const struct pv_addr *ip, bool overlay);

bool sim_streams_run(struct sim_net *net, struct sim_wake *wake, struct sim_event *event);
void sim_streams_silence_zone(struct sim_net *net, unsigned zone);
/* forget: the host's memory of its streams is gone too (power). */
void sim_streams_silence_host(struct sim_net *net, unsigned host, bool forget);
void sim_streams_done(struct sim_net *net);
