/* SPDX-License-Identifier: MIT */
/*
 * resolved.h - tells systemd-resolved which names are asked on which interface; other resolvers
 * and /etc/resolv.conf are left alone.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"

enum {
    PV_RESOLVED_MAX_DOMAINS = 4,
    PV_RESOLVED_DOMAIN_BUF = 140, /* bytes, with the NUL */
    PV_RESOLVED_TIMEOUT_S = 5,    /* for one run of resolvectl */
};

struct pv_resolved_link {
    const char *ifname;
    struct pv_addr server;                                         /* port 0 */
    char domains[PV_RESOLVED_MAX_DOMAINS][PV_RESOLVED_DOMAIN_BUF]; /* "home.p2p" */
    size_t n_domains;
};

/* Is it running here? */
bool pv_resolved_is_there(void);
/* Names below these domains, and only they, are asked server on this link (resolvectl dns, domain;
 * no shell). It is forgotten with the interface. PV_ERR_NOT_FOUND: no resolvectl; PV_ERR_TIMEOUT,
 * PV_ERR_REFUSED (it failed), -errno. */
PV_MUST_CHECK int pv_resolved_set(const struct pv_resolved_link *link);
