/* SPDX-License-Identifier: MIT */
/*
 * fuzz_receipt - receipts from anybody: only 170 bytes pass, and reading is the inverse of writing.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/roster/statement.h"
#include "tests/fuzz/fuzz_util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pv_receipt f;
    uint8_t seed[PV_SIGN_SEED_LEN] = {1}, sk[PV_SIGN_SK_LEN], pk[PV_SIGN_PK_LEN];
    uint8_t again[PV_RECEIPT_LEN];

    if (pv_receipt_decode(pv_view(data, len), &f) != PV_OK)
        return 0;
    if (len != PV_RECEIPT_LEN)
        abort();
    int verified = pv_receipt_verify(pv_view(data, len));
    if (verified != PV_OK && verified != PV_ERR_AUTH)
        abort();

    /* Made again under another key: the same but for the key and the signature. */
    pv_sign_keypair(seed, sk, pk);
    if (pv_receipt_make(&f, sk, again) != PV_OK ||
        pv_receipt_verify(pv_view(again, sizeof(again))) != PV_OK)
        abort();
    memcpy(again + 18, data + 18, PV_SIGN_PK_LEN);
    if (memcmp(again, data, PV_RECEIPT_LEN - PV_SIGN_LEN) != 0)
        abort();
    return 0;
}
