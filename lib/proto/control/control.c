/* SPDX-License-Identifier: MIT */
/*
 * control.c - one connection of the control channel: preamble, Noise IK, encrypted frames, either
 * role. A coordinator holds thousands of these, most of them idle, so an idle one keeps no large
 * buffer. Input is taken one message at a time, and output has a limit, so that neither side can
 * make the other hold more than it wants.
 */
#include "proto/control/control.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "crypto/ct.h"
#include "proto/wireguard/noise.h"

enum {
    LEN_LEN = 2,       /* bytes of the frame's length */
    FRAME_KEEP = 1024, /* bytes of input buffer an idle connection may keep */
};

/* The client sends it first: a letter by which a server tells its protocols apart, and the version.
 * It names nobody to those on the way. It is the Noise prologue, too. */
static const uint8_t preamble[] = {'P', 1};

static const char HYBRID[] = "p2pvpn control hybrid v1";

/* A client's offer, until it is answered. */
struct offer {
    const struct pv_kem *kem;
    uint8_t seed[PV_KEM_SEED_LEN];
    uint8_t ek[PV_KEM_EK_LEN];
};

struct pv_control {
    enum pv_control_state state;
    bool client;
    bool hybrid;           /* tx and rx come of ML-KEM too */
    struct offer *offer;   /* client: owned; NULL: none, or answered */
    struct pv_rng rng;     /* server: for message 2 */
    struct pv_noise_ik ik; /* while OPENING */
    struct pv_noise_cipher tx;
    struct pv_noise_cipher rx;
    uint8_t hash[PV_CONTROL_HASH_LEN];
    uint8_t remote[PV_DH_LEN];

    size_t preamble_got; /* bytes of the preamble seen; a client waits for none */
    uint8_t head[LEN_LEN];
    size_t head_got;
    uint8_t *frame;   /* holds the plaintext once the frame was opened */
    size_t frame_cap; /* bytes allocated */
    size_t frame_len; /* bytes this frame has; known once head_got == LEN_LEN */
    size_t frame_got;
    bool has_message; /* frame holds a message of message_len bytes to be polled */
    size_t message_len;

    uint8_t *out; /* bytes [out_at, out_at + out_len) wait to be written */
    size_t out_cap;
    size_t out_at;
    size_t out_len;
};

static void drop_offer(struct pv_control *c)
{
    if (c->offer != NULL)
        pv_wipe(c->offer, sizeof(*c->offer));
    free(c->offer);
    c->offer = NULL;
}

/* Keys are wiped at once; nothing that waits is sent any more, since the peer could not tell it
 * from what an attacker left of it. */
static void fail_connection(struct pv_control *c)
{
    c->state = PV_CONTROL_FAILED;
    c->has_message = false;
    c->out_at = 0;
    c->out_len = 0;
    pv_noise_ik_wipe(&c->ik);
    pv_noise_cipher_wipe(&c->tx);
    pv_noise_cipher_wipe(&c->rx);
    drop_offer(c);
}

/* Room for len more bytes behind what waits; NULL without memory. */
static uint8_t *out_reserve(struct pv_control *c, size_t len)
{
    if (c->out_at > 0 && c->out_at + c->out_len + len > c->out_cap) {
        memmove(c->out, c->out + c->out_at, c->out_len);
        c->out_at = 0;
    }
    if (c->out_len + len > c->out_cap) {
        size_t cap = c->out_cap == 0 ? 512 : c->out_cap;
        while (cap < c->out_len + len)
            cap *= 2;
        uint8_t *p = realloc(c->out, cap);
        if (p == NULL)
            return NULL;
        c->out = p;
        c->out_cap = cap;
    }
    return c->out + c->out_at + c->out_len;
}

static int queue_frame(struct pv_control *c, struct pv_view body)
{
    uint8_t *p = out_reserve(c, LEN_LEN + body.len);
    if (p == NULL)
        return PV_ERR_NOMEM;
    pv_store_be16(p, (uint16_t)body.len);
    memcpy(p + LEN_LEN, body.ptr, body.len);
    c->out_len += LEN_LEN + body.len;
    return PV_OK;
}

