/* SPDX-License-Identifier: MIT */
/*
 * control.h - one connection of the control channel as a stream machine, either role: preamble,
 * Noise IK, length-prefixed encrypted messages (DESIGN 4).
 *
 *   client to server  'P', 1, frame(Noise message 1, 96 bytes), frames...
 *   server to client  frame(Noise message 2, 48 bytes), frames...
 *   frame             u16 big-endian length, that many bytes
 *
 * Bytes in, bytes out, whole messages in and out; no socket, no clock. The contents of messages are
 * ctlmsg.h's. Timeouts (a handshake that does not come, silence) are the owner's: it knows when it
 * opened the connection and sees every handle_bytes. Input is taken one frame at a time: the owner
 * polls messages before it feeds more, so that a peer cannot make this side hold more than one.
 *
 * The handshake is X25519 alone. Once it is done, both sides may go over to keys that ML-KEM-768
 * takes part in: the first message of the client offers an encapsulation key, the first one of the
 * server answers it, and whatever follows is under keys that come of both. The messages carry the
 * two values and are the owner's, so a side without ML-KEM goes on as before; nobody on the way can
 * take them out, since the messages are sealed by the handshake.
 */
#pragma once

#include "base/pv.h"
#include "crypto/dh.h"
#include "crypto/kem.h"

enum {
    PV_CONTROL_FRAME_MAX = 61440,    /* bytes in a frame: 60 KiB, DESIGN 4 */
    PV_CONTROL_TEXT_MAX = 61424,     /* bytes of a message: a frame less the AEAD tag */
    PV_CONTROL_OUT_MAX = 256 * 1024, /* bytes waiting to be written; more is PV_ERR_LIMIT */
    PV_CONTROL_HASH_LEN = 32,        /* bytes of the handshake hash, PV_NOISE_HASH_LEN */
};

/*
 * State     on                          to
 * OPENING   all handshake bytes right   READY
 * OPENING   anything wrong              FAILED
 * READY     frame too long or forged    FAILED
 */
enum pv_control_state {
    PV_CONTROL_OPENING,
    PV_CONTROL_READY,
    PV_CONTROL_FAILED,
};

struct pv_control; /* opaque */

/* A client that will speak to the server whose static X25519 key is server_pk. Its first bytes wait
 * in out() at once. rng is used in this call only. PV_ERR_NOMEM, PV_ERR_AUTH (a key of small
 * order). */
PV_MUST_CHECK int pv_control_new_client(struct pv_control **ret_control,
                                        const uint8_t static_sk[static PV_DH_LEN],
                                        const uint8_t server_pk[static PV_DH_LEN],
                                        const struct pv_rng *rng);
/* A server. static_pk: the public key of static_sk; NULL: it is computed, which takes as long as a
 * step of the handshake. rng is kept and used until the handshake is done. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_control_new_server(struct pv_control **ret_control,
                                        const uint8_t static_sk[static PV_DH_LEN],
                                        const uint8_t *static_pk, const struct pv_rng *rng);
/* Wipes keys; NULL is fine; returns NULL. */
struct pv_control *pv_control_free(struct pv_control *control);

enum pv_control_state pv_control_state(const struct pv_control *control);

/*
 * Feeds received bytes. Takes what it can and sets *ret_used: fewer than data.len when a message
 * waits to be polled (poll it, then feed the rest), all of them otherwise.
 *   PV_ERR_MALFORMED  wrong preamble or length
 *   PV_ERR_LIMIT      a frame longer than PV_CONTROL_FRAME_MAX
 *   PV_ERR_AUTH       the handshake or a message does not decrypt
 *   PV_ERR_CLOSED     the machine has failed before
 *   PV_ERR_NOMEM
 * After an error the state is FAILED: close the connection. *ret_used is written in every case.
 */
PV_MUST_CHECK int pv_control_handle_bytes(struct pv_control *control, struct pv_view data,
                                          size_t *ret_used);

/* The message received, valid until the next handle_bytes, send or free. PV_ERR_AGAIN: none. */
PV_MUST_CHECK int pv_control_poll_message(struct pv_control *control, struct pv_view *ret_text);

/*
 * Queues one message of 1..PV_CONTROL_TEXT_MAX bytes.
 *   PV_ERR_STATE     not READY
 *   PV_ERR_NO_SPACE  message too long or empty
 *   PV_ERR_LIMIT     it would make more than PV_CONTROL_OUT_MAX bytes wait; nothing was queued
 *   PV_ERR_NOMEM
 */
PV_MUST_CHECK int pv_control_send(struct pv_control *control, struct pv_view text);

/* Bytes to be written, oldest first; empty when there are none. Valid until the next call that is
 * not a question. */
struct pv_view pv_control_out(const struct pv_control *control);
/* n bytes of out() were written. */
void pv_control_wrote(struct pv_control *control, size_t n);
/* Bytes that a message may still take before send() says PV_ERR_LIMIT. */
size_t pv_control_room(const struct pv_control *control);

/* Both valid once READY; the handshake hash binds signatures to this connection. PV_ERR_STATE. */
PV_MUST_CHECK int pv_control_handshake_hash(const struct pv_control *control,
                                            uint8_t ret_hash[static PV_CONTROL_HASH_LEN]);
PV_MUST_CHECK int pv_control_remote_static(const struct pv_control *control,
                                           uint8_t ret_pk[static PV_DH_LEN]);

/* --- hybrid keys ----------------------------------------------------------------------------- */

/* The keys of both directions that follow those of the handshake. */
struct pv_control_keys {
    uint8_t to_server[32]; /* bytes of a key of ChaCha20-Poly1305 */
    uint8_t to_client[32];
};

/* Client: makes the pair whose public half its next message takes to the server; nothing may follow
 * that message until accept(). rng is used in this call only, kem also by accept(). PV_ERR_STATE
 * (not READY, a server, offered before), PV_ERR_CRYPTO, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_control_offer(struct pv_control *control, const struct pv_kem *kem,
                                   const struct pv_rng *rng, uint8_t ret_ek[static PV_KEM_EK_LEN]);
/* Server: encapsulates to what the client offered. The message that takes ret_ct to it is the last
 * one under the old keys: send it, then rekey(). PV_ERR_STATE (not READY, a client, done before),
 * PV_ERR_MALFORMED (no encapsulation key), PV_ERR_CRYPTO. */
PV_MUST_CHECK int pv_control_answer(const struct pv_control *control, const struct pv_kem *kem,
                                    const struct pv_rng *rng, struct pv_view ek,
                                    uint8_t ret_ct[static PV_KEM_CT_LEN],
                                    struct pv_control_keys *ret_keys);
/* Server: from the next message on, both ways. Wipes keys. */
void pv_control_rekey(struct pv_control *control, struct pv_control_keys *keys);
/* Client: the server's answer; goes over to the new keys. PV_ERR_STATE (it did not offer),
 * PV_ERR_MALFORMED (length), PV_ERR_CRYPTO; then close the connection. */
PV_MUST_CHECK int pv_control_accept(struct pv_control *control, struct pv_view ct);
/* Has it gone over? */
bool pv_control_is_hybrid(const struct pv_control *control);
