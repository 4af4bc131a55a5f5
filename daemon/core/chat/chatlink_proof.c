/* SPDX-License-Identifier: MIT */
/* chatlink_proof.c - before a connection carries frames its two ends prove that they are the
 * daemons: an address proves a machine, and any of its users can open a socket (proof.h). */
#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/chat/chatlink_int.h"

bool pv_chatlink_takes_unproven(const struct pv_chatlink *link, const struct pv_chatlink_peer *peer)
{
    return pv_linkkeys_state(link->keys, peer->pk) == PV_LINKKEYS_NONE;
}

bool pv_chatlink_may_open(const struct pv_chatlink *link, const struct pv_chatlink_peer *peer)
{
    enum pv_linkkeys_state state = pv_linkkeys_state(link->keys, peer->pk);
    return state == PV_LINKKEYS_NONE || state == PV_LINKKEYS_CONFIRMED;
}

/* The proof of both ends of c; key is the caller's, who wipes it. */
static struct pv_proof proof_of(const struct pv_chatlink *link, const struct pv_chatlink_conn *c,
                                const uint8_t *key)
{
    return (struct pv_proof){
        .key = key,
        .opener = c->opened ? link->own_pk : c->peer->pk,
        .acceptor = c->opened ? c->peer->pk : link->own_pk,
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
    pv_rng_fill(&link->rng, c->own_nonce, sizeof(c->own_nonce));
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
    if (pv_proof_line_parse(text, &line) != PV_OK || !pv_linkkeys_key(link->keys, c->peer->pk, key))
        return false;
    bool asks = !c->opened && line.has_nonce;
    bool good = asks        ? answer(link, c, &line, key)
                : c->opened ? check_acceptor(link, c, &line, key)
                            : check_opener(link, c, &line, key);
    if (good && !asks) {
        pv_proof_tag(key, c->key_tag);
        c->proven = true;
        pv_chatlink_keep_proven(link, c, now);
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
    if (pv_linkkeys_key(link->keys, peer->pk, key))
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
