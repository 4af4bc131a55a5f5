/* SPDX-License-Identifier: MIT */
/*
 * scrape.h - as much of HTTP as it takes to give one page to Prometheus: one request for /metrics,
 * one answer, the end of the connection (RFC 9110, RFC 9112).
 *
 * Pure: bytes in, bytes out. No state; thread-safe.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"

enum {
    PV_SCRAPE_REQUEST_MAX = 8192, /* bytes up to the empty line, RFC 9112 s3 recommends as many */
};

struct pv_scrape {
    unsigned status; /* 200: the page is wanted; else why it is not given */
    bool head;       /* HEAD: the answer's body is left out */
};

/*
 * A request as far as it has come. PV_ERR_AGAIN: its head is not whole. PV_OK: it is, or nothing
 * better can come: 400, 403, 404, 405, 431 and 505 as RFC 9110 s15 means them. A body is not
 * looked at.
 *
 * local: the page is for this machine. Then the request must name it by an address or as localhost
 * (403): a browser that was given a foreign name for a local address does not (DNS rebinding).
 */
PV_MUST_CHECK int pv_scrape_parse(struct pv_view bytes, bool local, struct pv_scrape *ret_scrape);

/* The whole answer: free() it. page: sent when the status is 200. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_scrape_answer(const struct pv_scrape *scrape, struct pv_view page,
                                   const char *content_type, char **ret_text, size_t *ret_len);

/* Is that the Host of a request to this machine: "127.0.0.1", "[::1]:9586", "localhost:9586" and
 * the like? A browser sends the name by which it was told to come, so only names are accepted that
 * cannot belong to somebody else. */
bool pv_scrape_is_this_machine(struct pv_view host);

/* --- settings -------------------------------------------------------------------------------- */

/* The section [metrics] of p2pvpnd and of the coordinator, checked. Parsing only. */

struct pv_scrapeset {
    struct pv_addr listen; /* PV_AF_NONE: nothing is served */
    bool remote;           /* it need not be this machine's loopback */
    bool seen_listen, seen_remote;
};

/* One line. PV_ERR_MALFORMED: *ret_why is a sentence, static. */
PV_MUST_CHECK int pv_scrapeset_take(struct pv_scrapeset *set, const char *key, const char *value,
                                    const char **ret_why);
/* At the end of the file. PV_ERR_MALFORMED, *ret_why. */
PV_MUST_CHECK int pv_scrapeset_check(const struct pv_scrapeset *set, const char **ret_why);
