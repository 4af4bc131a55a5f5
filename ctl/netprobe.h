/* SPDX-License-Identifier: MIT */
/*
 * netprobe.h - sockets around the measuring machines: resolves a server's name, asks it by UDP and
 * TCP, and runs a netcheck over both families at once. Without the daemon, without rights.
 *
 * Blocks until done; decides and prints nothing. One thread.
 */
#ifndef PV_NETPROBE_H
#define PV_NETPROBE_H

#include "base/addr.h"
#include "base/pv.h"
#include "proto/netcheck.h"
#include "proto/routercheck.h"

enum {
    PV_NETPROBE_PORT = 3478,     /* RFC 8489 s18.4 */
    PV_NETPROBE_ERROR = 300,     /* bytes of an error text with the NUL */
    PV_NETPROBE_FAMILIES = 2,    /* 0 = IPv4, 1 = IPv6 */
    PV_NETPROBE_STUN_MS = 3000,  /* until a server counts as silent by UDP */
    PV_NETPROBE_TCP_MS = 1500,   /* and by TCP */
    PV_NETPROBE_TEXT_MAX = 1024, /* bytes of a list of servers */
};

/* The addresses of some servers, in the order they were named. */
struct pv_netprobe_servers {
    struct pv_addr addr[PV_NETPROBE_FAMILIES][PV_NETCHECK_SERVERS];
    size_t n[PV_NETPROBE_FAMILIES];
};

/*
 * "HOST", "HOST:PORT", "ADDR", "[ADDR6]:PORT", several with commas between. Names are resolved; of
 * each the first addresses of each family are taken. PV_ERR_MALFORMED (not such a text),
 * PV_ERR_NOT_FOUND (a name without address), ret_error.
 */
PV_MUST_CHECK int pv_netprobe_resolve(const char *text, struct pv_netprobe_servers *ret_servers,
                                      char ret_error[static PV_NETPROBE_ERROR]);

struct pv_netprobe_answer {
    struct pv_addr mapped;
    pv_ns rtt;
};
/* One Binding request. PV_ERR_TIMEOUT, PV_ERR_REFUSED (an error answer, or nobody listens),
 * PV_ERR_MALFORMED, -errno. */
PV_MUST_CHECK int pv_netprobe_udp(const struct pv_addr *server,
                                  struct pv_netprobe_answer *ret_answer);
PV_MUST_CHECK int pv_netprobe_tcp(const struct pv_addr *server,
                                  struct pv_netprobe_answer *ret_answer);

struct pv_netprobe_report {
    bool tried[PV_NETPROBE_FAMILIES];           /* this machine has an address of the family */
    struct pv_addr local[PV_NETPROBE_FAMILIES]; /* towards the server; port 0 */
    struct pv_netcheck_result result[PV_NETPROBE_FAMILIES];
    struct pv_routercheck_result router; /* of IPv4, like the next */
    struct pv_routercheck_trace trace;
};
/* Measures. -errno, PV_ERR_NOMEM when sockets cannot be had. */
PV_MUST_CHECK int pv_netprobe_run(const struct pv_netprobe_servers *servers, bool lifetime,
                                  struct pv_netprobe_report *ret_report);

#endif /* PV_NETPROBE_H */
