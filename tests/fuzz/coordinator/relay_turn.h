/* SPDX-License-Identifier: MIT */
/* relay_turn.h - a turn of the owner of a coordinator's relay half, without a socket. */
#pragma once

#include "coordinator/core/turn/relaycore.h"

static inline void relay_turn(struct pv_relaycore *relay, pv_ns now)
{
    struct pv_turns *turns = pv_relaycore_turns(relay);
    struct pv_turns_socket op;
    bool more = true;
    while (more) {
        size_t n = 0;
        more = pv_relaycore_step(relay, now);
        do {
            const struct pv_turns_out *out = pv_turns_out(turns, &n);
            for (size_t i = 0; i < n; i++) {
                if (out[i].stream != 0)
                    pv_relaycore_to_stream(relay, &out[i]);
            }
            pv_turns_sent(turns);
            if (pv_turns_poll_socket(turns, &op) < 0)
                break;
            if (op.open)
                pv_turns_opened(turns, op.sock, PV_OK, now);
        } while (true);
    }
    if (pv_turns_next_timeout(turns) <= now)
        pv_turns_handle_timeout(turns, now);
}
