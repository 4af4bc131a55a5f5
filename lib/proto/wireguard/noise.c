/* SPDX-License-Identifier: MIT */
/*
 * noise.c - Noise (revision 34): the symmetric state, the handshake IK and the one-message pattern
 * X. The functions carry the names of the Noise specification (s5.2), so that each pattern below
 * can be read beside its line of tokens there. A failed step wipes the handshake: there is no state
 * from which to go on, and none to leak.
 */
#include "proto/wireguard/noise.h"

#include <string.h>

#include "crypto/ct.h"
#include "crypto/dh.h"
#include "crypto/hash.h"

enum {
    SEALED_KEY_LEN = PV_DH_LEN + PV_NOISE_TAG_LEN, /* an encrypted static key */
    PAYLOAD_AT = PV_DH_LEN + SEALED_KEY_LEN,       /* offset in the first message of IK and X */
};

static const char IK_NAME[] = "Noise_IK_25519_ChaChaPoly_BLAKE2s";
static const char X_NAME[] = "Noise_X_25519_ChaChaPoly_BLAKE2s";
static const char XPSK_NAME[] = "Noise_Xpsk1_25519_ChaChaPoly_BLAKE2s";
static const struct pv_view NONE = {NULL, 0};

/* --- symmetric state ------------------------------------------------------------------------ */

void pv_noise_sym_init(struct pv_noise_sym *sym, const char *name, struct pv_view prologue)
{
    size_t len = strlen(name);
    memset(sym, 0, sizeof(*sym));
    if (len <= PV_NOISE_HASH_LEN)
        memcpy(sym->h, name, len);
    else
        pv_blake2s(sym->h, pv_view(name, len), NONE);
    memcpy(sym->ck, sym->h, sizeof(sym->ck));
    pv_noise_mix_hash(sym, prologue);
}

void pv_noise_sym_wipe(struct pv_noise_sym *sym)
{
    pv_wipe(sym, sizeof(*sym));
}

void pv_noise_mix_hash(struct pv_noise_sym *sym, struct pv_view data)
{
    pv_blake2s(sym->h, pv_view(sym->h, sizeof(sym->h)), data);
}

/* A new key starts its nonces anew: the pair (key, nonce) must never repeat. */
void pv_noise_mix_key(struct pv_noise_sym *sym, struct pv_view input)
{
    pv_noise_hkdf(sym->ck, input, sym->ck, sym->k, NULL);
    sym->n = 0;
}

void pv_noise_mix_key_and_hash(struct pv_noise_sym *sym, const uint8_t psk[static PV_NOISE_PSK_LEN])
{
    uint8_t temp[PV_BLAKE2S_LEN];
    pv_noise_hkdf(sym->ck, pv_view(psk, PV_NOISE_PSK_LEN), sym->ck, temp, sym->k);
    pv_noise_mix_hash(sym, pv_view(temp, sizeof(temp)));
    sym->n = 0;
    pv_wipe(temp, sizeof(temp));
}

int pv_noise_mix_dh(struct pv_noise_sym *sym, const uint8_t sk[static PV_DH_LEN],
                    const uint8_t pk[static PV_DH_LEN])
{
    uint8_t shared[PV_DH_LEN];
    int r = pv_dh(shared, sk, pk);
    if (r < 0)
        return r;
    pv_noise_mix_key(sym, pv_view(shared, sizeof(shared)));
    pv_wipe(shared, sizeof(shared));
    return PV_OK;
}

void pv_noise_encrypt_and_hash(struct pv_noise_sym *sym, uint8_t *out, struct pv_view pt)
{
    struct pv_view ad = pv_view(sym->h, sizeof(sym->h));
    if (sym->suite == PV_SUITE_AES)
        pv_gcm_seal(out, sym->k, sym->n++, ad, pt);
    else
        pv_aead_seal(out, sym->k, sym->n++, ad, pt);
    pv_noise_mix_hash(sym, pv_view(out, pt.len + PV_NOISE_TAG_LEN));
}

/* Nothing changes on failure, so that a forged message does not disturb the state of a genuine one
 * that may follow (WireGuard's responder tries several peers). */
int pv_noise_decrypt_and_hash(struct pv_noise_sym *sym, uint8_t *out, struct pv_view ct)
{
    struct pv_view ad = pv_view(sym->h, sizeof(sym->h));
    int r = sym->suite == PV_SUITE_AES ? pv_gcm_open(out, sym->k, sym->n, ad, ct)
                                       : pv_aead_open(out, sym->k, sym->n, ad, ct);
    if (r < 0)
        return r;
    sym->n++;
    pv_noise_mix_hash(sym, ct);
    return PV_OK;
}

