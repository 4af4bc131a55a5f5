/* SPDX-License-Identifier: MIT */
/*
 * engine.h - the daemon's core as one pure machine: composes the coordinator client, the roster,
 * the peers (session, ICE agent, description), the gatherer and the control socket.
 *
 * The engine routes and composes; whatever has a state of its own is a machine in a file of its
 * own. It never calls back and never blocks. The shell's turn is:
 *
 *   now = one clock reading; pv_engine_set_wall(wall clock)
 *   feed what happened:  handle_punt, stream_*, handle_links, handle_job, handle_timeout
 *   carry out its orders: poll, until there is none
 *   sleep until next_timeout() or something happens
 *
 * Control thread only. The packets' way (TUN and transport data) is not here: see fastpath.h; the
 * engine only publishes snapshots for it and gets its punts.
 */
#pragma once

#include "base/addr.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/pv.h"
#include "base/text.h"
#include "daemon/core/jobs/job.h"
#include "daemon/core/nat/hardnat.h"
#include "daemon/core/node/config.h"
#include "daemon/core/node/node.h"
#include "daemon/core/node/streamkinds.h"
#include "daemon/core/node/transmit.h"
#include "daemon/core/packets/counts.h"
#include "daemon/core/packets/fastpath.h"
#include "daemon/core/relay/relayway.h"
#include "proto/ip/inband.h"
#include "proto/local/dns.h"

struct pv_engine; /* opaque */
struct pv_part;

/* Every part of the daemon, in the order in which facts are delivered and timeouts handled. For
 * the test that names a command or a type that no part takes, or that two take. */
const struct pv_part *const *pv_engine_parts(size_t *ret_n);
/* The node that all parts see, for tests to look at; borrowed from e. */
const struct pv_node *pv_engine_node(const struct pv_engine *e);

/* PV_ERR_NOMEM; PV_ERR_MALFORMED when what was stored does not verify (log says what). */
PV_MUST_CHECK int pv_engine_new(struct pv_engine **ret_engine, const struct pv_engine_config *cfg,
                                pv_ns now);
struct pv_engine *pv_engine_free(struct pv_engine *e); /* NULL is fine; returns NULL */

/* Wall clock now, Unix microseconds; may jump. */
void pv_engine_set_wall(struct pv_engine *e, uint64_t wall_us, pv_ns now);

/* --- facts in ------------------------------------------------------------------------------ */

/* The packets that the workers hand up: datagrams that are not transport data, in-band packets,
 * wishes. */
void pv_engine_handle_punt(struct pv_engine *e, const struct pv_fp_punt *punt, pv_ns now);

/* Whenever somebody may want to see it. */
void pv_engine_set_datapath(struct pv_engine *e, const struct pv_datapath_counts *datapath);
void pv_engine_set_process(struct pv_engine *e, const struct pv_metrics_process *process);
/* All numbers as text for Prometheus (metrics.h), with a NUL: free() it. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_engine_metrics(struct pv_engine *e, pv_ns now, char **ret_text,
                                    size_t *ret_len);

/* The answer to an order RELOAD: what came of it. */
void pv_engine_reloaded(struct pv_engine *e, const struct pv_engine_reloaded *done);

/* A sentence about what another program did to the interface that keeps it from working; "" =
 * nothing. */
void pv_engine_set_iface_problem(struct pv_engine *e, const char *problem);
/* Whether the interface that came up has its IPv6 addresses, which this host may forbid. */
void pv_engine_set_iface_ip6(struct pv_engine *e, bool has, pv_ns now);

/* lwIP's process, and how often it was started again. */
void pv_engine_set_stack(struct pv_engine *e, unsigned pid, unsigned restarts);

/* The whole picture, after it changed. */
void pv_engine_handle_links(struct pv_engine *e, const struct pv_links *links, pv_ns now);
/* The host's state beside our interface, and the part of the last plan that is not in force. */
void pv_engine_handle_hostnet(struct pv_engine *e, const struct pv_netplan_host *host, pv_ns now);
/* The routers of the default routes, one a family at most, before handle_links() tells what else
 * changed; each time the links are told. */
void pv_engine_handle_routers(struct pv_engine *e,
                              const struct pv_engine_router routers[static PV_NODE_ROUTERS],
                              pv_ns now);
/* A datagram from a router's PCP port to the socket that asks routers, or to everybody on the
 * link. */
void pv_engine_handle_router_datagram(struct pv_engine *e, const struct pv_addr *src,
                                      struct pv_view datagram, pv_ns now);
/* A datagram to the beacons' group and port, by the interface ifindex, with that TTL or hop limit.
 */
void pv_engine_handle_beacon(struct pv_engine *e, const struct pv_addr *src, uint32_t ifindex,
                             uint8_t hops, struct pv_view datagram, pv_ns now);
/* The machine was suspended (BOOTTIME - MONOTONIC grew). */
void pv_engine_handle_resume(struct pv_engine *e, pv_ns now);
/* Takes what the result owns. */
void pv_engine_handle_job(struct pv_engine *e, struct pv_job_result *result, pv_ns now);
void pv_engine_handle_timeout(struct pv_engine *e, pv_ns now);
pv_ns pv_engine_next_timeout(const struct pv_engine *e);
/* The keys were forgotten (leave --forget): drain the output once, free the engine and make a new
 * one with new keys. */
bool pv_engine_wants_restart(const struct pv_engine *e);
/* SIGTERM: an ephemeral member leaves, and tells others. False: this node is none, or can tell
 * nobody. True: it takes 3 s at most, and then until the disk has forgotten the network: then
 * pv_engine_has_left(). */
