/* SPDX-License-Identifier: MIT */
/* refusal.h - what it means to the user that the coordinator refuses to let this node enrol. */
#pragma once

#include "proto/control/ctlmsg.h"
#include "proto/local/ctlcmd.h"

struct pv_refusal {
    enum pv_ctl_error error;
    enum pv_ctlapi_code code; /* of the answer to the user */
    const char *why, *remedy;
};

/* NULL: nothing better can be said than the coordinator's own message. */
const struct pv_refusal *pv_refusal_find(enum pv_ctl_error error);
