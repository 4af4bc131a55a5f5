/* SPDX-License-Identifier: MIT */
/*
 * fuzz_room - records and frames of rooms. A signature would keep a fuzzer out, so the input is
 * used three ways: as a record, as a record that is signed here, and as a frame, whose records are
 * looked at too. A record that is taken must come back the same from its own writer.
 */
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "proto/chat/room.h"
#include "tests/fuzz/fuzz_util.h"

static const uint8_t network[PV_ROOM_NETWORK_LEN] = {1};

static void check_signed(const uint8_t *data, size_t len)
{
    static uint8_t raw[PV_ROOM_RECORD_MAX], again[PV_ROOM_RECORD_MAX];
    static const uint8_t seed[PV_SIGN_SEED_LEN] = {7};
    uint8_t sk[PV_SIGN_SK_LEN], pk[PV_SIGN_PK_LEN];
    struct pv_room_have base[PV_ROOM_MAX_MEMBERS], h;
    struct pv_room_record rec;
    size_t again_len = 0, n = 0;
    size_t signer = len > 1 && data[1] == PV_ROOM_CREATE ? 2 : 2 + PV_ROOM_ID_LEN;
    if (len < signer + sizeof(pk) || len > sizeof(raw) - PV_SIGN_LEN)
        return;
    pv_sign_keypair(seed, sk, pk);
    memcpy(raw, data, len);
    memcpy(raw + signer, pk, sizeof(pk));
    if (pv_sign(raw + len, "p2pvpn room v1", pv_view(network, sizeof(network)), pv_view(raw, len),
                sk) != PV_OK)
        abort();
    if (pv_room_record_parse(pv_view(raw, len + PV_SIGN_LEN), network, &rec) != PV_OK)
        return;
    while (pv_room_base(&rec, n, &h))
        base[n++] = h;
    const struct pv_room_make make = {.network = network, .sk = sk, .base = base, .n_base = n};
    if (pv_room_record_make(&make, &rec, again, &again_len) != PV_OK ||
        again_len != len + PV_SIGN_LEN || memcmp(again, raw, again_len) != 0)
        abort();
}

static void check_frame(const uint8_t *data, size_t len)
{
    static struct pv_room_frame f, g;
    static char line[PV_CHAT_LINE_MAX];
    struct pv_room_record rec;
    size_t n = 0;
    if (pv_room_frame_parse(pv_view(data, len), &f) != PV_OK)
        return;
    for (size_t i = 0; i < f.n_records; i++) {
        if (pv_room_record_parse(f.records[i], network, &rec) == PV_OK)
            abort(); /* nobody signed it */
    }
    if (pv_room_frame_write(&f, line, &n) != PV_OK)
        return; /* blanks of the input left out, numbers written out: may be longer than a line */
    if (pv_room_frame_parse(pv_view(line, n - 1), &g) != PV_OK || g.kind != f.kind ||
        g.n_have != f.n_have || g.n_prefix != f.n_prefix || g.n_records != f.n_records)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pv_room_record rec;
    if (pv_crypto_init() != PV_OK)
        abort();
    if (pv_room_record_parse(pv_view(data, len), network, &rec) == PV_OK)
        abort(); /* nobody signed it */
    if (pv_room_record_parse(pv_view(data, len), NULL, &rec) == PV_OK && rec.type == PV_ROOM_TEXT &&
        !pv_chat_text_is_valid(rec.text))
        abort();
    check_signed(data, len);
    check_frame(data, len);
    return 0;
}
