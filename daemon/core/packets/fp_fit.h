/* SPDX-License-Identifier: MIT */
/*
 * fp_fit.h - packets larger than the peer's path carries: in parts, in fragments, or refused
 * (DESIGN 7 "MTU"). Internal to the fast path.
 *
 * 1280 bytes always pass: between members in parts where the path is too narrow for them, to static
 * peers in fragments of the datagram. Larger IPv4 packets whose sender allows it are cut into
 * fragments themselves, as by every router. All other senders are told how much fits.
 */
#pragma once

#include "daemon/core/packets/fp_worker.h"
#include "proto/ip/ippkt.h"

enum pv_fp_fit {
    PV_FP_FITS, /* also what goes to a static peer in one datagram that may be cut */
    PV_FP_IN_PARTS,
    PV_FP_IN_FRAGMENTS,
    PV_FP_TOO_BIG,
};

/* How the packets inside ip, the largest of which has this many bytes, get over the path. */
enum pv_fp_fit pv_fp_fit(const struct pv_fp_peer *peer, const struct pv_ippkt *ip, size_t largest);

enum {
    PV_FP_PIECE_HEADER = 60, /* bytes at most that a piece has more: an IPv4 header */
};
/* How many datagrams one of them makes, at most; 1 unless in parts or fragments. */
size_t pv_fp_fit_pieces(const struct pv_fp_peer *peer, enum pv_fp_fit fit, size_t largest);

/* The MTU that the sender of a packet that is too big is told, in bytes. */
size_t pv_fp_told_mtu(const struct pv_fp_peer *peer);

/* Sends the packet of len bytes in w->whole so; there is room for pv_fp_fit_pieces() datagrams, and
 * the peer has a path and keys. */
void pv_fp_send_pieces(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                       const struct pv_fp_peer *peer, enum pv_fp_fit fit, size_t len, pv_ns now);

/* --- fp_tx.c, for fp_fit.c ------------------------------------------------------------------ */

/* The largest inner packet that the path carries as it is. */
size_t pv_fp_inner_limit(const struct pv_fp_peer *peer);
/*
 * Makes a datagram for a packet of len bytes and returns where its content goes; the caller writes
 * it before anything else. The peer has a path and keys, and there is room.
 */
uint8_t *pv_fp_add_send(struct pv_fp_worker *w, const struct pv_fp_snapshot *snap,
                        const struct pv_fp_peer *peer, size_t len, uint8_t ecn);
/* A pv_fp_add_send() was for len bytes of inner packets. */
void pv_fp_note_sent(struct pv_fp_worker *w, const struct pv_fp_peer *peer, size_t len, pv_ns now);
