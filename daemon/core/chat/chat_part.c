/* SPDX-License-Identifier: MIT */
/* chat_part.c - connects chatlink with peers, streams, the store and control clients. */
#include "daemon/core/chat/chat_part.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "daemon/core/chat/chatlink_int.h"
#include "daemon/core/chat/copies.h"
#include "daemon/core/chat/hooks.h"
#include "daemon/core/chat/tell.h"
#include "daemon/core/member/rules.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/peer/peers.h"
#include "proto/local/ctlapi_pack.h"

bool pv_chat_may(const void *node, const uint8_t *pk)
{
    return pv_rules_serve(node, pk, PV_SERVICE_CHAT, false).allow;
}

static bool admits(const void *node, const uint8_t *pk, bool to)
{
    return pv_rules_serve(node, pk, PV_SERVICE_CHAT, to).allow;
}

static void tell(void *owner, const struct pv_chatlink_event *ev, pv_ns now);

static struct pv_addr own_addr(const void *node, uint16_t family)
{
    const struct pv_member *self = pv_node_self(node);
    return self == NULL ? (struct pv_addr){0} : family == PV_AF_INET6 ? self->ip6 : self->ip4;
}

/* rooms, copies and messages reach the machine by node->chat.link: one connection carries the lines
 * of all of them to a peer. */
static int make(struct pv_node *node, const struct pv_engine_config *cfg, pv_ns now,
                void **ret_part)
{
    struct pv_chatlink_config lc = {.rng = node->rng,
                                    .log = node->log,
                                    .jobs = &node->jobs,
                                    .streams = &node->streams,
                                    .own_addr = own_addr,
                                    .keys = node->linkkeys,
                                    .plain_off = cfg->chat.plain_off,
                                    .admits = admits,
                                    .lines = &node->chat.lines,
                                    .tell = tell,
                                    .owner = node};
    memcpy(lc.own_pk, node->identity->sign_pk, sizeof(lc.own_pk));
    int r = pv_chatlink_new(&node->chat.link, &lc, now);
    *ret_part = node->chat.link;
    if (r == PV_OK)
        node->chat.hooks = &pv_chat_hooks;
    return r;
}

static void free_chat(void *part)
{
    struct pv_chatlink *link = part;
    struct pv_node *node = link->cfg.owner;
    node->chat.hooks = NULL;
    node->chat.link = pv_chatlink_free(link);
}

/* --- who is there ---------------------------------------------------------------------------- */

/* Connections are made on the overlay: without the interface nobody can be reached. */
static void look_at(struct pv_chatlink *c, const struct pv_peer *p, pv_ns now)
{
    const struct pv_node *n = c->cfg.owner;
    if (!pv_node_is_on_overlay(n) || pv_peer_reach(p) == PV_REACH_NO) {
        pv_chatlink_peer_offline(c, pv_peer_pk(p), now);
        return;
    }
    int r = pv_chatlink_peer_online(c, pv_peer_pk(p), pv_peer_name(p), pv_peer_ip4(p), now);
    if (r != PV_OK)
        pv_log(n->log, PV_LOG_WARN, "peer=%s what=\"chat not told\" why=\"%s\"", pv_peer_name(p),
               pv_strstatus(r));
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct pv_chatlink *c = part;
    const struct pv_node *n = c->cfg.owner;
    if ((facts & PV_FACT_RULES) != 0)
        pv_chatlink_rules_changed(c, now);
    if ((facts & (PV_FACT_INTERFACE | PV_FACT_TEARDOWN | PV_FACT_UP)) == 0)
        return;
    if (!pv_node_is_on_overlay(n))
        pv_chatlink_interface_gone(c);
    for (struct pv_peer *p = NULL; (p = pv_peers_next_node(n->peers, p)) != NULL;)
        look_at(c, p, now);
}

static void on_peer(void *part, struct pv_peer *p, unsigned facts, pv_ns now)
{
    struct pv_chatlink *c = part;
    struct pv_node *n = c->cfg.owner;
    if (!pv_peer_is_node(p))
        return;
    /* When the coordinator is lost its word on everybody is void; that says of nobody that it is
     * away, and connections are tried as before. */
    if (pv_peer_presence(p) == PV_PRESENCE_UNKNOWN)
        facts &= ~(unsigned)PV_PEER_FACT_PRESENCE;
    if ((facts & (PV_PEER_FACT_PATH | PV_PEER_FACT_PRESENCE | PV_PEER_FACT_MEMBER)) != 0)
        look_at(c, p, now);
    if ((facts & PV_PEER_FACT_LINK) != 0)
        pv_chatlink_peer_keyed(c, pv_peer_pk(p), now);
    if ((facts & PV_PEER_FACT_PRESENCE) != 0)
        pv_node_tell(n, &(struct pv_event){.chat = "presence"},
                     pv_ctlapi_pack("{s:s, s:b}", "peer", pv_peer_name(p), "online",
                                    pv_peer_presence(p) == PV_PRESENCE_ONLINE));
}

/* --- streams --------------------------------------------------------------------------------- */

/* Whose address it is: identity is what cryptokey routing proved (DESIGN 8). */
static struct pv_chatlink_source source_of(const struct pv_node *n, const struct pv_addr *remote)
{
    struct pv_chatlink_source s = {.who = PV_CHATLINK_STRANGER};
    struct pv_addr ip = *remote;
    ip.port = 0;
    const struct pv_member *m = n->roster == NULL ? NULL : pv_roster_by_ip(n->roster, &ip);
    if (m != NULL) {
        bool self = memcmp(m->node, n->identity->sign_pk, sizeof(m->node)) == 0;
        s.who = self ? PV_CHATLINK_SELF : PV_CHATLINK_MEMBER;
        memcpy(s.pk, m->node, sizeof(s.pk));
        memcpy(s.name, m->name, sizeof(s.name));
        return s;
    }
    size_t n_routes;
    const struct pv_prefix *routes = pv_peers_static_routes(n->peers, &n_routes);
    for (size_t i = 0; i < n_routes; i++) {
        if (pv_prefix_contains(&routes[i], &ip))
            s.who = PV_CHATLINK_STATIC;
    }
    return s;
}

