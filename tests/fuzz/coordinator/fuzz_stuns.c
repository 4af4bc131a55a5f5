/* SPDX-License-Identifier: MIT */
/*
 * fuzz_stuns.c - the coordinator's STUN server on any request from any source, by UDP to a server
 * with one or two ports and addresses and by a stream cut in any pieces: an answer is small, by UDP
 * also for its request, decodes, carries the request's id, leaves from an address of the server
 * towards the source's address, and is never itself answered.
 *
 * Input: one byte (bit 0 family, bit 1 second port, bit 2 second address, bit 3 stream), 18 bytes
 * address and port, then the request.
 */
#include <string.h>

#include "base/bytes.h"
#include "coordinator/core/turn/stunconn.h"
#include "coordinator/core/turn/stuns.h"
#include "proto/stun/stun.h"
#include "tests/fuzz/fuzz_util.h"

static void check_reply(const struct pv_stuns_reply *reply, struct pv_view req,
                        const struct pv_stuns_place *place, const struct pv_addr *src)
{
    struct pv_stun_msg msg;
    struct pv_addr seen = pv_addr_unmap(*src);
    must(reply->len <= PV_STUNS_MAX_ANSWER);
    must(memcmp(reply->buf + 4, req.ptr + 4, PV_STUN_CLASSIC_ID_LEN) == 0);
    must(pv_addr_equal_ip(&reply->to, &seen) && reply->to.port != 0);
    must(place == NULL || reply->len <= PV_STUNS_GAIN * req.len);
    if (place != NULL)
        must((pv_addr_equal_ip(&reply->from, &place->local) ||
              pv_addr_equal_ip(&reply->from, &place->other)) &&
             reply->from.port != 0);
    if (pv_load_be32(reply->buf + 4) == PV_STUN_COOKIE) {
        must(pv_stun_decode(pv_view(reply->buf, reply->len), &msg) == PV_OK);
        must(msg.cls == PV_STUN_SUCCESS || msg.cls == PV_STUN_ERROR);
    }
}

static void by_stream(struct pv_stuns *s, const struct pv_addr *src, struct pv_view data)
{
    struct pv_stunconn conn = {0};
    struct pv_stuns_reply reply;
    size_t piece = 1 + data.len % 37;
    while (data.len > 0) {
        size_t used = 0;
        struct pv_view req;
        int r = pv_stunconn_handle_bytes(
            &conn, pv_view(data.ptr, data.len < piece ? data.len : piece), &used, &req);
        if (r == PV_ERR_MALFORMED)
            break;
        must(used > 0);
        data = pv_view(data.ptr + used, data.len - used);
        if (r < 0)
            continue;
        if (pv_stuns_answer(s, src, NULL, req, PV_S(1), &reply) == PV_OK) {
            check_reply(&reply, req, NULL, src);
            must(pv_stunconn_put(&conn, pv_view(reply.buf, reply.len)) == PV_OK);
        }
        must(pv_stunconn_put(&conn, req) == PV_OK); /* as a relay would */
        pv_stunconn_next(&conn);
        must(pv_stunconn_out(&conn).len % 4 == 0);
        while (pv_stunconn_out(&conn).len > 0)
            pv_stunconn_wrote(&conn, 1, PV_S(1));
    }
    pv_stunconn_done(&conn);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 19)
        return 0;
    uint8_t same = 0x5a;
    struct pv_rng rng = {.fill = fuzz_fill_same, .ctx = &same};
    struct pv_stuns_place place = {.local = pv_addr4(192, 0, 2, 1, 3478)};
    struct pv_addr src = pv_addr6(data + 1, pv_load_be16(data + 17));
    if (data[0] % 2 == 0)
        src = pv_addr4_u32(pv_load_be32(data + 1), src.port);
    if (data[0] & 4)
        place.other = pv_addr4(192, 0, 2, 2, 0);
    place.other.port = data[0] & 6 ? 3479 : 0;
    struct pv_view req = pv_view(data + 19, len - 19);
    struct pv_stuns *s;
    struct pv_stuns_reply reply;
    struct pv_stuns_reply again;

    must(pv_stuns_new(&s, &rng) == PV_OK);
    if (data[0] & 8) {
        by_stream(s, &src, req);
    } else if (pv_stuns_answer(s, &src, &place, req, PV_S(1), &reply) == PV_OK) {
        check_reply(&reply, req, &place, &src);
        must(pv_stuns_answer(s, &src, &place, pv_view(reply.buf, reply.len), PV_S(1), &again) < 0);
    }
    pv_stuns_free(s);
    return 0;
}