/* After the split the chaining key could still derive both transport keys, so it goes at once. */
void pv_noise_split(struct pv_noise_sym *sym, uint8_t ret_k1[static PV_AEAD_KEY_LEN],
                    uint8_t ret_k2[static PV_AEAD_KEY_LEN])
{
    pv_noise_hkdf(sym->ck, NONE, ret_k1, ret_k2, NULL);
    pv_wipe(sym->ck, sizeof(sym->ck));
    pv_wipe(sym->k, sizeof(sym->k));
}

/* --- transport messages --------------------------------------------------------------------- */

int pv_noise_seal(struct pv_noise_cipher *c, uint8_t *ct, struct pv_view pt)
{
    if (pt.len > PV_NOISE_MSG_MAX - PV_NOISE_TAG_LEN || c->n == UINT64_MAX)
        return PV_ERR_LIMIT;
    pv_aead_seal(ct, c->key, c->n, NONE, pt);
    c->n++;
    return PV_OK;
}

int pv_noise_open(struct pv_noise_cipher *c, uint8_t *pt, struct pv_view ct)
{
    if (ct.len > PV_NOISE_MSG_MAX || c->n == UINT64_MAX)
        return PV_ERR_LIMIT;
    int r = pv_aead_open(pt, c->key, c->n, NONE, ct);
    if (r < 0)
        return r;
    c->n++;
    return PV_OK;
}

void pv_noise_cipher_wipe(struct pv_noise_cipher *c)
{
    pv_wipe(c, sizeof(*c));
}

/* --- the first message of IK and X: e, es, s, ss, payload ------------------------------------ */

/* Tokens e, es, s, ss (Noise s7.5): the sender's static key travels encrypted to the receiver's, so
 * that only the receiver learns who speaks. With a psk its token follows, and the ephemeral key is
 * mixed in (s9.2). */
static int write_first(struct pv_noise_sym *sym, const struct pv_noise_static *s,
                       const struct pv_noise_keys *e, const uint8_t rs[static PV_DH_LEN],
                       struct pv_view payload, uint8_t *out)
{
    memcpy(out, e->pk, PV_DH_LEN);
    pv_noise_mix_hash(sym, pv_view(e->pk, PV_DH_LEN));
    if (sym->psk != NULL)
        pv_noise_mix_key(sym, pv_view(e->pk, PV_DH_LEN));
    int r = pv_noise_mix_dh(sym, e->sk, rs);
    if (r < 0)
        return r;
    pv_noise_encrypt_and_hash(sym, out + PV_DH_LEN, pv_view(s->pk, PV_DH_LEN));
    r = pv_noise_mix_dh(sym, s->sk, rs);
    if (r < 0)
        return r;
    if (sym->psk != NULL)
        pv_noise_mix_key_and_hash(sym, sym->psk);
    pv_noise_encrypt_and_hash(sym, out + PAYLOAD_AT, payload);
    return PV_OK;
}

/* The receiver's side of write_first(). The sender's keys are written to the results only when
 * everything is authentic. payload gets msg.len - PV_NOISE_X_OVERHEAD bytes. */
static int read_first(struct pv_noise_sym *sym, const struct pv_noise_static *s, struct pv_view msg,
                      uint8_t ret_re[static PV_DH_LEN], uint8_t ret_rs[static PV_DH_LEN],
                      uint8_t *payload)
{
    uint8_t rs[PV_DH_LEN];
    if (msg.len < PV_NOISE_X_OVERHEAD)
        return PV_ERR_AUTH;
    const uint8_t *re = msg.ptr;
    const uint8_t *sealed = msg.ptr + PAYLOAD_AT;

    pv_noise_mix_hash(sym, pv_view(re, PV_DH_LEN));
    if (sym->psk != NULL)
        pv_noise_mix_key(sym, pv_view(re, PV_DH_LEN));
    int r = pv_noise_mix_dh(sym, s->sk, re);
    if (r < 0)
        return r;
    r = pv_noise_decrypt_and_hash(sym, rs, pv_view(msg.ptr + PV_DH_LEN, SEALED_KEY_LEN));
    if (r < 0)
        return r;
    r = pv_noise_mix_dh(sym, s->sk, rs);
    if (r < 0)
        return r;
    if (sym->psk != NULL)
        pv_noise_mix_key_and_hash(sym, sym->psk);
    r = pv_noise_decrypt_and_hash(sym, payload, pv_view(sealed, msg.len - PAYLOAD_AT));
    if (r < 0)
        return r;
    memcpy(ret_re, re, PV_DH_LEN);
    memcpy(ret_rs, rs, PV_DH_LEN);
    return PV_OK;
}

