/* SPDX-License-Identifier: MIT */
/*
 * place.h - the part that gives members other names and addresses at the user's wish: `rename`,
 * `address set`, and `replace`, by which a reinstalled machine takes the place of its dead self.
 *
 * A node says it of itself, an admin of anybody (type 10, adr 0022). A name or address of somebody
 * else is refused here, before anything is signed; a node that loses the race for a name keeps the
 * old one.
 */
#pragma once

#include "daemon/core/node/part.h"

extern const struct pv_part pv_part_place;
