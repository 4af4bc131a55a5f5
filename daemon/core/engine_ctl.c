/* SPDX-License-Identifier: MIT */
/* engine_ctl.c - `why` and `trace`, until they are a part's. */
#include "daemon/core/engine_int.h"

static void cmd_why(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                    pv_ns now)
{
    (void)req;
    pv_engine_show_why(part, p, handle, now);
}

static void cmd_trace(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                      pv_ns now)
{
    (void)req;
    pv_engine_show_trace(part, p, handle, now);
}

static const struct pv_command commands[] = {
    {PV_CTLAPI_WHY, PV_NEEDS_PEER, cmd_why},
    {PV_CTLAPI_TRACE, PV_NEEDS_PEER, cmd_trace},
};

const struct pv_part pv_part_engine_ctl = {
    .name = "engine_ctl",
    .make = pv_engine_as_part,
    .free = pv_engine_not_freed,
    .commands = commands,
    .n_commands = PV_ARRAY_LEN(commands),
};
