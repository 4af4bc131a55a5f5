/* SPDX-License-Identifier: MIT */
/*
 * coordinator.h - the part that speaks with the coordinator, and how every other part asks it for
 * something: who asked is told the answer (part.h on_answer()).
 */
#ifndef PV_COORDINATOR_H
#define PV_COORDINATOR_H

#include "base/pv.h"
#include "daemon/core/node/part.h"

struct pv_coord; /* opaque */

extern const struct pv_part pv_part_coordinator;

/*
 * Sends a request: msg's type and fields. Exactly one on_answer() of owner follows, with tag (below
 * 2^56), its msg an answer of its type or PV_CTL_ERROR; or PV_FACT_OFFLINE, which ends all
 * requests.
 *   PV_ERR_STATE     there is no connection
 *   PV_ERR_LIMIT     too much is waiting already
 *   PV_ERR_NO_SPACE  longer than a message may be
 *   PV_ERR_NOMEM
 */
PV_MUST_CHECK int pv_coord_ask(struct pv_node *n, const struct pv_part *owner,
                               struct pv_ctl_msg *msg, uint64_t tag);

/* Who asked, by the tag of an answer of the connection: false, it was not pv_coord_ask(). */
PV_MUST_CHECK bool pv_coord_owner(const struct pv_coord *c, uint64_t wire_tag,
                                  const struct pv_part **ret_owner, uint64_t *ret_tag);

#endif /* PV_COORDINATOR_H */
