/* SPDX-License-Identifier: MIT */
/*
 * The NAT emulator under any packets: input = records of {u8 side and time, u16 length, bytes}.
 * Each output must be an IP packet that can be parsed again.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "tests/fuzz/fuzz_util.h"
#include "tests/natcore/natcore.h"
#include "tests/natcore/natcore_pkt.h"
#include "tests/natcore/natcore_text.h"

static void drain(struct pv_nat *nat, pv_ns now)
{
    enum pv_nat_side side = PV_NAT_INSIDE;
    uint8_t *out = NULL;
    size_t n = 0;
    while (pv_nat_output(nat, now, &side, &out, &n) == PV_OK) {
        struct pv_natpkt pkt;
        int r = pv_natpkt_parse(out, n, &pkt);
        assert(r == PV_OK);
        (void)r;
        free(out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pv_nat_config config;
    pv_nat_config_init(&config);
    int r = pv_nat_set(&config, "public", "203.0.113.7");
    r |= pv_nat_set(&config, "inside-ip", "10.0.0.1");
    r |= pv_nat_set(&config, "hairpin", "external");
    r |= pv_nat_set(&config, "pollution", "yes");
    r |= pv_nat_set(&config, "mtu-out", "600");
    assert(r == PV_OK);
    struct pv_nat *nat = pv_nat_new(&config, 1);
    assert(nat != NULL);
    pv_ns now = PV_S(100);
    struct pv_reader in = pv_reader(pv_view(data, len));
    while (in.rest.len > 0 && in.status == PV_OK) {
        uint8_t head = pv_get_u8(&in);
        struct pv_view packet = pv_get_view16(&in, 4096);
        if (in.status != PV_OK)
            break;
        now += PV_MS((pv_ns)(head >> 1) * 100);
        uint8_t *copy = malloc(packet.len == 0 ? 1 : packet.len);
        assert(copy != NULL);
        if (packet.len > 0)
            memcpy(copy, packet.ptr, packet.len);
        pv_nat_input(nat, (head & 1) != 0 ? PV_NAT_OUTSIDE : PV_NAT_INSIDE, copy, packet.len, now);
        free(copy);
        drain(nat, now);
    }
    pv_nat_free(nat);
    return 0;
}
