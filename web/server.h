/* SPDX-License-Identifier: MIT */
/*
 * server.h - the page of a node, or of a coordinator, over HTTP, by libmicrohttpd, for browsers
 * that p2pvpnctl or p2pvpn-coordinator lets in (docs/adr/0091, 0093).
 *
 * The server opens nothing: connections of browsers and connections to p2pvpnd come from p2pvpnctl,
 * which has the user's rights, over a socketpair (PV_WEBLINK_). A browser that has a session POSTs
 * a request of the control socket to /api, and gets the replies as they come, a line each, up to
 * the answer; between events an empty line every ten seconds. Some questions are the command's to
 * answer (PV_WEBLINK_ASK_), of a coordinator all: then the answer is what its connection brings, to
 * the end. One thread, one loop.
 */
#pragma once

#include "base/pv.h"
#include "sys/proc/loop.h"

enum {
    PV_WEB_CONNS = 512,   /* ours: of browsers; those beyond are closed */
    PV_WEB_FILES = 4,     /* ours: of them files that browsers send */
    PV_WEB_OFFERS = 16,   /* of a file at once, as many as p2pvpnd takes of one connection */
    PV_WEB_REQUESTS = 24, /* ours: at p2pvpnd, which takes 64 connections in all */
};
#define PV_WEB_FILE_MAX UINT64_C(8589934592) /* ours: bytes of such a file */
#define PV_WEB_PATIENCE PV_S(15) /* ours: for a request to be whole, an answer to be taken */
#define PV_WEB_BEAT     PV_S(10) /* ours: between signs of life to who waits for events */

struct pv_web; /* opaque */

/* link: the socketpair (SOCK_SEQPACKET), the caller's. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_web_new(struct pv_web **ret_web, struct pv_loop *loop, int link,
                             bool coordinator);
/* The first link to the page; others follow when one was used. -errno. */
PV_MUST_CHECK int pv_web_offer(struct pv_web *w);
/* The owner's turn of the loop: returns the next deadline. */
pv_ns pv_web_turn(struct pv_web *w, pv_ns now);
/* Breaks everything off. NULL is fine; returns NULL. */
struct pv_web *pv_web_free(struct pv_web *w);
