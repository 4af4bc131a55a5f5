/* SPDX-License-Identifier: MIT */
/* turncreds.c - who sent a request: long-term credentials (RFC 8489 s9.2.4), and signed answers. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "coordinator/core/turn/turns_int.h"
#include "proto/stun/turn.h"

/* --- long-term credentials (RFC 8489 s9.2.4) -------------------------------------------------- */

enum {
    ALGORITHM_MD5 = 1,    /* RFC 8489 s18.5.1 */
    ALGORITHM_SHA256 = 2, /* RFC 8489 s18.5.1 */
    FINGERPRINT_LEN = 8,
};

/* PASSWORD-ALGORITHMS as it is offered: SHA-256, MD5, both without parameters. */
static const uint8_t algorithms[8] = {0, ALGORITHM_SHA256, 0, 0, 0, ALGORITHM_MD5, 0, 0};

/* A member that relays goes on under a flood of strangers: every hour its nonce expires, and it
 * needs one answer to go on with the next. A stranger who forges its source only makes it hear of a
 * new nonce. */
static bool may_answer(struct pv_turns *t, const struct pv_turns_req *q)
{
    const struct pv_turns_alloc *there = pv_turns_alloc_find(t, q->way);
    if (there == NULL || there->member == NULL)
        return pv_stuns_may_answer(t->stuns, &q->way->src, q->now);
    return pv_stuns_may_answer_member(t->stuns, &there->member->unsigned_answers, &q->way->src,
                                      q->now);
}

/* The offer in an answer to a request that nobody has signed for. */
enum offer {
    OFFER_NOTHING,  /* the request was a bad one: it is no use to try again */
    OFFER_PLAIN,    /* a nonce, as before RFC 8489 */
    OFFER_FEATURES, /* and a choice of algorithms */
};

/* Such an answer is short, takes a token from the shared buckets, and has PV_STUNS_GAIN times the
 * bytes of its request at most: a poor amplifier for a forged source. False: a request as short as
 * no client sends it gets none. */
static bool choose_offer(const struct pv_turns_req *q, unsigned code, enum offer *ret_offer)
{
    static const size_t lens[] = {[OFFER_NOTHING] = PV_TURNS_UNAUTH_LEAST,
                                  [OFFER_PLAIN] = PV_TURNS_UNAUTH_PLAIN,
                                  [OFFER_FEATURES] = PV_TURNS_UNAUTH_FEATURES};
    size_t most = PV_STUNS_GAIN * q->msg->raw.len - (q->fingerprint ? FINGERPRINT_LEN : 0);
    enum offer offer = code == PV_STUN_E_BAD_REQUEST ? OFFER_NOTHING : OFFER_FEATURES;
    bool is_forgeable = q->way->stream == 0;
    if (is_forgeable && offer == OFFER_FEATURES && lens[offer] > most)
        offer = OFFER_PLAIN;
    *ret_offer = offer;
    return !is_forgeable || lens[offer] <= most;
}

/* A nonce says how to try again (RFC 8489 s9.2.4). */
static void answer_unsigned(struct pv_turns *t, const struct pv_turns_req *q, unsigned code)
{
    char buf_nonce[PV_TURNAUTH_NONCE_BUF];
    struct pv_stun_writer w;
    uint8_t *buf = NULL;
    enum offer offer;
    if (!choose_offer(q, code, &offer) || !may_answer(t, q))
        return;
    struct pv_turns_out *out = pv_turns_out_to(t, q->way, &buf);
    if (out == NULL)
        return;
    pv_relaystat_add(&t->stats, PV_RELAYSTAT_REFUSED, 1);
    pv_stun_write_answer(&w, buf, PV_TURNS_UNAUTH_MAX, PV_STUN_ERROR, q->msg);
    pv_stun_put_error(&w, code, "");
    if (offer != OFFER_NOTHING) {
        const char *nonce =
            pv_turnauth_nonce(&t->auth, &q->way->src, q->now, offer == OFFER_FEATURES, buf_nonce);
        pv_stun_put(&w, PV_STUN_ATTR_REALM, pv_view(PV_TURNAUTH_REALM, strlen(PV_TURNAUTH_REALM)));
        pv_stun_put(&w, PV_STUN_ATTR_NONCE, pv_view(nonce, strlen(nonce)));
    }
    if (offer == OFFER_FEATURES)
        pv_stun_put(&w, PV_STUN_ATTR_PASSWORD_ALGORITHMS, pv_view(algorithms, sizeof(algorithms)));
    if (q->fingerprint)
        pv_stun_put_fingerprint(&w);
    pv_turns_out_end(t, out, &w);
}

