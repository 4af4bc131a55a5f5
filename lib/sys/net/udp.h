/* SPDX-License-Identifier: MIT */
/*
 * udp.h - UDP sockets: opening, batches in and out with the local address of every datagram, and
 * the error queue.
 *
 * Descriptors are non-blocking and belong to the caller. No retransmission, no queues: what the
 * kernel does not take is dropped and counted. Any thread may send; a receiver and a struct of
 * counts belong to one thread.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"

enum {
    PV_UDP_BATCH = 64, /* ours: maximum number of datagrams that one system call takes or gives */
    PV_UDP_SOCKBUF = 8 << 20, /* bytes of buffer asked for, PERFORMANCE "UDP sockets": the default
                                 holds 256 datagrams */
    PV_UDP_GROUP_MAX = 8,     /* ours: sockets that receive for one port */
};

struct pv_udp_opts {
    bool df;  /* DF on every datagram, the kernel's path MTU cache ignored (PMTUDISC_PROBE) */
    bool cut; /* no DF: routers may cut datagrams, IPv4 (PMTUDISC_OMIT), and this host does where it
               * knows that they do not fit, IPv6 (PMTUDISC_DONT) */
    bool gro; /* datagrams of one size and sender may come merged (UDP_GRO), where the kernel
               * can; the receiver's buffers must have 64 KB then */
    bool ecn; /* report the ECN field of each datagram received */
    bool waited;        /* report how long each datagram lay in the socket */
    const char *ifname; /* SO_BINDTODEVICE: packets of this interface only; NULL: any */
    uint32_t mark;      /* SO_MARK of what it sends, where the process may; 0: none */
};

/*
 * A socket bound to addr (IPv6 sockets take no IPv4), with PKTINFO, RECVERR and large buffers.
 * PV_ERR_EXISTS: the port or address is in use. Else -errno: EADDRNOTAVAIL, EACCES, EAFNOSUPPORT.
 */
PV_MUST_CHECK int pv_udp_open(const struct pv_addr *addr, const struct pv_udp_opts *opts,
                              int *ret_fd);
/*
 * n (1..PV_UDP_GROUP_MAX) sockets of one port as pv_udp_open() makes them, all by one user: what
 * arrives for addr comes out of one of them. Of WireGuard's transport data (type 4) that is number
 * i when the low byte of the receiver index is i < n. Everything else, other bytes included, comes
 * out of number 0: handshakes, STUN, and what TURN servers pass on, for the kernel merges the
 * datagrams of one server whoever they are for, and only one reader keeps their order. A port in
 * use by anybody else is PV_ERR_EXISTS as ever. With port 0 the first is given one, for all.
 */
PV_MUST_CHECK int pv_udp_open_group(const struct pv_addr *addr, const struct pv_udp_opts *opts,
                                    unsigned n, int ret_fds[static PV_UDP_GROUP_MAX]);
/* One more socket on the port and address of a group of which fd is a member: it sends from there,
 * and while the group is open it receives nothing but its share of ICMP errors (the kernel gives
 * them to any member). Give it opts.gro as the others, or what belongs to them is not merged. */
PV_MUST_CHECK int pv_udp_join(int fd, const struct pv_udp_opts *opts, int *ret_fd);

/* The sockets of this node's UDP port: one group for IPv4, one for IPv6. */
struct pv_udp_group {
    unsigned n;                /* sockets of each family */
    int fd4[PV_UDP_GROUP_MAX]; /* descriptors for IPv4 */
    int fd6[PV_UDP_GROUP_MAX]; /* descriptors for IPv6, all -1 on a host without it */
    bool has_cut;              /* cut4 and cut6 were opened */
    int cut4, cut6;            /* send only datagrams that may be cut (opts.cut); -1 = none */
};
/* Closes what is open and leaves n = 0. */
void pv_udp_group_close(struct pv_udp_group *group);

/* Sends from now on with or without DF (PMTUDISC_PROBE, PMTUDISC_DONT). -errno. */
PV_MUST_CHECK int pv_udp_set_df(int fd, uint16_t family, bool df);
/* Receives merged datagrams from now on (opts.gro), where the kernel can merge. */
void pv_udp_set_gro(int fd);
/* Datagrams for the socket that the kernel dropped, mostly as nobody read the others in time. */
uint64_t pv_udp_not_received(int fd);
bool pv_udp_has_gro(int fd);
/* Hears that address alone from now on, and of it that nobody listens there (the error queue).
 * -errno: no way leads there. */
PV_MUST_CHECK int pv_udp_connect(int fd, const struct pv_addr *addr);
/* The address the socket is bound to. -errno. */
PV_MUST_CHECK int pv_udp_local(int fd, struct pv_addr *ret_addr);

/* One datagram received; valid until the next pv_udp_recv() on the same receiver. */
struct pv_udp_in {
    struct pv_addr src;   /* who sent it */
    struct pv_addr local; /* the address it was sent to; port = 0 */
    uint8_t *ptr;         /* its bytes; may be written to, as decryption works in place */
    size_t len;           /* bytes at ptr */
    bool cut;             /* longer than the buffer: drop it */
    uint8_t ecn;          /* ECN field of its IP header; with opts.ecn */
    size_t segment;       /* merged: bytes of each datagram but the last; 0 = not merged */
    pv_ns waited;         /* how long it lay in the socket; with opts.waited */
};

struct pv_udp_receiver; /* opaque: buffers for one recvmmsg */

