/* SPDX-License-Identifier: MIT */
/* The link of the two halves. Functions of one end touch its half of the struct and the rings,
 * whose ends are made for two threads (base/ring.h). */
#include "coordinator/core/turn/relaylink.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/ring.h"

/* A record of the ring of news: one of these, then data. Commands are whole struct pv_relaycmd. */
struct news_head {
    uint64_t stream;
    enum pv_turns_holder holder;
    bool broken;
};

struct pv_relaylink {
    struct pv_ring *commands, *news;
    size_t ring; /* bytes of each */

    /* The control end's. */
    _Alignas(64) struct pv_turnauth auth;
    bool has_relay;
    struct pv_relaystats *stats;
    uint32_t serial;
    bool wake_relay;
    _Atomic bool lost; /* something that must not be: the relay has to forget everything */
    _Atomic(struct pv_turns_policy *)
        policy; /* owned, beside the ring: no message can crowd it out */

    /* The relay's. */
    _Alignas(64) bool wake_control;
    bool forgetting;                  /* the command is of our own making: to forget */
    struct pv_turns_policy *policing; /* owned: of the last command; NULL: it was another */
};

int pv_relaylink_new(struct pv_relaylink **ret_link, const struct pv_relaylink_config *cfg)
{
    /* As the halves are aligned to lines of the cache, so that the threads do not slow each other
     * down, so has to be the whole. */
    struct pv_relaylink *l = aligned_alloc(64, sizeof(*l));
    if (l == NULL)
        return PV_ERR_NOMEM;
    memset(l, 0, sizeof(*l));
    atomic_init(&l->policy, NULL);
    l->ring = cfg->bytes == 0 ? (size_t)PV_RELAYLINK_RING : cfg->bytes;
    l->auth = *cfg->auth;
    l->has_relay = cfg->has_relay;
    l->stats = cfg->stats;
    int r = pv_ring_new(&l->commands, l->ring);
    if (r == PV_OK)
        r = pv_ring_new(&l->news, l->ring);
    if (r < 0)
        pv_relaylink_free(l);
    else
        *ret_link = l;
    return r;
}

/* Both threads have ended by now. The copy of the credentials' secret is wiped. */
struct pv_relaylink *pv_relaylink_free(struct pv_relaylink *l)
{
    if (l != NULL) {
        pv_ring_free(l->commands);
        pv_ring_free(l->news);
        free(atomic_load_explicit(&l->policy, memory_order_acquire));
        free(l->policing);
        pv_turnauth_done(&l->auth);
        free(l);
    }
    return NULL;
}

/* --- the control end ------------------------------------------------------------------------- */

/* The relay is woken only when its ring was empty: while it has something to read it looks again by
 * itself. */
static int push_command(struct pv_relaylink *l, const struct pv_relaycmd *cmd, struct pv_view data)
{
    bool was_empty = false;
    int r = pv_ring_push(l->commands, pv_view(cmd, sizeof(*cmd)), data, &was_empty);
    l->wake_relay = l->wake_relay || (r == PV_OK && was_empty);
    return r;
}

/* All bytes are set, padding too: the struct goes into the ring as it is. */
static struct pv_relaycmd about_member(enum pv_relaycmd_kind kind, const uint8_t *net,
                                       const uint8_t *node)
{
    struct pv_relaycmd cmd;
    memset(&cmd, 0, sizeof(cmd));
    cmd.kind = kind;
    if (net != NULL) {
        memcpy(cmd.net, net, sizeof(cmd.net));
        memcpy(cmd.node, node, sizeof(cmd.node));
    }
    return cmd;
}

/* These commands must not get lost, or a removed member would go on relaying. When the ring is
 * full, the relay forgets all members instead: it relays too little for a while, but never for the
 * wrong one. */
