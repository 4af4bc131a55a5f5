/* SPDX-License-Identifier: MIT */
/*
 * url.h - the addresses under which nodes reach this coordinator: those of --public, or else the
 * best of this machine; and its URL, as a start shows it to a person.
 */
#pragma once

#include <stdio.h>

#include "base/pv.h"
#include "coordinator/settings/settings.h"
#include "proto/roster/token.h"

enum {
    PV_COORDURL_NOTE_MAX = 300, /* bytes of a note or error, with the NUL */
};

/* The public addresses as text, "HOST:PORT" each. Not to be copied: texts point into it. */
struct pv_coordurl_list {
    size_t n;
    const char *texts[PV_CTL_ADDRS_MAX];
    char bufs[PV_CTL_ADDRS_MAX][PV_HOSTPORT_BUF];
};
void pv_coordurl_public(const struct pv_coordset *set, struct pv_coordurl_list *ret_list);

/*
 * Where TLS is spoken besides the ports of above, "HOST:PORT" each: the addresses of --tls-listen;
 * for one that is none of its own (0.0.0.0) or private every public host, or that of the URL.
 */
void pv_coordurl_tls(const struct pv_coordset *set, struct pv_coordurl_list *ret_list);

/*
 * The address for the URL. Without --public it is guessed: a public IPv4 address of this machine, a
 * global IPv6 one, then a private one (ret_note says so then). PV_ERR_NOT_FOUND: none at all;
 * ret_note says what to do.
 */
PV_MUST_CHECK int pv_coordurl_address(const struct pv_coordset *set, struct pv_hostport *ret_addr,
                                      char ret_note[static PV_COORDURL_NOTE_MAX]);

/*
 * The address that `alt` is the alternate of: one that is listened on, else one of --public that
 * this machine has, else the best of this machine; of the same family and not alt itself. Port 0.
 * PV_ERR_NOT_FOUND.
 */
PV_MUST_CHECK int pv_coordurl_first(const struct pv_coordset *set, const struct pv_addr *alt,
                                    struct pv_addr *ret_first);

/* Is one of --listen, --tls-listen or --alt-address no address of this machine, where it would not
 * start? Then ret_note says so. */
bool pv_coordurl_is_foreign(const struct pv_coordset *set,
                            char ret_note[static PV_COORDURL_NOTE_MAX]);

/* Is what --public names doubtful: private or loopback addresses alone, or one that this machine
 * has not, so that something before it has to forward the ports? Then ret_note says so. */
bool pv_coordurl_is_doubtful(const struct pv_coordset *set,
                             char ret_note[static PV_COORDURL_NOTE_MAX]);

/* Shows the URL. It holds a secret: only for a terminal, never for a log. */
void pv_coordurl_show(const char *url, FILE *out);
