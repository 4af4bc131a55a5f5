/* SPDX-License-Identifier: MIT */
/*
 * fuzz_inband - a peer's in-band receiver: the input is a list of {u16 length, u8 milliseconds to
 * wait, packet}. Limits must hold whatever comes.
 */
#include <stdlib.h>

#include "base/bytes.h"
#include "proto/control/signal.h"
#include "proto/ip/inband.h"
#include "tests/fuzz/fuzz_util.h"

static void check_limits(const struct pv_inband_receiver *rx)
{
    for (size_t i = 0; rx->unfinished != NULL && i < PV_INBAND_UNFINISHED; i++) {
        if (rx->unfinished[i].total > PV_INBAND_WHOLE_MAX)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pv_inband_receiver rx = {.whole = NULL};
    struct pv_reader r = pv_reader(pv_view(data, len));
    pv_ns now = 1;

    while (r.status == PV_OK && r.rest.len > 0) {
        size_t n = pv_get_u16(&r);
        now += PV_MS(pv_get_u8(&r)) * 16;
        struct pv_view packet = pv_get_bytes(&r, n < r.rest.len ? n : r.rest.len);
        struct pv_inband_message m;
        struct pv_inband_echo echo;
        if (pv_inband_receive(&rx, packet, now, &m) == PV_OK) {
            uint8_t sum = 0;
            for (size_t i = 0; i < m.body.len; i++)
                sum ^= m.body.ptr[i];
            if (m.body.len > PV_INBAND_WHOLE_MAX || (sum == 1 && m.body.len == 0))
                abort();
            (void)!pv_inband_echo_parse(m.body, &echo);
            struct pv_forward f;
            if (pv_forward_parse(m.body, &f) == PV_OK &&
                (f.box.len > PV_SIGNAL_BOX_MAX || f.box.ptr + f.box.len != m.body.ptr + m.body.len))
                abort();
        }
        check_limits(&rx);
    }
    pv_inband_receiver_done(&rx);
    return 0;
}
