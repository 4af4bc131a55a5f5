/* SPDX-License-Identifier: MIT */
/*
 * fuzz_turnframe.c - TURN by a stream: however the bytes are cut, the same messages come out, and
 * the coordinator's cutter agrees with the daemon's.
 *
 * Input: one byte that says how large the pieces are, then the stream.
 */
#include <stdlib.h>

#include "coordinator/core/turn/stunconn.h"
#include "proto/stun/turnframe.h"
#include "tests/fuzz/fuzz_util.h"

static uint64_t mix(uint64_t h, struct pv_view m)
{
    for (size_t i = 0; i < m.len; i++)
        h = (h ^ m.ptr[i]) * 0x100000001b3u;
    return (h ^ m.len) * 0x100000001b3u;
}

/* A hash over all messages; *ret_bad: the stream was lost. Messages the server finds too long end
 * it, for both. */
static uint64_t cut(struct pv_view stream, size_t piece, bool *ret_bad)
{
    struct pv_turnframe *f = calloc(1, sizeof(*f));
    uint64_t h = 0xcbf29ce484222325u;
    must(f != NULL);
    *ret_bad = false;
    while (stream.len > 0 && !*ret_bad) {
        size_t n = stream.len < piece ? stream.len : piece;
        struct pv_view data = pv_view(stream.ptr, n), m;
        int r;
        while ((r = pv_turnframe_next(f, &data, &m)) == PV_OK && m.len <= PV_STUNCONN_MESSAGE_MAX)
            h = mix(h, m);
        *ret_bad = r != PV_ERR_AGAIN;
        stream = pv_view(stream.ptr + n, stream.len - n);
    }
    free(f);
    return h;
}

static uint64_t cut_by_server(struct pv_view stream, bool *ret_bad)
{
    struct pv_stunconn s = {0};
    uint64_t h = 0xcbf29ce484222325u;
    *ret_bad = false;
    while (stream.len > 0) {
        struct pv_view m;
        size_t used = 0;
        int r = pv_stunconn_handle_bytes(&s, stream, &used, &m);
        if (r == PV_ERR_MALFORMED) {
            *ret_bad = true;
            break;
        }
        must(used > 0 && used <= stream.len);
        stream = pv_view(stream.ptr + used, stream.len - used);
        if (r != PV_OK)
            break;
        h = mix(h, m);
        pv_stunconn_next(&s);
    }
    pv_stunconn_done(&s);
    return h;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    bool bad, other;
    if (len == 0)
        return 0;
    struct pv_view stream = pv_view(data + 1, len - 1);
    uint64_t whole = cut(stream, len, &bad);
    must(cut(stream, (size_t)data[0] + 1, &other) == whole && other == bad);
    must(cut_by_server(stream, &other) == whole);
    return 0;
}
