/* SPDX-License-Identifier: MIT */
/* Signal payloads: what parses is written again and must parse to the same. */
#include <stdlib.h>
#include <string.h>

#include "proto/signal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pv_signal_parsed a;
    if (pv_signal_parse(pv_view(data, len), &a) != PV_OK)
        return 0;
    static char text[PV_SIGNAL_TEXT_MAX];
    size_t n;
    struct pv_signal_parsed b;
    int r = pv_signal_write(&a.sig, text, sizeof(text), &n);
    if (r == PV_OK) {
        if (pv_signal_parse(pv_view(text, n), &b) != PV_OK)
            abort();
        if (a.sig.seq != b.sig.seq || a.sig.n_chain != b.sig.n_chain ||
            a.sig.desc.n_cands != b.sig.desc.n_cands || a.sig.desc.wg_len != b.sig.desc.wg_len)
            abort();
        pv_signal_parsed_done(&b);
    } else if (r != PV_ERR_NO_SPACE) {
        abort();
    }
    pv_signal_parsed_done(&a);
    return 0;
}