static struct pv_noise_static keys_of(const uint8_t static_sk[static PV_DH_LEN])
{
    struct pv_noise_static keys = {.sk = static_sk};
    pv_dh_public(static_sk, keys.pk);
    return keys;
}

/* The preamble is the Noise prologue too (Noise s6): a peer that was sent another one computes
 * other keys, so it cannot be changed on the way. */
static int start_client(struct pv_control *c, const uint8_t static_sk[static PV_DH_LEN],
                        const uint8_t server_pk[static PV_DH_LEN], const struct pv_rng *rng)
{
    const struct pv_noise_static keys = keys_of(static_sk);
    uint8_t msg[PV_NOISE_IK_MSG1_LEN];
    pv_noise_ik_init_initiator(&c->ik, pv_view(preamble, sizeof(preamble)), &keys, server_pk);
    int r = pv_noise_ik_write1(&c->ik, rng, msg);
    if (r < 0)
        return r;
    memcpy(c->remote, server_pk, PV_DH_LEN);
    uint8_t *p = out_reserve(c, sizeof(preamble));
    if (p == NULL)
        return PV_ERR_NOMEM;
    memcpy(p, preamble, sizeof(preamble));
    c->out_len += sizeof(preamble);
    return queue_frame(c, pv_view(msg, sizeof(msg)));
}

int pv_control_new_client(struct pv_control **ret_control,
                          const uint8_t static_sk[static PV_DH_LEN],
                          const uint8_t server_pk[static PV_DH_LEN], const struct pv_rng *rng)
{
    struct pv_control *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return PV_ERR_NOMEM;
    c->client = true;
    c->preamble_got = sizeof(preamble); /* the server sends none */
    int r = start_client(c, static_sk, server_pk, rng);
    if (r < 0) {
        pv_control_free(c);
        return r;
    }
    *ret_control = c;
    return PV_OK;
}

int pv_control_new_server(struct pv_control **ret_control,
                          const uint8_t static_sk[static PV_DH_LEN], const uint8_t *static_pk,
                          const struct pv_rng *rng)
{
    struct pv_noise_static keys = {.sk = static_sk};
    struct pv_control *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return PV_ERR_NOMEM;
    if (static_pk != NULL)
        memcpy(keys.pk, static_pk, sizeof(keys.pk));
    else
        pv_dh_public(static_sk, keys.pk);
    c->rng = *rng;
    pv_noise_ik_init_responder(&c->ik, pv_view(preamble, sizeof(preamble)), &keys);
    *ret_control = c;
    return PV_OK;
}

struct pv_control *pv_control_free(struct pv_control *control)
{
    if (control == NULL)
        return NULL;
    if (control->frame != NULL)
        pv_wipe(control->frame, control->frame_cap);
    free(control->frame);
    free(control->out);
    drop_offer(control);
    pv_wipe(control, sizeof(*control));
    free(control);
    return NULL;
}

enum pv_control_state pv_control_state(const struct pv_control *control)
{
    return control->state;
}

/* --- input: preamble, then length, then body; a whole frame is opened at once ---------------- */

static int finish_handshake(struct pv_control *c)
{
    int r = pv_noise_ik_finish(&c->ik, &c->tx, &c->rx, c->hash);
    if (r == PV_OK)
        c->state = PV_CONTROL_READY;
    return r;
}

/* The server's whole part: it answers message 1 at once, so that a handshake takes one round trip.
 */
static int answer_handshake(struct pv_control *c)
{
    uint8_t reply[PV_NOISE_IK_MSG2_LEN];
    int r = pv_noise_ik_read1(&c->ik, pv_view(c->frame, c->frame_len), c->remote);
    if (r < 0)
        return r;
    r = pv_noise_ik_write2(&c->ik, &c->rng, reply);
    if (r < 0)
        return r;
    r = queue_frame(c, pv_view(reply, sizeof(reply)));
    return r < 0 ? r : finish_handshake(c);
}

