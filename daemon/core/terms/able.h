/* SPDX-License-Identifier: MIT */
/*
 * able.h - the part that has this node say in a signed statement what it is able to (type 32, adr
 * 0022): members believe that whatever somebody takes out of its descriptions on the way.
 *
 * Whenever the roster says something else of this node than is so, it signs another one: after the
 * first start of a version that can do more, and when [security] or the crypto library changes. A
 * node that can do nothing special, and never said so, says nothing.
 */
#pragma once

#include "daemon/core/node/part.h"

extern const struct pv_part pv_part_able;
