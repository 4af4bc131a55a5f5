/* SPDX-License-Identifier: MIT */
/*
 * ctlapi_route.h - what the control socket says about routes: prefixes that members carry for each
 * other.
 */
#ifndef PV_CTLAPI_ROUTE_H
#define PV_CTLAPI_ROUTE_H

#include <jansson.h>

#include "base/pv.h"

/* One prefix by one member; where NULL is allowed it is null. */
struct pv_ctlapi_route {
    const char *prefix;
    const char *peer; /* who offers it, or may carry it */
    bool self;        /* that is this node */
    bool offered, allowed;
    bool automatic;      /* offered with --auto */
    bool nat;            /* hosts there see the member that carries it */
    const char *state;   /* a word of PROTOCOL-LOCAL.md "Control socket" */
    const char *why;     /* a sentence about it */
    const char *command; /* what to type to have it; NULL: nothing is missing */
    double rtt_ms;       /* < 0: null */
};

/* {"version":1,"routes":[{"prefix","peer","self","offered","allowed","auto","nat","state","why",
 *  "command","rtt_ms"}],"more","use":"auto", "all" or "off","exit":null or {"peer","lan","block",
 *  "works"},"fault"} */
json_t *pv_ctlapi_routes_new(const char *use, unsigned more, const char *fault);
PV_MUST_CHECK int pv_ctlapi_routes_add(json_t *routes, const struct pv_ctlapi_route *route);

/* The exit of this node. */
struct pv_ctlapi_exit {
    const char *peer; /* NULL: none is used */
    bool lan, block;
    bool works; /* packets go by it now */
};
PV_MUST_CHECK int pv_ctlapi_routes_set_exit(json_t *routes, const struct pv_ctlapi_exit *x);

/* Prefixes of this node, without the default routes. */
struct pv_ctlapi_routes {
    bool known;             /* false: "routes" is left out */
    unsigned used, carried; /* by members; for members */
    struct pv_ctlapi_exit exit;
};
/* Adds "routes":{"used","carried","exit"} to a status. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_ctlapi_status_add_routes(json_t *status, const struct pv_ctlapi_routes *r);

#endif /* PV_CTLAPI_ROUTE_H */
