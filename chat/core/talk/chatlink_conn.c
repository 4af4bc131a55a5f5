/* SPDX-License-Identifier: MIT */
/* chatlink_conn.c - connections of chatlink: their table, buffers and timers, and who gets one of
 * the few: proven before unproven, each peer its first before anybody a second one, the silent give
 * way. So no number of connections of some members, or of users of their machines, keeps the others
 * out. The other files read and write what connections carry. */
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "chat/core/talk/chatlink_int.h"
#include "crypto/ct.h"

enum {
    IDLE_S = 10, /* a peer's only connection gives way when it was silent for so long */
};

/* --- what rooms hear ----------------------------------------------------------------------- */

void pv_chatlink_event_push(struct pv_chatlink *link, enum pv_chatlink_event_type type,
                            const uint8_t *pk, char *text)
{
    struct pv_chatlink_event event = {.type = type, .msg = {.text = text}};
    memcpy(event.msg.peer, pk, sizeof(event.msg.peer));
    if (pv_fifo_put(link->cfg.lines, &event, sizeof(event)) != PV_OK)
        free(text);
}

/* --- connections --------------------------------------------------------------------------- */

struct pv_chatlink_conn *pv_chatlink_conn_find(const struct pv_chatlink *link, uint32_t sid)
{
    struct pv_chatlink_conn *c = NULL;
    PV_MAP_FIND(&link->conn_map, link->conns, &sid, sizeof(sid), c);
    return c;
}

int pv_chatlink_conn_new(struct pv_chatlink *link, struct pv_chatlink_peer *peer,
                         struct pv_chatlink_conn **ret_conn)
{
    size_t n = HASH_CNT(hh, link->conns);
    if (n >= PV_CHATLINK_MAX_CONNS)
        return PV_ERR_LIMIT;
    struct pv_chatlink_conn *c = calloc(1, sizeof(*c));
    /* The timer's place is reserved here: arming it later cannot fail. */
    if (c == NULL || pv_heap_reserve(&link->conn_timers, n + 1) < 0) {
        free(c);
        return PV_ERR_NOMEM;
    }
    do {
        /* Numbers are used again as late as possible: what the shell still says about an ended
         * connection must not hit a new one. */
        link->last_sid = link->last_sid >= PV_STREAM_LOCAL_MASK ? 1 : link->last_sid + 1;
    } while (pv_chatlink_conn_find(link, link->last_sid) != NULL);
    c->sid = link->last_sid;
    c->ack_deadline = PV_NEVER;

    int r = PV_OK;
    PV_MAP_ADD(&link->conn_map, link->conns, sid, c, r);
    if (r < 0) {
        free(c);
        return r;
    }
    c->peer = peer;
    PV_LIST_ADD_FIRST_BY(peer->conns, c, prev_of_peer, next_of_peer);
    *ret_conn = c;
    return PV_OK;
}

void pv_chatlink_conn_speaks(struct pv_chatlink *link, struct pv_chatlink_conn *c)
{
    if (c->speaks)
        return;
    c->speaks = true;
    /* A connection that speaks ends at a daemon. Rooms never use one on which somebody sends plain
     * text. */
    c->peer->wanted = false;
    pv_chatlink_event_push(link, PV_CHATLINK_UP, c->peer->pk, NULL);
}

/* The connection for lines: that of the outbox, else any. */
static struct pv_chatlink_conn *speaking(const struct pv_chatlink_peer *peer)
{
    struct pv_chatlink_conn *c = peer->active;
    if (c != NULL)
        return c;
    for (c = peer->conns; c != NULL && (c->stream == PV_CHATLINK_OPENING || !c->speaks);
         c = c->next_of_peer)
        ;
    return c;
}

int pv_chatlink_say(struct pv_chatlink *link, const uint8_t *pk, struct pv_view line)
{
    struct pv_chatlink_peer *peer = pv_chatlink_peer_find(link, pk);
    struct pv_chatlink_conn *c = peer == NULL ? NULL : speaking(peer);
    return c == NULL ? PV_ERR_NOT_FOUND
                     : pv_chatlink_conn_put(link, c, (const char *)line.ptr, line.len);
}

void pv_chatlink_conn_free(struct pv_chatlink *link, struct pv_chatlink_conn *c)
{
    struct pv_chatlink_peer *peer = c->peer;
    bool spoke = c->speaks;
    PV_LIST_DEL_BY(peer->conns, c, prev_of_peer, next_of_peer);
    pv_streams_forget(link->cfg.streams, &c->turn);
    if (peer->active == c)
        peer->active = NULL;
    pv_heap_set(&link->conn_timers, &c->timer, PV_NEVER);
    PV_MAP_DEL(link->conns, c);
    pv_outbuf_done(&c->out);
    free(c->in);
    free(c->told);
    free(c);
    /* Rooms hear of the loss only when no other connection of the peer can carry their lines. */
    if (spoke && speaking(peer) == NULL)
        pv_chatlink_event_push(link, PV_CHATLINK_DOWN, peer->pk, NULL);
}

