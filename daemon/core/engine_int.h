/* SPDX-License-Identifier: MIT */
/*
 * engine_int.h - the inside of the engine, shared by engine*.c only.
 *
 *   engine.c          life, time, polling
 *   engine_peers.c    the table of peers, touching, wanting; datagrams and punts to their owners
 *   engine_inband.c   in-band messages
 *   engine_jobs.c     jobs out, results in
 *   engine_member.c   static peers, signalling: until they are a part's
 *   engine_stream.c   one space of stream ids over four machines
 *   engine_ctl.c      why and trace as commands
 *   engine_show.c     what is no part yet has for status and metrics
 *   engine_why.c      why and trace
 */
#ifndef PV_ENGINE_INT_H
#define PV_ENGINE_INT_H

#include "base/bucket.h"
#include "daemon/core/chat/chatlink.h"
#include "daemon/core/engine.h"
#include "daemon/core/member/coordclient.h"
#include "daemon/core/member/coordinator.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/member/presence.h"
#include "daemon/core/nat/mapper.h"
#include "daemon/core/nat/stunroute.h"
#include "daemon/core/nat/udpwatch.h"
#include "daemon/core/node/ctlsrv.h"
#include "daemon/core/node/node.h"
#include "daemon/core/path/bindings.h"
#include "daemon/core/path/portmap.h"
#include "daemon/core/path/relays.h"
#include "daemon/core/peer/peer_int.h" /* until every part has left the engine */
#include "daemon/core/peer/peer_show.h"
#include "daemon/core/peer/peers.h"
#include "daemon/core/peer/recall.h"
#include "proto/roster/roster.h"
#include "proto/roster/roster_make.h"
#include "proto/roster/token.h"
#include "proto/stun/natlife.h"

struct pv_engine {
    struct pv_node node;

    /* peers */
    struct pv_wg_device device;
    struct pv_noise_keys noise; /* the transport key again, for signals */
    struct pv_fp_builder *fp;
    struct pv_peer_env env;

    bool dns; /* the name server listens */
};

/* --- engine.c -------------------------------------------------------------------------------- */

/* What is no part yet: its make() returns the engine. */
int pv_engine_as_part(struct pv_node *node, const struct pv_engine_config *cfg, pv_ns now,
                      void **ret_part);
void pv_engine_not_freed(void *part);
extern const struct pv_part pv_part_engine_ctl;
extern const struct pv_part pv_part_engine_show;
extern const struct pv_part pv_part_commands;
/* Hands an in-band message to the part in whose table its type is. False: no part has it. */
bool pv_engine_give_inband(struct pv_engine *e, struct pv_peer *from,
                           const struct pv_inband_message *msg, pv_ns now);
/* Lets what one machine told change the others; after every fact and every timeout. */
void pv_engine_settle(struct pv_engine *e, pv_ns now);

/* --- engine_peers.c -------------------------------------------------------------------------- */

/* Other names of pv_peers_…(), for code that is no part yet. */
static inline void pv_engine_touch(struct pv_engine *e, struct pv_peer *p, pv_ns now)
{
    pv_peers_touch(e->node.peers, p, now);
}
static inline struct pv_peer *pv_engine_peer_by_id(struct pv_engine *e, uint32_t id)
{
    return pv_peers_by_id(e->node.peers, id);
}
static inline struct pv_peer *pv_engine_peer_by_pk(struct pv_engine *e, const uint8_t *pk)
{
    return pv_peers_by_pk(e->node.peers, pk);
}
static inline struct pv_peer *pv_engine_find_peer(struct pv_engine *e, const char *text)
{
    return pv_peers_find(e->node.peers, text);
}
static inline void pv_engine_env_changed(struct pv_engine *e, bool locals, pv_ns now)
{
    pv_peers_env_changed(e->node.peers, locals, now);
}

/* --- engine_inband.c ------------------------------------------------------------------------- */

/* Another name of pv_peers_send(), for code that is no part yet. */
static inline void pv_engine_send_inband(struct pv_engine *e, struct pv_peer *p,
                                         enum pv_inband_type type, struct pv_view body)
{
    pv_peers_send(e->node.peers, p, type, body);
}
void pv_engine_take_inband(struct pv_engine *e, struct pv_peer *p, struct pv_view packet,
                           pv_ns now);

/* --- engine_member.c ------------------------------------------------------------------------- */

extern const struct pv_part pv_part_engine_member;

/* --- engine_ctl.c, engine_show.c, engine_why.c ------------------------------------------------ */

void pv_engine_show_why(struct pv_engine *e, struct pv_peer *p, uint64_t handle, pv_ns now);
void pv_engine_show_trace(struct pv_engine *e, struct pv_peer *p, uint64_t handle, pv_ns now);

/* Wall clock in seconds and milliseconds. */
static inline uint64_t pv_engine_wall_s(const struct pv_engine *e, pv_ns now)
{
    return pv_node_wall_s(&e->node, now);
}
static inline uint64_t pv_engine_wall_ms(const struct pv_engine *e, pv_ns now)
{
    return pv_node_wall_ms(&e->node, now);
}

#endif /* PV_ENGINE_INT_H */
