/* SPDX-License-Identifier: MIT */
/* statuspage.c - gathers what the parts say of themselves into one answer. */
#include "daemon/core/node/statuspage.h"

#include <stdio.h>

/* A page that is full keeps the problems it has: the parts come in the order of the engine. */
void pv_statuspage_problem(struct pv_statuspage *st, const char *what, const char *why)
{
    if (st->n_problems == PV_STATUSPAGE_MAX_PROBLEMS)
        return;
    char *text = st->problem_texts[st->n_problems];
    snprintf(text, PV_STATUSPAGE_PROBLEM_TEXT, "%s%s", what, why);
    st->problems[st->n_problems++] = text;
}

void pv_statuspage_drop(struct pv_statuspage *st, const char *reason, uint64_t count)
{
    if (st->n_drops < PV_STATUSPAGE_MAX_DROPS)
        st->drops[st->n_drops++] = (struct pv_statuspage_drop){.reason = reason, .count = count};
}

/* Everything behind the first object of the answer, in the order of docs/PROTOCOL-LOCAL.md. */
static int add_rest(const struct pv_statuspage *st, json_t *status)
{
    int r = pv_ctlapi_status_add_hard(status, &st->hard);
    if (r == PV_OK)
        r = pv_ctlapi_status_add_binding(status, &st->binding);
    if (r == PV_OK && st->pq.state != NULL)
        r = pv_ctlapi_status_add_pq(status, &st->pq);
    if (r == PV_OK)
        r = pv_ctlapi_status_add_relays(status, st->udp, st->relays, st->n_relays);
    if (r == PV_OK && st->datapath.workers > 0)
        r = pv_ctlapi_status_add_datapath(status, &st->datapath);
    if (r == PV_OK && st->lan.broadcast != NULL)
        r = pv_ctlapi_status_add_lan(status, &st->lan);
    if (r == PV_OK && st->routes.known)
        r = pv_ctlapi_status_add_routes(status, &st->routes);
    for (size_t i = 0; r == PV_OK && i < st->n_portmaps; i++)
        r = pv_ctlapi_status_add_portmap(status, &st->portmaps[i]);
    return r;
}

/* A reason that has dropped nothing is left out: parts tell all of theirs, and a person wants to
 * see what happened. */
json_t *pv_statuspage_json(struct pv_statuspage *st)
{
    const char *names[PV_STATUSPAGE_MAX_DROPS];
    uint64_t counts[PV_STATUSPAGE_MAX_DROPS];
    size_t n = 0;
    for (size_t i = 0; i < st->n_drops; i++) {
        if (st->drops[i].count == 0)
            continue;
        names[n] = st->drops[i].reason;
        counts[n++] = st->drops[i].count;
    }
    st->s.drop_names = names;
    st->s.drop_counts = counts;
    st->s.n_drops = n;
    st->s.problems = st->problems;
    st->s.n_problems = st->n_problems;
    json_t *status = pv_ctlapi_status_json(&st->s);
    if (status != NULL && add_rest(st, status) != PV_OK) {
        json_decref(status);
        status = NULL;
    }
    return status;
}
