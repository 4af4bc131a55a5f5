/* SPDX-License-Identifier: MIT */
/*
 * ipfrag.h - IPv4 fragments of an inner packet whose sender lets routers cut it (DF clear), for a
 * path too narrow for it: what RFC 791 s3.2 asks of a router. IPv6 has no such thing.
 *
 * No I/O, no allocation. Safe on any packet that pv_ippkt_parse() accepts.
 */
#pragma once

#include "base/pv.h"
#include "proto/ip/ippkt.h"

enum {
    PV_IPFRAG_MIN = 68, /* bytes every link carries, RFC 791 s3.2: 60 of header and 8 */
};

/* Returns true if a router may fragment this packet. */
bool pv_ipfrag_is_allowed(const struct pv_ippkt *ip);

/* The fragments of one packet. Borrows it. */
struct pv_ipfrag {
    struct pv_view packet;
    size_t first_head, head; /* bytes of header of the first and of the later fragments */
    size_t at, end;          /* bytes of payload: cut so far, in all */
    size_t mtu;
};

/* Fragments of at most mtu bytes of a packet that may be cut. PV_ERR_LIMIT: mtu below
 * PV_IPFRAG_MIN. PV_ERR_REFUSED: it must not be cut, or would reach beyond what an IPv4 packet
 * can be. */
PV_MUST_CHECK int pv_ipfrag_init(struct pv_ipfrag *f, const struct pv_ippkt *ip, size_t mtu);
/* Bytes of the next fragment; 0 when all are cut. */
size_t pv_ipfrag_next(const struct pv_ipfrag *f);
/* Writes it to dst. */
void pv_ipfrag_cut(struct pv_ipfrag *f, uint8_t *dst);
