/* SPDX-License-Identifier: MIT */
/* chatlink.c - who can be reached, connections of each, and what the loss of one means. */
#include "chat/core/talk/chatlink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chat/core/talk/chatlink_int.h"

enum {
    STALE_S = 2, /* unacknowledged for so long: dead when the peer comes back */
};

/* --- peers --------------------------------------------------------------------------------- */

struct pv_chatlink_peer *pv_chatlink_peer_find(const struct pv_chatlink *link, const uint8_t *pk)
{
    struct pv_chatlink_peer *peer = NULL;
    PV_MAP_FIND(&link->peer_map, link->peers, pk, PV_SIGN_PK_LEN, peer);
    return peer;
}

int pv_chatlink_peer_get(struct pv_chatlink *link, const uint8_t *pk, const char *name,
                         struct pv_chatlink_peer **ret_peer)
{
    struct pv_chatlink_peer *peer = pv_chatlink_peer_find(link, pk);
    if (peer == NULL) {
        /* Its place among the timers first: arming one later must not need memory. */
        int r = pv_heap_reserve(&link->peer_timers, HASH_CNT(hh, link->peers) + 1);
        peer = r < 0 ? NULL : calloc(1, sizeof(*peer));
        if (peer == NULL)
            return PV_ERR_NOMEM;
        memcpy(peer->pk, pk, sizeof(peer->pk));
        snprintf(peer->name, sizeof(peer->name), "%s", name);
        peer->backoff_s = PV_CHATLINK_BACKOFF_MIN_S;
        peer->silent_since = PV_NEVER;
        PV_MAP_ADD(&link->peer_map, link->peers, pk, peer, r);
        if (r < 0) {
            free(peer);
            return r;
        }
    }
    *ret_peer = peer;
    return PV_OK;
}

/* The window is only a copy of what the store has; the next connection starts from the store. */
static void forget_window(struct pv_chatlink_peer *peer)
{
    if (peer->n_window > 0)
        peer->more_queued = true;
    for (size_t i = 0; i < peer->n_window; i++)
        pv_chat_record_done(&peer->window[i]);
    free(peer->window);
    peer->window = NULL;
    peer->n_window = 0;
    peer->loaded_seq = 0;
}

static void peer_free(struct pv_chatlink *link, struct pv_chatlink_peer *peer)
{
    while (peer->conns != NULL)
        pv_chatlink_conn_free(link, peer->conns);
    forget_window(peer);
    pv_heap_set(&link->peer_timers, &peer->timer, PV_NEVER);
    PV_MAP_DEL(link->peers, peer);
    free(peer);
}

/* Frees the entry of a peer with whom nothing goes on: a network may have thousands of members, and
 * the store knows all that must be kept. */
void pv_chatlink_free_if_idle(struct pv_chatlink *link, struct pv_chatlink_peer *peer)
{
    if (!peer->online && peer->conns == NULL && !pv_chatlink_has_work(peer))
        peer_free(link, peer);
}

void pv_chatlink_back_off(struct pv_chatlink *link, struct pv_chatlink_peer *peer, pv_ns now)
{
    pv_ns wait = PV_S(peer->backoff_s);
    /* Members that lost the same peer must not all come back at once. */
    pv_ns jitter = PV_MS(pv_rng_below(&link->cfg.rng, peer->backoff_s * 250 + 1));
    peer->retry_at = now + pv_min_ns(wait + jitter, PV_S(PV_CHATLINK_BACKOFF_MAX_S));
    peer->backoff_s *= 2;
    if (peer->backoff_s > PV_CHATLINK_BACKOFF_MAX_S)
        peer->backoff_s = PV_CHATLINK_BACKOFF_MAX_S;
}

static void note_answer(struct pv_chatlink_peer *peer)
{
    peer->silent_since = PV_NEVER;
    peer->silent = false;
}

/* A firewall keeps out what begins, and lets through all by which the peer is known to be there. */
static void note_silence(struct pv_chatlink_peer *peer, pv_ns now)
{
    for (const struct pv_chatlink_conn *c = peer->conns; c != NULL; c = c->next_of_peer)
        if (c->speaks)
            return;
    if (!peer->online)
        return;
    peer->silent_since = pv_min_ns(peer->silent_since, peer->last_attempt);
    peer->silent = now - peer->silent_since >= PV_S(PV_CHATLINK_SILENT_S);
}

