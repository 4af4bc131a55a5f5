/* SPDX-License-Identifier: MIT */
/*
 * engine_ways.h - the parts of the engine that find and keep ways through NATs: attempts at hard
 * ones, lifetimes of bindings, ports mapped by routers. A piece of engine_int.h, for engine*.c
 * only.
 */
#ifndef PV_ENGINE_WAYS_H
#define PV_ENGINE_WAYS_H

#include "daemon/core/engine.h"
#include "daemon/core/peer/peer.h"

/* --- engine_life.c ---------------------------------------------------------------------------- */

/* The candidates may have changed: another network is measured anew. */
void pv_engine_life_moved(struct pv_engine *e, pv_ns now);
void pv_engine_life_timeout(struct pv_engine *e, pv_ns now);
pv_ns pv_engine_life_next(const struct pv_engine *e);
/* Is the socket one of its own? Then the call was for it. */
bool pv_engine_life_input(struct pv_engine *e, const struct pv_carrier *from, struct pv_view data,
                          pv_ns now);
bool pv_engine_life_opened(struct pv_engine *e, uint16_t sock, uint16_t port, pv_ns now);
bool pv_engine_life_poll_op(struct pv_engine *e, struct pv_hardnat_op *ret_op);
bool pv_engine_life_transmit(struct pv_engine *e, struct pv_engine_transmit *ret_tx);

/* --- engine_map.c ---------------------------------------------------------------------------- */

/* Our addresses changed: which one is on the router's link? */
void pv_engine_map_links(struct pv_engine *e, const struct pv_link_addr *links, size_t n,
                         pv_ns now);
/* What is mapped becomes a candidate; requests leave as jobs. */
void pv_engine_map_pump(struct pv_engine *e, pv_ns now);
bool pv_engine_map_poll(struct pv_engine *e, struct pv_engine_transmit *ret_tx);
void pv_engine_map_job_done(struct pv_engine *e, uint64_t tag, const struct pv_job_result *result,
                            pv_ns now);

/* Opens, adopts or closes a socket of those ids. */
void pv_engine_life_op(struct pv_engine *e, enum pv_hardnat_op_type type, uint16_t sock);

#endif /* PV_ENGINE_WAYS_H */
