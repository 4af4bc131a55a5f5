/* SPDX-License-Identifier: MIT */
/* engine.c - loops over the parts: makes and frees them, tells them facts, timeouts, datagrams,
 * results and streams, and asks them for their output. */
#include "daemon/core/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/admin/admin.h"
#include "daemon/core/client/dns.h"
#include "daemon/core/client/info.h"
#include "daemon/core/client/probe.h"
#include "daemon/core/coord/coordclient.h"
#include "daemon/core/deliver.h"
#include "daemon/core/lan/lan.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/nat/stunroute.h"
#include "daemon/core/node/node.h"
#include "daemon/core/parts.h"
#include "daemon/core/path/gatherer.h"
#include "daemon/core/path/mapper.h"
#include "daemon/core/path/relays.h"
#include "daemon/core/peer/beacon.h"
#include "daemon/core/peer/handshakes.h"
#include "daemon/core/peer/peers.h"
#include "daemon/core/route/phonetest.h"
#include "proto/stun/demux.h"

struct pv_engine {
    struct pv_node node;
    enum pv_order_type giving; /* the kind of orders whose turn it is */
};

static void settle(struct pv_engine *e, pv_ns now);

#define PV_PART_POINTER(name) &pv_part_##name,
static const struct pv_part *const parts[] = {PV_PARTS_BELOW(PV_PART_POINTER)
                                                  PV_PARTS_ABOVE(PV_PART_POINTER)};
#define PV_PART_COUNT(name) +1
enum {
    BELOW = 0 PV_PARTS_BELOW(PV_PART_COUNT), /* parts before that of the program */
};
_Static_assert(PV_ARRAY_LEN(parts) < PV_NODE_MAX_PARTS, "every part has its place");

const struct pv_node *pv_engine_node(const struct pv_engine *e)
{
    return &e->node;
}

const struct pv_part *const *pv_engine_parts(size_t *ret_n)
{
    *ret_n = PV_ARRAY_LEN(parts);
    return parts;
}

static int make_part(struct pv_engine *e, const struct pv_part *part,
                     const struct pv_engine_config *cfg, pv_ns now)
{
    struct pv_part_slot *slot = &e->node.parts[e->node.n_parts];
    slot->part = part;
    int r = pv_part_make(part, &e->node, cfg, now, &slot->self);
    e->node.n_parts += r == PV_OK;
    return r;
}

/* n_parts counts the parts that are there: when one cannot be made, pv_engine_free() frees exactly
 * those before it. */
static int make_parts(struct pv_engine *e, const struct pv_engine_config *cfg, pv_ns now)
{
    int r = PV_OK;
    for (size_t i = 0; r == PV_OK && i < PV_ARRAY_LEN(parts); i++) {
        if (i == BELOW && cfg->app != NULL)
            r = make_part(e, cfg->app, cfg, now);
        if (r == PV_OK)
            r = make_part(e, parts[i], cfg, now);
    }
    return r;
}

/* A pass of its own, since parts build on what others restore: recall takes up the addresses
 * of members, whom membership brings back. */
static int restore_parts(struct pv_engine *e, const struct pv_engine_config *cfg, pv_ns now)
{
    PV_EACH_PART(&e->node, slot) {
        int r = slot->part->restore == NULL ? PV_OK : slot->part->restore(slot->self, cfg, now);
        if (r != PV_OK)
            return r;
    }
    return PV_OK;
}

/* In the opposite order: a part may use those before it until its own end. */
static void free_parts(struct pv_engine *e)
{
    while (e->node.n_parts > 0) {
        const struct pv_part_slot *slot = &e->node.parts[--e->node.n_parts];
        pv_part_free(slot->part, slot->self);
    }
}

/* --- facts ------------------------------------------------------------------------------------ */

enum {
    MAX_ROUNDS = 64, /* of parts that run because others ran */
};

