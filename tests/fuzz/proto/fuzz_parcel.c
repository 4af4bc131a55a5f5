/* SPDX-License-Identifier: MIT */
/*
 * fuzz_parcel - stored copies of chat messages. Encryption and signature would keep a fuzzer out,
 * so the input is used three ways: as a box, as a content, and as a content that is signed here.
 */
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "proto/chat/parcel.h"
#include "tests/fuzz/fuzz_util.h"

static void check_signed(struct pv_signal_route *route, const uint8_t *data, size_t len)
{
    static uint8_t content[PV_PARCEL_CONTENT_MAX + 1];
    static const uint8_t seed[PV_SIGN_SEED_LEN] = {7};
    uint8_t sk[PV_SIGN_SK_LEN], where[48];
    struct pv_parcel p;
    if (len > sizeof(content) - PV_SIGN_LEN)
        return;
    pv_sign_keypair(seed, sk, route->from);
    memcpy(where, route->network_id, 16);
    memcpy(where + 16, route->to, 32);
    memcpy(content, data, len);
    if (pv_sign(content + len, "p2pvpn chat v1", pv_view(where, 48), pv_view(content, len), sk) !=
        PV_OK)
        abort();
    if (pv_parcel_parse(route, pv_view(content, len + PV_SIGN_LEN), &p) != PV_OK)
        return;
    if (!pv_chat_text_is_valid(p.text) || p.text.len != len - PV_PARCEL_HEAD || p.seq == 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t buf[PV_PARCEL_CONTENT_MAX];
    struct pv_signal_route route = {.network_id = {1}, .from = {2}, .to = {3}};
    static const uint8_t sk[PV_DH_LEN] = {64};
    const struct pv_noise_static keys = {.sk = sk, .pk = {9}};
    struct pv_parcel p;
    if (pv_crypto_init() != PV_OK)
        abort();
    if (pv_parcel_open(&route, &keys, pv_view(data, len), buf, &p) == PV_OK ||
        pv_parcel_parse(&route, pv_view(data, len), &p) == PV_OK)
        abort(); /* nobody signed it */
    if (len > 0)
        check_signed(&route, data, len);
    return 0;
}