void pv_chatlink_lost_conn(struct pv_chatlink *link, struct pv_chatlink_conn *c, bool close,
                           pv_ns now)
{
    struct pv_chatlink_peer *peer = c->peer;
    /* A spare connection that goes is no reason to wait before the next. */
    bool mattered = peer->active == c || (c->opened && !c->speaks);
    if (c->opened && c->stream == PV_CHATLINK_OPENING && !peer->barred)
        note_silence(peer, now);
    if (close)
        pv_chatlink_conn_close(link, c);
    else
        pv_chatlink_conn_free(link, c);
    if (mattered && peer->active == NULL) {
        forget_window(peer);
        if (pv_chatlink_has_work(peer))
            pv_chatlink_back_off(link, peer, now);
    }
}

static void close_all(struct pv_chatlink *link, struct pv_chatlink_peer *peer)
{
    while (peer->conns != NULL)
        pv_chatlink_conn_close(link, peer->conns);
    forget_window(peer);
}

static void chatlink_drop(struct pv_chatlink *link, struct pv_chatlink_peer *peer, pv_ns now)
{
    close_all(link, peer);
    pv_chatlink_back_off(link, peer, now);
}

void pv_chatlink_give_up(struct pv_chatlink *link, struct pv_chatlink_peer *peer, int status,
                         pv_ns now)
{
    pv_log(link->cfg.log, PV_LOG_WARN,
           "peer=%s what=\"chat begins anew\" why=\"the store failed: %s\"", peer->name,
           pv_strstatus(status));
    chatlink_drop(link, peer, now);
}

/* --- life ---------------------------------------------------------------------------------- */

int pv_chatlink_new(struct pv_chatlink **ret_link, const struct pv_chatlink_config *cfg, pv_ns now)
{
    struct pv_chatlink *link = calloc(1, sizeof(*link));
    if (link == NULL)
        return PV_ERR_NOMEM;
    link->cfg = *cfg;
    link->peer_map = pv_map_make(&link->cfg.rng, PV_CHATLINK_MAX_PEERS);
    link->conn_map = pv_map_make(&link->cfg.rng, PV_CHATLINK_MAX_CONNS);
    pv_heap_init(&link->peer_timers);
    pv_heap_init(&link->conn_timers);
    pv_chatlink_count(link, now);
    *ret_link = link;
    return PV_OK;
}

/* The peers go first, and their connections with them, which stand in both heaps. Then what nobody
 * took: events own texts. */
struct pv_chatlink *pv_chatlink_free(struct pv_chatlink *link)
{
    struct pv_chatlink_event event;
    if (link == NULL)
        return NULL;
    while (link->peers != NULL)
        peer_free(link, link->peers);
    while (pv_fifo_take(link->cfg.lines, &event) == PV_OK)
        pv_chat_record_done(&event.msg);
    pv_heap_done(&link->peer_timers);
    pv_heap_done(&link->conn_timers);
    free(link);
    return NULL;
}

int pv_chatlink_want(struct pv_chatlink *link, const uint8_t *pk, pv_ns now)
{
    struct pv_chatlink_peer *peer = pv_chatlink_peer_find(link, pk);
    if (peer == NULL || !peer->online)
        return PV_ERR_NOT_FOUND;
    /* One that already speaks has told its readers so: nothing would come of the wish. */
    peer->wanted = true;
    for (const struct pv_chatlink_conn *c = peer->conns; c != NULL; c = c->next_of_peer)
        peer->wanted = peer->wanted && (c->stream == PV_CHATLINK_OPENING || !c->speaks);
    pv_chatlink_pump(link, peer, now);
    return PV_OK;
}

void pv_chatlink_refuse(struct pv_chatlink *link, const uint8_t *pk, pv_ns now)
{
    struct pv_chatlink_peer *peer = pv_chatlink_peer_find(link, pk);
    if (peer != NULL)
        chatlink_drop(link, peer, now);
}

/* --- connections --------------------------------------------------------------------------- */

