/* SPDX-License-Identifier: MIT */
/* linkkeys.c - secrets told and heard, and the state of each peer that follows from them; the part
 * that peers and in-band messages reach it by. */
#include "daemon/core/peer/linkkeys.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "crypto/hash.h"
#include "daemon/core/node/node.h"
#include "daemon/core/peer/peers.h"

struct pv_linkkeys {
    uint8_t own_pk[PV_SIGN_PK_LEN];
    uint8_t *seed; /* PV_PROOF_SECRET_LEN in guarded memory; every secret of ours follows from it */
    struct pv_linkkeys_hands hands;
    size_t n_peers; /* that something is known of */
    struct pv_heap timers;
};

/* NULL: nothing is known of it. */
static struct pv_linkkeys_peer *find(const struct pv_linkkeys *keys, const uint8_t *pk)
{
    struct pv_linkkeys_peer *e = keys->hands.kept(keys->hands.owner, pk, false);
    return e == NULL || e->keys == NULL ? NULL : e;
}

/* Also when nothing was known. NULL: no memory, or no such peer. */
static struct pv_linkkeys_peer *get(struct pv_linkkeys *keys, const uint8_t *pk)
{
    struct pv_linkkeys_peer *e = keys->hands.kept(keys->hands.owner, pk, true);
    if (e == NULL || e->keys != NULL)
        return e;
    /* Its place among the timers first: arming one later must not need memory. */
    if (pv_heap_reserve(&keys->timers, keys->n_peers + 1) < 0)
        return NULL;
    keys->n_peers++;
    e->keys = keys;
    memcpy(e->pk, pk, sizeof(e->pk));
    e->retry_s = PV_LINKKEYS_RETRY_MIN_S;
    return e;
}

void pv_linkkeys_gone(struct pv_linkkeys_peer *e)
{
    if (e->keys == NULL)
        return;
    pv_heap_set(&e->keys->timers, &e->timer, PV_NEVER);
    e->keys->n_peers--;
    pv_wipe(e, sizeof(*e));
}

int pv_linkkeys_new(struct pv_linkkeys **ret_keys, const struct pv_rng *rng,
                    const uint8_t own_pk[static PV_SIGN_PK_LEN],
                    const struct pv_linkkeys_hands *hands)
{
    struct pv_linkkeys *keys = calloc(1, sizeof(*keys));
    if (keys == NULL)
        return PV_ERR_NOMEM;
    pv_heap_init(&keys->timers);
    memcpy(keys->own_pk, own_pk, sizeof(keys->own_pk));
    keys->hands = *hands;
    keys->seed = pv_secret_alloc(PV_PROOF_SECRET_LEN);
    if (keys->seed == NULL) {
        free(keys);
        return PV_ERR_NOMEM;
    }
    pv_rng_fill(rng, keys->seed, PV_PROOF_SECRET_LEN);
    *ret_keys = keys;
    return PV_OK;
}

struct pv_linkkeys *pv_linkkeys_free(struct pv_linkkeys *keys)
{
    if (keys == NULL)
        return NULL;
    pv_heap_done(&keys->timers);
    pv_secret_free(keys->seed);
    free(keys);
    return NULL;
}

/* Ours for this peer. */
static void own_secret(const struct pv_linkkeys *keys, const uint8_t *pk,
                       uint8_t ret_secret[static PV_PROOF_SECRET_LEN])
{
    pv_hmac_blake2s(ret_secret, keys->seed, PV_PROOF_SECRET_LEN, pv_view(pk, PV_SIGN_PK_LEN),
                    pv_view("link", 4));
}

static enum pv_linkkeys_state state_of(const struct pv_linkkeys_peer *e)
{
    if (!e->has_theirs)
        return PV_LINKKEYS_UNKNOWN;
    return e->confirmed ? PV_LINKKEYS_CONFIRMED : PV_LINKKEYS_HEARD;
}

enum pv_linkkeys_state pv_linkkeys_state(const struct pv_linkkeys *keys, const uint8_t *pk)
{
    const struct pv_linkkeys_peer *e = keys == NULL ? NULL : find(keys, pk);
    if (keys == NULL)
        return PV_LINKKEYS_NONE;
    return e == NULL ? PV_LINKKEYS_UNKNOWN : state_of(e);
}