/* The plaintext overwrites the frame, which spares a copy and leaves no second place to wipe. */
static int open_frame(struct pv_control *c)
{
    struct pv_view body = pv_view(c->frame, c->frame_len);
    if (c->state == PV_CONTROL_READY) {
        int r = pv_noise_open(&c->rx, c->frame, body);
        if (r < 0)
            return PV_ERR_AUTH;
        c->has_message = true;
        c->message_len = c->frame_len - PV_NOISE_TAG_LEN;
        return PV_OK;
    }
    if (c->client) {
        int r = pv_noise_ik_read2(&c->ik, body);
        return r < 0 ? r : finish_handshake(c);
    }
    return answer_handshake(c);
}

/* Checked before memory is taken: during the handshake the exact length, afterwards the bounds of a
 * message. */
static int check_length(const struct pv_control *c, size_t len)
{
    if (c->state == PV_CONTROL_OPENING) {
        size_t want = c->client ? PV_NOISE_IK_MSG2_LEN : PV_NOISE_IK_MSG1_LEN;
        return len == want ? PV_OK : PV_ERR_MALFORMED;
    }
    if (len > PV_CONTROL_FRAME_MAX)
        return PV_ERR_LIMIT;
    return len > PV_NOISE_TAG_LEN ? PV_OK : PV_ERR_MALFORMED;
}

/* Small frames share one buffer; a long one gets its own, so that it does not stay for ever. */
static int fit_frame(struct pv_control *c)
{
    if (c->frame_len <= c->frame_cap && c->frame_cap <= FRAME_KEEP)
        return PV_OK;
    uint8_t *p = malloc(c->frame_len);
    if (p == NULL)
        return PV_ERR_NOMEM;
    if (c->frame != NULL)
        pv_wipe(c->frame, c->frame_cap);
    free(c->frame);
    c->frame = p;
    c->frame_cap = c->frame_len;
    return PV_OK;
}

static size_t copy_up_to(uint8_t *dst, size_t got, size_t want, struct pv_view *rest)
{
    size_t n = want - got < rest->len ? want - got : rest->len;
    if (n > 0)
        memcpy(dst + got, rest->ptr, n);
    rest->ptr += n;
    rest->len -= n;
    return n;
}

/* Compared byte by byte as it comes, so that a client of another protocol is refused by its first
 * wrong byte. */
static int take_preamble(struct pv_control *c, struct pv_view *rest)
{
    while (c->preamble_got < sizeof(preamble) && rest->len > 0) {
        if (rest->ptr[0] != preamble[c->preamble_got])
            return PV_ERR_MALFORMED;
        c->preamble_got++;
        rest->ptr++;
        rest->len--;
    }
    return PV_OK;
}

/* Takes bytes of the current frame; opens it when it is whole. */
static int take_frame(struct pv_control *c, struct pv_view *rest)
{
    if (c->head_got < LEN_LEN) {
        c->head_got += copy_up_to(c->head, c->head_got, LEN_LEN, rest);
        if (c->head_got < LEN_LEN)
            return PV_OK;
        c->frame_len = pv_load_be16(c->head);
        c->frame_got = 0;
        int r = check_length(c, c->frame_len);
        if (r == PV_OK)
            r = fit_frame(c);
        if (r < 0)
            return r;
    }
    c->frame_got += copy_up_to(c->frame, c->frame_got, c->frame_len, rest);
    if (c->frame_got < c->frame_len)
        return PV_OK;
    c->head_got = 0;
    return open_frame(c);
}

