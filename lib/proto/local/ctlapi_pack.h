/* SPDX-License-Identifier: MIT */
/*
 * ctlapi_pack.h - by which all objects of the control socket's language are built: those of
 * ctlapi.h, and those that only one part of the daemon writes, which stand there. Names and order
 * of fields are a contract (PROTOCOL-LOCAL.md "Control socket").
 */
#pragma once

#include <jansson.h>

#include "base/addr.h"
#include "base/pv.h"

enum {
    PV_CTLAPI_FORMAT = 1, /* "version" of lists and of status: PROTOCOL-LOCAL.md "Control socket" */
};

/* From now on jansson wipes what it frees, in this process: requests and answers may carry tokens
 * and URLs, and a parser frees buffers that it has outgrown. Call it before any JSON is made. */
void pv_ctlapi_wipe_freed(void);

/*
 * json_pack(), but a NULL text where the format wants one gives {"bug":"…"} instead of NULL: it is
 * a mistake in the caller, and NULL would be told to the user as a lack of memory.
 */
json_t *pv_ctlapi_pack(const char *format, ...);

/* {"version":1,key:[]}: every list is an object with a version, as an array could never get another
 * field. */
json_t *pv_ctlapi_list(const char *key);
/* Appends to the list under key, or with key NULL to *obj itself; takes item, NULL when it could
 * not be built. Without memory *obj becomes NULL and stays so, for a part of a list would look like
 * the whole: callers need no checks, and the last one answers for it. */
void pv_ctlapi_put(json_t **obj, const char *key, json_t *item);

/* An Ed25519 or X25519 public key as text; NULL: null. */
json_t *pv_ctlapi_key(const uint8_t *key);
/* jansson's integers are signed: what exceeds them becomes the largest, a mistake that should stay
 * visible. */
json_t *pv_ctlapi_u64(uint64_t v);
/* The address without the port, as an overlay address has none; PV_AF_NONE: null. */
json_t *pv_ctlapi_ip(const struct pv_addr *a);
json_t *pv_ctlapi_addr(const struct pv_addr *a); /* with the port */
json_t *pv_ctlapi_real(double v);                /* < 0: null, as no such value can be negative */