int pv_chatlink_conn_open(struct pv_chatlink *link, const struct pv_chatlink_conn *c)
{
    struct pv_stream_op op = {
        .type = PV_STREAM_OPEN, .sid = c->sid, .kind = PV_CHAT_STREAM_TALK, .addr = c->peer->addr};
    /* The port is never the peer's choice. */
    op.addr.port = PV_CHAT_PORT;
    return pv_streams_open(link->cfg.streams, &op);
}

void pv_chatlink_conn_close(struct pv_chatlink *link, struct pv_chatlink_conn *c)
{
    pv_streams_close(link->cfg.streams, PV_CHAT_STREAM_TALK, c->sid);
    pv_chatlink_conn_free(link, c);
}

int pv_chatlink_conn_put(struct pv_chatlink *link, struct pv_chatlink_conn *c, const char *bytes,
                         size_t len)
{
    int r = pv_outbuf_put(&c->out, pv_view(bytes, len), PV_CHATLINK_MAX_OUT);
    if (r < 0)
        return r;
    c->out_put += len;
    pv_streams_wake(link->cfg.streams, &c->turn, PV_CHAT_STREAM_TALK, c->sid);
    return PV_OK;
}

void pv_chatlink_conn_rearm(struct pv_chatlink *link, struct pv_chatlink_conn *c)
{
    /* A connection that is being made has less patience than one that is idle: the outbox waits for
     * it. */
    bool ready = c->speaks || !c->opened;
    pv_ns silence = PV_S(ready ? PV_CHATLINK_IDLE_S : PV_CHATLINK_CONNECT_S);
    pv_heap_set(&link->conn_timers, &c->timer, pv_min_ns(c->last_heard + silence, c->ack_deadline));
}

struct pv_view pv_chatlink_out(void *part, uint32_t sid)
{
    struct pv_chatlink *link = part;
    const struct pv_chatlink_conn *c = pv_chatlink_conn_find(link, sid);
    return c == NULL || c->stream == PV_CHATLINK_OPENING ? pv_view(NULL, 0)
                                                         : pv_outbuf_view(&c->out);
}

/* --- places -------------------------------------------------------------------------------- */

/* Everybody on the peer's machine may open one that proves nothing. */
static bool is_unproven(const struct pv_chatlink_conn *c)
{
    return !c->opened && !c->speaks;
}

static size_t count_of_kind(const struct pv_chatlink_peer *peer, bool unproven)
{
    size_t n = 0;
    for (const struct pv_chatlink_conn *c = peer->conns; c != NULL; c = c->next_of_peer)
        n += is_unproven(c) == unproven;
    return n;
}

/* Is a a better one to close than b, both of one kind? Of the peer that has most, else the one that
 * was silent longest. */
static bool gives_way_before(const struct pv_chatlink_conn *a, const struct pv_chatlink_conn *b)
{
    size_t of_a = count_of_kind(a->peer, is_unproven(a));
    size_t of_b = count_of_kind(b->peer, is_unproven(b));
    return of_a != of_b ? of_a > of_b : a->last_heard < b->last_heard;
}

/* May this proven connection be closed for another one? One that carries an outbox keeps its place,
 * unless its peer has a second one; so does one that was heard of lately, unless this node has
 * something to say and the peer opened it, who can do so again. */
static bool is_spare(const struct pv_chatlink_conn *c, bool opened, pv_ns now)
{
    bool silent = now - c->last_heard >= PV_S(IDLE_S);
    return count_of_kind(c->peer, false) > 1 ||
           (c->ack_deadline == PV_NEVER && (silent || (opened && !c->opened)));
}

/* Which connection gives way to a new one, which this node opens or not; NULL: none does. */
static struct pv_chatlink_conn *victim(const struct pv_chatlink *link, bool unproven, bool opened,
                                       pv_ns now)
{
    struct pv_chatlink_conn *best = NULL;
    for (struct pv_chatlink_conn *c = link->conns; c != NULL; c = c->hh.next) {
        bool spare = unproven || is_spare(c, opened, now);
        if (is_unproven(c) == unproven && spare && (best == NULL || gives_way_before(c, best)))
            best = c;
    }
    return best;
}

/* The peer's longest silent of one kind, but keep. */
static struct pv_chatlink_conn *oldest_of(const struct pv_chatlink_peer *peer, bool unproven,
                                          const struct pv_chatlink_conn *keep)
{
    struct pv_chatlink_conn *oldest = NULL;
    for (struct pv_chatlink_conn *c = peer->conns; c != NULL; c = c->next_of_peer) {
        if (c != keep && c->stream != PV_CHATLINK_OPENING && is_unproven(c) == unproven &&
            (oldest == NULL || c->last_heard < oldest->last_heard))
            oldest = c;
    }
    return oldest;
}

