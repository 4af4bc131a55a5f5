/* SPDX-License-Identifier: MIT */
/* chat_part.c - connects chatlink with peers, streams, the store and control clients. */
#include "chat/core/talk/chat_part.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "chat/core/talk/chatlink_int.h"
#include "chat/core/talk/tell.h"
#include "proto/local/ctlapi_pack.h"

bool pv_chat_may(const void *chat, const uint8_t *pk)
{
    return pv_chat_admits(chat, pk, PV_OVERLAY_CHAT, false);
}

static bool admits(const void *chat, const uint8_t *pk, bool to)
{
    return pv_chat_admits(chat, pk, PV_OVERLAY_CHAT, to);
}

static enum pv_overlay_link pair_key(const void *chat, const uint8_t *pk, uint8_t *ret_key)
{
    const struct pv_chat *n = chat;
    return n->overlay->link(n->overlay->node, pk, ret_key);
}

static void tell(void *owner, const struct pv_chatlink_event *ev, pv_ns now);

/* rooms, copies and messages reach the machine by n->link: one connection carries the lines of all
 * of them to a peer. */
static int start(void *part, const struct pv_chatpart_config *cfg, pv_ns now)
{
    struct pv_chat *n = part;
    struct pv_chatlink_config lc = {.rng = n->rng,
                                    .log = n->log,
                                    .store = &n->store,
                                    .streams = &n->streams,
                                    .keys = pair_key,
                                    .plain_off = n->given.plain_off,
                                    .admits = admits,
                                    .lines = &n->lines,
                                    .tell = tell,
                                    .owner = n};
    memcpy(lc.own_pk, pv_chat_own(n)->key, sizeof(lc.own_pk));
    return pv_chatlink_new(&n->link, &lc, now);
}

static void free_chat(void *part)
{
    struct pv_chat *n = part;
    n->link = pv_chatlink_free(n->link);
}

/* --- who is there ---------------------------------------------------------------------------- */

/* Connections are made on the overlay: without the interface nobody can be reached. */
static void look_at(struct pv_chat *n, const struct pv_overlay_member *m, pv_ns now)
{
    if (!pv_chat_can_connect(n, m)) {
        pv_chatlink_peer_offline(n->link, m->key, now);
        return;
    }
    int r = pv_chatlink_peer_online(n->link, m->key, m->name, &m->ip4, now);
    if (r != PV_OK)
        pv_log(n->log, PV_LOG_WARN, "peer=%s what=\"chat not told\" why=\"%s\"", m->name,
               pv_strstatus(r));
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct pv_chat *n = part;
    struct pv_overlay_member m;
    if ((facts & PV_OVERLAY_RULES) != 0)
        pv_chatlink_rules_changed(n->link, now);
    if ((facts & PV_CHAT_FACT_LOST) != 0)
        pv_chatlink_interface_gone(n->link);
    if ((facts & PV_OVERLAY_OVERLAY) == 0)
        return;
    if (!pv_chat_own(n)->on_overlay)
        pv_chatlink_interface_gone(n->link);
    for (bool is = pv_chat_next_node(n, NULL, &m); is; is = pv_chat_next_node(n, &m, &m))
        look_at(n, &m, now);
}

static void on_member(void *part, const struct pv_overlay_member *m, unsigned news, pv_ns now)
{
    struct pv_chat *n = part;
    if (m->kind != PV_OVERLAY_MEMBER)
        return;
    /* When the coordinator is lost its word on everybody is void; that says of nobody that it is
     * away, and connections are tried as before. */
    if (m->presence == PV_OVERLAY_UNKNOWN)
        news &= ~(unsigned)PV_OVERLAY_NEWS_PRESENCE;
    if ((news & (PV_OVERLAY_NEWS_PATH | PV_OVERLAY_NEWS_PRESENCE | PV_OVERLAY_NEWS_MEMBER)) != 0)
        look_at(n, m, now);
    if ((news & PV_OVERLAY_NEWS_LINK) != 0)
        pv_chatlink_peer_keyed(n->link, m->key, now);
    if ((news & PV_OVERLAY_NEWS_PRESENCE) != 0)
        pv_chat_tell(n, &(struct pv_event){.chat = "presence"},
                     pv_ctlapi_pack("{s:s, s:b}", "peer", m->name, "online",
                                    m->presence == PV_OVERLAY_ONLINE),
                     now);
}

