/* SPDX-License-Identifier: MIT */
/*
 * relaycore.h - the relay half of the coordinator: the TURN and STUN servers (turns.h, stuns.h) and
 * what the control half tells them (relaylink.h), as one pure machine that may have a thread of its
 * own.
 *
 * The owner's turn, with the machine's thread:
 *   pv_relaycore_step() until it is false, each time: send what pv_turns_out() gives
 *   datagrams: pv_turns_is_turn()? pv_turns_batch(), send, sockets (turns.h)
 *              else pv_relaycore_answer()
 *   pv_turns_handle_timeout(), pv_turns_next_timeout()
 * Output that names a stream goes to pv_relaycore_to_stream(). Commands are to be handled between
 * receiving datagrams and handling them: the relay then knows of a welcome before its node's first
 * datagram, and of a removal before the next one.
 */
#pragma once

#include "coordinator/core/turn/relaylink.h"
#include "coordinator/core/turn/stuns.h"
#include "coordinator/core/turn/turns.h"

struct pv_relaycore; /* opaque */

/* As pv_turns_new(); with cfg->enabled false it only answers Binding requests. */
PV_MUST_CHECK int pv_relaycore_new(struct pv_relaycore **ret_relay,
                                   const struct pv_turns_config *cfg, const struct pv_rng *rng);
struct pv_relaycore *pv_relaycore_free(struct pv_relaycore *r); /* wipes; NULL is fine */

/* Where the control half speaks with it; lives as long as the machine. */
struct pv_relaylink *pv_relaycore_link(struct pv_relaycore *r);
struct pv_turns *pv_relaycore_turns(struct pv_relaycore *r);

/* Returns true if a command waits. Then send the output there is, and step. */
bool pv_relaycore_has_commands(const struct pv_relaycore *r);
/* Handles commands that wait; forgets output not sent yet. True: send the output and call again. */
PV_MUST_CHECK bool pv_relaycore_step(struct pv_relaycore *r, pv_ns now);
/* Returns true if this kind of command has a handler. For tests. */
bool pv_relaycore_is_handled(enum pv_relaycmd_kind kind);
/* A datagram that is not TURN, from src to a place of ours: *ret_reply is the answer. PV_ERR_AGAIN:
 * no answer is due. */
PV_MUST_CHECK int pv_relaycore_answer(struct pv_relaycore *r, const struct pv_addr *src,
                                      const struct pv_stuns_place *place, struct pv_view datagram,
                                      pv_ns now, struct pv_stuns_reply *ret_reply);
/* Output with a stream; dropped and counted when the control half does not keep up. */
void pv_relaycore_to_stream(struct pv_relaycore *r, const struct pv_turns_out *out);
