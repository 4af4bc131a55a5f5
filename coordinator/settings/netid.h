/* SPDX-License-Identifier: MIT */
/*
 * netid.h - the id of a network as its operator reads and types it: 32 hexadecimal digits, which
 * never begin with a "-" as other texts of keys may.
 */
#pragma once

#include "base/pv.h"
#include "proto/roster/statement.h"

enum {
    PV_NETID_BUF = 2 * PV_NETWORK_ID_LEN + 1, /* bytes, with the NUL */
};

const char *pv_netid_format(const uint8_t id[static PV_NETWORK_ID_LEN],
                            char buf[static PV_NETID_BUF]); /* returns buf */
/* Exactly these digits, of either case. PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_netid_parse(const char *text, uint8_t ret_id[static PV_NETWORK_ID_LEN]);
