/* SPDX-License-Identifier: MIT */
/*
 * wgmsg.c - makes and reads WireGuard's handshake messages (whitepaper s5.4.2 to s5.4.7). Offsets
 * are named and checked against the lengths of the whitepaper at compile time. Each reading
 * function works on a copy of the state, so that a forged message leaves nothing behind.
 */
#include "proto/wireguard/wgmsg.h"

#include <string.h>

#include "base/bytes.h"
#include "crypto/aead.h"
#include "crypto/ct.h"
#include "crypto/dh.h"
#include "crypto/hash.h"

/* Whitepaper s5.4. */
static const char *const CONSTRUCTION[PV_SUITES] = {
    [PV_SUITE_CHACHA] = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s",
    [PV_SUITE_AES] = "Noise_IKpsk2_25519_AESGCM_BLAKE2s",
};
static const char IDENTIFIER[] = "WireGuard v1 zx2c4 Jason@zx2c4.com";
static const char LABEL_MAC1[] = "mac1----";
static const char LABEL_COOKIE[] = "cookie--";

enum {
    MACS_LEN = 2 * PV_WGMSG_MAC_LEN,

    SUITE = 3,     /* offset of the suite in messages 1 and 2; zero in WireGuard */
    INDEX_LEN = 4, /* bytes of a sender or receiver index */

    /* Message 1 (whitepaper s5.4.2). */
    I_SENDER = 4,
    I_EPHEMERAL = 8,
    I_STATIC = 40,
    I_STATIC_LEN = PV_DH_LEN + PV_NOISE_TAG_LEN,
    I_TIMESTAMP = I_STATIC + I_STATIC_LEN,
    I_TIMESTAMP_LEN = PV_TAI64N_LEN + PV_NOISE_TAG_LEN,

    /* Message 2 (whitepaper s5.4.3). */
    R_SENDER = 4,
    R_RECEIVER = 8,
    R_EPHEMERAL = 12,
    R_EMPTY = 44,

    /* Message 3 (whitepaper s5.4.7). */
    C_RECEIVER = 4,
    C_NONCE = 8,
    C_COOKIE = C_NONCE + PV_XCHACHA_NONCE_LEN,
    C_COOKIE_LEN = PV_WGMSG_MAC_LEN + PV_AEAD_TAG_LEN,
};

_Static_assert(I_TIMESTAMP + I_TIMESTAMP_LEN + MACS_LEN == PV_WGMSG_INITIATION_LEN, "message 1");
_Static_assert(R_EMPTY + PV_NOISE_TAG_LEN + MACS_LEN == PV_WGMSG_RESPONSE_LEN, "message 2");
_Static_assert(C_COOKIE + C_COOKIE_LEN == PV_WGMSG_COOKIE_LEN, "message 3");

static const struct pv_view NONE = {NULL, 0};

/* The three bytes after the type are reserved and zero in WireGuard; ours uses the last for the
 * suite. Stock peers drop a message 1 of another suite as malformed, so no member offers one to
 * them. */
int pv_wgmsg_type(struct pv_view msg, uint8_t *ret_type)
{
    if (msg.len < 4 || msg.ptr[1] != 0 || msg.ptr[2] != 0)
        return PV_ERR_MALFORMED;
    uint8_t type = msg.ptr[0];
    bool fits = (type == PV_WGMSG_INITIATION && msg.len == PV_WGMSG_INITIATION_LEN) ||
                (type == PV_WGMSG_RESPONSE && msg.len == PV_WGMSG_RESPONSE_LEN) ||
                (type == PV_WGMSG_COOKIE && msg.len == PV_WGMSG_COOKIE_LEN) ||
                (type == PV_WGMSG_DATA && msg.len >= PV_WGMSG_DATA_MIN);
    if (!fits)
        return PV_ERR_MALFORMED;
    if (type > PV_WGMSG_RESPONSE && msg.ptr[SUITE] != 0)
        return PV_ERR_MALFORMED;
    if (msg.ptr[SUITE] >= PV_SUITES)
        return PV_ERR_UNSUPPORTED;
    *ret_type = type;
    return PV_OK;
}

