/* SPDX-License-Identifier: MIT */
/*
 * parcel.c - a chat message sealed for a receiver who is away (PROTOCOL-PEERS.md "Stored copies").
 * Sealed for the receiver and signed by the author: the box alone would not prove the author to the
 * receiver after the author's transport key has changed, and a box can be made by whoever has the
 * receiver's secret key (Noise s7.2).
 */
#include "proto/chat/parcel.h"

#include "base/bytes.h"
#include "base/text.h"
#include "crypto/ct.h"

static const char prologue_text[] = "p2pvpn store v1";
static const char context[] = "p2pvpn chat v1";

enum {
    VERSION = 1, /* of the content */
    ROUTE_LEN = PV_NETWORK_ID_LEN + 2 * PV_SIGN_PK_LEN,
    PROLOGUE_LEN = sizeof(prologue_text) - 1 + ROUTE_LEN,
    SIGNED_TO = PV_NETWORK_ID_LEN + PV_SIGN_PK_LEN,
};

static struct pv_view copy_prologue(const struct pv_signal_route *route,
                                    uint8_t buf[static PROLOGUE_LEN])
{
    struct pv_writer w = pv_writer(buf, PROLOGUE_LEN);
    pv_put_bytes(&w, prologue_text, sizeof(prologue_text) - 1);
    pv_put_bytes(&w, route->network_id, sizeof(route->network_id));
    pv_put_bytes(&w, route->from, sizeof(route->from));
    pv_put_bytes(&w, route->to, sizeof(route->to));
    return pv_written(&w);
}

/* The network and receiver for which the signature is valid: nobody can pass the message on in
 * another network or to somebody else. */
static struct pv_view signed_place(const struct pv_signal_route *route,
                                   uint8_t buf[static SIGNED_TO])
{
    struct pv_writer w = pv_writer(buf, SIGNED_TO);
    pv_put_bytes(&w, route->network_id, sizeof(route->network_id));
    pv_put_bytes(&w, route->to, sizeof(route->to));
    return pv_written(&w);
}

/* The content is wiped from the stack: it is the only plaintext copy that this function makes. */
int pv_parcel_seal(const struct pv_signal_route *route, const struct pv_parcel_keys *keys,
                   const struct pv_rng *rng, const struct pv_parcel *parcel,
                   uint8_t ret_box[static PV_PARCEL_BOX_MAX], size_t *ret_len)
{
    uint8_t content[PV_PARCEL_CONTENT_MAX], where[SIGNED_TO], start[PROLOGUE_LEN];
    uint8_t sig[PV_SIGN_LEN];
    if (!pv_text_is_valid(parcel->text) || parcel->seq == 0 || parcel->seq > PV_CHAT_SEQ_MAX)
        return PV_ERR_MALFORMED;
    struct pv_writer w = pv_writer(content, sizeof(content));
    pv_put_u8(&w, VERSION);
    pv_put_bytes(&w, parcel->id, sizeof(parcel->id));
    pv_put_u64(&w, parcel->seq);
    pv_put_u64(&w, parcel->time_ms);
    pv_put_bytes(&w, parcel->text.ptr, parcel->text.len);
    int r = pv_sign(sig, context, signed_place(route, where), pv_written(&w), keys->sk);
    pv_put_bytes(&w, sig, sizeof(sig));
    if (r == PV_OK)
        r = w.status;
    const struct pv_noise_parties parties = {
        .prologue = copy_prologue(route, start), .local = keys->local, .remote = keys->remote};
    if (r == PV_OK && keys->hybrid == NULL)
        r = pv_noise_xpsk_seal(&parties, rng, pv_written(&w), ret_box);
    else if (r == PV_OK)
        r = pv_sealing_seal(keys->hybrid, &parties, rng, pv_written(&w), ret_box);
    if (r == PV_OK)
        *ret_len = w.len + (keys->hybrid == NULL ? PV_NOISE_X_OVERHEAD : PV_SEALING_OVERHEAD);
    pv_wipe(content, sizeof(content));
    return r;
}

/* The signature is checked before any field is read. */
int pv_parcel_parse(const struct pv_signal_route *route, struct pv_view content,
                    struct pv_parcel *ret_parcel)
{
    struct pv_parcel p = {.seq = 0};
    uint8_t where[SIGNED_TO];
    if (content.len <= PV_PARCEL_HEAD + PV_SIGN_LEN)
        return PV_ERR_TRUNCATED;
    if (content.len > PV_PARCEL_CONTENT_MAX)
        return PV_ERR_LIMIT;
    if (content.ptr[0] != VERSION)
        return PV_ERR_UNSUPPORTED;
    size_t signed_len = content.len - PV_SIGN_LEN;
    int r = pv_sign_verify(content.ptr + signed_len, context, signed_place(route, where),
                           pv_view(content.ptr, signed_len), route->from);
    if (r < 0)
        return r;
    struct pv_reader in = pv_reader(pv_view(content.ptr + 1, signed_len - 1));
    pv_get_copy(&in, p.id, sizeof(p.id));
    p.seq = pv_get_u64(&in);
    p.time_ms = pv_get_u64(&in);
    p.text = in.rest;
    if (in.status != PV_OK || p.seq == 0 || p.seq > PV_CHAT_SEQ_MAX ||
        p.time_ms > PV_CHAT_SEQ_MAX || !pv_text_is_valid(p.text))
        return PV_ERR_MALFORMED;
    *ret_parcel = p;
    return PV_OK;
}

int pv_parcel_open(const struct pv_signal_route *route, const struct pv_noise_static *local,
                   struct pv_view box, uint8_t buf[static PV_PARCEL_CONTENT_MAX],
                   struct pv_parcel *ret_parcel)
{
    uint8_t start[PROLOGUE_LEN], sender[PV_DH_LEN];
    if (box.len > PV_PARCEL_CLASSICAL_MAX)
        return PV_ERR_LIMIT;
    if (box.len < PV_NOISE_X_OVERHEAD)
        return PV_ERR_TRUNCATED;
    /* Which transport key sealed it does not matter: the author may have a new one by now. Whose
     * words they are the signature says. */
    int r = pv_noise_x_open(copy_prologue(route, start), local, box, sender, buf);
    if (r < 0)
        return r;
    return pv_parcel_parse(route, pv_view(buf, box.len - PV_NOISE_X_OVERHEAD), ret_parcel);
}

int pv_parcel_open_hybrid(const struct pv_signal_route *route,
                          const uint8_t psk[static PV_NOISE_PSK_LEN],
                          const struct pv_noise_static *local, struct pv_view box,
                          uint8_t buf[static PV_PARCEL_CONTENT_MAX], struct pv_parcel *ret_parcel)
{
    uint8_t start[PROLOGUE_LEN], sender[PV_DH_LEN];
    if (box.len > PV_PARCEL_BOX_MAX)
        return PV_ERR_LIMIT;
    int r = pv_sealing_open(psk, copy_prologue(route, start), local, box, sender, buf);
    if (r < 0)
        return r;
    return pv_parcel_parse(route, pv_view(buf, box.len - PV_SEALING_OVERHEAD), ret_parcel);
}
