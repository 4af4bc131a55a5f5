/* SPDX-License-Identifier: MIT */
/*
 * addrfield.h - an address and a port in an in-band message: bytes of the address 1 (0, 4 or 16),
 * address, port 2. Thread-safe.
 */
#pragma once

#include "base/addr.h"
#include "base/bytes.h"
#include "base/pv.h"

enum {
    PV_ADDRFIELD_MAX = 1 + PV_IP6_LEN + 2, /* bytes */
};

/* Writes the address; family PV_AF_NONE: 0 bytes of address. */
void pv_put_addrfield(struct pv_writer *w, const struct pv_addr *at);
/* Reads the address. The reader fails with PV_ERR_MALFORMED at another number of bytes. */
void pv_get_addrfield(struct pv_reader *r, struct pv_addr *ret_at);
