/* SPDX-License-Identifier: MIT */
/*
 * fuzz_portmap.c - any answers of a PCP router, at any times: a mapping is held only when one was
 * granted for our nonce and port, it never asks faster than it may, and it comes to an end.
 *
 * Input: steps, each u8 (seconds that pass), u8 length, bytes that come from the router.
 */
#include <string.h>

#include "base/bytes.h"
#include "proto/stun/portmap.h"
#include "tests/fuzz/fuzz_util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t same = 0x5a;
    const struct pv_rng rng = {.fill = fuzz_fill_same, .ctx = &same};
    struct pv_portmap_config cfg = {.router = pv_addr4(192, 168, 1, 1, 5351),
                                    .client = pv_addr4(192, 168, 1, 30, 40015)};
    struct pv_portmap p = {.state = PV_PORTMAP_IDLE};
    struct pv_portmap_event ev;
    uint8_t buf[PV_PORTMAP_MAP_LEN];
    pv_ns now = PV_S(10);
    for (uint8_t i = 0; i < sizeof(cfg.nonce); i++)
        cfg.nonce[i] = (uint8_t)(i + 1);
    pv_portmap_start(&p, &cfg, &rng, now);
    while (len >= 2 && len >= 2 + (size_t)data[1]) {
        struct pv_view d = pv_view(data + 2, data[1]);
        struct pv_portmap_answer a;
        unsigned sends = 0;
        now += PV_S(data[0]);
        pv_portmap_handle_timeout(&p, now);
        while (pv_portmap_poll_transmit(&p, buf) == PV_OK)
            must(++sends <= 2 && memcmp(buf + 24, cfg.nonce, sizeof(cfg.nonce)) == 0);
        bool held = p.state == PV_PORTMAP_HELD;
        if (pv_portmap_handle_input(&p, &cfg.router, d, now) == PV_OK && !held &&
            p.state == PV_PORTMAP_HELD)
            must(pv_portmap_decode(d, &a) == PV_OK && a.code == PV_PORTMAP_SUCCESS &&
                 a.internal_port == 40015 && memcmp(a.nonce, cfg.nonce, sizeof(a.nonce)) == 0);
        while (pv_portmap_poll_event(&p, &ev) == PV_OK)
            must(ev.type == PV_PORTMAP_FAILED || ev.external.port != 0);
        must(p.state == PV_PORTMAP_IDLE || pv_portmap_next_timeout(&p) != PV_NEVER);
        len -= 2 + (size_t)data[1];
        data += 2 + (size_t)data[1];
    }
    pv_portmap_release(&p, now);
    for (unsigned i = 0; p.state != PV_PORTMAP_IDLE; i++) {
        must(i < 8);
        (void)!pv_portmap_poll_transmit(&p, buf);
        pv_portmap_handle_timeout(&p, pv_portmap_next_timeout(&p));
    }
    return 0;
}