/* --- IK ------------------------------------------------------------------------------------- */

static void ik_init(struct pv_noise_ik *ik, struct pv_view prologue,
                    const struct pv_noise_static *local, const uint8_t responder[static PV_DH_LEN])
{
    memset(ik, 0, sizeof(*ik));
    ik->s = *local;
    pv_noise_sym_init(&ik->sym, IK_NAME, prologue);
    pv_noise_mix_hash(&ik->sym, pv_view(responder, PV_DH_LEN));
}

void pv_noise_ik_init_initiator(struct pv_noise_ik *ik, struct pv_view prologue,
                                const struct pv_noise_static *local,
                                const uint8_t remote[static PV_DH_LEN])
{
    ik_init(ik, prologue, local, remote);
    memcpy(ik->rs, remote, sizeof(ik->rs));
    ik->initiator = true;
    ik->state = PV_NOISE_IK_WRITE1;
}

void pv_noise_ik_init_responder(struct pv_noise_ik *ik, struct pv_view prologue,
                                const struct pv_noise_static *local)
{
    ik_init(ik, prologue, local, local->pk);
    ik->state = PV_NOISE_IK_READ1;
}

void pv_noise_ik_wipe(struct pv_noise_ik *ik)
{
    pv_wipe(ik, sizeof(*ik));
    ik->state = PV_NOISE_IK_DEAD;
}

/* Moves to next, or ends the handshake when the step failed with r. */
static int ik_step(struct pv_noise_ik *ik, int r, enum pv_noise_ik_state next)
{
    if (r < 0)
        pv_noise_ik_wipe(ik);
    else
        ik->state = next;
    return r;
}

int pv_noise_ik_write1(struct pv_noise_ik *ik, const struct pv_rng *rng,
                       uint8_t ret_msg[static PV_NOISE_IK_MSG1_LEN])
{
    if (ik->state != PV_NOISE_IK_WRITE1)
        return PV_ERR_STATE;
    uint8_t msg[PV_NOISE_IK_MSG1_LEN];
    pv_dh_keypair(rng, ik->e.sk, ik->e.pk);
    int r = write_first(&ik->sym, &ik->s, &ik->e, ik->rs, NONE, msg);
    if (r == PV_OK)
        memcpy(ret_msg, msg, sizeof(msg));
    return ik_step(ik, r, PV_NOISE_IK_READ2);
}

int pv_noise_ik_read1(struct pv_noise_ik *ik, struct pv_view msg,
                      uint8_t ret_remote[static PV_DH_LEN])
{
    if (ik->state != PV_NOISE_IK_READ1)
        return PV_ERR_STATE;
    uint8_t empty[1];
    int r = msg.len == PV_NOISE_IK_MSG1_LEN
                ? read_first(&ik->sym, &ik->s, msg, ik->re, ik->rs, empty)
                : PV_ERR_AUTH;
    if (r == PV_OK)
        memcpy(ret_remote, ik->rs, sizeof(ik->rs));
    return ik_step(ik, r, PV_NOISE_IK_WRITE2);
}

/* e, ee, se, empty payload. */
static int write_second(struct pv_noise_ik *ik, uint8_t msg[static PV_NOISE_IK_MSG2_LEN])
{
    memcpy(msg, ik->e.pk, PV_DH_LEN);
    pv_noise_mix_hash(&ik->sym, pv_view(ik->e.pk, PV_DH_LEN));
    int r = pv_noise_mix_dh(&ik->sym, ik->e.sk, ik->re);
    if (r < 0)
        return r;
    r = pv_noise_mix_dh(&ik->sym, ik->e.sk, ik->rs);
    if (r < 0)
        return r;
    pv_noise_encrypt_and_hash(&ik->sym, msg + PV_DH_LEN, NONE);
    return PV_OK;
}

int pv_noise_ik_write2(struct pv_noise_ik *ik, const struct pv_rng *rng,
                       uint8_t ret_msg[static PV_NOISE_IK_MSG2_LEN])
{
    if (ik->state != PV_NOISE_IK_WRITE2)
        return PV_ERR_STATE;
    uint8_t msg[PV_NOISE_IK_MSG2_LEN];
    pv_dh_keypair(rng, ik->e.sk, ik->e.pk);
    int r = write_second(ik, msg);
    if (r == PV_OK)
        memcpy(ret_msg, msg, sizeof(msg));
    return ik_step(ik, r, PV_NOISE_IK_READY);
}