static void push_or_mark_lost(struct pv_relaylink *l, const struct pv_relaycmd *cmd)
{
    if (l->has_relay && push_command(l, cmd, pv_view(NULL, 0)) < 0) {
        atomic_store_explicit(&l->lost, true, memory_order_release);
        l->wake_relay = true;
    }
}

/* The credentials are computed here, from the secret that both ends have; the relay only hears
 * which serial counts. The command is in the ring before the node is told, so the relay knows
 * before the node can ask. */
int pv_relaylink_online(struct pv_relaylink *l, const uint8_t *net, const uint8_t *node, pv_ns now,
                        struct pv_turnauth_creds *ret_creds)
{
    struct pv_relaycmd cmd = about_member(PV_RELAYCMD_ONLINE, net, node);
    uint8_t who[PV_TURNAUTH_MEMBER_LEN];
    if (!l->has_relay)
        return PV_ERR_UNSUPPORTED;
    cmd.serial = ++l->serial;
    int r = push_command(l, &cmd, pv_view(NULL, 0));
    if (r < 0)
        return r;
    memcpy(who, cmd.net, sizeof(cmd.net));
    memcpy(who + sizeof(cmd.net), cmd.node, sizeof(cmd.node));
    pv_turnauth_welcome(&l->auth, pv_view(who, sizeof(who)), cmd.serial, now, ret_creds);
    return PV_OK;
}

/* Until it comes again, its requests share the rates of strangers, and nothing worse. */
void pv_relaylink_seen(struct pv_relaylink *l, const struct pv_addr *source)
{
    struct pv_relaycmd cmd = about_member(PV_RELAYCMD_SEEN, NULL, NULL);
    cmd.source = *source;
    if (pv_ring_room(l->commands) > l->ring / 2)
        (void)!push_command(l, &cmd, pv_view(NULL, 0));
}

void pv_relaylink_offline(struct pv_relaylink *l, const uint8_t *net, const uint8_t *node)
{
    struct pv_relaycmd cmd = about_member(PV_RELAYCMD_OFFLINE, net, node);
    push_or_mark_lost(l, &cmd);
}

void pv_relaylink_gone(struct pv_relaylink *l, const uint8_t *net, const uint8_t *node)
{
    struct pv_relaycmd cmd = about_member(PV_RELAYCMD_GONE, net, node);
    push_or_mark_lost(l, &cmd);
}

/* Messages of a stream may be lost as on any network; they leave half of the ring to commands that
 * may not. */
static void push_or_drop(struct pv_relaylink *l, const struct pv_relaycmd *cmd, struct pv_view data)
{
    if (pv_ring_room(l->commands) <= l->ring / 2 || push_command(l, cmd, data) < 0)
        pv_relaylink_dropped(l);
}

void pv_relaylink_dropped(struct pv_relaylink *l)
{
    pv_relaystat_add(l->stats, PV_RELAYSTAT_DROP_STREAM, 1);
}

void pv_relaylink_message(struct pv_relaylink *l, uint64_t stream, const struct pv_addr *source,
                          const struct pv_addr *local, struct pv_view message)
{
    struct pv_relaycmd cmd = about_member(PV_RELAYCMD_MESSAGE, NULL, NULL);
    cmd.stream = stream;
    cmd.source = *source;
    cmd.local = *local;
    push_or_drop(l, &cmd, message);
}

void pv_relaylink_ask(struct pv_relaylink *l, uint64_t stream)
{
    struct pv_relaycmd cmd = about_member(PV_RELAYCMD_ASK, NULL, NULL);
    cmd.stream = stream;
    push_or_drop(l, &cmd, pv_view(NULL, 0));
}

void pv_relaylink_closed(struct pv_relaylink *l, uint64_t stream)
{
    struct pv_relaycmd cmd = about_member(PV_RELAYCMD_CLOSED, NULL, NULL);
    cmd.stream = stream;
    push_or_mark_lost(l, &cmd);
}