int pv_control_handle_bytes(struct pv_control *control, struct pv_view data, size_t *ret_used)
{
    struct pv_view rest = data;
    int r = control->state == PV_CONTROL_FAILED ? PV_ERR_CLOSED : PV_OK;
    while (r == PV_OK && rest.len > 0 && !control->has_message) {
        if (control->preamble_got < sizeof(preamble))
            r = take_preamble(control, &rest);
        else
            r = take_frame(control, &rest);
    }
    *ret_used = data.len - rest.len;
    if (r < 0)
        fail_connection(control);
    return r;
}

int pv_control_poll_message(struct pv_control *control, struct pv_view *ret_text)
{
    if (!control->has_message)
        return PV_ERR_AGAIN;
    control->has_message = false;
    *ret_text = pv_view(control->frame, control->message_len);
    return PV_OK;
}

/* --- output -------------------------------------------------------------------------------- */

/* Full is an answer (PV_ERR_LIMIT) and changes nothing: the caller decides what to drop. */
int pv_control_send(struct pv_control *control, struct pv_view text)
{
    size_t need = LEN_LEN + text.len + PV_NOISE_TAG_LEN;
    if (control->state != PV_CONTROL_READY)
        return PV_ERR_STATE;
    if (text.len == 0 || text.len > PV_CONTROL_TEXT_MAX)
        return PV_ERR_NO_SPACE;
    if (need > PV_CONTROL_OUT_MAX - control->out_len)
        return PV_ERR_LIMIT;
    uint8_t *p = out_reserve(control, need);
    if (p == NULL)
        return PV_ERR_NOMEM;
    int r = pv_noise_seal(&control->tx, p + LEN_LEN, text);
    if (r < 0)
        return r;
    pv_store_be16(p, (uint16_t)(text.len + PV_NOISE_TAG_LEN));
    control->out_len += need;
    return PV_OK;
}

struct pv_view pv_control_out(const struct pv_control *control)
{
    return pv_view(control->out_len == 0 ? NULL : control->out + control->out_at, control->out_len);
}

void pv_control_wrote(struct pv_control *control, size_t n)
{
    n = n < control->out_len ? n : control->out_len;
    control->out_at += n;
    control->out_len -= n;
    if (control->out_len > 0)
        return;
    control->out_at = 0;
    /* An idle connection keeps no buffers: a coordinator has thousands of them. */
    free(control->out);
    control->out = NULL;
    control->out_cap = 0;
}

size_t pv_control_room(const struct pv_control *control)
{
    size_t used = control->out_len + LEN_LEN + PV_NOISE_TAG_LEN;
    return used > PV_CONTROL_OUT_MAX ? 0 : PV_CONTROL_OUT_MAX - used;
}

int pv_control_handshake_hash(const struct pv_control *control,
                              uint8_t ret_hash[static PV_CONTROL_HASH_LEN])
{
    if (control->state != PV_CONTROL_READY)
        return PV_ERR_STATE;
    memcpy(ret_hash, control->hash, PV_CONTROL_HASH_LEN);
    return PV_OK;
}

int pv_control_remote_static(const struct pv_control *control, uint8_t ret_pk[static PV_DH_LEN])
{
    if (control->state != PV_CONTROL_READY)
        return PV_ERR_STATE;
    memcpy(ret_pk, control->remote, PV_DH_LEN);
    return PV_OK;
}

/* --- hybrid keys ----------------------------------------------------------------------------- */

/* HKDF over the new secret and both old keys, with all that was said as salt: the keys are unknown
 * as long as X25519 or ML-KEM is unbroken, and other ones whatever differs in what was said. */
static void derive_keys(const struct pv_control *c, struct pv_view ek, struct pv_view ct,
                        const uint8_t secret[static PV_KEM_SECRET_LEN],
                        struct pv_control_keys *ret_keys)
{
    const struct pv_noise_cipher *to_server = c->client ? &c->tx : &c->rx;
    const struct pv_noise_cipher *to_client = c->client ? &c->rx : &c->tx;
    uint8_t said[PV_BLAKE2B_LEN], salt[PV_BLAKE2S_LEN];
    uint8_t secrets[PV_KEM_SECRET_LEN + 2 * PV_AEAD_KEY_LEN];

