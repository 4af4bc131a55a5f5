/* SPDX-License-Identifier: MIT */
/* Frames about copies that members hold: what is taken is written and taken again as the same. */
#include <stdlib.h>
#include <string.h>

#include "proto/chat/copy.h"
#include "tests/fuzz/fuzz_util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct pv_copy_frame a, b;
    static char line[PV_CHAT_LINE_MAX];
    size_t n = 0;
    if (pv_copy_frame_parse(pv_view(data, len), &a) != PV_OK)
        return 0;
    if (a.box_len > PV_PARCEL_BOX_MAX || pv_copy_frame_write(&a, line, &n) != PV_OK ||
        !pv_copy_is_frame(pv_view(line, n)) ||
        pv_copy_frame_parse(pv_view(line, n - 1), &b) != PV_OK || a.kind != b.kind ||
        a.yes != b.yes || a.box_len != b.box_len || memcmp(a.box, b.box, a.box_len) != 0 ||
        memcmp(a.key, b.key, sizeof(a.key)) != 0 || memcmp(a.node, b.node, sizeof(a.node)) != 0)
        abort();
    return 0;
}