/* PV_OK for a message of the wanted type, PV_ERR_MALFORMED for one of another type, and the status
 * of pv_wgmsg_type() for anything that is no message at all. */
static int expect_type(struct pv_view msg, uint8_t want)
{
    uint8_t type = 0;
    int r = pv_wgmsg_type(msg, &type);
    if (r < 0)
        return r;
    return type == want ? PV_OK : PV_ERR_MALFORMED;
}

uint32_t pv_wgmsg_receiver(struct pv_view msg)
{
    return pv_load_le32(msg.ptr + (msg.ptr[0] == PV_WGMSG_RESPONSE ? R_RECEIVER : C_RECEIVER));
}

/* --- who talks ------------------------------------------------------------------------------ */

static void label_key(uint8_t out[static PV_BLAKE2S_LEN], const char *label,
                      const uint8_t pk[static PV_DH_LEN])
{
    pv_blake2s(out, pv_view(label, strlen(label)), pv_view(pk, PV_DH_LEN));
}

void pv_wg_device_init(struct pv_wg_device *dev, const uint8_t sk[static PV_DH_LEN])
{
    dev->keys.sk = sk;
    pv_dh_public(sk, dev->keys.pk);
    label_key(dev->mac1_key, LABEL_MAC1, dev->keys.pk);
    label_key(dev->cookie_key, LABEL_COOKIE, dev->keys.pk);
}

void pv_wg_device_wipe(struct pv_wg_device *dev)
{
    pv_wipe(dev, sizeof(*dev));
}

int pv_wg_remote_init(struct pv_wg_remote *remote, const struct pv_wg_device *dev,
                      const uint8_t pk[static PV_DH_LEN],
                      const uint8_t psk[static PV_NOISE_PSK_LEN])
{
    int r = pv_dh(remote->ss, dev->keys.sk, pk);
    if (r < 0)
        return r;
    memcpy(remote->pk, pk, PV_DH_LEN);
    memcpy(remote->psk, psk, PV_NOISE_PSK_LEN);
    label_key(remote->mac1_key, LABEL_MAC1, pk);
    label_key(remote->cookie_key, LABEL_COOKIE, pk);
    return PV_OK;
}

void pv_wg_remote_wipe(struct pv_wg_remote *remote)
{
    pv_wipe(remote, sizeof(*remote));
}

/* --- timestamps ----------------------------------------------------------------------------- */

/* 2^62 + 10: TAI was 10 s ahead in 1970; leap seconds since are ignored, as in Linux. */
static const uint64_t TAI_AT_1970 = 0x400000000000000aULL;

void pv_tai64n_tagged(uint8_t ret_tai64n[static PV_TAI64N_LEN], uint64_t unix_ns, uint32_t tag)
{
    uint64_t t = unix_ns - unix_ns % PV_TAI64N_TICK + tag;
    pv_store_be64(ret_tai64n, TAI_AT_1970 + t / 1000000000u);
    pv_store_be32(ret_tai64n + 8, (uint32_t)(t % 1000000000u));
}

uint32_t pv_tai64n_tag(const uint8_t tai64n[static PV_TAI64N_LEN])
{
    uint64_t s = pv_load_be64(tai64n) - TAI_AT_1970;
    return (uint32_t)((s * 1000000000u + pv_load_be32(tai64n + 8)) % PV_TAI64N_TICK);
}

/* --- macs and message 3 --------------------------------------------------------------------- */

struct pv_view pv_wgmsg_mac1(struct pv_view msg)
{
    return pv_view(msg.ptr + msg.len - MACS_LEN, PV_WGMSG_MAC_LEN);
}

/* mac1 is keyed with our public key, so a sender that does not know whom it talks to costs us one
 * hash and gets no answer. */
bool pv_wgmsg_mac1_ok(const struct pv_wg_device *dev, struct pv_view msg)
{
    uint8_t mac[PV_WGMSG_MAC_LEN];
    pv_blake2s_mac(mac, pv_view(dev->mac1_key, PV_BLAKE2S_LEN),
                   pv_view(msg.ptr, msg.len - MACS_LEN));
    return pv_ct_equal(mac, msg.ptr + msg.len - MACS_LEN, sizeof(mac));
}