/* The first row decides: one type has one receiver (unit/test_engine_tables). */
static bool give_inband(struct pv_engine *e, struct pv_peer *from,
                        const struct pv_inband_message *msg, pv_ns now)
{
    PV_EACH_PART(&e->node, slot) {
        for (size_t k = 0; k < slot->part->n_inband; k++) {
            if (slot->part->inband[k].type != msg->type)
                continue;
            slot->part->inband[k].take(slot->self, from, msg->body, now);
            return true;
        }
    }
    return false;
}

/* Parts act on what their machines have to say. */
static void run_parts(struct pv_engine *e, pv_ns now)
{
    PV_EACH_PART(&e->node, slot) {
        if (slot->part->run != NULL)
            slot->part->run(slot->self, now);
    }
}

/* --- life ------------------------------------------------------------------------------------- */

/* The abilities that our descriptions state. A build may lack ML-KEM. */
static unsigned caps_of(const struct pv_engine_config *cfg)
{
    return cfg->given.kem != NULL && cfg->given.pq != PV_PQ_OFF ? PV_DESC_CAP_PQ : 0;
}

/* Parts read these fields of the node as soon as they are made. */
static void copy_config(struct pv_node *n, const struct pv_engine_config *cfg, pv_ns now)
{
    n->given = cfg->given;
    n->rng = cfg->rng;
    n->log = n->given.log.sink == NULL ? NULL : &n->given.log;
    n->identity = cfg->identity;
    if (n->given.started == 0)
        n->given.started = now;
    n->ways.caps = caps_of(cfg);
    memcpy(n->ways.cost, cfg->cost, sizeof(n->ways.cost));
    /* Until the part `bindings` has measured how long this NAT keeps a silent binding. */
    n->ways.binding_lifetime = PV_GATHERER_REFRESH;
    n->wall = (struct pv_wall){.us = cfg->wall_us, .at = now};
    pv_jobqueue_init(&n->jobs, &n->rng, n->log);
}

static int make_machines(struct pv_engine *e)
{
    int r = pv_fp_builder_new(&e->node.fp, &e->node.rng);
    if (r == PV_OK)
        r = pv_ctlsrv_new(&e->node.ctl, &e->node.streams, e->node.given.flag, e->node.given.own);
    if (r == PV_OK)
        r = pv_peers_new(&e->node.peers, &e->node);
    if (r == PV_OK && (e->node.ways.stunroute = calloc(1, sizeof(*e->node.ways.stunroute))) == NULL)
        r = PV_ERR_NOMEM;
    return r;
}

int pv_engine_new(struct pv_engine **ret_engine, const struct pv_engine_config *cfg, pv_ns now)
{
    struct pv_engine *e = calloc(1, sizeof(*e));
    if (e == NULL)
        return PV_ERR_NOMEM;
    copy_config(&e->node, cfg, now);
    int r = make_machines(e);
    if (r == PV_OK)
        r = make_parts(e, cfg, now);
    if (r == PV_OK)
        r = restore_parts(e, cfg, now);
    if (r != PV_OK) {
        pv_engine_free(e);
        return r;
    }
    /* The parts hear what restoring has raised, and what they owe others for it is there when the
     * shell drains the engine for the first time. */
    (void)pv_deliver(&e->node, now);
    run_parts(e, now);
    (void)pv_deliver(&e->node, now);
    *ret_engine = e;
    return PV_OK;
}

struct pv_engine *pv_engine_free(struct pv_engine *e)
{
    if (e == NULL)
        return NULL;
    free_parts(e);
    pv_jobqueue_done(&e->node.jobs);
    /* The machines go after the parts, which borrow them. */
    pv_peers_free(e->node.peers);
    pv_ctlsrv_free(e->node.ctl);
    pv_streams_done(&e->node.streams);
    pv_fifo_clear(&e->node.ways.sock_ops);
    pv_events_done(&e->node.events);
    pv_fp_builder_free(e->node.fp);
    free(e->node.ways.stunroute);
    pv_wipe(e, sizeof(*e));
    free(e);
    return NULL;
}

