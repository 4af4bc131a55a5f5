/* SPDX-License-Identifier: MIT */
/*
 * relay.h - the relay's thread: it owns the UDP ports of clients (stunudp.h), the relay sockets and
 * the relay half of the core (relaycore.h), moves datagrams between them in batches, and decides
 * nothing.
 *
 * The control thread speaks with it by the core's link and two eventfds; neither ever waits for the
 * other. Commands are looked at after each read and before what was read is handled, so a removal
 * counts for every datagram that comes after it. Each ready socket has one batch a turn.
 */
#pragma once

#include "base/pv.h"
#include "coordinator/core/turn/relaycore.h"
#include "coordinator/relay/stunudp.h"

struct pv_relay; /* opaque */

/* core and udp are borrowed until free, and the thread's alone from start on. PV_ERR_NOMEM,
 * -errno. */
PV_MUST_CHECK int pv_relay_new(struct pv_relay **ret_relay, struct pv_relaycore *core,
                               struct pv_stunudp *udp);
/* With all sockets of clients open: serves them. PV_ERR_NOMEM, -errno. */
PV_MUST_CHECK int pv_relay_start(struct pv_relay *relay);
/* Ends the thread and closes the relay sockets. NULL is fine; returns NULL. */
struct pv_relay *pv_relay_free(struct pv_relay *relay);

/* The control thread's: something waits in the link (pv_relaylink_take_wake_relay). */
void pv_relay_wake(struct pv_relay *relay);
/* Readable when the link has news; owned by the relay. Clear it (sys/proc/event.h), then poll the
 * link. */
int pv_relay_news_fd(const struct pv_relay *relay);
