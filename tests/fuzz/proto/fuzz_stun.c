/* SPDX-License-Identifier: MIT */
/*
 * fuzz_stun.c - the STUN decoder and demultiplexer on any bytes; what decodes must survive a
 * round trip: written again attribute by attribute it decodes to the same message.
 */
#include <stdlib.h>

#include "proto/stun/demux.h"
#include "proto/stun/stun.h"
#include "tests/fuzz/fuzz_util.h"

static void ask_everything(const struct pv_stun_msg *msg)
{
    struct pv_addr addr;
    uint16_t unknown[8];
    uint32_t u32;
    uint64_t u64;
    unsigned code;

    for (size_t i = 0; i < msg->n_attrs; i++) {
        uint16_t type = msg->attrs[i].type;
        (void)!pv_stun_get_addr(msg, type, &addr);
        (void)!pv_stun_get_xor_addr(msg, type, &addr);
        (void)!pv_stun_get_u32(msg, type, &u32);
        (void)!pv_stun_get_u64(msg, type, &u64);
    }
    if (pv_stun_get_error(msg, &code) == PV_OK)
        must(code >= 300 && code <= 699);
    must(pv_stun_list_unknown(msg, NULL, 0, unknown, 8) <= 8);
    (void)!pv_stun_check_integrity(msg, pv_view("key", 3));
    (void)!pv_stun_check_fingerprint(msg);
}

static void round_trip(const struct pv_stun_msg *msg)
{
    size_t cap = msg->raw.len;
    uint8_t *buf = malloc(cap);
    struct pv_stun_writer w;
    struct pv_stun_msg again;
    size_t len;

    must(buf != NULL);
    pv_stun_write_begin(&w, buf, cap, msg->cls, msg->method, msg->txid);
    for (size_t i = 0; i < msg->n_attrs; i++)
        pv_stun_put(&w, msg->attrs[i].type, msg->attrs[i].value);
    must(pv_stun_write_end(&w, &len) == PV_OK);
    must(len == msg->raw.len);
    must(pv_demux(pv_view(buf, len)) == PV_DEMUX_STUN);
    must(pv_stun_decode(pv_view(buf, len), &again) == PV_OK);
    must(again.n_attrs == msg->n_attrs && again.cls == msg->cls && again.method == msg->method);
    for (size_t i = 0; i < msg->n_attrs; i++)
        must(again.attrs[i].type == msg->attrs[i].type &&
             pv_view_equal(again.attrs[i].value, msg->attrs[i].value));
    free(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pv_view input = pv_view(data, len);
    struct pv_stun_msg msg;
    bool stun = pv_stun_decode(input, &msg) == PV_OK;

    if (stun) {
        must(pv_demux(input) == PV_DEMUX_STUN);
        ask_everything(&msg);
        round_trip(&msg);
    } else {
        (void)pv_demux(input);
    }
    if (pv_stun_decode_classic(input, &msg) == PV_OK) {
        must(!stun && msg.classic);
        ask_everything(&msg);
    }
    return 0;
}