/* Its peer opens another one later, when it has something to say. c may be NULL. */
static void close_for_another(struct pv_chatlink *link, struct pv_chatlink_conn *c, pv_ns now)
{
    if (c == NULL)
        return;
    struct pv_chatlink_peer *peer = c->peer;
    pv_chatlink_lost_conn(link, c, true, now);
    pv_chatlink_back_off(link, peer, now); /* not in this turn: the place is for another */
    pv_chatlink_pump(link, peer, now);
}

void pv_chatlink_make_place(struct pv_chatlink *link, struct pv_chatlink_peer *peer, bool opened,
                            pv_ns now)
{
    size_t unproven = 0;
    struct pv_chatlink_conn *c = NULL;
    /* The newest connection is let in even at the limit: after a crash the peer's old ones look
     * alive here for a while, and must not lock it out. */
    if (!opened &&
        count_of_kind(peer, true) + count_of_kind(peer, false) >= PV_CHATLINK_MAX_PEER_CONNS) {
        c = oldest_of(peer, true, NULL);
        close_for_another(link, c != NULL ? c : oldest_of(peer, false, NULL), now);
    }
    for (c = link->conns; c != NULL; c = c->hh.next)
        unproven += is_unproven(c);
    bool full = HASH_CNT(hh, link->conns) >= PV_CHATLINK_MAX_CONNS;
    c = NULL;
    if ((!opened && unproven >= PV_CHATLINK_MAX_UNPROVEN) || (full && unproven > 0))
        c = victim(link, true, opened, now);
    else if (full)
        c = victim(link, false, opened, now);
    close_for_another(link, c, now);
}

/* newest has just proven itself: the peer's older ones above the limit go. */
static void keep_proven(struct pv_chatlink *link, struct pv_chatlink_conn *newest, pv_ns now)
{
    struct pv_chatlink_conn *c;
    /* newest is still counted as unproven when it was accepted, and as proven when we opened it. */
    size_t n = count_of_kind(newest->peer, false) + is_unproven(newest);
    while (n-- > PV_CHATLINK_MAX_PROVEN && (c = oldest_of(newest->peer, false, newest)) != NULL)
        pv_chatlink_lost_conn(link, c, true, now);
}

/* --- proof of the other side ----------------------------------------------------------------- */

/* Before a connection carries frames its two ends prove that they are the daemons: an address
 * proves a machine, and any of its users can open a socket (proof.h). */

bool pv_chatlink_takes_unproven(const struct pv_chatlink *link, const struct pv_chatlink_peer *peer)
{
    return pv_chatlink_key(link, peer->pk, NULL) == PV_OVERLAY_LINK_NONE;
}

bool pv_chatlink_may_open(const struct pv_chatlink *link, const struct pv_chatlink_peer *peer)
{
    enum pv_overlay_link state = pv_chatlink_key(link, peer->pk, NULL);
    return state == PV_OVERLAY_LINK_NONE || state == PV_OVERLAY_LINK_CONFIRMED;
}

/* The proof of both ends of c; key is the caller's, who wipes it. */
static struct pv_proof proof_of(const struct pv_chatlink *link, const struct pv_chatlink_conn *c,
                                const uint8_t *key)
{
    return (struct pv_proof){
        .key = key,
        .opener = c->opened ? link->cfg.own_pk : c->peer->pk,
        .acceptor = c->opened ? c->peer->pk : link->cfg.own_pk,
        .opener_nonce = c->opened ? c->own_nonce : c->peer_nonce,
        .acceptor_nonce = c->opened ? c->peer_nonce : c->own_nonce,
    };
}

static int say(struct pv_chatlink *link, struct pv_chatlink_conn *c,
               const struct pv_proof_line *line)
{
    char buf[PV_PROOF_LINE_MAX];
    size_t len = pv_proof_line_write(line, buf);
    return pv_chatlink_conn_put(link, c, buf, len);
}

/* The first word on every connection, so that a later proof counts for this one alone. */
static void draw_nonce(struct pv_chatlink *link, struct pv_chatlink_conn *c,
                       struct pv_proof_line *line)
{
    pv_rng_fill(&link->cfg.rng, c->own_nonce, sizeof(c->own_nonce));
    memcpy(line->nonce, c->own_nonce, sizeof(line->nonce));
    line->has_nonce = true;
    c->asked = true;
}