    pv_blake2b(said, pv_view(HYBRID, sizeof(HYBRID) - 1), ek, ct);
    pv_blake2s(salt, pv_view(c->hash, sizeof(c->hash)), pv_view(said, sizeof(said)));
    memcpy(secrets, secret, PV_KEM_SECRET_LEN);
    memcpy(secrets + PV_KEM_SECRET_LEN, to_server->key, PV_AEAD_KEY_LEN);
    memcpy(secrets + PV_KEM_SECRET_LEN + PV_AEAD_KEY_LEN, to_client->key, PV_AEAD_KEY_LEN);
    pv_noise_hkdf(salt, pv_view(secrets, sizeof(secrets)), ret_keys->to_server, ret_keys->to_client,
                  NULL);
    pv_wipe(secrets, sizeof(secrets));
}

int pv_control_offer(struct pv_control *control, const struct pv_kem *kem, const struct pv_rng *rng,
                     uint8_t ret_ek[static PV_KEM_EK_LEN])
{
    if (control->state != PV_CONTROL_READY || !control->client || control->hybrid ||
        control->offer != NULL)
        return PV_ERR_STATE;
    struct offer *offer = malloc(sizeof(*offer));
    if (offer == NULL)
        return PV_ERR_NOMEM;
    control->offer = offer;
    offer->kem = kem;
    pv_rng_fill(rng, offer->seed, sizeof(offer->seed));
    int r = kem->keypair(offer->seed, offer->ek);
    if (r < 0) {
        drop_offer(control);
        return r;
    }
    memcpy(ret_ek, offer->ek, PV_KEM_EK_LEN);
    return PV_OK;
}

int pv_control_answer(const struct pv_control *control, const struct pv_kem *kem,
                      const struct pv_rng *rng, struct pv_view ek,
                      uint8_t ret_ct[static PV_KEM_CT_LEN], struct pv_control_keys *ret_keys)
{
    uint8_t random[PV_KEM_RANDOM_LEN], secret[PV_KEM_SECRET_LEN];

    if (control->state != PV_CONTROL_READY || control->client || control->hybrid)
        return PV_ERR_STATE;
    pv_rng_fill(rng, random, sizeof(random));
    int r = kem->encapsulate(ek, random, ret_ct, secret);
    if (r == PV_OK)
        derive_keys(control, ek, pv_view(ret_ct, PV_KEM_CT_LEN), secret, ret_keys);
    pv_wipe(random, sizeof(random));
    pv_wipe(secret, sizeof(secret));
    return r;
}

void pv_control_rekey(struct pv_control *control, struct pv_control_keys *keys)
{
    struct pv_noise_cipher *to_server = control->client ? &control->tx : &control->rx;
    struct pv_noise_cipher *to_client = control->client ? &control->rx : &control->tx;

    if (control->state == PV_CONTROL_READY) {
        memcpy(to_server->key, keys->to_server, sizeof(to_server->key));
        memcpy(to_client->key, keys->to_client, sizeof(to_client->key));
        to_server->n = to_client->n = 0;
        control->hybrid = true;
    }
    pv_wipe(keys, sizeof(*keys));
}

int pv_control_accept(struct pv_control *control, struct pv_view ct)
{
    struct offer *offer = control->offer;
    struct pv_control_keys keys;
    uint8_t secret[PV_KEM_SECRET_LEN];

    if (offer == NULL)
        return PV_ERR_STATE;
    int r = offer->kem->decapsulate(offer->seed, ct, secret);
    if (r == PV_OK) {
        derive_keys(control, pv_view(offer->ek, PV_KEM_EK_LEN), ct, secret, &keys);
        pv_control_rekey(control, &keys);
    }
    pv_wipe(secret, sizeof(secret));
    drop_offer(control);
    return r;
}

bool pv_control_is_hybrid(const struct pv_control *control)
{
    return control->hybrid;
}
