/* SPDX-License-Identifier: MIT */
/*
 * part.h - one part of the daemon: a machine with a life of its own, and what the engine calls it
 * for.
 *
 * The engine is a loop over one array of parts (engine.c). A part includes the headers of lower
 * folders and of machines in its own (cmake/folders.txt), never a higher one's. An event below
 * reaches it as a fact; what it wants of others is a question to the node (node.h), a call down, a
 * job, or a request to the coordinator whose answer comes back to it. A function that is NULL: the
 * part is not interested. `part` is always what make() returned.
 */
#pragma once

#include <stddef.h>

#include "base/metrics.h"
#include "base/pv.h"
#include "daemon/core/jobs/job.h"
#include "daemon/core/node/config.h"
#include "daemon/core/node/facts.h"
#include "daemon/core/node/streamkinds.h"
#include "daemon/core/node/transmit.h"
#include "daemon/core/packets/fastpath.h"
#include "proto/control/ctlmsg.h"
#include "proto/ip/inband.h"
#include "proto/local/connect.h"
#include "proto/local/ctlcmd.h"

struct pv_ctlapi_request;
struct pv_node;
struct pv_peer;
struct pv_statuspage;

/* One type of in-band message and who takes it. body is valid during the call. */
struct pv_inband_handler {
    enum pv_inband_type type;
    void (*take)(void *part, struct pv_peer *from, struct pv_view body, pv_ns now);
};

/* A command runs only where that is there; where it is not, the part `commands` answers the
 * client. */
enum pv_command_needs {
    PV_NEEDS_NOTHING, /* the command looks for itself */
    PV_NEEDS_ROSTER,  /* this node knows a network, be it a member no more */
    PV_NEEDS_NETWORK, /* this node is in a network */
    PV_NEEDS_PEER,    /* req->peer names a member or a static peer */
    PV_NEEDS_MEMBER,  /* req->peer names a member other than this node */
    PV_NEEDS_NODE,    /* and one that has a p2pvpnd: no phone */
};

/* One command of the control socket (docs/PROTOCOL-LOCAL.md "Control socket"). The part answers
 * handle by node.ctl, at once or later; peer is NULL unless the command needs one. */
struct pv_command_handler {
    enum pv_ctlapi_cmd cmd;
    enum pv_command_needs needs;
    void (*run)(void *part, struct pv_ctlapi_request *req, struct pv_peer *peer, uint64_t handle,
                pv_ns now);
};

/* The part's streams of one kind, of which it says to node.streams what the shell shall do. sid is
 * the machine's own id (streams.h pv_sid_local()). */
struct pv_stream_handler {
    enum pv_stream_kind kind;
    /* The machine of the part that has them, which all but accepted() are given; NULL: there is
     * none now. Without this they are given the part. */
    void *(*machine)(void *part);
    /* PV_ERR_LIMIT, PV_ERR_REFUSED: the shell closes it. NULL: none of this kind is accepted. */
    int (*accepted)(void *part, const struct pv_stream_peer *who, uint32_t *ret_sid, pv_ns now);
    /* Of one that goes through an HTTP proxy: it has the request (ASKED), or has answered. closed()
     * follows an answer that opens no way. NULL: none of this kind does. */
    void (*proxied)(void *machine, uint32_t sid, const struct pv_connect_answer *answer, pv_ns now);
    void (*connected)(void *machine, uint32_t sid, pv_ns now);
    void (*bytes)(void *machine, uint32_t sid, struct pv_view bytes, pv_ns now);
    void (*closed)(void *machine, uint32_t sid, int status, pv_ns now);
    struct pv_view (*out)(void *machine, uint32_t sid);
    void (*wrote)(void *machine, uint32_t sid, size_t n, pv_ns now);
    /* The part takes no more bytes of it for now; it wakes the stream when that changes. NULL:
     * never.
     */
    bool (*is_full)(void *machine, uint32_t sid);
};

enum {
    PV_PART_AFTER = 4,
};

/* Of the struct of a part, whose first member is `struct pv_node *node`. */
#define PV_PART_SIZE(type) (sizeof(type) + 0 * sizeof(char[offsetof(type, node) == 0 ? 1 : -1]))

/* Where a deadline, a pv_ns, stands in it. */
#define PV_PART_DUE(type, member) \
    (offsetof(type, member) + 0 * sizeof(char[_Generic(((type *)0)->member, pv_ns : 1)]))

struct pv_part {
    const char *name; /* in traces and tests */
    /* Names of parts that come before this one in the engine's array, since it uses what they have
     * done by then: in make() or restore(), in run(), or of STUN that is offered to one after the
     * other. */
    const char *after[PV_PART_AFTER];

    /* Bytes that a peer keeps for this part, from when the part first asks for them
     * (pv_peer_slot()), and what ends them: with the peer, or by the part, which drops all of them
     * before it is freed (pv_peers_drop_slots()). NULL: they are just freed. */
    size_t peer_size;
    void (*end_peer)(void *slot);

