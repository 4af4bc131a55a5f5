/* SPDX-License-Identifier: MIT */
/*
 * changes.h - the part that notices what has changed and tells clients that listen (node/events.h):
 * the state of this node, its coordinator, problems, rules, who is online and how each peer is
 * reached. It compares what `status` and `why` would say now with what they said before; other
 * events are told by the parts that cause them.
 *
 * The page of `status` is looked at when a fact says that it may have changed, at most once a
 * second after ten times, and at least once a minute in which anything happens; it sets no timer
 * for that.
 */
#pragma once

#include "daemon/core/node/part.h"

extern const struct pv_part pv_part_changes;
