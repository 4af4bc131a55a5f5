/* SPDX-License-Identifier: MIT */
/*
 * fuzz_token - invite tokens and move tokens. The checksum would keep a fuzzer out, so the input is
 * used in two ways: as the text, and as the binary form before its checksum. A token that parses is
 * written back the same.
 */
#include <stdlib.h>
#include <string.h>

#include "crypto/hash.h"
#include "proto/roster/token.h"
#include "tests/fuzz/fuzz_util.h"

static void check(const char *text, size_t len)
{
    struct pv_token token;
    char again[PV_TOKEN_TEXT_BUF];

    if (pv_token_parse(text, len, &token) != PV_OK)
        return;
    if (pv_token_format(&token, again, sizeof(again)) != PV_OK || strlen(again) != len ||
        memcmp(again, text, len) != 0)
        abort();
    pv_token_done(&token);
}

static void check_move(const char *text, size_t len)
{
    struct pv_movetoken token;
    char again[PV_MOVETOKEN_TEXT_BUF];

    if (pv_movetoken_parse(text, len, &token) != PV_OK)
        return;
    if (pv_movetoken_format(&token, again, sizeof(again)) != PV_OK || strlen(again) != len ||
        memcmp(again, text, len) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const char context[] = "p2pvpn token v1";
    uint8_t bin[PV_MOVETOKEN_BIN_MAX], hash[PV_BLAKE2B_LEN];
    char text[PV_MOVETOKEN_TEXT_BUF] = "p2pvpn-";

    check((const char *)data, len);
    check_move((const char *)data, len);
    if (len > sizeof(bin) - 4)
        return 0;
    if (len > 0)
        memcpy(bin, data, len);
    pv_blake2b(hash, pv_view(context, sizeof(context)), pv_view(bin, len), pv_view(NULL, 0));
    memcpy(bin + len, hash, 4);
    if (pv_b64url_encode(pv_view(bin, len + 4), text + 7, sizeof(text) - 7) != PV_OK)
        abort();
    check(text, strlen(text));
    check_move(text, strlen(text));
    return 0;
}
