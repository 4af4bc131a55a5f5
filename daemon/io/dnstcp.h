/* SPDX-License-Identifier: MIT */
/*
 * dnstcp.h - the name server's connections (RFC 7766): questions that come by TCP, and those of
 * phones that go on to this host's resolvers, by TCP too, since their answers may be long.
 *
 * A connection's questions are answered one after the other. Which answer each gets is the
 * caller's word, as for a datagram; a question that gets none ends its connection. One thread.
 */
#pragma once

#include "proto/local/dns.h"
#include "sys/proc/loop.h"

enum {
    PV_DNSTCP_MAX = 32,     /* ours: connections; one more ends one that has asked nothing */
    PV_DNSTCP_OF_ONE = 4,   /* ours: of one address; further ones are closed */
    PV_DNSTCP_LISTENERS = 8 /* at once */
};
#define PV_DNSTCP_IDLE                                                                          \
    PV_S(10)                  /* ours: for a whole question, and for taking an answer; RFC 7766 \
                                 s6.2.3 asks for some seconds */
#define PV_DNSTCP_TRY PV_S(2) /* ours: until the next resolver is asked, or none */

struct pv_dnstcp; /* opaque */

struct pv_dnstcp_config {
    struct pv_loop *loop;
    struct pv_rng rng; /* ids */
    /* The reaction to a question of src. */
    void (*serve)(void *ctx, const struct pv_addr *src, struct pv_view query,
                  struct pv_dns_reply *ret_reply, pv_ns now);
    void *ctx;
};

PV_MUST_CHECK int pv_dnstcp_new(struct pv_dnstcp **ret_dns, const struct pv_dnstcp_config *cfg);
/* Takes a listener, also when it fails. PV_ERR_LIMIT, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_dnstcp_listen(struct pv_dnstcp *dns, int fd);
/* Closes all listeners and connections. */
void pv_dnstcp_forget(struct pv_dnstcp *dns);
/* Ends what has waited too long. Returns when to call it again, or PV_NEVER. */
pv_ns pv_dnstcp_timeout(struct pv_dnstcp *dns, pv_ns now);
struct pv_dnstcp *pv_dnstcp_free(struct pv_dnstcp *dns); /* NULL is fine; returns NULL */