void pv_engine_set_wall(struct pv_engine *e, uint64_t wall_us, pv_ns now)
{
    e->node.wall = (struct pv_wall){.us = wall_us, .at = now};
}

bool pv_engine_wants_restart(const struct pv_engine *e)
{
    return e->node.keys.forgotten;
}

void pv_engine_take_events(struct pv_engine *e, struct pv_events *ret_events)
{
    pv_events_hand_on(&e->node.events, ret_events);
}

bool pv_engine_leave(struct pv_engine *e, pv_ns now)
{
    bool leaves = pv_admin_leave_at_end(&e->node, now);
    settle(e, now);
    return leaves;
}

bool pv_engine_has_left(const struct pv_engine *e)
{
    return pv_admin_has_left(&e->node);
}

/* The parts only write what is still to be said. The shell drains the output once and then frees
 * the engine, so a part that waits for an answer would wait in vain. */
void pv_engine_shutdown(struct pv_engine *e, pv_ns now)
{
    PV_EACH_PART(&e->node, slot) {
        if (slot->part->on_stop != NULL)
            slot->part->on_stop(slot->self, now);
    }
}

/* --- facts in --------------------------------------------------------------------------------- */

void pv_engine_set_iface_problem(struct pv_engine *e, const char *problem)
{
    pv_membership_set_iface_problem(&e->node, problem);
}

void pv_engine_set_iface_ip6(struct pv_engine *e, bool has, pv_ns now)
{
    const enum pv_iface_ip6 ip6 = has ? PV_IFACE_IP6 : PV_IFACE_NO_IP6;
    if (e->node.iface.ip6 == ip6)
        return;
    e->node.iface.ip6 = ip6;
    pv_node_raise(&e->node, PV_FACT_INTERFACE);
    settle(e, now);
}

void pv_engine_set_stack(struct pv_engine *e, unsigned pid, unsigned restarts)
{
    e->node.given.inside = pid;
    pv_info_set_stack_restarts(&e->node, restarts);
}

void pv_engine_handle_hostnet(struct pv_engine *e, const struct pv_netplan_host *host, pv_ns now)
{
    if (host->changes != e->node.host.plan.changes)
        e->node.host.changed_at = now;
    e->node.host.plan = *host;
    pv_node_raise(&e->node, PV_FACT_HOSTNET);
    settle(e, now);
}

void pv_engine_handle_links(struct pv_engine *e, const struct pv_links *links, pv_ns now)
{
    e->node.host.n_links = links->n;
    memcpy(e->node.host.links, links->of, sizeof(e->node.host.links));
    e->node.host.left_out = links->left_out;
    e->node.host.is_known = true;
    pv_node_raise(&e->node, PV_FACT_LINKS);
    /* The old connection may be dead without anybody knowing, and a new one possible at last. */
    pv_coordclient_kick(e->node.coord, now);
    settle(e, now);
}

void pv_engine_handle_resume(struct pv_engine *e, pv_ns now)
{
    pv_log(e->node.log, PV_LOG_INFO, "what=\"woke up\"");
    pv_node_raise(&e->node, PV_FACT_RESUMED);
    pv_coordclient_woke(e->node.coord, now);
    settle(e, now);
}

void pv_engine_handle_routers(struct pv_engine *e,
                              const struct pv_engine_router routers[static PV_NODE_ROUTERS],
                              pv_ns now)
{
    (void)now; /* handle_links() follows, and raises the fact */
    memcpy(e->node.host.routers, routers, sizeof(e->node.host.routers));
}

void pv_engine_handle_router_datagram(struct pv_engine *e, const struct pv_addr *src,
                                      struct pv_view datagram, pv_ns now)
{
    pv_mapper_handle_router(&e->node, src, datagram, now);
    settle(e, now);
}

