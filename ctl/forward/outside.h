/* SPDX-License-Identifier: MIT */
/*
 * outside.h - the one place that `serve` leads members to: a port that programs of this machine
 * reach, by the rights of this process' user.
 *
 * A name is resolved at the start, and again when nothing is reached there, as after a container
 * got another address. One thread.
 */
#pragma once

#include "base/addr.h"
#include "ctl/lib/cli.h"

enum {
    PV_OUTSIDE_HOST_BUF = 256, /* a name of RFC 1035 s2.3.4 and a NUL */
};
#define PV_OUTSIDE_AGAIN PV_S(30) /* ours: a resolver that does not answer holds all up */

struct pv_outside {
    char host[PV_OUTSIDE_HOST_BUF]; /* name or address */
    struct pv_addr addr;            /* it, with the port */
    pv_ns resolved_at;
    bool failed; /* since then */
};

/* "80", "nas:80", "[::1]:80": without a host it is this machine's own; and resolves it. 0, or an
 * exit code, and the user has been told. */
PV_MUST_CHECK int pv_outside_parse(struct pv_outside *ret, struct pv_cli *cli, const char *text);
/* Nothing was reached there: the name may mean another address by now. */
void pv_outside_fail(struct pv_outside *o);
/* As pv_overlay_connect() and pv_overlay_udp(), to there. -errno. */
PV_MUST_CHECK int pv_outside_connect(struct pv_outside *o, pv_ns now, int *ret_fd);
PV_MUST_CHECK int pv_outside_udp(struct pv_outside *o, pv_ns now, int *ret_fd);
