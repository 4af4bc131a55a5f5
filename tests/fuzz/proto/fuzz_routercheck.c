/* SPDX-License-Identifier: MIT */
/*
 * fuzz_routercheck.c - any answers from a router, in any order: it ends in time, and says yes only
 * after an answer.
 *
 * Input: datagrams, each u8 (bit 0: from port 5351, else 1900), u8 length, bytes.
 */
#include "proto/stun/routercheck.h"
#include "tests/fuzz/fuzz_util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct pv_addr router = pv_addr4(192, 168, 0, 1, 0);
    const struct pv_addr local = pv_addr4(192, 168, 0, 2, 0);
    struct pv_routercheck rc;
    struct pv_routercheck_result res;
    bool any = false;
    pv_routercheck_start(&rc, &router, &local, PV_S(1));
    while (len >= 2 && len >= 2 + (size_t)data[1]) {
        struct pv_addr src = router;
        src.port = data[0] & 1 ? PV_ROUTERCHECK_PORT : PV_ROUTERCHECK_SSDP_PORT;
        any |= pv_routercheck_handle_input(&rc, &src, pv_view(data + 2, data[1]), PV_S(1)) == PV_OK;
        len -= 2 + (size_t)data[1];
        data += 2 + (size_t)data[1];
    }
    pv_routercheck_handle_timeout(&rc, PV_S(3));
    must(pv_routercheck_poll_event(&rc, &res) == PV_OK);
    must(any || (res.pcp == PV_NETCHECK_NO && res.natpmp == PV_NETCHECK_NO &&
                 res.upnp == PV_NETCHECK_NO && res.external.family == PV_AF_NONE));
    return 0;
}
