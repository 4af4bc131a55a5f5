/* SPDX-License-Identifier: MIT */
/*
 * netprobe.h - sockets around the measuring machines: resolves a server's name, asks it by UDP,
 * TCP and TLS, and runs a netcheck over both families at once; and one connection that shows
 * whether a machine answers. Without the daemon, without rights.
 *
 * Blocks until done; decides and prints nothing. One thread.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"
#include "proto/stun/netcheck.h"
#include "proto/stun/routercheck.h"

enum {
    PV_NETPROBE_PORT = 3478,     /* RFC 8489 s18.4 */
    PV_NETPROBE_TLS_PORT = 5349, /* the same, "stuns" */
    PV_NETPROBE_ALTERNATES = 3,  /* servers that a server may send us on to, one after the other */
    PV_NETPROBE_ERROR = 300,     /* bytes of an error text with the NUL */
    PV_NETPROBE_FAMILIES = 2,    /* 0 = IPv4, 1 = IPv6 */
    PV_NETPROBE_STUN_MS = 3000,  /* until a server counts as silent by UDP */
    PV_NETPROBE_TCP_MS = 1500,   /* until a server counts as silent by TCP */
    PV_NETPROBE_TEXT_MAX = 1024, /* bytes of a list of servers */
};

/* The addresses of some servers, in the order they were named. */
struct pv_netprobe_servers {
    struct pv_addr addr[PV_NETPROBE_FAMILIES][PV_NETCHECK_SERVERS];
    size_t n[PV_NETPROBE_FAMILIES];
};

/*
 * port where none is given. "HOST", "HOST:PORT", "ADDR", "[ADDR6]:PORT", several with commas
 * between. Names are resolved; of each the first addresses of each family are taken.
 * PV_ERR_MALFORMED (not such a text), PV_ERR_NOT_FOUND (a name without address), ret_error.
 */
PV_MUST_CHECK int pv_netprobe_resolve(const char *text, uint16_t port,
                                      struct pv_netprobe_servers *ret_servers,
                                      char ret_error[static PV_NETPROBE_ERROR]);

enum pv_netprobe_way {
    PV_NETPROBE_UDP,
    PV_NETPROBE_TCP,
    PV_NETPROBE_TLS, /* the certificate is not looked at */
};
struct pv_netprobe_answer {
    struct pv_addr server; /* who gave it: another one when the first sent us on */
    struct pv_addr mapped;
    pv_ns rtt;
};
/* One Binding request, followed to other servers as RFC 8489 s10 has it. PV_ERR_TIMEOUT,
 * PV_ERR_REFUSED (an error answer, or nobody listens), PV_ERR_MALFORMED, -errno. */
PV_MUST_CHECK int pv_netprobe_ask(const struct pv_addr *server, enum pv_netprobe_way way,
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

/* Does a machine answer TCP at all? Where it refuses a port it has nothing on, packets reach its
 * kernel; where it is silent although it is there, a firewall of its own drops them, or refuses
 * them where it says so. */
enum pv_tcptry {
    PV_TCPTRY_ANSWERS, /* it takes the connection, which is closed, or refuses it */
    PV_TCPTRY_SILENT,
    PV_TCPTRY_KEPT_OUT, /* by ICMP it says that nobody gets there, as firewalld has it */
    PV_TCPTRY_UNKNOWN,  /* this machine cannot ask, or has not the address `from` */
};

/* Connects from an address of this machine to a port, and waits so many milliseconds. */
enum pv_tcptry pv_tcptry(const struct pv_addr *from, const struct pv_addr *to, int timeout_ms);
