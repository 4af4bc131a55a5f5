/* SPDX-License-Identifier: MIT */
/*
 * aead_ipsec_mb.c - Intel's IPsec-MB: the fastest AES-GCM for x86-64 with AVX2, and the fastest
 * ChaCha20-Poly1305 with AVX-512 (PERFORMANCE "Ciphers"). Its manager holds scratch memory, so each
 * thread has one.
 */
#ifdef PV_HAVE_IPSEC_MB

#include <intel-ipsec-mb.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "crypto/provider.h"

enum {
    KEY_ALIGN = 64, /* bytes; struct gcm_key_data is read with wide loads */
};

/* A manager for this processor, if no other library is faster with the suite (docs/adr/0121). */
static int mb_state_new(void **ret_state, enum pv_suite suite)
{
    const uint64_t least = suite == PV_SUITE_AES ? IMB_FEATURE_AVX2 : IMB_FEATURE_AVX512_SKX;
    IMB_ARCH arch = IMB_ARCH_NONE;
    IMB_MGR *mgr = alloc_mb_mgr(0);
    if (mgr == NULL)
        return PV_ERR_NOMEM;
    init_mb_mgr_auto(mgr, &arch);
    if (imb_get_errno(mgr) != 0 || (mgr->features & least) != least) {
        free_mb_mgr(mgr);
        return PV_ERR_CRYPTO;
    }
    *ret_state = mgr;
    return PV_OK;
}

static void mb_state_free(void *state)
{
    IMB_MGR *mgr = state;
    free_mb_mgr(mgr);
}

/* --- AES-256-GCM: direct calls, as jobs cost more (PERFORMANCE "Ciphers") --------------------- */

/* Which instructions the key is expanded for depends on the processor alone: any thread's manager
 * can use it. */
int pv_aead_ipsec_mb_key_new(void **ret_key, const uint8_t key[static PV_AEAD_KEY_LEN])
{
    void *mgr = NULL;
    size_t len = (sizeof(struct gcm_key_data) + KEY_ALIGN - 1) / KEY_ALIGN * KEY_ALIGN;
    int r = mb_state_new(&mgr, PV_SUITE_AES);
    if (r == PV_ERR_CRYPTO) {
        *ret_key = NULL;
        return PV_OK;
    }
    if (r < 0)
        return r;
    struct gcm_key_data *data = aligned_alloc(KEY_ALIGN, len);
    if (data != NULL)
        IMB_AES256_GCM_PRE((IMB_MGR *)mgr, key, data);
    mb_state_free(mgr);
    if (data == NULL)
        return PV_ERR_NOMEM;
    *ret_key = data;
    return PV_OK;
}

void pv_aead_ipsec_mb_key_free(void *key)
{
    if (key != NULL)
        pv_wipe(key, sizeof(struct gcm_key_data));
    free(key);
}

static int run_gcm(IMB_MGR *mgr, const struct pv_aead_op *op, size_t len,
                   IMB_CIPHER_DIRECTION direction, uint8_t tag[static PV_AEAD_TAG_LEN])
{
    const struct gcm_key_data *key = op->aead->ipsec_mb;
    struct gcm_context_data ctx;
    uint8_t nonce[PV_AEAD_NONCE_LEN];
    pv_aead_nonce(PV_SUITE_AES, op->counter, nonce);
    if (direction == IMB_DIR_ENCRYPT)
        IMB_AES256_GCM_ENC(mgr, key, &ctx, op->data, op->data, len, nonce, NULL, 0, tag,
                           PV_AEAD_TAG_LEN);
    else
        IMB_AES256_GCM_DEC(mgr, key, &ctx, op->data, op->data, len, nonce, NULL, 0, tag,
                           PV_AEAD_TAG_LEN);
    return PV_OK;
}

/* --- ChaCha20-Poly1305 ------------------------------------------------------------------------ */

/* One job, done at once: this cipher is never kept waiting for others. */
static int run_chacha(IMB_MGR *mgr, const struct pv_aead_op *op, size_t len,
                      IMB_CIPHER_DIRECTION direction, uint8_t tag[static PV_AEAD_TAG_LEN])
{
    uint8_t nonce[PV_AEAD_NONCE_LEN];
    pv_aead_nonce(PV_SUITE_CHACHA, op->counter, nonce);
    IMB_JOB *job = IMB_GET_NEXT_JOB(mgr);
    memset(job, 0, sizeof(*job));
    job->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
    job->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
    job->cipher_direction = direction;
    job->chain_order = direction == IMB_DIR_ENCRYPT ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
    job->enc_keys = job->dec_keys = op->aead->key;
    job->key_len_in_bytes = PV_AEAD_KEY_LEN;
    job->iv = nonce;
    job->iv_len_in_bytes = PV_AEAD_NONCE_LEN;
    job->src = job->dst = op->data;
    job->msg_len_to_cipher_in_bytes = job->msg_len_to_hash_in_bytes = len;
    job->auth_tag_output = tag;
    job->auth_tag_output_len_in_bytes = PV_AEAD_TAG_LEN;
    job = IMB_SUBMIT_JOB_NOCHECK(mgr);
    if (job == NULL)
        job = IMB_FLUSH_JOB(mgr);
    return job != NULL && job->status == IMB_STATUS_COMPLETED ? PV_OK : PV_ERR_CRYPTO;
}

/* --- batches -------------------------------------------------------------------------------- */

static int mb_run(IMB_MGR *mgr, const struct pv_aead_op *op, size_t len,
                  IMB_CIPHER_DIRECTION direction, uint8_t tag[static PV_AEAD_TAG_LEN])
{
    return op->aead->suite == PV_SUITE_AES ? run_gcm(mgr, op, len, direction, tag)
                                           : run_chacha(mgr, op, len, direction, tag);
}

static void mb_seal(void *state, struct pv_aead_op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ops[i].status =
            mb_run(state, &ops[i], ops[i].len, IMB_DIR_ENCRYPT, ops[i].data + ops[i].len);
}

/* The library computes the tag and does not compare it; the comparison is ours, in constant time.
 * Plaintext that turns out forged is erased before anybody can read it. */
static int mb_open_one(IMB_MGR *mgr, const struct pv_aead_op *op)
{
    uint8_t tag[PV_AEAD_TAG_LEN];
    if (op->len < PV_AEAD_TAG_LEN)
        return PV_ERR_AUTH;
    size_t len = op->len - PV_AEAD_TAG_LEN;
    int r = mb_run(mgr, op, len, IMB_DIR_DECRYPT, tag);
    if (r == PV_OK && !pv_ct_equal(tag, op->data + len, PV_AEAD_TAG_LEN))
        r = PV_ERR_AUTH;
    if (r < 0)
        memset(op->data, 0, len); /* it was decrypted before the tag was known */
    return r;
}

static void mb_open(void *state, struct pv_aead_op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ops[i].status = mb_open_one(state, &ops[i]);
}

const struct pv_aead_provider pv_aead_ipsec_mb = {
    .name = "ipsec-mb",
    .version = imb_get_version_str,
    .state_new = mb_state_new,
    .state_free = mb_state_free,
    .seal = mb_seal,
    .open = mb_open,
};

#else

/* Not built: C wants something in every file. */
typedef int pv_aead_no_ipsec_mb;

#endif
