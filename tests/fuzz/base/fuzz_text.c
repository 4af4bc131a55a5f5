/* SPDX-License-Identifier: MIT */
/*
 * fuzz_text - the text parsers of lib/base: whatever is accepted must come back the same from its
 * canonical form.
 */
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/text.h"
#include "tests/fuzz/fuzz_util.h"

static void require(bool ok)
{
    must(ok);
}

static void check_addresses(const char *text)
{
    struct pv_addr a, b;
    struct pv_prefix p, q;

    if (pv_addr_parse(text, &a) == PV_OK) {
        require(pv_addr_parse(PV_ADDR_STR(&a), &b) == PV_OK && pv_addr_equal(&a, &b));
        (void)pv_addr_is_usable_remote(&a);
    }
    if (pv_addr_parse_ip(text, &a) == PV_OK)
        require(pv_addr_parse_ip(PV_IP_STR(&a), &b) == PV_OK && pv_addr_equal(&a, &b));
    if (pv_prefix_parse(text, &p) == PV_OK) {
        require(pv_prefix_parse(PV_PREFIX_STR(&p), &q) == PV_OK && p.bits == q.bits);
        require(pv_prefix_contains(&p, &p.base) && pv_prefix_overlaps(&p, &q));
    }
}

static void check_bytes(const char *text, size_t len)
{
    uint8_t bytes[64], key[32];
    char back[PV_B64_LEN(sizeof(bytes)) + 1];
    size_t n;

    if (pv_b64url_decode(text, len, bytes, sizeof(bytes), &n) == PV_OK) {
        require(pv_b64url_encode(pv_view(bytes, n), back, sizeof(back)) == PV_OK);
        require(strlen(back) == len && memcmp(back, text, len) == 0);
    }
    if (pv_key_parse(text, key) == PV_OK)
        require(strcmp(pv_key_format(key, back), text) == 0);
    if (pv_wgkey_parse(text, key) == PV_OK)
        require(strcmp(pv_wgkey_format(key, back), text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char text[256], name[PV_NAME_BUF];
    uint64_t v;

    if (len >= sizeof(text))
        return 0;
    if (len > 0)
        memcpy(text, data, len);
    text[len] = '\0';
    check_addresses(text);
    check_bytes(text, len);
    if (pv_name_parse(text, len, name) == PV_OK)
        require(pv_name_is_valid(name) && strlen(name) == len);
    if (pv_u64_parse(text, 5, 500, &v) == PV_OK)
        require(v >= 5 && v <= 500);
    if (pv_duration_parse(text, &v) == PV_OK)
        require(v <= UINT64_C(100) * 366 * 86400);
    (void)pv_utf8_is_valid(pv_view(data, len));
    return 0;
}
