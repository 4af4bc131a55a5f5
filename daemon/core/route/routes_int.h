/* SPDX-License-Identifier: MIT */
/*
 * routes_int.h - part "routes" from within, for the files that are this part: routes.c (the part;
 * which prefixes are used), routeset.c (what members offer and may carry), routewatch.c (which
 * gateways live), routeplan.c (what the packet threads and the host are told), routechoice.c (what
 * the user says), routereach.c (what this node reaches of what it offers).
 */
#ifndef PV_ROUTES_INT_H
#define PV_ROUTES_INT_H

#include "daemon/core/node/node.h"
#include "daemon/core/route/routes.h"

/* The host's network is like the plan, or is not. */
pv_job_done pv_routes_plan_done;

/* The name of the user's choice in the store. */
#define PV_ROUTES_META "routes"

struct pv_routes {
    struct pv_node *node;
    struct pv_routeuse use;
    struct pv_route *all; /* owned; in order */
    size_t n;
    bool cut;     /* more than PV_ROUTES_MAX */
    bool pending; /* something changed: look */
    pv_ns look_at;
    struct pv_offer here[PV_FP_MAX_HERE]; /* what this node carries, or would if it reached it */
    size_t n_here;
    /* The news due about the own offers (routereach.c). */
    pv_ns differs_since; /* 0: what was said holds */
    pv_ns back_wait;     /* before one that was away is offered again */
    pv_ns away_at;       /* when one was said to be away; 0: never */
    /* The last plan that was handed on, as bytes: by them plans are compared. */
    uint8_t plan[PV_NETPLAN_BYTES];
    int plan_len; /* 0: none was */
    size_t n_used, n_plans;
    /* Why the host cannot use an exit: it is left out until the user says something else. "" = it
     * can. */
    char fault[PV_JOB_ERROR_MAX];
    uint64_t asked; /* the client that wants the exit and waits for the host; 0 = none */
};

/* Looks at everything and tells what came of it. anew: at what members offer and may carry, too. */
void pv_routes_look(struct pv_routes *r, bool anew, pv_ns now);

/* The route of this prefix; NULL. */
struct pv_route *pv_routeset_find(struct pv_route *all, size_t n, const struct pv_prefix *prefix);
/* May this member carry it, and does it offer that? */
bool pv_routeset_has(const struct pv_route *route, const uint8_t *pk);
/* The prefixes that members offer and may carry, by what the roster says now. PV_ERR_NOMEM: as it
 * was. */
PV_MUST_CHECK int pv_routeset_gather(struct pv_routes *r);

/* Looks at the gateways of one prefix, and asks those that it wants to hear of. */
void pv_routewatch_look(struct pv_routes *r, struct pv_route *route, pv_ns now);

/* Has one of the own offers to be said anew, since what this node reaches has changed? Then that is
 * done when the change has lasted, and *look_at is when. */
void pv_routereach_look(struct pv_routes *r, pv_ns now, pv_ns *look_at);

/* The packet threads know first: they are ready when the kernel's first packet comes. */
PV_MUST_CHECK int pv_routeplan_tell_packets(struct pv_routes *r, pv_ns now);
/* A plan that is the same leaves no second time. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_routeplan_tell_host(struct pv_routes *r);

void pv_routechoice_save(struct pv_routes *r);
/* Answers the client that waits for the host, if there is one. fault: why not; "" = done. */
void pv_routechoice_answer(struct pv_routes *r, const char *fault);
/* Commands (part.h). */
void pv_routechoice_use(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                        uint64_t handle, pv_ns now);
void pv_routechoice_exit_use(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                             uint64_t handle, pv_ns now);
void pv_routechoice_exit_off(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                             uint64_t handle, pv_ns now);

#endif /* PV_ROUTES_INT_H */
