/* SPDX-License-Identifier: MIT */
/*
 * noise.h - Noise (revision 34) with 25519, ChaChaPoly and BLAKE2s: the symmetric state, the IK
 * handshake of the control channel, the one-message X pattern of signals and stored chat copies,
 * also with a psk.
 *
 * WireGuard's IKpsk2 is built in wgmsg.h from the symmetric state, also with AESGCM. No I/O, no
 * framing, no retries. Any failure ends a handshake: throw its struct away with the _wipe function.
 * All structs hold secrets and are the caller's memory; one thread at a time.
 */
#pragma once

#include "crypto/aead.h"
#include "crypto/dh.h"
#include "crypto/hash.h"

enum {
    PV_NOISE_TAG_LEN = PV_AEAD_TAG_LEN,
    PV_NOISE_HASH_LEN = PV_BLAKE2S_LEN,
    PV_NOISE_PSK_LEN = 32,     /* bytes, Noise s9.2 */
    PV_NOISE_MSG_MAX = 65535,  /* bytes, Noise s3 */
    PV_NOISE_IK_MSG1_LEN = 96, /* e, encrypted s, empty payload */
    PV_NOISE_IK_MSG2_LEN = 48, /* e, empty payload */
    PV_NOISE_X_OVERHEAD = 96,  /* e, encrypted s, tag of the payload */
};

/* An ephemeral X25519 key pair. */
struct pv_noise_keys {
    uint8_t sk[PV_DH_LEN];
    uint8_t pk[PV_DH_LEN];
};

/* A static one; pk must belong to sk (pv_dh_public()). The secret half stays where its owner keeps
 * it: in locked memory, once. */
struct pv_noise_static {
    const uint8_t *sk; /* PV_DH_LEN bytes, borrowed for as long as this, or a handshake, is used */
    uint8_t pk[PV_DH_LEN];
};

/* --- symmetric state (Noise s5.2) ----------------------------------------------------------- */

struct pv_noise_sym {
    uint8_t ck[PV_NOISE_HASH_LEN]; /* chaining key */
    uint8_t h[PV_NOISE_HASH_LEN];  /* hash of everything said so far */
    uint8_t k[PV_AEAD_KEY_LEN];    /* cipher key, once one was mixed in */
    uint64_t n;                    /* nonce of the next message under k */
    enum pv_suite suite;           /* the cipher that the name says */
    const uint8_t *psk;            /* of a one-message pattern with one; NULL: none */
};

/* InitializeSymmetric(name) and MixHash(prologue); the suite is ChaChaPoly, set it to change. */
void pv_noise_sym_init(struct pv_noise_sym *sym, const char *name, struct pv_view prologue);
void pv_noise_sym_wipe(struct pv_noise_sym *sym);
void pv_noise_mix_hash(struct pv_noise_sym *sym, struct pv_view data);
void pv_noise_mix_key(struct pv_noise_sym *sym, struct pv_view input);
/* The psk token (Noise s9.2). */
void pv_noise_mix_key_and_hash(struct pv_noise_sym *sym,
                               const uint8_t psk[static PV_NOISE_PSK_LEN]);
/* MixKey(DH(sk, pk)). PV_ERR_AUTH when pk is of small order. */
PV_MUST_CHECK int pv_noise_mix_dh(struct pv_noise_sym *sym, const uint8_t sk[static PV_DH_LEN],
                                  const uint8_t pk[static PV_DH_LEN]);
/* EncryptAndHash, once a key was mixed in: out gets pt.len + 16 bytes and may be pt's memory. */
void pv_noise_encrypt_and_hash(struct pv_noise_sym *sym, uint8_t *out, struct pv_view pt);
/* DecryptAndHash under a key: out gets ct.len - 16 bytes. PV_ERR_AUTH. out may not be ct's memory:
 * the hash covers the ciphertext. */
PV_MUST_CHECK int pv_noise_decrypt_and_hash(struct pv_noise_sym *sym, uint8_t *out,
                                            struct pv_view ct);
/* Split(): the initiator sends under k1. sym keeps its hash and loses its keys. */
void pv_noise_split(struct pv_noise_sym *sym, uint8_t ret_k1[static PV_AEAD_KEY_LEN],
                    uint8_t ret_k2[static PV_AEAD_KEY_LEN]);

/* --- transport messages (Noise s5.1) -------------------------------------------------------- */

/* One direction of a finished handshake; messages must be opened in the order they were sealed. */
struct pv_noise_cipher {
    uint8_t key[PV_AEAD_KEY_LEN];
    uint64_t n; /* messages so far */
};
/* ct gets pt.len + 16 bytes and may be pt's memory. PV_ERR_LIMIT above PV_NOISE_MSG_MAX or when
 * the nonces are used up. */
PV_MUST_CHECK int pv_noise_seal(struct pv_noise_cipher *c, uint8_t *ct, struct pv_view pt);
/* pt gets ct.len - 16 bytes and may be ct's memory. PV_ERR_AUTH (the channel is dead then),
 * PV_ERR_LIMIT. */
PV_MUST_CHECK int pv_noise_open(struct pv_noise_cipher *c, uint8_t *pt, struct pv_view ct);
void pv_noise_cipher_wipe(struct pv_noise_cipher *c);

