/* SPDX-License-Identifier: MIT */
/*
 * hardnat_part.h - the part that decides which peer needs an attempt at a hard NAT (hardnat.h), and
 * agrees with the other side on its start.
 */
#pragma once

#include "daemon/core/nat/hardnat.h"
#include "daemon/core/node/node.h"

extern const struct pv_part pv_part_hardnat;

/* For status and why: what is known of our own NAT, and how far the attempt under way is. */
const struct pv_hardnat *pv_hardnat_of(const struct pv_node *n);
