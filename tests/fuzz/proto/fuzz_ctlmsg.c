/* SPDX-License-Identifier: MIT */
/* Control messages: what parses is built again, and that parses to the same text. Statements say
 * the same as a packed page. */
#include <stdlib.h>
#include <string.h>

#include "proto/control/ctlmsg.h"
#include "proto/control/ctlpage.h"
#include "tests/fuzz/fuzz_util.h"

/* Aborts when a page does not survive being packed; text is the same message in JSON. */
static void check_packed(const struct pv_ctl_msg *msg, const char *text, size_t len)
{
    static uint8_t packed[PV_CTL_TEXT_MAX];
    static char again[PV_CTL_TEXT_MAX];
    struct pv_ctl_msg *back = NULL;
    size_t n = 0, n_again = 0;
    if (msg->type != PV_CTL_STATEMENTS || msg->kind == PV_CTL_REQUEST ||
        msg->u.statements.has_head != msg->u.statements.has_members)
        return;
    int r = pv_ctlpage_build(msg, packed, sizeof(packed), &n);
    if (r == PV_ERR_NO_SPACE)
        return;
    if (r != PV_OK || pv_ctl_parse(pv_view(packed, n), &back) != PV_OK ||
        pv_ctl_build(back, again, sizeof(again), &n_again) != PV_OK || n_again != len ||
        memcmp(again, text, len) != 0)
        abort();
    pv_ctl_msg_free(back);
}

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
    check_packed(msg, first, n1);
    pv_ctl_msg_free(msg);
    return 0;
}