int pv_chatlink_accepted(struct pv_chatlink *link, const struct pv_chatlink_source *source,
                         pv_ns now, uint32_t *ret_sid)
{
    struct pv_chatlink_peer *peer = NULL;
    struct pv_chatlink_conn *c = NULL;
    /* Only a member's address proves a key (cryptokey routing): nobody else has an inbox here. */
    if (source->who != PV_CHATLINK_MEMBER ||
        memcmp(source->pk, link->cfg.own_pk, sizeof(link->cfg.own_pk)) == 0)
        return PV_ERR_REFUSED;
    int r = pv_chatlink_peer_get(link, source->pk, source->name, &peer);
    if (r < 0)
        return r;
    snprintf(peer->name, sizeof(peer->name), "%s", source->name); /* it may have a new one */
    pv_chatlink_make_place(link, peer, false, now);
    r = pv_chatlink_conn_new(link, peer, &c);
    if (r < 0) {
        pv_chatlink_free_if_idle(link, peer);
        return r;
    }
    c->stream = PV_CHATLINK_OPEN;
    c->last_heard = now;
    note_answer(peer);
    pv_chatlink_conn_rearm(link, c);
    *ret_sid = c->sid;
    return PV_OK;
}

void pv_chatlink_connected(void *part, uint32_t sid, pv_ns now)
{
    struct pv_chatlink *link = part;
    struct pv_chatlink_conn *c = pv_chatlink_conn_find(link, sid);
    if (c == NULL || c->stream != PV_CHATLINK_OPENING)
        return;
    c->stream = PV_CHATLINK_OPEN;
    c->last_heard = now;
    struct pv_chatlink_peer *peer = c->peer;
    note_answer(peer);
    if (pv_chatlink_begin(link, c))
        pv_chatlink_conn_rearm(link, c);
    else
        pv_chatlink_lost_conn(link, c, true, now);
    pv_chatlink_pump(link, peer, now);
}

void pv_chatlink_handle_bytes(struct pv_chatlink *link, uint32_t sid, struct pv_view bytes,
                              uint64_t wall_ms, pv_ns now)
{
    struct pv_chatlink_conn *c = pv_chatlink_conn_find(link, sid);
    if (c == NULL || c->stream == PV_CHATLINK_OPENING)
        return;
    struct pv_chatlink_peer *peer = c->peer;
    c->last_heard = now;
    c->last_wall_ms = wall_ms;
    if (pv_chatlink_handle_input(link, c, bytes, now))
        pv_chatlink_conn_rearm(link, c);
    else
        pv_chatlink_lost_conn(link, c, true, now);
    pv_chatlink_pump(link, peer, now);
    pv_chatlink_free_if_idle(link, peer);
}

/* "printf hello | nc": the last line of plain text may have no newline. */
static void take_last_line(struct pv_chatlink *link, struct pv_chatlink_conn *c, pv_ns now)
{
    if (!c->speaks && c->in_len > 0 && (c->in_text || c->in[0] != '{'))
        (void)pv_chatlink_handle_line(link, c, pv_view(c->in, c->in_len), now);
}

void pv_chatlink_closed(struct pv_chatlink *link, uint32_t sid, pv_ns now)
{
    struct pv_chatlink_conn *c = pv_chatlink_conn_find(link, sid);
    if (c == NULL)
        return;
    struct pv_chatlink_peer *peer = c->peer;
    take_last_line(link, c, now);
    pv_chatlink_lost_conn(link, c, false, now);
    pv_chatlink_pump(link, peer, now);
    pv_chatlink_free_if_idle(link, peer);
}

void pv_chatlink_wrote(void *part, uint32_t sid, size_t n, pv_ns now)
{
    struct pv_chatlink *link = part;
    struct pv_chatlink_conn *c = pv_chatlink_conn_find(link, sid);
    if (c == NULL)
        return;
    c->out_done += pv_outbuf_wrote(&c->out, n);
    if (c->ack_deadline != PV_NEVER && n > 0)
        c->ack_deadline = now + PV_S(PV_CHATLINK_ACK_S); /* slow, not dead */
    pv_chatlink_note_sent(link, c, now);
    pv_chatlink_pump(link, c->peer, now);
}

/* An attempt from before the peer went away waits for TCP's next repetition, up to half a minute.
 */
static void close_attempts(struct pv_chatlink *link, struct pv_chatlink_peer *peer)
{
    for (struct pv_chatlink_conn *c = peer->conns, *next; c != NULL; c = next) {
        next = c->next_of_peer;
        if (c->stream == PV_CHATLINK_OPENING)
            pv_chatlink_conn_close(link, c);
    }
}

/* The peer is back: does its connection wait for an answer that will not come? */
static bool is_stale(const struct pv_chatlink_peer *peer, pv_ns now)
{
    pv_ns deadline = peer->active->ack_deadline;
    if (deadline == PV_NEVER)
        return false;
    return peer->was_away || now + PV_S(PV_CHATLINK_ACK_S - STALE_S) >= deadline;
}