/* --- the sender of a request ------------------------------------------------------------------ */

/* There are at most 64 names, so they are compared one by one. */
static struct pv_turns_account *user_by_name(struct pv_turns *t, struct pv_view name)
{
    for (size_t i = 0; i < t->n_users; i++) {
        if (pv_view_equal(name, pv_view(t->users[i].name, strlen(t->users[i].name))))
            return &t->users[i];
    }
    return NULL;
}

/* Clients that know RFC 8489 s9.2 send a hash, so that nobody on the way reads the name. */
static struct pv_turns_account *user_by_hash(struct pv_turns *t, struct pv_view hash)
{
    for (size_t i = 0; i < t->n_users; i++) {
        if (pv_view_equal(hash, pv_view(t->users[i].hash, PV_SHA256_LEN)))
            return &t->users[i];
    }
    return NULL;
}

/* Finds a static user or a member. Members' names are derived from a secret, so no static user has
 * one by chance. */
static bool find_user(struct pv_turns *t, struct pv_turns_req *q)
{
    struct pv_view v;
    if (pv_stun_find(q->msg, PV_STUN_ATTR_USERNAME, &v) == PV_OK) {
        q->user = user_by_name(t, v);
        if (q->user == NULL && v.len == PV_TURNS_MEMBER_USER)
            q->member = pv_turntab_find(&t->by_user, v.ptr);
        if (q->user == NULL && q->member == NULL && v.len == PV_TURNS_MEMBER_USER &&
            t->n_unmet > 0) {
            pv_turns_member_meet(t);
            q->member = pv_turntab_find(&t->by_user, v.ptr);
        }
    } else if (pv_stun_find(q->msg, PV_STUN_ATTR_USERHASH, &v) == PV_OK) {
        q->user = user_by_hash(t, v);
    }
    return q->user != NULL || q->member != NULL;
}

/* --- the nonce ------------------------------------------------------------------------------- */

/*
 * Ours: the nonce is looked at before the integrity, so that a flood with stale nonces costs no
 * HMAC. One of welcome stands for one Allocate of its member, and then for that 5-tuple.
 */
static bool nonce_is_good(struct pv_turns *t, struct pv_turns_req *q)
{
    struct pv_view text;
    struct pv_turnauth_nonce nonce;
    if (pv_stun_find(q->msg, PV_STUN_ATTR_NONCE, &text) < 0 ||
        pv_turnauth_check(&t->auth, text, &q->way->src, q->now, &nonce) < 0)
        return false;
    if (!nonce.welcome)
        return true;
    struct pv_turns_member *m = q->member;
    if (m == NULL || nonce.serial != m->serial ||
        pv_turnauth_check_welcome(&t->auth, &nonce, pv_view(m->who, sizeof(m->who))) < 0)
        return false;
    q->unspent = !m->spent && q->msg->method == PV_TURN_ALLOCATE;
    return q->unspent || (m->spent && memcmp(m->spent_by, q->way->key, sizeof(m->spent_by)) == 0);
}

/* --- the algorithm --------------------------------------------------------------------------- */

/* A request has to have both attributes or neither, the list as it was offered, and one algorithm
 * of it (RFC 8489 s9.2.4). */
