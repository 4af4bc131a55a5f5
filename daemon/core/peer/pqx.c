/* SPDX-License-Identifier: MIT */
/* The exchange with one member. The words of either side are hashed with the description that said
 * it first, so both sides compute a key only from the same words. */
#include "daemon/core/peer/pqx.h"

#include <string.h>

#include "crypto/ct.h"

struct pv_pqx {
    struct pv_pqx_config cfg;
    bool offers; /* our identity key is the higher one */

    /* who offers: what belongs to the offer that is open */
    bool offered;
    uint8_t seed[PV_KEM_SEED_LEN];
    /* who answers: an answer is said until they have its key */
    bool answered;
    uint8_t dh_sk[PV_DH_LEN];
    uint8_t offer[PV_HYBRID_HASH_LEN]; /* hash of the newest one, open or answered */

    struct pv_desc_pq said; /* what our description says */
    pv_ns agreed_at;        /* the newest key; 0 = none yet */
    uint32_t newest;        /* its id; 0 = none */

    struct pv_pqx_key key; /* to be polled, when has_key */
    bool has_key;
    const char *error;
};

int pv_pqx_new(struct pv_pqx **ret_x, const struct pv_pqx_config *cfg)
{
    struct pv_pqx *x = pv_nodump_alloc(sizeof(*x));
    if (x == NULL)
        return PV_ERR_NOMEM;
    x->cfg = *cfg;
    x->offers = memcmp(cfg->own_pk, cfg->peer_pk, PV_SIGN_PK_LEN) > 0;
    x->error = "";
    *ret_x = x;
    return PV_OK;
}

struct pv_pqx *pv_pqx_free(struct pv_pqx *x)
{
    return pv_nodump_free(x, sizeof(*x));
}

/* --- halves ---------------------------------------------------------------------------------- */

static struct pv_hybrid_half half_of(const uint8_t pk[static PV_SIGN_PK_LEN],
                                     const struct pv_desc_pq *pq, const struct pv_ice_creds *creds)
{
    struct pv_hybrid_half h = {
        .gen = pq->gen,
        .rev = pq->rev,
        .desc = creds,
        .kem = pv_view(pq->kem, pq->kind == PV_DESC_PQ_OFFER ? PV_KEM_EK_LEN : PV_KEM_CT_LEN),
    };
    memcpy(h.by, pk, sizeof(h.by));
    memcpy(h.dh, pq->dh, sizeof(h.dh));
    return h;
}

/* Nothing of the half that is open can be used any more. */
static void close_half(struct pv_pqx *x)
{
    x->offered = false;
    x->answered = false;
    pv_wipe(x->seed, sizeof(x->seed));
    pv_wipe(x->dh_sk, sizeof(x->dh_sk));
    x->said.kind = PV_DESC_PQ_NONE;
}

/* The secrets that both sides know become the key. hash: of the answer. */
static void agree(struct pv_pqx *x, const uint8_t hash[static PV_HYBRID_HASH_LEN],
                  const uint8_t kem[static PV_KEM_SECRET_LEN], const uint8_t dh[static PV_DH_LEN],
                  pv_ns now)
{
    struct pv_hybrid_shared shared;
    memcpy(shared.network_id, x->cfg.network_id, sizeof(shared.network_id));
    memcpy(shared.answer, hash, sizeof(shared.answer));
    memcpy(shared.kem, kem, sizeof(shared.kem));
    memcpy(shared.dh, dh, sizeof(shared.dh));
    pv_hybrid_derive(&shared, &x->key.key);
    pv_wipe(&shared, sizeof(shared));
    x->key.fresh = true;
    x->key.proven = x->offers;
    x->has_key = true;
    x->newest = x->key.key.id;
    x->agreed_at = now;
    x->error = "";
}

/* --- who offers ------------------------------------------------------------------------------ */