bool pv_wgmsg_mac2_ok(struct pv_view msg, const uint8_t cookie[static PV_WGMSG_MAC_LEN])
{
    uint8_t mac[PV_WGMSG_MAC_LEN];
    pv_blake2s_mac(mac, pv_view(cookie, PV_WGMSG_MAC_LEN),
                   pv_view(msg.ptr, msg.len - PV_WGMSG_MAC_LEN));
    return pv_ct_equal(mac, msg.ptr + msg.len - PV_WGMSG_MAC_LEN, sizeof(mac));
}

void pv_wgmsg_put_mac2(uint8_t *msg, size_t len, const uint8_t cookie[static PV_WGMSG_MAC_LEN])
{
    pv_blake2s_mac(msg + len - PV_WGMSG_MAC_LEN, pv_view(cookie, PV_WGMSG_MAC_LEN),
                   pv_view(msg, len - PV_WGMSG_MAC_LEN));
}

/* mac1, and a mac2 of zeros. */
static void put_macs(uint8_t *msg, size_t len, const struct pv_wg_remote *remote)
{
    pv_blake2s_mac(msg + len - MACS_LEN, pv_view(remote->mac1_key, PV_BLAKE2S_LEN),
                   pv_view(msg, len - MACS_LEN));
    memset(msg + len - PV_WGMSG_MAC_LEN, 0, PV_WGMSG_MAC_LEN);
}

void pv_wgmsg_make_cookie(const struct pv_wg_device *dev, const struct pv_rng *rng,
                          struct pv_view msg, const uint8_t cookie[static PV_WGMSG_MAC_LEN],
                          uint8_t ret_msg[static PV_WGMSG_COOKIE_LEN])
{
    pv_store_le32(ret_msg, PV_WGMSG_COOKIE);
    memcpy(ret_msg + C_RECEIVER, msg.ptr + I_SENDER,
           INDEX_LEN); /* at the same place in both messages */
    pv_rng_fill(rng, ret_msg + C_NONCE, PV_XCHACHA_NONCE_LEN);
    pv_xaead_seal(ret_msg + C_COOKIE, dev->cookie_key, ret_msg + C_NONCE, pv_wgmsg_mac1(msg),
                  pv_view(cookie, PV_WGMSG_MAC_LEN));
}

/* The associated data is the mac1 of our own message, which an attacker off the path cannot know: a
 * forged cookie reply fails here. */
int pv_wgmsg_read_cookie(const struct pv_wg_remote *remote, struct pv_view msg,
                         const uint8_t mac1[static PV_WGMSG_MAC_LEN],
                         uint8_t ret_cookie[static PV_WGMSG_MAC_LEN])
{
    uint8_t cookie[PV_WGMSG_MAC_LEN];
    int r = expect_type(msg, PV_WGMSG_COOKIE);
    if (r < 0)
        return r;
    r = pv_xaead_open(cookie, remote->cookie_key, msg.ptr + C_NONCE,
                      pv_view(mac1, PV_WGMSG_MAC_LEN), pv_view(msg.ptr + C_COOKIE, C_COOKIE_LEN));
    if (r == PV_OK)
        memcpy(ret_cookie, cookie, sizeof(cookie));
    pv_wipe(cookie, sizeof(cookie));
    return r;
}

/* --- message 1 ------------------------------------------------------------------------------ */

static void start_handshake(struct pv_noise_sym *sym, enum pv_suite suite,
                            const uint8_t responder_pk[static PV_DH_LEN])
{
    pv_noise_sym_init(sym, CONSTRUCTION[suite], pv_view(IDENTIFIER, strlen(IDENTIFIER)));
    sym->suite = suite;
    pv_noise_mix_hash(sym, pv_view(responder_pk, PV_DH_LEN));
}

/* The token e under a psk (Noise s9.2): hashed and mixed into the key. */
static void mix_ephemeral(struct pv_noise_sym *sym, const uint8_t pk[static PV_DH_LEN])
{
    pv_noise_mix_hash(sym, pv_view(pk, PV_DH_LEN));
    pv_noise_mix_key(sym, pv_view(pk, PV_DH_LEN));
}