/* One that the relay has not seen yet is out of date. */
void pv_relaylink_set_policy(struct pv_relaylink *l, struct pv_turns_policy *policy)
{
    free(atomic_exchange_explicit(&l->policy, policy, memory_order_acq_rel));
    l->wake_relay = true;
}

bool pv_relaylink_take_wake_relay(struct pv_relaylink *l)
{
    bool wake = l->wake_relay;
    l->wake_relay = false;
    return wake;
}

/* The head is copied out, not cast: its place in the ring has no alignment to rely on. */
int pv_relaylink_poll(struct pv_relaylink *l, struct pv_relaynews *ret_news)
{
    struct news_head head;
    struct pv_view record;
    int r = pv_ring_peek(l->news, &record);
    if (r < 0)
        return r;
    memcpy(&head, record.ptr, sizeof(head));
    *ret_news = (struct pv_relaynews){
        .stream = head.stream,
        .holder = head.holder,
        .broken = head.broken,
        .data = pv_view(record.ptr + sizeof(head), record.len - sizeof(head)),
    };
    return PV_OK;
}

void pv_relaylink_polled(struct pv_relaylink *l)
{
    pv_ring_pop(l->news);
}

/* --- the relay's end ------------------------------------------------------------------------- */

/* Looking takes nothing: what is no record of the ring is remembered until it is taken. */
int pv_relaylink_command(struct pv_relaylink *l, struct pv_relaycmd *ret_cmd)
{
    struct pv_view record;
    if (l->forgetting) {
        *ret_cmd = (struct pv_relaycmd){.kind = PV_RELAYCMD_FORGET};
        return PV_OK;
    }
    if (l->policing == NULL)
        l->policing = atomic_exchange_explicit(&l->policy, NULL, memory_order_acq_rel);
    if (l->policing != NULL) {
        *ret_cmd = (struct pv_relaycmd){.kind = PV_RELAYCMD_POLICY, .policy = l->policing};
        return PV_OK;
    }
    if (pv_ring_peek(l->commands, &record) < 0) {
        /* Everything before the loss has been handled now, so forgetting comes at its place. */
        if (!atomic_load_explicit(&l->lost, memory_order_acquire))
            return PV_ERR_AGAIN;
        atomic_store_explicit(&l->lost, false, memory_order_relaxed);
        l->forgetting = true;
        *ret_cmd = (struct pv_relaycmd){.kind = PV_RELAYCMD_FORGET};
        return PV_OK;
    }
    memcpy(ret_cmd, record.ptr, sizeof(*ret_cmd));
    ret_cmd->data = pv_view(record.ptr + sizeof(*ret_cmd), record.len - sizeof(*ret_cmd));
    return PV_OK;
}

/* The command to forget was made up here and is in no ring, and neither is a policy. */
void pv_relaylink_taken(struct pv_relaylink *l)
{
    if (l->policing == NULL && !l->forgetting)
        pv_ring_pop(l->commands);
    free(l->policing);
    l->policing = NULL;
    l->forgetting = false;
}

/* Answers to requests may use the last quarter of the ring, data may not: a client without an
 * answer asks again, which makes the ring fuller. */
bool pv_relaylink_tell(struct pv_relaylink *l, const struct pv_relaynews *news, bool is_data)
{
    struct news_head head;
    bool was_empty = false;
    if (is_data && pv_ring_room(l->news) <= l->ring / 4)
        return false;
    memset(&head, 0, sizeof(head));
    head.stream = news->stream;
    head.holder = news->holder;
    head.broken = news->broken;
    int r = pv_ring_push(l->news, pv_view(&head, sizeof(head)), news->data, &was_empty);
    l->wake_control = l->wake_control || (r == PV_OK && was_empty);
    return r == PV_OK;
}

bool pv_relaylink_take_wake_control(struct pv_relaylink *l)
{
    bool wake = l->wake_control;
    l->wake_control = false;
    return wake;
}