    /* Bytes of the part's own struct (PV_PART_SIZE()), which all its functions are given: zeroed,
     * but that it begins with its node. 0: it keeps nothing, and they are given the node. */
    size_t size;
    /* Borrows cfg during the call. PV_ERR_NOMEM, or why it cannot be: then free() ends what is
     * there. NULL: zeroes will do. */
    int (*start)(void *part, const struct pv_engine_config *cfg, pv_ns now);
    /* In place of both, for a machine that others make, too; free() frees all of it. */
    int (*make)(struct pv_node *node, const struct pv_engine_config *cfg, pv_ns now,
                void **ret_part);
    /* Frees what the part owns; NULL: nothing. */
    void (*free)(void *part);
    /* All parts are there: takes what the store held (cfg->saved). */
    int (*restore)(void *part, const struct pv_engine_config *cfg, pv_ns now);

    /* The changes: a set of enum pv_fact, and a set of enum pv_peer_fact about p. */
    void (*on_facts)(void *part, unsigned facts, pv_ns now);
    void (*on_peer)(void *part, struct pv_peer *p, unsigned facts, pv_ns now);
    /* p is about to be freed. Called at once, not queued. */
    void (*on_peer_gone)(void *part, struct pv_peer *p, pv_ns now);
    /* A member left or was removed for good; called at once, before on_peer_gone(). */
    void (*on_member_gone)(void *part, const uint8_t *pk, pv_ns now);
    /* The daemon ends: what others must be told leaves now. */
    void (*on_stop)(void *part, pv_ns now);
    /* After every call into the engine, once facts are delivered: acts on what the part's machines
     * have to say. Cheap when there is nothing. */
    void (*run)(void *part, pv_ns now);

    void (*handle_timeout)(void *part, pv_ns now);
    pv_ns (*next_timeout)(const void *part); /* PV_NEVER: no need */
    /* In place of both, for a part whose struct has its one deadline: where it stands
     * (PV_PART_DUE()), and what is done when it has come, which sets another one or PV_NEVER. NULL:
     * run() does it. */
    size_t due;
    void (*on_due)(void *part, pv_ns now);

    /* A STUN message on one of our sockets. True: it was this part's; no other sees it. */
    bool (*handle_stun)(void *part, const struct pv_carrier *from, struct pv_view data, pv_ns now);
    /* The next datagram to send; false: none. */
    bool (*poll_transmit)(void *part, struct pv_engine_transmit *ret_tx);

    /* Orders that only this part and its function in the shell understand, and what that function
     * reports; the part's header names both types. *ret_order is valid until the next call into the
     * engine. Returns false if no order waits. */
    bool (*poll_order)(void *part, const void **ret_order);
    void (*on_report)(void *part, const void *report, pv_ns now);

    /* UDP sockets beside the main ones, each part with ids of its own (nat/hardnat.h), which it
     * asks node.ways.sock_ops for: the answer to an OPEN, and ICMP about a datagram of one. Every
     * part hears of all of them; port 0: it could not be opened. */
    void (*sock_opened)(void *part, uint16_t sock, uint16_t port, pv_ns now);
    void (*sock_bounced)(void *part, uint16_t sock, struct pv_view quoted, bool expired);

    /* The coordinator's answer to a request that this part made with that tag. */
    void (*on_answer)(void *part, uint64_t tag, const struct pv_ctl_msg *msg, pv_ns now);
    /* A message that the coordinator sends of its own accord; every part is asked. */
    void (*on_push)(void *part, const struct pv_ctl_msg *msg, pv_ns now);
    /* The client that waits for handle is gone: an answer would lead nowhere, and what is done for
     * it alone may end. */
    void (*on_cancel)(void *part, uint64_t handle, pv_ns now);

    const struct pv_inband_handler *inband;
    size_t n_inband;
    const struct pv_command_handler *commands;
    size_t n_commands;
    const struct pv_stream_handler *streams;
    size_t n_streams;

    /* The part's share of `status` (statuspage.h) and of `metrics`. */
    void (*status)(void *part, struct pv_statuspage *status, pv_ns now);
    void (*metrics)(void *part, struct pv_metrics *m, pv_ns now);
};

/* Makes a part of the node, and frees it. Errors: those of start() and make(), PV_ERR_NOMEM; then
 * nothing is left. */
PV_MUST_CHECK int pv_part_make(const struct pv_part *part, struct pv_node *node,
                               const struct pv_engine_config *cfg, pv_ns now, void **ret_self);
void pv_part_free(const struct pv_part *part, void *self);
/* The engine asks each part for its next deadline, and has it do what is due by now. */
pv_ns pv_part_next_timeout(const struct pv_part *part, const void *self);
void pv_part_handle_timeout(const struct pv_part *part, void *self, pv_ns now);
