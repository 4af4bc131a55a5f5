/* SPDX-License-Identifier: MIT */
/* fuzz_carrying - where a member says that strangers reach it: what is taken reads the same again,
 * and names an address of somebody. */
#include <stdlib.h>
#include <string.h>

#include "proto/ip/carrying.h"
#include "tests/fuzz/fuzz_util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t buf[PV_CARRYING_MAX];
    struct pv_carrying c, again;
    size_t n;
    if (pv_carrying_parse(pv_view(data, len), &c) != PV_OK)
        return 0;
    if (!c.asks && (c.why == PV_CARRYING_HERE) != (c.at.family != PV_AF_NONE && c.at.port != 0))
        abort();
    pv_carrying_build(&c, buf, &n);
    if (n > sizeof(buf) || pv_carrying_parse(pv_view(buf, n), &again) != PV_OK)
        abort();
    if (again.asks != c.asks || again.why != c.why || again.names != c.names ||
        memcmp(again.guest, c.guest, sizeof(c.guest)) != 0 || !pv_addr_equal(&again.at, &c.at))
        abort();
    return 0;
}
