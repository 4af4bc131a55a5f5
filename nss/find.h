/* SPDX-License-Identifier: MIT */
/*
 * find.h - looks a host up in the names files that p2pvpnd keeps (*.names in its run directory: one
 * a network, and in a large one another of those who came lately). A few microseconds, with or
 * without a running daemon.
 *
 * Lives inside other people's programs: nothing is kept between calls, no signal is touched, no
 * variable of the environment is read. Any thread.
 */
#pragma once

#include "base/names.h"

enum {
    PV_NSS_MAX_FILES = 32, /* of the networks of one machine, two each: the first in their order */
};

struct pv_nss_found {
    char name[PV_NAME_BUF];
    char full[PV_NAMES_FULL_BUF]; /* "NAME.NETWORK.p2p" */
    struct pv_addr ip4;           /* PV_AF_NONE: none */
    struct pv_addr ip6;
};

/* "bob" (the first network's, else that of the only other one that has it), "bob.home.p2p". The
 * first network is the one that p2pvpnctl means without -n (/run/p2pvpn/p2pvpnd.sock).
 * PV_ERR_NOT_FOUND: nobody, also when there is no file; PV_ERR_EXISTS: several that are not the
 * first have the name, or the network, so it is nobody's; PV_ERR_MALFORMED: only what is no names
 * file stood in the way; -EMFILE and its like. */
PV_MUST_CHECK int pv_nss_by_name(const char *dir, const char *text, struct pv_nss_found *ret_found);
PV_MUST_CHECK int pv_nss_by_addr(const char *dir, const struct pv_addr *addr,
                                 struct pv_nss_found *ret_found);

/* A short name that two networks of this machine have. */
struct pv_nss_shared {
    char name[PV_NAME_BUF];
    char of[2][PV_NAME_BUF]; /* the networks */
    struct pv_addr ip4[2];   /* the addresses there; PV_AF_NONE: none */
    struct pv_addr ip6[2];
    bool means_first; /* by the short name of[0]'s is meant; false: nobody is */
};

/* Those of the files, at most cap of them, each once for two networks; of a name of the first
 * network's only those with it, as it is meant beside any other. Returns how many there are, more
 * than cap perhaps by some that would be left out; what cannot be read has none. */
size_t pv_nss_find_shared(const char *dir, struct pv_nss_shared *ret_shared, size_t cap);

/* Is it a name without a network, "bob" or "bob."? */
bool pv_nss_is_short(const char *text);

/* Does a hosts file (hosts(5)) have this short name, with an address of whatever family? Then it is
 * that machine's, also where only the other family is asked for. A file that cannot be read has
 * none. */
bool pv_nss_in_hosts(const char *path, const char *name);

/* Is it a name below .p2p, which belongs to the overlay whether somebody has it or not? Such a name
 * must not reach a DNS server: it would tell strangers whom this machine looks for, and what a
 * server without a .p2p answers is a stranger's address. */
bool pv_nss_is_ours(const char *text);