static int read_second(struct pv_noise_ik *ik, struct pv_view msg)
{
    uint8_t empty[1];
    if (msg.len != PV_NOISE_IK_MSG2_LEN)
        return PV_ERR_AUTH;
    pv_noise_mix_hash(&ik->sym, pv_view(msg.ptr, PV_DH_LEN));
    int r = pv_noise_mix_dh(&ik->sym, ik->e.sk, msg.ptr);
    if (r < 0)
        return r;
    r = pv_noise_mix_dh(&ik->sym, ik->s.sk, msg.ptr);
    if (r < 0)
        return r;
    return pv_noise_decrypt_and_hash(&ik->sym, empty,
                                     pv_view(msg.ptr + PV_DH_LEN, PV_NOISE_TAG_LEN));
}

int pv_noise_ik_read2(struct pv_noise_ik *ik, struct pv_view msg)
{
    if (ik->state != PV_NOISE_IK_READ2)
        return PV_ERR_STATE;
    return ik_step(ik, read_second(ik, msg), PV_NOISE_IK_READY);
}

int pv_noise_ik_finish(struct pv_noise_ik *ik, struct pv_noise_cipher *ret_send,
                       struct pv_noise_cipher *ret_recv, uint8_t ret_hash[static PV_NOISE_HASH_LEN])
{
    if (ik->state != PV_NOISE_IK_READY)
        return PV_ERR_STATE;
    memcpy(ret_hash, ik->sym.h, PV_NOISE_HASH_LEN);
    if (ik->initiator)
        pv_noise_split(&ik->sym, ret_send->key, ret_recv->key);
    else
        pv_noise_split(&ik->sym, ret_recv->key, ret_send->key);
    ret_send->n = 0;
    ret_recv->n = 0;
    pv_noise_ik_wipe(ik);
    return PV_OK;
}

/* --- X -------------------------------------------------------------------------------------- */

/* The pattern X, or Xpsk1 where there is a psk; up to where both sides know the receiver's key. */
static void begin_box(struct pv_noise_sym *sym, const struct pv_noise_parties *parties,
                      const uint8_t receiver[static PV_DH_LEN])
{
    pv_noise_sym_init(sym, parties->psk == NULL ? X_NAME : XPSK_NAME, parties->prologue);
    sym->psk = parties->psk;
    pv_noise_mix_hash(sym, pv_view(receiver, PV_DH_LEN));
}

int pv_noise_xpsk_seal(const struct pv_noise_parties *parties, const struct pv_rng *rng,
                       struct pv_view pt, uint8_t *ret_box)
{
    if (pt.len > PV_NOISE_MSG_MAX - PV_NOISE_X_OVERHEAD)
        return PV_ERR_LIMIT;
    struct pv_noise_sym sym;
    struct pv_noise_keys e;
    begin_box(&sym, parties, parties->remote);
    pv_dh_keypair(rng, e.sk, e.pk);
    int r = write_first(&sym, parties->local, &e, parties->remote, pt, ret_box);
    pv_noise_sym_wipe(&sym);
    pv_wipe(&e, sizeof(e));
    return r;
}

int pv_noise_xpsk_open(const struct pv_noise_parties *parties, struct pv_view box,
                       uint8_t ret_sender[static PV_DH_LEN], uint8_t *ret_pt)
{
    if (box.len > PV_NOISE_MSG_MAX)
        return PV_ERR_AUTH;
    struct pv_noise_sym sym;
    uint8_t re[PV_DH_LEN];
    begin_box(&sym, parties, parties->local->pk);
    int r = read_first(&sym, parties->local, box, re, ret_sender, ret_pt);
    pv_noise_sym_wipe(&sym);
    return r;
}

int pv_noise_x_seal(const struct pv_rng *rng, struct pv_view prologue,
                    const struct pv_noise_static *local, const uint8_t remote[static PV_DH_LEN],
                    struct pv_view pt, uint8_t *ret_box)
{
    const struct pv_noise_parties parties = {
        .prologue = prologue, .local = local, .remote = remote};
    return pv_noise_xpsk_seal(&parties, rng, pt, ret_box);
}

int pv_noise_x_open(struct pv_view prologue, const struct pv_noise_static *local,
                    struct pv_view box, uint8_t ret_sender[static PV_DH_LEN], uint8_t *ret_pt)
{
    const struct pv_noise_parties parties = {.prologue = prologue, .local = local};
    return pv_noise_xpsk_open(&parties, box, ret_sender, ret_pt);
}