/* --- Noise_IK_25519_ChaChaPoly_BLAKE2s, empty payloads --------------------------------------- */

enum pv_noise_ik_state {
    PV_NOISE_IK_WRITE1, /* initiator, fresh */
    PV_NOISE_IK_READ2,  /* initiator, message 1 made */
    PV_NOISE_IK_READ1,  /* responder, fresh */
    PV_NOISE_IK_WRITE2, /* responder, message 1 accepted */
    PV_NOISE_IK_READY,  /* pv_noise_ik_finish() may be called */
    PV_NOISE_IK_DEAD,   /* failed or finished */
};

struct pv_noise_ik {
    enum pv_noise_ik_state state;
    bool initiator;
    struct pv_noise_sym sym;
    struct pv_noise_static s; /* local static */
    struct pv_noise_keys e;   /* local ephemeral */
    uint8_t rs[PV_DH_LEN];    /* remote static; the responder knows it after message 1 */
    uint8_t re[PV_DH_LEN];    /* remote ephemeral */
};

/* remote: the responder's static public key. The secret key of local is borrowed until the
 * handshake is over, here and below. */
void pv_noise_ik_init_initiator(struct pv_noise_ik *ik, struct pv_view prologue,
                                const struct pv_noise_static *local,
                                const uint8_t remote[static PV_DH_LEN]);
void pv_noise_ik_init_responder(struct pv_noise_ik *ik, struct pv_view prologue,
                                const struct pv_noise_static *local);
void pv_noise_ik_wipe(struct pv_noise_ik *ik);

/* Each returns PV_ERR_STATE out of turn, and PV_ERR_AUTH when the other side's message or key is
 * not genuine (wrong length included); the handshake is dead then. */
PV_MUST_CHECK int pv_noise_ik_write1(struct pv_noise_ik *ik, const struct pv_rng *rng,
                                     uint8_t ret_msg[static PV_NOISE_IK_MSG1_LEN]);
/* ret_remote: the initiator's static public key, proven by this message only up to replay; its
 * freshness is proven by the first transport message. */
PV_MUST_CHECK int pv_noise_ik_read1(struct pv_noise_ik *ik, struct pv_view msg,
                                    uint8_t ret_remote[static PV_DH_LEN]);
PV_MUST_CHECK int pv_noise_ik_write2(struct pv_noise_ik *ik, const struct pv_rng *rng,
                                     uint8_t ret_msg[static PV_NOISE_IK_MSG2_LEN]);
PV_MUST_CHECK int pv_noise_ik_read2(struct pv_noise_ik *ik, struct pv_view msg);

/* The transport ciphers and the handshake hash (equal on both sides, unique to this connection);
 * wipes ik. PV_ERR_STATE unless READY. */
PV_MUST_CHECK int pv_noise_ik_finish(struct pv_noise_ik *ik, struct pv_noise_cipher *ret_send,
                                     struct pv_noise_cipher *ret_recv,
                                     uint8_t ret_hash[static PV_NOISE_HASH_LEN]);

/* --- Noise_X_25519_ChaChaPoly_BLAKE2s: one sealed, authenticated message ---------------------- */

/* ret_box gets pt.len + PV_NOISE_X_OVERHEAD bytes; not pt's memory. PV_ERR_LIMIT when that is more
 * than PV_NOISE_MSG_MAX, PV_ERR_AUTH when remote is of small order. */
PV_MUST_CHECK int pv_noise_x_seal(const struct pv_rng *rng, struct pv_view prologue,
                                  const struct pv_noise_static *local,
                                  const uint8_t remote[static PV_DH_LEN], struct pv_view pt,
                                  uint8_t *ret_box);
/* ret_pt gets box.len - PV_NOISE_X_OVERHEAD bytes (not box's memory); ret_sender is the sender's
 * static key, proven (but see Noise s7.2: the message may be replayed, and whoever has this
 * receiver's secret key can make one in any name). PV_ERR_AUTH. */
PV_MUST_CHECK int pv_noise_x_open(struct pv_view prologue, const struct pv_noise_static *local,
                                  struct pv_view box, uint8_t ret_sender[static PV_DH_LEN],
                                  uint8_t *ret_pt);

/* Whose box, and under what besides: the pattern with a psk,
 * Noise_Xpsk1_25519_ChaChaPoly_BLAKE2s. */
struct pv_noise_parties {
    struct pv_view prologue;
    const struct pv_noise_static *local;
    const uint8_t *remote; /* to seal: PV_DH_LEN bytes */
    const uint8_t *psk;    /* PV_NOISE_PSK_LEN bytes; NULL: the pattern X */
};
/* As pv_noise_x_seal() and pv_noise_x_open(): the payload is under the psk, too; the sender's
 * static key is not. */
PV_MUST_CHECK int pv_noise_xpsk_seal(const struct pv_noise_parties *parties,
                                     const struct pv_rng *rng, struct pv_view pt, uint8_t *ret_box);
PV_MUST_CHECK int pv_noise_xpsk_open(const struct pv_noise_parties *parties, struct pv_view box,
                                     uint8_t ret_sender[static PV_DH_LEN], uint8_t *ret_pt);
