/* SPDX-License-Identifier: MIT */
/*
 * answer.h - what was found, in glibc's forms: struct hostent and gaih_addrtuple, laid out in the
 * caller's buffer, and its status. Any thread.
 */
#pragma once

#include <netdb.h>
#include <nss.h>

#include "nss/find.h"

/* The host with its addresses of the family (AF_INET, AF_INET6): canonical name "bob.home.p2p",
 * alias "bob". PV_ERR_NO_SPACE (try again with a larger buffer), PV_ERR_NOT_FOUND (no address of
 * that family). Nothing is written on failure but the buffer. */
PV_MUST_CHECK int pv_nss_fill_host(const struct pv_nss_found *found, int family,
                                   struct hostent *ret_host, char *buf, size_t len);
/* All addresses, IPv6 first as RFC 6724 would. *tuple may be one given by the caller or NULL.
 * As above. */
PV_MUST_CHECK int pv_nss_fill_tuples(const struct pv_nss_found *found,
                                     struct gaih_addrtuple **tuple, char *buf, size_t len);

/* A status of ours in glibc's three ways, with what the caller's errno and h_errno shall be. */
enum nss_status pv_nss_status(int status, int *errnop, int *h_errnop);
/* The same for a name that was looked up: nobody else is asked for names of the overlay, nor for
 * one that several members have. found: somebody has the name, but perhaps no address of the
 * family. */
enum nss_status pv_nss_name_status(const char *name, bool found, int status, int *errnop,
                                   int *h_errnop);
