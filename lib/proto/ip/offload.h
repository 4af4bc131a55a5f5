/* SPDX-License-Identifier: MIT */
/*
 * offload.h - super-packets between the kernel's TUN and us: cutting what it hands out (TSO, USO,
 * missing checksums) and joining what it may take as one (as its own GRO does).
 *
 * Cutting and joining are inverse: what was joined is cut into the same packets, but UDP that had
 * no checksum has one then. A packet is joined only when the checksums that it has are right,
 * because the kernel believes what it is told about a super-packet: one that was damaged goes on
 * alone and is judged there. Within a flow nothing is reordered. No I/O, no allocation. Safe on any
 * input: fuzz target tests/fuzz/proto/fuzz_offload.c.
 */
#pragma once

#include "base/pv.h"
#include "proto/ip/ippkt.h"

enum pv_offload_kind {
    PV_OFFLOAD_NONE, /* one packet */
    PV_OFFLOAD_TCP4,
    PV_OFFLOAD_TCP6,
    PV_OFFLOAD_UDP, /* datagrams of one flow, IPv4 or IPv6 */
};

enum {
    PV_VNET_LEN = 10,          /* bytes: struct virtio_net_hdr as TUN has it by default */
    PV_OFFLOAD_MAX = 65535,    /* bytes of a super-packet with its IP header */
    PV_OFFLOAD_MAX_CUT = 1400, /* packets cut from one: 65535 / TCP's smallest segment, 48 bytes */
    PV_JOIN_FLOWS = 16,        /* flows joined at a time, PERFORMANCE "Conclusions" */
    PV_JOIN_PACKETS = 1024,    /* packets of one batch */
    PV_JOIN_TCP = 256,         /* segments of a super-packet, ours: below IOV_MAX */
    PV_JOIN_UDP = 64,          /* UDP_MAX_SEGMENTS of kernels before 6.10 */
};

/* The kernel's word beside a packet, or ours to it. All zero: a packet as it is on the wire. */
struct pv_offload {
    enum pv_offload_kind kind;
    bool needs_csum;      /* the L4 checksum field holds the sum of the pseudo header only */
    uint16_t size;        /* payload bytes of each packet but the last */
    uint16_t head;        /* bytes of all headers; a hint */
    uint16_t csum_start;  /* where L4 begins, bytes */
    uint16_t csum_offset; /* the checksum field from there, bytes */
};

/* One of these offloads that is not in use, and why, in words that last: for `status`. */
struct pv_offload_off {
    const char *what; /* tun_tso, tun_uso, tcp_join, udp_join, udp_segment, udp_gro, aead */
    const char *why;
};
enum {
    PV_OFFLOAD_OFFS = 7,
};

/* The header in front of every packet of a TUN with IFF_VNET_HDR, in the machine's byte order
 * (linux/virtio_net.h). PV_ERR_MALFORMED: an offload that was not asked for. */
PV_MUST_CHECK int pv_vnet_decode(const uint8_t header[static PV_VNET_LEN],
                                 struct pv_offload *ret_offload);
void pv_vnet_encode(uint8_t header[static PV_VNET_LEN], const struct pv_offload *offload);

/* --- cutting ------------------------------------------------------------------------------- */

/* The packets inside one that came from the TUN. Borrows the packet. */
struct pv_cutter {
    struct pv_view packet;
    struct pv_offload offload;
    uint8_t version;
    size_t head; /* bytes of headers that each packet repeats; all of it when there is only one */
    size_t at;   /* payload bytes cut so far */
    size_t index, count;
    /* Sums of what all packets have alike: the IPv4 header, and the L4 header with the pseudo
     * header. */
    uint32_t ip_sum, l4_sum;
};

/* ip is the packet, parsed. PV_ERR_MALFORMED: what offload says does not fit it. PV_ERR_LIMIT: more
 * than PV_OFFLOAD_MAX_CUT packets. */
PV_MUST_CHECK int pv_cutter_init(struct pv_cutter *c, const struct pv_ippkt *ip,
                                 const struct pv_offload *offload);
/* Bytes of the largest packet. */
size_t pv_cutter_largest(const struct pv_cutter *c);
/* Bytes of the next packet; 0 when all are cut. */
size_t pv_cutter_next(const struct pv_cutter *c);
/* Writes the next packet, pv_cutter_next() bytes, with checksums, to dst. */
void pv_cutter_cut(struct pv_cutter *c, uint8_t *dst);
/* Goes past the next packet; there is one. */
void pv_cutter_skip(struct pv_cutter *c);

/* --- joining ------------------------------------------------------------------------------- */

/* More payload of a super-packet. */
struct pv_join_piece {
    struct pv_view bytes;
    const struct pv_join_piece *next;
};

/* A packet for the TUN: data[0..len), then n_more pieces. */
struct pv_join_out {
    const uint8_t *data;
    size_t len;
    const struct pv_join_piece *more;
    size_t n_more;
    struct pv_offload offload; /* all zero when nothing was joined */
};

/* A super-packet that may still grow. */
struct pv_join_flow {
    uint16_t out;     /* index + 1; 0 = the place is free */
    uint16_t l4;      /* bytes of the IP header */
    uint16_t head;    /* bytes of all headers */
    uint16_t next_id; /* IPv4 identification of the next packet, when DF is not set */
    uint32_t next_seq;
    size_t size;  /* payload bytes of the first packet */
    size_t total; /* bytes so far */
    struct pv_join_piece *last;
};

/* One batch; about 100 KB. Zeroed memory with tcp and udp set is an empty one. */
struct pv_joiner {
    bool tcp, udp; /* what may be joined */
    struct pv_join_flow flows[PV_JOIN_FLOWS];
    struct pv_join_out outs[PV_JOIN_PACKETS];
    struct pv_join_piece pieces[PV_JOIN_PACKETS];
    size_t n_outs, n_pieces;
};

/* Forgets the batch before. */
void pv_joiner_reset(struct pv_joiner *j);
/* The next packet, as it is; the caller has made sure that less than PV_JOIN_PACKETS were added. */
void pv_joiner_add_plain(struct pv_joiner *j, struct pv_view packet);
/* The next packet of ip->whole.len bytes at packet, which ip was parsed from. Joined to one before
 * it when possible; its headers may be written to, by this and by later calls. */
void pv_joiner_add(struct pv_joiner *j, const struct pv_ippkt *ip, uint8_t *packet);
/* Completes the super-packets: outs[0..n_outs) may be written, in order. */
void pv_joiner_finish(struct pv_joiner *j);