/* Our own secret is derived when it is needed and wiped at once. */
bool pv_linkkeys_key(const struct pv_linkkeys *keys, const uint8_t *pk,
                     uint8_t ret_key[static PV_PROOF_KEY_LEN])
{
    const struct pv_linkkeys_peer *e = keys == NULL ? NULL : find(keys, pk);
    uint8_t secret[PV_PROOF_SECRET_LEN];
    if (e == NULL || !e->has_theirs)
        return false;
    own_secret(keys, pk, secret);
    const struct pv_proof_side own = {.pk = keys->own_pk, .secret = secret};
    const struct pv_proof_side peer = {.pk = e->pk, .secret = e->theirs};
    pv_proof_key(&own, &peer, ret_key);
    pv_wipe(secret, sizeof(secret));
    return true;
}

/* --- telling ------------------------------------------------------------------------------- */

static void tell(struct pv_linkkeys *keys, const struct pv_linkkeys_peer *e)
{
    struct pv_proof_secret msg = {.asks = !e->confirmed};
    uint8_t body[PV_PROOF_BODY_LEN];
    own_secret(keys, e->pk, msg.secret);
    if (e->has_theirs)
        pv_proof_tag(e->theirs, msg.known);
    pv_proof_secret_build(&msg, body);
    pv_wipe(&msg, sizeof(msg));
    keys->hands.send(keys->hands.owner, e->pk, pv_view(body, sizeof(body)));
    pv_wipe(body, sizeof(body));
}

/* Tells ours now, and again later while the peer has not said that it has it. */
static void tell_until_known(struct pv_linkkeys *keys, struct pv_linkkeys_peer *e, pv_ns now)
{
    tell(keys, e);
    pv_heap_set(&keys->timers, &e->timer, now + PV_S(e->retry_s));
    e->retry_s *= 2;
    if (e->retry_s > PV_LINKKEYS_RETRY_MAX_S)
        e->retry_s = PV_LINKKEYS_RETRY_MAX_S;
}

/* While the peer is away nothing is repeated. When it comes, the pauses begin anew with the
 * shortest. */
void pv_linkkeys_look(struct pv_linkkeys *keys, const uint8_t *pk, bool there, pv_ns now)
{
    struct pv_linkkeys_peer *e = there ? get(keys, pk) : find(keys, pk);
    if (e == NULL)
        return;
    bool came = there && !e->there;
    e->there = there;
    if (!e->there || e->confirmed)
        pv_heap_set(&keys->timers, &e->timer, PV_NEVER);
    else if (came) {
        e->retry_s = PV_LINKKEYS_RETRY_MIN_S;
        tell_until_known(keys, e, now);
    }
}

bool pv_linkkeys_take(struct pv_linkkeys *keys, const uint8_t *pk, struct pv_view body, pv_ns now)
{
    struct pv_proof_secret msg;
    uint8_t secret[PV_PROOF_SECRET_LEN], tag[PV_PROOF_TAG_LEN];
    struct pv_linkkeys_peer *e = pv_proof_secret_parse(body, &msg) == PV_OK ? get(keys, pk) : NULL;
    if (e == NULL)
        return false;
    enum pv_linkkeys_state before = state_of(e);
    bool fresh = !e->has_theirs || !pv_ct_equal(e->theirs, msg.secret, sizeof(e->theirs));
    memcpy(e->theirs, msg.secret, sizeof(e->theirs));
    e->has_theirs = true;
    e->there = true;
    own_secret(keys, pk, secret);
    pv_proof_tag(secret, tag);
    bool names_ours = memcmp(tag, msg.known, sizeof(tag)) == 0;
    /* In one life a peer does not forget ours: a message that does not name it was overtaken. (One
     * that was removed and came back has forgotten; the answer below tells it again.) */
    e->confirmed = names_ours || (e->confirmed && !fresh);
    bool asks = msg.asks || !names_ours;
    pv_wipe(secret, sizeof(secret));
    pv_wipe(&msg, sizeof(msg));
    if (e->confirmed)
        pv_heap_set(&keys->timers, &e->timer, PV_NEVER);
    /* It lacks ours, or does not know yet that we have its own: one answer serves both. Also a
     * message that tells us nothing is answered when it asks: our last answer may be lost. */
    if (asks &&
        pv_bucket_take(&e->answers, PV_LINKKEYS_ANSWER_RATE, PV_LINKKEYS_ANSWER_BURST, 1, now)) {
        e->retry_s = PV_LINKKEYS_RETRY_MIN_S;
        if (e->confirmed)
            tell(keys, e);
        else
            tell_until_known(keys, e, now);
    }
    return fresh || state_of(e) != before;
}

