/* SPDX-License-Identifier: MIT */
/*
 * routelist.h - what part "routes" says of itself: `route list`, its share of `status`.
 */
#pragma once

#include "daemon/core/node/node.h"
#include "daemon/core/route/routes.h"

enum {
    PV_ROUTELIST_MAX = 1024, /* ours: rows of the list; what is left out is counted */
};

/* fault: why the last plan was not set; "" = it was. NULL without memory. */
json_t *pv_routelist_json(const struct pv_node *n, const char *fault);
/* The used routes, and the steps that somebody has to take. */
void pv_routelist_status(const struct pv_node *n, struct pv_statuspage *st);
