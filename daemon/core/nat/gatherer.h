/* SPDX-License-Identifier: MIT */
/*
 * gatherer.h - which addresses can this node be reached at: host candidates from the interfaces,
 * server-reflexive ones by STUN from each of them, kept fresh (DESIGN 5 "Gathering", RFC 8445
 * s5.1.1), and the ports that mapper.h got mapped.
 *
 * One for all peers: the candidates are the same for every agent. It owns no socket and resolves no
 * names. Bindings are refreshed, which also keeps the NAT's mapping to the coordinator open, and
 * made anew when the interfaces change, after a suspend, and on demand. Not thread-safe.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"
#include "daemon/core/node/links.h"
#include "proto/ice/ice.h"
#include "proto/stun/stunc.h"

enum {
    PV_GATHERER_MAX_BASES = 8,   /* host addresses offered; half of PV_ICE_MAX_LOCAL */
    PV_GATHERER_MAX_EXCLUDE = 8, /* ranges never offered: the overlay's */
};
#define PV_GATHERER_REFRESH PV_S(25) /* DESIGN 6; below the 30 s of unreplied mappings */

struct pv_gatherer_config {
    struct pv_rng rng;
    uint16_t udp_port; /* of the main sockets */
    bool has_udp6;
    char own_tun[PV_JOB_IFNAME]; /* its addresses are never offered */
};

struct pv_gatherer; /* opaque */

PV_MUST_CHECK int pv_gatherer_new(struct pv_gatherer **ret_gatherer,
                                  const struct pv_gatherer_config *cfg);
struct pv_gatherer *pv_gatherer_free(struct pv_gatherer *g); /* NULL is fine; returns NULL */

/* --- facts in ------------------------------------------------------------------------------ */

/* Ranges that are never offered, whatever interface holds them. More than the limit: ignored. */
void pv_gatherer_set_exclude(struct pv_gatherer *g, const struct pv_prefix *ranges, size_t n,
                             pv_ns now);
/* All addresses of this machine, after they changed. Other tunnels are offered only when nothing
 * else is there, or when they are the way out; container networks come last. An address whose
 * interface is not the way out any more loses what the servers saw of it. True: an address that was
 * offered is gone. */
bool pv_gatherer_set_links(struct pv_gatherer *g, const struct pv_link_addr *links, size_t n,
                           pv_ns now);
/* From now on the IPv4 addresses are those of this socket and port: what the servers see of the
 * former one holds no more. */
void pv_gatherer_set_socket(struct pv_gatherer *g, uint16_t sock, uint16_t port, pv_ns now);
/* STUN servers; the first of each family is asked. */
void pv_gatherer_set_servers(struct pv_gatherer *g, const struct pv_addr *servers, size_t n,
                             pv_ns now);
/* Between refreshes from now on: what the NAT's lifetime of a binding allows. 0 = the default. */
void pv_gatherer_set_interval(struct pv_gatherer *g, pv_ns interval, pv_ns now);
/* Our port at this local address (without port) is mapped by the router and proven to work:
 * external is offered; no family: nothing is, for the family of local. */
void pv_gatherer_set_mapped(struct pv_gatherer *g, const struct pv_addr *local,
                            const struct pv_addr *external);
/* Ask again now: after a suspend, or when a path fails and the NAT may have forgotten us. Soon
 * after the last time it waits until half a second has passed. */
void pv_gatherer_refresh(struct pv_gatherer *g, pv_ns now);

/* Another service at the server's address sees the main socket at `mapped`: as good as an answer of
 * the server while it has given none. */
void pv_gatherer_note_mapped(struct pv_gatherer *g, const struct pv_addr *server,
                             const struct pv_addr *mapped);

/* A STUN answer. Returns 0 when it was ours, PV_ERR_NOT_FOUND or a decoder's status otherwise. */
PV_MUST_CHECK int pv_gatherer_handle_input(struct pv_gatherer *g, const struct pv_addr *src,
                                           struct pv_view datagram, pv_ns now);
void pv_gatherer_handle_timeout(struct pv_gatherer *g, pv_ns now);
pv_ns pv_gatherer_next_timeout(const struct pv_gatherer *g); /* PV_NEVER if idle */

/* --- decisions out ------------------------------------------------------------------------- */

struct pv_gatherer_transmit {
    uint16_t sock;        /* 0 = the main sockets */
    struct pv_addr local; /* source address to use */
    struct pv_addr dst;
    size_t len;
    uint8_t buf[PV_STUNC_MTU]; /* the transaction id is at PV_STUN_TXID_AT */
};
PV_MUST_CHECK int pv_gatherer_poll_transmit(struct pv_gatherer *g,
                                            struct pv_gatherer_transmit *ret_tx);
/* True once after the candidates changed. */
PV_MUST_CHECK bool pv_gatherer_take_changed(struct pv_gatherer *g);

/* Is a server being asked, for the first time, for an address of ours that is not known at all? */
bool pv_gatherer_is_asking(const struct pv_gatherer *g);

/* Since when the server of this family owes an answer to every address of ours that asks it;
 * PV_NEVER: one of them has its answer, or none asks. */
pv_ns pv_gatherer_unanswered(const struct pv_gatherer *g, uint16_t family);

/* The candidates now, for pv_ice_set_local(); at most PV_ICE_MAX_LOCAL. Host candidates first, then
 * what the router maps, which lets everybody in. Where a NAT showed the server another port than
 * ours, its address with our own port is offered too, last: most NATs keep the port, and may have
 * given it away towards that server only. */
size_t pv_gatherer_candidates(const struct pv_gatherer *g,
                              struct pv_ice_cand ret_cands[static PV_ICE_MAX_LOCAL]);