bool pv_chatlink_begin(struct pv_chatlink *link, struct pv_chatlink_conn *c)
{
    struct pv_proof_line line = {.has_mac = false};
    if (pv_chatlink_takes_unproven(link, c->peer)) {
        pv_chatlink_conn_speaks(link, c);
        return true;
    }
    draw_nonce(link, c, &line);
    return say(link, c, &line) == PV_OK;
}

/* Accepted: the other end wants to know who we are. We say it first: who opened a connection has
 * something to tell, and must not tell it to somebody who only took the daemon's port. */
static bool answer(struct pv_chatlink *link, struct pv_chatlink_conn *c,
                   const struct pv_proof_line *line, const uint8_t *key)
{
    struct pv_proof_line ours = {.has_mac = true};
    if (c->asked || line->has_mac)
        return false;
    memcpy(c->peer_nonce, line->nonce, sizeof(c->peer_nonce));
    draw_nonce(link, c, &ours);
    const struct pv_proof proof = proof_of(link, c, key);
    pv_proof_mac(&proof, PV_PROOF_CHAT_ACCEPTED, ours.mac);
    return say(link, c, &ours) == PV_OK;
}

/* Opened: the other end proves itself, and we answer in kind. */
static bool check_acceptor(struct pv_chatlink *link, struct pv_chatlink_conn *c,
                           const struct pv_proof_line *line, const uint8_t *key)
{
    struct pv_proof_line ours = {.has_mac = true};
    if (!c->asked || c->speaks || !line->has_nonce || !line->has_mac)
        return false;
    memcpy(c->peer_nonce, line->nonce, sizeof(c->peer_nonce));
    const struct pv_proof proof = proof_of(link, c, key);
    if (!pv_proof_is_right(&proof, PV_PROOF_CHAT_ACCEPTED, line->mac))
        return false;
    pv_proof_mac(&proof, PV_PROOF_CHAT_OPENED, ours.mac);
    return say(link, c, &ours) == PV_OK;
}

static bool check_opener(const struct pv_chatlink *link, const struct pv_chatlink_conn *c,
                         const struct pv_proof_line *line, const uint8_t *key)
{
    const struct pv_proof proof = proof_of(link, c, key);
    return c->asked && !c->speaks && !line->has_nonce && line->has_mac &&
           pv_proof_is_right(&proof, PV_PROOF_CHAT_OPENED, line->mac);
}

bool pv_chatlink_handle_proof(struct pv_chatlink *link, struct pv_chatlink_conn *c,
                              struct pv_view text, pv_ns now)
{
    struct pv_proof_line line;
    uint8_t key[PV_PROOF_KEY_LEN];
    /* A wrong proof and one by an older key look alike; the peer opens anew when it has ours. */
    if (pv_proof_line_parse(text, &line) != PV_OK ||
        !pv_overlay_has_key(pv_chatlink_key(link, c->peer->pk, key)))
        return false;
    bool asks = !c->opened && line.has_nonce;
    bool good = asks        ? answer(link, c, &line, key)
                : c->opened ? check_acceptor(link, c, &line, key)
                            : check_opener(link, c, &line, key);
    if (good && !asks) {
        pv_proof_tag(key, c->key_tag);
        c->proven = true;
        keep_proven(link, c, now);
        pv_chatlink_conn_speaks(link, c);
    }
    pv_wipe(key, sizeof(key));
    return good;
}

/* The first connection of the peer that its present state does not allow. */
static struct pv_chatlink_conn *outdated(const struct pv_chatlink *link,
                                         const struct pv_chatlink_peer *peer)
{
    uint8_t key[PV_PROOF_KEY_LEN], tag[PV_PROOF_TAG_LEN] = {0};
    if (pv_overlay_has_key(pv_chatlink_key(link, peer->pk, key)))
        pv_proof_tag(key, tag);
    pv_wipe(key, sizeof(key));
    bool open = pv_chatlink_takes_unproven(link, peer);
    struct pv_chatlink_conn *c = peer->conns;
    while (c != NULL &&
           !(c->speaks && !open && !(c->proven && memcmp(c->key_tag, tag, sizeof(tag)) == 0)))
        c = c->next_of_peer;
    return c;
}

void pv_chatlink_peer_keyed(struct pv_chatlink *link, const uint8_t *pk, pv_ns now)
{
    struct pv_chatlink_peer *peer = pv_chatlink_peer_find(link, pk);
    struct pv_chatlink_conn *c;
    if (peer == NULL)
        return;
    /* Another secret is another life of its daemon: who holds the end of an older connection now is
     * not known. */
    while ((c = outdated(link, peer)) != NULL)
        pv_chatlink_lost_conn(link, c, true, now);
    peer->backoff_s = PV_CHATLINK_BACKOFF_MIN_S;
    peer->retry_at = now; /* what came before was waiting for this, or had an older key */
    pv_chatlink_pump(link, peer, now);
}