static bool make_offer(struct pv_pqx *x, const struct pv_pqx_own *own)
{
    close_half(x);
    pv_rng_fill(&x->cfg.rng, x->seed, sizeof(x->seed));
    pv_dh_keypair(&x->cfg.rng, x->dh_sk, x->said.dh);
    if (x->cfg.kem->keypair(x->seed, x->said.kem) != PV_OK) {
        close_half(x);
        x->error = "no key pair could be made";
        return false;
    }
    x->said.kind = PV_DESC_PQ_OFFER;
    x->said.gen = own->id.gen;
    x->said.rev = own->id.rev;
    const struct pv_hybrid_half half = half_of(x->cfg.own_pk, &x->said, own->creds);
    pv_hybrid_hash_offer(&half, x->offer);
    x->offered = true;
    return true;
}

/* An answer to an offer that is closed or was replaced is a late one, and no error. A ciphertext
 * that was not made for our key gives a secret that they have not, and then no handshake. */
static void take_answer(struct pv_pqx *x, const struct pv_desc *theirs, pv_ns now)
{
    const struct pv_desc_pq *pq = theirs->pq;
    uint8_t kem[PV_KEM_SECRET_LEN], dh[PV_DH_LEN], hash[PV_HYBRID_HASH_LEN];
    if (!x->offered || memcmp(pq->to, x->offer, sizeof(pq->to)) != 0)
        return;
    int r = x->cfg.kem->decapsulate(x->seed, pv_view(pq->kem, PV_KEM_CT_LEN), kem);
    if (r == PV_OK)
        r = pv_dh(dh, x->dh_sk, pq->dh);
    if (r == PV_OK) {
        const struct pv_hybrid_half half = half_of(x->cfg.peer_pk, pq, &theirs->creds);
        pv_hybrid_hash_answer(&half, x->offer, hash);
        agree(x, hash, kem, dh, now);
        close_half(x);
        x->said.have = x->newest;
    } else {
        x->error = "its answer is no answer";
    }
    pv_wipe(kem, sizeof(kem));
    pv_wipe(dh, sizeof(dh));
}

/* --- who answers ----------------------------------------------------------------------------- */

static bool take_offer(struct pv_pqx *x, const struct pv_pqx_own *own, const struct pv_desc *theirs,
                       pv_ns now)
{
    uint8_t hash[PV_HYBRID_HASH_LEN], random[PV_KEM_RANDOM_LEN];
    uint8_t kem[PV_KEM_SECRET_LEN], dh[PV_DH_LEN];
    const struct pv_hybrid_half offer = half_of(x->cfg.peer_pk, theirs->pq, &theirs->creds);
    pv_hybrid_hash_offer(&offer, hash);
    if (x->answered && memcmp(hash, x->offer, sizeof(hash)) == 0)
        return false; /* it is answered in our description as it is */
    close_half(x);
    memcpy(x->offer, hash, sizeof(x->offer));
    pv_rng_fill(&x->cfg.rng, random, sizeof(random));
    pv_dh_keypair(&x->cfg.rng, x->dh_sk, x->said.dh);
    int r = x->cfg.kem->encapsulate(offer.kem, random, x->said.kem, kem);
    if (r == PV_OK)
        r = pv_dh(dh, x->dh_sk, offer.dh);
    if (r == PV_OK) {
        x->said.kind = PV_DESC_PQ_ANSWER;
        x->said.gen = own->id.gen;
        x->said.rev = own->id.rev;
        memcpy(x->said.to, hash, sizeof(x->said.to));
        const struct pv_hybrid_half half = half_of(x->cfg.own_pk, &x->said, own->creds);
        pv_hybrid_hash_answer(&half, x->offer, hash);
        agree(x, hash, kem, dh, now);
        x->answered = true;
    } else {
        x->error = "its offer is no key";
    }
    pv_wipe(x->dh_sk, sizeof(x->dh_sk));
    pv_wipe(random, sizeof(random));
    pv_wipe(kem, sizeof(kem));
    pv_wipe(dh, sizeof(dh));
    return x->answered;
}

