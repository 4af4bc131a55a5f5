/* SPDX-License-Identifier: MIT */
/*
 * pages.h - pages of networks' logs, each made once for all who ask: what many members lack at the
 * same time is the same text, which only has to be sealed for each.
 *
 * A page is known by where it begins. A full one is good as long as nothing
 * in it was replaced, the last one until anything changes. There are few, the ones used last, and
 * they go when nobody has asked for a while. Single thread.
 */
#pragma once

#include "coordinator/core/member/cnet.h"

enum {
    PV_PAGES_MAX = 96,            /* ours: a network of 10,000 has 80 */
    PV_PAGES_BYTES = 4096 * 1024, /* ours: of all of them */
    PV_PAGES_SHARE = 640,         /* ours, bytes: a network's for each statement of its log */
};
#define PV_PAGES_KEPT PV_S(30) /* ours: since it was used last */

struct pv_page {
    const struct pv_cnet *net; /* NULL: a free place */
    size_t from;               /* place in the log of its first statement */
    uint64_t version;          /* of the log, or of what is replaced in it, when it was made */
    size_t next;               /* place behind its last one */
    bool more;                 /* it is not the last */
    pv_ns used;
    size_t len;
    uint8_t *text; /* owned: len bytes of the push */
};

struct pv_pages {
    struct pv_page pages[PV_PAGES_MAX];
    size_t bytes;
    uint8_t made[PV_CTL_TEXT_MAX]; /* the one that is being made: kept ones have their length */
};

void pv_pages_done(struct pv_pages *p);
/* The page that begins at this place, good until the next call. NULL: no memory. */
struct pv_page *pv_pages_get(struct pv_pages *p, struct pv_cnet *net, size_t from, pv_ns now);
/* The text as the answer to a request, as a push for 0. Good until the next call. */
struct pv_view pv_pages_text(struct pv_page *page, uint64_t id);
/* Forgets those of a network that is freed. */
void pv_pages_forget(struct pv_pages *p, const struct pv_cnet *net);
/* Frees what was not used lately; when there is more to free. */
void pv_pages_handle_timeout(struct pv_pages *p, pv_ns now);
pv_ns pv_pages_next_timeout(const struct pv_pages *p);
