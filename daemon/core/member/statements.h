/* SPDX-License-Identifier: MIT */
/*
 * statements.h - the part that keeps the roster and the coordinator's log alike: it asks for what
 * is new since the cursor, page by page, takes what is pushed, and where heads differ afterwards
 * goes through the whole log once a connection and uploads what the coordinator lacks (a restored
 * backup, a revocation made while it was away).
 *
 *   welcome --> PULLING --last page, heads agree--> pushes follow
 *                       --heads differ--> RELISTING --last page--> what it lacks is put
 */
#pragma once

#include "daemon/core/node/part.h"

extern const struct pv_part pv_part_statements;
