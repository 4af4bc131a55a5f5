/* SPDX-License-Identifier: MIT */
/*
 * standby.h - the part that makes before it breaks (TRAVERSAL 4): some NATs end every binding at
 * a certain age, whatever passes. Where that was measured (bindings.h), a standby socket with a
 * fresh binding takes the place of the one in use at 70 % of that age. Its addresses are gathered
 * and described as any change of address is; the former socket stays open, and its pairs serve
 * until others are proven.
 *
 * State:  IDLE --70 % of the age--> OPENING --opened--> TWO --30 % of the age--> IDLE
 *         OPENING --a port that this node just used--> OPENING, four times at most
 *         OPENING --failed--> IDLE, 10 s later again
 */
#pragma once

#include "daemon/core/node/node.h"

extern const struct pv_part pv_part_standby;
