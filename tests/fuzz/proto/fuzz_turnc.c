/* SPDX-License-Identifier: MIT */
/*
 * fuzz_turnc.c - the TURN client as a sequence of calls, times and datagrams: it stays within its
 * bounds, its timers move on, and what it sends decodes.
 *
 * Input: records of one byte what, then its argument. Answers name the request by being built for
 * the last one that was sent.
 */
#include <string.h>

#include "proto/stun/turnc.h"
#include "tests/fuzz/fuzz_util.h"

struct world {
    struct pv_turnc *c;
    struct pv_turnc_config cfg;
    uint8_t key[PV_MD5_LEN];
    uint8_t req[PV_TURNC_MTU];
    size_t req_len; /* 0: none was sent yet */
    pv_ns now;
};

static struct pv_addr peer_of(uint8_t n)
{
    uint8_t ip[16] = {0xfd, [15] = n};
    return pv_addr6(ip, PV_TURN_VIRTUAL_PORT);
}

static void drain(struct world *w)
{
    struct pv_turnc_event ev;
    uint8_t buf[PV_TURNC_MTU];
    size_t len;
    unsigned n = 0;
    while (pv_turnc_poll_transmit(w->c, buf, sizeof(buf), &len) == PV_OK) {
        struct pv_stun_msg msg;
        must(pv_stun_decode(pv_view(buf, len), &msg) == PV_OK && msg.cls == PV_STUN_REQUEST);
        memcpy(w->req, buf, len);
        w->req_len = len;
        must(++n < 1000);
    }
    while (pv_turnc_poll_event(w->c, &ev) == PV_OK)
        must(++n < 2000);
    must(pv_turnc_next_timeout(w->c) > w->now);
}

static void answer(struct world *w, uint8_t how, uint8_t arg)
{
    static const unsigned ERRORS[] = {400, 401, 403, 437, 438, 441, 486, 508};
    struct pv_stun_msg msg;
    struct pv_stun_writer out;
    struct pv_addr relayed = peer_of(0);
    uint8_t buf[512];
    size_t len;
    if (w->req_len == 0 || pv_stun_decode(pv_view(w->req, w->req_len), &msg) != PV_OK)
        return;
    bool ok = (how & 1) != 0;
    pv_stun_write_answer(&out, buf, sizeof(buf), ok ? PV_STUN_SUCCESS : PV_STUN_ERROR, &msg);
    if (!ok)
        pv_stun_put_error(&out, ERRORS[arg % 8], "");
    if ((how & 2) != 0)
        pv_stun_put_xor_addr(&out, PV_TURN_ATTR_XOR_RELAYED_ADDRESS, &relayed);
    if ((how & 4) != 0)
        pv_stun_put_u32(&out, PV_TURN_ATTR_LIFETIME, arg);
    if ((how & 8) != 0)
        pv_stun_put(&out, PV_STUN_ATTR_NONCE, pv_view(&arg, 1));
    if ((how & 16) != 0)
        pv_stun_put_integrity(&out, pv_view(w->key, sizeof(w->key)));
    must(pv_stun_write_end(&out, &len) == PV_OK);
    (void)!pv_turnc_handle_input(w->c, &w->cfg.server, pv_view(buf, len), w->now);
}

static void datagram(struct world *w, struct pv_view v)
{
    struct pv_addr peer = peer_of(1);
    uint8_t buf[512];
    size_t len;
    (void)!pv_turnc_handle_input(w->c, &w->cfg.server, v, w->now);
    if (pv_turnc_wrap(w->c, &peer, v, buf, sizeof(buf), &len) == PV_OK)
        must(len <= v.len + PV_TURN_INDICATION_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t counter = 1;
    struct pv_rng rng = {.fill = fuzz_fill_count, .ctx = &counter};
    struct world w = {
        .cfg = {.server = pv_addr4(192, 0, 2, 1, 3478),
                .user = "u",
                .password = "p",
                .realm = "r",
                .nonce = "n",
                .ipv6 = true,
                .permissions = len > 0 && (data[0] & 0x80) != 0},
        .now = PV_S(1),
    };
    must(pv_turnc_new(&w.c, &rng) == PV_OK && pv_turn_key("u", "r", "p", w.key) == PV_OK);
    for (size_t i = 0; i + 2 < len; i += 3) {
        uint8_t a = data[i + 1], b = data[i + 2];
        struct pv_addr peer = peer_of(a);
        switch (data[i] % 10) {
        case 0:
            must(pv_turnc_start(w.c, &w.cfg, w.now) == PV_OK);
            break;
        case 1:
            answer(&w, a, b);
            break;
        case 2:
            w.now += PV_MS(1) * a * (b + 1u);
            break;
        case 3:
            must(pv_turnc_bind(w.c, &peer, w.now) == PV_OK);
            break;
        case 4:
            pv_turnc_unbind(w.c, &peer, w.now);
            break;
        case 5:
            pv_turnc_moved(w.c, w.now);
            break;
        case 8:
            pv_turnc_reroute(w.c, a % 2 != 0, w.now);
            break;
        case 9:
            pv_turnc_refresh(w.c, w.now);
            break;
        case 6:
            datagram(&w, pv_view(data + i + 3, len - i - 3 < a ? len - i - 3 : a));
            break;
        case 7:
            if (a % 16 == 0)
                pv_turnc_stop(w.c);
            else if (pv_turnc_next_timeout(w.c) != PV_NEVER && pv_turnc_next_timeout(w.c) > w.now)
                w.now = pv_turnc_next_timeout(w.c);
            break;
        }
        pv_turnc_handle_timeout(w.c, w.now);
        drain(&w);
    }
    pv_turnc_free(w.c);
    return 0;
}
