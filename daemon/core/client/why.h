/* SPDX-License-Identifier: MIT */
/*
 * why.h - the part behind `why PEER` and `trace PEER`: the reason why a peer is reached as it is,
 * in words with the evidence, and the events behind it. The diagnosis itself is cause.h. It has no
 * state.
 */
#ifndef PV_WHY_H
#define PV_WHY_H

#include "daemon/core/node/part.h"

extern const struct pv_part pv_part_why;

#endif /* PV_WHY_H */
