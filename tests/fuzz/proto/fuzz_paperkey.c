/* SPDX-License-Identifier: MIT */
/* fuzz_paperkey - a root key as somebody typed it: what is read is written back with the same
 * letters, and a slip is in one of the lines. */
#include <stdlib.h>
#include <string.h>

#include "proto/roster/paperkey.h"
#include "tests/fuzz/fuzz_util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pv_paperkey p, again;
    char text[PV_PAPERKEY_TEXT_BUF];
    unsigned line;
    int status = pv_paperkey_parse((const char *)data, len, &p, &line);

    if (line > PV_PAPERKEY_LINES)
        abort();
    if (status != PV_OK)
        return 0;
    pv_paperkey_format(&p, text);
    if (pv_paperkey_parse(text, strlen(text), &again, &line) != PV_OK ||
        memcmp(&p, &again, sizeof(p)) != 0)
        abort();
    return 0;
}
