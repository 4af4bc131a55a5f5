/* SPDX-License-Identifier: MIT */
/*
 * dnsask.h - puts questions of phones to the resolvers of this host and passes the answers on.
 *
 * Each question leaves from a socket of its own, with an id of its own, so that nobody who does not
 * see it can answer it (RFC 5452 s9); only the resolver that was asked is heard. The next one is
 * asked after PV_DNSASK_TRY. A phone that hears nothing asks again by itself: so nothing is
 * repeated here, nothing is kept, and a question that gives way to another phone's is dropped.
 * Which questions these are, and of whom, is the engine's word (pv_engine_dns()).
 */
#pragma once

#include "proto/local/dns.h"
#include "sys/net/udp.h"
#include "sys/proc/loop.h"

enum {
    PV_DNSASK_MAX = 64, /* ours: questions under way; the phone with most gives its oldest */
};
#define PV_DNSASK_TRY PV_S(2) /* ours: until the next resolver is asked, or none */

struct pv_dnsask; /* opaque */

struct pv_dnsask_config {
    struct pv_loop *loop;
    struct pv_udp_receiver *rx;   /* shared with other sockets of this thread */
    struct pv_udp_counts *counts; /* of what is sent */
    struct pv_rng rng;            /* ids */
};

PV_MUST_CHECK int pv_dnsask_new(struct pv_dnsask **ret_ask, const struct pv_dnsask_config *cfg);
/* The question in packet, of at most PV_DNS_MAX bytes, which in came by the socket fd: asks the
 * resolvers of the reply. fd is borrowed until pv_dnsask_forget(). */
void pv_dnsask_put(struct pv_dnsask *ask, int fd, const struct pv_udp_in *in,
                   const struct pv_dns_reply *reply, pv_ns now);
/* The socket that questions came by is about to be closed: they are dropped. */
void pv_dnsask_forget(struct pv_dnsask *ask);
/* Goes on to the next resolver where it is time. Returns when to call it again, or PV_NEVER. */
pv_ns pv_dnsask_timeout(struct pv_dnsask *ask, pv_ns now);
struct pv_dnsask *pv_dnsask_free(struct pv_dnsask *ask); /* NULL is fine; returns NULL */