/* The tokens are e, es, s, ss and the timestamp as payload. The timestamp is what makes a replayed
 * message 1 recognisable, because the responder keeps no other memory. */
int pv_wgmsg_initiate(struct pv_wg_pending *pending, const struct pv_wg_device *dev,
                      const struct pv_wg_remote *remote, const struct pv_rng *rng,
                      const uint8_t tai64n[static PV_TAI64N_LEN],
                      uint8_t ret_msg[static PV_WGMSG_INITIATION_LEN])
{
    struct pv_noise_sym *sym = &pending->sym;
    uint8_t msg[PV_WGMSG_INITIATION_LEN] = {PV_WGMSG_INITIATION};

    msg[SUITE] = (uint8_t)pending->suite;
    pv_dh_keypair(rng, pending->e.sk, pending->e.pk);
    pv_store_le32(msg + I_SENDER, pending->local_index);
    memcpy(msg + I_EPHEMERAL, pending->e.pk, PV_DH_LEN);
    start_handshake(sym, pending->suite, remote->pk);
    mix_ephemeral(sym, pending->e.pk);
    int r = pv_noise_mix_dh(sym, pending->e.sk, remote->pk);
    if (r < 0)
        return r;
    pv_noise_encrypt_and_hash(sym, msg + I_STATIC, pv_view(dev->keys.pk, PV_DH_LEN));
    pv_noise_mix_key(sym, pv_view(remote->ss, PV_DH_LEN));
    pv_noise_encrypt_and_hash(sym, msg + I_TIMESTAMP, pv_view(tai64n, PV_TAI64N_LEN));
    put_macs(msg, sizeof(msg), remote);
    memcpy(ret_msg, msg, sizeof(msg));
    return PV_OK;
}

void pv_wg_pending_wipe(struct pv_wg_pending *pending)
{
    pv_wipe(pending, sizeof(*pending));
}

/* One DH tells who the sender claims to be; everything else waits until that peer is known. */
int pv_wgmsg_identify(const struct pv_wg_device *dev, struct pv_view msg,
                      struct pv_wg_initiation *ret_in)
{
    struct pv_wg_initiation in = {.device = dev};
    int r = expect_type(msg, PV_WGMSG_INITIATION);
    if (r < 0)
        return r;
    in.suite = (enum pv_suite)msg.ptr[SUITE];
    in.remote_index = pv_load_le32(msg.ptr + I_SENDER);
    memcpy(in.ephemeral_pk, msg.ptr + I_EPHEMERAL, sizeof(in.ephemeral_pk));
    memcpy(in.sealed_timestamp, msg.ptr + I_TIMESTAMP, I_TIMESTAMP_LEN);

    start_handshake(&in.sym, in.suite, dev->keys.pk);
    mix_ephemeral(&in.sym, in.ephemeral_pk);
    r = pv_noise_mix_dh(&in.sym, dev->keys.sk, in.ephemeral_pk);
    if (r == PV_OK)
        r = pv_noise_decrypt_and_hash(&in.sym, in.static_pk,
                                      pv_view(msg.ptr + I_STATIC, I_STATIC_LEN));
    if (r == PV_OK)
        *ret_in = in;
    pv_wg_initiation_wipe(&in);
    return r;
}

int pv_wgmsg_accept(struct pv_wg_initiation *in, const struct pv_wg_remote *remote,
                    uint8_t ret_tai64n[static PV_TAI64N_LEN])
{
    uint8_t tai64n[PV_TAI64N_LEN];
    pv_noise_mix_key(&in->sym, pv_view(remote->ss, PV_DH_LEN));
    int r =
        pv_noise_decrypt_and_hash(&in->sym, tai64n, pv_view(in->sealed_timestamp, I_TIMESTAMP_LEN));
    if (r == PV_OK)
        memcpy(ret_tai64n, tai64n, sizeof(tai64n));
    return r;
}

void pv_wg_initiation_wipe(struct pv_wg_initiation *in)
{
    pv_wipe(in, sizeof(*in));
}

