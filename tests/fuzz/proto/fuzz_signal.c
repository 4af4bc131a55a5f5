/* SPDX-License-Identifier: MIT */
/*
 * fuzz_signal - the payload of signals and in-band descriptions: what is accepted keeps its bounds
 * and is the same after writing and reading it again (candidates above the local limit excepted).
 */
#include <stdlib.h>
#include <string.h>

#include "proto/control/signal.h"
#include "tests/fuzz/fuzz_util.h"

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void compare(const struct pv_signal *a, const struct pv_signal *b)
{
    require(a->seq == b->seq && memcmp(a->head, b->head, sizeof(a->head)) == 0);
    require(a->has_desc == b->has_desc && a->n_chain == b->n_chain);
    require(a->has_pq == b->has_pq);
    require(a->has_members == b->has_members && a->has_rules == b->has_rules);
    require(!a->has_rules || memcmp(a->rules, b->rules, sizeof(a->rules)) == 0);
    require(pv_view_equal(a->seal, b->seal) && a->sealed == b->sealed);
    if (a->has_pq)
        require(memcmp(&a->pq, &b->pq, sizeof(a->pq)) == 0);
    if (a->has_desc && a->desc.n_cands <= PV_ICE_MAX_LOCAL) {
        struct pv_desc x = a->desc, y = b->desc;
        x.pq = y.pq = NULL; /* each points into its own signal */
        require(memcmp(&x, &y, sizeof(x)) == 0);
    }
    for (size_t i = 0; i < a->n_chain; i++) {
        require(pv_view_equal(a->chain[i].statement, b->chain[i].statement));
        require(pv_view_equal(a->chain[i].receipt, b->chain[i].receipt));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pv_signal_parsed first, second;
    char text[PV_SIGNAL_TEXT_MAX];
    size_t text_len;

    if (pv_signal_parse(pv_view(data, len), &first) != PV_OK)
        return 0;
    require(first.sig.desc.n_cands <= PV_ICE_MAX_REMOTE);
    for (size_t i = 0; i < first.sig.desc.n_cands; i++)
        require(first.sig.desc.cands[i].base < first.sig.desc.n_cands);
    int r = pv_signal_write(&first.sig, text, sizeof(text), &text_len);
    require(r == PV_OK || r == PV_ERR_NO_SPACE);
    if (r == PV_OK) {
        require(pv_signal_parse(pv_view(text, text_len), &second) == PV_OK);
        compare(&first.sig, &second.sig);
        pv_signal_parsed_done(&second);
    }
    pv_signal_parsed_done(&first);
    return 0;
}