void pv_engine_handle_beacon(struct pv_engine *e, const struct pv_addr *src, uint32_t ifindex,
                             uint8_t hops, struct pv_view datagram, pv_ns now)
{
    pv_beacon_hear(&e->node, src, ifindex, hops, datagram, now);
    settle(e, now);
}

void pv_engine_relay_connected(struct pv_engine *e, uint16_t stream, pv_ns now)
{
    pv_relays_connected(&e->node, stream, now);
    settle(e, now);
}

void pv_engine_relay_closed(struct pv_engine *e, uint16_t stream, const char *why, pv_ns now)
{
    pv_relays_closed(&e->node, stream, why, now);
    settle(e, now);
}

/* Ends every call that tells the engine something: the parts hear what has changed and act on it,
 * until nothing is left to hear. The shell drains the output afterwards. */
static void settle(struct pv_engine *e, pv_ns now)
{
    if (!pv_deliver(&e->node, now))
        return;
    /* A machine's answer to news may be news to others: none may be left when this returns. */
    for (int round = 0; round < MAX_ROUNDS; round++) {
        run_parts(e, now);
        if (e->node.facts == 0 && !pv_peers_has_news(e->node.peers))
            return;
        if (!pv_deliver(&e->node, now))
            return;
    }
}

/* --- time ------------------------------------------------------------------------------------- */

void pv_engine_handle_timeout(struct pv_engine *e, pv_ns now)
{
    pv_jobqueue_handle_timeout(&e->node.jobs, now);
    pv_peers_handle_timeout(e->node.peers, now);
    PV_EACH_PART(&e->node, slot) {
        pv_part_handle_timeout(slot->part, slot->self, now);
    }
    settle(e, now);
}

pv_ns pv_engine_next_timeout(const struct pv_engine *e)
{
    pv_ns next =
        pv_min_ns(pv_peers_next_timeout(e->node.peers), pv_jobqueue_next_timeout(&e->node.jobs));
    PV_EACH_PART(&e->node, slot) {
        next = pv_min_ns(next, pv_part_next_timeout(slot->part, slot->self));
    }
    return next;
}

/* --- what the shell counted, and asks for ----------------------------------------------------- */

void pv_engine_set_datapath(struct pv_engine *e, const struct pv_datapath_counts *datapath)
{
    pv_info_set_datapath(&e->node, datapath);
}

void pv_engine_set_process(struct pv_engine *e, const struct pv_metrics_process *process)
{
    pv_info_set_process(&e->node, process);
}

void pv_engine_reloaded(struct pv_engine *e, const struct pv_engine_reloaded *done)
{
    pv_info_reloaded(&e->node, done);
}

int pv_engine_metrics(struct pv_engine *e, pv_ns now, char **ret_text, size_t *ret_len)
{
    return pv_info_metrics(&e->node, now, ret_text, ret_len);
}

void pv_engine_dns(struct pv_engine *e, const struct pv_addr *src, struct pv_view packet,
                   struct pv_dns_reply *ret_reply, pv_ns now)
{
    pv_dns_serve(&e->node, src, packet, ret_reply, now);
}

/* --- orders of parts ------------------------------------------------------------------------- */

void pv_engine_report(struct pv_engine *e, const struct pv_part *part, const void *report,
                      pv_ns now)
{
    part->on_report(pv_node_part(&e->node, part), report, now);
    settle(e, now);
}

/* --- datagrams -------------------------------------------------------------------------------- */

/* STUN does not say to whom it belongs: each part knows its own messages by socket, server or
 * transaction id, and the first to recognise one keeps it. */
static void take_stun(struct pv_engine *e, const struct pv_carrier *from, struct pv_view data,
                      pv_ns now)
{
    PV_EACH_PART(&e->node, slot) {
        if (slot->part->handle_stun != NULL && slot->part->handle_stun(slot->self, from, data, now))
            return;
    }
}

