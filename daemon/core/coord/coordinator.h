/* SPDX-License-Identifier: MIT */
/*
 * coordinator.h - the part that speaks with the coordinator, and how every other part asks it for
 * something: who asked is told the answer (part.h on_answer()); what the coordinator says of its
 * own accord, and the welcome of each connection, goes to every part (on_push()).
 *
 * A connection is a member's or, while this node enrols, an applicant's. Only a member's is
 * announced by PV_FACT_ONLINE and PV_FACT_OFFLINE; why a connection of either kind ended or was not
 * made is in node.coord_info.error, and PV_FACT_COORDINATOR says that it changed.
 *
 *   --connect--> connecting --welcome--> online (as a member) or an applicant
 *                connecting --refused--> every part is pushed the error; tried again later
 *   any --lost--> connecting, at every address the coordinator may have by now
 *   any --disconnect--> nothing
 *
 * A network may name several coordinators, the preferred one first. One that does not let this node
 * in makes way for the next of the list, in a circle; part "scout" finds out when one that stands
 * before the one in use is there again.
 */
#pragma once

#include "base/pv.h"
#include "daemon/core/node/part.h"

struct pv_coord; /* opaque */

extern const struct pv_part pv_part_coordinator;

/* ours: after an answer "storage": its database may be back any moment, and is said to be away
 * without being asked. */
#define PV_COORD_STORAGE_RETRY PV_S(1)

/*
 * Sends a request: msg's type and fields. Exactly one on_answer() of owner follows, with tag (below
 * 2^56), its msg an answer of its type or PV_CTL_ERROR; or the connection ends, which ends all
 * requests (PV_FACT_OFFLINE; for applicants PV_FACT_COORDINATOR).
 *   PV_ERR_STATE     there is no connection
 *   PV_ERR_LIMIT     too much is waiting already
 *   PV_ERR_NO_SPACE  longer than a message may be
 *   PV_ERR_NOMEM
 */
PV_MUST_CHECK int pv_coord_ask(struct pv_node *n, const struct pv_part *owner,
                               struct pv_ctl_msg *msg, uint64_t tag);

/* Connects as a member, or as an applicant for enrolling, to the coordinators of list. network_id:
 * NULL = to create a network. The connection before is dropped. */
void pv_coord_connect(struct pv_node *n, struct pv_view list, enum pv_ctl_role role,
                      const uint8_t *network_id, pv_ns now);
/* The network's record names these coordinators now: a member's connection follows. To another
 * coordinator it changes over at once, but to one that was away when the one in use was taken; new
 * addresses of the one in use are for its next attempt. */
void pv_coord_follow(struct pv_node *n, struct pv_view list, pv_ns now);
/* Returns true if a connection to this coordinator must be hybrid. */
bool pv_coord_must_hybrid(const struct pv_node *n, const uint8_t pk[static PV_SIGN_PK_LEN]);
/* One that stands before the one in use lets members in again: goes back to it. */
void pv_coord_return(struct pv_node *n, const uint8_t pk[static PV_SIGN_PK_LEN], pv_ns now);
void pv_coord_disconnect(struct pv_node *n);
/* Leaves the one in use, or tried, and connects to the next of the list, as the same role. False:
 * it was the last; nothing changes. */
bool pv_coord_next(struct pv_node *n, pv_ns now);
/* After a connection that failed: the next attempt, after the usual wait, is another's; behind the
 * last one stands the first. A member's connection does that by itself. */
void pv_coord_turn(struct pv_node *n, pv_ns now);
/* Binds signatures to this connection (join). PV_ERR_STATE: there is none. */
PV_MUST_CHECK int pv_coord_hash(const struct pv_node *n, uint8_t ret_hash[static PV_CTL_HASH_LEN]);
/* Somebody waits for the coordinator until then: attempts to connect begin more often. */
void pv_coord_hurry(struct pv_node *n, pv_ns until, pv_ns now);
/* The coordinator's word may be out of date, as when packets are for a member who is away: a ping
 * asks whether it is still there, as soon as its last word is PV_STREAM_UNACKED old. */
void pv_coord_doubt(const struct pv_node *n);

/* How much of the coordinator's log this node has; of the next hello too. Kept over restarts. */
struct pv_ctl_cursor pv_coord_cursor(const struct pv_node *n);
void pv_coord_set_cursor(struct pv_node *n, struct pv_ctl_cursor cursor);
/* Stores it, where it has moved: what it stands for is stored, or will be before it. */
void pv_coord_save_cursor(struct pv_node *n);
/* Another network: nothing is known of its log. */
void pv_coord_forget_cursor(struct pv_node *n);