/* n (1..PV_UDP_BATCH) buffers of cap bytes. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_udp_receiver_new(struct pv_udp_receiver **ret_rx, size_t n, size_t cap);
/*
 * PV_UDP_BATCH buffers of cap bytes for each of `rows` calls, so that what one call brought is
 * still there after the next. A datagram longer than cap lies in buffers of 64 KB that all rows
 * share: *ptr of such a datagram is good until the next call only. Not wiped. PV_ERR_NOMEM.
 */
PV_MUST_CHECK int pv_udp_receiver_new_deep(struct pv_udp_receiver **ret_rx, size_t rows,
                                           size_t cap);
struct pv_udp_receiver *pv_udp_receiver_free(struct pv_udp_receiver *rx);
/* The datagrams that wait in the socket, at most n. Drains the error queue when the kernel reports
 * an ICMP error instead. PV_ERR_AGAIN: nothing waits. -errno: the socket is unusable. */
PV_MUST_CHECK int pv_udp_recv(struct pv_udp_receiver *rx, int fd, struct pv_udp_in **ret_in,
                              size_t *ret_n);
/* The "too big" errors that pv_udp_recv() drained; the receiver's own. */
struct pv_udp_hints *pv_udp_receiver_hints(struct pv_udp_receiver *rx);

/* As pv_udp_recv(), into a row (from 0) of a deep receiver; *ret_long: a datagram lies in the
 * buffers that all rows share. */
PV_MUST_CHECK int pv_udp_recv_row(struct pv_udp_receiver *rx, int fd, size_t row,
                                  struct pv_udp_in **ret_in, size_t *ret_n, bool *ret_long);
/* Whether more may wait: the last call filled all its buffers. */
bool pv_udp_more(const struct pv_udp_receiver *rx);

struct pv_udp_out {
    struct pv_addr dst;   /* where it shall go */
    struct pv_addr local; /* source address to use (its port is ignored); PV_AF_NONE = kernel's */
    uint32_t ifindex;     /* of a multicast dst: the interface it leaves by, with local; else 0 */
    struct pv_view data;  /* one datagram, or a run of them (segment) */
    uint8_t ttl;          /* of the IP header; 0 = the system's default */
    bool opener;          /* over IPv4, with a TTL: the router that uses that up does not take it
                           * in either where it is the destination itself, if it is Linux */
    uint8_t ecn;          /* ECN field of the IP header */
    uint16_t segment;     /* not 0: data is datagrams of this many bytes, the last may be shorter;
                           * at most 64 and 65,000 bytes */
    const struct pv_view *parts; /* not NULL: such a run whose datagrams lie apart, one each; data
                                  * is not looked at */
    size_t n_parts;              /* datagrams in parts, 1..PV_UDP_BATCH */
};

enum {
    PV_UDP_QUOTED = 20, /* bytes of a datagram that came back in an ICMP error and are kept */
    PV_UDP_HINTS = 4,   /* ours: "too big" errors kept between two looks */
};
/* The word of an ICMP error (or the local kernel) about a datagram of ours. Trust none of it. */
struct pv_udp_error {
    struct pv_addr dst;      /* where the datagram went */
    int err;                 /* errno value: EMSGSIZE, ECONNREFUSED, EHOSTUNREACH, ... */
    uint32_t mtu;            /* for EMSGSIZE: what the router says fits, in bytes of IP packet */
    bool local;              /* our own kernel says so, not the network */
    bool time_exceeded;      /* its TTL was used up on the way, at `offender` */
    struct pv_addr offender; /* the router that sent the error; port 0, PV_AF_NONE = not known */
    size_t quoted_len;       /* bytes in quoted; routers may quote less than PV_UDP_QUOTED */
    uint8_t quoted[PV_UDP_QUOTED]; /* how the datagram began */
};
/* Errors that say "too big", taken out of the queue on the way; more than fit are forgotten.
 * The caller that has looked at them sets n = 0. */
struct pv_udp_hints {
    unsigned n;
    struct pv_udp_error errors[PV_UDP_HINTS];
};

/* The fate of datagrams; the caller zeroes it once and may read it any time. */
struct pv_udp_counts {
    uint64_t sent;    /* datagrams the kernel took */
    uint64_t full;    /* dropped without room in socket or interface; a run counts as one */
    uint64_t too_big; /* dropped as larger than the interface takes; a run counts as one */
    uint64_t failed;  /* dropped for lack of route or address, by a firewall, or else; as above */
    uint64_t icmp;    /* errors taken from the error queue */
    uint64_t split;   /* runs that had to be sent one datagram a time */
    int no_segment;   /* the errno that said that UDP_SEGMENT does not work here; 0 = it may */
    struct pv_udp_hints hints; /* "too big" errors met while sending */
};

/* Sends n datagrams, or runs of them, in order, as many as possible a system call. Where the
 * kernel or the interface cannot take a run as one, its datagrams are sent one by one. A datagram
 * that fails is counted and skipped. */
void pv_udp_send(int fd, const struct pv_udp_out *out, size_t n, struct pv_udp_counts *counts);

/* Empties the error queue of a socket that nobody receives from. Returns how many there were. */
size_t pv_udp_drain_errors(int fd, struct pv_udp_hints *hints);
/* The oldest error waiting. A socket with a waiting error stays "ready", and its next send is
 * eaten, so drain it. PV_ERR_AGAIN: none. */
PV_MUST_CHECK int pv_udp_read_error(int fd, struct pv_udp_error *ret_error);