/* --- message 2 ------------------------------------------------------------------------------ */

/* e, ee, se, psk: everything but the empty payload. */
static int respond_tokens(struct pv_wg_initiation *in, const struct pv_wg_remote *remote,
                          const struct pv_noise_keys *e)
{
    mix_ephemeral(&in->sym, e->pk);
    int r = pv_noise_mix_dh(&in->sym, e->sk, in->ephemeral_pk);
    if (r < 0)
        return r;
    r = pv_noise_mix_dh(&in->sym, e->sk, in->static_pk);
    if (r < 0)
        return r;
    pv_noise_mix_key_and_hash(&in->sym, remote->psk);
    return PV_OK;
}

int pv_wgmsg_respond(struct pv_wg_initiation *in, const struct pv_wg_remote *remote,
                     const struct pv_rng *rng, uint32_t local_index,
                     uint8_t ret_msg[static PV_WGMSG_RESPONSE_LEN], struct pv_wg_keys *ret_keys)
{
    uint8_t msg[PV_WGMSG_RESPONSE_LEN] = {PV_WGMSG_RESPONSE};
    struct pv_noise_keys e;

    msg[SUITE] = (uint8_t)in->suite;
    pv_dh_keypair(rng, e.sk, e.pk);
    pv_store_le32(msg + R_SENDER, local_index);
    pv_store_le32(msg + R_RECEIVER, in->remote_index);
    memcpy(msg + R_EPHEMERAL, e.pk, PV_DH_LEN);
    int r = respond_tokens(in, remote, &e);
    pv_wipe(&e, sizeof(e));
    if (r < 0)
        return r;
    pv_noise_encrypt_and_hash(&in->sym, msg + R_EMPTY, NONE);
    put_macs(msg, sizeof(msg), remote);

    ret_keys->remote_index = in->remote_index;
    ret_keys->suite = in->suite;
    pv_noise_split(&in->sym, ret_keys->recv, ret_keys->send);
    memcpy(ret_msg, msg, sizeof(msg));
    return PV_OK;
}

/* e, ee, se, psk as the initiator sees them: its ephemeral and then its static key. */
static int read_response_tokens(struct pv_noise_sym *sym, const struct pv_wg_pending *pending,
                                const struct pv_wg_device *dev, const struct pv_wg_remote *remote,
                                const uint8_t re[static PV_DH_LEN])
{
    mix_ephemeral(sym, re);
    int r = pv_noise_mix_dh(sym, pending->e.sk, re);
    if (r < 0)
        return r;
    r = pv_noise_mix_dh(sym, dev->keys.sk, re);
    if (r < 0)
        return r;
    pv_noise_mix_key_and_hash(sym, remote->psk);
    return PV_OK;
}

/* A forged or late answer must not spoil the attempt, so the state is copied and used up only on
 * success. */
int pv_wgmsg_read_response(const struct pv_wg_pending *pending, const struct pv_wg_device *dev,
                           const struct pv_wg_remote *remote, struct pv_view msg,
                           struct pv_wg_keys *ret_keys)
{
    uint8_t empty[1];
    int r = expect_type(msg, PV_WGMSG_RESPONSE);
    if (r < 0)
        return r;
    if (pv_load_le32(msg.ptr + R_RECEIVER) != pending->local_index ||
        msg.ptr[SUITE] != (uint8_t)pending->suite)
        return PV_ERR_AUTH;

    struct pv_noise_sym sym = pending->sym;
    r = read_response_tokens(&sym, pending, dev, remote, msg.ptr + R_EPHEMERAL);
    if (r == PV_OK)
        r = pv_noise_decrypt_and_hash(&sym, empty, pv_view(msg.ptr + R_EMPTY, PV_NOISE_TAG_LEN));
    if (r == PV_OK) {
        ret_keys->remote_index = pv_load_le32(msg.ptr + R_SENDER);
        ret_keys->suite = pending->suite;
        pv_noise_split(&sym, ret_keys->send, ret_keys->recv);
    }
    pv_noise_sym_wipe(&sym);
    return r;
}