/* A datagram that is not transport data. */
static void take_datagram(struct pv_engine *e, const struct pv_carrier *from, struct pv_view data,
                          pv_ns now)
{
    switch (pv_demux(data)) {
    case PV_DEMUX_STUN:
        take_stun(e, from, data, now);
        break;
    case PV_DEMUX_WG_INITIATION:
    case PV_DEMUX_WG_RESPONSE:
    case PV_DEMUX_WG_COOKIE:
        if (!pv_phonetest_take(&e->node, from, data, now))
            pv_handshakes_take(pv_node_part(&e->node, &pv_part_handshakes), from, data, now);
        break;
    case PV_DEMUX_WG_DATA:
    case PV_DEMUX_CHANNEL:
    case PV_DEMUX_JUNK:
        break;
    }
}

/* Only members of a network talk in-band; a static peer is a stock WireGuard, whose packets with
 * this first byte mean nothing. */
static void take_inband(struct pv_engine *e, struct pv_peer *p, struct pv_view packet, pv_ns now)
{
    struct pv_inband_message msg;
    if (pv_peer_is_static(p) || e->node.roster == NULL)
        return;
    int r = pv_peer_receive_inband(p, packet, now, &msg);
    if (r != PV_OK) {
        if (r != PV_ERR_AGAIN)
            pv_log(e->node.log, PV_LOG_DEBUG, "peer=%s what=\"in-band dropped\" why=\"%s\"",
                   pv_peer_name(p), pv_strstatus(r));
        return;
    }
    (void)give_inband(e, p, &msg, now); /* a type that nobody has is dropped */
}

void pv_engine_handle_punt(struct pv_engine *e, const struct pv_fp_punt *punt, pv_ns now)
{
    if (punt->kind == PV_FP_PUNT_DATAGRAM) {
        take_datagram(e, &punt->from, punt->bytes, now);
    } else if (punt->kind == PV_FP_PUNT_TOO_BIG) {
        pv_peers_too_big(e->node.peers, punt, now);
    } else if (punt->kind == PV_FP_PUNT_REPORT) {
        pv_lan_report(&e->node, punt->bytes, now);
    } else if (punt->kind == PV_FP_PUNT_PROBE) {
        pv_probe_take(&e->node, punt->bytes, now);
    } else {
        struct pv_peer *p = pv_peers_by_id(e->node.peers, punt->peer);
        if (p == NULL)
            return;
        if (punt->kind == PV_FP_PUNT_INBAND)
            take_inband(e, p, punt->bytes, now);
        else
            pv_peer_handle_punt(p, punt, now);
        /* what came in-band may have ended the membership that made the peer */
        p = pv_peers_by_id(e->node.peers, punt->peer);
        if (p != NULL && punt->kind == PV_FP_PUNT_INBAND)
            pv_peer_strayed(p, &punt->from, now);
        if (p != NULL)
            pv_peers_touch(e->node.peers, p, now);
    }
    settle(e, now);
}

/* --- sockets beside the main ones ------------------------------------------------------------- */

/* Each part knows the ids of its own sockets, and passes over the others. */
void pv_engine_sock_bounced(struct pv_engine *e, uint16_t sock, struct pv_view quoted, bool expired)
{
    PV_EACH_PART(&e->node, slot) {
        if (slot->part->sock_bounced != NULL)
            slot->part->sock_bounced(slot->self, sock, quoted, expired);
    }
}

void pv_engine_sock_opened(struct pv_engine *e, uint16_t sock, uint16_t port, pv_ns now)
{
    PV_EACH_PART(&e->node, slot) {
        if (slot->part->sock_opened != NULL)
            slot->part->sock_opened(slot->self, sock, port, now);
    }
    settle(e, now);
}

/* --- jobs ------------------------------------------------------------------------------------- */

