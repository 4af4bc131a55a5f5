/* SPDX-License-Identifier: MIT */
/* Control messages: what parses is built again, and that parses to the same text. */
#include <stdlib.h>
#include <string.h>

#include "proto/control/ctlmsg.h"
#include "tests/fuzz/fuzz_util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static char first[PV_CTL_TEXT_MAX];
    static char second[PV_CTL_TEXT_MAX];
    struct pv_ctl_msg *msg = NULL;
    size_t n1 = 0;
    size_t n2 = 0;
    if (pv_ctl_parse(pv_view(data, len), &msg) != PV_OK)
        return 0;
    int r = pv_ctl_build(msg, first, sizeof(first), &n1);
    if (msg->type == PV_CTL_UNKNOWN || msg->type == PV_CTL_INVALID) {
        if (r != PV_ERR_STATE)
            abort();
        pv_ctl_msg_free(msg);
        return 0;
    }
    pv_ctl_msg_free(msg);
    /* Defaults are written out, so a message near the limit may grow over it. */
    if (r == PV_ERR_NO_SPACE)
        return 0;
    if (r != PV_OK || pv_ctl_parse(pv_view(first, n1), &msg) != PV_OK)
        abort();
    if (pv_ctl_build(msg, second, sizeof(second), &n2) != PV_OK || n1 != n2 ||
        memcmp(first, second, n1) != 0)
        abort();
    pv_ctl_msg_free(msg);
    return 0;
}