static void on_gone(void *part, const uint8_t *key, pv_ns now)
{
    struct pv_chat *n = part;
    pv_chatlink_peer_gone(n->link, key, now);
}

static void handle_timeout(void *part, pv_ns now)
{
    struct pv_chat *n = part;
    pv_chatlink_handle_timeout(n->link, now);
}

static pv_ns next_timeout(const void *part)
{
    const struct pv_chat *n = part;
    return pv_chatlink_next_timeout(n->link);
}

/* --- streams --------------------------------------------------------------------------------- */

/* Whose address it is: identity is what cryptokey routing proved (DESIGN 8). */
int pv_chat_part_accepted(struct pv_chat *n, const struct pv_addr *remote, uint32_t *ret_sid,
                          pv_ns now)
{
    const struct pv_overlay_query query = {.how = PV_OVERLAY_BY_ADDR, .addr = remote};
    struct pv_chatlink_source source = {.who = PV_CHATLINK_STRANGER};
    struct pv_overlay_member m;
    if (n->overlay->find(n->overlay->node, &query, &m)) {
        source.who = m.kind == PV_OVERLAY_STATIC ? PV_CHATLINK_STATIC
                     : m.is_self                 ? PV_CHATLINK_SELF
                                                 : PV_CHATLINK_MEMBER;
        memcpy(source.pk, m.key, sizeof(source.pk));
        memcpy(source.name, m.name, sizeof(source.name));
    }
    return pv_chatlink_accepted(n->link, &source, now, ret_sid);
}

/* --- events ----------------------------------------------------------------------------------- */

static void tell(void *owner, const struct pv_chatlink_event *ev, pv_ns now)
{
    struct pv_chat *n = owner;
    switch (ev->type) {
    case PV_CHATLINK_MESSAGE:
        pv_tell_message(n, &ev->msg, now);
        break;
    case PV_CHATLINK_STATE:
        pv_tell_state(n, &ev->msg, now);
        break;
    case PV_CHATLINK_NO_KEY:
        pv_chat_want(n, ev->msg.peer, "a message waits", now);
        break;
    case PV_CHATLINK_UP:
    case PV_CHATLINK_DOWN:
    case PV_CHATLINK_LINE:
        break; /* rooms read them */
    }
}

void pv_chat_part_show_off(const char *off, const struct pv_chat_page *st)
{
    st->problem(st->page, "the network works, messages and rooms do not: ", off);
}

/* A peer that has filled its room is named: the user can read or delete. */
static void show(void *part, const struct pv_chat_page *st, pv_ns now)
{
    const struct pv_chat *chat = part;
    const struct pv_chatlink_counts counts = pv_chatlink_counts(chat->link);
    st->drop(st->page, "chat-frame", counts.bad_frames);
    st->drop(st->page, "chat-flood", counts.floods);
    st->drop(st->page, "chat-unproven", counts.unproven);
    const char *name;
    size_t n = pv_chatlink_holding(chat->link, &name);
    if (n == 0)
        return;
    st->minor_todo(st->page,
                   PV_STR("no more messages are taken for now, for what is unread or stored here, "
                          "from %s%s: ",
                          name, n > 1 ? " and others" : ""),
                   PV_DO(read_or_clear, name));
}

const struct pv_chatpart pv_chatpart_chat = {
    .name = "chat",
    .start = start,
    .free = free_chat,
    .on_facts = on_facts,
    .on_member = on_member,
    .on_gone = on_gone,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .status = show,
};