void pv_engine_handle_job(struct pv_engine *e, struct pv_job_result *result, pv_ns now)
{
    if (result->status == -ENOSPC)
        pv_node_stored(&e->node, result);
    (void)pv_jobqueue_handle(&e->node.jobs, result, now);
    settle(e, now);
}

/* --- to whom a stream belongs ----------------------------------------------------------------- */

static const struct pv_stream_handler *find_kind(const struct pv_engine *e,
                                                 enum pv_stream_kind kind, void **ret_part)
{
    PV_EACH_PART(&e->node, slot) {
        for (size_t i = 0; i < slot->part->n_streams; i++) {
            if (slot->part->streams[i].kind != kind)
                continue;
            *ret_part = slot->self;
            return &slot->part->streams[i];
        }
    }
    return NULL;
}

/* The engine puts the kind into the number that the shell sees (pv_sid()), so that every later call
 * about a stream leads back here without a table. */
static const struct pv_stream_handler *find_stream(const struct pv_engine *e, uint32_t sid,
                                                   void **ret_machine)
{
    const struct pv_stream_handler *h = find_kind(e, pv_sid_kind(sid), ret_machine);
    if (h != NULL && h->machine != NULL)
        *ret_machine = h->machine(*ret_machine);
    return *ret_machine == NULL ? NULL : h;
}

/* The part counts its streams by numbers of its own; the shell gets a number with the kind in it.
 */
int pv_engine_stream_accepted(struct pv_engine *e, enum pv_stream_kind kind,
                              const struct pv_stream_peer *who, pv_ns now, uint32_t *ret_sid)
{
    void *part = NULL;
    uint32_t local;
    const struct pv_stream_handler *h = find_kind(e, kind, &part);
    if (h == NULL || h->accepted == NULL)
        return PV_ERR_REFUSED;
    int r = h->accepted(part, who, &local, now);
    if (r == PV_OK)
        *ret_sid = pv_sid(kind, local);
    settle(e, now);
    return r;
}

void pv_engine_stream_connected(struct pv_engine *e, uint32_t sid, pv_ns now)
{
    void *machine = NULL;
    const struct pv_stream_handler *h = find_stream(e, sid, &machine);
    if (h != NULL && h->connected != NULL)
        h->connected(machine, pv_sid_local(sid), now);
    settle(e, now);
}

void pv_engine_stream_proxied(struct pv_engine *e, uint32_t sid,
                              const struct pv_connect_answer *answer, pv_ns now)
{
    void *machine = NULL;
    const struct pv_stream_handler *h = find_stream(e, sid, &machine);
    if (h != NULL && h->proxied != NULL)
        h->proxied(machine, pv_sid_local(sid), answer, now);
    settle(e, now);
}

void pv_engine_stream_bytes(struct pv_engine *e, uint32_t sid, struct pv_view bytes, pv_ns now)
{
    void *machine = NULL;
    const struct pv_stream_handler *h = find_stream(e, sid, &machine);
    if (h != NULL)
        h->bytes(machine, pv_sid_local(sid), bytes, now);
    settle(e, now);
}

void pv_engine_stream_closed(struct pv_engine *e, uint32_t sid, int status, pv_ns now)
{
    void *machine = NULL;
    const struct pv_stream_handler *h = find_stream(e, sid, &machine);
    if (h != NULL)
        h->closed(machine, pv_sid_local(sid), status, now);
    settle(e, now);
}

struct pv_view pv_engine_stream_out(struct pv_engine *e, uint32_t sid)
{
    void *machine = NULL;
    const struct pv_stream_handler *h = find_stream(e, sid, &machine);
    return h == NULL || h->out == NULL ? pv_view(NULL, 0) : h->out(machine, pv_sid_local(sid));
}

void pv_engine_stream_wrote(struct pv_engine *e, uint32_t sid, size_t n, pv_ns now)
{
    void *machine = NULL;
    const struct pv_stream_handler *h = find_stream(e, sid, &machine);
    if (h == NULL || h->wrote == NULL)
        return;
    h->wrote(machine, pv_sid_local(sid), n, now);
    settle(e, now);
}

