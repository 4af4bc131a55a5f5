/* SPDX-License-Identifier: MIT */
/*
 * fake_membership.h - stands in for membership.c in the program of a test: statements reach the
 * roster, and neither peers nor facts follow from them.
 */
#pragma once

#include "daemon/core/member/membership.h"
#include "tests/unit/daemon/core/fake_node.h"

static struct {
    bool refuses; /* every statement */
    size_t given, added;
} fake_membership;

size_t pv_membership_add(struct pv_node *n, const struct pv_ctl_item *items, size_t n_items,
                         pv_ns now)
{
    size_t refused = fake_membership.refuses ? n_items : fake_node_take(n, items, n_items);
    fake_membership.given += n_items;
    fake_membership.added += n_items - refused;
    return refused;
}
