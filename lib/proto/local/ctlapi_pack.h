/* SPDX-License-Identifier: MIT */
/*
 * ctlapi_pack.h - what the files with builders of the control socket's language share. Not for
 * others.
 */
#ifndef PV_CTLAPI_PACK_H
#define PV_CTLAPI_PACK_H

#include <jansson.h>

#include "base/pv.h"

enum {
    PV_CTLAPI_FORMAT = 1, /* "version" of lists and of status: PROTOCOL-LOCAL.md "Control socket" */
};

/*
 * json_pack(), but a NULL text where the format wants one gives {"bug":"…"} instead of NULL: it is
 * a mistake in the caller, and NULL would be told to the user as a lack of memory.
 */
json_t *pv_ctlapi_pack(const char *format, ...);

/* Appends to the list under key; takes item, NULL when it could not be built. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_ctlapi_append(json_t *obj, const char *key, json_t *item);

/* An Ed25519 or X25519 public key as text; NULL: null. */
json_t *pv_ctlapi_key(const uint8_t *key);

#endif /* PV_CTLAPI_PACK_H */
