/* SPDX-License-Identifier: MIT */
/* hardnat_int.h - what hardnat.c (life, measuring, answers) and hardnat_send.c (the packets of an
 * attempt) share. */
#ifndef PV_HARDNAT_INT_H
#define PV_HARDNAT_INT_H

#include "daemon/core/nat/hardnat.h"
#include "proto/stun/stun.h"

enum {
    PV_HARDNAT_OPS = 3 * PV_HARDNAT_MAX_MAPPINGS + PV_HARDNAT_KEPT,
    PV_HARDNAT_OUT = PV_HARDNAT_MAX_MAPPINGS, /* packets due at once */
    /* Questions to servers by place: each sample, the first socket to the second server, and two of
     * the second socket: an answer from another port, and the question to that one. */
    PV_HARDNAT_ASK_SECOND = PV_HARDNAT_SAMPLES,
    PV_HARDNAT_ASK_CHANGE,
    PV_HARDNAT_ASK_EARLY,
    PV_HARDNAT_ASKS,
    PV_HARDNAT_NEAR = 7, /* TTLs tried on the way to the other side */
};

/* Does a packet that comes in early take the port? */
enum pv_hardnat_early {
    PV_HARDNAT_EARLY_OPEN,    /* not looked at yet */
    PV_HARDNAT_EARLY_WAIT,    /* until such a packet must have come */
    PV_HARDNAT_EARLY_ASKED,   /* the server it came from which port we have towards it */
    PV_HARDNAT_EARLY_DECIDED, /* nat.early, or it cannot be told */
};

struct pv_hardnat_sock {
    uint16_t id;
    uint16_t port; /* local; 0 = not open yet */
    bool failed;
};

struct pv_hardnat_out {
    uint16_t sock; /* 0 = main */
    uint8_t ttl;   /* 0 = the system's */
    struct pv_addr dst;
    uint8_t txid[PV_STUN_TXID_LEN];
    bool plain;  /* a question to a STUN server, or without meaning */
    bool change; /* its answer is to come from the server's other port */
};

struct pv_hardnat {
    struct pv_hardnat_config cfg;
    enum pv_hardnat_phase phase;
    uint32_t peer;
    uint16_t next_id;
    struct pv_hardnat_sock socks[PV_HARDNAT_MAX_MAPPINGS];
    size_t n_socks;
    uint16_t kept[PV_HARDNAT_KEPT];
    size_t n_kept;

    /* measuring */
    struct pv_addr servers[2];
    uint8_t txid[PV_HARDNAT_ASKS][PV_STUN_TXID_LEN];
    struct pv_hardnat_samples samples;
    unsigned sends;
    enum pv_hardnat_early early;
    pv_ns measure_end;
    struct pv_desc_nat nat;
    pv_ns nat_at;  /* 0 = never measured */
    uint16_t wish; /* local port of the next socket, 0 = any: for a NAT that keeps the first one */
    unsigned used; /* mappings that measuring made in this attempt */

    /* running; hardnat_send.c */
    struct pv_hardnat_target target;
    struct pv_hardnat_plan plan;
    uint64_t tie_breaker;
    pv_ns start;
    pv_ns over_at;
    unsigned stage, round;    /* where it is in the plan; rounds or single packets sent in it */
    unsigned first, in_use;   /* sockets that send: in_use of them from the first on */
    uint16_t aim;             /* the port they send to */
    unsigned ahead;           /* ports after the newest one that were walked through */
    uint8_t tried[65536 / 8]; /* ports */
    unsigned packets, attempts;
    pv_ns begun;     /* the stage */
    uint16_t looker; /* socket that looks how far the other side is */
    uint8_t looks[PV_HARDNAT_NEAR][PV_STUN_TXID_LEN]; /* with TTL 2 and on */
    uint8_t expired, reached; /* the largest TTL that was used up, the smallest that reached them */
    pv_ns now;
    pv_ns sent[PV_HARDNAT_MAX_PPS]; /* when the last max_pps packets went, in a ring */
    size_t sent_at;                 /* the oldest one's place */

    pv_ns next; /* when something is to be done */
    struct pv_hardnat_out out[PV_HARDNAT_OUT];
    size_t n_out, out_first;
    struct pv_hardnat_op ops[PV_HARDNAT_OPS];
    size_t n_ops, op_first;
};

/* Asks for sockets until there are that many. */
void pv_hardnat_open_upto(struct pv_hardnat *h, size_t upto);
/* A datagram to be sent; NULL: too many wait. */
struct pv_hardnat_out *pv_hardnat_push_out(struct pv_hardnat *h, uint16_t sock,
                                           const struct pv_addr *dst);
/* RUNNING, and a socket is open that has not looked yet: looks how far the routers between the two
 * NATs are (TRAVERSAL 5). */
void pv_hardnat_look(struct pv_hardnat *h, pv_ns now);
/* RUNNING: sends what is due, and ends the attempt when its time is over. */
void pv_hardnat_go_on(struct pv_hardnat *h, pv_ns now);

#endif /* PV_HARDNAT_INT_H */