PV_MUST_CHECK bool pv_engine_leave(struct pv_engine *e, pv_ns now);
bool pv_engine_has_left(const struct pv_engine *e);
/* The events, for the engine that comes next (pv_engine_config.events). */
void pv_engine_take_events(struct pv_engine *e, struct pv_events *ret_events);
/* The end: tell peers and the coordinator; drain the output once, then free. */
void pv_engine_shutdown(struct pv_engine *e, pv_ns now);

/* --- streams ------------------------------------------------------------------------------- */

/* PV_ERR_LIMIT, PV_ERR_REFUSED: close it. */
PV_MUST_CHECK int pv_engine_stream_accepted(struct pv_engine *e, enum pv_stream_kind kind,
                                            const struct pv_stream_peer *who, pv_ns now,
                                            uint32_t *ret_sid);
/* One that goes through an HTTP proxy: the proxy has the request, or has answered. */
void pv_engine_stream_proxied(struct pv_engine *e, uint32_t sid,
                              const struct pv_connect_answer *answer, pv_ns now);
void pv_engine_stream_connected(struct pv_engine *e, uint32_t sid, pv_ns now);
void pv_engine_stream_bytes(struct pv_engine *e, uint32_t sid, struct pv_view bytes, pv_ns now);
/* The stream is gone: status PV_ERR_CLOSED, or why (-errno, PV_ERR_TIMEOUT). */
void pv_engine_stream_closed(struct pv_engine *e, uint32_t sid, int status, pv_ns now);

/* The bytes to write next (empty: nothing); valid until the next call into the engine. */
struct pv_view pv_engine_stream_out(struct pv_engine *e, uint32_t sid);
void pv_engine_stream_wrote(struct pv_engine *e, uint32_t sid, size_t n, pv_ns now);
/* The stream shall not be read for now; an order LOOK names it when that changes. */
bool pv_engine_stream_is_full(struct pv_engine *e, uint32_t sid);

/* --- names ------------------------------------------------------------------------------------ */

/* A datagram that came from src to port 53 of the overlay address ([dns] listen); *ret_reply is
 * what to do. */
void pv_engine_dns(struct pv_engine *e, const struct pv_addr *src, struct pv_view packet,
                   struct pv_dns_reply *ret_reply, pv_ns now);

/* --- orders of parts ------------------------------------------------------------------------ */

/* Hands a report of the shell's to the part that it is for (part.h on_report()). */
void pv_engine_report(struct pv_engine *e, const struct pv_part *part, const void *report,
                      pv_ns now);

/* --- sockets beside the main ones ------------------------------------------------------------- */

/* The answer to an order SOCK that opens one: its port; 0 = it could not be opened. */
void pv_engine_sock_opened(struct pv_engine *e, uint16_t sock, uint16_t port, pv_ns now);
/* ICMP came back about a datagram of that socket, which is not adopted: its TTL was used up, or it
 * got there and nobody listened. quoted: the beginning of the datagram. */
void pv_engine_sock_bounced(struct pv_engine *e, uint16_t sock, struct pv_view quoted,
                            bool expired);

/* A stream to a relay is connected. */
void pv_engine_relay_connected(struct pv_engine *e, uint16_t stream, pv_ns now);
/* It could not be opened, or is no longer. */
void pv_engine_relay_closed(struct pv_engine *e, uint16_t stream, const char *why, pv_ns now);

/* --- orders to the shell --------------------------------------------------------------------- */

/*
 * The kinds of orders, in the order in which the engine gives them: all that wait of one kind, then
 * those of the next, and round again. A socket carries before a snapshot names it; a snapshot is
 * published before datagrams leave, since the answer to a handshake makes the peer use keys that
 * must be in place, as injected packets need them; and a descriptor is passed with what is written
 * to its stream next.
 */
enum pv_order_type {
    /* A client wants the settings to be read again: pv_engine_reloaded() says what came of it,
     * before the shell ends this engine for new settings. Not given after a shutdown. */
    PV_ORDER_RELOAD,
    /* UDP sockets beside the main ones, by id: any port, IPv4. A datagram that comes in on one is
     * handed to pv_engine_handle_punt() until the socket is adopted; then it is received and sent
     * on like the main sockets, its id in every carrier. CLOSE is for both. */
    PV_ORDER_SOCK,
    /* Streams to relays (relayway.h), beside those of streams.h: their messages are not the
     * engine's to cut. The rx worker gets the messages that come in on one, one by one, from
     * carrier STREAM. */
    PV_ORDER_RELAY,
    /* A new snapshot for the workers, to be published. When several came up only the newest is
     * given. */
    PV_ORDER_SNAPSHOT,
    PV_ORDER_DATAGRAM,
    PV_ORDER_INJECT,
    PV_ORDER_PART, /* of one part (part.h poll_order()) */
    PV_ORDER_STREAM,
    /* A stream has output, is full, or is full no more: each once until there is other news. */
    PV_ORDER_LOOK,
    PV_ORDER_JOB, /* pv_engine_handle_job() takes its result */
    PV_ORDER_TYPES,
};

struct pv_engine_order {
    enum pv_order_type type;
    union {
        struct pv_hardnat_op sock;
        struct pv_relaystream_op relay;
        struct pv_fp_snapshot *snapshot; /* the taker's */
        struct pv_engine_transmit datagram;
        struct pv_engine_inject inject;
        struct {
            const struct pv_part *of;
            const void *is; /* until the next call into the engine */
        } part;
        struct pv_stream_op stream;
        uint32_t look;      /* the stream's sid */
        struct pv_job *job; /* the taker's */
    } u;
};

/* The next order. PV_ERR_AGAIN: there is none until the engine is told something. */
PV_MUST_CHECK int pv_engine_poll(struct pv_engine *e, struct pv_engine_order *ret_order);