static int accepted(void *part, const struct pv_stream_peer *who, uint32_t *ret_sid, pv_ns now)
{
    struct pv_chatlink *c = part;
    struct pv_chatlink_source source = source_of(c->cfg.owner, &who->remote);
    return pv_chatlink_accepted(c, &source, now, ret_sid);
}

static void take_bytes(void *part, uint32_t sid, struct pv_view bytes, pv_ns now)
{
    struct pv_chatlink *c = part;
    pv_chatlink_handle_bytes(c, sid, bytes, pv_node_wall_ms(c->cfg.owner, now), now);
}

static void closed(void *part, uint32_t sid, int status, pv_ns now)
{
    struct pv_chatlink *c = part;
    pv_chatlink_closed(c, sid, now);
}

/* --- what chatlink says ---------------------------------------------------------------------- */

static void answer_failed(struct pv_node *n, const struct pv_chatlink_event *ev)
{
    if (pv_tell_off(n, "send", ev->tag))
        return;
    if (ev->status == PV_ERR_EXISTS)
        pv_tell_taken(n, ev->tag);
    else if (ev->status == PV_ERR_LIMIT)
        pv_ctlsrv_failf(n->ctl, ev->tag, PV_CTLAPI_FAILED,
                        "send: too many messages wait for this peer (%s): wait until it is back",
                        pv_strstatus(ev->status));
    else
        pv_ctlsrv_failf(n->ctl, ev->tag, PV_CTLAPI_FAILED,
                        "send: the message could not be stored: %s: %s", pv_strstatus(ev->status),
                        ev->status == -ENOSPC || ev->status == -EDQUOT
                            ? "free some space"
                            : "is the disk in order? p2pvpnd's log says more");
}

/* --- events ----------------------------------------------------------------------------------- */

static void tell(void *owner, const struct pv_chatlink_event *ev, pv_ns now)
{
    struct pv_node *n = owner;
    struct pv_peer *p;
    switch (ev->type) {
    case PV_CHATLINK_MESSAGE:
        pv_tell_message(n, &ev->msg, now);
        break;
    case PV_CHATLINK_STATE:
        pv_tell_state(n, &ev->msg);
        break;
    case PV_CHATLINK_SENT:
        p = pv_peers_by_pk(n->peers, ev->msg.peer);
        pv_tell_sent(n, ev->tag, &ev->msg, n->up && p != NULL && pv_peer_reach(p) != PV_REACH_NO,
                     NULL, now);
        break;
    case PV_CHATLINK_SEND_FAILED:
        answer_failed(n, ev);
        break;
    case PV_CHATLINK_NO_KEY:
        p = pv_peers_by_pk(n->peers, ev->msg.peer);
        if (p == NULL)
            break;
        pv_peer_want(p, "a message waits", now);
        pv_peers_touch(n->peers, p, now);
        break;
    case PV_CHATLINK_QUEUED:
        pv_copies_queued(n, ev->msg.peer);
        break;
    case PV_CHATLINK_COPY:
        pv_copies_committed(n, ev->tag, ev->status, now);
        break;
    case PV_CHATLINK_UP:
    case PV_CHATLINK_DOWN:
    case PV_CHATLINK_LINE:
        break; /* rooms read them */
    }
}

static const struct pv_stream_handler streams[] = {{
    .kind = PV_STREAM_CHAT,
    .accepted = accepted,
    .connected = pv_chatlink_connected,
    .bytes = take_bytes,
    .closed = closed,
    .out = pv_chatlink_out,
    .wrote = pv_chatlink_wrote,
    .is_full = pv_chatlink_is_full,
}};

/* A peer that has filled its room is named: the user can read or delete. */
static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct pv_chatlink *c = part;
    const struct pv_chatlink_counts counts = pv_chatlink_counts(c);
    const struct pv_node *node = c->cfg.owner;
    if (node->chat.off[0] != '\0')
        pv_statuspage_problem(st, "the network works, messages and rooms do not: ", node->chat.off);
    pv_statuspage_drop(st, "chat-frame", counts.bad_frames);
    pv_statuspage_drop(st, "chat-flood", counts.floods);
    pv_statuspage_drop(st, "chat-unproven", counts.unproven);
    const char *name;
    size_t n = pv_chatlink_holding(c, &name);
    if (n == 0)
        return;
    pv_statuspage_minor_todo(
        st,
        PV_STR("no more messages are taken for now, for what is unread or stored here, "
               "from %s%s: ",
               name, n > 1 ? " and others" : ""),
        PV_DO(read_or_clear, name));
}

const struct pv_part pv_part_chat = {
    .name = "chat",
    /* what rooms and copies had chatlink store by then leaves in the same turn */
    .after = {"linkkeys", "rooms", "copies"},
    .make = make,
    .free = free_chat,
    .on_facts = on_facts,
    .on_peer = on_peer,
    .on_member_gone = pv_chatlink_peer_gone,
    .handle_timeout = pv_chatlink_handle_timeout,
    .next_timeout = pv_chatlink_next_timeout,
    .streams = streams,
    .n_streams = PV_ARRAY_LEN(streams),
    .status = show,
};