int pv_chatlink_peer_online(struct pv_chatlink *link, const uint8_t *pk, const char *name,
                            const struct pv_addr *addr, pv_ns now)
{
    struct pv_chatlink_peer *peer = NULL;
    if (memcmp(pk, link->cfg.own_pk, sizeof(link->cfg.own_pk)) == 0)
        return PV_ERR_REFUSED;
    int r = pv_chatlink_peer_get(link, pk, name, &peer);
    if (r < 0)
        return r;
    /* A connection to the old address belongs to nobody any more, or to another member. */
    if (peer->addr.family != PV_AF_NONE && !pv_addr_equal_ip(&peer->addr, addr))
        close_all(link, peer);
    snprintf(peer->name, sizeof(peer->name), "%s", name);
    peer->addr = *addr;
    peer->online = true;
    if (peer->active != NULL && is_stale(peer, now))
        pv_chatlink_lost_conn(link, peer->active, true, now);
    if (peer->was_away)
        close_attempts(link, peer);
    peer->was_away = false;
    peer->backoff_s = PV_CHATLINK_BACKOFF_MIN_S;
    /* A peer whose path flaps is not called more than once a second. */
    peer->retry_at = peer->last_attempt == 0 ? now : peer->last_attempt + PV_S(1);
    pv_chatlink_pump(link, peer, now);
    return PV_OK;
}

void pv_chatlink_peer_offline(struct pv_chatlink *link, const uint8_t *pk, pv_ns now)
{
    struct pv_chatlink_peer *peer = pv_chatlink_peer_find(link, pk);
    if (peer == NULL)
        return;
    peer->online = false;
    note_answer(peer);
    peer->wanted = false; /* who wants it says so again when it is back */
    peer->was_away = true;
    pv_chatlink_pump(link, peer, now);
    pv_chatlink_free_if_idle(link, peer);
}

void pv_chatlink_peer_gone(void *part, const uint8_t *pk, pv_ns now)
{
    struct pv_chatlink *link = part;
    struct pv_chatlink_peer *peer = pv_chatlink_peer_find(link, pk);
    if (peer == NULL)
        return;
    close_all(link, peer);
    pv_chatlink_peer_offline(link, pk, now);
}

void pv_chatlink_interface_gone(struct pv_chatlink *link)
{
    for (struct pv_chatlink_peer *p = link->peers; p != NULL; p = p->hh.next)
        close_all(link, p);
}

/* For `status`, which names one of them and how many there are. */
size_t pv_chatlink_holding(const struct pv_chatlink *link, const char **ret_name)
{
    size_t n = 0;
    *ret_name = "";
    for (const struct pv_chatlink_peer *p = link->peers; p != NULL; p = p->hh.next) {
        if (p->holding != PV_CHAT_LATER_FULL)
            continue;
        *ret_name = p->name;
        n++;
    }
    return n;
}

struct pv_chatlink_counts pv_chatlink_counts(const struct pv_chatlink *link)
{
    return link->counts;
}

/* --- time ---------------------------------------------------------------------------------- */

void pv_chatlink_handle_timeout(void *part, pv_ns now)
{
    struct pv_chatlink *link = part;
    struct pv_heap_node *node;
    while ((node = pv_heap_pop_due(&link->conn_timers, now)) != NULL) {
        struct pv_chatlink_conn *c = PV_CONTAINER_OF(node, struct pv_chatlink_conn, timer);
        struct pv_chatlink_peer *peer = c->peer;
        pv_chatlink_conn_rearm(link, c);
        if (c->timer.when > now)
            continue; /* heard of meanwhile */
        pv_chatlink_lost_conn(link, c, true, now);
        pv_chatlink_pump(link, peer, now);
        pv_chatlink_free_if_idle(link, peer);
    }
    while ((node = pv_heap_pop_due(&link->peer_timers, now)) != NULL)
        pv_chatlink_pump(link, PV_CONTAINER_OF(node, struct pv_chatlink_peer, timer), now);
    if (now >= link->count_at)
        pv_chatlink_count(link, now);
}

pv_ns pv_chatlink_next_timeout(const void *part)
{
    const struct pv_chatlink *link = part;
    pv_ns next = pv_min_ns(pv_heap_next(&link->peer_timers), pv_heap_next(&link->conn_timers));
    return pv_min_ns(next, link->count_at);
}