/* --- the exchange ---------------------------------------------------------------------------- */

void pv_pqx_begin(struct pv_pqx *x, const struct pv_pqx_own *own, bool offer)
{
    close_half(x);
    if (x->offers && offer)
        (void)make_offer(x, own);
}

void pv_pqx_have(struct pv_pqx *x, const struct pv_desc *theirs)
{
    if (theirs->pq == NULL || theirs->pq->have == 0 || !x->answered ||
        theirs->pq->have != x->newest)
        return;
    close_half(x);
    if (x->has_key) {
        x->key.proven = true;
        return;
    }
    x->key = (struct pv_pqx_key){.key.id = x->newest, .proven = true};
    x->has_key = true;
}

/* They began anew. An open offer stays as it is, for it is as good for their new life, and their
 * answer may be under way; but when they had seen it, and do not answer any more, it has to come as
 * something new. */
static bool offer_again(struct pv_pqx *x, const struct pv_pqx_own *own,
                        const struct pv_desc *theirs)
{
    if (x->offered)
        return theirs->re_gen == own->id.gen && theirs->re_rev >= x->said.rev;
    return make_offer(x, own);
}

/* A half of this generation, and not of a later revision than the description that has it. */
static bool has_half(const struct pv_desc *theirs, enum pv_desc_pq_kind kind)
{
    const struct pv_desc_pq *pq = theirs->pq;
    return pq != NULL && pq->kind == kind && pq->gen == theirs->gen && pq->rev <= theirs->rev;
}

bool pv_pqx_costs(const struct pv_pqx *x, const struct pv_desc *theirs, bool new_gen)
{
    bool able = (theirs->caps & PV_DESC_CAP_PQ) != 0;
    if (!x->offers && has_half(theirs, PV_DESC_PQ_OFFER)) {
        uint8_t hash[PV_HYBRID_HASH_LEN];
        const struct pv_hybrid_half offer = half_of(x->cfg.peer_pk, theirs->pq, &theirs->creds);
        pv_hybrid_hash_offer(&offer, hash);
        return !x->answered || memcmp(hash, x->offer, sizeof(hash)) != 0;
    }
    if (!x->offers)
        return false;
    return (new_gen && able) || (x->offered && has_half(theirs, PV_DESC_PQ_ANSWER) &&
                                 memcmp(theirs->pq->to, x->offer, sizeof(theirs->pq->to)) == 0);
}

bool pv_pqx_take(struct pv_pqx *x, const struct pv_pqx_own *own, const struct pv_desc *theirs,
                 bool new_gen, pv_ns now)
{
    bool able = (theirs->caps & PV_DESC_CAP_PQ) != 0;
    if (own->id.gen == 0)
        return false;
    pv_pqx_have(x, theirs);
    if (!x->offers)
        return has_half(theirs, PV_DESC_PQ_OFFER) && take_offer(x, own, theirs, now);
    if (has_half(theirs, PV_DESC_PQ_ANSWER))
        take_answer(x, theirs, now);
    return new_gen && able && !x->has_key && offer_again(x, own, theirs);
}

bool pv_pqx_renew(struct pv_pqx *x, const struct pv_pqx_own *own, pv_ns now)
{
    return x->offers && !x->offered && x->newest != 0 && own->id.gen != 0 &&
           now >= x->agreed_at + PV_PQX_RENEW && make_offer(x, own);
}

const struct pv_desc_pq *pv_pqx_say(struct pv_pqx *x)
{
    return x->said.kind == PV_DESC_PQ_NONE && x->said.have == 0 ? NULL : &x->said;
}

int pv_pqx_poll_key(struct pv_pqx *x, struct pv_pqx_key *ret_key)
{
    if (!x->has_key)
        return PV_ERR_AGAIN;
    *ret_key = x->key;
    pv_wipe(&x->key, sizeof(x->key));
    x->has_key = false;
    return PV_OK;
}

const char *pv_pqx_error(const struct pv_pqx *x)
{
    return x->error;
}