bool pv_engine_stream_is_full(struct pv_engine *e, uint32_t sid)
{
    void *machine = NULL;
    const struct pv_stream_handler *h = find_stream(e, sid, &machine);
    return h != NULL && h->is_full != NULL && h->is_full(machine, pv_sid_local(sid));
}

/* --- orders ----------------------------------------------------------------------------------- */

/* Each call begins at the first part again: handshakes and messages to relays leave before what the
 * peers have to send. */
static int next_datagram(struct pv_engine *e, struct pv_engine_transmit *ret_tx)
{
    ret_tx->router = false; /* all but the mapper's are for the network */
    PV_EACH_PART(&e->node, slot) {
        if (slot->part->poll_transmit != NULL && slot->part->poll_transmit(slot->self, ret_tx))
            return PV_OK;
    }
    return PV_ERR_AGAIN;
}

/* Without memory the workers go on with the snapshot they have. The builder still counts as
 * changed, so the shell's next turn tries again. */
static int next_snapshot(struct pv_engine *e, struct pv_fp_snapshot **ret_snap)
{
    if (!pv_fp_builder_changed(e->node.fp))
        return PV_ERR_AGAIN;
    int r = pv_fp_builder_snapshot(e->node.fp, ret_snap);
    if (r != PV_OK)
        pv_log(e->node.log, PV_LOG_ERROR, "what=\"no snapshot\" why=\"%s\"", pv_strstatus(r));
    return r == PV_OK ? PV_OK : PV_ERR_AGAIN;
}

static int next_of_part(struct pv_engine *e, struct pv_engine_order *order)
{
    PV_EACH_PART(&e->node, slot) {
        order->u.part.of = slot->part;
        if (slot->part->poll_order != NULL && slot->part->poll_order(slot->self, &order->u.part.is))
            return PV_OK;
    }
    return PV_ERR_AGAIN;
}

/* Takes from where orders of this kind wait; each queue says PV_ERR_AGAIN by itself. */
static int next_of_kind(struct pv_engine *e, enum pv_order_type kind, struct pv_engine_order *order)
{
    struct pv_node *n = &e->node;
    order->type = kind;
    switch (kind) {
    case PV_ORDER_RELOAD:
        return pv_info_take_reload(n);
    case PV_ORDER_SOCK:
        return pv_fifo_take(&n->ways.sock_ops, &order->u.sock);
    case PV_ORDER_RELAY:
        return pv_relays_poll_op(n, &order->u.relay);
    case PV_ORDER_SNAPSHOT:
        return next_snapshot(e, &order->u.snapshot);
    case PV_ORDER_DATAGRAM:
        return next_datagram(e, &order->u.datagram);
    case PV_ORDER_INJECT:
        return pv_fifo_take(&n->ways.injects, &order->u.inject);
    case PV_ORDER_PART:
        return next_of_part(e, order);
    case PV_ORDER_STREAM:
        return pv_streams_next_op(&n->streams, &order->u.stream);
    case PV_ORDER_LOOK:
        return pv_streams_next_turn(&n->streams, &order->u.look);
    case PV_ORDER_JOB:
        return pv_jobqueue_poll(&n->jobs, &order->u.job);
    case PV_ORDER_TYPES:
        break;
    }
    return PV_ERR_AGAIN;
}

int pv_engine_poll(struct pv_engine *e, struct pv_engine_order *ret_order)
{
    for (unsigned i = 0; i < PV_ORDER_TYPES; i++) {
        if (next_of_kind(e, e->giving, ret_order) == PV_OK)
            return PV_OK;
        e->giving = (e->giving + 1) % PV_ORDER_TYPES;
    }
    e->giving = 0;
    return PV_ERR_AGAIN;
}
