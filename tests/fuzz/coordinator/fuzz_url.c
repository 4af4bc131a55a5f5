/* SPDX-License-Identifier: MIT */
/*
 * fuzz_url - coordinator URLs and addresses: what parses is written back the same.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/roster/token.h"
#include "tests/fuzz/fuzz_util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *text = (const char *)data;
    struct pv_url url;
    struct pv_hostport hp;
    char again[PV_URL_TEXT_BUF];

    if (pv_url_parse(text, len, &url) == PV_OK &&
        (pv_url_format(&url, again, sizeof(again)) != PV_OK || strlen(again) != len ||
         memcmp(again, text, len) != 0))
        abort();
    if (pv_hostport_parse(text, len, &hp) == PV_OK &&
        (strlen(pv_hostport_format(&hp, again)) != len || memcmp(again, text, len) != 0))
        abort();
    return 0;
}
