/* SPDX-License-Identifier: MIT */
/*
 * relay.h - the relay's sockets: moves datagrams between them and the core's TURN server, opens and
 * closes relay sockets as it asks. Decides nothing. One thread.
 */
#ifndef PV_COORD_RELAY_H
#define PV_COORD_RELAY_H

#include "base/addr.h"
#include "base/pv.h"
#include "coordinator/core/coord.h"
#include "sys/loop.h"
#include "sys/udp.h"

enum {
    PV_RELAY_LISTENERS = 32, /* sockets of clients, numbered from 0 */
};

struct pv_relay; /* opaque */

/* loop and coord are borrowed until free. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_relay_new(struct pv_relay **ret_relay, struct pv_loop *loop,
                               struct pv_coord *coord);
/* Closes the relay sockets; those of clients stay the caller's. NULL is fine. */
struct pv_relay *pv_relay_free(struct pv_relay *relay);

/* Clients reach socket number sock by fd. PV_ERR_LIMIT. */
PV_MUST_CHECK int pv_relay_add_listener(struct pv_relay *relay, uint32_t sock, int fd);
/* Datagrams of clients: pv_turns_is_turn() for each. At most PV_TURNS_BATCH. */
void pv_relay_batch(struct pv_relay *relay, const struct pv_turns_in *in, size_t n, pv_ns now);
/* Sends what streams brought; call it after each of their bytes. */
void pv_relay_from_stream(struct pv_relay *relay);
/* Opens and closes what the core wants after any of its calls; once a turn is enough. */
void pv_relay_settle(struct pv_relay *relay, pv_ns now);

#endif /* PV_COORD_RELAY_H */
