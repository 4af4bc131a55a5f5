/* SPDX-License-Identifier: MIT */
/*
 * signals.h - the part that carries descriptions (peer/descx.h) to peers and back: in-band where a
 * path exists, sealed as signals through the coordinator, and where that cannot bring them through
 * members whom both sides know (forwards.h). Each signal carries the head of the roster, and to
 * somebody who may not know this node what admits it.
 */
#ifndef PV_SIGNALS_H
#define PV_SIGNALS_H

#include "daemon/core/node/part.h"

extern const struct pv_part pv_part_signals;

#endif /* PV_SIGNALS_H */
