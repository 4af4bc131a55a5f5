/* SPDX-License-Identifier: MIT */
/* ctlapi_route.c - builders for what the control socket says about routes. */
#include "proto/local/ctlapi_route.h"

#include "proto/local/ctlapi_pack.h"

static json_t *or_null(const char *text)
{
    return text == NULL ? json_null() : json_string(text);
}

json_t *pv_ctlapi_routes_new(const char *use, unsigned more, const char *fault)
{
    return pv_ctlapi_pack("{s:i, s:[], s:i, s:s, s:n, s:o}", "version", PV_CTLAPI_FORMAT, "routes",
                          "more", (int)more, "use", use, "exit", "fault", or_null(fault));
}

int pv_ctlapi_routes_add(json_t *routes, const struct pv_ctlapi_route *r)
{
    return pv_ctlapi_append(
        routes, "routes",
        pv_ctlapi_pack("{s:s, s:s, s:b, s:b, s:b, s:b, s:b, s:s, s:s, s:o, s:o}", "prefix",
                       r->prefix, "peer", r->peer, "self", r->self, "offered", r->offered,
                       "allowed", r->allowed, "auto", r->automatic, "nat", r->nat, "state",
                       r->state, "why", r->why, "command", or_null(r->command), "rtt_ms",
                       r->rtt_ms < 0 ? json_null() : json_real(r->rtt_ms)));
}

static json_t *exit_json(const struct pv_ctlapi_exit *x)
{
    if (x->peer == NULL)
        return json_null();
    return pv_ctlapi_pack("{s:s, s:b, s:b, s:b}", "peer", x->peer, "lan", x->lan, "block", x->block,
                          "works", x->works);
}

int pv_ctlapi_routes_set_exit(json_t *routes, const struct pv_ctlapi_exit *x)
{
    return json_object_set_new(routes, "exit", exit_json(x)) == 0 ? PV_OK : PV_ERR_NOMEM;
}

int pv_ctlapi_status_add_routes(json_t *status, const struct pv_ctlapi_routes *r)
{
    json_t *obj = pv_ctlapi_pack("{s:i, s:i, s:o}", "used", (int)r->used, "carried",
                                 (int)r->carried, "exit", exit_json(&r->exit));
    return json_object_set_new(status, "routes", obj) == 0 ? PV_OK : PV_ERR_NOMEM;
}
