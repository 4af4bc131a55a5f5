/* SPDX-License-Identifier: MIT */
/* stack_int.h - what the files of this folder share. */
#pragma once

#include <lwip/netif.h>
#include <lwip/tcp.h>
#include <lwip/udp.h>

#include "sys/net/inside.h"
#include "sys/stack/stack.h"

enum {
    PV_STACK_BUF = 65536,    /* a packet, a datagram, a window */
    PV_STACK_ADDRS = 6,      /* of the interface: one IPv4 and five IPv6 */
    PV_STACK_WAITING = 1024, /* ours: connections that are over and wait for late packets */
};

struct pv_stack_conn;
struct pv_stack_place;
struct pv_stack_listener;
struct pv_stack_asker;

struct pv_stack {
    struct pv_loop *loop;
    struct netif nif;
    bool up;
    unsigned queues;            /* 0: none */
    int own[PV_STACK_QUEUES];   /* ends of the queues that are read and written here */
    int given[PV_STACK_QUEUES]; /* the others */
    struct pv_watch *watch[PV_STACK_QUEUES];
    struct pv_addr addrs[PV_STACK_ADDRS];
    size_t n_addrs;
    struct pv_stack_conn *conns; /* lists, owned */
    struct pv_stack_place *places;
    struct pv_stack_listener *listeners;
    struct pv_stack_asker *askers;
    unsigned n_conns, n_places, n_listeners, n_askers;
    bool broken; /* a connection is, and ends in this turn */
    pv_ns sweep_at;
    uint8_t buf[PV_STACK_BUF];
};

ip_addr_t pv_stack_to_ip(const struct pv_addr *a);
struct pv_addr pv_stack_of_ip(const ip_addr_t *ip, uint16_t port);
int pv_stack_errno(err_t err); /* 0 for ERR_OK */
bool pv_stack_is_own(const struct pv_stack *s, const struct pv_addr *a);

/* Serve a request; *ret_fd is the asker's end. 0 or an errno. */
PV_MUST_CHECK int pv_stack_connect(struct pv_stack *s, const struct pv_inside_want *want,
                                   int *ret_fd);
PV_MUST_CHECK int pv_stack_listen(struct pv_stack *s, const struct pv_inside_want *want,
                                  int *ret_fd);
PV_MUST_CHECK int pv_stack_place(struct pv_stack *s, const struct pv_inside_want *want,
                                 int *ret_fd);

/* Of a welcome packet: SYN and ACK together, for a connection that a member has begun? */
bool pv_stack_is_false_answer(struct pv_view packet);
/* Ends those that are broken, and looks for those whose program has gone (sweep). */
void pv_stack_reap_conns(struct pv_stack *s, bool sweep);
void pv_stack_end_conns(struct pv_stack *s);
void pv_stack_end_listeners(struct pv_stack *s);
void pv_stack_end_places(struct pv_stack *s);
void pv_stack_end_askers(struct pv_stack *s);
