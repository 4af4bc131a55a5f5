/* SPDX-License-Identifier: MIT */
/*
 * ipprobe.h - packets that show whether this host lets members and programs talk: the first one of
 * a connection, as if it came from a member, and the answer to one that a program began. The daemon
 * writes them to its TUN, and recognises among the packets that it reads there what came of them.
 *
 * Pure; no state.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"
#include "proto/ip/ippkt.h"

enum {
    PV_IPPROBE_MAX = 80, /* bytes of a packet: IPv6, and TCP's header or UDP's with the text */
};

/* A connection between a port of this host and one of a member. */
struct pv_ipprobe {
    struct pv_addr here, there; /* with ports; there.family PV_AF_NONE: no probe is under way */
    uint8_t proto;              /* PV_IP_PROTO_TCP, PV_IP_PROTO_UDP */
};

/* A packet of that connection from this host, as read from the TUN. */
enum pv_ipprobe_is {
    PV_IPPROBE_OTHER,   /* it is no part of it */
    PV_IPPROBE_PACKET,  /* what begins it, or its answer */
    PV_IPPROBE_REFUSAL, /* TCP's RST, or an ICMP error to that member: it was refused */
};

/* ret_seq: of TCP's packet, its sequence number; else 0. */
enum pv_ipprobe_is pv_ipprobe_read(const struct pv_ipprobe *probe, const struct pv_ippkt *ip,
                                   uint32_t *ret_seq);

/* The packets from the member. UDP has no flags: each is a datagram. */
enum pv_ipprobe_kind {
    PV_IPPROBE_BEGIN,  /* SYN with this number */
    PV_IPPROBE_END,    /* RST with this number */
    PV_IPPROBE_REFUSE, /* RST that answers a SYN with this number */
};

/* Writes one with its checksums; returns its length in bytes. */
size_t pv_ipprobe_write(const struct pv_ipprobe *probe, enum pv_ipprobe_kind kind, uint32_t number,
                        uint8_t ret_packet[static PV_IPPROBE_MAX]);
