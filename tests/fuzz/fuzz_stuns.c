/* SPDX-License-Identifier: MIT */
/*
 * fuzz_stuns.c - the coordinator's STUN server on any datagram from any source: an answer is small,
 * decodes, carries the request's id, and is never itself answered.
 *
 * Input: one byte family, 18 bytes address and port, then the datagram.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "coordinator/core/stuns.h"
#include "proto/stun.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void fill(void *ctx, uint8_t *dst, size_t len)
{
    (void)ctx;
    memset(dst, 0x5a, len);
}

static void must(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 19)
        return 0;
    struct pv_rng rng = {.fill = fill};
    struct pv_addr src = pv_addr6(data + 1, pv_load_be16(data + 17));
    if (data[0] % 2 == 0)
        src = pv_addr4_u32(pv_load_be32(data + 1), src.port);
    struct pv_view req = pv_view(data + 19, len - 19);
    struct pv_stuns *s;
    uint8_t buf[PV_STUNS_MAX_ANSWER];
    uint8_t again[PV_STUNS_MAX_ANSWER];
    size_t n;

    must(pv_stuns_new(&s, &rng) == PV_OK);
    if (pv_stuns_answer(s, &src, req, PV_S(1), buf, &n) == PV_OK) {
        struct pv_stun_msg msg;
        must(n <= sizeof(buf));
        must(memcmp(buf + 4, req.ptr + 4, PV_STUN_CLASSIC_ID_LEN) == 0);
        if (pv_load_be32(buf + 4) == PV_STUN_COOKIE) {
            must(pv_stun_decode(pv_view(buf, n), &msg) == PV_OK);
            must(msg.cls == PV_STUN_SUCCESS || msg.cls == PV_STUN_ERROR);
        }
        must(pv_stuns_answer(s, &src, pv_view(buf, n), PV_S(1), again, &n) < 0);
    }
    pv_stuns_free(s);
    return 0;
}