void pv_linkkeys_handle_timeout(struct pv_linkkeys *keys, pv_ns now)
{
    struct pv_heap_node *node;
    while ((node = pv_heap_pop_due(&keys->timers, now)) != NULL)
        tell_until_known(keys, PV_CONTAINER_OF(node, struct pv_linkkeys_peer, timer), now);
}

pv_ns pv_linkkeys_next_timeout(const struct pv_linkkeys *keys)
{
    return pv_heap_next(&keys->timers);
}

/* --- the part ------------------------------------------------------------------------------ */

struct linkkeys_part {
    struct pv_node *node;
    struct pv_linkkeys *keys; /* owned; node.linkkeys is the same */
};

static struct pv_linkkeys_peer *kept(void *part, const uint8_t *pk, bool make)
{
    const struct linkkeys_part *l = part;
    return pv_peers_kept(l->node->peers, pk, &pv_part_linkkeys, make);
}

static void end_peer(void *slot)
{
    pv_linkkeys_gone(slot);
}

/* Without a path it is repeated. */
static void send_secret(void *part, const uint8_t *pk, struct pv_view body)
{
    const struct linkkeys_part *l = part;
    struct pv_peer *p = pv_peers_by_pk(l->node->peers, pk);
    if (p != NULL)
        pv_peers_send(l->node->peers, p, PV_INBAND_LINK, body);
}

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct linkkeys_part *l = part;
    const struct pv_linkkeys_hands hands = {.kept = kept, .send = send_secret, .owner = l};
    int r = pv_linkkeys_new(&l->keys, &l->node->rng, l->node->identity->sign_pk, &hands);
    l->node->linkkeys = l->keys;
    return r;
}

static void free_part(void *part)
{
    struct linkkeys_part *l = part;
    pv_peers_drop_slots(l->node->peers, &pv_part_linkkeys);
    l->node->linkkeys = pv_linkkeys_free(l->keys);
}

/* A static peer has no p2pvpnd that could prove anything. */
static void on_peer(void *part, struct pv_peer *p, unsigned facts, pv_ns now)
{
    struct linkkeys_part *l = part;
    if (pv_peer_is_static(p))
        return;
    pv_linkkeys_look(l->keys, pv_peer_pk(p), pv_peer_can_talk(p, now), now);
}

static void take_secret(void *part, struct pv_peer *from, struct pv_view body, pv_ns now)
{
    struct linkkeys_part *l = part;
    if (pv_linkkeys_take(l->keys, pv_peer_pk(from), body, now))
        pv_peers_raise(l->node->peers, from, PV_PEER_FACT_LINK);
}

static void handle_timeout(void *part, pv_ns now)
{
    struct linkkeys_part *l = part;
    pv_linkkeys_handle_timeout(l->keys, now);
}

static pv_ns next_timeout(const void *part)
{
    const struct linkkeys_part *l = part;
    return pv_linkkeys_next_timeout(l->keys);
}

static const struct pv_inband_handler inband[] = {{PV_INBAND_LINK, take_secret}};

const struct pv_part pv_part_linkkeys = {
    .name = "linkkeys",
    .after = {"membership"},
    .peer_size = sizeof(struct pv_linkkeys_peer),
    .end_peer = end_peer,
    .size = PV_PART_SIZE(struct linkkeys_part),
    .start = start,
    .free = free_part,
    .on_peer = on_peer,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .inband = inband,
    .n_inband = PV_ARRAY_LEN(inband),
};