static bool take_algorithm(struct pv_turns_req *q)
{
    struct pv_view one;
    struct pv_view list;
    bool has_one = pv_stun_find(q->msg, PV_STUN_ATTR_PASSWORD_ALGORITHM, &one) == PV_OK;
    bool has_list = pv_stun_find(q->msg, PV_STUN_ATTR_PASSWORD_ALGORITHMS, &list) == PV_OK;
    if (!has_one && !has_list)
        return true;
    if (!has_one || !has_list || !pv_view_equal(list, pv_view(algorithms, sizeof(algorithms))) ||
        one.len != 4 || pv_load_be16(one.ptr + 2) != 0)
        return false;
    uint16_t algorithm = pv_load_be16(one.ptr);
    q->sha256 = true;
    q->sha_key = algorithm == ALGORITHM_SHA256;
    return q->sha_key || algorithm == ALGORITHM_MD5;
}

/* The client chooses by PASSWORD-ALGORITHM which of the two hashes of the password counts. */
static struct pv_view auth_key(const struct pv_turns_req *q)
{
    const struct pv_turnauth_key *key = q->user != NULL ? &q->user->key : &q->member->key;
    return q->sha_key ? pv_view(key->sha256, sizeof(key->sha256))
                      : pv_view(key->md5, sizeof(key->md5));
}

bool pv_turns_auth_check(struct pv_turns *t, struct pv_turns_req *q)
{
    bool sha256 = pv_stun_has(q->msg, PV_STUN_ATTR_MESSAGE_INTEGRITY_SHA256);
    if (!sha256 && !pv_stun_has(q->msg, PV_STUN_ATTR_MESSAGE_INTEGRITY)) {
        answer_unsigned(t, q, PV_STUN_E_UNAUTHENTICATED);
        return false;
    }
    if ((!pv_stun_has(q->msg, PV_STUN_ATTR_USERNAME) &&
         !pv_stun_has(q->msg, PV_STUN_ATTR_USERHASH)) ||
        !pv_stun_has(q->msg, PV_STUN_ATTR_REALM) || !pv_stun_has(q->msg, PV_STUN_ATTR_NONCE) ||
        !take_algorithm(q)) {
        answer_unsigned(t, q, PV_STUN_E_BAD_REQUEST);
        return false;
    }
    bool known = find_user(t, q);
    if (!nonce_is_good(t, q)) {
        answer_unsigned(t, q, PV_TURN_E_STALE_NONCE);
        return false;
    }
    int r = !known   ? PV_ERR_AUTH
            : sha256 ? pv_stun_check_integrity_sha256(q->msg, auth_key(q))
                     : pv_stun_check_integrity(q->msg, auth_key(q));
    if (r < 0)
        answer_unsigned(t, q, PV_STUN_E_UNAUTHENTICATED);
    return r == PV_OK;
}

/* --- signed answers -------------------------------------------------------------------------- */

struct pv_turns_out *pv_turns_auth_begin(struct pv_turns *t, const struct pv_turns_req *q,
                                         enum pv_stun_class cls, struct pv_stun_writer *w)
{
    uint8_t *buf = NULL;
    struct pv_turns_out *out = pv_turns_out_to(t, q->way, &buf);
    if (out != NULL)
        pv_stun_write_answer(w, buf, PV_TURNS_SCRATCH, cls, q->msg);
    return out;
}

void pv_turns_auth_end(struct pv_turns *t, const struct pv_turns_req *q, struct pv_turns_out *out,
                       struct pv_stun_writer *w)
{
    if (q->sha256)
        pv_stun_put_integrity_sha256(w, auth_key(q));
    else
        pv_stun_put_integrity(w, auth_key(q));
    if (q->fingerprint)
        pv_stun_put_fingerprint(w);
    pv_turns_out_end(t, out, w);
}

void pv_turns_auth_refuse(struct pv_turns *t, const struct pv_turns_req *q, unsigned code)
{
    struct pv_stun_writer w;
    struct pv_turns_out *out = pv_turns_auth_begin(t, q, PV_STUN_ERROR, &w);
    if (out == NULL)
        return;
    pv_relaystat_add(&t->stats, PV_RELAYSTAT_REFUSED, 1);
    pv_stun_put_error(&w, code, "");
    pv_turns_auth_end(t, q, out, &w);
}
