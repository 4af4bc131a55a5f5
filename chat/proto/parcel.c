/* SPDX-License-Identifier: MIT */
/*
 * parcel.c - a chat message for a receiver who is away (PROTOCOL-PEERS.md "Stored copies"). Signed
 * by the author: the box alone would not prove the author to the receiver after the author's
 * transport key has changed, and a box can be made by whoever has the receiver's secret key (Noise
 * s7.2).
 */
#include "chat/proto/parcel.h"

#include "base/bytes.h"
#include "base/text.h"
#include "crypto/ct.h"

enum {
    VERSION = 1, /* of the content */
    SIGNED_TO = PV_NETWORK_ID_LEN + PV_SIGN_PK_LEN,
};

#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* whose messages are shorter */
_Static_assert((int)PV_PARCEL_CONTENT_MAX == (int)PV_COPYBOX_CONTENT_MAX,
               "the longest message fills the longest box");
#endif

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

int pv_parcel_build(const struct pv_signal_route *route, const struct pv_appsigner *signer,
                    const struct pv_parcel *parcel,
                    uint8_t ret_content[static PV_PARCEL_CONTENT_MAX], size_t *ret_len)
{
    uint8_t where[SIGNED_TO], sig[PV_SIGN_LEN];
    if (!pv_text_is_valid(parcel->text) || parcel->seq == 0 || parcel->seq > PV_CHAT_SEQ_MAX)
        return PV_ERR_MALFORMED;
    struct pv_writer w = pv_writer(ret_content, PV_PARCEL_CONTENT_MAX);
    pv_put_u8(&w, VERSION);
    pv_put_bytes(&w, parcel->id, sizeof(parcel->id));
    pv_put_u64(&w, parcel->seq);
    pv_put_u64(&w, parcel->time_ms);
    pv_put_bytes(&w, parcel->text.ptr, parcel->text.len);
    int r = signer->sign(signer->keeper, PV_APPSIGNER_PARCEL, signed_place(route, where),
                         pv_written(&w), sig);
    pv_put_bytes(&w, sig, sizeof(sig));
    if (r == PV_OK)
        r = w.status;
    *ret_len = w.len;
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
    int r = pv_appsigner_verify(content.ptr + signed_len, PV_APPSIGNER_PARCEL,
                                signed_place(route, where), pv_view(content.ptr, signed_len),
                                route->from);
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
