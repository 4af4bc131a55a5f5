/* SPDX-License-Identifier: MIT */
/*
 * find.h - looks a host up in the names files that p2pvpnd keeps (one a network, *.names in its
 * run directory). A few microseconds, with or without a running daemon.
 *
 * Lives inside other people's programs: nothing is kept between calls, no signal is touched, no
 * variable of the environment is read. Any thread.
 */
#ifndef PV_NSS_FIND_H
#define PV_NSS_FIND_H

#include "base/names.h"

enum {
    PV_NSS_MAX_FILES = 16, /* networks of one machine that are looked at */
};

struct pv_nss_found {
    char name[PV_NAME_BUF];
    char full[PV_NAMES_FULL_BUF]; /* "NAME.NETWORK.p2p" */
    struct pv_addr ip4;           /* PV_AF_NONE: none */
    struct pv_addr ip6;
};

/* "bob" (first network that has one), "bob.home.p2p". PV_ERR_NOT_FOUND: nobody, also when there is
 * no file; PV_ERR_MALFORMED: only what is no names file stood in the way; -EMFILE and its like. */
PV_MUST_CHECK int pv_nss_by_name(const char *dir, const char *text, struct pv_nss_found *ret_found);
PV_MUST_CHECK int pv_nss_by_addr(const char *dir, const struct pv_addr *addr,
                                 struct pv_nss_found *ret_found);

#endif /* PV_NSS_FIND_H */
