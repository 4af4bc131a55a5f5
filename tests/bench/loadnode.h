/* SPDX-License-Identifier: MIT */
/*
 * loadnode.h - nodes of a load on a coordinator: each has an identity, and the daemon's own machine
 * for the control channel (coordclient) on a TCP connection of its own, also inside TLS. It joins
 * as the daemon does, pulls the log, subscribes as the daemon does, and answers nothing else. It
 * keeps no roster: verifying is the nodes' work and not the coordinator's.
 *
 * For bench_coordinator.c. One thread; what fails that must not ends the program.
 */
#pragma once

#include "base/addr.h"
#include "base/heap.h"
#include "base/pv.h"
#include "crypto/dh.h"
#include "crypto/sign.h"
#include "daemon/core/coord/coordclient.h"
#include "proto/roster/roster_make.h"
#include "proto/roster/token.h"
#include "sys/net/tls.h"

enum {
    LOAD_SUBSCRIBE_ALL = 128, /* members; in a larger network a node subscribes to none, as p2pvpnd
                                 (PV_PRESENCE_ALL) */
    LOAD_A_SOURCE = 8,        /* nodes of one /24: the coordinator limits what comes from one */
    LOAD_STAMP = 8,           /* bytes of a signal: when it was sent */
};

enum load_step {
    LOAD_OUT,      /* not a member, and not asked to become one */
    LOAD_CREATE,   /* makes its network */
    LOAD_FETCH,    /* asks for the invite's chain */
    LOAD_JOIN,     /* asks for a name and an address */
    LOAD_REGISTER, /* brings its member statement */
    LOAD_INVITE,   /* the creator brings the invite */
    LOAD_MEMBER,
};

struct load_node;

struct load_network {
    struct load_node *admin;
    struct pv_created made;
    uint8_t root_sk[PV_SIGN_SK_LEN], root_pk[PV_SIGN_PK_LEN];
    uint8_t invite_seed[PV_SIGN_SEED_LEN];
    uint8_t invite_sk[PV_SIGN_SK_LEN], invite_pk[PV_SIGN_PK_LEN];
    uint32_t invite_uses;
    size_t n_members;
    struct pv_ctl_cursor end; /* the furthest that any member has */
};

struct load;

struct load_node {
    struct load *load;
    struct load_network *net;
    size_t number;
    uint8_t sign_sk[PV_SIGN_SK_LEN], sign_pk[PV_SIGN_PK_LEN];
    uint8_t dh_sk[PV_DH_LEN], dh_pk[PV_DH_LEN];
    struct pv_coordclient *client;
    struct pv_streams streams; /* what it asks for */
    struct pv_fifo events;
    enum load_step step;
    bool online;    /* as a member */
    bool whole;     /* has had the whole log on this connection */
    pv_ns began;    /* to join */
    pv_ns joined;   /* online as a member for the first time */
    pv_ns whole_at; /* had the whole log for the first time */
    pv_ns back_at;  /* online for the last time */
    struct pv_ctl_cursor have;
    struct pv_heap_node timer;
    /* the connection */
    int fd;       /* -1: none */
    pv_ns got_at; /* wall clock when the kernel had what was read last */
    uint32_t sid;
    bool connecting, writes;
    struct pv_tls *tls;
};

/* The work of all nodes since the counters were last zeroed. */
struct load_counts {
    uint64_t rx, tx;    /* bytes of TCP's payload */
    uint64_t items;     /* statements received */
    uint64_t pages;     /* messages with statements */
    uint64_t presences; /* presence pushes */
    uint64_t signals;   /* received */
    uint64_t refused;   /* signals that were not passed on */
    uint64_t failures;  /* connections lost or refused */
};

struct load {
    int epoll;
    struct pv_rng rng;
    struct pv_url url;
    struct pv_addr server;
    struct pv_addr source;  /* of the first node; the others' follow */
    bool one_address;       /* all have that one */
    struct pv_tls_ctx *tls; /* NULL: plain TCP */
    struct pv_heap timers;
    struct load_network *nets;
    size_t n_nets;
    struct load_node *nodes; /* creators first, one of each network */
    size_t n_nodes, cap_nodes;
    size_t n_online, n_whole;
    struct load_counts counts;
    pv_ns *delays; /* of signals received, at most cap_delays */
    size_t n_delays, cap_delays;
};

/* Room for so many nodes, creators among them. */
void load_init(struct load *l, size_t n_nodes, size_t n_nets);
void load_done(struct load *l);

/* A node begins to make its network, or to join it. */
void load_begin(struct load_node *n, pv_ns now);
/* The next node of the load, in the network whose turn it is; the first of each network make it. */
struct load_node *load_add(struct load *l);
/* Goes away, and comes back at once. */
void load_flap(struct load_node *n, pv_ns now);
/* A signal to another node of the network, whose delay is noted when it arrives. False: not sent.
 */
bool load_signal(struct load_node *from, const struct load_node *to, size_t size, pv_ns now);

/* Waits at most ms for anything to happen, and works on what does. Returns whether *input, a
 * descriptor beside those of the nodes, can be read. */
bool load_turn(struct load *l, int input, int ms);

/* Ends the program with a message. */
_Noreturn void load_die(const char *what);
void load_check(int r, const char *what);
